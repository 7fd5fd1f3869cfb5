"""What one unmeasured cause would have to explain: closed form, worlds that have such a cause, brute force."""

import copy
import pickle
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import brentq

import roxmodel as rox
from roxmodel.plots.page import figure_bytes
from roxmodel.result.confounding import implied_of_constructs, route_of
from roxmodel.result.sensitivity import Sensitivity
from roxmodel.result.tables import robustness_value

EXACT = 1e-9  # algebra in double precision
SEARCHED = 2e-6  # step of the search
NAMES = ["pride", "behaviours", "value", "loyalty", "revenue"]
EDGES = ["pride -> behaviours", "behaviours -> value", "value -> loyalty", "value + loyalty -> revenue"]
CAUSES = {"pride": (), "behaviours": NAMES[:1], "value": NAMES[1:2], "loyalty": NAMES[2:3], "revenue": NAMES[2:4]}


def model(names=NAMES, edges=EDGES):
    own = [rox.Construct(name=n, factor="outcomes", source="unit", items=[n]) for n in names]
    return rox.RoxModel(name="m", constructs=own, edges=edges)


def confounded(a=0.45):
    """Coefficients, covariance and ties to U of a world in which U moves every construct by a times its own sd."""
    b = np.zeros((5, 5))
    b[1, 0], b[2, 1], b[3, 2], b[4, 2], b[4, 3] = 0.5, 0.6, 0.7, 15.0, 30.0
    sd, total = np.array([0.35, 0.25, 0.25, 0.25, 20.0]), np.linalg.inv(np.eye(5) - b)
    psi = np.diag(sd**2) + a * a * np.outer(sd, sd)
    return total, total @ psi @ total.T, total @ (a * sd)


def shares_of(covariance, u):
    """Share that U explains of what the causes leave of each construct: regression by regression, by hand."""
    found = []
    for at, name in enumerate(NAMES):
        own = [NAMES.index(cause) for cause in CAUSES[name]]
        inverse = np.linalg.inv(covariance[np.ix_(own, own)])
        slopes, tied = inverse @ covariance[own, at], inverse @ u[own]
        left, open_ = covariance[at, at] - slopes @ covariance[own, at], 1 - tied @ u[own]
        found.append((u[at] - slopes @ u[own]) ** 2 / (left * open_))
    return np.array(found)


def printed(covariance, names=NAMES, n=600):
    sd = np.sqrt(np.diag(covariance))
    return rox.Moments.from_correlation(names, covariance / np.outer(sd, sd), sd=sd, n=n)


def test_a_cause_that_is_there_gives_the_truth_back():
    """Told how much U explains of every construct, the regressions with U held constant are the true equations."""
    total, covariance, u = confounded()
    route = route_of(CAUSES, NAMES, NAMES, covariance[None])
    shares = shares_of(covariance, u)
    assert shares[0] == pytest.approx(0.45**2 / (1 + 0.45**2))
    assert route.naive > 2.4 * total[4, 0]
    assert route.total(shares[None], np.ones((1, 5)))[0] == pytest.approx(total[4, 0], rel=EXACT)


def test_in_that_world_edges_look_safer_than_the_total_is():
    """Equal shares: what gives the truth back lies between the smallest and the largest of U's own shares."""
    total, covariance, u = confounded()
    fit = rox.fit(model(), printed(covariance), method="path")
    table = fit.sensitivity("pride", "revenue")
    value = table.query("kind == 'total'")["robustness_value"]
    assert (value.between(0, 1)).all()
    edges, clean = fit.edges()["robustness_value"], confounded(0.0)
    assert value.iloc[0] < np.sort(edges)[2]
    before = rox.fit(model(), printed(clean[1]), method="path").edges()["robustness_value"]
    assert (edges > before).all()  # confounding raises the robustness values of the edges
    route = route_of(CAUSES, NAMES, NAMES, covariance[None])
    equal = brentq(lambda r: route.total(np.full((1, 5), r), np.ones((1, 5)))[0] - total[4, 0], 0.01, 0.3)
    assert shares_of(covariance, u).min() < equal < shares_of(covariance, u).max()


