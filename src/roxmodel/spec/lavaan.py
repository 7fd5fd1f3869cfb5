"""Models as text in lavaan's syntax, with the defaults of its ``sem()``: ``=~``, ``~``, ``~~``, ``:=``.

The syntax is that of Rosseel (2012), doi 10.18637/jss.v048.i02. What ``sem()`` decides by itself is said in
the model: the first loading is 1 (``NA*`` frees it), a single indicator has no residual, residuals of
constructs that cause nothing covary, observed exogenous variables are given by the data unless a ``~~`` names
them, and a latent and an observed exogenous variable do not covary.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import comb
from reprlib import Repr
from typing import Any, Final, Literal, TypeVar

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.spec.causal import CausalModel, acting, labels_of, loop_within, terminal
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.spec.definitions import in_order
from roxmodel.spec.questionnaire import Item

__all__ = ["read_lavaan", "write_lavaan"]

_Part = TypeVar("_Part", Edge, Covariance)
_NAME = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*")
_OPERATOR = re.compile(r"(:=|=~|~~|~\*~|<~|==|[|<>]|~)")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_PIECE = re.compile(
    rf"\s*(?P<piece>[\w.]+\([^()]*\)|\"[^\"]*\"|'[^']*'|{_NAME.pattern}|{_NUMBER.pattern})\s*(?P<sign>[*+]|$)"
)
_SHORT = Repr()
_SHORT.maxstring = 400
_MOST = 50_000  # what the sides of one statement, or what is unsaid, may multiply to
_GOES_ON = ("+", "-", "*", "/", "^", "~", "=", "(", ",")
_GOES_ON_WITH = ("+", "-", "*", "/", "^", ")", ",")
# Comments, and the semicolon that parts statements; neither counts inside quotes, which end with their line.
_NOT_READ = re.compile(r"(?P<quoted>\"[^\"\r\n]*\"|'[^'\r\n]*')|[#!][^\r\n]*|;")


@dataclass(frozen=True, slots=True)
class _Term:
    """One variable of a right-hand side with its modifiers; `freed` is ``NA*``."""

    name: str
    fixed: float | None = None
    label: str | None = None
    start: float | None = None
    freed: bool = False


@dataclass(slots=True)
class _Said:
    """What the statements said, in order."""

    loadings: dict[str, list[_Term]] = field(default_factory=dict)
    edges: list[tuple[str, _Term]] = field(default_factory=list)
    pairs: list[tuple[str, _Term]] = field(default_factory=list)
    definitions: dict[str, str] = field(default_factory=dict)


def read_lavaan(text: str, factors: Mapping[str, str], source: str, name: str) -> dict[str, Any]:
    """Read lavaan text to the fields of a model; see `RoxModel.from_lavaan`."""
    if not isinstance(text, str):
        raise SpecError(f"{text!r} is no lavaan text.", hint="Join the lines to one text.")
    if not isinstance(factors, Mapping):
        raise SpecError(f"factors= was {factors!r}.", allowed="a mapping from construct to factor")
    parts = _Said()
    for statement in _statements(text):
        _read_statement(statement, parts)
    names = _construct_names(parts)
    for given in factors:
        if given not in names:
            hint = did_you_mean(str(given), names)
            raise SpecError(f"factors= names {given!r}, which is no construct.", hint=hint)
    fixed = _fix_loadings_by_label(parts)
    edges = tuple(_arrowed(Edge, {"cause": term.name, "effect": effect}, term, fixed) for effect, term in parts.edges)
    return {
        "name": name,
        "constructs": tuple(_construct(one, parts, factors.get(one, "context"), source) for one in names),
        "edges": edges,
        "covariances": (*_stated(parts, fixed), *_unsaid(parts, names)),
        "definitions": {key: _with_values(definition, fixed) for key, definition in parts.definitions.items()},
        "terminal_covariances": True,
        "exogenous": "fixed",
        "feedback": loop_within(edges) is not None,
    }


# What was said, in the model's words.


def _construct(name: str, parts: _Said, factor: str, source: str) -> Construct:
    terms = parts.loadings.get(name)
    items = (Item(name=name),) if terms is None else tuple(_items(terms))
    equal = "equal" if name in _with_equal_residuals(parts) else None
    return Construct(name=name, factor=factor, source=source, items=items, residuals=equal)


def _with_equal_residuals(parts: _Said) -> dict[str, set[str]]:
    """Constructs whose residuals all bear the label that `_equal_label` gives them, and nothing else: name -> items.

    So a model with ``residuals="equal"`` comes back as it was written, and groups do not share the label.
    """
    found = {}
    every = [term.label for _, term in (*parts.edges, *parts.pairs)]
    every += [term.label for terms in parts.loadings.values() for term in terms]
    for latent, terms in parts.loadings.items():
        label, items = _equal_label(latent), {term.name for term in terms}
        own = [left for left, term in parts.pairs if term == _Term(left, label=label) and left in items]
        used = any(re.search(rf"(?<![\w.]){re.escape(label)}(?![\w.])", text) for text in parts.definitions.values())
        if len(items) > 1 and sorted(own) == sorted(items) and every.count(label) == len(own) and not used:
            found[latent] = items
    return found


def _equal_label(construct: str) -> str:
    """Name the residual variance that all items of a construct share, in lavaan text."""
    return f"residual_{construct}"


def _items(terms: list[_Term]) -> Iterator[Item]:
    """Read the indicators; the first is the marker, with a label or without, unless it is fixed or freed."""
    for position, term in enumerate(terms):
        loading: float | str | None = term.label if term.fixed is None else term.fixed
        free = None
        if position == 0 and term.fixed is None and term.freed and term.label is None:
            free = True
        elif position == 0 and term.fixed is None and not term.freed and term.label is not None:
            free = False
        yield Item(name=term.name, loading=loading, start=term.start, free=free)


def _fix_loadings_by_label(parts: _Said) -> dict[str, float]:
    """Fix the loadings whose label stands at a fixed one, and return label -> value."""
    values: dict[str, float] = {}
    for terms in parts.loadings.values():
        for term in terms:
            if term.label is not None and term.fixed is not None:
                values.setdefault(term.label, term.fixed)
    for construct, terms in parts.loadings.items():
        parts.loadings[construct] = [replace(t, fixed=values.get(t.label or "", t.fixed)) for t in terms]
    return values


def _arrowed(kind: type[_Part], ends: Mapping[str, str], term: _Term, fixed: Mapping[str, float]) -> _Part:
    value = fixed.get(term.label or "", term.fixed)
    return kind(**ends, fixed=value, label=term.label, start=term.start)


def _with_values(definition: str, fixed: Mapping[str, float]) -> str:
    """Write the values of fixed loadings into a definition: an item has a number or a label, not both."""
    return re.sub(
        rf"(?<![\w.]){_NAME.pattern}",
        lambda match: f"({fixed[match[0]]!r})" if match[0] in fixed else match[0],
        definition,
    )


def _stated(parts: _Said, fixed: Mapping[str, float]) -> Iterator[Covariance]:
    """Read the ``~~``, but for a plain ``x ~~ x`` that only says what is free anyway."""
    several = {name: terms for name, terms in parts.loadings.items() if len(terms) > 1}
    indicators = {term.name for terms in several.values() for term in terms}
    free = {*several, *indicators, *(effect for effect, _ in parts.edges)}
    alike = {item for items in _with_equal_residuals(parts).values() for item in items}
    for left, term in parts.pairs:
        if left == term.name and left in alike:
            continue
        if not (left in free and replace(term, freed=False) == _Term(left)):
            yield _arrowed(Covariance, {"left": left, "right": term.name}, term, fixed)


def _unsaid(parts: _Said, names: list[str]) -> Iterator[Covariance]:
    """State the exogenous moments that ``sem()`` treats otherwise than a `RoxModel` does by default."""
    caused = {effect for effect, _ in parts.edges}
    causes = {term.name for _, term in parts.edges}
    said = {frozenset((left, term.name)) for left, term in parts.pairs}
    named = {end for pair in said for end in pair}
    exogenous = [name for name in names if name not in caused]
    latent = {name for name in exogenous if name in parts.loadings}
    given = {name for name in exogenous if name in causes and name not in named} - latent
    for name in exogenous:
        several = len(parts.loadings.get(name, ())) > 1
        if name not in given and not several and frozenset((name,)) not in said:
            yield Covariance(left=name, right=name)
    kinds = {name: "given" if name in given else "latent" if name in latent else name for name in exogenous}
    for left, right in _apart(exogenous, kinds):
        if frozenset((left, right)) not in said:
            yield Covariance(left=left, right=right, fixed=0.0)


def _apart(names: list[str], kinds: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of names of different kinds, in their order."""
    sizes = Counter(kinds[name] for name in names)
    count = comb(len(names), 2) - sum(comb(size, 2) for size in sizes.values())
    if count > _MOST:
        raise SpecError(
            f"The lavaan text has {len(names):,} exogenous variables, which makes {count:,} covariances that are 0.",
            allowed=f"up to {_MOST:,}",
        )
    others = {kind: [place for place, name in enumerate(names) if kinds[name] != kind] for kind in sizes}
    for place, name in enumerate(names):
        later = others[kinds[name]]
        yield from ((name, names[other]) for other in later[bisect_right(later, place) :])


