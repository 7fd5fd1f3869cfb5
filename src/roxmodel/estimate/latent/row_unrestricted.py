"""The models that a fit is compared with: no structure at all, and no covariances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.latent.optimizer import minimise
from roxmodel.estimate.latent.patterns import Patterns, half_deviance, inverted
from roxmodel.estimate.latent.row_objective import Objective, Part
from roxmodel.estimate.latent.row_sample import GroupSample, Sample
from roxmodel.implied.layout import Layout, saturated
from roxmodel.implied.normal import Target, half_discrepancy
from roxmodel.types import FloatArray

__all__ = ["Yardstick", "baseline_of", "saturated_of"]

_NEWTON = 45  # variables up to which the saturated moments are finished by Newton's method
_EM_STEPS, _EM_APART = 3, 30
_MOST_EM = 2_000
_SINGULAR = 1e-8  # smallest eigenvalue of a correlation matrix that has an estimate


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A model without structure, one layout and theta for each group.

    Attributes
    ----------
    layouts
        One for each group, each with a theta of its own.
    thetas
        (own n_free,) estimates.
    value
        F/2 (complete data) or half of -2 loglik (missing answers), per observation over all groups.
    moments
        Means and covariances at the estimates, in units of the scale; NaN for pairs that were never seen together.
    """

    layouts: tuple[Layout, ...]
    thetas: tuple[FloatArray, ...]
    value: float
    moments: tuple[Target, ...]

    @property
    def n_free(self) -> int:
        """Parameters over all groups."""
        return sum(layout.n_free for layout in self.layouts)


def saturated_of(sample: Sample, means: bool, given: tuple[int, ...], laid_out: bool = True) -> Yardstick:
    """Estimate all moments freely: the sample's own, or with missing answers by EM and Newton's method.

    Covariances of items that never met are no parameters (the likelihood is the same whatever they are) and NaN.

    References
    ----------
    Dempster, Laird & Rubin (1977), doi 10.1111/j.2517-6161.1977.tb01600.x.
    """
    if sample.complete and not laid_out:  # complete data are reproduced exactly: nothing needs to be laid out
        return Yardstick((), (), 0.0, tuple(group.target for group in sample.groups))
    found = [_saturated_group(sample, group, means, given) for group in sample.groups]
    return _joined(sample, found)


def baseline_of(sample: Sample, means: bool, given: tuple[int, ...]) -> Yardstick:
    """Estimate uncorrelated variables; those given keep the covariances among themselves.

    Each variable is alone then, so its optimum is the mean and the variance of its own answers, missing ones or not.
    """
    found = []
    for group in sample.groups:
        known = (group.target.mean, group.target.covariance)
        layout, theta = saturated(sample.items, sample.scale, known, diagonal=True, means=means, given=given)
        spread = np.diag(np.diag(group.target.covariance)) if not given else group.target.covariance
        found.append((layout, theta, _value(layout, theta, group), Target(group.target.mean, spread)))
    return _joined(sample, found)


Found = tuple[Layout, FloatArray, float, Target]


def _joined(sample: Sample, found: Sequence[Found]) -> Yardstick:
    shares = [group.n / sample.n for group in sample.groups]
    value = float(sum(s * one[2] for s, one in zip(shares, found, strict=True)))
    return Yardstick(
        tuple(one[0] for one in found), tuple(one[1] for one in found), value, tuple(one[3] for one in found)
    )


def _value(layout: Layout, theta: FloatArray, group: GroupSample) -> float:
    if group.patterns is not None:
        return half_deviance(layout, theta, group.patterns)
    return half_discrepancy(layout, theta, group.target)


def _saturated_group(sample: Sample, group: GroupSample, means: bool, given: tuple[int, ...]) -> Found:
    target, settled, apart = group.target, False, group.apart
    few = len(sample.items) <= _NEWTON
    for steps in (_EM_APART if apart.any() else _EM_STEPS, _MOST_EM) if few else (_MOST_EM,):
        if group.patterns is not None:
            try:
                target = _expected_moments(group.patterns, target, steps)
            except np.linalg.LinAlgError:
                raise _without_moments(sample.items, group, target.covariance) from None
        known = (target.mean, target.covariance)
        layout, theta = saturated(sample.items, sample.scale, known, means=means, given=given, apart=apart)
        if group.patterns is None or not few:
            break
        objective = Objective([Part(layout, group.patterns, 1.0)])
        found = minimise(objective, theta, np.full(layout.n_free, -np.inf))
        theta, settled = found.theta, found.converged
        if settled or not apart.any():  # else what never met stands in the way of what did: EM moves both
            target = _target_of(layout, theta)
            break
    if group.patterns is not None:
        lowest = float(np.linalg.eigvalsh(_correlation(target.covariance))[0])
        if not lowest > (_SINGULAR if settled else 100 * _SINGULAR):
            raise _without_moments(sample.items, group, target.covariance)
    whole = replace(target, covariance=np.where(apart, np.nan, target.covariance))
    return layout, theta, _value(layout, theta, group), whole


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


def _target_of(layout: Layout, theta: FloatArray) -> Target:
    from roxmodel.implied.matrices import implied

    at = implied(layout, theta)
    return Target(at.mu, at.sigma)


def _expected_moments(data: Patterns, start: Target, most: int) -> Target:
    """EM steps: Σ moves by -Σ G Σ, G the gradient of the deviance."""
    mean, covariance = start.mean, start.covariance
    for _ in range(most):
        inverse, _ = inverted(covariance, data.seen)
        rest = np.where(data.seen, data.mean - mean, 0.0)
        pushed = (inverse @ rest[:, :, None])[:, :, 0]
        half = inverse @ data.covariance @ inverse + pushed[:, :, None] * pushed[:, None, :]
        pull = np.tensordot(data.weight, inverse - half, 1)
        shift = covariance @ (data.weight @ pushed)
        change = covariance @ pull @ covariance + np.outer(shift, shift)
        mean, covariance = mean + shift, covariance - (change + change.T) / 2
        if np.abs(change).max() < 1e-12 and np.abs(shift).max() < 1e-12:
            break
    return Target(mean, covariance)
