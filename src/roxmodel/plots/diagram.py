"""What a path diagram shows: nodes, arrows, and the words on them; the same as DOT and Mermaid. No drawing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from roxmodel.errors import RoxError, did_you_mean, listed
from roxmodel.numerals import finite, with_interval, written
from roxmodel.types import Factor

__all__ = [
    "HEADINGS", "Arrow", "ArrowKind", "Diagram", "Node", "arrow_label", "label_lines", "relative_strengths",
    "small_print", "to_dot", "to_mermaid",
]  # fmt: skip

ArrowKind: TypeAlias = Literal["edge", "covariance"]

# In the order PwC (2019) tells the story; context stands apart.
HEADINGS: Final[dict[Factor, str]] = {
    "pride": "Pride",
    "influencers": "Influencers",
    "behaviours": "Behaviours",
    "value_drivers": "Value drivers",
    "outcomes": "Outcomes",
    "context": "Context",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One construct: its name (arrows refer to it), the factor in whose column it stands, who says it, how many ask.

    `label` is shown instead of the name.
    """

    name: str
    factor: Factor
    source: str
    items: int
    label: str | None = None

    def __post_init__(self) -> None:
        if self.factor not in HEADINGS:
            raise RoxError(
                f"Node {self.name!r} has factor {self.factor!r}.",
                allowed=listed(HEADINGS),
                hint=did_you_mean(str(self.factor), HEADINGS),
            )


@dataclass(frozen=True, slots=True)
class Arrow:
    """One effect, or one unmeasured common cause, between two nodes (the same one for a lagged effect on itself).

    >>> arrow_label(Arrow("pride", "behaviours", 0.42, 0.31, 0.53))
    '0.42 [0.31, 0.53]'
    """

    cause: str
    effect: str
    estimate: float | None = None  # the number on the arrow, and its interval; None or NaN where there is none
    low: float | None = None
    high: float | None = None
    standardized: float | None = None  # decides the arrow's width; without it the estimate does
    kind: ArrowKind = "edge"  # one head; a covariance has two, and is dotted
    lag: int = 0  # waves until the effect is felt, ≥ 0
    assumed: bool = False  # stated rather than estimated: dashed
    doubtful: bool = False  # its number may not mean what it says: marked with a question mark

    def __post_init__(self) -> None:
        arrow = f"Arrow {self.cause!r} -> {self.effect!r}"
        if self.kind not in get_args(ArrowKind):
            raise RoxError(f"{arrow} has kind {self.kind!r}.", allowed=listed(get_args(ArrowKind)))
        if self.lag < 0:
            raise RoxError(f"{arrow} has lag {self.lag}.", allowed="0, 1, 2, …")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise RoxError(f"{arrow} has an interval from {self.low} to {self.high}: the ends are swapped.")


@dataclass(frozen=True, slots=True)
class Diagram:
    """A path diagram as values: nodes of different names, arrows between them, words above and below.

    `interval` says in the legend what the bracket ``[low, high]`` is. `warning` stands above everything else. Hand it
    to `draw_diagram`, `to_dot` or `to_mermaid`.
    """

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    title: str = ""
    caption: str = ""
    interval: str = "95% interval"
    warning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "arrows", tuple(self.arrows))
        if not self.nodes:
            raise RoxError("A diagram needs at least one node, got none.")
        counts = Counter(node.name for node in self.nodes)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise RoxError(f"Names of nodes must differ; {listed(twice)} occur more than once.")
        for arrow in self.arrows:
            for end in (arrow.cause, arrow.effect):
                if end not in counts:
                    problem = f"Arrow {arrow.cause!r} -> {arrow.effect!r} names {end!r}, which is no node."
                    raise RoxError(problem, hint=did_you_mean(end, counts))


def small_print(node: Node) -> str:
    """Say source and number of items, as under a node's name."""
    if node.items <= 0:
        return node.source
    return f"{node.source} · {node.items} item{'' if node.items == 1 else 's'}"


def arrow_label(arrow: Arrow) -> str:
    """Write what stands on an arrow, in one line; empty if there is nothing to say.

    >>> arrow_label(Arrow("pride", "revenue", 0.5, lag=2, assumed=True))
    '0.50, lag 2'
    """
    return "".join(label_lines(arrow, stacked=False))


def label_lines(arrow: Arrow, stacked: bool) -> tuple[str, ...]:
    """Write the label in one line, or the interval below the number; () without a label."""
    later, mark = f"lag {arrow.lag}" if arrow.lag else "", "? " if arrow.doubtful else ""
    if not finite(arrow.estimate):
        return ((mark + later).strip(),) if mark + later else ()
    later = f", {later}" if later else ""
    if stacked and finite(arrow.low) and finite(arrow.high):
        number, low, high = written([arrow.estimate, arrow.low, arrow.high])
        return (mark + number + later, f"[{low}, {high}]")
    return (mark + with_interval(arrow.estimate, arrow.low, arrow.high) + later,)


