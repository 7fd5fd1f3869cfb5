"""Every number of lavaan that is kept in ``lavaan/``, against ours."""

import importlib.util
import inspect
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("sem_parity", HERE / "parity.py")
assert SPEC is not None
assert SPEC.loader is not None
parity = importlib.util.module_from_spec(SPEC)
sys.modules["sem_parity"] = parity  # dataclasses look their module up
SPEC.loader.exec_module(parity)

IN_SE = 1e-3  # of a standard error
ESTIMATE = 1e-5  # lavaan's own Newton steps leave gradients of 1e-15
ERROR = 1e-4  # relative, of standard errors; lavaan's Hessian is numeric to about 1e-7
INDEX = 1e-4

_FITS: dict[str, tuple[dict, rox.Fit]] = {}


def fitted(name):
    """The case and its fit, once for all tests; skipped where the rows are other people's and not here."""
    if name not in _FITS:
        case = parity.read_case(name)
        try:
            _FITS[name] = case, parity.fit_case(case)
        except parity.NoRowsError as why:
            pytest.skip(str(why))
    return _FITS[name]


@pytest.mark.parametrize("name", parity.CASES)
def test_estimates_errors_and_indices(name):
    case, fit = fitted(name)
    gaps = parity.compare(case, fit)
    assert not gaps.missing
    assert gaps.rows >= sum(se is not None and se > 0 for se in case["parameters"]["se"])
    assert gaps.estimate_in_se <= IN_SE, gaps.worst["estimate_in_se"]
    assert gaps.estimate <= ESTIMATE, gaps.worst["estimate"]
    assert gaps.standardized <= ESTIMATE, gaps.worst["standardized"]
    assert gaps.se <= ERROR, gaps.worst["se"]
    if "t intervals" in fit.errors:  # lavaan's are normal, with however few clusters; see test_at_bound.py for ours
        assert IN_SE < gaps.interval < 1.0, gaps.worst["interval"]
    else:
        assert gaps.interval <= IN_SE, gaps.worst["interval"]
    far = {name: away for name, away in gaps.indices.items() if not abs(away) <= INDEX}
    assert not far


@pytest.mark.parametrize("name", parity.CASES)
def test_lavaan_itself_had_arrived(name):
    """A reference is one only where lavaan's gradient is gone."""
    case = parity.read_case(name)
    assert case["converged"]
    assert case["gradient"] < 1e-9


@pytest.mark.parametrize("name", parity.CASES)
def test_a_case_fits_in_a_page(name):
    assert (HERE / "lavaan" / f"{name}.json").stat().st_size < 60_000


# --- comparisons of nested models


@pytest.mark.parametrize("table", [p.stem for p in sorted((HERE / "lavaan").glob("*_lrt_*.json"))])
def test_differences_of_nested_models(table):
    """Plain difference; scaled after Satorra & Bentler (2001), from our own statistics and factors."""
    said = parity.read_case(table)["table"]
    indices = [fitted(name)[1].indices() for name in said["model"]]
    for place in range(1, len(indices)):
        less, more = indices[place - 1], indices[place]
        df = more["df"] - less["df"]
        difference = more["chisq"] - less["chisq"]
        if table.endswith("_mlr"):
            difference *= df / (more["df"] * more["scaling_factor"] - less["df"] * less["scaling_factor"])
        assert df == said["Df diff"][place]
        assert difference == pytest.approx(said["Chisq diff"][place], abs=2 * INDEX)


# --- what a fit says besides


@pytest.mark.parametrize("name", ["hs_ml", "chain_ml"])
def test_modification_indices(name):
    case, fit = fitted(name)
    table = fit.modification_indices()
    found = {
        (row.kind, *(sorted((row.left, row.right)) if row.kind == "covariance" else (row.left, row.right))): row
        for row in table.itertuples()
    }
    checked = 0
    for row in pd.DataFrame(case["modification"]).itertuples():
        ends = sorted((row.lhs, row.rhs)) if row.op == "~~" else [row.lhs, row.rhs][:: -1 if row.op == "~" else 1]
        mine = found.get(({"=~": "loading", "~": "edge", "~~": "covariance"}[row.op], *ends))
        if mine is not None:
            assert mine.mi == pytest.approx(row.mi, abs=1e-4)
            assert mine.epc == pytest.approx(row.epc, abs=1e-4)
            checked += 1
    assert checked >= len(case["modification"]["mi"]) // 2


@pytest.mark.parametrize(
    "name", ["hs_ml", "chain_ml", "chain_fiml", "pd_ml", "chain_wlsmv", "given_one", "given_direct", "given_path"]
)
def test_explained_variance(name):
    case, fit = fitted(name)
    found = fit.r2().set_index("name")["r2"]
    for variable, value in case["r2"].items():
        if variable in found.index:
            assert found[variable] == pytest.approx(value, abs=1e-5)
    assert set(case["r2"]) <= set(found.index)


@pytest.mark.parametrize("name", ["hs_ml", "chain_ml"])
def test_residual_covariances(name):
    case, fit = fitted(name)
    table = fit.residuals(kind="raw")
    names = case["residuals"]["names"]
    own = table.loc[names, names].to_numpy()
    lower = np.concatenate([own[k:, k] for k in range(len(names))])
    np.testing.assert_allclose(lower, case["residuals"]["covariance"], atol=1e-5)


@pytest.mark.parametrize("name", ["chain_ml_means", "chain_fiml"])
@pytest.mark.parametrize("method", ["regression", "bartlett"])
def test_factor_scores(name, method):
    case, fit = fitted(name)
    found = fit.factor_scores(parity.data_of(case).head(5), method=method)
    for construct, values in case["scores"][method].items():
        np.testing.assert_allclose(found[construct], values, atol=1e-5)


def test_bootstrap_intervals():
    """Percentile intervals of two independent bootstraps: within Monte-Carlo error of both."""
    case = parity.read_case("chain_bootstrap")
    assert "bootstrap" in inspect.signature(rox.fit).parameters
    model, rows = rox.RoxModel.from_lavaan(case["model"]), parity.data_of(case)
    draws = 4_000
    fit = rox.fit(model, rows, method="sem", se="bootstrap", bootstrap=draws, seed=11)
    gaps = parity.compare(case, fit)
    assert not gaps.missing
    # sd of a 2.5 % quantile of normal draws, in standard errors: sqrt(p(1-p)/R)/phi(z) = 2.67/sqrt(R)
    apart = 2.67 * np.sqrt(1 / case["options"]["bootstrap"] + 1 / draws)
    assert gaps.interval <= 5.5 * apart, gaps.worst["interval"]  # the largest of some 130, tails heavier than normal
    assert gaps.se <= 0.2, gaps.worst["se"]
