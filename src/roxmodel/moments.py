"""Moments: mergeable sufficient statistics of answers, the waist of the house.

Rows enter once and are forgotten. `Moments` holds one level (people, or a printed matrix), `SourceMoments`
one survey by unit, `UnitFigures` the units' own books, `LinkedMoments` all of them. The moments of parts add
up to those of the whole, in any order; sums are taken about means, never raw (Chan, Golub & LeVeque 1983).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roxmodel.errors import DataError, did_you_mean, listed
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Design", "LinkedMoments", "Moments", "SourceMoments", "UnitFigures"]

_BATCH = 8_000  # rows condensed at once, to stay in cache; no power of two, lest the columns collide there
_RESULT = 500_000  # entries of the result condensed at once, for the same reason
_GATHER = 4_000_000  # entries gathered at once from a table in random order (32 MB)
_SINGULAR = 1e-8  # smallest eigenvalue of a correlation matrix that still carries information
_PRINTED = 1e-6  # disagreement allowed between the halves of a printed matrix, in correlations
_PAIRED = ("n", "weight", "weight2", "pair_mean", "scatter")

# n [, weight, weight2], pair_mean, scatter of some units: arrays as small as they broadcast to (units, p, p)
_Pairs: TypeAlias = Sequence[FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Counts, means and covariances of single-level rows or of a printed matrix.

    Parameters
    ----------
    names
        The p variables, in the order of the matrices.
    n
        Number of complete rows (of persons, where rows have frequencies); at least 2.
    mean
        (p,) means in the variables' units, or None where a publication printed none.
    covariance
        (p, p) covariances with divisor n - 1.
    n_dropped
        Rows left out because an answer was missing.

    References
    ----------
    Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115 (merging without cancellation).

    Examples
    --------
    >>> monday = Moments.from_rows([[1, 2], [3, 5], [5, 5]], ["pride", "value"])
    >>> week = monday + Moments.from_rows([[2, 2], [4, 6]], ["pride", "value"])
    >>> week.n, week.mean.tolist(), week.covariance.diagonal().tolist()
    (5, [3.0, 4.0], [2.5, 3.5])
    """

    names: tuple[str, ...]
    n: int
    mean: FloatArray | None
    covariance: FloatArray
    n_dropped: int = 0

    def __post_init__(self) -> None:
        names = _distinct(self.names, "variable")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "n", _count(self.n))
        object.__setattr__(self, "covariance", _frozen(self.covariance, (len(names),) * 2, "covariance"))
        if self.mean is not None:
            object.__setattr__(self, "mean", _frozen(self.mean, (len(names),), "mean"))

    @classmethod
    def from_rows(cls, rows: ArrayLike, names: Sequence[str], frequency: ArrayLike | None = None) -> Moments:
        """Condense rows; a row with a missing answer is dropped and counted.

        Parameters
        ----------
        rows
            (n, p) numbers, NaN = missing: an array, nested lists, or a frame whose columns are in that order.
        names
            The p variables.
        frequency
            (n,) whole numbers: how many identical persons a row stands for.

        Raises
        ------
        DataError
            An infinite value, text, a constant variable, fewer than two complete rows.
        """
        table = _numbers(rows, names)
        f = np.ones(len(table)) if frequency is None else _frequencies(frequency, len(table))
        blocks = (slice(start, start + _BATCH) for start in range(0, len(table), _BATCH))
        return _pooled(((table[block], f[block]) for block in blocks), names)

    @classmethod
    def from_chunks(cls, chunks: Iterable[ArrayLike], names: Sequence[str]) -> Moments:
        """Condense a stream of blocks, each (n_k, p) with n_k >= 1, as `from_rows` condenses one.

        Raises
        ------
        DataError
            As `from_rows`; constant variables and too few rows are judged at the end of the stream.
        """
        blocks = (_numbers(chunk, names) for chunk in chunks)
        return _pooled(((block, np.ones(len(block))) for block in blocks), names)

    @classmethod
    def from_correlation(
        cls,
        names: Sequence[str],
        correlation: ArrayLike | Sequence[Sequence[float]],
        sd: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        n: int | None = None,
    ) -> Moments:
        """Read a published correlation matrix.

        Parameters
        ----------
        names
            The p variables.
        correlation
            (p, p), or as printed: the lower triangle with its diagonal, p rows of lengths 1 ... p.
        sd
            (p,) standard deviations (divisor n - 1) in the variables' units; 1 for all if left out.
        mean
            (p,) means; without them moments cannot be merged.
        n
            Number of persons.

        Raises
        ------
        DataError
            Whatever cannot be a correlation matrix of n persons, naming the variables and the value.
        """
        r = _square(correlation, names, "correlation")
        spread = np.ones(len(names)) if sd is None else _frozen(sd, (len(names),), "sd")
        for name, own, s in zip(names, r.diagonal(), spread, strict=True):
            if abs(own - 1.0) > _PRINTED:
                problem = f"The correlation of {name!r} with itself is {own:g}, not 1."
                raise DataError(problem, hint="Covariances are read by from_covariance.")
            if s <= 0:
                raise DataError(f"The standard deviation of {name!r} is {s:g}; it must be above 0.")
        return cls.from_covariance(names, r * np.outer(spread, spread), mean, n)

    @classmethod
    def from_covariance(
        cls,
        names: Sequence[str],
        covariance: ArrayLike | Sequence[Sequence[float]],
        mean: ArrayLike | None = None,
        n: int | None = None,
    ) -> Moments:
        """Read a published covariance matrix (divisor n - 1), whole or its lower triangle.

        Raises
        ------
        DataError
            Whatever cannot be a covariance matrix of n persons, naming the variables and the value.
        """
        s = _square(covariance, names, "covariance")
        for name, variance in zip(names, s.diagonal(), strict=True):
            if variance <= 0:
                raise DataError(f"The variance of {name!r} is {variance:g}; it must be above 0.")
        _require_positive_definite(_scaled(s), names)
        return cls(tuple(names), _count(n), None if mean is None else np.asarray(mean), s)

    @property
    def p(self) -> int:
        """Number of variables."""
        return len(self.names)

    @property
    def sd(self) -> FloatArray:
        """(p,) standard deviations in the variables' units."""
        return np.sqrt(self.covariance.diagonal())

    @property
    def correlation(self) -> FloatArray:
        """(p, p) correlations."""
        return _scaled(self.covariance)

    def select(self, names: Sequence[str]) -> Moments:
        """Keep some variables, in the order asked for; an unknown name is a DataError."""
        keep = _index(names, self.names, "variable")
        mean = None if self.mean is None else self.mean[keep]
        return replace(self, names=tuple(names), mean=mean, covariance=self.covariance[np.ix_(keep, keep)])

    def combine(self, weights: ArrayLike, names: Sequence[str]) -> Moments:
        """Moments of m linear composites: `weights` (m, p) times the variables, called `names`."""
        w = _frozen(weights, (len(names), self.p), "weights")
        mean = None if self.mean is None else w @ self.mean
        return replace(self, names=tuple(names), mean=mean, covariance=w @ self.covariance @ w.T)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of rows together, exactly.

        Raises
        ------
        DataError
            Other names, another order of names, or a printed matrix without means.
        """
        if self.names != other.names:
            a, b = listed(self.names), listed(other.names)
            problem = f"Moments of {a} cannot be merged with moments of {b}."
            raise DataError(problem, hint="Bring both to the same names in the same order with select.")
        if self.mean is None or other.mean is None:
            problem = "Moments without means cannot be merged: how far the groups lie apart is unknown."
            raise DataError(problem, hint="Give mean= when reading a printed matrix.")
        given = ((self.n, self.mean, self.covariance), (other.n, other.mean, other.covariance))
        parts = ([np.full((1, 1, 1), n), m[None, :, None], (n - 1) * s[None]] for n, m, s in given)
        n, mean, scatter = _chan(*parts)
        dropped = self.n_dropped + other.n_dropped
        return Moments(self.names, int(n.item()), mean[0, :, 0], scatter[0] / (n[0] - 1), dropped)

    def __add__(self, other: object) -> Moments:
        return self.merge(other) if isinstance(other, Moments) else NotImplemented


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Where the n respondents of a source belong and what each row counts for.

    Parameters
    ----------
    codes
        (n,) position of the respondent's unit in `units`; -1: no unit, the row is ignored.
    units
        The G unit keys, in any order.
    weight
        (n,) sampling weights on any scale; a row of weight 0 is ignored. None: all 1.
    frequency
        (n,) whole numbers: how many identical respondents a row stands for. None: all 1.
    eligible
        (G,) how many people each unit could have asked, in the order of `units`; NaN = unknown.

    Raises
    ------
    DataError
        Codes outside the units, negative weights, frequencies that are no counts, arrays of other lengths.

    Examples
    --------
    >>> Design(np.array([0, 1, 1]), ["north", "south"], weight=np.array([1.0, 2, 0])).used_codes()
    array([ 0,  1, -1])
    """

    codes: IntArray
    units: Sequence[Hashable]
    weight: FloatArray | None = None
    frequency: FloatArray | None = None
    eligible: FloatArray | None = None

    def __post_init__(self) -> None:
        codes, n = np.asarray(self.codes), np.size(self.codes)
        if codes.dtype.kind not in "iu" or codes.ndim != 1:
            problem = f"Unit codes are {codes.dtype} {codes.shape}."
            raise DataError(problem, allowed="one whole number a row")
        if n and not -1 <= codes.min() <= codes.max() < len(self.units):
            problem = f"Unit codes run from {codes.min()} to {codes.max()} for {len(self.units)} units."
            raise DataError(problem, allowed="-1 (no unit) to the number of units - 1")
        if self.frequency is not None:
            object.__setattr__(self, "frequency", _frequencies(self.frequency, n))
        if self.weight is not None:
            weight = _frozen(self.weight, (n,), "weight")
            if (weight < 0).any():
                raise DataError(f"A sampling weight is {weight.min():g}; weights must be 0 or above.")
            object.__setattr__(self, "weight", weight)

    def row_weights(self) -> tuple[FloatArray, ...]:
        """Say what the rows count for: (), (f,) or (f, f w, f w²), each (n,)."""
        if self.weight is None:
            return () if self.frequency is None else (self.frequency,)
        f = np.ones(len(self.weight)) if self.frequency is None else self.frequency
        return f, f * self.weight, f * self.weight**2

    def used_codes(self) -> IntArray:
        """(n,) unit codes, -1 also for rows that count for nothing."""
        codes = np.asarray(self.codes)
        for count in (self.weight, self.frequency):
            if count is not None and not count.all():
                codes = np.where(count > 0, codes, -1)
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class SourceMoments:
    """One respondent source (employees, customers, ...), condensed by unit and pair of items.

    Respondents skip items, so each pair (a, b) of items has its own count, means and cross-products in a unit.
    Arrays may be given in any shape that broadcasts to (G, p, p), and stay that small in memory: where nobody
    skipped an item, counts are (G, 1, 1) and means (G, p, 1).

    Parameters
    ----------
    source
        Name of the source.
    items
        The p items.
    units
        The G unit keys; kept sorted by (type name, value), whatever the order given.
    respondents
        (G,) respondents with at least one answer.
    n
        (G, p, p) respondents who answered both a and b; on the diagonal the available cases of each item.
    weight, weight2
        (G, p, p) sums of their sampling weights and squared weights; the same object as `n` without weights.
    pair_mean
        (G, p, p) [j, a, b]: weighted mean of item a over those who answered a and b; NaN where nobody did.
    scatter
        (G, p, p) weighted cross-products about these means; 0 where nobody answered both, NaN where unknown.
    eligible
        (G,) how many people each unit could have asked, NaN = unknown; None: unknown everywhere.

    References
    ----------
    Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    Examples
    --------
    >>> design = Design(codes=np.array([0, 0, 1, 1, 1]), units=["north", "south"])
    >>> columns = [np.array([1.0, 3, 2, 4, np.nan]), np.array([2, 2, 5, 3, 1])]
    >>> staff = SourceMoments.from_columns("employee", ["pri1", "pri2"], columns, design)
    >>> staff.mean.tolist(), staff.counts.tolist()
    ([[2.0, 2.0], [3.0, 3.0]], [[2.0, 2.0], [2.0, 3.0]])
    >>> staff.within_covariance.round(3).tolist()
    [[2.0, -1.0], [-1.0, 2.667]]
    """

    source: str
    items: tuple[str, ...]
    units: tuple[Hashable, ...]
    respondents: FloatArray
    n: FloatArray
    weight: FloatArray
    weight2: FloatArray
    pair_mean: FloatArray
    scatter: FloatArray
    eligible: FloatArray | None = None

    def __post_init__(self) -> None:
        items, (units, order) = _distinct(self.items, "item"), _ordered(self.units)
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "units", units)
        given = {name: getattr(self, name) for name in ("respondents", *_PAIRED, "eligible")}
        views: dict[tuple[int, int], FloatArray] = {}  # the same object in is the same object kept
        for name, array in given.items():
            if array is not None:
                shape = (len(units), len(items), len(items)) if name in _PAIRED else (len(units),)
                key = id(array), len(shape)
                if key not in views:
                    views[key] = _view(array, order, shape, f"{name} of {self.source!r}")
                object.__setattr__(self, name, views[key])

    @classmethod
    def from_columns(
        cls, source: str, items: Sequence[str], columns: Sequence[NDArray[Any]], design: Design
    ) -> SourceMoments:
        """Condense the answers of n respondents without writing into their table or copying it whole.

        Parameters
        ----------
        source
            Name of the source.
        items
            The p items.
        columns
            p arrays (n,) of any real type, NaN = missing.
        design
            Unit, weight and frequency of each respondent.

        Raises
        ------
        DataError
            A column that is text, has an infinite answer or is of another length.
        """
        n = len(design.codes)
        if len(columns) != len(items):
            raise DataError(f"{source!r} has {len(items)} items, but {len(columns)} columns were given.")
        for item, column in zip(items, columns, strict=True):
            if column.dtype.kind not in "biuf" or column.shape != (n,):
                raise DataError(f"Item {item!r} is {column.dtype} {column.shape}; {n} numbers were expected.")
        pairs, respondents = _condense(columns, design, items)
        return cls(source, tuple(items), tuple(design.units), respondents, *_five(pairs), design.eligible)

    @property
    def counts(self) -> FloatArray:
        """(G, p) available-case counts."""
        return _diagonal(self.n)

    @property
    def mean(self) -> FloatArray:
        """(G, p) available-case means in the items' points, NaN where nobody answered."""
        return _diagonal(self.pair_mean)

    @property
    def item_variance(self) -> FloatArray:
        """(G, p) unbiased variance among a unit's respondents in squared points; NaN below two answers."""
        return _ratio(_diagonal(self.scatter), _diagonal(self._spare()), np.nan)

    @property
    def within_df(self) -> FloatArray:
        """(p, p) degrees of freedom: the sum of max(n - 1, 0) over the units whose scatter is known."""
        spare = np.broadcast_to(np.maximum(_compact(self.n) - 1.0, 0.0), self.n.shape)
        return np.asarray(spare.sum(axis=0, where=~np.isnan(self.scatter)))

    @property
    def within_covariance(self) -> FloatArray:
        """(p, p) unbiased covariance among respondents of one unit, pooled; NaN where no unit knows it."""
        known = ~np.isnan(self.scatter)
        scatter, spare = (array.sum(axis=0, where=known) for array in (self.scatter, self._spare()))
        pooled = _ratio(scatter, spare, np.nan)
        return np.asarray((pooled + pooled.T) / 2.0)

    def _spare(self) -> FloatArray:
        """(G, p, p) what makes the scatter unbiased: n - 1, or its like with weights; 0 below two answers."""
        n, w, w2 = (_compact(array) for array in (self.n, self.weight, self.weight2))
        return np.broadcast_to(np.where(n >= 2, np.maximum(w - _ratio(w2, w, 0.0), 0.0), 0.0), self.n.shape)

    def affine(self, sign: ArrayLike, offset: ArrayLike) -> SourceMoments:
        """Moments of offset + sign * item, both (p,): an item reversed on 1 to 7 has sign -1 and offset 8."""
        s, shift = (_frozen(value, (len(self.items),), "sign or offset") for value in (sign, offset))
        mean = shift[:, None] + s[:, None] * _compact(self.pair_mean)
        return replace(self, pair_mean=mean, scatter=self.scatter * np.outer(s, s))

    def select(self, items: Sequence[str]) -> SourceMoments:
        """Keep some items, in the order asked for; `respondents` stays that of the whole questionnaire."""
        keep = _index(items, self.items, f"item of {self.source!r}")
        pairs = [a if a.shape[1] == 1 else a[:, keep] for a in self._pairs()]
        pairs = [a if a.shape[2] == 1 else a[:, :, keep] for a in pairs]
        head = (self.source, tuple(items), self.units, self.respondents)
        return SourceMoments(*head, *_five(pairs), self.eligible)

    def with_eligible(self, eligible: ArrayLike) -> SourceMoments:
        """State how many people each unit could have asked, (G,) in the order of `units`; NaN = unknown."""
        return replace(self, eligible=np.array(eligible, dtype=np.float64))

    def merge(self, other: SourceMoments) -> SourceMoments:
        """Moments of both sets of respondents together, exactly, unit by unit and pair by pair.

        Raises
        ------
        DataError
            Another source, other items, or two numbers of eligible people for one unit.
        """
        if (self.source, self.items) != (other.source, other.items):
            a, b = (f"{s.source!r} (items {listed(s.items)})" for s in (self, other))
            problem = f"{a} cannot be merged with {b}."
            raise DataError(problem, hint="Bring both to the same items in the same order with select.")
        units, mine, theirs = _union(self.units, other.units), self._pairs(), other._pairs()
        if len(mine) != len(theirs):  # only one of the two has weights
            mine, theirs = _five(mine), _five(theirs)
        total, respondents = _blank(len(units), len(self.items), len(mine) - 2), np.zeros(len(units))
        for part, pairs in ((self, mine), (other, theirs)):
            at = _positions(part.units, units)
            _put(total, at, pairs, fresh=part is self)
            respondents[at] += part.respondents
        known = [(s.units, s.eligible[:, None]) for s in (self, other) if s.eligible is not None]
        eligible = _overlay(units, known, ("eligible",))[:, 0] if known else None
        return SourceMoments(self.source, self.items, units, respondents, *_five(total), eligible)

    def __add__(self, other: object) -> SourceMoments:
        return self.merge(other) if isinstance(other, SourceMoments) else NotImplemented

    def __reduce__(self) -> tuple[object, ...]:
        """Travel small: what is broadcast in memory is not written out."""
        head = (self.source, self.items, self.units, self.respondents)
        return type(self), (*head, *_five(self._pairs()), self.eligible)

    def _pairs(self) -> _Pairs:
        names = _PAIRED if self.weight is not self.n else ("n", "pair_mean", "scatter")
        return [_compact(getattr(self, name)) for name in names]


