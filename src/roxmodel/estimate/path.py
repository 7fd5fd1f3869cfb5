"""Method "path": composites, one regression for each effect. The transparent baseline.

With rows: least squares with HC3 (or clustered, or classical) errors, generalised linear models where the
outcome's scale asks for one. From moments: the same coefficients in closed form, with classical errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.regression import Regression, Task, check_task, regress, variance_inflation
from roxmodel.estimate.scores import Scores
from roxmodel.result.records import Equation
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Solution", "Spot", "check_recursive", "solve_moments", "solve_rows", "spots_of"]


@dataclass(frozen=True, slots=True)
class Spot:
    """One equation's places: in the constructs and in theta.

    Attributes
    ----------
    effect
        Place of the effect.
    causes
        Places of the causes whose edges are free.
    fixed
        (place, value) of the causes whose edges are fixed.
    theta
        Places in theta of the intercept (if there are means) and of the free edges.
    """

    effect: int
    causes: tuple[int, ...]
    fixed: tuple[tuple[int, float], ...]
    theta: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Estimates and their covariance.

    Attributes
    ----------
    theta
        (n_free,).
    given
        Values of the rows that the data give, by id.
    vcov
        (n_free, n_free).
    df
        (n_free,) degrees of freedom of t tests, infinite for the normal.
    equations
        One for each effect.
    warnings
        What a reader must know (inseparable causes, n that differs).
    """

    theta: FloatArray
    given: dict[str, float]
    vcov: FloatArray
    df: FloatArray
    equations: tuple[Equation, ...]
    warnings: tuple[str, ...]


def check_recursive(model: RoxModel, table: ParameterTable) -> None:
    """Refuse what single regressions cannot estimate: feedback, confounded edges, equal labels, free lags.

    Raises
    ------
    EstimationError
        Naming the edge and the way out.
    """
    free_lagged = [str(edge) for edge in model.edges if edge.lag and edge.fixed is None]
    if free_lagged:
        raise EstimationError(
            f"The lagged edge {listed(free_lagged)} is free, but one wave cannot estimate a lag.",
            hint="Fix its value (rox.Edge(..., lag=1, fixed=0.1)): it then acts in the simulation only.",
        )
    order = model.order()
    rank = {name: i for i, name in enumerate(order)}
    for edge in model.edges:
        if edge.lag == 0 and rank[edge.cause] >= rank[edge.effect]:
            raise EstimationError(
                f"The edge {edge} is part of a feedback loop: regressions of one on the other are biased.",
                hint="method='path' needs a graph without loops; give one edge of the loop a lag and a fixed value.",
            )
    _refuse_confounded(model)
    numbers = [row.free for row in table if row.free]
    shared = {row.label for row in table if row.free and numbers.count(row.free) > 1}
    if shared:
        raise EstimationError(
            f"The label {listed(sorted(shared))} stands on several parameters, but method='path' estimates each "
            "equation by itself and cannot hold them equal.",
            hint="Use different labels.",
        )


def _refuse_confounded(model: RoxModel) -> None:
    ancestors = {name: {name} for name in model.names}
    for name in model.order():
        for cause in model.causes(name):
            ancestors[name] |= ancestors[cause]
    for pair in model.covariances:
        for effect, other in ((pair.left, pair.right), (pair.right, pair.left)):
            if effect not in ancestors or effect == other or pair.fixed == 0:
                continue
            hit = [cause for cause in model.causes(effect) if other in ancestors[cause]]
            if hit:
                raise EstimationError(
                    f"The unmeasured common cause {pair} confounds the edge {hit[0]} -> {effect}: a regression of "
                    f"{effect!r} on {hit[0]!r} would be biased.",
                    hint="Measure the common cause and add it as a context construct.",
                )


def spots_of(model: RoxModel, table: ParameterTable) -> tuple[Spot, ...]:
    """Where each equation stands."""
    place = {name: i for i, name in enumerate(model.names)}
    intercepts = {row.left: row.free - 1 for row in table.of("intercept") if row.free}
    spots = []
    for effect in model.endogenous:
        edges = [row for row in table.of("edge") if row.right == effect and not row.lag]
        own = [row for row in edges if row.free]
        head = (intercepts[effect],) if effect in intercepts else ()
        spots.append(
            Spot(
                effect=place[effect],
                causes=tuple(place[row.left] for row in own),
                fixed=tuple((place[row.left], float(row.value or 0.0)) for row in edges if not row.free),
                theta=(*head, *(row.free - 1 for row in own)),
            )
        )
    return tuple(spots)


def solve_rows(model: RoxModel, table: ParameterTable, scores: Scores, robust: bool) -> Solution:
    """Estimate every equation from rows.

    Parameters
    ----------
    model, table
        What is estimated.
    scores
        With values.
    robust
        HC3 and sandwich errors (True) or classical ones.
    """
    values = scores.values
    assert values is not None  # noqa: S101 - the caller's branch
    work = _Work(scores, table.n_free, robust)
    for spot in spots_of(model, table):
        work.equation(spot, values)
    work.second_moments(model, table, values)
    return work.solution()


