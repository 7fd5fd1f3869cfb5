"""Fit indices: the discrepancy is at its minimum, and every index is its definition."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, multivariate_normal, ncx2

import roxmodel as rox
from roxmodel.result import indices as formulas
from roxmodel.result.indices import INDEX_NAMES, Discrepancy, comparative, fit_indices, rmsea_of

EXACT = {"rtol": 1e-9, "atol": 1e-10}  # algebra in double precision
SEARCH = {"rtol": 1e-6, "atol": 1e-7}  # a minimum found by search

EDGES = ["a -> b", "b -> c", "a + c -> d"]


def construct(name):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[name])


def model(edges=tuple(EDGES), names="abcd", **options):
    return rox.RoxModel(name="m", constructs=[construct(n) for n in names], edges=list(edges), **options)


def frame(n=120, seed=3, scale=1.0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    c = 0.4 * b + 0.3 * a + rng.normal(size=n)
    d = 0.3 * a + 0.2 * c + rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": d}) * scale


def discrepancy(sample, implied):
    logs = np.linalg.slogdet(implied)[1] - np.linalg.slogdet(sample)[1]
    return logs + np.trace(np.linalg.solve(implied, sample)) - len(sample)


def test_least_squares_is_the_maximum_of_the_likelihood():
    """A search over all nine parameters of the graph finds nothing better."""
    table = frame()
    sample, found = table.cov(ddof=0).to_numpy(), rox.fit(model(), table, method="path").indices()

    def implied(theta):
        coefficients = np.zeros((4, 4))
        coefficients[1, 0], coefficients[2, 1], coefficients[3, 0], coefficients[3, 2] = theta[:4]
        total = np.linalg.inv(np.eye(4) - coefficients)
        return total @ np.diag(np.exp(theta[4:])) @ total.T

    best = minimize(lambda theta: discrepancy(sample, implied(theta)), np.zeros(8), tol=1e-14)
    np.testing.assert_allclose(found["chisq"], 120 * best.fun, **SEARCH)
    assert found["df"] == 10 - 8
    assert found["pvalue"] == pytest.approx(chi2.sf(found["chisq"], 2))
    joint = multivariate_normal(table.mean(), implied(best.x)).logpdf(table).sum()
    np.testing.assert_allclose(found["loglik"], joint, **SEARCH)
    parameters = 8 + 4  # with the four means
    assert found["aic"] == pytest.approx(-2 * joint + 2 * parameters, rel=1e-6)
    assert found["bic"] == pytest.approx(-2 * joint + np.log(120) * parameters, rel=1e-6)


def test_every_index_is_its_definition():
    table = frame()
    fit = rox.fit(model(), table, method="path")
    found, sample = fit.indices(), table.cov(ddof=0).to_numpy()
    base = 120 * discrepancy(sample, np.diag(np.diag(sample)))
    chisq, df = found["chisq"], found["df"]
    assert found["cfi"] == pytest.approx(1 - max(chisq - df, 0) / max(base - 6, chisq - df, 0))
    assert found["tli"] == pytest.approx((base / 6 - chisq / df) / (base / 6 - 1))
    assert found["rmsea"] == pytest.approx(np.sqrt(max(chisq - df, 0) / (df * 120)))
    low, high = (found[f"rmsea_ci_{end}"] ** 2 * df * 120 for end in ("lower", "upper"))
    assert ncx2.cdf(chisq, df, low) == pytest.approx(0.95, abs=1e-6)
    assert ncx2.cdf(chisq, df, high) == pytest.approx(0.05, abs=1e-6)
    sd = np.sqrt(np.diag(sample))
    residual = ((sample - fit.population.covariance) / np.outer(sd, sd))[np.tril_indices(4)]
    assert found["srmr"] == pytest.approx(np.sqrt((residual**2).mean()))
    assert list(found.index) == list(INDEX_NAMES)
    assert found[["chisq_scaled", "pvalue_scaled", "scaling_factor", "n_units"]].isna().all()


@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (1e9, 1e-6, 1, 1e3)])
def test_units_of_measurement_do_not_matter(factors):
    one, two = (rox.fit(model(), table, method="path").indices() for table in (frame(), frame() * list(factors)))
    free = [name for name in INDEX_NAMES if name not in {"loglik", "aic", "bic"}]
    np.testing.assert_allclose(two[free], one[free], rtol=1e-6, atol=1e-8)
    shift = 120 * np.log(factors).sum()
    np.testing.assert_allclose(two["loglik"], one["loglik"] - shift, rtol=1e-8)


def test_given_constructs_are_not_modelled():
    """Fixed exogenous constructs: same chi-square, their own part of likelihood, baseline and counts left out."""
    table = frame()
    edges = ["a + b -> c", "c -> d"]
    free, given = (rox.fit(model(edges, exogenous=e), table, method="path").indices() for e in ("free", "fixed"))
    same = ["chisq", "df", "pvalue", "rmsea", "srmr", "n"]
    np.testing.assert_allclose(given[same], free[same], **EXACT)
    own = multivariate_normal(table[["a", "b"]].mean(), table[["a", "b"]].cov(ddof=0)).logpdf(table[["a", "b"]]).sum()
    np.testing.assert_allclose(given["loglik"], free["loglik"] - own, **EXACT)
    sample = table.cov(ddof=0).to_numpy()
    null = np.diag(np.diag(sample)).copy()
    null[:2, :2] = sample[:2, :2]
    base = 120 * discrepancy(sample, null)
    assert given["cfi"] == pytest.approx(1 - max(given["chisq"] - given["df"], 0) / (base - 5))


def test_saturated_graphs_fit_by_construction():
    for edges, names in ((["a -> b", "a + b -> c", "a + b + c -> d"], "abcd"), ([], "abc"), ([], "a")):
        found = rox.fit(model(edges, names), frame()[list(names)], method="path").indices()
        assert (found["df"], found["cfi"], found["tli"], found["rmsea"]) == (0, 1, 1, 0)
        assert found["chisq"] == pytest.approx(0, abs=1e-9)
        assert found[["rmsea_ci_lower", "rmsea_ci_upper"]].tolist() == [0, 0]
        assert np.isnan(found["pvalue"])


def test_fixed_edges_are_no_parameters():
    table = frame()
    fixed = [rox.Edge(cause="a", effect="b", fixed=0.5), *EDGES[1:]]
    found = rox.fit(model(fixed), table, method="path").indices()
    assert found["df"] == 3
    assert found["chisq"] > rox.fit(model(), table, method="path").indices()["chisq"]


def test_an_interval_exists_for_very_bad_and_very_good_fits():
    sample = np.eye(3)
    for correlation, n in ((0.99, 1_000_000), (0.5, 100), (1e-9, 50)):
        bad = np.full((3, 3), correlation) + (1 - correlation) * sample
        found = fit_indices(Discrepancy(bad, sample, n, 3, 0))
        assert 0 <= found["rmsea_ci_lower"] <= found["rmsea"] <= found["rmsea_ci_upper"]
        assert np.isfinite(found["rmsea_ci_upper"])


def test_studies_count_their_units():
    table = frame().assign(u=range(120))
    with pytest.warns(rox.RoxWarning, match="misfit|missing_arrow"):  # the frame holds more than the model draws
        found = rox.fit(model(), rox.Study(model(), unit=table, by="u")).indices()
    assert (found["n"], found["n_units"]) == (120, 120)


# --- no degrees of freedom, and baselines below theirs


@pytest.mark.parametrize(
    ("chisq", "df", "base", "base_df", "cfi", "tli"),
    [
        (0.0, 0, 0.5, 3, 1.0, 1.0),  # lavaan 0.6-14: 1, 1
        (6.8e-9, 0, 2.5, 3, 1.0, 1.0),  # what an optimiser leaves of 0
        (5.4e-5, 0, 0.98, 3, 1.0, 1.0),  # a variance held at 0
        (0.0, 0, 90.0, 3, 1.0, 1.0),
        (2.0, 0, 90.0, 3, 1 - 2 / 87, 1.0),
        (2.0, 0, 0.5, 3, 0.0, 1.0),  # missed by a bound, and nothing to miss
        (1.0, 2, 1.5, 3, 1.0, 1 - (-1 * 3) / (-1.5 * 2)),  # baseline below its degrees of freedom
        (3.0, 2, 1.5, 3, 0.0, 1 - (1 * 3) / (-1.5 * 2)),
        (3.0, 2, 3.0, 3, 0.0, 1.0),
        (2.0, 2, 3.0, 3, 1.0, 1.0),
    ],
)
def test_cfi_and_tli_by_their_definition(chisq, df, base, base_df, cfi, tli):
    found = comparative(chisq, df, base, base_df)
    assert found == pytest.approx((cfi, tli), abs=1e-9)
    assert rmsea_of(chisq, df, 100)[0] == (0.0 if df == 0 else pytest.approx(np.sqrt(max(chisq - df, 0) / (df * 100))))


def test_without_a_baseline_there_is_no_comparison():
    """A baseline whose optimum was not reached: neither 0 nor 1 is known of CFI and TLI."""
    for chisq in (0.5, 5.0):
        assert np.isnan(comparative(chisq, 2, np.nan, 3)).all()
        found = formulas.tested_indices(formulas.Tested(chisq, 2, np.nan, 3, 100))
        assert np.isnan([found["cfi"], found["tli"]]).all()
        assert np.isfinite(found["rmsea"])


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@pytest.mark.parametrize("group", [None, "g"])
def test_cfi_of_saturated_models_of_unrelated_items(estimator, group):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(80, 3)).round(2)
        x[rng.random(x.shape) < 0.1] = np.nan
        table = pd.DataFrame(x, columns=list("abc")).assign(g=np.arange(80) % 2)
        one = rox.RoxModel.from_lavaan("f =~ a + b + c")
        found = rox.fit(one, table, missing="fiml", estimator=estimator, group=group).indices()
        assert found["df"] == 0
        if found["chisq"] < 1e-3:  # a variance at its bound may keep chi-square above 0
            assert found[["cfi", "tli", "rmsea"]].tolist() == [1.0, 1.0, 0.0]
