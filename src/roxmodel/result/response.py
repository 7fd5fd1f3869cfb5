"""How a push travels through the graph, unit by unit: curved equations, levels that are set, ends of scales.

Everything is vectorised over draws and units. A change that is the same in every unit is carried as one column,
so that a linear graph without caps costs no more than its closed form.

Where a push around feedback loops settles: exactly where nothing is bounded, by active sets where scales end.

For one draw and one unit a loop of m constructs is ``x = clip(A x + r, down, up)``: A is what the constructs pass on
to each other (less the share in which a level is set), r what comes from outside. Without ends ``x = (I - A)⁻¹ r``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import expit

from roxmodel.errors import EstimationError
from roxmodel.records import LINEAR
from roxmodel.result.system import System, no_equilibrium
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Answered", "Caps", "LevelDoubt", "Loop", "Push", "Travel", "settled", "travel"]
_STEPS = 50  # active sets tried; each settles some more of the bounds, a handful is usual


_SMALL_STEPS, _PART = 2_000, 0.2  # then the loop is followed in small steps


_TOLERANCE = 1e-9  # of the size of the change


@dataclass(frozen=True, slots=True)
class Loop:
    """What acts on the constructs of one loop, m of them; units is 1 where all units are alike."""

    inner: FloatArray  # (draws, m, m) coefficients among them, ``[d, effect, cause]``
    kept: FloatArray  # (units, m) share of its causes that still acts on each (0 where its level is set), 0-1
    given: FloatArray  # (draws, units, m) change from outside: other causes (the share that acts), shifts, settings
    # (units, m) or (draws, units, m) largest fall that the ends allow, <= 0; None without ends
    down: FloatArray | None = None
    up: FloatArray | None = None  # largest rise, >= 0


def settled(loop: Loop) -> tuple[FloatArray, BoolArray]:
    """(draws, units, m) change of each construct in equilibrium, and where an end of a scale holds it.

    A loop with a gain of exactly 1, or that the ends of the scales let not settle, is refused. Bollen (1987), doi
    10.2307/271028, on effects in nonrecursive models.
    """
    free = _unbounded(loop)
    if loop.down is None or loop.up is None or _within(free, loop.down, loop.up):
        return free, np.zeros(free.shape, dtype=bool)
    shape = (len(free), loop.down.shape[-2], free.shape[2])
    given, down, up = (np.broadcast_to(part, shape) for part in (loop.given, loop.down, loop.up))
    found, held = np.array(np.broadcast_to(free, shape)), np.zeros(shape, dtype=bool)
    beyond = ((found < down) | (found > up)).any(axis=2)
    draw, unit = np.nonzero(beyond)
    inner = np.broadcast_to(loop.kept, shape[1:])[unit][:, :, None] * loop.inner[draw]
    ends = (down[beyond], up[beyond])
    found[beyond], held[beyond] = _bounded(inner, given[beyond], found[beyond], ends)
    return found, held


def _within(change: FloatArray, down: FloatArray, up: FloatArray) -> bool:
    """Whether no unit meets an end in any draw."""
    return bool(
        (change.max(axis=(0, 1)) <= up.reshape(-1, up.shape[-1]).min(axis=0)).all()
        and (change.min(axis=(0, 1)) >= down.reshape(-1, down.shape[-1]).max(axis=0)).all()
    )


def _unbounded(loop: Loop) -> FloatArray:
    """One inverse for each draw and each way in which units are set."""
    units = max(len(loop.kept), loop.given.shape[1])
    ways, of = np.unique(loop.kept, axis=0, return_inverse=True)
    of = np.broadcast_to(of.reshape(-1), units)
    given = np.broadcast_to(loop.given, (loop.given.shape[0], units, loop.given.shape[2]))
    found = np.empty(given.shape)
    for place, kept in enumerate(ways):
        effects = _solved(np.eye(len(kept)) - kept[:, None] * loop.inner, np.eye(len(kept)))
        found[:, of == place] = given[:, of == place] @ np.swapaxes(effects, -1, -2)
    return found


def _bounded(
    inner: FloatArray, given: FloatArray, change: FloatArray, ends: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, BoolArray]:
    """Newton's method on the piecewise linear equation: hold what is beyond its end, solve the rest, look again.

    A (cells, m, m), r, first guess and ends (cells, m), for each draw and unit where an end is met.
    """
    found, held = change.copy(), np.zeros(change.shape, dtype=bool)
    open_, m = np.arange(len(change)), change.shape[1]
    for step in range(_STEPS + _SMALL_STEPS):
        asked = (inner[open_] @ found[open_, :, None])[:, :, 0] + given[open_]
        target = np.clip(asked, ends[0][open_], ends[1][open_])
        held[open_] = asked != target
        far = np.abs(target - found[open_]).max(axis=1) > _TOLERANCE * (1.0 + np.abs(target).max(axis=1))
        found[open_[~far]] = target[~far]
        open_ = open_[far]
        if len(open_) == 0:
            return found, held
        if step >= _STEPS:
            found[open_] += _PART * (target[far] - found[open_])
            continue
        loose = ~held[open_]
        right = np.where(loose, given[open_], target[far])
        found[open_] = _solved(np.eye(m) - loose[:, :, None] * inner[open_], right[:, :, None])[:, :, 0]
    raise EstimationError(
        "Between the ends of the scales a feedback loop finds no place to settle.", hint="Damp the loop, or push less."
    )


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        raise no_equilibrium() from None


class Answered(Protocol):
    """Figures of one unit whose outcome is known, so that a change of what is expected is a change given that."""

    def change(self, place: int, change: FloatArray) -> FloatArray | None:
        """Expected change of a figure, given what it was, where its predictor changes, (draws, 1 or m); or None."""
        ...


@dataclass(frozen=True, slots=True)
class Push:
    """What acts on the constructs within one wave, by their places; (1,) or (units,) each."""

    shift: Mapping[int, FloatArray]  # points added
    level: Mapping[int, FloatArray]  # level it is set to
    share: Mapping[int, FloatArray]  # share of the setting that is in force, 0-1
    growth: Mapping[int, FloatArray] = field(default_factory=dict)  # share of its level before the push that is added

    def acts_on(self, place: int) -> bool:
        """Whether anything is done to a construct."""
        return place in self.shift or place in self.level or place in self.growth


@dataclass(frozen=True, slots=True)
class Room:
    """Largest changes of a construct that the ends of its scale allow, at most 0 and at least 0."""

    down: FloatArray  # (units,) or (draws, units); one column where it is the same in every unit
    up: FloatArray
    least_down: float  # changes that every unit has room for
    least_up: float


@dataclass(frozen=True, slots=True)
class LevelDoubt:
    """How far levels as a whole may lie from where they are taken to be: error of their mean and of their spread."""

    centre: FloatArray  # (k,) mean level
    drift: FloatArray  # (draws, k) its error, in points
    stretch: FloatArray  # (draws, k) spread of the levels as a multiple of the one they have

    def of(self, place: int, level: FloatArray) -> FloatArray:
        """(draws, units) levels of a construct in the population they were taken from, draw by draw."""
        centre = self.centre[place]
        return np.asarray(centre + self.drift[:, place, None] + self.stretch[:, place, None] * (level - centre))

    def slice(self, start: int, stop: int) -> LevelDoubt:
        """Some of the draws."""
        return LevelDoubt(self.centre, self.drift[start:stop], self.stretch[start:stop])


@dataclass(frozen=True, slots=True)
class Caps:
    """Levels of the units and the ends of the scales.

    Of a rating, a level is where the unit stands on the scale, and no unit is moved beyond its ends. A yes/no, a count
    or a share is one outcome of each unit: a certified branch was not certain to be so, nor is one without a
    certificate certain to stay so. Its expected value moves, and only the mean over units is held inside the ends.
    """

    levels: FloatArray | None  # (units, k) before the push, or (draws, units, k) with error; None = unknown
    low: FloatArray  # (k,) ends, infinite where there is none
    high: FloatArray
    figures: frozenset[int] = frozenset()  # places of the constructs whose level is one outcome; their mean is held
    doubt: LevelDoubt | None = None  # of the levels as a whole; None = they are taken as known
    rooms: dict[tuple[int, bool], Room] = field(
        default_factory=dict, repr=False, compare=False
    )  # known once they were asked for

    def room(self, place: int, known: bool = False) -> Room | None:
        """Room of a construct, None without bounds; `known`: its levels count as known, as where it is set."""
        if self.levels is None or (np.isinf(self.low[place]) and np.isinf(self.high[place])):
            return None
        if (place, known) not in self.rooms:
            level = self.levels[..., place]
            if place in self.figures:
                level = level.mean(axis=-1, keepdims=True)
            elif self.doubt is not None and not known:
                level = self.doubt.of(place, level)
            down, up = np.minimum(self.low[place] - level, 0.0), np.maximum(self.high[place] - level, 0.0)
            self.rooms[place, known] = Room(down, up, float(down.max()), float(up.min()))
        return self.rooms[place, known]


@dataclass(frozen=True, slots=True)
class Travel:
    """Where the push arrived."""

    changes: tuple[FloatArray, ...]  # of each construct, (draws, 1) or (draws, units)
    capped: FloatArray  # (k,) share of draws and units in which the end of the scale cut the change


def travel(
    system: System,
    push: Push,
    caps: Caps,
    carried: Mapping[int, FloatArray] | None = None,
    answered: Answered | None = None,
) -> Travel:
    """Let a push travel through the graph within one wave; around a loop, to the equilibrium that it settles in.

    Constructs are held inside their ends where `caps` knows levels. `carried`: place -> change that earlier waves bring
    by lagged edges. `answered`: what one unit's figures were; None = changes of what is expected before it is seen.
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
        change = _brought(system, place, (changes, answered), caps, carried or {})
        if change is not None and place in caps.figures and system.families[place] == LINEAR:
            change, capped[place] = _held(change, caps, place)  # a curved equation keeps its outcome in range
        if push.acts_on(place):
            before = still if change is None else change
            change = _pushed(before, push, caps, place)
            capped[place] = max(capped[place], _cut_of(before, change, push, caps, place))
        if change is not None and place not in caps.figures:
            change, capped[place] = _held(change, caps, place, place in push.level)
        changes[place] = change
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
    outside = [_brought(system, place, (changes, None), caps, carried) for place in loop]
    if all(change is None for change in outside) and not any(push.acts_on(p) for p in loop):
        return
    still = np.zeros((len(system.coefficients), 1))
    given, kept = [], []
    for place, change in zip(loop, outside, strict=True):
        one = still if change is None else change
        given.append(_pushed(one, push, caps, place))
        kept.append(1.0 - push.share[place] if place in push.level else np.ones(1))
    down, up = _rooms(caps, loop, push)
    inner = system.coefficients[:, loop][:, :, loop]
    whole = np.stack(np.broadcast_arrays(*given), axis=-1)
    change, held = settled(Loop(inner, np.stack(np.broadcast_arrays(*kept), axis=-1), whole, down, up))
    for i, place in enumerate(loop):
        changes[place], capped[place] = change[:, :, i], float(held[:, :, i].mean())


