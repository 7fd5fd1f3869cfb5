"""Newton's method with bounds, against scipy's minimisers."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import roxmodel as rox
from roxmodel.estimate.latent.optimizer import minimise
from roxmodel.implied.likelihood import Expansion, Target, expand, half_deviance
from roxmodel.implied.matrices import lay_out, saturated
from roxmodel.spec.parameters import plan

CLOSE = 1e-6  # where two minimisers of a smooth function stop


@dataclass
class Function:
    """A function with its derivatives; the information is that of its convex part."""

    value: object
    gradient: object
    hessian: object

    def expand(self, theta):
        hessian = self.hessian(theta)
        if not len(theta):
            return Expansion(self.value(theta), self.gradient(theta), hessian, hessian)
        values, vectors = np.linalg.eigh(hessian)
        information = (vectors * np.maximum(np.abs(values), 1e-6)) @ vectors.T
        return Expansion(self.value(theta), self.gradient(theta), hessian, information)


def rosenbrock():
    return Function(
        lambda t: float((1 - t[0]) ** 2 + 100 * (t[1] - t[0] ** 2) ** 2),
        lambda t: np.array([-2 * (1 - t[0]) - 400 * t[0] * (t[1] - t[0] ** 2), 200 * (t[1] - t[0] ** 2)]),
        lambda t: np.array([[2 - 400 * (t[1] - 3 * t[0] ** 2), -400 * t[0]], [-400 * t[0], 200.0]]),
    )


def quartic(seed, size):
    rng = np.random.default_rng(seed)
    root, shift = rng.normal(size=(size, size)), 2 * rng.normal(size=size)
    matrix = root @ root.T + 0.1 * np.eye(size)
    return Function(
        lambda t: float(0.5 * (t - shift) @ matrix @ (t - shift) + 0.05 * (t**4).sum()),
        lambda t: matrix @ (t - shift) + 0.2 * t**3,
        lambda t: matrix + np.diag(0.6 * t**2),
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.data())
def test_convex_functions_with_bounds(seed, size, data):
    function = quartic(seed, size)
    bounded = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    lower = np.where(bounded, 0.0, -np.inf)
    start = np.random.default_rng(seed + 1).normal(size=size)
    found = minimise(function, start, lower)
    theirs = minimize(
        function.value, np.maximum(start, lower), jac=function.gradient, method="L-BFGS-B",
        bounds=[(None if np.isinf(low) else low, None) for low in lower], options={"ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert found.converged
    assert (found.theta >= lower).all()
    assert found.expansion.value <= theirs.fun + 1e-9
    np.testing.assert_allclose(found.theta, theirs.x, atol=1e-4)
    gradient = function.gradient(found.theta)
    np.testing.assert_array_equal(found.bound, bounded & (found.theta == 0.0))
    assert np.abs(gradient[~found.bound]).max(initial=0.0) < CLOSE * 10
    assert (gradient[found.bound] >= -CLOSE).all()


@pytest.mark.parametrize("start", [[-1.2, 1.0], [5.0, -20.0], [0.0, 0.0]])
@pytest.mark.parametrize("lower", [[-np.inf, -np.inf], [-np.inf, 1.5], [1.5, -np.inf]])
def test_a_curved_valley(start, lower):
    function = rosenbrock()
    lower = np.array(lower)
    found = minimise(function, np.array(start), lower)
    expected = {-np.inf: [1.0, 1.0]}.get(max(lower))
    if expected is None:
        bounds = [(None if np.isinf(low) else low, None) for low in lower]
        expected = min(
            (minimize(function.value, x, jac=function.gradient, bounds=bounds) for x in ([1.5, 1.5], [-1.5, 2.0])),
            key=lambda one: one.fun,
        ).x
    assert found.converged
    if lower[1] == 1.5 and found.theta[0] < 0:  # the other local optimum, in the other arm of the valley
        assert np.abs(function.gradient(found.theta)[0]) < CLOSE
    else:
        np.testing.assert_allclose(found.theta, expected, atol=1e-4)


def test_it_goes_around_where_the_function_is_not_defined():
    function = Function(
        lambda t: float(t[0] - np.log(t[0])) if t[0] > 0 else np.inf,
        lambda t: np.array([1 - 1 / t[0]]),
        lambda t: np.array([[1 / t[0] ** 2]]),
    )
    found = minimise(function, np.array([60.0]), np.array([-np.inf]))
    assert found.converged
    np.testing.assert_allclose(found.theta, 1.0, rtol=1e-6)


def test_a_saddle_is_left():
    function = Function(
        lambda t: float(t[0] ** 4 - t[0] ** 2 + t[1] ** 2),
        lambda t: np.array([4 * t[0] ** 3 - 2 * t[0], 2 * t[1]]),
        lambda t: np.diag([12 * t[0] ** 2 - 2, 2.0]),
    )
    found = minimise(function, np.array([1e-3, 1.0]), np.full(2, -np.inf))
    assert found.converged
    np.testing.assert_allclose(found.theta, [np.sqrt(0.5), 0.0], atol=1e-6)


def test_no_step_ends_on_a_bound_that_is_not_pushed_against():
    """Newton's step from 60 leads below 0, and the value there is lower; but the function wants to go back up."""
    seen = []
    function = Function(
        lambda t: float(t[0] - 12 * np.log(t[0] + 1)),
        lambda t: np.array([1 - 12 / (t[0] + 1)]),
        lambda t: np.array([[12 / (t[0] + 1) ** 2]]),
    )
    plain = function.expand
    function.expand = lambda t: seen.append(float(t[0])) or plain(t)
    found = minimise(function, np.array([60.0]), np.zeros(1))
    assert found.converged
    assert seen[1] == 0.0  # tried
    assert function.value(np.zeros(1)) < function.value(np.array([60.0]))
    assert next(tried for tried in seen[1:] if tried) > 1.0  # not taken: what follows is a shorter step from 60
    np.testing.assert_allclose(found.theta, 11.0, rtol=1e-6)


