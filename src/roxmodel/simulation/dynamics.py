"""Actions over time: wave by wave, all draws at once, unit by unit where it matters; whether feedback settles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import NamedTuple

import networkx as nx
import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import KeptLevels, UnitLevels, complete_levels, unit_levels
from roxmodel.result.response import Caps, LevelDoubt, Push, travel
from roxmodel.result.system import System, stability_index
from roxmodel.simulation.actions import Action, ends_where, is_figure
from roxmodel.simulation.money.values import Priced
from roxmodel.types import BoolArray, FloatArray

__all__ = [
    "Course", "Ground", "LoopGain", "Settling", "assumed_notes", "course_of", "ground_of", "long_run", "loop_gains",
    "push_of", "require_equilibrium", "settled_within", "settles", "spectral_radius",
]  # fmt: skip


_WORKERS = min(os.cpu_count() or 1, 4)
_STEADY = 0.5  # share of draws with an equilibrium below which nothing is simulated
_LOOPS = 50  # loops looked at; a model has a handful
_STATES = 2_000  # constructs times waves that a push around a loop is followed over
_COMPANIONS = 8_000_000  # of companion matrices at once (64 MB)
_CELLS = 1 << 16  # cells of one array that stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the units stand before anything is done, and between which ends."""

    levels: UnitLevels | KeptLevels | None  # of the units; None where they are not known or not needed
    low: FloatArray  # low, high: (k,) ends of the scales, infinite where there is none
    high: FloatArray
    # places of the constructs whose level is one outcome (`is_figure`): their mean is held, not each unit
    figures: frozenset[int] = frozenset()
    doubt: LevelDoubt | None = None  # error of the levels as a whole, draw by draw; None = they are taken as known

    def caps(self, start: int, stop: int, places: tuple[int, ...]) -> Caps:
        """Levels and ends of some draws."""
        levels = None if self.levels is None else self.levels.drawn(start, stop, places)
        doubt = None if self.doubt is None else self.doubt.slice(start, stop)
        return Caps(levels, self.low, self.high, self.figures, doubt)


@dataclass(frozen=True, slots=True)
class Course:
    """What happens, mean over the units."""

    changes: FloatArray  # (draws, waves, k) mean change against no action
    capped: FloatArray  # (k,) share of draws, units and waves in which the end of a scale cut the change
    readings: tuple[FloatArray, ...] = ()  # (draws, waves) for each price: mean over the units of what it is paid for


def ground_of(
    fit: Fit,
    actions: Sequence[Action],
    seed: int | None,
    priced: Sequence[Priced] = (),
    doubt: LevelDoubt | None = None,
) -> Ground:
    """Levels of the units and ends of the scales, as far as the question needs them.

    A construct with a linear equation, or with none, is held inside the ends its scale has: a rating unit by unit, a
    yes/no, a count (from 0 on) or a share in the mean (`is_figure`). A curved equation keeps its outcome in range by
    itself (there the change of a yes/no is a change of probability), and what acts on it directly is held in the mean
    like that of any yes/no or count. Without means there are no levels, and so no caps.
    """
    low, high = ends_where(fit, lambda place, one: fit.families[place] == LINEAR or is_figure(one))
    if fit.population.mean is None:
        return Ground(None, low, high)
    ended = np.isfinite(low) | np.isfinite(high)
    figures = {place for place, one in enumerate(fit.model.constructs) if ended[place] and is_figure(one)}
    needed = (
        np.isfinite([low, high]).any()
        or any(action.level or action.growth or len(action.covers) > 1 for action in actions)
        or any(family != LINEAR for family in fit.families)
        or any(not one.plain for one in priced)
    )
    return Ground(unit_levels(fit, seed) if needed else None, low, high, frozenset(figures), doubt)


