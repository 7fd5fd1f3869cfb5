"""Method "path": composites, one regression for each effect. The transparent baseline.

With rows: least squares with HC3 (or clustered, or classical) errors, generalised linear models where the
outcome's scale asks for one (`roxmodel.estimate.path.equations`). From moments: the same coefficients in closed form, with
classical errors (`roxmodel.estimate.path.equations`). This module holds what both share.

Method "path" from rows: every equation, then means and (co)variances, with one sandwich over all of them.

Method "path" from mean and covariance alone: the same coefficients as from rows, with classical errors.

The bootstrap of the path method: every replicate refitted, all replicates of linear equations at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import networkx as nx
import numpy as np

from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.estimate.path.regression import (
    Regression,
    Task,
    check_task,
    frame_of,
    generalised,
    regress,
    variance_inflation,
)
from roxmodel.estimate.path.scores import Scores
from roxmodel.result.draws import replicate_block
from roxmodel.result.records import LINEAR, Equation, Resampling
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Solution",
    "Spot",
    "check_recursive",
    "complete_rows",
    "correlated_pairs",
    "normal_theory",
    "refit",
    "resample",
    "solve_moments",
    "solve_rows",
    "spots_of",
]


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
    partial_r2
        (n_free,) share of what the other causes leave that this edge explains, 0-1; NaN where it does not apply.
    equations
        One for each effect.
    warnings
        What a reader must know (inseparable causes, n that differs).
    """

    theta: FloatArray
    given: dict[str, float]
    vcov: FloatArray
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
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((edge.cause, edge.effect) for edge in model.edges if edge.lag == 0)
    try:
        loop = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    around = " -> ".join([*(edge[0] for edge in loop), loop[0][0]])
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


def correlated_pairs(model: RoxModel, table: ParameterTable) -> tuple[tuple[str, str], ...]:
    """Pairs of effects whose disturbances the model lets covary."""
    return tuple(
        (row.left, row.right)
        for row in table.of("covariance")
        if (row.free or row.value) and model.causes(row.left) and model.causes(row.right)
    )


def normal_theory(
    rows: tuple[Parameter, ...], places: dict[str, int], psi: FloatArray, shared: FloatArray
) -> FloatArray:
    """Covariance of means, variances and covariances of exogenous constructs and disturbances.

    cov(m_a, m_b) = ψ_ab s, cov(ψ_ab, ψ_cd) = (ψ_ac ψ_bd + ψ_ad ψ_bc) s, cov(m, ψ) = 0.

    Parameters
    ----------
    rows
        (r) rows of the table: intercepts, variances, covariances.
    places
        Construct -> its place.
    psi
        (k, k) covariance of exogenous deviations and disturbances.
    shared
        (r, r) s: 1 / n for complete data, in general rows shared by two parameters over the product of their n.

    References
    ----------
    Anderson (2003), An introduction to multivariate statistical analysis, ch. 3.
    """
    a = np.array([places[row.left] for row in rows], dtype=np.int64)
    b = np.array([places[row.right] for row in rows], dtype=np.int64)
    second = np.array([row.kind != "intercept" for row in rows], dtype=bool)
    means = psi[np.ix_(a, a)]
    products = psi[np.ix_(a, a)] * psi[np.ix_(b, b)] + psi[np.ix_(a, b)] * psi[np.ix_(b, a)]
    both = np.outer(second, second)
    found = np.where(both, products, np.where(np.outer(~second, ~second), means, 0.0))
    return np.asarray(found * shared)


def solve_rows(model: RoxModel, table: ParameterTable, scores: Scores, robust: bool) -> Solution:
    """Estimate every equation from rows.

    Parameters
    ----------
    model, table
        What is estimated.
    scores
        With values.
    robust
        HC3 and sandwich errors (True) or classical ones. Clusters make them clustered.

    Raises
    ------
    EstimationError
        Naming the equation that cannot be estimated, and why.
    """
    work = _Work.start(scores, table.n_free, robust or scores.clusters is not None)
    for spot in spots_of(model, table):
        work.equation(spot)
    work.second_moments(model, table)
    if not work.robust:
        work.correlated_equations(model, table)
    return work.solution()