def _construct_names(parts: _Said) -> list[str]:
    """Latent constructs, then observed variables of the edges and free pairs, in order of appearance."""
    indicators = {term.name for terms in parts.loadings.values() for term in terms} - set(parts.loadings)
    names = list(parts.loadings)
    for effect, term in parts.edges:
        names += [effect, term.name]
    for left, term in parts.pairs:
        names += [left, term.name]
    for latent, terms in parts.loadings.items():
        nested = [term.name for term in terms if term.name in parts.loadings]
        if nested:
            raise SpecError(
                f"{latent!r} is measured by the latent {nested[0]!r}: second-order constructs are not read.",
                hint=f"Write {nested[0]} ~ {latent} and give {latent!r} items of its own.",
            )
    used = {name for effect, term in parts.edges for name in (effect, term.name)} & indicators
    if used:
        raise SpecError(
            f"{sorted(used)[0]!r} measures a construct and also stands in a '~' statement.",
            hint="Let the construct take its place in the '~', or leave it out of the '=~'.",
        )
    return [name for name in dict.fromkeys(names) if name not in indicators]


# The text, statement by statement.


def _statements(text: str) -> list[str]:
    """Split at new lines and semicolons outside comments; what breaks off, or starts with an operator, goes on."""
    found: list[str] = []
    bare = _NOT_READ.sub(lambda match: match["quoted"] or ("\n" if match[0] == ";" else ""), text.lstrip("\ufeff"))
    for line in (raw.strip() for raw in bare.splitlines()):
        unfinished = bool(found) and _breaks_off(found[-1])
        if unfinished and _OPERATOR.search(line) and not line.startswith(_GOES_ON_WITH):
            break
        if found and line and (unfinished or line.startswith(_GOES_ON_WITH)):
            found[-1] = f"{found[-1]} {line}"
        elif line:
            found.append(line)
    if not found:
        raise SpecError("The lavaan text holds no statement.", hint="Write for example 'f =~ x1 + x2 + x3'.")
    if _breaks_off(found[-1]):
        raise SpecError(f"The lavaan statement {found[-1]!r} breaks off.", hint="Complete or delete it.")
    return found


