"""Prices: certain, uncertain, by unit, of a logarithm, of customers who stay; and in a fit's own places, drawn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from roxmodel.errors import RoxError, SimulationError, did_you_mean, listed
from roxmodel.frozen import Frozen, FrozenMapping, Number
from roxmodel.moments.condense import canonical, unit_hint
from roxmodel.numerals import exact_text
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.simulation.money.finance import Finance

__all__ = [
    "Amount", "LifetimeValue", "LogValue", "MoneyRecord", "NormalValue", "Price", "Priced", "TriangularValue",
    "Uncertain", "UniformValue", "UnitValue", "finite_number", "price_text", "read_price", "resolve",
]  # fmt: skip

_STREAM = 3  # first part of the spawn key: levels of units and bootstrap blocks have their own


class MoneyRecord(Frozen):
    """A record of money: what is wrong with it is wrong with the question, not with the model."""

    def __init__(self, /, *unnamed: Any, **data: Any) -> None:
        try:
            super().__init__(*unnamed, **data)
        except SimulationError:
            raise
        except RoxError as error:
            raise SimulationError(error.problem, allowed=error.allowed, hint=error.hint) from None


def _named(**arguments: object) -> dict[str, object]:
    """Arguments that were given, so that a missing one is called missing."""
    return {name: value for name, value in arguments.items() if value is not None}


class NormalValue(MoneyRecord):
    """A price known up to a normal error, drawn once in each draw of the parameters.

    Parameters
    ----------
    mean, sd
        Money; the standard deviation is not negative.

    Raises
    ------
    SimulationError
        If one is no number, or the standard deviation is negative.

    Examples
    --------
    >>> NormalValue(mean=1_000.0, sd=200.0).expected
    1000.0
    """

    kind: Literal["normal"] = "normal"
    mean: Number
    sd: Number

    def __init__(self, mean: float | None = None, sd: float | None = None, **rest: Any) -> None:
        super().__init__(**_named(mean=mean, sd=sd), **rest)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sd < 0:
            raise SimulationError(f"NormalValue has sd={self.sd:g}.", allowed="0 or more")
        return self

    @property
    def expected(self) -> float:
        """Mean."""
        return self.mean

    def quantile(self, share: FloatArray) -> FloatArray:
        """(...) price below which the share of the draws lies; shares above 0 and below 1."""
        from scipy.special import ndtri

        return np.asarray(self.mean + self.sd * ndtri(share))

    def __str__(self) -> str:
        return f"normal, mean {exact_text(self.mean)}, sd {exact_text(self.sd)}"


class UniformValue(MoneyRecord):
    """A price anywhere between two ends, drawn once in each draw of the parameters.

    Parameters
    ----------
    low, high
        Money, ``low <= high``.

    Raises
    ------
    SimulationError
        If one is no number, or low is above high.

    Examples
    --------
    >>> UniformValue(low=800.0, high=1_200.0).expected
    1000.0
    """

    kind: Literal["uniform"] = "uniform"
    low: Number
    high: Number

    def __init__(self, low: float | None = None, high: float | None = None, **rest: Any) -> None:
        super().__init__(**_named(low=low, high=high), **rest)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise SimulationError(f"UniformValue has low={self.low:g} and high={self.high:g}.", allowed="low <= high")
        return self

    @property
    def expected(self) -> float:
        """Mean."""
        return self.low / 2.0 + self.high / 2.0

    def quantile(self, share: FloatArray) -> FloatArray:
        """(...) price below which the share of the draws lies; shares from 0 to 1."""
        return np.asarray(self.low + (self.high - self.low) * share)

    def __str__(self) -> str:
        return f"uniform, {exact_text(self.low)} to {exact_text(self.high)}"


class TriangularValue(MoneyRecord):
    """A price between two ends with a most likely value, drawn once in each draw of the parameters.

    Parameters
    ----------
    low, mode, high
        Money, ``low <= mode <= high``.

    Raises
    ------
    SimulationError
        If one is no number, or they are out of order.

    Examples
    --------
    >>> TriangularValue(low=800.0, mode=900.0, high=1_300.0).expected
    1000.0
    """

    kind: Literal["triangular"] = "triangular"
    low: Number
    mode: Number
    high: Number

    def __init__(
        self, low: float | None = None, mode: float | None = None, high: float | None = None, **rest: Any
    ) -> None:
        super().__init__(**_named(low=low, mode=mode, high=high), **rest)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.mode <= self.high:
            raise SimulationError(
                f"TriangularValue has low={self.low:g}, mode={self.mode:g} and high={self.high:g}.",
                allowed="low <= mode <= high",
            )
        return self

    @property
    def expected(self) -> float:
        """Mean."""
        return (self.low + self.mode + self.high) / 3.0

    def quantile(self, share: FloatArray) -> FloatArray:
        """(...) price below which the share of the draws lies; shares from 0 to 1."""
        width = self.high - self.low
        left, right = self.mode - self.low, self.high - self.mode
        rising = self.low + np.sqrt(share * width * left)
        falling = self.high - np.sqrt((1.0 - share) * width * right)
        return np.asarray(np.where(share * width < left, rising, falling))

    def __str__(self) -> str:
        ends = f"{exact_text(self.low)} to {exact_text(self.high)}"
        return f"triangular, {ends}, most likely {exact_text(self.mode)}"


# A price that is itself uncertain.
Uncertain: TypeAlias = NormalValue | UniformValue | TriangularValue


def _pairs(by_unit: Mapping[Hashable, float]) -> list[list[Any]]:
    """JSON has text keys only; in pairs 7 and "7" stay two units."""
    return [[unit, amount] for unit, amount in by_unit.items()]


def _amounts(given: object) -> dict[Hashable, float]:
    """A mapping unit -> amount, or the pairs a document holds, with each key in its one form."""
    items = getattr(given, "items", None)
    pairs = list(items()) if callable(items) else given
    if not isinstance(pairs, list | tuple) or not all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs):
        raise SimulationError(f"UnitValue(values=) was {short(given)}.", allowed="a mapping unit -> amount")
    if not pairs:
        raise SimulationError("UnitValue(values=) prices no unit.", allowed="a mapping unit -> amount")
    found: dict[Hashable, float] = {}
    for key, amount in pairs:
        unit = _unit_key(key)
        if unit in found:
            raise SimulationError(f"UnitValue(values=) prices the unit {unit!r} twice.", hint="Keep one.")
        found[unit] = _finite(amount, f"UnitValue(values=) prices the unit {unit!r} at {short(amount)}.")
    return found


def _unit_key(key: object) -> str | int | float:
    try:
        unit = canonical(key) if isinstance(key, Hashable) else None
    except (RoxError, TypeError):  # a missing value of pandas is neither equal to itself nor unequal
        unit = None
    if isinstance(unit, bool) or not isinstance(unit, str | int | float):
        raise SimulationError(f"UnitValue(values=) names the unit {short(key)}.", allowed="a text or a number")
    return unit


def finite_number(given: object) -> float | None:
    """A finite number, else None."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        return None
    try:
        number = float(given)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _finite(amount: object, problem: str) -> float:
    number = finite_number(amount)
    if number is None:
        raise SimulationError(problem, allowed="a finite amount")
    return number + 0.0


