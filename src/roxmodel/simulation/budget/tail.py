"""The plan whose worst draws are best: CVaR maximised exactly, by cuts.

The mean of the worst draws is the smallest of very many weighted means, one for each way to pick the worst:
``cvar(x) = min over w of w @ draws @ x``. So an integer program that knows a few of them gives a bound; the plan it
finds names its own worst draws, which is one more; and so on, until bound and plan meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from roxmodel.simulation.budget import solver
from roxmodel.simulation.budget.problem import TOLERANCE, Problem, violations
from roxmodel.simulation.money.returns import worst_draws
from roxmodel.types import FloatArray, IntArray

__all__ = ["Step", "best_tail", "steps_from", "tail_mean", "tail_weights"]


_FRACTIONS, _WHOLE = 60, 100  # rounds: of the program with fractions of actions, and without
_NODES = 1_000  # in each of the latter
_CORE = 8  # options tried at first
_NEAR = 1e-4  # share of the bound at which fractions have told what they can
_INNER = 0.3  # cuts are made this share of the way from the best point known to the one found
_EXCHANGES, _LOOKS = 50, 400  # steps from a plan to a better one; neighbours looked at in each
_PATIENCE, _STALLED = 8, 0.8  # rounds after which more than this share of the gap is left: the end is not in sight
_NO_OPTION = -1
_TIES = 20  # plans with the same tail that are compared by their mean


def tail_weights(npv: FloatArray, level: float) -> tuple[IntArray, FloatArray]:
    """Places of the worst `level` share of (draws,), and their weights, which add up to 1.

    With ``k = level * draws`` the worst ``floor(k)`` draws weigh 1/k each and the next one what is left: CVaR of the
    loss ``-npv`` (Rockafellar & Uryasev 2002, doi 10.1016/S0378-4266(02)00271-6; their confidence is ``1 - level``).

    >>> tail_weights(np.array([50.0, -30.0, 20.0, -10.0]), 0.5)
    (array([1, 3]), array([0.5, 0.5]))
    """
    worst = worst_draws(len(npv), level)
    count = math.ceil(worst)
    places = np.argpartition(npv, count - 1)[:count]
    places = places[np.argsort(npv[places], kind="stable")]
    weights = np.full(count, 1.0 / worst)
    weights[-1] = 1.0 - (count - 1) / worst
    return places, weights


def tail_mean(npv: FloatArray, level: float) -> float:
    """CVaR: the mean of the worst `level` share of the draws; see `tail_weights`."""
    places, weights = tail_weights(npv, level)
    return float(weights @ npv[places])


class Step(NamedTuple):
    """One step from a plan: an option out, an option in; -1 for none."""

    out: int
    into: int

    def after(self, options: IntArray) -> IntArray:
        """The plan after it."""
        kept = options[options != self.out]
        return kept if self.into == _NO_OPTION else np.sort(np.append(kept, self.into))

    def total(self, npv: FloatArray, draws: FloatArray) -> FloatArray:
        """(draws,) npv of the plan after it, from that before and (n, draws) of the options."""
        npv = npv if self.out == _NO_OPTION else npv - draws[self.out]
        return npv if self.into == _NO_OPTION else npv + draws[self.into]


def steps_from(problem: Problem, options: IntArray) -> IntArray:
    """(steps, 2) exchanges that the budgets allow (other conditions are to be checked): option out, in; -1 for none."""
    limits = np.append(problem.wave_budget, problem.budget)
    spent = np.column_stack([problem.cost, problem.total])[:, np.isfinite(limits)]
    limits = limits[np.isfinite(limits)]
    left = limits * (1 + TOLERANCE) - spent[options].sum(axis=0)
    taken = np.isin(problem.action, problem.action[options])
    found = [np.column_stack([options, np.full(options.size, _NO_OPTION)])]
    for out in [_NO_OPTION, *options.tolist()]:
        room, fits = left, ~taken
        if out != _NO_OPTION:
            room, fits = left + spent[out], fits | (problem.action == problem.action[out])
            fits[out] = False
        into = np.flatnonzero(fits & (spent <= room).all(axis=1))
        found.append(np.column_stack([np.full(into.size, out), into]))
    return np.concatenate(found).astype(np.int64)


@dataclass(slots=True)
class _Search:
    """Cuts so far, and the best plan."""

    problem: Problem  # problem, level: what was asked
    level: float
    size: float  # money is multiplied by it before HiGHS sees it
    draws: FloatArray  # (n, draws), scaled
    cuts: list[FloatArray] = field(default_factory=list)
    best: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    value: float = -math.inf

    def at(self, x: FloatArray) -> tuple[float, FloatArray]:
        """CVaR of a point, and the cut there."""
        used = np.flatnonzero(x)
        npv = x[used] @ self.draws[used]
        places, weights = tail_weights(npv, self.level)
        return float(weights @ npv[places]), self.draws[:, places] @ weights

    def take(self, options: IntArray) -> float:
        """CVaR of a plan; its cut is noted, and the plan if it is the best."""
        x = np.zeros(len(self.draws))
        x[options] = 1.0
        value, cut = self.at(x)
        self.cuts.append(cut)
        if value > self.value:
            self.value, self.best = value, options
        return value

    def exchange(self, options: IntArray) -> None:
        """Go from a plan to better ones, one option for another, as far as that leads."""
        for _ in range(_EXCHANGES):
            value = self.take(options)
            better = self._neighbour(options, value)
            if better is None:
                return
            options = better

    def _neighbour(self, options: IntArray, value: float) -> IntArray | None:
        """The best plan one step away, if it is better; the plan's cut says at once which cannot be."""
        steps, cut = steps_from(self.problem, options), np.append(self.cuts[-1], 0.0)
        hope = cut[steps[:, 1]] - cut[steps[:, 0]]
        order = np.argsort(-hope, kind="stable")[: min(int((hope > solver.GAP).sum()), _LOOKS)]
        npv = self.draws[options].sum(axis=0)
        best, found = value + solver.GAP, None
        for step in map(Step._make, steps[order].tolist()):
            value = tail_mean(step.total(npv, self.draws), self.level)
            if value > best and not violations(self.problem, step.after(options)):
                best, found = value, step.after(options)
        return found


