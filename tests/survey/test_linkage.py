"""Who met whom, and ICC(1), ICC(2), rwg(j) against analysis of variance by hand and printed numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments
from roxmodel.spec.constructs import Construct
from roxmodel.survey.linkage import COLUMNS, agreement

EXACT = 1e-10  # algebra in double precision
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed
ARMY = Path(__file__).resolve().parents[3] / "shared" / "data" / "army_units" / "bh1996.csv"


def staff_model(items: list[str], scale: object = None, reverse: tuple[str, ...] = ()) -> rox.RoxModel:
    asked = [rox.Item(name=item, reverse=item in reverse) for item in items]
    pride = rox.Construct(name="pride", factor="pride", source="employee", items=asked, scale=scale)
    return rox.RoxModel(name="m", constructs=[pride], edges=[])


def row(model: rox.RoxModel, frame: pd.DataFrame, **options: object) -> pd.Series:
    return rox.Study(model, employee=frame, by="unit", **options).linkage().iloc[0]


def anova(score: pd.Series, unit: pd.Series) -> tuple[float, float]:
    """ICC(1) and ICC(2) of a one-way analysis of variance with unequal groups."""
    groups = [part for _, part in score.groupby(unit)]
    sizes, count = np.array([len(g) for g in groups]), len(groups)
    between = sum(len(g) * (g.mean() - score.mean()) ** 2 for g in groups) / (count - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(score) - count)
    size = (len(score) - (sizes**2).sum() / len(score)) / (count - 1)
    return (between - within) / (between + (size - 1) * within), (between - within) / between


def survey(seed: int, units: int, low: int, high: int, icc: float, items: int = 3) -> pd.DataFrame:
    """Answers with a known ICC of the item mean: each item is the same true score plus its own error."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rng.integers(low, high + 1, units))
    between, within = rng.normal(0, np.sqrt(icc), units), rng.normal(0, np.sqrt((1 - icc) * 0.7), len(unit))
    error = rng.normal(0, np.sqrt((1 - icc) * 0.3 * items), (len(unit), items))
    answers = (between[unit] + within)[:, None] + error
    return pd.DataFrame(answers, columns=[f"p{k + 1}" for k in range(items)]).assign(unit=unit)


def standard_error(icc: float, sizes: np.ndarray) -> float:
    """Standard error of ICC(1), Swiger et al. (1964), doi:10.2307/2528178."""
    total, count, size = sizes.sum(), len(sizes), sizes.mean()
    square = 2 * (total - 1) * (1 - icc) ** 2 * (1 + (size - 1) * icc) ** 2
    return float(np.sqrt(square / (size**2 * (total - count) * (count - 1))))


# --- ICC


@pytest.mark.parametrize("items", [1, 3])
def test_iccs_are_those_of_the_analysis_of_variance(items):
    frame = survey(1, 30, 2, 17, 0.15, items)
    names = [f"p{k + 1}" for k in range(items)]
    found = row(staff_model(names), frame)
    assert (found["icc1"], found["icc2"]) == pytest.approx(anova(frame[names].mean(axis=1), frame["unit"]), rel=EXACT)


@pytest.mark.skipif(not ARMY.exists(), reason="the data room ../shared is not beside this checkout")
@pytest.mark.parametrize(("column", "printed"), [("COHES", 0.044), ("LEAD", 0.127), ("HRS", 0.133), ("WBEING", 0.044)])
def test_army_units_have_the_printed_iccs(column, printed):
    """Bliese & Halverson (1996), doi:10.1111/j.1559-1816.1996.tb01787.x; 7,382 soldiers of 99 companies."""
    frame = pd.read_csv(ARMY).rename(columns={"GRP": "unit"})
    found = row(staff_model([column]), frame)
    assert found["icc1"] == pytest.approx(printed, abs=5e-4)
    assert (found["icc1"], found["icc2"]) == pytest.approx(anova(frame[column], frame["unit"]), rel=EXACT)
    assert (found["respondents"], found["units"]) == (7382, 99)
    assert (found["answers_min"], found["answers_max"]) == (15, 226)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_iccs_with_holes_estimate_what_they_do_without(share):
    frame = survey(2, 400, 5, 30, 0.12)
    holed = frame.copy()
    names = ["p1", "p2", "p3"]
    holed[names] = frame[names].mask(np.random.default_rng(3).random((len(frame), 3)) < share)
    found = row(staff_model(names), holed)
    error = standard_error(0.12, frame.groupby("unit").size().to_numpy() * (1 - share))
    assert found["icc1"] == pytest.approx(0.12, abs=MONTE_CARLO * error)
    answering = holed[names].dropna(how="all")
    assert found["missing"] == pytest.approx(answering.isna().to_numpy().mean(), rel=EXACT)


