"""The model that users build, the short way to it, and what its path diagram shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from roxmodel.errors import RoxError, SpecError, did_you_mean
from roxmodel.plots.diagram import Arrow, Diagram, to_dot, to_mermaid
from roxmodel.plots.draw import draw_diagram
from roxmodel.plots.page import figure_bytes
from roxmodel.spec.causal import CausalModel, model_nodes
from roxmodel.spec.constructs import FACTORS, MAIN_ORDER, UNIT, Construct, Covariance, Edge
from roxmodel.spec.lavaan import read_lavaan, write_lavaan
from roxmodel.spec.parameters import plan
from roxmodel.spec.questionnaire import Item, Scale

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Construct", "Covariance", "Edge", "RoxModel", "five_factor"]


class RoxModel(CausalModel):
    """What causes what, and which questions measure it.

    Parameters
    ----------
    name
        Name of the model.
    constructs
        The constructs; those without edges are allowed (a measurement model is a model).
    edges
        Arrow text such as ``"influencers + pride -> behaviours"`` or ``"value <-> loyalty"``, `Edge`,
        `Covariance`; one or a list of them.
    covariances
        Unmeasured common causes; ``<->`` in `edges` ends up here.
    feedback
        Whether loops without a lag are declared.
    definitions
        Defined parameters: name to arithmetic over labels and other definitions, in any order.
    terminal_covariances
        Whether disturbances of constructs that cause nothing covary freely (as lavaan's ``sem()`` has it).
    exogenous
        Whether the (co)variances of observed exogenous constructs are parameters (``"free"``) or given by the data
        (``"fixed"``). With ordinal items (``estimator="DWLS"``) the others are conditioned on what is given, as in
        lavaan: a 0/1 stays a 0/1; with ``"free"`` it is taken as cut from a normal variable.

    Raises
    ------
    SpecError
        For unknown names (with the likely one), an item used twice, a construct nobody measures, a loop
        without a lag (named), arrow text that cannot be read (with the character).

    Examples
    --------
    >>> model = RoxModel(
    ...     name="two",
    ...     constructs=[
    ...         Construct(name="pride", factor="pride", source="employee", items=["pri1", "pri2"]),
    ...         Construct(name="loyalty", factor="outcomes", source="customer", items=["loy1"]),
    ...     ],
    ...     edges=["pride -> loyalty"],
    ... )
    >>> model.causes("loyalty")
    ('pride',)
    """

    def parameters(self) -> pd.DataFrame:
        """Plan the parameters of the latent-variable model: one row each (see `roxmodel.spec.parameters`)."""
        return plan(self).frame()

    def to_lavaan(self) -> str:
        """Write the model in lavaan's syntax for ``sem()``.

        Raises
        ------
        SpecError
            If a name cannot be a lavaan name.
        """
        return write_lavaan(self)

    @classmethod
    def from_lavaan(
        cls, text: str, factors: Mapping[str, str] | None = None, source: str = "customer", name: str = "lavaan"
    ) -> Self:
        """Read lavaan syntax (``=~ ~ ~~ :=`` with fixed values, labels, ``NA`` and ``start()``).

        Parameters
        ----------
        text
            The model. Statements end with their line or a semicolon and go on where an operator stands at either end;
            ``#`` and ``!`` begin a comment; definitions may stand in any order.
        factors
            Construct to factor; the rest become ``context``.
        source
            Who answered all of it.
        name
            Name of the model.

        Raises
        ------
        SpecError
            Naming the statement that cannot be read, or that says two things of one parameter.
        """
        return cls(**read_lavaan(text, factors or {}, source, name))

    def to_dot(self) -> str:
        """Write the graph in Graphviz's DOT language."""
        return to_dot(_diagram(self))

    def to_mermaid(self) -> str:
        """Write the graph as a Mermaid flowchart."""
        return to_mermaid(_diagram(self))

    def plot(self) -> Figure:
        """Draw the graph: five columns by factor, context below."""
        return draw_diagram(_diagram(self))

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return _html(self)

    def __repr__(self) -> str:
        factors = ", ".join(f"{c.name} ({c.factor}, {c.source}, {len(c.items)})" for c in self.constructs)
        return f"<RoxModel {self.name!r}: {len(self.edges)} edges between {factors}>"


_SOURCES: Final[dict[str, str]] = dict.fromkeys(("pride", "influencers", "behaviours"), "employee") | {
    "value_drivers": "customer", "outcomes": UNIT, "context": UNIT
}  # fmt: skip
_RANK: Final[dict[str, int]] = {factor: rank for rank, factor in enumerate(FACTORS)}

Items = Sequence[str | Item] | str | Item
ItemsOrConstructs = Items | Mapping[str, Items]


def five_factor(
    items: Mapping[str, ItemsOrConstructs],
    *,
    sources: Mapping[str, str] | None = None,
    scale: Scale | Mapping[str, Scale] | None = None,
    edges: str | Sequence[str | Edge | Covariance] | None = None,
    name: str = "five_factor",
) -> RoxModel:
    """Build the five-factor model from factor -> items.

    Default arrows are PwC's main order, pride → influencers → behaviours → value drivers → outcomes: every
    construct of a factor acts on every construct of the next factor that is there; context acts on them all.

    Parameters
    ----------
    items
        Factor to its items, or factor to a mapping construct → items where a factor has several constructs
        (for example ``{"outcomes": {"revenue": ["revenue"], "churn": ["churn"]}}``).
    sources
        Factor or construct to source, where it is not the default: pride, influencers and behaviours are
        asked of employees, value drivers of customers, outcomes and context stand in the unit's books.
    scale
        Scale of every survey item without one of its own: figures of the unit (by default outcomes and context) are
        no answers and keep none. Or a mapping from factor or construct to its scale, figures of the unit included.
    edges
        Instead of the default arrows.
    name
        Name of the model.

    Returns
    -------
    RoxModel

    Raises
    ------
    SpecError
        For an unknown factor, with the likely one; for one `scale` that would reach nothing, or would pass over a
        factor that `sources` takes from the surveys to the unit's books.

    Examples
    --------
    >>> model = five_factor({"pride": ["p1", "p2"], "value_drivers": ["v1"], "outcomes": ["revenue"]})
    >>> [str(edge) for edge in model.edges]
    ['pride -> value_drivers', 'value_drivers -> outcomes']
    """
    if not isinstance(items, Mapping):
        raise SpecError(f"items= was {items!r}.", allowed="a mapping from factor to items, {'pride': [...], ...}")
    for factor in items:
        if factor not in FACTORS:
            raise SpecError(f"{factor!r} is no factor.", hint=did_you_mean(str(factor), FACTORS))
    if not isinstance(sources, Mapping | None):
        raise SpecError(f"sources= was {sources!r}.", allowed="a mapping from factor or construct to source")
    given = dict(sources or {})
    named = [
        _Named(factor, name, own, given.get(name, given.get(factor, _SOURCES[factor])))
        for factor, inner in items.items()
        for name, own in (inner.items() if isinstance(inner, Mapping) else [(factor, inner)])
    ]
    scales = _scales(scale, items, named)
    constructs = [
        Construct(name=n, factor=f, source=source, items=own, scale=scales.get(n, scales.get(f)))
        for f, n, own, source in sorted(named, key=lambda one: _RANK[one.factor])
    ]
    unknown = [name for name in given if name not in FACTORS and name not in {c.name for c in constructs}]
    if unknown:
        raise SpecError(
            f"sources= names {unknown[0]!r}, which is neither a factor nor a construct.",
            hint=did_you_mean(unknown[0], [*FACTORS, *(c.name for c in constructs)]),
        )
    arrows = _default_edges(constructs) if edges is None else edges
    return RoxModel(name=name, constructs=tuple(constructs), edges=arrows)


class _Named(NamedTuple):
    """A construct as asked for."""

    factor: str
    name: str
    items: Items
    source: str


def _scales(
    scale: Scale | Mapping[str, Scale] | None, factors: Iterable[str], named: Sequence[_Named]
) -> dict[str, Scale]:
    """Factor or construct to the scale of its items."""
    if isinstance(scale, Mapping):
        known = [*factors, *(one.name for one in named)]
        for name in scale:
            if name not in known:
                raise SpecError(
                    f"scale= names {name!r}, which is neither a factor nor a construct here.",
                    hint=did_you_mean(str(name), known),
                )
        return dict(scale)
    if scale is None:
        return {}
    asked = {one.name for one in named if one.source != UNIT}
    for factor, name, own, _ in named:
        if name not in asked and _SOURCES[factor] != UNIT and not _scaled(own):
            raise SpecError(
                f"scale= is of survey items, but {name!r} is taken from the unit's books (sources=), so its items "
                "would have no scale.",
                hint=f"Say scale={{{name!r}: ..., ...}} for each factor, or give its items their own: "
                "rox.Item(name=, scale=).",
            )
    if not asked:
        raise SpecError(
            "scale= is of survey items, but every item is a figure of the unit.",
            hint="Say scale={factor: scale}, or give the items their own: rox.Item(name=, scale=).",
        )
    return dict.fromkeys(asked, scale)


def _scaled(items: Items) -> bool:
    """Whether every item states a scale of its own."""
    every = [items] if isinstance(items, str | Item) else list(items)
    return all(isinstance(item, Item) and item.scale is not None for item in every)


def _default_edges(constructs: Sequence[Construct]) -> tuple[Edge, ...]:
    present = [[c.name for c in constructs if c.factor == factor] for factor in MAIN_ORDER]
    columns = [names for names in present if names]
    chain = [
        Edge(cause=cause, effect=effect)
        for causes, effects in pairwise(columns)
        for cause in causes
        for effect in effects
    ]
    context = [c.name for c in constructs if c.factor == "context"]
    adjusted = [Edge(cause=c, effect=effect) for c in context for names in columns for effect in names]
    return (*chain, *adjusted)


def _diagram(model: CausalModel) -> Diagram:
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


def _html(model: CausalModel) -> str:
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
        drawn = b64encode(figure_bytes(draw_diagram(_diagram(model)))).decode()
    except RoxError:  # no matplotlib: the words are there all the same
        return ""
    return f'<img alt="{told}" src="data:image/svg+xml;base64,{drawn}">'
