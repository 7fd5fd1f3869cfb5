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
    scales = _scales(scale, items, given)
    constructs = [
        _construct(factor, construct, columns, given, scales)
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


def _construct(
    factor: str, name: str, items: Items, sources: Mapping[str, str], scales: Mapping[str, Scale]
) -> Construct:
    source = _source_of(factor, name, sources)
    return Construct(name=name, factor=factor, source=source, items=items, scale=scales.get(name, scales.get(factor)))


def _source_of(factor: str, name: str, sources: Mapping[str, str]) -> str:
    return sources.get(name, sources.get(factor, _SOURCES[factor]))


def _scales(
    scale: Scale | Mapping[str, Scale] | None, items: Mapping[str, ItemsOrConstructs], sources: Mapping[str, str]
) -> dict[str, Scale]:
    """Factor or construct to the scale of its items."""
    named = [(factor, name, own) for factor in items for name, own in _constructs_of(factor, items[factor]).items()]
    if isinstance(scale, Mapping):
        known = [*items, *(name for _, name, _ in named)]
        for name in scale:
            if name not in known:
                raise SpecError(
                    f"scale= names {name!r}, which is neither a factor nor a construct here.",
                    hint=did_you_mean(str(name), known),
                )
        return dict(scale)
    if scale is None:
        return {}
    asked = {name for factor, name, _ in named if _source_of(factor, name, sources) != UNIT}
    for factor, name, own in named:
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