def test_iccs_do_not_mistake_a_skipped_item_for_a_difference_between_units():
    """Half of the units skip an item on which everybody answers far higher."""
    frame = survey(4, 200, 10, 20, 0.0)
    frame["p3"] = (frame["p3"] + 10).where(frame["unit"] % 2 == 0)
    found = row(staff_model(["p1", "p2", "p3"]), frame)
    sizes = frame.groupby("unit").size().to_numpy()[::2]
    assert found["icc1"] == pytest.approx(0.0, abs=MONTE_CARLO * standard_error(0.0, sizes))
    assert "100 unit(s) that left an item out do not enter the ICCs" in found["note"]


def test_weights_change_the_precision_not_the_variance_within():
    frame = survey(5, 400, 10, 40, 0.12)
    weight = np.random.default_rng(6).lognormal(0, 0.8, len(frame))
    found = row(staff_model(["p1", "p2", "p3"]), frame.assign(w=weight), weight="w")
    squares = frame.assign(w=weight, w2=weight**2).groupby("unit")[["w", "w2"]].sum()
    kish = (squares["w"] ** 2 / squares["w2"]).to_numpy()
    assert found["icc1"] == pytest.approx(0.12, abs=MONTE_CARLO * standard_error(0.12, kish))
    rescaled = row(staff_model(["p1", "p2", "p3"]), frame.assign(w=weight * 1e6), weight="w")
    assert rescaled[["icc1", "icc2"]].tolist() == pytest.approx(found[["icc1", "icc2"]].tolist(), rel=EXACT)


def test_reversed_items_change_no_icc():
    frame = survey(7, 20, 3, 9, 0.2)
    turned = frame.assign(p2=-frame["p2"])
    names = ["p1", "p2", "p3"]
    left, right = row(staff_model(names), frame), row(staff_model(names, reverse=("p2",)), turned)
    assert left[["icc1", "icc2"]].tolist() == pytest.approx(right[["icc1", "icc2"]].tolist(), rel=EXACT)


THIN = {
    "one answer a unit": ([[1, 2], [3, 4], [5, 1]], ["a", "b", "c"], "one answer a unit: the variance within units"),
    "one unit": ([[1, 2], [3, 4], [5, 1]], ["a", "a", "a"], "fewer than two units answered every item"),
    "no unit answered all": (
        [[1, None], [2, None], [None, 3], [None, 4]],
        ["a", "a", "b", "b"],
        "fewer than two units",
    ),
    "no two together": (
        [[1, None], [None, 2], [3, None], [None, 4], [2, None], [None, 5], [2, None], [None, 1]],
        list("aaaabbbb"),
        "no two people of a unit answered the same items",
    ),
}


@pytest.mark.parametrize("case", THIN)
def test_a_missing_icc_has_its_reason(case):
    answers, units, why = THIN[case]
    found = row(
        staff_model(["p1", "p2"], rox.Likert(1, 5)), pd.DataFrame(answers, columns=["p1", "p2"]).assign(unit=units)
    )
    assert found[["icc1", "icc2"]].isna().all()
    assert why in found["note"]


def test_full_agreement_and_no_difference():
    model = staff_model(["p1"], rox.Likert(1, 5))
    agreed = row(model, pd.DataFrame({"p1": [1, 1, 5, 5, 5], "unit": list("aabbb")}))
    assert agreed[["icc1", "icc2", "rwg"]].tolist() == [1, 1, 1]
    alike = row(model, pd.DataFrame({"p1": [1, 3, 3, 1], "unit": list("aabb")}))
    assert alike["icc1"] == -1.0  # the least that pairs allow: 1 / (1 - size)
    assert np.isnan(alike["icc2"])
    assert "units do not differ at all" in alike["note"]


def test_opposite_items_that_cancel_give_a_reason():
    frame = pd.DataFrame({"p1": [1, 5, 2, 4], "p2": [5, 1, 4, 2], "unit": list("aabb")})
    found = row(staff_model(["p1", "p2"], rox.Likert(1, 5)), frame)
    assert found[["icc1", "icc2"]].isna().all()
    assert "the item mean does not vary" in found["note"]