@dataclass(frozen=True, slots=True, eq=False)
class UnitFigures:
    """Figures of the units themselves, one row a unit.

    Parameters
    ----------
    names
        The q figures.
    units
        The G unit keys; kept sorted as in `SourceMoments`.
    values
        (G, q) figures in their own units of measurement, NaN = missing.

    Raises
    ------
    DataError
        A unit that occurs twice, an infinite figure.

    Examples
    --------
    >>> books = UnitFigures(("revenue",), ("south", "north"), np.array([[7.0], [9.0]]))
    >>> books.units, books.values.tolist()
    (('north', 'south'), [[9.0], [7.0]])
    """

    names: tuple[str, ...]
    units: tuple[Hashable, ...]
    values: FloatArray

    def __post_init__(self) -> None:
        names, (units, order) = _distinct(self.names, "figure"), _ordered(self.units)
        values = _view(np.array(self.values, np.float64), order, (len(units), len(names)), "unit figures")
        for g, k in np.argwhere(np.isinf(values))[:1]:
            problem = f"Figure {names[k]!r} of unit {units[g]!r} is infinite."
            raise DataError(problem, hint="Use NaN for unknown.")
        for field, value in (("names", names), ("units", units), ("values", values)):
            object.__setattr__(self, field, value)

    def merge(self, other: UnitFigures) -> UnitFigures:
        """Figures of the units of both; what is missing in one is filled from the other.

        Raises
        ------
        DataError
            Other names, or two values for one figure of one unit.
        """
        if self.names != other.names:
            a, b = listed(self.names), listed(other.names)
            raise DataError(f"Figures {a} cannot be merged with figures {b}.")
        units = _union(self.units, other.units)
        parts = [(self.units, self.values), (other.units, other.values)]
        return UnitFigures(self.names, units, _overlay(units, parts, self.names))

    def __add__(self, other: object) -> UnitFigures:
        return self.merge(other) if isinstance(other, UnitFigures) else NotImplemented


