"""Casewise scores against numerical gradients of each row; their products against the rows written out."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import roxmodel as rox
from roxmodel.estimate.latent.casewise import adf_products, casewise_scores, score_products
from roxmodel.estimate.latent.row_sample import sample_of_frame
from roxmodel.estimate.latent.solve import layouts_of, table_of
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.likelihood import expand
from roxmodel.implied.matrices import implied, moment_jacobian
from roxmodel.implied.starts import start_values

EXACT = {"rtol": 1e-9, "atol": 1e-9}  # algebra in double precision
NUMERIC = 1e-5  # central differences of log densities, steps of 1e-5

MODEL = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + k*b2 + k*b3\nb ~ a\na1 ~~ b1")
NAMES = [item.name for item in MODEL.items]


def products(layout, theta, group):
    return score_products(layout, theta, group.data, group.cases)


def answers(n=40, seed=1, holes=False):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) + 0.7 * rng.normal(size=(n, 6)) ** 3
    if holes:
        rows[rng.random((n, 6)) < 0.2] = np.nan
    frame = pd.DataFrame(rows * [1, 10, 1, 1, 0.1, 1], columns=NAMES)
    return frame.assign(c=np.arange(n) % 7, w=rng.uniform(0.5, 2, n), f=1 + np.arange(n) % 3)


def case(frame=None, **options):
    asked = SemOptions(estimator="MLR", **options)
    sample = sample_of_frame(MODEL, answers() if frame is None else frame, asked)
    table = table_of(MODEL, asked, [""])
    layout = layouts_of(MODEL, table, [""], {}, sample.scale)[0]
    theta, size = start_values(MODEL, table, [("", sample.groups[0].target)], sample.scale)
    return layout, theta, size, sample.groups[0]


def log_densities(layout, theta, group):
    at = implied(layout, theta)
    mean = at.mu if layout.means else group.target.mean
    found = np.zeros(len(group.rows))
    for i, row in enumerate(group.rows):
        seen = ~np.isnan(row)
        if seen.any():
            found[i] = multivariate_normal(mean[seen], at.sigma[np.ix_(seen, seen)]).logpdf(row[seen])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"means": True}, {"missing": "fiml"}])
def test_scores_are_gradients_of_each_row(options):
    layout, theta, size, group = case(answers(holes="missing" in options), **options)
    assert (group.patterns is not None) == ("missing" in options)
    found = casewise_scores(layout, theta, group.data, group.rows)
    for place in range(len(theta)):
        move = np.zeros(len(theta))
        move[place] = 1e-5 * size[place]
        two, one = (log_densities(layout, theta + sign * move, group) for sign in (1, -1))
        np.testing.assert_allclose(found[:, place] * size[place], (two - one) / 2e-5, rtol=NUMERIC, atol=NUMERIC)


@pytest.mark.parametrize("options", [{"means": True}, {"missing": "fiml"}])
def test_products_of_scores(options):
    frame = answers(holes="missing" in options)
    layout, theta, _, group = case(frame, **options)
    scores = casewise_scores(layout, theta, group.data, group.rows)
    np.testing.assert_allclose(products(layout, theta, group), scores.T @ scores, **EXACT)


def test_frequencies_count_rows_and_sampling_weights_multiply_scores():
    frame = answers()
    layout, theta, _, group = case(frame, means=True, frequency="f")
    scores = casewise_scores(layout, theta, group.data, group.rows)
    np.testing.assert_allclose(products(layout, theta, group), (scores.T * group.weights) @ scores, **EXACT)
    twice = case(frame.loc[np.repeat(np.arange(len(frame)), frame["f"])], means=True)[3]
    np.testing.assert_allclose(
        products(layout, theta, twice),
        products(layout, theta, group),
        **EXACT,
    )
    layout, theta, _, group = case(frame, means=True, weight="w")
    scores = casewise_scores(layout, theta, group.data, group.rows) * group.weights[:, None]
    np.testing.assert_allclose(products(layout, theta, group), scores.T @ scores, **EXACT)


@pytest.mark.parametrize("options", [{}, {"weight": "w"}, {"frequency": "f"}, {"missing": "fiml"}])
def test_clusters_add_up_before_they_are_multiplied(options):
    frame = answers(holes="missing" in options)
    layout, theta, _, group = case(frame, cluster="c", **options)
    scores = casewise_scores(layout, theta, group.data, group.rows)
    if group.weights is not None:
        scores = scores * group.weights[:, None]
    sums = np.stack([scores[group.clusters == c].sum(axis=0) for c in range(7)])
    np.testing.assert_allclose(products(layout, theta, group), sums.T @ sums * 7 / 6, **EXACT)


def test_scores_add_up_to_the_gradient():
    layout, theta, _, group = case(means=True)
    total = casewise_scores(layout, theta, group.data, group.rows).mean(axis=0)
    np.testing.assert_allclose(-total, expand(layout, theta, group.target).gradient, **EXACT)


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("given", [(), (0, 3)])
def test_the_distribution_free_middle_written_out(means, given):
    layout, theta, _, group = case(means=means)
    at = implied(layout, theta)
    inverse, target = np.linalg.inv(at.sigma), group.target
    by_sigma, by_mu = moment_jacobian(layout, at)
    rest = group.rows - target.mean
    at_given = list(given)
    if given:
        onto = np.linalg.solve(target.covariance[np.ix_(at_given, at_given)], target.covariance[at_given])
        fitted = rest[:, at_given] @ onto
    else:
        fitted = np.zeros_like(rest)
    products = np.einsum("ni,nj->nij", rest, rest) - np.einsum("ni,nj->nij", fitted, fitted)
    products = products - products.mean(axis=0)
    linear = rest - fitted
    weight = np.einsum("ij,kl->ikjl", inverse, inverse) / 2  # of the second moments
    flat = by_sigma.reshape(36, -1).T @ weight.transpose(0, 1, 2, 3).reshape(36, 36)
    scores = np.einsum("rij,nij->nr", flat.reshape(-1, 6, 6), products)
    trace = np.einsum("nij,jk,nkl,li->", products, inverse, products, inverse, optimize=True) / 2
    if means:
        scores = scores + linear @ inverse @ by_mu
        trace += np.einsum("ni,ij,nj->", linear, inverse, linear)
    n = len(rest)
    middle, found = adf_products(layout, theta, group.target, group.cases, given)
    expected = layout.link.T @ (scores.T @ scores / n) @ layout.link
    np.testing.assert_allclose(middle, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())
    if not given:
        assert found == pytest.approx(trace / n, rel=1e-8)
