"""Laws of method "linked": what does not matter does not matter, and a replicate is a fit."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.estimate.latent.sample import linked_sample
from roxmodel.estimate.latent.solve import solve_between, solved_again

pytestmark = pytest.mark.slow

SOLVED = {"rtol": 1e-5, "atol": 1e-6}  # two runs of an iteration that stops at 1e-13 of squared standard errors
ERRORS = {"rtol": 1e-4, "atol": 1e-5}  # curvatures there
laws = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 10_000)
ways = st.sampled_from([
    {}, {"holes": 0.15}, {"within": "saturated"}, {"within": "saturated", "holes": 0.15},
    {"within": "model", "holes": 0.1}, {"se": "robust"}, {"cluster": "region"},
])  # fmt: skip
ITEMS = [f"{prefix}{k}" for prefix in "ec" for k in (1, 2, 3)]
SOURCES = {"e": "staff", "c": "guests", "m": "money"}


def model(reverse=(), **options):
    def items(prefix):
        likert = rox.Likert(low=1, high=7) if reverse else None
        return [rox.Item(name=f"{prefix}{k}", reverse=f"{prefix}{k}" in reverse, scale=likert) for k in (1, 2, 3)]

    constructs = [
        rox.Construct(name="staff", factor="pride", source="employee", items=items("e")),
        rox.Construct(name="guests", factor="outcomes", source="customer", items=items("c")),
        rox.Construct(name="money", factor="outcomes", source="unit", items=["m"], **options),
    ]
    return rox.RoxModel(name="laws", constructs=constructs, edges=["staff -> guests", "guests + staff -> money"])


def frames_of(seed, holes=0.0, units=40, sizes=(8, 15)):
    """Three answers a construct, clear of every bound."""
    rng = np.random.default_rng(seed)
    staff = rng.normal(size=units)
    guests = 0.6 * staff + 0.6 * rng.normal(size=units)
    money = 0.5 * guests + 0.3 * staff + 0.6 * rng.normal(size=units) + 10
    found = []
    for level, prefix in ((staff, "e"), (guests, "c")):
        unit = np.repeat(np.arange(units), rng.integers(*sizes, units))
        own = 0.5 * rng.normal(size=(units, 3))
        answers = level[unit, None] * [1, 0.9, 1.1] + own[unit] + 0.5 * rng.normal(size=(len(unit), 1)) + 4
        answers += 0.5 * rng.normal(size=answers.shape)
        answers[rng.random(answers.shape) < holes] = np.nan
        found.append(pd.DataFrame(answers, columns=[f"{prefix}{k}" for k in (1, 2, 3)]).assign(key=unit))
    return (*found, pd.DataFrame({"key": np.arange(units), "m": money, "region": np.arange(units) % 8}))


def study_of(frames, m=None, **options):
    return rox.Study(m or model(), employee=frames[0], customer=frames[1], unit=frames[2], by="key", **options)


def fitted(frames, way=None, m=None, **options):
    asked = {k: v for k, v in ((way or {}) | options).items() if k != "holes"}
    study = study_of(frames, m, min_group=1)  # which unit of several equally small ones hides another, its name decides
    return rox.fit(m or model(), study, method="linked", progress=False, **asked)


def of(seed, way):
    return frames_of(seed, way.get("holes", 0.0))


def by_id(fit, *columns):
    return fit.parameters().set_index("id")[list(columns)].astype(float).sort_index()


def assert_same_numbers(one, two, columns=("estimate", "se", "standardized")):
    for column in columns:
        left, right = (by_id(fit, column)[column] for fit in (one, two))
        assert list(left.index) == list(right.index)
        np.testing.assert_allclose(right, left, err_msg=column, **(ERRORS if column == "se" else SOLVED))


def assert_same_indices(one, two, shift=0.0):
    for name, value in one.indices().items():
        moved = {"loglik": shift, "aic": -2 * shift, "bic": -2 * shift}.get(name, 0.0)
        close = {"rtol": 1e-4, "atol": 3e-3}  # chi-square's saturated model lacks up to 1e-3
        np.testing.assert_allclose(two.indices()[name], value + moved, err_msg=name, **close)


@laws
@given(seeds, ways, st.randoms(use_true_random=False))
def test_row_order_does_not_matter(seed, way, random):
    frames = of(seed, way)
    orders = [list(range(len(f))) for f in frames]
    for order in orders:
        random.shuffle(order)
    one, two = fitted(frames, way), fitted([f.iloc[o] for f, o in zip(frames, orders, strict=True)], way)
    assert_same_numbers(one, two)
    assert_same_indices(one, two)


@laws
@given(seeds, ways, st.sampled_from([lambda k: f"branch {k:03d}", lambda k: f"{97 - k:03d}", lambda k: 1000 - k]))
def test_names_of_units_do_not_matter(seed, way, rename):
    frames = of(seed, way)
    one, two = fitted(frames, way), fitted([f.assign(key=f["key"].map(rename)) for f in frames], way)
    assert_same_numbers(one, two)
    assert_same_indices(one, two)
    left = one.unit_scores().assign(key=lambda t: t["key"].map(rename)).set_index("key")
    right = two.unit_scores().set_index("key").loc[left.index]
    np.testing.assert_allclose(right["staff"], left["staff"], rtol=1e-4, atol=1e-4)


@laws
@given(seeds, ways, st.data())
def test_units_of_measurement_change_units_only(seed, way, data):
    scaling = data.draw(st.sampled_from(["marker", "standardized"]))
    units = {name: data.draw(st.sampled_from([0.01, 0.1, 1.0, 10.0, 300.0])) for name in [*ITEMS, "m"]}
    shift = {name: data.draw(st.sampled_from([-5.0, 0.0, 20.0])) for name in [*ITEMS, "m"]}
    frames = of(seed, way)
    own = [[c for c in f if c in units] for f in frames]
    other = [f.assign(**{c: shift[c] + units[c] * f[c] for c in cs}) for f, cs in zip(frames, own, strict=True)]
    one, two = (fitted(f, way, scaling=scaling) for f in (frames, other))
    first = {"staff": units["e1"], "guests": units["c1"]} if scaling == "marker" else {"staff": 1.0, "guests": 1.0}
    unit_of = units | first | {"money": units["m"]}
    power = {
        "loading": lambda r: unit_of[r["right"]] / unit_of[r["left"]],
        "edge": lambda r: unit_of[r["right"]] / unit_of[r["left"]],
        "variance": lambda r: unit_of[r["left"]] ** 2,
        "covariance": lambda r: unit_of[r["left"]] * unit_of[r["right"]],
        "intercept": lambda r: unit_of[r["left"]],
    }
    right = two.parameters().set_index("id")
    for name, row in one.parameters().set_index("id").iterrows():
        size = power[row["kind"]](row)
        np.testing.assert_allclose(right.loc[name, "se"], size * row["se"], err_msg=name, rtol=1e-3)
        if row["kind"] == "intercept":  # moves with the items
            continue
        for column, unit in (("estimate", size), ("standardized", 1.0)):
            close = {"rtol": 1e-4, "atol": 1e-5 * unit}
            np.testing.assert_allclose(right.loc[name, column], unit * row[column], err_msg=name, **close)
    if way.get("within", "pooled") == "pooled":  # the density is that of the unit means
        counts = {c: f.groupby("key")[c].mean().notna().sum() for f, cs in zip(frames, own, strict=True) for c in cs}
    else:
        counts = {c: f[c].notna().sum() for f, cs in zip(frames, own, strict=True) for c in cs}
    assert_same_indices(one, two, shift=-sum(counts[c] * np.log(units[c]) for c in units))


@laws
@given(seeds, st.sampled_from([{}, {"within": "saturated"}, {"within": "model"}]))
def test_moments_of_two_halves_are_those_of_the_whole(seed, way):
    frames = frames_of(seed)
    odd = [np.random.default_rng(seed).random(len(f)) < 0.5 for f in frames[:2]]
    halves = [
        study_of([*(f[pick if half else ~pick] for f, pick in zip(frames[:2], odd, strict=True)), frames[2]]).moments
        for half in (True, False)
    ]
    one, two = rox.fit(model(), study_of(frames).moments, **way), rox.fit(model(), halves[0] + halves[1], **way)
    assert_same_numbers(one, two)
    assert_same_indices(one, two)


@laws
@given(seeds, ways, st.sets(st.sampled_from(["e1", "e2", "c3"]), min_size=1))
def test_reversed_items_are_turned(seed, way, reverse):
    frames = of(seed, way)
    whole = [f.assign(**{c: f[c].round().clip(1, 7) for c in f if c in ITEMS}) for f in frames]
    turned = [f.assign(**{c: 8 - f[c] for c in f if c in reverse}) for f in whole]
    scaled = model(reverse=("none",))
    one, two = fitted(whole, way, m=scaled), fitted(turned, way, m=model(reverse=tuple(reverse)))
    assert_same_numbers(one, two)
    assert_same_indices(one, two)


# --- the bootstrap


def again(frames, times):
    """The study in which each unit occurs so many times, under names of its own."""
    keys = np.repeat(np.arange(len(times)), times.astype(int))
    found = []
    for frame in frames:
        groups = dict(tuple(frame.groupby("key")))
        found.append(pd.concat([groups[k].assign(key=new) for new, k in enumerate(keys) if k in groups]))
    return found


def free(fit):
    return np.array(fit.theta)


@settings(laws, max_examples=2)
@given(seeds, st.sampled_from([{}, {"holes": 0.15}, {"cluster": "region"}]))
def test_a_replicate_is_a_fit_of_its_units(seed, way):
    frames = of(seed, way)
    fit = fitted(frames, way, bootstrap=5, seed=seed)
    draws = fit.bootstrap_draws()
    for replicate in range(min(3, len(draws))):
        weight = fit.bootstrap_weights(replicate)
        assert weight.sum() == 40
        if "cluster" in way:
            assert pd.Series(weight).groupby(frames[2]["region"].to_numpy()).nunique().max() == 1
        refit = fitted(again(frames, weight))
        np.testing.assert_allclose(draws[replicate], free(refit), rtol=1e-3, atol=1e-4)


def test_a_replicate_takes_its_own_share_of_a_reliability():
    frames, m = frames_of(3), model(reliability=0.7)
    fit = fitted(frames, m=m, bootstrap=4, seed=1)
    refit = fitted(again(frames, fit.bootstrap_weights(0)), m=m)
    np.testing.assert_allclose(fit.bootstrap_draws()[0], free(refit), rtol=1e-3, atol=1e-4)


def test_units_that_are_left_out_have_no_weight():
    frames = frames_of(5)
    frames[2].loc[len(frames[2])] = [40, np.nan, 0]  # a unit of which nothing is known
    fit = fitted(frames, bootstrap=4, seed=2)
    assert len(fit.bootstrap_weights(0)) == 41
    assert fit.bootstrap_weights(0)[40] == 0
    assert any("1 unit(s) hold no answer" in note for note in fit.notes)


@pytest.mark.parametrize("holes", [0.0, 0.15])
def test_equal_seeds_give_equal_replicates_whoever_works(monkeypatch, holes):
    frames = frames_of(7, holes)
    one = fitted(frames, bootstrap=20, seed=3)
    two = fitted(frames, bootstrap=20, seed=3)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    three = fitted(frames, bootstrap=20, seed=3)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    four = fitted(frames, bootstrap=20, seed=3)
    for other in (two, three, four):
        assert (one.bootstrap_draws() == other.bootstrap_draws()).all()
    more = fitted(frames, bootstrap=30, seed=3)
    np.testing.assert_array_equal(more.bootstrap_draws()[:20], one.bootstrap_draws())
    assert (fitted(frames, bootstrap=20, seed=4).bootstrap_draws() != one.bootstrap_draws()).any()
    by_id_se = by_id(one, "se")["se"]
    draws = pd.Series(one.bootstrap_draws().std(axis=0, ddof=1))
    rows = one.parameters().query("free > 0").set_index("id")["free"]
    for name, place in rows.items():
        assert by_id_se[name] == pytest.approx(draws[place - 1], rel=1e-6)


@settings(laws, max_examples=2)
@given(seeds)
def test_a_unit_twice_weighs_as_two(seed):
    """The likelihood knows units by their weight alone."""
    frames = frames_of(seed)
    study = study_of(frames)
    sample = linked_sample(model(), study.moments, {})
    times = np.random.default_rng(seed).integers(0, 3, 40).astype(float)
    known = solve_between(model(), sample)
    again_known = solved_again(known, sample.data.weighted(times))
    picked = sample.data.pick(np.repeat(np.arange(40), times.astype(int)))
    other = solved_again(known, picked)
    np.testing.assert_allclose(again_known.theta, other.theta, **SOLVED)
