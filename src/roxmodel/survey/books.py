"""The books: rows that are no units, figures with a slipped decimal, columns that put units or people into groups."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.moments.linked import LinkedMoments, UnitFigures
from roxmodel.numerals import plain
from roxmodel.survey.frames import Frame, distinct, holds_text, raw_column
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "BOOKS_LEVEL", "MOST_GROUPINGS", "Grouping", "book_doubts", "far_out", "groupings_of", "slipped", "total_name",
    "unknown_rows",
]  # fmt: skip

BOOKS_LEVEL: Final = 0.002  # probability of a doubt about books that hold units only; half of it for each kind of row
_ENOUGH = 20  # known figures below which nothing is called far out
_TAIL = 10  # spacings of the outermost figures that say how heavy a tail is
_BLOCK = 3  # figures that may be far out together on one side
_USUAL = 3.5  # standard deviations of the inner figures that are never far out
_FITS = 0.05  # p of a test of normality from which a scale counts as fitting
_POOR = 0.01  # p below which the tail on a scale does not count where another fits
_SAME = 1e-4  # relative difference up to which a figure is the sum of the others
_NEAR = 1e-3  # standard deviations up to which a figure is the mean of the others
_SHOWN = 5  # rows that are spelt out

_WORDS: Final = frozenset({
    "total", "totals", "totale", "totaal", "totalt", "totalsumme", "subtotal", "sum", "summe", "somme", "suma", "soma",
    "gesamt", "gesamtergebnis", "gesamtsumme", "zwischensumme", "insgesamt", "grandtotal", "итого", "всего", "razem",
    "celkem", "yhteensä", "összesen", "合計", "合计", "总计", "zentrale", "hauptverwaltung", "headquarters",
    "headquarter", "hq", "headoffice", "siège",
})  # as any word of a key  # fmt: skip
_WHOLE: Final = frozenset({
    "all", "alle", "alles", "tous", "todos", "tutti", "overall", "company", "average", "mean", "durchschnitt", "group",
    "mittelwert", "schnitt", "moyenne", "promedio", "media", "unternehmen", "konzern",
})  # as the whole key  # fmt: skip
_PAIRS: Final = frozenset({("head", "office"), ("grand", "total"), ("main", "office"), ("all", "units")})


def total_name(key: Hashable) -> bool:
    """Whether a key is what sheets call a sum, a mean or a head office, in one of several languages.

    >>> [total_name(key) for key in ("Grand Total", "GESAMT:", "Head-office", "Totalia", "B900", 7)]
    [True, True, True, False, False, False]
    """
    if not isinstance(key, str):
        return False
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", key).casefold())
    return (
        any(word in _WORDS for word in words)
        or (len(words) == 1 and words[0] in _WHOLE)
        or any(pair in _PAIRS for pair in pairwise(words))
    )


def book_doubts(moments: LinkedMoments) -> tuple[Doubt, ...]:
    """Doubts of ``books``: rows that are in no survey and look like no units, and figures far from all others."""
    figures = moments.figures
    if figures is None:
        return ()
    unknown = _unknown(moments, figures) if moments.sources else np.zeros(len(figures.units), dtype=bool)
    return (*_strange_rows(figures, unknown), *_strange_figures(figures, ~unknown))


def unknown_rows(moments: LinkedMoments) -> tuple[Hashable, ...]:
    """Units of the books that no survey knows."""
    figures = moments.figures
    if figures is None or not moments.sources:
        return ()
    return tuple(unit for unit, lone in zip(figures.units, _unknown(moments, figures), strict=True) if lone)


def _unknown(moments: LinkedMoments, figures: UnitFigures) -> BoolArray:
    met = {u for s in moments.sources for u, n in zip(s.units, s.respondents.tolist(), strict=True) if n > 0}
    return np.array([unit not in met for unit in figures.units], dtype=bool)


# --- rows that no survey knows


def _strange_rows(figures: UnitFigures, unknown: BoolArray) -> Iterator[Doubt]:
    rows = np.flatnonzero(unknown)
    level = BOOKS_LEVEL / 2 / max(len(rows) * max(len(figures.names), 1), 1)
    found = [(figures.units[row], reason) for row in rows if (reason := _reason(figures, unknown, int(row), level))]
    if not found:
        return
    shown = "; ".join(f"{unit!r} ({reason})" for unit, reason in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    what = "row of the unit frame is" if len(found) == 1 else "rows of the unit frame are"
    looks = "does not look like a unit" if len(found) == 1 else "do not look like units"
    remedy = "Leave out of the unit frame what is no open unit: a total, a head office, a closed branch."
    yield Doubt(
        "books", "doubtful", f"{len(found)} {what} in no survey and {looks}: {shown}{more}.",
        tuple(str(unit) for unit, _ in found), remedy, anonymous=f"{len(found)} {what} in no survey and {looks}.",
    )  # fmt: skip


def _reason(figures: UnitFigures, unknown: BoolArray, row: int, level: float) -> str:
    """Why a row that is in no survey looks like no unit; empty: it does not."""
    said = ["its name is that of a total or a head office"] if total_name(figures.units[row]) else []
    for k, name in enumerate(figures.names):
        values, own = figures.values[:, k], float(figures.values[row, k])
        known = values[~unknown & ~np.isnan(values)]
        others = np.delete(values, row)
        if np.isnan(own) or len(known) < 2:
            continue
        sums = (float(known.sum()), float(np.nansum(others)))
        if any(_is_sum(own, total, known) for total in sums):
            said.append(f"its {name}, {plain(own)}, is the sum of the others")
        elif own == 0.0 and _never_zero(known):
            said.append(f"its {name} is 0, which no other's is")
        elif (p := far_out(known, own)) <= level and not np.isnan(p):
            middle = float(np.median(known))
            said.append(f"its {name}, {plain(own)}, lies far from all others, whose median is {plain(middle)}")
    if not said and _is_mean(figures.values[~unknown], figures.values[row], level):
        said.append("its figures are the means of the others")
    return ", ".join(said)


def _is_sum(own: float, total: float, known: FloatArray) -> bool:
    """Whether a figure is the sum of the others, and a sum is no usual figure."""
    far = abs(total - float(known.mean())) > 5 * float(known.std())
    return far and abs(own - total) <= _SAME * abs(total)


def _never_zero(known: FloatArray) -> bool:
    """Whether 0 is a value of another kind: amounts, or counts so large that 0 would be a wonder."""
    if len(known) < _ENOUGH / 2 or not ((known > 0).all() or (known < 0).all()):
        return False
    return bool((known != np.floor(known)).any()) or float(np.median(np.abs(known))) >= 20


def _is_mean(known: FloatArray, own: FloatArray, level: float) -> bool:
    """Whether all figures of a row are the others' means, more nearly than chance would have it."""
    chance, looked = 1.0, 0
    for k in np.flatnonzero(~np.isnan(own)):
        column = known[~np.isnan(known[:, k]), k]
        sd = float(column.std()) if len(column) >= _ENOUGH / 2 else 0.0
        if sd > 0:
            gap, width = abs(float(own[k]) - float(column.mean())), max(_step(column) / 2, _NEAR * sd)
            if gap > width:
                return False
            chance *= min(0.8 * width / sd, 1.0)
            looked += 1
    return bool(looked and chance <= level)


