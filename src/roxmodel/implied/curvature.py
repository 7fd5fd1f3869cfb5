"""Curvature of a likelihood whose cells each see Σ in their own way; and a gradient of many draws in k × k.

A cell (a pattern of missing answers, a unit with its own noise) has the inverse W of its covariance. The information
needs sums of W ⊗ W, W ⊗ W S* W and W ⊗ w over the cells, which are matrix products over their lower triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from roxmodel.implied.matrices import DISTURBANCES, EDGES, LOADINGS, RESIDUALS, Implied, Layout, filled, moment_jacobian
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "CaseSums", "curvature", "expected_curvature", "is_diagonal", "pair_cross", "pair_information", "pair_places",
    "pair_table", "slope_diagonal", "sums_of",
]  # fmt: skip

_MOST_PAIRED = 40  # variables up to which tables of pairs by pairs are held


@dataclass(frozen=True, slots=True)
class CaseSums:
    """Sums over cells, lower triangles packed (q = p (p + 1) / 2)."""

    plain: FloatArray  # (q, q) of W ⊗ W
    mixed: FloatArray  # (q, q) of W ⊗ W S* W
    joint: FloatArray  # (q, p) of W ⊗ w; zeros where means are not modelled
    inverse: FloatArray  # (p, p) of W

    def __add__(self, other: CaseSums) -> CaseSums:
        return CaseSums(
            self.plain + other.plain, self.mixed + other.mixed, self.joint + other.joint, self.inverse + other.inverse
        )


def sums_of(
    weight: FloatArray, inverse: FloatArray, half: FloatArray, pushed: FloatArray, means: bool = True
) -> CaseSums:
    """Sum over J cells: weights (J,), W and W S* W (J, p, p), w = W (m - μ) (J, p), and whether means are modelled."""
    p = inverse.shape[-1]
    low = np.tril_indices(p)
    packed = inverse[:, low[0], low[1]]
    weighted = packed * weight[:, None]
    joint = weighted.T @ pushed if means else np.zeros((len(low[0]), p))
    return CaseSums(weighted.T @ packed, weighted.T @ half[:, low[0], low[1]], joint, np.tensordot(weight, inverse, 1))


def curvature(layout: Layout, at: Implied, sums: CaseSums) -> tuple[FloatArray, FloatArray]:
    """Expected and observed information by the rows of the table, without the second derivatives of Σ and μ."""
    places = _places(len(layout.items))
    if not layout.constructs:
        by_mu = _own_means(layout)
        expected, mixed, cross = _picked(layout, sums, places)
    else:
        by_sigma, by_mu = moment_jacobian(layout, at)
        low = by_sigma[places.row, places.column] * places.share[:, None]
        if len(layout.items) > _MOST_PAIRED:
            expected, mixed = (_around_rows(by_sigma, table, places) for table in (sums.plain, sums.mixed))
        else:
            tables = (pair_table(own + own.T) for own in (sums.plain, sums.mixed))
            expected, mixed = (low.T @ table @ low for table in tables)
        cross = by_mu.T @ pair_cross(sums, low) if layout.means else np.zeros_like(expected)
    means = by_mu.T @ sums.inverse @ by_mu
    return means + expected / 2, means + mixed - expected / 2 + cross + cross.T


def expected_curvature(layout: Layout, at: Implied, sums: CaseSums) -> FloatArray:
    """The expected information alone, by the rows of the table, where the Hessian is not asked for."""
    if not layout.constructs or len(layout.items) > _MOST_PAIRED:
        return curvature(layout, at, sums)[0]
    places = _places(len(layout.items))
    by_sigma, by_mu = moment_jacobian(layout, at)
    low = by_sigma[places.row, places.column] * places.share[:, None]
    own = pair_table(sums.plain + sums.plain.T)
    return np.asarray(by_mu.T @ sums.inverse @ by_mu + low.T @ (own @ low) / 2)


def pair_places(p: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the pairs a ≥ b of p variables, (q,) each."""
    places = _places(p)
    return places.row, places.column


def pair_table(table: FloatArray) -> FloatArray:
    """Σ of X_ac Y_bd over all orders of two pairs, (q, q), from X ⊗ Y + Y ⊗ X over packed triangles."""
    straight, crossed = _orders(int((np.sqrt(8 * len(table) + 1) - 1) / 2 + 0.5))
    return np.asarray(table.take(straight) + table.take(crossed))


