"""Thresholds, polychoric, polyserial and Pearson correlations of items, and how uncertain they are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from roxmodel.errors import DataError, EstimationError
from roxmodel.estimate.ordinal.marginals import Continuous, Ordinal, continuous_item, ordinal_item
from roxmodel.estimate.ordinal.polychoric import cell_influence, perfectly_associated, polychoric, without_empty_cell
from roxmodel.estimate.ordinal.polyserial import (
    RowInfluence,
    pearson_influence,
    pearson_score,
    polyserial,
    polyserial_influence,
    polyserial_score,
)
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Given", "OrdinalMoments", "StatisticLabel", "check_rows", "ordinal_moments"]

StatisticLabel: TypeAlias = tuple[Literal["threshold", "mean", "slope", "variance", "covariance"], str, str]
_Item: TypeAlias = Ordinal | Continuous

_PERFECT = 1.0 - 1e-6  # a correlation beyond this has its maximum at ±1
_MOST_NUMBERS = 1 << 21  # of the influences held at once: 16 MB


@dataclass(frozen=True, slots=True)
class Given:
    """Covariates that items are conditioned on.

    Attributes
    ----------
    names
        (q,) covariates.
    mean, covariance
        (q,) and (q, q) of the sample, divisor n - 1 (as in lavaan).
    slopes
        (p, q) of the items (ordinal: of the normal variables behind them) on the covariates.

    Examples
    --------
    >>> import numpy as np
    >>> Given(("x",), np.zeros(1), np.eye(1), np.array([[0.5]])).explained
    array([[0.25]])
    """

    names: tuple[str, ...]
    mean: FloatArray
    covariance: FloatArray
    slopes: FloatArray

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

    Attributes
    ----------
    names
        (p,) items.
    ordinal
        (p,) which items are ordinal.
    thresholds
        For each item (K-1,) ascending thresholds of the standard normal variable behind it; empty if continuous.
    mean
        (p,) means in the items' own units; 0 for ordinal items.
    variance
        (p,) variances with divisor n; 1 for ordinal items.
    correlation
        (p, p) polychoric, polyserial and Pearson correlations.
    n
        Number of people.
    gamma
        (m, m) asymptotic covariance matrix of √n(statistics - their expectations).
    labels
        (m,) of ("threshold", item, "t1"), ("mean", item, ""), ("slope", item, covariate), ("variance", item, item) or
        ("covariance", earlier item, later item).
    given
        Covariates, or None. With them thresholds and means are those where all covariates are 0, variances and
        correlations those of what the covariates leave.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> z = rng.standard_normal((500, 1)) + rng.standard_normal((500, 3))
    >>> moments = ordinal_moments(np.digitize(z, [-1.0, 1.0]), np.array([True, True, True]), ["a", "b", "c"])
    >>> moments.statistics.shape, moments.gamma.shape, moments.labels[1], moments.labels[6]
    ((9,), (9, 9), ('threshold', 'a', 't2'), ('covariance', 'a', 'b'))
    """

    names: tuple[str, ...]
    ordinal: BoolArray
    thresholds: tuple[FloatArray, ...]
    mean: FloatArray
    variance: FloatArray
    correlation: FloatArray
    n: float
    gamma: FloatArray
    labels: tuple[StatisticLabel, ...]
    given: Given | None = None

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
) -> OrdinalMoments:
    """Estimate thresholds, means, variances and correlations in two steps, with their asymptotic covariance.

    First each item alone: thresholds are normal quantiles of cumulative shares, mean and variance those of the sample
    (divisor n). Then each pair alone, by maximum likelihood with the first step held fixed. Gamma is that of the joined
    estimating equations, B⁻¹ E[ss'] B⁻ᵀ, all expectations being means over the sample, as in Muthén (1984) and lavaan.
    A two-by-two table with one empty cell gets half a person there, its margins kept, for the correlation (not for
    gamma); larger tables are left as they are: lavaan's `zero.add = c(0.5, 0)` and `zero.keep.margins = TRUE`.

    Parameters
    ----------
    values
        (n, p) answers without gaps. Those to ordinal items are numbers; their order counts, not their distances.
    ordinal
        (p,) which items are ordinal.
    names
        (p,) items.
    frequency
        (n,) how many people each row stands for; None = one. Equal to repeating the rows.
    categories
        For ordinal items the categories that exist. An item not named has those that occur.

    Returns
    -------
    OrdinalMoments

    Raises
    ------
    DataError
        If a value is missing, an item has one value only, or a declared category is empty.
    EstimationError
        If two items are perfectly associated.

    References
    ----------
    Olsson (1979), doi 10.1007/BF02296207. Olsson, Drasgow & Dorans (1982), doi 10.1007/BF02294164.
    Muthén (1984), Psychometrika 49, 115-132, doi 10.1007/BF02294210.

    Examples
    --------
    >>> import numpy as np
    >>> answers = np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    >>> people = np.array([40.0, 10.0, 10.0, 40.0])
    >>> moments = ordinal_moments(answers, np.array([True, True]), ["a", "b"], frequency=people)
    >>> moments.correlation.round(4).tolist()
    [[1.0, 0.809], [0.809, 1.0]]
    >>> float(np.sqrt(moments.gamma[2, 2] / moments.n).round(4))  # standard error of the correlation
    0.0739
    """
    values = np.asarray(values, dtype=np.float64)
    ordinal, names = np.asarray(ordinal, dtype=np.bool_), tuple(names)
    weight = np.ones(len(values)) if frequency is None else np.asarray(frequency, dtype=np.float64)
    check_rows(values, weight, names)
    if (weight == 0.0).any():
        values, weight = values[weight > 0.0], weight[weight > 0.0]
    known = categories or {}
    items = [
        ordinal_item(name, column, weight, known.get(name)) if cut else continuous_item(name, column, weight)
        for name, column, cut in zip(names, values.T, ordinal, strict=True)
    ]
    pairs = _pairs(items, names, weight)
    return OrdinalMoments(
        names=names,
        ordinal=ordinal,
        thresholds=tuple(item.thresholds if isinstance(item, Ordinal) else np.empty(0) for item in items),
        mean=np.array([0.0 if isinstance(item, Ordinal) else item.mean for item in items]),
        variance=np.array([_sd(item) ** 2 for item in items]),
        correlation=_matrix(pairs, len(names)),
        n=float(weight.sum()),
        gamma=_gamma(items, pairs, weight),
        labels=_labels(items, names),
    )


