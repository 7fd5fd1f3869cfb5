"""The models that a fit is compared with: no structure at all, and no covariances; of people, and between units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.latent.optimizer import minimise
from roxmodel.estimate.latent.sample import GroupSample, Sample
from roxmodel.implied.curvature import CaseSums, curvature
from roxmodel.implied.identification import together_of
from roxmodel.implied.likelihood import (
    Expansion,
    NormalCells,
    Objective,
    Part,
    Target,
    expand,
    half_deviance,
    objective_of_units,
    pulls,
)
from roxmodel.implied.matrices import Layout, bank_of, implied, saturated
from roxmodel.implied.starts import condensed
from roxmodel.types import FloatArray

__all__ = ["Between", "Yardstick", "any_covariance", "baseline_of", "no_covariance", "saturated_of"]

_MOST_ITEMS = 45  # up to which moments of missing answers are finished by Newton's method, those of units are estimated
_EM_STEPS, _EM_APART = 3, 30
_MOST_EM = 2_000
_SINGULAR = 1e-8  # smallest eigenvalue of a correlation matrix that has an estimate
_GAP = 1e-3  # what -2 loglik of units may lack at the end
_MOST_STEPS = 60


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A model without structure: for each group a layout with a theta of its own, and what they imply."""

    layouts: tuple[Layout, ...]
    thetas: tuple[FloatArray, ...]
    value: float  # half the deviance per case over all groups
    # in units of the scale; NaN for pairs that were never seen together, of which the likelihood says nothing
    moments: tuple[Target, ...]

    @property
    def n_free(self) -> int:
        """Parameters over all groups."""
        return sum(layout.n_free for layout in self.layouts)


Found = tuple[Layout, FloatArray, float, Target]


def saturated_of(sample: Sample, means: bool, given: tuple[int, ...], laid_out: bool = True) -> Yardstick:
    """Estimate all moments freely: the sample's own, or with missing answers by EM and Newton's method.

    Covariances of items that never met are no parameters (the likelihood is the same whatever they are) and NaN.
    Dempster, Laird & Rubin (1977), doi 10.1111/j.2517-6161.1977.tb01600.x.
    """
    if sample.complete and not laid_out:  # complete data are reproduced exactly: nothing needs to be laid out
        return Yardstick((), (), 0.0, tuple(group.target for group in sample.groups))
    return _joined(sample, [_saturated_group(sample, group, means, given) for group in sample.groups])


def baseline_of(sample: Sample, means: bool, given: tuple[int, ...]) -> Yardstick:
    """Estimate uncorrelated variables; those given keep the covariances among themselves.

    Each variable is alone then, so its optimum is the mean and the variance of its own answers, missing ones or not.
    """
    found = []
    for group in sample.groups:
        own = group.target
        known = (own.mean, own.covariance)
        layout, theta = saturated(sample.items, sample.scale, known, diagonal=True, means=means, given=given)
        spread = own.covariance if given else np.diag(np.diag(own.covariance))
        found.append((layout, theta, half_deviance(layout, theta, group.data), Target(own.mean, spread)))
    return _joined(sample, found)


def _joined(sample: Sample, found: Sequence[Found]) -> Yardstick:
    layouts, thetas, values, moments = zip(*found, strict=True)
    value = float(sum(group.n / sample.n * one for group, one in zip(sample.groups, values, strict=True)))
    return Yardstick(layouts, thetas, value, moments)


def _saturated_group(sample: Sample, group: GroupSample, means: bool, given: tuple[int, ...]) -> Found:
    target, settled, apart, cells = group.target, False, group.apart, group.patterns
    few = len(sample.items) <= _MOST_ITEMS
    for steps in (_EM_APART if apart.any() else _EM_STEPS, _MOST_EM) if few else (_MOST_EM,):
        if cells is not None:
            try:
                target = _expected_moments(cells, target, steps)
            except np.linalg.LinAlgError:
                raise _without_moments(sample.items, group, target.covariance) from None
        known = (target.mean, target.covariance)
        layout, theta = saturated(sample.items, sample.scale, known, means=means, given=given, apart=apart)
        if cells is None or not few:
            break
        found = minimise(Objective([Part(layout, cells)]), theta, np.full(layout.n_free, -np.inf))
        theta, settled = found.theta, found.converged
        if settled or not apart.any():  # else what never met stands in the way of what did: EM moves both
            at = implied(layout, theta)
            target = Target(at.mu, at.sigma)
            break
    if cells is not None:
        lowest = float(np.linalg.eigvalsh(_correlation(target.covariance))[0])
        if not lowest > (_SINGULAR if settled else 100 * _SINGULAR):
            raise _without_moments(sample.items, group, target.covariance)
    whole = replace(target, covariance=np.where(apart, np.nan, target.covariance))
    return layout, theta, half_deviance(layout, theta, group.data), whole


