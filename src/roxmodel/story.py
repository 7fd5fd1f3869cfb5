"""What an answer says, as one record from which its text, its HTML and a plain dictionary are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from roxmodel.numerals import for_reading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Spoken", "Story", "StoryPart", "StoryPoints", "StoryTable", "Told"]

_NOTES = "Small print"


@dataclass(frozen=True, slots=True)
class StoryTable:
    """A table as readers see it: every cell is a text or a whole number."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]
    caption: str = ""

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str = "") -> Self:
        """Write a table down; floating numbers as `roxmodel.numerals.plain` writes them."""
        told = for_reading(frame)
        cells = (told[name].tolist() if told[name].dtype.kind in "iub" else map(str, told[name]) for name in told)
        return cls(tuple(map(str, told)), tuple(zip(*cells, strict=True)), caption)

    @property
    def frame(self) -> pd.DataFrame:
        """The same as a data frame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns))


@dataclass(frozen=True, slots=True)
class StoryPoints:
    """Sentences that stand as a list, one point each."""

    lines: tuple[str, ...]


StoryPart: TypeAlias = str | StoryPoints | StoryTable  # a str is a sentence


@dataclass(frozen=True, slots=True)
class Story:
    """What an answer says; made by the `story` method of every answer.

    Attributes
    ----------
    kind
        Of what: ``study``, ``check``, ``fit``, ``run``, ``counterfactual``, ``forecast``, ``priorities``, ``plan``.
    title
        What stands above it on a page; empty for a glance at an object, which shows its headline instead.
    headline
        The first line of its text; empty where the sentences speak for themselves.
    warnings
        What a reader must see before any number.
    basis
        Of whom and at which level it speaks, and how its errors were computed.
    body
        Sentences (str), lists of sentences and tables, in the order in which they are read.
    notes
        The small print.

    Examples
    --------
    >>> table = StoryTable(("edge", "estimate"), (("pride -> value", "0.420"),))
    >>> print(Story("fit", "shops", "shops: 1 edge", body=(table, "It is clear of 0."), notes=("n = 80.",)).to_text())
    shops: 1 edge
    <BLANKLINE>
              edge estimate
    pride -> value    0.420
    <BLANKLINE>
    It is clear of 0.
    <BLANKLINE>
    Small print
    - n = 80.
    """

    kind: str
    title: str
    headline: str
    warnings: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    body: tuple[StoryPart, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of the body, those of its lists included."""
        told = ([p] if isinstance(p, str) else p.lines for p in self.body if not isinstance(p, StoryTable))
        return tuple(line for lines in told for line in lines)

    @property
    def tables(self) -> tuple[StoryTable, ...]:
        """The tables of the body."""
        return tuple(part for part in self.body if isinstance(part, StoryTable))

    def to_text(self) -> str:
        """Write it for a terminal."""
        return "\n\n".join(block for block in self._blocks() if block)

    def _blocks(self) -> Iterator[str]:
        yield "\n".join([*self.warnings, *([self.headline] if self.headline else []), *self.basis])
        for _, parts in groupby(self.body, key=lambda part: isinstance(part, str) or id(part)):
            yield "\n".join(line for part in parts for line in _text_lines(part))
        if self.notes:
            yield "\n".join([_NOTES, *_text_lines(StoryPoints(self.notes))])

    def to_html(self) -> str:
        """Write it for a notebook or a page; every text is escaped."""
        page = bool(self.title)
        head = f"<h4>{escape(self.title)}</h4>" if page else f"<p>{escape(self.headline, quote=False)}</p>"
        warnings = "".join(f"<p><strong>{escape(line, quote=page)}</strong></p>" for line in self.warnings)
        body = "".join(_html(part, border=int(not page)) for part in (*self.basis, *self.body))
        notes = f"<details><summary>{_NOTES}</summary>{_html(StoryPoints(self.notes))}</details>" if self.notes else ""
        return f"{warnings}{head}{body}{notes}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and for templates.

        Returns
        -------
        dict
            The attributes by name; each part of ``body`` with its ``kind``: ``sentence`` (``text``), ``points``
            (``lines``) or ``table`` (``caption``, ``columns``, ``rows``).
        """
        texts = {name: getattr(self, name) for name in ("kind", "title", "headline")}
        lists = {name: list(getattr(self, name)) for name in ("warnings", "basis", "notes")}
        return {**texts, **lists, "body": [_plain(part) for part in self.body]}


def _text_lines(part: StoryPart) -> list[str]:
    if isinstance(part, str):
        return [part]
    if isinstance(part, StoryPoints):
        return [f"- {line}" for line in part.lines]
    return [*([part.caption] if part.caption else []), part.frame.to_string(index=False)]


def _html(part: StoryPart, border: int = 0) -> str:
    """A line break within a sentence is one of the terminal only."""
    if isinstance(part, str):
        return f"<p>{escape(part).replace(chr(10), ' ')}</p>"
    if isinstance(part, StoryPoints):
        return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in part.lines)}</ul>"
    table: str = part.frame.to_html(index=False, border=border)
    return f"{_html(part.caption) if part.caption else ''}{table}"


def _plain(part: StoryPart) -> dict[str, Any]:
    if isinstance(part, str):
        return {"kind": "sentence", "text": part}
    if isinstance(part, StoryPoints):
        return {"kind": "points", "lines": list(part.lines)}
    rows = [list(row) for row in part.rows]
    return {"kind": "table", "caption": part.caption, "columns": list(part.columns), "rows": rows}


class Told(ABC):
    """An answer with a story; a class that inherits says in `_story` what it is."""

    __slots__ = ()

    @abstractmethod
    def _story(self) -> Story: ...

    def story(self) -> Story:
        """What the answer says, in parts: title, warnings, sentences, tables, small print.

        It holds what `summary` or a notebook shows and nothing else, so that a report can be set from it: what
        `min_group` hides is not in it.

        Returns
        -------
        Story
            With ``to_text()``, ``to_html()`` (a piece of a page) and ``to_dict()`` (ready for JSON and templates).

        Examples
        --------
        >>> import roxmodel as rox
        >>> world = rox.datasets.make_world(60, seed=1)
        >>> found = rox.fit(world.model, world.study(), method="path").story()
        >>> found.title
        "branches: method 'path', 60 units"
        >>> found.tables[0].columns[:3], found.sentences[0][:50]
        (('cause', 'effect', 'estimate'), '5 of 10 estimated edges have an interval that excl')
        """
        return self._story()

    def _repr_html_(self) -> str:
        return self._story().to_html()


class Spoken(Told):
    """An answer whose story is also its text."""

    __slots__ = ()

    def summary(self) -> str:
        """The answer in plain words."""
        return self._story().to_text()

    def __str__(self) -> str:
        return self.summary()
