"""Newton's method with bounds, from starts at which the likelihood is defined; quasi-Newton steps of many draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.implied.curvature import is_diagonal, slope_diagonal
from roxmodel.implied.likelihood import Expansion, Target, slope
from roxmodel.implied.matrices import Layout, implied
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Minimum", "drawn", "feasible", "lower_bounds", "minimise", "reached", "settle"]

_MOST_STEPS = 200
_DONE = 1e-13  # Newton decrement: squared distance to the optimum in standard errors of one observation
_LEVEL = 1e-15  # the same by the gradient alone, where the Hessian needs a ridge
_SURE = 0.5  # of what was promised, that a step must hold which jumps onto a bound the function does not push against
_FIRST, _MOST_RIDGE = 1e-4, 1e8  # of the ridge, beside a scaled information with ones on its diagonal


class Minimisable(Protocol):
    """A function with derivatives."""

    def value(self, theta: FloatArray) -> float:
        """Its value; infinite where it is not defined."""

    def expand(self, theta: FloatArray) -> Expansion:
        """Its value with derivatives, where it is finite."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a minimisation ended."""

    theta: FloatArray  # (n_free,)
    expansion: Expansion  # the function there
    converged: bool  # whether the gradient vanishes, up to what is pushed against a bound
    steps: int  # how many were made
    bound: BoolArray  # (n_free,) which parameters stand at their bound
    decrement: float  # Newton decrement at the end: gᵀ H⁻¹ g, per case


def minimise(objective: Minimisable, start: FloatArray, lower: FloatArray, most: int = _MOST_STEPS) -> Minimum:
    """Minimise from a start, where the function is finite, above lower bounds (-inf for none).

    Analytic derivatives, and a ridge as high as the way down needs (trust region). Bertsekas (1982),
    doi 10.1137/0320018 (projected Newton); Lee & Jennrich (1979), doi 10.1007/BF02293789 (scoring).
    """
    theta = np.maximum(start, lower)
    here = objective.expand(theta)
    if not len(theta):
        return Minimum(theta, here, True, 0, np.zeros(0, dtype=bool), 0.0)
    decrement, steps, ridge, done = np.inf, 0, 0.0, False
    while steps < most and not done and ridge < _MOST_RIDGE:
        model = _model(here, theta, lower)
        step, ridge = _step(model, ridge)
        decrement = float(-model.gradient @ step)
        done = decrement < _DONE if ridge == 0 else model.level < _LEVEL
        trial = np.where(step <= model.room, lower, theta + step / model.scale)
        there = objective.expand(trial)
        predicted = decrement - 0.5 * float(step @ model.curved(step))
        gain = (here.value - there.value) / predicted if predicted > 0 else 0.0
        steps += 1
        unpushed = bool((there.gradient[(trial <= lower) & ~(theta <= lower)] < 0).any())  # at a new bound
        # Close to the optimum the values differ by rounding only: the step is taken if it does no harm.
        if np.isfinite(there.value) and (
            gain > (_SURE if unpushed else 1e-4) or (done and there.value <= here.value + 1e-13)
        ):
            theta, here = trial, there
            ridge = ridge * 3 if gain < 0.25 and ridge else ridge / 5 if gain > 0.75 else ridge
            ridge = 0.0 if ridge < 1e-9 else ridge
        elif decrement < 1e-11:  # nothing is left to gain in the digits there are
            done = True
        else:
            ridge = max(5 * ridge, _FIRST)
    bound = np.isfinite(lower) & (theta <= lower)
    return Minimum(theta, here, done, steps, bound, decrement)


@dataclass(frozen=True, slots=True)
class _Model:
    """The quadratic model in units in which the information has ones on its diagonal."""

    gradient: FloatArray
    hessian: FloatArray
    room: FloatArray  # (n_free,) how far down each parameter may go, at most 0
    scale: FloatArray  # (n_free,) what parameters are multiplied by to get to these units

    @property
    def level(self) -> float:
        """Squared length of the gradient, what is pushed against a bound left out."""
        pushed = (self.room >= 0) & (self.gradient > 0)
        return float((np.where(pushed, 0.0, self.gradient) ** 2).sum())

    def curved(self, step: FloatArray) -> FloatArray:
        """H d."""
        return np.asarray(self.hessian @ step)


def _model(here: Expansion, theta: FloatArray, lower: FloatArray) -> _Model:
    own = np.diag(here.information)
    scale = np.sqrt(np.where(own > 0, own, max(float(own.max()), 1e-200)))  # 0 or less: only rounding is left of it
    room = np.minimum((lower - theta) * scale, 0.0)
    return _Model(here.gradient / scale, here.hessian / np.outer(scale, scale), room, scale)


def _step(model: _Model, ridge: float) -> tuple[FloatArray, float]:
    """Minimise the model on the bounds, with as much of a ridge as its Hessian needs to be convex.

    Moré & Sorensen (1983), doi 10.1137/0904038; Nocedal & Wright (2006), Numerical optimization, ch. 16 (active sets).
    """
    size = len(model.gradient)
    while ridge < _MOST_RIDGE:
        found = _bounded(model.hessian + ridge * np.eye(size) if ridge else model.hessian, model)
        if found is not None:
            return found, ridge
        ridge = max(4 * ridge, _FIRST)
    return np.where(model.room < 0, -model.gradient / ridge, 0.0), ridge


