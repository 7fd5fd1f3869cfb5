"""Levels of the units: best linear unbiased predictions of every construct, with their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roxmodel.estimate.latent.sample import LinkedSample
from roxmodel.implied.layout import Layout
from roxmodel.implied.likelihood import NormalCells, inverse_of
from roxmodel.implied.matrices import implied
from roxmodel.records import UnitScores
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.composites import people_behind, suppressed
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
        Answers to a construct that fewer people of a unit gave are left out of all predictions there, and so are those
        of the units that would give such a one away. Such a level is not predicted at all: even without the unit's own
        answers a prediction follows them, because the parameters do.

    Returns
    -------
    ndarray
        (J, k) predictions, NaN where nothing may be shown.
    ndarray
        (J, k, k) covariance of their errors; of a level that may not be shown the variance between units.
    UnitScores
        The same, and why something is missing.
    """
    fewest, known = _respondents(model, sample)
    hidden = np.column_stack([suppressed(column, min_group) for column in fewest.T])
    data = sample.data
    if hidden.any():
        seen = data.seen.copy()
        for k, construct in enumerate(model.constructs):
            for item in construct.item_names:
                seen[hidden[:, k], sample.items.index(item)] = False
        data = replace(data, seen=seen, mean=np.where(seen, data.mean, 0.0))
    values, doubts = _predicted(model, data, fitted, unit)
    values = _as_seen(model, sample, values, doubts)
    if hidden.any():
        spread = np.diag(implied(*fitted).latent) * unit**2
        apart = np.where(hidden[:, :, None] | hidden[:, None, :], 0.0, doubts)
        values, doubts = np.where(hidden, np.nan, values), apart + np.eye(len(unit)) * (hidden * spread)[:, None, :]
    errors = np.where(hidden, np.nan, np.sqrt(np.diagonal(doubts, axis1=1, axis2=2)))
    known &= ~hidden
    return values, doubts, UnitScores(sample.units, values, errors, fewest, known, hidden, min_group=min_group)


def _predicted(
    model: RoxModel, data: NormalCells, fitted: tuple[Layout, FloatArray], unit: FloatArray
) -> tuple[FloatArray, FloatArray]:
    layout, theta = fitted
    at = implied(layout, theta)
    markers = [layout.items.index(construct.item_names[0]) for construct in model.constructs]
    centre = at.mu[markers] * layout.scale[markers]
    spread = at.spread * unit  # (p, k) covariance of items and constructs, in points of the first item
    latent = at.latent * np.outer(unit, unit)
    values, errors = [], []
    for block in data.blocks():
        inverse, _ = inverse_of(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        values.append(centre + (inverse @ rest[:, :, None])[:, :, 0] @ spread)
        left = latent - spread.T @ inverse @ spread
        unsure = np.diagonal(left, axis1=1, axis2=2) > 1e-10 * np.diag(latent)  # else it is observed without error
        errors.append(np.where(unsure[:, :, None] & unsure[:, None, :], left, 0.0))
    return np.concatenate(values), np.concatenate(errors)


def _as_seen(model: RoxModel, sample: LinkedSample, values: FloatArray, doubts: FloatArray) -> FloatArray:
    """The same, with a unit's own figure as it was written, to the last digit: a yes is 1, not 1 - 1e-15."""
    found = values.copy()
    for k, construct in enumerate(model.constructs):
        if construct.source != UNIT or len(construct.items) > 1:
            continue
        raw = sample.raw[:, sample.items.index(construct.item_names[0])]
        near = np.abs(values[:, k] - raw) <= 1e-9 * np.maximum(np.abs(raw), np.nanstd(raw))  # False where not seen
        found[:, k] = np.where(near & (doubts[:, k, k] == 0), raw, values[:, k])
    return found


def _respondents(model: RoxModel, sample: LinkedSample) -> tuple[FloatArray, BoolArray]:
    """(J, k) fewest respondents behind an answered item, and whether there is anything of the construct."""
    fewest = np.zeros((sample.n, len(model.names)))
    known = np.zeros((sample.n, len(model.names)), dtype=bool)
    sources = {source.name: source for source in sample.sources}
    for k, construct in enumerate(model.constructs):
        if construct.source == UNIT:
            own = [sample.items.index(item) for item in construct.item_names]
            fewest[:, k], known[:, k] = np.inf, ~np.isnan(sample.raw[:, own]).all(axis=1)
            continue
        source = sources[construct.source]
        people = people_behind(source.moments.select(construct.item_names))
        fewest[:, k] = np.where(source.rows >= 0, people[source.rows], 0.0)
        known[:, k] = fewest[:, k] > 0
    return fewest, known
