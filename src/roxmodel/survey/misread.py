"""Columns that are not what they seem: text where numbers belong, numbers that mean "no answer" (99, -9, 0 ...)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.spec.questionnaire import Item
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Code", "ItemAnswers", "code_doubts", "codes_of", "text_advice"]


_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_THOUSANDS = re.compile(r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d+)?\s*")
_POINTS = re.compile(r"\s*[+-]?\d{1,3}([.\u00a0\u202f' ]\d{3})+(,\d+)?\s*")
_PERCENT = re.compile(r"\s*[+-]?\d+([.,]\d+)?[\s\u00a0\u202f]*%\s*")
_MONEY = re.compile(r"\s*([€$£]|EUR|USD|GBP|CHF)?\s*[+-]?\d[\d.,' \u00a0]*\s*([€$£]|EUR|USD|GBP|CHF)?\s*")
_LEADING = re.compile(r"\s*[+-]?\d+\s*[-\u2013\u2014=:.)(].*[^\W\d_].*", re.DOTALL)
_NOTHING = frozenset(
    {
        "", "-", "--", "\u2013", "\u2014", ".", "?", "/", "n/a", "na", "#n/a", "#null!", "nan", "n.a.", "null", "none",
        "missing", "no answer", "not applicable", "not available", "refused", "don't know", "dont know", "dk", "ka",
        "k.a.", "k. a.", "keine angabe", "keine antwort", "wei\u00df nicht", "weiss nicht", "entf\u00e4llt",
        "not asked", "prefer not to say", "skipped", "unknown", "unbekannt",
    }
)  # fmt: skip
_STORED = "numbers stored as text"
_COMMAS = "numbers with a comma between thousands"
_DECIMAL = "numbers with a decimal comma"
_BOTH = "numbers with a sign between thousands and a decimal comma"
_SHARES = "numbers with a percent sign"
_WORDED = "a number and its words in one"
_AMOUNTS = "amounts with their currency"
_HEADERS = 3  # rows above the answers that survey tools write at most


def text_advice(
    name: str, texts: Sequence[str], first: Sequence[int], others: int, labelled: bool = False
) -> tuple[str, str] | None:
    """Say what texts of a column are, and what to do (pandas code); None where they are words, which labels explain.

    `texts`: distinct ones that were not read as numbers; `first`: row of the first occurrence of each; `others`: how
    many distinct numbers (or labels) stand beside them; `labelled`: labels explain words.
    """
    column = f"frame[{name!r}]"
    heads, answers = _parted(texts, first)
    if heads and (others or any(_like_number(text) for text in answers)):
        rows = len(heads)
        skipped = list(range(1, rows + 1))
        number = "." if labelled else f" with pandas.to_numeric({column})."
        left = f"{rows} row{'' if rows == 1 else 's'}: pandas.read_csv(path, skiprows={skipped})"
        what = "the question's text above the answers (a second header row, as survey tools export it)"
        return what, f"Leave out {left}, or frame.iloc[{rows}:]{number}"
    empty, answers = [t for t in texts if _says_nothing(t)], [t for t in texts if not _says_nothing(t)]
    kind = _kind(answers)
    if empty and (kind is not None or (others and not answers)):
        made = f"{column}.replace({{{', '.join(f'{text!r}: None' for text in empty[:6])}}})"
        made = made if labelled else f"pandas.to_numeric({made})"
        what = f'words for "no answer" among {"labels" if labelled else "numbers"}'
        return what, f"Set them to missing: pandas.read_csv(path, na_values={empty[:6]!r}), or {made}."
    return None if kind is None else (kind, _remedy(kind, column, answers))


def _parted(texts: Sequence[str], first: Sequence[int]) -> tuple[list[str], list[str]]:
    """Texts of the first rows that are no numbers, if they stand in rows 0, 1 ... without a gap; and the others."""
    by_row = sorted(zip(first, texts, strict=True))
    heads: list[str] = []
    for row, text in by_row[:_HEADERS]:
        if row != len(heads) or _like_number(text) or _says_nothing(text):
            break
        heads.append(text)
    rest = [text for _, text in by_row[len(heads) :]]
    plain = all(_like_number(text) or _says_nothing(text) for text in rest)
    return (heads, rest) if plain else ([], list(texts))


def _says_nothing(text: str) -> bool:
    return text.strip().casefold() in _NOTHING


def _like_number(text: str) -> bool:
    return any(kind.fullmatch(text) for kind in (_NUMBER, _COMMA, _THOUSANDS, _POINTS, _PERCENT, _LEADING))


def _kind(answers: Sequence[str]) -> str | None:
    """What all texts are, the plainest reading first."""
    if not answers:
        return None
    readings = (
        (_STORED, (_NUMBER,)),
        (_COMMAS, (_THOUSANDS, _NUMBER)),
        (_DECIMAL, (_COMMA, _NUMBER)),
        (_BOTH, (_POINTS, _COMMA, _NUMBER)),
        (_SHARES, (_PERCENT, _NUMBER)),
        (_WORDED, (_LEADING, _NUMBER)),
        (_AMOUNTS, (_MONEY,)),
    )
    for kind, patterns in readings:
        if all(any(pattern.fullmatch(text) for pattern in patterns) for text in answers):
            return kind
    return None


def _remedy(kind: str, column: str, answers: Sequence[str]) -> str:
    """What to do, for each kind of text; the code works on the column as it is."""
    first, plain = answers[0], answers[0].replace(",", ".")
    off = rf"{column}.str.replace(r'[^\d,+-]', '', regex=True).str.replace(',', '.').astype(float)"
    unsigned = rf"{column}.str.replace(r'[\s%]', '', regex=True).str.replace(',', '.').astype(float)"
    bare = rf"{column}.astype(str).str.replace(r'[^\d.,+-]', '', regex=True)"
    leading = rf"{column}.astype(str).str.extract(r'^\s*([+-]?\d+)')[0].astype(float)"
    remedies = {
        _STORED: f"Make them numbers: pandas.to_numeric({column}).",
        _COMMAS: f"Say so when reading: pandas.read_csv(path, thousands=','), or {column}.str.replace(',', '')"
        f".astype(float); if these are decimal commas ({first!r} = {plain}), decimal=','.",
        _DECIMAL: "Say so when reading: pandas.read_csv(path, decimal=','), or "
        f"{column}.str.replace(',', '.').astype(float).",
        _BOTH: f"Say so when reading: pandas.read_csv(path, thousands='.', decimal=','), or {off}.",
        _SHARES: f"Take the sign off: {unsigned}, with the scale rox.Percent().",
        _WORDED: f"Take the number: {leading}; or give the item's scale these texts as its labels, in order: "
        "rox.Likert(1, 5, labels=[...]).",
        _AMOUNTS: f"Take the currency off: {bare}, then make the rest numbers (mind commas: decimal=',' or "
        "thousands=',').",
    }
    return remedies[kind]


Kind = Literal["answers", "means", "figures"]
_NEAR = frozenset({7, 8, 9})  # codes that are also points of longer scales
_TWO = frozenset({66, 77, 88, 96, 97, 98, 99})
_LONG = frozenset(10**k - j for k in (3, 4, 5, 6) for j in (1, 2, 3, 4)) | {666, 777, 888, 6666, 7777, 8888}
_UPPER = _NEAR | _TWO | _LONG
_LOWER = frozenset(-k for k in (*range(1, 10), *_TWO, *_LONG))
_TOP = frozenset({6, 8, 11, 101})  # one beyond the scales 1 to 5, 1 to 7, 0 to 10, 0 to 100
_LONGEST = 11.0  # highest point of a rating; beyond it two-digit codes are ordinary numbers
_FEWEST = 20  # answers below which nothing is isolated
_OFTEN = 5  # a value whose neighbour is empty, and that often: no tail of a count
_FAR = 5.0  # times the largest ordinary value
_MOST = 0.6  # a share beyond which it is the item, not the exception
_CLEAR = 4.0  # standard errors by which "0" lies above "1" in the other items


@dataclass(frozen=True, slots=True)
class Code:
    """A value that looks like a code."""

    value: float  # which, and how often
    times: int
    low: float  # ends of the ordinary answers, and whether they are whole numbers
    high: float
    whole: bool
    answers: int  # of how many answers in all


@dataclass(frozen=True, slots=True, eq=False)
class ItemAnswers:
    """One item with its answers, and those to the other items of its construct (as they are read)."""

    item: Item  # the question
    values: NDArray[Any]  # (n,) as answered, NaN where missing
    construct: str  # name of its construct


def code_doubts(source: str, asked: Sequence[ItemAnswers], kind: Kind, remedy: str) -> list[Doubt]:
    """One doubt of check ``scale`` about the items without a scale that hold codes.

    `remedy`: what to do; ``{codes}`` stands for the codes, ``{name}`` and ``{scale}`` for an item's.
    """
    found = {one.item.name: codes for one in asked if (codes := _found(one, asked, kind))}
    if not found:
        return []
    words = "; ".join(_words(name, codes) for name, codes in list(found.items())[:3])
    more = f"; and {len(found) - 3} more items" if len(found) > 3 else ""
    what = {"answers": "answers", "means": "unit means", "figures": "figures"}[kind]
    finding = f'{what.capitalize()} of the {source} frame look like codes for "no answer", not like numbers: '
    name, codes = next(iter(found.items()))
    every = sorted({code.value for codes in found.values() for code in codes})
    written = listed([_plain(value) for value in every])
    scale = f"rox.Likert({codes[0].low:g}, {codes[0].high:g}{'' if codes[0].whole else ', whole=False'})"
    hint = remedy.format(codes=written, name=repr(name), scale=scale)
    return [Doubt("scale", "doubtful", f"{finding}{words}{more}.", tuple(found), hint)]


def _found(one: ItemAnswers, asked: Sequence[ItemAnswers], kind: Kind) -> list[Code]:
    if one.item.scale is not None:
        return []
    codes = codes_of(one.values, kind)
    if codes or kind != "answers":
        return codes
    siblings = [s for s in asked if s.construct == one.construct and s is not one]
    return _out_of_order(one, siblings) if siblings else []


def _words(name: str, codes: Sequence[Code]) -> str:
    first = codes[0]
    shown = ", ".join(f"{_plain(c.value)} ({c.times}×, {100 * c.times / c.answers:.2g} %)" for c in codes[:4])
    return f"{name!r} has {shown} beside {first.low:g} to {first.high:g}"


def _plain(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def codes_of(values: NDArray[Any], kind: Kind = "answers") -> list[Code]:
    """Isolated values at the ends that are usual codes for "no answer"; empty for counts, amounts, ages, shares.

    A value counts only if it is such a code (7-9, 66 ... 99, 666 ... 999 999, 0 below its minus sign), is an end of
    all values, and lies apart from them: beyond all ratings (0 to 11) for two-digit codes, or often and behind a gap
    like no other; five times the largest value for longer ones; with an empty neighbour, and often, for 7 to 9 (on a
    scale without holes) and -1 to -9.

    >>> [(code.value, code.times) for code in codes_of(np.array([1, 2, 3, 4, 5] * 5 + [99, 98]))]
    [(98.0, 1), (99.0, 1)]
    >>> codes_of(np.array([0, 1, 2, 3, 5, 8, 13, 40, 99] * 5)), codes_of(np.arange(18, 100))
    ([], [])
    """
    low, high = _range(values)
    if low not in _LOWER and high not in _UPPER:
        return []
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if len(known) < (_FEWEST if kind == "answers" else 5):
        return []
    distinct, times = np.unique(known, return_counts=True)
    distinct = distinct.astype(np.float64)
    below, above = _ends(distinct, _LOWER), _ends(-distinct[::-1], frozenset(-code for code in _UPPER))
    if not below + above or below + above > len(distinct) - 2:
        return []
    core, stop = distinct[below : len(distinct) - above], len(distinct) - above
    apart = [*range(below), *range(stop, len(distinct))]
    if times[apart].sum() > _MOST * len(known) or times[below:stop].sum() < 3:
        return []
    whole = bool((core == np.rint(core)).all())
    ends = float(core[0]), float(core[-1])
    ordinary = _Ordinary(core, *ends, whole, kind)
    suspects = [k for k in apart if ordinary.far(float(distinct[k]), int(times[k]))]
    return [Code(float(distinct[k]), int(times[k]), *ends, whole, len(known)) for k in suspects]


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest answer, in one pass each and without a copy; NaN where there is none."""
    return (float(np.fmin.reduce(values)), float(np.fmax.reduce(values))) if len(values) else (np.nan, np.nan)


