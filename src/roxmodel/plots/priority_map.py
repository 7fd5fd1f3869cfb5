"""The map of priorities: how much everything matters against how well it scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import finite, includes_zero, written
from roxmodel.plots.geometry import Measure, Point, balanced, settled, shared_areas, shortened, wrapped
from roxmodel.plots.page import (
    EDGE,
    FILLS,
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
    Align,
    Page,
    Scale,
    font_measure,
    halo,
    known,
    left_of,
    limits,
    new_page,
    require_matplotlib,
    some,
)
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MapPoint", "beside", "draw_map"]

_SHADE: Final = FILLS["value_drivers"]
_HEIGHTS: Final = (4.4, 5.4, 6.6, 8.2, 10.0, 12.0)  # inches of a map, the least that holds all names
_BAND: Final = 0.45  # inches of a map that belong to the words at its top
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
_Scales: TypeAlias = tuple[Scale, Scale]


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A construct or an item: mean score 0 to 100, total effect on the outcome and its interval, if any."""

    name: str
    performance: float
    importance: float
    low: float | None = None
    high: float | None = None
    item: bool = False


@dataclass(frozen=True, slots=True)
class _Name:
    """Words at one spot of the map: the name of its dot, or a list of names if dots coincide."""

    dot: Point
    radius: float
    lines: tuple[str, ...]
    size: float
    bold: bool
    many: int

    def draw(self, page: Page, down: float, spot: FloatArray, ground: str) -> None:
        """Write the words in their box, flush with the dot; a thin line leads to a dot further away."""
        dot = (self.dot[0], self.dot[1] + down)
        left, top, right, bottom = (spot + np.array([0.0, down, 0.0, down])).tolist()
        nearest = min(max(dot[0], left), right), min(max(dot[1], top), bottom)
        away = math.dist(dot, nearest)
        if away > self.radius + 0.1:
            start = [d + (n - d) * self.radius / away for d, n in zip(dot, nearest, strict=True)]
            page.ax.plot([start[0], nearest[0]], [start[1], nearest[1]], color=QUIET, linewidth=0.6)
        align: Align = "left" if left >= dot[0] or self.many > 1 else "right" if right <= dot[0] else "center"
        at = ({"left": left, "right": right, "center": (left + right) / 2}[align], (top + bottom) / 2)
        halo(page.lines(at, self.lines, self.size, INK, self.bold, align), ground)


def draw_map(
    points: Sequence[MapPoint],
    title: str = "",
    x_label: str = "mean score, 0 to 100",
    y_label: str = "total effect on the outcome",
    caption: str = "",
) -> Figure:
    """Draw how much everything matters against how well it scores; high and to the left is where to act first.

    Lines stand at the means of the constructs (of the items if there are only items). The figure is high enough for
    every name; the caption says how many found no place even so.
    """
    some(points, "points")
    for point in points:
        known(f"Point {point.name!r}", performance=point.performance, importance=point.importance)
        if not 0.0 <= point.performance <= 100.0:
            raise RoxError(f"Point {point.name!r} has performance {point.performance:g}.", allowed="0 to 100")
    require_matplotlib()
    means = _means(points)
    for body in (height for height in _HEIGHTS if height >= min(0.08 * len(points), _HEIGHTS[-1])):
        x, y = _map_scales(points, body)
        names = _names(points, means, (x, y))
        spots = _spots(points, names, means, (x, y))
        if not np.isnan(spots).any():
            break
    above = 0.55 if means else 0.35
    page = new_page(WIDTH, body + above + 0.55, title, _with_notes(caption, points, names, spots))
    down = page.top + above
    y = y.moved(down)
    ax = page.axes(x, y)
    page.upright(ax, y, x.start, rules=False)
    page.head(y_label)
    page.along(ax, x, y.start, x_label, rules=False)
    for line in (ax.axvline(x.low), ax.axhline(y.low)):
        line.set(color=RULE, linewidth=1.5)
    if y.low < 0.0 < y.high:
        ax.axhline(0.0, color=QUIET, linewidth=0.9, zorder=1)
    if means:
        _draw_means(page, ax, (x, y), means, any(_acts(point, means) for point in points))
    for point in points:
        _draw_point(ax, _reach(points), point)
    for name, spot in zip(names, spots, strict=True):
        if finite(spot[0]):
            shaded = means is not None and spot[0] < x.at(means[0]) - 0.3 and spot[1] + down < y.at(means[1])
            name.draw(page, down, spot, _SHADE if shaded else PAPER)
    return page.figure


