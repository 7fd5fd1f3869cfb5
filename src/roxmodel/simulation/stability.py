"""Feedback: loops within a wave and over waves, how strongly they carry a push round, and whether it settles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.result.fit import Fit
from roxmodel.result.system import System, stability_index
from roxmodel.types import FloatArray

__all__ = ["LoopGain", "assumed_notes", "loop_gains", "require_equilibrium", "settled_effects", "spectral_radius"]

_STEADY = 0.5  # share of draws with an equilibrium below which nothing is simulated
_LOOPS = 50  # loops looked at; a model has a handful


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
    gains = loop_gains(fit, system)
    if not gains:
        return system, (), ()
    at = float(spectral_radius(fit.system(marker=True))[0])
    point = {found.path: float(found.gain[0]) for found in loop_gains(fit, fit.system(marker=True))}
    if not at < 1:
        worst = max(gains, key=lambda found: abs(point[found.path]))
        raise SimulationError(
            f"The feedback loop {_arrows(worst.path)} has no equilibrium: a push around it grows for ever (largest "
            f"eigenvalue {at:.3g} in modulus, gain of a round {point[worst.path]:.3g}).",
            allowed="below 1",
            hint="An edge of it is probably wrong, or an instrument is weak.",
        )
    steady = spectral_radius(system) < 1
    share = float(steady.mean())
    names = " and ".join(_arrows(found.path) for found in gains)
    if share < _STEADY:
        raise SimulationError(
            f"The feedback loop {names} has an equilibrium in {share:.0%} of the draws only: the data cannot tell "
            "whether a push around it settles.",
            hint="More data, or stronger instruments.",
        )
    notes = tuple(_gain_note(found, point[found.path], steady) for found in gains)
    if share == 1:
        return system, notes, ()
    lost = (
        f"In {int((~steady).sum())} of {len(steady)} draws the feedback loop {names} has no equilibrium; they are "
        "left out, so that intervals are those of a loop that settles."
    )
    return system.only(steady), notes, (lost,)


def _gain_note(found: LoopGain, point: float, steady: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
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
    lags: dict[tuple[str, str], int] = {}
    for edge in fit.model.edges:
        lags[edge.cause, edge.effect] = min(edge.lag, lags.get((edge.cause, edge.effect), edge.lag))
    order = {name: i for i, name in enumerate(fit.model.order())}
    for number, cycle in enumerate(nx.simple_cycles(nx.DiGraph(list(lags)))):
        if number >= _LOOPS:
            return
        first = min(range(len(cycle)), key=lambda i: order[cycle[i]])
        turned = [*cycle[first:], *cycle[:first]]
        path = (*turned, turned[0])
        # of parallel edges the one without delay
        yield path, tuple((cause, effect, lags[cause, effect]) for cause, effect in pairwise(path))


def spectral_radius(system: System) -> FloatArray:
    """Largest modulus of the eigenvalues of what goes round, (draws,): below 1 every push dies out.

    Within the wave that of B; over waves that of the companion matrix of ``(I - B)⁻¹ B_l``; the larger of the two.
    """
    within = stability_index(system.coefficients)
    if not system.lagged:
        return within
    k, depth = system.coefficients.shape[1], max(lag for lag, _ in system.lagged)
    found = np.array(within)
    calm = within < 1
    first = np.zeros((int(calm.sum()), k, depth * k))
    for lag, matrix in system.lagged:
        first[:, :, (lag - 1) * k : lag * k] = np.linalg.solve(np.eye(k) - system.coefficients[calm], matrix[None])
    rest = np.broadcast_to(np.eye((depth - 1) * k, depth * k), (len(first), (depth - 1) * k, depth * k))
    over = np.abs(np.linalg.eigvals(np.concatenate([first, rest], axis=1))).max(axis=-1, initial=0.0)
    found[calm] = np.maximum(within[calm], over)
    return found


def settled_effects(system: System) -> FloatArray:
    """Where a push that is kept up settles, (draws, k, k) ``[d, effect, cause]``: ``(I - B - Σ B_l)⁻¹``.

    Linear graphs, without the ends of scales.
    """
    k = system.coefficients.shape[1]
    lagged = np.sum([np.zeros((k, k)), *(matrix for _, matrix in system.lagged)], axis=0)
    return np.asarray(np.linalg.inv(np.eye(k) - system.coefficients - lagged))


def assumed_notes(fit: Fit) -> tuple[str, ...]:
    """Edges whose strength was given and not estimated."""
    notes = []
    for row in fit.table.of("edge"):
        if not row.free and row.value is not None and row.value != 0:
            after = f" after {row.lag} wave(s)" if row.lag else ""
            notes.append(f"Assumed, not estimated: {row.left} -> {row.right}{after} = {row.value:g}.")
    return tuple(notes)
