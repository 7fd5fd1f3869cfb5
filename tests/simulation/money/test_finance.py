"""Money: npv by hand as a spreadsheet has it, rox, payback, risk."""

import numpy as np
import pytest

from roxmodel.errors import SimulationError
from roxmodel.simulation.money.finance import FORMULA, Finance, Terms, discount_factors, formula_of, money_of_flows
from roxmodel.simulation.money.returns import (
    COLUMNS,
    cvar,
    flow_table,
    irr,
    outcome_table,
    risk_table,
    rox_table,
    value_at_risk,
)
from roxmodel.simulation.money.values import LifetimeValue, NormalValue, Priced, resolve

EXACT = {"rtol": 1e-12, "atol": 1e-9}  # algebra in double precision, amounts of thousands
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed


def priced_at(*prices):
    """One outcome for each price, a number or draws."""
    return [Priced(f"y{i}", i, None, False, np.atleast_1d(float(p) if np.isscalar(p) else p), 0.0, False)
            for i, p in enumerate(prices)]  # fmt: skip


def money(changes, costs, value=1_000.0, units=10, discount=0.0, timing="end"):
    """One outcome; wave -> one-off cost."""
    changes = np.asarray(changes, dtype=float)
    spending = np.zeros(changes.shape[1])
    for wave, cost in costs.items():
        spending[wave - 1] += cost
    since = max((wave for wave, cost in costs.items() if cost > 0), default=min(costs))
    return money_of_flows("x", [units * changes], spending, priced_at(value), Terms(discount, timing), since)


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
    one, two = np.random.default_rng(0).normal(size=(2, 5, 3))
    found = money_of_flows("x", [6 * one, 6 * two], np.zeros(3), priced_at(20.0, -7.0), Terms(0.1))
    factor = 1.1 ** -np.arange(1, 4)
    expected = ((one * 20 - two * 7) * 6 * factor).sum(axis=1)
    np.testing.assert_allclose(found.benefit, expected, **EXACT)
    np.testing.assert_allclose(found.shares.sum(axis=1), expected, **EXACT)


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


# --- timing, uncertain prices, lifetimes


@pytest.mark.parametrize("discount", [0.0, 0.07, -0.2])
def test_flows_at_the_start_of_a_wave_are_worth_one_discount_more(discount):
    changes, costs = [[0.1, 0.2, 0.3], [0.0, 0.1, 0.1]], {1: 900.0, 2: 100.0}
    end, start = (money(changes, costs, discount=discount, timing=timing) for timing in ("end", "start"))
    np.testing.assert_allclose(start.npv, end.npv * (1 + discount), **EXACT)
    np.testing.assert_allclose(start.cost, 900 + 100 / (1 + discount), **EXACT)
    assert start.irr() == pytest.approx(end.irr(), rel=1e-12)
    for column in ("rox", "payback", "prob_positive"):
        assert row(start)[column] == pytest.approx(row(end)[column], abs=1e-12), column


def test_the_formula_says_the_timing_and_whose_it_is():
    texts = {timing: formula_of(Terms(timing=timing)) for timing in ("end", "start")}
    assert texts["end"] == FORMULA
    assert "divided by (1 + discount)^t, as at its end" in texts["end"]
    assert "divided by (1 + discount)^(t - 1), as at its start" in texts["start"]
    assert all("roxmodel's definition" in text and "rox = npv / cost" in text for text in texts.values())


def test_an_uncertain_price_multiplies_draw_by_draw():
    changes, price = np.random.default_rng(2).normal(size=(2, 7, 3)), np.arange(1.0, 8.0)
    found = money_of_flows("x", list(changes), np.ones(3), priced_at(price, 5.0), Terms(0.03))
    factor = 1.03 ** -np.arange(1, 4)
    own, other = (changes[0] * price[:, None] * factor).sum(axis=1), (changes[1] * 5 * factor).sum(axis=1)
    np.testing.assert_allclose(found.shares, np.stack([own, other], axis=1), **EXACT)
    np.testing.assert_allclose(found.npv, own + other - factor.sum(), **EXACT)


