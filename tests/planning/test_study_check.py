"""What a study can carry, before any fit: reliability, identification, the smallest effects, what to collect."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

import roxmodel as rox
from roxmodel.planning.study_check import StudyCheck

SOLVED = 2e-4  # relative; the equation for the smallest effect is solved to 1e-4


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(60, seed=1)


@pytest.fixture(scope="module")
def check(world):
    return world.study().check()


def figures(n=80, seed=3, **units):
    """A study of units' own figures only: x -> y, x and z -> y."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, n))
    frame = pd.DataFrame({"store": range(n), "x": x, "z": z, "y": 5 + 0.4 * x + 0.2 * z + rng.normal(size=n)})
    names = [c for c in ("x", "z", "y") if c in units.get("use", ("x", "y"))]
    model = rox.RoxModel(
        name="books",
        constructs=[
            rox.Construct(name=name, factor="outcomes" if name == "y" else "context", source="unit", items=[name])
            for name in names
        ],
        edges=[f"{name} -> y" for name in names if name != "y"],
    )
    return rox.Study(model, unit=frame, by="store")


def needed(df):
    return student.ppf(0.975, df) + student.ppf(0.8, df)


def test_a_simple_regression_is_found_from_its_closed_form_on():
    n = 80
    check = figures(n).check()
    k = needed(n - 2) / np.sqrt(n - 2)
    wanted = k / np.sqrt(1 + k**2)  # b / sqrt((1 - b²) / (n - 2)) = t.975 + t.80
    assert check.edges["detectable"][0] == pytest.approx(wanted, rel=SOLVED)
    assert check.edges["se"][0] == pytest.approx(np.sqrt((1 - wanted**2) / (n - 2)), rel=SOLVED)
    assert check.total is not None
    assert check.total.detectable == pytest.approx(wanted, rel=5e-3)  # quantile of 1,024 draws
    books = figures(n).moments.figures
    sd, names = books.values.std(axis=0), books.names
    ratio = sd[names.index("y")] / sd[names.index("x")]
    assert check.total.detectable_raw == pytest.approx(check.total.detectable * ratio, rel=1e-6)
    assert (check.total.df, check.total.units) == (n - 2, n)
    assert check.constructs["reliability"].tolist() == [1.0, 1.0]


def test_edges_of_one_equation_follow_the_regression_with_two_causes():
    n = 80
    study = figures(n, use=("x", "z", "y"))
    check = study.check()
    values = study.moments.figures.values[:, [study.moments.figures.names.index(c) for c in ("x", "z", "y")]]
    r = np.corrcoef(values.T)
    slopes = np.linalg.solve(r[:2, :2], r[:2, 2])
    for place, other in enumerate((1, 0)):
        b = check.edges["detectable"][place]
        c = slopes[other]
        left = 1 - b**2 - c**2 - 2 * b * c * r[0, 1]
        error = np.sqrt(left / (1 - r[0, 1] ** 2) / (n - 3))
        assert b / error == pytest.approx(needed(n - 3), rel=1e-3)


@pytest.mark.slow
def test_a_world_is_described(world, check):
    assert isinstance(check, StudyCheck)
    assert check.identified
    assert check.reason == check.obstacle == ""
    assert check.constructs.columns.tolist() == [
        "construct", "source", "units", "answers", "icc1", "reliability", "effective_units", "note",
    ]  # fmt: skip
    assert check.edges.columns.tolist() == ["cause", "effect", "units", "detectable", "se", "note"]
    assert list(zip(check.edges["cause"], check.edges["effect"], strict=True)) == [
        (edge.cause, edge.effect) for edge in world.model.edges
    ]
    people = check.constructs[check.constructs["source"] != "unit"]
    icc2 = world.study().linkage().set_index("construct")["icc2"]
    np.testing.assert_allclose(people["reliability"], icc2[people["construct"]], atol=0.08)  # sizes differ, 8 to 40
    assert (people["effective_units"] < 60).all()
    np.testing.assert_allclose(people["effective_units"] / 60, people["reliability"], atol=0.05)
    assert ((check.edges["detectable"] > 0.2) & (check.edges["detectable"] < 0.7)).all()
    assert (check.total.cause, check.total.effect) == ("pride", "revenue")


@pytest.mark.slow
def test_the_expected_errors_are_near_those_of_the_fit():
    """At 250 units the planned error of every edge is that which the fit then has."""
    world = rox.datasets.make_world(250, seed=4, scale="continuous")
    check, fit = world.study().check(), rox.fit(world.model, world.study())
    edges = fit.edges()
    wanted = edges["se"] * edges["standardized"] / edges["estimate"]
    np.testing.assert_allclose(check.edges["se"], wanted, rtol=0.25)


