"""The units' own figures, and all sources of a study together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import DataError, listed
from roxmodel.moments.checks import canonical, distinct, index, ordered, overlay, positions, union
from roxmodel.moments.condense import view
from roxmodel.moments.source import SourceMoments
from roxmodel.types import FloatArray, read_only

__all__ = ["LinkedMoments", "UnitFigures"]


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
    >>> from roxmodel.moments.source import SourceMoments
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
