"""The one door: what is refused in one sentence, odd models that work, indices, verdicts, coverage."""

import inspect

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError, RoxError
from roxmodel.estimate.methods import METHODS
from roxmodel.estimate.options import keywords_of

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed


def construct(name, scale=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])


def model(names="ab", edges=("a -> b",), scales=None, **options):
    constructs = [construct(name, (scales or {}).get(name)) for name in names]
    return rox.RoxModel(name="m", constructs=constructs, edges=list(edges), **options)


def frame(names="ab", n=60, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, len(names)))
    return pd.DataFrame(values, columns=list(names)).assign(u=range(n))


def study(m, table):
    return rox.Study(m, unit=table, by="u")


# --- what is refused, in one sentence that names the culprit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pth"}, r"method= was 'pth'\. Did you mean 'path'\?"),
        ({"estimator": "MLR"}, r"estimator='MLR' is not an option of method='path'"),
        ({"missing": "fiml"}, r"missing='fiml' is not an option"),
        ({"group": "u"}, r"group='u' is not an option"),
        ({"weight": "u"}, r"weight='u' is not an option of method='path'.*belongs to method 'sem'"),
        ({"frequency": "u"}, r"frequency='u' is not an option"),
        ({"invariance": "metric"}, r"invariance='metric' is not an option"),
        ({"equal": ["loadings"]}, r"equal=\('loadings',\) is not an option"),
        ({"scaling": "standardized"}, r"scaling='standardized' is not an option"),
        ({"information": "observed"}, r"information='observed' is not an option"),
        ({"ordered": True}, r"ordered=True is not an option"),
        ({"means": True}, r"means=True is not an option"),
        ({"within": "model"}, r"within='model' is not an option of method='path'.*belongs to method 'linked'"),
        ({"se": "hc3"}, r"se= was 'hc3'\. Allowed: 'standard', 'robust' or 'bootstrap'"),
        ({"bootstrap": -1}, r"bootstrap= was -1\. Allowed: a whole number"),
        ({"bootstrap": 2.5}, r"bootstrap= was 2\.5"),
        ({"bootstrap": True}, r"bootstrap= was True"),
        ({"bootstrap": 1}, r"bootstrap=1 gives no standard error"),
        ({"bootstrap": 10**10}, r"at most 1,000,000"),
        ({"bootstrap": 50, "se": "robust"}, r"bootstrap=50 and se='robust' contradict"),
        ({"seed": -3}, r"seed= was -3"),
        ({"seed": "one"}, r"seed= was 'one'"),
        ({"cluster": "region"}, r"no column 'region'"),
    ],
)
@pytest.mark.parametrize("kind", [frame, lambda: study(model(), frame())])
def test_foreign_options_are_refused(options, message, kind):
    with pytest.raises(RoxError, match=message):
        rox.fit(model(), kind(), **{"method": "path"} | options)


@pytest.mark.parametrize("kind", [frame, lambda: rox.Moments.from_correlation("ab", np.eye(2), n=50)])
def test_within_belongs_to_the_method_linked(kind):
    with pytest.raises(RoxError, match="within='model' is not an option of method='sem'.*belongs to method 'linked'"):
        rox.fit(model(), kind(), within="model")


def test_the_data_say_which_method_is_meant():
    table = frame()
    data = {"linked": study(model(), table), "sem": table}
    for method, given in data.items():
        assert rox.fit(model(), given).method == method
    assert rox.fit(model(), rox.Moments.from_correlation("ab", np.eye(2), n=50)).method == "sem"


def test_a_study_has_nobody_who_answered_everything():
    given = study(model(), frame())
    for data in (given, given.moments):
        with pytest.raises(RoxError, match=r"method='sem' needs all items of a person in one row, but a Study holds"):
            rox.fit(model(), data, method="sem")
    with pytest.raises(RoxError, match=r"estimator='DWLS' is not an option of method='linked'"):
        rox.fit(model(), given, estimator="DWLS")
    with pytest.raises(
        RoxError, match=r"method='linked' needs surveys that are linked by unit, but the data are a DataF"
    ):
        rox.fit(model(), frame(), method="linked")


