"""Contours: what an unmeasured cause would leave of an effect, by how much it explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.numerals import tick_text
from roxmodel.plots.page import (
    EDGE,
    INK,
    NEGATIVE,
    PAPER,
    POSITIVE,
    QUIET,
    TICK,
    Scale,
    halo,
    left_of,
    new_page,
    require_matplotlib,
)
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Contours", "draw_contours"]

_WIDTH: Final = 6.2  # inches
_HIGH: Final = 4.4


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """An effect over two shares, 0-1: that of its first construct along, that of all later ones upwards."""

    title: str
    caption: str
    share: FloatArray  # (c,) the grid, ascending from 0; the same both ways
    effect: FloatArray  # (c, c) ``[later, first]``; not finite where no cause can explain so much
    value: float  # equal share at which the effect is 0
    first: str
    later: tuple[str, ...]
    dot: tuple[str, float, float] | None = None  # a benchmark: name, its share along, its share upwards


def draw_contours(shown: Contours) -> Figure:
    """Draw lines of equal effect; the line of 0 is thick, what is beyond it shaded."""
    require_matplotlib()
    page = new_page(_WIDTH, _HIGH, shown.title, shown.caption)
    end = float(shown.share[-1])
    y = Scale(0.0, end, _HIGH - 0.6, 0.35).moved(page.top)
    x = Scale(0.0, end, left_of(y, page.measure), _WIDTH - EDGE - 0.15)
    ax = page.axes(x, y)
    page.head(page.line(f"share explained of what is left of {', '.join(shown.later)}"))
    page.along(ax, x, y.start, f"share explained of what is left of {shown.first}", rules=False)
    page.upright(ax, y, x.start, rules=False)
    _lines(ax, shown)
    ax.plot([0.0, end], [0.0, end], color=QUIET, linewidth=0.6, linestyle=(0, (2, 3)))
    marks = [(f"robustness value {shown.value:.2f}", shown.value, shown.value, NEGATIVE)]
    if shown.dot is not None:
        marks.append((f"as {shown.dot[0]}", shown.dot[1], shown.dot[2], POSITIVE))
    for words, across, up, colour in marks:
        ax.plot([across], [up], "o", color=colour, markersize=6, zorder=5, clip_on=False)
        left = across > 0.6 * end
        place = (x.at(across) + (-0.1 if left else 0.1), y.at(up) + (0.15 if left else -0.15))
        halo([page.text(place, words, TICK, INK, True, "right" if left else "left")], PAPER)
    return page.figure


def _lines(ax: Axes, shown: Contours) -> None:
    """Lines of equal effect, at round numbers, with the effect on them; what is beyond 0 is shaded."""
    from matplotlib.ticker import MaxNLocator

    naive = float(shown.effect[0, 0])
    side = 1.0 if naive >= 0 else -1.0
    drawn = np.ma.masked_invalid(np.clip(side * shown.effect, -abs(naive), None))
    grid, far = (shown.share, shown.share), [-1.1 * abs(naive), 0.0]
    ax.contourf(*grid, drawn, levels=far, colors=[NEGATIVE], alpha=0.12)
    ax.contour(*grid, drawn, levels=[0.0], colors=[NEGATIVE], linewidths=2.2)
    levels = [float(level) for level in MaxNLocator(6).tick_values(0.0, abs(naive))]
    levels = [level for level in levels if max(float(drawn.min()), 0.0) < level < 0.97 * abs(naive)]
    if levels:
        lines = ax.contour(*grid, drawn, levels=levels, colors=[QUIET], linewidths=0.8, linestyles="solid")
        halo(ax.clabel(lines, fmt=lambda level: tick_text(side * float(level)), fontsize=TICK), PAPER)
