"""Unit keys of any type: the same unit is the same unit in every frame."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox
from roxmodel.errors import DataError
from roxmodel.survey.frames import open_frame
from roxmodel.survey.keys import read_keys, refuse_mixed_types, refuse_twice

MODEL = rox.RoxModel(
    name="m",
    constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["p"]),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
    ],
    edges=["pride -> revenue"],
)


def keys_of(native: object) -> tuple[list[object], list[int]]:
    keys = read_keys("employee", open_frame("employee", native), "u")
    return list(keys.units), keys.codes.tolist()


DAY, HOUR = datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 5)

READ = {
    "text": ({"u": ["b", None, "a", "b"]}, ["a", "b"], [1, -1, 0, 1]),
    "leading zeros": ({"u": ["007", "7", "07", None]}, ["007", "07", "7"], [0, 2, 1, -1]),
    "blanks": ({"u": ["b", " ", "", "a"]}, ["a", "b"], [1, -1, -1, 0]),
    "int": ({"u": [30, 4, 30]}, [4, 30], [1, 0, 1]),
    "whole floats": ({"u": [30.0, None, 4.0]}, [4, 30], [1, -1, 0]),
    "floats": ({"u": [2.5, None, 1.0]}, [2.5, 1], [0, -1, 1]),
    "Decimal": ({"u": [Decimal("2.0"), None, Decimal("1")]}, [1, 2], [1, -1, 0]),
    "Int64": (pd.DataFrame({"u": pd.array([30, None, 4], dtype="Int64")}), [4, 30], [1, -1, 0]),
    "category": (pd.DataFrame({"u": pd.Categorical(["b", None, "a"], ["c", "b", "a"])}), ["a", "b"], [1, -1, 0]),
    "string of pyarrow": (pd.DataFrame({"u": pd.array(["b", None], dtype="string[pyarrow]")}), ["b"], [0, -1]),
    "int of pyarrow": (pd.DataFrame({"u": pd.array([30, None, 4], dtype="int64[pyarrow]")}), [4, 30], [1, -1, 0]),
    "bool": ({"u": [True, False, True]}, [False, True], [1, 0, 1]),
    "mixed": ({"u": pd.Series(["a", 1, None, 2.5], dtype=object)}, [2.5, 1, "a"], [2, 1, -1, 0]),
    "tuples": ({"u": [("a", 1), ("a", None), ("a", 1)]}, [("a", 1), ("a", None)], [0, 1, 0]),
    "days": ({"u": [DAY, None]}, [DAY], [0, -1]),
    "days of polars": (pl.DataFrame({"u": [DAY, None]}), [DAY], [0, -1]),
    "times": ({"u": [HOUR, None]}, [HOUR], [0, -1]),
    "times of polars": (pl.DataFrame({"u": [HOUR, None]}), [HOUR], [0, -1]),
    "times in ns": (
        pl.DataFrame({"u": [HOUR, None]}).with_columns(pl.col("u").dt.cast_time_unit("ns")),
        [HOUR],
        [0, -1],
    ),
    "polars text": (pl.DataFrame({"u": ["b", None, "a"]}), ["a", "b"], [1, -1, 0]),
    "polars category": (pl.DataFrame({"u": pl.Series(["b", None, "a"], dtype=pl.Categorical)}), ["a", "b"], [1, -1, 0]),
    "polars int": (pl.DataFrame({"u": [30, None, 4]}), [4, 30], [1, -1, 0]),
    "polars NaN and null": (pl.DataFrame({"u": [30.0, None, float("nan")]}), [30], [0, -1, -1]),
    "pyarrow dictionary": (pa.table({"u": pa.array(["b", None, "a"]).dictionary_encode()}), ["a", "b"], [1, -1, 0]),
}


@pytest.mark.parametrize("kind", READ)
def test_keys_of_every_type(kind):
    native, units, codes = READ[kind]
    assert keys_of(native) == (units, codes)


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_long_numbers_beside_a_hole_are_not_rounded(make):
    """2**53 + 1 has no float64; a column with a hole must not pass through one."""
    long = 2**53
    assert keys_of(make({"u": [long + 1, None, long]})) == ([long, long + 1], [1, -1, 0])


KEYS = {
    "text": list("ABCABC"),
    "leading zeros": ["01", "1", "001"] * 2,
    "int": [3, 1, 2] * 2,
    "float": [3.5, 1.5, 2.5] * 2,
    "days": [DAY, datetime.date(2023, 1, 1), datetime.date(2025, 1, 1)] * 2,
    "times": [HOUR, HOUR + datetime.timedelta(hours=1), HOUR + datetime.timedelta(hours=2)] * 2,
}
MAKERS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table, "mapping": dict}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("one", MAKERS)
@pytest.mark.parametrize("two", MAKERS)
def test_a_key_matches_across_frames_of_other_libraries(kind, one, two):
    keys = KEYS[kind]
    staff = MAKERS[one]({"u": keys, "p": [1.0, 2, 3, 4, 5, 6]})
    books = MAKERS[two]({"u": keys[:3], "revenue": [7.0, 8, 9]})
    study = rox.Study(MODEL, employee=staff, unit=books, by="u")
    assert len(study.moments.matched) == 3
    means = dict(zip(study.units, study.moments.item_means()[1].tolist(), strict=True))
    assert means[keys[0]] == [2.5, 7.0]


def test_whole_numbers_match_however_they_are_stored():
    staff = pd.DataFrame({"u": [1.0, 2.0, np.nan, 1.0], "p": [1, 2, 3, 4]})
    for stored in ([1, 2], pd.array([1, 2], dtype="Int8"), pd.Categorical([1, 2]), [Decimal(1), Decimal(2)]):
        study = rox.Study(MODEL, employee=staff, unit=pd.DataFrame({"u": stored, "revenue": [5, 6]}), by="u")
        assert study.moments.matched == (1, 2)
        assert "1 rows name no unit and are left out" in study.linkage()["note"][0]


def test_leading_zeros_are_not_dropped():
    staff = {"u": ["01", "02"], "p": [1, 2]}
    with pytest.raises(
        rox.RoxError, match=r"'u' is text in the employee frame .*'01'.* a number in the unit frame .*1\)"
    ):
        rox.Study(MODEL, employee=staff, unit={"u": [1, 2], "revenue": [5, 6]}, by="u")
    with pytest.raises(rox.RoxError, match="leading zeros"):
        rox.Study(MODEL, employee=staff, unit={"u": ["1", "2"], "revenue": [5, 6]}, by="u")


def test_a_unit_that_one_frame_lacks_is_reported_not_refused():
    staff = {"u": ["a", "b", "a", "b", "x"], "p": [1, 2, 3, 4, 5]}
    study = rox.Study(MODEL, employee=staff, unit={"u": ["a", "b", "z"], "revenue": [5, 6, 7]}, by="u")
    table = study.linkage().set_index("construct")
    assert table["matched"].tolist() == [2, 2]
    assert table["units"].tolist() == [3, 3]
    assert table["lost"].tolist() == [1, 1]
    assert study.unmatched().to_dict("list") == {"u": ["x", "z"], "missing_from": ["unit", "employee"]}


def test_respondents_without_an_answer_do_not_match_their_unit():
    staff = {"u": ["a", "b", "a", "z"], "p": [1, 2, 3, None]}
    study = rox.Study(MODEL, employee=staff, unit={"u": ["a", "b", "z"], "revenue": [5, 6, 7]}, by="u")
    assert study.moments.matched == ("a", "b")
    assert study.unmatched()["u"].tolist() == ["z"]


def test_duplicates_are_named():
    keys = read_keys("unit", open_frame("unit", {"u": ["a", "b", "b", None, None, "c", "c", "d", "d", "e", "e"]}), "u")
    with pytest.raises(rox.RoxError, match="more than one row for the u 'b', 'c', 'd' and 1 more"):
        refuse_twice("unit", "u", keys)


def test_rows_of_units():
    keys = read_keys("unit", open_frame("unit", {"u": ["c", None, "a", "b"]}), "u")
    assert (keys.row.tolist(), keys.without, keys.used.tolist()) == ([2, 3, 0], 1, [True, False, True, True])


def test_frames_that_share_a_type_are_not_called_mixed():
    refuse_mixed_types("u", [("employee", ["a", 1]), ("customer", [2])])
    refuse_mixed_types("u", [("employee", ["a"]), ("customer", ["b"])])


# --- whole-number ids that went through floating point


ROUNDED = {
    "floats": [1e17, 2.0],
    "objects": np.array([7, 1e17], dtype=object),
    "32 bits": np.array([2**24 + 2, 5], dtype=np.float32),
    "a spreadsheet's text": ["1.23457E+17", "1.2E+16"],
    "Python's text": ["1e+17", "2e+17"],
    "text with .0": ["9007199254740993.0"],
    "Decimals of a float": [Decimal("1.2E+17")],
    "nullable floats": pd.array([1e17, None], dtype="Float64"),
}


@pytest.mark.parametrize("case", ROUNDED)
def test_ids_that_were_rounded_are_refused(case):
    frame = open_frame("employee", {"store": ROUNDED[case]})
    with pytest.raises(DataError, match="'store' of the employee frame holds whole numbers that went through floating"):
        read_keys("employee", frame, "store")


EXACT_IDS = {
    "whole numbers": ([10**17, 10**17 + 1], 2),
    "with holes": (pd.array([10**17, 10**17 + 1, None], dtype="Int64"), 2),
    "text": (["100000000000000000", "100000000000000001"], 2),
    "Decimals": ([Decimal(10**17), Decimal(10**17 + 1)], 2),
    "small floats": ([2.0**53 - 1, 2.0**53 - 2, 7.0], 3),
    "codes that look like exponents": (["1E17", "3e5", "2E10"], 3),
}


@pytest.mark.parametrize("case", EXACT_IDS)
def test_exact_ids_are_taken(case):
    given, count = EXACT_IDS[case]
    assert len(read_keys("employee", open_frame("employee", {"store": given}), "store").units) == count


@pytest.mark.parametrize("method", ["sem", "path"])
def test_clusters_and_groups_too(method):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 2)), columns=["x", "y"]).assign(g=1e17 + 64 * rng.integers(0, 20, 80))
    model = rox.five_factor({"pride": ["x"], "outcomes": ["y"]}, sources={"outcomes": "employee"})
    with pytest.raises(DataError, match="cluster= column 'g' holds whole numbers that went through floating point"):
        rox.fit(model, frame, method=method, cluster="g")
    if method == "sem":
        with pytest.raises(DataError, match="group= column 'g'"):
            rox.fit(model, frame, group="g")
        with pytest.warns(rox.RoxWarning, match="labels that are the same"):
            fit = rox.fit(model, frame.assign(g=["north", "north "] * 40), group="g")
        assert [doubt.check for doubt in fit.doubts] == ["keys"]


def test_a_column_of_the_unit_frame_too():
    world = rox.datasets.make_world(30, seed=1)
    study = world.study(unit=world.unit.assign(area=1e17))
    with pytest.raises(DataError, match="'area' of the unit frame"):
        study.unit_column("area")
