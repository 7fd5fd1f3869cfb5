"""Unit keys that nearly match: blanks, leading zeros, numbers and text, case, quotes, how letters are composed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from roxmodel.doubts import Doubt
from roxmodel.errors import listed

__all__ = ["Twins", "folded", "key_doubts", "label_doubts", "near_twins"]

_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")
_POINT = re.compile(r"([+-]?\d+)[.,]0+")
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

    Attributes
    ----------
    keys
        As they are written.
    kinds
        What differs: ``types`` or ``bytes``, ``encoding`` (UTF-8 read as Latin), ``exponents``, ``signs`` (how
        characters are composed), ``marks`` (kinds of dashes, characters without width), ``quotes``, ``blanks``,
        ``letters`` (case), ``accents``, ``separators`` (blank, dash, underscore or nothing before a number), ``zeros``.
    """

    keys: tuple[Hashable, ...]
    kinds: tuple[str, ...]

    @property
    def invisible(self) -> bool:
        """Whether a reader could not tell them apart: no two real units are so named."""
        return not {"letters", "accents", "separators", "zeros"} & set(self.kinds)


def folded(key: Hashable) -> str | None:
    r"""One form for all ways of writing a key; None where a key is neither text nor a number.

    Examples
    --------
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
    return unicodedata.normalize("NFC", "".join(c for c in unicodedata.normalize("NFKD", text) if not _above(c)))


def _above(character: str) -> bool:
    return "\u0300" <= character <= "\u036f"


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
    if text[-1:] == "0" and (whole := _POINT.fullmatch(text)):
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

    Examples
    --------
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
    """Doubt of check ``keys``: units that are one unit written in two ways.

    Twins that a reader cannot tell apart are always said. Those that differ by case or leading zeros are said if one
    of them is missing from a frame: units 'a' and 'A' that every frame knows are two.

    Parameters
    ----------
    by
        Column of the key.
    present
        Source -> unit -> respondents (rows of the unit frame: 1).
    units
        All units.
    """
    doubtful = [twins for twins in near_twins(units) if twins.invisible or _torn(twins, present)]
    if not doubtful:
        return ()
    keys = [key for twins in doubtful for key in twins.keys]
    people = {s: int(sum(found.get(key, 0) for key in keys)) for s, found in present.items()}
    shown = "; ".join(_example(twins, present) for twins in doubtful[:_SHOWN])
    more = f"; and {len(doubtful) - _SHOWN} more" if len(doubtful) > _SHOWN else ""
    rows = ", ".join(f"{count} of the {source} frame" for source, count in people.items() if count)
    finding = (
        f"The key {by!r} names {len(keys)} units that are {len(doubtful)} if written alike: {shown}{more}; rows that "
        f"hang on them: {rows}."
    )
    kinds = dict.fromkeys(kind for twins in doubtful for kind in twins.kinds)
    return (Doubt("keys", "doubtful", finding, (by,), _remedy(by, kinds)),)


def label_doubts(column: str, option: str, labels: Iterable[Hashable]) -> tuple[Doubt, ...]:
    """Doubt of check ``keys`` about a column of one frame that names groups or clusters."""
    doubtful = [t for t in near_twins(labels) if t.invisible or not {"separators", "zeros"} & set(t.kinds)]
    if not doubtful:
        return ()
    shown = "; ".join(listed(twins.keys, _SHOWN) for twins in doubtful[:_SHOWN])
    finding = f"The {option}= column {column!r} has labels that are the same if written alike: {shown}."
    kinds = dict.fromkeys(kind for twins in doubtful for kind in twins.kinds)
    return (Doubt("keys", "doubtful", finding, (column,), _remedy(column, kinds)),)


def _torn(twins: Twins, present: Mapping[str, Mapping[Hashable, float]]) -> bool:
    """Whether one of the twins is missing from a frame."""
    return any(found.get(key, 0) == 0 for found in present.values() for key in twins.keys)


def _example(twins: Twins, present: Mapping[str, Mapping[Hashable, float]]) -> str:
    words = []
    for key in twins.keys[:_SHOWN]:
        where = ", ".join(source for source, found in present.items() if found.get(key, 0))
        words.append(f"{_written(key)} ({where})")
    return " and ".join(words)


def _written(key: Hashable) -> str:
    """The key so that a difference is seen: other than plain letters are spelt out."""
    return repr(key) if not isinstance(key, str) or key.isascii() else ascii(key)


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
