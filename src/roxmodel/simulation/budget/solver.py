"""Limits and options as an integer program: HiGHS asked, its answer checked in money, and asked again where it erred.

HiGHS works with absolute tolerances (1e-6 of a row, and of the gap) and has been seen to return plans outside their
limits. So amounts that are whole multiples of a common unit (cents, thousands) are counted in that unit, all others and
the objective are brought to one size, every plan is checked by `violations`, and one that fails is cut off for good.
"""

from __future__ import annotations

import ctypes
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.simulation.budget.problem import TOLERANCE, Problem, over, violations
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "GAP", "SIZE", "Choice", "Program", "Relaxed", "Row", "Solved", "best_sum", "counted", "cut_against", "program_of",
    "relaxed", "scaled", "solve", "tidied", "without_lines",
]  # fmt: skip


SIZE: Final = 1024.0  # of the largest number of a row and of an objective as HiGHS sees them
GAP: Final = 1e-6  # of a scaled objective at which HiGHS calls a plan the best
_NODES = 10_000  # then the best plan so far is taken; a count, because a clock would make answers differ
_CUTS = 200  # plans outside their limits that are cut off
_SMALL = 1e3  # gaps; options worth less are chosen once more, at their own scale
_NONE = 2  # HiGHS says that nothing keeps the rows
_CHATTER = b"HighsMipSolverData"
_LARGEST_LIMIT, _LARGEST_GAIN = 20, 12  # powers of 2; whole numbers up to there are left as they are
_GRID = 2.0**36  # of scaled values: what rounding leaves in the last places decides nothing


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan that keeps all conditions."""

    options: IntArray  # chosen options, sorted
    value: float  # what was maximised, there
    bound: float  # no plan has more
    proven: bool  # whether the plan is proven to be the best (to 1e-9 of the largest option)


class Row(NamedTuple):
    """``low <= values @ x <= high``."""

    values: FloatArray
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Program:
    """Rows ``low <= matrix @ x <= high`` over x in {0, 1}."""

    matrix: csr_array  # (rows, n)
    low: FloatArray  # low, high: (rows,)
    high: FloatArray
    allowed: BoolArray  # (n,) options that can be chosen; at first those that fit the limits by themselves
    kept: BoolArray  # (n,) options that are chosen; at first none

    def with_row(self, row: Row) -> Program:
        """The same with one row more."""
        from scipy.sparse import csr_array, vstack

        matrix = vstack([self.matrix, csr_array(row.values[None, :])], format="csr")
        return replace(self, matrix=matrix, low=np.append(self.low, row.low), high=np.append(self.high, row.high))

    def with_settled(self, settled: BoolArray, chosen: BoolArray) -> Program:
        """The same where some options are settled, chosen or not, all (n,)."""
        return replace(self, allowed=self.allowed & (~settled | chosen), kept=self.kept | (settled & chosen))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as they are collected: places and values of what is not 0."""

    places: list[IntArray] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add(self, places: IntArray, values: FloatArray | float, low: float = -math.inf, high: float = math.inf) -> None:
        self.places.append(places)
        self.rows.append(Row(np.broadcast_to(np.asarray(values, dtype=float), places.shape), low, high))


def program_of(problem: Problem) -> Program:
    """Every condition of a problem as rows."""
    from scipy.sparse import csr_array

    allowed = _allowed(problem)
    rows, n = _Rows(), len(problem.action)
    for action in range(len(problem.names)):
        options = problem.of(action)
        must = action in problem.musts
        if must or options.size > 1:
            rows.add(options, 1.0, 1.0 if must else -math.inf, 1.0)
    _add_links(problem, rows)
    for spent, limit in [(problem.total, problem.budget), *zip(problem.cost.T, problem.wave_budget, strict=True)]:
        cost = np.where(allowed, spent, 0.0)
        if limit < math.inf and over(float(cost.sum()), limit):
            _add_money(rows, cost, float(limit), most=True)
    for least in problem.least:
        if least.amount > 0:  # more than the amount is worth no more
            cost = np.where(allowed & least.options, problem.total, 0.0)
            _add_money(rows, np.minimum(cost, least.amount), least.amount, most=False)
    counts = [len(places) for places in rows.places]
    places = np.concatenate([np.zeros(0, dtype=np.int64), *rows.places])
    values = np.concatenate([np.zeros(0), *(row.values for row in rows.rows)])
    matrix = csr_array((values, places, np.concatenate([[0], np.cumsum(counts)])), shape=(len(counts), n))
    low, high = (np.array([row[end] for row in rows.rows], dtype=float) for end in (1, 2))
    return Program(matrix, low, high, allowed, np.zeros(n, dtype=bool))


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
            rows.add(np.concatenate(early), values, high=0.0)
    for a, b in problem.excludes:
        rows.add(np.concatenate([problem.of(a), problem.of(b)]), 1.0, high=1.0)
    for i, j in problem.clashes:
        rows.add(np.array([i, j]), 1.0, high=1.0)