def _breaks_off(statement: str) -> bool:
    return statement.endswith(_GOES_ON) or statement.count("(") > statement.count(")")


def _read_statement(statement: str, parts: _Said) -> None:
    match = _OPERATOR.search(statement)
    if match is None:
        blocks = re.match(r"(level|group|block|class)\s*:", statement)
        why = "several levels or groups in one text" if blocks else "it holds none of the operators =~ ~ ~~ :="
        raise _unread(statement, why)
    operator = match[1]
    left, right = statement[: match.start()].strip(), statement[match.end() :].strip()
    if operator == "==":
        raise _unread(statement, "parameters are made equal by one label for both")
    if operator not in {"=~", "~", "~~", ":="}:
        raise _unread(statement, f"the operator {operator!r} is not read")
    if operator == ":=":
        if _name(statement, left) in parts.definitions:
            raise _unread(statement, f"{left!r} is defined twice")
        parts.definitions[left] = right
        return
    terms = _terms(statement, right)
    targets = [_name(statement, one.strip()) for one in left.split("+")]
    if len(targets) * len(terms) > _MOST:
        raise SpecError(
            f"The lavaan statement {_SHORT.repr(statement)} makes {len(targets) * len(terms):,} parameters.",
            allowed=f"up to {_MOST:,}",
        )
    for target in targets:
        if operator == "=~":
            parts.loadings.setdefault(target, []).extend(terms)
        else:
            (parts.edges if operator == "~" else parts.pairs).extend((target, term) for term in terms)


def _terms(statement: str, text: str) -> list[_Term]:
    """Read the right-hand side; a name that stands twice (``start(1)*x + a*x``) is one term."""
    found: dict[str, _Term] = {}
    for *modifiers, name in _products(statement, text):
        if _NUMBER.fullmatch(name) and modifiers and float(name) not in {0, 1}:
            raise _unread(statement, f"a name was expected at {name!r}: a modifier stands before its variable")
        if _NUMBER.fullmatch(name):
            raise _unread(statement, "intercept formulas (~ 1) are not read; rox.fit(..., means=True) estimates means")
        if sum(not modifier.startswith("start(") for modifier in modifiers) > 1:
            each = " + ".join(f"{modifier}*{name}" for modifier in modifiers)
            raise _unread(statement, f"a variable has one modifier at a time; write {each}")
        term = found.get(_name(statement, name), _Term(name))
        for modifier in modifiers:
            term = _modified(statement, term, modifier)
            if term.freed and term.fixed is not None:
                raise _unread(statement, f"{name!r} is fixed ({term.fixed:g}) and freed (NA) at once")
        found[name] = term
    return list(found.values())


