"""Moments against plain numpy: row loops, np.cov, expanded rows."""

import doctest
import pickle
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from roxmodel.errors import DataError
from roxmodel.moments import condense
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitFigures
from roxmodel.moments.single import Moments

EXACT = 1e-10  # algebra: another order of the same sums, relative to the largest entry or the answers' sd of 1

NAMES = ("a", "b", "c")
PAIRED = ("n", "weight", "weight2", "pair_mean", "scatter")


def same(got, wanted):
    wanted = np.asarray(wanted, dtype=float)
    scale = np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted))
    np.testing.assert_allclose(got, wanted, rtol=EXACT, atol=EXACT * scale)


def equal(a, b, fields=("respondents", *PAIRED)):
    assert a.units == b.units
    for name in fields:
        same(getattr(a, name), getattr(b, name))


def brute(table, codes, groups, weight=None, frequency=None):
    """Loop over units and pairs, in the words of the definition."""
    n, p = table.shape
    f = np.ones(n) if frequency is None else np.asarray(frequency, float)
    w = np.ones(n) if weight is None else np.asarray(weight, float)
    out = {k: np.zeros((groups, p, p)) for k in ("n", "weight", "weight2", "scatter")}
    out["pair_mean"] = np.full((groups, p, p), np.nan)
    out["respondents"] = np.zeros(groups)
    for j in range(groups):
        mine = (codes == j) & (w > 0) & (f > 0)
        out["respondents"][j] = f[mine & ~np.isnan(table).all(axis=1)].sum()
        for a in range(p):
            for b in range(p):
                use = mine & ~np.isnan(table[:, a]) & ~np.isnan(table[:, b])
                x, y, fw = table[use, a], table[use, b], f[use] * w[use]
                out["n"][j, a, b], out["weight"][j, a, b] = f[use].sum(), fw.sum()
                out["weight2"][j, a, b] = (fw * w[use]).sum()
                if use.any():
                    # about the first answer: exact at any level
                    u, v = x - x[0], y - y[0]
                    mu, mv = (fw * u).sum() / fw.sum(), (fw * v).sum() / fw.sum()
                    out["pair_mean"][j, a, b] = x[0] + mu
                    out["scatter"][j, a, b] = (fw * (u - mu) * (v - mv)).sum()
    return out


def survey(seed=0, n=400, p=3, groups=7, missing=0.2, level=0.0):
    rng = np.random.default_rng(seed)
    table = level + rng.normal(size=(n, p)) @ rng.normal(size=(p, p))
    table[rng.random((n, p)) < missing] = np.nan
    return table, rng.integers(-1, groups, n), rng


def condensed(table, codes, groups=7, names=NAMES, **design):
    return SourceMoments.from_columns(
        "employee", names[: table.shape[1]], list(table.T), Design(codes, range(groups), **design)
    )


# --- single level


@pytest.mark.parametrize("level", [0.0, 1e6])
def test_rows_give_the_covariance_of_complete_rows(level):
    table, _, _ = survey(level=level)
    whole = table[~np.isnan(table).any(axis=1)]
    got = Moments.from_rows(table, NAMES)
    assert (got.n, got.n_dropped, got.p) == (len(whole), len(table) - len(whole), 3)
    same(got.mean, whole.mean(axis=0))
    same(got.covariance, np.cov((whole - level).T))
    same(got.sd, whole.std(axis=0, ddof=1))
    same(got.correlation, np.corrcoef((whole - level).T))


def test_frequencies_are_expanded_rows():
    table, _, rng = survey(n=60)
    f = rng.integers(0, 4, 60)
    got, wanted = Moments.from_rows(table, NAMES, f), Moments.from_rows(np.repeat(table, f, axis=0), NAMES)
    assert (got.n, got.n_dropped) == (wanted.n, wanted.n_dropped)
    same(got.mean, wanted.mean)
    same(got.covariance, wanted.covariance)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_of_any_size_give_what_the_rows_give(size):
    table, _, _ = survey(level=1e6)
    got = Moments.from_chunks((table[s : s + size] for s in range(0, len(table), size)), NAMES)
    wanted = Moments.from_rows(table, NAMES)
    assert (got.n, got.n_dropped) == (wanted.n, wanted.n_dropped)
    same(got.mean, wanted.mean)
    same(got.covariance, wanted.covariance)


