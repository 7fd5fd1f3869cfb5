"""The likelihood of all answers: value and gradient from cells, whatever is missing; the Hessian by differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from roxmodel.estimate.latent.unit_sample import LinkedSample, Source
from roxmodel.estimate.latent.unit_within import WithinStep, spread_within, within_step
from roxmodel.implied.curvature import pair_information, pair_places
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import bank_of, implied, moment_jacobian
from roxmodel.implied.noisy import NoisyMeans, expand_noisy, inverse_of_noisy, slope_noisy
from roxmodel.implied.normal import Expansion
from roxmodel.implied.together import completed
from roxmodel.moments.cells import Cells
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["JointObjective", "JointPart"]


@dataclass(frozen=True, slots=True)
class JointPart:
    """One survey: its answers by cell, and where the parameters of its covariance within units stand."""

    source: Source
    cells: Cells
    layout: Layout
    first: int
    there: BoolArray  # (J,) units of the sample with answers
    rows: IntArray  # (J',) their places in the survey's own units

    def own(self, theta: FloatArray) -> FloatArray:
        """Its parameters among all of them."""
        return theta[self.first : self.first + self.layout.n_free]

    def covariance(self, theta: FloatArray) -> FloatArray:
        """Σ_W in points squared, (q, q); items that never met covary as it takes to be positive definite."""
        scale, apart = self.layout.scale, self.source.within.apart
        sigma = implied(self.layout, self.own(theta)).sigma
        if apart is not None and not np.linalg.eigvalsh(sigma)[0] > 0:
            sigma = completed(sigma, ~apart)
        return np.asarray(sigma * np.outer(scale, scale))


@dataclass(slots=True)
class JointObjective:
    """Half the deviance of all answers, per unit: parameters between units first, then those within."""

    layout: Layout
    sample: LinkedSample
    parts: Sequence[JointPart]
    weight: FloatArray
    n_free: int
    hessian: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def value(self, theta: FloatArray) -> float:
        """At theta; infinite where it is not defined."""
        return self.slope(theta, gradient=False)[0]

    def expand(self, theta: FloatArray) -> Expansion:
        """With its gradient, and the Hessian found last."""
        value, gradient = self.slope(theta)
        return Expansion(value, gradient, self.hessian, self.hessian)

    def means(self, theta: FloatArray) -> tuple[NoisyMeans, list[WithinStep]]:
        """Levels of the units by generalised least squares with their errors, and what each survey says."""
        sample = self.sample
        mean, noise, steps = sample.data.mean.copy(), np.zeros_like(sample.data.noise), []
        for part in self.parts:
            at, rows = part.source.at, np.flatnonzero(part.there)
            unit, step = sample.scale[at], within_step(part.cells, part.covariance(theta))
            mean[np.ix_(rows, at)] = step.centre[part.rows] / unit
            noise[np.ix_(rows, at, at)] = step.noise[part.rows] / np.outer(unit, unit)
            steps.append(step)
        return NoisyMeans(sample.data.seen, mean, noise, self.weight), steps

    def slope(self, theta: FloatArray, gradient: bool = True) -> tuple[float, FloatArray]:
        """Value and gradient, per unit."""
        nothing = np.full(self.n_free, np.nan)
        try:
            return self._slope(theta, gradient)
        except np.linalg.LinAlgError:
            return float("inf"), nothing

    def _slope(self, theta: FloatArray, gradient: bool) -> tuple[float, FloatArray]:
        sample, total = self.sample, 0.0
        if not np.isfinite(theta).all():
            raise np.linalg.LinAlgError("not finite")
        data, steps = self.means(theta)
        seen, mean, noise = data.seen, data.mean, data.noise
        for part, step in zip(self.parts, steps, strict=True):
            _, distance = spread_within(part.cells, step, step.centre, np.zeros_like(step.noise))
            total += step.logdet + distance
        at_theta = implied(self.layout, theta[: self.layout.n_free])
        inverse, logdet = inverse_of_noisy(data, at_theta.sigma)
        rest = np.where(seen, mean - at_theta.mu, 0.0)
        pushed = (inverse @ rest[:, :, None])[:, :, 0]
        total += float(self.weight @ (logdet + (pushed * rest).sum(axis=1)))
        value = total / (2 * sample.n)
        if not gradient:
            return value, np.zeros(0)
        found = np.zeros(self.n_free)
        found[: self.layout.n_free] = slope_noisy(self.layout, at_theta, data, inverse)
        for part, step in zip(self.parts, steps, strict=True):
            found[part.first : part.first + part.layout.n_free] = self._within_slope(
                theta, part, step, (noise, inverse, pushed)
            )
        return value, found / sample.n

    def _within_slope(
        self, theta: FloatArray, part: JointPart, step: WithinStep, between: tuple[FloatArray, ...]
    ) -> FloatArray:
        """Gradient by the parameters within units: what respondents show around their unit's predicted level."""
        noise, inverse, pushed = between
        at, rows, unit = part.source.at, np.flatnonzero(part.there), self.sample.scale[part.source.at]
        error = noise[np.ix_(rows, at, at)]
        level, doubt = step.centre.copy(), np.zeros_like(step.noise)
        level[part.rows] -= (error @ pushed[np.ix_(rows, at)][:, :, None])[:, :, 0] * unit
        left = error @ inverse[np.ix_(rows, at, at)] @ error
        doubt[part.rows] = (error - left) * np.outer(unit, unit)
        pull, _ = spread_within(part.cells, step, level, doubt)
        scale = part.layout.scale
        bank = bank_of(part.layout, implied(part.layout, part.own(theta)))
        inner = bank.T @ (-pull * np.outer(scale, scale)) @ bank
        return np.asarray((part.layout.share * inner[part.layout.u, part.layout.v]) @ part.layout.link)

    def guess(self, theta: FloatArray) -> FloatArray:
        """A Hessian to begin with: of the means as if their noise were known, of the answers as if the levels were."""
        found, k = np.zeros((self.n_free, self.n_free)), self.layout.n_free
        data, steps = self.means(theta)
        for part, step in zip(self.parts, steps, strict=True):
            sizes = np.bincount(part.cells.pattern, weights=part.cells.n, minlength=len(part.cells.seen))
            spare = 1.0 - len(np.unique(part.cells.unit)) / sizes.sum()
            scale = part.layout.scale
            own = moment_jacobian(part.layout, implied(part.layout, part.own(theta)))[0] @ part.layout.link
            low = (own * np.outer(scale, scale)[:, :, None])[pair_places(len(scale))]
            curve = pair_information(step.inverse, np.asarray(sizes * max(spare, 0.1), dtype=np.float64))
            places = slice(part.first, part.first + part.layout.n_free)
            found[places, places] = low.T @ curve @ low / self.sample.n
        found[:k, :k] = expand_noisy(self.layout, theta[:k], data).hessian
        return found

    def differentiate(self, theta: FloatArray, size: FloatArray) -> FloatArray:
        """Hessian by central differences of the gradient, steps of a ten-thousandth of `size`."""
        found = np.empty((self.n_free, self.n_free))
        for k in range(self.n_free):
            ahead, behind = theta.copy(), theta.copy()
            ahead[k] += 1e-4 * size[k]
            behind[k] -= 1e-4 * size[k]
            found[k] = (self.slope(ahead)[1] - self.slope(behind)[1]) / (2e-4 * size[k])
        return (found + found.T) / 2