def _brought(
    system: System,
    place: int,
    before: tuple[list[FloatArray | None], Answered | None],
    caps: Caps,
    carried: Mapping[int, FloatArray],
) -> FloatArray | None:
    """What causes bring within the wave, and earlier waves by lagged edges; None = no change."""
    change = _inherited(system, place, *before, caps)
    if place not in carried:
        return change
    return carried[place] if change is None else change + carried[place]


def _inherited(
    system: System, place: int, changes: list[FloatArray | None], answered: Answered | None, caps: Caps
) -> FloatArray | None:
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
    given = None if answered is None or change is None else answered.change(place, change)
    if given is not None:
        return given
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
    if place not in push.growth and place not in push.shift:
        return change
    before = change
    if place in push.growth:
        change = change + push.growth[place] * _level(caps, place)
    if place in push.shift:
        change = change + push.shift[place]
    return _in_the_mean(before, change, push, caps, place) if place in caps.figures else change


def _in_the_mean(before: FloatArray, after: FloatArray, push: Push, caps: Caps, place: int) -> FloatArray:
    """Hold the mean of a figure inside its ends, over units that are treated alike: nobody moves more than there is.

    Where every unit gets what some have already, the mean rises to the end; where only those get it that have none,
    each of them does.
    """
    if caps.levels is None or (np.isinf(caps.low[place]) and np.isinf(caps.high[place])):
        return after
    level = _level(caps, place)
    acting = [part[place] for part in (push.shift, push.growth, push.level, push.share) if place in part]
    treated = np.stack(np.broadcast_arrays(*acting))
    kinds, which = np.unique(treated, axis=1, return_inverse=True)
    held = after
    for kind in range(kinds.shape[1]):
        cell = np.flatnonzero(which.ravel() == kind) if kinds.shape[1] > 1 else np.arange(level.shape[1])
        first, last = (_of(level, cell) + _of(change, cell) for change in (before, after))
        one, two = first.mean(axis=1), last.mean(axis=1)
        over = two - np.clip(two, np.minimum(caps.low[place], one), np.maximum(caps.high[place], one))
        if not over.any():
            continue
        if kinds.shape[1] == 1:
            return np.asarray(after - over[:, None])
        if held is after:
            held = np.array(np.broadcast_to(after, np.broadcast_shapes(after.shape, level.shape, (len(over), 1))))
        held[:, cell] -= over[:, None]
    return held


