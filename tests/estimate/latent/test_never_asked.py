"""Items that no person answered both of, joined by others: method "sem" with missing="fiml"."""

import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import DataError, EstimationError, RoxWarning

MODEL = rox.RoxModel.from_lavaan("X =~ a1 + a2 + a3\nY =~ y1 + y2 + y3\nY ~ X")
NAMES = ["a1", "a2", "a3", "y1", "y2", "y3"]


def persons(n=400, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = 0.5 * x + rng.normal(size=n)
    rows = {f"a{k}": x + 0.7 * rng.normal(size=n) for k in (1, 2, 3)}
    return pd.DataFrame(rows | {f"y{k}": y + 0.7 * rng.normal(size=n) for k in (1, 2, 3)})


def asked(frame, first, second, kept=0):
    """The first items are asked of the first half of the people, the second of the others; `kept` answered all."""
    half = np.arange(len(frame)) < len(frame) // 2
    found = frame.copy()
    found.loc[~half, first] = np.nan
    found.loc[half, second] = np.nan
    found.iloc[:kept] = frame.iloc[:kept]
    return found


SPLIT = asked(persons(), ["a2"], ["a3"])


def test_numbers_are_of_what_was_seen():
    fit, whole = (rox.fit(MODEL, frame, missing="fiml") for frame in (SPLIT, persons()))
    now, then = fit.indices(), whole.indices()
    assert now["df"] == then["df"] - 1
    assert np.isfinite(now[["chisq", "pvalue", "cfi", "tli", "rmsea", "srmr"]]).all()
    left = fit.residuals()
    assert np.argwhere(left.isna().to_numpy()).tolist() == [[1, 2], [2, 1]]
    assert now["srmr"] < 0.05
    assert any("a2 and a3" in note and "No two people answered both" in note for note in fit.notes)
    assert any("left out where items never met" in note for note in fit.notes)
    assert not any("beyond 50 items" in note for note in fit.notes)


def test_scaled_statistic_is_that_of_the_moments_seen():
    """Yuan & Bentler's factor is about 1 with normal answers; lavaan divides by a covariance that nobody saw too."""
    found = rox.fit(MODEL, SPLIT, missing="fiml", estimator="MLR").indices()
    assert found["df_scaled"] == 7
    assert 0.8 < found["scaling_factor"] < 1.25
    assert "cfi_robust" not in found.index


@pytest.mark.slow
def test_chi_square_rejects_as_often_as_it_should():
    """60 right models: the mean of chi-square is its degrees of freedom (8 would be 4 errors off in 600)."""
    found = [
        rox.fit(MODEL, asked(persons(300, 100 + seed), ["a2"], ["a3"]), missing="fiml").indices()["chisq"]
        for seed in range(60)
    ]
    assert abs(np.mean(found) - 7) < 3.5 * np.sqrt(2 * 7 / 60)


def test_three_versions_two_sources_of_pairs():
    """Matrix sampling: the first item of each construct and one more; nine pairs of six items never meet."""
    frame = persons(600, 5)
    for k in (1, 2, 3):
        frame[f"z{k}"] = 0.4 * frame["y1"] + np.random.default_rng(k).normal(size=600)
    model = rox.RoxModel.from_lavaan("X =~ a1 + a2 + a3\nY =~ y1 + y2 + y3\nZ =~ z1 + z2 + z3\nY ~ X\nZ ~ Y")
    odd = np.arange(600) % 2 == 0
    frame.loc[odd, ["a2", "y2", "z2"]] = np.nan
    frame.loc[~odd, ["a3", "y3", "z3"]] = np.nan
    fit = rox.fit(model, frame, missing="fiml")
    assert fit.indices()["df"] == 9 * 10 // 2 + 9 - fit.table.n_free - 9
    edges = fit.edges()
    assert (abs(edges["estimate"] - [0.5, fit.edges()["estimate"].iloc[1]]) < 3 * edges["se"]).all()


def test_groups_one_of_which_met():
    """North is split, south is not; with equal loadings the one lends the other its items."""
    frame = persons(600, 8).assign(g=np.where(np.arange(600) % 3 == 0, "south", "north"))
    half = (np.arange(600) % 2 == 0) & (frame["g"] == "north")
    other = (np.arange(600) % 2 == 1) & (frame["g"] == "north")
    split = frame.assign(a2=frame["a2"].mask(half), a3=frame["a3"].mask(other))
    fit = rox.fit(MODEL, split, missing="fiml", group="g", invariance="metric")
    assert fit.indices()["df"] == 2 * 8 + 4 - 1
    left = fit.residuals()
    assert np.isnan(left.loc[("north", "a2"), "a3"])
    assert np.isfinite(left.loc[("south", "a2"), "a3"])


def test_log_likelihood_where_one_group_has_no_holes():
    """A group without holes beside one with: the same rows, one answer short in the other group, nearly the same."""
    frame = persons(200, 8).assign(g=np.repeat(["u", "v"], 100))
    holed = frame.copy()
    holed.loc[0, "a1"] = np.nan
    two, one = (rox.fit(MODEL, f, missing="fiml", group="g").indices() for f in (frame, holed))
    alone = rox.fit(MODEL, frame[frame["g"] == "v"], missing="fiml").indices()
    rest = rox.fit(MODEL, holed[holed["g"] == "u"], missing="fiml").indices()
    assert one["loglik"] == pytest.approx(alone["loglik"] + rest["loglik"], rel=1e-9)
    assert abs(one["loglik"] - two["loglik"]) < 5


# --- refused, said


@pytest.mark.parametrize("kept", [0, 1])
def test_two_blocks_that_nothing_joins(kept):
    frame = asked(persons(), NAMES[:3], NAMES[3:], kept)
    how = "were never answered by the same person" if kept == 0 else "were answered by the same person only once"
    with pytest.raises(EstimationError, match=how) as refused:
        rox.fit(MODEL, frame, missing="fiml")
    for part in ("'a1' and 'y1' (8 more pairs likewise)", "X -> Y", "Ask both of the same people"):
        assert part in str(refused.value)


@pytest.mark.parametrize("kept", [2, 3, 9])
def test_what_hangs_on_a_few_people_is_said(kept):
    frame = asked(persons(), NAMES[:3], NAMES[3:], kept)
    with pytest.warns(RoxWarning, match=f"Hardly identified: .*X -> Y.*{kept} people tell"):
        fit = rox.fit(MODEL, frame, missing="fiml")
    assert np.isfinite(fit.edges()[["estimate", "se"]]).all(axis=None)
    whole = rox.fit(MODEL, persons(), missing="fiml")
    assert fit.edges()["se"].iloc[0] > 2 * whole.edges()["se"].iloc[0]
    if kept < 6:  # fewer than items: moments without structure have no estimate
        assert np.isnan(fit.indices()["chisq"])
        assert any(note.startswith("No chi-square") for note in fit.notes)


def test_a_few_who_answered_both_although_others_join_them_are_no_matter():
    for kept in (1, 3, 9):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit = rox.fit(MODEL, asked(persons(), ["a2"], ["a3"], kept), missing="fiml")
        assert np.isfinite(fit.indices()["chisq"])
        assert abs(fit.edges()["estimate"].iloc[0] - 0.5) < 3 * fit.edges()["se"].iloc[0]


def test_a_group_that_never_saw_an_item_and_complete_rows_of_a_split():
    frame = SPLIT.assign(g=np.arange(400) % 2)
    frame.loc[frame["g"] == 1, "a3"] = np.nan
    with pytest.raises(DataError, match="Nobody answered 'a3' in group '1'"):
        rox.fit(MODEL, frame, missing="fiml", group="g")
    with pytest.raises(DataError, match="missing='fiml' uses all answers"):
        rox.fit(MODEL, SPLIT)


def test_composites_of_different_items_say_what_that_does():
    frame = SPLIT.assign(a2=SPLIT["a2"] + 1.0)
    notes = rox.fit(MODEL, frame, method="path").notes
    assert any("'X' rest on some of its items only; by which items" in note and "point" in note for note in notes)
