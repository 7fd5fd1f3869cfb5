"""What can be chosen, and within which limits: the question of a budget, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.errors import SimulationError, listed
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Least", "Problem"]


@dataclass(frozen=True, slots=True)
class Least:
    """A minimum spend.

    Attributes
    ----------
    name
        What the money is for, for example a construct.
    options
        (n,) which options count.
    amount
        Nominal money over all waves, 0 or more.

    Examples
    --------
    >>> Least("pride", np.array([True, False]), 50_000.0).amount
    50000.0
    """

    name: str
    options: BoolArray
    amount: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Options and limits: an option is one action at one dose from one first wave; an action is chosen once at most.

    Attributes
    ----------
    names
        (m,) actions, each name once.
    action
        (n,) place of each option's action, 0 to m - 1.
    start
        (n,) its first wave.
    mean
        (n,) expected net value of each option, discounted.
    draws
        (draws, n) the same draw by draw; may be (0, n) where only the mean is asked for.
    cost
        (n, waves) nominal money each option spends in each wave, 0 or more.
    wave_budget
        (waves,) largest nominal spending in each wave, infinite where there is no limit.
    budget
        Largest nominal spending over all waves, infinite where there is no limit.
    requires
        (action, action it needs): the needed one must be chosen too, and start no later. Two that need each other are
        chosen together, in the same wave, or not at all.
    excludes
        Pairs of actions that are not chosen together.
    musts
        Actions that must be chosen.
    clashes
        Pairs of options that cannot both be chosen.
    least
        Minimum spends.

    Raises
    ------
    SimulationError
        If a number is missing or out of its range, or a place does not exist; the action is named.

    Examples
    --------
    >>> two = Problem(
    ...     names=("coaching", "tools"), action=np.array([0, 1]), start=np.array([1, 1]), mean=np.array([5.0, 3.0]),
    ...     draws=np.zeros((0, 2)), cost=np.array([[4.0], [2.0]]), wave_budget=np.array([np.inf]), budget=5.0,
    ... )
    >>> two.total.tolist()
    [4.0, 2.0]
    """

    names: tuple[str, ...]
    action: IntArray
    start: IntArray
    mean: FloatArray
    draws: FloatArray
    cost: FloatArray
    wave_budget: FloatArray
    budget: float
    requires: tuple[tuple[int, int], ...] = ()
    excludes: tuple[tuple[int, int], ...] = ()
    musts: tuple[int, ...] = ()
    clashes: tuple[tuple[int, int], ...] = ()
    least: tuple[Least, ...] = ()

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
