"""Feedback: whether it settles, against paths of hundreds of waves; where it settles; what is said of it."""

import os
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.result.levels import complete_levels
from roxmodel.result.system import System
from roxmodel.simulation.actions import Action
from roxmodel.simulation.dynamics import (
    Ground,
    Settling,
    course_of,
    long_run,
    loop_gains,
    require_equilibrium,
    settles,
    spectral_radius,
)
from roxmodel.simulation.question import Request, question_of

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
SETTLED = {"rtol": 1e-6, "atol": 1e-8}  # what 300 waves leave of a loop that settles
MONTE_CARLO = 5.0  # standard errors; seeds are fixed
laws = settings(max_examples=60, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")


# --- the spectral radius


def system_of(within, lagged):
    k = len(within)
    lags, later = tuple(lag for lag, _ in lagged), np.array([matrix for _, matrix in lagged]).reshape(1, -1, k, k)
    return System(tuple("abcdef"[:k]), tuple(range(k)), within[None], None, ("linear",) * k, lags, later)


def path(within, lagged, waves):
    """(waves, k, k) changes after a push of 1 on each construct in the first wave: x(t) = B x(t) + Σ B_l x(t - l)."""
    k = len(within)
    total = np.linalg.inv(np.eye(k) - within)
    found = [total]
    for _ in range(1, waves):
        brought = sum((matrix @ found[-lag] for lag, matrix in lagged if lag <= len(found)), np.zeros((k, k)))
        found.append(total @ brought)
    return np.array(found)


@st.composite
def systems(draw):
    """An acyclic graph within the wave, edges over one, two or three waves in any direction."""
    k, rng = draw(st.integers(1, 4)), np.random.default_rng(draw(st.integers(0, 10_000)))
    within = np.tril(rng.normal(0, 0.7, (k, k)), -1)
    lags = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
    return within, [(lag, rng.normal(0, 0.3, (k, k)) * (rng.random((k, k)) < 0.7)) for lag in sorted(lags)]


@laws
@given(systems())
def test_below_one_every_path_dies_out_and_above_one_it_grows(made):
    """Gelfand: the size of the change after t waves, to the power 1/t, tends to the spectral radius."""
    radius = float(spectral_radius(system_of(*made))[0])
    found = np.abs(path(*made, 500)).max(axis=(1, 2))
    if radius < 0.3:  # too small to be followed for 500 waves
        assert found[-24:].max() < 1e-200
        return
    # the largest of the last waves: with complex or opposite eigenvalues some waves are empty
    reached = np.log(found[-24:].max()) / (499 - 24 + 1 + found[-24:].argmax())
    assert reached == pytest.approx(np.log(radius), abs=0.05)
    if radius < 0.97:
        assert found[-24:].max() < found[:24].max()
    if radius > 1.03:
        assert found[-24:].max() > found[24:48].max()


@laws
@given(systems(), st.integers(0, 1000))
def test_the_unit_of_a_construct_does_not_matter(made, seed):
    """Revenue in euros beside points: scales a million apart."""
    within, lagged = made
    scale = 10.0 ** np.random.default_rng(seed).uniform(-3, 3, len(within))
    turned = system_of(within * scale[:, None] / scale, [(lag, m * scale[:, None] / scale) for lag, m in lagged])
    plain = spectral_radius(system_of(within, lagged))
    np.testing.assert_allclose(spectral_radius(turned), plain, rtol=1e-6, atol=1e-3)


def test_without_a_loop_it_is_zero_however_large_the_effects():
    within = np.zeros((5, 5))
    within[np.tril_indices(5, -1)] = 4e5
    lagged = np.zeros((5, 5))
    lagged[4, 0] = 7e5
    assert spectral_radius(system_of(within, [(2, lagged)]))[0] == 0.0


def test_closed_forms():
    """x -> x after one wave: itself. After l waves: its l-th root. Two constructs: the root of their product."""
    one = np.array([[-0.7]])
    assert spectral_radius(system_of(np.zeros((1, 1)), [(1, one)]))[0] == pytest.approx(0.7, rel=1e-12)
    assert spectral_radius(system_of(np.zeros((1, 1)), [(3, one)]))[0] == pytest.approx(0.7 ** (1 / 3), rel=1e-9)
    forth, back = np.array([[0, 0], [0.8, 0]]), np.array([[0, 0.5], [0, 0]])
    assert spectral_radius(system_of(forth, [(1, back)]))[0] == pytest.approx(0.4, rel=1e-9)
    assert spectral_radius(system_of(np.zeros((2, 2)), [(1, forth + back)]))[0] == pytest.approx(0.4**0.5, rel=1e-9)
    within = forth + back
    assert spectral_radius(system_of(within, []))[0] == pytest.approx(0.4**0.5, rel=1e-9)
    # a loop within the wave multiplies what comes back later: 0.3 / (1 - 0.4)
    self_ = np.diag([0.3, 0.0])
    assert spectral_radius(system_of(within, [(1, self_)]))[0] == pytest.approx(max(0.3 / 0.6, 0.4**0.5), rel=1e-9)


def test_a_loop_that_grows_within_the_wave_is_not_solved():
    within = np.array([[0, 2.0], [0.6, 0]])
    lagged = np.broadcast_to(np.diag([0.1, 0.0]), (2, 1, 2, 2))
    many = System(tuple("ab"), (0, 1), np.stack([within, within / 2]), None, ("linear",) * 2, (1,), lagged)
    found = spectral_radius(many)
    assert found[0] == pytest.approx(1.2**0.5, rel=1e-9)
    assert found[1] < 1


# --- fits with edges over waves

NAMES = ("a", "b", "c", "d")
N = 60


def construct(name, scale=None, factor="outcomes"):
    return rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=scale)])


