"""Defined parameters: arithmetic over labels, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.result.draws import Draws
from roxmodel.result.intervals import delta_se, slopes_of, spread_of, wald
from roxmodel.spec.definitions import evaluate, in_order, names_in
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["Known", "define", "unknown_definitions"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the free parameters, (n_free,) each: their values, covariance, degrees of freedom, draws."""

    theta: FloatArray
    vcov: FloatArray
    df: FloatArray
    draws: Draws | None


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


def define(model: RoxModel, table: ParameterTable, known: Known) -> tuple[list[int], FloatArray]:
    """Places in the table of the defined parameters, and (6, rows) of value, se, low, high, p, df.

    By the delta method, with the degrees of freedom of the weakest parameter in it; percentiles of draws go before.
    """
    unknown = unknown_definitions(model, table)
    texts = {name: text for name, text in model.definitions.items() if name not in unknown}
    rows = {row.left: i for i, row in enumerate(table) if row.kind == "defined"}
    if not texts:
        return [], np.empty((6, 0))
    fixed = {row.label: row.value or 0.0 for row in table if row.label and not row.free}
    free = {row.label: row.free - 1 for row in table if row.label and row.free}

    def at(theta: FloatArray) -> FloatArray:
        labels = {label: theta[:, place] for label, place in free.items()}
        found = evaluate(texts, labels | {k: np.full(len(theta), v) for k, v in fixed.items()})
        return np.stack([found[name] for name in texts], axis=1)

    value, slopes = at(known.theta[None, :])[0], slopes_of(at, known.theta, known.vcov)
    df = np.array([known.df[slope != 0].min(initial=np.inf) for slope in slopes])
    if known.draws is None:
        se = delta_se(slopes, known.vcov)
        low, high, p = wald(value, se, df)
        df = np.where(np.isnan(se), np.nan, df)
    else:
        spread = spread_of(at(known.draws.values))
        se, low, high, p = spread.se, spread.low, spread.high, spread.p
    return [rows[name] for name in texts], np.stack([value, se, low, high, p, df])
