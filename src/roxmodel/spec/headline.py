"""The effect that a graph is built for: from pride to the last outcome that it reaches."""

from __future__ import annotations

import networkx as nx

from roxmodel.spec.constructs import UNIT
from roxmodel.spec.graph import RoxModel

__all__ = ["headline"]


def headline(model: RoxModel) -> tuple[str, str] | None:
    """Cause and effect of the total effect that is reported first; None where no construct acts on another.

    The cause is the first construct of the factor pride, else the first that has no cause and is no context; the
    effect the last outcome that it reaches (figures of the units before survey answers), else the last construct.

    Examples
    --------
    >>> from roxmodel.spec.five_factor import five_factor
    >>> headline(five_factor({"pride": ["p1"], "outcomes": ["revenue"]}))
    ('pride', 'outcomes')
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(model.names)
    graph.add_edges_from((edge.cause, edge.effect) for edge in model.edges if edge.lag == 0)
    ranked = sorted(
        model.constructs, key=lambda c: (c.factor != "pride", c.factor == "context", model.causes(c.name) != ())
    )
    for cause in ranked:
        reached = [model.find(name) for name in model.order() if name in nx.descendants(graph, cause.name)]
        if reached:
            best = max(
                enumerate(reached), key=lambda pair: (pair[1].factor == "outcomes", pair[1].source == UNIT, pair[0])
            )
            return cause.name, best[1].name
    return None