def test_many_rows_are_condensed_in_blocks():
    table = 1e6 + np.random.default_rng(1).normal(size=(3 * condense.BATCH + 5, 2))
    got = Moments.from_rows(table, ["x", "y"])
    assert got.n == len(table)
    same(got.covariance, np.cov((table - 1e6).T))


def test_a_frame_or_lists_are_rows_too():
    lists = [[1, 2.0], [2, 4], [4, 3]]
    frame = pd.DataFrame(lists, columns=["x", "y"])
    for rows in (lists, frame, frame.astype("Float64")):
        same(Moments.from_rows(rows, ["x", "y"]).covariance, np.cov(np.array(lists).T))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1, 2], [np.inf, 3]], "'x' has an infinite value"),
        ([[1, 2], [1, 3], [1, 4]], r"'x' is constant \(1 in all 3 complete rows\)"),
        ([[0.1, 2]] * 2 + [[0.1, 3]], r"'x' is constant \(0.1"),
        ([[1, 2], [2, np.nan], [np.nan, 4]], "Only 1 of 3 rows are complete.*'x' is missing most often"),
        ([[1, np.nan], [2, np.nan]], "Only 0 of 2 rows.*'y' is missing most often"),
        (np.empty((0, 2)), "Only 0 of 0 rows"),
        ([["1", "a"]], "not all numbers"),
        ([[1, 2], [3]], "not all numbers"),
        ([[1, 2, 3]], r"shape \(1, 3\) do not fit the 2 names"),
        (pd.DataFrame({"y": [1.0, 2], "x": [1.0, 2]}), "another order"),
    ],
)
def test_rows_that_cannot_be_condensed(rows, words):
    with pytest.raises(DataError, match=words):
        Moments.from_rows(rows, ["x", "y"])


def test_a_chunk_may_be_constant_but_the_stream_may_not():
    assert Moments.from_chunks([[[1, 2]], [[2, 2], [2, 3]]], ["x", "y"]).n == 3
    with pytest.raises(DataError, match=r"'y' is constant \(2 in all 3"):
        Moments.from_chunks([[[1, 2]], [[2, 2], [3, 2]]], ["x", "y"])


@pytest.mark.parametrize(
    ("frequency", "words"),
    [([1, 1.5], "A frequency is 1.5"), ([1, -1], "A frequency is -1"), ([1], r"shape \(1,\)"), ([1, np.nan], "nan")],
)
def test_frequencies_must_be_counts(frequency, words):
    with pytest.raises(DataError, match=words):
        Moments.from_rows([[1, 2], [2, 4]], ["x", "y"], frequency)


PRINTED = [[1.0], [0.5, 1.0], [-0.2, 0.3, 1.0]]
WHOLE = [[1.0, 0.5, -0.2], [0.5, 1.0, 0.3], [-0.2, 0.3, 1.0]]


@pytest.mark.parametrize("matrix", [PRINTED, WHOLE, np.array(WHOLE), pd.DataFrame(WHOLE)])
def test_a_printed_matrix_is_read_in_any_form(matrix):
    got = Moments.from_correlation(NAMES, matrix, sd=[1, 2, 3], n=100)
    same(got.covariance, np.array(WHOLE) * np.outer([1, 2, 3], [1, 2, 3]))
    same(Moments.from_correlation(NAMES, matrix, n=100).covariance, WHOLE)
    assert got.n == 100
    assert got.mean is None
    same(Moments.from_covariance(NAMES, got.covariance, mean=[1, 2, 3], n=100).correlation, WHOLE)


