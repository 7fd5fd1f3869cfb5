"""Method "path" from data to a fit: all equations, replicates of them, the table, the population, the small print.

With rows: least squares with HC3 (or clustered, or classical) errors, generalised linear models where the outcome's
scale asks for one, then means and (co)variances, with one sandwich over all of them. A printed matrix is k + 1 rows
that have its mean and its covariance: the same coefficients in closed form, with classical errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.estimate.bootstrap import Bootstrap
from roxmodel.estimate.checks.evidence import Estimated
from roxmodel.estimate.options import PathOptions
from roxmodel.estimate.path.regression import Task, check_task, normal_theory, regress, replicated, variance_inflation
from roxmodel.estimate.path.scores import Scores, Spot, check_recursive, scores_of, spots_of
from roxmodel.estimate.sentences import assumed_notes, bootstrap_words, causal_notes, cluster_notes, sign_notes
from roxmodel.records import LINEAR, Equation, Estimates, Fault, Population, Verdict
from roxmodel.result.derived import (
    Known,
    construct_sd,
    disturbances,
    measure_of,
    standardized_values,
    summary_of,
    told,
    unknown_definitions,
)
from roxmodel.result.draws import Draws
from roxmodel.result.fit import Fit
from roxmodel.result.indices import Discrepancy, fit_indices
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, plan
from roxmodel.types import BoolArray, FloatArray, StandardErrors

__all__ = ["fit_path", "fit_with", "refit", "solve_path"]

_MOST_CELLS = 1 << 23  # of one array of a bootstrap, so that long frames do not fill the memory


def fit_path(model: RoxModel, data: object, options: PathOptions) -> Estimated:
    """Estimate, and make the fit; refuse what single regressions cannot estimate."""
    scores = scores_of(model, data, options.cluster)
    table = plan(model, "composite", means=scores.values is not None or scores.mean is not None)
    check_recursive(model, table)
    solution = solve_path(model, table, scores, robust=options.se == "robust")
    draws = _resampled(model, table, scores, options) if options.bootstrap else None
    return Estimated(_Tabulation(model, table, scores, solution, draws).fit(options.se))


def fit_with(model: RoxModel, data: object, options: PathOptions, known: tuple[FloatArray, FloatArray]) -> Fit:
    """The fit with estimates and covariance that were found otherwise."""
    scores = scores_of(model, data, options.cluster)
    table = plan(model, "composite")
    solution = solve_path(model, table, scores, robust=options.se == "robust")
    return _Tabulation(model, table, scores, replace(solution, theta=known[0], vcov=known[1]), None).fit(options.se)


def _resampled(model: RoxModel, table: ParameterTable, scores: Scores, options: PathOptions) -> Draws:
    codes = np.arange(scores.n) if scores.clusters is None else scores.clusters
    return Bootstrap(
        refit=lambda counts, _: refit(model, table, scores, counts),
        codes=codes.astype(np.float64),
        batch=int(np.clip(_MOST_CELLS // (scores.n * len(scores.names)), 1, 50)),
        hint="The data are too thin for this model: use fewer causes, or more units.",
        alone=True,
    ).draws(options)


# --- all equations


@dataclass(frozen=True, slots=True)
class PathSolution:
    """Estimates and their covariance, all by place in theta."""

    theta: FloatArray
    vcov: FloatArray
    given: dict[str, float]  # values of the rows that the data give, by id
    df: FloatArray  # of t tests, infinite for the normal
    partial_r2: FloatArray  # share of what the other causes leave that an edge explains, 0-1; else NaN
    equations: tuple[Equation, ...]
    warnings: tuple[str, ...]  # what a reader must know: inseparable causes, n that differs


def solve_path(model: RoxModel, table: ParameterTable, scores: Scores, robust: bool) -> PathSolution:
    """Estimate every equation; errors are HC3 and sandwich ones where `robust` (or clustered), else classical."""
    work = _Work.start(scores, table.n_free, robust or scores.clusters is not None)
    for spot in spots_of(model, table):
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
        values, one = scores.rows()
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
        self.block[np.ix_(at, at)] = normal_theory(rows, place, filled.T @ filled / both, shared)

    def correlated_equations(self, model: RoxModel, table: ParameterTable) -> None:
        """Classical covariance of two equations whose disturbances may covary: s_ef leadᵀ lead (Zellner 1962).

        doi 10.2307/2281644
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
    for spot in spots_of(model, table):
        rows = spot.complete(values)
        known[spot.effect] = rows
        coefficients, left = replicated(spot.task(scores, values[rows]), weights[:, rows])
        theta[:, list(spot.theta)] = coefficients
        residuals[:, spot.effect, rows] = left
    return _with_moments(model, table, scores, weights, theta, residuals, known)


