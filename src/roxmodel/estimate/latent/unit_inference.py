"""Errors of a linked fit: information, sandwich by unit, and what few units ask for."""

from __future__ import annotations

import numpy as np

from roxmodel.estimate.latent.optimizer import Minimum
from roxmodel.estimate.latent.unit_sample import LinkedSample
from roxmodel.implied.layout import Layout
from roxmodel.implied.noisy import NoisyMeans, scores_noisy
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, IntArray

__all__ = ["degrees_of_freedom", "equation_units", "sandwich", "small_sample"]


def equation_units(model: RoxModel, sample: LinkedSample) -> dict[str, int]:
    """Units with something of the effect and of each of its causes, by effect."""
    seen = ~np.isnan(sample.raw)
    own = {
        construct.name: seen[:, [sample.items.index(item) for item in construct.item_names]].any(axis=1)
        for construct in model.constructs
    }
    return {
        name: int(np.logical_and.reduce([own[name], *(own[cause] for cause in model.causes(name))]).sum())
        for name in model.names
    }


def degrees_of_freedom(
    model: RoxModel, table: ParameterTable, sample: LinkedSample, clusters: IntArray | None = None
) -> FloatArray:
    """(n_free,) degrees of freedom of the t distribution.

    Of an edge: units of its equation less its causes less 1, as in a regression; of anything else units less 1. With
    clusters of units: clusters less 1 at most.
    """
    units = equation_units(model, sample)
    found = np.full(table.n_free, max(float(sample.n - 1), 1.0))
    for row in table.of("edge"):
        if row.free:
            left = float(units[row.right] - len(model.causes(row.right)) - 1)
            found[row.free - 1] = min(found[row.free - 1], max(left, 1.0))
    if clusters is not None:
        found = np.minimum(found, max(float(clusters.max()), 1.0))
    return found


def small_sample(model: RoxModel, table: ParameterTable, sample: LinkedSample, vcov: FloatArray) -> FloatArray:
    """Widen the errors of edges by √(n / (n - causes - 1)).

    Maximum likelihood divides what an equation leaves unexplained by n; as in a regression it should be divided by
    what is left of n after the equation's parameters. The rule was chosen by simulation (`benchmarks/
    linked_coverage.py`).
    """
    units, factor = equation_units(model, sample), np.ones(table.n_free)
    for row in table.of("edge"):
        if row.free:
            n = units[row.right]
            left = n - len(model.causes(row.right)) - 1
            factor[row.free - 1] = np.sqrt(n / max(left, 1))
    return np.asarray(vcov * np.outer(factor, factor))


def sandwich(
    layout: Layout, found: Minimum, data: NoisyMeans, inverse: FloatArray, clusters: IntArray | None
) -> FloatArray:
    """(n_free, n_free) covariance of the estimates by unit, or by cluster of units.

    Parameters
    ----------
    layout, found, data
        The model at its estimate.
    inverse
        Inverse information per unit, of all parameters.
    clusters
        (J,) cluster of each unit, or None.

    References
    ----------
    Huber (1967), Proc. 5th Berkeley Symposium 1, 221-233; White (1982), doi 10.2307/1912526. With g units or clusters
    the middle is multiplied by g / (g - 1).
    """
    scores = scores_noisy(layout, found.theta, data) * data.weight[:, None]
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, scores.shape[1]))
        np.add.at(sums, clusters, scores)
        scores = sums
    scores[:, found.bound] -= scores[:, found.bound].mean(axis=0)  # all others add up to 0
    count, size = len(scores), data.size
    middle = scores.T @ scores * (count / max(count - 1, 1)) / size
    return np.asarray(inverse @ middle @ inverse / size)
