"""Moments of one survey, by unit; the units' own figures; all sources of a study together.

Means of all units side by side, and their sampling error: how much of the covariance within units each carries.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roxmodel.errors import DataError, listed
from roxmodel.moments.condense import (
    Design,
    Pairs,
    blank,
    canonical,
    compact,
    condense,
    diagonal,
    distinct,
    five,
    frozen,
    index,
    ordered,
    overlay,
    positions,
    put,
    ratio,
    union,
    view,
)
from roxmodel.moments.teams import TeamSums, team_sums
from roxmodel.types import BoolArray, FloatArray, IntArray, read_only

__all__ = [
    "LinkedMoments", "SourceMeans", "SourceMoments", "UnitFigures", "UnitMeans", "growth_of", "mean_noise", "never_met",
    "team_covariance", "without_say",
]  # fmt: skip


_PAIRED = ("n", "weight", "weight2", "pair_mean", "scatter")


@dataclass(frozen=True, slots=True, eq=False)
class SourceMoments:
    """One respondent source (employees, customers, ...), condensed by unit and pair of items.

    Respondents skip items, so each pair (a, b) of items has its own count, means and cross-products in a unit.
    Arrays may be given in any shape that broadcasts to (G, p, p), and stay that small in memory: where nobody
    skipped an item, counts are (G, 1, 1) and means (G, p, 1).

    Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    >>> design = Design(codes=np.array([0, 0, 1, 1, 1]), units=["north", "south"])
    >>> columns = [np.array([1.0, 3, 2, 4, np.nan]), np.array([2, 2, 5, 3, 1])]
    >>> staff = SourceMoments.from_columns("employee", ["pri1", "pri2"], columns, design)
    >>> staff.mean.tolist(), staff.counts.tolist()
    ([[2.0, 2.0], [3.0, 3.0]], [[2.0, 2.0], [2.0, 3.0]])
    >>> staff.within_covariance.round(3).tolist()
    [[2.0, -1.0], [-1.0, 2.667]]
    """

    source: str
    items: tuple[str, ...]  # p
    units: tuple[Hashable, ...]  # G keys; kept sorted by (type name, value), whatever the order given
    respondents: FloatArray  # (G,) with at least one answer
    n: FloatArray  # (G, p, p) respondents who answered both a and b; on the diagonal the available cases of each item
    weight: FloatArray  # (G, p, p) sums of their sampling weights, and of the squares: without weights the object `n`
    weight2: FloatArray
    pair_mean: FloatArray  # (G, p, p) [j, a, b]: weighted mean of a over those who answered a and b; NaN: nobody did
    scatter: FloatArray  # (G, p, p) weighted cross-products about these; 0 where nobody answered both, NaN: unknown
    eligible: FloatArray | None = None  # (G,) how many people each unit could have asked, NaN or None: unknown
    teams: TeamSums | None = None  # of people who answer alike; None: people of a unit are independent

    def __post_init__(self) -> None:
        items, (units, order) = distinct(self.items, "item"), ordered(self.units)
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "units", units)
        given = {name: getattr(self, name) for name in ("respondents", *_PAIRED, "eligible")}
        views: dict[tuple[int, int], FloatArray] = {}  # the same object in is the same object kept
        for name, array in given.items():
            if array is not None:
                shape = (len(units), len(items), len(items)) if name in _PAIRED else (len(units),)
                key = id(array), len(shape)
                if key not in views:
                    views[key] = view(array, order, shape, f"{name} of {self.source!r}")
                object.__setattr__(self, name, views[key])
        if order is not None and self.teams is not None:
            object.__setattr__(self, "teams", self.teams.take(order))

    @classmethod
    def from_columns(
        cls, source: str, items: Sequence[str], columns: Sequence[NDArray[Any]], design: Design
    ) -> SourceMoments:
        """Condense the answers of n respondents without writing into their table or copying it whole.

        `columns`: p arrays (n,) of any real type, NaN = missing. One that is text, has an infinite answer or is of
        another length is a DataError.
        """
        n = len(design.codes)
        if len(columns) != len(items):
            raise DataError(f"{source!r} has {len(items)} items, but {len(columns)} columns were given.")
        for item, column in zip(items, columns, strict=True):
            if column.dtype.kind not in "biuf" or column.shape != (n,):
                raise DataError(f"Item {item!r} is {column.dtype} {column.shape}; {n} numbers were expected.")
        pairs, respondents = condense(columns, design, items)
        teams = None if design.team is None else team_sums(columns, design, items)
        return cls(source, tuple(items), tuple(design.units), respondents, *five(pairs), design.eligible, teams)

    @property
    def counts(self) -> FloatArray:
        """(G, p) available-case counts."""
        return diagonal(self.n)

    @property
    def mean(self) -> FloatArray:
        """(G, p) available-case means in the items' points, NaN where nobody answered."""
        return diagonal(self.pair_mean)

    @property
    def item_variance(self) -> FloatArray:
        """(G, p) unbiased variance among a unit's respondents in squared points; NaN below two answers."""
        return ratio(diagonal(self.scatter), diagonal(self.spare), np.nan)

    @property
    def within_df(self) -> FloatArray:
        """(p, p) degrees of freedom: the sum of max(n - 1, 0) over the units whose scatter is known."""
        spare = np.broadcast_to(np.maximum(compact(self.n) - 1.0, 0.0), self.n.shape)
        return np.asarray(spare.sum(axis=0, where=~np.isnan(self.scatter)))

    @property
    def within_covariance(self) -> FloatArray:
        """(p, p) unbiased covariance among respondents of one unit, pooled; NaN where no unit knows it.

        With teams it is that of single answers, of people of any team.
        """
        known = ~np.isnan(self.scatter)
        scatter, spare = (array.sum(axis=0, where=known) for array in (self.scatter, self.spare))
        pooled = ratio(scatter, spare, np.nan)
        if self.teams is not None:
            team, missed = self.between_teams()
            pooled = pooled + missed * np.where(np.isnan(team), 0.0, team)
        return np.asarray((pooled + pooled.T) / 2.0)

    def between_teams(self, times: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """(p, p) covariance between teams of one unit, and what pooling misses of it (see `TeamSums.between`)."""
        if self.teams is None:
            nothing = np.zeros((len(self.items),) * 2)
            return nothing, nothing
        return self.teams.between((self.scatter, self.spare, self.weight), times)

    @property
    def total_covariance(self) -> FloatArray:
        """(p, p) covariance of single answers over all respondents: within units plus between unit means.

        Pairs of items use the respondents who answered both; divisor n - 1, with sampling weights Σw - Σw²/Σw. NaN
        where fewer than two did, or where the scatter within units is not known.

        >>> design = Design(codes=np.array([0, 0, 1, 1]), units=["north", "south"])
        >>> columns = [np.array([1.0, 2, 4, 5]), np.array([2.0, 2, 3, 5])]
        >>> SourceMoments.from_columns("employee", ["p1", "p2"], columns, design).total_covariance.round(3).tolist()
        [[3.333, 2.333], [2.333, 2.0]]
        """
        w = self.weight
        mean, total = np.where(w > 0, self.pair_mean, 0.0), w.sum(axis=0)
        grand = np.divide((w * mean).sum(axis=0), total, out=np.zeros(total.shape), where=total > 0)
        gap = mean - grand
        between = (w * gap * gap.transpose(0, 2, 1)).sum(axis=0)
        scatter = np.where(self.n > 1, self.scatter, 0.0).sum(axis=0) + between
        squares = np.divide(self.weight2.sum(axis=0), total, out=np.zeros(total.shape), where=total > 0)
        enough = self.n.sum(axis=0) >= 2
        found = np.divide(scatter, total - squares, out=np.full(total.shape, np.nan), where=enough)
        return np.asarray((found + found.T) / 2)

    @property
    def spare(self) -> FloatArray:
        """(G, p, p) what makes the scatter unbiased: n - 1, or its like with weights; 0 below two answers."""
        n, w, w2 = (compact(array) for array in (self.n, self.weight, self.weight2))
        return np.broadcast_to(np.where(n >= 2, np.maximum(w - ratio(w2, w, 0.0), 0.0), 0.0), self.n.shape)

    def affine(self, sign: ArrayLike, offset: ArrayLike) -> SourceMoments:
        """Moments of offset + sign * item, both (p,): an item reversed on 1 to 7 has sign -1 and offset 8."""
        s, shift = (frozen(value, (len(self.items),), "sign or offset") for value in (sign, offset))
        mean = shift[:, None] + s[:, None] * compact(self.pair_mean)
        teams = None if self.teams is None else self.teams.turned(s)
        return replace(self, pair_mean=mean, scatter=self.scatter * np.outer(s, s), teams=teams)

    def select(self, items: Sequence[str]) -> SourceMoments:
        """Keep some items, in the order asked for; `respondents` stays that of the whole questionnaire."""
        keep = index(items, self.items, f"item of {self.source!r}")
        pairs = [a if a.shape[1] == 1 else a[:, keep] for a in self._pairs()]
        pairs = [a if a.shape[2] == 1 else a[:, :, keep] for a in pairs]
        head = (self.source, tuple(items), self.units, self.respondents)
        teams = None if self.teams is None else self.teams.select(keep)
        return SourceMoments(*head, *five(pairs), self.eligible, teams)

    def with_eligible(self, eligible: ArrayLike) -> SourceMoments:
        """State how many people each unit could have asked, (G,) in the order of `units`; NaN = unknown."""
        return replace(self, eligible=np.array(eligible, dtype=np.float64))

    def merge(self, other: SourceMoments) -> SourceMoments:
        """Moments of both sets of respondents together, exactly, unit by unit and pair by pair.

        Another source, other items, or two numbers of eligible people for one unit are a DataError. Of teams, each must
        lie whole in one of the two.
        """
        if (self.source, self.items) != (other.source, other.items):
            a, b = (f"{s.source!r} (items {listed(s.items)})" for s in (self, other))
            problem = f"{a} cannot be merged with {b}."
            raise DataError(problem, hint="Bring both to the same items in the same order with select.")
        if (self.teams is None) != (other.teams is None):
            problem = f"Of {self.source!r}, one part was read with team= and the other without."
            raise DataError(problem, hint="Read both with team=, or both without.")
        units, mine, theirs = union(self.units, other.units), self._pairs(), other._pairs()
        if len(mine) != len(theirs):  # only one of the two has weights
            mine, theirs = five(mine), five(theirs)
        total, respondents = blank(len(units), len(self.items), len(mine) - 2), np.zeros(len(units))
        for part, pairs in ((self, mine), (other, theirs)):
            at = positions(part.units, units)
            put(total, at, pairs, fresh=part is self)
            respondents[at] += part.respondents
        known = [(s.units, s.eligible[:, None]) for s in (self, other) if s.eligible is not None]
        eligible = overlay(units, known, ("eligible",))[:, 0] if known else None
        told = [(positions(s.units, units), s.teams) for s in (self, other) if s.teams is not None]
        teams = TeamSums.merged(len(units), told) if told else None
        return SourceMoments(self.source, self.items, units, respondents, *five(total), eligible, teams)

    def __add__(self, other: object) -> SourceMoments:
        return self.merge(other) if isinstance(other, SourceMoments) else NotImplemented

    def __reduce__(self) -> tuple[object, ...]:
        """Travel small: what is broadcast in memory is not written out."""
        head = (self.source, self.items, self.units, self.respondents)
        return type(self), (*head, *five(self._pairs()), self.eligible, self.teams)

    def _pairs(self) -> Pairs:
        names = _PAIRED if self.weight is not self.n else ("n", "pair_mean", "scatter")
        return [compact(getattr(self, name)) for name in names]


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class UnitFigures:
    """Figures of the units themselves, one row a unit.

    A unit that occurs twice, or an infinite figure, is a DataError.

    >>> books = UnitFigures(("revenue",), ("south", "north"), np.array([[7.0], [9.0]]))
    >>> books.units, books.values.tolist()
    (('north', 'south'), [[9.0], [7.0]])
    """

    names: tuple[str, ...]  # q
    units: tuple[Hashable, ...]  # G keys; kept sorted as in `SourceMoments`
    values: FloatArray  # (G, q) in their own units of measurement, NaN = missing

    def __post_init__(self) -> None:
        names, (units, order) = distinct(self.names, "figure"), ordered(self.units)
        values = view(np.array(self.values, np.float64), order, (len(units), len(names)), "unit figures")
        for g, k in np.argwhere(np.isinf(values))[:1]:
            problem = f"Figure {names[k]!r} of unit {units[g]!r} is infinite."
            raise DataError(problem, hint="Use NaN for unknown.")
        for field, value in (("names", names), ("units", units), ("values", values)):
            object.__setattr__(self, field, value)

    def select(self, names: Sequence[str]) -> UnitFigures:
        """Keep some figures, in the order asked for; an unknown name is a DataError."""
        return UnitFigures(tuple(names), self.units, self.values[:, index(names, self.names, "figure")])

    def merge(self, other: UnitFigures) -> UnitFigures:
        """Figures of the units of both; what is missing in one is filled from the other.

        Other names, or two values for one figure of one unit, are a DataError.
        """
        if self.names != other.names:
            a, b = listed(self.names), listed(other.names)
            raise DataError(f"Figures {a} cannot be merged with figures {b}.")
        units = union(self.units, other.units)
        parts = [(self.units, self.values), (other.units, other.values)]
        return UnitFigures(self.names, units, overlay(units, parts, self.names))

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
    >>> from roxmodel.moments.condense import Design
    >>> from roxmodel.moments.linked import SourceMoments
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
        distinct([name for names, _, _ in self._tables() for name in names], "item or figure")
        if self.sources:
            distinct([s.source for s in self.sources], "source")

    def _tables(self) -> list[tuple[tuple[str, ...], tuple[Hashable, ...], FloatArray]]:
        """Names, units and unit means or figures of every part."""
        own = [] if self.figures is None else [(self.figures.names, self.figures.units, self.figures.values)]
        return [(s.items, s.units, s.mean) for s in self.sources] + own

    @property
    def units(self) -> tuple[Hashable, ...]:
        """Units known to any source or to the figures."""
        return union(*(units for _, units, _ in self._tables()))

    @property
    def matched(self) -> tuple[Hashable, ...]:
        """Units with an answer in every source and, where there are figures, a row of figures."""
        present = [{u for u, r in zip(s.units, s.respondents, strict=True) if r > 0} for s in self.sources]
        present += [] if self.figures is None else [set(self.figures.units)]
        return tuple(u for u in self.units if all(u in some for some in present))

    def source(self, name: str) -> SourceMoments:
        """Find a source by its name; an unknown name is a DataError."""
        return self.sources[index([name], [s.source for s in self.sources], "source")[0]]

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
        means = np.hstack([overlay(every, [(own, values)], names) for names, own, values in tables])
        if units is not None:
            wanted = [canonical(unit) for unit in units]
            unknown = [unit for unit in wanted if unit not in set(every)]
            if unknown:
                raise DataError(f"Nothing is known about unit {listed(unknown)}.")
            means = means[positions(wanted, every)]
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


_FLOOR = 0.05  # between-unit variance taken at least, as a share of that of the means


@dataclass(frozen=True, slots=True, eq=False)
class SourceMeans:
    """Where one survey stands among the means of all."""

    moments: SourceMoments  # by unit; its items in the order asked for
    at: IntArray  # (q,) places of its items among all
    rows: IntArray  # (J,) place of each unit in its moments, -1 where it has none


@dataclass(frozen=True, slots=True, eq=False)
class UnitMeans:
    """Means and figures of all units that know something of the items, side by side.

    Of several waves, merged, the keys are pairs (unit, wave), and every wave of a unit is a row of its own. What is in
    none of the sources is a figure of the unit, without sampling error.

    >>> design = Design(codes=np.array([0, 0, 1]), units=[("north", 1), ("north", 2)])
    >>> staff = SourceMoments.from_columns("employee", ["p1"], [np.array([1.0, 3, 6])], design)
    >>> means = UnitMeans.of(LinkedMoments((staff,)), ["p1"])
    >>> means.units, means.values.tolist()
    ((('north', 1), ('north', 2)), [[2.0], [6.0]])
    >>> means.noise({"employee": np.array([[2.0]])}).ravel().tolist()
    [1.0, 2.0]
    """

    items: tuple[str, ...]  # (p,) items and figures
    units: tuple[Hashable, ...]
    values: FloatArray  # (J, p) means in points, NaN where there are none
    sources: tuple[SourceMeans, ...]

    @classmethod
    def of(cls, moments: LinkedMoments, items: Sequence[str]) -> UnitMeans:
        """Lay the moments of all sources out over the units; an item they do not hold is a DataError."""
        names, every = moments.item_means()
        missing = [item for item in items if item not in names]
        if missing:
            raise DataError(
                f"The moments hold nothing of {listed(missing)}.",
                hint="Give moments of every source that the model asks, with its items, and the units' figures.",
            )
        values = every[:, [names.index(item) for item in items]]
        kept = np.flatnonzero(~np.isnan(values).all(axis=1))
        keys = moments.units  # put together anew each time it is asked for
        units = tuple(keys[k] for k in kept)
        asked = [(own, [item for item in items if item in own.items]) for own in moments.sources]
        sources = [_laid(own.select(some), items, units) for own, some in asked if some]
        sources.sort(key=lambda source: int(source.at[0]))
        return cls(tuple(items), units, values[kept], tuple(sources))

    def noise(
        self,
        within: Mapping[str, FloatArray],
        times: Mapping[str, float] | None = None,
        teams: Mapping[str, FloatArray] | None = None,
    ) -> FloatArray:
        """(J, p, p) covariance of the sampling errors in points squared (see `mean_noise`).

        `within`: source -> (q, q) covariance of answers within units, 0 errors where it is left out; `times`: source ->
        as if so many times its people had answered; `teams`: source -> (q, q) what of it is between teams.
        """
        found = np.zeros((len(self.units), len(self.items), len(self.items)))
        for source in self.sources:
            name = source.moments.source
            if name in within:
                there = np.flatnonzero(source.rows >= 0)
                own = mean_noise(source.moments, within[name], (times or {}).get(name, 1.0), (teams or {}).get(name))
                found[np.ix_(there, source.at, source.at)] = own[source.rows[there]]
        return found

    def spread(self, noise: FloatArray) -> FloatArray:
        """(p,) rough standard deviations between units: the variance of the means less their mean sampling error."""
        variance = np.nanvar(self.values, axis=0)
        error = np.where(np.isnan(self.values), np.nan, np.diagonal(noise, axis1=1, axis2=2))
        return np.asarray(np.sqrt(np.maximum(variance - np.nanmean(error, axis=0), _FLOOR * variance)))


def _laid(own: SourceMoments, items: Sequence[str], units: tuple[Hashable, ...]) -> SourceMeans:
    place = {unit: k for k, unit in enumerate(own.units)}
    rows = np.array([place.get(unit, -1) for unit in units], dtype=np.int64)
    return SourceMeans(own, np.array([items.index(item) for item in own.items], dtype=np.int64), rows)


def mean_noise(
    own: SourceMoments, covariance: FloatArray, times: float = 1.0, team: FloatArray | None = None
) -> FloatArray:
    """(G, q, q) covariance of the sampling errors of a survey's unit means, in points squared.

    Two means of one unit that rest on n_a, n_b answers, n_ab of them by the same people, have the sampling covariance
    Σ_W[a, b] (n_ab / (n_a n_b) - 1 / N), N the people who could have answered (infinite where that is not known); with
    sampling weights Σ_ab w² / (Σ_a w Σ_b w) takes the place of the first part (Cochran 1977, Sampling techniques,
    ch. 2). Of Σ_W, what people of one team have in common, Σ_team, is drawn once a team: it counts with
    Σ_t n_ta n_tb / (n_a n_b), in finite units times 1 - n / N, the teams standing for those that were not asked.

    `times`: as if so many times the people had answered, as many as there are at most, in the same teams; `team`:
    (q, q) Σ_team, None: as the moments say.
    """
    weight, growth = np.diagonal(own.weight, axis1=1, axis2=2), growth_of(own, times)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = own.weight2 / (weight[:, :, None] * weight[:, None, :])
    share = np.where(np.isfinite(share), share, 0.0) / growth[:, None, None]
    common = 0.0 if own.teams is None else own.teams.share(own.weight)
    if own.eligible is not None:
        known = np.isfinite(own.eligible) & (own.eligible > 0)
        finite = np.where(known, 1.0 / np.where(known, own.eligible, 1.0), 0.0)
        # no variance below 0, where all who could answer did (rounding)
        least = np.where(np.eye(share.shape[-1], dtype=bool), 0.0, -finite[:, None, None])
        share = np.where(share > 0, np.maximum(share - finite[:, None, None], least), share)
        answered = weight > 0
        both = answered[:, :, None] & answered[:, None, :]
        apart = both & (np.broadcast_to(own.n, share.shape) == 0)
        share = np.where(apart, -finite[:, None, None], share)
        left = np.sqrt(np.clip(1.0 - own.counts * (growth * finite)[:, None], 0.0, 1.0))
        common = common * left[:, :, None] * left[:, None, :]
    if own.teams is None:
        return np.asarray(covariance * share)
    alike = team_covariance(own, covariance) if team is None else team
    return np.asarray((covariance - alike) * share + alike * common)


def team_covariance(own: SourceMoments, covariance: FloatArray, times: FloatArray | None = None) -> FloatArray:
    """(q, q) Σ_team, what people of one team have in common; 0 where there are no teams, or nothing is known of a pair.

    `covariance`: of answers within units; `times`: (G,) how often a unit counts.
    """
    if own.teams is None:
        return np.zeros_like(covariance)
    found = own.between_teams(times)[0]
    return own.teams.bounded(np.where(np.isnan(found), 0.0, found), covariance, (own.weight, own.weight2))


def never_met(own: SourceMoments) -> BoolArray:
    """(q, q) pairs of items that nobody of one unit answered both of (and that are not just unprinted)."""
    both = np.broadcast_to(own.n, own.scatter.shape).max(axis=0, initial=0.0)
    return np.asarray((both <= 0) & ~np.isnan(own.scatter).any(axis=0))


def without_say(own: SourceMoments) -> BoolArray:
    """(q, q) pairs whose covariance within units is of no consequence for the sampling errors of unit means.

    Means of items that never met rest on different people, and their errors do not covary; but where the people of a
    unit are known by number, those who answered one item leave fewer to answer the other.
    """
    apart = never_met(own)
    if own.eligible is None:
        return apart
    asked = own.counts[np.isfinite(own.eligible) & (own.eligible > 0)] > 0
    return np.asarray(apart & ~(asked[:, :, None] & asked[:, None, :]).any(axis=0))


def growth_of(own: SourceMoments, times: float) -> FloatArray:
    """(G,) by how much the answers of each unit can grow: `times`, or until everybody has answered."""
    found = np.full(len(own.units), times)
    if own.eligible is not None and times > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            most = own.eligible / own.respondents
        found = np.where(np.isfinite(most), np.clip(most, 1.0, times), times)
    return found