def complete_rows(values: FloatArray, spot: Spot) -> BoolArray:
    """(n,) rows with the effect and all its causes, those of fixed edges included."""
    used = [spot.effect, *spot.causes, *(cause for cause, _ in spot.fixed)]
    return np.asarray(~np.isnan(values[:, used]).any(axis=1))


@dataclass(slots=True)
class _Work:
    """Collects theta, influences (robust) or blocks (classical), equation by equation."""

    scores: Scores
    values: FloatArray
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
        values = np.asarray(scores.values)
        return cls(
            scores=scores,
            values=values,
            robust=robust,
            theta=np.zeros(n_free),
            df=np.full(n_free, np.inf),
            partial_r2=np.full(n_free, np.nan),
            influence=np.zeros((len(values), n_free)),
            block=np.zeros((n_free, n_free)),
            deviations=np.full(values.shape, np.nan),
        )

    def equation(self, spot: Spot) -> None:
        rows = complete_rows(self.values, spot)
        task = self._task(spot, rows)
        check_task(task, "units" if self.scores.level == "between" else "rows")
        found = regress(task)
        at = list(spot.theta)
        self.theta[at], self.df[at] = found.coefficients, found.df
        self.partial_r2[at[1:]] = found.partial_r2
        self._spread(at, rows, found)
        self.deviations[rows, spot.effect] = found.residuals
        if found.lead is not None and not self.robust:
            lead = np.zeros((len(rows), len(at)))
            lead[rows] = found.lead
            self.leads[task.effect] = (at, lead)
        self.equations.append(Equation(task.effect, found.family, int(rows.sum()), found.df, found.dispersion))
        self._warn_inseparable(task)

    def _task(self, spot: Spot, rows: BoolArray) -> Task:
        names, own = self.scores.names, self.values[rows]
        fixed = np.zeros(len(own))
        for cause, value in spot.fixed:
            fixed += value * own[:, cause]
        family = self.scores.families[spot.effect]
        outcome = own[:, spot.effect]
        return Task(
            effect=names[spot.effect],
            causes=tuple(names[c] for c in spot.causes),
            y=outcome - fixed if family == LINEAR else outcome,
            x=own[:, list(spot.causes)],
            offset=fixed,
            clusters=None if self.scores.clusters is None else _recoded(self.scores.clusters[rows]),
            family=family,
            robust=self.robust,
        )

    def _spread(self, at: list[int], rows: BoolArray, found: Regression) -> None:
        if found.influence is None:
            self.block[np.ix_(at, at)] = found.covariance
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
            self._classical(tuple(rows[i] for i in free), [parts[i] for i in free], place)

    def _centred_exogenous(self, exogenous: list[int]) -> FloatArray:
        """Deviations of exogenous constructs, over the rows that have all of them (their covariance is then PSD)."""
        own = self.values[:, exogenous]
        complete: BoolArray = np.asarray(~np.isnan(own).any(axis=1))
        if complete.sum() < 2:
            names = [self.scores.names[i] for i in exogenous]
            raise EstimationError(
                f"Only {int(complete.sum())} row(s) have all of {listed(names)}, which no construct causes.",
                hint="Collect them for the same units, or leave one out.",
            )
        own = np.where(complete[:, None], own, np.nan)
        return np.asarray(own - own[complete].mean(axis=0))

    def _contributions(self, row: Parameter, place: Mapping[str, int]) -> FloatArray:
        """(n,) whose mean is the parameter; NaN in rows that do not count."""
        left, right = self.deviations[:, place[row.left]], self.deviations[:, place[row.right]]
        if row.kind == "intercept":
            return np.where(np.isnan(left), np.nan, self.values[:, place[row.left]])
        return np.asarray(left * right)

    def _put(self, row: Parameter, contributions: FloatArray) -> None:
        there = ~np.isnan(contributions)
        if not there.any():
            raise EstimationError(
                f"No row has both {row.left!r} and {row.right!r}, so their covariance cannot be estimated.",
                hint="Leave out the arrow <-> between them, or collect both for the same units.",
            )
        value = float(contributions[there].mean())
        if not row.free:
            self.given[row.id] = value
            return
        self.theta[row.free - 1] = value
        if self.robust:
            self.influence[there, row.free - 1] = (contributions[there] - value) / there.sum()

    def _classical(self, rows: tuple[Parameter, ...], parts: list[FloatArray], place: dict[str, int]) -> None:
        there = np.array([~np.isnan(part) for part in parts], dtype=np.float64)
        counts = there.sum(axis=1)
        known = ~np.isnan(self.deviations)
        filled = np.where(known, self.deviations, 0.0)
        both = np.maximum(known.T.astype(np.float64) @ known, 1.0)
        at = [row.free - 1 for row in rows]
        shared = (there @ there.T) / np.outer(counts, counts)
        self.block[np.ix_(at, at)] = normal_theory(rows, place, filled.T @ filled / both, shared)

    def correlated_equations(self, model: RoxModel, table: ParameterTable) -> None:
        """Classical covariance of two equations whose disturbances may covary: s_ef · leadᵀ lead (Zellner 1962)."""
        place = {name: i for i, name in enumerate(model.names)}
        spare = {equation.effect: equation.df / equation.n for equation in self.equations}
        for left, right in correlated_pairs(model, table):
            if left not in self.leads or right not in self.leads:
                continue  # a curved equation: its classical errors say nothing about the other
            products = self.deviations[:, place[left]] * self.deviations[:, place[right]]
            shared = float(np.nanmean(products)) / float(np.sqrt(spare[left] * spare[right]))
            (at, own), (to, other) = self.leads[left], self.leads[right]
            cross = shared * (own.T @ other)
            self.block[np.ix_(at, to)], self.block[np.ix_(to, at)] = cross, cross.T

    def solution(self) -> Solution:
        pulled = self.influence
        if self.scores.clusters is not None:
            pulled = np.zeros((int(self.scores.clusters.max()) + 1, self.influence.shape[1]))
            np.add.at(pulled, self.scores.clusters, self.influence)
        counts = sorted({equation.n for equation in self.equations})
        if len(counts) > 1:
            self.warnings.append(
                f"Each equation uses the rows that are complete for it ({counts[0]} to {counts[-1]}); see column n."
            )
        return Solution(
            theta=self.theta,
            given=self.given,
            vcov=pulled.T @ pulled + self.block,
            df=self.df,
            partial_r2=self.partial_r2,
            equations=tuple(self.equations),
            warnings=tuple(self.warnings),
        )


