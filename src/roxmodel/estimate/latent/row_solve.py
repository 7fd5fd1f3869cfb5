"""Method "sem": from a model and data to the estimate, its errors and its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.doubts import Doubt
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
from roxmodel.estimate.latent.optimizer import Minimum, feasible, reached
from roxmodel.estimate.latent.planned_table import given_by_data, layouts_of, refuse_free_lags, table_of
from roxmodel.estimate.latent.row_bootstrap import Refit, resample, resample_categorical
from roxmodel.estimate.latent.row_options import Options
from roxmodel.estimate.latent.row_sample import Sample, sample_of_frame, sample_of_moments
from roxmodel.estimate.latent.tests_of_fit import Judged, likelihood_indices
from roxmodel.estimate.ordinal.categorical import solve_categorical
from roxmodel.implied.identification import PEOPLE, require_identified, require_seen
from roxmodel.implied.layout import Layout
from roxmodel.implied.likelihood import Objective, Part, Target
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.implied.starts import at_means, start_values
from roxmodel.moments.single import Moments
from roxmodel.result.records import Resampling
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import GIVEN, ParameterTable
from roxmodel.types import FloatArray

__all__ = ["LatentSolution", "objective_of", "optimum_of", "solve_sem"]


@dataclass(frozen=True, slots=True)
class LatentSolution:
    """What method "sem" found.

    Attributes
    ----------
    table, layouts, sample
        The parameters, where they stand, what they were estimated from.
    given
        Values of the rows that the data give, by id.
    found
        The optimum.
    vcov
        (n_free, n_free); zero rows for parameters at their bound.
    bread
        The inverse information, and how well the data determine the parameters.
    indices
        Fit indices by name.
    moments
        Saturated means and covariances of each group, in units of the scale.
    resampling
        Replicates of the bootstrap, or None.
    df
        (n_free,) degrees of freedom of the t distribution; None = normal.
    doubts
        What hangs on a few people only.
    """

    table: ParameterTable
    layouts: tuple[Layout, ...]
    sample: Sample
    given: Mapping[str, float]
    found: Minimum
    vcov: FloatArray
    bread: Bread
    indices: dict[str, float]
    moments: tuple[Target, ...]
    resampling: Resampling | None
    df: FloatArray | None = None
    doubts: tuple[Doubt, ...] = ()


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
    names = dict.fromkeys(row.left for row in table.of("variance") if row.note == GIVEN)
    return tuple(at[model.find(name).item_names[0]] for name in names if name in model.names)
