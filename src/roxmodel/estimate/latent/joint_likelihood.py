"""The likelihood of all answers, of units and respondents at once.

Where nobody skipped an item value, gradient and Hessian are in closed form; else value and gradient come from cells of
unit and pattern, and the Hessian by differences. In the closed form a unit's means have the covariance
Σ_B + Σ_s c_sj E_s Σ_W,s E_sᵀ, c_sj one over its respondents, so that the derivative by a parameter within units is that
of Σ_W times c_sj; the deviations from the means add (n_s - J_s) times the discrepancy of Σ_W,s from their pooled
covariance (Muthén 1994, doi 10.1177/0049124194022003006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from roxmodel.estimate.latent.sample import LinkedSample, Source
from roxmodel.estimate.latent.within import WithinStep, spread_within, within_step
from roxmodel.implied.curvature import CaseSums, pair_cross, pair_information, pair_places, pair_table, sums_of
from roxmodel.implied.identification import completed
from roxmodel.implied.likelihood import Against, Expansion, NormalCells, Target, against, expand, gradient_of
from roxmodel.implied.matrices import Implied, Layout, bank_of, implied, moment_jacobian, second_order
from roxmodel.moments.cells import Cells
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["CompleteObjective", "JointObjective", "JointPart", "is_complete"]


@dataclass(frozen=True, slots=True)
class JointPart:
    """One survey: its answers by cell, and where the parameters of its covariance within units stand."""

    source: Source
    cells: Cells
    layout: Layout
    first: int
    there: BoolArray  # (J,) units of the sample with answers
    rows: IntArray  # (J',) their places in the survey's own units

    @property
    def span(self) -> slice:
        """Where its parameters stand among all of them."""
        return slice(self.first, self.first + self.layout.n_free)

    def own(self, theta: FloatArray) -> FloatArray:
        """Its parameters among all of them."""
        return theta[self.span]

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

    def means(self, theta: FloatArray) -> tuple[NormalCells, list[WithinStep]]:
        """Levels of the units by generalised least squares with their errors, and what each survey says."""
        sample = self.sample
        mean, noise, steps = sample.data.mean.copy(), np.zeros_like(sample.data.noise), []
        for part in self.parts:
            at, rows = part.source.at, np.flatnonzero(part.there)
            unit, step = sample.scale[at], within_step(part.cells, part.covariance(theta))
            mean[np.ix_(rows, at)] = step.centre[part.rows] / unit
            noise[np.ix_(rows, at, at)] = step.noise[part.rows] / np.outer(unit, unit)
            steps.append(step)
        return NormalCells(sample.data.seen, mean, self.weight, noise=noise), steps

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
        for part, step in zip(self.parts, steps, strict=True):
            _, distance = spread_within(part.cells, step, step.centre, np.zeros_like(step.noise))
            total += step.logdet + distance
        at_theta = implied(self.layout, theta[: self.layout.n_free])
        units = against(data, at_theta.mu, at_theta.sigma)
        total += float(self.weight @ units.deviance())
        value = total / (2 * sample.n)
        if not gradient:
            return value, np.zeros(0)
        found = np.zeros(self.n_free)
        pull, push = units.pull(self.weight), self.weight @ units.pushed
        found[: self.layout.n_free] = gradient_of(self.layout, at_theta, pull, push)
        for part, step in zip(self.parts, steps, strict=True):
            found[part.span] = self._within_slope(theta, part, step, units)
        return value, found / sample.n

    def _within_slope(self, theta: FloatArray, part: JointPart, step: WithinStep, units: Against) -> FloatArray:
        """Gradient by the parameters within units: what respondents show around their unit's predicted level."""
        at, rows, unit = part.source.at, np.flatnonzero(part.there), self.sample.scale[part.source.at]
        error = step.noise[part.rows] / np.outer(unit, unit)
        level, doubt = step.centre.copy(), np.zeros_like(step.noise)
        level[part.rows] -= (error @ units.pushed[np.ix_(rows, at)][:, :, None])[:, :, 0] * unit
        left = error @ units.inverse[np.ix_(rows, at, at)] @ error
        doubt[part.rows] = (error - left) * np.outer(unit, unit)
        pull, _ = spread_within(part.cells, step, level, doubt)
        layout, own = part.layout, implied(part.layout, part.own(theta))
        return gradient_of(layout, own, -pull * np.outer(layout.scale, layout.scale), None)

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
            found[part.span, part.span] = low.T @ curve @ low / self.sample.n
        found[:k, :k] = expand(self.layout, theta[:k], data).hessian
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


def is_complete(parts: Sequence[JointPart]) -> bool:
    """Whether nobody skipped an item."""
    return all(len(part.cells.seen) == 1 and bool(part.cells.seen.all()) for part in parts)


@dataclass(frozen=True, slots=True)
class _Block:
    """Parameters that move every unit's covariance alike, up to a factor a unit."""

    low: FloatArray  # (q, r) derivatives of the pairs of Σ, halved on the diagonal, in units of the sample's scale
    factor: FloatArray  # (J,)


