"""Which options to take under budgets and conditions, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.simulation.budget.limits import conditions_of, keeping, violations
from roxmodel.simulation.budget.problem import Problem
from roxmodel.simulation.budget.solver import Found, best_sum
from roxmodel.simulation.budget.tail import best_tail
from roxmodel.simulation.words import money_text
from roxmodel.types import FloatArray, IntArray

__all__ = ["Choice", "binding", "choose", "conflicts", "left_out"]

_SETS = 1 << 13  # plans that are all looked at for the largest chance
_LEVELS = (0.05, 0.1, 0.2, 0.35, 0.5)  # shares of the worst draws whose best plans are where a search starts


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken.

    Attributes
    ----------
    options
        Places of the options, ascending.
    value
        The objective at the choice.
    bound
        No choice reaches more.
    proven
        Whether the choice is the best there is.
    """

    options: IntArray
    value: float
    bound: float
    proven: bool


def choose(problem: Problem, objective: str = "mean", level: float = 0.1) -> Choice:
    """Take the options that bring most and keep all conditions.

    Parameters
    ----------
    problem
        Options and conditions.
    objective
        ``"mean"``: sum of the expected values; exact. ``"cvar"``: mean of the worst `level` share of the draws, the
        draw at the border by the part that belongs to it; exact, by supporting planes (Rockafellar & Uryasev 2002, doi
        10.1016/S0378-4266(02)00271-6). ``"probability"``: share of draws above 0; exact where there are few plans, else
        the best of a search that starts from the plans of the largest mean and cvar, not proven.
    level
        Share of the draws that counts as the worst.

    Raises
    ------
    SimulationError
        If no plan keeps all conditions, naming those that conflict.
    """
    if objective == "probability":
        return _likeliest(problem)
    found = best_sum(problem, problem.mean) if objective == "mean" else best_tail(problem, level)
    if found is None:
        raise _conflict(problem)
    return _choice(found)


def _choice(found: Found) -> Choice:
    return Choice(found.options, found.value, found.bound, found.proven)


def _conflict(problem: Problem) -> SimulationError:
    found = conflicts(problem)
    if len(found) == 1:
        return SimulationError(f"No plan can keep this: {found[0]}.", hint="Relax it.")
    return SimulationError(f"No plan can keep all of these: {'; '.join(found)}.", hint="Relax one of them.")


def _can_hold(problem: Problem) -> bool:
    return best_sum(problem, np.zeros(len(problem.action))) is not None


def _likeliest(problem: Problem) -> Choice:
    """The largest chance of a value above 0."""
    ways = [len(problem.of(action)) + 1 for action in range(len(problem.names))]
    if prod(ways) <= _SETS:
        kept = [plan for plan in _plans(problem) if not violations(problem, plan)]
        if not kept:
            raise _conflict(problem)
        best = max(kept, key=lambda plan: _chance(problem, plan))
        value = _chance(problem, best)[0]
        return Choice(np.array(best, dtype=np.int64), value, value, proven=True)
    starts = [choose(problem, "mean"), *(choose(problem, "cvar", level) for level in _LEVELS)]
    climbed = [_climbed(problem, tuple(start.options.tolist())) for start in starts]
    best = max(climbed, key=lambda plan: _chance(problem, plan))
    return Choice(np.array(best, dtype=np.int64), _chance(problem, best)[0], 1.0, proven=False)


def _plans(problem: Problem) -> Iterator[tuple[int, ...]]:
    """Every plan: each action in one of its ways, or not."""
    ways = [[-1, *problem.of(action).tolist()] for action in range(len(problem.names))]
    for chosen in product(*ways):
        yield tuple(sorted(place for place in chosen if place >= 0))


def _chance(problem: Problem, plan: Sequence[int]) -> tuple[float, float]:
    """Share of draws above 0, and the mean, which decides between equal shares."""
    places = list(plan)
    return float((problem.draws[:, places].sum(axis=1) > 0).mean()), float(problem.mean[places].sum())


def _climbed(problem: Problem, plan: tuple[int, ...]) -> tuple[int, ...]:
    """One option more, less, or for another, as long as the chance grows."""
    at = _chance(problem, plan)
    while True:
        sums, better = problem.draws[:, list(plan)].sum(axis=1), None
        for trial, total in _steps(problem, plan, sums):
            value = (float((total > 0).mean()), float(problem.mean[list(trial)].sum()))
            if value > at and not violations(problem, trial):
                at, better = value, trial
        if better is None:
            return plan
        plan = better


def _steps(problem: Problem, plan: tuple[int, ...], sums: FloatArray) -> Iterator[tuple[tuple[int, ...], FloatArray]]:
    outside = [place for place in range(len(problem.action)) if place not in plan]
    for place in plan:
        yield tuple(other for other in plan if other != place), sums - problem.draws[:, place]
    for into in outside:
        yield tuple(sorted((*plan, into))), sums + problem.draws[:, into]
    for out in plan:
        rest, less = [other for other in plan if other != out], sums - problem.draws[:, out]
        for into in outside:
            yield tuple(sorted((*rest, into))), less + problem.draws[:, into]


def conflicts(problem: Problem) -> tuple[str, ...]:
    """Conditions that no plan can keep together, and none of which is there for nothing; () if all can be kept."""
    if _can_hold(problem):
        return ()
    kept = list(conditions_of(problem))
    for condition in tuple(kept):
        fewer = [other for other in kept if other is not condition]
        if not _can_hold(keeping(problem, fewer)):
            kept = fewer
    return tuple(condition.words for condition in kept)


def binding(problem: Problem, options: Sequence[int] | IntArray) -> tuple[str, ...]:
    """Conditions without any one of which the expected value could be larger, and by how much."""
    value = float(problem.mean[np.asarray(options, dtype=np.int64)].sum())
    size = float(np.abs(problem.mean).max(initial=0.0))
    free = best_sum(keeping(problem, ()), problem.mean)
    if free is None or free.value - value <= 1e-9 * size:
        return ()
    every, found = conditions_of(problem), []
    for condition in every:
        best = best_sum(keeping(problem, [other for other in every if other is not condition]), problem.mean)
        gain = 0.0 if best is None else best.value - value
        if gain > 1e-9 * size:
            found.append((gain, f"{condition.words}; without it {money_text(gain)} more"))
    return tuple(text for _, text in sorted(found, key=lambda pair: -pair[0]))


def left_out(problem: Problem, options: Sequence[int] | IntArray) -> tuple[str, ...]:
    """Why each action was left out, (m,); "" for those that were taken."""
    plan = [int(place) for place in options]
    chosen = set(problem.action[plan].tolist())
    return tuple("" if action in chosen else _why(problem, plan, action) for action in range(len(problem.names)))


def _why(problem: Problem, plan: list[int], action: int) -> str:
    ways = problem.of(action)
    if not ways.size:
        return "there is no way to do it"
    best = int(ways[np.argmax(problem.mean[ways])])
    if problem.mean[best] <= 0:
        return f"does not pay: expected net value {money_text(float(problem.mean[best]))}"
    alone = [text for text in violations(problem, [best]) if " is spent over " in text or " is spent in " in text]
    if alone:
        return f"too dear: {alone[0]}"
    broken = violations(problem, sorted([*plan, best]))
    before = set(violations(problem, plan))
    fresh = [text for text in broken if text not in before]
    if not fresh:
        return "would bring less beside the others, or more risk"
    others = [text for text in fresh if " is spent " not in text]
    return others[0] if others else "does not fit the money that is left; what is chosen brings more for it"
