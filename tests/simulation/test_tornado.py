"""What the money depends on most: every bar worked out again with one driver moved."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import SimulationError
from roxmodel.simulation.intervention import shares
from roxmodel.simulation.run import base_npv

EXACT = {"rtol": 1e-9, "atol": 1e-6}  # algebra in double precision, in money of thousands
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
HORIZON, UNITS = 4, 40


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(UNITS, seed=6, employees=(8, 12), customers=(8, 12), scale="continuous")


@pytest.fixture(scope="module")
def fits(world):
    later = rox.Edge(cause="revenue", effect="pride", lag=1, fixed=0.002)
    model = world.model.replace(edges=[*world.model.edges, later])
    study = rox.Study(model, employee=world.employee, customer=world.customer, unit=world.unit, by="branch")
    return {
        "path": rox.fit(model, study, method="path"),
        "linked": rox.fit(model, study),
        "standardized": rox.fit(model, study, scaling="standardized"),
        "bootstrap": rox.fit(model, study, method="path", bootstrap=60, seed=1, progress=False),
    }


FINANCE = rox.Finance(
    value={"revenue": rox.NormalValue(mean=1_000.0, sd=150.0), "loyalty": rox.UniformValue(low=0.0, high=8_000.0)},
    discount=0.03,
    timing="start",
)
ACTIONS = [
    rox.Intervention(name="a", shift={"pride": 0.3}, cost=20_000.0, ramp=1),
    rox.Intervention(name="b", shift={"behaviours": 0.2}, cost_per_unit=100.0, running=50.0, fade=0.3, start=2),
]


def run(fit, actions=ACTIONS, **options):
    return rox.simulate(
        fit, list(actions), **{"horizon": HORIZON, "draws": 200, "seed": 1, "finance": FINANCE, **options}
    )


def npv_by_hand(fit, theta, revenue, loyalty, actions=ACTIONS):
    """One row of parameters: the recursion over waves, prices, costs, discounting from the start of each wave."""
    system, names = fit.system(theta[None], marker=True), list(fit.model.names)
    total = np.linalg.inv(np.eye(7) - system.coefficients[0])
    changes, npv = [], 0.0
    for wave in range(HORIZON):
        push = np.zeros(7)
        for action in actions:
            for name, points in action.shift.items():
                push[names.index(name)] += points * shares(action, HORIZON)[wave]
        for lag, lagged in zip(system.lags, system.lagged[0], strict=True):
            if wave >= lag:
                push += lagged @ changes[wave - lag]
        changes.append(total @ push)
        cost = sum(
            (action.cost + action.cost_per_unit * UNITS) * (wave + 1 == action.start)
            + action.running * (wave + 1 >= action.start)
            for action in actions
        )
        benefit = UNITS * (
            revenue * changes[-1][names.index("revenue")] + loyalty * changes[-1][names.index("loyalty")]
        )
        npv += (benefit - cost) / 1.03**wave
    return npv


@pytest.mark.parametrize("kind", ["path", "linked", "standardized", "bootstrap"])
def test_every_bar_is_the_answer_with_one_edge_moved(fits, kind):
    fit = fits[kind]
    table = run(fit).tornado().set_index("driver")
    assert list(table.columns) == ["low", "high", "npv_low", "npv_high", "swing"]
    means = {"revenue": 1_000.0, "loyalty": 4_000.0}
    edges = fit.edges()
    for edge in edges[edges["se"] > 0].to_dict("records"):
        name = f"{edge['cause']} -> {edge['effect']}"
        row = fit.table.row(f"edge:{edge['cause']}->{edge['effect']}")
        ends = []
        for end in (edge["ci_low"], edge["ci_high"]):
            theta = np.array(fit.theta)
            theta[row.free - 1] = end
            ends.append(npv_by_hand(fit, theta, **means))
        if name not in table.index:
            assert ends[0] == pytest.approx(ends[1], rel=1e-9)
            continue
        np.testing.assert_allclose(table.loc[name, ["low", "high"]].astype(float), [edge["ci_low"], edge["ci_high"]])
        np.testing.assert_allclose(table.loc[name, ["npv_low", "npv_high"]].astype(float), ends, **EXACT)
        assert table.loc[name, "swing"] == pytest.approx(abs(ends[1] - ends[0]), rel=1e-9)
    assert "affluence -> revenue" not in table.index
    assert (np.diff(table["swing"]) <= 0).all()


@pytest.mark.parametrize("kind", ["path", "linked"])
def test_an_uncertain_price_stands_at_the_ends_of_its_draws(fits, kind):
    fit = fits[kind]
    answer = run(fit)
    table = answer.tornado().set_index("driver")
    # 5 standard errors of a quantile of 200 draws, sqrt(.025 · .975 / 200) over the density there
    expected = {"revenue": (1_000 - 1.96 * 150, 1_000 + 1.96 * 150, 142.0), "loyalty": (200.0, 7_800.0, 442.0)}
    for name, (low, high, error) in expected.items():
        price = next(one.price for one in answer.question.priced if one.name == name)
        found = table.loc[f"price of {name}", ["low", "high"]].astype(float).to_numpy()
        np.testing.assert_allclose(found, np.quantile(price, [0.025, 0.975]), rtol=1e-12)
        np.testing.assert_allclose(found, [low, high], rtol=0, atol=error)
        for end, column in zip(found, ("npv_low", "npv_high"), strict=True):
            prices = {"revenue": 1_000.0, "loyalty": 4_000.0, name: end}
            assert table.loc[f"price of {name}", column] == pytest.approx(
                npv_by_hand(fit, fit.theta, **prices), rel=1e-9
            )


def test_bars_start_at_the_estimate(fits):
    for fit in fits.values():
        answer = run(fit)
        base = base_npv(answer.question, answer.actions)
        assert base == pytest.approx(npv_by_hand(fit, fit.theta, 1_000.0, 4_000.0), rel=1e-9)


def test_a_certain_price_is_no_driver(fits):
    answer = run(fits["path"], finance=rox.Finance(value={"revenue": 1_000.0}))
    assert not answer.tornado()["driver"].str.startswith("price").any()


def test_the_price_of_a_margin_or_a_logarithm_is_one(fits):
    uncertain = rox.TriangularValue(low=100.0, mode=200.0, high=400.0)
    value = {"revenue": rox.LifetimeValue(uncertain, 0.5), "loyalty": rox.LogValue(uncertain)}
    table = run(fits["path"], finance=rox.Finance(value=value)).tornado()
    assert {"price of revenue", "price of loyalty"} <= set(table["driver"])


def test_prices_by_unit_are_weighed_at_both_ends(fits):
    fit = fits["path"]
    price = {unit: 100.0 * (1 + i % 5) for i, unit in enumerate(fit.population.units)}
    some = [rox.Intervention(name="a", shift={"pride": 0.3}, units=fit.population.units[:7], cost=10.0)]
    table = run(fit, some, finance=rox.Finance(value={"revenue": price})).tornado().set_index("driver")
    share = sum(price[unit] for unit in fit.population.units[:7])
    edge = fit.table.row("edge:pride->behaviours").free - 1
    theta = np.array(fit.theta)
    theta[edge] = table.loc["pride -> behaviours", "high"]
    system = fit.system(theta[None])
    total, changes = np.linalg.inv(np.eye(7) - system.coefficients[0]), []
    for _ in range(HORIZON):
        push = np.eye(7)[1] * 0.3 + (system.lagged[0, 0] @ changes[-1] if changes else 0.0)
        changes.append(total @ push)
    npv = share * sum(change[fit.model.names.index("revenue")] for change in changes) - 10.0
    assert table.loc["pride -> behaviours", "npv_high"] == pytest.approx(npv, rel=1e-9)


def test_levels_are_those_expected_and_ends_of_scales_count():
    """Capped units do not move with the edge; in a linked fit levels stand at what is predicted."""
    world = rox.datasets.make_world(UNITS, seed=6, employees=(8, 12), customers=(8, 12))
    fit = rox.fit(world.model, world.study())
    place, revenue = (fit.model.names.index(name) for name in ("loyalty", "revenue"))
    far = [rox.Intervention(name="far", shift={"loyalty": 2.0}, cost=1.0)]
    table = run(fit, far, horizon=1, finance=rox.Finance(value={"revenue": 10.0})).tornado().set_index("driver")
    moved = np.minimum(2.0, 5 - fit.population.levels[:, place]).sum()
    assert moved < 2.0 * UNITS
    for end in ("low", "high"):
        edge = table.loc["loyalty -> revenue", end]
        assert table.loc["loyalty -> revenue", f"npv_{end}"] == pytest.approx(10.0 * edge * moved - 1.0, rel=1e-9)
    assert revenue == 5


# --- equal parameters, fixed ones, none


def labelled():
    """Two edges held equal, one fixed."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    c = 0.5 * a + 0.5 * b + rng.normal(0, 0.5, 300)
    table = pd.DataFrame({"a": a, "b": b, "c": c, "d": 0.8 * c + rng.normal(0, 0.5, 300)})
    constructs = [rox.Construct(name=name, factor="outcomes", source="unit", items=[name]) for name in "abcd"]
    edges = [
        rox.Edge(cause="a", effect="c", label="same"),
        rox.Edge(cause="b", effect="c", label="same"),
        rox.Edge(cause="a", effect="d", fixed=0.1),
        "c -> d",
    ]
    return rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=edges), table, method="sem")


