"""The likelihood of method "linked" against one large covariance matrix of all answers of a unit."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from roxmodel.estimate.latent.both_levels import estimate_jointly
from roxmodel.estimate.latent.casewise import casewise_scores
from roxmodel.estimate.latent.joint_likelihood import CompleteObjective, JointObjective
from roxmodel.estimate.latent.solve import solve_between
from roxmodel.estimate.latent.tests_of_fit import linked_indices
from roxmodel.implied.likelihood import half_deviance, objective_of_units

pytestmark = pytest.mark.slow

EXACT = 1e-9  # algebra in double precision
SLOPES = 1e-8  # the same through a complex step
NUMERIC = 2e-6  # central differences of smooth functions, steps of 1e-5
STEP = 1e-30


def within_matrix(sample, covariances):
    found = np.zeros((len(sample.items),) * 2, dtype=np.result_type(*covariances))
    for source, own in zip(sample.sources, covariances, strict=True):
        found[np.ix_(source.at, source.at)] = own
    return found


def complex_gradient(function, theta):
    found = np.empty(len(theta))
    for k in range(len(theta)):
        moved = theta.astype(complex)
        moved[k] += 1j * STEP
        found[k] = function(moved).imag / STEP
    return found


def around(theta, rng, width=0.05):
    return theta + width * rng.uniform(-1, 1, len(theta)) * np.maximum(np.abs(theta), 0.1)


def without(frames, source, *keys):
    return tuple(f[~f["key"].isin(keys)] if place == source else f for place, f in enumerate(frames))


def some_figures_missing(frames):
    books = frames[2].copy()
    books.loc[[1, 4], "m"] = np.nan
    return frames[0], frames[1], books


# --- complete answers: unit means hold all that is known of the units


@pytest.mark.parametrize("items", [2, 3, 4])
@pytest.mark.parametrize("lost", ["nothing", "employees of two units", "figures of two units"])
def test_pooled_likelihood_is_that_of_all_answers_up_to_a_constant(tiny, items, lost):
    model = tiny.model(items)
    frames = tiny.frames(12, items, seed=items)
    if lost == "employees of two units":
        frames = without(frames, 0, "u001", "u007")
    elif lost == "figures of two units":
        frames = some_figures_missing(frames)
    sample = tiny.sample(model, tiny.study(model, frames))
    known, dense = solve_between(model, sample), tiny.dense.of(model, frames)
    within = within_matrix(sample, [s.within.covariance for s in sample.sources])

    def loglik(theta):
        sigma, mu = tiny.moments(known.table, model.names, sample.items, theta)
        return dense.loglik(sigma, mu, within)

    rng, objective = np.random.default_rng(1), objective_of_units(known.layout, sample.data)
    points = [around(known.found.theta, rng) for _ in range(4)]
    own = np.array([sample.n * objective.value(theta) for theta in points])
    full = np.array([-loglik(theta) for theta in points])
    np.testing.assert_allclose(own - own[0], full - full[0], rtol=EXACT, atol=EXACT * abs(full[0]))
    for theta in points:
        slope = sample.n * objective.expand(theta).gradient
        np.testing.assert_allclose(
            slope, -complex_gradient(loglik, theta), rtol=SLOPES, atol=SLOPES * np.abs(slope).max()
        )
        by_unit = -casewise_scores(known.layout, theta, sample.data)
        np.testing.assert_allclose(by_unit.sum(axis=0), slope, rtol=SLOPES, atol=SLOPES * np.abs(slope).max())


@pytest.mark.parametrize("holes", [0.0, 0.25])
def test_pooled_loglik_is_the_density_of_the_unit_means(tiny, holes):
    model, frames = tiny.model(3), tiny.frames(14, 3, seed=5, holes=holes)
    frames = without(some_figures_missing(frames), 1, "u003")
    fit = tiny.fit(model, frames)
    sample = tiny.sample(model, tiny.study(model, frames))
    sigma, mu = tiny.moments(fit.table, model.names, sample.items, np.array(fit.theta))
    noise = sample.data.noise * np.outer(sample.scale, sample.scale)
    total = 0.0
    for means, error in zip(sample.raw, noise, strict=True):
        there = np.flatnonzero(~np.isnan(means))
        total += multivariate_normal(mu[there], (sigma + error)[np.ix_(there, there)]).logpdf(means[there])
    assert fit.indices()["loglik"] == pytest.approx(total, rel=EXACT)
    value = half_deviance(solve_between(model, sample).layout, np.array(fit.theta), sample.data)
    assert np.isfinite(value)


def test_unit_means_by_hand(tiny):
    """The means and their noise are those that a spreadsheet would give."""
    model, frames = tiny.model(2), tiny.frames(6, 2)
    sample = tiny.sample(model, tiny.study(model, frames))
    staff = frames[0].groupby("key")[["e1", "e2"]]
    rest = frames[0][["e1", "e2"]] - staff.transform("mean")
    pooled = rest.T @ rest / (len(rest) - 6)
    np.testing.assert_allclose(sample.sources[0].within.covariance, pooled, rtol=EXACT)
    np.testing.assert_allclose(sample.raw[:, :2], staff.mean(), rtol=EXACT)
    at = np.ix_(range(6), [0, 1], [0, 1])
    noise = (sample.data.noise * np.outer(sample.scale, sample.scale))[at]
    np.testing.assert_allclose(noise, pooled.to_numpy() / staff.size().to_numpy()[:, None, None], rtol=EXACT)
    assert (sample.data.noise[:, :2, 2:] == 0).all()
    assert (sample.data.noise[:, 4, :] == 0).all()


# --- all answers, holes or not


HOLES = {
    "complete": lambda f: f,
    "a unit without employees, one without customers": lambda f: without(without(f, 0, "u002"), 1, "u005"),
    "figures missing": some_figures_missing,
}


def within_moments(tiny, part, theta, found):
    """Σ_W of one survey from the parameters of both levels, complex where they are."""
    own = theta[part.first : part.first + part.layout.n_free]
    items = part.layout.items
    if found is not None:
        return tiny.moments(found.table, found.model.names, items, own)[0]
    matrix, place = np.zeros((len(items),) * 2, dtype=theta.dtype), 0
    for j in range(len(items)):
        for i in range(j, len(items)):
            matrix[i, j] = matrix[j, i] = own[place]
            place += 1
    return matrix


@pytest.mark.parametrize("lost", sorted(HOLES))
@pytest.mark.parametrize("holes", [0.0, 0.25])
@pytest.mark.parametrize(("modelled", "items"), [(False, 2), (False, 3), (True, 2), (True, 4)])
def test_joint_likelihood_is_that_of_all_answers(tiny, objective_of, modelled, items, holes, lost):
    model = tiny.model(items)
    frames = HOLES[lost](tiny.frames(12, items, seed=8, holes=holes, sizes=(2, 7)))
    objective, start, models, known = objective_of(model, frames, modelled)
    dense, k, parts = tiny.dense.of(model, frames), known.table.n_free, objective.parts

    def loglik(theta):
        sigma, mu = tiny.moments(known.table, model.names, objective.sample.items, theta[:k])
        own = [within_moments(tiny, p, theta, m) for p, m in zip(parts, models, strict=True)]
        return dense.loglik(sigma, mu, within_matrix(objective.sample, own))

    rng, sample = np.random.default_rng(2), objective.sample
    points = [around(start, rng) for _ in range(3)]
    full = np.array([-loglik(theta) for theta in points])
    assert np.isfinite(full).all()
    exact = -complex_gradient(loglik, points[0])
    by_cell = JointObjective(known.layout, sample, parts, sample.data.weight, len(start))
    assert isinstance(objective, JointObjective if holes else CompleteObjective)
    for one in (objective, by_cell):
        own = np.array([sample.n * one.value(theta) for theta in points])
        np.testing.assert_allclose(own - own[0], full - full[0], rtol=EXACT, atol=EXACT * abs(full[0]))
        slope = sample.n * (by_cell.slope(points[0])[1] if one is by_cell else one.expand(points[0]).gradient)
        np.testing.assert_allclose(slope, exact, rtol=SLOPES, atol=SLOPES * np.abs(exact).max())


@pytest.mark.parametrize("modelled", [False, True])
@pytest.mark.parametrize("lost", sorted(HOLES))
def test_curvature_of_complete_answers(tiny, objective_of, modelled, lost):
    model = tiny.model(3)
    frames = HOLES[lost](tiny.frames(12, 3, seed=4, sizes=(2, 7)))
    objective, start, _, _ = objective_of(model, frames, modelled)
    theta = around(start, np.random.default_rng(3))
    found, size = objective.expand(theta), np.maximum(np.abs(theta), 0.1)
    assert found.value == pytest.approx(objective.value(theta), rel=EXACT)
    slopes = np.empty_like(found.hessian)
    for k in range(len(theta)):
        move = np.zeros(len(theta))
        move[k] = 1e-5 * size[k]
        ahead, behind = objective.expand(theta + move), objective.expand(theta - move)
        slopes[k] = (ahead.gradient - behind.gradient) / (2 * move[k])
    np.testing.assert_allclose(found.hessian, slopes, rtol=NUMERIC, atol=NUMERIC * np.abs(slopes).max())


@pytest.mark.parametrize("modelled", [False, True])
def test_information_of_complete_answers_is_the_mean_curvature(tiny, objective_of, modelled):
    """½ tr(V⁻¹ ∂V V⁻¹ ∂V) + ∂μᵀ V⁻¹ ∂μ over all answers of a unit."""
    model = tiny.model(3)
    frames = without(some_figures_missing(tiny.frames(8, 3, seed=4, sizes=(2, 5))), 0, "u002")
    objective, start, models, known = objective_of(model, frames, modelled)
    theta, k = around(start, np.random.default_rng(3)), known.table.n_free
    dense, sample = tiny.dense.of(model, frames), objective.sample

    def moments(values):
        own = [within_moments(tiny, p, values, m) for p, m in zip(objective.parts, models, strict=True)]
        return *tiny.moments(known.table, model.names, sample.items, values[:k]), within_matrix(sample, own)

    by = []
    for place in range(len(theta)):
        moved = theta.astype(complex)
        moved[place] += 1j * STEP
        by.append([part.imag / STEP for part in moments(moved)])
    sigma, _, within = moments(theta)
    total = np.zeros((len(theta),) * 2)
    slopes = [list(dense.matrices(s, w)) for s, _, w in by]
    for j, ((_, variable, _), covariance) in enumerate(zip(dense.units, dense.matrices(sigma, within), strict=True)):
        inverse = np.linalg.inv(covariance)
        pushed = np.array([inverse @ own[j] for own in slopes])
        means = np.array([mu[variable] for _, mu, _ in by])
        total += 0.5 * np.einsum("rab,qba->rq", pushed, pushed) + means @ inverse @ means.T
    found = sample.n * objective.expand(theta).information
    np.testing.assert_allclose(found, total, rtol=1e-7, atol=1e-8 * np.abs(total).max())


@pytest.mark.parametrize("within", ["saturated", "model"])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_joint_loglik_is_the_density_of_all_answers(tiny, within, holes):
    model = tiny.model(4)
    frames = without(tiny.frames(16, 4, seed=3, holes=holes, sizes=(3, 7)), 1, "u004")
    sample = tiny.sample(model, tiny.study(model, frames))
    known = solve_between(model, sample)
    found = estimate_jointly(model, sample, known, within == "model", "marker")
    theta, dense = found.solution.found.theta, tiny.dense.of(model, frames)
    sigma, mu = tiny.moments(known.table, model.names, sample.items, theta)
    matrix = within_matrix(sample, [s.within.covariance for s in found.sample.sources])
    assert found.answers == dense.answers
    assert found.n_free == known.table.n_free + (2 * 10 if within == "saturated" else 2 * 8)
    indices, moments, notes = linked_indices(found.sample, found.solution, found)
    assert indices["loglik"] == pytest.approx(dense.loglik(sigma, mu, matrix), rel=EXACT)
    assert indices["aic"] == pytest.approx(-2 * indices["loglik"] + 2 * found.n_free, rel=EXACT)
    assert indices["bic"] == pytest.approx(-2 * indices["loglik"] + np.log(16) * found.n_free, rel=EXACT)
    assert moments is None
    assert len(notes) == 1


def test_joint_optimum_and_errors_by_the_dense_likelihood(tiny):
    model = tiny.model(2)
    frames = tiny.frames(18, 2, seed=11, holes=0.15, sizes=(2, 5))
    sample = tiny.sample(model, tiny.study(model, frames))
    known = solve_between(model, sample)
    found = estimate_jointly(model, sample, known, modelled=False, scaling="marker")
    dense, k, minimum = tiny.dense.of(model, frames), known.table.n_free, found.solution.found
    within = [s.within.covariance for s in found.sample.sources]
    low = ([0, 1, 1], [0, 0, 1])
    theta = np.concatenate([minimum.theta, *(w[low] for w in within)])

    def loglik(values):
        sigma, mu = tiny.moments(known.table, model.names, sample.items, values[:k])
        own = [values[at : at + 3][[[0, 1], [1, 2]]] for at in (k, k + 3)]
        return dense.loglik(sigma, mu, within_matrix(sample, own))

    keep = np.concatenate([np.flatnonzero(~minimum.bound), np.arange(k, len(theta))])
    gradient, hessian = complex_gradient(loglik, theta), np.empty((len(theta),) * 2)
    for place in range(len(theta)):
        move = np.zeros(len(theta))
        move[place] = 1e-5 * max(abs(theta[place]), 0.1)
        slopes = complex_gradient(loglik, theta + move) - complex_gradient(loglik, theta - move)
        hessian[place] = slopes / (2 * move[place])
    se = np.sqrt(np.diag(np.linalg.inv(-hessian[np.ix_(keep, keep)])))
    assert minimum.converged
    assert np.abs(gradient[keep] * se).max() < 1e-4  # at the optimum, in standard errors
    free = int((~minimum.bound).sum())
    own = np.sqrt(np.diag(found.solution.bread.inverse)[~minimum.bound] / sample.n)
    np.testing.assert_allclose(own, se[:free], rtol=3e-4)  # their Hessian is by differences
