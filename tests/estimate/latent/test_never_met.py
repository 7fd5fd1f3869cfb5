"""Split questionnaires: items that no unit, or no person, has both of, joined by others."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxWarning
from roxmodel.estimate.latent.both_levels import estimate_jointly
from roxmodel.estimate.latent.solve import solve_between

EXACT = 1e-9  # algebra in double precision
SOLVED = 2e-4  # of a standard error: what a quasi-Newton search of another program leaves
STEP = 1e-30  # of a complex derivative


def split(frames, by):
    """Employees and customers are asked their first item and one of the two others, by unit or by person."""
    found = []
    for frame, prefix in zip(frames[:2], "ec", strict=True):
        codes = np.unique(frame["key"], return_inverse=True)[1] if by == "unit" else np.arange(len(frame))
        odd = codes % 2 == 0
        asked = {f"{prefix}2": frame[f"{prefix}2"].mask(odd), f"{prefix}3": frame[f"{prefix}3"].mask(~odd)}
        found.append(frame.assign(**asked))
    return (*found, frames[2])


def complex_gradient(function, theta):
    found = np.empty(len(theta))
    for k in range(len(theta)):
        moved = theta.astype(complex)
        moved[k] += 1j * STEP
        found[k] = function(moved).imag / STEP
    return found


def world(tiny, units=60, seed=4):
    """Enough of each item's own between units that no residual is held at 0."""
    frames = tiny.frames(units, 3, seed=seed, sizes=(8, 14))
    rng = np.random.default_rng(seed)
    keys = np.unique(frames[0]["key"])
    for frame, prefix in zip(frames[:2], "ec", strict=True):
        own = 0.5 * rng.normal(size=(units, 3))[np.searchsorted(keys, frame["key"])]
        frame[[f"{prefix}{k}" for k in (1, 2, 3)]] += own
    return frames


# --- right estimates


@pytest.mark.slow
@pytest.mark.parametrize("by", ["unit", "person"])
def test_pooled_against_another_program(tiny, by):
    """The likelihood of the unit means, written out and maximised by scipy from another place."""
    model, frames = tiny.model(3), split(world(tiny), by)
    fit = tiny.fit(model, frames)
    sample = tiny.sample(model, tiny.study(model, frames))
    noise = sample.data.noise * np.outer(sample.scale, sample.scale)
    rows = [
        (np.flatnonzero(~np.isnan(means)), means[~np.isnan(means)], error)
        for means, error in zip(sample.raw, noise, strict=True)
    ]

    def deviance(theta):
        sigma, mu = tiny.moments(fit.table, model.names, sample.items, theta)
        total = 0.0
        for there, means, error in rows:
            own = sigma[np.ix_(there, there)] + error[np.ix_(there, there)]
            total += np.linalg.slogdet(own)[1] + (means - mu[there]) @ np.linalg.solve(own, means - mu[there])
        return total

    theta, se = np.array(fit.theta), np.sqrt(np.diag(fit.vcov))
    assert (se > 0).all()
    rng = np.random.default_rng(1)
    size = 0.3 * se
    found = minimize(
        lambda z: deviance(theta + z * size), rng.uniform(-1, 1, len(theta)), method="BFGS", options={"gtol": 1e-7}
    )
    assert np.abs(found.x * size / se).max() < SOLVED
    density = sum(
        multivariate_normal(mu[there], (sigma + error)[np.ix_(there, there)]).logpdf(means)
        for sigma, mu in [tiny.moments(fit.table, model.names, sample.items, theta)]
        for there, means, error in rows
    )
    assert fit.indices()["loglik"] == pytest.approx(density, rel=EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["unit", "person"])
