"""From points to money: benefit, cost, npv, return on experience, payback, risk of loss.

PwC publishes no formula for ROX. This library's own: ``npv = benefit - cost``, ``rox = npv / cost`` (0 = break-even,
-1 = all is lost). Flows of wave t are divided by ``(1 + discount)^t``, the cost in the wave it is spent in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMULA", "Money", "money_of", "rox_table"]

FORMULA = (
    "npv = benefit - cost; rox = npv / cost (0 = break-even, -1 = all is lost); flows of wave t divided by "
    "(1 + discount)^t. PwC publishes no formula: this is roxmodel's definition."
)
COLUMNS = (
    "intervention", "benefit", "cost", "npv", "rox", "payback", "prob_positive", "benefit_low", "benefit_high",
    "npv_low", "npv_high", "rox_low", "rox_high", "payback_low", "payback_high",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Money:
    """One row of the ROX statement, draw by draw.

    Attributes
    ----------
    name
        Intervention, or ``total``.
    flows
        (draws, waves) discounted benefit of each wave.
    costs
        (waves,) discounted cost of each wave.
    spent
        Wave in which the last cost is spent; the first start where nothing is spent.
    """

    name: str
    flows: FloatArray
    costs: FloatArray
    spent: int

    @property
    def benefit(self) -> FloatArray:
        """(draws,)."""
        return np.asarray(self.flows.sum(axis=1))

    @property
    def cost(self) -> float:
        """Discounted cost."""
        return float(self.costs.sum())

    @property
    def npv(self) -> FloatArray:
        """(draws,)."""
        return self.benefit - self.cost

    def payback(self) -> FloatArray:
        """(draws,) first wave, once all is spent, in which the flows so far cover the costs; infinite if none."""
        return _first_covered(self.flows - self.costs, self.spent)

    def mean_payback(self) -> float:
        """The same for the mean flow."""
        return float(_first_covered((self.flows - self.costs).mean(axis=0)[None, :], self.spent)[0])


def money_of(
    name: str, changes: FloatArray, costs: Mapping[int, float], value: Mapping[int, float], terms: tuple[float, float]
) -> Money:
    """Turn changes into discounted money.

    Parameters
    ----------
    name
        Of the row.
    changes
        (draws, waves, k) mean change over the units.
    costs
        Wave -> cost.
    value
        Construct's place -> money per raw unit, per unit (branch), per wave.
    terms
        Number of units, discount rate per wave.
    """
    units, discount = terms
    waves = changes.shape[1]
    factor = (1.0 + discount) ** -np.arange(1.0, waves + 1)
    flows = np.zeros(changes.shape[:2])
    for place, amount in value.items():
        flows = flows + amount * units * changes[:, :, place]
    spent = np.zeros(waves)
    for wave, cost in costs.items():
        spent[wave - 1] += cost
    last = max((wave for wave, cost in costs.items() if cost > 0), default=min(costs))
    return Money(name, flows * factor, spent * factor, last)


def _first_covered(net: FloatArray, spent: int) -> FloatArray:
    """First wave from `spent` on with a cumulative sum of at least 0, or infinite."""
    covered = np.cumsum(net, axis=1) >= -1e-12 * np.abs(net).sum(axis=1, keepdims=True)
    covered[:, : spent - 1] = False
    return np.where(covered.any(axis=1), covered.argmax(axis=1) + 1.0, np.inf)


def rox_table(rows: list[Money]) -> pd.DataFrame:
    """See `Run.rox`."""
    import pandas as pd

    return pd.DataFrame([_row(money) for money in rows], columns=list(COLUMNS))


def _row(money: Money) -> tuple[object, ...]:
    benefit, npv = money.benefit, money.npv
    ratio = _ratio(npv, money.cost)
    low, high = (
        {name: _end(draws, q) for name, draws in (("b", benefit), ("n", npv), ("r", ratio))} for q in (0.025, 0.975)
    )
    payback = np.sort(money.payback())
    ends = [float(payback[min(int(np.ceil(q * len(payback))) - 1, len(payback) - 1)]) for q in (0.025, 0.975)]
    return (
        money.name,
        float(benefit.mean()),
        money.cost,
        float(npv.mean()),
        float(ratio.mean()),
        money.mean_payback(),
        float((npv > 0).mean()),
        low["b"],
        high["b"],
        low["n"],
        high["n"],
        low["r"],
        high["r"],
        *ends,
    )


def _ratio(npv: FloatArray, cost: float) -> FloatArray:
    """Net value over cost; NaN where there is no cost to speak of."""
    with np.errstate(over="ignore"):
        ratio = npv / cost if cost > 0 else np.full(len(npv), np.nan)
    return ratio if np.isfinite(ratio).all() else np.full(len(npv), np.nan)


def _end(draws: FloatArray, quantile: float) -> float:
    return float(np.quantile(draws, quantile))
