"""Which options to take: best where benefits add up, valued and improved as a whole where actions share their effect.

A unit that is at the end of its scale gains nothing from one action more. Where effects are positive, the benefit of a
plan is a concave function of what is taken into it, so that its slopes bound it from above: that makes the choice among
many plans possible without simulating each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from math import prod
from typing import Literal, NamedTuple

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.numerals import money_text
from roxmodel.result.response import Caps, Push, travel
from roxmodel.simulation.actions import Action
from roxmodel.simulation.budget.problem import Problem, breaches_of, conditions_of, keeping, violations
from roxmodel.simulation.budget.solver import SIZE, Choice, best_sum, cut_against, program_of, solve
from roxmodel.simulation.budget.tail import Step, best_tail, steps_from, tail_mean
from roxmodel.simulation.budget.worth import Option, Promised, deviations, promise_of, wave_weights
from roxmodel.simulation.dynamics import push_of
from roxmodel.simulation.question import Question
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "Aim", "LeftOut", "Rank", "Search", "Shared", "Together", "binding", "choose", "conflicts", "left_out", "search_of",
    "together_at_estimate",
]  # fmt: skip


_SETS = 1 << 13  # plans that are all looked at for the largest chance
_LEVELS = (0.05, 0.1, 0.2, 0.35, 0.5)  # shares of the worst draws whose best plans are where a search starts
_LEVEL_DRAWS = 32
_STEP = 1e-4  # of a standard deviation: the push by which slopes are measured
_ENOUGH = 1e-3  # of the value: gap between plan and bound at which the search ends
_ROUNDS = 40
_TRIES = 60  # plans simulated as a whole
_OTHERS = 4  # options that are tried in the place of another
_WAYS = 256  # ways to do the user's own plan that are looked at
_TOGETHER = 256  # draws with which plans are compared
_SHARED = 0.005  # share of the value that has to be lost by acting together before that is looked into


class Aim(NamedTuple):
    """What a plan is to be best at: the mean, a chance above 0, or the mean of the worst share of the draws."""

    objective: str
    level: float  # the worst share, for ``"cvar"``

    def of(self, draws: FloatArray) -> float:
        """The objective at a plan's draws."""
        if self.objective == "cvar":
            return tail_mean(draws, self.level)
        return float((draws > 0).mean()) if self.objective == "probability" else float(draws.mean())


class Rank(NamedTuple):
    """How good a plan is: the objective, then the mean, which decides between equal ones."""

    objective: float
    mean: float


class LeftOut(NamedTuple):
    """Why an action was left out."""

    code: Literal["no way", "does not pay", "too dear", "others", "condition", "money"]
    words: str


def choose(problem: Problem, objective: str = "mean", level: float = 0.1) -> Choice:
    """Take the options that bring most and keep all conditions; refused with those that conflict.

    ``"mean"``: sum of the expected values; exact. ``"cvar"``: mean of the worst `level` share of the draws, the one at
    the border by its part; exact, by supporting planes (Rockafellar & Uryasev 2002, doi 10.1016/S0378-4266(02)00271-6).
    ``"probability"``: share of draws above 0; exact where there are few plans, else the best of a search from the plans
    of the largest mean and cvar, not proven.
    """
    if objective == "probability":
        return _likeliest(problem)
    found = best_sum(problem, problem.mean) if objective == "mean" else best_tail(problem, level)
    if found is None:
        raise _conflict(problem)
    return found


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
        value = _chance(problem, best).objective
        return Choice(best, value, value, proven=True)
    starts = [choose(problem, "mean"), *(choose(problem, "cvar", level) for level in _LEVELS)]
    best = max((_likelier(problem, start.options) for start in starts), key=lambda plan: _chance(problem, plan))
    return Choice(best, _chance(problem, best).objective, 1.0, proven=False)


def _plans(problem: Problem) -> Iterator[IntArray]:
    """Every plan: each action in one of its ways, or not."""
    ways = [[-1, *problem.of(action).tolist()] for action in range(len(problem.names))]
    for chosen in product(*ways):
        yield np.array(sorted(place for place in chosen if place >= 0), dtype=np.int64)


def _chance(problem: Problem, plan: IntArray) -> Rank:
    """Share of draws above 0, and the mean."""
    return Rank(float((problem.draws[:, plan].sum(axis=1) > 0).mean()), float(problem.mean[plan].sum()))


def _likelier(problem: Problem, plan: IntArray) -> IntArray:
    """One option more, less, or for another, as long as the chance grows."""
    at, better = _chance(problem, plan), plan
    while True:
        sums = problem.draws[:, plan].sum(axis=1)
        for step in map(Step._make, steps_from(problem, plan).tolist()):
            share = float((step.total(sums, problem.draws.T) > 0).mean())
            if share < at.objective:
                continue
            trial = step.after(plan)
            rank = Rank(share, float(problem.mean[trial].sum()))
            if rank > at and not violations(problem, trial):
                at, better = rank, trial
        if better is plan:
            return plan
        plan = better


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


