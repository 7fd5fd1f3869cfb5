"""One group of a fit as a fit of its own; edges compared between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.implied.matrices import LOADINGS, RESIDUALS, filled
from roxmodel.records import Estimates, Measure, Population
from roxmodel.result.derived import bartlett_measure
from roxmodel.result.draws import delta_se, spread_of, wald
from roxmodel.result.fitted import Fitted
from roxmodel.result.latent import LatentGroup, group_rows, latent_groups, only_group
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["edge_differences", "group_fields", "holm"]


def group_fields(fit: Fitted, name: str) -> dict[str, Any]:
    """Fields of a fit that holds one group only; see `Fit.group`."""
    wanted = only_group(fit, name)
    whole = {field.name: getattr(fit, field.name) for field in fields(Fitted)}
    if len(fit.groups) < 2:
        return whole
    part = next(one for one in latent_groups(fit) if one.name == wanted)
    moments = next(one for one in fit.groups if one.name == wanted)
    at = [i for i, row in enumerate(fit.table) if row.group == wanted or row.kind == "defined"]
    rows = [fit.table.rows[i] for i in at]
    keep = sorted({row.free - 1 for row in rows if row.free})
    number = {place: i + 1 for i, place in enumerate(keep)}
    suffix = f"@{wanted}"
    own = [
        replace(row, id=row.id.removesuffix(suffix), group="", free=number[row.free - 1] if row.free else 0)
        for row in rows
    ]
    return {
        **whole,
        "model": fit.model.model_copy(update={"name": f"{fit.model.name} ({wanted})"}),
        "table": ParameterTable(tuple(own)),
        "estimates": Estimates(**{f.name: getattr(fit.estimates, f.name)[at] for f in fields(Estimates)}),
        "vcov": fit.vcov[np.ix_(keep, keep)],
        "equations": tuple(replace(equation, n=round(part.n)) for equation in fit.equations),
        "measures": tuple(_measure(fit.model, construct, part, fit.theta) for construct in fit.model.constructs),
        "population": _population(fit, part),
        "notes": (*fit.notes, _note(fit, wanted, keep)),
        "index_values": {"n": float(part.n)},
        "resampling": None if fit.resampling is None else fit.resampling.of(keep),
        "groups": (replace(moments, name=""),),
        "score_tests": (),
    }


def _note(fit: Fitted, name: str, keep: Sequence[int]) -> str:
    stand = [{row.group for row in fit.table if row.free == place + 1 and row.kind != "defined"} for place in keep]
    shared = sum(len(groups) > 1 for groups in stand)
    held = f" {shared} of its parameters are held equal to those of other groups." if shared else ""
    return (
        f"Group {name!r} of a fit of {len(fit.groups)} groups; fit indices and the lowest and highest levels are "
        f"those of all groups together.{held}"
    )


def _population(fit: Fitted, part: LatentGroup) -> Population:
    """The people of one group; levels are those of each construct's first item."""
    places = [part.layout.items.index(construct.item_names[0]) for construct in fit.model.constructs]
    loadings = filled(part.layout, fit.theta, LOADINGS)[places, np.arange(len(places))]
    return replace(
        fit.population,
        n=round(part.n),
        mean=part.sample.mean[places] * part.layout.scale[places],
        covariance=part.at.latent * np.outer(loadings, loadings),
    )


def _measure(model: RoxModel, construct: Construct, group: LatentGroup, theta: FloatArray) -> Measure:
    own = [group.layout.items.index(item) for item in construct.item_names]
    lam = filled(group.layout, theta, LOADINGS)[own, model.names.index(construct.name)]
    residual = np.diag(filled(group.layout, theta, RESIDUALS))[own]
    scale = group.layout.scale
    return bartlett_measure(construct, (lam, residual, group.sample.mean[own] * scale[own]), 1e-12 * scale.min() ** 2)


def edge_differences(fit: Fitted) -> pd.DataFrame:
    """See `Fit.edge_differences`."""
    import pandas as pd

    names = [group.name for group in fit.groups]
    if len(names) < 2:
        raise RoxError("This fit has no groups whose edges could be compared.", hint="Fit with method='sem', group=.")
    rows = []
    for one, other in combinations(names, 2):
        edges = ([row for row in group_rows(fit, name) if row.kind == "edge" and not row.lag] for name in (one, other))
        ours, theirs = ({(row.left, row.right): row for row in own} for own in edges)
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
        se, low, high, p = (float(part[0]) for part in spread_of((fit.resampling.values @ gradient)[:, None]))
    else:
        se = float(delta_se(gradient[None], fit.vcov)[0])
        low, high, p = (float(x) for x in wald(np.array(difference), np.array(se), np.array(np.inf)))
    return value[row.id], value[other.id], difference, se, difference / se, p, low, high


def _same_measures(fit: Fitted, construct: str, names: tuple[str, str]) -> bool:
    """Whether all loadings of a construct are equal in two groups by design, so that its units are."""
    rows = ([row for row in group_rows(fit, name) if row.kind == "loading" and row.left == construct] for name in names)
    ours, theirs = ({row.right: (row.free, row.value) for row in own} for own in rows)
    return ours == theirs


def holm(p: FloatArray) -> FloatArray:
    """Adjust p values for their number; NaN stay out.

    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = np.minimum(p[order] * np.arange(len(order), 0, -1), 1.0)
    found[order] = np.maximum.accumulate(raised)
    return found
