"""Each item alone given covariates: an ordered probit regression or a linear one, with its scores row by row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.ordinal.marginals import continuous_item, ordinal_item
from roxmodel.estimate.ordinal.polyserial import FAR
from roxmodel.types import FloatArray, IntArray

__all__ = ["LinearItem", "ProbitItem", "bound_pulls", "linear_item", "probit_item"]

_NONE = np.empty((0, 0))
_TINY = 1e-300  # keeps quotients finite
_MOST_STEPS, _CLOSE = 100, 1e-11
_FLAT = 1e-9  # smallest eigenvalue of the information, scaled to a diagonal of 1, below which a slope has no end
_EXACT = 1e-10  # share of a variance that the covariates leave, below which nothing is left


@dataclass(frozen=True, slots=True)
class ProbitItem:
    """An ordinal item given covariates: its normal variable has the variance 1 around x·slopes.

    Attributes
    ----------
    codes
        (n,) answers, 0 to K-1.
    design
        (n, q) covariates, their means taken off.
    thresholds
        (K-1,) ascending, where the covariates are at their means.
    slopes
        (q,) of the normal variable behind the answers.
    lower, upper
        (n,) bounds of each answer around what the covariates foretell; ±`FAR` where there is none.
    inverse
        (d, d) inverse mean product of the scores of thresholds and slopes, d = K-1+q.
    """

    codes: IntArray
    design: FloatArray
    thresholds: FloatArray
    slopes: FloatArray
    lower: FloatArray
    upper: FloatArray
    inverse: FloatArray

    def scores(self, rows: slice) -> FloatArray:
        """(d, rows) of the item alone."""
        return self.spread(*bound_pulls(self.lower[rows], self.upper[rows]), rows)

    def spread(self, up: FloatArray, down: FloatArray, rows: slice) -> FloatArray:
        """(d, rows) derivatives by thresholds and slopes, from those by the upper and the lower bound."""
        codes, cuts = self.codes[rows], len(self.thresholds)
        found, at = np.zeros((cuts + len(self.slopes), len(codes))), np.arange(len(codes))
        below, above = codes < cuts, codes > 0
        found[codes[below], at[below]] = up[below]
        found[codes[above] - 1, at[above]] = down[above]
        found[cuts:] = -(self.design[rows] * (up + down)[:, None]).T
        return found

    def gathered(self, up: FloatArray, down: FloatArray) -> FloatArray:
        """(d,) sums of `spread` over all rows."""
        k = len(self.thresholds) + 1
        rising, falling = (np.bincount(self.codes, weights=one, minlength=k) for one in (up, down))
        return np.concatenate([rising[:-1] + falling[1:], -(self.design.T @ (up + down))])


@dataclass(frozen=True, slots=True)
class LinearItem:
    """A continuous item given covariates: what a linear regression leaves.

    Attributes
    ----------
    design
        (n, q) covariates, their means taken off.
    standard
        (n,) residuals over their standard deviation.
    mean, sd
        Mean of the item; standard deviation of the residuals (divisor n).
    slopes
        (q,) in units of the item.
    inverse
        (d, d) inverse mean product of the scores of mean, slopes and variance in standard units, d = q+2.
    """

    design: FloatArray
    standard: FloatArray
    mean: float
    sd: float
    slopes: FloatArray
    inverse: FloatArray

    def scores(self, rows: slice) -> FloatArray:
        """(d, rows) of the item alone."""
        u = self.standard[rows]
        return self.spread(u, 0.5 * (u * u - 1.0), rows)

    def spread(self, by_mean: FloatArray, by_variance: FloatArray, rows: slice) -> FloatArray:
        """(d, rows) derivatives by mean, slopes and variance, from those by what is foretold and by the variance."""
        return np.vstack([by_mean, (self.design[rows] * by_mean[:, None]).T, by_variance])

    def gathered(self, by_mean: FloatArray, by_variance: FloatArray) -> FloatArray:
        """(d,) sums of `spread` over all rows."""
        return np.concatenate([[by_mean.sum()], self.design.T @ by_mean, [by_variance.sum()]])


def probit_item(
    name: str, values: FloatArray, weight: FloatArray, design: FloatArray, covariates: tuple[str, ...]
) -> ProbitItem:
    """Regress an ordinal item on covariates by maximum likelihood.

    Parameters
    ----------
    name
        The item, for messages.
    values
        (n,) answers.
    weight
        (n,) how many people each row stands for.
    design
        (n, q) covariates, their means taken off.
    covariates
        Their names, for messages.

    Returns
    -------
    ProbitItem

    Raises
    ------
    DataError
        If there is one category only.
    EstimationError
        If the covariates foretell the answers so well that a slope has no end, or no error.

    References
    ----------
    McKelvey & Zavoina (1975), doi 10.1080/0022250X.1975.9989847.

    Examples
    --------
    >>> import numpy as np
    >>> answers, people = np.array([0.0, 1.0, 0.0, 1.0]), np.array([50.0, 50.0, 16.0, 84.0])
    >>> found = probit_item("a", answers, people, np.array([[-0.5], [-0.5], [0.5], [0.5]]), ("x",))
    >>> found.slopes.round(3), found.thresholds.round(3)
    (array([0.994]), array([-0.497]))
    """
    alone = ordinal_item(name, values, weight)
    cuts = len(alone.thresholds)
    theta = np.append(alone.thresholds, np.zeros(design.shape[1]))
    known = (alone.codes, design, weight / weight.sum())
    for _ in range(_MOST_STEPS):
        gradient, information = _ascent(theta, known)
        if _flat(information):
            break
        step = np.asarray(np.linalg.solve(information, gradient), dtype=np.float64)
        theta = _uphill(theta, step, known)
        if np.abs(step).max() < _CLOSE:
            lower, upper = _bounds(theta, *known[:2])
            item = ProbitItem(alone.codes, design, theta[:cuts], theta[cuts:], lower, upper, _NONE)
            products = _products(item, weight)
            if _flat(products):  # at some value of a covariate all gave one answer: nothing says how sure the slope is
                break
            return replace(item, inverse=np.asarray(np.linalg.inv(products), dtype=np.float64))
    raise EstimationError(
        f"{listed(covariates)} foretell the answers to {name!r} too well: at some value all gave one answer, so that a "
        "slope of its probit regression has no end, or no error.",
        hint="Leave that covariate or the item out, or merge categories.",
    )


def _flat(information: FloatArray) -> bool:
    """Whether the likelihood grows for ever in some direction, so that its information there has all but gone."""
    own = np.sqrt(np.maximum(np.diag(information), 0.0))
    if not own.min() > _FLAT:
        return True
    return not float(np.linalg.eigvalsh(information / np.outer(own, own))[0]) > _FLAT


def _products(item: ProbitItem | LinearItem, weight: FloatArray) -> FloatArray:
    """(d, d) mean products of the scores."""
    scores = item.scores(slice(None))
    return np.asarray((scores * weight) @ scores.T / weight.sum())


def _bounds(theta: FloatArray, codes: IntArray, design: FloatArray) -> tuple[FloatArray, FloatArray]:
    cuts = len(theta) - design.shape[1]
    ends = np.concatenate([[-FAR], theta[:cuts], [FAR]])
    foretold = design @ theta[cuts:]
    return ends[codes] - foretold, ends[codes + 1] - foretold


def _probability(lower: FloatArray, upper: FloatArray) -> FloatArray:
    flip = lower + upper > 0.0  # the difference of two small tails keeps its digits
    return np.asarray(ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower)))


def bound_pulls(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the log likelihood of each answer by its upper and its lower bound.

    Parameters
    ----------
    lower, upper
        (n,) bounds of a standard normal variable; ±`FAR` where there is none.

    Returns
    -------
    tuple of ndarray
        (n,) each; 0 where there is no bound.
    """
    scale = 1.0 / (np.sqrt(2.0 * np.pi) * np.maximum(_probability(lower, upper), _TINY))
    return np.exp(-0.5 * upper * upper) * scale, -np.exp(-0.5 * lower * lower) * scale


