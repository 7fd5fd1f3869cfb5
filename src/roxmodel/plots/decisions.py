"""Pictures of decisions: what a budget buys, what drives the answer, how likely a loss is, what a plan does when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, tick_text, with_interval, written
from roxmodel.plots.charts import Bar
from roxmodel.plots.geometry import Measure, wrapped
from roxmodel.plots.page import (
    EDGE,
    INK,
    LINE,
    NAME,
    NEGATIVE,
    PAPER,
    POSITIVE,
    QUIET,
    RULE,
    SMALL,
    TICK,
    WIDTH,
    Page,
    Scale,
    font_measure,
    halo,
    in_lines,
    in_unit,
    known,
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

__all__ = ["FrontierPoint", "PlanRow", "Swing", "draw_chance", "draw_frontier", "draw_plan", "draw_tornado"]

_Scales: TypeAlias = tuple[Scale, Scale]
_NAMES: Final = 2.1  # inches of the column of names
_BARS: Final = 2.8  # least inches of the waves
_HEAD: Final = 0.32
_SPENDING: Final = 0.9
_FAINTEST: Final = 0.12


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """What the best plan under a budget promises (mean and interval), and what it spends."""

    budget: float
    value: float
    low: float | None = None
    high: float | None = None
    spent: float | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Swing:
    """Net value with one driver at its low and at its high end, and the driver's own values there."""

    name: str
    low: float
    high: float
    at_low: float | str
    at_high: float | str


@dataclass(frozen=True, slots=True, eq=False)
class PlanRow:
    """A chosen action: share of its full effect in waves 1, 2, … (0 to 1), cost, expected net value and interval."""

    name: str
    share: Sequence[float] | FloatArray
    cost: float
    net: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def draw_frontier(points: Sequence[FrontierPoint], title: str = "", caption: str = "", unit: str = "") -> Figure:
    """Draw what the best plan promises under one budget after another, in steps: an action is bought whole.

    Points come in any order, at most one of them chosen. Hollow dots leave more than 1 % of the budget unspent.
    Budgets that span more than a factor of 1,000 get a logarithmic scale, and the axis says so.
    """
    some(points, "points")
    for point in points:
        known("A point of the frontier", budget=point.budget, value=point.value)
    chosen = [point for point in points if point.chosen]
    if len(chosen) > 1:
        raise RoxError(f"{len(chosen)} points are chosen.", allowed="at most one")
    require_matplotlib()
    hollow = "Hollow dots: more than 1 % of the budget stays unspent." if any(map(_unspent, points)) else ""
    head = 0.55 if chosen else 0.35
    page = new_page(WIDTH, 3.75 + head, title, f"{caption} {hollow}".strip())
    ordered = sorted(points, key=lambda point: point.budget)
    ends = [end for point in points for end in (point.value, point.low, point.high) if finite(end)]
    y = Scale(*limits([0.0, *ends]), page.top + 3.2 + head, page.top + head)
    right = WIDTH - EDGE - page.measure("break-even", TICK, True) - 0.08
    x = _budget_scale([point.budget for point in ordered], left_of(y, page.measure), right)
    ax = page.axes(x, y)
    page.upright(ax, y, x.start)
    page.head(in_unit("promised net value", unit))
    page.along(ax, x, y.start, in_unit("budget", unit) + (" (logarithmic scale)" if x.log else ""))
    _draw_promises(ax, ordered)
    page.column(right + 0.08, [(y.at(0.0), "break-even", QUIET), (y.at(ordered[-1].value), "mean", POSITIVE)])
    for point in chosen:
        start = point.high if len(points) == 1 and finite(point.high) else point.value
        ax.plot([point.budget] * 2, [start, y.high], color=INK, linewidth=0.9, zorder=2)
        ax.plot([point.budget], [point.value], "o", markersize=12, color=INK, markerfacecolor="none", zorder=4)
        spends = f", spends {written([point.spent])[0]}" if finite(point.spent) else ""
        promise = with_interval(point.value, point.low, point.high)
        words = f"chosen: budget {written([point.budget])[0]}{spends}, promises {promise}"
        page.row(y.end - 0.12, [(x.at(point.budget), words, INK)])
    return page.figure