def _recoded(clusters: IntArray) -> IntArray:
    return np.asarray(np.unique(clusters, return_inverse=True)[1], dtype=np.int64)


_INSEPARABLE = 1e-8  # smallest eigenvalue of the causes' correlations


@dataclass(slots=True)
class _Work_closed_form:
    """Collects theta and the blocks of its covariance; `lead` maps second moments to coefficients."""

    scores: Scores
    covariance: FloatArray
    theta: FloatArray
    df: FloatArray
    partial_r2: FloatArray
    vcov: FloatArray
    remainder: FloatArray
    leads: dict[str, tuple[list[int], list[int], FloatArray, float]] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)


def solve_moments(model: RoxModel, table: ParameterTable, scores: Scores) -> Solution:
    """Estimate every equation from mean and covariance, in closed form, with classical errors.

    Coefficients S_xx⁻¹ s_xy; their covariance s² S_xx⁻¹ / n with s² = n σ² / (n - p - 1), σ² the residual variance
    with divisor n; variances and covariances by normal theory.

    Raises
    ------
    EstimationError
        If n is too small, causes are inseparable, or nothing is left to explain.
    """
    covariance = np.asarray(scores.covariance)
    k, n_free = len(covariance), table.n_free
    work = _Work_closed_form(
        scores=scores,
        covariance=covariance,
        theta=np.zeros(n_free),
        df=np.full(n_free, np.inf),
        partial_r2=np.full(n_free, np.nan),
        vcov=np.zeros((n_free, n_free)),
        remainder=np.eye(k),
    )
    for spot in spots_of(model, table):
        _equation(work, spot)
    disturbance = work.remainder @ covariance @ work.remainder.T
    given = _second_moments(model, table, work, disturbance)
    _correlated_equations(model, table, work, disturbance)
    return Solution(work.theta, given, work.vcov, work.df, work.partial_r2, tuple(work.equations), ())


