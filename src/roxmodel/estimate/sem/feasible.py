"""A start at which the likelihood is defined."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["feasible"]


class Valued(Protocol):
    """A function that is infinite where it is not defined."""

    def value(self, theta: FloatArray) -> float:
        """Its value."""


def feasible(objective: Valued, start: FloatArray, table: ParameterTable) -> FloatArray:
    """The start, or where the function is not defined there: smaller edges and covariances, until it is."""
    found = start.copy()
    for _ in range(6):
        if np.isfinite(objective.value(found)):
            return found
        for row in table:
            if row.free and row.kind in {"edge", "covariance"} and row.start is None:
                found[row.free - 1] *= 0.5
    for row in table:
        if row.free and row.kind == "covariance":
            found[row.free - 1] = 0.0
    if np.isfinite(objective.value(found)):
        return found
    raise EstimationError(
        "With the fixed and start values that the model states, its implied covariance matrix is not positive "
        "definite: they contradict each other, or the data.",
        hint="Check fixed variances against the covariances and loadings beside them.",
    )
