"""Moments given variables: against regression, and their derivatives against differences."""

import numpy as np
import pytest

from roxmodel.implied.matrices import conditioned

EXACT = 1e-10
GIVEN = np.array([1, 3])


def sigma_at(theta):
    """(5, 5) covariances whose given block does not move."""
    rng = np.random.default_rng(7)
    base, moves = rng.normal(size=(5, 8)), rng.normal(size=(len(theta), 5, 5))
    found = base @ base.T + np.einsum("r,rij->ij", theta, moves + moves.swapaxes(1, 2))
    found += np.einsum("r,s,rij,sij->ij", theta, theta, moves, moves.swapaxes(1, 2))  # bends
    found = (found + found.T) / 2
    found[np.ix_(GIVEN, GIVEN)] = [[2.0, 0.3], [0.3, 1.5]]
    return found


def differences(function, theta, step=1e-5):
    moves = step * np.eye(len(theta))
    return np.stack([(function(theta + m) - function(theta - m)) / (2 * step) for m in moves], axis=-1)


def test_it_is_the_regression_on_them():
    rows = np.random.default_rng(1).normal(size=(400, 5)) @ np.random.default_rng(2).normal(size=(5, 5))
    rows -= rows.mean(axis=0)
    found = conditioned(rows.T @ rows / 400, GIVEN)
    slopes = np.linalg.lstsq(rows[:, GIVEN], rows, rcond=None)[0].T
    left = rows - rows[:, GIVEN] @ slopes.T
    np.testing.assert_allclose(found.slopes, slopes, atol=EXACT)
    np.testing.assert_allclose(found.sigma, left.T @ left / 400, atol=EXACT)


def test_draws_in_front():
    both = np.stack([sigma_at(np.array([0.0, 0.0])), sigma_at(np.array([0.02, -0.01]))])
    found = conditioned(both, GIVEN)
    for draw in range(2):
        alone = conditioned(both[draw], GIVEN)
        np.testing.assert_allclose(found.sigma[draw], alone.sigma, atol=EXACT)
        np.testing.assert_allclose(found.slopes[draw], alone.slopes, atol=EXACT)


@pytest.mark.parametrize("what", ["sigma", "slopes"])
def test_first_derivatives(what):
    theta = np.array([0.02, -0.03, 0.01])
    at = conditioned(sigma_at(theta), GIVEN)
    own = dict(zip(("sigma", "slopes"), at.jacobian(differences(sigma_at, theta)), strict=True))[what]
    expected = differences(lambda t: getattr(conditioned(sigma_at(t), GIVEN), what), theta)
    rest = [0, 2, 4]
    np.testing.assert_allclose(own[rest], expected[rest], atol=1e-6)


def test_second_derivatives():
    """Gradient through Σ, and what bends besides, together are the second derivatives of a weighted sum."""
    theta, rng = np.array([0.02, -0.03, 0.01]), np.random.default_rng(3)
    on_sigma, on_slopes = np.zeros((5, 5)), np.zeros((5, 2))
    rest = [0, 2, 4]
    on_sigma[np.ix_(rest, rest)] = np.tril(rng.normal(size=(3, 3)))
    on_slopes[rest] = rng.normal(size=(3, 2))

    def total(t):
        at = conditioned(sigma_at(t), GIVEN)
        return (on_sigma * at.sigma).sum() + (on_slopes * at.slopes).sum()

    at, by_sigma = conditioned(sigma_at(theta), GIVEN), differences(sigma_at, theta)
    pull = at.pull(on_sigma, on_slopes)
    np.testing.assert_allclose(np.einsum("ij,ijr->r", pull, by_sigma), differences(total, theta), rtol=1e-6, atol=1e-6)
    bent = differences(
        lambda t: np.stack([(pull * d).sum() for d in np.moveaxis(differences(sigma_at, t), -1, 0)]), theta
    )
    whole = differences(lambda t: differences(total, t, 1e-4), theta, 1e-4)
    scale = np.abs(whole).max()
    np.testing.assert_allclose((bent + at.bend(on_sigma, by_sigma)) / scale, whole / scale, atol=1e-4)