def _add_money(rows: _Rows, cost: FloatArray, amount: float, most: bool) -> None:
    """At most, or at least, an amount of money, counted in whole units where there are any."""
    places = np.flatnonzero(cost)
    whole, limit = counted(cost[places]), amount * (1 + TOLERANCE if most else 1 - TOLERANCE)
    if whole is None:
        values, end = cost[places] / amount * SIZE, SIZE * (1 + TOLERANCE if most else 1 - TOLERANCE)
    else:
        count = (math.floor if most else math.ceil)(limit / whole[1])
        size = _power(count, _LARGEST_LIMIT)
        values, end = whole[0] * size, count * size
    rows.add(places, values, **{"high" if most else "low": end})


def _power(largest: float, allowed: int) -> float:
    """A power of 2 that brings large whole numbers down; it leaves them exact."""
    return 2.0 ** min(0, allowed - math.ceil(math.log2(max(largest, 1.0))))


def scaled(gain: FloatArray) -> tuple[FloatArray, float]:
    """An objective of the size that HiGHS likes, and by what it was multiplied."""
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
    """Amounts as whole multiples of their largest common unit, and the unit; None where they have too many digits."""
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


_LOCK = Lock()
_OUT = 1  # standard output, to compiled code


class _Aside:
    """Where standard output goes while anyone wants it quiet: one file, however many ask at once."""

    users = 0
    before = -1
    file: IO[bytes] | None = None


@contextmanager
def without_lines(start: bytes) -> Iterator[None]:
    """Keep lines that begin with `start` from standard output; everything else arrives, at the end.

    HiGHS has a line for its developers that no option turns off (https://github.com/ERGO-Code/HiGHS/issues/2783).
    Output of other threads is held back, not lost. Where the stream cannot be turned aside (there is none), nothing is
    done.
    """
    _turn_aside()
    try:
        yield
    finally:
        _turn_back(start)


def _turn_aside() -> None:
    with _LOCK:
        _Aside.users += 1
        if _Aside.users > 1:
            return
        with suppress(OSError):
            before = os.dup(_OUT)
            try:
                file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever turns back
            except OSError:
                os.close(before)
                raise
            os.dup2(file.fileno(), _OUT)
            _Aside.before, _Aside.file = before, file


def _turn_back(start: bytes) -> None:
    with _LOCK:
        _Aside.users -= 1
        if _Aside.users or _Aside.file is None:
            return
        with suppress(OSError, AttributeError):  # what the C library still holds belongs into the file
            ctypes.CDLL(None if os.name == "posix" else "ucrtbase").fflush(None)
        os.dup2(_Aside.before, _OUT)
        os.close(_Aside.before)
        _Aside.file.seek(0)
        held = [line for line in _Aside.file.read().splitlines(keepends=True) if not line.startswith(start)]
        _Aside.file.close()
        _Aside.file = None
        if held:
            os.write(_OUT, b"".join(held))


