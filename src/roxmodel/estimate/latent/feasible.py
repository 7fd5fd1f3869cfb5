"""A start at which the likelihood is defined, and other starts where the first leads nowhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.estimate.latent.optimizer import Minimisable, Minimum, minimise
from roxmodel.estimate.latent.planned_table import lower_bounds
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["feasible", "reached"]

_CAUTION = ((0.25, 1.0), (0.5, 3.0), (0.0, 1.0))  # of edges and covariances, and of variances: other starts


def feasible(objective: Minimisable, start: FloatArray, table: ParameterTable) -> FloatArray:
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


def reached(
    objective: Minimisable,
    start: FloatArray,
    table: ParameterTable,
    level: Callable[[FloatArray], FloatArray] | None = None,
    most: int | None = None,
) -> Minimum:
    """Minimise from a start; where that does not converge, from others, before anybody is told that it does not.

    Parameters
    ----------
    objective, start, table
        What is minimised, (n_free,) from where, and what the parameters are.
    level
        What moves the intercepts of another start to where the means are.
    most
        Steps at most, None for as many as `minimise` makes.

    Returns
    -------
    Minimum
        The first that converged, else the lowest.
    """
    lower, steps = lower_bounds(table), {} if most is None else {"most": most}
    found = minimise(objective, start, lower, **steps)
    for bend, widen in _CAUTION:
        if found.converged:
            break
        other = start.copy()
        for row in table:
            if row.free and row.start is None and row.kind in {"edge", "covariance"}:
                other[row.free - 1] = bend * start[row.free - 1]
            elif row.free and row.start is None and row.kind == "variance":
                other[row.free - 1] = widen * start[row.free - 1]
        other = other if level is None else level(other)
        if not np.isfinite(objective.value(other)):
            continue
        again = minimise(objective, other, lower, **steps)
        if again.converged or again.expansion.value < found.expansion.value:
            found = again
    return found
