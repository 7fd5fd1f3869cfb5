"""Where every box, lane and heading stands, in inches; y runs downwards; before that: in which column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from typing import Final

from roxmodel.plots.diagram import HEADINGS, Diagram, Node, small_print
from roxmodel.plots.geometry import Box, Measure, balanced, separated, shortened
from roxmodel.types import Factor

__all__ = [
    "HEADING_SIZE", "LABEL_SIZE", "LINE", "NAME_SIZE", "SMALL_SIZE", "Layers", "NodeText", "Rectangles", "arrange",
    "bow_depth", "column_order", "node_texts", "placed",
]  # fmt: skip

# Points; a line of text takes LINE times its size.
NAME_SIZE: Final = 9.0
SMALL_SIZE: Final = 7.2
LABEL_SIZE: Final = 8.0
HEADING_SIZE: Final = 10.5
LINE: Final = 1.25 / 72
_TEXT_WIDTH: Final = 1.18  # inches of text in a box before it wraps
_STILL: Final = 1e-5  # inches
_PORT: Final = 0.17  # inches between two arrows at one side of a box
_SWEEPS: Final = 300
_ORDER_SWEEPS: Final = 12
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Layers:
    """Nodes and lanes in columns.

    A *slot* is a node (its index in ``Diagram.nodes``) or a lane: the place in a column through which a long
    arrow passes between the boxes (an index from ``len(nodes)`` on). Columns hold slots from top to bottom, with empty
    headings if they are no factors; the row below holds nodes; each chain, one an arrow, slots from cause to effect.
    """

    columns: tuple[tuple[int, ...], ...]
    headings: tuple[str, ...]
    row: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]

    def column_of(self) -> dict[int, int]:
        """Column of every slot that stands in one."""
        return {slot: place for place, column in enumerate(self.columns) for slot in column}


def column_order(diagram: Diagram) -> tuple[Factor, ...]:
    """Order the factors present so that most arrows run from left to right; of equal ones the nearest to PwC's.

    Covariances and context do not count.
    """
    factor = {node.name: node.factor for node in diagram.nodes}
    present = [name for name in HEADINGS if name != "context" and name in factor.values()]
    steps = [(factor[a.cause], factor[a.effect], a.lag) for a in diagram.arrows if a.kind == "edge"]

    def backward(order: Sequence[Factor]) -> tuple[int, int]:
        rank = {name: place for place, name in enumerate(order)}
        inside = [step for step in steps if step[0] in rank and step[1] in rank]
        lags = [lag for cause, effect, lag in inside if rank[cause] > rank[effect]]
        return lags.count(0), len(lags)

    return min(permutations(present), key=backward)


def arrange(diagram: Diagram) -> Layers:
    """Give every node its column or its place in the row, and every long arrow its lanes.

    Columns are factors, with context in a row below. If most arrows run between context nodes (a model that knows no
    factors), columns are the depth in the graph and only nodes without arrows form the row.
    """
    index = {node.name: place for place, node in enumerate(diagram.nodes)}
    ends = [(index[arrow.cause], index[arrow.effect]) for arrow in diagram.arrows]
    context = {place for place, node in enumerate(diagram.nodes) if node.factor == "context"}
    inside = sum(cause in context and effect in context for cause, effect in ends)
    headings: tuple[str, ...]
    if 2 * inside > len(ends):
        steps = [end for end, a in zip(ends, diagram.arrows, strict=True) if a.kind == "edge" and a.lag == 0]
        columns = _by_depth(steps, sorted({place for end in ends for place in end}))
        headings = ("",) * len(columns)
    else:
        order = column_order(diagram)
        columns = [[i for i, node in enumerate(diagram.nodes) if node.factor == f] for f in order]
        headings = tuple(HEADINGS[f] for f in order)
    placed = {slot for column in columns for slot in column}
    row = tuple(slot for slot in range(len(diagram.nodes)) if slot not in placed)
    columns, chains = _with_lanes(columns, ends, len(diagram.nodes))
    return Layers(_untangled(columns, chains), headings, row, tuple(chains))


def _by_depth(steps: Iterable[tuple[int, int]], members: Sequence[int]) -> list[list[int]]:
    """Longest path from a cause without causes; a loop is entered at its first node."""
    causes: dict[int, set[int]] = {slot: set() for slot in members}
    for cause, effect in steps:
        if cause != effect:
            causes[effect].add(cause)
    depth: dict[int, int] = {}
    waiting = list(members)
    while waiting:
        ready = [slot for slot in waiting if causes[slot] <= depth.keys()] or waiting[:1]
        level = {s: max((depth[c] + 1 for c in causes[s] if c in depth), default=0) for s in ready}
        depth.update(level)
        waiting = [slot for slot in waiting if slot not in level]
    return [[s for s in members if depth[s] == d] for d in range(max(depth.values(), default=-1) + 1)]


def _with_lanes(
    columns: Sequence[Sequence[int]], ends: Iterable[tuple[int, int]], lane: int
) -> tuple[list[list[int]], list[tuple[int, ...]]]:
    """Add a lane in every column an arrow passes; ``lane`` is the first free slot number."""
    grown = [list(column) for column in columns]
    column_of = {slot: place for place, column in enumerate(columns) for slot in column}
    chains = []
    for cause, effect in ends:
        chain = [cause]
        if cause in column_of and effect in column_of:
            start, stop = column_of[cause], column_of[effect]
            step = 1 if stop > start else -1
            for place in range(start + step, stop, step):
                grown[place].append(lane)
                chain.append(lane)
                lane += 1
        chains.append((*chain, effect))
    return grown, chains


def _untangled(columns: Sequence[Sequence[int]], chains: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Order the slots of every column so that few arrows cross: barycentres first, then swaps."""
    links = [pair for chain in chains for pair in pairwise(chain)]
    partners: dict[int, list[int]] = {}
    for left, right in links:
        partners.setdefault(left, []).append(right)
        partners.setdefault(right, []).append(left)
    current = [list(column) for column in columns]
    best, least = [list(column) for column in current], _tangle(current, links)
    for sweep in range(_ORDER_SWEEPS):
        forward = range(1, len(current))
        for place in forward if sweep % 2 == 0 else reversed(range(len(current) - 1)):
            _sort_by_partners(current[place], current[place - 1 if sweep % 2 == 0 else place + 1], partners)
        cost = _tangle(current, links)
        if cost < least:
            best, least = [list(column) for column in current], cost
    return tuple(tuple(column) for column in _swapped(best, least, links))