def test_saturated_is_at_the_optimum_of_all_answers(tiny, by):
    model, frames = tiny.model(3), split(world(tiny, units=24), by)
    sample = tiny.sample(model, tiny.study(model, frames))
    known = solve_between(model, sample)
    found = estimate_jointly(model, sample, known, modelled=False, scaling="marker")
    dense, k, minimum = tiny.dense.of(model, frames), known.table.n_free, found.solution.found
    pairs = ([0, 1, 2, 1, 2], [0, 1, 2, 0, 0])  # all but the one that never met
    within = [source.within.covariance for source in found.sample.sources]
    theta = np.concatenate([minimum.theta, *(own[pairs] for own in within)])

    def loglik(values):
        sigma, mu = tiny.moments(known.table, model.names, sample.items, values[:k])
        whole = np.zeros((7, 7), dtype=values.dtype)
        for source, at in zip(sample.sources, (k, k + 5), strict=True):
            own = np.zeros((3, 3), dtype=values.dtype)
            own[pairs] = own[pairs[::-1]] = values[at : at + 5]
            whole[np.ix_(source.at, source.at)] = own
        return dense.loglik(sigma, mu, whole)

    keep = np.concatenate([np.flatnonzero(~minimum.bound), np.arange(k, len(theta))])
    gradient, hessian = complex_gradient(loglik, theta), np.empty((len(theta),) * 2)
    for place in range(len(theta)):
        move = np.zeros(len(theta))
        move[place] = 1e-5 * max(abs(theta[place]), 0.1)
        slopes = complex_gradient(loglik, theta + move) - complex_gradient(loglik, theta - move)
        hessian[place] = slopes / (2 * move[place])
    se = np.sqrt(np.diag(np.linalg.inv(-hessian[np.ix_(keep, keep)])))
    assert minimum.converged
    assert np.abs(gradient[keep] * se).max() < 1e-4
    own = np.sqrt(np.diag(found.solution.bread.inverse)[~minimum.bound] / sample.n)
    np.testing.assert_allclose(own, se[: len(own)], rtol=3e-4)
    assert found.n_free == k + 2 * 5
    joint = tiny.fit(model, frames, within="saturated").indices()["loglik"]
    assert joint == pytest.approx(loglik(theta), rel=EXACT)


def two_of_one_survey():
    own = {"source": "employee", "factor": "pride"}
    return rox.RoxModel(
        name="two",
        constructs=[
            rox.Construct(name="mood", items=["m1", "m2", "m3"], **own),
            rox.Construct(name="pride", items=["q1", "q2", "q3"], **own),
            rox.Construct(name="money", items=["rev"], source="unit", factor="outcomes"),
        ],
        edges=["mood -> pride", "pride -> money"],
    )


def people(seed=7, units=50, each=16):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), each)
    level = rng.normal(size=units)
    mood = rng.normal(size=units)[unit] * 0.6 + rng.normal(size=len(unit))
    pride = level[unit] * 0.5 + 0.5 * mood + 0.6 * rng.normal(size=len(unit))
    rows = {f"m{k}": mood + 0.7 * rng.normal(size=len(unit)) for k in (1, 2, 3)}
    rows |= {f"q{k}": 3 + pride + 0.7 * rng.normal(size=len(unit)) for k in (1, 2, 3)}

    frame = pd.DataFrame(rows).assign(b=unit)
    books = pd.DataFrame({"b": np.arange(units), "rev": 50 + 6 * level + 2 * rng.normal(size=units)})
    half = rng.random(len(unit)) < 0.5
    holed = frame.assign(q2=frame["q2"].mask(half), q3=frame["q3"].mask(~half), m2=frame["m2"].mask(~half))
    return frame, holed, books


def test_edges_among_people_of_a_unit_whose_items_never_met():
    """The level within: what was filled in for a pair that never met has no say, so it is that of the whole."""
    model, (whole, holed, books) = two_of_one_survey(), people()
    fits = [rox.fit(model, rox.Study(model, employee=f, unit=books, by="b")) for f in (whole, holed)]
    one, two = (fit.edges(level="within").iloc[0] for fit in fits)
    assert (one["cause"], one["effect"]) == ("mood", "pride")
    assert abs(two["estimate"] - 0.5) < 3 * two["se"]
    assert abs(two["estimate"] - one["estimate"]) < 2 * two["se"]
    assert 1.0 < two["se"] / one["se"] < 2.0
    joint = rox.fit(model, rox.Study(model, employee=holed, unit=books, by="b"), within="model")
    three = joint.edges(level="within").iloc[0]
    assert three["estimate"] == pytest.approx(two["estimate"], abs=0.3 * two["se"])
    assert three["se"] == pytest.approx(two["se"], rel=0.1)


