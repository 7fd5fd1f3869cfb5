"""Rows to sums of pairs of items, unit by unit: the numbers of `SourceMoments.from_columns`, and how they merge.

Chan, Golub & LeVeque (1983), doi 10.1080/00031305.1983.10483115.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from roxmodel.errors import DataError
from roxmodel.moments.checks import frequencies, frozen
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "BATCH", "Design", "Pairs", "blank", "chan", "compact", "condense", "condense_block", "diagonal", "five",
    "kish", "kish_of", "put", "ratio", "scaled", "view",
]  # fmt: skip


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