def draw_tornado(bars: Sequence[Swing], base: float, title: str = "", unit: str = "", caption: str = "") -> Figure:
    """Draw how far each driver alone moves the plan's net value `base`, the widest swing on top."""
    some(bars, "bars")
    known("The tornado", base=base)
    for bar in bars:
        known(f"Driver {bar.name!r}", low=bar.low, high=bar.high)
    require_matplotlib()
    measure = font_measure()
    names = in_lines([bar.name for bar in bars], 2.2, 3, lambda line: measure(line, NAME, False))
    swung = [_Swung.of(bar, name, measure) for bar, name in zip(bars, names, strict=True)]
    rows = sorted(swung, key=lambda row: min(row.low, base) - max(row.high, base))
    step = 0.16 + LINE * NAME * max(len(lines) for row in rows for lines in (row.name, row.left, row.right))
    page = new_page(WIDTH, step * len(rows) + 0.95, title, caption)
    left = EDGE + max(measure(line, NAME, False) for row in rows for line in row.name) + 0.15
    low, high = limits([base, *(end for row in rows for end in (row.low, row.high))], 0.0)
    less = 0.15 + max(measure(line, TICK, False) for row in rows for line in row.left)
    more = 0.15 + max(measure(line, TICK, False) for row in rows for line in row.right)
    per_inch = (high - low) / (WIDTH - EDGE - left - less - more)
    x = Scale(low - less * per_inch, high + more * per_inch, left, WIDTH - EDGE)
    y = Scale(len(rows) - 0.5, -0.5, page.top + 0.35 + step * len(rows), page.top + 0.35)
    ax = page.axes(x, y)
    page.along(ax, x, y.start, in_unit("net value of the plan", unit))
    marks = [(base, f"plan: {written([base])[0]}", INK), (0.0, "break-even", QUIET)]
    marks = marks[: 2 if x.low < 0.0 < x.high and base != 0.0 else 1]
    for value, _, colour in marks:
        ax.axvline(value, color=colour, linewidth=1.2, linestyle="-" if colour == INK else (0, (3, 2)), zorder=3)
    page.row(y.end - 0.12, [(x.at(value), words, colour) for value, words, colour in marks])
    for place, row in enumerate(rows):
        row.draw(page, ax, (x, y), place, base)
    return page.figure


def draw_chance(
    series: Mapping[str, Sequence[float] | FloatArray], title: str = "", unit: str = "", caption: str = ""
) -> Figure:
    """Draw how a plan's net value is spread over the draws, and say how many of them end in a loss.

    Every plan (name to its draws, each of shape (draws,)) gets its own panel on the same scale, which leaves out the
    outer half per cent at either end; the caption says how many draws that is.
    """
    some(series, "plans")
    draws = {name: _drawn(name, given) for name, given in series.items()}
    require_matplotlib()
    inner = [end for values in draws.values() for end in np.quantile(values, [0.005, 0.995]).tolist()]
    low, high = limits([0.0, *inner, *(float(values.mean()) for values in draws.values())], 0.03)
    beyond = fmean(((values < low) | (values > high)).mean() for values in draws.values())
    share = f"{100.0 * beyond:.1f} %" if beyond >= 0.001 else "Fewer than 0.1 %"
    note = f"{share} of the draws lie beyond the ends of the scale." if beyond > 0.0 else ""
    measure = font_measure()
    names = in_lines(list(draws), WIDTH - 2 * EDGE, 2, lambda line: measure(line, NAME, True))
    body = sum(LINE * NAME * len(name) + 2.0 for name in names) + 0.2
    page = new_page(WIDTH, body, title, f"{caption} {note}".strip())
    x = Scale(low, high, EDGE, WIDTH - EDGE)
    top = page.top
    for number, (name, values) in enumerate(zip(names, draws.values(), strict=True), 1):
        page.lines((EDGE, top + LINE * NAME * len(name) / 2), name, NAME, INK, True, "left")
        top += LINE * NAME * len(name)
        ax = _draw_chance(page, x, top, values)
        top += 2.0
        label = in_unit("net value of the plan", unit) if number == len(draws) else ""
        page.along(ax, x, top - 0.4, label)
    return page.figure


def _reached(point: FrontierPoint, before: float) -> float:
    """The least budget that this plan needs: what it spends, where that is more than the budget before."""
    return point.spent if finite(point.spent) and before <= point.spent <= point.budget else point.budget


def _unspent(point: FrontierPoint) -> bool:
    return finite(point.spent) and point.spent < 0.99 * point.budget


def _budget_scale(budgets: Sequence[float], left: float, right: float) -> Scale:
    """Linear; logarithmic where small budgets would all fall on one spot."""
    if min(budgets) > 0.0 and max(budgets) > 1000.0 * min(budgets):
        low, high = limits([math.log10(budget) for budget in budgets])
        return Scale(10.0**low, 10.0**high, left, right, log=True)
    return Scale(*limits(budgets), left, right)


