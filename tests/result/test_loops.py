"""Where a push around loops settles: closed form, and one step after the other until nothing moves."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError
from roxmodel.result.response import Caps, Loop, Push, settled, travel
from roxmodel.result.system import System, stability_index

EXACT = {"rtol": 1e-9, "atol": 1e-10}  # algebra in double precision
K, DRAWS, UNITS = 5, 4, 7  # a -> b <-> c <-> d -> e


def damped(rng, draws, m, most=0.8):
    """Coefficients of loops whose largest eigenvalue is below `most` in modulus, whatever the signs."""
    inner = rng.normal(size=(draws, m, m)) * (1 - np.eye(m))
    return inner * most / np.abs(np.linalg.eigvals(np.abs(inner))).max(axis=1)[:, None, None]


def stepwise(inner, kept, given, down, up, steps=5_000):
    """One draw and one unit: everybody passes on what he has, again and again."""
    change = np.zeros(len(given))
    for _ in range(steps):
        before, change = change, np.clip(kept * (inner @ change) + given, down, up)
        if np.abs(change - before).max() < 1e-13:
            break
    return change


def test_without_ends_it_is_the_inverse():
    rng = np.random.default_rng(1)
    inner, given = damped(rng, 6, 3), rng.normal(size=(6, 1, 3))
    change, held = settled(Loop(inner, np.ones((1, 3)), given))
    expected = np.linalg.inv(np.eye(3) - inner) @ given[:, 0, :, None]
    np.testing.assert_allclose(change[:, 0], expected[:, :, 0], **EXACT)
    assert not held.any()


def test_a_construct_that_is_set_hands_nothing_on_of_what_it_receives():
    rng = np.random.default_rng(2)
    inner, given = damped(rng, 3, 2), rng.normal(size=(3, 4, 2))
    kept = np.array([[1.0, 1.0], [0.0, 1.0], [0.3, 1.0], [0.0, 0.0]])
    change, _ = settled(Loop(inner, kept, given))
    for draw in range(3):
        for unit in range(4):
            np.testing.assert_allclose(
                change[draw, unit],
                stepwise(inner[draw], kept[unit], given[draw, unit], -np.inf, np.inf),
                **EXACT,
            )
    np.testing.assert_array_equal(change[:, 3], given[:, 3])


@pytest.mark.parametrize("m", [2, 3, 5])
def test_with_ends_it_is_where_steps_lead(m):
    rng = np.random.default_rng(m)
    inner, given = damped(rng, 20, m, 0.9), rng.normal(0, 1.5, (20, 9, m))
    down, up = -rng.uniform(0, 1, (9, m)), rng.uniform(0, 1, (9, m))
    down[0], up[1] = -np.inf, np.inf
    kept = rng.uniform(0, 1, (9, m))
    change, held = settled(Loop(inner, kept, given, down, up))
    assert held.any()
    assert not held.all()
    for draw in range(20):
        for unit in range(9):
            expected = stepwise(inner[draw], kept[unit], given[draw, unit], down[unit], up[unit])
            np.testing.assert_allclose(change[draw, unit], expected, rtol=1e-7, atol=1e-8)
            np.testing.assert_array_equal(
                held[draw, unit],
                ~np.isclose(kept[unit] * (inner[draw] @ expected) + given[draw, unit], expected, rtol=0, atol=1e-12),
            )


def test_units_that_meet_no_end_stay_one_column():
    inner, given = np.array([[[0.0, 0.4], [0.5, 0.0]]]), np.array([[[0.1, 0.0]]])
    wide = np.full((6, 2), 3.0)
    change, held = settled(Loop(inner, np.ones((1, 2)), given, -wide, wide))
    assert change.shape == held.shape == (1, 1, 2)


def test_a_gain_of_exactly_one_is_refused():
    with pytest.raises(EstimationError, match="gain of exactly 1"):
        settled(Loop(np.array([[[0.0, 2.0], [0.5, 0.0]]]), np.ones((1, 2)), np.ones((1, 1, 2))))


def test_where_ends_leave_no_place_to_settle_it_says_so():
    """A loop that amplifies by four: between the ends it is thrown about for ever."""
    inner = np.array([[[0.0, 1.0, -1.0], [-4.0, 0.0, -4.0], [-2.0, 3.0, 0.0]]])
    given, end = np.array([[[0.5, 1.5, -1.0]]]), np.ones((1, 3))
    with pytest.raises(EstimationError, match="no place to settle"):
        settled(Loop(inner, end, given, -end, end))


def test_a_loop_that_settles_only_in_small_steps_is_followed():
    """Signs differ around the loop, so that active sets go round in a circle; a point of rest there is."""
    inner = np.array([[[0.0, -0.01, -0.82], [0.17, 0.0, -0.65], [-1.32, 0.28, 0.0]]])
    given, end = np.array([[[-1.4, -4.8, -0.7]]]), np.ones((1, 3))
    assert stability_index(inner)[0] < 1
    change, held = settled(Loop(inner, end, given, -end, end))
    np.testing.assert_allclose(change[0, 0], np.clip(inner[0] @ change[0, 0] + given[0, 0], -1, 1), atol=1e-8)
    assert held.any()


# --- in the graph


def system(seed=0):
    rng = np.random.default_rng(seed)
    inner = np.zeros((DRAWS, K, K))
    inner[:, 1:4, 1:4] = damped(rng, DRAWS, 3)
    inner[:, 1, 0], inner[:, 3, 0], inner[:, 4, 3] = rng.normal(size=(3, DRAWS))
    return System(tuple("abcde"), tuple(range(K)), inner, None, ("linear",) * K, loops=((1, 2, 3),))


def round_and_round(given, push, caps, carried, steps=800):
    """Every construct takes what its causes had a moment ago, until nothing moves."""
    units = 1 if caps.levels is None else len(caps.levels)
    found = np.zeros((DRAWS, units, K))
    for draw in range(DRAWS):
        for unit in range(units):
            change = np.zeros(K)
            for _ in range(steps):
                new = given.coefficients[draw] @ change
                for place in range(K):
                    if place in carried:
                        new[place] += np.broadcast_to(carried[place], (DRAWS, units))[draw, unit]
                    if place in push.level:
                        share, level = (np.broadcast_to(p[place], units)[unit] for p in (push.share, push.level))
                        new[place] = share * (level - caps.levels[unit, place]) + (1 - share) * new[place]
                    new[place] += np.broadcast_to(push.shift.get(place, np.zeros(1)), units)[unit]
                    if caps.levels is not None:
                        at = caps.levels[unit, place]
                        new[place] = np.clip(new[place], min(caps.low[place] - at, 0), max(caps.high[place] - at, 0))
                before, change = change, new
                if np.abs(change - before).max() < 1e-13:
                    break
            found[draw, unit] = change
    return found


ONE = np.ones(1)
KNOWN = np.random.default_rng(3).normal(3, 0.7, (UNITS, K))
COVERED = (np.arange(UNITS) % 3 == 0).astype(float)
FREE = Caps(KNOWN, np.full(K, -np.inf), np.full(K, np.inf))


@pytest.mark.parametrize(
    ("push", "caps", "carried"),
    [
        (Push({0: ONE}, {}, {}), Caps(None, FREE.low, FREE.high), {}),
        (Push({2: 0.5 * ONE, 3: -ONE}, {}, {}), FREE, {1: np.full((DRAWS, 1), 0.3)}),
        (Push({0: COVERED, 1: 0.2 * ONE}, {2: 4.0 * ONE}, {2: 0.6 * COVERED}), FREE, {}),
        (Push({3: ONE}, {1: np.full(UNITS, 2.0), 2: 4 * ONE}, {1: COVERED, 2: 0.5 * ONE}), FREE, {}),
        (Push({0: 2 * ONE}, {}, {}), Caps(KNOWN, np.full(K, 1.0), np.full(K, 4.0)), {}),
        (
            Push({0: 2 * COVERED, 2: ONE}, {3: 5 * ONE}, {3: 0.5 * COVERED}),
            Caps(KNOWN, np.array([1, 1, -np.inf, 1, 1.0]), np.array([5, 3.5, np.inf, 4, 5.0])),
            {4: np.full((DRAWS, 1), 0.3)},
        ),
    ],
)
def test_a_push_through_a_loop_is_where_going_round_leads(push, caps, carried):
    found = travel(system(), push, caps, carried)
    expected = round_and_round(system(), push, caps, carried)
    for place in range(K):
        shown = np.broadcast_to(found.changes[place], expected[:, :, place].shape)
        np.testing.assert_allclose(shown, expected[:, :, place], rtol=1e-7, atol=1e-8)


def test_what_no_push_reaches_does_not_move():
    found = travel(system(), Push({4: ONE}, {}, {}), FREE)
    assert [change.any() for change in found.changes] == [False] * 4 + [True]
    assert {change.shape for change in found.changes} == {(DRAWS, 1)}


def test_total_effects_are_those_of_the_closed_form():
    found = travel(system(), Push({1: ONE}, {}, {}), Caps(None, FREE.low, FREE.high))
    total = np.linalg.inv(np.eye(K) - system().coefficients)
    np.testing.assert_allclose(np.concatenate(found.changes, axis=1), total[:, :, 1], **EXACT)


def test_a_curved_equation_in_a_loop_is_an_error():
    from dataclasses import replace

    curved = replace(system(), families=("linear", "linear", "logit", "linear", "linear"))
    with pytest.raises(ValueError, match="linear equations only"):
        travel(curved, Push({1: ONE}, {}, {}), FREE)


def test_the_stability_index_tells_what_dies_out():
    rng = np.random.default_rng(5)
    inner = rng.normal(0, 0.5, (200, 4, 4)) * (1 - np.eye(4))
    index = stability_index(inner)
    grown = np.abs(np.linalg.matrix_power(inner, 400)).max(axis=(1, 2))
    clear = np.abs(index - 1) > 0.05  # nearer to 1, it dies or grows too slowly to be seen
    np.testing.assert_array_equal(index[clear] < 1, grown[clear] < 1e-3)
    assert 0.1 < (index[clear] < 1).mean() < 0.9
    assert stability_index(np.tril(inner, -1)).max() == 0
    assert stability_index(np.full((1, 2, 2), np.nan)).tolist() == [np.inf]


# --- in the model


def loop_model(edges, names="abcdef"):
    constructs = [rox.Construct(name=n, factor="outcomes", source="unit", items=[n]) for n in names]
    return rox.RoxModel(name="m", constructs=constructs, edges=edges, feedback=True)


def test_the_order_keeps_a_loop_together_and_causes_first():
    model = loop_model(["f -> b", "b -> e", "e -> b", "e -> a", "a -> d", "d -> a", "c -> d"])
    assert model.loops() == (("a", "d"), ("b", "e"))
    order = model.order()
    assert sorted(order) == sorted(model.names)
    assert order.index("f") < order.index("b") == order.index("e") - 1
    assert order.index("e") < order.index("a") == order.index("d") - 1
    assert order.index("c") < order.index("a")


def test_a_lagged_edge_closes_no_loop():
    model = loop_model(["a -> b", rox.Edge(cause="b", effect="a", lag=1, fixed=0.1)])
    assert model.loops() == ()