@pytest.mark.parametrize("method", ["path", "linked"])
def test_of_one_edge_the_total_is_the_edge(method):
    world = rox.datasets.make_world(60, seed=1)
    fit = rox.fit(world.model, world.study(), method=method)
    for cause, effect in (("influencers", "pride"), ("pride", "behaviours"), ("loyalty", "revenue")):
        table = fit.sensitivity(cause, effect).set_index(["kind", "bound"])["robustness_value"]
        # regressions of rows and implied covariances of the causes differ where causes do not act on each other
        near = 0.01 if method == "path" else SEARCHED
        assert table["total", "estimate"] == pytest.approx(table["edge", "estimate"], abs=near)
        assert table["total", "interval"] == pytest.approx(table["edge", "interval"], abs=0.03)


def test_along_one_chain_the_total_is_no_safer_than_its_weakest_edge():
    world = rox.datasets.make_world(60, seed=3)
    fit = rox.fit(world.model, world.study(), method="path")
    for effect in ("value", "loyalty"):
        table = fit.sensitivity("pride", effect).query("bound == 'estimate'").set_index("kind")["robustness_value"]
        assert table["total"] <= table["edge"].min() + SEARCHED


def test_no_chain_is_safer_than_its_weakest_edge():
    """By the share at which an edge would go alone, U explains more than that of its cause, whatever the edges."""
    rng, names = np.random.default_rng(0), [f"x{k}" for k in range(5)]
    causes = {"x0": (), **{b: [a] for a, b in pairwise(names)}}
    for _ in range(40):
        b = np.diag(rng.uniform(-0.95, 0.95, 4), -1)
        total = np.linalg.inv(np.eye(5) - b)
        left = 1 - np.append(0.0, np.diag(b, -1) ** 2)
        route = route_of(causes, names, names, (total @ np.diag(left) @ total.T)[None])
        weakest = robustness_value(np.diag(b, -1) ** 2).min()
        assert route.overturning() <= weakest + SEARCHED


def test_the_closed_form_of_a_chain_of_two():
    """x -> m -> y: the first edge goes at R / sqrt(1 - R) = f; by then U is tied closer to m than to x."""
    for r in (0.2, 0.5):
        covariance = np.array([[1.0, r, 0.9 * r], [r, 1.0, 0.9], [0.9 * r, 0.9, 1.0]])
        route = route_of({"x": (), "m": ["x"], "y": ["m"]}, ["x", "m", "y"], ["x", "m", "y"], covariance[None])
        first = float(robustness_value(np.array(r * r)))
        assert route.overturning() == pytest.approx(first, abs=SEARCHED)


def random_covariance(rng, k=5):
    root = rng.normal(size=(k, 2 * k))
    return root @ root.T / k


@pytest.mark.parametrize("seed", range(6))
def test_no_signs_and_no_smaller_share_do_worse(seed):
    rng = np.random.default_rng(seed)
    causes = {"pride": (), **{name: NAMES[: i + 1] for i, name in enumerate(NAMES[1:])}}
    route = route_of(causes, NAMES, NAMES, random_covariance(rng)[None])
    value, firsts = route.overturning(), []
    for code in range(32):
        signs = np.array([[1.0 if code >> k & 1 else -1.0 for k in range(5)]])
        grid = np.linspace(0.0, 0.999, 4_000)
        totals = route.total(np.repeat(grid[:, None], 5, axis=1), signs) * np.sign(route.naive)
        gone = np.flatnonzero(totals <= 0)
        firsts.append(grid[gone[0]] if len(gone) else 1.0)
    assert value == pytest.approx(min(firsts), abs=5e-4)


