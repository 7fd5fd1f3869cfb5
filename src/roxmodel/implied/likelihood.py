"""The normal discrepancy of complete data: value, gradient, Hessian and information, per observation.

F/2 = ½ (log|Σ| + tr(Σ⁻¹ S*) - log|S| - p), S* = S + (m - μ)(m - μ)ᵀ. Leading axes are draws.

Unit means with sampling error of a known size: m_j ~ N(μ(θ), Σ(θ) + N_j), what is not there dropped.

The likelihood that links surveys of different people (Muthén 1994, doi 10.1177/0049124194022003006; Lüdtke et al.
2008, doi 10.1037/a0012869): θ describes the units, N_j the sampling error of their means.

Missing answers: moments for each pattern of missingness, and the likelihood of the observed answers on them.

One pass over the rows makes one mean and one covariance for every pattern; the likelihood never sees a row again
(full information maximum likelihood; Arbuckle 1996, in Advanced structural equation modeling, 243-277).

What is minimised: half the discrepancy per observation, over all groups.

What is minimised: half the deviance of the unit means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.implied.curvature import CaseSums, curvature, sums_of
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, bank_of, implied, mean_weight, moment_jacobian, second_order
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Expansion",
    "NoisyMeans",
    "NoisyObjective",
    "Objective",
    "Part",
    "Patterns",
    "Target",
    "deviance_at",
    "expand",
    "expand_noisy",
    "expand_patterns",
    "half_deviance",
    "half_deviance_noisy",
    "half_discrepancy",
    "inverse_of_noisy",
    "inverted",
    "is_regular",
    "moments_by_pattern",
    "patterns_of",
    "scores_noisy",
    "slope",
    "slope_noisy",
]


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


@dataclass(frozen=True, slots=True)
class Patterns:
    """Moments of the rows that miss the same answers; zeros stand where nothing was observed.

    Attributes
    ----------
    seen
        (J, p) which variables a pattern holds.
    weight
        (J,) rows of the pattern over all rows (or their weights), summing to 1.
    mean, covariance
        (J, p) and (J, p, p), divisor: the rows of the pattern.
    code
        (n,) pattern of each row; -1 for a row without any answer.
    """

    seen: BoolArray
    weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    code: IntArray


def patterns_of(rows: FloatArray, weights: FloatArray | None = None) -> Patterns:
    """Condense rows with holes (NaN) by their pattern of missingness.

    Parameters
    ----------
    rows
        (n, p).
    weights
        (n,) sampling weights or frequencies; None = ones.
    """
    there = ~np.isnan(rows)
    keys = np.packbits(there, axis=1)
    _, first, code = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    seen, code = there[first], code.reshape(-1).astype(np.int64)
    empty = ~seen.any(axis=1)
    if empty.any():
        seen, moved = seen[~empty], np.where(empty, -1, np.cumsum(~empty) - 1)
        code = moved[code]
    return moments_by_pattern(rows, seen, code, np.ones(len(rows)) if weights is None else weights)


def moments_by_pattern(rows: FloatArray, seen: BoolArray, code: IntArray, weights: FloatArray) -> Patterns:
    """Moments for known patterns; a pattern whose rows all weigh nothing has weight 0."""
    count, p = seen.shape
    kept = code >= 0
    order = np.flatnonzero(kept)[np.argsort(code[kept], kind="stable")]
    filled, own = np.nan_to_num(rows[order]), weights[order]
    starts = np.searchsorted(code[order], np.arange(count))
    total = np.add.reduceat(own, starts)
    safe = np.where(total > 0, total, 1.0)
    mean = np.add.reduceat(filled * own[:, None], starts, axis=0) / safe[:, None]
    deviations = np.where(seen[code[order]], filled - mean[code[order]], 0.0)
    covariance = np.empty((count, p, p))
    step = max(1, (1 << 22) // (p * p))
    ends = np.append(starts[1:], len(order))
    for low in range(0, count, step):  # blocks of patterns, so that long tables do not fill the memory
        high = min(low + step, count)
        covariance[low:high] = _scatter(deviations, own, starts[low:high], ends[low:high])
    return Patterns(seen, total / total.sum(), mean, covariance / safe[:, None, None], code)


def _scatter(deviations: FloatArray, weights: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """(patterns, p, p) weighted cross-products of consecutive blocks of rows."""
    p, sizes = deviations.shape[1], ends - starts
    found = np.empty((len(starts), p, p))
    single = sizes == 1
    ones = deviations[starts[single]]
    found[single] = weights[starts[single], None, None] * ones[:, :, None] * ones[:, None, :]
    for place in np.flatnonzero(~single):
        block = deviations[starts[place] : ends[place]]
        found[place] = (block * weights[starts[place] : ends[place], None]).T @ block
    return found


def inverted(sigma: FloatArray, seen: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of what each pattern sees of Σ, zeros elsewhere, (J, p, p), and its log determinant, (J,).

    With P = Σ⁻¹, the inverse of the part that is seen is P_oo - P_om P_mm⁻¹ P_mo, and its determinant |Σ| |P_mm|: only
    what is missing is factorised, all patterns that miss equally many at once.

    Raises
    ------
    numpy.linalg.LinAlgError
        If Σ is not positive definite.
    """
    root = np.linalg.cholesky(sigma)
    whole = np.linalg.inv(sigma)
    if not is_regular(sigma, whole):
        raise np.linalg.LinAlgError("singular to the last digits")
    whole = (whole + whole.T) / 2
    full = 2 * float(np.log(np.diag(root)).sum())
    found = np.empty((len(seen), *sigma.shape))
    logdet = np.full(len(seen), full)
    missing = (~seen).sum(axis=1)
    for count in np.unique(missing):
        at = np.flatnonzero(missing == count)
        if count == 0:
            found[at] = whole
            continue
        places = np.argsort(seen[at], axis=1, kind="stable")[:, :count]  # the missing ones come first
        inner = whole[places[:, :, None], places[:, None, :]]
        across = whole[places]  # (patterns, count, p)
        logdet[at] += 2 * np.log(np.diagonal(np.linalg.cholesky(inner), axis1=1, axis2=2)).sum(axis=1)
        own = whole - across.swapaxes(1, 2) @ np.linalg.solve(inner, across)
        own *= seen[at][:, :, None] & seen[at][:, None, :]
        found[at] = own
    return found, logdet


