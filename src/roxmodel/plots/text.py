"""A diagram as text for other programs: Graphviz DOT and Mermaid."""

from __future__ import annotations

from roxmodel.plots.diagram import HEADINGS, Arrow, Diagram, Node, arrow_label, small_print

__all__ = ["to_dot", "to_mermaid"]


def to_dot(diagram: Diagram) -> str:
    r"""Write a diagram in the DOT language of Graphviz.

    Parameters
    ----------
    diagram
        What to write. Names may hold anything: they appear as quoted labels, never as identifiers.

    Returns
    -------
    str
        A ``digraph`` with one cluster per factor; assumed effects dashed, covariances dotted with two heads.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Diagram, Node
    >>> print(to_dot(Diagram((Node("pride", "pride", "employee", 4),), ())))
    digraph roxmodel {
      rankdir=LR;
      node [shape=box, style=rounded, fontname="Helvetica"];
      edge [fontname="Helvetica", fontsize=10];
      subgraph cluster_pride {
        label="Pride";
        n0 [label="pride\nemployee · 4 items"];
      }
    }
    """
    lines = ["digraph roxmodel {", "  rankdir=LR;"]
    if diagram.title:
        lines += [f"  label={_dot_quoted(diagram.title)};", "  labelloc=t;"]
    lines += [
        '  node [shape=box, style=rounded, fontname="Helvetica"];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    ids = {node.name: f"n{index}" for index, node in enumerate(diagram.nodes)}
    for factor, heading in HEADINGS.items():
        members = [node for node in diagram.nodes if node.factor == factor]
        if members:
            lines += [f"  subgraph cluster_{factor} {{", f'    label="{heading}";']
            lines += [f"    {ids[node.name]} [label={_dot_label(node)}];" for node in members]
            lines.append("  }")
    for arrow in diagram.arrows:
        lines.append(f"  {ids[arrow.cause]} -> {ids[arrow.effect]}{_dot_attributes(arrow)};")
    return "\n".join([*lines, "}"])


def to_mermaid(diagram: Diagram) -> str:
    """Write a diagram as a Mermaid flowchart, which GitHub and many wikis render.

    Parameters
    ----------
    diagram
        What to write. Names may hold anything: special characters become Mermaid entity codes.

    Returns
    -------
    str
        A ``flowchart LR`` with one subgraph per factor; assumed effects and covariances dotted.

    Examples
    --------
    >>> from roxmodel.plots.diagram import Arrow, Diagram, Node
    >>> nodes = (Node("pride", "pride", "employee", 4), Node("value", "value_drivers", "customer", 1))
    >>> print(to_mermaid(Diagram(nodes, (Arrow("pride", "value", 0.3),))))
    flowchart LR
      subgraph f_pride["Pride"]
        n0["pride<br/>employee · 4 items"]
      end
      subgraph f_value_drivers["Value drivers"]
        n1["value<br/>customer · 1 item"]
      end
      n0 -->|"0.30"| n1
    """
    lines = ["flowchart LR"]
    ids = {node.name: f"n{index}" for index, node in enumerate(diagram.nodes)}
    for factor, heading in HEADINGS.items():
        members = [node for node in diagram.nodes if node.factor == factor]
        if members:
            lines.append(f'  subgraph f_{factor}["{heading}"]')
            lines += [f'    {ids[node.name]}["{_mermaid_label(node)}"]' for node in members]
            lines.append("  end")
    for arrow in diagram.arrows:
        label = arrow_label(arrow)
        words = f'|"{_mermaid_safe(label)}"|' if label else ""
        lines.append(f"  {ids[arrow.cause]} {_mermaid_link(arrow)}{words} {ids[arrow.effect]}")
    return "\n".join(lines)


def _dot_quoted(text: str) -> str:
    # Graphviz reads entities such as &amp; in labels.
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "\\n".join(escaped.splitlines()) + '"'


def _dot_label(node: Node) -> str:
    return _dot_quoted(f"{node.label or node.name}\n{small_print(node)}")


def _dot_attributes(arrow: Arrow) -> str:
    parts = []
    label = arrow_label(arrow)
    if label:
        parts.append(f"label={_dot_quoted(label)}")
    if arrow.kind == "covariance":
        parts += ["dir=both", "style=dotted", "constraint=false"]
    elif arrow.assumed:
        parts.append("style=dashed")
    return f" [{', '.join(parts)}]" if parts else ""


def _mermaid_safe(text: str) -> str:
    """Replace everything Mermaid or HTML could read as syntax by ``#code;``; new lines by blanks."""
    kept = " ".join(text.split())
    return "".join(sign if _is_plain(sign) else f"#{ord(sign)};" for sign in kept)


def _is_plain(sign: str) -> bool:
    return sign.isalnum() or sign in " .,:·−[]_()%+"


def _mermaid_label(node: Node) -> str:
    return f"{_mermaid_safe(node.label or node.name)}<br/>{_mermaid_safe(small_print(node))}"


def _mermaid_link(arrow: Arrow) -> str:
    if arrow.kind == "covariance":
        return "<-.->"
    return "-.->" if arrow.assumed else "-->"
