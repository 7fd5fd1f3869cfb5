"""Cause and effect answered by the same people; items of another meaning in some units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.checks.same_people import lengths, shared_edges


def model(*more: str) -> rox.RoxModel:
    constructs = [
        rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2", "p3"]),
        rox.Construct(name="beh", factor="behaviours", source="employee", items=["b1", "b2", "b3"]),
        rox.Construct(name="value", factor="value_drivers", source="customer", items=["v1", "v2", "v3"]),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        rox.Construct(name="income", factor="context", source="unit", items=["income"]),
    ]
    edges = ["pride -> beh", "beh -> value", "income -> value", "value -> revenue", *more]
    return rox.RoxModel(name="chain", constructs=constructs, edges=edges)


def study(seed: int, units: int = 150, tendency: float = 0.0, meaning: float = 0.0, pull: float = 0.3) -> rox.Study:
    """Units of 30 employees and 30 customers; `tendency`: sd between units of how all employees answer."""
    rng = np.random.default_rng(seed)
    pride = 0.35 * rng.standard_normal(units)
    beh = pull * pride + 0.25 * rng.standard_normal(units)
    income = rng.standard_normal(units)
    value = 0.9 * beh + 0.1 * income + 0.15 * rng.standard_normal(units)
    revenue = 60 * value + 8 * rng.standard_normal(units)
    unit, mood = np.repeat(np.arange(units), 30), tendency * rng.standard_normal(units)
    frames = {}
    for source, own in {"employee": {"p": pride, "b": beh}, "customer": {"v": value}}.items():
        person = 0.5 * rng.standard_normal(len(unit))
        columns = {
            f"{letter}{k}": level[unit]
            + (mood[unit] if source == "employee" else 0.0)
            + (meaning * income[unit] if (letter, k) == ("v", 2) else 0.0)
            + (0.06 * rng.standard_normal(units))[unit]
            + person
            + 0.6 * rng.standard_normal(len(unit))
            for letter, level in own.items()
            for k in (1, 2, 3)
        }
        frames[source] = pd.DataFrame({"store": unit, **columns})
    books = pd.DataFrame({"store": np.arange(units), "revenue": revenue, "income": income})
    return rox.Study(model(), **frames, unit=books, by="store")


def rows(fit: rox.Fit, check: str = "method") -> list[tuple[str, str, str]]:
    return [(one.verdict, one.finding, one.remedy) for one in fit.findings if one.check == check]


def test_edges_of_one_survey_are_named_with_what_a_tendency_would_do() -> None:
    (row,) = rows(rox.fit(model(), study(1)))
    assert row[0] == "note"
    assert "pride -> beh" in row[1]
    assert "would be" in row[1]
    assert "another source" in row[2]


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_a_clear_tendency_is_doubted() -> None:
    """Pride says little of behaviours, so that what their answers share shows in the arrows to customers."""
    found = rows(rox.fit(model(), study(2, units=300, tendency=0.45)))
    assert found[0][0] == "doubtful"
    assert "method_guard" in found[0][2]


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_an_item_that_goes_with_a_figure_is_named() -> None:
    fit = rox.fit(model(), study(3, meaning=0.15))
    named = [one for one in fit.doubts if one.check == "method"]
    assert [one.culprits for one in named] == [("v2",)]
    assert "income" in named[0].finding


def test_no_test_no_doubt() -> None:
    """Regressions test nothing here: a note says what they take persons' answers for."""
    (row,) = rows(rox.fit(model(), study(1), method="path"))
    assert row[0] == "note"
    assert "linked" in row[2]


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_without_edges_of_one_survey_there_is_nothing_to_say() -> None:
    own = rox.RoxModel(name="m", constructs=model().constructs, edges=["pride -> value", "value -> revenue"])
    assert shared_edges(own) == {}
    assert rows(rox.fit(own, study(1)))[0][0] == "ok"


def test_a_tendency_moves_items_by_the_length_of_their_scales() -> None:
    items = [rox.Item(name="a", scale=rox.Likert(1, 5)), rox.Item(name="b", scale=rox.NPS())]
    both = [rox.Construct(name="x", factor="pride", source="employee", items=items)]
    assert lengths(rox.RoxModel(name="m", constructs=both, edges=[]), "employee") == {"a": 1.0, "b": 2.5}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("units", [50, 150])
def test_clean_worlds_are_not_doubted(units: int) -> None:
    found = sum(any(row[0] == "doubtful" for row in rows(rox.fit(model(), study(k, units)))) for k in range(60))
    assert found <= 2  # .4 % of 60 worlds
