"""A diagram laid out: every box, curve, heading and label with its place, ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, TypeAlias

import numpy as np

from roxmodel.plots.diagram import Arrow, Diagram, label_lines
from roxmodel.plots.geometry import Box, Measure, Point, around, rough_measure, sampled, settled, shared_areas
from roxmodel.plots.places import (
    HEADING_SIZE,
    LABEL_SIZE,
    LINE,
    SMALL_SIZE,
    Layers,
    NodeText,
    Rectangles,
    arrange,
    bow_depth,
    node_texts,
    placed,
)
from roxmodel.types import FloatArray

__all__ = ["Label", "Scene", "layout"]

Side: TypeAlias = Literal["left", "right", "top", "bottom"]
_SPREAD: Final = 0.17  # inches between arrows at one side
_FAR: Final = 1000.0  # larger than any page
# Off the curve's middle, in widths and heights of the label; the last ones stand beside the curve.
_ALONG: Final = np.array([[0, 0], [-0.2, 0], [0.2, 0], [-0.4, 0], [0.4, 0], [0, -0.3], [0, 0.3], [0, -0.6], [0, 0.6]])
_SHIFTS: Final = np.vstack([_ALONG, [[-0.56, 0], [0.56, 0]]])
_PAD: Final = 0.05
_ON_SOMETHING: Final = 1000.0  # per square inch
_ON_A_CURVE: Final = 0.03  # per sampled point of another arrow


@dataclass(frozen=True, slots=True)
class _End:
    """One end of an arrow: at which box, at which side, and its rank among the ends there."""

    slot: int
    side: Side
    rank: float


def _routed(arrows: Sequence[Arrow], layers: Layers, places: Rectangles) -> tuple[FloatArray, ...]:
    """Lay a chain of cubic Bézier curves for every arrow: control points, shape (3 k + 1, 2) each, in inches.

    Curves start and end at right angles to a box's side and cross no box.
    """
    ends = [_ends(arrow, number, layers, places) for number, arrow in enumerate(arrows)]
    ports = _ports(ends, places)
    channels = _channels(ends, layers, places, ports)
    linked = {slot for chain in layers.chains for slot in chain}
    floor = max((places.slots[slot].bottom for slot in layers.row if slot in linked), default=0.0)
    curves = []
    for number, chain in enumerate(layers.chains):
        start, stop = ports[number, 0], ports[number, 1]
        first, last = ends[number]
        if chain[0] == chain[1] and chain[0] not in layers.row:
            earlier = layers.chains[:number].count(chain)
            curves.append(_loop(places.slots[chain[0]], first.side, earlier))
        elif first.side == last.side and len(chain) == 2:
            curves.append(_bow(start, stop, first.side, floor))
        elif first.side in ("top", "bottom") or last.side in ("top", "bottom"):
            rising = chain[0] in layers.row
            climb = _climb(start, stop, channels[number]) if rising else _climb(stop, start, channels[number])
            curves.append(climb if rising else climb[::-1])
        else:
            curves.append(_through(start, stop, [places.slots[slot] for slot in chain[1:-1]]))
    return tuple(curves)


def _ends(arrow: Arrow, number: int, layers: Layers, places: Rectangles) -> tuple[_End, _End]:
    column_of = layers.column_of()
    chain = layers.chains[number]
    cause, effect = chain[0], chain[-1]
    if cause in column_of and effect in column_of:
        if column_of[cause] == column_of[effect]:
            return _beside(arrow, number, layers, places)
        rightwards = column_of[effect] > column_of[cause]
        out: Side = "right" if rightwards else "left"
        into: Side = "left" if rightwards else "right"
        heights = places.slots[chain[1]].y, places.slots[chain[-2]].y
        return _End(cause, out, heights[0]), _End(effect, into, heights[1])
    if cause not in column_of and effect not in column_of:
        x = places.slots[cause].x, places.slots[effect].x
        return _End(cause, "bottom", x[1]), _End(effect, "bottom", x[0] + (0.01 if cause == effect else 0.0))
    low, high = (cause, effect) if effect in column_of else (effect, cause)
    if layers.columns[column_of[high]][-1] == high:
        upper = _End(high, "bottom", places.slots[low].x)
    else:
        upper = _End(high, "left", 2 * _FAR + places.slots[low].x)
    lower = _End(low, "top", places.slots[high].left)
    return (lower, upper) if low == cause else (upper, lower)


def _beside(arrow: Arrow, number: int, layers: Layers, places: Rectangles) -> tuple[_End, _End]:
    """Place the ends of an arrow within a column: bowing out at the free side, near partners inside."""
    cause, effect = layers.chains[number]
    place, last = layers.column_of()[cause], len(layers.columns) - 1
    side: Side = "left" if place < last and (place == 0 or arrow.kind == "covariance") else "right"
    if cause == effect:
        return _End(cause, side, 3 * _FAR), _End(effect, "bottom", _FAR if side == "right" else -_FAR)
    reach = places.slots[effect].y - places.slots[cause].y
    # Of two arrows between the same boxes the later one is the outer one at both ends.
    rank = _FAR - abs(reach) - 0.001 * number
    down = 1.0 if reach > 0 else -1.0
    return _End(cause, side, down * rank), _End(effect, side, -down * rank)


def _ports(ends: Sequence[tuple[_End, _End]], places: Rectangles) -> dict[tuple[int, int], Point]:
    """Spread the ends at one side of a box evenly, in the order of where they go."""
    sides: dict[tuple[int, Side], list[tuple[float, int, int]]] = {}
    for number, pair in enumerate(ends):
        for which, end in enumerate(pair):
            sides.setdefault((end.slot, end.side), []).append((end.rank, number, which))
    ports: dict[tuple[int, int], Point] = {}
    for (slot, side), members in sides.items():
        box = places.slots[slot]
        upright = side in ("left", "right")
        room = (box.height if upright else box.width) - 0.22
        step = min(_SPREAD, room / max(len(members) - 1, 1))
        for place, (_, number, which) in enumerate(sorted(members)):
            shift = (place - (len(members) - 1) / 2) * step
            edge: float = getattr(box, side)
            ports[number, which] = (edge, box.y + shift) if upright else (box.x + shift, edge)
    return ports


def _channels(
    ends: Sequence[tuple[_End, _End]], layers: Layers, places: Rectangles, ports: Mapping[tuple[int, int], Point]
) -> dict[int, Point]:
    """Where arrows between the row and a column rise: below its last box, left of it to a higher one."""
    column_of = layers.column_of()
    rising: dict[int, list[tuple[float, int]]] = {}
    channels: dict[int, Point] = {}
    for number, pair in enumerate(ends):
        for which, end in enumerate(pair):
            if pair[1 - which].side != "top":
                continue
            if end.side == "bottom":
                channels[number] = (ports[number, which][0], places.bands[0].bottom + 0.06)
            else:
                rising.setdefault(column_of[end.slot], []).append((-ports[number, which][1], number))
    for column, members in rising.items():
        band = places.bands[column]
        room = places.gaps[column - 1] - 0.5 if column else 2.0
        step = min(0.14, room / len(members))
        for place, (_, number) in enumerate(sorted(members)):
            channels[number] = (band.left - 0.32 - place * step, band.bottom + 0.06)
    return channels


def _through(start: Point, stop: Point, lanes: Sequence[Box]) -> FloatArray:
    """From side to side, straight through each lane."""
    rightwards = stop[0] > start[0]
    points = [start]
    for lane in lanes:
        points += [(lane.left, lane.y), (lane.right, lane.y)][:: 1 if rightwards else -1]
    points.append(stop)
    controls = [start]
    for (x0, y0), (x1, y1) in pairwise(points):
        reach = 0.5 * (x1 - x0)
        controls += [(x0 + reach, y0), (x1 - reach, y1), (x1, y1)]
    return np.array(controls, dtype=float)


def _bow(start: Point, stop: Point, side: Side, floor: float) -> FloatArray:
    """Out of one side and back into the same side of another box; in the row, below all its boxes."""
    if side in ("left", "right"):
        depth = min(max(0.3, 0.1 + 0.28 * abs(stop[1] - start[1])), 0.9)
        out = depth * 4 / 3 * (1 if side == "right" else -1)
        controls = [start, (start[0] + out, start[1]), (stop[0] + out, stop[1]), stop]
    else:
        low = floor + bow_depth(stop[0] - start[0]) * 4 / 3
        controls = [start, (start[0], low), (stop[0], low), stop]
    return np.array(controls, dtype=float)


def _loop(box: Box, side: Side, earlier: int) -> FloatArray:
    """Out of one side and round the corner into the bottom of the same box, around earlier loops."""
    inwards = -1.0 if side == "right" else 1.0
    away, reach = 0.15 + _SPREAD * earlier, 0.5 + 0.25 * earlier
    corner = box.right if side == "right" else box.left
    start, stop = (corner, box.bottom - away), (corner + inwards * (away + 0.04), box.bottom)
    controls = [start, (corner - inwards * reach, start[1]), (stop[0], box.bottom + reach), stop]
    return np.array(controls, dtype=float)


def _climb(start: Point, stop: Point, channel: Point) -> FloatArray:
    """From the top of a box in the row up to the bottom or the left side of a box in a column."""
    x, y = channel
    middle = (start[1] + y) / 2
    rise = stop[1] - y
    controls = [start, (start[0], middle), (x, middle), channel]
    if x == stop[0]:
        controls += [(x, y + rise / 3), (x, y + 2 * rise / 3), stop]
    else:
        controls += [(x, y + 0.75 * rise), (x + 0.1 * (stop[0] - x), stop[1]), stop]
    return np.array(controls, dtype=float)


_STRETCHES: Final = (1.0, 1.2, 1.45, 1.75, 2.1, 2.5, 3.0)
_WIDE: Final = 10.5  # inches; on a wider page intervals stand below their number
_HEAD: Final = 0.2  # inches kept free around the tip of an arrow


@dataclass(frozen=True, slots=True)
class Label:
    """The lines on an arrow, or the title of a column or the row, and the box they fill."""

    lines: tuple[str, ...]
    box: Box


@dataclass(frozen=True, slots=True)
class Scene:
    """Where everything stands, in inches from the top left corner; y runs downwards.

    One box with its text per node, one curve (Bézier control points from cause to effect, shape (3 k + 1, 2)) and one
    label or None per arrow; headings of columns and row, none where columns are no factors.
    """

    boxes: tuple[Box, ...]
    texts: tuple[NodeText, ...]
    headings: tuple[Label, ...]
    curves: tuple[FloatArray, ...]
    labels: tuple[Label | None, ...]
    width: float
    height: float


def layout(diagram: Diagram, measure: Measure = rough_measure) -> Scene:
    """Lay out a diagram, with more room between the boxes until no label collides; deterministic.

    The default measure needs no font and is a little generous.
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
    curves = _routed(diagram.arrows, layers, places)
    headings = _headings(layers, places, measure)
    obstacles = _obstacles(places.slots[: len(texts)], headings, curves)
    spots = _place_labels([sampled(curve) for curve in curves], sizes, obstacles)
    labels = [Label(w, Box(*map(float, s))) if w else None for w, s in zip(words, spots, strict=True)]
    return _overlap(spots, obstacles), _on_page(texts, places, headings, curves, labels)