def _of(values: FloatArray, cell: IntArray) -> FloatArray:
    """(draws, cell) values of some units."""
    return values if values.shape[1] == 1 else values[:, cell]


def _cut_of(before: FloatArray, after: FloatArray, push: Push, caps: Caps, place: int) -> float:
    """Share of cells in which what acts on a figure was held back; 0 for a rating, which is held later."""
    if place not in caps.figures:
        return 0.0
    free = _pushed(before, push, Caps(caps.levels, caps.low, caps.high), place)
    return 1.0 - float(np.count_nonzero(np.broadcast_to(free, after.shape) == after)) / after.size


def _level(caps: Caps, place: int) -> FloatArray:
    """(1, units) or (draws, units) level of a construct before the push."""
    if caps.levels is None:
        raise ValueError("setting a level needs the units' levels")  # callers give them
    return np.atleast_2d(caps.levels[..., place])


def _held(change: FloatArray, caps: Caps, place: int, known: bool = False) -> tuple[FloatArray, float]:
    """Keep every unit inside the ends of the scale; the share of cells that were cut."""
    room = caps.room(place, known)
    if room is None or (change.max() <= room.least_up and change.min() >= room.least_down):
        return change, 0.0
    held = np.clip(change, room.down, room.up)
    return held, 1.0 - float(np.count_nonzero(held == change)) / held.size


def _rooms(caps: Caps, places: tuple[int, ...], push: Push) -> tuple[FloatArray | None, FloatArray | None]:
    """(units, m) or (draws, units, m) largest changes down and up; None where nothing is bounded."""
    found = [caps.room(place, place in push.level) for place in places]
    if caps.levels is None or all(room is None for room in found):
        return None, None
    shape = np.broadcast_shapes(caps.levels.shape[:-1], *(room.down.shape for room in found if room is not None))
    free = np.full(shape, np.inf)
    down = np.stack([-free if room is None else np.broadcast_to(room.down, shape) for room in found], axis=-1)
    return down, np.stack([free if room is None else np.broadcast_to(room.up, shape) for room in found], axis=-1)
