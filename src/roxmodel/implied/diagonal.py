"""The gradient for many draws where item residuals do not covary: everything in k × k, nothing p × p is inverted.

With D = Θ⁻¹ and J = Λᵀ D Λ, Σ⁻¹ = D - D Λ N Λᵀ D, N = (I + Φ J)⁻¹ Φ (Woodbury), so that the gradient needs products of
p × k matrices only.
"""

from __future__ import annotations

import numpy as np

from roxmodel.implied.layout import DISTURBANCES, EDGES, LOADINGS, RESIDUALS, Layout
from roxmodel.implied.matrices import filled
from roxmodel.types import FloatArray

__all__ = ["is_diagonal", "slope_diagonal"]


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
