"""Every equation against statsmodels called by hand, and the sandwich over all of them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.discrete.discrete_model import NegativeBinomial

import roxmodel as rox

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
REFERENCE = {"rtol": 2e-6, "atol": 1e-9}  # two runs of an iteration that stops at a change of deviance of 1e-8
ROWS = 90

# name: (causes, family) of every equation of the test model, causes before effects
GRAPH = {"pride": ["influencers"], "behaviours": ["influencers", "pride"], "value": ["behaviours", "pride"]}
EDGES = ["influencers -> pride", "influencers + pride -> behaviours", "behaviours + pride -> value"]


def construct(name, factor="outcomes", source="unit", scale=None):
    return rox.Construct(name=name, factor=factor, source=source, items=[rox.Item(name=name, scale=scale)])


def linear_model(edges=tuple(EDGES), **options):
    names = ["influencers", "pride", "behaviours", "value"]
    return rox.RoxModel(name="chain", constructs=[construct(name) for name in names], edges=list(edges), **options)


def linear_frame(seed=1, n=ROWS):
    rng = np.random.default_rng(seed)
    influencers = rng.normal(3.5, 0.8, n)
    pride = 1 + 0.5 * influencers + rng.normal(0, 0.5, n) * (0.3 + np.abs(influencers - 3.5))
    behaviours = 0.5 + 0.3 * influencers + 0.4 * pride + rng.standard_t(4, n) * 0.4
    value = 200 + 12 * behaviours - 3 * pride + rng.normal(0, 8, n)
    frame = pd.DataFrame({"influencers": influencers, "pride": pride, "behaviours": behaviours, "value": value})
    return frame.assign(unit=[f"u{i:03d}" for i in range(n)], region=[f"r{i % 12}" for i in range(n)])


def units(model, frame):
    return rox.Study(model, unit=frame, by="unit")


def by_hand(frame, effect, causes, kind):
    used = frame.dropna(subset=[effect, *causes])
    model = sm.OLS(used[effect], sm.add_constant(used[causes]))
    if kind == "robust":
        return model.fit(cov_type="HC3", use_t=True)
    if kind == "cluster":
        groups = pd.factorize(used["region"])[0]
        return model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    return model.fit()


def fitted(model, frame, kind, level="between"):
    options = {"cluster": "region"} if kind == "cluster" else {"se": kind}
    return rox.fit(model, units(model, frame) if level == "between" else frame, method="path", **options)


def edge(fit, cause, effect):
    table = fit.edges()
    return table[(table["cause"] == cause) & (table["effect"] == effect)].iloc[0]


def places(fit, effect, causes):
    rows = [f"intercept:{effect}", *(f"edge:{cause}->{effect}" for cause in causes)]
    return [fit.table.row(row).free - 1 for row in rows]


def block(fit, effect, causes):
    at = places(fit, effect, causes)
    return fit.theta[at], fit.vcov[np.ix_(at, at)]


# --- linear equations


@pytest.mark.parametrize("kind", ["robust", "standard", "cluster"])
@pytest.mark.parametrize("level", ["between", "single"])
@pytest.mark.parametrize("holes", [False, True])
def test_least_squares_is_statsmodels(kind, level, holes):
    frame = linear_frame()
    if holes:
        rng = np.random.default_rng(5)
        for name in ("pride", "behaviours", "value"):
            frame.loc[rng.random(ROWS) < 0.12, name] = np.nan
    fit = fitted(linear_model(), frame, kind, level)
    for effect, causes in GRAPH.items():
        hand = by_hand(frame, effect, causes, kind)
        theta, vcov = block(fit, effect, causes)
        np.testing.assert_allclose(theta, hand.params, **EXACT)
        np.testing.assert_allclose(vcov, hand.cov_params(), **EXACT)
        for cause in causes:
            row = edge(fit, cause, effect)
            ends = hand.conf_int().loc[cause]
            expected = [hand.params[cause], hand.bse[cause], hand.tvalues[cause], hand.pvalues[cause], *ends]
            shown = row[["estimate", "se", "z", "p", "ci_low", "ci_high"]].to_numpy(float)
            np.testing.assert_allclose(shown, expected, **EXACT)
            assert row["n"] == hand.nobs
            assert row["df"] == (11 if kind == "cluster" else hand.df_resid)
            assert row["family"] == "linear"
            assert row["level"] == level
            assert np.isnan(row["n_units"]) if level == "single" else row["n_units"] == hand.nobs


def test_robust_is_the_default_with_rows():
    frame = linear_frame()
    fit = rox.fit(linear_model(), frame, method="path")
    assert fit.se == "robust"
    pd.testing.assert_frame_equal(fit.edges(), fitted(linear_model(), frame, "robust", "single").edges())


def test_an_equation_whose_rows_differ_says_its_n():
    frame = linear_frame()
    frame.loc[:29, "value"] = np.nan
    fit = fitted(linear_model(), frame, "robust")
    assert fit.edges().set_index("effect")["n"].to_dict() == {"pride": 90, "behaviours": 90, "value": 60}
    assert any("60 to 90" in note for note in fit.notes)


def test_a_fixed_edge_is_taken_off_the_effect():
    frame, fixed = linear_frame(), rox.Edge(cause="pride", effect="behaviours", fixed=0.25)
    fit = fitted(linear_model([EDGES[0], "influencers -> behaviours", fixed, EDGES[2]]), frame, "robust")
    hand = by_hand(
        frame.assign(behaviours=frame["behaviours"] - 0.25 * frame["pride"]), "behaviours", ["influencers"], "robust"
    )
    theta, vcov = block(fit, "behaviours", ["influencers"])
    np.testing.assert_allclose(theta, hand.params, **EXACT)
    np.testing.assert_allclose(vcov, hand.cov_params(), **EXACT)
    row = edge(fit, "pride", "behaviours")
    assert (row["estimate"], row["status"]) == (0.25, "assumed")
    assert np.isnan(row["se"])
    assert any("pride -> behaviours = 0.25" in note for note in fit.notes)


def test_rows_without_the_fixed_cause_do_not_count():
    frame, fixed = linear_frame(), rox.Edge(cause="pride", effect="behaviours", fixed=0.25)
    frame.loc[:9, "pride"] = np.nan
    fit = fitted(linear_model(["influencers -> behaviours", fixed]), frame, "robust")
    assert edge(fit, "influencers", "behaviours")["n"] == ROWS - 10


def test_an_effect_of_fixed_edges_only_has_an_intercept():
    frame, fixed = linear_frame(), rox.Edge(cause="pride", effect="value", fixed=5.0)
    fit = fitted(linear_model([fixed]), frame, "standard")
    theta, vcov = block(fit, "value", [])
    rest = frame["value"] - 5.0 * frame["pride"]
    np.testing.assert_allclose(theta, [rest.mean()], **EXACT)
    np.testing.assert_allclose(vcov, [[rest.var(ddof=1) / ROWS]], **EXACT)


# --- curved equations

CURVED = {
    "logit": (rox.Binary(), sm.families.Binomial()),
    "poisson": (rox.Count(), sm.families.Poisson()),
    "negative binomial": (rox.Count(), None),
}


def curved_frame(kind, seed=7, n=240):
    frame = linear_frame(seed, n)
    rng = np.random.default_rng(seed + 1)
    predictor = -1.5 + 0.5 * (frame["behaviours"] - 3) + 0.4 * frame["pride"]
    if kind == "logit":
        frame["churn"] = (rng.random(n) < 1 / (1 + np.exp(-predictor))).astype(float)
    elif kind == "poisson":
        frame["churn"] = rng.poisson(np.exp(predictor)).astype(float)
    else:
        frame["churn"] = rng.poisson(np.exp(predictor) * rng.gamma(0.8, 1 / 0.8, n)).astype(float)
    return frame


def curved_model(kind, extra=("behaviours + pride -> churn",)):
    names = ["influencers", "pride", "behaviours"]
    churn = construct("churn", scale=CURVED[kind][0])
    return rox.RoxModel(name="curved", constructs=[*(construct(n) for n in names), churn], edges=[*EDGES[:2], *extra])


def curved_by_hand(frame, kind, offset=None, causes=("behaviours", "pride"), **options):
    design, family = sm.add_constant(frame[list(causes)]), CURVED[kind][1]
    alpha = np.nan
    if family is None:
        joint = NegativeBinomial(frame["churn"], design, offset=offset).fit(
            disp=0, maxiter=500, method="bfgs", gtol=1e-8
        )
        alpha = joint.params["alpha"]
        family = sm.families.NegativeBinomial(alpha=alpha)
    return sm.GLM(frame["churn"], design, family=family, offset=offset).fit(tol=1e-12, **options), alpha


@pytest.mark.parametrize("level", ["between", "single"])
@pytest.mark.parametrize("kind", CURVED)
def test_curved_equations_are_statsmodels(kind, level):
    frame, causes = curved_frame(kind), ["behaviours", "pride"]
    n, k = len(frame), 3
    close = (
        REFERENCE if kind != "negative binomial" else {"rtol": 2e-4, "atol": 1e-9}
    )  # alpha found by another iteration
    fit = fitted(curved_model(kind), frame, "robust", level)
    hand, alpha = curved_by_hand(frame, kind, cov_type="HC0")
    theta, vcov = block(fit, "churn", causes)
    np.testing.assert_allclose(theta, hand.params, **close)
    np.testing.assert_allclose(vcov, hand.cov_params() * n / (n - k), **close)
    equation = next(e for e in fit.equations if e.effect == "churn")
    assert (equation.family, equation.n, equation.df) == (kind, n, np.inf)
    np.testing.assert_allclose(equation.dispersion, alpha, **close)
    assert np.isnan(edge(fit, "pride", "churn")["robustness_value"])
    classical = fitted(curved_model(kind), frame, "standard", level)
    np.testing.assert_allclose(
        block(classical, "churn", causes)[1], curved_by_hand(frame, kind)[0].cov_params(), **close
    )


@pytest.mark.parametrize("kind", CURVED)
def test_curved_equations_are_clustered_like_statsmodels(kind):
    frame = curved_frame(kind)
    fit = fitted(curved_model(kind), frame, "cluster")
    groups = pd.factorize(frame["region"])[0]
    hand, _ = curved_by_hand(frame, kind, cov_type="cluster", cov_kwds={"groups": groups})
    close = REFERENCE if kind != "negative binomial" else {"rtol": 2e-4, "atol": 1e-9}
    np.testing.assert_allclose(block(fit, "churn", ["behaviours", "pride"])[1], hand.cov_params(), **close)
    assert edge(fit, "pride", "churn")["df"] == 11


@pytest.mark.parametrize("kind", ["logit", "poisson"])
def test_a_fixed_edge_of_a_curved_equation_is_an_offset(kind):
    frame, fixed = curved_frame(kind), rox.Edge(cause="pride", effect="churn", fixed=0.4)
    fit = fitted(curved_model(kind, ("behaviours -> churn", fixed)), frame, "standard")
    hand, _ = curved_by_hand(frame, kind, offset=0.4 * frame["pride"].to_numpy(), causes=("behaviours",))
    theta, vcov = block(fit, "churn", ["behaviours"])
    np.testing.assert_allclose(theta, hand.params, **REFERENCE)
    np.testing.assert_allclose(vcov, hand.cov_params(), **REFERENCE)


def test_counts_that_are_not_overdispersed_stay_poisson():
    frame = curved_frame("poisson")
    assert fitted(curved_model("poisson"), frame, "robust").equations[-1].family == "poisson"


def test_shares_of_yes_answers_and_counts_with_many_items_are_linear():
    """Only one answer a row is curved: means of yes/no answers are linear composites."""
    staff = pd.DataFrame({"unit": np.repeat(np.arange(40), 6), "stay": np.random.default_rng(1).integers(0, 2, 240)})
    books = pd.DataFrame({"unit": np.arange(40), "pay": np.random.default_rng(2).normal(size=40)})
    model = rox.RoxModel(
        name="shares",
        constructs=[construct("stay", "pride", "employee", rox.Binary()), construct("pay", "influencers")],
        edges=["pay -> stay"],
    )
    fit = rox.fit(model, rox.Study(model, employee=staff, unit=books, by="unit"))
    assert fit.families == ("linear", "linear")


# --- means, variances, covariances


@pytest.mark.parametrize("kind", ["robust", "standard"])
def test_means_and_variances_are_those_of_the_rows(kind):
    frame = linear_frame()
    model = linear_model(["pride + influencers -> value"])
    fit = fitted(model, frame, kind)
    table = fit.parameters().set_index("id")
    exogenous = frame[["influencers", "pride", "behaviours"]]
    moments = exogenous.cov(ddof=0)
    assert table.loc["covariance:influencers~~pride", "estimate"] == pytest.approx(
        moments.loc["influencers", "pride"], rel=1e-12
    )
    assert table.loc["variance:pride", "estimate"] == pytest.approx(moments.loc["pride", "pride"], rel=1e-12)
    assert table.loc["intercept:pride", "estimate"] == pytest.approx(frame["pride"].mean(), rel=1e-12)
    assert table.loc["intercept:pride", "se"] == pytest.approx(frame["pride"].std(ddof=0) / np.sqrt(ROWS), rel=1e-12)
    hand = by_hand(frame, "value", ["pride", "influencers"], kind)
    assert table.loc["variance:value", "estimate"] == pytest.approx((hand.resid**2).mean(), rel=1e-9)
    deviation = exogenous["pride"] - exogenous["pride"].mean()
    squares = deviation**2
    expected = squares.std(ddof=0) / np.sqrt(ROWS) if kind == "robust" else np.sqrt(2 / ROWS) * squares.mean()
    assert table.loc["variance:pride", "se"] == pytest.approx(expected, rel=1e-12)


def test_robust_errors_are_one_sandwich_over_all_equations():
    """Off-diagonal blocks: sums over units of the products of influences."""
    frame = linear_frame()
    fit = fitted(linear_model(), frame, "robust")
    pulls = {}
    for effect, causes in GRAPH.items():
        hand = by_hand(frame, effect, causes, "standard")
        x = np.asarray(hand.model.exog)
        leverage = hand.get_influence().hat_matrix_diag
        pulls[effect] = x @ np.linalg.inv(x.T @ x) * (np.asarray(hand.resid) / (1 - leverage))[:, None]
    a = [fit.table.row(f"edge:{c}->behaviours").free - 1 for c in GRAPH["behaviours"]]
    b = [fit.table.row(f"edge:{c}->value").free - 1 for c in GRAPH["value"]]
    np.testing.assert_allclose(fit.vcov[np.ix_(a, b)], (pulls["behaviours"].T @ pulls["value"])[1:, 1:], **EXACT)


def test_classical_errors_of_equations_with_a_common_unmeasured_cause_correlate():
    """cov(b_e, b_f) = s_ef (X_e'X_e)^-1 X_e'X_f (X_f'X_f)^-1, Zellner (1962)."""
    frame = linear_frame()
    model = linear_model(["influencers -> pride", "influencers + behaviours -> value", "pride <-> value"])
    fit = fitted(model, frame, "standard")
    one, two = (
        by_hand(frame, "pride", ["influencers"], "standard"),
        by_hand(frame, "value", ["influencers", "behaviours"], "standard"),
    )
    x, z = np.asarray(one.model.exog), np.asarray(two.model.exog)
    shared = float(one.resid @ two.resid) / np.sqrt(one.df_resid * two.df_resid)
    expected = shared * np.linalg.inv(x.T @ x) @ x.T @ z @ np.linalg.inv(z.T @ z)
    blocks = [places(fit, "pride", ["influencers"]), places(fit, "value", ["influencers", "behaviours"])]
    np.testing.assert_allclose(fit.vcov[np.ix_(*blocks)], expected, rtol=1e-8, atol=1e-12)
    table = fit.parameters().set_index("id")
    assert table.loc["covariance:pride~~value", "estimate"] == pytest.approx(float(one.resid @ two.resid) / ROWS)
    free = fitted(linear_model(["influencers -> pride", "influencers + behaviours -> value"]), frame, "standard")
    blocks = [places(free, "pride", ["influencers"]), places(free, "value", ["influencers", "behaviours"])]
    assert not free.vcov[np.ix_(*blocks)].any()


def test_unit_figures_of_any_size_keep_their_digits():
    """Euros in billions beside a rate in millionths: the same t values, and draws with the right spread."""
    frame = linear_frame()
    factor = {"influencers": 1e9, "pride": 1e-6, "behaviours": 1.0, "value": 1e7}
    shift = {"influencers": 1e12, "pride": 0.0, "behaviours": 1e6, "value": -1e9}
    large = frame.assign(**{name: frame[name] * factor[name] + shift[name] for name in factor})
    one, two = (fitted(linear_model(), f, "robust") for f in (frame, large))
    a, b = one.edges(), two.edges()
    np.testing.assert_allclose(a["z"], b["z"], rtol=1e-6)
    np.testing.assert_allclose(a["standardized"], b["standardized"], rtol=1e-6)
    np.testing.assert_allclose(a["robustness_value"], b["robustness_value"], rtol=1e-6)
    edges = [row.free - 1 for row in two.table.of("edge")]
    for fit in (one, two):
        spread = fit.draws(4000, seed=1)[:, edges].std(axis=0) / fit.edges()["se"].to_numpy()
        np.testing.assert_allclose(spread, 1.0, atol=4 / np.sqrt(2 * 4000))  # four standard errors of a spread
    total = two.effects("influencers", "value").iloc[-1]
    assert total["estimate"] == pytest.approx(
        one.effects("influencers", "value").iloc[-1]["estimate"] * 1e7 / 1e9, rel=1e-6
    )


# --- from moments


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("extra", [(), ("behaviours <-> pride",)])
def test_moments_give_what_rows_give(means, extra):
    frame = linear_frame()
    edges = [EDGES[0], "influencers -> behaviours", "influencers + behaviours -> value", *extra]
    edges.append(rox.Edge(cause="pride", effect="behaviours", fixed=0.2))
    model = linear_model(edges)
    names = list(model.names)
    read = rox.Moments.from_rows(frame[names].to_numpy(), names)
    if not means:
        read = rox.Moments.from_covariance(names, read.covariance, n=read.n)
    one, two = (
        rox.fit(model, frame, method="path", se="standard").parameters(),
        rox.fit(model, read, method="path").parameters(),
    )
    if not means:
        one = one[one["kind"] != "intercept"].reset_index(drop=True)
    numbers = ["estimate", "se", "z", "p", "ci_low", "ci_high", "standardized"]
    assert one["id"].tolist() == two["id"].tolist()
    np.testing.assert_allclose(one[numbers].to_numpy(float), two[numbers].to_numpy(float), rtol=1e-8, atol=1e-12)


def test_moments_and_rows_have_one_covariance_of_all_parameters():
    frame, model = linear_frame(), linear_model([*EDGES[:1], "influencers -> value", "pride <-> value"])
    names = list(model.names)
    rows = rox.fit(model, frame, method="path", se="standard")
    read = rox.fit(model, rox.Moments.from_rows(frame[names].to_numpy(), names), method="path")
    spread = np.sqrt(np.diag(rows.vcov))
    np.testing.assert_allclose(rows.vcov / np.outer(spread, spread), read.vcov / np.outer(spread, spread), atol=1e-9)
    np.testing.assert_allclose(
        rows.effects("influencers", "value").iloc[:, 2:].to_numpy(float),
        read.effects("influencers", "value").iloc[:, 2:].to_numpy(float),
        rtol=1e-8,
    )
    for name in ("chisq", "df", "cfi", "rmsea", "srmr", "loglik", "n"):
        np.testing.assert_allclose(rows.indices()[name], read.indices()[name], rtol=1e-8)


def test_composites_of_reversed_items_from_moments_are_those_from_rows():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(200, 1))
    answers = np.clip(np.round(4 + base + rng.normal(0, 1, (200, 3))), 1, 7)
    answers[:, 1] = 8 - answers[:, 1]
    frame = pd.DataFrame(answers, columns=["p1", "p2", "p3"]).assign(y=base[:, 0] + rng.normal(size=200))
    items = ["p1", rox.Item(name="p2", reverse=True), "p3"]
    model = rox.RoxModel(
        name="reversed",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=items, scale=rox.Likert(1, 7)),
            construct("y", source="employee"),
        ],
        edges=["pride -> y"],
    )
    score = (frame["p1"] + 8 - frame["p2"] + frame["p3"]) / 3
    hand = sm.OLS(frame["y"], sm.add_constant(score.rename("pride"))).fit()
    names = ["p1", "p2", "p3", "y"]
    for data in (frame, rox.Moments.from_rows(frame[names].to_numpy(), names)):
        fit = rox.fit(model, data, method="path", se="standard")
        np.testing.assert_allclose(block(fit, "y", ["pride"])[0], hand.params, **EXACT)
        np.testing.assert_allclose(block(fit, "y", ["pride"])[1], hand.cov_params(), **EXACT)
        signed = np.cov(answers * [1, -1, 1], rowvar=False)
        np.testing.assert_allclose(fit.measures[0].within, signed, rtol=1e-9)


