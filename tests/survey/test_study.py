"""A study reads what it is given, says what is wrong with it, and is the same whatever it comes in."""

from __future__ import annotations

import copy
import pickle

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox
from roxmodel.moments.linked import UnitFigures

EXACT = 1e-12  # algebra in double precision: the order of sums may differ


def as_polars(frame: pd.DataFrame) -> pl.DataFrame:
    holes = frame.astype(object).where(frame.notna(), None)
    return pl.DataFrame({name: column.tolist() for name, column in holes.items()})


KINDS = {
    "polars": as_polars,
    "polars lazy": lambda frame: as_polars(frame).lazy(),
    "polars with NaN beside null": lambda frame: as_polars(frame).with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(pl.col(pl.Float64).fill_null(float("nan")))
        .otherwise(pl.col(pl.Float64))
    ),
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "mapping of lists": lambda frame: {name: column.tolist() for name, column in frame.items()},
    "mapping of arrays": lambda frame: {name: column.to_numpy() for name, column in frame.items()},
    "narwhals": nw.from_native,
    "pandas with another index": lambda frame: frame.set_index(np.arange(len(frame))[::-1] // 2),
    "pandas nullable": lambda frame: frame.convert_dtypes(),
    "pandas on pyarrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "pandas objects": lambda frame: frame.astype(object),
    "float32": lambda frame: frame.astype({c: "float32" for c in frame.columns if frame[c].dtype.kind == "f"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_frame_gives_identical_moments(kind, model, frames, same):
    given = {source: KINDS[kind](frame) for source, frame in frames.items()}
    same(rox.Study(model, **given, by="shop"), rox.Study(model, **frames, by="shop"))


def test_kinds_of_frames_mix(model, frames, same):
    mixed = {
        "employee": as_polars(frames["employee"]).lazy(),
        "customer": pa.Table.from_pandas(frames["customer"]),
        "unit": frames["unit"],
    }
    same(rox.Study(model, **mixed, by="shop"), rox.Study(model, **frames, by="shop"))


def test_moments_are_what_pandas_says(model, frames):
    study = rox.Study(model, **frames, by="shop")
    staff = frames["employee"].assign(p3=6 - frames["employee"]["p3"])
    source = study.moments.source("employee")
    means = staff.groupby("shop")[list(source.items)].mean()
    assert list(source.units) == list(means.index)
    np.testing.assert_allclose(source.mean, means, rtol=EXACT)
    np.testing.assert_array_equal(source.counts, staff.groupby("shop")[list(source.items)].count())
    first = staff[staff["shop"] == "A"][list(source.items)].cov()
    np.testing.assert_allclose(source.scatter[0] / (source.n[0] - 1), first, rtol=1e-10)


# --- the user's frames are never written into


def test_frames_are_left_as_they_were(model, frames):
    before = copy.deepcopy(frames)
    study = rox.Study(model, **frames, by="shop")
    study.linkage(), study.quality(), study.scores()
    for source, frame in frames.items():
        pd.testing.assert_frame_equal(frame, before[source])


def test_a_column_that_is_named_by_a_number_is_no_obstacle():
    model = rox.five_factor({"pride": ["p1", "p2"], "outcomes": ["revenue"]})
    rng, unit = np.random.default_rng(1), np.repeat(np.arange(20), 5)
    staff = pd.DataFrame({"shop": unit, "p1": rng.normal(size=100) + unit, "p2": rng.normal(size=100) + unit})
    books = pd.DataFrame({"shop": range(20), "revenue": rng.normal(size=20), 5: np.arange(20) % 6})
    assert rox.Study(model, employee=staff, unit=books, by="shop").moments.units == tuple(range(20))


def test_read_only_blocks_are_read(model, frames, same):
    block = frames["employee"].drop(columns="shop").to_numpy()
    block.setflags(write=False)
    staff = pd.DataFrame(block, columns=frames["employee"].columns[1:], copy=False).assign(
        shop=frames["employee"]["shop"]
    )
    same(rox.Study(model, **{**frames, "employee": staff}, by="shop"), rox.Study(model, **frames, by="shop"))


def test_a_view_of_a_larger_frame_leaves_the_larger_frame(model, frames):
    whole = frames["employee"]
    before = whole.copy(deep=True)
    rox.Study(model, **{**frames, "employee": whole[whole["shop"] != "A"]}, by="shop")
    pd.testing.assert_frame_equal(whole, before)


# --- further sources, weights, frequencies, eligible people


def test_several_further_sources():
    items = {"students": ["s1", "s2"], "parents": ["q1"], "teachers": ["t1"]}
    model = rox.RoxModel(
        name="schools",
        constructs=[rox.Construct(name=f"c_{s}", factor="context", source=s, items=i) for s, i in items.items()],
        edges=[],
    )
    rng = np.random.default_rng(1)
    frames = {
        s: pd.DataFrame(rng.normal(size=(40, len(i))), columns=i).assign(school=rng.integers(0, 5, 40))
        for s, i in items.items()
    }
    study = rox.Study(model, sources=frames, by="school")
    assert [source.source for source in study.moments.sources] == ["students", "parents", "teachers"]
    assert study.linkage()["respondents"].tolist() == [40, 40, 40]


def test_the_three_main_sources_may_be_given_as_further_ones(model, frames, same):
    same(rox.Study(model, sources=frames, by="shop"), rox.Study(model, **frames, by="shop"))


def test_a_frequency_is_so_many_equal_rows(model, frames, same):
    guests = frames["customer"].assign(times=np.arange(len(frames["customer"])) % 3 + 1)
    expanded = guests.loc[guests.index.repeat(guests["times"])]
    counted = rox.Study(model, **{**frames, "customer": guests}, by="shop", frequency={"customer": "times"})
    same(counted, rox.Study(model, **{**frames, "customer": expanded}, by="shop"), EXACT)


def test_weights_weigh_means_but_not_counts(model, frames):
    guests = frames["customer"].assign(w=np.linspace(0.5, 3, len(frames["customer"])))
    source = rox.Study(model, **{**frames, "customer": guests}, by="shop", weight={"customer": "w"}).moments.source(
        "customer"
    )
    own = guests[(guests["shop"] == "A") & guests["v1"].notna()]
    assert source.mean[0, 0] == pytest.approx(np.average(own["v1"], weights=own["w"]), rel=EXACT)
    assert source.counts[0, 0] == len(own)


def test_one_weight_column_for_all_respondents(model, frames):
    weighted = {s: f.assign(w=1.0) if s != "unit" else f for s, f in frames.items()}
    one, none = rox.Study(model, **weighted, by="shop", weight="w"), rox.Study(model, **frames, by="shop")
    for name in ("linkage", "quality", "scores"):
        pd.testing.assert_frame_equal(getattr(one, name)(), getattr(none, name)())


def test_eligible_people_are_taken_from_the_unit_frame(model, frames):
    study = rox.Study(model, **frames, by="shop", eligible={"employee": "staff"})
    source = study.moments.source("employee")
    assert dict(zip(source.units, source.eligible.tolist(), strict=True)) == pytest.approx(
        {"A": np.nan, "B": 90, "C": 80, "D": 65, "E": 70, "F": np.nan, "G": 60}, nan_ok=True
    )
    assert study.moments.source("customer").eligible is None


def test_eligible_may_be_known_for_both_surveys(model, frames):
    books = frames["unit"].assign(guests=1000)
    study = rox.Study(
        model, **{**frames, "unit": books}, by="shop", eligible={"employee": "staff", "customer": "guests"}
    )
    assert np.nansum(study.moments.source("customer").eligible) == 5000


def test_the_unit_frame_may_hold_sizes_only(frames):
    model = rox.RoxModel(
        name="staff only",
        constructs=[rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2"])],
        edges=[],
    )
    books = frames["unit"].drop(columns="revenue")
    study = rox.Study(model, employee=frames["employee"], unit=books, by="shop", eligible={"employee": "staff"})
    assert study.moments.figures is None
    assert study.unit_column("region") == ["north", "north", None, "south", "north", None, "south"]


def test_a_frame_that_the_model_does_not_ask_is_left_unread(frames):
    model = rox.RoxModel(
        name="guests only",
        constructs=[rox.Construct(name="value", factor="value_drivers", source="customer", items=["v1", "v2"])],
        edges=[],
    )
    assert rox.Study(model, **frames, by="shop").units == tuple("ABCDEF")


# --- columns of the unit frame


def test_unit_column_follows_the_units(model, frames):
    study = rox.Study(model, **frames, by="shop")
    assert study.units == tuple("ABCDEFG")
    assert study.unit_column("revenue") == [10.0, 12.0, 6.5, 8.0, 7.0, None, 9.5]


def test_unit_column_skips_rows_without_a_unit(model, frames):
    books = pd.concat([pd.DataFrame({"shop": [None], "revenue": [99.0]}), frames["unit"]])
    study = rox.Study(model, **{**frames, "unit": books}, by="shop")
    assert study.unit_column("revenue") == [10.0, 12.0, 6.5, 8.0, 7.0, None, 9.5]


def test_unit_column_names_what_is_missing(model, frames):
    with pytest.raises(rox.DataError, match="no column 'regoin'. Did you mean 'region'"):
        rox.Study(model, **frames, by="shop").unit_column("regoin")
    one = rox.RoxModel(
        name="m", constructs=[rox.Construct(name="pride", factor="pride", source="employee", items=["p1"])], edges=[]
    )
    with pytest.raises(rox.DataError, match="no unit frame to take the column 'region'"):
        rox.Study(one, employee=frames["employee"], by="shop").unit_column("region")


# --- a study is a value


def test_a_study_does_not_change(model, frames):
    study = rox.Study(model, **frames, by="shop")
    with pytest.raises(AttributeError, match="min_group"):
        study.min_group = 1


def test_a_study_travels(model, frames, same):
    study = rox.Study(model, **frames, by="shop")
    for twin in (copy.copy(study), copy.deepcopy(study), pickle.loads(pickle.dumps(study))):
        same(twin, study)
        pd.testing.assert_frame_equal(twin.linkage(), study.linkage())
        assert twin.unit_column("revenue") == study.unit_column("revenue")
    assert copy.deepcopy(study).unit_column("region") == study.unit_column("region")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_pickle_keeps_the_columns_that_are_used_and_no_other(model, frames, library):
    books = frames["unit"].assign(
        note="CANARY", size=500, kind=pd.Categorical(["used"] * len(frames["unit"]), ["used", "CANARY"])
    )
    if library == "polars":
        books = pl.from_pandas(books.assign(kind="CANARY"))
    if library == "pyarrow":
        books = pa.concat_tables([pa.Table.from_pandas(books, preserve_index=False)] * 2).slice(0, len(books))
    study = rox.Study(model, **{**frames, "unit": books}, by="shop", eligible={"employee": "size"})
    twin = pickle.loads(pickle.dumps(study))
    for kept in ("shop", "revenue", "size"):
        assert twin.unit_column(kept) == study.unit_column(kept)
    with pytest.raises(rox.DataError, match="'note' did not travel: a pickled study keeps the columns that its model"):
        twin.unit_column("note")
    with pytest.raises(rox.DataError, match="'region' did not travel"):
        rox.fit(model, twin, method="path", cluster="region")
    assert b"CANARY" not in pickle.dumps(study)
    assert b"CANARY" not in pickle.dumps(twin)


def test_no_respondent_stays_inside(model, frames):
    canary = 0.123456789
    free = model.replace(constructs=[c.replace(scale=None) if c.source == "customer" else c for c in model.constructs])
    guests = frames["customer"].assign(note="CANARY")
    guests.loc[0, "v1"] = canary
    text = pickle.dumps(rox.Study(free, **{**frames, "customer": guests}, by="shop"))
    assert b"CANARY" not in text
    assert np.float64(canary).tobytes() not in text


def test_it_prints_itself(model, frames):
    study = rox.Study(model, **frames, by="shop")
    assert repr(study) == "<Study of 7 units (5 in every source) by 'shop': 89 employee answers, 150 customer answers>"
    assert study._repr_html_().startswith("<p>&lt;Study of 7 units (5 in every source) by 'shop'")
    assert "<table" in study._repr_html_()


def test_markup_in_a_name_stays_text(model, frames):
    renamed = {s: f.rename(columns={"shop": "<b>shop</b>"}) for s, f in frames.items()}
    assert "<b>" not in rox.Study(model, **renamed, by="<b>shop</b>")._repr_html_()


# --- what is not used, what is thin


def test_frames_that_are_not_used_may_be_untidy(model, frames, same):
    """Unused columns are ignored, whatever they hold and however often they occur."""
    staff = frames["employee"].assign(note="text", empty=None, when=pd.Timestamp("2024-01-01"))
    staff = pd.concat([staff, staff[["note"]]], axis=1).rename(columns={"empty": 0})
    same(rox.Study(model, **{**frames, "employee": staff}, by="shop"), rox.Study(model, **frames, by="shop"))
    table = pa.Table.from_pandas(frames["employee"], preserve_index=False)
    table = table.append_column("x", pa.array(["x"] * 90)).append_column("x", pa.array([None] * 90))
    same(rox.Study(model, **{**frames, "employee": table}, by="shop"), rox.Study(model, **frames, by="shop"))


def test_coerce_counts_answers_outside_the_scale_as_missing(model, frames, same):
    staff, holed = frames["employee"].copy(), frames["employee"].copy()
    staff.loc[[0, 1], "p1"], staff.loc[5, "d1"] = [7, 2.5], 0
    holed.loc[[0, 1], "p1"], holed.loc[5, "d1"] = np.nan, np.nan
    study = rox.Study(model, **{**frames, "employee": staff}, by="shop", coerce=True)
    same(study, rox.Study(model, **{**frames, "employee": holed}, by="shop"))
    notes = study.linkage().set_index("construct")["note"]
    assert "2 answers outside the scale count as missing" in notes["pride"]
    assert "1 answers outside the scale count as missing" in notes["drive"]
    assert "outside" not in notes["value"]


def test_figures_of_units_are_coerced_and_turned_round_like_answers(frames):
    items = [rox.Item(name="revenue", scale=rox.Percent(), reverse=True), rox.Item(name="staff", reverse=True)]
    model = rox.RoxModel(
        name="m",
        constructs=[rox.Construct(name=f"c_{i.name}", factor="context", source="unit", items=[i]) for i in items],
        edges=[],
    )
    books = frames["unit"].copy()
    books.loc[0, "revenue"] = 101.0
    study = rox.Study(model, unit=books, by="shop", coerce=True)
    np.testing.assert_array_equal(study.moments.figures.values[:, 0], [90.0, 88.0, 93.5, 92.0, 93.0, np.nan])
    np.testing.assert_array_equal(study.moments.figures.values[:, 1], [np.nan, -90, -80, -65, -70, -60])
    assert "1 answers outside the scale" in study.linkage()["note"][0]
    assert repr(study) == "<Study of 6 units by 'shop': unit figures only>"


def test_one_respondent_a_unit_everywhere(model, frames):
    thin = {
        s: f.dropna(subset=f.columns.difference(["staff", "region"])).groupby("shop").head(1) for s, f in frames.items()
    }
    study = rox.Study(model, **thin, by="shop")
    table = study.linkage().set_index("construct")
    assert table.loc[["pride", "drive", "value"], ["icc1", "icc2"]].isna().all(axis=None)
    assert table.loc[["pride", "drive", "value"], "note"].str.contains("one answer a unit").all()
    assert study.scores()[["pride", "drive", "value"]].isna().all(axis=None)


def test_a_single_unit(model, frames):
    one = {s: f[f["shop"] == "A"] for s, f in frames.items()}
    study = rox.Study(model, **one, by="shop")
    assert study.units == ("A",)
    assert study.linkage()["note"].iloc[0].startswith("fewer than two units")
    assert study.scores()["revenue"].tolist() == [10.0]


# --- a study of moments


def of(study, model, **options):
    return rox.Study.of(study.moments, model, by="shop", **options)


@pytest.mark.slow
def test_a_study_of_moments_answers_like_the_one_they_came_from(model, frames, same):
    read = rox.Study(model, **frames, by="shop", eligible={"employee": "staff"}, min_group=12)
    study = of(read, model, min_group=12)
    same(read, study)
    for name in ("quality", "scores", "unmatched"):
        pd.testing.assert_frame_equal(getattr(study, name)(), getattr(read, name)())
    told = [one.linkage().drop(columns="note") for one in (study, read)]  # which rows had no key, moments do not know
    pd.testing.assert_frame_equal(*told)
    assert study.check().summary() == read.check().summary()
    assert study.doubts == read.doubts
    assert repr(study) == repr(read)
    assert (study.scores()["hidden"] != "").any()


@pytest.mark.slow
def test_a_fit_of_complete_moments_is_that_of_the_rows():
    world = rox.datasets.make_world(40, seed=1)
    read = world.study()
    study = rox.Study.of(read.moments, world.model, by="branch")
    for method in ("linked", "path"):
        one, two = (rox.fit(world.model, data, method=method) for data in (read, study))
        pd.testing.assert_frame_equal(one.parameters(), two.parameters(), check_exact=True)
        assert one.notes == two.notes
        assert one.population.units == two.population.units
    assert rox.fit(world.model, study, within="saturated").converged


def test_moments_of_two_sites_make_the_study_of_both(model, frames, same):
    shops = (["A", "B", "C"], ["D", "E", "F", "G"])
    parts = [
        rox.Study(model, **{name: f[f["shop"].isin(site)] for name, f in frames.items()}, by="shop").moments
        for site in shops
    ]
    whole = rox.Study(model, **frames, by="shop")
    same(rox.Study.of(parts[0] + parts[1], model, by="shop"), whole, EXACT)


def test_only_what_goes_back_to_rows_asks_for_them(model, frames):
    study = of(rox.Study(model, **frames, by="shop"), model)
    assert study.cells("employee", ["p1", "p2"]) is None
    with pytest.raises(rox.DataError, match="'region' needs rows, and this study was made of moments"):
        study.unit_column("region")
    with pytest.raises(rox.DataError, match="needs rows"):
        pickle.loads(pickle.dumps(study)).unit_column("region")
    small = rox.RoxModel.from_lavaan("drive =~ d1 + d2", source="employee")
    with pytest.raises(rox.RoxError, match="rows are not at hand"):
        rox.fit(small, study, within="saturated")


def test_a_study_of_moments_leaves_out_what_its_model_does_not_ask(model, frames):
    pride = rox.RoxModel(name="pride", constructs=[model.find("pride")])
    study = of(rox.Study(model, **frames, by="shop"), pride)
    assert [source.items for source in study.moments.sources] == [("p1", "p2", "p3")]
    assert study.moments.figures is None
    assert study.units == tuple("ABCDEFG")


def test_keys_that_are_one_are_seen_in_moments_too(model, frames):
    one = rox.Study(model, **frames, by="shop").moments
    books = frames["unit"].assign(shop=lambda f: f["shop"] + " ")
    with pytest.raises(rox.DataError, match="No unit is in all frames"):
        rox.Study.of(rox.LinkedMoments(one.sources, rox_figures(books)), model, by="shop")
    books = frames["unit"].assign(shop=lambda f: f["shop"].where(f["shop"] != "A", "A "))
    with pytest.warns(rox.RoxWarning, match="units that are 1 if written alike"):
        study = rox.Study.of(rox.LinkedMoments(one.sources, rox_figures(books)), model, by="shop")
    assert [doubt.check for doubt in study.doubts] == ["keys"]


def rox_figures(books):
    return UnitFigures(("revenue",), tuple(books["shop"]), books[["revenue"]].to_numpy())


def test_moments_that_cannot_be_a_study_are_refused(model, frames):
    moments = rox.Study(model, **frames, by="shop").moments
    for wrong, words in (
        ((model, moments), "moments= is of type 'RoxModel'"),
        ((moments, "model"), "model= is of type 'str'"),
        ((rox.LinkedMoments(moments.sources), model), "no figures of the units"),
        ((rox.LinkedMoments(moments.sources[:1], moments.figures), model), "no source 'customer'"),
        (
            (rox.LinkedMoments((moments.sources[0].select(["p1"]), moments.sources[1]), moments.figures), model),
            "hold no item 'p2'",
        ),
    ):
        with pytest.raises(rox.RoxError, match=words):
            rox.Study.of(*wrong)
    for options in ({"min_group": 0}, {"by": "p1"}, {"by": None}):
        with pytest.raises(rox.SpecError):
            rox.Study.of(moments, model, **options)