def _sort_by_partners(column: list[int], fixed: Sequence[int], partners: Mapping[int, Sequence[int]]) -> None:
    """Sort one column in place by the mean relative height of each slot's partners next door."""
    height = {slot: (rank + 0.5) / len(fixed) for rank, slot in enumerate(fixed)}
    own = {slot: (rank + 0.5) / len(column) for rank, slot in enumerate(column)}

    def mean_height(slot: int) -> float:
        seen = [height[other] for other in partners.get(slot, ()) if other in height]
        return sum(seen) / len(seen) if seen else own[slot]

    column.sort(key=mean_height)


def _swapped(columns: list[list[int]], cost: float, links: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Swap neighbours as long as that lessens the tangle."""
    for _ in range(_ROUNDS):
        before = cost
        for column in columns:
            for upper, lower in combinations(range(len(column)), 2):
                column[upper], column[lower] = column[lower], column[upper]
                changed = _tangle(columns, links)
                if changed < cost - 1e-9:
                    cost = changed
                else:
                    column[upper], column[lower] = column[lower], column[upper]
        if cost >= before:
            break
    return columns


def _tangle(columns: Sequence[Sequence[int]], links: Sequence[tuple[int, int]]) -> float:
    """Crossings, plus a little for arrows along a column and for boxes above the row's targets."""
    place = {slot: (c, rank) for c, column in enumerate(columns) for rank, slot in enumerate(column)}
    cost = 0.0
    gaps: dict[int, list[tuple[int, int]]] = {}
    for one, other in links:
        if one in place and other in place:
            (left, high), (right, low) = sorted((place[one], place[other]))
            if left == right:
                cost += 0.6 * max(low - high - 1, 0)
            else:
                gaps.setdefault(left, []).append((high, low))
                cost += 0.01 * abs((high + 0.5) / len(columns[left]) - (low + 0.5) / len(columns[right]))
        elif one in place or other in place:
            column, rank = place[one] if one in place else place[other]
            cost += 0.4 * (len(columns[column]) - 1 - rank)
    for pairs in gaps.values():
        cost += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(pairs, 2))
    return cost