def _equation(work: _Work_closed_form, spot: Spot) -> None:
    causes, n = list(spot.causes), work.scores.n
    _check(work, spot)
    weights = np.zeros(len(work.scores.names))
    weights[spot.effect] = 1.0
    for cause, value in spot.fixed:
        weights[cause] -= value
    inverse = _inverse(work.covariance[np.ix_(causes, causes)])
    joint = work.covariance[causes] @ weights
    slopes = inverse @ joint
    own = float(weights @ work.covariance @ weights)
    residual = own - float(slopes @ joint)
    if residual <= 1e-13 * max(own, float(work.covariance[spot.effect, spot.effect])):
        raise EstimationError(
            f"{work.scores.names[spot.effect]!r} is fully determined by its causes: nothing is left to explain.",
            hint="Leave out the cause that is computed from it.",
        )
    weights[causes] -= slopes
    work.remainder[spot.effect] = weights
    df = float(n - len(causes) - 1)
    _fill(work, spot, (slopes, inverse, weights), (residual, df))
    work.equations.append(Equation(work.scores.names[spot.effect], LINEAR, n, df))


def _check(work: _Work_closed_form, spot: Spot) -> None:
    causes, n = list(spot.causes), work.scores.n
    names, effect = [work.scores.names[c] for c in causes], work.scores.names[spot.effect]
    if n <= len(causes) + 2:
        raise EstimationError(
            f"The equation of {effect!r} has {len(causes)} cause(s), an intercept and a residual variance, "
            f"but n = {n}.",
            hint=f"Give {effect!r} fewer causes.",
        )
    if not causes:
        return
    inner = work.covariance[np.ix_(causes, causes)]
    scale = np.sqrt(np.diag(inner))
    if np.linalg.eigvalsh(inner / np.outer(scale, scale))[0] < _INSEPARABLE:
        raise EstimationError(f"The causes {listed(names)} of {effect!r} cannot be told apart.", hint="Leave one out.")


def _inverse(inner: FloatArray) -> FloatArray:
    """Inverse of a covariance, computed from correlations, so that units of measurement cost no digits."""
    scale = np.sqrt(np.diag(inner))
    outer = np.outer(scale, scale)
    return np.asarray(np.linalg.inv(inner / outer) / outer)


def _fill(
    work: _Work_closed_form, spot: Spot, found: tuple[FloatArray, FloatArray, FloatArray], spare: tuple[float, float]
) -> None:
    """Write coefficients and their covariance; with means, the intercept first."""
    (slopes, inverse, weights), (residual, df) = found, spare
    causes, at = list(spot.causes), list(spot.theta)
    explained = slopes**2 / np.diag(inverse)
    partial = explained / (explained + residual)
    if len(at) > len(causes):
        mean = np.asarray(work.scores.mean)
        cross = -inverse @ mean[causes]
        corner = 1.0 - float(mean[causes] @ cross)
        inverse = np.asarray(np.block([[np.array([[corner]]), cross[None, :]], [cross[:, None], inverse]]))
        slopes = np.concatenate([[float(weights @ mean)], slopes])
        partial = np.concatenate([[np.nan], partial])
    work.theta[at], work.df[at], work.partial_r2[at] = slopes, df, partial
    work.vcov[np.ix_(at, at)] = residual / df * inverse
    work.leads[work.scores.names[spot.effect]] = (at, causes, inverse, df)