def _step(column: FloatArray) -> float:
    """To what figures are rounded: 0.01, 1, 100 ...; 0 where they are not."""
    scale = float(np.abs(column).max())
    for power in range(6, -7, -1):
        step = 10.0**power
        if step <= scale and np.allclose(column / step, np.round(column / step), rtol=0, atol=1e-6):
            return step
    return 0.0


# --- how far is far


def far_out(known: FloatArray, own: float) -> float:
    """Probability (p) of one more figure among known ones, two-sided; NaN where these are too few to tell.

    Revenues are skewed: a figure must be far out by itself and by its logarithm. It must also lie beyond the known ones
    by more than the spacings of the outermost allow, whatever the tail (Weissman 1978, doi
    10.1080/01621459.1978.10480104); of that p the square counts on a scale on which they look normal, which few units
    do not tell for sure.
    """
    if len(known) < _ENOUGH or not float(np.ptp(known)) > 0:
        return np.nan
    if known.min() <= own <= known.max():
        return 1.0
    side = 1.0 if own > np.median(known) else -1.0
    return _p_beyond(known, own, side, 1, 1)


def _p_beyond(rest: FloatArray, value: float, side: float, block: int, tested: int) -> float:
    """Probability (p) of the `block`-th outermost value on one side of the others, when so many were `tested`."""
    from scipy.special import stdtr

    scales = [(rest, value)]
    if (rest > 0).all() and value > 0:
        scales.append((np.log(rest), float(np.log(value))))
    fits, n = [_normality(one) for one, _ in scales], len(rest)
    normal, found = max(fits) > _FITS, []
    for (one, own), fit in zip(scales, fits, strict=True):
        distance = side * (own - float(one.mean())) / (float(one.std(ddof=1)) * np.sqrt(1 + 1 / n))
        found.append(tested * 2 * float(stdtr(n - 1, -distance)))
        if not normal or fit > _POOR:
            gap = _p_gap(side * one, side * own, block)
            found.append(tested / (n + 1) * (gap**2 if normal else gap))
    if not normal and len(scales) == 1:  # a heavy tail around the middle
        away = side * (rest - float(np.median(rest)))
        beyond = side * (value - float(np.median(rest)))
        if beyond > 0:
            found.append(tested / (n + 1) * _p_gap(np.log(away[away > 0]), float(np.log(beyond)), block))
    return max(found)


