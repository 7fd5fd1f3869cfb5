"""Curvature of a likelihood whose cases each see Σ in their own way: sums over cases, contracted with derivatives.

A case (a pattern of missing answers, a unit with its own noise) has the inverse W of its covariance. The information
needs sums of W ⊗ W, W ⊗ W S* W and W ⊗ w over the cases, which are matrix products over their lower triangles.

The gradient for many draws where item residuals do not covary: everything in k × k, nothing p × p is inverted.

With D = Θ⁻¹ and J = Λᵀ D Λ, Σ⁻¹ = D - D Λ N Λᵀ D, N = (I + Φ J)⁻¹ Φ (Woodbury), so that the gradient needs products of
p × k matrices only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from roxmodel.implied.layout import DISTURBANCES, EDGES, LOADINGS, RESIDUALS, Layout
from roxmodel.implied.matrices import Implied, filled, moment_jacobian
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "CaseSums",
    "curvature",
    "is_diagonal",
    "pair_information",
    "pair_places",
    "pair_table",
    "slope_diagonal",
    "sums_of",
]


_MOST_PAIRED = 40  # variables up to which tables of pairs by pairs are held


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
    return CaseSums(weighted.T @ packed, weighted.T @ half[:, low[0], low[1]], joint, np.tensordot(weight, inverse, 1))


def curvature(layout: Layout, at: Implied, sums: CaseSums) -> tuple[FloatArray, FloatArray]:
    """Expected and observed information by the rows of the table, without the second derivatives of Σ and μ."""
    p = len(layout.items)
    if p > _MOST_PAIRED:
        return _in_rows(layout, at, sums)
    places = _places(p)
    tables = [_over_pairs(own, places) for own in (sums.plain + sums.plain.T, sums.mixed + sums.mixed.T)]
    if layout.constructs:
        by_sigma, by_mu = moment_jacobian(layout, at)
        low = by_sigma[places.row, places.column] * places.share[:, None]
        expected, mixed = (low.T @ table @ low for table in tables)
        cross = _cross(by_mu, low, sums.joint, places) if layout.means else np.zeros_like(expected)
    else:
        by_mu = _own_means(layout)
        expected, mixed, cross = _picked(layout, tables, sums.joint, places)
    means = by_mu.T @ sums.inverse @ by_mu
    return means + expected / 2, means + mixed - expected / 2 + cross + cross.T


def pair_places(p: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the pairs a ≥ b of p variables, (q,) each."""
    places = _places(p)
    return places.row, places.column


def pair_table(table: FloatArray) -> FloatArray:
    """Σ of X_ac Y_bd over all orders of two pairs, (q, q), from X ⊗ Y + Y ⊗ X over packed triangles."""
    return _over_pairs(table, _places(int((np.sqrt(8 * len(table) + 1) - 1) / 2 + 0.5)))


def pair_information(inverse: FloatArray, weight: FloatArray) -> FloatArray:
    """½ Σ w tr(A ∂Σ_ab A ∂Σ_cd) over J cases for all pairs a ≥ b, c ≥ d of p variables, (q, q).

    Parameters
    ----------
    inverse
        A, (J, p, p).
    weight
        (J,).
    """
    places = _places(inverse.shape[-1])
    packed = inverse[:, places.row, places.column]
    plain = (packed * weight[:, None]).T @ packed
    return np.asarray(_over_pairs(plain + plain.T, places) * np.outer(places.share, places.share) / 2)


@dataclass(frozen=True, slots=True)
class _Places:
    """Pairs a ≥ b of p variables: rows, columns, ½ on the diagonal, and where the products of two pairs stand.

    Attributes
    ----------
    straight, crossed
        (q, q) places of [ac, bd] and [ad, bc] in a flat (q, q) table, for pairs (a, b) and (c, d).
    pair
        (p, p) place of each pair.
    """

    row: IntArray
    column: IntArray
    share: FloatArray
    pair: IntArray
    straight: IntArray
    crossed: IntArray


@lru_cache(maxsize=8)
def _places(p: int) -> _Places:
    a, b = np.tril_indices(p)
    pair = np.zeros((p, p), dtype=np.int64)
    pair[a, b] = pair[b, a] = np.arange(len(a))
    aa, ab, bb = pair[a][:, a], pair[a][:, b], pair[b][:, b]
    return _Places(a, b, np.where(a == b, 0.5, 1.0), pair, aa * len(a) + bb, ab * len(a) + ab.T)


def _over_pairs(table: FloatArray, places: _Places) -> FloatArray:
    """Σ of X_ac Y_bd over all orders of two pairs, from the table X ⊗ Y + Y ⊗ X."""
    return np.asarray(table.take(places.straight) + table.take(places.crossed))


def _cross(by_mu: FloatArray, low: FloatArray, joint: FloatArray, places: _Places) -> FloatArray:
    """d_rᵀ W ∂Σ_q w for every pair of rows."""
    p = len(by_mu)
    every = joint[places.pair[:, places.row], places.column] + joint[places.pair[:, places.column], places.row]
    return np.asarray(by_mu.T @ every.reshape(p, -1) @ low)