def test_halves_that_differ_by_rounding_are_averaged():
    got = Moments.from_correlation(["x", "y"], [[1, 0.5], [0.5 + 1e-8, 1]], n=10)
    same(got.covariance, got.covariance.T)


BROKEN = [
    ([[1, 0.5], [0.4, 1]], "'x' and 'y' is 0.5 above and 0.4 below"),
    ([[1, 1.2], [1.2, 1]], "correlation of 'x' and 'y' is 1.2"),
    ([[1, 0.2], [0.2, 0.9]], "correlation of 'y' with itself is 0.9"),
    ([[1, np.nan], [np.nan, 1]], "correlation of 'x' and 'y' is nan"),
    ([[1, 0.2], [0.2, np.inf]], "correlation of 'y' and 'y' is inf"),
    ([[1, 0.2, 0.3], [0.2, 1, 0.1]], r"has rows of \[3, 3\] numbers"),
    ([[1], [0.2, 1], [0.1, 0.1, 1]], r"has rows of \[1, 2, 3\] numbers"),
    ([[1, "high"], ["high", 1]], "or text in it"),
    ([[1, 1.0], [1.0, 1]], "not positive definite: 'x', 'y' contradict or repeat"),
    (pd.DataFrame(np.eye(2), columns=["y", "x"]), "another order"),
]


@pytest.mark.parametrize(("matrix", "words"), BROKEN)
def test_what_is_no_correlation_matrix_is_refused_by_name(matrix, words):
    with pytest.raises(DataError, match=words):
        Moments.from_correlation(["x", "y"], matrix, n=50)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "number of persons behind the matrix is missing"),
        ({"n": 1}, "n is 1;"),
        ({"n": 10.5}, r"n is 10\.5;"),
        ({"n": True}, "n is True;"),
        ({"n": np.nan}, "n is nan;"),
        ({"n": "many"}, "n is 'many';"),
        ({"n": 9, "sd": [1, 0]}, "standard deviation of 'y' is 0;"),
        ({"n": 9, "sd": [1, 2, 3]}, r"sd has shape \(3,\)"),
        ({"n": 9, "mean": [1, np.nan]}, "mean has an entry nan"),
    ],
)
def test_what_goes_with_a_matrix_is_checked(given, words):
    with pytest.raises(DataError, match=words):
        Moments.from_correlation(["x", "y"], [[1, 0.2], [0.2, 1]], **given)


def test_covariances_and_names_are_checked():
    with pytest.raises(DataError, match="variance of 'y' is -1;"):
        Moments.from_covariance(["x", "y"], [[1, 0.2], [0.2, -1]], n=9)
    with pytest.raises(DataError, match="variable 'x' occurs more than once"):
        Moments.from_covariance(["x", "x"], [[1, 0.2], [0.2, 1]], n=9)
    with pytest.raises(DataError, match="There is no variable"):
        Moments.from_covariance([], [], n=9)
    with pytest.raises(DataError, match=r"correlation of 'x' and 'y' is 1.5"):
        Moments.from_covariance(["x", "y"], [[1, 3], [3, 4]], n=9)


def test_a_singular_matrix_names_the_variables_that_repeat_one_another():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(50, 4))
    rows[:, 3] = rows[:, 0] + rows[:, 1]
    rounded = np.corrcoef(rows.T).round(12)
    with pytest.raises(DataError, match=r"'total'.*contradict or repeat.*leave out a variable") as caught:
        Moments.from_correlation(["x", "y", "other", "total"], rounded, n=50)
    assert "'other'" not in str(caught.value)


