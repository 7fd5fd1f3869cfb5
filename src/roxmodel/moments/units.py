"""Keys of units: one canonical form, one order, one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.types import FloatArray, IntArray

__all__ = ["canonical", "ordered", "overlay", "positions", "union"]


def canonical(unit: Hashable) -> Hashable:
    """Give equal keys one form: 5, np.int64(5) and 5.0 (from a column that once held NaN) are one unit."""
    plain = unit.item() if isinstance(unit, np.integer | np.floating | np.bool_ | np.str_) else unit
    if isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if plain is None or plain != plain:  # noqa: PLR0124 - only a missing value differs from itself
        raise DataError(f"A unit key is missing ({unit!r}).", hint="Rows without a unit have the code -1.")
    return plain


def ordered(units: Iterable[Hashable]) -> tuple[tuple[Hashable, ...], list[int] | None]:
    """Sort unit keys by (type name, value); the order is None where they come so."""
    keys = list(units)
    if not {type(key) for key in keys} <= {int, str}:
        keys = [canonical(key) for key in keys]
    if len(set(keys)) < len(keys):
        twice = [key for key, times in Counter(keys).items() if times > 1]
        raise DataError(f"Unit {listed(twice)} occurs more than once.", hint="Every unit key must be unique.")
    typed: list[tuple[str, Any]] = [(type(key).__name__, key) for key in keys]
    places = range(len(keys))
    try:
        order = sorted(places, key=typed.__getitem__)
    except TypeError:  # keys that cannot be compared, such as tuples with None
        order = sorted(places, key=lambda k: (typed[k][0], repr(keys[k])))
    return tuple(keys[k] for k in order), None if order == list(places) else order


def union(*parts: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Units of all parts, in order."""
    return ordered(dict.fromkeys(unit for part in parts for unit in part))[0]


def positions(units: Sequence[Hashable], among: Sequence[Hashable]) -> IntArray:
    """Places of units among others."""
    place = {unit: k for k, unit in enumerate(among)}
    return np.array([place[unit] for unit in units], dtype=np.int64)


def overlay(
    units: Sequence[Hashable], parts: Sequence[tuple[Sequence[Hashable], FloatArray]], names: Sequence[str]
) -> FloatArray:
    """Lay tables (own units, (g, q) values) over one another: (G, q), NaN where no part knows the value."""
    values = np.full((len(units), len(names)), np.nan)
    for own, new in parts:
        at = positions(own, units)
        old = values[at]
        for g, k in np.argwhere(~(np.isnan(old) | np.isnan(new) | (old == new)))[:1]:
            problem = f"{names[k]!r} of unit {own[g]!r} is {old[g, k]:g} in one part, {new[g, k]:g} in another."
            raise DataError(problem, hint="Give it once, or twice the same.")
        values[at] = np.where(np.isnan(new), old, new)
    return values
