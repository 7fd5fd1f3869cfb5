"""Charts of numbers with intervals: change over waves, benefit and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, written
from roxmodel.plots.geometry import wrapped
from roxmodel.plots.page import (
    EDGE,
    INK,
    LINE,
    NAME,
    NEGATIVE,
    POSITIVE,
    QUIET,
    RULE,
    SMALL,
    TICK,
    Page,
    Scale,
    font_measure,
    in_lines,
    left_of,
    limits,
    new_page,
    require_matplotlib,
    some,
)
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bar", "FanSeries", "draw_fan", "draw_waterfall"]

_PANEL: Final = 1.35  # inches of a small panel's height between its scales
_TIGHT: Final = 0.24  # inches of height of a number at a small panel
_AIR: Final = 0.3  # inches between two panels
_HIGH: Final = 2.8  # inches of a waterfall between its words


@dataclass(frozen=True, slots=True)
class Bar:
    """A number with its interval (None or NaN where there is none)."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FanSeries:
    """Change of one construct over the waves (ascending) against no action, and its band; every array of shape (w,).

    The name and the unit stand above its panel.
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

    Every panel has its own vertical scale, as units and scales differ.
    """
    some(series, "series")
    require_matplotlib()
    measure = font_measure()
    columns = min(len(series), 4 if len(series) in (4, 7, 8) or len(series) > 9 else 3)
    width = max(2.7 * columns, 5.0)
    wide = (width - 2 * EDGE - _AIR * (columns - 1)) / columns
    words = [
        (name, wrapped(one.unit, wide, 2, lambda line: measure(line, TICK, False)) if one.unit.strip() else ())
        for one, name in zip(
            series, in_lines([one.name for one in series], wide, 2, lambda line: measure(line, NAME, True)), strict=True
        )
    ]
    head = max(LINE * (NAME * len(name) + TICK * len(unit)) for name, unit in words) + 0.12
    step = head + _PANEL + _AIR
    page = new_page(width, step * math.ceil(len(series) / columns) + 0.2, title, caption)
    scales = [Scale(*limits([0.0, *one.low, *one.mean, *one.high], 0.08), _PANEL, 0.0) for one in series]
    room = max(left_of(y, measure, 0.0, _TIGHT) for y in scales)
    for number, (one, y, (name, unit)) in enumerate(zip(series, scales, words, strict=True)):
        row, column = divmod(number, columns)
        left, top = EDGE + column * (wide + _AIR), page.top + row * step
        high = LINE * NAME * len(name)
        page.lines((left, top + high / 2), name, NAME, INK, True, "left")
        page.lines((left, top + high + LINE * TICK * len(unit) / 2), unit, TICK, QUIET, align="left")
        x = Scale(*limits(one.wave.tolist(), 0.05, 1.0), left + room, left + wide)
        _draw_panel(page, (x, y.moved(top + head)), one, number + columns >= len(series))
    return page.figure


def _draw_panel(page: Page, scales: tuple[Scale, Scale], series: FanSeries, lowest: bool) -> None:
    """Band and mean of one construct; waves are numbered below the lowest panel of a column."""
    x, y = scales
    ax = page.axes(x, y)
    page.upright(ax, y, x.start, high=_TIGHT)
    if lowest:
        page.along(ax, x, y.start, "wave", rules=False, whole=True)
    ax.axhline(y.low, color=RULE, linewidth=1.5, zorder=1)
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    alone = "o" if len(series.wave) == 1 else None
    if alone:
        ax.vlines(series.wave, series.low, series.high, color=POSITIVE, linewidth=2.0, zorder=3)
    ax.fill_between(series.wave, series.low, series.high, color=POSITIVE, alpha=0.18, linewidth=0, zorder=2)
    ax.plot(series.wave, series.mean, color=POSITIVE, linewidth=2.0, marker=alone, zorder=3)


def draw_waterfall(steps: Sequence[Bar], title: str = "", ylabel: str = "", caption: str = "") -> Figure:
    """Draw how gains and costs (negative) add up to what is left, the last step, which must be their sum.

    A change starts where the one before ended, so that the axis does not read its own interval: that stands in words
    above it. The result starts at zero and has a whisker.
    """
    starts = _starts(steps)
    require_matplotlib()
    measure = font_measure()
    words = _step_words(steps)
    widest = max(measure(number, NAME, True) for number, _ in words)
    widest = max(widest, *(measure(interval, SMALL, False) for _, interval in words))
    names = in_lines([step.name for step in steps], 1.2, 4, lambda line: measure(line, NAME, False))
    foot = LINE * NAME * max(map(len, names)) + 0.25
    page = new_page(max(max(1.5, widest + 0.15) * len(steps) + 1.2, 5.0), 0.3 + _HIGH + foot, title, caption)
    ends, whisker = [start + step.value for step, start in zip(steps, starts, strict=True)], _whisker(steps[-1])
    tops = [max(pair) for pair in zip(starts, ends, strict=True)]
    tops[-1] = max([tops[-1], *whisker])
    low, high = limits([0.0, *starts, *ends, *whisker], 0.04)
    above = 0.12 + LINE * (NAME + SMALL)  # inches of the words above the highest bar
    y = Scale(low, high + (high - low) * above / (_HIGH - above), page.top + 0.3 + _HIGH, page.top + 0.3)
    x = Scale(-0.5, len(steps) - 0.5, left_of(y, measure), page.width - EDGE)
    ax = page.axes(x, y)
    page.head(ylabel)
    page.upright(ax, y, x.start)
    _draw_steps(ax, steps, starts)
    for place, (step, name) in enumerate(zip(steps, names, strict=True)):
        _write_step(page, (x.at(place), y.at(tops[place])), words[place], NEGATIVE if step.value < 0 else POSITIVE)
        page.lines((x.at(place), y.start + 0.1 + LINE * NAME * len(name) / 2), name, NAME, INK)
    return page.figure


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


def _whisker(step: Bar) -> list[float]:
    """Both ends of an interval, or nothing."""
    return [step.low, step.high] if finite(step.low) and finite(step.high) else []


def _draw_steps(ax: Axes, steps: Sequence[Bar], starts: Sequence[float]) -> None:
    """Bars, thin lines from each to the next, and the result's whisker."""
    last = len(steps) - 1
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    for place, (step, start) in enumerate(zip(steps, starts, strict=True)):
        ax.bar(
            [place], [step.value], width=0.6, bottom=[start], color=NEGATIVE if step.value < 0 else POSITIVE, zorder=2
        )
        if place:
            level = start if place < last else step.value
            ax.plot([place - 0.7, place - 0.3], [level, level], color=QUIET, linewidth=0.9, zorder=1)
    if whisker := _whisker(steps[last]):
        ax.plot([last] * 2, whisker, color=INK, linewidth=1.4, marker="_", markersize=9, zorder=3)


def _write_step(page: Page, at: tuple[float, float], words: tuple[str, str], colour: str) -> None:
    """Number and interval of a step above its bar."""
    number, interval = words
    y = at[1] - 0.06
    if interval:
        page.text((at[0], y - LINE * SMALL / 2), interval, SMALL, INK)
        y -= LINE * SMALL
    page.text((at[0], y - LINE * NAME / 2), number, NAME, colour, bold=True)