def test_select_and_combine():
    table, _, _ = survey(missing=0)
    got = Moments.from_rows(table, NAMES)
    same(got.select(["c", "a"]).covariance, np.cov(table[:, [2, 0]].T))
    weights = [[0.5, 0.5, 0.0], [0.0, 1.0, -1.0]]
    mixed = got.combine(weights, ["half", "gap"])
    same(mixed.mean, (table @ np.transpose(weights)).mean(axis=0))
    same(mixed.covariance, np.cov(np.array(weights) @ table.T))
    assert Moments.from_correlation(["x"], [[1]], n=5).combine([[2]], ["xx"]).mean is None
    with pytest.raises(DataError, match="no variable 'bb'"):
        got.select(["bb"])
    with pytest.raises(DataError, match=r"weights has shape \(1, 2\)"):
        got.combine([[1, 2]], ["m"])


def test_merging_needs_the_same_names_and_means():
    a = Moments.from_rows([[1, 2], [2, 1], [4, 4]], ["x", "y"])
    with pytest.raises(DataError, match="Bring both to the same names"):
        a.merge(a.select(["y", "x"]))
    with pytest.raises(DataError, match="without means cannot be merged"):
        a.merge(Moments.from_covariance(["x", "y"], a.covariance, n=3))
    with pytest.raises(TypeError):
        a + 1


def test_a_printed_matrix_with_means_merges_like_its_rows():
    table, _, _ = survey(missing=0)
    first = Moments.from_rows(table[:100], NAMES)
    printed = Moments.from_covariance(NAMES, first.covariance, mean=first.mean, n=100)
    same((printed + Moments.from_rows(table[100:], NAMES)).covariance, np.cov(table.T))


def test_moments_do_not_change():
    a = Moments.from_rows([[1, 2], [2, 1], [4, 4]], ["x", "y"])
    with pytest.raises(FrozenInstanceError):
        a.n = 4
    for array in (a.mean, a.covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


# --- one source by unit


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("weights", ["none", "weight", "frequency", "both"])
@pytest.mark.parametrize(("missing", "level"), [(0.0, 0.0), (0.0, 1e6), (0.4, 0.0), (0.4, 1e6)])
def test_columns_give_what_a_loop_over_rows_gives(missing, level, weights, order):
    table, codes, rng = survey(missing=missing, level=level)
    codes = np.sort(codes) if order == "sorted" else codes
    design = {}
    if weights in {"weight", "both"}:
        design["weight"] = rng.uniform(0.2, 3, len(codes)) * (rng.random(len(codes)) > 0.1)
    if weights in {"frequency", "both"}:
        design["frequency"] = rng.integers(0, 4, len(codes))
    got, wanted = condensed(table, codes, **design), brute(table, codes, 7, **design)
    for name, values in wanted.items():
        same(getattr(got, name), values)


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_units_larger_than_a_batch_and_many_small_ones(monkeypatch, missing, order):
    monkeypatch.setattr(condense, "BATCH", 5)
    monkeypatch.setattr(condense, "_RESULT", 20)
    monkeypatch.setattr(condense, "_GATHER", 60)
    table, codes, rng = survey(missing=missing)
    codes = np.minimum(codes, rng.integers(0, 7, len(codes)))  # unequal sizes
    codes = np.sort(codes) if order == "sorted" else codes
    weight = rng.uniform(0.5, 2, len(codes))
    for design in ({}, {"weight": weight}):
        got = condensed(table, codes, **design)
        for name, values in brute(table, codes, 7, **design).items():
            same(getattr(got, name), values)


def test_one_item_one_unit_one_row():
    got = condensed(np.array([[3.0]]), np.array([0]), groups=1)
    assert (got.mean.item(), got.counts.item(), got.scatter.item(), got.respondents.item()) == (3, 1, 0, 1)
    assert np.isnan(got.item_variance).all()
    assert np.isnan(got.within_covariance).all()
    assert got.within_df.item() == 0


def test_units_and_items_without_answers():
    table = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]])
    got = condensed(table, np.array([0, 0, 2]), groups=4)
    assert got.respondents.tolist() == [2, 0, 0, 0]
    np.testing.assert_array_equal(got.counts[:, 1], 0)
    assert np.isnan(got.mean[:, 1]).all()
    np.testing.assert_array_equal(got.scatter[1:], 0)
    empty = condensed(np.empty((0, 2)), np.empty(0, np.int64), groups=0)
    assert empty.units == ()
    assert (empty + got).units == got.units


