"""Method "path" from rows: every equation, then means and (co)variances, with one sandwich over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.curved import regress
from roxmodel.estimate.path import Solution, Spot, correlated_pairs, normal_theory, spots_of
from roxmodel.estimate.regression import Regression, Task, check_task, variance_inflation
from roxmodel.estimate.scores import Scores
from roxmodel.records import LINEAR, Equation
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["complete_rows", "solve_rows"]


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
