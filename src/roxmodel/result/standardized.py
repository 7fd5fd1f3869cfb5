"""Standardised parameters with standard errors and intervals of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.implied.layout import LATENT_MEANS, Layout, place_of, residual_of
from roxmodel.implied.matrices import filled, implied
from roxmodel.result.intervals import spread_of, wald
from roxmodel.result.latent import latent_groups
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = ["standardized_draws", "standardized_table"]

_SKIPPED = ("defined", "threshold")


def standardized_table(fit: Fitted) -> pd.DataFrame:
    """See `Fit.standardized`."""
    import pandas as pd

    rows = [row for row in fit.table if row.kind not in _SKIPPED and not row.lag]
    estimate = standardized_draws(fit, fit.theta[None, :])[0]
    if fit.resampling is not None:
        spread = spread_of(standardized_draws(fit, fit.resampling.replicates))
        se, low, high, p = spread.se, spread.low, spread.high, spread.p
    else:
        slopes = _slopes(fit)
        variance = np.einsum("rq,qs,rs->r", slopes, fit.vcov, slopes)
        se = np.where(variance > 1e-20, np.sqrt(np.maximum(variance, 0.0)), np.nan)
        places = [i for i, row in enumerate(fit.table) if row.kind not in _SKIPPED and not row.lag]
        df = fit.estimates.df[places]
        low, high, p = wald(estimate, se, np.where(np.isnan(df), np.inf, df))
    columns: dict[str, object] = {name: [getattr(row, name) for row in rows] for name in _NAMES}
    with np.errstate(invalid="ignore", divide="ignore"):
        columns |= {"estimate": estimate, "se": se, "z": estimate / se, "p": p, "ci_low": low, "ci_high": high}
    return pd.DataFrame(columns)


_NAMES = ("id", "kind", "left", "right", "group")


def standardized_draws(fit: Fitted, theta: FloatArray) -> FloatArray:
    """Standardised values of every row but definitions and thresholds, for each draw.

    Parameters
    ----------
    fit
        By method "sem".
    theta
        (draws, n_free).

    Returns
    -------
    ndarray
        (draws, rows).
    """
    groups = {group.name: group.layout for group in latent_groups(fit)}
    columns: dict[str, FloatArray] = {}
    for name, layout in groups.items():
        rows = [r for r in fit.table if r.group == name and r.kind not in _SKIPPED and not r.lag]
        columns |= dict(zip([row.id for row in rows], _of_group(fit, layout, rows, theta), strict=True))
    kept = [row.id for row in fit.table if row.kind not in _SKIPPED and not row.lag]
    return np.stack([columns[name] for name in kept], axis=1)


def _of_group(fit: Fitted, layout: Layout, rows: list[Parameter], theta: FloatArray) -> list[FloatArray]:
    at = implied(layout, theta)
    matrices = [filled(layout, theta, which) for which in range(6)]
    item = np.sqrt(np.maximum(np.diagonal(at.sigma, axis1=1, axis2=2), 0.0)) * layout.scale
    construct = np.sqrt(np.maximum(np.diagonal(at.latent, axis1=1, axis2=2), 0.0))
    found = []
    for row in rows:
        which, i, j = place_of(row, layout.items, layout.constructs)
        matrix = matrices[which]
        with np.errstate(invalid="ignore", divide="ignore"):
            if row.kind == "intercept":
                own = construct if which == LATENT_MEANS else item
                found.append(matrix[:, i] / own[:, i])
            elif row.kind == "loading":
                found.append(matrix[:, i, j] * construct[:, j] / item[:, i])
            elif row.kind == "edge":
                found.append(matrix[:, i, j] * construct[:, j] / construct[:, i])
            elif row.kind == "variance":
                own = item if residual_of(row, fit.model.names) else construct
                found.append(matrix[:, i, i] / own[:, i] ** 2)
            else:
                found.append(matrix[:, i, j] / np.sqrt(matrix[:, i, i] * matrix[:, j, j]))
    return found


def _slopes(fit: Fitted) -> FloatArray:
    """(rows, n_free) derivatives, by central differences in proportion to the standard errors."""
    step = 1e-4 * np.sqrt(np.maximum(np.diag(fit.vcov), 0.0))
    step = np.where(step > 0, step, 1e-6 * np.maximum(np.abs(fit.theta), 1.0))
    around = np.vstack([fit.theta + np.diag(step), fit.theta - np.diag(step)])
    values, k = standardized_draws(fit, around), len(step)
    return np.asarray(((values[:k] - values[k:]) / (2 * step[:, None])).T)