@dataclass(frozen=True, slots=True)
class NodeText:
    """The lines in a box and the box's size in inches."""

    name: tuple[str, ...]
    small: tuple[str, ...]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Rectangles:
    """Rectangles of a diagram.

    One box per slot (nodes, then lanes); one band per column, from above the first slot to below the last, as wide as
    its widest box; inches between neighbouring columns.
    """

    slots: tuple[Box, ...]
    bands: tuple[Box, ...]
    gaps: tuple[float, ...]


def bow_depth(reach: float) -> float:
    """Inches an arrow between two boxes of the row bows below them."""
    return 0.3 + 0.12 * abs(reach)


def node_texts(nodes: Sequence[Node], measure: Measure) -> tuple[NodeText, ...]:
    """Break the nodes' names and small print into lines; different names stay different."""
    names = [node.label or node.name for node in nodes]
    short = shortened(names, _TEXT_WIDTH, 4, lambda line: measure(line, NAME_SIZE, True), slack=1.3)
    return tuple(_node_text(node, name, measure) for node, name in zip(nodes, short, strict=True))


def _node_text(node: Node, shown: str, measure: Measure) -> NodeText:
    name = balanced(shown, _TEXT_WIDTH, 4, lambda line: measure(line, NAME_SIZE, True))
    small = balanced(small_print(node), _TEXT_WIDTH, 2, lambda line: measure(line, SMALL_SIZE, False))
    widest = max(
        *(measure(line, NAME_SIZE, True) for line in name), *(measure(line, SMALL_SIZE, False) for line in small), 0.75
    )
    height = (len(name) * NAME_SIZE + len(small) * SMALL_SIZE) * LINE
    return NodeText(name, small, widest + 0.2, height + 0.2)


def placed(layers: Layers, texts: Sequence[NodeText], label_widths: Sequence[float], stretch: float) -> Rectangles:
    """Give every slot its rectangle; boxes of one column never overlap, nor do columns.

    `label_widths` are the inches each arrow's label takes (0 without one); a `stretch` of 1 is the tightest layout.
    """
    heights = _heights(layers, texts)
    gaps = _gaps(layers, label_widths, stretch)
    middles = _middles(layers, heights, stretch)
    boxes: dict[int, Box] = {}
    bands = []
    left = 0.0
    for place, column in enumerate(layers.columns):
        width = max(texts[slot].width for slot in column if slot < len(texts))
        for slot in column:
            half = heights[slot] / 2
            boxes[slot] = Box(left, middles[slot] - half, left + width, middles[slot] + half)
        bands.append((left, left + width))
        left += width + (gaps[place] if place < len(gaps) else 0.0)
    top = min((box.top for box in boxes.values()), default=0.0)
    bottom = max((box.bottom for box in boxes.values()), default=0.0)
    framed = tuple(Box(start, top, stop, bottom) for start, stop in bands)
    boxes.update(_row(layers, framed, [(texts[s].width, heights[s]) for s in layers.row], stretch))
    return Rectangles(tuple(boxes[slot] for slot in range(len(boxes))), framed, gaps)


def _heights(layers: Layers, texts: Sequence[NodeText]) -> dict[int, float]:
    """Boxes are high enough for their text and for the arrows at their busier side."""
    column_of = layers.column_of()
    ports: dict[tuple[int, int], int] = {}
    for chain in layers.chains:
        ends = {(chain[0], chain[1]), (chain[-1], chain[-2])}
        for end, other in ends:
            if end in column_of:
                step = column_of.get(other, -1) - column_of[end]
                side = 1 if step > 0 or (step == 0 and column_of[end] == len(layers.columns) - 1) else -1
                ports[end, side] = ports.get((end, side), 0) + 1
    heights = {slot: 0.2 for column in layers.columns for slot in column}
    for slot, text in enumerate(texts):
        busiest = max(ports.get((slot, 1), 0), ports.get((slot, -1), 0))
        heights[slot] = max(text.height, _PORT * (busiest - 1) + 0.26)
    return heights


def _gaps(layers: Layers, label_widths: Sequence[float], stretch: float) -> tuple[float, ...]:
    """Room between columns: enough for the widest label of an arrow between them."""
    column_of = layers.column_of()
    gaps = [0.8] * max(len(layers.columns) - 1, 0)
    for chain, width in zip(layers.chains, label_widths, strict=True):
        for one, other in pairwise(chain):
            if one in column_of and other in column_of and column_of[one] != column_of[other]:
                gap = min(column_of[one], column_of[other])
                gaps[gap] = max(gaps[gap], width + 0.42)
    return tuple(gap * (0.7 + 0.3 * stretch) for gap in gaps)


