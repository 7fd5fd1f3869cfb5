"""What outcomes are worth: the finance record, and its prices in a fit's own places."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, model_validator

from roxmodel.document import read_document, write_document
from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.frozen import FrozenMapping, Number
from roxmodel.moments.checks import canonical, unit_hint
from roxmodel.simulation.money.returns import Timing, lifetime_factor, require_rate, require_timing
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

__all__ = ["Finance", "Priced", "resolve"]

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
