"""Edges compared between groups."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.result.intervals import delta_se, spread_of, wald
from roxmodel.result.latent import group_rows
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = ["edge_differences", "holm"]


def edge_differences(fit: Fitted) -> pd.DataFrame:
    """See `Fit.edge_differences`."""
    import pandas as pd

    names = [group.name for group in fit.groups]
    if len(names) < 2:
        raise RoxError("This fit has no groups whose edges could be compared.", hint="Fit with method='sem', group=.")
    rows = []
    for one, other in combinations(names, 2):
        ours = {(row.left, row.right): row for row in group_rows(fit, one) if row.kind == "edge" and not row.lag}
        theirs = {(row.left, row.right): row for row in group_rows(fit, other) if row.kind == "edge" and not row.lag}
        for ends, row in ours.items():
            same = all(_same_measures(fit, name, (one, other)) for name in ends)
            rows.append((*ends, one, other, *_difference(fit, row, theirs[ends]), same))
    columns = [
        "cause", "effect", "group", "other_group", "estimate", "other_estimate", "difference", "se", "z", "p",
        "ci_low", "ci_high", "same_units",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table.insert(10, "p_holm", holm(table["p"].to_numpy(dtype=np.float64)))
    return table


def _difference(fit: Fitted, row: Parameter, other: Parameter) -> tuple[float, ...]:
    """Both estimates, their difference with se, z, p, and the ends of its interval."""
    value = {r.id: float(v) for r, v in zip(fit.table, fit.estimates.value, strict=True)}
    gradient = np.zeros(fit.table.n_free)
    for one, sign in ((row, 1.0), (other, -1.0)):
        if one.free:
            gradient[one.free - 1] += sign
    difference = value[row.id] - value[other.id]
    if fit.resampling is not None:
        spread = spread_of((fit.resampling.values @ gradient)[:, None])
        se, low, high, p = (float(part[0]) for part in (spread.se, spread.low, spread.high, spread.p))
    else:
        se = float(delta_se(gradient[None], fit.vcov)[0])
        low, high, p = (float(x) for x in wald(np.array(difference), np.array(se), np.array(np.inf)))
    return value[row.id], value[other.id], difference, se, difference / se, p, low, high


def _same_measures(fit: Fitted, construct: str, names: tuple[str, str]) -> bool:
    """Whether all loadings of a construct are equal in two groups by design, so that its units are."""
    loadings = [
        {
            row.right: (row.free, row.value)
            for row in group_rows(fit, name)
            if row.kind == "loading" and row.left == construct
        }
        for name in names
    ]
    return loadings[0] == loadings[1]


def holm(p: FloatArray) -> FloatArray:
    """Adjust p values for their number; NaN stay out.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = np.minimum(p[order] * np.arange(len(order), 0, -1), 1.0)
    found[order] = np.maximum.accumulate(raised)
    return found