class UnitValue(MoneyRecord):
    """A price for each unit.

    Parameters
    ----------
    values
        Unit -> money. Every key must be a unit of the fit.
    default
        Money of the units that are not listed; None: every unit of the fit must be listed.

    Raises
    ------
    SimulationError
        If no unit is priced, a key is neither text nor a number, or an amount is no number.

    Examples
    --------
    >>> UnitValue(values={"north": 900.0, "south": 1_100.0}).values["south"]
    1100.0
    """

    kind: Literal["unit"] = "unit"
    values: Annotated[
        Mapping[str | int | float, float],
        BeforeValidator(_amounts),
        AfterValidator(FrozenMapping[str | int | float, float]),
        PlainSerializer(_pairs),
    ]
    default: Number | None = None

    def __init__(self, values: Mapping[Any, float] | None = None, default: float | None = None, **rest: Any) -> None:
        super().__init__(**_named(values=values, default=default), **rest)

    def __str__(self) -> str:
        every = self.values.values()
        rest = "" if self.default is None else f", {exact_text(self.default)} elsewhere"
        ends = " to ".join(dict.fromkeys((exact_text(min(every)), exact_text(max(every)))))
        return f"by unit, {ends} ({len(self.values)} units){rest}"


_KINDS: dict[str, type[MoneyRecord]] = {
    "normal": NormalValue,
    "uniform": UniformValue,
    "triangular": TriangularValue,
    "unit": UnitValue,
}


def _read(given: object, kinds: Mapping[str, type[MoneyRecord]], who: str) -> object:
    """A price as a number or a record; a mapping is a record by its kind, or else one of units."""
    allowed = f"a finite amount, a mapping unit -> amount, {', '.join(f'rox.{k.__name__}' for k in kinds.values())}"
    if isinstance(given, tuple(kinds.values())):
        return given
    if isinstance(given, MoneyRecord | type):
        name = given.__name__ if isinstance(given, type) else type(given).__name__
        hint = f"Write rox.{name}(...) with its numbers." if given in kinds.values() else None
        what = f"the type {name}" if isinstance(given, type) else f"a {name}"
        raise SimulationError(f"{who} at {what}.", allowed=allowed, hint=hint)
    items = getattr(given, "items", None)
    if not callable(items):
        try:
            return _finite(given, "")
        except SimulationError:
            raise SimulationError(f"{who} at {short(given)}.", allowed=allowed) from None
    entries = dict(items())
    kind = entries.get("kind")
    if isinstance(kind, str) and kind not in kinds:
        raise SimulationError(f"{who} by the kind {kind!r}.", hint=did_you_mean(kind, kinds))
    try:
        if isinstance(kind, str):
            return kinds[kind](**{str(name): value for name, value in entries.items()})
        return UnitValue(values=entries)
    except SimulationError as error:
        raise SimulationError(f"{who} wrongly: {error.problem}", allowed=error.allowed, hint=error.hint) from None


