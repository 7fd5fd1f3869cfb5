"""The sampling error of unit means: how much of the covariance within units each mean carries."""

from __future__ import annotations

import numpy as np

from roxmodel.moments.source import SourceMoments
from roxmodel.types import BoolArray, FloatArray

__all__ = ["growth_of", "mean_noise", "never_met", "without_say"]


def mean_noise(own: SourceMoments, covariance: FloatArray, times: float = 1.0) -> FloatArray:
    """(G, q, q) covariance of the sampling errors of a survey's unit means, in points squared.

    Two means of one unit that rest on n_a, n_b answers, n_ab of them by the same people, have the sampling covariance
    Σ_W[a, b] (n_ab / (n_a n_b) - 1 / N), N the people who could have answered (infinite where that is not known); with
    sampling weights Σ_ab w² / (Σ_a w Σ_b w) takes the place of the first part (Cochran 1977, Sampling techniques,
    ch. 2).

    Parameters
    ----------
    own
        Moments by unit.
    covariance
        Σ_W, (q, q), within units.
    times
        As if so many times the people had answered, as many as there are at most.

    Examples
    --------
    >>> from roxmodel.moments.condense import Design
    >>> design = Design(codes=np.array([0, 0, 1]), units=["north", "south"])
    >>> staff = SourceMoments.from_columns("employee", ["p1"], [np.array([1.0, 3, 6])], design)
    >>> mean_noise(staff, np.array([[2.0]])).ravel().tolist()
    [1.0, 2.0]
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
