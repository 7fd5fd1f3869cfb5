"""One page for every picture, in inches: figure, file, colours, scales, axes and words that never touch each other.

The only door to matplotlib, which is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from roxmodel.errors import RoxError, listed
from roxmodel.numerals import finite, tick_text
from roxmodel.plots.geometry import Measure, Point, separated, shortened, wrapped
from roxmodel.saving import AnyPath, as_path, write_whole
from roxmodel.types import Factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = [
    "DOUBT", "EDGE", "FILLS", "INK", "LINE", "NAME", "NEGATIVE", "OUTLINES", "PAPER", "POSITIVE", "QUIET", "RULE",
    "SMALL", "TICK", "TITLE", "WIDTH", "Align", "Page", "Scale", "figure_bytes", "font_measure", "halo", "in_lines",
    "in_unit", "known", "left_of", "limits", "new_figure", "new_page", "require_matplotlib", "save_figure", "some",
    "warned",
]  # fmt: skip

Align: TypeAlias = Literal["left", "center", "right"]

INK: Final = "#1F2933"
QUIET: Final = "#5C6773"
PAPER: Final = "#FFFFFF"
RULE: Final = "#DDE2E7"
# Blue and vermilion differ for every kind of colour vision, and in grey: blue is the darker one.
POSITIVE: Final = "#14507A"
NEGATIVE: Final = "#D1570E"
DOUBT: Final = "#A1122F"  # what must not be overlooked
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

TITLE: Final = 13.0  # points
NAME: Final = 9.5
TICK: Final = 8.5
SMALL: Final = 7.8
WIDTH: Final = 8.0  # inches
LINE: Final = 1.3 / 72  # inches per point of a line of text
EDGE: Final = 0.2  # inches that stay free around a page
HIGH_TICK: Final = 0.3  # inches of height that the number at a tick takes
_MOST_WARNED: Final = 4  # lines of a warning on top of a picture
_DPI: Final = 100
_RASTER_DPI: Final = 200
# No date in the file and a fixed salt for its ids: the same figure gives the same bytes.
_UNDATED: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


def require_matplotlib() -> None:
    """Say what to install if matplotlib is missing; the rest of the library does without it."""
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise RoxError(
            "Drawing needs matplotlib, which is not installed.", hint='Install it with: pip install "roxmodel[plot]".'
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure (inches) outside pyplot's state, on an Agg canvas: it needs no screen."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from roxmodel.plots.notebook import NotebookFigure

    figure = NotebookFigure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def font_measure() -> Measure:
    """Return the function that measures text in matplotlib's current font."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    @cache
    def measure(text: str, size: float, bold: bool) -> float:
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        # Raster fonts round every letter to pixels; 4 % covers that.
        return 1.04 * float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72

    return measure


def figure_bytes(figure: Figure, kind: str = "svg") -> bytes:
    """Write a figure, the same bytes for the same figure."""
    from matplotlib import rc_context, rcParams

    drawn = BytesIO()
    with rc_context({"svg.hashsalt": rcParams["svg.hashsalt"] or "roxmodel"}):
        dpi = _RASTER_DPI if kind == "png" else figure.dpi
        figure.savefig(drawn, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return drawn.getvalue()


def save_figure(figure: Figure, path: AnyPath) -> Path:
    """Write a figure to a file, whole or not at all; the suffix says the format: ``.svg``, ``.png`` or ``.pdf``.

    The same figure gives the same bytes: no date, and a fixed ``svg.hashsalt`` unless the caller set one
    (``figure.savefig`` leaves both to the caller).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(new_figure(2.0, 1.0), Path(folder) / "empty.svg").name
    'empty.svg'
    """
    require_matplotlib()
    target = as_path(path, RoxError)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in _UNDATED:
        raise RoxError(f"Cannot save a figure as {target.name!r}.", allowed=listed(f".{k}" for k in _UNDATED))
    return write_whole(path, figure_bytes(figure, kind), RoxError)


@dataclass(frozen=True, slots=True)
class Scale:
    """Data from ``low`` to ``high`` stand at ``start`` to ``end`` inches on the page (y runs downwards).

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

    def ticks(self, room: Callable[[float], float], whole: bool = False) -> list[float]:
        """Round numbers, nine at most and whole ones if asked for, that have the room (inches) they need."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        kept: list[float] = []
        for most in range(8, 0, -1):
            steps = MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole)
            locator = LogLocator(numticks=most) if self.log else steps
            found = (float(value) for value in locator.tick_values(self.low, self.high))
            kept = [v + 0.0 for v in found if self.low <= v <= self.high and not (whole and v % 1.0)]
            if all(abs(self.at(b) - self.at(a)) >= (room(a) + room(b)) / 2 for a, b in pairwise(kept)):
                break
        return kept


