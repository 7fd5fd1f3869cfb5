"""Where the numbers on the arrows stand: on their own curve, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["overlap", "place_labels"]

# Off the curve's middle, in widths and heights of the label; the last ones stand beside the curve.
_SHIFTS: Final = np.array(
    [
        [0, 0],
        [-0.2, 0],
        [0.2, 0],
        [-0.4, 0],
        [0.4, 0],
        [0, -0.3],
        [0, 0.3],
        [0, -0.6],
        [0, 0.6],
        [-0.56, 0],
        [0.56, 0],
    ]
)
_ROUNDS: Final = 8
_PAD: Final = 0.05
_ON_SOMETHING: Final = 1000.0  # per square inch
_ON_A_CURVE: Final = 0.03  # per sampled point of another arrow


def place_labels(curves: Sequence[FloatArray], sizes: FloatArray, obstacles: FloatArray) -> FloatArray:
    """Slide every label along its curve to the spot where it hides least.

    Parameters
    ----------
    curves
        Sampled points of every arrow, each of shape (m, 2), in inches.
    sizes
        Width and height of every label, shape (arrows, 2); 0 for an arrow without a label.
    obstacles
        Boxes no label may touch: left, top, right, bottom; shape (obstacles, 4).

    Returns
    -------
    array
        Left, top, right, bottom of every label, shape (arrows, 4); NaN without a label. Deterministic.

    Examples
    --------
    >>> line = np.column_stack([np.linspace(0.0, 4.0, 80), np.zeros(80)])
    >>> place_labels([line], np.array([[1.0, 0.2]]), np.empty((0, 4))).round(1).tolist()
    [[1.5, -0.1, 2.5, 0.1]]
    """
    labelled = [number for number in range(len(curves)) if sizes[number, 0] > 0]
    labels = np.full((len(curves), 4), np.nan)
    spots = {number: _spots(curves[number], sizes[number]) for number in labelled}
    standing = {n: c + _hidden(n, s, curves, obstacles) for n, (s, c) in spots.items()}
    # The tenth best spot says how little choice a label has; those with the least choose first.
    order = sorted(labelled, key=lambda n: (-float(np.sort(standing[n])[:10][-1]), n))
    for _ in range(_ROUNDS):
        before = labels.copy()
        for number in order:
            others = np.delete(labels, number, axis=0)
            cost = standing[number] + _ON_SOMETHING * _shared(spots[number][0], others)
            labels[number] = spots[number][0][int(np.argmin(cost))]
        if np.array_equal(before, labels, equal_nan=True):
            break
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
    each_other = (_shared(real, real, pad=0.0) - own).sum() / 2
    return float(each_other + _shared(real, obstacles, pad=0.0).sum())


def _spots(curve: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray]:
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
    cost = _ON_SOMETHING * _shared(spots, obstacles)
    for other, curve in enumerate(curves):
        x, y = curve[:, 0], curve[:, 1]
        inside = (x > spots[:, :1]) & (x < spots[:, 2:3]) & (y > spots[:, 1:2]) & (y < spots[:, 3:4])
        hidden = inside.sum(axis=1)
        # Of its own curve a label may hide a good part, but an arrow must be left to see.
        cost = cost + (_ON_A_CURVE * hidden if other != number else 2.0 * np.maximum(hidden / len(x) - 0.6, 0.0))
    return cost


def _shared(boxes: FloatArray, others: FloatArray, pad: float = _PAD) -> FloatArray:
    """Area each box, widened by the pad, shares with all others; NaN boxes share nothing."""
    wide = np.minimum(boxes[:, None, 2] + pad, others[None, :, 2])
    wide = wide - np.maximum(boxes[:, None, 0] - pad, others[None, :, 0])
    high = np.minimum(boxes[:, None, 3] + pad, others[None, :, 3])
    high = high - np.maximum(boxes[:, None, 1] - pad, others[None, :, 1])
    area = np.where((wide > 0) & (high > 0), wide * high, 0.0)
    shared: FloatArray = area.sum(axis=1)
    return shared
