"""Newton's method with bounds: analytic derivatives, line search, scoring where the Hessian is not convex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from roxmodel.implied.normal import Expansion
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Minimum", "minimise"]

_MOST_STEPS = 200
_DONE = 1e-13  # Newton decrement: squared distance to the optimum in standard errors of one observation
_LEAST_STEP = 1e-8


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


def minimise(objective: Minimisable, start: FloatArray, lower: FloatArray) -> Minimum:
    """Minimise from a start.

    Parameters
    ----------
    objective
        What to minimise; finite at the start.
    start
        (n_free,).
    lower
        (n_free,) lower bounds, -inf for none.

    References
    ----------
    Bertsekas (1982), doi 10.1137/0320018 (projected Newton); Lee & Jennrich (1979), doi 10.1007/BF02293789 (scoring).
    """
    theta = np.maximum(start, lower)
    here = objective.expand(theta)
    decrement, steps, damping = np.inf, 0, 0.0
    held = np.zeros(len(theta), dtype=bool)
    while steps < _MOST_STEPS:
        held = (theta <= lower) & (here.gradient > 0)
        step, decrement, newton = _direction(here, held, damping)
        if decrement < _DONE and newton:
            break
        moved = _search(objective, theta, here, step, lower)
        steps += 1
        if moved is None:
            if damping > 1e6 or decrement < 1e-10:
                break
            damping = max(10 * damping, 1e-4)
            continue
        (theta, here), damping = moved, damping / 10 if damping > 1e-8 else 0.0
    bound = np.isfinite(lower) & (theta <= lower)
    return Minimum(theta, here, bool(decrement < 1e-9), steps, bound, float(decrement))


def _direction(here: Expansion, held: BoolArray, damping: float) -> tuple[FloatArray, float, bool]:
    """A descent step of what is not held, its decrement, and whether it is Newton's."""
    free = ~held
    step = np.zeros(len(held))
    if not free.any():
        return step, 0.0, True
    gradient = here.gradient[free]
    scale = np.sqrt(np.maximum(np.diag(here.information)[free], 1e-300))
    whole = free.all()
    ridge = damping * np.eye(len(scale)) if damping else 0.0
    for matrix, newton in ((here.hessian, True), (here.information, False)):
        own = (matrix if whole else matrix[np.ix_(free, free)]) / np.outer(scale, scale) + ridge
        solved = _solved(own, gradient / scale, strict=newton)
        if solved is not None:
            step[free] = -solved / scale
            return step, float(-gradient @ step[free]), newton
    raise AssertionError("unreachable: scoring always gives a step")


def _solved(matrix: FloatArray, right: FloatArray, strict: bool) -> FloatArray | None:
    """Solve a positive definite system; None (strict), or without its flat directions, where it is not.

    Cholesky's factorisation answers in the usual case; the eigenvalues, which cost more, only where it does not.
    """
    try:
        root = np.linalg.cholesky(matrix)
        if np.diag(root).min() ** 2 > 1e-10:
            return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, right)))
    except np.linalg.LinAlgError:
        pass
    if not np.isfinite(matrix).all():
        return None if strict else np.zeros(len(right))
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if strict and not values[0] > 1e-10 * values[-1]:
        return None
    # A flat direction of the information is left alone, rather than followed to infinity.
    usable = np.where(values > 1e-11 * values[-1], values, np.inf)
    return np.asarray(vectors @ ((vectors.T @ right) / usable))


def _search(
    objective: Minimisable, theta: FloatArray, here: Expansion, step: FloatArray, lower: FloatArray
) -> tuple[FloatArray, Expansion] | None:
    """Shorten the step until the value falls (projected on the bounds); None if it never does."""
    length = 1.0
    while length > _LEAST_STEP:
        moved = np.maximum(theta + length * step, lower)
        # The whole step is taken nearly always: its derivatives come along with its value.
        there = objective.expand(moved) if length == 1.0 else None
        value = there.value if there is not None else objective.value(moved)
        expected = float(here.gradient @ (moved - theta))
        if value <= here.value + 1e-4 * min(expected, 0.0) + 1e-15 * abs(here.value):
            return moved, there if there is not None else objective.expand(moved)
        length /= 2
    return None