def relative_strengths(arrows: tuple[Arrow, ...]) -> tuple[float | None, ...]:
    """Strength of every arrow of one diagram from 0 to 1, None where no number is known.

    ``|standardized|`` capped at 1, or ``|estimate|`` capped at 1 for an arrow without it. If no arrow is standardized
    and an estimate exceeds 1, estimates are taken relative to the largest.
    """
    known = [arrow.estimate for arrow in arrows if finite(arrow.estimate)]
    any_standardized = any(finite(arrow.standardized) for arrow in arrows)
    largest = 1.0 if any_standardized else max((abs(value) for value in known), default=1.0)
    strengths: list[float | None] = []
    for arrow in arrows:
        value = arrow.standardized if finite(arrow.standardized) else arrow.estimate
        scale = 1.0 if finite(arrow.standardized) else max(largest, 1.0)
        strengths.append(min(abs(value) / scale, 1.0) if finite(value) else None)
    return tuple(strengths)


def to_dot(diagram: Diagram) -> str:
    r"""Write a diagram in the DOT language of Graphviz.

    Names may hold anything: they appear as quoted labels, never as identifiers. One cluster per factor; assumed
    effects dashed, covariances dotted with two heads.

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
    if diagram.title or diagram.warning:
        above = "\n".join(words for words in (diagram.warning, diagram.title) if words)
        lines += [f"  label={_dot_quoted(above)};", "  labelloc=t;"]
    lines += ['  node [shape=box, style=rounded, fontname="Helvetica"];', '  edge [fontname="Helvetica", fontsize=10];']
    ids = {node.name: f"n{index}" for index, node in enumerate(diagram.nodes)}
    for factor, heading in HEADINGS.items():
        members = [node for node in diagram.nodes if node.factor == factor]
        if members:
            lines += [f"  subgraph cluster_{factor} {{", f'    label="{heading}";']
            labels = [_dot_quoted(f"{node.label or node.name}\n{small_print(node)}") for node in members]
            lines += [f"    {ids[node.name]} [label={label}];" for node, label in zip(members, labels, strict=True)]
            lines.append("  }")
    for arrow in diagram.arrows:
        lines.append(f"  {ids[arrow.cause]} -> {ids[arrow.effect]}{_dot_attributes(arrow)};")
    return "\n".join([*lines, "}"])


def to_mermaid(diagram: Diagram) -> str:
    """Write a diagram as a Mermaid flowchart, which GitHub and many wikis render.

    Special characters become Mermaid entity codes. One subgraph per factor; assumed effects and covariances dotted.

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
    lines = ["flowchart LR", *([f'  doubt["{_mermaid_safe(diagram.warning)}"]'] if diagram.warning else [])]
    ids = {node.name: f"n{index}" for index, node in enumerate(diagram.nodes)}
    for factor, heading in HEADINGS.items():
        members = [node for node in diagram.nodes if node.factor == factor]
        if members:
            lines.append(f'  subgraph f_{factor}["{heading}"]')
            labels = ["<br/>".join(map(_mermaid_safe, (n.label or n.name, small_print(n)))) for n in members]
            lines += [f'    {ids[n.name]}["{label}"]' for n, label in zip(members, labels, strict=True)]
            lines.append("  end")
    for arrow in diagram.arrows:
        label = arrow_label(arrow)
        words = f'|"{_mermaid_safe(label)}"|' if label else ""
        link = "<-.->" if arrow.kind == "covariance" else "-.->" if arrow.assumed else "-->"
        lines.append(f"  {ids[arrow.cause]} {link}{words} {ids[arrow.effect]}")
    return "\n".join(lines)


def _dot_quoted(text: str) -> str:
    # Graphviz reads entities such as &amp; in labels.
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "\\n".join(escaped.splitlines()) + '"'


def _dot_attributes(arrow: Arrow) -> str:
    parts = []
    label = arrow_label(arrow)
    if label:
        parts.append(f"label={_dot_quoted(label)}")
    if arrow.kind == "covariance":
        parts += ["dir=both", "style=dotted", "constraint=false"]
    elif arrow.assumed:
        parts.append("style=dashed")
    if arrow.doubtful:
        parts.append('color="#A1122F", fontcolor="#A1122F"')
    return f" [{', '.join(parts)}]" if parts else ""


def _mermaid_safe(text: str) -> str:
    """Replace everything Mermaid or HTML could read as syntax by ``#code;``; new lines by blanks."""
    plain = " .,:·−[]_()%+"
    return "".join(s if s.isalnum() or s in plain else f"#{ord(s)};" for s in " ".join(text.split()))
