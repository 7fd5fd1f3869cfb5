"""A page for charts, in inches: scales, axes and words that never touch each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, tick_text
from roxmodel.plots.figure import font_measure, new_figure
from roxmodel.plots.geometry import Measure, Point, separated, wrapped
from roxmodel.plots.sheet import Align, Sheet
from roxmodel.plots.style import INK, QUIET
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = [
    "EDGE",
    "LINE",
    "NAME",
    "RULE",
    "SMALL",
    "TICK",
    "WIDTH",
    "Page",
    "Scale",
    "beside",
    "halo",
    "in_unit",
    "known",
    "left_of",
    "limits",
    "new_page",
    "some",
]

NAME: Final = 9.5  # points
TICK: Final = 8.5
SMALL: Final = 7.8
WIDTH: Final = 8.0  # inches
LINE: Final = 1.3 / 72  # inches per point of a line of text
EDGE: Final = 0.2  # inches that stay free around a page
RULE: Final = "#DDE2E7"
_TITLE: Final = 13.0
_ANGLES: Final = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
_WAYS: Final = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
# Inches from a dot to its name.
_GAPS: Final = np.array([0.03, 0.08, 0.15, 0.25, 0.4, 0.6, 0.85, 1.15, 1.5, 2.0, 2.6, 3.3])
# What is worth a detour of so many inches.
_ON_A_LINE: Final = 0.4
_OVER_A_DOT: Final = 1.0
_OVER_A_WAY: Final = 0.7
_OVER_A_NAME: Final = 2.0
_FORBIDDEN: Final = 1000.0
_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Scale:
    """Data from ``low`` to ``high`` stand at ``start`` to ``end`` inches on the page (y runs downwards).

    Examples
    --------
    >>> Scale(0.0, 10.0, 1.0, 3.0).at(5.0), Scale(1.0, 100.0, 1.0, 3.0, log=True).at(10.0)
    (2.0, 2.0)
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Inches at which a value stands."""
        low, high, here = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def moved(self, inches: float) -> Scale:
        """Return the same scale further down or to the right."""
        return Scale(self.low, self.high, self.start + inches, self.end + inches, self.log)

    def ticks(self, room: Callable[[float], float]) -> list[float]:
        """Round numbers, nine at most, that have the room (inches) they need."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        kept: list[float] = []
        for most in range(8, 0, -1):
            locator = LogLocator(numticks=most) if self.log else MaxNLocator(most, steps=[1, 2, 5, 10])
            found = (float(value) for value in locator.tick_values(self.low, self.high))
            kept = [value + 0.0 for value in found if self.low <= value <= self.high]
            if all(abs(self.at(b) - self.at(a)) >= (room(a) + room(b)) / 2 for a, b in pairwise(kept)):
                break
        return kept


