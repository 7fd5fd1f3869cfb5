"""Constructs, edges and covariances by themselves."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox


def construct(**changes):
    return rox.Construct(**{"name": "pride", "factor": "pride", "source": "employee", "items": ["p1", "p2"]} | changes)


@pytest.mark.parametrize(
    "items",
    [["p1", "p2"], ("p1", rox.Item(name="p2")), np.array(["p1", "p2"]), pd.Index(["p1", "p2"]), [{"name": "p1"}, "p2"]],
)
def test_items_come_in_many_shapes(items):
    made = construct(items=items)
    assert made == construct()
    assert [type(name) for name in made.item_names] == [str, str]


def test_one_item_may_stand_alone():
    assert construct(items="p1") == construct(items=["p1"]) == construct(items=rox.Item(name="p1"))


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"items": []}, "Construct 'pride' has no items: nobody measures it"),
        ({"items": None}, "'pride' has no items: nobody measures it"),
        ({"items": {"p1", "p2"}}, "'pride' has items=.*marker first"),
        ({"items": {"p1": 1}}, "'pride' has items=.*Allowed: a list of column names"),
        ({"items": 5}, "'pride' has items=5"),
        ({"items": b"p1"}, "'pride' has items=b'p1'"),
        ({"items": ["p1", 5]}, "'pride'.*'items.1' was 5: a rox.Item was expected"),
        ({"items": [""]}, "needs a name; got ''"),
        ({"items": [{"name": "p1", "revers": True}]}, "no argument 'revers'. Did you mean 'reverse'"),
        ({"name": ""}, "got ''"),
        ({"name": " pride"}, "without blanks at its ends; got ' pride'"),
        ({"name": 5}, "'name' was 5"),
        ({"factor": "prid"}, "'pride' has the factor 'prid'.*Allowed: pride.*Did you mean 'pride'"),
        ({"factor": None}, "'pride' has the factor None"),
        ({"source": None}, "'pride' has the source None: every construct has exactly one source"),
        ({"source": ["employee", "customer"]}, r"'pride' has the source \['employee', 'customer'\].*one source.*Split"),
        ({"source": ""}, "'pride' has the source ''"),
        ({"source": "employee "}, "'pride' has the source 'employee '"),
        ({"scale": rox.NPS}, r"'pride'.*write rox.NPS\(\)"),
        ({"residuals": "fre"}, "'pride'.*'residuals' was 'fre'"),
        ({"items": ["p1"], "reliability": 0}, "'pride' has reliability 0"),
        ({"items": ["p1"], "reliability": 1.1}, "'pride' has reliability 1.1"),
        ({"items": ["p1"], "reliability": True}, "'reliability' was True"),
        ({"items": ["p1"], "reliability": float("nan")}, "'reliability' was nan"),
        ({"reliability": 0.8}, "'pride' has 2 items and a stated reliability"),
        ({"itms": ["p1"]}, "'pride'.* has no argument 'itms'. Did you mean 'items'"),
    ],
)
def test_a_wrong_construct_is_named(changes, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        construct(**changes)


@pytest.mark.parametrize(
    ("right", "wrong"), [("name", "nam"), ("factor", "factr"), ("source", "sorce"), ("items", "item")]
)
def test_a_misspelt_argument_is_told_before_the_missing_one(right, wrong):
    values = {"name": "pride", "factor": "pride", "source": "employee", "items": ["p1"]}
    values[wrong] = values.pop(right)
    with pytest.raises(rox.SpecError, match=f"no argument '{wrong}'. Did you mean '{right}'"):
        rox.Construct(**values)


@pytest.mark.parametrize("missing", ["name", "factor", "source"])
def test_a_missing_argument_is_named(missing):
    values = {"name": "pride", "factor": "pride", "source": "employee", "items": ["p1"]}
    del values[missing]
    with pytest.raises(rox.SpecError, match=f"needs '{missing}'"):
        rox.Construct(**values)


def test_the_scale_goes_to_items_without_one():
    own = rox.Item(name="p2", scale=rox.NPS())
    made = construct(items=["p1", own], scale=rox.Likert(1, 7))
    assert [item.scale for item in made.items] == [rox.Likert(1, 7), rox.NPS()]
    assert made.ends == (0.5, 8.5)
    assert construct(items=["p1", own]).ends == (None, None)


def test_replace_passes_a_new_scale_on_to_the_items_that_had_the_old_one():
    made = construct(items=["p1", rox.Item(name="p2", scale=rox.NPS())], scale=rox.Likert(1, 7))
    changed = made.replace(scale=rox.Likert(1, 5))
    assert [item.scale for item in changed.items] == [rox.Likert(1, 5), rox.NPS()]
    assert [item.scale for item in made.replace(scale=None).items] == [None, rox.NPS()]
    assert [item.scale for item in made.replace(items=["q1"]).items] == [rox.Likert(1, 7)]
    assert made.replace(name="x").items == made.items


def test_replace_is_checked():
    with pytest.raises(rox.SpecError, match="'pride' has no items"):
        construct().replace(items=[])
    with pytest.raises(rox.SpecError, match="no argument 'itms'"):
        construct().replace(itms=[])


def test_observed_means_one_item_without_error():
    assert construct(items=["p1"]).observed
    assert construct(items=["p1"], reliability=1).observed
    assert not construct(items=["p1"], reliability=0.8).observed
    assert not construct().observed


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"lag": -1}, "a -> b has lag -1"),
        ({"lag": 1.5}, "'a'.*'b'.*'lag' was 1.5"),
        ({"lag": True}, "'lag' was True"),
        ({"fixed": float("nan")}, "'a'.*'b'.*'fixed' was nan"),
        ({"fixed": float("inf")}, "'fixed' was inf"),
        ({"fixed": True}, "'fixed' was True"),
        ({"start": "x"}, "'start' was 'x'"),
        ({"label": ""}, "'label' was ''"),
        ({"label": " a"}, "'label' was ' a'"),
        ({"expected": "postive"}, "'expected' was 'postive': .*'positive' or 'negative'"),
        ({"effect": "a"}, "a -> a lets a construct cause itself within the wave"),
        ({"efect": "b"}, "no argument 'efect'. Did you mean 'effect'"),
    ],
)
def test_a_wrong_edge_is_named(changes, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.Edge(**{"cause": "a", "effect": "b"} | changes)


def test_an_edge_takes_numpy_scalars_and_weird_names():
    edge = rox.Edge(cause=np.str_("a -> 'b'"), effect="c", lag=np.int64(2), fixed=np.float32(0.5))
    assert (type(edge.cause), type(edge.lag), type(edge.fixed)) == (str, int, float)
    assert str(edge) == "\"a -> 'b'\" -> c"


def test_a_construct_may_act_on_itself_later():
    assert rox.Edge(cause="a", effect="a", lag=1, fixed=0.5).lag == 1


def test_minus_zero_is_zero():
    assert rox.Edge(cause="a", effect="b", fixed=-0.0).model_dump_json() == (
        rox.Edge(cause="a", effect="b", fixed=0.0).model_dump_json()
    )


def test_a_covariance_reads_as_an_arrow_with_two_heads():
    assert str(rox.Covariance(left="a", right="b")) == "a <-> b"
    with pytest.raises(rox.SpecError, match="needs 'right'"):
        rox.Covariance(left="a")