@dataclass(frozen=True, slots=True, eq=False)
class LinkedMoments:
    """All sources and the units' own figures, side by side.

    Parameters
    ----------
    sources
        Respondent sources.
    figures
        The units' own figures, if any. No name occurs twice among items and figures.

    Examples
    --------
    >>> design = Design(codes=np.array([0, 0, 1]), units=["north", "south"])
    >>> staff = SourceMoments.from_columns("employee", ["pri1"], [np.array([1.0, 3, 2])], design)
    >>> linked = LinkedMoments((staff,), UnitFigures(("revenue",), ("north",), np.array([[9.0]])))
    >>> linked.units, linked.matched
    (('north', 'south'), ('north',))
    >>> names, means = linked.item_means()
    >>> names, means.tolist()
    (('pri1', 'revenue'), [[2.0, 9.0], [2.0, nan]])
    """

    sources: tuple[SourceMoments, ...]
    figures: UnitFigures | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(self.sources))
        _distinct([name for names, _, _ in self._tables() for name in names], "item or figure")
        if self.sources:
            _distinct([s.source for s in self.sources], "source")

    def _tables(self) -> list[tuple[tuple[str, ...], tuple[Hashable, ...], FloatArray]]:
        """Names, units and unit means or figures of every part."""
        own = [] if self.figures is None else [(self.figures.names, self.figures.units, self.figures.values)]
        return [(s.items, s.units, s.mean) for s in self.sources] + own

    @property
    def units(self) -> tuple[Hashable, ...]:
        """Units known to any source or to the figures."""
        return _union(*(units for _, units, _ in self._tables()))

    @property
    def matched(self) -> tuple[Hashable, ...]:
        """Units with an answer in every source and, where there are figures, a row of figures."""
        present = [{u for u, r in zip(s.units, s.respondents, strict=True) if r > 0} for s in self.sources]
        present += [] if self.figures is None else [set(self.figures.units)]
        return tuple(u for u in self.units if all(u in some for some in present))

    def source(self, name: str) -> SourceMoments:
        """Find a source by its name; an unknown name is a DataError."""
        return self.sources[_index([name], [s.source for s in self.sources], "source")[0]]

    def item_means(self, units: Sequence[Hashable] | None = None) -> tuple[tuple[str, ...], FloatArray]:
        """Put the unit means of all items side by side, then the figures.

        Parameters
        ----------
        units
            The rows wanted, in this order; all units if left out. An unknown one is a DataError.

        Returns
        -------
        names, means
            P names and the (G, P) means in the items' points and the figures' units, NaN where absent.
        """
        every, tables = self.units, self._tables()
        means = np.hstack([_overlay(every, [(own, values)], names) for names, own, values in tables])
        if units is not None:
            wanted = [_canonical(unit) for unit in units]
            unknown = [unit for unit in wanted if unit not in set(every)]
            if unknown:
                raise DataError(f"Nothing is known about unit {listed(unknown)}.")
            means = means[_positions(wanted, every)]
        return tuple(name for names, _, _ in tables for name in names), means

    def merge(self, other: LinkedMoments) -> LinkedMoments:
        """Moments of both: a source known to both is merged (`SourceMoments.merge`), any other is kept."""
        mine, theirs = ({s.source: s for s in linked.sources} for linked in (self, other))
        sources = [s.merge(theirs[name]) if name in theirs else s for name, s in mine.items()]
        sources += [s for name, s in theirs.items() if name not in mine]
        figures = other.figures if self.figures is None else self.figures
        if self.figures is not None and other.figures is not None:
            figures = self.figures.merge(other.figures)
        return LinkedMoments(tuple(sources), figures)

    def __add__(self, other: object) -> LinkedMoments:
        return self.merge(other) if isinstance(other, LinkedMoments) else NotImplemented


