"""Draw a path diagram with matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.plots.diagram import Diagram
from roxmodel.plots.figure import font_measure, new_figure, require_matplotlib
from roxmodel.plots.geometry import Box, Measure, wrapped
from roxmodel.plots.places import HEADING_SIZE, LABEL_SIZE, LINE, NAME_SIZE, SMALL_SIZE, NodeText
from roxmodel.plots.scene import Label, Scene, layout
from roxmodel.plots.sheet import Sheet
from roxmodel.plots.style import FILLS, INK, OUTLINES, PAPER, QUIET, PlacedKey, keys, laid_out, pens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_diagram"]

_TITLE_SIZE: Final = 13.0
_MARGIN: Final = 0.14
_SAMPLE: Final = 0.48
_NARROWEST: Final = 5.0
_SMALL_LINE: Final = SMALL_SIZE * LINE * 1.15


@dataclass(frozen=True, slots=True)
class _Page:
    """The words around a scene and the room they take, in inches."""

    title: tuple[str, ...]
    keys: tuple[PlacedKey, ...]
    caption: tuple[str, ...]
    width: float
    head: float
    foot: float


def draw_diagram(diagram: Diagram, ax: Axes | None = None) -> Figure:
    """Draw a path diagram: factors in columns, context in a row below, numbers on the arrows.

    Parameters
    ----------
    diagram
        What to draw. Names may hold anything; ``$`` is not read as mathematics.
    ax
        Draw into these axes instead of a new figure; fonts and arrows shrink or grow with their size.

    Returns
    -------
    matplotlib.figure.Figure
        A new one is outside pyplot's global state (nothing to close) and displays itself in notebooks.
        Boxes, arrows and labels carry the ids ``node-0``, ``arrow-0``, ``label-0-0``, … in an SVG.
        `save_figure` writes it, the same bytes every time; ``figure.savefig`` leaves ``svg.hashsalt`` and
        the date to the caller.

    Raises
    ------
    RoxError
        If matplotlib is not installed.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Node
    >>> nodes = (Node("pride", "pride", "employee", 4), Node("value", "value_drivers", "customer", 3))
    >>> figure = draw_diagram(Diagram(nodes, (Arrow("pride", "value", 0.42, 0.31, 0.53, 0.4),)))
    >>> len(figure.axes)
    1
    """
    require_matplotlib()
    measure = font_measure()
    scene = layout(diagram, measure)
    page = _page(diagram, scene, measure)
    height = page.head + scene.height + page.foot
    scale = 1.0
    if ax is None:
        figure = new_figure(page.width, height)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    else:
        figure = _figure_of(ax)
        extent = ax.get_window_extent()
        scale = min(extent.width / page.width, extent.height / height) / figure.dpi
    left = (page.width - scene.width) / 2
    ax.set_axis_off()
    ax.set_aspect("equal")
    ax.set_xlim(-left, page.width - left)
    ax.set_ylim(scene.height + page.foot, -page.head)
    sheet = Sheet(ax, scale)
    _draw_words(sheet, page, _MARGIN - left, scene.height)
    _draw_arrows(sheet, diagram, scene)
    for number, (node, text, box) in enumerate(zip(diagram.nodes, scene.texts, scene.boxes, strict=True)):
        sheet.box(box, FILLS[node.factor], OUTLINES[node.factor], 4.0, f"node-{number}")
        _draw_node_text(sheet, text, box)
    return figure


def _figure_of(ax: Axes) -> Figure:
    """Return the figure some axes belong to, also if they are in a subfigure."""
    from matplotlib.figure import SubFigure

    owner = ax.figure
    while isinstance(owner, SubFigure):
        owner = owner.figure
    return owner


def _page(diagram: Diagram, scene: Scene, measure: Measure) -> _Page:
    """Break title, legend and caption into lines that fit above and below the scene."""
    width = max(scene.width, _NARROWEST)
    room = width - 2 * _MARGIN
    title = _paragraph(diagram.title, room, 3, lambda line: measure(line, _TITLE_SIZE, True))
    caption = _paragraph(diagram.caption, room, 12, lambda line: measure(line, SMALL_SIZE, False))
    placed = laid_out(keys(diagram), room, SMALL_SIZE, _SAMPLE, measure)
    lines = len({key.line for key in placed}) + len(caption)
    head = len(title) * _TITLE_SIZE * LINE + (0.06 + _MARGIN if title else 0.0)
    foot = lines * _SMALL_LINE + (_MARGIN + 0.08 if lines else 0.0)
    return _Page(title, placed, caption, width, head, foot)


def _paragraph(text: str, room: float, most: int, measure: Callable[[str], float]) -> tuple[str, ...]:
    return wrapped(text, room, most, measure) if text.strip() else ()


def _draw_words(sheet: Sheet, page: _Page, left: float, low: float) -> None:
    """Title above, legend and caption below."""
    y = _MARGIN + 0.5 * _TITLE_SIZE * LINE - page.head
    for line in page.title:
        sheet.text((left, y), line, _TITLE_SIZE, INK, bold=True, align="left")
        y += _TITLE_SIZE * LINE
    y = low + 0.08 + _SMALL_LINE / 2
    for placed in page.keys:
        _draw_key(sheet, placed, left + placed.x, y + placed.line * _SMALL_LINE)
    y += _SMALL_LINE * len({placed.line for placed in page.keys})
    for number, line in enumerate(page.caption):
        sheet.text((left, y + number * _SMALL_LINE), line, SMALL_SIZE, QUIET, align="left")


def _draw_key(sheet: Sheet, placed: PlacedKey, x: float, y: float) -> None:
    sample = placed.key.sample
    if sample is not None:
        stop = x + _SAMPLE - 0.09
        if placed.key.wedge:
            sheet.polygon(np.array([[x, y], [stop, y - 0.042], [stop, y + 0.042]]), sample.colour, 5.0)
        else:
            sheet.arrow(np.column_stack([np.linspace(x, stop, 4), np.full(4, y)]), sample, 5.0)
        x += _SAMPLE
    sheet.text((x, y), placed.key.words, SMALL_SIZE, QUIET, align="left")


def _draw_arrows(sheet: Sheet, diagram: Diagram, scene: Scene) -> None:
    """Columns, their headings, then the arrows (strong ones on top) and their labels."""
    for heading in scene.headings:
        sheet.text((heading.box.x, heading.box.y), heading.text, HEADING_SIZE, INK, bold=True)
    drawn = list(zip(pens(diagram), scene.curves, scene.labels, strict=True))
    for number, (pen, curve, label) in sorted(enumerate(drawn), key=lambda entry: entry[1][0].width):
        sheet.arrow(curve, pen, 2.0 + pen.width / 100, f"arrow-{number}")
        if label is not None:
            _draw_label(sheet, label, pen.text, f"label-{number}")


def _draw_label(sheet: Sheet, label: Label, colour: str, gid: str) -> None:
    """Each line on white of its own, so that a short one hides no more of the arrow than it must."""
    y = label.box.top + 0.01
    for place, line in enumerate(label.lines):
        size = SMALL_SIZE if place else LABEL_SIZE
        bold = place == 0 and len(label.lines) > 1
        text = sheet.text((label.box.x, y + size * LINE / 2), line, size, colour, bold=bold)
        text.set_bbox({"boxstyle": "square,pad=0.22", "facecolor": PAPER, "edgecolor": "none"})
        text.set_gid(f"{gid}-{place}")
        y += size * LINE


def _draw_node_text(sheet: Sheet, text: NodeText, box: Box) -> None:
    y = box.y - (len(text.name) * NAME_SIZE + len(text.small) * SMALL_SIZE) * LINE / 2
    for lines, size, bold in ((text.name, NAME_SIZE, True), (text.small, SMALL_SIZE, False)):
        for line in lines:
            sheet.text((box.x, y + size * LINE / 2), line, size, INK if bold else QUIET, bold=bold)
            y += size * LINE
