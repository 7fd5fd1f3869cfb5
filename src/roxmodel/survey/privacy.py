"""Small groups: what may be shown of a single unit, and what is left out beside it."""

from __future__ import annotations

import numpy as np

from roxmodel.types import BoolArray, FloatArray

__all__ = ["suppressed"]


def suppressed(counts: FloatArray, min_group: int) -> BoolArray:
    """Units whose figures must not be shown.

    A unit with fewer than `min_group` respondents is left out (none at all is no secret). If that hides only one
    unit, or so few respondents that total minus shown would give them away, the smallest shown units are left
    out too until at least two units and `min_group` respondents are hidden (complementary suppression).

    Parameters
    ----------
    counts
        (G,) respondents of one source in each unit.
    min_group
        Smallest number of respondents that may be shown.

    Returns
    -------
    ndarray of bool
        (G,) True where nothing may be shown.

    Examples
    --------
    >>> suppressed(np.array([3.0, 8.0, 20.0]), 5).tolist()
    [True, True, False]
    """
    hidden = (counts < min_group) & (counts > 0)
    if not hidden.any():
        return hidden
    for place in np.argsort(counts, kind="stable"):
        if hidden.sum() >= 2 and counts[hidden].sum() >= min_group:
            break
        if counts[place] > 0:
            hidden[place] = True
    return hidden
