"""Rules that say which units an action covers: against sorting by hand, in fits with units, predictions, or none."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.errors import RoxError, RoxWarning, SimulationError
from roxmodel.result.levels import complete_levels
from roxmodel.simulation.actions import read_actions, support_notes
from roxmodel.simulation.intervention import covered_by

EXACT = {"rtol": 1e-12, "atol": 0.0}  # algebra in double precision
laws = settings(max_examples=150, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

# whole levels have ties, nan is a unit without a score
levels = st.lists(st.integers(-3, 3).map(float) | st.floats(-3, 3) | st.just(float("nan")), min_size=1, max_size=25)
fractions = st.floats(0.01, 1.0)


def by_hand(kind, found, share=None, level=None):
    """Places of the units covered: the known ones put in a row, the first so many taken."""
    known = [(value, place) for place, value in enumerate(found) if not np.isnan(value)]
    if kind in {"below", "above"}:
        return {place for value, place in known if (value < level if kind == "below" else value > level)}
    if not known:
        return set()
    turned = [((-value if kind == "highest" else value), place) for value, place in known]
    exact = share * len(known)
    lower = int(exact // 1)
    count = lower + (exact - lower > 0.5 or (exact - lower == 0.5 and lower % 2 == 1))
    return {place for _, place in sorted(turned)[: max(count, 1)]}


@laws
@given(levels, fractions, st.sampled_from(["lowest", "highest"]))
def test_a_share_is_the_first_so_many_in_a_row(found, share, kind):
    rule = {"lowest": rox.Lowest, "highest": rox.Highest}[kind](on="x", share=share)
    covered = covered_by(rule, np.array(found))
    assert set(np.flatnonzero(covered)) == by_hand(kind, found, share=share)


@laws
@given(levels, st.integers(-3, 3).map(float) | st.floats(-4, 4), st.sampled_from(["below", "above"]))
def test_a_threshold_leaves_out_who_stands_on_it(found, level, kind):
    rule = {"below": rox.Below, "above": rox.Above}[kind](on="x", level=level)
    assert set(np.flatnonzero(covered_by(rule, np.array(found)))) == by_hand(kind, found, level=level)


@laws
@given(levels, fractions)
def test_nobody_covered_is_above_anybody_left_out(found, share):
    array = np.array(found)
    known = ~np.isnan(array)
    low, high = (covered_by(kind(on="x", share=share), array) for kind in (rox.Lowest, rox.Highest))
    for covered, sign in ((low, 1), (high, -1)):
        rest = known & ~covered
        if covered.any() and rest.any():
            assert (sign * array[covered]).max() <= (sign * array[rest]).min()
    assert not (low | high)[~known].any()
    assert low.sum() == high.sum() == min(max(1, round(share * known.sum())), known.sum())


def test_of_equal_levels_the_first_are_taken():
    tied = np.array([2.0, 1.0, 1.0, 1.0, 2.0])
    assert covered_by(rox.Lowest(on="x", share=0.4), tied).tolist() == [False, True, True, False, False]
    assert covered_by(rox.Highest(on="x", share=0.2), tied).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
@pytest.mark.parametrize("kind", [rox.Lowest, rox.Highest])
def test_a_share_that_is_none_is_refused(kind, share):
    with pytest.raises(SimulationError, match=rf"{kind.__name__}\(on='x'\) covers the share {share:g} of the units"):
        kind(on="x", share=share)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: rox.Below(on="x"), "needs 'level'"),
        (lambda: rox.Above(on="x", level="4"), "'level' was '4'"),
        (lambda: rox.Lowest(on="x", share=True), "'share' was True"),
        (lambda: rox.Lowest(on="x", shar=0.5), r"no argument 'shar'\. Did you mean 'share'\?"),
        (lambda: rox.Lowest("x"), r"given 'x' without saying what it is"),
        (lambda: rox.Lowest(on=3), "'on' was 3"),
    ],
)
def test_rules_that_make_no_sense_are_refused(made, message):
    with pytest.raises(RoxError, match=message):
        made()


# --- in a fit


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(60, seed=4, employees=(15, 30), customers=(15, 30), without_customers=0.2)


@pytest.fixture(scope="module")
def fits(world, tmp_path_factory):
    path = rox.fit(world.model, world.study(), method="path")
    linked = rox.fit(world.model, world.study())
    folder = tmp_path_factory.mktemp("fits")
    documents = {
        f"{name} document": rox.load(fit.save(folder / f"{name}.json"))
        for name, fit in {"path": path, "linked": linked}.items()
    }
    return {"path": path, "linked": linked, **documents}


RULES = [
    rox.Lowest(on="value", share=0.25),
    rox.Highest(on="pride", share=0.3),
    rox.Below(on="behaviours", level=3.5),
    rox.Above(on="loyalty", level=3.4),
]
KINDS = ("path", "linked", "path document", "linked document")


def action(rule, name="act", **options):
    return rox.Intervention(name=name, **{"shift": {"pride": 0.1}, **options}, units=rule)


def levels_of(fit, seed):
    """What a rule looks at: scores, predictions, or levels drawn from mean and covariance."""
    return fit.population.levels if fit.population.levels is not None else complete_levels(fit, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_rule_covers_units_by_what_is_known_of_them(fits, kind, rule):
    fit = fits[kind]
    found = levels_of(fit, seed=3)[:, fit.model.names.index(rule.on)]
    expected = by_hand(rule.kind, found, getattr(rule, "share", None), getattr(rule, "level", None))
    (read,), notes = read_actions(fit, [action(rule)], 2, 60, seed=3)
    assert set(np.flatnonzero(read.covers)) == expected
    assert notes[0].startswith(f"act: {rule.kind} on {rule.on!r} covers {len(expected)} of {len(found)} units")
    assert ("by what is predicted of them" in notes[0]) == (kind == "linked")
    assert ("drawn from mean and covariance" in notes[0]) == ("document" in kind)


def test_units_without_a_score_are_not_covered(fits):
    fit = fits["path"]
    holes = np.isnan(fit.population.levels[:, fit.model.names.index("value")])
    assert holes.sum() == 12
    (read,), _ = read_actions(fit, [action(rox.Lowest(on="value", share=1.0))], 1, 60)
    np.testing.assert_array_equal(read.covers, (~holes).astype(float))


@pytest.mark.parametrize("kind", ["path", "linked"])
def test_a_rule_is_the_list_of_the_units_it_covers(fits, kind):
    fit = fits[kind]
    (read,), _ = read_actions(fit, [action(RULES[0])], 1, 60)
    named = [unit for unit, covered in zip(fit.population.units, read.covers, strict=True) if covered]
    options = {"cost": 5.0, "cost_per_unit": 2.0, "set": {"behaviours": 4.0}, "ramp": 1}
    by_rule, by_name = (
        rox.simulate(fit, [action(units, **options)], horizon=3, draws=20, seed=1, value={"revenue": 100.0})
        for units in (RULES[0], named)
    )
    np.testing.assert_array_equal(by_rule.changes, by_name.changes)
    assert by_rule.money[0].cost == by_name.money[0].cost == 5.0 + 2.0 * len(named)


@pytest.mark.parametrize("kind", ["path document", "linked document"])
def test_without_units_a_rule_covers_drawn_ones_and_the_money_is_counted_over_all(fits, kind):
    """Of a document as many units are drawn as there were; they stand for so many as n_units says."""
    fit, rule = fits[kind], rox.Lowest(on="pride", share=0.25)
    share = 15 / 60
    whole, part = (
        rox.simulate(
            fit, [action(units, cost_per_unit=8.0)], horizon=1, draws=50, seed=2, value={"revenue": 9.0}, n_units=900
        )
        for units in (None, rule)
    )
    assert part.money[0].cost == pytest.approx(8.0 * 900 * share)
    assert whole.money[0].cost == pytest.approx(8.0 * 900)
    np.testing.assert_allclose(part.changes[:, 0, 1], share * whole.changes[:, 0, 1], rtol=1e-9)
    np.testing.assert_allclose(part.money[0].gains, part.changes[:, :, 5] * 9.0 * 900, rtol=1e-9)


def test_equal_seeds_draw_equal_units(fits):
    fit = fits["path document"]

    def covers(seed):
        return read_actions(fit, [action(RULES[0])], 1, 60, seed)[0][0].covers

    np.testing.assert_array_equal(covers(1), covers(1))
    np.testing.assert_array_equal(covers(None), covers(0))
    assert (covers(1) != covers(2)).any()


@pytest.mark.parametrize("kind", ["path document", "linked document"])
def test_support_of_a_rule_in_a_document_is_that_of_the_units_it_covers(fits, kind):
    """The highest quarter leaves what was seen long before the mean does; the lowest stays inside."""
    fit, step = fits[kind], 0.25
    place = fit.model.names.index("pride")
    at = complete_levels(fit, 5)[:, place]
    low, high = fit.population.low[place], fit.population.high[place]
    for rule in (rox.Highest(on="pride", share=0.25), rox.Lowest(on="pride", share=0.25)):
        actions, _ = read_actions(fit, [action(rule, shift={"pride": step})], 1, 60, seed=5)
        after = at[actions[0].covers > 0] + step
        far = ((after > high) | (after < low)).mean() > 0.25 or not low <= after.mean() <= high
        assert bool(support_notes(fit, actions, seed=5)) == far
        assert far == isinstance(rule, rox.Highest)
    halves = [action(rox.Highest(on="pride"), name, shift={"pride": step / 2}) for name in "ab"]
    actions, _ = read_actions(fit, halves, 1, 60, seed=5)
    assert any("a and b moves 'pride'" in note for note in support_notes(fit, actions, seed=5))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoxWarning)
        rox.simulate(fit, [action(rox.Lowest(on="pride"), shift={"pride": 0.05})], horizon=1, draws=5, seed=0)


def test_rows_have_rules_too():
    """A single-level fit by method path: units are rows."""
    rng = np.random.default_rng(0)
    pride = rng.normal(4, 0.5, 80)
    table = pd.DataFrame({"pride": pride, "sales": 3 * pride + rng.normal(0, 1, 80)})
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    fit = rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=["pride -> sales"]), table, method="path")
    run = rox.simulate(fit, [action(rox.Lowest(on="pride", share=0.5))], horizon=1, draws=5, seed=1)
    np.testing.assert_allclose(run.changes[:, 0, 0], 0.05, rtol=1e-9)
    assert any("covers 40 of 80 rows" in note for note in run.notes)


# --- what is refused


def test_rules_that_name_nothing_or_cover_nobody_are_refused(fits):
    fit = fits["path"]
    for rule, message in (
        (rox.Lowest(on="prid"), r"'act' covers units by 'prid', which is no construct\. Did you mean 'pride'\?"),
        (rox.Below(on="pri1", level=3), "covers units by 'pri1', which is no construct"),
        (rox.Below(on="pride", level=0), "'act' covers no unit: none is below on 'pride' as it says"),
        (rox.Above(on="pride", level=5), "'act' covers no unit: none is above on 'pride'"),
    ):
        with pytest.raises(SimulationError, match=message):
            rox.simulate(fit, [action(rule)], horizon=1, draws=5)


def test_without_means_there_is_no_level_to_go_by():
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    m = rox.RoxModel(name="paper", constructs=constructs, edges=["pride -> sales"])
    fit = rox.fit(m, rox.Moments.from_correlation(["pride", "sales"], [[1, 0.5], [0.5, 1]], n=200), method="path")
    with pytest.raises(SimulationError, match="'act' covers units by their level, but this fit has no means"):
        rox.simulate(fit, [action(rox.Lowest(on="pride"))], horizon=1, draws=5)


def test_units_of_nobody_have_no_cost_of_each():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"pride": rng.normal(4, 0.5, 80), "sales": rng.normal(4, 0.5, 80)})
    constructs = [
        rox.Construct(name=name, factor=factor, source="employee", items=[name])
        for name, factor in (("pride", "pride"), ("sales", "outcomes"))
    ]
    fit = rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=["pride -> sales"]), table, method="path")
    with pytest.raises(SimulationError, match=r"'act' has a cost per unit, but this fit has no units\. Say how many"):
        rox.simulate(fit, [action(None, cost_per_unit=3.0)], horizon=1, draws=5)
    run = rox.simulate(
        fit, [action(rox.Lowest(on="pride"), running_per_unit=3.0)], horizon=2, draws=5, n_units=40, value={"sales": 1}
    )
    assert run.money[0].cost == pytest.approx(2 * 3.0 * 10)