def test_edges_held_equal_move_together_in_one_bar():
    fit = labelled()
    push = [rox.Intervention(name="x", shift={"a": 1.0, "b": 1.0})]
    table = rox.simulate(fit, push, horizon=1, draws=20, seed=1, value={"d": 1.0}, n_units=1).tornado()
    assert sorted(table["driver"]) == ["a -> c = b -> c", "c -> d"]
    edges = fit.edges().set_index(["cause", "effect"])
    forth = edges.loc[("c", "d"), "estimate"]
    both = table.set_index("driver").loc["a -> c = b -> c"]
    for end in ("low", "high"):
        assert both[end] == pytest.approx(edges.loc[("a", "c"), f"ci_{end}"], rel=1e-12)
        assert both[f"npv_{end}"] == pytest.approx(2 * both[end] * forth + 0.1, rel=1e-9)


def test_what_moves_nothing_is_left_out_and_said_in_the_picture():
    pytest.importorskip("matplotlib")
    fit = labelled()
    own = [rox.Intervention(name="x", shift={"d": 1.0})]
    answer = rox.simulate(fit, own, horizon=1, draws=20, seed=1, value={"d": 1.0}, n_units=1)
    assert answer.tornado().empty
    assert list(answer.tornado().columns) == ["driver", "low", "high", "npv_low", "npv_high", "swing"]
    with pytest.raises(SimulationError, match="Nothing uncertain moves this answer"):
        answer.plot("tornado")


