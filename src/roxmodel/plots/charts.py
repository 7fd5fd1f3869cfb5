"""Charts of numbers with intervals: change over waves, estimates side by side, benefit and cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, tick_text, with_interval, written
from roxmodel.plots.figure import font_measure, new_figure, require_matplotlib
from roxmodel.plots.geometry import shortened, wrapped
from roxmodel.plots.style import INK, NEGATIVE, POSITIVE, QUIET
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["Bar", "FanSeries", "draw_fan", "draw_forest", "draw_waterfall"]

_TITLE: Final = 13.0
_NAME: Final = 9.5
_TICK: Final = 8.5
_CAPTION: Final = 7.8
_LINE: Final = 1.35 / 72  # inches per point of a line of text
_RULE: Final = "#C9CFD6"
_TRUTH: Final = "#8A3A6B"


@dataclass(frozen=True, slots=True)
class Bar:
    """A number with its interval (None or NaN where there is none).

    Examples
    --------
    >>> Bar("pride -> value", 0.42, 0.31, 0.53).value
    0.42
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FanSeries:
    """Change of one construct over the waves.

    Parameters
    ----------
    name
        Stands above its panel.
    wave
        Wave numbers, ascending, shape (w,).
    mean, low, high
        Change against no action and its band, in ``unit``, shape (w,).
    unit
        Unit of the changes.

    Raises
    ------
    RoxError
        If there is no wave or the shapes differ.

    Examples
    --------
    >>> FanSeries("pride", [1, 2], [0.1, 0.2], [0.0, 0.1], [0.2, 0.3]).mean.shape
    (2,)
    """

    name: str
    wave: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    unit: str = "points"

    def __post_init__(self) -> None:
        shapes = {}
        for field in ("wave", "mean", "low", "high"):
            values = np.array(getattr(self, field), dtype=float)
            values.setflags(write=False)
            object.__setattr__(self, field, values)
            shapes[field] = values.shape
        if len(set(shapes.values())) > 1 or len(shapes["wave"]) != 1 or shapes["wave"] == (0,):
            raise RoxError(f"Series {self.name!r} has shapes {shapes}.", allowed="one equal, non-empty dimension")


def draw_fan(series: Sequence[FanSeries], title: str = "", caption: str = "") -> Figure:
    """Draw change over waves, one small panel per construct, with its band and a line at zero.

    Parameters
    ----------
    series
        At least one; every panel has its own vertical scale, as units and scales differ.
    title, caption
        Above and below all panels.

    Returns
    -------
    matplotlib.figure.Figure
        Outside pyplot's state; displays itself in notebooks.

    Raises
    ------
    RoxError
        If there is no series or matplotlib is not installed.

    Examples
    --------
    >>> rise = FanSeries("pride", [1, 2, 3], [0.1, 0.2, 0.2], [0.0, 0.1, 0.1], [0.2, 0.3, 0.3])
    >>> len(draw_fan([rise]).axes)
    1
    """
    _some(series, "series")
    columns = min(len(series), 4 if len(series) in (4, 7, 8) or len(series) > 9 else 3)
    rows = math.ceil(len(series) / columns)
    figure = _framed(max(2.7 * columns, 5.0), 2.0 * rows + 0.15, title, caption)
    measure = font_measure()
    names = _wrapped_names([one.name for one in series], 2.0, 2, lambda line: measure(line, _NAME, True))
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for number, panel in enumerate(panels.flat):
        if number >= len(series):
            panel.set_visible(False)
            continue
        _draw_panel(panel, series[number])
        panel.set_title(names[number], loc="left", fontsize=_NAME, fontweight="bold", color=INK, parse_math=False)
        lowest = number + columns >= len(series)
        panel.tick_params(axis="x", labelbottom=lowest, length=3 if lowest else 0)
        panel.set_xlabel("wave" if lowest else "", fontsize=_TICK, color=QUIET)
    return figure


def draw_forest(
    rows: Sequence[Bar],
    title: str = "",
    xlabel: str = "",
    caption: str = "",
    reference: Sequence[float] | None = None,
) -> Figure:
    """Draw estimates below each other: a dot, its interval, and the numbers in words.

    Parameters
    ----------
    rows
        At least one, from top to bottom; intervals that include 0 are drawn hollow.
    title, xlabel, caption
        Words above, at the axis and below.
    reference
        Known truth of every row (a simulated world), drawn as hollow diamonds; NaN where unknown.

    Returns
    -------
    matplotlib.figure.Figure
        Outside pyplot's state; displays itself in notebooks.

    Raises
    ------
    RoxError
        If there is no row, the reference has another length, or matplotlib is not installed.

    Examples
    --------
    >>> figure = draw_forest([Bar("a -> b", 0.4, 0.3, 0.5), Bar("b -> c", -0.1, -0.3, 0.1)])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['a -> b', 'b -> c']
    """
    _some(rows, "rows")
    if reference is not None and len(reference) != len(rows):
        raise RoxError(f"There are {len(rows)} rows but {len(reference)} reference values.")
    require_matplotlib()
    measure = font_measure()
    names = _wrapped_names([row.name for row in rows], 2.6, 3, lambda line: measure(line, _NAME, False))
    high = 0.13 + 0.17 * max(name.count("\n") + 1 for name in names)
    hollow = "Hollow dots: the interval includes 0." if any(_includes_zero(row) for row in rows) else ""
    body = high * len(rows) + (0.95 if reference is not None else 0.7)
    figure = _framed(8.0, body, title, f"{caption} {hollow}".strip())
    ax = figure.add_subplot()
    ax.axvline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    for place, row in enumerate(rows):
        _draw_whisker(ax, place, row)
    if reference is not None:
        _draw_truth(ax, reference)
    _axis(ax, "x", xlabel)
    ax.set_yticks(range(len(rows)), names, fontsize=_NAME)
    _plain(ax.get_yticklabels())
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


