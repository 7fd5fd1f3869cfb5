"""Rows to sums of pairs of items by unit, and how they merge (Chan, Golub & LeVeque 1983).

doi 10.1080/00031305.1983.10483115. What is given is checked: names, numbers, matrices, counts; keys of units have one
form, one order, one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roxmodel.errors import DataError, did_you_mean, listed
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "BATCH", "PRINTED", "Design", "Pairs", "blank", "canonical", "chan", "compact", "condense", "condense_block",
    "count", "diagonal", "distinct", "five", "frequencies", "frozen", "index", "kish", "kish_of", "numbers", "ordered",
    "overlay", "positions", "put", "ratio", "require_positive_definite", "scaled", "square", "union", "unit_hint",
    "view",
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


def kish_of(weight: FloatArray, squares: FloatArray) -> FloatArray:
    """Kish's effective number of rows, (Σ w)² / Σ w²: so many unweighted ones would say as much of a mean.

    Of any shape; 0 where nobody has a weight. Kish (1965), Survey sampling, section 11.2; Kish (1992), Weighting for
    unequal P_i, J. Official Statistics 8, 183-200.
    """
    return np.divide(weight**2, squares, out=np.zeros(np.shape(squares)), where=squares > 0)


def kish(weights: FloatArray) -> float:
    """The same of the rows' own weights.

    >>> kish(np.array([1.0, 1.0, 2.0, 2.0])).__round__(2)
    3.6
    """
    return float(kish_of(weights.sum(), (weights**2).sum()))


# n [, weight, weight2], pair_mean, scatter of some units: arrays as small as they broadcast to (units, p, p)
Pairs: TypeAlias = Sequence[FloatArray]


def blank(units: int, p: int, counts: int) -> list[FloatArray]:
    """Empty sums of so many units and items."""
    nobody = [np.zeros((units, 1, 1)) for _ in range(counts)]
    return [*nobody, np.full((units, p, 1), np.nan), np.zeros((units, p, p))]


def five(pairs: Pairs) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Spell out weight and weight2 where they are n."""
    n, weight, weight2, mean, scatter = pairs if len(pairs) == 5 else (pairs[0], pairs[0], *pairs)
    return n, weight, weight2, mean, scatter


def put(total: list[FloatArray], at: IntArray, part: Pairs, fresh: bool) -> None:
    """Put (fresh) or merge `part` into the units `at` of `total`, which grows where the part needs room."""
    if not fresh:
        part = chan([array[at] for array in total], part)
    for k, new in enumerate(part):
        shape = np.broadcast_shapes(total[k].shape[1:], new.shape[1:])
        if shape != total[k].shape[1:]:
            total[k] = np.broadcast_to(total[k], (len(total[k]), *shape)).copy()
        total[k][at] = new