def test_a_certain_effect_at_an_uncertain_price_is_as_uncertain_as_the_price():
    draws = 20_000
    priced = resolve(Finance(value={"y": NormalValue(mean=100.0, sd=20.0)}), {"y": 0}, None, draws, seed=1)
    found = money_of_flows("x", [np.ones((1, 2))], np.zeros(2), priced, Terms())
    assert found.gains.shape == (draws, 2)
    assert found.benefit.mean() == pytest.approx(200, abs=MONTE_CARLO * 40 / np.sqrt(draws))
    assert found.benefit.std() == pytest.approx(40, abs=MONTE_CARLO * 40 / np.sqrt(2 * draws))
    np.testing.assert_array_equal(found.gains[:, 0], found.gains[:, 1])  # one price for all waves


def lifetime(gained, retention, beyond, discount, timing="end", cost=0.0):
    finance = Finance(
        value={"customers": LifetimeValue(margin=40.0, retention=retention, beyond=beyond)},
        discount=discount,
        timing=timing,
    )
    priced = resolve(finance, {"customers": 0}, None, 1, seed=1)
    spending = np.zeros(np.shape(gained)[1])
    spending[0] = cost
    return money_of_flows("x", [np.asarray(gained, dtype=float)], spending, priced, Terms(discount, timing))


@pytest.mark.parametrize("timing", ["end", "start"])
@pytest.mark.parametrize(("retention", "discount"), [(0.9, 0.02), (0.5, 0.0), (1.0, 0.1), (0.0, 0.02), (0.7, -0.2)])
@pytest.mark.parametrize("beyond", [False, True])
def test_customers_who_stay_are_a_sum_over_ten_thousand_waves(retention, discount, beyond, timing):
    gained, waves = [3.0, 0.0, 2.0, -1.0], 10_000 if beyond else 4
    there, total = 0.0, 0.0  # money of those who are there, as of today
    for wave in range(1, waves + 1):
        there *= retention / (1 + discount)
        if wave <= len(gained):
            there += 40 * gained[wave - 1] / (1 + discount) ** (wave - (timing == "start"))
        total += there
    found = lifetime([gained], retention, beyond, discount, timing)
    np.testing.assert_allclose(found.benefit, total, rtol=1e-10)
    np.testing.assert_allclose(found.shares[:, 0], total, rtol=1e-10)
    if not beyond or retention == 0:
        assert found.beyond.tolist() == [0.0]


def test_one_customer_is_worth_the_textbook_lifetime():
    """Margin 40, retention 0.8, discount 0.1, the first margin counted and paid at once: 40 · 1.1 / (1.1 - 0.8)."""
    np.testing.assert_allclose(lifetime([[1.0]], 0.8, True, 0.1, "start").benefit, 40 * 1.1 / 0.3, **EXACT)


def test_the_rate_of_return_counts_what_comes_beyond_the_horizon():
    """A perpetuity: 40 a wave for ever for 400 is 10 % a wave, from one wave after it is paid."""
    gained = [[0.0, 1.0, 0.0]]
    assert lifetime(gained, 1.0, True, 0.05, cost=400.0).irr() == pytest.approx(0.1, rel=1e-12)
    within = lifetime(gained, 1.0, False, 0.05, cost=400.0)
    assert within.irr() == pytest.approx(irr([-400.0, 40.0, 40.0]), rel=1e-12)
    at = lifetime([[2.0, 1.0, 1.0]], 0.6, True, 0.0, cost=300.0).irr()
    np.testing.assert_allclose(lifetime([[2.0, 1.0, 1.0]], 0.6, True, at, cost=300.0).npv, 0, atol=1e-9)


def test_payback_counts_the_waves_of_the_horizon_only():
    late = lifetime([[1.0, 0.0]], 0.99, True, 0.01, cost=500.0)
    assert late.npv[0] > 0
    assert late.payback().tolist() == [np.inf]


def test_running_costs_pay_back_from_the_last_one_off_cost_on():
    gained, spending = np.array([[2.0, 6.0, 6.0, 6.0]]), np.array([5.0, 1.0, 1.0, 1.0])
    say = {since: money_of_flows("x", [gained], spending, priced_at(1.0), Terms(), since) for since in (1, None)}
    assert say[1].payback().tolist() == [2.0]
    assert say[None].payback().tolist() == [4.0]  # not before all is spent


# --- risk, waves, outcomes