@dataclass(frozen=True, slots=True)
class Page:
    """Axes whose data coordinates are inches, y downwards, and the words on them."""

    ax: Axes
    measure: Measure
    width: float
    top: float  # where the room between title and caption begins
    scale: float = 1.0  # 1 where the page is as large as its axes; fonts and pens shrink or grow with it

    @property
    def figure(self) -> Figure:
        """The figure the page belongs to, also if it is in a subfigure."""
        from matplotlib.figure import SubFigure

        owner = self.ax.figure
        while isinstance(owner, SubFigure):
            owner = owner.figure
        return owner

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

    def text(
        self, at: Point, words: str, size: float, colour: str, bold: bool = False, align: Align = "center"
    ) -> Text:
        """Write one line whose middle height is ``at[1]``; ``$`` stays a dollar sign."""
        return self.ax.text(
            at[0],
            at[1] + 0.36 * size / 72,
            words,
            fontsize=size * self.scale,
            fontweight="bold" if bold else "normal",
            color=colour,
            ha=align,
            va="baseline",
            parse_math=False,
            zorder=6,
        )

    def lines(
        self, at: Point, lines: Sequence[str], size: float, colour: str, bold: bool = False, align: Align = "center"
    ) -> list[Text]:
        """Write lines below each other, the middle of the block at ``at``."""
        places = [at[1] + (number - (len(lines) - 1) / 2) * size * LINE for number in range(len(lines))]
        return [self.text((at[0], y), line, size, colour, bold, align) for y, line in zip(places, lines, strict=True)]

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
            self.text((float(x), y), text, TICK, colour, bold=True)

    def column(self, x: float, words: Sequence[tuple[float, str, str]]) -> None:
        """Write words (place, text, colour) below each other, each as near to its place as the others allow."""
        words = sorted(words)
        middle = separated([y for y, _, _ in words], [TICK * LINE] * (len(words) - 1), [1.0] * len(words))
        for y, (_, text, colour) in zip(middle, words, strict=True):
            self.text((x, float(y)), text, TICK, colour, bold=True, align="left")

    def along(self, ax: Axes, x: Scale, bottom: float, label: str, rules: bool = True, whole: bool = False) -> None:
        """Numbers and, unless it is empty, a label below axes; needs 0.5 inches (0.25 without a label)."""
        for tick in x.ticks(lambda value: self.measure(tick_text(value), TICK, False) + 0.2, whole):
            self.text((x.at(tick), bottom + 0.13), tick_text(tick), TICK, QUIET)
            if rules:
                ax.axvline(tick, color=RULE, linewidth=0.6, zorder=0)
        label = self.line(label)
        half = self.measure(label, TICK, False) / 2
        middle = min(max((x.start + x.end) / 2, EDGE + half), self.width - EDGE - half)
        if label:
            self.text((middle, bottom + 0.35), label, TICK, QUIET)

    def upright(self, ax: Axes, y: Scale, left: float, rules: bool = True, high: float = HIGH_TICK) -> None:
        """Numbers left of axes, each with so many inches of height."""
        for tick in y.ticks(lambda _: high):
            self.text((left - 0.08, y.at(tick)), tick_text(tick), TICK, QUIET, align="right")
            if rules:
                ax.axhline(tick, color=RULE, linewidth=0.6, zorder=0)

    def head(self, label: str) -> None:
        """What an upright scale counts, at the very top of the page's room; needs 0.2 inches."""
        self.text((EDGE, self.top + 0.1), self.line(label), TICK, QUIET, align="left")


