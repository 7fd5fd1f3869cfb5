"""The models a linked fit is compared with: any covariance between units, and none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.latent.optimizer import minimise
from roxmodel.estimate.latent.unit_objective import NoisyObjective
from roxmodel.implied.between import condensed
from roxmodel.implied.curvature import CaseSums, curvature
from roxmodel.implied.layout import Layout, saturated
from roxmodel.implied.matrices import bank_of, implied
from roxmodel.implied.noisy import NoisyMeans, expand_noisy, inverse_of_noisy
from roxmodel.implied.normal import Expansion, Target
from roxmodel.implied.together import together_of
from roxmodel.types import FloatArray

__all__ = ["Between", "any_covariance", "no_covariance"]

_MOST_ITEMS = 45  # up to which the model without structure is estimated
_GAP = 1e-3  # what -2 loglik may lack at the end
_MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Between:
    """Means and covariances between units, in units of the scale, and half the deviance per unit there.

    The likelihood is the same whatever the covariance of two items that no unit knows both of: it is NaN.

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


def any_covariance(items: tuple[str, ...], data: NoisyMeans, start: Target) -> Between | None:
    """Any means, any positive semi-definite covariance between units; None beyond 45 items.

    A primal-dual interior-point method: Σ and the multiplier Z of its bound stay positive definite while their product
    falls to 0, at whose end -2 loglik lacks J tr(Σ Z) at most (Boyd & Vandenberghe 2004, Convex optimization, ch. 11;
    Helmberg et al. 1996, doi 10.1137/0806020).
    """
    p = len(items)
    if p > _MOST_ITEMS:
        return None
    layout, theta = saturated(items, np.ones(p), (start.mean, start.covariance))
    last = _GAP / (p * data.size)
    found = expand_noisy(layout, theta, data)
    dual = _multiplier(layout, theta, data)
    level, done = 0.1 * float((start.covariance * dual).sum()) / p, False
    for _ in range(_MOST_STEPS):
        moved = _step(layout, theta, dual, (found, level))
        rooms = None if moved is None else _rooms(layout, theta, dual, moved[:2])
        if moved is None or rooms is None:
            break
        step, turn, decrement = moved
        size, dual_size = (min(1.0, 0.95 * room) for room in rooms)
        there, ahead = theta, found
        for _ in range(20):
            there = theta + size * step
            ahead = expand_noisy(layout, there, data)
            if np.isfinite(ahead.value) and ahead.value <= found.value + 0.5 * abs(decrement) + 1e-9:
                break
            size *= 0.5
        theta, found, dual = there, ahead, dual + dual_size * turn
        gap = float((implied(layout, theta).sigma * dual).sum()) / p
        if gap < last and decrement < 1e-3 / data.size and size > 0.5:
            done = True
            break
        level = max((0.1 if min(size, dual_size) > 0.7 else 0.4) * gap, 0.05 * last)
    at = implied(layout, theta)
    sd = np.sqrt(np.diag(at.sigma))
    lowest = float(np.linalg.eigvalsh(at.sigma / np.outer(sd, sd))[0])
    sigma = np.where(together_of(data.seen) <= 0, np.nan, at.sigma)
    return Between(Target(at.mu, sigma), found.value, done and bool(np.isfinite(found.value)), lowest < 1e-4)


def _step(
    layout: Layout, theta: FloatArray, dual: FloatArray, known: tuple[Expansion, float]
) -> tuple[FloatArray, FloatArray, float] | None:
    """Newton step of the parameters and of the multiplier, and what it promises; None where there is none."""
    found, level = known
    at = implied(layout, theta)
    inverse = np.asarray(np.linalg.inv(at.sigma), dtype=np.float64)
    inverse = (inverse + inverse.T) / 2
    low = np.tril_indices(len(inverse))
    both = np.outer(inverse[low], dual[low])
    nothing = np.zeros_like(inverse)
    own, _ = curvature(layout, at, CaseSums(both, np.zeros_like(both), np.zeros((len(low[0]), len(inverse))), nothing))
    bank = bank_of(layout, at)
    gradient = found.gradient - level * layout.share * (bank.T @ inverse @ bank)[layout.u, layout.v]
    curve = found.hessian + own
    try:
        np.linalg.cholesky(curve)
    except np.linalg.LinAlgError:
        curve = found.information + own
    try:
        step = -np.asarray(np.linalg.solve(curve, gradient), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(step).all():
        return None
    ahead = implied(layout, theta + step).sigma - at.sigma
    turn = level * inverse - dual - (inverse @ ahead @ dual + dual @ ahead @ inverse) / 2
    return step, turn, -float(gradient @ step)


def _multiplier(layout: Layout, theta: FloatArray, data: NoisyMeans) -> FloatArray:
    """Z to begin with: what pushes against the bound, and a little in all other directions."""
    at, pull = implied(layout, theta), np.zeros_like(data.noise[0])
    for block in data.blocks():
        inverse, _ = inverse_of_noisy(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        pushed = (inverse @ rest[:, :, None])[:, :, 0]
        share = block.weight / data.size
        pull += np.tensordot(share, inverse, 1) - (pushed * share[:, None]).T @ pushed
    values, vectors = np.linalg.eigh(pull)
    least = 0.02 * max(float(np.abs(values).max()), 1e-6)
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T)


def _rooms(
    layout: Layout, theta: FloatArray, dual: FloatArray, steps: tuple[FloatArray, FloatArray]
) -> tuple[float, float] | None:
    """How far the two may go until they are no longer positive definite; None where they no longer are."""
    at, found = implied(layout, theta).sigma, []
    for matrix, change in ((at, implied(layout, theta + steps[0]).sigma - at), (dual, steps[1])):
        try:
            root = np.linalg.inv(np.linalg.cholesky(matrix))
        except np.linalg.LinAlgError:
            return None
        lowest = float(np.linalg.eigvalsh(root @ change @ root.T)[0])
        found.append(np.inf if lowest >= 0 else -1.0 / lowest)
    return found[0], found[1]


def no_covariance(items: tuple[str, ...], data: NoisyMeans, start: Target) -> tuple[float, bool]:
    """Half the deviance per unit where items do not covary between units, and whether its optimum was reached."""
    p = len(items)
    variances = np.diag(np.diag(start.covariance))
    layout, theta = saturated(items, np.ones(p), (start.mean, variances), diagonal=True)
    lower = np.where(np.arange(layout.n_free) < p, -np.inf, 0.0)
    first = minimise(NoisyObjective(layout, condensed(data)), theta, lower)
    found = minimise(NoisyObjective(layout, data), first.theta, lower)
    return found.expansion.value, found.converged