@pytest.mark.parametrize("method", ["path", "sem"])
@pytest.mark.parametrize("options", [{"se": "robust"}, {"se": "bootstrap"}, {"bootstrap": 10}, {"cluster": "a"}])
def test_a_printed_matrix_has_no_rows(options, method):
    moments = rox.Moments.from_correlation(["a", "b"], [[1, 0.3], [0.3, 1]], n=50)
    with pytest.raises(RoxError, match="printed matrix has no rows"):
        rox.fit(model(), moments, method=method, **options)


@pytest.mark.parametrize(
    ("edges", "options", "message"),
    [
        ([rox.Edge(cause="a", effect="b", lag=1)], {}, r"lagged edge 'a -> b' is free, but one wave"),
        (["a -> b", "b -> c", "c -> b"], {"feedback": True}, r"edges b -> c -> b are a feedback loop"),
        (["a -> b", "a <-> b"], {}, r"common cause a <-> b confounds the edge a -> b"),
        (["a -> b", "b -> c", "a <-> c"], {}, r"common cause a <-> c confounds the edge b -> c"),
        (["a -> b", "a -> c", "b <-> c", "b -> c"], {}, r"b <-> c confounds the edge b -> c"),
        (
            [rox.Edge(cause="a", effect="b", label="k"), rox.Edge(cause="b", effect="c", label="k")],
            {},
            r"label 'k' stands on several parameters",
        ),
    ],
)
def test_what_regressions_cannot_estimate_is_refused(edges, options, message):
    with pytest.raises(EstimationError, match=message):
        rox.fit(model("abc", edges, **options), frame("abc"), method="path")


def test_a_declared_loop_names_edges_of_the_loop_only():
    with pytest.raises(EstimationError, match=r"edges b -> c -> b are"):
        rox.fit(model("cab", ["a -> b", "b -> c", "c -> b", "c -> a"][:3], feedback=True), frame("abc"), method="path")
    assert rox.fit(model("ba", ["a -> b"], feedback=True), frame(), method="path").converged


@pytest.mark.parametrize(
    "edges",
    [
        ["a -> b", "a -> c", "b <-> c"],
        ["a -> b", "b -> d", "c -> d", "b <-> c"][:3],
        ["a -> b", rox.Covariance(left="a", right="b", fixed=0)],
    ],
)
def test_a_common_cause_that_confounds_no_edge_is_fine(edges):
    assert rox.fit(model("abcd", edges), frame("abcd"), method="path").identified


def test_a_fixed_edge_is_not_confounded_but_what_it_carries_is():
    fixed = rox.Edge(cause="b", effect="c", fixed=0.3)
    rox.fit(model("abc", ["a -> b", "a -> c", fixed, "b <-> c"]), frame("abc"), method="path")
    with pytest.raises(EstimationError, match="b <-> d confounds the edge c -> d"):
        rox.fit(model("abcd", ["a -> b", fixed, "c -> d", "b <-> d"]), frame("abcd"), method="path")


@pytest.mark.parametrize("kind", ["study", "frame", "moments"])
def test_too_few_are_refused(kind):
    wide, edges = "abcdefghijkl", ["a + b + c + d + e + f + g + h + i + j + k -> l"]
    for names, causes, n, effect in (("ab", ["a -> b"], 3, "b"), (wide, edges, 12, "l")):
        m, table = model(names, causes), frame(names, n)
        if kind == "moments":
            data = rox.Moments.from_correlation(list(names), np.eye(len(names)), n=n)
        else:
            data = study(m, table) if kind == "study" else table
        with pytest.raises(EstimationError, match=f"equation of '{effect}' has .* cause"):
            rox.fit(m, data, method="path")


def test_collinear_causes_are_named_from_rows_and_from_moments():
    table = frame("abcd")
    table["b"] = 2 * table["a"] + 1
    with pytest.raises(EstimationError, match="causes 'a', 'b' of 'd' cannot be told apart"):
        rox.fit(model("abcd", ["a + b + c -> d"]), table, method="path")
    r = 1 - 1e-10
    rows = rox.Moments(tuple("abc"), 50, None, np.array([[1, r, 0.1], [r, 1, 0.1], [0.1, 0.1, 1]]))
    with pytest.raises(EstimationError, match="causes 'a', 'b' of 'c' cannot be told apart"):
        rox.fit(model("abc", ["a + b -> c"]), rows, method="path")


