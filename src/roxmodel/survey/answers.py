"""Answers against their items: what is missing, outside the scale, constant or infinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import DataError
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.frames import LARGEST, Frame, number_column
from roxmodel.types import BoolArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answers", "read_answers"]

_NOTHING = 1e-300  # a spread below which there are hardly digits to differ in
_BLOCK = 1 << 14  # answers scanned at once, to stay in cache


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The answers to one item.

    Attributes
    ----------
    item
        The question.
    values
        (n,) real numbers as answered (not reversed), NaN where missing.
    coerced
        How many answers outside the scale were turned into missing ones.
    """

    item: Item
    values: NDArray[Any]
    coerced: int = 0


@dataclass(frozen=True, slots=True)
class _Span:
    """What one look at the answers shows: the smallest and largest (NaN: none), and whether all are whole."""

    low: float
    high: float
    whole: bool


def read_answers(
    source: str, frame: Frame, item: Item, *, coerce: bool, means: bool = False, used: BoolArray | None = None
) -> Answers:
    """Read and check the answers to one item.

    Parameters
    ----------
    source, frame, item
        Whose answers to which question.
    coerce
        Whether answers outside the scale become missing (and are counted) instead of raising.
    means
        Whether the numbers are unit means, so that fractions are right on a scale of whole points.
    used
        (n,) rows that count, None for all: the others are not checked.

    Raises
    ------
    DataError
        If the column is text, infinite, all missing, constant, or has answers outside its scale; names item,
        value and count.

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Likert
    >>> from roxmodel.survey.frames import open_frame
    >>> frame = open_frame("employee", {"p1": [1, 4, 5, 99]})
    >>> read = read_answers("employee", frame, Item(name="p1", scale=Likert(1, 5)), coerce=True)
    >>> read.values, read.coerced
    (array([ 1.,  4.,  5., nan]), 1)
    """
    codes = item.scale.codes if item.scale is not None else {}
    values = number_column(source, frame, item.name, codes)
    counted = values if used is None else values[used]
    span = _look(counted)
    _refuse_useless(source, item, counted, span)
    if _inside(item, span, means):
        return Answers(item, values)
    outside = _outside(item, counted, means)
    if not coerce:
        raise DataError(
            f"Item {item.name!r} of the {source} frame has {int(outside.sum())} answer(s) outside its scale "
            f"{item.scale}, for example {counted[outside][0]:g}.",
            hint="Correct the data or the scale, or say coerce=True to count them as missing.",
        )
    kept = np.where(outside, np.nan, counted.astype(np.float64))
    if np.isnan(kept).all():
        raise DataError(f"Item {item.name!r} of the {source} frame has no answer inside its scale {item.scale}.")
    _refuse_useless(source, item, kept, _look(kept))
    everywhere = outside if used is None else _outside(item, values, means)
    return Answers(item, np.where(everywhere, np.nan, values.astype(np.float64)), int(outside.sum()))


def _look(values: NDArray[Any]) -> _Span:
    """Look at the answers once, in blocks that fit the cache."""
    low = high = np.nan
    whole, floats = True, values.dtype.kind == "f"
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        low = np.fmin(low, np.fmin.reduce(block))
        high = np.fmax(high, np.fmax.reduce(block))
        if floats and whole:
            rest = block != np.rint(block)
            whole = not rest.any() or not (rest & ~np.isnan(block)).any()
    return _Span(float(low), float(high), whole)


def _refuse_useless(source: str, item: Item, values: NDArray[Any], span: _Span) -> None:
    """Refuse an item without answers, with infinite ones, or with one and the same."""
    if np.isnan(span.low):
        raise DataError(
            f"Item {item.name!r} of the {source} frame has no answer: all {len(values)} are missing.",
            hint="Leave the item out, or check how the column was read.",
        )
    if max(-span.low, span.high) > LARGEST:
        count = int((np.abs(values.astype(np.float64)) > LARGEST).sum())
        raise DataError(
            f"Item {item.name!r} of the {source} frame has {count} infinite or astronomically large value(s).",
            hint="Replace them by a number or by a missing value; give figures of that size in a larger unit.",
        )
    if _NOTHING <= span.high - span.low < 1 / LARGEST:
        raise DataError(
            f"Item {item.name!r} of the {source} frame varies by {span.high - span.low:.3g} only: numbers of that size "
            "run out of digits where they are squared.",
            hint=f"Give it in a smaller unit of measure, such as frame[{item.name!r}] * {_unit(span):g}.",
        )
    if span.high - span.low < _NOTHING and len(values) > 1:
        answered = int((~np.isnan(values)).sum())
        raise DataError(
            f"Item {item.name!r} of the {source} frame is constant: all {answered} answers are {span.low:g}.",
            hint="An item that never varies tells nothing; leave it out.",
        )


def _unit(span: _Span) -> float:
    """A power of ten by which the answers get a readable size."""
    return float(10.0 ** min(-np.floor(np.log10(max(abs(span.low), abs(span.high)))), 300))


def _bounds(item: Item) -> tuple[float, float]:
    low, high = item.ends
    return (-np.inf if low is None else low), (np.inf if high is None else high)


def _inside(item: Item, span: _Span, means: bool) -> bool:
    low, high = _bounds(item)
    fractions_ok = item.scale is None or means or not item.scale.integer or span.whole
    return fractions_ok and low <= span.low and span.high <= high


def _outside(item: Item, values: NDArray[Any], means: bool) -> BoolArray:
    low, high = _bounds(item)
    outside: BoolArray = (values < low) | (values > high)
    if item.scale is not None and item.scale.integer and not means and values.dtype.kind == "f":
        outside |= (values != np.rint(values)) & ~np.isnan(values)
    return outside
