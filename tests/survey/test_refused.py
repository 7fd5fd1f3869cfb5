"""What a study cannot use is refused in one clear sentence that names the culprit, never in another library's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox


def changed(source: str, **columns: Any) -> Any:
    """Make a change to one frame: a column replaced, or computed from the old one."""

    def change(frames: dict[str, Any]) -> dict[str, Any]:
        frame = frames[source].copy()
        for name, value in columns.items():
            frame[name] = value(frame[name]) if callable(value) else value
        return {**frames, source: frame}

    return change


def swapped(source: str, frame: Any) -> Any:
    return lambda frames: {**frames, source: frame(frames[source]) if callable(frame) else frame}


def first(value: Any) -> Any:
    return lambda column: column.astype(object).where(np.arange(len(column)) != 0, value)


BAD = {
    "misspelt column": (
        swapped("employee", lambda f: f.rename(columns={"p1": "p_1"})),
        "employee frame has no column 'p1'. Did you mean 'p_1'",
    ),
    "several missing": (swapped("customer", lambda f: f[["shop"]]), r"no column 'v1' \(and 'v2'\)"),
    "no key": (swapped("customer", lambda f: f.drop(columns="shop")), "customer frame has no column 'shop'"),
    "key in the index": (swapped("customer", lambda f: f.set_index("shop")), "'shop' is the index of the frame"),
    "constant": (changed("employee", p1=3), "Item 'p1' of the employee frame is constant: all 89 answers are 3"),
    "constant figure": (changed("unit", revenue=3.5), "Item 'revenue' of the unit frame is constant"),
    "constant but for a row without a shop": (
        changed("employee", p1=lambda c: c.where(c.index == 3, 4.0).fillna(1.0)),
        "'p1' .* constant: all 89",
    ),
    "all missing": (changed("employee", p2=None), "Item 'p2' of the employee frame has no answer: all 89 are missing"),
    "all missing where there is a shop": (
        changed("employee", p2=lambda c: c.where(c.index == 3).fillna(2.0).where(c.index == 3)),
        "'p2' .* no answer: all 89",
    ),
    "infinite": (
        changed("customer", v1=lambda c: c.where(c.index != 0, np.inf)),
        r"Item 'v1' of the customer frame has 1 infinite or astronomically large value",
    ),
    "infinite figure": (
        changed("unit", revenue=lambda c: c.where(c.index != 0, -np.inf)),
        "Item 'revenue' of the unit frame has 1 infinite",
    ),
    "astronomical": (changed("unit", revenue=first(1e200)), "Item 'revenue' of the unit frame has 1 infinite or astro"),
    "as good as constant": (
        changed("unit", revenue=[5e-324, 0, 0, 0, 0, 0]),
        "Item 'revenue' of the unit frame is constant",
    ),
    "a whole number beyond all floats": (
        changed("unit", revenue=first(10**400)),
        "Item 'revenue' of the unit frame has 1 infinite",
    ),
    "text": (
        changed("employee", d1="good"),
        r"Column 'd1' of the employee frame holds text where numbers belong: 'good' \(90×\)",
    ),
    "numbers as text": (
        changed("employee", d1=lambda c: c.fillna(1).astype(str)),
        "'d1' of the employee frame holds numbers stored as text",
    ),
    "dates": (changed("employee", d1=pd.Timestamp("2024-01-01")), "'d1' of the employee frame holds datetime64"),
    "date objects": (
        changed("employee", d1=first(pd.Timestamp("2024-01-01").date())),
        "'d1' of the employee frame holds date where",
    ),
    "lists": (changed("employee", d1=lambda c: [[1]] * len(c)), "'d1' of the employee frame holds nested values"),
    "complex": (changed("employee", d1=1j), "'d1' of the employee frame holds complex128"),
    "outside the scale": (
        changed("employee", p1=lambda c: c.where(c.index > 1, 7)),
        r"Item 'p1' of the employee frame has 2 .*outside its scale Likert\(1, 5\), for example 7\. .*coerce=True",
    ),
    "below the scale": (
        changed("customer", v2=lambda c: c.where(c.index > 0, -1)),
        r"'v2' .* 1 answer\(s\) outside its scale NPS\(\), for example -1",
    ),
    "half points": (
        changed("employee", p1=lambda c: c.where(c.index > 0, 2.5)),
        r"'p1' .* 1 answer\(s\) outside .*for example 2.5",
    ),
    "unit twice": (
        swapped("unit", lambda f: pd.concat([f, f.head(1)])),
        "unit frame has more than one row for the shop 'G'",
    ),
    "no shop at all": (
        changed("customer", shop=None),
        "'shop' of the customer frame names no unit: all 150 rows are empty",
    ),
    "blank shops": (changed("customer", shop=" "), "'shop' of the customer frame names no unit"),
    "nested keys": (
        changed("customer", shop=lambda c: [[1]] * len(c)),
        "'shop' of the customer frame holds nested values",
    ),
    "nobody met": (
        changed("customer", shop=lambda c: c + "!"),
        "No unit is in all frames: the keys 'shop' do not match .*employee: 'A'.*customer: 'A!'",
    ),
    "no unit with figures": (changed("unit", shop=lambda c: c + "!"), "No unit is in all frames"),
    "text and numbers as keys": (
        changed("unit", shop=range(6)),
        "'shop' is text in the employee frame .*'A'.* and a number in the unit frame .*0",
    ),
    "dates as keys": (
        changed("unit", shop=lambda c: pd.date_range("2024-01-01", periods=len(c))),
        "'shop' is text .* and Timestamp in the unit frame",
    ),
    "empty": (swapped("employee", lambda f: f.head(0)), "employee frame is empty: it has no rows"),
    "no frame": (swapped("employee", np.ones((3, 3))), "employee data are of type 'ndarray', which is no frame"),
    "a series": (swapped("unit", lambda f: f["shop"]), "unit data are of type 'Series', which is no frame"),
    "a path": (swapped("employee", "staff.csv"), "employee data are of type 'str', which is no frame"),
    "a list of records": (swapped("employee", [{"p1": 3}]), "employee data are of type 'list', which is no frame"),
    "an uneven mapping": (
        swapped("customer", {"shop": ["A"], "v1": [1, 2]}),
        "customer mapping is no table; .*'shop': 1, 'v1': 2",
    ),
    "a mapping of single values": (swapped("customer", {"shop": "A", "v1": 1}), "customer mapping is no table"),
    "a column twice": (
        swapped("employee", lambda f: pd.concat([f, f["p1"]], axis=1)),
        "employee frame has 2 columns of the name 'p1'",
    ),
    "the key twice": (
        swapped("employee", lambda f: pd.concat([f, f["shop"]], axis=1)),
        "employee frame has 2 columns of the name 'shop'",
    ),
    "a pyarrow column twice": (
        swapped(
            "employee",
            lambda f: pa.Table.from_pandas(f, preserve_index=False).append_column("p1", pa.array([1.0] * 90)),
        ),
        "employee frame has 2 columns of the name 'p1'",
    ),
    "two header rows": (
        swapped("employee", lambda f: f.set_axis(pd.MultiIndex.from_product([["x"], f.columns]), axis=1)),
        "employee frame has several header rows",
    ),
    "numbers as names": (
        swapped("customer", lambda f: f.rename(columns={"v1": 0})),
        "customer frame has no column 'v1'",
    ),
    "no frame given": (
        swapped("customer", None),
        "No customer frame was given, but 'value' are asked of 'customer'. Give customer=frame",
    ),
    "a lazy frame that fails": (
        swapped("employee", pl.LazyFrame({"p1": [1]}).with_columns(x=pl.col("nowhere"))),
        "lazy employee frame cannot be computed: ColumnNotFoundError.*nowhere",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named(case, model, frames):
    change, message = BAD[case]
    with pytest.raises(rox.RoxError, match=message) as caught:
        rox.Study(model, **change(frames), by="shop")
    assert len(str(caught.value).splitlines()) == 1 or case == "a lazy frame that fails"


OPTIONS = {
    "wave": ({"wave": "year"}, "wave= was 'year': it is not supported yet"),
    "by a list": ({"by": ["shop"]}, r"by= was \['shop'\]"),
    "by nothing": ({"by": None}, "by= was None"),
    "by a construct": ({"by": "value"}, "by= was 'value', which is also a construct"),
    "by an item": ({"by": "p1"}, "by= was 'p1', which is also"),
    "min_group 0": ({"min_group": 0}, "min_group= was 0"),
    "min_group -3": ({"min_group": -3}, "min_group= was -3"),
    "min_group 2.5": ({"min_group": 2.5}, "min_group= was 2.5"),
    "min_group text": ({"min_group": "5"}, "min_group= was '5'"),
    "min_group yes": ({"min_group": True}, "min_group= was True"),
    "unknown source": ({"sources": {"guests": pd.DataFrame()}}, "sources= has the frame 'guests', but no construct"),
    "misspelt source": ({"sources": {"customers": pd.DataFrame()}}, "'customers', .* Did you mean 'customer'"),
    "frame twice": ({"sources": {"employee": pd.DataFrame()}}, "employee frame was given twice"),
    "sources a frame": ({"sources": pd.DataFrame()}, "sources= is of type 'DataFrame'"),
    "aggregated unit": ({"unit": rox.Aggregated({"shop": ["A"]}, n="N")}, "unit frame .* cannot be rox.Aggregated"),
    "weight column": ({"weight": {"customer": "wt"}}, "customer frame has no column 'wt'"),
    "weight source": ({"weight": {"customers": "w"}}, "weight= names the source 'customers'. Did you mean 'customer'"),
    "weight of units": ({"weight": {"unit": "w"}}, "weight= names the source 'unit'"),
    "weight a number": ({"weight": 2.0}, "weight= was 2.0"),
    "weight an array": ({"weight": {"customer": [1, 2]}}, r"weight= was \{'customer': \[1, 2\]\}"),
    "weight 0": ({"weight": {"customer": "zero"}}, r"weight= 'zero' of the customer frame has 1 value\(s\) such as 0"),
    "weight negative": ({"weight": {"customer": "negative"}}, "'negative' .* such as -1"),
    "weight NaN": ({"weight": {"customer": "nan"}}, "'nan' .* such as nan"),
    "weight infinite": ({"weight": {"customer": "inf"}}, "'inf' .* such as inf"),
    "weight absurd": ({"weight": {"customer": "absurd"}}, "'absurd' .* such as 1e[+]200"),
    "weight text": ({"weight": {"customer": "shop"}}, "Column 'shop' of the customer frame holds text"),
    "frequency fractional": (
        {"frequency": {"customer": "half"}},
        r"frequency= 'half' .* such as 1.5. Allowed: positive whole numbers",
    ),
    "frequency 0": ({"frequency": {"customer": "zero"}}, "frequency= 'zero' .* such as 0"),
    "eligible column": ({"eligible": {"employee": "size"}}, "unit frame has no column 'size'"),
    "eligible source": ({"eligible": {"staff": "staff"}}, "eligible= names the source 'staff'"),
    "eligible a column": ({"eligible": "staff"}, "eligible= was 'staff'"),
    "eligible too few": (
        {"eligible": {"employee": "few"}},
        r"shop 'A' has \d+ employee answers but 2 eligible people in 'few'",
    ),
    "eligible infinite": ({"eligible": {"employee": "endless"}}, "shop 'A' has .* inf eligible people"),
    "eligible text": ({"eligible": {"employee": "region"}}, "'region' of the unit frame holds text"),
    "aggregated and weighted": (
        {"customer": rox.Aggregated({"shop": ["A", "B"]}, n="N"), "weight": {"customer": "w"}},
        "weight=, frequency= and team= are of rows; the customer frame is rox.Aggregated",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_cannot_be_used_are_named(case, model, frames):
    options, message = OPTIONS[case]
    one = np.where(np.arange(150) == 5, [[0], [-1], [np.nan], [np.inf], [1.5], [1e200]], 1.0)
    columns = dict(zip(("zero", "negative", "nan", "inf", "half", "absurd"), one, strict=True))
    frames = {**frames, "customer": frames["customer"].assign(**columns)}
    frames["unit"] = frames["unit"].assign(few=2, endless=np.inf)
    with pytest.raises(rox.RoxError, match=message):
        rox.Study(model, **{**frames, "by": "shop", **options})


def test_eligible_needs_a_unit_frame(frames):
    model = rox.RoxModel(
        name="m", constructs=[rox.Construct(name="pride", factor="pride", source="employee", items=["p1"])], edges=[]
    )
    with pytest.raises(rox.RoxError, match="eligible= names columns of the unit frame, but there is none"):
        rox.Study(model, employee=frames["employee"], by="shop", eligible={"employee": "staff"})


def test_a_frame_for_a_model_is_named(frames, model):
    with pytest.raises(rox.RoxError, match="model= is of type 'DataFrame'"):
        rox.Study(frames["employee"], model, by="shop")


def test_coerce_does_not_hide_a_column_of_another_scale(model, frames):
    with pytest.raises(rox.RoxError, match=r"'p1' of the employee frame has no answer inside its scale Likert\(1, 5\)"):
        rox.Study(model, **changed("employee", p1=lambda c: c * 100)(frames), by="shop", coerce=True)
