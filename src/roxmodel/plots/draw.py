"""Draw a path diagram: what sign, size, doubt and kind of an arrow look like, and the keys that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.numerals import finite, includes_zero
from roxmodel.plots.diagram import Arrow, Diagram, relative_strengths
from roxmodel.plots.geometry import Box, Measure, wrapped
from roxmodel.plots.page import (
    DOUBT,
    FILLS,
    INK,
    NEGATIVE,
    OUTLINES,
    PAPER,
    POSITIVE,
    QUIET,
    TITLE,
    Page,
    font_measure,
    new_figure,
    require_matplotlib,
    warned,
)
from roxmodel.plots.places import HEADING_SIZE, LABEL_SIZE, LINE, NAME_SIZE, SMALL_SIZE, NodeText
from roxmodel.plots.scene import Label, Scene, layout
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Key", "Pen", "draw_diagram", "keys", "pens"]

_NEUTRAL: Final = "#87919C"
_DASHES: Final = (3.2, 1.8)
_DOUBTFUL: Final = (1.7, 0.8)  # short dashes
_MARGIN: Final = 0.14
_SAMPLE: Final = 0.48  # inches of a key's sample, with the blank after it
_NARROWEST: Final = 5.0
_SMALL_LINE: Final = SMALL_SIZE * LINE * 1.15


@dataclass(frozen=True, slots=True)
class Pen:
    """How one arrow is drawn: width in points, dashes on and off in points (empty: solid), colour of its label.

    One head stands at the effect, two at both ends; a faint colour is already mixed with white.
    """

    colour: str
    width: float
    dashes: tuple[float, ...] = ()
    heads: int = 1
    text: str = QUIET


_OF_COVARIANCE: Final = Pen(QUIET, 1.0, (1.0, 2.0), heads=2)


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the legend: a sample (None: words only) and what it means."""

    sample: Pen | None
    words: str
    wedge: bool = False


@dataclass(frozen=True, slots=True)
class _Around:
    """The words around a scene and the room they take, in inches; keys by line, with their left ends."""

    title: tuple[str, ...]
    keys: list[list[tuple[float, Key]]]
    caption: tuple[str, ...]
    width: float
    head: float
    foot: float


def draw_diagram(diagram: Diagram, ax: Axes | None = None) -> Figure:
    """Draw a path diagram: factors in columns, context in a row below, numbers on the arrows.

    Into given axes instead of a new figure, fonts and arrows shrink or grow with their size. Names may hold anything;
    ``$`` is not read as mathematics. Boxes, arrows and labels carry the ids ``node-0``, ``arrow-0``, ``label-0-0``, …
    in an SVG. A diagram's warning stands on a figure of its own only.
    """
    require_matplotlib()
    measure = font_measure()
    scene = layout(diagram, measure)
    around = _around(diagram, scene, measure)
    height = around.head + scene.height + around.foot
    left = (around.width - scene.width) / 2
    alone = ax is None
    if ax is None:
        ax = new_figure(around.width, height).add_axes((0.0, 0.0, 1.0, 1.0))
        page = Page(ax, measure, around.width, -around.head)
    else:
        figure, extent = Page(ax, measure, around.width, 0.0).figure, ax.get_window_extent()
        scale = min(extent.width / around.width, extent.height / height) / figure.dpi
        page = Page(ax, measure, around.width, -around.head, scale)
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(-left, around.width - left)
    ax.set_ylim(scene.height + around.foot, -around.head)
    _draw_words(page, around, _MARGIN - left, scene.height)
    _draw_arrows(page, diagram, scene)
    for number, (node, text, box) in enumerate(zip(diagram.nodes, scene.texts, scene.boxes, strict=True)):
        _draw_box(page, box, (FILLS[node.factor], OUTLINES[node.factor]), f"node-{number}")
        _draw_node_text(page, text, box)
    return warned(page.figure, diagram.warning) if alone else page.figure


def pens(diagram: Diagram) -> tuple[Pen, ...]:
    """Choose a pen for every arrow.

    Width grows with strength, colour says the sign, faint that the interval includes 0, dashed that the number was
    assumed, short dashes that it is in doubt, dotted with two heads a covariance, thin grey that there is no number.
    """
    strengths = relative_strengths(tuple(arrow for arrow in diagram.arrows if arrow.kind == "edge"))
    upcoming = iter(strengths)
    return tuple(_pen(a, next(upcoming)) if a.kind == "edge" else _OF_COVARIANCE for a in diagram.arrows)


def _pen(arrow: Arrow, strength: float | None) -> Pen:
    if strength is None:
        pen = Pen(_NEUTRAL, 1.1)
    else:
        colour = NEGATIVE if _value(arrow) < 0 else POSITIVE
        pen = Pen(colour, 1.0 + 4.5 * strength, text=colour)
        if includes_zero(arrow.low, arrow.high):
            pen = replace(pen, colour=_faint(colour), text=QUIET)
    if arrow.doubtful:
        return replace(pen, dashes=_DOUBTFUL, text=DOUBT)
    return replace(pen, dashes=_DASHES) if arrow.assumed else pen


