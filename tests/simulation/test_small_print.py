"""What a reader must know beside the money, and the ends of every scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox


def branches(units: int = 40, seed: int = 1) -> pd.DataFrame:
    """Unit figures: how many complaints, whether new tools are there, churn and revenue."""
    rng = np.random.default_rng(seed)
    complaints, tools = rng.poisson(5.0, units), rng.integers(0, 2, units)
    churn = np.clip(12 + 0.5 * complaints - 2.0 * tools + rng.normal(0, 1, units), 0, 100)
    revenue = 500 - 4 * churn - 3 * complaints + rng.normal(0, 5, units)
    figures = {"complaints": complaints, "tools": tools, "churn": churn, "revenue": revenue}
    return pd.DataFrame({"branch": np.arange(1001, 1001 + units), **figures})


def fitted(frame: pd.DataFrame) -> rox.Fit:
    def figure(name: str, factor: str, scale: object) -> rox.Construct:
        return rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=scale)])

    model = rox.RoxModel(
        name="bank",
        constructs=[
            figure("complaints", "context", rox.Count()),
            figure("tools", "context", rox.Binary()),
            figure("churn", "outcomes", rox.Percent()),
            figure("revenue", "outcomes", rox.Amount("EUR")),
        ],
        edges=["complaints + tools -> churn", "churn + complaints -> revenue"],
    )
    return rox.fit(model, rox.Study(model, unit=frame, by="branch"), method="path")


def change(run: rox.simulate, name: str) -> float:
    table = run.effects()
    return float(table.loc[table["construct"] == name, "mean"].iloc[0])


@pytest.mark.filterwarnings("ignore::roxmodel.RoxWarning")
def test_counts_stop_at_zero_and_yes_no_at_its_ends():
    frame = branches()
    fit = fitted(frame)
    fewer = rox.simulate(fit, [rox.Intervention(name="a", shift={"complaints": -50.0})], horizon=1, draws=5, seed=1)
    assert change(fewer, "complaints") == pytest.approx(-frame["complaints"].mean())
    tools = rox.simulate(fit, [rox.Intervention(name="b", shift={"tools": 1.0})], horizon=1, draws=5, seed=1)
    assert change(tools, "tools") == pytest.approx(1 - frame["tools"].mean())
    assert any("'tools': the end of the scale" in note for note in tools.notes)


def test_money_that_is_counted_twice_is_said():
    action = rox.Intervention(name="a", shift={"complaints": -0.5})
    with pytest.warns(rox.RoxWarning, match="'churn' and 'revenue' are both priced"):
        run = rox.simulate(fitted(branches()), [action], draws=5, seed=1, value={"revenue": 1.0, "churn": -30.0})
    assert any("price only the rest" in note for note in run.notes)


def test_a_rate_that_was_meant_in_percent_is_said():
    action = rox.Intervention(name="a", shift={"complaints": -0.5})
    with pytest.warns(rox.RoxWarning, match="500% a wave; for 5 % write 0.05"):
        rox.simulate(fitted(branches()), [action], draws=5, seed=1, value={"revenue": 1.0}, discount=5)


def test_outcomes_measured_in_some_units_only_are_said():
    frame = branches()
    frame.loc[:9, "revenue"] = np.nan
    action = rox.Intervention(name="a", shift={"complaints": -0.5})
    run = rox.simulate(fitted(frame), [action], draws=5, seed=1, value={"revenue": 1.0})
    assert any("measured in 30 of 40 units; the money counts 40" in note for note in run.notes)


def test_named_units_and_a_number_of_units_contradict_each_other():
    action = rox.Intervention(name="a", shift={"complaints": -0.5}, units=[1001])
    with pytest.raises(rox.RoxError, match="n_units=1000 and units= of 'a' contradict"):
        rox.simulate(fitted(branches()), [action], value={"revenue": 1.0}, n_units=1000)


def test_a_key_of_another_type_is_said():
    action = rox.Intervention(name="a", shift={"complaints": -0.5}, units=["1001"])
    with pytest.raises(rox.RoxError, match="keys are of type 'int': write 1001"):
        rox.simulate(fitted(branches()), [action])


def test_changes_carry_their_units():
    action = rox.Intervention(name="a", shift={"complaints": -0.5})
    text = rox.simulate(fitted(branches()), [action], draws=50, seed=1, value={"revenue": 1.0}).summary()
    for unit in ("count", "percentage points", "EUR"):
        assert unit in text
    assert "means over all units" in text
    assert "e+0" not in text