def _middles(layers: Layers, heights: Mapping[int, float], stretch: float) -> dict[int, float]:
    """Heights of the slots' middles: partners near one height, long arrows straight, nothing overlapping."""
    pulls: dict[int, list[tuple[int, float]]] = {}
    nodes = min((chain[1] for chain in layers.chains if len(chain) > 2), default=len(heights))
    column_of = layers.column_of()
    for chain in layers.chains:
        for one, other in pairwise(chain):
            if one in column_of and other in column_of and column_of[one] != column_of[other]:
                weight = 1.0 + 2.0 * ((one >= nodes) + (other >= nodes))
                pulls.setdefault(one, []).append((other, weight))
                pulls.setdefault(other, []).append((one, weight))
    middles = {slot: 0.0 for column in layers.columns for slot in column}
    apart = {c: _distances(column, heights, nodes, stretch) for c, column in enumerate(layers.columns)}
    for sweep in range(_SWEEPS):
        before = list(middles.values())
        order = range(len(layers.columns))
        for place in order if sweep % 2 == 0 else reversed(order):
            column = layers.columns[place]
            wanted, weights = zip(*(_wish(pulls.get(slot, []), middles) for slot in column), strict=True)
            middles.update(zip(column, separated(wanted, apart[place], weights).tolist(), strict=True))
        if all(abs(new - old) < _STILL for new, old in zip(middles.values(), before, strict=True)):
            break
    return middles


def _wish(pulls: Sequence[tuple[int, float]], middles: Mapping[int, float]) -> tuple[float, float]:
    """Where a slot would like to be and how much; a little of it is the middle of the page."""
    total = 0.02 + sum(weight for _, weight in pulls)
    return sum(weight * middles[other] for other, weight in pulls) / total, total


def _distances(column: Sequence[int], heights: Mapping[int, float], nodes: int, stretch: float) -> list[float]:
    distances = []
    for upper, lower in pairwise(column):
        lanes = (upper >= nodes) + (lower >= nodes)
        distances.append((heights[upper] + heights[lower]) / 2 + (0.36, 0.12, 0.0)[lanes] * stretch)
    return distances


def _row(layers: Layers, bands: Sequence[Box], sizes: Sequence[tuple[float, float]], stretch: float) -> dict[int, Box]:
    """Boxes below the columns: first those with arrows, near what they cause, then the rest in lines."""
    size = dict(zip(layers.row, sizes, strict=True))
    middle = (bands[0].left + bands[-1].right) / 2 if bands else 0.0
    mean = _near_partners(layers, bands, middle)
    lines = [sorted(mean, key=mean.__getitem__)] if mean else []
    free = [slot for slot in layers.row if slot not in mean]
    most = math.ceil(len(free) / max(math.ceil(len(free) / 6), 1)) or 1
    lines += [free[start : start + most] for start in range(0, len(free), most)]
    boxes: dict[int, Box] = {}
    top = (bands[0].bottom + 0.62 * stretch) if bands else 0.0
    for line in lines:
        apart = [(size[a][0] + size[b][0]) / 2 + 0.3 for a, b in pairwise(line)]
        middles = separated([mean.get(slot, middle) for slot in line], apart, [1.0] * len(line))
        for slot, x in zip(line, middles.tolist(), strict=True):
            width, height = size[slot]
            boxes[slot] = Box(x - width / 2, top, x + width / 2, top + height)
        reaches = [boxes[c[0]].x - boxes[c[-1]].x for c in layers.chains if c[0] in boxes and c[-1] in boxes]
        bows = max((bow_depth(reach) for reach in reaches), default=0.0)
        top = max(boxes[slot].bottom for slot in line) + 0.3 * stretch + (bows if line is lines[0] else 0.0)
    return boxes


def _near_partners(layers: Layers, bands: Sequence[Box], middle: float) -> dict[int, float]:
    """Where nodes of the row that have arrows would like to stand: left of the columns they cause."""
    column_of = layers.column_of()
    wanted: dict[int, list[float]] = {}
    for chain in layers.chains:
        for one, other in ((chain[0], chain[-1]), (chain[-1], chain[0])):
            if one in layers.row:
                near = [bands[column_of[other]].left - 0.4] if other in column_of else []
                wanted.setdefault(one, []).extend(near)
    return {slot: sum(xs) / len(xs) if xs else middle for slot, xs in wanted.items()}
