"""Resampling by unit, row or cluster: counts that anyone can draw again from the seed.

Bias-corrected and accelerated bootstrap intervals.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from roxmodel.types import FloatArray, IntArray

__all__ = ["acceleration", "bca_interval", "replicate_block", "replicate_weights"]


_BLOCK = 128  # replicates drawn from one generator


_CELLS = 1 << 21  # draws of one generator at most


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
    return np.asarray(replicate_block(entropy, replicate, replicate + 1, codes)[0], dtype=np.float64)


def replicate_block(entropy: int, start: int, stop: int, codes: FloatArray) -> FloatArray:
    """Counts of the replicates start…stop-1, (stop - start, n); see `replicate_weights`.

    Replicates are drawn in blocks, one generator a block, because making a generator costs more than drawing.
    """
    places = np.asarray(codes, dtype=np.int64)
    clusters = int(places.max()) + 1
    size = int(np.clip(_CELLS // clusters, 1, _BLOCK))
    first, last = start // size, (stop - 1) // size
    counts = np.concatenate([_drawn(entropy, block, clusters, size) for block in range(first, last + 1)])
    own = counts[start - first * size : stop - first * size]
    if clusters == len(places) and (places == np.arange(clusters)).all():
        return np.asarray(own, dtype=np.float64)
    return np.asarray(own[:, places], dtype=np.float64)


def _drawn(entropy: int, block: int, clusters: int, size: int) -> IntArray:
    rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(block,)))
    picked = rng.integers(0, clusters, (size, clusters), dtype=np.int32)
    picked += np.arange(size, dtype=np.int32)[:, None] * np.int32(clusters)
    return np.bincount(picked.ravel(), minlength=size * clusters).reshape(size, clusters).astype(np.int64)


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