def draw_waterfall(steps: Sequence[Bar], title: str = "", ylabel: str = "", caption: str = "") -> Figure:
    """Draw how gains and costs add up to what is left.

    A change starts where the one before ended, so that the axis does not read its own interval: that stands in words
    above it. The result starts at zero and has a whisker.

    Parameters
    ----------
    steps
        At least two: changes with their sign (a cost is negative), and last the result, which is drawn from
        zero and must be the sum of the changes.
    title, ylabel, caption
        Words above, at the axis and below.

    Returns
    -------
    matplotlib.figure.Figure
        Outside pyplot's state; displays itself in notebooks.

    Raises
    ------
    RoxError
        If there are fewer than two steps, a value is missing, the last one is not the sum of the others (up
        to rounding), or matplotlib is not installed.

    Examples
    --------
    >>> figure = draw_waterfall([Bar("benefit", 300.0), Bar("cost", -120.0), Bar("net", 180.0)])
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['benefit', 'cost', 'net']
    """
    starts = _starts(steps)
    figure = _framed(max(1.5 * len(steps) + 1.2, 5.0), 3.6, title, caption)
    measure = font_measure()
    ax = figure.add_subplot()
    words, last = _step_words(steps), len(steps) - 1
    for place, (step, start) in enumerate(zip(steps, starts, strict=True)):
        _draw_step(ax, place, step, start, words[place], whisker=place == last)
        if place:
            level = start if place < last else step.value
            ax.plot([place - 0.7, place - 0.3], [level, level], color=QUIET, linewidth=0.9, zorder=1)
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    _axis(ax, "y", ylabel)
    names = _wrapped_names([step.name for step in steps], 1.2, 4, lambda line: measure(line, _NAME, False))
    ax.set_xticks(range(len(steps)), names, fontsize=_NAME)
    _plain(ax.get_xticklabels())
    ax.margins(y=0.16)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", length=0)
    return figure


def _some(given: Sequence[object], what: str) -> None:
    if not given:
        raise RoxError(f"There are no {what} to draw.")


def _framed(width: float, body: float, title: str, caption: str) -> Figure:
    """Make a figure with room for its axes between title and caption."""
    figure = new_figure(width, body)
    measure = font_measure()
    room = width - 0.3
    above = wrapped(title, room, 3, lambda line: measure(line, _TITLE, True)) if title.strip() else ()
    below = wrapped(caption, room, 12, lambda line: measure(line, _CAPTION, False)) if caption.strip() else ()
    head, foot = len(above) * _TITLE * _LINE + 0.1, len(below) * _CAPTION * _LINE + 0.1
    height = head + body + foot
    figure.set_size_inches(width, height)
    y = height - 0.1 - 0.8 * _TITLE / 72
    for number, line in enumerate(above):
        at = (y - number * _TITLE * _LINE) / height
        figure.text(0.15 / width, at, line, fontsize=_TITLE, fontweight="bold", color=INK, parse_math=False)
    for number, line in enumerate(reversed(below)):
        at = (0.1 + number * _CAPTION * _LINE) / height
        figure.text(0.15 / width, at, line, fontsize=_CAPTION, color=QUIET, parse_math=False)
    figure.set_layout_engine("constrained", rect=(0.0, foot / height, 1.0, body / height), w_pad=0.1, h_pad=0.08)
    return figure


