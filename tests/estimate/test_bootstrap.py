"""The bootstrap: every replicate can be drawn and refitted by anyone."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError
from roxmodel.estimate.path.path_fit import refit
from roxmodel.estimate.path.scores import scores_of_frame
from roxmodel.result.draws import replicate_weights, spread_of

EXACT = {"rtol": 1e-9, "atol": 1e-11}  # algebra in double precision
REFERENCE = {"rtol": 2e-6, "atol": 1e-9}  # iterations that stop at a change of deviance of 1e-8
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed


def construct(name, scale=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])


def model(curved=False, edges=("a -> b", "a + b -> c")):
    scales = {"c": rox.Binary()} if curved else {}
    return rox.RoxModel(name="m", constructs=[construct(n, scales.get(n)) for n in "abc"], edges=list(edges))


def frame(curved=False, n=80, holes=False, seed=2):
    rng = np.random.default_rng(seed)
    a = rng.normal(10, 2, n)
    b = 0.4 * a + rng.normal(size=n)
    c = 0.2 * a - 0.5 * b + rng.normal(size=n)
    table = pd.DataFrame({"a": a, "b": b, "c": (c > c.mean()).astype(float) if curved else c})
    if holes:
        table.loc[rng.random(n) < 0.1, "b"] = np.nan
        table.loc[rng.random(n) < 0.1, "c"] = np.nan
    return table.assign(unit=range(n), region=[f"r{i % 16}" for i in range(n)])


def study(m, table):
    return rox.Study(m, unit=table, by="unit")


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("exogenous", ["free", "fixed"])
def test_refitting_with_every_unit_once_gives_the_estimate(curved, holes, exogenous):
    m = model(curved).replace(exogenous=exogenous)
    table = frame(curved, holes=holes)
    fit = rox.fit(m, table, method="path")
    scores = scores_of_frame(m, table, None)
    np.testing.assert_allclose(refit(m, fit.table, scores, np.ones((2, 80)))[1], fit.theta, **EXACT)


@pytest.mark.parametrize("extra", [("b <-> d",), (rox.Edge(cause="d", effect="c", fixed=0.7),)])
def test_refitting_covers_fixed_edges_and_common_causes(extra):
    m = rox.RoxModel(name="m", constructs=[construct(n) for n in "abcd"], edges=["a -> b", "a -> d", "a -> c", *extra])
    table = frame().assign(d=lambda t: t["a"] + np.random.default_rng(8).normal(size=80))
    fit = rox.fit(m, table, method="path")
    np.testing.assert_allclose(
        refit(m, fit.table, scores_of_frame(m, table, None), np.ones((1, 80)))[0], fit.theta, **EXACT
    )


@pytest.mark.parametrize("cluster", [None, "region"])
def test_any_replicate_can_be_refitted_by_hand(cluster):
    table = frame(holes=True)
    fit = rox.fit(
        model(),
        study(model(), table),
        method="path",
        se="bootstrap",
        bootstrap=60,
        seed=5,
        cluster=cluster,
        progress=False,
    )
    draws = fit.bootstrap_draws()
    assert draws.shape == (60, fit.table.n_free)
    for place in (0, 17, 59):
        weight = fit.bootstrap_weights(place)
        assert weight.sum() == (80 if cluster is None else weight.sum())
        if cluster is not None:
            assert pd.Series(weight).groupby(table["region"]).nunique().eq(1).all()
        used = table.assign(w=weight).dropna(subset=["a", "b", "c"])
        hand = sm.WLS(used["c"], sm.add_constant(used[["a", "b"]]), weights=used["w"]).fit()
        at = [fit.table.row(i).free - 1 for i in ("intercept:c", "edge:a->c", "edge:b->c")]
        np.testing.assert_allclose(draws[place, at], hand.params, **EXACT)
        spread = fit.table.row("variance:c").free - 1
        assert draws[place, spread] == pytest.approx(np.average(hand.resid**2, weights=used["w"]), rel=1e-9)
        mean = fit.table.row("intercept:a").free - 1
        assert draws[place, mean] == pytest.approx(np.average(table["a"], weights=weight), rel=1e-12)


def test_any_replicate_of_a_curved_equation_can_be_refitted_by_hand():
    table = frame(curved=True)
    m = model(curved=True)
    fit = rox.fit(m, study(m, table), method="path", bootstrap=30, seed=5, progress=False)
    for place in (0, 29):
        weight = fit.bootstrap_weights(place)
        design = sm.add_constant(table[["a", "b"]])
        hand = sm.GLM(table["c"], design, family=sm.families.Binomial(), freq_weights=weight).fit(tol=1e-12)
        at = [fit.table.row(i).free - 1 for i in ("intercept:c", "edge:a->c", "edge:b->c")]
        np.testing.assert_allclose(fit.bootstrap_draws()[place, at], hand.params, **REFERENCE)


def test_equal_seeds_give_equal_bits_and_more_replicates_only_add():
    options = {"se": "bootstrap", "seed": 9, "progress": False}
    for m, table, size in ((model(), frame(), 130), (model(True), frame(True), 70)):
        one, two = (rox.fit(m, table, method="path", bootstrap=size, **options) for _ in range(2))
        np.testing.assert_array_equal(one.bootstrap_draws(), two.bootstrap_draws())
        pd.testing.assert_frame_equal(one.edges(), two.edges(), check_exact=True)
        fewer = rox.fit(m, table, method="path", bootstrap=20, **options)
        np.testing.assert_array_equal(fewer.bootstrap_draws(), one.bootstrap_draws()[:20])
        other = rox.fit(m, table, method="path", bootstrap=20, se="bootstrap", seed=10, progress=False)
        assert not np.isin(other.bootstrap_draws(), fewer.bootstrap_draws()).any()


def test_no_seed_gives_other_replicates_each_time():
    one, two = (rox.fit(model(), frame(), method="path", bootstrap=5, progress=False) for _ in range(2))
    assert (one.bootstrap_draws() != two.bootstrap_draws()).all()
    assert not np.isin(one.bootstrap_weights(0).tobytes(), two.bootstrap_weights(0).tobytes())


def test_tables_are_percentiles_of_the_replicates():
    fit = rox.fit(model(), frame(), method="path", bootstrap=400, seed=1, progress=False)
    draws, edges = fit.bootstrap_draws(), fit.edges()
    for row in edges.itertuples():
        own = draws[:, fit.table.row(f"edge:{row.cause}->{row.effect}").free - 1]
        assert row.se == pytest.approx(own.std(ddof=1))
        np.testing.assert_allclose([row.ci_low, row.ci_high], np.quantile(own, [0.025, 0.975]), **EXACT)
        smaller = min((own <= 0).sum(), (own >= 0).sum())
        assert row.p == pytest.approx(min(1.0, 2 * (smaller + 1) / 401))
        direct = fit.effects(row.cause, row.effect).query("kind == 'direct'").iloc[0]
        shown = direct[["se", "ci_low", "ci_high", "p"]].to_numpy(float)
        np.testing.assert_allclose(shown, [row.se, row.ci_low, row.ci_high, row.p], **EXACT)
    np.testing.assert_allclose(fit.vcov, np.cov(draws, rowvar=False), **EXACT)
    assert "400 replicates" in fit.errors
    assert "by row" in fit.errors


def test_draws_of_a_bootstrap_are_its_replicates():
    fit = rox.fit(model(), frame(), method="path", bootstrap=40, seed=1, progress=False)
    np.testing.assert_array_equal(fit.draws(40, seed=3), fit.bootstrap_draws())
    np.testing.assert_array_equal(fit.draws(10), fit.bootstrap_draws()[:10])
    more = fit.draws(500, seed=3)
    assert more.shape == (500, fit.table.n_free)
    assert {row.tobytes() for row in more} <= {row.tobytes() for row in fit.bootstrap_draws()}
    np.testing.assert_array_equal(more, fit.draws(500, seed=3))


def test_replicates_that_cannot_be_estimated_are_counted_and_left_out():
    table = frame(curved=True, n=24, seed=6)
    m = model(curved=True, edges=("a + b -> c",))
    fit = rox.fit(m, study(m, table), method="path", bootstrap=200, seed=3, progress=False)
    failed = fit.resampling.failed
    assert 0 < failed < 100
    assert len(fit.bootstrap_draws()) == 200 - failed
    assert f"{failed} failed and left out" in fit.errors
    assert any(f"{failed} bootstrap replicates" in note for note in fit.notes)
    place = len(fit.bootstrap_draws()) - 1  # numbers after a failed one still find their weights
    weight = fit.bootstrap_weights(place)
    design = sm.add_constant(table[["a", "b"]])
    hand = sm.GLM(table["c"], design, family=sm.families.Binomial(), freq_weights=weight).fit(tol=1e-12)
    at = [fit.table.row(i).free - 1 for i in ("intercept:c", "edge:a->c", "edge:b->c")]
    np.testing.assert_allclose(fit.bootstrap_draws()[place, at], hand.params, rtol=1e-4)


def test_a_bootstrap_of_which_half_fails_is_refused():
    table = frame(n=12)
    table["a"] = 0.0
    table.loc[3, "a"] = 1.0  # drawn in 65 % of the replicates: of the rest none can be estimated
    table["b"] = 0.0
    table.loc[7, "b"] = 1.0
    m = model(edges=("a + b -> c",))
    with pytest.raises(EstimationError, match=r"of 100 bootstrap replicates could not be estimated"):
        rox.fit(m, table, method="path", bootstrap=100, seed=1, progress=False)


def test_a_cluster_bootstrap_draws_clusters():
    codes = np.repeat(np.arange(8.0), 5)
    for number in range(20):
        weight = replicate_weights(4, number, codes)
        assert weight.reshape(8, 5).std(axis=1).max() == 0
        assert weight[::5].sum() == 8
    table = frame()
    fit = rox.fit(model(), table, method="path", se="bootstrap", bootstrap=50, seed=1, cluster="region", progress=False)
    assert "by region" in fit.errors


def test_standard_errors_agree_with_the_sandwich():
    table = frame(n=400)
    robust = rox.fit(model(), table, method="path").edges()["se"]
    boot = rox.fit(model(), table, method="path", bootstrap=2000, seed=1, progress=False).edges()["se"]
    # The spread of a standard deviation of 2,000 draws, and HC3's own distance from the bootstrap (order 1/n).
    np.testing.assert_allclose(boot / robust, 1.0, atol=MONTE_CARLO / np.sqrt(2 * 2000) + 10 / 400)


def test_long_frames_are_refitted_in_small_batches():
    """Batches shrink with the rows, and replicates do not depend on them."""
    table = frame(n=60)
    fit = rox.fit(model(), table, method="path", bootstrap=7, seed=1, progress=False)
    scores = scores_of_frame(model(), table, None)
    for place in range(7):
        alone = refit(model(), fit.table, scores, fit.bootstrap_weights(place)[None, :])[0]
        np.testing.assert_allclose(alone, fit.bootstrap_draws()[place], **EXACT)


def test_the_progress_bar_can_be_had_and_left(capsys):
    rox.fit(model(), frame(), method="path", bootstrap=60, seed=1, progress=True)
    assert "bootstrap" in capsys.readouterr().err
    rox.fit(model(), frame(), method="path", bootstrap=60, seed=1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_what_cannot_be_asked_of_a_bootstrap():
    with pytest.raises(RoxError, match="no bootstrap"):
        rox.fit(model(), frame(), method="path").bootstrap_draws()
    fit = rox.fit(model(), frame(), method="path", bootstrap=5, seed=1, progress=False)
    for place in (5, -1, 1.5, "0", True):
        with pytest.raises(RoxError, match="There is no replicate"):
            fit.bootstrap_weights(place)


def test_spread_of_draws_that_never_vary_is_unknown():
    found = spread_of(np.column_stack([np.ones(50), np.arange(50.0), np.full(50, np.nan)]))
    assert np.isnan(found.se[[0, 2]]).all()
    assert np.isnan(found.p[[0, 2]]).all()
    assert found.p[1] == pytest.approx(2 * 2 / 51)
    assert np.isnan(spread_of(np.zeros((1, 2))).se).all()
    assert spread_of(np.zeros((9, 0))).se.shape == (0,)
