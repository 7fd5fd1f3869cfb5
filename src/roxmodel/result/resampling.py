"""Resampling by unit, row or cluster: counts that anyone can draw again from the seed, and what draws say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["Spread", "replicate_weights", "spread_of"]


def replicate_weights(entropy: int, replicate: int, codes: FloatArray) -> FloatArray:
    """How often each row is drawn in one replicate of the non-parametric bootstrap.

    Parameters
    ----------
    entropy
        Seed of the whole bootstrap.
    replicate
        Number of the replicate; replicates are independent and do not depend on how many there are.
    codes
        (n,) cluster of each row, 0…G-1; clusters are drawn with replacement.

    Returns
    -------
    ndarray
        (n,) counts.

    References
    ----------
    Efron (1979), doi 10.1214/aos/1176344552.

    Examples
    --------
    >>> int(replicate_weights(7, 0, np.arange(10.0)).sum())
    10
    """
    places = np.asarray(codes, dtype=np.int64)
    clusters = int(places.max()) + 1
    rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(replicate,)))
    counts = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
    return np.asarray(counts[places], dtype=np.float64)


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
