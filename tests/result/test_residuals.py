"""Residuals and R² against lavaan and against their definitions."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.mark.parametrize("kind", ["raw", "correlation", "standardized"])
def test_residuals_are_lavaans(kind, lavaan, complete):
    case = lavaan("complete")["residuals"]
    found = complete.residuals(kind=kind).loc[case["names"], case["names"]].to_numpy()
    lower = np.array([found[i, j] for j in range(len(found)) for i in range(j, len(found))])
    wanted = np.array(case[kind])
    if kind == "standardized":  # variances are reproduced whatever the answers: nothing is left to chance
        known = ~np.isnan(lower)
        assert (np.abs(wanted[~known]) < 1e-12).all()
        lower, wanted = lower[known], wanted[known]
    np.testing.assert_allclose(lower, wanted, **CLOSE)


def test_residuals_by_group(scalar, lavaan):
    stacked = scalar.residuals()
    assert stacked.index.names == ["group", "item"]
    for group in ("north", "south"):
        np.testing.assert_array_equal(stacked.loc[group], scalar.residuals(group=group))
        np.testing.assert_allclose(scalar.group(group).residuals(), scalar.residuals(group=group), atol=1e-12)


@pytest.mark.slow
def test_standardized_residuals_are_standard_normal_where_the_model_is_true():
    rng = np.random.default_rng(5)
    model = rox.RoxModel.from_lavaan("a =~ x1 + x2 + x3\nb =~ y1 + y2 + y3\nb ~ a")
    names, seen = [item.name for item in model.items], []
    for _ in range(200):
        a = rng.normal(size=200)
        b = 0.5 * a + rng.normal(size=200)
        answers = np.column_stack([a, a, a, b, b, b]) + 0.8 * rng.normal(size=(200, 6))
        fit = rox.fit(model, dict(zip(names, answers.T, strict=True)), method="sem")
        seen.append(fit.residuals(kind="standardized").to_numpy()[np.tril_indices(6, -1)])
    spread = np.std(seen, axis=0)
    np.testing.assert_allclose(spread, 1.0, atol=4 / np.sqrt(2 * 200))


@pytest.mark.parametrize("name", ["complete", "holes", "scalar"])
def test_r2_is_lavaans(name, lavaan, request, chain_model, holed_rows):
    fit = (
        rox.fit(chain_model, holed_rows, method="sem", missing="fiml")
        if name == "holes"
        else request.getfixturevalue(name)
    )
    case, table = lavaan(name)["r2"], fit.r2()
    groups = case if name == "scalar" else {"": case}
    assert ("group" in table) == (name == "scalar")
    for group, wanted in groups.items():
        own = table[table["group"] == group] if group else table
        found = dict(zip(own["name"], own["r2"], strict=True))
        assert set(found) == set(wanted)
        np.testing.assert_allclose([found[key] for key in wanted], list(wanted.values()), **CLOSE)


def test_items_measured_without_error_are_left_out(chain_rows):
    fit = rox.fit(rox.RoxModel.from_lavaan("inf1 ~ tenure + size"), chain_rows, method="sem")
    assert fit.r2()[["kind", "name"]].to_numpy().tolist() == [["construct", "inf1"]]
    slope = np.linalg.lstsq(
        np.column_stack([np.ones(300), chain_rows[["tenure", "size"]]]), chain_rows["inf1"], rcond=None
    )[1]
    assert fit.r2()["r2"][0] == pytest.approx(1 - slope[0] / 300 / chain_rows["inf1"].var(ddof=0), abs=1e-8)


def test_ordinal_items_have_residuals_and_r2(chain_model, chain_rows):
    answers = chain_rows.copy()
    for item in chain_model.items:
        answers[item.name] = np.digitize(answers[item.name], answers[item.name].quantile([0.2, 0.5, 0.8])) + 1
    fit = rox.fit(chain_model, answers, method="sem", estimator="DWLS", ordered=True)
    np.testing.assert_allclose(np.diag(fit.residuals()), 0.0, atol=1e-9)
    assert fit.r2()["r2"].between(0, 1).all()
    with pytest.raises(EstimationError, match="continuous items"):
        fit.residuals(kind="standardized")


def test_what_has_no_residuals_is_refused(complete, scalar):
    with pytest.raises(RoxError, match="kind= was 'corelation'. Did you mean 'correlation'"):
        complete.residuals(kind="corelation")
    with pytest.raises(RoxError, match="no group 'nort'. Did you mean 'north'"):
        scalar.residuals(group="nort")
    with pytest.raises(RoxError, match="has no groups"):
        complete.residuals(group="north")
    with pytest.raises(EstimationError, match="one group and complete"):
        scalar.residuals(kind="standardized")