def left_out(problem: Problem, options: Sequence[int] | IntArray) -> tuple[LeftOut | None, ...]:
    """Why each action was left out, (m,); None for those that were taken."""
    plan = [int(place) for place in options]
    chosen = set(problem.action[plan].tolist())
    return tuple(None if action in chosen else _why(problem, plan, action) for action in range(len(problem.names)))


def _why(problem: Problem, plan: list[int], action: int) -> LeftOut:
    ways = problem.of(action)
    if not ways.size:
        return LeftOut("no way", "there is no way to do it")
    best = int(ways[np.argmax(problem.mean[ways])])
    if problem.mean[best] <= 0:
        net = money_text(float(problem.mean[best]))
        return LeftOut("does not pay", f"does not pay: expected net value {net}")
    alone = [breach for breach in breaches_of(problem, [best]) if breach.kind in {"budget", "wave"}]
    if alone:
        return LeftOut("too dear", f"too dear: {alone[0].words}")
    before = breaches_of(problem, plan)
    fresh = [breach for breach in breaches_of(problem, sorted([*plan, best])) if breach not in before]
    if not fresh:
        return LeftOut("others", "would bring less beside the others, or more risk")
    others = [breach for breach in fresh if breach.kind not in {"budget", "wave", "least"}]
    if others:
        return LeftOut("condition", others[0].words)
    return LeftOut("money", "does not fit the money that is left; what is chosen brings more for it")


