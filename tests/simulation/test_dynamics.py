"""Waves: closed form, ramps, lags, caps and sets, each against a loop that does one unit and one wave at a time."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.datasets import make_world
from roxmodel.simulation import dynamics
from roxmodel.simulation.intervention import shares

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
NAMES = ("inf", "pride", "beh", "rev")
WAVES = 5


def construct(name, scale=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])


def model(scales=None, extra=()):
    edges = ["inf -> pride", "inf + pride -> beh", "pride + beh -> rev", *extra]
    return rox.RoxModel(name="m", constructs=[construct(n, (scales or {}).get(n)) for n in NAMES], edges=edges)


def frame(n=40, seed=0, counts=False, binary=False):
    rng = np.random.default_rng(seed)
    inf = np.clip(rng.normal(4.2, 0.5, n), 1, 5)
    pride = np.clip(1.5 + 0.6 * inf + rng.normal(0, 0.4, n), 1, 5)
    beh = 0.3 * inf + 0.5 * pride + rng.normal(0, 0.4, n)
    if binary:
        beh = (beh > np.median(beh)).astype(float)
    rev = (
        rng.poisson(np.exp(0.3 * pride + 0.1 * beh)).astype(float)
        if counts
        else 20 * pride + 10 * beh + rng.normal(0, 5, n)
    )
    return pd.DataFrame({"inf": inf, "pride": pride, "beh": beh, "rev": rev}).assign(u=range(100, 100 + n))


def fitted(m, table):
    return rox.fit(m, rox.Study(m, unit=table, by="u"), method="path")


def response(family, predictor):
    if family == "logit":
        return 1 / (1 + np.exp(-predictor))
    return np.exp(predictor) if family in {"poisson", "negative binomial"} else predictor


def by_hand(fit, actions, draws, seed, horizon=WAVES):
    """(draws, waves, k) mean change over the units: loops over draws, units, waves and constructs."""
    system, levels = fit.system(fit.answer_draws(draws, seed)), fit.population.levels
    levels = np.where(np.isnan(levels), np.nanmean(levels, axis=0), levels)
    capped = np.isin(
        [
            "likert" if c.items[0].scale is not None and c.items[0].scale.kind == "likert" else ""
            for c in fit.model.constructs
        ],
        "likert",
    )
    changes = np.zeros((draws, horizon, len(levels), 4))
    for draw in range(draws):
        for unit, level in enumerate(levels):
            for wave in range(horizon):
                now = changes[draw, wave, unit]
                for place in (NAMES.index(name) for name in fit.model.order()):
                    weights = system.coefficients[draw, place]
                    change = weights @ now
                    family = fit.families[place]
                    if family != "linear":
                        base = system.intercepts[draw, place] + weights @ level
                        change = response(family, base + change) - response(family, base)
                    for lag, lagged in zip(system.lags, system.lagged[draw], strict=True):
                        if wave >= lag:
                            change += lagged[place] @ changes[draw, wave - lag, unit]
                    force = [
                        shares(a, horizon)[wave] * (a.units is None or fit.population.units[unit] in a.units)
                        for a in actions
                    ]
                    for action, share in zip(actions, force, strict=True):
                        to = (action.set or {}).get(NAMES[place])
                        if to is not None:
                            change = share * (to - level[place]) + (1 - share) * change
                    for action, share in zip(actions, force, strict=True):
                        change += share * (action.shift or {}).get(NAMES[place], 0.0)
                    if capped[place]:
                        change = min(max(change, 1 - level[place]), 5 - level[place])
                    now[place] = change
    return changes.mean(axis=2)


ONE_TO_FIVE = {"inf": rox.Likert(1, 5, whole=False), "pride": rox.Likert(1, 5, whole=False)}
LAGGED = [
    rox.Edge(cause="rev", effect="inf", lag=1, fixed=0.005),
    rox.Edge(cause="pride", effect="beh", lag=2, fixed=0.4),
]


def actions(kind):
    return {
        "shift": [rox.Intervention(name="x", shift={"pride": 0.3, "inf": -0.1})],
        "ramp and fade": [rox.Intervention(name="x", shift={"inf": 0.5}, start=2, ramp=1, fade=0.4)],
        "set": [rox.Intervention(name="x", set={"pride": 4.4})],
        "set with ramp": [rox.Intervention(name="x", set={"pride": 4.4}, ramp=2, fade=0.2)],
        "some units": [rox.Intervention(name="x", shift={"inf": 0.3}, units=range(100, 113))],
        "two": [
            rox.Intervention(name="x", shift={"inf": 0.3}, units=range(100, 120), ramp=1),
            rox.Intervention(name="y", set={"beh": 1.0}, units=range(110, 125), start=2),
        ],
        "two sets apart": [
            rox.Intervention(name="x", set={"pride": 4.4}, units=range(100, 110), fade=0.5),
            rox.Intervention(name="y", set={"pride": 3.0}, units=range(110, 125), start=2, ramp=1),
        ],
        "far": [rox.Intervention(name="x", shift={"inf": 1.5, "pride": -2.5}, fade=0.3)],
    }[kind]


KINDS = ("shift", "ramp and fade", "set", "set with ramp", "some units", "two", "two sets apart", "far")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", ["plain", "caps", "lags", "caps and lags", "counts", "yes/no inside"])
def test_every_world_and_action_is_the_loop(kind, world):
    scales = dict(ONE_TO_FIVE) if "caps" in world or world == "counts" else {}
    if world == "counts":
        scales["rev"] = rox.Count()
    if world == "yes/no inside":
        scales["beh"] = rox.Binary()
    extra = LAGGED if "lags" in world else ()
    table = frame(counts=world == "counts", binary=world == "yes/no inside")
    table.loc[3, "inf"] = np.nan
    fit = fitted(model(scales, extra), table)
    run = rox.simulate(fit, actions(kind), horizon=WAVES, draws=6, seed=4)
    np.testing.assert_allclose(run.changes, by_hand(fit, actions(kind), 6, 4), **EXACT)
    if "caps" in world and kind == "far":
        assert any("end of the scale cut" in note for note in run.notes)


def test_a_linear_graph_is_its_closed_form():
    fit = fitted(model(), frame())
    run = rox.simulate(fit, [rox.Intervention(name="x", shift={"inf": 0.2, "beh": 0.1})], horizon=3, draws=200, seed=1)
    total = np.linalg.inv(np.eye(4) - fit.system(fit.answer_draws(200, 1)).coefficients)
    expected = total @ np.array([0.2, 0.0, 0.1, 0.0])
    for wave in range(3):
        np.testing.assert_allclose(run.changes[:, wave], expected, **EXACT)


def test_lagged_edges_without_anything_else_are_a_recursion():
    """x(t) = B x(t) + L x(t-1) + shift: the change converges to (I - B - L)^-1 shift."""
    extra = [rox.Edge(cause="pride", effect="inf", lag=1, fixed=0.3)]
    fit = fitted(model(extra=extra), frame())
    run = rox.simulate(fit, [rox.Intervention(name="x", shift={"inf": 0.1})], horizon=60, draws=3, seed=1)
    within, lagged = fit.system(fit.answer_draws(3, 1)).coefficients, np.zeros((4, 4))
    lagged[0, 1] = 0.3
    long_run = np.linalg.inv(np.eye(4) - within - lagged)[:, :, 0]
    np.testing.assert_allclose(run.changes[:, -1], 0.1 * long_run, rtol=1e-6)
    assert (np.diff(run.changes[:, :, 0], axis=1) > -1e-15).all()


def test_many_units_are_simulated_in_chunks_of_draws(monkeypatch):
    table = frame(n=3000)
    fit = fitted(model(ONE_TO_FIVE), table)
    action = [rox.Intervention(name="x", shift={"pride": 0.4})]
    run = rox.simulate(fit, action, horizon=2, draws=70, seed=1)  # 21 draws a chunk, the last one smaller
    monkeypatch.setattr(dynamics, "_CELLS", 10**9)
    np.testing.assert_allclose(run.changes, rox.simulate(fit, action, horizon=2, draws=70, seed=1).changes, **EXACT)
    note = next(note for note in run.notes if "'pride'" in note and "cut" in note)
    assert f"{(table['pride'] + 0.4 > 5).mean():.1%}" in note


def test_units_that_do_not_move_are_worth_nothing_at_all():
    """Only one unit has a price, and it is left alone: exactly 0, not a rounding with a chance of a loss of 12 %."""
    world = make_world(60, seed=5)
    fit = rox.fit(world.model, world.study())
    name = next(c.name for c in world.model.constructs if c.factor == "outcomes")
    units = list(fit.population.units)
    value = {name: rox.UnitValue(values={units[7]: 100.0}, default=0.0)}
    act = rox.Intervention(name="x", shift={"pride": 0.1}, units=[units[0], *units[20:]])
    row = rox.simulate(fit, [act], value=value, horizon=2, draws=60, seed=1).rox().iloc[0]
    assert row["benefit"] == row["benefit_low"] == row["benefit_high"] == 0.0
