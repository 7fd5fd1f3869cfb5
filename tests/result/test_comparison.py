"""Nested fits compared: against lavaan's likelihood-ratio tests, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "sem" / "lavaan"
COLUMNS = {"df": "Df", "chisq": "Chisq", "aic": "AIC", "bic": "BIC", "chisq_diff": "Chisq diff", "df_diff": "Df diff",
           "pvalue": "Pr(>Chisq)"}  # fmt: skip
EQUAL = {"configural": [], "metric": ["loadings"], "scalar": ["loadings", "intercepts"], "edges": ["loadings", "edges"]}


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
@pytest.mark.parametrize("case", ["chain_lrt", "chain_lrt_edges"])
def test_it_is_lavaans(case, estimator, chain_model, chain_rows):
    said = json.loads((REFERENCE / f"{case}_{estimator.lower()}.json").read_text(encoding="utf-8"))["table"]
    levels = [name.split("_")[1] for name in said["model"]]
    fits = {
        level: rox.fit(chain_model, chain_rows, method="sem", estimator=estimator, group="region", equal=EQUAL[level])
        for level in reversed(levels)
    }
    table = rox.compare(**fits)
    assert list(table["fit"]) == levels
    for ours, theirs in COLUMNS.items():
        wanted = np.array(said[theirs], dtype=float)
        np.testing.assert_allclose(table[ours], wanted, rtol=1e-6, atol=1e-7, err_msg=ours)
    assert (table["note"] == "").all()
    assert table["scaling_diff"].notna().tolist() == [False, *[estimator == "MLR"] * (len(levels) - 1)]


@pytest.fixture(scope="module")
def pair(chain_model, chain_rows):
    fewer = chain_model.replace(edges=[edge for edge in chain_model.edges if edge.cause != "influencers"][:-1])
    return chain_model, fewer


def test_names_and_order_come_from_the_fits(pair, chain_rows):
    large, small = (rox.fit(model, chain_rows, method="sem") for model in pair)
    table = rox.compare(small, large)
    assert list(table["fit"]) == ["chain [2]", "chain [1]"]
    assert list(rox.compare(small, all=large)["fit"]) == ["all", "chain"]
    assert table["df_diff"].iloc[1] == small.indices()["df"] - large.indices()["df"]
    assert list(table.columns) == [
        "fit", "df", "chisq", "aic", "bic", "chisq_diff", "df_diff", "pvalue", "scaling_diff", "note",
    ]  # fmt: skip


def test_a_saturated_fit_has_no_scaling_factor_and_needs_none(chain_rows):
    models = [rox.RoxModel.from_lavaan(f"inf2 ~ inf1\ninf3 ~ inf2{more}") for more in (" + inf1", "")]
    large, small = (rox.fit(model, chain_rows, method="sem", estimator="MLR") for model in models)
    row = rox.compare(large, small).iloc[1]
    assert row["chisq_diff"] == pytest.approx(small.indices()["chisq_scaled"])
    assert row["pvalue"] == pytest.approx(small.indices()["pvalue_scaled"])


@pytest.mark.slow
def test_the_test_holds_its_level_for_skewed_answers():
    """An edge that is 0: the scaled difference rejects in 5 % of samples, within Monte-Carlo error."""
    rng = np.random.default_rng(11)
    models = [rox.RoxModel.from_lavaan(f"b ~ a\nc ~ b{more}") for more in (" + a", "")]
    below = 0
    for _ in range(300):
        a = rng.normal(size=400)
        b = 0.5 * a + (rng.chisquare(3, 400) - 3) / np.sqrt(6)
        rows = {"a": a, "b": b, "c": 0.5 * b + (rng.chisquare(3, 400) - 3) / np.sqrt(6)}
        fits = (rox.fit(model, rows, method="sem", estimator="MLR") for model in models)
        below += rox.compare(*fits)["pvalue"].iloc[1] < 0.05
    assert abs(below / 300 - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 300)


def test_a_negative_scaling_factor_and_models_that_are_not_nested_are_said(pair, chain_rows):
    large, small = (rox.fit(model, chain_rows, method="sem", estimator="MLR") for model in pair)
    twisted = replace(small, index_values={**small.index_values, "scaling_factor": 0.1})
    row = rox.compare(large, twisted).iloc[1]
    assert np.isnan(row["pvalue"])
    assert "not above 0" in row["note"]
    better = replace(small, index_values={**small.index_values, "chisq": 1.0})
    assert "not nested" in rox.compare(large, better)["note"].iloc[1]
    assert "same df" in rox.compare(large, large)["note"].iloc[1]


def test_fits_that_do_not_compare_are_refused(pair, chain_model, chain_rows, complete, metric):
    def refused(match, *fits):
        with pytest.raises(RoxError, match=match):
            rox.compare(*fits)

    def fit(rows=chain_rows, model=chain_model, **options):
        return rox.fit(model, rows, method="sem", **options)

    refused("1 fit", complete)
    refused("is a str, not a fit", complete, "metric")
    refused("differ in estimator: 'ML' and 'MLR'", complete, fit(estimator="MLR"))
    refused("differ in groups", fit(estimator="MLR"), metric)
    refused("differ in rows: n = 300 and n = 299", complete, fit(chain_rows.iloc[1:]))
    refused("differ in data", complete, fit(chain_rows.assign(inf1=chain_rows["inf2"] * 2, inf2=chain_rows["inf1"])))
    refused("One of the fits models means", complete, fit(means=True))
    other = rox.RoxModel.from_lavaan("a =~ inf1 + inf2 + inf3 + inf4")
    refused("differ in items", complete, fit(model=other))
    refused("no chi-square of its own", metric, metric.group("south"))
    ordinal = fit(chain_rows.round(0), estimator="DWLS", ordered=["inf1"])
    refused("by 'DWLS'", ordinal, ordinal)
    world = rox.datasets.make_world(40, seed=1)
    path = rox.fit(world.model, world.study(), method="path")
    with pytest.raises(EstimationError, match="method 'path'"):
        rox.compare(path, path)


def test_the_order_of_rows_and_items_does_not_matter(pair, chain_rows):
    large, small = pair
    turned = large.replace(constructs=list(reversed(large.constructs)))
    shuffled = chain_rows.sample(frac=1, random_state=1)
    one = rox.compare(rox.fit(large, chain_rows, method="sem"), rox.fit(small, chain_rows, method="sem"))
    other = rox.compare(rox.fit(turned, shuffled, method="sem"), rox.fit(small, chain_rows, method="sem"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-6)
