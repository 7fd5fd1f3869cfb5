"""Arrows that regressions of composites lack: whether what two equations leave goes together, less the noise of means.

In every unit the product of what the causes leave of both ends, less what the sampling errors of their means put into
it, has the mean 0 where the arrow is rightly absent; a t test of that mean takes no normality and no equal variances,
and does not feel how the coefficients were estimated (they are orthogonal to it). Coefficients come from moments less
the mean noise: Fuller (1987), Measurement error models, doi 10.1002/9780470316665, ch. 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.candidates import chance, few_units_p
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.moments.linked import LinkedMoments, UnitMeans
from roxmodel.numerals import plain
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.spec.causal import within_wave
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray

__all__ = ["composite_arrows"]

_MOST = 4  # arrows that are named
_MATTERS = 0.1  # standardised change from which an arrow matters
_LEAST = 0.05  # share of a cause's variance that noise and the other causes must leave to correct for noise


@dataclass(frozen=True, slots=True)
class _AbsentPair:
    """An arrow that is not in the graph, in causal order; where there is none, what two effects share."""

    left: str
    right: str
    ordered: bool


@dataclass(frozen=True, slots=True)
class _Result:
    statistic: float
    n: int
    left: float  # degrees of freedom
    change: float
    standardized: float


_NOTHING = _Result(np.nan, 1, 1.0, np.nan, np.nan)


def composite_arrows(evidence: Evidence) -> Iterator[Doubt]:
    """Of a fit by regressions, from rows: pairs of constructs without an arrow that the data join."""
    fit = evidence.fit
    if fit.traits.latent or fit.population.levels is None or fit.model.feedback or not fit.model.edges:
        return
    noise = _noise(evidence)
    given = {name: set(fit.model.causes(name)) for name in fit.model.names}
    pairs = _pairs(fit)
    for _ in range(_MOST):
        tests = {pair: _tested(fit, pair, given, noise) for pair in pairs}
        p = holm(np.array([few_units_p(*_numbers(one))[0] for one in tests.values()]))
        if not len(p) or np.isnan(p).all() or not np.nanmin(p) < LEVELS["missing_arrow"]:
            return
        at = int(np.nanargmin(p))
        pair = pairs[at]
        yield _told(fit, pair, tests[pair], (chance(float(p[at]), len(pairs)), noise is not None))
        given[pair.right] = given[pair.right] | {pair.left}


def _numbers(one: _Result) -> tuple[FloatArray, float, FloatArray]:
    return np.array([one.statistic]), float(one.n), np.array([one.left])


def _pairs(fit: Fit) -> list[_AbsentPair]:
    """Pairs that neither an arrow nor a covariance joins; a construct without a cause comes first."""
    graph = within_wave(fit.model.edges, fit.model.names)
    rank = {name: i for i, name in enumerate(fit.model.order())}
    joined = {frozenset(pair) for pair in graph.edges}
    joined |= {frozenset((pair.left, pair.right)) for pair in fit.model.covariances}
    found = []
    for a, b in combinations(sorted(graph, key=rank.__getitem__), 2):
        if frozenset((a, b)) in joined or not (graph.in_degree(a) or graph.in_degree(b)):
            continue
        left, right = (a, b) if graph.in_degree(b) else (b, a)
        found.append(_AbsentPair(left, right, nx.has_path(graph, left, right) or not graph.in_degree(left)))
    return found


def _noise(evidence: Evidence) -> FloatArray | None:
    """(n, k, k) covariance of the sampling errors of the units' scores; None where cases are people."""
    fit, data = evidence.fit, evidence.data
    if not isinstance(data, Study | LinkedMoments) or fit.population.units is None:
        return None
    items = tuple(item.name for item in fit.model.items)
    means = UnitMeans.of(data.moments if isinstance(data, Study) else data, items)
    within = {one.moments.source: np.nan_to_num(one.moments.within_covariance) for one in means.sources}
    place = {unit: i for i, unit in enumerate(means.units)}
    at = [place.get(unit, -1) for unit in fit.population.units]
    weights = np.zeros((len(items), len(fit.measures)))
    for k, measure in enumerate(fit.measures):
        for item, weight, sign in zip(measure.items, measure.weights, measure.signs, strict=True):
            weights[items.index(item), k] = weight * sign
    errors = weights.T @ np.nan_to_num(means.noise(within)) @ weights
    return np.where(np.array(at)[:, None, None] >= 0, errors[at], 0.0)


