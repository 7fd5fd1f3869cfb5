"""Plans one step away from a plan: one option out, one in, one for another."""

from __future__ import annotations

import numpy as np

from roxmodel.simulation.budget.limits import TOLERANCE
from roxmodel.simulation.budget.problem import Problem
from roxmodel.types import IntArray

__all__ = ["after", "steps_from"]

NONE = -1
"""In the place of an option: nothing goes out, or nothing comes in."""


def steps_from(problem: Problem, options: IntArray) -> IntArray:
    """Exchanges that the budgets allow; other conditions are still to be checked.

    Parameters
    ----------
    problem
        Options and limits.
    options
        A plan.

    Returns
    -------
    IntArray
        (steps, 2) the option that goes out, the option that comes in; -1 for none.

    Examples
    --------
    >>> two = Problem(
    ...     names=("a", "b"), action=np.array([0, 1]), start=np.array([1, 1]), mean=np.array([5.0, 3.0]),
    ...     draws=np.zeros((0, 2)), cost=np.array([[4.0], [2.0]]), wave_budget=np.array([np.inf]), budget=5.0,
    ... )
    >>> steps_from(two, np.array([1])).tolist()
    [[1, -1], [1, 0]]
    """
    limits = np.append(problem.wave_budget, problem.budget)
    spent = np.column_stack([problem.cost, problem.total])[:, np.isfinite(limits)]
    limits = limits[np.isfinite(limits)]
    left = limits * (1 + TOLERANCE) - spent[options].sum(axis=0)
    taken = np.isin(problem.action, problem.action[options])
    found = [np.column_stack([options, np.full(options.size, NONE)])]
    for out in [NONE, *options.tolist()]:
        room, fits = left, ~taken
        if out != NONE:
            room, fits = left + spent[out], fits | (problem.action == problem.action[out])
            fits[out] = False
        into = np.flatnonzero(fits & (spent <= room).all(axis=1))
        found.append(np.column_stack([np.full(into.size, out), into]))
    return np.concatenate(found).astype(np.int64)


def after(options: IntArray, step: tuple[int, int]) -> IntArray:
    """The plan after a step.

    Examples
    --------
    >>> after(np.array([2, 5]), (5, 1)).tolist(), after(np.array([2, 5]), (-1, 3)).tolist()
    ([1, 2], [2, 3, 5])
    """
    out, into = step
    kept = options[options != out]
    return kept if into == NONE else np.sort(np.append(kept, into))
