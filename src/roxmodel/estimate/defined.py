"""Defined parameters: arithmetic over labels, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roxmodel.estimate.path import Solution
from roxmodel.records import Resampling
from roxmodel.result.intervals import spread_of, wald
from roxmodel.spec.definitions import evaluate, in_order, names_in
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["define", "unknown_definitions"]

Six = tuple[float, float, float, float, float, float]
Evaluator = Callable[[FloatArray], dict[str, FloatArray]]
_NAN = float("nan")


def unknown_definitions(model: RoxModel, table: ParameterTable) -> tuple[str, ...]:
    """Definitions that use the label of a parameter that this method does not have (a loading)."""
    known = {row.label for row in table if row.label}
    unknown: list[str] = []
    for name in in_order(model.definitions):
        if set(names_in(name, model.definitions[name])) <= known:
            known.add(name)
        else:
            unknown.append(name)
    return tuple(name for name in model.definitions if name in unknown)


def define(
    model: RoxModel, table: ParameterTable, solution: Solution, uncertainty: tuple[FloatArray, Resampling | None]
) -> dict[int, Six]:
    """Values of the rows of defined parameters.

    Parameters
    ----------
    model, table, solution
        What was estimated.
    uncertainty
        Covariance of theta for the delta method (central differences; degrees of freedom of the weakest parameter
        in it), and the bootstrap, whose percentiles go before.

    Returns
    -------
    dict
        Place in the table -> value, se, low, high, p, df.
    """
    unknown = unknown_definitions(model, table)
    texts = {name: text for name, text in model.definitions.items() if name not in unknown}
    if not texts:
        return {}
    fixed = {row.label: row.value or 0.0 for row in table if row.label and not row.free}
    free = {row.label: row.free - 1 for row in table if row.label and row.free}

    def at(theta: FloatArray) -> dict[str, FloatArray]:
        labels = {label: theta[:, place] for label, place in free.items()}
        return evaluate(texts, labels | {k: np.full(len(theta), v) for k, v in fixed.items()})

    vcov, resampling = uncertainty
    rows = {row.left: i for i, row in enumerate(table) if row.kind == "defined"}
    point, slope = at(solution.theta[None, :]), _gradients(at, solution.theta, vcov)
    found = {}
    for name in texts:
        value, df = float(point[name][0]), _weakest(slope[name], solution.df)
        if resampling is None:
            found[rows[name]] = _delta(value, slope[name], vcov, df)
        else:
            found[rows[name]] = _percentiles(value, at(resampling.replicates)[name], df)
    return found


def _weakest(slope: FloatArray, df: FloatArray) -> float:
    """Degrees of freedom of the weakest parameter that matters."""
    return float(df[slope != 0].min(initial=np.inf))


def _percentiles(value: float, draws: FloatArray, df: float) -> Six:
    spread = spread_of(draws[:, None])
    return value, float(spread.se[0]), float(spread.low[0]), float(spread.high[0]), float(spread.p[0]), df


def _gradients(at: Evaluator, theta: FloatArray, vcov: FloatArray) -> dict[str, FloatArray]:
    """Derivatives by central differences, steps in proportion to the standard errors."""
    step = 1e-4 * np.sqrt(np.maximum(np.diag(vcov), 0.0))
    step = np.where(step > 0, step, 1e-6 * np.maximum(np.abs(theta), 1.0))
    around = at(np.vstack([theta + np.diag(step), theta - np.diag(step)]))
    k = len(theta)
    return {name: (values[:k] - values[k:]) / (2 * step) for name, values in around.items()}


def _delta(value: float, slope: FloatArray, vcov: FloatArray, df: float) -> Six:
    variance = float(slope @ vcov @ slope)
    if not variance > 0:
        return value, _NAN, _NAN, _NAN, _NAN, _NAN
    se = float(np.sqrt(variance))
    low, high, p = wald(np.array([value]), np.array([se]), np.array([df]))
    return value, se, float(low[0]), float(high[0]), float(p[0]), df
