"""Weighted least squares on ordinal items: derivatives, refits, what is laid down by the way items are measured."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import roxmodel as rox
from roxmodel.errors import RoxError, SpecError
from roxmodel.estimate.sem.categorical import categories_of, ordinal_items, refit_categorical, solve_categorical
from roxmodel.estimate.sem.options import Options
from roxmodel.estimate.sem.weighted import covariance_part

NUMERIC = 2e-6  # central differences, steps of 1e-5
TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a\na1 ~~ b1"
NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]
MODEL = rox.RoxModel.from_lavaan(TEXT)


def answers(n=300, seed=1, continuous=()):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) * [1, 0.9, 0.8, 1, 1.1, 0.7] + 0.8 * rng.normal(size=(n, 6))
    frame = pd.DataFrame(rows, columns=NAMES)
    cuts = {"a1": [0], "a2": [-1, 0.3], "a3": [-1, 0, 1], "b1": [0.2], "b2": [-1, -0.2, 1, 1.6], "b3": [-1, 1]}
    for name in NAMES:
        frame[name] = frame[name] * 50 if name in continuous else np.digitize(frame[name], cuts[name]) * 1.0
    return frame


def solved(frame, model=MODEL, ordered=True, **options):
    return solve_categorical(model, frame, Options(estimator="DWLS", se="robust", ordered=ordered, **options))


def numeric(function, theta, step=1e-5):
    moves = step * np.eye(len(theta))
    return np.stack([(function(theta + m) - function(theta - m)) / (2 * step) for m in moves], axis=-1)


@pytest.mark.parametrize("continuous", [(), ("a2", "b3")])
@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_derivatives(continuous, scaling):
    frame = answers(continuous=continuous)
    ordered = [name for name in NAMES if name not in continuous]
    found = solved(frame, ordered=ordered, scaling=scaling)
    sample_moments = categories_of(MODEL, found.sample, ordinal_items(MODEL, ordered))
    part = covariance_part(found.layout, sample_moments)
    theta = found.found.theta * np.random.default_rng(2).uniform(0.9, 1.1, len(found.found.theta))
    at = part.expand(theta)
    assert at.value == part.value(theta) > 0
    size = np.maximum(np.abs(theta), 1e-3)
    gradient = numeric(lambda t: part.value(t * size), theta / size)
    hessian = numeric(lambda t: part.expand(t * size).gradient * size, theta / size)
    largest = np.abs(at.hessian * np.outer(size, size)).max()
    np.testing.assert_allclose(at.gradient * size, gradient, rtol=1e-5, atol=NUMERIC * largest)
    np.testing.assert_allclose(at.hessian * np.outer(size, size), hessian, rtol=1e-5, atol=NUMERIC * largest)
    jacobian = part.jacobian(theta)
    np.testing.assert_allclose(at.information, jacobian.T @ (part.weights[:, None] * jacobian), rtol=1e-9)


def test_the_optimum_is_scipys():
    frame = answers()
    found = solved(frame)
    part = covariance_part(found.layout, categories_of(MODEL, found.sample, ordinal_items(MODEL, True)))
    moving = np.flatnonzero(np.abs(part.jacobian(found.found.theta)).sum(axis=0) > 0)

    def value(some):
        theta = found.found.theta.copy()
        theta[moving] = some
        return part.value(theta)

    theirs = minimize(value, found.found.theta[moving] * 0.9, method="BFGS", options={"gtol": 1e-8})
    assert part.value(found.found.theta) <= theirs.fun + 1e-9
    np.testing.assert_allclose(found.found.theta[moving], theirs.x, atol=1e-3)


def test_a_refit_with_the_same_counts_is_the_estimate():
    frame = answers()
    found = solved(frame)
    again = refit_categorical(MODEL, found, np.ones(len(frame)), ordinal_items(MODEL, True))
    np.testing.assert_allclose(again, found.found.theta, atol=1e-7)


def test_a_refit_that_lost_a_category_is_told():
    frame = answers()
    frame.loc[0, "a1"] = 2.0
    found = solved(frame)
    weights = np.ones(len(frame))
    weights[0] = 0.0
    assert np.isnan(refit_categorical(MODEL, found, weights, ordinal_items(MODEL, True))).all()


def test_residuals_are_what_constructs_leave_of_one():
    fit = rox.fit(MODEL, answers(), method="sem", estimator="DWLS", ordered=True)
    table = fit.parameters().set_index("id")
    for item in NAMES:
        loading = table.loc[f"loading:{item[0]}=~{item}", "estimate"]
        own = table.loc[f"variance:{item}", "estimate"]
        variance = table.loc["variance:a", "estimate"]
        if item[0] == "b":
            variance = table.loc["edge:a->b", "estimate"] ** 2 * variance + table.loc["variance:b", "estimate"]
        assert own == pytest.approx(1 - loading**2 * variance, abs=1e-9)


def test_coding_of_the_answers_does_not_matter():
    frame = answers()
    coded = frame.replace({0.0: -7.0, 1.0: 2.0, 2.0: 3.5, 3.0: 10.0, 4.0: 11.0})
    one, two = (
        rox.fit(MODEL, f, method="sem", estimator="DWLS", ordered=True).parameters()["estimate"] for f in (frame, coded)
    )
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def test_units_of_continuous_items_do_not_matter():
    ordered = ["a1", "a3", "b1", "b2", "b3"]
    frame = answers(continuous=("a2",))
    one, two = (
        rox.fit(MODEL, f, method="sem", estimator="DWLS", ordered=ordered).indices()["chisq"]
        for f in (frame, frame.assign(a2=frame["a2"] * 1e6 + 3))
    )
    assert one == pytest.approx(two, rel=1e-6)


def test_which_items_are_ordinal():
    constructs = [
        rox.Construct(name="a", factor="pride", source="employee", items=NAMES[:3], scale=rox.Likert(1, 5)),
        rox.Construct(name="b", factor="outcomes", source="employee", items=NAMES[3:], scale=rox.Amount()),
    ]
    model = rox.RoxModel(name="m", constructs=constructs, edges=["a -> b"])
    np.testing.assert_array_equal(ordinal_items(model, None), [True] * 3 + [False] * 3)
    assert ordinal_items(model, True).all()
    assert ordinal_items(model, "b1").sum() == 1
    np.testing.assert_array_equal(ordinal_items(model, ["a1", "b1"]), [True, False, False, True, False, False])
    with pytest.raises(RoxError, match="'a4', which is no item"):
        ordinal_items(model, ["a4"])
    with pytest.raises(RoxError, match="which is no item"):
        ordinal_items(model, [4])
    with pytest.raises(RoxError, match="no item has a scale of ordered answers"):
        ordinal_items(MODEL, None)


def test_a_single_ordinal_item_amid_the_graph_is_refused():
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb1 ~ a\nb2 ~ b1").replace(exogenous="free")
    with pytest.raises(SpecError, match="stands amid the graph"):
        solved(answers(), model)