def frame(noise=0.3, seed=2):
    rng = np.random.default_rng(seed)
    a = rng.normal(3, 0.5, N)
    b = 1 + 0.8 * a + rng.normal(0, noise, N)
    c = 2 + 0.5 * b + rng.normal(0, noise, N)
    return pd.DataFrame({"u": range(N), "a": a, "b": b, "c": c, "d": 0.4 * a + 0.6 * c + rng.normal(0, noise, N)})


def later(cause, effect, lag, fixed):
    return rox.Edge(cause=cause, effect=effect, lag=lag, fixed=fixed)


def fitted(*extra, noise=0.3, scale=None):
    edges = ["a -> b", "b -> c", "a + c -> d", *extra]
    m = rox.RoxModel(name="m", constructs=[construct(name, scale) for name in NAMES], edges=edges)
    return rox.fit(m, rox.Study(m, unit=frame(noise), by="u"), method="path", se="standard")


PLAIN = fitted()
AT = PLAIN.system().coefficients[0]


def act(name="act", **options):
    return rox.Intervention(
        name=name, **({"shift": {"a": 0.4}} if not {"set", "scale", "shift"} & {*options} else {}), **options
    )


def run(fit, *actions, **options):
    return rox.simulate(fit, list(actions) or [act()], **{"horizon": 300, "draws": 20, "seed": 1, **options})


