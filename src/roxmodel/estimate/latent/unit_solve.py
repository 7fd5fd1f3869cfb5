"""Method "linked": from a model and linked moments to the estimate, its errors and its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.estimate.latent.inference import Bread, bread_of, net_of_intercepts
from roxmodel.estimate.latent.optimizer import Minimum, feasible, minimise, reached
from roxmodel.estimate.latent.planned_table import lower_bounds, refuse_free_lags
from roxmodel.estimate.latent.unit_sample import LinkedSample
from roxmodel.implied.identification import UNITS, require_identified, require_seen, together_of
from roxmodel.implied.layout import Layout, lay_out, residual_of
from roxmodel.implied.likelihood import NormalCells, Target, objective_of_units
from roxmodel.implied.matrices import implied
from roxmodel.implied.starts import at_means, between_table, condensed, given_values, moments_between, start_values
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, Scaling

__all__ = ["Estimate", "estimate", "layout_of", "with_information"]

_LEAST = 0.05  # share of a variance that is left at least, where an iteration starts from another estimate
_ROUGH = 10  # steps with one mean noise for all units, before the first with each unit's own


@dataclass(frozen=True, slots=True)
class Estimate:
    """The optimum of the between-unit model.

    Attributes
    ----------
    model, table, layout, given
        The model, its parameters, where they stand, values that the data give.
    start
        Moments between units that the iteration started from, in units of the scale.
    found, bread
        The optimum; the inverse information per unit.
    doubts
        What hangs on a few units only (see `require_seen`).
    """

    model: RoxModel
    table: ParameterTable
    layout: Layout
    given: Mapping[str, float]
    start: Target
    found: Minimum
    bread: Bread
    doubts: tuple[Doubt, ...] = ()


def estimate(
    model: RoxModel, sample: LinkedSample, scaling: Scaling = "marker", known: Estimate | None = None,
    data: NormalCells | None = None,
) -> Estimate:  # fmt: skip
    """Maximum likelihood of the between-unit model.

    Parameters
    ----------
    model, sample, scaling
        What is estimated, from what.
    known
        An estimate with the same parameters, which is where the iteration starts.
    data
        Other noise or weights than the sample's.

    Raises
    ------
    EstimationError
        For a model that is not identified, or starting values that contradict each other.
    """
    data = sample.data if data is None else data
    if known is not None:
        lower = lower_bounds(known.table)
        rough = objective_of_units(known.layout, condensed(data))
        inside = _inside(known, known.found.theta)
        first = minimise(rough, feasible(rough, inside, known.table), lower, _ROUGH)
        objective = objective_of_units(known.layout, data)
        near = first.theta if np.isfinite(objective.value(first.theta)) else inside
        found = reached(objective, feasible(objective, near, known.table), known.table)
        return replace(known, found=found, bread=_bread(known.table, found))
    table = between_table(model, scaling)
    refuse_free_lags(table)
    start = moments_between(data)
    given = given_values(model, table, start, sample.scale)
    layout = lay_out(list(table), (sample.items, model.names), given, sample.scale, table.n_free)
    values = start_values(model, table, [("", start)], sample.scale)
    require_identified(model, table, (layout,), values)
    hardly = require_seen(table, (layout,), values, [together_of(data.seen)], UNITS)
    objective = objective_of_units(layout, data)
    rough = objective_of_units(layout, condensed(data))
    level = at_means((layout,), table, feasible(rough, values[0], table), (start.mean,))
    first = minimise(rough, level, lower_bounds(table), _ROUGH)
    begin = feasible(objective, first.theta, table)
    found = reached(objective, begin, table, lambda theta: at_means((layout,), table, theta, (start.mean,)))
    return Estimate(model, table, layout, given, start, found, _bread(table, found), hardly)


def _bread(table: ParameterTable, found: Minimum, observed: bool = True) -> Bread:
    """Inverse information; its condition without intercepts, which depend on where the items have their zero."""
    return net_of_intercepts(bread_of(found, observed), table)


def layout_of(known: Estimate, scale: FloatArray, data: NormalCells) -> Layout:
    """The layout with the values that other data give (residuals of a stated reliability)."""
    if not known.given:
        return known.layout
    given = given_values(known.model, known.table, moments_between(data), scale)
    names = (known.layout.items, known.layout.constructs)
    return lay_out(list(known.table), names, given, scale, known.table.n_free)


def with_information(known: Estimate, observed: bool) -> Estimate:
    """The same estimate with errors by the observed or the expected information."""
    return replace(known, bread=_bread(known.table, known.found, observed))


def _inside(known: Estimate, theta: FloatArray) -> FloatArray:
    """Variances at or near 0 moved away from it, so that noise may shrink."""
    found, layout = theta.copy(), known.layout
    latent = np.diag(implied(layout, theta).latent)
    items = dict(zip(layout.items, (layout.scale**2).tolist(), strict=True))
    constructs = dict(zip(layout.constructs, latent.tolist(), strict=True))
    for row in known.table.of("variance"):
        if row.free:
            whole = (items if residual_of(row, layout.constructs) else constructs)[row.left]
            found[row.free - 1] = max(found[row.free - 1], _LEAST * whole)
    return found
