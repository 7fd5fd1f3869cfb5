"""Standardised parameters with standard errors and intervals of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.implied.layout import (
    DISTURBANCES,
    LATENT_MEANS,
    LOADINGS,
    RESIDUALS,
    Layout,
    place_of,
    residual_of,
)
from roxmodel.implied.matrices import conditioned, filled, implied
from roxmodel.result.intervals import delta_se, slopes_of, spread_of, wald
from roxmodel.result.latent import covariates_in, latent_groups
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
        spread = spread_of(standardized_draws(fit, fit.resampling.values))
        se, low, high, p = spread.se, spread.low, spread.high, spread.p
    else:
        se = delta_se(slopes_of(lambda theta: standardized_draws(fit, theta), fit.theta, fit.vcov), fit.vcov, 1e-20)
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
    matrices = [filled(layout, theta, which) for which in range(6)]
    item, construct = (np.sqrt(np.maximum(own, 0.0)) for own in _variances(fit, layout, theta, matrices))
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


def _variances(
    fit: Fitted, layout: Layout, theta: FloatArray, matrices: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """(draws, p) and (draws, k) variances of items and constructs.

    What is left of an ordinal item is 1 minus what is explained (given covariates: of what these leave), so that it
    moves with the parameters, here and in the matrices.
    """
    at = implied(layout, theta)
    sigma, latent = at.sigma * np.outer(layout.scale, layout.scale), at.latent.copy()
    ordinal = {row.left for row in fit.table.of("threshold")}
    given = covariates_in(fit)
    owners = np.array([layout.base[LOADINGS][i].nonzero()[0][0] for i in given], dtype=np.int64)
    for whole, which, places in ((sigma, RESIDUALS, given), (latent, DISTURBANCES, owners)):
        own = [place for place, left in enumerate(_left(fit, layout, which, ordinal)) if left]
        if not own:
            continue
        parts = conditioned(whole, places).sigma if len(places) else whole
        rest = 1.0 - (parts[:, own, own] - matrices[which][:, own, own])
        whole[:, own, own] += rest - matrices[which][:, own, own]
        matrices[which][:, own, own] = rest
        if which == DISTURBANCES:  # the one item of such a construct varies as it does
            for place in own:
                i = layout.items.index(fit.model.constructs[place].item_names[0])
                sigma[:, i, i] = latent[:, place, place]
    return np.diagonal(sigma, axis1=1, axis2=2), np.diagonal(latent, axis1=1, axis2=2)


def _left(fit: Fitted, layout: Layout, which: int, ordinal: set[str]) -> list[bool]:
    """Which items (or constructs of one item) have what is left of 1 for their residual."""
    alone = {c.name: c.item_names[0] in ordinal for c in fit.model.constructs if len(c.items) == 1}
    if which == DISTURBANCES:
        return [alone.get(name, False) and name in fit.model.endogenous for name in layout.constructs]
    single = {c.item_names[0] for c in fit.model.constructs if len(c.items) == 1}
    return [name in ordinal and name not in single for name in layout.items]
