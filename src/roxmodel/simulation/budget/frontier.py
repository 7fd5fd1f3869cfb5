"""What other budgets would bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.simulation.budget.choice import conflicts
from roxmodel.simulation.budget.promise import promise_of
from roxmodel.simulation.check import is_number

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.simulation.budget.plan import Plan

__all__ = ["frontier_table"]

_BUDGETS = 20
_COLUMNS = ("budget", "spent", "npv", "npv_low", "npv_high", "prob_positive", "n_actions", "chosen", "marginal")


def frontier_table(plan: Plan, budgets: object) -> pd.DataFrame:
    """See `Plan.frontier`."""
    import pandas as pd

    rows, before = [], (0.0, 0.0)
    for budget in _amounts(plan, budgets):
        problem = replace(plan.problem, budget=budget)
        if conflicts(problem):
            rows.append((budget, np.nan, np.nan, np.nan, np.nan, np.nan, 0, "", np.nan))
            continue
        places = plan.search.best(problem)[0].options
        draws = promise_of(plan.options, plan.worth, places.tolist())
        spent, mean = float(problem.cost[places].sum()), float(draws.mean())
        low, high = np.quantile(draws, [0.025, 0.975])
        more = spent - before[0]
        marginal = (mean - before[1]) / more if more > 0 else np.nan
        before = (spent, mean)
        names = ", ".join(plan.candidates[plan.options[place].candidate].name for place in places)
        rows.append(
            (budget, spent, mean, float(low), float(high), float((draws > 0).mean()), len(places), names, marginal)
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _amounts(plan: Plan, budgets: object) -> list[float]:
    """The budgets asked for, or a range from nothing to all that pays."""
    if budgets is not None:
        if isinstance(budgets, str) or not isinstance(budgets, Iterable):
            raise SimulationError(f"budgets= was {budgets!r}.", allowed="a list of amounts of money")
        found = list(budgets)
        for amount in found:
            if not is_number(amount) or not amount >= 0:
                raise SimulationError(f"A budget of {amount!r} was asked for.", allowed="amounts of money, 0 or more")
        return sorted(float(amount) for amount in found)
    free = plan.search.best(replace(plan.problem, budget=np.inf))[0].options
    most = float(plan.problem.cost[free].sum())
    if np.isfinite(plan.problem.budget):
        most = max(most, plan.problem.budget)
    return [most * step / (_BUDGETS - 1) for step in range(_BUDGETS)] if most > 0 else [0.0]
