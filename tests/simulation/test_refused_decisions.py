"""Wrong, extreme and odd questions about decisions: each ends in one sentence naming the culprit, or is answered."""

import copy
import json
import pickle
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DocumentError, RoxError, SimulationError
from roxmodel.records import Verdict

VALUE = {"revenue": 1_000.0}
FEW = {"draws": 40, "seed": 1}
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def fit():
    world = rox.datasets.make_world(40, seed=1)
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def printed():
    model = rox.five_factor({"pride": ["pride"], "outcomes": ["sales"]})
    return rox.fit(model, rox.Moments.from_correlation(["pride", "sales"], [[1, 0.4], [0.4, 1]], n=100), method="path")


def act(name="coaching", **options):
    if not {"shift", "set", "scale"} & set(options):
        options["shift"] = {"pride": 0.3}
    return rox.Intervention(name=name, **{"cost": 1_000.0, **options})


A, B, C = act("a"), act("b", shift={"influencers": 0.1}), act("c", shift={"behaviours": 0.2})


def spend(fit, candidates=(A, B, C), **options):
    return rox.optimize(fit, list(candidates), **{"budget": 2_500.0, "value": VALUE, **FEW, **options})


@pytest.fixture(scope="module")
def found(fit):
    return spend(fit)


def refused(what, *words, error=SimulationError):
    """The sentence, which holds the words and no trace of another library."""
    with pytest.raises(error) as caught:
        what()
    said = str(caught.value)
    for word in words:
        assert word in said, said
    assert not {"pydantic", "ufunc", "Traceback", "validation error"} & set(said.split()), said
    return said


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"budget": -1}, "-1"),
        ({"budget": NAN}, "nan"),
        ({"budget": None}, "None"),
        ({"budget": "5"}, "'5'"),
        ({"budget": True}, "True"),
        ({"budget": 1 + 2j}, "(1+2j)"),
        ({"budget": []}, "0 amounts for 8 waves"),
        ({"budget": [1e5] * 7}, "7 amounts for 8 waves"),
        ({"budget": {0: 1.0}}, "wave 0"),
        ({"budget": {9: 1.0}}, "wave 9"),
        ({"budget": {"1": 1.0}}, "wave '1'"),
        ({"budget": {1: -1.0}}, "wave 1 was -1"),
        ({"budget": [NAN] * 8}, "wave 1 was nan"),
        ({"budget": [1.0] * 8, "wave_budget": [1.0] * 8}, "both"),
        ({"wave_budget": 5.0}, "wave_budget= was 5.0"),
        ({"least": {"zz": 1.0}}, "'zz'"),
        ({"least": {"a": -1.0}}, "-1"),
        ({"least": {"a": INF}}, "inf"),
        ({"least": {"a": NAN}}, "nan"),
        ({"least": "a"}, "'a'"),
        ({"own": "a"}, "'a'"),
        ({"own": ["zz"]}, "'zz'"),
        ({"own": [["a"]]}, "['a']"),
        ({"own": 5}, "5"),
        ({"objective": "median"}, "'median'"),
        ({"objective": None}, "None"),
        ({"level": 0}, "level= was 0"),
        ({"level": 1.5}, "1.5"),
        ({"level": NAN}, "nan"),
        ({"level": True}, "True"),
        ({"draws": 0}, "draws= was 0"),
        ({"draws": 1.5}, "1.5"),
        ({"horizon": 0}, "horizon= was 0"),
        ({"horizon": True}, "True"),
        ({"discount": -1}, "discount= was -1"),
        ({"discount": NAN}, "nan"),
        ({"discount": None}, "None"),
        ({"n_units": 0}, "n_units= was 0"),
        ({"n_units": 1.5}, "1.5"),
        ({"value": None}, "no value="),
        ({"value": {}}, "no value="),
        ({"value": {"pride": 1.0}}, "'pride'"),
        ({"value": {"revenu": 1.0}}, "'revenue'"),
        ({"value": {"revenue": NAN}}, "nan"),
        ({"value": {"revenue": {"B001": 1.0}}}, "39 of 40"),
        ({"value": {"revenue": {"ZZ": 1.0}}}, "'ZZ'"),
        ({"value": {1: 2.0}}, "1"),
    ],
)
def test_a_wrong_question_about_a_budget_is_refused(fit, options, word):
    refused(lambda: spend(fit, **options), word)


