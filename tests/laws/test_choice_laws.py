"""Choosing under conditions: every instance against all of its plans, enumerated."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roxmodel import SimulationError
from roxmodel.simulation.budget.choice import binding, choose, conflicts, left_out
from roxmodel.simulation.budget.problem import Least, Problem, violations
from roxmodel.simulation.budget.tail import tail_mean

pytestmark = pytest.mark.slow

MANY = settings(max_examples=1_000, deadline=None, derandomize=True, database=None)
SOME = settings(max_examples=200, deadline=None, derandomize=True, database=None)
CLOSE = 1e-7  # of the largest value: HiGHS' tolerance and rounding
WAVES, DRAWS = 3, 25


@st.composite
def problems(draw, actions=12, options=13):
    m = draw(st.integers(1, actions))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    ways = np.ones(m, dtype=int)
    for _ in range(draw(st.integers(0, max(0, min(options - m, 3))))):
        ways[rng.integers(m)] += 1
    action = np.repeat(np.arange(m), ways)
    n = len(action)
    scale = 10.0 ** draw(st.integers(-3, 9))
    cost = np.round(rng.uniform(0, 100, (n, WAVES)) * (rng.random((n, WAVES)) < 0.6)) * scale
    draws = (rng.normal(20, 60, (1, n)) + rng.normal(0, 40, (DRAWS, 3)) @ rng.normal(0, 1, (3, n))) * scale
    pairs = [tuple(int(i) for i in rng.choice(m, 2, replace=False)) for _ in range(4)] if m > 1 else []
    clash = [tuple(sorted(int(i) for i in rng.choice(n, 2, replace=False))) for _ in range(2)] if n > 1 else []
    least = [Least("some", rng.random(n) < 0.5, float(np.round(rng.uniform(0, 60)) * scale))]
    return Problem(
        names=tuple(f"a{i}" for i in range(m)),
        action=action,
        start=rng.integers(1, WAVES + 1, n),
        mean=draws.mean(axis=0),
        draws=draws,
        cost=cost,
        wave_budget=np.where(rng.random(WAVES) < 0.4, np.round(rng.uniform(20, 300, WAVES)) * scale, np.inf),
        budget=float(np.round(rng.uniform(0, 40 * m)) * scale) if rng.random() < 0.8 else np.inf,
        requires=tuple(pairs[: draw(st.integers(0, min(2, len(pairs))))]),
        excludes=tuple(pairs[2 : 2 + draw(st.integers(0, min(2, max(0, len(pairs) - 2))))]),
        musts=tuple(sorted({int(i) for i in rng.integers(0, m, draw(st.sampled_from([0, 0, 0, 1])))})),
        clashes=tuple(clash[: draw(st.integers(0, len(clash)))]),
        least=tuple(least[: draw(st.sampled_from([0, 0, 1]))]),
    )


def every(problem):
    """(plans, n) 0/1 of all plans that keep all conditions, by comparing sums."""
    ways = [[-1, *np.flatnonzero(problem.action == a)] for a in range(len(problem.names))]
    taken = np.zeros((int(np.prod([len(w) for w in ways])), len(problem.mean)))
    for row, chosen in enumerate(product(*ways)):
        taken[row, [i for i in chosen if i >= 0]] = 1.0
    slack = 1 + 1e-9
    kept = taken @ problem.cost.sum(axis=1) <= problem.budget * slack
    kept &= (taken @ problem.cost <= problem.wave_budget * slack).all(axis=1)
    actions = np.stack([taken[:, problem.action == a].sum(axis=1) for a in range(len(problem.names))], axis=1)
    late = np.where(taken > 0, problem.start, 0)
    first = np.stack([late[:, problem.action == a].max(axis=1) for a in range(len(problem.names))], axis=1)
    for a, b in problem.requires:
        kept &= (actions[:, a] == 0) | ((actions[:, b] > 0) & (first[:, b] <= first[:, a]))
    for a, b in problem.excludes:
        kept &= actions[:, a] + actions[:, b] < 2
    for a in problem.musts:
        kept &= actions[:, a] > 0
    for i, j in problem.clashes:
        kept &= (problem.action[i] == problem.action[j]) | (taken[:, i] + taken[:, j] < 2)
    for one in problem.least:
        kept &= taken @ (problem.cost.sum(axis=1) * one.options) >= one.amount * (2 - slack)
    return taken[kept]


def size(problem):
    return float(np.abs(problem.draws).max(initial=0.0)) or 1.0


@MANY
@given(problems())
def test_no_plan_brings_more(problem):
    plans = every(problem)
    if len(plans) == 0:
        with pytest.raises(SimulationError, match="No plan can keep"):
            choose(problem)
        return
    found = choose(problem)
    assert violations(problem, found.options) == ()
    best = (plans @ problem.mean).max()
    assert abs(found.value - best) <= CLOSE * size(problem)
    assert found.value == pytest.approx(problem.mean[found.options].sum(), abs=1e-9 * size(problem))
    assert found.proven


@SOME
@given(problems(actions=9, options=10), st.sampled_from([0.05, 0.1, 0.33, 0.5, 1.0]))
def test_no_plan_has_a_better_worst_share(problem, level):
    plans = every(problem)
    if len(plans) == 0:
        return
    found = choose(problem, "cvar", level)
    assert violations(problem, found.options) == ()
    best = max(tail_mean(problem.draws @ plan, level) for plan in plans)
    assert abs(found.value - best) <= CLOSE * size(problem) * 10
    assert found.bound >= best - CLOSE * size(problem) * 10


@SOME
@given(problems(actions=8, options=9))
def test_no_plan_is_likelier_to_pay(problem):
    plans = every(problem)
    if len(plans) == 0:
        return
    found = choose(problem, "probability")
    assert violations(problem, found.options) == ()
    assert found.proven
    assert found.value >= (plans @ problem.draws.T > 0).mean(axis=1).max() - 1e-12


@SOME
@given(problems(actions=8, options=9))
def test_conflicts_are_there_and_none_is_there_for_nothing(problem):
    named = conflicts(problem)
    assert (len(named) > 0) == (len(every(problem)) == 0)
    if named:
        with pytest.raises(SimulationError) as error:
            choose(problem)
        assert all(words in str(error.value) for words in named)


@SOME
@given(problems(actions=8, options=9))
def test_reasons_and_what_binds(problem):
    if len(every(problem)) == 0:
        return
    found = choose(problem)
    why = left_out(problem, found.options)
    chosen = set(problem.action[found.options].tolist())
    assert all((reason is None) == (place in chosen) for place, reason in enumerate(why))
    for place, reason in enumerate(why):
        if reason is not None and reason.code == "does not pay":
            assert problem.mean[problem.action == place].max() <= 0
    assert len(why) == len(problem.names)
    if not binding(problem, found.options):
        free = sum(max(0.0, *(problem.mean[problem.action == a])) for a in range(len(problem.names)))
        assert free - found.value >= -CLOSE * size(problem)


@SOME
@given(problems(actions=8, options=9), st.sampled_from([1e-2, 1e3, 1e6]))
def test_the_currency_does_not_matter(problem, rate):
    if len(every(problem)) == 0:
        return
    other = replace(
        problem,
        mean=problem.mean * rate,
        draws=problem.draws * rate,
        cost=problem.cost * rate,
        wave_budget=problem.wave_budget * rate,
        budget=problem.budget * rate,
        least=tuple(replace(one, amount=one.amount * rate) for one in problem.least),
    )
    assert choose(other).value == pytest.approx(rate * choose(problem).value, abs=rate * CLOSE * size(problem))