def _label_size(lines: tuple[str, ...], measure: Measure) -> tuple[float, float]:
    if not lines:
        return (0.0, 0.0)
    widths = [measure(lines[0], LABEL_SIZE, len(lines) > 1), *(measure(x, SMALL_SIZE, False) for x in lines[1:])]
    return (max(widths) + 0.06, (LABEL_SIZE + SMALL_SIZE * (len(lines) - 1)) * LINE + 0.02)


def _headings(layers: Layers, places: Rectangles, measure: Measure) -> tuple[Label, ...]:
    headings = []
    high = HEADING_SIZE * LINE
    for text, band in zip(layers.headings, places.bands, strict=True):
        if text:
            half, foot = measure(text, HEADING_SIZE, True) / 2, band.top - 0.14
            headings.append(Label((text,), Box(band.x - half, foot - high, band.x + half, foot)))
    if layers.row and any(layers.headings):
        first = min((places.slots[slot] for slot in layers.row), key=lambda box: (box.top, box.left))
        right = first.left - 0.16
        wide = measure("Context", HEADING_SIZE, True)
        headings.append(Label(("Context",), Box(right - wide, first.y - high / 2, right, first.y + high / 2)))
    return tuple(headings)


def _obstacles(boxes: tuple[Box, ...], headings: tuple[Label, ...], curves: tuple[FloatArray, ...]) -> FloatArray:
    """Collect what labels must not touch: boxes, headings and the tips of arrows."""
    edges: list[Sequence[float]] = [*boxes, *(heading.box for heading in headings)]
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
    places: Rectangles,
    headings: tuple[Label, ...],
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

    def moved_label(label: Label) -> Label:
        return Label(label.lines, moved(label.box))

    return Scene(
        boxes=tuple(moved(box) for box in boxes),
        texts=texts,
        headings=tuple(map(moved_label, headings)),
        curves=tuple(curve - np.array([page.left, page.top]) for curve in curves),
        labels=tuple(moved_label(label) if label else None for label in labels),
        width=page.width,
        height=page.height,
    )


