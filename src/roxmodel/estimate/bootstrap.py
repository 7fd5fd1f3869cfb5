"""The bootstrap of every method: replicates drawn, refitted in batches side by side, failures counted."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.estimate.options import LinkedOptions, PathOptions, SemOptions
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.result.draws import Draws, Resampled, replicate_block
from roxmodel.types import FloatArray, IntArray

__all__ = ["Bootstrap"]

_MOST_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What is drawn with replacement, and how it is refitted."""

    # from (batch, n) counts of the rows, and how many of the batch are asked for (the others may stay NaN), to
    # (batch, n_free) parameters; a row of NaN where a replicate cannot be estimated
    refit: Callable[[FloatArray, int], FloatArray]
    codes: FloatArray  # (n,) cluster of each row, 0…G-1, drawn together; each row its own where none was asked for
    batch: int  # replicates refitted together
    hint: str  # what to do where half of the replicates fail
    lower: FloatArray | None = None  # (n_free,) bounds of the parameters, if there are any
    places: IntArray | None = None  # where the rows used stand among all rows of the frame; None where all were used
    rows: int = 0  # how many those are
    alone: bool = False  # whether batches come one after the other

    def draws(self, options: PathOptions | SemOptions | LinkedOptions) -> Draws:
        """Refit every replicate.

        A replicate depends on the seed and its number alone: batches are whole, whatever the number of replicates and
        of cores. One that fails is left out and counted, one that stops at a bound is kept and counted.
        """
        count = options.bootstrap
        entropy = secrets.randbits(63) if options.seed is None else options.seed

        def run(start: int) -> FloatArray:
            counts = replicate_block(entropy, start, start + self.batch, self.codes)
            return self.refit(counts, min(self.batch, count - start))

        starts = range(0, count, self.batch)
        found = np.concatenate(list(_watched(self._run(run, starts), len(starts), options.progress)))[:count]
        good = np.isfinite(found).all(axis=1)
        failed = int((~good).sum())
        if failed >= count / 2:
            raise EstimationError(f"{failed} of {count} bootstrap replicates could not be estimated.", hint=self.hint)
        kept = found[good]
        bounded = 0 if self.lower is None else int((kept <= self.lower).any(axis=1).sum())
        told = Resampled(entropy, self.codes, np.flatnonzero(good), self.places, self.rows)
        return Draws("bootstrap", kept, failed, bounded, told=told)

    def _run(self, run: Callable[[int], FloatArray], starts: range) -> Iterator[FloatArray]:
        if self.alone:
            yield from map(run, starts)
            return
        with one_blas_thread(), ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MOST_WORKERS)) as pool:
            yield from pool.map(run, starts)


def _watched(batches: Iterator[FloatArray], count: int, progress: bool | None) -> Iterator[FloatArray]:
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    yield from tqdm(batches, total=count, desc="bootstrap", unit="batch", disable=disable, leave=False)
