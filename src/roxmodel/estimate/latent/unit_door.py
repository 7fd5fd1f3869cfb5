"""From what was asked to method "linked": options checked, estimated, tabulated."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean
from roxmodel.estimate.latent.individual import WithinModel, edges_of, within_edges
from roxmodel.estimate.latent.inference import (
    beside_bound,
    equation_units,
    sandwich,
    small_sample,
    unit_cases,
    unit_degrees_of_freedom,
)
from roxmodel.estimate.latent.joint_levels import Joint, estimate_jointly
from roxmodel.estimate.latent.tests_of_fit import linked_indices
from roxmodel.estimate.latent.unit_bootstrap import Draws, resample_units
from roxmodel.estimate.latent.unit_options import LinkedOptions, WithinLevel
from roxmodel.estimate.latent.unit_sample import LinkedSample, linked_sample
from roxmodel.estimate.latent.unit_solve import Estimate, estimate, with_information
from roxmodel.estimate.latent.unit_tabulate import LinkedSolution, linked_fit
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.moments.linked import LinkedMoments
from roxmodel.result.fit import Fit
from roxmodel.result.records import Resampling, WithinEdge
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.survey.reading import check_same_items
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray, IntArray

__all__ = ["fit_linked"]

_FEWEST_CLUSTERS = 5


def fit_linked(model: RoxModel, data: object, options: LinkedOptions) -> Fit:
    """Estimate, and make the fit.

    Raises
    ------
    RoxError
        For data that are no study, options that contradict each other, a model that is not identified.
    """
    _check(data, options)
    moments = data.moments if isinstance(data, Study) else data
    if isinstance(data, Study):
        check_same_items(model, data.model)
    with one_blas_thread():
        return _fit(model, data, moments, options)  # type: ignore[arg-type]


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
    if options.within != "pooled" and (options.replicates or options.cluster is not None or options.se != "standard"):
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


def _fit(model: RoxModel, data: object, moments: LinkedMoments, options: LinkedOptions) -> Fit:
    cells = {}
    if isinstance(data, Study):
        for name in model.respondent_sources:
            items = [item.name for c in model.constructs if c.source == name for item in c.items]
            own = data.cells(name, items)
            if own is not None:
                cells[name] = own
    _require_sources(model, moments)
    sample = linked_sample(model, moments, cells)
    known = estimate(model, sample, options.scaling)
    if not options.observed:
        known = with_information(known, observed=False)
    _require_units(model, known, sample)
    joint: Joint | None = None
    if options.within != "pooled":
        joint = estimate_jointly(model, sample, known, options.within == "model", options.scaling)
        known, sample = joint.estimate, joint.sample
    clusters = _clusters(data, sample, options.cluster)
    indices, moments_between, notes = linked_indices(sample, known, joint)
    vcov = _covariance(model, known, sample, options, clusters)
    resampling = _resampled(data, moments, (sample, known), options, clusters)
    within, words = _within(model, sample, joint, options)
    return linked_fit(
        model,
        LinkedSolution(
            sample=sample,
            estimate=known,
            vcov=vcov,
            df=unit_degrees_of_freedom(model, known.table, sample, clusters),
            indices=indices,
            moments=moments_between,
            resampling=resampling,
            within=within,
            equation_units=equation_units(model, sample),
            by=data.by if isinstance(data, Study) else "unit",
            min_group=data.min_group if isinstance(data, Study) else MIN_GROUP,
            notes=(*notes, *words),
            clusters=0 if clusters is None else int(clusters.max()) + 1,
        ),
        options,
    )


def _require_sources(model: RoxModel, moments: LinkedMoments) -> None:
    for name in model.respondent_sources:
        known = [source.source for source in moments.sources]
        if name not in known:
            raise DataError(f"The moments hold no source {name!r}.", hint=did_you_mean(name, known))
        own = moments.source(name)
        wanted = [item.name for c in model.constructs if c.source == name for item in c.items]
        for item in wanted:
            if item not in own.items:
                raise DataError(f"The {name} moments hold no item {item!r}.", hint=did_you_mean(item, own.items))
    if UNIT in model.sources and moments.figures is None:
        raise DataError("The moments hold no figures of the units, which the model asks for.")


def _require_units(model: RoxModel, known: Estimate, sample: LinkedSample) -> None:
    """Refuse more between-unit parameters an equation than units; name what is too few."""
    units = equation_units(model, sample)
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


def _clusters(data: object, sample: LinkedSample, cluster: str | None) -> IntArray | None:
    if cluster is None or not isinstance(data, Study):
        return None
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
    return np.array([place[value] for value in values], dtype=np.int64)


def _covariance(
    model: RoxModel, known: Estimate, sample: LinkedSample, options: LinkedOptions, clusters: IntArray | None
) -> FloatArray:
    inverse = known.bread.whole
    if options.se == "robust" or clusters is not None:
        own = unit_cases(sample.data.weight, clusters)
        vcov = sandwich([(known.layout, sample.data, own)], known.found, inverse, sample.data.size)
    else:
        vcov = inverse / sample.n
    return small_sample(model, known.table, sample, beside_bound(vcov, known.bread))


def _resampled(
    data: object,
    moments: LinkedMoments,
    solved: tuple[LinkedSample, Estimate],
    options: LinkedOptions,
    clusters: IntArray | None,
) -> Resampling | None:
    if not options.replicates:
        return None
    sample, known = solved
    every = data.units if isinstance(data, Study) else moments.units
    place = {unit: k for k, unit in enumerate(every)}
    places = np.array([place[unit] for unit in sample.units], dtype=np.int64)
    draws = Draws(options.replicates, options.seed, options.progress, clusters, len(every), places)
    return resample_units(sample, known, draws)


def _within(
    model: RoxModel, sample: LinkedSample, joint: Joint | None, options: LinkedOptions
) -> tuple[tuple[WithinEdge, ...], list[str]]:
    said = [] if joint is None else list(joint.notes)
    if joint is None or not joint.within:
        edges, words = within_edges(model, sample, options.scaling)
        return edges, [*said, *words]
    found: list[WithinEdge] = []
    models: dict[str, WithinModel] = {part.model.constructs[0].source: part for part in joint.within}
    for source in sample.sources:
        if source.name in models:
            found += edges_of(models[source.name], source)
    return tuple(found), said
