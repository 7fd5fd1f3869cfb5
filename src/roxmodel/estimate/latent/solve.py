"""From a sample and a parameter table to the optimum: starting values, whether they can be told, the way there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roxmodel.estimate.latent.inference import bread_of, net_of_intercepts
from roxmodel.estimate.latent.optimizer import Minimum, feasible, minimise, reached
from roxmodel.estimate.latent.planned_table import given_by_data, layouts_of, lower_bounds, refuse_free_lags
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, Sample
from roxmodel.implied.identification import PEOPLE, UNITS, require_identified, require_seen
from roxmodel.implied.layout import Layout, residual_of
from roxmodel.implied.likelihood import NormalCells, Objective, Part, objective_of_units
from roxmodel.implied.matrices import implied
from roxmodel.implied.starts import at_means, between_table, condensed, moments_between, start_values
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, Scaling

__all__ = ["layout_of", "objective_of", "optimum_of", "solve", "solve_between", "solved_again"]

_LEAST = 0.05  # share of a variance that is left at least, where an iteration starts from another estimate
_ROUGH = 10  # steps with one mean noise for all units, before the first with each unit's own


def solve(model: RoxModel, sample: Sample, table: ParameterTable, observed: bool) -> LatentSolution:
    """Maximum likelihood, and its inverse information: the observed one, or the expected.

    Raises
    ------
    EstimationError, SpecError
        For a model that is not identified, or starting values that contradict each other.
    """
    refuse_free_lags(table)
    names = [group.name for group in sample.groups]
    given = {name: float(value) for name, value in given_by_data(model, table, sample).items()}
    layouts = layouts_of(model, table, names, given, sample.scale)
    start = start_values(model, table, [(group.name, group.target) for group in sample.groups], sample.scale)
    require_identified(model, table, layouts, start)
    asked = UNITS if isinstance(sample, LinkedSample) else PEOPLE
    hardly = require_seen(table, layouts, start, sample.together, asked)
    found = optimum_of(layouts, table, sample, start[0])
    # the condition is judged without intercepts, which depend on where the items have their zero
    bread = net_of_intercepts(bread_of(found, observed), table)
    return LatentSolution(model, sample, table, layouts, given, found, bread, hardly)


def solve_between(
    model: RoxModel, sample: LinkedSample, scaling: Scaling = "marker", observed: bool = True
) -> LatentSolution:
    """The same of units, whose constructs without causes covary freely (see `between_table`)."""
    return solve(model, sample, between_table(model, scaling), observed)


def objective_of(layouts: Sequence[Layout], sample: Sample) -> Objective:
    """What is minimised."""
    if isinstance(sample, LinkedSample):
        return objective_of_units(layouts[0], sample.data)
    return Objective(
        [Part(layout, group.data, group.n / sample.n) for layout, group in zip(layouts, sample.groups, strict=True)]
    )


def optimum_of(layouts: Sequence[Layout], table: ParameterTable, sample: Sample, start: FloatArray) -> Minimum:
    """The optimum, from starting values: first made feasible, and moved to the means."""
    objective, means = objective_of(layouts, sample), [group.target.mean for group in sample.groups]

    def level(theta: FloatArray) -> FloatArray:
        return at_means(layouts, table, theta, means)

    if not isinstance(sample, LinkedSample):
        return reached(objective, level(feasible(objective, start, table)), table, level)
    rough = objective_of_units(layouts[0], condensed(sample.data))
    first = minimise(rough, level(feasible(rough, start, table)), lower_bounds(table), _ROUGH)
    return reached(objective, feasible(objective, first.theta, table), table, level)


def solved_again(known: LatentSolution, data: NormalCells) -> Minimum:
    """The optimum with other noise of the unit means, from an estimate of the same parameters."""
    rough = objective_of_units(known.layout, condensed(data))
    inside = _inside(known, known.found.theta)
    first = minimise(rough, feasible(rough, inside, known.table), lower_bounds(known.table), _ROUGH)
    objective = objective_of_units(known.layout, data)
    near = first.theta if np.isfinite(objective.value(first.theta)) else inside
    return reached(objective, feasible(objective, near, known.table), known.table)


def _inside(known: LatentSolution, theta: FloatArray) -> FloatArray:
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


def layout_of(known: LatentSolution, data: NormalCells) -> Layout:
    """The layout with the values that other unit means give (residuals of a stated reliability)."""
    if not known.given:
        return known.layout
    sample = known.sample
    groups = (replace(sample.groups[0], target=moments_between(data)),)
    given = given_by_data(known.model, known.table, replace(sample, groups=groups))
    return layouts_of(known.model, known.table, [""], {k: float(v) for k, v in given.items()}, sample.scale)[0]
