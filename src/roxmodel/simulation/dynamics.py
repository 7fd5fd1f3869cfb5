"""Actions over time: wave by wave, all draws at once, unit by unit where it matters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from roxmodel.result.fit import Fit
from roxmodel.result.records import LINEAR
from roxmodel.result.response import Caps, Push, travel
from roxmodel.result.system import System
from roxmodel.result.tables import complete_levels
from roxmodel.simulation.check import Action
from roxmodel.simulation.units import ends_of
from roxmodel.types import FloatArray

__all__ = ["Course", "caps_of", "course_of"]

_WORKERS = min(os.cpu_count() or 1, 4)
_CELLS = 1 << 16  # cells of one array that stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Course:
    """What happens, mean over the units.

    Attributes
    ----------
    changes
        (draws, waves, k) mean change against no action.
    capped
        (k,) share of draws, units and waves in which the end of a scale cut the change.
    """

    changes: FloatArray
    capped: FloatArray


def caps_of(fit: Fit, actions: Sequence[Action], seed: int | None) -> Caps:
    """Levels of the units and ends of the scales, as far as the question needs them.

    A construct with a linear equation, or with none, is held inside the ends its scale has (rating scales, percent,
    yes/no, counts from 0 on). A curved equation keeps its outcome in range by itself; there the change of a yes/no is
    a change of probability, and a unit's own 0 or 1 is no bound to it. Without means there are no levels, and so no
    caps.
    """
    k = len(fit.model.names)
    low, high = np.full(k, -np.inf), np.full(k, np.inf)
    for place, (construct, family) in enumerate(zip(fit.model.constructs, fit.families, strict=True)):
        if family == LINEAR:
            ends = ends_of(fit, construct)
            low[place] = -np.inf if ends[0] is None else ends[0]
            high[place] = np.inf if ends[1] is None else ends[1]
    if fit.population.mean is None:
        return Caps(None, low, high)
    needed = (
        np.isfinite([low, high]).any()
        or any(action.level or len(action.covers) > 1 for action in actions)
        or any(family != LINEAR for family in fit.families)
    )
    return Caps(complete_levels(fit, seed or 0) if needed else None, low, high)


def course_of(system: System, actions: Sequence[Action], caps: Caps, horizon: int) -> Course:
    """Let actions run their course.

    Parameters
    ----------
    system
        Structural equations, (draws, …).
    actions
        What is done.
    caps
        Levels and ends.
    horizon
        Number of waves.
    """
    draws = len(system.coefficients)
    units = 1 if caps.levels is None else len(caps.levels)
    size = max(1, _CELLS // units)
    parts = [system.slice(start, min(start + size, draws)) for start in range(0, draws, size)]
    with ThreadPoolExecutor(_WORKERS) as pool:  # numpy lets go of the interpreter; the parts are independent
        found = list(pool.map(lambda part: _chunk(part, actions, caps, horizon), parts))
    changes = np.concatenate([change for change, _ in found])
    capped = np.sum([cut * (len(change) / draws) for change, cut in found], axis=0)
    changes.setflags(write=False)
    return Course(changes, capped)


def _chunk(system: System, actions: Sequence[Action], caps: Caps, horizon: int) -> tuple[FloatArray, FloatArray]:
    draws, k = system.coefficients.shape[:2]
    means, capped = np.empty((draws, horizon, k)), np.zeros(k)
    past: list[tuple[FloatArray, ...]] = []
    known: dict[tuple[float, ...], tuple[tuple[FloatArray, ...], FloatArray]] = {}
    for wave in range(horizon):
        key = tuple(float(action.share[wave]) for action in actions)
        if key not in known or system.lagged:
            found = travel(system, _push(actions, wave), caps, _carried(system, past))
            known[key] = (found.changes, found.capped)
        changes, cut = known[key]
        past.append(changes)
        capped += cut / horizon
        for place in range(k):
            means[:, wave, place] = changes[place].mean(axis=1)
    return means, capped


def _push(actions: Sequence[Action], wave: int) -> Push:
    """Shifts of all actions add up; a level is set by one action at most in any unit."""
    shift: dict[int, FloatArray] = {}
    level: dict[int, FloatArray] = {}
    share: dict[int, FloatArray] = {}
    for action in actions:
        force = action.share[wave] * action.covers
        if not force.any():
            continue
        for place, points in action.shift.items():
            shift[place] = shift.get(place, np.zeros(1)) + points * force
        for place, to in action.level.items():
            before = share.get(place, np.zeros(1))
            level[place] = np.where(force > 0, to, level.get(place, np.zeros(1)))
            share[place] = np.where(force > 0, force, before)
    return Push(shift, level, share)


def _carried(system: System, past: Sequence[tuple[FloatArray, ...]]) -> dict[int, FloatArray]:
    """What earlier waves bring by lagged edges."""
    carried: dict[int, FloatArray] = {}
    for lag, coefficients in system.lagged:
        if lag > len(past):
            continue
        for effect, cause in np.argwhere(coefficients != 0):
            brought = coefficients[effect, cause] * past[-lag][cause]
            carried[int(effect)] = carried[int(effect)] + brought if int(effect) in carried else brought
    return carried
