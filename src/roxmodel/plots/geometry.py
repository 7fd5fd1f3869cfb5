"""Boxes, wrapped text and Bézier curves, in inches; y runs downwards. Numbers only, no drawing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from roxmodel.types import FloatArray

__all__ = [
    "Box", "Measure", "Point", "around", "balanced", "rough_measure", "sampled", "separated", "settled", "shared_areas",
    "shortened", "wrapped",
]  # fmt: skip

Point: TypeAlias = tuple[float, float]
_ROUNDS: Final = 8
_WORD: Final = re.compile(r"[^\s_\-/]+")
# Width in inches of a line of text, given its size in points and whether it is bold.
Measure: TypeAlias = Callable[[str, float, bool], float]


class Box(NamedTuple):
    """A rectangle: ``left < right`` and ``top < bottom``, as y runs downwards."""

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


def around(boxes: Iterable[Box], margin: float = 0.0) -> Box:
    """Return the smallest box that holds all of some boxes, widened by a margin."""
    corners = np.array(list(boxes), dtype=float)
    left, top = corners[:, :2].min(axis=0) - margin
    right, bottom = corners[:, 2:].max(axis=0) + margin
    return Box(float(left), float(top), float(right), float(bottom))


def rough_measure(text: str, size: float, bold: bool) -> float:
    """Estimate a text's width without a font, for layouts without matplotlib."""
    return round(len(text) * size * (0.68 if bold else 0.6) / 72, 2)


def wrapped(text: str, width: float, most: int, measure: Callable[[str], float], slack: float = 1.0) -> tuple[str, ...]:
    """Break a text into lines, at blanks, underscores and hyphens if possible, in words if not.

    A text that needs more than so many lines ends with an ellipsis; a word of up to `slack` times the width (inches)
    is not cut.

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


def shortened(
    names: Sequence[str], width: float, most: int, measure: Callable[[str], float], slack: float = 1.0
) -> list[str]:
    """Shorten names that stand together until `wrapped` breaks each into no more than `most` lines, all different.

    A name that is too long loses its middle, as names differ at their ends more often than within. Names that would
    then read alike lose what they have in common instead; where even that does not help they are numbered.

    >>> shortened(["training in the north, phase 1", "training in the north, phase 2"], 10, 2, len)
    ['training in the … 1', 'training in the … 2']
    """

    def fits(text: str) -> bool:
        return len(wrapped(text, width, most + 1, measure, slack)) <= most

    texts = [" ".join(name.split()) for name in names]
    short = [text if fits(text) else _without_middle(text, fits) for text in texts]
    for number, (text, shown) in enumerate(zip(texts, list(short), strict=True), 1):
        alike = {other for other, seen in zip(texts, short, strict=True) if _same(seen, shown)}
        if len(alike) > 1:
            short[number - 1] = _from_difference(text, alike, fits)
    for number, (text, shown) in enumerate(zip(texts, list(short), strict=True), 1):
        if any(other != text and _same(seen, shown) for other, seen in zip(texts, short, strict=True)):
            short[number - 1] = _without_middle(f"{number}: {text}", fits)
    return short


def _same(one: str, other: str) -> bool:
    """Whether two texts look the same to a reader, however they are broken into lines."""
    return "".join(one.split()).casefold() == "".join(other.split()).casefold()


def _without_middle(text: str, fits: Callable[[str], bool]) -> str:
    """Cut as little as possible out of the middle of a text: whole words, else letters."""
    words = text.split()
    for kept in range(len(words) - 1, 1, -1):
        for head in sorted(range(1, kept), key=lambda count: abs(2 * count - kept)):
            cut = " ".join([*words[:head], "…", *words[len(words) - kept + head :]])
            if fits(cut):
                return cut
    for kept in range(len(text) - 1, 1, -1):
        tail = kept // 2
        cut = f"{text[: kept - tail].rstrip(' _-/,;:')}…{text[len(text) - tail :].lstrip(' _-/,;:')}"
        if fits(cut):
            return cut
    return text[:1]


def _from_difference(text: str, alike: Iterable[str], fits: Callable[[str], bool]) -> str:
    """Keep the beginning of a text and what it does not share with others that begin alike."""
    others = list(alike)
    shared = (place for place, signs in enumerate(zip(*others, strict=False)) if len(set(signs)) > 1)
    first = next(shared, min(map(len, others)))
    rest = text[text.rfind(" ", 0, first) + 1 :]
    for kept in range(len(rest), 1, -1):
        for head in (12, 6, 0):
            cut = f"{text[:head].rstrip(' _-/,;:')}…{rest[:kept]}{'…' if kept < len(rest) else ''}"
            if fits(cut):
                return cut
    return text


def balanced(text: str, width: float, most: int, measure: Callable[[str], float]) -> tuple[str, ...]:
    """Break a text as `wrapped` does, but into lines of like length; a somewhat longer word stays whole.

    >>> balanced("one two three four", 1.5, 3, lambda line: len(line) / 10)
    ('one two', 'three four')
    """
    lines = wrapped(text, width, most, measure, slack=1.3)
    for part in range(19, 9, -1):
        closer = wrapped(text, width * part / 20, most, measure, slack=1.3)
        cut = set(re.findall(_WORD, " ".join(closer))) - set(re.findall(_WORD, text))
        if len(closer) > len(lines) or "".join(closer).endswith("…") or cut:
            break
        lines = closer
    return lines


def separated(wanted: Sequence[float], distances: Sequence[float], weights: Sequence[float]) -> FloatArray:
    """Positions nearest to the n wanted ones that keep order and the n − 1 least distances (pool adjacent violators).

    The weighted least-squares solution, shape (n,).
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
    """Points at equal distances along a chain of cubic Bézier curves with control points of shape (3 k + 1, 2)."""
    t = np.linspace(0.0, 1.0, 25)[:, None]
    pieces = []
    for first in range(0, len(controls) - 1, 3):
        p, a, b, q = controls[first : first + 4]
        pieces.append((1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * q)
    fine = np.vstack(pieces)
    travelled = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    at = np.linspace(0.0, travelled[-1], points)
    return np.column_stack([np.interp(at, travelled, fine[:, 0]), np.interp(at, travelled, fine[:, 1])])


def settled(
    spots: Sequence[FloatArray],
    standing: Sequence[FloatArray],
    clash: Callable[[int, FloatArray], FloatArray],
    most: float = np.inf,
) -> FloatArray:
    """Let texts choose boxes, shape (n, 4): each in turn its cheapest spot, those with the least choice first.

    The k-th has spots of shape (s, 4) whose standing costs have shape (s,); ``clash(k, chosen)`` is what each costs
    beside what the others chose. They choose until nobody moves; NaN where even the cheapest costs as much as `most`.
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


def shared_areas(boxes: FloatArray, others: FloatArray, pad: float) -> FloatArray:
    """Area that each box, widened by the pad, shares with each other one, shape (boxes, others); NaN shares nothing."""
    wide = np.minimum(boxes[:, None, 2] + pad, others[None, :, 2])
    wide = wide - np.maximum(boxes[:, None, 0] - pad, others[None, :, 0])
    high = np.minimum(boxes[:, None, 3] + pad, others[None, :, 3])
    high = high - np.maximum(boxes[:, None, 1] - pad, others[None, :, 1])
    area: FloatArray = np.where((wide > 0) & (high > 0), wide * high, 0.0)
    return area
