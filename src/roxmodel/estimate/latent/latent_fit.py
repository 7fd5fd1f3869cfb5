"""From a solution to a fit: every row of the table with its uncertainty, people or units, the levels of units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from roxmodel.estimate.latent.latent_notes import error_words, notes_of, verdicts_of
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, LinkedSample
from roxmodel.estimate.options import LinkedOptions, SemOptions
from roxmodel.implied.likelihood import NormalCells, inverse_of
from roxmodel.implied.matrices import LOADINGS, RESIDUALS, Implied, Layout, filled, implied
from roxmodel.records import LINEAR, Equation, Estimates, GroupMoments, Measure, Population, UnitScores
from roxmodel.result.derived import Known, Spreads, bartlett_measure, summary_of, told
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.definitions import evaluate
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import residual_of
from roxmodel.survey.composites import people_behind, suppressed
from roxmodel.survey.linkage import equation_units
from roxmodel.types import BoolArray, FloatArray

__all__ = ["fit_of", "lower_roots", "predicted_levels"]


def fit_of(solution: LatentSolution, options: SemOptions | LinkedOptions) -> Fit:
    """Make the fit."""
    model, sample = solution.model, solution.sample
    at = {group.name: implied(layout, solution.found.theta) for group, layout in _grouped(solution)}
    draws = solution.resampling
    vcov = solution.vcov if draws is None or solution.vcov.size == 0 else draws.covariance
    people, predicted = _population(solution, at), None
    if isinstance(sample, LinkedSample):
        predicted, doubts = predicted_levels(solution, sample)
        people = _units(people, sample, predicted, doubts)
    return Fit(
        model=model,
        method="sem" if predicted is None else "linked",
        level="single" if predicted is None else "between",
        se=options.se if draws is None else "bootstrap",
        errors=error_words(solution, options),
        table=solution.table,
        estimates=_estimates(solution, at, vcov),
        vcov=vcov,
        equations=_equations(solution),
        measures=tuple(_measure(construct, solution, at) for construct in model.constructs),
        population=people,
        verdicts=verdicts_of(solution, at),
        notes=notes_of(solution, options, predicted),
        index_values=solution.indices,
        resampling=draws,
        groups=_moments(solution),
        scaling=options.scaling,
        estimator=options.estimator if isinstance(options, SemOptions) else "ML",
        missing="" if predicted is not None else "listwise" if sample.complete else "fiml",
        findings=solution.doubts,
        within_edges=solution.within,
        predicted=predicted,
    )


def _grouped(solution: LatentSolution) -> Iterator[tuple[GroupSample, Layout]]:
    yield from zip(solution.sample.groups, solution.layouts, strict=True)


def _estimates(solution: LatentSolution, at: dict[str, Implied], vcov: FloatArray) -> Estimates:
    model, table, draws = solution.model, solution.table, solution.resampling
    df = np.full(table.n_free, np.inf) if solution.df is None else solution.df
    lost = np.diag(vcov) <= 0  # nothing but rounding is left of it
    if draws is None:
        lost |= solution.found.bound
    found = told(model, table, Known(solution.found.theta, vcov, df, draws), solution.given, lost)
    value = found["value"]
    standardized, partial = _standardized(model, solution, at, value), _partial_r2(model, solution, at, value)
    _standardize_definitions(model, solution, standardized)
    if isinstance(solution.sample, LinkedSample) and not solution.found.converged:
        found |= {name: np.full(len(table), np.nan) for name in ("se", "statistic", "p", "low", "high")}
    return Estimates(**found, standardized=standardized, partial_r2=partial)


def _standardized(model: RoxModel, solution: LatentSolution, at: dict[str, Implied], value: FloatArray) -> FloatArray:
    found, rows = np.full(len(value), np.nan), list(enumerate(solution.table))
    for group, layout in _grouped(solution):
        here = at[group.name]
        with np.errstate(invalid="ignore"):
            item, construct = np.sqrt(np.diag(here.sigma)) * layout.scale, np.sqrt(np.diag(here.latent))
        variances = [(i, row) for i, row in rows if row.kind == "variance" and row.group == group.name]
        own = {(residual_of(row, model.names), row.left): value[i] for i, row in variances}
        named = (dict(zip(layout.items, item, strict=True)), dict(zip(layout.constructs, construct, strict=True)))
        spreads = Spreads(*named, own)
        for i, row in rows:
            if row.group == group.name and row.kind not in {"defined", "threshold"} and not row.lag:
                found[i] = spreads.standardized(row, value[i])
    return found


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
        if 0 < explained + left < np.inf:
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


def _equations(solution: LatentSolution) -> tuple[Equation, ...]:
    """The equations, with the units that know something of the effect and of each of its causes."""
    model, sample = solution.model, solution.sample
    if not isinstance(sample, LinkedSample):
        return tuple(Equation(name, LINEAR, round(sample.n), np.inf, np.nan) for name in model.endogenous)
    n = equation_units(model, sample.means)
    left = {name: float(max(n[name] - len(model.causes(name)) - 1, 1)) for name in model.endogenous}
    return tuple(Equation(name, LINEAR, n[name], df, np.nan) for name, df in left.items())


def _moments(solution: LatentSolution) -> tuple[GroupMoments, ...]:
    sample = solution.sample
    scale, known = sample.scale, sample.mean is not None or isinstance(sample, LinkedSample)
    return tuple(
        GroupMoments(
            group.name,
            group.n,
            target.mean * scale if known else None,
            target.covariance * np.outer(scale, scale),
            group.people if group.sampling else None,
        )
        for group, target in zip(sample.groups, solution.moments, strict=True)
    )


def _population(solution: LatentSolution, at: dict[str, Implied]) -> Population:
    """Whom the numbers speak of; means in points of each construct's first item, which an intervention shifts."""
    model, sample = solution.model, solution.sample
    markers = [sample.items.index(construct.item_names[0]) for construct in model.constructs]
    share = np.array([group.n / sample.n for group in sample.groups])
    units = np.stack([_marker_units(model, layout, solution.found.theta) for layout in solution.layouts])
    latent = np.stack([at[group.name].latent for group in sample.groups])
    covariance = np.tensordot(share, latent * units[:, :, None] * units[:, None, :], 1)
    mean = _item_means(solution, at)
    if mean is None and any(row.given for row in solution.table.of("intercept")):
        mean = at[sample.groups[0].name].mu * sample.scale  # at the means of the covariates

    def picked(values: FloatArray | None) -> FloatArray | None:
        return None if values is None else values[markers]

    return Population(
        names=model.names,
        n=round(sample.n),
        n_units=None,
        mean=picked(mean),
        covariance=covariance,
        low=picked(sample.low),
        high=picked(sample.high),
    )


