"""Rows of the books that are no units, and figures with a slipped decimal: named, and nothing else."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.datasets import make_world
from roxmodel.estimate.checks.evidence import LEVELS
from roxmodel.survey.books import BOOKS_LEVEL, far_out, slipped, total_name

WORLD = make_world(60, seed=2004)


def with_row(name: object, **figures: float) -> pd.DataFrame:
    means = {column: WORLD.unit[column].mean() + 0.3 for column in ("revenue", "affluence")}
    row = pd.DataFrame([{"branch": name, **means, **figures}])
    return pd.concat([WORLD.unit, row], ignore_index=True)


def test_the_level_is_that_of_the_battery():
    assert LEVELS["books"] == BOOKS_LEVEL


def test_clean_books_are_silent():
    assert not WORLD.study().doubts


@pytest.mark.parametrize(
    ("name", "figures", "reason"),
    [
        ("B777", {"revenue": WORLD.unit["revenue"].sum()}, "is the sum of the others"),
        ("B777", {"revenue": float(np.round(WORLD.unit["revenue"].sum()))}, "is the sum of the others"),
        ("B777", {"revenue": 0.0}, "is 0, which no other's is"),
        ("B777", {"revenue": WORLD.unit["revenue"].mean() * 12}, "far from all others"),
        ("B777", {c: WORLD.unit[c].mean() for c in ("revenue", "affluence")}, "the means of the others"),
        ("Gesamt", {}, "its name"),
    ],
)
def test_a_row_that_is_no_unit_is_named(name, figures, reason):
    with pytest.warns(rox.RoxWarning, match=name):
        study = WORLD.study(unit=with_row(name, **figures))
    (doubt,) = study.doubts
    assert (doubt.check, doubt.verdict, doubt.culprits) == ("books", "doubtful", (name,))
    assert reason in doubt.finding
    assert name not in doubt.anonymous


def test_a_usual_unit_without_surveys_is_no_doubt():
    assert not WORLD.study(unit=with_row("B777")).doubts


def test_a_total_of_moments_is_named_too():
    with pytest.warns(rox.RoxWarning, match="'Total'"):
        read = WORLD.study(unit=with_row("Total", revenue=WORLD.unit["revenue"].sum()))
    with pytest.warns(rox.RoxWarning, match="'Total'"):
        rox.Study.of(read.moments, WORLD.model)


@pytest.mark.parametrize("factor", [10.0, 1000.0, 0.1])
def test_a_slipped_decimal_is_named_with_its_figure(factor):
    books = WORLD.unit.copy()
    books.loc[7, "revenue"] *= factor
    with pytest.warns(rox.RoxWarning, match="revenue"):
        study = WORLD.study(unit=books)
    assert study.doubts[0].culprits == (books.loc[7, "branch"], "revenue")


@pytest.mark.parametrize(
    "key", ["TOTAL", "Grand total:", "Summe Filialen", "head_office", "合計", "All", "Durchschnitt"]
)
def test_names_of_totals(key):
    assert total_name(key)


@pytest.mark.parametrize("key", ["Totalia", "B1", "Mean Street", "all saints", 12, None, "Summerhill"])
def test_names_that_are_none(key):
    assert not total_name(key)


def test_two_slipped_figures_do_not_hide_each_other():
    values = np.r_[np.linspace(90, 110, 40), 1_000.0, 1_050.0]
    assert sorted(slipped(values, 0.001)) == [40, 41]


@pytest.mark.parametrize("shape", ["normal", "lognormal", "exponential", "uniform"])
def test_skewed_figures_are_not_doubted(shape):
    rng = np.random.default_rng(5)
    draw = {
        "normal": lambda n: 600 + 40 * rng.standard_normal(n),
        "lognormal": lambda n: np.exp(6 + rng.standard_normal(n)),
        "exponential": lambda n: rng.exponential(600, n),
        "uniform": lambda n: rng.uniform(10, 20, n),
    }[shape]
    assert sum(bool(slipped(draw(150), BOOKS_LEVEL / 4)) for _ in range(50)) == 0
    assert sum(far_out(draw(150), float(draw(1)[0])) <= BOOKS_LEVEL / 2 for _ in range(50)) <= 1


def test_too_few_figures_say_nothing():
    assert np.isnan(far_out(np.arange(5.0), 1e6))
    assert slipped(np.r_[np.ones(50), 100.0], 0.01) == []


def test_books_alone_are_looked_at_too():
    model = rox.RoxModel(
        name="m",
        edges=["affluence -> revenue"],
        constructs=[
            rox.Construct(name="affluence", factor="context", source="unit", items=["affluence"]),
            rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
        ],
    )
    with pytest.warns(rox.RoxWarning, match="'Total'"):
        rox.Study(model, unit=with_row("Total", revenue=WORLD.unit["revenue"].sum()), by="branch")
    assert not rox.Study(model, unit=WORLD.unit, by="branch").doubts


def test_surveys_of_a_part_of_the_units_are_no_doubt():
    some = set(WORLD.unit["branch"][::2])
    frames = {name: getattr(WORLD, name) for name in ("employee", "customer")}
    part = {name: frame[frame["branch"].isin(some)] for name, frame in frames.items()}
    assert "books" not in {one.check for one in WORLD.study(**part).doubts}
