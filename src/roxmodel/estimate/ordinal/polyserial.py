"""Correlations of a continuous item with an ordinal or a continuous one, and what each row adds to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from roxmodel.estimate.ordinal.polychoric import SteppedRoot
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "FAR",
    "Cut",
    "RowInfluence",
    "cut_derivatives",
    "cut_of",
    "cut_score",
    "moment_influence",
    "pearson_influence",
    "pearson_score",
    "polyserial",
    "polyserial_influence",
    "polyserial_score",
]

_TINY = 1e-300  # keeps quotients finite
FAR = 1e8  # stands for an infinite threshold: its density is 0 and so is every product with it
_CHUNK = 8192  # rows worked on together, so that they stay in the processor's cache
_MOST_STEPS = 100
_OWN_SCORES = np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.5]])  # of mean and variance, by 1, u, u²


@dataclass(frozen=True, slots=True)
class RowInfluence:
    """What a row adds to the covariance of a standardised continuous item u with another item.

    The influence is factor·s + own·(1, u, u²) + `other`, where s is the row's score of the correlation.

    Attributes
    ----------
    factor
        Of the score.
    own
        (3,) coefficients of 1, u, u².
    other
        (K,) by answer to the other item when it is ordinal; else (3,) coefficients of 1, v, v².

    Examples
    --------
    >>> import numpy as np
    >>> influence = RowInfluence(2.0, np.array([1.0, 0.0, 0.0]), np.array([0.1, 0.2]))
    >>> influence.of(np.array([0.5, 1.0]), np.array([0.0, 0.3]), np.array([1, 0])).round(3)
    array([2.2, 3.1])
    """

    factor: float
    own: FloatArray
    other: FloatArray

    def of(self, score: FloatArray, u: FloatArray, other: FloatArray | IntArray) -> FloatArray:
        """Influence of each row, (n,); `other` holds codes of answers, or the other item's standardised values."""
        if np.issubdtype(other.dtype, np.integer):
            part = self.other[other.astype(np.int64, copy=False)]
        else:
            part = _polynomial(self.other, other.astype(np.float64, copy=False))
        return self.factor * score + _polynomial(self.own, u) + part


def _polynomial(k: FloatArray, u: FloatArray) -> FloatArray:
    return np.asarray((k[2] * u + k[1]) * u + k[0])


def moment_influence(u: FloatArray, weight: FloatArray) -> FloatArray:
    """Coefficients of 1, u, u² of the influence on a standardised item's mean and variance.

    A11 is the mean product of the scores u and (u²-1)/2, as everywhere in Muthén's matrix; under normality the
    influences are u and u²-1.

    Parameters
    ----------
    u
        (n,) standardised values.
    weight
        (n,) how many people each row stands for.

    Returns
    -------
    FloatArray
        (2, 3), mean first.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the item has two values only: then its mean says what its variance is.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.array([-3.0, -1.0, -1.0, 1.0, 1.0, 3.0]) / np.sqrt(22 / 6)
    >>> moment_influence(u, np.ones(6))[1].round(3)  # the influence on the variance is 1.891 (u² - 1)
    array([-1.891,  0.   ,  1.891])
    """
    total = weight.sum()
    square = u * u
    third, fourth = float(weight @ (square * u) / total), float(weight @ (square * square) / total)
    if fourth - 1.0 - third * third < 1e-9 * fourth:
        raise np.linalg.LinAlgError
    return np.asarray(np.linalg.solve([[1.0, third / 2.0], [third / 2.0, (fourth - 1.0) / 4.0]], _OWN_SCORES))


# --- continuous with ordinal


def polyserial(u: FloatArray, codes: IntArray, thresholds: FloatArray, weight: FloatArray) -> float:
    """Polyserial correlation, mean, variance and thresholds held at their own estimates.

    Parameters
    ----------
    u
        (n,) standardised values of the continuous item.
    codes
        (n,) answers to the ordinal item, 0 to K-1.
    thresholds
        (K-1,) of the ordinal item in standard units, ascending.
    weight
        (n,) how many people each row stands for.

    Returns
    -------
    float
        The correlation; NaN where no maximum inside (-1, 1) was found.

    References
    ----------
    Olsson, Drasgow & Dorans (1982), Psychometrika 47, 337-347, doi 10.1007/BF02294164.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.array([-1.5, -0.5, 0.0, 0.5, 1.5])
    >>> round(polyserial(u, np.array([0, 1, 0, 1, 1]), np.array([-0.25]), np.ones(5)), 4)
    0.763
    """
    root = SteppedRoot.start(np.array([_first_guess(u, codes, thresholds, weight)]))
    for _ in range(_MOST_STEPS):
        if not root.active[0]:
            return float(root.rho[0])
        rho, score, slope = float(root.rho[0]), 0.0, 0.0
        for at in _parts(len(u)):
            first, second = _derivatives(u[at], codes[at], thresholds, rho)
            score += float(weight[at] @ first)
            slope += float(weight[at] @ (second - first * first))
        root = root.stepped(np.array([score]), np.array([slope]))
    return float("nan")


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, first + _CHUNK) for first in range(0, n, _CHUNK))


