"""Columns that put units, or people, into groups: regions, districts, teams, of which no construct says anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from roxmodel.survey.frames import Frame, distinct, holds_text, raw_column
from roxmodel.types import IntArray

__all__ = ["MOST_GROUPINGS", "Grouping", "groupings_of"]

MOST_GROUPINGS: Final = 50  # columns that are looked at
_FEWEST = 5  # groups with two members or more, below which no dependence can be told
_COMPANY = 0.8  # share of all that must have company in their group


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """One column."""

    name: str
    codes: IntArray  # (n,) group of each unit or row, 0…G-1; -1: none


def groupings_of(frame: Frame, rows: IntArray, skip: Collection[str]) -> Iterator[Grouping]:
    """Columns of text, categories or whole numbers with 5 to n / 3 groups of two or more; not those to `skip`.

    `rows`: (n,) row of the frame of each unit, -1: none.

    >>> from roxmodel.survey.frames import open_frame
    >>> frame = open_frame("unit", {"b": range(18), "area": list("abcdef") * 3, "x": [k / 7 for k in range(18)]})
    >>> [(found.name, found.codes.max() + 1) for found in groupings_of(frame, np.arange(18), ())]
    [('area', np.int64(6))]
    """
    for name in frame.columns:
        if name in skip:
            continue
        try:
            codes = _codes(frame, name)
        except (TypeError, ValueError):  # nested values, which cannot be told apart
            continue
        if codes is None:
            continue
        own = np.where(rows >= 0, codes[rows], -1)
        sizes = np.bincount(own[own >= 0], minlength=1)
        known, several = int(sizes.sum()), sizes >= 2
        if several.sum() >= _FEWEST and (sizes > 0).sum() * 3 <= known and sizes[several].sum() >= _COMPANY * known:
            place = np.cumsum(sizes > 0) - 1
            yield Grouping(name, np.where(own >= 0, place[own], -1).astype(np.int64))


def _codes(frame: Frame, name: str) -> IntArray | None:
    """Group of each row of the frame; None for a column of another kind."""
    if not holds_text(frame, name):
        values = raw_column(frame, name)
        if values.dtype.kind == "f":
            known = values[~np.isnan(values)]
            if not (np.isfinite(known).all() and (known == np.floor(known)).all()):
                return None
        elif values.dtype.kind not in "iuO":
            return None
    codes, found = distinct(frame, name)
    plain = all(isinstance(value, str | int | float | np.number) for value in found)
    return codes if plain else None