def test_without_any_free_edge_it_is_empty():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=50), "d": rng.normal(size=50)})
    constructs = [rox.Construct(name=name, factor="outcomes", source="unit", items=[name]) for name in "ad"]
    edges = [rox.Edge(cause="a", effect="d", fixed=0.1)]
    fit = rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=edges), table, method="sem")
    push = [rox.Intervention(name="x", shift={"a": 1.0})]
    answer = rox.simulate(fit, push, horizon=1, draws=20, seed=1, value={"d": 1.0}, n_units=1)
    assert answer.tornado().empty
    assert base_npv(answer.question, answer.actions) == pytest.approx(0.1)


def test_without_money_there_is_no_tornado(fits):
    with pytest.raises(SimulationError, match="No value= was given"):
        rox.simulate(fits["path"], ACTIONS, horizon=2, draws=5, seed=1).tornado()


# --- curves and loops


def test_curved_equations_are_simulated_at_each_end():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 200)
    y = rng.poisson(np.exp(1 + 0.3 * x)).astype(float)
    constructs = [
        rox.Construct(name="x", factor="pride", source="unit", items=["x"]),
        rox.Construct(name="y", factor="outcomes", source="unit", items=[rox.Item(name="y", scale=rox.Count())]),
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["x -> y"])
    fit = rox.fit(m, rox.Study(m, unit=pd.DataFrame({"u": range(200), "x": x, "y": y}), by="u"), method="path")
    push = [rox.Intervention(name="a", shift={"x": 0.5}, cost=3.0)]
    table = rox.simulate(fit, push, horizon=1, draws=20, seed=1, value={"y": 2.0}).tornado().set_index("driver")
    base = fit.system().intercepts[0, 1]
    for end in ("low", "high"):
        slope = table.loc["x -> y", end]
        gained = (np.exp(base + slope * (x + 0.5)) - np.exp(base + slope * x)).sum()
        assert table.loc["x -> y", f"npv_{end}"] == pytest.approx(2 * gained - 3, rel=1e-9)


def test_an_end_at_which_a_loop_does_not_settle_has_no_npv():
    rng = np.random.default_rng(5)
    x, z, *noise = rng.normal(size=(4, 100))
    a, b = np.linalg.inv(np.array([[1, -0.9], [-0.9, 1]])) @ (0.7 * np.stack([x, z]) + 0.4 * np.stack(noise))
    table = pd.DataFrame({"x": x, "z": z, "a": a, "b": b})
    constructs = [rox.Construct(name=name, factor="outcomes", source="unit", items=[name]) for name in "xzab"]
    edges = ["x -> a", "z -> b", "a -> b -> a"]
    fit = rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=edges, feedback=True), table, method="sem")
    wide = replace(fit.estimates, high=np.where(np.isnan(fit.estimates.high), np.nan, fit.estimates.high + 0.5))
    fit = replace(fit, estimates=wide)
    push = [rox.Intervention(name="a", shift={"x": 1.0}, cost=1.0)]
    answer = rox.simulate(fit, push, horizon=1, draws=50, seed=1, value={"b": 1.0}, n_units=1)
    found = answer.tornado().set_index("driver")
    for name in ("a -> b", "b -> a"):
        assert np.isnan(found.loc[name, "npv_high"])
        assert np.isfinite(found.loc[name, "npv_low"])
        assert np.isnan(found.loc[name, "swing"])
    assert found.index[0] == "x -> a"
    assert np.isfinite(found.loc["x -> a", "swing"])