@dataclass(frozen=True, slots=True)
class Page:
    """A figure with its title and caption; ``top`` is where the room between the two begins, in inches.

    Examples
    --------
    >>> new_page(8.0, 3.0, "title", "caption").top > 0.2
    True
    """

    figure: Figure
    sheet: Sheet
    measure: Measure
    width: float
    top: float

    def axes(self, x: Scale, y: Scale) -> Axes:
        """Axes between two scales, in the units of the data, without lines or words of their own."""
        wide, high = self.figure.get_size_inches()
        ax = self.figure.add_axes(
            (x.start / wide, 1.0 - y.start / high, (x.end - x.start) / wide, (y.start - y.end) / high)
        )
        ax.set_axis_off()
        ax.set_xscale("log" if x.log else "linear")
        ax.set_xlim(x.low, x.high)
        ax.set_ylim(y.low, y.high)
        return ax

    def lines(
        self, at: Point, lines: Sequence[str], size: float, colour: str, bold: bool = False, align: Align = "center"
    ) -> list[Text]:
        """Write lines below each other, the middle of the block at ``at``."""
        places = [at[1] + (number - (len(lines) - 1) / 2) * size * LINE for number in range(len(lines))]
        return [
            self.sheet.text((at[0], y), line, size, colour, bold, align) for y, line in zip(places, lines, strict=True)
        ]

    def line(self, words: str) -> str:
        """Cut words at the end of a line across the page."""
        return wrapped(words, self.width - 2 * EDGE, 1, lambda line: self.measure(line, TICK, False))[0]

    def row(self, y: float, words: Sequence[tuple[float, str, str]]) -> None:
        """Write words (place, text, colour) beside each other, each as near to its place as the others allow."""
        words = sorted(words)
        half = np.array([self.measure(text, TICK, True) / 2 for _, text, _ in words])
        wanted = np.clip([x for x, _, _ in words], EDGE + half, self.width - EDGE - half)
        middle = separated(wanted.tolist(), (half[:-1] + half[1:] + 0.15).tolist(), [1.0] * len(words))
        middle += max(0.0, EDGE - middle[0] + half[0]) - max(0.0, middle[-1] + half[-1] - self.width + EDGE)
        for x, (_, text, colour) in zip(middle, words, strict=True):
            self.sheet.text((float(x), y), text, TICK, colour, bold=True)

    def column(self, x: float, words: Sequence[tuple[float, str, str]]) -> None:
        """Write words (place, text, colour) below each other, each as near to its place as the others allow."""
        words = sorted(words)
        middle = separated([y for y, _, _ in words], [TICK * LINE] * (len(words) - 1), [1.0] * len(words))
        for y, (_, text, colour) in zip(middle, words, strict=True):
            self.sheet.text((x, float(y)), text, TICK, colour, bold=True, align="left")

    def along(self, ax: Axes, x: Scale, bottom: float, label: str, rules: bool = True) -> None:
        """Numbers and, unless it is empty, a label below axes; needs 0.5 inches (0.25 without a label)."""
        for tick in x.ticks(lambda value: self.measure(tick_text(value), TICK, False) + 0.2):
            self.sheet.text((x.at(tick), bottom + 0.13), tick_text(tick), TICK, QUIET)
            if rules:
                ax.axvline(tick, color=RULE, linewidth=0.6, zorder=0)
        label = self.line(label)
        half = self.measure(label, TICK, False) / 2
        middle = min(max((x.start + x.end) / 2, EDGE + half), self.width - EDGE - half)
        if label:
            self.sheet.text((middle, bottom + 0.35), label, TICK, QUIET)

    def upright(self, ax: Axes, y: Scale, left: float, label: str, rules: bool = True) -> None:
        """Numbers left of axes, and a label above them, at the very top of the page's room."""
        for tick in y.ticks(_line_of_ticks):
            self.sheet.text((left - 0.08, y.at(tick)), tick_text(tick), TICK, QUIET, align="right")
            if rules:
                ax.axhline(tick, color=RULE, linewidth=0.6, zorder=0)
        self.sheet.text((EDGE, self.top + 0.1), self.line(label), TICK, QUIET, align="left")


def new_page(width: float, body: float, title: str, caption: str) -> Page:
    """Make a page with some inches of room between its title and its caption.

    Raises
    ------
    RoxError
        If matplotlib is not installed.

    Examples
    --------
    >>> new_page(8.0, 3.0, "", "").figure.get_size_inches().round(2).tolist()
    [8.0, 3.4]
    """
    figure = new_figure(width, body)
    measure = font_measure()
    room = width - 2 * EDGE
    above = wrapped(title, room, 3, lambda line: measure(line, _TITLE, True)) if title.strip() else ()
    below = wrapped(caption, room, 12, lambda line: measure(line, SMALL, False)) if caption.strip() else ()
    top = EDGE + len(above) * _TITLE * LINE + (0.1 if above else 0.0)
    height = top + body + len(below) * SMALL * LINE + EDGE
    figure.set_size_inches(width, height)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0), zorder=5)
    ax.set_axis_off()
    ax.set_xlim(0.0, width)
    ax.set_ylim(height, 0.0)
    page = Page(figure, Sheet(ax, 1.0), measure, width, top)
    page.lines((EDGE, EDGE + len(above) * _TITLE * LINE / 2), above, _TITLE, INK, True, "left")
    page.lines((EDGE, top + body + len(below) * SMALL * LINE / 2), below, SMALL, QUIET, False, "left")
    return page


def halo(texts: Iterable[Text], colour: str) -> None:
    """Let lines end before they run into words, by a rim in the colour of the paper.

    Examples
    --------
    >>> page = new_page(8.0, 3.0, "", "")
    >>> halo(page.lines((1.0, 1.0), ["words"], 9.0, "black"), "white")
    """
    from matplotlib.patheffects import withStroke

    for text in texts:
        text.set_path_effects([withStroke(linewidth=2.5, foreground=colour)])


