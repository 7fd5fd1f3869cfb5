"""Resampling by unit, row or cluster: counts that anyone can draw again from the seed."""

from __future__ import annotations

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["replicate_weights"]


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
