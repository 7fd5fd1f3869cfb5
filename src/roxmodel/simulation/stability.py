"""Feedback: loops within a wave and over waves, how strongly they carry a push round, and whether it settles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import networkx as nx
import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.result.system import System, stability_index
from roxmodel.simulation.actions import Action
from roxmodel.types import BoolArray, FloatArray

__all__ = ["LoopGain", "assumed_notes", "long_run", "loop_gains", "require_equilibrium", "settles", "spectral_radius"]

_STEADY = 0.5  # share of draws with an equilibrium below which nothing is simulated
_LOOPS = 50  # loops looked at; a model has a handful
_STATES = 2_000  # constructs times waves that a push around a loop is followed over
_CELLS = 8_000_000  # of companion matrices at once (64 MB)


@dataclass(frozen=True, slots=True)
class LoopGain:
    """What a push of 1 comes back as after one round.

    Attributes
    ----------
    path
        Constructs of the loop, the first one again at the end.
    lag
        Waves that a round takes; 0 = within the wave.
    gain
        (draws,) product of its edges.
    """

    path: tuple[str, ...]
    lag: int
    gain: FloatArray


def require_equilibrium(fit: Fit, system: System) -> tuple[System, tuple[str, ...], tuple[str, ...]]:
    """The draws in which every feedback loop settles; what each loop carries round; how many draws did not settle.

    Raises
    ------
    SimulationError
        If a push around a loop grows for ever at the estimate, or in most draws: the largest eigenvalue of what one
        wave hands to the next, or of the loop within the wave, is 1 or more in modulus (Bentler & Freeman 1983, doi
        10.1007/BF02294026).
    """
    if next(_loops(fit), None) is None:
        return system, (), ()
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
        return whole, notes, ()
    lost = (
        f"In {int((~steady).sum())} of {len(steady)} draws the feedback loop {names} has no equilibrium; they are "
        "left out, so that intervals are those of a loop that settles."
    )
    return whole.only(steady), notes, (lost,)


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
        for cause, effect, lag in lags:
            to, from_ = place[effect], place[cause]
            gain = gain * (dict(system.lagged)[lag][to, from_] if lag else system.coefficients[:, to, from_])
        found.append(LoopGain(path, sum(lag for _, _, lag in lags), gain))
    return tuple(found)


def _loops(fit: Fit) -> Iterator[tuple[tuple[str, ...], tuple[tuple[str, str, int], ...]]]:
    lags: dict[tuple[str, str], list[int]] = {}
    for edge in fit.model.edges:
        lags.setdefault((edge.cause, edge.effect), []).append(edge.lag)
    order = {name: i for i, name in enumerate(fit.model.order())}
    number = 0
    for cycle in nx.simple_cycles(nx.DiGraph(list(lags))):
        first = min(range(len(cycle)), key=lambda i: order[cycle[i]])
        turned = [*cycle[first:], *cycle[:first]]
        path = (*turned, turned[0])
        steps = list(pairwise(path))
        for ways in product(*(sorted(lags[step]) for step in steps)):  # an edge may act at once and later again
            if number >= _LOOPS:
                return
            number += 1
            yield path, tuple((*step, lag) for step, lag in zip(steps, ways, strict=True))


def spectral_radius(system: System) -> FloatArray:
    """Largest modulus of the eigenvalues of what goes round, (draws,): below 1 every push dies out.

    Within the wave that of B; over waves that of the companion matrix of ``(I - B)⁻¹ B_l``; the larger of the two.
    """
    within = stability_index(system.coefficients)
    if not system.lagged:
        return within
    k, depth = system.coefficients.shape[1], max(lag for lag, _ in system.lagged)
    if depth * k > _STATES:
        raise SimulationError(
            f"An edge acts {depth:,} waves later in a graph with a feedback loop: whether a push around it settles "
            "cannot be followed over so many waves.",
            allowed=f"a lag of up to {_STATES // k:,} waves with {k} constructs",
        )
    found = np.array(within)
    calm = np.flatnonzero(within < 1)
    for some in np.array_split(calm, max(1, -(-len(calm) * (depth * k) ** 2 // _CELLS))):
        found[some] = np.maximum(within[some], _over_waves(system, system.coefficients[some], depth))
    return found


def _over_waves(system: System, coefficients: FloatArray, depth: int) -> FloatArray:
    """Largest modulus of the eigenvalues of the companion matrix, (draws,)."""
    draws, k = coefficients.shape[:2]
    first = np.zeros((draws, k, depth * k))
    for lag, matrix in system.lagged:
        first[:, :, (lag - 1) * k : lag * k] = np.linalg.solve(np.eye(k) - coefficients, matrix[None])
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
    which units are covered. Linear graphs; the ends of scales are not counted.

    Parameters
    ----------
    levels
        (units, k) levels before; needed where a level is set or scaled.
    """
    covers = np.stack(np.broadcast_arrays(*(action.covers for action in actions)))
    ways, of = np.unique(covers, axis=1, return_inverse=True)
    k = system.coefficients.shape[1]
    inner = system.coefficients + np.sum([np.zeros((k, k)), *(matrix for _, matrix in system.lagged)], axis=0)
    found = np.zeros(system.coefficients.shape[:2])
    for number, way in enumerate(ways.T):
        acting = [action for action, covered in zip(actions, way, strict=True) if covered]
        units = np.asarray(of.reshape(-1)) == number
        before = np.zeros(k) if levels is None else (levels if len(units) == 1 else levels[units]).mean(axis=0)
        push, free = np.zeros(k), np.ones(k)
        growth: dict[int, float] = {}
        for action in acting:
            for place, level in action.level.items():
                free[place], push[place] = 0.0, push[place] + level - before[place]
            for place, points in action.shift.items():
                push[place] += points
            for place, more in action.growth.items():
                growth[place] = (1.0 + growth.get(place, 0.0)) * (1.0 + more) - 1.0
        for place, more in growth.items():
            push[place] += more * before[place]
        settled = np.linalg.solve(np.eye(k) - free[:, None] * inner, np.broadcast_to(push[:, None], (len(inner), k, 1)))
        found += units.mean() * settled[:, :, 0]
    return found
