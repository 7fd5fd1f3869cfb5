"""What the estimates themselves say: information, causes told apart, turned signs, edges beyond 1, verdicts."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.outliers_influence import variance_inflation_factor

import roxmodel as rox
from roxmodel.estimate.checks import causes, meaning
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.estimate.latent.door import solve_rows
from roxmodel.estimate.options import SemOptions

QUIET = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
OWN = ("converged", "identified", "admissible", "no_information", "collinear", "sign", "size")


def said(fit, check):
    return [one for one in fit.findings if one.check == check and one.verdict != "ok"]


# --- no information

MOOD = rox.RoxModel(
    name="m",
    edges=["pride -> revenue"],
    constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["p"], scale=rox.Likert(1, 5)),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["rev"]),
    ],
)


def branches(seed, icc=0.0, units=30, people=6):
    """Answers that differ between branches by `icc` of their variance; revenue is noise."""
    rng = np.random.default_rng(seed)
    keys = np.array([f"B{i:02d}" for i in range(units)])
    answers = 3.4 + np.sqrt(1 - icc) * rng.normal(size=units * people)
    answers += np.repeat(np.sqrt(icc) * rng.normal(size=units), people) if icc else 0.0
    staff = pd.DataFrame({"b": np.repeat(keys, people), "p": np.clip(np.rint(answers), 1, 5)})
    books = pd.DataFrame({"b": keys, "rev": 500 + 50 * rng.normal(size=units)})
    return rox.Study(MOOD, employee=staff, unit=books, by="b")


@QUIET
@pytest.mark.parametrize("seed", [4, 9])
def test_an_edge_of_which_the_data_say_nothing_has_no_error_anywhere(seed):
    fit = rox.fit(MOOD, branches(seed))
    [doubt] = said(fit, "no_information")
    assert (doubt.verdict, doubt.culprits, doubt.edges) == ("unusable", ("pride",), ("pride -> revenue",))
    assert fit.without_information == (("pride", "revenue"),)
    assert fit.unknown_after(["pride"]) == {"revenue"}
    assert fit.unknown_after(["revenue"]) == frozenset()
    edge, row = fit.edges().iloc[0], fit.parameters().set_index("id").loc["edge:pride->revenue"]
    for column in ("se", "p", "ci_low", "ci_high", "standardized"):
        assert np.isnan(edge[column])
        assert np.isnan(row[column])
    for interval in (None, "delta", "draws"):
        effects = fit.effects("pride", "revenue", interval=interval).set_index("kind")
        assert effects.loc[["direct", "total"], ["se", "ci_low", "ci_high", "p"]].isna().all(axis=None)
    standardized = fit.standardized().set_index("id").loc["edge:pride->revenue"]
    assert standardized[["se", "p", "ci_low", "ci_high"]].isna().all()
    place = next(r.free for r in fit.table if r.id == "edge:pride->revenue") - 1
    draws = fit.draws(20, seed=1)
    assert np.isnan(draws[:, place]).all()
    assert np.isfinite(np.delete(draws, place, axis=1)).all()
    assert np.isfinite(fit.answer_draws(20, seed=1)).all()  # what masks them is `unknown_after`


@QUIET
def test_a_saved_fit_says_so_too(tmp_path):
    loaded = rox.load(rox.fit(MOOD, branches(4)).save(tmp_path / "fit.json"))
    assert loaded.without_information == (("pride", "revenue"),)
    assert loaded.effects("pride", "revenue")["se"].isna().all()


def test_definitions_that_use_such_an_edge_have_no_error_either():
    edge = rox.Edge(cause="pride", effect="revenue", label="b")
    model = rox.RoxModel(
        name="m", edges=[edge], constructs=MOOD.constructs, definitions={"twice": "2 * b", "c": "twice"}
    )
    with pytest.warns(rox.RoxWarning, match="no_information"):
        fit = rox.fit(model, branches(4))
    assert fit.parameters().set_index("id").loc[["defined:twice", "defined:c"], "se"].isna().all()


@QUIET
@pytest.mark.parametrize("method", ["linked", "path"])
@pytest.mark.parametrize("seed", [0, 3, 6])
def test_a_cause_that_is_noise_is_named_by_its_analysis_of_variance(seed, method):
    study = branches(seed)
    answers = study.moments.source("employee")
    p = meaning._alike_between(study.moments, MOOD.constructs[0])
    frame = pd.DataFrame({"mean": answers.mean[:, 0], "variance": answers.item_variance[:, 0]})
    ratio = 6 * frame["mean"].var() / frame["variance"].mean()  # equal sizes: the textbook's F
    assert p == pytest.approx(stats.f.sf(ratio, 29, 150), rel=1e-9)
    [doubt] = said(rox.fit(MOOD, study, method=method), "no_information")
    assert doubt.culprits == ("pride",)
    assert doubt.verdict in {"doubtful", "unusable"}


def test_where_all_of_a_team_answered_nothing_is_noise():
    study = branches(0)
    source = study.moments.source("employee")
    whole = replace(study.moments, sources=(source.with_eligible(np.full(30, 6.0)),))
    assert meaning._alike_between(whole, MOOD.constructs[0]) == 0.0


@pytest.mark.parametrize("method", ["linked", "path"])
def test_a_cause_that_differs_is_not_doubted(method):
    for seed in range(4):
        fit = rox.fit(MOOD, branches(seed, icc=0.3, people=12), method=method)
        assert not [one for one in fit.doubts if one.check in OWN]


@pytest.mark.slow
@QUIET
def test_pure_noise_is_never_certain():
    """150 samples of 30 branches: 16 were certain (p below .001) before; 5 % may stay unsaid, none of them certain."""
    fits = [rox.fit(MOOD, branches(seed)) for seed in range(150)]
    assert not [fit for fit in fits if (fit.edges()["p"] < 0.001).any()]
    unsaid = [fit for fit in fits if not said(fit, "no_information")]
    assert len(unsaid) <= stats.binom.ppf(0.999, 150, 0.05)
    assert not [fit for fit in unsaid if (fit.edges()["p"] < 0.01).any()]


@QUIET
def test_items_of_people_that_have_nothing_in_common():
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a")
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(200, 6)), columns=["a1", "a2", "a3", "b1", "b2", "b3"])
    level = rng.normal(size=200)
    frame[["b1", "b2", "b3"]] += level[:, None]
    fit = rox.fit(model, frame)
    r = np.corrcoef(frame[["a1", "a2", "a3"]], rowvar=False)
    p = stats.chi2.sf(-(199 - 11 / 6) * np.log(np.linalg.det(r)), 3)
    assert p > 0.05
    assert [one.culprits for one in said(fit, "no_information")] == [("a",)]


# --- causes of one effect


def survey(seed, r=0.5, leak=0.0, edges=(0.5, 0.3), n=2000):
    """Two latent causes of a rating; `leak`: what one item of info has of what is particular to the rating."""
    g = np.random.default_rng(seed)
    z = g.normal(size=(n, 3))
    staff, info = z[:, 0], r * z[:, 0] + np.sqrt(1 - r * r) * z[:, 1]
    rating = edges[0] * staff + edges[1] * info + 0.5 * z[:, 2]
    parts = {"s": (staff,) * 3, "i": (info, info, info + leak * z[:, 2]), "r": (rating,) * 3}
    return pd.DataFrame(
        {f"{k}{i + 1}": x + 0.4 * g.normal(size=n) for k, xs in parts.items() for i, x in enumerate(xs)}
    )


RATING = rox.RoxModel(
    name="m",
    edges=["staff + info -> rating"],
    constructs=[
        rox.Construct(name=n, factor=f, source="customer", items=[n[0] + k for k in "123"])
        for n, f in (("staff", "value_drivers"), ("info", "value_drivers"), ("rating", "outcomes"))
    ],
)


@QUIET
def test_causes_that_cannot_be_told_apart_are_named_both():
    fit = rox.fit(RATING, survey(0, r=0.97, leak=0.4))
    edge = fit.edges().set_index("cause").loc["staff"]
    assert edge["estimate"] < 0  # truth .5
    assert edge["p"] < 0.001
    [doubt] = said(fit, "collinear")
    assert doubt.verdict == "doubtful"
    assert set(doubt.culprits) == {"staff", "info"}
    assert set(doubt.edges) == {"staff -> rating", "info -> rating"}
    [turned] = said(fit, "sign")
    assert (turned.verdict, turned.edges) == ("doubtful", ("staff -> rating",))
    assert "se='robust'" not in doubt.finding  # of normal answers the information says it


@QUIET
def test_errors_that_are_too_small_are_said_beside():
    """Heavy tails: what the doubt says of the error is what se='robust' gives, but for the information it rests on."""
    rng = np.random.default_rng(5)
    frame = survey(5, r=0.97) * np.sqrt(3 / rng.chisquare(5, 2000))[:, None]
    fit = rox.fit(RATING, frame)
    [doubt] = said(fit, "collinear")
    robust = rox.fit(RATING, frame, se="robust").edges().set_index("cause")["se"]
    plain = fit.edges().set_index("cause")["se"]
    assert (robust > 1.1 * plain).all()
    assert "se='robust'" in doubt.finding


def test_causes_that_can_be_told_apart_are_not_doubted():
    fit = rox.fit(RATING, survey(0))
    assert fit.doubts == ()
    assert not said(fit, "collinear")
    assert not said(fit, "sign")


@pytest.mark.parametrize("method", ["sem", "path"])
def test_true_suppression_is_a_note(method):
    """Causes that correlate .7: the one lowers what the other raises; alone it would seem to raise."""
    fit = rox.fit(RATING, survey(1, r=0.7, edges=(0.9, -0.3)), method=method)
    assert [(one.verdict, one.edges) for one in said(fit, "sign")] == [("note", ("info -> rating",))]
    assert fit.doubts == ()


def test_the_multiple_correlation_is_that_of_a_regression():
    frame = survey(3, r=0.9)
    scores = pd.DataFrame({k: frame[[f"{k}1", f"{k}2", f"{k}3"]].mean(axis=1) for k in "sir"})
    fit = rox.fit(RATING, frame, method="path")
    evidence = Evidence(RATING, frame, fit, None, {})
    found = {edge.cause: edge for edge in causes._edges_of(evidence)}
    design = scores[["s", "i"]].assign(one=1.0).to_numpy()
    assert found["staff"].inflation == pytest.approx(variance_inflation_factor(design, 0), rel=1e-6)
    slope = stats.linregress(scores["s"], scores["r"])
    assert found["staff"].alone[0] == pytest.approx(slope.slope, rel=1e-3)
    assert found["staff"].alone[1] == pytest.approx(slope.stderr, rel=5e-3)


def test_the_latent_correlation_is_tested_by_its_own_error():
    """Of two causes the multiple correlation is the correlation: its error is that of the parameter table."""
    solution = solve_rows(RATING, survey(4, r=0.8), SemOptions(scaling="standardized"))
    fit = rox.fit(RATING, survey(4, r=0.8), scaling="standardized")
    rows = fit.parameters()
    row = rows[(rows["kind"] == "covariance") & (rows["left"] == "staff")].iloc[0]
    found = causes._edges_of(Evidence(RATING, None, fit, solution, {}))
    assert found[0].shared[0] == pytest.approx(abs(row["estimate"]), rel=1e-6)
    assert found[0].shared[1] == pytest.approx(row["se"], rel=1e-3)


@QUIET
def test_an_edge_beyond_1_by_its_estimate_is_a_note_and_beyond_chance_a_doubt():
    fit = rox.fit(RATING, survey(0, r=0.95, edges=(2.0, -1.5)))
    found = {one.edges[0]: one.verdict for one in said(fit, "size")}
    assert found == {"staff -> rating": "doubtful", "info -> rating": "doubtful"}


@pytest.mark.slow
@pytest.mark.parametrize(("units", "options"), [(50, {}), (50, {"icc": 0.06, "confounding": 0.6}), (150, {})])
def test_clean_worlds_are_not_doubted(units, options):
    """Share of worlds of the fitted model with a doubt of these checks, linked and path: at most 5 % of 40."""
    cries = 0
    for seed in range(20):
        world = rox.datasets.make_world(units, seed=500 + seed, **options)
        for method in ("linked", "path"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rox.RoxWarning)
                fit = rox.fit(world.model, world.study(), method=method)
            cries += any(one.check in OWN for one in fit.doubts)
    assert cries <= 2


# --- verdicts


def test_a_variance_at_its_bound_is_a_note_where_chance_explains_it():
    rng = np.random.default_rng(12)
    found = []
    for _ in range(12):  # weak items, few rows: estimates at 0 are common
        level = rng.normal(size=(60, 1))
        frame = pd.DataFrame(0.9 * level + 0.5 * rng.normal(size=(60, 3)), columns=["a1", "a2", "a3"])
        frame["y"] = level[:, 0] + rng.normal(size=60)
        frame["a1"] = 0.9 * level[:, 0] + 0.1 * rng.normal(size=60)
        fit = rox.fit(rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\ny ~ a"), frame)
        found += said(fit, "admissible")
        assert fit.doubts == ()
    assert len(found) > 1
    assert {one.verdict for one in found} == {"note"}
    assert found[0].culprits == ("a1",)


# --- few units


@QUIET
def test_few_units_are_a_note():
    rng = np.random.default_rng(1)
    keys = np.arange(12)
    study = rox.Study(
        MOOD,
        employee=pd.DataFrame(
            {"b": np.repeat(keys, 20), "p": np.repeat(rng.normal(size=12), 20) + rng.normal(size=240)}
        ).assign(p=lambda f: np.clip(np.rint(3 + f["p"]), 1, 5)),
        unit=pd.DataFrame({"b": keys, "rev": rng.normal(size=12)}),
        by="b",
    )
    found = said(rox.fit(MOOD, study, method="path"), "few_units")
    assert [one.verdict for one in found] == ["note"]
    assert "12 units" in found[0].finding


@QUIET
def test_uneven_weights_and_few_rows_are_notes():
    frame = survey(2, n=60).assign(w=np.where(np.arange(60) < 6, 50.0, 1.0))
    found = said(rox.fit(RATING, frame, weight="w"), "few_units")
    assert {one.verdict for one in found} == {"note"}
    kish = frame["w"].sum() ** 2 / (frame["w"] ** 2).sum()
    assert any(f"as much as {kish:.0f} of equal weight" in one.finding for one in found)
    assert any("60 rows for 21 free parameters" in one.finding for one in found)
