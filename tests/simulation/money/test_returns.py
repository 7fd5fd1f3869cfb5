"""Formulas of money over time, against spreadsheets, closed forms and brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from roxmodel.errors import SimulationError
from roxmodel.simulation.money.finance import (
    discount_factors,
    lifetime_factor,
    require_rate,
    require_timing,
    retained,
    terminal_value,
)
from roxmodel.simulation.money.returns import break_even, cvar, irr, payback, prob_loss, value_at_risk

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # algebra in double precision
REFERENCE = {"rtol": 1e-10}  # another program's figures, printed in full
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed

# --- discounting: NPV() of spreadsheets discounts the first flow once, npv() of numpy-financial does not

# Printed in full in the manual of Adobe LiveCycle's FormCalc, whose NPV is that of spreadsheets.
FORMCALC = [
    (0.065, [5_000], 4694.83568075117),
    (0.10, [500, 1_500, 4_000, 10_000], 11529.60863329007),
    (0.0275 / 12, [50, 60, 40, 100, 25], 273.14193838457),
]
# numpy-financial 1.0.0 (numpy 2.4.6): nf.npv(rate, flows), and the same over 1 + rate.
NUMPY_FINANCIAL = [
    (0.1, [-10_000, 3_000, 4_200, 6_800], 1307.287753568743, 1188.4434123352207),  # help of Excel's NPV: 1,188.44
    (0.08, [-40_000, 5_000, 8_000, 12_000, 30_000], 3065.2226681795255, 2838.169137203264),
    (0.05, [-100, 39, 59, 55, 20], 54.6227137869509, 52.02163217804847),
    (-0.02, [-100, 39, 59, 55, 20], 81.34850621903516, 83.008679815342),
]


def npv(flows, rate, timing="end"):
    """(...) of flows (..., waves)."""
    given = np.asarray(flows, dtype=float)
    return (given * discount_factors(given.shape[-1], rate, timing)).sum(axis=-1)


@pytest.mark.parametrize(("rate", "flows", "printed"), FORMCALC)
def test_npv_is_that_of_spreadsheets(rate, flows, printed):
    np.testing.assert_allclose(npv(flows, rate), printed, **REFERENCE)


@pytest.mark.parametrize(("rate", "flows", "start", "end"), NUMPY_FINANCIAL)
def test_npv_at_start_and_end_is_that_of_numpy_financial(rate, flows, start, end):
    np.testing.assert_allclose(npv(flows, rate, "start"), start, **REFERENCE)
    np.testing.assert_allclose(npv(flows, rate, "end"), end, **REFERENCE)


def test_npv_of_many_rows_is_that_of_each():
    flows = np.random.default_rng(0).normal(size=(4, 3, 6))
    each = [[npv(row, 0.07) for row in block] for block in flows]
    np.testing.assert_allclose(npv(flows, 0.07), each, **EXACT)


@pytest.mark.parametrize("rate", [0.03, -0.4, 2.0])
def test_level_flows_are_an_annuity(rate):
    """(1 - v^n) / rate; nf.pv(0.03, 12, -1) is 9.954003993567571 at the end, 10.252624113374598 at the beginning."""
    closed = (1 - (1 + rate) ** -12.0) / rate
    np.testing.assert_allclose(discount_factors(12, rate).sum(), closed, **EXACT)
    np.testing.assert_allclose(discount_factors(12, rate, "start").sum(), closed * (1 + rate), **EXACT)
    np.testing.assert_allclose(lifetime_factor(1.0, rate, 12), closed * (1 + rate), **EXACT)
    if rate == 0.03:
        np.testing.assert_allclose([closed, closed * 1.03], [9.954003993567571, 10.252624113374598], **REFERENCE)


@pytest.mark.parametrize("rate", [-1.0, -2, math.nan, math.inf, "2 %", None, True, 1j, 10**400])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(SimulationError, match=r"discount= was .*\. Allowed: a rate per wave above -1"):
        require_rate(rate)


@pytest.mark.parametrize(
    ("timing", "message"),
    [("strat", "Did you mean 'start'?"), ("END", "Did you mean 'end'?"), (0, "Allowed: 'end' or 'start'")],
)
def test_what_is_no_timing_is_refused(timing, message):
    with pytest.raises(SimulationError) as caught:
        require_timing(timing)
    assert f"timing= was {timing!r}." in str(caught.value)
    assert message in str(caught.value)


def test_factors_beyond_any_number_are_refused():
    with pytest.raises(SimulationError, match=r"discount=-0\.999 over 500 waves"):
        discount_factors(500, -0.999)
    assert discount_factors(500, 1e300)[1] == 0


# --- internal rate of return

# numpy-financial 1.0.0 (numpy 2.4.6): nf.irr(flows); all change sign once.
RATES = [
    ([-100, 0, 0, 74], -0.0954958303489728),
    ([-100, 39, 59, 55, 20], 0.28094842115996066),
    ([-500, 50, 31, 3, 11], -0.5296447721512683),
    ([-200, 78, 118, 111, 40], 0.2823934699893098),
    ([-70_000, 12_000, 15_000, 18_000, 21_000], -0.021244848273410888),  # help of Excel's IRR: -2.12 %
    ([-70_000, 12_000, 15_000, 18_000, 21_000, 26_000], 0.08663094803653149),  # 8.66 %
    ([-70_000, 12_000, 15_000], -0.44350694133474056),  # -44.35 %, where Excel needs a guess
    ([-1_000, 300, 300, 300, 300], 0.07713847295208343),
]


@pytest.mark.parametrize(("flows", "printed"), RATES)
def test_the_rate_is_that_of_spreadsheets(flows, printed):
    found = irr(flows)
    np.testing.assert_allclose(found, printed, **REFERENCE)
    np.testing.assert_allclose(npv(flows, found), 0, atol=1e-8)
    assert irr([-flow for flow in flows]) == pytest.approx(found, rel=1e-12)
    assert irr([0, 0, *flows, 0]) == pytest.approx(found, rel=1e-12)  # when it happens is no matter
    assert irr(np.multiply(flows, 1e-200)) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    "flows",
    [
        [100, 39, 59],  # nothing is spent
        [-100, -5],
        [0, 0, 0],
        [5],
        [],
        [-1_600, 10_000, -10_000],  # 25 % and 400 %
        [-100, 100, 0, -7],  # -8.3 % and -69 %; nf.irr says the first
        [-80, 90, 67, 72, -90],
        [-1, 2, -1],  # 0 % twice: the npv is never positive
        [-1, 1, -1],  # never 0
    ],
)
def test_no_rate_or_several_are_none(flows):
    assert math.isnan(irr(flows))


def test_a_threefold_root_is_crossed_once():
    assert irr([1, -3, 3, -1]) == pytest.approx(0, abs=1e-4)  # the cube root of the processor's precision


def test_rounding_is_no_change_of_sign():
    assert irr([-100, 100, -1e-30, 1e-30]) == pytest.approx(0, abs=1e-12)


def test_one_rate_among_several_changes_of_sign_is_found():
    flows = [-1, 3, -3.5, 3]  # (x = 1 / (1 + rate)): (2 x - 1)(1.5 x² - x + 1), the second factor never 0
    assert irr(flows) == pytest.approx(1.0, rel=1e-12)


def test_rates_are_those_of_a_search_over_the_whole_line():
    rng, unique = np.random.default_rng(7), 0
    place = np.linspace(-25, 25, 20_001)  # log(1 + rate)
    for _ in range(150):
        flows = rng.normal(size=rng.integers(2, 12)) * rng.choice([1.0, 10.0, 100.0])
        flows[0] -= rng.choice([0.0, 5.0])
        exponents = -np.outer(place, np.arange(len(flows)))
        value = np.exp(exponents - exponents.max(axis=1, keepdims=True)) @ flows
        crossed = np.flatnonzero(np.diff(np.sign(value)) != 0)
        found = irr(flows)
        if len(crossed) == 1:
            unique += 1
            assert place[crossed[0]] - 1e-9 <= math.log1p(found) <= place[crossed[0] + 1] + 1e-9, flows
        else:
            assert math.isnan(found), flows
    assert unique > 50


@pytest.mark.parametrize(
    ("flows", "later", "rate"),
    [
        ([-400.0, 40.0], [(40.0, 1.0)], 0.1),  # perpetuity: 40 / 400
        ([-100.0, 30.0], [(30.0, 0.9)], 0.2),  # Gordon: 30 / 100 = rate + 1 - 0.9
        ([-100.0, 30.0], [(10.0, 0.9), (20.0, 0.9)], 0.2),  # two of one kind are one
        ([-100.0, 120.0], [(120.0, 0.0)], 0.2),  # nobody stays
        ([-100.0, 120.0], [(0.0, 0.9)], 0.2),
    ],
)
def test_what_goes_on_for_ever_counts(flows, later, rate):
    assert irr(flows, later) == pytest.approx(rate, rel=1e-12)


def test_several_that_go_on_are_one_sum():
    rng = np.random.default_rng(8)
    for _ in range(100):
        flows = np.concatenate([[-rng.uniform(5, 50)], rng.normal(2, 2, size=rng.integers(1, 6))])
        later = [(rng.normal(1, 2), rng.uniform(0.1, 1)) for _ in range(2)]
        found = irr(flows, later)
        if math.isnan(found):
            continue
        factor = (1 + found) ** -np.arange(len(flows))
        after = sum(a * q / (1 + found - q) for a, q in later) * factor[-1]
        assert abs(flows @ factor + after) < 1e-9 * np.abs(flows) @ factor


def test_more_spent_later_may_leave_no_rate():
    assert math.isnan(irr([-100.0, 30.0], [(-30.0, 0.9)]))
    assert math.isnan(irr([-100.0, -30.0], [(-30.0, 0.9)]))


# --- payback, break-even


def test_payback_is_the_first_wave_that_covers():
    rng = np.random.default_rng(9)
    net = rng.normal(size=(200, 7))
    for since in (1, 4, 7):
        found = payback(net, since)
        for row, wave in zip(net, found, strict=True):
            covered = [t for t in range(since, 8) if sum(row[:t]) >= 0]
            assert wave == (covered[0] if covered else math.inf)


def test_payback_forgives_rounding():
    assert payback(np.array([[-0.3, 0.1, 0.1, 0.1]]), 1).tolist() == [4]  # the sum is 2.8e-17 below 0


@pytest.mark.parametrize(
    ("benefit", "cost", "share"),
    [(200.0, 50.0, 0.25), (50.0, 200.0, 4.0), (50.0, 0.0, 0.0), (0.0, 5.0, math.inf), (-3.0, 5.0, math.inf)],
)
def test_break_even(benefit, cost, share):
    assert break_even(benefit, cost) == share


def test_nothing_for_nothing_has_no_break_even():
    assert math.isnan(break_even(0.0, 0.0))
    assert math.isnan(break_even(-1.0, 0.0))


# --- risk


def test_prob_loss_is_strict():
    assert prob_loss([-1.0, -0.5, 0.0, 1.0]) == 0.5


@pytest.mark.parametrize("level", [0.01, 0.05, 0.07, 0.1, 1 / 3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("n", [1, 7, 100, 1_001])
def test_cvar_is_the_best_bound_of_rockafellar_and_uryasev(level, n):
    """Their minimum over zeta of zeta + E[(loss - zeta)+] / level is at one of the draws."""
    draws = np.round(np.random.default_rng(n).normal(size=n), 1)  # with ties
    zeta = np.unique(draws)
    bound = zeta - np.maximum(zeta[:, None] - draws, 0).mean(axis=1) / level
    np.testing.assert_allclose(cvar(draws, level), bound.max(), **EXACT)
    assert cvar(draws, level) <= value_at_risk(draws, level) + 1e-12
    at = value_at_risk(draws, level)
    assert (draws <= at).mean() >= level - 1e-12
    assert at == draws.min() or (draws < at).mean() < level + 1e-12


def test_the_boundary_draw_counts_for_its_part():
    draws = [4.0, 1.0, 3.0, 2.0]
    assert cvar(draws, 0.375) == pytest.approx((1 + 0.5 * 2) / 1.5)
    assert cvar(draws, 1.0) == 2.5
    assert cvar(draws, 1e-9) == 1.0
    assert value_at_risk(draws, 0.25) == 1.0
    assert value_at_risk(draws, 0.26) == 2.0


def test_a_share_of_draws_is_whole_where_it_should_be():
    draws = np.arange(1.0, 101.0)
    for count in range(1, 101):  # 0.07 * 100 is 7.000000000000001 in the processor
        assert value_at_risk(draws, count / 100) == count
        assert cvar(draws, count / 100) == pytest.approx((count + 1) / 2, rel=1e-12)


def test_cvar_of_normal_draws_is_its_closed_form():
    n, level = 200_000, 0.05
    draws = 10 + 3 * np.random.default_rng(10).normal(size=n)
    z = stats.norm.ppf(level)
    spread = 3 / math.sqrt(n * level)  # the worst 5 % spread less than all, and their edge costs no more
    assert value_at_risk(draws, level) == pytest.approx(10 + 3 * z, abs=MONTE_CARLO * spread / stats.norm.pdf(z) * 0.1)
    assert cvar(draws, level) == pytest.approx(10 - 3 * stats.norm.pdf(z) / level, abs=MONTE_CARLO * spread)


@pytest.mark.parametrize("level", [0, -1, 1.01, math.nan, "5 %", None, True])
def test_what_is_no_share_is_refused(level):
    for function in (cvar, value_at_risk):
        with pytest.raises(SimulationError, match=r"level= was .*\. Allowed: a share above 0 up to 1"):
            function([1.0, 2.0], level)


# --- lifetimes


@pytest.mark.parametrize("retention", [0.0, 0.3, 0.9, 1.0])
def test_who_is_there_are_those_who_stayed(retention):
    gained = np.random.default_rng(11).normal(size=(5, 6))
    found = retained(gained, retention)
    power = retention ** np.clip(np.subtract.outer(np.arange(6), np.arange(6)), 0, None)
    np.testing.assert_allclose(found, gained @ np.tril(power).T, **EXACT)


def test_what_is_given_is_left_as_it_is():
    gained = np.ones((2, 3))
    retained(gained, 0.5)
    assert (gained == 1).all()


@pytest.mark.parametrize(
    ("retention", "rate"), [(0.9, 0.02), (0.99, 0.0), (0.0, 0.1), (1.0, 0.05), (0.5, -0.4), (0.5, 3.0)]
)
def test_a_lifetime_is_a_geometric_series(retention, rate):
    """1 + q + q² + …, against 10,000 waves."""
    q = retention / (1 + rate)
    total = math.fsum(q**wave for wave in range(10_000))
    np.testing.assert_allclose(lifetime_factor(retention, rate), total, rtol=1e-10)
    np.testing.assert_allclose(lifetime_factor(retention, rate, 5), sum(q**wave for wave in range(5)), **EXACT)
    after = math.fsum(7 * q**wave for wave in range(1, 10_000))
    np.testing.assert_allclose(terminal_value(np.array([7.0]), retention, rate), after, rtol=1e-10)


def test_gupta_and_lehmann_leave_the_first_margin_out():
    """m · r / (1 + i - r), doi 10.1002/dir.10045."""
    np.testing.assert_allclose(terminal_value(np.array(1.0), 0.8, 0.12), 0.8 / (1 + 0.12 - 0.8), **EXACT)


@pytest.mark.parametrize(("retention", "rate"), [(1.0, 0.0), (0.9, -0.2), (0.8, -0.2)])
def test_a_lifetime_without_end_is_refused(retention, rate):
    for call in (lambda: lifetime_factor(retention, rate), lambda: terminal_value(np.ones(1), retention, rate)):
        with pytest.raises(SimulationError, match=r"retention=.* Allowed: a retention below 1 \+ discount"):
            call()
    assert lifetime_factor(retention, rate, 3) > 0