def _correlation(covariance: FloatArray) -> FloatArray:
    spread = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(spread, spread))


def _without_moments(items: Sequence[str], group: GroupSample, covariance: FloatArray) -> EstimationError:
    """Say that the likelihood of the moments grows for ever: some items determine each other where they are seen."""
    share = np.abs(np.linalg.eigh(_correlation(covariance))[1][:, 0])
    names = [name for name, own in zip(items, share, strict=True) if own > 0.3 * share.max()]
    where = f" in group {group.name!r}" if group.name else ""
    return EstimationError(
        f"With the answers that are there, the items {listed(names)} determine each other exactly{where}, so their "
        "covariance matrix has no estimate.",
        hint="Leave one of them out if it is a copy or a sum of others; else use fewer items, or more complete rows.",
    )


def _expected_moments(data: NormalCells, start: Target, most: int) -> Target:
    """EM steps: Σ moves by -Σ G Σ, G the gradient of the deviance."""
    mean, covariance = start.mean, start.covariance
    for _ in range(most):
        pull, push = pulls(data, mean, covariance)
        shift = covariance @ push
        change = covariance @ pull @ covariance + np.outer(shift, shift)
        mean, covariance = mean + shift, covariance - (change + change.T) / 2
        if np.abs(change).max() < 1e-12 and np.abs(shift).max() < 1e-12:
            break
    return Target(mean, covariance)


# --- between units


@dataclass(frozen=True, slots=True)
class Between:
    """Means and covariances between units, in units of the scale, and half the deviance per unit there.

    The likelihood is the same whatever the covariance of two items that no unit knows both of: it is NaN. `edge` says
    that the covariance has no digits left in some direction (it is at the edge of the possible).
    """

    moments: Target
    value: float
    converged: bool
    edge: bool


def any_covariance(items: tuple[str, ...], data: NormalCells, start: Target) -> Between | None:
    """Any means, any positive semi-definite covariance between units; None beyond 45 items.

    A primal-dual interior-point method: Σ and the multiplier Z of its bound stay positive definite while their product
    falls to 0, at whose end -2 loglik lacks J tr(Σ Z) at most (Boyd & Vandenberghe 2004, Convex optimization, ch. 11;
    Helmberg et al. 1996, doi 10.1137/0806020).
    """
    p, together = len(items), together_of(data.seen)
    if p > _MOST_ITEMS:
        return None
    data = data.merged()
    layout, theta = saturated(items, np.ones(p), (start.mean, start.covariance))
    last = _GAP / (p * data.size)
    found = expand(layout, theta, data)
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
            ahead = expand(layout, there, data)
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
    lowest = float(np.linalg.eigvalsh(_correlation(at.sigma))[0])
    sigma = np.where(together <= 0, np.nan, at.sigma)
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


def _multiplier(layout: Layout, theta: FloatArray, data: NormalCells) -> FloatArray:
    """Z to begin with: what pushes against the bound, and a little in all other directions."""
    at = implied(layout, theta)
    values, vectors = np.linalg.eigh(pulls(data, at.mu, at.sigma)[0] / data.size)
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


def no_covariance(items: tuple[str, ...], data: NormalCells, start: Target) -> tuple[float, bool]:
    """Half the deviance per unit where items do not covary between units, and whether its optimum was reached."""
    p = len(items)
    variances = np.diag(np.diag(start.covariance))
    layout, theta = saturated(items, np.ones(p), (start.mean, variances), diagonal=True)
    lower = np.where(np.arange(layout.n_free) < p, -np.inf, 0.0)
    first = minimise(objective_of_units(layout, condensed(data)), theta, lower)
    found = minimise(objective_of_units(layout, data), first.theta, lower)
    return found.expansion.value, found.converged
