"""From what was asked to the fit: rows or units read, the model estimated, its errors and tests found, tabulated.

Rows or units drawn again: every replicate refitted to convergence, many at once where answers are complete.

Complete data: a replicate is a covariance matrix, and all replicates of a batch take quasi-Newton steps together,
from the estimate and with its inverse information as the first guess of theirs. A replicate that does not settle, or
leaves the bounds, is fitted by itself with `minimise`. Missing answers, ordinal items and units: one by one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean
from roxmodel.estimate.bootstrap import Bootstrap
from roxmodel.estimate.checks.evidence import Estimated
from roxmodel.estimate.latent.both_levels import estimate_jointly, within_levels
from roxmodel.estimate.latent.casewise import casewise_scores
from roxmodel.estimate.latent.latent_fit import fit_of
from roxmodel.estimate.latent.latent_notes import observed, weighted
from roxmodel.estimate.latent.optimizer import drawn, lower_bounds, minimise, settle
from roxmodel.estimate.latent.row_sample import covariates_of, sample_of_frame, sample_of_moments
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, LinkedSample, Sample, linked_sample, reweighted
from roxmodel.estimate.latent.solve import (
    beside_bound,
    degrees_of_freedom,
    given_by_data,
    layout_of,
    sandwich,
    satorra_bentler,
    small_sample,
    solve,
    solve_between,
    table_of,
    unit_cases,
    unit_degrees_of_freedom,
    with_given,
)
from roxmodel.estimate.latent.tests_of_fit import Judged, likelihood_indices, linked_indices
from roxmodel.estimate.options import LinkedOptions, SemOptions, WithinLevel
from roxmodel.estimate.ordinal.categorical import ordinal_items, refit_categorical, solve_categorical
from roxmodel.implied.likelihood import Objective, Part, Seen, Target, cells_of_rows, objective_of_units
from roxmodel.implied.matrices import Layout, implied, one_blas_thread
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.draws import Draws
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.linkage import equation_units
from roxmodel.survey.reading import require_sources
from roxmodel.survey.study import Study, check_same_items
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["fit_linked", "fit_sem", "resample", "resample_categorical", "solve_rows", "solve_units"]
_FEWEST_CLUSTERS = 5


def fit_sem(model: RoxModel, data: object, options: SemOptions) -> Estimated:
    """Estimate from rows or a printed matrix, and make the fit.

    Raises EstimationError, DataError or SpecError for a model that is not identified, or data that cannot be used.
    """
    found = solve_rows(model, data, options)
    return Estimated(fit_of(found, options), found)


def solve_rows(model: RoxModel, data: object, options: SemOptions) -> LatentSolution:
    """What `fit_sem` makes its fit of."""
    with one_blas_thread():
        if options.estimator in {"DWLS", "WLSMV"}:
            found = solve_categorical(model, data, options)
            return replace(found, resampling=resample_categorical(found, options)) if options.bootstrap else found
        return _likelihood(model, data, options)


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


def fit_linked(model: RoxModel, data: object, options: LinkedOptions) -> Estimated:
    """Estimate from units, and make the fit.

    Raises RoxError for data that are no study, options that contradict each other, a model that is not identified.
    """
    _check(data, options)
    if isinstance(data, Study):
        check_same_items(model, data.model)
    with one_blas_thread():
        found = _between(model, data, options)  # type: ignore[arg-type]
        return Estimated(fit_of(found, options), found)


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


def solve_units(model: RoxModel, moments: LinkedMoments, data: Study, options: LinkedOptions) -> LatentSolution:
    """Estimates and errors from other moments of a study's units, without tests of fit."""
    with one_blas_thread():
        sample = _clustered(linked_sample(model, moments, {}), data, options.cluster)
        known = replace(solve_between(model, sample, options.scaling, options.observed), sample=sample)
        vcov = _covariance(known, options.se == "robust" or options.cluster is not None)
        return replace(known, vcov=small_sample(model, known.table, sample, vcov))


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


