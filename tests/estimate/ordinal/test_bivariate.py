"""The bivariate normal distribution: against scipy, closed forms, identities and its own derivatives."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from roxmodel.estimate.ordinal.bivariate import bivariate_cdf, bivariate_density, bivariate_slope

EXACT = 2e-15  # a few roundings of numbers up to 1
RHO = np.array(
    [-1, -1 + 1e-12, -0.9999, -0.99, -0.93, -0.925, -0.76, -0.5, 0, 0.3, 0.75, 0.9, 0.926, 0.999, 1 - 1e-9, 1]
)


def grid():
    points = np.array([-np.inf, -8.5, -3.0, -1.1, -0.4, 0.0, 0.4, 1.0, 1.0 + 1e-6, 2.5, 6.0, np.inf])
    return points[:, None, None], points[None, :, None], RHO[None, None, :]


@pytest.mark.parametrize("rho", [-0.95, -0.6, 0.0, 0.2, 0.8, 0.93, 0.99])
def test_against_scipy(rho):
    points = np.random.default_rng(1).normal(size=(60, 2)) * 1.5
    normal = multivariate_normal(cov=[[1, rho], [rho, 1]], abseps=1e-13, releps=1e-13, maxpts=10**6)
    theirs = normal.cdf(points)
    ours = bivariate_cdf(points[:, 0], points[:, 1], np.full(60, rho))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rho", [-0.9999, -0.93, -0.76, 0.1, 0.92, 0.9251, 0.999, 0.99999])
def test_against_one_dimensional_integration(rho):
    # y given x is normal; the integrand turns at x = b/rho within a width of sqrt(1 - rho^2)/rho
    root = np.sqrt(1.0 - rho * rho)
    for a, b in [(0.3, 0.4), (-1.0, 1.0 + 1e-4), (1.0, 1.0), (-2.0, -2.5), (2.0, -0.1)]:
        knots = sorted({k for k in (b / rho + root * np.array([-12.0, -4.0, 0.0, 4.0, 12.0])) if -9.0 < k < a})
        edges = [-9.0, *knots, a]

        def integrand(x, b=b):
            return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi) * ndtr((b - rho * x) / root)

        parts = pairwise(edges)
        there = sum(quad(integrand, low, high, epsabs=1e-15, epsrel=1e-13)[0] for low, high in parts)
        here = bivariate_cdf(np.array(a), np.array(b), np.array(rho))
        assert abs(here - there) < 1e-14


def test_at_the_origin_it_is_an_arcsine():
    zero = np.zeros(len(RHO))
    np.testing.assert_allclose(bivariate_cdf(zero, zero, RHO), 0.25 + np.arcsin(RHO) / (2 * np.pi), rtol=0, atol=EXACT)


def test_at_the_ends_it_is_one_dimensional():
    a, b, _ = grid()
    one = np.ones((1, 1, 1))
    np.testing.assert_allclose(bivariate_cdf(a, b, one), ndtr(np.minimum(a, b)), rtol=0, atol=EXACT)
    np.testing.assert_allclose(bivariate_cdf(a, b, -one), np.maximum(ndtr(a) - ndtr(-b), 0), rtol=0, atol=EXACT)


def test_an_infinite_limit_leaves_the_other_margin():
    a, _, rho = grid()
    shape = np.broadcast_shapes(a.shape, rho.shape)
    margin = np.broadcast_to(ndtr(a), shape)
    np.testing.assert_allclose(bivariate_cdf(a, np.array(np.inf), rho), margin, rtol=0, atol=EXACT)
    np.testing.assert_allclose(bivariate_cdf(np.array(np.inf), a, rho), margin, rtol=0, atol=EXACT)
    np.testing.assert_allclose(bivariate_cdf(a, np.array(-np.inf), rho), 0.0 * margin, rtol=0, atol=EXACT)


def test_it_is_symmetric_and_its_quadrants_add_up():
    a, b, rho = grid()
    here = bivariate_cdf(a, b, rho)
    assert here.min() >= 0.0
    assert here.max() <= 1.0
    np.testing.assert_allclose(here, bivariate_cdf(b, a, rho), rtol=0, atol=EXACT)
    np.testing.assert_allclose(here + bivariate_cdf(a, -b, -rho), ndtr(a) + 0.0 * here, rtol=0, atol=EXACT)


def test_it_grows_with_the_correlation():
    a, b, rho = grid()
    assert (np.diff(bivariate_cdf(a, b, rho), axis=2) >= -EXACT).all()


def test_missing_goes_through():
    assert np.isnan(bivariate_cdf(np.array([np.nan]), np.array([0.0]), np.array([0.99]))).all()


def test_derivatives_are_those_of_the_probability():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 200))
    rho = rng.uniform(-0.95, 0.95, 200)
    h = 1e-5
    slope = (bivariate_cdf(a, b, rho + h) - bivariate_cdf(a, b, rho - h)) / (2 * h)
    np.testing.assert_allclose(bivariate_density(a, b, rho), slope, rtol=1e-5, atol=1e-8)
    bend = (np.log(bivariate_density(a, b, rho + h)) - np.log(bivariate_density(a, b, rho - h))) / (2 * h)
    np.testing.assert_allclose(bivariate_slope(a, b, rho), bend, rtol=1e-5, atol=1e-6)


def test_the_density_is_scipys():
    points = np.random.default_rng(3).normal(size=(50, 2))
    theirs = multivariate_normal(cov=[[1, -0.7], [-0.7, 1]]).pdf(points)
    ours = bivariate_density(points[:, 0], points[:, 1], np.array(-0.7))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
