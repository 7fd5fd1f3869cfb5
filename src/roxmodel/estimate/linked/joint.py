"""Units and respondents at once: the likelihood of all answers, within="saturated" and within="model"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from roxmodel.errors import EstimationError, RoxError
from roxmodel.estimate.linked.individual import WithinModel, within_model
from roxmodel.estimate.linked.sample import LinkedSample, Source
from roxmodel.estimate.linked.solve import Estimate
from roxmodel.estimate.linked.within import Within, spread_within, within_step
from roxmodel.estimate.sem.inference import Bread, bread_of
from roxmodel.estimate.sem.optimizer import Minimum, minimise
from roxmodel.estimate.sem.planning import lower_bounds
from roxmodel.implied.layout import Layout, saturated
from roxmodel.implied.matrices import bank_of, implied
from roxmodel.implied.noisy import NoisyMeans, inverse_of_noisy, slope_noisy
from roxmodel.implied.normal import Expansion
from roxmodel.moments.cells import Cells
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray, Scaling

__all__ = ["Joint", "JointObjective", "cells_of", "estimate_jointly"]

_ROUNDS = 4
_STEPS = 40


@dataclass(frozen=True, slots=True)
class _Part:
    """One survey: its answers by cell, and where the parameters of its covariance within units stand."""

    source: Source
    cells: Cells
    layout: Layout
    first: int
    there: BoolArray  # (J,) units of the sample with answers
    rows: np.ndarray  # (J',) their places in the survey's own units

    def own(self, theta: FloatArray) -> FloatArray:
        return theta[self.first : self.first + self.layout.n_free]

    def covariance(self, theta: FloatArray) -> FloatArray:
        scale = self.layout.scale
        return np.asarray(implied(self.layout, self.own(theta)).sigma * np.outer(scale, scale))


@dataclass(slots=True)
class JointObjective:
    """Half the deviance of all answers, per unit: parameters between units first, then those within."""

    layout: Layout
    sample: LinkedSample
    parts: Sequence[_Part]
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

    def slope(self, theta: FloatArray, gradient: bool = True) -> tuple[float, FloatArray]:
        """Value and gradient, per unit."""
        nothing = np.full(self.n_free, np.nan)
        try:
            return self._slope(theta, gradient)
        except np.linalg.LinAlgError:
            return float("inf"), nothing

    def _slope(self, theta: FloatArray, gradient: bool) -> tuple[float, FloatArray]:
        sample, total = self.sample, 0.0
        mean, noise, seen = sample.data.mean.copy(), np.zeros_like(sample.data.noise), sample.data.seen
        scale = sample.scale
        steps = []
        for part in self.parts:
            at, own = part.source.at, part.own(theta)
            if not np.isfinite(own).all():
                raise np.linalg.LinAlgError("not finite")
            step = within_step(part.cells, part.covariance(theta))
            nowhere = np.zeros_like(step.noise)
            _, distance = spread_within(part.cells, step, step.centre, nowhere)
            total += step.logdet + distance
            unit = scale[at]
            rows = np.flatnonzero(part.there)
            mean[np.ix_(rows, at)] = step.centre[part.rows] / unit
            noise[np.ix_(rows, at, at)] = step.noise[part.rows] / np.outer(unit, unit)
            steps.append(step)
        data = NoisyMeans(seen, mean, noise, self.weight)
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
        self, theta: FloatArray, part: _Part, step: object, between: tuple[FloatArray, ...]
    ) -> FloatArray:
        """Gradient by the parameters within units: what respondents show around their unit's predicted level."""
        noise, inverse, pushed = between
        at, rows, unit = part.source.at, np.flatnonzero(part.there), self.sample.scale[part.source.at]
        error = noise[np.ix_(rows, at, at)]
        level, doubt = step.centre.copy(), np.zeros_like(step.noise)  # type: ignore[attr-defined]
        level[part.rows] -= (error @ pushed[np.ix_(rows, at)][:, :, None])[:, :, 0] * unit
        left = error @ inverse[np.ix_(rows, at, at)] @ error
        doubt[part.rows] = (error - left) * np.outer(unit, unit)
        pull, _ = spread_within(part.cells, step, level, doubt)  # type: ignore[arg-type]
        scale = part.layout.scale
        bank = bank_of(part.layout, implied(part.layout, part.own(theta)))
        inner = bank.T @ (-pull * np.outer(scale, scale)) @ bank
        return np.asarray((part.layout.share * inner[part.layout.u, part.layout.v]) @ part.layout.link)

    def differentiate(self, theta: FloatArray, size: FloatArray) -> FloatArray:
        """Hessian by central differences of the gradient, steps of a ten-thousandth of `size`."""
        found = np.empty((self.n_free, self.n_free))
        for k in range(self.n_free):
            ahead, behind = theta.copy(), theta.copy()
            ahead[k] += 1e-4 * size[k]
            behind[k] -= 1e-4 * size[k]
            found[k] = (self.slope(ahead)[1] - self.slope(behind)[1]) / (2e-4 * size[k])
        return (found + found.T) / 2