class _Work:
    """Collects theta, influences and classical blocks, equation by equation."""

    def __init__(self, scores: Scores, n_free: int, robust: bool) -> None:
        self.scores = scores
        self.robust = robust or scores.clusters is not None
        self.theta = np.zeros(n_free)
        self.df = np.full(n_free, np.inf)
        self.influence = np.zeros((scores.n, n_free))
        self.block = np.zeros((n_free, n_free))
        self.equations: list[Equation] = []
        self.warnings: list[str] = []
        self.given: dict[str, float] = {}
        self.residuals = np.full((scores.n, len(scores.names)), np.nan)

    def equation(self, spot: Spot, values: FloatArray) -> None:
        names, rows = self.scores.names, self._complete(values, spot)
        fixed = np.zeros(int(rows.sum()))
        for cause, value in spot.fixed:
            fixed += value * values[rows, cause]
        family = self.scores.families[spot.effect]
        outcome = values[rows, spot.effect]
        task = Task(
            effect=names[spot.effect],
            causes=tuple(names[c] for c in spot.causes),
            y=outcome - fixed if family == "linear" else outcome,
            x=values[rows][:, list(spot.causes)],
            offset=fixed,
            clusters=None if self.scores.clusters is None else _recoded(self.scores.clusters[rows]),
            family=family,
            robust=self.robust,
        )
        check_task(task, "units" if self.scores.level == "between" else "rows")
        found = regress(task)
        at = list(spot.theta)
        self.theta[at], self.df[at] = found.coefficients, found.df
        self._spread(at, rows, found)
        self.residuals[rows, spot.effect] = found.residuals
        self.equations.append(Equation(task.effect, found.family, int(rows.sum()), found.df, found.dispersion))
        self._warn_inseparable(task)

    def _complete(self, values: FloatArray, spot: Spot) -> BoolArray:
        used = [spot.effect, *spot.causes, *(cause for cause, _ in spot.fixed)]
        return np.asarray(~np.isnan(values[:, used]).any(axis=1))

    def _spread(self, at: list[int], rows: BoolArray, found: Regression) -> None:
        if found.influence is None:
            places = np.array(at)
            self.block[places[:, None], places] = found.covariance
        else:
            self.influence[np.flatnonzero(rows)[:, None], np.array(at)] = found.influence

    def _warn_inseparable(self, task: Task) -> None:
        inflation = variance_inflation(task.x)
        worst = [f"{name} {vif:.1f}" for name, vif in zip(task.causes, inflation, strict=True) if vif > 10]
        if worst:
            self.warnings.append(
                f"Causes of {task.effect!r} are hard to tell apart (variance inflation {', '.join(worst)}): read "
                "their effects together, or merge them."
            )

    def second_moments(self, model: RoxModel, table: ParameterTable, values: FloatArray) -> None:
        """Means, variances and covariances of exogenous constructs and of disturbances."""
        place = {name: i for i, name in enumerate(model.names)}
        exogenous = [place[name] for name in model.exogenous_names]
        centred = self._centred_exogenous(values, exogenous)
        deviations = self.residuals.copy()
        deviations[:, exogenous] = centred
        means = {row.left: row for row in table.of("intercept")}
        for name in model.exogenous_names:
            if name in means and means[name].free:
                self._moment(means[name], values[:, place[name]], centred[:, exogenous.index(place[name])])
        for row in (*table.of("variance"), *table.of("covariance")):
            if row.left in place and row.right in place:
                product = deviations[:, place[row.left]] * deviations[:, place[row.right]]
                self._moment(row, product, product - _mean(product))

    def _centred_exogenous(self, values: FloatArray, exogenous: list[int]) -> FloatArray:
        """Deviations of exogenous constructs, over the rows that have all of them (their covariance is then PSD)."""
        own = values[:, exogenous]
        complete: BoolArray = np.asarray(~np.isnan(own).any(axis=1))
        if complete.sum() < 2:
            names = [self.scores.names[i] for i in exogenous]
            raise EstimationError(
                f"Only {int(complete.sum())} row(s) have all of {listed(names)}, which no construct causes.",
                hint="Collect them for the same units, or leave one out.",
            )
        own = np.where(complete[:, None], own, np.nan)
        return np.asarray(own - own[complete].mean(axis=0))

    def _moment(self, row: Parameter, contributions: FloatArray, deviations: FloatArray) -> None:
        """A parameter that is a mean of row contributions."""
        there = ~np.isnan(deviations)
        if not there.any():
            raise EstimationError(
                f"No row has both {row.left!r} and {row.right!r}, so their covariance cannot be estimated."
            )
        value = float(contributions[there].mean())
        if not row.free:
            self.given[row.id] = value
            return
        self.theta[row.free - 1] = value
        pull = np.where(there, deviations, 0.0) / there.sum()
        if self.robust:
            self.influence[:, row.free - 1] = pull
        else:
            self.block[row.free - 1, row.free - 1] = float((pull**2).sum())

    def solution(self) -> Solution:
        pulled = self.influence
        if self.scores.clusters is not None:
            pulled = np.zeros((int(self.scores.clusters.max()) + 1, self.influence.shape[1]))
            np.add.at(pulled, self.scores.clusters, self.influence)
        vcov = pulled.T @ pulled + self.block
        counts = sorted({equation.n for equation in self.equations})
        if len(counts) > 1:
            self.warnings.append(
                f"Each equation uses the rows that are complete for it ({counts[0]} to {counts[-1]}); see column n."
            )
        return Solution(
            self.theta, self.given, vcov, self.df, tuple(self.equations), tuple(self.warnings)
        )