def best_tail(problem: Problem, level: float, program: solver.Program | None = None) -> solver.Choice | None:
    """The plan with the largest CVaR, of several the one with the largest mean; None if no plan keeps all conditions.

    Where the search ends before bound and plan meet (hundreds of actions that share no risk), the best plan found with
    the bound. `program`: the limits as rows, if known. Künzi-Bay & Mayer 2006, doi 10.1007/s10287-005-0042-0, on cuts
    for CVaR.
    """
    program = solver.program_of(problem) if program is None else program
    start = solver.best_sum(problem, problem.mean, program)
    if start is None:
        return None
    if not len(program.allowed):
        return start
    largest = float(np.abs(problem.draws).mean(axis=0).max(initial=0.0))
    size = solver.SIZE / largest if largest > 0 else 1.0
    search = _Search(problem, level, size, np.ascontiguousarray(problem.draws.T) * size)
    search.exchange(start.options)
    _with_fractions(search, program)
    bound = _with_whole(search, program)
    if bound - search.value <= solver.GAP:
        search.best = _largest_mean(search, program, start)
    options = solver.tidied(problem, search.best, problem.mean, lambda plan: tail_of(problem, plan, level))
    value = tail_of(problem, options, level)
    done = bound - search.value <= solver.GAP
    return solver.Choice(options, value, value if done else max(bound / search.size, value), done)


def tail_of(problem: Problem, options: IntArray, level: float) -> float:
    """CVaR of a plan."""
    return tail_mean(problem.draws[:, options].sum(axis=1), level)


def _with_fractions(search: _Search, program: solver.Program) -> None:
    """Cuts where they matter, from the same question with fractions of options: cheap, and close.

    A cut at the point found helps little (it swings from end to end), so cuts are made between it and the best point.
    """
    inner, known = np.zeros(len(search.draws)), -math.inf
    for _ in range(_FRACTIONS):
        found = solver.relaxed(program, np.array(search.cuts))
        if found is None:
            return
        point = _INNER * found.x + (1 - _INNER) * inner if math.isfinite(known) else found.x
        value, cut = search.at(point)
        if cut @ found.x >= found.value - solver.GAP:
            point = found.x
            value, cut = search.at(point)
        search.cuts.append(cut)
        if value > known:
            inner, known = point, value
        if found.value - known <= _NEAR * abs(found.value):
            return


def _with_whole(search: _Search, program: solver.Program) -> float:
    """Bound and plan brought together; the bound.

    Options whose price says that no better plan has them otherwise are settled. Of the rest, few are tried at first: a
    good plan settles many more.
    """
    bound, core, gaps = math.inf, _CORE, [math.inf]
    for _ in range(_WHOLE):
        rest = solver.relaxed(program, np.array(search.cuts))
        bound = bound if rest is None else min(bound, rest.value)
        if rest is None or bound - search.value <= solver.GAP:
            break
        tried = rest.price <= rest.value - search.value + solver.GAP
        whole = int(tried.sum()) <= core
        if not whole:
            tried &= rest.price <= np.partition(rest.price, core)[core]
        part = program.with_settled(~tried, rest.x > 0.5)
        solved = solver.solve(part, rest.x, np.array(search.cuts), floor=search.value - solver.GAP, nodes=_NODES)
        cut = None if solved is None else solver.cut_against(search.problem, np.flatnonzero(solved.x > 0.5))
        if cut is not None:
            program = program.with_row(cut)
            continue
        most = -math.inf
        if solved is not None:
            search.exchange(np.flatnonzero(solved.x > 0.5))
            most = solved.bound
        if whole:
            bound = min(bound, max(most, search.value))
        gaps.append(most - search.value)
        if gaps[-1] <= solver.GAP:
            core, gaps = core * 2, [math.inf]
        elif len(gaps) > _PATIENCE + 1 and gaps[-1] > _STALLED * gaps[-1 - _PATIENCE]:
            break
    return max(bound, search.value)


def _largest_mean(search: _Search, program: solver.Program, start: solver.Choice) -> IntArray:
    """Of all plans with the best tail the one with the largest mean."""
    problem, least = search.problem, search.value - solver.GAP
    if search.take(start.options) >= least:
        return start.options
    objective = solver.scaled(problem.mean)[0]
    for row in search.cuts:
        program = program.with_row(solver.Row(row, least, math.inf))
    best, known = search.best, math.fsum(problem.mean[search.best].tolist())
    for _ in range(_TIES):
        solved = solver.solve(program, objective, nodes=_NODES)
        if solved is None:
            break
        options = np.flatnonzero(solved.x > 0.5)
        if math.fsum(problem.mean[options].tolist()) <= known:
            break
        cut = solver.cut_against(problem, options)
        if cut is not None:
            program = program.with_row(cut)
        elif search.take(options) >= least:
            return options
        else:
            program = program.with_row(solver.Row(search.cuts[-1], least, math.inf))
    return best