def _bounded(matrix: FloatArray, model: _Model) -> FloatArray | None:
    """Minimise gᵀ d + ½ dᵀ H d with d >= room; None where H is not positive definite on what is free."""
    gradient, room = model.gradient, model.room
    step = np.zeros(len(gradient))
    held = (room >= 0) & (gradient > 0)
    for _ in range(2 * len(gradient) + 2):
        free = ~held
        if free.all():
            solved = _solved(matrix, gradient)
        elif free.any():
            solved = _solved(matrix[np.ix_(free, free)], gradient[free] + matrix[np.ix_(free, held)] @ step[held])
        else:
            solved = np.zeros(0)
        if solved is None:
            return None
        step[free] = -solved
        leaving = free & (step < room)
        if leaving.any():
            held |= leaving
            step[held] = room[held]
            continue
        pushed = gradient + matrix @ step
        wrong = held & (pushed < -1e-12)
        if not wrong.any():
            return step
        held[np.argmin(np.where(wrong, pushed, np.inf))] = False
    return step if float(gradient @ step) < 0 else None


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray | None:
    """Solve a positive definite system; None where it is not."""
    if not np.isfinite(matrix).all():
        return None
    try:
        root = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    if np.diag(root).min() ** 2 < 1e-12:
        return None
    return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, right)))


_CAUTION = ((0.25, 1.0), (0.5, 3.0), (0.0, 1.0))  # of edges and covariances, and of variances: other starts


def lower_bounds(table: ParameterTable) -> FloatArray:
    """(n_free,) lower bounds: 0 for variances."""
    lower = np.full(table.n_free, -np.inf)
    for row in table:
        if row.free and row.lower is not None:
            lower[row.free - 1] = row.lower
    return lower


def feasible(objective: Minimisable, start: FloatArray, table: ParameterTable) -> FloatArray:
    """The start, or where the function is not defined there: smaller edges and covariances, until it is."""
    found = start.copy()
    for _ in range(6):
        if np.isfinite(objective.value(found)):
            return found
        for row in table:
            if row.free and row.kind in {"edge", "covariance"} and row.start is None:
                found[row.free - 1] *= 0.5
    for row in table:
        if row.free and row.kind == "covariance":
            found[row.free - 1] = 0.0
    if np.isfinite(objective.value(found)):
        return found
    raise EstimationError(
        "With the fixed and start values that the model states, its implied covariance matrix is not positive "
        "definite: they contradict each other, or the data.",
        hint="Check fixed variances against the covariances and loadings beside them.",
    )


def reached(
    objective: Minimisable,
    start: FloatArray,
    table: ParameterTable,
    level: Callable[[FloatArray], FloatArray] | None = None,
    most: int | None = None,
) -> Minimum:
    """Minimise from a start; where that does not converge, from others, before anybody is told that it does not.

    `level` moves the intercepts of another start to where the means are; `most` steps at most, None for as many as
    `minimise` makes. Found is the first minimum that converged, else the lowest.
    """
    lower, steps = lower_bounds(table), {} if most is None else {"most": most}
    found = minimise(objective, start, lower, **steps)
    for bend, widen in _CAUTION:
        if found.converged:
            break
        other = start.copy()
        for row in table:
            if row.free and row.start is None and row.kind in {"edge", "covariance"}:
                other[row.free - 1] = bend * start[row.free - 1]
            elif row.free and row.start is None and row.kind == "variance":
                other[row.free - 1] = widen * start[row.free - 1]
        other = other if level is None else level(other)
        if not np.isfinite(objective.value(other)):
            continue
        again = minimise(objective, other, lower, **steps)
        if again.converged or again.expansion.value < found.expansion.value:
            found = again
    return found


_MOST_TOGETHER = 40
_MEMORY = 12  # steps that the approximation of the Hessian remembers
_DONE_TOGETHER = 1e-7  # squared length of the last step, in standard errors: what it leaves is a small part of it
_LONGEST = 2.0  # of a step, in standard errors of one observation


