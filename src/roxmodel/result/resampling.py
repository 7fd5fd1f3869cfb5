"""Resampling by unit, row or cluster: counts that anyone can draw again from the seed."""

from __future__ import annotations

import numpy as np

from roxmodel.types import FloatArray, IntArray

__all__ = ["replicate_block", "replicate_weights"]

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
