"""Each inner part at its smallest example: options and limits, prices, rules, normal distributions, one unit."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.datasets import make_world
from roxmodel.result.levels import JointLevels
from roxmodel.simulation.abduction import Outcome, expected_outcome, one_unit
from roxmodel.simulation.actions import is_figure, unit_of
from roxmodel.simulation.budget.problem import Problem, conditions_of, violations
from roxmodel.simulation.budget.solver import counted, scaled, without_lines
from roxmodel.simulation.budget.tail import Step, steps_from, tail_mean
from roxmodel.simulation.budget.worth import posterior_of
from roxmodel.simulation.forecast import conditioned, mixture_quantiles
from roxmodel.simulation.intervention import Below, Intervention, Lowest, covered_by, read_rule, spending
from roxmodel.simulation.money.finance import (
    Finance,
    Terms,
    discount_factors,
    formula_of,
    money_of_flows,
    terminal_value,
)
from roxmodel.simulation.money.returns import prob_loss
from roxmodel.simulation.money.values import NormalValue, UniformValue, UnitValue, price_text, read_price, resolve
from roxmodel.spec.constructs import Construct
from roxmodel.spec.questionnaire import Binary, Item, Likert, Percent


def two(**changed):
    usual = {
        "names": ("coaching", "tools"),
        "action": np.array([0, 1]),
        "start": np.array([1, 1]),
        "mean": np.array([5.0, 3.0]),
        "draws": np.zeros((0, 2)),
        "cost": np.array([[4.0], [2.0]]),
        "wave_budget": np.array([np.inf]),
        "budget": 5.0,
    }
    return Problem(**usual | changed)


def outcome_of(scale):
    return Construct(name="x", factor="outcomes", source="unit", items=[Item(name="x", scale=scale)])


def test_options_and_what_they_break():
    assert two().total.tolist() == [4.0, 2.0]
    assert violations(two(start=np.array([1, 2]), requires=((0, 1),)), [0, 1]) == (
        "6 is spent over all waves, more than the budget of 5",
        "'coaching' needs 'tools', which starts later",
    )
    dear = two(cost=np.array([[4.0], [120_000.0]]), budget=100_000.0, musts=(1,))
    words = [condition.words for condition in conditions_of(dear)]
    assert words == ["must-have 'tools' (120,000)", "budget of 100,000 over all waves"]


def test_steps_from_a_plan():
    assert steps_from(two(), np.array([1])).tolist() == [[1, -1], [1, 0]]
    assert Step(5, 1).after(np.array([2, 5])).tolist() == [1, 2]
    assert Step(-1, 3).after(np.array([2, 5])).tolist() == [2, 3, 5]
    assert tail_mean(np.array([50.0, -30.0, 20.0, -10.0]), 0.5) == -20.0


def test_amounts_as_the_solver_sees_them():
    whole, size = scaled(np.array([300.0, -200.0]))
    assert (whole.tolist(), size) == ([3.0, -2.0], 0.01)
    assert scaled(np.array([np.pi, 0.0]))[0].tolist() == [1024.0, 0.0]
    found, unit = counted(np.array([1_200.0, 800.0]))
    assert (found.tolist(), unit) == ([3.0, 2.0], 400.0)
    assert counted(np.array([0.1, 0.25, -0.3]))[0].tolist() == [2.0, 5.0, -6.0]
    assert counted(np.array([np.pi, 1.0])) is None
    with without_lines(b"HighsMipSolverData"):
        pass


def test_numbers_drawn_together_and_towards_0():
    b = np.array([0.1, 0.5])
    draws = b + np.random.default_rng(1).normal(0, 0.2, (4000, 2))
    found = posterior_of(b, draws, np.full((2, 2), 0.04), seed=1)
    assert found.mean.round(1).tolist() == [0.1, 0.3]


def test_one_unit_and_what_is_expected_of_it():
    world = make_world(30, seed=1)
    found = one_unit(rox.fit(world.model, world.study(), method="path"), world.unit["branch"][0])
    assert (found.basis[0], found.root) == ("observed", None)
    at = expected_outcome(Outcome("logit", 0.0), np.array([0.0]), np.array([np.log(3.0)]))  # from 1/2 to 3/4
    assert at.tolist() == pytest.approx([0.5])


def test_what_a_scale_says():
    assert unit_of(outcome_of(Percent())) == "percentage points"
    assert [is_figure(outcome_of(scale)) for scale in (Binary(), Likert(1, 5))] == [True, False]


def test_prices():
    normal = {"kind": "normal", "mean": 1_000, "sd": 200}
    assert read_price(normal, "revenue") == NormalValue(mean=1_000, sd=200)
    assert price_text(1_250_000.0) == "1,250,000"
    assert price_text(UniformValue(low=800, high=1_200)) == "uniform, 800 to 1,200"
    by_unit = UnitValue(values={"A": 900, "B": 1_100}, default=1_000)
    assert price_text(by_unit) == "by unit, 900 to 1,100 (2 units), 1,000 elsewhere"
    finance = Finance(value={"sales": {"north": 2.0, "south": 3.0}})
    priced = resolve(finance, {"pride": 0, "sales": 1}, ["south", "north"], draws=100, seed=1)
    assert priced[0].weights.tolist() == [3.0, 2.0]


def test_money_of_waves():
    assert discount_factors(3, 0.25).tolist() == [0.8, 0.64, 0.512]
    assert discount_factors(3, 0.25, "start").tolist() == [1.0, 0.8, 0.64]
    assert terminal_value(np.array([10.0]), 0.5, 0.0).tolist() == [10.0]
    assert "(1 + discount)^(t - 1)" in formula_of(Terms(timing="start"))
    assert prob_loss([-1.0, 0.0, 1.0, 2.0]) == 0.25
    finance = Finance(value={"sales": 50.0}, discount=0.25)
    priced = resolve(finance, {"sales": 0}, None, draws=1, seed=1)
    spent = np.array([100.0, 0.0])
    money = money_of_flows("coaching", [np.array([[2.0, 2.0]])], spent, priced, Terms(finance.discount))
    assert (money.benefit.tolist(), money.cost, money.npv.tolist()) == ([144.0], 80.0, [64.0])


def test_rules_and_costs_of_interventions():
    assert read_rule({"kind": "below", "on": "pride", "level": 3}) == Below(on="pride", level=3.0)
    levels = np.array([3.0, 1.0, np.nan, 2.0, 4.0])
    assert covered_by(Lowest(on="pride", share=0.5), levels).tolist() == [False, True, False, True, False]
    visits = Intervention(name="visits", shift={"pride": 0.1}, cost=5.0, start=2, running_per_unit=1.0, hold=1)
    assert {block: money.tolist() for block, money in spending(visits, 4, covered=10).items()} == {
        "one-off": [0.0, 5.0, 0.0, 0.0],
        "running per unit": [0.0, 10.0, 10.0, 0.0],
    }


def test_normal_levels():
    both = JointLevels(np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    left = conditioned(both, [0], np.array([2.0]))
    assert (left.mean.tolist(), left.covariance[0, 1, 1].item()) == ([[2.0, 1.0]], 0.75)
    assert mixture_quantiles(np.zeros((1, 1)), np.ones((1, 1)), (0.975,)).round(2).tolist() == [[1.96]]
