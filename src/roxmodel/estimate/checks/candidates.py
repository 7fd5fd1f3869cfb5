"""What the data ask of every parameter that is not free, strongest first, and what each would do to a fit: no refit.

Score tests by the likelihood that the fit maximised, in two families: constructs (tests of one degree for each pair
that no arrow joins, of the arrow and of a cause of both, and for what a cause and its effect share beyond their arrow),
and items (other constructs that one follows; pairs that share more than their construct). They are referred to F with
what is left of the units of the equation, and adjusted by Holm's method over the family. Once the strongest is in the
model (by a step of the likelihood) the others are tested again, so that its echoes are not reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
from scipy.special import stdtr

from roxmodel.estimate.checks.evidence import LEVELS, Estimated
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample
from roxmodel.implied.likelihood import case_scores
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.implied.score_tests import Freed
from roxmodel.numerals import p_text, plain
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.result.latent import given_by_data
from roxmodel.result.misfit import (
    Basis,
    Candidate,
    candidates_of,
    extended,
    is_structural,
    score_rows,
    tested,
)
from roxmodel.result.system import total_effects
from roxmodel.spec.causal import headline, within_wave
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

__all__ = [
    "CandidateTests", "Demand", "Moves", "asked_of", "chance", "demands", "few_units_p", "with_score_tests",
]  # fmt: skip

_MOST_ITEMS = 40  # with more, only arrows and covariances of constructs: items have p² / 2 candidates
_MOST = 4  # parameters that are named
_FELT = 0.25  # of its standard error by which an edge moves at least, to be concerned
_ALIKE = 1e-6  # of two statistics that are the same test


@dataclass(frozen=True, slots=True)
class CandidateTests:
    """Candidates, what each would bring, and what its change is multiplied by to be standardised.

    Where cases are not independent or are weighted, `scores` are those of each candidate, (c, C), summed by cluster
    (or of each case), what the parameters of the model account for taken off: a test is then whether their mean is 0.
    """

    candidates: tuple[Candidate, ...]
    asked: Freed
    units: FloatArray  # (c,)
    scores: FloatArray | None = None

    @property
    def n(self) -> float:
        """What is independent: cases, or clusters of them."""
        return self.asked.n if self.scores is None else float(self.scores.shape[1])

    @property
    def statistic(self) -> FloatArray:
        """(c,) statistic of each test, by the spread of the scores where these are needed."""
        if self.scores is None:
            return self.asked.statistic
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.scores.sum(axis=1) ** 2 / (self.scores**2).sum(axis=1)
        return np.asarray(np.where(np.isnan(self.asked.statistic), np.nan, found))

    def given(self, place: int) -> CandidateTests:
        """The same once one candidate is in the model."""
        scores = self.scores
        if scores is not None:
            scores = scores - np.outer(self.asked.left[:, place] / self.asked.left[place, place], scores[place])
        return replace(self, asked=self.asked.given(place), scores=scores)


def asked_of(estimated: Estimated) -> CandidateTests | None:
    """Test every candidate; None for regressions, ordinal items and an optimum that was not reached."""
    fit, solution = estimated.fit, estimated.solution
    if solution is None or fit.traits.ordinal or not (fit.converged and fit.identified):
        return None
    candidates = list(candidates_of(fit))
    if len(solution.sample.items) > _MOST_ITEMS:
        candidates = [one for one in candidates if is_structural(one.row, fit.model.names)]
    if not candidates:
        return None
    try:
        with one_blas_thread():
            found = CandidateTests(tuple(candidates), *tested(fit, candidates, _basis(solution)))
            return replace(found, scores=_scores(fit, solution, found))
    except np.linalg.LinAlgError:
        return None


def _basis(solution: LatentSolution) -> Basis:
    sample = solution.sample
    if isinstance(sample, LinkedSample):
        return Basis(sample.scale, (sample.data.merged(),))
    return Basis(sample.scale, tuple(group.data for group in sample.groups))


def _scores(fit: Fit, solution: LatentSolution, found: CandidateTests) -> FloatArray | None:
    """Where units or rows are clustered or weighted: scores of the candidates summed by cluster."""
    sample = solution.sample
    group = sample.groups[0]
    if len(sample.groups) > 1 or (group.clusters is None and not group.sampling):
        return None
    theta = np.concatenate([fit.theta, given_by_data(fit)[1], [one.value for one in found.candidates]])
    layout = extended(fit, found.candidates, sample.scale)[0].layout
    linked = isinstance(sample, LinkedSample)
    data = sample.data if isinstance(sample, LinkedSample) else group.data
    m = found.asked.lean.shape[1]
    count = len(sample.data.mean) if isinstance(sample, LinkedSample) else len(np.asarray(group.rows))
    clusters = np.arange(count) if group.clusters is None else group.clusters
    sums = np.zeros((int(clusters.max()) + 1, len(found.candidates)))
    for span, rows in case_scores(layout, theta, data, None if linked else group.rows):
        own = layout.link.T @ rows
        left = (own[m:] + found.asked.lean @ own[:m]).T
        np.add.at(sums, clusters[span], left if group.weights is None else left * group.weights[span, None])
    return sums[np.bincount(clusters, minlength=len(sums)) > 0].T


def with_score_tests(fit: Fit, found: CandidateTests | None) -> Fit:
    """The fit with what was found, where its own moments could not tell it later: units, answers with holes."""
    if found is None or not (fit.traits.levels == "predicted" or fit.missing != "listwise"):
        return fit
    return replace(fit, score_tests=tuple(score_rows(found.candidates, found.asked, found.units)))


# --- asked for


@dataclass(frozen=True, slots=True)
class Demand:
    """One parameter that the data ask for, once those before it are in the model."""

    structural: bool  # of constructs, else of items
    row: Parameter
    p: float  # adjusted for the tests of its family
    count: int  # tests of its family
    statistic: float
    change: float
    standardized: float
    moves: Moves


def demands(fit: Fit, found: CandidateTests) -> list[Demand]:
    """The parameters that are asked for at the levels of their checks, strongest first."""
    families = {True: _constructs(fit, found), False: _items(fit, found)}
    levels = {True: LEVELS["missing_arrow"], False: LEVELS["misfit"] / 2}
    told: list[Demand] = []
    while len(told) < _MOST:
        best = {kind: own.strongest(found, levels[kind]) for kind, own in families.items()}
        asking = [(one[1] / levels[kind], kind, one) for kind, one in best.items() if one is not None]
        if not asking:
            break
        _, kind, (place, p) = min(asking)
        row, change = found.candidates[place].row, float(found.asked.change[place])
        size, moves = change * float(found.units[place]), Moves.of(fit, found.asked, place, row)
        statistic = float(found.asked.statistic[place])
        told.append(Demand(kind, row, p, len(families[kind].places), statistic, change, size, moves))
        found = found.given(place)
    return told


def chance(p: float, count: int) -> str:
    """A p value among so many, in words."""
    text = p_text(p)
    text = text.replace("<", "below ") if text.startswith("<") else f"= {text}"
    return f"p {text}" if count == 1 else f"p {text}, adjusted for {count} such tests"


def _items(fit: Fit, found: CandidateTests) -> _Family:
    """Cross-loadings and covariances of item residuals that the model does not have."""
    statistic = found.asked.statistic
    places = [
        i
        for i, one in enumerate(found.candidates)
        if one.row.kind in {"loading", "covariance"} and one.status == "absent" and not np.isnan(statistic[i])
        and not is_structural(one.row, fit.model.names)
    ]  # fmt: skip
    return _Family(places, np.full(len(places), max(found.asked.n - 3.0, 1.0)))


@dataclass(frozen=True, slots=True)
class _Family:
    """What is tested together: places among the candidates, and what is left of the units for each."""

    places: Sequence[int]
    left: FloatArray

    def strongest(self, found: CandidateTests, level: float) -> tuple[int, float] | None:
        """The candidate that is asked for most, and its adjusted p; None if none is at this level."""
        statistic = found.statistic[list(self.places)]
        adjusted = holm(few_units_p(statistic, found.n, np.minimum(self.left, found.n - 1.0)))
        if not len(adjusted) or np.isnan(adjusted).all() or not np.nanmin(adjusted) < level:
            return None
        least = float(np.nanmin(adjusted))  # several may be equal
        asking = np.where(adjusted <= least, statistic, -np.inf)
        return self.places[int(np.nanargmax(asking))], least


def few_units_p(statistic: FloatArray, n: float, left: FloatArray) -> FloatArray:
    """P of a score statistic on n units, `left` of them after the parameters of the equation.

    Of a regression statistic / n is the partial R², whose F has `left` degrees of freedom: the chi-square of many units
    is exact for it. NaN stays.

    >>> few_units_p(np.array([9.0]), 50, np.array([46.0])).round(4).tolist()
    [0.0027]
    """
    share = np.minimum(statistic / n, 1 - 1e-9)
    return np.asarray(2.0 * stdtr(left, -np.sqrt(share / (1 - share) * left)), dtype=np.float64)


def _constructs(fit: Fit, found: CandidateTests) -> _Family:
    """One candidate for each pair, and for a cause and its effect the covariance of what others leave, where told."""
    graph = within_wave(fit.model.edges, fit.model.names)
    wanted = _Wanted(graph, {name: nx.ancestors(graph, name) for name in graph}, _joined(fit))
    places: list[int] = []
    for group in fit.groups:
        own = [(i, one.row) for i, one in enumerate(found.candidates) if one.row.group == group.name and not one.value]
        known: list[float] = []
        for i, row in sorted(own, key=lambda pair: pair[1].kind != "edge"):
            statistic = float(found.asked.statistic[i])
            if np.isnan(statistic) or not wanted.has(row):
                continue
            if row.kind == "edge" or not any(abs(statistic - one) <= _ALIKE * (1 + one) for one in known):
                known.append(statistic)  # a covariance may be the same test as an arrow
                places.append(i)
    units = {equation.effect: equation.n for equation in fit.equations}
    ends = [found.candidates[i].row.right for i in places]
    left = [units.get(name, fit.population.n) - len(fit.model.causes(name)) - 2.0 for name in ends]
    return _Family(places, np.maximum(np.array(left), 1.0))


def _joined(fit: Fit) -> frozenset[frozenset[str]]:
    """Pairs of constructs that an arrow of the graph, or a covariance, joins."""
    kinds = {"edge", "covariance"}
    rows = (row for row in fit.table if row.kind in kinds and not row.lag and (row.free or row.value))
    return frozenset(frozenset((row.left, row.right)) for row in rows)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which candidate stands for a pair."""

    graph: nx.DiGraph[str]
    above: Mapping[str, set[str]]
    joined: frozenset[frozenset[str]]

    def has(self, row: Parameter) -> bool:
        """The covariance, and an arrow in causal order, or from what has no cause where there is no order."""
        left, right = row.left, row.right
        if not {left, right} <= set(self.above):
            return False
        if frozenset((left, right)) in self.joined:
            return row.kind == "covariance" and (left in self.above[right]) != (right in self.above[left])
        ordered = left in self.above[right] or right in self.above[left]
        alone = [name for name in (left, right) if not self.above[name]]
        if row.kind == "edge":
            return left in self.above[right] or (not ordered and alone == [left])
        return not alone or (not ordered and len(alone) == 2)