@pytest.mark.parametrize("gain", [0.7, 0.3, -0.6])
def test_a_push_comes_back_as_the_gain_in_every_round(gain):
    """a -> b within the wave, b -> a two waves later: every second wave gain times what it was."""
    fit = fitted(later("b", "a", 2, gain / AT[1, 0]))
    theta = fit.answer_draws(20, 1)
    each = fit.system(theta).coefficients[:, 1, 0] * gain / AT[1, 0]
    found = run(fit, act(fade=1.0), horizon=9).changes[:, :, 0]
    for wave in range(9):
        np.testing.assert_allclose(found[:, wave], 0.4 * each ** (wave // 2) * (wave % 2 == 0), **EXACT)


@pytest.mark.parametrize("gain", [1.0, 1.2, -1.05])
def test_a_loop_that_grows_is_refused_by_name(gain):
    fit = fitted(later("b", "a", 2, gain / AT[1, 0]))
    radius = abs(gain) ** 0.5
    message = (
        r"The feedback loop a -> b -> a has no equilibrium: a push around it grows for ever \(largest eigenvalue "
        rf"{re.escape(f'{radius:.3g}')} in modulus, gain of a round {re.escape(f'{gain:.3g}')}\)\. Allowed: below 1"
    )
    with pytest.raises(SimulationError, match=message):
        run(fit)


def test_of_two_loops_the_stronger_is_named():
    fit = fitted(later("b", "a", 1, 0.2), later("d", "c", 1, 2.0))
    with pytest.raises(SimulationError, match=r"The feedback loop c -> d -> c has no equilibrium"):
        run(fit)


@pytest.mark.parametrize("own", [0.5, -0.9])
def test_a_construct_that_keeps_part_of_itself_is_a_geometric_series(own):
    fit = fitted(later("a", "a", 1, own))
    answer = run(fit, horizon=40)
    expected = 0.4 * (1 - own ** np.arange(1, 41)) / (1 - own)
    np.testing.assert_allclose(answer.changes[:, :, 0], np.broadcast_to(expected, (20, 40)), **EXACT)
    np.testing.assert_allclose(answer.equilibrium()["mean"].iloc[0], 0.4 / (1 - own), **EXACT)
    assert f"Feedback loop a -> a: a push of 1 comes back as {own:.3g} after 1 wave(s)." in answer.notes


@pytest.mark.parametrize("own", [1.0, -1.0, 1.5])
def test_a_construct_that_keeps_all_of_itself_is_refused(own):
    with pytest.raises(SimulationError, match=r"The feedback loop a -> a has no equilibrium"):
        run(fitted(later("a", "a", 1, own)))


def test_the_gain_is_printed_with_its_interval():
    fit = fitted(later("c", "a", 3, 0.3))
    answer = run(fit, draws=400, horizon=2)
    b = fit.system(fit.answer_draws(400, 1)).coefficients
    low, high = np.quantile(b[:, 1, 0] * b[:, 2, 1] * 0.3, [0.025, 0.975])
    gain = AT[1, 0] * AT[2, 1] * 0.3
    note = (
        f"Feedback loop a -> b -> c -> a: a push of 1 comes back as {gain:.3g} (95 %: {low:.3g} to {high:.3g}) after "
        "3 wave(s)."
    )
    assert note in answer.notes
    assert "Assumed, not estimated: c -> a after 3 wave(s) = 0.3." in answer.notes


def test_every_loop_is_printed_also_where_edges_run_beside_each_other():
    """b acts on a after one wave and once more after two; c on itself."""
    fit = fitted(later("b", "a", 1, 0.3), later("b", "a", 2, 0.2), later("c", "c", 1, 0.1))
    found = loop_gains(fit, fit.system())
    gains = {(one.path, one.lag): float(one.gain[0]) for one in found}
    assert gains == {
        (("a", "b", "a"), 1): pytest.approx(0.3 * AT[1, 0]),
        (("a", "b", "a"), 2): pytest.approx(0.2 * AT[1, 0]),
        (("c", "c"), 1): pytest.approx(0.1),
    }
    assert sum("Feedback loop" in note for note in run(fit, horizon=2).notes) == 3
    both = fitted(later("a", "b", 1, 0.5), later("b", "a", 1, 0.3))  # a -> b at once, estimated, and again later
    lags = sorted((one.lag, round(float(one.gain[0]), 9)) for one in loop_gains(both, both.system()))
    assert lags == [(1, round(0.3 * AT[1, 0], 9)), (2, 0.15)]


def test_together_two_loops_may_grow_where_none_does_alone():
    """A push comes back as 0.6 by each: as 1.2 in all."""
    half = 0.6 / AT[1, 0]
    assert settles(fitted(later("b", "a", 1, half)), fitted(later("b", "a", 1, half)).system()).all()
    with pytest.raises(SimulationError, match=r"a -> b -> a has no equilibrium.*gain of a round 0\.6"):
        run(fitted(later("b", "a", 1, half), later("b", "a", 2, half)))
    # and a brake beside it lets a loop settle that would grow alone
    run(fitted(later("b", "a", 1, 2 * half), later("a", "a", 1, -0.8)), horizon=2)


def test_draws_that_grow_are_left_out_and_counted():
    fit = fitted(later("b", "a", 1, 0.93 / AT[1, 0]), noise=0.6)
    fixed = 0.93 / fit.system().coefficients[0, 1, 0]
    fit = fitted(later("b", "a", 1, fixed), noise=0.6)
    gains = fit.system(fit.answer_draws(300, 1)).coefficients[:, 1, 0] * fixed
    lost = int((np.abs(gains) >= 1).sum())
    assert 0 < lost < 150
    with pytest.warns(RoxWarning, match=rf"In {lost} of 300 draws the feedback loop a -> b -> a has no equilibrium"):
        answer = run(fit, draws=300, horizon=3)
    kept = gains[np.abs(gains) < 1]
    np.testing.assert_allclose(answer.changes[:, 1, 0], 0.4 * (1 + kept), **EXACT)


def test_without_a_loop_nothing_is_said_of_one():
    fit = fitted(later("a", "d", 1, 5.0))
    system = fit.system(fit.answer_draws(5, 1))
    assert require_equilibrium(fit, system) == Settling(system)
    assert not any("Feedback" in note for note in run(fit, horizon=2).notes)


# --- curved equations


def curved(kind, back):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 200)
    y = (
        (rng.random(200) < 1 / (1 + np.exp(-3 * x))).astype(float)
        if kind == "yes"
        else rng.poisson(np.exp(1 + 0.5 * x))
    )
    m = rox.RoxModel(
        name="m",
        constructs=[construct("x"), construct("y", rox.Binary() if kind == "yes" else rox.Count())],
        edges=["x -> y", later("y", "x", 1, back)],
    )
    return rox.fit(m, rox.Study(m, unit=pd.DataFrame({"u": range(200), "x": x, "y": y}), by="u"), method="path")


def steepest(fit, theta):
    """Largest slope of y on x over the units, by differences."""
    system, x = fit.system(theta), fit.population.levels[:, 0]
    slopes = []
    for draw in range(len(theta)):
        line = system.intercepts[draw, 1] + system.coefficients[draw, 1, 0] * x
        ends = [
            1 / (1 + np.exp(-(line + h * system.coefficients[draw, 1, 0])))
            if fit.families[1] == "logit"
            else np.exp(line + h * system.coefficients[draw, 1, 0])
            for h in (-1e-6, 1e-6)
        ]
        slopes.append(((ends[1] - ends[0]) / 2e-6).max())
    return np.array(slopes)


@pytest.mark.parametrize(("kind", "back"), [("yes", 0.5), ("count", 0.1)])
def test_a_loop_over_a_curve_carries_its_slope_and_not_its_coefficient(kind, back):
    fit = curved(kind, back)
    gain = steepest(fit, fit.theta[None])[0] * back
    assert abs(gain - fit.theta[fit.table.row("edge:x->y").free - 1] * back) > 0.1
    answer = rox.simulate(fit, [rox.Intervention(name="a", shift={"x": 0.1}, fade=1.0)], horizon=60, draws=30, seed=1)
    note = next(note for note in answer.notes if "Feedback loop" in note)
    assert f"comes back as {gain:.3g} (95 %" in note
    assert "Around curved equations the gain is that of the unit where the curve is steepest." in answer.notes
    assert np.abs(answer.changes[:, -1]).max() < 1e-6
    with pytest.raises(SimulationError, match="linear graphs only, and an equation of this fit is curved"):
        answer.equilibrium()


@pytest.mark.parametrize(("kind", "back"), [("yes", 1.6), ("count", 0.5)])
def test_a_loop_over_a_curve_that_grows_in_some_unit_is_refused(kind, back):
    fit = curved(kind, back)
    gain = steepest(fit, fit.theta[None])[0] * back
    assert gain > 1
    with pytest.raises(SimulationError, match=rf"loop x -> y -> x has no equilibrium.*{re.escape(f'{gain:.3g}')}"):
        rox.simulate(fit, [rox.Intervention(name="a", shift={"x": 0.1})], horizon=3, draws=5, seed=1)


# --- where it settles

LAGS = (later("d", "a", 1, 0.3), later("c", "b", 2, 0.2), later("b", "b", 3, -0.3))
WHERE = {
    "shift": [act()],
    "shift of two": [act(shift={"a": 0.4, "c": -0.2})],
    "late, with a ramp": [act(start=4, ramp=3)],
    "set": [act(set={"b": 4.0})],
    "set of the last": [act(set={"d": 4.0}), act("more", shift={"c": 0.3})],
    "set in some units": [act(set={"b": 4.0}, units=range(7))],
    "scale": [act(scale={"b": 1.1, "c": 0.95})],
    "factors": [act(scale={"b": 1.1}), act("more", scale={"b": 1.2}, units=range(30, 60))],
    "different units": [
        act(set={"b": 4.0}, units=range(25)),
        act("two", shift={"a": 0.3}, units=range(15, 40), ramp=2),
        act("three", scale={"c": 1.1}),
        act("four", set={"a": 2.0}, units=[50, 51], start=3),
    ],
    "by rule": [act(set={"c": 4.0}, units=rox.Lowest(on="c")), act("more", shift={"b": 0.1})],
}


@pytest.mark.parametrize("kind", WHERE)
def test_the_equilibrium_is_where_three_hundred_waves_end(kind):
    fit = fitted(*LAGS)
    answer = run(fit, *WHERE[kind])
    last = answer.changes[:, -1]
    found = answer.equilibrium()
    assert list(found.columns) == ["construct", "mean", "ci_low", "ci_high"]
    assert found["construct"].tolist() == list(NAMES)
    np.testing.assert_allclose(found["mean"], last.mean(axis=0), **SETTLED)
    low, high = np.quantile(last, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found[["ci_low", "ci_high"]], np.stack([low, high], axis=1), **SETTLED)
    each = long_run(answer.question.system, answer.actions, complete_levels(fit, 1))
    np.testing.assert_allclose(each, last, **SETTLED)


def test_fading_is_not_counted():
    fit = fitted(*LAGS)
    faded, kept = run(fit, act(fade=0.3, hold=2), horizon=3), run(fit)
    np.testing.assert_allclose(faded.equilibrium()["mean"], kept.changes[:, -1].mean(axis=0), **SETTLED)


def test_without_lags_it_is_the_first_full_wave():
    answer = run(PLAIN, *WHERE["different units"], horizon=5)
    np.testing.assert_allclose(answer.equilibrium()["mean"], answer.changes[:, -1].mean(axis=0), **EXACT)


def test_ends_of_scales_are_not_counted():
    fit = fitted(later("b", "a", 1, 0.5), scale=rox.Likert(0, 6, whole=False))
    answer = run(fit, act(shift={"a": 2.5}))
    each = fit.system(fit.answer_draws(20, 1)).coefficients
    free = np.linalg.solve(np.eye(4) - each - 0.5 * np.eye(4)[[0]].T * np.eye(4)[[1]], np.array([[2.5], [0], [0], [0]]))
    np.testing.assert_allclose(answer.equilibrium()["mean"], free[:, :, 0].mean(axis=0), **EXACT)
    assert (answer.equilibrium()["mean"] > answer.changes[:, -1].mean(axis=0)).all()


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        ({"set": {"b": 4.0}, "fade": 1.0, "hold": 1}, {"set": {"b": 3.0}, "start": 3}, "both set 'b'"),
        ({"set": {"b": 4.0}, "fade": 1.0}, {"scale": {"b": 1.1}, "start": 2}, "set and scale 'b'"),
    ],
)
def test_what_follows_on_one_another_has_no_equilibrium_together(one, two, why):
    answer = run(PLAIN, act("one", **one), act("two", **two), horizon=5)
    with pytest.raises(SimulationError, match=f"Kept up for ever, 'one' and 'two' {why}.*no equilibrium of both"):
        answer.equilibrium()