# The numbers on the arrows.


def _place_labels(curves: Sequence[FloatArray], sizes: FloatArray, obstacles: FloatArray) -> FloatArray:
    """Slide every label along its curve to the spot where it hides least.

    From curves sampled at points of shape (m, 2), sizes of shape (arrows, 2), 0 without a label, and boxes of shape
    (obstacles, 4) that no label may touch, to boxes of shape (arrows, 4), NaN without a label.
    """
    labelled = [number for number in range(len(curves)) if sizes[number, 0] > 0]
    spots, standing = [], []
    for number in labelled:
        boxes, cost = _along(curves[number], sizes[number])
        spots.append(boxes)
        standing.append(cost + _hidden(number, boxes, curves, obstacles))
    labels = np.full((len(curves), 4), np.nan)
    labels[labelled] = settled(
        spots, standing, lambda k, chosen: _ON_SOMETHING * _shared(spots[k], np.delete(chosen, k, axis=0), _PAD)
    )
    return labels


def _along(curve: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Candidate boxes along a curve, and how far each is from the best place, the middle."""
    count = len(curve)
    at = np.arange(round(0.08 * count), round(0.92 * count), 2)
    along = np.abs(at / (count - 1) - 0.5)
    middle = curve[at][:, None, :] + (_SHIFTS * size)[None]
    cost = along[:, None] + 0.3 * np.abs(_SHIFTS).sum(axis=1)[None, :]
    centre = middle.reshape(-1, 2)
    return np.hstack([centre - size / 2, centre + size / 2]), cost.ravel()


def _hidden(number: int, spots: FloatArray, curves: Sequence[FloatArray], obstacles: FloatArray) -> FloatArray:
    """Cost of what a label would hide apart from other labels."""
    cost = _ON_SOMETHING * _shared(spots, obstacles, _PAD)
    for other, curve in enumerate(curves):
        x, y = curve[:, 0], curve[:, 1]
        inside = (x > spots[:, :1]) & (x < spots[:, 2:3]) & (y > spots[:, 1:2]) & (y < spots[:, 3:4])
        hidden = inside.sum(axis=1)
        # Of its own curve a label may hide a good part, but an arrow must be left to see.
        cost = cost + (_ON_A_CURVE * hidden if other != number else 2.0 * np.maximum(hidden / len(x) - 0.6, 0.0))
    return cost


def _overlap(labels: FloatArray, obstacles: FloatArray) -> float:
    """Area in square inches that labels share with each other and with obstacles."""
    real = labels[~np.isnan(labels[:, 0])]
    own = (real[:, 2] - real[:, 0]) * (real[:, 3] - real[:, 1])
    each_other = (_shared(real, real) - own).sum() / 2
    return float(each_other + _shared(real, obstacles).sum())


def _shared(boxes: FloatArray, others: FloatArray, pad: float = 0.0) -> FloatArray:
    shared: FloatArray = shared_areas(boxes, others, pad).sum(axis=1)
    return shared
