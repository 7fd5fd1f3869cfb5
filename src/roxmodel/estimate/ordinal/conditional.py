"""Thresholds, slopes and residual correlations of items given covariates, and how uncertain they are together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.ordinal.bivariate import bivariate_cdf, bivariate_density, bivariate_slope
from roxmodel.estimate.ordinal.ordinal import Given, OrdinalMoments, StatisticLabel, check_rows
from roxmodel.estimate.ordinal.polychoric import RARE, SteppedRoot, rare_probability
from roxmodel.estimate.ordinal.polyserial import FAR, cut_derivatives, cut_of, cut_score, pearson_score
from roxmodel.estimate.ordinal.regressed import LinearItem, ProbitItem, bound_pulls, linear_item, probit_item
from roxmodel.types import BoolArray, FloatArray

__all__ = ["conditional_moments"]

_Item: TypeAlias = ProbitItem | LinearItem
_Pulls: TypeAlias = tuple[FloatArray, FloatArray]

_TINY = 1e-300  # keeps quotients finite
_PERFECT = 1.0 - 1e-6  # a correlation beyond this has its maximum at ±1
_MOST_STEPS = 100
_MOST_NUMBERS = 1 << 21  # of the influences held at once: 16 MB
_MOST_SCORES = 1 << 23  # of all pairs together kept between the two passes: 64 MB


@dataclass(frozen=True, slots=True)
class _Pair:
    """Residual correlation of two items, its information, and how its score moves with either item's own parameters.

    The scores row by row are kept where they are not too many.
    """

    rho: float
    information: float
    first: FloatArray
    second: FloatArray
    score: FloatArray | None


def conditional_moments(
    values: FloatArray,
    ordinal: BoolArray,
    names: Sequence[str],
    covariates: tuple[Sequence[str], FloatArray],
    frequency: FloatArray | None = None,
) -> OrdinalMoments:
    """Estimate thresholds, means, slopes, residual variances and correlations given covariates, in two steps.

    First each item alone: an ordinal one by an ordered probit regression on the covariates, a continuous one by least
    squares. Then each pair alone: the correlation of what the covariates leave, by maximum likelihood with the first
    step held fixed. Gamma is that of the joined estimating equations, all expectations being means over the sample, as
    in Muthén (1984) and in lavaan with ``conditional.x = TRUE``. Nothing is assumed of how the covariates are
    distributed: they may be 0/1.

    Parameters
    ----------
    values
        (n, p) answers without gaps. Those to ordinal items are numbers; their order counts, not their distances.
    ordinal
        (p,) which items are ordinal.
    names
        (p,) items.
    covariates
        (q,) names and (n, q) values. Thresholds and means are those where all covariates are 0.
    frequency
        (n,) how many people each row stands for; None = one.

    Returns
    -------
    OrdinalMoments
        `given` holds the covariates' moments and the slopes; variances and correlations are those of residuals.

    Raises
    ------
    DataError
        If a value is missing or an item has one value only.
    EstimationError
        If the covariates foretell an item, or two items are perfectly associated given the covariates.

    References
    ----------
    Muthén (1984), Psychometrika 49, 115-132, doi 10.1007/BF02294210.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> x = rng.integers(0, 2, (1000, 1)) * 1.0
    >>> z = 0.8 * x + rng.standard_normal((1000, 1)) + rng.standard_normal((1000, 2))
    >>> answers = np.digitize(z, [-1.0, 1.0])
    >>> found = conditional_moments(answers, np.array([True, True]), ["a", "b"], (["x"], x))
    >>> found.given.slopes.shape, found.labels[4], found.gamma.shape
    ((2, 1), ('slope', 'a', 'x'), (7, 7))
    """
    values, names, known = np.asarray(values, dtype=np.float64), tuple(names), tuple(covariates[0])
    x = np.asarray(covariates[1], dtype=np.float64)
    weight = np.ones(len(values)) if frequency is None else np.asarray(frequency, dtype=np.float64)
    check_rows(np.hstack([values, x]), weight, (*names, *known))
    values, x, weight = values[weight > 0.0], x[weight > 0.0], weight[weight > 0.0]
    mean = weight @ x / weight.sum()
    design = x - mean
    items: list[_Item] = [
        (probit_item if cut else linear_item)(name, column, weight, design, known)
        for name, column, cut in zip(names, values.T, ordinal, strict=True)
    ]
    pairs = _pairs(items, names, weight)
    correlation = np.eye(len(names))
    for (i, j), pair in pairs.items():
        correlation[i, j] = correlation[j, i] = pair.rho
    total, slopes = float(weight.sum()), np.stack([item.slopes for item in items])
    covariance = (design * weight[:, None]).T @ design / (total - 1.0)
    labels, at_zero = _labels(items, names, known), slopes @ mean
    return OrdinalMoments(
        names=names,
        ordinal=np.asarray(ordinal, dtype=np.bool_),
        thresholds=tuple(
            item.thresholds + away if isinstance(item, ProbitItem) else np.empty(0)
            for item, away in zip(items, at_zero, strict=True)
        ),
        mean=np.array(
            [
                item.mean - away if isinstance(item, LinearItem) else 0.0
                for item, away in zip(items, at_zero, strict=True)
            ]
        ),
        variance=np.array([_sd(item) ** 2 for item in items]),
        correlation=correlation,
        n=total,
        gamma=_at_zero(_gamma(items, pairs, weight), labels, dict(zip(known, mean.tolist(), strict=True))),
        labels=labels,
        given=Given(known, mean, covariance, slopes),
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


def _sd(item: _Item) -> float:
    return 1.0 if isinstance(item, ProbitItem) else item.sd


def _labels(items: list[_Item], names: tuple[str, ...], covariates: tuple[str, ...]) -> tuple[StatisticLabel, ...]:
    found: list[StatisticLabel] = []
    for name, item in zip(names, items, strict=True):
        if isinstance(item, ProbitItem):
            found += [("threshold", name, f"t{t}") for t in range(1, len(item.thresholds) + 1)]
        else:
            found.append(("mean", name, ""))
    found += [("slope", name, covariate) for covariate in covariates for name in names]
    found += [("variance", n, n) for n, item in zip(names, items, strict=True) if isinstance(item, LinearItem)]
    return (*found, *(("covariance", a, b) for a, b in combinations(names, 2)))


# --- step two: each pair alone


def _pairs(items: list[_Item], names: tuple[str, ...], weight: FloatArray) -> dict[tuple[int, int], _Pair]:
    found = {}
    every = list(combinations(range(len(items)), 2))
    kept = len(every) * len(weight) <= _MOST_SCORES
    for i, j in every:
        rho = _correlation(items[i], items[j], weight)
        if not abs(rho) < _PERFECT:
            raise EstimationError(
                f"Items {listed([names[i], names[j]])} are perfectly associated given the covariates: their "
                "correlation has no estimate between -1 and 1.",
                hint="Leave one of them out, or merge categories that few people chose.",
            )
        found[i, j] = _paired(items[i], items[j], weight, rho, kept)
    return found


def _correlation(a: _Item, b: _Item, weight: FloatArray) -> float:
    """Correlation of what the covariates leave; NaN where no maximum inside (-1, 1) was found."""
    if isinstance(a, LinearItem) and isinstance(b, LinearItem):
        return float((weight * a.standard) @ b.standard / weight.sum())
    start = np.array([_first_guess(a, b, weight)])
    if isinstance(a, ProbitItem) and isinstance(b, ProbitItem):
        bounds, weight = _distinct(a, b, weight)
    elif isinstance(a, ProbitItem):
        a, b = b, a
    root = SteppedRoot.start(start)
    for _ in range(_MOST_STEPS):
        if not root.active[0]:
            return float(root.rho[0])
        rho = float(root.rho[0])
        if isinstance(a, LinearItem):
            assert isinstance(b, ProbitItem)
            first, second = cut_derivatives(a.standard, cut_of(a.standard, b.lower, b.upper, rho), rho)
        else:
            first, second = _rectangle_derivatives(bounds, rho)
        root = root.stepped(np.array([weight @ first]), np.array([weight @ (second - first * first)]))
    return float("nan")


def _first_guess(a: _Item, b: _Item, weight: FloatArray) -> float:
    """One step from no correlation, where the score is the product of what either item's own regression leaves."""
    score = _left(a) * _left(b)
    return float(weight @ score / (weight @ (score * score)))


