"""How actions combine, contradict and need each other: against arithmetic done unit by unit and wave by wave."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.simulation.actions import contradictions, lever_of, read_actions, support_notes
from roxmodel.simulation.intervention import response_to, shares

EXACT = {"rtol": 1e-9, "atol": 1e-9}  # algebra in double precision
laws = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
UNITS, WAVES, DRAWS = 12, 4, 3
NAMES = ("x", "y", "z")


def made(order=NAMES, scale=None):
    """x -> y -> z, x -> z: figures of twelve units, numbered from 0."""
    rng = np.random.default_rng(3)
    x = rng.normal(10, 2, UNITS)
    y = 3 + 0.5 * x + rng.normal(0, 1, UNITS)
    table = pd.DataFrame({"u": range(UNITS), "x": x, "y": y, "z": 20 + 2 * y - 0.3 * x + rng.normal(0, 1, UNITS)})
    constructs = [
        rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])
        for name in order
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["x -> y", "x + y -> z"])
    return rox.fit(m, rox.Study(m, unit=table, by="u"), method="path", se="standard")


FIT = made()
LEVELS = FIT.population.levels
B = FIT.system(FIT.answer_draws(DRAWS, 1)).coefficients


@st.composite
def actions(draw, name, kinds=("shift", "scale", "set"), places=NAMES):
    deeds: dict[str, dict[str, float]] = {}
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=2, unique=True)):
        kind = draw(st.sampled_from(kinds))
        low, high = {"shift": (-2, 2), "scale": (0, 2), "set": (5, 30)}[kind]
        deeds.setdefault(kind, {})[place] = draw(st.floats(low, high))
    units = draw(st.none() | st.lists(st.integers(0, UNITS - 1), min_size=1, max_size=6, unique=True))
    hold = draw(st.none() | st.integers(0, 1))
    fade = draw(st.sampled_from([0.0, 0.5, 1.0]))
    start, ramp = draw(st.integers(1, WAVES)), draw(st.integers(0, 2))
    return rox.Intervention(name=name, **deeds, units=units, start=start, ramp=ramp, hold=hold, fade=fade)


def plans(**options):
    return st.integers(1, 4).flatmap(lambda n: st.tuples(*(actions(name, **options) for name in "pqrs"[:n])))


def in_force(action, unit, wave):
    return shares(action, WAVES)[wave] * (action.units is None or unit in action.units)


def clashes(given_actions):
    """Pairs that set one construct, or set and scale it, in one unit and wave."""
    found = set()
    for one, two in itertools.combinations(given_actions, 2):
        for unit, wave in itertools.product(range(UNITS), range(WAVES)):
            if in_force(one, unit, wave) and in_force(two, unit, wave):
                for a, b in ((one, two), (two, one)):
                    if set(a.set or {}) & {*(b.set or {}), *(b.scale or {})}:
                        found.add((one.name, two.name))
    return found


def by_hand(given_actions):
    """(draws, waves, k) mean over the units: causes, then what is set in their place, then factors and shifts."""
    changes = np.zeros((DRAWS, WAVES, UNITS, 3))
    for draw, wave, unit in itertools.product(range(DRAWS), range(WAVES), range(UNITS)):
        now = changes[draw, wave, unit]
        for place, name in enumerate(NAMES):
            level, change, factor, points = LEVELS[unit, place], B[draw, place] @ now, 1.0, 0.0
            for action in given_actions:
                share = in_force(action, unit, wave)
                if name in (action.set or {}) and share > 0:
                    change = share * (action.set[name] - level) + (1 - share) * change
                factor *= 1 + share * ((action.scale or {}).get(name, 1.0) - 1)
                points += share * (action.shift or {}).get(name, 0.0)
            now[place] = change + (factor - 1) * level + points
    return changes.mean(axis=2)


def changes_of(given_actions, fit=FIT):
    return rox.simulate(fit, given_actions, horizon=WAVES, draws=DRAWS, seed=1).changes


# --- how actions combine


@pytest.mark.slow
@laws
@given(plans())
def test_actions_combine_by_the_rules(plan):
    assume(not clashes(plan))
    np.testing.assert_allclose(changes_of(plan), by_hand(plan), **EXACT)


@pytest.mark.slow
@laws
@given(plans(), st.randoms(use_true_random=False))
def test_the_order_of_actions_does_not_matter(plan, random):
    assume(not clashes(plan))
    turned = list(plan)
    random.shuffle(turned)
    np.testing.assert_allclose(changes_of(turned), changes_of(plan), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@laws
@given(plans(kinds=("shift",)))
def test_shifts_add_up(plan):
    """In a graph without ends of scales: of construct, units and waves, whatever they are."""
    alone = [changes_of([action]) for action in plan]
    np.testing.assert_allclose(changes_of(plan), np.sum(alone, axis=0), **EXACT)


@laws
@given(plans(kinds=("scale",), places=("x",)))
def test_factors_multiply_from_the_level_before(plan):
    """Of x, which nothing causes: the level becomes the product of all factors in force."""
    found = changes_of(plan)[0, :, 0]
    for wave in range(WAVES):
        after = [
            LEVELS[unit, 0] * np.prod([1 + in_force(a, unit, wave) * ((a.scale or {})["x"] - 1) for a in plan])
            for unit in range(UNITS)
        ]
        assert found[wave] == pytest.approx(np.mean(after) - LEVELS[:, 0].mean(), abs=1e-9)


@laws
@given(st.floats(5, 30), st.floats(-2, 2), st.floats(-2, 2))
def test_what_is_set_does_not_listen_to_its_causes(level, above, beside):
    """But a shift of the construct itself comes on top."""
    hold = rox.Intervention(name="hold", set={"y": level})
    push = rox.Intervention(name="push", shift={"x": above})
    own = rox.Intervention(name="own", shift={"y": beside})
    still = changes_of([hold])[:, :, 1]
    np.testing.assert_allclose(still, level - LEVELS[:, 1].mean(), **EXACT)
    np.testing.assert_allclose(changes_of([hold, push])[:, :, 1], still, **EXACT)
    np.testing.assert_allclose(changes_of([hold, push, own])[:, :, 1], still + beside, **EXACT)


def test_half_a_setting_takes_half_of_the_causes_away():
    hold = rox.Intervention(name="hold", set={"y": 12.0}, ramp=1)
    push = rox.Intervention(name="push", shift={"x": 1.0})
    found = changes_of([hold, push])[:, :, 1]
    np.testing.assert_allclose(found[:, 0], 0.5 * (12 - LEVELS[:, 1].mean()) + 0.5 * B[:, 1, 0], **EXACT)
    np.testing.assert_allclose(found[:, 1], 12 - LEVELS[:, 1].mean(), **EXACT)


def test_setting_some_units_leaves_the_others_alone():
    some = [2, 5, 9]
    found = changes_of([rox.Intervention(name="hold", set={"y": 12.0}, units=some)])
    moved = (12.0 - LEVELS[some, 1]).sum() / UNITS
    np.testing.assert_allclose(found[:, 0, 1], moved, **EXACT)
    np.testing.assert_allclose(found[:, 0, 2], B[:, 2, 1] * moved, **EXACT)
    assert not found[:, :, 0].any()


def test_one_action_may_do_several_things():
    one = rox.Intervention(name="one", shift={"x": 1.0}, scale={"y": 1.1}, set={"z": 30.0}, ramp=1)
    parts = [
        rox.Intervention(name=name, ramp=1, **deed)
        for name, deed in {"a": {"shift": {"x": 1.0}}, "b": {"scale": {"y": 1.1}}, "c": {"set": {"z": 30.0}}}.items()
    ]
    np.testing.assert_allclose(changes_of([one]), changes_of(parts), **EXACT)


# --- contradictions


@pytest.mark.slow
@laws
@given(plans())
def test_contradictions_are_those_of_equal_units_and_waves(plan):
    read, _ = read_actions(FIT, plan, WAVES, UNITS)
    found = {(read[i].name, read[j].name) for i, j, _ in contradictions(FIT, read)}
    assert found == clashes(plan)
    if found:
        with pytest.raises(SimulationError, match=r"Interventions '\w' and '\w' both set|set and scale"):
            changes_of(plan)


SET = {"set": {"y": 12.0}}


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        (SET, SET, "both set 'y' in the same units and waves"),
        (SET, {"scale": {"y": 1.1}}, "set and scale 'y' in the same units and waves"),
        ({"scale": {"y": 1.1}}, SET, "set and scale 'y'"),
        (SET, {"shift": {"y": 1.0}}, None),
        ({"scale": {"y": 1.1}}, {"scale": {"y": 1.1}}, None),
        (SET, {"set": {"x": 12.0}}, None),
        ({**SET, "units": [1, 2]}, {**SET, "units": [3]}, None),
        ({**SET, "units": [1, 2]}, {**SET, "units": [2, 3]}, "both set 'y'"),
        ({**SET, "units": [1, 2]}, SET, "both set 'y'"),
        ({**SET, "units": [1, 2], "hold": 1, "fade": 1.0}, {**SET, "units": [2], "start": 3}, None),
        ({**SET, "hold": 1, "fade": 1.0}, {**SET, "start": 2}, "both set 'y'"),
        ({**SET, "fade": 0.9}, {**SET, "start": 4}, "both set 'y'"),
        ({**SET, "units": rox.Lowest(on="y")}, {**SET, "units": rox.Highest(on="y")}, None),
        ({**SET, "units": rox.Lowest(on="y")}, {**SET, "units": rox.Below(on="y", level=50)}, "both set 'y'"),
    ],
)
def test_only_what_cannot_both_be_done_is_refused(one, two, clash):
    pair = [rox.Intervention(name="one", **one), rox.Intervention(name="two", **two)]
    if clash is None:
        changes_of(pair)
    else:
        with pytest.raises(SimulationError, match=f"'one' and 'two' {clash}.*different units or waves"):
            changes_of(pair)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([{"requires": "b"}], r"'a' requires 'b'\. Add 'b'"),
        (
            [{"requires": "b", "start": 1}, {"start": 2}],
            "'a' starts in wave 1 and requires 'b', which starts in wave 2",
        ),
        ([{"requires": "b", "start": 2}, {"start": 2}], None),
        ([{"requires": "b", "start": 3}, {"start": 1}], None),
        ([{"excludes": "b"}], None),
        ([{"excludes": "b"}, {}], r"'a' excludes 'b'\. Keep one of the two"),
        ([{}, {"excludes": ("c", "a")}], "'b' excludes 'a'"),
        ([{"requires": ("b", "c")}, {}], "'a' requires 'c'"),
        ([{"must": True}], None),
    ],
)
def test_what_needs_or_bars_another_is_looked_at(options, message):
    plan = [rox.Intervention(name=name, shift={"x": 0.1}, **one) for name, one in zip("abc", options, strict=False)]
    if message is None:
        changes_of(plan)
    else:
        with pytest.raises(SimulationError, match=message):
            changes_of(plan)


# --- doses, items


@laws
@given(st.floats(0.1, 3.0), st.none() | st.floats(0.1, 3.0))
def test_a_dose_multiplies_costs_and_bends_effects(dose, half):
    deed = {"shift": {"x": 0.5}, "scale": {"y": 0.9}}
    money = {"cost": 10.0, "running": 2.0, "cost_per_unit": 3.0, "running_per_unit": 0.5}
    one = rox.Intervention(name="a", **deed, **money, dose=dose, dose_range=(0, 3), half_dose=half)
    more = response_to(dose, half)
    plain = rox.Intervention(name="a", shift={"x": 0.5 * more}, scale={"y": 1 - 0.1 * more})
    np.testing.assert_allclose(changes_of([one]), changes_of([plain]), **EXACT)
    (read,), _ = read_actions(FIT, [one], WAVES, UNITS)
    first = 10 + 2 + 12 * 3.5
    np.testing.assert_allclose(read.spent, dose * np.array([first, *[2 + 12 * 0.5] * (WAVES - 1)]), rtol=1e-12)


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(40, seed=6, employees=(10, 20), customers=(10, 20))


@pytest.fixture(scope="module")
def linked(world):
    return rox.fit(world.model, world.study())


def test_items_are_levers_of_their_construct(linked):
    """By latent methods a shift of one item is that over the sum of the loadings, the first being 1."""
    rows = linked.parameters().set_index("id")["estimate"]
    total = sum(rows[f"loading:pride=~pri{i}"] for i in (1, 2, 3, 4)) / rows["loading:pride=~pri1"]
    pride = linked.model.find("pride")
    for item in pride.items:
        assert lever_of(linked, pride, item) == pytest.approx(1 / total, rel=1e-9)
    both = rox.Intervention(name="a", shift={"pri1": 0.3, "pri3": 0.2, "pride": 0.1})
    (read,), notes = read_actions(linked, [both], 1, 40)
    assert read.shift == {1: pytest.approx(0.1 + 0.5 / total, rel=1e-9)}
    assert sum("treated as a lever" in note for note in notes) == 2


def test_keys_of_units_are_read_as_the_study_reads_them():
    for units in ([3, 5], [3.0, 5.0], np.array([3, 5]), np.array([3.0, 5.0]), {3, 5}, [3, 5, 5]):
        (read,), _ = read_actions(FIT, [rox.Intervention(name="a", shift={"x": 1.0}, units=units)], 1, UNITS)
        assert np.flatnonzero(read.covers).tolist() == [3, 5]


# --- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": {"prid": 1.1}}, r"'a' scales 'prid', which is no construct\. Did you mean 'pride'\?"),
        ({"scale": {"pri1": 1.1}}, r"'a' scales the item 'pri1'; .*Scale 'pride', or shift the item"),
        ({"set": {"pri1": 3}}, "'a' sets 'pri1', which is no construct"),
        (
            {"shift": {"pri1": 1.0}, "dose": 5, "dose_range": (0, 9)},
            "shifts 'pri1' by 5 points, more than its whole scale",
        ),
        ({"shift": {"pride": 1.0}, "units": [True]}, "names the unit True, which is not in the study"),
        ({"shift": {"pride": 1.0}, "units": [float("nan")]}, "names the unit nan, which is not in the study"),
        ({"shift": {"pride": 1.0}, "units": ["B001", "b002"]}, r"unit 'b002'.*Did you mean 'B002'\?"),
    ],
)
def test_actions_that_cannot_be_read_are_named(linked, options, message):
    with pytest.raises(SimulationError, match=message):
        rox.simulate(linked, [rox.Intervention(name="a", **options)], horizon=1, draws=5)


def test_a_factor_needs_a_level_to_count_from():
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    m = rox.RoxModel(name="paper", constructs=constructs, edges=["pride -> sales"])
    fit = rox.fit(m, rox.Moments.from_correlation(["pride", "sales"], [[1, 0.5], [0.5, 1]], n=200), method="path")
    with pytest.raises(SimulationError, match="'a' scales 'pride', but this fit has no means"):
        rox.simulate(fit, [rox.Intervention(name="a", scale={"pride": 1.1})], horizon=1, draws=5)


# --- leaving what was observed


@laws
@given(plans())
def test_support_is_looked_at_unit_by_unit(plan):
    """More than a quarter of the covered units beyond the lowest or highest level seen, or their mean."""
    low, high = LEVELS.min(axis=0), LEVELS.max(axis=0)
    expected = set()
    for action in plan:
        most = shares(action, WAVES).max()
        units = [u for u in range(UNITS) if action.units is None or u in action.units]
        for place, name in enumerate(NAMES):
            at = LEVELS[units, place]
            for deed, after in (
                (action.shift, lambda v, at=at, most=most: at + v * most),
                (action.scale, lambda v, at=at, most=most: at * (1 + (v - 1) * most)),
                (action.set, lambda v, at=at: np.full(len(at), v)),
            ):
                if name in (deed or {}):
                    reached = after(deed[name])
                    beyond = ((reached < low[place]) | (reached > high[place])).mean()
                    if beyond > 0.25 or not low[place] <= reached.mean() <= high[place]:
                        expected.add(f"{action.name} moves {name!r}")
    read, _ = read_actions(FIT, plan, WAVES, UNITS)
    notes = {note.split(" beyond")[0] for note in support_notes(FIT, read)}
    assert {note for note in notes if " and " not in note} == expected


def test_staying_inside_does_not_warn():
    inside = rox.Intervention(name="a", shift={"x": 0.1}, scale={"y": 1.01}, units=[int(np.argsort(LEVELS[:, 0])[3])])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoxWarning)
        changes_of([inside])
