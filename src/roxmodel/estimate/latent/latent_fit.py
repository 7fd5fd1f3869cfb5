"""From a latent solution to a fit: every row of the table with its uncertainty, the population, the small print.

From a linked solution to a fit: the rows of the table, the units, the small print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.defined import define
from roxmodel.estimate.latent.latent_notes import error_words, linked_errors, linked_notes, notes_of, verdicts_of
from roxmodel.estimate.latent.row_options import Options
from roxmodel.estimate.latent.sample import Estimate, GroupSample, LatentSolution, LinkedSample, Sample
from roxmodel.estimate.latent.unit_levels import predicted_levels
from roxmodel.estimate.latent.unit_options import LinkedOptions
from roxmodel.estimate.path import Solution
from roxmodel.estimate.sentences import hidden_notes
from roxmodel.implied.identification import name_parameters
from roxmodel.implied.layout import LOADINGS, RESIDUALS, Layout, residual_of
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import Implied, filled, implied
from roxmodel.records import (
    LINEAR,
    Equation,
    Estimates,
    Fault,
    GroupMoments,
    Measure,
    Population,
    Resampling,
    UnitScores,
    Verdict,
    WithinEdge,
)
from roxmodel.result.fit import Fit
from roxmodel.result.intervals import spread_of, wald
from roxmodel.result.levels import lower_roots, summary_of
from roxmodel.spec.definitions import evaluate
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

__all__ = ["LinkedSolution", "fit_of", "linked_fit"]


def fit_of(model: RoxModel, solution: LatentSolution, options: Options) -> Fit:
    """Make the fit."""
    at = {group.name: implied(layout, solution.found.theta) for group, layout in _grouped(solution)}
    vcov = _frozen(_covariance(solution))
    people = _population(model, solution, at)
    return Fit(
        model=model,
        method="sem",
        level="single",
        se="bootstrap" if solution.resampling is not None else options.se,
        errors=error_words(solution, options),
        table=solution.table,
        estimates=_estimates(model, solution, at, vcov),
        vcov=vcov,
        equations=tuple(Equation(name, LINEAR, round(solution.sample.n), np.inf) for name in model.endogenous),
        measures=tuple(_measure(model, name, solution) for name in model.names),
        population=people,
        verdicts=verdicts_of(model, solution, at),
        notes=notes_of(model, solution, options),
        index_values=solution.indices,
        resampling=solution.resampling,
        groups=_moments(solution),
        scaling=options.scaling,
        estimator=options.estimator,
        missing="listwise" if solution.sample.complete else "fiml",
        doubts=solution.doubts,
    )


def _grouped(solution: LatentSolution) -> Iterator[tuple[GroupSample, Layout]]:
    yield from zip(solution.sample.groups, solution.layouts, strict=True)


def _frozen(values: FloatArray) -> FloatArray:
    values = np.array(values, dtype=np.float64)
    values.setflags(write=False)
    return values


def _covariance(solution: LatentSolution) -> FloatArray:
    if solution.resampling is None or solution.vcov.size == 0:
        return solution.vcov
    return np.atleast_2d(np.cov(solution.resampling.replicates, rowvar=False))


def _values(solution: LatentSolution) -> FloatArray:
    found = np.full(len(solution.table), np.nan)
    for i, row in enumerate(solution.table):
        if row.free:
            found[i] = solution.found.theta[row.free - 1]
        elif row.value is not None:
            found[i] = row.value
        else:
            found[i] = solution.given.get(row.id, np.nan)
    return found


def _estimates(model: RoxModel, solution: LatentSolution, at: dict[str, Implied], vcov: FloatArray) -> Estimates:
    table, count = solution.table, len(solution.table)
    free = np.array([row.free for row in table])
    moving, places = free > 0, free[free > 0] - 1
    value, df, se = _values(solution), *(np.full(count, np.nan) for _ in range(2))
    free_df = np.full(table.n_free, np.inf) if solution.df is None else solution.df
    df[moving], se[moving] = free_df[places], np.sqrt(np.maximum(np.diag(vcov), 0.0))[places]
    held = np.zeros(count, dtype=bool)
    if solution.resampling is None:
        held[moving] = solution.found.bound[places]
    se[held | (se == 0)] = np.nan  # at a bound, or nothing but rounding is left of it
    low, high, p = wald(value, se, df)
    if solution.resampling is not None:
        spread = spread_of(solution.resampling.replicates)
        for column, found in ((se, spread.se), (low, spread.low), (high, spread.high), (p, spread.p)):
            column[moving] = found[places]
    standardized = _standardized(model, solution, at, value)
    partial = _partial_r2(model, solution, at, value)
    path = Solution(solution.found.theta, dict(solution.given), vcov, free_df, free_df, (), ())
    for i, one in define(model, table, path, (vcov, solution.resampling)).items():
        value[i], se[i], low[i], high[i], p[i], df[i] = one
    _standardize_definitions(model, solution, standardized)
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(se > 0, value / se, np.nan)
    arrays = (value, se, statistic, p, low, high, standardized, df, partial)
    return Estimates(*(_frozen(array) for array in arrays))


@dataclass(frozen=True, slots=True)
class _Spread:
    """Implied standard deviations of one group, and its (co)variances as they stand in the table."""

    item: dict[str, float]
    construct: dict[str, float]
    own: dict[tuple[bool, str], float]


def _spreads(
    model: RoxModel, solution: LatentSolution, at: dict[str, Implied], value: FloatArray
) -> dict[str, _Spread]:
    found = {}
    for group, layout in _grouped(solution):
        here = at[group.name]
        with np.errstate(invalid="ignore"):
            item = np.sqrt(np.diag(here.sigma)) * layout.scale
            construct = np.sqrt(np.diag(here.latent))
        own = {
            (residual_of(row, model.names), row.left): float(value[i])
            for i, row in enumerate(solution.table)
            if row.kind == "variance" and row.group == group.name
        }
        found[group.name] = _Spread(
            dict(zip(layout.items, item.tolist(), strict=True)),
            dict(zip(layout.constructs, construct.tolist(), strict=True)),
            own,
        )
    return found


def _standardized(model: RoxModel, solution: LatentSolution, at: dict[str, Implied], value: FloatArray) -> FloatArray:
    spreads = _spreads(model, solution, at, value)
    found = np.full(len(value), np.nan)
    for i, row in enumerate(solution.table):
        if row.kind in {"defined", "threshold"} or row.lag:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            found[i] = np.float64(value[i]) * _unit(model, row, spreads[row.group])
    return found


def _unit(model: RoxModel, row: Parameter, spread: _Spread) -> float:
    """What a row is multiplied by when everything has the variance 1."""
    if row.kind == "loading":
        return float(np.float64(spread.construct[row.left]) / spread.item[row.right])
    if row.kind == "edge":
        return float(np.float64(spread.construct[row.left]) / spread.construct[row.right])
    residual = residual_of(row, model.names)
    if row.kind == "intercept":
        own = spread.item if row.left not in model.names else spread.construct
        return float(1.0 / np.float64(own[row.left]))
    if row.kind == "variance":
        return float(1.0 / np.float64((spread.item if residual else spread.construct)[row.left]) ** 2)
    product = spread.own[residual, row.left] * spread.own[residual, row.right]
    return float(1.0 / np.sqrt(np.float64(product)))


def _standardize_definitions(model: RoxModel, solution: LatentSolution, standardized: FloatArray) -> None:
    """Definitions of standardised values, as they are computed from their labels."""
    labels: dict[str, FloatArray] = {}
    for i, row in enumerate(solution.table):
        if row.label and row.label not in labels:
            labels[row.label] = standardized[i : i + 1]
    rows = {row.left: i for i, row in enumerate(solution.table) if row.kind == "defined"}
    if rows:
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, values in evaluate(dict(model.definitions), labels).items():
                if name in rows:
                    standardized[rows[name]] = float(np.ravel(values)[0])


def _partial_r2(model: RoxModel, solution: LatentSolution, at: dict[str, Implied], value: FloatArray) -> FloatArray:
    """Share of what the other causes leave that each edge explains, from the implied moments of the constructs."""
    found = np.full(len(value), np.nan)
    if model.feedback:
        return found
    shares = {group: _shares(model, here.latent) for group, here in at.items()}
    for i, row in enumerate(solution.table):
        if row.kind != "edge" or row.lag or not row.free:
            continue
        alone, left = shares[row.group][row.left, row.right]
        explained = value[i] ** 2 * max(alone, 0.0)
        if explained + left > 0:
            found[i] = explained / (explained + max(left, 0.0))
    return found


def _shares(model: RoxModel, latent: FloatArray) -> dict[tuple[str, str], tuple[float, float]]:
    """For each edge the variance of the cause that its other causes leave, and that of the effect that all leave."""
    place = {name: i for i, name in enumerate(model.names)}
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for effect in model.endogenous:
        causes = model.causes(effect)
        own = [place[name] for name in causes]
        inverse = _inverted(latent[np.ix_(own, own)])
        cross = latent[own, place[effect]]
        left = float(latent[place[effect], place[effect]] - cross @ inverse @ cross)
        with np.errstate(divide="ignore"):
            alone = 1.0 / np.diag(inverse)
        found |= {(cause, effect): (float(alone[k]), left) for k, cause in enumerate(causes)}
    return found


def _inverted(matrix: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(matrix, hermitian=True), dtype=np.float64)


def _moments(solution: LatentSolution) -> tuple[GroupMoments, ...]:
    scale, known = solution.sample.scale, solution.sample.mean is not None
    return tuple(
        GroupMoments(
            group.name,
            group.n,
            _frozen(target.mean * scale) if known else None,
            _frozen(target.covariance * np.outer(scale, scale)),
            group.people if group.sampling else None,
        )
        for group, target in zip(solution.sample.groups, solution.moments, strict=True)
    )


def _population(model: RoxModel, solution: LatentSolution, at: dict[str, Implied]) -> Population:
    """Levels are those of each construct's first item, the points that an intervention shifts."""
    sample = solution.sample
    markers = [sample.items.index(construct.item_names[0]) for construct in model.constructs]
    share = np.array([group.n / sample.n for group in sample.groups])
    units = np.stack([_marker_units(model, layout, solution.found.theta) for layout in solution.layouts])
    latent = np.stack([at[group.name].latent for group in sample.groups])
    covariance = np.tensordot(share, latent * units[:, :, None] * units[:, None, :], 1)

    def picked(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else _frozen(values[markers])

    return Population(
        names=model.names,
        n=round(sample.n),
        n_units=None,
        units=None,
        levels=None,
        mean=picked(_levels(solution, at)),
        covariance=_frozen(covariance),
        low=picked(sample.low),
        high=picked(sample.high),
    )


def _levels(solution: LatentSolution, at: dict[str, Implied]) -> FloatArray | None:
    """(p,) means of the items; given covariates, those that the model implies at the covariates' means."""
    if solution.sample.mean is not None or not any(row.given for row in solution.table.of("intercept")):
        return solution.sample.mean
    return at[solution.sample.groups[0].name].mu * solution.sample.scale


def _marker_units(model: RoxModel, layout: Layout, theta: FloatArray) -> FloatArray:
    """(k,) loading of each construct's first item: points of that item for one point of the construct."""
    loadings = filled(layout, theta, LOADINGS)
    items = {name: i for i, name in enumerate(layout.items)}
    rows = [items[construct.item_names[0]] for construct in model.constructs]
    return np.asarray(loadings[rows, np.arange(len(rows))])


def _measure(model: RoxModel, name: str, solution: LatentSolution) -> Measure:
    """Bartlett's score from the construct's own items, in points of the first item (Bartlett 1937).

    score = Σ w (mean of the first item + λ₁ (answer - mean of the item) / λ), w proportional to λ² / θ: what is left
    out drops out of the weights.
    """
    construct, sample = model.find(name), solution.sample
    readings = [item.reading for item in construct.items]
    lam, theta, mean = _own_measurement(model, name, solution)
    usable = np.abs(lam) > 1e-8 * np.abs(lam).max()
    unit = lam[0] if usable[0] else 1.0
    ratio = np.where(usable, unit / np.where(usable, lam, 1.0), 0.0)
    errors = np.where(usable, theta * ratio**2, np.inf)
    exact = errors <= 1e-12 * sample.scale.min() ** 2
    precision = exact.astype(float) if exact.any() else np.where(usable, 1.0 / errors, 0.0)
    signs = np.array([sign for sign, _ in readings])
    offsets = np.array([offset for _, offset in readings])
    return Measure(
        name=name,
        factor=construct.factor,
        source=construct.source,
        items=construct.item_names,
        weights=_frozen(precision / precision.sum()),
        signs=_frozen(signs * ratio),
        offsets=_frozen(mean[0] + ratio * (offsets - mean)),
        lows=tuple(item.ends[0] for item in construct.items),
        highs=tuple(item.ends[1] for item in construct.items),
        codes=tuple({} if item.scale is None else dict(item.scale.codes) for item in construct.items),
        within=_frozen(np.full((len(lam), len(lam)), np.nan)),
        errors=_frozen(errors),
    )


def _own_measurement(model: RoxModel, name: str, solution: LatentSolution) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Loadings, residual variances and means of a construct's own items (means over groups)."""
    sample = solution.sample
    own = [sample.items.index(item) for item in model.find(name).item_names]
    column = model.names.index(name)
    share = np.array([group.n / sample.n for group in sample.groups])
    theta = solution.found.theta
    lam = np.stack([filled(layout, theta, LOADINGS)[own, column] for layout in solution.layouts])
    residuals = np.stack([np.diag(filled(layout, theta, RESIDUALS))[own] for layout in solution.layouts])
    mean = np.zeros(len(own)) if sample.mean is None else sample.mean[own]
    return share @ lam, share @ residuals, mean


_HARDLY = 0.4  # mean correlation between units with the other items, below which the first is no marker


@dataclass(frozen=True, slots=True)
class LinkedSolution:
    """What method "linked" found.

    Attributes
    ----------
    sample, estimate
        From what, and the optimum.
    vcov, df
        (n_free, n_free) covariance of the estimates, (n_free,) degrees of freedom.
    indices, moments
        Fit indices; means and covariances between units without structure, None where they were out of reach.
    resampling
        Replicates of the bootstrap, or None.
    within
        Edges among the answers of one unit.
    equation_units
        Units of each equation, by effect.
    by, min_group
        Of the study.
    notes
        What the tests and the level within have to say.
    clusters
        Clusters of units that errors rest on, 0 for none.
    """

    sample: LinkedSample
    estimate: Estimate
    vcov: FloatArray
    df: FloatArray
    indices: dict[str, float]
    moments: Target | None
    resampling: Resampling | None
    within: tuple[WithinEdge, ...]
    equation_units: Mapping[str, int]
    by: str
    min_group: int
    notes: tuple[str, ...]
    clusters: int = 0


def linked_fit(model: RoxModel, solution: LinkedSolution, options: LinkedOptions) -> Fit:
    """Make the fit."""
    sample, known = solution.sample, solution.estimate
    at = implied(known.layout, known.found.theta)
    between = Target(at.mu, at.sigma) if solution.moments is None else solution.moments
    group = GroupSample("", float(sample.n), between, None, None, None, False, None, None)
    plain = LatentSolution(
        table=known.table,
        layouts=(known.layout,),
        sample=Sample(sample.items, sample.scale, (group,), at.mu * sample.scale, None, None, 0, ()),
        given=known.given,
        found=known.found,
        vcov=solution.vcov,
        bread=known.bread,
        indices=solution.indices,
        moments=(between,),
        resampling=solution.resampling,
        df=solution.df,
        doubts=known.doubts,
    )
    fit = fit_of(model, plain, Options(se=options.se, scaling=options.scaling))
    markers = _markers(model, solution)
    at_estimate = (known.layout, known.found.theta)
    _, doubts, shown = predicted_levels(model, sample, at_estimate, markers, solution.min_group)
    predicted = replace(shown, by=solution.by)
    nothing = np.full(len(fit.table), np.nan)
    blank = dict.fromkeys(("se", "statistic", "p", "low", "high"), nothing)
    return replace(
        fit,
        estimates=fit.estimates if known.found.converged else replace(fit.estimates, **blank),
        method="linked",
        level="between",
        errors=linked_errors(solution, options),
        equations=_equations(model, solution),
        measures=tuple(_measure_unit_tabulate(model, measure, solution) for measure in fit.measures),
        population=_population_unit_tabulate(fit.population, solution, predicted, doubts),
        verdicts=_verdicts(model, fit.verdicts, solution),
        notes=(
            *linked_notes(model, solution, options),
            *hidden_notes(model.names, shown.hidden, solution.min_group),
        ),
        groups=(_moments_unit_tabulate(sample, between),),
        estimator="ML",
        missing="",
        within_edges=solution.within,
        predicted=predicted,
    )


def _verdicts(model: RoxModel, found: Mapping[str, Verdict], solution: LinkedSolution) -> dict[str, Verdict]:
    """An item residual of 0 between units is no fault: its means differ by the construct and by chance only."""
    found = _marker_named(model, found, solution)
    table, bound = solution.estimate.table, solution.estimate.found.bound
    held = [row for row in table if row.free and bound[row.free - 1]]
    items = [row for row in held if residual_of(row, model.names)]
    if not items or found["admissible"].ok:
        return dict(found)
    at_zero = {row.left for row in items}
    whose = ", ".join(construct.name for construct in model.constructs if at_zero & set(construct.item_names))
    words = (
        f"between units nothing is left of {len(items)} item residual(s) of {whose} that sampling error does not "
        "explain: held at 0"
    )
    others = [fault for fault in found["admissible"].faults if fault.code != "bound"]
    structural = [row for row in held if row not in items]
    if structural:
        own = f"{name_parameters(structural)} stopped at its bound 0: there is no such variance between units"
        others.insert(0, Fault("bound", own, tuple(row.id for row in structural)))
    told = Verdict.of(others, "every variance is possible")
    return {**found, "admissible": replace(told, reason=f"{told.reason}; {words}")}


def _marker_named(model: RoxModel, found: Mapping[str, Verdict], solution: LinkedSolution) -> dict[str, Verdict]:
    """Name first items that share next to nothing with the others: they cannot be the unit of their construct."""
    if found["converged"].ok:
        return dict(found)
    sample = solution.sample
    sd = np.sqrt(np.diag(solution.estimate.start.covariance))
    shared = np.abs(solution.estimate.start.covariance / np.outer(sd, sd))
    weak = []
    for construct in model.constructs:
        own = [sample.items.index(item) for item in construct.item_names]
        others = own[1:]
        if len(own) > 2 and shared[own[0], others].mean() < _HARDLY < shared[np.ix_(others, others)].mean():
            weak.append(f"{construct.item_names[0]} of {construct.name}")
    if not weak:
        return dict(found)
    words = (
        f"{', '.join(weak)}: the first item is the unit of its construct but shares hardly anything with the others "
    )
    words += f"between units; put another item first ({found['converged'].reason})"
    return {**found, "converged": Verdict.of([Fault("marker", words)], "")}


def _frozen_unit_tabulate(values: FloatArray) -> FloatArray:
    values = np.array(values, dtype=np.float64)
    values.setflags(write=False)
    return values


def _markers(model: RoxModel, solution: LinkedSolution) -> FloatArray:
    """(k,) loading of each construct's first item."""
    known = solution.estimate
    loadings = filled(known.layout, known.found.theta, LOADINGS)
    rows = [solution.sample.items.index(construct.item_names[0]) for construct in model.constructs]
    return np.asarray(loadings[rows, np.arange(len(rows))])


def _equations(model: RoxModel, solution: LinkedSolution) -> tuple[Equation, ...]:
    found = []
    for name in model.endogenous:
        n = solution.equation_units[name]
        found.append(Equation(name, LINEAR, n, float(max(n - len(model.causes(name)) - 1, 1))))
    return tuple(found)


def _moments_unit_tabulate(sample: LinkedSample, between: Target) -> GroupMoments:
    unit = np.outer(sample.scale, sample.scale)
    return GroupMoments(
        "",
        float(sample.n),
        _frozen_unit_tabulate(between.mean * sample.scale),
        _frozen_unit_tabulate(between.covariance * unit),
    )


def _population_unit_tabulate(
    people: Population, solution: LinkedSolution, scores: UnitScores, doubts: FloatArray
) -> Population:
    """The units; their levels are predictions in points of each construct's first item, with their errors."""
    levels, own = scores.values, np.asarray(people.mean)
    mean, low, high = summary_of(levels)
    return replace(
        people,
        n=solution.sample.n,
        n_units=solution.sample.n,
        units=solution.sample.units,
        levels=_frozen_unit_tabulate(levels),
        mean=_frozen_unit_tabulate(np.where(scores.hidden.any(axis=0) & ~np.isnan(mean), mean, own)),
        low=_frozen_unit_tabulate(low),
        high=_frozen_unit_tabulate(high),
        roots=_frozen_unit_tabulate(lower_roots(doubts)),
        hidden=scores.hidden if scores.hidden.any() else None,
        min_group=solution.min_group,
    )


def _measure_unit_tabulate(model: RoxModel, measure: Measure, solution: LinkedSolution) -> Measure:
    """A respondent's score: items count by what they share with the construct against what is their own.

    The error of an item is its own variance between units and what one answer does not share with the construct's other
    answers of the same person.
    """
    construct, known, sample = model.find(measure.name), solution.estimate, solution.sample
    source = next((s for s in sample.sources if s.name == construct.source), None)
    if source is None:
        return measure
    own = [sample.items.index(item) for item in construct.item_names]
    rows = [source.moments.items.index(item) for item in construct.item_names]
    within = source.within.covariance[np.ix_(rows, rows)]
    if len(own) == 1:
        return replace(measure, within=_frozen_unit_tabulate(within), errors=_frozen_unit_tabulate(np.array([np.nan])))
    lam = filled(known.layout, known.found.theta, LOADINGS)[own, model.names.index(construct.name)]
    theta = np.diag(filled(known.layout, known.found.theta, RESIDUALS))[own]
    both = ~np.eye(len(own), dtype=bool)  # pairs that somebody answered
    if source.within.apart is not None and not source.within.apart[np.ix_(rows, rows)][both].all():
        both &= ~source.within.apart[np.ix_(rows, rows)]
    shared = float(within[both].mean())
    unique = theta + np.maximum(np.diag(within) - shared, 0.05 * np.diag(within))
    usable = np.abs(lam) > 1e-8 * np.abs(lam).max()
    ratio = np.where(usable, (lam[0] if usable[0] else 1.0) / np.where(usable, lam, 1.0), 0.0)
    errors = np.where(usable, unique * ratio**2, np.inf)
    exact = errors <= 0  # an item without anything of its own says it all
    safe = np.where(exact, 1.0, errors)
    precision = exact.astype(float) if exact.any() else np.where(np.isfinite(errors), 1.0 / safe, 0.0)
    return replace(
        measure,
        weights=_frozen_unit_tabulate(precision / precision.sum()),
        errors=_frozen_unit_tabulate(errors),
        within=_frozen_unit_tabulate(within),
    )
