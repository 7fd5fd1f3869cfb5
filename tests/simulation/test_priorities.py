"""Where to act: importance against total effects, performance by hand, marginal money against small pushes."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import SimulationError
from roxmodel.result.levels import complete_levels
from roxmodel.simulation.intervention import covered_by

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
SMALL_PUSH = 1e-6  # points: what caps and curvature leave of a derivative
MONTE_CARLO = 5.0  # standard errors; seeds are fixed
DRAWS, UNITS, HORIZON = 200, 60, 3
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(UNITS, seed=4, employees=(15, 30), customers=(15, 30))


@pytest.fixture(scope="module")
def fits(world, tmp_path_factory):
    path = rox.fit(world.model, world.study(), method="path")
    document = rox.load(path.save(tmp_path_factory.mktemp("fits") / "f.json"))
    return {"path": path, "linked": rox.fit(world.model, world.study()), "document": document}


LOW = rox.Lowest(on="pride", share=0.25)
MONEY = {"value": {"revenue": 1_000.0}, "discount": 0.02}


def asked(fit, outcome=None, **options):
    return rox.where_to_act(fit, outcome, **{"draws": DRAWS, "seed": 1, "horizon": HORIZON, **options})


def effects(fit, outcome):
    """(draws, k) total effects on an outcome."""
    coefficients = fit.system(fit.answer_draws(DRAWS, 1), marker=True).coefficients
    return np.linalg.inv(np.eye(7) - coefficients)[:, fit.model.names.index(outcome)]


def rows(table, kind="construct", group="all units"):
    return table[(table["kind"] == kind) & (table["group"] == group)].set_index("name")


# --- how much it matters, how well it scores


@pytest.mark.parametrize("kind", ["path", "linked", "document"])
@pytest.mark.parametrize("outcome", ["revenue", "loyalty", "behaviours"])
def test_importance_is_the_total_effect_at_the_estimate_with_the_interval_of_the_draws(fits, kind, outcome):
    fit = fits[kind]
    found, total = rows(asked(fit, outcome).table()), effects(fit, outcome)
    causes = [c.name for c in fit.model.constructs if c.factor != "context" and c.name != outcome]
    causes = [name for name in causes if np.abs(total[:, fit.model.names.index(name)]).max() > 1e-12]  # not rounding
    assert set(found.index) == set(causes)
    for name in causes:
        each = total[:, fit.model.names.index(name)]
        at = fit.effects(name, outcome)["estimate"].iloc[-1]
        expected = [at, *np.quantile(each, [0.025, 0.975]), each.mean()]
        np.testing.assert_allclose(
            found.loc[name, ["importance", "ci_low", "ci_high", "mean"]].astype(float), expected, **EXACT
        )
    assert (np.diff(np.abs(asked(fit, outcome).table()["importance"])) <= 1e-12).all()
    assert "affluence" not in found.index


@pytest.mark.parametrize("kind", ["path", "linked", "document"])
def test_performance_is_the_mean_score_from_0_to_100(fits, kind):
    fit = fits[kind]
    found = rows(asked(fit, "revenue").table())
    for name in found.index:
        level = fit.population.mean[fit.model.names.index(name)]
        assert found.loc[name, "performance"] == pytest.approx(100 * (level - 1) / 4, rel=1e-9)
        assert found.loc[name, "headroom"] == pytest.approx(5 - level, rel=1e-9)
    assert (found["n_units"] == UNITS).all()


def test_scores_of_items_are_their_means(fits, world):
    found = rows(asked(fits["linked"], "revenue").table(), "item")
    answered = world.customer["loy2"].groupby(world.customer["branch"]).mean()
    # weighted by how sure each unit's mean is: near the plain mean of the units
    error = answered.std() / np.sqrt(len(answered))
    assert found.loc["loy2", "performance"] == pytest.approx(100 * (answered.mean() - 1) / 4, abs=25 * 3 * error)
    assert rows(asked(fits["path"], "revenue").table(), "item")["performance"].isna().all()


@pytest.mark.parametrize("kind", ["path", "linked"])
def test_an_item_is_a_lever_of_its_construct(fits, kind):
    fit = fits[kind]
    table = asked(fit, "revenue").table()
    constructs, items = rows(table), rows(table, "item")
    for construct in fit.model.constructs:
        if construct.name not in constructs.index:
            continue
        names = [item.name for item in construct.items]
        assert set(names) <= set(items.index)
        push = rox.Intervention(name="a", shift={names[1]: 0.01})
        moved = rox.simulate(fit, [push], horizon=1, draws=DRAWS, seed=1).changes[
            :, 0, fit.model.names.index("revenue")
        ]
        if kind == "path":
            assert items.loc[names[1], "importance"] == pytest.approx(
                constructs.loc[construct.name, "importance"] / len(names)
            )
            assert items.loc[names[1], "mean"] == pytest.approx(moved.mean() / 0.01, rel=1e-6)
            continue
        # what one point more of an item adds to the score; all of them moved by a point of the construct add up to it
        loading = fit.parameters().query("kind == 'loading' and left == @construct.name").set_index("right")["estimate"]
        each = loading[names].to_numpy()
        share = items.loc[names, "importance"] / constructs.loc[construct.name, "importance"]
        assert (share * each / each[0]).sum() == pytest.approx(1.0, rel=1e-9)
        assert share.nunique() == len(names)


def latent(reverse):
    rng = np.random.default_rng(0)
    p = rng.normal(size=500)
    answers = {f"p{i}": np.clip(np.round(5 + 0.9 * p + rng.normal(0, 0.5, 500)), 1, 7) for i in (1, 2, 3)}
    if reverse:
        answers["p2"] = 8 - answers["p2"]
    items = ["p1", rox.Item(name="p2", reverse=reverse), "p3"]
    pride = rox.Construct(name="pride", factor="pride", source="employee", items=items, scale=rox.Likert(1, 7))
    sales = rox.Construct(name="sales", factor="outcomes", source="employee", items=["sales"])
    table = pd.DataFrame({**answers, "sales": 100 + 2 * p + rng.normal(0, 1, 500)})
    m = rox.RoxModel(name="m", constructs=[pride, sales], edges=["pride -> sales"])
    return rox.fit(m, table), table


def test_a_reversed_item_is_scored_as_it_was_answered_and_counts_the_other_way():
    (plain, table), (turned, turned_table) = latent(False), latent(True)
    one, two = (rows(asked(fit, "sales").table(), "item") for fit in (plain, turned))
    assert two.loc["p2", "importance"] == pytest.approx(-one.loc["p2", "importance"], rel=1e-6)
    assert two.loc["p2", "performance"] == pytest.approx(100 * (turned_table["p2"].mean() - 1) / 6, rel=1e-9)
    assert one.loc["p2", "performance"] == pytest.approx(100 * (table["p2"].mean() - 1) / 6, rel=1e-9)
    assert two.loc["p2", "headroom"] == pytest.approx(7 - turned_table["p2"].mean(), rel=1e-9)
    np.testing.assert_allclose(two.loc[["p1", "p3"], "performance"], one.loc[["p1", "p3"], "performance"], rtol=1e-9)


def test_without_a_bounded_scale_there_is_no_score_and_without_any_no_map():
    world = rox.datasets.make_world(40, seed=6, scale="continuous")
    model = world.model.replace(
        constructs=[c.replace(items=[i.replace(scale=None) for i in c.items]) for c in world.model.constructs]
    )
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    found = asked(rox.fit(model, study, method="path"), "revenue")
    assert found.table()[["performance", "headroom"]].isna().all(axis=None)
    with pytest.raises(SimulationError, match="Nothing here has a mean score between 0 and 100"):
        found.plot()


def test_without_means_there_is_importance_alone():
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name], scale=rox.Likert(1, 5))
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    m = rox.RoxModel(name="paper", constructs=constructs, edges=["pride -> sales"])
    fit = rox.fit(m, rox.Moments.from_correlation(["pride", "sales"], [[1, 0.5], [0.5, 1]], n=200), method="path")
    found = asked(fit, value={"sales": 10.0}, n_units=50).table()
    assert found["name"].tolist() == ["pride"]
    assert np.isnan(found.loc[0, "performance"])
    slopes = fit.system(fit.answer_draws(DRAWS, 1)).coefficients[:, 1, 0]
    assert found.loc[0, "marginal"] == pytest.approx(10.0 * 50 * HORIZON * slopes.mean(), rel=1e-9)


# --- groups


@pytest.mark.parametrize("kind", ["path", "linked", "document"])
def test_groups_have_scores_of_their_own(fits, kind):
    fit = fits[kind]
    every = complete_levels(fit, 1)
    low = covered_by(LOW, every[:, fit.model.names.index("pride")])
    groups = {"low": LOW}
    if kind != "document":
        groups["named"] = list(fit.population.units[5:17])
    table = asked(fit, "revenue", groups=groups).table()
    members = {"low": low, "named": np.isin(np.arange(UNITS), np.arange(5, 17))}
    for group in groups:
        found = rows(table, group=group)
        assert set(found.index) == set(rows(table).index)
        for name in found.index:
            level = every[members[group], fit.model.names.index(name)].mean()
            assert found.loc[name, "performance"] == pytest.approx(100 * (level - 1) / 4, rel=1e-9)
        assert (found["n_units"] == members[group].sum()).all()
        np.testing.assert_allclose(found["importance"], rows(table)["importance"].loc[found.index], **EXACT)
        assert rows(table, "item", group).empty
    assert table["group"].iloc[0] == "all units"


# --- money


@pytest.mark.parametrize("kind", ["path", "linked", "document"])
def test_marginal_is_a_small_push_kept_up_divided_by_its_size(fits, kind):
    fit = fits[kind]
    table = asked(fit, groups={"low": LOW}, **MONEY).table()
    for group, units in (("all units", None), ("low", LOW)):
        found = rows(table, group=group)
        for name in found.index:
            push = rox.Intervention(name="a", shift={name: SMALL_PUSH}, units=units)
            answer = rox.simulate(fit, [push], horizon=HORIZON, draws=DRAWS, seed=1, **MONEY)
            each = answer.money[0].benefit / SMALL_PUSH
            expected = [each.mean(), *np.quantile(each, [0.025, 0.975])]
            columns = ["marginal", "marginal_low", "marginal_high"]
            np.testing.assert_allclose(found.loc[name, columns].astype(float), expected, rtol=2e-3)


def test_in_a_graph_without_ends_it_is_exact():
    """Effect, price, discount factors, units."""
    world = rox.datasets.make_world(40, seed=6, scale="continuous")
    model = world.model.replace(
        constructs=[c.replace(items=[i.replace(scale=None) for i in c.items]) for c in world.model.constructs]
    )
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    fit = rox.fit(model, study, method="path")
    names = list(fit.model.names)
    north = list(fit.population.units[:7])
    found = asked(fit, groups={"north": north}, cost={"pride": 500.0, "value": 80.0}, **MONEY).table()
    total = effects(fit, "revenue")
    factor = (1.02 ** -np.arange(1, HORIZON + 1)).sum()
    for group, count in (("all units", 40), ("north", 7)):
        for name, row in rows(found, group=group).iterrows():
            each = total[:, names.index(name)] * 1_000.0 * count * factor
            assert row["marginal"] == pytest.approx(each.mean(), rel=1e-9)
            cost = {"pride": 500.0, "value": 80.0}.get(name, np.nan) * count
            assert row["cost_per_point"] == pytest.approx(cost, nan_ok=True)
            assert row["return_per_money"] == pytest.approx(each.mean() / cost, nan_ok=True)
            assert row["return_low"] == pytest.approx(np.quantile(each, 0.025) / cost, nan_ok=True)
            assert row["return_high"] == pytest.approx(np.quantile(each, 0.975) / cost, nan_ok=True)


def test_prices_by_unit_make_units_differ(fits):
    fit = fits["path"]
    units = fit.population.units
    price = {unit: 10.0 if i < 30 else 1_000.0 for i, unit in enumerate(units)}
    groups = {"poor": list(units[:30]), "rich": list(units[30:])}
    table = asked(fit, value={"revenue": price}, groups=groups).table()
    poor, rich, both = (rows(table, group=group)["marginal"] for group in ("poor", "rich", "all units"))
    np.testing.assert_allclose(rich, 100 * poor.loc[rich.index], rtol=0.02)  # ends of scales are not equally near
    np.testing.assert_allclose(both.loc[rich.index], rich + poor.loc[rich.index], rtol=1e-3)


def test_units_near_the_end_of_a_scale_are_worth_less():
    """Of loyalty, an end of the scale away from most: half of the units stand on it."""
    rng = np.random.default_rng(1)
    pride = np.where(np.arange(40) < 20, 5.0, rng.uniform(2, 4, 40))
    sales = 10 + 3 * pride + rng.normal(0, 1, 40)
    constructs = [
        rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=scale)])
        for name, factor, scale in (
            ("pride", "pride", rox.Likert(1, 5, whole=False)),
            ("sales", "outcomes", None),
        )
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["pride -> sales"])
    table = pd.DataFrame({"u": range(40), "pride": pride, "sales": sales})
    fit = rox.fit(m, rox.Study(m, unit=table, by="u"), method="path")
    groups = {"full": range(20), "room": range(20, 40)}
    found = asked(fit, value={"sales": 1.0}, groups=groups).table().set_index("group")
    slope = fit.system(fit.answer_draws(DRAWS, 1)).coefficients[:, 1, 0].mean()
    assert found.loc["full", "marginal"] == pytest.approx(0.0, abs=1e-9)
    assert found.loc["full", "headroom"] == 0.0
    assert found.loc["room", "marginal"] == pytest.approx(20 * HORIZON * slope, rel=1e-6)
    assert found.loc["all units", "marginal"] == pytest.approx(20 * HORIZON * slope, rel=1e-6)


def test_edges_over_waves_count_in_marginal_and_it_is_said():
    world = rox.datasets.make_world(40, seed=6, scale="continuous")
    later = rox.Edge(cause="loyalty", effect="revenue", lag=1, fixed=30.0)
    model = world.model.replace(edges=[*world.model.edges, later])
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    fit = rox.fit(model, study, method="path")
    found = asked(fit, "revenue", **MONEY)
    total = effects(fit, "revenue")
    np.testing.assert_allclose(
        rows(found.table()).loc["loyalty", "mean"], total[:, fit.model.names.index("loyalty")].mean(), **EXACT
    )
    push = rox.Intervention(name="a", shift={"loyalty": SMALL_PUSH})
    answer = rox.simulate(fit, [push], horizon=HORIZON, draws=DRAWS, seed=1, **MONEY)
    expected = answer.money[0].benefit.mean() / SMALL_PUSH
    assert rows(found.table()).loc["loyalty", "marginal"] == pytest.approx(expected, rel=2e-3)
    assert "Importance is that of the wave; edges with a lag count in marginal only." in found.summary()
    assert "edges with a lag count not." in asked(fit, "revenue").summary()


# --- which outcome, words, picture


def test_the_outcome_is_the_one_that_is_priced_or_the_last(fits):
    fit = fits["path"]
    assert asked(fit).outcome == "revenue"
    assert asked(fit, value={"loyalty": 1.0}).outcome == "loyalty"
    assert asked(fit, "value", value={"loyalty": 1.0}).outcome == "value"
    assert asked(fit, finance=rox.Finance(value={"revenue": 1.0}, currency="EUR")).currency == "EUR"
    assert "marginal" not in asked(fit).table()


def test_the_words_name_what_matters_most_and_where_money_brings_most(fits):
    fit = fits["path"]
    found = asked(fit, cost={"pride": 5_000.0, "loyalty": 90_000.0}, **MONEY)
    table = rows(found.table())
    most = table["importance"].abs().idxmax()
    best = table["return_per_money"].idxmax()
    text = found.summary()
    assert f"One point more of {most!r} moves 'revenue' most: {table.loc[most, 'importance']:+.3g} kEUR" in text
    assert f"Money brings most at {best!r} (all units)" in text
    for words in ("Small print", "causal if the arrows are right", "lever, assumed and not estimated", "for 3 waves"):
        assert words in text
    assert repr(found) == f"<Priorities for 'revenue', {len(found.table())} rows>"
    assert "<table" in found._repr_html_()


def test_equal_seeds_give_equal_tables(fits):
    for kind in ("path", "linked", "document"):
        one, two = (asked(fits[kind], groups={"low": LOW}, **MONEY).table() for _ in range(2))
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_the_map_is_drawn(fits):
    pytest.importorskip("matplotlib")
    assert asked(fits["linked"], "revenue").plot().axes


# --- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcome": "revenu"}, r"outcome= was 'revenu'\. Did you mean 'revenue'\?"),
        ({"outcome": 3}, "outcome= was '?3"),
        ({"outcome": "influencers"}, r"Nothing in this graph acts on 'influencers'\. Name another outcome="),
        ({"cost": 5.0}, r"cost= was 5\.0\. Allowed: a mapping construct -> money"),
        ({"cost": {"prid": 5.0}}, r"cost= names 'prid'\. Did you mean 'pride'\?"),
        ({"cost": {"pride": 0.0}}, r"cost= of 'pride' was 0\.0\. Allowed: an amount above 0"),
        ({"cost": {"pride": -1}}, "cost= of 'pride' was -1"),
        ({"cost": {"pride": float("nan")}}, "cost= of 'pride' was nan"),
        ({"cost": {"pride": "dear"}}, "cost= of 'pride' was 'dear'"),
        ({"cost": {"pride": True}}, "cost= of 'pride' was True"),
        ({"groups": ["B001"]}, r"groups= was \['B001'\]\. Allowed: a mapping label -> units"),
        ({"groups": {"north": "B001"}}, "The group 'north' was 'B001'"),
        ({"groups": {"north": 3}}, "The group 'north' was 3"),
        ({"groups": {"all units": ["B001"]}}, "A group is named 'all units'"),
        ({"groups": {"north": []}}, "covers no unit"),
        ({"groups": {"north": ["B999"]}}, "'B999', which is not in the study"),
        ({"groups": {"low": rox.Lowest(on="prid")}}, "covers units by 'prid', which is no construct"),
        ({"horizon": 0}, "horizon= was 0"),
        ({"draws": 0}, "draws= was 0"),
        ({"value": {"pride": 1.0}}, "prices 'pride', which is no outcome"),
        ({"discount": -1}, "discount"),
        ({"n_units": 0}, "n_units= was 0"),
    ],
)
def test_questions_that_cannot_be_asked_are_named(fits, options, message):
    with pytest.raises(SimulationError, match=message):
        asked(fits["path"], **options)


def test_things_that_are_no_fit_are_refused(fits):
    with pytest.raises(SimulationError, match="fit= was a RoxModel"):
        rox.where_to_act(fits["path"].model)
    with pytest.raises(SimulationError, match="knows none by name"):
        asked(fits["document"], groups={"north": ["B001"]})


def test_a_curved_graph_has_no_effect_per_point():
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    constructs = [
        rox.Construct(name="x", factor="pride", source="unit", items=["x"]),
        rox.Construct(name="y", factor="outcomes", source="unit", items=[rox.Item(name="y", scale=rox.Count())]),
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["x -> y"])
    table = pd.DataFrame({"u": range(80), "x": x, "y": rng.poisson(np.exp(1 + 0.3 * x))})
    fit = rox.fit(m, rox.Study(m, unit=table, by="u"), method="path")
    with pytest.raises(SimulationError, match="curved, so an effect per point depends on where one stands"):
        asked(fit)


def test_less_is_better_counts_towards_the_lower_end():
    """Waiting: 2 of 1 to 5 is three quarters of the way to its better end, one point of room is left."""
    rng = np.random.default_rng(1)
    wait = np.clip(rng.normal(2.0, 0.4, 80), 1, 5)
    pride = np.clip(rng.normal(4.0, 0.3, 80), 1, 5)
    sales = 10 - 3 * wait + 2 * pride + rng.normal(0, 0.5, 80)
    scale = rox.Likert(1, 5, whole=False)
    constructs = [
        rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=given)])
        for name, factor, given in (
            ("wait", "value_drivers", scale),
            ("pride", "pride", scale),
            ("sales", "outcomes", None),
        )
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["wait + pride -> sales"])
    table = pd.DataFrame({"u": range(80), "wait": wait, "pride": pride, "sales": sales})
    fit = rox.fit(m, rox.Study(m, unit=table, by="u"), method="path")
    answer = asked(fit, value={"sales": 10.0}, cost={"wait": 5.0})
    found = rows(answer.table())
    assert found["better"].to_dict() == {"wait": "less", "pride": "more"}
    assert found.loc["wait", "importance"] == pytest.approx(-3, abs=0.5)
    assert found.loc["wait", "performance"] == pytest.approx(100 * (5 - wait.mean()) / 4)
    assert found.loc["wait", "headroom"] == pytest.approx(wait.mean() - 1)
    assert found.loc["pride", "performance"] == pytest.approx(100 * (pride.mean() - 1) / 4)
    assert found.loc["wait", "marginal"] > 0
    assert found.loc["wait", "return_per_money"] > 0
    words = [text.get_text() for text in answer.plot().axes[0].texts]
    assert any("less is better" in word.replace("\n", " ") for word in words)
    other = rows(asked(fit, value={"sales": -10.0}).table())
    assert other["better"].to_dict() == {"wait": "more", "pride": "less"}
    assert rows(asked(fit, "sales", better="less").table())["better"].to_dict() == {"wait": "more", "pride": "less"}
    with pytest.raises(SimulationError, match="better= was 'up'"):
        asked(fit, "sales", better="up")
