"""The robustness value, against Cinelli & Hazlett and against a confounder that is really there."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import roxmodel as rox
from roxmodel.result.tables import robustness_value

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
PRINTED = 5e-4  # three printed digits


def construct(name):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[name])


def fitted(table, **options):
    m = rox.RoxModel(name="m", constructs=[construct(n) for n in "abc"], edges=["a + b -> c"])
    return rox.fit(m, table, method="path", **options)


def frame(n=80, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    return pd.DataFrame({"a": a, "b": b, "c": 0.5 * a + 0.1 * b + rng.normal(size=n), "k": np.arange(n) % 10})


def test_the_published_example():
    """Darfur, directly harmed: t = 4.18 with 783 degrees of freedom, partial R² 2.2 %, robustness value 13.9 %."""
    share = 4.18**2 / (4.18**2 + 783)
    assert share == pytest.approx(0.022, abs=PRINTED)
    assert float(robustness_value(np.array(share))) == pytest.approx(0.139, abs=PRINTED)


def test_a_confounder_of_that_strength_brings_the_edge_to_zero():
    """Bias = √(R²_Y R²_D / (1 - R²_D)) se √df equals the estimate where both shares are the robustness value."""
    table = frame()
    row = fitted(table, se="standard").edges().iloc[0]
    value, df = row["robustness_value"], row["df"]
    bias = np.sqrt(value * value / (1 - value)) * row["se"] * np.sqrt(df)
    assert bias == pytest.approx(abs(row["estimate"]), rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"cluster": "k"}, {"bootstrap": 20, "seed": 1, "progress": False}])
def test_it_does_not_depend_on_how_errors_are_computed(options):
    table = frame()
    classical, other = fitted(table, se="standard").edges(), fitted(table, **options).edges()
    np.testing.assert_array_equal(other["robustness_value"], classical["robustness_value"])
    hand = sm.OLS(table["c"], sm.add_constant(table[["a", "b"]])).fit()
    partial = hand.tvalues[["a", "b"]] ** 2 / (hand.tvalues[["a", "b"]] ** 2 + hand.df_resid)
    np.testing.assert_allclose(other["robustness_value"], robustness_value(partial.to_numpy()), **EXACT)


def test_moments_give_what_rows_give():
    table = frame()
    rows = rox.Moments.from_rows(table[list("abc")].to_numpy(), list("abc"))
    np.testing.assert_allclose(
        fitted(rows).edges()["robustness_value"], fitted(table).edges()["robustness_value"], **EXACT
    )


def test_its_range():
    shares = np.array([0.0, 1e-12, 0.01, 0.5, 0.999999, 1.0, np.nan])
    found = robustness_value(shares)
    assert found[0] == 0
    assert found[1] == pytest.approx(1e-6, rel=1e-5)
    assert (np.diff(found[:5]) > 0).all()
    assert (found[:5] < 1).all()
    assert np.isnan(found[5:]).all()


def test_fixed_and_curved_edges_have_none():
    edges = ["a -> b", rox.Edge(cause="a", effect="c", fixed=0.5)]
    m = rox.RoxModel(name="m", constructs=[construct(n) for n in "abc"], edges=edges)
    assert fitted(frame()).edges()["robustness_value"].notna().all()
    assert rox.fit(m, frame(), method="path").edges()["robustness_value"].isna().tolist() == [False, True]