def _amount(given: object) -> object:
    return _read(given, _KINDS, "A margin or amount is priced")


# What a lifetime or a logarithm is paid with: a number, an uncertain one, or one for each unit.
Amount: TypeAlias = Annotated[
    Number | Annotated[NormalValue | UniformValue | TriangularValue | UnitValue, Field(discriminator="kind")],
    BeforeValidator(_amount),
]


class LogValue(MoneyRecord):
    """A price for an outcome that is measured as the natural logarithm of an amount.

    The money of a unit is ``price · (exp(level + change) - exp(level))`` with the unit's own level, so that a change of
    0.01 is about one percent of what that unit has. No correction for the mean of a logarithm is made.

    Parameters
    ----------
    price
        Money for one of the amount: 1 if the amount is money itself (the logarithm of sales in euro), else a number, an
        uncertain price, or one by unit.

    Examples
    --------
    >>> LogValue().price
    1.0
    """

    kind: Literal["log"] = "log"
    price: Amount = 1.0

    def __init__(self, price: float | Uncertain | UnitValue | None = None, **rest: Any) -> None:
        super().__init__(**_named(price=price), **rest)

    def __str__(self) -> str:
        return f"{price_text(self.price)} for each unit of the amount whose logarithm it is"


class LifetimeValue(MoneyRecord):
    """A price for an outcome that counts customers *gained in a wave*, who then stay on.

    One raw unit gained in wave t brings `margin` in wave t, and in each later wave with the probability that they are
    still there: the money of wave t is ``margin · sum of retention^(t - s) · change_s over the waves s <= t``. An
    outcome that counts the customers *there are* has that sum in it already: price it with a number.

    Parameters
    ----------
    margin
        Money that one customer brings in a wave: a number, an uncertain price, or one by unit.
    retention
        Share of the customers of one wave that is there in the next, 0-1.
    beyond
        Whether to count, discounted, what those who are there in the last wave bring in all later ones. Nobody is
        gained after the last wave. It needs ``retention < 1 + discount``.

    Raises
    ------
    SimulationError
        If the margin is no price, or the retention no share.

    References
    ----------
    Gupta & Lehmann 2003, doi 10.1002/dir.10045.

    Examples
    --------
    >>> price_text(LifetimeValue(margin=40.0, retention=0.9))
    'margin 40 a wave, retention 0.9, within the horizon'
    """

    kind: Literal["lifetime"] = "lifetime"
    margin: Amount
    retention: Number
    beyond: bool = False

    def __init__(
        self, margin: float | Uncertain | UnitValue | None = None, retention: float | None = None, **rest: Any
    ) -> None:
        super().__init__(**_named(margin=margin, retention=retention), **rest)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= self.retention <= 1:
            raise SimulationError(
                f"LifetimeValue has retention={self.retention:g}.", allowed="0 (nobody stays) to 1 (everybody does)"
            )
        return self

    def __str__(self) -> str:
        until = "also beyond the horizon" if self.beyond else "within the horizon"
        return f"margin {price_text(self.margin)} a wave, retention {self.retention:g}, {until}"


_PRICES: dict[str, type[MoneyRecord]] = {**_KINDS, "log": LogValue, "lifetime": LifetimeValue}

# A number, or one of six records told apart by their kind.
Price: TypeAlias = (
    Number
    | Annotated[
        NormalValue | UniformValue | TriangularValue | UnitValue | LogValue | LifetimeValue, Field(discriminator="kind")
    ]
)


def read_price(given: object, outcome: str) -> object:
    """The price of an outcome: a number, a record, a mapping with the `kind` of one, or a mapping unit -> money."""
    return _read(given, _PRICES, f"value= prices {outcome!r}")


def price_text(price: object) -> str:
    """A price in words, as it was given, for the small print."""
    return exact_text(price) if isinstance(price, float | int) else str(price)


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
    """Prices in a fit's own `places` (by construct), in the order of `finance.value`, the uncertain ones drawn.

    Each price has its own stream of random numbers, keyed by the outcome's name: another price more or less changes no
    draw, and equal seeds give equal draws. `units`: in the fit's order; None where it has none by name.
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
