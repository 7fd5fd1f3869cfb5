"""The graph as matrices: coefficients, total effects, implied covariances, roots; standardised values."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError
from roxmodel.result.system import implied_covariance, root_of, system_of, total_effects
from roxmodel.spec.parameters import plan

EXACT = {"rtol": 1e-10, "atol": 1e-12}  # algebra in double precision


def construct(name, items=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=items or [name])


def model(edges, names="abcd", **options):
    return rox.RoxModel(name="m", constructs=[construct(n) for n in names], edges=list(edges), **options)


def frame(n=100, seed=1):
    rng = np.random.default_rng(seed)
    a, x = rng.normal(size=(2, n))
    b = 0.5 * a + rng.normal(size=n)
    c = 0.4 * b - x + rng.normal(size=n)
    return pd.DataFrame({"a": a + 5, "b": b, "c": c + 2, "d": 0.3 * c + a + rng.normal(size=n), "x": x})


def test_total_effects_are_sums_over_all_paths():
    rng = np.random.default_rng(0)
    coefficients = np.tril(rng.normal(size=(7, 5, 5)), -1)
    powers = [np.broadcast_to(np.eye(5), (7, 5, 5))]
    for _ in range(4):
        powers.append(powers[-1] @ coefficients)
    np.testing.assert_allclose(total_effects(coefficients), sum(powers), **EXACT)


def test_a_loop_without_equilibrium_is_refused():
    with pytest.raises(EstimationError, match="gain of exactly 1"):
        total_effects(np.array([[[0.0, 2.0], [0.5, 0.0]]]))


def test_a_system_holds_every_draw_in_the_models_order():
    edges = [
        "a -> b",
        "b -> c",
        rox.Edge(cause="a", effect="d", fixed=0.7),
        rox.Edge(cause="d", effect="a", lag=2, fixed=0.2),
    ]
    fit = rox.fit(model(edges), frame(), method="path")
    theta = fit.draws(6, seed=1)
    system = fit.system(theta)
    assert system.names == tuple("abcd")
    assert system.coefficients.shape == (6, 4, 4)
    np.testing.assert_array_equal(system.coefficients[:, 1, 0], theta[:, fit.table.row("edge:a->b").free - 1])
    assert (system.coefficients[:, 3, 0] == 0.7).all()
    assert np.count_nonzero(system.coefficients[0]) == 3
    assert system.lags == (2,)
    assert system.lagged.shape == (6, 1, 4, 4)
    assert (system.lagged[:, 0, 0, 3] == 0.2).all()
    assert np.count_nonzero(system.lagged[0]) == 1
    np.testing.assert_array_equal(system.intercepts[:, 2], theta[:, fit.table.row("intercept:c").free - 1])
    part = system.only(slice(2, 5))
    np.testing.assert_array_equal(part.coefficients, system.coefficients[2:5])
    np.testing.assert_array_equal(part.intercepts, system.intercepts[2:5])
    np.testing.assert_array_equal(part.lagged, system.lagged[2:5])
    order = [system.names[i] for i in system.order]
    assert order.index("a") < order.index("b") < order.index("c")
    assert system.linear


def test_an_edge_over_waves_that_is_estimated_is_drawn_like_any_other():
    """No estimator has waves yet; the table and the matrices have them."""
    later = [rox.Edge(cause="c", effect="a", lag=2), rox.Edge(cause="b", effect="a", lag=2, fixed=0.3)]
    graph = model(["a -> b", "b -> c", *later, rox.Edge(cause="a", effect="a", lag=1)], "abc")
    table = plan(graph)
    theta = np.random.default_rng(3).normal(size=(5, table.n_free))
    system = system_of(graph, table, theta, ("linear",) * 3)
    assert system.lags == (1, 2)
    expected = np.zeros((5, 2, 3, 3))
    expected[:, 0, 0, 0] = theta[:, table.row("edge:a->a@lag1").free - 1]
    expected[:, 1, 0, 2] = theta[:, table.row("edge:c->a@lag2").free - 1]
    expected[:, 1, 0, 1] = 0.3
    np.testing.assert_array_equal(system.lagged, expected)
    np.testing.assert_array_equal(system.only(np.array([4, 0])).lagged, expected[[4, 0]])


def test_saturated_graphs_imply_the_sample():
    table = frame()[list("abcd")]
    fit = rox.fit(model(["a -> b", "a + b -> c", "a + b + c -> d"]), table, method="path")
    np.testing.assert_allclose(fit.population.covariance, table.cov(ddof=0), **EXACT)
    np.testing.assert_allclose(fit.population.mean, table.mean(), **EXACT)


def test_implied_covariance_is_the_formula():
    rng = np.random.default_rng(2)
    coefficients, root = np.tril(rng.normal(size=(3, 4, 4)), -1), rng.normal(size=(3, 4, 4))
    psi = root @ root.transpose(0, 2, 1)
    for draw in range(3):
        total = np.linalg.inv(np.eye(4) - coefficients[draw])
        np.testing.assert_allclose(implied_covariance(coefficients, psi)[draw], total @ psi[draw] @ total.T, **EXACT)


@pytest.mark.parametrize("extra", [(), ("b <-> x",), ("a <-> x",)])
def test_standardised_values_use_implied_standard_deviations(extra):
    """Edges, covariances, variances and intercepts, by hand from the fitted numbers; residual covariances count."""
    edges = (
        ["a -> b", "b -> c", "x -> c"]
        if not extra
        else ["a -> b", "a -> x", "b -> c"]
        if extra[0][0] == "b"
        else ["x -> c"]
    )
    m = model([*edges, *extra], names="abcx")
    fit = rox.fit(m, frame()[list("abcx")], method="path")
    names = list(m.names)
    psi, coefficients = np.zeros((4, 4)), fit.system().coefficients[0]
    table = fit.parameters()
    for row in table[table["kind"].isin(["variance", "covariance"])].itertuples():
        i, j = names.index(row.left), names.index(row.right)
        psi[i, j] = psi[j, i] = row.estimate
    total = np.linalg.inv(np.eye(4) - coefficients)
    sd = np.sqrt(np.diag(total @ psi @ total.T))
    for row in table.itertuples():
        left, right = sd[names.index(row.left)], sd[names.index(row.right)]
        variances = (
            psi[names.index(row.left), names.index(row.left)] * psi[names.index(row.right), names.index(row.right)]
        )
        expected = {
            "edge": row.estimate * left / right,
            "variance": row.estimate / left**2,
            "covariance": row.estimate / np.sqrt(variances),
            "intercept": row.estimate / left,
        }
        assert row.standardized == pytest.approx(expected[row.kind], rel=1e-10)


def test_r_squared_is_what_the_residual_variance_leaves():
    import statsmodels.api as sm

    table = frame()[list("abcd")]
    fit = rox.fit(model(["a + b + c -> d"]), table, method="path")
    share = fit.parameters().set_index("id").loc["variance:d", "standardized"]
    assert 1 - share == pytest.approx(sm.OLS(table["d"], sm.add_constant(table[["a", "b", "c"]])).fit().rsquared)


def test_beyond_a_curved_equation_nothing_is_standardised():
    constructs = [
        construct("a"),
        construct("b", [rox.Item(name="b", scale=rox.Binary())]),
        construct("c"),
        construct("d"),
    ]
    m = rox.RoxModel(name="m", constructs=constructs, edges=["a -> b", "b -> c", "a -> d"])
    table = frame().assign(b=lambda t: (t["b"] > 0).astype(float))
    shown = rox.fit(m, table, method="path").edges().set_index("effect")["standardized"]
    assert np.isnan(shown[["b", "c"]]).all()
    assert np.isfinite(shown["d"])


@pytest.mark.parametrize("name", ["a|b", "a~~b", "x y", "variance:b"])
def test_any_name_of_a_construct_will_do(name):
    m = rox.RoxModel(
        name="m", constructs=[construct(name, ["a"]), construct("b")], edges=[rox.Edge(cause=name, effect="b")]
    )
    fit = rox.fit(m, frame(), method="path")
    plain = rox.fit(model(["a -> b"], "ab"), frame(), method="path")
    np.testing.assert_array_equal(fit.edges()["standardized"], plain.edges()["standardized"])


def test_a_root_of_any_scale_keeps_small_variances():
    covariance = np.diag([1e12, 1.0, 1e-12]) + 1e-3
    covariance[1, 2] = covariance[2, 1] = 5e-7
    covariance[0, 2] = covariance[2, 0] = 0.3
    root = root_of(covariance)
    np.testing.assert_allclose(root @ root.T / covariance, np.ones((3, 3)), rtol=1e-5)


def test_a_root_of_a_singular_covariance_with_a_constant():
    covariance = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    root = root_of(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-7)
    assert not root[2].any()


def test_where_no_path_leads_there_is_exactly_nothing():
    """The inverse leaves 1e-17 there, which a table shows as an effect and a sign is read from."""
    rng = np.random.default_rng(0)
    coefficients = np.zeros((50, 5, 5))
    for effect, cause in ((1, 0), (2, 0), (2, 1), (3, 0), (4, 2), (4, 3)):
        coefficients[:, effect, cause] = rng.normal(size=50)
    shuffled = rng.permutation(5)
    found = total_effects(coefficients[:, shuffled][:, :, shuffled])[:, np.argsort(shuffled)][
        :, :, np.argsort(shuffled)
    ]
    assert not found[:, [3, 0, 1, 2, 1], [1, 4, 4, 3, 3]].any()
    assert (found[:, 4, 0] != 0).all()
