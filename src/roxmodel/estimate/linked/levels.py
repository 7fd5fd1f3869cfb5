"""Levels of the units: best linear unbiased predictions of every construct, with their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roxmodel.estimate.linked.sample import LinkedSample
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import implied
from roxmodel.implied.noisy import NoisyMeans, inverse_of_noisy
from roxmodel.result.records import UnitScores
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray

__all__ = ["predicted_levels"]


def predicted_levels(
    model: RoxModel, sample: LinkedSample, fitted: tuple[Layout, FloatArray], unit: FloatArray, min_group: int
) -> tuple[FloatArray, FloatArray, UnitScores]:
    """Predict every construct in every unit from all that is known of the unit, in points of its first item.

    η̂_j = α + Cov(η, m) (Σ + N_j)⁻¹ (m_j - μ), with error variance Φ - Cov(η, m) (Σ + N_j)⁻¹ Cov(m, η): shrunken
    towards what the graph expects, the more the noisier the unit's means (Henderson 1975, doi 10.2307/2529430; Lawley &
    Maxwell 1971, Factor analysis as a statistical method, ch. 8).

    Parameters
    ----------
    fitted
        The layout and its estimate.
    unit
        (k,) loading of each construct's first item.
    min_group
        Answers of fewer people than that are left out of what may be shown.

    Returns
    -------
    ndarray
        (J, k) predictions from everything.
    ndarray
        (J, k, k) covariance of their errors.
    UnitScores
        Predictions that may be shown: none of them uses answers to a construct that fewer than `min_group` people gave.
    """
    fewest, known = _respondents(model, sample)
    every, doubts = _predicted(model, sample.data, fitted, unit)
    errors = _errors(doubts)
    small = (fewest > 0) & (fewest < min_group)
    if not small.any():
        return every, doubts, UnitScores(sample.units, every, errors, fewest, known, min_group=min_group)
    seen = sample.data.seen.copy()
    for k, construct in enumerate(model.constructs):
        for item in construct.item_names:
            seen[small[:, k], sample.items.index(item)] = False
    rows = small.any(axis=1)
    shown, doubt = every.copy(), errors.copy()
    some = np.flatnonzero(rows)
    masked = replace(sample.data, seen=seen).pick(some)
    masked = replace(masked, mean=np.where(masked.seen, masked.mean, 0.0))
    shown[some], unsure = _predicted(model, masked, fitted, unit)
    doubt[some] = _errors(unsure)
    return every, doubts, UnitScores(sample.units, shown, doubt, fewest, known & ~small, min_group=min_group)


def _errors(doubts: FloatArray) -> FloatArray:
    """(J, k) standard errors of the predictions."""
    return np.sqrt(np.diagonal(doubts, axis1=1, axis2=2))


def _predicted(
    model: RoxModel, data: NoisyMeans, fitted: tuple[Layout, FloatArray], unit: FloatArray
) -> tuple[FloatArray, FloatArray]:
    layout, theta = fitted
    at = implied(layout, theta)
    markers = [layout.items.index(construct.item_names[0]) for construct in model.constructs]
    centre = at.mu[markers] * layout.scale[markers]
    spread = at.spread * unit  # (p, k) covariance of items and constructs, in points of the first item
    latent = at.latent * np.outer(unit, unit)
    values, errors = [], []
    for block in data.blocks():
        inverse, _ = inverse_of_noisy(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        values.append(centre + (inverse @ rest[:, :, None])[:, :, 0] @ spread)
        left = latent - spread.T @ inverse @ spread
        unsure = np.diagonal(left, axis1=1, axis2=2) > 1e-10 * np.diag(latent)  # else it is observed without error
        errors.append(np.where(unsure[:, :, None] & unsure[:, None, :], left, 0.0))
    return np.concatenate(values), np.concatenate(errors)


def _respondents(model: RoxModel, sample: LinkedSample) -> tuple[FloatArray, BoolArray]:
    """(J, k) fewest respondents behind an answered item, and whether there is anything of the construct."""
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
    return fewest, known
