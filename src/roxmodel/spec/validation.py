"""What makes a graph well-formed: names that exist, items used once, no loop that was not declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import networkx as nx

from roxmodel.errors import SpecError, did_you_mean, listed
from roxmodel.spec.arrows import arrow_text
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.spec.definitions import check_definitions

__all__ = ["check_constructs", "check_covariances", "check_edges", "check_labels", "check_loops"]


def check_constructs(constructs: Sequence[Construct]) -> None:
    """Refuse two constructs of one name, an item of two constructs, and a name that means both."""
    if not constructs:
        raise SpecError("A model needs at least one construct; got none.")
    names = [construct.name for construct in constructs]
    _refuse_twice(names, "construct")
    owner: dict[str, Construct] = {}
    for construct in constructs:
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


def check_edges(edges: Sequence[Edge], names: Sequence[str]) -> None:
    """Refuse an edge between unknown constructs, and an edge given twice."""
    known = set(names)
    for edge in edges:
        for end in (edge.cause, edge.effect):
            if end not in known:
                raise SpecError(f"The edge {edge} names {end!r}, which is no construct.", hint=did_you_mean(end, names))
    _refuse_twice([f"{edge} at lag {edge.lag}" if edge.lag else str(edge) for edge in edges], "edge")


def check_covariances(covariances: Sequence[Covariance], constructs: Sequence[Construct]) -> None:
    """Refuse a covariance between unknown names, or between a construct and an item."""
    names = [construct.name for construct in constructs]
    items = [item for construct in constructs for item in construct.item_names]
    structural, measured = set(names), set(items)
    for pair in covariances:
        for end in (pair.left, pair.right):
            if end not in structural and end not in measured:
                raise SpecError(
                    f"The arrow {pair} names {end!r}, which is neither a construct nor an item.",
                    hint=did_you_mean(end, [*names, *items]),
                )
        if not ({pair.left, pair.right} <= structural or {pair.left, pair.right} <= measured):
            raise SpecError(f"The arrow {pair} joins a construct and an item.", allowed="two constructs, or two items")
    ordered = [sorted((pair.left, pair.right)) for pair in covariances]
    _refuse_twice([arrow_text(left, right, "<->") for left, right in ordered], "arrow")
    _check_residuals(covariances, constructs)


def _check_residuals(covariances: Sequence[Covariance], constructs: Sequence[Construct]) -> None:
    """Refuse a covariance of two items of which one is measured without error: it has no residual."""
    names = {construct.name for construct in constructs}
    owner = {item: construct.name for construct in constructs for item in construct.item_names}
    stated = {pair.left for pair in covariances if pair.left == pair.right}
    exact = {c.items[0].name for c in constructs if c.observed} - stated
    for pair in covariances:
        ends = {pair.left, pair.right}
        left, right = (owner.get(end, end) for end in (pair.left, pair.right))
        wrong = [end for end in (pair.left, pair.right) if end in exact or end in names]
        if len(ends) == 2 and not ends <= names and wrong:
            raise SpecError(
                f"The arrow {pair} joins the residuals of items, but {wrong[0]!r} is a construct of its own.",
                hint="It is measured without error, so that it has no residual: join the constructs instead, "
                f"{arrow_text(left, right, '<->')}.",
            )


def check_loops(edges: Sequence[Edge], feedback: bool) -> None:
    """Refuse a loop without a lag, naming it, unless feedback was declared."""
    if feedback:
        return
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((edge.cause, edge.effect) for edge in edges if edge.lag == 0)
    try:
        loop = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    around = " -> ".join([*(edge[0] for edge in loop), loop[0][0]])
    raise SpecError(
        f"The edges run in a loop without a lag: {around}.",
        hint="Give one edge a lag (rox.Edge(..., lag=1, fixed=...)) or declare RoxModel(feedback=True) and give "
        "each construct of the loop a cause of its own.",
    )


def check_labels(
    definitions: Mapping[str, str],
    edges: Sequence[Edge],
    covariances: Sequence[Covariance],
    constructs: Sequence[Construct],
) -> None:
    """Refuse labels that contradict each other, and a definition of unknown labels or of a label's name."""
    fixed: dict[str, float] = {}
    for part in (*edges, *covariances):
        if part.label is not None and part.fixed is not None:
            other = fixed.setdefault(part.label, part.fixed)
            if other != part.fixed:
                raise SpecError(
                    f"The label {part.label!r} is fixed to {other:g} and to {part.fixed:g}.",
                    hint="Equal labels are equal parameters: rename one.",
                )
    labels = [part.label for part in (*edges, *covariances) if part.label is not None]
    labels += [i.loading for construct in constructs for i in construct.items if isinstance(i.loading, str)]
    for name in definitions:
        if name in labels:
            raise SpecError(f"{name!r} is a definition and also the label of a parameter.", hint="Rename one.")
    check_definitions(definitions, labels)


def _refuse_twice(names: Iterable[object], what: str) -> None:
    seen: set[object] = set()
    twice = []
    for name in names:
        if name in seen:
            twice.append(name)
        seen.add(name)
    if twice:
        raise SpecError(f"The {what} {listed(dict.fromkeys(twice))} is given more than once.", hint="Keep one.")
