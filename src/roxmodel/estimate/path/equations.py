"""All equations of method "path": where they stand, what is refused, their estimate, and replicates of it.

With rows: least squares with HC3 (or clustered, or classical) errors, generalised linear models where the outcome's
scale asks for one, then means and (co)variances, with one sandwich over all of them. A printed matrix is k + 1 rows
that have its mean and its covariance: the same coefficients in closed form, with classical errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.estimate.path.regression import (
    Task,
    check_task,
    computed,
    generalised,
    regress,
    solved,
    variance_inflation,
)
from roxmodel.estimate.path.scores import Scores
from roxmodel.records import LINEAR, Equation
from roxmodel.result.system import root_of
from roxmodel.spec.causal import loop_within
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["PathSolution", "check_recursive", "refit", "solve_path"]


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

    def complete(self, values: FloatArray) -> BoolArray:
        """(n,) rows with the effect and all its causes, those of fixed edges included."""
        used = [self.effect, *self.causes, *(cause for cause, _ in self.fixed)]
        return np.asarray(~np.isnan(values[:, used]).any(axis=1))

    def stated(self, values: FloatArray) -> FloatArray:
        """(n,) what the fixed edges bring."""
        found = np.zeros(len(values))
        for cause, value in self.fixed:
            found += value * values[:, cause]
        return found

    def task(self, scores: Scores, own: FloatArray, rows: IntArray | slice = slice(None)) -> Task:
        """The regression of these rows of the complete ones."""
        family, outcome, stated = scores.families[self.effect], own[rows, self.effect], self.stated(own)[rows]
        return Task(
            effect=scores.names[self.effect],
            causes=tuple(scores.names[c] for c in self.causes),
            y=outcome - stated if family == LINEAR else outcome,
            x=own[:, list(self.causes)][rows],
            offset=stated,
            clusters=None,
            family=family,
            robust=False,
        )


@dataclass(frozen=True, slots=True)
class PathSolution:
    """Estimates and their covariance.

    Attributes
    ----------
    theta, vcov
        (n_free,) and (n_free, n_free).
    given
        Values of the rows that the data give, by id.
    df
        (n_free,) degrees of freedom of t tests, infinite for the normal.
    partial_r2
        (n_free,) share of what the other causes leave that this edge explains, 0-1; NaN where it does not apply.
    equations
        One for each effect.
    warnings
        What a reader must know (inseparable causes, n that differs).
    """

    theta: FloatArray
    vcov: FloatArray
    given: dict[str, float]
    df: FloatArray
    partial_r2: FloatArray
    equations: tuple[Equation, ...]
    warnings: tuple[str, ...]


def check_recursive(model: RoxModel, table: ParameterTable) -> None:
    """Refuse what single regressions cannot estimate: feedback, confounded edges, equal labels, free lags.

    Raises
    ------
    EstimationError
        Naming the edge and the way out.
    """
    free_lagged = [f"{row.left} -> {row.right}" for row in table.of("edge") if row.lag and row.free]
    if free_lagged:
        raise EstimationError(
            f"The lagged edge {listed(free_lagged)} is free, but one wave cannot estimate a lag.",
            hint="Fix its value (rox.Edge(..., lag=1, fixed=0.1)): it then acts in the simulation only.",
        )
    _refuse_loop(model)
    _refuse_confounded(model, table)
    numbers = [row.free for row in table if row.free]
    shared = {row.label for row in table if row.free and numbers.count(row.free) > 1}
    if shared:
        raise EstimationError(
            f"The label {listed(sorted(shared))} stands on several parameters, but method='path' estimates each "
            "equation by itself and cannot hold them equal.",
            hint="Use different labels.",
        )


def _refuse_loop(model: RoxModel) -> None:
    around = loop_within(model.edges)
    if around is None:
        return
    raise EstimationError(
        f"The edges {around} are a feedback loop: regressions of one on the other are biased.",
        hint="method='path' needs a graph without loops; give one edge of the loop a lag and a fixed value.",
    )


def _refuse_confounded(model: RoxModel, table: ParameterTable) -> None:
    """Refuse a cause that carries what an unmeasured common cause adds to the effect; a fixed edge is not estimated."""
    free = {(row.left, row.right) for row in table.of("edge") if row.free and not row.lag}
    ancestors = {name: {name} for name in model.names}
    for name in model.order():
        for cause in model.causes(name):
            ancestors[name] |= ancestors[cause]
    for pair in model.covariances:
        for effect, other in ((pair.left, pair.right), (pair.right, pair.left)):
            if effect not in ancestors or effect == other or pair.fixed == 0:
                continue
            hit = [c for c in model.causes(effect) if (c, effect) in free and other in ancestors[c]]
            if hit:
                raise EstimationError(
                    f"The unmeasured common cause {pair} confounds the edge {hit[0]} -> {effect}: a regression of "
                    f"{effect!r} on {hit[0]!r} would be biased.",
                    hint="Measure the common cause and add it as a context construct.",
                )


def _spots_of(model: RoxModel, table: ParameterTable) -> tuple[Spot, ...]:
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


def _normal_theory(
    rows: Sequence[Parameter], places: Mapping[str, int], psi: FloatArray, shared: FloatArray
) -> FloatArray:
    """(r, r) covariance of means, variances and covariances of exogenous constructs and disturbances.

    cov(m_a, m_b) = ψ_ab s, cov(ψ_ab, ψ_cd) = (ψ_ac ψ_bd + ψ_ad ψ_bc) s, cov(m, ψ) = 0 (Anderson 2003, An introduction
    to multivariate statistical analysis, ch. 3); s `shared` (r, r): rows shared by two parameters over the product of
    their n, 1 / n for complete data.
    """
    a = np.array([places[row.left] for row in rows], dtype=np.int64)
    b = np.array([places[row.right] for row in rows], dtype=np.int64)
    second = np.array([row.kind != "intercept" for row in rows], dtype=bool)
    means = psi[np.ix_(a, a)]
    products = psi[np.ix_(a, a)] * psi[np.ix_(b, b)] + psi[np.ix_(a, b)] * psi[np.ix_(b, a)]
    both = np.outer(second, second)
    return np.where(both, products, np.where(np.outer(~second, ~second), means, 0.0)) * shared


def _rows_of(scores: Scores) -> tuple[FloatArray, FloatArray | None]:
    """(n, k) rows and, where they stand for a printed matrix, their constant: their sums are those of n people."""
    if scores.values is not None:
        return scores.values, None
    root = np.sqrt(float(scores.n))
    mean = np.zeros(len(scores.names)) if scores.mean is None else scores.mean
    one = np.zeros(len(mean) + 1)
    one[0] = root
    return root * np.vstack([mean, root_of(np.asarray(scores.covariance)).T]), one


def solve_path(model: RoxModel, table: ParameterTable, scores: Scores, robust: bool) -> PathSolution:
    """Estimate every equation.

    Errors are HC3 and sandwich ones where `robust` (or clustered, where there are clusters), else classical.

    Raises
    ------
    EstimationError
        Naming the equation that cannot be estimated, and why.
    """
    work = _Work.start(scores, table.n_free, robust or scores.clusters is not None)
    for spot in _spots_of(model, table):
        work.equation(spot)
    work.second_moments(model, table)
    if not work.robust:
        work.correlated_equations(model, table)
    return work.solution()


@dataclass(slots=True)
class _Work:
    """Collects theta, influences (robust) or blocks (classical), equation by equation."""

    scores: Scores
    values: FloatArray
    one: FloatArray | None
    robust: bool
    theta: FloatArray
    df: FloatArray
    partial_r2: FloatArray
    influence: FloatArray
    block: FloatArray
    deviations: FloatArray
    equations: list[Equation] = field(default_factory=list)
    leads: dict[str, tuple[list[int], FloatArray]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    given: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, scores: Scores, n_free: int, robust: bool) -> _Work:
        values, one = _rows_of(scores)
        return cls(
            scores=scores,
            values=values,
            one=one,
            robust=robust,
            theta=np.zeros(n_free),
            df=np.full(n_free, np.inf),
            partial_r2=np.full(n_free, np.nan),
            influence=np.zeros((len(values) if robust else 0, n_free)),
            block=np.zeros((n_free, n_free)),
            deviations=np.full(values.shape, np.nan),
        )

    def equation(self, spot: Spot) -> None:
        rows = spot.complete(self.values)
        clusters = None if self.scores.clusters is None else self.scores.clusters[rows]
        task = replace(
            spot.task(self.scores, self.values[rows]),
            clusters=None if clusters is None else np.unique(clusters, return_inverse=True)[1].astype(np.int64),
            robust=self.robust,
            one=self.one,
        )
        check_task(task, "units" if self.scores.level == "between" else "rows")
        found = regress(task)
        at, own = list(spot.theta), slice(len(found.coefficients) - len(spot.theta), None)  # no intercept: no means
        self.theta[at], self.df[at] = found.coefficients[own], found.df
        self.partial_r2[at[len(at) - len(task.causes) :]] = found.partial_r2
        if found.influence is None:
            self.block[np.ix_(at, at)] = found.covariance[own, own]
        else:
            self.influence[np.flatnonzero(rows)[:, None], np.array(at)] = found.influence
        self.deviations[rows, spot.effect] = found.residuals
        if found.lead is not None and not self.robust:
            lead = np.zeros((len(rows), len(at)))
            lead[rows] = found.lead[:, own]
            self.leads[task.effect] = (at, lead)
        self.equations.append(Equation(task.effect, found.family, task.n, found.df, found.dispersion))
        if self.one is None:
            self._warn_inseparable(task)

    def _warn_inseparable(self, task: Task) -> None:
        inflation = variance_inflation(task.x)
        worst = [f"{name} {vif:.1f}" for name, vif in zip(task.causes, inflation, strict=True) if vif > 10]
        if worst:
            self.warnings.append(
                f"Causes of {task.effect!r} are hard to tell apart (variance inflation {', '.join(worst)}): read "
                "their effects together, or merge them."
            )

    def second_moments(self, model: RoxModel, table: ParameterTable) -> None:
        """Means, variances and covariances of exogenous constructs and of disturbances."""
        place = {name: i for i, name in enumerate(model.names)}
        exogenous = [place[name] for name in model.exogenous_names]
        self.deviations[:, exogenous] = self._centred_exogenous(exogenous)
        means = [row for row in table.of("intercept") if row.left in model.exogenous_names]
        moments = [*table.of("variance"), *table.of("covariance")]
        rows = [row for row in (*means, *moments) if row.left in place and row.right in place]
        parts = [self._contributions(row, place) for row in rows]
        for row, part in zip(rows, parts, strict=True):
            self._put(row, part)
        free = [i for i, row in enumerate(rows) if row.free]
        if free and not self.robust:
            self._classical([rows[i] for i in free], [parts[i] for i in free], place)

    def _constant(self) -> FloatArray:
        return np.ones(len(self.values)) if self.one is None else self.one

    def _centred_exogenous(self, exogenous: list[int]) -> FloatArray:
        """Deviations of exogenous constructs, over the rows that have all of them (their covariance is then PSD)."""
        own, one = self.values[:, exogenous], self._constant()
        complete: BoolArray = np.asarray(~np.isnan(own).any(axis=1))
        if complete.sum() < 2:
            names = [self.scores.names[i] for i in exogenous]
            raise EstimationError(
                f"Only {int(complete.sum())} row(s) have all of {listed(names)}, which no construct causes.",
                hint="Collect them for the same units, or leave one out.",
            )
        mean = one[complete] @ own[complete] / (one[complete] ** 2).sum()
        return np.where(complete[:, None], own - np.outer(one, mean), np.nan)

    def _contributions(self, row: Parameter, place: Mapping[str, int]) -> FloatArray:
        """(n,) whose sum over n is the parameter; NaN in rows that do not count."""
        left, right = self.deviations[:, place[row.left]], self.deviations[:, place[row.right]]
        if row.kind == "intercept":
            return np.where(np.isnan(left), np.nan, self._constant() * self.values[:, place[row.left]])
        return np.asarray(left * right)

    def _put(self, row: Parameter, contributions: FloatArray) -> None:
        there = ~np.isnan(contributions)
        if not there.any():
            raise EstimationError(
                f"No row has both {row.left!r} and {row.right!r}, so their covariance cannot be estimated.",
                hint="Leave out the arrow <-> between them, or collect both for the same units.",
            )
        count = float((self._constant()[there] ** 2).sum())
        value = float(contributions[there].sum()) / count
        if not row.free:
            self.given[row.id] = value
            return
        self.theta[row.free - 1] = value
        if self.robust:
            self.influence[there, row.free - 1] = (contributions[there] - value) / count

    def _classical(self, rows: list[Parameter], parts: list[FloatArray], place: dict[str, int]) -> None:
        count = self._constant() ** 2
        there = np.array([~np.isnan(part) for part in parts], dtype=np.float64)
        own = there @ count
        known = ~np.isnan(self.deviations)
        filled = np.where(known, self.deviations, 0.0)
        both = np.maximum((known.T * count) @ known, 1.0)
        at = [row.free - 1 for row in rows]
        shared = (there * count) @ there.T / np.outer(own, own)
        self.block[np.ix_(at, at)] = _normal_theory(rows, place, filled.T @ filled / both, shared)

    def correlated_equations(self, model: RoxModel, table: ParameterTable) -> None:
        """Classical covariance of two equations whose disturbances may covary: s_ef · leadᵀ lead.

        References
        ----------
        Zellner (1962), doi 10.2307/2281644.
        """
        place = {name: i for i, name in enumerate(model.names)}
        spare = {equation.effect: equation.df / equation.n for equation in self.equations}
        count = self._constant() ** 2
        for row in table.of("covariance"):
            left, right = row.left, row.right
            if not (row.free or row.value) or left not in self.leads or right not in self.leads:
                continue  # a curved equation: its classical errors say nothing about the other
            products = self.deviations[:, place[left]] * self.deviations[:, place[right]]
            mean = float(np.nansum(products) / count[~np.isnan(products)].sum())
            shared = mean / float(np.sqrt(spare[left] * spare[right]))
            (at, own), (to, other) = self.leads[left], self.leads[right]
            cross = shared * (own.T @ other)
            self.block[np.ix_(at, to)], self.block[np.ix_(to, at)] = cross, cross.T

    def solution(self) -> PathSolution:
        pulled = self.influence
        if self.scores.clusters is not None:
            pulled = np.zeros((int(self.scores.clusters.max()) + 1, self.influence.shape[1]))
            np.add.at(pulled, self.scores.clusters, self.influence)
        counts = sorted({equation.n for equation in self.equations})
        if len(counts) > 1:
            self.warnings.append(
                f"Each equation uses the rows that are complete for it ({counts[0]} to {counts[-1]}); see column n."
            )
        return PathSolution(
            theta=self.theta,
            vcov=pulled.T @ pulled + self.block,
            given=self.given,
            df=self.df,
            partial_r2=self.partial_r2,
            equations=tuple(self.equations),
            warnings=tuple(self.warnings),
        )


# --- replicates of the bootstrap


def refit(model: RoxModel, table: ParameterTable, scores: Scores, weights: FloatArray) -> FloatArray:
    """Estimate all parameters for each set of row weights, all replicates of linear equations at once.

    `weights` (R, n) counts the rows; (R, n_free), a row of NaN where a replicate cannot be estimated.
    """
    values = scores.values
    if values is None:
        raise RoxError("A bootstrap needs rows; a printed matrix has none.", hint="Use se='standard'.")
    theta = np.full((len(weights), table.n_free), np.nan)
    residuals = np.zeros((len(weights), len(scores.names), scores.n))
    known = np.ones((len(scores.names), scores.n), dtype=bool)
    for spot in _spots_of(model, table):
        rows = spot.complete(values)
        known[spot.effect] = rows
        estimate = _all_at_once if scores.families[spot.effect] == LINEAR else _one_by_one
        coefficients, left = estimate(spot, scores, values[rows], weights[:, rows])
        theta[:, list(spot.theta)] = coefficients
        residuals[:, spot.effect, rows] = left
    return _with_moments(model, table, scores, weights, (theta, residuals, known))


def _all_at_once(spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares of one equation in all replicates; (R, 1 + p) and residuals (R, rows)."""
    task = spot.task(scores, values)
    frame, middle = computed(task.x), float(task.y.mean())
    n, k = frame.design.shape
    products = (frame.design[:, :, None] * frame.design[:, None, :]).reshape(n, k * k)
    inner = (weights @ products).reshape(-1, k, k)
    outer = weights @ (frame.design * (task.y - middle)[:, None])
    slopes = solved(inner, outer[:, :, None])[:, :, 0]
    residuals = (task.y - middle) - slopes @ frame.design.T
    coefficients = slopes @ frame.back.T
    coefficients[:, 0] += middle
    return coefficients, residuals


