"""What would have been in one unit: abduction, action, prediction; what is known of a unit and what is not."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import roxmodel as rox
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.records import Verdict
from roxmodel.simulation.abduction import one_unit
from roxmodel.simulation.counterfactual import counterfactual

EXACT = {"rtol": 1e-10, "atol": 1e-10}  # algebra in double precision
DRAWS = 200
UNITS = 60
COLUMNS = ["construct", "observed", "counterfactual", "change", "ci_low", "ci_high", "capped", "basis", "estimate"]


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(UNITS, seed=1, employees=(5, 30))


@pytest.fixture(scope="module")
def fit(world):
    """Composites of the units, taken as known."""
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def linked(world):
    """Latent levels of the units, predicted."""
    return rox.fit(world.model, world.study())


def ask(fit, unit, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        return counterfactual(fit, unit, **{"draws": DRAWS, "seed": 1, **options})


def unit_model(edges, scales=None, factor="outcomes", **options):
    """Constructs of one figure of the unit each."""
    names = sorted({name for edge in edges for name in edge.replace("->", "+").replace(" ", "").split("+")})
    constructs = [
        rox.Construct(name=n, factor=factor, source="unit", items=[rox.Item(name=n, scale=(scales or {}).get(n))])
        for n in names
    ]
    return rox.RoxModel(name="m", constructs=constructs, edges=edges, **options)


def figures(n=80, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 1, n)
    z = 0.5 * x + rng.normal(1, 1, n)
    m = 1 + 0.6 * x + rng.normal(0, 0.7, n)
    y = 2 - 0.4 * x + 0.8 * m + 0.3 * z + rng.normal(0, 1, n)
    return pd.DataFrame({"x": x, "z": z, "m": m, "y": y, "key": [f"u{i:02d}" for i in range(n)]})


CHAIN = ["x -> z", "x -> m", "x + m + z -> y"]


def fitted(table, edges=CHAIN, scales=None, **options):
    model = unit_model(edges, scales, **options)
    return rox.fit(model, rox.Study(model, unit=table, by="key"), method="path")


def place(fit, name):
    return fit.model.names.index(name)


# --- abduction, action, prediction


def test_it_is_abduction_action_and_prediction(fit):
    """By hand: disturbances from the unit's levels, one construct at a time with its equation replaced or moved."""
    system, levels = fit.system(fit.answer_draws(DRAWS, 1)), fit.population.levels[7]
    answer = ask(fit, fit.population.units[7], do={"behaviours": 3.1}, shift={"value": 0.2})
    expected = np.empty((DRAWS, len(levels)))
    for draw in range(DRAWS):
        start, slopes = system.intercepts[draw], system.coefficients[draw]
        own = levels - start - slopes @ levels  # abduction
        y = np.zeros(len(levels))
        for at in system.order:
            y[at] = start[at] + slopes[at] @ y + own[at]  # prediction
            if at == place(fit, "behaviours"):
                y[at] = 3.1  # action
            if at == place(fit, "value"):
                y[at] += 0.2
        expected[draw] = y - levels
    np.testing.assert_allclose(answer.changes, expected, rtol=1e-9, atol=1e-9)


def test_the_table_says_what_was_and_what_would_have_been(fit):
    answer = ask(fit, "B007", do={"pride": 3.6})
    table = answer.table()
    assert list(table.columns) == COLUMNS
    assert table["construct"].tolist() == list(fit.model.names)
    np.testing.assert_array_equal(table["observed"], fit.population.levels[6])
    np.testing.assert_allclose(table["counterfactual"], table["observed"] + table["change"], **EXACT)
    np.testing.assert_allclose(table["change"], answer.changes.mean(axis=0), **EXACT)
    np.testing.assert_allclose(table["ci_low"], np.quantile(answer.changes, 0.025, axis=0), **EXACT)
    assert set(table["basis"]) == {"observed"}
    assert table.set_index("construct").loc["pride", "counterfactual"] == 3.6


