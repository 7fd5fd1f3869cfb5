"""The picture of a plan: what runs when, what it costs and returns, what is spent in every wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, tick_text, with_interval, written
from roxmodel.plots.charts import Bar
from roxmodel.plots.figure import font_measure, require_matplotlib
from roxmodel.plots.geometry import Measure, shortened, wrapped
from roxmodel.plots.page import EDGE, LINE, NAME, RULE, SMALL, TICK, WIDTH, Page, Scale, in_unit, known, new_page, some
from roxmodel.plots.style import INK, NEGATIVE, POSITIVE, QUIET
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PlanRow", "draw_plan"]

_NAMES: Final = 2.1  # inches of the column of names
_BARS: Final = 2.8  # least inches of the waves
_HEAD: Final = 0.32
_SPENDING: Final = 0.9
_FAINTEST: Final = 0.12


@dataclass(frozen=True, slots=True, eq=False)
class PlanRow:
    """A chosen action: share of its full effect in waves 1, 2, … (0 to 1), cost, expected net value and interval.

    Examples
    --------
    >>> PlanRow("coaching", [0.0, 0.5, 1.0, 1.0], 120_000.0, 300_000.0, note="40 branches").note
    '40 branches'
    """

    name: str
    share: Sequence[float] | FloatArray
    cost: float
    net: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def draw_plan(
    rows: Sequence[PlanRow],
    spending: Sequence[float] | FloatArray,
    budget: float | Sequence[float] | FloatArray | None = None,
    total: Bar | None = None,
    title: str = "",
    unit: str = "",
    caption: str = "",
) -> Figure:
    """Draw when each chosen action runs, what it costs and returns, and what is spent in every wave.

    Parameters
    ----------
    rows
        At least one, from top to bottom. The darker a wave, the nearer the action to its full effect.
    spending
        Money spent in waves 1, 2, …, shape (waves,); what exceeds the budget is drawn in the colour of losses.
    budget
        Money allowed per wave, one number or shape (waves,); None, NaN or infinite where there is no limit.
    total
        Net value of the whole plan with its interval, which is not the sum of the rows' intervals.
    title, unit, caption
        Words above, the currency, words below.

    Returns
    -------
    matplotlib.figure.Figure
        Outside pyplot's state; wider than 8 inches if the numbers need it.

    Raises
    ------
    RoxError
        If there is no row, a cost or spending is missing, a share is not within 0 to 1, the numbers of waves
        differ, or matplotlib is not installed.

    Examples
    --------
    >>> rows = [PlanRow("coaching", [0.5, 1.0, 1.0], 120.0, 300.0, 100.0, 500.0)]
    >>> figure = draw_plan(rows, [120.0, 0.0, 0.0], budget=150.0, unit="EUR")
    >>> "300 [100, 500]" in [text.get_text() for text in figure.axes[0].texts]
    True
    """
    some(rows, "rows")
    money, shares, limit = _checked(rows, spending, budget)
    require_matplotlib()
    table = _Table(font_measure(), rows, total, unit)
    page = new_page(table.width, _HEAD + sum(table.heights) + 0.35 + _SPENDING + 0.55, title, caption)
    x = Scale(0.5, len(money) + 0.5, EDGE + _NAMES + 0.15, table.width - EDGE - table.costs - table.nets)
    top, high = page.top + _HEAD, sum(table.heights)
    ax = page.axes(x, Scale(high, 0.0, top + high, top))
    table.draw(page, top)
    _draw_waves(page, ax, x, top)
    middles = np.cumsum(table.heights) - np.array(table.heights) / 2
    for middle, row, share in zip(middles, rows, shares, strict=True):
        _draw_run(ax, float(middle), share, NEGATIVE if finite(row.net) and row.net < 0.0 else POSITIVE)
    _draw_spending(page, x, top + high + 0.5, money, limit, unit)
    return page.figure


def _checked(
    rows: Sequence[PlanRow], spending: Sequence[float] | FloatArray, budget: float | Sequence[float] | FloatArray | None
) -> tuple[FloatArray, list[FloatArray], FloatArray]:
    """Spending, shares of every row, and budget, all of one length."""
    money = np.array(spending, dtype=float)
    if money.ndim != 1 or not len(money):
        raise RoxError(f"The spending has shape {money.shape}.", allowed="one number per wave, at least one wave")
    for wave, spent in enumerate(money, 1):
        known(f"Wave {wave}", spending=float(spent))
    shares = []
    for row in rows:
        known(f"Action {row.name!r}", cost=row.cost)
        share = np.array(row.share, dtype=float)
        if share.shape != money.shape:
            raise RoxError(f"Action {row.name!r} has shares of shape {share.shape} for {len(money)} wave(s).")
        if not ((share >= 0.0) & (share <= 1.0 + 1e-9)).all():
            raise RoxError(f"Action {row.name!r} has shares {share.tolist()}.", allowed="0 to 1")
        shares.append(share)
    limit = np.array(np.nan if budget is None else budget, dtype=float)
    if limit.shape not in {(), money.shape}:
        raise RoxError(
            f"The budget has shape {limit.shape}.", allowed=f"one number, or one for each of {len(money)} wave(s)"
        )
    return money, shares, np.broadcast_to(np.where(np.isfinite(limit), limit, np.nan), money.shape)


class _Table:
    """The words around the bars: names and notes at the left, costs and net values at the right."""

    def __init__(self, measure: Measure, rows: Sequence[PlanRow], total: Bar | None, unit: str) -> None:
        short = shortened([row.name for row in rows], _NAMES, 3, lambda line: measure(line, NAME, False))
        self.names = [wrapped(name, _NAMES, 3, lambda line: measure(line, NAME, False)) for name in short]
        self.notes = [
            wrapped(row.note, _NAMES, 2, lambda line: measure(line, SMALL, False)) if row.note.strip() else ()
            for row in rows
        ]
        self.heights = [
            0.14 + LINE * (NAME * len(name) + SMALL * len(note))
            for name, note in zip(self.names, self.notes, strict=True)
        ]
        self.money = [(written([row.cost])[0], _net(row.net, row.low, row.high)) for row in rows]
        self.money.append(
            (written([sum(row.cost for row in rows)])[0], _net(total.value, total.low, total.high) if total else "")
        )
        self.heads = (in_unit("cost", unit), in_unit("expected net", unit))
        texts = [self.heads, *self.money]
        self.costs, self.nets = (0.25 + max(measure(pair[k], TICK, True) for pair in texts) for k in (0, 1))
        self.width = max(WIDTH, 2 * EDGE + _NAMES + 0.15 + _BARS + self.costs + self.nets)

    def draw(self, page: Page, top: float) -> None:
        """Write heads, rows and the line of totals."""
        ends = (self.width - EDGE - self.nets, self.width - EDGE)
        for end, head in zip(ends, self.heads, strict=True):
            page.sheet.text((end, top - 0.14), head, TICK, QUIET, align="right")
        y = top
        for name, note, height, money in zip(self.names, self.notes, self.heights, self.money, strict=False):
            high = LINE * NAME * len(name)
            block = high + LINE * SMALL * len(note)
            start = y + (height - block) / 2
            page.lines((EDGE, start + high / 2), name, NAME, INK, align="left")
            page.lines((EDGE, start + high + (block - high) / 2), note, SMALL, QUIET, align="left")
            for end, words in zip(ends, money, strict=True):
                page.sheet.text((end, y + height / 2), words, TICK, INK, align="right")
            y += height
        page.sheet.ax.plot([EDGE, self.width - EDGE], [y + 0.02] * 2, color=QUIET, linewidth=0.9)
        many = len(self.heights)
        page.sheet.text((EDGE, y + 0.17), f"all {many} actions" if many > 1 else "the plan", NAME, INK, True, "left")
        for end, words in zip(ends, self.money[-1], strict=True):
            page.sheet.text((end, y + 0.17), words, TICK, INK, True, "right")


def _net(value: float | None, low: float | None, high: float | None) -> str:
    return with_interval(value, low, high) if finite(value) else ""


def _draw_waves(page: Page, ax: Axes, x: Scale, top: float) -> None:
    """Number the waves above the bars, as many as fit, and rule between them."""
    waves = round(x.high - 0.5)
    needed = page.measure(str(waves), TICK, False) + 0.1
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if s * (x.at(2.0) - x.at(1.0)) >= needed), waves)
    page.sheet.text((x.start - 0.12, top - 0.14), "wave", TICK, QUIET, align="right")
    for wave in range(step, waves + 1, step):
        page.sheet.text((x.at(wave), top - 0.14), str(wave), TICK, QUIET)
    for wave in range(0, waves + 1, step):
        ax.axvline(wave + 0.5, color=RULE, linewidth=0.6, zorder=0)


def _draw_run(ax: Axes, middle: float, share: FloatArray, colour: str) -> None:
    """Fill the waves in which an action runs, the darker the nearer to its full effect."""
    from matplotlib.colors import to_rgb

    running = np.flatnonzero(share > 0.0)
    if not len(running):
        return
    for wave in running:
        kept = _FAINTEST + (1.0 - _FAINTEST) * min(float(share[wave]), 1.0)
        fill = tuple(1.0 - kept * (1.0 - channel) for channel in to_rgb(colour))
        ax.barh([middle], [1.0], 0.19, [wave + 0.5], color=fill, linewidth=0, zorder=2)
    first, last = running[0] + 0.5, running[-1] + 1.5
    rim = ax.barh([middle], [last - first], 0.19, [first], facecolor="none", edgecolor=colour, linewidth=0.9, zorder=3)
    rim[0].set_clip_on(False)


def _draw_spending(page: Page, x: Scale, top: float, money: FloatArray, limit: FloatArray, unit: str) -> None:
    """Bars of what every wave spends, the budget as a line, the numbers below."""
    most = max(float(np.nanmax([*money, *limit])), 0.0) or 1.0
    y = Scale(min(float(money.min()), 0.0), 1.08 * most, top + _SPENDING, top)
    ax = page.axes(x, y)
    waves = np.arange(1.0, len(money) + 1)
    within = np.fmin(money, limit)
    ax.bar(waves, within, 0.7, color=QUIET, zorder=2)
    ax.bar(waves, money - within, 0.7, within, color=NEGATIVE, zorder=2)
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=3)
    ax.hlines(limit, waves - 0.5, waves + 0.5, color=INK, linewidth=1.4, zorder=4)
    known_limits = limit[np.isfinite(limit)]
    words = [in_unit("spent per wave", unit)]
    if len(known_limits):
        same = len(set(known_limits.tolist())) == 1
        words.append(f"line: budget {written(known_limits[:1].tolist())[0]}" if same else "line: budget of the wave")
    page.sheet.text((EDGE, top + _SPENDING / 2 - 0.08), words[0], NAME, INK, align="left")
    page.lines((EDGE, top + _SPENDING / 2 + 0.1), words[1:], SMALL, QUIET, align="left")
    _write_spending(page, ax, (x, y), money)


def _write_spending(page: Page, ax: Axes, scales: tuple[Scale, Scale], money: FloatArray) -> None:
    """Write what every wave spends below its bar if all numbers fit, else a scale at the right."""
    x, y = scales
    numbers = written(money.tolist())
    if max(page.measure(number, SMALL, False) for number in numbers) + 0.06 <= x.at(2.0) - x.at(1.0):
        for wave, number in enumerate(numbers, 1):
            page.sheet.text((x.at(wave), y.start + 0.12), number, SMALL, QUIET)
        return
    for tick in y.ticks(lambda _: 0.2):
        page.sheet.text((x.end + 0.06, y.at(tick)), tick_text(tick), SMALL, QUIET, align="left")
        ax.axhline(tick, color=RULE, linewidth=0.6, zorder=0)