def test_the_regressions_with_u_are_those_of_rows_with_u():
    rng = np.random.default_rng(1)
    n = 400
    u, x, z = rng.normal(size=(3, n))
    x = x + 0.5 * u
    m = 0.6 * x + 0.3 * z + 0.4 * u + rng.normal(size=n)
    y = 0.5 * m + 0.2 * x - 0.4 * z - 0.3 * u + rng.normal(size=n)
    rows = np.column_stack([x, m, y, z])
    rows -= rows.mean(axis=0)
    u = u - rows[:, 3] * (rows[:, 3] @ u) / (rows[:, 3] @ rows[:, 3])  # not tied to z, which is not touched
    u = (u - u.mean()) / u.std()
    causes = {"x": (), "m": ["x", "z"], "y": ["x", "m", "z"]}
    route = route_of(causes, ["x", "m", "y"], ["x", "m", "y", "z"], np.cov(rows.T, ddof=0)[None])
    shares, signs, slopes = [], [], {}
    for at, own in ((0, [3]), (1, [0, 3]), (2, [0, 1, 3])):
        without = sm.OLS(rows[:, at], rows[:, own]).fit()
        with_u = sm.OLS(rows[:, at], np.column_stack([rows[:, own], u])).fit()
        shares.append(1 - with_u.ssr / without.ssr)
        signs.append(np.sign(with_u.params[-1]))
        slopes[at] = with_u.params
    total = slopes[2][0] + slopes[2][1] * slopes[1][0]
    assert route.total(np.array([shares]), np.array([signs]))[0] == pytest.approx(total, rel=1e-8)


def test_a_benchmark_bounds_as_cinelli_and_hazlett_do():
    """R²(D) = f²(D, z), R²(Y) = f²(Y, z) (1 + f²) / (1 - f²), bias = √(R²(Y) R²(D) / (1 - R²(D))) se √df."""
    rng = np.random.default_rng(0)
    n = 300
    z, w = rng.normal(size=(2, n))
    d = 0.5 * z + 0.3 * w + rng.normal(size=n)
    y = 0.6 * d + 0.4 * z + 0.2 * w + rng.normal(size=n)
    table = pd.DataFrame({"d": d, "y": y, "z": z, "w": w})
    m = model(["d", "y", "z", "w"], ["d + z + w -> y", "z + w -> d"])
    fit = rox.fit(m, table, method="path", se="standard")
    row = fit.sensitivity("d", "y", benchmark="z").iloc[0]
    outcome = sm.OLS(y, sm.add_constant(np.column_stack([d, z, w]))).fit()
    treatment = sm.OLS(d, sm.add_constant(np.column_stack([z, w]))).fit()
    of_y, of_d = outcome.tvalues[2] ** 2 / outcome.df_resid, treatment.tvalues[1] ** 2 / treatment.df_resid
    shares = of_d, of_y * (1 + of_d) / (1 - of_d)
    bias = np.sqrt(shares[1] * shares[0] / (1 - shares[0])) * outcome.bse[1] * np.sqrt(outcome.df_resid)
    assert row["adjusted_estimate"] == pytest.approx(outcome.params[1] - bias, rel=1e-8)
    assert row["times_benchmark"] == pytest.approx(row["robustness_value"] / max(shares), rel=1e-8)
    wide = np.sqrt((1 - shares[1]) / (1 - shares[0])) * (outcome.conf_int()[1] - outcome.params[1])
    assert [row["adjusted_ci_low"], row["adjusted_ci_high"]] == pytest.approx(row["adjusted_estimate"] + wide)