def test_do_what_was_observed_returns_what_was_observed(fit):
    for unit, levels in zip(fit.population.units[:5], fit.population.levels[:5], strict=True):
        given = {name: float(levels[place(fit, name)]) for name in ("pride", "value")}
        table = ask(fit, unit, do=given).table()
        np.testing.assert_array_equal(table["counterfactual"], table["observed"])
        np.testing.assert_array_equal(table[["change", "ci_low", "ci_high"]], 0.0)


def test_over_all_units_it_is_what_simulate_says(fit):
    """Where no end of a scale is near."""
    run = rox.simulate(fit, [rox.Intervention(name="do", set={"pride": 3.5})], horizon=1, draws=DRAWS, seed=1)
    every = np.mean([ask(fit, unit, do={"pride": 3.5}).changes for unit in fit.population.units], axis=0)
    np.testing.assert_allclose(every, run.changes[:, 0], **EXACT)


def test_equal_seeds_give_equal_bits(linked):
    one, two = (ask(linked, "B003", do={"pride": 3.6}) for _ in range(2))
    np.testing.assert_array_equal(one.changes, two.changes)
    assert (ask(linked, "B003", do={"pride": 3.6}, seed=2).changes != one.changes).any()
    with pytest.raises(ValueError, match="read-only"):
        one.changes[0, 0] = 1.0


def test_an_item_is_a_lever_of_its_construct(fit):
    by_item, by_construct = ask(fit, "B003", shift={"pri2": 0.4}), ask(fit, "B003", shift={"pride": 0.1})
    np.testing.assert_allclose(by_item.changes, by_construct.changes, **EXACT)
    assert "treated as a lever" in by_item.summary()


# --- levels that are not observed


def test_a_latent_level_is_predicted_and_drawn(linked):
    scores = linked.unit_scores().set_index("branch").loc["B005"]
    answer = ask(linked, "B005", do={"pride": 3.6}, draws=2_000)
    table = answer.table().set_index("construct")
    assert table["basis"].tolist() == ["predicted"] * 5 + ["observed"] * 2
    assert table.loc["pride", "observed"] == scores["pride"]
    assert table.loc["pride", "counterfactual"] == 3.6
    np.testing.assert_allclose(table.loc["pride", "change"], 3.6 - scores["pride"], **EXACT)
    pulls = answer.changes[:, place(linked, "pride")]
    error = scores["pride_se"] / np.sqrt(2 * 2_000)  # of a standard deviation of so many normal draws
    assert pulls.std() == pytest.approx(scores["pride_se"], abs=5 * error)
    total = np.linalg.inv(np.eye(7) - linked.system(linked.answer_draws(2_000, 1), marker=True).coefficients)
    expected = total[:, :, place(linked, "pride")] * pulls[:, None]
    np.testing.assert_allclose(answer.changes, expected, rtol=1e-9, atol=1e-12)
    assert "predicted from all that is known of the unit" in answer.summary()
    assert "about" in answer.summary()


def test_do_what_is_predicted_changes_nothing_on_average(linked):
    level = linked.unit_scores().set_index("branch").loc["B005", "pride"]
    table = ask(linked, "B005", do={"pride": float(level)}).table().set_index("construct")
    assert abs(table.loc["pride", "change"]) < 1e-12
    assert table.loc["pride", "ci_low"] < 0 < table.loc["pride", "ci_high"]


def test_a_figure_of_the_unit_is_observed_in_a_linked_fit_too(linked):
    level = float(linked.population.levels[4, place(linked, "affluence")])
    answer = ask(linked, linked.population.units[4], do={"affluence": level})
    assert not answer.changes.any()


