"""What was found when a number was checked, as a record that every answer can carry."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from roxmodel.errors import RoxWarning

__all__ = [
    "Doubt", "DoubtVerdict", "concerned", "doubt_lines", "doubt_tail", "doubt_words", "gravest", "new_doubts",
    "warn_doubts",
]  # fmt: skip

DoubtVerdict = Literal["ok", "note", "doubtful", "unusable"]

_GRAVITY: Final = {"unusable": 0, "doubtful": 1, "note": 2, "ok": 3}
_SHOWN = 3  # doubts that a warning spells out: head, three, and how many more are five lines


@dataclass(frozen=True, slots=True)
class Doubt:
    """What one check found: as a rule a reason why a number may not mean what it seems to.

    Examples
    --------
    >>> found = Doubt("scale", "doubtful", "Item 'q1' has 4 answers of 99.", ("q1",), "Set them to missing.")
    >>> print(found)
    scale (doubtful): Item 'q1' has 4 answers of 99. Set them to missing.
    >>> found.to_dict()["culprits"]
    ['q1']
    """

    check: str  # code of what was looked at: ``scale``, ``keys``, ``units``, ``duplicates``, ``reversed`` ...
    # ``unusable``: a number has no meaning; ``doubtful``: a test rejected; ``note``: a rule of thumb; ``ok``
    verdict: DoubtVerdict
    finding: str  # one sentence: what was seen, with names and numbers
    culprits: tuple[str, ...]  # names of the items, columns or constructs it is about
    remedy: str  # one sentence: what to do
    edges: tuple[str, ...] = ()  # ``a -> b`` that it concerns; empty: those of its culprits, all where these are none
    anonymous: str = ""  # the finding without names of units, for documents; empty: it holds none

    @property
    def serious(self) -> bool:
        """Whether it is a doubt: ``doubtful`` or ``unusable``."""
        return self.verdict in {"doubtful", "unusable"}

    def to_dict(self) -> dict[str, str | list[str]]:
        """Plain values, ready for JSON."""
        told = {"check": self.check, "verdict": self.verdict, "finding": self.finding}
        return {**told, "culprits": list(self.culprits), "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{self.check} ({self.verdict}): {self.finding} {self.remedy}"


def doubt_lines(doubts: Sequence[Doubt]) -> list[str]:
    """What a reader sees before any number.

    >>> doubt_lines([Doubt("keys", "doubtful", "'a' and 'a ' are two units.", ("store",), "Strip the blanks.")])
    ["DOUBTFUL (keys): 'a' and 'a ' are two units. Strip the blanks."]
    """
    return [f"{doubt.verdict.upper()} ({doubt.check}): {doubt.finding} {doubt.remedy}" for doubt in doubts]


def doubt_tail(doubts: Sequence[Doubt], where: str) -> str:
    """What the one line that names an answer ends with: how many doubts it has, and `where` they are told.

    >>> doubt_tail([Doubt("keys", "doubtful", "'a' and 'a ' are two units.", ("store",), "Strip the blanks.")], "run")
    '; 1 doubtful: run.doubts'
    """
    return f"; {len(doubts)} doubtful: {where}.doubts" if doubts else ""


def doubt_words(doubts: Sequence[Doubt]) -> str:
    """What stands on top of a picture: every check, then what the gravest of them found; empty without a doubt.

    >>> doubt_words([Doubt("keys", "doubtful", "'a' and 'a ' are two units.", ("store",), "Strip the blanks.")])
    "DOUBTFUL: keys. 'a' and 'a ' are two units."
    """
    by_verdict = [(v, [one.check for one in doubts if one.verdict == v]) for v in ("unusable", "doubtful")]
    told = [f"{verdict.upper()}: {', '.join(dict.fromkeys(checks))}." for verdict, checks in by_verdict if checks]
    return " ".join([*told, *(doubt.finding for doubt in doubts[:1])])


def gravest(found: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """The doubts among what was found, unusable ones first, else in their order."""
    return tuple(sorted((doubt for doubt in found if doubt.serious), key=lambda doubt: _GRAVITY[doubt.verdict]))


def concerned(doubt: Doubt, own: Mapping[str, frozenset[str]], every: frozenset[str]) -> frozenset[str]:
    """The edges (``a -> b``) that a doubt is about.

    `own`: those of each name (construct, item, edge, parameter). An arrow that the model lacks is about all edges of
    its ends; a doubt that names nothing of the model (a column, a unit, a source) is about `every` edge.

    >>> own = {"a": frozenset({"a -> b"}), "b": frozenset({"a -> b", "b -> c"}), "c": frozenset({"b -> c"})}
    >>> sorted(concerned(Doubt("size", "doubtful", "", ("a",), ""), own, own["b"]))
    ['a -> b']
    >>> sorted(concerned(Doubt("dependence", "doubtful", "", ("region",), ""), own, own["b"]))
    ['a -> b', 'b -> c']
    """
    absent = [end for edge in doubt.edges if edge not in own for end in edge.split(" -> ")]
    found = [own[name] for name in (*doubt.edges, *absent) if name in own]
    found = found or [own[name] for name in doubt.culprits if name in own]
    return frozenset().union(*found) if found else every


def new_doubts(found: Iterable[Doubt], known: Sequence[Doubt]) -> tuple[Doubt, ...]:
    """Those that are not about the same culprits as a known one of the same check."""
    said = {(doubt.check, doubt.culprits) for doubt in known}
    return tuple(doubt for doubt in found if (doubt.check, doubt.culprits) not in said)


def warn_doubts(what: str, doubts: Sequence[Doubt], stacklevel: int, where: str = "") -> None:
    """Warn once, in at most five lines; say nothing where there is no doubt.

    `what` is whose doubts, ``study`` or ``fit``: the rest stands `where`, if that is not its attribute ``doubts``.
    `stacklevel` counts from the caller, as for `warnings.warn`.
    """
    if not doubts:
        return
    things = "thing makes" if len(doubts) == 1 else "things make"
    lines = [f"{len(doubts)} {things} this {what} doubtful ({where or f'{what}.doubts'}):"]
    lines += [f"- {doubt}" for doubt in doubts[:_SHOWN]]
    if len(doubts) > _SHOWN:
        lines.append(f"- and {len(doubts) - _SHOWN} more: {', '.join(d.check for d in doubts[_SHOWN:][:8])}")
    warnings.warn("\n".join(lines), RoxWarning, stacklevel=stacklevel + 1)
