"""Answers heaped at one end of the scale."""

from __future__ import annotations

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.survey.suspect import heaped_answers


def answers(share: float, n: int = 400, points: int = 5) -> np.ndarray:
    """Normal opinions cut off so that this share stands at the top."""
    rng = np.random.default_rng(1)
    opinion = rng.standard_normal(n)
    cut = np.quantile(opinion, 1 - share)
    return np.clip(np.ceil(points - 1 + (opinion - cut)), 1, points)


@pytest.mark.parametrize("scale", [rox.Likert(1, 5), None])
def test_six_of_ten_at_the_top_are_named(scale: object) -> None:
    item = rox.Item(name="v1", scale=scale)
    (found,) = heaped_answers("customer", [(item, answers(0.6)), (rox.Item(name="v2", scale=scale), answers(0.3))])
    assert (found.check, found.verdict, found.culprits) == ("scale", "note", ("v1",))
    assert "60 %" in found.finding
    assert "0.40" in found.finding


def test_the_mean_answer_moves_by_the_share_that_is_not_at_the_end() -> None:
    """Of opinions cut off at an end: closed form against a push."""
    rng = np.random.default_rng(2)
    opinion = rng.standard_normal(400_000)
    end = np.quantile(opinion, 0.4)
    moved = np.minimum(opinion + 0.01, end).mean() - np.minimum(opinion, end).mean()
    assert moved / 0.01 == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("scale", [rox.Binary(), rox.Count(), rox.Amount(unit="EUR"), rox.Likert(1, 3)])
def test_where_ends_are_no_ceiling_nothing_is_said(scale: object) -> None:
    assert heaped_answers("customer", [(rox.Item(name="v1", scale=scale), np.ones(100))]) == []


def test_answers_without_a_scale_that_are_no_steps_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    for values in (rng.standard_normal(100), np.full(100, np.nan), rng.integers(0, 1000, 100).astype(float)):
        assert heaped_answers("customer", [(rox.Item(name="v1"), values)]) == []
