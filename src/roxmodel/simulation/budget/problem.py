"""What can be chosen, and within which limits: plain arrays, the conditions one by one, whether a plan keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from roxmodel.errors import SimulationError, listed
from roxmodel.numerals import amount_text
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "TOLERANCE", "Breach", "Condition", "Least", "Problem", "breaches_of", "conditions_of", "keeping", "over",
    "read_plan", "violations",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Least:
    """A minimum spend."""

    name: str  # what the money is for, for example a construct
    options: BoolArray  # (n,) which options count
    amount: float  # nominal money over all waves, 0 or more


@dataclass(frozen=True, slots=True)
class Problem:
    """Options and limits: an option is one action at one dose from one first wave; an action is chosen once at most."""

    names: tuple[str, ...]  # (m,) actions, each name once
    action: IntArray  # (n,) place of each option's action, 0 to m - 1
    start: IntArray  # (n,) its first wave
    mean: FloatArray  # (n,) expected net value of each option, discounted
    draws: FloatArray  # (draws, n) the same draw by draw; may be (0, n) where only the mean is asked for
    cost: FloatArray  # (n, waves) nominal money each option spends in each wave, 0 or more
    wave_budget: FloatArray  # (waves,) largest nominal spending in each wave, infinite where there is no limit
    budget: float  # largest nominal spending over all waves, infinite where there is no limit
    # (action, action it needs): the needed one must be chosen too, and start no later. Two that need each other are
    # chosen together, in the same wave, or not at all.
    requires: tuple[tuple[int, int], ...] = ()
    excludes: tuple[tuple[int, int], ...] = ()  # pairs of actions that are not chosen together
    musts: tuple[int, ...] = ()  # actions that must be chosen
    clashes: tuple[tuple[int, int], ...] = ()  # pairs of options that cannot both be chosen
    least: tuple[Least, ...] = ()  # minimum spends

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_places(self)
        _check_values(self)
        _check_money(self)

    @property
    def total(self) -> FloatArray:
        """(n,) nominal money each option spends over all waves."""
        return np.asarray(self.cost.sum(axis=1))

    def of(self, action: int) -> IntArray:
        """Places of the options of an action."""
        return np.flatnonzero(self.action == action)


def _check_shapes(problem: Problem) -> None:
    n, waves = len(problem.action), len(problem.wave_budget)
    wanted = {
        "action": (n,),
        "start": (n,),
        "mean": (n,),
        "cost": (n, waves),
        "wave_budget": (waves,),
        "draws": (len(problem.draws), n),
    }
    for name, shape in wanted.items():
        got = np.shape(getattr(problem, name))
        if got != shape:
            raise SimulationError(f"{name} has the shape {got}, for {n} options and {waves} waves.", allowed=str(shape))
    for least in problem.least:
        if np.shape(least.options) != (n,):
            raise SimulationError(f"The minimum for {least.name!r} speaks of {len(least.options)} options, not of {n}.")


def _check_places(problem: Problem) -> None:
    names, m, n = problem.names, len(problem.names), len(problem.action)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SimulationError(f"Two actions are named {listed(twice)}.", hint="Give each its own name.")
    actions = [*problem.action.tolist(), *problem.musts, *(a for pair in problem.requires for a in pair)]
    actions += [a for pair in problem.excludes for a in pair]
    for place in actions:
        if not 0 <= place < m:
            raise SimulationError(f"There is no action in place {place}.", allowed=f"0 to {m - 1}")
    for place in (i for pair in problem.clashes for i in pair):
        if not 0 <= place < n:
            raise SimulationError(f"There is no option in place {place}.", allowed=f"0 to {n - 1}")
    for a, b in problem.excludes:
        if a == b:
            raise SimulationError(f"{names[a]!r} excludes itself.", hint="Leave it out, or drop the exclusion.")
    for i, j in problem.clashes:
        if i == j:
            raise SimulationError(f"An option of {names[problem.action[i]]!r} clashes with itself.")


def _check_values(problem: Problem) -> None:
    bad = np.flatnonzero(~np.isfinite(problem.mean))
    if bad.size:
        name = problem.names[problem.action[bad[0]]]
        raise SimulationError(f"The expected net value of {name!r} is {problem.mean[bad[0]]}.", allowed="a number")
    if np.isfinite(problem.draws).all():
        return
    bad = np.flatnonzero(~np.isfinite(problem.draws).all(axis=0))
    name = problem.names[problem.action[bad[0]]]
    raise SimulationError(f"The net value of {name!r} is no number in every draw.", allowed="numbers only")


def _check_money(problem: Problem) -> None:
    good = np.isfinite(problem.cost) & (problem.cost >= 0)
    if not good.all():
        option, wave = np.argwhere(~good)[0]
        name, got = problem.names[problem.action[option]], problem.cost[option, wave]
        raise SimulationError(f"{name!r} costs {got:g} in wave {wave + 1}.", allowed="0 or a positive amount")
    if not problem.budget >= 0:
        raise SimulationError(f"The budget is {problem.budget:g}.", allowed="0 or a positive amount")
    for wave, amount in enumerate(problem.wave_budget, start=1):
        if not amount >= 0:
            raise SimulationError(f"The budget of wave {wave} is {amount:g}.", allowed="0 or a positive amount")
    for least in problem.least:
        if not (np.isfinite(least.amount) and least.amount >= 0):
            raise SimulationError(
                f"The minimum for {least.name!r} is {least.amount:g}.", allowed="0 or a positive amount"
            )


TOLERANCE: Final = 1e-9  # share by which a sum of money may pass its limit: what adding decimal amounts loses

Kind = Literal["budget", "wave", "requires", "excludes", "must", "clash", "least", "twice"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing a plan has to keep, that could also be given up."""

    kind: Kind  # which part of the problem it is from
    # where it stands there: (), the wave from 0 on, one or two actions, or the place of the minimum
    place: tuple[int, ...]
    words: str  # with names and amounts