def test_without_means_a_shift_has_an_equilibrium_too():
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    edges = ["pride -> sales", later("sales", "pride", 1, 0.4)]
    m = rox.RoxModel(name="paper", constructs=constructs, edges=edges)
    fit = rox.fit(m, rox.Moments.from_correlation(["pride", "sales"], [[1, 0.5], [0.5, 1]], n=200), method="path")
    answer = run(fit, act(shift={"pride": 1.0}))
    slope = fit.system(fit.answer_draws(20, 1)).coefficients[:, 1, 0]
    np.testing.assert_allclose(
        answer.equilibrium()["mean"], [(1 / (1 - 0.4 * slope)).mean(), (slope / (1 - 0.4 * slope)).mean()], **EXACT
    )
    np.testing.assert_allclose(answer.equilibrium()["mean"], answer.changes[:, -1].mean(axis=0), **SETTLED)


def test_in_a_linked_fit_levels_are_those_expected():
    """The waves draw the levels anew in each draw: equal on average, up to their error."""
    world = rox.datasets.make_world(40, seed=6, employees=(8, 12), customers=(8, 12), scale="continuous")
    model = world.model.replace(edges=[*world.model.edges, later("loyalty", "pride", 1, 0.5)])
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    fit = rox.fit(model, study)
    moved = run(fit, act(shift={"pride": 0.2}), draws=60, horizon=80)
    each = long_run(moved.question.system, moved.actions, complete_levels(fit, 1))
    np.testing.assert_allclose(moved.changes[:, -1], each, **SETTLED)
    held = run(fit, act(set={"pride": 4.0}, units=list(fit.population.units[:10])), draws=300, horizon=60)
    each = long_run(held.question.system, held.actions, complete_levels(fit, 1))
    apart = held.changes[:, -1] - each
    assert apart[:, 1].std() > 0.01
    error = apart.std(axis=0) / np.sqrt(300)
    assert (np.abs(apart.mean(axis=0)) <= MONTE_CARLO * error + 1e-8).all()


