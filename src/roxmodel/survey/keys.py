"""Unit keys: which rows belong to which unit, whatever type the key has."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.survey.frames import Frame, distinct, raw_dtype, require_columns
from roxmodel.types import BoolArray, IntArray

__all__ = ["Keys", "read_keys", "refuse_mixed_types", "refuse_rounded", "refuse_twice"]

_EXPONENT = re.compile(r"\s*[+-]?\d(?:[.,]\d+[eE]\+?|[eE]\+)\d+\s*")  # how a spreadsheet writes a long number
_FIRST, _LAST = frozenset("0123456789+- "), frozenset("0123456789., ")  # of such a text
_POINT = re.compile(r"\s*[+-]?\d+[.,]0*\s*")  # a whole number that went through a float
_WHOLE = {2: 2**11, 4: 2**24, 8: 2**53}  # bytes of a float -> from where it does not hold every whole number


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Rows to units.

    Attributes
    ----------
    codes
        (n,) place of each row's unit in `units`, -1 for a row without a unit.
    units
        The units, sorted, so that row order never matters.
    """

    codes: IntArray
    units: tuple[Hashable, ...]

    @property
    def without(self) -> int:
        """Rows that name no unit."""
        return int((self.codes < 0).sum())

    @property
    def used(self) -> BoolArray | None:
        """(n,) rows that name a unit; None if all do."""
        return self.codes >= 0 if (self.codes < 0).any() else None

    @property
    def row(self) -> IntArray:
        """(G,) row of each unit, where every unit has one row."""
        rows = np.flatnonzero(self.codes >= 0)
        place = np.empty(len(self.units), dtype=np.int64)
        place[self.codes[rows]] = rows
        return place


def read_keys(source: str, frame: Frame, by: str) -> Keys:
    """Read the unit key of every row; missing and blank ones name no unit.

    Raises
    ------
    DataError
        If the column is not there, names no unit at all, holds what is no key, or whole numbers that were rounded.

    Examples
    --------
    >>> from roxmodel.survey.frames import open_frame
    >>> keys = read_keys("employee", open_frame("employee", {"store": [7.0, None, 3.0, 7.0]}), "store")
    >>> keys.units, keys.codes.tolist()
    ((3, 7), [1, -1, 0, 1])
    """
    require_columns(source, frame, [by])
    try:
        codes, found = distinct(frame, by)
    except (TypeError, ValueError):
        problem = f"The column {by!r} of the {source} frame holds nested values, which are no keys."
        raise DataError(problem, hint="Make it text or a whole number.") from None
    refuse_rounded(f"The column {by!r} of the {source} frame", found, raw_dtype(frame, by))
    plain = [_plain(value) for value in found]
    units = _sorted(unit for unit in set(plain) if not _blank(unit))
    if not units:
        raise DataError(f"The column {by!r} of the {source} frame names no unit: all {len(frame)} rows are empty.")
    place = {unit: position for position, unit in enumerate(units)}
    ranks = np.array([place.get(unit, -1) for unit in plain] + [-1], dtype=np.int64)
    return Keys(ranks[codes], units)


def refuse_rounded(whose: str, values: Iterable[Any], dtype: str = "") -> None:
    """Refuse whole-number ids that went through floating point: beyond 2^53 different ids became one.

    Parameters
    ----------
    whose
        Beginning of the sentence: which column of which frame.
    values
        Distinct values of the column.
    dtype
        Of the column: 32-bit floats lose whole numbers from 2^24 on.

    Raises
    ------
    DataError
        Naming the column, with an example: a float, text in exponent notation or with ".0", or a Decimal with an
        exponent, so large that a float does not tell neighbours apart.

    Examples
    --------
    >>> refuse_rounded("The column 'id'", [7.0, 10**17])
    >>> try:
    ...     refuse_rounded("The column 'id'", [1e17])
    ... except DataError as error:
    ...     print(error.problem[:72])
    The column 'id' holds whole numbers that went through floating point, su
    """
    size = 4 if "32" in dtype else 2 if "16" in dtype else 8
    for value in values:
        if _rounded(value, _WHOLE[size]):
            shown = f"{value:.17g}" if isinstance(value, float | np.floating) else repr(value)
            raise DataError(
                f"{whose} holds whole numbers that went through floating point, such as {shown}: floats of {8 * size} "
                f"bits tell whole numbers apart up to {_WHOLE[size]:,} only, so different ids have become one.",
                hint="Read the column again as text (pandas: dtype=str) or as 64-bit whole numbers ('Int64' allows "
                "missing ones); what was lost cannot be restored here.",
            )


def _rounded(value: Any, most: int) -> bool:
    """Whether a key is a whole number that a float cannot be trusted with."""
    if isinstance(value, float | np.floating):
        return math.isfinite(value) and abs(float(value)) >= most
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) >= _WHOLE[8] and int(value.as_tuple().exponent) > 0
    if (
        isinstance(value, str)
        and value[-1:] in _LAST
        and value[:1] in _FIRST
        and (_EXPONENT.fullmatch(value) or _POINT.fullmatch(value))
    ):
        try:
            number = float(value.replace(",", "."))
        except ValueError:
            return False
        return abs(number) >= _WHOLE[8]
    return False


def refuse_twice(source: str, by: str, keys: Keys) -> None:
    """Refuse a unit that has two rows where one is meant.

    Raises
    ------
    DataError
        Naming the units.
    """
    counts = np.bincount(keys.codes[keys.codes >= 0], minlength=len(keys.units))
    twice = [keys.units[place] for place in np.flatnonzero(counts > 1)]
    if twice:
        raise DataError(
            f"The {source} frame has more than one row for the {by} {listed(twice, 3)}.",
            hint="Give one row a unit: drop the duplicates, or aggregate them first.",
        )


def refuse_mixed_types(by: str, units_of: Sequence[tuple[str, Sequence[Hashable]]]) -> None:
    """Refuse keys that are text in one frame and numbers in another: they would never match.

    Raises
    ------
    DataError
        Naming two frames that share no type of key, with an example of each.
    """
    kinds = [(source, {_kind(unit) for unit in units}, units[0]) for source, units in units_of if units]
    for source, kind, example in kinds[1:]:
        first, known, other = kinds[0]
        if not kind & known:
            raise DataError(
                f"The key {by!r} is {' or '.join(sorted(known))} in the {first} frame (for example {other!r}) "
                f"and {' or '.join(sorted(kind))} in the {source} frame (for example {example!r}), so no unit "
                "can match.",
                hint="Give the key one type in all frames (mind leading zeros).",
            )


def _kind(unit: Hashable) -> str:
    if isinstance(unit, str):
        return "text"
    return "a number" if isinstance(unit, int | float | Decimal) else type(unit).__name__


def _plain(value: Any) -> Hashable:
    """Give a key one form: 1.0, Decimal(1) and 1 are the same unit."""
    unit: Hashable = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(unit, float | Decimal) and math.isfinite(unit) and unit == unit // 1
    return int(unit) if whole else unit  # type: ignore[call-overload]


def _blank(unit: Hashable) -> bool:
    return isinstance(unit, str) and not unit.strip()


def _sorted(units: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Sort within each type; values that cannot be compared are sorted as they are printed."""
    keys: list[Any] = list(units)
    try:
        return tuple(sorted(keys, key=lambda unit: (type(unit).__name__, unit)))
    except TypeError:
        return tuple(sorted(keys, key=lambda unit: (type(unit).__name__, repr(unit))))
