"""Arrows that point the other way: which of them the data can tell, and whether one turned round fits better.

Graphs without hidden causes that have the same pairs joined and the same unmarried parents fit any data equally well
(Verma & Pearl 1990, Proc. 6th Conf. Uncertainty in Artificial Intelligence, 255-270; Chickering 1995, Proc. 11th,
87-98): arrows that differ between them are told by time, by knowledge or by an experiment, never by these data. Where
a turned arrow does make a difference, both graphs are held against the covariances of the constructs that the
likelihood gives without either (one step from the fit), in the metric of their errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import numpy as np
from scipy.special import chdtrc, chdtri

from roxmodel.doubts import Doubt
from roxmodel.estimate.checks.candidates import CandidateTests, chance, few_units_p
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.implied.matrices import DISTURBANCES, EDGES, implied
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.result.misfit import extended
from roxmodel.spec.causal import within_wave
from roxmodel.types import FloatArray, IntArray

__all__ = ["turned_arrows", "untold_arrows"]

Arrow = tuple[str, str]
_STEPS = 2  # of Gauss and Newton towards the covariances that a graph comes closest to
_SHOWN = 6
_FITS = 0.05  # p from which the turned graph reproduces the covariances of the constructs
_DIGITS = 1e-10  # smallest eigenvalue of errors, in their own units, that still has digits


def turned_arrows(evidence: Evidence) -> Iterator[Doubt]:
    """Arrows whose direction these data cannot tell, as a note; arrows that fit better turned round, as doubts."""
    fit = evidence.fit
    if not _recursive(fit):
        return
    untold = untold_arrows(within_wave(fit.model.edges, fit.model.names))
    if untold:
        yield _untold(untold)
    if evidence.tested is not None:
        yield from _better_turned(fit, evidence.tested, untold)


def _recursive(fit: Fit) -> bool:
    """Whether the graph has no loop, no group, no covariance beside those of constructs without a cause."""
    model = fit.model
    free = set(model.exogenous_names)
    stated = any(
        pair.left != pair.right and pair.left in model.names and not {pair.left, pair.right} <= free
        for pair in model.covariances
    )
    ends = model.terminal_covariances and len([name for name in model.endogenous if not _acts(fit, name)]) > 1
    return bool(model.edges) and not (model.feedback or stated or ends or len(fit.groups) > 1)


def _acts(fit: Fit, name: str) -> bool:
    return any(edge.cause == name and not edge.lag for edge in fit.model.edges)


def untold_arrows(graph: nx.DiGraph[str]) -> list[Arrow]:
    """Arrows that some graph turns round which fits any data as well; constructs without a cause covary freely.

    What is told: arrows into a construct from two that nothing joins, and what follows from them without making a new
    such pair or a loop. Meek (1995), Proc. 11th Conf. Uncertainty in Artificial Intelligence, 403-410.

    >>> untold_arrows(nx.DiGraph([("a", "b"), ("b", "c")]))
    [('a', 'b'), ('b', 'c')]
    >>> untold_arrows(nx.DiGraph([("a", "c"), ("b", "c"), ("c", "d"), ("a", "b")]))
    [('a', 'c'), ('a', 'b'), ('c', 'd'), ('b', 'c')]
    """
    whole = nx.DiGraph(graph)
    free = [name for name in graph if not graph.in_degree(name)]
    whole.add_edges_from(combinations(free, 2))
    joined = {frozenset(pair) for pair in whole.edges}
    told: set[Arrow] = set()
    for c in whole:
        for a, b in combinations(whole.predecessors(c), 2):
            if frozenset((a, b)) not in joined:
                told |= {(a, c), (b, c)}
    while True:
        more = {pair for pair in whole.edges if pair not in told and _follows(pair, whole, joined, told)}
        if not more:
            return [pair for pair in graph.edges if pair not in told]
        told |= more


def _follows(arrow: Arrow, whole: nx.DiGraph[str], joined: set[frozenset[str]], told: set[Arrow]) -> bool:
    """Whether an arrow's direction follows from those that are told (Meek's first three rules)."""
    a, b = arrow

    def free(x: str, y: str) -> bool:
        return frozenset((x, y)) in joined and (x, y) not in told and (y, x) not in told

    if any((c, a) in told and frozenset((c, b)) not in joined for c in whole.predecessors(a)):
        return True
    if any((a, c) in told and (c, b) in told for c in whole):
        return True
    into = [c for c in whole if (c, b) in told and free(a, c)]
    return any(frozenset(pair) not in joined for pair in combinations(into, 2))


def _untold(arrows: Sequence[Arrow]) -> Doubt:
    names = [f"{cause} -> {effect}" for cause, effect in arrows]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    finding = (
        f"These data cannot tell which way {'this arrow points' if len(names) == 1 else 'these arrows point'}: "
        f"{', '.join(names[:_SHOWN])}{more}; a graph with {'it' if len(names) == 1 else 'some of them'} turned round "
        "fits exactly as well."
    )
    remedy = "Their direction is what you know (time, an experiment, how things work), not what the fit has shown."
    culprits = tuple(dict.fromkeys(name for arrow in arrows for name in arrow))
    return Doubt("reversed", "note", finding, culprits, remedy, tuple(names))


# --- turned arrows that make a difference


@dataclass(frozen=True, slots=True)
class _Latent:
    """Covariances of k constructs without any structure, in units of their own spread, and the inverse of their errors.

    `df` counts the pairs that no arrow joins.
    """

    names: tuple[str, ...]
    covariance: FloatArray  # (k, k)
    weight: FloatArray  # (q, q) of the pairs a ≥ b
    df: int


def _better_turned(fit: Fit, found: CandidateTests, untold: Sequence[Arrow]) -> Iterator[Doubt]:
    """Turn every arrow that the data can tell, by itself; those that fit better beyond chance."""
    graph = within_wave(fit.model.edges, fit.model.names)
    turned = {pair: one for pair in graph.edges if pair not in untold and (one := _turned(graph, pair)) is not None}
    if not turned:
        return
    least = float(chdtri(1, 2 * LEVELS["reversed"] / len(turned)))  # what turning must bring to be told from chance
    latent = _latent(fit, found, least)
    if latent is None or (drawn := _distance(latent, graph)) < least:
        return
    tried = [(_distance(latent, other), arrow) for arrow, other in turned.items()]
    gain = np.array([max(drawn - distance, 0.0) for distance, _ in tried])
    adjusted = holm(few_units_p(gain, found.n, np.full(len(tried), max(found.n - 3.0, 1.0))) / 2)
    better = sorted(
        (distance, float(p), arrow)
        for (distance, arrow), p in zip(tried, adjusted, strict=True)
        if p < LEVELS["reversed"] and chdtrc(latent.df, distance) > _FITS
    )
    if better:
        others = [f"{a} -> {b}" for _, _, (b, a) in better[1:_SHOWN]]
        yield _told(fit, better[0][2], chance(better[0][1], len(tried)), others)


def _turned(graph: nx.DiGraph[str], arrow: Arrow) -> nx.DiGraph[str] | None:
    """The graph with one arrow turned round; None where that makes a loop, or other constructs without a cause."""
    found = nx.DiGraph(graph)
    found.remove_edge(*arrow)
    found.add_edge(*arrow[::-1])
    same = all(bool(found.in_degree(name)) == bool(graph.in_degree(name)) for name in graph)
    return found if same and nx.is_directed_acyclic_graph(found) else None


def _told(fit: Fit, arrow: Arrow, tested: str, others: Sequence[str]) -> Doubt:
    cause, effect = arrow
    finding = (
        f"The arrow {cause} -> {effect} fits significantly better turned round, {effect} -> {cause} ({tested}): with "
        "it the graph reproduces how the constructs covary, as drawn it does not"
        f"{'; so it would with ' + ' or '.join(others) if others else ''}."
    )
    remedy = "Think again about what comes first; fit the graph with the arrow turned before any arrow is added."
    graph = within_wave(fit.model.edges, fit.model.names)
    edges = [f"{a} -> {b}" for a, b in graph.edges if b in {cause, effect}]
    return Doubt("reversed", "doubtful", finding, (cause, effect), remedy, tuple(edges))


def _latent(fit: Fit, found: CandidateTests, least: float) -> _Latent | None:
    """Let every pair of constructs that nothing joins be joined by an arrow in causal order, by one step.

    None where that brings less than `least`.
    """
    places = _unjoined(fit, found)
    if not places or any(row.given == "moment" for row in fit.table):
        return None
    at, asked, m = np.array(places), found.asked, fit.table.n_free
    inverse = np.linalg.pinv(asked.left[np.ix_(at, at)], hermitian=True)
    if float(asked.n * asked.slope[at] @ inverse @ asked.slope[at]) < least:
        return None
    change, lean, own = -inverse @ asked.slope[at], asked.lean[at], inverse / asked.n
    theta = np.concatenate([fit.theta + lean.T @ change, change])
    errors = np.block([[fit.vcov + lean.T @ own @ lean, lean.T @ own], [own @ lean, own]])
    group = extended(fit, [found.candidates[i] for i in places], None)[0]
    moving = np.unique(group.layout.theta[np.isin(group.layout.matrix, (EDGES, DISTURBANCES))])
    size = np.sqrt(np.maximum(np.diag(errors), 0.0))
    moving = moving[size[moving] > 0]
    steps = np.zeros((len(moving), m + len(at)))
    steps[np.arange(len(moving)), moving] = 1e-3 * size[moving]
    phi = implied(group.layout, np.concatenate([theta[None], theta + steps, theta - steps])).latent
    spread, low = np.sqrt(np.diag(phi[0])), np.tril_indices(len(phi[0]))
    phi = phi / np.outer(spread, spread)
    ahead, behind = (part[:, low[0], low[1]] for part in (phi[1 : len(moving) + 1], phi[len(moving) + 1 :]))
    slopes = (ahead - behind) / (2e-3 * size[moving])[:, None]
    around = slopes.T @ errors[np.ix_(moving, moving)] @ slopes
    scale = np.sqrt(np.diag(around))
    if not (scale > 0).all() or np.linalg.eigvalsh(around / np.outer(scale, scale))[0] < _DIGITS:
        return None
    return _Latent(fit.model.names, phi[0], np.linalg.inv(around), len(places))


def _unjoined(fit: Fit, found: CandidateTests) -> list[int]:
    """Candidates that are arrows in causal order of pairs that nothing joins."""
    order = {name: i for i, name in enumerate(fit.model.order())}
    free = set(fit.model.exogenous_names)
    pairs = {
        frozenset((one.row.left, one.row.right)): i
        for i, one in enumerate(found.candidates)
        if one.row.kind == "edge" and not one.value and order[one.row.left] < order[one.row.right]
    }
    pairs = {pair: i for pair, i in pairs.items() if not pair <= free}
    joined = {frozenset((edge.cause, edge.effect)) for edge in fit.model.edges if not edge.lag}
    return [i for pair, i in pairs.items() if pair not in joined]


def _distance(latent: _Latent, graph: nx.DiGraph[str]) -> float:
    """How far the covariances are from the nearest that a graph can make, in the metric of their errors."""
    names = {name: i for i, name in enumerate(latent.names)}
    phi, k = latent.covariance, len(names)
    arrows = np.array([(names[b], names[a]) for a, b in graph.edges])
    free = [names[name] for name in graph if not graph.in_degree(name)]
    pairs = np.array([(i, i) for i in range(k)] + list(combinations(free, 2)))
    beta, psi = np.zeros((k, k)), np.zeros((k, k))
    psi[np.ix_(free, free)] = phi[np.ix_(free, free)]
    for name in graph:
        causes, i = [names[cause] for cause in graph.predecessors(name)], names[name]
        if causes:
            beta[i, causes] = np.linalg.solve(phi[np.ix_(causes, causes)], phi[causes, i])
            psi[i, i] = phi[i, i] - phi[i, causes] @ beta[i, causes]
    values = np.concatenate([beta[arrows[:, 0], arrows[:, 1]], psi[pairs[:, 0], pairs[:, 1]]])
    low = np.tril_indices(k)
    for _ in range(_STEPS):
        steps = np.concatenate([np.zeros((1, len(values))), 1e-5 * np.eye(len(values)), -1e-5 * np.eye(len(values))])
        every = _made(values + steps, arrows, pairs, k)[:, low[0], low[1]]
        rest = phi[low] - every[0]
        slopes = (every[1 : len(values) + 1] - every[len(values) + 1 :]) / 2e-5
        turned = slopes @ latent.weight
        values = values + np.linalg.lstsq(turned @ slopes.T, turned @ rest, rcond=None)[0]
    rest = phi[low] - _made(values[None], arrows, pairs, k)[0][low]
    return float(rest @ latent.weight @ rest)


def _made(values: FloatArray, arrows: IntArray, pairs: IntArray, k: int) -> FloatArray:
    """(d, k, k) covariances that coefficients and (co)variances make, (d, arrows + pairs)."""
    beta, psi = np.zeros((len(values), k, k)), np.zeros((len(values), k, k))
    beta[:, arrows[:, 0], arrows[:, 1]] = values[:, : len(arrows)]
    psi[:, pairs[:, 0], pairs[:, 1]] = psi[:, pairs[:, 1], pairs[:, 0]] = values[:, len(arrows) :]
    total = np.linalg.inv(np.eye(k) - beta)
    return np.asarray(total @ psi @ total.swapaxes(1, 2))
