"""Bias-corrected and accelerated bootstrap intervals."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from roxmodel.types import FloatArray

__all__ = ["acceleration", "bca_interval"]


def acceleration(influence: FloatArray) -> FloatArray:
    """How fast the standard error changes with the quantity, a = Σ l³ / (6 (Σ l²)^1.5).

    Parameters
    ----------
    influence
        (n, m) influence of each resampled row (or cluster) on each of m quantities.

    Returns
    -------
    ndarray
        (m,), 0 where nothing varies.

    References
    ----------
    Efron (1987), doi 10.1080/01621459.1987.10478410; the infinitesimal jackknife in place of the jackknife: Efron &
    Tibshirani (1993), An introduction to the bootstrap, ch. 22.

    Examples
    --------
    >>> float(acceleration(np.array([[-1.0], [-1.0], [2.0]])).round(4)[0])
    0.068
    """
    centred = influence - influence.mean(axis=0)
    square = (centred**2).sum(axis=0)
    safe = np.where(square > 0, square, 1.0)
    return np.asarray(np.where(square > 0, (centred**3).sum(axis=0) / (6 * safe**1.5), 0.0))


def bca_interval(draws: FloatArray, estimate: FloatArray, speed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends of the 95 % interval.

    Parameters
    ----------
    draws
        (R, m) replicates.
    estimate
        (m,) at the sample.
    speed
        (m,) see `acceleration`.

    Returns
    -------
    low, high
        (m,); NaN where the replicates do not vary.

    References
    ----------
    Efron (1987), doi 10.1080/01621459.1987.10478410.

    Examples
    --------
    >>> draws = np.arange(1.0, 1000.0)[:, None]
    >>> low, high = bca_interval(draws, np.array([500.0]), np.zeros(1))
    >>> bool(abs(low[0] - 25.5) < 1), bool(abs(high[0] - 974.5) < 1)
    (True, True)
    """
    count, m = draws.shape
    varies = np.ptp(draws, axis=0) > 0
    below = (draws < estimate).mean(axis=0) + 0.5 * (draws == estimate).mean(axis=0)
    bias = ndtri(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    ends = np.full((2, m), np.nan)
    for side, z in enumerate((ndtri(0.025), ndtri(0.975))):
        moved = bias + (bias + z) / (1 - speed * (bias + z))
        level = np.clip(ndtr(moved), 0.0, 1.0)
        for column in np.flatnonzero(varies):
            ends[side, column] = np.quantile(draws[:, column], level[column])
    return ends[0], ends[1]
