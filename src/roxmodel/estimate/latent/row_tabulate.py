"""From a latent solution to a fit: every row of the table with its uncertainty, the population, the small print."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.defined import define
from roxmodel.estimate.latent.row_options import Options
from roxmodel.estimate.latent.row_sample import GroupSample
from roxmodel.estimate.latent.row_small_print import error_words, notes_of, verdicts_of
from roxmodel.estimate.latent.row_solve import LatentSolution
from roxmodel.estimate.path import Solution
from roxmodel.implied.layout import LOADINGS, RESIDUALS, Layout, residual_of
from roxmodel.implied.matrices import Implied, filled, implied
from roxmodel.result.fit import Fit
from roxmodel.result.intervals import spread_of, wald
from roxmodel.result.records import LINEAR, Equation, Estimates, GroupMoments, Measure, Population
from roxmodel.spec.definitions import evaluate
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import GIVEN, Parameter
from roxmodel.types import FloatArray

__all__ = ["fit_of"]


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
    if solution.sample.mean is not None or not any(row.note == GIVEN for row in solution.table.of("intercept")):
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