# --- pairs of items: merge and condense ---


def _blank(units: int, p: int, counts: int) -> list[FloatArray]:
    nobody = [np.zeros((units, 1, 1)) for _ in range(counts)]
    return [*nobody, np.full((units, p, 1), np.nan), np.zeros((units, p, p))]


def _five(pairs: _Pairs) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Spell out weight and weight2 where they are n."""
    n, weight, weight2, mean, scatter = pairs if len(pairs) == 5 else (pairs[0], pairs[0], *pairs)
    return n, weight, weight2, mean, scatter


def _put(total: list[FloatArray], at: IntArray, part: _Pairs, fresh: bool) -> None:
    """Put (fresh) or merge `part` into the units `at` of `total`, which grows where the part needs room."""
    if not fresh:
        part = _chan([array[at] for array in total], part)
    for k, new in enumerate(part):
        shape = np.broadcast_shapes(total[k].shape[1:], new.shape[1:])
        if shape != total[k].shape[1:]:
            total[k] = np.broadcast_to(total[k], (len(total[k]), *shape)).copy()
        total[k][at] = new


def _chan(a: _Pairs, b: _Pairs) -> list[FloatArray]:
    """Merge two sets of pairs, unit by unit, without cancellation (Chan, Golub & LeVeque 1983)."""
    w_a, w_b = (part[(len(part) - 2) // 2] for part in (a, b))
    gap = np.where((w_a > 0) & (w_b > 0), b[-2] - a[-2], 0.0)
    share = _ratio(w_b, w_a + w_b, 0.0)
    mean = np.where(w_a > 0, a[-2], b[-2]) + share * gap
    known_a, known_b = (np.where(part[0] > 1, part[-1], 0.0) for part in (a, b))  # one answer has no scatter
    scatter = known_a + known_b + w_a * share * gap * gap.swapaxes(1, 2)
    return [*(x + y for x, y in zip(a[:-2], b[:-2], strict=True)), mean, scatter]


def _condense_block(block: FloatArray, length: IntArray, items: Sequence[str]) -> tuple[_Pairs, FloatArray]:
    """Condense B units whose rows lie side by side.

    Parameters
    ----------
    block
        (p + k, rows) answers, NaN = missing; below them what the rows count for, see `Design.row_weights`.
        Overwritten.
    length
        (B,) rows of each unit, at least 1.
    items
        The p names, for the message about an infinite answer.

    Returns
    -------
    pairs, respondents
        The pairs of these units and (B,) their respondents.
    """
    z, rows, start = block[: len(items)], block[len(items) :], np.cumsum(length) - length
    w = rows[len(rows) // 2] if len(rows) else None
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.add.reduceat(z, start, axis=1)
        missing = None if np.isfinite(total).all() else np.isnan(z)
        if missing is not None:
            np.copyto(z, 0.0, where=missing)
            total = np.add.reduceat(z, start, axis=1)
            infinite = ~np.isfinite(total).all(axis=1)
            if infinite.any():
                problem = f"Item {items[int(infinite.argmax())]!r} has an infinite (or astronomic) answer."
                raise DataError(problem, hint="Use NaN for a missing answer.")
    if w is not None:
        total = np.add.reduceat(z * w, start, axis=1)
    if missing is not None:
        return _condense_holed(z, missing, total, rows, length)
    counts = [np.add.reduceat(row, start) for row in rows] or [length.astype(np.float64)]
    mean = total / counts[len(counts) // 2]
    z -= np.repeat(mean, length, axis=1)
    scatter = _products(z if w is None else z * w, z, length)
    return [*(c[:, None, None] for c in counts), mean.T[:, :, None], scatter], counts[0]


def _condense_holed(
    z: FloatArray, missing: BoolArray, total: FloatArray, rows: FloatArray, length: IntArray
) -> tuple[_Pairs, FloatArray]:
    answered, someone = (~missing).astype(np.float64), (~missing.all(axis=0)).astype(np.float64)
    counts = [_products(answered * row, answered, length) for row in rows]
    counts = counts or [_products(answered, answered, length)]
    weight = counts[len(counts) // 2]
    mean = _ratio(total, _diagonal(weight).T, 0.0)
    z -= np.repeat(mean, length, axis=1)
    z *= answered
    left = z * rows[len(rows) // 2] if len(rows) else z
    cross = _products(left, answered, length)  # [j, a, b]: sum of a over those who answered b
    shift = _ratio(cross, weight, 0.0)
    pair_mean = np.where(weight > 0, mean.T[:, :, None] + shift, np.nan)
    scatter = _products(left, z, length) - cross * shift.swapaxes(1, 2)
    variance = np.einsum("jaa->ja", scatter)
    np.maximum(variance, 0.0, out=variance)  # rounding may leave -1e-30 where all answers are equal
    someone = someone * rows[0] if len(rows) else someone
    return [*counts, pair_mean, scatter], np.add.reduceat(someone, np.cumsum(length) - length)


def _products(left: FloatArray, right: FloatArray, length: IntArray) -> FloatArray:
    """(B, p, p) cross-products of (p, rows) arrays in which B units lie side by side."""
    p, end = len(left), np.cumsum(length)
    out, halves = np.empty((len(length), p, p)), (slice(p // 2), slice(p // 2, p))
    edges = [0, *(np.flatnonzero(np.diff(length)) + 1).tolist(), len(length)]
    for a, b in pairwise(edges):  # units of one size at a stroke
        lo, hi, shape = end[a] - length[a], end[b - 1], (p, b - a, length[a])
        x = left[:, lo:hi].reshape(shape).transpose(1, 0, 2)
        y = right[:, lo:hi].reshape(shape).transpose(1, 2, 0)
        for half in halves:  # numpy is slow at a whole matrix times its own transpose
            np.matmul(x[:, half], y, out=out[a:b, half])
    return out


# --- rows, gathered by unit ---


def _condense(
    columns: Sequence[NDArray[Any]], design: Design, items: Sequence[str]
) -> tuple[list[FloatArray], FloatArray]:
    """Pairs and respondents (G,) of every unit."""
    p, rows, groups = len(columns), design.row_weights(), len(design.units)
    order, unit, start, length = _segments(design.used_codes(), groups)
    size, end = np.bincount(unit, weights=length, minlength=groups), np.concatenate([[0], np.cumsum(length)])
    total, respondents, table = _blank(groups, p, max(len(rows), 1)), np.zeros(groups), [*columns, *rows]
    # Where each column is a stretch of memory of its own, many rows at once find more than one answer in a line of
    # cache; where the columns lie interleaved, a row is found at one place, and few rows at once stay in cache.
    scattered = order is not None and all(column.flags.c_contiguous for column in columns)
    room = max(_BATCH, _GATHER // p) if scattered else _BATCH
    buffer = np.empty((len(table), min(room, end[-1])))
    for first, last in _cuts(end, room, len(unit)):
        at = np.repeat(start[first:last] - end[first:last], length[first:last])
        at += np.arange(end[first], end[last])
        _gather(table, at if order is None else order[at], buffer, scattered)
        for a, b in _cuts(end[first : last + 1], _BATCH, _RESULT // p**2):
            block = buffer[:, end[first + a] - end[first] : end[first + b] - end[first]]
            of, m = unit[first + a : first + b], length[first + a : first + b]
            pairs, count = _condense_block(block, m, items)
            _put(total, of, pairs, fresh=bool((size[of] == m).all()))
            respondents[of] += count
    return total, respondents


def _segments(codes: IntArray, groups: int) -> tuple[IntArray | None, IntArray, IntArray, IntArray]:
    """Cut the rows into segments of one unit, at most `_BATCH` long, the shortest first.

    Returns
    -------
    order
        (n,) rows sorted by unit, those without a unit first; None if they come so.
    unit, start, length
        (S,) the unit of each segment, its first place in that order and its number of rows.
    """
    order = None
    if not (codes[1:] >= codes[:-1]).all():
        small = np.uint16 if groups < 2**16 else np.int64  # numpy sorts 16 bits by radix
        order = np.argsort((codes + 1).astype(small), kind="stable")
    size = np.bincount(codes + 1, minlength=groups + 1)
    pieces = -(-size[1:] // _BATCH)
    unit = np.repeat(np.arange(groups), pieces)
    before = _BATCH * (np.arange(len(unit)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
    length = np.minimum(_BATCH, size[1:][unit] - before)
    by = np.argsort(length, kind="stable")  # units of one size are multiplied at a stroke
    return order, unit[by], (np.cumsum(size)[unit] + before)[by], length[by]


def _cuts(end: IntArray, rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut segments, which end at `end[1:]`, into groups of at most so many rows and segments, one at least.

    A group of at most `_BATCH` rows never holds two segments of one unit.
    """
    first = 0
    while first < len(end) - 1:
        last = min(int(np.searchsorted(end, end[first] + rows, side="right")) - 1, first + most)
        yield first, max(last, first + 1)
        first = max(last, first + 1)