def test_the_interval_goes_where_cinelli_and_hazlett_say():
    """f of the interval: |t| / √df less t* / √df (they count one degree of freedom less)."""
    rng = np.random.default_rng(2)
    d = rng.normal(size=120)
    table = pd.DataFrame({"d": d, "y": 0.5 * d + rng.normal(size=120)})
    fit = rox.fit(model(["d", "y"], ["d -> y"]), table, method="path", se="standard")
    hand = sm.OLS(table["y"], sm.add_constant(table["d"])).fit()
    from scipy.stats import t

    f = (hand.tvalues["d"] - t.ppf(0.975, hand.df_resid)) / np.sqrt(hand.df_resid)
    found = fit.sensitivity("d", "y").query("bound == 'interval'").set_index("kind")["robustness_value"]
    assert found["edge"] == pytest.approx(float(robustness_value(np.array(f**2 / (1 + f**2)))), rel=1e-8)
    assert found["total"] == pytest.approx(found["edge"], abs=0.02)


@pytest.fixture(scope="module")
def fit():
    world = rox.datasets.make_world(60, seed=1)
    return rox.fit(world.model, world.study(), method="path")


def test_a_loaded_document_answers_alike(fit, tmp_path):
    again = rox.load(fit.save(tmp_path / "m.rox.json"))
    pd.testing.assert_frame_equal(
        again.sensitivity("pride", "revenue", "affluence"), fit.sensitivity("pride", "revenue", "affluence")
    )


def test_without_a_benchmark_its_columns_are_empty(fit):
    table = fit.sensitivity("pride", "revenue")
    empty = ["benchmark", "times_benchmark", "adjusted_estimate", "adjusted_ci_low", "adjusted_ci_high"]
    assert table[empty].isna().all(axis=None)
    assert table["bound"].tolist() == ["estimate", "interval"] * (len(table) // 2)
    total = fit.effects("pride", "revenue").iloc[-1]
    assert table["estimate"].iloc[-1] == pytest.approx(total["estimate"], rel=EXACT)
    assert (table.groupby(["cause", "effect", "kind"])["robustness_value"].diff().dropna() <= 0).all()


def test_the_answer_is_a_frame_that_travels_and_draws(fit):
    table = fit.sensitivity("pride", "revenue", "affluence")
    ways = [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), lambda one: one.copy()]
    assert figure_bytes(table.plot()).startswith(b"<?xml")
    for again in (way(table) for way in ways):
        assert type(again) is Sensitivity
        assert again.__dict__["_picture"].contours().value == table.__dict__["_picture"].contours().value
        pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(table))
    assert type(table[table["kind"] == "total"]) is pd.DataFrame
    assert type(table.round(2)) is pd.DataFrame


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (("prid", "revenue"), "Did you mean 'pride'"),
        (("revenue", "pride"), "No path leads"),
        (("pride", "revenue", "afluence"), "Did you mean 'affluence'"),
        (("pride", "revenue", "value"), "lies on a path"),
        (("pride", "value", "loyalty"), "is an effect of 'pride'"),
    ],
)
def test_refusals_name_the_culprit(fit, asked, word):
    with pytest.raises(rox.RoxError, match=word):
        fit.sensitivity(*asked)


def test_a_loop_is_refused():
    names = ["a", "b", "x", "y"]
    looped = rox.RoxModel.from_lavaan("a ~ x + b\nb ~ y + a")
    rng = np.random.default_rng(0)
    fit = rox.fit(looped, pd.DataFrame(rng.normal(size=(200, 4)), columns=names), method="sem")
    with pytest.raises(rox.EstimationError, match="feedback loop"):
        fit.sensitivity("x", "b")


def test_what_is_given_or_curved_has_no_value_and_says_why():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    given = model(list("abc"), [rox.Edge(cause="a", effect="b", fixed=0.5), "b -> c"])
    found = rox.fit(given, table, method="path").sensitivity("a", "c").set_index("kind")
    assert found.loc["total", "robustness_value"].isna().all()
    assert found.loc["total", "verdict"].str.contains("a -> b is given").all()
    binary = [rox.Item(name="c", scale=rox.Binary())]
    own = [rox.Construct(name=n, factor="outcomes", source="unit", items=[n]) for n in "ab"]
    own.append(rox.Construct(name="c", factor="outcomes", source="unit", items=binary))
    curved = rox.RoxModel(name="m", constructs=own, edges=["a -> b", "b -> c"])
    fit = rox.fit(curved, table.assign(c=(table["b"] + rng.normal(size=200) > 0).astype(float)), method="path")
    found = fit.sensitivity("a", "c").set_index("kind")
    assert found["robustness_value"].notna().tolist() == [True, True, False, False, False, False]
    assert found.loc["total", "verdict"].str.contains("no linear regression").all()
    with pytest.raises(rox.RoxError, match="no contours"):
        fit.sensitivity("a", "c").plot()


