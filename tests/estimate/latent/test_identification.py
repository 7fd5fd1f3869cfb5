"""What cannot be estimated is refused before any data, with the construct's name and a way out."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError
from roxmodel.implied.identification import name_parameters
from roxmodel.spec.parameters import plan

ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3", "x", "y", "z"]
TWO = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\n"


def moments(unit=1.0):
    rng = np.random.default_rng(3)
    a = rng.normal(size=400)
    b = 0.5 * a + rng.normal(size=400)
    x, y, z = (0.4 * a + rng.normal(size=400) for _ in range(3))
    rows = np.column_stack([a, a, a, b, b, b, x, y, z]) + 0.7 * rng.normal(size=(400, 9))
    units = np.array([1, unit, 1 / unit, unit, 1, 1, 1 / unit, 1, unit])
    return rox.Moments.from_rows(rows * units, ITEMS)


def fitted(text, unit=1.0, **options):
    return rox.fit(rox.RoxModel.from_lavaan(text), moments(unit), method="sem", **options)


REFUSED = {
    "two items alone": ("a =~ a1 + a2", "'a'", "third item"),
    "two items, no relation": ("a =~ a1 + a2\nb =~ b1 + b2 + b3\na ~~ 0*b", "'a'", "third item"),
    "single item, free residual": (
        "a =~ a1\na1 ~~ a1\nb =~ b1 + b2 + b3\nb ~ a", "'a'", "rox.Covariance(left='a1', right='a1', fixed=...)",
    ),
    "loop without instruments": (TWO + "a ~ b\nb ~ a", "cause each other", "instrument of its own"),
    "loop with one instrument": (TWO + "a ~ b + x\nb ~ a\na ~~ b", "'a'", "instrument of its own"),
    "loop of observed variables": ("x ~ y\ny ~ x", "cause each other", "instrument"),
    "an edge and a covariance": (TWO + "b ~ a\na ~~ b", "a <-> b", "leave it out (a <-> b)"),
    "too many residual covariances": (TWO + "a1 ~~ a2\na1 ~~ a3\na2 ~~ a3", "'a'", "a1 <-> a2"),
    "one factor, three covariances": ("a =~ a1 + a2 + a3\na1 ~~ a2\na1 ~~ a3\na2 ~~ a3", "'a'", "until all can be"),
    "no unit": (TWO.replace("a1", "NA*a1") + "b ~ a", "'a'", "make 'a1' the marker"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.parametrize("unit", [1.0, 1e5])
def test_refused_in_any_units(name, unit):
    text, culprit, remedy = REFUSED[name]
    with pytest.raises(EstimationError, match="not identified") as caught:
        fitted(text, unit)
    assert culprit in str(caught.value)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


OBEYED = {
    "two items alone": ["a =~ a1 + a2 + b1", "a =~ a1 + a2\nb =~ b1 + b2\nb ~ a"],
    "single item, free residual": ["a =~ a1\na1 ~~ 0.2*a1\nb =~ b1 + b2 + b3\nb ~ a"],
    "loop without instruments": [TWO + "a ~ b + x\nb ~ a + y"],
    "an edge and a covariance": [TWO + "b ~ a", TWO + "b ~ a\na ~~ 0.1*b", TWO + "b ~ 0.3*a\na ~~ b"],
    "too many residual covariances": [TWO + "a1 ~~ a2", TWO + "a1 ~~ a2\na1 ~~ 0.1*a3\na2 ~~ 0*a3"],
    "one factor, three covariances": ["a =~ a1 + a2 + a3\na1 ~~ 0*a2\na1 ~~ 0.1*a3"],
    "no unit": [TWO + "b ~ a", TWO.replace("a1", "NA*a1") + "b ~ a\na ~~ 1*a"],
}


@pytest.mark.parametrize("text", [text for texts in OBEYED.values() for text in texts])
def test_who_obeys_is_not_refused_again(text):
    assert fitted(text).identified


def test_uncorrelated_disturbances_are_no_advice_where_they_are_so():
    for text, said in ((TWO + "a ~ b\nb ~ a", False), (TWO + "a ~ b + x\nb ~ a\na ~~ b", True)):
        with pytest.raises(EstimationError, match="cause each other") as caught:
            fitted(text)
        assert ("leave out the <-> between them" in str(caught.value)) == said


@pytest.mark.parametrize("first", [{"free": True}, {"loading": "l"}])
def test_a_construct_without_a_unit_is_named_with_its_remedies(first):
    def model(**rest):
        items = [rox.Item(name="a1", **{**first, **rest.pop("item", {})}), "a2", "a3"]
        return rox.RoxModel(
            name="m", constructs=[rox.Construct(name="a", factor="context", source="s", items=items)], **rest
        )

    with pytest.raises(EstimationError, match=r"Nothing gives 'a' a unit.*free=False.*left='a', right='a', fixed=1"):
        rox.fit(model(), moments(1.0), method="sem")
    one = rox.Covariance(left="a", right="a", fixed=1)
    assert rox.fit(model(covariances=[one]), moments(1.0), method="sem").identified
    assert rox.fit(model(item={"free": False}), moments(1.0), method="sem").identified


ACCEPTED = {
    "three items": "a =~ a1 + a2 + a3",
    "two items, related": "a =~ a1 + a2\nb =~ b1 + b2\nb ~ a",
    "loop with one instrument and disturbances apart": TWO + "a ~ b + x\nb ~ a",
    "loop with instruments": TWO + "a ~ b + x\nb ~ a + y",
    "regression": "x ~ y + z",
    "one variable": "x ~~ x",
    "variance 1 instead of a marker": "a =~ NA*a1 + a2 + a3\na ~~ 1*a",
    "zero-order": TWO + "a ~~ 0*b",
}


@pytest.mark.parametrize("name", sorted(ACCEPTED))
@pytest.mark.parametrize("unit", [1.0, 1e5])
@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_accepted_in_any_units(name, unit, scaling):
    found = fitted(ACCEPTED[name], unit, scaling=scaling)
    assert found.converged
    assert found.identified


@pytest.mark.parametrize("text", ["a =~ a1 + 1*a2", "a =~ a1 + k*a2 + k*a3"])
def test_equal_loadings_identify(text):
    assert fitted(text).identified


def test_three_items_of_noise_are_identified_as_a_model_but_not_by_the_data():
    moments = rox.Moments.from_correlation(ITEMS[:6], np.eye(6), n=200)
    with pytest.warns(rox.RoxWarning, match=r"identified \(unusable\)"):
        found = rox.fit(rox.RoxModel.from_lavaan(TWO), moments, method="sem")
    assert found.converged
    assert not found.identified
    assert [fault.code for fault in found.verdicts["identified"].faults] == ["flat"]
    assert "cannot tell apart" in found.verdicts["identified"].reason


def test_parameters_in_words():
    table = plan(rox.RoxModel.from_lavaan(TWO + "b ~ a\na1 ~~ b1"), "reflective", True)
    words = name_parameters([row for row in table if row.free], most=100)
    for part in ("a =~ a2", "a -> b", "a1 <-> b1", "the variance of a1", "the intercept of a1"):
        assert part in words
    assert name_parameters(list(table)[:9], most=2).endswith("and 7 more")