def cells_of(source: Source) -> Cells:
    """Answers by unit and pattern; where nobody skipped an item, one cell a unit.

    Raises
    ------
    EstimationError
        If answers are missing and their rows are not at hand, or only means were printed.
    """
    if source.cells is not None:
        return source.cells
    own = source.moments
    counts = own.counts
    incomplete = bool((np.broadcast_to(own.n, (len(own.units), *[len(own.items)] * 2)) != counts[:, :1, None]).any())
    weighted = own.weight is not own.n and bool((own.weight != own.n).any())
    if incomplete or weighted or np.isnan(own.scatter).any() or source.within.assumed:
        why = "carries sampling weights" if weighted else "has holes whose rows are not at hand, or printed means only"
        raise EstimationError(
            f"The likelihood of all respondents needs their answers, but the {source.name} survey {why}.",
            hint="Use within='pooled'.",
        )
    unit = np.flatnonzero(counts[:, 0] > 0)
    several = np.flatnonzero(counts[unit, 0] > 1)
    return Cells(
        items=own.items,
        units=own.units,
        seen=np.ones((1, len(own.items)), dtype=bool),
        unit=unit,
        pattern=np.zeros(len(unit), dtype=np.int64),
        n=counts[unit, 0],
        mean=own.mean[unit],
        several=several,
        scatter=np.ascontiguousarray(own.scatter[unit[several]]),
    )


@dataclass(frozen=True, slots=True)
class Joint:
    """The optimum over all answers.

    Attributes
    ----------
    estimate
        The between-unit part; its bread is that of the whole, its own parameters only.
    sample
        With the covariances within units that go with it.
    within
        Models within units with their estimates and covariance; empty for ``"saturated"``.
    value
        Half the deviance of all answers per unit, without log 2π.
    n_free
        Parameters of both levels.
    answers
        Answers and figures that the likelihood is of.
    """

    estimate: Estimate
    sample: LinkedSample
    within: tuple[WithinModel, ...]
    value: float
    n_free: int
    answers: float


def estimate_jointly(model: RoxModel, sample: LinkedSample, known: Estimate, modelled: bool, scaling: Scaling) -> Joint:
    """Maximise the likelihood of all answers, from the estimate with the pooled covariance within units.

    Raises
    ------
    EstimationError
        If the answers are not at hand, or the model within units cannot be estimated.
    """
    parts, starts, lowers, models = [], [known.found.theta], [lower_bounds(known.table)], []
    first = known.table.n_free
    for source in sample.sources:
        if source.moments.eligible is not None:
            raise EstimationError(
                "eligible= (finite units) belongs to within='pooled': the likelihood of all respondents takes them as "
                "a sample of very many.",
                hint="Use within='pooled', or leave eligible= out of the study.",
            )
        cells = cells_of(source)
        layout, theta, lower, own = _within_start(model, source, modelled, scaling)
        there = source.rows >= 0
        answered = np.zeros(len(cells.units), dtype=bool)
        answered[cells.unit] = True
        there = there & answered[source.rows]
        parts.append(_Part(source, cells, layout, first, there, source.rows[there]))
        starts.append(theta)
        lowers.append(lower)
        models.append(own)
        first += layout.n_free
    objective = JointObjective(known.layout, sample, parts, sample.data.weight, first)
    lower = np.concatenate(lowers)
    found, bread = _minimised(objective, np.concatenate(starts), lower)
    return _joint(known, sample, (objective, found, bread), models)


