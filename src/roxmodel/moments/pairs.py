"""Pairs of items: small algebra, and merging (Chan, Golub & LeVeque 1983, doi 10.1080/00031305.1983.10483115)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from roxmodel.errors import DataError
from roxmodel.types import FloatArray, IntArray

__all__ = ["Pairs", "blank", "chan", "compact", "diagonal", "five", "put", "ratio", "scaled", "view"]

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