def _ascent(theta: FloatArray, known: tuple[IntArray, FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Gradient of the mean log likelihood and minus its Hessian."""
    codes, design, share = known
    cuts, rows = len(theta) - design.shape[1], np.arange(len(codes))
    lower, upper = _bounds(theta, codes, design)
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


def _uphill(theta: FloatArray, step: FloatArray, known: tuple[IntArray, FloatArray, FloatArray]) -> FloatArray:
    """A step that lowers no likelihood: the whole one, or a half, a quarter, ..."""
    here = _likelihood(theta, known)
    for _ in range(30):
        if _likelihood(theta + step, known) >= here - 1e-13 * abs(here):
            break
        step = 0.5 * step
    return np.asarray(theta + step)


def _likelihood(theta: FloatArray, known: tuple[IntArray, FloatArray, FloatArray]) -> float:
    codes, design, share = known
    if (np.diff(theta[: len(theta) - design.shape[1]]) <= 0.0).any():
        return -np.inf
    return float(share @ np.log(np.maximum(_probability(*_bounds(theta, codes, design)), _TINY)))


def linear_item(
    name: str, values: FloatArray, weight: FloatArray, design: FloatArray, covariates: tuple[str, ...]
) -> LinearItem:
    """Regress a continuous item on covariates by least squares.

    Parameters
    ----------
    name
        The item, for messages.
    values
        (n,) numbers.
    weight
        (n,) how many people each row stands for.
    design
        (n, q) covariates, their means taken off.
    covariates
        Their names, for messages.

    Returns
    -------
    LinearItem

    Raises
    ------
    DataError
        If fewer than three different values occur.
    EstimationError
        If the covariates leave nothing of the item, or two values.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[-1.0], [-1.0], [0.0], [0.0], [1.0], [1.0]])
    >>> found = linear_item("c", np.array([0.0, 1.0, 1.0, 4.0, 5.0, 4.0]), np.ones(6), x, ("x",))
    >>> found.slopes.round(3), round(found.sd, 3)
    (array([2.]), 0.957)
    """
    alone = continuous_item(name, values, weight)
    root = np.sqrt(weight)
    slopes = np.linalg.lstsq(design * root[:, None], (values - alone.mean) * root, rcond=None)[0]
    left = values - alone.mean - design @ slopes
    sd = float(np.sqrt(weight @ (left * left) / weight.sum()))
    if sd**2 <= _EXACT * alone.sd**2:
        raise EstimationError(
            f"{name!r} is determined by {listed(covariates)}: given these nothing of it is left.",
            hint="Leave the item out.",
        )
    item = LinearItem(design, left / sd, alone.mean, sd, np.asarray(slopes), _NONE)
    products = _products(item, weight)
    if _flat(products):
        raise EstimationError(
            f"What {listed(covariates)} leave of {name!r} has two values only: it can not be taken as continuous.",
            hint=f"Take the item as cut from a normal variable: ordered=[..., {name!r}], or leave it out.",
        )
    return replace(item, inverse=np.asarray(np.linalg.inv(products), dtype=np.float64))
