"""The likelihood of what was seen: normal cells (mean, scatter, noise, weight) against Σ(θ), μ(θ), with derivatives.

A cell is what cases have in common that show the same variables with the same error: m ~ N(μ(θ), Σ(θ) + noise), what
was not seen dropped. People who skipped answers are the cells of their patterns, without noise (full information
maximum likelihood; Arbuckle 1996, in Advanced structural equation modeling, 243-277). Units are cells whose noise is
the sampling error of their means, which links surveys of different people (Muthén 1994, doi
10.1177/0049124194022003006; Lüdtke et al. 2008, doi 10.1037/a0012869). Complete data are one cell without noise, a
`Target`: half its deviance is counted from what its own moments have, F/2 = ½ (log|Σ| + tr(Σ⁻¹ S*) - log|S| - p) with
S* = S + (m - μ)(m - μ)ᵀ. All values are per case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from roxmodel.implied.curvature import CaseSums, curvature, expected_curvature, sums_of
from roxmodel.implied.matrices import Implied, Layout, bank_of, implied, mean_weight, second_order
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Against", "Expansion", "NormalCells", "Objective", "Part", "Seen", "Target", "against", "case_scores",
    "cells_of_rows", "expand", "gradient_of", "half_deviance", "half_deviance_at", "inverse_of", "inverted",
    "is_regular", "objective_of_units", "pulls", "scored", "slope",
]  # fmt: skip

_SINGULAR = 1e-12  # share of a variance that the other variables leave, below which only rounding is left
_PIVOT = 1e-14  # smallest pivot of a covariance with ones on its diagonal that still has digits
_BLOCK = 2_048  # cells at once, so that 100,000 of them stay in memory
_ROWS = 1 << 12  # rows at once, so that what is made of them stays in cache
_CELLS = 1 << 20  # numbers in one block of what a bank sees


@dataclass(frozen=True, slots=True)
class Target:
    """Complete data: mean (…, p) and covariance (…, p, p), divisor n, in units of the layout's scale."""

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True)
class NormalCells:
    """J cells in units of the layout's scale; zeros stand where nothing was seen."""

    seen: BoolArray  # (J, p) which variables a cell shows
    mean: FloatArray  # (J, p)
    weight: FloatArray  # (J,) how much a cell counts: 1 a unit, the share of its rows a pattern
    scatter: FloatArray | None = None  # (M, p, p) covariance of a cell's cases; None: each is one case
    several: IntArray | None = None  # (M,) the cells of more than one case, which have a scatter; None: all of them
    noise: FloatArray | None = None  # (J, p, p) covariance of the errors of the means; None: there are none
    code: IntArray | None = None  # (n,) cell of each case, -1 for one that shows nothing; None: each is one case

    @property
    def size(self) -> float:
        """Cases that count."""
        return float(self.weight.sum())

    def pick(self, places: IntArray) -> NormalCells:
        """Some of the cells."""
        scatter, several, noise = self.scatter, self.several, self.noise
        if scatter is not None and several is not None:
            rank = np.full(len(self.mean), -1)
            rank[several] = np.arange(len(several))
            several = np.flatnonzero(rank[places] >= 0)
            scatter = scatter[rank[places[several]]]
        elif scatter is not None:
            scatter = scatter[places]
        noise = None if noise is None else noise[places]
        return NormalCells(self.seen[places], self.mean[places], self.weight[places], scatter, several, noise)

    def weighted(self, weight: FloatArray) -> NormalCells:
        """The same cells with other weights; those of weight 0 are left out."""
        kept = np.flatnonzero(weight > 0)
        return replace(self.pick(kept), weight=weight[kept])

    def blocks(self) -> Iterator[NormalCells]:
        """All cells, some at a time."""
        for span in _spans(len(self.mean), _BLOCK):
            yield self if len(self.mean) <= _BLOCK else self.pick(np.arange(span.start, span.stop))

    def merged(self) -> NormalCells:
        """The same likelihood with all cases of one noise as one cell."""
        noise = self.noise
        if noise is None or self.scatter is not None:
            return self
        kinds: dict[bytes, int] = {}
        pairs = zip(self.seen, noise, strict=True)
        keys = (blake2b(one.tobytes() + two.tobytes(), digest_size=16).digest() for one, two in pairs)
        code = np.array([kinds.setdefault(key, len(kinds)) for key in keys], dtype=np.int64)
        if len(kinds) == len(code):
            return self
        seen = np.empty((len(kinds), self.seen.shape[1]), dtype=bool)
        errors = np.empty((len(kinds), *noise.shape[1:]))
        seen[code], errors[code] = self.seen, noise
        return replace(_gathered(self.mean, seen, code, self.weight), noise=errors)


