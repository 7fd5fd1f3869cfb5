"""A budget spent: against enumeration, against the simulation of the whole plan, and what is refused."""

from itertools import combinations

import numpy as np
import pytest

import roxmodel as rox
from roxmodel import DocumentError, RoxError, SimulationError
from roxmodel.simulation.budget.worth import promise_of

VALUE = {"revenue": 1_000.0}
ASKED = {"horizon": 4, "draws": 400, "seed": 1, "value": VALUE, "discount": 0.02}
CLOSE = 2e-3  # of the value: the gap at which the search among plans that share their effect stops, and more


@pytest.fixture(scope="module")
def fit():
    world = rox.datasets.make_world(60, seed=5, employees=(5, 15), scale="continuous")
    return rox.fit(world.model, world.study())


@pytest.fixture(scope="module")
def capped():
    world = rox.datasets.make_world(60, seed=5, employees=(5, 15))
    return rox.fit(world.model, world.study())


def action(name, construct, points, cost, **more):
    return rox.Intervention(name=name, shift={construct: points}, cost=cost, **more)


def candidates():
    return [
        action("a", "pride", 0.2, 200_000.0),
        action("b", "pride", 0.1, 60_000.0),
        action("c", "behaviours", 0.1, 300_000.0),
        action("d", "value", 0.05, 250_000.0, start=2),
        action("e", "value", 0.02, 400_000.0),
        action("f", "influencers", 0.3, 150_000.0, ramp=1),
        action("g", "loyalty", 0.05, 100_000.0),
        action("h", "influencers", 0.02, 150_000.0),
    ]


def plans(names):
    for count in range(len(names) + 1):
        yield from combinations(names, count)


@pytest.mark.slow
@pytest.mark.parametrize("shrink", [True, False])
@pytest.mark.parametrize("budget", [0, 100_000, 400_000, 650_000, 5_000_000])
def test_no_plan_is_better(fit, budget, shrink):
    plan = rox.optimize(fit, candidates(), budget=budget, shrink=shrink, **ASKED)
    table = plan.table().set_index("intervention")
    affordable = [p for p in plans(list(table.index)) if table.loc[list(p), "cost"].sum() <= budget]
    best = max(table.loc[list(p), "npv"].sum() for p in affordable)
    assert table.loc[plan.chosen, "npv"].sum() == pytest.approx(best, rel=1e-9, abs=1e-6)
    assert plan.spent <= budget
    assert plan.choice.proven
    assert plan.promised["mean"] == pytest.approx(best, rel=1e-6, abs=1e-6)


@pytest.mark.slow
def test_without_shrinking_the_promise_is_the_simulation(capped):
    plan = rox.optimize(capped, candidates(), budget=700_000, shrink=False, **ASKED)
    np.testing.assert_allclose(plan.draws, plan.run().money[-1].npv, rtol=1e-9)
    assert plan.promised["mean"] == pytest.approx(plan.run().rox().iloc[-1]["npv"], rel=1e-9)
    # npv_plain is what `simulate` gives; the choice values capped options over levels of its own
    assert plan.table()["npv"].tolist() == pytest.approx(plan.table()["npv_plain"].tolist(), rel=2e-3)


def test_with_shrinking_the_promise_is_the_simulation_of_the_shrunken_graph(fit):
    plan = rox.optimize(fit, candidates(), budget=700_000, **ASKED)
    table = plan.shrinkage()
    assert [f"{c} -> {e}" for c, e in zip(table["cause"], table["effect"], strict=True)] == [
        f"{c} -> {e}" for c, e in zip(fit.edges()["cause"], fit.edges()["effect"], strict=True)
    ]
    total = np.linalg.inv(np.eye(7) - plan.worth.shrunken.system.coefficients)
    names = fit.model.names
    flows = np.zeros((400, 4))
    for one in plan.interventions:
        for name, points in one.shift.items():
            share = np.clip((np.arange(1, 5) - one.start + 1) / (one.ramp + 1), 0, 1)
            flows += total[:, names.index("revenue"), names.index(name), None] * points * share * 60 * 1_000.0
    factor = 1.02 ** -np.arange(1.0, 5)
    cost = sum(one.cost * factor[one.start - 1] for one in plan.interventions)
    np.testing.assert_allclose(plan.draws, flows @ factor - cost, rtol=1e-9)
    assert (rox.optimize(fit, candidates(), budget=700_000, shrink=False, **ASKED).shrinkage()).empty