def _ends(distinct: FloatArray, codes: frozenset[int]) -> int:
    """How many of the lowest values are codes: as many as leave a gap of two points to what stays."""
    found = 0
    for taken in range(1, min(len(distinct), 13)):
        if distinct[taken - 1] not in codes:
            break
        if distinct[taken] - distinct[taken - 1] >= 2:
            found = taken
    return found


@dataclass(frozen=True, slots=True)
class _Ordinary:
    """The ordinary values beside which a code stands."""

    core: FloatArray
    low: float
    high: float
    whole: bool
    kind: Kind

    @property
    def unbroken(self) -> bool:
        """Whether the values are the points of a short scale, without holes."""
        return (
            self.whole
            and self.low in (0.0, 1.0)
            and self.high <= _LONGEST
            and len(self.core) == self.high - self.low + 1
        )

    def far(self, value: float, times: int) -> bool:
        """Whether a code lies apart from them."""
        if self.low < 0:
            return False
        if self.kind == "figures":
            return self._far_figure(value, times)
        if value < 0:
            return self._below(value, times)
        if value in _NEAR:
            return self.unbroken and value - self.high >= 2 and times >= _OFTEN and self.kind == "answers"
        if value in _TWO:
            usual = value in {97, 98, 99} or times > 1
            return (self.high <= _LONGEST and usual) or (times >= _OFTEN and self._behind_a_gap(value))
        return value >= _FAR * self.high and self.high <= value / 6 and (self.high <= _LONGEST or times > 1)

    def _below(self, value: float, times: int) -> bool:
        if value <= -66:
            return self.high <= 150 or times > 1
        often = times > 1 or (value <= -6 and self.whole)
        if self.high <= _LONGEST and (self.low >= 1 or value <= -6) and often:
            return True
        return self.kind == "answers" and self.low - value >= 2 and times >= _OFTEN

    def _behind_a_gap(self, value: float) -> bool:
        """Whether the way to the next value is far longer than any between the others: an age of 99 beside 18 to 70."""
        way, usual = value - self.high, float(np.diff(self.core).max())
        return self.kind == "answers" and self.whole and usual <= 5 and way >= max(10.0, 3.0 * usual)

    def _far_figure(self, value: float, times: int) -> bool:
        """Whether it is a long code, twice or further off than all others: a unit's own figure may be anything.

        Two-digit ones count beside ratings, and -6 to -9 if three units have it.
        """
        if -66 < value < 0:
            return value <= -6 and times > 2
        if value in _TWO and self.high <= _LONGEST:
            return times > 1
        if abs(value) < 99:
            return False
        if value < 0:
            return times > 1 or self.low - value > self.high - self.low
        return value >= 999 and value >= _FAR * self.high and times > 1