@pytest.mark.parametrize(
    ("candidates", "words"),
    [
        ([], ["No intervention"]),
        ([A, A], ["'a'"]),
        ([A, None], ["NoneType"]),
        ([A.replace(requires=("bb",)), B], ["'a' requires 'bb'", "'b'"]),
        ([A.replace(start=9)], ["wave 9", "horizon of 8"]),
        ([A.replace(starts=(1, 9))], ["wave 9", "horizon of 8"]),
        ([A.replace(units=("B0x1",))], ["'B0x1'"]),
        ([A.replace(must=True, cost=1e9), B], ["must-have 'a'", "budget of 1,000,000"]),
        ([A.replace(must=True, excludes=("b",)), B.replace(must=True)], ["'a' excludes 'b'", "must-have 'b'"]),
        ([A.replace(must=True, requires=("b",)), B.replace(start=2)], ["must-have 'a'", "'a' needs 'b'"]),
        (
            [A.replace(must=True, requires=("b",)), B.replace(excludes=("c",)), C.replace(must=True)],
            ["'a' needs 'b'", "'b' excludes 'c'", "must-have 'c'"],
        ),
        (
            [act("s", set={"pride": 4.5}, must=True), act("t", set={"pride": 4.0}, must=True)],
            ["'s' clashes with 't'"],
        ),
    ],
)
def test_candidates_that_cannot_go_together_are_named(fit, candidates, words):
    refused(lambda: spend(fit, candidates, budget=1e6), *words)


@pytest.mark.parametrize("least", [{"a": 1e9}, {"outcomes": 1.0}, {"a": 1_000.0, "b": 1_000.0, "c": 1_000.0}])
def test_a_minimum_that_cannot_be_spent_is_named(fit, least):
    refused(lambda: spend(fit, least=least), "at least")


def test_budgets_of_every_number_type_are_the_same_budget(fit):
    plain = spend(fit)
    for budget in (np.float64(2_500), np.int64(2_500)):
        assert np.array_equal(spend(fit, budget=budget).draws, plain.draws)
    by_wave = spend(fit, budget=[2_500.0] * 8)
    for budget in (
        np.full(8, 2_500.0),
        pd.Series([2_500.0] * 8),
        {np.int64(w): np.float64(2_500) for w in range(1, 9)},
    ):
        assert np.array_equal(spend(fit, budget=budget).draws, by_wave.draws)


def test_nothing_is_bought_where_nothing_pays_or_nothing_can_be_spent(fit):
    for plan in (
        spend(fit, budget=0),
        spend(fit, [act("dear", cost=1e9)], budget=1e12),
        spend(fit, value={"revenue": 0}),
    ):
        assert plan.chosen == []
        assert plan.spent == 0
        assert plan.promised.tolist() == [0.0, 0.0, 0.0, 1.0]
        assert "nan" not in plan.summary().lower().replace("finance", "")


def test_a_circle_of_requirements_is_taken_whole_or_not_at_all(fit):
    circle = [A.replace(requires=("b",)), B.replace(requires=("c",)), C.replace(requires=("a",))]
    assert spend(fit, circle, budget=2_500.0).chosen == []
    assert spend(fit, circle, budget=3_000.0).chosen in ([], ["a", "b", "c"])
    assert spend(fit, [A.replace(requires=("b",)), B.replace(requires=("a",), start=2)]).chosen == []


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ("a", "'a'"),
        (None, "None"),
        (5, "5"),
        (["zz"], "'zz'"),
        ([1], "1"),
        ({"a": 2}, "wave 1"),
        ({"a": (0.5, 1)}, "0.5"),
    ],
)
def test_a_plan_of_ones_own_that_does_not_exist_is_refused(found, plan, word):
    refused(lambda: found.evaluate(plan), word)


