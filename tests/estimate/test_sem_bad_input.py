"""Bad input of method "sem": one clear sentence that names the culprit, never a message of a numerical library."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError, RoxError, SpecError

TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a"
MODEL = rox.RoxModel.from_lavaan(TEXT)
ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3"]
JARGON = (
    "lapack",
    "linalg",
    "singular matrix",
    "traceback",
    "keyerror",
    "nan encountered",
    "divide",
    "converge to",
    "dgesv",
)


def answers(n=200, seed=1):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    rows = np.column_stack([a] * 3 + [b] * 3) * [1, 0.9, 0.8, 1, 1.1, 0.7] + 0.6 * rng.normal(size=(n, 6)) + 4
    return pd.DataFrame(rows, columns=ITEMS).assign(
        g=np.where(np.arange(n) % 2, "x", "y"), c=np.arange(n) % 20, w=rng.uniform(0.5, 2, n), f=1 + np.arange(n) % 3
    )


D = answers()
WHOLE = D[ITEMS].round().clip(1, 7)
HOLES = np.random.default_rng(0).random((200, 6)) < 0.1


def fitted(frame=D, model=MODEL, **options):
    return rox.fit(model, frame, method="sem", **({"progress": False} | options))


def refused(kind, *parts, frame=D, model=MODEL, **options):
    with pytest.raises(RoxError) as caught:
        fitted(frame, model, **options)
    text = str(caught.value)
    assert isinstance(caught.value, kind), text
    for part in parts:
        assert part in text
    assert not any(word in text.lower() for word in JARGON), text
    assert "\n" not in text
    assert text.endswith((".", "?", "!")), text


def in_group(values):
    return D.assign(a1=np.where(D["g"] == "x", values, D["a1"]))


# --- rows

THIN = {
    "one row": (D.iloc[:1], {}, ["1 of 1 rows"]),
    "no row": (D.iloc[:0], {}, ["no rows"]),
    "fewer rows than items": (D.iloc[:5], {}, ["5 rows for 6 items"]),
    "as many rows as items": (D.iloc[:6], {}, ["6 rows for 6 items"]),
    "a thin group": (D.assign(g=["x"] * 3 + ["y"] * 197), {"group": "g"}, ["Group 'x'", "3 rows"]),
    "a thin group, fiml": (
        D.assign(g=["x"] * 3 + ["y"] * 197), {"group": "g", "missing": "fiml"}, ["Group 'x'", "3 rows"],
    ),
    "nothing left of a group": (in_group(np.nan), {"group": "g"}, ["Group 'x'", "0 rows"]),
    "few rows that weigh": (D.assign(q=(D.index < 4) * 1.0), {"weight": "q"}, ["4 rows"]),
    "few rows that count often": (D.iloc[:4].assign(q=100), {"frequency": "q"}, ["determine each other"]),
    "few answers, fiml": (
        D[ITEMS].iloc[:12].mask(np.random.default_rng(1).random((12, 6)) < 0.3), {"missing": "fiml"},
        ["determine each other", "more complete rows"],
    ),
    "two blocks that nobody joins": (
        D.assign(**{k: D[k].mask((D.index < 100) == k.startswith("a")) for k in ITEMS}), {"missing": "fiml"},
        ["'a1' and 'b1'", "never answered by the same person", "cannot be told", "Ask both of the same people"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(THIN))
def test_too_few_rows(name):
    frame, options, parts = THIN[name]
    refused((DataError, EstimationError), *parts, frame=frame, **options)


# --- items

ITEM = {
    "constant": (D.assign(a1=3.0), {}, ["'a1'", "constant", "3"]),
    "constant in a group": (in_group(3.0), {"group": "g"}, ["'a1' is constant in group 'x'"]),
    "constant in a group, fiml": (in_group(3.0), {"group": "g", "missing": "fiml"}, ["'a1' is constant in group 'x'"]),
    "varies by rounding only": (D.assign(a1=D["a1"] + 1e12), {}, ["'a1'", "constant", "Leave the item out."]),
    "without an answer": (D.assign(a1=np.nan), {}, ["'a1'", "no answer"]),
    "without an answer, fiml": (D.assign(a1=np.nan), {"missing": "fiml"}, ["'a1'", "no answer"]),
    "without an answer in a group": (
        in_group(np.nan), {"group": "g", "missing": "fiml"}, ["Nobody answered 'a1' in group 'x'"],
    ),
    "text": (D.assign(a1="often"), {}, ["'a1'", "'often'"]),
    "numbers as text": (D.assign(a1=D["a1"].astype(str)), {}, ["'a1'", "text"]),
    "infinite": (D.assign(a1=D["a1"].where(D.index != 3, np.inf)), {}, ["'a1'", "infinite"]),
    "astronomic": (D.assign(a1=D["a1"] * 1e150), {}, ["'a1'", "astronomically"]),
    "complex": (D.assign(a1=1j), {}, ["'a1'", "complex"]),
    "dates": (D.assign(a1=pd.Timestamp("2020-01-01")), {}, ["'a1'", "datetime"]),
    "lists": (D.assign(a1=[[1.0]] * 200), {}, ["'a1'", "nested"]),
    "not there": (D.drop(columns="a1"), {}, ["no column 'a1'"]),
    "there twice": (pd.concat([D, D[["a1"]]], axis=1), {}, ["2 columns of the name 'a1'"]),
    "a copy": (D.assign(a2=2 * D["a1"] + 3), {}, ["'a1' and 'a2'", "+1.0", "Leave one of them out"]),
    "a negative copy": (D.assign(a2=-D["a1"]), {}, ["'a1' and 'a2'", "-1.0"]),
    "a copy in a group": (
        D.assign(a2=np.where(D["g"] == "x", D["a1"], D["a2"])), {"group": "g"}, ["same up to scale in group 'x'"],
    ),
    "a sum": (D.assign(b3=D["b1"] + D["b2"]), {}, ["'b1', 'b2', 'b3'", "sum", "Leave one of them out"]),
    "a copy with holes": (
        D[ITEMS].assign(a2=D["a1"]).mask(HOLES), {"missing": "fiml"}, ["'a1', 'a2'", "determine each other"],
    ),
    "a sum with holes": (
        D[ITEMS].assign(b3=D["b1"] + D["b2"]).mask(HOLES), {"missing": "fiml"}, ["'b1', 'b2', 'b3'"],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ITEM))
def test_items_that_cannot_be_used(name):
    frame, options, parts = ITEM[name]
    refused((DataError, EstimationError), *parts, frame=frame, **options)


@pytest.mark.parametrize("data", [None, "rows.csv", [1, 2], 3.0, D[ITEMS].to_numpy(), D["a1"]])
def test_no_frame(data):
    refused(DataError, "no frame", frame=data)


def test_other_frames_that_are_none():
    refused(DataError, "matrix", frame=D[ITEMS].corr())
    refused(DataError, "several header rows", frame=pd.concat({"u": D[ITEMS]}, axis=1))


# --- columns that group or weigh

COLUMN = {
    "text": ("t", {"weight": "text", "frequency": "text", "group": "one group only", "cluster": "one cluster only"}),
    "missing": (D["w"].where(D.index > 3), {"weight": "4 row(s)", "group": "empty in 4", "cluster": "empty in 4"}),
    "None": (D["g"].where(D.index > 3, None), {"group": "empty in 4", "cluster": "empty in 4", "weight": "text"}),
    "blank": (D["g"].where(D.index > 3, " "), {"group": "empty in 4", "cluster": "empty in 4"}),
    "nullable": (D["f"].astype("Int64").where(D.index > 3), {"weight": "4 row(s)", "group": "empty in 4"}),
    "negative": (-1.0, {"weight": "-1", "frequency": "-1"}),
    "zero": (0, {"weight": "0 in every row", "frequency": "0 in every row"}),
    "infinite": (np.inf, {"weight": "inf", "frequency": "inf"}),
    "fractions": (1.5, {"frequency": "whole numbers"}),
    "astronomic": (1e300, {"weight": "1e+300", "frequency": "1e+300"}),
    "complex": (1j, {"weight": "complex", "frequency": "complex"}),
    "dates": (pd.Timestamp("2020-01-01"), {"weight": "datetime", "frequency": "datetime"}),
    "lists": ([[k] for k in range(200)], {"weight": "nested", "group": "nested", "cluster": "nested"}),
    "one value": (7, {"group": "one group only", "cluster": "one cluster only"}),
    "alike": ([1, "1"] * 100, {"group": "written alike: '1'"}),
}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in COLUMN for option in COLUMN[name][1]])
def test_columns_that_cannot_group_or_weigh(name, option):
    refused(DataError, "'q'", COLUMN[name][1][option], frame=D.assign(q=COLUMN[name][0]), **{option: "q"})


@pytest.mark.parametrize("option", ["group", "cluster", "weight", "frequency"])
def test_names_of_columns(option):
    refused(DataError, "no column 'zz'", **{option: "zz"})
    refused(DataError, "no column ''", **{option: ""})
    refused(DataError, "'a1' is an item", **{option: "a1"})
    for odd in (5, True, ["g"], 2.5):
        refused(RoxError, f"{option}=", "name of a column", **{option: odd})


def test_clusters_that_say_nothing():
    refused(EstimationError, "Group 'y' has one cluster only", group="g", cluster="g")
    refused(EstimationError, "one cluster only", frame=in_group(np.nan), cluster="g")


def test_groups_whose_names_make_parameters_alike():
    items = {"A": ["x", "x@b", "a3"], "B": ["b1", "b2", "b3"]}
    constructs = [rox.Construct(name=n, factor="outcomes", source="employee", items=i) for n, i in items.items()]
    model = rox.RoxModel(name="m", constructs=constructs, edges=["A -> B"])
    frame = D.rename(columns={"a1": "x", "a2": "x@b"}).assign(g=np.where(D["g"] == "x", "b@c", "c"))
    refused(SpecError, "would be called", "Rename", frame=frame, model=model, group="g")


# --- options

OPTIONS = [
    {"estimator": "ml"}, {"estimator": None}, {"estimator": ["ML"]}, {"missing": "pairwise"}, {"missing": None},
    {"missing": True}, {"invariance": "strict"}, {"invariance": None}, {"scaling": "std"}, {"scaling": ["marker"]},
    {"information": "obs"}, {"information": 1}, {"se": "hc3"}, {"equal": ["x"]}, {"equal": [5]},
    {"equal": "loadings"}, {"equal": [["loadings"]]}, {"ordered": 5}, {"ordered": True}, {"ordered": ["a1"]},
    {"bootstrap": -1}, {"bootstrap": 1.5}, {"bootstrap": 1}, {"bootstrap": "10"}, {"bootstrap": True}, {"seed": -1},
    {"seed": "x"}, {"within": "saturated"}, {"invariance": "metric"}, {"weight": "w", "frequency": "f"},
    {"estimator": "MLM", "weight": "w"}, {"estimator": "MLM", "cluster": "c"}, {"estimator": "MLM", "missing": "fiml"},
    {"estimator": "MLM", "information": "observed"}, {"estimator": "MLR", "ordered": True}, {"method": "sme"},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_that_do_not_exist_or_contradict_each_other(options):
    with pytest.raises(RoxError) as caught:
        rox.fit(MODEL, D, **({"method": "sem"} | options))
    assert next(iter(options)) in str(caught.value) or "equal over groups" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"group": "g"}, "group="), ({"weight": "w"}, "weight="), ({"cluster": "c"}, "cluster="),
        ({"missing": "fiml"}, "fiml"), ({"means": True}, "means=True"), ({"information": "observed"}, "information"),
        ({"ordered": 5}, "ordered="), ({"ordered": [5]}, "5"), ({"ordered": ["zz"]}, "'zz'"),
        ({"ordered": [["a1"]]}, "no item"), ({"ordered": None}, "no item has a scale"),
    ],
)  # fmt: skip
def test_ordinal_items_and_other_options(options, part):
    refused(RoxError, part, frame=WHOLE.join(D[["g", "w", "c"]]), **({"estimator": "DWLS", "ordered": True} | options))


MOMENTS = rox.Moments.from_rows(D[ITEMS].to_numpy(), ITEMS)


@pytest.mark.parametrize(
    "options",
    [
        {"estimator": "DWLS"}, {"estimator": "MLR"}, {"estimator": "MLM"}, {"missing": "fiml"}, {"se": "robust"},
        {"bootstrap": 10}, {"se": "bootstrap"}, {"group": "g"}, {"cluster": "c"}, {"weight": "w"},
        {"frequency": "f"}, {"equal": ["loadings"], "group": "g"},
    ],
    ids=str,
)  # fmt: skip
def test_a_printed_matrix_has_no_rows(options):
    refused(RoxError, "printed matrix", frame=MOMENTS, **options)


# --- printed matrices


def printed(change=None, **rest):
    r = D[ITEMS].corr().to_numpy().copy()
    for (i, j), value in (change or {}).items():
        r[i, j] = value
    return r, {"n": 200, **rest}


MATRICES = {
    "not symmetric": (printed({(0, 1): 0.3}), ["'a1' and 'a2'", "above", "below"]),
    "beyond one": (printed({(0, 1): 1.2, (1, 0): 1.2}), ["'a1' and 'a2'", "1.2"]),
    "not positive definite": (printed({(0, 1): -0.9, (1, 0): -0.9}), ["not positive definite", "'a1'", "'a2'"]),
    "a copy": (printed({(0, 1): 1.0, (1, 0): 1.0}), ["not positive definite", "'a1'", "'a2'"]),
    "no n": (printed(n=None), ["Give n="]),
    "half a person": (printed(n=20.5), ["20.5"]),
    "too few persons": (printed(n=6), ["6 rows for 6 items"]),
    "missing entry": (printed({(0, 1): np.nan}), ["'a1' and 'a2'", "nan"]),
    "no variance": (printed(sd=[0, 1, 1, 1, 1, 1]), ["'a1'", "0"]),
}


@pytest.mark.parametrize("name", sorted(MATRICES))
def test_printed_matrices(name):
    (r, rest), parts = MATRICES[name]
    with pytest.raises(RoxError) as caught:
        fitted(rox.Moments.from_correlation(ITEMS, r, **rest))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["not symmetric", "beyond one", "not positive definite", "a copy"])
def test_printed_matrices_that_nobody_checked(name):
    (r, _), parts = MATRICES[name]
    refused(DataError, *parts, frame=rox.Moments(tuple(ITEMS), 200, None, r))


@pytest.mark.parametrize("variance", [0.0, -1.0])
def test_variances_that_nobody_checked(variance):
    refused(DataError, "'a1'", frame=rox.Moments(tuple(ITEMS), 200, None, printed({(0, 0): variance})[0]))


def test_moments_of_a_sum_score():
    frame = D.assign(b3=D["b1"] + D["b2"])[ITEMS]
    refused(DataError, "'b1'", "'b2'", "'b3'", frame=rox.Moments.from_rows(frame.to_numpy(), ITEMS))


def test_other_faults_of_moments():
    refused(DataError, "no variable 'b3'", frame=MOMENTS.select(ITEMS[:5]))
    bare = rox.Moments.from_correlation(ITEMS, MOMENTS.correlation, n=200)
    refused(RoxError, "no means", frame=bare, means=True)


# --- ordinal items


def ordinal(frame, *parts, model=MODEL, **options):
    refused(RoxError, *parts, frame=frame, model=model, **({"estimator": "DWLS", "ordered": True} | options))


def scaled(high):
    return MODEL.replace(constructs=[c.replace(scale=rox.Likert(1, high)) for c in MODEL.constructs])


def test_categories():
    ordinal(WHOLE.assign(a1=3), "'a1'", "constant")
    ordinal(WHOLE.assign(a1=[2.0] + [3.0] * 199), "'a1'", "perfectly associated")
    ordinal(WHOLE.assign(a2=WHOLE["a1"]), "'a1' and 'a2'")
    ordinal(WHOLE, "outside its scale", model=scaled(3), ordered=None)
    ordinal(WHOLE.assign(a1=(D["a1"] > 4) * 1.0), "'a1'", "two values only", ordered=["a2", "b1"])
    assert fitted(WHOLE, scaled(9), estimator="DWLS").converged  # categories that nobody chose have no threshold


def test_models_of_ordinal_items():
    ordinal(WHOLE, "not identified", "'a'", model=rox.RoxModel.from_lavaan("a =~ a1 + a2"))
    given = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\na ~ b1")  # lavaan text gives what is exogenous
    ordinal(WHOLE, "exogenous='free'", "conditioned on it", model=given, ordered=["a1", "a2", "a3", "b1"])
    assert fitted(WHOLE, given, estimator="DWLS", ordered=True).converged


# --- models


def test_small_models_are_fitted():
    for text, df in (("a =~ a1", 0), ("a =~ a1 + a2 + a3", 0), ("a1 ~~ b1", 0), ("a1 ~ a2 + a3\nb1 ~ a1", 2)):
        fit = fitted(model=rox.RoxModel.from_lavaan(text))
        assert fit.converged
        assert fit.identified
        assert fit.indices()["df"] == df
        assert fit.summary()


def test_fixed_values_that_contradict_each_other():
    model = rox.RoxModel.from_lavaan("a =~ 1*a1 + 1*a2 + 1*a3\na1 ~~ 0.3*a1\na2 ~~ 0.3*a2\na1 ~~ 0.9*a2")
    refused(EstimationError, "contradict each other", model=model)


def test_a_free_lag_is_refused():
    edges = [rox.Edge(cause="a", effect="b"), rox.Edge(cause="b", effect="a", lag=1)]
    refused(SpecError, "lagged edge b -> a is free", model=MODEL.replace(edges=edges))


NAMES = {
    "unicode": ["é1", "日本", "ß", "Ω", "ñ", "😀"],
    "blanks": ["a 1", "a 2", "a 3", "b 1", "b 2", "b 3"],
    "signs": ["a|1", "a|t1", "b@x", "a->b", "b=~c", "x~1"],
    "quotes": ["a'1", 'a"2', "a\\3", "b`1", "%s", "{b}"],
    "numbers": ["1", "2", "3", "4", "5", "6"],
    "words": ["chisq", "mean", "n", "estimate", "free", "value"],
}


@pytest.mark.parametrize("options", [{}, {"group": "g", "invariance": "scalar"}, {"missing": "fiml"}])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_any_name(name, options):
    items = NAMES[name]
    parts = {"the cause": items[:3], "B|t1@x": items[3:]}
    constructs = [rox.Construct(name=n, factor="outcomes", source="employee", items=i) for n, i in parts.items()]
    model = rox.RoxModel(name="m", constructs=constructs, edges=[rox.Edge(cause="the cause", effect="B|t1@x")])
    frame = D.rename(columns=dict(zip(ITEMS, items, strict=True)))
    np.testing.assert_allclose(fitted(frame, model, **options).theta, fitted(**options).theta, rtol=1e-9)


def test_odd_names_of_groups():
    frame = D.assign(g=np.where(D["g"] == "x", "a@b", "a|ü ->"))
    fit = fitted(frame, group="g", invariance="metric")
    np.testing.assert_allclose(fit.theta, fitted(group="g", invariance="metric").theta, rtol=1e-9)
    assert set(fit.parameters()["group"]) == {"a@b", "a|ü ->"}


# --- scales of numbers


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("options", [{}, {"estimator": "MLR"}, {"missing": "fiml"}, {"scaling": "standardized"}])
def test_huge_and_tiny_units(unit, options):
    frame, other = D[ITEMS], D[ITEMS] * np.array([unit, 1, 1 / unit, unit, 1, 1])
    if "missing" in options:
        frame, other = frame.mask(HOLES), other.mask(HOLES)
    one, two = fitted(frame, **options), fitted(other, **options)
    assert two.indices()["chisq"] == pytest.approx(one.indices()["chisq"], rel=1e-5)
    assert (two.converged, two.identified, two.admissible) == (True, True, True)


def test_items_that_are_nearly_the_same_are_no_linear_algebra_error():
    noise = np.random.default_rng(0).normal(size=200)
    for frame in (D.assign(a2=D["a1"] + 1e-4 * noise), D.assign(b3=D["b1"] + D["b2"] + 1e-4 * noise)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rox.RoxWarning)  # b3 would be negative by 14 standard errors
            fit = fitted(frame)
        assert not fit.admissible
        assert fit.summary()


def test_one_weight_that_outweighs_all_is_no_linear_algebra_error():
    assert fitted(D.assign(w=np.where(D.index < 1, 1e12, 1.0)), weight="w").summary()


# --- what frames come in

BASE = fitted(D[ITEMS]).theta
FRAMES = {
    "polars": pl.from_pandas(D[ITEMS]),
    "arrow": pa.Table.from_pandas(D[ITEMS]),
    "mapping": {name: D[name].tolist() for name in ITEMS},
    "nullable": D[ITEMS].astype("Float64"),
    "pandas on arrow": D[ITEMS].convert_dtypes(dtype_backend="pyarrow"),
    "objects": D[ITEMS].astype(object),
    "decimals": D[ITEMS].map(Decimal),
    "columns first": pd.DataFrame(np.asfortranarray(D[ITEMS].to_numpy()), columns=ITEMS),
    "strange index": D[ITEMS].set_axis([7] * 200, axis=0),
}


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_any_frame(name):
    np.testing.assert_allclose(fitted(FRAMES[name]).theta, BASE, rtol=1e-9)


def test_missing_answers_in_any_frame():
    holed = D[ITEMS].mask(HOLES)
    expected = fitted(holed, missing="fiml").theta
    for frame in (
        pl.from_pandas(holed), pl.from_pandas(holed, nan_to_null=False), pa.Table.from_pandas(holed),
        holed.astype("Float64"), holed.astype(object).where(holed.notna(), None),
    ):  # fmt: skip
        np.testing.assert_allclose(fitted(frame, missing="fiml").theta, expected, rtol=1e-9)


def test_booleans_and_whole_numbers():
    yes = D[ITEMS] > 4
    np.testing.assert_allclose(fitted(yes).theta, fitted(yes.astype(float)).theta, rtol=1e-9)
    np.testing.assert_allclose(fitted(yes.astype("boolean")).theta, fitted(yes.astype(float)).theta, rtol=1e-9)
    for kind in ("int8", "uint8", "Int64", "float32", "category"):
        np.testing.assert_allclose(fitted(WHOLE.astype(kind)).theta, fitted(WHOLE).theta, rtol=1e-6)
    some = D.assign(g=D["g"].astype("category"), c=D["c"].astype("Int64"), w=D["f"].astype("Int64"))
    assert fitted(some, group="g", cluster="c").converged
    assert fitted(some, weight="w").converged


WAYS = [
    {}, {"missing": "fiml"}, {"estimator": "MLR"}, {"bootstrap": 4, "seed": 1}, {"group": "g"}, {"weight": "w"},
    {"cluster": "c"}, {"estimator": "DWLS", "ordered": True},
]  # fmt: skip


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_frame_stays_as_it_is(options):
    frame = (WHOLE if "ordered" in options else D[ITEMS]).join(D[["g", "w", "c"]])
    if "missing" in options:
        frame[ITEMS] = frame[ITEMS].mask(HOLES)
    before = frame.copy(deep=True)
    fitted(frame, **options)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_may_be_read_only(order):
    values = np.array(D[ITEMS], order=order)
    values.setflags(write=False)
    for options in ({}, {"estimator": "MLR"}, {"bootstrap": 2, "seed": 1}):
        fitted(pd.DataFrame(values, columns=ITEMS, copy=False), **options)
        fitted({name: values[:, place] for place, name in enumerate(ITEMS)}, **options)
    np.testing.assert_array_equal(values, D[ITEMS])


def test_two_threads_do_not_see_each_other():
    jobs = [{"estimator": "MLR"}, {"bootstrap": 6, "seed": 3}, {"missing": "fiml"}, {"group": "g"}] * 2
    expected = [fitted(**options) for options in jobs[:4]]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda options: fitted(**options), jobs))
    for place, fit in enumerate(found):
        np.testing.assert_array_equal(fit.theta, expected[place % 4].theta)
        np.testing.assert_array_equal(fit.vcov, expected[place % 4].vcov)
    np.testing.assert_array_equal(found[1].bootstrap_draws(), found[5].bootstrap_draws())
