"""The bootstrap by unit: every replicate refitted, with the covariance within units found again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.estimate.latent.optimizer import minimise
from roxmodel.estimate.latent.planned_table import lower_bounds
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, reweighted
from roxmodel.estimate.latent.solve import layout_of
from roxmodel.implied.likelihood import objective_of_units
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.records import Resampling
from roxmodel.result.resampling import replicate_block
from roxmodel.types import FloatArray, IntArray

__all__ = ["Draws", "refit_units", "resample_units"]

_BATCH = 8
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Draws:
    """How many replicates, from which seed, of what.

    Attributes
    ----------
    replicates, seed, progress
        As asked for.
    clusters
        (J,) cluster of each unit, drawn together; None: each unit by itself.
    every
        Units of the study; those of the sample stand at `places` among them.
    places
        (J,).
    """

    replicates: int
    seed: int | None
    progress: bool | None
    clusters: IntArray | None
    every: int
    places: IntArray


def refit_units(sample: LinkedSample, known: LatentSolution, weight: FloatArray) -> FloatArray:
    """Estimate all parameters when units count `weight` times, (n_free,); NaN where that cannot be."""
    nothing = np.full(known.table.n_free, np.nan)
    try:
        data = reweighted(sample, weight)
        objective = objective_of_units(layout_of(known, data), data)
        if not np.isfinite(objective.value(known.found.theta)):
            return nothing
        found = minimise(objective, known.found.theta, lower_bounds(known.table), _STEPS)
    except (np.linalg.LinAlgError, EstimationError, ValueError):
        return nothing
    return found.theta if found.converged else nothing


def resample_units(sample: LinkedSample, known: LatentSolution, draws: Draws) -> Resampling:
    """Draw units (or clusters of them) with replacement and refit.

    A replicate depends on the seed and its number alone, never on how many workers there are.

    Raises
    ------
    EstimationError
        If half of the replicates or more fail.
    """
    codes = np.arange(float(sample.n)) if draws.clusters is None else draws.clusters.astype(np.float64)
    entropy = secrets.randbits(63) if draws.seed is None else draws.seed

    def run(start: int) -> FloatArray:
        stop = min(start + _BATCH, draws.replicates)
        counts = replicate_block(entropy, start, stop, codes)
        return np.stack([refit_units(sample, known, own) for own in counts])

    starts = range(0, draws.replicates, _BATCH)
    with one_blas_thread(), ThreadPoolExecutor(max_workers=max(1, min(os.cpu_count() or 1, 8))) as pool:
        found = np.concatenate(list(_watched(pool.map(run, starts), len(starts), draws.progress)))
    good = np.isfinite(found).all(axis=1)
    failed = int((~good).sum())
    if failed >= draws.replicates / 2:
        raise EstimationError(
            f"{failed} of {draws.replicates} bootstrap replicates could not be estimated.",
            hint="The units are too few for this model: use fewer items or constructs, or more units.",
        )
    kept = found[good]
    bounded = int((kept <= lower_bounds(known.table)).any(axis=1).sum())
    numbers = np.flatnonzero(good).astype(np.float64)
    whole = len(draws.places) == draws.every
    return Resampling(
        entropy, codes, kept, numbers, failed, bounded,
        places=None if whole else draws.places, rows=0 if whole else draws.every,
    )  # fmt: skip


def _watched(batches: Iterator[FloatArray], count: int, progress: bool | None) -> Iterator[FloatArray]:
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    yield from tqdm(batches, total=count, desc="bootstrap", unit="batch", disable=disable, leave=False)