@pytest.mark.parametrize("budgets", [[-1], [NAN], ["x"], [None], [True]])
def test_a_frontier_over_no_money_is_refused(found, budgets):
    refused(lambda: found.frontier(budgets), str(budgets[0]))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"name": " "}, "name"),
        ({"name": 5}, "5"),
        ({"shift": {}}, "does nothing"),
        ({"shift": {"pride": NAN}}, "nan"),
        ({"shift": {"pride": True}}, "True"),
        ({"shift": ["pride"]}, "'shift'"),
        ({"cost": -1}, "cost -1"),
        ({"cost": INF}, "inf"),
        ({"cost": None}, "None"),
        ({"cost": "5"}, "'5'"),
        ({"running": -1}, "running cost"),
        ({"cost_per_unit": NAN}, "'cost_per_unit'"),
        ({"cost": 4, "cost_blocks": {"x": 1, "y": 2}}, "come to 3"),
        ({"cost": 1, "cost_blocks": {"running": 1}}, "'running'"),
        ({"start": 0}, "wave 0"),
        ({"start": 1.5}, "1.5"),
        ({"ramp": -1}, "-1"),
        ({"fade": 2}, "fade=2"),
        ({"hold": -1}, "-1"),
        ({"dose": 0}, "dose of 0"),
        ({"dose": 2}, "dose_range"),
        ({"dose_range": (2, 1)}, "dose_range"),
        ({"dose_range": (0, INF)}, "inf"),
        ({"half_dose": 0}, "half_dose=0"),
        ({"doses": ()}, "doses=()"),
        ({"doses": (0.5, 2.0)}, "dose of 2"),
        ({"shift": None, "set": {"pride": 4}, "dose": 0.5}, "'pride'"),
        ({"set": {"pride": 4}}, "'pride'"),
        ({"shift": None, "scale": {"pride": -1}}, "-1"),
        ({"units": {"kind": "lowst", "on": "pride"}}, "'lowst'"),
        ({"units": ()}, "no unit"),
        ({"requires": ("coaching",)}, "itself"),
        ({"requires": ("b",), "excludes": ("b",)}, "'b'"),
        ({"shfit": {}}, "'shift'"),
    ],
)
def test_an_action_that_cannot_be_done_is_refused(options, word):
    refused(lambda: rox.Intervention(**{"name": "coaching", "shift": {"pride": 0.3}, **options}), word, error=RoxError)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (act("total"), "'total'"),
        (act(shift={"prid": 1}), "'pride'"),
        (act(shift={"pride": 5}), "whole scale"),
        (act(set={"pride": 0.5}), "outside its scale"),
        (act(start=9), "horizon of 8"),
        (act(units=(NAN,)), "nan"),
        (act(units=(["B001"],)), "B001"),
        (act(units=rox.Lowest(on="prid")), "'pride'"),
        (act(units=rox.Below(on="pride", level=-100)), "none is below"),
        (act(requires="b"), "'b'"),
        ([act("s", set={"pride": 4}), act("t", set={"pride": 4})], "both set 'pride'"),
        ([act("s", set={"pride": 4}), act("t", scale={"pride": 1.1})], "set and scale 'pride'"),
        ([act(), act()], "Two interventions"),
        ([], "No intervention"),
        (None, "None"),
        ("coaching", "'coaching'"),
        ([{"name": "coaching"}], "dict"),
    ],
)
def test_actions_that_this_fit_cannot_do_are_refused(fit, given, word):
    refused(lambda: rox.simulate(fit, given, value=VALUE, **FEW), word)


