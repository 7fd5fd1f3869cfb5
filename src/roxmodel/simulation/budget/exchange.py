"""The best plan where actions share their effect: bounded from above by slopes, improved by exchanges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from roxmodel.simulation.budget.limits import violations
from roxmodel.simulation.budget.problem import Problem
from roxmodel.simulation.budget.program import SIZE, program_of
from roxmodel.simulation.budget.sharing import Together
from roxmodel.simulation.budget.solver import cut_against, solve
from roxmodel.types import FloatArray, IntArray

__all__ = ["Shared", "climbed"]

_ENOUGH = 1e-3  # of the value: gap between plan and bound at which the search ends
_ROUNDS = 40
_TRIES = 60  # plans simulated as a whole
_OTHERS = 4  # options that are tried in the place of another


@dataclass(slots=True)
class Shared:
    """What is known of the value of plans: slopes that bound it, and the plans that were valued.

    Attributes
    ----------
    together
        Options at the estimate.
    extra
        (n,) what each option is worth beyond that: shrinking and curvature, less its cost.
    rows, constants
        Bounds found so far: the value of no plan x is above ``constant + row @ x``.
    plans
        Plans that were valued, with their values.
    """

    together: Together
    extra: FloatArray
    rows: list[FloatArray] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    plans: dict[tuple[int, ...], float] = field(default_factory=dict)

    def value(self, places: Sequence[int]) -> float:
        """Expected net value of a plan, simulated as a whole at the estimate."""
        key = tuple(sorted(int(place) for place in places))
        if key not in self.plans:
            self.plans[key] = self.together.benefit(key) + float(self.extra[list(key)].sum())
        return self.plans[key]

    def look(self, places: Sequence[int]) -> float:
        """The same, and its slopes noted as a bound."""
        key = tuple(sorted(int(place) for place in places))
        benefit, slopes = self.together.slopes(key)
        self.rows.append(slopes + self.extra)
        self.constants.append(benefit - float(slopes[list(key)].sum()))
        self.plans[key] = benefit + float(self.extra[list(key)].sum())
        return self.plans[key]

    def best(self, problem: Problem, start: IntArray) -> tuple[IntArray, float]:
        """The best plan under some conditions, and a bound that no plan is above (where effects are positive)."""
        wide = _with_constant(problem)
        program = program_of(wide)
        best, bound = start, np.inf
        value = self.plans[_key(start)] if _key(start) in self.plans else self.look(start.tolist())
        for key, known in self.plans.items():
            if known > value and not violations(problem, np.array(key, dtype=np.int64)):
                best, value = np.array(key, dtype=np.int64), known
        for _ in range(_ROUNDS):
            tail = np.column_stack([np.array(self.rows), np.array(self.constants)])
            size = SIZE / max(float(np.abs(tail).max()), 1e-300)
            solved = solve(program, wide.mean, tail * size)
            if solved is None:
                break
            options = np.flatnonzero(solved.x[:-1] > 0.5)
            cut = cut_against(wide, np.append(options, len(problem.mean)))
            if cut is not None:
                program = program.with_row(*cut)
                continue
            bound = min(bound, solved.bound / size)
            seen = _key(options) in self.plans
            at = self.look(options.tolist())
            if at > value:
                best, value = options, at
            if bound - value <= _ENOUGH * abs(value) or seen:
                break
        return best, max(bound, value)


def _key(places: IntArray) -> tuple[int, ...]:
    return tuple(sorted(int(place) for place in places))


def _with_constant(problem: Problem) -> Problem:
    """The same with an option that is always taken and costs nothing: it carries the constants of the bounds."""
    n, m = len(problem.mean), len(problem.names)
    return (
        replace(
            problem,
            names=(*problem.names, "\N{NO-BREAK SPACE}"),
            action=np.append(problem.action, m),
            start=np.append(problem.start, 1),
            mean=np.append(problem.mean, 0.0),
            draws=np.column_stack([problem.draws, np.zeros(len(problem.draws))]),
            cost=np.vstack([problem.cost, np.zeros((1, problem.cost.shape[1]))]),
            musts=(*problem.musts, m),
            least=tuple(replace(one, options=np.append(one.options, False)) for one in problem.least),
        )
        if n
        else problem
    )


def climbed(
    problem: Problem, places: tuple[int, ...], judge: Callable[[Sequence[int]], tuple[float, float]]
) -> tuple[tuple[int, ...], float]:
    """Improve a plan by exchanges: one option less, one more, one for another; the plan, and what was gained.

    Parameters
    ----------
    judge
        Objective of a plan, and what decides between equal ones.
    """
    best = start = judge(places)
    tries = 0
    while tries < _TRIES:
        found = None
        for trial in _neighbours(problem, places):
            if tries >= _TRIES:
                break
            if violations(problem, np.array(trial, dtype=np.int64)):
                continue
            tries += 1
            value = judge(trial)
            if value > best:
                best, found = value, trial
        if found is None:
            break
        places = found
    return places, best[0] - start[0]


def _neighbours(problem: Problem, places: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Plans one step away: without one, with one more, with one in the place of another."""
    ranked = [int(i) for i in np.argsort(-problem.mean) if int(i) not in places and problem.mean[i] > 0]
    for place in places:
        yield tuple(other for other in places if other != place)
    for other in ranked[:_OTHERS]:
        yield tuple(sorted((*places, other)))
    for place in places:
        rest = [other for other in places if other != place]
        for other in ranked[:_OTHERS]:
            yield tuple(sorted((*rest, other)))
