"""Colours and pens: what sign, size, doubt and kind of an arrow look like, and the keys that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from roxmodel.numerals import finite
from roxmodel.plots.diagram import Arrow, Diagram, includes_zero, relative_strengths
from roxmodel.plots.geometry import Measure
from roxmodel.types import Factor

__all__ = [
    "FILLS",
    "INK",
    "NEGATIVE",
    "OUTLINES",
    "PAPER",
    "POSITIVE",
    "QUIET",
    "Key",
    "Pen",
    "PlacedKey",
    "keys",
    "laid_out",
    "pens",
]

INK: Final = "#1F2933"
QUIET: Final = "#5C6773"
PAPER: Final = "#FFFFFF"
# Blue and vermilion differ for every kind of colour vision, and in grey: blue is the darker one.
POSITIVE: Final = "#14507A"
NEGATIVE: Final = "#D1570E"
_NEUTRAL: Final = "#87919C"

# Tints after Okabe & Ito (2008).
FILLS: Final[dict[Factor, str]] = {
    "pride": "#FBE6D4",
    "influencers": "#DDEBF8",
    "behaviours": "#DCF1E7",
    "value_drivers": "#FCF5CF",
    "outcomes": "#F3E1ED",
    "context": "#EDEFF1",
}
OUTLINES: Final[dict[Factor, str]] = {
    "pride": "#B5652B",
    "influencers": "#3D7FB5",
    "behaviours": "#23896A",
    "value_drivers": "#A08A1C",
    "outcomes": "#A85A8C",
    "context": "#7B8794",
}


@dataclass(frozen=True, slots=True)
class Pen:
    """How one arrow is drawn.

    Parameters
    ----------
    colour
        Hexadecimal, already mixed with white if faint.
    width
        Points.
    dashes
        On and off in points, empty for a solid line.
    heads
        1 at the effect, 2 at both ends.
    text
        Colour of the label.
    """

    colour: str
    width: float
    dashes: tuple[float, ...] = ()
    heads: int = 1
    text: str = QUIET


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the legend: a sample (None: words only) and what it means."""

    sample: Pen | None
    words: str
    wedge: bool = False


@dataclass(frozen=True, slots=True)
class PlacedKey:
    """A key with the place of its left end, in inches from the legend's top left corner."""

    key: Key
    x: float
    line: int


def pens(diagram: Diagram) -> tuple[Pen, ...]:
    """Choose a pen for every arrow.

    Parameters
    ----------
    diagram
        Nodes and arrows.

    Returns
    -------
    tuple of Pen
        Width grows with strength, colour says the sign, faint that the interval includes 0, dashed that the
        number was assumed, dotted with two heads a covariance, thin grey that there is no number.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Node
    >>> nodes = (Node("a", "pride", "employee", 1), Node("b", "outcomes", "unit", 1))
    >>> pens(Diagram(nodes, (Arrow("a", "b", standardized=1.0, estimate=0.5),)))[0].width
    5.5
    """
    strengths = relative_strengths(tuple(arrow for arrow in diagram.arrows if arrow.kind == "edge"))
    upcoming = iter(strengths)
    return tuple(_pen(arrow, next(upcoming) if arrow.kind == "edge" else None) for arrow in diagram.arrows)


def keys(diagram: Diagram) -> tuple[Key, ...]:
    """Explain what occurs in a diagram, and only that.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Node
    >>> nodes = (Node("a", "pride", "employee", 1), Node("b", "outcomes", "unit", 1))
    >>> [key.words for key in keys(Diagram(nodes, (Arrow("a", "b", 0.5),)))]
    ['width: size of the estimate', 'positive']
    """
    edges = [arrow for arrow in diagram.arrows if arrow.kind == "edge"]
    numbers = [a for a in edges if finite(a.estimate)]
    entries: list[Key] = []
    if numbers:
        entries.append(Key(Pen(QUIET, 1.0), f"width: {_what_width_means(edges)}", wedge=True))
    if any(_value(arrow) >= 0 for arrow in numbers):
        entries.append(Key(Pen(POSITIVE, 2.2), "positive"))
    if any(_value(arrow) < 0 for arrow in numbers):
        entries.append(Key(Pen(NEGATIVE, 2.2), "negative"))
    if any(includes_zero(arrow) for arrow in numbers):
        entries.append(Key(Pen(_faint(POSITIVE), 2.2), "faint: interval includes 0"))
    if any(arrow.assumed for arrow in edges):
        colour = POSITIVE if any(arrow.assumed for arrow in numbers) else _NEUTRAL
        entries.append(Key(Pen(colour, 1.6, (3.2, 1.8)), "assumed, not estimated"))
    if numbers and len(numbers) < len(edges):
        entries.append(Key(Pen(_NEUTRAL, 1.0), "no estimate"))
    if len(edges) < len(diagram.arrows):
        entries.append(Key(_pen_of_covariance(), "covariance: unmeasured common cause"))
    if any(finite(a.low) and finite(a.high) for a in diagram.arrows if finite(a.estimate)):
        entries.append(Key(None, f"[low, high]: {diagram.interval}"))
    return tuple(entries)


def laid_out(
    entries: Sequence[Key], width: float, size: float, sample: float, measure: Measure
) -> tuple[PlacedKey, ...]:
    """Set keys one after another in as many lines as needed.

    Parameters
    ----------
    entries
        What to set.
    width
        Inches available.
    size
        Points of the words.
    sample
        Inches a sample takes, with the blank after it.
    measure
        Width of a text.

    Returns
    -------
    tuple of PlacedKey
        In the same order.

    Examples
    --------
    >>> two = (Key(None, "one"), Key(None, "two"))
    >>> [placed.line for placed in laid_out(two, 0.5, 8.0, 0.4, lambda text, size, bold: 0.4)]
    [0, 1]
    """
    placed = []
    x, line = 0.0, 0
    for key in entries:
        wide = measure(key.words, size, False) + (sample if key.sample is not None else 0.0)
        if x > 0.0 and x + wide > width:
            x, line = 0.0, line + 1
        placed.append(PlacedKey(key, x, line))
        x += wide + 0.24
    return tuple(placed)


def _pen(arrow: Arrow, strength: float | None) -> Pen:
    if arrow.kind == "covariance":
        return _pen_of_covariance()
    if strength is None:
        pen = Pen(_NEUTRAL, 1.1)
    else:
        colour = NEGATIVE if _value(arrow) < 0 else POSITIVE
        pen = Pen(colour, 1.0 + 4.5 * strength, text=colour)
        if includes_zero(arrow):
            pen = replace(pen, colour=_faint(colour), text=QUIET)
    return replace(pen, dashes=(3.2, 1.8)) if arrow.assumed else pen


def _pen_of_covariance() -> Pen:
    return Pen(QUIET, 1.0, (1.0, 2.0), heads=2)


def _value(arrow: Arrow) -> float:
    """Return the number whose sign decides the colour: the one shown, else the standardized one."""
    for value in (arrow.estimate, arrow.standardized):
        if finite(value):
            return value
    return 0.0


def _what_width_means(edges: Sequence[Arrow]) -> str:
    if any(finite(arrow.standardized) for arrow in edges):
        return "size of the standardized effect"
    relative = any(arrow.estimate is not None and abs(arrow.estimate) > 1 for arrow in edges)
    return "size of the estimate" + (", relative to the largest" if relative else "")


def _faint(colour: str, kept: float = 0.4) -> str:
    """Mix a colour with white."""
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 - kept * (255 - channel)):02X}" for channel in channels)