def test_the_risk_table_is_that_of_its_formulas():
    rng = np.random.default_rng(3)
    one = money(rng.normal(0.1, 0.1, size=(777, 3)), {1: 2_000.0}, discount=0.05)
    two = money([[0.1, 0.3], [0.2, 0.1]], {1: 0.0})
    table = risk_table([one, two], level=0.1)
    wanted = ["intervention", "npv", "sd", "prob_loss", "var", "cvar", "irr", "break_even", "payback"]
    assert table.columns.tolist() == wanted
    found = table.iloc[0]
    assert found["npv"] == pytest.approx(row(one)["npv"], rel=1e-12)
    assert found["sd"] == pytest.approx(np.std(one.npv, ddof=1), rel=1e-12)
    assert found["prob_loss"] == (one.npv < 0).mean() == pytest.approx(1 - row(one)["prob_positive"])
    assert (found["var"], found["cvar"]) == (value_at_risk(one.npv, 0.1), cvar(one.npv, 0.1))
    assert found["irr"] == irr(one.gains.mean(axis=0) - one.spending)
    assert found["break_even"] == pytest.approx(one.cost / one.benefit.mean(), rel=1e-12)
    assert found["payback"] == row(one)["payback"]
    free = table.iloc[1]
    assert (free["prob_loss"], free["break_even"], free["payback"]) == (0.0, 0.0, 1.0)
    assert np.isnan(free["irr"])


def test_at_the_break_even_share_nothing_is_left():
    rng = np.random.default_rng(4)
    changes = rng.normal(0.1, 0.05, size=(200, 4))
    share = money(changes, {1: 1_500.0, 2: 200.0}, discount=0.03).risk().break_even
    assert money(share * changes, {1: 1_500.0, 2: 200.0}, discount=0.03).npv.mean() == pytest.approx(0, abs=1e-8)


def test_one_draw_has_no_spread():
    found = money([[0.1, 0.1]], {1: 100.0}).risk()
    assert np.isnan(found.sd)
    assert found.var == found.cvar == found.npv == pytest.approx(1_900)


@pytest.mark.parametrize("level", [0.0, -0.1, 1.1, np.nan, "5 %", None, True, 10**400])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(SimulationError, match=r"level= was .*\. Allowed: a share above 0 up to 1"):
        risk_table([money([[0.1]], {1: 0.0})], level=level)


def test_the_flow_table_adds_up():
    rng = np.random.default_rng(5)
    changes = rng.normal(0.1, 0.1, size=(300, 4))
    rows = [money(changes, {1: 2_000.0, 3: 500.0}, discount=0.1), money(changes / 2, {1: 0.0})]
    table = flow_table(rows)
    wanted = ["intervention", "wave", "benefit", "benefit_low", "benefit_high", "cost", "net", "cumulative",
              "discounted_net"]  # fmt: skip
    assert table.columns.tolist() == wanted
    assert table["wave"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    first = table.iloc[:4]
    flows = 1_000.0 * 10 * changes
    np.testing.assert_allclose(first["benefit"], flows.mean(axis=0), **EXACT)
    np.testing.assert_allclose(
        first[["benefit_low", "benefit_high"]].T, np.quantile(flows, [0.025, 0.975], axis=0), **EXACT
    )
    assert first["cost"].tolist() == [2_000.0, 0.0, 500.0, 0.0]
    np.testing.assert_allclose(first["cumulative"], np.cumsum(flows.mean(axis=0) - first["cost"]), **EXACT)
    np.testing.assert_allclose(first["discounted_net"].sum(), rows[0].npv.mean(), **EXACT)
    np.testing.assert_allclose((first["net"] * discount_factors(len(first), 0.1)).sum(), rows[0].npv.mean(), **EXACT)


def test_the_outcomes_of_a_row_add_up_to_its_benefit():
    moved = np.random.default_rng(6).normal(1, 1, size=(2, 50, 3))
    found = money_of_flows("x", list(moved), np.zeros(3), priced_at(3.0, -2.0), Terms(0.02))
    table = outcome_table([found])
    assert table.columns.tolist() == ["intervention", "outcome", "benefit", "benefit_low", "benefit_high"]
    assert table["outcome"].tolist() == ["y0", "y1"]
    np.testing.assert_allclose(table["benefit"].sum(), found.benefit.mean(), **EXACT)
    np.testing.assert_allclose(
        table[["benefit_low", "benefit_high"]].T, np.quantile(found.shares, [0.025, 0.975], axis=0), **EXACT
    )


@pytest.mark.parametrize(("price", "cost"), [(1e308, 0.0), (-1e308, 0.0), (1.0, np.inf)])
def test_money_beyond_any_number_is_refused(price, cost):
    with pytest.raises(SimulationError, match="The money of 'x' is beyond any number"):
        money([[0.1, 0.1]], {1: cost}, value=price, units=1_000)