Seen: TypeAlias = Target | NormalCells


def cells_of_rows(rows: FloatArray, weights: FloatArray | None = None, like: NormalCells | None = None) -> NormalCells:
    """Condense rows with holes (NaN) by their pattern of missingness; weights of the cells sum to 1.

    `rows` are (n, p), `weights` (n,) sampling weights or frequencies, `like` cells of the same rows, whose patterns are
    known; one whose rows all weigh nothing has weight 0.
    """
    own = np.ones(len(rows)) if weights is None else weights
    if like is not None and like.code is not None:
        seen, code = like.seen, like.code
    else:
        there = ~np.isnan(rows)
        _, first, code = np.unique(np.packbits(there, axis=1), axis=0, return_index=True, return_inverse=True)
        seen, code = there[first], code.reshape(-1).astype(np.int64)
        empty = ~seen.any(axis=1)
        if empty.any():
            seen, code = seen[~empty], np.where(empty, -1, np.cumsum(~empty) - 1)[code]
    found = _gathered(rows, seen, code, own)
    return replace(found, weight=found.weight / found.weight.sum())


def _gathered(rows: FloatArray, seen: BoolArray, code: IntArray, weights: FloatArray) -> NormalCells:
    """Mean, scatter and weight of each cell from its cases."""
    count, p = seen.shape
    kept = code >= 0
    order = np.flatnonzero(kept)[np.argsort(code[kept], kind="stable")]
    filled, own = np.nan_to_num(rows[order]), weights[order]
    starts = np.searchsorted(code[order], np.arange(count))
    total = np.add.reduceat(own, starts)
    safe = np.where(total > 0, total, 1.0)
    mean = np.add.reduceat(filled * own[:, None], starts, axis=0) / safe[:, None]
    deviations = np.where(seen[code[order]], filled - mean[code[order]], 0.0)
    ends = np.append(starts[1:], len(order))
    several = np.flatnonzero(ends - starts > 1)
    scatter = np.empty((len(several), p, p))
    for place, cell in enumerate(several):
        span = slice(starts[cell], ends[cell])
        scatter[place] = (deviations[span] * own[span, None]).T @ deviations[span] / safe[cell]
    return NormalCells(seen, mean, total, scatter, several, None, code)


# --- inverses


def is_regular(sigma: NDArray[np.floating[Any]], inverse: NDArray[np.floating[Any]]) -> bool:
    """Whether a matrix, (…, p, p), has digits left: rounding may factorise a singular one, in some order of its rows.

    1 / (σ_jj σ^jj) is the share of a variable's variance that the others leave, whatever the order. A likelihood that
    goes on there would be one of rounding errors, without bound.
    """
    both = np.diagonal(sigma, axis1=-2, axis2=-1) * np.diagonal(inverse, axis1=-2, axis2=-1)
    return bool((both > 0).all() and (both < 1.0 / _SINGULAR).all())


def _inverse(sigma: FloatArray) -> tuple[FloatArray, float]:
    """Σ⁻¹ and log|Σ|; a LinAlgError where Σ is not positive definite, or singular to the last digit."""
    root = np.linalg.cholesky(sigma)
    inverse = np.linalg.inv(sigma)
    if not is_regular(sigma, inverse):
        raise np.linalg.LinAlgError("singular to the last digits")
    return np.asarray((inverse + inverse.T) / 2, dtype=np.float64), 2 * float(np.log(root.diagonal()).sum())


