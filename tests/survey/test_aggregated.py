"""Unit means with counts say the same as the rows they were made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import roxmodel as rox

EXACT = 1e-10  # algebra in double precision; sums of squares about means lose some digits
ITEMS = ["p1", "p2", "p3"]


@pytest.fixture(scope="module")
def model() -> rox.RoxModel:
    items = [rox.Item(name="p1"), rox.Item(name="p2"), rox.Item(name="p3", reverse=True)]
    return rox.RoxModel(
        name="m",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=items, scale=rox.Likert(1, 5))
        ],
        edges=[],
    )


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Units of 1 to 12 people, every answer given."""
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(12), np.arange(1, 13))
    level = rng.normal(0, 0.7, 12)[unit, None] * [1, 1, -1]
    answers = np.clip(np.rint(3 + level + rng.normal(0, 1, (len(unit), 3))), 1, 5)
    return pd.DataFrame(answers, columns=ITEMS).assign(unit=[f"u{k:02d}" for k in unit])


def aggregated(rows: pd.DataFrame) -> pd.DataFrame:
    """What a publisher would print: means, a count for each item, variances; one row a unit."""
    by = rows.groupby("unit")[ITEMS]
    parts = [by.mean(), by.count().add_prefix("n_"), by.var().add_prefix("var_")]
    return pd.concat(parts, axis=1).reset_index()


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Pooled covariance within units, by hand."""
    gaps = rows[ITEMS] - rows.groupby("unit")[ITEMS].transform("mean")
    return gaps.T @ gaps / (len(rows) - rows["unit"].nunique())


BY_ITEM = {item: f"n_{item}" for item in ITEMS}
VARIANCE = {item: f"var_{item}" for item in ITEMS}


def study(model: rox.RoxModel, given: Any) -> rox.Study:
    return rox.Study(model, employee=given, by="unit")


def test_means_and_counts_equal_rows(model, rows):
    given = study(model, rox.Aggregated(aggregated(rows), n="n_p1")).moments.source("employee")
    source = study(model, rows).moments.source("employee")
    np.testing.assert_allclose(given.mean, source.mean, rtol=EXACT)
    for name in ("respondents", "n", "weight", "weight2"):
        np.testing.assert_array_equal(getattr(given, name), getattr(source, name))
    np.testing.assert_allclose(given.pair_mean, source.pair_mean, rtol=EXACT)


def test_variances_and_covariance_give_all_that_rows_give(model, rows):
    frame = rox.Aggregated(aggregated(rows), n="n_p1", variance=VARIANCE, covariance=pooled(rows))
    given, real = study(model, frame), study(model, rows)
    one, two = given.moments.source("employee"), real.moments.source("employee")
    np.testing.assert_allclose(one.within_covariance, two.within_covariance, rtol=EXACT, atol=EXACT)
    np.testing.assert_array_equal(one.within_df, two.within_df)
    np.testing.assert_allclose(one.item_variance, two.item_variance, rtol=EXACT)
    for name in ("linkage", "quality", "scores"):
        left, right = getattr(given, name)(), getattr(real, name)()
        pd.testing.assert_frame_equal(left, right, rtol=1e-6, check_dtype=False)
    assert real.linkage()["icc1"].notna().all()


def test_pooled_covariance_alone_gives_the_iccs(model, rows):
    table = study(model, rox.Aggregated(aggregated(rows), n="n_p1", covariance=pooled(rows))).linkage()
    real = study(model, rows).linkage()
    np.testing.assert_allclose(table[["icc1", "icc2"]], real[["icc1", "icc2"]], rtol=EXACT)


def test_counts_by_item_equal_rows_with_holes(model, rows):
    holed = rows.copy()
    holed[ITEMS] = rows[ITEMS].mask(np.random.default_rng(5).random((len(rows), 3)) < 0.2)
    given = study(model, rox.Aggregated(aggregated(holed), n=BY_ITEM, variance=VARIANCE)).moments.source("employee")
    source = study(model, holed).moments.source("employee")
    np.testing.assert_array_equal(given.counts, source.counts)
    np.testing.assert_allclose(given.mean, source.mean, rtol=EXACT)
    np.testing.assert_allclose(np.diag(given.within_covariance), np.diag(source.within_covariance), rtol=EXACT)
    np.testing.assert_allclose(given.item_variance, source.item_variance, rtol=EXACT)


def test_what_was_not_printed_is_not_known(model, rows):
    bare = study(model, rox.Aggregated(aggregated(rows), n="n_p1"))
    half = study(model, rox.Aggregated(aggregated(rows), n="n_p1", variance=VARIANCE))
    for given in (bare, half):
        row, quality = given.linkage().iloc[0], given.quality().iloc[0]
        assert np.isnan(row["icc1"])
        assert "variances or covariances within units were not given" in row["note"]
        assert np.isnan(quality["alpha"])
        assert "not given" in quality["note"]
    assert np.isnan(bare.linkage()["rwg"].iloc[0])
    assert half.linkage()["rwg"].iloc[0] > 0


COVARIANCES = {
    "a frame of another order": lambda c: c.loc[ITEMS[::-1], ITEMS[::-1]],
    "a frame of more items": lambda c: c.reindex(index=["x", *ITEMS], columns=["x", *ITEMS], fill_value=0.0),
    "rows of another order": lambda c: c.loc[ITEMS[::-1]],
    "a frame without row names": lambda c: c.reset_index(drop=True),
    "an array": lambda c: c.to_numpy(),
    "lists": lambda c: c.to_numpy().tolist(),
    "polars": lambda c: pl.DataFrame(c.to_dict("list")),
}


@pytest.mark.parametrize("kind", COVARIANCES)
def test_covariances_of_every_kind(kind, model, rows):
    given = COVARIANCES[kind](pooled(rows))
    found = study(model, rox.Aggregated(aggregated(rows), n="n_p1", covariance=given)).moments.source("employee")
    turn = np.diag([1, 1, -1])
    np.testing.assert_allclose(found.within_covariance, turn @ pooled(rows).to_numpy() @ turn, rtol=EXACT)


def test_units_nobody_answered_in_are_kept_and_lost(model, rows):
    frame = aggregated(rows)
    frame.loc[0, [*ITEMS, *BY_ITEM.values()]] = [None] * 6
    frame.loc[1, [*ITEMS, *BY_ITEM.values()]] = [None] * 3 + [0] * 3
    row = study(model, rox.Aggregated(frame, n=BY_ITEM)).linkage().iloc[0]
    assert (row["units"], row["lost"], row["respondents"]) == (10, 2, rows.shape[0] - 3)


def test_other_frames_and_rows_without_a_unit(model, rows, same):
    frame = aggregated(rows)
    expected = study(model, rox.Aggregated(frame, n="n_p1"))
    shuffled = frame.sample(frac=1, random_state=1)
    nameless = pd.concat([pd.DataFrame({"unit": [None], "p1": [99.0], "n_p1": [-1]}), frame])
    for given in (pl.from_pandas(frame).lazy(), frame.to_dict("list"), shuffled):
        same(study(model, rox.Aggregated(given, n="n_p1")), expected)
    nameless["n_p1"] = nameless["n_p1"].abs()
    same(study(model, rox.Aggregated(nameless, n="n_p1")), expected)


def test_eligible_is_compared_with_the_printed_counts(rows):
    model = rox.RoxModel(
        name="m",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=ITEMS),
            rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        ],
        edges=[],
    )
    frame = aggregated(rows)
    books = pd.DataFrame({"unit": frame["unit"], "revenue": np.arange(12.0), "staff": 11})
    with pytest.raises(rox.RoxError, match="unit 'u11' has 12 employee answers but 11 eligible"):
        rox.Study(
            model, employee=rox.Aggregated(frame, n="n_p1"), unit=books, by="unit", eligible={"employee": "staff"}
        )


def with_column(**columns: Any) -> Any:
    return lambda frame: frame.assign(**columns)


BAD = {
    "count column": (None, {"n": "N"}, "employee frame has no column 'N'"),
    "count of no item": (None, {"n": {"p1": "n_p1"}}, "n= names no count for 'p2', 'p3'"),
    "count negative": (with_column(n_p1=-2), {}, "'n_p1' of the employee frame has the count -2"),
    "count fractional": (with_column(n_p1=2.5), {}, "'n_p1' .* has the count 2.5"),
    "count infinite": (with_column(n_p1=np.inf), {}, "'n_p1' .* has the count inf"),
    "count zero": (
        with_column(n_p1=0),
        {},
        r"36 mean\(s\) of the employee frame stand beside a count of 0 or none, .*'p1'",
    ),
    "count missing": (with_column(n_p1=None), {}, "stand beside a count of 0 or none"),
    "count text": (with_column(n_p1="many"), {}, "'n_p1' of the employee frame holds text"),
    "mean outside": (with_column(p2=lambda f: f["p2"] + 4), {}, "Item 'p2' .* outside its scale"),
    "mean missing": (lambda f: f.drop(columns="p3"), {}, "employee frame has no column 'p3'"),
    "unit twice": (lambda f: pd.concat([f, f.tail(1)]), {}, "more than one row for the unit 'u11'"),
    "variance of nobody": (None, {"variance": {"p": "var_p1"}}, "variance= names 'p'. Did you mean|Known"),
    "variance column": (None, {"variance": {"p1": "v"}}, "employee frame has no column 'v'"),
    "variance negative": (with_column(var_p1=-0.5), {"variance": VARIANCE}, "'var_p1' .* has the variance -0.5"),
    "variance infinite": (with_column(var_p1=np.inf), {"variance": VARIANCE}, "'var_p1' .* has the variance inf"),
    "covariance shape": (None, {"covariance": np.eye(2)}, r"covariance= has shape \(2, 2\). Allowed: \(3, 3\)"),
    "covariance ragged": (None, {"covariance": [[1], [1, 2]]}, "covariance= is no matrix of numbers"),
    "covariance text": (None, {"covariance": "S"}, "covariance= is no matrix of numbers"),
    "covariance lopsided": (None, {"covariance": np.triu(np.ones((3, 3)))}, "covariance= is not symmetric"),
    "covariance infinite": (None, {"covariance": np.full((3, 3), np.inf)}, "not symmetric, or not finite"),
    "covariance negative": (None, {"covariance": np.diag([1, -1, 1])}, "variance -1 for 'p2'"),
    "covariance impossible": (None, {"covariance": np.eye(3) + 2 * (1 - np.eye(3))}, "not positive semi-definite"),
    "covariance lacks": (None, {"covariance": pd.DataFrame(np.eye(2), columns=["p1", "p2"])}, "covariance= lacks 'p3'"),
    "covariance rows": (
        None,
        {"covariance": pd.DataFrame(np.eye(3), ["a", "b", "c"], ITEMS)},
        "has the rows 'a', 'b', 'c'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named(case, model, rows):
    change, options, message = BAD[case]
    frame = aggregated(rows) if change is None else change(aggregated(rows))
    with pytest.raises(rox.RoxError, match=message):
        study(model, rox.Aggregated(frame, **{"n": "n_p1", **options}))


@pytest.mark.parametrize(
    ("options", "message"), [({"n": 0}, "n= was 0"), ({"n": "N", "variance": "v"}, "variance= was 'v'")]
)
def test_columns_are_named_by_text(options, message):
    with pytest.raises(rox.RoxError, match=message):
        rox.Aggregated(pd.DataFrame(), **options)


def test_means_outside_the_scale_may_count_as_missing(model, rows):
    frame = aggregated(rows)
    frame.loc[2, "p1"] = 9.0
    found = rox.Study(model, employee=rox.Aggregated(frame, n="n_p1"), by="unit", coerce=True)
    assert np.isnan(found.moments.source("employee").mean[2, 0])
    assert "1 answers outside the scale" in found.linkage()["note"].iloc[0]


# --- means without counts


def published():
    rng = np.random.default_rng(6)
    level = rng.normal(0, 0.4, 60)
    means = pd.DataFrame({f"p{k}": 3.5 + level + rng.normal(0, 0.15, 60) for k in (1, 2, 3)}).assign(shop=range(60))
    return means, pd.DataFrame({"shop": range(60), "sales": 10 + level + rng.normal(0, 0.3, 60)})


def asked(source):
    return rox.five_factor({"pride": ["p1", "p2", "p3"], "outcomes": ["sales"]}, sources={"pride": source})


def test_the_refusal_shows_the_road():
    means, _ = published()
    with pytest.raises(rox.SpecError, match=r"n=20 assumes 20 people .*source='unit'.*method='path'"):
        rox.Aggregated(means)
    for wrong in (0, True, 2.5):
        with pytest.raises(rox.SpecError, match="a whole number of people that is assumed"):
            rox.Aggregated(means, n=wrong)


def test_an_assumed_number_counts_like_a_column_and_is_said():
    means, books = published()
    within = np.full((3, 3), 0.4) + 0.3 * np.eye(3)
    fits = []
    for n, frame in ((20, means), ("n", means.assign(n=20))):
        given = rox.Aggregated(frame, n=n, covariance=within)
        study = rox.Study(asked("employee"), employee=given, unit=books, by="shop")
        fits.append(rox.fit(study.model, study))
        assert ("20 people in every unit were assumed" in study.linkage()["note"][0]) == (n == 20)
        assert any("not counted but assumed: 20 (employee)" in note for note in fits[-1].notes) == (n == 20)
    np.testing.assert_array_equal(fits[0].theta, fits[1].theta)
    half = rox.Aggregated(means, n=10, covariance=within)
    few = rox.fit(study.model, rox.Study(asked("employee"), employee=half, unit=books, by="shop"))
    assert few.edges()["estimate"][0] > fits[0].edges()["estimate"][0]  # the noisier the means, the more was hidden


def test_means_as_figures_of_the_units():
    means, books = published()
    whole = means.merge(books, on="shop")
    fit = rox.fit(asked("unit"), rox.Study(asked("unit"), unit=whole, by="shop"), method="path")
    slope = np.polyfit(means[["p1", "p2", "p3"]].mean(axis=1), books["sales"], 1)[0]
    assert fit.edges()["estimate"][0] == pytest.approx(slope, rel=1e-9)


def test_an_assumed_count_may_be_a_number_of_numpy():
    assumed = rox.Aggregated({"unit": ["a"], "p1": [3.0]}, n=np.int64(8)).assumed
    assert (assumed, type(assumed)) == (8, int)
