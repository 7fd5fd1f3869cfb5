"""Rows read twice are told from people who agree."""

import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.survey.suspect import repeats_of


def answers(rng, units, people, items, points=5, icc=0.15, loading=0.7, straight=0.1):
    """Ratings of people of units; a share gives one answer throughout."""
    unit = np.repeat(np.arange(units), people)
    n = len(unit)
    common = rng.normal(0, icc**0.5, units)[unit] + rng.normal(0, (1 - icc) ** 0.5, n)
    raw = loading * common[:, None] + (1 - loading**2) ** 0.5 * rng.normal(size=(n, items))
    table = np.clip(np.rint((points + 1) / 2 + raw * (points / 4)), 1, points)
    same = rng.random(n) < straight
    table[same] = table[same][:, :1]
    return list(table.T), unit


@pytest.mark.parametrize("items", [2, 3, 5, 9])
@pytest.mark.parametrize(("units", "people"), [(10, 20), (60, 40), (200, 6), (4, 150)])
def test_people_who_agree_are_no_doubt(units, people, items):
    rng = np.random.default_rng(units * items)
    for icc, loading, points in ((0.05, 0.5, 5), (0.3, 0.8, 2), (0.6, 0.95, 5), (0.2, 0.9, 7)):
        for _ in range(4):  # 0 of 3,240 worlds of this kind were doubted (see the commit)
            assert repeats_of(*answers(rng, units, people, items, points, icc, loading)) is None


@pytest.mark.parametrize("items", [2, 4, 8])
@pytest.mark.parametrize("times", [2, 3])
def test_a_file_appended_to_itself(items, times):
    columns, unit = answers(np.random.default_rng(1), 30, 15, items)
    found = repeats_of([np.tile(c, times) for c in columns], np.tile(unit, times))
    assert found.whole > 0
    assert found.rows >= (times - 1) * 450


def test_a_tenth_of_a_long_survey_twice():
    rng = np.random.default_rng(2)
    columns, unit = answers(rng, 60, 20, 10)
    again = rng.random(len(unit)) < 0.1
    found = repeats_of([np.r_[c, c[again]] for c in columns], np.r_[unit, unit[again]])
    assert found.expected < found.rows / 2


@pytest.mark.parametrize(("items", "batch"), [(2, 48), (3, 48), (3, 30), (6, 20)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_batch_appended_again(items, batch, shuffled):
    rng = np.random.default_rng(6)
    columns, unit = answers(rng, 40, 8, items)
    order = rng.permutation(320) if shuffled else np.arange(320)
    twice = np.r_[order, order[40 : 40 + batch]]
    found = repeats_of([c[twice] for c in columns], unit[twice])
    assert found is not None
    assert abs(found.again - 320) <= 1  # the row before may agree by chance
    assert found.rows >= batch


@pytest.mark.parametrize("items", [2, 3, 6])
def test_sorted_rows_are_no_repeats(items):
    rng = np.random.default_rng(8)
    for units, people in ((40, 8), (10, 200), (1, 400)):
        columns, unit = answers(rng, units, people, items, points=int(rng.integers(2, 8)))
        for keys in (columns, (*columns, unit), (columns[0], unit)):
            order = np.lexsort(tuple(keys))
            assert repeats_of([c[order] for c in columns], unit[order]) is None


def test_one_unit_twice():
    columns, unit = answers(np.random.default_rng(3), 60, 60, 5)
    again = unit == 7
    assert repeats_of([np.r_[c, c[again]] for c in columns], np.r_[unit, unit[again]]).whole == 1


def test_holes_are_answers_too():
    columns, unit = answers(np.random.default_rng(4), 30, 15, 6)
    columns[0][::3] = np.nan
    assert repeats_of(columns, unit) is None
    assert repeats_of([np.r_[c, c] for c in columns], np.r_[unit, unit]) is not None


MODEL = rox.five_factor({"pride": [f"p{k}" for k in range(6)]}, scale=rox.Likert(1, 5))


def frame():
    columns, unit = answers(np.random.default_rng(5), 30, 15, 6)
    return pd.DataFrame({f"p{k}": c for k, c in enumerate(columns)}).assign(store=unit, person=np.arange(450))


def test_a_study_says_it_once_and_the_remedy_works():
    twice = pd.concat([frame(), frame()])
    with pytest.warns(rox.RoxWarning, match="read or joined twice") as caught:
        study = rox.Study(MODEL, employee=twice, by="store")
    assert len(caught) == 1
    assert [(d.check, d.culprits) for d in study.doubts] == [("duplicates", ("employee",))]
    assert rox.Study(MODEL, employee=twice.drop_duplicates(), by="store").doubts == ()


def test_counts_of_equal_rows_are_no_duplicates():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = pd.concat([frame(), frame()]).assign(times=1)
        assert rox.Study(MODEL, employee=both, by="store", frequency="times").doubts == ()


def test_a_single_frame_given_to_fit():
    twice = pd.concat([frame(), frame()])
    with pytest.warns(rox.RoxWarning, match="every row is there twice"):
        fit = rox.fit(MODEL, twice, method="sem")
    assert [doubt.check for doubt in fit.doubts] == ["duplicates"]
    assert rox.fit(MODEL, frame(), method="sem").doubts == ()
