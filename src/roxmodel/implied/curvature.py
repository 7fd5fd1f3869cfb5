"""Curvature of a likelihood whose cases each see Σ in their own way: sums over cases, contracted with derivatives.

A case (a pattern of missing answers, a unit with its own noise) has the inverse W of its covariance. The information
needs sums of W ⊗ W, W ⊗ W S* W and W ⊗ w over the cases, which are matrix products over their lower triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, moment_jacobian
from roxmodel.types import FloatArray, IntArray

__all__ = ["CaseSums", "curvature", "sums_of"]


@dataclass(frozen=True, slots=True)
class CaseSums:
    """Sums over cases, lower triangles packed (q = p (p + 1) / 2).

    Attributes
    ----------
    plain, mixed
        (q, q) of W ⊗ W and W ⊗ W S* W.
    joint
        (q, p) of W ⊗ w; zeros where means are not modelled.
    inverse
        (p, p) of W.
    """

    plain: FloatArray
    mixed: FloatArray
    joint: FloatArray
    inverse: FloatArray

    def __add__(self, other: CaseSums) -> CaseSums:
        return CaseSums(
            self.plain + other.plain, self.mixed + other.mixed, self.joint + other.joint, self.inverse + other.inverse
        )


def sums_of(
    weight: FloatArray, inverse: FloatArray, half: FloatArray, pushed: FloatArray, means: bool = True
) -> CaseSums:
    """Sum over J cases.

    Parameters
    ----------
    weight
        (J,) of the cases.
    inverse
        W, (J, p, p).
    half
        W S* W, (J, p, p).
    pushed
        w = W (m - μ), (J, p).
    means
        Whether means are modelled.
    """
    p = inverse.shape[-1]
    low = np.tril_indices(p)
    packed = inverse[:, low[0], low[1]]
    weighted = packed * weight[:, None]
    joint = weighted.T @ pushed if means else np.zeros((len(low[0]), p))
    return CaseSums(
        weighted.T @ packed, weighted.T @ half[:, low[0], low[1]], joint, np.tensordot(weight, inverse, 1)
    )


def curvature(layout: Layout, at: Implied, sums: CaseSums) -> tuple[FloatArray, FloatArray]:
    """Expected and observed information by the rows of the table, without the second derivatives of Σ and μ."""
    p = len(layout.items)
    low = np.tril_indices(p)
    place = np.zeros((p, p), dtype=np.int64)
    place[low] = place.T[low] = np.arange(len(low[0]))
    if layout.constructs:
        by_sigma, by_mu = moment_jacobian(layout, at)
        expected, mixed, cross = _around_rows(layout, (by_sigma, by_mu), sums, place)
    else:
        by_mu = _own_means(layout)
        expected, mixed, cross = _gathered(layout, sums, place)
    means = by_mu.T @ sums.inverse @ by_mu
    return means + expected / 2, means + mixed - expected / 2 + cross + cross.T


def _own_means(layout: Layout) -> FloatArray:
    """(p, r) derivatives of μ where nothing but the means themselves moves it."""
    found = np.zeros((len(layout.items), len(layout.row)))
    at = np.flatnonzero(layout.share == 0.0)
    found[layout.row[at], at] = 1.0 / layout.scale[layout.row[at]]
    return found


def _gathered(layout: Layout, sums: CaseSums, place: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """tr(W ∂Σ_q W ∂Σ_r), tr(W ∂Σ_q W S* W ∂Σ_r) and d_rᵀ W ∂Σ_q w where each row is one entry of Σ or μ."""
    i, j, unit = layout.row, np.where(layout.share == 0.0, layout.row, layout.column), 1.0 / layout.scale
    size = layout.share * unit[i] * unit[j]
    ii, ij, jj = place[i][:, i], place[i][:, j], place[j][:, j]
    both = []
    for table in (sums.plain, sums.mixed):
        found = table[ij.T, ij] + table[ii, jj] + table[jj, ii] + table[ij, ij.T]
        both.append(found * np.outer(size, size))
    mean = np.where(layout.share == 0.0, unit[i], 0.0)
    cross = (sums.joint[ii, j[None, :]] + sums.joint[ij, i[None, :]]) * size * mean[:, None]
    return both[0], both[1], cross


def _around_rows(
    layout: Layout, jacobian: tuple[FloatArray, FloatArray], sums: CaseSums, place: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same for a model with constructs, one row of Σ at a time, so that 80 variables need no p⁴ table."""
    by_sigma, by_mu = jacobian
    p, r = by_mu.shape
    flat = by_sigma.reshape(p * p, -1)
    one, two, cross = (np.zeros((r, r)) for _ in range(3))
    for a in range(p):
        one += _around(by_sigma[a], sums.plain[place[a][:, None, None], place[None]], flat)  # [c, b, d]: Σ W_ac W_bd
        two += _around(by_sigma[a], sums.mixed[place[a][:, None, None], place[None]], flat)
        if layout.means:  # d_rᵀ W ∂Σ_q w = Σ d_r[a] W_ac ∂Σ_q[c, d] w_d
            cross += np.outer(by_mu[a], sums.joint[place[a]].reshape(-1) @ flat)
    return one, two, cross


def _around(left: FloatArray, middle: FloatArray, flat: FloatArray) -> FloatArray:
    """Σ_b,c,d left[b, r] middle[c, b, d] flat[(c, d), q]."""
    p = len(left)
    return np.asarray((left.T @ middle.swapaxes(0, 1).reshape(p, p * p)) @ flat)
