"""How a push travels: linear, curved, set, capped; against a loop over draws and units."""

import numpy as np
import pytest

from roxmodel.result.response import Caps, Push, travel
from roxmodel.result.system import System

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # algebra in double precision
K, DRAWS, UNITS = 5, 6, 9


def system(families=("linear",) * K, seed=0):
    rng = np.random.default_rng(seed)
    coefficients = np.tril(rng.normal(0, 0.5, (DRAWS, K, K)), -1)
    return System(tuple("abcde"), tuple(range(K)), coefficients, rng.normal(size=(DRAWS, K)), tuple(families))


def response(family, predictor):
    if family == "logit":
        return 1 / (1 + np.exp(-predictor))
    return predictor if family == "linear" else np.exp(predictor)


def by_hand(given, push, caps, carried=None):
    """One draw, one unit, one construct at a time."""
    units = 1 if caps.levels is None else len(caps.levels)
    changes, cut = np.zeros((DRAWS, units, K)), np.zeros((DRAWS, units, K), dtype=bool)

    def at(values, unit, otherwise=0.0):
        return otherwise if values is None else float(np.broadcast_to(values, units)[unit])

    for draw in range(DRAWS):
        for unit in range(units):
            for place in given.order:
                weights = given.coefficients[draw, place]
                change = weights @ changes[draw, unit]
                family = given.families[place]
                if family != "linear":
                    base = given.intercepts[draw, place] + weights @ caps.levels[unit]
                    change = response(family, base + change) - response(family, base)
                if carried and place in carried:
                    change += float(np.broadcast_to(carried[place], (DRAWS, units))[draw, unit])
                if place in push.level:
                    share = at(push.share[place], unit)
                    change = share * (at(push.level[place], unit) - caps.levels[unit, place]) + (1 - share) * change
                change += at(push.shift.get(place), unit)
                if caps.levels is not None:
                    level = caps.levels[unit, place]
                    held = min(max(change, min(caps.low[place] - level, 0)), max(caps.high[place] - level, 0))
                    cut[draw, unit, place] = held != change
                    change = held
                changes[draw, unit, place] = change
    return changes, cut.mean(axis=(0, 1))


def levels(seed=1):
    return np.random.default_rng(seed).normal(3, 0.7, (UNITS, K))


def no_caps(known=None):
    return Caps(known, np.full(K, -np.inf), np.full(K, np.inf))


def agrees(given, push, caps, carried=None):
    found = travel(given, push, caps, carried)
    changes, cut = by_hand(given, push, caps, carried)
    for place in range(K):
        shown = np.broadcast_to(found.changes[place], changes[:, :, place].shape)
        np.testing.assert_allclose(shown, changes[:, :, place], **EXACT)
    np.testing.assert_allclose(found.capped, cut, **EXACT)
    return found


ONE = np.ones(1)
CURVED = ("linear", "linear", "logit", "linear", "poisson")


def test_a_linear_push_without_levels_is_one_column():
    found = agrees(system(), Push({0: ONE, 2: -0.5 * ONE}, {}, {}), no_caps())
    assert {change.shape for change in found.changes} == {(DRAWS, 1)}
    total = np.linalg.inv(np.eye(K) - system().coefficients)
    np.testing.assert_allclose(found.changes[4][:, 0], total[:, 4, 0] - 0.5 * total[:, 4, 2], **EXACT)


@pytest.mark.parametrize("families", [("linear",) * K, CURVED])
def test_pushes_of_some_units(families):
    covered = (np.arange(UNITS) % 3 == 0).astype(float)
    agrees(system(families), Push({1: 0.7 * covered, 0: ONE}, {}, {}), no_caps(levels()))


@pytest.mark.parametrize("families", [("linear",) * K, CURVED])
@pytest.mark.parametrize("share", [1.0, 0.4, 0.0])
def test_setting_a_level_cuts_the_causes_for_its_share(families, share):
    covered = share * (np.arange(UNITS) < 5)
    push = Push({0: 0.3 * ONE, 3: 0.1 * ONE}, {1: np.full(UNITS, 4.0), 3: ONE}, {1: covered, 3: share * ONE})
    agrees(system(families), push, no_caps(levels()))


def test_do_leaves_causes_and_others_alone():
    found = travel(system(), Push({}, {2: 4 * ONE}, {2: ONE}), no_caps(levels()))
    for place in (0, 1):
        assert not found.changes[place].any()


@pytest.mark.parametrize("families", [("linear",) * K, CURVED])
def test_ends_of_scales_hold_every_unit(families):
    known = np.clip(levels(), 1, 5)
    known[0, 0], known[1, 0] = 5.0, 1.0
    caps = Caps(known, np.array([1, 1, -np.inf, 1, -np.inf]), np.array([5, 5, np.inf, 4.0, np.inf]))
    for push in (Push({0: 2 * ONE}, {}, {}), Push({0: -3 * ONE, 3: 5 * ONE}, {1: 5 * ONE}, {1: 0.9 * ONE})):
        found = agrees(system(families), push, caps)
        assert found.capped[0] > 0
        for place in (0, 1):
            reached = known[:, place] + found.changes[place]
            assert (reached <= caps.high[place] + 1e-12).all()
            assert (reached >= caps.low[place] - 1e-12).all()


def test_a_unit_beyond_the_end_is_not_pulled_back():
    known = levels()
    known[0, 0] = 9.0
    caps = Caps(known, np.full(K, 1.0), np.full(K, 5.0))
    found = agrees(system(), Push({0: 0.5 * ONE}, {}, {}), caps)
    assert (found.changes[0][:, 0] == 0).all()


@pytest.mark.parametrize("families", [("linear",) * K, CURVED])
def test_what_earlier_waves_bring_adds_up(families):
    rng = np.random.default_rng(4)
    carried = {1: rng.normal(size=(DRAWS, UNITS)), 4: rng.normal(size=(DRAWS, 1)), 0: rng.normal(size=(DRAWS, 1))}
    agrees(system(families), Push({0: ONE}, {}, {}), no_caps(levels()), carried)


def test_without_a_push_nothing_moves():
    found = travel(system(CURVED), Push({}, {}, {}), no_caps(levels()))
    assert all(not change.any() for change in found.changes)


def test_huge_predictors_do_not_overflow():
    given = system(CURVED)
    agrees_not = travel(given, Push({0: 1e5 * ONE}, {}, {}), no_caps(levels()))
    assert np.isfinite(agrees_not.changes[4]).all()


def test_levels_are_needed_where_they_matter():
    with pytest.raises(ValueError, match="curved equation needs"):
        travel(system(CURVED), Push({0: ONE}, {}, {}), no_caps())
    with pytest.raises(ValueError, match="setting a level needs"):
        travel(system(), Push({}, {0: ONE}, {0: ONE}), no_caps())
