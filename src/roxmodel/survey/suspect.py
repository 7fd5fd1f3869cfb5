"""Doubts about answers: rows read twice, questions worded the other way round, answers heaped at one end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.moments.condense import kish_of
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Direction", "Repeats", "direction_of", "duplicate_doubts", "effective_answers", "heaped_answers", "repeats_of",
    "reversed_by_covariance", "reversed_in_moments",
]  # fmt: skip


_RARE = 1e-5  # probability under chance below which repeats are no chance
_LONG = 5  # items from which single repeated rows can be told from people who agree
_MOST = 60_000  # rows looked at: whole units, every so many, of longer frames
_FEWEST = 5  # repeated rows below which nothing is said
_PRIOR = 5.0  # rows of all units that are added to those of one where shares are taken
_COMMON = 0.5  # a share of a unit's rows from which a row tells nothing
_LAGS = 8  # distances looked at
_SLACK = 3.0  # how much more people of one unit may agree exactly, for each pair that agrees but for one answer


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that repeat another row of their unit."""

    rows: int  # how many rows have the answers of an earlier row of their unit
    expected: float  # how many pairs chance explains (whole files: NaN)
    whole: int  # units in which every row is there twice (or three times ...), where these are too many
    of: int  # rows looked at
    again: int = -1  # place of the first row of a stretch that repeats an earlier one row by row; -1 if there is none


def duplicate_doubts(source: str, columns: Sequence[NDArray[Any]], codes: IntArray | None) -> tuple[Doubt, ...]:
    """Doubt of ``duplicates`` about p `columns` (n,) of a frame; `codes`: (n,) units, -1: none; None: one kind."""
    found = repeats_of(columns, codes)
    if found is None:
        return ()
    where = "the same unit" if codes is not None else "the frame"
    if found.again >= 0:
        how = f"from row {found.again} on they come in the order in which they stood before"
    elif found.whole and codes is not None:
        how = f"in {found.whole} units every row is there twice or more"
    elif found.whole:
        how = "every row is there twice or more"
    else:
        how = f"by chance about {found.expected:.2g} would"
    finding = (
        f"{found.rows} of {found.of} rows of the {source} frame repeat the answers of another row of {where} to all "
        f"{len(columns)} items ({how}): was a file read or joined twice?"
    )
    remedy = (
        "Keep each respondent once, such as frame.drop_duplicates() where whole rows repeat (by the respondent's id "
        "where there is one); if a row stands for several people, say frequency=."
    )
    return (Doubt("duplicates", "doubtful", finding, (source,), remedy),)


def repeats_of(columns: Sequence[NDArray[Any]], codes: IntArray | None) -> Repeats | None:
    """Find repeated rows beyond chance; None where chance explains them, or cannot be told from them.

    Three tests. *Whole files*: where a unit's rows are all there twice, every pattern of answers has an even count (a
    common divisor); by chance c patterns do with a probability of about 2^-(c - 1). *Stretches* of rows that come again
    in the same order, as a batch appended twice does: the shares of their answers in their units, multiplied, over all
    places where such a stretch could begin. *Single rows* (five items or more, people who gave the same answer
    throughout left out): pairs of a unit that agree in everything, against pairs that agree in all items but one.
    Among pairs of different units, which no double reading touches, the ratio of both is that of chance; a unit may
    have three times as many before anything is said.
    """
    rows = _looked_at(len(columns[0]), codes)
    own = [column[rows] for column in columns]
    unit = np.zeros(len(own[0]), dtype=np.int64) if codes is None else codes[rows]
    if len(unit) < 2 * _FEWEST or len(columns) < 2:
        return None
    parts = [_hashed(column, place) for place, column in enumerate(own)]
    pattern = np.add.reduce(parts)
    cells, times = _cells(unit, pattern)
    repeated = int((times - 1).sum())
    if repeated < _FEWEST:
        return None
    whole = _whole_units(cells, times, int(unit.max()) + 1)
    if whole:
        return Repeats(repeated, np.nan, whole, len(unit))
    stretch = _stretch(unit, pattern)
    if stretch is not None:
        return Repeats(stretch[1], np.nan, 0, len(unit), int(rows[stretch[0]]))
    varied = _varied(own) if len(columns) >= _LONG else np.zeros(len(unit), dtype=np.bool_)
    if varied.sum() < 2 * _FEWEST:
        return None
    return _single_rows([part[varied] for part in parts], pattern[varied], unit[varied])


