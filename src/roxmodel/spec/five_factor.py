"""The five-factor chain from a short mapping, with PwC's default arrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.spec.constructs import UNIT, Construct, Covariance, Edge
from roxmodel.spec.factors import FACTORS, MAIN_ORDER
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item, Scale

__all__ = ["five_factor"]

_SOURCES = {
    "pride": "employee",
    "influencers": "employee",
    "behaviours": "employee",
    "value_drivers": "customer",
    "outcomes": UNIT,
    "context": UNIT,
}

Items = Sequence[str | Item] | str | Item
ItemsOrConstructs = Items | Mapping[str, Items]


def five_factor(
    items: Mapping[str, ItemsOrConstructs],
    *,
    sources: Mapping[str, str] | None = None,
    scale: Scale | None = None,
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
        Scale of every survey item without one of its own.
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
        For an unknown factor, with the likely one.

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
    constructs = [
        _construct(factor, construct, columns, given, scale)
        for factor in FACTORS
        if factor in items
        for construct, columns in _constructs_of(factor, items[factor]).items()
    ]
    unknown = [name for name in given if name not in FACTORS and name not in {c.name for c in constructs}]
    if unknown:
        raise SpecError(
            f"sources= names {unknown[0]!r}, which is neither a factor nor a construct.",
            hint=did_you_mean(unknown[0], [*FACTORS, *(c.name for c in constructs)]),
        )
    arrows = _default_edges(constructs) if edges is None else edges
    return RoxModel(name=name, constructs=tuple(constructs), edges=arrows)


def _constructs_of(factor: str, given: ItemsOrConstructs) -> dict[str, Items]:
    return dict(given) if isinstance(given, Mapping) else {factor: given}


def _construct(factor: str, name: str, items: Items, sources: Mapping[str, str], scale: Scale | None) -> Construct:
    source = sources.get(name, sources.get(factor, _SOURCES[factor]))
    return Construct(name=name, factor=factor, source=source, items=items, scale=None if source == UNIT else scale)


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
