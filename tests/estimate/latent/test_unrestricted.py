"""Any covariance between units: against EM until it stands still, and in closed form where noise is equal."""

import numpy as np
import pytest

from roxmodel.estimate.latent.unrestricted import any_covariance, no_covariance
from roxmodel.implied.likelihood import NormalCells
from roxmodel.implied.starts import condensed, moments_between

CLOSE = 1e-3  # of -2 loglik: what the interior-point method may lack
EXACT = 1e-9


def deviance(data, mean, covariance):
    """-2 loglik without log 2π."""
    total = 0.0
    for seen, own, noise, weight in zip(data.seen, data.mean, data.noise, data.weight, strict=True):
        at = np.ix_(seen, seen)
        both, rest = (covariance + noise)[at], (own - mean)[seen]
        total += weight * (np.linalg.slogdet(both)[1] + rest @ np.linalg.solve(both, rest))
    return total


def slow_em(data, mean, covariance, steps=4000):
    """Dempster, Laird & Rubin (1977): units' levels are what is not observed."""
    p = len(mean)
    eye = np.eye(p)
    pick = data.seen[:, :, None] & data.seen[:, None, :]
    weight = data.weight / data.weight.sum()
    for _ in range(steps):
        both = np.where(pick, covariance + data.noise, 0.0) + eye * ~data.seen[:, :, None]
        gain = covariance @ np.where(pick, np.linalg.inv(both), 0.0)
        level = mean + (gain @ np.where(data.seen, data.mean - mean, 0.0)[:, :, None])[:, :, 0]
        doubt = covariance - gain @ covariance
        mean = weight @ level
        rest = level - mean
        covariance = np.tensordot(weight, doubt, 1) + (rest * weight[:, None]).T @ rest
    return mean, covariance


def means_of(seed, p=4, units=40, between=1.0, holes=0.0, figures=0, rank=None):
    rng = np.random.default_rng(seed)
    root = between * rng.normal(size=(p, p if rank is None else rank)) / 2
    noise = np.empty((units, p, p))
    inner = rng.normal(size=(p, p))
    inner = inner @ inner.T / p + 0.3 * np.eye(p)
    noise[:] = inner / rng.integers(2, 12, units)[:, None, None]
    for k in range(figures):
        noise[:, k, :] = noise[:, :, k] = 0
    level = rng.normal(size=(units, root.shape[1])) @ root.T
    error = np.stack([rng.multivariate_normal(np.zeros(p), n) for n in noise])
    seen = rng.random((units, p)) >= holes
    seen[:2] = True
    mean = np.where(seen, level + error + 2, 0.0)
    return NormalCells(seen, mean, np.ones(units), noise=noise)