def _tested(fit: Fit, pair: _AbsentPair, given: Mapping[str, set[str]], noise: FloatArray | None) -> _Result:
    """One pair; NaN where noise leaves too little, or an equation is not linear."""
    names = list(fit.model.names)
    families = dict(zip(names, fit.families, strict=True))
    causes = sorted(given[pair.right])
    others = causes if pair.ordered else sorted(given[pair.left])
    used = [names.index(name) for name in dict.fromkeys([pair.left, pair.right, *causes, *others])]
    levels = np.asarray(fit.population.levels)[:, used]
    rows = ~np.isnan(levels).any(axis=1)
    n, ends = int(rows.sum()), {families[name] for name in (pair.left, pair.right)}
    if n < len(used) + 3 or ends != {LINEAR}:
        return _NOTHING
    own = levels[rows] - levels[rows].mean(axis=0)
    errors = np.zeros((n, len(used), len(used)))
    if noise is not None:
        errors = noise[rows][:, used][:, :, used]
    moments = own.T @ own / n - errors.mean(axis=0)
    place = {names[k]: i for i, k in enumerate(used)}
    rest = []
    for end, known in ((pair.left, others), (pair.right, causes)):
        left = _left(moments, place[end], [place[name] for name in known])
        if left is None:
            return _NOTHING
        rest.append(left)
    scores = (own @ rest[0]) * (own @ rest[1]) - np.einsum("a,jab,b->j", rest[0], errors, rest[1])
    spread = float(rest[0] @ moments @ rest[0])
    change = float(scores.mean()) / spread
    size = np.sqrt(moments[0, 0] / moments[1, 1])
    statistic = float(scores.sum() ** 2 / (scores**2).sum())
    return _Result(statistic, n, float(n - len(causes) - 2), change, change * float(size))


def _left(moments: FloatArray, end: int, known: list[int]) -> FloatArray | None:
    """What to multiply scores by for what the causes leave of one of them; None where noise leaves too little."""
    found = np.zeros(len(moments))
    found[end] = 1.0
    at = [end, *known]
    own = np.diag(moments)[at]
    if not (own > 0).all():
        return None
    scaled = moments[np.ix_(at, at)] / np.sqrt(np.outer(own, own))
    if np.linalg.eigvalsh(scaled)[0] < _LEAST / len(at):
        return None
    if known:
        found[known] = -np.linalg.solve(moments[np.ix_(known, known)], moments[known, end])
    return found


def _told(fit: Fit, pair: _AbsentPair, one: _Result, words: tuple[str, bool]) -> Doubt:
    tested, corrected = words
    if pair.ordered:
        what = (
            f"The data ask for an arrow that the graph does not have, {pair.left} -> {pair.right}: about "
            f"{plain(one.change, 2)} {pair.right} for one point of {pair.left} beside the arrows that are there "
            f"({tested})."
        )
    else:
        what = (
            f"{pair.left} and {pair.right} have more in common than their causes let expect, {pair.left} <-> "
            f"{pair.right} ({tested})."
        )
    remedy = (
        "Draw what is missing if it can be true (the arrow, something between the two, or a cause of both) and fit "
        "again; while it is missing, totals along it are not known."
    )
    if not corrected:
        what += " Scores of people carry the error of their items, which alone lets a cause shine through another."
        remedy = "Fit with method='sem', which takes that error out, before any arrow is added."
    verdict: DoubtVerdict = "doubtful" if corrected and abs(one.standardized) > _MATTERS else "note"
    graph = within_wave(fit.model.edges, fit.model.names)
    after = {pair.left} | nx.descendants(graph, pair.left)
    before = {pair.right} | nx.ancestors(graph, pair.right)
    edges = [f"{a} -> {b}" for a, b in graph.edges if b == pair.right or (a in after and b in before)]
    return Doubt("missing_arrow", verdict, what, (pair.left, pair.right), remedy, tuple(edges))
