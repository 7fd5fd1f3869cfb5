"""Cross-products of casewise scores: the middle of every sandwich, block by block, never a row in a Python loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.latent.sample import GroupSample
from roxmodel.implied.layout import Layout
from roxmodel.implied.likelihood import Patterns, inverted
from roxmodel.implied.matrices import Implied, bank_of, implied, mean_weight
from roxmodel.types import FloatArray, IntArray

__all__ = ["adf_products", "casewise_scores", "score_products", "total_weights"]

_CELLS = 1 << 20  # numbers in one block
_ROWS = 1 << 12  # rows in one block, so that what is made of them stays in cache


def total_weights(group: GroupSample) -> FloatArray | None:
    """What a row's score is multiplied by: its sampling weight; a frequency multiplies the product instead."""
    return group.weights if group.sampling else None


@dataclass(frozen=True, slots=True)
class _Frame:
    """What casewise scores need at one theta."""

    layout: Layout
    at: Implied
    bank: FloatArray
    weight: FloatArray
    inverse: FloatArray
    expected: FloatArray


def _frame(layout: Layout, theta: FloatArray, patterns: Patterns | None) -> _Frame:
    at = implied(layout, theta)
    bank = bank_of(layout, at)
    if patterns is None:
        inverse = np.asarray(np.linalg.inv(at.sigma)[None], dtype=np.float64)
    else:
        inverse, _ = inverted(at.sigma, patterns.seen)
    expected = np.empty((len(inverse), len(layout.u)))
    step = max(1, _CELLS // (bank.shape[1] * bank.shape[0]))
    for low in range(0, len(inverse), step):
        plain = bank.T @ inverse[low : low + step] @ bank
        expected[low : low + step] = layout.share * plain[:, layout.u, layout.v]
    return _Frame(layout, at, bank, mean_weight(layout, at), inverse, expected)


def _block(frame: _Frame, rows: FloatArray, code: IntArray | None, mean: FloatArray) -> FloatArray:
    """(r, rows) minus the derivative of half the deviance of each row by each row of the table."""
    layout = frame.layout
    if code is None:
        pushed, expected = frame.inverse[0] @ (rows - mean).T, frame.expected[0][:, None]
    else:
        rest = np.nan_to_num(rows - mean)
        pushed = (frame.inverse[code] @ rest[:, :, None])[:, :, 0].T
        expected = frame.expected[code].T
    seen = frame.bank.T @ pushed  # what is gathered below are whole lines of memory
    scores = seen[layout.u]
    scores *= seen[layout.v]
    scores *= layout.share[:, None]
    scores -= expected
    if layout.means:
        scores += seen[layout.d] * frame.weight[:, None]
    return np.asarray(scores)


def casewise_scores(layout: Layout, theta: FloatArray, group: GroupSample) -> FloatArray:
    """(m, n_free) derivative of each row's log-likelihood by theta, as often as it was not weighted."""
    rows = _rows(group)
    frame = _frame(layout, theta, group.patterns)
    mean = frame.at.mu if layout.means else group.target.mean
    code = None if group.patterns is None else group.patterns.code
    return np.asarray(_block(frame, rows, code, mean).T @ layout.link)


def score_products(layout: Layout, theta: FloatArray, group: GroupSample) -> FloatArray:
    """Σ_i s_i s_iᵀ over the rows of a group, (n_free, n_free); by clusters where there are clusters.

    Sampling weights multiply the scores, frequencies count them; clusters give C / (C - 1) Σ_c s_c s_cᵀ with s_c
    the sum over the cluster (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13).
    """
    rows = _rows(group)
    frame = _frame(layout, theta, group.patterns)
    mean = frame.at.mu if layout.means else group.target.mean
    r = len(layout.u)
    found, clusters = np.zeros((r, r)), group.clusters
    sums = None if clusters is None else np.zeros((int(clusters.max()) + 1, r))
    for low in range(0, len(rows), _ROWS):
        at = slice(low, low + _ROWS)
        code = None if group.patterns is None else group.patterns.code[at]
        scores = _block(frame, rows[at], code, mean)
        if group.weights is not None:
            own = group.weights[at]
            scores *= own if group.sampling or sums is not None else np.sqrt(own)
        if sums is None or clusters is None:
            found += scores @ scores.T
        else:
            np.add.at(sums, clusters[at], scores.T)
    if sums is not None and clusters is not None:
        used = np.unique(clusters)
        found = sums.T @ sums * (len(used) / (len(used) - 1))
    return np.asarray(layout.link.T @ found @ layout.link)


def adf_products(
    layout: Layout, theta: FloatArray, group: GroupSample, given: tuple[int, ...] = ()
) -> tuple[FloatArray, float]:
    """Distribution-free middle at the model's Σ: Σ_i q_i q_iᵀ / n of Δᵀ A (y yᵀ - S), and tr(A Γ).

    A is the normal-theory weight at Σ(θ), Γ the covariance of the second (and first) moments, both as Satorra &
    Bentler (1994) use them. Where the data give some variables, Γ is that of the others given them: what a regression
    on them predicts is taken off.

    References
    ----------
    Satorra & Bentler (1994), in Latent variables analysis: applications for developmental research, 399-419.
    """
    rows, target = _rows(group), group.target
    frame = _frame(layout, theta, None)
    inverse = frame.inverse[0]
    at = list(given)
    onto = np.linalg.solve(target.covariance[np.ix_(at, at)], target.covariance[at]) if at else np.zeros((0, 0))
    predicted = onto.T @ target.covariance[np.ix_(at, at)] @ onto if at else np.zeros_like(inverse)
    left = target.covariance - predicted
    r, quartic, n = len(layout.u), 0.0, group.n
    found = np.zeros((r, r))
    expected = layout.share * (frame.bank.T @ inverse @ left @ inverse @ frame.bank)[layout.u, layout.v]
    for low in range(0, len(rows), _ROWS):
        rest = rows[low : low + _ROWS] - target.mean
        own = np.ones(len(rest)) if group.weights is None else group.weights[low : low + _ROWS]
        scores, square = _quadratic(frame, rest)
        linear = rest
        if at:
            fitted = rest[:, at] @ onto
            taken, fitted_square = _quadratic(frame, fitted)
            scores -= taken
            square = square**2 - 2 * (rest * (fitted @ inverse)).sum(axis=1) ** 2 + fitted_square**2
            linear = rest - fitted
        else:
            square = square**2
        scores -= expected
        if layout.means:
            scores += (linear @ inverse @ frame.bank)[:, layout.d] * frame.weight
        found += (scores * own[:, None]).T @ scores
        quartic += float(own @ square)
    seen = inverse @ left
    trace = 0.5 * (quartic / n - float(np.trace(seen @ seen)))
    if layout.means:
        trace += float(np.trace(seen))
    return np.asarray(layout.link.T @ (found / n) @ layout.link), trace


def _quadratic(frame: _Frame, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(rows, r) s (uᵀ W y)(vᵀ W y), and (rows,) yᵀ W y."""
    layout = frame.layout
    pushed = rest @ frame.inverse[0]
    seen = pushed @ frame.bank
    return layout.share * seen[:, layout.u] * seen[:, layout.v], (rest * pushed).sum(axis=1)


def _rows(group: GroupSample) -> FloatArray:
    if group.rows is None:
        raise ValueError("robust errors need rows")  # callers refuse moments before
    return group.rows