@pytest.mark.slow
def test_scaling_changes_nothing(world):
    marker, standardized = (rox.fit(world.model, world.study(), scaling=s) for s in ("marker", "standardized"))
    still = [replace(one, vcov=np.zeros_like(one.vcov)) for one in (marker, standardized)]
    one, two = (ask(f, "B004", do={"pride": 3.6}).table() for f in still)
    numbers = ["observed", "counterfactual", "change"]
    np.testing.assert_allclose(one[numbers], two[numbers], rtol=1e-4, atol=1e-5)  # two optima of one likelihood


def test_small_groups_stay_hidden():
    world = rox.datasets.make_world(UNITS, seed=1, employees=(3, 30))
    linked = rox.fit(world.model, world.study())
    scores = linked.unit_scores()
    unit = scores.loc[scores["hidden"] != "", "branch"].iloc[0]
    answer = ask(linked, unit, shift={"pride": 0.3})
    table, shown = answer.table().set_index("construct"), scores.set_index("branch").loc[unit]
    hidden = shown["hidden"].split(", ")
    assert table.index[table["basis"] == "hidden"].tolist() == hidden
    assert table.loc[hidden, ["observed", "counterfactual"]].isna().to_numpy().all()
    assert table["change"].notna().all()
    others = [name for name in linked.model.names if name not in hidden]
    np.testing.assert_array_equal(table.loc[others, "observed"].astype(float), shown[others].astype(float))
    assert "Hidden, because fewer than 5 people answered" in answer.summary()
    assert "ends of its scale held nothing back" in answer.summary()
    with pytest.raises(SimulationError, match=rf"{hidden[0]!r} in {unit!r} is not known \(too few people.*shift="):
        ask(linked, unit, do={hidden[0]: 3.0})


def test_a_score_that_is_missing_leaves_the_change_known():
    table = figures()
    table.loc[4, "m"] = np.nan
    fit = fitted(table)
    answer = ask(fit, "u04", do={"x": 4.0})
    found = answer.table().set_index("construct")
    assert found.loc["m", "basis"] == "unknown"
    assert np.isnan(found.loc["m", ["observed", "counterfactual"]].astype(float)).all()
    total = np.linalg.inv(np.eye(4) - fit.system(fit.answer_draws(DRAWS, 1)).coefficients)
    pushed = (4.0 - table.loc[4, "x"]) * total[:, :, place(fit, "x")]
    np.testing.assert_allclose(answer.changes, pushed, **EXACT)
    assert found.loc["y", "counterfactual"] == pytest.approx(table.loc[4, "y"] + pushed[:, place(fit, "y")].mean())
    assert "no score of 'm': that level is unknown" in answer.summary()
    with pytest.raises(SimulationError, match=r"'m' in 'u04' is not known \(nobody answered\).*shift=\{'m'"):
        ask(fit, "u04", do={"m": 1.0})


# --- curves, ends of scales, loops


def yes_no(n=200):
    rng = np.random.default_rng(5)
    table = figures(n)[["x", "m", "key"]]
    table["w"] = (rng.random(n) < expit(-2 + 0.8 * table["m"])).astype(float)
    table["y"] = 1 + 2 * table["w"] + rng.normal(size=n)
    return fitted(table, ["x -> m", "x + m -> w", "w -> y"], {"w": rox.Binary()}), table


@pytest.mark.parametrize("certified", [0.0, 1.0])
def test_of_a_yes_or_no_the_change_is_given_what_it_was(certified):
    """A yes stays one where its cause is raised; a no becomes a yes with (q - p) / (1 - p)."""
    fit, table = yes_no()
    at = int(table.index[table["w"] == certified][1])
    answer = ask(fit, f"u{at:02d}", shift={"m": 1.0})
    system, level = fit.system(fit.answer_draws(DRAWS, 1)), table.loc[at]
    weights = system.coefficients[:, place(fit, "w")]
    base = system.intercepts[:, place(fit, "w")] + weights[:, place(fit, "m")] * level["m"]
    base = base + weights[:, place(fit, "x")] * level["x"]
    p, q = expit(base), expit(base + weights[:, place(fit, "m")])
    expected = np.minimum(q / p, 1) - 1 if certified else np.maximum((q - p) / (1 - p), 0)
    np.testing.assert_allclose(answer.changes[:, place(fit, "w")], expected, **EXACT)
    onward = expected * system.coefficients[:, place(fit, "y"), place(fit, "w")]
    np.testing.assert_allclose(answer.changes[:, place(fit, "y")], onward, **EXACT)
    found = answer.table().set_index("construct")
    assert np.isnan(found.loc["w", "counterfactual"])
    assert found.loc["y", "counterfactual"] == pytest.approx(level["y"] + onward.mean())
    assert "would have been is not unique" in answer.summary()
    assert (answer.changes[:, place(fit, "w")] > 0).mean() < 0.1 or not certified