def _out_of_order(one: ItemAnswers, siblings: Sequence[ItemAnswers]) -> list[Code]:
    """A code one below or above the scale: those who gave it answer the other questions like anybody.

    On a scale people at its end are lowest (highest) in the other items too. Where those who "answered" 0 lie clearly
    above those who answered 1, 0 is no point of the scale; likewise -1 below 0 to 10 or 0 to 100, 6 above 1 to 5, 8
    above 1 to 7, 11 above 0 to 10, 101 above 0 to 100.
    """
    low, high = _range(one.values)
    lowest = (low == -1 and high <= max(_TOP)) or (low == 0 and high <= _LONGEST)
    ends = [(low, 1.0)] * lowest + [(high, -1.0)] * (high in _TOP)
    if not ends or low < -1:
        return []
    values = one.values.astype(np.float64)
    known = values[~np.isnan(values)]
    if len(known) < _FEWEST or not (known == np.rint(known)).all():
        return []
    found = []
    for value, towards in ends:
        rest = _rest(one, siblings, value)
        if _disordered(values, rest, value, towards):
            others = known[known != value]
            bounds = float(others.min()), float(others.max())
            found.append(Code(value, int((known == value).sum()), *bounds, True, len(known)))
    return found


def _rest(one: ItemAnswers, siblings: Sequence[ItemAnswers], value: float) -> FloatArray:
    """(n,) mean of the other items, each standardised and turned as it is read; the code itself left out."""
    sign = one.item.reading[0]
    total, count = np.zeros(len(one.values)), np.zeros(len(one.values))
    for sibling in siblings:
        own = sibling.values.astype(np.float64)
        own = np.where(own == value, np.nan, own) if sibling.item.scale is None else own
        there = ~np.isnan(own)
        spread = float(own[there].std()) if there.any() else 0.0
        if spread > 0:
            total[there] += sign * sibling.item.reading[0] * (own[there] - own[there].mean()) / spread
            count += there
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def _disordered(values: FloatArray, rest: FloatArray, value: float, towards: float) -> bool:
    there: BoolArray = ~np.isnan(values) & ~np.isnan(rest)
    at, core = there & (values == value), there & (values != value)
    if at.sum() < 10 or core.sum() < _FEWEST or at.sum() > _MOST * there.sum():
        return False
    x, r = values[core] * towards, rest[core]
    if x.std() == 0 or r.std() == 0:
        return False
    correlation = float(np.corrcoef(x, r)[0, 1])
    if abs(correlation) * np.sqrt(len(x)) < _CLEAR:
        return False
    near = x <= max(x.min(), np.partition(x, min(9, len(x) - 1))[min(9, len(x) - 1)])  # the end, ten people at least
    own, end = rest[at] * np.sign(correlation), r[near] * np.sign(correlation)
    error = np.sqrt(own.var(ddof=1) / len(own) + end.var(ddof=1) / len(end))
    return bool(own.mean() - end.mean() > _CLEAR * max(error, 1e-12))
