"""A construct's score in a unit, the mean of its items' unit means; what may be shown of it where groups are small."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np

from roxmodel.moments.condense import kish_of
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "MIN_GROUP", "Composites", "hidden_scores", "item_mean", "partial_words", "people_behind", "shift_words",
    "suppressed", "unit_composites",
]  # fmt: skip


_NOTHING = 0.005  # points that no reader would see


@dataclass(frozen=True, slots=True)
class Composites:
    """Scores of units (or respondents)."""

    names: tuple[str, ...]  # (k,) constructs
    units: tuple[Hashable, ...]  # (G,) keys of the units; empty for respondents' rows
    values: FloatArray  # (G, k) on the items' scale, NaN where no item was answered
    partial: IntArray  # (k,) number of scores that rest on some of the construct's items only
    shift: FloatArray  # (k,) points by which they differ through which items they rest on (see `partial_words`)


def item_mean(values: FloatArray) -> tuple[FloatArray, int]:
    """(n,) mean over the items that are there of (n, p), NaN for none; how many rest on some of them only.

    >>> item_mean(np.array([[1.0, 3.0], [2.0, np.nan]]))
    (array([2., 2.]), 1)
    """
    there = ~np.isnan(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    mean = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean, int(((count > 0) & (count < values.shape[1])).sum())


def _shift(values: FloatArray) -> float:
    """Range over rows of the mean of those items' grand means that are there."""
    there = ~np.isnan(values)
    if there.all() or not there.any(axis=0).all():
        return 0.0
    middles, _ = item_mean(np.where(there, np.nanmean(values, axis=0), np.nan))
    return float(np.nanmax(middles) - np.nanmin(middles))


def partial_words(values: FloatArray) -> str:
    """What it does to scores that they rest on different items, in words; empty where it does nothing.

    Items have different means (some are easier to agree to), so a mean of items moves with which of them were asked.

    >>> partial_words(np.array([[3.0, 4.0, np.nan], [3.0, np.nan, 2.0]]))
    'by which items they rest on alone they differ by up to 1 point'
    """
    return shift_words(_shift(values))


def shift_words(shift: float) -> str:
    """The same for a known shift."""
    if shift < _NOTHING:
        return ""
    return f"by which items they rest on alone they differ by up to {shift:.2g} point{'' if shift == 1 else 's'}"


def unit_composites(model: RoxModel, moments: LinkedMoments) -> Composites:
    """Score every construct in every unit of the study."""
    names, means = moments.item_means()
    at = {name: place for place, name in enumerate(names)}
    own = [means[:, [at[item] for item in c.item_names]] for c in model.constructs]
    scored = [item_mean(values) for values in own]
    return Composites(
        names=model.names,
        units=moments.units,
        values=np.column_stack([values for values, _ in scored]),
        partial=np.array([partial for _, partial in scored], dtype=np.int64),
        shift=np.array([_shift(values) for values in own]),
    )


MIN_GROUP: Final = 5  # people behind a figure of one unit or group, where nobody says otherwise


def suppressed(counts: FloatArray, min_group: int) -> BoolArray:
    """Which of (G,) units must not be shown, by their respondents.

    A unit with fewer than `min_group` is left out (none at all is no secret). If that hides only one unit, or so few
    respondents that total minus shown would give them away, the smallest shown units are left out too until at least
    two units and `min_group` respondents are hidden (complementary suppression).

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
    """(G,) fewest people behind an answered item of a construct, 0 where nobody answered.

    Rows that stand for several people (frequencies) count as so many. With sampling weights a unit counts no more than
    twice Kish's number (`kish_of`), so that one person with nearly all the weight does not hide among others.
    """
    counts = own.counts
    weight, weight2 = (np.diagonal(array, axis1=1, axis2=2) for array in (own.weight, own.weight2))
    fewest = np.where(counts > 0, np.minimum(counts, 2.0 * kish_of(weight, weight2)), np.inf).min(axis=1)
    return np.where(np.isinf(fewest), 0.0, fewest)


def hidden_scores(model: RoxModel, moments: LinkedMoments, min_group: int) -> BoolArray:
    """(G, k) scores of units that nothing may show or know that answers about units; own figures are never hidden."""
    units = moments.units
    found = np.zeros((len(units), len(model.constructs)), dtype=bool)
    for k, construct in enumerate(model.constructs):
        if construct.source != UNIT:
            own = moments.source(construct.source).select(construct.item_names)
            counts = dict(zip(own.units, people_behind(own), strict=True))
            found[:, k] = suppressed(np.array([counts.get(unit, 0.0) for unit in units]), min_group)
    return found