def test_a_score_that_cancels_out_is_named():
    m = rox.RoxModel(
        name="m",
        constructs=[rox.Construct(name="p", factor="pride", source="unit", items=["p1", "p2"]), construct("b")],
        edges=["p -> b"],
    )
    table = frame("b").assign(p1=frame("x", seed=4)["x"])
    table["p2"] = 6 - table["p1"]
    rows = rox.Moments.from_rows(table[["p1", "p2", "b"]].to_numpy(), ["p1", "p2", "b"])
    with pytest.warns(rox.RoxWarning, match="'p1', 'p2' of 'p' run against each other"):
        linked = study(m, table)
    for data in (table, linked, rows):
        with pytest.raises(EstimationError, match=r"score of 'p' is constant.* reversed"):
            rox.fit(m, data, method="path")


def test_separated_outcomes_are_named():
    table = frame("abc")
    table["c"] = (table["a"] > 0).astype(float)
    with pytest.raises(EstimationError, match="logit equation of 'c' has no finite estimate"):
        rox.fit(model("abc", ["a + b -> c"], {"c": rox.Binary()}), table, method="path")


def test_leverage_one_is_refused_with_a_way_out():
    table = frame().assign(a=lambda t: (t["u"] == 7).astype(float))
    with pytest.raises(EstimationError, match=r"equation of 'b' \(leverage 1\).*se='standard'"):
        rox.fit(model(), table, method="path")
    assert np.isfinite(rox.fit(model(), table, method="path", se="standard").edges()["se"]).all()


def test_clusters_must_be_there_and_differ():
    table = frame()
    for values, message in (([1] * 60, "one cluster only"), ([None] + [1, 2] * 29 + [1], r"empty in 1 row\(s\)")):
        for data in (table.assign(k=values), study(model(), table.assign(k=values))):
            with pytest.raises(DataError, match=f"cluster= column 'k'.*{message}"):
                rox.fit(model(), data, method="path", cluster="k")


def test_things_that_are_no_model_or_no_data_are_refused():
    with pytest.raises(RoxError, match="model= was a DataFrame"):
        rox.fit(frame(), model())
    for data in (None, 3, "file.csv"):
        with pytest.raises(RoxError, match="no frame"):
            rox.fit(model(), data, method="path")
    with pytest.raises(RoxError, match="Linked moments"):
        rox.fit(model(), study(model(), frame()).moments, method="path")
    with pytest.raises(RoxError, match="no column 'b'"):
        rox.fit(model(), frame("ac"), method="path")
    with pytest.raises(RoxError, match="moments hold no variable 'b'"):
        rox.fit(model(), rox.Moments.from_correlation(["a", "c"], np.eye(2), n=40), method="path")


def test_a_study_of_other_items_or_scales_is_refused():
    table = frame("abc")
    with pytest.raises(RoxError, match="no item 'c'"):
        rox.fit(model("abc"), study(model("ab"), table))
    item = rox.Item(name="b", scale=rox.Likert(-10, 10, whole=False), reverse=True)
    turned = rox.Construct(name="b", factor="outcomes", source="unit", items=[item])
    other = rox.RoxModel(name="m", constructs=[construct("a"), turned], edges=["a -> b"])
    with pytest.raises(RoxError, match="item 'b' with another source, scale or direction"):
        rox.fit(other, study(model("ab"), table))


def test_exogenous_constructs_that_never_meet_are_named():
    table = frame("abc").assign(a=lambda t: t["a"].where(t["u"] < 30), b=lambda t: t["b"].where(t["u"] >= 30))
    with pytest.raises(EstimationError, match=r"Only 0 row\(s\) have all of 'a', 'b'"):
        rox.fit(model("abc", ["a -> c"]), table, method="path")


def test_common_causes_of_effects_that_never_meet_are_named():
    table = frame("abc").assign(b=lambda t: t["b"].where(t["u"] < 30), c=lambda t: t["c"].where(t["u"] >= 30))
    with pytest.raises(EstimationError, match="No row has both 'b' and 'c'"):
        rox.fit(model("abc", ["a -> b", "a -> c", "b <-> c"]), table, method="path")


