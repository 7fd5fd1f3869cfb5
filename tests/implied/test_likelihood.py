"""Unit means with sampling error of a known size: value, scores, gradient, Hessian and information."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from roxmodel.implied import curvature as curvature_module
from roxmodel.implied.curvature import curvature, pair_information, sums_of
from roxmodel.implied.likelihood import (
    NormalCells,
    case_scores,
    expand,
    gradient_of,
    half_deviance,
    inverse_of,
    pulls,
)
from roxmodel.implied.matrices import implied, moment_jacobian, saturated

EXACT = 1e-10  # algebra in double precision
NUMERIC = 2e-6  # central differences of smooth functions, steps of 1e-5
KINDS = ("complete", "holes", "weights", "scatter", "no noise", "all of it")


@pytest.fixture(params=["full, means", "full, given by the data"])
def modelled(request, cases):
    build, _, full = cases
    return build(full, means=True, **({"exogenous": "fixed"} if "given" in request.param else {}))


def means_of(kind, p, rng, units=25):
    root = rng.normal(size=(units, p, 3)) * 0.4
    noise = root @ root.swapaxes(1, 2) + 0.1 * np.eye(p)
    noise[:, p - 1, :] = noise[:, :, p - 1] = 0  # a figure of the unit
    seen = np.ones((units, p), dtype=bool)
    weight, scatter = np.ones(units), None
    if kind in {"holes", "all of it"}:
        seen = rng.random((units, p)) > 0.3
        seen[np.arange(units), rng.integers(0, p, units)] = True
    if kind in {"weights", "all of it"}:
        weight = rng.integers(1, 4, units).astype(float)
    if kind in {"scatter", "all of it"}:
        spread = rng.normal(size=(units, p, 5)) * 0.5
        scatter = spread @ spread.swapaxes(1, 2) / 5
        scatter *= seen[:, :, None] & seen[:, None, :]
    if kind == "no noise":
        noise = np.zeros_like(noise)
    return NormalCells(seen, np.where(seen, rng.normal(size=(units, p)), 0.0), weight, scatter, noise=noise)


@pytest.fixture(params=KINDS)
def data(request, modelled, rng):
    return means_of(request.param, len(modelled.layouts[0].items), rng)


def test_value_is_a_density(modelled, data, rng):
    layout, theta = modelled.layouts[0], modelled.around(rng)
    at, total = implied(layout, theta), 0.0
    for j in range(len(data.mean)):
        there = np.flatnonzero(data.seen[j])
        own = (at.sigma + data.noise[j])[np.ix_(there, there)]
        density = multivariate_normal(at.mu[there], own).logpdf(data.mean[j, there])
        value = -2 * density - len(there) * np.log(2 * np.pi)
        if data.scatter is not None:
            value += np.trace(np.linalg.solve(own, data.scatter[j][np.ix_(there, there)]))
        total += data.weight[j] * value
    expected = total / (2 * data.weight.sum())
    assert half_deviance(layout, theta, data) == pytest.approx(expected, rel=EXACT)
    assert expand(layout, theta, data).value == pytest.approx(expected, rel=EXACT)


def test_gradient_and_observed_information_against_differences(modelled, data, rng, numeric):
    layout, theta, size = modelled.layouts[0], modelled.around(rng), modelled.size
    found = expand(layout, theta, data)
    value = numeric(lambda t: half_deviance(layout, t, data), theta, size)
    slopes = numeric(lambda t: expand(layout, t, data).gradient, theta, size)
    unit = np.outer(size, size)
    largest = np.abs(found.hessian * unit).max()
    np.testing.assert_allclose(found.gradient * size, value * size, rtol=NUMERIC, atol=NUMERIC * largest)
    np.testing.assert_allclose(found.hessian * unit, slopes * unit, rtol=NUMERIC, atol=NUMERIC * largest)
    np.testing.assert_allclose(found.hessian, found.hessian.T, rtol=1e-6, atol=1e-9 * np.abs(found.hessian).max())


def test_expected_information_unit_by_unit(modelled, data, rng):
    """½ tr(W ∂Σ W ∂Σ) + ∂μᵀ W ∂μ, as it stands in the books."""
    layout, theta = modelled.layouts[0], modelled.around(rng)
    at = implied(layout, theta)
    by_sigma, by_mu = (part @ layout.link for part in moment_jacobian(layout, at))
    total = np.zeros((layout.n_free,) * 2)
    for j in range(len(data.mean)):
        there = np.flatnonzero(data.seen[j])
        inverse = np.linalg.inv((at.sigma + data.noise[j])[np.ix_(there, there)])
        slopes = np.einsum("ab,bcr->acr", inverse, by_sigma[np.ix_(there, there)])
        own = 0.5 * np.einsum("acr,caq->rq", slopes, slopes) + by_mu[there].T @ inverse @ by_mu[there]
        total += data.weight[j] * own
    total /= data.weight.sum()
    found = expand(layout, theta, data).information
    np.testing.assert_allclose(found, total, rtol=1e-8, atol=1e-10 * np.abs(total).max())


def test_scores_of_units_sum_to_the_gradient(modelled, data, rng):
    layout, theta = modelled.layouts[0], modelled.around(rng)
    plain = replace(data, scatter=None)
    at = implied(layout, theta)
    gradient = expand(layout, theta, plain).gradient
    scores = -np.concatenate([own.T for _, own in case_scores(layout, theta, plain)]) @ layout.link
    tight = {"rtol": 1e-8, "atol": 1e-10 * np.abs(gradient).max()}
    np.testing.assert_allclose(plain.weight @ scores / plain.size, gradient, **tight)
    slope = gradient_of(layout, at, *pulls(plain, at.mu, at.sigma))
    np.testing.assert_allclose(slope / plain.size, gradient, **tight)


def test_units_one_by_one_and_in_blocks(modelled, rng, monkeypatch):
    layout, theta = modelled.layouts[0], modelled.around(rng)
    data = means_of("all of it", len(layout.items), rng)
    whole = expand(layout, theta, data)
    monkeypatch.setattr("roxmodel.implied.likelihood._BLOCK", 7)
    parts = expand(layout, theta, data)
    assert half_deviance(layout, theta, data) == pytest.approx(whole.value, rel=EXACT)
    for name in ("value", "gradient", "hessian", "information"):
        left, right = getattr(parts, name), getattr(whole, name)
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11 * np.abs(right).max())


def test_weights_are_units_that_occur_again(modelled, rng):
    layout, theta = modelled.layouts[0], modelled.around(rng)
    data = means_of("all of it", len(layout.items), rng)
    again = data.pick(np.repeat(np.arange(25), data.weight.astype(int)))
    again = replace(again, weight=np.ones(len(again.mean)))
    left, right = expand(layout, theta, data), expand(layout, theta, again)
    for name in ("value", "gradient", "hessian", "information"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-9, atol=1e-12)
    none = data.weighted(np.where(np.arange(25) < 5, 0.0, data.weight))
    assert len(none.mean) == 20
    assert none.size == data.weight[5:].sum()


def test_scatter_is_several_units_of_one_noise(modelled, rng):
    layout, theta = modelled.layouts[0], modelled.around(rng)
    p = len(layout.items)
    one = means_of("complete", p, rng, units=1)
    means = rng.normal(size=(9, p))
    each = NormalCells(np.ones((9, p), dtype=bool), means, np.ones(9), noise=np.repeat(one.noise, 9, axis=0))
    rest = means - means.mean(axis=0)
    pooled = NormalCells(one.seen, means.mean(axis=0)[None], np.ones(1), (rest.T @ rest / 9)[None], noise=one.noise)
    left, right = expand(layout, theta, each), expand(layout, theta, pooled)
    unit = np.outer(modelled.size, modelled.size)
    assert left.value == pytest.approx(right.value, rel=EXACT)
    for one, two in ((left.hessian, right.hessian), (left.information, right.information)):
        np.testing.assert_allclose(one * unit, two * unit, rtol=1e-8, atol=1e-8 * np.abs(two * unit).max())
    slopes = np.abs(right.gradient * modelled.size).max()
    np.testing.assert_allclose(
        left.gradient * modelled.size, right.gradient * modelled.size, rtol=1e-8, atol=1e-8 * slopes
    )


def test_what_is_not_defined_is_infinite(modelled, rng):
    layout = modelled.layouts[0]
    data = means_of("no noise", len(layout.items), rng)
    theta = np.where(modelled.start > 0, -5 * modelled.start, modelled.start)
    assert half_deviance(layout, theta, data) == np.inf
    found = expand(layout, theta, data)
    assert found.value == np.inf
    assert np.isnan(found.gradient).all()


def saturated_of(rng, p=6, diagonal=False, means=True):
    root = rng.normal(size=(p, p))
    scale = rng.uniform(0.5, 2, p)
    return saturated(
        tuple(f"v{k}" for k in range(p)), scale, (rng.normal(size=p), root @ root.T / p + np.eye(p)), diagonal=diagonal,
        means=means,
    )  # fmt: skip


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("means", [False, True])
def test_many_variables_as_few(rng, monkeypatch, diagonal, means):
    """Beyond 40 variables another path is taken: the same numbers, for a model without structure."""
    layout, theta = saturated_of(rng, diagonal=diagonal, means=means)
    at, data = implied(layout, theta), means_of("all of it", 6, rng)
    assert_both_paths(layout, at, data, monkeypatch)


def test_many_variables_as_few_with_constructs(modelled, data, rng, monkeypatch):
    layout = modelled.layouts[0]
    assert_both_paths(layout, implied(layout, modelled.around(rng)), data, monkeypatch)


def assert_both_paths(layout, at, data, monkeypatch):
    inverse, _ = inverse_of(data, at.sigma)
    rest = np.where(data.seen, data.mean - at.mu, 0.0)
    pushed = (inverse @ rest[:, :, None])[:, :, 0]
    half = pushed[:, :, None] * pushed[:, None, :]
    if data.scatter is not None:
        half = half + inverse @ data.scatter @ inverse
    sums = sums_of(data.weight, inverse, half, pushed, layout.means)
    paired = curvature(layout, at, sums)
    monkeypatch.setattr(curvature_module, "_MOST_PAIRED", 0)
    in_rows = curvature(layout, at, sums)
    for left, right in zip(in_rows, paired, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-10 * np.abs(right).max())


def test_more_than_forty_variables(rng, numeric):
    layout, theta = saturated_of(rng, p=41, diagonal=True)
    data = means_of("holes", 41, rng, units=8)
    found = expand(layout, theta, data)
    size, some = np.maximum(np.abs(theta), 0.1), slice(35, 50)
    move = np.eye(len(theta))[some]

    def along(values):
        return theta + values @ move

    value = numeric(lambda t: half_deviance(layout, along(t), data), np.zeros(15), size[some])
    np.testing.assert_allclose(found.gradient[some], value, rtol=NUMERIC, atol=NUMERIC * np.abs(value).max())
    slopes = numeric(lambda t: expand(layout, along(t), data).gradient, np.zeros(15), size[some])
    np.testing.assert_allclose(found.hessian[:, some], slopes, rtol=NUMERIC, atol=NUMERIC * np.abs(slopes).max())


def test_information_of_an_unstructured_covariance(rng):
    """½ Σ weight tr(W ∂Σ W ∂Σ) for every pair of entries of the lower triangle."""
    root = rng.normal(size=(5, 4, 4))
    inverse, weight = root @ root.swapaxes(1, 2) + np.eye(4), rng.uniform(1, 3, 5)
    low = np.tril_indices(4)
    slopes = np.zeros((len(low[0]), 4, 4))
    for k, (a, b) in enumerate(zip(*low, strict=True)):
        slopes[k, a, b] = slopes[k, b, a] = 1.0
    expected = 0.5 * np.einsum("j,jab,rbc,jcd,qda->rq", weight, inverse, slopes, inverse, slopes)
    np.testing.assert_allclose(pair_information(inverse, weight), expected, rtol=1e-9)


def test_units_of_one_noise_are_one_cell(modelled, rng):
    """The same value and derivatives, whatever the weights and holes."""
    layout, theta = modelled.layouts[0], modelled.around(rng)
    few = means_of("all of it", len(layout.items), rng)
    kind = rng.integers(0, 12, 25)
    seen, noise = few.seen[kind], few.noise[kind]
    each = replace(few, seen=seen, mean=np.where(seen, few.mean, 0.0), noise=noise, scatter=None)
    one = each.merged()
    assert len(one.mean) == len(np.unique(kind))
    assert one.size == each.size
    np.testing.assert_array_equal(one.noise[one.code], noise)
    left, right = expand(layout, theta, one), expand(layout, theta, each)
    for name in ("value", "gradient", "hessian", "information"):
        wanted = getattr(right, name)
        np.testing.assert_allclose(getattr(left, name), wanted, rtol=1e-9, atol=1e-11 * np.abs(wanted).max())
    scores = [
        np.concatenate([own.T for _, own in case_scores(layout, theta, cells, rows)])
        for cells, rows in ((one, np.where(seen, each.mean, np.nan)), (each, None))
    ]
    np.testing.assert_allclose(*scores, rtol=1e-9, atol=1e-11 * np.abs(scores[1]).max())
    assert len(one.weighted(one.weight * (np.arange(len(one.mean)) > 2)).mean) == len(one.mean) - 3
