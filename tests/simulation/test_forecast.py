"""What to expect when nothing is done: seeing against doing, one unit, curves, intervals, refusals."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

import roxmodel as rox
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.records import Verdict
from roxmodel.result.levels import JointLevels, joint_of
from roxmodel.simulation.forecast import conditioned, forecast, mixture_quantiles

EXACT = {"rtol": 1e-9, "atol": 1e-9}  # algebra in double precision
DRAWS = 400
UNITS = 60
COLUMNS = ["construct", "wave", "mean", "ci_low", "ci_high", "pi_low", "pi_high", "estimate"]
Z = norm.ppf(0.975)


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(UNITS, seed=1, employees=(5, 30), confounding=0.6)


@pytest.fixture(scope="module")
def fit(world):
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def linked(world):
    return rox.fit(world.model, world.study())


def expect(fit, given=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        return forecast(fit, given, **{"draws": DRAWS, "seed": 1, **options})


def at_the_estimate(fit):
    """The same fit without uncertainty."""
    return replace(fit, vcov=np.zeros_like(fit.vcov))


def unit_model(edges, scales=None, **options):
    names = sorted({name for edge in edges for name in edge.replace("->", "+").replace(" ", "").split("+")})
    constructs = [
        rox.Construct(name=n, factor="outcomes", source="unit", items=[rox.Item(name=n, scale=(scales or {}).get(n))])
        for n in names
    ]
    return rox.RoxModel(name="m", constructs=constructs, edges=edges, **options)


def figures(n=150, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 1, n)
    z = 0.5 * x + rng.normal(1, 1, n)
    m = 1 + 0.6 * x + rng.normal(0, 0.7, n)
    y = 2 - 0.4 * x + 0.8 * m + 0.3 * z + rng.normal(0, 1, n)
    return pd.DataFrame({"x": x, "z": z, "m": m, "y": y, "key": [f"u{i:03d}" for i in range(n)]})


FULL = ["x -> z", "x + z -> m", "x + m + z -> y"]  # says nothing of the covariances, so that they are the sample's


def fitted(table, edges=FULL, scales=None, **options):
    model = unit_model(edges, scales)
    return rox.fit(model, rox.Study(model, unit=table, by="key"), method="path", **options)


def named(answer):
    table = answer.table()
    return table[table["wave"] == 1].set_index("construct")


# --- seeing


def test_seeing_is_the_plain_regression():
    """Of y on what is seen and nothing else, whatever confounds it."""
    table = figures()
    fit = at_the_estimate(fitted(table))
    found = named(expect(fit, {"m": 3.5}))
    slope, start = np.polyfit(table["m"], table["y"], 1)
    assert found.loc["y", "mean"] == pytest.approx(start + 3.5 * slope, rel=1e-9)
    both = named(expect(fit, {"m": 3.5, "z": 2.0}))
    design = np.column_stack([np.ones(150), table["m"], table["z"]])
    weights = np.linalg.lstsq(design, table["y"], rcond=None)[0]
    assert both.loc["y", "mean"] == pytest.approx(weights @ [1, 3.5, 2.0], rel=1e-9)
    left = table["y"] - design @ weights
    half = both.loc["y", "pi_high"] - both.loc["y", "mean"]
    assert half == pytest.approx(Z * np.sqrt((left**2).mean()), rel=1e-6)


def test_seeing_is_not_doing_and_both_are_told():
    table = figures()
    fit = at_the_estimate(fitted(table))
    answer = expect(fit, {"m": 3.5})
    run = rox.simulate(fit, [rox.Intervention(name="do", set={"m": 3.5})], horizon=1, draws=1)
    np.testing.assert_allclose(answer.setting, fit.population.mean + run.changes[0, 0], **EXACT)
    assert abs(answer.setting - answer.means[0])[2] > 0.1  # y, which x confounds
    text = answer.summary()
    assert "Seeing is not doing. Were m at 3.5 not seen but set everywhere" in text
    assert "Seeing is not doing" in answer._repr_html_()
    agree = expect(fit, {"x": 3.5})
    np.testing.assert_allclose(agree.setting, agree.means[0], **EXACT)
    assert "Seeing x at 3.5 and setting it come to the same here" in agree.summary()


def test_nothing_seen_is_the_mean_and_where_units_lie(fit):
    found, mean = named(expect(fit, draws=4_000)), fit.population.mean
    sd = np.sqrt(np.diag(fit.population.covariance))
    errors = (found["ci_high"] - found["ci_low"]) / (2 * Z)
    np.testing.assert_allclose(errors, sd / np.sqrt(UNITS), rtol=0.15)  # HC3 is a little wider
    assert (np.abs(found["mean"] - mean) < 4 * errors / np.sqrt(4_000)).all()
    wide = (found["pi_high"] - found["pi_low"]) / (2 * Z)
    np.testing.assert_allclose(wide, sd * np.sqrt(1 + 1 / UNITS), rtol=0.05)


def test_waves_are_alike(fit):
    table = expect(fit, {"pride": 3.6}, horizon=3).table()
    assert list(table.columns) == COLUMNS
    assert table["construct"].drop_duplicates().tolist() == list(fit.model.names)
    assert table.groupby("construct")["wave"].apply(list).map(tuple).unique().tolist() == [(1, 2, 3)]
    assert (table.groupby("construct")[COLUMNS[2:]].nunique() == 1).all().all()
    assert "waves are alike" in expect(fit, horizon=3).summary()


def test_what_is_seen_is_known(fit):
    found = named(expect(fit, {"pride": 3.6})).loc["pride", COLUMNS[2:]]
    assert (found == 3.6).all()


def test_equal_seeds_give_equal_bits(fit):
    one, two = (expect(fit, {"pride": 3.6}) for _ in range(2))
    np.testing.assert_array_equal(one.means, two.means)
    pd.testing.assert_frame_equal(one.table(), two.table(), check_exact=True)
    assert (expect(fit, {"pride": 3.6}, seed=2).means != one.means).any()
    with pytest.raises(ValueError, match="read-only"):
        one.means[0, 0] = 1.0


def test_intervals_are_quantiles_of_the_draws(fit):
    answer = expect(fit, {"pride": 3.6})
    found = named(answer)
    np.testing.assert_allclose(found["ci_low"], np.quantile(answer.means, 0.025, axis=0), **EXACT)
    rng = np.random.default_rng(0)
    some = answer.means[:, 5] + answer.spreads[:, 5] * rng.standard_normal((4_000, DRAWS))
    for column, share in (("pi_low", 0.025), ("pi_high", 0.975)):
        below = float((some < found.loc["revenue", column]).mean())
        assert below == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / some.size))


def test_quantiles_of_mixtures_with_points():
    mean, spread = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 0.0]])
    found = mixture_quantiles(mean, spread, (0.1, 0.9))
    np.testing.assert_allclose(found[:, 1], 1.0)
    for share, at in zip((0.1, 0.9), found[:, 0], strict=True):
        assert (norm.cdf((at - 1) / 2) + (at >= 0)) / 2 == pytest.approx(share, abs=1e-9)


# --- how means vary


def test_means_of_rows_vary_as_means_do():
    """Classical errors: the variance of an implied mean is that of the sample mean."""
    table = figures()
    fit = fitted(table, se="standard")
    joint = joint_of(fit, fit.answer_draws(20_000, 1), 1)
    implied = np.cov(joint.mean, rowvar=False)
    own = table[list(fit.model.names)].cov(ddof=0) / 150
    # regressions divide by what is left of n; the draws' own error is 1 % of a variance
    np.testing.assert_allclose(implied, own, rtol=0.07, atol=1e-4)


def test_means_of_a_bootstrap_are_those_of_its_replicates():
    table = figures()
    fit = fitted(table, bootstrap=30, seed=1, progress=False)
    answer = expect(fit, draws=30)
    weights = np.array([fit.bootstrap_weights(i) for i in range(30)])
    np.testing.assert_allclose(answer.means, weights @ table[list(fit.model.names)] / 150, **EXACT)


def latent(n=400):
    rng = np.random.default_rng(2)
    pride = rng.normal(size=n)
    table = pd.DataFrame({f"p{i}": 4 + pride + rng.normal(0, 0.6, n) for i in (1, 2, 3)})
    table["y"] = 10 + 2 * pride + rng.normal(size=n)
    items = {"pride": ["p1", "p2", "p3"], "y": ["y"]}
    constructs = [rox.Construct(name=c, factor="outcomes", source="unit", items=i) for c, i in items.items()]
    return rox.RoxModel(name="m", constructs=constructs, edges=["pride -> y"]), table


def test_latent_means_of_a_bootstrap_are_those_of_its_replicates():
    model, table = latent()
    fit = rox.fit(model, table, means=True, se="bootstrap", bootstrap=12, seed=1, progress=False)
    weights = np.array([fit.bootstrap_weights(i) for i in range(12)])
    np.testing.assert_allclose(expect(fit, draws=12).means, weights @ table[["p1", "y"]] / 400, rtol=1e-6)


def test_of_latent_constructs_without_modelled_means_they_vary_as_sample_means():
    (model, table), n = latent(), 400
    answers = {
        name: expect(rox.fit(model, table, **options), draws=4_000)
        for name, options in {
            "plain": {},
            "means": {"means": True},
            "standardized": {"scaling": "standardized"},
        }.items()
    }
    error = table[["p1", "y"]].std(ddof=0) / np.sqrt(n)
    for answer in answers.values():
        np.testing.assert_allclose(answer.means.mean(axis=0), table[["p1", "y"]].mean(), atol=4 * error.max() / 60)
        np.testing.assert_allclose(answer.means.std(axis=0), error, rtol=0.06)  # 4,000 draws: 1.1 % each
        np.testing.assert_allclose(
            answer.spreads.mean(axis=0), answers["plain"].spreads.mean(axis=0), rtol=0.02
        )  # points of the first item, whatever the scaling


def test_a_latent_level_that_is_seen(linked):
    """By hand, at the estimate, from what the fit says varies between units."""
    answer = expect(at_the_estimate(linked), {"pride": 3.6, "affluence": 26.0})
    mean, covariance = linked.population.mean, linked.population.covariance
    own = [1, 6]
    slopes = covariance[:, own] @ np.linalg.inv(covariance[np.ix_(own, own)])
    np.testing.assert_allclose(answer.means[0], mean + slopes @ ([3.6, 26.0] - mean[own]), rtol=1e-6)
    left = np.diag(covariance - slopes @ covariance[own])
    np.testing.assert_allclose(answer.spreads[0] ** 2, np.maximum(left, 0), rtol=1e-6, atol=1e-9)


def test_a_negative_variance_in_a_draw_is_said():
    psi = np.array([[[1.0, 0.2], [0.2, 1.0]], [[1.0, 0.2], [0.2, -0.1]]])
    left = conditioned(JointLevels(np.zeros((2, 2)), np.maximum(psi, 0)), [1], np.array([1.0]))
    assert np.isfinite(left.mean).all()  # a direction without variance tells nothing
    table = figures(25)
    fit = fitted(table)
    wide = fit.vcov.copy()
    at = fit.table.row("variance:y").free - 1
    wide[at, at] = (2 * fit.theta[at]) ** 2
    answer = expect(replace(fit, vcov=wide), {"m": 3.0})
    assert np.isfinite(answer.means).all()
    assert "a variance came out below 0 and was set to 0" in answer.summary()


# --- one unit


def test_a_unit_that_is_known_stays_where_it_is(fit):
    answer = expect(fit, unit="B007")
    np.testing.assert_array_equal(answer.means[0], fit.population.levels[6])
    assert not answer.spreads.any()
    assert answer.setting is None
    assert repr(answer) == f"<Forecast of unit 'B007', 1 wave, {DRAWS} draws>"


def test_a_score_that_is_missing_is_expected_from_the_others():
    table = figures()
    table.loc[4, ["m", "y"]] = np.nan
    fit = at_the_estimate(fitted(table))
    found = named(expect(fit, unit="u004"))
    system = fit.system()
    mean = np.linalg.solve(np.eye(4) - system.coefficients[0], system.intercepts[0])
    covariance, own = fit.population.covariance, [1, 3]  # x and z, of m x y z
    slopes = covariance[:, own] @ np.linalg.inv(covariance[np.ix_(own, own)])
    expected = mean + slopes @ (table.loc[4, ["x", "z"]].to_numpy(dtype=float) - mean[own])
    np.testing.assert_allclose(found["mean"], expected, **EXACT)
    left = np.sqrt(np.diag(covariance - slopes @ covariance[own])[0])
    assert (found.loc["m", "pi_high"] - found.loc["m", "mean"]) / Z == pytest.approx(left, rel=1e-6)
    assert "no score of 'm', 'y'" in expect(fit, unit="u004").summary()


def test_a_unit_of_a_linked_fit_is_what_is_predicted_of_it(linked):
    answer, scores = expect(linked, unit="B005"), linked.unit_scores().set_index("branch").loc["B005"]
    found = named(answer)
    for name in linked.model.names:
        error = float(scores[f"{name}_se"])
        assert found.loc[name, "mean"] == pytest.approx(scores[name], rel=1e-12)
        assert (found.loc[name, "pi_high"] - found.loc[name, "pi_low"]) / (2 * Z) == pytest.approx(error, abs=1e-6)
        assert np.isnan(found.loc[name, "ci_low"]) == (error > 0)
    assert "the parameters taken as known" in answer.summary()


def test_what_is_seen_of_a_unit_beside_what_is_known(linked):
    place = linked.model.names.index("value")
    answer = expect(linked, {"value": 3.6}, unit="B005")
    root, levels = linked.population.roots[4], linked.population.levels[4]
    error = root @ root.T
    expected = levels + error[:, place] / error[place, place] * (3.6 - levels[place])
    np.testing.assert_allclose(answer.means[0], expected, rtol=1e-9)
    assert repr(answer) == "<Forecast of unit 'B005' seen with value at 3.6, 1 wave, 1 draw>"


def test_small_groups_stay_hidden():
    world = rox.datasets.make_world(UNITS, seed=1, employees=(3, 30))
    linked = rox.fit(world.model, world.study())
    scores = linked.unit_scores()
    row = scores.loc[scores["hidden"] != ""].iloc[0]
    hidden = row["hidden"].split(", ")
    answer = expect(linked, unit=row["branch"])
    found = named(answer)
    assert found.loc[hidden].drop(columns="wave").isna().to_numpy().all()
    others = [name for name in linked.model.names if name not in hidden]
    np.testing.assert_allclose(found.loc[others, "mean"], row[others].astype(float), rtol=1e-12)
    assert "not known" in answer.summary()
    with pytest.raises(SimulationError, match="too few people answered"):
        expect(linked, {hidden[0]: 3.5}, unit=row["branch"])


def test_a_unit_cannot_be_seen_where_it_is_not(fit):
    level = fit.population.levels[6, 1]
    same = expect(fit, {"pride": float(level)}, unit="B007")
    np.testing.assert_array_equal(same.means[0], fit.population.levels[6])
    with pytest.raises(
        SimulationError, match=r"known to stand at .* is counterfactual\(fit, 'B007', do=\{'pride': 4\}"
    ):
        expect(fit, {"pride": 4.0}, unit="B007")


# --- curves, loops, ends of scales


def yes_no(n=300, seed=5):
    rng = np.random.default_rng(seed)
    table = figures(n)[["x", "m", "key"]]
    table["w"] = (rng.random(n) < expit(-2 + 0.8 * table["m"])).astype(float)
    table["y"] = 1 + 2 * table["w"] + 0.5 * table["x"] + rng.normal(size=n)
    return table


CURVED = ["x -> m", "m -> w", "w + x -> y"]


def test_the_mean_of_a_curved_outcome_is_that_of_its_response():
    fit = at_the_estimate(fitted(yes_no(), CURVED, {"w": rox.Binary()}))
    answer = expect(fit, {"x": 3.5})
    found, system = named(answer), fit.system()
    m, w, x, y = range(4)
    start, slopes = system.intercepts[0], system.coefficients[0]
    mean, sd = start[m] + 3.5 * slopes[m, x], np.sqrt(fit.theta[fit.table.row("variance:m").free - 1])
    chance, _ = quad(lambda z: norm.pdf(z) * expit(start[w] + slopes[w, m] * (mean + sd * z)), -10, 10)
    assert found.loc["w", "mean"] == pytest.approx(chance, rel=1e-6)
    assert found.loc["y", "mean"] == pytest.approx(start[y] + slopes[y, x] * 3.5 + slopes[y, w] * chance, rel=1e-6)
    assert found.loc[["w", "y"], ["pi_low", "pi_high"]].isna().to_numpy().all()
    assert found.loc[["m", "x"], ["pi_low", "pi_high"]].notna().to_numpy().all()
    assert "'w', 'y': on or after a curved equation" in answer.summary()
    assert answer.setting is None


def test_the_mean_of_a_count_is_that_of_the_lognormal():
    rng = np.random.default_rng(6)
    table = figures(300)[["x", "m", "key"]]
    table["c"] = rng.poisson(np.exp(0.2 + 0.3 * table["m"])).astype(float)
    fit = at_the_estimate(fitted(table, ["x -> m", "m -> c"], {"c": rox.Count()}))
    found, system = named(expect(fit)), fit.system()
    mean, covariance = fit.population.levels.mean(axis=0), np.cov(fit.population.levels, rowvar=False, ddof=0)
    slope = system.coefficients[0, 0, 1]
    expected = np.exp(system.intercepts[0, 0] + slope * mean[1] + slope**2 * covariance[1, 1] / 2)
    assert found.loc["c", "mean"] == pytest.approx(expected, rel=1e-9)


def test_nothing_is_told_back_from_a_curve():
    fit = fitted(yes_no(), CURVED, {"w": rox.Binary()})
    for name in ("w", "y"):
        with pytest.raises(SimulationError, match=f"{name!r}, which stands on or after a curved equation"):
            expect(fit, {name: 1.0})


def test_a_unit_with_a_curve_uses_what_is_known_of_it():
    table = yes_no()
    table.loc[7, "y"] = np.nan
    fit = at_the_estimate(fitted(table, CURVED, {"w": rox.Binary()}))
    found, system = named(expect(fit, unit="u007")), fit.system()
    known = table.loc[7]
    expected = system.intercepts[0, 3] + system.coefficients[0, 3, [1, 2]] @ [known["w"], known["x"]]
    assert found.loc["y", "mean"] == pytest.approx(expected)
    assert found.loc["w", COLUMNS[2:]].tolist() == [known["w"]] * 6


def test_a_curve_on_a_curve_is_not_computed():
    table = yes_no()
    rng = np.random.default_rng(7)
    table["v"] = (rng.random(300) < expit(-1 + 2 * table["w"])).astype(float)
    fit = fitted(table, ["x -> m", "m -> w", "w -> v"], {"w": rox.Binary(), "v": rox.Binary()})
    answer = expect(fit)
    assert np.isnan(named(answer).loc["v", "mean"])
    assert "'v': a cause is itself on or after a curved equation" in answer.summary()


def test_where_units_lie_ends_with_the_scale():
    table = figures()
    table["x"] = (table["x"] + 1).clip(1, 5)
    fit = fitted(table, scales={"x": rox.Likert(1, 5, whole=False)})
    found = named(expect(fit))
    assert found.loc["x", "pi_high"] == 5
    assert found.loc["x", "pi_low"] > 1


def test_around_a_loop_it_is_the_equilibrium():
    rng = np.random.default_rng(8)
    n = 300
    a, b = rng.normal(size=(2, n))
    x, y = np.linalg.solve([[1, -0.3], [-0.4, 1]], np.stack([a, b]) + rng.normal(0, 0.5, (2, n)))
    model = unit_model(["a + y -> x", "b + x -> y"], feedback=True)
    fit = rox.fit(model, pd.DataFrame({"a": a, "b": b, "x": x, "y": y}), method="sem")
    answer = expect(at_the_estimate(fit), {"a": 1.0})  # means vary, as they are not modelled; around those observed
    slopes = fit.population.covariance[:, 0] / fit.population.covariance[0, 0]
    expected = fit.population.mean + slopes * (1 - a.mean())
    np.testing.assert_allclose(answer.means.mean(axis=0), expected, rtol=1e-6, atol=1e-9)


def test_lagged_edges_carry_nothing():
    model = unit_model(FULL)
    late = model.replace(edges=[*model.edges, rox.Edge(cause="y", effect="x", lag=1, fixed=0.2)])
    one, two = (
        expect(rox.fit(m, rox.Study(m, unit=figures(), by="key"), method="path"), {"m": 3.0}, horizon=3)
        for m in (model, late)
    )
    np.testing.assert_allclose(one.means, two.means, **EXACT)
    assert "they carry nothing" in two.summary()
    assert "carry nothing" not in one.summary()


# --- other fits


def test_rows_printed_matrices_and_documents(fit, tmp_path):
    table = figures()
    names = list("mxyz")
    rows = rox.fit(unit_model(FULL), table, method="path")
    assert expect(rows, unit=3).whom == "row 3"
    moments = rox.Moments.from_covariance(names, table[names].cov(), mean=table[names].mean(), n=150)
    printed = rox.fit(unit_model(FULL), moments, method="path")
    one, two = (expect(at_the_estimate(f), {"m": 3.0}) for f in (rows, printed))
    np.testing.assert_allclose(one.means, two.means, **EXACT)
    loaded = rox.load(fit.save(tmp_path / "fit.json"))
    np.testing.assert_allclose(expect(loaded, {"pride": 3.6}).means, expect(fit, {"pride": 3.6}).means, **EXACT)
    with pytest.raises(SimulationError, match="a document, which holds no unit"):
        expect(loaded, unit="B007")


def test_exogenous_moments_that_the_data_give():
    model = unit_model(FULL)
    free, fixed = (
        rox.fit(m, rox.Study(m, unit=figures(), by="key"), method="path")
        for m in (model, model.replace(exogenous="fixed"))
    )
    one, two = (expect(at_the_estimate(f), {"m": 3.0}) for f in (free, fixed))
    np.testing.assert_allclose(one.means, two.means, **EXACT)
    np.testing.assert_allclose(one.spreads, two.spreads, **EXACT)


# --- words


def test_the_answer_speaks_plainly(fit):
    answer = expect(fit, {"pride": 3.6}, horizon=4)
    text = answer.summary()
    assert str(answer) == text
    assert text.splitlines()[0] == (
        "Forecast: what to expect of a unit seen with pride at 3.6 when nothing is done, waves 1 to 4, all alike"
    )
    for part in ("What an action would bring is rox.simulate", "expected to stay", "jointly normal"):
        assert part in text
    assert answer._repr_html_().count("<li>") == text.count("\n- ")
    assert expect(fit).whom == "any unit"


def test_beyond_what_was_observed_it_warns(fit):
    with pytest.warns(RoxWarning, match="'pride' is seen at 5, beyond what was observed"):
        forecast(fit, {"pride": 5.0}, draws=10, seed=1)


# --- refused


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({"prid": 3.0}, {}, "'prid', which is no construct. Did you mean 'pride'?"),
        ({"pri1": 3.0}, {}, "It is an item of 'pride'"),
        ({"pride": 7.0}, {}, "outside its scale. Allowed: 1 to 5"),
        ({"pride": np.nan}, {}, "Allowed: a finite number"),
        ({"pride": "high"}, {}, "sees 'pride' at 'high'"),
        ([("pride", 3.0)], {}, "given= was"),
        (None, {"horizon": 0}, "horizon= was 0"),
        (None, {"draws": 1.5}, "draws= was 1.5"),
        (None, {"unit": "nobody"}, "not in the study"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_sentence(fit, given, options, message):
    with pytest.raises(SimulationError, match=message):
        expect(fit, given, **options)


def test_a_fit_without_means_or_not_converged_is_refused(fit):
    printed = rox.Moments.from_covariance(list("mxyz"), figures()[list("mxyz")].cov(), n=150)
    with pytest.raises(SimulationError, match="no means"):
        expect(rox.fit(unit_model(FULL), printed, method="path"))
    failed = replace(fit, verdicts={**fit.verdicts, "converged": Verdict(False, "it went astray")})
    with pytest.raises(SimulationError, match="did not converge"):
        expect(failed)
    assert expect(failed, unconverged=True).means.shape == (DRAWS, 7)
