"""Interventions as data: what is refused, shares and money over time, doses, JSON, records that never change."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.errors import RoxError, SimulationError
from roxmodel.simulation.intervention import response_to, shares, spending

EXACT = 1e-12  # algebra in double precision
laws = settings(max_examples=100, deadline=None)


def made(**options):
    return rox.Intervention(**{"name": "coaching", "shift": {"pride": 0.4}, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "  "}, "needs a name"),
        ({"shift": None}, "'coaching' does nothing"),
        ({"shift": {}}, "'coaching' does nothing"),
        ({"set": {"pride": 4}}, "shifts and sets 'pride' at once"),
        ({"shift": {"pride": float("nan")}}, r"'shift\.pride' was nan"),
        ({"shift": {"pride": float("inf")}}, r"'shift\.pride' was inf"),
        ({"shift": {"pride": "0.4"}}, r"'shift\.pride' was '0\.4'"),
        ({"shift": {"pride": True}}, r"'shift\.pride' was True"),
        ({"shift": 0.4}, "'shift' was 0.4"),
        ({"shift": None, "set": {"pride": None}}, r"'set\.pride' was None"),
        ({"cost": -1}, "'coaching' has the cost -1. Allowed: 0 or a positive amount"),
        ({"cost": float("nan")}, "'cost' was nan"),
        ({"cost": "cheap"}, "'cost' was 'cheap'"),
        ({"start": 0}, r"starts in wave 0\. Allowed: 1 or later"),
        ({"start": 1.5}, "'start' was 1.5"),
        ({"ramp": -1}, "has a ramp of -1 waves"),
        ({"fade": 1.01}, r"has fade=1\.01\. Allowed: 0 \(none\) to 1"),
        ({"fade": -0.1}, "has fade=-0.1"),
        ({"units": []}, "covers no unit"),
        ({"units": {"a": 1}}, r"units= was \{'a': 1\}\. Allowed: keys of units, or a rule: rox\.Lowest"),
        ({"units": {"kind": "lowestt", "on": "pride"}}, r"units= was \{'kind': 'lowestt'.*or a rule"),
        ({"units": {"kind": ["lowest"], "on": "pride"}}, r"units= was \{'kind': \['lowest'\].*or a rule"),
        ({"units": {"kind": "below", "on": "pride"}}, "needs 'level', which was not given"),
        ({"units": {1: "lowest"}}, r"units= was \{1: 'lowest'\}"),
        ({"units": rox.Likert(1, 5)}, "units= was Likert.*or a rule"),
        ({"shift": None, "scale": {}}, "'coaching' does nothing"),
        ({"scale": {"pride": 1.1}}, "shifts and scales 'pride' at once"),
        ({"shift": None, "set": {"value": 3}, "scale": {"value": 1.1}}, "sets and scales 'value' at once"),
        ({"scale": {"value": -0.1}}, r"scales 'value' by -0\.1\. Allowed: a factor of at least 0"),
        ({"scale": {"value": 0.5}, "dose": 3, "dose_range": (0, 3)}, r"scales 'value' by -0\.5 at a dose of 3"),
        ({"scale": {"value": 0.0}, "doses": 2, "dose_range": (0, 2)}, "scales 'value' by -1 at a dose of 2"),
        ({"scale": {"value": float("inf")}}, r"'scale\.value' was inf"),
        ({"running": -1}, r"has the running cost -1\. Allowed: 0 or a positive amount"),
        ({"cost_per_unit": -2.5}, r"has the cost per unit -2\.5"),
        ({"running_per_unit": -3}, "has the running cost per unit -3"),
        ({"cost_blocks": {"rooms": -5}}, "has the cost block 'rooms' of -5"),
        ({"cost_blocks": {"rooms": float("nan")}}, r"'cost_blocks\.rooms' was nan"),
        ({"cost_blocks": {"rooms": "dear"}}, r"'cost_blocks\.rooms' was 'dear'"),
        ({"cost_blocks": {"rooms": True}}, r"'cost_blocks\.rooms' was True"),
        ({"cost_blocks": {"rooms": 1e308, "trainers": 1e308}, "cost": 1}, "its cost_blocks come to inf"),
        ({"cost_blocks": {"rooms": 5, "trainers": 6}, "cost": 10}, r"costs 10, but its cost_blocks come to 11\. Leave"),
        ({"cost_blocks": {"running": 5}}, "names a cost block 'running', as another cost is named"),
        ({"cost_blocks": {"one-off per unit": 5}}, "names a cost block 'one-off per unit'"),
        ({"hold": -1}, r"is held for -1 waves\. Allowed: 0 or more, or None"),
        ({"hold": 1.5}, r"'hold' was 1\.5"),
        ({"hold": True}, "'hold' was True"),
        ({"starts": ()}, r"has starts=\(\)\. Leave starts= out"),
        ({"starts": [2, 0]}, r"has starts=\(2, 0\)\. Allowed: waves from 1 on"),
        ({"dose": 1.5}, r"has a dose of 1\.5, outside what can be done\. Allowed: above 0, from 0 to 1 \(dose_range\)"),
        ({"dose": 0}, "has a dose of 0, outside"),
        ({"dose": -0.5}, r"has a dose of -0\.5, outside"),
        ({"doses": (0.5, 2)}, "has a dose of 2, outside"),
        ({"doses": ()}, r"has doses=\(\)\. Leave doses= out"),
        (
            {"dose_range": (0.2, 0.8)},
            r"has a dose of 1, outside what can be done\. Allowed: above 0, from 0\.2 to 0\.8",
        ),
        ({"dose_range": (1, 0)}, r"has dose_range=\(1\.0, 0\.0\)\. Allowed: 0 <= low <= high"),
        ({"dose_range": (-1, 1)}, r"has dose_range=\(-1\.0, 1\.0\)"),
        ({"dose_range": (0, 0)}, r"has dose_range=\(0\.0, 0\.0\)\. Allowed: 0 <= low <= high, high above 0"),
        ({"half_dose": 0}, r"has half_dose=0\. Allowed: a dose above 0, or None"),
        ({"half_dose": -1}, "has half_dose=-1"),
        ({"shift": None, "set": {"pride": 4}, "dose": 0.5}, "sets 'pride' to a level, which has no dose"),
        ({"shift": None, "set": {"pride": 4}, "doses": (0.5, 1)}, "sets 'pride' to a level, which has no dose"),
        ({"requires": "coaching"}, "requires or excludes itself"),
        ({"excludes": ["other", "coaching"]}, "requires or excludes itself"),
        ({"requires": ["b", "a"], "excludes": "a"}, "both requires and excludes 'a'"),
        ({"raise": 3}, "no argument 'raise'"),
        ({"costs": 3}, r"no argument 'costs'\. Did you mean 'cost'\?"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(RoxError, match=message) as caught:
        made(**options)
    assert "\n" not in str(caught.value)
    assert "validation" not in str(caught.value)


def test_an_error_of_sense_is_a_simulation_error():
    with pytest.raises(SimulationError):
        made(cost=-1)


def test_units_in_any_form():
    assert made(units="north").units == ("north",)
    assert made(units=7).units == (7,)
    assert made(units=np.array(["a", "b"])).units == ("a", "b")
    assert made(units=pd.Series([3, 1])).units == (3, 1)
    assert made(units={"x"}).units == ("x",)
    assert made().units is None
    assert made(units=range(2)).units == (0, 1)
    assert made(units=np.int64(7)).units == made(units=7.0).units == (7,)
    rule = rox.Below(on="pride", level=3)
    assert made(units=rule).units == made(units={"kind": "below", "on": "pride", "level": 3}).units == rule


def test_lists_of_one_need_no_brackets():
    one = made(requires="a", excludes="b", doses=0.5, starts=2)
    assert (one.requires, one.excludes, one.doses, one.starts) == (("a",), ("b",), (0.5,), (2,))
    assert made(starts=np.array([1, 3])).starts == (1, 3)


@pytest.mark.parametrize("start", [1, 3])
@pytest.mark.parametrize("ramp", [0, 1, 4])
@pytest.mark.parametrize("hold", [None, 0, 2])
@pytest.mark.parametrize("fade", [0.0, 0.25, 1.0])
def test_shares_are_the_formula(start, ramp, hold, fade):
    """clip((t - start + 1) / (ramp + 1), 0, 1) · (1 - fade)^max(0, t - start - ramp - hold)."""
    found = shares(made(start=start, ramp=ramp, fade=fade, hold=hold), 9)
    for wave in range(1, 10):
        risen = min(max((wave - start + 1) / (ramp + 1), 0), 1)
        left = (1 - fade) ** max(0, wave - start - ramp - (hold or 0))
        assert found[wave - 1] == pytest.approx(risen * left, rel=EXACT)
    assert (found[: start - 1] == 0).all()
    assert found[start + ramp - 1 : start + ramp + (hold or 0)] == pytest.approx(1.0)


def test_shares_of_one_wave():
    assert shares(made(), 1).tolist() == [1.0]
    assert shares(made(start=2), 1).tolist() == [0.0]


def test_an_intervention_never_changes_and_travels():
    one = made(set={"value": 4}, units=["a"])
    with pytest.raises(RoxError, match="never changes"):
        one.cost = 3
    with pytest.raises(TypeError):
        one.shift["pride"] = 9
    given = {"pride": 0.4}
    kept = made(shift=given)
    given["pride"] = 9
    assert kept.shift["pride"] == 0.4
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), rox.Intervention(**one.model_dump())):
        assert twin == one
        assert hash(twin) == hash(one)
    assert one.replace(cost=5).cost == 5
    assert one.replace(cost=5) != one


# --- money


@laws
@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.tuples(*[st.sampled_from([0.0, 1.0, 7.5])] * 4),
    st.floats(0.1, 1.0),
    st.sampled_from([0.0, 1.0, 13.0]),
    st.booleans(),
)
def test_spending_is_a_loop_over_the_waves(start, ramp, hold, costs, dose, covered, in_blocks):
    """One-off in the first wave; running while the action is kept up; per unit times units; all times the dose."""
    once, each, running, running_each = costs
    given_costs = {"cost_blocks": {"rooms": once, "travel": 2.0}} if in_blocks else {"cost": once}
    one = made(
        start=start, ramp=ramp, hold=hold, dose=dose, cost_per_unit=each, running=running,
        running_per_unit=running_each, **given_costs,
    )  # fmt: skip
    found = spending(one, 8, covered)
    for wave in range(1, 9):
        kept = wave >= start and (hold is None or wave <= start + ramp + hold)
        expected = {
            **({"rooms": once, "travel": 2.0} if in_blocks else {"one-off": once}),
            "one-off per unit": each * covered,
        }
        expected = {name: amount * (wave == start) for name, amount in expected.items()}
        expected |= {"running": running * kept, "running per unit": running_each * covered * kept}
        for name, amount in expected.items():
            spent = found[name][wave - 1] if name in found else 0.0
            assert spent == pytest.approx(dose * amount, rel=EXACT)
        assert set(found) <= set(expected)
    assert all(money.any() for money in found.values())


def test_cost_is_the_sum_of_its_blocks():
    one = made(cost_blocks={"rooms": 5.0, "trainers": 6.5})
    assert one.cost == 11.5
    assert made(cost_blocks={"rooms": 5.0, "trainers": 6.5}, cost=11.5) == one
    assert one.replace(cost_blocks={"rooms": 1.0}).cost == 1.0
    assert one.replace(start=2).cost == 11.5
    assert one.replace(cost_blocks=None).cost == 11.5
    with pytest.raises(SimulationError, match=r"costs 3, but its cost_blocks come to 11\.5"):
        one.replace(cost=3.0)
    assert made(cost_blocks={}, cost=4.0).cost == 4.0


# --- doses


positive = st.floats(0.01, 100.0)


@laws
@given(positive, positive)
def test_dose_one_is_the_effect_that_was_stated(dose, half):
    assert response_to(1.0, half) == pytest.approx(1.0, rel=EXACT)
    assert response_to(1.0) == 1.0
    assert response_to(dose) == dose


@laws
@given(positive)
def test_half_dose_brings_half_of_the_most_there_can_be(half):
    most = response_to(1e15, half)
    assert most == pytest.approx(1 + half, rel=1e-9)
    assert response_to(half, half) == pytest.approx((1 + half) / 2, rel=EXACT)


@laws
@given(positive, positive, positive)
def test_every_further_dose_brings_less(one, two, half):
    """Rising, concave, below the largest effect."""
    low, high = sorted((one, two))
    middle = (low + high) / 2
    assert response_to(low, half) <= response_to(high, half) * (1 + EXACT)
    assert response_to(high, half) < 1 + half
    chord = (response_to(low, half) + response_to(high, half)) / 2
    assert response_to(middle, half) >= chord * (1 - EXACT)
    assert response_to(low, 1e12) == pytest.approx(low, rel=1e-9)


# --- JSON


FULL = {
    "name": "coaching ü",
    "shift": {"pride": 0.4, "pri1": -0.1},
    "scale": {"behaviours": 1.1},
    "start": 2,
    "ramp": 1,
    "fade": 0.25,
    "hold": 3,
    "running": 5.0,
    "cost_per_unit": 6.0,
    "running_per_unit": 7.0,
    "cost_blocks": {"rooms": 1.5, "trainers": 2.5},
    "cost": 4.0,
    "dose": 0.5,
    "dose_range": (0.25, 2.0),
    "half_dose": 0.75,
    "doses": (0.25, 0.5),
    "starts": (1, 2),
    "requires": ("a", "b"),
    "excludes": ("c",),
    "must": True,
    "units": ("B1", 7, 2.5),
}
RULES = [
    rox.Lowest(on="behaviours"),
    rox.Lowest(on="behaviours", share=0.1),
    rox.Highest(on="pride"),
    rox.Highest(on="pride", share=1.0),
    rox.Below(on="pride", level=0.0),
    rox.Above(on="pride", level=-2.5),
]


@pytest.mark.parametrize("name", sorted(set(FULL) - {"name"}))
def test_every_field_goes_into_json_and_comes_back(name):
    one = made(**{"shift": {"pride": 0.4}, name: FULL[name], **({"dose_range": (0.25, 2.0)} if "dose" in name else {})})
    again = rox.Intervention.from_json(one.to_json())
    assert again == one
    assert getattr(again, name) == getattr(one, name) == FULL[name]
    assert name in json.loads(one.to_json())


@pytest.mark.parametrize("units", [None, FULL["units"], *RULES])
def test_all_fields_together_too(units):
    one = rox.Intervention(**{**FULL, "units": units})
    again = rox.Intervention.from_json(one.to_json())
    assert again == one
    assert hash(again) == hash(one)
    assert type(again.units) is type(one.units)
    assert rox.Intervention(**one.model_dump(mode="json", exclude_defaults=True)) == one
    assert rox.Intervention(**one.model_dump()) == one
    assert pickle.loads(pickle.dumps(one)) == one
    rest = rox.Intervention(name="set", set={"pride": 4.0}, units=units)
    assert rox.Intervention.from_json(rest.to_json()) == rest


def test_numbers_of_numpy_go_into_json():
    one = made(
        units=np.array([3, 1]), start=np.int64(2), cost=np.float64(3.5), starts=np.array([1, 2]), doses=np.array([0.5])
    )
    again = rox.Intervention.from_json(one.to_json())
    assert again == one
    assert again.units == (3, 1)


def test_keys_that_json_cannot_hold_are_refused_before_they_are_written():
    for key in (pd.Timestamp("2026-01-01"), ("a", 1), None):
        with pytest.raises(SimulationError, match="'coaching' names the unit .*, which JSON cannot hold"):
            made(units=[key]).to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ("[1]", r"a rox\.Intervention was expected"),
        ('{"name": "a"}', "'a' does nothing"),
        ('{"nam": "a", "shift": {"x": 1}}', r"no argument 'nam'\. Did you mean 'name'\?"),
        ('{"name": "a", "shift": {"x": 1}, "cost": -1}', "has the cost -1"),
        ('{"name": "a", "shift": {"x": 1}, "units": {"on": "pride"}}', "units= was.*or a rule"),
        ('{"name": "a", "shift": {"x": 1}, "units": {"kind": "lowest", "on": "x", "share": 0}}', "covers the share 0"),
    ],
)
def test_text_that_is_no_intervention_is_refused(text, message):
    with pytest.raises(RoxError, match=message):
        rox.Intervention.from_json(text)