def pair_cross(sums: CaseSums, low: FloatArray) -> FloatArray:
    """(p, r) Σ W ∂Σ_r w, from derivatives of the pairs, (q, r), halved on the diagonal."""
    p = len(sums.inverse)
    places = _places(p)
    row, column, pair = places.row, places.column, places.pair
    every = sums.joint[pair[:, row], column] + sums.joint[pair[:, column], row]
    return np.asarray(every.reshape(p, -1) @ low)


def pair_information(inverse: FloatArray, weight: FloatArray) -> FloatArray:
    """½ Σ w tr(A ∂Σ_ab A ∂Σ_cd) over J cells A, (J, p, p), for all pairs a ≥ b, c ≥ d of p variables, (q, q)."""
    places = _places(inverse.shape[-1])
    packed = inverse[:, places.row, places.column]
    plain = (packed * weight[:, None]).T @ packed
    return np.asarray(pair_table(plain + plain.T) * np.outer(places.share, places.share) / 2)


@dataclass(frozen=True, slots=True)
class _Places:
    """Pairs a ≥ b of p variables: rows, columns, ½ on the diagonal, and the place of each pair, (p, p)."""

    row: IntArray
    column: IntArray
    share: FloatArray
    pair: IntArray


@lru_cache(maxsize=8)
def _places(p: int) -> _Places:
    a, b = np.tril_indices(p)
    pair = np.zeros((p, p), dtype=np.int64)
    pair[a, b] = pair[b, a] = np.arange(len(a))
    return _Places(a, b, np.where(a == b, 0.5, 1.0), pair)


@lru_cache(maxsize=8)
def _orders(p: int) -> tuple[IntArray, IntArray]:
    """(q, q) places of [ac, bd] and [ad, bc] in a flat (q, q) table, for pairs (a, b) and (c, d)."""
    places = _places(p)
    a, b, pair = places.row, places.column, places.pair
    aa, ab, bb = pair[a][:, a], pair[a][:, b], pair[b][:, b]
    return aa * len(a) + bb, ab * len(a) + ab.T


def _own_means(layout: Layout) -> FloatArray:
    """(p, r) derivatives of μ where nothing but the means themselves moves it."""
    found = np.zeros((len(layout.items), len(layout.row)))
    at = np.flatnonzero(layout.share == 0.0)
    found[layout.row[at], at] = 1.0 / layout.scale[layout.row[at]]
    return found


def _picked(layout: Layout, sums: CaseSums, places: _Places) -> tuple[FloatArray, FloatArray, FloatArray]:
    """tr(W ∂Σ_q W ∂Σ_r), tr(W ∂Σ_q W S* W ∂Σ_r) and d_rᵀ W ∂Σ_q w where each row is one entry of Σ or μ."""
    unit, is_mean, place = 1.0 / layout.scale, layout.share == 0.0, places.pair
    i, j = layout.row, np.where(is_mean, layout.row, layout.column)
    ii, ij, jj = place[np.ix_(i, i)], place[np.ix_(i, j)], place[np.ix_(j, j)]
    size, at = layout.share * unit[i] * unit[j], place[i, j]
    both = []
    for table in (sums.plain, sums.mixed):
        if len(unit) > _MOST_PAIRED:
            found = table[ij.T, ij] + table[ii, jj] + table[jj, ii] + table[ij, ij.T]
        else:
            found = pair_table(table + table.T)[np.ix_(at, at)]
        both.append(found * np.outer(size, size))
    mean = np.where(is_mean, unit[i], 0.0)
    cross = (sums.joint[ii, j[None, :]] + sums.joint[ij, i[None, :]]) * size * mean[:, None]
    return both[0], both[1], cross


def _around_rows(by_sigma: FloatArray, table: FloatArray, places: _Places) -> FloatArray:
    """tr(W ∂Σ_q · ∂Σ_r) for many variables, one row of Σ at a time, so that 80 variables need no p⁴ table."""
    p, place, flat = len(by_sigma), places.pair, by_sigma.reshape(len(by_sigma) ** 2, -1)
    found = np.zeros((flat.shape[1],) * 2)
    for a in range(p):
        middle = table[place[a][:, None, None], place[None]]  # [c, b, d]: Σ W_ac W_bd
        found += (by_sigma[a].T @ middle.swapaxes(0, 1).reshape(p, p * p)) @ flat
    return found


# --- many draws


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
    """Gradient of F/2, (draws, n_free), for a layout that `is_diagonal`: nothing p × p is inverted.

    With D = Θ⁻¹ and J = Λᵀ D Λ, Σ⁻¹ = D - D Λ N Λᵀ D, N = (I + Φ J)⁻¹ Φ (Woodbury), so that products of p × k matrices
    do. `theta` is (draws, n_free), `covariance` (draws, p, p) in units of the scale.
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
