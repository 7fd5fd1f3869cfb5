"""Laws of the study: what the data come in, and how they are written down, never matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.survey.composites import suppressed

EXACT = 1e-9  # algebra in double precision: sums in another order
ITEMS = ["p1", "p2", "p3"]
SCALE = rox.Likert(1, 5)
UNITS = ["a", "b", "c", "d"]

# Few answers, drawn by chance, may run against each other: that is said, and is not what these laws are about.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*this study doubtful")]

laws = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def model(*reverse: str) -> rox.RoxModel:
    items = [rox.Item(name=item, reverse=item in reverse) for item in ITEMS]
    return rox.RoxModel(
        name="m",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=items[:2], scale=SCALE),
            rox.Construct(name="drive", factor="behaviours", source="employee", items=items[2:], scale=SCALE),
        ],
        edges=["pride -> drive"],
    )


@st.composite
def surveys(draw: st.DrawFn, holes: bool = True) -> pd.DataFrame:
    """Some answers of some people of some units; every item varies."""
    size = draw(st.integers(4, 25))
    answer = st.one_of(st.none(), st.integers(1, 5)) if holes else st.integers(1, 5)
    columns = {item: draw(st.lists(answer, min_size=size, max_size=size)) for item in ITEMS}
    for answers in columns.values():
        assume(len({a for a in answers if a is not None}) > 1)
    unit = draw(st.lists(st.sampled_from(UNITS), min_size=size, max_size=size))
    return pd.DataFrame({"unit": unit} | {item: np.array(a, dtype=float) for item, a in columns.items()})


def study(frame: Any, **options: Any) -> rox.Study:
    return rox.Study(options.pop("model", model()), employee=frame, by="unit", **options)


def moments(of: rox.Study) -> dict[Any, dict[str, Any]]:
    """Moments by unit, so that the order of units does not matter."""
    source = of.moments.source("employee")
    arrays = ("respondents", "n", "weight", "weight2", "pair_mean", "scatter")
    return {unit: {name: getattr(source, name)[g] for name in arrays} for g, unit in enumerate(source.units)}


def assert_same(one: rox.Study, two: rox.Study, names: dict[Any, Any] | None = None, exactly: bool = False) -> None:
    left, right = moments(one), moments(two)
    left = {unit if names is None else names[unit]: values for unit, values in left.items()}
    assert set(left) == set(right)
    for unit, values in left.items():
        for name, array in values.items():
            tolerance = 0.0 if exactly else EXACT
            np.testing.assert_allclose(array, right[unit][name], rtol=tolerance, atol=tolerance, err_msg=name)


def assert_same_tables(one: rox.Study, two: rox.Study) -> None:
    for name in ("linkage", "quality"):
        pd.testing.assert_frame_equal(getattr(one, name)(), getattr(two, name)(), rtol=1e-6, atol=1e-6)


@laws
@given(surveys())
def test_the_library_of_the_frame_does_not_matter(frame: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    eager = pl.from_arrow(table)
    for twin in (table, eager, eager.lazy(), frame.to_dict("list"), frame.convert_dtypes(), frame.astype(object)):
        assert_same(study(twin), study(frame), exactly=True)


@laws
@given(surveys(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(frame: pd.DataFrame, random: Any) -> None:
    rows = list(range(len(frame)))
    random.shuffle(rows)
    one, two = study(frame.iloc[rows]), study(frame)
    assert_same(one, two)
    assert_same_tables(one, two)


@laws
@given(surveys(), st.permutations(["unit", *ITEMS, "other"]))
def test_the_order_of_columns_does_not_matter(frame: pd.DataFrame, order: list[str]) -> None:
    assert_same(study(frame.assign(other="x")[order]), study(frame), exactly=True)


@laws
@given(surveys(), st.permutations([7, 1.5, "z", "007"]))
def test_the_names_of_units_do_not_matter(frame: pd.DataFrame, labels: list[Any]) -> None:
    names = dict(zip(UNITS, labels, strict=True))
    renamed = study(frame.assign(unit=frame["unit"].map(names).astype(object)))
    assert_same(study(frame), renamed, names)
    assert_same_tables(study(frame), renamed)


@laws
@given(surveys(), st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 0.1, 1e6]))
def test_the_scale_of_the_weights_does_not_matter(frame: pd.DataFrame, seed: int, scale: float) -> None:
    weight = np.random.default_rng(seed).uniform(0.1, 5, len(frame))
    one, two = (study(frame.assign(w=weight * s), weight="w") for s in (1.0, scale))
    left, right = one.moments.source("employee"), two.moments.source("employee")
    for name in ("mean", "counts", "item_variance", "within_covariance", "within_df", "respondents"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=EXACT, atol=EXACT, err_msg=name)
    assert_same_tables(one, two)


@laws
@given(surveys())
def test_equal_weights_are_no_weights(frame: pd.DataFrame) -> None:
    assert_same(study(frame.assign(w=1.0), weight="w"), study(frame))


@laws
@given(surveys(), st.integers(0, 2**32 - 1))
def test_a_frequency_is_so_many_rows(frame: pd.DataFrame, seed: int) -> None:
    times = np.random.default_rng(seed).integers(1, 4, len(frame))
    counted = study(frame.assign(times=times), frequency="times")
    expanded = study(frame.loc[frame.index.repeat(times)])
    assert_same(counted, expanded)
    assert_same_tables(counted, expanded)


@laws
@given(surveys(), st.sampled_from(ITEMS))
def test_a_reversed_item_is_one_recoded_by_hand(frame: pd.DataFrame, item: str) -> None:
    assert_same(study(frame, model=model(item)), study(frame.assign(**{item: 6 - frame[item]})))


@laws
@given(surveys(), surveys())
def test_two_parts_make_the_whole(one: pd.DataFrame, two: pd.DataFrame) -> None:
    merged = study(one).moments.merge(study(two).moments).source("employee")
    whole = study(pd.concat([one, two])).moments.source("employee")
    for name in ("respondents", "n", "pair_mean", "scatter"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=EXACT, atol=EXACT, err_msg=name)


@laws
@given(surveys())
def test_the_frame_is_left_as_it_was(frame: pd.DataFrame) -> None:
    before = frame.copy(deep=True)
    read = study(frame)
    read.linkage(), read.quality(), read.scores()
    pd.testing.assert_frame_equal(frame, before, check_exact=True)


@laws
@given(surveys(holes=False))
def test_unit_means_with_counts_and_covariances_are_the_rows(frame: pd.DataFrame) -> None:
    by = frame.groupby("unit")[ITEMS]
    printed = pd.concat([by.mean(), by.size().rename("N"), by.var().add_prefix("var_")], axis=1).reset_index()
    assume((printed[ITEMS].nunique() > 1).all())
    assume((printed["N"] > 1).any())
    gaps = frame[ITEMS] - by.transform("mean")
    pooled = gaps.T @ gaps / (len(frame) - len(printed))
    variance = {item: f"var_{item}" for item in ITEMS}
    given_ = study(rox.Aggregated(printed, n="N", variance=variance, covariance=pooled))
    real = study(frame)
    one, two = given_.moments.source("employee"), real.moments.source("employee")
    np.testing.assert_allclose(one.mean, two.mean, rtol=EXACT)
    np.testing.assert_array_equal(one.n, two.n)
    np.testing.assert_allclose(one.within_covariance, two.within_covariance, rtol=EXACT, atol=EXACT)
    columns = ["icc1", "icc2", "rwg"]
    np.testing.assert_allclose(given_.linkage()[columns], real.linkage()[columns], rtol=1e-6, atol=1e-6)


@laws
@given(surveys(), st.integers(1, 6))
def test_no_shown_score_rests_on_a_small_group(frame: pd.DataFrame, least: int) -> None:
    table = study(frame, min_group=least).scores().set_index("unit")
    counts = frame.groupby("unit")[ITEMS].count()
    for construct, items in (("pride", ITEMS[:2]), ("drive", ITEMS[2:])):
        answered = counts[items].where(counts[items] > 0).min(axis=1)
        shown = table[construct].notna()
        assert (answered[shown] >= least).all()
        hidden = answered.notna() & ~shown
        assert hidden.sum() != 1 or not shown.any()
        assert (table["hidden"].str.contains(construct) == hidden).all()


counts_of_units = st.lists(st.integers(0, 30), min_size=1, max_size=12).map(lambda c: np.array(c, dtype=float))


@laws
@given(counts_of_units, st.integers(1, 12))
def test_suppression_hides_the_small_and_never_one_alone(counts: np.ndarray, least: int) -> None:
    hidden = suppressed(counts, least)
    small = (counts > 0) & (counts < least)
    assert hidden[small].all()
    assert not hidden[counts == 0].any()
    assert hidden.any() == small.any()
    if hidden.any() and not hidden[counts > 0].all():
        assert hidden.sum() >= 2
        assert counts[hidden].sum() >= least
        assert counts[hidden].max() <= counts[~hidden & (counts > 0)].min()  # companions are the smallest


@laws
@given(counts_of_units, st.integers(1, 12), st.randoms(use_true_random=False))
def test_suppression_does_not_depend_on_the_order_of_units(counts: np.ndarray, least: int, random: Any) -> None:
    order = list(range(len(counts)))
    random.shuffle(order)
    assert sorted(counts[suppressed(counts, least)]) == sorted(counts[order][suppressed(counts[order], least)])


@laws
@given(counts_of_units, st.integers(1, 12))
def test_suppression_hides_no_more_than_it_must(counts: np.ndarray, least: int) -> None:
    """Without its largest companion, the hidden group would be one unit or too few people."""
    hidden = suppressed(counts, least)
    companions = np.flatnonzero(hidden & (counts >= least))
    if len(companions):
        fewer = hidden.copy()
        fewer[companions[np.argmax(counts[companions])]] = False
        assert fewer.sum() < 2 or counts[fewer].sum() < least
