"""The causal model as a record: constructs, what causes what, and what makes a graph well-formed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

import networkx as nx
from pydantic import AfterValidator, Field, PlainSerializer, model_validator

from roxmodel.document import content_hash, read_document, write_document
from roxmodel.errors import SpecError, did_you_mean, listed
from roxmodel.frozen import Frozen, FrozenMapping
from roxmodel.plots.diagram import Node
from roxmodel.spec.constructs import UNIT, Construct, Covariance, Edge, arrow_text, read_arrows
from roxmodel.spec.definitions import check_definitions
from roxmodel.spec.questionnaire import Item

__all__ = ["CausalModel", "acting", "headline", "labels_of", "loop_within", "model_nodes", "terminal", "within_wave"]

Definitions = Annotated[
    Mapping[str, str], AfterValidator(FrozenMapping[str, str]), PlainSerializer(dict, return_type=dict[str, str])
]


class CausalModel(Frozen):
    """What causes what, and which questions measure it; `RoxModel` is its public face and says what each field is."""

    name: str
    constructs: tuple[Construct, ...]
    edges: tuple[Edge, ...] = ()
    covariances: tuple[Covariance, ...] = ()
    feedback: bool = False
    definitions: Definitions = Field(default_factory=lambda: FrozenMapping({}))
    terminal_covariances: bool = False
    exogenous: Literal["free", "fixed"] = "free"

    @model_validator(mode="before")
    @classmethod
    def _read_edges(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        edges, covariances = _sort_edges(data.get("edges", ()), "edges")
        directed, stated = _sort_edges(data.get("covariances", ()), "covariances")
        if directed:
            raise SpecError(f"covariances= holds the edge {directed[0]}.", hint="Give it to edges=.")
        values = {**data, "edges": edges, "covariances": (*stated, *covariances)}
        if isinstance(data.get("constructs"), Construct):
            values["constructs"] = (data["constructs"],)
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_constructs(self)
        _check_edges(self)
        _check_covariances(self)
        around = None if self.feedback else loop_within(self.edges)
        if around is not None:
            raise SpecError(
                f"The edges run in a loop without a lag: {around}.",
                hint="Give one edge a lag (rox.Edge(..., lag=1, fixed=...)) or declare RoxModel(feedback=True) and "
                "give each construct of the loop a cause of its own.",
            )
        _check_labels(self)
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one.

        New `edges` take the place of all edges and add their ``<->``; other covariances stay.

        Raises
        ------
        RoxError
            As the constructor does.
        """
        if "edges" in changes and "covariances" not in changes:
            edges, stated = _sort_edges(changes["edges"], "edges")
            new = {_ends(pair) for pair in stated}
            kept = (pair for pair in self.covariances if _ends(pair) not in new)
            changes |= {"edges": edges, "covariances": (*kept, *stated)}
        return super().replace(**changes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the constructs, in the order given."""
        return tuple(construct.name for construct in self.constructs)

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, construct by construct."""
        return tuple(item for construct in self.constructs for item in construct.items)

    @property
    def sources(self) -> tuple[str, ...]:
        """Who answers, in order of first appearance."""
        return tuple(dict.fromkeys(construct.source for construct in self.constructs))

    @property
    def respondent_sources(self) -> tuple[str, ...]:
        """The sources that are people: all but ``unit``."""
        return tuple(source for source in self.sources if source != UNIT)

    @property
    def endogenous(self) -> tuple[str, ...]:
        """Constructs with a cause within the wave."""
        return tuple(name for name in self.names if self.causes(name))

    @property
    def exogenous_names(self) -> tuple[str, ...]:
        """Constructs without a cause within the wave."""
        return tuple(name for name in self.names if not self.causes(name))

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything the model says; equal models have equal hashes."""
        return content_hash(self.model_dump(mode="json"))

    @property
    def graph(self) -> nx.DiGraph[str]:
        """The graph as networkx: nodes carry factor, source and items; edges carry their `Edge` records."""
        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for c in self.constructs:
            graph.add_node(c.name, factor=c.factor, source=c.source, items=c.item_names)
        for edge in self.edges:
            known = graph.get_edge_data(edge.cause, edge.effect, {"edges": ()})["edges"]
            lags = tuple(e.lag for e in (*known, edge))
            graph.add_edge(edge.cause, edge.effect, edges=(*known, edge), lags=lags)
        return graph

    def find(self, name: str) -> Construct:
        """Return one construct by name.

        Raises
        ------
        SpecError
            If there is none of that name, with the likely one.
        """
        for construct in self.constructs:
            if construct.name == name:
                return construct
        raise SpecError(f"Model {self.name!r} has no construct {name!r}.", hint=did_you_mean(name, self.names))

    def causes(self, effect: str) -> tuple[str, ...]:
        """Direct causes of a construct within the wave, in the order of the edges."""
        return tuple(edge.cause for edge in self.edges if edge.effect == effect and edge.lag == 0)

    def order(self) -> tuple[str, ...]:
        """Order the constructs, every cause before its effects; those of one loop stand together, as given."""
        graph = within_wave(self.edges, self.names)
        rank = {name: i for i, name in enumerate(self.names)}
        parts = nx.condensation(graph)
        members = {part: sorted(data["members"], key=rank.__getitem__) for part, data in parts.nodes(data=True)}
        order = nx.lexicographical_topological_sort(parts, key=lambda part: rank[members[part][0]])
        return tuple(name for part in order for name in members[part])

    def loops(self) -> tuple[tuple[str, ...], ...]:
        """Constructs that cause each other within the wave, loop by loop (loops that share a construct are one)."""
        found = [
            part for part in nx.strongly_connected_components(within_wave(self.edges, self.names)) if len(part) > 1
        ]
        ordered = [tuple(name for name in self.names if name in part) for part in found]
        return tuple(sorted(ordered, key=lambda part: self.names.index(part[0])))

    def to_json(self) -> str:
        """Write the model as a versioned JSON document."""
        return write_document("model", self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a model document.

        Raises
        ------
        DocumentError
            If the document is truncated, altered, of another kind or of a newer schema.
        """
        return cls(**_without_made_labels(read_document(text, "model")))


def _without_made_labels(content: dict[str, Any]) -> dict[str, Any]:
    """Free a first loading that an earlier version labelled ``free.<item>`` by itself, so that groups share no label.

    Such a label of one's own is kept where anything else uses it.
    """
    text = json.dumps(content, ensure_ascii=False)
    constructs = content.get("constructs")
    read = list(constructs) if isinstance(constructs, list) else []
    for place, construct in enumerate(read):
        match construct:
            case {"items": [{"name": str(name), "loading": str(label)} as first, *others]} if label == f"free.{name}":
                if len(re.findall(rf"(?<![\w.]){re.escape(label)}(?![\w.])", text)) == 1:
                    freed = {**first, "loading": None, "free": True}
                    read[place] = {**construct, "items": [freed, *others]}
    return {**content, "constructs": read} if read else content


def _ends(pair: object) -> frozenset[object]:
    """Return the two ends of a covariance, or of what a document says of one."""
    if isinstance(pair, Mapping):
        return frozenset((pair.get("left"), pair.get("right")))
    return frozenset((pair.left, pair.right)) if isinstance(pair, Covariance) else frozenset()


def _sort_edges(given: object, argument: str) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Sort arrow text, edges and covariances in any mixture into edges and covariances."""
    parts = [given] if isinstance(given, str | Edge | Covariance) else given
    if isinstance(parts, Mapping | bytes) or not isinstance(parts, Iterable):
        allowed = "arrow text, rox.Edge, rox.Covariance, or a list of them"
        raise SpecError(f"{argument}= was {given!r}.", allowed=allowed)
    edges: list[object] = []
    covariances: list[object] = []
    for part in parts:
        if isinstance(part, str):
            for arrow in read_arrows(part):
                if arrow.kind == "->":
                    edges.append(Edge(cause=arrow.left, effect=arrow.right))
                else:
                    covariances.append(Covariance(left=arrow.left, right=arrow.right))
        elif isinstance(part, Covariance) or (isinstance(part, Mapping) and "left" in part):
            covariances.append(part)
        else:
            edges.append(part)
    return tuple(edges), tuple(covariances)


def _check_constructs(model: CausalModel) -> None:
    """Refuse two constructs of one name, an item of two constructs, and a name that means both."""
    if not model.constructs:
        raise SpecError("A model needs at least one construct; got none.")
    names = model.names
    _refuse_twice(names, "construct")
    owner: dict[str, Construct] = {}
    for construct in model.constructs:
        for item in construct.item_names:
            other = owner.setdefault(item, construct)
            if other is not construct:
                raise SpecError(
                    f"Item {item!r} is used by the constructs {other.name!r} and {construct.name!r}.",
                    hint="An item measures one construct; if two surveys share its name, rename it in one.",
                )
            if item in names and (item != construct.name or len(construct.items) > 1):
                raise SpecError(
                    f"{item!r} is a construct and also an item of {construct.name!r}.",
                    hint="Rename one of them, so that an arrow says which is meant.",
                )
        _refuse_twice(construct.item_names, f"item of {construct.name!r}")


def _check_edges(model: CausalModel) -> None:
    """Refuse an edge between unknown constructs, and an edge given twice."""
    names = model.names
    known = set(names)
    for edge in model.edges:
        for end in (edge.cause, edge.effect):
            if end not in known:
                raise SpecError(f"The edge {edge} names {end!r}, which is no construct.", hint=did_you_mean(end, names))
    _refuse_twice([f"{edge} at lag {edge.lag}" if edge.lag else str(edge) for edge in model.edges], "edge")


def _check_covariances(model: CausalModel) -> None:
    """Refuse a covariance of unknown names, of a construct and an item, of an item that has no residual."""
    items = [item.name for item in model.items]
    structural, measured = set(model.names), set(items)
    for pair in model.covariances:
        ends = {pair.left, pair.right}
        for end in (pair.left, pair.right):
            if end not in structural and end not in measured:
                raise SpecError(
                    f"The arrow {pair} names {end!r}, which is neither a construct nor an item.",
                    hint=did_you_mean(end, [*model.names, *items]),
                )
        if not (ends <= structural or ends <= measured):
            raise SpecError(f"The arrow {pair} joins a construct and an item.", allowed="two constructs, or two items")
    ordered = [sorted((pair.left, pair.right)) for pair in model.covariances]
    _refuse_twice([arrow_text(left, right, "<->") for left, right in ordered], "arrow")
    owner = {item: construct.name for construct in model.constructs for item in construct.item_names}
    stated = {pair.left for pair in model.covariances if pair.left == pair.right}
    exact = {c.items[0].name for c in model.constructs if c.observed} - stated
    for pair in model.covariances:
        wrong = [end for end in (pair.left, pair.right) if end in exact or end in structural]
        if pair.left != pair.right and not {pair.left, pair.right} <= structural and wrong:
            raise SpecError(
                f"The arrow {pair} joins the residuals of items, but {wrong[0]!r} is a construct of its own.",
                hint="It is measured without error, so that it has no residual: join the constructs instead, "
                f"{arrow_text(owner.get(pair.left, pair.left), owner.get(pair.right, pair.right), '<->')}.",
            )


def acting(model: CausalModel) -> set[str]:
    """Constructs that act on another within the wave."""
    return {edge.cause for edge in model.edges if edge.lag == 0}


def terminal(model: CausalModel) -> list[str]:
    """Constructs that are acted on and act on none within the wave."""
    causes = acting(model)
    return [name for name in model.endogenous if name not in causes]


def labels_of(model: CausalModel) -> list[str]:
    """Labels that parameters bear, those of loadings last."""
    labels = [part.label for part in (*model.edges, *model.covariances) if part.label is not None]
    return labels + [item.loading for item in model.items if isinstance(item.loading, str)]


def within_wave(edges: Iterable[Edge], names: Iterable[str] = ()) -> nx.DiGraph[str]:
    """What acts on what within one wave, as a graph; constructs without an edge are in it if they are named."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((edge.cause, edge.effect) for edge in edges if edge.lag == 0)
    return graph


def loop_within(edges: Iterable[Edge]) -> str | None:
    """A feedback loop within the wave, ``a -> b -> a``; None without one."""
    try:
        loop = nx.find_cycle(within_wave(edges))
    except nx.NetworkXNoCycle:
        return None
    return " -> ".join([*(edge[0] for edge in loop), loop[0][0]])


def _check_labels(model: CausalModel) -> None:
    """Refuse labels that contradict each other, and a definition of unknown labels or of a label's name."""
    fixed: dict[str, float] = {}
    for part in (*model.edges, *model.covariances):
        if part.label is not None and part.fixed is not None:
            other = fixed.setdefault(part.label, part.fixed)
            if other != part.fixed:
                raise SpecError(
                    f"The label {part.label!r} is fixed to {other:g} and to {part.fixed:g}.",
                    hint="Equal labels are equal parameters: rename one.",
                )
    labels = labels_of(model)
    for name in model.definitions:
        if name in labels:
            raise SpecError(f"{name!r} is a definition and also the label of a parameter.", hint="Rename one.")
    check_definitions(model.definitions, labels)


def _refuse_twice(names: Iterable[object], what: str) -> None:
    seen: set[object] = set()
    twice: dict[object, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    if twice:
        raise SpecError(f"The {what} {listed(twice)} is given more than once.", hint="Keep one.")


def headline(model: CausalModel) -> tuple[str, str] | None:
    """Cause and effect of the total effect that is reported first; None where no construct acts on another.

    The cause is the first construct of the factor pride, else the first that has no cause and is no context; the
    effect the last outcome that it reaches (figures of the units before survey answers), else the last construct.

    >>> from roxmodel.spec.graph import five_factor
    >>> headline(five_factor({"pride": ["p1"], "outcomes": ["revenue"]}))
    ('pride', 'outcomes')
    """
    graph = within_wave(model.edges, model.names)
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


def model_nodes(model: CausalModel) -> tuple[Node, ...]:
    """One node for each construct."""
    return tuple(Node(name=c.name, factor=c.factor, source=c.source, items=len(c.items)) for c in model.constructs)
