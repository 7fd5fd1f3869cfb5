"""Method "sem": from a model and data to the estimate, its errors and its tests.

Method "linked": from a model and linked moments to the estimate, its errors and its tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.estimate.latent.inference import (
    Bread,
    beside_bound,
    bread_of,
    degrees_of_freedom,
    net_of_intercepts,
    sandwich,
    satorra_bentler,
)
from roxmodel.estimate.latent.optimizer import Minimum, feasible, minimise, reached
from roxmodel.estimate.latent.planned_table import given_by_data, layouts_of, lower_bounds, refuse_free_lags, table_of
from roxmodel.estimate.latent.row_bootstrap import Refit, resample, resample_categorical
from roxmodel.estimate.latent.row_options import Options
from roxmodel.estimate.latent.row_sample import sample_of_frame, sample_of_moments
from roxmodel.estimate.latent.sample import Estimate, LatentSolution, LinkedSample, Sample
from roxmodel.estimate.latent.tests_of_fit import Judged, likelihood_indices
from roxmodel.estimate.ordinal.categorical import solve_categorical
from roxmodel.implied.identification import PEOPLE, UNITS, require_identified, require_seen, together_of
from roxmodel.implied.layout import Layout, lay_out, residual_of
from roxmodel.implied.likelihood import NormalCells, Objective, Part, objective_of_units
from roxmodel.implied.matrices import implied, one_blas_thread
from roxmodel.implied.starts import at_means, between_table, condensed, given_values, moments_between, start_values
from roxmodel.moments.single import Moments
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, Scaling

__all__ = [
    "estimate",
    "layout_of",
    "objective_of",
    "optimum_of",
    "solve_sem",
    "with_information",
]


def objective_of(layouts: Sequence[Layout], sample: Sample) -> Objective:
    """What is minimised."""
    return Objective(
        [Part(layout, group.data, group.n / sample.n) for layout, group in zip(layouts, sample.groups, strict=True)]
    )


def optimum_of(objective: Objective, table: ParameterTable, sample: Sample, start: FloatArray) -> Minimum:
    """The optimum, from starting values: first made feasible, and moved to the means."""
    means = [group.target.mean for group in sample.groups]

    def level(theta: FloatArray) -> FloatArray:
        return at_means([part.layout for part in objective.parts], table, theta, means)

    return reached(objective, level(feasible(objective, start, table)), table, level)


def solve_sem(model: RoxModel, data: object, options: Options) -> LatentSolution:
    """Estimate a model with latent variables by maximum likelihood.

    Raises
    ------
    EstimationError, DataError, SpecError
        For a model that is not identified, or data that cannot be used.
    """
    with one_blas_thread():
        if options.estimator in {"DWLS", "WLSMV"}:
            return _categorical(model, data, options)
        return _likelihood(model, data, options)


def _likelihood(model: RoxModel, data: object, options: Options) -> LatentSolution:
    sample = _sample(model, data, options)
    names = [group.name for group in sample.groups]
    table = table_of(model, options, names)
    refuse_free_lags(table)
    given = {name: float(value) for name, value in given_by_data(model, table, sample).items()}
    layouts = layouts_of(model, table, names, given, sample.scale)
    start = start_values(model, table, [(group.name, group.target) for group in sample.groups], sample.scale)
    require_identified(model, table, layouts, start)
    hardly = require_seen(table, layouts, start, [group.together for group in sample.groups], PEOPLE)
    objective = objective_of(layouts, sample)
    found = optimum_of(objective, table, sample, start[0])
    observed = _observed(options, sample)
    bread = net_of_intercepts(bread_of(found, observed), table)
    places = given_places(model, table)
    vcov = _covariance(options, (layouts, sample, places), found, bread)
    judged = Judged(
        layouts, sample, found.theta, found.expansion.value, table.n_free, places, bread.inverse, _test(options)
    )
    indices, moments = likelihood_indices(judged)
    resampling = None
    if options.replicates:
        resampling = resample(Refit(model, table, layouts, sample, found, bread.inverse), options)
    df = degrees_of_freedom(table, sample)
    return LatentSolution(table, layouts, sample, given, found, vcov, bread, indices, moments, resampling, df, hardly)


def _categorical(model: RoxModel, data: object, options: Options) -> LatentSolution:
    found = solve_categorical(model, data, options)
    resampling = None
    if options.replicates:
        resampling = resample_categorical(model, found, options)
    return LatentSolution(
        found.table, (found.layout,), found.sample, found.given, found.found, found.vcov, found.bread,
        found.indices, (found.moments,), resampling,
    )  # fmt: skip


def _sample(model: RoxModel, data: object, options: Options) -> Sample:
    if not isinstance(data, Moments):
        return sample_of_frame(model, data, options)
    asked = {
        "group": options.group, "cluster": options.cluster, "weight": options.weight, "frequency": options.frequency,
    }  # fmt: skip
    for name, value in asked.items():
        if value is not None:
            raise RoxError(f"{name}={value!r}: a printed matrix has no rows.", hint=f"Leave {name}= out.")
    if options.estimator != "ML" or options.se != "standard" or options.missing != "listwise":
        raise RoxError(
            "A printed matrix has no rows, so only normal-theory maximum likelihood exists.",
            hint="Use estimator='ML' and leave se= and missing= out.",
        )
    if options.means and data.mean is None:
        raise RoxError("means=True, but the matrix has no means.", hint="Give Moments their mean=, or leave it out.")
    return sample_of_moments(model, data)


def _observed(options: Options, sample: Sample) -> bool:
    if options.information is not None:
        return options.information == "observed"
    if options.estimator == "MLM":
        return False
    return options.estimator == "MLR" or options.se == "robust" or not sample.complete or _weighted(options)


def _weighted(options: Options) -> bool:
    """Sampling weights and clusters need a sandwich, whatever was asked for."""
    return options.weight is not None or options.cluster is not None


def _test(options: Options) -> str:
    if options.estimator == "MLM":
        return "satorra-bentler"
    return "yuan-bentler" if options.estimator == "MLR" or _weighted(options) else ""


def _covariance(
    options: Options, model: tuple[tuple[Layout, ...], Sample, tuple[int, ...]], found: Minimum, bread: Bread
) -> FloatArray:
    layouts, sample, given = model
    inverse = bread.whole
    vcov = inverse / sample.n
    if options.estimator == "MLM":
        middle, _ = satorra_bentler(layouts, sample, found.theta, given)
        vcov = np.asarray(inverse @ middle @ inverse / sample.n)
    elif options.estimator == "MLR" or options.se == "robust" or _weighted(options):
        parts = [(layout, group.data, group.cases) for layout, group in zip(layouts, sample.groups, strict=True)]
        vcov = sandwich(parts, found, inverse, sample.n)
    return beside_bound(vcov, bread)


def given_places(model: RoxModel, table: ParameterTable) -> tuple[int, ...]:
    """Places of the items whose moments among themselves the data give (exogenous, fixed)."""
    at = {item.name: i for i, item in enumerate(model.items)}
    names = dict.fromkeys(row.left for row in table.of("variance") if row.given == "moment")
    return tuple(at[model.find(name).item_names[0]] for name in names if name in model.names)


_LEAST = 0.05  # share of a variance that is left at least, where an iteration starts from another estimate


_ROUGH = 10  # steps with one mean noise for all units, before the first with each unit's own


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