def _map_scales(points: Sequence[MapPoint], body: float) -> _Scales:
    """Scales of a map whose plot is some inches high; the band at its top is free of points."""
    low, high = limits([*_reach(points), *(point.importance for point in points)])
    y = Scale(low, high + (high - low) * _BAND / (body - _BAND), body, 0.0)
    left, right = limits([point.performance for point in points], least=20.0)
    rim = 0.02 * (right - left)  # so little beyond 0 and 100 that no number is written there
    return Scale(max(left, -rim), min(right, 100.0 + rim), left_of(y, font_measure()), WIDTH - EDGE - 0.65), y


def _reach(points: Sequence[MapPoint]) -> tuple[float, float]:
    """How far intervals are drawn: to twice the usual interval, or the spread of the dots, beyond the dots."""
    values = [point.importance for point in points]
    ends = [(p.low, p.high) for p in points if finite(p.low) and finite(p.high)]
    if not ends:
        return min(values), max(values)
    far = 2.0 * max(max(values) - min(values), median(high - low for low, high in ends))
    return max(min(values) - far, min(low for low, _ in ends)), min(max(values) + far, max(high for _, high in ends))


def _means(points: Sequence[MapPoint]) -> tuple[float, float] | None:
    """Mean performance and importance of the constructs; None if there is nothing to compare."""
    core = [point for point in points if not point.item] or points
    if len({(point.performance, point.importance) for point in points}) == 1:
        return None
    return fmean(point.performance for point in core), fmean(point.importance for point in core)


def _acts(point: MapPoint, means: tuple[float, float] | None) -> bool:
    return means is not None and point.performance < means[0] and point.importance > means[1]


def _size(point: MapPoint) -> tuple[float, float]:
    """Points of the name and inches of the dot's radius."""
    return (SMALL, 0.035) if point.item else (NAME - 0.5, 0.055)


def _names(points: Sequence[MapPoint], means: tuple[float, float] | None, scales: _Scales) -> list[_Name]:
    """One name for every dot that stands alone; dots that coincide share a list."""
    x, y = scales
    measure = font_measure()
    together: dict[tuple[int, int], list[MapPoint]] = {}
    for point in points:
        at = round(x.at(point.performance) / 0.02), round(y.at(point.importance) / 0.02)
        together.setdefault(at, []).append(point)
    names = []
    largest = _line_measure(measure, max(_size(point)[0] for point in points), True)
    short = dict(zip(points, shortened([point.name for point in points], 1.5, 3, largest, slack=1.3), strict=True))
    for group in together.values():
        (size, radius), bold = max(map(_size, group)), _acts(group[0], means)
        wide = _line_measure(measure, size, bold)
        if len(group) == 1:
            lines = balanced(short[group[0]], 1.5, 3, wide)
        else:
            listed = (wrapped(short[point], 2.6, 2, wide) for point in group)
            lines = tuple(("   " if number else "· ") + line for name in listed for number, line in enumerate(name))
        dot = (x.at(group[0].performance), y.at(group[0].importance))
        names.append(_Name(dot, radius, lines, size, bold, len(group)))
    return names


def _spots(
    points: Sequence[MapPoint], names: Sequence[_Name], means: tuple[float, float] | None, scales: _Scales
) -> FloatArray:
    """Boxes of the names beside their dots, shape (names, 4); NaN where there is no room."""
    x, y = scales
    measure = font_measure()
    lines = []
    for point in points:
        if finite(point.low) and finite(point.high):
            at = x.at(point.performance)
            lines.append((at - 0.02, y.at(point.high), at + 0.02, y.at(point.low)))
    if y.low < 0.0 < y.high:
        lines.append((x.start, y.at(0.0) - 0.01, x.end, y.at(0.0) + 0.01))
    if means:
        across, down = x.at(means[0]), y.at(means[1])
        lines += [(across - 0.01, y.end, across + 0.01, y.start), (x.start, down - 0.01, x.end, down + 0.01)]
    sizes = [
        (max(measure(line, name.size, name.bold) for line in name.lines), LINE * name.size * len(name.lines))
        for name in names
    ]
    room = np.array([x.start + 0.05, y.end + _BAND, x.end - 0.02, y.start - 0.05])
    dots, radii = np.array([name.dot for name in names]), np.array([name.radius for name in names])
    return beside(dots, radii, np.array(sizes), room, np.array(lines).reshape(-1, 4))


def _line_measure(measure: Measure, size: float, bold: bool) -> Callable[[str], float]:
    return lambda line: measure(line, size, bold)


