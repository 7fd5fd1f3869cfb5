"""From what was asked to method "sem": options checked, solved, tabulated.

From what was asked to method "linked": options checked, estimated, tabulated.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean
from roxmodel.estimate.latent.both_levels import Joint, WithinModel, edges_of, estimate_jointly, within_edges
from roxmodel.estimate.latent.inference import (
    beside_bound,
    equation_units,
    sandwich,
    small_sample,
    unit_cases,
    unit_degrees_of_freedom,
)
from roxmodel.estimate.latent.latent_fit import LinkedSolution, fit_of, linked_fit
from roxmodel.estimate.latent.planned_table import EQUAL_KINDS
from roxmodel.estimate.latent.row_options import Estimator, Information, Invariance, Options
from roxmodel.estimate.latent.sample import Estimate, LinkedSample, linked_sample
from roxmodel.estimate.latent.solve import estimate, solve_sem, with_information
from roxmodel.estimate.latent.tests_of_fit import linked_indices
from roxmodel.estimate.latent.unit_bootstrap import Draws, resample_units
from roxmodel.estimate.latent.unit_options import LinkedOptions, WithinLevel
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.moments.linked import LinkedMoments
from roxmodel.records import Resampling, WithinEdge
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.survey.reading import check_same_items, require_sources
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray, IntArray, Scaling, StandardErrors

__all__ = ["Asked", "fit_linked", "fit_sem"]


_INVARIANCE: dict[str, tuple[str, ...]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Options as the user gave them; `roxmodel.fit` says what each is."""

    estimator: Estimator
    missing: Literal["listwise", "fiml"]
    se: StandardErrors | None
    replicates: int
    group: str | None
    invariance: Invariance
    equal: Sequence[str]
    cluster: str | None
    weight: str | None
    frequency: str | None
    information: Information | None
    scaling: Scaling
    ordered: Sequence[str] | bool | None
    means: bool
    seed: int | None
    progress: bool | None


def fit_sem(model: RoxModel, data: object, asked: Asked) -> Fit:
    """Check the options, estimate, and make the fit."""
    options = _options(asked)
    return fit_of(model, solve_sem(model, data, options), options)


def _options(asked: Asked) -> Options:
    _one_of("estimator", asked.estimator, get_args(Estimator))
    _one_of("missing", asked.missing, ("listwise", "fiml"))
    _one_of("invariance", asked.invariance, get_args(Invariance))
    _one_of("scaling", asked.scaling, get_args(Scaling))
    if asked.information is not None:
        _one_of("information", asked.information, get_args(Information))
    for kind in asked.equal:
        _one_of("equal", kind, EQUAL_KINDS)
    _check_columns(asked)
    equal = tuple(dict.fromkeys((*_INVARIANCE[asked.invariance], *asked.equal)))
    if equal and asked.group is None:
        raise RoxError(f"{', '.join(equal)} were to be equal over groups, but there is no group.", hint="Say group=.")
    if asked.weight is not None and asked.frequency is not None:
        raise RoxError(
            f"weight={asked.weight!r} and frequency={asked.frequency!r} were both given.", hint="Give one of them."
        )
    _check_estimator(asked)
    robust = asked.estimator != "ML"
    return Options(
        estimator=asked.estimator,
        missing=asked.missing,
        se=asked.se or ("robust" if robust else "standard"),
        replicates=asked.replicates,
        group=asked.group,
        equal=equal,
        cluster=asked.cluster,
        weight=asked.weight,
        frequency=asked.frequency,
        information=asked.information,
        scaling=asked.scaling,
        ordered=asked.ordered,
        means=asked.means,
        seed=asked.seed,
        progress=asked.progress,
    )


def _one_of(name: str, given: object, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise RoxError(f"{name}= was {given!r}.", hint=did_you_mean(str(given), allowed))


def _check_columns(asked: Asked) -> None:
    for name in ("group", "cluster", "weight", "frequency"):
        given: object = getattr(asked, name)
        if not (given is None or isinstance(given, str)):
            raise RoxError(f"{name}= was {given!r}.", allowed="the name of a column, or None")
    if not (asked.ordered is None or isinstance(asked.ordered, bool | Iterable)):
        raise RoxError(f"ordered= was {asked.ordered!r}.", allowed="names of items, True for all, or None")


def _check_estimator(asked: Asked) -> None:
    ordinal = asked.estimator in {"DWLS", "WLSMV"}
    if asked.missing == "fiml" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"missing='fiml' and estimator={asked.estimator!r} contradict each other: it needs complete answers.",
            hint="Use estimator='MLR' with missing='fiml'"
            + (" and without ordered=" if asked.ordered is not None else "")
            + ", or missing='listwise'.",
        )
    if asked.ordered is not None and not ordinal:
        raise RoxError(
            f"ordered={asked.ordered!r} is an option of estimator='DWLS', but estimator={asked.estimator!r} was asked "
            "for.",
            hint="Say estimator='DWLS', or leave ordered= out.",
        )
    if asked.estimator == "MLM" and (asked.weight is not None or asked.cluster is not None):
        raise RoxError("estimator='MLM' knows no weights and no clusters.", hint="Use estimator='MLR'.")
    if asked.information == "observed" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"estimator={asked.estimator!r} rests on the expected information.", hint="Leave information= out."
        )


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
    require_sources(model, moments)
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
