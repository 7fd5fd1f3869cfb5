"""Questions that were worded the other way round and not declared so: one decision for every method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.source import SourceMoments
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Direction", "direction_of", "effective_answers", "reversed_by_covariance", "reversed_in_moments"]

_ALPHA = 0.002  # of calling any right item of a model reversed, were it nothing but noise
_SMALL = 0.1  # a correlation with the others that is nearer to 0 is no direction, however many answered
_NOTHING = 1e-6  # a correlation below is rounding
_UNITS = 10_000  # units that are looked at
_FEWEST = 8  # people (or units) below which no direction is told


@dataclass(frozen=True, slots=True)
class Direction:
    """Which items of a construct run against the others.

    Attributes
    ----------
    against
        Places of the items that run against the majority; on a tie those of both sides.
    size
        Correlation of each of them with the sum of the others (both sides as the data turn them), below 0.
    tie
        Whether as many items stand on the one side as on the other, so that nothing tells which is reversed.
    """

    against: tuple[int, ...] = ()
    size: tuple[float, ...] = ()
    tie: bool = False


def direction_of(
    covariance: FloatArray, n: float = np.inf, tests: int = 1, expected: Sequence[float] | None = None
) -> Direction:
    """Tell reversed items by the signs of their correlations.

    The items are parted by the sign of the first principal component of their correlations: whatever the pattern of
    signs, that component puts those on one side that go together. An item counts if its correlation with the sum of
    all others, turned to its side, is larger than chance (Fisher's z, one-sided, Bonferroni over `tests`) and larger
    than 0.1; the smaller side is reversed. An item that measures little is on no side.

    Parameters
    ----------
    covariance
        (p, p) of the answers as they are read (declared reversals turned); NaN where not known.
    n
        Effective number of independent answers; infinite: the signs themselves are judged.
    tests
        How many items are looked at in all.
    expected
        (p,) signs that the model itself states (a loading fixed below 0), None: all 1.

    References
    ----------
    Fisher (1921), Metron 1, 3-32 (z of a correlation).

    Examples
    --------
    >>> apart = np.array([[1.0, -0.5, -0.5], [-0.5, 1.0, 0.5], [-0.5, 0.5, 1.0]])
    >>> direction_of(apart, 200).against, direction_of(np.abs(apart), 200).against
    ((0,), ())
    """
    p = len(covariance)
    if p < 2 or n < _FEWEST or np.isnan(covariance).any() or not (np.diag(covariance) > 0).all():
        return Direction()
    sd = np.sqrt(np.diag(covariance))
    turned = np.ones(p) if expected is None else np.asarray(expected, dtype=np.float64)
    correlation = covariance / np.outer(sd, sd) * np.outer(turned, turned)
    improper = bool((np.abs(correlation) > 1 + _NOTHING).any())  # of pairs that few answered both of
    if improper or (correlation >= 0).all():
        return Direction()
    vector = np.linalg.eigh(correlation)[1][:, -1]
    side = np.where(vector < 0, -1.0, 1.0)
    critical = NormalDist().inv_cdf(1 - _ALPHA / max(tests, 1))
    floor = _NOTHING if np.isinf(n) else max(_SMALL, float(np.tanh(critical / sqrt(n - 3))))
    rest = np.array([_with_rest(correlation, side, item) for item in range(p)])
    clear = rest > floor
    low, high = clear & (side < 0), clear & (side > 0)
    if not low.any() or not high.any() or _apart(correlation, low, high) > -floor:
        return Direction()
    counted = clear | (rest > _SMALL)  # who stands where is counted with those that are less clear
    left, right = int((counted & (side < 0)).sum()), int((counted & (side > 0)).sum())
    tie = left == right
    members = (low | high) if tie else (low if left < right else high)
    places = np.flatnonzero(members)
    return Direction(tuple(places.tolist()), tuple((-rest[places]).tolist()), bool(tie))


def _with_rest(correlation: FloatArray, side: FloatArray, item: int) -> float:
    """Correlation of an item with the sum of the others, all turned to one side."""
    others = np.arange(len(side)) != item
    weights = side[others]
    spread = float(weights @ correlation[np.ix_(others, others)] @ weights)
    return float(side[item] * (correlation[item, others] @ weights) / sqrt(spread)) if spread > 0 else 0.0


def _apart(correlation: FloatArray, low: BoolArray, high: BoolArray) -> float:
    """Correlation of the sums of both sides."""
    between = float(correlation[np.ix_(low, high)].sum())
    own = float(correlation[np.ix_(low, low)].sum()) * float(correlation[np.ix_(high, high)].sum())
    return between / sqrt(own) if own > 0 else 0.0


def reversed_in_moments(model: RoxModel, moments: LinkedMoments) -> tuple[Doubt, ...]:
    """Doubts of check ``reversed`` about surveys, and about units' figures of constructs with several.

    The correlations are those of single answers over all respondents, and the effective number of answers is
    Kish's under the construct's own ICC: n / (1 + (k - 1) ICC), k people a unit. Published means without
    covariances within units are judged by the means.
    """
    tests = _tests(model)
    found = []
    for construct in model.constructs:
        if len(construct.items) < 2:
            continue
        covariance, n = _evidence(construct, moments)
        found += _doubts(construct, direction_of(covariance, n, tests, _expected(construct)))
    return tuple(found)


def reversed_by_covariance(model: RoxModel, parts: Iterable[tuple[Construct, FloatArray, float]]) -> tuple[Doubt, ...]:
    """Doubts of check ``reversed`` about one frame or matrix.

    Parameters
    ----------
    model
        Which constructs.
    parts
        Construct, (p, p) covariance of its items as they are read, effective number of rows.
    """
    tests = _tests(model)
    found: list[Doubt] = []
    for construct, covariance, n in parts:
        found += _doubts(construct, direction_of(covariance, n, tests, _expected(construct)))
    return tuple(found)


def _tests(model: RoxModel) -> int:
    return sum(len(construct.items) for construct in model.constructs if len(construct.items) > 1)


def _expected(construct: Construct) -> list[float]:
    """Signs of loadings that the model fixes."""
    fixed = [item.loading for item in construct.items]
    return [-1.0 if isinstance(value, int | float) and value < 0 else 1.0 for value in fixed]


def _evidence(construct: Construct, moments: LinkedMoments) -> tuple[FloatArray, float]:
    """Covariance of a construct's items and the effective number of answers behind it."""
    if construct.source == UNIT:
        names, means = moments.item_means()
        return _of_rows(means[:, [names.index(item) for item in construct.item_names]])
    own = _thinned(moments.source(construct.source).select(construct.item_names))
    total = own.total_covariance
    if np.isnan(total).any():
        return _of_rows(own.mean)
    return total, effective_answers(own, total)


def _thinned(own: SourceMoments) -> SourceMoments:
    """Every so many units of very many: enough to tell a direction, and quick."""
    step = -(-len(own.units) // _UNITS)
    if step < 2:
        return own
    names = ("respondents", "n", "weight", "weight2", "pair_mean", "scatter")
    return SourceMoments(own.source, own.items, own.units[::step], *(getattr(own, name)[::step] for name in names))


def _of_rows(rows: FloatArray) -> tuple[FloatArray, float]:
    """Covariance over complete rows, and their number."""
    complete = rows[~np.isnan(rows).any(axis=1)]
    p = rows.shape[1]
    if len(complete) < 2:
        return np.full((p, p), np.nan), 0.0
    return np.cov(complete, rowvar=False).reshape(p, p), float(len(complete))


def effective_answers(own: SourceMoments, total: FloatArray) -> float:
    """Independent answers that would tell as much as these, which share their units: n / (1 + (k - 1) ICC).

    Parameters
    ----------
    own
        Moments of the items.
    total
        (p, p) their covariance over all respondents; the largest ICC(1) of an item counts.
    """
    counts = own.n.min(axis=(1, 2))  # the pair of items that fewest answered both of
    n, weight = float(counts.sum()), own.weight
    if n <= 0:
        return 0.0
    within = np.diag(own.within_covariance)
    shares = 1 - within / np.diag(total) if not np.isnan(within).any() else np.ones(len(total))
    icc = float(np.clip(shares.max(), 0.0, 1.0))
    people = float((counts**2).sum()) / n
    if weight is not own.n:  # Kish's n under sampling weights
        own_weight = np.diagonal(weight.sum(axis=0)).min()
        squares = np.diagonal(own.weight2.sum(axis=0)).max()
        n = min(n, float(own_weight**2 / squares)) if squares > 0 else n
    return n / (1 + max(people - 1, 0.0) * icc)


def _doubts(construct: Construct, found: Direction) -> list[Doubt]:
    if not found.against:
        return []
    names = tuple(construct.item_names[place] for place in found.against)
    declared = {item.name for item in construct.items if item.reverse}
    if found.tie:
        finding = (
            f"The items {listed(names)} of {construct.name!r} run against each other (correlation "
            f"{found.size[0]:.2f}), as many one way as the other, so the data cannot tell which are reversed."
        )
        remedy = "Read their wording and give those that mean little of it rox.Item(name=, reverse=True)."
        if declared & set(names):
            remedy = "Read their wording and the data: were answers declared reverse=True turned already?"
        return [Doubt("reversed", "doubtful", finding, names, remedy)]
    one = len(names) == 1
    size = ", ".join(f"{value:.2f}" for value in found.size[:8])
    finding = (
        f"Item{'' if one else 's'} {listed(names)} of {construct.name!r} run{'s' if one else ''} against the other "
        f"items (correlation {size}), as a question worded the other way round does."
    )
    return [Doubt("reversed", "doubtful", finding, names, _remedy(names, declared))]


def _remedy(names: Sequence[str], declared: set[str]) -> str:
    fresh = [name for name in names if name not in declared]
    turned = [name for name in names if name in declared]
    parts = []
    if fresh:
        parts.append(f"give {listed(fresh)} reverse=True, such as rox.Item(name={fresh[0]!r}, reverse=True)")
    if turned:
        parts.append(f"leave reverse=True of {listed(turned)} out if the answers were turned already")
    words = "; ".join(parts)
    return f"Read the wording; if it is so, {words}."
