"""The bootstrap of the path method: every replicate refitted, all replicates of linear equations at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np

from roxmodel.errors import EstimationError, RoxError
from roxmodel.estimate.curved import generalised
from roxmodel.estimate.path import Spot, spots_of
from roxmodel.estimate.regression import Task, check_task, frame_of
from roxmodel.estimate.rows import complete_rows
from roxmodel.estimate.scores import Scores
from roxmodel.records import LINEAR, Resampling
from roxmodel.result.resampling import replicate_block
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["refit", "resample"]

_INSEPARABLE = 1e-9  # smallest eigenvalue of a replicate's scaled normal equations
_MOST_CELLS = 1 << 23  # of one array, so that long frames do not fill the memory


def resample(
    model: RoxModel, table: ParameterTable, scores: Scores, replicates: int, seed: int | None, progress: bool | None
) -> Resampling:
    """Draw units (rows, clusters) with replacement and refit, `replicates` times.

    Parameters
    ----------
    model, table, scores
        What is estimated, from which rows.
    replicates
        How many.
    seed
        Equal seeds give equal replicates; None draws a seed.
    progress
        Whether to show a progress bar; None = where someone watches.

    Returns
    -------
    Resampling
        A replicate that cannot be estimated (inseparable causes, separated outcomes) is left out and counted.

    Raises
    ------
    EstimationError
        If half of the replicates or more fail.
    """
    codes = np.arange(scores.n, dtype=np.float64) if scores.clusters is None else scores.clusters.astype(np.float64)
    entropy = secrets.randbits(63) if seed is None else seed
    size = _batch_size(scores)
    # Batches are whole, so that a replicate is computed the same whatever the number of replicates.
    batches = [range(start, start + size) for start in range(0, replicates, size)]
    found = np.concatenate(
        [
            refit(model, table, scores, replicate_block(entropy, batch.start, batch.stop, codes))
            for batch in _watched(batches, progress)
        ]
    )[:replicates]
    good = np.isfinite(found).all(axis=1)
    if good.sum() <= replicates / 2:
        raise EstimationError(
            f"{int((~good).sum())} of {replicates} bootstrap replicates could not be estimated.",
            hint="The data are too thin for this model: use fewer causes, or more units.",
        )
    numbers = np.flatnonzero(good).astype(np.float64)
    return Resampling(entropy, codes, found[good], numbers, int((~good).sum()))


def _batch_size(scores: Scores) -> int:
    return int(np.clip(_MOST_CELLS // (scores.n * len(scores.names)), 1, 50))


def _watched(batches: list[range], progress: bool | None) -> Iterator[range]:
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    yield from tqdm(batches, desc="bootstrap", unit="batch", disable=disable, leave=False)


def refit(model: RoxModel, table: ParameterTable, scores: Scores, weights: FloatArray) -> FloatArray:
    """Estimate all parameters for each set of row weights.

    Parameters
    ----------
    model, table, scores
        What is estimated, from which rows.
    weights
        (R, n) counts of the rows.

    Returns
    -------
    ndarray
        (R, n_free); a row of NaN where a replicate cannot be estimated.
    """
    values = scores.values
    if values is None:
        raise RoxError("A bootstrap needs rows; a printed matrix has none.", hint="Use se='standard'.")
    theta = np.full((len(weights), table.n_free), np.nan)
    residuals = np.zeros((len(weights), len(scores.names), scores.n))
    known = np.ones((len(scores.names), scores.n), dtype=bool)
    for spot in spots_of(model, table):
        rows = complete_rows(values, spot)
        known[spot.effect] = rows
        if scores.families[spot.effect] == LINEAR:
            coefficients, left = _least_squares(spot, values[rows], weights[:, rows])
        else:
            coefficients, left = _one_by_one(spot, scores, values[rows], weights[:, rows])
        theta[:, list(spot.theta)] = coefficients
        residuals[:, spot.effect, rows] = left
    return _with_moments(model, table, scores, weights, (theta, residuals, known))


def _least_squares(spot: Spot, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares of one equation in all replicates; (R, 1 + p) and residuals (R, rows)."""
    y = values[:, spot.effect].copy()
    for cause, value in spot.fixed:
        y -= value * values[:, cause]
    frame, middle = frame_of(values[:, list(spot.causes)]), float(y.mean())
    n, k = frame.design.shape
    products = (frame.design[:, :, None] * frame.design[:, None, :]).reshape(n, k * k)
    inner = (weights @ products).reshape(-1, k, k)
    outer = weights @ (frame.design * (y - middle)[:, None])
    solved = _solve(inner, outer)
    residuals = (y - middle) - solved @ frame.design.T
    coefficients = solved @ frame.back.T
    coefficients[:, 0] += middle
    return coefficients, residuals


def _solve(inner: FloatArray, outer: FloatArray) -> FloatArray:
    """Solve (R, k, k) normal equations; NaN where the replicate's causes cannot be told apart."""
    k = inner.shape[-1]
    scale = np.sqrt(np.einsum("rii->ri", inner))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = inner / (scale[:, :, None] * scale[:, None, :])
    bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = np.eye(k)
    bad |= np.linalg.eigvalsh(scaled)[:, 0] < _INSEPARABLE
    scaled[bad] = np.eye(k)
    safe = np.where(scale > 0, scale, 1.0)
    solved = np.linalg.solve(scaled, (outer / safe)[:, :, None])[:, :, 0] / safe
    solved[bad] = np.nan
    return np.asarray(solved)


def _one_by_one(spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A curved equation, replicate by replicate, each row as often as it was drawn."""
    offset = np.zeros(len(values))
    for cause, value in spot.fixed:
        offset += value * values[:, cause]
    causes = values[:, list(spot.causes)]
    coefficients = np.full((len(weights), len(spot.causes) + 1), np.nan)
    residuals = np.full((len(weights), len(values)), np.nan)
    names = scores.names
    for place, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(values)), weight.astype(np.int64))
        task = Task(
            effect=names[spot.effect],
            causes=tuple(names[c] for c in spot.causes),
            y=values[drawn, spot.effect],
            x=causes[drawn],
            offset=offset[drawn],
            clusters=None,
            family=scores.families[spot.effect],
            robust=False,
        )
        try:
            check_task(task, "rows")
            found = generalised(task)
        except EstimationError:
            continue
        coefficients[place] = found.coefficients
        residuals[place] = 0.0
        residuals[place, drawn] = found.residuals
    return coefficients, residuals


def _with_moments(
    model: RoxModel,
    table: ParameterTable,
    scores: Scores,
    weights: FloatArray,
    found: tuple[FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Exogenous means and (co)variances and disturbance (co)variances, weighted."""
    theta, deviations, known = found
    place = {name: i for i, name in enumerate(model.names)}
    exogenous = [place[name] for name in model.exogenous_names]
    values = np.asarray(scores.values)
    complete = ~np.isnan(values[:, exogenous]).any(axis=1)
    known[exogenous] = complete
    for at in exogenous:
        own = np.where(complete, values[:, at], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (weights @ own) / (weights @ complete)
        deviations[:, at] = np.where(complete, own - mean[:, None], 0.0)
        for row in table.of("intercept"):
            if row.free and row.left == model.names[at]:
                theta[:, row.free - 1] = mean
    for row in (*table.of("variance"), *table.of("covariance")):
        if row.free and row.left in place and row.right in place:
            a, b = place[row.left], place[row.right]
            there = (known[a] & known[b]).astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                products = (weights * deviations[:, a] * deviations[:, b]) @ there
                theta[:, row.free - 1] = products / (weights @ there)
    return theta
