"""What a study can carry, before any fit: how reliable its unit means are, and which effects it could find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import EstimationError, SpecError
from roxmodel.implied.matrices import LOADINGS, filled, implied, one_blas_thread
from roxmodel.moments.linked import LinkedMoments, growth_of
from roxmodel.numerals import plain
from roxmodel.planning import power
from roxmodel.planning.check_story import check_advice, check_glance, check_story
from roxmodel.spec.causal import headline
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.story import Story, Told
from roxmodel.survey.linkage import agreement
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ConstructCheck", "EdgeCheck", "MoreData", "StudyCheck", "TotalCheck", "check_study"]


_MORE_UNITS = (1.5, 2.0)
_MORE_ANSWERS = 2.0
_UNTOLD = "the model is not identified"
_ALL = "no possible size would be found with 80 % power"

CheckFault: TypeAlias = Literal["", "few_units", "no_size"]


@dataclass(frozen=True, slots=True)
class ConstructCheck:
    """One construct; see `StudyCheck.constructs`."""

    construct: str
    source: str
    units: int
    answers: float
    icc1: float
    reliability: float
    effective_units: float
    note: str


@dataclass(frozen=True, slots=True)
class EdgeCheck:
    """One edge; see `StudyCheck.edges`."""

    cause: str
    effect: str
    units: int
    detectable: float
    se: float
    note: str
    fault: CheckFault = ""


@dataclass(frozen=True, slots=True)
class TotalCheck:
    """The smallest total effect of the model's headline that would be found with 80 % power at 5 %, two-sided.

    Found is an effect whose 95 % interval, as `Fit.effects` gives it, excludes 0.
    """

    cause: str  # cause, effect: the headline, from pride to the last outcome it reaches
    effect: str
    detectable: float  # in standard deviations between units, above 0; NaN with the reason in `note`
    detectable_raw: float  # the same in points of the effect's first item per point of the cause's first item
    se: float  # expected standard error (standardised) of an effect of that size
    units: int  # units, df: units and degrees of freedom of the weakest equation on the way
    df: float
    note: str  # why a number is missing
    fault: CheckFault = ""  # ``no_size`` where no size would be found


@dataclass(frozen=True, slots=True)
class MoreData:
    """What would be found with more data; see `StudyCheck.collect`."""

    what: str
    times: float
    units: float
    answers: float
    detectable: float


@dataclass(frozen=True, slots=True, eq=False)
class StudyCheck(Told):
    """What a study can carry of a `model`; made by `Study.check`.

    `n_units` know something of the model. `identified`: whether the parameters can be told apart, by what the model
    says and by which items were seen together; `reason`: why not, which ones, and the remedy; `apart`: whether other
    data would tell them (items were never seen together); `hardly`: what hangs on a few units only. `obstacle`: what in
    the data stands in the way of any fit by method "linked", empty if nothing does. `parameters`: loadings and edges
    between units; the linked fit asks for more units than that. `total`: the headline effect, None where nothing acts
    on anything. `construct_rows`, `edge_rows`, `more`: rows of `constructs`, `edges`, `collect`. `notes`: what was
    assumed. `planned`: the model to plan with, None where nothing can be planned.
    """

    model: RoxModel
    n_units: int
    construct_rows: tuple[ConstructCheck, ...]
    edge_rows: tuple[EdgeCheck, ...]
    more: tuple[MoreData, ...]
    identified: bool
    reason: str
    obstacle: str
    parameters: int
    total: TotalCheck | None
    notes: tuple[str, ...]
    planned: power.Planned | None
    apart: bool = False
    hardly: tuple[Doubt, ...] = ()

    @property
    def constructs(self) -> pd.DataFrame:
        """How well the means of the units measure each construct.

        Returns
        -------
        DataFrame
            construct, source, units (with an answer), answers (median a unit), icc1 (share of the variance of one
            answer that lies between units; can be negative), reliability (of the unit means of the item mean, 0-1:
            variance between units / (variance between units + mean sampling error), finite units counted; 1 for the
            unit's own figures), effective_units (sum over units of each unit's own reliability: so many units
            without sampling error would say as much), note.
        """
        return _frame(self.construct_rows, ConstructCheck)

    @property
    def edges(self) -> pd.DataFrame:
        """The smallest edges that would be found.

        Returns
        -------
        DataFrame
            cause, effect, units (with something of the effect and all of its causes), detectable (smallest edge, in
            standard deviations between units, that is found with 80 % power at 5 %, two-sided, other edges being as
            the unit means suggest), se (expected, of an edge of that size), note (why a number is missing).
        """
        return _frame(self.edge_rows, EdgeCheck)

    @property
    def collect(self) -> pd.DataFrame:
        """What more data would bring for the total effect.

        Returns
        -------
        DataFrame
            what ("now", "units", or the source whose answers are multiplied), times (2 for answers, less where no more
            people are eligible; no row where everybody answered), units, answers (median a unit of that source),
            detectable (standardised total effect).
        """
        return _frame(self.more, MoreData)

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do next, in sentences, the most pressing first."""
        return check_advice(self)

    def units_for(self, effect: float) -> int:
        """How many units, like those of the study, would find a total effect of the headline with 80 % power.

        Parameters
        ----------
        effect
            Total effect in standard deviations between units, above 0 and below 1; its sign does not matter.

        Raises
        ------
        SpecError
            For an effect out of that range.
        EstimationError
            If nothing can be planned, or no number of units suffices.
        """
        if isinstance(effect, bool) or not 0 < abs(effect) < 1:
            raise SpecError(f"effect= was {effect!r}.", allowed="a standardised effect, above 0 and below 1")
        if self.total is None:
            raise EstimationError("Nothing acts on anything in this model.", hint="Draw an edge.")
        if self.planned is None:
            raise EstimationError(f"Nothing can be planned: {self.reason or self.obstacle}.")
        with one_blas_thread():
            found = power.units_needed(self.planned, self.total.cause, self.total.effect, abs(effect))
        if found is None:
            ends = f"{self.total.cause!r} on {self.total.effect!r}"
            raise EstimationError(
                f"No number of units finds a total effect of {effect:g} of {ends}: it would leave some construct on "
                "the way no variance of its own, or the means of one are nothing but sampling error.",
                hint="Ask for a smaller effect, or collect more answers per unit.",
            )
        return found

    def _story(self) -> Story:
        return check_story(self)

    def summary(self) -> str:
        """All of it in words and numbers."""
        return self._story().to_text()

    def __repr__(self) -> str:
        verdict = "identified" if self.identified else "NOT identified"
        found = self.total
        known = found is not None and not np.isnan(found.detectable)
        small = f", total effects from {plain(found.detectable, 2)}" if found is not None and known else ""
        return f"<StudyCheck of {self.n_units} units, model {self.model.name!r}: {verdict}{small}>"

    def _repr_html_(self) -> str:
        return check_glance(self).to_html()


