"""Modification indices against lavaan, against refits, and what they leave out."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError, RoxError

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

CLOSE = {"rtol": 1e-6, "atol": 1e-6}
OPERATORS = {"loading": "=~", "edge": "~", "covariance": "~~"}


def as_lavaan(table: pd.DataFrame) -> dict[tuple[str, ...], tuple[float, float, float]]:
    """Rows by lavaan's left, operator, right and group."""
    found = {}
    for row in table.to_dict("records"):
        ends = (row["right"], row["left"]) if row["kind"] == "edge" else (row["left"], row["right"])
        for pair in {ends, ends[::-1]} if row["kind"] == "covariance" else {ends}:
            key = (pair[0], OPERATORS[row["kind"]], pair[1], row["group"])
            found[key] = (row["mi"], row["epc"], row["epc_standardized"])
    return found


@pytest.mark.parametrize(("name", "options"), [("complete", {}), ("configural", {"group": "region"})])
def test_they_are_lavaans(name, options, lavaan, chain_model, chain_rows):
    case = lavaan(name)
    ours = as_lavaan(rox.fit(chain_model, chain_rows, method="sem", **options).modification_indices())
    missing = []
    for row in pd.DataFrame(case["modification"]).to_dict("records"):
        key = (row["lhs"], row["op"], row["rhs"], case["groups"][row["group"] - 1] if options else "")
        if key in ours:
            np.testing.assert_allclose(ours[key], (row["mi"], row["epc"], row["sepc.all"]), **CLOSE)
        else:
            missing.append(f"{row['rhs']} -> {row['lhs']}")
    # lavaan also tries edges that would close a loop
    assert set(missing) <= {"loyalty -> influencers", "loyalty -> pride", "loyalty -> value"}


def test_a_parameter_held_equal_set_free_is_lavaans_score_test(lavaan, scalar):
    table = scalar.modification_indices()
    table = table[table["status"] == "equal"]
    case = pd.DataFrame(lavaan("scalar")["freed"]).to_dict("records")
    for row in case:
        kind = "loading" if row["op"] == "=~" else "intercept"
        right = row["rhs"] if kind == "loading" else row["lhs"]
        own = table[(table["kind"] == kind) & (table["left"] == row["lhs"]) & (table["right"] == right)]
        assert sorted(own["group"]) == ["north", "south"]
        np.testing.assert_allclose(own["mi"], row["x2"], **CLOSE)
        assert own["epc"].prod() < 0
    assert len(table) == 2 * len(case)


def test_they_foretell_what_a_refit_brings(chain_model, chain_rows, complete):
    table = complete.modification_indices()
    for kind, arrow in (("covariance", "{left} ~~ {right}"), ("edge", "{right} ~ {left}")):
        top = table[table["kind"] == kind].iloc[0]
        more = arrow.format(left=top["left"], right=top["right"])
        text = f"{chain_model.to_lavaan()}\n{more}\n"
        again = rox.fit(rox.RoxModel.from_lavaan(text), chain_rows, method="sem")
        fall = complete.indices()["chisq"] - again.indices()["chisq"]
        assert fall == pytest.approx(top["mi"], rel=0.25)
        rows = again.parameters()
        own = rows[(rows["kind"] == kind) & (rows["left"] == top["left"]) & (rows["right"] == top["right"])]
        assert own["estimate"].item() == pytest.approx(top["epc"], rel=0.35)


def test_a_fixed_parameter_set_free_is_the_same_as_one_left_out(chain_rows, chain_model, complete):
    zero = chain_model.replace(edges=[*chain_model.edges, rox.Edge(cause="influencers", effect="value", fixed=0.0)])
    fixed = rox.fit(zero, chain_rows, method="sem").modification_indices()
    absent = complete.modification_indices()

    def one(table):
        return table[(table["kind"] == "edge") & (table["left"] == "influencers") & (table["right"] == "value")]

    assert one(fixed)["status"].item() == "fixed"
    assert one(absent)["status"].item() == "absent"
    columns = ["mi", "epc", "epc_standardized"]
    np.testing.assert_allclose(one(fixed)[columns], one(absent)[columns], rtol=1e-6)


def test_what_the_model_cannot_tell_apart_is_left_out(chain_rows):
    """Of a saturated structure no edge is left; a marker's loading only moves the unit."""
    model = rox.RoxModel.from_lavaan("inf =~ inf1 + inf2 + inf3\npri =~ pri1 + pri2 + pri3\npri ~ inf")
    table = rox.fit(model, chain_rows, method="sem").modification_indices()
    assert set(table["kind"]) == {"loading", "covariance"}
    assert not ((table["left"] == "inf") & (table["right"] == "inf1")).any()
    assert set(table["status"]) == {"absent"}
    saturated = rox.RoxModel.from_lavaan("inf =~ inf1 + inf2 + inf3")
    assert len(rox.fit(saturated, chain_rows, method="sem").modification_indices()) == 0


