"""Errors: one sentence, the culprit, what is allowed, what to do; and they travel."""

import copy
import pickle

import pytest
from pydantic import BaseModel, ValidationError

import roxmodel as rox
from roxmodel import errors
from roxmodel.errors import did_you_mean, listed
from roxmodel.frozen import Frozen, FrozenMapping, sentence

KINDS = [rox.RoxError, rox.SpecError, rox.DataError, rox.EstimationError, rox.SimulationError, rox.DocumentError]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_rox_error_and_a_value_error(kind):
    error = kind("Item 'x' is wrong.", allowed="1 to 7", hint="Drop it.")
    assert isinstance(error, rox.RoxError)
    assert isinstance(error, ValueError)
    assert str(error) == "Item 'x' is wrong. Allowed: 1 to 7. Drop it."


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_cross_process_borders_whole(kind, copied):
    error = kind("Item 'x' is wrong.", allowed="1 to 7", hint="Drop it.")
    back = copied(error)
    assert type(back) is kind
    assert (back.problem, back.allowed, back.hint) == (error.problem, error.allowed, error.hint)
    assert str(back) == str(error)


def test_a_warning_is_no_error():
    assert issubclass(rox.RoxWarning, UserWarning)
    assert not issubclass(rox.RoxWarning, rox.RoxError)


def test_all_errors_are_public():
    assert {name for name in errors.__all__ if name[0].isupper()} <= set(rox.__all__)


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("prid", ["pride", "value"], "Did you mean 'pride'?"),
        ("PRIDE", ["pride", "value"], "Did you mean 'pride'?"),
        ("Revenue", ["revenues", "revenue", "Review"], "Did you mean 'revenue'?"),
        ("PRI1", ["pri1", "pri10", "PR1"], "Did you mean 'pri1'?"),
        ("pride", ["Pride", "PRIDE", "prides"], "Did you mean 'Pride' or 'PRIDE'?"),
        ("LOYALTI", ["loyalty", "LAYOUT"], "Did you mean 'loyalty'?"),
        ("net-revenue", ["revenue", "Net Revenue"], "Did you mean 'Net Revenue'?"),
        ("q1-1", ["q11", "Q1_1"], "Did you mean 'Q1_1'?"),
        ("netrevenue", ["net_revenue"], "Did you mean 'net_revenue'?"),
        ("pride ", ["value", "pride"], "Did you mean 'pride'"),
        ("STRASSE", ["Straße"], "Did you mean 'Straße'?"),
        ("caf\u00e9", ["cafe\u0301", "cave"], "Did you mean 'cafe\u0301', which looks alike"),
        ("pride", ["pride", "bride"], "Did you mean 'bride'?"),
        ("pride", ["pride"], "Nothing is known by any name here."),
        ("__", ["--", "pride"], "Known: '--', 'pride'."),
        ("zzz", ["pride", "value"], "Known: 'pride', 'value'."),
        ("zzz", [], "Nothing is known by any name here."),
        ("", ["pride"], "Known: 'pride'."),
        ("zzz", [f"n{i}" for i in range(20)], "and 12 more"),
    ],
)
def test_did_you_mean(name, known, said):
    assert said in did_you_mean(name, known)


def test_listed_shortens():
    assert listed([]) == ""
    assert listed(["a", 1]) == "'a', 1"
    assert listed("abc", limit=2) == "'a', 'b' and 1 more"


class Point(Frozen):
    name: str
    x: float
    inner: "Point | None" = None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "p"}, "Point(name='p') needs 'x', which was not given."),
        ({"name": "p", "y": 1}, "Point(name='p') has no argument 'y'. Known: 'name', 'x', 'inner'."),
        ({"name": "p", "x": "a"}, "Point(name='p', x='a'): 'x' was 'a': "),
        ({"x": 1}, "Point needs 'name', which was not given."),
        ({"name": "p", "x": 1, "inner": 5}, "Point(name='p'): 'inner' was 5: a rox.Point was expected."),
        ({"name": "p", "x": 1, "inner": {"name": "q"}}, "Point(name='q') needs 'x', which was not given."),
        ({"name": "p", "x": "long" * 100}, "'x' was 'longlong"),
    ],
)
def test_a_pydantic_error_becomes_one_sentence(arguments, said):
    with pytest.raises(rox.SpecError) as caught:
        Point(**arguments)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert len(message) < 250
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_class_of_pydantic_s_own_can_be_told_too():
    class Plain(BaseModel):
        x: int

    with pytest.raises(ValidationError) as caught:
        Plain(x="a")
    assert str(sentence(caught.value, Plain)).startswith("Plain: 'x' was 'a': ")


def test_a_frozen_record_refuses_every_change():
    point = Point(name="p", x=1)
    for change in (lambda: setattr(point, "x", 2), lambda: setattr(point, "z", 2), lambda: delattr(point, "x")):
        with pytest.raises(rox.SpecError, match=r"A Point never changes: '.' cannot be set or deleted.*replace"):
            change()
    assert point.replace(x=2).x == 2.0
    assert point.x == 1.0


def test_replace_is_checked_and_keeps_what_was_not_given_open():
    point = Point(name="p", x=1)
    assert point.replace() == point
    assert "inner" not in point.replace(x=2).model_fields_set
    with pytest.raises(rox.SpecError, match="no argument 'y'"):
        point.replace(y=1)


def test_a_frozen_mapping_is_a_value():
    one, two = FrozenMapping({"a": 1, "b": 2}), FrozenMapping({"b": 2, "a": 1})
    assert one == two == {"a": 1, "b": 2}
    assert hash(one) == hash(two)
    assert repr(one) == "FrozenMapping({'a': 1, 'b': 2})"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert (len(one), list(one), one.get("z")) == (2, ["a", "b"], None)
    with pytest.raises(TypeError):
        one["a"] = 2


def test_a_misspelt_public_name_is_offered():
    with pytest.raises(AttributeError, match=r"no name 'RoxModle'. Did you mean 'RoxModel'"):
        rox.RoxModle  # noqa: B018


def test_a_message_stays_readable_whatever_it_quotes():
    error = rox.RoxError("x" * 50_000 + "culprit", allowed="y" * 9_000, hint="short")
    assert len(str(error)) < 4_500
    assert "characters left out" in error.problem
    assert error.problem.endswith("culprit")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