def test_a_model_within_that_the_split_does_not_identify_leaves_the_covariance_free(tiny):
    """Three items of one construct, two of which never meet: between units others join them, within none does."""
    model, frames = tiny.model(3), split(world(tiny, units=24), "unit")
    fits = {within: tiny.fit(model, frames, within=within) for within in ("saturated", "model")}
    np.testing.assert_allclose(fits["model"].theta, fits["saturated"].theta, rtol=1e-6)
    assert any("any covariance of answers within units was allowed" in note for note in fits["model"].notes)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["unit", "person"])
def test_no_bias_against_the_whole_questionnaire(tiny, by):
    """Edges of 12 worlds, each asked whole and split: their difference is 0 up to Monte-Carlo error."""
    model, apart = tiny.model(3), []
    for seed in range(12):
        frames = world(tiny, units=30, seed=seed)
        whole, halved = (tiny.fit(model, own).edges()["estimate"].iloc[0] for own in (frames, split(frames, by)))
        apart.append(halved - whole)
    assert abs(np.mean(apart)) < 3.5 * np.std(apart, ddof=1) / np.sqrt(len(apart))


# --- what goes with them


@pytest.mark.slow
def test_tests_and_residuals_are_of_what_was_seen(tiny):
    model, frames = tiny.model(3), split(world(tiny), "unit")
    whole, fit = tiny.fit(model, world(tiny)), tiny.fit(model, frames)
    never = 2 + 2  # e2 with e3, c2 with c3; e2 with c3, e3 with c2 (both surveys are split by the same units)
    assert fit.indices()["df"] == whole.indices()["df"] - never
    left = fit.residuals()
    assert int(left.isna().to_numpy().sum()) == 2 * never
    assert np.isnan(left.loc["e2", "e3"])
    assert np.isfinite(fit.indices()[["chisq", "pvalue", "cfi", "tli", "rmsea", "srmr"]]).all()
    assert any("No two units know both items of 4 pairs" in note for note in fit.notes)
    check = tiny.study(model, frames).check()
    assert check.identified
    assert not check.obstacle
    assert not any("0.5" in note for note in check.notes)


def test_a_saved_fit_keeps_what_was_not_seen(tiny, tmp_path):
    model, frames = tiny.model(3), split(world(tiny), "unit")
    fit = tiny.fit(model, frames)
    fit.save(tmp_path / "fit.json")
    again = rox.load(tmp_path / "fit.json")
    assert again.residuals().equals(fit.residuals())
    engine = rox.ScoringEngine.load(tmp_path / "fit.json")
    assert np.isfinite(engine.score({"e2": 4.0, "e3": 5.0})["staff"].score)  # asked together for the first time


@pytest.mark.slow
def test_replicates(tiny):
    model, frames = tiny.model(3), split(world(tiny, units=40), "unit")
    fit = tiny.fit(model, frames, bootstrap=20, seed=1, progress=False)
    assert np.isfinite(fit.edges()[["estimate", "se"]]).all(axis=None)


# --- refused, by fit and check alike