CASES = {
    "interior": {"between": 1.5, "units": 80},
    "interior, figures": {"between": 1.5, "units": 80, "figures": 1},
    "interior, holes": {"between": 1.5, "units": 80, "holes": 0.2},
    "edge, rank 2": {"rank": 2, "units": 60},
    "edge, rank 1, figures": {"rank": 1, "figures": 1},
    "edge, rank 1, holes": {"rank": 1, "holes": 0.2, "units": 60},
    "edge, little varies": {"between": 0.2},
    "edge, few units": {"units": 7, "rank": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", sorted(CASES))
def test_against_em(case, seed):
    data = means_of(seed, **CASES[case])
    p = data.mean.shape[1]
    start = moments_between(data)
    found = any_covariance(tuple(f"v{k}" for k in range(p)), data, start)
    assert found.converged
    sigma, mean = found.moments.covariance, found.moments.mean
    assert np.linalg.eigvalsh(sigma)[0] > -1e-12
    own = deviance(data, mean, sigma)
    assert 2 * data.size * found.value == pytest.approx(own, abs=1e-6)
    em = slow_em(data, start.mean, start.covariance)
    assert own < deviance(data, *em) + CLOSE
    assert own > deviance(data, *em) - 0.05  # EM creeps where it ends at the edge
    if case == "interior":
        assert not found.edge
        assert own == pytest.approx(deviance(data, *em), abs=CLOSE)
        np.testing.assert_allclose(mean, em[0], rtol=1e-3)
        np.testing.assert_allclose(sigma, em[1], atol=0.02 * np.abs(sigma).max())
    if case == "edge, little varies":
        assert found.edge


def test_weights_are_units_that_occur_again():
    data = means_of(3, between=1.5)
    times = np.random.default_rng(0).integers(0, 3, 40).astype(float)
    again = data.pick(np.repeat(np.arange(40), times.astype(int)))
    start = moments_between(data)
    one, two = (any_covariance(("a", "b", "c", "d"), given, start) for given in (data.weighted(times), again))
    assert one.value * times.sum() * 2 == pytest.approx(two.value * times.sum() * 2, abs=CLOSE)


def test_many_items_are_out_of_reach():
    data = means_of(0, p=46, units=60)
    assert any_covariance(tuple(f"v{k}" for k in range(46)), data, moments_between(data)) is None


def test_no_covariance_item_by_item():
    data = means_of(1, holes=0.1)
    value, done = no_covariance(("a", "b", "c", "d"), data, moments_between(data))
    assert done
    apart = NormalCells(data.seen, data.mean, data.weight, noise=data.noise * np.eye(4))
    total = 0.0
    for k in range(4):
        one = NormalCells(
            apart.seen[:, [k]], apart.mean[:, [k]], apart.weight, noise=apart.noise[:, k : k + 1, k : k + 1]
        )
        start = moments_between(one)
        total += deviance(one, *slow_em(one, start.mean, start.covariance, 2000))
    # what items share by their noise stays; without it each item stands alone
    alone, _ = no_covariance(("a", "b", "c", "d"), apart, moments_between(apart))
    assert 2 * data.size * alone == pytest.approx(total, abs=CLOSE)
    assert np.isfinite(value)


# --- equal noise: closed form


def equal_noise(seed, units=30, p=4, between=1.0):
    data = means_of(seed, p=p, units=units, between=between)
    return NormalCells(data.seen, data.mean, data.weight, noise=np.repeat(data.noise[:1], units, axis=0))


@pytest.mark.parametrize("between", [2.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_equal_noise_has_a_closed_form(seed, between):
    data = equal_noise(seed, between=between)
    found = moments_between(data, floor=0.0)
    scatter = np.cov(data.mean, rowvar=False, bias=True)
    np.testing.assert_allclose(found.mean, data.mean.mean(axis=0), rtol=EXACT)
    if np.linalg.eigvalsh(scatter - data.noise[0])[0] > 0:
        np.testing.assert_allclose(found.covariance, scatter - data.noise[0], rtol=EXACT, atol=EXACT)
    assert np.linalg.eigvalsh(found.covariance)[0] > -1e-12
    best, rng = deviance(data, found.mean, found.covariance), np.random.default_rng(0)
    own = any_covariance(("a", "b", "c", "d"), data, moments_between(data))
    assert 2 * data.size * own.value == pytest.approx(best, abs=CLOSE)
    values, vectors = np.linalg.eigh(found.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    for _ in range(20):
        other = root @ (np.eye(4) + 0.1 * rng.normal(size=(4, 4))) + 0.02 * rng.normal(size=(4, 4))
        assert deviance(data, found.mean + 0.05 * rng.normal(size=4), other @ other.T) >= best - 1e-9


def test_condensed_units_are_their_mean_and_scatter():
    data = means_of(2)
    one = condensed(data)
    np.testing.assert_allclose(one.mean[0], data.mean.mean(axis=0), rtol=EXACT)
    np.testing.assert_allclose(one.scatter[0], np.cov(data.mean, rowvar=False, bias=True), rtol=EXACT)
    np.testing.assert_allclose(one.noise[0], data.noise.mean(axis=0), rtol=EXACT)
    weight = np.arange(40.0)
    again = data.pick(np.repeat(np.arange(40), np.arange(40)))
    two = condensed(NormalCells(data.seen, data.mean, weight, noise=data.noise))
    np.testing.assert_allclose(two.scatter, condensed(again).scatter, rtol=EXACT)
