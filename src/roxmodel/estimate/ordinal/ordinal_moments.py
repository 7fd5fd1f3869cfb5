"""Thresholds, means, slopes and correlations of items, given covariates or none, and how uncertain they all are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from roxmodel.errors import DataError, EstimationError, listed
from roxmodel.estimate.ordinal.bivariate import (
    Bounds,
    Cut,
    PairPulls,
    SteppedRoot,
    cell_influence,
    perfectly_associated,
    polychoric,
    rectangle_derivatives,
    rectangle_pulls,
    without_empty_cell,
)
from roxmodel.estimate.ordinal.marginals import ContinuousItem, OrdinalItem, continuous_item, ordinal_item
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Given", "OrdinalMoments", "StatisticLabel", "ordinal_moments"]

StatisticLabel: TypeAlias = tuple[Literal["threshold", "mean", "slope", "variance", "covariance"], str, str]
_Item: TypeAlias = OrdinalItem | ContinuousItem

_PERFECT = 1.0 - 1e-6  # a correlation beyond this has its maximum at ±1
_MOST_STEPS = 100
_CHUNK = 8192  # rows worked on together, so that they stay in the processor's cache
_MOST_NUMBERS = 1 << 21  # of the influences held at once: 16 MB
_MOST_SCORES = 1 << 23  # of all pairs together kept between the two passes: 64 MB


@dataclass(frozen=True, slots=True)
class Given:
    """Covariates that items are conditioned on."""

    names: tuple[str, ...]  # (q,)
    mean: FloatArray  # (q,) and
    covariance: FloatArray  # (q, q) of the sample, divisor n - 1 (as in lavaan)
    slopes: FloatArray  # (p, q) of the items (ordinal: of the normal variables behind them) on the covariates

    @property
    def with_items(self) -> FloatArray:
        """(p, q) covariances of items and covariates."""
        return np.asarray(self.slopes @ self.covariance)

    @property
    def explained(self) -> FloatArray:
        """(p, p) covariances of the items that the covariates bring."""
        return np.asarray(self.slopes @ self.covariance @ self.slopes.T)


@dataclass(frozen=True, slots=True)
class OrdinalMoments:
    """Sample statistics of ordinal and continuous items with the asymptotic covariance of all of them.

    The statistics stand in this order everywhere: item by item its thresholds (ordinal) or its mean (continuous); then,
    covariate by covariate, the slopes of all items on it, if there are covariates; then the variances of the continuous
    items; then the lower triangle of the covariance matrix, column by column. This is the order of lavaan's `WLS.obs`,
    which writes the negative of each mean.

    >>> rng = np.random.default_rng(1)
    >>> z = rng.standard_normal((500, 1)) + rng.standard_normal((500, 3))
    >>> moments = ordinal_moments(np.digitize(z, [-1.0, 1.0]), np.array([True, True, True]), ["a", "b", "c"])
    >>> moments.statistics.shape, moments.gamma.shape, moments.labels[1], moments.labels[6]
    ((9,), (9, 9), ('threshold', 'a', 't2'), ('covariance', 'a', 'b'))
    """

    names: tuple[str, ...]  # (p,)
    ordinal: BoolArray  # (p,) which items are
    thresholds: tuple[FloatArray, ...]  # (K-1,) each, ascending, of the normal variable behind; empty if continuous
    mean: FloatArray  # (p,) in the items' own units; 0 for ordinal items
    variance: FloatArray  # (p,) divisor n; 1 for ordinal items
    correlation: FloatArray  # (p, p) polychoric, polyserial and Pearson
    n: float  # people
    gamma: FloatArray  # (m, m) asymptotic covariance of √n(statistics - their expectations)
    labels: tuple[StatisticLabel, ...]
    """(m,) of ("threshold", item, "t1"), ("mean", item, ""), ("slope", item, covariate), ("variance", item, item) or
    ("covariance", earlier item, later item)."""
    given: Given | None = None
    """Covariates: with them thresholds and means are those where all covariates are 0, variances and correlations those
    of what the covariates leave."""

    @property
    def covariance(self) -> FloatArray:
        """(p, p) of the continuous items and of the standard normal variables behind the ordinal ones."""
        sd = np.sqrt(self.variance)
        return np.asarray(self.correlation * np.outer(sd, sd))

    @property
    def statistics(self) -> FloatArray:
        """(m,) all statistics, in the order of `labels` and `gamma`."""
        first = [t if o else m[None] for t, o, m in zip(self.thresholds, self.ordinal, self.mean, strict=True)]
        pairs = np.triu_indices(len(self.names), 1)
        slopes = np.empty(0) if self.given is None else self.given.slopes.T.ravel()
        return np.concatenate([*first, slopes, self.variance[~self.ordinal], self.covariance[pairs]])


def ordinal_moments(
    values: FloatArray,
    ordinal: BoolArray,
    names: Sequence[str],
    frequency: FloatArray | None = None,
    categories: Mapping[str, Sequence[float]] | None = None,
    covariates: Sequence[str] = (),
    x: FloatArray | None = None,
) -> OrdinalMoments:
    """Estimate thresholds, means, slopes, variances and correlations in two steps, with their asymptotic covariance.

    First each item alone: an ordinal one by the shares of its answers (given covariates, an ordered probit regression),
    a continuous one by mean and variance with divisor n (least squares). Then each pair alone: the correlation, of what
    covariates leave, by maximum likelihood with the first step held fixed (Olsson 1979, doi 10.1007/BF02296207; Olsson,
    Drasgow & Dorans 1982, doi 10.1007/BF02294164). Gamma is that of the joined estimating equations, B⁻¹ E[ss'] B⁻ᵀ,
    all expectations being means over the sample, as in Muthén (1984, Psychometrika 49, 115-132, doi 10.1007/BF02294210)
    and lavaan (with covariates its ``conditional.x = TRUE``). Nothing is assumed of how covariates are distributed:
    they may be 0/1.

    Without covariates, a two-by-two table with one empty cell gets half a person there, its margins kept, for the
    correlation (not for gamma); larger tables are left as they are: lavaan's `zero.add = c(0.5, 0)` and
    `zero.keep.margins = TRUE`.

    `values` are (n, p) without gaps; of answers to ordinal items the order counts, not the distances. `frequency` (n,)
    is how many people each row stands for, None = one. `categories` are those of ordinal items that exist (or occur).
    `x` (n, q): thresholds and means are those where all covariates are 0, variances and correlations those of
    residuals.

    >>> answers = np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    >>> people = np.array([40.0, 10.0, 10.0, 40.0])
    >>> moments = ordinal_moments(answers, np.array([True, True]), ["a", "b"], frequency=people)
    >>> moments.correlation.round(4).tolist()
    [[1.0, 0.809], [0.809, 1.0]]
    >>> float(np.sqrt(moments.gamma[2, 2] / moments.n).round(4))  # standard error of the correlation
    0.0739
    >>> rng = np.random.default_rng(1)
    >>> x = rng.integers(0, 2, (1000, 1)) * 1.0
    >>> z = 0.8 * x + rng.standard_normal((1000, 1)) + rng.standard_normal((1000, 2))
    >>> answers = np.digitize(z, [-1.0, 1.0])
    >>> found = ordinal_moments(answers, np.array([True, True]), ["a", "b"], covariates=["x"], x=x)
    >>> found.given.slopes.shape, found.labels[4], found.gamma.shape
    ((2, 1), ('slope', 'a', 'x'), (7, 7))
    """
    values = np.asarray(values, dtype=np.float64)
    ordinal, names = np.asarray(ordinal, dtype=np.bool_), tuple(names)
    known = tuple(covariates)
    x = np.empty((len(values), 0)) if x is None else np.asarray(x, dtype=np.float64)
    weight = np.ones(len(values)) if frequency is None else np.asarray(frequency, dtype=np.float64)
    _check_rows(np.hstack([values, x]) if known else values, weight, (*names, *known))
    if (weight == 0.0).any():
        values, x, weight = values[weight > 0.0], x[weight > 0.0], weight[weight > 0.0]
    total = float(weight.sum())
    mean = weight @ x / total
    design = x - mean
    given = categories or {}
    items: list[_Item] = [
        ordinal_item(name, column, weight, design, known, given.get(name))
        if cut
        else continuous_item(name, column, weight, design, known)
        for name, column, cut in zip(names, values.T, ordinal, strict=True)
    ]
    together = _Together(names, known, items, weight)
    pairs = together.pairs()
    correlation = np.eye(len(names))
    for (i, j), pair in pairs.items():
        correlation[i, j] = correlation[j, i] = pair.rho
    slopes = np.stack([item.slopes for item in items])
    labels, at_zero = together.labels(), list(zip(items, slopes @ mean, strict=True))
    gamma = together.gamma(pairs)
    return OrdinalMoments(
        names=names,
        ordinal=ordinal,
        thresholds=tuple(i.thresholds + away if isinstance(i, OrdinalItem) else np.empty(0) for i, away in at_zero),
        mean=np.array([i.mean - away if isinstance(i, ContinuousItem) else 0.0 for i, away in at_zero]),
        variance=np.array([item.sd**2 for item in items]),
        correlation=correlation,
        n=total,
        gamma=_at_zero(gamma, labels, dict(zip(known, mean.tolist(), strict=True))) if known else gamma,
        labels=labels,
        given=Given(known, mean, (design * weight[:, None]).T @ design / (total - 1.0), slopes) if known else None,
    )


def _at_zero(gamma: FloatArray, labels: tuple[StatisticLabel, ...], means: dict[str, float]) -> FloatArray:
    """Gamma with thresholds and means where all covariates are 0, from those at the covariates' means."""
    place = {label: i for i, label in enumerate(labels)}
    turn = np.eye(len(labels))
    for i, (kind, item, _) in enumerate(labels):
        if kind in {"threshold", "mean"}:
            sign = 1.0 if kind == "threshold" else -1.0
            for name, mean in means.items():
                turn[i, place["slope", item, name]] = sign * mean
    return np.asarray(turn @ gamma @ turn.T)


def _check_rows(values: FloatArray, weight: FloatArray, names: tuple[str, ...]) -> None:
    """Refuse rows with gaps, and frequencies that are none."""
    if not len(values):
        raise DataError("There are no rows.", hint="Correlations need the answers of people.")
    missing = ~np.isfinite(values)
    if missing.any():
        column = int(np.flatnonzero(missing.any(axis=0))[0])
        raise DataError(
            f"Item {names[column]!r} has no number in {int(missing[:, column].sum())} of {len(values)} rows.",
            hint="Leave those rows out: thresholds and polychoric correlations are taken from complete rows.",
        )
    wrong = ~(np.isfinite(weight) & (weight >= 0.0))
    if wrong.any() or not weight.any():
        worst = weight[wrong][0] if wrong.any() else 0.0
        raise DataError(f"A row has the frequency {worst:g}.", allowed="numbers from 0, at least one above 0")


# --- step two: each pair alone


@dataclass(frozen=True, slots=True)
class _Cells:
    """Correlation of two ordinal items without covariates; (K, K) what a row adds to it, by its two answers."""

    rho: float
    influence: FloatArray


@dataclass(frozen=True, slots=True)
class _Pair:
    """Correlation of two items, its information, and how its score moves with either item's own parameters.

    The scores row by row are kept where they are not too many.
    """

    rho: float
    information: float
    first: FloatArray
    second: FloatArray
    score: FloatArray | None


_Found: TypeAlias = dict[tuple[int, int], "_Cells | _Pair"]


@dataclass(frozen=True, slots=True)
class _Together:
    """All items, each estimated alone, and how many people each row stands for."""

    names: tuple[str, ...]
    covariates: tuple[str, ...]
    items: list[_Item]
    weight: FloatArray

    def labels(self) -> tuple[StatisticLabel, ...]:
        found: list[StatisticLabel] = []
        for name, item in zip(self.names, self.items, strict=True):
            if isinstance(item, OrdinalItem):
                found += [("threshold", name, f"t{t}") for t in range(1, item.first + 1)]
            else:
                found.append(("mean", name, ""))
        found += [("slope", name, covariate) for covariate in self.covariates for name in self.names]
        own = zip(self.names, self.items, strict=True)
        found += [("variance", name, name) for name, item in own if isinstance(item, ContinuousItem)]
        return (*found, *(("covariance", a, b) for a, b in combinations(self.names, 2)))

    def pairs(self) -> _Found:
        every = list(combinations(range(len(self.items)), 2))
        found: _Found = {} if self.covariates else _from_tables(self.items, self.weight)
        kept = (len(every) - len(found)) * len(self.weight) <= _MOST_SCORES
        for pair in every:
            a, b = (self.items[place] for place in pair)
            rho = found[pair].rho if pair in found else _correlation(a, b, self.weight)
            if not abs(rho) < _PERFECT:
                self._refuse_perfect(*pair)
            if pair not in found:
                found[pair] = _paired(a, b, self.weight, rho, kept)
        return {pair: found[pair] for pair in every}

    def _refuse_perfect(self, i: int, j: int) -> None:
        a, b = self.names[i], self.names[j]
        who = f"{listed([a, b])} are perfectly associated given the covariates"
        raise EstimationError(
            f"Items {who if self.covariates else f'{a!r} and {b!r} are perfectly associated'}: their correlation has "
            "no estimate between -1 and 1.",
            hint="Leave one of them out, or merge categories that few people chose.",
        )

    def gamma(self, pairs: _Found) -> FloatArray:
        """(m, m) mean product of the influences, a chunk of rows at a time."""
        m, n = len(self.labels()), len(self.weight)
        size = int(np.clip(_MOST_NUMBERS // m, 64, n))
        gamma, block = np.zeros((m, m)), np.empty((m, size))
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            part = block[:, : rows.stop - start]
            self._fill(part, pairs, rows)
            part *= np.sqrt(self.weight[rows])
            gamma += part @ part.T
        return np.asarray(gamma / self.weight.sum())

    def _fill(self, part: FloatArray, pairs: _Found, rows: slice) -> None:
        """Influences of these rows on all statistics, in the order of the labels and in the items' own units."""
        alone, row, q = [item.influence(rows) for item in self.items], 0, len(self.covariates)
        for item, own in zip(self.items, alone, strict=True):
            part[row : row + item.first] = own[: item.first] * item.sd
            row += item.first
        for covariate in range(q):
            for item, own in zip(self.items, alone, strict=True):
                part[row] = own[item.first + covariate] * item.sd
                row += 1
        spread = {i: alone[i][-1] for i, item in enumerate(self.items) if isinstance(item, ContinuousItem)}
        for i, own in spread.items():
            part[row] = self.items[i].sd ** 2 * own
            row += 1
        for (i, j), pair in pairs.items():
            a, b = self.items[i], self.items[j]
            if isinstance(pair, _Cells):
                assert isinstance(a, OrdinalItem)
                assert isinstance(b, OrdinalItem)
                place = a.codes[rows] * pair.influence.shape[1] + b.codes[rows]
                np.take(pair.influence.ravel(), place, out=part[row], mode="clip")
            else:
                score = _pulls(a, b, pair.rho, rows)[0] if pair.score is None else pair.score[rows]
                moved = (score - pair.first @ alone[i] - pair.second @ alone[j]) / pair.information
                for one in (i, j):
                    moved = moved + 0.5 * pair.rho * spread[one] if one in spread else moved
                part[row] = a.sd * b.sd * moved
            row += 1


def _from_tables(items: list[_Item], weight: FloatArray) -> _Found:
    """All pairs of ordinal items, without covariates; those with tables of one size together."""
    ordinal = {j: item for j, item in enumerate(items) if isinstance(item, OrdinalItem)}
    pairs = list(combinations(ordinal, 2))
    size = {j: item.first + 1 for j, item in ordinal.items()}
    found: _Found = {}
    for k in sorted({max(size[i], size[j]) for i, j in pairs}):
        at = [(i, j) for i, j in pairs if max(size[i], size[j]) == k]
        tables = np.stack([_table(ordinal[i], ordinal[j], weight, k) for i, j in at])
        padded = {
            j: np.pad(o.thresholds, (0, k - size[j]), constant_values=np.inf)
            for j, o in ordinal.items()
            if size[j] <= k
        }
        rows, columns = np.stack([padded[i] for i, _ in at]), np.stack([padded[j] for _, j in at])
        filled = without_empty_cell(tables, np.full(len(at), k == 2))
        inside = ~perfectly_associated(filled)
        rho = np.full(len(at), np.nan)
        rho[inside] = polychoric(filled[inside], rows[inside], columns[inside])
        influence = cell_influence(tables, rows, columns, np.where(np.abs(rho) < _PERFECT, rho, 0.0))
        found.update({pair: _Cells(float(r), one) for pair, r, one in zip(at, rho, influence, strict=True)})
    return found


def _table(a: OrdinalItem, b: OrdinalItem, weight: FloatArray, k: int) -> FloatArray:
    counts = np.bincount(a.codes * k + b.codes, weights=weight, minlength=k * k)
    return counts.reshape(k, k).astype(np.float64, copy=False)


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK))


def _correlation(a: _Item, b: _Item, weight: FloatArray) -> float:
    """Correlation, of what covariates leave; NaN where no maximum inside (-1, 1) was found."""
    if isinstance(a, ContinuousItem) and isinstance(b, ContinuousItem):
        return float((weight * a.standard) @ b.standard / weight.sum())
    left = a.left() * b.left()  # one step from no correlation, where the score is the product of what is left
    root = SteppedRoot.start(np.array([float(weight @ left / (weight @ (left * left)))]))
    derivatives = _derivatives_of(a, b, weight)
    for _ in range(_MOST_STEPS):
        if not root.active[0]:
            return float(root.rho[0])
        score, slope = derivatives(float(root.rho[0]))
        root = root.stepped(np.array([score]), np.array([slope]))
    return float("nan")


def _derivatives_of(a: _Item, b: _Item, weight: FloatArray) -> Callable[[float], tuple[float, float]]:
    """First and second derivative of the log likelihood by the correlation; one item at least is ordinal."""
    if isinstance(a, OrdinalItem) and isinstance(b, OrdinalItem):
        bounds, count = _distinct(a, b, weight)

        def of_rectangles(rho: float) -> tuple[float, float]:
            first, second = rectangle_derivatives(bounds, rho)
            return float(count @ first), float(count @ (second - first * first))

        return of_rectangles
    if isinstance(a, OrdinalItem):
        a, b = b, a
    assert isinstance(a, ContinuousItem)
    assert isinstance(b, OrdinalItem)
    u, (lower, upper) = a.standard, b.bounds(slice(None))

    def of_strips(rho: float) -> tuple[float, float]:
        score, slope = 0.0, 0.0
        for at in _parts(len(u)):
            first, second = Cut.of(u[at], lower[at], upper[at], rho).derivatives()
            score += float(weight[at] @ first)
            slope += float(weight[at] @ (second - first * first))
        return score, slope

    return of_strips


def _distinct(a: OrdinalItem, b: OrdinalItem, weight: FloatArray) -> tuple[Bounds, FloatArray]:
    """Bounds of each combination of covariates and answers that occurs, and how many people gave it."""
    bounds = np.column_stack([*a.bounds(slice(None)), *b.bounds(slice(None))])
    distinct, place = np.unique(bounds, axis=0, return_inverse=True)
    return Bounds(*distinct.T), np.bincount(place.ravel(), weights=weight).astype(np.float64, copy=False)


def _paired(a: _Item, b: _Item, weight: FloatArray, rho: float, kept: bool) -> _Pair:
    information, scores, total = 0.0, [], weight.sum()
    first, second = np.zeros(1), np.zeros(1)
    for rows in _parts(len(weight)):
        score, by_a, by_b = _pulls(a, b, rho, rows)
        pull = weight[rows] * score
        information += float(pull @ score)
        first = first + a.gathered(pull * by_a[0], pull * by_a[1], rows)
        second = second + b.gathered(pull * by_b[0], pull * by_b[1], rows)
        scores.append(score)
    together = np.concatenate(scores) if kept else None
    return _Pair(rho, information / total, first / total, second / total, together)


def _pulls(a: _Item, b: _Item, rho: float, rows: slice) -> PairPulls:
    """Score of the correlation row by row; derivatives of the log likelihood by what each item's parameters move.

    For an ordinal item these are its bounds, for a continuous one what is foretold and the variance, in standard units.
    """
    if isinstance(a, OrdinalItem):
        if isinstance(b, OrdinalItem):
            return rectangle_pulls(Bounds(*a.bounds(rows), *b.bounds(rows)), rho)
        score, by_b, by_a = _pulls(b, a, rho, rows)
        return PairPulls(score, by_a, by_b)
    u, rest = a.standard[rows], 1.0 - rho * rho
    if isinstance(b, OrdinalItem):
        root = float(np.sqrt(rest))
        cut = Cut.of(u, *b.bounds(rows), rho)
        foretold = u + (cut.upper_ratio - cut.lower_ratio) * rho / root
        own = foretold, 0.5 * (foretold * u - 1.0)
        return PairPulls(cut.score(), own, (cut.upper_ratio / root, -cut.lower_ratio / root))
    v = b.standard[rows]
    by_u, by_v = ((one - rho * other) / rest for one, other in ((u, v), (v, u)))
    score = (rho * (rest - u * u - v * v) + (1.0 + rho * rho) * u * v) / rest**2
    return PairPulls(score, (by_u, 0.5 * (by_u * u - 1.0)), (by_v, 0.5 * (by_v * v - 1.0)))
