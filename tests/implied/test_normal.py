"""The normal discrepancy against log densities; its derivatives against central differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from roxmodel.implied.likelihood import Target, expand, half_deviance, slope
from roxmodel.implied.matrices import implied, moment_jacobian

EXACT = 1e-10  # algebra in double precision
NUMERIC = 2e-6  # central differences of smooth functions, steps of 1e-5


def total(case, function):
    return sum(function(layout, target) for layout, target in zip(case.layouts, case.targets, strict=True))


def test_half_the_discrepancy_is_a_difference_of_log_likelihoods(case, rng):
    theta = case.around(rng)
    for layout, target in zip(case.layouts, case.targets, strict=True):
        rows = rng.normal(size=(40, len(layout.items)))
        own = Target(rows.mean(axis=0), np.cov(rows, rowvar=False, bias=True))
        at = implied(layout, theta)
        model = multivariate_normal(at.mu if layout.means else own.mean, at.sigma)
        free = multivariate_normal(own.mean, own.covariance)
        expected = (free.logpdf(rows) - model.logpdf(rows)).mean()
        assert half_deviance(layout, theta, own) == pytest.approx(expected, rel=EXACT)
        assert expand(layout, theta, own).value == pytest.approx(expected, rel=EXACT)
        assert target.covariance.shape == at.sigma.shape


def test_gradient_and_hessian_against_differences(case, rng, numeric):
    theta = case.around(rng)
    gradient = total(case, lambda layout, target: expand(layout, theta, target).gradient)
    hessian = total(case, lambda layout, target: expand(layout, theta, target).hessian)
    value = numeric(lambda t: total(case, lambda layout, target: half_deviance(layout, t, target)), theta, case.size)
    slopes = numeric(lambda t: total(case, lambda layout, target: expand(layout, t, target).gradient), theta, case.size)
    unit = np.outer(case.size, case.size)
    largest = np.abs(hessian * unit).max()
    np.testing.assert_allclose(gradient * case.size, value * case.size, rtol=NUMERIC, atol=NUMERIC * largest)
    np.testing.assert_allclose(hessian * unit, slopes * unit, rtol=NUMERIC, atol=NUMERIC * largest)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-6, atol=1e-9 * np.abs(hessian).max())


def test_expected_information_is_the_contraction_of_the_jacobian(case, rng):
    theta = case.around(rng)
    for layout, target in zip(case.layouts, case.targets, strict=True):
        at = implied(layout, theta)
        by_sigma, by_mu = moment_jacobian(layout, at)
        inverse = np.linalg.inv(at.sigma)
        turned = np.einsum("ij,jkr,kl->ilr", inverse, by_sigma, inverse, optimize=True)
        expected = 0.5 * np.einsum("ijr,jiq->rq", turned, by_sigma) + by_mu.T @ inverse @ by_mu
        expected = layout.link.T @ expected @ layout.link
        found = expand(layout, theta, target).information
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * np.abs(expected).max())


def test_the_hessian_is_expected_to_be_the_information(case, rng):
    """At moments that the model implies, both are equal up to what is multiplied by residuals of 0."""
    theta = case.around(rng)
    for layout in case.layouts:
        at = implied(layout, theta)
        found = expand(layout, theta, Target(at.mu, at.sigma))
        np.testing.assert_allclose(found.value, 0.0, atol=EXACT)
        scale = np.abs(found.information).max()
        np.testing.assert_allclose(found.hessian, found.information, rtol=1e-7, atol=1e-9 * scale)


def test_slopes_of_many_draws_are_those_of_each(case, rng):
    theta = case.around(rng, 5)
    for layout, target in zip(case.layouts, case.targets, strict=True):
        noise = rng.normal(size=(5, *target.covariance.shape)) * 0.02
        many = Target(target.mean + 0.1 * rng.normal(size=(5, len(target.mean))), target.covariance + noise)
        many = replace(many, covariance=(many.covariance + many.covariance.swapaxes(1, 2)) / 2)
        found = slope(layout, theta, many)
        for draw in range(5):
            one = expand(layout, theta[draw], Target(many.mean[draw], many.covariance[draw])).gradient
            np.testing.assert_allclose(found[draw], one, rtol=1e-7, atol=1e-9 * np.abs(one).max())


def test_where_sigma_is_not_positive_definite_the_value_is_infinite(case):
    theta = case.start - 100 * case.size
    layout, target = case.layouts[0], case.targets[0]
    found = expand(layout, theta, target)
    assert half_deviance(layout, theta, target) == np.inf
    assert found.value == np.inf
    assert np.isnan(found.gradient).all()
    assert np.isnan(found.hessian).all()


def test_a_sigma_that_is_singular_to_the_last_digit_is_no_linear_algebra_error(cases):
    case = cases[0]("a =~ a1 + a2 + a3")
    layout = case.layouts[0]
    theta = np.array([1.0, 1.0, 1e-300, 1e-300, 1e-300, 1.0]) * np.r_[layout.scale[1:] / layout.scale[0], np.ones(4)]
    found = expand(layout, theta, case.targets[0])
    assert found.value == np.inf
    assert np.isnan(found.gradient).all()
