"""A doubt of the fit is said at every later door, carried by every answer, and stops a budget."""

import warnings
from dataclasses import replace

import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.simulation.question import used_edges

VALUE = {"revenue": 100.0}
COACHING = rox.Intervention(name="coaching", shift={"pride": 0.2}, cost=1e4)
SERVICE = rox.Intervention(name="service", shift={"value": 0.2}, cost=1e4)
COLLINEAR = Doubt(
    "collinear", "doubtful", "pride and influencers tell the same.", ("pride", "influencers"), "Merge them.",
    edges=("pride -> behaviours", "influencers -> behaviours"),
)  # fmt: skip
BOOKS = Doubt("books", "unusable", "A row of the books is a total.", ("Total",), "Take it out.")


@pytest.fixture(scope="module")
def clean():
    world = rox.datasets.make_world(40, seed=11)
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def collinear(clean):
    return replace(clean, findings=(*clean.findings, COLLINEAR))


@pytest.fixture(scope="module")
def total(clean):
    return replace(clean, findings=(*clean.findings, BOOKS))


def unit(fit):
    return fit.population.units[3]


DOORS = {
    "simulate": lambda fit, **more: rox.simulate(fit, [COACHING], horizon=3, draws=50, seed=1, value=VALUE, **more),
    "where_to_act": lambda fit, **more: rox.where_to_act(fit, "revenue", draws=50, seed=1, value=VALUE, **more),
    "counterfactual": lambda fit, **more: rox.counterfactual(fit, unit(fit), shift={"pride": 0.1}, draws=50, **more),
    "forecast": lambda fit, **more: rox.forecast(fit, {"pride": 3.8}, draws=50, seed=1, **more),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_every_door_says_the_doubt_once_first_and_keeps_it(door, collinear):
    with pytest.warns(RoxWarning, match="pride and influencers tell the same") as caught:
        answer = door(collinear)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert answer.doubts == (COLLINEAR,)
    first = answer.summary().splitlines()[0]
    assert first.startswith("DOUBTFUL (collinear): pride and influencers")
    page = answer._repr_html_()
    assert page.startswith("<p><strong>DOUBTFUL (collinear)")


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_who_knows_is_not_told_again_but_reads_it_first(door, collinear):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = door(collinear, doubtful=True)
    assert answer.doubts == (COLLINEAR,)
    assert answer.summary().startswith("DOUBTFUL")
    with pytest.raises(SimulationError, match="doubtful= was 'yes'"):
        door(collinear, doubtful="yes")


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_clean_fit_is_silent_and_a_note_is_no_doubt(door, clean):
    noted = replace(clean, findings=(*clean.findings, Doubt("few_units", "note", "Only 15 units.", (), "More.")))
    for fit in (clean, noted):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = door(fit)
        assert answer.doubts == ()
        assert "DOUBTFUL" not in answer.summary()


def test_a_doubt_of_edges_elsewhere_is_no_doubt_of_the_answer(collinear):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = rox.simulate(collinear, [SERVICE], horizon=2, draws=50, seed=1, value=VALUE)
        plan = rox.optimize(collinear, [SERVICE], budget=1e5, horizon=2, draws=50, seed=1, value=VALUE)
    assert run.doubts == () == plan.doubts


def test_a_doubt_of_a_row_touches_every_answer(total):
    with pytest.warns(RoxWarning, match=r"books \(unusable\)"):
        run = rox.simulate(total, [SERVICE], horizon=2, draws=50, seed=1)
    assert run.doubts == (BOOKS,)
    assert run.summary().startswith("UNUSABLE (books)")


def test_no_budget_is_spent_on_doubt_without_a_word(collinear, total):
    ask = {"budget": 1e5, "horizon": 2, "draws": 50, "seed": 1, "value": VALUE}
    with pytest.raises(
        SimulationError, match=r"doubtful where .*pride -> behaviours.*collinear: pride and influencers"
    ):
        rox.optimize(collinear, [COACHING, SERVICE], **ask)
    both = replace(collinear, findings=(BOOKS, COLLINEAR))
    with pytest.raises(SimulationError, match=r"books: A row.*And 1 more: collinear \(pride, influencers\)\."):
        rox.optimize(both, [COACHING], **ask)
    with pytest.raises(SimulationError, match=r"unusable.*books.*total"):
        rox.optimize(total, [SERVICE], **ask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = rox.optimize(collinear, [COACHING.replace(cost=1.0)], **ask, doubtful=True)
        run = plan.run()
    assert plan.doubts == (COLLINEAR,)
    assert plan.summary().startswith("DOUBTFUL (collinear)")
    assert run.doubts == (COLLINEAR,)


def test_unconverged_speaks_of_convergence_alone(clean):
    lost = Doubt("converged", "unusable", "Not converged: 200 steps.", (), "Fit again.")
    verdict = replace(clean.verdicts["converged"], ok=False, reason="200 steps")
    fit = replace(clean, verdicts={**clean.verdicts, "converged": verdict}, findings=(lost,))
    ask = {"horizon": 2, "draws": 50, "seed": 1, "value": VALUE}
    with pytest.raises(SimulationError, match="did not converge"):
        rox.simulate(fit, [COACHING], doubtful=True, **ask)
    with pytest.raises(SimulationError, match="did not converge"):
        rox.optimize(fit, [COACHING], budget=1e5, doubtful=True, **ask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = rox.simulate(fit, [COACHING], unconverged=True, **ask)
        plan = rox.optimize(fit, [COACHING], budget=1e5, unconverged=True, **ask)
    assert run.doubts == (lost,) == plan.doubts
    both = replace(fit, findings=(lost, COLLINEAR))
    with pytest.warns(RoxWarning, match="collinear") as caught:
        rox.simulate(both, [COACHING], unconverged=True, **ask)
    assert "200 steps" not in str(caught[0].message)
    with pytest.raises(SimulationError, match="collinear"):
        rox.optimize(both, [COACHING], budget=1e5, unconverged=True, **ask)


def test_used_edges_are_those_between_what_is_acted_on_and_what_is_answered():
    model = rox.five_factor(
        {"pride": ["p"], "value_drivers": {"v": ["v1"], "w": ["w1"]}, "outcomes": {"y": ["y1"], "z": ["z1"]}},
        edges=["pride -> v + w", "v -> y", "w -> z"], sources={"y": "unit", "z": "unit"},
    )  # fmt: skip
    assert used_edges(model, ["pride"], ["y"]) == {"pride -> v", "v -> y"}
    assert used_edges(model, ["v"]) == {"v -> y"}
    assert used_edges(model, ["pride"]) == {"pride -> v", "pride -> w", "v -> y", "w -> z"}


def test_doubts_find_their_edges_by_construct_item_and_parameter(clean):
    def on(used, **named):
        one = Doubt("x", "doubtful", "f", named.get("culprits", ()), "r", edges=named.get("edges", ()))
        return bool(replace(clean, findings=(one,)).doubts_on(used))

    assert on(["pride -> behaviours"], culprits=("pride",))
    assert not on(["value -> loyalty"], culprits=("pride",))
    assert on(["pride -> behaviours"], culprits=("pri1",))
    assert on(["pride -> behaviours"], culprits=("edge:pride->behaviours",))
    assert not on(["value -> loyalty"], culprits=("edge:pride->behaviours",))
    assert on(["value -> loyalty"], culprits=("some column",))
    assert on(["pride -> behaviours"], edges=("pride -> revenue",))  # an absent arrow: all edges of its ends
    assert not on(["value -> loyalty"], edges=("pride -> revenue",), culprits=("value",))


def test_the_probability_of_nothing_is_promised(clean):
    ask = {"budget": 1e5, "horizon": 2, "draws": 400, "seed": 1, "value": VALUE}
    for shrink in (True, False):
        plan = rox.optimize(clean, [COACHING], shrink=shrink, **ask, own=["coaching"])
        assert plan.promised.index.tolist() == ["mean", "low", "high", "prob_nothing"]
        benefit = plan.draws + plan.worth.worth.cost[plan.choice.options].sum()
        assert plan.promised["prob_nothing"] == (benefit <= 0).mean()
        if not shrink:
            run = rox.simulate(clean, [COACHING], horizon=2, draws=400, seed=1, value=VALUE)
            assert plan.promised["prob_nothing"] == (run.money[-1].benefit <= 0).mean()
