"""The normal discrepancy of complete data: value, gradient, Hessian and information, per observation.

F/2 = ½ (log|Σ| + tr(Σ⁻¹ S*) - log|S| - p), S* = S + (m - μ)(m - μ)ᵀ. Leading axes are draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, bank_of, implied, mean_weight, second_order
from roxmodel.types import FloatArray

__all__ = ["Expansion", "Target", "expand", "half_discrepancy", "is_regular", "slope"]

_SINGULAR = 1e-12  # share of a variance that the other variables leave, below which only rounding is left


@dataclass(frozen=True, slots=True)
class Target:
    """Sample moments in units of the layout's scale.

    Attributes
    ----------
    mean, covariance
        (…, p) and (…, p, p), divisor n.
    """

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True)
class Expansion:
    """F/2 around one theta, per observation.

    Attributes
    ----------
    value
        F/2, infinite where Σ is not positive definite.
    gradient
        (n_free,).
    hessian, information
        (n_free, n_free): observed and expected.
    """

    value: float
    gradient: FloatArray
    hessian: FloatArray
    information: FloatArray


def _rest(layout: Layout, at: Implied, target: Target) -> FloatArray:
    return target.mean - at.mu if layout.means else np.zeros_like(at.mu)


def half_discrepancy(layout: Layout, theta: FloatArray, target: Target) -> float:
    """F/2 at one theta; infinite where Σ is not positive definite."""
    return _value(implied(layout, theta), layout, target)


def _value(at: Implied, layout: Layout, target: Target) -> float:
    inverse, logdet = _inverse(at.sigma)
    if inverse is None:
        return float("inf")
    rest = _rest(layout, at, target)
    own = np.linalg.slogdet(target.covariance)[1]
    distance = float((inverse * target.covariance).sum() + rest @ inverse @ rest)
    return float(0.5 * (logdet - own + distance - len(rest)))


def is_regular(sigma: NDArray[np.floating[Any]], inverse: NDArray[np.floating[Any]]) -> bool:
    """Whether a matrix has digits left: rounding may factorise a singular one, in one order of its rows or another.

    1 / (σ_jj σ^jj) is the share of a variable's variance that the others leave, whatever the order. A likelihood that
    goes on there would be one of rounding errors, without bound.

    Parameters
    ----------
    sigma, inverse
        (…, p, p) a covariance matrix and its inverse.
    """
    both = np.diagonal(sigma, axis1=-2, axis2=-1) * np.diagonal(inverse, axis1=-2, axis2=-1)
    return bool((both > 0).all() and (both < 1.0 / _SINGULAR).all())


def _inverse(sigma: FloatArray) -> tuple[FloatArray | None, float]:
    """Σ⁻¹ and log|Σ|; None where Σ is not positive definite, or singular to the last digit."""
    try:
        root = np.linalg.cholesky(sigma)
        inverse = np.linalg.inv(sigma)
    except np.linalg.LinAlgError:
        return None, float("inf")
    if not is_regular(sigma, inverse):
        return None, float("inf")
    return np.asarray((inverse + inverse.T) / 2, dtype=np.float64), 2 * float(np.log(np.diagonal(root)).sum())


def expand(layout: Layout, theta: FloatArray, target: Target) -> Expansion:
    """F/2 with its derivatives at one theta; where Σ is not positive definite, only an infinite value."""
    at = implied(layout, theta)
    inverse, logdet = _inverse(at.sigma)
    if inverse is None:
        nothing = np.full((layout.n_free,) * 2, np.nan)
        return Expansion(float("inf"), np.full(layout.n_free, np.nan), nothing, nothing)
    rest = _rest(layout, at, target)
    seen = target.covariance + np.outer(rest, rest)
    own = np.linalg.slogdet(target.covariance)[1]
    value = float(0.5 * (logdet - own + (inverse * seen).sum() - len(seen)))
    pulled = inverse - inverse @ seen @ inverse
    bank = bank_of(layout, at)
    pull, plain, push = bank.T @ pulled @ bank, bank.T @ inverse @ bank, bank.T @ (inverse @ rest)
    weight, link = mean_weight(layout, at), layout.link
    gradient = layout.share * pull[layout.u, layout.v] - weight * push[layout.d]
    information, turned = _contracted(layout, plain, pull)
    if layout.means:
        information = information + np.outer(weight, weight) * plain[layout.d][:, layout.d]
    observed = information - turned + second_order(layout, at, pull, push)
    if layout.means:
        cross = _crossed(layout, plain, push) * weight[:, None]
        observed = observed + cross + cross.T
    return Expansion(value, gradient @ link, link.T @ observed @ link, link.T @ information @ link)


def _contracted(layout: Layout, plain: FloatArray, pull: FloatArray) -> tuple[FloatArray, FloatArray]:
    """½ tr(W ∂Σ_q W ∂Σ_r) and tr(W ∂Σ_q G ∂Σ_r) for every pair of rows, W and G seen through the bank."""
    u, v = layout.u, layout.v
    across, first, second = plain[v][:, u], plain[u][:, u], plain[v][:, v]
    pulled, first_pulled, second_pulled = pull[v][:, u], pull[u][:, u], pull[v][:, v]
    shares = np.outer(layout.share, layout.share)
    half = across * across.T + first * second
    turned = across * pulled.T + across.T * pulled + first * second_pulled + second * first_pulled
    return half * shares, turned * shares


def _crossed(layout: Layout, plain: FloatArray, push: FloatArray) -> FloatArray:
    """d_rᵀ W ∂Σ_q w for every pair of rows."""
    u, v, d = layout.u, layout.v, layout.d
    return (plain[d][:, u] * push[v] + plain[d][:, v] * push[u]) * layout.share


def slope(layout: Layout, theta: FloatArray, target: Target) -> FloatArray:
    """Gradient of F/2 for many draws at once, (draws, n_free).

    Parameters
    ----------
    layout
        The model.
    theta
        (draws, n_free), where Σ is positive definite.
    target
        Moments of each draw.
    """
    at = implied(layout, theta)
    inverse = np.linalg.inv(at.sigma)
    rest = _rest(layout, at, target)
    pushed = (inverse @ rest[..., None])[..., 0]
    pulled = inverse - inverse @ target.covariance @ inverse
    if layout.means:
        pulled -= pushed[..., :, None] * pushed[..., None, :]
    bank = bank_of(layout, at)
    pull = bank.swapaxes(-1, -2) @ pulled @ bank
    rows = layout.share * pull[..., layout.u, layout.v]
    if layout.means:
        push = (bank.swapaxes(-1, -2) @ pushed[..., None])[..., 0]
        rows -= mean_weight(layout, at) * push[..., layout.d]
    return np.asarray(rows @ layout.link)