def _within_start(
    model: RoxModel, source: Source, modelled: bool, scaling: Scaling
) -> tuple[Layout, FloatArray, FloatArray, WithinModel | None]:
    scale = np.sqrt(np.diag(source.within.covariance))
    if not modelled:
        target = source.within.covariance / np.outer(scale, scale)
        layout, theta = saturated(source.moments.items, scale, (np.zeros(len(scale)), target), means=False)
        return layout, theta, np.full(layout.n_free, -np.inf), None
    try:
        own = within_model(model, source, scaling)
    except RoxError as error:
        raise EstimationError(
            f"The model within units of the {source.name} survey cannot be estimated: {str(error).splitlines()[0]}",
            hint="Use within='pooled' or 'saturated'.",
        ) from None
    return own.layout, own.theta, lower_bounds(own.table), own


def _minimised(objective: JointObjective, start: FloatArray, lower: FloatArray) -> tuple[Minimum, Bread]:
    """Newton's method with a Hessian by differences, found anew until it no longer matters."""
    size = np.maximum(np.abs(start), 0.1)
    theta, found = start, None
    for _ in range(_ROUNDS):
        objective.hessian = objective.differentiate(theta, size)
        own = np.abs(np.diag(objective.hessian))
        size = 1.0 / np.sqrt(np.where(own > 0, own, 1.0))
        found = minimise(objective, theta, lower, _STEPS)
        moved = np.abs(found.theta - theta) / size
        theta = found.theta
        if found.converged and moved.max() * np.sqrt(objective.sample.n) < 1e-3:
            break
    if found is None:
        raise EstimationError("No step was made.")
    return found, bread_of(found, observed=True)


def _joint(
    known: Estimate,
    sample: LinkedSample,
    solved: tuple[JointObjective, Minimum, Bread],
    models: Sequence[WithinModel | None],
) -> Joint:
    objective, found, bread = solved
    k, theta = known.table.n_free, found.theta
    at = found.expansion
    between = Expansion(at.value, at.gradient[:k], at.hessian[:k, :k], at.information[:k, :k])
    minimum = replace(found, theta=theta[:k], expansion=between, bound=found.bound[:k])
    flat = None if bread.flat is None else bread.flat[:k]
    own = replace(bread, inverse=bread.inverse[:k, :k], information=bread.information[:k, :k], flat=flat)
    sources, within = [], []
    for part, model in zip(objective.parts, models, strict=True):
        covariance = part.covariance(theta)
        old = part.source.within
        sources.append(
            replace(part.source, within=Within(covariance, old.df, False, _said(old.notes, part.source.name)))
        )
        if model is not None:
            places = slice(part.first, part.first + part.layout.n_free)
            vcov = bread.inverse[places, places] / sample.n
            within.append(replace(model, theta=part.own(theta), vcov=vcov))
    data = replace(sample.data, noise=_noise_at(objective, theta), mean=_mean_at(objective, theta))
    again = replace(sample, sources=tuple(sources), data=data)
    answers = sum(float(part.cells.n @ part.cells.seen[part.cells.pattern].sum(axis=1)) for part in objective.parts)
    figures = sample.data.seen.copy()
    for part in objective.parts:
        figures[:, part.source.at] = False
    return Joint(
        replace(known, found=minimum, bread=own), again, tuple(within), at.value, objective.n_free,
        answers + float(figures.sum()),
    )  # fmt: skip


def _said(notes: tuple[str, ...], name: str) -> tuple[str, ...]:
    if not notes:
        return ()
    return (f"{name}: answers are missing; the likelihood of all answers assumes that they are missing at random.",)


def _noise_at(objective: JointObjective, theta: FloatArray) -> FloatArray:
    sample = objective.sample
    noise = np.zeros_like(sample.data.noise)
    for part in objective.parts:
        step, rows, at = within_step(part.cells, part.covariance(theta)), np.flatnonzero(part.there), part.source.at
        noise[np.ix_(rows, at, at)] = step.noise[part.rows] / np.outer(sample.scale[at], sample.scale[at])
    return noise


def _mean_at(objective: JointObjective, theta: FloatArray) -> FloatArray:
    sample, mean = objective.sample, objective.sample.data.mean.copy()
    for part in objective.parts:
        step, rows, at = within_step(part.cells, part.covariance(theta)), np.flatnonzero(part.there), part.source.at
        mean[np.ix_(rows, at)] = step.centre[part.rows] / sample.scale[at]
    return mean