_BATCH, _FEW = 256, 8  # replicates fitted together: complete data, one by one


_THIN = "The data are too thin for this model: use fewer items or constructs, or more rows."
_FEW_UNITS = "The units are too few for this model: use fewer items or constructs, or more units."
_STEPS = 100  # of a replicate that is fitted by itself
_CELLS = 1 << 22  # counts held at once
_MOST_PRODUCTS = 1 << 21  # products of answers held at once


def resample(known: LatentSolution, options: SemOptions | LinkedOptions) -> Draws:
    """Draw rows, units, or clusters of them with replacement, and estimate the model again."""
    sample, influence = known.sample, None
    if isinstance(sample, LinkedSample):
        clusters = sample.groups[0].clusters
        codes = np.arange(float(sample.n)) if clusters is None else clusters.astype(np.float64)
        own, batch, hint = sample, _FEW, _FEW_UNITS

        def refit(counts: FloatArray, wanted: int) -> FloatArray:
            return np.stack([_units_again(own, known, weight) for weight in counts[:wanted]])

    else:
        codes, rows = _codes(sample)
        batch, hint = int(np.clip(_CELLS // len(codes), 1, _BATCH)) if sample.complete else _FEW, _THIN
        influence = _influence(known, codes, rows)

        def refit(counts: FloatArray, wanted: int) -> FloatArray:
            return _refit_rows(known, _row_counts(sample, counts, rows), wanted)

    found = Bootstrap(refit, codes, batch, hint, lower_bounds(known.table), **_used(sample)).draws(options)
    return found if influence is None else replace(found, influence=influence)


def resample_categorical(solution: LatentSolution, options: SemOptions) -> Draws:
    """Draw rows with replacement, and estimate thresholds, correlations and the model again."""
    codes, rows = _codes(solution.sample)
    ordinal = ordinal_items(solution.model, options.ordered)

    def refit(counts: FloatArray, wanted: int) -> FloatArray:
        (own,) = _row_counts(solution.sample, counts[:wanted], rows)
        return np.stack([_one_categorical(solution, weights, ordinal) for weights in own])

    lower = lower_bounds(solution.table)
    return Bootstrap(refit, codes, _FEW, _THIN, lower, **_used(solution.sample)).draws(options)


def _used(sample: Sample) -> dict[str, Any]:
    """Where the rows used stand in the frame, in its order, and how many rows it has; nothing if all are used."""
    if not sample.dropped or any(group.weights is not None and not group.sampling for group in sample.groups):
        return {}
    places = np.sort(np.concatenate([group.places for group in sample.groups if group.places is not None]))
    return {"places": places, "rows": len(places) + sample.dropped}


def _influence(known: LatentSolution, codes: FloatArray, places: Sequence[IntArray]) -> FloatArray | None:
    """What each resampled row or cluster moves: inverse information times its score (infinitesimal jackknife)."""
    if any(group.weights is not None for group in known.sample.groups):
        return None
    rows = sum(0 if group.rows is None else len(group.rows) for group in known.sample.groups)
    if rows * known.table.n_free > _CELLS:
        return None
    scores = np.concatenate(
        [
            casewise_scores(layout, known.found.theta, group.data, group.rows)
            for layout, group in zip(known.layouts, known.sample.groups, strict=True)
        ]
    )
    moved = scores @ known.bread.inverse
    sums = np.zeros((int(codes.max()) + 1, moved.shape[1]))
    np.add.at(sums, codes[np.concatenate(places)].astype(np.int64), moved)
    return sums


def _one_categorical(solution: LatentSolution, counts: FloatArray, ordinal: BoolArray) -> FloatArray:
    try:
        found = refit_categorical(solution, counts, ordinal)
    except (EstimationError, ValueError):  # a category that nobody of the replicate chose
        return np.full(solution.table.n_free, np.nan)
    return found if len(found) == solution.table.n_free else np.full(solution.table.n_free, np.nan)


def _codes(sample: Sample) -> tuple[FloatArray, tuple[IntArray, ...]]:
    """Cluster (or person) of each row, in the order of the frame, and the rows of each group among them."""
    rows = _rows_of(sample)
    total = sum(map(len, rows))
    clusters = [group.clusters for group in sample.groups if group.clusters is not None]
    if len(clusters) == len(sample.groups):
        together = np.empty(total, dtype=np.int64)
        together[np.concatenate(rows)] = np.concatenate(clusters)
        return np.unique(together, return_inverse=True)[1].astype(np.float64), rows
    persons = _persons(sample, rows)
    # A row with a frequency stands for so many persons, each drawn by itself.
    return np.arange(float(total if persons is None else persons.sum())), rows


def _rows_of(sample: Sample) -> tuple[IntArray, ...]:
    """Places of each group's rows among all rows that count, in the order of the frame."""
    counts = [0 if group.rows is None else len(group.rows) for group in sample.groups]
    ends = np.cumsum([0, *counts])
    known = [group.places for group in sample.groups if group.places is not None]
    if len(known) < len(counts):
        return tuple(np.arange(a, b) for a, b in pairwise(ends))
    every = np.concatenate(known)
    rank = np.empty(len(every), dtype=np.int64)
    rank[np.argsort(every)] = np.arange(len(every))
    return tuple(rank[a:b] for a, b in pairwise(ends))


def _persons(sample: Sample, rows: Sequence[IntArray]) -> IntArray | None:
    """Persons that each row stands for, in the order of the frame; None where each stands for one."""
    if not any(group.weights is not None and not group.sampling for group in sample.groups):
        return None
    found = np.ones(sum(map(len, rows)), dtype=np.int64)
    for group, places in zip(sample.groups, rows, strict=True):
        if group.weights is not None:
            found[places] = group.weights
    return found


def _row_counts(sample: Sample, counts: FloatArray, rows: tuple[IntArray, ...]) -> list[FloatArray]:
    """Weight of each row of each group in each replicate, (replicates, rows)."""
    persons = _persons(sample, rows)
    if persons is not None and all(group.clusters is not None for group in sample.groups):
        counts = counts * persons
    elif persons is not None:
        ends = np.concatenate([[0], np.cumsum(persons)[:-1]])
        counts = np.add.reduceat(counts, ends, axis=1)
    found = []
    for group, own in zip(sample.groups, rows, strict=True):
        picked = counts[:, own]
        found.append(picked * group.weights if group.sampling and group.weights is not None else picked)
    return found


def _refit_rows(known: LatentSolution, counts: Sequence[FloatArray], wanted: int | None = None) -> FloatArray:
    """(replicates, n_free) parameters for each set of row weights: for each group (replicates, rows).

    `wanted`: how many are asked for, None = all: the others may stay NaN. NaN too where one cannot be estimated.
    """
    sizes = np.stack([own.sum(axis=1) for own in counts], axis=1)
    shares = sizes / sizes.sum(axis=1, keepdims=True)
    wanted = len(shares) if wanted is None else min(wanted, len(shares))
    if not known.sample.complete:
        return _one_by_one(known, counts, shares, wanted)
    targets = [_moments(group, own) for group, own in zip(known.sample.groups, counts, strict=True)]
    layouts = _layouts_of(known, targets)
    lower = lower_bounds(known.table)
    theta, settled = np.repeat(known.found.theta[None], len(shares), axis=0), np.zeros(len(shares), dtype=bool)
    if not known.found.bound.any():  # steps of all draws know no bounds
        theta, settled = settle(layouts, targets, shares, known.found.theta, known.bread.inverse, known.sample.n)
        settled &= (theta > lower).all(axis=1)
    for draw in np.flatnonzero(~settled[:wanted]):
        parts = [
            Part(
                drawn(layout, int(draw)),
                Target(target.mean[draw], target.covariance[draw]),
                float(shares[draw, place]),
            )
            for place, (layout, target) in enumerate(zip(layouts, targets, strict=True))
        ]
        theta[draw] = _alone(Objective(parts), known.found.theta, lower)
    return theta


def _alone(objective: Objective, start: FloatArray, lower: FloatArray) -> FloatArray:
    """One replicate by itself, with bounds; NaN where it does not converge."""
    nothing = np.full(len(start), np.nan)
    try:
        if not np.isfinite(objective.value(start)):
            return nothing
        found = minimise(objective, start, lower, _STEPS)
    except np.linalg.LinAlgError:
        return nothing
    return found.theta if found.converged else nothing


def _one_by_one(known: LatentSolution, counts: Sequence[FloatArray], shares: FloatArray, wanted: int) -> FloatArray:
    """Replicates with missing answers: moments of each pattern again, then Newton's method."""
    lower = lower_bounds(known.table)
    found = np.full((len(shares), known.table.n_free), np.nan)
    for draw in range(wanted):
        parts = []
        for place, (layout, group) in enumerate(zip(known.layouts, known.sample.groups, strict=True)):
            own = counts[place][draw]
            parts.append(Part(layout, _reweighted(group, own), float(shares[draw, place])))
        found[draw] = _alone(Objective(parts), known.found.theta, lower)
    return found


def _reweighted(group: GroupSample, weights: FloatArray) -> Seen:
    rows = group.rows
    if rows is None:
        raise ValueError("a bootstrap needs rows")  # callers refuse moments before
    if group.patterns is None:
        target = _moments(group, weights[None])
        return Target(target.mean[0], target.covariance[0])
    data = cells_of_rows(rows, weights, group.patterns)
    return data if (data.weight > 0).all() else data.weighted(data.weight)


def _moments(group: GroupSample, weights: FloatArray) -> Target:
    """Means and covariances of each replicate: one matrix product over the products of the answers."""
    rows = group.rows
    if rows is None:
        raise ValueError("a bootstrap needs rows")  # callers refuse moments before
    p = rows.shape[1]
    low = np.tril_indices(p)
    count = weights.sum(axis=1, keepdims=True)
    first, second = np.zeros((len(weights), p)), np.zeros((len(weights), len(low[0])))
    step = max(1, _MOST_PRODUCTS // len(low[0]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step] - group.target.mean
        own = weights[:, start : start + step]
        first += own @ block
        second += own @ (block[:, low[0]] * block[:, low[1]])
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = first / count, second / count
    covariance = np.empty((len(weights), p, p))
    covariance[:, low[0], low[1]] = covariance[:, low[1], low[0]] = second
    covariance -= first[:, :, None] * first[:, None, :]
    return Target(first + group.target.mean, covariance)


def _layouts_of(known: LatentSolution, targets: Sequence[Target]) -> tuple[Layout, ...]:
    """The layouts with the values that the replicates' own data give, if there are any."""
    groups = tuple(replace(group, target=target) for group, target in zip(known.sample.groups, targets, strict=True))
    given = given_by_data(known.model, known.table, replace(known.sample, groups=groups))
    if not given:
        return known.layouts
    return tuple(
        with_given(layout, [row for row in known.table if row.group == group.name], given)
        for layout, group in zip(known.layouts, known.sample.groups, strict=True)
    )


def _units_again(sample: LinkedSample, known: LatentSolution, weight: FloatArray) -> FloatArray:
    """All parameters when units count `weight` times; the covariance within units is found again too."""
    try:
        data = reweighted(sample, weight)
        objective = objective_of_units(layout_of(known, data), data)
    except (np.linalg.LinAlgError, EstimationError, ValueError):
        return np.full(known.table.n_free, np.nan)
    return _alone(objective, known.found.theta, lower_bounds(known.table))
