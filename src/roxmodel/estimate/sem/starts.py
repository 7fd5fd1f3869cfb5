"""Where the iteration begins: loadings by instruments, constructs by what their items share, edges by regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.implied.layout import residual_of
from roxmodel.implied.normal import Target
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["start_values"]

Known = dict[tuple[str, str, str], float]
_LEAST, _MOST = 0.1, 0.9  # share of an item's variance that is its residual


def start_values(
    model: RoxModel, table: ParameterTable, groups: Sequence[tuple[str, Target]], scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Starting values of all free parameters, and the size that each may be expected to have, (n_free,) both.

    A construct's loadings come from the correlations of its items (one factor, in closed form), its covariances with
    others from the correlations of the items of both, edges from regressions on these. Starting values that the model
    states go before.

    References
    ----------
    Spearman (1904), doi 10.2307/1412107 (triads); Hägglund (1982), doi 10.1007/BF02296276 (instruments).
    """
    total, times, sizes = (np.zeros(table.n_free) for _ in range(3))
    for group, target in groups:
        known = _guess(model, target, scale)
        for row in table:
            if not row.free or row.group not in {group, ""}:
                continue
            value = row.start if row.start is not None else known.get((row.kind, row.left, row.right))
            if value is None:
                value = _plain(row.kind, row.left, known, residual_of(row, model.names))
            total[row.free - 1] += value
            sizes[row.free - 1] += _size(row.kind, row.left, row.right, known, residual_of(row, model.names))
            times[row.free - 1] += 1
    count = np.maximum(times, 1)
    return total / count, sizes / count


def _size(kind: str, left: str, right: str, known: Known, residual: bool) -> float:
    """Magnitude of a parameter in standardised terms, brought to its units."""
    if kind == "loading":
        return known["item", right, right] / known["unit", left, left]
    if kind == "edge":
        return known["unit", right, right] / known["unit", left, left]
    own = "item" if residual or (kind == "intercept" and ("unit", left, left) not in known) else "unit"
    if kind in {"variance", "covariance"}:
        return known[own, left, left] * known[own, right, right]
    return known[own, left, left]


def _plain(kind: str, left: str, known: Known, residual: bool) -> float:
    if kind != "variance":
        return 0.0
    return known["residual", left, left] if residual else known["disturbance", left, left]


def _guess(model: RoxModel, target: Target, scale: FloatArray) -> Known:
    spread = np.sqrt(np.diag(target.covariance))
    correlation = target.covariance / np.outer(spread, spread)
    at = {item.name: i for i, item in enumerate(model.items)}
    sd, known = spread * scale, {}
    weights = np.zeros((len(model.names), len(at)))
    unit = np.zeros(len(model.names))
    for place, construct in enumerate(model.constructs):
        own = [at[name] for name in construct.item_names]
        shares = _one_factor(correlation[np.ix_(own, own)], construct.reliability)
        fixed = [item.loading for item in construct.items]
        free_unit = construct.items[0].loading is None or isinstance(fixed[0], float)
        marker = float(fixed[0]) if isinstance(fixed[0], float) and fixed[0] else 1.0
        unit[place] = shares[0] * sd[own[0]] / marker if free_unit and shares[0] else 1.0
        for item, i, share in zip(construct.item_names, own, shares, strict=True):
            known["loading", construct.name, item] = share * sd[i] / unit[place]
            known["item", item, item] = float(sd[i])
            known["residual", item, item] = float(np.clip(1 - share**2, _LEAST, _MOST)) * sd[i] ** 2
            known["intercept", item, item] = float(target.mean[i] * scale[i])
        known["unit", construct.name, construct.name] = abs(float(unit[place]))
        if len(own) == 1:
            known["intercept", construct.name, construct.name] = float(target.mean[own[0]] * scale[own[0]])
        weights[place, own] = shares / float(shares @ shares)
    latent = _latent_correlation(weights, correlation)
    return known | _structure(model, latent, np.abs(unit))


def _one_factor(correlation: FloatArray, reliability: float | None) -> FloatArray:
    """Standardised loadings from the correlations of one construct's items."""
    p = len(correlation)
    if p == 1:
        return np.array([np.sqrt(1.0 if reliability is None else reliability)])
    off = np.abs(correlation - np.diag(np.diag(correlation)))
    if p == 2:
        size = np.full(2, np.sqrt(np.clip(off[0, 1], _LEAST, _MOST)))
        return np.asarray(size * np.array([1.0, 1.0 if correlation[0, 1] >= 0 else -1.0]))
    total = off.sum(axis=0)
    square = (total**2 - (off**2).sum(axis=0)) / np.maximum(off.sum() - 2 * total, 1e-3)
    size = np.sqrt(np.clip(square, _LEAST, _MOST))
    signs = np.where(np.linalg.eigh(correlation)[1][:, -1] >= 0, 1.0, -1.0)
    return np.asarray(size * signs * signs[0])


def _latent_correlation(weights: FloatArray, correlation: FloatArray) -> FloatArray:
    latent = weights @ correlation @ weights.T
    np.fill_diagonal(latent, 1.0)
    latent = np.clip(latent, -0.95, 0.95)
    np.fill_diagonal(latent, 1.0)
    lowest = float(np.linalg.eigvalsh(latent)[0])
    if lowest < 0.05:
        share = (0.05 - lowest) / (1.0 - lowest)
        latent = (1 - share) * latent + share * np.eye(len(latent))
    return np.asarray(latent)


def _structure(model: RoxModel, latent: FloatArray, unit: FloatArray) -> Known:
    """Edges by regression, and what they leave."""
    known: Known = {}
    place = {name: i for i, name in enumerate(model.names)}
    for name in model.names:
        causes = [place[cause] for cause in model.causes(name)]
        at, left = place[name], 1.0
        if causes:
            slopes = np.linalg.solve(latent[np.ix_(causes, causes)], latent[causes, at])
            left = float(np.clip(1 - slopes @ latent[causes, at], 0.05, 1.0))
            for cause, value in zip(causes, slopes, strict=True):
                known["edge", model.names[cause], name] = float(value * unit[at] / unit[cause])
        known["disturbance", name, name] = left * float(unit[at]) ** 2
    exogenous = [place[name] for name in model.exogenous_names]
    for a in exogenous:
        for b in exogenous:
            if a != b:
                value = float(latent[a, b] * unit[a] * unit[b])
                known["covariance", model.names[a], model.names[b]] = value
    return known
