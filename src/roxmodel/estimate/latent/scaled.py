"""Scaling factors of the test: by what the normal-theory statistic is too large when answers are not normal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.estimate.latent.casewise import score_products
from roxmodel.estimate.latent.patterns import Patterns, expand_patterns
from roxmodel.estimate.latent.row_sample import GroupSample, Sample
from roxmodel.estimate.latent.row_unrestricted import Yardstick
from roxmodel.implied.layout import Layout
from roxmodel.implied.normal import Target, expand
from roxmodel.types import FloatArray

__all__ = ["inverse_of", "restricted_trace", "saturated_trace"]

_BLOCK = 1 << 12


def saturated_trace(sample: Sample, free: Yardstick, given: tuple[int, ...]) -> float:
    """tr(A⁻¹ B) of the saturated model, A its information and B the products of its scores, over all groups.

    References
    ----------
    Yuan & Bentler (2000), doi 10.1111/0081-1750.00078; Asparouhov & Muthén (2005), as `chisq_scaled` uses them.
    """
    total = 0.0
    for layout, theta, group in zip(free.layouts, free.thetas, sample.groups, strict=True):
        if group.patterns is None and not given:
            total += _whitened(group, layout.means)
            continue
        data: Target | Patterns = group.patterns or group.target
        at = expand_patterns(layout, theta, data) if isinstance(data, Patterns) else expand(layout, theta, data)
        products = score_products(layout, theta, group) / _size(group)
        total += float(np.trace(inverse_of(at.hessian) @ products))
    return total


def _size(group: GroupSample) -> float:
    """What a group's score products are divided by: the sum of its weights."""
    return float(group.n if group.weights is None else group.weights.sum())


def _whitened(group: GroupSample, means: bool) -> float:
    """The same for complete data in closed form: from the fourth moments of the whitened rows."""
    rows = group.rows
    if rows is None:
        raise ValueError("a scaled test needs rows")  # callers refuse moments before
    p = rows.shape[1]
    root = np.linalg.inv(np.linalg.cholesky(group.target.covariance)).T
    total = 0.0
    clusters = group.clusters
    count = 0 if clusters is None else int(clusters.max()) + 1
    sums, firsts = np.zeros((count, p, p)), np.zeros((count, p))
    weight_sums = np.zeros(count)
    for low in range(0, len(rows), _BLOCK):
        white = (rows[low : low + _BLOCK] - group.target.mean) @ root
        own = np.ones(len(white)) if group.weights is None else group.weights[low : low + _BLOCK]
        if clusters is None:
            square = (white * white).sum(axis=1)
            trace = 0.5 * (square * square - 2 * square + p) + (square if means else 0.0)
            total += float((own * own if group.sampling else own) @ trace)
            continue
        at = clusters[low : low + _BLOCK]
        np.add.at(sums, at, own[:, None, None] * white[:, :, None] * white[:, None, :])
        np.add.at(firsts, at, own[:, None] * white)
        np.add.at(weight_sums, at, own)
    if clusters is not None:
        used = len(np.unique(clusters))
        sums -= weight_sums[:, None, None] * np.eye(p)
        total = 0.5 * float((sums * sums).sum()) + (float((firsts * firsts).sum()) if means else 0.0)
        total *= used / (used - 1)
    return total / _size(group)


def restricted_trace(layouts: Sequence[Layout], sample: Sample, theta: FloatArray, inverse: FloatArray) -> float:
    """tr(A⁻¹ B) of a model with structure; `inverse` is A⁻¹, per observation."""
    products = np.zeros_like(inverse)
    for layout, group in zip(layouts, sample.groups, strict=True):
        products += score_products(layout, theta, group)
    return float(np.trace(inverse @ products)) / sample.n


def inverse_of(matrix: FloatArray) -> FloatArray:
    """Inverse of a symmetric positive definite matrix, scaled to a unit diagonal first."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    return np.asarray(np.linalg.inv(matrix / np.outer(scale, scale)) / np.outer(scale, scale))
