"""Simulate: what interventions do to every construct over time, in points and in money."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roxmodel.doubts import Doubt, doubt_tail
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.frozen import FrozenMapping
from roxmodel.result.fit import Fit
from roxmodel.result.levels import UnitLevels, complete_levels
from roxmodel.simulation import question as asking
from roxmodel.simulation.actions import Action, Clash, contradictions, read_actions, support_notes
from roxmodel.simulation.dynamics import Course, assumed_notes, long_run, settles
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Finance, Money
from roxmodel.simulation.money.returns import flow_table, outcome_table, risk_table, rox_table
from roxmodel.simulation.overturned import Overturned, overturned_by
from roxmodel.simulation.pictures import effects_figure, rox_figure, tornado_figure
from roxmodel.simulation.question import OverDraws, Question, Request
from roxmodel.simulation.run_story import course_notes, money_notes, run_story
from roxmodel.story import Spoken, Story
from roxmodel.types import FloatArray, read_only

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Run", "base_npv", "simulate"]


_ENDS = (0.025, 0.975)
_LEVELS = 64  # draws of the levels with which the answer at the estimate is found


@read_only
@dataclass(frozen=True, eq=False, repr=False)
class Run(Spoken):
    """The answer to a what-if question: `interventions` in the population of a `fit`.

    `horizon`, `discount`, `n_units`: waves, rate per wave, units the money is summed over (None where there are none).
    `changes`: (draws, waves, k) mean change over the units against no action, all interventions together. `money`: one
    for each intervention by itself, then the total; empty without `value`, the money per raw unit of each outcome, per
    unit (branch), per wave. `notes`: what was assumed, cut or extrapolated. `question`, `actions`: what was asked, as
    it was read: draws, prices, units; interventions in the fit's own places. `doubts`: those of the fit
    (`roxmodel.doubts.Doubt`) that touch an edge between what is acted on and what moves; empty = none.
    """

    fit: Fit
    interventions: tuple[Intervention, ...]
    horizon: int
    discount: float
    n_units: int | None
    changes: FloatArray
    money: tuple[Money, ...]
    value: Mapping[str, object]
    notes: tuple[str, ...]
    question: Question
    actions: tuple[Action, ...]
    doubts: tuple[Doubt, ...] = ()

    def effects(self) -> pd.DataFrame:
        """Mean change against no action, over all units.

        Returns
        -------
        DataFrame
            construct, wave (1…horizon), mean, ci_low, ci_high (over the draws, 95 %), in the construct's units;
            estimate (the change at the estimate of the parameters, as `Fit.effects` has it, with what ends of scales
            cut). Where the fit is unusable on the way and the mean over the draws is not the answer at the estimate
            (another sign, or more than 25 % and its Monte-Carlo error away), the mean is left out (NaN): such draws
            have none that says anything. NaN too where the data say nothing of an edge on the way.
        """
        import pandas as pd

        names, found = self.fit.model.names, self.spread
        lost = any(one.verdict == "unusable" for one in self.doubts)
        mean = np.where(found.apart | found.turned, np.nan, found.mean) if lost else found.mean
        columns = (mean, found.low, found.high, found.estimate)
        rows = [
            (name, wave + 1, *(column[wave, place] for column in columns))
            for place, name in enumerate(names)
            for wave in range(self.horizon)
        ]
        return pd.DataFrame(rows, columns=["construct", "wave", "mean", "ci_low", "ci_high", "estimate"])

    @cached_property
    def spread(self) -> OverDraws:
        """(waves, k) changes over the draws, beside those at the estimate."""
        return OverDraws.of(self.changes, self._estimated(self.actions).changes.mean(axis=0))

    @cached_property
    def npv_spreads(self) -> tuple[OverDraws, ...]:
        """Net values over the draws beside those at the estimate, one for each row of `rox`."""
        if not self.money:
            return ()
        sets = [*((action,) for action in self.actions), self.actions]
        asked = self.question.at()
        found = []
        for money, actions in zip(self.money, sets, strict=True):
            at = asked.money(money.name, self._estimated(actions), actions).npv
            found.append(OverDraws.of(money.npv, np.asarray(at.mean())))
        return tuple(found)

    def _estimated(self, actions: Sequence[Action]) -> Course:
        """The course at the estimate, once for each of some draws of the levels where these are uncertain."""
        asked = self.question.at()
        ground = asked.ground(self.actions)
        drawn = ground.levels is not None and ground.levels.uncertain
        again = np.zeros(min(len(self.changes), _LEVELS) if drawn else 1, dtype=np.int64)
        return replace(asked, system=asked.system.only(again)).course(actions, ground)

    def rox(self) -> pd.DataFrame:
        """Return on experience: each intervention by itself, then all together.

        Returns
        -------
        DataFrame
            intervention (input order, then ``total``), benefit, cost, npv, rox (means over draws, discounted),
            payback (first wave, once all is spent, in which the mean flows so far cover the costs; infinite = not
            within the horizon),
            prob_positive (P(npv > 0)), the ends of the 95 % intervals ``*_low, *_high``, and npv_estimate (npv at the
            estimate of the parameters and the expected prices). With caps, the rows need not add up to the total. All
            but costs is NaN where the data say nothing of an edge on the way.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        at = [float(found.estimate) for found in self.npv_spreads] if self._money() else []
        return rox_table(list(self._money())).assign(npv_estimate=at)

    def _money(self) -> tuple[Money, ...]:
        if not self.money:
            raise SimulationError(
                "No value= was given, so there is no money to count.",
                hint="Simulate with value={'outcome': money per raw unit, per unit and wave}.",
            )
        return self.money

    def risk(self, level: float = 0.05) -> pd.DataFrame:
        """What can go wrong, for each intervention by itself and for the total.

        Parameters
        ----------
        level
            Share of the draws that counts as the worst, above 0 and up to 1.

        Returns
        -------
        DataFrame
            intervention, npv, sd, prob_loss (share of draws below 0), var (npv that the worst share lies below), cvar
            (its mean), irr (internal rate of return per wave of the mean flows; NaN where there is none or more than
            one), break_even (share of the benefit that has to come true for an npv of 0), payback.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return risk_table(self._money(), level)

    def flows(self) -> pd.DataFrame:
        """Money wave by wave, not discounted.

        Returns
        -------
        DataFrame
            intervention, wave, benefit, benefit_low, benefit_high (95 % of the draws), cost, net, cumulative,
            discounted_net.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return flow_table(self._money())

    def outcomes(self) -> pd.DataFrame:
        """From which priced outcome the benefit comes: intervention, outcome, benefit, benefit_low, benefit_high.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return outcome_table(self._money())

    def costs(self) -> pd.DataFrame:
        """What is spent, block by block: intervention, block, wave, amount (not discounted)."""
        import pandas as pd

        rows = [
            (action.name, block, wave, float(amount))
            for action in self.actions
            for block, money in action.spending.items()
            for wave, amount in enumerate(money, start=1)
            if amount
        ]
        return pd.DataFrame(rows, columns=["intervention", "block", "wave", "amount"])

    def equilibrium(self) -> pd.DataFrame:
        """Where every construct settles if all actions are kept at full force for ever.

        Closed form, ``(I - B - Σ B_l)⁻¹`` times the push; fading and the ends of scales are not counted.

        Returns
        -------
        DataFrame
            construct, mean, ci_low, ci_high (95 % of the draws), in the construct's units.

        Raises
        ------
        SimulationError
            If an equation is curved, or actions follow on one another that cannot both be kept up.
        """
        import pandas as pd

        if not self.question.system.linear:
            raise SimulationError(
                "The equilibrium has a closed form in linear graphs only, and an equation of this fit is curved.",
                hint="Look at the last waves of effects() with a long horizon.",
            )
        for_ever = [replace(action, share=np.ones(1)) for action in self.actions]
        for clash in contradictions(self.fit, for_ever):
            names = f"{self.actions[clash.first].name!r} and {self.actions[clash.second].name!r}"
            raise SimulationError(
                f"Kept up for ever, {names} {clash.why}, so that there is no equilibrium of both.",
                hint="Keep one of the two.",
            )
        levels = None if self.fit.population.mean is None else complete_levels(self.fit, self.question.asked.seed or 0)
        found = long_run(self.question.system, self.actions, levels)
        low, high = np.quantile(found, [0.025, 0.975], axis=0)
        columns = {"construct": self.fit.model.names, "mean": found.mean(axis=0), "ci_low": low, "ci_high": high}
        return pd.DataFrame(columns)

    def tornado(self) -> pd.DataFrame:
        """What the net value of all interventions together depends on most.

        One driver at a time stands at either end of its 95 % interval, everything else at its estimate.

        Returns
        -------
        DataFrame
            driver (an edge, with those held equal to it, or ``price of …`` where that is uncertain), low, high (its
            ends), npv_low, npv_high (npv there; NaN where a feedback loop does not settle), swing (their distance), the
            widest first. Drivers that move nothing are left out.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        self._money()
        return _tornado(self.question, self.actions)

    @cached_property
    def overturned(self) -> Overturned:
        """How much one unmeasured cause must explain to bring the money of all interventions together to 0.

        See `roxmodel.Fit.sensitivity`; of every construct on the paths from what is acted on to what is priced.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        total = self._money()[-1]
        return overturned_by(self.question, self.actions, total.benefit, total.cost)

    def __repr__(self) -> str:
        names = ", ".join(i.name for i in self.interventions)
        doubts = doubt_tail(self.doubts, "run")
        return f"<Run of {names} over {self.horizon} waves, {len(self.changes)} draws{doubts}>"

    def _story(self) -> Story:
        return run_story(self)

    def plot(self, kind: str = "effects") -> Figure:
        """Draw the answer.

        Parameters
        ----------
        kind
            ``"effects"``: change of every construct that moves, over the waves, with its 95 % band. ``"rox"``:
            benefit, cost and what is left. ``"tornado"``: what the net value depends on most (see `tornado`).

        Raises
        ------
        SimulationError
            For another kind.
        """
        if kind == "effects":
            return effects_figure(self)
        if kind == "rox":
            return rox_figure(self)
        if kind == "tornado":
            return tornado_figure(self, base_npv(self.question, self.actions))
        raise SimulationError(f"plot({kind!r}) was asked for.", allowed="'effects', 'rox' or 'tornado'")


def simulate(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    interventions: Sequence[Intervention] | Intervention,
    *,
    horizon: int = 8,
    draws: int = 2_000,
    seed: int | None = None,
    value: Mapping[str, object] | None = None,
    discount: float = 0.0,
    n_units: int | None = None,
    finance: Finance | None = None,
    unconverged: bool = False,
    doubtful: bool = False,
) -> Run:
    """Ask the fitted graph what interventions would do in the population of units.

    What would have been in one unit is `counterfactual`; what to expect if nothing is done is `forecast`.

    Parameters
    ----------
    fit
        The fitted graph.
    interventions
        What is done; how several of them combine on one construct is said in `Intervention`.
    horizon
        Number of waves; wave 0 is the baseline and is not reported.
    draws
        Draws of the parameters (their uncertainty is the uncertainty of the answer).
    seed
        Equal seeds give equal answers.
    value
        Outcome -> money per raw unit of it, per unit (branch), per wave: a number, or a price as in `Finance`. Only
        outcomes can be priced, so that money is counted once.
    discount
        Rate per wave, above -1: flows of wave t, costs too, are divided by (1 + discount)^t.
    n_units
        Number of units the money is summed over; needed with `value` where the fit has none.
    finance
        `value` and `discount` in one record, with the timing of flows and a currency, instead of the two.
    unconverged
        Whether to simulate from a fit that did not converge all the same.
    doubtful
        Whether you know that the fit is doubtful where it is used here: without it a RoxWarning says so. The answer
        carries the doubts either way (``run.doubts``, first in its summary and in its pictures).

    Returns
    -------
    Run
        Holds (draws, waves, k) mean changes and (draws, waves) money; single units are not kept.

    Raises
    ------
    SimulationError
        If the question cannot be asked of this fit, in one sentence that names the culprit.

    Warns
    -----
    RoxWarning
        If the fit is doubtful or unusable on an edge between what is acted on and what moves (`doubtful`), if an
        action goes beyond what was observed, or if a feedback loop has no equilibrium in some draws.

    Notes
    -----
    Edges act within the wave; fixed lagged edges bring the change of earlier waves, and feedback loops, within or over
    waves, have to settle. A construct on a bounded scale is held inside it, unit by unit; by method "linked" the level
    of a unit is drawn from what is known of it, anew in every draw. Outcomes with a curved equation change on the
    response scale (probability, count).

    Examples
    --------
    >>> from roxmodel.estimate.methods import fit
    >>> from roxmodel.moments.single import Moments
    >>> from roxmodel.spec.graph import five_factor
    >>> moments = Moments.from_correlation(["pride", "sales"], [[1, 0.4], [0.4, 1]], n=100)
    >>> found = fit(five_factor({"pride": ["pride"], "outcomes": ["sales"]}), moments, method="path")
    >>> run = simulate(found, [Intervention(name="coaching", shift={"pride": 1.0})], horizon=1, seed=1)
    >>> run.effects()["construct"].tolist()
    ['pride', 'outcomes']
    """
    given = asking.listed_interventions("interventions", interventions)
    money = asking.finance_of(value, discount, finance)
    asked = Request(horizon, draws, seed, money, n_units, unconverged, discount, doubtful)
    question = asking.question_of(fit, given, asked)
    actions, assumed = read_actions(fit, given, horizon, question.units, seed)
    _refuse_together(given, contradictions(fit, actions))
    levers = {fit.model.names[place] for action in actions for place in action.acted}
    doubts = asking.inherited(fit, asking.used_edges(fit.model, levers), (unconverged, doubtful), "run")
    heed = (*support_notes(fit, actions, seed), *money_notes(question), *question.lost)
    for note in heed:
        warnings.warn(note, RoxWarning, stacklevel=2)
    ground = question.ground(actions)
    together = question.course(actions, ground)
    rows: list[Money] = []
    if question.priced:
        for action in actions:
            course = together if len(actions) == 1 else question.course([action], ground)
            rows.append(question.money(action.name, course, [action]))
        rows.append(question.money("total", together, actions))
    return Run(
        fit=fit,
        interventions=tuple(given),
        horizon=horizon,
        discount=discount if money is None else money.discount,
        n_units=question.units,
        changes=together.changes,
        money=tuple(rows),
        value=FrozenMapping({} if money is None else dict(money.value)),
        notes=(
            *asking.fit_notes(fit),
            *((asking.unknown_note(fit),) if fit.unknown_after(levers) else ()),
            *assumed,
            *assumed_notes(fit),
            *question.loops,
            *heed,
            *course_notes(question, actions, together, ground.levels is None),
        ),
        question=question,
        actions=actions,
        doubts=doubts,
    )


def _refuse_together(given: Sequence[Intervention], clashes: Sequence[Clash]) -> None:
    """Refuse actions that contradict or exclude each other, and one without what it needs."""
    for clash in clashes:
        raise SimulationError(
            f"Interventions {given[clash.first].name!r} and {given[clash.second].name!r} {clash.why}.",
            hint="Keep one, or let them act in different units or waves.",
        )
    starts = {one.name: one.start for one in given}
    for one in given:
        for other in one.excludes:
            if other in starts:
                raise SimulationError(f"Intervention {one.name!r} excludes {other!r}.", hint="Keep one of the two.")
        for other in one.requires:
            if other not in starts:
                raise SimulationError(f"Intervention {one.name!r} requires {other!r}.", hint=f"Add {other!r}.")
            if starts[other] > one.start:
                raise SimulationError(
                    f"Intervention {one.name!r} starts in wave {one.start} and requires {other!r}, which starts in "
                    f"wave {starts[other]}.",
                    hint="What is required has to start no later.",
                )


def base_npv(question: Question, actions: Sequence[Action]) -> float:
    """Net value at the estimate: where the bars of the tornado start."""
    return float(_npv(question.at(), actions)[0])


class _Driver(NamedTuple):
    """What an answer in money depends on: its ends, and the npv there; NaN where a feedback loop does not settle."""

    driver: str
    low: float
    high: float
    npv_low: float = np.nan
    npv_high: float = np.nan


def _tornado(question: Question, actions: Sequence[Action]) -> pd.DataFrame:
    """See `Run.tornado`."""
    import pandas as pd

    drivers, thetas = _edges(question)
    calm = np.ones(len(thetas), dtype=bool)
    if question.loops:
        calm = settles(question.fit, question.at(thetas).system)
    npv = np.full(len(thetas), np.nan)
    npv[calm] = _npv(question.at(thetas[calm]), actions)
    base, ends = float(npv[0]), npv[1:].reshape(-1, 2).tolist()
    rows = [driver._replace(npv_low=low, npv_high=high) for driver, (low, high) in zip(drivers, ends, strict=True)]
    table = pd.DataFrame([*rows, *_prices(question, actions)], columns=list(_Driver._fields))
    table["swing"] = (table["npv_high"] - table["npv_low"]).abs()
    table = table[~(table["swing"] <= 1e-9 * max(1.0, abs(base)))]
    return table.sort_values("swing", ascending=False, kind="stable").reset_index(drop=True)


def _edges(question: Question) -> tuple[list[_Driver], FloatArray]:
    """Edges with their ends, and parameters with one edge at a time at an end, the estimate first."""
    fit = question.fit
    drivers: dict[int, _Driver] = {}  # edges held equal move together
    thetas = [np.array(fit.theta)]
    for row, low, high in zip(fit.table, fit.estimates.low, fit.estimates.high, strict=True):
        if row.kind != "edge" or not row.free or not np.isfinite([low, high]).all():
            continue
        name, known = f"{row.left} -> {row.right}", drivers.get(row.free)
        if known is not None:
            drivers[row.free] = known._replace(driver=f"{known.driver} = {name}")
            continue
        drivers[row.free] = _Driver(name, float(low), float(high))
        for value in (low, high):
            moved = np.array(fit.theta)
            moved[row.free - 1] = value
            thetas.append(moved)
    return [*drivers.values()], np.array(thetas)


def _npv(asked: Question, actions: Sequence[Action]) -> FloatArray:
    """(rows,) npv for each row of parameters, levels as expected."""
    ground = asked.ground(actions)
    if ground.levels is not None:
        ground = replace(ground, levels=UnitLevels(ground.levels.mean, None, 0))
    return np.asarray(asked.money("total", asked.course(actions, ground), actions).npv)


def _prices(question: Question, actions: Sequence[Action]) -> list[_Driver]:
    """Uncertain prices at their ends."""
    asked, found = question.at(), []
    for i, one in enumerate(question.priced):
        if len(one.price) == 1:
            continue
        ends, npv = np.quantile(one.price, _ENDS).tolist(), []
        for end in ends:
            priced = (*asked.priced[:i], replace(asked.priced[i], price=np.array([end])), *asked.priced[i + 1 :])
            npv.append(float(_npv(replace(asked, priced=priced), actions)[0]))
        found.append(_Driver(f"price of {one.name}", *ends, *npv))
    return found