def _gather(table: Sequence[NDArray[Any]], at: IntArray, buffer: FloatArray, scattered: bool) -> None:
    """Put the rows `at` of the columns at the front of `buffer`; scattered rows are read in table order."""
    spare, rank = np.empty(len(at) if scattered else 0), None
    if scattered:
        by = np.argsort(at)
        at, rank = at[by], np.empty_like(by)
        rank[by] = np.arange(len(by))
    for column, place in zip(table, buffer[:, : len(at)], strict=True):
        found = place if rank is None else spare
        if column.dtype == np.float64 and column.flags.c_contiguous:
            column.take(at, out=found, mode="clip")  # the fastest, but it would copy a strided column whole
        else:
            found[:] = column[at]
        if rank is not None:
            spare.take(rank, out=place, mode="clip")


def _pooled(blocks: Iterable[tuple[FloatArray, FloatArray]], names: Sequence[str]) -> Moments:
    """Moments of the complete rows among blocks of rows (m, p) and their frequencies (m,)."""
    p, seen = len(_distinct(names, "variable")), 0.0
    total, missing, low, high = _blank(1, p, 1), np.zeros(p), np.full(p, np.inf), np.full(p, -np.inf)
    for rows, f in blocks:
        holes = np.isnan(rows)
        missing, seen = missing + f @ holes, seen + float(f.sum())
        use = ~holes.any(axis=1) & (f > 0)
        if use.any():
            z = np.vstack([rows[use].T, f[use]])
            low, high = np.minimum(low, z[:-1].min(axis=1)), np.maximum(high, z[:-1].max(axis=1))
            pairs, _ = _condense_block(z, np.array([z.shape[1]]), names)
            _put(total, np.zeros(1, np.int64), pairs, fresh=False)
    n, worst = int(total[0].item()), int(missing.argmax())
    if n < 2:
        problem = f"Only {n} of {seen:g} rows are complete; at least 2 are needed."
        most = f"{names[worst]!r} is missing most often ({missing[worst]:g} times)."
        raise DataError(problem, hint=most if missing[worst] else None)
    for k in np.flatnonzero(low == high)[:1]:
        problem = f"{names[k]!r} is constant ({low[k]:g} in all {n} complete rows)."
        raise DataError(problem, hint="Leave it out.")
    return Moments(tuple(names), n, total[1][0, :, 0], total[2][0] / (n - 1.0), int(seen) - n)


