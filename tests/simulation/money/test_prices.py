"""What outcomes are worth: records, documents, draws, units, and what is refused."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import roxmodel as rox
from roxmodel.errors import DocumentError, SimulationError
from roxmodel.simulation.money.finance import Finance
from roxmodel.simulation.money.values import (
    LifetimeValue,
    LogValue,
    NormalValue,
    TriangularValue,
    UniformValue,
    UnitValue,
    price_text,
    resolve,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # algebra in double precision
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed
ALL = {
    "number": 1_000,
    "normal": NormalValue(mean=1_000.0, sd=200.0),
    "uniform": UniformValue(low=800.0, high=1_300.0),
    "triangular": TriangularValue(low=800.0, mode=900.0, high=1_300.0),
    "unit": UnitValue(values={"north": 900.0, 7: 1_000.0, "7": 1_100.0}, default=-5.0),
    "log": LogValue(price=UniformValue(low=1.0, high=2.0)),
    "lifetime": LifetimeValue(margin=NormalValue(mean=40.0, sd=4.0), retention=0.9, beyond=True),
    "by unit": LifetimeValue(margin=UnitValue(values={"north": 1.0}, default=2.0), retention=0.5),
}
FULL = Finance(value=ALL, discount=0.02, timing="start", currency="EUR")


def drawn(price, draws=1_000, seed=1, name="y"):
    return resolve(Finance(value={name: price}), {name: 0}, None, draws, seed)[0].price


# --- records and documents


def test_a_finance_record_comes_back_from_its_document():
    back = Finance.from_json(FULL.to_json())
    assert back == FULL
    assert hash(back) == hash(FULL)
    assert list(back.value) == list(ALL)
    assert back.to_json() == FULL.to_json()
    assert dict(back.value["unit"].values) == {"north": 900.0, 7: 1_000.0, "7": 1_100.0}
    assert [type(key) for key in back.value["unit"].values] == [str, int, str]
    json.loads(FULL.to_json(), parse_constant=pytest.fail)  # plain JSON, no NaN


def test_a_finance_record_is_copied_pickled_and_changed_by_copy():
    assert copy.deepcopy(FULL) == FULL
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert FULL.replace(discount=0.1).discount == 0.1
    assert Finance(**FULL.model_dump()) == FULL
    with pytest.raises(rox.RoxError, match="A Finance never changes"):
        FULL.discount = 0.1


def test_the_short_ways_are_the_long_ones():
    by_kind = {"kind": "normal", "mean": 1_000, "sd": 200}
    assert Finance(value={"y": by_kind}) == Finance(value={"y": NormalValue(1_000, 200)})
    units = UnitValue({1: 5.0, 2: 6.0})
    by_kind = {"kind": "unit", "values": [[1, 5.0], [2, 6.0]]}
    for short in ({1: 5, 2: 6}, {1.0: 5, np.int64(2): 6}, pd.Series([5.0, 6.0], index=[1, 2]), by_kind):
        assert Finance(value={"y": short}).value["y"] == units
    assert Finance(value={"y": np.float32(2.5)}).value["y"] == 2.5
    assert Finance(value={"y": {"kind": 3.0}}).value["y"].values == {"kind": 3.0}  # a unit of that name
    assert UniformValue(1, 2) == UniformValue(low=1, high=2)
    assert TriangularValue(1, 2, 3) == TriangularValue(low=1, mode=2, high=3)
    assert LogValue(3).price == 3
    assert LifetimeValue(40, 0.9) == LifetimeValue(margin=40, retention=0.9, beyond=False)


@pytest.mark.parametrize("text", ["", "{}", "[1]", FULL.to_json()[:-40], FULL.to_json().replace("0.02", "0.03")])
def test_a_spoilt_document_is_refused(text):
    with pytest.raises(DocumentError):
        Finance.from_json(text)


def test_a_document_of_another_kind_is_refused():
    model = rox.five_factor({"pride": ["pride"], "outcomes": ["sales"]})
    with pytest.raises(DocumentError, match="'finance' was asked for"):
        Finance.from_json(model.to_json())


def test_prices_are_printed_as_they_were_given():
    assert [price_text(price) for price in FULL.value.values()] == [
        "1,000",
        "normal, mean 1,000, sd 200",
        "uniform, 800 to 1,300",
        "triangular, 800 to 1,300, most likely 900",
        "by unit, 900 to 1,100 (3 units), -5 elsewhere",
        "uniform, 1 to 2 for each unit of the amount whose logarithm it is",
        "margin normal, mean 40, sd 4 a wave, retention 0.9, also beyond the horizon",
        "margin by unit, 1 (1 units), 2 elsewhere a wave, retention 0.5, within the horizon",
    ]
    assert price_text(12_345_678.25) == "12,345,678.25"


# --- what is refused

WRONG_PRICES = [
    (None, r"value= prices 'y' at None\. Allowed: a finite amount, a mapping unit -> amount, rox\.NormalValue"),
    (True, "value= prices 'y' at True"),
    ("1000", "value= prices 'y' at '1000'"),
    (float("nan"), "value= prices 'y' at nan"),
    (float("inf"), "value= prices 'y' at inf"),
    (10**400, "value= prices 'y' at 1000000"),
    ([1, 2], r"value= prices 'y' at \[1, 2\]"),
    (np.ones(2), "value= prices 'y' at array"),
    (int, "value= prices 'y' at the type int"),
    (NormalValue, r"the type NormalValue\. .* Write rox\.NormalValue\(\.\.\.\) with its numbers"),
    (FULL, "value= prices 'y' at a Finance"),
    (rox.Item(name="x"), "value= prices 'y' at "),
    (rox.Construct(name="x", factor="outcomes", source="unit", items=["x"]), "value= prices 'y' at "),
    ({"kind": "norml", "mean": 1}, r"by the kind 'norml'\. Did you mean 'normal'\?"),
    ({"kind": "normal", "mean": 1}, "needs 'sd', which was not given"),
    ({"kind": "normal", "mean": 1, "sdd": 1}, r"no argument 'sdd'\. Did you mean 'sd'\?"),
    ({"kind": "normal", "mean": 1, "sd": -1}, r"value= prices 'y' wrongly: NormalValue has sd=-1\. Allowed: 0 or more"),
    ({"kind": "uniform", "low": 2, "high": 1}, r"low=2 and high=1\. Allowed: low <= high"),
    (
        {"kind": "triangular", "low": 1, "mode": 5, "high": 3},
        r"low=1, mode=5 and high=3\. Allowed: low <= mode <= high",
    ),
    ({"kind": "lifetime", "margin": 1, "retention": 1.2}, r"retention=1\.2\. Allowed: 0 \(nobody stays\) to 1"),
    ({"kind": "lifetime", "margin": 1, "retention": -0.1}, r"retention=-0\.1"),
    ({"kind": "lifetime", "margin": {"kind": "normal", "mean": 1, "sd": -2}, "retention": 0.5}, "sd=-2"),
    ({"kind": "lifetime", "margin": LogValue(), "retention": 0.5}, "margin or amount is priced at a LogValue"),
    ({"kind": "lifetime", "margin": "x", "retention": 0.5}, "margin or amount is priced at 'x'"),
    ({"kind": "log", "price": {"kind": "log"}}, r"by the kind 'log'\. Known: 'normal'"),
    ({"kind": "unit", "values": [["x", 1], ["x", 2]]}, "prices the unit 'x' twice"),
    ({"kind": "unit", "values": 5}, r"UnitValue\(values=\) was 5"),
    ({"kind": "unit", "values": [1, 2]}, r"UnitValue\(values=\) was \[1, 2\]"),
    ({}, "prices no unit"),
    ({"x": "y"}, r"prices the unit 'x' at 'y'\. Allowed: a finite amount"),
    ({(1, 2): 3}, r"names the unit \(1, 2\)\. Allowed: a text or a number"),
    ({None: 3}, "names the unit None"),
    ({float("nan"): 3}, "names the unit nan"),
    ({pd.NA: 3}, "names the unit <NA>"),
    ({True: 3}, "names the unit True"),
]


@pytest.mark.parametrize(("price", "message"), WRONG_PRICES)
def test_what_is_no_price_is_refused(price, message):
    with pytest.raises(SimulationError, match=message) as caught:
        Finance(value={"y": price})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"value": {}}, "value= prices nothing"),
        ({"value": 1_000.0}, r"value= was 1000\.0\. Allowed: a mapping outcome -> money"),
        ({"value": {5: 1}}, r"value= prices 5\. Allowed: the name of an outcome"),
        ({}, "Finance needs 'value'"),
        ({"value": {"y": 1}, "disount": 0.1}, "Did you mean 'discount'?"),
        ({"value": {"y": 1}, "discount": -1}, r"discount= was -1\. Allowed: a rate per wave above -1"),
        ({"value": {"y": 1}, "discount": float("nan")}, "discount= was nan"),
        ({"value": {"y": 1}, "discount": "2 %"}, "discount= was '2 %'"),
        ({"value": {"y": 1}, "timing": "strat"}, "timing= was 'strat'. Did you mean 'start'?"),
        ({"value": {"y": 1}, "timing": None}, r"timing= was None\. Allowed: 'end' or 'start'"),
        ({"value": {"y": 1}, "currency": 3}, r"currency= was 3\. Allowed: a text such as 'EUR'"),
    ],
)
def test_what_is_no_finance_is_refused(arguments, message):
    with pytest.raises(SimulationError, match=message.replace("'?", "'\\?")):
        Finance(**arguments)


def test_records_by_themselves_say_what_is_wrong():
    for call, message in [
        (lambda: NormalValue(1.0), "NormalValue needs 'sd'"),
        (lambda: NormalValue("x", 1.0), "'mean' was 'x': a number was expected"),
        (lambda: NormalValue(1.0, float("inf")), "a finite number was expected"),
        (lambda: LifetimeValue(1.0, 0.5, beyond="maybe"), "'beyond' was 'maybe'"),
        (lambda: UnitValue({"a": 1}, default="x"), "'default' was 'x'"),
        (UnitValue, "UnitValue needs 'values'"),
        (lambda: Finance({"y": 1}), "Name the arguments"),
    ]:
        with pytest.raises(SimulationError, match=message):
            call()


@pytest.mark.parametrize(("retention", "discount"), [(1.0, 0.0), (0.9, -0.1), (0.95, -0.2)])
def test_a_lifetime_worth_more_than_any_number_is_refused(retention, discount):
    price = LifetimeValue(margin=1.0, retention=retention, beyond=True)
    message = r"value= prices 'y' beyond the horizon: .* Allowed: a retention below 1 \+ discount"
    with pytest.raises(SimulationError, match=message):
        Finance(value={"y": price}, discount=discount)
    Finance(value={"y": price.replace(beyond=False)}, discount=discount)
    Finance(value={"y": price}, discount=0.01)


# --- uncertain prices


@pytest.mark.parametrize(
    ("price", "law"),
    [
        (ALL["normal"], stats.norm(1_000, 200)),
        (ALL["uniform"], stats.uniform(800, 500)),
        (ALL["triangular"], stats.triang(0.2, loc=800, scale=500)),
        (TriangularValue(0.0, 0.0, 3.0), stats.triang(0.0, scale=3)),
        (TriangularValue(0.0, 3.0, 3.0), stats.triang(1.0, scale=3)),
    ],
)
def test_prices_have_the_law_they_are_said_to_have(price, law):
    share = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(price.quantile(share), law.ppf(share), rtol=1e-10)
    assert price.expected == pytest.approx(law.mean(), rel=1e-12)
    draws = 20_000
    found = drawn(price, draws)
    assert found.shape == (draws,)
    assert found.mean() == pytest.approx(law.mean(), abs=MONTE_CARLO * law.std() / np.sqrt(draws))
    assert stats.kstest(found, law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("price", [NormalValue(5, 0), UniformValue(5, 5), TriangularValue(5, 5, 5)])
def test_a_price_without_spread_is_certain(price):
    np.testing.assert_allclose(drawn(price), 5.0, **EXACT)


def test_equal_seeds_give_equal_draws_and_others_others():
    price = ALL["normal"]
    np.testing.assert_array_equal(drawn(price), drawn(price))
    np.testing.assert_array_equal(drawn(price, 10), drawn(price)[:10])
    assert (drawn(price) != drawn(price, seed=2)).all()
    assert (drawn(price) != drawn(price, name="z")).all()  # two outcomes err independently
    assert abs(np.corrcoef(drawn(price), drawn(price, name="z"))[0, 1]) < MONTE_CARLO / np.sqrt(1_000)
    assert (drawn(price, seed=None) != drawn(price, seed=None)).any()


def test_another_price_changes_no_draw():
    places = {"a": 0, "b": 1, "c": 2}
    alone = resolve(Finance(value={"b": ALL["normal"]}), places, None, 50, seed=1)[0]
    three = resolve(Finance(value={"c": ALL["uniform"], "b": ALL["normal"], "a": ALL["uniform"]}), places, None, 50, 1)
    assert [(one.name, one.place) for one in three] == [("c", 2), ("b", 1), ("a", 0)]
    np.testing.assert_array_equal(three[1].price, alone.price)


def test_margins_and_amounts_are_drawn_too():
    lifetime, log = resolve(
        Finance(value={"a": ALL["lifetime"], "b": ALL["log"]}, discount=0.1), {"a": 4, "b": 2}, None, 400, seed=1
    )
    assert (lifetime.retention, lifetime.beyond, lifetime.log) == (0.9, True, False)
    assert lifetime.price.mean() == pytest.approx(40, abs=MONTE_CARLO * 4 / 20)
    assert (log.retention, log.beyond, log.log) == (0.0, False, True)
    assert 1 <= log.price.min() < log.price.max() <= 2


def test_at_their_means_prices_are_certain():
    expected = FULL.expected()
    assert expected.value["normal"] == 1_000
    assert expected.value["uniform"] == 1_050
    assert expected.value["triangular"] == 1_000
    assert expected.value["log"].price == 1.5
    assert expected.value["lifetime"] == LifetimeValue(margin=40.0, retention=0.9, beyond=True)
    assert expected.value["unit"] == ALL["unit"]
    assert (expected.discount, expected.timing, expected.currency) == (0.02, "start", "EUR")
    assert expected.expected() == expected


# --- prices by unit


def test_prices_by_unit_follow_the_units_of_the_fit():
    price = UnitValue({3: 30.0, "3": 33.0, 1: 10.0}, default=5.0)
    for value in (price, LogValue(price), LifetimeValue(price, 0.5)):
        found = resolve(Finance(value={"y": value}), {"y": 0}, (1, 2, 3, "3"), 10, seed=1)[0]
        assert found.weights.tolist() == [10.0, 5.0, 30.0, 33.0]
        assert found.price.tolist() == [1.0]
    assert resolve(Finance(value={"y": 2.0}), {"y": 0}, (1, 2), 10, seed=1)[0].weights is None


@pytest.mark.parametrize(
    ("values", "units", "message"),
    [
        (
            {"north": 1.0, "sout": 2.0},
            ("north", "south"),
            r"the unit 'sout', which is not in the study\. Did you mean 'south'",
        ),
        ({"1": 1.0, 2: 2.0}, (1, 2), "keys are of type 'int': write 1"),
        ({1: 1.0}, ("1", "2"), "keys are of type 'str': write '1'"),
        ({1: 1.0}, (1, 2, 3), r"but not in 2 of 3: 2, 3\. Price them too, or give UnitValue"),
        ({1: 1.0}, None, "by unit, but this fit knows none by name"),
    ],
)
def test_units_that_do_not_match_are_named(values, units, message):
    with pytest.raises(SimulationError, match=message):
        resolve(Finance(value={"y": values}), {"y": 0}, units, 10, seed=1)


def test_a_price_for_an_unknown_construct_is_named():
    with pytest.raises(SimulationError, match=r"value= names 'sale'\. Did you mean 'sales'"):
        resolve(Finance(value={"sale": 1.0}), {"pride": 0, "sales": 1}, None, 10, seed=1)
