"""The models a linked fit is compared with: any covariance between units, and none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.sem.optimizer import minimise
from roxmodel.implied.curvature import curvature, sums_of
from roxmodel.implied.layout import Layout, saturated
from roxmodel.implied.matrices import bank_of, implied
from roxmodel.implied.noisy import NoisyMeans, expand_noisy, half_deviance_noisy, inverse_of_noisy
from roxmodel.implied.normal import Target
from roxmodel.types import FloatArray

__all__ = ["Between", "any_covariance", "moments_between", "no_covariance"]

_MOST_ITEMS = 45  # up to which the model without structure is estimated
_GAP = 1e-4  # what -2 loglik may lack at the end
_EM_STEPS = 8
_MOST_STEPS = 60
_EIGEN = 0.02  # smallest eigenvalue of the correlation that EM starts from


@dataclass(frozen=True, slots=True)
class Between:
    """Means and covariances between units, in units of the scale, and half the deviance per unit there.

    Attributes
    ----------
    moments
        (p,) and (p, p).
    value
        Half of -2 loglik per unit, without log 2π.
    converged
        Whether the optimum was reached.
    edge
        Whether the covariance has no digits left in some direction (it is at the edge of the possible).
    """

    moments: Target
    value: float
    converged: bool
    edge: bool


def moments_between(data: NoisyMeans, steps: int = _EM_STEPS) -> Target:
    """Covariance between units: that of the means less that of their errors, made possible, then some steps of EM.

    Parameters
    ----------
    data
        Units' means with their noise.
    steps
        Of EM, each of which raises the likelihood.

    References
    ----------
    Dempster, Laird & Rubin (1977), doi 10.1111/j.2517-6161.1977.tb01600.x.
    """
    weight = data.weight[:, None] * data.seen
    count = weight.sum(axis=0)
    mean = (weight * data.mean).sum(axis=0) / count
    rest = np.where(data.seen, data.mean - mean, 0.0)
    pairs = (data.weight[:, None] * data.seen).T @ data.seen
    total = (data.weight[:, None] * rest).T @ rest
    both = data.seen[:, :, None] & data.seen[:, None, :]
    error = np.tensordot(data.weight, np.where(both, data.noise, 0.0), 1)
    safe = np.maximum(pairs, 1.0)
    covariance = _possible((total - error) / safe, np.diag(total) / np.diag(safe))
    for _ in range(steps):
        try:
            inverse, _logdet = inverse_of_noisy(data, covariance)
        except np.linalg.LinAlgError:
            break
        rest = np.where(data.seen, data.mean - mean, 0.0)
        pushed = (inverse @ rest[:, :, None])[:, :, 0]
        share = data.weight / data.size
        pull = np.tensordot(share, inverse, 1) - (pushed * share[:, None]).T @ pushed
        covariance = covariance - covariance @ pull @ covariance
        covariance = (covariance + covariance.T) / 2
        information = np.tensordot(data.weight, inverse, 1)
        mean = mean + np.linalg.solve(information, data.weight @ pushed)
    return Target(mean, covariance)


def _possible(matrix: FloatArray, variance: FloatArray) -> FloatArray:
    """A positive definite covariance near one that may not be."""
    own = np.maximum(np.diag(matrix), 0.05 * variance)
    sd = np.sqrt(own)
    correlation = matrix / np.outer(sd, sd)
    np.fill_diagonal(correlation, 1.0)
    correlation = np.clip(correlation, -0.98, 0.98)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < _EIGEN:
        correlation = (vectors * np.maximum(values, _EIGEN)) @ vectors.T
        unit = np.sqrt(np.diag(correlation))
        correlation = correlation / np.outer(unit, unit)
    return np.asarray(correlation * np.outer(sd, sd))


def any_covariance(items: tuple[str, ...], data: NoisyMeans, start: Target) -> Between | None:
    """Any means, any positive semi-definite covariance between units; None beyond 45 items.

    Newton's method inside the cone with a falling barrier -τ log|Σ| / 2, at whose end -2 loglik lacks τ p J at most
    (Boyd & Vandenberghe 2004, Convex optimization, ch. 11); without a barrier where the optimum is inside.
    """
    p = len(items)
    if p > _MOST_ITEMS:
        return None
    layout, theta = saturated(items, np.ones(p), (start.mean, start.covariance))
    last = _GAP / (p * data.size)
    barrier, steps, done = 1e-2, 0, False
    here = _expanded(layout, theta, data, barrier)
    while steps < _MOST_STEPS:
        steps += 1
        moved = _newton(layout, theta, data, barrier, here)
        if moved is None:
            break
        theta, here, decrement = moved
        if decrement < max(1e-3 * barrier, 1e-12):
            if barrier <= last:
                done = True
                break
            barrier = max(barrier * 0.05, last)
            here = _expanded(layout, theta, data, barrier)
    at = implied(layout, theta)
    value = half_deviance_noisy(layout, theta, data)
    sd = np.sqrt(np.diag(at.sigma))
    lowest = float(np.linalg.eigvalsh(at.sigma / np.outer(sd, sd))[0])
    return Between(Target(at.mu, at.sigma), value, done, lowest < 1e-4)


@dataclass(frozen=True, slots=True)
class _Expanded:
    value: float
    gradient: FloatArray
    curve: FloatArray


def _expanded(layout: Layout, theta: FloatArray, data: NoisyMeans, barrier: float) -> _Expanded:
    at = implied(layout, theta)
    found = expand_noisy(layout, theta, data)
    inverse = np.linalg.inv(at.sigma)
    inverse = (inverse + inverse.T) / 2
    zero = np.zeros((1, len(inverse), len(inverse)))
    own, _ = curvature(layout, at, sums_of(np.ones(1), inverse[None], zero, zero[:, 0]))
    means = layout.share == 0.0
    own[np.ix_(means, means)] = 0.0
    bank = bank_of(layout, at)
    slope = layout.share * (bank.T @ inverse @ bank)[layout.u, layout.v]
    value = found.value - barrier * np.linalg.slogdet(at.sigma)[1] / 2
    curve = found.hessian + barrier * own
    try:
        np.linalg.cholesky(curve)
    except np.linalg.LinAlgError:
        curve = found.information + barrier * own
    return _Expanded(value, found.gradient - barrier * slope, curve)


def _newton(
    layout: Layout, theta: FloatArray, data: NoisyMeans, barrier: float, here: _Expanded
) -> tuple[FloatArray, _Expanded, float] | None:
    try:
        step = -np.linalg.solve(here.curve, here.gradient)
    except np.linalg.LinAlgError:
        return None
    decrement = -float(here.gradient @ step)
    if not np.isfinite(decrement) or decrement < 0:
        return None
    size = min(1.0, 0.95 * _room(layout, theta, step))
    for _ in range(30):
        there = theta + size * step
        value = half_deviance_noisy(layout, there, data)
        if np.isfinite(value):
            value -= barrier * np.linalg.slogdet(implied(layout, there).sigma)[1] / 2
            if value <= here.value - 1e-4 * size * decrement or decrement < 1e-13:
                return there, _expanded(layout, there, data, barrier), decrement
        size /= 2
    return None


def _room(layout: Layout, theta: FloatArray, step: FloatArray) -> float:
    """How far a step may go until the covariance is no longer positive definite."""
    at = implied(layout, theta).sigma
    ahead = implied(layout, theta + step).sigma - at
    root = np.linalg.inv(np.linalg.cholesky(at))
    lowest = float(np.linalg.eigvalsh(root @ ahead @ root.T)[0])
    return np.inf if lowest >= 0 else -1.0 / lowest


@dataclass(frozen=True, slots=True)
class _Objective:
    layout: Layout
    data: NoisyMeans

    def value(self, theta: FloatArray) -> float:
        return half_deviance_noisy(self.layout, theta, self.data)

    def expand(self, theta: FloatArray):  # type: ignore[no-untyped-def]
        return expand_noisy(self.layout, theta, self.data)


def no_covariance(items: tuple[str, ...], data: NoisyMeans, start: Target) -> tuple[float, bool]:
    """Half the deviance per unit where items do not covary between units, and whether its optimum was reached."""
    p = len(items)
    layout, theta = saturated(items, np.ones(p), (start.mean, np.diag(np.diag(start.covariance))), diagonal=True)
    lower = np.where(np.arange(layout.n_free) < p, -np.inf, 0.0)
    found = minimise(_Objective(layout, data), theta, lower)
    return found.expansion.value, found.converged