def _looked_at(n: int, codes: IntArray | None) -> IntArray:
    """Rows of known units; of long frames those of every so many units."""
    if codes is None:
        return np.arange(min(n, _MOST))
    step = max(1, -(-n // _MOST))
    return np.flatnonzero((codes >= 0) & (codes % step == 0))


def _hashed(column: NDArray[Any], place: int) -> NDArray[np.uint64]:
    """(n,) well mixed numbers, equal for equal answers to this item (splitmix64)."""
    values = column.astype(np.float64) + 0.0  # -0.0 is 0.0
    values[np.isnan(values)] = np.nan  # whatever kind of NaN
    x = values.view(np.uint64) + np.uint64((place + 1) * 0x9E3779B97F4A7C15 & (2**64 - 1))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _cells(unit: IntArray, pattern: NDArray[np.uint64]) -> tuple[IntArray, IntArray]:
    """Unit of each distinct (unit, pattern), and how many rows have it."""
    mixed = _mixed(unit, pattern)
    order = np.argsort(mixed, kind="stable")
    start = np.flatnonzero(np.r_[True, np.diff(mixed[order]) != 0])
    return unit[order[start]], np.diff(np.r_[start, len(order)])


def _mixed(unit: IntArray, pattern: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n,) one number for unit and answers."""
    mixed: NDArray[np.uint64] = pattern ^ (unit.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))
    return mixed


def _times(unit: IntArray, pattern: NDArray[np.uint64]) -> IntArray:
    """How many rows have each distinct (unit, pattern)."""
    mixed = np.sort(_mixed(unit, pattern))
    return np.asarray(np.diff(np.r_[np.flatnonzero(np.r_[True, np.diff(mixed) != 0]), len(mixed)]), dtype=np.int64)


def _whole_units(cells: IntArray, times: IntArray, units: int) -> int:
    """How many units hold every row several times, if more than chance makes; else 0."""
    count = np.bincount(cells, minlength=units)
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cells[order]) != 0])
    divisor = np.gcd.reduceat(times[order], starts)
    patterns = count[cells[order[starts]]]
    if (divisor > 1).all() and patterns.sum() * log(0.75) < log(_RARE):
        return len(starts)
    several = patterns >= 3
    chance = 0.5 ** (patterns[several] - 1.0)
    found = int((divisor[several] > 1).sum())
    # every single unit must be unlikely by itself, or all of them together
    alone = int(((divisor[several] > 1) & (chance * several.sum() < _RARE)).sum())
    together = _tail(found, float(chance.sum())) < _RARE
    return found if together and found >= 3 else alone


def _stretch(unit: IntArray, pattern: NDArray[np.uint64]) -> tuple[int, int] | None:
    """First row and length of a stretch of rows that repeats an earlier one row by row, beyond chance.

    A row counts by the share of its answers in its unit (smoothed by the share in all units), and only where it differs
    from the row before it: in a sorted frame equal rows stand side by side.
    """
    n = len(unit)
    _, row, times = np.unique(_mixed(unit, pattern), return_inverse=True, return_counts=True)
    _, kind, of_kind = np.unique(pattern, return_inverse=True, return_counts=True)
    size = np.bincount(unit)[unit]
    share = (times[row] + _PRIOR * of_kind[kind] / n) / (size + _PRIOR)
    worth = np.where(np.r_[True, row[1:] != row[:-1]], -np.log(share), 0.0)
    worth[share > _COMMON] = 0.0
    for lag in _lags(row):
        match = row[lag:] == row[:-lag]
        edges = np.flatnonzero(np.diff(np.r_[False, match, False].astype(np.int8)))
        starts, stops = edges[::2], edges[1::2]
        sums = np.r_[0.0, np.cumsum(worth[lag:])]
        told = np.where(stops - starts <= lag, sums[stops] - sums[starts], 0.0)
        if len(told) and told.max() > 2 * log(n) - log(_RARE):
            best = int(told.argmax())
            return int(starts[best]) + lag, int(stops[best] - starts[best])
    return None


def _lags(row: IntArray) -> list[int]:
    """Distances at which four rows that are not all alike most often come again."""
    own = row.astype(np.uint64)
    four = own[:-3].copy()
    for later in (1, 2, 3):
        four = four * np.uint64(0xD6E8FEB86659FD93) + own[later : len(own) - 3 + later]
    varied = np.flatnonzero((row[:-3] != row[1:-2]) | (row[1:-2] != row[2:-1]) | (row[2:-1] != row[3:]))
    order = varied[np.argsort(four[varied], kind="stable")]
    apart = [(order[k:] - order[:-k])[four[order[k:]] == four[order[:-k]]] for k in (1, 2, 3) if k < len(order)]
    if not apart:
        return []
    found = np.bincount(np.concatenate(apart), minlength=2)
    often = np.argsort(found, kind="stable")[::-1][:_LAGS]
    return [int(lag) for lag in often if lag >= _FEWEST and found[lag] >= _FEWEST]


def _tail(count: int, expected: float) -> float:
    """Probability of `count` or more under a Poisson distribution (Chernoff's bound)."""
    if count <= expected:
        return 1.0
    return exp(count - expected - count * log(count / max(expected, 1e-300)))


def _varied(columns: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """(n,) rows with four answers or more that are not all the same."""
    table = np.column_stack([column.astype(np.float64) for column in columns])
    there = ~np.isnan(table)
    low = np.where(there, table, np.inf).min(axis=1)
    high = np.where(there, table, -np.inf).max(axis=1)
    return np.asarray((high > low) & (there.sum(axis=1) >= 4))


def _pairs(times: IntArray) -> float:
    return float((times * (times - 1.0)).sum() / 2)


def _single_rows(parts: Sequence[NDArray[np.uint64]], pattern: NDArray[np.uint64], unit: IntArray) -> Repeats | None:
    """Repeats among rows that vary, against pairs that agree in all items but one."""
    one = np.zeros_like(unit)
    times, times_all = _times(unit, pattern), _times(one, pattern)
    same, same_all = _pairs(times), _pairs(times_all)
    if same < _FEWEST:
        return None
    near = near_all = 0.0
    for part in parts:
        near += _pairs(_times(unit, pattern - part)) - same
        near_all += _pairs(_times(one, pattern - part)) - same_all
    inside = _pairs(np.bincount(unit))
    across = len(unit) * (len(unit) - 1.0) / 2 - inside
    if across < inside:  # one unit, or hardly more: nothing to compare with but the near pairs themselves
        expected = _SLACK * near
    else:
        others, near_others = same_all - same, near_all - near
        ratio = (others + 1.0) / (near_others + len(parts))
        expected = max(_SLACK * ratio * near, _SLACK * (others + 3.0) / across * inside)
    # more than chance: by Poisson with twice the variance, and by half again at least
    unlikely = same > 1.5 * expected + 4 * sqrt(expected) and _tail(int(same // 2), expected / 2) < _RARE
    return Repeats(int((times - 1).sum()), expected, 0, len(unit)) if unlikely else None


_HEAPED = 0.5  # share of answers at an end of the scale from which it is said
_POINTS = 4  # of a scale, from which it has a middle
_WHOLE = 2_000  # answers looked at for whether they are whole numbers


def heaped_answers(source: str, asked: Sequence[tuple[Item, NDArray[Any]]]) -> list[Doubt]:
    """A note on items of which half of the answers or more are the best (or the worst) that can be given.

    Of an opinion that is normal and cut off at the end of the scale the mean answer moves by the share that is not
    there: McDonald & Moffitt (1980), doi 10.2307/1924766. `asked`: items with their answers (n,), as given.
    """
    found: list[tuple[str, float, str]] = []
    for item, answers in asked:
        low, high = _ends(item, answers)
        people = int(np.isfinite(answers).sum())
        if high - low < _POINTS - 1 or people < _FEWEST_PEOPLE:
            continue
        ends = [("highest", high), ("lowest", low)]
        shares = [(item.name, float((answers == end).sum()) / people, word) for word, end in ends]
        found += [one for one in shares if one[1] >= _HEAPED]
    if not found:
        return []
    shown = ", ".join(f"{name!r} {100 * share:.0f} %" for name, share, _ in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    worst = max(found, key=lambda one: one[1])
    words = (
        f"Half of the answers or more stand at one end of the scale ({source}: {shown}{more}): units beyond it look "
        f"alike, and the mean answer to {worst[0]!r} moves by about {1 - worst[1]:.2f} for a point of opinion."
    )
    remedy = "Ask on a longer scale or something harder to agree to; until then effects of a push are of the answers."
    return [Doubt("scale", "note", words, tuple(name for name, _, _ in found), remedy)]


def _ends(item: Item, answers: NDArray[Any]) -> tuple[float, float]:
    """Ends of the scale; where none is declared those of whole-number answers of few kinds; else no room between."""
    low, high = item.ends
    if low is not None and high is not None:
        return low, high
    some = np.asarray(answers[:_WHOLE], dtype=np.float64)
    some = some[np.isfinite(some)]
    if item.scale is not None or not len(some) or (some != np.floor(some)).any() or np.ptp(some) > 10:
        return 0.0, 0.0
    return float(np.nanmin(answers)), float(np.nanmax(answers))


_ALPHA = 0.002  # of calling any right item of a model reversed, were it nothing but noise
_SMALL = 0.1  # a correlation with the others that is nearer to 0 is no direction, however many answered
_NOTHING = 1e-6  # a correlation below is rounding
_UNITS = 10_000  # units that are looked at
_FEWEST_PEOPLE = 8  # people (or units) below which no direction is told


@dataclass(frozen=True, slots=True)
class Direction:
    """Which items of a construct run against the others.

    `size`: correlation of each of them with the sum of the others (both sides as the data turn them), below 0; `tie`:
    whether as many items stand on the one side as on the other, so that nothing tells which is reversed.
    """

    against: tuple[int, ...] = ()  # places of the items that run against the majority; on a tie those of both sides
    size: tuple[float, ...] = ()
    tie: bool = False


def direction_of(
    covariance: FloatArray, n: float = np.inf, tests: int = 1, expected: Sequence[float] | None = None
) -> Direction:
    """Tell reversed items by the signs of their correlations.

    The items are parted by the sign of the first principal component of their correlations: whatever the pattern of
    signs, that component puts those on one side that go together. An item counts if its correlation with the sum of all
    others, turned to its side, is larger than chance (Fisher's z, 1921, Metron 1, 3-32; one-sided, Bonferroni over
    `tests`, the items looked at in all) and larger than 0.1; the smaller side is reversed. An item that measures little
    is on no side. `covariance`: (p, p) of answers as they are read (declared reversals turned), NaN where not known.
    `n`: effective number of independent answers; infinite: the signs themselves are judged. `expected`: (p,) signs that
    the model itself states (a loading fixed below 0), None: all 1.
    """
    p = len(covariance)
    if p < 2 or n < _FEWEST_PEOPLE or np.isnan(covariance).any() or not (np.diag(covariance) > 0).all():
        return Direction()
    sd = np.sqrt(np.diag(covariance))
    turned = np.ones(p) if expected is None else np.asarray(expected, dtype=np.float64)
    correlation = covariance / np.outer(sd, sd) * np.outer(turned, turned)
    improper = bool((np.abs(correlation) > 1 + _NOTHING).any())  # of pairs that few answered both of
    if improper or (correlation >= 0).all():
        return Direction()
    vector = np.linalg.eigh(correlation)[1][:, -1]
    side = np.where(vector < 0, -1.0, 1.0)
    critical = NormalDist().inv_cdf(1 - _ALPHA / max(tests, 1))
    floor = _NOTHING if np.isinf(n) else max(_SMALL, float(np.tanh(critical / sqrt(n - 3))))
    rest = np.array([_with_rest(correlation, side, item) for item in range(p)])
    clear = rest > floor
    low, high = clear & (side < 0), clear & (side > 0)
    if not low.any() or not high.any() or _apart(correlation, low, high) > -floor:
        return Direction()
    counted = clear | (rest > _SMALL)  # who stands where is counted with those that are less clear
    left, right = int((counted & (side < 0)).sum()), int((counted & (side > 0)).sum())
    tie = left == right
    members = (low | high) if tie else (low if left < right else high)
    places = np.flatnonzero(members)
    return Direction(tuple(places.tolist()), tuple((-rest[places]).tolist()), bool(tie))


def _with_rest(correlation: FloatArray, side: FloatArray, item: int) -> float:
    """Correlation of an item with the sum of the others, all turned to one side."""
    others = np.arange(len(side)) != item
    weights = side[others]
    spread = float(weights @ correlation[np.ix_(others, others)] @ weights)
    return float(side[item] * (correlation[item, others] @ weights) / sqrt(spread)) if spread > 0 else 0.0


def _apart(correlation: FloatArray, low: BoolArray, high: BoolArray) -> float:
    """Correlation of the sums of both sides."""
    between = float(correlation[np.ix_(low, high)].sum())
    own = float(correlation[np.ix_(low, low)].sum()) * float(correlation[np.ix_(high, high)].sum())
    return between / sqrt(own) if own > 0 else 0.0


def reversed_in_moments(model: RoxModel, moments: LinkedMoments) -> tuple[Doubt, ...]:
    """Doubts of check ``reversed`` about surveys, and about units' figures of constructs with several.

    The correlations are those of single answers over all respondents, and the effective number of answers is Kish's
    under the construct's own ICC. Published means without covariances within units are judged by the means.
    """
    tests = _tests(model)
    found = []
    for construct in model.constructs:
        if len(construct.items) < 2:
            continue
        covariance, n = _evidence(construct, moments)
        found += _doubts(construct, direction_of(covariance, n, tests, _expected(construct)))
    return tuple(found)


def reversed_by_covariance(model: RoxModel, parts: Iterable[tuple[Construct, FloatArray, float]]) -> tuple[Doubt, ...]:
    """Doubts of check ``reversed``; `parts`: construct, (p, p) covariance as read, effective number of rows."""
    tests = _tests(model)
    found: list[Doubt] = []
    for construct, covariance, n in parts:
        found += _doubts(construct, direction_of(covariance, n, tests, _expected(construct)))
    return tuple(found)


def _tests(model: RoxModel) -> int:
    return sum(len(construct.items) for construct in model.constructs if len(construct.items) > 1)


def _expected(construct: Construct) -> list[float]:
    """Signs of loadings that the model fixes."""
    fixed = [item.loading for item in construct.items]
    return [-1.0 if isinstance(value, int | float) and value < 0 else 1.0 for value in fixed]


def _evidence(construct: Construct, moments: LinkedMoments) -> tuple[FloatArray, float]:
    """Covariance of a construct's items and the effective number of answers behind it."""
    if construct.source == UNIT:
        names, means = moments.item_means()
        return _of_rows(means[:, [names.index(item) for item in construct.item_names]])
    own = _thinned(moments.source(construct.source).select(construct.item_names))
    total = own.total_covariance
    if np.isnan(total).any():
        return _of_rows(own.mean)
    return total, effective_answers(own, total)


def _thinned(own: SourceMoments) -> SourceMoments:
    """Every so many units of very many: enough to tell a direction, and quick."""
    step = -(-len(own.units) // _UNITS)
    if step < 2:
        return own
    names = ("respondents", "n", "weight", "weight2", "pair_mean", "scatter")
    return SourceMoments(own.source, own.items, own.units[::step], *(getattr(own, name)[::step] for name in names))


def _of_rows(rows: FloatArray) -> tuple[FloatArray, float]:
    """Covariance over complete rows, and their number."""
    complete = rows[~np.isnan(rows).any(axis=1)]
    p = rows.shape[1]
    if len(complete) < 2:
        return np.full((p, p), np.nan), 0.0
    return np.cov(complete, rowvar=False).reshape(p, p), float(len(complete))


def effective_answers(own: SourceMoments, total: FloatArray) -> float:
    """Independent answers that tell as much as these, which share units: n / (1 + (k - 1) ICC), the largest ICC(1)."""
    counts = own.n.min(axis=(1, 2))  # the pair of items that fewest answered both of
    n, weight = float(counts.sum()), own.weight
    if n <= 0:
        return 0.0
    within = np.diag(own.within_covariance)
    shares = 1 - within / np.diag(total) if not np.isnan(within).any() else np.ones(len(total))
    icc = float(np.clip(shares.max(), 0.0, 1.0))
    people = float((counts**2).sum()) / n
    if weight is not own.n:  # Kish's n under sampling weights
        own_weight = np.diagonal(weight.sum(axis=0)).min()
        squares = np.diagonal(own.weight2.sum(axis=0)).max()
        n = min(n, float(kish_of(own_weight, squares))) if squares > 0 else n
    return n / (1 + max(people - 1, 0.0) * icc)


def _doubts(construct: Construct, found: Direction) -> list[Doubt]:
    if not found.against:
        return []
    names = tuple(construct.item_names[place] for place in found.against)
    declared = {item.name for item in construct.items if item.reverse}
    if found.tie:
        finding = (
            f"The items {listed(names)} of {construct.name!r} run against each other (correlation "
            f"{found.size[0]:.2f}), as many one way as the other, so the data cannot tell which are reversed."
        )
        remedy = "Read their wording and give those that mean little of it rox.Item(name=, reverse=True)."
        if declared & set(names):
            remedy = "Read their wording and the data: were answers declared reverse=True turned already?"
        return [Doubt("reversed", "doubtful", finding, names, remedy)]
    one = len(names) == 1
    size = ", ".join(f"{value:.2f}" for value in found.size[:8])
    finding = (
        f"Item{'' if one else 's'} {listed(names)} of {construct.name!r} run{'s' if one else ''} against the other "
        f"items (correlation {size}), as a question worded the other way round does."
    )
    return [Doubt("reversed", "doubtful", finding, names, _remedy(names, declared))]


def _remedy(names: Sequence[str], declared: set[str]) -> str:
    fresh = [name for name in names if name not in declared]
    turned = [name for name in names if name in declared]
    parts = []
    if fresh:
        parts.append(f"give {listed(fresh)} reverse=True, such as rox.Item(name={fresh[0]!r}, reverse=True)")
    if turned:
        parts.append(f"leave reverse=True of {listed(turned)} out if the answers were turned already")
    words = "; ".join(parts)
    return f"Read the wording; if it is so, {words}."
