"""Actions over time: wave by wave, all draws at once, unit by unit where it matters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import KeptLevels, UnitLevels, unit_levels
from roxmodel.result.response import Caps, Doubt, Push, travel
from roxmodel.result.system import System
from roxmodel.simulation.actions import Action
from roxmodel.simulation.units import ends_of, is_figure
from roxmodel.types import FloatArray

__all__ = ["Course", "Ground", "Reading", "course_of", "ground_of", "push_of"]

_WORKERS = min(os.cpu_count() or 1, 4)
_CELLS = 1 << 16  # cells of one array that stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the units stand before anything is done, and between which ends.

    Attributes
    ----------
    levels
        Of the units; None where they are not known or not needed.
    low, high
        (k,) ends of the scales, infinite where there is none.
    figures
        Places of the constructs whose level is one outcome (`is_figure`): their mean is held, not each unit.
    doubt
        Error of the levels as a whole, draw by draw; None = they are taken as known.
    """

    levels: UnitLevels | KeptLevels | None
    low: FloatArray
    high: FloatArray
    figures: frozenset[int] = frozenset()
    doubt: Doubt | None = None

    def caps(self, start: int, stop: int, places: tuple[int, ...]) -> Caps:
        """Levels and ends of some draws."""
        levels = None if self.levels is None else self.levels.drawn(start, stop, places)
        doubt = None if self.doubt is None else self.doubt.slice(start, stop)
        return Caps(levels, self.low, self.high, self.figures, doubt)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read off the units beside the plain mean: an outcome that counts differently in every unit.

    Attributes
    ----------
    place
        The construct.
    weights
        (units,) what a change counts in each unit; None = the same in all.
    log
        Whether the construct is the logarithm of what counts: a change is exp(level + change) - exp(level).
    """

    place: int
    weights: FloatArray | None = None
    log: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is the mean change."""
        return self.weights is None and not self.log


@dataclass(frozen=True, slots=True)
class Course:
    """What happens, mean over the units.

    Attributes
    ----------
    changes
        (draws, waves, k) mean change against no action.
    capped
        (k,) share of draws, units and waves in which the end of a scale cut the change.
    readings
        (draws, waves) each: mean over the units of what was to be read.
    """

    changes: FloatArray
    capped: FloatArray
    readings: tuple[FloatArray, ...] = ()


def ground_of(
    fit: Fit,
    actions: Sequence[Action],
    seed: int | None,
    readings: Sequence[Reading] = (),
    doubt: Doubt | None = None,
) -> Ground:
    """Levels of the units and ends of the scales, as far as the question needs them.

    A construct with a linear equation, or with none, is held inside the ends its scale has: a rating unit by unit, a
    yes/no, a count (from 0 on) or a share in the mean (`is_figure`). A curved equation keeps its outcome in range by
    itself (there the change of a yes/no is a change of probability), and what acts on it directly is held in the mean
    like that of any yes/no or count. Without means there are no levels, and so no caps.
    """
    k = len(fit.model.names)
    low, high = np.full(k, -np.inf), np.full(k, np.inf)
    for place, (construct, family) in enumerate(zip(fit.model.constructs, fit.families, strict=True)):
        if family == LINEAR or is_figure(construct):
            ends = ends_of(fit, construct)
            low[place] = -np.inf if ends[0] is None else ends[0]
            high[place] = np.inf if ends[1] is None else ends[1]
    if fit.population.mean is None:
        return Ground(None, low, high)
    ended = np.isfinite(low) | np.isfinite(high)
    figures = {place for place, one in enumerate(fit.model.constructs) if ended[place] and is_figure(one)}
    needed = (
        np.isfinite([low, high]).any()
        or any(action.level or action.growth or len(action.covers) > 1 for action in actions)
        or any(family != LINEAR for family in fit.families)
        or any(not reading.plain for reading in readings)
    )
    return Ground(unit_levels(fit, seed) if needed else None, low, high, frozenset(figures), doubt)


