"""Moments of one survey by unit and pattern of missing answers: all that a likelihood of its respondents needs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.errors import DataError
from roxmodel.moments.condense import Design, ordered
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Cells"]

_BLOCK = 256  # cells whose products are held at once


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Cells:
    """Respondents of a unit who skipped the same items form a cell."""

    items: tuple[str, ...]  # the p items
    units: tuple[Hashable, ...]  # the G unit keys, sorted
    seen: BoolArray  # (P, p) which items a pattern holds, at least one
    unit: IntArray  # (C,) where each cell belongs
    pattern: IntArray
    n: FloatArray  # (C,) respondents
    mean: FloatArray  # (C, p) their means, 0 where skipped
    several: IntArray  # (C',) cells of more than one row
    scatter: FloatArray  # (C', p, p) cross-products about the means of these; 0 in all others

    def scatter_of(self, times: FloatArray | None = None) -> FloatArray:
        """(P, p, p) cross-products by pattern, each unit counted so many times, (G,); None = once."""
        found = np.zeros((len(self.seen), len(self.items), len(self.items)))
        own = self.scatter if times is None else self.scatter * times[self.unit[self.several], None, None]
        np.add.at(found, self.pattern[self.several], own)
        return found

    @classmethod
    def from_columns(
        cls,
        items: Sequence[str],
        columns: Sequence[NDArray[Any]],
        design: Design,
        reading: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> Cells:
        """Condense rows.

        As `SourceMoments.from_columns`; sampling weights are refused. `reading`: signs and offsets of the items: a
        reversed one is read as offset - answer.
        """
        if design.weight is not None:
            raise DataError("Cells by pattern of missing answers know no sampling weights.")
        p = len(items)
        signs, offsets = reading or (np.ones(p), np.zeros(p))
        units, order = ordered(tuple(design.units))
        moved = np.empty(len(units), dtype=np.int64)
        moved[np.arange(len(units)) if order is None else order] = np.arange(len(units))
        codes = design.used_codes()
        there = ~np.isnan(np.column_stack([np.asarray(column, dtype=np.float64) for column in columns]))
        used = np.flatnonzero((codes >= 0) & there.any(axis=1))
        there = there[used]
        packed = np.packbits(there, axis=1)
        _, first, pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        pattern = pattern.reshape(-1).astype(np.int64)
        seen = there[first]
        key = moved[codes[used]] * len(seen) + pattern
        by = np.argsort(key, kind="stable")
        used, key = used[by], key[by]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, np.int64)
        unit, own = key[starts] // max(len(seen), 1), key[starts] % max(len(seen), 1)
        weight = np.ones(len(used)) if design.frequency is None else np.asarray(design.frequency)[used]
        n = np.add.reduceat(weight, starts) if len(starts) else np.zeros(0)
        sizes = np.diff(np.append(starts, len(used)))
        mean, scatter = np.empty((len(starts), p)), np.zeros((len(seen), p, p))
        values = np.empty((len(used), p))
        for k, column in enumerate(columns):
            values[:, k] = np.nan_to_num(offsets[k] + signs[k] * np.asarray(column, dtype=np.float64)[used])
        values *= there[by]
        for k in range(p):
            mean[:, k] = np.add.reduceat(values[:, k] * weight, starts) / n
        values -= np.repeat(mean, sizes, axis=0)
        several = np.flatnonzero(sizes > 1)
        scatter = np.empty((len(several), p, p))
        left = values * weight[:, None]
        for start in range(0, len(several), _BLOCK):
            own_cells = several[start : start + _BLOCK]
            places = np.concatenate(
                [np.arange(a, a + b) for a, b in zip(starts[own_cells], sizes[own_cells], strict=True)]
            )
            products = left[places, :, None] * values[places, None, :]
            begins = np.cumsum(sizes[own_cells]) - sizes[own_cells]
            scatter[start : start + _BLOCK] = np.add.reduceat(products, begins, axis=0)
        return cls(tuple(items), tuple(units), seen, unit, own, n, mean, several, scatter)
