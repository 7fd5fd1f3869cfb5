"""Answers against their items: what is missing, outside the scale, constant or infinite; all columns of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import DataError
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item
from roxmodel.survey import frames
from roxmodel.survey.keys import refuse_rounded
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answers", "Columns", "columns_of", "read_answers"]

_NOTHING = 1e-300  # a spread below which there are hardly digits to differ in
_BLOCK = 1 << 14  # answers scanned at once, to stay in cache
_MOST_PERSONS = 1e9  # that one row may stand for: a test over 1e15 and more has no digits left
_SHORT = 100_000  # rows up to which a frame may be copied whole


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The answers to one item."""

    item: Item  # the question
    values: NDArray[Any]  # (n,) real numbers as answered (not reversed), NaN where missing
    coerced: int = 0  # how many answers outside the scale were turned into missing ones

    @property
    def turned(self) -> NDArray[Any]:
        """(n,) as they are read: reversed items turned round."""
        sign, offset = self.item.reading
        return self.values if (sign, offset) == (1.0, 0.0) else offset + sign * self.values


@dataclass(frozen=True, slots=True)
class _Span:
    """What one look at the answers shows: the smallest and largest (NaN: none), and whether all are whole."""

    low: float
    high: float
    whole: bool


def read_answers(
    source: str, frame: frames.Frame, item: Item, *, coerce: bool, means: bool = False, used: BoolArray | None = None
) -> Answers:
    """Read the answers to one item; useless ones or those outside the scale are a DataError: item, value and count.

    `coerce`: answers outside the scale become missing (and are counted) instead of raising. `means`: the numbers are
    unit means, so that fractions are right on a scale of whole points. `used`: (n,) rows that count, None for all.
    """
    codes = item.scale.codes if item.scale is not None else {}
    values = frames.number_column(source, frame, item.name, codes)
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
    if max(-span.low, span.high) > frames.LARGEST:
        count = int((np.abs(values.astype(np.float64)) > frames.LARGEST).sum())
        raise DataError(
            f"Item {item.name!r} of the {source} frame has {count} infinite or astronomically large value(s).",
            hint="Replace them by a number or by a missing value; give figures of that size in a larger unit.",
        )
    if _NOTHING <= span.high - span.low < 1 / frames.LARGEST:
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


@dataclass(frozen=True, slots=True)
class Columns:
    """The frame as arrays."""

    values: FloatArray  # (n, p) answers, reversed items turned, one item's answers side by side in memory
    holes: BoolArray  # (p,) which items have missing answers
    weights: FloatArray | None  # (n,) sampling weights or frequencies, or None
    groups: tuple[IntArray | None, tuple[str, ...]]  # (n,) codes 0…G-1, and the labels in order of appearance
    clusters: IntArray | None  # (n,) codes, or None


def columns_of(
    model: RoxModel, native: object, *, group: str | None = None, cluster: str | None = None,
    weight: str | None = None, frequency: str | None = None,
) -> Columns:  # fmt: skip
    """Read the one frame that holds all items of a person in a row."""
    frames.refuse_matrix(native)
    others = [column for column in (group, cluster, weight, frequency) if column is not None]
    names = [item.name for item in model.items]
    for name in others:
        if name in names:
            raise DataError(
                f"The column {name!r} is an item of the model and was to group or weigh the rows too.",
                hint="Leave it out of the model, or name another column.",
            )
    frame = frames.open_frame("data", native, [*names, *others])
    frames.require_columns("data", frame, names)
    frames.require_columns("data", frame, others)
    values, holes = np.empty((len(names), len(frame))).T, np.zeros(len(names), dtype=bool)
    plain = _plain_columns(model, native, len(frame))
    if plain is not None:
        values[:] = plain
        holes[:] = np.isnan(plain).any(axis=0)
    for place, item in enumerate(model.items) if plain is None else ():
        values[:, place] = read_answers("data", frame, item, coerce=False).turned
        holes[place] = np.isnan(values[:, place]).any()
    named, option = (weight, "weight") if weight is not None else (frequency, "frequency")
    weights = None if named is None else _weights(frame, named, option)
    codes, labels = _labelled(frame, group, "group") if group is not None else (None, ("",))
    clusters = None if cluster is None else _labelled(frame, cluster, "cluster")[0]
    return Columns(values, holes, weights, (codes, labels), clusters)


def _plain_columns(model: RoxModel, native: object, rows: int) -> FloatArray | None:
    """All items of a short pandas frame of floats at once, if nothing needs a look at each answer; else None.

    A look at each column costs a tenth of a millisecond, which is most of the time of a small fit. Whatever might have
    to be refused, turned or checked against a scale goes the way of every other frame.
    """
    import pandas as pd

    names = [item.name for item in model.items]
    if rows > _SHORT or not isinstance(native, pd.DataFrame) or not native.columns.is_unique:
        return None
    if any(item.scale is not None or item.reading != (1.0, 0.0) for item in model.items):
        return None
    own = native if list(native.columns) == names else native[names]
    if any(dtype != np.float64 for dtype in own.dtypes):
        return None
    found = own.to_numpy(dtype=np.float64)
    there = ~np.isnan(found)
    if not there.any(axis=0).all() or not (np.abs(found[there]) < frames.LARGEST).all():
        return None
    spread = np.nanmax(found, axis=0) - np.nanmin(found, axis=0)
    return found if (spread >= 1 / frames.LARGEST).all() else None


def _weights(frame: frames.Frame, name: str, option: str) -> FloatArray:
    weights = np.asarray(frames.number_column("data", frame, name, {}), dtype=np.float64)
    most = frames.LARGEST if option == "weight" else _MOST_PERSONS
    bad = ~((weights >= 0) & (weights <= most))
    if option == "frequency":
        bad |= weights != np.round(weights)
    if bad.any():
        kind = "whole numbers" if option == "frequency" else "numbers"
        raise DataError(
            f"{option}= column {name!r} holds {weights[bad][0]:g} in {int(bad.sum())} row(s).",
            allowed=f"{kind} from 0 to {most:g}",
        )
    if not weights.any():
        raise DataError(f"{option}= column {name!r} is 0 in every row.", hint="Leave it out.")
    return weights


def _labelled(frame: frames.Frame, column: str, option: str) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0…G-1 in order of appearance, and the labels."""
    import pandas as pd

    values = frames.raw_column(frame, column).tolist()
    given = np.empty(len(values), dtype=object)
    given[:] = values
    try:
        codes, found = pd.factorize(given)
    except (TypeError, ValueError):
        raise DataError(
            f"{option}= column {column!r} holds nested values.", hint="Make it text or a whole number."
        ) from None
    refuse_rounded(f"{option}= column {column!r}", found, frames.raw_dtype(frame, column))
    blank = np.array([isinstance(label, str) and not label.strip() for label in found] + [True])
    missing = int(blank[codes].sum())
    if missing:
        raise DataError(f"{option}= column {column!r} is empty in {missing} row(s).", hint="Fill it or drop the rows.")
    if len(found) < 2:
        raise DataError(f"{option}= column {column!r} holds one {option} only.", allowed="at least 2")
    labels = tuple(str(label) for label in found)
    if option == "group" and len(set(labels)) < len(labels):
        twin = next(label for label in labels if labels.count(label) > 1)
        raise DataError(
            f"{option}= column {column!r} holds different values that are written alike: {twin!r}.",
            hint="Make them all text, or all numbers.",
        )
    return np.asarray(codes, dtype=np.int64), labels