def _picked(
    layout: Layout, tables: list[FloatArray], joint: FloatArray, places: _Places
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same where each row is one entry of Σ or μ."""
    unit, is_mean = 1.0 / layout.scale, layout.share == 0.0
    i, j = layout.row, np.where(is_mean, layout.row, layout.column)
    at, size = places.pair[i, j], layout.share * unit[i] * unit[j]
    expected, mixed = (table[np.ix_(at, at)] * np.outer(size, size) for table in tables)
    mean = np.where(is_mean, unit[i], 0.0)
    cross = (joint[places.pair[i][:, i], j[None, :]] + joint[places.pair[i][:, j], i[None, :]]) * size * mean[:, None]
    return expected, mixed, cross


def _in_rows(layout: Layout, at: Implied, sums: CaseSums) -> tuple[FloatArray, FloatArray]:
    """The same for many variables, one row of Σ at a time."""
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


def is_diagonal(layout: Layout) -> bool:
    """Whether means are not modelled, no item residuals covary, and each residual variance is free or above 0."""
    at = layout.matrix == RESIDUALS
    base = layout.base[RESIDUALS]
    diagonal = np.diagonal(base, axis1=-2, axis2=-1)
    alone = bool((layout.row[at] == layout.column[at]).all())
    fixed = base - diagonal[..., :, None] * np.eye(base.shape[-1])
    free = np.zeros(base.shape[-1], dtype=bool)
    free[layout.row[at]] = True
    positive = bool((free | (diagonal > 1e-6 * layout.scale**2)).all())
    return not layout.means and alone and not fixed.any() and positive


def slope_diagonal(layout: Layout, theta: FloatArray, covariance: FloatArray) -> FloatArray:
    """Gradient of F/2, (draws, n_free), for a layout that `is_diagonal`.

    Parameters
    ----------
    layout
        The model.
    theta
        (draws, n_free).
    covariance
        (draws, p, p) in units of the scale.
    """
    lam = filled(layout, theta, LOADINGS) / layout.scale[:, None]
    beta, psi = filled(layout, theta, EDGES), filled(layout, theta, DISTURBANCES)
    residual = np.diagonal(filled(layout, theta, RESIDUALS), axis1=-2, axis2=-1) / layout.scale**2
    k = beta.shape[-1]
    eye = np.eye(k)
    total = np.asarray(np.linalg.inv(eye - beta), dtype=np.float64)
    phi = total @ psi @ np.swapaxes(total, -1, -2)
    with np.errstate(divide="ignore"):
        precision = 1.0 / residual  # infinite at the bound: such a draw is told by its gradient
    weighted = lam * precision[..., None]  # F = D Λ
    inner = np.swapaxes(lam, -1, -2) @ weighted  # J
    shrink = np.asarray(np.linalg.solve(eye + phi @ inner, phi), dtype=np.float64)  # N
    kept = eye - shrink @ inner
    spread = covariance @ weighted  # S F
    seen = spread @ kept  # S Σ⁻¹ Λ
    across = np.swapaxes(weighted, -1, -2) @ seen
    back = weighted @ (kept - shrink @ -across)  # Σ⁻¹ Λ + F N Fᵀ S Σ⁻¹ Λ
    pulled = back - seen * precision[..., None]  # G Λ
    middle = np.swapaxes(lam, -1, -2) @ pulled  # Λᵀ G Λ
    return _rows(
        layout,
        (pulled @ phi, middle, total, phi),
        _residual_part((precision, weighted, shrink, spread), np.diagonal(covariance, axis1=-2, axis2=-1)),
    )


def _residual_part(parts: tuple[FloatArray, FloatArray, FloatArray, FloatArray], variances: FloatArray) -> FloatArray:
    """(draws, p) diagonal of G = Σ⁻¹ - Σ⁻¹ S Σ⁻¹."""
    precision, weighted, shrink, spread = parts
    reached = weighted @ shrink  # F N
    own = precision - (reached * weighted).sum(axis=-1)
    scatter = np.swapaxes(weighted, -1, -2) @ spread
    twice = (reached * spread).sum(axis=-1)
    last = ((reached @ scatter) * reached).sum(axis=-1)
    return np.asarray(own - precision**2 * variances + 2 * precision * twice - last)


def _rows(
    layout: Layout, parts: tuple[FloatArray, FloatArray, FloatArray, FloatArray], diagonal: FloatArray
) -> FloatArray:
    by_loading, middle, total, phi = parts
    draws = by_loading.shape[0]
    found = np.zeros((draws, len(layout.row)))
    scale, half = layout.scale, np.swapaxes(total, -1, -2) @ middle
    by_edge, by_disturbance = half @ phi, half @ total
    at = {which: np.flatnonzero(layout.matrix == which) for which in (LOADINGS, EDGES, DISTURBANCES, RESIDUALS)}
    for which, matrix in ((LOADINGS, by_loading), (EDGES, by_edge), (DISTURBANCES, by_disturbance)):
        places = at[which]
        found[:, places] = layout.share[places] * matrix[:, layout.row[places], layout.column[places]]
    found[:, at[LOADINGS]] /= scale[layout.row[at[LOADINGS]]]
    own = layout.row[at[RESIDUALS]]
    found[:, at[RESIDUALS]] = layout.share[at[RESIDUALS]] * diagonal[:, own] / scale[own] ** 2
    return np.asarray(found @ layout.link)