def _item_means(solution: LatentSolution, at: dict[str, Implied]) -> FloatArray | None:
    """(p,) means of the items in points: observed, or of units those that the model implies; None where unknown."""
    sample = solution.sample
    return at[""].mu * sample.scale if isinstance(sample, LinkedSample) else sample.mean


def _marker_units(model: RoxModel, layout: Layout, theta: FloatArray) -> FloatArray:
    """(k,) loading of each construct's first item: points of that item for one point of the construct."""
    loadings = filled(layout, theta, LOADINGS)
    items = {name: i for i, name in enumerate(layout.items)}
    rows = [items[construct.item_names[0]] for construct in model.constructs]
    return np.asarray(loadings[rows, np.arange(len(rows))])


def _units(people: Population, sample: LinkedSample, scores: UnitScores, doubts: FloatArray) -> Population:
    """The population as units; the mean is that of the units that are shown, where some are hidden."""
    own = np.asarray(people.mean)
    mean, low, high = summary_of(scores.values)
    return replace(
        people,
        n_units=sample.n,
        units=sample.units,
        levels=scores.values,
        mean=np.where(scores.hidden.any(axis=0) & ~np.isnan(mean), mean, own),
        low=low,
        high=high,
        roots=lower_roots(doubts),
        hidden=scores.hidden if scores.hidden.any() else None,
        min_group=sample.min_group,
    )


