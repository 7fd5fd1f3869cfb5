"""Which arrows the data can tell, against enumeration; one turned round, found, and not where it is right."""

from itertools import combinations, product

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.checks.turned_arrows import _distance, _Latent, untold_arrows


def model(edges):
    names = "abcde"
    constructs = [rox.Construct(name=n, factor="context", source="employee", items=[n]) for n in names]
    return rox.RoxModel(name="m", constructs=constructs, edges=edges)


def rows(n=600, seed=0):
    """Two causes of one effect, and a chain from there."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    c = 0.5 * a + 0.5 * b + rng.normal(size=n)
    d = 0.6 * c + rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": d, "e": 0.6 * d + rng.normal(size=n)})


def reversed_rows(fit):
    return [one for one in fit.findings if one.check == "reversed" and one.verdict != "ok"]


def twins(graph):
    """All graphs of the same pairs and unmarried parents, constructs without a cause joined first (by enumeration)."""
    free = [name for name in graph if not graph.in_degree(name)]
    whole = nx.DiGraph(graph)
    whole.add_edges_from(combinations(free, 2))
    pairs = list(whole.edges)

    def unmarried(one):
        joined = {frozenset(edge) for edge in one.edges}
        return {
            (frozenset((x, y)), c)
            for c in one
            for x, y in combinations(sorted(one.predecessors(c)), 2)
            if frozenset((x, y)) not in joined
        }

    for turned in product((False, True), repeat=len(pairs)):
        other = nx.DiGraph()
        other.add_nodes_from(graph)
        other.add_edges_from(pair[::-1] if back else pair for pair, back in zip(pairs, turned, strict=True))
        if nx.is_directed_acyclic_graph(other) and unmarried(other) == unmarried(whole):
            yield other


@pytest.mark.parametrize("seed", range(12))
def test_what_is_not_told_is_what_some_twin_turns(seed):
    rng = np.random.default_rng(seed)
    names = list("abcde")
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pair for pair in combinations(names, 2) if rng.random() < 0.5)
    every = list(twins(graph))
    turned = [pair for pair in graph.edges if any(other.has_edge(*pair[::-1]) for other in every)]
    assert untold_arrows(graph) == turned


def test_a_right_graph_has_a_note_on_what_is_not_told():
    table = rows(seed=1)
    rng = np.random.default_rng(2)
    chain = table.assign(b=0.6 * table["a"] + rng.normal(size=len(table)))
    chain["c"] = 0.6 * chain["b"] + rng.normal(size=len(table))
    chain["d"] = 0.6 * chain["c"] + rng.normal(size=len(table))
    chain["e"] = 0.6 * chain["d"] + rng.normal(size=len(table))
    (note,) = reversed_rows(rox.fit(model(["a -> b", "b -> c", "c -> d", "d -> e"]), chain))
    assert note.verdict == "note"
    assert set(note.edges) == {"a -> b", "b -> c", "c -> d", "d -> e"}


@pytest.fixture(scope="module")
def side():
    """`s` acts on d only, so that c -> d and d -> c make different covariances."""
    rng = np.random.default_rng(3)
    table = rows(seed=4)
    s = rng.normal(size=len(table))
    d = 0.6 * table["c"] + 0.6 * s + rng.normal(size=len(table))
    return table.assign(d=d, e=0.6 * d + rng.normal(size=len(table)), b=s)[["a", "b", "c", "d", "e"]]


def test_an_arrow_that_points_the_other_way_is_named(side):
    right = rox.fit(model(["a -> c", "c -> d", "b -> d", "d -> e"]), side)
    assert not [one for one in reversed_rows(right) if one.serious]
    with pytest.warns(rox.RoxWarning, match="e -> d fits significantly better turned round, d -> e"):
        wrong = rox.fit(model(["a -> c", "c -> d", "b -> d", "e -> d", "a -> e"]), side)
    (doubt,) = (one for one in reversed_rows(wrong) if one.serious)
    assert doubt.culprits == ("e", "d")


def test_a_graph_is_no_distance_from_what_it_makes():
    graph = nx.DiGraph([("a", "c"), ("b", "c"), ("c", "d")])
    names = ("a", "b", "c", "d")
    beta = np.zeros((4, 4))
    beta[2, 0], beta[2, 1], beta[3, 2] = 0.4, -0.3, 0.7
    psi = np.diag([1.0, 0.8, 0.6, 0.9])
    psi[0, 1] = psi[1, 0] = 0.3
    total = np.linalg.inv(np.eye(4) - beta)
    phi = total @ psi @ total.T
    whole = _Latent(names, phi, np.eye(10), 2)
    assert _distance(whole, graph) == pytest.approx(0, abs=1e-15)
    moved = phi.copy()
    moved[3, 0] = moved[0, 3] = phi[3, 0] + 0.1
    far = _distance(_Latent(names, moved, np.eye(10), 2), graph)
    assert 0 < far < 0.1**2  # nearer than where it stood
