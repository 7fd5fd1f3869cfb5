"""From points to money: benefit, cost, npv, return on experience, payback, rate of return, risk of loss.

PwC publishes no formula for ROX. This library's own: ``npv = benefit - cost``, ``rox = npv / cost`` (0 = break-even,
-1 = all is lost). Flows of wave t, costs too, are divided by ``(1 + discount)^t`` (timing ``"end"``) or by
``(1 + discount)^(t - 1)`` (timing ``"start"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.simulation.money import returns
from roxmodel.simulation.money.prices import Priced, Timing, discount_factors, retained, terminal_value
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "FORMULA",
    "Money",
    "Risk",
    "Terms",
    "flow_table",
    "formula_of",
    "money_of_flows",
    "outcome_table",
    "risk_table",
    "rox_table",
]

COLUMNS = (
    "intervention", "benefit", "cost", "npv", "rox", "payback", "prob_positive", "benefit_low", "benefit_high",
    "npv_low", "npv_high", "rox_low", "rox_high", "payback_low", "payback_high",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Terms:
    """How money of different waves is compared."""

    discount: float = 0.0  # rate per wave, above -1
    # flows come at the ``"end"`` of their wave, ``(1 + discount)^-t``, or at its ``"start"``, ``(1 + discount)^-(t -
    # 1)``
    timing: Timing = "end"
    currency: str = ""  # a label; nothing is converted


def formula_of(terms: Terms) -> str:
    """What npv and rox are, with the timing that was used; printed beside the numbers.

    Examples
    --------
    >>> "(1 + discount)^(t - 1)" in formula_of(Terms(timing="start"))
    True
    """
    when = {"end": "(1 + discount)^t, as at its end", "start": "(1 + discount)^(t - 1), as at its start"}
    return (
        "npv = benefit - cost; rox = npv / cost (0 = break-even, -1 = all is lost); flows of wave t divided by "
        f"{when[terms.timing]}. PwC publishes no formula: this is roxmodel's definition."
    )


FORMULA = formula_of(Terms())


@dataclass(frozen=True, slots=True)
class Risk:
    """What can go wrong with one row of the ROX statement."""

    npv: float  # npv, sd: mean and standard deviation of the npv over the draws (NaN with one draw)
    sd: float
    prob_loss: float  # share of the draws with an npv below 0
    var: float  # value at risk: the npv at or below which the worst `level` share of the draws lies
    cvar: float  # conditional value at risk: the mean npv of that share
    irr: float  # internal rate of return per wave, of the mean flows; NaN where there is none or more than one
    break_even: float  # share of the mean benefit that must come true for an npv of 0
    payback: float  # first wave, once all is spent, in which the mean flows so far cover the costs; infinite if none


@dataclass(frozen=True, slots=True)
class Money:
    """One row of the ROX statement, draw by draw."""

    name: str  # intervention, or ``total``
    gains: FloatArray  # (draws, waves) benefit of each wave, undiscounted
    spending: FloatArray  # (waves,) cost of each wave, undiscounted
    # wave from which payback counts: the last in which something is spent; the first start where nothing is spent
    spent: int
    terms: Terms  # discount, timing, currency
    outcomes: tuple[str, ...]  # names of the priced outcomes
    shares: FloatArray  # (draws, outcomes) discounted benefit of each outcome, what comes beyond the horizon included
    later: FloatArray  # (draws, m) undiscounted money of the last wave that goes on beyond the horizon
    kept: tuple[float, ...]  # (m,) share of it that is left from one wave to the next

    @property
    def factors(self) -> FloatArray:
        """(waves,) what money of each wave is worth today."""
        return discount_factors(len(self.spending), self.terms.discount, self.terms.timing)

    @property
    def flows(self) -> FloatArray:
        """(draws, waves) discounted benefit of each wave."""
        return self.gains * self.factors

    @property
    def costs(self) -> FloatArray:
        """(waves,) discounted cost of each wave."""
        return self.spending * self.factors

    @property
    def beyond(self) -> FloatArray:
        """(draws,) discounted benefit of all waves after the horizon."""
        values = [
            terminal_value(amount, kept, self.terms.discount) * self.factors[-1]
            for amount, kept in zip(self.later.T, self.kept, strict=True)
        ]
        return np.sum(values, axis=0) if values else np.zeros(len(self.gains))

    @property
    def benefit(self) -> FloatArray:
        """(draws,) discounted benefit, with what comes beyond the horizon."""
        within = np.asarray(self.flows.sum(axis=1))
        return within + self.beyond if self.kept else within

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
        return returns.payback(self.flows - self.costs, self.spent)

    def mean_payback(self) -> float:
        """The same for the mean flow."""
        return float(returns.payback((self.flows - self.costs).mean(axis=0)[None, :], self.spent)[0])

    def irr(self) -> float:
        """Internal rate of return per wave of the mean flows, those beyond the horizon included.

        NaN where there is none or more than one; see `returns.irr`.
        """
        later = zip(self.later.mean(axis=0).tolist(), self.kept, strict=True)
        return returns.irr(self.gains.mean(axis=0) - self.spending, list(later))

    def risk(self, level: float = 0.05) -> Risk:
        """What can go wrong; `level` is the share of draws that counts as the worst."""
        npv = self.npv
        with np.errstate(over="ignore"):
            sd = float(npv.std(ddof=1)) if len(npv) > 1 else float("nan")
        return Risk(
            npv=float(npv.mean()),
            sd=sd,
            prob_loss=returns.prob_loss(npv),
            var=returns.value_at_risk(npv, level),
            cvar=returns.cvar(npv, level),
            irr=self.irr(),
            break_even=returns.break_even(float(self.benefit.mean()), self.cost),
            payback=self.mean_payback(),
        )


def money_of_flows(
    name: str,
    moved: Sequence[FloatArray],
    spending: FloatArray,
    priced: Sequence[Priced],
    terms: Terms,
    since: int | None = None,
) -> Money:
    """Turn changes of priced outcomes into money, draw by draw.

    `moved`: for each priced outcome (draws, waves) or (1, waves): what its price is paid for, summed over the units:
    the change in raw units, weighted by the price of the unit where there are weights, and the change of the amount
    itself for a logarithm. `spending`: (waves,) undiscounted cost of each wave. `since`: first wave in which the row
    can have paid back, from 1. None: the last wave in which something is spent. With running costs that is the last of
    all, so say in which the last one-off cost falls.

    Examples
    --------
    >>> from roxmodel.simulation.money.prices import Finance, resolve
    >>> finance = Finance(value={"sales": 50.0}, discount=0.25)
    >>> priced = resolve(finance, {"sales": 0}, None, draws=1, seed=1)
    >>> terms = Terms(finance.discount, finance.timing, finance.currency)
    >>> money = money_of_flows("coaching", [np.array([[2.0, 2.0]])], np.array([100.0, 0.0]), priced, terms)
    >>> money.benefit.tolist(), money.cost, money.npv.tolist()
    ([144.0], 80.0, [64.0])
    """
    factors = discount_factors(len(spending), terms.discount, terms.timing)
    gains: FloatArray = np.zeros((1, len(spending)))
    shares, later, kept = [], [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for change, one in zip(moved, priced, strict=True):
            stock = retained(change, one.retention) if one.retention > 0 else change
            gained = one.price[:, None] * stock
            gains = gains + gained
            share = (gained * factors).sum(axis=1)
            if one.beyond and one.retention > 0:
                later.append(gained[:, -1])
                kept.append(one.retention)
                share = share + terminal_value(gained[:, -1], one.retention, terms.discount) * factors[-1]
            shares.append(share)
        draws = len(gains)
        by_outcome = _columns(shares, draws)
        _require_finite(name, gains.sum(), by_outcome.sum(), float(np.sum(spending)))
    last = np.flatnonzero(np.asarray(spending) > 0)
    return Money(
        name=name,
        gains=gains,
        spending=np.asarray(spending, dtype=float),
        spent=since if since is not None else int(last[-1]) + 1 if len(last) else 1,
        terms=terms,
        outcomes=tuple(one.name for one in priced),
        shares=by_outcome,
        later=_columns(later, draws),
        kept=tuple(kept),
    )


def _columns(parts: Sequence[FloatArray], draws: int) -> FloatArray:
    """(draws, parts) of parts that are (draws,) or (1,)."""
    return np.stack([np.broadcast_to(part, draws) for part in parts], axis=1) if parts else np.zeros((draws, 0))


def _require_finite(name: str, *totals: float) -> None:
    if not np.isfinite(totals).all():
        raise SimulationError(
            f"The money of {name!r} is beyond any number.", hint="A price, a cost or a discount is far too large."
        )


def rox_table(rows: list[Money]) -> pd.DataFrame:
    """See `Run.rox`."""
    import pandas as pd

    return pd.DataFrame([_row(money) for money in rows], columns=list(COLUMNS))


def _row(money: Money) -> tuple[object, ...]:
    with np.errstate(over="ignore", invalid="ignore"):
        return _numbers(money)


def _numbers(money: Money) -> tuple[object, ...]:
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


def risk_table(rows: Sequence[Money], level: float = 0.05) -> pd.DataFrame:
    """What can go wrong, one line for each row of the ROX statement.

    `level`: share of the draws that counts as the worst, above 0 up to 1. Returns intervention, then the fields of
    `Risk`: npv, sd, prob_loss, var, cvar, irr, break_even, payback. Amounts are discounted; a loss is negative. Draws
    hold sampling error and uncertain prices, nothing else.
    """
    import pandas as pd

    columns = ["intervention", *(field.name for field in fields(Risk))]
    return pd.DataFrame([{"intervention": row.name, **asdict(row.risk(level))} for row in rows], columns=columns)


def flow_table(rows: Sequence[Money]) -> pd.DataFrame:
    """Money wave by wave.

    Returns intervention, wave (1…horizon), benefit (mean over draws), benefit_low, benefit_high (95 % of the draws),
    cost, net (benefit - cost), cumulative (net so far), all undiscounted, and discounted_net. The sum of discounted_net
    is the npv, less what comes beyond the horizon where that is counted.
    """
    import pandas as pd

    tables = []
    for row in rows:
        mean = row.gains.mean(axis=0)
        low, high = np.quantile(row.gains, [0.025, 0.975], axis=0)
        net = mean - row.spending
        waves = np.arange(1, len(net) + 1)
        columns = {"intervention": row.name, "wave": waves, "benefit": mean, "benefit_low": low, "benefit_high": high}
        money = {"cost": row.spending, "net": net, "cumulative": np.cumsum(net), "discounted_net": net * row.factors}
        tables.append(pd.DataFrame({**columns, **money}))
    return pd.concat(tables, ignore_index=True)


def outcome_table(rows: Sequence[Money]) -> pd.DataFrame:
    """From which outcome the benefit comes.

    Returns intervention, outcome, benefit (mean over draws, discounted, beyond the horizon where that is counted),
    benefit_low, benefit_high (95 % of the draws). The benefits of a row add up to its benefit.
    """
    import pandas as pd

    lines = []
    for row in rows:
        mean, ends = row.shares.mean(axis=0), np.quantile(row.shares, [0.025, 0.975], axis=0)
        lines += [(row.name, name, mean[k], *ends[:, k]) for k, name in enumerate(row.outcomes)]
    return pd.DataFrame(lines, columns=["intervention", "outcome", "benefit", "benefit_low", "benefit_high"])
