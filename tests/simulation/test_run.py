"""The what-if as a user asks it: answers, small print, support, money, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import RoxError, RoxWarning, SimulationError

EXACT = {"rtol": 1e-9, "atol": 1e-10}  # algebra in double precision
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(60, seed=4, employees=(15, 30), customers=(15, 30))


@pytest.fixture(scope="module")
def fit(world):
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def printed():
    """A printed matrix without means and without units."""
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("value", "value_drivers"), ("sales", "outcomes"))
    ]
    m = rox.RoxModel(name="paper", constructs=constructs, edges=["pride -> value", "value -> sales"])
    matrix = [[1, 0.5, 0.3], [0.5, 1, 0.6], [0.3, 0.6, 1]]
    return rox.fit(m, rox.Moments.from_correlation(["pride", "value", "sales"], matrix, n=200), method="path")


def action(name="coaching", **options):
    return rox.Intervention(name=name, **{"shift": {"pride": 0.1}, **options})


def run(fit, *actions, **options):
    return rox.simulate(fit, list(actions) or [action()], **{"horizon": 3, "draws": 100, "seed": 1, **options})


MONEY = {"value": {"revenue": 1_000.0}, "discount": 0.02}


# --- answers


def test_effects_are_means_and_quantiles_of_the_draws(fit):
    answer = run(fit)
    table = answer.effects()
    assert list(table.columns) == ["construct", "wave", "mean", "ci_low", "ci_high", "estimate"]
    assert table["construct"].drop_duplicates().tolist() == list(fit.model.names)
    assert table.groupby("construct")["wave"].apply(list).map(tuple).unique().tolist() == [(1, 2, 3)]
    for place, name in enumerate(fit.model.names):
        own = table[table["construct"] == name]
        np.testing.assert_allclose(own["mean"], answer.changes[:, :, place].mean(axis=0), **EXACT)
        low, high = np.quantile(answer.changes[:, :, place], [0.025, 0.975], axis=0)
        np.testing.assert_allclose(own[["ci_low", "ci_high"]], np.stack([low, high], axis=1), **EXACT)


def test_equal_seeds_give_equal_bits(fit):
    one, two = (run(fit, **MONEY) for _ in range(2))
    np.testing.assert_array_equal(one.changes, two.changes)
    pd.testing.assert_frame_equal(one.rox(), two.rox(), check_exact=True)
    assert (run(fit, seed=2).changes != one.changes).any()
    assert (run(fit, seed=None).changes != run(fit, seed=None).changes).any()
    with pytest.raises(ValueError, match="read-only"):
        one.changes[0, 0, 0] = 1.0


def test_the_draws_are_those_of_the_fit(fit):
    answer = run(fit, action(shift={"pride": 1e-6}))
    total = np.linalg.inv(np.eye(7) - fit.system(fit.answer_draws(100, seed=1)).coefficients)
    names = list(fit.model.names)
    np.testing.assert_allclose(answer.changes[:, 0], 1e-6 * total[:, :, names.index("pride")], rtol=1e-7, atol=1e-14)


def test_draws_of_a_bootstrap_are_its_replicates(world):
    fit = rox.fit(world.model, world.study(), method="path", bootstrap=40, seed=1, progress=False)
    total = np.linalg.inv(np.eye(7) - fit.system(fit.bootstrap_draws()).coefficients)
    answer = run(fit, action(shift={"pride": 1e-6}), draws=40)
    np.testing.assert_allclose(answer.changes[:, 0, 5], 1e-6 * total[:, 5, 1], rtol=1e-7, atol=1e-14)


def test_nothing_but_descendants_moves(fit):
    table = run(fit).effects().groupby("construct")["mean"].apply(lambda m: m.abs().max())
    assert (table[["influencers", "affluence"]] == 0).all()
    assert (table[["pride", "behaviours", "value", "loyalty", "revenue"]] > 0).all()


def test_setting_everyone_to_the_mean_moves_nobody_on_average(fit):
    mean = float(fit.population.mean[fit.model.names.index("pride")])
    answer = run(fit, action(shift=None, set={"pride": mean}))
    assert np.abs(answer.changes[:, :, 1]).max() < 1e-9
    np.testing.assert_allclose(answer.changes[:, :, 2], 0, atol=1e-9)  # linear and no end in reach


def test_setting_each_unit_to_what_it_is_changes_nothing(fit):
    units, levels = fit.population.units, fit.population.levels[:, fit.model.names.index("pride")]
    actions = [
        action(f"keep {unit}", shift=None, set={"pride": float(level)}, units=[unit])
        for unit, level in zip(units, levels, strict=True)
    ]
    assert np.abs(run(fit, *actions, draws=10).changes).max() < 1e-12


def test_setting_cuts_the_causes(fit):
    answer = run(fit, action(shift={"influencers": 0.1}), action("hold", shift=None, set={"pride": 3.5}))
    levels = fit.population.levels[:, 1]
    np.testing.assert_allclose(answer.changes[:, :, 1], 3.5 - levels.mean(), **EXACT)


def test_shifts_of_two_actions_add_up(fit):
    one, two = action("one", shift={"pride": 0.05}), action("two", shift={"pride": 0.08, "value": 0.02})
    both = run(fit, one, two)
    alone = [run(fit, a).changes for a in (one, two)]
    moved = action("sum", shift={"pride": 0.13, "value": 0.02})
    np.testing.assert_allclose(both.changes, run(fit, moved).changes, **EXACT)
    np.testing.assert_allclose(both.changes, alone[0] + alone[1], atol=1e-9)


def test_an_item_is_a_lever_of_its_construct(fit, world):
    answer = run(fit, action(shift={"pri2": 0.4}))
    np.testing.assert_allclose(answer.changes, run(fit, action(shift={"pride": 0.1})).changes, **EXACT)
    assert any("item 'pri2' is treated as a lever: 0.4 points of it are 0.1" in note for note in answer.notes)
    np.testing.assert_allclose(
        run(fit, action(shift={"pri2": 0.4, "pride": 0.1})).changes,
        run(fit, action(shift={"pride": 0.2})).changes,
        **EXACT,
    )


def test_a_reversed_item_is_a_lever_the_other_way():
    rng = np.random.default_rng(0)
    p = rng.normal(4, 1, 80)
    table = pd.DataFrame(
        {"p1": np.clip(np.round(p), 1, 7), "p2": np.clip(np.round(8 - p + rng.normal(0, 0.5, 80)), 1, 7)}
    )
    table["y"] = p + rng.normal(size=80)
    items = ["p1", rox.Item(name="p2", reverse=True)]
    pride = rox.Construct(name="pride", factor="pride", source="employee", items=items, scale=rox.Likert(1, 7))
    outcome = rox.Construct(name="y", factor="outcomes", source="employee", items=["y"])
    fit = rox.fit(rox.RoxModel(name="m", constructs=[pride, outcome], edges=["pride -> y"]), table, method="path")
    answer = run(fit, action(shift={"p2": 0.2}))
    assert answer.effects().iloc[0]["mean"] == pytest.approx(-0.1, abs=0.02)
    assert any("(reversed)" in note and "-0.1" in note for note in answer.notes)


def test_units_that_are_not_covered_do_not_move(fit):
    covered = fit.population.units[:15]
    np.testing.assert_allclose(
        run(fit, action(units=covered)).changes[:, :, 1], 15 / 60 * run(fit, action()).changes[:, :, 1], rtol=1e-6
    )


# --- money


def test_money_is_the_change_of_the_outcome_in_all_units(fit):
    answer = run(fit, action(cost=20_000.0, start=2), **MONEY)
    place = fit.model.names.index("revenue")
    factor = 1.02 ** -np.arange(1, 4)
    benefit = (answer.changes[:, :, place] * 1_000.0 * 60 * factor).sum(axis=1)
    row = answer.rox().iloc[0]
    assert row["benefit"] == pytest.approx(benefit.mean())
    assert row["cost"] == pytest.approx(20_000 / 1.02**2)
    assert row["npv"] == pytest.approx(benefit.mean() - 20_000 / 1.02**2)
    assert row["prob_positive"] == (benefit > 20_000 / 1.02**2).mean()


def test_the_total_is_all_actions_together_and_the_last_row(fit):
    actions = [action("a", cost=5_000.0), action("b", shift={"value": 0.1}, cost=7_000.0, start=3)]
    table = run(fit, *actions, **MONEY).rox()
    assert table["intervention"].tolist() == ["a", "b", "total"]
    np.testing.assert_allclose(
        table.loc[2, ["benefit", "cost"]].to_numpy(float),
        table.loc[:1, ["benefit", "cost"]].sum().to_numpy(float),
        rtol=1e-6,
    )
    np.testing.assert_allclose(table["rox"], table["npv"] / table["cost"])
    one = run(fit, actions[0], **MONEY).rox()
    pd.testing.assert_series_equal(one.iloc[0], table.iloc[0], check_names=False)


def test_units_of_the_study_are_counted_unless_said_otherwise(fit, printed):
    base = run(fit, **MONEY).rox().loc[0, "benefit"]
    assert run(fit, n_units=600, **MONEY).rox().loc[0, "benefit"] == pytest.approx(10 * base)
    with pytest.raises(SimulationError, match=r"no units\. Say how many: n_units=120"):
        run(printed, value={"sales": 10.0})
    assert run(printed, value={"sales": 10.0}, n_units=120).n_units == 120


@pytest.mark.parametrize("lag", [0, 1])
def test_money_that_is_counted_twice_by_way_of_others_is_said(lag):
    """loyalty -> value -> sales: what loyalty is worth through sales is counted at sales, now or later."""
    rng = np.random.default_rng(0)
    loyalty = rng.normal(3, 1, 50)
    value = loyalty + rng.normal(0, 1, 50)
    sales = (0 if lag else value) + rng.normal(0, 1, 50)  # within one wave a later effect is not seen yet
    table = pd.DataFrame({"u": range(50), "loyalty": loyalty, "value": value, "sales": sales})
    constructs = [
        rox.Construct(name=name, factor=factor, source="unit", items=[name])
        for name, factor in (("loyalty", "outcomes"), ("value", "value_drivers"), ("sales", "outcomes"))
    ]
    last = rox.Edge(cause="value", effect="sales", lag=lag, fixed=0.5 if lag else None)
    m = rox.RoxModel(name="m", constructs=constructs, edges=["loyalty -> value", last])
    found = rox.fit(m, rox.Study(m, unit=table, by="u"), method="path")
    push = action(shift={"loyalty": 0.1})
    with pytest.warns(
        RoxWarning, match=r"'loyalty' and 'sales' are both priced, and loyalty -> \.\.\. -> sales"
    ) as caught:
        run(found, push, value={"sales": 1.0, "loyalty": 2.0})
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoxWarning)
        run(found, push, value={"sales": 1.0})


def test_without_value_there_is_no_money(fit):
    answer = run(fit)
    with pytest.raises(SimulationError, match="No value= was given"):
        answer.rox()
    assert "ROX" not in answer.summary()


# --- support, caps, small print


def test_leaving_what_was_observed_is_warned_of(fit):
    low, high = fit.population.levels[:, 1].min(), fit.population.levels[:, 1].max()
    with pytest.warns(RoxWarning, match=r"coaching moves 'pride' beyond what was observed .* extrapolation"):
        answer = run(fit, action(shift={"pride": high - low}))
    assert any("extrapolation" in note for note in answer.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(fit, action(shift={"pride": 0.05}))


def test_support_is_that_of_the_covered_units(fit):
    levels = fit.population.levels[:, 1]
    order = np.argsort(levels)
    top, rest = ([fit.population.units[i] for i in places] for places in (order[-6:], order[:-20]))
    step = float(levels.max() - np.sort(levels)[-6]) + 0.01
    with pytest.warns(RoxWarning, match="in 100% of the units"):
        run(fit, action(shift={"pride": step}, units=top))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(fit, action(shift={"pride": float(levels.max() - levels[order[-20]])}, units=rest))


def test_actions_that_leave_it_only_together_are_warned_of(fit):
    levels = fit.population.levels[:, 1]
    half = float(np.quantile(levels.max() - levels, 0.2) / 2 + 0.05)
    actions = [action("one", shift={"pride": half}), action("two", shift={"pride": half})]
    with pytest.warns(RoxWarning) as caught:
        run(fit, *actions)
    assert [str(w.message).split(" moves")[0] for w in caught] == ["one and two"]


def test_a_loaded_fit_warns_by_its_mean(fit, tmp_path):
    loaded = rox.load(fit.save(tmp_path / "f.json"))
    with pytest.warns(RoxWarning, match="beyond what was observed"):
        run(loaded, action(shift={"pride": 2.0}))


def test_a_matrix_without_means_says_what_could_not_be_checked(printed):
    m = printed.model.replace(constructs=[c.replace(scale=rox.Likert(1, 5)) for c in printed.model.constructs])
    matrix = [[1, 0.5, 0.3], [0.5, 1, 0.6], [0.3, 0.6, 1]]
    scaled = rox.fit(m, rox.Moments.from_correlation(["pride", "value", "sales"], matrix, n=200), method="path")
    answer = run(scaled)
    assert any("could not be checked" in note for note in answer.notes)


def test_the_summary_says_what_it_rests_on(fit):
    text = run(fit, action(cost=5_000.0), **MONEY).summary()
    for words in (
        "between units",
        "PwC publishes no formula",
        "60 units, discount 0.02",
        "95 % of 100 draws",
        "chance of a loss",
    ):
        assert words in text
    assert "<table" in run(fit)._repr_html_()
    assert repr(run(fit)) == "<Run of coaching over 3 waves, 100 draws>"
    html = run(fit, action("<script>", cost=1.0), **MONEY)._repr_html_()
    assert "<script>" not in html


def test_missing_scores_stand_at_the_mean_and_it_is_said():
    world = rox.datasets.make_world(50, seed=4, without_customers=0.2)
    answer = run(rox.fit(world.model, world.study(), method="path"))
    assert any("10 unit(s) lack some score" in note for note in answer.notes)


def test_one_intervention_need_not_be_a_list(fit):
    np.testing.assert_array_equal(rox.simulate(fit, action(), horizon=3, draws=100, seed=1).changes, run(fit).changes)


# --- what is refused


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([action(shift={"prid": 1})], r"shifts 'prid', which is no construct\. Did you mean 'pride'\?"),
        ([action(shift=None, set={"prid": 1})], r"sets 'prid', which is no construct\. Did you mean 'pride'\?"),
        ([action(shift={"pride": 4.1})], r"shifts 'pride' by 4\.1 points, more than its whole scale \(1 to 5\)"),
        ([action(shift={"pride": -4.1})], r"more than its whole scale"),
        ([action(shift={"pri1": 5})], r"shifts 'pri1' by 5 points, more than its whole scale \(1 to 5\)"),
        ([action(shift=None, set={"pride": 100})], r"sets 'pride' to 100, outside its scale\. Allowed: 1 to 5"),
        ([action(shift=None, set={"pride": 0.5})], r"sets 'pride' to 0\.5, outside its scale"),
        ([action(units=["B999"])], r"unit 'B999', which is not in the study"),
        ([action(units=[["a"]])], r"names the unit \['a'\], which is not in the study"),
        ([action(), action()], r"Two interventions are named 'coaching'"),
        ([action("total")], r"named 'total'"),
        ([action(start=9)], r"starts in wave 9, after the horizon of 3"),
        ([], "No intervention was given"),
        (["coaching"], "interventions= holds a str"),
        (
            [action("a", shift=None, set={"pride": 4}), action("b", shift=None, set={"pride": 3})],
            r"'a' and 'b' both set 'pride' in the same units and waves",
        ),
    ],
)
def test_actions_that_cannot_be_are_named(fit, actions, message):
    with pytest.raises(SimulationError, match=message):
        rox.simulate(fit, actions, horizon=3, draws=10, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "horizon= was 0"),
        ({"horizon": 2.5}, r"horizon= was 2\.5"),
        ({"horizon": True}, "horizon= was True"),
        ({"draws": 0}, "draws= was 0"),
        ({"draws": "many"}, "draws= was 'many'"),
        ({"discount": -1}, r"discount= was -1\. Allowed: a rate per wave above -1"),
        ({"discount": float("nan")}, "discount= was nan"),
        ({"discount": "2%"}, "discount= was '2%'"),
        ({"discount": -0.999, "horizon": 500}, r"discount=-0\.999 over 500 waves"),
        ({"seed": -1}, "seed= was -1"),
        ({"seed": "x"}, "seed= was 'x'"),
        ({"n_units": 0}, "n_units= was 0"),
        ({"n_units": 1.5}, r"n_units= was 1\.5"),
        ({"value": {"revenu": 1}}, r"value= names 'revenu'\. Did you mean 'revenue'\?"),
        ({"value": {"pride": 1}}, r"value= prices 'pride', which is no outcome.*'loyalty', 'revenue'"),
        ({"value": {"revenue": float("inf")}}, "value= prices 'revenue' at inf"),
        ({"value": {"revenue": "1000"}}, "value= prices 'revenue' at '1000'"),
        ({"value": {"revenue": None}}, "value= prices 'revenue' at None"),
        ({"value": 1_000.0}, r"value= was 1000\.0"),
    ],
)
def test_questions_that_cannot_be_asked_are_named(fit, options, message):
    with pytest.raises(RoxError, match=message):
        run(fit, **options)


@pytest.mark.parametrize("given", [None, 3, "coaching", {"pride": 1}])
def test_things_that_are_no_interventions_are_refused(fit, given):
    with pytest.raises(SimulationError, match="interventions= was"):
        rox.simulate(fit, given)


def test_things_that_are_no_fit_are_refused(fit):
    with pytest.raises(SimulationError, match="fit= was a RoxModel"):
        rox.simulate(fit.model, [action()])


def test_sets_without_means_and_units_without_names_are_refused(printed, fit, tmp_path):
    with pytest.raises(SimulationError, match="has no means"):
        run(printed, action(shift=None, set={"pride": 1}))
    loaded = rox.load(fit.save(tmp_path / "f.json"))
    for one in (printed, loaded):
        with pytest.raises(SimulationError, match="knows none by name"):
            run(one, action(units=["B001"]))


def test_sets_that_never_meet_are_no_contradiction(fit):
    units = fit.population.units
    pairs = [
        ({"units": units[:5]}, {"units": units[5:9]}),
        ({"fade": 1.0}, {"start": 2}),
    ]
    for one, two in pairs:
        a = action("a", shift=None, set={"pride": 3.6}, **one)
        b = action("b", shift=None, set={"pride": 3.7}, **two)
        run(fit, a, b)


def test_a_plot_of_another_kind_is_refused(fit):
    with pytest.raises(SimulationError, match=r"plot\('pie'\)"):
        run(fit).plot("pie")
    with pytest.raises(SimulationError, match="no money to draw"):
        run(fit).plot("rox")


def test_pictures_are_drawn(fit):
    pytest.importorskip("matplotlib")
    answer = run(fit, action(cost=5_000.0), action("b", shift={"value": 0.1}), **MONEY)
    for kind in ("effects", "rox"):
        assert answer.plot(kind).axes
    assert fit.plot().axes
    assert "pride" in fit.to_mermaid()
    assert "pride" in fit.to_dot()
