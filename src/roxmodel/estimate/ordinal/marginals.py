"""Each item alone, given covariates or none: thresholds and an ordered probit regression, or mean and a linear one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from roxmodel.errors import DataError, EstimationError, listed
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "FAR", "TINY", "ContinuousItem", "OrdinalItem", "bound_pulls", "continuous_item", "ordinal_item", "share_between",
]  # fmt: skip

FAR = 1e8  # stands for an infinite threshold: its density is 0 and so is every product with it
TINY = 1e-300  # keeps quotients finite
_NONE = np.empty((0, 0))
_MOST_STEPS, _CLOSE = 100, 1e-11
_FLAT = 1e-9  # smallest eigenvalue of the information, scaled to a diagonal of 1, below which a slope has no end
_EXACT = 1e-10  # share of a variance that the covariates leave, below which nothing is left


@dataclass(frozen=True, slots=True)
class OrdinalItem:
    """An ordinal item: its normal variable has the variance 1 around x·slopes."""

    codes: IntArray  # (n,) answers, 0 to K-1
    design: FloatArray  # (n, q) covariates, their means taken off; q may be 0
    thresholds: FloatArray  # (K-1,) ascending, where the covariates are at their means
    slopes: FloatArray  # (q,) of the normal variable behind the answers
    inverse: FloatArray
    """(d, d) inverse mean product of the scores of thresholds and slopes, d = K-1+q; without covariates (K-1, K) how an
    answer (column) moves each threshold: (1{answer ≤ t} - share) / density."""

    sd = 1.0

    @property
    def first(self) -> int:
        """How many thresholds there are."""
        return len(self.thresholds)

    def bounds(self, rows: slice) -> tuple[FloatArray, FloatArray]:
        """(rows,) lower and upper bound of each answer around what the covariates foretell; ±`FAR`: there is none."""
        ends = np.concatenate([[-FAR], self.thresholds, [FAR]])
        lower, upper = ends[self.codes[rows]], ends[self.codes[rows] + 1]
        if not len(self.slopes):
            return lower, upper
        foretold = self.design[rows] @ self.slopes
        return lower - foretold, upper - foretold

    def left(self) -> FloatArray:
        """(n,) expected residuals of the normal variable behind the answer."""
        return -np.add(*bound_pulls(*self.bounds(slice(None))))

    def influence(self, rows: slice) -> FloatArray:
        """(d, rows) of each row on thresholds and slopes."""
        if not len(self.slopes):
            return self.inverse[:, self.codes[rows]]
        return np.asarray(self.inverse @ self.scores(rows))

    def scores(self, rows: slice) -> FloatArray:
        """(d, rows) derivatives of the log likelihood of the item alone by thresholds and slopes."""
        up, down = bound_pulls(*self.bounds(rows))
        codes, cuts = self.codes[rows], len(self.thresholds)
        found, at = np.zeros((cuts + len(self.slopes), len(codes))), np.arange(len(codes))
        below, above = codes < cuts, codes > 0
        found[codes[below], at[below]] = up[below]
        found[codes[above] - 1, at[above]] = down[above]
        found[cuts:] = -(self.design[rows] * (up + down)[:, None]).T
        return found

    def gathered(self, up: FloatArray, down: FloatArray, rows: slice) -> FloatArray:
        """(d,) sums of derivatives by thresholds and slopes, from those by the upper and the lower bound."""
        k = len(self.thresholds) + 1
        rising, falling = (np.bincount(self.codes[rows], weights=one, minlength=k) for one in (up, down))
        return np.concatenate([rising[:-1] + falling[1:], -(self.design[rows].T @ (up + down))])


@dataclass(frozen=True, slots=True)
class ContinuousItem:
    """A continuous item: what a linear regression on covariates, or its mean alone, leaves."""

    design: FloatArray  # (n, q) covariates, their means taken off; q may be 0
    standard: FloatArray  # (n,) residuals over their standard deviation
    mean: float
    sd: float  # of the residuals (divisor n)
    slopes: FloatArray  # (q,) in units of the item
    # (d, d) inverse mean product of the scores of mean, slopes, variance in standard units, d = q+2
    inverse: FloatArray

    first = 1

    def left(self) -> FloatArray:
        """(n,) residuals."""
        return self.standard

    def influence(self, rows: slice) -> FloatArray:
        """(d, rows) of each row on mean, slopes and variance, in standard units."""
        return np.asarray(self.inverse @ self.scores(rows))

    def scores(self, rows: slice) -> FloatArray:
        """(d, rows) derivatives of the log likelihood of the item alone by mean, slopes and variance."""
        u = self.standard[rows]
        return np.vstack([u, (self.design[rows] * u[:, None]).T, 0.5 * (u * u - 1.0)])

    def gathered(self, by_mean: FloatArray, by_variance: FloatArray, rows: slice) -> FloatArray:
        """(d,) sums of derivatives by mean, slopes and variance, from those by what is foretold and by the variance."""
        return np.concatenate([[by_mean.sum()], self.design[rows].T @ by_mean, [by_variance.sum()]])


def ordinal_item(
    name: str,
    values: FloatArray,
    weight: FloatArray,
    design: FloatArray,
    covariates: Sequence[str] = (),
    categories: Sequence[float] | None = None,
) -> OrdinalItem:
    """Cut the standard normal variable at the cumulative shares; given covariates, by maximum likelihood.

    `weight` (n,) is how many people each row stands for, `design` (n, q) the covariates, their means taken off;
    `categories` those that exist, None = those that occur. Raises DataError if there is one category only, a declared
    category is empty or a value is not among them. Raises EstimationError if the covariates foretell the answers so
    well that a slope has no end, or no error. McKelvey & Zavoina (1975), doi 10.1080/0022250X.1975.9989847.

    >>> alone = ordinal_item("a", np.array([1.0, 2.0, 5.0]), np.array([16.0, 68.0, 16.0]), np.empty((3, 0)))
    >>> alone.thresholds.round(3)
    array([-0.994,  0.994])
    >>> answers, people = np.array([0.0, 1.0, 0.0, 1.0]), np.array([50.0, 50.0, 16.0, 84.0])
    >>> found = ordinal_item("a", answers, people, np.array([[-0.5], [-0.5], [0.5], [0.5]]), ("x",))
    >>> found.slopes.round(3), found.thresholds.round(3)
    (array([0.994]), array([-0.497]))
    """
    codes, share = _coded(name, values, weight, categories)
    thresholds = ndtri(share)
    if not covariates:
        below = np.arange(len(share) + 1) <= np.arange(len(share))[:, None]
        density = np.exp(-0.5 * thresholds * thresholds) / np.sqrt(2.0 * np.pi)
        return OrdinalItem(codes, design, thresholds, np.empty(0), (below - share[:, None]) / density[:, None])
    cuts, own = len(thresholds), _Probit(codes, design, weight / weight.sum())
    theta = np.append(thresholds, np.zeros(design.shape[1]))
    for _ in range(_MOST_STEPS):
        gradient, information = own.ascent(theta)
        if _flat(information):
            break
        step = np.asarray(np.linalg.solve(information, gradient), dtype=np.float64)
        theta = own.uphill(theta, step)
        if np.abs(step).max() < _CLOSE:
            item = OrdinalItem(codes, design, theta[:cuts], theta[cuts:], _NONE)
            products = _products(item, weight)
            if _flat(products):  # at some value of a covariate all gave one answer: nothing says how sure the slope is
                break
            return replace(item, inverse=np.asarray(np.linalg.inv(products), dtype=np.float64))
    raise EstimationError(
        f"{listed(covariates)} foretell the answers to {name!r} too well: at some value all gave one answer, so that a "
        "slope of its probit regression has no end, or no error.",
        hint="Leave that covariate or the item out, or merge categories.",
    )


def _coded(
    name: str, values: FloatArray, weight: FloatArray, categories: Sequence[float] | None
) -> tuple[IntArray, FloatArray]:
    """(n,) answers 0 to K-1, and (K-1,) cumulative shares."""
    known = np.unique(values if categories is None else np.asarray(categories, dtype=np.float64))
    codes = np.minimum(np.searchsorted(known, values), len(known) - 1)
    strange = known[codes] != values
    if strange.any():
        raise DataError(
            f"Ordinal item {name!r} has the value {values[strange][0]:g}, which is no category of it.",
            allowed=listed(known.tolist(), limit=12),
        )
    counts = np.bincount(codes, weights=weight, minlength=len(known))
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f"Ordinal item {name!r} has one category only ({values[0]:g} in all {weight.sum():g} answers).",
            hint="Leave the item out: it cannot go together with anything.",
        )
    if not counts.all():
        empty = known[counts == 0.0][0]
        raise DataError(
            f"Nobody chose category {empty:g} of ordinal item {name!r}.",
            hint="Merge it with its neighbour: an empty category has no threshold.",
        )
    return codes, counts.cumsum()[:-1] / counts.sum()


def _flat(information: FloatArray) -> bool:
    """Whether the likelihood grows for ever in some direction, so that its information there has all but gone."""
    own = np.sqrt(np.maximum(np.diag(information), 0.0))
    if not own.min() > _FLAT:
        return True
    return not float(np.linalg.eigvalsh(information / np.outer(own, own))[0]) > _FLAT


def _products(item: OrdinalItem | ContinuousItem, weight: FloatArray) -> FloatArray:
    """(d, d) mean products of the scores."""
    scores = item.scores(slice(None))
    return np.asarray((scores * weight) @ scores.T / weight.sum())


def share_between(lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Probability of a standard normal variable between two bounds."""
    flip = lower + upper > 0.0  # the difference of two small tails keeps its digits, that of two near 1 does not
    return np.asarray(ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower)))


