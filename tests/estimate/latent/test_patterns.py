"""Likelihood by pattern of missingness against the density of each row, and its derivatives against differences."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import roxmodel as rox
from roxmodel.implied.likelihood import Target, cells_of_rows, expand, half_deviance, half_deviance_at, inverted
from roxmodel.implied.matrices import implied, lay_out, moment_jacobian, saturated
from roxmodel.spec.parameters import plan

EXACT = 1e-10  # algebra in double precision
NUMERIC = 2e-6  # central differences, steps of 1e-5

TEXT = (
    "a =~ a1 + a2 + a3\nb =~ b1 + k*b2 + b3\na ~ b\nb ~ a\nc =~ c1\nb ~ c\nd =~ d1\na ~ d\na1 ~~ b1\nc ~~ 1*c\nd ~~ d"
)
NAMES = ("a1", "a2", "a3", "b1", "b2", "b3", "c1", "d1")


def holes(n=60, p=8, seed=1, share=0.3):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3)
    rows[rng.random((n, p)) < share] = np.nan
    rows[0], rows[1, 1:] = np.nan, np.nan  # nobody home; one answer only
    return rows


def layout_of(means=True):
    model = rox.RoxModel.from_lavaan(TEXT)
    table = plan(model, "reflective", means)
    given = {row.id: 0.0 for row in table if not row.free and row.value is None}
    scale = np.array([1, 10, 0.1, 1, 1, 1e3, 1, 1.0])
    names = tuple(item.name for item in model.items)
    assert names == NAMES
    return lay_out(list(table), (names, model.names), given, scale, table.n_free), table


def point(layout, table, seed=2):
    rng = np.random.default_rng(seed)
    unit = dict(zip(layout.items, layout.scale, strict=True)) | {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
    theta, size = np.zeros(table.n_free), np.ones(table.n_free)
    for row in table:
        if not row.free:
            continue
        value = {"loading": 0.8, "edge": 0.2, "variance": 1.0, "covariance": 0.1, "intercept": 0.3}[row.kind]
        own = unit[row.right] if row.kind == "loading" else unit[row.left] if row.kind == "intercept" else 1.0
        if row.kind in {"variance", "covariance"}:
            own = unit[row.left] * unit[row.right]
        theta[row.free - 1], size[row.free - 1] = value * own * rng.uniform(0.8, 1.2), own
    return theta, size


def numeric(function, theta, size, step=1e-5):
    found = []
    for place in range(len(theta)):
        move = np.zeros(len(theta))
        move[place] = step * size[place]
        found.append((function(theta + move) - function(theta - move)) / (2 * step))
    return np.stack(found, axis=-1)


def by_row(rows, mean, covariance, weights=None):
    """Half of -2 loglik per row that holds anything, without log 2π."""
    weights = np.ones(len(rows)) if weights is None else weights
    total = count = 0.0
    for row, weight in zip(rows, weights, strict=True):
        seen = ~np.isnan(row)
        if not seen.any():
            continue
        own = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(row[seen])
        total -= weight * (own + seen.sum() * 0.5 * np.log(2 * np.pi))
        count += weight
    return total / count


def test_inverses_are_the_plain_ones():
    rows = holes()
    data = cells_of_rows(rows)
    root = np.random.default_rng(3).normal(size=(8, 8))
    sigma = root @ root.T + np.eye(8)
    found, logdet = inverted(sigma, data.seen)
    for own, det, seen in zip(found, logdet, data.seen, strict=True):
        part = sigma[np.ix_(seen, seen)]
        expected = np.zeros((8, 8))
        expected[np.ix_(seen, seen)] = np.linalg.inv(part)
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=EXACT)
        assert det == pytest.approx(np.linalg.slogdet(part)[1], rel=1e-9, abs=EXACT)


def test_inverses_of_a_matrix_that_is_none_are_a_linear_algebra_error():
    with pytest.raises(np.linalg.LinAlgError):
        inverted(np.ones((3, 3)), np.ones((2, 3), dtype=bool))


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_deviance_is_that_of_the_rows(means, weighted):
    layout, table = layout_of(means)
    theta, _ = point(layout, table)
    rows = holes()
    weights = np.random.default_rng(4).integers(0, 4, len(rows)).astype(float) if weighted else None
    data = cells_of_rows(rows, weights)
    at = implied(layout, theta)
    expected = by_row(rows, at.mu, at.sigma, weights)
    assert half_deviance(layout, theta, data) == pytest.approx(expected, rel=EXACT)
    assert expand(layout, theta, data).value == pytest.approx(expected, rel=EXACT)
    assert half_deviance_at(data, at.mu, at.sigma) == pytest.approx(expected, rel=EXACT)
    assert data.weight.sum() == pytest.approx(1.0)
    assert data.code[0] == -1


def test_gradient_hessian_and_information():
    layout, table = layout_of()
    theta, size = point(layout, table)
    data = cells_of_rows(holes())
    found = expand(layout, theta, data)
    gradient = numeric(lambda t: half_deviance(layout, t, data), theta, size)
    hessian = numeric(lambda t: expand(layout, t, data).gradient * size, theta, size)
    np.testing.assert_allclose(found.gradient * size, gradient, rtol=NUMERIC, atol=NUMERIC)
    np.testing.assert_allclose(found.hessian * np.outer(size, size), hessian, rtol=NUMERIC, atol=NUMERIC * 10)
    # what is expected of complete patterns, one by one
    expected = np.zeros_like(found.information)
    at = implied(layout, theta)
    for seen, weight in zip(data.seen, data.weight, strict=True):
        part = np.flatnonzero(seen)
        own = Target(at.mu[part], at.sigma[np.ix_(part, part)])
        expected += weight * _part(layout, part, theta, own)
    np.testing.assert_allclose(found.information, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def _part(layout, part, theta, target):
    """Information on some of the items, from the jacobian."""

    by_sigma, by_mu = moment_jacobian(layout, implied(layout, theta))
    by_sigma, by_mu = by_sigma[np.ix_(part, part)] @ layout.link, by_mu[part] @ layout.link
    inverse = np.linalg.inv(target.covariance)
    turned = np.einsum("ij,jkr,kl->ilr", inverse, by_sigma, inverse, optimize=True)
    return 0.5 * np.einsum("ijr,jiq->rq", turned, by_sigma) + by_mu.T @ inverse @ by_mu


def test_without_holes_it_is_the_discrepancy_of_complete_data():
    layout, table = layout_of()
    theta, _ = point(layout, table)
    rows = np.random.default_rng(5).normal(size=(50, 8)) @ (np.eye(8) + 0.3)
    data = cells_of_rows(rows)
    target = Target(rows.mean(axis=0), np.cov(rows, rowvar=False, bias=True))
    one, two = expand(layout, theta, data), expand(layout, theta, target)
    constant = 0.5 * (np.linalg.slogdet(target.covariance)[1] + 8)
    assert one.value - constant == pytest.approx(half_deviance(layout, theta, target), abs=EXACT)
    for name in ("gradient", "hessian", "information"):
        theirs = getattr(two, name)
        np.testing.assert_allclose(getattr(one, name), theirs, rtol=1e-8, atol=1e-9 * np.abs(theirs).max())


def test_a_pattern_that_weighs_nothing_changes_nothing():
    rows = holes()
    whole = cells_of_rows(rows)
    weights = (whole.code % 3 != 0).astype(float)
    one = cells_of_rows(rows, weights, whole)
    two = cells_of_rows(rows[weights > 0])
    layout, theta = saturated(NAMES, np.ones(8), (np.zeros(8), np.eye(8)))
    assert half_deviance(layout, theta, one) == pytest.approx(half_deviance(layout, theta, two), rel=EXACT)


def test_where_sigma_is_not_positive_definite_the_value_is_infinite():
    layout, table = layout_of()
    theta, size = point(layout, table)
    data = cells_of_rows(holes())
    assert half_deviance(layout, theta - 50 * size, data) == np.inf
    assert expand(layout, theta - 50 * size, data).value == np.inf