def test_complete_answers_stay_small_in_memory():
    table, codes, rng = survey(missing=0)
    got = condensed(table, codes)
    assert got.n is got.weight is got.weight2
    assert got.n.strides[1:] == (0, 0)
    assert got.pair_mean.strides[2] == 0
    weighted = condensed(table, codes, weight=rng.uniform(1, 2, len(codes)))
    assert weighted.weight.strides[1:] == (0, 0)
    both = got + got
    assert both.n is both.weight2
    assert both.n.strides[1:] == (0, 0)
    for other in (got.select(["b", "c"]), got.affine([1, -1, 1], [0, 8, 0]), pickle.loads(pickle.dumps(got))):
        assert other.n is other.weight
        assert other.n.strides[1:] == (0, 0)
        assert not other.scatter.flags.writeable


def test_the_users_columns_are_read_only_and_unchanged():
    table, codes, _ = survey()
    frame = pd.DataFrame(table, columns=list(NAMES))
    columns = [frame[name].to_numpy() for name in NAMES]
    for column in columns:
        column.flags.writeable = False
    got = SourceMoments.from_columns("employee", NAMES, columns, Design(codes, range(7)))
    np.testing.assert_array_equal(frame.to_numpy(), table)
    equal(got, condensed(table, codes))
    for name in ("respondents", *PAIRED):
        assert not getattr(got, name).flags.writeable


@pytest.mark.parametrize("kind", ["int8", "uint16", "int64", "float32", "bool"])
def test_any_real_type_will_do(kind):
    rng = np.random.default_rng(4)
    table, codes = rng.integers(0, 2, (50, 3)), rng.integers(0, 4, 50)
    got = SourceMoments.from_columns("s", NAMES, list(table.astype(kind).T), Design(codes, range(4)))
    for name, values in brute(table.astype(float), codes, 4).items():
        same(getattr(got, name), values)


def test_strided_columns_will_do():
    table, codes, _ = survey()
    wide = np.asfortranarray(np.repeat(table, 2, axis=0))[::2]
    equal(condensed(wide, codes), condensed(np.ascontiguousarray(table), codes))


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_an_infinite_answer_is_named(bad, missing):
    table, codes, _ = survey(missing=missing)
    table[np.flatnonzero(codes >= 0)[3], 1] = bad
    with pytest.raises(DataError, match="Item 'b' has an infinite"):
        condensed(table, codes)


def test_infinities_that_cancel_are_named_too():
    with pytest.raises(DataError, match="Item 'a' has an infinite"):
        condensed(np.array([[np.inf], [-np.inf]]), np.array([0, 0]), groups=1)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([np.zeros(3)], "has 2 items, but 1 columns"),
        ([np.zeros(3), np.array(["x", "y", "z"])], "Item 'b' is <U1"),
        ([np.zeros(3), np.zeros(4)], r"Item 'b' is float64 \(4,\); 3 numbers"),
    ],
)
def test_columns_that_do_not_fit(columns, words):
    with pytest.raises(DataError, match=words):
        SourceMoments.from_columns("employee", ["a", "b"], columns, Design(np.zeros(3, int), ["u"]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"codes": np.array([0, 2])}, "run from 0 to 2 for 2 units"),
        ({"codes": np.array([-2, 0])}, "run from -2"),
        ({"codes": np.array([0.0, 1.0])}, "Unit codes are float64"),
        ({"weight": np.array([1.0, -1.0])}, "sampling weight is -1"),
        ({"weight": np.array([1.0, np.nan])}, "weight has an entry nan"),
        ({"weight": np.array([1.0])}, r"weight has shape \(1,\)"),
        ({"frequency": np.array([1.0, 0.5])}, "frequency is 0.5"),
    ],
)
def test_a_design_that_does_not_fit(given, words):
    with pytest.raises(DataError, match=words):
        Design(**{"codes": np.array([0, 1]), "units": ["u", "v"], **given})


