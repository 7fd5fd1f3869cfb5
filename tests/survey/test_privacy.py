"""No table shows a small group, nor lets it be worked out from what is shown and the overall mean."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.survey.privacy import suppressed

SHIFT = 0.5  # points


def model(scales: bool = False) -> rox.RoxModel:
    scale = rox.Likert(1, 5) if scales else None
    return rox.RoxModel(
        name="m",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2"], scale=scale),
            rox.Construct(name="drive", factor="behaviours", source="employee", items=["d1"], scale=scale),
            rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        ],
        edges=[],
    )


def survey(sizes: list[int], seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    units = [f"u{k}" for k in range(len(sizes))]
    staff = pd.DataFrame(rng.normal(3, 1, (sum(sizes), 3)), columns=["p1", "p2", "d1"])
    books = pd.DataFrame({"unit": units, "revenue": np.arange(len(sizes), dtype=float)})
    return staff.assign(unit=np.repeat(units, sizes)), books


def scores(staff: pd.DataFrame, books: pd.DataFrame, min_group: int) -> pd.DataFrame:
    study = rox.Study(model(), employee=staff, unit=books, by="unit", min_group=min_group)
    return study.scores().set_index("unit")


# --- the rule


def test_small_groups_and_a_companion_are_hidden():
    assert suppressed(np.array([3.0, 8.0, 20.0]), 5).tolist() == [True, True, False]
    assert suppressed(np.array([3.0, 2.0, 20.0]), 5).tolist() == [True, True, False]
    assert suppressed(np.array([2.0, 2.0, 20.0, 9.0]), 5).tolist() == [True, True, False, True]
    assert suppressed(np.array([8.0, 9.0]), 5).tolist() == [False, False]


def test_nobody_is_no_secret():
    assert suppressed(np.array([0.0, 8.0, 9.0]), 5).tolist() == [False, False, False]
    assert suppressed(np.array([0.0, 1.0, 9.0, 12.0]), 5).tolist() == [False, True, True, False]


def test_one_person_may_be_shown_if_the_threshold_says_so():
    assert not suppressed(np.array([1.0, 1.0, 9.0]), 1).any()


def test_every_small_table_is_safe():
    for sizes in product(range(5), repeat=4):
        counts = np.array(sizes, dtype=float)
        for least in (1, 2, 3, 4):
            hidden = suppressed(counts, least)
            assert hidden[(counts > 0) & (counts < least)].all()
            assert not hidden[counts == 0].any()
            if hidden.any() and not hidden[counts > 0].all():
                assert hidden.sum() >= 2
                assert counts[hidden].sum() >= least


# --- the table


@pytest.mark.parametrize("sizes", [[3, 8, 20, 9], [1, 1, 30, 12], [2, 6, 6, 6], [4, 4, 4, 40], [7, 1, 1, 1, 9]])
def test_what_is_shown_and_the_overall_mean_give_no_hidden_unit_away(sizes):
    """Brute force: for every hidden unit there are other answers with the same table and the same overall mean."""
    least = 5
    staff, books = survey(sizes)
    table = scores(staff, books, least)
    for construct, items in {"pride": ["p1", "p2"], "drive": ["d1"]}.items():
        hidden = table.index[table["hidden"].str.contains(construct)]
        people = staff["unit"].isin(hidden).sum()
        assert len(hidden) >= 2
        assert people >= least
        assert set(hidden) >= {f"u{k}" for k, size in enumerate(sizes) if size < least}
        for unit in hidden:
            other = next(name for name in hidden if name != unit)
            twin = staff.copy()
            for name, sign in ((unit, 1), (other, -1)):
                twin.loc[twin.index[twin["unit"] == name][0], items] += sign * SHIFT
            pd.testing.assert_frame_equal(scores(twin, books, least), table)
            np.testing.assert_allclose(twin[items].mean(), staff[items].mean(), rtol=1e-12)
            size = (staff["unit"] == unit).sum()
            gap = twin.loc[twin["unit"] == unit, items].mean() - staff.loc[staff["unit"] == unit, items].mean()
            np.testing.assert_allclose(gap, SHIFT / size, rtol=1e-9)


def test_what_is_shown_is_the_item_mean():
    staff, books = survey([3, 8, 20, 9])
    table = scores(staff, books, 5)
    assert table["hidden"].tolist() == ["pride, drive", "pride, drive", "", ""]
    assert table[["pride", "drive"]].isna().any(axis=1).tolist() == [True, True, False, False]
    by_hand = staff.groupby("unit")[["p1", "p2"]].mean().mean(axis=1)
    np.testing.assert_allclose(table["pride"].iloc[2:], by_hand.iloc[2:], rtol=1e-12)
    assert table["revenue"].tolist() == [0, 1, 2, 3]


def test_an_item_that_few_answered_hides_its_construct():
    """Twenty people took part, but one item of the score rests on a single person."""
    staff, books = survey([20, 8, 20, 9])
    staff.loc[staff.index[1:20], "p2"] = np.nan
    table = scores(staff, books, 5)
    assert table["hidden"].tolist() == ["pride", "pride", "", ""]
    assert table["drive"].notna().all()


def test_an_item_nobody_answered_gives_nobody_away():
    staff, books = survey([20, 8, 20, 9])
    staff.loc[staff.index[:20], "p2"] = np.nan
    table = scores(staff, books, 5)
    assert table["hidden"].tolist() == [""] * 4
    assert table["pride"].iloc[0] == pytest.approx(staff.loc[:19, "p1"].mean(), rel=1e-12)


def test_a_lonely_small_unit_hides_all_there_is():
    staff, books = survey([3, 9])
    assert scores(staff, books, 5)[["pride", "drive"]].isna().all(axis=None)


def test_the_threshold_is_the_users():
    staff, books = survey([3, 8, 20, 9])
    assert (scores(staff, books, 3)["hidden"] == "").all()
    assert (scores(staff, books, 41)["hidden"] != "").all()


def test_frequencies_count_as_people():
    staff, books = survey([3, 8, 20, 9])
    study = rox.Study(model(), employee=staff.assign(times=2), unit=books, by="unit", frequency="times")
    assert (study.scores()["hidden"] == "").all()


def test_weights_do_not_count_as_people():
    staff, books = survey([3, 8, 20, 9])
    study = rox.Study(model(), employee=staff.assign(w=100.0), unit=books, by="unit", weight="w")
    assert study.scores()["hidden"].tolist() == ["pride, drive", "pride, drive", "", ""]


def test_units_unknown_to_a_survey_are_empty_not_hidden():
    staff, books = survey([9, 8, 20])
    books = pd.concat([books, pd.DataFrame({"unit": ["new"], "revenue": [4.0]})])
    table = scores(staff, books, 5)
    assert table.loc["new", "hidden"] == ""
    assert np.isnan(table.loc["new", "pride"])


def test_printed_counts_hide_small_groups_too():
    frame = pd.DataFrame(
        {"unit": list("abcd"), "p1": [3.0, 4, 2, 5], "p2": [3.0, 4, 2, 4], "d1": [3.0, 4, 2, 1], "N": [3, 8, 20, 9]}
    )
    books = pd.DataFrame({"unit": list("abcd"), "revenue": [1.0, 2, 3, 4]})
    study = rox.Study(model(scales=True), employee=rox.Aggregated(frame, n="N"), unit=books, by="unit")
    assert study.scores()["hidden"].tolist() == ["pride, drive", "pride, drive", "", ""]
