"""Constructs, edges, covariances and the arrow text they are written in: the parts a causal graph is made of.

The five factors and their main order are PwC's (2019): pride, influencers, behaviours, value drivers, outcomes.
`context` is ours: causes that are neither (region, size, affluence), so that they can be adjusted for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import pairwise
from reprlib import Repr
from typing import Any, Final, Literal, Self, get_args

from pydantic import field_validator, model_validator

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.frozen import Frozen, Label, Number, Whole
from roxmodel.spec.questionnaire import Item, Scale
from roxmodel.types import Factor, Residuals

__all__ = ["FACTORS", "MAIN_ORDER", "UNIT", "ArrowRead", "Construct", "Covariance", "Edge", "arrow_text", "read_arrows"]

UNIT = "unit"
FACTORS: Final[tuple[Factor, ...]] = get_args(Factor)
MAIN_ORDER: Final[tuple[Factor, ...]] = ("pride", "influencers", "behaviours", "value_drivers", "outcomes")
_TOKEN = re.compile(
    r"""
      (?P<both><->) | (?P<to>->) | (?P<plus>\+) | (?P<end>[;\n])
    | '(?P<single>(?:[^'\\\n]|\\.)+)' | "(?P<double>(?:[^"\\\n]|\\.)+)"
    | (?P<name>[^\W\d][\w.]*)
    | (?P<space>[ \t\r]+)
    """,
    re.VERBOSE,
)

_SHORT = Repr()
_SHORT.maxstring = 80
_MOST = 50_000  # arrows of one text
_LONGEST = 1_000_000  # waves
_PLAIN_NAME = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True, slots=True)
class ArrowRead:
    """One arrow read from text: ``left -> right`` or ``left <-> right``."""

    left: str
    right: str
    kind: Literal["->", "<->"]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    end: int


def arrow_text(left: str, right: str, kind: str = "->") -> str:
    """Write an arrow so that `read_arrows` reads it back.

    >>> arrow_text("pride", "word of mouth")
    "pride -> 'word of mouth'"
    """
    return f"{_written(left)} {kind} {_written(right)}"


def _written(name: str) -> str:
    """Write a name, in quotes where it is not plain; a backslash stands before what would end the quotes."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    quote = '"' if "'" in name and '"' not in name else "'"
    escaped = name.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", "\\n")
    return f"{quote}{escaped}{quote}"


def read_arrows(text: str) -> list[ArrowRead]:
    """Read arrow text such as ``"influencers + pride -> behaviours"``, one arrow for each pair of names.

    Several names on either side are joined by ``+``; arrows may be chained (``a -> b -> c``) and separated by
    a semicolon or a new line. A name with blanks or signs stands in quotes. What cannot be read is named with its
    character.

    >>> [(a.left, a.right) for a in read_arrows("a + b -> c")]
    [('a', 'c'), ('b', 'c')]
    """
    if not isinstance(text, str):
        raise SpecError(f"{text!r} is no arrow text.", hint="Write for example 'pride -> behaviours'.")
    arrows: list[ArrowRead] = []
    for statement in _statements(text):
        arrows.extend(_read_statement(text, statement))
    if not arrows:
        raise _unreadable(text, len(text), "it holds no arrow")
    return arrows


def _statements(text: str) -> list[list[_Token]]:
    found: list[list[_Token]] = [[]]
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at, "only names, '+', '->' and '<->' are read")
        kind = match.lastgroup or ""
        if kind == "end":
            found.append([])
        elif kind in {"single", "double"}:
            text_read = re.sub(r"\\(.)", lambda escaped: "\n" if escaped[1] == "n" else escaped[1], match[kind])
            found[-1].append(_Token("name", text_read, at, match.end()))
        elif kind != "space":
            found[-1].append(_Token(kind, match[0], at, match.end()))
        at = match.end()
    return [statement for statement in found if statement]