def some(given: Collection[object], what: str) -> None:
    """Refuse to draw nothing.

    Raises
    ------
    RoxError
        If nothing is given.

    Examples
    --------
    >>> some(["a point"], "points")
    """
    if not given:
        raise RoxError(f"There are no {what} to draw.")


def known(owner: str, **numbers: float) -> None:
    """Refuse to draw a number that is missing.

    Raises
    ------
    RoxError
        If a number is None, NaN or infinite; the message names it.

    Examples
    --------
    >>> known("Driver 'discount'", low=1.0, high=2.0)
    """
    for what, number in numbers.items():
        if not finite(number):
            raise RoxError(f"{owner} has {what} {number}.", allowed="a finite number")


def in_unit(what: str, unit: str) -> str:
    """Add the unit, if there is one.

    Examples
    --------
    >>> in_unit("budget", "EUR"), in_unit("budget", "")
    ('budget, EUR', 'budget')
    """
    return f"{what}, {unit}" if unit.strip() else what


def left_of(y: Scale, measure: Measure) -> float:
    """Inches from the page's left edge to axes that leave room for the numbers of their upright scale.

    Examples
    --------
    >>> left_of(Scale(0.0, 10.0, 3.0, 0.0), lambda text, size, bold: 0.1 * len(text))
    0.5
    """
    return EDGE + max((measure(tick_text(tick), TICK, False) for tick in y.ticks(_line_of_ticks)), default=0.0) + 0.1


def _line_of_ticks(_: float) -> float:
    """Inches of height the number at a tick takes, whatever it is."""
    return 0.3


def limits(values: Sequence[float], pad: float = 0.06, least: float = 0.0) -> tuple[float, float]:
    """Ends of a scale that holds all values, with some air, and wide enough for numbers to differ.

    Parameters
    ----------
    values
        At least one, finite.
    pad
        Share of the width that is added at either end.
    least
        Least width; 2 % of the largest value (1 if all are 0) if that is more.

    Returns
    -------
    tuple of float
        Low < high.

    Examples
    --------
    >>> limits([0.0, 10.0], pad=0.1)
    (-1.0, 11.0)
    >>> limits([5.0], pad=0.0, least=2.0)
    (4.0, 6.0)
    """
    low, high = min(values), max(values)
    width = max(high - low, least, 0.02 * max(abs(low), abs(high)) or 1.0)
    middle, half = (low + high) / 2, (0.5 + pad) * width
    return middle - half, middle + half


def beside(dots: FloatArray, radii: FloatArray, sizes: FloatArray, room: FloatArray, lines: FloatArray) -> FloatArray:
    """Find a place for the name of every dot: near it, on no dot, on no other name.

    Parameters
    ----------
    dots, radii
        Places of the dots, shape (n, 2), and their radii, shape (n,), in inches; y runs downwards.
    sizes
        Width and height of every name, shape (n, 2).
    room
        Left, top, right, bottom of what a name must not leave, shape (4,).
    lines
        Boxes around what a name should rather not cover, shape (lines, 4).

    Returns
    -------
    array
        Left, top, right, bottom of every name, shape (n, 4); NaN for a name that finds no place. Deterministic.

    Examples
    --------
    >>> dot, radius, size = np.array([[1.0, 1.0]]), np.array([0.05]), np.array([[0.8, 0.2]])
    >>> beside(dot, radius, size, np.array([0.0, 0.0, 4.0, 4.0]), np.empty((0, 4))).round(2).tolist()
    [[1.08, 0.9, 1.88, 1.1]]
    """
    solid = np.column_stack([dots - radii[:, None], dots + radii[:, None]])
    reach = np.repeat(_GAPS, len(_WAYS))
    taste = np.tile(0.08 * np.abs(_WAYS[:, 1]) + 0.03 * (_WAYS[:, 0] < -0.1), len(_GAPS))
    spots, standing = [], []
    for k, (dot, radius, size) in enumerate(zip(dots, radii, sizes, strict=True)):
        middle = dot + (reach[:, None] + radius) * np.tile(_WAYS, (len(_GAPS), 1))
        middle += size / 2 * np.tile(np.clip(1.5 * _WAYS, -1.0, 1.0), (len(_GAPS), 1))
        boxes = np.hstack([middle - size / 2, middle + size / 2])
        outside = (boxes[:, :2] < room[:2]).any(axis=1) | (boxes[:, 2:] > room[2:]).any(axis=1)
        cost = reach + taste + _FORBIDDEN * (outside + _touched(boxes, solid, 0.01))
        strange = np.delete(solid, k, axis=0)
        cost += _ON_A_LINE * (_touched(boxes, lines) + _touched(boxes, strange, 0.1))
        cost += _OVER_A_DOT * _crossed(dot[None], boxes, strange).sum(axis=1)
        spots.append(boxes)
        standing.append(cost)
    return _settled(dots, spots, standing)


