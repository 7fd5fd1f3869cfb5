"""What the pictures of a run and of a plan show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import doubt_words
from roxmodel.errors import SimulationError
from roxmodel.numerals import money_text
from roxmodel.plots.charts import Bar, FanSeries, draw_fan, draw_waterfall
from roxmodel.plots.decisions import FrontierPoint, PlanRow, Swing, draw_chance, draw_frontier, draw_plan, draw_tornado
from roxmodel.plots.page import warned
from roxmodel.simulation.actions import unit_of
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.question import unknown_note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from roxmodel.simulation.budget.plan import Plan
    from roxmodel.simulation.run import Run

__all__ = ["effects_figure", "plan_figure", "rox_figure", "tornado_figure"]


_TITLE = 100  # characters of a title that lists actions; more than that are counted


def effects_figure(run: Run) -> Figure:
    """Fan chart of every construct that moves."""
    low, high = run.spread.low, run.spread.high
    told = run.effects()["mean"].to_numpy().reshape(len(run.fit.model.names), run.horizon).T
    mean = np.where(np.isnan(told), run.spread.estimate, told)
    series = [
        FanSeries(
            name=construct.name,
            wave=np.arange(1.0, run.horizon + 1),
            mean=mean[:, place],
            low=low[:, place],
            high=high[:, place],
            unit=unit_of(construct, run.fit),
        )
        for place, construct in enumerate(run.fit.model.constructs)
        if np.abs(mean[:, place]).max() > 1e-12
    ]
    names, count = ", ".join(i.name for i in run.interventions), len(run.interventions)
    title = f"What if: {names if count == 1 or len(names) <= _TITLE else f'{count} actions'}"
    left = [one.name for one in series if np.isnan(told[:, run.fit.model.names.index(one.name)]).any()]
    apart = f" {', '.join(left)}: at the estimate, where the draws have no mean that says anything." if left else ""
    caption = f"Mean change against no action, all units; band: 95 % of {len(run.changes)} draws.{apart}"
    return warned(draw_fan(series, title, caption), doubt_words(run.doubts))


def rox_figure(run: Run) -> Figure:
    """Waterfall: benefit of each intervention, cost, what is left."""
    if not run.money:
        raise SimulationError("No value= was given, so there is no money to draw.", hint="Simulate with value={...}.")
    if any(np.isnan(money.npv).any() for money in run.money):
        raise SimulationError(f"There is no money to draw. {unknown_note(run.fit)}")
    steps = [_bar(money.name, money.benefit) for money in run.money[:-1]]
    total = run.money[-1]
    together = total.benefit.mean() - sum(step.value for step in steps)
    if len(steps) > 1 and abs(together) > 0.005 * abs(total.benefit.mean()):
        steps.append(Bar(name="acting together", value=float(together), low=None, high=None))
    steps.append(Bar(name="cost", value=-total.cost, low=None, high=None))
    steps.append(_bar("net", total.npv))
    terms = run.question.terms
    unit = f"{terms.currency or 'money'}, discounted"
    return warned(draw_waterfall(steps, "Return on experience", unit, formula_of(terms)), doubt_words(run.doubts))


def tornado_figure(run: Run, base: float) -> Figure:
    """Tornado of the net value."""
    table = run.tornado()
    lost = int(table[["npv_low", "npv_high"]].isna().any(axis=1).sum())
    table = table.dropna(subset=["npv_low", "npv_high"])
    bars = [
        Swing(row["driver"], row["npv_low"], row["npv_high"], money_text(row["low"]), money_text(row["high"]))
        for row in table.to_dict("records")
    ]
    if not bars:
        raise SimulationError("Nothing uncertain moves this answer, so there is no tornado to draw.")
    caption = "One driver at a time at the ends of its 95 % interval, everything else at its estimate."
    if lost:
        caption += f" {lost} left out: at an end of them a feedback loop does not settle."
    terms = run.question.terms
    figure = draw_tornado(bars, base, "What the net value depends on", terms.currency or "money", caption)
    return warned(figure, doubt_words(run.doubts))


def _bar(name: str, draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Bar:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Bar(name=name, value=float(draws.mean()), low=float(low), high=float(high))


def plan_figure(plan: Plan, kind: str) -> Figure:
    """See `Plan.plot`."""
    drawn = {"plan": _calendar, "frontier": _frontier, "chance": _chance}.get(kind)
    if drawn is None:
        raise SimulationError(f"plot({kind!r}) was asked for.", allowed="'plan', 'frontier' or 'chance'")
    return warned(drawn(plan), doubt_words(plan.doubts))


def _unit(plan: Plan) -> str:
    return plan.question.terms.currency or "money"


def _calendar(plan: Plan) -> Figure:
    if len(plan.choice.options) == 0:
        raise SimulationError(
            "This plan does nothing, so there is nothing to draw.", hint="plot('frontier') says more."
        )
    rows = []
    for place in plan.choice.options:
        option = plan.options[place]
        low, high = np.quantile(plan.worth.draws[:, place], [0.025, 0.975])
        cost = float(plan.problem.cost[place].sum())
        net = float(plan.worth.mean[place])
        rows.append(PlanRow(option.intervention.name, option.action.share, cost, net, float(low), float(high)))
    mean, low, high = (float(value) for value in plan.promised[["mean", "low", "high"]])
    spending = plan.problem.cost[plan.choice.options].sum(axis=0)
    limit = plan.problem.wave_budget if np.isfinite(plan.problem.wave_budget).any() else None
    caption = "Net values are discounted and shrunken; costs are not discounted."
    return draw_plan(rows, spending, limit, Bar("plan", mean, low, high), "The plan", _unit(plan), caption)


def _frontier(plan: Plan) -> Figure:
    table = plan.frontier()
    points = [
        FrontierPoint(row["budget"], row["npv"], row["npv_low"], row["npv_high"], row["spent"])
        for row in table.to_dict("records")
        if np.isfinite(row["npv"])
    ]
    mean, low, high = (float(value) for value in plan.promised[["mean", "low", "high"]])
    budget = plan.problem.budget if np.isfinite(plan.problem.budget) else plan.spent
    points = [point for point in points if not np.isclose(point.budget, budget, rtol=1e-9)]
    points.append(FrontierPoint(budget, mean, low, high, plan.spent, chosen=True))
    caption = "The best plan under each budget: expected net value and 95 % of the draws."
    return draw_frontier(points, "What a budget brings", caption, _unit(plan))


def _chance(plan: Plan) -> Figure:
    caption = f"Net value of the plan in {len(plan.draws)} draws, discounted and shrunken."
    return draw_chance({"the plan": plan.draws}, "How sure the plan is", _unit(plan), caption)