@dataclass(frozen=True, slots=True)
class Solved:
    """What HiGHS says."""

    x: FloatArray  # (n,)
    value: float  # value, bound: the objective there; nothing has more
    bound: float
    done: bool  # whether both are the same


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The best point where fractions of options are allowed."""

    x: FloatArray  # (n,) 0 to 1
    value: float  # the objective there
    price: FloatArray  # (n,) what the objective loses at least where an option at 0 is chosen, or one at 1 is not


def solve(
    program: Program, gain: FloatArray, tail: FloatArray | None = None, *, floor: float = -math.inf, nodes: int = _NODES
) -> Solved | None:
    """Maximise ``gain @ x``, or with `tail` (cuts, n) ``min(tail @ x)``; None if nothing keeps rows and floor.

    `gain`: (n,) already of the size that HiGHS likes. `nodes`: of the tree, after which the best plan so far is taken.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    rows = _stacked(program, gain, tail)
    more = len(rows.objective) - len(gain)
    for presolve in (True, False):
        with without_lines(_CHATTER):
            found = milp(
                rows.objective,
                integrality=np.append(np.ones(len(gain)), np.zeros(more)),
                bounds=Bounds(np.append(program.kept, [floor] * more), np.append(program.allowed, [np.inf] * more)),
                constraints=LinearConstraint(rows.matrix, rows.low, rows.high) if rows.matrix.shape[0] else (),
                options={"disp": False, "mip_rel_gap": 0.0, "node_limit": nodes, "presolve": presolve},
            )
        if found.x is not None:
            bound = found.fun if found.mip_dual_bound is None else found.mip_dual_bound
            return Solved(found.x[: len(gain)], -float(found.fun), -float(bound), found.status == 0)
        if found.status == _NONE:
            return None
    raise SimulationError(
        f"The solver found no plan, and no reason why there is none (status {found.status}).",
        hint="Fewer actions, doses or first waves make the question smaller.",
    )


def relaxed(program: Program, tail: FloatArray) -> Relaxed | None:
    """Maximise ``min(tail @ x)``, (cuts, n), where fractions of options are allowed; None if HiGHS has no answer."""
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    rows = _stacked(program, np.zeros(tail.shape[1]), tail)
    above, below = np.isfinite(rows.high), np.isfinite(rows.low)
    ends = zip(program.kept.astype(float).tolist(), program.allowed.astype(float).tolist(), strict=True)
    found = linprog(
        rows.objective,
        A_ub=vstack([rows.matrix[above], -rows.matrix[below]], format="csr"),
        b_ub=np.append(rows.high[above], -rows.low[below]),
        bounds=[*ends, (None, None)],
        method="highs",
    )
    if found.x is None or found.status != 0:
        return None
    price = np.abs(found.lower.marginals + found.upper.marginals)[:-1]
    return Relaxed(found.x[:-1], -float(found.fun or 0.0), price)


class _Stacked(NamedTuple):
    """Rows, their ends and the objective, as HiGHS takes them."""

    matrix: csr_array
    low: FloatArray
    high: FloatArray
    objective: FloatArray


def _stacked(program: Program, gain: FloatArray, tail: FloatArray | None) -> _Stacked:
    """With `tail` one number more, that no cut is below."""
    from scipy.sparse import csr_array, hstack, vstack

    if tail is None:
        return _Stacked(program.matrix, program.low, program.high, -gain)
    side = csr_array((program.matrix.shape[0], 1))
    cuts = csr_array(np.column_stack([-tail, np.ones(len(tail))]))
    matrix = vstack([hstack([program.matrix, side]), cuts], format="csr")
    low, high = np.append(program.low, np.full(len(tail), -np.inf)), np.append(program.high, np.zeros(len(tail)))
    return _Stacked(matrix, low, high, np.append(np.zeros(len(gain)), -1.0))


def best_sum(problem: Problem, gain: FloatArray, program: Program | None = None) -> Choice | None:
    """The plan with the largest sum of `gain` (n,) and nothing idle in it; None if no plan keeps all conditions.

    With zeros it is asked only whether there is a plan. `program`: the limits as rows, if they are known already.
    """
    easy = _all_that_pays(problem, gain)
    if not violations(problem, easy):
        value = math.fsum(gain[easy].tolist())
        return Choice(easy, value, value, True)
    if not gain.size:
        return None
    program = program_of(problem) if program is None else program
    found = _checked(problem, program, gain)
    if found is None:
        return None
    options = _refined(problem, program, gain, found.options)
    options = tidied(problem, options, gain, lambda plan: math.fsum(gain[plan].tolist()))
    value = math.fsum(gain[options].tolist())
    done = found.proven and value <= found.bound + 2 * GAP / scaled(gain)[1]
    return Choice(options, value, value if done else max(found.bound, value), done)


