"""Moments against the plain formulas; derivatives against central differences."""

import numpy as np

from roxmodel.implied.matrices import (
    DISTURBANCES,
    EDGES,
    ITEM_MEANS,
    LATENT_MEANS,
    LOADINGS,
    RESIDUALS,
    bank_of,
    filled,
    implied,
    mean_weight,
    moment_jacobian,
    second_order,
)

EXACT = 1e-11  # algebra in double precision
NUMERIC = 1e-6  # central differences of smooth functions, steps of 1e-5


def plainly(layout, theta):
    """Σ = Λ T Ψ Tᵀ Λᵀ + Θ and μ = ν + Λ T α, in units of the scale."""
    lam, beta, psi, rest, nu, alpha = (
        filled(layout, theta, i) for i in (LOADINGS, EDGES, DISTURBANCES, RESIDUALS, ITEM_MEANS, LATENT_MEANS)
    )
    total = np.linalg.inv(np.eye(len(beta)) - beta)
    sigma = lam @ total @ psi @ total.T @ lam.T + rest
    mu = nu + lam @ total @ alpha
    return sigma / np.outer(layout.scale, layout.scale), mu / layout.scale


def test_moments_are_those_of_the_formula(case, rng):
    theta = case.around(rng)
    for layout in case.layouts:
        sigma, mu = plainly(layout, theta)
        at = implied(layout, theta)
        np.testing.assert_allclose(at.sigma, sigma, rtol=EXACT, atol=EXACT)
        np.testing.assert_allclose(at.mu, mu, rtol=EXACT, atol=EXACT)


def test_leading_axes_are_draws(case, rng):
    theta = case.around(rng, 6).reshape(2, 3, -1)
    for layout in case.layouts:
        together = implied(layout, theta)
        for i, j in np.ndindex(2, 3):
            alone = implied(layout, theta[i, j])
            for name in ("sigma", "mu", "reach", "spread", "total", "latent", "levels"):
                np.testing.assert_allclose(getattr(together, name)[i, j], getattr(alone, name), rtol=EXACT, atol=EXACT)


def test_jacobian_against_differences(case, rng, numeric):
    theta = case.around(rng)
    for layout in case.layouts:
        by_sigma, by_mu = moment_jacobian(layout, implied(layout, theta))
        slopes = numeric(lambda t, layout=layout: implied(layout, t).sigma, theta, case.size) * case.size
        np.testing.assert_allclose(by_sigma @ layout.link * case.size, slopes, rtol=NUMERIC, atol=NUMERIC)
        slopes = numeric(lambda t, layout=layout: implied(layout, t).mu, theta, case.size) * case.size
        expected = slopes if layout.means else 0.0
        np.testing.assert_allclose(by_mu @ layout.link * case.size, expected, rtol=NUMERIC, atol=NUMERIC)


def test_second_derivatives_against_differences_of_the_first(case, rng, numeric):
    theta = case.around(rng)
    for layout in case.layouts:
        p = len(layout.items)
        pull = rng.normal(size=(p, p))
        pull, push = pull + pull.T, rng.normal(size=p) * layout.means

        def contracted(t, layout=layout, pull=pull, push=push):
            by_sigma, by_mu = moment_jacobian(layout, implied(layout, t))
            return (0.5 * np.einsum("ij,ijr->r", pull, by_sigma) - push @ by_mu) @ layout.link

        at = implied(layout, theta)
        bank = bank_of(layout, at)
        found = layout.link.T @ second_order(layout, at, bank.T @ pull @ bank, bank.T @ push) @ layout.link
        size = np.outer(case.size, case.size)
        expected = numeric(contracted, theta, case.size)
        np.testing.assert_allclose(found * size, expected * size, rtol=10 * NUMERIC, atol=10 * NUMERIC)


def test_means_weigh_nothing_where_they_are_not_modelled(cases, rng):
    case = cases[0](cases[2])
    layout = case.layouts[0]
    assert not mean_weight(layout, implied(layout, case.around(rng))).any()
