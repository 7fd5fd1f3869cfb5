"""Standard errors: inverse information, sandwich; and whether the parameters can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.sem.casewise import adf_products, score_products
from roxmodel.estimate.sem.optimizer import Minimum
from roxmodel.estimate.sem.sample import Sample
from roxmodel.implied.layout import Layout
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Bread", "bread_of", "huber_white", "satorra_bentler"]

_FLAT = 1e-9  # smallest eigenvalue of the scaled information that still identifies


@dataclass(frozen=True, slots=True)
class Bread:
    """Inverse information of what is free to move.

    Attributes
    ----------
    inverse
        (n_free, n_free) inverse of the information per observation; zero rows for parameters at their bound.
    information
        (n_free, n_free) that was inverted.
    condition
        Condition number of the scaled information (by the 1-norm; by eigenvalues where it is nearly singular).
    flat
        (n_free,) direction that the data do not determine, scaled to unit length; None if there is none.
    negative
        Whether the observed information has a negative direction, so that the expected one took its place.
    """

    inverse: FloatArray
    information: FloatArray
    condition: float
    flat: FloatArray | None
    negative: bool = False


def bread_of(found: Minimum, observed: bool) -> Bread:
    """Invert the information at the optimum.

    Parameters
    ----------
    found
        The optimum.
    observed
        Observed (Hessian) or expected information.

    References
    ----------
    Efron & Hinkley (1978), doi 10.1093/biomet/65.3.457.
    """
    moving = ~found.bound
    chosen = found.expansion.hessian if observed else found.expansion.information
    expected = found.expansion.information
    plain = _inverted(chosen, expected, moving)
    if observed and plain[2] is None and plain[3] <= 0:
        plain = _inverted(expected, expected, moving)
        return Bread(plain[0], expected, plain[1], plain[2], negative=True)
    return Bread(plain[0], chosen, plain[1], plain[2])


def _inverted(
    matrix: FloatArray, reference: FloatArray, moving: BoolArray
) -> tuple[FloatArray, float, FloatArray | None, float]:
    count = len(matrix)
    inverse = np.zeros((count, count))
    if not moving.any():
        return inverse, 1.0, None, 1.0
    at = np.ix_(moving, moving)
    own = np.diag(reference)[moving]
    scale = np.sqrt(np.where(own > 0, own, max(float(own.max()), 1e-200)))  # 0 or less: only rounding is left of it
    outer = np.outer(scale, scale)
    scaled = matrix[at] / outer
    try:
        if np.diag(np.linalg.cholesky(scaled)).min() ** 2 > 1e-6:  # clearly positive definite: no eigenvalues needed
            own = np.linalg.inv(scaled)
            inverse[at] = (own + own.T) / 2 / outer
            return inverse, float(np.linalg.norm(scaled, 1) * np.linalg.norm(own, 1)), None, 1.0
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    top, low = float(values[-1]), float(values[0])
    flat = None
    if abs(low) < _FLAT * top:
        flat = np.zeros(count)
        flat[moving] = vectors[:, 0]
    usable = np.where(np.abs(values) < _FLAT * top, np.inf, values)
    inverse[at] = (vectors / usable) @ vectors.T / outer
    return inverse, top / max(abs(low), 1e-300), flat, low


def huber_white(layouts: Sequence[Layout], sample: Sample, theta: FloatArray) -> FloatArray:
    """Σ_i s_i s_iᵀ / n, (n_free, n_free): the middle of the sandwich.

    References
    ----------
    Huber (1967), Proc. 5th Berkeley Symposium 1, 221-233; White (1982), doi 10.2307/1912526.
    """
    found = np.zeros((len(theta),) * 2)
    for layout, group in zip(layouts, sample.groups, strict=True):
        found += score_products(layout, theta, group)
    return found / sample.n


def satorra_bentler(
    layouts: Sequence[Layout], sample: Sample, theta: FloatArray, given: tuple[int, ...] = ()
) -> tuple[FloatArray, float]:
    """Distribution-free middle, (n_free, n_free), and tr(A Γ) over all groups."""
    found, trace = np.zeros((len(theta),) * 2), 0.0
    for layout, group in zip(layouts, sample.groups, strict=True):
        products, own = adf_products(layout, theta, group, given)
        found += products * group.n / sample.n
        trace += own
    return found, trace