def course_of(
    system: System, actions: Sequence[Action], ground: Ground, horizon: int, readings: Sequence[Reading] = ()
) -> Course:
    """Let actions run their course.

    Parameters
    ----------
    system
        Structural equations, (draws, …).
    actions
        What is done.
    ground
        Levels and ends.
    horizon
        Number of waves.
    readings
        What is read off the units.
    """
    draws = len(system.coefficients)
    units = 1 if ground.levels is None else len(ground.levels.mean)
    size = max(1, _CELLS // units)
    places = _levels_used(system, actions, ground, readings)

    def part(start: int) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
        stop = min(start + size, draws)
        chunk = _Chunk(system.slice(start, stop), tuple(actions), ground.caps(start, stop, places), tuple(readings))
        return chunk.run(horizon)

    if draws <= size:
        found = [part(0)]
    else:
        with ThreadPoolExecutor(_WORKERS) as pool:  # numpy lets go of the interpreter; the parts are independent
            found = list(pool.map(part, range(0, draws, size)))
    changes = np.concatenate([change for change, _, _ in found])
    capped = np.sum([cut * (len(change) / draws) for change, cut, _ in found], axis=0)
    read = tuple(np.concatenate([part[2][i] for part in found]) for i in range(len(readings)))
    for array in (changes, *read):
        array.setflags(write=False)
    return Course(changes, capped, read)


def _levels_used(
    system: System, actions: Sequence[Action], ground: Ground, readings: Sequence[Reading]
) -> tuple[int, ...]:
    """Places of the constructs whose levels are looked at: with ends, set, scaled, read as logarithms, curved."""
    used = set(np.flatnonzero(np.isfinite(ground.low) | np.isfinite(ground.high)).tolist())
    used |= {place for action in actions for place in (*action.level, *action.growth)}
    used |= {reading.place for reading in readings if reading.log}
    if not system.linear:
        used |= set(range(len(system.names)))
    return tuple(sorted(used))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some draws of a course."""

    system: System
    actions: tuple[Action, ...]
    caps: Caps
    readings: tuple[Reading, ...]

    def run(self, horizon: int) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
        """Changes (draws, horizon, k), shares cut (k,), readings (draws, horizon) each."""
        draws, k = self.system.coefficients.shape[:2]
        means, capped = np.empty((draws, horizon, k)), np.zeros(k)
        read = [np.empty((draws, horizon)) for _ in self.readings]
        past: list[tuple[FloatArray, ...]] = []
        first: dict[tuple[float, ...], int] = {}
        cuts: list[FloatArray] = []
        for wave in range(horizon):
            key = tuple(float(action.share[wave]) for action in self.actions)
            if key in first and not self.system.lagged:
                twin = first[key]
                means[:, wave] = means[:, twin]
                for array in read:
                    array[:, wave] = array[:, twin]
                cuts.append(cuts[twin])
            else:
                first[key] = wave
                found = travel(self.system, push_of(self.actions, wave), self.caps, _carried(self.system, past))
                if self.system.lagged:
                    past.append(found.changes)
                    del past[: -self.system.lagged[-1][0]]  # what no edge reaches back to is let go
                cuts.append(found.capped)
                for place in range(k):
                    means[:, wave, place] = _mean(found.changes[place])
                for reading, array in zip(self.readings, read, strict=True):
                    array[:, wave] = _read(reading, found.changes[reading.place], self.caps)
            capped += cuts[wave] / horizon
        return means, capped, read


def _read(reading: Reading, change: FloatArray, caps: Caps) -> FloatArray:
    """(draws,) mean over the units of what a change counts."""
    if reading.log:
        if caps.levels is None:
            raise ValueError("a logarithm needs the units' levels")  # callers give them
        change = np.exp(np.minimum(caps.levels[..., reading.place], 700.0)) * np.expm1(np.minimum(change, 700.0))
    return _mean(change, reading.weights)


def _mean(change: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """(draws,) mean over the units of a change (draws, units or 1), times what it counts in each.

    By way of the distance from the first unit: where all units move alike, the mean is that change to the last bit,
    whether it is carried as one column or as many, so that answers do not depend on which draws are taken together.
    Where they do not and units count differently, each unit's own part is added up: a unit that does not move adds
    nothing, where a difference of differences would leave a rounding that is read as a chance of a loss.
    """
    first = change[:, 0]
    middle = first if weights is None else first * weights.mean()
    if change.shape[1] == 1:
        return np.asarray(middle)
    apart = change - first[:, None]
    if weights is None:
        return np.asarray(middle + apart.mean(axis=1))
    return np.where(apart.any(axis=1), (change * weights).mean(axis=1), middle)


def push_of(actions: Sequence[Action], wave: int) -> Push:
    """What actions do in one wave (from 0): shifts add up, factors multiply, a level is set by one of them at most."""
    shift: dict[int, FloatArray] = {}
    level: dict[int, FloatArray] = {}
    share: dict[int, FloatArray] = {}
    growth: dict[int, FloatArray] = {}
    for action in actions:
        force = action.share[wave] * action.covers
        if not force.any():
            continue
        for place, points in action.shift.items():
            shift[place] = shift.get(place, np.zeros(1)) + points * force
        for place, more in action.growth.items():
            growth[place] = (1.0 + growth.get(place, np.zeros(1))) * (1.0 + more * force) - 1.0
        for place, to in action.level.items():
            before = share.get(place, np.zeros(1))
            level[place] = np.where(force > 0, to, level.get(place, np.zeros(1)))
            share[place] = np.where(force > 0, force, before)
    return Push(shift, level, share, growth)


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