def test_units_are_sorted_whatever_their_order_and_type():
    table, codes, _ = survey()
    keys = ["g", 3, "b", 1.5, 2, ("x", 1), np.int64(1)]
    got = condensed(table, codes)
    design = Design(codes, keys, eligible=np.arange(7.0) + 500)
    mixed = SourceMoments.from_columns("employee", NAMES, list(table.T), design)
    assert mixed.units == (1.5, 1, 2, 3, "b", "g", ("x", 1))
    order = [3, 6, 4, 1, 2, 0, 5]
    same(mixed.scatter, got.scatter[order])
    same(mixed.eligible, 500.0 + np.array(order))
    same(got.with_eligible(range(7)).eligible, range(7))


@pytest.mark.parametrize(
    ("units", "words"),
    [(["u", "u"], "Unit 'u' occurs more than once"), ([1, 1.0], "Unit 1 occurs"), ([1, None], "key is missing")],
)
def test_unit_keys_must_be_there_and_unique(units, words):
    with pytest.raises(DataError, match=words):
        UnitFigures(("revenue",), tuple(units), np.zeros((2, 1)))


def test_keys_that_cannot_be_compared_are_still_ordered():
    figures = UnitFigures(("revenue",), ((1, None), (1, "x"), (1, 2)), np.arange(3.0)[:, None])
    assert figures.units == ((1, "x"), (1, 2), (1, None))
    assert figures.values.ravel().tolist() == [1, 2, 0]


def test_within_covariance_is_the_pooled_one_of_complete_rows():
    table, codes, _ = survey(missing=0)
    frame = pd.DataFrame(table[codes >= 0])
    deviation = (frame - frame.groupby(codes[codes >= 0]).transform("mean")).to_numpy()
    got = condensed(table, codes)
    same(got.within_covariance, deviation.T @ deviation / (len(frame) - 7))
    same(got.within_df, np.full((3, 3), len(frame) - 7))
    same(got.item_variance, frame.groupby(codes[codes >= 0]).var().to_numpy())
    same(got.mean, frame.groupby(codes[codes >= 0]).mean().to_numpy())


def test_with_holes_the_diagonal_is_the_pooled_variance_of_the_available_cases():
    table, codes, _ = survey(missing=0.4)
    frame = pd.DataFrame(table[codes >= 0])
    groups = frame.groupby(codes[codes >= 0])
    got = condensed(table, codes)
    same(got.item_variance, groups.var().to_numpy())
    freedom = (groups.count() - 1).clip(lower=0)
    same(got.within_df.diagonal(), freedom.sum())
    same(got.within_covariance.diagonal(), (groups.var() * freedom).sum() / freedom.sum())


def test_within_covariance_with_weights_is_unbiased():
    rng = np.random.default_rng(5)
    truth = np.array([[2.0, 0.5], [0.5, 1.0]])
    codes, weight = np.repeat(np.arange(4000), 5), rng.lognormal(0, 1, 20_000)
    table = rng.multivariate_normal([0, 0], truth, 20_000) + rng.normal(size=4000)[codes][:, None]
    got = condensed(table, codes, groups=4000, weight=weight).within_covariance
    # Monte-Carlo bound: sd of a pooled variance, 4000 units of effectively at least 1 degree of freedom, 4 sigma
    np.testing.assert_allclose(got, truth, atol=4 * 2.0 * np.sqrt(2 / 4000))


