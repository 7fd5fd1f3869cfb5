"""From a solution to a fit: every row of the table with its uncertainty, the small print, the verdicts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from roxmodel.estimate.bootstrap import covariance_of, replicate_errors
from roxmodel.estimate.path import Solution
from roxmodel.estimate.scores import Scores
from roxmodel.result.fit import Fit
from roxmodel.result.indices import Discrepancy, fit_indices
from roxmodel.result.records import LINEAR, Equation, Estimates, Measure, Population, Resampling, Verdict
from roxmodel.result.standardize import construct_sd, disturbances, standardized_values
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.definitions import evaluate
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, StandardErrors

__all__ = ["tabulate"]


def tabulate(
    model: RoxModel,
    table: ParameterTable,
    scores: Scores,
    solution: Solution,
    errors: tuple[StandardErrors, Resampling | None],
    within: Mapping[str, FloatArray],
) -> Fit:
    """Make the fit.

    Parameters
    ----------
    model, table, scores, solution
        What was estimated, from what, with what result.
    errors
        Kind of standard errors, and the bootstrap.
    within
        Source -> within-unit covariance of its items in the order of the model.
    """
    se, resampling = errors
    vcov = solution.vcov if resampling is None else covariance_of(resampling, solution)
    people = _population(model, table, scores, solution)
    indices, reason = _indices(model, table, scores, solution)
    return Fit(
        model=model,
        method="path",
        level=scores.level,
        se=se,
        errors=_error_words(se, scores, resampling),
        table=table,
        estimates=_estimates(model, table, solution, (vcov, resampling), people.covariance),
        vcov=_frozen(vcov),
        equations=solution.equations,
        measures=tuple(_measure(model, name, within) for name in model.names),
        population=people,
        verdicts=_verdicts(table, solution),
        notes=(*_notes(model, scores, solution, resampling), *reason),
        index_values=indices,
        resampling=resampling,
    )


def _frozen(values: FloatArray) -> FloatArray:
    values = np.array(values, dtype=np.float64)
    values.setflags(write=False)
    return values


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
    value, df = _values(table, solution), np.full(len(table), np.nan)
    se, low, high = (np.full(len(table), np.nan) for _ in range(3))
    at = free > 0
    places = free[at] - 1
    df[at] = solution.df[places]
    se[at] = np.sqrt(np.diag(vcov))[places]
    quantile = np.where(np.isinf(df), norm.ppf(0.975), student.ppf(0.975, np.where(np.isfinite(df), df, 1.0)))
    low, high = value - quantile * se, value + quantile * se
    if resampling is not None:
        ends = replicate_errors(resampling)
        se[at], low[at], high[at] = (end[places] for end in ends)
    _define(model, table, solution, (vcov, resampling), (value, se, low, high, df))
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(se > 0, value / se, np.nan)
    finite = np.where(np.isfinite(df), df, 1.0)
    p = 2 * np.where(np.isinf(df), norm.sf(np.abs(statistic)), student.sf(np.abs(statistic), finite))
    families = _families(model, solution.equations)
    sd = construct_sd(model, table, solution.theta, families, covariance)
    standardized = standardized_values(model, table, value, sd)
    arrays = (value, se, statistic, p, low, high, standardized, df)
    return Estimates(*(_frozen(array) for array in arrays))


def _define(
    model: RoxModel,
    table: ParameterTable,
    solution: Solution,
    uncertainty: tuple[FloatArray, Resampling | None],
    columns: tuple[FloatArray, ...],
) -> None:
    """Fill the rows of defined parameters: delta method by central differences, or percentiles."""
    if not model.definitions:
        return
    vcov, resampling = uncertainty
    value, se, low, high, df = columns
    fixed = {row.label: row.value or 0.0 for row in table if row.label and not row.free}
    free = {row.label: row.free - 1 for row in table if row.label and row.free}

    def at(theta: FloatArray) -> dict[str, FloatArray]:
        labels = {label: theta[:, place] for label, place in free.items()}
        return evaluate(model.definitions, labels | {k: np.full(len(theta), v) for k, v in fixed.items()})

    step = 1e-5 * np.maximum(np.sqrt(np.diag(vcov)), 1e-8)
    moved = np.vstack([solution.theta + np.diag(step), solution.theta - np.diag(step)])
    point, around = at(solution.theta[None, :]), at(moved)
    for i, row in enumerate(table):
        if row.kind != "defined":
            continue
        upper, lower = np.split(np.broadcast_to(around[row.left], len(moved)), 2)
        gradient = (upper - lower) / (2 * step)
        value[i], df[i] = float(np.ravel(point[row.left])[0]), np.inf
        se[i] = float(np.sqrt(gradient @ vcov @ gradient))
        low[i], high[i] = value[i] - norm.ppf(0.975) * se[i], value[i] + norm.ppf(0.975) * se[i]
        if resampling is not None:
            draws = at(resampling.replicates)[row.left]
            se[i] = draws.std(ddof=1)
            low[i], high[i] = np.quantile(draws, [0.025, 0.975])


def _families(model: RoxModel, equations: tuple[Equation, ...]) -> tuple[str, ...]:
    known = {equation.effect: equation.family for equation in equations}
    return tuple(known.get(name, LINEAR) for name in model.names)


def _population(model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution) -> Population:
    families = _families(model, solution.equations)
    values = scores.values
    theta = solution.theta[None, :]
    between = scores.level == "between"
    if values is None:
        assert scores.covariance is not None  # noqa: S101 - one of the two is there
        return Population(
            scores.names, scores.n, None, None, None, scores.mean, _frozen(scores.covariance), None, None
        )
    sample = _available_covariance(values)
    psi = disturbances(model, table, theta, sample)
    system = system_of(model, table, theta, families)
    covariance = implied_covariance(system.coefficients, psi)[0] if system.linear else sample
    return Population(
        names=scores.names,
        n=scores.n,
        n_units=scores.n if between else None,
        units=scores.units,
        levels=_frozen(values),
        mean=_frozen(np.nanmean(values, axis=0)),
        covariance=_frozen(covariance),
        low=_frozen(np.nanmin(values, axis=0)),
        high=_frozen(np.nanmax(values, axis=0)),
    )


def _available_covariance(values: FloatArray) -> FloatArray:
    """(k, k) covariance with divisor n, holes at the mean."""
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    return np.atleast_2d(np.cov(filled, rowvar=False, ddof=0))


def _indices(
    model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Fit indices where the regressions are the maximum-likelihood estimate, else why there are none."""
    empty = {"n": float(scores.n)} | ({"n_units": float(scores.n)} if scores.level == "between" else {})
    if any(equation.family != LINEAR for equation in solution.equations):
        return empty, ("No fit indices: an equation is curved.",)
    if scores.values is not None and np.isnan(scores.values).any():
        return empty, ("No fit indices: some scores are missing, and each equation uses its own rows.",)
    if any(pair.left != pair.right for pair in model.covariances):
        return empty, ("No fit indices: with unmeasured common causes the regressions are not the ML estimate.",)
    sample = scores.covariance if scores.values is None else _available_covariance(scores.values)
    assert sample is not None  # noqa: S101 - one of the two is there
    theta = solution.theta[None, :]
    system = system_of(model, table, theta, _families(model, solution.equations))
    implied = implied_covariance(system.coefficients, disturbances(model, table, theta, sample))[0]
    if np.linalg.eigvalsh(sample)[0] <= 0 or scores.n <= len(sample):
        return empty, ("No fit indices: the covariance matrix of the scores is singular.",)
    given = {row.left for row in table.of("variance") if row.note == "given by the data"}
    places = tuple(i for i, name in enumerate(model.names) if name in given)
    means = [row for row in table.of("intercept") if row.free and row.left not in given]
    free = table.n_free - sum(1 for row in table.of("intercept") if row.free and row.left in given)
    found = Discrepancy(sample, implied, scores.n, free, len(means), places)
    return fit_indices(found) | empty, ()