def half_deviance(layout: Layout, theta: FloatArray, data: Patterns) -> float:
    """Half of -2 loglik per row, without the constant log 2π; infinite where Σ is not positive definite."""
    at = implied(layout, theta)
    try:
        inverse, logdet = inverted(at.sigma, data.seen)
    except np.linalg.LinAlgError:
        return float("inf")
    return _value_of_patterns(data, at, inverse, logdet)


def deviance_at(data: Patterns, mean: FloatArray, covariance: FloatArray) -> float:
    """Half the deviance per row at given moments, (p,) and (p, p); patterns that see nothing add nothing."""
    return _deviance(data, mean, *inverted(covariance, data.seen))


def _value_of_patterns(data: Patterns, at: Implied, inverse: FloatArray, logdet: FloatArray) -> float:
    return _deviance(data, at.mu, inverse, logdet)


def _deviance(data: Patterns, mean: FloatArray, inverse: FloatArray, logdet: FloatArray) -> float:
    rest = np.where(data.seen, data.mean - mean, 0.0)
    distance = np.einsum("jp,jpq,jq->j", rest, inverse, rest, optimize=True)
    trace = (inverse * data.covariance).sum(axis=(1, 2))
    return float(0.5 * data.weight @ (logdet + trace + distance))


def expand_patterns(layout: Layout, theta: FloatArray, data: Patterns) -> Expansion:
    """Half the deviance per row with its derivatives; where Σ is not positive definite, only an infinite value."""
    at = implied(layout, theta)
    try:
        inverse, logdet = inverted(at.sigma, data.seen)
    except np.linalg.LinAlgError:
        nothing = np.full((layout.n_free,) * 2, np.nan)
        return Expansion(float("inf"), np.full(layout.n_free, np.nan), nothing, nothing)
    rest = np.where(data.seen, data.mean - at.mu, 0.0)
    pushed = (inverse @ rest[:, :, None])[:, :, 0]
    half = inverse @ data.covariance @ inverse + pushed[:, :, None] * pushed[:, None, :]  # W S* W
    weight, p = data.weight, len(layout.items)
    flat = weight @ (inverse - half).reshape(len(weight), p * p)
    bank = bank_of(layout, at)
    pull, push = bank.T @ flat.reshape(p, p) @ bank, bank.T @ (weight @ pushed)
    by_mean, link = mean_weight(layout, at), layout.link
    gradient = layout.share * pull[layout.u, layout.v] - by_mean * push[layout.d]
    expected, observed = curvature(layout, at, sums_of(weight, inverse, half, pushed, layout.means))
    observed = observed + second_order(layout, at, pull, push)
    value = _value_of_patterns(data, at, inverse, logdet)
    return Expansion(value, gradient @ link, link.T @ observed @ link, link.T @ expected @ link)


@dataclass(frozen=True, slots=True)
class Part:
    """One group: its layout, its moments, its share of all observations."""

    layout: Layout
    data: Target | Patterns
    share: float


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum over groups that share one theta."""

    parts: Sequence[Part]

    def value(self, theta: FloatArray) -> float:
        """F/2 (complete data) or half of -2 loglik (missing answers), per observation."""
        total = 0.0
        for part in self.parts:
            if isinstance(part.data, Patterns):
                total += part.share * half_deviance(part.layout, theta, part.data)
            else:
                total += part.share * half_discrepancy(part.layout, theta, part.data)
        return total if np.isfinite(total) else float("inf")

    def expand(self, theta: FloatArray) -> Expansion:
        """The value with its gradient, Hessian and expected information."""
        found = [
            expand_patterns(part.layout, theta, part.data)
            if isinstance(part.data, Patterns)
            else expand(part.layout, theta, part.data)
            for part in self.parts
        ]
        shares = [part.share for part in self.parts]
        return Expansion(
            value=float(sum(s * e.value for s, e in zip(shares, found, strict=True))),
            gradient=np.sum([s * e.gradient for s, e in zip(shares, found, strict=True)], axis=0),
            hessian=np.sum([s * e.hessian for s, e in zip(shares, found, strict=True)], axis=0),
            information=np.sum([s * e.information for s, e in zip(shares, found, strict=True)], axis=0),
        )


@dataclass(frozen=True, slots=True)
class NoisyObjective:
    """Half the deviance per unit."""

    layout: Layout
    data: NoisyMeans

    def value(self, theta: FloatArray) -> float:
        """At theta; infinite where it is not defined."""
        return half_deviance_noisy(self.layout, theta, self.data)

    def expand(self, theta: FloatArray) -> Expansion:
        """With its derivatives."""
        return expand_noisy(self.layout, theta, self.data)
