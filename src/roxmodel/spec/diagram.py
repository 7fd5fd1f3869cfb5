"""Extract from a model what the path diagram shows."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from roxmodel.errors import RoxError
from roxmodel.plots.diagram import Arrow, Diagram, Node
from roxmodel.plots.draw import draw_diagram
from roxmodel.plots.figure import figure_svg
from roxmodel.spec.causal import CausalModel

__all__ = ["model_diagram", "model_html", "model_nodes"]


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


def model_html(model: CausalModel) -> str:
    """What a notebook shows of a model: the picture (where matplotlib is there), the arrows, the constructs."""
    arrows = [f"{edge.cause} → {edge.effect}{f' (lag {edge.lag})' if edge.lag else ''}" for edge in model.edges]
    arrows += [f"{pair.left} ↔ {pair.right}" for pair in model.covariances]
    cells = "".join(
        f"<tr><td>{escape(c.name)}</td><td>{c.factor}</td><td>{escape(c.source)}</td>"
        f"<td>{escape(', '.join(c.item_names))}</td></tr>"
        for c in model.constructs
    )
    told = escape(", ".join(arrows)) or "no arrows"
    return (
        f"<h4>{escape(model.name)}</h4>{_picture(model, told)}<p>{told}</p><table><thead><tr><th>construct</th>"
        f"<th>factor</th><th>source</th><th>items</th></tr></thead><tbody>{cells}</tbody></table>"
    )


def _picture(model: CausalModel, told: str) -> str:
    try:
        drawn = b64encode(figure_svg(draw_diagram(model_diagram(model)))).decode()
    except RoxError:  # no matplotlib: the words are there all the same
        return ""
    return f'<img alt="{told}" src="data:image/svg+xml;base64,{drawn}">'
