"""Where words stand beside what they name: numbers on their own arrow, names beside their own dot, on nothing else.

Deterministic: every text chooses the cheapest of its spots in turn, those with the least choice first, until nobody
moves. Boxes are rows of left, top, right, bottom in inches; y runs downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from roxmodel.types import BoolArray, FloatArray

__all__ = ["beside", "overlap", "place_labels"]

_ROUNDS: Final = 8

# Off the curve's middle, in widths and heights of the label; the last ones stand beside the curve.
_ALONG: Final = np.array([[0, 0], [-0.2, 0], [0.2, 0], [-0.4, 0], [0.4, 0], [0, -0.3], [0, 0.3], [0, -0.6], [0, 0.6]])
_SHIFTS: Final = np.vstack([_ALONG, [[-0.56, 0], [0.56, 0]]])
_PAD: Final = 0.05
_ON_SOMETHING: Final = 1000.0  # per square inch
_ON_A_CURVE: Final = 0.03  # per sampled point of another arrow

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


def place_labels(curves: Sequence[FloatArray], sizes: FloatArray, obstacles: FloatArray) -> FloatArray:
    """Slide every label along its curve to the spot where it hides least.

    Parameters
    ----------
    curves
        Sampled points of every arrow, each of shape (m, 2).
    sizes
        Width and height of every label, shape (arrows, 2); 0 for an arrow without a label.
    obstacles
        Boxes no label may touch, shape (obstacles, 4).

    Returns
    -------
    array
        Box of every label, shape (arrows, 4); NaN without a label.

    Examples
    --------
    >>> line = np.column_stack([np.linspace(0.0, 4.0, 80), np.zeros(80)])
    >>> place_labels([line], np.array([[1.0, 0.2]]), np.empty((0, 4))).round(1).tolist()
    [[1.5, -0.1, 2.5, 0.1]]
    """
    labelled = [number for number in range(len(curves)) if sizes[number, 0] > 0]
    spots, standing = [], []
    for number in labelled:
        boxes, cost = _along(curves[number], sizes[number])
        spots.append(boxes)
        standing.append(cost + _hidden(number, boxes, curves, obstacles))
    labels = np.full((len(curves), 4), np.nan)
    labels[labelled] = _settled(
        spots, standing, lambda k, chosen: _ON_SOMETHING * _shared(spots[k], np.delete(chosen, k, axis=0), _PAD)
    )
    return labels


def overlap(labels: FloatArray, obstacles: FloatArray) -> float:
    """Area in square inches that labels share with each other and with obstacles.

    Examples
    --------
    >>> overlap(np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[0.5, 0.0, 2.0, 1.0]]))
    0.5
    """
    real = labels[~np.isnan(labels[:, 0])]
    own = (real[:, 2] - real[:, 0]) * (real[:, 3] - real[:, 1])
    each_other = (_shared(real, real) - own).sum() / 2
    return float(each_other + _shared(real, obstacles).sum())


def beside(dots: FloatArray, radii: FloatArray, sizes: FloatArray, room: FloatArray, lines: FloatArray) -> FloatArray:
    """Find a place for the name of every dot: near it, on no dot, on no other name.

    Parameters
    ----------
    dots, radii
        Places of the dots, shape (n, 2), and their radii, shape (n,).
    sizes
        Width and height of every name, shape (n, 2).
    room
        The box that a name must not leave, shape (4,).
    lines
        Boxes around what a name should rather not cover, shape (lines, 4).

    Returns
    -------
    array
        Box of every name, shape (n, 4); NaN for a name that finds no place.

    Examples
    --------
    >>> dot, radius, size = np.array([[1.0, 1.0]]), np.array([0.05]), np.array([[0.8, 0.2]])
    >>> beside(dot, radius, size, np.array([0.0, 0.0, 4.0, 4.0]), np.empty((0, 4))).round(2).tolist()
    [[1.08, 0.9, 1.88, 1.1]]
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

    return _settled(spots, standing, clash, _FORBIDDEN)


def _settled(
    spots: Sequence[FloatArray],
    standing: Sequence[FloatArray],
    clash: Callable[[int, FloatArray], FloatArray],
    most: float = np.inf,
) -> FloatArray:
    """Boxes chosen, shape (n, 4), from spots of shape (s, 4) each, whose standing costs have shape (s,).

    ``clash(k, chosen)`` is what each spot of the k-th text costs beside what the others chose; NaN where even the
    cheapest costs as much as `most`.
    """
    chosen = np.full((len(spots), 4), np.nan)
    # The tenth best spot says how little choice a text has.
    order = sorted(range(len(spots)), key=lambda k: (-float(np.sort(standing[k])[:10][-1]), k))
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for k in order:
            cost = standing[k] + clash(k, chosen)
            best = int(np.argmin(cost))
            chosen[k] = np.nan if cost[best] >= most else spots[k][best]
        if np.array_equal(before, chosen, equal_nan=True):
            break
    return chosen


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


def _common(boxes: FloatArray, others: FloatArray, pad: float) -> FloatArray:
    """Area that each box, widened by the pad, shares with each other one, shape (boxes, others); NaN shares nothing."""
    wide = np.minimum(boxes[:, None, 2] + pad, others[None, :, 2])
    wide = wide - np.maximum(boxes[:, None, 0] - pad, others[None, :, 0])
    high = np.minimum(boxes[:, None, 3] + pad, others[None, :, 3])
    high = high - np.maximum(boxes[:, None, 1] - pad, others[None, :, 1])
    area: FloatArray = np.where((wide > 0) & (high > 0), wide * high, 0.0)
    return area


def _shared(boxes: FloatArray, others: FloatArray, pad: float = 0.0) -> FloatArray:
    shared: FloatArray = _common(boxes, others, pad).sum(axis=1)
    return shared


def _touched(boxes: FloatArray, others: FloatArray, pad: float = 0.0) -> FloatArray:
    """How many of the others each box shares an area with."""
    return (_common(boxes, others, pad) > 0.0).sum(axis=1).astype(float)


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
