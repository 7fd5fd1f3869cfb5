"""What outcomes are worth: the finance record, its prices in a fit's own places, and money of another wave today."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, model_validator

from roxmodel.document import read_document, write_document
from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.frozen import FrozenMapping, Number
from roxmodel.moments.checks import canonical, unit_hint
from roxmodel.simulation.money.values import (
    LifetimeValue,
    LogValue,
    MoneyRecord,
    Price,
    Uncertain,
    UnitValue,
    read_price,
)
from roxmodel.types import FloatArray

__all__ = [
    "Finance", "Priced", "Timing", "discount_factors", "finite_number", "lifetime_factor", "require_rate",
    "require_timing", "resolve", "retained", "terminal_value",
]  # fmt: skip

Timing: TypeAlias = Literal["end", "start"]

_STREAM = 3  # first part of the spawn key: levels of units and bootstrap blocks have their own


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
    return {name: read_price(price, name) for name, price in given.items()}


def _rate(given: object) -> object:
    require_rate(given)
    return given


def _timing(given: object) -> object:
    require_timing(given)
    return given


def _label(given: object) -> object:
    if not isinstance(given, str):
        raise SimulationError(f"currency= was {short(given)}.", allowed="a text such as 'EUR'; it is a label only")
    return given


class Finance(MoneyRecord):
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
        Mapping[str, Price],
        BeforeValidator(_prices),
        AfterValidator(FrozenMapping[str, Any]),
        PlainSerializer(dict, return_type=dict[str, Price]),
    ]
    discount: Annotated[Number, BeforeValidator(_rate)] = 0.0
    timing: Annotated[Timing, BeforeValidator(_timing)] = "end"
    currency: Annotated[str, BeforeValidator(_label)] = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, price in self.value.items():
            if isinstance(price, LifetimeValue) and price.beyond:
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
    if isinstance(price, Uncertain):
        return price.expected
    if isinstance(price, LogValue):
        return price.replace(price=_at_mean(price.price))
    if isinstance(price, LifetimeValue):
        return price.replace(margin=_at_mean(price.margin))
    return price


@dataclass(frozen=True, slots=True)
class Priced:
    """A priced outcome in a fit's own places."""

    name: str  # name, place: of the construct
    place: int
    # (units,) price of each unit, multiplied with `price`; None where all units have one price
    weights: FloatArray | None
    log: bool  # whether the construct is the logarithm of what is paid for
    price: FloatArray  # (draws,), or (1,) where it is certain
    retention: float  # share of what a wave gained that is there in the next; 0 = none
    beyond: bool  # whether what is there in the last wave is counted for ever after

    @property
    def plain(self) -> bool:
        """Whether what it is paid for is the mean change over the units."""
        return self.weights is None and not self.log


def resolve(
    finance: Finance, places: Mapping[str, int], units: Sequence[Hashable] | None, draws: int, seed: int | None
) -> tuple[Priced, ...]:
    """Prices in a fit's own places, the uncertain ones drawn.

    Each price has its own stream of random numbers, keyed by the outcome's name: another price more or less changes no
    draw, and equal seeds give equal draws.

    `places`: construct -> its place. `units`: keys of the fit's units, in its order; None where it has none by name.
    `seed`: not negative; None = another one every time. Returns in the order of `finance.value`.

    Examples
    --------
    >>> finance = Finance(value={"sales": {"north": 2.0, "south": 3.0}})
    >>> resolve(finance, {"pride": 0, "sales": 1}, ["south", "north"], draws=100, seed=1)[0].weights.tolist()
    [3.0, 2.0]
    """
    found = []
    for name, price in finance.value.items():
        if name not in places:
            raise SimulationError(f"value= names {name!r}.", hint=did_you_mean(name, places))
        amount = price.price if isinstance(price, LogValue) else price
        amount = amount.margin if isinstance(amount, LifetimeValue) else amount
        lifetime = price if isinstance(price, LifetimeValue) else None
        found.append(
            Priced(
                name=name,
                place=places[name],
                weights=_by_unit(name, amount, units) if isinstance(amount, UnitValue) else None,
                log=isinstance(price, LogValue),
                price=_drawn(name, amount, draws, seed),
                retention=lifetime.retention if lifetime else 0.0,
                beyond=lifetime.beyond if lifetime else False,
            )
        )
    return tuple(found)


def _drawn(name: str, amount: object, draws: int, seed: int | None) -> FloatArray:
    """(draws,), or (1,) where nothing is uncertain."""
    if isinstance(amount, Uncertain):
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        words = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, *words)))
        with np.errstate(over="ignore", invalid="ignore"):  # money beyond any number is refused where it is summed
            return amount.quantile(np.maximum(rng.random(draws), 2.0**-54))
    return np.array([amount if isinstance(amount, float) else 1.0])


