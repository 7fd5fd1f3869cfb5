"""Arrow text to edges: ``"influencers + pride -> behaviours"``, ``"value <-> loyalty"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from reprlib import Repr
from typing import Literal

from roxmodel.errors import SpecError

__all__ = ["Arrow", "arrow_text", "read_arrows"]

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
_PLAIN_NAME = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True, slots=True)
class Arrow:
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

    Examples
    --------
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


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


def read_arrows(text: str) -> list[Arrow]:
    """Read arrow text.

    Several names on either side are joined by ``+``; arrows may be chained (``a -> b -> c``) and separated by
    a semicolon or a new line. A name with blanks or signs stands in quotes.

    Parameters
    ----------
    text
        For example ``"influencers + pride -> behaviours"``.

    Returns
    -------
    list of Arrow
        One for each pair of names.

    Raises
    ------
    SpecError
        Naming the character at which the text cannot be read.

    Examples
    --------
    >>> [(a.left, a.right) for a in read_arrows("a + b -> c")]
    [('a', 'c'), ('b', 'c')]
    """
    if not isinstance(text, str):
        raise SpecError(f"{text!r} is no arrow text.", hint="Write for example 'pride -> behaviours'.")
    arrows: list[Arrow] = []
    for statement in _statements(text):
        arrows.extend(_read_statement(text, statement))
    if not arrows:
        raise _unreadable(text, len(text), "it holds no arrow")
    return arrows


def _statements(text: str) -> list[list[_Token]]:
    statements: list[list[_Token]] = [[]]
    for token in _tokens(text):
        if token.kind == "end":
            statements.append([])
        else:
            statements[-1].append(token)
    return [statement for statement in statements if statement]


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at, "only names, '+', '->' and '<->' are read")
        kind = match.lastgroup or ""
        if kind == "name":
            tokens.append(_Token("name", match[kind], at, match.end()))
        elif kind in {"single", "double"}:
            tokens.append(_Token("name", _unescaped(match[kind]), at, match.end()))
        elif kind != "space":
            tokens.append(_Token(kind, match[0], at, match.end()))
        at = match.end()
    return tokens


def _read_statement(text: str, tokens: list[_Token]) -> list[Arrow]:
    sides: list[list[str]] = []
    signs: list[_Token] = []
    end = tokens[-1].end
    rest = tokens
    while True:
        names, rest = _read_side(text, rest, end)
        sides.append(names)
        if not rest:
            break
        signs.append(rest[0])
        rest = rest[1:]
    if not signs:
        raise _unreadable(text, end, "an arrow '->' or '<->' is missing")
    count = sum(len(lefts) * len(rights) for lefts, rights in pairwise(sides))
    if count > _MOST:
        raise SpecError(f"The arrow text {_SHORT.repr(text)} makes {count:,} arrows.", allowed=f"up to {_MOST:,}")
    return [
        Arrow(left, right, "->" if sign.kind == "to" else "<->")
        for sign, (lefts, rights) in zip(signs, pairwise(sides), strict=True)
        for left in lefts
        for right in rights
    ]


def _read_side(text: str, tokens: list[_Token], end: int) -> tuple[list[str], list[_Token]]:
    """Read ``name + name + ...`` up to an arrow; the rest starts at the arrow."""
    names: list[str] = []
    for position, token in enumerate(tokens):
        if position % 2 == 0:
            if token.kind != "name":
                raise _unreadable(text, token.at, "a name was expected")
            names.append(token.text)
        elif token.kind in {"to", "both"}:
            return names, tokens[position:]
        elif token.kind != "plus":
            raise _unreadable(text, token.at, "'+', '->' or '<->' was expected")
    if not tokens or len(tokens) % 2 == 0:
        raise _unreadable(text, end, "a name was expected")
    return names, []


def _unreadable(text: str, at: int, why: str) -> SpecError:
    got = repr(text[at]) if at < len(text) else "the end"
    return SpecError(
        f"The arrow text {text!r} cannot be read at character {at + 1} ({got}): {why}.",
        hint="Write for example 'influencers + pride -> behaviours' or 'value <-> loyalty'.",
    )
