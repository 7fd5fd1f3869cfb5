"""Errors beside a variance at its bound: what hangs on it is not taken as known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.latent.door import solve_rows
from roxmodel.estimate.latent.optimizer import Minimum
from roxmodel.estimate.latent.solve import beside_bound, bread_of, degrees_of_freedom
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.likelihood import Expansion
from roxmodel.moments.condense import kish

MODEL = rox.RoxModel.from_lavaan("A =~ a1 + a2\nB =~ b1 + b2\nY =~ y1 + y2 + y3\nY ~ A + B")


def world(seed, n=120):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    a, b = z[:, 0], 0.3 * z[:, 0] + z[:, 1]
    y = 0.3 * a + 0.3 * b + z[:, 2]

    def answer(level, spread):
        return level + spread * rng.normal(size=n)

    return pd.DataFrame(
        {
            "a1": answer(a, 0.7), "a2": answer(0.7 * a, 0.7), "b1": answer(b, 0.5), "b2": answer(b, 0.5),
            "y1": answer(y, 0.7), "y2": answer(y, 0.7), "y3": answer(y, 0.7),
        }
    )  # fmt: skip


def held(fit):
    rows = fit.parameters()
    return rows[(rows["kind"] == "variance") & (rows["estimate"].astype(float) <= 0)]["left"].tolist()


@pytest.fixture(scope="module")
def fits():
    """Fits whose variance of a1 stopped at 0."""
    found = [(seed, rox.fit(MODEL, world(seed))) for seed in range(60)]
    found = [(seed, fit) for seed, fit in found if "a1" in held(fit)]
    assert len(found) > 3
    return found


def row(fit, kind, right):
    rows = fit.parameters()
    return rows[(rows["kind"] == kind) & (rows["right"] == right)].iloc[0]


@pytest.mark.slow
def test_intervals_of_what_hangs_on_the_bound_cover(fits):
    covers = [row(fit, "loading", "a2")["ci_low"] < 0.7 < row(fit, "loading", "a2")["ci_high"] for _, fit in fits]
    assert np.mean(covers) > 0.8


def test_the_held_one_has_no_error_and_the_notes_say_so(fits):
    for _, fit in fits:
        mine = row(fit, "variance", "a1")
        assert np.isnan([mine["se"], mine["p"], mine["ci_low"], mine["ci_high"]]).all()
        assert any("variance of a1" in note and "not take them as known" in note for note in fit.notes)
        assert not fit.admissible


def test_draws_vcov_effects_and_document_tell_the_same(fits, tmp_path):
    _, fit = fits[0]
    free = fit.parameters().set_index("id")
    draws = fit.draws(20_000, seed=1)
    se = np.full(fit.table.n_free, np.nan)
    for one in fit.table:
        if one.free:
            se[one.free - 1] = free.loc[one.id, "se"]
    moves = np.isfinite(se)
    np.testing.assert_allclose(draws[:, moves].std(axis=0), se[moves], rtol=0.03)  # 20,000 draws
    np.testing.assert_array_equal(draws[:, ~moves], np.broadcast_to(fit.theta[~moves], draws[:, ~moves].shape))
    np.testing.assert_allclose(np.sqrt(np.diag(fit.vcov))[moves], se[moves])
    edge = fit.edges().set_index(["cause", "effect"]).loc[("A", "Y")]
    assert fit.effects("A", "Y").iloc[0]["se"] == pytest.approx(edge["se"])
    fit.save(tmp_path / "fit.json")
    kept = json.loads((tmp_path / "fit.json").read_text())["content"]["vcov"]
    np.testing.assert_allclose(np.array(kept), fit.vcov, rtol=1e-12)


@pytest.mark.parametrize(
    "way", [{"estimator": "MLR"}, {"estimator": "MLM"}, {"missing": "fiml"}, {"information": "observed"}]
)
def test_every_way_gives_such_errors(fits, way):
    seed, plain = fits[0]
    frame = world(seed)
    if "missing" in way:
        frame.iloc[:3, 6] = np.nan
    fit = rox.fit(MODEL, frame, method="sem", **way)
    assert "a1" in held(fit)
    ratio = row(fit, "loading", "a2")["se"] / row(plain, "loading", "a2")["se"]
    assert 0.4 < ratio < 2.5  # as known, it was 0.2 of it and less


def test_nothing_held_changes_nothing():
    seed = next(seed for seed in range(60) if not held(rox.fit(MODEL, world(seed))))
    solution = solve_rows(MODEL, world(seed), SemOptions())
    assert solution.bread.whole is solution.bread.inverse
    np.testing.assert_array_equal(solution.vcov, solution.bread.inverse / solution.sample.n)


def minimum(information, bound):
    own = Expansion(0.0, np.where(bound, 1.0, 0.0), information, information)
    return Minimum(np.zeros(len(bound)), own, True, 1, np.array(bound), 0.0)


def test_what_hangs_on_the_held_counts_three_times():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4))
    information, bound = root @ root.T + np.eye(4), np.array([False, True, False, False])
    bread = bread_of(minimum(information, bound), observed=False)
    whole = np.linalg.inv(information)
    alone = np.linalg.inv(information[np.ix_(~bound, ~bound)])
    inside = whole[np.ix_(~bound, ~bound)]
    found = beside_bound(bread.whole, bread)
    np.testing.assert_allclose(found[np.ix_(~bound, ~bound)], alone + 3 * (inside - alone), rtol=1e-9)
    assert not found[bound].any()


def test_what_nothing_determines_but_the_bound_gets_an_error_without_end():
    information = np.array([[1.0, 1.0], [1.0, 1.0]])
    bread = bread_of(minimum(information, [False, True]), observed=False)
    assert beside_bound(bread.whole, bread)[0, 0] > 1e6


def test_kish():
    assert kish(np.ones(7)) == pytest.approx(7)
    assert kish(np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(3.6)
    assert kish(5 * np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(3.6)


def frame_of(n=200, clusters=10):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=n), "k": np.arange(n) % clusters, "w": np.exp(rng.normal(size=n))})
    return frame.assign(y=0.5 * frame["x"] + rng.normal(size=n), g=np.where(np.arange(n) % clusters < 4, "n", "s"))


def test_clusters_give_t_intervals():
    from scipy.stats import t

    model = rox.RoxModel.from_lavaan("y ~ x")
    fit = rox.fit(model, frame_of(), method="sem", cluster="k")
    edge = fit.edges().iloc[0]
    assert edge["df"] == 9
    assert edge["ci_high"] - edge["estimate"] == pytest.approx(t.ppf(0.975, 9) * edge["se"])
    assert edge["p"] == pytest.approx(2 * t.sf(edge["estimate"] / edge["se"], 9))
    assert fit.effects("x", "y").iloc[0]["ci_high"] == pytest.approx(edge["ci_high"])
    assert "t intervals (clusters - 1)" in fit.errors
    assert any("Only 10 clusters" in note and "t(9)" in note for note in fit.notes)


def test_few_clusters_are_called_unknown():
    model = rox.RoxModel.from_lavaan("y ~ x")
    fit = rox.fit(model, frame_of(clusters=4), method="sem", cluster="k")
    assert any("Only 4 clusters" in note and "unknown" in note for note in fit.notes)


def test_groups_have_clusters_of_their_own():
    model = rox.RoxModel.from_lavaan("y ~ x")
    fit = rox.fit(model, frame_of(), method="sem", cluster="k", group="g")
    df = fit.edges().set_index("group")["df"]
    assert df["n"] == 3
    assert df["s"] == 5
    shared = rox.fit(model, frame_of(), method="sem", cluster="k", group="g", equal=("edges",)).edges()["df"]
    assert (shared == 9).all()


def test_weights_say_how_many_rows_they_are_worth():
    model, frame = rox.RoxModel.from_lavaan("y ~ x"), frame_of()
    fit = rox.fit(model, frame, method="sem", weight="w")
    size = kish(frame["w"].to_numpy())
    assert fit.edges().iloc[0]["df"] == pytest.approx(size - 1)
    assert any(f"200 rows say as much as {size:.0f} of equal weight" in note and "82-91" in note for note in fit.notes)
    even = rox.fit(model, frame.assign(w=1.0), method="sem", weight="w")
    assert not any("82-91" in note for note in even.notes)


def test_without_clusters_and_weights_errors_are_normal():
    solution = solve_rows(rox.RoxModel.from_lavaan("y ~ x"), frame_of(), SemOptions())
    assert degrees_of_freedom(solution.table, solution.sample) is None


@pytest.mark.parametrize("information", ["expected", "observed"])
def test_information_of_all_parameters_is_lavaans(information):
    folder = Path(__file__).parents[2] / "reference" / "at_bound"
    theirs = pd.read_csv(folder / "at_bound.csv")
    theirs = theirs[theirs["information"] == information].set_index(["op", "lhs", "rhs"])
    solution = solve_rows(MODEL, pd.read_csv(folder / "answers.csv"), SemOptions(information=information))
    se = np.sqrt(np.diag(solution.bread.whole) / solution.sample.n)
    for one in solution.table:
        if not one.free:
            continue
        op = {"loading": "=~", "edge": "~"}.get(one.kind, "~~")
        key = (op, one.right, one.left) if one.kind == "edge" else (op, one.left, one.right)
        reference = theirs.loc[key]
        assert solution.found.theta[one.free - 1] == pytest.approx(reference["est"], abs=2e-4)  # where lavaan stops
        assert se[one.free - 1] == pytest.approx(reference["se"], rel=2e-3)
