"""Means of all units side by side, and their sampling error: how much of the covariance within units each carries."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["SourceMeans", "UnitMeans", "growth_of", "mean_noise", "never_met", "without_say"]

_FLOOR = 0.05  # between-unit variance taken at least, as a share of that of the means


@dataclass(frozen=True, slots=True, eq=False)
class SourceMeans:
    """Where one survey stands among the means of all."""

    moments: SourceMoments  # by unit; its items in the order asked for
    at: IntArray  # (q,) places of its items among all
    rows: IntArray  # (J,) place of each unit in its moments, -1 where it has none


@dataclass(frozen=True, slots=True, eq=False)
class UnitMeans:
    """Means and figures of all units that know something of the items, side by side.

    Of several waves, merged, the keys are pairs (unit, wave), and every wave of a unit is a row of its own. What is in
    none of the sources is a figure of the unit, without sampling error.

    >>> from roxmodel.moments.condense import Design
    >>> design = Design(codes=np.array([0, 0, 1]), units=[("north", 1), ("north", 2)])
    >>> staff = SourceMoments.from_columns("employee", ["p1"], [np.array([1.0, 3, 6])], design)
    >>> means = UnitMeans.of(LinkedMoments((staff,)), ["p1"])
    >>> means.units, means.values.tolist()
    ((('north', 1), ('north', 2)), [[2.0], [6.0]])
    >>> means.noise({"employee": np.array([[2.0]])}).ravel().tolist()
    [1.0, 2.0]
    """

    items: tuple[str, ...]  # (p,) items and figures
    units: tuple[Hashable, ...]
    values: FloatArray  # (J, p) means in points, NaN where there are none
    sources: tuple[SourceMeans, ...]

    @classmethod
    def of(cls, moments: LinkedMoments, items: Sequence[str]) -> UnitMeans:
        """Lay the moments of all sources out over the units; an item they do not hold is a DataError."""
        names, every = moments.item_means()
        missing = [item for item in items if item not in names]
        if missing:
            raise DataError(
                f"The moments hold nothing of {listed(missing)}.",
                hint="Give moments of every source that the model asks, with its items, and the units' figures.",
            )
        values = every[:, [names.index(item) for item in items]]
        kept = np.flatnonzero(~np.isnan(values).all(axis=1))
        keys = moments.units  # put together anew each time it is asked for
        units = tuple(keys[k] for k in kept)
        asked = [(own, [item for item in items if item in own.items]) for own in moments.sources]
        sources = [_laid(own.select(some), items, units) for own, some in asked if some]
        sources.sort(key=lambda source: int(source.at[0]))
        return cls(tuple(items), units, values[kept], tuple(sources))

    def noise(self, within: Mapping[str, FloatArray], times: Mapping[str, float] | None = None) -> FloatArray:
        """(J, p, p) covariance of the sampling errors in points squared (see `mean_noise`).

        `within`: source -> (q, q) covariance of answers within units, 0 errors where it is left out; `times`: source ->
        as if so many times its people had answered.
        """
        found = np.zeros((len(self.units), len(self.items), len(self.items)))
        for source in self.sources:
            name = source.moments.source
            if name in within:
                there = np.flatnonzero(source.rows >= 0)
                own = mean_noise(source.moments, within[name], (times or {}).get(name, 1.0))
                found[np.ix_(there, source.at, source.at)] = own[source.rows[there]]
        return found

    def spread(self, noise: FloatArray) -> FloatArray:
        """(p,) rough standard deviations between units: the variance of the means less their mean sampling error."""
        variance = np.nanvar(self.values, axis=0)
        error = np.where(np.isnan(self.values), np.nan, np.diagonal(noise, axis1=1, axis2=2))
        return np.asarray(np.sqrt(np.maximum(variance - np.nanmean(error, axis=0), _FLOOR * variance)))


def _laid(own: SourceMoments, items: Sequence[str], units: tuple[Hashable, ...]) -> SourceMeans:
    place = {unit: k for k, unit in enumerate(own.units)}
    rows = np.array([place.get(unit, -1) for unit in units], dtype=np.int64)
    return SourceMeans(own, np.array([items.index(item) for item in own.items], dtype=np.int64), rows)


def mean_noise(own: SourceMoments, covariance: FloatArray, times: float = 1.0) -> FloatArray:
    """(G, q, q) covariance of the sampling errors of a survey's unit means, in points squared.

    Two means of one unit that rest on n_a, n_b answers, n_ab of them by the same people, have the sampling covariance
    Σ_W[a, b] (n_ab / (n_a n_b) - 1 / N), N the people who could have answered (infinite where that is not known); with
    sampling weights Σ_ab w² / (Σ_a w Σ_b w) takes the place of the first part (Cochran 1977, Sampling techniques,
    ch. 2).

    `times`: as if so many times the people had answered, as many as there are at most.
    """
    weight = np.diagonal(own.weight, axis1=1, axis2=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = own.weight2 / (weight[:, :, None] * weight[:, None, :])
    share = np.where(np.isfinite(share), share, 0.0) / growth_of(own, times)[:, None, None]
    if own.eligible is not None:
        known = np.isfinite(own.eligible) & (own.eligible > 0)
        finite = np.where(known, 1.0 / np.where(known, own.eligible, 1.0), 0.0)
        share = np.where(share > 0, np.maximum(share - finite[:, None, None], _least(share, finite)), share)
        answered = weight > 0
        both = answered[:, :, None] & answered[:, None, :]
        apart = both & (np.broadcast_to(own.n, share.shape) == 0)
        share = np.where(apart, -finite[:, None, None], share)
    return np.asarray(covariance * share)


def never_met(own: SourceMoments) -> BoolArray:
    """(q, q) pairs of items that nobody of one unit answered both of (and that are not just unprinted)."""
    both = np.broadcast_to(own.n, own.scatter.shape).max(axis=0, initial=0.0)
    return np.asarray((both <= 0) & ~np.isnan(own.scatter).any(axis=0))


def without_say(own: SourceMoments) -> BoolArray:
    """(q, q) pairs whose covariance within units is of no consequence for the sampling errors of unit means.

    Means of items that never met rest on different people, and their errors do not covary; but where the people of a
    unit are known by number, those who answered one item leave fewer to answer the other.
    """
    apart = never_met(own)
    if own.eligible is None:
        return apart
    asked = own.counts[np.isfinite(own.eligible) & (own.eligible > 0)] > 0
    return np.asarray(apart & ~(asked[:, :, None] & asked[:, None, :]).any(axis=0))


def growth_of(own: SourceMoments, times: float) -> FloatArray:
    """(G,) by how much the answers of each unit can grow: `times`, or until everybody has answered."""
    found = np.full(len(own.units), times)
    if own.eligible is not None and times > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            most = own.eligible / own.respondents
        found = np.where(np.isfinite(most), np.clip(most, 1.0, times), times)
    return found


def _least(share: FloatArray, finite: FloatArray) -> FloatArray:
    """No variance below 0, where all who could answer did (rounding)."""
    eye = np.eye(share.shape[-1], dtype=bool)
    return np.where(eye, 0.0, -finite[:, None, None])
