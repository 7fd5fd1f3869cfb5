"""Laws of seeing and doing: do moves no cause, agrees with itself, and with seeing where nothing confounds."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.simulation.counterfactual import counterfactual
from roxmodel.simulation.forecast import forecast

EXACT = {"rtol": 1e-8, "atol": 1e-8}  # algebra in double precision
laws = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")]
NAMES = tuple("abcde")
UNITS, DRAWS = 30, 6


def figures(seed, scaled=False):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, 0.5, (UNITS, 5)) @ (np.eye(5) + rng.normal(0, 0.4, (5, 5)))
    table = 3 + mixed
    return pd.DataFrame(np.clip(table, 1, 5) if scaled else table, columns=list(NAMES)).assign(u=range(UNITS))


def fitted(table, edges, order=NAMES, names=None, kinds=()):
    """A fit by method "path", of figures of units; `names` renames constructs, `order` reorders them."""
    called = names or dict(zip(NAMES, NAMES, strict=True))
    scale = rox.Likert(1, 5, whole=False)
    constructs = [
        rox.Construct(
            name=called[n],
            factor="outcomes",
            source="unit",
            items=[rox.Item(name=n, scale=scale if n in kinds else None)],
        )
        for n in order
    ]
    arrows = [f"{called[a]} -> {called[b]}" for a, b in edges]
    model = rox.RoxModel(name="m", constructs=constructs, edges=arrows)
    return rox.fit(model, rox.Study(model, unit=table, by="u"), method="path", se="standard")


@st.composite
def graphs(draw):
    pairs = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    return draw(st.lists(st.sampled_from(pairs), unique=True, min_size=2, max_size=8))


@st.composite
def worlds(draw, scaled=True, rooted=False):
    """A fit of five constructs with a random graph, some perhaps on a scale; rooted: everything comes from a."""
    kinds = draw(st.lists(st.sampled_from(NAMES), unique=True)) if scaled else ()
    seed, edges = draw(st.integers(0, 50)), draw(graphs())
    if rooted:
        edges += [("a", name) for name in NAMES[1:] if all(effect != name for _, effect in edges)]
    return fitted(figures(seed, bool(kinds)), edges, kinds=kinds)


targets = st.sampled_from(NAMES)
levels = st.floats(2, 4)
units = st.integers(0, UNITS - 1)


def asked(fit, unit, **options):
    return counterfactual(fit, unit, **{"draws": DRAWS, "seed": 1, **options})


def seen(fit, given_levels, **options):
    return forecast(fit, given_levels, **{"draws": DRAWS, "seed": 1, **options})


def graph_of(fit):
    graph = nx.DiGraph([(edge.cause, edge.effect) for edge in fit.model.edges])
    graph.add_nodes_from(fit.model.names)
    return graph


def still(fit):
    """Without uncertainty."""
    return replace(fit, vcov=np.zeros_like(fit.vcov))


@laws
@given(worlds(), units, targets, levels, st.sampled_from(["do", "shift"]))
def test_nothing_but_descendants_is_otherwise(fit, unit, target, level, kind):
    found = asked(fit, unit, **{kind: {target: level if kind == "do" else level - 3}})
    moved = {target, *nx.descendants(graph_of(fit), target)}
    assert not found.changes[:, [i for i, name in enumerate(NAMES) if name not in moved]].any()


@laws
@given(worlds(), units, st.lists(targets, unique=True, min_size=1, max_size=3))
def test_do_what_was_observed_returns_what_was_observed(fit, unit, which):
    own = fit.population.levels[unit]
    table = asked(fit, unit, do={name: float(own[NAMES.index(name)]) for name in which}).table()
    np.testing.assert_array_equal(table["counterfactual"], own)
    assert not table["change"].any()


@laws
@given(worlds(), units, targets, targets, levels, levels)
def test_the_order_of_two_does_not_matter(fit, unit, one, two, first, second):
    assume(one != two)
    a, b = (
        asked(fit, unit, do=dict(pairs)) for pairs in [[(one, first), (two, second)], [(two, second), (one, first)]]
    )
    np.testing.assert_array_equal(a.changes, b.changes)


@laws
@given(worlds(scaled=False), units, targets, targets, levels, levels)
def test_do_after_do_is_do_of_both(fit, unit, one, two, first, second):
    """Of a world in which the first is done already: the same disturbances, the second done as well."""
    assume(one != two)
    both = asked(still(fit), unit, do={one: first, two: second}, draws=1).levels
    after = asked(still(fit), unit, do={one: first}, draws=1).levels
    people = fit.population
    there = np.array(people.levels)
    there[unit] = after
    moved = replace(still(fit), population=replace(people, levels=there))
    again = asked(moved, unit, do={two: second, one: first}, draws=1)
    np.testing.assert_allclose(again.levels, both, **EXACT)


@laws
@given(worlds(scaled=False), targets, levels)
def test_over_all_units_it_is_what_an_action_brings(fit, target, level):
    do = rox.Intervention(name="do", set={target: level})
    whole = rox.simulate(fit, [do], horizon=1, draws=DRAWS, seed=1).changes[:, 0]
    every = [asked(fit, unit, do={target: level}).changes for unit in range(UNITS)]
    np.testing.assert_allclose(np.mean(every, axis=0), whole, **EXACT)


@laws
@given(worlds(), targets, st.floats(-1, 1))
def test_a_shift_over_all_units_too_with_ends_of_scales(fit, target, points):
    push = rox.Intervention(name="push", shift={target: points})
    whole = rox.simulate(fit, [push], horizon=1, draws=DRAWS, seed=1).changes[:, 0]
    every = [asked(fit, unit, shift={target: points}).changes for unit in range(UNITS)]
    np.testing.assert_allclose(np.mean(every, axis=0), whole, **EXACT)


@laws
@given(
    graphs(), st.integers(0, 50), st.permutations(NAMES), st.permutations(["p", "q", "r", "s", "t"]), targets, levels
)
def test_names_and_order_do_not_matter(edges, seed, order, renamed, target, level):
    table, names = figures(seed), dict(zip(NAMES, renamed, strict=True))
    plain, other = still(fitted(table, edges)), still(fitted(table, edges, order, names))
    one = asked(plain, 3, do={target: level}).table().set_index("construct")["counterfactual"]
    two = asked(other, 3, do={names[target]: level}).table().set_index("construct")["counterfactual"]
    np.testing.assert_allclose([two[names[n]] for n in NAMES], [one[n] for n in NAMES], **EXACT)
    one = seen(plain, {target: level}).table().set_index("construct")
    two = seen(other, {names[target]: level}).table().set_index("construct")
    for column in ("mean", "pi_low", "pi_high"):
        np.testing.assert_allclose([two.loc[names[n], column] for n in NAMES], one.loc[list(NAMES), column], **EXACT)


@laws
@given(worlds(scaled=False, rooted=True), levels)
def test_seeing_is_doing_where_nothing_confounds(fit, level):
    """Of the only construct that nothing causes."""
    answer = seen(fit, {"a": level})
    np.testing.assert_allclose(answer.setting, answer.means.mean(axis=0), **EXACT)
    done = rox.simulate(
        still(fit), [rox.Intervention(name="do", set={"a": level})], horizon=1, draws=DRAWS, seed=1
    ).changes[:, 0]
    np.testing.assert_allclose(seen(still(fit), {"a": level}).means, fit.population.mean + done, **EXACT)


@laws
@given(worlds(scaled=False), targets, levels)
def test_what_is_set_everywhere_is_what_simulate_says(fit, target, level):
    """`Forecast.setting` beside what is seen."""
    done = rox.simulate(
        still(fit), [rox.Intervention(name="do", set={target: level})], horizon=1, draws=1, seed=1
    ).changes[0, 0]
    np.testing.assert_allclose(seen(still(fit), {target: level}).setting, fit.population.mean + done, **EXACT)


@laws
@given(worlds(scaled=False), targets, levels)
def test_what_is_expected_is_linear_in_what_is_seen_and_passes_through_the_means(fit, target, level):
    base, place = seen(still(fit), None).means, NAMES.index(target)
    np.testing.assert_allclose(seen(still(fit), {target: float(base[0, place])}).means, base, **EXACT)
    low, middle, high = (seen(fit, {target: level + side}).means for side in (-0.5, 0.0, 0.5))
    np.testing.assert_allclose((low + high) / 2, middle, **EXACT)


@laws
@given(worlds(scaled=False), units, st.lists(targets, unique=True, min_size=1, max_size=3))
def test_seeing_more_never_widens(fit, unit, which):
    """Where one unit lies is known better, the more of it is seen."""
    own = fit.population.levels[unit]
    known = {name: float(own[NAMES.index(name)]) for name in which}
    fewer = dict(list(known.items())[:-1])
    assert (seen(fit, known).spreads <= seen(fit, fewer).spreads * (1 + 1e-9) + 1e-12).all()


@laws
@given(worlds(scaled=False), st.data())
def test_a_missing_score_is_what_seeing_the_others_tells(fit, data):
    """`forecast(unit=)` of a unit with a hole is `forecast(given=)` of its other levels."""
    hole, unit = data.draw(targets), data.draw(units)
    place = NAMES.index(hole)
    there = np.array(fit.population.levels)
    there[unit, place] = np.nan
    holed = replace(fit, population=replace(fit.population, levels=there))
    others = {name: float(level) for name, level in zip(NAMES, there[unit], strict=True) if name != hole}
    one, two = seen(holed, None, unit=unit), seen(fit, others)
    np.testing.assert_allclose(one.means, two.means, **EXACT)
    np.testing.assert_allclose(one.spreads, two.spreads, **EXACT)