def settle(
    layouts: Sequence[Layout],
    targets: Sequence[Target],
    shares: FloatArray,
    start: FloatArray,
    inverse: FloatArray,
    n: float,
) -> tuple[FloatArray, BoolArray]:
    """Minimise F for many sets of moments.

    Limited-memory BFGS whose first inverse Hessian is that of the common start (Liu & Nocedal 1989,
    doi 10.1007/BF01589116). It knows no bounds and no line search: a draw that does not settle is reported.

    Layouts and targets (with draws in front) are one for each group, `shares` of the observations (draws, groups);
    `inverse` is the inverse Hessian at the start, and `n` says how small a step must be to matter no more. Found are
    (draws, n_free) parameters, and whether the gradient vanishes at a Σ that is positive definite, (draws,).
    """
    draws = len(shares)
    theta = np.repeat(start[None, :], draws, axis=0)
    done = np.zeros(draws, dtype=bool)
    active = np.flatnonzero(np.isfinite(shares).all(axis=1) & (shares > 0).all(axis=1))
    parts = _Parts(layouts, targets, shares).pick(active)
    here, gradient = theta[active], parts.slope(theta[active])
    steps: list[FloatArray] = []
    turns: list[FloatArray] = []
    for _ in range(_MOST_TOGETHER):
        if not len(active):
            break
        step = -_turned(gradient, inverse, steps, turns)
        size = -np.einsum("rq,rq->r", step, gradient)
        finite = np.isfinite(size)
        far = finite & (size > _LONGEST**2)
        step[far] *= (_LONGEST / np.sqrt(size[far]))[:, None]
        here = here + np.where(finite[:, None], step, 0.0)
        ended = finite & (np.abs(size) * n < _DONE_TOGETHER)
        if ended.any() or not finite.all():
            theta[active[ended]] = here[ended]
            done[active[ended]] = True
            going = finite & ~ended
            active, here, gradient, step = active[going], here[going], gradient[going], step[going]
            steps, turns = [s[going] for s in steps], [t[going] for t in turns]
            parts = parts.pick(np.flatnonzero(going))
            if not len(active):
                break
        following = parts.slope(here)
        steps, turns = [*steps, step][-_MEMORY:], [*turns, following - gradient][-_MEMORY:]
        gradient = following
    return theta, done & _positive(layouts, theta)


def _turned(gradient: FloatArray, inverse: FloatArray, steps: list[FloatArray], turns: list[FloatArray]) -> FloatArray:
    """Inverse Hessian times gradient, by the two loops of limited-memory BFGS."""
    found = gradient.copy()
    weights = []
    for step, turn in zip(reversed(steps), reversed(turns), strict=True):
        curve = np.einsum("rq,rq->r", step, turn)
        inverse_curve = np.where(curve > 0, 1.0 / np.where(curve > 0, curve, 1.0), 0.0)
        share = inverse_curve * np.einsum("rq,rq->r", step, found)
        found -= share[:, None] * turn
        weights.append((share, inverse_curve))
    found = found @ inverse
    for (share, inverse_curve), step, turn in zip(reversed(weights), steps, turns, strict=True):
        back = inverse_curve * np.einsum("rq,rq->r", turn, found)
        found += (share - back)[:, None] * step
    return found


class _Parts:
    """The groups of all draws that are still on their way."""

    def __init__(self, layouts: Sequence[Layout], targets: Sequence[Target], shares: FloatArray) -> None:
        self.layouts, self.targets, self.shares = tuple(layouts), tuple(targets), shares
        self.diagonal = all(is_diagonal(layout) for layout in layouts)

    def pick(self, places: np.ndarray) -> _Parts:
        if len(places) == len(self.shares):
            return self
        targets = [Target(t.mean[places], t.covariance[places]) for t in self.targets]
        return _Parts([drawn(layout, places) for layout in self.layouts], targets, self.shares[places])

    def slope(self, theta: FloatArray) -> FloatArray:
        """(draws, n_free) gradient; NaN where it cannot be computed."""
        try:
            return self._slope(theta)
        except np.linalg.LinAlgError:
            return np.concatenate([self._alone(theta, draw) for draw in range(len(theta))])

    def _alone(self, theta: FloatArray, draw: int) -> FloatArray:
        try:
            return self.pick(np.array([draw]))._slope(theta[draw : draw + 1])
        except np.linalg.LinAlgError:
            return np.full((1, theta.shape[1]), np.nan)

    def _slope(self, theta: FloatArray) -> FloatArray:
        found = np.zeros_like(theta)
        for place, (layout, target) in enumerate(zip(self.layouts, self.targets, strict=True)):
            own = slope_diagonal(layout, theta, target.covariance) if self.diagonal else slope(layout, theta, target)
            found += self.shares[:, place, None] * own
        return found


def drawn(layout: Layout, places: IntArray | int) -> Layout:
    """The layout of some draws, or of one, where its given values have draws in front."""
    nominal = (2, 2, 2, 2, 1, 1)
    if all(base.ndim == n for base, n in zip(layout.base, nominal, strict=True)):
        return layout
    base = tuple(own[places] if own.ndim > n else own for own, n in zip(layout.base, nominal, strict=True))
    return replace(layout, base=base)


def _positive(layouts: Sequence[Layout], theta: FloatArray) -> BoolArray:
    """(draws,) whether Σ is positive definite in every group."""
    found = np.ones(len(theta), dtype=bool)
    for layout in layouts:
        sigma = implied(layout, theta).sigma
        try:
            np.linalg.cholesky(sigma)
        except np.linalg.LinAlgError:
            finite = np.isfinite(sigma).all(axis=(1, 2))
            found &= finite
            found[finite] &= np.linalg.eigvalsh(sigma[finite])[:, 0] > 0
    return found