@dataclass(frozen=True, slots=True)
class CompleteObjective:
    """Half the deviance of all answers, per unit, up to a constant: parameters between units first."""

    layout: Layout
    sample: LinkedSample
    parts: Sequence[JointPart]
    n_free: int

    def value(self, theta: FloatArray) -> float:
        """At theta; infinite where it is not defined."""
        try:
            units = self._units(theta, implied(self.layout, theta[: self.layout.n_free]))
        except np.linalg.LinAlgError:
            return float("inf")
        total = float(units.deviance().sum()) / 2
        for part in self.parts:
            own, times = self._deviations(part)
            total += times * expand(part.layout, part.own(theta), own).value
        return total / self.sample.n if np.isfinite(total) else float("inf")

    def _deviations(self, part: JointPart) -> tuple[Target, float]:
        """Pooled covariance within units, in the layout's scale, and its degrees of freedom."""
        times = float(part.cells.n.sum() - len(part.cells.n))
        pooled = part.cells.scatter.sum(axis=0) / max(times, 1.0)
        return Target(np.zeros(len(pooled)), pooled / np.outer(part.layout.scale, part.layout.scale)), times

    def _factor(self, part: JointPart) -> FloatArray:
        found = np.zeros(len(part.cells.units))
        found[part.cells.unit] = 1.0 / part.cells.n
        own = np.zeros(self.sample.n)
        own[part.there] = found[part.rows]
        return own

    def _units(self, theta: FloatArray, at: Implied) -> Against:
        sample = self.sample
        noise = np.zeros_like(sample.data.noise)
        for part in self.parts:
            items = part.source.at
            if not np.isfinite(part.own(theta)).all():
                raise np.linalg.LinAlgError("not finite")
            unit = np.outer(sample.scale[items], sample.scale[items])
            noise[:, items[:, None], items] = self._factor(part)[:, None, None] * (part.covariance(theta) / unit)
        data = NormalCells(sample.data.seen, sample.data.mean, np.ones(sample.n), noise=noise)
        return against(data, at.mu, at.sigma)

    def expand(self, theta: FloatArray) -> Expansion:
        """The value with its gradient, Hessian and expected information."""
        nothing, k = np.full((self.n_free,) * 2, np.nan), self.layout.n_free
        at = implied(self.layout, theta[:k])
        try:
            units = self._units(theta, at)
        except np.linalg.LinAlgError:
            return Expansion(float("inf"), np.full(self.n_free, np.nan), nothing, nothing)
        half, push = units.half(), units.pushed.sum(axis=0)
        by_sigma, by_mu = moment_jacobian(self.layout, at)
        by_mu = by_mu @ self.layout.link
        blocks = self._blocks(theta, by_sigma @ self.layout.link)
        spans = [slice(0, k), *(part.span for part in self.parts)]
        value = float(units.deviance().sum()) / 2
        gradient, hessian, information = np.zeros(self.n_free), np.zeros_like(nothing), np.zeros_like(nothing)
        for a, one in enumerate(blocks):
            for b, other in enumerate(blocks[: a + 1]):
                sums = sums_of(one.factor * other.factor, units.inverse, half, units.pushed)
                expected, observed = _between(one, other, sums)
                if a == 0:
                    means = by_mu.T @ sums.inverse @ by_mu
                    expected, observed = expected + means, observed + means
                if b == 0:
                    cross = by_mu.T @ pair_cross(sums, one.low)  # means (down) by the covariances of block a (across)
                    observed = observed + cross.T + (cross if a == 0 else 0.0)
                hessian[spans[a], spans[b]], information[spans[a], spans[b]] = observed, expected
                hessian[spans[b], spans[a]], information[spans[b], spans[a]] = observed.T, expected.T
        for a, one in enumerate(blocks):
            pull = units.pull(one.factor)
            gradient[spans[a]] += one.low.T @ pull[pair_places(len(pull))]
            hessian[spans[a], spans[a]] += self._bent(a, theta, pull, push)
        gradient[:k] -= by_mu.T @ push
        for part, span in zip(self.parts, spans[1:], strict=True):
            target, times = self._deviations(part)
            own = expand(part.layout, part.own(theta), target)
            value += times * own.value
            gradient[span] += times * own.gradient
            hessian[span, span] += times * own.hessian
            information[span, span] += times * own.information
        n = self.sample.n
        return Expansion(value / n, gradient / n, hessian / n, information / n)

    def _blocks(self, theta: FloatArray, by_sigma: FloatArray) -> list[_Block]:
        sample, places = self.sample, pair_places(len(self.sample.items))
        share = np.where(places[0] == places[1], 0.5, 1.0)[:, None]
        found = [_Block(by_sigma[places] * share, np.ones(sample.n))]
        for part in self.parts:
            at, scale = part.source.at, part.layout.scale
            own = moment_jacobian(part.layout, implied(part.layout, part.own(theta)))[0] @ part.layout.link
            ratio = np.outer(scale / sample.scale[at], scale / sample.scale[at])
            whole = np.zeros((len(sample.items), len(sample.items), own.shape[-1]))
            whole[at[:, None], at] = own * ratio[:, :, None]
            found.append(_Block(whole[places] * share, self._factor(part)))
        return found

    def _bent(self, place: int, theta: FloatArray, pull: FloatArray, push: FloatArray) -> FloatArray:
        """Second derivatives of the moments, by the parameters of one block."""
        layout, own = self.layout, theta[: self.layout.n_free]
        if place:
            part = self.parts[place - 1]
            layout, own, items = part.layout, part.own(theta), part.source.at
            ratio = layout.scale / self.sample.scale[items]
            pull, push = pull[np.ix_(items, items)] * np.outer(ratio, ratio), np.zeros(len(items))
        at = implied(layout, own)
        bank = bank_of(layout, at)
        found = second_order(layout, at, bank.T @ pull @ bank, bank.T @ push)
        return np.asarray(layout.link.T @ found @ layout.link)


def _between(one: _Block, other: _Block, sums: CaseSums) -> tuple[FloatArray, FloatArray]:
    """Expected and observed curvature of two blocks of covariance parameters."""
    expected = one.low.T @ pair_table(sums.plain + sums.plain.T) @ other.low
    mixed = one.low.T @ pair_table(sums.mixed + sums.mixed.T) @ other.low
    return expected / 2, mixed - expected / 2
