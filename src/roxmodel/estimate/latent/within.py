"""The covariance of answers within units: what makes the sampling error of unit means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np

from roxmodel.errors import DataError, EstimationError, listed
from roxmodel.implied.curvature import pair_information
from roxmodel.implied.identification import completed
from roxmodel.implied.likelihood import inverted
from roxmodel.moments.cells import Cells
from roxmodel.moments.linked import SourceMoments, never_met, team_covariance, without_say
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Within", "WithinStep", "holed", "within_of", "within_step"]


# Correlations of two answers of one person that are assumed where nothing but their variances is printed
_ASSUMED, _ACROSS = 0.5, 0.25  # of items of one construct, of different ones
_MOST_STEPS = 200
_MOST_SCORED = 40  # items up to which scoring steps are made
_DONE = 1e-8  # largest change of a correlation


@dataclass(frozen=True, slots=True)
class Within:
    """Covariance of answers within units.

    Of pairs that nobody of one unit answered both of, it follows from what joins them, or is guessed; means of
    different people do not need it.
    """

    covariance: FloatArray  # (q, q) in points squared, positive semi-definite
    df: float  # it rests on: respondents less units
    guessed: BoolArray | None = None  # (q, q) correlations that were not known and assumed; None where all were known
    notes: tuple[str, ...] = ()  # how it was found, where that is not plain
    apart: BoolArray | None = None  # (q, q) pairs that nobody of one unit answered both of; None where there are none
    team: FloatArray | None = None  # (q, q) what of the covariance people of one team have in common; None: no teams

    @property
    def assumed(self) -> bool:
        """Whether a correlation was assumed (see `with_correlations`)."""
        return self.guessed is not None

    def with_correlations(self, inside: float, across: float, groups: IntArray) -> FloatArray:
        """The covariance if items of one construct correlated by `inside`, those of different ones by `across`.

        What is known stays; the whole is made positive semi-definite if it is not.
        """
        sd = np.sqrt(np.diag(self.covariance))
        found = np.outer(sd, sd) * _correlations(inside, across, groups)
        known = np.zeros(found.shape, dtype=bool) if self.guessed is None else ~self.guessed
        return _positive(np.where(known, self.covariance, found))[0]


def _correlations(inside: float, across: float, groups: IntArray) -> FloatArray:
    found = np.where(groups[:, None] == groups[None, :], inside, across)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def within_of(
    own: SourceMoments,
    cells: Cells | None,
    weight: FloatArray | None = None,
    start: Within | None = None,
    groups: IntArray | None = None,
) -> Within:
    """Find the covariance within units.

    Complete answers: cross-products about unit means over their degrees of freedom. With holes: maximum likelihood with
    the units' means as nuisance (REML), by EM on the cells of unit and pattern; without rows at hand (published means,
    merged moments) or with sampling weights: pair by pair, made positive semi-definite if it is not.

    Of two items that nobody answered both of, the means rest on different people: their sampling errors do not covary,
    whatever the covariance (it is filled by what joins them). Only in finite units, where people who answered one item
    leave fewer to answer the other, it is needed, and guessed.

    `weight`: (G,) how often each unit counts; `start`: where EM starts, and whose words are kept; `groups`: (q,)
    construct of each item, None = one. Raises EstimationError or DataError if the variance within units is not known,
    or nobody answered twice in a unit.
    """
    pooled, df, known = _pairwise(own, weight)
    notes: list[str] = []
    guessed: BoolArray | None = None
    if start is not None and start.guessed is not None:
        known = known & ~start.guessed
    if not np.diag(known).all():
        raise _without_variance(own, np.diag(known))
    apart = never_met(own)
    rows = cells is not None and bool((np.diag(pooled) > 0).all())  # they know pairs that one person a unit answered
    needed = ~known & ~without_say(own)
    needed &= apart if rows else True
    places = np.zeros(len(known), np.int64) if groups is None else groups
    if not known.all():
        pooled = completed(pooled, known) if rows or (known | apart).all() else _filled(pooled, known, places)
    if (known | apart).all() or rows:
        pooled, words = _holes_filled(own, cells if rows else None, (pooled, ~apart), weight, start)
        notes += words
    if needed.any():
        pooled = _filled(pooled, ~needed, places)
        guessed = needed
        why = "was not printed" if np.isnan(own.scatter).any() else "is not known of pairs that nobody answered both of"
        notes.append(
            f"{own.source}: how answers correlate within units {why}; {_ASSUMED} was assumed for items of one "
            f"construct, {_ACROSS} for items of different ones."
        )
    if own.teams is not None:  # pooling over the people of few teams misses a part of what teams differ by
        between, missed = own.between_teams(weight)
        pooled = pooled + missed * np.where(np.isnan(between), 0.0, between)
    pooled, mended = _positive(pooled)
    team = None if own.teams is None else team_covariance(own, pooled, weight)
    if mended:
        notes.append(f"{own.source}: the pooled covariance within units was not positive semi-definite and was mended.")
    said = tuple(notes) if start is None else start.notes
    return Within(pooled, df, guessed, said, apart if apart.any() else None, team)


def _holes_filled(
    own: SourceMoments,
    cells: Cells | None,
    known: tuple[FloatArray, BoolArray],
    weight: FloatArray | None,
    start: Within | None,
) -> tuple[FloatArray, list[str]]:
    """The covariance by likelihood where answers are missing; `known` is that of pairs, and which of them met."""
    pooled, met = known
    if not holed(own):
        return pooled, []
    found = None
    if cells is not None:
        first = _positive(pooled if start is None else start.covariance)[0]
        try:
            found = _by_likelihood(cells, first, weight, met)
        except np.linalg.LinAlgError:
            found = None
    how = "is pooled pair by pair" if found is None else "is by maximum likelihood"
    words = (
        f"{own.source}: answers are missing; the covariance within units {how}, and unit means are those of the "
        "answers that are there, which assumes that answers are missing completely at random."
    )
    return pooled if found is None else found, [words]


def _pairwise(own: SourceMoments, weight: FloatArray | None) -> tuple[FloatArray, float, BoolArray]:
    """Pooled covariance, its degrees of freedom (mean over items), and which entries are known."""
    there = ~np.isnan(own.scatter)
    scatter, spare = np.where(there, own.scatter, 0.0), np.where(there, own.spare, 0.0)
    counts = np.where(there, np.maximum(np.broadcast_to(own.n, there.shape) - 1.0, 0.0), 0.0)
    times = np.ones(len(own.units)) if weight is None else weight
    total, divisor = np.tensordot(times, scatter, 1), np.tensordot(times, spare, 1)
    known = divisor > 0
    pooled = np.where(known, total / np.where(known, divisor, 1.0), np.nan)
    df = float(np.mean(np.diag(np.tensordot(times, counts, 1))))
    return (pooled + pooled.T) / 2, df, known


def _without_variance(own: SourceMoments, known: BoolArray) -> DataError | EstimationError:
    names = [item for item, there in zip(own.items, known, strict=True) if not there]
    if np.isnan(own.scatter).any():
        return DataError(
            f"The variance of answers within units is not known for {listed(names)} ({own.source}), so the sampling "
            "error of their means is not either.",
            hint="Give rox.Aggregated(variance={item: column}) or covariance=, or use method='path'.",
        )
    return EstimationError(
        f"No unit has two answers to {listed(names)} ({own.source}), so nothing says how much people of one unit "
        "differ, and with it how uncertain its mean is.",
        hint="The linked method needs units with two answers or more; method='path' takes means as they are.",
    )


def _filled(pooled: FloatArray, known: BoolArray, groups: IntArray) -> FloatArray:
    sd = np.sqrt(np.diag(pooled))
    return np.where(known, pooled, _correlations(_ASSUMED, _ACROSS, groups) * np.outer(sd, sd))


def holed(own: SourceMoments) -> bool:
    """Whether some who answered skipped an item."""
    return bool((own.n != own.counts[:, :1, None]).any())


def _positive(matrix: FloatArray) -> tuple[FloatArray, bool]:
    """A covariance with clipped eigenvalues of its correlations, where it is not positive semi-definite."""
    sd = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    safe = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(safe, safe))
    if values[0] >= -1e-10:
        return matrix, False
    clipped = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    own = np.sqrt(np.diag(clipped))
    return np.asarray(clipped / np.outer(own, own) * np.outer(sd, sd)), True


@dataclass(frozen=True, slots=True)
class WithinStep:
    """What the respondents of one survey say at one covariance within units; zeros where nobody answered.

    Q is the sum over respondents of the inverse of what they show of Σ_W.
    """

    centre: FloatArray  # (G, q) levels of the units by generalised least squares
    noise: FloatArray  # (G, q, q) their covariance Q⁻¹
    answered: BoolArray  # (G, q)
    inverse: FloatArray  # (P, q, q) by pattern
    logdet: float  # Σ log|Σ_W| over respondents (what each shows) + Σ log|Q|


@dataclass(frozen=True, slots=True)
class _Plan:
    """What does not change while Σ_W does: respondents by unit and pattern, and cells in the order of patterns."""

    table: FloatArray
    order: IntArray
    starts: IntArray


_PLANS: WeakKeyDictionary[Cells, _Plan] = WeakKeyDictionary()


def _plan(cells: Cells) -> _Plan:
    found = _PLANS.get(cells)
    if found is None:
        order = np.argsort(cells.pattern, kind="stable")
        starts = np.searchsorted(cells.pattern[order], np.arange(len(cells.seen)))
        found = _PLANS[cells] = _Plan(_counts(cells, len(cells.units)), order, starts)
    return found


def within_step(cells: Cells, covariance: FloatArray, weight: FloatArray | None = None) -> WithinStep:
    """Combine the respondents of every unit by generalised least squares, given Σ_W, (q, q), positive definite.

    `weight`: (G,) how often a unit counts (in `logdet` only).
    """
    groups, q = len(cells.units), len(cells.items)
    sd = np.sqrt(np.diag(covariance))
    if not (sd > 0).all():
        raise np.linalg.LinAlgError("a variance is not positive")
    unit, size = np.outer(sd, sd), np.log(sd)
    inverse, logdets = inverted(covariance / unit, cells.seen)
    times = np.ones(groups) if weight is None else weight
    plan = _plan(cells)
    full = np.asarray(plan.table @ inverse.reshape(len(inverse), q * q)).reshape(groups, q, q)
    means = (cells.mean / sd * cells.n[:, None])[plan.order]
    pushed = np.empty_like(means)
    for place, (start, stop) in enumerate(_stretches(plan, len(means))):  # one product a pattern, not one a cell
        pushed[start:stop] = means[start:stop] @ inverse[place]
    total = np.zeros((groups, q))
    np.add.at(total, cells.unit[plan.order], pushed)
    answered = np.diagonal(full, axis1=1, axis2=2) > 0
    full[:, np.arange(q), np.arange(q)] += ~answered
    noise = np.linalg.inv(full)
    noise[:, np.arange(q), np.arange(q)] -= ~answered
    noise = (noise + noise.swapaxes(1, 2)) / 2
    centre = (noise @ total[:, :, None])[:, :, 0] * sd
    own = float((times[cells.unit] * cells.n) @ (logdets + 2 * cells.seen @ size)[cells.pattern])
    levels = np.linalg.slogdet(full)[1] - 2 * answered @ size
    return WithinStep(centre, noise * unit, answered, inverse / unit, own + float(times @ levels))


def _stretches(plan: _Plan, count: int) -> Iterator[tuple[int, int]]:
    yield from pairwise([*plan.starts.tolist(), count])


def _counts(cells: Cells, groups: int) -> FloatArray:
    """(G, P) respondents of each unit and pattern; sparse where that is large."""
    if groups * len(cells.seen) <= 5_000_000:
        table = np.zeros((groups, len(cells.seen)))
        table[cells.unit, cells.pattern] = cells.n
        return table
    from scipy.sparse import csr_array

    return csr_array((cells.n, (cells.unit, cells.pattern)), shape=(groups, len(cells.seen)))  # type: ignore[return-value]


def spread_within(
    cells: Cells, step: WithinStep, level: FloatArray, doubt: FloatArray, weight: FloatArray | None = None
) -> tuple[FloatArray, float]:
    """M = Σ A (r rᵀ + V) A - A over respondents, (q, q), and Σ rᵀ A r.

    A is the inverse of what a respondent shows of Σ_W, r the deviation from the level of the unit, V what is not
    known of that level. Σ_W is where it should be when M = 0; Σ_W + Σ_W M Σ_W / n is the EM step.

    `level`: (G, q) of the units; `doubt`: V, (G, q, q); `weight`: (G,) how often a unit counts.
    """
    patterns, q, plan = len(cells.seen), len(cells.items), _plan(cells)
    times = np.ones(len(cells.units)) if weight is None else weight
    n = cells.n * times[cells.unit]
    rest = np.where(cells.seen[cells.pattern], cells.mean - level[cells.unit], 0.0)[plan.order]
    scatter = cells.scatter_of(weight)
    weighted = rest * n[plan.order, None]
    for place, (start, stop) in enumerate(_stretches(plan, len(rest))):
        scatter[place] += weighted[start:stop].T @ rest[start:stop]
    sums = plan.table.T @ (doubt * times[:, None, None]).reshape(len(doubt), q * q)
    hidden = np.asarray(sums).reshape(patterns, q, q)
    sizes = np.bincount(cells.pattern, weights=n, minlength=patterns)
    inner = step.inverse @ (scatter + hidden) @ step.inverse - sizes[:, None, None] * step.inverse
    distance = float((step.inverse * scatter).sum())
    return inner.sum(axis=0), distance


def _by_likelihood(
    cells: Cells, start: FloatArray, weight: FloatArray | None, seen: BoolArray | None = None
) -> FloatArray:
    """REML, levels of the units with a flat prior: scoring steps as far as they help, else a step of EM.

    Pairs that nobody of a unit answered both of (not `seen`, (q, q)) change nothing: steps leave them where the
    determinant is largest. A singular start is a LinAlgError.

    Patterson & Thompson (1971), doi 10.2307/2334389; Dempster, Rubin & Tsutakawa (1981), doi 10.2307/2287835.
    """
    times = np.ones(len(cells.units)) if weight is None else weight
    own = cells.n * times[cells.unit]
    n = float(own.sum())
    sizes = np.bincount(cells.pattern, weights=own, minlength=len(cells.seen))
    spare = max(1.0 - float(times[np.unique(cells.unit)].sum()) / n, 0.1)  # what the levels of the units leave
    covariance = _regular(start)
    step = within_step(cells, covariance, weight)
    pull, value = _restricted(cells, step, weight)
    free = np.ones(covariance.shape, dtype=bool) if seen is None else seen
    for _ in range(_MOST_STEPS):
        sd = np.sqrt(np.diag(covariance))
        unit = np.outer(sd, sd)
        scored = None
        if len(sd) <= _MOST_SCORED:
            scored = _scored(step, (pull, free), np.asarray(sizes * spare, dtype=np.float64), unit)
        if scored is not None and not free.all():
            scored = completed(covariance + scored, free) - covariance
        moves = [scored] if scored is not None else []
        moves.append(covariance @ pull @ covariance / n)
        for move in moves:
            found = _moved(cells, covariance, move, (value, weight))
            if found is not None:
                break
        if found is None:
            break
        change, step, pull, value = found
        covariance = covariance + change
        if np.abs(change / unit).max() < _DONE:
            break
    return covariance


def _restricted(cells: Cells, step: WithinStep, weight: FloatArray | None) -> tuple[FloatArray, float]:
    """Where Σ_W is pulled to, and -2 restricted loglik."""
    pull, _ = spread_within(cells, step, step.centre, step.noise, weight)
    _, distance = spread_within(cells, step, step.centre, np.zeros_like(step.noise), weight)
    return pull, step.logdet + distance


def _scored(
    step: WithinStep, pulled: tuple[FloatArray, BoolArray], sizes: FloatArray, unit: FloatArray
) -> FloatArray | None:
    """A scoring step of the pairs that were seen, the levels of the units taken as known; None where there is none."""
    q, (pull, seen) = len(unit), pulled
    low = np.tril_indices(q)
    share = np.where(low[0] == low[1], 0.5, 1.0)
    found, kept = np.zeros((q, q)), np.flatnonzero(seen[low])
    low = low[0][kept], low[1][kept]
    try:
        curve = pair_information(step.inverse * unit, sizes)[np.ix_(kept, kept)]
        solved = np.linalg.solve(curve, share[kept] * (pull * unit)[low])
    except np.linalg.LinAlgError:
        return None
    found[low] = found.T[low] = np.asarray(solved, dtype=np.float64)
    return np.asarray(found * unit) if np.isfinite(found).all() else None


Moved = tuple[FloatArray, WithinStep, FloatArray, float]


def _moved(
    cells: Cells, covariance: FloatArray, move: FloatArray, known: tuple[float, FloatArray | None]
) -> Moved | None:
    """As much of a move as raises the likelihood inside the cone; None where nothing of it does."""
    value, weight = known
    sd = np.sqrt(np.diag(covariance))
    unit = np.outer(sd, sd)
    move = (move + move.T) / 2
    root = np.linalg.inv(np.linalg.cholesky(covariance / unit))
    lowest = float(np.linalg.eigvalsh(root @ (move / unit) @ root.T)[0])
    size = 1.0 if lowest > -0.9 else 0.9 / -lowest
    for _ in range(12):
        try:
            step = within_step(cells, covariance + size * move, weight)
        except np.linalg.LinAlgError:
            size /= 4
            continue
        pull, there = _restricted(cells, step, weight)
        if there <= value + 1e-9 * max(abs(value), 1.0):
            return size * move, step, pull, there
        size /= 4
    return None


def _regular(matrix: FloatArray) -> FloatArray:
    """A start away from the edge."""
    sd = np.sqrt(np.diag(matrix))
    if not (sd > 0).all():
        raise np.linalg.LinAlgError("a variance is not positive")
    values, vectors = np.linalg.eigh(matrix / np.outer(sd, sd))
    if values[0] > 1e-3:
        return matrix
    return np.asarray(((vectors * np.maximum(values, 1e-2)) @ vectors.T) * np.outer(sd, sd))
