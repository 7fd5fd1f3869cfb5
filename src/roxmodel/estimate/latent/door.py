"""From what was asked to the fit: rows or units read, the model estimated, its errors and tests found, tabulated."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean
from roxmodel.estimate.latent.both_levels import estimate_jointly, within_levels
from roxmodel.estimate.latent.inference import (
    beside_bound,
    degrees_of_freedom,
    equation_units,
    sandwich,
    satorra_bentler,
    small_sample,
    unit_cases,
    unit_degrees_of_freedom,
)
from roxmodel.estimate.latent.latent_fit import fit_of
from roxmodel.estimate.latent.latent_notes import observed, weighted
from roxmodel.estimate.latent.planned_table import EQUAL_KINDS, table_of
from roxmodel.estimate.latent.row_bootstrap import Refit, resample, resample_categorical
from roxmodel.estimate.latent.row_options import Estimator, Information, Invariance, Options
from roxmodel.estimate.latent.row_sample import sample_of_frame, sample_of_moments
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, Sample, linked_sample
from roxmodel.estimate.latent.solve import solve, solve_between
from roxmodel.estimate.latent.tests_of_fit import Judged, likelihood_indices, linked_indices
from roxmodel.estimate.latent.unit_bootstrap import Draws, resample_units
from roxmodel.estimate.latent.unit_options import LinkedOptions, WithinLevel
from roxmodel.estimate.ordinal.categorical import solve_categorical
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import implied, one_blas_thread
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.records import Resampling
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.survey.reading import check_same_items, require_sources
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray, Scaling, StandardErrors

__all__ = ["Asked", "fit_linked", "fit_sem", "solve_rows"]

_FEWEST_CLUSTERS = 5


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


def fit_sem(model: RoxModel, data: object, asked: Asked) -> Fit:
    """Check the options, estimate from rows or a printed matrix, and make the fit.

    Raises
    ------
    EstimationError, DataError, SpecError
        For a model that is not identified, or data that cannot be used.
    """
    options = _options(asked)
    return fit_of(solve_rows(model, data, options), options)


def solve_rows(model: RoxModel, data: object, options: Options) -> LatentSolution:
    """What `fit_sem` makes its fit of."""
    with one_blas_thread():
        if options.estimator in {"DWLS", "WLSMV"}:
            return _ordinal(model, data, options)
        return _likelihood(model, data, options)


def _ordinal(model: RoxModel, data: object, options: Options) -> LatentSolution:
    found = solve_categorical(model, data, options)
    resampling = resample_categorical(model, found, options) if options.replicates else None
    return LatentSolution(
        model, found.sample, found.table, (found.layout,), found.given, found.found, found.bread,
        vcov=found.vcov, indices=found.indices, moments=(found.moments,), resampling=resampling,
    )  # fmt: skip


def _likelihood(model: RoxModel, data: object, options: Options) -> LatentSolution:
    sample = _rows(model, data, options)
    table = table_of(model, options, [group.name for group in sample.groups])
    known = solve(model, sample, table, observed(options, sample))
    places = given_places(model, table)
    indices, moments = likelihood_indices(_judged(known, places, options))
    resampling = None
    if options.replicates:
        resampling = resample(Refit(model, table, known.layouts, sample, known.found, known.bread.inverse), options)
    return replace(
        known,
        vcov=_covariance(known, places, options),
        df=degrees_of_freedom(table, sample),
        indices=indices,
        moments=moments,
        resampling=resampling,
    )


def _rows(model: RoxModel, data: object, options: Options) -> Sample:
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


def _judged(known: LatentSolution, places: tuple[int, ...], options: Options) -> Judged:
    test = "yuan-bentler" if options.estimator == "MLR" or weighted(options) else ""
    return Judged(
        known.layouts, known.sample, known.found.theta, known.found.expansion.value, known.table.n_free, places,
        known.bread.inverse, "satorra-bentler" if options.estimator == "MLM" else test,
    )  # fmt: skip


def _covariance(known: LatentSolution, places: tuple[int, ...], options: Options) -> FloatArray:
    sample, inverse = known.sample, known.bread.whole
    vcov = inverse / sample.n
    if options.estimator == "MLM":
        middle, _ = satorra_bentler(known.layouts, sample, known.found.theta, places)
        vcov = np.asarray(inverse @ middle @ inverse / sample.n)
    elif options.estimator == "MLR" or options.se == "robust" or weighted(options):
        groups = zip(known.layouts, sample.groups, strict=True)
        vcov = sandwich([(layout, own.data, own.cases) for layout, own in groups], known.found, inverse, sample.n)
    return beside_bound(vcov, known.bread)


def given_places(model: RoxModel, table: ParameterTable) -> tuple[int, ...]:
    """Places of the items whose moments among themselves the data give (exogenous, fixed)."""
    at = {item.name: i for i, item in enumerate(model.items)}
    names = dict.fromkeys(row.left for row in table.of("variance") if row.given == "moment")
    return tuple(at[model.find(name).item_names[0]] for name in names if name in model.names)


def fit_linked(model: RoxModel, data: object, options: LinkedOptions) -> Fit:
    """Estimate from units, and make the fit.

    Raises
    ------
    RoxError
        For data that are no study, options that contradict each other, a model that is not identified.
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
    indices, moments, notes = linked_indices(sample, known, joint)
    if moments is None:
        at = implied(known.layout, known.found.theta)
        moments = Target(at.mu, at.sigma)
    within, words = within_levels(model, sample, joint, options.scaling)
    return replace(
        known,
        sample=sample,
        vcov=_unit_covariance(known, sample, options),
        df=unit_degrees_of_freedom(model, known.table, sample, sample.groups[0].clusters),
        indices=indices,
        moments=(moments,),
        resampling=_resampled(known, sample, data, options),
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


def _require_units(known: LatentSolution, sample: LinkedSample) -> None:
    """Refuse more between-unit parameters an equation than units; name what is too few."""
    model = known.model
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


def _unit_covariance(known: LatentSolution, sample: LinkedSample, options: LinkedOptions) -> FloatArray:
    inverse, clusters = known.bread.whole, sample.groups[0].clusters
    if options.se == "robust" or clusters is not None:
        own = unit_cases(sample.data.weight, clusters)
        vcov = sandwich([(known.layout, sample.data, own)], known.found, inverse, sample.data.size)
    else:
        vcov = inverse / sample.n
    return small_sample(known.model, known.table, sample, beside_bound(vcov, known.bread))


def _resampled(
    known: LatentSolution, sample: LinkedSample, data: Study | LinkedMoments, options: LinkedOptions
) -> Resampling | None:
    if not options.replicates:
        return None
    place = {unit: k for k, unit in enumerate(data.units)}
    places = np.array([place[unit] for unit in sample.units], dtype=np.int64)
    clusters = sample.groups[0].clusters
    draws = Draws(options.replicates, options.seed, options.progress, clusters, len(data.units), places)
    return resample_units(sample, known, draws)
