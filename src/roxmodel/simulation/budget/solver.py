"""HiGHS asked, its answer checked in money, and asked again where it erred.

HiGHS stops at an absolute gap of 1e-6 and has been seen to return plans outside their limits. So objectives are brought
to one size, every plan is checked by `violations`, and one that fails is cut off for good.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.simulation.budget.limits import over, violations
from roxmodel.simulation.budget.problem import Problem
from roxmodel.simulation.budget.program import Program, program_of, scaled
from roxmodel.simulation.budget.quiet import without_lines
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["GAP", "Found", "Relaxed", "Solved", "best_sum", "cut_against", "relaxed", "solve", "tidied"]

GAP: Final = 1e-6
"""Gap of a scaled objective at which HiGHS calls a plan the best."""

_NODES = 10_000  # then the best plan so far is taken; a count, because a clock would make answers differ
_CUTS = 200  # plans outside their limits that are cut off
_SMALL = 1e3  # gaps; options worth less are chosen once more, at their own scale
_NONE = 2  # HiGHS says that nothing keeps the rows
_CHATTER = b"HighsMipSolverData"


@dataclass(frozen=True, slots=True)
class Found:
    """A plan that keeps all conditions.

    Attributes
    ----------
    options
        Chosen options, sorted.
    value
        What was maximised, there.
    bound
        No plan has more.
    proven
        Whether the plan is proven to be the best (to 1e-9 of the largest option).
    """

    options: IntArray
    value: float
    bound: float
    proven: bool


@dataclass(frozen=True, slots=True)
class Solved:
    """What HiGHS says.

    Attributes
    ----------
    x
        (n,).
    value, bound
        The objective there; nothing has more.
    done
        Whether both are the same.
    """

    x: FloatArray
    value: float
    bound: float
    done: bool


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The best point where fractions of options are allowed.

    Attributes
    ----------
    x
        (n,) 0 to 1.
    value
        The objective there.
    price
        (n,) what the objective loses at least where an option at 0 is chosen, or one at 1 is not.
    """

    x: FloatArray
    value: float
    price: FloatArray