def _left(item: _Item) -> FloatArray:
    """(n,) residuals, of an ordinal item the expected ones of the normal variable behind the answer."""
    return item.standard if isinstance(item, LinearItem) else -np.add(*bound_pulls(item.lower, item.upper))


def _distinct(a: ProbitItem, b: ProbitItem, weight: FloatArray) -> tuple[tuple[FloatArray, ...], FloatArray]:
    """Bounds of each combination of covariates and answers that occurs, and how many people gave it."""
    bounds = np.column_stack([a.lower, a.upper, b.lower, b.upper])
    distinct, place = np.unique(bounds, axis=0, return_inverse=True)
    return tuple(distinct.T), np.bincount(place.ravel(), weights=weight).astype(np.float64, copy=False)


def _paired(a: _Item, b: _Item, weight: FloatArray, rho: float, kept: bool) -> _Pair:
    score, by_a, by_b = _pulls(a, b, rho, slice(None))
    pull, total = weight * score, weight.sum()
    first, second = (item.gathered(pull * one, pull * two) / total for item, (one, two) in ((a, by_a), (b, by_b)))
    return _Pair(rho, float(pull @ score) / total, first, second, score if kept else None)


def _pulls(a: _Item, b: _Item, rho: float, rows: slice) -> tuple[FloatArray, _Pulls, _Pulls]:
    """Score of the correlation row by row; derivatives of the log likelihood by what each item's parameters move.

    For an ordinal item these are its bounds, for a continuous one what is foretold and the variance, in standard units.
    """
    if isinstance(a, ProbitItem) and isinstance(b, ProbitItem):
        return _rectangle_pulls((a.lower[rows], a.upper[rows], b.lower[rows], b.upper[rows]), rho)
    if isinstance(a, LinearItem) and isinstance(b, LinearItem):
        u, v = a.standard[rows], b.standard[rows]
        rest = 1.0 - rho * rho
        by_u, by_v = ((one - rho * other) / rest for one, other in ((u, v), (v, u)))
        pulls = (by_u, 0.5 * (by_u * u - 1.0)), (by_v, 0.5 * (by_v * v - 1.0))
        return pearson_score(u, v, rho), *pulls
    if isinstance(a, ProbitItem):
        score, by_b, by_a = _pulls(b, a, rho, rows)
        return score, by_a, by_b
    assert isinstance(b, ProbitItem)
    u, rest = a.standard[rows], float(np.sqrt(1.0 - rho * rho))
    cut = cut_of(u, b.lower[rows], b.upper[rows], rho)
    given = u + (cut.upper_ratio - cut.lower_ratio) * rho / rest
    own = given, 0.5 * (given * u - 1.0)
    return cut_score(u, cut, rho), own, (cut.upper_ratio / rest, -cut.lower_ratio / rest)