# --- given moments, sub-models, small print


def test_exogenous_fixed_keeps_its_moments_out_of_theta():
    frame, model = linear_frame(), linear_model(["influencers + pride -> value"], exogenous="fixed")
    fit = fitted(model, frame, "robust")
    table = fit.parameters().set_index("id")
    assert (table.loc[["variance:pride", "covariance:influencers~~pride"], "free"] == 0).all()
    assert table.loc["variance:pride", "estimate"] == pytest.approx(frame["pride"].var(ddof=0))
    free = fitted(linear_model(["influencers + pride -> value"]), frame, "robust")
    np.testing.assert_allclose(fit.edges()["standardized"], free.edges()["standardized"], rtol=1e-12)


def test_given_moments_with_holes_are_those_of_complete_rows():
    frame = linear_frame()
    frame.loc[:20, "pride"] = np.nan
    for exogenous in ("fixed", "free"):
        fit = fitted(linear_model(["influencers + pride -> value"], exogenous=exogenous), frame, "robust")
        sd = frame.loc[21:, "pride"].std(ddof=0)
        at = fit.model.names.index("pride")
        assert np.sqrt(fit.population.covariance[at, at]) == pytest.approx(sd, rel=1e-12)


def test_a_smaller_model_can_be_fitted_to_the_same_study():
    world = rox.datasets.make_world(40, seed=3)
    study = world.study()
    small = rox.RoxModel(
        name="small",
        constructs=[world.model.find("behaviours"), world.model.find("pride"), world.model.find("revenue")],
        edges=["pride -> behaviours", "behaviours -> revenue"],
    )
    fit = rox.fit(small, study)
    within = study.moments.source("employee")
    for place, stem in enumerate(("beh", "pri")):
        at = [i for i, item in enumerate(within.items) if item.startswith(stem)]
        np.testing.assert_allclose(fit.measures[place].within, within.within_covariance[np.ix_(at, at)], rtol=1e-12)


