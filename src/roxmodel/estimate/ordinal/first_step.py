"""Thresholds and means beside weighted least squares: as many parameters as statistics, so they are solved for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.ordinal.ordinal import OrdinalMoments
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import Implied, conditioned, implied, moment_jacobian
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["FirstStep", "first_step_of"]


@dataclass(frozen=True, slots=True)
class FirstStep:
    """Where thresholds and means stand.

    A threshold's statistic is the threshold less the mean that the causes give its item; a mean's is the implied mean.
    Both are taken where all covariates are 0, if there are any.

    Attributes
    ----------
    theta
        (m,) places in theta.
    statistics
        (m,) places among the statistics.
    item
        (m,) places of the items.
    threshold
        (m,) whether it is a threshold.
    given, mean
        (q,) places of the covariates among the items, and their means, in units of the scale.
    """

    theta: IntArray
    statistics: IntArray
    item: IntArray
    threshold: BoolArray
    given: IntArray
    mean: FloatArray

    def _means(self, at: Implied) -> FloatArray:
        """(p,) implied means, all covariates being 0."""
        return at.mu - conditioned(at.sigma, self.given).slopes @ self.mean if len(self.given) else at.mu

    def jacobian(self, layout: Layout, theta: FloatArray) -> FloatArray:
        """(m, n_free) derivatives of the statistics."""
        at = implied(layout, theta)
        by_sigma, by_mu = moment_jacobian(layout, at)
        if len(self.given):
            _, by_slopes = conditioned(at.sigma, self.given).jacobian(by_sigma)
            by_mu = by_mu - np.einsum("ikr,k->ir", by_slopes, self.mean)
        found = (by_mu @ layout.link)[self.item]
        found[self.threshold] *= -1.0
        cuts = np.flatnonzero(self.threshold)
        found[cuts, self.theta[cuts]] += 1.0
        return np.asarray(found)

    def solved(self, layout: Layout, theta: FloatArray, statistics: FloatArray) -> FloatArray:
        """Theta with the thresholds and means that give these statistics; they enter linearly, so one step is exact."""
        if not len(self.theta):
            return theta
        found = theta.copy()
        found[self.theta] = 0.0
        mu = self._means(implied(layout, found))[self.item]
        here = np.where(self.threshold, -mu, mu)
        own = self.jacobian(layout, found)[:, self.theta]
        found[self.theta] = np.linalg.solve(own, statistics[self.statistics] - here)
        return found


def first_step_of(model: RoxModel, table: ParameterTable, moments: OrdinalMoments) -> FirstStep:
    """Find thresholds and means in the table and among the statistics."""
    at, known = {label: i for i, label in enumerate(moments.labels)}, moments.given
    items = {item.name: i for i, item in enumerate(model.items)}
    theta, statistics, item, threshold = [], [], [], []
    for row in table:
        if not row.free or row.kind not in {"threshold", "intercept"}:
            continue
        # an observed construct bears the mean of its item
        name = model.find(row.left).item_names[0] if row.left in model.names and row.kind == "intercept" else row.left
        theta.append(row.free - 1)
        item.append(items[name])
        threshold.append(row.kind == "threshold")
        statistics.append(at["threshold", name, row.right] if row.kind == "threshold" else at["mean", name, ""])
    return FirstStep(
        np.array(theta, dtype=np.int64),
        np.array(statistics, dtype=np.int64),
        np.array(item, dtype=np.int64),
        np.array(threshold, dtype=bool),
        np.array([items[name] for name in (() if known is None else known.names)], dtype=np.int64),
        np.empty(0) if known is None else known.mean,
    )