def course_of(
    system: System, actions: Sequence[Action], ground: Ground, horizon: int, priced: Sequence[Priced] = ()
) -> Course:
    """Let actions run their course."""
    draws = len(system.coefficients)
    units = 1 if ground.levels is None else len(ground.levels.mean)
    size = max(1, _CELLS // units)
    places = _levels_used(system, actions, ground, priced)

    def part(start: int) -> Course:
        stop = min(start + size, draws)
        return _chunk(system.only(slice(start, stop)), actions, ground.caps(start, stop, places), horizon, priced)

    if draws <= size:
        found = [part(0)]
    else:
        with ThreadPoolExecutor(_WORKERS) as pool:  # numpy lets go of the interpreter; the parts are independent
            found = list(pool.map(part, range(0, draws, size)))
    changes = np.concatenate([one.changes for one in found])
    capped = np.sum([one.capped * (len(one.changes) / draws) for one in found], axis=0)
    read = tuple(np.concatenate([one.readings[i] for one in found]) for i in range(len(priced)))
    for array in (changes, *read):
        array.setflags(write=False)
    return Course(changes, capped, read)


def _levels_used(
    system: System, actions: Sequence[Action], ground: Ground, priced: Sequence[Priced]
) -> tuple[int, ...]:
    """Places of the constructs whose levels are looked at: with ends, set, scaled, read as logarithms, curved."""
    used = set(np.flatnonzero(np.isfinite(ground.low) | np.isfinite(ground.high)).tolist())
    used |= {place for action in actions for place in (*action.level, *action.growth)}
    used |= {one.place for one in priced if one.log}
    if not system.linear:
        used |= set(range(len(system.names)))
    return tuple(sorted(used))


def _chunk(system: System, actions: Sequence[Action], caps: Caps, horizon: int, priced: Sequence[Priced]) -> Course:
    """Some draws of a course; waves with the same shares in force are alike, unless edges reach over waves."""
    draws, k = system.coefficients.shape[:2]
    means, capped = np.empty((draws, horizon, k)), np.zeros(k)
    read = [np.empty((draws, horizon)) for _ in priced]
    past: list[tuple[FloatArray, ...]] = []
    first: dict[tuple[float, ...], int] = {}
    cuts: list[FloatArray] = []
    for wave in range(horizon):
        twin = first.setdefault(tuple(float(action.share[wave]) for action in actions), wave)
        if twin != wave and not system.lags:
            for array in (means, *read):
                array[:, wave] = array[:, twin]
            cuts.append(cuts[twin])
        else:
            found = travel(system, push_of(actions, wave), caps, _carried(system, past))
            if system.lags:
                past.append(found.changes)
                del past[: -system.lags[-1]]  # what no edge reaches back to is let go
            cuts.append(found.capped)
            for place in range(k):
                means[:, wave, place] = _mean(found.changes[place])
            for one, array in zip(priced, read, strict=True):
                array[:, wave] = _read(one, found.changes[one.place], caps)
        capped += cuts[wave] / horizon
    return Course(means, capped, tuple(read))


def _read(one: Priced, change: FloatArray, caps: Caps) -> FloatArray:
    """(draws,) mean over the units of what a change counts."""
    if one.log:
        if caps.levels is None:
            raise ValueError("a logarithm needs the units' levels")  # callers give them
        change = np.exp(np.minimum(caps.levels[..., one.place], 700.0)) * np.expm1(np.minimum(change, 700.0))
    return _mean(change, one.weights)


def _mean(change: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """(draws,) mean over the units of a change (draws, units or 1), times what it counts in each.

    By way of the distance from the first unit: where all units move alike, the mean is that change to the last bit,
    whether it is carried as one column or as many, so that answers do not depend on which draws are taken together.
    Where they do not and units count differently, each unit's own part is added up: one that does not move adds
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
    for number, lag in enumerate(system.lags):
        if lag > len(past):
            continue
        coefficients = system.lagged[:, number]
        for effect, cause in np.argwhere((coefficients != 0).any(axis=0)):
            brought = coefficients[:, effect, cause, None] * past[-lag][cause]
            carried[int(effect)] = carried[int(effect)] + brought if int(effect) in carried else brought
    return carried


@dataclass(frozen=True, slots=True)
class LoopGain:
    """What a push of 1 comes back as after one round."""

    path: tuple[str, ...]  # constructs of the loop, the first one again at the end
    lag: int  # waves that a round takes; 0 = within the wave
    gain: FloatArray  # (draws,) product of its edges


class Settling(NamedTuple):
    """The draws in which every feedback loop settles."""

    system: System
    loops: tuple[str, ...] = ()  # what each loop carries round, in words
    lost: tuple[str, ...] = ()  # how many draws did not settle, in words
    steady: BoolArray | None = None  # (draws,) those that are left; None = all

    def of(self, theta: FloatArray) -> FloatArray:
        """Parameters of these draws."""
        return theta if self.steady is None else theta[self.steady]


def require_equilibrium(fit: Fit, system: System) -> Settling:
    """The draws in which a push around every loop dies out; refused if it does not at the estimate, or in most draws.

    The largest eigenvalue of what one wave hands to the next, or of the loop within the wave, has to be below 1 in
    modulus (Bentler & Freeman 1983, doi 10.1007/BF02294026).
    """
    if next(_loops(fit), None) is None:
        return Settling(system)
    estimate, whole = _steepest(fit, fit.system(marker=True)), system
    system = _steepest(fit, system)
    gains = loop_gains(fit, system)
    at = float(spectral_radius(estimate)[0])
    point = [float(found.gain[0]) for found in loop_gains(fit, estimate)]
    if not at < 1:
        worst = max(range(len(gains)), key=lambda i: abs(point[i]))
        raise SimulationError(
            f"The feedback loop {_arrows(gains[worst].path)} has no equilibrium: a push around it grows for ever "
            f"(largest eigenvalue {at:.3g} in modulus, gain of a round {point[worst]:.3g}).",
            allowed="below 1",
            hint="An edge of it is probably wrong, or an instrument is weak.",
        )
    steady = spectral_radius(system) < 1
    share = float(steady.mean())
    names = " and ".join(dict.fromkeys(_arrows(found.path) for found in gains))
    if share < _STEADY:
        raise SimulationError(
            f"The feedback loop {names} has an equilibrium in {share:.0%} of the draws only: the data cannot tell "
            "whether a push around it settles.",
            hint="More data, or stronger instruments.",
        )
    notes = tuple(_gain_note(found, at_estimate, steady) for found, at_estimate in zip(gains, point, strict=True))
    families = dict(zip(whole.names, whole.families, strict=True))
    if any(families[name] != LINEAR for found in gains for name in found.path):
        notes = (*notes, "Around curved equations the gain is that of the unit where the curve is steepest.")
    if share == 1:
        return Settling(whole, notes)
    lost = (
        f"In {int((~steady).sum())} of {len(steady)} draws the feedback loop {names} has no equilibrium; they are "
        "left out, so that intervals are those of a loop that settles."
    )
    return Settling(whole.only(steady), notes, (lost,), steady)


def settled_within(fit: Fit, draws: int, seed: int | None) -> tuple[Settling, FloatArray]:
    """Draws in which the loops within the wave settle, and their parameters; edges over waves do not act."""
    theta = fit.answer_draws(draws, seed)
    system = fit.system(theta, marker=True)
    settled = require_equilibrium(fit, system) if system.loops else Settling(system)
    return settled, settled.of(theta)


def settles(fit: Fit, system: System) -> BoolArray:
    """Whether a push around the loops dies out, (draws,)."""
    return np.asarray(spectral_radius(_steepest(fit, system)) < 1)


def _steepest(fit: Fit, system: System) -> System:
    """Curved equations as straight ones, as steep as in the unit where they are steepest; draw by draw."""
    if system.linear or system.intercepts is None or fit.population.mean is None:
        return system
    levels, coefficients = complete_levels(fit), system.coefficients.copy()
    for place, family in enumerate(system.families):
        if family == LINEAR:
            continue
        for draw, weights in enumerate(system.coefficients[:, place]):
            with np.errstate(over="ignore"):
                predictor = np.minimum(system.intercepts[draw, place] + levels @ weights, 700.0)
                mean = 1.0 / (1.0 + np.exp(-predictor)) if family == "logit" else np.exp(predictor)
            slope = mean * (1.0 - mean) if family == "logit" else mean
            coefficients[draw, place] *= slope.max()
    return replace(system, coefficients=coefficients, intercepts=None, families=(LINEAR,) * len(system.names))


def _gain_note(found: LoopGain, point: float, steady: BoolArray) -> str:
    when = "within the wave" if found.lag == 0 else f"after {found.lag} wave(s)"
    low, high = np.quantile(found.gain[steady], [0.025, 0.975])
    span = f" (95 %: {low:.3g} to {high:.3g})" if high > low else ""
    return f"Feedback loop {_arrows(found.path)}: a push of 1 comes back as {point:.3g}{span} {when}."


def _arrows(path: Sequence[str]) -> str:
    return " -> ".join(path)


def loop_gains(fit: Fit, system: System) -> tuple[LoopGain, ...]:
    """Every loop of the graph, those over waves included, with its gain in each draw."""
    place = {name: i for i, name in enumerate(fit.model.names)}
    found = []
    for path, lags in _loops(fit):
        gain = np.ones(len(system.coefficients))
        for (cause, effect), lag in zip(pairwise(path), lags, strict=True):
            within = system.lagged[:, system.lags.index(lag)] if lag else system.coefficients
            gain = gain * within[:, place[effect], place[cause]]
        found.append(LoopGain(path, sum(lags), gain))
    return tuple(found)


def _loops(fit: Fit) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Constructs of each loop, the first one again at the end, and the lag of each of its edges."""
    lags: dict[tuple[str, str], list[int]] = {}
    for edge in fit.model.edges:
        lags.setdefault((edge.cause, edge.effect), []).append(edge.lag)
    names = fit.model.order()
    place = {name: i for i, name in enumerate(names)}
    number = 0
    # by places: sets of names have another order in every process
    for cycle in nx.simple_cycles(nx.DiGraph([(place[cause], place[effect]) for cause, effect in lags])):
        first = cycle.index(min(cycle))
        path = tuple(names[i] for i in (*cycle[first:], *cycle[:first], cycle[first]))
        for ways in product(
            *(sorted(lags[step]) for step in pairwise(path))
        ):  # an edge may act at once and later again
            if number >= _LOOPS:
                return
            number += 1
            yield path, ways


def spectral_radius(system: System) -> FloatArray:
    """Largest modulus of the eigenvalues of what goes round, (draws,): below 1 every push dies out.

    Within the wave that of B; over waves that of the companion matrix of ``(I - B)⁻¹ B_l``; the larger of the two.
    """
    within = stability_index(system.coefficients)
    if not system.lags:
        return within
    k, depth = system.coefficients.shape[1], system.lags[-1]
    if depth * k > _STATES:
        raise SimulationError(
            f"An edge acts {depth:,} waves later in a graph with a feedback loop: whether a push around it settles "
            "cannot be followed over so many waves.",
            allowed=f"a lag of up to {_STATES // k:,} waves with {k} constructs",
        )
    found = np.array(within)
    calm = np.flatnonzero(within < 1)
    for some in np.array_split(calm, max(1, -(-len(calm) * (depth * k) ** 2 // _COMPANIONS))):
        found[some] = np.maximum(within[some], _over_waves(system.only(some), depth))
    return found


def _over_waves(system: System, depth: int) -> FloatArray:
    """Largest modulus of the eigenvalues of the companion matrix, (draws,)."""
    draws, k = system.coefficients.shape[:2]
    first = np.zeros((draws, k, depth * k))
    for number, lag in enumerate(system.lags):
        inner = np.eye(k) - system.coefficients
        first[:, :, (lag - 1) * k : lag * k] = np.linalg.solve(inner, system.lagged[:, number])
    rest = np.broadcast_to(np.eye((depth - 1) * k, depth * k), (draws, (depth - 1) * k, depth * k))
    companion = np.concatenate([first, rest], axis=1)
    return np.asarray(np.abs(np.linalg.eigvals(companion)).max(axis=-1, initial=0.0))


def assumed_notes(fit: Fit) -> tuple[str, ...]:
    """Edges whose strength was given and not estimated."""
    notes = []
    for row in fit.table.of("edge"):
        if not row.free and row.value is not None and row.value != 0:
            after = f" after {row.lag} wave(s)" if row.lag else ""
            notes.append(f"Assumed, not estimated: {row.left} -> {row.right}{after} = {row.value:g}.")
    return tuple(notes)


def long_run(system: System, actions: Sequence[Action], levels: FloatArray | None) -> FloatArray:
    """(draws, k) mean change over the units that actions settle at if they are kept at full force for ever.

    ``(I - B - Σ B_l)⁻¹`` times the push, with the rows of constructs that are set to a level emptied, for each way in
    which units are covered. Linear graphs, without ends of scales. `levels`: (units, k) before; needed to set or scale.
    """
    covers = np.stack(np.broadcast_arrays(*(action.covers for action in actions)))
    ways, of = np.unique(covers, axis=1, return_inverse=True)
    k = system.coefficients.shape[1]
    inner = system.coefficients + system.lagged.sum(axis=1) if system.lags else system.coefficients
    found = np.zeros(system.coefficients.shape[:2])
    for number, way in enumerate(ways.T):
        acting = [replace(a, share=np.ones(1), covers=np.ones(1)) for a, on in zip(actions, way, strict=True) if on]
        done = push_of(acting, 0)
        units = np.asarray(of.reshape(-1)) == number
        before = np.zeros(k) if levels is None else (levels if len(units) == 1 else levels[units]).mean(axis=0)
        push, free = np.zeros(k), np.ones(k)
        for place, level in done.level.items():
            free[place], push[place] = 0.0, level[0] - before[place]
        for place, points in done.shift.items():
            push[place] += points[0]
        for place, more in done.growth.items():
            push[place] += more[0] * before[place]
        settled = np.linalg.solve(np.eye(k) - free[:, None] * inner, np.broadcast_to(push[:, None], (len(inner), k, 1)))
        found += units.mean() * settled[:, :, 0]
    return found
