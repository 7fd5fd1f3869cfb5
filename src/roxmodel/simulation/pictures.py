"""Extract from a run what its pictures show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.plots.charts import Bar, FanSeries, draw_fan, draw_waterfall
from roxmodel.simulation.finance import FORMULA
from roxmodel.simulation.units import unit_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from roxmodel.simulation.answer import Answer

__all__ = ["effects_figure", "rox_figure"]


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
    title = f"What if: {', '.join(i.name for i in run.interventions)}"
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
    return draw_waterfall(steps, "Return on experience", "money, discounted", FORMULA)


def _bar(name: str, draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Bar:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Bar(name=name, value=float(draws.mean()), low=float(low), high=float(high))
