"""Where every parameter stands."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.implied.matrices import (
    DISTURBANCES,
    EDGES,
    ITEM_MEANS,
    LATENT_MEANS,
    LOADINGS,
    RESIDUALS,
    filled,
    implied,
    lay_out,
    place_of,
    saturated,
)
from roxmodel.spec.parameters import plan, residual_of

ITEMS, CONSTRUCTS = ("a1", "a2", "b"), ("a", "B")


def model():
    constructs = [
        rox.Construct(name="a", factor="pride", source="employee", items=["a1", rox.Item(name="a2", loading=0.5)]),
        rox.Construct(name="B", factor="outcomes", source="employee", items=["b"], reliability=0.8),
    ]
    return rox.RoxModel(name="m", constructs=constructs, edges=["a -> B"])


def laid(means=True, given=None):
    table = plan(model(), "reflective", means)
    return table, lay_out(list(table), (ITEMS, CONSTRUCTS), given or {}, np.ones(3), table.n_free)


def test_each_kind_of_parameter_has_its_place():
    table, _ = laid()
    places = {row.id: place_of(row, ITEMS, CONSTRUCTS) for row in table}
    assert places["loading:a=~a2"] == (LOADINGS, 1, 0)
    assert places["edge:a->B"] == (EDGES, 1, 0)
    assert places["variance:a1"] == (RESIDUALS, 0, 0)
    assert places["variance:a"] == (DISTURBANCES, 0, 0)
    assert places["intercept:a2"] == (ITEM_MEANS, 1, 0)
    assert places["intercept:B"] == (LATENT_MEANS, 1, 0)


def test_fixed_and_given_values_stand_in_the_base_and_free_ones_do_not():
    table, layout = laid(given={"variance:b|B": 0.37})
    np.testing.assert_array_equal(layout.base[LOADINGS], [[1, 0], [0.5, 0], [0, 1]])
    assert layout.base[RESIDUALS][2, 2] == 0.37
    assert layout.base[EDGES][1, 0] == 0.0
    assert layout.n_free == table.n_free
    assert sorted(layout.theta) == list(range(table.n_free))
    assert layout.means


def test_theta_lands_where_its_rows_say():
    table, layout = laid()
    theta = np.arange(1.0, table.n_free + 1)
    for row in table:
        if row.free:
            which, i, j = place_of(row, ITEMS, CONSTRUCTS)
            matrix = filled(layout, theta, which)
            assert (matrix[i] if which >= ITEM_MEANS else matrix[i, j]) == row.free


def test_equal_labels_share_a_place_and_their_gradients_add_up():
    text = "a =~ a1 + k*a2 + k*a3"
    table = plan(rox.RoxModel.from_lavaan(text), "reflective", False)
    layout = lay_out(list(table), (("a1", "a2", "a3"), ("a",)), {}, np.ones(3), table.n_free)
    shared = [row.free - 1 for row in table if row.label == "k"]
    assert len(shared) == 2
    assert layout.link.sum(axis=0)[shared[0]] == 2
    assert len(layout.theta) == table.n_free + 1


def test_covariances_are_symmetric():
    table = plan(rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\na1 ~~ 0.2*b1\na2 ~~ b2"))
    names = (("a1", "a2", "a3", "b1", "b2", "b3"), ("a", "b"))
    layout = lay_out(list(table), names, {}, np.ones(6), table.n_free)
    theta = np.random.default_rng(1).uniform(0.1, 1, table.n_free)
    for which in (DISTURBANCES, RESIDUALS):
        matrix = filled(layout, theta, which)
        np.testing.assert_array_equal(matrix, matrix.T)
    assert filled(layout, theta, RESIDUALS)[0, 3] == 0.2


def test_an_item_may_bear_the_name_of_its_construct():
    constructs = [rox.Construct(name=n, factor="outcomes", source="employee", items=[n]) for n in ("x", "y")]
    table = plan(rox.RoxModel(name="m", constructs=constructs, edges=["x -> y"]), "reflective", False)
    kinds = {row.id: residual_of(row, ("x", "y")) for row in table.of("variance")}
    assert kinds == {"variance:x|x": True, "variance:y|y": True, "variance:x": False, "variance:y": False}


def test_a_definition_stands_in_no_matrix():
    table = plan(rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ k*a\nd := k * k"))
    with pytest.raises(ValueError, match="stands in no matrix"):
        place_of(table.of("defined")[0], ("a1",), ("a", "b"))


def test_a_lagged_edge_stands_in_no_matrix():
    constructs = [rox.Construct(name=n, factor="outcomes", source="employee", items=[n]) for n in ("x", "y")]
    edges = [rox.Edge(cause="x", effect="y"), rox.Edge(cause="y", effect="x", lag=1, fixed=0.3)]
    table = plan(rox.RoxModel(name="m", constructs=constructs, edges=edges), "reflective", False)
    layout = lay_out(list(table), (("x", "y"), ("x", "y")), {}, np.ones(2), table.n_free)
    assert layout.base[EDGES][0, 1] == 0.0


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("given", [(), (1, 3)])
def test_the_saturated_model_reproduces_any_moments(means, given):
    rng = np.random.default_rng(2)
    scale = np.array([1.0, 100.0, 1e-3, 7.0])
    root = rng.normal(size=(4, 4))
    known = (rng.normal(size=4), root @ root.T + np.eye(4))
    layout, theta = saturated(("p", "q", "r", "s"), scale, known, means=means, given=given)
    at = implied(layout, theta)
    np.testing.assert_allclose(at.sigma, known[1], rtol=1e-12)
    np.testing.assert_allclose(at.mu, known[0] if means else np.zeros(4), rtol=1e-12)
    q = len(given)
    assert layout.n_free == 10 - q * (q + 1) // 2 + (4 - q if means else 0)


def test_the_baseline_keeps_variances_and_what_is_given():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(3, 3))
    known = (np.zeros(3), root @ root.T + np.eye(3))
    layout, theta = saturated(("p", "q", "r"), np.ones(3), known, diagonal=True, means=False, given=(0, 2))
    expected = np.diag(np.diag(known[1]))
    expected[0, 2] = expected[2, 0] = known[1][0, 2]
    np.testing.assert_allclose(implied(layout, theta).sigma, expected, rtol=1e-12)
