"""Extract from a plan what its pictures show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.plots.charts import Bar
from roxmodel.plots.decisions import FrontierPoint, draw_chance, draw_frontier
from roxmodel.plots.plans import PlanRow, draw_plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from roxmodel.simulation.budget.plan import Plan

__all__ = ["plan_figure"]


def plan_figure(plan: Plan, kind: str) -> Figure:
    """See `Plan.plot`."""
    if kind == "plan":
        return _calendar(plan)
    if kind == "frontier":
        return _frontier(plan)
    if kind == "chance":
        return _chance(plan)
    raise SimulationError(f"plot({kind!r}) was asked for.", allowed="'plan', 'frontier' or 'chance'")


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
