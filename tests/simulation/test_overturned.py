"""How strong an unmeasured cause overturns money: against the run itself with every edge adjusted by hand."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.result.confounding import route_of
from roxmodel.result.levels import joint_of
from roxmodel.simulation.overturned import Overturned, overturned_line

SEARCHED = 2e-6  # step of the search
WORTH = {"revenue": 1_000.0}
COACHING = rox.Intervention(name="coaching", shift={"pride": 0.05}, cost=4_000.0)
TOOLS = rox.Intervention(name="tools", shift={"value": 0.02}, cost=8_000.0, start=2)


@pytest.fixture(scope="module", params=["path", "linked"])
def fit(request):
    world = rox.datasets.make_world(60, seed=4)
    return rox.fit(world.model, world.study(), method=request.param)


def asked(fit, actions, **options):
    return rox.simulate(fit, actions, horizon=4, draws=300, seed=1, value=WORTH, **options)


def way(fit, levers):
    """Touched constructs, causes before effects, by the edges of the demo world."""
    order = ["influencers", "pride", "behaviours", "value", "loyalty", "revenue"]
    return [name for name in order if order.index(name) >= min(map(order.index, levers))]


def adjusted(run, share, levers, system):
    """(patterns, draws) benefit of the same run, the edges on the way as they are with U held constant."""
    fit, names = run.fit, run.fit.model.names
    theta = fit.theta[None] if len(system.coefficients) == 1 else fit.answer_draws(len(system.coefficients), 1)
    touched = way(fit, levers)
    causes = {name: fit.model.causes(name) for name in touched}
    route, rows = route_of(causes, touched, names, joint_of(fit, theta, 1).covariance), []
    for signs in product((1.0, -1.0), repeat=len(touched) - 1):
        coefficients = system.coefficients.copy()
        slopes = route.slopes(np.full((1, len(touched)), share), np.array([[1.0, *signs]]))
        for place, (one, own) in enumerate(zip(route.touched, slopes, strict=True)):
            for k, parent in enumerate(one.parents):
                scaled = own[:, k] * route.sd[:, place] / route.sd[:, parent]
                coefficients[:, names.index(one.name), names.index(touched[parent])] = scaled
        impossible = np.isnan(coefficients).any(axis=(1, 2))
        whole = replace(system, coefficients=np.where(impossible[:, None, None], 0.0, coefficients))
        question = replace(run.question, system=whole, doubt=None)
        course = question.course(run.actions, question.ground(run.actions))
        benefit = question.money("total", course, run.actions).benefit
        rows.append(np.where(impossible, np.nan if len(theta) == 1 else -np.inf, benefit))
    return np.array(rows)


@pytest.mark.parametrize("actions", [[COACHING], [COACHING, TOOLS]])
def test_a_run_with_such_a_cause_held_constant_brings_nothing(fit, actions):
    run = asked(fit, actions)
    found, levers = run.overturned, [name for one in actions for name in one.shift]
    before, cost = float(run.rox()["benefit"].iloc[-1]), float(run.rox()["cost"].iloc[-1])
    at = fit.system(marker=True)
    least = adjusted(run, found.benefit, levers, at)
    assert np.nanmin(least) == pytest.approx(0.0, abs=1e-3 * before)
    share = np.nanmin(adjusted(run, found.npv, levers, at)) / adjusted(run, 0.0, levers, at)[0, 0]
    assert share == pytest.approx(cost / before, rel=1e-3)  # the mean of the draws falls as the estimate does
    worst = int(np.nanargmin(adjusted(run, found.interval, levers, at)))
    low = np.quantile(adjusted(run, found.interval, levers, run.question.system)[worst], 0.025)
    assert found.interval == 0 or abs(low) < 0.03 * before
    assert found.interval <= found.npv <= found.benefit


def test_of_one_lever_it_is_that_of_the_total_effect(fit):
    total = fit.sensitivity("pride", "revenue").query("kind == 'total'")["robustness_value"]
    assert asked(fit, [COACHING]).overturned.benefit == pytest.approx(total.iloc[0], abs=SEARCHED)
    points = rox.where_to_act(fit, "revenue", value=WORTH, seed=1, draws=200).overturned
    assert points["pride"] == pytest.approx(total.iloc[0], abs=SEARCHED)
    assert set(points) == {"influencers", "pride", "behaviours", "value", "loyalty"}


def test_a_loaded_fit_says_the_same(fit, tmp_path):
    again = rox.load(fit.save(tmp_path / "m.rox.json"))
    assert asked(again, [COACHING]).overturned.benefit == pytest.approx(asked(fit, [COACHING]).overturned.benefit)


def test_every_answer_in_money_says_it_in_its_first_part(fit):
    run = asked(fit, [COACHING])
    plan = rox.optimize(fit, [COACHING, TOOLS], budget=15_000.0, value=WORTH, horizon=4, draws=300, seed=1)
    priorities = rox.where_to_act(fit, "revenue", value=WORTH, seed=1, draws=200)
    for answer in (run, plan, priorities):
        lines = [line for line in answer.story().sentences if "unmeasured cause" in line]
        assert len(lines) == 1
        assert answer.summary().index(lines[0]) < answer.summary().index("Small print")
    assert plan.overturned.benefit > 0
    assert not [line for line in rox.simulate(fit, [COACHING], seed=1).story().sentences if "unmeasured" in line]
    assert not rox.where_to_act(fit, "revenue", seed=1, draws=200).overturned


def test_the_line_says_what_is_known():
    whole = overturned_line(Overturned(0.2, 0.1, 0.15), "the benefit")
    assert "20%" in whole
    assert "15%: the net value" in whole
    assert "10%: the nearer end" in whole
    assert "holds 0 without any" in overturned_line(Overturned(0.2, 0.0), "the benefit")
    assert overturned_line(Overturned(0.2), "the benefit").endswith("to 0.")
    assert overturned_line(Overturned(reason="x is y"), "the benefit").endswith("is not known: x is y.")


def test_where_it_is_not_known_it_says_why():
    names = ["a", "b"]
    own = [rox.Construct(name=n, factor="outcomes", source="unit", items=[n]) for n in names]
    rng = np.random.default_rng(0)
    rows = {"a": rng.normal(size=50), "b": rng.normal(size=50)}
    for edges, word in (
        ([rox.Edge(cause="a", effect="b", lag=1, fixed=0.5)], "no edge leads"),
        ([rox.Edge(cause="a", effect="b", fixed=0.5)], "given, not estimated"),
        (["a -> b", rox.Edge(cause="a", effect="b", lag=1, fixed=0.5)], "edges reach over waves"),
    ):
        fit = rox.fit(rox.RoxModel(name="m", constructs=own, edges=edges), rows, method="path")
        run = rox.simulate(fit, [rox.Intervention(name="i", shift={"a": 1.0})], value={"b": 1.0}, n_units=5, seed=1)
        assert word in run.overturned.reason
        assert run.overturned.reason in run.summary()


def test_without_prices_there_is_nothing_to_overturn(fit):
    with pytest.raises(rox.SimulationError, match="no money"):
        _ = rox.simulate(fit, [COACHING], seed=1).overturned
