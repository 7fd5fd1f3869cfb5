"""Extract from a model what the path diagram shows."""

from __future__ import annotations

from roxmodel.plots.diagram import Arrow, Diagram, Node
from roxmodel.spec.causal import CausalModel

__all__ = ["model_diagram", "model_nodes"]


def model_nodes(model: CausalModel) -> tuple[Node, ...]:
    """One node for each construct."""
    return tuple(Node(name=c.name, factor=c.factor, source=c.source, items=len(c.items)) for c in model.constructs)


def model_diagram(model: CausalModel) -> Diagram:
    """Extract the graph as planned: arrows without numbers (fixed values are shown)."""
    names = set(model.names)
    edges = [
        Arrow(cause=e.cause, effect=e.effect, estimate=e.fixed, lag=e.lag, assumed=e.fixed is not None)
        for e in model.edges
    ]
    pairs = [
        Arrow(cause=pair.left, effect=pair.right, kind="covariance")
        for pair in model.covariances
        if pair.left in names and pair.left != pair.right
    ]
    return Diagram(nodes=model_nodes(model), arrows=(*edges, *pairs), title=model.name, caption="")