def _mean(values: FloatArray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else 0.0


def _recoded(clusters: IntArray) -> IntArray:
    return np.asarray(np.unique(clusters, return_inverse=True)[1], dtype=np.int64)


def solve_moments(model: RoxModel, table: ParameterTable, scores: Scores) -> Solution:
    """Estimate every equation from mean and covariance, in closed form, with classical errors.

    Coefficients S_xx⁻¹ s_xy; their covariance s² S_xx⁻¹ / n with s² = n σ² / (n - p - 1), σ² the residual variance
    with divisor n; variances and covariances by normal theory.
    """
    covariance = scores.covariance
    assert covariance is not None  # noqa: S101 - the caller's branch
    n, k = scores.n, table.n_free
    theta, df, vcov = np.zeros(k), np.full(k, np.inf), np.zeros((k, k))
    remainder = np.eye(len(covariance))
    equations = []
    for spot in spots_of(model, table):
        found = _closed_form(spot, scores, covariance)
        at = list(spot.theta)
        theta[at], df[at], vcov[np.ix_(at, at)] = found.coefficients, found.df, found.covariance
        slopes = found.coefficients[len(at) - len(spot.causes) :]
        for cause, value in (*zip(spot.causes, slopes, strict=True), *spot.fixed):
            remainder[spot.effect, cause] -= value
        equations.append(Equation(scores.names[spot.effect], "linear", n, found.df))
    disturbance = remainder @ covariance @ remainder.T
    given = _second_moments(model, table, (theta, vcov), (disturbance, scores))
    return Solution(theta, given, vcov, df, tuple(equations), ())


def _closed_form(spot: Spot, scores: Scores, covariance: FloatArray) -> Regression:
    causes, n = list(spot.causes), scores.n
    names = [scores.names[c] for c in causes]
    effect = scores.names[spot.effect]
    if n <= len(causes) + 2:
        raise EstimationError(
            f"The equation of {effect!r} has {len(causes)} cause(s), an intercept and a residual variance, but n = {n}."
        )
    weights = np.zeros(len(scores.names))
    weights[spot.effect] = 1.0
    for cause, value in spot.fixed:
        weights[cause] -= value
    inner = covariance[np.ix_(causes, causes)]
    scale = np.sqrt(np.diag(inner))
    if len(causes) and np.linalg.eigvalsh(inner / np.outer(scale, scale))[0] < 1e-10:
        raise EstimationError(f"The causes {listed(names)} of {effect!r} cannot be told apart.", hint="Leave one out.")
    slopes: FloatArray = np.asarray(np.linalg.solve(inner, covariance[causes] @ weights))
    residual = float(weights @ covariance @ weights - slopes @ covariance[causes] @ weights)
    df = n - len(causes) - 1
    spread = n * residual / df * np.linalg.inv(inner) / n
    if len(spot.theta) > len(causes):
        mean = np.zeros(len(scores.names)) if scores.mean is None else scores.mean
        head = float(weights @ mean - slopes @ mean[causes])
        slopes = np.concatenate([[head], slopes])
        cross = -spread @ mean[causes]
        corner = n * residual / df / n - float(mean[causes] @ cross)
        spread = np.asarray(np.block([[np.array([[corner]]), cross[None, :]], [cross[:, None], spread]]))
    return Regression(slopes, spread, None, np.zeros(0), float(df), "linear", float("nan"))


def _second_moments(
    model: RoxModel,
    table: ParameterTable,
    filled: tuple[FloatArray, FloatArray],
    known: tuple[FloatArray, Scores],
) -> dict[str, float]:
    """Fill exogenous means and (co)variances and disturbance variances; return what the data give."""
    (theta, vcov), (disturbance, scores) = filled, known
    place = {name: i for i, name in enumerate(model.names)}
    given: dict[str, float] = {}
    for row in table:
        if row.left not in place or row.right not in place:
            continue
        a, b = place[row.left], place[row.right]
        if row.kind == "intercept" and not model.causes(row.left) and row.free and scores.mean is not None:
            theta[row.free - 1] = scores.mean[a]
            vcov[row.free - 1, row.free - 1] = disturbance[a, a] / scores.n
        elif row.kind in {"variance", "covariance"}:
            value, spread = disturbance[a, b], disturbance[a, a] * disturbance[b, b] + disturbance[a, b] ** 2
            if row.free:
                theta[row.free - 1], vcov[row.free - 1, row.free - 1] = value, spread / scores.n
            else:
                given[row.id] = float(value)
    return given
