"""Numbers that were printed: Smith & Sivo (2012) and the bank's customers, to the printed digits."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.datasets import published

STORED = 1e-9  # plspm's output, stored with fifteen digits; its composites' correlations were computed from its scores
PRINTED = 5e-4 * 1.001  # half a unit of the third printed digit (0.6975 was printed as 0.697)
STOPPED = 2e-8  # lavaan's stored standardised values: its iterations stop here (0.03000001 for a correlation of 0.03)


@pytest.fixture(scope="module")
def smith():
    paper = published()["smith_sivo_2012"]
    return paper, rox.fit(paper.model, paper.moments, method="path")


@pytest.fixture(scope="module")
def bank():
    paper = published()["bank_satisfaction"]
    return paper, rox.fit(paper.model, paper.moments, method="path")


def paired(paper, fit):
    return paper.estimates.merge(fit.edges(), on=["cause", "effect"], suffixes=("_printed", ""), validate="one_to_one")


# --- Smith & Sivo: lavaan, maximum likelihood of a graph without loops = least squares


def test_all_nine_coefficients_and_standardised_values(smith):
    table = paired(*smith)
    assert len(table) == 9
    assert (table["estimate"] - table["estimate_printed"]).abs().max() <= PRINTED
    assert (table["standardized"] - table["standardized_printed"]).abs().max() <= STOPPED


def test_standard_errors(smith):
    """Lavaan's expected information has the *implied* covariance of the causes and the divisor n.

    Ours are those of the regressions: the sample covariance of the causes and the divisor n - p - 1. The two differ
    by less than 4 % here; both are recomputed.
    """
    paper, fit = smith
    table, names = paired(paper, fit), list(fit.model.names)
    parameters = fit.parameters().set_index("id")["estimate"]
    for effect, rows in table.groupby("effect"):
        at = [names.index(cause) for cause in rows["cause"]]
        implied = fit.population.covariance[np.ix_(at, at)]
        expected = np.sqrt(parameters[f"variance:{effect}"] * np.diag(np.linalg.inv(implied)) / paper.moments.n)
        assert np.abs(expected - rows["se_printed"]).max() <= PRINTED
        np.testing.assert_allclose(rows["se"], expected, rtol=0.04)


def test_every_printed_index(smith):
    paper, fit = smith
    found = fit.indices()
    shared = [name for name in paper.fit if name in found.index]
    assert len(shared) == 12
    for name in shared:
        assert abs(found[name] - paper.fit[name]) <= (0 if name == "df" else PRINTED), name


def test_the_number_of_parameters_and_residual_variances(smith):
    paper, fit = smith
    assert fit.table.n_free == paper.fit["npar"]
    table = fit.parameters().set_index("id")
    for name, value in paper.further["residual_variance"].items():
        assert table.loc[f"variance:{name}", "estimate"] == pytest.approx(value, abs=PRINTED)
    for name, value in paper.further["residual_variance_standardized"].items():
        assert table.loc[f"variance:{name}", "standardized"] == pytest.approx(value, abs=PRINTED)


def test_other_printed_indices_follow_from_ours(smith):
    paper, fit = smith
    found, base, df = fit.indices(), paper.fit["baseline_chisq"], paper.fit["baseline_df"]
    assert 1 - found["chisq"] / base == pytest.approx(paper.fit["nfi"], abs=PRINTED)
    assert (base - found["chisq"]) / (base - found["df"]) == pytest.approx(paper.fit["ifi"], abs=PRINTED)
    saturated = found["loglik"] + found["chisq"] / 2
    assert saturated == pytest.approx(paper.fit["loglik_saturated"], abs=PRINTED)
    assert df == 15


# --- the bank's customers: least squares on composites


def test_all_paths(bank):
    table = paired(*bank)
    assert len(table) == 10
    assert (table["estimate"] - table["estimate_printed"]).abs().max() < STORED


def test_the_standard_errors_of_satisfaction(bank):
    table = paired(*bank).dropna(subset=["se_printed"])
    assert table["effect"].tolist() == ["SAT"] * 4
    assert (table["se"] - table["se_printed"]).abs().max() < STORED


@pytest.mark.parametrize(("kind", "row"), [("total_effect", "total"), ("indirect_effect", "indirect")])
def test_total_and_indirect_effects(bank, kind, row):
    paper, fit = bank
    for ends, value in paper.further[kind].items():
        table = fit.effects(*ends.split(" -> "))
        found = table[(table["kind"] == row) & (table["path"] == "all")]["estimate"].item()
        assert found == pytest.approx(value, abs=STORED), ends


def test_explained_shares(bank):
    paper, fit = bank
    table, sd = fit.parameters().set_index("id"), fit.population.covariance
    for name, value in paper.further["r_squared"].items():
        left = table.loc[f"variance:{name}", "estimate"] / (249 / 250)  # the sample variance is 1 with divisor n - 1
        assert 1 - left == pytest.approx(value, abs=STORED)
    assert np.isfinite(sd).all()