def _one_by_one(spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A curved equation, replicate by replicate, each row as often as it was drawn."""
    coefficients = np.full((len(weights), len(spot.causes) + 1), np.nan)
    residuals = np.full((len(weights), len(values)), np.nan)
    for place, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(values)), weight.astype(np.int64))
        task = spot.task(scores, values, drawn)
        try:
            check_task(task, "rows")
            found = generalised(task)
        except EstimationError:
            continue
        coefficients[place] = found.coefficients
        residuals[place] = 0.0
        residuals[place, drawn] = found.residuals
    return coefficients, residuals


def _with_moments(
    model: RoxModel,
    table: ParameterTable,
    scores: Scores,
    weights: FloatArray,
    found: tuple[FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    """Exogenous means and (co)variances and disturbance (co)variances, weighted."""
    theta, deviations, known = found
    place = {name: i for i, name in enumerate(model.names)}
    exogenous = [place[name] for name in model.exogenous_names]
    values = np.asarray(scores.values)
    complete = ~np.isnan(values[:, exogenous]).any(axis=1)
    known[exogenous] = complete
    for at in exogenous:
        own = np.where(complete, values[:, at], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (weights @ own) / (weights @ complete)
        deviations[:, at] = np.where(complete, own - mean[:, None], 0.0)
        for row in table.of("intercept"):
            if row.free and row.left == model.names[at]:
                theta[:, row.free - 1] = mean
    for row in (*table.of("variance"), *table.of("covariance")):
        if row.free and row.left in place and row.right in place:
            a, b = place[row.left], place[row.right]
            there = (known[a] & known[b]).astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                products = (weights * deviations[:, a] * deviations[:, b]) @ there
                theta[:, row.free - 1] = products / (weights @ there)
    return theta