def _products(statement: str, text: str) -> Iterator[list[str]]:
    """Split ``2*x + start(.5)*y`` into ``[2, x]`` and ``[start(.5), y]``."""
    product: list[str] = []
    at = 0
    while at < len(text) or product:
        match = _PIECE.match(text, at)
        if match is None:
            where = f"at {_SHORT.repr(text[at:].strip())}" if text[at:].strip() else "at its end"
            raise _unread(statement, f"a name or a modifier was expected {where}")
        product.append(match["piece"])
        at = match.end()
        if match["sign"] != "*":
            yield product
            product = []
    if text.endswith("+"):
        raise _unread(statement, "a name is missing at its end")


def _modified(statement: str, term: _Term, text: str) -> _Term:
    if _NUMBER.fullmatch(text):
        return _told(statement, term, "fixed", float(text))
    if text == "NA":
        return replace(term, freed=True)
    start = re.fullmatch(rf"start\(\s*({_NUMBER.pattern})\s*\)", text)
    if start:
        return _told(statement, term, "start", float(start[1]))
    label = re.fullmatch(
        r"""(?:label\(\s*(?P<outer>["'])(?P<called>.+)(?P=outer)\s*\)|(?P<q>["'])(?P<quoted>.+)(?P=q))""", text
    )
    if label:
        return _told(statement, term, "label", label["called"] or label["quoted"])
    if _NAME.fullmatch(text):
        return _told(statement, term, "label", text)
    raise _unread(statement, f"the modifier {text!r} is not read; use a number, a label, NA or start(number)")


def _told(statement: str, term: _Term, what: Literal["fixed", "start", "label"], value: float | str) -> _Term:
    old = getattr(term, what)
    if old is not None and old != value:
        words = {"fixed": "fixed to", "start": "started at", "label": "labelled"}[what]
        raise _unread(statement, f"{term.name!r} is {words} {old!r} and {value!r} at once")
    changes: dict[str, Any] = {what: value}
    return replace(term, **changes)