# --- a loop within the wave, and edges over waves


@pytest.fixture(scope="module")
def within():
    rng = np.random.default_rng(5)
    x, z, *noise = rng.normal(size=(4, 400))
    a, b = np.linalg.inv(np.array([[1, -0.3], [-0.4, 1]])) @ (0.7 * np.stack([x, z]) + 0.4 * np.stack(noise))
    table = pd.DataFrame({"x": x, "z": z, "a": a, "b": b, "y": 0.5 * b + rng.normal(0, 0.4, 400)})

    def made(*extra):
        edges = ["x -> a", "z -> b", "a -> b -> a", "b -> y", *extra]
        constructs = [construct(name) for name in ("x", "z", "a", "b", "y")]
        m = rox.RoxModel(name="loop", constructs=constructs, edges=edges, feedback=True)
        return rox.fit(m, table, method="sem")

    return made


def test_a_loop_within_the_wave_and_one_over_waves_are_both_named(within):
    fit = within(later("y", "a", 1, 0.6))
    at = fit.system(marker=True).coefficients[0]
    place = {name: i for i, name in enumerate(fit.model.names)}
    inner = at[place["a"], place["b"]] * at[place["b"], place["a"]]
    outer = at[place["b"], place["a"]] * at[place["y"], place["b"]] * 0.6
    answer = run(fit, draws=100)
    notes = [note for note in answer.notes if "Feedback loop" in note]
    assert any(
        f"a -> b -> a: a push of 1 comes back as {inner:.3g} " in note and "within the wave" in note for note in notes
    )
    assert any(f"a -> b -> y -> a: a push of 1 comes back as {outer:.3g} " in note for note in notes)
    each = fit.system(fit.answer_draws(100, 1), marker=True)
    change = np.zeros((300, 100, 5))
    total = np.linalg.inv(np.eye(5) - each.coefficients)
    for wave in range(300):
        brought = np.zeros((100, 5))
        brought[:, place["a"]] = 0.4 + (0.6 * change[wave - 1, :, place["y"]] if wave else 0.0)
        change[wave] = (total @ brought[:, :, None])[:, :, 0]
    np.testing.assert_allclose(answer.changes, np.swapaxes(change, 0, 1), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(answer.equilibrium()["mean"], change[-1].mean(axis=0), **SETTLED)
    radius = spectral_radius(fit.system(marker=True))[0]
    later_gain = outer / (1 - inner)  # what comes back after a wave, the loop within settled
    assert radius == pytest.approx(max(abs(later_gain), abs(inner) ** 0.5), rel=1e-6)


def test_over_waves_it_may_grow_though_it_settles_within(within):
    fit = within(later("y", "a", 1, 5.0))
    with pytest.raises(SimulationError, match=r"The feedback loop a -> b -> y -> a has no equilibrium"):
        run(fit, horizon=2)


def test_setting_a_construct_of_both_loops_cuts_both(within):
    fit = within(later("y", "a", 1, 0.6))
    answer = run(fit, act(set={"b": 1.0}), act("more", shift={"x": 0.5}), draws=50)
    np.testing.assert_allclose(answer.equilibrium()["mean"], answer.changes[:, -1].mean(axis=0), **SETTLED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        [act(set={"a": 0.5}, units=rox.Lowest(on="a"), ramp=2)],
        [act(scale={"b": 1.3})],
        [act(scale={"a": 0.8}, units=rox.Highest(on="y", share=0.4)), act("more", shift={"b": 0.3}, ramp=1)],
        [act(set={"b": -0.2}, units=rox.Below(on="b", level=0.0)), act("more", scale={"a": 1.1}, shift={"z": 0.1})],
    ],
    ids=["set in part", "scale", "scale in part", "set and scale"],
)
def test_around_a_loop_settings_and_factors_settle_where_steps_lead(within, kind):
    """Every unit by itself: each construct takes what its causes had a moment ago, until nothing moves."""
    fit = within(later("y", "a", 1, 0.3))
    answer = run(fit, *kind, draws=4, horizon=6)
    names, levels = list(fit.model.names), complete_levels(fit, 1)
    system = answer.question.system
    expected = np.zeros((6, 4, len(levels), 5))
    for wave in range(6):
        carried = np.zeros((4, len(levels), 5))
        if wave:
            carried[:, :, names.index("a")] = 0.3 * expected[wave - 1, :, :, names.index("y")]
        change = np.zeros((4, len(levels), 5))
        for _ in range(200):
            new = np.einsum("dec,duc->due", system.coefficients, change) + carried
            for one, read in zip(kind, answer.actions, strict=True):
                force = min((wave + 1) / (one.ramp + 1), 1.0) * np.broadcast_to(read.covers, len(levels))
                for name, level in (one.set or {}).items():
                    place = names.index(name)
                    new[:, :, place] = force * (level - levels[:, place]) + (1 - force) * new[:, :, place]
            for one, read in zip(kind, answer.actions, strict=True):
                force = min((wave + 1) / (one.ramp + 1), 1.0) * np.broadcast_to(read.covers, len(levels))
                for name, points in (one.shift or {}).items():
                    new[:, :, names.index(name)] += force * points
                for name, factor in (one.scale or {}).items():
                    new[:, :, names.index(name)] += force * (factor - 1) * levels[:, names.index(name)]
            change = new
        expected[wave] = change
    np.testing.assert_allclose(np.swapaxes(answer.changes, 0, 1), expected.mean(axis=2), rtol=1e-8, atol=1e-10)
    settled = run(fit, *kind, draws=4)
    np.testing.assert_allclose(settled.equilibrium()["mean"], settled.changes[:, -1].mean(axis=0), **SETTLED)