def big():
    """Actions that together push far beyond the end of the scale."""
    return [
        action("a", "value", 0.9, 2e6),
        action("b", "value", 0.8, 1.5e6),
        action("c", "value", 0.7, 1.8e6),
        action("d", "behaviours", 1.0, 1e6),
        action("e", "behaviours", 0.9, 2e6),
        action("f", "pride", 1.2, 0.8e6, ramp=1),
        action("g", "pride", 1.0, 0.5e6, start=2),
        action("h", "loyalty", 0.8, 3e6),
        rox.Intervention(name="i", scale={"value": 1.1}, cost=1e6, units=rox.Lowest(on="value", share=0.5)),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("budget", [3e6, 6e6, 20e6])
def test_where_scales_end_no_plan_simulated_as_a_whole_is_better(capped, budget):
    plan = rox.optimize(capped, big(), budget=budget, shrink=False, **ASKED)
    assert any("share their effect" in note for note in plan.notes) == (budget > 3e6)
    costs = {one.name: one.cost for one in big()}
    affordable = [p for p in plans(list(costs)) if sum(costs[name] for name in p) <= budget]
    values = [promise_of(plan.options, plan.worth, [list(costs).index(n) for n in p], 64).mean() for p in affordable]
    mine = promise_of(plan.options, plan.worth, plan.choice.options.tolist(), 64).mean()
    assert mine >= max(values) - 0.01 * abs(max(values))  # 64 draws here, the estimate there
    frontier = plan.frontier([1e6, 3e6, 6e6, 20e6])
    assert (np.diff(frontier["npv"]) >= -CLOSE * frontier["npv"].max()).all()
    assert (frontier["spent"] <= frontier["budget"] * (1 + 1e-9)).all()


def test_other_objectives_are_best_at_what_they_aim_at(fit):
    plans_ = {
        aim: rox.optimize(fit, candidates(), budget=600_000, objective=aim, level=0.2, **ASKED)
        for aim in ("mean", "cvar", "probability")
    }
    for aim, column in (("mean", "mean"), ("cvar", "cvar"), ("probability", "prob_positive")):
        values = {name: plan.evaluate(plan.chosen)[column] for name, plan in plans_.items()}
        assert values[aim] >= max(values.values()) - 1e-9 * abs(max(values.values()))
        every = [
            plans_[aim].evaluate(p)
            for p in plans("abcdefgh")
            if sum(one.cost for one in candidates() if one.name in p) <= 600_000
        ]
        assert values[aim] >= max(one[column] for one in every) - 1e-6 * abs(values[aim])


def test_the_users_own_plan_is_never_beaten_by_the_answer(capped):
    own = ["a", "g", "h"]
    plan = rox.optimize(capped, candidates(), budget=700_000, own=own, **ASKED)
    mine = plan.evaluate(own)
    assert mine["feasible"]
    assert plan.promised["mean"] >= mine["mean"]
    dear = rox.optimize(capped, candidates(), budget=100_000, own=own, **ASKED)
    assert any("Your own plan cannot be done" in note for note in dear.notes)


def test_ways_of_the_users_own_plan_are_looked_for(fit):
    late = candidates()[0].replace(starts=(1, 2))
    plan = rox.optimize(fit, [late], budget=1e9, wave_budget={1: 0}, own=(n for n in ["a"]), **ASKED)
    assert plan.own == ("a",)
    assert not any("cannot be done" in note for note in plan.notes)
    assert plan.interventions[0].start == 2
    with pytest.raises(SimulationError, match="own= was"):
        rox.optimize(fit, [late], budget=1e9, own={"a": 2}, **ASKED)


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("method", ["path", "linked"])
def test_settings_that_cut_what_others_bring_are_valued_as_a_whole(method):
    world = rox.datasets.make_world(40, seed=1)
    fit = rox.fit(world.model, world.study(), method=method)
    given = [
        action("n0", "pride", 1.113, 0.0),
        rox.Intervention(name="n1", set={"behaviours": 4.194}, cost=1e5, start=2, fade=0.2, running=1e4),
        rox.Intervention(name="n2", set={"pride": 3.877}, cost=1e4, start=2, fade=0.2),
        rox.Intervention(name="n3", scale={"influencers": 1.2}, cost=1e4),
    ]
    asked = {"horizon": 4, "draws": 300, "seed": 143, "value": VALUE, "discount": 0.1}
    plan = rox.optimize(fit, given, budget=2.5e5, shrink=False, **asked)
    values = {p: plan.evaluate(p) for p in plans(["n0", "n1", "n2", "n3"])}
    best = max(one["mean"] for one in values.values() if one["feasible"])
    assert plan.promised["mean"] >= best - 0.02 * abs(best)  # chosen at the estimate, judged by draws
    assert not any("no plan is more than" in note for note in plan.notes)
    assert any("No cost was given for 'n0'" in note for note in plan.notes)


def test_conditions_are_kept(fit):
    given = candidates()
    given[0] = given[0].replace(excludes="f")
    given[1] = given[1].replace(requires=("h",))
    given[4] = given[4].replace(must=True)
    plan = rox.optimize(fit, given, budget=1_200_000, least={"loyalty": 100_000, "value_drivers": 500_000}, **ASKED)
    assert "e" in plan.chosen
    assert not {"a", "f"} <= set(plan.chosen)
    assert "b" not in plan.chosen or "h" in plan.chosen
    assert {"g", "d"} <= set(plan.chosen)
    table = plan.table().set_index("intervention")
    assert table.loc[~table["chosen"], "why"].str.len().min() > 0
    assert table.loc[table["chosen"], "why"].eq("").all()
    assert plan.evaluate(["a", "f"])["problems"]


def test_waves_have_budgets_of_their_own(fit):
    by_wave = rox.optimize(fit, candidates(), budget=[250_000, 250_000, 0, 0], **ASKED)
    money = by_wave.problem.cost[by_wave.choice.options].sum(axis=0)
    assert (money <= [250_000, 250_000, 0, 0]).all()
    assert money[1] == 250_000  # 'd' starts there
    other = rox.optimize(fit, candidates(), budget=1e9, wave_budget={1: 250_000, 3: 0}, **ASKED)
    assert sorted(other.chosen) == sorted(by_wave.chosen)


def test_doses_and_starts_are_chosen(fit):
    one = action("a", "pride", 0.3, 300_000.0, doses=(0.25, 0.5, 1.0), half_dose=0.2, starts=(1, 2, 4))
    plan = rox.optimize(fit, [one], budget=1e9, **ASKED)
    assert len(plan.options) == 9
    ways = [
        rox.optimize(fit, [one.replace(doses=None, starts=None, dose=d, start=s, must=True)], budget=1e9, **ASKED)
        for d in (0.25, 0.5, 1.0)
        for s in (1, 2, 4)
    ]
    best = max(ways, key=lambda way: way.promised["mean"])
    assert (plan.interventions[0].dose, plan.interventions[0].start) == (
        best.interventions[0].dose, best.interventions[0].start,
    )  # fmt: skip
    assert plan.evaluate({"a": (0.25, 4)})["spent"] == pytest.approx(75_000)
    assert plan.evaluate({"a": 2})["feasible"]
    with pytest.raises(SimulationError, match=r"does 'a' as 3, which is no way to do it.*dose 0\.25 from wave 1"):
        plan.evaluate({"a": 3})


def test_a_later_action_may_wait_for_what_it_needs(fit):
    first = action("first", "influencers", 0.3, 100_000.0, starts=(2, 3))
    then = action("then", "pride", 0.3, 100_000.0, starts=(1, 2, 3), requires="first")
    plan = rox.optimize(fit, [first, then], budget=1e9, **ASKED)
    started = {one.name: one.start for one in plan.interventions}
    assert started == {"first": 2, "then": 2}


@pytest.mark.slow
def test_what_is_binding_and_what_is_left(fit):
    plan = rox.optimize(fit, candidates(), budget=400_000, **ASKED)
    assert any("budget of 400,000" in line or "400,000" in line for line in plan.binding())
    free = rox.optimize(fit, candidates(), budget=50_000_000, **ASKED)
    assert free.binding() == ()
    assert "unspent" in free.summary()
    stable = plan.stability(100)
    assert stable.between(0, 1).all()
    assert (plan.stability(100) == stable).all()
    assert stable[plan.chosen].mean() > 0.4


def test_equal_seeds_give_equal_plans_and_the_draws_of_simulate(fit):
    one, two = (rox.optimize(fit, candidates(), budget=500_000, **ASKED) for _ in range(2))
    assert one.chosen == two.chosen
    assert (one.draws == two.draws).all()
    run = rox.simulate(fit, candidates()[:1], **ASKED)
    plain = rox.optimize(fit, candidates(), budget=500_000, shrink=False, **ASKED)
    np.testing.assert_allclose(plain.worth.worth.benefit[:, 0], run.money[0].benefit, rtol=1e-9)


def test_order_and_currency_do_not_matter(fit):
    plan = rox.optimize(fit, candidates(), budget=600_000, **ASKED)
    turned = rox.optimize(fit, candidates()[::-1], budget=600_000, **ASKED)
    assert set(turned.chosen) == set(plan.chosen)
    cents = [one.replace(cost=one.cost * 100) for one in candidates()]
    small = rox.optimize(fit, cents, budget=60_000_000, **{**ASKED, "value": {"revenue": 100_000.0}})
    assert small.chosen == plan.chosen
    assert small.promised["mean"] == pytest.approx(100 * plan.promised["mean"], rel=1e-9)


def test_a_plan_is_written_and_read_beside_its_model(fit, tmp_path):
    plan = rox.optimize(fit, candidates(), budget=600_000, **ASKED)
    again = rox.load_plan(plan.save(tmp_path / "plan.json"), fit)
    assert [one.name for one in again.interventions] == plan.chosen
    assert again.promised["mean"] == plan.promised["mean"]
    run = rox.simulate(fit, again.interventions, horizon=again.horizon, draws=400, seed=1, finance=again.finance)
    assert run.rox().iloc[-1]["npv"] == plan.run().rox().iloc[-1]["npv"]
    other = fit.model.replace(name="other")
    frames = rox.datasets.make_world(30, seed=1, scale="continuous")
    study = rox.Study(other, employee=frames.employee, customer=frames.customer, unit=frames.unit, by="branch")
    with pytest.raises(SimulationError, match=r"made with another model \('branches'\).*'other'"):
        rox.load_plan(tmp_path / "plan.json", rox.fit(other, study, method="path"))
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    with pytest.raises(DocumentError):
        rox.load_plan(tmp_path / "plan.json", fit)
    with pytest.raises(DocumentError, match="cannot be read"):
        rox.load_plan(tmp_path / "none.json", fit)


@pytest.mark.slow
def test_words_and_pictures(fit):
    plan = rox.optimize(fit, candidates(), budget=600_000, **ASKED)
    words = plan.summary()
    assert "of 8 actions for" in words
    assert "Promised net value" in words
    assert "shrunk" in words
    assert "this is roxmodel's definition" in words
    assert "<table" in plan._repr_html_()
    assert repr(plan).startswith("<Plan of ")
    for kind in ("plan", "frontier", "chance"):
        assert plan.plot(kind) is not None
    with pytest.raises(SimulationError, match="plot"):
        plan.plot("pie")
    nothing = rox.optimize(fit, candidates(), budget=0, **ASKED)
    assert nothing.chosen == []
    assert "Nothing of 8 actions" in nothing.summary()
    assert nothing.promised.tolist() == [0.0, 0.0, 0.0, 1.0]
    with pytest.raises(SimulationError, match="does nothing"):
        nothing.plot()


BAD = {
    "no money": ({"value": None}, "no value= was given"),
    "no outcome": ({"value": {"pride": 1.0}}, "which is no outcome"),
    "budget": ({"budget": -1}, r"budget was -1\. Allowed"),
    "budget nan": ({"budget": float("nan")}, "budget was nan"),
    "budget text": ({"budget": "much"}, "budget= was 'much'"),
    "budget none": ({"budget": None}, "budget= was None"),
    "budget waves": ({"budget": [1.0, 2.0]}, "2 amounts for 4 waves"),
    "budget wave": ({"budget": {9: 1.0}}, "names the wave 9"),
    "both by wave": ({"budget": {1: 1.0}, "wave_budget": {1: 1.0}}, "both give amounts by wave"),
    "objective": ({"objective": "median"}, "objective= was 'median'"),
    "level": ({"objective": "cvar", "level": 0}, "level= was 0"),
    "horizon": ({"horizon": 0}, "horizon= was 0"),
    "discount": ({"discount": -1}, "discount= was -1"),
    "least": ({"least": {"prid": 1.0}}, r"least= names 'prid'.*Did you mean 'pride'"),
    "own": ({"own": ["z"]}, "own= names 'z'"),
    "own text": ({"own": "a"}, "own= was 'a'"),
    "seed": ({"seed": -1}, "seed= was -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_questions_that_cannot_be_asked_are_named(fit, case):
    more, message = BAD[case]
    with pytest.raises(RoxError, match=message):
        rox.optimize(fit, candidates(), **{"budget": 1e5, **ASKED, **more})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "No intervention was given"),
        ("coaching", "candidates= was 'coaching'"),
        ([1], "holds a int"),
        ([action("a", "pride", 0.1, 1.0), action("a", "pride", 0.2, 1.0)], "Two interventions are named 'a'"),
        ([action("a", "prid", 0.1, 1.0)], "Did you mean 'pride'"),
        ([action("a", "pride", 0.1, 1.0, requires="b")], "requires 'b', which is no candidate"),
        ([action("a", "pride", 0.1, 1.0, starts=(1, 9))], "starts in wave 9, after the horizon of 4"),
    ],
)
def test_candidates_that_cannot_be_chosen_from_are_named(fit, given, message):
    with pytest.raises(RoxError, match=message):
        rox.optimize(fit, given, budget=1e5, **ASKED)


def test_conditions_that_conflict_are_named(fit):
    given = [one.replace(must=True) for one in candidates()[:2]]
    with pytest.raises(SimulationError, match=r"'a'") as error:
        rox.optimize(fit, [*given, *candidates()[2:]], budget=210_000, **ASKED)
    assert "'b'" in str(error.value)
    assert "210,000" in str(error.value)
    contrary = [
        rox.Intervention(name="up", set={"pride": 4.0}, must=True),
        rox.Intervention(name="down", set={"pride": 3.0}, must=True),
    ]
    with pytest.raises(SimulationError, match=r"'up'.*'down'|'down'.*'up'"):
        rox.optimize(fit, contrary, budget=1e6, **ASKED)
