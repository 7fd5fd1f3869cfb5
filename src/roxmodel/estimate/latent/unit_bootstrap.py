"""The bootstrap by unit: every replicate refitted, with the covariance within units found again."""

from __future__ import annotations

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.estimate.bootstrap import Bootstrap
from roxmodel.estimate.latent.optimizer import lower_bounds, minimise
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, reweighted
from roxmodel.estimate.latent.solve import layout_of
from roxmodel.estimate.options import LinkedOptions
from roxmodel.implied.likelihood import objective_of_units
from roxmodel.result.draws import Draws
from roxmodel.types import FloatArray, IntArray

__all__ = ["refit_units", "resample_units"]

_BATCH = 8
_STEPS = 100


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


def resample_units(
    sample: LinkedSample, known: LatentSolution, options: LinkedOptions, used: tuple[IntArray, int]
) -> Draws:
    """Draw units (or clusters of them) with replacement and refit.

    `used` says where the units of the sample stand among all units of the study, and how many those are.
    """
    places, every = used
    whole, clusters = len(places) == every, sample.groups[0].clusters
    return Bootstrap(
        refit=lambda counts, wanted: np.stack([refit_units(sample, known, own) for own in counts[:wanted]]),
        codes=np.arange(float(sample.n)) if clusters is None else clusters.astype(np.float64),
        batch=_BATCH,
        hint="The units are too few for this model: use fewer items or constructs, or more units.",
        lower=lower_bounds(known.table),
        places=None if whole else places,
        rows=0 if whole else every,
    ).draws(options)
