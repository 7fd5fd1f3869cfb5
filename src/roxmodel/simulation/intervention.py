"""Interventions as data: what is done to which construct, when, where, and for how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, PlainSerializer, field_validator, model_validator

from roxmodel.errors import SimulationError
from roxmodel.frozen import Frozen, FrozenMapping, Number, Whole
from roxmodel.types import FloatArray

__all__ = ["Intervention", "shares"]

Amounts = Annotated[
    Mapping[str, Number],
    AfterValidator(FrozenMapping[str, float]),
    PlainSerializer(dict, return_type=dict[str, float]),
]


class Intervention(Frozen):
    """One action.

    In wave t the share ``clip((t - start + 1) / (ramp + 1), 0, 1) · (1 - fade)^max(0, t - start - ramp)`` of its
    effect is in force.

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
        Keys of the units it covers; None = all.

    Raises
    ------
    SimulationError
        If nothing is done, the cost is negative, or a time is out of range.

    Examples
    --------
    >>> coaching = Intervention(name="coaching", shift={"pride": 0.4}, cost=120_000.0, ramp=1)
    >>> shares(coaching, 4).tolist()
    [0.5, 1.0, 1.0, 1.0]
    """

    name: str
    shift: Amounts | None = None
    set: Amounts | None = None
    cost: Number = 0.0
    start: Whole = 1
    ramp: Whole = 0
    fade: Number = 0.0
    units: tuple[Any, ...] | None = Field(default=None)

    @field_validator("units", mode="before")
    @classmethod
    def _listed(cls, units: object) -> object:
        if units is None or isinstance(units, str):
            return units if units is None else (units,)
        return tuple(units) if hasattr(units, "__iter__") else (units,)

    @model_validator(mode="after")
    def _check(self) -> Intervention:
        who = f"Intervention {self.name!r}"
        if not self.name.strip():
            raise SimulationError("An intervention needs a name.")
        if not self.shift and not self.set:
            raise SimulationError(
                f"{who} does nothing.", hint="Give shift={'construct': points} or set={'construct': level}."
            )
        both = sorted(self.shift.keys() & self.set.keys()) if self.shift and self.set else []
        if both:
            raise SimulationError(f"{who} shifts and sets {both[0]!r} at once.", hint="Say one of the two.")
        if self.cost < 0:
            raise SimulationError(f"{who} has the cost {self.cost:g}.", allowed="0 or a positive amount")
        if self.start < 1:
            raise SimulationError(f"{who} starts in wave {self.start}.", allowed="1 or later (wave 0 is the baseline)")
        if self.ramp < 0:
            raise SimulationError(f"{who} has a ramp of {self.ramp} waves.", allowed="0 or more")
        if not 0 <= self.fade <= 1:
            raise SimulationError(f"{who} has fade={self.fade:g}.", allowed="0 (none) to 1 (all at once)")
        if self.units is not None and not self.units:
            raise SimulationError(f"{who} covers no unit: units= is empty.", hint="Leave units= out to cover all.")
        return self


def shares(intervention: Intervention, horizon: int) -> FloatArray:
    """(horizon,) share of the intervention's effect that is in force in waves 1…horizon."""
    wave = np.arange(1, horizon + 1)
    risen = np.clip((wave - intervention.start + 1) / (intervention.ramp + 1), 0.0, 1.0)
    past = np.maximum(0, wave - intervention.start - intervention.ramp)
    return np.asarray(risen * (1.0 - intervention.fade) ** past)
