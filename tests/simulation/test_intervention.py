"""Interventions as data: what is refused, shares over time, records that never change."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import RoxError, SimulationError
from roxmodel.simulation.intervention import shares

EXACT = 1e-12  # algebra in double precision


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
        ({"raise": 3}, "no argument 'raise'"),
        ({"costs": 3}, r"no argument 'costs'\. Did you mean 'cost'\?"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(RoxError, match=message):
        made(**options)


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


@pytest.mark.parametrize("start", [1, 3])
@pytest.mark.parametrize("ramp", [0, 1, 4])
@pytest.mark.parametrize("fade", [0.0, 0.25, 1.0])
def test_shares_are_the_formula(start, ramp, fade):
    """clip((t - start + 1) / (ramp + 1), 0, 1) · (1 - fade)^max(0, t - start - ramp)."""
    found = shares(made(start=start, ramp=ramp, fade=fade), 9)
    for wave in range(1, 10):
        risen = min(max((wave - start + 1) / (ramp + 1), 0), 1)
        assert found[wave - 1] == pytest.approx(risen * (1 - fade) ** max(0, wave - start - ramp), rel=EXACT)
    assert (found[: start - 1] == 0).all()
    assert found[start + ramp - 1 : start + ramp] == pytest.approx(1.0)


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