def check_rows(values: FloatArray, weight: FloatArray, names: tuple[str, ...]) -> None:
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


def _sd(item: _Item) -> float:
    return 1.0 if isinstance(item, Ordinal) else item.sd


def _labels(items: list[_Item], names: tuple[str, ...]) -> tuple[StatisticLabel, ...]:
    found: list[StatisticLabel] = []
    for name, item in zip(names, items, strict=True):
        if isinstance(item, Ordinal):
            found += [("threshold", name, f"t{t}") for t in range(1, len(item.thresholds) + 1)]
        else:
            found.append(("mean", name, ""))
    found += [("variance", n, n) for n, item in zip(names, items, strict=True) if isinstance(item, Continuous)]
    return (*found, *(("covariance", a, b) for a, b in combinations(names, 2)))


# --- step two: each pair alone


@dataclass(frozen=True, slots=True)
class _Pair:
    """Correlation of two items, and what a row adds to their covariance: a (K, K) table or a function of the row."""

    rho: float
    influence: FloatArray | RowInfluence


def _pairs(items: list[_Item], names: tuple[str, ...], weight: FloatArray) -> list[_Pair]:
    every = list(combinations(range(len(items)), 2))
    found = _both_ordinal(items, weight)
    for i, j in every:
        if (i, j) not in found:
            found[i, j] = _with_continuous(items[i], items[j], weight)
    for (i, j), pair in found.items():
        if not abs(pair.rho) < _PERFECT:
            raise EstimationError(
                f"Items {names[i]!r} and {names[j]!r} are perfectly associated: their correlation has no estimate "
                "between -1 and 1.",
                hint="Leave one of them out, or merge categories that few people chose.",
            )
    return [found[pair] for pair in every]


def _matrix(pairs: list[_Pair], p: int) -> FloatArray:
    correlation = np.eye(p)
    above = np.triu_indices(p, 1)
    correlation[above] = [pair.rho for pair in pairs]
    correlation.T[above] = correlation[above]
    return correlation


