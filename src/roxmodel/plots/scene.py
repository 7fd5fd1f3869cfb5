"""A diagram laid out: every box, curve, heading and label with its place, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from roxmodel.plots.diagram import Diagram, label_lines
from roxmodel.plots.geometry import Box, Measure, around, rough_measure, sampled
from roxmodel.plots.labels import overlap, place_labels
from roxmodel.plots.layers import Layers, arrange
from roxmodel.plots.places import (
    HEADING_SIZE,
    LABEL_SIZE,
    LINE,
    SMALL_SIZE,
    NodeText,
    Places,
    node_texts,
    placed,
)
from roxmodel.plots.routes import routed
from roxmodel.types import FloatArray

__all__ = ["Heading", "Label", "Scene", "layout"]

_STRETCHES: Final = (1.0, 1.2, 1.45, 1.75, 2.1, 2.5, 3.0)
_WIDE: Final = 10.5  # inches; on a wider page intervals stand below their number
_HEAD: Final = 0.2  # inches kept free around the tip of an arrow


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's or the row's title and the box its text fills."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Label:
    """The lines on an arrow and the box they fill."""

    lines: tuple[str, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything stands, in inches from the top left corner; y runs downwards.

    Parameters
    ----------
    boxes
        One per node.
    texts
        The lines in every box.
    headings
        Of columns and row; none where columns are no factors.
    curves
        One per arrow: Bézier control points from cause to effect, shape (3 k + 1, 2).
    labels
        One per arrow, None without one.
    width, height
        The page.
    """

    boxes: tuple[Box, ...]
    texts: tuple[NodeText, ...]
    headings: tuple[Heading, ...]
    curves: tuple[FloatArray, ...]
    labels: tuple[Label | None, ...]
    width: float
    height: float


def layout(diagram: Diagram, measure: Measure = rough_measure) -> Scene:
    """Lay out a diagram, with more room between the boxes until no label collides.

    Parameters
    ----------
    diagram
        Nodes and arrows.
    measure
        Width of a text in inches; the default needs no font and is a little generous.

    Returns
    -------
    Scene
        The same diagram and measure give the same scene.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Node
    >>> nodes = (Node("a", "pride", "employee", 1), Node("b", "outcomes", "unit", 1))
    >>> scene = layout(Diagram(nodes, (Arrow("a", "b", 0.4),)))
    >>> label = scene.labels[0].box
    >>> scene.boxes[0].right < label.left < label.right < scene.boxes[1].left
    True
    """
    layers = arrange(diagram)
    scene = _laid_out(diagram, layers, measure, stacked=False)
    return scene if scene.width <= _WIDE else _laid_out(diagram, layers, measure, stacked=True)


def _laid_out(diagram: Diagram, layers: Layers, measure: Measure, stacked: bool) -> Scene:
    """Widen the layout until no label hides anything; of several imperfect ones take the best."""
    drafts: list[tuple[float, Scene]] = []
    for stretch in _STRETCHES:
        drafts.append(_draft(diagram, layers, measure, stacked, stretch))
        if drafts[-1][0] <= 0.0:
            break
    return min(drafts, key=lambda draft: draft[0])[1]


def _draft(diagram: Diagram, layers: Layers, measure: Measure, stacked: bool, stretch: float) -> tuple[float, Scene]:
    """Lay everything out once; how many square inches labels hide, and the scene."""
    texts = node_texts(diagram.nodes, measure)
    words = [label_lines(arrow, stacked) for arrow in diagram.arrows]
    sizes = np.array([_label_size(lines, measure) for lines in words], dtype=float).reshape(-1, 2)
    places = placed(layers, texts, sizes[:, 0].tolist(), stretch)
    curves = routed(diagram.arrows, layers, places)
    headings = _headings(layers, places, measure)
    obstacles = _obstacles(places.slots[: len(texts)], headings, curves)
    spots = place_labels([sampled(curve) for curve in curves], sizes, obstacles)
    labels = [Label(w, Box(*map(float, s))) if w else None for w, s in zip(words, spots, strict=True)]
    return overlap(spots, obstacles), _on_page(texts, places, headings, curves, labels)


def _label_size(lines: tuple[str, ...], measure: Measure) -> tuple[float, float]:
    if not lines:
        return (0.0, 0.0)
    widths = [
        measure(lines[0], LABEL_SIZE, len(lines) > 1),
        *(measure(x, SMALL_SIZE, False) for x in lines[1:]),
    ]
    return (max(widths) + 0.06, (LABEL_SIZE + SMALL_SIZE * (len(lines) - 1)) * LINE + 0.02)


def _headings(layers: Layers, places: Places, measure: Measure) -> tuple[Heading, ...]:
    headings = []
    high = HEADING_SIZE * LINE
    for text, band in zip(layers.headings, places.bands, strict=True):
        if text:
            half, foot = measure(text, HEADING_SIZE, True) / 2, band.top - 0.14
            headings.append(Heading(text, Box(band.x - half, foot - high, band.x + half, foot)))
    if layers.row and any(layers.headings):
        first = min((places.slots[slot] for slot in layers.row), key=lambda box: (box.top, box.left))
        right = first.left - 0.16
        wide = measure("Context", HEADING_SIZE, True)
        headings.append(Heading("Context", Box(right - wide, first.y - high / 2, right, first.y + high / 2)))
    return tuple(headings)


def _obstacles(boxes: tuple[Box, ...], headings: tuple[Heading, ...], curves: tuple[FloatArray, ...]) -> FloatArray:
    """Collect what labels must not touch: boxes, headings and the tips of arrows."""
    edges = [box.edges() for box in boxes] + [heading.box.edges() for heading in headings]
    for curve in curves:
        tip = curve[-1]
        along = curve[-2] - tip
        back = tip + _HEAD * along / max(float(np.hypot(*along)), 1e-9)
        low, high = np.minimum(tip, back), np.maximum(tip, back)
        thick = np.where(high - low < 0.05, 0.07, 0.0)
        edges.append((*(low - thick), *(high + thick)))
    return np.array(edges, dtype=float).reshape(-1, 4)


def _on_page(
    texts: tuple[NodeText, ...],
    places: Places,
    headings: tuple[Heading, ...],
    curves: tuple[FloatArray, ...],
    labels: Sequence[Label | None],
) -> Scene:
    """Move everything so that the page starts at (0, 0) and nothing is outside it."""
    real = [label.box for label in labels if label]
    drawn = [Box(*map(float, (*points.min(axis=0), *points.max(axis=0)))) for points in map(sampled, curves)]
    boxes = places.slots[: len(texts)]
    page = around([*boxes, *(heading.box for heading in headings), *real, *drawn], margin=0.14)

    def moved(box: Box) -> Box:
        return Box(box.left - page.left, box.top - page.top, box.right - page.left, box.bottom - page.top)

    return Scene(
        boxes=tuple(moved(box) for box in boxes),
        texts=texts,
        headings=tuple(Heading(heading.text, moved(heading.box)) for heading in headings),
        curves=tuple(curve - np.array([page.left, page.top]) for curve in curves),
        labels=tuple(Label(label.lines, moved(label.box)) if label else None for label in labels),
        width=page.width,
        height=page.height,
    )