def bound_pulls(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the log likelihood of each answer by its upper and its lower bound; 0 where there is none."""
    scale = 1.0 / (np.sqrt(2.0 * np.pi) * np.maximum(share_between(lower, upper), TINY))
    return np.exp(-0.5 * upper * upper) * scale, -np.exp(-0.5 * lower * lower) * scale


@dataclass(frozen=True, slots=True)
class _Probit:
    """The mean log likelihood of (n,) answers by thresholds and slopes; `share` (n,) of each row."""

    codes: IntArray
    design: FloatArray
    share: FloatArray

    def bounds(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        cuts = len(theta) - self.design.shape[1]
        return OrdinalItem(self.codes, self.design, theta[:cuts], theta[cuts:], _NONE).bounds(slice(None))

    def ascent(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient and minus the Hessian."""
        codes, design, share = self.codes, self.design, self.share
        cuts, rows = len(theta) - design.shape[1], np.arange(len(codes))
        lower, upper = self.bounds(theta)
        up, down = bound_pulls(lower, upper)
        by_up, by_down = np.zeros((len(codes), cuts + 1)), np.zeros((len(codes), cuts + 1))
        by_up[rows, codes] = 1.0
        by_down[rows, np.maximum(codes - 1, 0)] = codes > 0
        by_up, by_down = (np.hstack([one[:, :cuts], -design]) for one in (by_up, by_down))
        gradient = by_up.T @ (share * up) + by_down.T @ (share * down)
        mixed = by_up * up[:, None] + by_down * down[:, None]
        information = (mixed * share[:, None]).T @ mixed
        information += (by_up * (share * up * upper)[:, None]).T @ by_up
        information += (by_down * (share * down * lower)[:, None]).T @ by_down
        return gradient, information

    def uphill(self, theta: FloatArray, step: FloatArray) -> FloatArray:
        """A step that lowers no likelihood: the whole one, or a half, a quarter, ..."""
        here = self.value(theta)
        for _ in range(30):
            if self.value(theta + step) >= here - 1e-13 * abs(here):
                break
            step = 0.5 * step
        return np.asarray(theta + step)

    def value(self, theta: FloatArray) -> float:
        if (np.diff(theta[: len(theta) - self.design.shape[1]]) <= 0.0).any():
            return -np.inf
        return float(self.share @ np.log(np.maximum(share_between(*self.bounds(theta)), TINY)))


def continuous_item(
    name: str, values: FloatArray, weight: FloatArray, design: FloatArray, covariates: Sequence[str] = ()
) -> ContinuousItem:
    """Standardise the values; given covariates, what a regression on them by least squares leaves.

    `weight` and `design` as in `ordinal_item`. Raises DataError if fewer than three different values occur. Raises
    EstimationError if the covariates leave nothing of the item, or two values.

    >>> alone = continuous_item("c", np.array([1.0, 2.0, 6.0]), np.array([2.0, 1.0, 1.0]), np.empty((3, 0)))
    >>> round(alone.sd, 4)
    2.0616
    >>> x = np.array([[-1.0], [-1.0], [0.0], [0.0], [1.0], [1.0]])
    >>> found = continuous_item("c", np.array([0.0, 1.0, 1.0, 4.0, 5.0, 4.0]), np.ones(6), x, ("x",))
    >>> found.slopes.round(3), round(found.sd, 3)
    (array([2.]), 0.957)
    """
    total = weight.sum()
    mean = float(weight @ values / total)
    centred = values - mean
    whole = float(np.sqrt(weight @ (centred * centred) / total))
    if whole <= 1e-12 * max(abs(mean), 1e-300):
        raise DataError(
            f"Item {name!r} is constant ({values[0]:g} in all {total:g} answers).",
            hint="Leave the item out: it cannot go together with anything.",
        )
    _refuse_two_values(name, values, centred / whole, weight)
    root = np.sqrt(weight)
    slopes, sd, left = np.empty(0), whole, centred
    if covariates:
        slopes = np.asarray(np.linalg.lstsq(design * root[:, None], centred * root, rcond=None)[0])
        left = centred - design @ slopes
        sd = float(np.sqrt(weight @ (left * left) / total))
    if sd**2 <= _EXACT * whole**2:
        raise EstimationError(
            f"{name!r} is determined by {listed(covariates)}: given these nothing of it is left.",
            hint="Leave the item out.",
        )
    item = ContinuousItem(design, left / sd, mean, sd, slopes, _NONE)
    products = _products(item, weight)
    if covariates and _flat(products):
        raise EstimationError(
            f"What {listed(covariates)} leave of {name!r} has two values only: it can not be taken as continuous.",
            hint=f"Take the item as cut from a normal variable: ordered=[..., {name!r}], or leave it out.",
        )
    return replace(item, inverse=np.asarray(np.linalg.inv(products), dtype=np.float64))


def _refuse_two_values(name: str, values: FloatArray, standard: FloatArray, weight: FloatArray) -> None:
    """Of two values the mean says what the variance is: then the scores of both are one."""
    square = standard * standard
    third, fourth = float(weight @ (square * standard) / weight.sum()), float(weight @ (square * square) / weight.sum())
    if fourth - 1.0 - third * third < 1e-9 * fourth:
        raise DataError(
            f"Item {name!r} has two values only ({values.min():g} and {values.max():g}).",
            hint="Declare it ordinal: of two values the mean says what the variance is.",
        )
