"""Laws of the what-if: do moves no non-descendant, linear worlds are linear, nothing leaves its scale."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import roxmodel as rox

EXACT = {"rtol": 1e-8, "atol": 1e-10}  # algebra in double precision
laws = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")]
NAMES = tuple("abcde")
UNITS = 30


@st.composite
def worlds(draw, curved=True, capped=True):
    """A fit of five constructs, some perhaps yes/no or counts, some perhaps on a scale."""
    pairs = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=2, max_size=7))
    seed = draw(st.integers(0, 50))
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(np.clip(3 + rng.normal(0, 0.7, (UNITS, 5)), 1, 5), columns=list(NAMES))
    kinds = draw(st.lists(st.sampled_from(["", "scale"] if capped else [""]), min_size=5, max_size=5))
    if curved and draw(st.booleans()):
        kinds[4] = "yes"
        table["e"] = (rng.random(UNITS) < 0.5).astype(float)
        table.loc[:1, "e"] = [0.0, 1.0]
    scales = {"": None, "scale": rox.Likert(1, 5, whole=False), "yes": rox.Binary()}
    constructs = [
        rox.Construct(name=n, factor="outcomes", source="unit", items=[rox.Item(name=n, scale=scales[k])])
        for n, k in zip(NAMES, kinds, strict=True)
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=[f"{a} -> {b}" for a, b in edges])
    return rox.fit(m, rox.Study(m, unit=table.assign(u=range(UNITS)), by="u"), se="standard")


@st.composite
def actions(draw, name="x", kinds=("shift", "set"), timed=True):
    kind = draw(st.sampled_from(kinds))
    target = draw(st.sampled_from(NAMES[:4]))
    amount = draw(st.floats(-1, 1)) if kind == "shift" else draw(st.floats(2, 4))
    units = draw(st.none() | st.lists(st.integers(0, UNITS - 1), min_size=1, unique=True))
    time = {"start": draw(st.integers(1, 3)), "ramp": draw(st.integers(0, 2)), "fade": draw(st.floats(0, 1))}
    return rox.Intervention(name=name, **{kind: {target: amount}}, units=units, **(time if timed else {}))


def changes(fit, given, **options):
    return rox.simulate(fit, given, **{"horizon": 4, "draws": 8, "seed": 1, **options}).changes


@laws
@given(worlds(), actions())
def test_an_action_moves_its_descendants_only(fit, action):
    (target,) = (action.shift or action.set).keys()
    graph = nx.DiGraph([(e.cause, e.effect) for e in fit.model.edges])
    graph.add_nodes_from(NAMES)
    moved = {target, *nx.descendants(graph, target)}
    found = np.abs(changes(fit, [action])).max(axis=(0, 1))
    assert not found[[i for i, name in enumerate(NAMES) if name not in moved]].any()


@laws
@given(worlds(), actions())
def test_before_its_start_nothing_happens(fit, action):
    assert not changes(fit, [action])[:, : action.start - 1].any()


@laws
@given(worlds(curved=False, capped=False), actions("x", ("shift",)), actions("y", ("shift",)), st.floats(-2, 2))
def test_without_scales_and_curves_effects_are_linear(fit, one, two, factor):
    a, b = changes(fit, [one]), changes(fit, [two])
    np.testing.assert_allclose(changes(fit, [one, two]), a + b, **EXACT)
    scaled = one.replace(shift={name: factor * amount for name, amount in one.shift.items()})
    np.testing.assert_allclose(changes(fit, [scaled]), factor * a, **EXACT)


@laws
@given(worlds(curved=False, capped=False), actions("x", ("shift",), timed=False))
def test_a_linear_world_is_its_closed_form(fit, action):
    total = np.linalg.inv(np.eye(5) - fit.system(fit.answer_draws(8, 1)).coefficients)
    ((name, amount),) = action.shift.items()
    share = 1.0 if action.units is None else len(action.units) / UNITS
    expected = amount * share * total[:, :, NAMES.index(name)]
    np.testing.assert_allclose(changes(fit, [action]), np.repeat(expected[:, None], 4, axis=1), **EXACT)


@laws
@given(worlds(), st.sampled_from(NAMES[:4]), st.floats(2, 4))
def test_do_sets_the_level_whatever_happens_upstream(fit, target, level):
    do = rox.Intervention(name="do", set={target: level})
    push = rox.Intervention(name="push", shift={"a": 0.5})
    place = NAMES.index(target)
    alone = changes(fit, [do])
    assert alone[:, :, place] == pytest.approx(level - fit.population.mean[place], abs=1e-9)
    if target != "a":
        np.testing.assert_allclose(changes(fit, [do, push])[:, :, place], alone[:, :, place], **EXACT)


@laws
@given(worlds(), actions("x", ("shift",)), actions("y"))
def test_nothing_leaves_its_scale(fit, one, two):
    """The mean of units inside 1 to 5 stays inside, however hard all are pushed."""
    hard = one.replace(shift={name: 4.0 if amount > 0 else -4.0 for name, amount in one.shift.items()})
    found, mean = changes(fit, [hard, two]), fit.population.mean
    for place, construct in enumerate(fit.model.constructs):
        if construct.ends == (1, 5):
            reached = mean[place] + found[:, :, place]
            assert reached.min() >= 1 - 1e-9
            assert reached.max() <= 5 + 1e-9


@laws
@given(worlds(), actions())
def test_probabilities_stay_probabilities(fit, action):
    if fit.families[4] != "logit":
        return
    found = changes(fit, [action])[:, :, 4]
    assert (np.abs(found) <= 1).all()


@laws
@given(worlds(), actions(), st.integers(1, 8))
def test_fewer_draws_and_waves_are_the_first_of_more(fit, action, draws):
    whole = changes(fit, [action])
    np.testing.assert_allclose(changes(fit, [action], draws=draws), whole[:draws], **EXACT)
    short = action.replace(start=1)
    np.testing.assert_allclose(changes(fit, [short], horizon=2), changes(fit, [short])[:, :2], **EXACT)


@laws
@given(worlds(), actions("x"), st.just(0.0) | st.floats(1e-3, 1e5), st.floats(-0.5, 1))
def test_money_adds_up(fit, action, cost, discount):
    answer = rox.simulate(
        fit, [action.replace(cost=cost)], horizon=4, draws=8, seed=1, value={"e": 100.0}, discount=discount
    )
    table = answer.rox()
    np.testing.assert_allclose(table["npv"], table["benefit"] - table["cost"], rtol=1e-9, atol=1e-6)
    flows = answer.changes[:, :, 4] * 100.0 * UNITS / (1 + discount) ** np.arange(1, 5)
    np.testing.assert_allclose(table.loc[0, "benefit"], flows.sum(axis=1).mean(), rtol=1e-9, atol=1e-6)
    assert table["prob_positive"].between(0, 1).all()
    if cost:
        np.testing.assert_allclose(table["rox"], table["npv"] / table["cost"], rtol=1e-9)
