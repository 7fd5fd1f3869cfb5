"""Regions of which no construct says anything: named where they share what is unexplained, and only there."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import roxmodel as rox
from roxmodel.estimate.checks.dependence import shared_within

ITEMS = {"pride": ("p1", "p2"), "value": ("v1", "v2"), "rev": ("rev",)}
SOURCES = {"pride": "employee", "value": "customer", "rev": "unit"}
FACTORS = {"pride": "pride", "value": "value_drivers", "rev": "outcomes"}
MODEL = rox.RoxModel(
    name="m",
    edges=["pride -> value", "value -> rev"],
    constructs=[
        rox.Construct(name=name, factor=FACTORS[name], source=SOURCES[name], items=list(items))
        for name, items in ITEMS.items()
    ],
)


def study(share: float, seed: int, causes: float | None = None, **columns: object) -> rox.Study:
    """90 units in 10 districts, which have `share` of each disturbance, and of the cause."""
    rng, units, people = np.random.default_rng(seed), 90, 12
    where = rng.permutation(np.arange(units) % 10)

    def drawn(sd: float, part: float) -> np.ndarray:
        return sd * ((1 - part) ** 0.5 * rng.standard_normal(units) + part**0.5 * rng.standard_normal(10)[where])

    pride = drawn(0.35, share if causes is None else causes)
    value = 0.6 * pride + drawn(0.25, share)
    rev = 500 + 40 * value + drawn(12, share)
    keys = np.array([f"b{k:02d}" for k in range(units)])
    of = np.repeat(np.arange(units), people)

    def asked(level: np.ndarray, items: tuple[str, ...]) -> pd.DataFrame:
        own = 0.6 * rng.standard_normal(len(of))
        answers = {item: 4 + level[of] + own + 0.7 * rng.standard_normal(len(of)) for item in items}
        return pd.DataFrame({"branch": keys[of], **answers})

    books = pd.DataFrame({"branch": keys, "rev": rev, "district": [f"R{k}" for k in where], **columns})
    frames = {"employee": asked(pride, ITEMS["pride"]), "customer": asked(value, ITEMS["value"])}
    return rox.Study(MODEL, **frames, unit=books, by="branch")


def rows(fit: rox.Fit) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.verdict, one.culprits) for one in fit.findings if one.check == "dependence"]


@pytest.mark.parametrize("method", ["linked", "path"])
def test_a_column_that_shares_disturbances_is_named(method):
    with pytest.warns(rox.RoxWarning, match="cluster='district'"):
        fit = rox.fit(MODEL, study(0.5, 1), method=method)
    assert rows(fit) == [("doubtful", ("district",))]


@pytest.mark.parametrize("method", ["linked", "path"])
def test_independent_units_are_not_doubted(method):
    assert rows(rox.fit(MODEL, study(0.0, 2), method=method)) == [("ok", ())]


def test_regions_that_differ_in_the_causes_alone_are_no_doubt():
    assert rows(rox.fit(MODEL, study(0.0, 3, causes=0.6))) == [("ok", ())]


def test_errors_that_are_clustered_already_are_not_doubted():
    own = study(0.5, 1)
    assert rows(rox.fit(MODEL, own, cluster="district")) == [("ok", ())]


def test_what_lies_within_the_clusters_is_covered_by_them():
    town = np.arange(90) // 3
    own = study(0.5, 1, town=town, area=[f"A{k}" for k in town // 3])
    assert {found.name for found in own.groupings()} == {"district", "town", "area"}
    with pytest.warns(rox.RoxWarning, match="'district'"):  # whose areas are no part of one
        fit = rox.fit(MODEL, own, cluster="area")
    assert "'town'" not in str(fit.findings)


def test_ids_coordinates_and_dates_are_no_groups():
    rng = np.random.default_rng(1)
    own = study(
        0.0, 1, number=np.arange(90), x=rng.normal(size=90), open=pd.date_range("2020", periods=90),
        two=np.arange(90) % 2, size=(np.arange(90) % 9).astype(float), lone=[f"k{k // 2}" for k in range(90)],
        holes=[None if k % 3 else k % 5 for k in range(90)],
    )  # fmt: skip
    assert [found.name for found in own.groupings()] == ["district", "size", "holes"]
    assert rows(rox.fit(MODEL, own)) == [("ok", ())]


def test_the_first_fifty_columns_are_looked_at():
    more = {f"c{k}": np.random.default_rng(k).integers(0, 9, 90) for k in range(55)}
    found = rows(rox.fit(MODEL, study(0.0, 4, **more)))
    assert ("note", ()) in found
    assert "doubtful" not in {verdict for verdict, _ in found}


def test_people_in_teams_are_told_of_one_frame():
    rng = np.random.default_rng(7)
    team = np.repeat(np.arange(20), 10)
    x = rng.standard_normal(200) + rng.standard_normal(20)[team]
    y = x + rng.standard_normal(200) + rng.standard_normal(20)[team]
    frame = pd.DataFrame({"x": x, "y": y, "team": team})
    model = rox.RoxModel(
        name="m",
        edges=["x -> y"],
        constructs=[
            rox.Construct(name="x", factor="pride", source="employee", items=["x"]),
            rox.Construct(name="y", factor="outcomes", source="employee", items=["y"]),
        ],
    )
    for method in ("sem", "path"):
        with pytest.warns(rox.RoxWarning, match="'team'"):
            assert ("doubtful", ("team",)) in rows(rox.fit(model, frame, method=method))


def test_one_equation_is_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    codes, values = np.arange(60) % 6, rng.standard_normal(60)
    found = shared_within(values[:, None], np.ones((60, 1, 1)), codes)
    assert found.p == pytest.approx(stats.f_oneway(*(values[codes == k] for k in range(6))).pvalue, rel=1e-12)
