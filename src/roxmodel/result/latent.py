"""A latent fit in matrices again, group by group: layouts, implied moments, sample moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean, listed
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import LOADINGS, Implied, Layout, filled, implied, lay_out
from roxmodel.records import GroupMoments
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    from roxmodel.result.fitted import Fitted

__all__ = [
    "LatentGroup",
    "covariates_in",
    "given_by_data",
    "group_rows",
    "latent_groups",
    "only_group",
    "require_continuous",
    "require_people",
]


@dataclass(frozen=True, slots=True)
class LatentGroup:
    """One group of a latent fit, at its estimate; matrices and moments are in units of `Layout.scale`."""

    name: str  # empty for one group
    n: float
    share: float  # of all rows
    layout: Layout
    loadings: FloatArray  # Λ, (p, k)
    at: Implied
    sample: Target  # with missing answers the maximum-likelihood moments
    means: bool  # whether the sample has means

    @property
    def sigma(self) -> FloatArray:
        """(p, p) implied covariances of the items, in their units."""
        return np.asarray(self.at.sigma * np.outer(self.layout.scale, self.layout.scale))

    @property
    def covariance(self) -> FloatArray:
        """(p, p) sample covariances of the items, in their units."""
        return np.asarray(self.sample.covariance * np.outer(self.layout.scale, self.layout.scale))


def group_rows(fit: Fitted, name: str) -> list[Parameter]:
    """Rows of the parameter table that belong to one group; definitions belong to none."""
    return [row for row in fit.table if row.group == name and row.kind != "defined"]


def latent_groups(fit: Fitted, extra: Sequence[Parameter] = (), theta: FloatArray | None = None) -> list[LatentGroup]:
    """Lay a latent fit out in matrices, or say that it has none.

    Places in theta of `extra` rows follow those of the fit; `theta` is with them.
    """
    if not fit.groups:
        raise EstimationError(
            f"This is a fit by method {fit.method!r}, which has no latent constructs.", hint="Fit with method='sem'."
        )
    items = tuple(item.name for item in fit.model.items)
    scale = _scale(fit.groups)
    given = {row.id: float(v) for row, v in zip(fit.table, fit.estimates.value, strict=True) if not row.free}
    n_free = fit.table.n_free + len({row.free for row in extra})
    whole = sum(group.n for group in fit.groups)
    values = fit.theta if theta is None else theta
    found = []
    for group in fit.groups:
        rows = [*group_rows(fit, group.name), *(row for row in extra if row.group == group.name)]
        layout = lay_out(rows, (items, fit.model.names), given, scale, n_free)
        mean = np.zeros(len(items)) if group.mean is None else group.mean / scale
        sample = Target(mean, group.covariance / np.outer(scale, scale))
        loadings, at = filled(layout, values, LOADINGS) / scale[:, None], implied(layout, values)
        known = group.mean is not None
        found.append(LatentGroup(group.name, group.n, group.n / whole, layout, loadings, at, sample, known))
    return found


def given_by_data(fit: Fitted) -> tuple[list[Parameter], FloatArray]:
    """Moments of exogenous constructs that the data give, as if they were free, and their values.

    They are estimated by the sample's whatever the model says, so that residuals and score tests must count them in.
    Their places in theta follow those of the fit.
    """
    found = [
        (row, float(value)) for row, value in zip(fit.table, fit.estimates.value, strict=True) if row.given == "moment"
    ]
    start = fit.table.n_free + 1
    rows = [replace(row, free=start + i) for i, (row, _) in enumerate(found)]
    return rows, np.array([value for _, value in found])


def covariates_in(fit: Fitted) -> IntArray:
    """Places of the items that the ordinal items of a fit are conditioned on; none in a fit without thresholds."""
    if not fit.table.of("threshold"):
        return np.zeros(0, dtype=np.int64)
    items = [item.name for item in fit.model.items]
    names = [row.left for row in fit.table.of("variance") if row.given == "moment"]
    return np.array([items.index(fit.model.find(name).item_names[0]) for name in names], dtype=np.int64)


def require_continuous(fit: Fitted) -> None:
    """Refuse a fit of ordinal items, whose answers are not on the scale of its covariances."""
    if fit.traits.ordinal:
        raise EstimationError(
            f"This needs continuous items, but the fit is of ordinal ones (estimator={fit.estimator!r}).",
            hint="Fit with estimator='ML' or 'MLR'.",
        )


def require_people(fit: Fitted, what: str, instead: str) -> None:
    """Refuse a fit between units, whose rows are no people, saying what to use instead."""
    if fit.traits.levels == "predicted":
        raise EstimationError(f"{what} of a fit by method {fit.method!r}, which speaks of units.", hint=instead)


def only_group(fit: Fitted, name: str | None) -> str:
    """Name of the group that was meant; refused if there is none of that name, or several and none was named."""
    known = [group.name for group in fit.groups]
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        if known in ([], [""]):
            raise RoxError(f"This fit has no groups, so there is no group {name!r}.", hint="Fit with group=.")
        if name is None:
            raise RoxError(f"This fit has {len(known)} groups.", hint=f"Name one of {listed(known)}.")
        raise RoxError(f"There is no group {name!r}.", hint=did_you_mean(str(name), known))
    return name


def _scale(groups: Sequence[GroupMoments]) -> FloatArray:
    """(p,) standard deviations within groups, so that variances of very unequal size cost no digit."""
    whole = sum(group.n for group in groups)
    return np.asarray(np.sqrt(sum(np.diag(group.covariance) * (group.n / whole) for group in groups)))
