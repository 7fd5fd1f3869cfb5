"""The record of a doubt, and the one warning that says it."""

import json
import pickle
import re
import warnings

import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt, doubt_lines, new_doubts, warn_doubts
from roxmodel.errors import RoxWarning


def doubt(name: str, check: str = "scale") -> Doubt:
    return Doubt(check, "doubtful", f"{name} is odd.", (name,), "Mend it.")


def test_a_doubt_travels():
    one = doubt("q1")
    assert pickle.loads(pickle.dumps(one)) == one
    assert json.loads(json.dumps(one.to_dict())) == {
        "check": "scale", "verdict": "doubtful", "finding": "q1 is odd.", "culprits": ["q1"], "remedy": "Mend it.",
    }  # fmt: skip
    assert str(one) == "scale (doubtful): q1 is odd. Mend it."
    with pytest.raises(AttributeError):
        one.check = "keys"  # type: ignore[misc]


def test_only_what_nobody_said_is_new():
    known = (doubt("q1"), doubt("q2"))
    assert new_doubts([doubt("q1"), doubt("q1", "keys"), doubt("q3")], known) == (doubt("q1", "keys"), doubt("q3"))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 30])
def test_one_warning_of_at_most_five_lines(count):
    with pytest.warns(RoxWarning) as caught:
        warn_doubts("study", [doubt(f"q{k}") for k in range(count)], stacklevel=1)
    assert len(caught) == 1
    lines = str(caught[0].message).splitlines()
    assert len(lines) == min(count, 3) + 1 + (count > 3)
    assert "study.doubts" in lines[0]
    assert caught[0].filename == __file__


def test_no_doubt_no_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_doubts("fit", [], stacklevel=1)
    assert doubt_lines([]) == []


def test_the_one_line_of_every_answer_counts_its_doubts(tmp_path):
    """Also a plan that was written and read: its doubts stand before what it promised."""
    world = rox.datasets.make_world(60, seed=1)
    total = {name: world.unit[name].mean() for name in world.unit if name != world.by} | {world.by: "Total"}
    total["revenue"] = world.unit["revenue"].sum()
    with pytest.warns(rox.RoxWarning, match="Total"):
        study = world.study(unit=pd.concat([world.unit, pd.DataFrame([total])], ignore_index=True))
    fit = rox.fit(world.model, study, method="path")
    act = rox.Intervention(name="coaching", shift={"pride": 0.3}, cost=1e3)
    asked = {"seed": 1, "draws": 50, "doubtful": True}
    money = {"value": {"revenue": 1_000.0}, "horizon": 2}
    plan = rox.optimize(fit, [act], budget=1e6, **asked, **money)
    for answer in (
        fit,
        plan,
        rox.simulate(fit, [act], **asked, **money),
        rox.where_to_act(fit, "revenue", **asked),
        rox.forecast(fit, given={"pride": 4.0}, **asked),
        rox.counterfactual(fit, study.units[0], do={"pride": 3.0}, **asked),
    ):
        assert re.search(r"; \d doubtful: \w+\.doubts>$", repr(answer))
    saved = rox.load_plan(plan.save(tmp_path / "plan.json"), fit)
    assert str(saved).startswith("DOUBTFUL (books)")
    assert "Total" not in str(saved)