def test_no_edge_closes_a_loop(complete):
    table = complete.modification_indices()
    edges = table[table["kind"] == "edge"]
    order = {name: i for i, name in enumerate(complete.model.order())}
    assert all(order[left] < order[right] for left, right in zip(edges["left"], edges["right"], strict=True))


def test_units_of_measurement_do_not_matter(chain_model, chain_rows, complete):
    rows = chain_rows.assign(inf1=chain_rows["inf1"] * 1e6, val2=chain_rows["val2"] * 1e-4)
    one, other = complete.modification_indices(), rox.fit(chain_model, rows, method="sem").modification_indices()
    keys = ["kind", "left", "right"]
    both = one.merge(other, on=keys, suffixes=("", "_2"))
    assert len(both) == len(one) == len(other)
    np.testing.assert_allclose(both["mi"], both["mi_2"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both["epc_standardized"], both["epc_standardized_2"], rtol=1e-5, atol=1e-6)


def test_they_come_sorted_and_cut(complete):
    table = complete.modification_indices(least=3.84)
    assert (
        table["mi"].map(lambda value: float(f"{value:.9g}")).is_monotonic_decreasing
    )  # what is equal to 9 digits ties
    assert table["mi"].min() >= 3.84
    assert list(table.columns) == [
        "kind", "left", "right", "group", "mi", "p", "epc", "epc_standardized", "status", "p_holm",
    ]  # fmt: skip


def test_many_candidates_are_tested_in_blocks(complete, monkeypatch):
    whole = complete.modification_indices()
    monkeypatch.setattr("roxmodel.result.misfit._AT_ONCE", 7)
    pd.testing.assert_frame_equal(complete.modification_indices(), whole, rtol=1e-9)


def test_answers_with_holes_foretell_what_a_refit_brings(chain_model, holed_rows, tmp_path):
    """Found with the fit, by the likelihood of all answers; no document holds them."""
    holed = rox.fit(chain_model, holed_rows, method="sem", missing="fiml")
    table = holed.modification_indices()
    top = table[table["kind"] == "covariance"].iloc[0]
    text = f"{chain_model.to_lavaan()}\n{top['left']} ~~ {top['right']}\n"
    again = rox.fit(rox.RoxModel.from_lavaan(text), holed_rows, method="sem", missing="fiml")
    fall = holed.indices()["chisq"] - again.indices()["chisq"]
    assert fall == pytest.approx(top["mi"], rel=0.25)
    with pytest.raises(EstimationError, match="found with the fit and not saved"):
        rox.load(holed.save(tmp_path / "fit.json")).modification_indices()


def test_the_multiplicity_is_that_of_its_kind(complete):
    table = complete.modification_indices()
    for _, own in table.groupby("kind"):
        top = own.iloc[0]
        assert top["p_holm"] == pytest.approx(min(1.0, top["p"] * len(own)))
    cut = complete.modification_indices(least=3.84)
    np.testing.assert_array_equal(cut["p_holm"], table["p_holm"][: len(cut)])


def test_what_has_none_is_refused(complete):
    with pytest.raises(RoxError, match="least= was -1"):
        complete.modification_indices(least=-1)


COVARIATES = """influencers =~ inf1 + inf2 + inf3 + inf4
pride =~ pri1 + pri2 + pri3 + pri4
influencers ~ tenure
pride ~ influencers + size"""


def test_moments_that_the_data_give_count_as_estimated(chain_rows):
    """Exogenous moments fixed at the sample's or free: the same estimates, hence the same tests and residuals."""
    texts = (COVARIATES, f"{COVARIATES}\ntenure ~~ tenure + size\nsize ~~ size")
    fits = [rox.fit(rox.RoxModel.from_lavaan(text), chain_rows, method="sem") for text in texts]
    assert fits[0].table.n_free < fits[1].table.n_free
    one, other = (as_lavaan(fit.modification_indices()) for fit in fits)
    assert set(one) == set(other)
    np.testing.assert_allclose([one[key] for key in one], [other[key] for key in one], rtol=1e-5, atol=1e-6)
    one, other = (fit.residuals(kind="standardized") for fit in fits)
    np.testing.assert_allclose(one, other.loc[one.index, one.columns], rtol=1e-4, atol=1e-6)