def test_in_few_draws_only_it_is_refused():
    fit = fitted(later("b", "a", 1, 0.5))
    system = fit.system(fit.answer_draws(100, 1))
    coefficients = system.coefficients.copy()
    coefficients[:70, 1, 0] = 3.0
    wild = System(**{name: getattr(system, name) for name in system.__slots__} | {"coefficients": coefficients})
    with pytest.raises(SimulationError, match=r"loop a -> b -> a has an equilibrium in 30% of the draws only"):
        require_equilibrium(fit, wild)


def test_a_question_holds_the_draws_that_settle():
    fit = fitted(later("b", "a", 1, 0.5))
    question = question_of(fit, [act()], Request(3, 50, 1, None))
    assert len(question.system.coefficients) == 50
    assert question.lost == ()
    assert len(question.loops) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoxWarning)
        run(fit, act(shift={"a": 0.01}), horizon=2)


def test_a_lag_too_long_to_follow_round_a_loop_is_refused():
    system = System(
        names=("a", "b"),
        order=(0, 1),
        coefficients=np.zeros((3, 2, 2)),
        intercepts=None,
        families=("linear", "linear"),
        lags=(900_000,),
        lagged=np.broadcast_to(np.array([[0.0, 0.5], [0.5, 0.0]]), (3, 1, 2, 2)),
    )
    with pytest.raises(SimulationError, match=r"900,000 waves later.*Allowed: a lag of up to 1,000 waves"):
        spectral_radius(system)


