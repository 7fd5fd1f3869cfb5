"""The way to a plan: best where benefits add up, then valued and improved where actions share their effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

import numpy as np

from roxmodel.simulation.budget.choice import Choice, choose
from roxmodel.simulation.budget.exchange import Shared, climbed
from roxmodel.simulation.budget.limits import violations
from roxmodel.simulation.budget.problem import Problem
from roxmodel.simulation.budget.promise import Promised, promise_of
from roxmodel.simulation.budget.sharing import together_at_estimate
from roxmodel.simulation.budget.tail import tail_mean
from roxmodel.simulation.budget.worth import Option
from roxmodel.types import FloatArray, IntArray

__all__ = ["Search", "judged", "search_of"]

_WAYS = 256  # ways to do the user's own plan that are looked at
_TOGETHER = 256  # draws with which plans are compared
_SHARED = 0.005  # share of the value that has to be lost by acting together before that is looked into


@dataclass(frozen=True, slots=True)
class Search:
    """What plans are looked for with.

    Attributes
    ----------
    options, worth
        What every way to do every action is worth by itself.
    aim
        Objective, and the share of the worst draws that ``"cvar"`` looks at.
    shared
        What is known of the value of plans whose actions share their effect; None where that cannot be bounded.
    """

    options: tuple[Option, ...]
    worth: Promised
    aim: tuple[str, float]
    shared: Shared | None

    def judge(self, places: Sequence[int]) -> tuple[float, float]:
        """The objective of a plan, simulated as a whole with some of the draws; then its mean, for equal ones."""
        draws = promise_of(self.options, self.worth, places, _TOGETHER)
        return judged(draws, self.aim), float(draws.mean())

    def adds_up(self, places: IntArray) -> bool:
        """Whether a plan brings what its options bring by themselves."""
        chosen = places.tolist()
        if len(chosen) < 2:
            return True
        if self.shared is not None:
            alone = self.worth.worth.at[chosen]
            lost = abs(self.shared.together.benefit(chosen) - float(alone.sum()))
            return bool(lost <= _SHARED * float(np.abs(alone).sum()))
        whole = promise_of(self.options, self.worth, chosen, _TOGETHER).mean()
        each = [promise_of(self.options, self.worth, [one], _TOGETHER).mean() for one in chosen]
        benefit = np.abs(np.array(each) + self.worth.worth.cost[chosen]).sum()
        return bool(abs(whole - sum(each)) <= _SHARED * benefit)

    def best(self, problem: Problem) -> tuple[Choice, str]:
        """The best plan under some conditions, and what was done to find it ("" if benefits add up).

        Raises
        ------
        SimulationError
            If no plan keeps all conditions.
        """
        choice = choose(problem, self.aim[0], self.aim[1])
        if self.adds_up(choice.options):
            return choice, ""
        if self.shared is not None and self.aim[0] == "mean":
            places, bound = self.shared.best(problem, choice.options)
            found, _ = climbed(problem, tuple(places.tolist()), self._at_estimate)
            value = self.shared.value(found)
            gap = max(bound - value, 0.0) / max(abs(value), 1e-300)
            said = f"no plan is more than {max(gap, 0.0005):.1%} better"
            if not self.shared.together.concave:
                bound, said = np.inf, "no exchange of one option for another is better, which proves nothing"
            return Choice(np.array(found, dtype=np.int64), value, max(bound, value), proven=False), _said(said)
        starts = [choice.options]
        if self.shared is not None:
            starts.append(self.shared.best(problem, choose(problem, "mean").options)[0])
        start = max((tuple(start.tolist()) for start in starts), key=self.judge)
        found, gained = climbed(problem, start, self.judge)
        said = f"exchanges of one option for another brought {gained:.3g} more of the objective"
        value = self.judge(found)[0]
        return Choice(np.array(found, dtype=np.int64), value, np.inf, proven=False), _said(said)

    def _at_estimate(self, places: Sequence[int]) -> tuple[float, float]:
        value = 0.0 if self.shared is None else self.shared.value(places)
        return value, value

    def beside(self, problem: Problem, places: IntArray) -> Problem:
        """The same with each option worth what it adds to a plan, or what the plan would lack without it."""
        if self.shared is None or self.adds_up(places):
            return problem
        inside, whole = set(places.tolist()), self.shared.together.benefit(places.tolist())
        at, ratio = self.worth.worth.at, np.ones(len(problem.mean))
        rivals = {self.options[place].candidate: place for place in inside}
        for place, option in enumerate(self.options):
            rest = inside - {place, rivals.get(option.candidate, place)}
            alone = place in inside or option.candidate in rivals
            without = self.shared.together.benefit(sorted(rest)) if alone else whole
            with_it = whole if place in inside else self.shared.together.benefit(sorted({*rest, place}))
            if abs(at[place]) > 0:
                ratio[place] = (with_it - without) / at[place]
        benefit = ratio * (problem.mean + self.worth.worth.cost)
        draws = ratio * (problem.draws + self.worth.worth.cost) - self.worth.worth.cost
        return replace(problem, mean=benefit - self.worth.worth.cost, draws=draws)

    def no_worse(self, problem: Problem, found: Choice, own: Sequence[str]) -> tuple[Choice, str]:
        """The user's own plan instead, where it can be done and brings more."""
        ways = [np.flatnonzero(problem.action == problem.names.index(name)).tolist() for name in own]
        plans = [np.array(sorted(plan), dtype=np.int64) for plan in islice(product(*ways), _WAYS)]
        able = [plan for plan in plans if not violations(problem, plan)]
        if not able:
            first = max(plans, key=lambda plan: float(problem.mean[plan].sum()))
            return found, f"Your own plan cannot be done: {'; '.join(violations(problem, first))}."
        places = max(able, key=lambda plan: self.judge(plan.tolist()))
        value = self.judge(places.tolist())
        if value > self.judge(found.options.tolist()):
            said = "Your own plan brings more than any other that was found; it is the answer."
            return Choice(places, value[0], found.bound, proven=False), said
        return found, ""


def _said(what: str) -> str:
    return (
        "Actions share their effect here (ends of scales, or one acting through another), so plans were valued as a "
        f"whole; {what}."
    )


def judged(draws: FloatArray, aim: tuple[str, float]) -> float:
    """The objective at a plan's draws."""
    if aim[0] == "cvar":
        return tail_mean(draws, aim[1])
    return float((draws > 0).mean()) if aim[0] == "probability" else float(draws.mean())


def search_of(options: Sequence[Option], worth: Promised, problem: Problem, aim: tuple[str, float]) -> Search:
    """Make ready to look for plans."""
    together = together_at_estimate(worth.question, [option.action for option in options])
    shared = None if together is None else Shared(together, problem.mean - worth.worth.at)
    return Search(tuple(options), worth, aim, shared)
