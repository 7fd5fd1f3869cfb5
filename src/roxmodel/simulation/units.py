"""In what a construct's change is counted, and between which ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.types import FIGURES

if TYPE_CHECKING:
    from roxmodel.result.fit import Fit

__all__ = ["ends_of", "is_figure", "unit_of"]

_UNITS: Final = {
    "likert": "points",
    "nps": "points",
    "percent": "percentage points",
    "binary": "probability",
    "count": "count",
}


def unit_of(construct: Construct, fit: Fit | None = None) -> str:
    """Name the unit of a construct's score, for tables and axes (in a fit: of ordinal items, what lies behind them).

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Item, Percent
    >>> unit_of(Construct(name="churn", factor="outcomes", source="unit", items=[Item(name="churn", scale=Percent())]))
    'percentage points'
    """
    if fit is not None and _ordinal(fit, construct):
        return "standard deviations"
    scale = construct.items[0].scale
    if scale is None:
        return "points" if construct.source != "unit" else "own units"
    return str(getattr(scale, "unit", None) or _UNITS.get(scale.kind, "points"))


def is_figure(construct: Construct) -> bool:
    """Whether a level is one outcome (a yes/no, a count, a share; an NPS answer of the unit's own), not a position.

    A rating is a position on its scale, and nobody is moved beyond its end. A yes/no is one outcome of what was likely:
    a straight line through outcomes is the change of what is expected, with what the ends take away counted in (Stein
    1981, doi 10.1214/aos/1176345632), and to cut it at each outcome once more would count the ends twice.

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Binary, Item, Likert
    >>> scales = {"certified": Binary(), "pride": Likert(1, 5)}
    >>> [
    ...     is_figure(Construct(name=name, factor="outcomes", source="unit", items=[Item(name=name, scale=scale)]))
    ...     for name, scale in scales.items()
    ... ]
    [True, False]
    """
    scale = construct.items[0].scale
    if scale is None:
        return False
    return scale.kind in FIGURES or (scale.kind == "nps" and construct.source == UNIT)


def ends_of(fit: Fit, construct: Construct) -> tuple[float | None, float | None]:
    """Ends of a construct's scale: those of its first item where it is latent, of the item mean where it is one.

    What lies behind an ordinal item has no ends.
    """
    if _ordinal(fit, construct):
        return None, None
    return construct.items[0].ends if fit.table.of("loading") else construct.ends


def _ordinal(fit: Fit, construct: Construct) -> bool:
    """Whether the first item has thresholds: then a point is a standard deviation of the normal variable behind it."""
    return any(row.left == construct.items[0].name for row in fit.table.of("threshold"))