@pytest.mark.parametrize("text", ["", "x", "{}", "null", "[]", "5", '{"name": "a", "shfit": {"pride": 1}}'])
def test_json_that_is_no_action_is_refused(text):
    refused(lambda: rox.Intervention.from_json(text), "Intervention", error=RoxError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rox.NormalValue(1, -1),
        lambda: rox.NormalValue(1),
        lambda: rox.UniformValue(2, 1),
        lambda: rox.TriangularValue(0, 2, 1),
        lambda: rox.LifetimeValue(1, 2),
        lambda: rox.LogValue(rox.LogValue(1)),
        lambda: rox.LifetimeValue(rox.LogValue(1), 0.5),
        lambda: rox.UnitValue({}),
        lambda: rox.UnitValue({NAN: 1}),
        lambda: rox.Finance(value={}),
        lambda: rox.Finance(value=VALUE, timing="begin"),
        lambda: rox.Finance(value=VALUE, currency=5),
        lambda: rox.Finance(value={"revenue": rox.LifetimeValue(1.0, 1.0, beyond=True)}),
        lambda: rox.Finance(value={"revenue": rox.LifetimeValue(1.0, 0.95, beyond=True)}, discount=-0.1),
        lambda: rox.Lowest(on="pride", share=0),
        lambda: rox.Highest(on="pride", share=NAN),
        lambda: rox.Below(on="pride"),
        lambda: rox.Above(on="pride", level=INF),
    ],
)
def test_prices_and_rules_out_of_range_are_refused(make):
    refused(make, error=RoxError)


@pytest.mark.parametrize(
    ("unit", "options", "word"),
    [
        ("ZZ", {"do": {"pride": 3}}, "'ZZ'"),
        (None, {"do": {"pride": 3}}, "None"),
        (["B001"], {"do": {"pride": 3}}, "B001"),
        ("B001", {}, "neither do= nor shift="),
        ("B001", {"do": {"pride": 6}}, "outside its scale"),
        ("B001", {"do": {"prid": 3}}, "'pride'"),
        ("B001", {"do": {"pride": NAN}}, "nan"),
        ("B001", {"do": [1]}, "[1]"),
        ("B001", {"shift": {"pride": 6}}, "whole scale"),
        ("B001", {"do": {"pride": 3}, "shift": {"pride": 1}}, "'pride'"),
        ("B001", {"do": {"pride": 3}, "draws": 0}, "draws= was 0"),
    ],
)
def test_a_counterfactual_of_nothing_known_is_refused(fit, unit, options, word):
    refused(lambda: rox.counterfactual(fit, unit, **{**FEW, **options}), word)


@pytest.mark.parametrize(
    ("given", "options", "word"),
    [
        ({"prid": 3}, {}, "'pride'"),
        ({"pride": 6}, {}, "outside its scale"),
        ({"pride": NAN}, {}, "nan"),
        ({"revenue": INF}, {}, "inf"),
        ("pride", {}, "'pride'"),
        ({"pride": 4}, {"unit": "B001"}, "known to stand"),
        (None, {"unit": "ZZ"}, "'ZZ'"),
        (None, {"horizon": 0}, "horizon= was 0"),
    ],
)
def test_a_forecast_that_contradicts_what_is_known_is_refused(fit, given, options, word):
    refused(lambda: rox.forecast(fit, given, **{**FEW, **options}), word)


@pytest.mark.parametrize(
    ("outcome", "options", "word"),
    [
        ("zz", {}, "'zz'"),
        ("influencers", {}, "acts on 'influencers'"),
        (5, {}, "5"),
        ("revenue", {"cost": {"pride": 0}}, "was 0"),
        ("revenue", {"cost": {"pride": NAN}}, "nan"),
        ("revenue", {"cost": {"zz": 1}}, "'zz'"),
        ("revenue", {"groups": {"x": []}}, "'x'"),
        ("revenue", {"groups": {"x": ["ZZ"]}}, "'ZZ'"),
        ("revenue", {"groups": {"x": rox.Lowest(on="zz")}}, "'zz'"),
        ("revenue", {"groups": ["B001"]}, "['B001']"),
        ("revenue", {"groups": {"x": ["B001"]}, "n_units": 5}, "n_units=5"),
    ],
)
def test_where_to_act_refuses_what_it_cannot_lay_out(fit, outcome, options, word):
    refused(lambda: rox.where_to_act(fit, outcome, **{"value": VALUE, **FEW, **options}), word)


