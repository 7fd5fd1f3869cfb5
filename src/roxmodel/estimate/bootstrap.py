"""The bootstrap of the path method: every replicate refitted, all replicates of linear equations at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np

from roxmodel.errors import EstimationError, RoxError
from roxmodel.estimate.path import Solution, Spot, spots_of
from roxmodel.estimate.regression import Task, regress
from roxmodel.estimate.scores import Scores
from roxmodel.result.records import Resampling
from roxmodel.result.resampling import replicate_weights
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["refit", "resample"]

_BATCH = 200


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
    batches = [range(start, min(start + _BATCH, replicates)) for start in range(0, replicates, _BATCH)]
    found = np.concatenate([
        refit(model, table, scores, np.stack([replicate_weights(entropy, number, codes) for number in batch]))
        for batch in _watched(batches, progress)
    ])
    good = np.isfinite(found).all(axis=1)
    if good.sum() <= replicates / 2:
        raise EstimationError(
            f"{int((~good).sum())} of {replicates} bootstrap replicates could not be estimated.",
            hint="The data are too thin for this model: use fewer causes, or more units.",
        )
    numbers = np.flatnonzero(good).astype(np.float64)
    return Resampling(entropy, codes, found[good], numbers, int((~good).sum()))


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
        used = [spot.effect, *spot.causes, *(cause for cause, _ in spot.fixed)]
        rows = ~np.isnan(values[:, used]).any(axis=1)
        known[spot.effect] = rows
        solve = _least_squares if scores.families[spot.effect] == "linear" else _one_by_one
        coefficients, left = solve(spot, scores, values[rows], weights[:, rows])
        theta[:, list(spot.theta)] = coefficients
        residuals[:, spot.effect, rows] = left
    return _with_moments(model, table, scores, weights, (theta, residuals, known))


def _least_squares(
    spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares of one equation in all replicates; (R, 1 + p) and residuals (R, rows)."""
    y = values[:, spot.effect].copy()
    for cause, value in spot.fixed:
        y -= value * values[:, cause]
    x = values[:, list(spot.causes)]
    centre, middle = x.mean(axis=0), float(y.mean())
    design = np.column_stack([np.ones(len(x)), x - centre])
    n, k = design.shape
    products = (design[:, :, None] * design[:, None, :]).reshape(n, k * k)
    inner = (weights @ products).reshape(-1, k, k)
    outer = weights @ (design * (y - middle)[:, None])
    scale = np.sqrt(np.einsum("rii->ri", inner))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = inner / (scale[:, :, None] * scale[:, None, :])
        bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = np.eye(k)
    bad |= np.linalg.eigvalsh(scaled)[:, 0] < 1e-9
    scaled[bad] = np.eye(k)
    safe = np.where(scale > 0, scale, 1.0)
    solved = np.linalg.solve(scaled, (outer / safe)[:, :, None])[:, :, 0] / safe
    solved[bad] = np.nan
    residuals = (y - middle) - solved @ design.T
    solved[:, 0] += middle - solved[:, 1:] @ centre
    return solved, residuals


def _one_by_one(
    spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """A curved equation, replicate by replicate, each row as often as it was drawn."""
    offset = np.zeros(len(values))
    for cause, value in spot.fixed:
        offset += value * values[:, cause]
    coefficients = np.full((len(weights), len(spot.causes) + 1), np.nan)
    residuals = np.full((len(weights), len(values)), np.nan)
    names = scores.names
    for place, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(values)), weight.astype(np.int64))
        task = Task(
            effect=names[spot.effect],
            causes=tuple(names[c] for c in spot.causes),
            y=values[drawn, spot.effect],
            x=values[drawn][:, list(spot.causes)],
            offset=offset[drawn],
            clusters=None,
            family=scores.families[spot.effect],
            robust=False,
        )
        try:
            found = regress(task)
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


def replicate_errors(found: Resampling) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standard errors and ends of the percentile interval of every free parameter, (n_free,) each.

    References
    ----------
    Efron & Tibshirani (1993), An introduction to the bootstrap, ch. 13.
    """
    draws = found.replicates
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return draws.std(axis=0, ddof=1), low, high


def covariance_of(found: Resampling, solution: Solution) -> FloatArray:
    """(n_free, n_free) covariance of the replicates."""
    return np.atleast_2d(np.cov(found.replicates, rowvar=False)).reshape(solution.vcov.shape)