def _normality(values: FloatArray) -> float:
    """Probability (p) of a test of skewness and kurtosis (Jarque & Bera 1980, doi 10.1016/0165-1765(80)90024-5)."""
    z = (values - values.mean()) / values.std()
    return float(np.exp(-len(z) / 12 * (float((z**3).mean()) ** 2 + (float((z**4).mean()) - 3) ** 2 / 4)))


def _p_gap(ordered: FloatArray, own: float, block: int) -> float:
    """Probability (p) of a gap above the largest values, against those between them: exponential tails or lighter."""
    tail = np.sort(ordered)[::-1][: _TAIL + 1]
    gap = own - tail[0]
    if gap <= 0:
        return 1.0
    mean = float((-np.diff(tail) * (np.arange(1, len(tail)) + block)).mean())
    return float((1 + block * gap / (_TAIL * mean)) ** -_TAIL) if mean > 0 else 0.0


# --- figures of known units


def _strange_figures(figures: UnitFigures, met: BoolArray) -> Iterator[Doubt]:
    found: list[tuple[Hashable, str, float, float]] = []
    level = BOOKS_LEVEL / 2 / max(2 * len(figures.names), 1)
    for k, name in enumerate(figures.names):
        known = np.flatnonzero(met & ~np.isnan(figures.values[:, k]))
        values = figures.values[known, k]
        for place in slipped(values, level):
            middle = float(np.median(values))
            found.append((figures.units[known[place]], name, float(values[place]), middle))
    if not found:
        return
    shown = "; ".join(
        f"{unit!r} with {name} {plain(own)} (median of all {plain(middle)})"
        for unit, name, own, middle in found[:_SHOWN]
    )
    names = tuple(dict.fromkeys(name for _, name, _, _ in found))
    figure = "figure lies" if len(found) == 1 else "figures lie"
    anonymous = f"{len(found)} {figure} far from those of all other units ({listed(names)})."
    yield Doubt(
        "books", "doubtful", f"{len(found)} {figure} far from those of all other units: {shown}.",
        (*dict.fromkeys(str(unit) for unit, *_ in found), *names),
        "Check them against the books: a slipped decimal, another currency, thousands instead of units.",
        anonymous=anonymous,
    )  # fmt: skip


