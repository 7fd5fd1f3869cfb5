"""Which node stands in which column, in which order, and through which columns a long arrow passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations

from roxmodel.plots.diagram import HEADINGS, Diagram
from roxmodel.types import Factor

__all__ = ["Layers", "arrange", "column_order"]

_SWEEPS = 12
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Layers:
    """Nodes and lanes in columns.

    A *slot* is a node (its index in ``Diagram.nodes``) or a lane: the place in a column through which a long
    arrow passes between the boxes (an index from ``len(nodes)`` on).

    Parameters
    ----------
    columns
        Slots of every column, from top to bottom.
    headings
        One per column; empty texts if the columns are no factors.
    row
        Nodes that stand in a row below the columns.
    chains
        Per arrow the slots from cause to effect.
    """

    columns: tuple[tuple[int, ...], ...]
    headings: tuple[str, ...]
    row: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]

    def column_of(self) -> dict[int, int]:
        """Column of every slot that stands in one."""
        return {slot: place for place, column in enumerate(self.columns) for slot in column}


def column_order(diagram: Diagram) -> tuple[Factor, ...]:
    """Order the factors present so that most arrows run from left to right.

    Parameters
    ----------
    diagram
        Nodes and arrows; covariances and context do not count.

    Returns
    -------
    tuple of str
        Factors; of several equally good orders the one nearest to PwC's.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Node
    >>> nodes = (Node("a", "pride", "employee", 1), Node("b", "influencers", "employee", 1))
    >>> column_order(Diagram(nodes, (Arrow("b", "a"),)))
    ('influencers', 'pride')
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

    Parameters
    ----------
    diagram
        Nodes and arrows.

    Returns
    -------
    Layers
        Columns are factors, with context in a row below. If most arrows run between context nodes (a model
        that knows no factors), columns are the depth in the graph and only nodes without arrows form the row.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Node
    >>> nodes = (Node("a", "pride", "employee", 1), Node("b", "outcomes", "unit", 1))
    >>> arrange(Diagram(nodes, (Arrow("a", "b"),))).columns
    ((0,), (1,))
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
    for sweep in range(_SWEEPS):
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