def _name(statement: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _unread(statement, f"{text!r} is no name")
    return text


def _unread(statement: str, why: str) -> SpecError:
    return SpecError(f"The lavaan statement {_SHORT.repr(statement)} cannot be read: {why}.", allowed="=~ ~ ~~ :=")


# Words that R keeps for itself.
_RESERVED: Final = frozenset(
    {"if", "else", "repeat", "while", "function", "for", "next", "break", "in"}
    | {"TRUE", "FALSE", "NULL", "Inf", "NaN", "NA", "NA_integer_", "NA_real_", "NA_character_"}
)


def write_lavaan(model: CausalModel) -> str:
    """Write a model for lavaan's ``sem()``; see `RoxModel.to_lavaan`.

    Lagged edges are left out, as they are out of the covariance structure; scales, sources and reversals are
    not lavaan's. Where this model and the defaults of ``sem()`` differ, the text says so explicitly.
    """
    _check_names(model)
    lines = [line for construct in model.constructs for line in _measurement_lines(model, construct)]
    for effect in model.endogenous:
        terms = [_written(e.cause, e) for e in model.edges if e.effect == effect and e.lag == 0]
        lines.append(f"{effect} ~ {' + '.join(terms)}")
    exogenous = _Exogenous(model)
    lines += [
        f"{pair.left} ~~ {_written(pair.right, pair)}" for pair in model.covariances if not exogenous.zero_anyway(pair)
    ]
    lines += exogenous.lines()
    if not model.terminal_covariances:
        pairs = {frozenset((pair.left, pair.right)) for pair in model.covariances}  # sem() would free the others
        ends = combinations(terminal(model), 2)
        lines += [f"{left} ~~ 0*{right}" for left, right in ends if frozenset((left, right)) not in pairs]
    lines += [f"{name} := {model.definitions[name]}" for name in in_order(model.definitions)]
    return "\n".join(lines) + "\n"


def _check_names(model: CausalModel) -> None:
    for name in (*model.names, *(item.name for item in model.items), *labels_of(model), *model.definitions):
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise SpecError(
                f"{name!r} cannot be a name in lavaan.",
                allowed="letters, digits, '.' and '_', a letter first, and no word of the R language",
            )


def _manifest(construct: Construct) -> bool:
    """Whether lavaan sees an observed variable, not a latent one with a single indicator."""
    return construct.observed and construct.item_names[0] == construct.name


def _measurement_lines(model: CausalModel, construct: Construct) -> Iterator[str]:
    if _manifest(construct):
        return
    latent, first = construct.name, construct.items[0]
    if first.name == latent:
        raise SpecError(
            f"The construct {latent!r} has its item's name, and a reliability: lavaan needs two names.",
            hint="Rename the construct.",
        )
    terms = [_loading(item, position) for position, item in enumerate(construct.items)]
    yield f"{latent} =~ {' + '.join(terms)}"
    stated = {pair.left for pair in model.covariances if pair.left == pair.right}
    free = [name for name in construct.item_names if name not in stated]
    if len(construct.items) == 1:
        if not construct.observed and free:
            yield f"# reliability {construct.reliability}: {first.name} ~~ (1 - reliability) * its variance"
    elif construct.residuals == "zero":
        yield from (f"{item} ~~ 0*{item}" for item in free)
    elif construct.residuals == "equal":
        yield from (f"{item} ~~ {_equal_label(latent)}*{item}" for item in free)


def _loading(item: Item, position: int) -> str:
    modifiers = [f"start({_number(item.start)})"] if item.start is not None else []
    if isinstance(item.loading, float):
        modifiers = [_number(item.loading)]
    elif position == 0 and item.marks:
        modifiers = []
    elif position == 0:
        modifiers += ["NA"]
    if isinstance(item.loading, str):
        modifiers.append(item.loading)
    return _with_modifiers(item.name, modifiers)


def _written(name: str, part: Edge | Covariance) -> str:
    first = [] if part.start is None else [f"start({_number(part.start)})"]
    first = first if part.fixed is None else [_number(part.fixed)]
    return _with_modifiers(name, [*first, *([] if part.label is None else [part.label])])


def _with_modifiers(name: str, modifiers: list[str]) -> str:
    """Write a variable once for each of its modifiers, as lavaan reads several."""
    return " + ".join(f"{modifier}*{name}" for modifier in modifiers) or name


def _number(value: float) -> str:
    return repr(float(value)).replace("e+", "e")


class _Exogenous:
    """What has to be said of exogenous constructs.

    lavaan takes the moments of an observed exogenous variable as given until a ``~~`` names it; from then on
    all its covariances are zero but those that are stated. `random` are the ones that have to be named.
    """

    def __init__(self, model: CausalModel) -> None:
        self.names = model.exogenous_names
        self.observed = {name for name in self.names if _manifest(model.find(name))}
        self.stated = {frozenset((pair.left, pair.right)): pair for pair in model.covariances}
        given = self.observed & acting(model) if model.exogenous == "fixed" else set()
        self.random = {name for name in self.observed if name not in given or self._is_named(name)}
        for left, right in combinations(sorted(given), 2):
            if self._is_zero(left, right) and not {left, right} & self.random:
                self.random.add(left)
        while more := {name for name in self.observed - self.random if not self._apart(name)}:
            self.random |= more

    def _is_zero(self, left: str, right: str) -> bool:
        pair = self.stated.get(frozenset((left, right)))
        return pair is not None and pair.fixed == 0.0 and pair.label is None

    def _apart(self, name: str) -> bool:
        return all(self._is_zero(name, other) for other in self.random)

    def _is_named(self, name: str) -> bool:
        """Whether something is said of the construct that is not a zero, or it covaries with a latent one."""
        partners = {end for ends in self.stated if name in ends for end in ends - {name}}
        exogenous = set(self.names)
        others = partners | (exogenous - self.observed)
        zeros = all(end in exogenous and self._is_zero(name, end) for end in others)
        return frozenset((name,)) in self.stated or not zeros

    def zero_anyway(self, pair: Covariance) -> bool:
        """Whether lavaan leaves this covariance at zero, so that naming it would only make it random."""
        ends = {pair.left, pair.right}
        exogenous = len(ends) == 2 and ends <= set(self.names)
        both_given = ends <= self.observed - self.random
        return exogenous and bool(ends & self.observed) and not both_given and self._is_zero(*ends)

    def lines(self) -> Iterator[str]:
        """Free what the model frees and lavaan would not."""
        for name in self.names:
            if name in self.random and frozenset((name,)) not in self.stated:
                yield f"{name} ~~ {name}"
        for left, right in combinations(self.names, 2):
            if {left, right} & self.random and frozenset((left, right)) not in self.stated:
                yield f"{left} ~~ {right}"
