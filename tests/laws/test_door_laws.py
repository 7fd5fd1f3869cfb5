"""One question, one number: what an action brings is the same by every door, on small random worlds of outcomes."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import SimulationError
from roxmodel.simulation import question as check

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")]
SCALES = {"yes": rox.Binary(), "share": rox.Percent(), "count": rox.Count(), "nps": rox.NPS()}


def outcome(kind, level, rng):
    if kind == "yes":
        return (rng.random(len(level)) < 1 / (1 + np.exp(-level))).astype(float)
    if kind == "share":
        return np.clip(88 + 8 * level + 10 * rng.normal(size=len(level)), 0, 100)
    if kind == "count":
        return rng.poisson(np.exp(0.4 * level - 0.5)).astype(float)
    return np.clip(np.round(8 + level + 1.5 * rng.normal(size=len(level))), 0, 10)


def fitted(kind, method, seed, units=150):
    rng = np.random.default_rng(seed)
    pride = rng.normal(3.5, 0.5, units)
    figure = outcome(kind, 2 * (pride - 3.5), rng)
    sales = 50 + 4 * figure + 3 * pride + rng.normal(0, 2, units)
    model = rox.RoxModel(
        name="m",
        edges=["pride -> figure", "figure + pride -> sales"],
        constructs=[
            rox.Construct(name="pride", factor="pride", source="unit", items=["pride"]),
            rox.Construct(
                name="figure", factor="outcomes", source="unit", items=[rox.Item(name="figure", scale=SCALES[kind])]
            ),
            rox.Construct(name="sales", factor="outcomes", source="unit", items=["sales"]),
        ],
    )
    books = pd.DataFrame({"b": range(units), "pride": pride, "figure": figure, "sales": sales})
    if method == "sem":
        return rox.fit(model, books, method="sem")
    return rox.fit(model, rox.Study(model, unit=books, by="b"), method=method)


WAYS = [(kind, method) for kind in SCALES for method in ("linked", "sem")] + [("share", "path"), ("nps", "path")]


@pytest.mark.parametrize(("kind", "method"), WAYS)
def test_four_doors_one_number(kind, method, tmp_path):
    fit = fitted(kind, method, seed=len(kind) + len(method))
    loaded = rox.load(fit.save(tmp_path / "f.json"))
    engine = rox.ScoringEngine.load(tmp_path / "f.json")
    for cause, points in (("pride", 0.2), ("figure", 0.05)):
        act = [rox.Intervention(name="x", shift={cause: points})]
        total = points * fit.effects(cause, "sales").iloc[-1]["estimate"]
        assert engine.what_if({cause: points})["sales"] == pytest.approx(total, rel=1e-9)
        for one in (fit, loaded):
            run = rox.simulate(one, act, horizon=1, draws=4_000, seed=1)
            each = run.changes[:, 0, 2]
            assert each.mean() == pytest.approx(total, abs=5 * each.std() / np.sqrt(4_000) + 0.01 * abs(total))
            drawn = one.effects(cause, "sales", interval="draws").iloc[-1]
            ends = np.quantile(each, [0.025, 0.975])
            wide = drawn["ci_high"] - drawn["ci_low"]
            np.testing.assert_allclose(
                ends, points * drawn[["ci_low", "ci_high"]].astype(float), atol=0.06 * points * wide
            )
    one = rox.where_to_act(fit, "sales", seed=1).table().set_index("name").loc["pride", "importance"]
    assert one == pytest.approx(fit.effects("pride", "sales").iloc[-1]["estimate"], rel=0.03)


def test_nobody_is_given_more_of_a_yes_than_there_is():
    fit = fitted("yes", "linked", seed=1)
    share = fit.population.levels[:, 1].mean()
    every = rox.simulate(fit, [rox.Intervention(name="x", shift={"figure": 1.0})], horizon=1, draws=20, seed=1)
    np.testing.assert_allclose(every.changes[:, 0, 1], 1 - share)
    without = rox.Intervention(name="x", shift={"figure": 1.0}, units=rox.Below(on="figure", level=0.5))
    some = rox.simulate(fit, [without], horizon=1, draws=20, seed=1)
    np.testing.assert_allclose(some.changes[:, 0, 1], 1 - share)


def test_expected_values_beyond_the_scale_are_said():
    fit = fitted("yes", "linked", seed=1)
    far = rox.simulate(fit, [rox.Intervention(name="x", shift={"pride": 1.0})], horizon=1, draws=20, seed=1)
    assert any("'figure' is an outcome on a straight line" in note for note in far.notes)
    near = rox.simulate(fit, [rox.Intervention(name="x", shift={"pride": 1e-6})], horizon=1, draws=20, seed=1)
    assert not any("straight line" in note for note in near.notes)


def test_more_draws_than_memory_holds_are_refused_with_the_number_that_fits(monkeypatch):
    fit, act = fitted("share", "linked", seed=1), [rox.Intervention(name="x", shift={"pride": 0.2})]
    monkeypatch.setattr(check, "MOST_BYTES", 200_000)
    with pytest.raises(SimulationError, match=r"draws=1,000,000 of .* take .* GiB.*at most (\d+) draws") as refused:
        rox.simulate(fit, act, draws=1_000_000, seed=1)
    fits = int(str(refused.value).split("at most ")[1].split(" draws")[0].replace(",", ""))
    assert len(rox.simulate(fit, act, draws=fits, seed=1).changes) == fits
    with pytest.raises(SimulationError, match="at most"):
        rox.simulate(fit, act, draws=fits + 1, seed=1)
    for ask in (
        lambda: rox.forecast(fit, draws=10**6),
        lambda: rox.counterfactual(fit, 3, do={"pride": 4.0}, draws=10**6),
    ):
        with pytest.raises(SimulationError, match="at most"):
            ask()
    with pytest.raises(SimulationError, match="One draw of 10,000 waves"):
        rox.simulate(fit, act, draws=1, horizon=10_000)
