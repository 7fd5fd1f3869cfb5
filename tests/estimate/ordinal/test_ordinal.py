"""Thresholds, correlations and their asymptotic covariance: against lavaan, laws, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roxmodel.errors import DataError, EstimationError
from roxmodel.estimate.ordinal.marginals import ordinal_item
from roxmodel.estimate.ordinal.ordinal_moments import _correlation, _paired, _Together, ordinal_moments

DATA = Path(__file__).parents[2] / "reference" / "sem" / "data"
CORRELATION = 1e-6  # lavaan's optimiser stops here
GAMMA = 1e-5  # relative to the variances: follows from the correlations
EXACT = 1e-9  # the same sums in another order, through Newton's last step


@pytest.fixture(scope="module")
def reference():
    return json.loads((DATA / "ordinal_moments.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mixed(reference):
    names = reference["mixed"]["names"]
    with (DATA / "ordinal_mixed.csv").open(encoding="utf-8") as file:
        values = np.array([[float(row[name]) for name in names] for row in csv.DictReader(file)])
    return names, values, np.isin(names, reference["mixed"]["ordered"])


def assert_as_lavaan(moments, theirs):
    sign = np.array([-1.0 if kind == "mean" else 1.0 for kind, _, _ in moments.labels])  # lavaan writes -mean
    np.testing.assert_allclose(moments.statistics * sign, theirs["statistics"], rtol=CORRELATION, atol=CORRELATION)
    np.testing.assert_allclose(moments.covariance, theirs["covariance"], rtol=CORRELATION, atol=CORRELATION)
    gamma = np.array(theirs["gamma"]) * np.outer(sign, sign)
    scale = np.sqrt(np.outer(gamma.diagonal(), gamma.diagonal()))
    np.testing.assert_allclose(moments.gamma / scale, gamma / scale, rtol=0, atol=GAMMA)


def written(label):
    kind, left, right = label
    return {"threshold": f"{left}|{right}", "mean": f"{left}~1"}.get(kind, f"{left}~~{right}")


# --- against lavaan


def test_mixed_items_are_lavaans(reference, mixed):
    names, values, ordinal = mixed
    moments = ordinal_moments(values, ordinal, names)
    assert [written(label) for label in moments.labels] == reference["mixed"]["labels"]
    assert moments.n == reference["mixed"]["n"]
    assert_as_lavaan(moments, reference["mixed"])


def test_a_two_by_two_table_with_an_empty_cell_is_lavaans(reference):
    theirs = reference["empty_cell"]
    cells, counts = np.array(theirs["cells"], dtype=float), np.array(theirs["counts"], dtype=float)
    moments = ordinal_moments(cells, np.ones(3, dtype=bool), theirs["names"], frequency=counts)
    assert moments.n == theirs["n"]
    assert_as_lavaan(moments, theirs)


# --- laws


def five_items(n=300, seed=3):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 1)) + rng.standard_normal((n, 5))
    z[:, 1] *= -1.0
    values = np.column_stack([np.digitize(z[:, 0], [-1, 0.5]), np.digitize(z[:, 1], [0.2]), z[:, 2:4], z[:, 4]])
    values[:, 4] = np.digitize(z[:, 4], [-1.5, -0.5, 0, 1])
    return values.astype(float), np.array([True, True, False, False, True]), list("abcde")


def test_moments_are_consistent_in_themselves():
    values, ordinal, names = five_items()
    moments = ordinal_moments(values, ordinal, names)
    m = len(moments.labels)
    assert moments.statistics.shape == (m,)
    assert moments.gamma.shape == (m, m)
    assert (np.linalg.eigvalsh(moments.gamma) > 0).all()
    np.testing.assert_array_equal(moments.gamma, moments.gamma.T)
    np.testing.assert_array_equal(moments.mean[ordinal], 0.0)
    np.testing.assert_array_equal(moments.variance[ordinal], 1.0)
    np.testing.assert_allclose(moments.mean[~ordinal], values[:, ~ordinal].mean(axis=0))
    np.testing.assert_allclose(moments.variance[~ordinal], values[:, ~ordinal].var(axis=0))
    np.testing.assert_allclose(moments.correlation[2, 3], np.corrcoef(values[:, 2], values[:, 3])[0, 1])


def test_threshold_uncertainty_is_that_of_a_share():
    values, ordinal, names = five_items()
    moments = ordinal_moments(values, ordinal, names)
    share = (values[:, 0] <= 0).mean()
    density = np.exp(-0.5 * moments.thresholds[0][0] ** 2) / np.sqrt(2 * np.pi)
    assert moments.gamma[0, 0] == pytest.approx(share * (1 - share) / density**2, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_frequencies_are_repeated_rows(seed):
    values, ordinal, names = five_items(150, seed)
    times = np.random.default_rng(seed).integers(0, 4, len(values))
    by_weight = ordinal_moments(values, ordinal, names, frequency=times.astype(float))
    by_rows = ordinal_moments(np.repeat(values, times, axis=0), ordinal, names)
    assert by_weight.n == by_rows.n == times.sum()
    np.testing.assert_allclose(by_weight.statistics, by_rows.statistics, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(by_weight.gamma, by_rows.gamma, rtol=1e-7, atol=1e-7)


def test_the_order_of_rows_and_the_numbers_of_categories_do_not_matter():
    values, ordinal, names = five_items()
    one = ordinal_moments(values, ordinal, names)
    other = values[np.random.default_rng(5).permutation(len(values))]
    other[:, 0] = np.array([-3.0, 0.5, 100.0])[other[:, 0].astype(int)]
    two = ordinal_moments(other, ordinal, names)
    np.testing.assert_allclose(one.statistics, two.statistics, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(one.gamma, two.gamma, rtol=1e-7, atol=1e-7)


def test_a_reversed_item_changes_signs_only():
    values, ordinal, names = five_items()
    one = ordinal_moments(values, ordinal, names)
    values[:, 0] *= -1.0
    two = ordinal_moments(values, ordinal, names)
    np.testing.assert_allclose(one.thresholds[0], -two.thresholds[0][::-1], atol=1e-12)
    np.testing.assert_allclose(one.correlation[0, 1:], -two.correlation[0, 1:], atol=EXACT)
    np.testing.assert_allclose(one.gamma.diagonal()[-10:], two.gamma.diagonal()[-10:], rtol=1e-7)


def test_the_unit_of_a_continuous_item_scales_its_rows():
    values, ordinal, names = five_items()
    one = ordinal_moments(values, ordinal, names)
    values[:, 2] = 1000.0 * values[:, 2]
    two = ordinal_moments(values, ordinal, names)
    np.testing.assert_allclose(one.correlation, two.correlation, atol=EXACT)
    power = {"mean": 1, "variance": 2, "covariance": 1, "threshold": 0}
    scale = np.array([1000.0 ** (power[kind] * ("c" in {a, b})) for kind, a, b in one.labels])
    np.testing.assert_allclose(one.gamma * np.outer(scale, scale), two.gamma, rtol=1e-6, atol=1e-6)


def test_many_rows_in_chunks_are_the_same_as_few():
    values, ordinal, names = five_items()
    few = ordinal_moments(values, ordinal, names)
    many = ordinal_moments(np.tile(values, (400, 1)), ordinal, names)
    assert many.n == 400 * few.n
    np.testing.assert_allclose(few.statistics, many.statistics, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(few.gamma, many.gamma, rtol=1e-7, atol=1e-7)


def test_the_truth_is_found_within_its_stated_uncertainty():
    rng = np.random.default_rng(11)
    truth, n = 0.6, 200_000
    latent = rng.standard_normal((n, 2)) @ np.linalg.cholesky([[1, truth], [truth, 1]]).T
    cut = np.column_stack([np.digitize(latent[:, 0], [-1, 0, 1.5]), np.digitize(latent[:, 1], np.linspace(-2, 2, 9))])
    for values, ordinal in [(cut, [True, True]), (np.column_stack([latent[:, 0], cut[:, 1]]), [False, True])]:
        moments = ordinal_moments(values.astype(float), np.array(ordinal), ["a", "b"])
        error = np.sqrt(moments.gamma[-1, -1] / n)
        assert abs(moments.covariance[0, 1] - truth) < 4 * error
        assert error < 0.003


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_repeated_samples():
    rng = np.random.default_rng(12)
    found = []
    for _ in range(400):
        z = rng.standard_normal((500, 1)) + rng.standard_normal((500, 3))
        values = np.column_stack([np.digitize(z[:, 0], [-1, 1]), np.digitize(z[:, 1], [0.5]), z[:, 2]])
        found.append(ordinal_moments(values, np.array([True, True, False]), ["a", "b", "c"]))
    spread = np.std([one.statistics for one in found], axis=0)
    stated = np.mean([np.sqrt(one.gamma.diagonal() / 500) for one in found], axis=0)
    np.testing.assert_allclose(spread / stated, 1.0, atol=4 / np.sqrt(2 * 400) + 0.03)  # Monte Carlo, and order 1/n


def test_an_improbable_answer_in_many_rows_does_not_stop_the_iterations():
    counts = np.array([[1e6, 1e4, 0.0], [1e4, 1e6, 1e4], [1.0, 1e4, 1e6]])
    cells = np.array([(i, j) for i in range(3) for j in range(3)], dtype=float)
    moments = ordinal_moments(cells, np.array([True, True]), ["a", "b"], frequency=counts.ravel())
    assert 0.99 < moments.correlation[0, 1] < 1.0
    assert np.isfinite(moments.gamma).all()


def test_one_item_alone():
    moments = ordinal_moments(np.array([[1.0], [2.0], [3.0]]), np.array([True]), ["a"])
    assert moments.labels == (("threshold", "a", "t1"), ("threshold", "a", "t2"))
    assert moments.gamma.shape == (2, 2)


# --- refused


def refused(error, values, match, ordinal=(True, True), **options):
    with pytest.raises(error, match=match):
        ordinal_moments(np.array(values, dtype=float), np.array(ordinal), ["left", "right"], **options)


def test_an_item_with_one_category_is_refused():
    refused(DataError, [[1, 1], [1, 2]], "'left' has one category only .1 in all 2 answers")


def test_an_empty_declared_category_is_refused():
    values = [[1, 1], [3, 2], [1, 2], [3, 1]]
    refused(DataError, values, "category 2 of ordinal item 'left'.*Merge", categories={"left": [1, 2, 3]})


def test_an_undeclared_value_is_refused():
    values = [[1, 1], [3, 2], [1, 2], [3, 1]]
    refused(DataError, values, "'left' has the value 3", categories={"left": [1, 2]})


def test_a_gap_is_refused():
    refused(DataError, [[1, 1], [2, np.nan]], "'right' has no number in 1 of 2 rows")


def test_no_rows_are_refused():
    refused(DataError, np.empty((0, 2)), "no rows")


@pytest.mark.parametrize("frequency", [[1.0, -1.0], [0.0, 0.0], [np.nan, 1.0]])
def test_a_wrong_frequency_is_refused(frequency):
    refused(DataError, [[1, 1], [2, 2]], "has the frequency", frequency=np.array(frequency))


def test_a_constant_continuous_item_is_refused():
    refused(DataError, [[1, 5], [2, 5], [1, 5]], "'right' is constant", ordinal=(True, False))


def test_a_continuous_item_of_two_values_is_refused():
    refused(DataError, [[1, 5], [2, 7], [1, 7]], "'right' has two values only", ordinal=(True, False))


STAIRS = [[1, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3], [3, 3]]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_perfectly_associated_items_are_refused(sign):
    values = np.array(STAIRS) * [1.0, sign]
    refused(EstimationError, values, "'left' and 'right' are perfectly associated")
    refused(EstimationError, [[1, 1], [1, 1], [2, 2]], "'left' and 'right' are perfectly associated")


def test_a_continuous_item_that_is_another_is_refused():
    values = [[1.0, 3.0], [2.0, 5.0], [4.0, 9.0], [0.0, 1.0]]
    refused(EstimationError, values, "perfectly associated", ordinal=(False, False))


def test_a_cut_copy_of_a_continuous_item_is_refused():
    half = np.abs(np.random.default_rng(1).standard_normal(100)) + 0.1
    z = np.concatenate([half, -half])
    values = np.column_stack([z, z > 0])
    with pytest.raises(EstimationError, match="perfectly associated"):
        ordinal_moments(values, np.array([False, True]), ["left", "right"])


def test_tables_of_two_items_are_the_fast_branch_of_pairs():
    """Without covariates a pair of ordinal items can be estimated as one with covariates is, of which it has none."""
    rng = np.random.default_rng(4)
    z = rng.standard_normal((400, 1)) + rng.standard_normal((400, 3))
    weight, none = rng.integers(1, 4, 400).astype(float), np.empty((400, 0))
    items = [ordinal_item("a", np.digitize(own, [-1.0, 0.5]) * 1.0, weight, none) for own in z.T]
    together = _Together(("a", "b", "c"), (), items, weight)
    fast = together.pairs()
    slow = {pair: _paired(*(items[i] for i in pair), weight, fast[pair].rho, True) for pair in fast}
    for i, j in fast:
        assert _correlation(items[i], items[j], weight) == pytest.approx(fast[i, j].rho, abs=1e-10)
    np.testing.assert_allclose(together.gamma(slow), together.gamma(fast), rtol=1e-9, atol=1e-10)