@pytest.mark.slow
def test_more_units_and_more_answers_find_smaller_effects(check):
    few = rox.datasets.make_world(120, seed=2, employees=8, customers=8).study().check()
    many = rox.datasets.make_world(120, seed=2, employees=80, customers=80).study().check()
    assert many.total.detectable < few.total.detectable < check.total.detectable
    assert (many.edges["detectable"].to_numpy() <= few.edges["detectable"].fillna(1).to_numpy()).all()


def test_what_more_data_would_bring(check):
    table = check.collect.set_index(["what", "times"])["detectable"]
    now = table["now", 1.0]
    assert now == check.total.detectable
    assert now > table["units", 1.5] > table["units", 2.0] > 0
    assert now > table["employee", 2.0]
    assert now > table["customer", 2.0]
    words = " ".join(check.advice)
    assert "twice the units (120)" in words
    assert "twice the customer answers" in words
    assert "More units buy more than more answers." in words


def test_units_for_an_effect_turns_the_question_round(check):
    found = check.collect.query("what == 'units' and times == 2")["detectable"].iloc[0]
    assert check.units_for(found) == pytest.approx(120, abs=1)
    assert check.units_for(check.total.detectable) == pytest.approx(60, abs=1)
    assert check.units_for(-0.1) == check.units_for(0.1) > check.units_for(0.2)
    for wrong in (0.0, 1.0, 1.5, float("nan"), True):
        with pytest.raises(rox.SpecError, match="effect="):
            check.units_for(wrong)


@pytest.mark.slow
def test_everybody_answered_leaves_no_sampling_error(world, check):
    frame = world.unit.assign(staff=world.employee.groupby("branch").size().reindex(world.unit["branch"]).to_numpy())
    full = world.study(unit=frame, eligible={"employee": "staff"}).check()
    own = full.constructs.set_index("construct")
    assert own.loc[["influencers", "pride", "behaviours"], "reliability"].tolist() == [1.0, 1.0, 1.0]
    assert own.loc["pride", "effective_units"] == 60
    assert "employee" not in set(full.collect["what"])
    assert full.total.detectable < check.total.detectable


def test_two_items_alone_are_refused_before_any_fit(world):
    asked = [
        rox.Construct(name="pride", factor="pride", source="employee", items=["pri1", "pri2"]),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        rox.Construct(name="affluence", factor="context", source="unit", items=["affluence"]),
    ]
    model = rox.RoxModel(name="alone", constructs=asked, edges=["affluence -> revenue"])
    check = rox.Study(model, employee=world.employee, unit=world.unit, by="branch").check()
    assert not check.identified
    assert "'pride' has two items" in check.reason
    assert "third item" in check.reason
    assert "NOT identified" in repr(check)
    assert check.edges["detectable"].isna().all()
    assert set(check.edges["note"]) == {"the model is not identified"}
    assert check.edges["units"].tolist() == [60]
    assert "No data could carry this model." in check.advice[0]
    with pytest.raises(rox.EstimationError, match="two items"):
        check.units_for(0.2)


def test_a_loop_without_instruments_is_named(world):
    model = world.model.replace(
        edges=["pride -> behaviours", "behaviours -> pride", "behaviours <-> pride"], feedback=True
    )
    check = world.study().check(model)
    assert not check.identified
    assert "instrument" in check.reason


def test_unit_means_that_are_only_noise_are_said(world):
    noise = world.employee.copy()
    items = ["pri1", "pri2", "pri3", "pri4"]
    noise[items] = np.random.default_rng(0).integers(1, 6, (len(noise), 4))
    check = world.study(employee=noise).check()
    row = check.constructs.set_index("construct").loc["pride"]
    assert row["icc1"] <= 0
    assert (row["reliability"], row["effective_units"]) == (0.0, 0.0)
    assert "nothing but sampling error" in row["note"]
    assert np.isnan(check.total.detectable)
    assert "pride" in check.total.note
    assert check.edges.set_index(["cause", "effect"]).loc[("value", "loyalty"), "detectable"] > 0
    assert any("Ask more people" in line for line in check.advice)


@pytest.mark.slow
@pytest.mark.parametrize("units", [2, 3, 5])
def test_few_units_give_reasons_and_no_crash(units):
    check = rox.datasets.make_world(units, seed=1).study().check()
    assert check.edges["detectable"].isna().all()
    assert (check.edges["note"] != "").all()
    assert np.isnan(check.total.detectable)
    assert check.total.note
    assert any(f"there are {units} units" in line for line in check.advice)
    assert check.summary()


