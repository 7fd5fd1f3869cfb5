"""Interventions as data: what is done to which construct, when, in which units, how strongly, and for how much."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from reprlib import repr as short
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    StrictBool,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from roxmodel.errors import RoxError, SimulationError, listed
from roxmodel.frozen import Frozen, FrozenMapping, Number, Whole, sentence
from roxmodel.moments.condense import canonical
from roxmodel.types import BoolArray, FloatArray

__all__ = [
    "Above", "Below", "Highest", "Intervention", "Lowest", "UnitRule", "covered_by", "read_rule", "response_to",
    "shares", "spending",
]  # fmt: skip


class _Rule(Frozen):
    on: str

    @model_serializer(mode="wrap")
    def _with_kind(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """By its kind a rule is known in JSON, where defaults are left out."""
        return {"kind": getattr(self, "kind", ""), **fields(self)}


class _Share(_Rule):
    share: Number = 0.25

    @model_validator(mode="after")
    def _check(self) -> _Share:
        if not 0 < self.share <= 1:
            raise SimulationError(
                f"{type(self).__name__}(on={self.on!r}) covers the share {self.share:g} of the units.",
                allowed="above 0 and up to 1: 0.25 is a quarter",
            )
        return self


class Lowest(_Share):
    """Units with the lowest levels of a construct.

    Parameters
    ----------
    on
        The construct.
    share
        Share of the units, above 0 and up to 1.

    Examples
    --------
    >>> Lowest(on="behaviours", share=0.25).share
    0.25
    """

    kind: Literal["lowest"] = "lowest"


class Highest(_Share):
    """Units with the highest levels of a construct.

    Parameters
    ----------
    on
        The construct.
    share
        Share of the units, above 0 and up to 1.

    Examples
    --------
    >>> Highest(on="pride").share
    0.25
    """

    kind: Literal["highest"] = "highest"


class Below(_Rule):
    """Units whose level of a construct is below a given one.

    Parameters
    ----------
    on
        The construct.
    level
        In its own units.

    Examples
    --------
    >>> Below(on="pride", level=3.0).level
    3.0
    """

    level: Number
    kind: Literal["below"] = "below"


class Above(_Rule):
    """Units whose level of a construct is above a given one.

    Parameters
    ----------
    on
        The construct.
    level
        In its own units.

    Examples
    --------
    >>> Above(on="pride", level=4.0).level
    4.0
    """

    level: Number
    kind: Literal["above"] = "above"


UnitRule = Annotated[Lowest | Highest | Below | Above, Field(discriminator="kind")]


_KINDS: dict[object, type[Lowest | Highest | Below | Above]] = {
    "lowest": Lowest,
    "highest": Highest,
    "below": Below,
    "above": Above,
}


def read_rule(given: object) -> Lowest | Highest | Below | Above:
    """Read a rule from what JSON holds of it; a rule is its own."""
    if isinstance(given, Lowest | Highest | Below | Above):
        return given
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        kind = given.get("kind")
        if isinstance(kind, str) and kind in _KINDS:
            return _KINDS[kind](**given)
    raise SimulationError(
        f"units= was {short(given)}.", allowed="keys of units, or a rule: rox.Lowest, rox.Highest, rox.Below, rox.Above"
    )


def covered_by(rule: Lowest | Highest | Below | Above, levels: FloatArray) -> BoolArray:
    """Whether each of (units,) `levels` of the rule's construct is covered; one that is not known (NaN) is not.

    Of a share as many units are taken as come nearest to it, at least one; of equal levels the first.
    """
    known = ~np.isnan(levels)
    if isinstance(rule, Below | Above):
        with np.errstate(invalid="ignore"):
            return np.asarray(known & (levels < rule.level if isinstance(rule, Below) else levels > rule.level))
    count = max(1, round(rule.share * int(known.sum())))
    keys = np.where(known, levels if isinstance(rule, Lowest) else -levels, np.inf)
    found = np.zeros(len(levels), dtype=bool)
    found[np.argsort(keys, kind="stable")[:count]] = True
    return found & known


_LONGEST = 1_000_000  # waves


Amounts = Annotated[
    Mapping[str, Number], AfterValidator(FrozenMapping[str, float]), PlainSerializer(dict, return_type=dict[str, float])
]


_BLOCKS = ("one-off per unit", "running", "running per unit")  # what is spent beside the one-off blocks


class Intervention(Frozen):
    """One action, as data: it goes into JSON and comes back the same (`to_json`, `from_json`).

    In wave t the share ``clip((t - start + 1) / (ramp + 1), 0, 1) · (1 - fade)^max(0, t - start - ramp - hold)`` of its
    effect is in force.

    Several actions on one construct combine by fixed rules, whatever their order: what its causes bring comes first; a
    level that is set takes the place of that, for the share in force; shifts add up; factors multiply, and count from
    the level before any action. Two actions that set one construct, or one that sets and one that scales it, in the
    same units and waves, contradict each other and are refused.

    Parameters
    ----------
    name
        Its name in tables.
    shift
        Construct (or item) -> points added, in the construct's own units. A shift of one item by d in a construct
        of k items is read as a shift of the item mean by d / k (an assumption, and said).
    set
        Construct -> level it is set to (the do-operator: its causes are cut while it is in force).
    cost
        One-off cost, spent in wave `start`; not negative.
    start
        First wave in which it acts, from 1.
    ramp
        Waves it takes to reach its full effect; 0 = at once.
    fade
        Share of the effect lost with every wave after that, 0-1.
    units
        Keys of the units it covers, or a rule (`Lowest`, `Highest`, `Below`, `Above`); None = all.
    scale
        Construct (or item, by the same rule as a shift) -> factor that its level is multiplied by, at least 0.
    hold
        Waves that the full effect is kept up before it fades. None: it fades at once after the ramp, if it fades at
        all, and running costs go on to the horizon.
    running
        Cost of every wave from `start` on that the action is kept up: to the horizon, or with `hold` for ramp + 1 +
        hold waves.
    cost_per_unit, running_per_unit
        The same two for each unit it covers.
    cost_blocks
        What the one-off cost consists of, name -> amount; `cost` is their sum.
    dose
        How much of it is done: costs are multiplied by it, effects by ``response_to(dose, half_dose)``, which is 1 at
        dose 1. Not for `set`.
    dose_range
        Smallest and largest dose that can be done.
    half_dose
        Dose that reaches half of the largest effect there can be (saturation: diminishing returns); None = effects
        grow as the dose does.
    doses, starts
        Doses and first waves that `optimize` may choose from; None = only `dose`, only `start`.
    requires, excludes
        Names of actions it needs beside it (started no later), and of those it cannot go with.
    must
        Whether `optimize` has to choose it.

    Raises
    ------
    SimulationError
        If nothing is done, a cost is negative, or a time or a dose is out of range.

    Examples
    --------
    >>> coaching = Intervention(name="coaching", shift={"pride": 0.4}, cost=120_000.0, ramp=1)
    >>> shares(coaching, 4).tolist()
    [0.5, 1.0, 1.0, 1.0]
    >>> Intervention.from_json(coaching.to_json()) == coaching
    True
    """

    name: str
    shift: Amounts | None = None
    set: Amounts | None = None
    cost: Number = 0.0
    start: Whole = 1
    ramp: Whole = 0
    fade: Number = 0.0
    units: UnitRule | tuple[Any, ...] | None = Field(default=None)
    scale: Amounts | None = None
    hold: Whole | None = None
    running: Number = 0.0
    cost_per_unit: Number = 0.0
    running_per_unit: Number = 0.0
    cost_blocks: Amounts | None = None
    dose: Number = 1.0
    dose_range: tuple[Number, Number] = (0.0, 1.0)
    half_dose: Number | None = None
    doses: tuple[Number, ...] | None = None
    starts: tuple[Whole, ...] | None = None
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    must: StrictBool = False

    @field_validator("units", mode="before")
    @classmethod
    def _listed(cls, units: object) -> object:
        if units is None:
            return None
        if isinstance(units, Frozen | Mapping):
            return read_rule(units)
        if isinstance(units, str) or not hasattr(units, "__iter__"):
            return (_key(units),)
        return tuple(_key(unit) for unit in units)

    @field_validator("requires", "excludes", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("doses", "starts", mode="before")
    @classmethod
    def _choices(cls, given: object) -> object:
        return (given,) if isinstance(given, int | float | np.number) and not isinstance(given, bool) else given

    @model_validator(mode="before")
    @classmethod
    def _summed(cls, given: Any) -> Any:
        blocks = given.get("cost_blocks") if isinstance(given, Mapping) else None
        if isinstance(blocks, Mapping) and blocks and "cost" not in given:
            try:
                total = float(sum(blocks.values()))
            except (TypeError, ValueError, OverflowError):
                return given  # the fields' own check says which block is no number
            return {**given, "cost": total} if np.isfinite(total) else given
        return given

    @model_validator(mode="after")
    def _check(self) -> Intervention:
        if not self.name.strip():
            raise SimulationError("An intervention needs a name.")
        who = f"Intervention {self.name!r}"
        _check_deed(self, who)
        _check_costs(self, who)
        _check_times(self, who)
        _check_dose(self, who)
        for other in (*self.requires, *self.excludes):
            if other == self.name:
                raise SimulationError(f"{who} requires or excludes itself.", hint="Name other actions.")
        both = sorted({*self.requires} & {*self.excludes})
        if both:
            raise SimulationError(f"{who} both requires and excludes {both[0]!r}.", hint="Keep one of the two.")
        if self.units is not None and not self.units:
            raise SimulationError(f"{who} covers no unit: units= is empty.", hint="Leave units= out to cover all.")
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one; new `cost_blocks` make a new `cost`.

        Raises
        ------
        RoxError
            As the constructor does.
        """
        if not changes.get("cost_blocks") or "cost" in changes:
            return super().replace(**changes)
        kept = {name: getattr(self, name) for name in self.model_fields_set if name != "cost"}
        return type(self)(**{**kept, **changes})

    @property
    def is_kept_up(self) -> bool:
        """Whether it has running costs."""
        return self.running > 0 or self.running_per_unit > 0

    def to_json(self) -> str:
        """Write the intervention as JSON.

        Raises
        ------
        SimulationError
            If it names a unit that JSON cannot hold: keys are texts or numbers.
        """
        for unit in self.units if isinstance(self.units, tuple) else ():
            if not isinstance(unit, str | int | float):
                raise SimulationError(
                    f"Intervention {self.name!r} names the unit {unit!r}, which JSON cannot hold.",
                    allowed="a text or a number",
                )
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def from_json(cls, text: str) -> Intervention:
        """Read it back.

        Raises
        ------
        RoxError
            If the text is no intervention, saying why.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise sentence(error, cls) from None


def _key(unit: object) -> object:
    """A key in the one form that a study gives it."""
    try:
        return canonical(unit) if isinstance(unit, Hashable) else unit
    except (RoxError, TypeError):  # a missing key is in no study, and refused there by name
        return unit


def _check_deed(given: Intervention, who: str) -> None:
    if not given.shift and not given.set and not given.scale:
        hint = "Give shift={'construct': points}, set={'construct': level} or scale={'construct': factor}."
        raise SimulationError(f"{who} does nothing.", hint=hint)
    deeds = {"shifts": given.shift or {}, "sets": given.set or {}, "scales": given.scale or {}}
    named = [(verb, name) for verb, mapping in deeds.items() for name in mapping]
    for verb, name in named:
        other = next((v for v, n in named if n == name and v != verb), None)
        if other is not None:
            raise SimulationError(f"{who} {verb} and {other} {name!r} at once.", hint="Say one of the two.")
    for name, factor in (given.scale or {}).items():
        if factor < 0:
            raise SimulationError(
                f"{who} scales {name!r} by {factor:g}.", allowed="a factor of at least 0: 1.1 adds a tenth"
            )


def _check_costs(given: Intervention, who: str) -> None:
    costs = {
        **{f"cost block {name!r} of": amount for name, amount in (given.cost_blocks or {}).items()},
        "cost": given.cost,
        "running cost": given.running,
        "cost per unit": given.cost_per_unit,
        "running cost per unit": given.running_per_unit,
    }
    for name, amount in costs.items():
        if amount < 0:
            raise SimulationError(f"{who} has the {name} {amount:g}.", allowed="0 or a positive amount")
    taken = [name for name in (given.cost_blocks or {}) if name in _BLOCKS]
    if taken:
        raise SimulationError(
            f"{who} names a cost block {taken[0]!r}, as another cost is named.",
            hint="Blocks are spent once: name it otherwise, or use running=, cost_per_unit=, running_per_unit=.",
        )
    if given.cost_blocks:
        total = float(sum(given.cost_blocks.values()))
        if not np.isclose(total, given.cost, rtol=1e-9, atol=0.0):
            raise SimulationError(
                f"{who} costs {given.cost:g}, but its cost_blocks come to {total:g}.", hint="Leave cost= out."
            )


def _check_times(given: Intervention, who: str) -> None:
    if given.start < 1:
        raise SimulationError(f"{who} starts in wave {given.start}.", allowed="1 or later (wave 0 is the baseline)")
    if given.ramp < 0:
        raise SimulationError(f"{who} has a ramp of {given.ramp} waves.", allowed="0 or more")
    if max(given.start, given.ramp, given.hold or 0, *(given.starts or (0,))) > _LONGEST:
        raise SimulationError(f"{who} speaks of more than {_LONGEST:,} waves.", allowed=f"up to {_LONGEST:,}")
    if given.hold is not None and given.hold < 0:
        raise SimulationError(f"{who} is held for {given.hold} waves.", allowed="0 or more, or None")
    if not 0 <= given.fade <= 1:
        raise SimulationError(f"{who} has fade={given.fade:g}.", allowed="0 (none) to 1 (all at once)")
    if given.starts is not None:
        if not given.starts:
            raise SimulationError(f"{who} has starts=().", hint="Leave starts= out to start in wave start=.")
        if min(given.starts) < 1:
            raise SimulationError(f"{who} has starts={given.starts}.", allowed="waves from 1 on")


def _check_dose(given: Intervention, who: str) -> None:
    low, high = given.dose_range
    if not 0 <= low <= high or high <= 0:
        raise SimulationError(f"{who} has dose_range={given.dose_range}.", allowed="0 <= low <= high, high above 0")
    if given.half_dose is not None and given.half_dose <= 0:
        raise SimulationError(f"{who} has half_dose={given.half_dose:g}.", allowed="a dose above 0, or None")
    if given.doses is not None and not given.doses:
        raise SimulationError(f"{who} has doses=().", hint="Leave doses= out to do dose=.")
    for dose in (given.dose, *(given.doses or ())):
        if not low <= dose <= high or dose <= 0:
            raise SimulationError(
                f"{who} has a dose of {dose:g}, outside what can be done.",
                allowed=f"above 0, from {low:g} to {high:g} (dose_range)",
            )
        for name, factor in (given.scale or {}).items():
            left = 1.0 + (factor - 1.0) * response_to(dose, given.half_dose)
            if left < 0:
                raise SimulationError(
                    f"{who} scales {name!r} by {left:g} at a dose of {dose:g}.", allowed="a factor of at least 0"
                )
    if given.set and any(dose != 1 for dose in (given.dose, *(given.doses or ()))):
        raise SimulationError(
            f"{who} sets {listed(given.set)} to a level, which has no dose.", hint="Set another level, or use shift=."
        )


def response_to(dose: float, half_dose: float | None = None) -> float:
    """Effect of a dose as a multiple of the effect at dose 1.

    Without `half_dose` it is the dose. With it, ``dose (1 + half_dose) / (dose + half_dose)``: every further dose
    brings less, and no dose more than ``1 + half_dose``; at `half_dose` half of that is reached (Michaelis & Menten
    1913, in translation doi 10.1021/bi201284u).

    >>> response_to(0.5), response_to(0.5, half_dose=0.5), response_to(1.0, half_dose=0.5)
    (0.5, 0.75, 1.0)
    """
    return float(dose) if half_dose is None else float(dose * (1.0 + half_dose) / (dose + half_dose))


def shares(intervention: Intervention, horizon: int) -> FloatArray:
    """(horizon,) share of the intervention's effect that is in force in waves 1…horizon."""
    wave = np.arange(1, horizon + 1)
    risen = np.clip((wave - intervention.start + 1) / (intervention.ramp + 1), 0.0, 1.0)
    past = np.maximum(0, wave - intervention.start - intervention.ramp - (intervention.hold or 0))
    return np.asarray(risen * (1.0 - intervention.fade) ** past)


def spending(intervention: Intervention, horizon: int, covered: float) -> dict[str, FloatArray]:
    """Money spent in waves 1…horizon, block by block, (horizon,) each, not discounted."""
    wave = np.arange(1, horizon + 1)
    first = (wave == intervention.start).astype(float)
    kept = wave >= intervention.start
    if intervention.hold is not None:
        kept &= wave <= intervention.start + intervention.ramp + intervention.hold
    blocks = dict(intervention.cost_blocks) if intervention.cost_blocks else {"one-off": intervention.cost}
    found = {name: amount * first for name, amount in blocks.items()}
    each = (
        intervention.cost_per_unit * covered * first,
        intervention.running * kept,
        intervention.running_per_unit * covered * kept,
    )
    found |= dict(zip(_BLOCKS, each, strict=True))
    return {name: intervention.dose * money for name, money in found.items() if money.any()}
