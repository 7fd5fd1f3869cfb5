"""How a push travels through the graph, unit by unit: curved equations, levels that are set, ends of scales.

Everything is vectorised over draws and units. A change that is the same in every unit is carried as one column,
so that a linear graph without caps costs no more than its closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from roxmodel.result.loops import Loop, settled
from roxmodel.result.records import LINEAR
from roxmodel.result.system import System
from roxmodel.types import FloatArray

__all__ = ["Caps", "Push", "Travel", "travel"]


@dataclass(frozen=True, slots=True)
class Push:
    """What acts on the constructs within one wave.

    Attributes
    ----------
    shift
        Construct's place -> points added, (1,) or (units,).
    level
        Construct's place -> level it is set to, (1,) or (units,).
    share
        Construct's place -> share of the setting that is in force, (1,) or (units,), 0-1.
    """

    shift: Mapping[int, FloatArray]
    level: Mapping[int, FloatArray]
    share: Mapping[int, FloatArray]


@dataclass(frozen=True, slots=True)
class Caps:
    """Levels of the units and the ends of the scales.

    Attributes
    ----------
    levels
        (units, k) level of each construct before the push; None where levels are not known.
    low, high
        (k,) ends, infinite where there is none.
    """

    levels: FloatArray | None
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True)
class Travel:
    """Where the push arrived.

    Attributes
    ----------
    changes
        (k) arrays of change, each (draws, 1) or (draws, units).
    capped
        (k,) share of draws and units in which the end of the scale cut the change.
    """

    changes: tuple[FloatArray, ...]
    capped: FloatArray


def travel(system: System, push: Push, caps: Caps, carried: Mapping[int, FloatArray] | None = None) -> Travel:
    """Let a push travel through the graph within one wave.

    Parameters
    ----------
    system
        Structural equations, (draws, …).
    push
        What acts.
    caps
        Levels and ends; a construct is held inside its ends where levels are known.
    carried
        Construct's place -> change that earlier waves bring by lagged edges.

    Returns
    -------
    Travel
        Around a feedback loop: the change of the equilibrium that the push settles in.
    """
    draws, k = system.coefficients.shape[:2]
    still = np.zeros((draws, 1))
    changes: list[FloatArray | None] = [None] * k
    capped = np.zeros(k)
    for step in system.steps:
        place = step[0]
        if len(step) > 1:
            _around(system, step, (changes, capped), (push, caps, carried or {}))
            continue
        change = _brought(system, place, changes, caps, carried or {})
        if place in push.level:
            change = _set(still if change is None else change, push, caps, place)
        if place in push.shift:
            change = (still if change is None else change) + push.shift[place]
        if change is not None:
            changes[place], capped[place] = _held(change, caps, place)
    return Travel(tuple(still if change is None else change for change in changes), capped)


def _around(
    system: System,
    loop: tuple[int, ...],
    found: tuple[list[FloatArray | None], FloatArray],
    acting: tuple[Push, Caps, Mapping[int, FloatArray]],
) -> None:
    """Fill in where the constructs of a loop settle: their changes, and the share that the ends of scales cut."""
    (changes, capped), (push, caps, carried) = found, acting
    if any(system.families[place] != LINEAR for place in loop):
        raise ValueError("a feedback loop has linear equations only")  # callers see to it
    outside = [_brought(system, place, changes, caps, carried) for place in loop]
    if all(change is None for change in outside) and not any(p in push.level or p in push.shift for p in loop):
        return
    still = np.zeros((len(system.coefficients), 1))
    given, kept = [], []
    for place, change in zip(loop, outside, strict=True):
        one = still if change is None else change
        if place in push.level:
            one = _set(one, push, caps, place)
        given.append(one + push.shift[place] if place in push.shift else one)
        kept.append(1.0 - push.share[place] if place in push.level else np.ones(1))
    down, up = _room(caps, list(loop))
    inner = system.coefficients[:, loop][:, :, loop]
    whole = np.stack(np.broadcast_arrays(*given), axis=-1)
    change, held = settled(Loop(inner, np.stack(np.broadcast_arrays(*kept), axis=-1), whole, down, up))
    for i, place in enumerate(loop):
        changes[place], capped[place] = change[:, :, i], float(held[:, :, i].mean())


def _brought(
    system: System,
    place: int,
    changes: list[FloatArray | None],
    caps: Caps,
    carried: Mapping[int, FloatArray],
) -> FloatArray | None:
    """What causes bring within the wave, and earlier waves by lagged edges; None = no change."""
    change = _inherited(system, place, changes, caps)
    if place not in carried:
        return change
    return carried[place] if change is None else change + carried[place]


def _inherited(system: System, place: int, changes: list[FloatArray | None], caps: Caps) -> FloatArray | None:
    """Change that the causes bring: linear, or on the response scale of a curved equation; None = no change."""
    weights = system.coefficients[:, place, :]
    causes = np.flatnonzero(np.any(weights != 0, axis=0))
    change: FloatArray | None = None
    for cause in causes:
        moved = changes[cause]
        if moved is not None and (system.carries is None or system.carries[place, cause]):
            brought = weights[:, cause, None] * moved
            if change is None:
                change = brought
            elif change.shape == brought.shape:
                change += brought
            else:
                change = change + brought
    if system.families[place] == LINEAR or change is None:
        return change
    if caps.levels is None or system.intercepts is None:
        raise ValueError("a curved equation needs the units' levels")  # callers give them
    base = system.intercepts[:, place, None] + weights[:, causes] @ caps.levels[:, causes].T
    return _mean_of(system.families[place], base + change) - _mean_of(system.families[place], base)


def _mean_of(family: str, predictor: FloatArray) -> FloatArray:
    """Expected outcome: logistic for yes/no, exponential for counts."""
    if family == "logit":
        return np.asarray(expit(predictor))
    return np.asarray(np.exp(np.minimum(predictor, 700.0)))


def _set(change: FloatArray, push: Push, caps: Caps, place: int) -> FloatArray:
    """The do-operator: the causes are cut for the share that is in force."""
    if caps.levels is None:
        raise ValueError("setting a level needs the units' levels")  # callers give them
    share = push.share[place]
    return np.asarray(share * (push.level[place] - caps.levels[None, :, place]) + (1.0 - share) * change)


def _held(change: FloatArray, caps: Caps, place: int) -> tuple[FloatArray, float]:
    """Keep every unit inside the ends of the scale; the share of cells that were cut."""
    down, up = _room(caps, [place])
    if down is None or up is None:
        return change, 0.0
    down, up = down[:, 0], up[:, 0]
    if change.max() <= up.min() and change.min() >= down.max():
        return change, 0.0
    held = np.clip(change, down, up)
    return held, float((held != change).mean())


def _room(caps: Caps, places: list[int]) -> tuple[FloatArray | None, FloatArray | None]:
    """(units, m) largest changes down and up; None where nothing is bounded."""
    low, high = caps.low[places], caps.high[places]
    if caps.levels is None or (np.isinf(low) & np.isinf(high)).all():
        return None, None
    levels = caps.levels[:, places]
    return np.minimum(low - levels, 0.0), np.maximum(high - levels, 0.0)