def _all_that_pays(problem: Problem, gain: FloatArray) -> IntArray:
    """The best option of every action, where it brings something."""
    order = np.lexsort((-gain, problem.action))
    first = np.ones(order.size, dtype=bool)
    first[1:] = np.diff(problem.action[order]) > 0
    best = order[first]
    return np.sort(best[gain[best] > 0])


def _checked(problem: Problem, program: Program, gain: FloatArray) -> Choice | None:
    """A plan inside its limits, and whether HiGHS finished."""
    objective, size = scaled(gain)
    for _ in range(_CUTS):
        solved = solve(program, objective)
        if solved is None:
            return None
        options = np.flatnonzero(solved.x > 0.5)
        cut = cut_against(problem, options)
        if cut is None:
            return Choice(options, math.fsum(gain[options].tolist()), solved.bound / size, solved.done)
        program = program.with_row(cut)
    raise SimulationError(
        "Many plans miss a limit by less than can be told apart.", hint="Give amounts with fewer digits."
    )


def _refined(problem: Problem, program: Program, gain: FloatArray, options: IntArray) -> IntArray:
    """Options too small to be seen beside the largest ones, chosen at their own scale while the others stay."""
    left, settled = gain, np.zeros(gain.size, dtype=bool)
    while True:
        settled |= np.abs(left) >= _SMALL * GAP / scaled(left)[1]
        left = np.where(settled, 0.0, gain)
        if not left.any():
            return options
        found = _checked(problem, program.with_settled(settled, np.isin(np.arange(gain.size), options)), left)
        if found is None or found.value <= math.fsum(left[options].tolist()):
            return options
        options = found.options


def cut_against(problem: Problem, options: IntArray) -> Row | None:
    """A row that a plan outside its limits does not keep, and every plan inside them does; None for one inside.

    For money a cover: of options that together pass a limit, one has to go. For everything else the plan itself.
    """
    if not violations(problem, options):
        return None
    limits = [(problem.total, problem.budget), *zip(problem.cost.T, problem.wave_budget.tolist(), strict=True)]
    row = np.zeros(len(problem.action))
    for cost, limit in limits:
        if over(math.fsum(cost[options].tolist()), limit):
            cover = options[np.argsort(-cost[options], kind="stable")]
            count = 1
            while not over(math.fsum(cost[cover[:count]].tolist()), limit):
                count += 1
            row[cover[:count]] = 1.0
            row[cost >= cost[cover[0]]] = 1.0
            return Row(row, -math.inf, float(count - 1))
    row -= 1.0
    row[options] = 1.0
    return Row(row, -math.inf, float(len(options) - 1))


def tidied(problem: Problem, options: IntArray, gain: FloatArray, worth: Callable[[IntArray], float]) -> IntArray:
    """Take out what brings nothing (a sum of `gain` up to 0), with all that need it, if the plan is worth no less."""
    nothing = 1e-12 * float(np.abs(gain).max(initial=0.0))
    before = worth(options)
    for option in options[np.argsort(gain[options], kind="stable")].tolist():
        group = _with_all_that_need(problem, options, option)
        if option not in options or math.fsum(gain[group].tolist()) > nothing:
            continue
        rest = np.setdiff1d(options, group)
        after = worth(rest)
        if after >= before - 1e-12 * abs(before) and not violations(problem, rest):
            options, before = rest, after
    return options


def _with_all_that_need(problem: Problem, options: IntArray, option: int) -> IntArray:
    chosen = {int(problem.action[place]): place for place in options.tolist()}
    group = {int(problem.action[option])}
    while True:
        more = {a for a, b in problem.requires if b in group and a in chosen} - group
        if not more:
            return np.array(sorted(chosen[a] for a in group if a in chosen), dtype=np.int64)
        group |= more