# --- what is given, checked ---


def _numbers(block: ArrayLike, names: Sequence[str]) -> FloatArray:
    _require_order(block, names)
    try:
        rows = np.atleast_2d(np.asarray(block, dtype=np.float64))
    except (TypeError, ValueError) as cause:
        problem = f"The rows of {listed(names)} are not all numbers ({cause})."
        raise DataError(problem, hint="Recode text to numbers; use NaN for a missing answer.") from cause
    if rows.shape[1:] != (len(names),):
        raise DataError(f"Rows of shape {rows.shape} do not fit the {len(names)} names {listed(names)}.")
    for k in np.flatnonzero(np.isinf(rows).any(axis=0))[:1]:
        raise DataError(f"{names[k]!r} has an infinite value.", hint="Use NaN for a missing answer.")
    return rows


def _require_order(table: object, names: Sequence[str]) -> None:
    """Refuse a labelled table that has the names in another order: its numbers would be mixed up."""
    labels = list(getattr(table, "columns", names))
    if labels != list(names) and set(labels) == set(names):
        problem = f"The columns {listed(labels)} are in another order than the names {listed(names)}."
        raise DataError(problem, hint="Reorder one of them.")


def _square(matrix: ArrayLike | Sequence[Sequence[float]], names: Sequence[str], what: str) -> FloatArray:
    """Fill up a printed lower triangle or check a whole matrix; rounding between its halves is averaged."""
    _require_order(matrix, names)
    p = len(_distinct(names, "variable"))
    got: object = [np.size(row) for row in matrix] if isinstance(matrix, list | tuple) else np.shape(matrix)
    try:
        if isinstance(matrix, list | tuple) and got == [*range(1, p + 1)]:
            matrix = [[*row, *(later[k] for later in matrix[k + 1 :])] for k, row in enumerate(matrix)]
        full = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        full = np.full(1, np.nan)  # ragged, or text
    if full.shape != (p, p):
        problem = f"The {what} matrix of {listed(names)} has rows of {got} numbers, or text in it."
        raise DataError(problem, allowed=f"{p} rows of {p}, or the lower triangle: rows of 1, 2, ... {p}")
    for a, b in np.argwhere(~np.isfinite(full))[:1]:
        problem = f"The {what} of {names[a]!r} and {names[b]!r} is {full[a, b]:g}."
        raise DataError(problem, hint="Give a finite number.")
    scale = np.sqrt(np.abs(np.outer(full.diagonal(), full.diagonal())))
    for a, b in np.argwhere(np.abs(full - full.T) > _PRINTED * scale)[:1]:
        values = f"{full[a, b]:g} above and {full[b, a]:g} below the diagonal"
        raise DataError(f"The {what} of {names[a]!r} and {names[b]!r} is {values}.", hint="Correct one.")
    return np.asarray((full + full.T) / 2.0)