def _measure(construct: Construct, solution: LatentSolution, at: dict[str, Implied]) -> Measure:
    """The score from the construct's own items.

    Of a survey of units θ is what one respondent's answer does not share with the construct's other items.
    """
    lam, unique, mean = _own_measurement(construct, solution, at)
    within, least = None, 1e-12 * solution.sample.scale.min() ** 2
    if isinstance(solution.sample, LinkedSample):
        within, own = _of_respondents(construct, solution.sample)
        if own is not None:
            unique, least = unique + own, 0.0
    found = bartlett_measure(construct, (lam, unique, mean), least, within)
    return replace(found, errors=np.array([np.nan])) if within is not None and len(lam) == 1 else found


def _own_measurement(
    construct: Construct, solution: LatentSolution, at: dict[str, Implied]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Loadings, residual variances and means of a construct's own items (means over groups)."""
    sample, theta = solution.sample, solution.found.theta
    own = [sample.items.index(item) for item in construct.item_names]
    column = solution.model.names.index(construct.name)
    share = np.array([group.n / sample.n for group in sample.groups])
    lam = np.stack([filled(layout, theta, LOADINGS)[own, column] for layout in solution.layouts])
    residuals = np.stack([np.diag(filled(layout, theta, RESIDUALS))[own] for layout in solution.layouts])
    mean = _item_means(solution, at)
    return share @ lam, share @ residuals, np.zeros(len(own)) if mean is None else mean[own]


def _of_respondents(construct: Construct, sample: LinkedSample) -> tuple[FloatArray | None, FloatArray | None]:
    """(q, q) covariance within units of a construct's answers, and of each what it does not share with the others."""
    source = next((s for s in sample.sources if s.name == construct.source), None)
    if source is None:
        return None, None
    rows = [source.moments.items.index(item) for item in construct.item_names]
    at = np.ix_(rows, rows)
    within = source.within.covariance[at]
    if len(rows) == 1:
        return within, None
    both = ~np.eye(len(rows), dtype=bool)  # pairs that somebody answered
    if source.within.apart is not None and not source.within.apart[at][both].all():
        both &= ~source.within.apart[at]
    return within, np.maximum(np.diag(within) - float(within[both].mean()), 0.05 * np.diag(within))


def predicted_levels(solution: LatentSolution, sample: LinkedSample) -> tuple[UnitScores, FloatArray]:
    """Predict every construct in every unit from all that is known of the unit, in points of its first item.

    η̂_j = α + Cov(η, m) (Σ + N_j)⁻¹ (m_j - μ), with error variance Φ - Cov(η, m) (Σ + N_j)⁻¹ Cov(m, η): shrunken
    towards what the graph expects, the more the noisier the unit's means (Henderson 1975, doi 10.2307/2529430; Lawley &
    Maxwell 1971, Factor analysis as a statistical method, ch. 8).

    Answers to a construct that fewer people of a unit than `min_group` gave are left out of all predictions there, and
    so are those of the units that would give such a one away. Such a level is not predicted at all: even without the
    unit's own answers a prediction follows them, because the parameters do.

    Beside the predictions: (J, k, k) covariance of their errors, of a level that may not be shown the variance between
    units.
    """
    model, fitted = solution.model, (solution.layout, solution.found.theta)
    unit = _marker_units(model, *fitted)
    fewest, known = _respondents(model, sample)
    hidden = np.column_stack([suppressed(column, sample.min_group) for column in fewest.T])
    data = sample.data
    if hidden.any():
        seen = data.seen.copy()
        for k, construct in enumerate(model.constructs):
            for item in construct.item_names:
                seen[hidden[:, k], sample.items.index(item)] = False
        data = replace(data, seen=seen, mean=np.where(seen, data.mean, 0.0))
    values, doubts = _predicted(model, data, fitted, unit)
    values = _as_seen(model, sample, values, doubts)
    if hidden.any():
        spread = np.diag(implied(*fitted).latent) * unit**2
        apart = np.where(hidden[:, :, None] | hidden[:, None, :], 0.0, doubts)
        values, doubts = np.where(hidden, np.nan, values), apart + np.eye(len(unit)) * (hidden * spread)[:, None, :]
    errors = np.where(hidden, np.nan, np.sqrt(np.diagonal(doubts, axis1=1, axis2=2)))
    known &= ~hidden
    shown = UnitScores(sample.units, values, errors, fewest, known, hidden, sample.by, sample.min_group)
    return shown, doubts


def _predicted(
    model: RoxModel, data: NormalCells, fitted: tuple[Layout, FloatArray], unit: FloatArray
) -> tuple[FloatArray, FloatArray]:
    layout, theta = fitted
    at = implied(layout, theta)
    markers = [layout.items.index(construct.item_names[0]) for construct in model.constructs]
    centre = at.mu[markers] * layout.scale[markers]
    spread = at.spread * unit  # (p, k) covariance of items and constructs, in points of the first item
    latent = at.latent * np.outer(unit, unit)
    values, errors = [], []
    for block in data.blocks():
        inverse, _ = inverse_of(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        values.append(centre + (inverse @ rest[:, :, None])[:, :, 0] @ spread)
        left = latent - spread.T @ inverse @ spread
        unsure = np.diagonal(left, axis1=1, axis2=2) > 1e-10 * np.diag(latent)  # else it is observed without error
        errors.append(np.where(unsure[:, :, None] & unsure[:, None, :], left, 0.0))
    return np.concatenate(values), np.concatenate(errors)


def _as_seen(model: RoxModel, sample: LinkedSample, values: FloatArray, doubts: FloatArray) -> FloatArray:
    """The same, with a unit's own figure as it was written, to the last digit: a yes is 1, not 1 - 1e-15."""
    found = values.copy()
    for k, construct in enumerate(model.constructs):
        if construct.source != UNIT or len(construct.items) > 1:
            continue
        raw = sample.raw[:, sample.items.index(construct.item_names[0])]
        near = np.abs(values[:, k] - raw) <= 1e-9 * np.maximum(np.abs(raw), np.nanstd(raw))  # False where not seen
        found[:, k] = np.where(near & (doubts[:, k, k] == 0), raw, values[:, k])
    return found


def _respondents(model: RoxModel, sample: LinkedSample) -> tuple[FloatArray, BoolArray]:
    """(J, k) fewest respondents behind an answered item, and whether there is anything of the construct."""
    fewest = np.zeros((sample.n, len(model.names)))
    known = np.zeros((sample.n, len(model.names)), dtype=bool)
    sources = {source.name: source for source in sample.sources}
    for k, construct in enumerate(model.constructs):
        if construct.source == UNIT:
            own = [sample.items.index(item) for item in construct.item_names]
            fewest[:, k], known[:, k] = np.inf, ~np.isnan(sample.raw[:, own]).all(axis=1)
            continue
        source = sources[construct.source]
        people = people_behind(source.moments.select(construct.item_names))
        fewest[:, k] = np.where(source.rows >= 0, people[source.rows], 0.0)
        known[:, k] = fewest[:, k] > 0
    return fewest, known


def lower_roots(covariance: FloatArray) -> FloatArray:
    """Lower triangular R with R Rᵀ = covariance (n, k, k), for many small matrices that may be singular.

    >>> root = lower_roots(np.array([[[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]))
    >>> root[0].tolist()
    [[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    size = covariance.shape[-1]
    roots = np.zeros_like(covariance)
    for i in range(size):
        left = covariance[:, i:, i] - np.einsum("nab,nb->na", roots[:, i:, :i], roots[:, i, :i])
        sure = left[:, 0] <= 1e-10 * covariance[:, i, i]
        pivot = np.sqrt(np.where(sure, 1.0, left[:, 0]))
        roots[:, i:, i] = np.where(sure[:, None], 0.0, left / pivot[:, None])
    return roots