def _with_moments(
    model: RoxModel,
    table: ParameterTable,
    scores: Scores,
    weights: FloatArray,
    theta: FloatArray,
    deviations: FloatArray,
    known: BoolArray,
) -> FloatArray:
    """Exogenous means and (co)variances and disturbance (co)variances, weighted."""
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


# --- the fit


@dataclass(frozen=True, slots=True)
class _Tabulation:
    """A solution on its way into a fit."""

    model: RoxModel
    table: ParameterTable
    scores: Scores
    solution: PathSolution
    draws: Draws | None

    def fit(self, se: StandardErrors) -> Fit:
        model, solution = self.model, self.solution
        vcov = solution.vcov if self.draws is None or not solution.vcov.size else self.draws.covariance
        covariance = self._covariance()
        psi = self._psi(covariance)
        implied = covariance
        if self.linear:
            system = system_of(model, self.table, solution.theta[None, :], self.families)
            implied = np.asarray(implied_covariance(system.coefficients, psi[None])[0])
        indices, reason = self._indices(covariance, implied)
        return Fit(
            model=model,
            method="path",
            level=self.scores.level,
            se=se,
            errors=self._error_words(se),
            table=self.table,
            estimates=self._estimates(vcov, implied),
            vcov=vcov,
            equations=solution.equations,
            measures=tuple(measure_of(c, self.scores.within[c.name]) for c in model.constructs),
            population=self._population(implied),
            verdicts=self._verdicts(psi),
            notes=(*self._notes(), *reason),
            index_values=indices,
            resampling=self.draws,
        )

    @property
    def families(self) -> tuple[str, ...]:
        known = {equation.effect: equation.family for equation in self.solution.equations}
        return tuple(known.get(name, LINEAR) for name in self.model.names)

    @property
    def linear(self) -> bool:
        return all(family == LINEAR for family in self.families)

    def _estimates(self, vcov: FloatArray, covariance: FloatArray) -> Estimates:
        model, table, solution = self.model, self.table, self.solution
        known = Known(solution.theta, vcov, solution.df, self.draws)
        found, partial = told(model, table, known, solution.given), np.full(len(table), np.nan)
        free = np.array([row.free for row in table])
        partial[free > 0] = solution.partial_r2[free[free > 0] - 1]
        sd = construct_sd(model, table, solution.theta, self.families, covariance)
        standardized = standardized_values(model, table, found["value"], sd)
        return Estimates(**found, standardized=standardized, partial_r2=partial)

    def _covariance(self) -> FloatArray:
        """(k, k) covariance of the scores, divisor n; gaps filled by means."""
        values = self.scores.values
        if values is None:
            return np.asarray(self.scores.covariance)
        filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
        return np.atleast_2d(np.cov(filled, rowvar=False, ddof=0))

    def _psi(self, covariance: FloatArray) -> FloatArray:
        """(k, k) covariance of exogenous constructs and disturbances."""
        given, place = covariance.copy(), {name: i for i, name in enumerate(self.model.names)}
        for row in self.table:
            if row.id in self.solution.given and row.kind != "intercept":
                a, b = place[row.left], place[row.right]
                given[a, b] = given[b, a] = self.solution.given[row.id]
        return np.asarray(disturbances(self.model, self.table, self.solution.theta[None, :], given)[0])

    def _population(self, covariance: FloatArray) -> Population:
        """Whom the numbers speak of; their covariance is the model's where every equation is linear."""
        scores, values = self.scores, self.scores.values
        if values is None:
            return Population(
                names=scores.names,
                n=scores.n,
                n_units=None,
                mean=scores.mean,
                covariance=covariance,
                low=None,
                high=None,
            )
        hidden = scores.hidden if scores.hidden is not None and scores.hidden.any() else None
        shown = values if hidden is None else np.where(hidden, np.nan, values)
        mean, low, high = summary_of(shown)
        return Population(
            names=scores.names,
            n=scores.n,
            n_units=scores.n if scores.level == "between" else None,
            units=scores.units,
            levels=shown,
            mean=np.where(np.isnan(mean), np.nanmean(values, axis=0), mean),  # NaN: all hidden, so that of all
            covariance=covariance,
            low=low,
            high=high,
            hidden=hidden,
            min_group=scores.min_group,
        )

    def _indices(self, covariance: FloatArray, implied: FloatArray) -> tuple[dict[str, float], tuple[str, ...]]:
        """Fit indices where the regressions are the maximum-likelihood estimate, else why there are none."""
        n, table = self.scores.n, self.table
        counts = {"n": float(n)} | ({"n_units": float(n)} if self.scores.level == "between" else {})
        reason = self._no_indices(covariance)
        if reason:
            return counts, (f"No fit indices: {reason}.",)
        given = {row.left for row in table.of("variance") if row.given}
        places = tuple(i for i, name in enumerate(self.model.names) if name in given)
        means = [row for row in table.of("intercept") if row.free]
        return fit_indices(Discrepancy(covariance, implied, n, table.n_free, len(means), places)) | counts, ()

    def _no_indices(self, covariance: FloatArray) -> str:
        if not self.linear:
            return "an equation is curved"
        if self.scores.values is not None and np.isnan(self.scores.values).any():
            return "some scores are missing, and each equation uses its own rows"
        pairs, causes = self.table.of("covariance"), self.model.causes
        if any((row.free or row.value) and (causes(row.left) or causes(row.right)) for row in pairs):
            return "with correlated disturbances the regressions are not the maximum-likelihood estimate"
        moments = [row for row in (*self.table.of("variance"), *pairs) if not (row.free or row.given)]
        if any(not causes(row.left) for row in moments):
            return "a variance or covariance of constructs without causes is fixed"
        spread = np.sqrt(np.diag(covariance))
        singular = np.linalg.eigvalsh(covariance / np.outer(spread, spread))[0] <= 1e-12
        return "the covariance matrix of the scores is singular" if self.scores.n <= len(spread) or singular else ""

    def _error_words(self, se: StandardErrors) -> str:
        """How standard errors and intervals were computed."""
        scores = self.scores
        if self.draws is not None:
            whom = scores.cluster_name or ("unit" if scores.level == "between" else "row")
            return bootstrap_words(self.draws, whom)
        if scores.clusters is not None:
            return f"clustered by {scores.cluster_name} ({int(scores.clusters.max()) + 1} clusters)"
        if se == "standard":
            return "classical"
        return f"heteroscedasticity-consistent (HC3{')' if self.linear else '; sandwich for curved equations)'}"

    def _notes(self) -> tuple[str, ...]:
        """What a reader must know, in sentences."""
        notes = [*causal_notes(self.model), *self.scores.notes, *self.solution.warnings, *assumed_notes(self.table)]
        curved = [f"{e.effect} ({e.family})" for e in self.solution.equations if e.family != LINEAR]
        if curved:
            notes.append(
                f"Curved equations: {', '.join(curved)}. Their edges are on the scale of the predictor; effects() "
                "gives average changes on the response scale."
            )
        notes += [*sign_notes(self.model, self.table, self.solution.theta), *_thin_notes(self.scores, self.draws)]
        unknown = unknown_definitions(self.model, self.table)
        if unknown:
            notes.append(
                f"Not computed: {', '.join(unknown)}. They use the label of a loading, and composites have no loadings."
            )
        return tuple(notes)

    def _verdicts(self, psi: FloatArray) -> dict[str, Verdict]:
        return {
            "converged": Verdict(True, "least squares has a closed form, and every iteration ended"),
            "identified": Verdict(True, "the graph has no loop, and no declared common cause confounds an edge"),
            "admissible": self._admissible(psi),
        }

    def _admissible(self, psi: FloatArray) -> Verdict:
        theta = self.solution.theta
        negative = [row for row in self.table.of("variance") if row.free and theta[row.free - 1] <= 0]
        if negative:
            words = f"the residual variance of {negative[0].left!r} is not positive"
            return Verdict.of([Fault("variance", words, tuple(row.id for row in negative))], "")
        spread = np.sqrt(np.maximum(np.diag(psi), 0.0))
        spread = np.where(spread > 0, spread, 1.0)
        values, vectors = np.linalg.eigh(psi / np.outer(spread, spread))
        if values[0] < -1e-10:
            words = "the covariances of disturbances and of constructs without causes contradict each other"
            share = np.abs(vectors[:, 0])
            names = tuple(n for n, own in zip(self.model.names, share, strict=True) if own > 0.1 * share.max())
            return Verdict.of([Fault("contradiction", words, names=names)], "")
        return Verdict(True, "every residual variance is positive")


def _thin_notes(scores: Scores, draws: Draws | None) -> list[str]:
    notes = cluster_notes(scores.clusters)
    if scores.level == "between" and scores.n < 30:
        notes.append(f"Only {scores.n} units: intervals are wide and rest on few units.")
    if draws is not None and draws.failed:
        notes.append(f"{draws.failed} bootstrap replicates could not be estimated and are left out.")
    return notes
