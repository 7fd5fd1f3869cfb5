"""From points to money: the finance record, money of another wave today, benefit, cost, npv.

PwC publishes no formula for ROX. This library's own: ``npv = benefit - cost``, ``rox = npv / cost`` (0 = break-even,
-1 = all is lost). Flows of wave t, costs too, are divided by ``(1 + discount)^t`` (timing ``"end"``) or by
``(1 + discount)^(t - 1)`` (timing ``"start"``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, model_validator

from roxmodel.document import read_document, write_document
from roxmodel.errors import SimulationError, did_you_mean
from roxmodel.frozen import FrozenMapping, Number
from roxmodel.simulation.money import returns, values
from roxmodel.types import FloatArray

__all__ = [
    "FORMULA", "Finance", "Money", "Terms", "Timing", "discount_factors", "formula_of", "lifetime_factor",
    "money_of_flows", "require_rate", "require_timing", "retained", "terminal_value",
]  # fmt: skip


Timing: TypeAlias = Literal["end", "start"]


def _prices(given: object) -> object:
    if not isinstance(given, Mapping):
        raise SimulationError(
            f"value= was {short(given)}.", allowed="a mapping outcome -> money per raw unit, unit and wave"
        )
    if not given:
        raise SimulationError("value= prices nothing.", hint="Give {'outcome': money per raw unit, per unit and wave}.")
    for name in given:
        if not isinstance(name, str):
            raise SimulationError(f"value= prices {short(name)}.", allowed="the name of an outcome")
    return {name: values.read_price(price, name) for name, price in given.items()}


def require_rate(rate: object) -> object:
    """Refuse what is no discount rate."""
    number = values.finite_number(rate)
    if number is None or number <= -1:
        raise SimulationError(f"discount= was {rate!r}.", allowed="a rate per wave above -1, for example 0.02")
    return rate


def require_timing(timing: object) -> object:
    """Refuse what is no timing."""
    if not isinstance(timing, str):
        raise SimulationError(f"timing= was {timing!r}.", allowed="'end' or 'start' (of the wave)")
    if timing not in {"end", "start"}:
        raise SimulationError(f"timing= was {timing!r}.", hint=did_you_mean(timing, ["end", "start"]))
    return timing


def _label(given: object) -> object:
    if not isinstance(given, str):
        raise SimulationError(f"currency= was {short(given)}.", allowed="a text such as 'EUR'; it is a label only")
    return given


class Finance(values.MoneyRecord):
    """What outcomes are worth, and how money of different waves is compared.

    Parameters
    ----------
    value
        Outcome -> money per raw unit of it, per unit (branch), per wave: a number, `NormalValue`, `UniformValue` or
        `TriangularValue` where it is uncertain, `UnitValue` or a mapping unit -> money where units differ, `LogValue`
        for the logarithm of an amount, `LifetimeValue` for customers gained.
    discount
        Rate per wave, above -1.
    timing
        ``"end"``: flows of wave t, costs too, are divided by ``(1 + discount)^t`` (a spreadsheet's NPV).
        ``"start"``: by ``(1 + discount)^(t - 1)``.
    currency
        A label; nothing is converted.

    Raises
    ------
    SimulationError
        If nothing is priced, a price is none, the rate or the timing is out of range, or a lifetime beyond the horizon
        is worth more than any number.

    Examples
    --------
    >>> from roxmodel.simulation.money.values import NormalValue
    >>> finance = Finance(value={"revenue": NormalValue(mean=1_000.0, sd=200.0)}, discount=0.02, currency="EUR")
    >>> Finance.from_json(finance.to_json()) == finance
    True
    """

    value: Annotated[
        Mapping[str, values.Price],
        BeforeValidator(_prices),
        AfterValidator(FrozenMapping[str, Any]),
        PlainSerializer(dict, return_type=dict[str, values.Price]),
    ]
    discount: Annotated[Number, BeforeValidator(require_rate)] = 0.0
    timing: Annotated[Timing, BeforeValidator(require_timing)] = "end"
    currency: Annotated[str, BeforeValidator(_label)] = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, price in self.value.items():
            if isinstance(price, values.LifetimeValue) and price.beyond:
                try:
                    lifetime_factor(price.retention, self.discount)
                except SimulationError as error:
                    problem = f"value= prices {name!r} beyond the horizon: {error.problem}"
                    raise SimulationError(problem, allowed=error.allowed, hint=error.hint) from None
        return self

    def expected(self) -> Finance:
        """The same with every uncertain price at its mean (what belongs to the point estimate)."""
        return self.replace(value={name: _at_mean(price) for name, price in self.value.items()})

    def to_json(self) -> str:
        """Write the record as a versioned JSON document."""
        return write_document("finance", self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a finance document.

        Raises
        ------
        DocumentError
            If the document is truncated, altered, of another kind or of a newer schema.
        """
        return cls(**read_document(text, "finance"))


def _at_mean(price: Any) -> Any:
    if isinstance(price, values.Uncertain):
        return price.expected
    if isinstance(price, values.LogValue):
        return price.replace(price=_at_mean(price.price))
    if isinstance(price, values.LifetimeValue):
        return price.replace(margin=_at_mean(price.margin))
    return price


def discount_factors(waves: int, rate: float, timing: Timing = "end") -> FloatArray:
    """(waves,) what money of each wave is worth today; refused beyond any number.

    At the ``"end"`` of wave t ``(1 + rate)^-t`` (a spreadsheet's NPV), at its ``"start"`` ``(1 + rate)^-(t - 1)``.
    """
    require_rate(rate)
    require_timing(timing)
    wave = np.arange(1.0, waves + 1)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        factors = np.asarray((1.0 + rate) ** -(wave if timing == "end" else wave - 1))
    if not np.isfinite(factors).all():
        raise SimulationError(
            f"discount={rate:g} over {waves} waves makes later money worth more than any number.",
            allowed="a rate nearer to 0, or fewer waves",
        )
    return factors


def retained(gained: FloatArray, retention: float) -> FloatArray:
    """Those gained so far, (draws, waves), who are still there: ``stock_t = gained_t + retention · stock_(t-1)``.

    >>> retained(np.array([[8.0, 8.0, 0.0]]), 0.5).tolist()
    [[8.0, 12.0, 6.0]]
    """
    stock = np.array(gained, dtype=float)
    for wave in range(1, stock.shape[1]):
        stock[:, wave] += retention * stock[:, wave - 1]
    return stock


def lifetime_factor(retention: float, rate: float, waves: int | None = None) -> float:
    """What a customer brings for each unit of margin, as of the wave they are gained in; `waves`: None = for ever.

    ``1 + q + q² + …`` with ``q = retention / (1 + rate)``; for ever it is ``(1 + rate) / (1 + rate - retention)``, with
    the margin of the first wave counted (Gupta & Lehmann 2003, doi 10.1002/dir.10045, leave it out), and refused where
    it does not converge. With a retention of 1 it is the annuity.

    >>> lifetime_factor(0.75, 0.0), lifetime_factor(0.75, 0.0, waves=2)
    (4.0, 1.75)
    """
    require_rate(rate)
    q = retention / (1.0 + rate)
    if waves is not None:
        return float(np.sum(q ** np.arange(waves)))
    if q >= 1:
        raise SimulationError(
            f"With retention={retention:g} and discount={rate:g} customers are worth more than any number.",
            allowed="a retention below 1 + discount",
            hint="Count within the horizon only (beyond=False), or discount more.",
        )
    return 1.0 / (1.0 - q)


def terminal_value(stock: FloatArray, retention: float, rate: float) -> FloatArray:
    """What those who bring `stock` in the last wave bring in all later ones, as of the last; nobody is gained there."""
    return np.asarray(stock * (retention / (1.0 + rate)) * lifetime_factor(retention, rate))


@dataclass(frozen=True, slots=True)
class Terms:
    """How money of different waves is compared."""

    discount: float = 0.0  # rate per wave, above -1
    timing: Timing = "end"  # of flows in their wave; see `discount_factors`
    currency: str = ""  # a label; nothing is converted


def formula_of(terms: Terms) -> str:
    """What npv and rox are, with the timing that was used; printed beside the numbers."""
    when = {"end": "(1 + discount)^t, as at its end", "start": "(1 + discount)^(t - 1), as at its start"}
    return (
        "npv = benefit - cost; rox = npv / cost (0 = break-even, -1 = all is lost); flows of wave t divided by "
        f"{when[terms.timing]}. PwC publishes no formula: this is roxmodel's definition."
    )


FORMULA = formula_of(Terms())


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
        today, rate = self.factors[-1], self.terms.discount
        parts = [terminal_value(last, kept, rate) * today for last, kept in zip(self.later.T, self.kept, strict=True)]
        return np.sum(parts, axis=0) if parts else np.zeros(len(self.gains))

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
        """Internal rate of return of the mean flows, those beyond the horizon included; see `returns.irr`."""
        later = map(returns.Later, self.later.mean(axis=0).tolist(), self.kept)
        return returns.irr(self.gains.mean(axis=0) - self.spending, list(later))

    def risk(self, level: float = 0.05) -> returns.Risk:
        """What can go wrong; `level` is the share of draws that counts as the worst."""
        npv = self.npv
        with np.errstate(over="ignore"):
            sd = float(npv.std(ddof=1)) if len(npv) > 1 else float("nan")
        return returns.Risk(
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
    priced: Sequence[values.Priced],
    terms: Terms,
    since: int | None = None,
) -> Money:
    """Turn changes of priced outcomes into money, draw by draw.

    `moved`: for each priced outcome (draws, waves) or (1, waves): what its price is paid for, summed over the units:
    the change in raw units, weighted by the price of the unit where there are weights; of the amount itself for a
    logarithm. `spending`: (waves,) undiscounted. `since`: first wave in which the row can have paid back, from 1; None:
    the last with a cost (with running costs the last of all, so say in which the last one-off cost falls).
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
        finite = np.isfinite([gains.sum(), by_outcome.sum(), float(np.sum(spending))]).all()
    if not finite and not any(np.isnan(change).any() for change in moved):  # what is not known may stay so
        raise SimulationError(
            f"The money of {name!r} is beyond any number.", hint="A price, a cost or a discount is far too large."
        )
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
