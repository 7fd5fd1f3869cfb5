"""Small groups: what may be shown of a single unit, and what is left out beside it."""

from __future__ import annotations

from typing import Final

import numpy as np

from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.source import SourceMoments
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray

__all__ = ["MIN_GROUP", "hidden_scores", "people_behind", "suppressed"]

MIN_GROUP: Final = 5  # people behind a figure of one unit or group, where nobody says otherwise


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
    nobody = int((counts <= 0).sum())
    for place in np.argsort(counts, kind="stable")[nobody:]:
        if hidden.sum() >= 2 and counts[hidden].sum() >= min_group:
            break
        hidden[place] = True
    return hidden


def people_behind(own: SourceMoments) -> FloatArray:
    """Fewest people behind an answered item, in each unit.

    Rows that stand for several people (frequencies) count as so many. With sampling weights a unit counts no more than
    twice Kish's number (Σw)² / Σw², so that one person with nearly all the weight does not hide among others.

    Parameters
    ----------
    own
        Moments of the items of one construct.

    Returns
    -------
    ndarray
        (G,) people, 0 where nobody answered.

    References
    ----------
    Kish (1965), Survey sampling, section 11.2.

    Examples
    --------
    >>> from roxmodel.moments.design import Design
    >>> codes, answers = np.array([0, 0, 0, 1, 1, 1]), [np.array([1.0, 2, 3, 4, 5, 5])]
    >>> design = Design(codes, ["north", "south"], weight=np.array([1.0, 1, 1, 1, 1, 100]))
    >>> people_behind(SourceMoments.from_columns("employee", ["p1"], answers, design)).round(2).tolist()
    [3.0, 2.08]
    """
    counts = own.counts
    weight, weight2 = (np.diagonal(array, axis1=1, axis2=2) for array in (own.weight, own.weight2))
    worth = np.divide(weight**2, weight2, out=np.zeros(counts.shape), where=weight2 > 0)
    fewest = np.where(counts > 0, np.minimum(counts, 2.0 * worth), np.inf).min(axis=1)
    return np.where(np.isinf(fewest), 0.0, fewest)


def hidden_scores(model: RoxModel, moments: LinkedMoments, min_group: int) -> BoolArray:
    """Which scores of single units must not be shown, nor be known to anything that answers about units.

    Returns
    -------
    ndarray of bool
        (G, k) by unit of the moments and construct; figures of the unit itself are never hidden.
    """
    units = moments.units
    found = np.zeros((len(units), len(model.constructs)), dtype=bool)
    for k, construct in enumerate(model.constructs):
        if construct.source != UNIT:
            own = moments.source(construct.source).select(construct.item_names)
            counts = dict(zip(own.units, people_behind(own), strict=True))
            found[:, k] = suppressed(np.array([counts.get(unit, 0.0) for unit in units]), min_group)
    return found
