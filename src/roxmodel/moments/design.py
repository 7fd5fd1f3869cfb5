"""How the rows of a survey belong to units, and what they weigh."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import DataError
from roxmodel.moments.checks import frequencies, frozen
from roxmodel.types import FloatArray, IntArray

__all__ = ["Design"]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Where the n respondents of a source belong and what each row counts for.

    Parameters
    ----------
    codes
        (n,) position of the respondent's unit in `units`; -1: no unit, the row is ignored.
    units
        The G unit keys, in any order.
    weight
        (n,) sampling weights on any scale; a row of weight 0 is ignored. None: all 1.
    frequency
        (n,) whole numbers: how many identical respondents a row stands for. None: all 1.
    eligible
        (G,) how many people each unit could have asked, in the order of `units`; NaN = unknown.

    Raises
    ------
    DataError
        Codes outside the units, negative weights, frequencies that are no counts, arrays of other lengths.

    Examples
    --------
    >>> Design(np.array([0, 1, 1]), ["north", "south"], weight=np.array([1.0, 2, 0])).used_codes()
    array([ 0,  1, -1])
    """

    codes: IntArray
    units: Sequence[Hashable]
    weight: FloatArray | None = None
    frequency: FloatArray | None = None
    eligible: FloatArray | None = None

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
