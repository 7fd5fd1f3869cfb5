"""What a reader must know beside the numbers of a latent fit."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a"
NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]
MODEL = rox.RoxModel.from_lavaan(TEXT)


def answers(n=200, seed=1, slope=0.5, noise=0.6):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = slope * a + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) + noise * rng.normal(size=(n, 6)) + 4
    return pd.DataFrame(rows, columns=NAMES).assign(
        g=np.where(np.arange(n) % 2, "n", "s"), c=np.arange(n) % 12, w=rng.uniform(0.5, 2, n)
    )


def fitted(frame=None, model=MODEL, **options):
    return rox.fit(model, answers() if frame is None else frame, method="sem", **({"progress": False} | options))


def holed():
    frame = answers()
    return frame.assign(a1=frame["a1"].mask(frame.index % 9 == 0))


WORDS = {
    "normal theory, expected information": {},
    "normal theory, observed information": {"information": "observed"},
    "sandwich (Huber-White), observed information": {"estimator": "MLR"},
    "sandwich (Huber-White), expected information": {"estimator": "MLR", "information": "expected"},
    "robust (Satorra-Bentler), expected information": {"estimator": "MLM"},
    "sandwich, clustered by c, t intervals (clusters - 1)": {"cluster": "c"},
    "bootstrap by row, 4 replicates, percentile intervals": {"bootstrap": 4, "seed": 1},
    "bootstrap by c, 4 replicates, percentile intervals": {"bootstrap": 4, "seed": 1, "cluster": "c"},
}


@pytest.mark.parametrize("words", sorted(WORDS))
def test_how_errors_were_computed(words):
    assert fitted(**WORDS[words]).errors == words


def test_more_words_of_errors():
    assert fitted(weight="w").errors.startswith("sandwich (Huber-White)")
    assert fitted(holed(), missing="fiml").errors == "normal theory, observed information"
    whole = answers()[NAMES].round().clip(1, 7)
    assert "diagonally weighted least squares" in fitted(whole, estimator="DWLS", ordered=True).errors


def said(fit, *parts):
    return any(all(part in note for part in parts) for note in fit.notes)


def test_missing_answers():
    assert said(fitted(holed(), missing="fiml"), "missing at random")
    assert said(fitted(holed()), "23 of 200 rows miss an answer and are left out (listwise)")
    assert not said(fitted(), "missing")


def test_no_causal_words_without_edges():
    assert said(fitted(), "Causal reading")
    assert not said(fitted(model=rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3")), "Causal reading")


def test_few_rows_and_few_clusters():
    assert said(fitted(answers(n=40)), "Few rows: 40 for 13 free parameters")
    assert not said(fitted(), "Few rows")
    assert said(fitted(cluster="c"), "Only 12 clusters")


def test_a_fixed_edge_is_assumed():
    fit = fitted(model=rox.RoxModel.from_lavaan(TEXT.replace("b ~ a", "b ~ 0.3*a")))
    assert said(fit, "Assumed, not estimated: a -> b = 0.3")


def test_a_loading_of_the_wrong_sign():
    frame = answers()
    with pytest.warns(rox.RoxWarning, match="'a2' of 'a' runs against the other"):
        fit = fitted(frame.assign(a2=8 - frame["a2"]))
    assert [doubt.culprits for doubt in fit.doubts] == [("a2",)]
    assert not said(fit, "differ in sign")  # the doubt says it


def test_loadings_whose_signs_are_chance_blame_nobody():
    rng = np.random.default_rng(0)
    frame = answers(n=60).assign(a2=rng.normal(size=60))
    frame["a2"] -= 0.12 * (frame["a1"] + frame["a3"])
    fit = fitted(frame)
    assert fit.doubts == ()
    assert said(fit, "Loadings on a differ in sign (a1 1, a2 -")


def test_an_edge_of_the_wrong_sign():
    model = MODEL.replace(edges=[rox.Edge(cause="a", effect="b", expected="negative")])
    assert said(fitted(model=model), "a -> b was expected negative but is")


def test_a_loop_settles():
    rng = np.random.default_rng(3)
    frame = answers(n=400)
    x, y = rng.normal(size=(2, 400))
    frame = frame.assign(x=x, y=y)
    for name in NAMES[:3]:
        frame[name] += 0.5 * x
    for name in NAMES[3:]:
        frame[name] += 0.5 * y
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\na ~ b + x\nb ~ a + y")
    fit = fitted(frame, model)
    assert said(fit, "Effects through the loop")
    assert fit.verdicts["admissible"].ok


def heywood():
    matrix = [[1, 0.8, 0.7], [0.8, 1, 0.3], [0.7, 0.3, 1]]
    return rox.Moments.from_covariance(NAMES[:3], matrix, n=100)


@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_a_heywood_case_stops_at_its_bound_without_an_error(scaling):
    with pytest.warns(rox.RoxWarning, match=r"admissible \(doubtful\).*below 0 of a1"):  # by 6 standard errors
        fit = fitted(heywood(), rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3"), scaling=scaling)
    table = fit.parameters().set_index("id")
    assert table.loc["variance:a1", "estimate"] == 0.0
    assert np.isnan(table.loc["variance:a1", ["se", "z", "p", "ci_low", "ci_high"]].astype(float)).all()
    others = table.drop(index="variance:a1")
    assert (others.loc[others["free"] > 0, "se"] > 0).all()
    assert fit.converged
    assert not fit.admissible
    [fault] = fit.verdicts["admissible"].faults
    assert (fault.code, fault.rows) == ("bound", ("variance:a1",))
    assert "Heywood" in fit.verdicts["admissible"].reason
    assert said(fit, "Held at the bound 0, without a standard error: the variance of a1")
    assert "Heywood" in fit.summary()


def test_constructs_that_cannot_be_told_apart():
    rng = np.random.default_rng(1)
    a = rng.normal(size=500)
    rows = np.column_stack([a] * 6) + 0.6 * rng.normal(size=(500, 6))
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3")
    fit = fitted(pd.DataFrame(rows, columns=NAMES), model)
    assert "told apart" in fit.verdicts["admissible"].reason
    assert "a and b" in fit.verdicts["admissible"].reason


def test_residuals_whose_covariances_contradict_each_other():
    matrix = np.full((4, 4), 0.3) + 0.7 * np.eye(4)
    model = rox.RoxModel.from_lavaan("a =~ 1*p + 1*q + 1*r + 0.2*s\nr ~~ 0.3*r\ns ~~ 0.3*s\nr ~~ -0.35*s")
    with pytest.warns(rox.RoxWarning, match=r"admissible \(doubtful\)"):  # no edge hangs on it
        fit = fitted(rox.Moments.from_covariance(["p", "q", "r", "s"], matrix, n=100), model)
    assert not fit.admissible
    assert [fault.code for fault in fit.verdicts["admissible"].faults] == ["impossible"]
    assert "correlations of the item residuals are impossible together" in fit.verdicts["admissible"].reason


def test_counts_and_yes_no_answers_are_taken_as_numbers():
    constructs = [
        rox.Construct(name="a", factor="pride", source="employee", items=NAMES[:3]),
        rox.Construct(name="y", factor="outcomes", source="employee", items=["y"], scale=rox.Binary()),
    ]
    model = rox.RoxModel(name="m", constructs=constructs, edges=["a -> y"])
    fit = fitted(answers().assign(y=lambda f: (f["b1"] > 4) * 1.0), model)
    assert said(fit, "Yes/no answers and counts are taken as numbers", "y")


def test_no_note_holds_a_line_break():
    for fit in (fitted(), fitted(holed(), missing="fiml", group="g"), fitted(cluster="c")):
        assert all("\n" not in note for note in (*fit.notes, fit.errors))
        assert all(verdict.reason for verdict in fit.verdicts.values())


@pytest.mark.parametrize("route", [{"means": True}, {"missing": "fiml"}, {"group": "g", "means": True}])
def test_where_the_scale_has_its_zero_is_no_ridge(route):
    rng = np.random.default_rng(8)
    x = rng.normal(size=300)
    m = 0.5 * x + rng.normal(size=300)
    y = 0.3 * x + 0.4 * m + rng.normal(size=300)
    frame = pd.DataFrame({"x": x, "m": m, "y": y}) + 1000.0
    frame["g"] = np.where(np.arange(300) % 2, "n", "s")
    model = rox.RoxModel.from_lavaan("m ~ x\ny ~ x + m")
    far = fitted(frame, model, **route)
    near = fitted(frame.assign(**{name: frame[name] - 1000.0 for name in "xmy"}), model, **route)
    assert far.converged
    assert far.admissible, far.verdicts["admissible"].reason
    assert far.doubts == ()
    for column in ("estimate", "se"):
        np.testing.assert_allclose(far.edges()[column], near.edges()[column], rtol=1e-4)