def inverted(sigma: FloatArray, seen: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of what each cell sees of Σ, zeros elsewhere, (J, p, p), and its log determinant, (J,).

    With P = Σ⁻¹, the inverse of the part that is seen is P_oo - P_om P_mm⁻¹ P_mo, and its determinant |Σ| |P_mm|: only
    what is missing is factorised, all cells that miss equally many at once. Raises numpy.linalg.LinAlgError if Σ is not
    positive definite.
    """
    whole, full = _inverse(sigma)
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
        across = whole[places]  # (cells, count, p)
        logdet[at] += 2 * np.log(np.diagonal(np.linalg.cholesky(inner), axis1=1, axis2=2)).sum(axis=1)
        own = whole - across.swapaxes(1, 2) @ np.linalg.solve(inner, across)
        own *= seen[at][:, :, None] & seen[at][:, None, :]
        found[at] = own
    return found, logdet


def inverse_of(data: NormalCells, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse of what each cell shows of Σ + noise, zeros elsewhere, (J, p, p), and log determinants, (J,).

    Raises numpy.linalg.LinAlgError if the covariance of some cell is not positive definite.
    """
    if data.noise is None:
        return inverted(sigma, data.seen)
    p, both, full = sigma.shape[-1], sigma + data.noise, bool(data.seen.all())
    if not full:
        both = np.where(data.seen[:, :, None] & data.seen[:, None, :], both, 0.0)
        both[:, np.arange(p), np.arange(p)] += ~data.seen
    own = np.diagonal(both, axis1=1, axis2=2)
    if not (own > 0).all():
        raise np.linalg.LinAlgError("a variance is not positive")
    pivots = np.diagonal(np.linalg.cholesky(both), axis1=1, axis2=2)
    if float((pivots**2 / own).min()) < _PIVOT:
        raise np.linalg.LinAlgError("singular to the last digits")
    inverse = np.linalg.inv(both)
    if not full:
        inverse[:, np.arange(p), np.arange(p)] -= ~data.seen
    inverse += inverse.swapaxes(1, 2)
    inverse *= 0.5
    return np.asarray(inverse, dtype=np.float64), np.asarray(2 * np.log(pivots).sum(axis=1))


# --- values


@dataclass(frozen=True, slots=True)
class Against:
    """Cells against moments: W, (J, p, p); log determinants, (J,); m - μ and w = W (m - μ), (J, p) both."""

    cells: NormalCells
    inverse: FloatArray
    logdet: FloatArray
    rest: FloatArray
    pushed: FloatArray

    def deviance(self) -> FloatArray:
        """(J,) of each cell, without log 2π."""
        found = self.logdet + (self.pushed * self.rest).sum(axis=1)
        if self.cells.scatter is not None:
            found[self._several] += (self.inverse[self._several] * self.cells.scatter).sum(axis=(1, 2))
        return np.asarray(found)

    def half(self) -> FloatArray:
        """(J, p, p) W S* W."""
        found = self.pushed[:, :, None] * self.pushed[:, None, :]
        if self.cells.scatter is not None:
            found[self._several] += self._turned(self.cells.scatter)
        return np.asarray(found)

    def pull(self, weight: FloatArray) -> FloatArray:
        """(p, p) Σ weight (W - W S* W): twice the gradient by Σ."""
        found = np.tensordot(weight, self.inverse, 1) - (self.pushed * weight[:, None]).T @ self.pushed
        if self.cells.scatter is not None:
            found -= np.tensordot(weight[self._several], self._turned(self.cells.scatter), 1)
        return np.asarray(found)

    @property
    def _several(self) -> IntArray | slice:
        return slice(None) if self.cells.several is None else self.cells.several

    def _turned(self, scatter: FloatArray) -> FloatArray:
        inverse = self.inverse[self._several]
        return np.asarray(inverse @ scatter @ inverse)


def against(data: NormalCells, mean: FloatArray, sigma: FloatArray) -> Against:
    """Lay cells against moments, (p,) and (p, p); a LinAlgError as `inverse_of`."""
    inverse, logdet = inverse_of(data, sigma)
    rest = np.where(data.seen, data.mean - mean, 0.0)
    return Against(data, inverse, logdet, rest, (inverse @ rest[:, :, None])[:, :, 0])


def half_deviance_at(data: NormalCells, mean: FloatArray, sigma: FloatArray) -> float:
    """Half of -2 loglik per case at given moments, without log 2π; a LinAlgError as `inverse_of`."""
    total = sum(float(block.weight @ against(block, mean, sigma).deviance()) for block in data.blocks())
    return total / (2 * data.size)


def half_deviance(layout: Layout, theta: FloatArray, data: Seen) -> float:
    """F/2 of complete data, else half of -2 loglik without log 2π; infinite where it is not defined."""
    at = implied(layout, theta)
    try:
        if isinstance(data, NormalCells):
            return half_deviance_at(data, at.mu, at.sigma)
        inverse, logdet = _inverse(at.sigma)
    except np.linalg.LinAlgError:
        return float("inf")
    rest = data.mean - at.mu if layout.means else np.zeros_like(at.mu)
    distance = float((inverse * data.covariance).sum() + rest @ inverse @ rest)
    return float(0.5 * (logdet - np.linalg.slogdet(data.covariance)[1] + distance - len(rest)))


# --- derivatives


@dataclass(frozen=True, slots=True)
class Expansion:
    """Half the deviance around one theta, per case."""

    value: float  # infinite where it is not defined
    gradient: FloatArray  # (n_free,)
    hessian: FloatArray  # (n_free, n_free), observed
    information: FloatArray  # (n_free, n_free), expected


def expand(layout: Layout, theta: FloatArray, data: Seen) -> Expansion:
    """Half the deviance with its derivatives at one theta; where it is not defined, only an infinite value."""
    at = implied(layout, theta)
    try:
        if isinstance(data, NormalCells):
            return _expand_cells(layout, at, data)
        return _expand_complete(layout, at, data)
    except np.linalg.LinAlgError:
        nothing = np.full((layout.n_free,) * 2, np.nan)
        return Expansion(float("inf"), np.full(layout.n_free, np.nan), nothing, nothing)


def _expand_cells(layout: Layout, at: Implied, data: NormalCells) -> Expansion:
    p, total, size = len(layout.items), 0.0, data.size
    flat, pushed = np.zeros(p * p), np.zeros(p)
    sums: CaseSums | None = None
    for block in data.blocks():
        own, weight = against(block, at.mu, at.sigma), block.weight / size
        half = own.half()
        total += float(weight @ own.deviance())
        flat = flat + weight @ half.reshape(len(weight), p * p)
        pushed = pushed + weight @ own.pushed
        part = sums_of(weight, own.inverse, half, own.pushed, layout.means)
        sums = part if sums is None else sums + part
    if sums is None:
        raise np.linalg.LinAlgError("no cell counts")
    bank, link = bank_of(layout, at), layout.link
    pull, push = bank.T @ (sums.inverse - flat.reshape(p, p)) @ bank, bank.T @ pushed
    gradient = layout.share * pull[layout.u, layout.v] - mean_weight(layout, at) * push[layout.d]
    expected, observed = curvature(layout, at, sums)
    observed = observed + second_order(layout, at, pull, push)
    return Expansion(total / 2, gradient @ link, link.T @ observed @ link, link.T @ expected @ link)


def scored(layout: Layout, theta: FloatArray, data: Seen) -> tuple[FloatArray, FloatArray]:
    """Gradient and expected information of half the deviance per case, as `expand` has them, without its Hessian.

    Raises numpy.linalg.LinAlgError where it is not defined.
    """
    if isinstance(data, Target):
        found = expand(layout, theta, data)
        return found.gradient, found.information
    at, p = implied(layout, theta), len(layout.items)
    low = np.tril_indices(p)
    pull, push, inverse = np.zeros((p, p)), np.zeros(p), np.zeros((p, p))
    plain = np.zeros((len(low[0]), len(low[0])))
    for block in data.blocks():
        own, weight = against(block, at.mu, at.sigma), block.weight / data.size
        pull, push = pull + own.pull(weight), push + weight @ own.pushed
        packed = own.inverse[:, low[0], low[1]]
        plain += (packed * weight[:, None]).T @ packed
        inverse += np.tensordot(weight, own.inverse, 1)
    information = expected_curvature(layout, at, CaseSums(plain, plain, np.zeros((len(low[0]), p)), inverse))
    gradient = gradient_of(layout, at, pull, push)
    order = np.argsort(layout.theta)
    if layout.n_free == len(order) and (layout.theta[order] == np.arange(len(order))).all():
        return gradient, information[np.ix_(order, order)]  # no two rows share a parameter
    return gradient, layout.link.T @ information @ layout.link


def _expand_complete(layout: Layout, at: Implied, target: Target) -> Expansion:
    """The same for one cell without noise: W ⊗ W is seen through the bank, no table of pairs is made."""
    inverse, logdet = _inverse(at.sigma)
    rest = target.mean - at.mu if layout.means else np.zeros_like(at.mu)
    seen = target.covariance + np.outer(rest, rest)
    own = np.linalg.slogdet(target.covariance)[1]
    value = float(0.5 * (logdet - own + (inverse * seen).sum() - len(seen)))
    bank, weight, link = bank_of(layout, at), mean_weight(layout, at), layout.link
    turned = inverse @ bank
    plain, push = bank.T @ turned, turned.T @ rest
    pull = plain - turned.T @ seen @ turned
    gradient = layout.share * pull[layout.u, layout.v] - weight * push[layout.d]
    information, less = _contracted(layout, plain, pull)
    if layout.means:
        information = information + np.outer(weight, weight) * plain[layout.d][:, layout.d]
    observed = information - less + second_order(layout, at, pull, push)
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


def pulls(data: NormalCells, mean: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """G = Σ weight (W - W S* W), (p, p), and Σ weight w, (p,): twice and minus the gradient by Σ and by μ, summed."""
    pull, push = np.zeros_like(sigma), np.zeros_like(mean)
    for block in data.blocks():
        own = against(block, mean, sigma)
        pull += own.pull(block.weight)
        push += block.weight @ own.pushed
    return pull, push


def gradient_of(layout: Layout, at: Implied, pull: FloatArray, push: FloatArray | None) -> FloatArray:
    """(…, n_free) gradient from that by Σ, (…, p, p), and by μ, (…, p); leading axes are draws."""
    bank = bank_of(layout, at)
    turned = bank.swapaxes(-1, -2)
    rows = layout.share * (turned @ pull @ bank)[..., layout.u, layout.v]
    if layout.means and push is not None:
        rows -= mean_weight(layout, at) * (turned @ push[..., None])[..., 0][..., layout.d]
    return np.asarray(rows @ layout.link)


def slope(layout: Layout, theta: FloatArray, target: Target) -> FloatArray:
    """Gradient of F/2, (draws, n_free), at a theta and at moments for each draw, where Σ is positive definite."""
    at = implied(layout, theta)
    inverse = np.asarray(np.linalg.inv(at.sigma), dtype=np.float64)
    pull = inverse - inverse @ target.covariance @ inverse
    if not layout.means:
        return gradient_of(layout, at, pull, None)
    push = (inverse @ (target.mean - at.mu)[..., None])[..., 0]
    return gradient_of(layout, at, pull - push[..., :, None] * push[..., None, :], push)


# --- scores


def case_scores(
    layout: Layout, theta: FloatArray, data: Seen, rows: FloatArray | None = None
) -> Iterator[tuple[slice, FloatArray]]:
    """Blocks of cases, with the derivatives of their log-likelihoods by each row of the table, (r, cases).

    `rows` are (n, p) what the cases show, NaN = nothing; None: each cell is a case, which shows its mean.
    """
    at = implied(layout, theta)
    lens = _Lens(layout, bank_of(layout, at), mean_weight(layout, at))
    if isinstance(data, Target):
        if rows is None:
            raise ValueError("scores of complete data need rows")  # callers refuse moments before
        inverse = np.asarray(np.linalg.inv(at.sigma), dtype=np.float64)
        expected, mean = lens.expected(inverse[None]).T, at.mu if layout.means else data.mean
        for span in _spans(len(rows), _ROWS):
            yield span, lens.scores(inverse @ (rows[span] - mean).T, expected)
    elif rows is None:
        for span in _spans(len(data.mean), _BLOCK):
            own = against(data.pick(np.arange(span.start, span.stop)), at.mu, at.sigma)
            yield span, lens.scores(own.pushed.T, lens.expected(own.inverse).T)
    else:
        code = data.code if data.code is not None else np.arange(len(rows))
        every, _ = inverse_of(data, at.sigma)
        sizes = lens.expected(every)
        for span in _spans(len(rows), _ROWS):
            rest = np.nan_to_num(rows[span] - at.mu)
            pushed = (every[code[span]] @ rest[:, :, None])[:, :, 0].T
            yield span, lens.scores(pushed, sizes[code[span]].T)


def _spans(count: int, step: int) -> Iterator[slice]:
    yield from (slice(low, min(low + step, count)) for low in range(0, count, step))


@dataclass(frozen=True, slots=True)
class _Lens:
    """What casewise scores are seen through at one theta."""

    layout: Layout
    bank: FloatArray
    weight: FloatArray

    def expected(self, inverse: FloatArray) -> FloatArray:
        """(cells, r) ½ tr(W ∂Σ) of each row of the table."""
        layout, found = self.layout, np.empty((len(inverse), len(self.layout.u)))
        for span in _spans(len(inverse), max(1, _CELLS // self.bank.size)):
            plain = self.bank.T @ inverse[span] @ self.bank
            found[span] = layout.share * plain[:, layout.u, layout.v]
        return found

    def scores(self, pushed: FloatArray, expected: FloatArray) -> FloatArray:
        """(r, cases) from w, (p, cases), and what is expected, (r, cases or 1)."""
        layout = self.layout
        seen = self.bank.T @ pushed  # what is gathered below are whole lines of memory
        scores = seen[layout.u]
        scores *= seen[layout.v]
        scores *= layout.share[:, None]
        scores -= expected
        if layout.means:
            scores += seen[layout.d] * self.weight[:, None]
        return np.asarray(scores)


# --- what is minimised


@dataclass(frozen=True, slots=True)
class Part:
    """One group (or all units): its layout, what was seen of it, its share of all cases."""

    layout: Layout
    data: Seen
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Objective:
    """Half the deviance per case: a weighted sum over parts that share one theta."""

    parts: Sequence[Part]

    def value(self, theta: FloatArray) -> float:
        """At theta; infinite where it is not defined."""
        total = sum(part.share * half_deviance(part.layout, theta, part.data) for part in self.parts)
        return total if np.isfinite(total) else float("inf")

    def expand(self, theta: FloatArray) -> Expansion:
        """With its gradient, Hessian and expected information."""
        found = [(part.share, expand(part.layout, theta, part.data)) for part in self.parts]
        if len(found) == 1 and found[0][0] == 1.0:
            return found[0][1]
        return Expansion(
            value=float(sum(share * one.value for share, one in found)),
            gradient=np.sum([share * one.gradient for share, one in found], axis=0),
            hessian=np.sum([share * one.hessian for share, one in found], axis=0),
            information=np.sum([share * one.information for share, one in found], axis=0),
        )


def objective_of_units(layout: Layout, data: NormalCells) -> Objective:
    """Half the deviance per unit."""
    return Objective((Part(layout, data.merged()),))
