"""From a solution to a fit: every row of the table with its uncertainty, the population, the indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.defined import define
from roxmodel.estimate.path import Solution
from roxmodel.estimate.scores import Scores
from roxmodel.estimate.small_print import error_words, notes_of, verdicts_of
from roxmodel.records import LINEAR, Equation, Estimates, Measure, Population, Resampling
from roxmodel.result.fit import Fit
from roxmodel.result.indices import Discrepancy, fit_indices
from roxmodel.result.intervals import spread_of, wald
from roxmodel.result.levels import summary_of
from roxmodel.result.standardize import construct_sd, disturbances, standardized_values
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, StandardErrors

__all__ = ["tabulate"]


@dataclass(frozen=True, slots=True)
class _Sample:
    """Covariance (divisor n) of the scores, and what the table and it imply."""

    covariance: FloatArray
    psi: FloatArray
    families: tuple[str, ...]


def tabulate(
    model: RoxModel,
    table: ParameterTable,
    scores: Scores,
    solution: Solution,
    errors: tuple[StandardErrors, Resampling | None],
) -> Fit:
    """Make the fit.

    Parameters
    ----------
    model, table, scores, solution
        What was estimated, from what, with what result.
    errors
        Kind of standard errors, and the bootstrap.
    """
    se, resampling = errors
    vcov = solution.vcov if resampling is None else _covariance_of(resampling, solution)
    sample = _sample(model, table, scores, solution)
    people = _population(model, table, scores, solution, sample)
    indices, reason = _indices(model, table, scores, solution, sample)
    return Fit(
        model=model,
        method="path",
        level=scores.level,
        se=se,
        errors=error_words(se, scores, solution, resampling),
        table=table,
        estimates=_estimates(model, table, solution, (vcov, resampling), people.covariance),
        vcov=_frozen(vcov),
        equations=solution.equations,
        measures=tuple(_measure(model, name, scores.within[name]) for name in model.names),
        population=people,
        verdicts=verdicts_of(table, solution, sample.psi),
        notes=(*notes_of(model, table, scores, solution, resampling), *reason),
        index_values=indices,
        resampling=resampling,
    )


def _frozen(values: FloatArray) -> FloatArray:
    values = np.array(values, dtype=np.float64)
    values.setflags(write=False)
    return values


def _covariance_of(found: Resampling, solution: Solution) -> FloatArray:
    """(n_free, n_free) covariance of the replicates."""
    if solution.vcov.size == 0:
        return solution.vcov
    return np.atleast_2d(np.cov(found.replicates, rowvar=False))


def _values(table: ParameterTable, solution: Solution) -> FloatArray:
    """Value of every row: free, fixed, or given by the data; definitions come later."""
    found = np.full(len(table), np.nan)
    for i, row in enumerate(table):
        if row.free:
            found[i] = solution.theta[row.free - 1]
        elif row.value is not None:
            found[i] = row.value
        else:
            found[i] = solution.given.get(row.id, np.nan)
    return found


def _estimates(
    model: RoxModel,
    table: ParameterTable,
    solution: Solution,
    uncertainty: tuple[FloatArray, Resampling | None],
    covariance: FloatArray,
) -> Estimates:
    vcov, resampling = uncertainty
    free = np.array([row.free for row in table])
    at, places = free > 0, free[free > 0] - 1
    value, df, se, partial = _values(table, solution), *(np.full(len(table), np.nan) for _ in range(3))
    df[at], partial[at] = solution.df[places], solution.partial_r2[places]
    se[at] = np.sqrt(np.maximum(np.diag(vcov), 0.0))[places]
    low, high, p = wald(value, se, df)
    if resampling is not None:
        spread = spread_of(resampling.replicates)
        for column, found in ((se, spread.se), (low, spread.low), (high, spread.high), (p, spread.p)):
            column[at] = found[places]
    for i, one in define(model, table, solution, uncertainty).items():
        value[i], se[i], low[i], high[i], p[i], df[i] = one
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(se > 0, value / se, np.nan)
    sd = construct_sd(model, table, solution.theta, _families(model, solution.equations), covariance)
    standardized = standardized_values(model, table, value, sd)
    arrays = (value, se, statistic, p, low, high, standardized, df, partial)
    return Estimates(*(_frozen(array) for array in arrays))


def _families(model: RoxModel, equations: tuple[Equation, ...]) -> tuple[str, ...]:
    known = {equation.effect: equation.family for equation in equations}
    return tuple(known.get(name, LINEAR) for name in model.names)


def _sample(model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution) -> _Sample:
    if scores.values is None:
        covariance = np.asarray(scores.covariance)
    else:
        filled = np.where(np.isnan(scores.values), np.nanmean(scores.values, axis=0), scores.values)
        covariance = np.atleast_2d(np.cov(filled, rowvar=False, ddof=0))
    given = covariance.copy()
    place = {name: i for i, name in enumerate(model.names)}
    for row in table:
        if row.id in solution.given and row.kind != "intercept":
            a, b = place[row.left], place[row.right]
            given[a, b] = given[b, a] = solution.given[row.id]
    psi = disturbances(model, table, solution.theta[None, :], given)[0]
    return _Sample(covariance, psi, _families(model, solution.equations))


def _implied(model: RoxModel, table: ParameterTable, solution: Solution, sample: _Sample) -> FloatArray:
    system = system_of(model, table, solution.theta[None, :], sample.families)
    return np.asarray(implied_covariance(system.coefficients, sample.psi[None])[0])


def _population(
    model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution, sample: _Sample
) -> Population:
    """Whom the numbers speak of; their covariance is the model's where every equation is linear."""
    linear = all(family == LINEAR for family in sample.families)
    covariance = _frozen(_implied(model, table, solution, sample) if linear else sample.covariance)
    values = scores.values
    if values is None:
        mean = None if scores.mean is None else _frozen(scores.mean)
        return Population(scores.names, scores.n, None, None, None, mean, covariance, None, None)
    hidden = scores.hidden if scores.hidden is not None and scores.hidden.any() else None
    shown = values if hidden is None else np.where(hidden, np.nan, values)
    mean, low, high = summary_of(shown)
    return Population(
        names=scores.names,
        n=scores.n,
        n_units=scores.n if scores.level == "between" else None,
        units=scores.units,
        levels=_frozen(shown),
        mean=_frozen(np.where(np.isnan(mean), np.nanmean(values, axis=0), mean)),  # NaN: all hidden, so that of all
        covariance=covariance,
        low=_frozen(low),
        high=_frozen(high),
        hidden=hidden,
        min_group=scores.min_group,
    )