def _both_ordinal(items: list[_Item], weight: FloatArray) -> dict[tuple[int, int], _Pair]:
    """All pairs of ordinal items; those with tables of one size together."""
    ordinal = {j: item for j, item in enumerate(items) if isinstance(item, Ordinal)}
    pairs = list(combinations(ordinal, 2))
    size = {j: len(item.thresholds) + 1 for j, item in ordinal.items()}
    found = {}
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
        found.update({pair: _Pair(float(r), one) for pair, r, one in zip(at, rho, influence, strict=True)})
    return found


def _table(a: Ordinal, b: Ordinal, weight: FloatArray, k: int) -> FloatArray:
    counts = np.bincount(a.codes * k + b.codes, weights=weight, minlength=k * k)
    return counts.reshape(k, k).astype(np.float64, copy=False)


def _with_continuous(a: _Item, b: _Item, weight: FloatArray) -> _Pair:
    if isinstance(a, Ordinal):
        a, b = b, a
    assert isinstance(a, Continuous)
    u = a.standard
    if isinstance(b, Continuous):
        rho = float((weight * u) @ b.standard / weight.sum())
        if not abs(rho) < _PERFECT:
            return _Pair(rho, np.empty(0))
        return _Pair(rho, pearson_influence(u, b.standard, weight, rho, a.influence, b.influence))
    rho = polyserial(u, b.codes, b.thresholds, weight)
    if not abs(rho) < _PERFECT:
        return _Pair(rho, np.empty(0))
    return _Pair(rho, polyserial_influence(u, b.codes, b.thresholds, weight, rho, a.influence))


# --- all together


def _gamma(items: list[_Item], pairs: list[_Pair], weight: FloatArray) -> FloatArray:
    """(m, m) mean product of the influences, a chunk of rows at a time."""
    first = sum(len(item.thresholds) if isinstance(item, Ordinal) else 2 for item in items)
    m, n = first + len(pairs), len(weight)
    size = int(np.clip(_MOST_NUMBERS // m, 64, n))
    gamma, block = np.zeros((m, m)), np.empty((m, size))
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        part = block[:, : rows.stop - start]
        _fill_items(part[:first], items, rows)
        _fill_pairs(part[first:], items, pairs, rows)
        part *= np.sqrt(weight[rows])
        gamma += part @ part.T
    return np.asarray(gamma / weight.sum())


def _fill_items(part: FloatArray, items: list[_Item], rows: slice) -> None:
    """Influences of these rows on thresholds and means, then on variances."""
    row = 0
    variance = len(part) - sum(isinstance(item, Continuous) for item in items)
    for item in items:
        if isinstance(item, Ordinal):
            after = row + len(item.thresholds)
            part[row:after] = item.influence[:, item.codes[rows]]
        else:
            after = row + 1
            u = item.standard[rows]
            mean, spread = item.influence @ np.stack([np.ones_like(u), u, u * u])
            part[row], part[variance] = item.sd * mean, item.sd**2 * spread
            variance += 1
        row = after


def _fill_pairs(part: FloatArray, items: list[_Item], pairs: list[_Pair], rows: slice) -> None:
    """Influences of these rows on covariances."""
    for row, (pair, (a, b)) in enumerate(zip(pairs, combinations(items, 2), strict=True)):
        if isinstance(a, Ordinal) and isinstance(b, Ordinal):
            assert isinstance(pair.influence, np.ndarray)
            table = pair.influence
            np.take(table.ravel(), a.codes[rows] * table.shape[1] + b.codes[rows], out=part[row], mode="clip")
        else:
            part[row] = _row_influence(a, b, pair, rows)


def _row_influence(a: _Item, b: _Item, pair: _Pair, rows: slice) -> FloatArray:
    if isinstance(a, Ordinal):
        a, b = b, a
    assert isinstance(a, Continuous)
    assert isinstance(pair.influence, RowInfluence)
    u = a.standard[rows]
    if isinstance(b, Continuous):
        v = b.standard[rows]
        return a.sd * b.sd * pair.influence.of(pearson_score(u, v, pair.rho), u, v)
    codes = b.codes[rows]
    return a.sd * pair.influence.of(polyserial_score(u, codes, b.thresholds, pair.rho), u, codes)