def test_unknown_spread_within_units_is_a_reason(world):
    means = world.customer.groupby("branch", as_index=False).mean()
    means["n"] = world.customer.groupby("branch").size().to_numpy()
    check = world.study(customer=rox.Aggregated(means, n="n")).check()
    own = check.constructs.set_index("construct")
    assert np.isnan(own.loc["value", "reliability"])
    assert "'val1'" in own.loc["value", "note"]
    assert own.loc["pride", "reliability"] > 0.7
    assert check.identified
    assert "variance=" in check.obstacle
    assert check.edges["detectable"].isna().all()


@pytest.mark.slow
def test_printed_variances_are_enough(world, check):
    items = [name for name in world.customer if name != "branch"]
    groups = world.customer.groupby("branch", as_index=False)
    means = groups.mean().merge(groups.var().rename(columns={item: f"v_{item}" for item in items}), on="branch")
    means["n"] = groups.size()["size"]
    printed = rox.Aggregated(means, n="n", variance={item: f"v_{item}" for item in items})
    again = world.study(customer=printed).check()
    assert again.total.detectable == pytest.approx(check.total.detectable, rel=0.1)
    assert any("correlate 0.5" in line for line in again.notes)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "units"), [({"missing": 0.2}, 60), ({"without_customers": 0.1}, 54)])
def test_holes_and_missing_sources_cost_power(check, options, units):
    holed = rox.datasets.make_world(60, seed=1, **options).study().check()
    assert holed.total.detectable > check.total.detectable
    assert holed.edges.set_index(["cause", "effect"]).loc[("value", "loyalty"), "units"] == units


def test_one_answer_a_unit_says_nothing_of_its_error():
    check = rox.datasets.make_world(40, seed=2, employees=1).study().check()
    assert "two answers" in check.obstacle
    assert check.constructs.set_index("construct").loc["value", "reliability"] > 0


@pytest.mark.slow
def test_other_models(world):
    study = world.study()
    nothing = study.check(world.model.replace(edges=()))
    assert nothing.total is None
    assert len(nothing.edges) == len(nothing.collect) == 0
    assert nothing.summary()
    with pytest.raises(rox.EstimationError, match="Nothing acts"):
        nothing.units_for(0.2)
    loop = study.check(world.model.replace(edges=[*world.model.edges, "loyalty -> behaviours"], feedback=True))
    assert loop.identified
    assert loop.total.detectable > 0
    fixed = study.check(
        world.model.replace(edges=[rox.Edge(cause="pride", effect="behaviours", fixed=0.4), "behaviours -> value"])
    )
    assert "fixed by the model" in fixed.edges["note"][0]
    assert fixed.edges["detectable"][1] > 0
    other = rox.five_factor({"pride": ["pri1", "pri9"], "outcomes": ["revenue"]})
    with pytest.raises(rox.SpecError, match="'pri9'"):
        study.check(other)
    with pytest.raises(rox.SpecError, match="model="):
        study.check("branches")


@pytest.mark.slow
def test_it_does_not_depend_on_units_of_measurement(world, check):
    far = world.unit.assign(revenue=world.unit["revenue"] * 1e6)
    again = world.study(unit=far).check()
    np.testing.assert_allclose(again.edges["detectable"], check.edges["detectable"], rtol=1e-3)
    assert again.total.detectable_raw == pytest.approx(check.total.detectable_raw * 1e6, rel=1e-3)


def test_it_is_immutable_and_reads_well(check):
    with pytest.raises(AttributeError):
        check.identified = False
    table = check.constructs
    table.loc[0, "units"] = 0
    assert check.constructs.loc[0, "units"] == 60
    text = check.summary()
    for words in ("Identified: yes", "80 % power", "What to collect next", "Level: between units"):
        assert words in text
    assert "<StudyCheck of 60 units, model 'branches': identified" in repr(check)
    assert "<table" in check._repr_html_()


def test_an_item_whose_mean_is_the_same_in_all_units_is_not_too_few_units():
    unit = np.repeat(np.arange(30), 4)
    staff = pd.DataFrame({"store": unit, "p1": np.tile([2.0, 4.0, 3.0, 3.0], 30)})
    books = pd.DataFrame({"store": range(30), "sales": np.random.default_rng(0).normal(size=30)})
    model = rox.RoxModel(
        name="same",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=["p1"]),
            rox.Construct(name="sales", factor="outcomes", source="unit", items=["sales"]),
        ],
        edges=["pride -> sales"],
    )
    check = rox.Study(model, employee=staff, unit=books, by="store").check()
    assert check.obstacle
    assert [row.fault for row in check.edge_rows] == [""]
    assert not [line for line in check.advice if "Too few units" in line]