def _error_words(se: StandardErrors, scores: Scores, resampling: Resampling | None) -> str:
    if resampling is not None:
        whom = scores.cluster_name or ("unit" if scores.level == "between" else "row")
        failed = f", {resampling.failed} failed and left out" if resampling.failed else ""
        return f"bootstrap by {whom}, {len(resampling.replicates)} replicates{failed}, percentile intervals"
    if scores.clusters is not None:
        return f"clustered by {scores.cluster_name} ({int(scores.clusters.max()) + 1} clusters)"
    if se == "standard":
        return "classical"
    return "heteroscedasticity-consistent (HC3)"


def _notes(
    model: RoxModel, scores: Scores, solution: Solution, resampling: Resampling | None
) -> tuple[str, ...]:
    notes = [
        "Causal reading assumes that the arrows point the right way and that no unmeasured cause acts on both ends "
        "of an edge, beyond the context constructs in the graph; robustness_value says how strong one would have to be.",
        *scores.notes,
        *solution.warnings,
    ]
    assumed = [f"{edge} = {edge.fixed:g}" for edge in model.edges if edge.fixed is not None]
    if assumed:
        notes.append(f"Assumed, not estimated: {', '.join(assumed)}.")
    curved = [f"{e.effect} ({e.family})" for e in solution.equations if e.family != LINEAR]
    if curved:
        notes.append(
            f"Curved equations: {', '.join(curved)}. Their edges are on the scale of the predictor; effects() gives "
            "average changes on the response scale."
        )
    notes += _sign_notes(model, solution, scores)
    clusters = 0 if scores.clusters is None else int(scores.clusters.max()) + 1
    if 0 < clusters < 30:
        notes.append(f"Only {clusters} clusters: clustered errors are too small with so few; prefer the bootstrap.")
    if scores.level == "between" and scores.n < 30:
        notes.append(f"Only {scores.n} units: intervals are wide and rest on few units.")
    if resampling is not None and resampling.failed:
        notes.append(f"{resampling.failed} bootstrap replicates could not be estimated and are left out.")
    return tuple(notes)


