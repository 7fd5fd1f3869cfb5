"""Missing answers: moments for each pattern of missingness, and the likelihood of the observed answers on them.

One pass over the rows makes one mean and one covariance for every pattern; the likelihood never sees a row again
(full information maximum likelihood; Arbuckle 1996, in Advanced structural equation modeling, 243-277).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.implied.curvature import curvature, sums_of
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, bank_of, implied, mean_weight, second_order
from roxmodel.implied.normal import Expansion, is_regular
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Patterns",
    "deviance_at",
    "expand_patterns",
    "half_deviance",
    "inverted",
    "moments_by_pattern",
    "patterns_of",
]


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
    return _value(data, at, inverse, logdet)


def deviance_at(data: Patterns, mean: FloatArray, covariance: FloatArray) -> float:
    """Half the deviance per row at given moments, (p,) and (p, p); patterns that see nothing add nothing."""
    return _deviance(data, mean, *inverted(covariance, data.seen))


def _value(data: Patterns, at: Implied, inverse: FloatArray, logdet: FloatArray) -> float:
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
    value = _value(data, at, inverse, logdet)
    return Expansion(value, gradient @ link, link.T @ observed @ link, link.T @ expected @ link)