# --- odd models


def odd():
    holed = frame("abc")
    holed.loc[6:, "b"] = np.nan
    rng = np.random.default_rng(3)
    names = [f"c{i}" for i in range(40)]
    dense = [f"c{i} -> c{j}" for i in range(40) for j in range(i + 1, min(i + 4, 40))]
    huge = frame("abc").assign(a=lambda t: t["a"] * 1e9 + 1e6, b=lambda t: t["b"] * 1e-6, c=lambda t: t["c"] + 1e6)
    sparse = frame("abc", 300).mask(rng.random((300, 4)) < 0.7).assign(u=range(300))
    return {
        "one construct": (model("a", []), frame("a")),
        "one construct, moments given": (model("a", [], exogenous="fixed"), frame("a")),
        "no edges": (model("abc", []), frame("abc")),
        "a lagged edge only": (model("ab", [rox.Edge(cause="a", effect="b", lag=2, fixed=0.1)]), frame()),
        "forty constructs": (model(names, dense), frame(names, 120)),
        "six units with b": (model("abc", ["a -> b", "a + b -> c"]), holed),
        "mostly missing": (model("abc", ["a -> b", "b -> c"]), sparse),
        "huge and tiny": (model("abc", ["a -> b", "a + b -> c"]), huge),
        "terminal covariances": (model("abc", ["a -> b", "a -> c"], terminal_covariances=True), frame("abc")),
        "an edge without effect": (model("ab", [rox.Edge(cause="a", effect="b", fixed=0)]), frame()),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", odd())
@pytest.mark.parametrize("kind", ["frame", "study", "standard", "bootstrap"])
def test_odd_models_are_fitted_and_shown(name, kind):
    m, table = odd()[name]
    options = {"standard": {"se": "standard"}, "bootstrap": {"bootstrap": 30, "seed": 1, "progress": False}}
    fit = rox.fit(m, study(m, table) if kind == "study" else table, method="path", **options.get(kind, {}))
    assert fit.converged
    assert len(fit.edges()) == len(m.edges)
    assert np.isfinite(fit.parameters()["estimate"]).all()
    assert fit.draws(30, seed=1).shape == (30, fit.table.n_free)
    assert m.name in fit.summary()
    assert m.name in fit._repr_html_()
    run = rox.simulate(fit, [rox.Intervention(name="x", shift={m.names[0]: 0.1})], horizon=2, draws=30, seed=1)
    assert np.isfinite(run.effects().iloc[:, 2:].to_numpy()).all()


def test_two_surveys_and_no_unit_figures():
    world = rox.datasets.make_world(40, seed=2)
    m = world.model.replace(
        constructs=[c for c in world.model.constructs if c.source != "unit"],
        edges=[e for e in world.model.edges if not {"revenue", "affluence"} & {e.cause, e.effect}],
    )
    fit = rox.fit(m, rox.Study(m, employee=world.employee, customer=world.customer, by="branch"))
    assert fit.population.n_units == 40
    with pytest.raises(DataError, match="no unit frame"):
        rox.fit(m, rox.Study(m, employee=world.employee, customer=world.customer, by="branch"), cluster="branch")


def test_units_that_know_nothing_of_the_model_do_not_count():
    world = rox.datasets.make_world(40, seed=2, without_customers=0.25)
    m = rox.RoxModel(
        name="customers",
        constructs=[world.model.find("value"), world.model.find("loyalty")],
        edges=["value -> loyalty"],
    )
    fit = rox.fit(m, world.study())
    assert (fit.population.n, fit.population.n_units, len(fit.population.units)) == (30, 30, 30)
    assert not np.isnan(fit.indices()["chisq"])


def test_figures_of_units_need_no_word_on_sampling_error():
    assert not any("sampling error" in note for note in rox.fit(model(), study(model(), frame())).notes)
    assert any(
        "sampling error" in note
        for note in rox.fit(
            rox.datasets.make_world(30, seed=1).model, rox.datasets.make_world(30, seed=1).study()
        ).notes
    )


# --- defined parameters


def defined(**options):
    edges = [rox.Edge(cause="a", effect="b", label="p"), rox.Edge(cause="b", effect="c", label="q")]
    texts = {"ind": "p * q", "ratio": "ind / (p + 2)", "own": "p", "k": "f * p"}
    edges.append(rox.Edge(cause="a", effect="c", fixed=0.5, label="f"))
    table = frame("abc", 80).assign(b=lambda t: t["a"] + t["b"], c=lambda t: 0.5 * t["a"] + t["b"] + t["c"])
    return rox.fit(model("abc", edges, definitions=texts), table, method="path", **options)


def test_definitions_are_delta_method_effects():
    fit = defined()
    table, effects = fit.parameters().set_index("left"), fit.effects("a", "c")
    path = effects[effects["path"] == "a -> b -> c"].iloc[0]
    numbers = ["estimate", "se", "ci_low", "ci_high", "p"]
    np.testing.assert_allclose(table.loc["ind", numbers].to_numpy(float), path[numbers].to_numpy(float), rtol=1e-7)
    edge = fit.edges().iloc[0]
    np.testing.assert_allclose(table.loc["own", numbers].to_numpy(float), edge[numbers].to_numpy(float), rtol=1e-7)
    p, q = fit.theta[:2]
    gradient = np.array([2 * q / (p + 2) ** 2, p / (p + 2)])
    assert table.loc["ratio", "se"] == pytest.approx(np.sqrt(gradient @ fit.vcov[:2, :2] @ gradient), rel=1e-7)
    assert table.loc["k", "se"] == pytest.approx(0.5 * edge["se"], rel=1e-7)


def test_definitions_of_a_bootstrap_are_percentiles():
    fit = defined(bootstrap=200, seed=1, progress=False)
    row = fit.parameters().set_index("left").loc["ind"]
    draws = fit.bootstrap_draws()[:, 0] * fit.bootstrap_draws()[:, 1]
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], np.quantile(draws, [0.025, 0.975]), **EXACT)
    assert row["se"] == pytest.approx(draws.std(ddof=1))