def _corners(limits: tuple[FloatArray, ...]) -> list[tuple[FloatArray, FloatArray, float]]:
    left, right, low, high = limits
    return [(right, high, 1.0), (left, high, -1.0), (right, low, -1.0), (left, low, 1.0)]


def _rectangle(limits: tuple[FloatArray, ...], rho: float) -> FloatArray:
    """Probability of each rectangle (left, right, low, high)."""
    found = np.zeros_like(limits[0])
    for x, y, sign in _corners(limits):
        inside = np.maximum(np.abs(x), np.abs(y)) < FAR
        corner = ndtr(np.minimum(x, y))  # right wherever one of them is infinite
        corner[inside] = bivariate_cdf(x[inside], y[inside], np.array([rho]))
        found += sign * corner
    rare = np.flatnonzero(found < RARE)
    if len(rare):
        found[rare] = rare_probability(tuple(one[rare] for one in limits), np.full(len(rare), rho))
    return np.maximum(found, _TINY)


def _rectangle_derivatives(limits: tuple[FloatArray, ...], rho: float) -> _Pulls:
    """∂P/∂ρ and ∂²P/∂ρ² over P."""
    probability, at = _rectangle(limits, rho), np.array([rho])
    first, second = np.zeros_like(probability), np.zeros_like(probability)
    for x, y, sign in _corners(limits):
        density = sign * bivariate_density(x, y, at)
        first += density
        second += density * bivariate_slope(x, y, at)
    return first / probability, second / probability


