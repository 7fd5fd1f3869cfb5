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
        theta, damping = moved, damping / 10 if damping > 1e-8 else 0.0
        here = objective.expand(theta)
    bound = np.isfinite(lower) & (theta <= lower)
    return Minimum(theta, here, bool(decrement < 1e-9), steps, bound, float(decrement))


def _direction(here: Expansion, held: BoolArray, damping: float) -> tuple[FloatArray, float, bool]:
    """A descent step of what is not held, its decrement, and whether it is Newton's."""
    free = ~held
    step = np.zeros(len(held))
    if not free.any():
        return step, 0.0, True
    gradient = here.gradient[free]
    for matrix, newton in ((here.hessian, True), (here.information, False)):
        own = matrix[np.ix_(free, free)]
        scale = np.sqrt(np.maximum(np.diag(here.information)[free], 1e-300))
        scaled = own / np.outer(scale, scale)
        if damping:
            scaled = scaled + damping * np.eye(len(scaled))
        values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
        if values[0] > 1e-10 * values[-1] or not newton:
            # A flat direction of the information is left alone, rather than followed to infinity.
            usable = np.where(values > 1e-11 * values[-1], values, np.inf)
            step[free] = -(vectors @ ((vectors.T @ (gradient / scale)) / usable)) / scale
            return step, float(-gradient @ step[free]), newton
    raise AssertionError("unreachable: scoring always gives a step")


def _search(
    objective: Minimisable, theta: FloatArray, here: Expansion, step: FloatArray, lower: FloatArray
) -> FloatArray | None:
    """Shorten the step until the value falls (projected on the bounds); None if it never does."""
    length = 1.0
    while length > _LEAST_STEP:
        moved = np.maximum(theta + length * step, lower)
        value = objective.value(moved)
        expected = float(here.gradient @ (moved - theta))
        if value <= here.value + 1e-4 * min(expected, 0.0) + 1e-15 * abs(here.value):
            return moved
        length /= 2
    return None