def _read_statement(text: str, tokens: list[_Token]) -> list[ArrowRead]:
    """Read ``name + name -> name + ...``: names and signs take turns."""
    sides: list[list[str]] = [[]]
    signs: list[_Token] = []
    name_next, end = True, tokens[-1].end
    for token in tokens:
        if name_next and token.kind != "name":
            raise _unreadable(text, token.at, "a name was expected")
        if name_next:
            sides[-1].append(token.text)
        elif token.kind in {"to", "both"}:
            signs.append(token)
            sides.append([])
        elif token.kind != "plus":
            raise _unreadable(text, token.at, "'+', '->' or '<->' was expected")
        name_next = not name_next
    if name_next:
        raise _unreadable(text, end, "a name was expected")
    if not signs:
        raise _unreadable(text, end, "an arrow '->' or '<->' is missing")
    count = sum(len(lefts) * len(rights) for lefts, rights in pairwise(sides))
    if count > _MOST:
        raise SpecError(f"The arrow text {_SHORT.repr(text)} makes {count:,} arrows.", allowed=f"up to {_MOST:,}")
    return [
        ArrowRead(left, right, "->" if sign.kind == "to" else "<->")
        for sign, (lefts, rights) in zip(signs, pairwise(sides), strict=True)
        for left in lefts
        for right in rights
    ]


def _unreadable(text: str, at: int, why: str) -> SpecError:
    got = repr(text[at]) if at < len(text) else "the end"
    return SpecError(
        f"The arrow text {text!r} cannot be read at character {at + 1} ({got}): {why}.",
        hint="Write for example 'influencers + pride -> behaviours' or 'value <-> loyalty'.",
    )


class Construct(Frozen):
    """Something that is measured by items and takes part in the graph.

    Parameters
    ----------
    name
        Its name in edges, tables and pictures.
    factor
        ``pride | influencers | behaviours | value_drivers | outcomes | context``.
    source
        Who answers: ``employee``, ``customer``, ``unit`` (the unit's own figures, one row a unit) or any
        further name. Exactly one.
    items
        Column names or `Item`; the first is the marker (loading 1). One item = an observed construct.
    reliability
        Reliability of a single item, 0 < r <= 1; None = measured without error.
    residuals
        Variances of the items' residuals (method "sem"): ``free``, ``equal`` or ``zero``; None = the method's
        default.
    scale
        Scale of every item that has none of its own.
    text
        What the construct means, for reports.

    Raises
    ------
    SpecError
        If nothing measures the construct, the factor is unknown, or there are several sources.

    Examples
    --------
    >>> Construct(name="pride", factor="pride", source="employee", items=["pri1", "pri2"]).item_names
    ('pri1', 'pri2')
    """

    name: str
    factor: Factor
    source: str
    items: tuple[Item, ...]
    reliability: Number | None = None
    residuals: Residuals | None = None
    scale: Scale | None = None
    text: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        values = dict(data)
        name, source = values.get("name", "?"), values.get("source", "?")
        if not (isinstance(source, str) and source.strip() and source == source.strip()):
            raise SpecError(
                f"Construct {name!r} has the source {source!r}: every construct has exactly one source, a name.",
                allowed="'employee', 'customer', 'unit' or a name of your own",
                hint="Split it into one construct for each source.",
            )
        if "factor" in values and values["factor"] not in FACTORS:
            raise SpecError(
                f"Construct {name!r} has the factor {values['factor']!r}.",
                allowed=", ".join(FACTORS),
                hint=did_you_mean(str(values["factor"]), FACTORS),
            )
        values["items"] = _read_items(name, values.get("items"))
        return values

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name.strip() or name != name.strip():
            raise SpecError(f"A construct needs a name without blanks at its ends; got {name!r}.")
        return name

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; a new `scale` goes to the items that had the old one.

        Raises
        ------
        RoxError
            As the constructor does.
        """
        if "scale" in changes and "items" not in changes and self.scale is not None:
            own = (item.scale != self.scale for item in self.items)
            pairs = zip(self.items, own, strict=True)
            changes["items"] = [item if has_own else item.replace(scale=None) for item, has_own in pairs]
        return super().replace(**changes)

    @model_validator(mode="after")
    def _measured(self) -> Construct:
        if not self.items:
            raise SpecError(
                f"Construct {self.name!r} has no items: nobody measures it.",
                hint="Give items=['column', ...] or leave the construct out.",
            )
        if self.reliability is not None and not 0 < self.reliability <= 1:
            raise SpecError(
                f"Construct {self.name!r} has reliability {self.reliability:g}.", allowed="0 < reliability <= 1"
            )
        if self.reliability is not None and len(self.items) > 1:
            raise SpecError(
                f"Construct {self.name!r} has {len(self.items)} items and a stated reliability.",
                hint="A reliability is stated for a single item only; several items show it by themselves.",
            )
        wrong = [item.name for item in self.items[1:] if item.free is False]
        if wrong:
            raise SpecError(
                f"Construct {self.name!r} has free=False at {wrong[0]!r}, which is not its first item.",
                hint="free=False says that a labelled first item is the marker: put the item first or leave it out.",
            )
        if self.scale is not None and any(item.scale is None for item in self.items):
            items = tuple(i if i.scale is not None else i.replace(scale=self.scale) for i in self.items)
            object.__setattr__(self, "items", items)
        return self

    @property
    def item_names(self) -> tuple[str, ...]:
        """Column names of the items."""
        return tuple(item.name for item in self.items)

    @property
    def observed(self) -> bool:
        """Whether one item measures it without error."""
        return len(self.items) == 1 and self.reliability in {None, 1.0}

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Ends of the item mean: the mean of the items' scale ends, None where an item has none."""
        lows = [item.ends[0] for item in self.items]
        highs = [item.ends[1] for item in self.items]
        return _mean_or_none(lows), _mean_or_none(highs)


