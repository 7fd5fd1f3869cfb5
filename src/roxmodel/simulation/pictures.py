"""Extract from a run what its pictures show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.plots.charts import Bar, FanSeries, draw_fan, draw_waterfall
from roxmodel.plots.decisions import Swing, draw_tornado
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.tornado import base_npv
from roxmodel.simulation.units import unit_of
from roxmodel.simulation.words import money_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from roxmodel.simulation.answer import Answer

__all__ = ["effects_figure", "rox_figure", "tornado_figure"]

_TITLE = 100  # characters of a title that lists actions; more than that are counted


def effects_figure(run: Answer) -> Figure:
    """Fan chart of every construct that moves."""
    low, high = np.quantile(run.changes, [0.025, 0.975], axis=0)
    mean = run.changes.mean(axis=0)
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
    caption = f"Mean change against no action, all units; band: 95 % of {len(run.changes)} draws."
    return draw_fan(series, title, caption)


def rox_figure(run: Answer) -> Figure:
    """Waterfall: benefit of each intervention, cost, what is left."""
    if not run.money:
        raise SimulationError("No value= was given, so there is no money to draw.", hint="Simulate with value={...}.")
    steps = [_bar(money.name, money.benefit) for money in run.money[:-1]]
    total = run.money[-1]
    together = total.benefit.mean() - sum(step.value for step in steps)
    if len(steps) > 1 and abs(together) > 0.005 * abs(total.benefit.mean()):
        steps.append(Bar(name="acting together", value=float(together), low=None, high=None))
    steps.append(Bar(name="cost", value=-total.cost, low=None, high=None))
    steps.append(_bar("net", total.npv))
    terms = run.question.terms
    unit = f"{terms.currency or 'money'}, discounted"
    return draw_waterfall(steps, "Return on experience", unit, formula_of(terms))


def tornado_figure(run: Answer) -> Figure:
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
    base = base_npv(run.question, run.actions)
    return draw_tornado(bars, base, "What the net value depends on", terms.currency or "money", caption)


def _bar(name: str, draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Bar:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Bar(name=name, value=float(draws.mean()), low=float(low), high=float(high))
