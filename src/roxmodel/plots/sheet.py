"""Axes that measure in inches: text, boxes and arrows at places worked out before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from roxmodel.plots.geometry import Box, Point
from roxmodel.plots.style import PAPER, Pen
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

__all__ = ["Align", "Sheet"]

Align: TypeAlias = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Axes whose data coordinates are inches on a page, y downwards.

    Parameters
    ----------
    ax
        The axes, limits already set.
    scale
        1 where the page is as large as the axes; fonts and pens shrink or grow with it.
    """

    ax: Axes
    scale: float

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

    def box(self, box: Box, fill: str, outline: str, zorder: float, gid: str | None = None) -> None:
        """Fill a rounded rectangle."""
        from matplotlib.patches import FancyBboxPatch

        patch = FancyBboxPatch(
            (box.left, box.top),
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={min(0.09, box.height / 3)}",
            facecolor=fill,
            edgecolor=outline,
            linewidth=1.1 * self.scale,
            zorder=zorder,
        )
        patch.set_gid(gid)
        self.ax.add_patch(patch)

    def arrow(self, controls: FloatArray, pen: Pen, zorder: float, gid: str | None = None) -> None:
        """Draw an arrow along Bézier curves; a white rim shows which of two crossing arrows is on top."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        length, half = 0.085 + 0.021 * pen.width, 0.038 + 0.0125 * pen.width
        if pen.heads == 0:
            length = 0.0
        line = _shortened(controls, length, pen.heads)
        path = Path(line, [Path.MOVETO, *[Path.CURVE4] * (len(line) - 1)])
        for colour, extra, dashes in ((PAPER, 2.4, ()), (pen.colour, 0.0, pen.dashes)):
            patch = PathPatch(path, fill=False, edgecolor=colour, zorder=zorder, capstyle="butt")
            patch.set_linewidth((pen.width + extra) * self.scale)
            patch.set_linestyle((0.0, dashes) if dashes else "solid")
            patch.set_gid(None if extra else gid)
            self.ax.add_patch(patch)
        for ways in (controls, controls[::-1])[: pen.heads]:
            self.polygon(_tip(ways, length, half), pen.colour, zorder)

    def polygon(self, corners: FloatArray, colour: str, zorder: float) -> None:
        """Fill a polygon with corners of shape (n, 2)."""
        from matplotlib.patches import Polygon

        self.ax.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", zorder=zorder))


def _direction(controls: FloatArray) -> FloatArray:
    """Return the unit vector in which a curve ends."""
    along = controls[-1] - controls[-2]
    unit: FloatArray = along / max(float(np.hypot(*along)), 1e-9)
    return unit


def _shortened(controls: FloatArray, length: float, heads: int) -> FloatArray:
    """Let the line end where the arrow's head begins."""
    line = controls.copy()
    line[-2:] -= 0.9 * length * _direction(controls)
    if heads > 1:
        line[:2] -= 0.9 * length * _direction(controls[::-1])
    return line


def _tip(controls: FloatArray, length: float, half: float) -> FloatArray:
    """Triangle at the end of a curve."""
    along = _direction(controls)
    across = np.array([-along[1], along[0]]) * half
    back = controls[-1] - length * along
    return np.array([controls[-1], back + across, back - across])