def slipped(values: FloatArray, level: float) -> Sequence[int]:
    """Places of the up to three figures on each side that lie far beyond all others.

    >>> slipped(np.array([*range(100, 140), 1_200.0]), 0.001)
    [40]
    """
    found: list[int] = []
    if len(np.unique(values)) < _ENOUGH:
        return found
    order = np.argsort(values)
    inner = values[order[_BLOCK:-_BLOCK]]
    middle, usual = float(inner.mean()), float(inner.std())
    for side, ranked in ((1.0, order[::-1]), (-1.0, order)):
        if side * (float(values[ranked[0]]) - middle) <= _USUAL * usual:
            continue
        for block in range(_BLOCK, 0, -1):
            rest = values[ranked[block:]]
            if len(rest) < _ENOUGH or not float(np.ptp(rest)) > 0:
                continue
            own = float(values[ranked[block - 1]])
            if side * (own - float(np.median(rest))) <= 0:
                continue
            if _p_beyond(rest, own, side, block, len(values)) * _BLOCK <= level:
                found += [int(place) for place in ranked[:block]]
                break
    return found


# --- columns that group

MOST_GROUPINGS: Final = 50  # columns that are looked at
_MOST_COLUMNS = 4 * MOST_GROUPINGS  # of whatever kind that are opened
_FEWEST = 5  # groups with two members or more, below which no dependence can be told
_COMPANY = 0.8  # share of all that must have company in their group


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """One column."""

    name: str
    codes: IntArray  # (n,) group of each unit or row, 0…G-1; -1: none


def groupings_of(frame: Frame, rows: IntArray, skip: Collection[str]) -> Iterator[Grouping]:
    """Columns of text, categories or whole numbers with 5 to n / 3 groups of two or more; not those to `skip`.

    `rows`: (n,) row of the frame of each unit, -1: none.

    >>> from roxmodel.survey.frames import open_frame
    >>> frame = open_frame("unit", {"b": range(18), "area": list("abcdef") * 3, "x": [k / 7 for k in range(18)]})
    >>> [(found.name, found.codes.max() + 1) for found in groupings_of(frame, np.arange(18), ())]
    [('area', np.int64(6))]
    """
    named = [name for name in frame.columns if isinstance(name, str) and name not in skip]  # a number is a place
    for name in named[:_MOST_COLUMNS]:
        try:
            codes = _codes(frame, name)
        except (TypeError, ValueError):  # nested values, which cannot be told apart
            continue
        if codes is None:
            continue
        own = np.where(rows >= 0, codes[rows], -1)
        sizes = np.bincount(own[own >= 0], minlength=1)
        known, several = int(sizes.sum()), sizes >= 2
        if several.sum() >= _FEWEST and (sizes > 0).sum() * 3 <= known and sizes[several].sum() >= _COMPANY * known:
            place = np.cumsum(sizes > 0) - 1
            yield Grouping(name, np.where(own >= 0, place[own], -1).astype(np.int64))


def _codes(frame: Frame, name: str) -> IntArray | None:
    """Group of each row of the frame; None for a column of another kind."""
    if not holds_text(frame, name):
        values = raw_column(frame, name)
        if values.dtype.kind == "f":
            known = values[~np.isnan(values)]
            if not (np.isfinite(known).all() and (known == np.floor(known)).all()):
                return None
        elif values.dtype.kind not in "iuO":
            return None
    codes, found = distinct(frame, name)
    plain = all(isinstance(value, str | int | float | np.number) for value in found)
    return codes if plain else None
