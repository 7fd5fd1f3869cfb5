"""Any frame in, columns out as numpy; what is wrong with a frame is said in our words."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox
from roxmodel.errors import DataError
from roxmodel.survey.frames import distinct, open_frame, raw_column, require_columns


def test_a_frame_of_narwhals_is_taken_as_it_is():
    frame = nw.from_native(pl.DataFrame({"a": [1, 2]}))
    assert open_frame("employee", frame) is frame


def test_a_lazy_frame_computes_wanted_columns_only():
    seen = []

    def note(series: pl.Series) -> pl.Series:
        seen.append(series.name)
        return series

    lazy = pl.LazyFrame({"a": [1], "b": [2]}).with_columns(pl.all().map_batches(note, return_dtype=pl.Int64))
    assert open_frame("employee", lazy, {"b", "nowhere"}).columns == ["b"]
    assert set(seen) == {"b"}


def test_a_lazy_frame_without_any_wanted_column_is_not_called_empty():
    frame = open_frame("employee", pl.LazyFrame({"a": [1], "b": [2]}), {"c"})
    with pytest.raises(DataError, match="no column 'c'"):
        require_columns("employee", frame, ["c"])


def test_a_pandas_column_is_a_view():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert np.shares_memory(raw_column(open_frame("employee", frame), "b"), frame["b"].to_numpy())


@pytest.mark.parametrize("values", [["low", None, "high"], [3, None, 5]])
def test_holes_of_a_pyarrow_dictionary_stay_holes(values):
    """Known bug of pyarrow 26: to_numpy of the chunked dictionary ['a', None] is ['a', 'a']."""
    table = pa.table({"a": pa.chunked_array([pa.array(values).dictionary_encode()])})
    found = raw_column(open_frame("employee", table), "a")
    assert [None if pd.isna(value) else value for value in found] == values


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="this pyarrow has no string_view")
def test_string_views_of_pyarrow_are_read():
    """Known limit of pyarrow 26: a string_view cannot be filtered."""
    table = pa.table({"a": pa.array(["b", None, "a", "b"], pa.string_view())})
    codes, values = distinct(open_frame("employee", table), "a")
    assert (codes.tolist(), values) == ([0, -1, 1, 0], ["b", "a"])


@pytest.mark.parametrize("wanted", [None, ["a"]])
def test_a_name_that_occurs_twice_is_refused_if_it_may_be_wanted(wanted):
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    with pytest.raises(DataError, match="employee frame has 2 columns of the name 'a'"):
        open_frame("employee", frame, wanted)


def test_a_name_that_occurs_twice_is_passed_over_if_nobody_wants_it():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    assert open_frame("employee", frame, ["b"]).columns == ["b"]
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "a"])
    assert open_frame("employee", table, ["b"]).columns == ["b"]


def test_hints_say_where_the_column_is():
    indexed = open_frame("unit", pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="branch")))
    with pytest.raises(DataError, match=r"'branch' is the index of the frame: use frame.reset_index\(\)"):
        require_columns("unit", indexed, ["branch"])
    numbered = open_frame("unit", pd.DataFrame([[1, 2]]))
    with pytest.raises(DataError, match=r"It has 1 \(int\); column names must be text"):
        require_columns("unit", numbered, ["1"])
    with pytest.raises(DataError, match="no column 'brnch'. Did you mean 'branch'"):
        require_columns("unit", open_frame("unit", {"branch": [1]}), ["brnch"])


@pytest.mark.parametrize(
    "thing", [None, 5, "staff.csv", [1, 2], np.ones(3), pl.Series([1]), pd.DataFrame({"a": [1]}).groupby("a")]
)
def test_what_is_no_frame_is_named_by_its_type(thing):
    with pytest.raises(DataError, match=f"customer data are of type {type(thing).__name__!r}, which is no frame"):
        open_frame("customer", thing)


@pytest.mark.parametrize(
    "empty", [pd.DataFrame({"a": []}), pd.DataFrame(), pl.DataFrame(), pl.LazyFrame({"a": []}), {}]
)
def test_an_empty_frame_is_refused(empty):
    with pytest.raises(DataError, match="customer frame is empty: it has no rows"):
        open_frame("customer", empty, ["a"])


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="this polars has no Int128")
def test_128_bit_whole_numbers():
    model = rox.five_factor({"pride": ["p1"]})
    answers = pl.Series([1, None, 3, 4], dtype=pl.Int128)
    keys = pl.Series([10**17, 10**17, 10**17 + 1, None], dtype=pl.Int128)
    study = rox.Study(model, employee=pl.DataFrame({"store": keys, "p1": answers}), by="store")
    assert study.units == (10**17, 10**17 + 1)
    assert study.moments.source("employee").mean.ravel().tolist() == [1.0, 3.0]
    long = pl.DataFrame({"store": ["a", "a", "b", "b"], "p1": pl.Series([1, 2, 3, 2**90], dtype=pl.Int128)})
    with pytest.raises(
        rox.DataError, match="'p1' holds 128-bit whole numbers beyond 64 bits, such as 1237940039285380274"
    ):
        rox.Study(model, employee=long, by="store")