def test_definitions_that_cannot_be_computed_are_nan_and_said():
    latent = rox.Construct(name="a", factor="pride", source="unit", items=["a1", rox.Item(name="a2", loading="l")])
    edges = [rox.Edge(cause="a", effect="b", label="p")]
    texts = {"x": "l * p", "y": "x + p", "never": "log(-p * p - 1)", "fine": "2 * p"}
    m = rox.RoxModel(name="m", constructs=[latent, construct("b")], edges=edges, definitions=texts)
    table = frame(["a1", "a2", "b"])
    for options in ({}, {"bootstrap": 20, "seed": 1, "progress": False}):
        fit = rox.fit(m, table, method="path", **options)
        rows = fit.parameters().set_index("left").loc[list(texts)]
        assert rows["estimate"].isna().tolist() == [True, True, True, False]
        assert rows["se"].isna().tolist() == [True, True, True, False]
        assert any("Not computed: x, y" in note for note in fit.notes)


# --- indices and verdicts


@pytest.mark.parametrize(
    ("edges", "scales", "reason"),
    [
        (["a -> b", "a -> c", "b <-> c"], {}, "correlated disturbances"),
        (["a -> c"], {"c": rox.Binary()}, "curved"),
        (["a -> b", rox.Covariance(left="a", right="c", fixed=0)], {}, "is fixed"),
    ],
)
def test_where_regressions_are_not_maximum_likelihood_there_are_no_indices(edges, scales, reason):
    table = frame("abc").assign(c=lambda t: (t["c"] > 0).astype(float) if scales else t["c"])
    fit = rox.fit(model("abc", edges, scales), table, method="path")
    assert np.isnan(fit.indices()["chisq"])
    assert fit.indices()["n"] == 60
    assert any("No fit indices" in note and reason in note for note in fit.notes)


def test_missing_scores_and_singular_covariances_have_no_indices():
    table = frame("abc").assign(b=lambda t: t["b"].where(t["u"] > 3))
    assert any("some scores are missing" in note for note in rox.fit(model("abc"), table, method="path").notes)
    table = frame("abc").assign(c=lambda t: t["a"] + t["b"])
    assert any("singular" in note for note in rox.fit(model("abc"), table, method="path").notes)