def test_every_verb_refuses_a_fit_that_did_not_converge(fit):
    lost = replace(fit, verdicts={**fit.verdicts, "converged": Verdict(False, "it went astray")})
    for ask in (
        lambda: rox.simulate(lost, A, **FEW),
        lambda: spend(lost),
        lambda: rox.counterfactual(lost, "B001", do={"pride": 3}, **FEW),
        lambda: rox.forecast(lost, **FEW),
        lambda: rox.where_to_act(lost, **FEW),
    ):
        refused(ask, "did not converge", "it went astray")


def test_a_printed_matrix_answers_what_it_can_and_refuses_the_rest(printed):
    assert rox.simulate(printed, A, horizon=2, **FEW).changes.shape == (40, 2, 2)
    money = {"value": {"outcomes": 1.0}, **FEW}
    refused(lambda: rox.simulate(printed, A, **money), "n_units")
    refused(lambda: rox.simulate(printed, A, **{**money, "value": {"outcomes": rox.LogValue(1.0)}}, n_units=3), "means")
    for options in ({"set": {"pride": 1}}, {"scale": {"pride": 1.1}}, {"units": rox.Lowest(on="pride")}):
        refused(lambda options=options: rox.simulate(printed, act(**options), **FEW), "no means")
    refused(lambda: rox.forecast(printed, **FEW), "no means")
    refused(lambda: rox.counterfactual(printed, 0, do={"pride": 1}, **FEW), "printed matrix")


def test_a_plan_file_that_is_not_what_was_written_is_refused(fit, printed, tmp_path):
    written = spend(fit).save(tmp_path / "plan.json")
    refused(lambda: rox.load_plan(written, printed), "another model")
    refused(lambda: rox.load_plan(written, None), "NoneType")
    refused(lambda: rox.load_plan(tmp_path / "none.json", fit), "none.json", error=DocumentError)
    refused(lambda: rox.load_plan(tmp_path, fit), "cannot be read", error=DocumentError)
    text = written.read_text(encoding="utf-8")
    for name, content, word in (
        ("edited", text.replace("1000.0", "1.0", 1), "altered"),
        ("cut", text[:-40], "complete"),
        ("listed", json.dumps([1]), "document"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_text(content, encoding="utf-8")
        refused(lambda path=path: rox.load_plan(path, fit), word, error=DocumentError)
    moved = written.rename(tmp_path / "renamed.txt")
    assert rox.load_plan(moved, fit).interventions == spend(fit).interventions


def test_records_survive_copies_and_pickles(fit):
    prices = rox.Finance(value={"revenue": rox.NormalValue(1, 1)}, discount=0.1)
    for one in (
        A,
        A.replace(units=rox.Lowest(on="pride")),
        prices,
        rox.UnitValue({"a": 1, 2: 3}),
        rox.Above(on="p", level=1),
    ):
        for other in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
            assert other == one
            assert hash(other) == hash(one)
    plan = spend(fit)
    assert np.array_equal(pickle.loads(pickle.dumps(plan)).draws, plan.draws)


@pytest.mark.parametrize("ask", [rox.simulate, rox.optimize, rox.counterfactual, rox.forecast, rox.where_to_act])
def test_a_seed_below_zero_is_refused_by_every_verb(fit, ask):
    given = {
        rox.simulate: {"interventions": A},
        rox.optimize: {"candidates": [A], "budget": 1.0, "value": VALUE},
        rox.counterfactual: {"unit": "B001", "do": {"pride": 3}},
    }
    refused(lambda: ask(fit, **given.get(ask, {}), draws=40, seed=-1), "seed= was -1", error=RoxError)


def test_equal_seeds_give_equal_bits_in_two_threads_at_once(fit):
    found = {}

    def ask(number):
        found[number] = (rox.simulate(fit, A, value=VALUE, **FEW).changes, spend(fit).draws)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(found[0], found[1], strict=True):
        assert np.array_equal(first, second)
