"""One question has one answer behind every door; where the draws and the estimate differ, that is said first."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt
from roxmodel.errors import SimulationError
from roxmodel.simulation.question import OverDraws

VALUE = {"revenue": 1000.0}
FACTORS = {"x": "value_drivers", "y": "outcomes"}
LOST = Doubt(
    "no_information", "unusable", "Pride does not differ between units.", ("pride",), "Ask more people.",
    edges=("pride -> behaviours",),
)  # fmt: skip
COACHING = rox.Intervention(name="coaching", shift={"pride": 0.2}, cost=1e4)
SERVICE = rox.Intervention(name="service", shift={"value": 0.2}, cost=1e4)


@pytest.fixture(scope="module", params=["path", "linked"])
def fit(request):
    world = rox.datasets.make_world(60, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rox.fit(world.model, world.study(), method=request.param)


def simulate(fit, actions, **more):
    asked = {"horizon": 3, "draws": 300, "seed": 1, "value": VALUE, "doubtful": True, **more}
    return rox.simulate(fit, actions, **asked)


def test_every_door_gives_the_answer_at_the_estimate(fit):
    total = float(fit.effects("pride", "revenue")["estimate"].iloc[-1])
    table = rox.where_to_act(fit, "revenue", draws=300, seed=1, doubtful=True).table().set_index("name")
    assert table.loc["pride", "importance"] == pytest.approx(total, rel=1e-9)
    run = simulate(fit, [rox.Intervention(name="small", shift={"pride": 1e-3})], horizon=1)
    effects = run.effects().set_index("construct")
    assert effects.loc["revenue", "estimate"] / effects.loc["pride", "estimate"] == pytest.approx(total, rel=1e-6)
    unit = rox.counterfactual(fit, fit.population.units[2], shift={"pride": 1e-3}, draws=300, seed=1, doubtful=True)
    assert unit.table().set_index("construct").loc["revenue", "estimate"] == pytest.approx(1e-3 * total, rel=1e-6)


def test_the_net_value_at_the_estimate_is_that_of_the_change_at_the_estimate(fit):
    run = simulate(fit, [COACHING, SERVICE])
    effects = run.effects().set_index("construct").loc["revenue", "estimate"]
    expected = VALUE["revenue"] * run.n_units * effects.sum() - 2e4
    assert run.rox().set_index("intervention").loc["total", "npv_estimate"] == pytest.approx(expected, rel=1e-9)


def test_a_forecast_at_the_estimate(fit):
    found = rox.forecast(fit, {"pride": 3.8}, draws=300, seed=1, doubtful=True).table().set_index("construct")
    again = replace(fit, vcov=1e-16 * np.array(fit.vcov))
    sure = rox.forecast(again, {"pride": 3.8}, draws=2, seed=1, doubtful=True).table().set_index("construct")
    assert found["estimate"].tolist() == pytest.approx(sure["mean"].tolist(), rel=1e-4)


@pytest.mark.parametrize("shrink", [True, False])
def test_plain_values_of_a_plan_are_those_of_simulate(fit, shrink):
    acts = [
        COACHING,
        rox.Intervention(name="far", shift={"value": 1.2}, cost=2e4, ramp=1, fade=0.1),  # meets the end of the scale
        rox.Intervention(name="some", shift={"pride": 0.8}, units=rox.Lowest(on="pride", share=0.25), cost=1e4),
        rox.Intervention(name="set", set={"pride": 4.4}, cost=1e4),
    ]
    ask = {"horizon": 3, "draws": 300, "seed": 1, "value": VALUE, "doubtful": True}
    plan = rox.optimize(fit, acts, budget=1e6, shrink=shrink, **ask)
    table = plan.table().set_index("intervention")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beyond what was observed
        for act in acts:
            run = rox.simulate(fit, [act], **ask)
            assert table.loc[act.name, "npv_plain"] == pytest.approx(run.rox()["npv"][0], rel=1e-9), act.name
        assert plan.plain.mean() == pytest.approx(plan.run().rox()["npv"].iloc[-1], rel=1e-9)


def test_an_unusable_fit_is_not_made_sure_by_a_prior(fit):
    books = Doubt("books", "unusable", "A row is a total.", (), "Take it out.")
    lost = replace(fit, findings=(*fit.findings, books))
    ask = {"budget": 1e6, "horizon": 3, "draws": 300, "seed": 1, "value": VALUE, "doubtful": True}
    plan = rox.optimize(lost, [COACHING, SERVICE], **ask)
    assert plan.shrinkage().empty
    run = plan.run().rox().iloc[-1]
    found = plan.promised
    assert found["mean"] == pytest.approx(run["npv"], rel=1e-9)
    assert (found["low"], found["high"]) == pytest.approx((run["npv_low"], run["npv_high"]), rel=1e-9)
    assert "Nothing was shrunk: where a fit is unusable" in plan.summary().split("\n\n")[0]


def test_what_shrinking_moves_by_more_than_its_error_is_said_first():
    rng = np.random.default_rng(3)
    n = 400
    x = rng.normal(size=n)
    frame = pd.DataFrame({"u": range(n), "x": x, "y": 1.5 * x + 0.05 * rng.normal(size=n)})  # far off any prior
    model = rox.RoxModel(
        name="m", edges=["x -> y"],
        constructs=[rox.Construct(name=n, factor=f, source="unit", items=[n]) for n, f in FACTORS.items()],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rox.fit(model, rox.Study(model, unit=frame, by="u"), method="path")
    act = rox.Intervention(name="a", shift={"x": 0.1}, cost=1.0)
    ask = {"budget": 10.0, "draws": 300, "seed": 1, "value": {"y": 1.0}, "doubtful": True}
    plan = rox.optimize(found, [act], **ask)
    (edge,) = plan.shrinkage().to_dict("records")
    first = plan.summary().split("\n\n")[0]
    assert ("Shrinking moved edges" in first) == (abs(edge["shrunken"] - edge["estimate"]) > edge["se"])


def test_spreads_tell_skew_from_noise():
    rng = np.random.default_rng(1)
    even = rng.normal(1.0, 1.0, 4000)
    skewed = rng.lognormal(0.0, 1.5, 4000)
    assert not OverDraws.of(even, np.array(1.0)).apart
    assert not OverDraws.of(rng.normal(0.0, 1.0, 50), np.array(0.05)).apart  # Monte-Carlo error
    assert OverDraws.of(skewed, np.array(1.0)).apart
    assert not OverDraws.of(1.2 * np.ones(10), np.array(1.0)).apart  # by less than a quarter
    assert OverDraws.of(even, np.array(-1.0)).turned
    assert not OverDraws.of(np.zeros(10), np.array(0.0)).apart
    assert not OverDraws.of(np.full(10, np.nan), np.array(1.0)).apart


def skewed(fit, *more):
    """The same fit with an estimate that its draws are not around."""
    run = simulate(replace(fit, findings=(*fit.findings, *more)), [COACHING])
    at = replace(run.spread, estimate=-2.0 * run.spread.mean)
    run.__dict__["spread"] = at
    return run


def test_skew_is_said_first_and_an_unusable_fit_has_no_mean(fit):
    run = skewed(fit)
    first = run.summary().split("\n\n")[0]
    assert "SKEWED: the mean over the draws is not the answer at the estimate" in first
    assert "revenue: mean" in first
    assert run.effects()["mean"].notna().all()
    lost = skewed(fit, Doubt("books", "unusable", "A row is a total.", (), "Take it out."))
    table = lost.effects().set_index("construct")
    assert table.loc["revenue", "mean"].isna().all()
    assert table.loc["revenue", ["ci_low", "ci_high", "estimate"]].notna().all().all()
    assert "no mean (at the estimate" in lost.summary()
    captions = " ".join(text.get_text() for ax in lost.plot().axes for text in ax.texts)
    assert "at the estimate, where the draws have no mean" in captions
    assert "no mean" not in " ".join(text.get_text() for ax in run.plot().axes for text in ax.texts)


def test_without_information_money_is_not_known(fit):
    lost = replace(fit, findings=(*fit.findings, LOST))
    assert lost.without_information == (("pride", "behaviours"),)
    run = simulate(lost, [COACHING, SERVICE])
    table = run.rox().set_index("intervention")
    assert (
        table.loc[["coaching", "total"], ["npv", "benefit", "prob_positive", "npv_low", "npv_high"]]
        .isna()
        .all(axis=None)
    )
    assert table.loc["service"].drop(["payback", "payback_low", "payback_high"]).notna().all()
    assert np.isnan(run.risk()["prob_loss"][0])
    effects = run.effects().set_index("construct")
    assert effects.loc[["behaviours", "value", "revenue"], ["mean", "ci_low", "estimate"]].isna().all(axis=None)
    assert effects.loc["pride", "mean"].notna().all()
    told = run.summary()
    assert "What coaching brings is not known: the data say nothing of an edge" in told
    assert "The data say nothing of 'pride -> behaviours'" in told
    with pytest.raises(SimulationError, match="no money to draw"):
        run.plot("rox")
    run.plot()
    only = simulate(lost, [SERVICE])
    assert only.doubts == () or LOST not in only.doubts
    assert only.rox()["npv"].notna().all()


def test_other_doors_without_information(fit):
    lost = replace(fit, findings=(*fit.findings, LOST))
    found = rox.where_to_act(lost, "revenue", draws=100, seed=1, value=VALUE, doubtful=True)
    table = found.table().query("kind == 'construct'").set_index("name")
    assert table.loc[["pride"], ["importance", "ci_low", "marginal"]].isna().all(axis=None)
    assert table.loc[["value", "loyalty", "behaviours"], ["importance", "marginal"]].notna().all(axis=None)
    assert "'pride'" not in found.summary().split("moves 'revenue' most")[0]
    found.plot()
    unit = rox.counterfactual(lost, fit.population.units[2], shift={"pride": 0.1}, draws=100, seed=1, doubtful=True)
    assert (
        unit.table().set_index("construct").loc[["behaviours", "revenue"], ["change", "estimate"]].isna().all(axis=None)
    )
    assert "The data say nothing of 'pride -> behaviours'" in unit.summary()
    ask = {"budget": 1e6, "draws": 100, "seed": 1, "value": VALUE}
    for more in ({}, {"doubtful": True}):
        with pytest.raises(SimulationError, match="pride -> behaviours"):
            rox.optimize(lost, [COACHING], **ask, **more)
    assert rox.optimize(lost, [SERVICE], **ask, doubtful=True).promised.notna().all()