def test_terminal_covariances_are_correlated_disturbances():
    fit = rox.fit(model("abc", ["a -> b", "a -> c"], terminal_covariances=True), frame("abc"), method="path")
    assert np.isnan(fit.indices()["chisq"])


def test_contradictory_covariances_are_not_admissible():
    pairs = [
        rox.Covariance(left=x, right=y, fixed=v) for x, y, v in (("a", "b", 0.9), ("b", "c", 0.9), ("a", "c", -0.9))
    ]
    with pytest.warns(rox.RoxWarning, match=r"admissible \(unusable\)"):
        fit = rox.fit(model("abcd", ["a -> d", *pairs]), frame("abcd"), method="path")
    assert fit.doubts[0].culprits == ("a", "b", "c")
    assert fit.doubts[0].edges == ("a -> d",)
    assert not fit.admissible
    assert fit.converged
    assert "NO" in fit.summary()
    assert not fit.checks().set_index("check").loc["admissible", "ok"]


# --- coverage


@pytest.mark.slow
def test_hc3_intervals_cover_the_truth_as_often_as_they_say():
    """60 units, effects of units known exactly, unequal variances: 95 % intervals, 400 replications."""
    truth = {"edge:a->b": 0.5, "edge:a->c": 0.3, "edge:b->c": -0.4, "indirect": -0.2, "total": 0.1}
    hits, replications = dict.fromkeys(truth, 0), 400
    m = model("abc", ["a -> b", "a + b -> c"])
    for seed in range(replications):
        rng = np.random.default_rng([77, seed])
        a = rng.normal(size=60)
        b = 0.5 * a + rng.normal(size=60) * (0.5 + 0.5 * np.abs(a))
        c = 0.3 * a - 0.4 * b + rng.normal(size=60) * (0.5 + 0.5 * np.abs(a))
        fit = rox.fit(m, pd.DataFrame({"a": a, "b": b, "c": c}), method="path")
        ends = {
            row.id: (low, high) for row, low, high in zip(fit.table, fit.estimates.low, fit.estimates.high, strict=True)
        }
        effects = fit.effects("a", "c").drop_duplicates("kind", keep="last").set_index("kind")
        ends |= {kind: tuple(effects.loc[kind, ["ci_low", "ci_high"]]) for kind in ("indirect", "total")}
        for name, value in truth.items():
            hits[name] += ends[name][0] <= value <= ends[name][1]
    bound = MONTE_CARLO * np.sqrt(0.95 * 0.05 / replications)  # 4.4 points
    for name, count in hits.items():
        # HC3 and delta intervals are approximate at 60 units: one point more either way.
        assert abs(count / replications - 0.95) < bound + 0.01, name


def test_a_correlation_matrix_in_a_frame_is_not_taken_for_people():
    names = ["pride", "outcomes"]
    matrix = pd.DataFrame([[1.0, 0.4], [0.4, 1.0]], index=names, columns=names)
    model = rox.five_factor({"pride": ["pride"], "outcomes": ["outcomes"]})
    with pytest.raises(rox.RoxError, match="The frame is a matrix.*Moments.from_correlation"):
        rox.fit(model, matrix, method="path")


def test_every_keyword_of_fit_is_an_option_of_a_method_and_has_its_default():
    records = [keywords_of(way.options) for way in METHODS.values()]
    keywords = {name: given.default for name, given in inspect.signature(rox.fit).parameters.items()}
    for name in ("model", "data", "method"):
        del keywords[name]
    assert set(keywords) == set().union(*records)
    del keywords["se"]  # None: what the method, or its estimator, stands for
    for name, default in keywords.items():
        assert {record[name] for record in records if name in record} == {default}, name


def test_what_is_no_model_and_a_method_that_does_not_fit_are_said_before_a_wrong_option():
    study = rox.datasets.make_world(6, seed=1).study()
    with pytest.raises(rox.RoxError, match="needs all items of a person"):
        rox.fit(study.model, study, method="sem", equal=3)
    with pytest.raises(rox.RoxError, match="model= was"):
        rox.fit(None, study, equal=3)
