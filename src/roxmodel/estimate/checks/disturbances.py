"""What the equations of a fit leave unexplained, unit by unit or row by row: the ground of checks of single units."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.estimate.latent.casewise import casewise_scores
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, LinkedSample
from roxmodel.implied.likelihood import against, inverse_of
from roxmodel.implied.matrices import Layout, implied
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.system import total_effects
from roxmodel.spec.causal import headline
from roxmodel.survey.answers import read_answers
from roxmodel.survey.frames import open_frame
from roxmodel.survey.study import Study
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Unexplained", "moved_totals", "total_slope", "totals_at", "unexplained"]

_LEAST = 1e-9  # share of the information about a shift that is not rounding


@dataclass(frozen=True, slots=True, eq=False)
class Unexplained:
    """Scores of a shift of each construct in each case, and their information.

    With m ~ N(μ + A δ, Σ + noise), A = Λ (I - B)⁻¹, the score of δ is u = Aᵀ W (m - μ) and its information D = Aᵀ W A:
    u_k / D_kk is the best guess of what moved construct k beside its causes, with the error variance 1 / D_kk. Of
    composites the residual of each equation, known without error.
    """

    names: tuple[str, ...]  # (k,)
    caused: BoolArray  # (k,) constructs with causes
    push: FloatArray  # (n, k), 0 where nothing is known
    weight: FloatArray  # (n, k, k)
    rows: IntArray  # (n,) place among the units of the study, or of the rows of the frame
    units: tuple[Hashable, ...] | None  # keys; None where cases are people
    distance: FloatArray | None = None  # (n,) (m - μ)ᵀ W (m - μ), and how many values it is of; None: composites
    values: IntArray | None = None

    def net(self) -> tuple[FloatArray, FloatArray]:
        """Scores and information of constructs with causes, (n, e) and (n, e, e), whatever shifts those without."""
        own, other = np.flatnonzero(self.caused), np.flatnonzero(~self.caused)
        push, weight = self.push[:, own], self.weight[:, own[:, None], own]
        if not len(other):
            return push, weight
        inner = self.weight[:, other[:, None], other]
        scale = np.sqrt(np.maximum(np.diagonal(inner, axis1=1, axis2=2), 1e-300))
        across = self.weight[:, own[:, None], other] / scale[:, None, :]
        onto = across @ np.linalg.pinv(inner / (scale[:, :, None] * scale[:, None, :]), 1e-8, hermitian=True)
        push = push - (onto @ (self.push[:, other] / scale)[:, :, None])[:, :, 0]
        net = weight - onto @ across.swapaxes(1, 2)
        lost = np.diagonal(net, axis1=1, axis2=2) <= _LEAST * np.diagonal(weight, axis1=1, axis2=2)
        return np.where(lost, 0.0, push), np.where(lost[:, :, None] | lost[:, None, :], 0.0, net)


def unexplained(evidence: Evidence, reread: bool = True) -> Unexplained | None:
    """Of a fit; None where no single unit or row is at hand, or nothing normal is said of it.

    `reread`: whether rows that the fit did not keep are taken from the frame again.
    """
    fit, solution = evidence.fit, evidence.solution
    if fit.traits.ordinal or any(evidence.columns.get(name) for name in ("weight", "frequency")):
        return None
    if solution is None:
        return _of_composites(evidence)
    if isinstance(solution.sample, LinkedSample):
        return _of_units(solution, solution.sample)
    groups = solution.sample.groups
    if any(group.places is None or group.weights is not None for group in groups):
        return None
    if any(group.rows is None for group in groups):
        if not reread:
            return None
        values = _rows_again(evidence) / solution.sample.scale
        groups = tuple(replace(group, rows=values[group.places]) for group in groups)
    parts = [
        _of_rows(layout, solution.found.theta, group) for layout, group in zip(solution.layouts, groups, strict=True)
    ]
    push, weight, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Unexplained(*_who(fit), push, weight, rows, None)


def _rows_again(evidence: Evidence) -> FloatArray:
    items = evidence.model.items
    frame = open_frame("data", evidence.data, [item.name for item in items])
    return np.column_stack([read_answers("data", frame, item, coerce=False).turned for item in items])


def _who(fit: Fit) -> tuple[tuple[str, ...], BoolArray]:
    return fit.model.names, np.array([bool(fit.model.causes(name)) for name in fit.model.names])


def _of_units(solution: LatentSolution, sample: LinkedSample) -> Unexplained:
    at = implied(solution.layout, solution.found.theta)
    own = against(sample.data, at.mu, at.sigma)
    weight = at.reach.T @ own.inverse @ at.reach
    caused = np.array([bool(solution.model.causes(name)) for name in solution.model.names])
    places = sample.groups[0].places
    return Unexplained(
        solution.model.names, caused, own.pushed @ at.reach, weight,
        np.arange(sample.n) if places is None else places, sample.units,
        (own.rest * own.pushed).sum(axis=1), sample.data.seen.sum(axis=1),
    )  # fmt: skip


def _of_rows(layout: Layout, theta: FloatArray, group: GroupSample) -> tuple[FloatArray, FloatArray, IntArray]:
    at, rows, places = implied(layout, theta), np.asarray(group.rows), np.asarray(group.places)
    mean = at.mu if layout.means else group.target.mean
    rest = np.nan_to_num(rows - mean)
    if group.patterns is None or group.patterns.code is None:
        inverse = np.linalg.inv(at.sigma)
        weight = np.broadcast_to(at.reach.T @ inverse @ at.reach, (len(rest), *at.latent.shape))
        return rest @ inverse @ at.reach, weight, places
    every, _ = inverse_of(group.patterns, at.sigma)
    code = group.patterns.code
    pushed = (every[code] @ rest[:, :, None])[:, :, 0]
    return pushed @ at.reach, (at.reach.T @ every @ at.reach)[code], places


def _of_composites(evidence: Evidence) -> Unexplained | None:
    fit = evidence.fit
    levels, units = fit.population.levels, fit.population.units
    if levels is None:
        return None
    rest = levels - np.nan_to_num(levels) @ fit.system().coefficients[0].T
    known = ~np.isnan(levels)
    for k, name in enumerate(fit.model.names):
        causes = [fit.model.names.index(cause) for cause in fit.model.causes(name)]
        known[:, k] &= known[:, causes].all(axis=1) & (fit.families[k] == LINEAR)
    rest = np.where(known, rest, np.nan)
    if not known.any(axis=0).all():
        known, rest = known & known.any(axis=0), np.where(known.any(axis=0), rest, 0.0)
    centre, variance = np.nanmean(rest, axis=0), np.nanvar(rest, axis=0)
    variance = np.where(variance > 0, variance, 1.0)
    push = np.where(known, (rest - centre) / variance, 0.0)
    weight = np.eye(len(variance)) * (known / variance)[:, None, :]
    rows = np.arange(len(levels))
    if units is not None and isinstance(evidence.data, Study):
        place = {unit: k for k, unit in enumerate(evidence.data.units)}
        rows = np.array([place[unit] for unit in units], dtype=np.int64)
    return Unexplained(*_who(fit), push, weight, rows, units)


def moved_totals(evidence: Evidence, rest: Unexplained, slope: FloatArray | None = None) -> FloatArray | None:
    """(n,) by how much each case moves the total effect that is reported first, one step from the estimate.

    Inverse information times casewise scores (Cook 1986, doi 10.1111/j.2517-6161.1986.tb01398.x); of regressions what
    each row moves their coefficients by. None where no total is reported, or of several groups.
    """
    pair, solution, fit = headline(evidence.model), evidence.solution, evidence.fit
    if pair is None or len(fit.groups) > 1:
        return None
    if (
        solution is not None
        and not isinstance(solution.sample, LinkedSample)
        and solution.sample.groups[0].rows is None
    ):
        return None
    slope = total_slope(fit) if slope is None else slope
    if solution is None:
        return _moved_coefficients(fit, rest, slope)
    sample, group = solution.sample, solution.sample.groups[0]
    if group.rows is None and not isinstance(sample, LinkedSample):
        return None
    data = sample.data if isinstance(sample, LinkedSample) else group.data
    scores = casewise_scores(solution.layout, solution.found.theta, data, group.rows)
    return np.asarray(scores @ (solution.bread.whole @ slope) / sample.n)


def total_slope(fit: Fit) -> FloatArray:
    """(n_free,) derivative of the total effect that is reported first."""
    moving = np.array(
        sorted({row.free - 1 for row in fit.table.of("edge") if row.free and not row.lag}), dtype=np.int64
    )
    theta, slope = fit.theta, np.zeros(len(fit.theta))
    step = np.zeros((len(moving), len(theta)))
    size = 1e-6 * np.maximum(np.abs(theta[moving]), 1e-3)
    step[np.arange(len(moving)), moving] = size
    both = totals_at(fit, np.vstack([theta + step, theta - step]))
    slope[moving] = (both[: len(moving)] - both[len(moving) :]) / (2 * size)
    return slope


def totals_at(fit: Fit, theta: FloatArray) -> FloatArray:
    """(draws,) total effect that is reported first, at each theta."""
    pair = headline(fit.model)
    if pair is None:
        return np.zeros(len(theta))
    cause, effect = (fit.model.names.index(name) for name in pair)
    return np.asarray(total_effects(fit.system(theta).coefficients)[:, effect, cause])


def _moved_coefficients(fit: Fit, rest: Unexplained, slope: FloatArray) -> FloatArray | None:
    levels, names = fit.population.levels, fit.model.names
    if levels is None:
        return None
    moved = np.zeros(len(levels))
    for k, name in enumerate(names):
        edges = [row for row in fit.table.of("edge") if row.right == name and row.free and not row.lag]
        there = rest.weight[:, k, k] > 0
        if not edges or not there.any():
            continue
        x = levels[there][:, np.array([names.index(row.left) for row in edges], dtype=np.int64)]
        x = x - x.mean(axis=0)
        left = rest.push[there, k] / rest.weight[there, k, k]
        moved[there] += left * (x @ np.linalg.pinv(x.T @ x) @ slope[[row.free - 1 for row in edges]])
    return moved