def _draw_panel(ax: Axes, series: FanSeries) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    alone = "o" if len(series.wave) == 1 else None
    if alone:
        ax.vlines(series.wave, series.low, series.high, color=POSITIVE, linewidth=2.0, zorder=3)
    ax.fill_between(series.wave, series.low, series.high, color=POSITIVE, alpha=0.18, linewidth=0, zorder=2)
    ax.plot(series.wave, series.mean, color=POSITIVE, linewidth=2.0, marker=alone, zorder=3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    ax.margins(y=0.1)
    _axis(ax, "y", series.unit)


def _includes_zero(row: Bar) -> bool:
    return finite(row.value) and finite(row.low) and finite(row.high) and row.low <= 0.0 <= row.high


def _draw_whisker(ax: Axes, place: int, row: Bar) -> None:
    """Dot, interval, and both in words at the right margin."""
    words = with_interval(row.value, row.low, row.high) if finite(row.value) else "no estimate"
    ax.annotate(
        words,
        (1.0, place),
        (8, 0),
        ("axes fraction", "data"),
        "offset points",
        va="center",
        fontsize=_TICK,
        color=INK,
        annotation_clip=False,
    )
    if not finite(row.value):
        return
    colour = NEGATIVE if row.value < 0 else POSITIVE
    if finite(row.low) and finite(row.high):
        ax.plot([row.low, row.high], [place, place], color=colour, linewidth=1.8, zorder=2)
    face = "white" if _includes_zero(row) else colour
    ax.plot([row.value], [place], marker="o", markersize=6.5, color=colour, markerfacecolor=face, zorder=3)


def _draw_truth(ax: Axes, reference: Sequence[float]) -> None:
    places = [place for place, truth in enumerate(reference) if finite(truth)]
    truths = [truth for truth in reference if finite(truth)]
    ax.plot(truths, places, "D", markersize=7, color=_TRUTH, markerfacecolor="none", zorder=4, label="known truth")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=_TICK, labelcolor=QUIET)


def _starts(steps: Sequence[Bar]) -> list[float]:
    """Where each bar begins: changes at the sum so far, the result at zero."""
    if len(steps) < 2:
        raise RoxError(f"A waterfall needs at least one change and the result, got {len(steps)} step(s).")
    missing = [step.name for step in steps if not finite(step.value)]
    if missing:
        raise RoxError(f"Step {missing[0]!r} has no value.")
    changes, result = [step.value for step in steps[:-1]], steps[-1].value
    if abs(math.fsum(changes) - result) > 0.005 * max(abs(value) for value in (*changes, result)):
        raise RoxError(
            f"The last step {steps[-1].name!r} is {result}, but the others add up to {math.fsum(changes)}.",
            hint="Give costs a minus sign and the result last.",
        )
    return [math.fsum(changes[:place]) for place in range(len(changes))] + [0.0]


def _step_words(steps: Sequence[Bar]) -> list[tuple[str, str]]:
    """Number and interval (empty where there is none) of every step, all in one unit."""
    numbers = [(step.value, *(end for end in (step.low, step.high) if finite(end))) for step in steps]
    told = iter(written([number for group in numbers for number in group]))
    words = [[next(told) for _ in group] for group in numbers]
    return [(value, f"[{ends[0]}, {ends[1]}]" if len(ends) == 2 else "") for value, *ends in words]


def _draw_step(ax: Axes, place: int, step: Bar, start: float, words: tuple[str, str], whisker: bool) -> None:
    """Bar, number and interval in words; a whisker only where the axis reads it."""
    colour = NEGATIVE if step.value < 0 else POSITIVE
    ax.bar([place], [step.value], width=0.6, bottom=[start], color=colour, zorder=2)
    top, above = max(start, start + step.value), 5.0
    if whisker and finite(step.low) and finite(step.high):
        ax.plot([place] * 2, [step.low, step.high], color=INK, linewidth=1.4, marker="_", markersize=9, zorder=3)
        top = max(top, step.high)
    number, interval = words
    if interval:
        ax.annotate(
            interval, (place, top), (0, above), "data", "offset points", ha="center", fontsize=_CAPTION, color=INK
        )
        above += 1.3 * _CAPTION
    ax.annotate(
        number,
        (place, top),
        (0, above),
        "data",
        "offset points",
        ha="center",
        fontsize=_NAME,
        fontweight="bold",
        color=colour,
    )


def _axis(ax: Axes, which: Literal["x", "y"], label: str) -> None:
    """Quiet axes: no box, light rules along the scale, numbers as everywhere else."""
    from matplotlib.ticker import FuncFormatter

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(label, fontsize=_TICK, color=QUIET, parse_math=False)
    ax.grid(visible=True, axis=which, color=_RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=_TICK, colors=QUIET, labelcolor=QUIET)
    ax.tick_params(axis=which, length=0)
    for side in ("top", "right", *(("left",) if which == "y" else ())):
        ax.spines[side].set_visible(False)
    for spine in ax.spines.values():
        spine.set_color(_RULE)
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def _wrapped_names(names: Sequence[str], width: float, most: int, measure: Callable[[str], float]) -> list[str]:
    """Break names into lines, so that different ones stay different."""
    short = shortened(names, width, most, measure)
    return ["\n".join(wrapped(name, width, most, measure)) for name in short]


def _plain(labels: Sequence[Text]) -> None:
    """Keep ``$`` a dollar sign."""
    for label in labels:
        label.set_parse_math(False)
        label.set_color(INK)