def test_an_outcome_after_an_outcome_is_that_of_enumeration():
    """Two yes/nos in a row and a figure after them: every value of the first, weighted, at the estimate."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=400)
    w = (rng.random(400) < expit(0.8 * x)).astype(float)
    v = (rng.random(400) < expit(-1 + 2 * w)).astype(float)
    table = pd.DataFrame(
        {"x": x, "w": w, "v": v, "y": 3 * v + rng.normal(size=400), "key": [f"u{i}" for i in range(400)]}
    )
    fit = fitted(table, ["x -> w", "w -> v", "v -> y"], {"w": rox.Binary(), "v": rox.Binary()})
    system = fit.system()
    at = int(np.flatnonzero((w == 0) & (v == 0))[0])
    names = list(fit.model.names)
    (a, b), (c, d) = (
        (system.intercepts[0, names.index(e)], system.coefficients[0, names.index(e), names.index(f)])
        for e, f in (("w", "x"), ("v", "w"))
    )
    p, q = expit(a + b * x[at]), expit(a + b * (x[at] + 1))
    rise = (q - p) / (1 - p)
    expected = rise * (expit(c + d) - expit(c)) / (1 - expit(c))
    answer = ask(fit, f"u{at}", shift={"x": 1.0}, draws=4_000)
    found = dict(zip(names, answer.changes.mean(axis=0), strict=True))
    assert found["w"] == pytest.approx(rise, rel=0.1)  # draws of the parameters around the estimate
    assert found["v"] == pytest.approx(expected, rel=0.15)
    assert found["y"] == pytest.approx(
        found["v"] * system.coefficients[0, names.index("y"), names.index("v")], rel=0.05
    )


def test_a_yes_or_no_can_be_set_and_stays_where_nothing_reaches_it():
    fit, table = yes_no()
    found = ask(fit, "u10", do={"w": 1.0}).table().set_index("construct")
    assert found.loc["w", "counterfactual"] == 1.0
    assert "not unique" not in ask(fit, "u10", do={"w": 1.0}).summary()
    found = ask(fit, "u10", do={"y": 3.0}).table().set_index("construct")
    assert found.loc["w", "counterfactual"] == table.loc[10, "w"]


def test_a_curve_over_an_unknown_level_is_unknown():
    fit, table = yes_no()
    table.loc[3, "x"] = np.nan
    fit = fitted(table, ["x -> m", "x + m -> w", "w -> y"], {"w": rox.Binary()})
    answer = ask(fit, "u03", shift={"m": 1.0})
    found = answer.table().set_index("construct")
    assert found["change"].isna().tolist() == [False, True, False, True]  # m, w, x, y
    assert "change of 'w', 'y' is not known" in answer.summary()
    assert "'x', which is not" in answer.summary()
    assert ask(fit, "u03", shift={"y": 1.0}).table()["change"].notna().all()


def test_the_end_of_a_scale_holds_the_unit():
    table = figures()
    table["x"] = table["x"].clip(1, 5)
    fit = fitted(table, scales={"x": rox.Likert(1, 5, whole=False)})
    high = table["x"].idxmax()
    answer = ask(fit, f"u{high:02d}", shift={"x": 3.0})
    found = answer.table().set_index("construct")
    assert found.loc["x", "counterfactual"] == 5.0
    assert found.loc["x", "capped"] == 1.0
    assert "'x': the end of the scale cut the change." in answer.summary()


def test_in_a_loop_the_change_is_that_of_the_equilibrium():
    """Two constructs that cause each other, each with an instrument of its own."""
    rng = np.random.default_rng(8)
    n = 300
    a, b = rng.normal(size=(2, n))
    own = rng.normal(0, 0.5, (2, n))
    x, y = np.linalg.solve([[1, -0.3], [-0.4, 1]], np.stack([a, b]) + own)
    model = unit_model(["a + y -> x", "b + x -> y"], feedback=True)
    study = rox.Study(model, unit=pd.DataFrame({"a": a, "b": b, "x": x, "y": y, "key": range(n)}), by="key")
    fit = rox.fit(model, study, method="linked")
    answer = ask(fit, 12, do={"a": 2.0})
    slopes = fit.system(fit.answer_draws(DRAWS, 1), marker=True).coefficients
    expected = np.linalg.inv(np.eye(4) - slopes)[:, :, 0] * (2.0 - a[12])
    np.testing.assert_allclose(answer.changes, expected, rtol=1e-8, atol=1e-8)
    held = ask(fit, 12, do={"x": float(x[12]) + 1})  # setting one cuts the loop
    np.testing.assert_allclose(held.changes[:, 3], slopes[:, 3, 2], rtol=1e-8)
    assert "Feedback loop" in answer.summary()


def test_lagged_edges_do_not_act():
    model = unit_model(CHAIN)
    late = model.replace(edges=[*model.edges, rox.Edge(cause="y", effect="x", lag=1, fixed=0.2)])
    table = figures()
    plain, lagged = (rox.fit(m, rox.Study(m, unit=table, by="key"), method="path") for m in (model, late))
    one, two = (ask(f, "u02", do={"x": 4.0}) for f in (plain, lagged))
    np.testing.assert_allclose(one.changes, two.changes, **EXACT)
    assert "Lagged edges do not act" in two.summary()


# --- rows


def test_of_rows_the_number_of_the_row_is_asked_for():
    table = figures()
    fit = rox.fit(unit_model(CHAIN), table, method="path")
    answer = ask(fit, np.int64(12), do={"x": 4.0})
    np.testing.assert_array_equal(answer.table()["observed"], table.loc[12, ["m", "x", "y", "z"]].astype(float))
    assert repr(answer) == f"<Counterfactual of row 12, had x been 4, {DRAWS} draws>"
    for wrong in (-1, 80, "u12", True, 3.0):
        with pytest.raises(SimulationError, match=r"a fit of rows, which have no names.*0 to 79"):
            ask(fit, wrong, do={"x": 4.0})


# --- words


def test_the_answer_speaks_plainly(fit):
    answer = ask(fit, "B007", do={"pride": 3.6}, shift={"loyalty": -0.2})
    assert repr(answer) == f"<Counterfactual of unit 'B007', had pride been 3.6 and loyalty 0.2 lower, {DRAWS} draws>"
    text = answer.summary()
    assert str(answer) == text
    assert text.splitlines()[0] == "Counterfactual: unit 'B007', had pride been 3.6 and loyalty 0.2 lower"
    for part in ("Abduction, action, prediction", "nothing unmeasured acts", "Unit means are taken as exact"):
        assert part in text
    assert "influencers" not in text.split("Small print")[0]  # nothing upstream moves
    assert answer._repr_html_().count("<li>") == text.count("\n- ")


def test_beyond_what_was_observed_it_warns(fit):
    with pytest.warns(RoxWarning, match="'pride' is brought to 5, beyond what was observed"):
        answer = counterfactual(fit, "B007", do={"pride": 5.0}, draws=10, seed=1)
    assert "extrapolation" in answer.summary()


# --- refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Nothing is otherwise"),
        ({"do": {}}, "Nothing is otherwise"),
        ({"do": {"prid": 3.0}}, "'prid', which is no construct. Did you mean 'pride'?"),
        ({"shift": {"prid": 0.1}}, "'prid', which is no construct. Did you mean 'pride'?"),
        ({"do": {"pride": 9.0}}, "outside its scale. Allowed: 1 to 5"),
        ({"shift": {"pride": 4.5}}, "more than its whole scale"),
        ({"do": {"pride": 3.0}, "shift": {"pride": 0.1}}, "'pride' is in do= and in shift="),
        ({"do": {"pride": 3.0}, "shift": {"pri1": 0.1}}, "'pride' is in do=, and one of its items"),
        ({"do": ["pride"]}, r"do= was \['pride'\]"),
        ({"shift": "pride"}, "shift= was 'pride'"),
        ({"do": {"pride": "high"}}, "do= takes 'pride' to 'high'. Allowed: a finite number"),
        ({"do": {"pride": np.nan}}, "Allowed: a finite number"),
        ({"shift": {"pride": True}}, "Allowed: a finite number"),
        ({"do": {"pride": 3.0}, "draws": 0}, "draws= was 0"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_sentence(fit, options, message):
    with pytest.raises(SimulationError, match=message):
        ask(fit, "B007", **options)


@pytest.mark.parametrize("unit", ["B7", "B999", 7, None, ["B007"], np.arange(3), True])
def test_a_unit_that_is_not_there(fit, unit):
    with pytest.raises(SimulationError, match="not in the study"):
        ask(fit, unit, do={"pride": 3.0})


def test_a_key_of_another_type_is_named():
    table = figures().assign(key=range(80))
    fit = fitted(table)
    with pytest.raises(SimulationError, match="keys are of type 'int': write 12"):
        ask(fit, "12", do={"x": 3.0})
    assert ask(fit, np.int64(12), do={"x": 3.0}).unit == 12


def test_a_fit_without_units_is_refused(fit, linked, tmp_path):
    for one in (fit, linked):
        with pytest.raises(SimulationError, match="loaded from a document, which holds no unit"):
            ask(rox.load(one.save(tmp_path / f"{one.method}.json")), "B007", do={"pride": 3.0})
    model = unit_model(CHAIN)
    with pytest.raises(SimulationError, match="method 'sem' works on their moments"):
        ask(rox.fit(model, figures(), method="sem"), 3, do={"x": 3.0})
    printed = rox.Moments.from_covariance(list("mxyz"), figures()[list("mxyz")].cov(), n=80)
    with pytest.raises(SimulationError, match="a printed matrix"):
        ask(rox.fit(model, printed, method="path"), 3, do={"x": 3.0})


def test_a_fit_that_did_not_converge_is_refused(fit):
    failed = replace(fit, verdicts={**fit.verdicts, "converged": Verdict(False, "it went astray")})
    with pytest.raises(SimulationError, match="did not converge"):
        ask(failed, "B007", do={"pride": 3.0})
    assert ask(failed, "B007", do={"pride": 3.0}, unconverged=True).changes.shape == (DRAWS, 7)
    with pytest.raises(SimulationError, match="fit= was a str"):
        ask("fit", "B007", do={"pride": 3.0})


def test_levels_of_one_unit_are_drawn_around_what_is_predicted(linked):
    """With the covariance of the errors, whatever the draws are."""
    known = one_unit(linked, "B010")
    drawn = known.drawn(4_000, seed=3)
    np.testing.assert_allclose(drawn.mean(axis=0), known.levels, rtol=1e-12)
    expected = known.root @ known.root.T
    bound = 5 * np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / 4_000)
    assert (np.abs(np.cov(drawn, rowvar=False) - expected) <= bound + 1e-15).all()
    np.testing.assert_allclose(np.sqrt(np.diag(expected)), linked.predicted.errors[9], rtol=1e-6, atol=1e-9)
