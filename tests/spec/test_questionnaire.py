"""Items and scales: what is accepted, what is refused, and in which words."""

import numpy as np
import pytest

import roxmodel as rox


def test_likert_by_position_and_by_name():
    assert rox.Likert(1, 5) == rox.Likert(low=1, high=5)
    assert rox.Likert(1, 5).ends == (1.0, 5.0)
    assert rox.Likert(1, 5).integer
    assert not rox.Likert(1, 5, whole=False).integer
    assert str(rox.Likert(0, 10)) == "Likert(0, 10)"


def test_numpy_scalars_become_plain_numbers_and_text():
    scale = rox.Likert(np.int64(1), np.float32(5))
    assert scale == rox.Likert(1, 5)
    assert type(scale.high) is float
    item = rox.Item(name=np.str_("pri1"), loading=np.int64(2))
    assert (type(item.name), type(item.loading)) == (str, float)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"low": 5, "high": 1}, r"Likert\(5, 1\) has no width"),
        ({"low": 1, "high": 1}, r"Likert\(1, 1\) has no width"),
        ({"low": 0.5, "high": 5}, "whole=False"),
        ({"low": True, "high": 5}, "'low' was True: a number was expected"),
        ({"low": 1, "high": np.True_}, "'high' was .*True.*: a number was expected"),
        ({"low": "1", "high": 5}, "'low' was '1': a number was expected"),
        ({"low": float("nan"), "high": 5}, "'low' was nan: a finite number"),
        ({"low": 1, "high": float("inf")}, "'high' was inf: a finite number"),
        ({"low": 1}, "needs 'high'"),
        ({}, "needs 'low'"),
        ({"low": 1, "hgh": 5}, "no argument 'hgh'. Did you mean 'high'"),
        ({"low": 1, "high": 3, "labels": ["no", "yes"]}, r"Likert\(1, 3\) has 3 points but 2 labels"),
        ({"low": 1, "high": 2.5, "whole": False, "labels": ["no", "yes"]}, "2.5 points but 2 labels"),
        ({"low": 1, "high": 3, "labels": ["no", "no", "yes"]}, "label twice"),
        ({"low": 1, "high": 3, "labels": "abc"}, "'labels' was 'abc'"),
        ({"low": 1, "high": 3, "kind": "nps"}, "'kind' was 'nps'"),
    ],
)
def test_a_wrong_likert_is_named(arguments, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.Likert(**arguments)


def test_labels_map_to_codes_in_order():
    assert rox.Likert(0, 2, labels=["no", "partly", "yes"]).codes == {"no": 0.0, "partly": 1.0, "yes": 2.0}
    assert rox.Likert(1, 5).codes == {}


@pytest.mark.parametrize(
    ("scale", "ends", "integer"),
    [
        (rox.NPS(), (0.0, 10.0), True),
        (rox.Percent(), (0.0, 100.0), False),
        (rox.Binary(), (0.0, 1.0), True),
        (rox.Count(), (0.0, None), True),
        (rox.Amount(), (None, None), False),
        (rox.Amount("CHF"), (None, None), False),
    ],
    ids=str,
)
def test_ends_of_scales(scale, ends, integer):
    assert scale.ends == ends
    assert scale.integer is integer
    assert dict(scale.codes) == {}
    assert rox.Item(name="x", scale=scale).ends == ends


def test_amounts_differ_by_unit_and_scales_can_be_hashed():
    assert rox.Amount("CHF") != rox.Amount(unit="EUR")
    assert str(rox.Amount("CHF")) == "Amount('CHF')"
    assert len({rox.NPS(), rox.NPS(), rox.Likert(1, 5), rox.Likert(1, 5, labels=list("abcde"))}) == 3


def test_a_scale_constant_cannot_be_given():
    with pytest.raises(rox.SpecError, match="Percent has no argument 'ends'"):
        rox.Percent(ends=(0, 1))


def test_an_item_without_a_scale_has_no_ends():
    assert rox.Item(name="x").ends == (None, None)


@pytest.mark.parametrize(
    ("item", "reading"),
    [
        (rox.Item(name="x"), (1.0, 0.0)),
        (rox.Item(name="x", reverse=True), (-1.0, 0.0)),
        (rox.Item(name="x", scale=rox.Likert(1, 7), reverse=True), (-1.0, 8.0)),
        (rox.Item(name="x", scale=rox.Count(), reverse=True), (-1.0, 0.0)),
    ],
)
def test_reading_of_an_answer(item, reading):
    assert item.reading == reading


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"name": ""}, "needs a name; got ''"),
        ({"name": "  "}, "needs a name; got '  '"),
        ({"name": 5}, "'name' was 5"),
        ({}, "Item needs 'name'"),
        ({"nme": "x"}, "no argument 'nme'. Did you mean 'name'"),
        ({"name": "x", "revers": True}, "Item.*'x'.* has no argument 'revers'. Did you mean 'reverse'"),
        ({"name": "x", "scale": rox.NPS}, r"'x'.*write rox.NPS\(\) with brackets"),
        ({"name": "x", "scale": "likert"}, "'x'.*'scale' was 'likert'.*a scale was expected.*rox.Likert"),
        ({"name": "x", "scale": 5}, "'scale' was 5"),
        ({"name": "x", "scale": {"kind": "lickert"}}, "'x'.*no scale is of the kind 'lickert'.*'likert'"),
        ({"name": "x", "scale": {"low": 1, "high": 5}}, "no scale is of the kind None"),
        ({"name": "x", "scale": {"kind": "likert", "low": 5, "high": 1}}, "has no width"),
        ({"name": "x", "loading": True}, "'loading' was True: a number or a label"),
        ({"name": "x", "loading": float("nan")}, "'loading' was nan: a finite number"),
        ({"name": "x", "loading": ""}, "'loading' was '': a label"),
        ({"name": "x", "loading": [1]}, r"'loading' was \[1\]"),
        ({"name": "x", "start": "0.5"}, "'start' was '0.5': a number"),
    ],
)
def test_a_wrong_item_is_named(arguments, culprit):
    with pytest.raises(rox.SpecError, match=culprit):
        rox.Item(**arguments)


def test_a_loading_is_a_number_or_a_label():
    assert rox.Item(name="x", loading=1).loading == 1.0
    assert rox.Item(name="x", loading="a").loading == "a"


def test_items_never_change():
    item = rox.Item(name="x", scale=rox.Likert(1, 5))
    with pytest.raises(rox.SpecError, match="'name' cannot be set"):
        item.name = "y"
    with pytest.raises(rox.SpecError, match="'low' cannot be set"):
        item.scale.low = 0
    with pytest.raises(rox.SpecError, match="'scale' cannot be set or deleted"):
        del item.scale
    with pytest.raises(rox.SpecError, match="'colour' cannot be set"):
        item.colour = "red"
    assert item.replace(name="y") == rox.Item(name="y", scale=rox.Likert(1, 5))


@pytest.mark.parametrize("free", [True, False])
def test_a_fixed_loading_is_not_free(free):
    with pytest.raises(rox.SpecError, match=f"Item 'x' has free={free} and its loading fixed to 2. Leave out one"):
        rox.Item(name="x", loading=2, free=free)


def test_only_the_first_item_can_be_the_marker():
    items = ["a1", rox.Item(name="a2", loading="l", free=False)]
    with pytest.raises(rox.SpecError, match="'a' has free=False at 'a2', which is not its first item"):
        rox.Construct(name="a", factor="context", source="unit", items=items)
