"""Items given covariates: against lavaan and brute force, laws, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import multivariate_normal, norm

from roxmodel.errors import DataError, EstimationError
from roxmodel.estimate.ordinal.marginals import continuous_item, ordinal_item
from roxmodel.estimate.ordinal.ordinal_moments import ordinal_moments

DATA = Path(__file__).parents[2] / "reference" / "sem" / "data"
CORRELATION = 1e-6  # lavaan's optimiser stops here
GAMMA = 1e-5  # relative to the variances
EXACT = 1e-8  # the same sums in another order, through Newton's last step
BRUTE = 1e-5  # a general optimiser's last step
COVARIATES = ["female", "age"]


@pytest.fixture(scope="module")
def reference():
    return json.loads((DATA / "ordinal_moments.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def people():
    with (DATA / "ordinal_covariates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def drawn(n=300, seed=1, share=0.3):
    """Four items (two ordinal, one yes/no, one continuous) and two covariates, 0/1 and continuous."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.random(n) < share, rng.normal(2.0, 3.0, n)])
    z = x @ [[0.6, -0.3, 0.2, 0.5], [0.1, 0.05, -0.1, 0.2]] + rng.normal(size=(n, 1)) + 0.8 * rng.normal(size=(n, 4))
    values = np.column_stack(
        [np.digitize(z[:, 0], [-1, 0, 1]), np.digitize(z[:, 1], [-0.5, 0.8]), z[:, 2] > 0.2, 10 * z[:, 3] + 50]
    )
    return values.astype(float), np.array([True, True, True, False]), list("abcd"), (["x", "z"], x.astype(float))


# --- against lavaan


def test_statistics_and_gamma_are_lavaans(reference, people):
    theirs = reference["given"]
    names = [name for name in theirs["names"] if name not in COVARIATES]
    rows, x = (np.column_stack([people[name] for name in own]) for own in (names, COVARIATES))
    found = ordinal_moments(rows, np.isin(names, theirs["ordered"]), names, covariates=COVARIATES, x=x)
    kinds = {"threshold": "{}|{}", "mean": "{}~1", "slope": "{}~{}", "variance": "{}~~{}", "covariance": "{}~~{}"}
    assert [kinds[kind].format(left, right) for kind, left, right in found.labels] == theirs["labels"]
    sign = np.array([-1.0 if kind == "mean" else 1.0 for kind, _, _ in found.labels])  # lavaan writes -mean
    np.testing.assert_allclose(found.statistics * sign, theirs["statistics"], rtol=CORRELATION, atol=CORRELATION)
    np.testing.assert_allclose(found.covariance, theirs["covariance"], rtol=CORRELATION, atol=CORRELATION)
    gamma = np.array(theirs["gamma"]) * np.outer(sign, sign)
    scale = np.sqrt(np.outer(gamma.diagonal(), gamma.diagonal()))
    np.testing.assert_allclose(found.gamma / scale, gamma / scale, rtol=0, atol=GAMMA)


def test_no_row_is_left_out_of_a_polyserial_correlation(reference):
    """lavaan leaves out rows whose density is below 1.5e-8; the likelihood of all rows is greatest elsewhere."""
    x, o = (np.array(reference["outlier"][name], dtype=float) for name in "xo")
    found = ordinal_moments(np.column_stack([x, o]), np.array([False, True]), ["x", "o"])
    u, tau = (x - x.mean()) / x.std(), found.thresholds[1][0]

    def minus(rho):
        at = (tau - rho * u) / np.sqrt(1 - rho * rho)
        return -np.where(o > 0, norm.logsf(at), norm.logcdf(at)).sum()

    best = minimize_scalar(minus, bounds=(-0.99, 0.99), method="bounded", options={"xatol": 1e-9})
    assert found.correlation[0, 1] == pytest.approx(best.x, abs=1e-6)
    assert minus(reference["outlier"]["correlation"]) > best.fun + 0.1


# --- against brute force