@pytest.mark.parametrize("seed", range(20))
def test_every_number_is_finite_or_has_a_reason(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.integers(1, 6, (12, 3)).astype(float), columns=["p1", "p2", "p3"])
    frame = frame.mask(rng.random(frame.shape) < 0.6).assign(unit=rng.integers(0, 4, 12))
    try:
        study = rox.Study(staff_model(["p1", "p2", "p3"], rox.Likert(1, 5)), employee=frame, by="unit")
    except rox.RoxError:
        return  # an item without answers, or with one and the same
    linkage, quality = study.linkage().iloc[0], study.quality().iloc[0]
    for table, columns in ((linkage, ["icc1", "icc2", "rwg"]), (quality, ["alpha", "omega", "ave"])):
        numbers = table[columns].astype(float)
        assert not np.isinf(numbers).any()
        assert table["note"] or numbers.notna().all()


# --- rwg


def test_rwg_by_hand():
    frame = pd.DataFrame({"p1": [4, 5, 4, 1, 3, 5, 2], "p2": [3, 5, 4, 1, 5, 3, 2], "unit": list("aaabbbc")})
    variances = frame.groupby("unit").var().dropna().mean(axis=1) / 2.0  # (5**2 - 1) / 12
    shares = np.clip(1 - variances, 0, None)
    assert row(staff_model(["p1", "p2"], rox.Likert(1, 5)), frame)["rwg"] == pytest.approx(
        (2 * shares / (2 * shares + variances)).mean(), rel=EXACT
    )


@pytest.mark.parametrize(
    ("scale", "null"),
    [
        (rox.Likert(1, 7), 4.0),
        (rox.Binary(), 0.25),
        (rox.NPS(), 10.0),
        (rox.Percent(), 100**2 / 12),
        (rox.Likert(0, 6, whole=False), 3.0),
    ],
)
def test_null_variances(scale, null):
    frame = (
        pd.DataFrame({"p1": [1, 0, 1, 1], "unit": list("aabb")})
        if scale != rox.Likert(1, 7)
        else pd.DataFrame({"p1": [1, 2, 2, 2], "unit": list("aabb")})
    )
    expected = np.mean([max(1 - 0.5 / null, 0), 1.0])
    assert row(staff_model(["p1"], scale), frame)["rwg"] == pytest.approx(expected, rel=EXACT)


def test_rwg_needs_a_scale_with_two_ends():
    for scale in (None, rox.Count(), rox.Amount("EUR")):
        found = row(staff_model(["p1"], scale), pd.DataFrame({"p1": [1, 2, 3, 5], "unit": list("aabb")}))
        assert np.isnan(found["rwg"])
        assert "rwg needs a scale with two ends" in found["note"]


# --- who met whom


def test_the_table_by_hand(model, frames):
    table = rox.Study(model, **frames, by="shop").linkage()
    assert tuple(table.columns) == COLUMNS
    table = table.set_index("construct")
    staff = frames["employee"].dropna(subset="shop")
    assert table["respondents"].tolist() == [89, 89, 150, 6]
    assert table["units"].tolist() == [7, 7, 6, 6]
    assert table["lost"].tolist() == [0, 0, 1, 1]
    assert table["matched"].tolist() == [5] * 4
    counts = staff.groupby("shop")[["d1", "d2"]].count().max(axis=1)
    assert table.loc["drive", ["answers_min", "answers_median", "answers_max"]].tolist() == [
        counts.min(),
        counts.median(),
        counts.max(),
    ]
    assert table.loc["drive", "missing"] == pytest.approx(staff[["d1", "d2"]].isna().to_numpy().mean(), rel=EXACT)
    assert table.loc["pride", "note"] == "1 rows name no unit and are left out"
    assert table.loc["revenue", "note"] == "the unit's own figure"


def test_unmatched_units_are_listed(model, frames):
    study = rox.Study(model, **frames, by="shop")
    assert study.unmatched().to_dict("list") == {"shop": ["F", "G"], "missing_from": ["unit", "customer"]}


def test_no_unmatched_units_are_an_empty_table(model, frames):
    frames = {source: frame[frame["shop"].isin(list("ABC"))] for source, frame in frames.items()}
    table = rox.Study(model, **frames, by="shop").unmatched()
    assert list(table.columns) == ["shop", "missing_from"]
    assert len(table) == 0


def test_agreement_of_four_people_in_two_units():
    design = Design(codes=np.array([0, 0, 1, 1]), units=["north", "south"])
    staff = SourceMoments.from_columns("employee", ["p1"], [np.array([1.0, 3, 6, 6])], design)
    found = agreement(staff, Construct(name="pride", factor="pride", source="employee", items=["p1"]))
    assert (round(found.icc1, 3), round(found.icc2, 3)) == (0.882, 0.938)
    assert found.note == "rwg needs a scale with two ends"
