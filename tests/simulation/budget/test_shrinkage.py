"""The posterior of edges: against sampling importance, limits, and units that must not matter."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.simulation.budget.worth import posterior_of, shrunken_edges

B = np.array([0.1, 0.5, -0.2])
ROOT = np.array([[0.2, 0.0, 0.0], [0.05, 0.15, 0.0], [0.0, -0.1, 0.3]])
SHARED = 0.04 + 0.04 * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])


def draws(count=20_000, root=ROOT, seed=1):
    noise = np.random.default_rng(seed).standard_normal((count, 3))
    noise = (noise - noise.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
    return B + noise @ root.T


def by_importance(count=2_000_000):
    """Posterior by weighing draws of the prior, tau half-normal, with the likelihood of the estimate."""
    rng = np.random.default_rng(7)
    tau = np.abs(rng.normal(0, 0.25, count))
    beta = rng.standard_normal((count, 3)) @ np.linalg.cholesky(SHARED + 1e-12 * np.eye(3)).T
    beta += tau[:, None] * rng.standard_normal((count, 3))
    rest = (B - beta) @ np.linalg.inv(ROOT).T
    weight = np.exp(-0.5 * (rest**2).sum(axis=1))
    weight /= weight.sum()
    mean = weight @ beta
    return mean, (beta - mean).T @ ((beta - mean) * weight[:, None]), float(weight @ tau), 1 / (weight**2).sum()


@pytest.mark.slow
def test_mean_and_covariance_are_those_of_the_posterior():
    found = posterior_of(B, draws(), SHARED, seed=3)
    mean, covariance, spread, size = by_importance()
    error = 4 * np.sqrt(np.diag(covariance)) * np.sqrt(1 / size)
    assert (np.abs(found.mean - mean) < error + 0.004).all()  # 0.004: the grid of tau
    assert (np.abs(found.draws.mean(axis=0) - mean) < error + 4 * np.sqrt(np.diag(covariance) / 20_000) + 0.004).all()
    np.testing.assert_allclose(np.cov(found.draws.T), covariance, atol=0.1 * np.diag(covariance).max())
    assert found.spread == pytest.approx(spread, abs=0.02)


def test_what_is_certain_stays_and_what_is_unknown_is_the_prior():
    sure = posterior_of(B, draws(root=1e-6 * ROOT), SHARED, seed=3)
    np.testing.assert_allclose(sure.mean, B, atol=1e-6)
    np.testing.assert_allclose(sure.draws, draws(root=1e-6 * ROOT), atol=1e-4)
    lost = posterior_of(B, draws(root=1e4 * ROOT), SHARED, seed=3)
    np.testing.assert_allclose(lost.mean, 0, atol=1e-3)
    assert (lost.draws.std(axis=0) < 0.6).all()


def test_draws_keep_their_tie_to_those_they_were_made_from():
    given = draws()
    found = posterior_of(B, given, SHARED, seed=3)
    for column in range(3):
        assert np.corrcoef(given[:, column], found.draws[:, column])[0, 1] > 0.3
    again = posterior_of(B, given, SHARED, seed=3)
    assert (again.draws == found.draws).all()


def test_order_does_not_matter():
    turned = posterior_of(B[::-1], draws()[:, ::-1], SHARED[::-1, ::-1], seed=3)
    np.testing.assert_allclose(turned.mean[::-1], posterior_of(B, draws(), SHARED, seed=3).mean, rtol=1e-9)


def test_the_units_of_a_construct_do_not_matter():
    rng = np.random.default_rng(1)
    pride = rng.normal(3.5, 0.4, 60)
    value = 1 + 0.5 * pride + rng.normal(0, 0.4, 60)
    frame = pd.DataFrame({"u": range(60), "pride": pride, "value": value})
    frame["sales"] = 10 * frame["value"] + 5 * frame["pride"] + rng.normal(0, 5, 60)

    def fitted(table):
        factors = {"pride": "pride", "value": "value_drivers", "sales": "outcomes"}
        constructs = [rox.Construct(name=n, factor=f, source="unit", items=[n]) for n, f in factors.items()]
        model = rox.RoxModel(name="m", constructs=constructs, edges=["pride -> value", "pride + value -> sales"])
        return rox.fit(model, rox.Study(model, unit=table, by="u"), method="path")

    def shrunken(fit):
        return shrunken_edges(fit, fit.system(fit.draws(20_000, seed=1), marker=True), seed=1)

    plain, percent = fitted(frame), fitted(frame.assign(pride=25 * (frame["pride"] - 1)))
    one, other = (np.array([row[2:] for row in shrunken(fit).edges]) for fit in (plain, percent))
    for place, unit in enumerate((25, 25, 1)):  # other draws, so equal but for 4 of their errors
        np.testing.assert_allclose(other[place, [0, 2]] * unit, one[place, [0, 2]], rtol=4 * 0.01)
        np.testing.assert_allclose(other[place, [1, 3]] * unit, one[place, [1, 3]], rtol=4 / np.sqrt(2 * 20_000))
    assert (one[:, 3] < one[:, 1]).all()  # more is known than from the data alone


def test_fixed_edges_stay():
    world = rox.datasets.make_world(60, seed=1)
    fixed = rox.Edge(cause="influencers", effect="pride", fixed=0.4)
    edges = [fixed if (e.cause, e.effect) == ("influencers", "pride") else e for e in world.model.edges]
    model = world.model.replace(edges=edges)
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    fit = rox.fit(model, study)
    found = shrunken_edges(fit, fit.system(fit.draws(200, seed=1), marker=True), seed=1)
    assert "influencers -> pride" not in [f"{row[0]} -> {row[1]}" for row in found.edges]
    assert (found.system.coefficients[:, 1, 0] == 0.4).all()


def test_the_mean_of_the_draws_is_the_posterior_mean():
    found = posterior_of(B, draws(500), SHARED, seed=3)
    np.testing.assert_allclose(found.draws.mean(axis=0), found.mean, atol=1e-12)


def test_what_the_data_fix_exactly_stays_exactly():
    given = draws()
    given[:, 1] = 2.0 * given[:, 0]  # one parameter with two faces, such as two edges with one label
    found = posterior_of(np.array([0.1, 0.2, -0.2]), given, SHARED, seed=3)
    np.testing.assert_allclose(found.draws[:, 1], 2.0 * found.draws[:, 0], atol=1e-10)
    assert found.mean[1] == pytest.approx(2.0 * found.mean[0], abs=1e-10)


def test_one_number_alone_is_drawn_to_zero_but_not_beyond():
    found = posterior_of(B[1:2], draws()[:, 1:2], SHARED[1:2, 1:2], seed=3)
    assert 0 < found.mean[0] < B[1]
    assert found.draws.std() < draws()[:, 1].std()


def test_a_prior_of_nothing_leaves_a_number_as_it_is():
    root = np.diag(np.sqrt(np.diag(ROOT @ ROOT.T)))  # errors of their own: nothing is learnt from the others
    free = SHARED + np.diag([0.0, 0.0, 100.0])
    found = posterior_of(B, draws(root=root), free, seed=3)
    assert found.mean[2] == pytest.approx(B[2], abs=0.001 * abs(B[2]) + 0.001)


def test_errors_of_very_different_sizes_do_no_harm():
    root = ROOT * np.array([[1e6], [1.0], [1e-6]])
    found = posterior_of(B, draws(root=root), SHARED, seed=3)
    assert np.isfinite(found.draws).all()
    assert found.mean[2] == pytest.approx(B[2], abs=1e-6)


@pytest.mark.slow
def test_the_best_of_many_is_promised_without_bias_where_the_prior_is_right():
    rng = np.random.default_rng(11)
    shared, noise, size, worlds = np.full((12, 12), 0.0625), 0.25, 12, 400
    errors = noise * rng.standard_normal((2_000, size))
    plain, shrunk = np.empty(worlds), np.empty(worlds)
    for world in range(worlds):
        own = abs(rng.normal(0, 0.25))
        true = rng.normal(0, 0.25) + own * rng.standard_normal(size)
        seen = true + noise * rng.standard_normal(size)
        mean = posterior_of(seen, seen + errors, shared, seed=world).mean
        plain[world] = seen.max() - true[seen.argmax()]
        shrunk[world] = mean.max() - true[mean.argmax()]
    assert plain.mean() > 8 * plain.std() / np.sqrt(worlds)  # the optimiser's curse
    assert abs(shrunk.mean()) < 4 * shrunk.std() / np.sqrt(worlds)


def test_controls_stay_as_they_were_estimated():
    world = rox.datasets.make_world(150, seed=3, scale="continuous", effects={"affluence -> revenue": 8.0})
    fit = rox.fit(world.model, world.study())
    rows = {row[:2]: row for row in shrunken_edges(fit, fit.system(fit.draws(2_000, seed=1), marker=True), 1).edges}
    _, _, estimate, error, shrunken, _ = rows["affluence", "influencers"]
    assert abs(shrunken - estimate) < 0.1 * error
    _, _, estimate, error, shrunken, _ = rows["affluence", "revenue"]  # moves only as far as the drivers beside it do
    assert abs(shrunken - estimate) < 0.5 * error
    assert max(abs(row[4] - row[2]) / row[3] for row in rows.values()) > 0.5


def chain(edges, factors):
    rng = np.random.default_rng(5)
    constructs = [rox.Construct(name=n, factor=f, source="unit", items=[n]) for n, f in factors.items()]
    model = rox.RoxModel(name="m", constructs=constructs, edges=edges)
    frame = pd.DataFrame(rng.standard_normal((40, len(factors))), columns=list(factors)).assign(u=range(40))
    fit = rox.fit(model, rox.Study(model, unit=frame, by="u"), method="path")
    return shrunken_edges(fit, fit.system(fit.draws(2_000, seed=1), marker=True), seed=1)


def test_edges_into_the_last_outcomes_are_a_kind_of_their_own():
    factors = {"a": "pride", "b": "behaviours", "c": "outcomes", "d": "outcomes"}
    edges = ["a -> b", "b -> c", "b + c -> d"]
    plain = {row[:2]: row[4] for row in chain(edges, factors).edges}
    other = {row[:2]: row[4] for row in chain(edges, factors | {"c": "behaviours"}).edges}
    assert plain == other  # only d is last: what c is called changes nothing
    assert plain != {row[:2]: row[4] for row in chain(edges, factors | {"d": "behaviours"}).edges}


def test_a_model_without_outcomes_is_shrunk_as_well():
    found = chain(["a -> b"], {"a": "pride", "b": "behaviours"})
    ((_, _, estimate, _, shrunken, _),) = found.edges
    assert 0 < shrunken / estimate < 1