@dataclass(frozen=True, slots=True)
class Moves:
    """What one more parameter would do to the numbers of a fit."""

    most: float  # largest move of an edge or of the headline total, in its standard errors
    edges: tuple[str, ...]  # those that move by more than a fraction of it
    told: str  # a sentence about totals, with a blank in front; empty where none moves by an error

    @classmethod
    def of(cls, fit: Fit, asked: Freed, place: int, row: Parameter) -> Moves:
        """By one step of the likelihood."""
        moved = asked.moved[place][: fit.table.n_free]
        se = np.sqrt(np.diag(fit.vcov))
        edges = [one for one in fit.table.of("edge") if one.free and not one.lag and se[one.free - 1] > 0]
        sizes = [abs(moved[one.free - 1] / se[one.free - 1]) for one in edges]
        most, far = max(sizes, default=0.0), [one for one, size in zip(edges, sizes, strict=True) if size > 1]
        felt = [one for one, size in zip(edges, sizes, strict=True) if size > _FELT]
        named = tuple(dict.fromkeys(f"{one.left} -> {one.right}" for one in felt))
        if len(fit.groups) > 1:
            return cls(most, named, "")
        names = fit.model.names
        both = fit.system(np.stack([fit.theta, fit.theta + moved])).coefficients.copy()
        if row.kind == "edge":
            both[1, names.index(row.right), names.index(row.left)] += asked.change[place]
        totals = total_effects(both)
        words: list[str] = []
        first, own = headline(fit.model), (row.left, row.right) if row.kind == "edge" else None
        for pair in dict.fromkeys(pair for pair in (first, own) if pair is not None):
            i, j = names.index(pair[1]), names.index(pair[0])
            before, after, error = float(totals[0, i, j]), float(totals[1, i, j]), _total_se(fit, totals[0], (i, j))
            beyond = abs(after - before) / error if error > 0 else np.inf * abs(after - before)
            most = max(most, beyond) if pair == first else most
            if beyond > 1 and not words:
                words.append(
                    f" The total {pair[0]} -> {pair[1]}, {plain(before)} as drawn, would be about {plain(after)}."
                )
        if not words and far:
            one = far[int(np.argmax([abs(moved[one.free - 1] / se[one.free - 1]) for one in far]))]
            before, after = fit.theta[one.free - 1], fit.theta[one.free - 1] + moved[one.free - 1]
            words = [f" The edge {one.left} -> {one.right}, {plain(before)} as it is, would be about {plain(after)}."]
        return cls(most, named, "".join(words))


def _total_se(fit: Fit, total: FloatArray, at: tuple[int, int]) -> float:
    """Standard error of one total effect, by the delta method."""
    names, slopes = fit.model.names, np.zeros(fit.table.n_free)
    for row in fit.table.of("edge"):
        if row.free and not row.lag:
            slopes[row.free - 1] += total[at[0], names.index(row.right)] * total[names.index(row.left), at[1]]
    return float(np.sqrt(max(float(slopes @ fit.vcov @ slopes), 0.0)))
