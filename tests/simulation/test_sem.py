"""What-ifs of latent constructs: points of the first item whatever the scaling, means without intercepts, loops."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.simulation.actions import ends_of
from roxmodel.simulation.dynamics import require_equilibrium

N = 500
SEVEN = rox.Likert(1, 7)


def construct(name, factor, count, scale=None, **options):
    items = [f"{name}{i}" for i in range(1, count + 1)]
    return rox.Construct(name=name, factor=factor, source="customer", items=items, scale=scale, **options)


def chain(scale=None, **options):
    constructs = [
        construct("x", "context", 1),
        construct("pride", "pride", 3, scale),
        construct("value", "value_drivers", 3, scale),
        construct("sales", "outcomes", 1),
    ]
    edges = ["x -> pride", "pride -> value", "pride + value -> sales"]
    lagged = rox.Edge(cause="value", effect="pride", lag=1, fixed=0.2)
    return rox.RoxModel(name="chain", constructs=constructs, edges=[*edges, lagged], **options)


def answers(scale=False, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    pride = 0.6 * x + rng.normal(0, 0.7, N)
    value = 0.5 * pride + rng.normal(0, 0.7, N)
    table = pd.DataFrame({"x1": 2 + x})
    for name, latent in (("pride", pride), ("value", value)):
        for i, loading in enumerate((0.7, 1.2, 0.9), 1):
            table[f"{name}{i}"] = 4 + loading * latent + rng.normal(0, 0.5, N)
    if scale:
        surveys = [name for name in table if name != "x1"]
        table[surveys] = table[surveys].round().clip(1, 7)
    return table.assign(sales1=100 + 3 * value + pride + rng.normal(0, 2, N))


TABLE = answers()
FITS = {
    "marker": rox.fit(chain(), TABLE),
    "standardized": rox.fit(chain(), TABLE, scaling="standardized"),
    "means": rox.fit(chain(), TABLE, means=True),
    "fiml": rox.fit(chain(), TABLE.mask(np.random.default_rng(3).random(TABLE.shape) < 0.05), missing="fiml"),
}


def action(name="act", **options):
    return rox.Intervention(name=name, **{"shift": {"pride": 0.4}, **options})


def run(fit, *actions, **options):
    return rox.simulate(fit, list(actions) or [action()], **{"horizon": 3, "draws": 200, "seed": 1, **options})


def at_the_estimate(fit):
    """Coefficients of one draw, the estimate, in points of the first items."""
    return fit.system(marker=True).coefficients[0]


# --- units


def test_scaling_changes_nothing_but_the_names_of_the_units():
    marker, standardized = FITS["marker"], FITS["standardized"]
    assert not np.allclose(marker.edges()["estimate"], standardized.edges()["estimate"], rtol=0.05)
    np.testing.assert_allclose(at_the_estimate(standardized), at_the_estimate(marker), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(at_the_estimate(marker), marker.system().coefficients[0])


def test_coefficients_are_converted_draw_by_draw():
    fit = FITS["standardized"]
    theta = fit.answer_draws(5, seed=2)
    plain, marker = fit.system(theta), fit.system(theta, marker=True)
    pride, value, sales = (fit.model.names.index(name) for name in ("pride", "value", "sales"))
    loading = {name: theta[:, fit.table.row(f"loading:{name}=~{name}1").free - 1] for name in ("pride", "value")}
    np.testing.assert_allclose(
        marker.coefficients[:, value, pride],
        plain.coefficients[:, value, pride] * loading["value"] / loading["pride"],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        marker.coefficients[:, sales, value], plain.coefficients[:, sales, value] / loading["value"], rtol=1e-12
    )
    assert (marker.lagged[:, 0, pride, value] == 0.2).all()
    np.testing.assert_array_equal(marker.lagged, plain.lagged)
    assert marker.intercepts is None


def test_a_shift_of_both_scalings_arrives_alike():
    """Draws of loadings bend the draws of the standardised scaling, so that means differ by sampling error only."""
    changes = [run(FITS[name], draws=4_000).changes for name in ("marker", "standardized")]
    for wave in range(3):
        means = [found[:, wave].mean(axis=0) for found in changes]
        error = np.hypot(*(found[:, wave].std(axis=0) / np.sqrt(4_000) for found in changes))
        np.testing.assert_allclose(means[0], means[1], atol=float(5 * error.max()) + 0.01)


@pytest.mark.parametrize("name", FITS)
def test_a_shift_is_the_total_effect_of_the_draws(name):
    fit = FITS[name]
    coefficients = fit.system(fit.answer_draws(200, seed=1), marker=True).coefficients
    total = np.linalg.inv(np.eye(4) - coefficients)
    pride = fit.model.names.index("pride")
    np.testing.assert_allclose(run(fit).changes[:, 0], 0.4 * total[:, :, pride], rtol=1e-9, atol=1e-12)


def test_lagged_edges_act_in_points_of_the_first_item():
    fit = FITS["standardized"]
    changes = run(fit, draws=20).changes
    pride, value = (fit.model.names.index(name) for name in ("pride", "value"))
    np.testing.assert_allclose(changes[:, 1, pride], 0.4 + 0.2 * changes[:, 0, value], rtol=1e-9)


def test_an_item_as_a_lever_moves_its_share_of_the_loadings():
    for name in ("marker", "standardized"):
        fit = FITS[name]
        rows = fit.parameters().set_index("id")["estimate"]
        loadings = np.array([rows[f"loading:pride=~pride{i}"] for i in (1, 2, 3)])
        answer = run(fit, action(shift={"pride2": 0.9}))
        expected = 0.9 * loadings[0] / loadings.sum()
        np.testing.assert_allclose(answer.changes[:, 0, 1], expected, rtol=1e-9)
        assert any("points of 'pride1' for 'pride' (assumed, not estimated)" in note for note in answer.notes)


# --- levels


@pytest.mark.parametrize("name", FITS)
def test_a_level_is_set_from_the_mean_of_the_first_item(name):
    """With or without a mean structure."""
    fit = FITS[name]
    mean = fit.population.mean[1]
    np.testing.assert_allclose(mean, TABLE["pride1"].mean(), atol=0.05)
    answer = run(fit, action(shift={"x": 1.0}), action("hold", shift=None, set={"pride": 4.5}))
    np.testing.assert_allclose(answer.changes[:, 0, 1], 4.5 - mean, rtol=1e-9)


def test_beyond_what_was_observed_it_warns():
    fit = FITS["standardized"]
    high = float(fit.population.high[1])
    with pytest.warns(RoxWarning, match="beyond what was observed"):
        run(fit, action(shift={"pride": high - float(fit.population.mean[1]) + 0.1}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(fit, action(shift={"pride": 0.5}))


@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_ends_are_those_of_the_first_item(scaling):
    constructs = list(chain(SEVEN).constructs)
    items = [rox.Item(name=f"value{i}", scale=rox.Likert(1, 7 + 10 * (i > 1))) for i in (1, 2, 3)]
    constructs[2] = constructs[2].replace(items=items)
    fit = rox.fit(chain(SEVEN).replace(constructs=constructs), answers(scale=True), scaling=scaling)
    assert ends_of(fit, fit.model.find("value")) == (1, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        answer = run(fit, action(shift={"value": 5.0}), action("more", shift={"value": 5.0}), horizon=1)
        assert answer.changes[:, 0, 2].max() <= 7 - fit.population.mean[2] + 0.1
    assert any("end of the scale cut" in note for note in answer.notes)
    assert any("a latent level is not observed" in note for note in answer.notes)
    with pytest.raises(SimulationError, match="more than its whole scale"):
        run(fit, action(shift={"value": 6.5}))
    with pytest.raises(SimulationError, match="outside its scale"):
        run(fit, action(shift=None, set={"value": 7.5}))


def test_without_means_levels_are_refused_and_shifts_are_not():
    names = list(TABLE)
    moments = rox.Moments.from_covariance(names, TABLE.cov(), n=N)
    fit = rox.fit(chain(), moments, method="sem")
    assert run(fit).changes[:, 0, 1].tolist() == [0.4] * 200
    with pytest.raises(SimulationError, match="no means"):
        run(fit, action(shift=None, set={"pride": 4.0}))


# --- money, groups


def test_money_of_persons_says_that_it_is_theirs():
    answer = run(FITS["marker"], action(cost=10.0), value={"sales": 2.0}, n_units=40)
    np.testing.assert_allclose(
        answer.money[0].flows.sum(axis=1), 2.0 * 40 * answer.changes[:, :, 3].sum(axis=1), rtol=1e-9
    )
    assert "effects are between persons" in answer.summary()
    assert "between persons" not in run(FITS["marker"]).summary()
    with pytest.raises(SimulationError, match="no units"):
        run(FITS["marker"], value={"sales": 2.0})


def test_a_fit_of_groups_is_asked_group_by_group():
    fit = rox.fit(chain(), TABLE.assign(site=np.where(np.arange(N) % 2, "north", "south")), group="site")
    first = fit.groups[0].name
    with pytest.raises(SimulationError, match=rf"2 groups.*simulate\(fit\.group\('{first}'\)"):
        run(fit)
    one = fit.group(first)
    total = np.linalg.inv(np.eye(4) - at_the_estimate(one))
    np.testing.assert_allclose(run(one, draws=2_000).changes[:, 0].mean(axis=0), 0.4 * total[:, 1], atol=0.05)


# --- feedback


def loop_frame(forth=0.4, back=0.3, n=N, noise=0.4):
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, n))
    effects = np.linalg.inv(np.array([[1, -back], [-forth, 1]]))
    a, b = effects @ np.stack([0.7 * x + noise * rng.normal(size=n), 0.7 * z + noise * rng.normal(size=n)])
    frame = pd.DataFrame({"x1": x, "z1": z, "y1": 0.5 * b + rng.normal(0, 0.4, n)})
    for i, loading in enumerate((0.8, 1.2), 1):
        frame[f"a{i}"] = 4 + loading * a + rng.normal(0, 0.3, n)
        frame[f"b{i}"] = 4 + loading * b + rng.normal(0, 0.3, n)
    return frame


def loop_model(scale=None):
    constructs = [
        construct("x", "context", 1),
        construct("z", "context", 1),
        construct("a", "pride", 2, scale),
        construct("b", "value_drivers", 2, scale),
        construct("y", "outcomes", 1),
    ]
    edges = ["x -> a", "z -> b", "a -> b -> a", "b -> y"]
    return rox.RoxModel(name="loop", constructs=constructs, edges=edges, feedback=True)


@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_a_loop_is_answered_at_equilibrium(scaling):
    fit = rox.fit(loop_model(), loop_frame(), scaling=scaling)
    assert fit.admissible
    coefficients = fit.system(fit.answer_draws(200, seed=1), marker=True).coefficients
    changes = run(fit, action(shift={"a": 0.4, "x": 0.2})).changes
    np.testing.assert_allclose(
        changes[:, 0], np.linalg.inv(np.eye(5) - coefficients) @ [0.2, 0, 0.4, 0, 0], rtol=1e-9, atol=1e-12
    )
    expected = np.zeros((200, 5))
    for _ in range(200):
        expected = (coefficients @ expected[:, :, None])[:, :, 0] + [0.2, 0, 0.4, 0, 0]
    np.testing.assert_allclose(changes[:, 1], expected, rtol=1e-9, atol=1e-12)


def test_setting_a_construct_opens_its_loop():
    fit = rox.fit(loop_model(), loop_frame())
    coefficients = fit.system(fit.answer_draws(200, seed=1), marker=True).coefficients
    move = 5.0 - fit.population.mean[2]
    changes = run(fit, action(shift=None, set={"a": 5.0})).changes[:, 0]
    np.testing.assert_allclose(changes[:, 2], move, rtol=1e-9)
    np.testing.assert_allclose(changes[:, 3], coefficients[:, 3, 2] * move, rtol=1e-9)
    np.testing.assert_allclose(changes[:, 4], coefficients[:, 4, 3] * changes[:, 3], rtol=1e-9)


def test_ends_of_scales_hold_a_loop():
    frame = loop_frame()
    surveys = ["a1", "a2", "b1", "b2"]
    frame[surveys] = (frame[surveys]).round().clip(1, 7)
    fit = rox.fit(loop_model(SEVEN), frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoxWarning)
        answer = run(fit, action(shift={"a": 3.0}), horizon=1)
    free = np.linalg.inv(np.eye(5) - fit.system(fit.answer_draws(200, seed=1)).coefficients)[:, :, 2] * 3.0
    assert (answer.changes[:, 0, 2] < free[:, 2]).all()
    assert (answer.changes[:, 0, 3] < free[:, 3]).all()
    assert any("end of the scale cut the change" in note for note in answer.notes)


def test_effects_around_a_loop_are_direct_and_total():
    fit = rox.fit(loop_model(), loop_frame())
    total = np.linalg.inv(np.eye(5) - fit.system().coefficients[0])
    shown = fit.effects("a", "b")
    assert shown["kind"].tolist() == ["direct", "total"]
    assert shown["estimate"].iloc[-1] == pytest.approx(total[3, 2], rel=1e-9)
    far = fit.effects("x", "y")
    assert far["kind"].tolist() == ["total"]
    assert far["estimate"].iloc[0] == pytest.approx(total[4, 0], rel=1e-9)
    beside = fit.effects("b", "y")
    assert beside["estimate"].iloc[-1] == pytest.approx(total[4, 3], rel=1e-9)


def test_standardised_values_are_those_of_the_equilibrium():
    fit = rox.fit(loop_model(), loop_frame())
    rows = fit.parameters().set_index("id")
    effects = np.linalg.inv(np.eye(5) - fit.system().coefficients[0])
    psi = np.diag([rows.loc[f"variance:{name}", "estimate"] for name in fit.model.names])
    psi[0, 1] = psi[1, 0] = rows.loc["covariance:x~~z", "estimate"]
    sd = np.sqrt(np.diag(effects @ psi @ effects.T))
    assert fit.effects("a", "b")["standardized"].iloc[-1] == pytest.approx(effects[3, 2] * sd[2] / sd[3], rel=1e-6)
    assert rows.loc["edge:a->b", "standardized"] == pytest.approx(
        rows.loc["edge:a->b", "estimate"] * sd[2] / sd[3], rel=1e-6
    )


def test_a_loop_that_never_settles_is_inadmissible_and_refused():
    with pytest.warns(RoxWarning, match=r"admissible \(unusable\)"):
        fit = rox.fit(loop_model(), loop_frame(forth=1.5, back=1.2))
    assert fit.doubts[0].edges == ("a -> b", "b -> a")
    assert fit.converged
    assert not fit.admissible
    assert "no equilibrium" in fit.checks().set_index("check").loc["admissible", "reason"]
    with pytest.raises(SimulationError, match=r"loop a -> b -> a has no equilibrium.*in modulus.*below 1"):
        run(fit, action(shift={"a": 0.1}))


def test_draws_that_never_settle_are_left_out_and_counted():
    frame = loop_frame(forth=1.0, back=-0.8, n=150, noise=0.8)  # a brake: cause and effect push against each other
    fit = rox.fit(loop_model(), frame)
    index = np.abs(np.linalg.eigvals(fit.system(fit.answer_draws(400, seed=1)).coefficients)).max(axis=1)
    lost = int((index >= 1).sum())
    assert 0 < lost < 200
    with pytest.warns(RoxWarning, match=rf"In {lost} of 400 draws the feedback loop .* left out"):
        answer = run(fit, action(shift={"a": 0.1}), draws=400)
    assert len(answer.changes) == 400 - lost


def test_a_loop_that_settles_in_few_draws_only_is_refused():
    fit = rox.fit(loop_model(), loop_frame())
    system = fit.system(fit.answer_draws(100, seed=1))
    wild = np.where(np.arange(100) < 70, 5.0, 1.0)[:, None, None] * system.coefficients
    with pytest.raises(SimulationError, match="equilibrium in 30% of the draws only"):
        require_equilibrium(fit, replace(system, coefficients=wild))


def test_a_first_item_that_does_not_load_measures_nothing():
    constructs = list(chain().constructs)
    items = [rox.Item(name=f"pride{i}", loading=None if i > 1 else 0.0) for i in (1, 2, 3)]
    constructs[1] = constructs[1].replace(items=[items[0], items[1].replace(loading=1.0), items[2]])
    fit = rox.fit(chain().replace(constructs=constructs), TABLE)
    with pytest.raises(rox.RoxError, match="'pride1', the first item of 'pride', does not load on it"):
        run(fit)


def test_each_loop_needs_its_own_instruments():
    """With disturbances that may covary; where they do not, one instrument is enough."""
    edges = ["x -> a", "a -> b -> a", "z + b -> y"]
    m = rox.RoxModel(name="one", constructs=loop_model().constructs, edges=edges, feedback=True)
    assert rox.fit(m, loop_frame()).identified
    with pytest.raises(rox.RoxError, match="'a', 'b' cause each other: give each an instrument of its own"):
        rox.fit(m.replace(edges=[*edges, "a <-> b"]), loop_frame())