def _second_moments(
    model: RoxModel, table: ParameterTable, work: _Work_closed_form, disturbance: FloatArray
) -> dict[str, float]:
    """Fill exogenous means and (co)variances and disturbance (co)variances; return what the data give."""
    place = {name: i for i, name in enumerate(model.names)}
    given: dict[str, float] = {}
    free = []
    for row in table:
        if row.left not in place or row.right not in place:
            continue
        if row.kind == "intercept" and not model.causes(row.left) and work.scores.mean is not None:
            value = float(work.scores.mean[place[row.left]])
        elif row.kind in {"variance", "covariance"}:
            value = float(disturbance[place[row.left], place[row.right]])
        else:
            continue
        if row.free:
            work.theta[row.free - 1] = value
            free.append(row)
        else:
            given[row.id] = value
    at = [row.free - 1 for row in free]
    if at:
        shared = np.full((len(at), len(at)), 1.0 / work.scores.n)
        work.vcov[np.ix_(at, at)] = normal_theory(tuple(free), place, disturbance, shared)
    return given


def _correlated_equations(
    model: RoxModel, table: ParameterTable, work: _Work_closed_form, disturbance: FloatArray
) -> None:
    """Covariance of two equations whose disturbances may covary (Zellner 1962, doi 10.2307/2281644)."""
    place = {name: i for i, name in enumerate(model.names)}
    for left, right in correlated_pairs(model, table):
        (at, causes, own, spare), (to, others, other, left_over) = work.leads[left], work.leads[right]
        inner = work.covariance[np.ix_(causes, others)]
        if len(at) > len(causes):
            mean = np.asarray(work.scores.mean)
            a, b = np.concatenate([[1.0], mean[causes]]), np.concatenate([[1.0], mean[others]])
            inner = np.outer(a, b) + np.block(
                [[np.zeros((1, 1)), np.zeros((1, len(others)))], [np.zeros((len(causes), 1)), inner]]
            )
        shared = disturbance[place[left], place[right]] / float(np.sqrt(spare * left_over))
        cross = shared * (own @ inner @ other)
        work.vcov[np.ix_(at, to)], work.vcov[np.ix_(to, at)] = cross, cross.T


_INSEPARABLE_bootstrap = 1e-9  # smallest eigenvalue of a replicate's scaled normal equations


_MOST_CELLS = 1 << 23  # of one array, so that long frames do not fill the memory


def resample(
    model: RoxModel, table: ParameterTable, scores: Scores, replicates: int, seed: int | None, progress: bool | None
) -> Resampling:
    """Draw units (rows, clusters) with replacement and refit, `replicates` times.

    Parameters
    ----------
    model, table, scores
        What is estimated, from which rows.
    replicates
        How many.
    seed
        Equal seeds give equal replicates; None draws a seed.
    progress
        Whether to show a progress bar; None = where someone watches.

    Returns
    -------
    Resampling
        A replicate that cannot be estimated (inseparable causes, separated outcomes) is left out and counted.

    Raises
    ------
    EstimationError
        If half of the replicates or more fail.
    """
    codes = np.arange(scores.n, dtype=np.float64) if scores.clusters is None else scores.clusters.astype(np.float64)
    entropy = secrets.randbits(63) if seed is None else seed
    size = _batch_size(scores)
    # Batches are whole, so that a replicate is computed the same whatever the number of replicates.
    batches = [range(start, start + size) for start in range(0, replicates, size)]
    found = np.concatenate(
        [
            refit(model, table, scores, replicate_block(entropy, batch.start, batch.stop, codes))
            for batch in _watched(batches, progress)
        ]
    )[:replicates]
    good = np.isfinite(found).all(axis=1)
    if good.sum() <= replicates / 2:
        raise EstimationError(
            f"{int((~good).sum())} of {replicates} bootstrap replicates could not be estimated.",
            hint="The data are too thin for this model: use fewer causes, or more units.",
        )
    numbers = np.flatnonzero(good).astype(np.float64)
    return Resampling(entropy, codes, found[good], numbers, int((~good).sum()))


