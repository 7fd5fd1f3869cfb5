"""Columns that could name teams: do people of one team answer more alike than people of different teams of their unit.

Looked at where rows are; what is kept is the finding. Teams whose names are their own (hardly one in two units) are
tested as they are; where names come again in every unit ("kitchen", "early shift") what they have in common over units
is taken out first, so that a trait of persons, such as their sex, is no team.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.survey.frames import Frame, distinct, holds_text, raw_column, require_columns
from roxmodel.survey.keys import Keys
from roxmodel.types import FloatArray, IntArray

__all__ = ["TEAM_LEVEL", "team_codes", "team_doubts"]

TEAM_LEVEL = 0.002  # probability that columns that mean nothing are called teams, over all of a study
_ROWS = 40_000  # looked at, whole units
_COLUMNS = 30  # tested at most
_FEWEST = 10  # degrees of freedom, between teams and within, from which a test is worth its name
_REPEATED = 300  # names that come again in other units: as many at most
_NESTED = 1.1  # teams of all units by different names, up to which names count as teams' own
_SMALL = 0.05  # growth of the sampling variance of unit means that is not worth a doubt
_PLAIN = 0.1  # share between teams of names that come again elsewhere, below which they may be a trait of persons


def team_codes(source: str, frame: Frame, column: str) -> IntArray:
    """(n,) a number for the team of each row, -1 where it is missing; refused where the column is not there."""
    require_columns(source, frame, [column])
    return distinct(frame, column)[0]


@dataclass(frozen=True, slots=True)
class _Tested:
    column: str
    nested: bool  # whether names are teams' own
    teams: int
    share: float  # of the variance within units that lies between teams, 0-1
    growth: float  # of the sampling variance of unit means, were people of a team taken as what they are
    statistic: float
    p: float


def team_doubts(
    source: str,
    frame: Frame,
    taken: Collection[str],
    answers: tuple[Sequence[NDArray[Any]], Keys],
    sources: int = 1,
) -> list[Doubt]:
    """What columns that nothing else uses (`taken` are used) say of teams; one finding a source.

    `answers`: those of the p items, (n,) each, and the units of the rows; `sources`: surveys of the study, which share
    the level.
    """
    columns, keys = answers
    rows = _rows(keys.codes, len(keys.units))
    names = [name for name in frame.columns if name not in taken and isinstance(name, str)]
    if not names or len(rows) < 2 * _FEWEST:
        return []
    deviations, unit = _deviations(columns, keys.codes, rows)
    if not len(deviations):
        return []
    effective = _effective(deviations)
    tested: list[_Tested] = []
    for name in names:
        values = _values(frame, name)
        found = None if values is None else _tested((name, values[1]), deviations, unit, values[0][rows], effective)
        tested += [found] if found is not None else []
        if len(tested) == _COLUMNS:
            break
    return _said(source, sorted(tested, key=lambda one: one.p), TEAM_LEVEL / max(sources, 1))


def _said(source: str, tested: list[_Tested], level: float) -> list[Doubt]:
    """One finding of all columns, by Holm."""
    if not tested:
        return []
    clear = []
    for place, one in enumerate(tested):
        if one.p > level / (len(tested) - place):
            break
        clear.append(one)
    if not clear:
        best = tested[0]
        words = (
            f"People of one {best.column!r} ({source}) answer no more alike than others of their unit "
            f"(smallest of {len(tested)} p value(s): {best.p:.2g})."
        )
        return [Doubt("teams", "ok", words, (), "")]
    clear.sort(key=lambda one: -one.growth)
    first = clear[0]
    names = tuple(one.column for one in clear)
    also = f"; so do people of one {listed(names[1:], 3)}" if len(names) > 1 else ""
    finding = (
        f"People of one {first.column!r} ({source}, {first.teams} in all) answer alike: {100 * first.share:.0f} % of "
        f"what answers within a unit differ by lies between them (F {first.statistic:.2f}, p {_p(first.p)}), so that "
        f"unit means vary by chance {100 * first.growth:.0f} % more than taken, and effects are understated{also}."
    )
    remedy = f"Say rox.Study(..., team={{{source!r}: {first.column!r}}}), if these people work together."
    serious = any(one.growth > _SMALL and (one.nested or one.share > _PLAIN) for one in clear)
    return [Doubt("teams", "doubtful" if serious else "note", finding, names, remedy)]


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _rows(codes: IntArray, units: int) -> IntArray:
    """Rows that name a unit; of very many those of as many units as are quickly looked at."""
    size = np.bincount(codes[codes >= 0], minlength=units)
    last = max(int(np.searchsorted(np.cumsum(size), _ROWS, side="right")), 1)
    return np.flatnonzero((codes >= 0) & (codes < last))


def _deviations(columns: Sequence[NDArray[Any]], codes: IntArray, rows: IntArray) -> tuple[FloatArray, IntArray]:
    """(p, m) answers less the mean of their unit, at a variance of 1 (0 where missing); (m,) unit, 0...G-1."""
    unit = np.asarray(np.unique(codes[rows], return_inverse=True)[1], dtype=np.int64)
    found = []
    for column in columns:
        values = np.asarray(column[rows], dtype=np.float64)
        there = np.isfinite(values)
        count = np.bincount(unit, there)
        mean = np.bincount(unit, np.where(there, values, 0.0)) / np.maximum(count, 1.0)
        own = np.where(there, values - mean[unit], 0.0)
        size = float(own @ own)
        if size > 1e-12 * max(float(np.abs(np.where(there, values, 0.0)).max()), 1.0):
            found.append(own * np.sqrt(len(own) / size))
    return np.array(found), unit


def _effective(deviations: FloatArray) -> float:
    """So many independent items tell as much: p² / Σ r², by which the degrees of freedom of their sum are multiplied.

    Box (1954), doi 10.1214/aoms/1177728786.
    """
    r = deviations @ deviations.T / deviations.shape[1]
    return float(len(r) ** 2 / (r**2).sum())


def _values(frame: Frame, name: str) -> tuple[IntArray, bool] | None:
    """(n,) a number for each value of a column of text, categories or whole numbers, and whether these are numbers."""
    try:
        text = holds_text(frame, name)
        values = np.zeros(0) if text else raw_column(frame, name)
        known = values[np.isfinite(values)] if values.dtype.kind == "f" else values[:0]
        if values.dtype.kind not in "fiuO" or (known != np.floor(known)).any():
            return None
        codes, found = distinct(frame, name)
        text = text or all(isinstance(value, str) for value in found)
        return (codes, not text) if text or values.dtype.kind != "O" else None
    except Exception:  # a column that nobody asked for may hold anything
        return None


def _tested(
    column: tuple[str, bool], deviations: FloatArray, unit: IntArray, value: IntArray, effective: float
) -> _Tested | None:
    """The F test of one column (its name, and whether it holds numbers); None where it cannot name teams.

    Numbers that come again in many units are rather answers, ages or years.
    """
    there = value >= 0
    if not there.all():
        deviations, unit, value = deviations[:, there], unit[there], value[there]
        deviations = _centred(deviations, unit)
    n, names = len(unit), int(value.max(initial=-1)) + 1
    if n < 2 * _FEWEST or names < 2 or names > n / 2:
        return None
    distinct_teams, team, size = np.unique(unit * names + value, return_inverse=True, return_counts=True)
    units, used = len(np.unique(unit)), len(np.unique(value))
    teams = len(distinct_teams)
    nested = teams <= _NESTED * used
    if teams - units < _FEWEST or n < 2 * teams or not (nested or (used <= _REPEATED and not column[1])):
        return None
    sums = np.array([np.bincount(team, own, teams) for own in deviations])
    between, free = float((sums**2 / size).sum()), teams - units
    inside = float((deviations**2).sum()) - between
    if not nested:
        common, rank = _in_common(sums, distinct_teams, size, names)
        between, free = between - common, free - rank
    if free < _FEWEST or n - teams < _FEWEST or inside <= 0:
        return None
    squares, freedom = (between / free, inside / (n - teams)), (free, n - teams)
    return _judged((column[0], nested), squares, freedom, (distinct_teams // names, size), effective)


def _judged(
    column: tuple[str, bool],
    squares: tuple[float, float],
    freedom: tuple[int, int],
    laid: tuple[IntArray, IntArray],
    effective: float,
) -> _Tested:
    """Mean squares between teams and within, and what they make of the sampling variance of unit means."""
    from scipy.special import fdtrc

    unit_of, size = laid
    _, place = np.unique(unit_of, return_inverse=True)
    people, squared = np.bincount(place, size), np.bincount(place, size**2.0)
    room = float((people - squared / people).sum()) / (len(size) - len(people))
    team = max((squares[0] - squares[1]) / room, 0.0)
    known = people > 1
    independent = (team * (1 - squared / people**2) * people / np.maximum(people - 1, 1) + squares[1]) / people
    true = (team * squared / people + squares[1]) / people
    statistic = squares[0] / squares[1]
    return _Tested(
        *column, len(size), team / (team + squares[1]), float(true[known].mean() / independent[known].mean()) - 1,
        statistic, float(fdtrc(effective * freedom[0], effective * freedom[1], statistic)),
    )  # fmt: skip


def _centred(deviations: FloatArray, unit: IntArray) -> FloatArray:
    size = np.maximum(np.bincount(unit), 1)
    return np.array([own - (np.bincount(unit, own) / size)[unit] for own in deviations])


def _in_common(sums: FloatArray, teams: IntArray, size: IntArray, names: int) -> tuple[float, int]:
    """Sum of squares of what teams of one name have in common over units, beside the units; and its rank."""
    unit, value = teams // names, teams % names
    used, value = np.unique(value, return_inverse=True)
    _, unit = np.unique(unit, return_inverse=True)
    table = np.zeros((int(unit.max()) + 1, len(used)))
    table[unit, value] = size
    people = table.sum(axis=1)
    normal = np.diag(table.sum(axis=0)) - table.T @ (table / people[:, None])
    right = np.array([np.bincount(value, own, len(used)) for own in sums]).T
    values, vectors = np.linalg.eigh(normal)
    kept = values > 1e-9 * values[-1]
    turned = vectors[:, kept].T @ right
    return float((turned**2 / values[kept, None]).sum()), int(kept.sum())
