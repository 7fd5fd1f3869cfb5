"""Composites: a construct's score in a unit is the mean of its items' unit means."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from roxmodel.moments.linked import LinkedMoments
from roxmodel.spec.graph import RoxModel
from roxmodel.types import FloatArray, IntArray

__all__ = ["Composites", "item_mean", "partial_words", "shift_words", "unit_composites"]


_NOTHING = 0.005  # points that no reader would see


@dataclass(frozen=True, slots=True)
class Composites:
    """Scores of units (or respondents).

    Attributes
    ----------
    names
        (k,) constructs.
    units
        (G,) keys of the units; empty for respondents' rows.
    values
        (G, k) on the items' scale, NaN where no item was answered.
    partial
        (k,) number of scores that rest on some of the construct's items only.
    shift
        (k,) by how many points scores differ through which items they rest on alone (see `partial_words`).
    """

    names: tuple[str, ...]
    units: tuple[Hashable, ...]
    values: FloatArray
    partial: IntArray
    shift: FloatArray


def item_mean(values: FloatArray) -> tuple[FloatArray, int]:
    """Mean over the items that are there.

    Parameters
    ----------
    values
        (n, p) answers or unit means, NaN where missing.

    Returns
    -------
    ndarray
        (n,) means, NaN where nothing is there.
    int
        How many rest on some of the items only.

    Examples
    --------
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

    Items of one construct have different means (some are easier to agree to than others), so a mean of items moves with
    which of them were asked.

    Examples
    --------
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
    """Score every construct in every unit of the study.

    Parameters
    ----------
    model
        Which items measure which construct.
    moments
        Unit means.
    """
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