def test_a_declared_covariance_beside_an_edge_is_no_regression():
    rng = np.random.default_rng(3)
    z, x, e = rng.normal(size=(3, 400))
    x = z + x + e
    table = pd.DataFrame({"z": z, "x": x, "y": 0.5 * x + e + rng.normal(size=400)})
    m = rox.RoxModel(name="m", constructs=model(["z", "x", "y"], []).constructs, edges=["z -> x", "x -> y", "x <-> y"])
    found = rox.fit(m, table, method="sem").sensitivity("z", "y").set_index("kind")
    assert found.loc["total", "verdict"].str.contains("x -> y is no regression").all()


def test_more_constructs_than_signs_can_be_listed():
    names = [f"c{i}" for i in range(14)]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 14))
    for at in range(1, 14):
        rows[:, at] += 0.6 * rows[:, at - 1] * (-1) ** at
    fit = rox.fit(model(names, [f"{a} -> {b}" for a, b in pairwise(names)]),
                  pd.DataFrame(rows, columns=names), method="path")  # fmt: skip
    table = fit.sensitivity("c0", "c13").query("bound == 'estimate'").set_index("kind")["robustness_value"]
    assert 0 < table["total"] < table["edge"].min()
    route = route_of({n: fit.model.causes(n) for n in names}, names, names, implied_of_constructs(fit, fit.theta[None]))
    assert route.patterns.shape == (1, 14)


def test_what_the_data_say_nothing_of_has_no_value():
    """One question, branches that do not differ: the edge is noise over nothing."""
    rng = np.random.default_rng(4)
    keys = [f"B{i:02d}" for i in range(30)]
    own = [
        rox.Construct(name="pride", factor="pride", source="employee", items=["p"], scale=rox.Likert(1, 5)),
        rox.Construct(name="rev", factor="outcomes", source="unit", items=["rev"]),
    ]
    m = rox.RoxModel(name="m", constructs=own, edges=["pride -> rev"])
    answers = {"b": np.repeat(keys, 6), "p": np.clip(np.rint(3.4 + rng.normal(0, 1, 180)), 1, 5)}
    study = rox.Study(m, employee=answers, unit={"b": keys, "rev": 500 + 50 * rng.normal(size=30)}, by="b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        table = rox.fit(m, study).sensitivity("pride", "rev")
    assert table["robustness_value"].isna().all()
    assert table["verdict"].str.startswith("not known").all()


def test_where_the_causes_would_leave_nothing_of_it_the_total_is_gone():
    """Two mediators that share nothing cannot both be explained to more than a half: the search ends before that."""
    b = np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.69, 0.69, 0]])
    total = np.linalg.inv(np.eye(4) - b)
    left = np.diag([1.0, 0.75, 0.75, 0.0])
    left[3, 3] = 1 - (b @ total @ left @ total.T @ b.T)[3, 3]
    names = ["x", "m", "n", "y"]
    causes = {"x": (), "m": ["x"], "n": ["x"], "y": ["m", "n"]}
    route = route_of(causes, names, names, (total @ left @ total.T)[None])
    value = route.overturning()
    assert 0.3 < value < 0.5
    assert np.isnan(route.total(np.full((1, 4), 0.7), route.patterns)).any()
    assert np.nanmin(route.total(np.full((1, 4), value - 1e-3), route.patterns)) > 0
