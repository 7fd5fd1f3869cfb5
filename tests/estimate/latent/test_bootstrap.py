"""Every replicate is the full refit of the rows it drew: by scipy on plainly written discrepancies, and by `fit`."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import roxmodel as rox
from roxmodel.errors import EstimationError

CLOSE = 1e-3  # of a standard error: the last step of a replicate leaves less
NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]
TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a\na1 ~~ b1"
# Rows that a replicate drew twice are rows that repeat, as the fit says.
pytestmark = pytest.mark.filterwarnings("ignore:.*this fit doubtful")

MODEL = rox.RoxModel.from_lavaan(TEXT)
PLAIN = rox.RoxModel.from_lavaan(TEXT.removesuffix("\na1 ~~ b1"))


def answers(n=150, seed=1, holes=0.0):
    rng = np.random.default_rng(seed)
    a, shared = rng.normal(size=(2, n))
    x = rng.normal(size=n)
    b = 0.5 * a + 0.3 * x + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) * [1, 0.9, 0.8, 1, 1.1, 0.7] + 0.6 * rng.normal(size=(n, 6)) + 4
    rows[:, [0, 3]] += 0.3 * shared[:, None]
    frame = pd.DataFrame(rows, columns=NAMES).mask(rng.random((n, 6)) < holes)
    frame["b1"] += 0.3 * (np.arange(n) % 3 == 0)
    return frame.assign(
        x=x, g=np.where(np.arange(n) % 3, "north", "south"), c=[f"c{k}" for k in np.arange(n) % 25],
        f=1 + np.arange(n) % 2, w=rng.uniform(0.5, 2.0, n),
    )  # fmt: skip


def fitted(frame, model=MODEL, **options):
    return rox.fit(model, frame, method="sem", **({"bootstrap": 24, "seed": 5, "progress": False} | options))


def drawn(fit, frame, place):
    """The rows of one replicate."""
    return frame.iloc[np.repeat(np.arange(len(frame)), fit.bootstrap_weights(place).astype(int))]


# --- by scipy


def sigma_of(theta):
    """Σ of the model with a1 ~~ b1, written out: loadings, edge, residuals, variances, covariance."""
    la2, la3, lb2, lb3, edge = theta[:5]
    residual = np.diag(theta[5:11])
    residual[0, 3] = residual[3, 0] = theta[13]
    lam = np.array([[1, 0], [la2, 0], [la3, 0], [0, 1], [0, lb2], [0, lb3]])
    va, vb = theta[11:13]
    latent = np.array([[va, edge * va], [edge * va, edge**2 * va + vb]])
    return lam @ latent @ lam.T + residual


ORDER = [
    "loading:a=~a2", "loading:a=~a3", "loading:b=~b2", "loading:b=~b3", "edge:a->b",
    *(f"variance:{name}" for name in NAMES), "variance:a", "variance:b", "covariance:a1~~b1",
]  # fmt: skip


def places(fit):
    by_id = {row.id: row.free - 1 for row in fit.table if row.free}
    assert sorted(by_id[name] for name in ORDER) == list(range(14))
    return [by_id[name] for name in ORDER]


def discrepancy(theta, s):
    sigma = sigma_of(theta)
    if np.linalg.eigvalsh(sigma)[0] <= 1e-8:
        return 1e10
    return np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, s))


def by_scipy(function, start):
    once = minimize(function, start, method="BFGS", options={"gtol": 1e-7})
    return minimize(function, once.x, method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.slow
def test_twenty_draws_are_scipys():
    frame = answers()
    fit = fitted(frame)
    order, draws = places(fit), fit.bootstrap_draws()
    spread = draws.std(axis=0)[order]
    assert len(draws) == 24
    for place in range(20):
        weights = fit.bootstrap_weights(place)
        s = np.cov(frame[NAMES], rowvar=False, bias=True, fweights=weights.astype(int))
        theirs = by_scipy(lambda t, s=s: discrepancy(t, s), fit.theta[order])
        assert (np.abs(draws[place, order] - theirs) / spread).max() < CLOSE


@pytest.mark.slow
def test_with_missing_answers_a_draw_is_scipys():
    frame = answers(n=120, holes=0.15)
    fit = fitted(frame, missing="fiml", bootstrap=2)
    order = places_of_means(fit)
    draws = fit.bootstrap_draws()
    plain = rox.fit(MODEL, frame, method="sem", missing="fiml")
    assert plain.admissible
    se = np.sqrt(np.diag(plain.vcov))
    for place in range(1):
        parts = by_pattern(drawn(fit, frame, place)[NAMES].to_numpy())
        theirs = by_scipy(lambda t, parts=parts: casewise_deviance(t, parts), fit.theta[order])
        assert (np.abs(draws[place, order] - theirs) / se[order]).max() < CLOSE


def places_of_means(fit):
    by_id = {row.id: row.free - 1 for row in fit.table if row.free}
    return [by_id[name] for name in [*ORDER, *(f"intercept:{name}" for name in NAMES)]]


def by_pattern(rows):
    """(seen, rows) of each pattern of missingness."""
    seen = ~np.isnan(rows)
    patterns = np.unique(seen[seen.any(axis=1)], axis=0)
    return [(pattern, rows[(seen == pattern).all(axis=1)][:, pattern]) for pattern in patterns]


def casewise_deviance(theta, parts):
    """-2 loglik per row, without the constant."""
    sigma, mu = sigma_of(theta), theta[14:]
    if np.linalg.eigvalsh(sigma)[0] <= 1e-8:
        return 1e10
    total = 0.0
    for seen, rows in parts:
        own, rest = sigma[np.ix_(seen, seen)], rows - mu[seen]
        total += len(rows) * np.linalg.slogdet(own)[1] + (rest * np.linalg.solve(own, rest.T).T).sum()
    return total / sum(len(rows) for _, rows in parts)


# --- by `fit`, whatever is asked for

LATENT_X = rox.RoxModel.from_lavaan(TEXT + "\nb ~ x\na ~ x")
OPTIONS = {
    "rows": (PLAIN, {}, 0.0),
    "residual covariance": (MODEL, {}, 0.0),
    "means": (MODEL, {"means": True}, 0.0),
    "standardized": (PLAIN, {"scaling": "standardized"}, 0.0),
    "groups": (MODEL, {"group": "g"}, 0.0),
    "groups, scalar": (MODEL, {"group": "g", "invariance": "scalar"}, 0.0),
    "clusters": (MODEL, {"cluster": "c"}, 0.0),
    "groups and clusters": (PLAIN, {"group": "g", "cluster": "c"}, 0.0),
    "fiml": (MODEL, {"missing": "fiml"}, 0.15),
    "fiml, groups": (PLAIN, {"missing": "fiml", "group": "g"}, 0.15),
    "listwise": (MODEL, {}, 0.05),
    "given by the data": (LATENT_X, {}, 0.0),
    "given by the data, means": (LATENT_X, {"means": True}, 0.0),
    "given by the data, fiml": (LATENT_X, {"missing": "fiml"}, 0.15),
    "free exogenous": (LATENT_X.replace(exogenous="free"), {}, 0.0),
    "MLR": (MODEL, {"estimator": "MLR"}, 0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_replicate_is_the_fit_of_the_rows_it_drew(name):
    model, options, holes = OPTIONS[name]
    frame = answers(holes=holes)
    fit = fitted(frame, model, bootstrap=6, **options)
    assert fit.resampling.failed == 0
    se = fit.bootstrap_draws().std(axis=0)
    for place in range(3):
        rows = drawn(fit, frame, place)  # rows left out have weight 0
        if "group" in options:  # groups keep the order they had
            rows = pd.concat([rows[rows["g"] == label] for label in frame["g"].unique()])
        again = rox.fit(model, rows, method="sem", **{k: v for k, v in options.items() if k != "cluster"})
        assert (np.abs(fit.bootstrap_draws()[place] - again.theta) / se).max() < CLOSE


def test_clusters_are_drawn_whole():
    frame = answers()
    fit = fitted(frame, cluster="c", bootstrap=4)
    for place in range(4):
        counts = pd.Series(fit.bootstrap_weights(place), index=frame["c"])
        assert (counts.groupby(level=0).nunique() == 1).all()
        assert counts.groupby(level=0).first().sum() == 25


def test_a_row_with_a_frequency_stands_for_so_many_persons():
    frame = answers()
    fit = fitted(frame, frequency="f", bootstrap=4)
    persons = frame.loc[np.repeat(frame.index, frame["f"])]
    assert len(fit.bootstrap_weights(0)) == len(persons)
    se = fit.bootstrap_draws().std(axis=0)
    for place in range(2):
        again = rox.fit(MODEL, drawn(fit, persons, place), method="sem")
        assert (np.abs(fit.bootstrap_draws()[place] - again.theta) / se).max() < CLOSE


@pytest.mark.parametrize("missing", ["listwise", "fiml"])
def test_frequencies_within_clusters(missing):
    frame = answers(holes=0.1 if missing == "fiml" else 0.0)
    fit = fitted(frame, frequency="f", cluster="c", missing=missing, bootstrap=4)
    se = fit.bootstrap_draws().std(axis=0)
    for place in range(2):
        rows = drawn(fit, frame, place)
        again = rox.fit(MODEL, rows, method="sem", frequency="f", missing=missing)
        assert (np.abs(fit.bootstrap_draws()[place] - again.theta) / se).max() < CLOSE


def test_sampling_weights_go_with_their_rows():
    frame = answers()
    fit = fitted(frame, weight="w", bootstrap=4)
    se = fit.bootstrap_draws().std(axis=0)
    for place in range(2):
        again = rox.fit(MODEL, drawn(fit, frame, place), method="sem", weight="w")
        assert (np.abs(fit.bootstrap_draws()[place] - again.theta) / se).max() < CLOSE


def ordinal(n=300, seed=2):
    frame = answers(n, seed)
    cut = {name: np.digitize(frame[name], frame[name].quantile([0.25, 0.5, 0.8])) + 1.0 for name in NAMES}
    return frame.assign(**cut)


@pytest.mark.parametrize("options", [{"ordered": True}, {"ordered": NAMES[:4]}, {"ordered": True, "frequency": "f"}])
def test_ordinal_items(options):
    frame = ordinal()
    fit = fitted(frame, PLAIN, estimator="DWLS", bootstrap=4, **options)
    persons = frame.loc[np.repeat(frame.index, frame["f"])] if "frequency" in options else frame
    se = fit.bootstrap_draws().std(axis=0)
    for place in range(2):
        rows = drawn(fit, persons, place)
        again = rox.fit(PLAIN, rows, method="sem", estimator="DWLS", ordered=options["ordered"])
        assert (np.abs(fit.bootstrap_draws()[place] - again.theta) / se).max() < CLOSE


def test_a_category_that_nobody_of_a_replicate_chose_fails_that_replicate():
    frame = ordinal()
    frame.loc[0, "a1"] = 5.0  # one person: a third of all replicates draw nobody
    fit = fitted(frame, PLAIN, estimator="DWLS", ordered=True, bootstrap=16)
    lost = [fit.bootstrap_weights(place)[0] for place in range(len(fit.bootstrap_draws()))]
    assert 0 < fit.resampling.failed < 8
    assert min(lost) > 0
    assert any("did not converge and are left out" in note for note in fit.notes)


# --- what does not matter


@pytest.mark.parametrize("options", [{}, {"missing": "fiml"}, {"group": "g"}, {"cluster": "c"}])
def test_replicates_do_not_depend_on_how_many_there_are(options):
    frame = answers(holes=0.1 if "missing" in options else 0.0)
    few, many = (fitted(frame, bootstrap=count, **options).bootstrap_draws() for count in (5, 20))
    np.testing.assert_array_equal(few, many[:5])


@pytest.mark.parametrize("cores", [1, 3])
def test_nor_on_the_number_of_cores(monkeypatch, cores):
    frame = answers()
    expected = fitted(frame, bootstrap=300).bootstrap_draws()
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    np.testing.assert_array_equal(fitted(frame, bootstrap=300).bootstrap_draws(), expected)


def test_seeds_decide():
    frame = answers()
    one, two, three = (fitted(frame, seed=seed, bootstrap=4).bootstrap_draws() for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - three).max() > 1e-3
    assert np.abs(fitted(frame, seed=None, bootstrap=2).bootstrap_draws() - one[:2]).max() > 1e-6


# --- bounds and failures


def heywood(n=120):
    rng = np.random.default_rng(2)
    matrix = [[1, 0.8, 0.7], [0.8, 1, 0.45], [0.7, 0.45, 1]]
    return pd.DataFrame(rng.multivariate_normal([0] * 3, matrix, n), columns=["a1", "a2", "a3"])


@pytest.mark.parametrize("seed", [0, 1])
def test_replicates_that_stop_at_a_bound_are_kept_and_counted(seed):
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3")
    frame = heywood()
    fit = fitted(frame, model, seed=seed, bootstrap=12)
    draws = fit.bootstrap_draws()
    bounded = [row.free - 1 for row in fit.table.of("variance")]
    assert (draws[:, bounded] >= 0).all()
    assert fit.resampling.bounded == (draws[:, bounded] == 0).any(axis=1).sum() > 0
    assert any("stopped at a bound" in note for note in fit.notes)
    for place in range(3):
        again = rox.fit(model, drawn(fit, frame, place), method="sem")
        np.testing.assert_allclose(draws[place], again.theta, atol=1e-4)


def test_when_half_of_the_replicates_fail_there_is_no_bootstrap():
    frame = ordinal(n=60)
    for name in NAMES:
        frame.loc[frame.index[:1], name] = 9.0
    with pytest.raises(EstimationError, match="bootstrap replicates could not be estimated"):
        fitted(frame, PLAIN, estimator="DWLS", ordered=NAMES, bootstrap=8)


@pytest.mark.slow
def test_pure_noise_neither_hangs_nor_warns():
    for seed in range(4):
        frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(30, 6)), columns=NAMES)
        try:
            fit = fitted(frame, PLAIN, bootstrap=12)
        except EstimationError as error:
            assert "could not be estimated" in str(error)  # noqa: PT017
        else:
            assert np.isfinite(fit.bootstrap_draws()).all()