def test_unknown_scatter_stays_unknown_and_the_rest_is_pooled():
    table, codes, _ = survey(missing=0)
    rows = condensed(table, codes)
    n = np.full((2, 1, 1), 10.0)
    unknown = np.full((2, 3, 3), np.nan)
    printed = SourceMoments("employee", NAMES, (100, 101), [10.0, 10.0], n, n, n, np.ones((2, 3, 1)), unknown)
    assert np.isnan(printed.within_covariance).all()
    same(printed.within_df, np.zeros((3, 3)))
    both = rows + printed
    same(both.within_covariance, rows.within_covariance)
    same(both.within_df, rows.within_df)
    more = both + printed
    assert np.isnan(more.scatter[-2:]).all()
    same(more.n[-2:], np.full((2, 3, 3), 20.0))


def test_arrays_of_another_shape_are_refused():
    n = np.ones((2, 1, 1))
    with pytest.raises(DataError, match=r"scatter of 'employee' has shape \(2, 2, 2\); \(2, 3, 3\)"):
        SourceMoments("employee", NAMES, (1, 2), np.ones(2), n, n, n, np.ones((2, 3, 1)), np.ones((2, 2, 2)))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_affine_reverses_items(missing):
    table, codes, _ = survey(missing=missing)
    got = condensed(table, codes).affine([1, -1, 1], [0, 8, 0])
    equal(got, condensed(table * [1, -1, 1] + [0, 8, 0], codes))
    with pytest.raises(DataError, match=r"sign or offset has shape \(2,\)"):
        got.affine([1, 1], [0, 0])


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_select_is_condensing_fewer_columns(missing):
    table, codes, _ = survey(missing=missing)
    got = condensed(table, codes).select(["c", "a"])
    equal(got, condensed(table[:, [2, 0]], codes, names=("c", "a")), PAIRED)
    equal(condensed(table, codes).select(["b"]), condensed(table[:, [1]], codes, names=("b",)), PAIRED)
    with pytest.raises(DataError, match="no item of 'employee' 'd'"):
        got.select(["d"])


def test_sources_that_differ_do_not_merge():
    table, codes, _ = survey()
    a = condensed(table, codes)
    with pytest.raises(DataError, match="cannot be merged"):
        a.merge(a.select(["b", "a", "c"]))
    with pytest.raises(DataError, match="'eligible' of unit 2 is 5 in one part, 6 in another"):
        a.with_eligible([5] * 7).merge(a.with_eligible([5, 5, 6, 5, 5, 5, 5]))
    same((a.with_eligible([5, np.nan] + [7] * 5) + a).eligible, [5, np.nan] + [7] * 5)
    assert (a + a).eligible is None
    with pytest.raises(TypeError):
        a + 1


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_add_up_to_the_whole_far_from_zero(missing, weighted):
    table, codes, rng = survey(n=2000, missing=missing, level=1e6)
    weight = rng.uniform(0.5, 2, 2000) if weighted else None
    part = rng.integers(0, 3, 2000)
    cut = [None if weight is None else weight[part == k] for k in range(3)]
    a, b, c = (condensed(table[part == k], codes[part == k], weight=cut[k]) for k in range(3))
    whole = condensed(table, codes, weight=weight)
    for got in ((a + b) + c, a + (b + c), c + (b + a)):
        equal(got, whole)
        same(got.within_covariance, whole.within_covariance)


def test_a_merge_of_weighted_and_unweighted_counts_the_unweighted_as_one():
    table, codes, rng = survey()
    weight = np.where(np.arange(len(codes)) < 200, 1.0, rng.uniform(0.5, 2, len(codes)))
    parts = condensed(table[:200], codes[:200]), condensed(table[200:], codes[200:], weight=weight[200:])
    equal(parts[0] + parts[1], condensed(table, codes, weight=weight))


# --- figures and all together