def chan(a: Pairs, b: Pairs) -> list[FloatArray]:
    """Merge two sets of pairs, unit by unit, without cancellation (Chan, Golub & LeVeque 1983)."""
    w_a, w_b = (part[(len(part) - 2) // 2] for part in (a, b))
    gap = np.where((w_a > 0) & (w_b > 0), b[-2] - a[-2], 0.0)
    share = ratio(w_b, w_a + w_b, 0.0)
    mean = np.where(w_a > 0, a[-2], b[-2]) + share * gap
    known_a, known_b = (np.where(part[0] > 1, part[-1], 0.0) for part in (a, b))  # one answer has no scatter
    scatter = known_a + known_b + w_a * share * gap * gap.swapaxes(1, 2)
    return [*(x + y for x, y in zip(a[:-2], b[:-2], strict=True)), mean, scatter]


def ratio(top: FloatArray, bottom: FloatArray, otherwise: float) -> FloatArray:
    """Divide where `bottom` is above 0."""
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    return np.asarray(np.divide(top, bottom, out=np.full(shape, otherwise), where=bottom > 0))


def scaled(covariance: FloatArray) -> FloatArray:
    """A covariance as a correlation."""
    sd = np.sqrt(covariance.diagonal())
    r = ratio(covariance, np.outer(sd, sd), np.nan)
    np.fill_diagonal(r, 1.0)
    return r


def diagonal(pairs: FloatArray) -> FloatArray:
    """Diagonal of each unit's pairs, (units, p)."""
    return np.asarray(np.diagonal(pairs, axis1=1, axis2=2))


def compact(array: FloatArray) -> FloatArray:
    """Undo broadcasting over the items."""
    if array.ndim < 3:
        return array
    return array[:, : 1 if array.strides[1] == 0 else None, : 1 if array.strides[2] == 0 else None]


def view(array: FloatArray, order: list[int] | None, shape: tuple[int, ...], what: str) -> FloatArray:
    """View an array read-only in `shape`, its units (first axis) reordered."""
    given = np.asarray(array, dtype=np.float64)
    try:
        full = np.broadcast_to(given, shape)
    except ValueError:
        raise DataError(f"The {what} has shape {given.shape}; {shape} was expected.") from None
    return full if order is None else np.broadcast_to(compact(full)[order], shape)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Where the n respondents of a source belong and what each row counts for.

    Codes outside the units, negative weights and frequencies that are no counts are a DataError.

    >>> Design(np.array([0, 1, 1]), ["north", "south"], weight=np.array([1.0, 2, 0])).used_codes()
    array([ 0,  1, -1])
    """

    codes: IntArray  # (n,) place of the respondent's unit in `units`; -1: no unit, the row is ignored
    units: Sequence[Hashable]  # G keys, in any order
    weight: FloatArray | None = None  # (n,) sampling weights on any scale; a row of weight 0 is ignored; None: all 1
    frequency: FloatArray | None = None  # (n,) how many identical respondents a row stands for; None: all 1
    eligible: FloatArray | None = None  # (G,) how many people each unit could have asked; NaN = unknown
    team: IntArray | None = None  # (n,) a number for the respondent's team within the unit; -1: stands alone

    def __post_init__(self) -> None:
        codes, n = np.asarray(self.codes), np.size(self.codes)
        if codes.dtype.kind not in "iu" or codes.ndim != 1:
            problem = f"Unit codes are {codes.dtype} {codes.shape}."
            raise DataError(problem, allowed="one whole number a row")
        if n and not -1 <= codes.min() <= codes.max() < len(self.units):
            problem = f"Unit codes run from {codes.min()} to {codes.max()} for {len(self.units)} units."
            raise DataError(problem, allowed="-1 (no unit) to the number of units - 1")
        if self.frequency is not None:
            object.__setattr__(self, "frequency", frequencies(self.frequency, n))
        if self.weight is not None:
            weight = frozen(self.weight, (n,), "weight")
            if (weight < 0).any():
                raise DataError(f"A sampling weight is {weight.min():g}; weights must be 0 or above.")
            object.__setattr__(self, "weight", weight)

    def row_weights(self) -> tuple[FloatArray, ...]:
        """Say what the rows count for: (), (f,) or (f, f w, f w²), each (n,)."""
        if self.weight is None:
            return () if self.frequency is None else (self.frequency,)
        f = np.ones(len(self.weight)) if self.frequency is None else self.frequency
        return f, f * self.weight, f * self.weight**2

    def used_codes(self) -> IntArray:
        """(n,) unit codes, -1 also for rows that count for nothing."""
        codes = np.asarray(self.codes)
        for count in (self.weight, self.frequency):
            if count is not None and not count.all():
                codes = np.where(count > 0, codes, -1)
        return codes


BATCH = 8_000  # rows condensed at once, to stay in cache; no power of two, lest the columns collide there
_RESULT = 500_000  # entries of the result condensed at once, for the same reason
_LARGE = 64  # rows of a unit from which on its own product is worth a call
_GATHER = 4_000_000  # entries gathered at once from a table in random order (32 MB)


def condense(
    columns: Sequence[NDArray[Any]], design: Design, items: Sequence[str]
) -> tuple[list[FloatArray], FloatArray]:
    """Pairs and respondents (G,) of every unit."""
    p, rows, groups = len(columns), design.row_weights(), len(design.units)
    order, unit, start, length = _segments(design.used_codes(), groups)
    size, end = np.bincount(unit, weights=length, minlength=groups), np.concatenate([[0], np.cumsum(length)])
    total, respondents, table = blank(groups, p, max(len(rows), 1)), np.zeros(groups), [*columns, *rows]
    # Where each column is a stretch of memory of its own, many rows at once find more than one answer in a line of
    # cache; where the columns lie interleaved, a row is found at one place, and few rows at once stay in cache.
    scattered = order is not None and all(column.flags.c_contiguous for column in columns)
    room = max(BATCH, _GATHER // p) if scattered else BATCH
    buffer = np.empty((len(table), min(room, end[-1])))
    for first, last in _cuts(end, room, len(unit)):
        stop = start[first:last] + length[first:last]
        if order is None and (start[first + 1 : last] == stop[:-1]).all():  # the rows lie side by side
            for column, place in zip(table, buffer, strict=True):
                place[: end[last] - end[first]] = column[start[first] : stop[-1]]
        else:
            at = np.repeat(start[first:last] - end[first:last], length[first:last])
            at += np.arange(end[first], end[last])
            _gather(table, at if order is None else order[at], buffer, scattered)
        for a, b in _cuts(end[first : last + 1], BATCH, _RESULT // p**2):
            block = buffer[:, end[first + a] - end[first] : end[first + b] - end[first]]
            of, m = unit[first + a : first + b], length[first + a : first + b]
            pairs, count = condense_block(block, m, items)
            put(total, of, pairs, fresh=bool((size[of] == m).all()))
            respondents[of] += count
    return total, respondents


def condense_block(block: FloatArray, length: IntArray, items: Sequence[str]) -> tuple[Pairs, FloatArray]:
    """Condense B units whose rows lie side by side.

    `block`: (p + k, rows) answers, NaN = missing; below them what the rows count for, see `Design.row_weights`;
    overwritten. `length`: (B,) rows of each unit, at least 1. Returns the pairs of these units and (B,) their
    respondents.
    """
    z, rows, start = block[: len(items)], block[len(items) :], np.cumsum(length) - length
    w = rows[len(rows) // 2] if len(rows) else None
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.add.reduceat(z, start, axis=1)
        missing = None if np.isfinite(total).all() else np.isnan(z)
        if missing is not None:
            np.copyto(z, 0.0, where=missing)
            total = np.add.reduceat(z, start, axis=1)
            infinite = ~np.isfinite(total).all(axis=1)
            if infinite.any():
                problem = f"Item {items[int(infinite.argmax())]!r} has an infinite (or astronomic) answer."
                raise DataError(problem, hint="Use NaN for a missing answer.")
    if w is not None:
        total = np.add.reduceat(z * w, start, axis=1)
    if missing is not None:
        return _condense_holed(z, missing, total, rows, length)
    counts = [np.add.reduceat(row, start) for row in rows] or [length.astype(np.float64)]
    mean = total / counts[len(counts) // 2]
    z -= np.repeat(mean, length, axis=1)
    scatter = _products(z if w is None else z * w, z, length)
    return [*(c[:, None, None] for c in counts), mean.T[:, :, None], scatter], counts[0]


def _condense_holed(
    z: FloatArray, missing: BoolArray, total: FloatArray, rows: FloatArray, length: IntArray
) -> tuple[Pairs, FloatArray]:
    """Condense a block in which answers are missing."""
    answered, someone = (~missing).astype(np.float64), (~missing.all(axis=0)).astype(np.float64)
    counts = [_products(answered * row, answered, length) for row in rows]
    counts = counts or [_products(answered, answered, length)]
    weight = counts[len(counts) // 2]
    mean = ratio(total, diagonal(weight).T, 0.0)
    z -= np.repeat(mean, length, axis=1)
    z *= answered
    left = z * rows[len(rows) // 2] if len(rows) else z
    cross = _products(left, answered, length)  # [j, a, b]: sum of a over those who answered b
    shift = ratio(cross, weight, 0.0)
    pair_mean = np.where(weight > 0, mean.T[:, :, None] + shift, np.nan)
    scatter = _products(left, z, length) - cross * shift.swapaxes(1, 2)
    variance = np.einsum("jaa->ja", scatter)
    np.maximum(variance, 0.0, out=variance)  # rounding may leave -1e-30 where all answers are equal
    someone = someone * rows[0] if len(rows) else someone
    return [*counts, pair_mean, scatter], np.add.reduceat(someone, np.cumsum(length) - length)


def _products(left: FloatArray, right: FloatArray, length: IntArray) -> FloatArray:
    """(B, p, p) cross-products of (p, rows) arrays in which B units lie side by side."""
    p, end = len(left), np.cumsum(length)
    out, halves = np.empty((len(length), p, p)), (slice(p // 2), slice(p // 2, p))
    edges = [0, *(np.flatnonzero(np.diff(length)) + 1).tolist(), len(length)]
    for a, b in pairwise(edges):  # units of one size at a stroke
        lo, hi, shape = end[a] - length[a], end[b - 1], (p, b - a, length[a])
        x = left[:, lo:hi].reshape(shape).transpose(1, 0, 2)
        y = right[:, lo:hi].reshape(shape).transpose(1, 2, 0)
        for half in halves:  # numpy is slow at a whole matrix times its own transpose
            np.matmul(x[:, half], y, out=out[a:b, half])
    return out


def _segments(codes: IntArray, groups: int) -> tuple[IntArray | None, IntArray, IntArray, IntArray]:
    """Cut the rows into segments of one unit, at most `BATCH` long, the shortest first (or as they come).

    Returns (n,) rows sorted by unit, those without a unit first (None if they come so); (S,) unit, first place in that
    order and number of rows of each segment.
    """
    order = None
    if not (codes[1:] >= codes[:-1]).all():
        small = np.uint16 if groups < 2**16 else np.int64  # numpy sorts 16 bits by radix
        order = np.argsort((codes + 1).astype(small), kind="stable")
    size = np.bincount(codes + 1, minlength=groups + 1)
    pieces = -(-size[1:] // BATCH)
    unit = np.repeat(np.arange(groups), pieces)
    before = BATCH * (np.arange(len(unit)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
    length = np.minimum(BATCH, size[1:][unit] - before)
    by = np.argsort(length, kind="stable")  # units of one size are multiplied at a stroke
    if order is None and len(codes) >= _LARGE * max(len(unit), 1):
        by = np.arange(len(unit))  # large units are read faster where they lie
    return order, unit[by], (np.cumsum(size)[unit] + before)[by], length[by]


def _cuts(end: IntArray, rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut segments, which end at `end[1:]`, into groups of at most so many rows and segments, one at least.

    A group of at most `BATCH` rows never holds two segments of one unit.
    """
    first = 0
    while first < len(end) - 1:
        last = min(int(np.searchsorted(end, end[first] + rows, side="right")) - 1, first + most)
        yield first, max(last, first + 1)
        first = max(last, first + 1)


def _gather(table: Sequence[NDArray[Any]], at: IntArray, buffer: FloatArray, scattered: bool) -> None:
    """Put the rows `at` of the columns at the front of `buffer`; scattered rows are read in table order."""
    spare, rank = np.empty(len(at) if scattered else 0), None
    if scattered:
        by = np.argsort(at)
        at, rank = at[by], np.empty_like(by)
        rank[by] = np.arange(len(by))
    for column, place in zip(table, buffer[:, : len(at)], strict=True):
        found = place if rank is None else spare
        if column.dtype == np.float64 and column.flags.c_contiguous:
            column.take(at, out=found, mode="clip")  # the fastest, but it would copy a strided column whole
        else:
            found[:] = column[at]
        if rank is not None:
            spare.take(rank, out=place, mode="clip")
