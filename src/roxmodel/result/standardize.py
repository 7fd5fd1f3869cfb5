"""Standardised values: by model-implied standard deviations, in every method."""

from __future__ import annotations

import numpy as np

from roxmodel.records import LINEAR
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["construct_sd", "disturbances", "standardized_values"]


def disturbances(model: RoxModel, table: ParameterTable, theta: FloatArray, sample: FloatArray) -> FloatArray:
    """Ψ, (draws, k, k): variances and covariances of exogenous constructs and of disturbances.

    Parameters
    ----------
    model, table
        What the parameters mean.
    theta
        (draws, n_free).
    sample
        (k, k) sample covariance, for rows that the data give.
    """
    place = {name: i for i, name in enumerate(model.names)}
    psi = np.zeros((len(theta), len(place), len(place)))
    for row in table:
        if row.kind in {"variance", "covariance"} and row.left in place and row.right in place:
            if row.kind == "variance" and row.id.removesuffix(f"@{row.group}") != f"variance:{row.left}":
                continue  # the residual of an item that bears its construct's name
            a, b = place[row.left], place[row.right]
            given = sample[a, b] if row.value is None else row.value
            psi[:, a, b] = psi[:, b, a] = theta[:, row.free - 1] if row.free else given
    return psi


def construct_sd(
    model: RoxModel, table: ParameterTable, theta: FloatArray, families: tuple[str, ...], sample: FloatArray
) -> FloatArray:
    """(k,) model-implied standard deviations of the constructs; NaN at and after a curved equation."""
    system = system_of(model, table, theta[None, :], families)
    psi = disturbances(model, table, theta[None, :], sample)
    variance = np.diag(implied_covariance(system.coefficients, psi)[0])
    sd = np.where(variance > 0, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    curved = np.array([family != LINEAR for family in families])
    for place in system.order:
        if (system.coefficients[0, place, curved] != 0).any():
            curved[place] = True
    return np.asarray(np.where(curved, np.nan, sd))


def standardized_values(model: RoxModel, table: ParameterTable, values: FloatArray, sd: FloatArray) -> FloatArray:
    """Standardised value of every row: edges, (co)variances as correlations and shares, intercepts.

    Parameters
    ----------
    model, table
        What the parameters mean.
    values
        (rows,) estimates.
    sd
        (k,) standard deviations of the constructs.

    Returns
    -------
    ndarray
        (rows,), NaN for definitions and lagged edges.
    """
    scale = dict(zip(model.names, sd, strict=True))
    variance = {row.left: v for row, v in zip(table, values, strict=True) if row.kind == "variance"}
    found = np.full(len(table), np.nan)
    for i, (row, value) in enumerate(zip(table, values, strict=True)):
        if row.left not in scale or row.right not in scale or row.lag:
            continue
        left, right = scale[row.left], scale[row.right]
        with np.errstate(invalid="ignore", divide="ignore"):
            if row.kind == "edge":
                found[i] = value * left / right
            elif row.kind == "variance":
                found[i] = value / left**2
            elif row.kind == "covariance":
                found[i] = value / np.sqrt(variance[row.left] * variance[row.right])
            elif row.kind == "intercept":
                found[i] = value / left
    return found