def _value(arrow: Arrow) -> float:
    """Return the number whose sign decides the colour: the one shown, else the standardized one."""
    return next((value for value in (arrow.estimate, arrow.standardized) if finite(value)), 0.0)


def _faint(colour: str, kept: float = 0.4) -> str:
    """Mix a colour with white."""
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 - kept * (255 - channel)):02X}" for channel in channels)


def keys(diagram: Diagram) -> tuple[Key, ...]:
    """Explain what occurs in a diagram, and only that."""
    edges = [arrow for arrow in diagram.arrows if arrow.kind == "edge"]
    numbers = [a for a in edges if finite(a.estimate)]
    entries: list[Key] = []
    if numbers:
        entries.append(Key(Pen(QUIET, 1.0), f"width: {_what_width_means(edges)}", wedge=True))
    if any(_value(arrow) >= 0 for arrow in numbers):
        entries.append(Key(Pen(POSITIVE, 2.2), "positive"))
    if any(_value(arrow) < 0 for arrow in numbers):
        entries.append(Key(Pen(NEGATIVE, 2.2), "negative"))
    if any(includes_zero(arrow.low, arrow.high) for arrow in numbers):
        entries.append(Key(Pen(_faint(POSITIVE), 2.2), "faint: interval includes 0"))
    if any(arrow.doubtful for arrow in edges):
        entries.append(Key(Pen(POSITIVE, 1.6, _DOUBTFUL), "?: in doubt (short dashes), see above"))
    if any(arrow.assumed for arrow in edges):
        colour = POSITIVE if any(arrow.assumed for arrow in numbers) else _NEUTRAL
        entries.append(Key(Pen(colour, 1.6, _DASHES), "assumed, not estimated"))
    if numbers and len(numbers) < len(edges):
        entries.append(Key(Pen(_NEUTRAL, 1.0), "no estimate"))
    if len(edges) < len(diagram.arrows):
        entries.append(Key(_OF_COVARIANCE, "covariance: unmeasured common cause"))
    if any(finite(a.low) and finite(a.high) for a in diagram.arrows if finite(a.estimate)):
        entries.append(Key(None, f"[low, high]: {diagram.interval}"))
    return tuple(entries)


def _what_width_means(edges: Sequence[Arrow]) -> str:
    if any(finite(arrow.standardized) for arrow in edges):
        return "size of the standardized effect"
    relative = any(arrow.estimate is not None and abs(arrow.estimate) > 1 for arrow in edges)
    return "size of the estimate" + (", relative to the largest" if relative else "")


# The words around the scene.


def _around(diagram: Diagram, scene: Scene, measure: Measure) -> _Around:
    """Break title, legend and caption into lines that fit above and below the scene."""
    width = max(scene.width, _NARROWEST)
    room = width - 2 * _MARGIN
    title = wrapped(diagram.title, room, 3, lambda line: measure(line, TITLE, True)) if diagram.title.strip() else ()
    small = wrapped(diagram.caption, room, 12, lambda line: measure(line, SMALL_SIZE, False))
    caption = small if diagram.caption.strip() else ()
    placed = _key_lines(keys(diagram), room, measure)
    lines = len(placed) + len(caption)
    head = len(title) * TITLE * LINE + (0.06 + _MARGIN if title else 0.0)
    foot = lines * _SMALL_LINE + (_MARGIN + 0.08 if lines else 0.0)
    return _Around(title, placed, caption, width, head, foot)


def _key_lines(entries: Sequence[Key], width: float, measure: Measure) -> list[list[tuple[float, Key]]]:
    """Set keys one after another in as many lines as needed."""
    lines: list[list[tuple[float, Key]]] = []
    x = 0.0
    for key in entries:
        wide = measure(key.words, SMALL_SIZE, False) + (_SAMPLE if key.sample is not None else 0.0)
        if not lines or (x > 0.0 and x + wide > width):
            x = 0.0
            lines.append([])
        lines[-1].append((x, key))
        x += wide + 0.24
    return lines


def _draw_words(page: Page, around: _Around, left: float, low: float) -> None:
    """Title above, legend and caption below."""
    y = page.top + _MARGIN + 0.5 * TITLE * LINE
    for number, line in enumerate(around.title):
        page.text((left, y + number * TITLE * LINE), line, TITLE, INK, bold=True, align="left")
    y = low + 0.08 + _SMALL_LINE / 2
    for placed in around.keys:
        for x, key in placed:
            _draw_key(page, key, left + x, y)
        y += _SMALL_LINE
    for number, line in enumerate(around.caption):
        page.text((left, y + number * _SMALL_LINE), line, SMALL_SIZE, QUIET, align="left")


