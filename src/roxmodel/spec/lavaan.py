"""Model text in lavaan's syntax, in and out: ``=~``, ``~``, ``~~``, ``:=``.

The syntax is that of Rosseel (2012), doi 10.18637/jss.v048.i02. Read with the defaults of its ``sem()``: the first
loading is 1, residuals of constructs that cause nothing covary, observed exogenous variables are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item

__all__ = ["read_lavaan", "write_lavaan"]

_NAME = re.compile(r"[A-Za-z.][\w.]*")
_OPERATOR = re.compile(r"(:=|=~|~~|~\*~|<~|==|[|<>]|~)")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class _Term:
    name: str
    fixed: float | None = None
    label: str | None = None
    start: float | None = None


@dataclass(slots=True)
class _Parts:
    """What the statements said, in order."""

    loadings: dict[str, list[_Term]] = field(default_factory=dict)
    edges: list[tuple[str, _Term]] = field(default_factory=list)
    pairs: list[tuple[str, _Term]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)


def read_lavaan(text: str, factors: Mapping[str, str], source: str, name: str) -> RoxModel:
    """Read lavaan text; see `RoxModel.from_lavaan`."""
    parts = _Parts()
    for statement in _statements(text):
        _read_statement(statement, parts)
    names = _construct_names(parts)
    for given in factors:
        if given not in names:
            raise SpecError(f"factors= names {given!r}, which is no construct.", hint=did_you_mean(given, names))
    constructs = tuple(
        Construct(
            name=construct,
            factor=factors.get(construct, "context"),
            source=source,
            items=_items(construct, parts.loadings.get(construct)),
        )
        for construct in names
    )
    edges = tuple(
        Edge(cause=term.name, effect=effect, fixed=term.fixed, label=term.label, start=term.start)
        for effect, term in parts.edges
    )
    covariances = tuple(
        Covariance(left=left, right=term.name, fixed=term.fixed, label=term.label, start=term.start)
        for left, term in parts.pairs
        if (left, term) not in _plain_variances(parts)
    )
    return RoxModel(
        name=name,
        constructs=constructs,
        edges=edges,
        covariances=covariances,
        definitions=parts.definitions,
        terminal_covariances=True,
        exogenous="fixed",
        feedback=_has_loop(edges),
    )


def _plain_variances(parts: _Parts) -> list[tuple[str, _Term]]:
    """``x ~~ x`` without a modifier only says what is free anyway."""
    return [(left, term) for left, term in parts.pairs if _Term(left) == term]


def _has_loop(edges: tuple[Edge, ...]) -> bool:
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((edge.cause, edge.effect) for edge in edges)
    return not nx.is_directed_acyclic_graph(graph)


def _statements(text: str) -> Iterator[str]:
    """Split at new lines and semicolons; a line that ends in an operator or ``+`` goes on in the next."""
    pending = ""
    for raw in re.split(r"[\n;]", text):
        line = re.split(r"[#!]", raw, maxsplit=1)[0].strip()
        if not line:
            continue
        joined = f"{pending} {line}".strip() if pending or line.startswith("+") else line
        if joined.endswith(("+", "~", "*", "=")):
            pending = joined
            continue
        pending = ""
        yield joined
    if pending:
        raise SpecError(f"The lavaan statement {pending!r} breaks off.", hint="Complete or delete it.")


def _read_statement(statement: str, parts: _Parts) -> None:
    match = _OPERATOR.search(statement)
    if match is None:
        raise _unread(statement, "it holds none of the operators =~ ~ ~~ :=")
    operator = match[1]
    left, right = statement[: match.start()].strip(), statement[match.end() :].strip()
    if operator not in {"=~", "~", "~~", ":="}:
        raise _unread(statement, f"the operator {operator!r} is not read")
    if operator == ":=":
        parts.definitions[_name(statement, left)] = right
        return
    for one in left.split("+"):
        target = _name(statement, one.strip())
        for term in _terms(statement, right):
            if operator == "=~":
                parts.loadings.setdefault(target, []).append(term)
            elif operator == "~":
                parts.edges.append((target, term))
            else:
                parts.pairs.append((target, term))


def _terms(statement: str, text: str) -> list[_Term]:
    """The right-hand side; a name that stands twice (``start(1)*x + a*x``) is one term."""
    found: dict[str, _Term] = {}
    for part in text.split("+"):
        *modifiers, name = [piece.strip() for piece in part.split("*")]
        if name in {"1", "0"}:
            raise _unread(statement, "intercept formulas (~ 1) are not read; means are always in the model")
        term = found.get(_name(statement, name), _Term(name))
        for modifier in modifiers:
            term = _modified(statement, term, modifier)
        found[name] = term
    return list(found.values())


def _modified(statement: str, term: _Term, text: str) -> _Term:
    if _NUMBER.fullmatch(text):
        return replace(term, fixed=float(text))
    start = re.fullmatch(r"start\(\s*(" + _NUMBER.pattern + r")\s*\)", text)
    if start:
        return replace(term, start=float(start[1]))
    label = re.fullmatch(r"(?:label|equal)\(\s*[\"'](.+)[\"']\s*\)", text)
    if label:
        return replace(term, label=label[1])
    if _NAME.fullmatch(text) and text != "NA":
        return replace(term, label=text)
    raise _unread(statement, f"the modifier {text!r} is not read; use a number, a label or start(number)")


def _name(statement: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _unread(statement, f"{text!r} is no name")
    return text


def _unread(statement: str, why: str) -> SpecError:
    return SpecError(f"The lavaan statement {statement!r} cannot be read: {why}.", allowed="=~ ~ ~~ :=")


def _construct_names(parts: _Parts) -> list[str]:
    """Latent constructs, then observed variables of the edges and free pairs, in order of appearance."""
    indicators = {term.name for terms in parts.loadings.values() for term in terms} - set(parts.loadings)
    names = list(parts.loadings)
    for effect, term in parts.edges:
        names += [effect, term.name]
    for left, term in parts.pairs:
        names += [left, term.name]
    for latent in parts.loadings:
        nested = [term.name for term in parts.loadings[latent] if term.name in parts.loadings]
        if nested:
            raise SpecError(
                f"{latent!r} is measured by the latent {nested[0]!r}: second-order constructs are not read.",
                hint=f"Write {nested[0]} ~ {latent} and give {latent!r} items of its own.",
            )
    used = {name for effect, term in parts.edges for name in (effect, term.name)} & indicators
    if used:
        raise SpecError(f"{sorted(used)[0]!r} measures a construct and also stands in a '~' statement.")
    return [name for name in dict.fromkeys(names) if name not in indicators]


def _items(construct: str, terms: list[_Term] | None) -> tuple[Item, ...]:
    if terms is None:
        return (Item(name=construct),)
    return tuple(
        Item(name=term.name, loading=term.fixed if term.fixed is not None else term.label, start=term.start)
        for term in terms
    )


def write_lavaan(model: RoxModel) -> str:
    """Write a model for lavaan's ``sem()``; see `RoxModel.to_lavaan`.

    Lagged edges are left out, as they are out of the covariance structure; scales, sources and reversals are not
    lavaan's. Where this model and the defaults of ``sem()`` differ, the text says so explicitly.
    """
    for name in (*model.names, *(item.name for item in model.items)):
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"{name!r} cannot be a name in lavaan.", allowed="letters, digits, '.' and '_', a letter first"
            )
    lines = [line for construct in model.constructs for line in _measurement_lines(construct)]
    for effect in model.endogenous:
        terms = [_written(e.cause, e) for e in model.edges if e.effect == effect and e.lag == 0]
        lines.append(f"{effect} ~ {' + '.join(terms)}")
    lines += [f"{pair.left} ~~ {_written(pair.right, pair)}" for pair in model.covariances]
    lines += _default_lines(model)
    lines += [f"{name} := {text}" for name, text in model.definitions.items()]
    return "\n".join(lines) + "\n"


def _measurement_lines(construct: Construct) -> Iterator[str]:
    first = construct.items[0]
    if construct.observed and first.name == construct.name:
        return
    terms = [_loading(item, position) for position, item in enumerate(construct.items)]
    latent = construct.name
    yield f"{latent} =~ {' + '.join(terms)}"
    if construct.observed:
        yield f"{first.name} ~~ 0*{first.name}"
    elif len(construct.items) == 1:
        yield f"# reliability {construct.reliability:g}: fix {first.name} ~~ (1 - reliability) * variance"
    elif construct.residuals == "zero":
        yield from (f"{item} ~~ 0*{item}" for item in construct.item_names)
    elif construct.residuals == "equal":
        yield from (f"{item} ~~ residual_{latent}*{item}" for item in construct.item_names)


def _loading(item: Item, position: int) -> str:
    if item.loading is None:
        if item.start is not None and position:
            return f"start({item.start!r})*{item.name}"
        return item.name
    start = f"start({item.start!r})*{item.name} + " if item.start is not None else ""
    return f"{start}{item.loading}*{item.name}"


def _written(name: str, part: Edge | Covariance) -> str:
    if part.fixed is not None:
        return f"{part.fixed!r}*{name}"
    modified = f"{part.label}*{name}" if part.label is not None else name
    if part.start is not None:
        return f"start({part.start!r})*{name}" + (f" + {modified}" if part.label is not None else "")
    return modified


def _default_lines(model: RoxModel) -> Iterator[str]:
    """Say what ``sem()`` would otherwise decide by itself."""
    stated = {frozenset((pair.left, pair.right)) for pair in model.covariances}
    if not model.terminal_covariances:
        caused = {edge.cause for edge in model.edges if edge.lag == 0}
        terminal = [name for name in model.endogenous if name not in caused]
        for left, right in combinations(terminal, 2):
            if frozenset((left, right)) not in stated:
                yield f"{left} ~~ 0*{right}"
    if model.exogenous == "free":
        observed = [n for n in model.exogenous_names if model.find(n).observed]
        for name in observed:
            yield f"{name} ~~ {name}"
        for left, right in combinations(model.exogenous_names, 2):
            if {left, right} & set(observed) and frozenset((left, right)) not in stated:
                yield f"{left} ~~ {right}"