def _settled(dots: FloatArray, spots: list[FloatArray], standing: list[FloatArray]) -> FloatArray:
    """Let every name choose in turn, those with the least choice first, until nobody moves."""
    chosen = np.full((len(spots), 4), np.nan)
    # The tenth best spot says how little choice a name has.
    order = sorted(range(len(spots)), key=lambda k: (-float(np.sort(standing[k])[9]), k))
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for k in order:
            others, strange = np.delete(chosen, k, axis=0), np.delete(dots, k, axis=0)
            cost = standing[k] + _FORBIDDEN * _touched(spots[k], others, 0.03)
            cost += _OVER_A_NAME * _crossed(dots[[k]], spots[k], others).sum(axis=1)
            cost += _OVER_A_NAME * _crossed(strange, others, spots[k]).sum(axis=0)
            cost += _OVER_A_WAY * _crossing(dots[k], spots[k], strange, others).sum(axis=1)
            best = int(np.argmin(cost))
            chosen[k] = np.nan if cost[best] >= _FORBIDDEN else spots[k][best]
        if np.array_equal(before, chosen, equal_nan=True):
            break
    return chosen


def _touched(boxes: FloatArray, others: FloatArray, pad: float = 0.0) -> FloatArray:
    """How many of the other boxes each box, widened by the pad, shares an area with; NaN boxes share nothing."""
    across = (boxes[:, None, 0] - pad < others[:, 2]) & (others[:, 0] < boxes[:, None, 2] + pad)
    down = (boxes[:, None, 1] - pad < others[:, 3]) & (others[:, 1] < boxes[:, None, 3] + pad)
    counts: FloatArray = (across & down).sum(axis=1).astype(float)
    return counts


def _crossed(dots: FloatArray, names: FloatArray, boxes: FloatArray) -> BoolArray:
    """Whether the straight way from a dot to its name runs through each box, shape (names, boxes)."""
    way = np.clip(dots, names[:, :2], names[:, 2:]) - dots
    way = np.where(np.abs(way) < 1e-9, 1e-9, way)
    enters = np.full((max(len(names), len(dots)), len(boxes)), -np.inf)
    leaves = -enters
    for axis in (0, 1):
        one, other = ((boxes[:, axis + k] - dots[:, [axis]]) / way[:, [axis]] for k in (0, 2))
        enters = np.maximum(enters, np.minimum(one, other))
        leaves = np.minimum(leaves, np.maximum(one, other))
    crossed: BoolArray = (enters < leaves) & (leaves > 0.0) & (enters < 1.0 - 1e-6)
    return crossed


def _crossing(dot: FloatArray, spots: FloatArray, others: FloatArray, names: FloatArray) -> BoolArray:
    """Whether the way from a dot to each of its spots crosses others' ways to their names, shape (spots, names)."""
    here = (np.clip(dot, spots[:, :2], spots[:, 2:]) - dot)[:, None, :]
    there = (np.clip(others, names[:, :2], names[:, 2:]) - others)[None]
    apart = (others - dot)[None]
    turns = _turn(here, there)
    turns = np.where(np.abs(turns) < 1e-12, np.nan, turns)
    on_one, on_other = _turn(apart, there) / turns, _turn(apart, here) / turns
    crossing: BoolArray = (on_one > 0.0) & (on_one < 1.0) & (on_other > 0.0) & (on_other < 1.0)
    return crossing


def _turn(one: FloatArray, other: FloatArray) -> FloatArray:
    turn: FloatArray = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return turn
