"""Unit means with sampling error of a known size: m_j ~ N(μ(θ), Σ(θ) + N_j), what is not there dropped.

The likelihood that links surveys of different people (Muthén 1994, doi 10.1177/0049124194022003006; Lüdtke et al.
2008, doi 10.1037/a0012869): θ describes the units, N_j the sampling error of their means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.implied.curvature import CaseSums, curvature, sums_of
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, bank_of, implied, mean_weight, moment_jacobian, second_order
from roxmodel.implied.normal import Expansion
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["NoisyMeans", "expand_noisy", "half_deviance_noisy", "inverse_of_noisy", "scores_noisy", "slope_noisy"]

_BLOCK = 2_048  # units at once, so that 100,000 of them stay in memory
_PIVOT = 1e-14  # smallest pivot of a covariance with ones on its diagonal that still has digits


@dataclass(frozen=True, slots=True)
class NoisyMeans:
    """Means of J units in units of the layout's scale; zeros stand where there is none.

    Attributes
    ----------
    seen
        (J, p) which variables a unit has.
    mean
        (J, p).
    noise
        (J, p, p) covariance of their sampling errors; zeros for what is known exactly.
    weight
        (J,) how often a unit counts, summing to J unless units are drawn again.
    scatter
        (J, p, p) covariance of the means where a row stands for several units of one noise; None: each for one.
    """

    seen: BoolArray
    mean: FloatArray
    noise: FloatArray
    weight: FloatArray
    scatter: FloatArray | None = None

    @property
    def size(self) -> float:
        """Units that count."""
        return float(self.weight.sum())

    def pick(self, places: IntArray) -> NoisyMeans:
        """Some of the units."""
        scatter = None if self.scatter is None else self.scatter[places]
        return NoisyMeans(self.seen[places], self.mean[places], self.noise[places], self.weight[places], scatter)

    def weighted(self, weight: FloatArray) -> NoisyMeans:
        """The same units with other weights; those of weight 0 are left out."""
        kept = np.flatnonzero(weight > 0)
        return replace(self.pick(kept), weight=weight[kept])

    def blocks(self) -> Iterator[NoisyMeans]:
        """All units, some at a time."""
        for start in range(0, len(self.mean), _BLOCK):
            yield self if len(self.mean) <= _BLOCK else self.pick(np.arange(start, min(start + _BLOCK, len(self.mean))))


def inverse_of_noisy(data: NoisyMeans, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of what each unit shows of Σ + N_j, zeros elsewhere, (J, p, p), and log determinants, (J,).

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of some unit is not positive definite.
    """
    p = sigma.shape[-1]
    both = sigma + data.noise
    full = bool(data.seen.all())
    if not full:
        both = np.where(data.seen[:, :, None] & data.seen[:, None, :], both, 0.0)
        both[:, np.arange(p), np.arange(p)] += ~data.seen
    own = np.diagonal(both, axis1=1, axis2=2)
    if not (own > 0).all():
        raise np.linalg.LinAlgError("a variance is not positive")
    root = np.linalg.cholesky(both)
    pivots = np.diagonal(root, axis1=1, axis2=2)
    if float((pivots**2 / own).min()) < _PIVOT:
        raise np.linalg.LinAlgError("singular to the last digits")
    inverse = np.linalg.inv(both)
    if not full:
        inverse[:, np.arange(p), np.arange(p)] -= ~data.seen
    inverse += inverse.swapaxes(1, 2)
    inverse *= 0.5
    return np.asarray(inverse, dtype=np.float64), np.asarray(2 * np.log(pivots).sum(axis=1))