def test_the_probit_regression_is_the_maximum():
    values, _, _, (names, x) = drawn()
    design, one = x - x.mean(axis=0), np.ones(len(x))
    found = ordinal_item("a", values[:, 0], one, design, tuple(names))

    def minus(theta):
        cuts = np.concatenate([[-np.inf], theta[:3], [np.inf]])
        codes, foretold = values[:, 0].astype(int), design @ theta[3:]
        return -np.log(norm.cdf(cuts[codes + 1] - foretold) - norm.cdf(cuts[codes] - foretold)).sum()

    best = minimize(minus, [-1.0, 0.0, 1.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose([*found.thresholds, *found.slopes], best.x, atol=BRUTE)


def test_a_yes_no_item_on_a_yes_no_covariate_is_a_closed_form():
    """Φ of the threshold and slope give back the four shares."""
    x, y = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    people = np.array([30.0, 70.0, 11.0, 4.0])
    found = ordinal_item("y", y, people, (x - (people @ x) / people.sum())[:, None], ("x",))
    assert found.slopes[0] == pytest.approx(norm.ppf(4 / 15) - norm.ppf(0.7), abs=EXACT)


def test_the_linear_regression_is_least_squares():
    values, _, _, (names, x) = drawn()
    design = np.column_stack([np.ones(len(x)), x])
    expected, (left,), *_ = np.linalg.lstsq(design, values[:, 3], rcond=None)
    found = continuous_item("d", values[:, 3], np.ones(len(x)), x - x.mean(axis=0), tuple(names))
    np.testing.assert_allclose(found.slopes, expected[1:], rtol=EXACT)
    assert found.sd**2 == pytest.approx(left / len(x), rel=EXACT)


@pytest.mark.parametrize("other", [1, 2, 3])
def test_residual_correlations_are_the_maximum(other):
    values, ordinal, names, covariates = drawn(n=120)
    found = ordinal_moments(values, ordinal, names, covariates=covariates[0], x=covariates[1])
    x = covariates[1]
    foretold = x @ found.given.slopes.T

    def bounds(i):
        cuts, code = np.concatenate([[-8.0], found.thresholds[i], [8.0]]), values[:, i].astype(int)
        return cuts[code] - foretold[:, i], cuts[code + 1] - foretold[:, i]

    low, high = bounds(0)

    def minus(rho):
        if other == 3:
            u = (values[:, 3] - found.mean[3] - foretold[:, 3]) / np.sqrt(found.variance[3])
            root = np.sqrt(1 - rho * rho)
            return -np.log(norm.cdf((high - rho * u) / root) - norm.cdf((low - rho * u) / root)).sum()
        both = multivariate_normal([0, 0], [[1, rho], [rho, 1]])
        below, above = bounds(other)
        corners = ((high, above, 1), (low, above, -1), (high, below, -1), (low, below, 1))
        return -np.log(sum(sign * both.cdf(np.column_stack([a, b])) for a, b, sign in corners)).sum()

    best = minimize_scalar(minus, bounds=(-0.95, 0.95), method="bounded", options={"xatol": 1e-7})
    assert found.correlation[0, other] == pytest.approx(best.x, abs=BRUTE)


# --- laws


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_frequencies_are_repeated_rows(seed):
    values, ordinal, names, (covariates, x) = drawn(n=150, seed=seed)
    times = np.random.default_rng(seed).integers(1, 4, 150)
    found = ordinal_moments(values, ordinal, names, times.astype(float), covariates=covariates, x=x)
    plain = ordinal_moments(values.repeat(times, 0), ordinal, names, covariates=covariates, x=x.repeat(times, 0))
    np.testing.assert_allclose(found.statistics, plain.statistics, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(found.gamma, plain.gamma, rtol=1e-6, atol=1e-6 * np.abs(plain.gamma).max())


def test_an_even_covariate_that_says_nothing_leaves_the_plain_correlations():
    """Every row once with 0 and once with 1: slopes are 0, the rest is what it is without covariates."""
    values, ordinal, names, _ = drawn()
    twice, x = np.vstack([values, values]), np.repeat([0.0, 1.0], len(values))[:, None]
    found, plain = ordinal_moments(twice, ordinal, names, covariates=["x"], x=x), ordinal_moments(twice, ordinal, names)
    np.testing.assert_allclose(found.given.slopes, 0.0, atol=1e-7)
    np.testing.assert_allclose(found.correlation, plain.correlation, atol=1e-6)


def test_coding_of_a_covariate_turns_slopes_only():
    values, ordinal, names, (covariates, x) = drawn()
    found = ordinal_moments(values, ordinal, names, covariates=covariates, x=x)
    coded = ordinal_moments(values, ordinal, names, covariates=covariates, x=x * [2.0, 1.0] - [1.0, 0.0])
    np.testing.assert_allclose(coded.given.slopes * [2.0, 1.0], found.given.slopes, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(coded.correlation, found.correlation, atol=1e-7)


# --- refused


def test_a_covariate_that_foretells_is_refused():
    values, ordinal, names, (covariates, x) = drawn()
    values[:, 2] = np.where(x[:, 0] == 1, 1.0, values[:, 2])
    with pytest.raises(EstimationError, match="'x', 'z' foretell the answers to 'c' too well"):
        ordinal_moments(values, ordinal, names, covariates=covariates, x=x)


def test_one_answer_at_a_value_of_a_covariate_is_refused():
    """All with x = 1 chose the middle: the slope has an end, but no row says how sure it is."""
    values, ordinal, names, (_, x) = drawn()
    values[:, 1] = np.where(x[:, 0] == 1, 1.0, values[:, 1])
    with pytest.raises(EstimationError, match="all gave one answer"):
        ordinal_moments(values, ordinal, names, covariates=["x"], x=x[:, :1])


def test_nothing_left_of_a_continuous_item_is_refused():
    values, ordinal, names, (covariates, x) = drawn()
    values[:, 3] = 3 * x[:, 0] - x[:, 1]
    with pytest.raises(EstimationError, match="'d' is determined by"):
        ordinal_moments(values, ordinal, names, covariates=covariates, x=x)


def test_two_values_left_of_a_continuous_item_are_refused():
    x = np.repeat([0.0, 1.0], 20)[:, None]
    values = np.column_stack([np.tile([0.0, 1.0, 2.0, 1.0], 10), 3 * x[:, 0] + np.tile([-1.0, 1.0], 20)])
    with pytest.raises(EstimationError, match="leave of 'b' has two values only"):
        ordinal_moments(values, np.array([True, False]), ["a", "b"], covariates=["x"], x=x)


def test_gaps_are_refused():
    values, ordinal, names, (covariates, x) = drawn()
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="'z' has no number in 1"):
        ordinal_moments(values, ordinal, names, covariates=covariates, x=x)


def test_twins_given_the_covariates_are_refused():
    values, ordinal, names, (covariates, x) = drawn()
    values[:, 1] = values[:, 0]
    with pytest.raises(EstimationError, match="'a', 'b' are perfectly associated given the covariates"):
        ordinal_moments(values, ordinal, names, covariates=covariates, x=x)