Row = ConstructCheck | EdgeCheck | MoreData


def _frame(rows: Sequence[Row], kind: type[Row]) -> pd.DataFrame:
    import pandas as pd

    columns = [field.name for field in fields(kind) if field.name != "fault"]
    return pd.DataFrame([[getattr(row, name) for name in columns] for row in rows], columns=columns)


def check_study(model: RoxModel, moments: LinkedMoments) -> StudyCheck:
    """Check a study; see `Study.check`."""
    with one_blas_thread():
        return _checked(model, moments)


def _checked(model: RoxModel, moments: LinkedMoments) -> StudyCheck:
    known = power.planning_means(model, moments)
    plan, noise = power.plan_study(model, known), known.noise()
    constructs = tuple(_construct(construct, moments, known, noise) for construct in model.constructs)
    noisy = {row.construct: row.note for row in constructs if row.reliability == 0}
    pair = headline(model)
    total = None if pair is None else _total(model, pair, plan, noisy)
    planned = plan.planned
    free = [edge for edge in model.edges if edge.fixed is None and not edge.lag]
    loadings = sum(max(len(construct.items) - 1, 0) for construct in model.constructs)
    return StudyCheck(
        model=model,
        n_units=len(known.means.units),
        construct_rows=constructs,
        edge_rows=tuple(_edges(model, plan, noisy)),
        more=() if total is None or planned is None else tuple(_more(planned, total, known, constructs)),
        identified=not plan.refusal,
        reason=plan.refusal,
        obstacle=plan.why,
        parameters=loadings + len(free),
        total=total,
        notes=known.notes,
        planned=planned,
        apart=plan.apart,
        hardly=plan.hardly,
    )


