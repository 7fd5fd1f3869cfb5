"""Defined parameters: arithmetic over labels, and nothing else."""

import numpy as np
import pytest

from roxmodel.errors import SpecError
from roxmodel.spec.definitions import check_definitions, evaluate, in_order, names_in


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("a * b", ["a", "b"]),
        ("a*b + a", ["a", "b"]),
        ("  -a ^ 2 / (b - 1e3)", ["a", "b"]),
        ("exp(a) + log(b) - sqrt(abs(c))", ["a", "b", "c"]),
        ("c.prime + ind.eff.2", ["c.prime", "ind.eff.2"]),
        ("µ * β", ["µ", "β"]),
        ("a +\n b", ["a", "b"]),
        ("2", []),
    ],
)
def test_names_are_found_in_their_own_spelling(expression, names):
    assert names_in("q", expression) == names


@pytest.mark.parametrize(
    ("expression", "culprit"),
    [
        ("", r"at character \d"),
        ("a b", r"at character \d"),
        ("a ^ ^ b", r"at character \d"),
        ("a ** (b", r"at character \d"),
        ("  a b", r"at character \d"),
        ("in * b", r"at character \d"),
        ("lambda: 1", "'lambda: 1', which is not read"),
        ("a == b", "'a == b', which is not read"),
        ("a[0]", r"'a\[0\]', which is not read"),
        ("a.b(2)", r"'a.b\(2\)', which is not read"),
        ("exp(a, b)", r"'exp\(a, b\)', which is not read"),
        ("sin(a)", r"'sin\(a\)', which is not read"),
        ("__import__('os')", "which is not read"),
        ("True", "'True', which is not read"),
        ("1j", "'1j', which is not read"),
        ("9" * 400, "which is not read"),
        ("\x00", r"at character \d"),
    ],
)
def test_anything_else_is_refused(expression, culprit):
    with pytest.raises(SpecError, match=f"definition 'q' = .*{culprit}"):
        names_in("q", expression)


def test_values_keep_the_shape_of_the_draws():
    labels = {"a": np.array([2.0, 3.0]), "c.p": np.array([1.0, 4.0])}
    found = evaluate({"q": "-a ^ 2 + c.p", "twice": "2 * q", "two": "2"}, labels)
    np.testing.assert_allclose(found["q"], [-3.0, -5.0])
    np.testing.assert_allclose(found["twice"], [-6.0, -10.0])
    np.testing.assert_allclose(found["two"], [2.0, 2.0])
    assert list(found) == ["q", "twice", "two"]


def test_impossible_arithmetic_is_nan_not_a_warning():
    assert np.isnan(evaluate({"q": "log(a)"}, {"a": np.array([-1.0])})["q"][0])
    assert np.isinf(evaluate({"q": "1 / a"}, {"a": np.array([0.0])})["q"][0])


@pytest.mark.parametrize("order", [("ab", "total", "half"), ("half", "total", "ab"), ("total", "half", "ab")])
def test_the_order_of_definitions_means_nothing(order):
    every = {"ab": "a*b", "total": "c + ab", "half": "total / 2"}
    labels = {"a": np.array([2.0]), "b": np.array([3.0]), "c": np.array([1.0])}
    definitions = {name: every[name] for name in order}
    check_definitions(definitions, labels)
    found = evaluate(definitions, labels)
    assert list(found) == list(order)
    assert {name: float(value[0]) for name, value in found.items()} == {"ab": 6.0, "total": 7.0, "half": 3.5}
    assert in_order(definitions) == ("ab", "total", "half")


def test_definitions_that_need_none_before_them_keep_their_order():
    assert in_order({"z": "a", "y": "b", "x": "a*b"}) == ("z", "y", "x")
    long = {f"d{i}": f"d{i + 1} + 1" for i in range(3000)} | {"d3000": "a"}
    assert float(evaluate(long, {"a": np.array([1.0])})["d0"][0]) == 3001.0


@pytest.mark.parametrize(
    ("definitions", "said"),
    [
        ({"q": "q * 2"}, "definition 'q' = 'q \\* 2' uses itself"),
        ({"r": "q", "q": "a + r"}, "circle: 'r' uses 'q' uses 'r'"),
        ({"top": "p", "p": "q", "q": "r", "r": "p"}, "circle: 'p' uses 'q' uses 'r' uses 'p'"),
        ({"total": "a + abb", "ab": "a*2"}, "uses 'abb', which labels no parameter. Did you mean 'ab'"),
        ({"q": "aple", "apple": "a"}, "uses 'aple'.*Did you mean 'apple'"),
    ],
)
def test_circles_and_misspellings_are_refused(definitions, said):
    with pytest.raises(SpecError, match=said):
        check_definitions(definitions, ["a"])


def test_a_long_sum_is_one_step_and_a_deep_nest_is_refused():
    long = " + ".join(["a"] * 800) + " - a * b"
    assert names_in("q", long) == ["a", "b"]
    value = evaluate({"q": long}, {"a": np.array([2.0]), "b": np.array([3.0])})["q"]
    assert value.tolist() == [1_594.0]
    for deep in ("-" * 200 + "a", "exp(" * 101 + "a" + ")" * 101, "a**" * 200 + "a", "+".join(["a"] * 20_000)):
        with pytest.raises(SpecError, match="too long or nested too deeply"):
            names_in("q", deep)


@pytest.mark.parametrize(
    "text", ["a - b - a", "a - (b - a)", "a / b / a * b", "a ** b ** 2", "-a ** 2", "a + b * a - b / 2"]
)
def test_chains_are_read_from_the_left_as_python_reads_them(text):
    found = evaluate({"q": text}, {"a": np.array([2.0]), "b": np.array([3.0])})["q"]
    assert found.tolist() == [eval(text, {"a": 2.0, "b": 3.0})]
