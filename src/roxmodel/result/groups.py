"""One group of a fit as a fit of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from roxmodel.implied.layout import LOADINGS, RESIDUALS
from roxmodel.implied.matrices import filled
from roxmodel.records import Estimates, Measure, Population
from roxmodel.result.fitted import Fitted
from roxmodel.result.latent import LatentGroup, latent_groups, only_group
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["group_fields", "in_groups"]


def in_groups(fit: Fitted) -> bool:
    """Whether a fit has several groups."""
    return len(fit.groups) > 1


def group_fields(fit: Fitted, name: str) -> dict[str, Any]:
    """Fields of a fit that holds one group only; see `Fit.group`."""
    wanted = only_group(fit, name)
    if not in_groups(fit):
        return {field.name: getattr(fit, field.name) for field in fields(Fitted)}
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
    found: dict[str, Any] = {field.name: getattr(fit, field.name) for field in fields(Fitted)}
    found |= {
        "model": fit.model.model_copy(update={"name": f"{fit.model.name} ({wanted})"}),
        "table": ParameterTable(tuple(own)),
        "estimates": Estimates(**{f.name: getattr(fit.estimates, f.name)[at] for f in fields(Estimates)}),
        "vcov": fit.vcov[np.ix_(keep, keep)],
        "equations": tuple(replace(equation, n=round(part.n)) for equation in fit.equations),
        "measures": tuple(_measure(fit.model, construct, part, fit.theta) for construct in fit.model.names),
        "population": _population(fit, part),
        "notes": (*fit.notes, _note(fit, wanted, keep)),
        "index_values": {"n": float(part.n)},
        "resampling": None if fit.resampling is None else fit.resampling.of(keep),
        "groups": (replace(moments, name=""),),
    }
    return found


def _note(fit: Fitted, name: str, keep: Sequence[int]) -> str:
    shared = sum(
        1
        for place in keep
        if len({row.group for row in fit.table if row.free == place + 1 and row.kind != "defined"}) > 1
    )
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


def _measure(model: RoxModel, name: str, group: LatentGroup, theta: FloatArray) -> Measure:
    """How answers become Bartlett's score of one construct, from its own items, in points of the first one.

    ``score = Σ w (mean of the first item + λ₁ (answer - mean of the item) / λ)``, w proportional to λ² / θ.

    References
    ----------
    Bartlett (1937), doi 10.1111/j.2044-8295.1937.tb00863.x.
    """
    construct = model.find(name)
    own = [group.layout.items.index(item) for item in construct.item_names]
    lam = filled(group.layout, theta, LOADINGS)[own, model.names.index(name)]
    residual = np.diag(filled(group.layout, theta, RESIDUALS))[own]
    scale = group.layout.scale[own]
    mean = group.sample.mean[own] * scale
    usable = np.abs(lam) > 1e-8 * np.abs(lam).max()
    unit = lam[0] if usable[0] else 1.0
    ratio = np.where(usable, unit / np.where(usable, lam, 1.0), 0.0)
    errors = np.where(usable, residual * ratio**2, np.inf)
    exact = errors <= 1e-12 * float(group.layout.scale.min()) ** 2
    with np.errstate(divide="ignore"):
        precision = exact.astype(float) if exact.any() else np.where(usable, 1.0 / errors, 0.0)
    signs, offsets = (np.array([item.reading[place] for item in construct.items]) for place in (0, 1))
    return Measure(
        name=name,
        factor=construct.factor,
        source=construct.source,
        items=construct.item_names,
        weights=precision / precision.sum(),
        signs=signs * ratio,
        offsets=mean[0] + ratio * (offsets - mean),
        lows=tuple(item.ends[0] for item in construct.items),
        highs=tuple(item.ends[1] for item in construct.items),
        codes=tuple({} if item.scale is None else dict(item.scale.codes) for item in construct.items),
        within=np.full((len(lam), len(lam)), np.nan),
        errors=errors,
    )