def _draw_promises(ax: Axes, points: Sequence[FrontierPoint]) -> None:
    budget, last = [point.budget for point in points], points[-1]
    low, high = (
        [float(end) if finite(end) else math.nan for end in ends]
        for ends in zip(*((p.low, p.high) for p in (*points, last)), strict=True)
    )
    reached = [*map(_reached, points, [-math.inf, *budget]), last.budget]
    ax.axhline(0.0, color=QUIET, linewidth=1.2, zorder=1)
    ax.fill_between(reached, low, high, step="post", color=POSITIVE, alpha=0.18, linewidth=0, zorder=2)
    if len(points) == 1:
        ax.vlines(budget, low[:1], high[:1], color=POSITIVE, linewidth=2.0, zorder=2)
    ax.step(reached, [point.value for point in (*points, last)], where="post", color=POSITIVE, linewidth=2.0, zorder=3)
    for point in points:
        face = PAPER if _unspent(point) else POSITIVE
        ax.plot([point.budget], [point.value], "o", markersize=6.0, color=POSITIVE, markerfacecolor=face, zorder=5)


@dataclass(frozen=True, slots=True)
class _Swung:
    """A bar of the tornado: its two ends in order, and the words at each."""

    name: tuple[str, ...]
    low: float
    high: float
    left: tuple[str, ...]
    right: tuple[str, ...]

    @classmethod
    def of(cls, bar: Swing, name: tuple[str, ...], measure: Measure) -> _Swung:
        ends = sorted(((bar.low, bar.at_low), (bar.high, bar.at_high)), key=lambda end: end[0])
        texts = _alike(*(at for _, at in ends))
        left, right = (wrapped(text, 1.4, 3, lambda line: measure(line, TICK, False)) for text in texts)
        return cls(name, ends[0][0], ends[1][0], left, right)

    def draw(self, page: Page, ax: Axes, scales: _Scales, place: int, base: float) -> None:
        x, y = scales
        for end in (self.low, self.high):
            colour = NEGATIVE if end < base else POSITIVE
            ax.barh([place], [end - base], 0.62, base, color=colour, zorder=2)
        if self.high < base or self.low > base:  # both ends on one side: a notch shows the nearer one
            near = self.high if self.high < base else self.low
            ax.plot([near, near], [place - 0.31, place + 0.31], color=PAPER, linewidth=2.0, zorder=2.5)
        page.lines((x.start - 0.15, y.at(place)), self.name, NAME, INK, align="right")
        left, right = x.at(min(self.low, base)) - 0.07, x.at(max(self.high, base)) + 0.07
        halo(page.lines((left, y.at(place)), self.left, TICK, INK, align="right"), PAPER)
        halo(page.lines((right, y.at(place)), self.right, TICK, INK, align="left"), PAPER)


def _alike(*values: float | str) -> list[str]:
    """Write two values of a driver, with the same decimals if they are of one order."""
    numbers = [value for value in values if not isinstance(value, str)]
    sizes = [abs(number) for number in numbers if number]
    if len(numbers) == len(values) and sizes and max(sizes) <= 100.0 * min(sizes):
        return written(numbers)
    return [value if isinstance(value, str) else written([value])[0] for value in values]


def _drawn(name: str, given: Sequence[float] | FloatArray) -> FloatArray:
    values = np.array(given, dtype=float)
    if values.ndim != 1 or not len(values):
        raise RoxError(f"Plan {name!r} has no draws: their shape is {values.shape}.", allowed="one number per draw")
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise RoxError(
            f"{missing} of {len(values)} draws of {name!r} are missing or infinite.", allowed="finite numbers"
        )
    return values


def _loss(values: FloatArray) -> str:
    """Say the chance of a loss in words."""
    share = float((values < 0.0).mean())
    if share in {0.0, 1.0}:
        return "Every draw ends in a loss." if share else "No draw ends in a loss."
    hundred = 100.0 * share
    words = "fewer than 1" if hundred < 1.0 else "more than 99" if hundred > 99.0 else f"{round(hundred)}"
    return f"A loss in {words} of 100 draws."