def new_page(width: float, body: float, title: str, caption: str) -> Page:
    """Make a page with some inches of room between its title and its caption."""
    figure = new_figure(width, body)
    measure = font_measure()
    room = width - 2 * EDGE
    above = wrapped(title, room, 3, lambda line: measure(line, TITLE, True)) if title.strip() else ()
    below = wrapped(caption, room, 12, lambda line: measure(line, SMALL, False)) if caption.strip() else ()
    top = EDGE + len(above) * TITLE * LINE + (0.1 if above else 0.0)
    height = top + body + len(below) * SMALL * LINE + EDGE
    figure.set_size_inches(width, height)
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0), zorder=5)
    ax.set_axis_off()
    ax.set_xlim(0.0, width)
    ax.set_ylim(height, 0.0)
    page = Page(ax, measure, width, top)
    page.lines((EDGE, EDGE + len(above) * TITLE * LINE / 2), above, TITLE, INK, True, "left")
    page.lines((EDGE, top + body + len(below) * SMALL * LINE / 2), below, SMALL, QUIET, False, "left")
    return page


def warned(figure: Figure, words: str) -> Figure:
    """Put words that a reader must not miss on top of a picture, which grows by their lines; none: as it was."""
    if not words.strip():
        return figure
    width, height = (float(size) for size in figure.get_size_inches())
    measure = font_measure()
    lines = wrapped(words, width - 2 * EDGE, _MOST_WARNED, lambda line: measure(line, NAME, True))
    more = EDGE + len(lines) * NAME * LINE
    figure.set_size_inches(width, height + more)
    share = height / (height + more)
    for ax in figure.axes:
        place = ax.get_position(original=True)
        ax.set_position((place.x0, place.y0 * share, place.width, place.height * share))
    ax = figure.add_axes((0.0, share, 1.0, 1.0 - share), zorder=6)
    ax.set_axis_off()
    ax.set_xlim(0.0, width)
    ax.set_ylim(more, 0.0)
    ax.set_gid("doubt")
    Page(ax, measure, width, 0.0).lines((EDGE, EDGE + (more - EDGE) / 2), lines, NAME, DOUBT, True, "left")
    return figure


def in_lines(names: Sequence[str], width: float, most: int, measure: Callable[[str], float]) -> list[tuple[str, ...]]:
    """Break names that stand together into lines, so that different ones stay different.

    >>> in_lines(["team coaching", "tools"], 0.9, 2, lambda line: len(line) / 10)
    [('team', 'coaching'), ('tools',)]
    """
    return [wrapped(name, width, most, measure) for name in shortened(names, width, most, measure)]


def halo(texts: Iterable[Text], colour: str) -> None:
    """Let lines end before they run into words, by a rim in the colour of the paper."""
    from matplotlib.patheffects import withStroke

    for text in texts:
        text.set_path_effects([withStroke(linewidth=2.5, foreground=colour)])


def some(given: Collection[object], what: str) -> None:
    """Refuse to draw nothing."""
    if not given:
        raise RoxError(f"There are no {what} to draw.")


def known(owner: str, **numbers: float) -> None:
    """Refuse to draw a number that is missing or infinite, naming it."""
    for what, number in numbers.items():
        if not finite(number):
            raise RoxError(f"{owner} has {what} {number}.", allowed="a finite number")


def in_unit(what: str, unit: str) -> str:
    """Add the unit, if there is one."""
    return f"{what}, {unit}" if unit.strip() else what


def left_of(y: Scale, measure: Measure, edge: float = EDGE, high: float = HIGH_TICK) -> float:
    """Inches to axes that leave room for the numbers of their upright scale, from an edge at the left.

    >>> left_of(Scale(0.0, 10.0, 3.0, 0.0), lambda text, size, bold: 0.1 * len(text))
    0.5
    """
    ticks = y.ticks(lambda _: high)
    return edge + max((measure(tick_text(tick), TICK, False) for tick in ticks), default=0.0) + 0.1


def limits(values: Sequence[float], pad: float = 0.06, least: float = 0.0) -> tuple[float, float]:
    """Ends of a scale that holds all values (≥ 1, finite), wide enough for numbers to differ.

    Some air is added: `pad` times the width at either end. The width is at least `least`, and 2 % of the largest
    value (1 if all are 0).

    >>> limits([0.0, 10.0], pad=0.1)
    (-1.0, 11.0)
    >>> limits([5.0], pad=0.0, least=2.0)
    (4.0, 6.0)
    """
    low, high = min(values), max(values)
    width = max(high - low, least, 0.02 * max(abs(low), abs(high)) or 1.0)
    middle, half = (low + high) / 2, (0.5 + pad) * width
    return middle - half, middle + half