def _sign_notes(model: RoxModel, solution: Solution, scores: Scores) -> list[str]:
    system = system_of(model, _composite_table(model, scores), solution.theta[None, :], ("linear",) * len(model.names))
    place = {name: i for i, name in enumerate(model.names)}
    notes = []
    for edge in model.edges:
        if edge.expected is None or edge.lag or edge.fixed is not None:
            continue
        value = system.coefficients[0, place[edge.effect], place[edge.cause]]
        if (value > 0) != (edge.expected == "positive"):
            notes.append(f"{edge} was expected {edge.expected} but is {value:.3g}: check the items' direction.")
    return notes


def _composite_table(model: RoxModel, scores: Scores) -> ParameterTable:
    from roxmodel.spec.parameters import plan

    return plan(model, "composite", means=scores.values is not None or scores.mean is not None)


def _verdicts(table: ParameterTable, solution: Solution) -> dict[str, Verdict]:
    negative = [row.left for row in table.of("variance") if row.free and solution.theta[row.free - 1] <= 0]
    admissible = (
        Verdict(False, f"the residual variance of {negative[0]!r} is not positive")
        if negative
        else Verdict(True, "every residual variance is positive")
    )
    return {
        "converged": Verdict(True, "least squares has a closed form, and every iteration ended"),
        "identified": Verdict(True, "the graph has no loop, and no declared common cause confounds an edge"),
        "admissible": admissible,
    }


def _measure(model: RoxModel, name: str, within: Mapping[str, FloatArray]) -> Measure:
    construct = model.find(name)
    p = len(construct.items)
    readings = [item.reading for item in construct.items]
    own = np.full((p, p), np.nan)
    if construct.source in within:
        items = [item for c in model.constructs if c.source == construct.source for item in c.item_names]
        at = [items.index(item) for item in construct.item_names]
        own = within[construct.source][np.ix_(at, at)]
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
        within=_frozen(own),
    )