def conditions_of(problem: Problem) -> tuple[Condition, ...]:
    """Every condition once; clashes of options are one condition for each pair of actions."""
    return tuple(dict.fromkeys((*_about_actions(problem), *_about_money(problem))))


def _about_actions(problem: Problem) -> Iterator[Condition]:
    names, total = problem.names, problem.total
    for action in problem.musts:
        costs = total[problem.of(action)]
        price = amount_text(float(costs.min())) if costs.size else "there is no option of it"
        yield Condition("must", (action,), f"must-have {names[action]!r} ({price})")
    for a, b in problem.requires:
        if a != b:
            yield Condition("requires", (a, b), f"{names[a]!r} needs {names[b]!r}")
    for a, b in problem.excludes:
        first, second = min(a, b), max(a, b)
        yield Condition("excludes", (first, second), f"{names[first]!r} excludes {names[second]!r}")
    for first, second in _clashing(problem):
        yield Condition("clash", (first, second), f"{names[first]!r} clashes with {names[second]!r}")


def _about_money(problem: Problem) -> Iterator[Condition]:
    for place, least in enumerate(problem.least):
        yield Condition("least", (place,), f"at least {amount_text(least.amount)} for {least.name!r}")
    for wave, amount in enumerate(problem.wave_budget.tolist()):
        if amount < math.inf:
            yield Condition("wave", (wave,), f"budget of {amount_text(amount)} in wave {wave + 1}")
    if problem.budget < math.inf:
        yield Condition("budget", (), f"budget of {amount_text(problem.budget)} over all waves")


def _clashing(problem: Problem) -> list[tuple[int, int]]:
    """Pairs of actions of which some options clash."""
    if not problem.clashes:
        return []
    pairs = np.sort(problem.action[np.array(problem.clashes)], axis=1)
    return [(int(a), int(b)) for a, b in np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)]


def keeping(problem: Problem, kept: Iterable[Condition]) -> Problem:
    """The problem with no other conditions than these, and without draws."""
    places: dict[str, set[tuple[int, ...]]] = {}
    for condition in kept:
        places.setdefault(condition.kind, set()).add(condition.place)
    waves = [place for (place,) in places.get("wave", ())]
    wave_budget = np.full(len(problem.wave_budget), np.inf)
    wave_budget[waves] = problem.wave_budget[waves]
    requires, excludes = places.get("requires", set()), places.get("excludes", set())
    clashes, musts, least = places.get("clash", set()), places.get("must", set()), places.get("least", set())
    action = problem.action.tolist()
    return replace(
        problem,
        draws=np.zeros((0, len(action))),
        budget=problem.budget if "budget" in places else math.inf,
        wave_budget=wave_budget,
        requires=tuple(pair for pair in problem.requires if pair in requires),
        excludes=tuple(pair for pair in problem.excludes if (min(pair), max(pair)) in excludes),
        musts=tuple(one for one in problem.musts if (one,) in musts),
        clashes=tuple(pair for pair in problem.clashes if tuple(sorted(action[i] for i in pair)) in clashes),
        least=tuple(one for place, one in enumerate(problem.least) if (place,) in least),
    )