def test_a_bound_is_tried_exactly():
    """A trial of -1e-17 instead of 0 gave a likelihood of rounding errors."""
    seen = []
    function = Function(lambda t: float(t.sum() + t @ t), lambda t: 1 + 2 * t, lambda t: 2 * np.eye(len(t)))
    plain = function.expand
    function.expand = lambda t: seen.append(t.copy()) or plain(t)
    lower = np.array([0.0, 0.1, 1 / 3])
    assert minimise(function, np.array([0.3, 0.7, 1e5]), lower).converged
    assert (np.array(seen) >= lower).all()
    np.testing.assert_array_equal(seen[-1], lower)


def test_nothing_free_is_done_at_once():
    function = Function(lambda t: 3.0 + t.sum(), np.ones_like, lambda t: np.outer(t, t))
    found = minimise(function, np.zeros(0), np.zeros(0))
    assert found.converged
    assert found.expansion.value == 3.0


def test_a_function_without_a_minimum_has_not_converged():
    function = Function(lambda t: float(-t.sum()), lambda t: -np.ones_like(t), lambda t: 0.0 * np.outer(t, t))
    found = minimise(function, np.zeros(2), np.full(2, -np.inf), most=30)
    assert not found.converged


def test_all_parameters_at_their_bounds():
    function = Function(lambda t: float(t.sum() + t @ t), lambda t: 1 + 2 * t, lambda t: 2 * np.eye(len(t)))
    found = minimise(function, np.ones(3), np.zeros(3))
    assert found.converged
    assert found.bound.all()
    np.testing.assert_array_equal(found.theta, 0.0)


class Discrepancy:
    def __init__(self, layout, target):
        self.layout, self.target = layout, target

    def value(self, theta):
        return half_deviance(self.layout, theta, self.target)

    def expand(self, theta):
        return expand(self.layout, theta, self.target)


@pytest.mark.parametrize("small", [1.0, 0.05, 1e-3, 1e-5])
def test_a_singular_matrix_has_no_likelihood_in_any_order(small):
    """c is 0.155 a + small b exactly: in one order rounding leaves its own variance, in another that of b."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        own = rng.uniform(0.5, 2, 2)
        mix = np.array([[1.0, 0.0], [0.2, 1.0], [0.155 + 0.2 * small, small]]) * np.sqrt(own)
        sigma = mix @ mix.T
        for order in permutations(range(3)):
            here = sigma[np.ix_(order, order)]
            layout, theta = saturated(("x", "y", "z"), np.ones(3), (np.zeros(3), here))
            target = Target(np.zeros(3), np.eye(3))
            assert half_deviance(layout, theta, target) == np.inf
            assert expand(layout, theta, target).value == np.inf


HEYWOOD = {
    "one factor": ("a =~ a1 + a2 + a3", [[1, 0.8, 0.7], [0.8, 1, 0.3], [0.7, 0.3, 1]]),
    "one factor, four items": (
        "a =~ a1 + a2 + a3 + a4",
        [[1, 0.9, 0.6, 0.5], [0.9, 1, 0.3, 0.4], [0.6, 0.3, 1, 0.2], [0.5, 0.4, 0.2, 1]],
    ),
    "a disturbance": (
        "a =~ a1 + a2\nb =~ b1 + b2\nb ~ a",
        [[1, 0.5, 0.6, 0.6], [0.5, 1, 0.6, 0.6], [0.6, 0.6, 1, 0.5], [0.6, 0.6, 0.5, 1]],
    ),
}


@pytest.mark.parametrize("name", sorted(HEYWOOD))
def test_heywood_cases_stop_where_scipy_stops(name):
    text, matrix = HEYWOOD[name]
    model = rox.RoxModel.from_lavaan(text)
    table = plan(model, "reflective", False)
    items = tuple(item.name for item in model.items)
    layout = lay_out(list(table), (items, model.names), {}, np.ones(len(items)), table.n_free)
    objective = Discrepancy(layout, Target(np.zeros(len(items)), np.array(matrix)))
    start = np.array(
        [0.7 if row.kind == "loading" else 0.3 if row.kind == "edge" else 0.5 for row in table if row.free]
    )
    lower = np.array([-np.inf if row.lower is None else row.lower for row in table if row.free])
    found = minimise(objective, start, lower)
    rng = np.random.default_rng(1)
    theirs = min(
        (
            minimize(
                objective.value, start * rng.uniform(0.6, 1.4, len(start)), jac=lambda t: objective.expand(t).gradient,
                method="SLSQP", bounds=[(None if np.isinf(low) else low, None) for low in lower],
                options={"ftol": 1e-14, "maxiter": 500},
            )
            for _ in range(6)
        ),
        key=lambda one: one.fun if np.isfinite(one.fun) else np.inf,
    )  # fmt: skip
    assert found.converged
    assert found.bound.any()
    assert found.expansion.value == pytest.approx(theirs.fun, abs=1e-7)
    np.testing.assert_allclose(found.theta, theirs.x, atol=1e-3)
