"""From a sample to the optimum: which parameters there are, what the data give, starting values, the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from roxmodel.errors import SpecError
from roxmodel.estimate.latent.inference import bread_of, net_of_intercepts
from roxmodel.estimate.latent.optimizer import Minimum, feasible, lower_bounds, minimise, reached
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, Sample
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.identification import PEOPLE, UNITS, require_identified, require_seen
from roxmodel.implied.likelihood import NormalCells, Objective, Part, objective_of_units
from roxmodel.implied.matrices import ITEM_MEANS, Layout, implied, lay_out, place_of
from roxmodel.implied.starts import at_means, between_table, condensed, moments_between, start_values
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, gives_unit, plan, residual_of, stated
from roxmodel.types import FloatArray, Scaling

__all__ = [
    "given_by_data",
    "layout_of",
    "layouts_of",
    "objective_of",
    "optimum_of",
    "owner_of",
    "refuse_free_lags",
    "solve",
    "solve_between",
    "solved_again",
    "table_of",
    "with_given",
]

_LEAST = 0.05  # share of a variance that is left at least, where an iteration starts from another estimate
_ROUGH = 10  # steps with one mean noise for all units, before the first with each unit's own


def table_of(model: RoxModel, options: SemOptions, groups: Sequence[str]) -> ParameterTable:
    """Plan the parameters of all groups.

    Equal labels are equal parameters, over groups too. With equal intercepts the latent means are free in every
    group but the first; with equal loadings the variances that are fixed only to give their constructs a unit are
    (`roxmodel.spec.parameters.gives_unit`): by the scaling, or by the model (lavaan's ``f =~ NA*x1``, ``f ~~ 1*f``,
    which ``sem()`` keeps fixed in every group, so that its metric step asks for equal variances too).
    """
    means = options.means or options.missing == "fiml" or len(groups) > 1
    table = plan(model, "reflective", means, scaling=options.scaling)
    if len(groups) == 1:
        return table
    rows: list[Parameter] = []
    numbers: dict[object, int] = {}
    later = [_relative(model, table, row) for row in table] if "loadings" in options.equal else table.rows
    for place, group in enumerate(groups):
        for row in later if place else table:
            if row.kind == "defined":
                continue
            rows.append(_in_group(model, row, (group, place), options.equal, numbers))
    rows += list(table.of("defined"))
    _refuse_equal_ids(rows)
    return ParameterTable(tuple(rows))


def _refuse_equal_ids(rows: Sequence[Parameter]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise SpecError(f"Two parameters would be called {row.id!r}.", hint=f"Rename the group {row.group!r}.")
        seen.add(row.id)


def _relative(model: RoxModel, table: ParameterTable, row: Parameter) -> Parameter:
    """The row as it stands in the groups after the first, where loadings are equal: a unit is told by the first."""
    if not gives_unit(model, table, row):
        return row
    return replace(row, free=-1, value=None, lower=0.0, label="", note="relative to the first group")


def _in_group(
    model: RoxModel, row: Parameter, group: tuple[str, int], equal: Sequence[str], numbers: dict[object, int]
) -> Parameter:
    name, place = group
    own = replace(row, id=f"{row.id}@{name}", group=name)
    latent_mean = row.kind == "intercept" and row.left in model.names and row.value is not None
    if latent_mean and place and "intercepts" in equal:
        own = replace(own, free=1, value=None, note="difference to the first group")
        key: object = own.id
    elif row.free < 0:
        key = own.id
    elif not row.free:
        return own
    elif _labelled(model, row) or _shared(model, row, equal):
        key = (row.free,)
    else:
        key = (row.free, name)
    return replace(own, free=numbers.setdefault(key, len(numbers) + 1))


def _labelled(model: RoxModel, row: Parameter) -> bool:
    """Whether the model labels it; residuals that are equal within a construct are another's in each group."""
    return bool(row.label) and not (row.kind == "variance" and stated(model, row.left, row.left) is None)


def _shared(model: RoxModel, row: Parameter, equal: Sequence[str]) -> bool:
    if row.kind == "loading":
        return "loadings" in equal
    if row.kind == "edge":
        return "edges" in equal
    if row.kind == "intercept":
        return "intercepts" in equal and row.left not in model.names
    return row.kind == "variance" and "residuals" in equal and residual_of(row, model.names)


def given_by_data(model: RoxModel, table: ParameterTable, sample: Sample) -> dict[str, FloatArray]:
    """Values of the rows that are neither free nor fixed by the model: the data's, or a share of an item's variance.

    Where the sample's moments have draws in front, so have the values.
    """
    items = {name: i for i, name in enumerate(sample.items)}
    found: dict[str, FloatArray] = {}
    for row in table:
        if row.free or row.value is not None or row.kind == "defined":
            continue
        place = max((i for i, group in enumerate(sample.groups) if group.name == row.group), default=0)
        group = sample.groups[place]
        if row.kind == "variance" and residual_of(row, model.names):
            reliability = owner_of(model, row.left).reliability
            share = 1.0 - (1.0 if reliability is None else reliability)
            at = items[row.left]
            found[row.id] = share * group.target.covariance[..., at, at] * sample.scale[at] ** 2
        elif row.kind in {"variance", "covariance"}:
            a, b = (items[model.find(name).item_names[0]] for name in (row.left, row.right))
            found[row.id] = group.target.covariance[..., a, b] * sample.scale[a] * sample.scale[b]
        elif row.kind == "intercept":
            at = items[model.find(row.left).item_names[0]]
            found[row.id] = group.target.mean[..., at] * sample.scale[at]
    return found


def owner_of(model: RoxModel, item: str) -> Construct:
    """The construct that an item measures."""
    return next(construct for construct in model.constructs if item in construct.item_names)


def layouts_of(
    model: RoxModel, table: ParameterTable, groups: Sequence[str], given: Mapping[str, float], scale: FloatArray
) -> tuple[Layout, ...]:
    """One layout a group."""
    items = tuple(item.name for item in model.items)
    return tuple(
        lay_out([row for row in table if row.group == group], (items, model.names), given, scale, table.n_free)
        for group in groups
    )


def with_given(layout: Layout, rows: Sequence[Parameter], given: Mapping[str, FloatArray]) -> Layout:
    """The layout with given values that differ by draw, (draws,) each."""
    base = list(layout.base)
    for row in rows:
        if row.id not in given or row.free or row.value is not None:
            continue
        values = np.atleast_1d(given[row.id])
        which, i, j = place_of(row, layout.items, layout.constructs)
        own = np.array(
            np.broadcast_to(base[which], (len(values), *layout.base[which].shape[-(1 + (which < ITEM_MEANS)) :]))
        )
        if which >= ITEM_MEANS:
            own[:, i] = values
        else:
            own[:, i, j] = own[:, j, i] = values
        base[which] = own
    return replace(layout, base=tuple(base))


def refuse_free_lags(table: ParameterTable) -> None:
    """A free lagged edge needs waves."""
    for row in table.of("edge"):
        if row.lag and row.free:
            raise SpecError(
                f"The lagged edge {row.left} -> {row.right} is free, but one wave cannot estimate a lag.",
                hint="Fix its value (rox.Edge(..., lag=1, fixed=0.1)): it then acts in the simulation only.",
            )


def solve(model: RoxModel, sample: Sample, table: ParameterTable, observed: bool) -> LatentSolution:
    """Maximum likelihood, and its inverse information: the observed one, or the expected.

    Raises EstimationError or SpecError for a model that is not identified, or starting values that contradict each
    other.
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
