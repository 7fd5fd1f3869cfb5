"""Unit keys: which rows belong to which unit, whatever type the key has."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.survey.frames import Frame, require_columns
from roxmodel.types import IntArray

__all__ = ["Keys", "order_of", "read_keys", "refuse_mixed_types", "refuse_twice"]


@dataclass(frozen=True, slots=True)
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


def order_of(unit: Hashable) -> tuple[str, Any]:
    """Sorting key that puts units of any one type in their natural order."""
    return type(unit).__name__, unit


def read_keys(source: str, frame: Frame, by: str) -> Keys:
    """Read the unit key of every row.

    Raises
    ------
    DataError
        If the column is not there, or names no unit at all.
    """
    import pandas as pd

    require_columns(source, frame, [by])
    native = frame[by].to_native()
    column = native if isinstance(native, pd.Series) else frame[by].to_numpy()
    codes, found = pd.factorize(column)
    plain = [_plain(value) for value in found]
    units = tuple(sorted(set(plain), key=order_of))
    if not units:
        raise DataError(f"The column {by!r} of the {source} frame names no unit: all {len(frame)} rows are empty.")
    place = {unit: position for position, unit in enumerate(units)}
    ranks = np.array([place[unit] for unit in plain] + [-1], dtype=np.int64)
    return Keys(ranks[codes], units)


def refuse_twice(source: str, by: str, keys: Keys) -> None:
    """Refuse a unit that has two rows where one is meant."""
    counts = np.bincount(keys.codes[keys.codes >= 0], minlength=len(keys.units))
    twice = [keys.units[place] for place in np.flatnonzero(counts > 1)]
    if twice:
        raise DataError(
            f"The {source} frame has more than one row for the {by} {listed(twice, 3)}.",
            hint="Give one row a unit: drop the duplicates, or aggregate them first.",
        )


def refuse_mixed_types(by: str, units_of: Sequence[tuple[str, Sequence[Hashable]]]) -> None:
    """Refuse keys that are text in one frame and numbers in another: they would never match."""
    kinds = {source: {type(unit).__name__ for unit in units} for source, units in units_of if units}
    numbers = {"int", "float"}
    texts = [source for source, kind in kinds.items() if not kind & numbers]
    others = [source for source, kind in kinds.items() if kind & numbers]
    if texts and others:
        first = next(units[0] for source, units in units_of if source == texts[0])
        second = next(units[0] for source, units in units_of if source == others[0])
        raise DataError(
            f"The key {by!r} is text in the {texts[0]} frame (for example {first!r}) and a number in the "
            f"{others[0]} frame (for example {second!r}), so no unit can match.",
            hint="Give the key one type in all frames (mind leading zeros).",
        )


def _plain(value: Any) -> Hashable:
    """A plain Python key; 1.0 and 1 are the same unit."""
    unit: Hashable = value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
    return int(unit) if isinstance(unit, float) and unit.is_integer() else unit
