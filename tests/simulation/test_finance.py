"""Money: npv by hand as a spreadsheet has it, rox, payback, risk."""

import numpy as np
import pytest

from roxmodel.simulation.finance import COLUMNS, money_of, rox_table

EXACT = {"rtol": 1e-12, "atol": 1e-9}  # algebra in double precision, amounts of thousands


def money(changes, costs, value=1_000.0, units=10, discount=0.0):
    changes = np.asarray(changes, dtype=float)
    return money_of("x", changes[:, :, None], costs, {0: value}, (units, discount))


def row(one):
    return rox_table([one]).iloc[0]


@pytest.mark.parametrize("discount", [0.0, 0.02, 0.5, -0.3])
@pytest.mark.parametrize("start", [1, 3])
def test_npv_is_what_a_spreadsheet_says(discount, start):
    """NPV(rate; flows) of spreadsheets: the first flow is discounted once."""
    changes, cost = [[0.1, 0.2, 0.3, 0.3]], 3_500.0
    found = row(money(changes, {start: cost}, discount=discount))
    flows = [1_000.0 * 10 * change for change in changes[0]]
    benefit = sum(flow / (1 + discount) ** wave for wave, flow in enumerate(flows, start=1))
    spent = cost / (1 + discount) ** start
    np.testing.assert_allclose(found["benefit"], benefit, **EXACT)
    np.testing.assert_allclose(found["cost"], spent, **EXACT)
    np.testing.assert_allclose(found["npv"], benefit - spent, **EXACT)
    np.testing.assert_allclose(found["rox"], (benefit - spent) / spent, **EXACT)


def test_several_outcomes_add_up():
    changes = np.random.default_rng(0).normal(size=(5, 3, 4))
    found = money_of("x", changes, {1: 0.0}, {1: 20.0, 3: -7.0}, (6.0, 0.1))
    factor = 1.1 ** -np.arange(1, 4)
    expected = ((changes[:, :, 1] * 20 - changes[:, :, 3] * 7) * 6 * factor).sum(axis=1)
    np.testing.assert_allclose(found.benefit, expected, **EXACT)


def test_break_even_is_zero_and_all_lost_is_minus_one():
    assert row(money([[0.1, 0.1]], {1: 2_000.0}))["rox"] == pytest.approx(0.0, abs=1e-12)
    assert row(money([[0.0, 0.0]], {1: 2_000.0}))["rox"] == -1.0


def test_without_cost_there_is_no_rox():
    found = row(money([[0.1, 0.1]], {1: 0.0}))
    assert np.isnan(found[["rox", "rox_low", "rox_high"]].to_numpy(float)).all()
    assert found["npv"] == pytest.approx(2_000)
    assert found["payback"] == 1


def test_a_cost_next_to_nothing_has_no_rox():
    assert np.isnan(row(money([[0.1, 0.1]], {1: 5e-324}))["rox"])


@pytest.mark.parametrize(
    ("flows", "costs", "wave"),
    [
        ([0.1, 0.1, 0.1], {1: 1_000.0}, 1),  # covered at once
        ([0.1, 0.1, 0.1], {1: 2_500.0}, 3),
        ([0.1, 0.1, 0.1], {1: 3_000.0}, 3),  # exactly, in the last wave
        ([0.1, 0.1, 0.1], {1: 3_000.1}, np.inf),
        ([0.1, 0.1, 0.1], {3: 500.0}, 3),  # not before it is spent
        ([0.1, 0.1, 0.1], {1: 500.0, 3: 2_000.0}, 3),
        ([0.1, 0.1, 0.1], {1: 500.0, 3: 3_000.0}, np.inf),
        ([0.1, 0.1, 0.1], {1: 500.0, 3: 0.0}, 1),  # a later start that costs nothing
        ([-0.1, -0.1, 0.1], {1: 100.0}, np.inf),
        ([0.3, -0.4, 0.0], {1: 1_000.0}, 1),  # the first wave counts, though it does not last
        ([0.0, 0.0, 0.0], {1: 0.0}, 1),
        ([-0.1, 0.0, 0.0], {2: 0.0}, np.inf),
    ],
)
def test_payback(flows, costs, wave):
    one = money([flows], costs)
    assert row(one)["payback"] == wave
    assert one.payback().tolist() == [wave]


def test_payback_is_discounted():
    assert row(money([[0.1] * 3], {1: 2_900.0}, discount=0.0))["payback"] == 3
    assert row(money([[0.1] * 3], {1: 2_900.0}, discount=0.2))["payback"] == np.inf


def test_ends_and_chances_are_those_of_the_draws():
    rng = np.random.default_rng(1)
    changes = rng.normal(0.1, 0.1, size=(999, 3))
    one = money(changes, {1: 2_000.0}, discount=0.05)
    found, npv = row(one), one.npv
    assert found["prob_positive"] == (npv > 0).mean()
    for name, draws in (("benefit", one.benefit), ("npv", npv), ("rox", npv / one.cost)):
        np.testing.assert_allclose(
            [found[f"{name}_low"], found[f"{name}_high"]], np.quantile(draws, [0.025, 0.975]), **EXACT
        )
        assert found[name] == pytest.approx(draws.mean())
    ordered = np.sort(one.payback())
    assert (found["payback_low"], found["payback_high"]) == (ordered[24], ordered[974])
    assert tuple(found.index) == COLUMNS


def test_prob_positive_is_strict():
    assert row(money([[0.1], [0.2], [0.0], [-0.1]], {1: 1_000.0}))["prob_positive"] == 0.25