def solve(
    program: Program, gain: FloatArray, tail: FloatArray | None = None, *, floor: float = -math.inf, nodes: int = _NODES
) -> Solved | None:
    """Maximise ``gain @ x``, or with `tail` the smallest of several such sums.

    Parameters
    ----------
    program
        Rows.
    gain
        (n,) already of the size that HiGHS likes; not looked at with `tail`.
    tail
        (cuts, n): then ``min(tail @ x)`` is maximised.
    floor
        Smallest value of interest, with `tail`.
    nodes
        Nodes of the tree after which the best plan so far is taken.

    Returns
    -------
    Solved or None
        None if nothing keeps the rows, or nothing reaches the floor.

    Raises
    ------
    SimulationError
        If HiGHS gives no answer at all.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    matrix, low, high, objective = _stacked(program, gain, tail)
    more = len(objective) - len(gain)
    for presolve in (True, False):
        with without_lines(_CHATTER):
            found = milp(
                objective,
                integrality=np.append(np.ones(len(gain)), np.zeros(more)),
                bounds=Bounds(np.append(program.kept, [floor] * more), np.append(program.allowed, [np.inf] * more)),
                constraints=LinearConstraint(matrix, low, high) if matrix.shape[0] else (),
                options={"disp": False, "mip_rel_gap": 0.0, "node_limit": nodes, "presolve": presolve},
            )
        if found.x is not None:
            bound = found.fun if found.mip_dual_bound is None else found.mip_dual_bound
            return Solved(found.x[: len(gain)], -float(found.fun), -float(bound), found.status == 0)
        if found.status == _NONE:
            return None
    raise SimulationError(
        f"The solver found no plan, and no reason why there is none (status {found.status}).",
        hint="Fewer actions, doses or first waves make the question smaller.",
    )


def relaxed(program: Program, tail: FloatArray) -> Relaxed | None:
    """Maximise ``min(tail @ x)`` where fractions of options are allowed; None if HiGHS has no answer.

    Parameters
    ----------
    program
        Rows.
    tail
        (cuts, n).
    """
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    matrix, low, high, objective = _stacked(program, np.zeros(tail.shape[1]), tail)
    above, below = np.isfinite(high), np.isfinite(low)
    found = linprog(
        objective,
        A_ub=vstack([matrix[above], -matrix[below]], format="csr"),
        b_ub=np.append(high[above], -low[below]),
        bounds=[
            *zip(program.kept.astype(float).tolist(), program.allowed.astype(float).tolist(), strict=True),
            (None, None),
        ],
        method="highs",
    )
    if found.x is None or found.status != 0:
        return None
    price = np.abs(found.lower.marginals + found.upper.marginals)[:-1]
    return Relaxed(found.x[:-1], -float(found.fun or 0.0), price)


def _stacked(
    program: Program, gain: FloatArray, tail: FloatArray | None
) -> tuple[csr_array, FloatArray, FloatArray, FloatArray]:
    """Rows, their ends and the objective; with `tail` one number more, that no cut is below."""
    from scipy.sparse import csr_array, hstack, vstack

    if tail is None:
        return program.matrix, program.low, program.high, -gain
    side = csr_array((program.matrix.shape[0], 1))
    cuts = csr_array(np.column_stack([-tail, np.ones(len(tail))]))
    matrix = vstack([hstack([program.matrix, side]), cuts], format="csr")
    low, high = np.append(program.low, np.full(len(tail), -np.inf)), np.append(program.high, np.zeros(len(tail)))
    return matrix, low, high, np.append(np.zeros(len(gain)), -1.0)


def best_sum(problem: Problem, gain: FloatArray, program: Program | None = None) -> Found | None:
    """The plan with the largest sum of `gain`, and no option in it that brings nothing.

    Parameters
    ----------
    problem
        Options and limits.
    gain
        (n,) what each option brings; zeros to ask only whether there is a plan.
    program
        The limits as rows, if they are known already.

    Returns
    -------
    Found or None
        None if no plan keeps all conditions.

    Raises
    ------
    SimulationError
        If HiGHS gives no answer.
    """
    easy = _all_that_pays(problem, gain)
    if not violations(problem, easy):
        value = math.fsum(gain[easy].tolist())
        return Found(easy, value, value, True)
    if not gain.size:
        return None
    program = program_of(problem) if program is None else program
    found = _checked(problem, program, gain)
    if found is None:
        return None
    options, bound, done = found
    options = _refined(problem, program, gain, options)
    options = tidied(problem, options, gain, lambda plan: math.fsum(gain[plan].tolist()))
    value = math.fsum(gain[options].tolist())
    done = done and value <= bound + 2 * GAP / scaled(gain)[1]
    return Found(options, value, value if done else max(bound, value), done)


def _all_that_pays(problem: Problem, gain: FloatArray) -> IntArray:
    """The best option of every action, where it brings something."""
    order = np.lexsort((-gain, problem.action))
    first = np.ones(order.size, dtype=bool)
    first[1:] = np.diff(problem.action[order]) > 0
    best = order[first]
    return np.sort(best[gain[best] > 0])


def _checked(problem: Problem, program: Program, gain: FloatArray) -> tuple[IntArray, float, bool] | None:
    """A plan inside its limits, the bound, and whether HiGHS finished."""
    objective, size = scaled(gain)
    for _ in range(_CUTS):
        solved = solve(program, objective)
        if solved is None:
            return None
        options = np.flatnonzero(solved.x > 0.5)
        cut = cut_against(problem, options)
        if cut is None:
            return options, solved.bound / size, solved.done
        program = program.with_row(*cut)
    raise SimulationError(
        "Many plans miss a limit by less than can be told apart.", hint="Give amounts with fewer digits."
    )


def _refined(problem: Problem, program: Program, gain: FloatArray, options: IntArray) -> IntArray:
    """Options too small to be seen beside the largest ones, chosen at their own scale while the others stay."""
    left, settled = gain, np.zeros(gain.size, dtype=bool)
    while True:
        settled |= np.abs(left) >= _SMALL * GAP / scaled(left)[1]
        left = np.where(settled, 0.0, gain)
        if not left.any():
            return options
        found = _checked(problem, program.with_settled(settled, np.isin(np.arange(gain.size), options)), left)
        if found is None or math.fsum(left[found[0]].tolist()) <= math.fsum(left[options].tolist()):
            return options
        options = found[0]


def cut_against(problem: Problem, options: IntArray) -> tuple[FloatArray, float, float] | None:
    """A row that a plan outside its limits does not keep, and every plan inside them does; None for one inside.

    For money a cover: of options that together pass a limit, one has to go. For everything else the plan itself.
    """
    if not violations(problem, options):
        return None
    limits = [(problem.total, problem.budget), *zip(problem.cost.T, problem.wave_budget.tolist(), strict=True)]
    row = np.zeros(len(problem.action))
    for cost, limit in limits:
        if over(math.fsum(cost[options].tolist()), limit):
            cover = options[np.argsort(-cost[options], kind="stable")]
            count = 1
            while not over(math.fsum(cost[cover[:count]].tolist()), limit):
                count += 1
            row[cover[:count]] = 1.0
            row[cost >= cost[cover[0]]] = 1.0
            return row, -math.inf, float(count - 1)
    row -= 1.0
    row[options] = 1.0
    return row, -math.inf, float(len(options) - 1)


def tidied(problem: Problem, options: IntArray, gain: FloatArray, worth: Callable[[IntArray], float]) -> IntArray:
    """Take out what brings nothing: an action with all that need it, if the plan is worth no less without them.

    Parameters
    ----------
    problem
        Options and limits.
    options
        A plan.
    gain
        (n,) only groups with a sum of 0 or less are looked at.
    worth
        What a plan is worth.
    """
    nothing = 1e-12 * float(np.abs(gain).max(initial=0.0))
    before = worth(options)
    for option in options[np.argsort(gain[options], kind="stable")].tolist():
        group = _with_all_that_need(problem, options, option)
        if option not in options or math.fsum(gain[group].tolist()) > nothing:
            continue
        rest = np.setdiff1d(options, group)
        after = worth(rest)
        if after >= before - 1e-12 * abs(before) and not violations(problem, rest):
            options, before = rest, after
    return options


def _with_all_that_need(problem: Problem, options: IntArray, option: int) -> IntArray:
    chosen = {int(problem.action[place]): place for place in options.tolist()}
    group = {int(problem.action[option])}
    while True:
        more = {a for a, b in problem.requires if b in group and a in chosen} - group
        if not more:
            return np.array(sorted(chosen[a] for a in group if a in chosen), dtype=np.int64)
        group |= more