def _first_guess(u: FloatArray, codes: IntArray, thresholds: FloatArray, weight: FloatArray) -> float:
    """The mean of u in each category against that of a standard normal variable, exact where ρ is small."""
    density = np.pad(np.exp(-0.5 * thresholds * thresholds) / np.sqrt(2.0 * np.pi), 1)
    share = np.diff(ndtr(thresholds), prepend=0.0, append=1.0)
    normal = -np.diff(density)
    sums = np.bincount(codes, weights=weight * u, minlength=len(share))
    return float(sums @ (normal / share) / weight.sum() / (normal * normal / share).sum())


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the bounds of an answer lie, given u: distances in conditional standard units, densities over P.

    Attributes
    ----------
    lower_tau, upper_tau
        (n,) the bounds themselves.
    lower, upper
        (n,) the same given u.
    lower_ratio, upper_ratio
        (n,) normal densities there over the probability of the answer.

    Examples
    --------
    >>> import numpy as np
    >>> cut_of(np.array([0.5]), np.array([-FAR]), np.array([0.0]), 0.6).upper
    array([-0.375])
    """

    lower_tau: FloatArray
    upper_tau: FloatArray
    lower: FloatArray
    upper: FloatArray
    lower_ratio: FloatArray
    upper_ratio: FloatArray


def cut_of(u: FloatArray, lower_tau: FloatArray, upper_tau: FloatArray, rho: float) -> Cut:
    """Lay the bounds of each answer out given u.

    Parameters
    ----------
    u
        (n,) standardised values of the continuous item.
    lower_tau, upper_tau
        (n,) bounds of the normal variable behind the answer; ±`FAR` where there is none.
    rho
        The correlation of the two.
    """
    rest = float(np.sqrt(1.0 - rho * rho))
    shift = rho * u
    lower, upper = (lower_tau - shift) / rest, (upper_tau - shift) / rest
    flip = lower + upper > 0.0  # the difference of two small tails keeps its digits, that of two near 1 does not
    probability = ndtr(np.where(flip, -lower, upper)) - ndtr(np.where(flip, -upper, lower))
    scale = 1.0 / (np.sqrt(2.0 * np.pi) * np.maximum(probability, _TINY))
    lower_ratio, upper_ratio = np.exp(-0.5 * lower * lower) * scale, np.exp(-0.5 * upper * upper) * scale
    return Cut(lower_tau, upper_tau, lower, upper, lower_ratio, upper_ratio)


def _cut(u: FloatArray, codes: IntArray, thresholds: FloatArray, rho: float) -> Cut:
    bounds = np.concatenate([[-FAR], thresholds, [FAR]])
    return cut_of(u, bounds[codes], bounds[codes + 1], rho)


def _derivatives(u: FloatArray, codes: IntArray, thresholds: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
    return cut_derivatives(u, _cut(u, codes, thresholds, rho), rho)


def cut_derivatives(u: FloatArray, cut: Cut, rho: float) -> tuple[FloatArray, FloatArray]:
    """(n,) ∂P/∂ρ and ∂²P/∂ρ² over P, the probability of the answer given u."""
    rest = 1.0 - rho * rho
    first, second = np.zeros_like(u), np.zeros_like(u)
    ends = ((cut.upper_tau, cut.upper, cut.upper_ratio, 1.0), (cut.lower_tau, cut.lower, cut.lower_ratio, -1.0))
    for tau, at, ratio, sign in ends:
        speed = (tau * rho - u) * rest**-1.5
        first += sign * ratio * speed
        second += sign * ratio * (tau * rest**-1.5 + speed * (3.0 * rho / rest - at * speed))
    return first, second


def cut_score(u: FloatArray, cut: Cut, rho: float) -> FloatArray:
    """(n,) derivative of the log likelihood of each answer by ρ."""
    upper, lower = cut.upper_tau * rho - u, cut.lower_tau * rho - u
    return np.asarray((cut.upper_ratio * upper - cut.lower_ratio * lower) * (1.0 - rho * rho) ** -1.5)


def polyserial_score(u: FloatArray, codes: IntArray, thresholds: FloatArray, rho: float) -> FloatArray:
    """Score of the polyserial correlation, row by row.

    Parameters
    ----------
    u, codes, thresholds
        As in :func:`polyserial`.
    rho
        The correlation.

    Returns
    -------
    FloatArray
        (n,) derivative of the log likelihood by ρ.

    Examples
    --------
    >>> import numpy as np
    >>> polyserial_score(np.array([1.0, -1.0]), np.array([1, 1]), np.array([0.0]), 0.0).round(6)
    array([ 0.797885, -0.797885])
    """
    return cut_score(u, _cut(u, codes, thresholds, rho), rho)


def polyserial_influence(
    u: FloatArray, codes: IntArray, thresholds: FloatArray, weight: FloatArray, rho: float, own: FloatArray
) -> RowInfluence:
    """What a row adds to the covariance of a standardised item with an ordinal one, all first steps included.

    Parameters
    ----------
    u, codes, thresholds, weight
        As in :func:`polyserial`.
    rho
        The polyserial correlation.
    own
        (2, 3) the item's own influences, see :func:`moment_influence`.

    Returns
    -------
    RowInfluence
        `other` by category. Times the item's standard deviation it is the influence on the covariance.

    References
    ----------
    Muthén (1984), Psychometrika 49, 115-132, doi 10.1007/BF02294210.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> u = rng.standard_normal(500)
    >>> u = (u - u.mean()) / u.std()
    >>> codes = (u + rng.standard_normal(500) > 0).astype(np.int64)
    >>> one, tau = np.ones(500), np.array([0.0])
    >>> found = polyserial_influence(u, codes, tau, one, 0.7, moment_influence(u, one))
    >>> found.own.shape, found.other.shape
    ((3,), (2,))
    """
    k, total = len(thresholds) + 1, float(weight.sum())
    rest = float(np.sqrt(1.0 - rho * rho))
    information, with_own = 0.0, np.zeros(2)
    rising, falling = np.zeros(k), np.zeros(k)
    for at in _parts(len(u)):
        value, code = u[at], codes[at]
        cut = _cut(value, code, thresholds, rho)
        score = polyserial_score(value, code, thresholds, rho)
        pull = weight[at] * score
        information += float(pull @ score)
        # by the mean and the variance of u, both in standard units
        given = value + (cut.upper_ratio - cut.lower_ratio) * rho / rest
        with_own += [float(pull @ given), 0.5 * float(pull @ (given * value - 1.0))]
        rising += np.bincount(code, weights=pull * cut.upper_ratio, minlength=k)
        falling += np.bincount(code, weights=pull * cut.lower_ratio, minlength=k)
    with_thresholds = (rising[:-1] - falling[1:]) / rest
    slope = with_thresholds * np.sqrt(2.0 * np.pi) * np.exp(0.5 * thresholds * thresholds)
    beyond = np.append(slope[::-1].cumsum()[::-1], 0.0)
    by_code = beyond - slope @ ndtr(thresholds)
    return RowInfluence(total / information, 0.5 * rho * own[1] - with_own @ own / information, -by_code / information)


# --- continuous with continuous


def pearson_score(u: FloatArray, v: FloatArray, rho: float) -> FloatArray:
    """Score of the correlation of two standardised items under normality, row by row.

    Parameters
    ----------
    u, v
        (n,) standardised values.
    rho
        The correlation.

    Returns
    -------
    FloatArray
        (n,) derivative of the log density by ρ.

    Examples
    --------
    >>> import numpy as np
    >>> pearson_score(np.array([1.0, 2.0]), np.array([1.0, -1.0]), 0.0)
    array([ 1., -2.])
    """
    rest = 1.0 - rho * rho
    return np.asarray((rho * (rest - u * u - v * v) + (1.0 + rho * rho) * u * v) / rest**2)


def pearson_influence(
    u: FloatArray, v: FloatArray, weight: FloatArray, rho: float, own: FloatArray, others: FloatArray
) -> RowInfluence:
    """What a row adds to the covariance of two standardised items, means and variances estimated first.

    Parameters
    ----------
    u, v
        (n,) standardised values.
    weight
        (n,) how many people each row stands for.
    rho
        Their correlation.
    own, others
        (2, 3) influences on mean and variance of u and of v, see :func:`moment_influence`.

    Returns
    -------
    RowInfluence
        Times both standard deviations it is the influence on the covariance.

    Examples
    --------
    >>> import numpy as np
    >>> u, v = np.random.default_rng(1).standard_normal((2, 1000))
    >>> u, v, one = (u - u.mean()) / u.std(), (v - v.mean()) / v.std(), np.ones(1000)
    >>> found = pearson_influence(u, v, one, float(u @ v / 1000), moment_influence(u, one), moment_influence(v, one))
    >>> bool(abs(found.factor - 1.0) < 0.1)  # the information about ρ near 0 is 1 a person
    True
    """
    rest, total = 1.0 - rho * rho, float(weight.sum())
    information, with_u, with_v = 0.0, np.zeros(2), np.zeros(2)
    for at in _parts(len(u)):
        x, y = u[at], v[at]
        score = pearson_score(x, y, rho)
        pull = weight[at] * score
        information += float(pull @ score)
        for found, one, other in ((with_u, x, y), (with_v, y, x)):
            given = (one - rho * other) / rest
            found += [float(pull @ given), 0.5 * float(pull @ (given * one - 1.0))]
    own_part = 0.5 * rho * own[1] - with_u @ own / information
    return RowInfluence(total / information, own_part, 0.5 * rho * others[1] - with_v @ others / information)
