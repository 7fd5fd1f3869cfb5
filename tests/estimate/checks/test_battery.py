"""The battery stands beside a fit: whatever happens in it, the fit is there."""

import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt
from roxmodel.estimate.checks import battery


def _fit():
    world = rox.datasets.make_world(12, seed=1, employees=(3, 8), customers=(3, 8))
    return rox.fit(world.model, world.study(), method="path")


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), AttributeError("x"), np.linalg.LinAlgError("x")])
def test_a_check_that_stumbles_says_so_and_the_fit_is_there(monkeypatch, error):
    def stumbling(_evidence):
        yield Doubt("size", "doubtful", "Before.", (), "")
        raise error

    whole = _fit()
    monkeypatch.setattr(battery, "_CHECKS", (stumbling, *battery._CHECKS))
    found = _fit()
    np.testing.assert_array_equal(found.theta, whole.theta)
    row = found.checks().set_index("check").loc["stumbling"]
    assert row["verdict"] == "note"
    assert type(error).__name__ in row["finding"]


def test_numbers_that_are_none_warn_nobody(monkeypatch):
    def dividing(_evidence):
        np.array([1.0]) / np.zeros(1)
        np.nanmean(np.full(2, np.nan))
        return ()

    monkeypatch.setattr(battery, "_CHECKS", (dividing,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("default", rox.RoxWarning)
        assert (_fit().checks()["check"] != "dividing").all()


def test_a_column_of_the_frame_that_is_there_twice_is_no_matter_of_the_fit():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=["x", "y", "place", "place"])
    edges = [rox.Construct(name=name, factor="pride", source="people", items=[name]) for name in "xy"]
    fit = rox.fit(rox.RoxModel(name="m", edges=["x -> y"], constructs=edges), frame, method="path")
    assert not fit.checks()["finding"].str.contains("could not be made").any()