def _draw_key(page: Page, key: Key, x: float, y: float) -> None:
    if key.sample is not None:
        stop = x + _SAMPLE - 0.09
        if key.wedge:
            _draw_polygon(page, np.array([[x, y], [stop, y - 0.042], [stop, y + 0.042]]), key.sample.colour, 5.0)
        else:
            _draw_arrow(page, np.column_stack([np.linspace(x, stop, 4), np.full(4, y)]), key.sample, 5.0)
        x += _SAMPLE
    page.text((x, y), key.words, SMALL_SIZE, QUIET, align="left")


# The scene.


def _draw_arrows(page: Page, diagram: Diagram, scene: Scene) -> None:
    """Columns, their headings, then the arrows (strong ones on top) and their labels."""
    for heading in scene.headings:
        page.text((heading.box.x, heading.box.y), heading.lines[0], HEADING_SIZE, INK, bold=True)
    drawn = list(zip(pens(diagram), scene.curves, scene.labels, strict=True))
    for number, (pen, curve, label) in sorted(enumerate(drawn), key=lambda entry: entry[1][0].width):
        _draw_arrow(page, curve, pen, 2.0 + pen.width / 100, f"arrow-{number}")
        if label is not None:
            _draw_label(page, label, pen.text, f"label-{number}")


def _draw_label(page: Page, label: Label, colour: str, gid: str) -> None:
    """Each line on white of its own, so that a short one hides no more of the arrow than it must."""
    y = label.box.top + 0.01
    for place, line in enumerate(label.lines):
        size = SMALL_SIZE if place else LABEL_SIZE
        bold = place == 0 and len(label.lines) > 1
        text = page.text((label.box.x, y + size * LINE / 2), line, size, colour, bold=bold)
        text.set_bbox({"boxstyle": "square,pad=0.22", "facecolor": PAPER, "edgecolor": "none"})
        text.set_gid(f"{gid}-{place}")
        y += size * LINE


def _draw_node_text(page: Page, text: NodeText, box: Box) -> None:
    y = box.y - (len(text.name) * NAME_SIZE + len(text.small) * SMALL_SIZE) * LINE / 2
    for lines, size, bold in ((text.name, NAME_SIZE, True), (text.small, SMALL_SIZE, False)):
        for line in lines:
            page.text((box.x, y + size * LINE / 2), line, size, INK if bold else QUIET, bold=bold)
            y += size * LINE


def _draw_box(page: Page, box: Box, colours: tuple[str, str], gid: str) -> None:
    """A rounded rectangle in its fill and outline."""
    from matplotlib.patches import FancyBboxPatch

    fill, outline = colours
    patch = FancyBboxPatch(
        (box.left, box.top),
        box.width,
        box.height,
        boxstyle=f"round,pad=0,rounding_size={min(0.09, box.height / 3)}",
        facecolor=fill,
        edgecolor=outline,
        linewidth=1.1 * page.scale,
        zorder=4.0,
    )
    patch.set_gid(gid)
    page.ax.add_patch(patch)


def _draw_arrow(page: Page, controls: FloatArray, pen: Pen, zorder: float, gid: str | None = None) -> None:
    """An arrow along Bézier curves; a white rim shows which of two crossing arrows is on top."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    length, half = 0.085 + 0.021 * pen.width, 0.038 + 0.0125 * pen.width
    line = controls.copy()
    for tip, ways in ((slice(-2, None), controls), (slice(2), controls[::-1]))[: pen.heads]:
        line[tip] -= 0.9 * length * _direction(ways)
    path = Path(line, [Path.MOVETO, *[Path.CURVE4] * (len(line) - 1)])
    for colour, extra, dashes in ((PAPER, 2.4, ()), (pen.colour, 0.0, pen.dashes)):
        patch = PathPatch(path, fill=False, edgecolor=colour, zorder=zorder, capstyle="butt")
        patch.set_linewidth((pen.width + extra) * page.scale)
        patch.set_linestyle((0.0, dashes) if dashes else "solid")
        patch.set_gid(None if extra else gid)
        page.ax.add_patch(patch)
    for ways in (controls, controls[::-1])[: pen.heads]:
        along = _direction(ways)
        across, back = np.array([-along[1], along[0]]) * half, ways[-1] - length * along
        _draw_polygon(page, np.array([ways[-1], back + across, back - across]), pen.colour, zorder)


def _draw_polygon(page: Page, corners: FloatArray, colour: str, zorder: float) -> None:
    from matplotlib.patches import Polygon

    page.ax.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor="none", zorder=zorder))


def _direction(controls: FloatArray) -> FloatArray:
    """Return the unit vector in which a curve ends."""
    along = controls[-1] - controls[-2]
    unit: FloatArray = along / max(float(np.hypot(*along)), 1e-9)
    return unit
