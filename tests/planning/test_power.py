"""The smallest effects that so many units find: closed forms of chains and regressions without sampling error."""

import numpy as np
import pytest
from scipy.stats import t as student

import roxmodel as rox
from roxmodel.implied.likelihood import NormalCells
from roxmodel.implied.matrices import lay_out
from roxmodel.planning.power import Planned, edges_between, smallest_edge, smallest_total, units_needed
from roxmodel.spec.parameters import plan

SOLVED = 1e-3  # the equations are solved to 1e-4, quantiles taken of 1,024 even draws


def chain(n, noise=0.0, slope=0.3):
    """a -> b -> c of observed figures, one standard deviation each."""
    model = rox.RoxModel.from_lavaan("b ~ a\nc ~ b", source="unit").replace(exogenous="free")
    table = plan(model, "reflective", True)
    layout = lay_out(list(table), (model.names, model.names), {}, np.ones(3), table.n_free)
    theta = np.zeros(table.n_free)
    values = {"edge": slope, "variance": 1 - slope**2}
    for row in table:
        if row.free and row.kind in values:
            theta[row.free - 1] = 1.0 if row.id == "variance:a" else values[row.kind]
    data = NormalCells(np.ones((1, 3), bool), np.zeros((1, 3)), np.array([float(n)]), noise=noise * np.eye(3)[None])
    return Planned(model, table, layout, theta, data, dict.fromkeys(model.names, n))


def needed(df, spread=1.0):
    return student.ppf(0.975, df) + spread * student.ppf(0.8, df)


@pytest.mark.parametrize("n", [30, 100, 400])
def test_an_edge_without_noise_is_a_regression(n):
    planned = chain(n)
    found = smallest_edge(planned, planned.table.of("edge")[0])
    ratio = needed(n - 2) / np.sqrt(n - 2)
    assert found.value == pytest.approx(ratio / np.sqrt(1 + ratio**2), rel=SOLVED)
    assert found.value / found.se == pytest.approx(needed(n - 2), rel=SOLVED)


def test_a_chain_asks_for_links_that_are_stronger_than_one_alone():
    n = 200
    found = smallest_total(chain(n), "a", "c")
    link = np.sqrt(found.value)
    error = np.sqrt((1 - link**2) / (n - 2))
    assert found.se == pytest.approx(np.sqrt(2) * link * error, rel=SOLVED)  # Sobel (1982)
    studies = link + error * np.random.default_rng(1).standard_normal((2, 2_000, 1))
    draws = studies + error * np.random.default_rng(2).standard_normal((2, 1, 2_000))
    seen = np.quantile(draws.prod(axis=0), 0.025, axis=1) > 0
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_noise_and_fewer_units_ask_for_larger_effects():
    sizes = [smallest_total(chain(n, noise), "a", "c").value for n, noise in ((400, 0.0), (200, 0.0), (200, 0.5))]
    assert sizes == sorted(sizes)
    assert smallest_total(chain(200), "a", "c", 2.0).value == pytest.approx(sizes[0], rel=SOLVED)


def test_units_needed_turns_it_round():
    found = smallest_total(chain(200, 0.3), "a", "c").value
    assert units_needed(chain(50, 0.3), "a", "c", found) == pytest.approx(200, abs=1)
    assert units_needed(chain(50, 0.3), "a", "c", 0.999) is None


def test_no_size_may_be_enough():
    assert np.isnan(smallest_total(chain(2), "a", "c").value)
    planned = chain(2)
    assert np.isnan(smallest_edge(planned, planned.table.of("edge")[0]).value)


def test_only_edges_between_the_two_belong_to_the_way():
    model = rox.RoxModel.from_lavaan("b ~ a + x\nc ~ b + a\nd ~ c")
    assert set(edges_between(model, "a", "c")) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert edges_between(model, "d", "a") == ()