def _construct(
    construct: Construct, moments: LinkedMoments, known: power.PlanningMeans, noise: FloatArray
) -> ConstructCheck:
    means = known.means
    at = [means.items.index(item) for item in construct.item_names]
    there = ~np.isnan(means.values[:, at])
    some = there.any(axis=1)
    units, head = int(some.sum()), (construct.name, construct.source)
    if construct.source == UNIT:
        return ConstructCheck(*head, units, 1.0, np.nan, 1.0, float(units), "the unit's own figure")
    own = moments.source(construct.source).select(construct.item_names)
    counts = own.counts.max(axis=1)
    answers = float(np.median(counts[counts > 0])) if (counts > 0).any() else 0.0
    agreed = agreement(moments.source(construct.source), construct)
    why = known.unknown.get(construct.source, "" if units > 1 else f"answered in {units} unit(s)")
    if why:
        return ConstructCheck(*head, units, answers, agreed.icc1, np.nan, np.nan, why)
    share = there[some] / there[some].sum(axis=1, keepdims=True)
    score = (np.where(there[some], means.values[some][:, at], 0.0) * share).sum(axis=1)
    error = np.einsum("ja,jab,jb->j", share, noise[some][:, at][:, :, at], share)
    between = float(np.var(score, ddof=1) - error.mean())
    if between <= 1e-12 * float(np.var(score)):
        note = (
            f"unit means of {construct.name} are nothing but sampling error: units differ no more than {answers:.0f} "
            "answers a unit would by chance"
        )
        return ConstructCheck(*head, units, answers, agreed.icc1, 0.0, 0.0, note)
    reliability = between / (between + float(error.mean()))
    effective = float((between / (between + error)).sum())
    return ConstructCheck(*head, units, answers, agreed.icc1, reliability, effective, "")


def _edges(model: RoxModel, plan: power.StudyPlan, noisy: dict[str, str]) -> Iterator[EdgeCheck]:
    planned, refusal = plan.planned, _UNTOLD if plan.refusal else ""
    for edge in (edge for edge in model.edges if not edge.lag):
        ends, units = (edge.cause, edge.effect), plan.units[edge.effect]
        causes = len(model.causes(edge.effect))
        why: str = refusal or plan.why or noisy.get(edge.cause) or noisy.get(edge.effect) or ""
        fault: CheckFault = ""
        rows = () if planned is None else planned.table.of("edge")
        row = next((row for row in rows if (row.left, row.right) == ends and not row.lag), None)
        if row is not None and not row.free:
            why = "fixed by the model: nothing is estimated"
        elif not why and units <= causes + 1:
            why, fault = f"{causes} cause(s) ask for more than {units} units", "few_units"
        if why or planned is None or row is None:
            yield EdgeCheck(*ends, units, np.nan, np.nan, why, fault)
            continue
        found = power.smallest_edge(planned, row)
        never = bool(np.isnan(found.value))
        yield EdgeCheck(*ends, units, found.value, found.se, _ALL if never else "", "no_size" if never else "")


def _total(model: RoxModel, pair: tuple[str, str], plan: power.StudyPlan, noisy: dict[str, str]) -> TotalCheck:
    planned, way = plan.planned, power.edges_between(model, *pair)
    units = min(plan.units[effect] for _, effect in way)
    if planned is None:
        why = _UNTOLD if plan.refusal else plan.why
        return TotalCheck(*pair, np.nan, np.nan, np.nan, units, np.nan, why)
    why = next((noisy[name] for ends in way for name in ends if name in noisy), "")
    free = [row for row in planned.table.of("edge") if row.free and (row.left, row.right) in way and not row.lag]
    if not free:
        why = "every edge on the way is fixed by the model"
    found = power.Smallest() if why else power.smallest_total(planned, *pair)
    never = not why and bool(np.isnan(found.value))
    sd = _sd(planned)
    a, b = (planned.model.names.index(name) for name in pair)
    raw, told = found.value * float(sd[b] / sd[a]), _ALL if never else why
    return TotalCheck(*pair, found.value, raw, found.se, units, found.df, told, "no_size" if never else "")


def _sd(planned: power.Planned) -> FloatArray:
    """(k,) standard deviations between units in points of each construct's first item."""
    at = implied(planned.layout, planned.theta)
    loadings = filled(planned.layout, planned.theta, LOADINGS)
    first = [planned.layout.items.index(c.item_names[0]) for c in planned.model.constructs]
    return np.asarray(np.sqrt(np.maximum(np.diag(at.latent), 0.0)) * np.abs(loadings[first, np.arange(len(first))]))


def _more(
    planned: power.Planned, total: TotalCheck, known: power.PlanningMeans, constructs: tuple[ConstructCheck, ...]
) -> Iterator[MoreData]:
    """The headline's smallest effect with more units, and with more answers of each source."""
    if np.isnan(total.detectable) and total.fault != "no_size":
        return
    pair, n = (total.cause, total.effect), planned.n
    yield MoreData("now", 1.0, n, np.nan, total.detectable)
    for times in _MORE_UNITS:
        yield MoreData("units", times, n * times, np.nan, power.smallest_total(planned, *pair, times).value)
    for source in known.means.sources:
        name = source.moments.source
        answers = max(row.answers for row in constructs if row.source == name)
        times = float(np.median(growth_of(source.moments, _MORE_ANSWERS)))
        if times > 1:
            more = power.with_noise(planned, known.means, known.noise({name: _MORE_ANSWERS}))
            yield MoreData(name, times, n, times * answers, power.smallest_total(more, *pair).value)
