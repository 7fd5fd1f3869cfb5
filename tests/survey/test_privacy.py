"""No table shows a small group, nor lets it be worked out from what is shown and the overall mean."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments
from roxmodel.survey.composites import people_behind, suppressed

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


# --- people, where rows have weights


def test_one_person_with_nearly_all_the_weight_hides_among_nobody():
    """Six people of whom one weighs 100 times the others: their mean is his answer."""
    staff, books = survey([6, 8, 20, 9])
    heavy = staff.assign(w=np.where(staff.index == 0, 100.0, 1.0))
    study = rox.Study(model(), employee=heavy, unit=books, by="unit", weight="w")
    assert study.scores()["hidden"].tolist() == ["pride, drive", "pride, drive", "", ""]
    assert heavy["p1"][0] == pytest.approx(np.average(heavy["p1"][:6], weights=heavy["w"][:6]), abs=0.15)


def test_weights_as_surveys_have_them_hide_nobody():
    staff, books = survey([5, 8, 20, 9])
    uneven = staff.assign(w=np.random.default_rng(1).uniform(0.5, 2.0, len(staff)))
    study = rox.Study(model(), employee=uneven, unit=books, by="unit", weight="w")
    assert (study.scores()["hidden"] == "").all()


def test_people_behind_by_hand():
    """min(n, 2 (Σw)² / Σw²), the fewest over the answered items; frequencies are people."""
    answers = [np.array([1.0, 2, 3, 4, np.nan, np.nan]), np.array([1.0, 2, 3, np.nan, np.nan, np.nan])]
    weight, codes = np.array([1.0, 1, 10, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    design = Design(codes, ["a", "b"], weight=weight, frequency=np.array([2.0, 1, 1, 1, 1, 1]))
    found = people_behind(SourceMoments.from_columns("employee", ["p1", "p2"], answers, design))
    kish = [(2 + 1 + 10 + w) ** 2 / (2 + 1 + 100 + w) for w in (1, 0)]
    assert found.tolist() == pytest.approx([min(5, 4, *(2 * k for k in kish)), 0.0], rel=1e-12)


# --- what a fit knows of hidden units


def rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    """30 units, the first four of three people."""
    rng = np.random.default_rng(2)
    keys, sizes = [f"u{k:02d}" for k in range(30)], np.where(np.arange(30) < 4, 3, 8)
    level = rng.normal(3, 0.6, 30)
    staff = pd.DataFrame({"unit": np.repeat(keys, sizes)})
    for item in ("p1", "p2", "d1"):
        staff[item] = np.repeat(level, sizes) + rng.normal(0, 0.6, len(staff))
    books = pd.DataFrame({"unit": keys, "revenue": 5 + 2 * level + rng.normal(0, 1, 30)})
    return staff, books


def chain(min_group: int) -> rox.Study:
    staff, books = rows()
    spec = model().replace(edges=["pride -> drive", "drive -> revenue"])
    return rox.Study(spec, employee=staff, unit=books, by="unit", min_group=min_group)


@pytest.mark.parametrize("method", ["path", "linked"])
def test_a_fit_knows_no_level_of_a_hidden_unit(method):
    study = chain(5)
    fit, open_fit = (rox.fit(one.model, one, method=method) for one in (study, chain(1)))
    hidden = study.scores()[["pride", "drive"]].isna().to_numpy()
    assert hidden.sum() == 8
    people, every = fit.population, open_fit.population
    assert (np.isnan(people.levels[:, :2]) == hidden).all()
    shown = np.where(hidden, np.nan, every.levels[:, :2])
    np.testing.assert_array_equal(people.levels[:, :2], shown)  # all others as they were
    np.testing.assert_array_equal(people.low[:2], np.nanmin(shown, axis=0))
    np.testing.assert_array_equal(people.high[:2], np.nanmax(shown, axis=0))
    np.testing.assert_allclose(people.mean[:2], np.nanmean(shown, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(fit.theta, open_fit.theta)  # estimates use all answers
    note = "Hidden in 4 of 30 units (pride 4, drive 4): fewer than 5 people answered there"
    assert any(one.startswith(note) for one in fit.notes)
    assert not any(one.startswith("Hidden") for one in open_fit.notes)
    assert not any(key in " ".join(fit.notes) for key in study.units)


def test_a_linked_level_that_is_hidden_spreads_as_units_do():
    """Not a prediction, which would follow the parameters and so the answers, but mean and spread between units."""
    fit = rox.fit(chain(5).model, chain(5))
    roots, spread = fit.population.roots, fit.population.covariance
    np.testing.assert_allclose(roots[0, :2, :2], np.diag(np.sqrt(np.diag(spread)[:2])), rtol=1e-6)
    scores = fit.unit_scores()
    assert scores.loc[:3, ["pride", "drive", "pride_se"]].isna().all(axis=None)
    assert scores.loc[4:, ["pride", "drive", "pride_se"]].notna().all(axis=None)


@pytest.mark.parametrize("method", ["path", "linked"])
def test_where_every_unit_is_small_all_stand_at_the_mean(method):
    study = chain(50)
    fit = rox.fit(study.model, study, method=method)
    assert np.isnan(fit.population.levels[:, :2]).all()
    assert np.isfinite(fit.population.mean).all()
    act = rox.Intervention(name="raise", set={"pride": 4.0}, cost=1.0)
    run = rox.simulate(fit, [act], value={"revenue": 1.0}, horizon=2, draws=50, seed=1)
    change = run.effects().set_index(["construct", "wave"])["mean"]["pride", 1]
    assert change == pytest.approx(4.0 - fit.population.mean[0], abs=0.2 if method == "linked" else 1e-9)
    low = rox.Intervention(name="low", shift={"pride": 0.1}, units=rox.Below(on="pride", level=9.0))
    with pytest.raises(rox.SimulationError, match="The level of 30 unit.s. is hidden .min_group=.*, and a rule does"):
        rox.simulate(fit, [low], horizon=1, draws=10, seed=1)


@pytest.mark.parametrize("method", ["path", "linked"])
def test_one_hidden_unit_is_told_so(method):
    study = chain(5)
    fit = rox.fit(study.model, study, method=method)
    table = rox.counterfactual(fit, "u01", shift={"pride": 0.2}, draws=50, seed=1).table().set_index("construct")
    assert table.loc[["pride", "drive"], "basis"].tolist() == ["hidden", "hidden"]
    assert table.loc[["pride", "drive"], ["observed", "counterfactual"]].isna().all(axis=None)
    assert table["change"].notna().all()  # the edges tell it, not the unit
    with pytest.raises(rox.SimulationError, match="too few people answered for it to be shown"):
        rox.counterfactual(fit, "u01", do={"pride": 4.0})
    told = rox.forecast(fit, unit="u01", draws=50, seed=1)
    assert told.table().set_index("construct").loc[["pride", "drive"], "mean"].isna().all()
    assert "fewer than 5 people answered" in told.summary()
    with pytest.raises(rox.SimulationError, match="too few people answered"):
        rox.forecast(fit, {"pride": 3.0}, unit="u01")


def test_a_canary_in_unused_columns_and_hidden_answers_leaves_no_trace(tmp_path):
    canary, (staff, books) = 3.1415926535, rows()
    staff.loc[staff["unit"] == "u00", ["p1", "p2", "d1"]] = canary
    study = rox.Study(
        chain(5).model, employee=staff.assign(said="CANARY"), unit=books.assign(manager="CANARY"), by="unit"
    )
    texts = [study.scores().to_csv(), study.linkage().to_csv(), repr(study), study._repr_html_()]
    blobs = [pickle.dumps(study)]  # which holds sums by unit: it is the analyst's
    assert b"CANARY" not in blobs[0]
    for method in ("path", "linked"):
        fit = rox.fit(study.model, study, method=method)
        run = rox.simulate(
            fit, [rox.Intervention(name="a", shift={"pride": 0.1}, cost=1.0)], horizon=1, draws=50, seed=1
        )
        texts += [fit.save(tmp_path / "f.json").read_text(encoding="utf-8"), fit.summary(), fit._repr_html_()]
        texts += [run.summary(), run.effects().to_csv(), fit.to_dot(), fit.parameters().to_csv()]
        assert np.float64(canary).tobytes() not in pickle.dumps(fit)
        assert b"CANARY" not in pickle.dumps(fit)
    assert not any("CANARY" in text or "3.14159" in text for text in texts)