def _draw_chance(page: Page, x: Scale, top: float, values: FloatArray) -> Axes:
    """What the draws say in words, and their histogram: an edge at 0, losses in their own colour."""
    numbers = [float(values.mean()), *np.quantile(values, [0.025, 0.975]).tolist()]
    mean, low, high = written(numbers)
    loss, inner = _loss(values), np.quantile(values, [0.005, 0.995])
    page.text((EDGE, top + 0.1), loss, TICK, INK, True, "left")
    aside = EDGE + page.measure(loss, TICK, True) + 0.1
    page.text((aside, top + 0.1), f"95 % of the draws: {low} to {high}.", TICK, QUIET, align="left")
    page.row(top + 0.34, [(x.at(numbers[0]), f"mean {mean}", INK), (x.at(0.0), "break-even", QUIET)])
    ax = page.axes(x, Scale(0.0, 1.0, top + 1.6, top + 0.45))
    width = max(float(inner[1] - inner[0]) / 30, (x.high - x.low) / 120)
    edges = width * np.arange(math.floor(x.low / width), math.ceil(x.high / width) + 1)
    counts, _ = np.histogram(values, edges)
    colours = [NEGATIVE if edge < -width / 2 else POSITIVE for edge in edges[:-1]]
    bars = ax.bar(edges[:-1], counts / max(counts.max(), 1), width, align="edge", color=colours, zorder=2)
    for bar in bars:
        bar.set(linewidth=0.4, edgecolor=PAPER)
    ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=3)
    ax.axvline(0.0, color=QUIET, linewidth=1.2, linestyle=(0, (3, 2)), zorder=4)
    for colour, wide in ((PAPER, 3.4), (INK, 1.6)):
        ax.axvline(numbers[0], color=colour, linewidth=wide, zorder=5)
    return ax


# The plan over the waves.


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

    The darker a wave, the nearer the action to its full effect. Spending, shape (waves,), beyond the budget (one
    number, shape (waves,), or None, NaN, infinite where there is no limit) is drawn in the colour of losses. `total`
    is the net value of the whole plan, whose interval is not the sum of the rows' intervals.
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
        self.names = in_lines([row.name for row in rows], _NAMES, 3, lambda line: measure(line, NAME, False))
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
            page.text((end, top - 0.14), head, TICK, QUIET, align="right")
        y = top
        for name, note, height, money in zip(self.names, self.notes, self.heights, self.money, strict=False):
            high = LINE * NAME * len(name)
            block = high + LINE * SMALL * len(note)
            start = y + (height - block) / 2
            page.lines((EDGE, start + high / 2), name, NAME, INK, align="left")
            page.lines((EDGE, start + high + (block - high) / 2), note, SMALL, QUIET, align="left")
            for end, words in zip(ends, money, strict=True):
                page.text((end, y + height / 2), words, TICK, INK, align="right")
            y += height
        page.ax.plot([EDGE, self.width - EDGE], [y + 0.02] * 2, color=QUIET, linewidth=0.9)
        many = len(self.heights)
        page.text((EDGE, y + 0.17), f"all {many} actions" if many > 1 else "the plan", NAME, INK, True, "left")
        for end, words in zip(ends, self.money[-1], strict=True):
            page.text((end, y + 0.17), words, TICK, INK, True, "right")


def _net(value: float | None, low: float | None, high: float | None) -> str:
    return with_interval(value, low, high) if finite(value) else ""


def _draw_waves(page: Page, ax: Axes, x: Scale, top: float) -> None:
    """Number the waves above the bars, as many as fit, and rule between them."""
    waves = round(x.high - 0.5)
    needed = page.measure(str(waves), TICK, False) + 0.1
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if s * (x.at(2.0) - x.at(1.0)) >= needed), waves)
    page.text((x.start - 0.12, top - 0.14), "wave", TICK, QUIET, align="right")
    for wave in range(step, waves + 1, step):
        page.text((x.at(wave), top - 0.14), str(wave), TICK, QUIET)
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
    page.text((EDGE, top + _SPENDING / 2 - 0.08), words[0], NAME, INK, align="left")
    page.lines((EDGE, top + _SPENDING / 2 + 0.1), words[1:], SMALL, QUIET, align="left")
    _write_spending(page, ax, (x, y), money)


def _write_spending(page: Page, ax: Axes, scales: tuple[Scale, Scale], money: FloatArray) -> None:
    """Write what every wave spends below its bar if all numbers fit, else a scale at the right."""
    x, y = scales
    numbers = written(money.tolist())
    if max(page.measure(number, SMALL, False) for number in numbers) + 0.06 <= x.at(2.0) - x.at(1.0):
        for wave, number in enumerate(numbers, 1):
            page.text((x.at(wave), y.start + 0.12), number, SMALL, QUIET)
        return
    for tick in y.ticks(lambda _: 0.2):
        page.text((x.end + 0.06, y.at(tick)), tick_text(tick), SMALL, QUIET, align="left")
        ax.axhline(tick, color=RULE, linewidth=0.6, zorder=0)
