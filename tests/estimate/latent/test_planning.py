"""What gives a construct its unit, in one group and in several: the same fits as lavaan's, and what is said of them.

Reference: `tests/reference/sem/units.json`, made by `units.R` beside it.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

HERE = Path(__file__).parents[2] / "reference" / "sem"
ROWS = pd.read_csv(HERE / "data" / "chain.csv")
CASES = json.loads((HERE / "units.json").read_text(encoding="utf-8"))["cases"]
REFERENCE = 2e-4  # of chi-square: what lavaan's optimiser leaves
MARKED = "pride =~ pri1 + pri2 + pri3 + pri4"
FREED = "pride =~ NA*pri1 + pri2 + pri3 + pri4\npride ~~ 1*pride"


def fitted(text, std=False, equal=""):
    options = {"scaling": "standardized"} if std else {}
    if equal:
        options |= {"group": "region", "equal": [] if equal == "configural" else equal.split()}
    return rox.fit(rox.RoxModel.from_lavaan(text), ROWS, method="sem", progress=False, **options)


def otherwise(case):
    """Where this library differs from lavaan, and says so in the notes."""
    names = "pride|value"
    stated = re.search(rf"({names}) ~~ (\d|v)\*\1", case["text"])
    if "loadings" in case["equal"] and stated and (case["std.lv"] or "NA*pri1" in case["text"]):
        return "the variance that gives the unit is free in later groups"
    if case["std.lv"] and re.search(r"=~.*\d\*", case["text"]):
        return "a fixed loading keeps the unit"
    return None


@pytest.mark.parametrize(
    "case", [case for case in CASES if not otherwise(case)], ids=lambda c: f"{c['text']}-{c['equal']}"
)
def test_the_fit_is_that_of_lavaan(case):
    found = fitted(case["text"], case["std.lv"], case["equal"]).indices()
    assert found["df"] == case["df"]
    assert found["chisq"] == pytest.approx(case["chisq"], abs=REFERENCE)


@pytest.mark.parametrize("equal", ["configural", "loadings", "loadings intercepts", "loadings intercepts residuals"])
def test_a_variance_of_one_is_the_same_model_as_a_marker(equal):
    """With equal loadings the first group tells the variance that the text fixes: no test depends on the unit."""
    marked, freed, named = (fitted(MARKED, equal=equal), fitted(FREED, equal=equal), fitted(MARKED, True, equal))
    for other in (freed, named):
        assert other.indices()["df"] == marked.indices()["df"]
        assert other.indices()["chisq"] == pytest.approx(marked.indices()["chisq"], abs=1e-6)
    said = [note for note in freed.notes if note.startswith("With equal loadings the variance")]
    assert bool(said) == (equal != "configural")
    assert not any("equal loadings the variance" in note for fit in (marked, named) for note in fit.notes)


def test_a_freed_first_loading_is_not_shared_by_the_groups():
    marked, freed = fitted(MARKED, equal="configural").parameters(), fitted(FREED, equal="configural").parameters()
    first = freed[(freed["kind"] == "loading") & (freed["right"] == "pri1")]
    deviation = np.sqrt(marked[(marked["kind"] == "variance") & (marked["left"] == "pride")]["estimate"].to_numpy())
    np.testing.assert_allclose(first["estimate"], deviation, rtol=1e-5)
    assert first["free"].is_unique
    assert (first["se"] > 0).all()


def test_variances_of_later_groups_are_those_of_the_marker_relative_to_the_first():
    marked, freed = (fitted(text, equal="loadings").parameters() for text in (MARKED, FREED))
    one, other = (t[(t["kind"] == "variance") & (t["left"] == "pride")]["estimate"].to_numpy() for t in (marked, freed))
    np.testing.assert_allclose(other, one / one[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pride =~ 2*pri1 + pri2 + pri3 + pri4", r"pride \(the loading of pri1 is fixed to 2\)"),
        ("pride =~ pri1 + 0.5*pri2 + pri3 + pri4", r"pride \(the loading of pri2 is fixed to 0.5\)"),
        ("pride =~ pri1 + pri2 + pri3 + pri4\npride ~~ 2*pride", r"pride \(its variance is fixed to 2\)"),
        ("pride =~ pri1\nsize ~ pride", r"pride \(pri1 is its only item\)"),
    ],
)
def test_what_keeps_another_unit_is_said_by_name(text, reason):
    said = [note for note in fitted(text, std=True).notes if "scaling='standardized'" in note]
    assert len(said) == 1
    assert re.search(reason, said[0])
    assert not any("scaling=" in note for note in fitted(text).notes)


@pytest.mark.parametrize("first", ["pri1", "a*pri1", "NA*pri1", "NA*pri1 + a*pri1"])
def test_standardized_means_a_variance_of_one(first):
    found = fitted(f"pride =~ {first} + b*pri2 + c*pri3 + pri4\nratio := b/c", std=True)
    table = found.parameters().set_index("id")
    assert table.loc["variance:pride", "estimate"] == 1.0
    assert (table[table["kind"] == "loading"]["se"] > 0).all()
    assert not any("scaling=" in note for note in found.notes)


def test_a_marker_s_label_counts_one_in_definitions_and_its_estimate_when_standardized():
    text = "pride =~ a*pri1 + b*pri2 + pri3 + pri4\nratio := b/a"
    marker, free = (fitted(text, std).parameters().set_index("id") for std in (False, True))
    assert marker.loc["defined:ratio", "estimate"] == pytest.approx(marker.loc["loading:pride=~pri2", "estimate"])
    assert free.loc["defined:ratio", "estimate"] == pytest.approx(marker.loc["defined:ratio", "estimate"], rel=1e-5)
    assert free.loc["defined:ratio", "se"] == pytest.approx(marker.loc["defined:ratio", "se"], rel=1e-4)


def test_a_label_cannot_stand_at_two_values():
    with pytest.raises(rox.SpecError, match=r"label 'a' stands at parameters fixed to 1 and to 2"):
        fitted("pride =~ a*pri1 + pri2 + pri3\nsize ~ 2*pride + a*pride")


def test_the_text_written_for_lavaan_gives_the_same_fits():
    for case in CASES:
        if not case["std.lv"] and case["equal"] == "configural" and not otherwise(case):
            again = fitted(rox.RoxModel.from_lavaan(case["text"]).to_lavaan(), equal="configural").indices()
            assert again["df"] == case["df"]
            assert again["chisq"] == pytest.approx(case["chisq"], abs=REFERENCE)


def test_equal_residuals_are_those_of_each_group_after_a_trip_through_lavaan_text():
    items = ["pri1", "pri2", "pri3", "pri4"]
    pride = rox.Construct(name="pride", factor="pride", source="employee", items=items, residuals="equal")
    model = rox.RoxModel(name="m", constructs=[pride])
    back = rox.RoxModel.from_lavaan(model.to_lavaan())
    one, other = (rox.fit(m, ROWS, method="sem", group="region").indices() for m in (model, back))
    assert other["df"] == one["df"] == 10
    assert other["chisq"] == pytest.approx(one["chisq"], abs=1e-6)