def read_plan(problem: Problem, options: Sequence[int] | IntArray) -> IntArray:
    """The options of a plan, sorted."""
    found = np.sort(np.asarray(options, dtype=np.int64).reshape(-1))
    n = len(problem.action)
    if found.size and not (found[0] >= 0 and found[-1] < n):
        place = found[0] if found[0] < 0 else found[-1]
        raise SimulationError(f"A plan names the option {place}.", allowed=f"0 to {n - 1}" if n else "there is none")
    if (np.diff(found) == 0).any():
        raise SimulationError("A plan names an option twice.")
    return found


def over(spent: float, limit: float) -> bool:
    """Whether a sum of money passes its limit by more than the tolerance.

    >>> over(0.1 + 0.2, 0.3), over(0.31, 0.3)
    (False, True)
    """
    return limit < math.inf and spent > limit + TOLERANCE * limit


def violations(problem: Problem, options: Sequence[int] | IntArray) -> tuple[str, ...]:
    """What a plan does not keep, in words; sums of money are exact (`math.fsum`) and may pass a limit by 1e-9 of it."""
    return tuple(breach.words for breach in breaches_of(problem, options))


class Breach(NamedTuple):
    """A condition that a plan does not keep."""

    kind: Kind
    words: str


def breaches_of(problem: Problem, options: Sequence[int] | IntArray) -> tuple[Breach, ...]:
    """The same with their kinds."""
    plan = read_plan(problem, options)
    return (*_overspent(problem, plan), *_parted(problem, plan), *_clashes(problem, plan))


def _overspent(problem: Problem, plan: IntArray) -> Iterator[Breach]:
    cost = problem.cost[plan]
    spent = math.fsum(cost.ravel().tolist())
    if over(spent, problem.budget):
        most = amount_text(problem.budget)
        yield Breach("budget", f"{amount_text(spent)} is spent over all waves, more than the budget of {most}")
    for wave in np.flatnonzero(problem.wave_budget < math.inf).tolist():
        limit, spent = float(problem.wave_budget[wave]), math.fsum(cost[:, wave].tolist())
        if over(spent, limit):
            most = amount_text(limit)
            yield Breach("wave", f"{amount_text(spent)} is spent in wave {wave + 1}, more than its budget of {most}")
    for least in problem.least:
        spent = math.fsum(problem.cost[plan[least.options[plan]]].ravel().tolist())
        if spent < least.amount - TOLERANCE * least.amount:
            wanted = amount_text(least.amount)
            yield Breach("least", f"{amount_text(spent)} is spent on {least.name!r}, less than the minimum of {wanted}")


def _parted(problem: Problem, plan: IntArray) -> Iterator[Breach]:
    names, actions = problem.names, problem.action[plan].tolist()
    starts = dict(zip(actions, problem.start[plan].tolist(), strict=True))
    if len(starts) < len(actions):
        for action in dict.fromkeys(one for one in actions if actions.count(one) > 1):
            yield Breach("twice", f"{names[action]!r} is chosen {actions.count(action)} times")
    for a, b in problem.requires:
        if a in starts and b not in starts:
            yield Breach("requires", f"{names[a]!r} needs {names[b]!r}, which is not chosen")
        elif a in starts and starts[b] > starts[a]:
            yield Breach("requires", f"{names[a]!r} needs {names[b]!r}, which starts later")
    for a, b in problem.excludes:
        if a in starts and b in starts:
            yield Breach("excludes", f"{names[a]!r} excludes {names[b]!r}, and both are chosen")
    for action in problem.musts:
        if action not in starts:
            yield Breach("must", f"the must-have {names[action]!r} is not chosen")


def _clashes(problem: Problem, plan: IntArray) -> Iterator[Breach]:
    if not problem.clashes or plan.size < 2:
        return
    taken = set(plan.tolist())
    for i, j in problem.clashes:
        if i in taken and j in taken:
            first, second = problem.names[problem.action[i]], problem.names[problem.action[j]]
            yield Breach("clash", f"{first!r} and {second!r} clash as they are chosen")
