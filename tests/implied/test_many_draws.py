"""The gradient by small matrices is the gradient by large ones."""

import numpy as np
import pytest

from roxmodel.implied.curvature import is_diagonal, slope_diagonal
from roxmodel.implied.likelihood import Target, slope

EXACT = 1e-9  # two orders of the same sums


@pytest.mark.parametrize("text", ["plain", "loop"])
@pytest.mark.parametrize("options", [{}, {"scaling": "standardized"}])
def test_both_gradients_agree(cases, rng, text, options):
    make, plain, _ = cases
    loop = "a =~ a1 + a2 + a3\nb =~ b1 + k*b2 + k*b3\nc =~ c1 + 0.9*c2 + c3\na ~ b\nb ~ c\nc ~ a"
    case = make(plain if text == "plain" else loop, **options)
    layout, target = case.layouts[0], case.targets[0]
    assert is_diagonal(layout)
    theta = case.around(rng, 7)
    covariance = np.repeat(target.covariance[None], 7, axis=0) * rng.uniform(0.8, 1.2, (7, 1, 1))
    found = slope_diagonal(layout, theta, covariance)
    many = Target(np.repeat(target.mean[None], 7, axis=0), covariance)
    expected = slope(layout, theta, many)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=EXACT * np.abs(expected).max())


def test_negative_residuals_are_no_trouble(cases, rng):
    make, plain, _ = cases
    case = make(plain)
    layout, target = case.layouts[0], case.targets[0]
    theta = case.start.copy()
    theta[layout.theta[(layout.matrix == 3)][0]] *= -0.05
    found = slope_diagonal(layout, theta[None], target.covariance[None])
    expected = slope(layout, theta[None], Target(target.mean[None], target.covariance[None]))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=EXACT * np.abs(expected).max())


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("a =~ a1 + a2 + a3", {}, True),
        ("a =~ a1 + a2 + a3\na1 ~~ a2", {}, False),
        ("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\na1 ~~ 0.1*b1", {}, False),
        ("a =~ a1 + a2 + a3", {"means": True}, False),
        ("a =~ a1 + a2 + a3\na ~ x1", {}, False),  # the residual of an observed variable is 0
        ("a =~ a1 + a2 + a3\na1 ~~ 0.2*a1", {}, True),
        ("a =~ a1 + a2 + a3\na1 ~~ 0*a1", {}, False),
    ],
)
def test_what_is_diagonal(cases, text, options, expected):
    assert is_diagonal(cases[0](text, **options).layouts[0]) is expected