def _rectangle_pulls(limits: tuple[FloatArray, ...], rho: float) -> tuple[FloatArray, _Pulls, _Pulls]:
    left, right, low, high = limits
    probability, at = _rectangle(limits, rho), np.array([rho])
    score = np.zeros_like(probability)
    for x, y, sign in _corners(limits):
        score += sign * bivariate_density(x, y, at)

    def ends(lower: FloatArray, upper: FloatArray, under: FloatArray, over: FloatArray) -> _Pulls:
        return (
            _edge(upper, under, over, rho) / probability,
            -_edge(lower, under, over, rho) / probability,
        )

    return score / probability, ends(left, right, low, high), ends(low, high, left, right)


def _edge(at: FloatArray, under: FloatArray, over: FloatArray, rho: float) -> FloatArray:
    """Density of the one at a bound times the probability of the other's interval given it."""
    rest = float(np.sqrt(1.0 - rho * rho))
    lower, upper = (under - rho * at) / rest, (over - rho * at) / rest
    flip = lower + upper > 0.0
    inside = ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower))
    return np.asarray(np.exp(-0.5 * at * at) / np.sqrt(2.0 * np.pi) * inside)


# --- all together


def _gamma(items: list[_Item], pairs: dict[tuple[int, int], _Pair], weight: FloatArray) -> FloatArray:
    """(m, m) mean product of the influences, a chunk of rows at a time."""
    first, q = sum(_first(item) for item in items), len(items[0].slopes)
    variances = sum(isinstance(item, LinearItem) for item in items)
    m, n = first + q * len(items) + variances + len(pairs), len(weight)
    size = int(np.clip(_MOST_NUMBERS // m, 64, n))
    gamma = np.zeros((m, m))
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        part = _influences(items, pairs, rows) * np.sqrt(weight[rows])
        gamma += part @ part.T
    return np.asarray(gamma / weight.sum())


def _first(item: _Item) -> int:
    return len(item.thresholds) if isinstance(item, ProbitItem) else 1


def _influences(items: list[_Item], pairs: dict[tuple[int, int], _Pair], rows: slice) -> FloatArray:
    """(m, rows) of all statistics, in the order of the labels and in the items' own units."""
    scores = [item.scores(rows) for item in items]
    alone = [item.inverse @ own for item, own in zip(items, scores, strict=True)]
    q = len(items[0].slopes)
    heads = [own[: _first(item)] * _sd(item) for item, own in zip(items, alone, strict=True)]
    slopes = np.stack(
        [own[_first(item) : _first(item) + q] * _sd(item) for item, own in zip(items, alone, strict=True)], axis=1
    )
    spread = {i: alone[i][-1] for i, item in enumerate(items) if isinstance(item, LinearItem)}
    together = []
    for (i, j), pair in pairs.items():
        score = _pulls(items[i], items[j], pair.rho, rows)[0] if pair.score is None else pair.score[rows]
        moved = (score - pair.first @ alone[i] - pair.second @ alone[j]) / pair.information
        for place in (i, j):
            moved = moved + 0.5 * pair.rho * spread[place] if place in spread else moved
        together.append(_sd(items[i]) * _sd(items[j]) * moved)
    variances = [_sd(items[i]) ** 2 * own for i, own in spread.items()]
    return np.vstack([*heads, *slopes, *variances, *together])