def _indices(
    model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution, sample: _Sample
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Fit indices where the regressions are the maximum-likelihood estimate, else why there are none."""
    counts = {"n": float(scores.n)} | ({"n_units": float(scores.n)} if scores.level == "between" else {})
    reason = _no_indices(model, table, scores, sample)
    if reason:
        return counts, (f"No fit indices: {reason}.",)
    given = {row.left for row in table.of("variance") if row.given}
    places = tuple(i for i, name in enumerate(model.names) if name in given)
    means = [row for row in table.of("intercept") if row.free]
    implied = _implied(model, table, solution, sample)
    found = Discrepancy(sample.covariance, implied, scores.n, table.n_free, len(means), places)
    return fit_indices(found) | counts, ()


def _no_indices(model: RoxModel, table: ParameterTable, scores: Scores, sample: _Sample) -> str:
    if any(family != LINEAR for family in sample.families):
        return "an equation is curved"
    if scores.values is not None and np.isnan(scores.values).any():
        return "some scores are missing, and each equation uses its own rows"
    pairs = table.of("covariance")
    if any((row.free or row.value) and (model.causes(row.left) or model.causes(row.right)) for row in pairs):
        return "with correlated disturbances the regressions are not the maximum-likelihood estimate"
    moments = [row for row in (*table.of("variance"), *pairs) if not (row.free or row.given)]
    if any(not model.causes(row.left) for row in moments):
        return "a variance or covariance of constructs without causes is fixed"
    spread = np.sqrt(np.diag(sample.covariance))
    if scores.n <= len(spread) or np.linalg.eigvalsh(sample.covariance / np.outer(spread, spread))[0] <= 1e-12:
        return "the covariance matrix of the scores is singular"
    return ""


def _measure(model: RoxModel, name: str, within: FloatArray) -> Measure:
    construct = model.find(name)
    p = len(construct.items)
    readings = [item.reading for item in construct.items]
    return Measure(
        name=name,
        factor=construct.factor,
        source=construct.source,
        items=construct.item_names,
        weights=_frozen(np.full(p, 1.0 / p)),
        signs=_frozen(np.array([sign for sign, _ in readings])),
        offsets=_frozen(np.array([offset for _, offset in readings])),
        lows=tuple(item.ends[0] for item in construct.items),
        highs=tuple(item.ends[1] for item in construct.items),
        codes=tuple({} if item.scale is None else dict(item.scale.codes) for item in construct.items),
        within=_frozen(within),
    )