def _batch_size(scores: Scores) -> int:
    return int(np.clip(_MOST_CELLS // (scores.n * len(scores.names)), 1, 50))


def _watched(batches: list[range], progress: bool | None) -> Iterator[range]:
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    yield from tqdm(batches, desc="bootstrap", unit="batch", disable=disable, leave=False)


def refit(model: RoxModel, table: ParameterTable, scores: Scores, weights: FloatArray) -> FloatArray:
    """Estimate all parameters for each set of row weights.

    Parameters
    ----------
    model, table, scores
        What is estimated, from which rows.
    weights
        (R, n) counts of the rows.

    Returns
    -------
    ndarray
        (R, n_free); a row of NaN where a replicate cannot be estimated.
    """
    values = scores.values
    if values is None:
        raise RoxError("A bootstrap needs rows; a printed matrix has none.", hint="Use se='standard'.")
    theta = np.full((len(weights), table.n_free), np.nan)
    residuals = np.zeros((len(weights), len(scores.names), scores.n))
    known = np.ones((len(scores.names), scores.n), dtype=bool)
    for spot in spots_of(model, table):
        rows = complete_rows(values, spot)
        known[spot.effect] = rows
        if scores.families[spot.effect] == LINEAR:
            coefficients, left = _least_squares(spot, values[rows], weights[:, rows])
        else:
            coefficients, left = _one_by_one(spot, scores, values[rows], weights[:, rows])
        theta[:, list(spot.theta)] = coefficients
        residuals[:, spot.effect, rows] = left
    return _with_moments(model, table, scores, weights, (theta, residuals, known))


def _least_squares(spot: Spot, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares of one equation in all replicates; (R, 1 + p) and residuals (R, rows)."""
    y = values[:, spot.effect].copy()
    for cause, value in spot.fixed:
        y -= value * values[:, cause]
    frame, middle = frame_of(values[:, list(spot.causes)]), float(y.mean())
    n, k = frame.design.shape
    products = (frame.design[:, :, None] * frame.design[:, None, :]).reshape(n, k * k)
    inner = (weights @ products).reshape(-1, k, k)
    outer = weights @ (frame.design * (y - middle)[:, None])
    solved = _solve(inner, outer)
    residuals = (y - middle) - solved @ frame.design.T
    coefficients = solved @ frame.back.T
    coefficients[:, 0] += middle
    return coefficients, residuals


def _solve(inner: FloatArray, outer: FloatArray) -> FloatArray:
    """Solve (R, k, k) normal equations; NaN where the replicate's causes cannot be told apart."""
    k = inner.shape[-1]
    scale = np.sqrt(np.einsum("rii->ri", inner))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = inner / (scale[:, :, None] * scale[:, None, :])
    bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = np.eye(k)
    bad |= np.linalg.eigvalsh(scaled)[:, 0] < _INSEPARABLE_bootstrap
    scaled[bad] = np.eye(k)
    safe = np.where(scale > 0, scale, 1.0)
    solved = np.linalg.solve(scaled, (outer / safe)[:, :, None])[:, :, 0] / safe
    solved[bad] = np.nan
    return np.asarray(solved)


def _one_by_one(spot: Spot, scores: Scores, values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A curved equation, replicate by replicate, each row as often as it was drawn."""
    offset = np.zeros(len(values))
    for cause, value in spot.fixed:
        offset += value * values[:, cause]
    causes = values[:, list(spot.causes)]
    coefficients = np.full((len(weights), len(spot.causes) + 1), np.nan)
    residuals = np.full((len(weights), len(values)), np.nan)
    names = scores.names
    for place, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(values)), weight.astype(np.int64))
        task = Task(
            effect=names[spot.effect],
            causes=tuple(names[c] for c in spot.causes),
            y=values[drawn, spot.effect],
            x=causes[drawn],
            offset=offset[drawn],
            clusters=None,
            family=scores.families[spot.effect],
            robust=False,
        )
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