def test_what_nothing_joins_is_refused_by_fit_and_check_alike(tiny):
    """Customers answered in units whose figure is not known: guests -> money has nothing to be told from."""
    model, frames = tiny.model(3, edges=("staff -> guests", "guests -> money")), world(tiny, units=40)
    keys = np.unique(frames[2]["key"])
    books = frames[2].assign(m=frames[2]["m"].where(frames[2]["key"] < keys[20]))
    apart = (frames[0][frames[0]["key"] >= keys[20]], frames[1][frames[1]["key"] >= keys[20]], books)
    study = tiny.study(model, apart)
    with pytest.raises(EstimationError, match="'m'.* were never known in the same unit") as refused:
        rox.fit(model, study)
    check = study.check()
    assert not check.identified
    assert check.reason == str(refused.value)
    assert "rox.fit(model, study) will refuse" in check.summary()
    assert "No data could carry" not in check.summary()


@pytest.mark.slow
def test_what_hangs_on_a_few_units_is_said(tiny):
    model, frames = tiny.model(3, edges=("staff -> guests", "guests -> money")), world(tiny, units=60)
    keys = np.unique(frames[2]["key"])
    books = frames[2].assign(m=frames[2]["m"].where(frames[2]["key"] < keys[30]))
    few = (*(f[f["key"] >= keys[25]] for f in frames[:2]), books)
    study = tiny.study(model, few)
    with pytest.warns(RoxWarning, match="Hardly identified.*'m'.*5 units tell"):
        fit = rox.fit(model, study)
    assert [(doubt.check, "m" in doubt.culprits) for doubt in fit.doubts] == [("identified", True)]
    assert "Hardly identified" in fit.summary().splitlines()[0]
    assert study.check().identified
    assert any("Hardly identified" in line for line in study.check().advice)


def test_a_study_out_of_a_pickle_says_that_its_rows_stayed_behind(tiny):
    """The covariance within units then rests on sums: a fit differs, and says so; without holes it is the same fit."""
    model = tiny.model(3, edges=("staff -> guests", "guests -> money"))
    frames = world(tiny, units=40)
    holed = frames[0].assign(a=frames[0].iloc[:, 1].where(np.arange(len(frames[0])) % 7 > 0))
    holed[frames[0].columns[1]] = holed.pop("a")
    for staff, behind in ((frames[0], ()), (holed, ("staff",))):
        study = tiny.study(model, (staff, *frames[1:]))
        travelled = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(study))))
        here = rox.fit(model, study)
        if behind:
            with pytest.warns(RoxWarning, match="came out of a pickle"):
                there = rox.fit(model, travelled)
        else:
            there = rox.fit(model, travelled)
            np.testing.assert_array_equal(there.theta, here.theta)
        assert here.doubts == ()
        assert [doubt.check for doubt in there.doubts] == ["rows"] * len(behind)


def test_three_versions_with_residuals_at_their_bound_keep_honest_errors():
    rng = np.random.default_rng(2)
    units, people = 60, 20
    level = 0.5 * rng.normal(size=units)
    own = np.repeat(level, people) + 0.6 * rng.normal(size=units * people)
    names = [f"U{i:02d}" for i in range(units)]
    rows = {f"q{k}": 3.3 + own + 0.8 * rng.normal(size=units * people) for k in range(1, 6)}
    answers = pd.DataFrame({"b": np.repeat(names, people), **rows})
    books = pd.DataFrame({"b": names, "rev": 500 + 60 * level + 15 * rng.normal(size=units)})
    version = np.repeat(np.arange(units), people) % 3
    for place, item in enumerate(("q2", "q3", "q4")):
        answers.loc[version != place, item] = np.nan
    model = rox.RoxModel(
        name="three",
        edges=["pride -> rev"],
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=["q1", "q2", "q3", "q4"]),
            rox.Construct(name="rev", factor="outcomes", source="unit", items=["rev"]),
        ],
    )
    study = rox.Study(model, employee=answers, unit=books, by="b")
    pooled, joint = (rox.fit(model, study, within=within).parameters() for within in ("pooled", "saturated"))
    assert (joint[joint.kind == "variance"].estimate == 0).sum() >= 2  # pushed against
    known = pooled.se.notna() & (pooled.kind != "variance")
    np.testing.assert_allclose(joint.se[known], pooled.se[known], rtol=0.1)
