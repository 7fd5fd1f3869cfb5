"""Whether units of one region (people of one team) share what the equations leave unexplained.

Where they do, and their causes differ between regions too, errors that take units as independent are too small
(Moulton 1990, doi 10.2307/2109724).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import DataError, listed
from roxmodel.estimate.checks.disturbances import Unexplained, moved_totals
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.spec.causal import headline
from roxmodel.survey.books import MOST_GROUPINGS, Grouping, groupings_of
from roxmodel.survey.frames import open_frame
from roxmodel.survey.study import Study
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Alike", "columns_of", "dependence_findings", "shared_within"]

_FEWEST = 5  # groups with something of an equation, below which nothing is tested
_SLIGHT = 0.05  # share of what is unexplained that groups share, below which it is only noted


@dataclass(frozen=True, slots=True)
class Alike:
    """What the groups of one column share, equation by equation."""

    p: float  # of all equations together, and the best of them, whichever says more
    single: FloatArray  # (e,) p of each equation, Bonferroni over the equations; NaN where it is not tested
    share: FloatArray  # (e,) intraclass correlation of what is unexplained


def dependence_findings(evidence: Evidence, rest: Unexplained, columns: tuple[list[Grouping], int]) -> Iterator[Doubt]:
    """Doubt of ``dependence``: columns of the unit frame (of the rows) whose groups share what is unexplained.

    `columns`: those to be tested, and how many more there are (`columns_of`).
    """
    found, more = columns
    push, weight = rest.net()
    tested = [(column, shared_within(push, weight, column.codes[rest.rows])) for column in found]
    kept = [(column, shared) for column, shared in tested if shared is not None]
    kept.sort(key=lambda pair: pair[1].p)
    named = []
    for place, (column, shared) in enumerate(kept):  # Holm
        if shared.p * (len(kept) - place) > LEVELS["dependence"]:
            break
        named.append((column, shared))
    if named:
        yield _told(evidence, rest, named)
    elif kept:
        names = listed([repr(column.name) for column, _ in kept])
        yield Doubt("dependence", "ok", f"What is unexplained is not alike within {names}.", (), "")
    if more:
        finding = f"{more} more columns that could be regions were not looked at, only the first {MOST_GROUPINGS}."
        yield Doubt("dependence", "note", finding, (), "Leave columns out of the frame that are no groups of units.")


def columns_of(evidence: Evidence) -> tuple[list[Grouping], int]:
    """Columns that could group the cases, and how many more there are; none that errors are clustered by already."""
    data, model = evidence.data, evidence.model
    skip = {value for value in evidence.columns.values() if value is not None}
    if isinstance(data, Study):
        found = data.groupings()
    elif evidence.fit.population.units is None and hasattr(data, "columns"):
        try:
            frame = open_frame("data", data)
        except DataError:  # names twice among columns that the fit did not ask for
            return [], 0
        found = list(groupings_of(frame, np.arange(len(frame)), {*skip, *(item.name for item in model.items)}))
    else:
        return [], 0
    own = {item.name for item in model.items}
    cluster = next((one.codes for one in found if one.name == evidence.columns.get("cluster")), None)
    found = [one for one in found if one.name not in skip | own and not _within(one.codes, cluster)]
    return found[:MOST_GROUPINGS], max(len(found) - MOST_GROUPINGS, 0)


def _within(codes: IntArray, cluster: IntArray | None) -> bool:
    """Whether every group lies in one cluster."""
    if cluster is None:
        return False
    known = (codes >= 0) & (cluster >= 0)
    pairs = np.unique(np.stack([codes[known], cluster[known]]), axis=1)
    return bool(len(np.unique(pairs[0])) == pairs.shape[1])


def shared_within(push: FloatArray, weight: FloatArray, codes: IntArray) -> Alike | None:
    """Analysis of variance of what e equations leave unexplained in n cases, each with its error; None: too few groups.

    `push` (n, e) and `weight` (n, e, e) as in `Unexplained.net`. Each equation has a weighted F test; all together have
    the sum of these, whose distribution is taken from how what is unexplained correlates over equations (Satterthwaite
    1946, doi 10.2307/3002019). Half the level is for the sum, half for the best single one.
    """
    from scipy.special import fdtrc

    there = np.flatnonzero(codes >= 0)
    rows = there[np.argsort(codes[there], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(codes[rows]) != 0][: len(rows)])
    each = np.diagonal(weight, axis1=1, axis2=2)[rows]
    known = each > 0
    if not known.any():
        return None
    ratio, spare, share, rests = _one_way(push[rows], each, known, starts)
    usable = (spare >= _FEWEST - 1).all(axis=0)
    count = int(usable.sum())
    if not count:
        return None
    single = np.where(
        usable, np.minimum(fdtrc(np.maximum(spare[0], 1), np.maximum(spare[1], 1), ratio) * count, 1.0), np.nan
    )
    best = float(np.nanmin(single))
    if count == 1:
        return Alike(best, single, share)
    scale = np.sqrt(np.maximum((rests**2).sum(axis=0), 1e-300))
    alike = float((((rests / scale).T @ (rests / scale))[usable][:, usable] ** 2).sum()) / count**2
    upper, lower = spare[:, usable].mean(axis=1)
    joint = float(fdtrc(upper / alike, lower / alike, ratio[usable].mean()))
    return Alike(min(2 * min(joint, best), 1.0), single, share)


def _one_way(
    push: FloatArray, weight: FloatArray, known: BoolArray, starts: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """F, its degrees of freedom (2, e), intraclass correlation, and standardised rests, (n, e), of each equation.

    Rows are sorted by group, which begin at `starts`.
    """
    value = np.divide(push, weight, out=np.zeros(push.shape), where=known)
    total = np.maximum(weight.sum(axis=0), 1e-300)
    value = np.where(known, value - (weight * value).sum(axis=0) / total, 0.0)
    mass = np.add.reduceat(weight, starts)
    sizes = np.add.reduceat(known.astype(np.float64), starts)
    n, count = known.sum(axis=0), (mass > 0).sum(axis=0)
    inner = np.divide(np.add.reduceat(weight * value, starts) ** 2, mass, out=np.zeros(mass.shape), where=mass > 0)
    between, spare = inner.sum(axis=0), np.stack([count - 1.0, n - count])
    upper = between / np.maximum(spare[0], 1)
    lower = np.maximum((weight * value**2).sum(axis=0) - between, 1e-300) / np.maximum(spare[1], 1)
    typical = (n - (sizes**2).sum(axis=0) / np.maximum(n, 1)) / np.maximum(spare[0], 1)
    share = np.maximum((upper - lower) / (upper + np.maximum(typical - 1, 0) * lower), 0.0)
    return upper / lower, spare, share, value * np.sqrt(weight)


def _told(evidence: Evidence, rest: Unexplained, named: Sequence[tuple[Grouping, Alike]]) -> Doubt:
    column, shared = named[0]
    effects = [name for name, caused in zip(rest.names, rest.caused, strict=True) if caused]
    order = np.argsort(np.where(np.isnan(shared.single), 2.0, shared.single))
    strong = [k for k in order if shared.single[k] <= LEVELS["dependence"]] or [int(order[0])]
    words = ", ".join(f"{effects[k]} ({shared.share[k]:.0%})" for k in strong)
    who = "Units" if rest.units is not None else "Rows"
    groups = int(column.codes.max()) + 1
    wide = _widening(evidence, rest, column.codes[rest.rows])
    cost = f"; taken together by {column.name!r}, {wide}" if wide else ""
    others = [one.name for one, _ in named[1:]]
    also = f" The same holds for {listed([repr(name) for name in others])}." if others else ""
    finding = (
        f"{who} of one {column.name!r} ({groups} values) are alike in what the causes leave unexplained (share that "
        f"the groups have in common: {words}), but the errors take them as independent{cost}.{also}"
    )
    slight = max(float(shared.share[k]) for k in strong) < _SLIGHT
    remedy = f"Fit with cluster={column.name!r}, or let a construct of the context say in what these groups differ."
    return Doubt("dependence", "note" if slight else "doubtful", finding, (column.name, *others), remedy)


def _widening(evidence: Evidence, rest: Unexplained, codes: IntArray) -> str:
    """How much wider the interval of the headline total would be by cluster, by one step from the casewise scores."""
    pair, moved = headline(evidence.model), moved_totals(evidence, rest)
    if pair is None or moved is None:
        return ""
    there = codes >= 0
    sums = np.concatenate([np.bincount(codes[there], moved[there]), moved[~there]])
    plain, by = float((moved**2).sum()), float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1)
    ratio = float(np.sqrt(by / plain)) if plain > 0 else 1.0
    if ratio <= 1.0:
        return ""
    return f"the error of the total {pair[0]} -> {pair[1]} would be {ratio:.1f} times as large"
