"""In what a construct's change is counted."""

from __future__ import annotations

from typing import Final

from roxmodel.spec.constructs import Construct

__all__ = ["unit_of"]

_UNITS: Final = {
    "likert": "points",
    "nps": "points",
    "percent": "percentage points",
    "binary": "probability",
    "count": "count",
}


def unit_of(construct: Construct) -> str:
    """Name the unit of a construct's score, for tables and axes.

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Item, Percent
    >>> unit_of(Construct(name="churn", factor="outcomes", source="unit", items=[Item(name="churn", scale=Percent())]))
    'percentage points'
    """
    scale = construct.items[0].scale
    if scale is None:
        return "points" if construct.source != "unit" else "own units"
    return str(getattr(scale, "unit", None) or _UNITS.get(scale.kind, "points"))
