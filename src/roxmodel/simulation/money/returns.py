"""What money comes to: return on experience, payback, rate of return, risk of loss; the tables of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from roxmodel.errors import SimulationError
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.simulation.money.values import finite_number
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.simulation.money.finance import Money

__all__ = [
    "COLUMNS", "Later", "Risk", "break_even", "cvar", "flow_table", "irr", "outcome_table", "payback", "prob_loss",
    "risk_table", "rox_table", "value_at_risk", "worst_draws",
]  # fmt: skip

COLUMNS = (
    "intervention", "benefit", "cost", "npv", "rox", "payback", "prob_positive", "benefit_low", "benefit_high",
    "npv_low", "npv_high", "rox_low", "rox_high", "payback_low", "payback_high",
)  # fmt: skip

_ROUNDING = 1e-12  # share of the largest amount below which a sum of amounts is nothing
_NEARLY_REAL = 1e-6  # a root this near to the real line may be half of a double root
_FAR = 700.0  # exp of it is the largest number


class Later(NamedTuple):
    """Money of the last wave of which a share is left in the next, and so on for ever."""

    amount: float
    retention: float


def irr(flows: ArrayLike, later: Sequence[Later] = ()) -> float:
    """Internal rate of return per wave: at which the npv is 0; NaN where there is none, or more than one.

    With ``x = 1 / (1 + rate)`` the npv is a polynomial (with `later`, a power series) in x. Flows that change sign once
    have one root (Descartes' rule of signs). With more changes all roots are found; where there are several (Lorie &
    Savage 1955, "Three problems in rationing capital", Journal of Business 28), or the npv touches 0 without crossing
    it, none of them is *the* return. `flows`: (waves,) what comes in less what is spent, undiscounted. Rates are above
    -1, with `later` above ``retention - 1``, where the sum converges.

    >>> round(irr([-100, 39, 59, 55, 20]), 5)
    0.28095
    >>> irr([100, 39])  # nothing is spent
    nan
    >>> irr([-1_600, 10_000, -10_000])  # 25 % and 400 %
    nan
    """
    given, kept = _cleaned(np.asarray(flows, dtype=float), later)
    signs = np.sign([*given, *kept.values()])
    changes = int((np.diff(signs[signs != 0]) != 0).sum())
    if changes == 0:
        return math.nan
    if changes == 1:
        return _rate_near(given, kept, 0.0)
    limit = _limit(kept)
    with one_blas_thread():
        roots = np.roots(_polynomial(given, kept)[::-1])
    real = roots.real[(np.abs(roots.imag) <= _NEARLY_REAL * np.abs(roots)) & (roots.real > 0) & (roots.real < limit)]
    return _rate_near(given, kept, _place(float(real[0]), limit)) if len(real) == 1 else math.nan


def _cleaned(flows: FloatArray, later: Sequence[Later]) -> tuple[FloatArray, dict[float, float]]:
    """Flows without rounding residue, and retention -> amount, both for a largest amount of 1.

    Retentions ascend: so ordered, the amounts after the flows change sign at least as often as the series does.
    """
    kept: dict[float, float] = {}
    for amount, retention in later:
        if retention > 0:
            kept[float(retention)] = kept.get(float(retention), 0.0) + float(amount)
    largest = max(np.abs([*flows, *kept.values()]), default=0.0)
    if largest == 0:
        return flows, {}
    flows = np.where(np.abs(flows) > _ROUNDING * largest, flows / largest, 0.0)
    return flows, {r: kept[r] / largest for r in sorted(kept) if abs(kept[r]) * r > _ROUNDING * largest}


def _limit(kept: dict[float, float]) -> float:
    """Largest x at which what is kept has a finite value."""
    return 1.0 / max(kept) if kept else math.inf


def _polynomial(flows: FloatArray, kept: dict[float, float]) -> FloatArray:
    """Coefficients, from the constant on: the npv times the denominators (1 - retention x)."""
    factors = {r: np.array([1.0, -r]) for r in kept}
    total = flows
    for factor in factors.values():
        total = np.convolve(total, factor)
    for r, amount in kept.items():
        part = np.concatenate([np.zeros(len(flows)), [amount * r]])  # the first later wave is one after the last
        for other, factor in factors.items():
            part = part if other == r else np.convolve(part, factor)
        total = total + np.concatenate([part, np.zeros(len(total) - len(part))])
    return total


def _place(x: float, limit: float) -> float:
    """Place on the whole line of an x between 0 and its limit, large where x is small."""
    return -math.log(x) if math.isinf(limit) else math.log(limit / x - 1.0)


def _rate_near(flows: FloatArray, kept: dict[float, float], start: float) -> float:
    """The one rate at which the npv changes sign, searched from a place outwards."""
    from scipy.optimize import brentq

    limit = _limit(kept)
    powers = np.flatnonzero(flows)
    amounts = flows[powers]
    after = len(flows)

    def log_x(place: float) -> float:
        return -place if math.isinf(limit) else math.log(limit) - float(np.logaddexp(0.0, place))

    def value(place: float) -> float:
        at = log_x(place)
        exponents = at * powers
        top = max([*exponents, at * after] if kept else exponents)
        total = float(amounts @ np.exp(exponents - top))
        for r, amount in kept.items():
            rest = -math.expm1(math.log(r) + at) if math.log(r) + at < 0 else 0.0
            gone = rest if rest > 0 else math.exp(-_FAR)
            total += amount * r / gone * math.exp(at * after - top)
        return total

    step = 1e-3
    while step < 2 * _FAR:
        low, high = max(start - step, -_FAR), min(start + step, _FAR)
        if (value(low) > 0) != (value(high) > 0):
            return math.expm1(-log_x(float(brentq(value, low, high, xtol=1e-14, rtol=1e-15))))
        step *= 2.0
    return math.nan


def payback(net: FloatArray, since: int) -> FloatArray:
    """(draws,) first wave in which what came in so far covers what was spent; infinite where none does.

    `net`: (draws, waves) benefit less cost. `since`: first wave that may be the answer, from 1: that of the last
    one-off cost. A later wave may fall back below.

    >>> payback(np.array([[-5.0, 3.0, 3.0], [-5.0, 1.0, 1.0]]), since=1).tolist()
    [3.0, inf]
    """
    covered = np.cumsum(net, axis=1) >= -_ROUNDING * np.abs(net).sum(axis=1, keepdims=True)
    covered[:, : since - 1] = False
    return np.where(covered.any(axis=1), covered.argmax(axis=1) + 1.0, np.inf)


def break_even(benefit: float, cost: float) -> float:
    """Share of the benefit that must come true for an npv of 0; infinite with a cost only, NaN with neither.

    Below 1 there is room for less; above 1 the plan loses on average. In a linear graph it is the share of the
    *effect*; ends of scales and logarithms make it a share of the money only.

    >>> break_even(400.0, 100.0), break_even(-1.0, 100.0)
    (0.25, inf)
    """
    if benefit > 0:
        return cost / benefit
    return math.inf if cost > 0 else math.nan


def prob_loss(draws: ArrayLike) -> float:
    """Share of the draws with an npv below 0."""
    npv = np.asarray(draws, dtype=float)
    return _share(npv, npv < 0)


def value_at_risk(draws: ArrayLike, level: float = 0.05) -> float:
    """The smallest npv of (draws,) at or below which at least the share `level` of them lies; a loss is negative.

    >>> value_at_risk([-30.0, -10.0, 20.0, 50.0], level=0.5)
    -10.0
    """
    ordered = np.sort(np.asarray(draws, dtype=float))
    return float(ordered[math.ceil(worst_draws(len(ordered), level)) - 1])


def cvar(draws: ArrayLike, level: float = 0.05) -> float:
    """Conditional value at risk: mean npv of the worst `level` share of the draws, the one at the border by its part.

    Rockafellar & Uryasev 2002, doi 10.1016/S0378-4266(02)00271-6 (their losses are our npv with its sign changed, their
    level is ours taken from 1).

    >>> cvar([-30.0, -10.0, 20.0, 50.0], level=0.5), cvar([-30.0, -10.0, 20.0, 50.0], level=0.375)
    (-20.0, -23.333333333333332)
    """
    ordered = np.sort(np.asarray(draws, dtype=float))
    worst = worst_draws(len(ordered), level)
    whole = math.floor(worst)
    total = ordered[:whole].sum()
    if worst > whole:
        total += (worst - whole) * ordered[whole]
    return float(total / worst)


def worst_draws(draws: int, level: object) -> float:
    """How many draws the worst share is; 0.07 of 100 is 7, whatever the processor says."""
    share = finite_number(level)
    if share is None or not 0 < share <= 1:
        raise SimulationError(f"level= was {level!r}.", allowed="a share above 0 up to 1, for example 0.05")
    worst = share * draws
    near = round(worst)
    return float(near) if near > 0 and abs(worst - near) <= 1e-9 * near else worst


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


def rox_table(rows: list[Money]) -> pd.DataFrame:
    """See `Run.rox`."""
    import pandas as pd

    with np.errstate(over="ignore", invalid="ignore"):
        return pd.DataFrame([_row(money) for money in rows], columns=list(COLUMNS))


def _row(money: Money) -> tuple[object, ...]:
    benefit, npv = money.benefit, money.npv
    ratio = _ratio(npv, money.cost)
    means = float(benefit.mean()), money.cost, float(npv.mean()), float(ratio.mean())
    ends = [float(np.quantile(draws, q)) for draws in (benefit, npv, ratio) for q in (0.025, 0.975)]
    payback = np.sort(money.payback())
    ends += [float(payback[min(int(np.ceil(q * len(payback))) - 1, len(payback) - 1)]) for q in (0.025, 0.975)]
    return (money.name, *means, money.mean_payback(), _share(npv, npv > 0), *ends)


def _share(npv: FloatArray, those: BoolArray) -> float:
    """Share of the draws; NaN where the npv is not known."""
    return float("nan") if np.isnan(npv).any() else float(those.mean())


def _ratio(npv: FloatArray, cost: float) -> FloatArray:
    """Net value over cost; NaN where there is no cost to speak of."""
    with np.errstate(over="ignore"):
        ratio = npv / cost if cost > 0 else np.full(len(npv), np.nan)
    return ratio if np.isfinite(ratio).all() else np.full(len(npv), np.nan)


def risk_table(rows: Sequence[Money], level: float = 0.05) -> pd.DataFrame:
    """See `Run.risk`; discounted. Draws hold sampling error and uncertain prices, nothing else."""
    import pandas as pd

    columns = ["intervention", *(field.name for field in fields(Risk))]
    return pd.DataFrame([{"intervention": row.name, **asdict(row.risk(level))} for row in rows], columns=columns)


def flow_table(rows: Sequence[Money]) -> pd.DataFrame:
    """See `Run.flows`; the sum of discounted_net is the npv, less what is counted beyond the horizon."""
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
    """See `Run.outcomes`; discounted, with what is counted beyond the horizon: they add up to the row's benefit."""
    import pandas as pd

    lines = []
    for row in rows:
        mean, ends = row.shares.mean(axis=0), np.quantile(row.shares, [0.025, 0.975], axis=0)
        lines += [(row.name, name, mean[k], *ends[:, k]) for k, name in enumerate(row.outcomes)]
    return pd.DataFrame(lines, columns=["intervention", "outcome", "benefit", "benefit_low", "benefit_high"])
