"""Intervals and p values: of an estimate with a standard error, and of draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from roxmodel.types import FloatArray

__all__ = ["Spread", "delta_se", "slopes_of", "spread_of", "wald"]

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wald(value: FloatArray, se: FloatArray, df: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ends of the 95 % interval and two-sided p of estimates with standard errors.

    Parameters
    ----------
    value, se
        Estimates and standard errors, of one shape.
    df
        Degrees of freedom of the t distribution; infinite = normal, NaN gives NaN.

    Returns
    -------
    low, high, p
        Of the same shape; NaN where the standard error is 0 or unknown.

    Examples
    --------
    >>> low, high, p = wald(np.array([2.0]), np.array([1.0]), np.array([np.inf]))
    >>> low.round(3).tolist(), high.round(3).tolist(), p.round(4).tolist()
    ([0.04], [3.96], [0.0455])
    """
    normal = np.isinf(df)
    finite = np.where(normal, 1.0, df)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.where(se > 0, se, np.nan)
        size = np.abs(value) / known
        width = np.where(normal, _Z, stdtrit(finite, 0.975)) * known
        p = 2 * np.where(normal, ndtr(-size), stdtr(finite, -size))
    return value - width, value + width, p


def slopes_of(function: Callable[[FloatArray], FloatArray], theta: FloatArray, vcov: FloatArray) -> FloatArray:
    """(m, n_free) derivatives of `function`, (draws, n_free) to (draws, m), at theta.

    By central differences, in steps in proportion to the standard errors.
    """
    step = 1e-4 * np.sqrt(np.maximum(np.diag(vcov), 0.0))
    step = np.where(step > 0, step, 1e-6 * np.maximum(np.abs(theta), 1.0))
    values, k = function(np.vstack([theta + np.diag(step), theta - np.diag(step)])), len(theta)
    return np.asarray((values[:k] - values[k:]).T / (2 * step))


def delta_se(slopes: FloatArray, vcov: FloatArray, least: float = 0.0) -> FloatArray:
    """(m,) standard errors by the delta method, from (m, n_free) derivatives (Sobel 1982, doi 10.2307/270723).

    NaN where a variance is not above `least`: there nothing was estimated, or only rounding is left.
    """
    variance = np.array([slope @ vcov @ slope for slope in slopes])
    return np.sqrt(np.where(variance > least, variance, np.nan))


@dataclass(frozen=True, slots=True)
class Spread:
    """What draws say of each quantity: standard deviation, ends of the 95 % percentile interval, two-sided p."""

    se: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray


def spread_of(draws: FloatArray) -> Spread:
    """Summarise draws, column by column.

    p is twice the smaller share of draws on either side of 0, with the estimate counted among them, so that it is
    below 0.05 where the interval excludes 0 and never 0.

    Parameters
    ----------
    draws
        (R, m). A column that never varies (or holds NaN) has NaN everywhere.

    Returns
    -------
    Spread
        (m,) each.

    References
    ----------
    Efron & Tibshirani (1993), An introduction to the bootstrap, ch. 13; Davison & Hinkley (1997), Bootstrap methods
    and their application, ch. 4.

    Examples
    --------
    >>> spread_of(np.arange(1.0, 100.0)[:, None]).p.tolist()
    [0.02]
    """
    count, m = draws.shape
    nothing = np.full(m, np.nan)
    if count < 2 or m == 0:
        return Spread(nothing, nothing.copy(), nothing.copy(), nothing.copy())
    varies = np.ptp(draws, axis=0) > 0
    low, high = (np.where(varies, end, np.nan) for end in np.quantile(draws, [0.025, 0.975], axis=0))
    tail = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p = np.where(varies, np.minimum(2 * (tail + 1) / (count + 1), 1.0), np.nan)
    with np.errstate(invalid="ignore"):
        se = np.where(varies, draws.std(axis=0, ddof=1), np.nan)
    return Spread(se, low, high, p)