@dataclass(frozen=True, slots=True)
class Together:
    """Options at the estimate, unit by unit."""

    question: Question  # at the estimate, with expected prices
    actions: tuple[Action, ...]  # of the options
    caps: Caps  # levels, (draws, units, k), and ends
    # (waves,) for each priced outcome: money of one raw unit of it in all units, in each wave
    weights: tuple[FloatArray, ...]

    def benefit(self, places: Sequence[int]) -> float:
        """Discounted benefit of some options together."""
        taken = [self.actions[place] for place in places]
        alike = self._alike(taken) if taken else []
        return sum((float(self._money(self._changes(push_of(taken, one[0])), one).mean()) for one in alike), 0.0)

    def slopes(self, places: Sequence[int]) -> tuple[float, FloatArray]:
        """Benefit of some options together, and (n,) what more of each option would add, per whole of it."""
        taken = [self.actions[place] for place in places]
        acted = sorted({place for action in self.actions for place in action.acted})
        found, value, sd = np.zeros(len(self.actions)), 0.0, deviations(self.question.fit)
        for waves in self._alike(self.actions):
            push = push_of(taken, waves[0])
            changes = self._changes(push)
            money = self._money(changes, waves)
            value += float(money.mean())
            for place in acted:
                step = _STEP * sd[place]
                more = {**push.shift, place: push.shift.get(place, np.zeros(1)) + step}
                pushed = self._changes(Push(more, push.level, push.share, push.growth))
                slope = (self._money(pushed, waves) - money).mean(axis=0) / step
                for i, action in enumerate(self.actions):
                    if place in action.acted:
                        found[i] += float(np.mean(slope * self._points(action, place, waves[0], changes[place])))
        return value, found

    @property
    def concave(self) -> bool:
        """Whether slopes bound the value of every plan: only shifts and factors upwards, only positive effects."""
        up = all(
            not action.level and min((0.0, *action.shift.values(), *action.growth.values())) >= 0
            for action in self.actions
        )
        paid = all((weight >= 0).all() for weight in self.weights)
        return up and paid and bool((self.question.system.coefficients >= 0).all())

    def _alike(self, actions: Sequence[Action]) -> list[list[int]]:
        """Waves in which the same shares are in force."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for wave in range(self.question.horizon):
            groups.setdefault(tuple(float(action.share[wave]) for action in actions), []).append(wave)
        return list(groups.values())

    def _changes(self, push: Push) -> tuple[FloatArray, ...]:
        return travel(self.question.system, push, self.caps).changes

    def _money(self, changes: tuple[FloatArray, ...], waves: Sequence[int]) -> FloatArray:
        """(draws, units) money of all units, if each changed as this one does, in some waves."""
        total: FloatArray = np.zeros((1, 1))
        for one, weight in zip(self.question.priced, self.weights, strict=True):
            each = 1.0 if one.weights is None else one.weights
            total = total + changes[one.place] * each * float(weight[list(waves)].sum())
        return total

    def _points(self, action: Action, place: int, wave: int, change: FloatArray) -> FloatArray:
        """(units,) points by which an action pushes a construct in a wave."""
        levels = np.zeros((1, 1)) if self.caps.levels is None else np.atleast_2d(self.caps.levels[..., place])
        level = levels.mean(axis=0)
        points: FloatArray | float = action.shift.get(place, 0.0)
        if place in action.growth:
            points = points + action.growth[place] * level
        if place in action.level:
            points = points + action.level[place] - level - change.mean(axis=0)
        return np.asarray(action.share[wave] * action.covers * points)


def together_at_estimate(question: Question, actions: Sequence[Action]) -> Together | None:
    """Options at the estimate; None where waves hang together (lagged edges) or equations are curved."""
    if not question.system.linear or question.system.lags or any(one.log for one in question.priced):
        return None
    at = question.at()
    ground = at.ground(actions)
    bounded = np.flatnonzero(np.isfinite(ground.low) | np.isfinite(ground.high))
    used = {place for action in actions for place in (*action.level, *action.growth)}
    caps = ground.caps(0, _LEVEL_DRAWS, tuple(sorted({*bounded.tolist(), *used})))
    units = float(question.units or 0)
    weights = tuple(float(one.price[0]) * units * wave_weights(at, one) for one in at.priced)
    return Together(at, tuple(actions), caps, weights)


@dataclass(slots=True)
class Shared:
    """What is known of the value of plans: slopes that bound it, and the plans that were valued."""

    together: Together  # options at the estimate
    extra: FloatArray  # (n,) what each option is worth beyond that: shrinking and curvature, less its cost
    # rows, constants: bounds found so far: the value of no plan x is above ``constant + row @ x``
    rows: list[FloatArray] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    plans: dict[tuple[int, ...], float] = field(default_factory=dict)  # plans that were valued, with their values

    def value(self, places: Sequence[int]) -> float:
        """Expected net value of a plan, simulated as a whole at the estimate."""
        key = _key(places)
        if key not in self.plans:
            self.plans[key] = self.together.benefit(key) + float(self.extra[list(key)].sum())
        return self.plans[key]

    def look(self, places: Sequence[int] | IntArray) -> float:
        """The same, and its slopes noted as a bound."""
        key = _key(places)
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
        value = self.plans[_key(start)] if _key(start) in self.plans else self.look(start)
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
                program = program.with_row(cut)
                continue
            bound = min(bound, solved.bound / size)
            seen = _key(options) in self.plans
            at = self.look(options)
            if at > value:
                best, value = options, at
            if bound - value <= _ENOUGH * abs(value) or seen:
                break
        return best, max(bound, value)


def _key(places: Sequence[int] | IntArray) -> tuple[int, ...]:
    return tuple(sorted(int(place) for place in places))


def _with_constant(problem: Problem) -> Problem:
    """The same with an option that is always taken and costs nothing: it carries the constants of the bounds."""
    n, m = len(problem.mean), len(problem.names)
    if not n:
        return problem
    return replace(
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


def _climbed(
    problem: Problem, places: tuple[int, ...], judge: Callable[[Sequence[int]], Rank]
) -> tuple[tuple[int, ...], float]:
    """Improve a plan by exchanges: one option less, one more, one for another; the plan, and what was gained."""
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
    return places, best.objective - start.objective


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


@dataclass(frozen=True, slots=True)
class Search:
    """What plans are looked for with."""

    options: tuple[Option, ...]  # options, worth: what every way to do every action is worth by itself
    worth: Promised
    aim: Aim
    # what is known of the value of plans whose actions share their effect; None where that cannot be bounded
    shared: Shared | None

    def judge(self, places: Sequence[int]) -> Rank:
        """A plan, simulated as a whole with some of the draws."""
        draws = promise_of(self.options, self.worth, places, _TOGETHER)
        return Rank(self.aim.of(draws), float(draws.mean()))

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
        """The best plan under some conditions, and what was done to find it ("" if benefits add up)."""
        choice = choose(problem, *self.aim)
        if self.adds_up(choice.options):
            return choice, ""
        if self.shared is not None and self.aim.objective == "mean":
            places, bound = self.shared.best(problem, choice.options)
            found, _ = _climbed(problem, tuple(places.tolist()), self._at_estimate)
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
        found, gained = _climbed(problem, start, self.judge)
        said = f"exchanges of one option for another brought {gained:.3g} more of the objective"
        value = self.judge(found).objective
        return Choice(np.array(found, dtype=np.int64), value, np.inf, proven=False), _said(said)

    def _at_estimate(self, places: Sequence[int]) -> Rank:
        value = 0.0 if self.shared is None else self.shared.value(places)
        return Rank(value, value)

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
            return Choice(places, value.objective, found.bound, proven=False), said
        return found, ""


def _said(what: str) -> str:
    return (
        "Actions share their effect here (ends of scales, or one acting through another), so plans were valued as a "
        f"whole; {what}."
    )


def search_of(options: Sequence[Option], worth: Promised, problem: Problem, aim: Aim) -> Search:
    """Make ready to look for plans."""
    together = together_at_estimate(worth.question, [option.action for option in options])
    shared = None if together is None else Shared(together, problem.mean - worth.worth.at)
    return Search(tuple(options), worth, aim, shared)
