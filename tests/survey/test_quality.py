"""Reliability and validity against closed forms of populations that are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments
from roxmodel.survey.linkage import QUALITY_COLUMNS

EXACT = 1e-9  # algebra in double precision
FITTED = 1e-5  # an optimiser's tolerance on the loadings
REFERENCE = 2e-4  # statsmodels stops its own optimiser there

LOADINGS = np.array([0.9, 0.8, 0.7, 0.5])
SD = np.array([1.0, 2.0, 0.5, 3.0])


def one_factor(loadings: np.ndarray) -> np.ndarray:
    """Correlations of items that share one factor."""
    matrix = np.outer(loadings, loadings)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def rows_with(covariance: np.ndarray, rows: int = 60, seed: int = 1) -> np.ndarray:
    """Rows (n, p) whose covariance (divisor n - 1) is exactly the one asked for."""
    drawn = np.random.default_rng(seed).normal(size=(rows, len(covariance)))
    basis, _ = np.linalg.qr(drawn - drawn.mean(axis=0))
    return 5 + basis * np.sqrt(rows - 1) @ np.linalg.cholesky(covariance).T


def quality(covariance: np.ndarray, sizes: list[int]) -> pd.DataFrame:
    """Quality of constructs c0, c1, ... of so many items, for answers with exactly this covariance."""
    names = [f"q{k}" for k in range(len(covariance))]
    frame = pd.DataFrame(rows_with(covariance), columns=names).assign(unit=np.arange(60) % 7)
    return quality_of(frame, sizes)


def quality_of(frame: pd.DataFrame, sizes: list[int], **options: object) -> pd.DataFrame:
    ends = np.cumsum([0, *sizes])
    constructs = [
        rox.Construct(name=f"c{j}", factor="context", source="employee", items=[f"q{k}" for k in range(a, b)])
        for j, (a, b) in enumerate(pairwise(ends))
    ]
    study = rox.Study(rox.RoxModel(name="m", constructs=constructs, edges=[]), employee=frame, by="unit", **options)
    return study.quality()


def test_total_covariance_is_that_of_all_rows():
    rng = np.random.default_rng(2)
    answers = rng.normal(size=(50, 3)).T
    moments = SourceMoments.from_columns("s", ["a", "b", "c"], list(answers), Design(rng.integers(0, 6, 50), range(6)))
    np.testing.assert_allclose(moments.total_covariance, np.cov(answers), rtol=EXACT)


def test_total_covariance_with_holes_uses_those_who_answered_both():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc")).mask(rng.random((80, 3)) < 0.3)
    design = Design(rng.integers(0, 6, 80), range(6))
    moments = SourceMoments.from_columns("s", list("abc"), [frame[c].to_numpy() for c in "abc"], design)
    np.testing.assert_allclose(moments.total_covariance, frame.cov(), rtol=EXACT)


def test_total_covariance_with_weights():
    rng = np.random.default_rng(4)
    answers, weight = rng.normal(size=(50, 2)).T, rng.uniform(0.1, 9, 50)
    for scale in (1.0, 1e6):
        design = Design(rng.integers(0, 6, 50), range(6), weight=weight * scale)
        moments = SourceMoments.from_columns("s", ["a", "b"], list(answers), design)
        np.testing.assert_allclose(moments.total_covariance, np.cov(answers, aweights=weight), rtol=EXACT)


def test_alpha_by_hand():
    covariance = np.outer(SD, SD) * one_factor(LOADINGS)
    expected = 4 / 3 * (1 - np.trace(covariance) / covariance.sum())
    assert quality(covariance, [4])["alpha"][0] == pytest.approx(expected, rel=EXACT)


def test_omega_and_ave_of_a_known_population():
    row = quality(np.outer(SD, SD) * one_factor(LOADINGS), [4]).iloc[0]
    unique = 1 - LOADINGS**2
    raw, rest = (LOADINGS * SD).sum() ** 2, (unique * SD**2).sum()
    assert row["omega"] == pytest.approx(raw / (raw + rest), abs=FITTED)
    standard = LOADINGS.sum() ** 2
    assert row["composite_reliability"] == pytest.approx(standard / (standard + unique.sum()), abs=FITTED)
    assert row["ave"] == pytest.approx((LOADINGS**2).mean(), abs=FITTED)
    assert row["note"] == ""


@pytest.mark.parametrize("loadings", [[0.8, 0.7, 0.6], [0.2, 0.1, 0.15, 0.3], [0.99, 0.6, 0.3], [0.7] * 12])
def test_loadings_are_found_whatever_their_size(loadings):
    row = quality(one_factor(np.array(loadings)), [len(loadings)]).iloc[0]
    assert row["ave"] == pytest.approx(np.mean(np.square(loadings)), abs=FITTED)


def test_omega_is_that_of_the_factor_analysis_of_statsmodels():
    factor = pytest.importorskip("statsmodels.multivariate.factor")
    noise = np.random.default_rng(5).normal(0, 0.05, (5, 5))
    correlation = one_factor(np.array([0.8, 0.7, 0.75, 0.6, 0.5])) + (noise + noise.T) * (1 - np.eye(5))
    loadings = np.abs(factor.Factor(corr=correlation, n_factor=1, method="ml").fit().loadings[:, 0])
    row = quality(correlation, [5]).iloc[0]
    assert row["ave"] == pytest.approx((loadings**2).mean(), abs=REFERENCE)
    standard = loadings.sum() ** 2
    assert row["omega"] == pytest.approx(standard / (standard + (1 - loadings**2).sum()), abs=REFERENCE)


NO_FACTOR = {
    "an item that is the factor": np.array([[1, 0.7, 0.7], [0.7, 1, 0.3], [0.7, 0.3, 1]]),
    "contradicting items": np.array([[1, 0.8, -0.4], [0.8, 1, 0.1], [-0.4, 0.1, 1]]),
}


@pytest.mark.parametrize("case", NO_FACTOR)
def test_no_admissible_factor_has_its_reason(case):
    row = quality(NO_FACTOR[case], [3]).iloc[0]
    assert np.isnan(row["omega"])
    assert np.isfinite(row["alpha"])
    assert row["note"] != ""


def test_copies_of_one_item_have_no_factor_solution():
    frame = pd.DataFrame({"q0": [1.0, 2, 3, 4], "unit": list("aabb")}).assign(
        q1=lambda f: f["q0"], q2=lambda f: f["q0"]
    )
    row = quality_of(frame, [3]).iloc[0]
    assert row["alpha"] == pytest.approx(1.0, rel=EXACT)
    assert np.isnan(row["omega"])
    assert "one common factor does not explain" in row["note"]


def test_two_items_have_alpha_only():
    row = quality(one_factor(np.array([0.8, 0.7])), [2]).iloc[0]
    assert row["alpha"] == pytest.approx(2 * 0.56 / 1.56, rel=EXACT)
    assert np.isnan(row["omega"])
    assert row["note"] == "omega and AVE need three items or more"


def test_one_item_has_nothing_and_says_so():
    row = quality(one_factor(np.array([0.8, 0.7])), [1, 1]).iloc[0]
    assert row[["alpha", "omega", "ave", "htmt"]].isna().all()
    assert row["note"] == "one item: its reliability cannot be seen in these data"


def test_an_item_against_the_others_is_named():
    with pytest.warns(rox.RoxWarning, match="against the other items"):
        row = quality(one_factor(np.array([0.8, 0.7, -0.6])), [3]).iloc[0]
    assert row["note"] == "item 'q2' runs against the others: should it be reverse=True?"


def test_all_items_against_the_others_are_named_at_once():
    with pytest.warns(rox.RoxWarning, match="against the other items"):
        row = quality(one_factor(np.array([-0.8, 0.7, -0.6, 0.7, 0.7])), [5]).iloc[0]
    assert row["note"] == "items 'q0', 'q2' run against the others: should they be reverse=True?"


def test_opposite_items_that_cancel_are_no_warning():
    frame = pd.DataFrame({"q0": [1.0, 2, 3, 5], "q1": [5.0, 4, 3, 1], "unit": list("aabb")})
    row = quality_of(frame, [2]).iloc[0]
    assert np.isnan(row["alpha"])
    assert row["note"].startswith("items 'q0', 'q1' run against each other")  # of two, nobody can say which


def test_htmt_by_hand():
    factors = np.kron(np.eye(3), np.ones((2, 1))) * np.array([[0.8], [0.7], [0.9], [0.6], [0.7], [0.7]])
    phi = np.array([[1, 0.5, -0.3], [0.5, 1, 0.2], [-0.3, 0.2, 1]])
    r = factors @ phi @ factors.T
    np.fill_diagonal(r, 1.0)
    table = quality(r, [2, 2, 2]).set_index("construct")

    def ratio(a: int, b: int) -> float:
        return np.abs(r[2 * a : 2 * a + 2, 2 * b : 2 * b + 2]).mean() / np.sqrt(
            r[2 * a, 2 * a + 1] * r[2 * b, 2 * b + 1]
        )

    assert table.loc["c0", "htmt"] == pytest.approx(ratio(0, 1), rel=EXACT)
    assert table["htmt_with"].tolist() == ["c1", "c0", "c0"]
    assert table.loc["c2", "htmt"] == pytest.approx(ratio(2, 0), rel=EXACT)


def test_htmt_skips_what_has_none():
    r = np.eye(5)
    r[0, 1] = r[1, 0] = 0.5
    table = quality(r, [2, 2, 1])
    assert table["htmt"].isna().all()  # the items of c1 do not correlate, c2 has one only
    assert (table["htmt_with"] == "").all()


def test_items_never_asked_together_have_a_reason():
    frame = pd.DataFrame(
        {"q0": [1.0, 2, 3, None, None, None], "q1": [None, None, None, 1.0, 3, 2], "unit": list("aabbab")}
    )
    row = quality_of(frame, [2]).iloc[0]
    assert np.isnan(row["alpha"])
    assert row["note"] == "some items were never answered by the same two people"


def test_htmt_passes_over_constructs_never_asked_together():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(rng.normal(size=(40, 6)) + rng.normal(size=(40, 1)), columns=[f"q{k}" for k in range(6)])
    frame.loc[:19, ["q2", "q3"]] = np.nan
    frame.loc[20:, ["q0", "q1"]] = np.nan
    table = quality_of(frame.assign(unit=np.arange(40) % 4), [2, 2, 2]).set_index("construct")
    assert table["htmt_with"].tolist()[:2] == ["c2", "c2"]
    assert table["htmt"].notna().all()


def test_frequency_and_rows_agree():
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(30, 4)), columns=[f"q{k}" for k in range(4)])
    frame = frame.assign(unit=np.arange(30) % 4, times=rng.integers(1, 4, 30))
    counted = quality_of(frame, [4], frequency="times")
    expanded = quality_of(frame.loc[frame.index.repeat(frame["times"])], [4])
    pd.testing.assert_frame_equal(counted, expanded, rtol=1e-6)


def test_the_table(model, frames):
    table = rox.Study(model, **frames, by="shop").quality()
    assert tuple(table.columns) == QUALITY_COLUMNS
    assert table["construct"].tolist() == ["pride", "drive", "value", "revenue"]
    assert table["note"].iloc[3] == "one figure a unit: no items to compare"
    assert table["htmt_with"].tolist() == ["drive", "pride", "", ""]
    assert (table["alpha"].iloc[:3] > 0).all()  # the reversed item is read the right way round