def half_deviance_noisy(layout: Layout, theta: FloatArray, data: NoisyMeans) -> float:
    """Half of -2 loglik per unit, without log 2π; infinite where a unit's covariance is not positive definite."""
    at = implied(layout, theta)
    total = 0.0
    try:
        for block in data.blocks():
            inverse, logdet = inverse_of_noisy(block, at.sigma)
            rest = np.where(block.seen, block.mean - at.mu, 0.0)
            distance = ((inverse @ rest[:, :, None])[:, :, 0] * rest).sum(axis=1)
            if block.scatter is not None:
                distance += (inverse * block.scatter).sum(axis=(1, 2))
            total += float(block.weight @ (logdet + distance))
    except np.linalg.LinAlgError:
        return float("inf")
    return total / (2 * data.size)


def expand_noisy(layout: Layout, theta: FloatArray, data: NoisyMeans) -> Expansion:
    """Half the deviance per unit with its derivatives; only an infinite value where it is not defined."""
    at = implied(layout, theta)
    p, total = len(layout.items), 0.0
    flat, pushes = np.zeros(p * p), np.zeros(p)
    sums: CaseSums | None = None
    try:
        for block in data.blocks():
            inverse, logdet = inverse_of_noisy(block, at.sigma)
            rest = np.where(block.seen, block.mean - at.mu, 0.0)
            pushed = (inverse @ rest[:, :, None])[:, :, 0]
            half = pushed[:, :, None] * pushed[:, None, :]
            weight = block.weight / data.size
            total += float(weight @ (logdet + (pushed * rest).sum(axis=1)))
            if block.scatter is not None:
                total += float(weight @ (inverse * block.scatter).sum(axis=(1, 2)))
                half += inverse @ block.scatter @ inverse
            flat = flat + weight @ half.reshape(len(weight), p * p)
            pushes = pushes + weight @ pushed
            own = sums_of(weight, inverse, half, pushed, layout.means)
            sums = own if sums is None else sums + own
    except np.linalg.LinAlgError:
        sums = None
    if sums is None:
        nothing = np.full((layout.n_free,) * 2, np.nan)
        return Expansion(float("inf"), np.full(layout.n_free, np.nan), nothing, nothing)
    bank = bank_of(layout, at)
    pull = bank.T @ (sums.inverse - flat.reshape(p, p)) @ bank
    push = bank.T @ pushes
    link = layout.link
    gradient = layout.share * pull[layout.u, layout.v] - mean_weight(layout, at) * push[layout.d]
    expected, observed = curvature(layout, at, sums)
    observed = observed + second_order(layout, at, pull, push)
    return Expansion(total / 2, gradient @ link, link.T @ observed @ link, link.T @ expected @ link)


def slope_noisy(layout: Layout, at: Implied, data: NoisyMeans, inverse: FloatArray) -> FloatArray:
    """Gradient of half the deviance, summed over units (not per unit), given their inverses, (n_free,)."""
    rest = np.where(data.seen, data.mean - at.mu, 0.0)
    pushed = (inverse @ rest[:, :, None])[:, :, 0]
    pulled = np.tensordot(data.weight, inverse, 1) - (pushed * data.weight[:, None]).T @ pushed
    bank = bank_of(layout, at)
    pull, push = bank.T @ pulled @ bank, bank.T @ (data.weight @ pushed)
    rows = layout.share * pull[layout.u, layout.v] - mean_weight(layout, at) * push[layout.d]
    return np.asarray(rows @ layout.link)


def scores_noisy(layout: Layout, theta: FloatArray, data: NoisyMeans) -> FloatArray:
    """(J, n_free) gradient of each unit's half deviance, without its weight."""
    at = implied(layout, theta)
    by_sigma, by_mu = moment_jacobian(layout, at)
    flat = by_sigma.reshape(-1, by_sigma.shape[-1])
    found = []
    for block in data.blocks():
        inverse, _ = inverse_of_noisy(block, at.sigma)
        rest = np.where(block.seen, block.mean - at.mu, 0.0)
        pushed = (inverse @ rest[:, :, None])[:, :, 0]
        pull = inverse - pushed[:, :, None] * pushed[:, None, :]
        rows = pull.reshape(len(pull), -1) @ flat / 2
        found.append((rows - pushed @ by_mu if layout.means else rows) @ layout.link)
    return np.concatenate(found)
