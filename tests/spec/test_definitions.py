"""Defined parameters: arithmetic over labels, and nothing else."""

import numpy as np
import pytest

from roxmodel.errors import SpecError
from roxmodel.spec.definitions import check_definitions, evaluate, names_in


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


def test_a_definition_may_use_the_ones_before_it():
    check_definitions({"q": "a", "r": "q * 2"}, ["a"])
    with pytest.raises(SpecError, match=r"definition 'r' = 'q . 2' uses 'q'"):
        check_definitions({"r": "q * 2", "q": "a"}, ["a"])
    with pytest.raises(SpecError, match=r"uses 'aple'.*Did you mean 'apple'"):
        check_definitions({"q": "aple"}, ["apple"])


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
