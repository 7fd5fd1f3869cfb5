"""Limits and options as an integer program: rows of numbers that HiGHS can take at face value.

HiGHS works with absolute tolerances (1e-6 of a row). So amounts that are whole multiples of a common unit (cents,
thousands) are counted in that unit, and all others are brought to one size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from roxmodel.simulation.budget.limits import TOLERANCE, over
from roxmodel.simulation.budget.problem import Problem
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SIZE", "Program", "counted", "program_of", "scaled"]

SIZE: Final = 1024.0
"""Size of the largest number of a row and of an objective as HiGHS sees them."""

_LARGEST_LIMIT, _LARGEST_GAIN = 20, 12  # powers of 2; whole numbers up to there are left as they are
_GRID = 2.0**36  # of scaled values: what rounding leaves in the last places decides nothing


@dataclass(frozen=True, slots=True)
class Program:
    """Rows ``low <= matrix @ x <= high`` over x in {0, 1}.

    Attributes
    ----------
    matrix
        (rows, n).
    low, high
        (rows,).
    allowed
        (n,) options that can be chosen; at first those that fit the limits by themselves.
    kept
        (n,) options that are chosen; at first none.
    """

    matrix: csr_array
    low: FloatArray
    high: FloatArray
    allowed: BoolArray
    kept: BoolArray

    def with_row(self, row: FloatArray, low: float, high: float) -> Program:
        """The same with one row more, (n,)."""
        from scipy.sparse import csr_array, vstack

        matrix = vstack([self.matrix, csr_array(row[None, :])], format="csr")
        return replace(self, matrix=matrix, low=np.append(self.low, low), high=np.append(self.high, high))

    def with_settled(self, settled: BoolArray, chosen: BoolArray) -> Program:
        """The same where some options are settled, chosen or not, all (n,)."""
        return replace(self, allowed=self.allowed & (~settled | chosen), kept=self.kept | (settled & chosen))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as they are collected: places and values of what is not 0."""

    parts: list[tuple[IntArray, FloatArray]] = field(default_factory=list)
    ends: list[tuple[float, float]] = field(default_factory=list)

    def add(self, places: IntArray, values: FloatArray | float, ends: tuple[float, float]) -> None:
        self.parts.append((places, np.broadcast_to(np.asarray(values, dtype=float), places.shape)))
        self.ends.append(ends)


def program_of(problem: Problem) -> Program:
    """Every condition of a problem as rows."""
    from scipy.sparse import csr_array

    allowed = _allowed(problem)
    rows, n = _Rows(), len(problem.action)
    for action in range(len(problem.names)):
        options = problem.of(action)
        must = action in problem.musts
        if must or options.size > 1:
            rows.add(options, 1.0, (1.0 if must else -math.inf, 1.0))
    _add_links(problem, rows)
    _add_limit(rows, np.where(allowed, problem.total, 0.0), problem.budget)
    for wave, limit in enumerate(problem.wave_budget.tolist()):
        _add_limit(rows, np.where(allowed, problem.cost[:, wave], 0.0), limit)
    for least in problem.least:
        _add_least(rows, np.where(allowed & least.options, problem.total, 0.0), least.amount)
    counts = [len(places) for places, _ in rows.parts]
    places = np.concatenate([np.zeros(0, dtype=np.int64), *(one for one, _ in rows.parts)])
    values = np.concatenate([np.zeros(0), *(one for _, one in rows.parts)])
    matrix = csr_array((values, places, np.concatenate([[0], np.cumsum(counts)])), shape=(len(counts), n))
    ends = np.array(rows.ends, dtype=float).reshape(-1, 2)
    return Program(matrix, ends[:, 0], ends[:, 1], allowed, np.zeros(n, dtype=bool))


def _allowed(problem: Problem) -> BoolArray:
    """Options that pass no limit by themselves."""
    limits = np.append(problem.wave_budget, problem.budget)
    spent = np.column_stack([problem.cost, problem.total])
    with np.errstate(invalid="ignore"):
        return np.asarray((spent <= limits + TOLERANCE * np.where(np.isfinite(limits), limits, 0.0)).all(axis=1))


