"""What is given, checked: names, numbers, matrices, counts; keys of units in one form, one order, one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from roxmodel.errors import DataError, did_you_mean, listed
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "PRINTED", "canonical", "count", "distinct", "frequencies", "frozen", "index", "numbers", "ordered", "overlay",
    "positions", "require_positive_definite", "square", "union", "unit_hint",
]  # fmt: skip


_SINGULAR = 1e-8  # smallest eigenvalue of a correlation matrix that still carries information
PRINTED = 1e-6  # disagreement allowed between the halves of a printed matrix, in correlations


def numbers(block: ArrayLike, names: Sequence[str]) -> FloatArray:
    """A block of rows as numbers, NaN for missing, its columns in the order of the names."""
    _require_order(block, names)
    try:
        rows = np.atleast_2d(np.asarray(block, dtype=np.float64))
    except (TypeError, ValueError) as cause:
        problem = f"The rows of {listed(names)} are not all numbers ({cause})."
        raise DataError(problem, hint="Recode text to numbers; use NaN for a missing answer.") from cause
    if rows.shape[1:] != (len(names),):
        raise DataError(f"Rows of shape {rows.shape} do not fit the {len(names)} names {listed(names)}.")
    for k in np.flatnonzero(np.isinf(rows).any(axis=0))[:1]:
        raise DataError(f"{names[k]!r} has an infinite value.", hint="Use NaN for a missing answer.")
    return rows


def _require_order(table: object, names: Sequence[str]) -> None:
    """Refuse a labelled table that has the names in another order: its numbers would be mixed up."""
    labels = list(getattr(table, "columns", names))
    if labels != list(names) and set(labels) == set(names):
        problem = f"The columns {listed(labels)} are in another order than the names {listed(names)}."
        raise DataError(problem, hint="Reorder one of them.")


def square(matrix: ArrayLike | Sequence[Sequence[float]], names: Sequence[str], what: str) -> FloatArray:
    """Fill up a printed lower triangle or check a whole matrix; rounding between its halves is averaged."""
    _require_order(matrix, names)
    p = len(distinct(names, "variable"))
    got: object = [np.size(row) for row in matrix] if isinstance(matrix, list | tuple) else np.shape(matrix)
    try:
        if isinstance(matrix, list | tuple) and got == [*range(1, p + 1)]:
            matrix = [[*row, *(later[k] for later in matrix[k + 1 :])] for k, row in enumerate(matrix)]
        full = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        full = np.full(1, np.nan)  # ragged, or text
    if full.shape != (p, p):
        problem = f"The {what} matrix of {listed(names)} has rows of {got} numbers, or text in it."
        raise DataError(problem, allowed=f"{p} rows of {p}, or the lower triangle: rows of 1, 2, ... {p}")
    for a, b in np.argwhere(~np.isfinite(full))[:1]:
        problem = f"The {what} of {names[a]!r} and {names[b]!r} is {full[a, b]:g}."
        raise DataError(problem, hint="Give a finite number.")
    scale = np.sqrt(np.abs(np.outer(full.diagonal(), full.diagonal())))
    for a, b in np.argwhere(np.abs(full - full.T) > PRINTED * scale)[:1]:
        values = f"{full[a, b]:g} above and {full[b, a]:g} below the diagonal"
        raise DataError(f"The {what} of {names[a]!r} and {names[b]!r} is {values}.", hint="Correct one.")
    return np.asarray((full + full.T) / 2.0)


def require_positive_definite(r: FloatArray, names: Sequence[str]) -> None:
    """Refuse a correlation matrix that no persons can have, or that repeats a variable."""
    for a, b in np.argwhere(np.abs(r) > 1.0 + PRINTED)[:1]:
        problem = f"The correlation of {names[a]!r} and {names[b]!r} is {r[a, b]:g}."
        raise DataError(problem, allowed="-1 to 1")
    values, vectors = np.linalg.eigh(r)
    if values[0] < _SINGULAR:
        share = np.abs(vectors[:, 0])
        culprits = [names[k] for k in np.argsort(-share, kind="stable") if share[k] > 0.3 * share.max()]
        problem = (
            f"The matrix is not positive definite: {listed(culprits)} contradict or repeat one another "
            f"(smallest eigenvalue of the correlations {values[0]:.2g})."
        )
        hint = (
            "Check these entries for typing errors; leave out a variable that is the sum or a copy of others; "
            "replace correlations computed pair by pair by those of the complete rows."
        )
        raise DataError(problem, hint=hint)


def distinct(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Names, refused if one stands twice."""
    given = tuple(names)
    twice = [name for name, times in Counter(given).items() if times > 1]
    if twice:
        problem = f"The {what} {listed(twice)} occurs more than once."
        raise DataError(problem, hint="Every name must be unique.")
    if not given:
        raise DataError(f"There is no {what}.", hint="Name at least one.")
    return given


def index(wanted: Sequence[str], names: Sequence[str], what: str) -> list[int]:
    """Places of the wanted names."""
    for name in distinct(wanted, what):
        if name not in names:
            raise DataError(f"There is no {what} {name!r}.", hint=did_you_mean(name, names))
    return [names.index(name) for name in wanted]


def count(n: object) -> int:
    """A number of rows, at least 2."""
    if n is None:
        raise DataError("The number of persons behind the matrix is missing.", hint="Give n=.")
    if isinstance(n, bool) or not isinstance(n, int | float | np.integer) or not 2 <= n < np.inf or n != int(n):
        raise DataError(f"n is {n!r}; it must be a whole number, at least 2.")
    return int(n)


def frequencies(frequency: ArrayLike, n: int) -> FloatArray:
    """Counts of rows, whole and positive."""
    f = frozen(frequency, (n,), "frequency")
    for wrong in f[(f < 0) | (f % 1 != 0)][:1]:
        problem = f"A frequency is {wrong:g}; frequencies are whole numbers, 0 or above."
        raise DataError(problem, hint="Sampling weights belong into weight=.")
    return f


def frozen(values: ArrayLike, shape: tuple[int, ...], what: str) -> FloatArray:
    """Copy finite numbers of that shape, read-only."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"The {what} has shape {array.shape}; {shape} was expected.")
    for wrong in array[~np.isfinite(array)][:1]:
        raise DataError(f"The {what} has an entry {wrong}; finite numbers were expected.")
    array.flags.writeable = False
    return array


def canonical(unit: Hashable) -> Hashable:
    """Give equal keys one form: 5, np.int64(5) and 5.0 (from a column that once held NaN) are one unit."""
    plain = unit.item() if isinstance(unit, np.integer | np.floating | np.bool_ | np.str_) else unit
    if isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if plain is None or plain != plain:  # noqa: PLR0124 - only a missing value differs from itself
        raise DataError(f"A unit key is missing ({unit!r}).", hint="Rows without a unit have the code -1.")
    return plain


def unit_hint(unknown: object, known: Iterable[Hashable]) -> str:
    """What was probably meant by a unit that is not there: the same of another type, or one spelt like it."""
    keys = list(known)
    twin = next((key for key in keys if str(key) == str(unknown)), None)
    if twin is not None:
        return f"The study's keys are of type {type(twin).__name__!r}: write {twin!r}."
    return did_you_mean(str(unknown), [str(key) for key in keys])


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