def _require_positive_definite(r: FloatArray, names: Sequence[str]) -> None:
    """Refuse a correlation matrix that no persons can have, or that repeats a variable."""
    for a, b in np.argwhere(np.abs(r) > 1.0 + _PRINTED)[:1]:
        problem = f"The correlation of {names[a]!r} and {names[b]!r} is {r[a, b]:g}."
        raise DataError(problem, allowed="-1 to 1")
    values, vectors = np.linalg.eigh(r)
    if values[0] < _SINGULAR:
        share = np.abs(vectors[:, 0])
        culprits = [names[k] for k in np.argsort(-share, kind="stable") if share[k] > 0.3 * share.max()]
        problem = (
            f"The matrix is not positive definite: {listed(culprits)} contradict or repeat one another "
            f"(smallest eigenvalue of the correlations {values[0]:.2g})."
        )
        hint = (
            "Check these entries for typing errors; leave out a variable that is the sum or a copy of others; "
            "replace correlations computed pair by pair by those of the complete rows."
        )
        raise DataError(problem, hint=hint)


def _distinct(names: Iterable[str], what: str) -> tuple[str, ...]:
    given = tuple(names)
    twice = [name for name, times in Counter(given).items() if times > 1]
    if twice:
        problem = f"The {what} {listed(twice)} occurs more than once."
        raise DataError(problem, hint="Every name must be unique.")
    if not given:
        raise DataError(f"There is no {what}.", hint="Name at least one.")
    return given


