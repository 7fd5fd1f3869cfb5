"""Rows to pair sums, unit by unit: the numbers of `SourceMoments.from_columns`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.errors import DataError
from roxmodel.moments.design import Design
from roxmodel.moments.pairs import Pairs, blank, diagonal, put, ratio
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["BATCH", "condense", "condense_block"]

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

    Parameters
    ----------
    block
        (p + k, rows) answers, NaN = missing; below them what the rows count for, see `Design.row_weights`.
        Overwritten.
    length
        (B,) rows of each unit, at least 1.
    items
        The p names, for the message about an infinite answer.

    Returns
    -------
    pairs, respondents
        The pairs of these units and (B,) their respondents.
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

    Returns
    -------
    order
        (n,) rows sorted by unit, those without a unit first; None if they come so.
    unit, start, length
        (S,) the unit of each segment, its first place in that order and its number of rows.
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
