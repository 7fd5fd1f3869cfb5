"""Levels of the units, known with error or not: draws of them, actions on them unit by unit, what is read off them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.estimate.latent.latent_fit import lower_roots
from roxmodel.result.levels import UnitLevels, complete_levels, joint_of, unit_levels
from roxmodel.simulation import dynamics
from roxmodel.simulation.actions import read_actions
from roxmodel.simulation.intervention import shares
from roxmodel.simulation.question import Request, question_of

EXACT = {"rtol": 1e-9, "atol": 1e-10}  # algebra in double precision
MONTE_CARLO = 5.0  # standard errors of a mean: one false alarm in two million comparisons, and seeds are fixed
WAVES, DRAWS = 4, 6
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(40, seed=6, employees=(6, 12), customers=(6, 12), without_customers=0.1)


@pytest.fixture(scope="module")
def model(world):
    """With edges over waves, so that what was done comes back."""
    later = [
        rox.Edge(cause="revenue", effect="pride", lag=1, fixed=0.002),
        rox.Edge(cause="loyalty", effect="behaviours", lag=2, fixed=0.3),
    ]
    return world.model.replace(edges=[*world.model.edges, *later])


@pytest.fixture(scope="module")
def fits(world, model):
    unit = world.unit.copy()
    unit.loc[:2, "revenue"] = np.nan
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=unit, by="branch")
    return {"linked": rox.fit(model, study), "path": rox.fit(model, study, method="path")}


# --- draws


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 1000), st.sampled_from([1.0, 1e-4, 1e4]))
def test_lower_roots_are_roots_also_of_singular_matrices(size, rank, seed, far):
    """Some rows a million times as large as others, as revenue is beside points."""
    rng = np.random.default_rng(seed)
    scale = far ** rng.integers(0, 2, size)
    parts = rng.normal(size=(4, size, min(rank, size))) * scale[:, None]
    covariance = parts @ np.swapaxes(parts, 1, 2)
    roots = lower_roots(covariance)
    assert not np.triu(roots, 1).any()
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    bound = 1e-4 * sd[:, :, None] * sd[:, None, :] + 1e-300  # what is left below 1e-10 of a variance counts as nothing
    assert (np.abs(roots @ np.swapaxes(roots, 1, 2) - covariance) <= bound).all()


def test_draws_have_the_mean_and_covariance_of_what_is_known():
    rng = np.random.default_rng(1)
    draws, mean = 20_000, rng.normal(3, 1, (4, 3))
    roots = np.tril(rng.normal(size=(4, 3, 3)))
    roots[1, 2] = 0.0  # known
    roots[2] = 0.0
    found = UnitLevels(mean, roots, 7).drawn(0, draws, (0, 1, 2))
    covariance = roots @ np.swapaxes(roots, 1, 2)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert (np.abs(found.mean(axis=0) - mean) <= MONTE_CARLO * sd / np.sqrt(draws) + 1e-9).all()
    for unit in range(4):
        # the variance of a product of two normals is at most twice the product of their variances
        bound = MONTE_CARLO * np.sqrt(2 / draws) * np.outer(sd[unit], sd[unit]) + 1e-9
        assert (np.abs(np.cov(found[:, unit].T) - covariance[unit]) <= bound).all()
    assert (found[:, 1, 2] == mean[1, 2]).all()
    assert (found[:, 2] == mean[2]).all()
    apart = np.corrcoef(found[:, 0, 0], found[:, 3, 0])[0, 1]
    assert abs(apart) <= MONTE_CARLO / np.sqrt(draws)


def test_parts_of_the_draws_and_of_the_constructs_do_not_matter():
    rng = np.random.default_rng(2)
    levels = UnitLevels(rng.normal(size=(5, 4)), np.tril(rng.normal(size=(5, 4, 4))), 3)
    whole = levels.drawn(0, 12, (0, 1, 2, 3))
    np.testing.assert_array_equal(levels.drawn(4, 9, (0, 1, 2, 3)), whole[4:9])
    some = levels.drawn(0, 12, (1, 3))
    np.testing.assert_array_equal(some[:, :, [1, 3]], whole[:, :, [1, 3]])
    np.testing.assert_array_equal(some[:, :, [0, 2]], np.broadcast_to(levels.mean[:, [0, 2]], (12, 5, 2)))
    np.testing.assert_array_equal(levels.drawn(0, 3, ()), levels.mean)
    assert (UnitLevels(levels.mean, levels.roots, 4).drawn(0, 12, (0, 1, 2, 3)) != whole).any()
    known = UnitLevels(levels.mean, None, 3)
    np.testing.assert_array_equal(known.drawn(2, 9, (0,)), levels.mean)


def test_a_linked_fit_draws_what_it_predicts_and_how_sure_it_is(fits):
    fit, draws = fits["linked"], 4_000
    levels = unit_levels(fit, 5)
    scores = fit.unit_scores()
    names = list(fit.model.names)
    np.testing.assert_allclose(levels.mean, scores[names].to_numpy(), **EXACT)
    sd = scores[[f"{name}_se" for name in names]].to_numpy()
    covariance = levels.roots @ np.swapaxes(levels.roots, 1, 2)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), sd, rtol=1e-6, atol=1e-9)
    found = levels.drawn(0, draws, tuple(range(len(names))))
    assert (np.abs(found.mean(axis=0) - levels.mean) <= MONTE_CARLO * sd / np.sqrt(draws) + 1e-9).all()
    spread = np.einsum("dua,dub->uab", found - levels.mean, found - levels.mean) / draws
    bound = MONTE_CARLO * np.sqrt(2 / draws) * sd[:, :, None] * sd[:, None, :] + 1e-9
    assert (np.abs(spread - covariance) <= bound).all()


def test_a_unit_figure_observed_without_error_does_not_move(fits):
    fit = fits["linked"]
    found = unit_levels(fit, 5).drawn(0, 50, tuple(range(7)))
    for name in ("revenue", "affluence"):
        column = found[:, :, fit.model.names.index(name)]
        moved = np.ptp(column, axis=0) > 0
        unseen = (
            fit.unit_scores()["predicted"].str.contains(name).to_numpy() if name == "revenue" else np.zeros(40, bool)
        )
        assert unseen.sum() == (3 if name == "revenue" else 0)
        np.testing.assert_array_equal(moved, unseen)


def test_a_path_fit_takes_scores_as_known_and_holes_at_the_mean(fits):
    people = fits["path"].population
    levels = unit_levels(fits["path"], 5)
    assert levels.roots is None
    assert np.isnan(people.levels).any()
    np.testing.assert_array_equal(levels.mean, np.where(np.isnan(people.levels), people.mean, people.levels))


def test_levels_without_units_have_the_mean_of_the_fit(fits, tmp_path):
    fit = rox.load(fits["path"].save(tmp_path / "f.json"))
    found = complete_levels(fit, 3)
    assert found.shape == (40, 7)
    np.testing.assert_allclose(found.mean(axis=0), fit.population.mean, rtol=1e-12)
    sd = np.sqrt(np.diag(fit.population.covariance))
    # a sample variance of 40 normals: relative error sqrt(2 / 39)
    np.testing.assert_allclose(found.std(axis=0, ddof=1), sd, rtol=MONTE_CARLO * np.sqrt(2 / 39) / 2)


def test_one_unit_alone():
    rng = np.random.default_rng(4)
    levels = UnitLevels(rng.normal(size=(5, 2)), np.tril(rng.normal(size=(5, 2, 2))), 3)
    one = levels.of(3)
    np.testing.assert_array_equal(one.mean, levels.mean[[3]])
    np.testing.assert_array_equal(one.roots, levels.roots[[3]])
    assert UnitLevels(levels.mean, None, 3).of(1).roots is None


# --- unit by unit


def standing(fit, levels):
    """(draws, units, k) levels that ratings are held by: their mean and spread are uncertain as the draws say.

    Scores of units by method "path" are taken as known.
    """
    if fit.method == "path":
        return levels
    drawn = joint_of(fit, fit.answer_draws(DRAWS, 3), 3)
    at, centre = joint_of(fit, fit.theta[None], 3), fit.population.mean
    wider = (drawn.spread / at.spread)[:, None]
    return centre + (drawn.mean - at.mean)[:, None] + wider * (levels - centre)


def by_hand(fit, actions, levels):
    """Changes (draws, waves, units, k) and cut cells (k,): loops over draws, units, waves, constructs."""
    names, units = list(fit.model.names), fit.population.units
    system = fit.system(fit.answer_draws(DRAWS, 3), marker=True)
    scaled = [c.items[0].scale is not None and c.items[0].scale.kind == "likert" for c in fit.model.constructs]
    stands = standing(fit, levels)
    changes, cut = np.zeros((DRAWS, WAVES, len(units), 7)), np.zeros(7)
    for draw in range(DRAWS):
        for wave in range(WAVES):
            for u, unit in enumerate(units):
                force = [shares(a, WAVES)[wave] * (a.units is None or unit in a.units) for a in actions]
                now = changes[draw, wave, u]
                for place in (names.index(name) for name in fit.model.order()):
                    level, change = levels[draw, u, place], system.coefficients[draw, place] @ now
                    for lag, lagged in zip(system.lags, system.lagged[draw], strict=True):
                        if wave >= lag:
                            change += lagged[place] @ changes[draw, wave - lag, u]
                    for action, share in zip(actions, force, strict=True):
                        to = (action.set or {}).get(names[place])
                        if to is not None:
                            change = share * (to - level) + (1 - share) * change
                    factor = 1.0
                    for action, share in zip(actions, force, strict=True):
                        change += share * (action.shift or {}).get(names[place], 0.0)
                        factor *= 1 + share * ((action.scale or {}).get(names[place], 1.0) - 1)
                    change += (factor - 1) * level
                    if scaled[place]:  # a level that is set is set from where the unit is taken to stand
                        is_set = any(names[place] in (a.set or {}) and shares(a, WAVES)[wave] for a in actions)
                        at = level if is_set else stands[draw, u, place]
                        held = min(max(change, min(1 - at, 0)), max(5 - at, 0))
                        cut[place] += held != change
                        change = held
                    now[place] = change
    return changes, cut / (DRAWS * WAVES * len(units))


def drawn(fit, seed=3):
    levels = unit_levels(fit, seed).drawn(0, DRAWS, tuple(range(7)))
    return np.broadcast_to(levels, (DRAWS, *levels.shape[-2:]))


def course(fit, actions, seed=3, draws=DRAWS, **finance):
    money = rox.Finance(**finance) if finance else None
    question = question_of(fit, actions, Request(WAVES, draws, seed, money))
    read, _ = read_actions(fit, actions, WAVES, question.units, seed)
    return question, question.course(read, question.ground(read))


def act(name="act", **options):
    return rox.Intervention(name=name, **options)


NORTH, SOUTH = [f"B{i:03d}" for i in range(1, 16)], [f"B{i:03d}" for i in range(11, 31)]
ACTIONS = {
    "shift up to the end": [act(shift={"pride": 1.4}, fade=0.4)],
    "set with ramp": [act(set={"behaviours": 4.9}, ramp=2)],
    "set in some units": [act(set={"value": 4.2}, units=NORTH, start=2, ramp=1, hold=1, fade=0.5)],
    "set, and its causes moved": [act(set={"behaviours": 4.0}, units=NORTH), act("more", shift={"pride": 0.8}, ramp=1)],
    "set and shifted": [act(set={"pride": 4.5}, ramp=1), act("more", shift={"pride": 0.7}, units=SOUTH)],
    "scaled": [act(scale={"value": 1.35}, ramp=1), act("more", scale={"value": 1.1}, units=SOUTH)],
    "scaled and shifted": [act(scale={"pride": 0.6}), act("more", shift={"pride": 0.9, "revenue": 5.0}, units=NORTH)],
    "sets one after the other": [
        act(set={"pride": 4.9}, hold=0, fade=1.0),
        act("then", set={"pride": 2.0}, start=2, units=SOUTH, ramp=1),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("method", ["linked", "path"])
def test_every_action_is_the_loop_over_draws_and_units(fits, method, kind):
    """The answer, and the share that the ends of scales cut."""
    fit = fits[method]
    changes, cut = by_hand(fit, ACTIONS[kind], drawn(fit))
    _, found = course(fit, ACTIONS[kind])
    np.testing.assert_allclose(found.changes, changes.mean(axis=2), **EXACT)
    np.testing.assert_allclose(found.capped, cut, **EXACT)
    assert cut.any() or kind not in {"shift up to the end", "set and shifted", "scaled"}


def test_where_levels_are_uncertain_more_is_cut_than_predictions_say(fits):
    """Predictions are drawn together: none of them is near the end that some units have reached."""
    fit, push = fits["linked"], [act(shift={"pride": 0.9})]
    place = fit.model.names.index("pride")
    _, found = course(fit, push, draws=400)
    predicted = (fit.population.levels[:, place] + 0.9 > 5).mean()
    assert predicted == 0
    assert found.capped[place] > 0.0005


# --- what is read off


@pytest.mark.slow
def test_prices_by_unit_are_a_loop_over_the_units(fits):
    for fit in fits.values():
        price = {unit: 100.0 + 7.0 * i**1.5 for i, unit in enumerate(fit.population.units)}
        for actions in (ACTIONS["shift up to the end"], ACTIONS["set in some units"], [act(shift={"revenue": 2.0})]):
            changes, _ = by_hand(fit, actions, drawn(fit))
            run = rox.simulate(fit, actions, horizon=WAVES, draws=DRAWS, seed=3, value={"revenue": price})
            expected = np.zeros((DRAWS, WAVES))
            for u, unit in enumerate(fit.population.units):
                expected += price[unit] * changes[:, :, u, fit.model.names.index("revenue")]
            np.testing.assert_allclose(run.money[-1].gains, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("by_unit", [False, True])
@pytest.mark.parametrize("method", ["linked", "path"])
def test_a_logarithm_is_read_unit_by_unit_at_its_own_level(fits, method, by_unit):
    """exp(level + change) - exp(level), with the level that is drawn in each draw; the linear reading as a check."""
    fit, actions = fits[method], [act(shift={"value": 0.5}, ramp=1), act("b", shift={"loyalty": 0.2}, units=NORTH)]
    units, place = fit.population.units, fit.model.names.index("loyalty")
    price = {unit: 1.0 + i for i, unit in enumerate(units)} if by_unit else dict.fromkeys(units, 2.5)
    value = {"loyalty": rox.LogValue(price=rox.UnitValue(values=price) if by_unit else 2.5)}
    run = rox.simulate(fit, actions, horizon=WAVES, draws=DRAWS, seed=3, value=value)
    levels = drawn(fit)
    changes, _ = by_hand(fit, actions, levels)
    expected = np.zeros((DRAWS, WAVES))
    for u, unit in enumerate(units):
        level = levels[:, None, u, place]
        expected += price[unit] * (np.exp(level + changes[:, :, u, place]) - np.exp(level))
    np.testing.assert_allclose(run.money[-1].gains, expected, rtol=1e-9)
    note = next(note for note in run.notes if "read as a logarithm" in note)
    weight = np.array([price[unit] if by_unit else 1.0 for unit in units])
    real = expected.mean() / len(units) / (1.0 if by_unit else 2.5)
    linear = (np.exp(complete_levels(fit, 3)[:, place]) * weight).mean() * changes[..., place].mean()
    assert f"changes by {real:.4g} a unit and wave" in note
    assert f"would be {linear:.4g}." in note


def test_a_logarithm_of_a_figure_without_error_uses_the_figure():
    rng = np.random.default_rng(1)
    pride = rng.normal(3.5, 0.4, 50)
    sales = 6 + 0.3 * pride + rng.normal(0, 0.3, 50)
    constructs = [
        rox.Construct(name=name, factor=factor, source="unit", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["pride -> sales"])
    fit = rox.fit(m, rox.Study(m, unit=pd.DataFrame({"u": range(50), "pride": pride, "sales": sales}), by="u"))
    run = rox.simulate(fit, [act(shift={"pride": 0.2})], horizon=1, draws=30, seed=1, value={"sales": rox.LogValue()})
    slope = fit.system(fit.answer_draws(30, 1), marker=True).coefficients[:, 1, 0]
    expected = [np.sum(np.exp(sales + 0.2 * b) - np.exp(sales)) for b in slope]
    np.testing.assert_allclose(run.money[0].gains[:, 0], expected, rtol=1e-9)


# --- parts and workers


@pytest.fixture(scope="module")
def looped():
    """A loop within the wave, on scales."""
    rng = np.random.default_rng(5)
    x, z, *noise = rng.normal(size=(4, 300))
    pushes = 0.7 * np.stack([x, z]) + 0.4 * np.stack(noise)
    a, b = np.linalg.inv(np.array([[1, -0.3], [-0.4, 1]])) @ pushes
    table = pd.DataFrame({"x": x, "z": z, "a": np.clip(4 + a, 1, 7), "b": np.clip(4 + b, 1, 7)})
    constructs = [
        rox.Construct(
            name=name,
            factor="outcomes",
            source="unit",
            items=[rox.Item(name=name, scale=rox.Likert(1, 7, whole=False) if name in "ab" else None)],
        )
        for name in "xzab"
    ]
    edges = ["x -> a", "z -> b", "a -> b -> a"]
    m = rox.RoxModel(name="m", constructs=constructs, edges=edges, feedback=True)
    return rox.fit(m, table)


def answers(fit, actions, value):
    run = rox.simulate(fit, actions, horizon=3, draws=53, seed=1, value=value)
    return run.changes, run.money[-1].gains if run.money else None


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ACTIONS, "loop"])
@pytest.mark.parametrize("method", ["linked", "path"])
def test_answers_are_equal_to_the_last_bit_whatever_is_computed_together(fits, looped, monkeypatch, method, kind):
    fit, value = fits[method], None
    actions = ACTIONS.get(kind, [act(shift={"a": 1.5}, ramp=1), act("b", set={"b": 6.5}, start=2)])
    if kind == "loop":
        fit = looped
    else:
        value = {
            "revenue": {unit: 100.0 + 7.3 * i for i, unit in enumerate(fit.population.units)},
            "loyalty": rox.LogValue(),
        }
    changes, gains = answers(fit, actions, value)
    units = 300 if kind == "loop" else 40
    for cells, workers in ((1, 1), (units * 2, 3), (units * 7, 2), (units * 50, 4), (10**9, 1)):
        monkeypatch.setattr(dynamics, "_CELLS", cells)
        monkeypatch.setattr(dynamics, "_WORKERS", workers)
        again, money = answers(fit, actions, value)
        np.testing.assert_array_equal(again, changes)
        if gains is not None:
            np.testing.assert_array_equal(money, gains)
