"""Whatever a column holds becomes real numbers with NaN for missing, or a sentence that names the culprit."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox
from roxmodel.errors import DataError
from roxmodel.survey.answers import read_answers
from roxmodel.survey.frames import count_column, number_column, open_frame

NAN = float("nan")
WORDS = rox.Likert(1, 3, labels=["no", "partly", "yes"])


def read(native: object, item: rox.Item | str = "q", **options: object) -> list[float]:
    item = rox.Item(name=item) if isinstance(item, str) else item
    frame = open_frame("employee", native if not isinstance(native, list | np.ndarray | pd.Series) else {"q": native})
    options = {"coerce": False, **options}
    return read_answers("employee", frame, item, **options).values.astype(float).tolist()


NUMBERS = {
    "int8": pd.Series([1, 2, 5], dtype="int8"),
    "uint64": pd.Series([1, 2, 5], dtype="uint64"),
    "float16": pd.Series([1, NAN, 5], dtype="float16"),
    "Int64": pd.Series([1, None, 5], dtype="Int64"),
    "Int8 of pyarrow": pd.Series([1, None, 5], dtype="int8[pyarrow]"),
    "Float64 with NA and NaN": pd.Series([1, None, 5], dtype="Float64"),
    "Decimal": [Decimal("1"), None, Decimal("5")],
    "Decimal NaN": [Decimal("1"), Decimal("NaN"), Decimal("5")],
    "Decimal of pyarrow": pd.Series([Decimal("1"), None, Decimal("5")], dtype=pd.ArrowDtype(pa.decimal128(3, 1))),
    "objects": pd.Series([1, None, 5.0], dtype=object),
    "objects with NA": pd.Series([1, pd.NA, np.float32(5)], dtype=object),
    "objects with NaT": pd.Series([1, pd.NaT, np.int8(5)], dtype=object),
    "fractions": [Fraction(1), None, Fraction(10, 2)],
    "categories of numbers": pd.Series([1, None, 5]).astype("category"),
    "sparse": pd.Series(pd.arrays.SparseArray([1.0, NAN, 5.0])),
    "polars Int8": pl.DataFrame({"q": pl.Series([1, None, 5], dtype=pl.Int8)}),
    "polars null and NaN": pl.DataFrame({"q": [1.0, None, 5.0]}),
    "polars Decimal": pl.DataFrame({"q": pl.Series([1, None, 5]).cast(pl.Decimal(5, 2))}),
    "pyarrow int": pa.table({"q": [1, None, 5]}),
    "pyarrow Decimal": pa.table({"q": [Decimal("1"), None, Decimal("5")]}),
    "pyarrow dictionary": pa.table({"q": pa.array([1, None, 5]).dictionary_encode()}),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_kind(kind):
    found = read(NUMBERS[kind])
    assert found[::2] == [1.0, 5.0]
    assert found[1] == 2.0 or np.isnan(found[1])


BOOLEANS = {
    "bool": [True, False, True],
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "bool of pyarrow": pd.Series([True, None, False], dtype="bool[pyarrow]"),
    "objects": pd.Series([True, None, np.False_], dtype=object),
    "polars": pl.DataFrame({"q": [True, None, False]}),
    "pyarrow": pa.table({"q": [True, None, False]}),
}


@pytest.mark.parametrize("kind", BOOLEANS)
def test_yes_and_no_are_one_and_zero(kind):
    expected = [1, 0, 1] if kind == "bool" else [1, NAN, 0]
    np.testing.assert_array_equal(read(BOOLEANS[kind], rox.Item(name="q", scale=rox.Binary())), expected)


LABELS = {
    "str": ["no", None, "yes"],
    "object": pd.Series(["no", None, "yes"], dtype=object),
    "string": pd.Series(["no", None, "yes"], dtype="string"),
    "category": pd.Series(["no", None, "yes"], dtype="category"),
    "ordered category, other order": pd.Series(
        pd.Categorical(["no", None, "yes"], ["yes", "no", "partly"], ordered=True)
    ),
    "words and numbers": pd.Series(["no", None, 3], dtype=object),
    "polars": pl.DataFrame({"q": ["no", None, "yes"]}),
    "polars categories": pl.DataFrame({"q": pl.Series(["no", None, "yes"], dtype=pl.Categorical)}),
    "polars enum": pl.DataFrame({"q": pl.Series(["no", None, "yes"], dtype=pl.Enum(["yes", "no"]))}),
    "pyarrow": pa.table({"q": ["no", None, "yes"]}),
    "pyarrow dictionary": pa.table({"q": pa.array(["no", None, "yes"]).dictionary_encode()}),
    "numpy text": np.array(["no", "partly", "yes"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_text_answers_are_read_by_the_labels_of_the_scale(kind):
    found = read(LABELS[kind], rox.Item(name="q", scale=WORDS))
    assert (found[0], found[2]) == (1.0, 3.0)
    assert np.isnan(found[1]) or kind == "numpy text"


def test_text_that_no_label_explains_is_counted_and_the_labels_named():
    answers = ["no", "Yes", "Yes", "maybe", "yes", "?", "never"]
    message = (
        r"Item 'q' of the employee frame has answers that no label explains: 'Yes' \(2×\), 'maybe' \(1×\), '\?' "
        r"\(1×\) and 1 more\. Allowed: 'no', 'partly', 'yes'"
    )
    with pytest.raises(DataError, match=message):
        read(answers, rox.Item(name="q", scale=WORDS))


def test_coerce_does_not_make_unknown_words_missing():
    with pytest.raises(DataError, match="no label explains"):
        read(["no", "Yes"], rox.Item(name="q", scale=WORDS), coerce=True)


STRANGE = {
    "nested polars": (pl.DataFrame({"q": [[1], [2]]}), "holds nested values"),
    "struct": (pl.DataFrame({"q": [{"z": 1}, {"z": 2}]}), "holds nested values|holds dict"),
    "nested pyarrow": (pa.table({"q": [[1], [2]]}), "holds nested values"),
    "dates": (pl.DataFrame({"q": [datetime.date(2024, 1, 1)]}), r"holds datetime64\[D\]"),
    "spans": (pd.Series(pd.to_timedelta([1, 2], unit="D")), "holds timedelta64"),
    "periods": (pd.Series(pd.period_range("2024", periods=2, freq="M")), "holds Period where numbers belong"),
    "bytes": (pl.DataFrame({"q": [b"1", b"2"]}), "holds bytes where numbers belong"),
    "objects": ([object(), object()], "holds object where numbers belong"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_number_is_named(kind):
    native, message = STRANGE[kind]
    with pytest.raises(DataError, match=f"Column 'q' of the employee frame {message}"):
        read(native)


# --- against the scale


@pytest.mark.parametrize(
    ("scale", "good", "bad"),
    [
        (rox.Likert(1, 5), [1, 3, 5], [0, 6, 2.5]),
        (rox.Likert(0, 1, whole=False), [0, 0.25, 1], [-0.01, 1.01]),
        (rox.NPS(), [0, 7, 10], [-1, 11, 9.5]),
        (rox.Percent(), [0, 33.3, 100], [-0.1, 100.1]),
        (rox.Binary(), [0, 1, 1], [2, -1, 0.5]),
        (rox.Count(), [0, 3, 10_000], [-1, 0.5]),
        (rox.Amount("EUR"), [-1e9, 0.5, 1e9], []),
        (None, [-1e9, 0.5, 1e9], []),
    ],
)
def test_an_answer_is_inside_its_scale_or_named(scale, good, bad):
    item = rox.Item(name="q", scale=scale)
    assert read([*good, None], item)[:3] == good
    for answer in bad:
        with pytest.raises(DataError, match=rf"'q' .* has 1 answer\(s\) outside its scale .*for example {answer:g}\."):
            read([*good, None, answer], item)
        np.testing.assert_array_equal(read([*good, None, answer], item, coerce=True), [*good, NAN, NAN])


def test_the_ends_of_integer_columns_are_checked_too():
    with pytest.raises(DataError, match="outside its scale Likert"):
        read(pd.Series([1, 2, 127], dtype="int8"), rox.Item(name="q", scale=rox.Likert(1, 7)))


def test_unit_means_may_lie_between_whole_points_but_not_beyond():
    item = rox.Item(name="q", scale=rox.Likert(1, 5))
    assert read([2.25, 4.5], item, means=True) == [2.25, 4.5]
    with pytest.raises(DataError, match="outside its scale"):
        read([2.25, 5.01], item, means=True)


def test_every_block_of_a_long_column_is_looked_at():
    answers = np.tile([1.0, 2.0, NAN, 5.0], 30_000)
    item = rox.Item(name="q", scale=rox.Likert(1, 5))
    np.testing.assert_array_equal(read(answers, item), answers)
    for place in (0, 16_383, 16_384, 70_001, 119_999):
        for wrong in (6.0, 1.5):
            changed = answers.copy()
            changed[place] = wrong
            with pytest.raises(DataError, match=f"1 answer.* for example {wrong:g}"):
                read(changed, item)


def test_rows_that_do_not_count_are_not_checked():
    item = rox.Item(name="q", scale=rox.Likert(1, 5))
    used = np.array([True, True, False, False])
    assert read([1, 5, 99, 2], item, used=used) == [1, 5, 99, 2]
    with pytest.raises(DataError, match="constant: all 2 answers are 5"):
        read([5, 5, 1, 2], item, used=used)
    np.testing.assert_array_equal(
        read([1, 5, 9, 99, 2], item, used=np.array([1, 1, 1, 0, 0], bool), coerce=True), [1, 5, NAN, NAN, 2]
    )


def test_coerced_answers_are_counted():
    frame = open_frame("employee", {"q": [1, 5, 9, 9.5, None]})
    item = rox.Item(name="q", scale=rox.Likert(1, 5))
    assert read_answers("employee", frame, item, coerce=True).coerced == 2


def test_what_coerce_leaves_is_checked_again():
    item = rox.Item(name="q", scale=rox.Likert(1, 5))
    with pytest.raises(DataError, match="constant: all 2 answers are 4"):
        read([4, 4, 9], item, coerce=True)
    with pytest.raises(DataError, match="no answer inside its scale Likert"):
        read([8, None, 9], item, coerce=True)


# --- counts


@pytest.mark.parametrize("wrong", [-1, 2.5, float("inf")])
def test_a_count_is_a_whole_number(wrong):
    frame = open_frame("employee", {"N": [1, None, wrong]})
    with pytest.raises(DataError, match=f"Column 'N' of the employee frame has the count {wrong:g}"):
        count_column("employee", frame, "N")


def test_missing_counts_are_missing():
    found = count_column("employee", open_frame("employee", {"N": [1, None, 0]}), "N")
    np.testing.assert_array_equal(found, [1, NAN, 0])


def test_numbers_keep_their_type():
    frame = open_frame("employee", pd.DataFrame({"q": np.array([1, 2], np.int8)}))
    assert number_column("employee", frame, "q", {}).dtype == np.int8


@pytest.mark.parametrize("size", [1e-80, 1e-150, 1e-250])
def test_figures_too_small_to_be_squared_are_told_what_to_do(size):
    world = rox.datasets.make_world(40, seed=3)
    tiny = world.unit.assign(revenue=world.unit["revenue"] * size)
    with pytest.raises(rox.DataError, match="'revenue' of the unit frame varies by .* only") as caught:
        world.study(unit=tiny)
    times = float(caught.value.hint.split("* ")[-1].rstrip("."))
    mended = rox.fit(world.model, world.study(unit=tiny.assign(revenue=tiny["revenue"] * times)), method="path")
    plain = rox.fit(world.model, world.study(), method="path")
    expected = plain.effects("pride", "revenue")["standardized"].iloc[-1]
    assert mended.effects("pride", "revenue")["standardized"].iloc[-1] == pytest.approx(expected, rel=1e-6)