def test_draws_are_followed_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    lagged = np.broadcast_to(rng.uniform(-0.5, 0.5, (2, 2)), (40, 1, 2, 2))
    system = System(
        names=("a", "b"),
        order=(0, 1),
        coefficients=rng.uniform(-0.5, 0.5, (40, 2, 2)),
        intercepts=None,
        families=("linear", "linear"),
        lags=(2,),
        lagged=lagged,
    )
    whole = spectral_radius(system)
    monkeypatch.setattr("roxmodel.simulation.dynamics._COMPANIONS", 50)
    np.testing.assert_array_equal(spectral_radius(system), whole)


# --- lags that differ from draw to draw


def drawn_lags(draws=6):
    """An acyclic graph within the wave and edges over one and three waves, all of them drawn."""
    rng = np.random.default_rng(7)
    within = np.tril(rng.normal(0, 0.5, (draws, 3, 3)), -1)
    lagged = rng.normal(0, 0.2, (draws, 2, 3, 3)) * (rng.random((2, 3, 3)) < 0.6)
    return System(tuple("abc"), (0, 1, 2), within, None, ("linear",) * 3, (1, 3), lagged)


def one_action(horizon):
    return Action("push", {0: 0.5}, {}, {}, np.linspace(0.2, 1.0, horizon), np.ones(1), {}, 1)


