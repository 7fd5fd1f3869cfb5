"""Levels of the units: best linear unbiased predictions of every construct, with their errors."""

from __future__ import annotations

import numpy as np

from roxmodel.estimate.linked.sample import LinkedSample
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import implied
from roxmodel.implied.noisy import inverse_of_noisy
from roxmodel.result.records import UnitScores
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.types import FloatArray

__all__ = ["predicted_levels"]


def predicted_levels(
    model: RoxModel, sample: LinkedSample, layout: Layout, theta: FloatArray, unit: FloatArray
) -> UnitScores:
    """Predict every construct in every unit from all that is known of the unit, in points of its first item.

    η̂_j = α + Cov(η, m) (Σ + N_j)⁻¹ (m_j - μ), with error variance Φ - Cov(η, m) (Σ + N_j)⁻¹ Cov(m, η): shrunken
    towards what the graph expects, the more the noisier the unit's means (Henderson 1975, doi 10.2307/2529430; Lawley &
    Maxwell 1971, Factor analysis as a statistical method, ch. 8).

    Parameters
    ----------
    unit
        (k,) loading of each construct's first item.
    """
    at = implied(layout, theta)
    markers = [sample.items.index(construct.item_names[0]) for construct in model.constructs]
    centre = at.mu[markers] * layout.scale[markers]
    spread = at.spread * unit  # (p, k) covariance of items and constructs, in points of the first item
    latent = at.latent * np.outer(unit, unit)
    values, errors = [], []
    for block in sample.data.blocks():
        inverse, _ = inverse_of_noisy(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        values.append(centre + (inverse @ rest[:, :, None])[:, :, 0] @ spread)
        left = np.diag(latent) - np.einsum("pk,jpq,qk->jk", spread, inverse, spread, optimize=True)
        errors.append(np.sqrt(np.where(left > 1e-10 * np.diag(latent), left, 0.0)))
    fewest = np.zeros((sample.n, len(model.names)))
    known = np.zeros((sample.n, len(model.names)), dtype=bool)
    for k, construct in enumerate(model.constructs):
        own = [sample.items.index(item) for item in construct.item_names]
        if construct.source == UNIT:
            fewest[:, k], known[:, k] = np.inf, ~np.isnan(sample.raw[:, own]).all(axis=1)
            continue
        people = sample.people[:, own]
        some = np.where(people > 0, people, np.inf).min(axis=1)
        fewest[:, k] = np.where(np.isinf(some), 0.0, some)
        known[:, k] = (people > 0).any(axis=1)
    return UnitScores(sample.units, np.concatenate(values), np.concatenate(errors), fewest, known)
