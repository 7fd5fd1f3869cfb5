"""Cross-products of casewise scores: the middle of every sandwich, block by block, never a row in a Python loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from roxmodel.implied.likelihood import Seen, Target, case_scores
from roxmodel.implied.matrices import Layout, bank_of, implied, mean_weight
from roxmodel.types import FloatArray, IntArray

__all__ = ["Cases", "Scored", "adf_products", "casewise_scores", "score_products"]

_ROWS = 1 << 12  # rows in one block, so that what is made of them stays in cache


@dataclass(frozen=True, slots=True)
class Cases:
    """Whose scores are summed."""

    rows: FloatArray | None  # (m, p) answers, NaN = missing; None where each cell is a case
    weights: FloatArray | None  # (m,) sampling weights multiply the scores, frequencies count their products
    sampling: bool  # whether the weights are sampling weights
    clusters: IntArray | None  # (m,) 0…C-1 of cases whose scores belong together

    @property
    def size(self) -> float | None:
        """The sum of the weights; None without."""
        return None if self.weights is None else float(self.weights.sum())


Scored: TypeAlias = tuple[Layout, Seen, Cases]


def casewise_scores(layout: Layout, theta: FloatArray, data: Seen, rows: FloatArray | None = None) -> FloatArray:
    """(m, n_free) derivative of each case's log-likelihood by theta, as often as it was not weighted."""
    return np.concatenate([scores.T for _, scores in case_scores(layout, theta, data, rows)]) @ layout.link


def score_products(layout: Layout, theta: FloatArray, data: Seen, cases: Cases) -> FloatArray:
    """Σ_i s_i s_iᵀ over the cases, (n_free, n_free); by clusters where there are clusters.

    Clusters give C / (C - 1) Σ_c s_c s_cᵀ with s_c the sum over the cluster (Liang & Zeger 1986,
    doi 10.1093/biomet/73.1.13).
    """
    r, clusters, weights = len(layout.u), cases.clusters, cases.weights
    found = np.zeros((r, r))
    sums = None if clusters is None else np.zeros((int(clusters.max()) + 1, r))
    for span, own in case_scores(layout, theta, data, cases.rows):
        scores = own
        if weights is not None:
            scores = own * (weights[span] if cases.sampling or sums is not None else np.sqrt(weights[span]))
        if sums is None or clusters is None:
            found += scores @ scores.T
        else:
            np.add.at(sums, clusters[span], scores.T)
    if sums is not None and clusters is not None:
        used = len(np.unique(clusters))
        found = sums.T @ sums * (used / max(used - 1, 1))
    return np.asarray(layout.link.T @ found @ layout.link)


def adf_products(
    layout: Layout, theta: FloatArray, target: Target, cases: Cases, given: tuple[int, ...] = ()
) -> tuple[FloatArray, float]:
    """Distribution-free middle at the model's Σ: Σ_i q_i q_iᵀ / n of Δᵀ A (y yᵀ - S), and tr(A Γ).

    A is the normal-theory weight at Σ(θ), Γ the covariance of the second (and first) moments, both as Satorra & Bentler
    (1994) use them. Where the data give some variables, Γ is that of the others given them: what a regression on them
    predicts is taken off. Satorra & Bentler (1994), in Latent variables analysis: applications for developmental
    research, 399-419.
    """
    rows = cases.rows
    if rows is None:
        raise ValueError("robust errors need rows")  # callers refuse moments before
    model = implied(layout, theta)
    bank, weight = bank_of(layout, model), mean_weight(layout, model)
    inverse, at = np.asarray(np.linalg.inv(model.sigma), dtype=np.float64), list(given)
    own = target.covariance[np.ix_(at, at)]
    onto = np.linalg.solve(own, target.covariance[at]) if at else np.zeros((0, 0))
    left = target.covariance - (onto.T @ own @ onto if at else 0.0)
    found, quartic = np.zeros((len(layout.u),) * 2), 0.0
    n = float(len(rows)) if cases.size is None else cases.size
    expected = layout.share * (bank.T @ inverse @ left @ inverse @ bank)[layout.u, layout.v]
    for low in range(0, len(rows), _ROWS):
        rest = rows[low : low + _ROWS] - target.mean
        times = np.ones(len(rest)) if cases.weights is None else cases.weights[low : low + _ROWS]
        scores, square = _quadratic(layout, bank, rest @ inverse, rest)
        linear, square = rest, square**2
        if at:
            linear = rest[:, at] @ onto
            pushed = linear @ inverse
            taken, less = _quadratic(layout, bank, pushed, linear)
            scores -= taken
            square += less**2 - 2 * (rest * pushed).sum(axis=1) ** 2
            linear = rest - linear
        scores -= expected
        if layout.means:
            scores += (linear @ inverse @ bank)[:, layout.d] * weight
        found += (scores * times[:, None]).T @ scores
        quartic += float(times @ square)
    seen = inverse @ left
    trace = 0.5 * (quartic / n - float(np.trace(seen @ seen))) + (float(np.trace(seen)) if layout.means else 0.0)
    return np.asarray(layout.link.T @ (found / n) @ layout.link), trace


def _quadratic(layout: Layout, bank: FloatArray, pushed: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(rows, r) s (uᵀ W y)(vᵀ W y), and (rows,) yᵀ W y, from W y and y."""
    seen = pushed @ bank
    return layout.share * seen[:, layout.u] * seen[:, layout.v], (rest * pushed).sum(axis=1)