def test_each_draw_of_a_lag_goes_its_own_way():
    """Draws together are each draw alone, and that is the recursion over waves written down."""
    system, horizon = drawn_lags(), 7
    ground = Ground(None, np.full(3, -np.inf), np.full(3, np.inf))
    found = course_of(system, [one_action(horizon)], ground, horizon).changes
    assert (np.ptp(found[:, -1, 1:], axis=0) > 1e-3).all()
    for draw in range(len(system.coefficients)):
        alone = system.only(slice(draw, draw + 1))
        np.testing.assert_array_equal(found[draw], course_of(alone, [one_action(horizon)], ground, horizon).changes[0])
        total, changes = np.linalg.inv(np.eye(3) - system.coefficients[draw]), []
        for wave in range(horizon):
            push = np.array([0.5, 0.0, 0.0]) * one_action(horizon).share[wave]
            for lag, matrix in zip(system.lags, system.lagged[draw], strict=True):
                push = push + (matrix @ changes[wave - lag] if wave >= lag else 0.0)
            changes.append(total @ push)
        np.testing.assert_allclose(found[draw], changes, **EXACT)


def test_each_draw_of_a_lag_settles_by_itself_and_where_it_does():
    system = drawn_lags()
    radius, settled = spectral_radius(system), long_run(system, [one_action(1)], None)
    for draw in range(len(radius)):
        alone = system.only(np.arange(len(radius)) == draw)
        assert spectral_radius(alone)[0] == radius[draw]
        inner = np.eye(3) - system.coefficients[draw] - system.lagged[draw].sum(axis=0)
        np.testing.assert_allclose(settled[draw], np.linalg.solve(inner, [0.5, 0.0, 0.0]), **EXACT)
        if radius[draw] < 1:
            far = path(system.coefficients[draw], [*zip(system.lags, system.lagged[draw], strict=True)], 300)
            np.testing.assert_allclose(far.sum(axis=0)[:, 0] * 0.5, settled[draw], **SETTLED)


@pytest.mark.slow
def test_loops_are_told_in_one_order_whatever_a_set_says():
    """Sets of names have another order in every process, and so had the sentences about loops."""
    ask = (
        "import warnings, roxmodel as rox; warnings.simplefilter('ignore');"
        "w = rox.datasets.make_world(40, seed=1); more = [rox.Edge(cause='loyalty', effect='pride', lag=1, fixed=0.1),"
        " rox.Edge(cause='value', effect='behaviours', lag=2, fixed=0.1)];"
        "m = w.model.replace(edges=[*w.model.edges, *more]); f = rox.fit(m, w.study(), method='path');"
        "print(rox.simulate(f, rox.Intervention(name='x', shift={'pride': 0.1}), draws=5, seed=1).notes)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", ask], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(told) == 1
