"""Newton's method with bounds: analytic derivatives, and a ridge as high as the way down needs (trust region)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from roxmodel.implied.normal import Expansion
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Minimum", "minimise"]

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
    """Where a minimisation ended.

    Attributes
    ----------
    theta
        (n_free,).
    expansion
        The function there.
    converged
        Whether the gradient vanishes, up to what is pushed against a bound.
    steps
        How many steps were made.
    bound
        (n_free,) which parameters stand at their bound.
    decrement
        Newton decrement at the end: gᵀ H⁻¹ g, per observation.
    """

    theta: FloatArray
    expansion: Expansion
    converged: bool
    steps: int
    bound: BoolArray
    decrement: float


def minimise(objective: Minimisable, start: FloatArray, lower: FloatArray, most: int = _MOST_STEPS) -> Minimum:
    """Minimise from a start.

    Parameters
    ----------
    objective
        What to minimise; finite at the start.
    start
        (n_free,).
    lower
        (n_free,) lower bounds, -inf for none.
    most
        Steps at most.

    References
    ----------
    Bertsekas (1982), doi 10.1137/0320018 (projected Newton); Lee & Jennrich (1979), doi 10.1007/BF02293789 (scoring).
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
        # Close to the optimum the values differ by rounding only: the step is taken if it does no harm.
        if np.isfinite(there.value) and (
            gain > (_SURE if _unpushed(there, trial <= lower, theta <= lower) else 1e-4)
            or (done and there.value <= here.value + 1e-13)
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


def _unpushed(there: Expansion, held: BoolArray, before: BoolArray) -> bool:
    """Whether a step ends on a new bound that the function does not push against."""
    return bool((there.gradient[held & ~before] < 0).any())


@dataclass(frozen=True, slots=True)
class _Model:
    """The quadratic model in units in which the information has ones on its diagonal.

    Attributes
    ----------
    gradient, hessian
        (n_free,), (n_free, n_free).
    room
        (n_free,) how far down each parameter may go, at most 0.
    scale
        (n_free,) what parameters are multiplied by to get to these units.
    """

    gradient: FloatArray
    hessian: FloatArray
    room: FloatArray
    scale: FloatArray

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

    References
    ----------
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