def test_figures_are_sorted_filled_and_contradictions_named():
    nan = np.nan
    a = UnitFigures(("revenue", "staff"), ("s", "n"), [[1, nan], [3, 4]])
    b = UnitFigures(("revenue", "staff"), ("s", "w"), [[1, 2], [5, nan]])
    both = a + b
    assert both.units == ("n", "s", "w")
    np.testing.assert_array_equal(both.values, [[3, 4], [1, 2], [5, nan]])
    np.testing.assert_array_equal((b + a).values, both.values)
    assert not both.values.flags.writeable
    with pytest.raises(DataError, match="'revenue' of unit 's' is 1 in one part, 9 in another"):
        a + UnitFigures(("revenue", "staff"), ("s",), [[9, nan]])
    with pytest.raises(DataError, match="cannot be merged with figures 'staff'"):
        a + UnitFigures(("staff",), ("s",), [[9]])
    with pytest.raises(DataError, match="'staff' of unit 'n' is infinite"):
        UnitFigures(("revenue", "staff"), ("s", "n"), [[1, 2], [3, np.inf]])
    with pytest.raises(DataError, match="unit figures has shape"):
        UnitFigures(("revenue",), ("s", "n"), [[1, 2], [3, 4]])


def linked():
    employee = SourceMoments.from_columns(
        "employee", ["p1", "p2"], [np.array([1.0, 3, np.nan]), np.array([2.0, 4, np.nan])],
        Design(np.array([0, 0, 1]), ["n", "s"]),
    )  # fmt: skip
    customer = SourceMoments.from_columns(
        "customer", ["v1"], [np.array([5.0, 6, 7])], Design(np.array([1, 0, 2]), ["w", "n", "s"])
    )
    return LinkedMoments((employee, customer), UnitFigures(("revenue",), ("n", "e", "w"), [[9.0], [8.0], [7.0]]))


def test_linked_moments_stand_side_by_side():
    got = linked()
    assert got.units == ("e", "n", "s", "w")
    assert got.matched == ("n",)  # the only employee answer of "s" is missing
    names, means = got.item_means()
    assert names == ("p1", "p2", "v1", "revenue")
    nan = np.nan
    np.testing.assert_array_equal(means, [[nan, nan, nan, 8], [2, 3, 5, 9], [nan, nan, 7, nan], [nan, nan, 6, 7]])
    np.testing.assert_array_equal(got.item_means(["w", "n"])[1], means[[3, 1]])
    assert got.source("customer").items == ("v1",)
    with pytest.raises(DataError, match=r"no source 'custmer'. Did you mean 'customer'\?"):
        got.source("custmer")
    with pytest.raises(DataError, match="Nothing is known about unit 'x'"):
        got.item_means(["n", "x"])
    assert LinkedMoments(got.sources).matched == ("n",)


def test_linked_moments_merge_source_by_source():
    whole = linked()
    staff, clients = (LinkedMoments((source,)) for source in whole.sources)
    books = LinkedMoments((), whole.figures)
    assert books.units == ("e", "n", "w")
    joined = staff + clients + books
    np.testing.assert_array_equal(joined.item_means()[1], whole.item_means()[1])
    twice = whole + joined
    assert twice.source("employee").respondents.tolist() == [4, 0]
    np.testing.assert_array_equal(twice.item_means()[1], whole.item_means()[1])


def test_names_are_unique_across_sources():
    source = linked().sources[0]
    with pytest.raises(DataError, match="item or figure 'p1', 'p2' occurs more than once"):
        LinkedMoments((source, source))
    with pytest.raises(DataError, match="source 'employee' occurs more than once"):
        LinkedMoments((source.select(["p1"]), source.select(["p2"])))
    with pytest.raises(DataError, match="item or figure 'p1'"):
        LinkedMoments((source,), UnitFigures(("p1",), ("n",), [[1.0]]))


def test_every_public_name_has_a_running_example():
    for name in (Design, LinkedMoments, Moments, SourceMoments, UnitFigures):
        assert doctest.testmod(sys.modules[name.__module__]).failed == 0
        assert ">>>" in name.__doc__
