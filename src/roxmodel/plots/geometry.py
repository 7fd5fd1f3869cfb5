"""Boxes, wrapped text and Bézier curves, in inches; y runs downwards. Numbers only, no drawing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from roxmodel.types import FloatArray

__all__ = [
    "Box",
    "Measure",
    "Point",
    "around",
    "balanced",
    "rough_measure",
    "sampled",
    "separated",
    "wrapped",
]

Point: TypeAlias = tuple[float, float]
# Width in inches of a line of text, given its size in points and whether it is bold.
Measure: TypeAlias = Callable[[str, float, bool], float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: ``left < right`` and ``top < bottom``, as y runs downwards.

    Examples
    --------
    >>> Box(0, 0, 2, 1).overlaps(Box(1, 0.5, 3, 2)), Box(0, 0, 2, 1).overlaps(Box(2, 0, 3, 1))
    (True, False)
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def x(self) -> float:
        """Middle from left to right."""
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        """Middle from top to bottom."""
        return (self.top + self.bottom) / 2

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def overlaps(self, other: Box) -> bool:
        """Whether the two share an area (touching is none)."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return (self.left, self.top, self.right, self.bottom)


def around(boxes: Iterable[Box], margin: float = 0.0) -> Box:
    """Return the smallest box that holds all of some boxes, widened by a margin.

    Examples
    --------
    >>> around([Box(0, 0, 1, 1), Box(2, 2, 3, 3)])
    Box(left=0.0, top=0.0, right=3.0, bottom=3.0)
    """
    corners = np.array([box.edges() for box in boxes], dtype=float)
    left, top = corners[:, :2].min(axis=0) - margin
    right, bottom = corners[:, 2:].max(axis=0) + margin
    return Box(float(left), float(top), float(right), float(bottom))


def rough_measure(text: str, size: float, bold: bool) -> float:
    """Estimate a text's width without a font, for layouts without matplotlib.

    Examples
    --------
    >>> rough_measure("pride", 10.0, False)
    0.42
    """
    return round(len(text) * size * (0.68 if bold else 0.6) / 72, 2)


def wrapped(text: str, width: float, most: int, measure: Callable[[str], float], slack: float = 1.0) -> tuple[str, ...]:
    """Break a text into lines, at blanks, underscores and hyphens if possible, in words if not.

    Parameters
    ----------
    text
        One paragraph.
    width
        Inches available.
    most
        Lines available, ≥ 1; a text that needs more ends with an ellipsis.
    measure
        Width in inches of a line.
    slack
        A word of up to this many times the width is not cut.

    Returns
    -------
    tuple of str
        At least one line.

    Examples
    --------
    >>> wrapped("trust in the_branch", 0.8, 3, lambda line: len(line) / 10)
    ('trust in', 'the_', 'branch')
    """
    lines = [""]
    for token in re.findall(r"\s+|[^\s_\-/]+[_\-/]*|[_\-/]+", " ".join(text.split())):
        if measure((lines[-1] + token).rstrip(" _-/")) <= width:
            lines[-1] += token
            continue
        lines.append("")
        whole = measure(token.strip(" _-/")) <= slack * width
        for sign in token.lstrip():
            if lines[-1] and not whole and measure(lines[-1] + sign) > width:
                lines.append("")
            lines[-1] += sign
    kept = [line.strip() for line in lines if line.strip()] or [""]
    if len(kept) > most:
        kept = [*kept[: most - 1], kept[most - 1][:-1].rstrip() + "…"]
    return tuple(kept)


def balanced(text: str, width: float, most: int, measure: Callable[[str], float]) -> tuple[str, ...]:
    """Break a text as `wrapped` does, but into lines of like length; a somewhat longer word stays whole.

    Examples
    --------
    >>> balanced("one two three four", 1.5, 3, lambda line: len(line) / 10)
    ('one two', 'three four')
    """
    lines = wrapped(text, width, most, measure, slack=1.3)
    for part in range(19, 9, -1):
        closer = wrapped(text, width * part / 20, most, measure, slack=1.3)
        if len(closer) > len(lines) or "".join(closer).endswith("…") or _cuts_words(closer, text):
            break
        lines = closer
    return lines


def _cuts_words(lines: Sequence[str], text: str) -> bool:
    pieces = set(re.findall(r"[^\s_\-/]+", text))
    return any(word not in pieces for line in lines for word in re.findall(r"[^\s_\-/]+", line))


def separated(wanted: Sequence[float], distances: Sequence[float], weights: Sequence[float]) -> FloatArray:
    """Positions nearest to the wanted ones that keep order and distance (pool adjacent violators).

    Parameters
    ----------
    wanted
        Wanted positions, shape (n,).
    distances
        Least distance between neighbours, shape (n − 1,).
    weights
        How much each position matters, shape (n,), > 0.

    Returns
    -------
    array
        Positions, shape (n,), the weighted least-squares solution.

    Examples
    --------
    >>> separated([0.0, 0.0], [1.0], [1.0, 1.0]).tolist()
    [-0.5, 0.5]
    """
    offsets = np.concatenate([[0.0], np.cumsum(np.asarray(distances, dtype=float))])
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(np.asarray(wanted, dtype=float) - offsets, weights, strict=True):
        mean, mass, size = float(value), float(weight), 1
        while pools and pools[-1][0] >= mean:
            above, heavier, members = pools.pop()
            mean = (mean * mass + above * heavier) / (mass + heavier)
            mass, size = mass + heavier, size + members
        pools.append((mean, mass, size))
    means = np.array([pool[0] for pool in pools], dtype=float)
    positions: FloatArray = np.repeat(means, [pool[2] for pool in pools]) + offsets
    return positions


def sampled(controls: FloatArray, points: int = 80) -> FloatArray:
    """Points at equal distances along a chain of cubic Bézier curves.

    Parameters
    ----------
    controls
        Control points, shape (3 k + 1, 2).
    points
        How many points, ≥ 2.

    Returns
    -------
    array
        Shape (points, 2), first and last control point included.

    Examples
    --------
    >>> line = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    >>> sampled(line, 3)[:, 0].round(6).tolist()
    [0.0, 1.5, 3.0]
    """
    t = np.linspace(0.0, 1.0, 25)[:, None]
    pieces = []
    for first in range(0, len(controls) - 1, 3):
        p, a, b, q = controls[first : first + 4]
        pieces.append((1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * q)
    fine = np.vstack(pieces)
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    at = np.linspace(0.0, travelled[-1], points)
    return np.column_stack([np.interp(at, travelled, fine[:, 0]), np.interp(at, travelled, fine[:, 1])])
