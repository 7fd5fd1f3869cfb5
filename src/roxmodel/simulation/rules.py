"""Rules that say which units an action covers, by their levels: the lowest quarter, all below a level."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as short
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from roxmodel.errors import SimulationError
from roxmodel.frozen import Frozen, Number
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Above", "Below", "Highest", "Lowest", "UnitRule", "covered_by", "read_rule"]


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
    """Read a rule from what JSON holds of it; a rule is its own.

    Raises
    ------
    RoxError
        If it is none, or one that covers no share.

    Examples
    --------
    >>> read_rule({"kind": "below", "on": "pride", "level": 3})
    Below(on='pride', level=3.0, kind='below')
    """
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
    """Whether each unit is covered; a unit whose level is not known is not.

    Parameters
    ----------
    levels
        (units,) of the rule's construct, NaN where not known. Of the share of a rule as many units are taken as come
        nearest to it, at least one; of equal levels the first.

    Examples
    --------
    >>> covered_by(Lowest(on="pride", share=0.5), np.array([3.0, 1.0, np.nan, 2.0, 4.0])).tolist()
    [False, True, False, True, False]
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
