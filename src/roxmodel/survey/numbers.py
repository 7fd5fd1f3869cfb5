"""Numbers from columns: whatever a frame holds, as real numbers with NaN for missing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.survey.frames import Frame, distinct, holds_text, plain_numbers, raw_column, require_columns
from roxmodel.survey.misread import text_advice
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOOKED_AT = 500  # distinct texts that say what a column holds

__all__ = ["LARGEST", "count_column", "number_column"]

LARGEST = 1e50  # whose fourth power, and the sum of many such, is still a number; its inverse likewise


def number_column(source: str, frame: Frame, name: str, codes: Mapping[str, float]) -> NDArray[Any]:
    """One column as real numbers with NaN for missing.

    Numbers keep their type, so that nothing is copied.

    Parameters
    ----------
    source, frame, name
        Whose column.
    codes
        Text answer to number; empty where text is no answer.

    Returns
    -------
    ndarray
        (n,) integers or floats.

    Raises
    ------
    DataError
        If the column holds text (or dates, lists ...) that no label explains; names the column, the text and
        how often.

    Examples
    --------
    >>> from roxmodel.survey.frames import open_frame
    >>> frame = open_frame("employee", {"p1": ["no", "yes", None]})
    >>> number_column("employee", frame, "p1", {"no": 0, "yes": 1})
    array([ 0.,  1., nan])
    """
    plain = plain_numbers(frame, name)
    if plain is not None:
        return plain
    if holds_text(frame, name):
        return _translated(source, name, distinct(frame, name), codes)
    values = raw_column(frame, name)
    if values.ndim != 1:
        raise DataError(f"Column {name!r} of the {source} frame holds nested values, not numbers.")
    if values.dtype.kind in "fiu":
        return values
    if values.dtype.kind == "b":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        raise DataError(f"Column {name!r} of the {source} frame holds {values.dtype}, not numbers.")
    return _from_objects(source, name, values, codes)


def count_column(source: str, frame: Frame, name: str) -> FloatArray:
    """One column as (n,) floats that are whole, 0 or above, or NaN for missing.

    Raises
    ------
    DataError
        As `number_column`, and for a negative, fractional or infinite count.
    """
    require_columns(source, frame, [name])
    counts = number_column(source, frame, name, {}).astype(np.float64)
    wrong = counts[(counts < 0) | (counts > LARGEST) | (counts != np.floor(counts)) & ~np.isnan(counts)]
    if len(wrong):
        problem = f"Column {name!r} of the {source} frame has the count {wrong[0]:g}."
        raise DataError(problem, allowed="whole numbers, 0 or above")
    return counts


def _from_objects(source: str, name: str, values: NDArray[Any], codes: Mapping[str, float]) -> FloatArray:
    import pandas as pd

    try:
        places, unique = pd.factorize(values)
    except TypeError:
        problem = f"Column {name!r} of the {source} frame holds nested values, not numbers."
        raise DataError(problem, hint="Give each answer a column of its own.") from None
    return _translated(source, name, (places, list(unique)), codes)


def _translated(source: str, name: str, found: tuple[IntArray, list[Any]], codes: Mapping[str, float]) -> FloatArray:
    """Numbers of distinct values, laid out as they occur."""
    places, values = found
    numbers = np.full(len(values) + 1, np.nan)  # the last is for the missing, whose place is -1
    unread: list[int] = []
    for place, value in enumerate(values):
        number = codes.get(value) if isinstance(value, str) else _number(value)
        if number is None:
            unread.append(place)
        else:
            numbers[place] = number
    if unread:
        times = np.bincount(places[places >= 0], minlength=len(values))
        found_texts = [(values[u], int(times[u])) for u in unread]
        texts = [u for u in unread if isinstance(values[u], str)]
        first = [int(np.argmax(places == u)) for u in texts[:_LOOKED_AT]]
        known = len(values) - len(unread)
        looked = [values[u] for u in texts[:_LOOKED_AT]]
        advice = text_advice(name, looked, first, known, bool(codes)) if texts else None
        raise _text_error(source, name, found_texts, codes, advice)
    laid: FloatArray = numbers[places]
    return laid


def _number(value: object) -> float | None:
    if not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _text_error(
    source: str,
    name: str,
    found: list[tuple[object, int]],
    codes: Mapping[str, float],
    advice: tuple[str, str] | None,
) -> DataError:
    shown = ", ".join(f"{value!r} ({times}×)" for value, times in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    if advice is not None:
        what, hint = advice
        return DataError(f"Column {name!r} of the {source} frame holds {what}: {shown}{more}.", hint=hint)
    if codes:
        return DataError(
            f"Item {name!r} of the {source} frame has answers that no label explains: {shown}{more}.",
            allowed=listed(codes),
            hint="Correct the labels of the scale, or the answers.",
        )
    kind = "text" if isinstance(found[0][0], str) else type(found[0][0]).__name__
    return DataError(
        f"Column {name!r} of the {source} frame holds {kind} where numbers belong: {shown}{more}.",
        hint="Convert it to numbers; or, if these are answers in words, give the item's scale its labels, such as "
        "rox.Likert(1, 5, labels=[...]) or rox.Binary(labels=['no', 'yes']).",
    )
