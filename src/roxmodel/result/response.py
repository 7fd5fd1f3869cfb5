"""How a push travels through the graph, unit by unit: curved equations, levels that are set, ends of scales.

Everything is vectorised over draws and units. A change that is the same in every unit is carried as one column,
so that a linear graph without caps costs no more than its closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    growth
        Construct's place -> share of its level before the push that is added, (1,) or (units,).
    """

    shift: Mapping[int, FloatArray]
    level: Mapping[int, FloatArray]
    share: Mapping[int, FloatArray]
    growth: Mapping[int, FloatArray] = field(default_factory=dict)

    def acts_on(self, place: int) -> bool:
        """Whether anything is done to a construct."""
        return place in self.shift or place in self.level or place in self.growth


@dataclass(frozen=True, slots=True)
class Room:
    """Largest changes of a construct that the ends of its scale allow.

    Attributes
    ----------
    down, up
        (units,) or (draws, units), at most 0 and at least 0.
    least_down, least_up
        Changes that every unit has room for.
    """

    down: FloatArray
    up: FloatArray
    least_down: float
    least_up: float


@dataclass(frozen=True, slots=True)
class Caps:
    """Levels of the units and the ends of the scales.

    Attributes
    ----------
    levels
        (units, k), or (draws, units, k) where they are known with error only: level of each construct before the push;
        None where levels are not known.
    low, high
        (k,) ends, infinite where there is none.
    """

    levels: FloatArray | None
    low: FloatArray
    high: FloatArray
    rooms: dict[int, Room] = field(default_factory=dict, repr=False, compare=False)  # known once they were asked for

    def room(self, place: int) -> Room | None:
        """Room of a construct; None where nothing bounds it."""
        if self.levels is None or (np.isinf(self.low[place]) and np.isinf(self.high[place])):
            return None
        if place not in self.rooms:
            level = self.levels[..., place]
            down, up = np.minimum(self.low[place] - level, 0.0), np.maximum(self.high[place] - level, 0.0)
            self.rooms[place] = Room(down, up, float(down.max()), float(up.min()))
        return self.rooms[place]


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
        if push.acts_on(place):
            change = _pushed(still if change is None else change, push, caps, place)
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
    if all(change is None for change in outside) and not any(push.acts_on(p) for p in loop):
        return
    still = np.zeros((len(system.coefficients), 1))
    given, kept = [], []
    for place, change in zip(loop, outside, strict=True):
        one = still if change is None else change
        given.append(_pushed(one, push, caps, place))
        kept.append(1.0 - push.share[place] if place in push.level else np.ones(1))
    down, up = _rooms(caps, loop)
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
    base = system.intercepts[:, place, None] + sum(weights[:, c, None] * caps.levels[..., c] for c in causes)
    return _mean_of(system.families[place], base + change) - _mean_of(system.families[place], base)


def _mean_of(family: str, predictor: FloatArray) -> FloatArray:
    """Expected outcome: logistic for yes/no, exponential for counts."""
    if family == "logit":
        return np.asarray(expit(predictor))
    return np.asarray(np.exp(np.minimum(predictor, 700.0)))


def _pushed(change: FloatArray, push: Push, caps: Caps, place: int) -> FloatArray:
    """What acts on the construct itself: a level that is set cuts its causes for the share in force; the rest adds."""
    if place in push.level:
        share = push.share[place]
        change = share * (push.level[place] - _level(caps, place)) + (1.0 - share) * change
    if place in push.growth:
        change = change + push.growth[place] * _level(caps, place)
    return change + push.shift[place] if place in push.shift else change


def _level(caps: Caps, place: int) -> FloatArray:
    """(1, units) or (draws, units) level of a construct before the push."""
    if caps.levels is None:
        raise ValueError("setting a level needs the units' levels")  # callers give them
    return np.atleast_2d(caps.levels[..., place])


def _held(change: FloatArray, caps: Caps, place: int) -> tuple[FloatArray, float]:
    """Keep every unit inside the ends of the scale; the share of cells that were cut."""
    room = caps.room(place)
    if room is None or (change.max() <= room.least_up and change.min() >= room.least_down):
        return change, 0.0
    held = np.clip(change, room.down, room.up)
    return held, 1.0 - float(np.count_nonzero(held == change)) / held.size


def _rooms(caps: Caps, places: tuple[int, ...]) -> tuple[FloatArray | None, FloatArray | None]:
    """(units, m) or (draws, units, m) largest changes down and up; None where nothing is bounded."""
    found = [caps.room(place) for place in places]
    if caps.levels is None or all(room is None for room in found):
        return None, None
    free = np.full(caps.levels.shape[:-1], np.inf)
    down = np.stack([-free if room is None else room.down for room in found], axis=-1)
    return down, np.stack([free if room is None else room.up for room in found], axis=-1)