def _mean_or_none(ends: list[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    return sum(known) / len(known) if len(known) == len(ends) else None


def _read_items(name: object, items: object) -> tuple[object, ...]:
    if items is None:
        return ()
    if isinstance(items, str | Item):
        items = [items]
    if isinstance(items, Mapping | Set | bytes) or not isinstance(items, Iterable):
        raise SpecError(
            f"Construct {name!r} has items={items!r}.", allowed="a list of column names or rox.Item, marker first"
        )
    return tuple(Item(name=item) if isinstance(item, str) else item for item in items)


class _Arrowed(Frozen):
    """What edges and covariances share: a fixed value or a free parameter, perhaps labelled."""

    fixed: Number | None = None
    label: Label | None = None
    start: Number | None = None


class Edge(_Arrowed):
    """`cause` acts on `effect`, `lag` waves later.

    Parameters
    ----------
    cause, effect
        Names of constructs.
    lag
        Waves between cause and effect; 0 acts within the wave. A fixed lagged edge is an assumption that acts
        in the simulation only; a free one is refused by `fit` until waves are supported.
    fixed
        A value that is not estimated, in units of the effect per unit of the cause.
    label
        Name of the parameter; equal labels are equal parameters, and definitions use them.
    start
        Starting value.
    expected
        The sign expected before seeing the data, ``"positive"`` or ``"negative"``; a fit says when it finds
        the other.

    Raises
    ------
    SpecError
        If a construct acts on itself within the wave, or the lag is negative.

    Examples
    --------
    >>> str(Edge(cause="pride", effect="behaviours"))
    'pride -> behaviours'
    """

    cause: str
    effect: str
    lag: Whole = 0
    expected: Literal["positive", "negative"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Edge:
        if not 0 <= self.lag <= _LONGEST:
            raise SpecError(f"The edge {self} has lag {self.lag}.", allowed=f"0 to {_LONGEST:,} waves")
        if self.cause == self.effect and self.lag == 0:
            raise SpecError(
                f"The edge {self} lets a construct cause itself within the wave.",
                hint="Give it a lag, rox.Edge(..., lag=1, fixed=...): it then acts in the simulation.",
            )
        return self

    def __str__(self) -> str:
        return arrow_text(self.cause, self.effect)


class Covariance(_Arrowed):
    """An unmeasured common cause: a residual covariance of two constructs or of two items.

    With ``left == right`` it states a residual *variance* (for example ``fixed=0``).

    Examples
    --------
    >>> str(Covariance(left="value", right="loyalty"))
    'value <-> loyalty'
    """

    left: str
    right: str

    def __str__(self) -> str:
        return arrow_text(self.left, self.right, "<->")