def _index(wanted: Sequence[str], names: Sequence[str], what: str) -> list[int]:
    for name in _distinct(wanted, what):
        if name not in names:
            raise DataError(f"There is no {what} {name!r}.", hint=did_you_mean(name, names))
    return [names.index(name) for name in wanted]


def _count(n: object) -> int:
    if n is None:
        raise DataError("The number of persons behind the matrix is missing.", hint="Give n=.")
    if isinstance(n, bool) or not isinstance(n, int | float | np.integer) or not 2 <= n < np.inf or n != int(n):
        raise DataError(f"n is {n!r}; it must be a whole number, at least 2.")
    return int(n)


def _frequencies(frequency: ArrayLike, n: int) -> FloatArray:
    f = _frozen(frequency, (n,), "frequency")
    for wrong in f[(f < 0) | (f % 1 != 0)][:1]:
        problem = f"A frequency is {wrong:g}; frequencies are whole numbers, 0 or above."
        raise DataError(problem, hint="Sampling weights belong into weight=.")
    return f


def _frozen(values: ArrayLike, shape: tuple[int, ...], what: str) -> FloatArray:
    """Copy finite numbers of that shape, read-only."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise DataError(f"The {what} has shape {array.shape}; {shape} was expected.")
    for wrong in array[~np.isfinite(array)][:1]:
        raise DataError(f"The {what} has an entry {wrong}; finite numbers were expected.")
    array.flags.writeable = False
    return array


def _view(array: FloatArray, order: list[int] | None, shape: tuple[int, ...], what: str) -> FloatArray:
    """View an array read-only in `shape`, its units (first axis) reordered."""
    given = np.asarray(array, dtype=np.float64)
    try:
        full = np.broadcast_to(given, shape)
    except ValueError:
        raise DataError(f"The {what} has shape {given.shape}; {shape} was expected.") from None
    return full if order is None else np.broadcast_to(_compact(full)[order], shape)


# --- small algebra and unit keys ---


def _ratio(top: FloatArray, bottom: FloatArray, otherwise: float) -> FloatArray:
    """Divide where `bottom` is above 0."""
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    return np.asarray(np.divide(top, bottom, out=np.full(shape, otherwise), where=bottom > 0))


def _scaled(covariance: FloatArray) -> FloatArray:
    sd = np.sqrt(covariance.diagonal())
    r = _ratio(covariance, np.outer(sd, sd), np.nan)
    np.fill_diagonal(r, 1.0)
    return r


def _diagonal(pairs: FloatArray) -> FloatArray:
    return np.asarray(np.diagonal(pairs, axis1=1, axis2=2))


def _compact(array: FloatArray) -> FloatArray:
    """Undo broadcasting over the items."""
    if array.ndim < 3:
        return array
    return array[:, : 1 if array.strides[1] == 0 else None, : 1 if array.strides[2] == 0 else None]


def _canonical(unit: Hashable) -> Hashable:
    """Give equal keys one form: 5, np.int64(5) and 5.0 (from a column that once held NaN) are one unit."""
    plain = unit.item() if isinstance(unit, np.integer | np.floating | np.bool_ | np.str_) else unit
    if isinstance(plain, float) and plain.is_integer():
        return int(plain)
    if plain is None or plain != plain:  # noqa: PLR0124 - only a missing value differs from itself
        raise DataError(f"A unit key is missing ({unit!r}).", hint="Rows without a unit have the code -1.")
    return plain


def _ordered(units: Iterable[Hashable]) -> tuple[tuple[Hashable, ...], list[int] | None]:
    """Sort unit keys by (type name, value); the order is None where they come so."""
    keys = list(units)
    if not {type(key) for key in keys} <= {int, str}:
        keys = [_canonical(key) for key in keys]
    if len(set(keys)) < len(keys):
        twice = [key for key, times in Counter(keys).items() if times > 1]
        raise DataError(f"Unit {listed(twice)} occurs more than once.", hint="Every unit key must be unique.")
    typed: list[tuple[str, Any]] = [(type(key).__name__, key) for key in keys]
    places = range(len(keys))
    try:
        order = sorted(places, key=typed.__getitem__)
    except TypeError:  # keys that cannot be compared, such as tuples with None
        order = sorted(places, key=lambda k: (typed[k][0], repr(keys[k])))
    return tuple(keys[k] for k in order), None if order == list(places) else order


def _union(*parts: Sequence[Hashable]) -> tuple[Hashable, ...]:
    return _ordered(dict.fromkeys(unit for part in parts for unit in part))[0]


def _positions(units: Sequence[Hashable], among: Sequence[Hashable]) -> IntArray:
    place = {unit: k for k, unit in enumerate(among)}
    return np.array([place[unit] for unit in units], dtype=np.int64)


def _overlay(
    units: Sequence[Hashable], parts: Sequence[tuple[Sequence[Hashable], FloatArray]], names: Sequence[str]
) -> FloatArray:
    """Lay tables (own units, (g, q) values) over one another: (G, q), NaN where no part knows the value."""
    values = np.full((len(units), len(names)), np.nan)
    for own, new in parts:
        at = _positions(own, units)
        old = values[at]
        for g, k in np.argwhere(~(np.isnan(old) | np.isnan(new) | (old == new)))[:1]:
            problem = f"{names[k]!r} of unit {own[g]!r} is {old[g, k]:g} in one part, {new[g, k]:g} in another."
            raise DataError(problem, hint="Give it once, or twice the same.")
        values[at] = np.where(np.isnan(new), old, new)
    return values
