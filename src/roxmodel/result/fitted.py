"""What was estimated, as a record: parameters, their covariance, draws of them."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt, concerned, doubt_tail, gravest
from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.records import (
    Equation,
    Estimates,
    GroupMoments,
    Measure,
    Population,
    ScoreTest,
    Traits,
    UnitScores,
    Verdict,
    WithinEdge,
    traits_of,
)
from roxmodel.result.draws import Draws, normal_draws, t_draws
from roxmodel.result.indices import INDEX_NAMES
from roxmodel.result.system import System, root_of, system_of
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, IntArray, Level, Method, Scaling, StandardErrors, read_only

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fitted"]

_LINEAR_DRAWS = 10_000
_CURVED_CELLS = 20_000_000  # draws times units, so that long frames do not take minutes


@read_only
@dataclass(frozen=True, eq=False)
class Fitted:
    """What was estimated; `Fit` is its public face and says what each field is."""

    model: RoxModel
    method: Method
    level: Level
    se: StandardErrors
    errors: str
    table: ParameterTable
    estimates: Estimates
    vcov: FloatArray
    equations: tuple[Equation, ...]
    measures: tuple[Measure, ...]
    population: Population
    verdicts: Mapping[str, Verdict]
    notes: tuple[str, ...]
    index_values: Mapping[str, float]
    resampling: Draws | None = None
    groups: tuple[GroupMoments, ...] = ()
    scaling: Scaling = "marker"
    estimator: str = ""
    missing: str = ""  # "listwise": every row used was complete; "fiml": answers were missing; "": not known
    within_edges: tuple[WithinEdge, ...] = ()
    predicted: UnitScores | None = None
    score_tests: tuple[ScoreTest, ...] = ()  # found with the fit, where its moments do not tell them later
    findings: tuple[Doubt, ...] = ()  # what every check found; `doubts` are those of weight

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What makes the numbers doubtful or unusable, the gravest first; empty = nothing was seen."""
        return gravest(self.findings)

    @property
    def without_information(self) -> tuple[tuple[str, str], ...]:
        """Edges (cause, effect) of which the data say nothing: answers through them are not known.

        They are those of the unusable doubts of the check ``no_information``.
        """
        own, every = self._edges_by_name, self._edges_by_name[""]
        lost = [one for one in self.doubts if one.check == "no_information" and one.verdict == "unusable"]
        named = frozenset(edge for one in lost for edge in concerned(one, own, every))
        ends = ((edge.cause, edge.effect) for edge in self.model.edges)
        return tuple(dict.fromkeys(pair for pair in ends if f"{pair[0]} -> {pair[1]}" in named))

    def unknown_after(self, pushed: Collection[str]) -> frozenset[str]:
        """Constructs whose answer to a push of others is not known: the way there uses an edge without information."""
        import networkx as nx

        graph = nx.DiGraph([(edge.cause, edge.effect) for edge in self.model.edges])
        graph.add_nodes_from(self.model.names)
        reached = {name for start in pushed for name in (start, *nx.descendants(graph, start))}
        blind = {effect for cause, effect in self.without_information if cause in reached}
        return frozenset(name for start in blind for name in (start, *nx.descendants(graph, start)))

    def doubts_on(self, edges: Collection[str]) -> tuple[Doubt, ...]:
        """The doubts that touch one of these edges (``a -> b``), the gravest first."""
        own, every = self._edges_by_name, self._edges_by_name[""]
        found = ((doubt, concerned(doubt, own, every)) for doubt in self.doubts)
        return tuple(doubt for doubt, touched in found if touched == every or not touched.isdisjoint(edges))

    def checks_on(self, cause: str, effect: str) -> tuple[str, ...]:
        """Names of the checks that doubt an edge."""
        return tuple(dict.fromkeys(doubt.check for doubt in self.doubts_on([f"{cause} -> {effect}"])))

    def edges_in(self, doubt: Doubt) -> tuple[str, ...]:
        """The edges (``a -> b``) that a doubt is about, sorted; empty where it is about all of them."""
        own, every = self._edges_by_name, self._edges_by_name[""]
        found = concerned(doubt, own, every)
        return () if found == every else tuple(sorted(found))

    @cached_property
    def _edges_by_name(self) -> Mapping[str, frozenset[str]]:
        """Edges of each construct, item, edge and parameter; of all under the empty name."""
        edges = {f"{edge.cause} -> {edge.effect}": (edge.cause, edge.effect) for edge in self.model.edges}
        own = {name: frozenset(edge for edge, ends in edges.items() if name in ends) for name in self.model.names}
        items = {item: own[construct.name] for construct in self.model.constructs for item in construct.item_names}
        known = {**items, **own, **{edge: frozenset({edge}) for edge in edges}}
        for row in self.table:
            if row.kind == "edge":
                known[row.id] = frozenset({f"{row.left} -> {row.right}"})
            else:
                known[row.id] = known.get(row.left, frozenset()) | known.get(row.right, frozenset())
        return {**known, "": frozenset(edges)}

    @property
    def converged(self) -> bool:
        """Whether the estimation reached its goal (`checks` says why not)."""
        return self.verdicts["converged"].ok

    @property
    def identified(self) -> bool:
        """Whether the data can tell the parameters apart."""
        return self.verdicts["identified"].ok

    @property
    def admissible(self) -> bool:
        """Whether the estimates are possible values (no negative variance, no correlation beyond 1)."""
        return self.verdicts["admissible"].ok

    @cached_property
    def theta(self) -> FloatArray:
        """(n_free,) estimates of the free parameters."""
        values = np.zeros(self.table.n_free)
        for row, value in zip(self.table, self.estimates.value, strict=True):
            if row.free:
                values[row.free - 1] = value
        values.setflags(write=False)
        return values

    @property
    def traits(self) -> Traits:
        """What the fit is like; asked instead of its method."""
        return traits_of(self.method, self.estimator)

    @property
    def families(self) -> tuple[str, ...]:
        """(k,) family of each construct's equation, ``linear`` for those without one."""
        known = {equation.effect: equation.family for equation in self.equations}
        return tuple(known.get(name, "linear") for name in self.model.names)

    def system(self, theta: FloatArray | None = None, marker: bool = False) -> System:
        """The structural equations as matrices.

        Parameters
        ----------
        theta
            (draws, n_free); None = the estimate, one draw.
        marker
            Whether latent constructs count in points of their first item, whatever scaling the fit used.

        Raises
        ------
        EstimationError
            If the fit has several groups, each with equations of its own.
        """
        self.require_one_group("equations")
        values = self.theta[None, :] if theta is None else theta
        return system_of(self.model, self.table, values, self.families, marker)

    def require_one_group(self, what: str) -> None:
        """Refuse a fit of several groups.

        Raises
        ------
        EstimationError
            Saying which group to ask instead.
        """
        if len(self.groups) > 1:
            names = [group.name for group in self.groups]
            raise EstimationError(
                f"This fit has the groups {listed(names)}, each with {what} of its own.",
                hint=f"Take one of them: fit.group({names[0]!r}).",
            )

    def indices(self) -> pd.Series[float]:
        """Fit indices; NaN where a method has none (``notes`` say why)."""
        import pandas as pd

        values = {name: self.index_values.get(name, np.nan) for name in INDEX_NAMES}
        values |= {name: value for name, value in self.index_values.items() if name not in values}
        return pd.Series(values, name=self.model.name, dtype=float)

    def checks(self) -> pd.DataFrame:
        """How far the fit may be trusted, one row for each thing that was looked at.

        Returns
        -------
        DataFrame
            check (``converged``, ``identified``, ``admissible``, ``collinear``, ``misfit``, ``missing_arrow`` ...);
            verdict (``unusable``: a number has no meaning; ``doubtful``: a test rejected, at the level that it has
            within all checks together; ``note``: a rule of thumb; ``ok``); finding (one sentence); culprits (names of
            constructs, items, columns or units); remedy; then ok (neither doubtful nor unusable) and reason (of the
            first three: why; else the finding). A loaded document has the first three and the doubts.
        """
        import pandas as pd

        rows = [
            (
                one.check,
                one.verdict,
                one.finding,
                one.culprits,
                one.remedy,
                self.verdicts[one.check].ok if one.check in self.verdicts else not one.serious,
                self.verdicts[one.check].reason if one.check in self.verdicts else one.finding,
            )
            for one in self.findings
        ]
        return pd.DataFrame(rows, columns=["check", "verdict", "finding", "culprits", "remedy", "ok", "reason"])

    def draws(self, n: int, seed: int | None = None) -> FloatArray:
        """Draws of the free parameters.

        Parameters
        ----------
        n
            How many.
        seed
            Equal seeds give equal draws.

        Returns
        -------
        ndarray
            (n, n_free): normal around the estimate for standard and robust errors; the replicates for the
            bootstrap (the first n, resampled if n exceeds them); NaN for edges of which the data say nothing.
        """
        found, lost = self._drawn(n, seed), self.without_information
        for row in self.table.of("edge") if lost else ():
            if row.free and (row.left, row.right) in lost:
                found[:, row.free - 1] = np.nan
        return found

    def _drawn(self, n: int, seed: int | None) -> FloatArray:
        """The same, with the estimate where nothing is known."""
        count, start = _whole(n, 1), None if seed is None else _whole(seed, 0)
        if count is None:
            raise RoxError(f"draws({n!r}) was asked for.", allowed="a whole number, at least 1")
        if seed is not None and start is None:
            raise RoxError(f"seed= was {seed!r}.", allowed="None or a whole number of at least 0")
        rng = np.random.default_rng(np.random.SeedSequence(start))
        if self.resampling is not None:
            return np.array(self.resampling.some(count, rng))
        return np.array(normal_draws(self.theta, root_of(self.vcov), self._alphabetical(), count, rng).values)

    def _alphabetical(self) -> IntArray:
        """(n_free,) place of each free parameter among the sorted ids: draws do not hang on a model's order."""
        first: dict[int, str] = {}
        for row in self.table:
            if row.free and row.kind != "defined":
                first[row.free] = min(first.get(row.free, row.id), row.id)
        return np.argsort(np.argsort([first[free] for free in range(1, len(self.vcov) + 1)]))

    def bootstrap_draws(self) -> FloatArray:
        """(replicates, n_free) parameters of the bootstrap, failed replicates left out.

        Raises
        ------
        RoxError
            If the fit has no bootstrap.
        """
        return np.array(self._resampled().values)

    def bootstrap_weights(self, replicate: int) -> FloatArray:
        """(n,) how often each row (unit, respondent) was drawn for one replicate, so that anyone can refit it.

        Rows that the fit left out, because an answer was missing, have 0; with frequencies, persons are counted.

        Raises
        ------
        RoxError
            If the fit has no bootstrap, was loaded from a document, or has no such replicate.
        """
        found = self._resampled()
        if found.told is None:
            raise RoxError("A loaded document holds the replicates but not the rows they were drawn from.")
        place = _whole(replicate, 0)
        if place is None or place >= len(found.values):
            raise RoxError(f"There is no replicate {replicate!r}.", allowed=f"0 to {len(found.values) - 1}")
        return found.told.weights(place)

    def _resampled(self) -> Draws:
        if self.resampling is None:
            raise EstimationError("This fit has no bootstrap.", hint="Fit with se='bootstrap', bootstrap=2000, seed=1.")
        return self.resampling

    def answer_draws(self, n: int, seed: int | None = None) -> FloatArray:
        """Draws of the free parameters that answers are taken from: as uncertain as the tables say.

        Where a table counts with a t distribution, so do these draws: those of `draws` with each parameter's distance
        from its estimate stretched by ``sqrt(df / c)``, c of a chi-square distribution with the parameter's own degrees
        of freedom (a multivariate t distribution where they are all alike). One random number stretches all parameters
        of a draw, so that what belongs together stays together, and each parameter has the interval of its own line.
        Stretches of less than one draw in a thousand are cut, so that means exist; 95 % intervals do not feel it.

        Parameters
        ----------
        n, seed
            As in `draws`.

        Returns
        -------
        ndarray
            (n, n_free); those of `draws` for the bootstrap, and where the tables are normal.

        References
        ----------
        Kotz & Nadarajah (2004), Multivariate t distributions and their applications, doi 10.1017/CBO9780511550683.
        """
        found, df = self._drawn(n, seed), self._freedom()
        if self.resampling is not None or not np.isfinite(df).any():
            return found
        return np.array(t_draws(found, self.theta, df, seed).values)

    def _freedom(self) -> FloatArray:
        """(n_free,) degrees of freedom of each free parameter; infinite where its table is normal."""
        found = np.full(self.table.n_free, np.inf)
        for row, df in zip(self.table, self.estimates.df, strict=True):
            if row.free and df > 0:
                found[row.free - 1] = min(found[row.free - 1], df)
        return found

    def effect_draws(self, curved: bool) -> FloatArray:
        """Draws that intervals of effects are taken from: fixed in number and seed, so that tables do not move.

        Parameters
        ----------
        curved
            Whether an equation on the way is curved.
        """
        if self.resampling is not None:
            return self.bootstrap_draws()
        count = int(np.clip(_CURVED_CELLS // self.population.n, 500, 2_000)) if curved else _LINEAR_DRAWS
        return self.answer_draws(count, seed=0)

    def __repr__(self) -> str:
        where = (
            f"{self.population.n_units} units" if self.population.n_units is not None else f"n = {self.population.n}"
        )
        groups = f", {len(self.groups)} groups" if len(self.groups) > 1 else ""
        doubts = doubt_tail(self.doubts, "fit")
        return f"<Fit of {self.model.name!r} by method {self.method!r}, {where}{groups}{doubts}>"


def _whole(given: object, least: int) -> int | None:
    """The number if it is whole and not below `least`, else None."""
    try:
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        return None
    return None if value < least or isinstance(given, bool) else value
