"""Unit keys: which rows belong to which unit, whatever type the key has; keys that nearly match."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import DataError, listed
from roxmodel.moments.condense import ordered
from roxmodel.survey.frames import Frame, distinct, raw_dtype, require_columns
from roxmodel.types import BoolArray, IntArray

__all__ = [
    "Keys", "Twins", "folded", "key_doubts", "label_doubts", "near_twins", "read_keys", "refuse_mixed_types",
    "refuse_rounded", "refuse_twice",
]  # fmt: skip


_EXPONENT = re.compile(r"\s*[+-]?\d(?:[.,]\d+[eE]\+?|[eE]\+)\d+\s*")  # how a spreadsheet writes a long number
_FIRST, _LAST = frozenset("0123456789+- "), frozenset("0123456789., ")  # of such a text
_POINT = re.compile(r"\s*[+-]?\d+[.,]0*\s*")  # a whole number that went through a float
_WHOLE = {2: 2**11, 4: 2**24, 8: 2**53}  # bytes of a float -> from where it does not hold every whole number


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Rows to units."""

    codes: IntArray  # (n,) place of each row's unit in `units`, -1 for a row without a unit
    units: tuple[Hashable, ...]  # the units, sorted, so that row order never matters

    @property
    def rows(self) -> IntArray:
        """(G,) rows of each unit."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.units))

    @property
    def without(self) -> int:
        """Rows that name no unit."""
        return int((self.codes < 0).sum())

    @property
    def used(self) -> BoolArray | None:
        """(n,) rows that name a unit; None if all do."""
        return self.codes >= 0 if (self.codes < 0).any() else None

    @property
    def row(self) -> IntArray:
        """(G,) row of each unit, where every unit has one row."""
        rows = np.flatnonzero(self.codes >= 0)
        place = np.empty(len(self.units), dtype=np.int64)
        place[self.codes[rows]] = rows
        return place


def read_keys(source: str, frame: Frame, by: str) -> Keys:
    """Read the unit key of every row; missing and blank ones name no unit."""
    require_columns(source, frame, [by])
    try:
        codes, found = distinct(frame, by)
    except (TypeError, ValueError):
        problem = f"The column {by!r} of the {source} frame holds nested values, which are no keys."
        raise DataError(problem, hint="Make it text or a whole number.") from None
    refuse_rounded(f"The column {by!r} of the {source} frame", found, raw_dtype(frame, by))
    plain = [_plain(value) for value in found]
    units, _ = ordered(unit for unit in set(plain) if not (isinstance(unit, str) and not unit.strip()))
    if not units:
        raise DataError(f"The column {by!r} of the {source} frame names no unit: all {len(frame)} rows are empty.")
    place = {unit: position for position, unit in enumerate(units)}
    ranks = np.array([place.get(unit, -1) for unit in plain] + [-1], dtype=np.int64)
    return Keys(ranks[codes], units)


def refuse_rounded(whose: str, values: Iterable[Any], dtype: str = "") -> None:
    """Refuse whole-number ids that went through floating point: beyond 2^53 different ids became one.

    That is a float, text in exponent notation or with ".0", or a Decimal with an exponent, so large that a float does
    not tell neighbours apart. `whose`: how the sentence begins; `dtype`: 32-bit floats lose whole numbers from 2^24 on.
    """
    size = 4 if "32" in dtype else 2 if "16" in dtype else 8
    for value in values:
        if _rounded(value, _WHOLE[size]):
            shown = f"{value:.17g}" if isinstance(value, float | np.floating) else repr(value)
            raise DataError(
                f"{whose} holds whole numbers that went through floating point, such as {shown}: floats of {8 * size} "
                f"bits tell whole numbers apart up to {_WHOLE[size]:,} only, so different ids have become one.",
                hint="Read the column again as text (pandas: dtype=str) or as 64-bit whole numbers ('Int64' allows "
                "missing ones); what was lost cannot be restored here.",
            )


def _rounded(value: Any, most: int) -> bool:
    """Whether a key is a whole number that a float cannot be trusted with."""
    if isinstance(value, float | np.floating):
        return math.isfinite(value) and abs(float(value)) >= most
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value) >= _WHOLE[8] and int(value.as_tuple().exponent) > 0
    if (
        isinstance(value, str)
        and value[-1:] in _LAST
        and value[:1] in _FIRST
        and (_EXPONENT.fullmatch(value) or _POINT.fullmatch(value))
    ):
        try:
            number = float(value.replace(",", "."))
        except ValueError:
            return False
        return abs(number) >= _WHOLE[8]
    return False


def refuse_twice(source: str, by: str, keys: Keys) -> None:
    """Refuse a unit that has two rows where one is meant."""
    twice = [keys.units[place] for place in np.flatnonzero(keys.rows > 1)]
    if twice:
        raise DataError(
            f"The {source} frame has more than one row for the {by} {listed(twice, 3)}.",
            hint="Give one row a unit: drop the duplicates, or aggregate them first.",
        )


def refuse_mixed_types(by: str, units_of: Sequence[tuple[str, Sequence[Hashable]]]) -> None:
    """Refuse keys that are text in one frame and numbers in another: they would never match."""
    kinds = [(source, {_kind(unit) for unit in units}, units[0]) for source, units in units_of if units]
    for source, kind, example in kinds[1:]:
        first, known, other = kinds[0]
        if not kind & known:
            raise DataError(
                f"The key {by!r} is {' or '.join(sorted(known))} in the {first} frame (for example {other!r}) "
                f"and {' or '.join(sorted(kind))} in the {source} frame (for example {example!r}), so no unit "
                "can match.",
                hint="Give the key one type in all frames (mind leading zeros).",
            )


def _kind(unit: Hashable) -> str:
    if isinstance(unit, str):
        return "text"
    return "a number" if isinstance(unit, int | float | Decimal) else type(unit).__name__


def _plain(value: Any) -> Hashable:
    """Give a key one form: 1.0, Decimal(1) and 1 are the same unit."""
    unit: Hashable = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(unit, float | Decimal) and math.isfinite(unit) and unit == unit // 1
    return int(unit) if whole else unit  # type: ignore[call-overload]


_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)[.,]0+")
_MARKS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u00b4`", "'")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
)
_QUOTES = "\"'\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_APART = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")  # what stands between words
_NUMBERED = re.compile(r"(?<=[^\W\d_]) (?=\d)")  # between a word and its number
_POWER = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+?\d+")
_LARGEST = 2.0**53  # beyond it a text with an exponent is refused by its reader
_MISREAD = re.compile("[\u00c2\u00c3\u00e2]")  # how UTF-8 begins where it is read as Latin
_SHOWN = 3  # examples in a sentence


@dataclass(frozen=True, slots=True)
class Twins:
    """Keys that are one if blanks, case, zeros and the like do not count.

    `kinds`: what differs: ``types`` or ``bytes``, ``encoding`` (UTF-8 read as Latin), ``exponents``, ``signs`` (how
    characters are composed), ``marks`` (kinds of dashes, characters without width), ``quotes``, ``blanks``, ``letters``
    (case), ``accents``, ``separators`` (blank, dash, underscore or nothing before a number), ``zeros``.
    """

    keys: tuple[Hashable, ...]  # as they are written
    kinds: tuple[str, ...]

    @property
    def invisible(self) -> bool:
        """Whether a reader could not tell them apart: no two real units are so named."""
        return not {"letters", "accents", "separators", "zeros"} & set(self.kinds)


def folded(key: Hashable) -> str | None:
    r"""One form for all ways of writing a key; None where a key is neither text nor a number.

    >>> {folded(key) for key in ["B 07 ", "b\u00a07", "\uff22-07", "'b7'", b"B_7"]}
    {'b7'}
    >>> {folded(key) for key in [7, "07", "7.0", "7e+0"]}
    {'7'}
    """
    text = _text(key)
    if text is None or not isinstance(key, str | bytes):
        return text
    if not text.isascii():
        text = _composed(_decoded(text)).translate(_MARKS)
    text = " ".join(text.strip(_QUOTES + " ").split()).casefold()
    if not text.isascii():
        text = _without_accents(text)
    return _plain_numbers(_together(text))


def _text(key: Hashable) -> str | None:
    """A key as text; None where it is neither text nor a number."""
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    if isinstance(key, bool) or not isinstance(key, str | int | float | Decimal):
        return None
    return str(key)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _decoded(text: str) -> str:
    """Text that was UTF-8 and read as Latin, as it was meant."""
    if not _MISREAD.search(text):
        return text
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text


def _without_accents(text: str) -> str:
    """Letters without what stands above or below them."""
    if text.isascii():
        return text
    plain = (c for c in unicodedata.normalize("NFKD", text) if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", "".join(plain))


def _together(text: str) -> str:
    """One blank between words, nothing between a word and its number."""
    if "-" in text or "_" in text:
        text = _APART.sub(" ", text)
    return _NUMBERED.sub("", text) if " " in text else text


def _without_power(text: str) -> str:
    if "e" in text.casefold() and _POWER.fullmatch(text):
        number = float(text.replace(",", "."))
        if number.is_integer() and abs(number) < _LARGEST:
            return str(int(number))
    return text


def _plain_numbers(text: str) -> str:
    """Without leading zeros; whole numbers without a point or an exponent."""
    text = _without_power(text)
    if text[-1:] == "0" and (whole := _WHOLE_NUMBER.fullmatch(text)):
        text = whole[1]
    return _ZEROS.sub("", text) if "0" in text else text


_STEPS = (
    ("encoding", _decoded),
    ("exponents", _without_power),
    ("signs", _composed),
    ("marks", lambda text: text.translate(_MARKS)),
    ("quotes", lambda text: text.strip(_QUOTES + " ") if text.strip()[:1] in _QUOTES else text),
    ("blanks", lambda text: " ".join(text.split())),
    ("letters", str.casefold),
    ("accents", _without_accents),
    ("separators", _together),
    ("zeros", _plain_numbers),
)


def near_twins(keys: Iterable[Hashable]) -> list[Twins]:
    """Sets of keys that differ in writing only, in the order of their first key.

    >>> [(twins.keys, twins.kinds) for twins in near_twins(["a", "b", "a ", "B", "c"])]
    [(('a', 'a '), ('blanks',)), (('b', 'B'), ('letters',))]
    """
    first: dict[str, Hashable] = {}
    groups: dict[str, list[Hashable]] = {}
    for key in keys:
        form = folded(key)
        if form is None:
            continue
        if form in first:
            groups.setdefault(form, [first[form]]).append(key)
        else:
            first[form] = key
    return [Twins(tuple(group), _kinds(group)) for form in first if (group := groups.get(form))]


def _kinds(group: Sequence[Hashable]) -> tuple[str, ...]:
    """What it takes to make them one, step by step."""
    found = []
    forms = {_text(key) or "" for key in group}
    if len(forms) < len(group):
        found.append("bytes" if any(isinstance(key, bytes) for key in group) else "types")
    for kind, step in _STEPS:
        after = {step(form) for form in forms}
        if len(after) < len(forms):
            found.append(kind)
        forms = after
    return tuple(found)


def key_doubts(
    by: str, present: Mapping[str, Mapping[Hashable, float]], units: Sequence[Hashable]
) -> tuple[Doubt, ...]:
    """Doubt of check ``keys``: units that are one written in two ways; `present`: source -> unit -> respondents (or 1).

    Twins that a reader cannot tell apart are always said. Those that differ by case or leading zeros are said if one of
    them is missing from a frame: units 'a' and 'A' that every frame knows are two.
    """
    doubtful = [
        twins
        for twins in near_twins(units)
        if twins.invisible or any(found.get(key, 0) == 0 for found in present.values() for key in twins.keys)
    ]
    if not doubtful:
        return ()
    keys = [key for twins in doubtful for key in twins.keys]
    people = {s: int(sum(found.get(key, 0) for key in keys)) for s, found in present.items()}
    shown = "; ".join(_example(twins, present) for twins in doubtful[:_SHOWN])
    more = f"; and {len(doubtful) - _SHOWN} more" if len(doubtful) > _SHOWN else ""
    rows = ", ".join(f"{count} of the {source} frame" for source, count in people.items() if count)
    twice = f"The key {by!r} names {len(keys)} units that are {len(doubtful)} if written alike"
    kinds = dict.fromkeys(kind for twins in doubtful for kind in twins.kinds)
    finding = f"{twice}: {shown}{more}; rows that hang on them: {rows}."
    return (Doubt("keys", "doubtful", finding, (by,), _remedy(by, kinds), anonymous=f"{twice}."),)


def label_doubts(column: str, option: str, labels: Iterable[Hashable]) -> tuple[Doubt, ...]:
    """Doubt of check ``keys`` about a column of one frame that names groups or clusters."""
    doubtful = [t for t in near_twins(labels) if t.invisible or not {"separators", "zeros"} & set(t.kinds)]
    if not doubtful:
        return ()
    shown = "; ".join(listed(twins.keys, _SHOWN) for twins in doubtful[:_SHOWN])
    twice = f"The {option}= column {column!r} has labels that are the same if written alike"
    kinds = dict.fromkeys(kind for twins in doubtful for kind in twins.kinds)
    remedy = _remedy(column, kinds)
    return (Doubt("keys", "doubtful", f"{twice}: {shown}.", (column,), remedy, anonymous=f"{twice}."),)


def _example(twins: Twins, present: Mapping[str, Mapping[Hashable, float]]) -> str:
    words = []
    for key in twins.keys[:_SHOWN]:
        where = ", ".join(source for source, found in present.items() if found.get(key, 0))
        plain = not isinstance(key, str) or key.isascii()  # else a difference would not be seen
        words.append(f"{repr(key) if plain else ascii(key)} ({where})")
    return " and ".join(words)


def _remedy(column: str, kinds: Iterable[str]) -> str:
    """Pandas code that makes the keys alike, and what else could be meant."""
    found = set(kinds)
    for kind, how in (("encoding", "with encoding='utf-8'"), ("exponents", "with this column as text (dtype=str)")):
        if kind in found:
            return f"Read the file again {how}, so that {column!r} is written alike in all frames."
    text = "(lambda key: key.decode() if isinstance(key, bytes) else str(key)" if "bytes" in found else "(str"
    code = f"frame[{column!r}].map{text}, na_action='ignore')"
    if "quotes" in found:
        code += f".str.strip({_QUOTES + ' '!a})"
    if "accents" in found:
        code += r".str.normalize('NFKD').str.replace('[\u0300-\u036f]', '', regex=True)"
    if "signs" in found:
        code += ".str.normalize('NFKC')"
    if "marks" in found:
        code += r".str.replace('[\u200b-\u200d\u2060\ufeff\u00ad]', '', regex=True)"
        code += r".str.replace('[\u2010-\u2014\u2212]', '-', regex=True)"
    if found & {"blanks", "signs"}:
        code += r".str.split().str.join(' ')"
    if "letters" in found:
        code += ".str.casefold()"
    if "separators" in found:
        code += r".str.replace(r'(?<=[^\W_])[\s_-]+(?=[^\W_])', ' ', regex=True)"
        code += r".str.replace(r'(?<=[^\W\d_]) (?=\d)', '', regex=True)"
    if "zeros" in found or "types" in found:
        code += r".str.replace(r'(?<![\d.,])0+(?=\d)|[.,]0+$', '', regex=True)"
    return f"Write each key in one way in all frames, such as {code}; or, if they are different, name them apart."