def test_an_unexpected_sign_is_said():
    frame = linear_frame()
    edges = [
        rox.Edge(cause="behaviours", effect="value", expected="negative"),
        rox.Edge(cause="influencers", effect="value", expected="negative", fixed=2.0),
        rox.Edge(cause="influencers", effect="pride", expected="positive"),
    ]
    notes = fitted(linear_model(edges), frame, "robust").notes
    assert [note for note in notes if "expected" in note] == [
        next(note for note in notes if note.startswith("behaviours -> value was expected negative but is"))
    ]


def test_near_collinear_causes_are_said():
    frame = linear_frame()
    frame["behaviours"] = frame["pride"] + np.random.default_rng(9).normal(0, 0.05, ROWS)
    with pytest.warns(rox.RoxWarning, match=r"collinear \(doubtful\): pride and behaviours"):
        fit = fitted(linear_model(["pride + behaviours -> value"]), frame, "robust")
    assert any("hard to tell apart" in note and "pride" in note and "behaviours" in note for note in fit.notes)


def test_labels_that_are_fixed_elsewhere_fix_this_edge():
    frame = linear_frame()
    edges = [
        rox.Edge(cause="influencers", effect="pride", fixed=0.5, label="a"),
        rox.Edge(cause="influencers", effect="behaviours", label="a"),
        "pride -> value",
    ]
    row = edge(fitted(linear_model(edges), frame, "robust"), "influencers", "behaviours")
    assert row["estimate"] == 0.5
    assert np.isnan(row["se"])