def _by_unit(name: str, price: UnitValue, units: Sequence[Hashable] | None) -> FloatArray:
    """(units,) price of each."""
    if units is None:
        raise SimulationError(
            f"value= prices {name!r} by unit, but this fit knows none by name.",
            hint="Units are kept only in the fit of a Study, not in a document or a matrix; give one price for all.",
        )
    known = [canonical(unit) for unit in units]
    every = frozenset(known)
    unknown = [unit for unit in price.values if unit not in every]
    if unknown:
        raise SimulationError(
            f"value= prices {name!r} in the unit {unknown[0]!r}, which is not in the study.",
            hint=unit_hint(unknown[0], known),
        )
    without = [unit for unit in known if unit not in price.values]
    if without and price.default is None:
        raise SimulationError(
            f"value= prices {name!r} by unit, but not in {len(without)} of {len(known)}: {listed(without, 3)}.",
            hint="Price them too, or give UnitValue(..., default=...).",
        )
    rest = 0.0 if price.default is None else price.default
    return np.array([price.values.get(unit, rest) for unit in known])  # type: ignore[call-overload]


def discount_factors(waves: int, rate: float, timing: Timing = "end") -> FloatArray:
    """What money of each wave is worth today.

    `waves`: number of waves, at least 1. `rate`: discount rate per wave, above -1. `timing`: ``"end"``: flows come at
    the end of their wave, ``(1 + rate)^-t`` (a spreadsheet's NPV). ``"start"``: at its start, ``(1 + rate)^-(t - 1)``
    (the first wave is today). Returns (waves,) for waves 1…waves. Refused if the rate is not above -1, the timing is
    unknown, or the factors are beyond any number.

    Examples
    --------
    >>> discount_factors(3, 0.25).tolist()
    [0.8, 0.64, 0.512]
    >>> discount_factors(3, 0.25, "start").tolist()
    [1.0, 0.8, 0.64]
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


def require_rate(rate: object) -> None:
    """Refuse what is no discount rate."""
    number = finite_number(rate)
    if number is None or number <= -1:
        raise SimulationError(f"discount= was {rate!r}.", allowed="a rate per wave above -1, for example 0.02")


def finite_number(given: object) -> float | None:
    """A finite number, else None."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        return None
    try:
        number = float(given)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def require_timing(timing: object) -> None:
    """Refuse what is no timing."""
    if not isinstance(timing, str):
        raise SimulationError(f"timing= was {timing!r}.", allowed="'end' or 'start' (of the wave)")
    if timing not in {"end", "start"}:
        raise SimulationError(f"timing= was {timing!r}.", hint=did_you_mean(timing, ["end", "start"]))


def retained(gained: FloatArray, retention: float) -> FloatArray:
    """Those gained so far who are still there: ``stock_t = gained_t + retention · stock_(t-1)``.

    `gained`: (draws, waves) gained in each wave, on top of those who would have come anyway. `retention`: share that
    stays from one wave to the next, 0-1. Returns (draws, waves).

    Examples
    --------
    >>> retained(np.array([[8.0, 8.0, 0.0]]), 0.5).tolist()
    [[8.0, 12.0, 6.0]]
    """
    stock = np.array(gained, dtype=float)
    for wave in range(1, stock.shape[1]):
        stock[:, wave] += retention * stock[:, wave - 1]
    return stock


def lifetime_factor(retention: float, rate: float, waves: int | None = None) -> float:
    """What a customer brings for each unit of margin, as of the wave in which they are gained.

    ``1 + q + q² + …`` with ``q = retention / (1 + rate)``; for ever it is ``(1 + rate) / (1 + rate - retention)``, with
    the margin of the first wave counted. With a retention of 1 it is the annuity.

    `retention`: share that stays from one wave to the next, 0-1. `waves`: number of waves, None = for ever. Refused if
    it is counted for ever and does not converge, ``retention >= 1 + rate``. Gupta & Lehmann 2003, doi 10.1002/dir.10045
    (their formula leaves the first margin out).

    Examples
    --------
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
    """What those who are there in the last wave bring in all later ones, as of the last wave.

    Nobody is gained after the last wave: ``stock · retention / (1 + rate - retention)``.

    `stock`: (...) money that they bring in the last wave. `retention`, `rate`: as in `lifetime_factor`.

    Examples
    --------
    >>> terminal_value(np.array([10.0]), 0.5, 0.0).tolist()
    [10.0]
    """
    return np.asarray(stock * (retention / (1.0 + rate)) * lifetime_factor(retention, rate))