def _with_notes(caption: str, points: Sequence[MapPoint], names: Sequence[_Name], spots: FloatArray) -> str:
    """Add what the signs in the picture mean."""
    low, high = _reach(points)
    notes = [caption]
    if len({point.item for point in points}) > 1:
        notes.append("Small dots: items.")
    if any(includes_zero(point.low, point.high) for point in points):
        notes.append("Hollow dots: the interval includes 0.")
    if any(finite(p.low) and finite(p.high) and (p.low < low or p.high > high) for p in points):
        notes.append("An arrow ends an interval that is longer than the picture.")
    lost = sum(name.many for name, spot in zip(names, spots, strict=True) if not finite(spot[0]))
    if lost:
        notes.append(f"{lost} of {len(points)} names are left out for lack of room.")
    return " ".join(note for note in notes if note)


def _draw_means(page: Page, ax: Axes, scales: _Scales, means: tuple[float, float], some_act: bool) -> None:
    """Lines at the means, and the corner in which acting pays most."""
    x, y = scales
    heading, below = "Act here first", "matters most, scores low" + ("" if some_act else ": nothing here")
    fits = page.measure(below, TICK, False) + 0.2 < x.at(means[0]) - x.start
    top = y.high if fits else y.high - (y.high - y.low) * _BAND / (y.start - y.end)
    left, right = [x.low] * 2, [means[0]] * 2
    ax.fill([*left, *right], [means[1], top, top, means[1]], color=_SHADE, linewidth=0, zorder=0)
    for line in (*ax.plot(right, [y.low, top]), ax.axhline(means[1])):
        line.set(color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    page.text((x.start + 0.1, y.end + 0.13), heading, NAME, INK, True, "left")
    page.text((x.start + 0.1, y.end + 0.3), below, TICK, QUIET, align="left")
    page.row(y.end - 0.12, [(x.at(means[0]), f"mean {written([means[0]])[0]}", QUIET)])
    page.lines((x.end + 0.06, y.at(means[1])), ("mean", written([means[1]])[0]), TICK, QUIET, True, "left")


def _draw_point(ax: Axes, limits_: tuple[float, float], point: MapPoint) -> None:
    """A dot and its interval; an arrow where the interval goes on beyond the picture."""
    colour = NEGATIVE if point.importance < 0.0 else POSITIVE
    at = point.performance
    if finite(point.low) and finite(point.high):
        low, high = max(point.low, limits_[0]), min(point.high, limits_[1])
        ax.plot([at, at], [low, high], color=colour, linewidth=1.3, alpha=0.55, zorder=2, clip_on=False)
        for end, cut, sign in ((low, point.low < low, "v"), (high, point.high > high, "^")):
            ax.plot([at] * cut, [end] * cut, sign, color=colour, markersize=5, zorder=2, clip_on=False)
    face = PAPER if includes_zero(point.low, point.high) else colour
    wide = 144.0 * _size(point)[1]
    ax.plot([at], [point.importance], "o", markersize=wide, color=colour, markerfacecolor=face, zorder=3, clip_on=False)


# The names beside the dots.


def beside(dots: FloatArray, radii: FloatArray, sizes: FloatArray, room: FloatArray, lines: FloatArray) -> FloatArray:
    """Find a place for the name of every dot: near it, on no dot, on no other name. Boxes are left, top, right, bottom.

    From dots of shape (n, 2) and their radii, sizes of the names (n, 2), the box that no name must leave, and boxes
    around `lines` that a name should rather not cover, to boxes of shape (n, 4); NaN for a name that finds no place.
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

    def clash(k: int, chosen: FloatArray) -> FloatArray:
        others, strange = np.delete(chosen, k, axis=0), np.delete(dots, k, axis=0)
        cost = _FORBIDDEN * _touched(spots[k], others, 0.03)
        cost += _OVER_A_NAME * _crossed(dots[[k]], spots[k], others).sum(axis=1)
        cost += _OVER_A_NAME * _crossed(strange, others, spots[k]).sum(axis=0)
        cost += _OVER_A_WAY * _crossing(dots[k], spots[k], strange, others).sum(axis=1)
        return cost

    return settled(spots, standing, clash, _FORBIDDEN)


def _touched(boxes: FloatArray, others: FloatArray, pad: float = 0.0) -> FloatArray:
    """How many of the others each box shares an area with."""
    counts: FloatArray = (shared_areas(boxes, others, pad) > 0.0).sum(axis=1).astype(float)
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