def _add_links(problem: Problem, rows: _Rows) -> None:
    """Needs, exclusions, clashes: whole numbers all of them."""
    for a, b in dict.fromkeys(problem.requires):
        first, second = problem.of(a), problem.of(b)
        for start in np.unique(problem.start[first]).tolist() if a != b else ():
            early = [options[problem.start[options] <= start] for options in (first, second)]
            values = np.repeat([1.0, -1.0], [len(early[0]), len(early[1])])
            rows.add(np.concatenate(early), values, (-math.inf, 0.0))
    for a, b in problem.excludes:
        rows.add(np.concatenate([problem.of(a), problem.of(b)]), 1.0, (-math.inf, 1.0))
    for i, j in problem.clashes:
        rows.add(np.array([i, j]), 1.0, (-math.inf, 1.0))


def _add_limit(rows: _Rows, cost: FloatArray, limit: float) -> None:
    places = np.flatnonzero(cost)
    if not limit < math.inf or not over(float(cost.sum()), limit):
        return
    whole = counted(cost[places])
    if whole is None:
        rows.add(places, cost[places] / limit * SIZE, (-math.inf, SIZE * (1 + TOLERANCE)))
        return
    most = math.floor(limit * (1 + TOLERANCE) / whole[1])
    size = _power(most, _LARGEST_LIMIT)
    rows.add(places, whole[0] * size, (-math.inf, most * size))


def _add_least(rows: _Rows, cost: FloatArray, amount: float) -> None:
    if amount == 0:
        return
    places = np.flatnonzero(cost)
    counts = np.minimum(cost[places], amount)  # more than the amount is worth no more
    whole = counted(counts)
    if whole is None:
        rows.add(places, counts / amount * SIZE, (SIZE * (1 - TOLERANCE), math.inf))
        return
    fewest = math.ceil(amount * (1 - TOLERANCE) / whole[1])
    size = _power(fewest, _LARGEST_LIMIT)
    rows.add(places, whole[0] * size, (fewest * size, math.inf))


def _power(largest: float, allowed: int) -> float:
    """A power of 2 that brings large whole numbers down; it leaves them exact."""
    return 2.0 ** min(0, allowed - math.ceil(math.log2(max(largest, 1.0))))


def scaled(gain: FloatArray) -> tuple[FloatArray, float]:
    """An objective of the size that HiGHS likes, and by what it was multiplied.

    Examples
    --------
    >>> scaled(np.array([300.0, -200.0]))
    (array([ 3., -2.]), 0.01)
    >>> scaled(np.array([np.pi, 0.0]))[0].tolist()
    [1024.0, 0.0]
    """
    largest = float(np.abs(gain).max(initial=0.0))
    if largest == 0:
        return gain, 1.0
    whole = counted(gain)
    if whole is None:
        size = SIZE / largest
        return np.round(gain / largest * SIZE * _GRID) / _GRID, size
    size = _power(float(np.abs(whole[0]).max()), _LARGEST_GAIN)
    return whole[0] * size, size / whole[1]


def counted(amounts: FloatArray) -> tuple[FloatArray, float] | None:
    """Amounts as whole multiples of their largest common unit, and the unit.

    Returns
    -------
    tuple or None
        None where amounts have too many digits for a unit to speak of.

    Examples
    --------
    >>> counted(np.array([1_200.0, 800.0]))
    (array([3., 2.]), 400.0)
    >>> counted(np.array([0.1, 0.25, -0.3]))[0].tolist()
    [2.0, 5.0, -6.0]
    >>> counted(np.array([np.pi, 1.0])) is None
    True
    """
    if not amounts.size:
        return None
    for places in range(10):
        scaled = amounts * 10.0**places
        near = np.round(scaled)
        if np.abs(near).max() > 1 << 40:
            return None
        if (np.abs(scaled - near) <= 1e-11 * np.abs(scaled)).all():
            unit = int(np.gcd.reduce(near.astype(np.int64))) or 1
            return near / unit, unit / 10.0**places
    return None
