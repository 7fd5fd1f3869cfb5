"""Method "path" from data to a fit: every row of the table with its uncertainty, the population, the small print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.bootstrap import Bootstrap
from roxmodel.estimate.options import PathOptions
from roxmodel.estimate.path.equations import PathSolution, check_recursive, refit, solve_path
from roxmodel.estimate.path.scores import Scores, scores_of
from roxmodel.estimate.sentences import assumed_notes, bootstrap_words, causal_notes, cluster_notes, sign_notes
from roxmodel.records import LINEAR, Estimates, Fault, Measure, Population, Verdict
from roxmodel.result.derived import Known, construct_sd, define, disturbances, standardized_values, unknown_definitions
from roxmodel.result.draws import Draws, wald
from roxmodel.result.fit import Fit
from roxmodel.result.indices import Discrepancy, fit_indices
from roxmodel.result.levels import summary_of
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, plan
from roxmodel.types import FloatArray, StandardErrors

__all__ = ["fit_path"]

_MOST_CELLS = 1 << 23  # of one array of a bootstrap, so that long frames do not fill the memory


def fit_path(model: RoxModel, data: object, options: PathOptions) -> Fit:
    """Estimate, and make the fit.

    Raises
    ------
    EstimationError
        For what single regressions cannot estimate, and for an equation that has no estimate.
    """
    scores = scores_of(model, data, options.cluster)
    table = plan(model, "composite", means=scores.values is not None or scores.mean is not None)
    check_recursive(model, table)
    solution = solve_path(model, table, scores, robust=options.se == "robust")
    draws = _resampled(model, table, scores, options) if options.bootstrap else None
    return _Tabulation(model, table, scores, solution, draws).fit(options.se)


def _resampled(model: RoxModel, table: ParameterTable, scores: Scores, options: PathOptions) -> Draws:
    codes = np.arange(scores.n) if scores.clusters is None else scores.clusters
    return Bootstrap(
        refit=lambda counts, _: refit(model, table, scores, counts),
        codes=codes.astype(np.float64),
        batch=int(np.clip(_MOST_CELLS // (scores.n * len(scores.names)), 1, 50)),
        hint="The data are too thin for this model: use fewer causes, or more units.",
        alone=True,
    ).draws(options)


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
        implied = self._implied(psi) if self.linear else covariance
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
            measures=tuple(_measure(model, name, self.scores.within[name]) for name in model.names),
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

    def _values(self) -> FloatArray:
        """Value of every row: free, fixed, or given by the data; definitions come later."""
        theta, given = self.solution.theta, self.solution.given
        stated = [given.get(row.id, np.nan) if row.value is None else row.value for row in self.table]
        return np.array([theta[row.free - 1] if row.free else v for row, v in zip(self.table, stated, strict=True)])

    def _estimates(self, vcov: FloatArray, covariance: FloatArray) -> Estimates:
        model, table, solution = self.model, self.table, self.solution
        free = np.array([row.free for row in table])
        at, places = free > 0, free[free > 0] - 1
        value, df, se, partial = self._values(), *(np.full(len(table), np.nan) for _ in range(3))
        df[at], partial[at] = solution.df[places], solution.partial_r2[places]
        se[at] = np.sqrt(np.maximum(np.diag(vcov), 0.0))[places]
        low, high, p = wald(value, se, df)
        if self.draws is not None:
            spread = self.draws.spread
            for column, found in ((se, spread.se), (low, spread.low), (high, spread.high), (p, spread.p)):
                column[at] = found[places]
        rows, defined = define(model, table, Known(solution.theta, vcov, solution.df, self.draws))
        value[rows], se[rows], low[rows], high[rows], p[rows], df[rows] = defined
        with np.errstate(invalid="ignore", divide="ignore"):
            statistic = np.where(se > 0, value / se, np.nan)
        sd = construct_sd(model, table, solution.theta, self.families, covariance)
        standardized = standardized_values(model, table, value, sd)
        return Estimates(value, se, statistic, p, low, high, standardized, df, partial)

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

    def _implied(self, psi: FloatArray) -> FloatArray:
        system = system_of(self.model, self.table, self.solution.theta[None, :], self.families)
        return np.asarray(implied_covariance(system.coefficients, psi[None])[0])

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
        if np.linalg.eigvalsh(psi / np.outer(spread, spread))[0] < -1e-10:
            words = "the covariances of disturbances and of constructs without causes contradict each other"
            return Verdict.of([Fault("contradiction", words)], "")
        return Verdict(True, "every residual variance is positive")


def _thin_notes(scores: Scores, draws: Draws | None) -> list[str]:
    notes = cluster_notes(scores.clusters)
    if scores.level == "between" and scores.n < 30:
        notes.append(f"Only {scores.n} units: intervals are wide and rest on few units.")
    if draws is not None and draws.failed:
        notes.append(f"{draws.failed} bootstrap replicates could not be estimated and are left out.")
    return notes


def _measure(model: RoxModel, name: str, within: FloatArray) -> Measure:
    construct = model.find(name)
    p = len(construct.items)
    readings = [item.reading for item in construct.items]
    return Measure(
        name=name,
        factor=construct.factor,
        source=construct.source,
        items=construct.item_names,
        weights=np.full(p, 1.0 / p),
        signs=np.array([sign for sign, _ in readings]),
        offsets=np.array([offset for _, offset in readings]),
        lows=tuple(item.ends[0] for item in construct.items),
        highs=tuple(item.ends[1] for item in construct.items),
        codes=tuple({} if item.scale is None else dict(item.scale.codes) for item in construct.items),
        within=within,
    )
