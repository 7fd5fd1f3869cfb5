"""From what was asked to the fit: rows or units read, the model estimated, its errors and tests found, tabulated."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean
from roxmodel.estimate.latent.both_levels import estimate_jointly, within_levels
from roxmodel.estimate.latent.inference import (
    beside_bound,
    degrees_of_freedom,
    sandwich,
    satorra_bentler,
    small_sample,
    unit_cases,
    unit_degrees_of_freedom,
)
from roxmodel.estimate.latent.latent_fit import fit_of
from roxmodel.estimate.latent.latent_notes import observed, weighted
from roxmodel.estimate.latent.replicates import resample, resample_categorical
from roxmodel.estimate.latent.row_sample import covariates_of, sample_of_frame, sample_of_moments
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, Sample, linked_sample
from roxmodel.estimate.latent.solve import solve, solve_between, table_of
from roxmodel.estimate.latent.tests_of_fit import Judged, likelihood_indices, linked_indices
from roxmodel.estimate.options import LinkedOptions, SemOptions, WithinLevel
from roxmodel.estimate.ordinal.categorical import solve_categorical
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import implied, one_blas_thread
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.linkage import equation_units
from roxmodel.survey.reading import require_sources
from roxmodel.survey.study import Study, check_same_items
from roxmodel.types import FloatArray

__all__ = ["fit_linked", "fit_sem", "solve_rows"]

_FEWEST_CLUSTERS = 5


def fit_sem(model: RoxModel, data: object, options: SemOptions) -> Fit:
    """Estimate from rows or a printed matrix, and make the fit.

    Raises EstimationError, DataError or SpecError for a model that is not identified, or data that cannot be used.
    """
    return fit_of(solve_rows(model, data, options), options)


def solve_rows(model: RoxModel, data: object, options: SemOptions) -> LatentSolution:
    """What `fit_sem` makes its fit of."""
    with one_blas_thread():
        if options.estimator in {"DWLS", "WLSMV"}:
            return _ordinal(model, data, options)
        return _likelihood(model, data, options)


def _ordinal(model: RoxModel, data: object, options: SemOptions) -> LatentSolution:
    found = solve_categorical(model, data, options)
    return replace(found, resampling=resample_categorical(found, options)) if options.bootstrap else found


def _likelihood(model: RoxModel, data: object, options: SemOptions) -> LatentSolution:
    sample = _rows(model, data, options)
    table = table_of(model, options, [group.name for group in sample.groups])
    known = solve(model, sample, table, observed(options, sample))
    places = tuple(sample.items.index(name) for name in covariates_of(model))
    indices, moments = likelihood_indices(_judged(known, places, options))
    return replace(
        known,
        vcov=_robust(known, places, options),
        df=degrees_of_freedom(table, sample),
        indices=indices,
        moments=moments,
        resampling=resample(known, options) if options.bootstrap else None,
    )


def _rows(model: RoxModel, data: object, options: SemOptions) -> Sample:
    if not isinstance(data, Moments):
        return sample_of_frame(model, data, options)
    for name in ("group", "cluster", "weight", "frequency"):
        value = getattr(options, name)
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


def _judged(known: LatentSolution, places: tuple[int, ...], options: SemOptions) -> Judged:
    test = "yuan-bentler" if options.estimator == "MLR" or weighted(options) else ""
    return Judged(
        known.layouts, known.sample, known.found.theta, known.found.expansion.value, known.table.n_free, places,
        known.bread.inverse, "satorra-bentler" if options.estimator == "MLM" else test,
    )  # fmt: skip


def _robust(known: LatentSolution, places: tuple[int, ...], options: SemOptions) -> FloatArray:
    sample, inverse = known.sample, known.bread.whole
    if options.estimator != "MLM":
        return _covariance(known, options.estimator == "MLR" or options.se == "robust" or weighted(options))
    middle, _ = satorra_bentler(known.layouts, sample, known.found.theta, places)
    return beside_bound(np.asarray(inverse @ middle @ inverse / sample.n), known.bread)


def _covariance(known: LatentSolution, robust: bool) -> FloatArray:
    sample, inverse, vcov = known.sample, known.bread.whole, known.bread.whole / known.sample.n
    if robust and isinstance(sample, LinkedSample):
        own = unit_cases(sample.data.weight, sample.groups[0].clusters)
        vcov = sandwich([(known.layout, sample.data, own)], known.found, inverse, sample.data.size)
    elif robust:
        groups = zip(known.layouts, sample.groups, strict=True)
        vcov = sandwich([(layout, own.data, own.cases) for layout, own in groups], known.found, inverse, sample.n)
    return beside_bound(vcov, known.bread)


def fit_linked(model: RoxModel, data: object, options: LinkedOptions) -> Fit:
    """Estimate from units, and make the fit.

    Raises RoxError for data that are no study, options that contradict each other, a model that is not identified.
    """
    _check(data, options)
    if isinstance(data, Study):
        check_same_items(model, data.model)
    with one_blas_thread():
        return fit_of(_between(model, data, options), options)  # type: ignore[arg-type]


def _between(model: RoxModel, data: Study | LinkedMoments, options: LinkedOptions) -> LatentSolution:
    sample = _units(model, data)
    known = solve_between(model, sample, options.scaling, options.observed)
    _require_units(known, sample)
    joint = None
    if options.within != "pooled":
        joint = estimate_jointly(model, sample, known, options.within == "model", options.scaling)
        known, sample = joint.solution, joint.sample
    sample = _clustered(sample, data, options.cluster)
    known, clusters = replace(known, sample=sample), sample.groups[0].clusters
    indices, moments, notes = linked_indices(sample, known, joint)
    if moments is None:
        at = implied(known.layout, known.found.theta)
        moments = Target(at.mu, at.sigma)
    within, words = within_levels(model, sample, joint, options.scaling)
    vcov = _covariance(known, options.se == "robust" or clusters is not None)
    return replace(
        known,
        vcov=small_sample(model, known.table, sample, vcov),
        df=unit_degrees_of_freedom(model, known.table, sample, clusters),
        indices=indices,
        moments=(moments,),
        resampling=resample(known, options) if options.bootstrap else None,
        within=within,
        notes=(*notes, *words),
    )


def _units(model: RoxModel, data: Study | LinkedMoments) -> LinkedSample:
    moments = data.moments if isinstance(data, Study) else data
    require_sources(model, moments)
    if not isinstance(data, Study):
        return linked_sample(model, moments, {})
    cells = {}
    for name in model.respondent_sources:
        own = data.cells(name, [item.name for c in model.constructs if c.source == name for item in c.items])
        if own is not None:
            cells[name] = own
    return replace(linked_sample(model, moments, cells), by=data.by, min_group=data.min_group)


def _check(data: object, options: LinkedOptions) -> None:
    if not isinstance(data, Study | LinkedMoments):
        raise RoxError(
            f"method='linked' needs surveys that are linked by unit, but the data are a {type(data).__name__}.",
            allowed="rox.Study or rox.LinkedMoments",
            hint="Make rox.Study(model, employee=..., customer=..., unit=..., by=...).",
        )
    if options.within not in get_args(WithinLevel):
        raise RoxError(
            f"within= was {options.within!r}.", hint=did_you_mean(str(options.within), get_args(WithinLevel))
        )
    if options.within != "pooled" and (options.bootstrap or options.cluster is not None or options.se != "standard"):
        raise RoxError(
            f"within={options.within!r} has standard errors by the information of all answers only.",
            hint="Leave se=, bootstrap= and cluster= out, or use within='pooled'.",
        )
    if options.within != "pooled" and not options.observed:
        raise RoxError(
            f"within={options.within!r} rests on the observed information.", hint="Leave information='expected' out."
        )
    if options.cluster is not None and not isinstance(data, Study):
        raise RoxError(
            f"cluster={options.cluster!r}: moments have no unit frame to take it from.", hint="Give the Study."
        )


def _require_units(known: LatentSolution, sample: LinkedSample) -> None:
    """Refuse more between-unit parameters an equation than units; name what is too few."""
    model = known.model
    units = equation_units(model, sample.means)
    for name in model.endogenous:
        causes = model.causes(name)
        if units[name] <= len(causes) + 1:
            raise EstimationError(
                f"The equation of {name!r} has {len(causes)} cause(s) but only {units[name]} unit(s) with something of "
                "all of them.",
                hint="Link more units, or use fewer causes.",
            )
    structural = [row for row in known.table if row.free and row.kind in {"edge", "loading"}]
    if sample.n <= len(structural):
        raise EstimationError(
            f"The model has {len(structural)} loadings and edges between units, but there are {sample.n} units.",
            hint="Use fewer items or constructs, fix loadings (rox.Item(loading=1.0)), or link more units.",
        )


def _clustered(sample: LinkedSample, data: object, cluster: str | None) -> LinkedSample:
    """The sample with the cluster of each unit."""
    if cluster is None or not isinstance(data, Study):
        return sample
    column: dict[Hashable, Hashable] = dict(zip(data.units, data.unit_column(cluster), strict=True))
    values: Sequence[Hashable] = [column[unit] for unit in sample.units]
    if any(value is None for value in values):
        raise DataError(f"cluster={cluster!r} is missing for some units.", hint="Fill it in, or leave these units out.")
    place = {value: k for k, value in enumerate(dict.fromkeys(values))}
    if len(place) < _FEWEST_CLUSTERS:
        raise DataError(
            f"cluster={cluster!r} has {len(place)} different value(s), from which no uncertainty can be told.",
            allowed=f"at least {_FEWEST_CLUSTERS} clusters of units, better 30",
            hint="Leave cluster= out, or take a finer one.",
        )
    codes = np.array([place[value] for value in values], dtype=np.int64)
    return replace(sample, groups=(replace(sample.groups[0], clusters=codes),))
