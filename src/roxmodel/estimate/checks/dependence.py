"""Whether units of one region (people of one team) share what the equations leave unexplained.

Where they do, and their causes differ between regions too, errors that take units as independent are too small
(Moulton 1990, doi 10.2307/2109724).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import listed
from roxmodel.estimate.checks.disturbances import Unexplained, total_slope, unexplained
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.casewise import casewise_scores
from roxmodel.spec.causal import headline
from roxmodel.survey.frames import open_frame
from roxmodel.survey.groupings import MOST_GROUPINGS, Grouping, groupings_of
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray, IntArray

__all__ = ["Alike", "dependence_findings", "shared_within"]

_FEWEST = 5  # groups with something of an equation, below which nothing is tested
_SLIGHT = 0.05  # share of what is unexplained that groups share, below which it is only noted


@dataclass(frozen=True, slots=True)
class Alike:
    """What the groups of one column share, equation by equation."""

    p: float  # of all equations together, and the best of them, whichever says more
    single: FloatArray  # (e,) p of each equation, Bonferroni over the equations; NaN where it is not tested
    share: FloatArray  # (e,) intraclass correlation of what is unexplained


def dependence_findings(evidence: Evidence) -> Iterator[Doubt]:
    """Doubt of ``dependence``: columns of the unit frame (of the rows) whose groups share what is unexplained."""
    found, more = _columns(evidence)
    if not found and not more:
        return
    rest = unexplained(evidence)
    if rest is None or not rest.caused.any():
        return
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


def _columns(evidence: Evidence) -> tuple[list[Grouping], int]:
    """Columns that could group the cases, and how many more there are; none that errors are clustered by already."""
    data, model = evidence.data, evidence.model
    skip = {value for value in evidence.columns.values() if value is not None}
    if isinstance(data, Study):
        found = data.groupings()
    elif evidence.fit.population.n_units is None and hasattr(data, "columns"):
        frame = open_frame("data", data)
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
    there = codes >= 0
    own, each = codes[there], np.diagonal(weight, axis1=1, axis2=2)[there]
    e = each.shape[1]
    ratios, spare = np.full(e, np.nan), np.zeros((e, 2))
    shares, rests = np.full(e, np.nan), np.zeros(each.shape)
    for k in range(e):
        ratios[k], spare[k], shares[k], rests[:, k] = _one_way(push[there, k], each[:, k], own)
    usable = ~np.isnan(ratios)
    if not usable.any():
        return None
    from scipy.stats import f

    single = np.full(e, np.nan)
    single[usable] = f.sf(ratios[usable], *spare[usable].T)
    count = int(usable.sum())
    single = np.minimum(single * count, 1.0)
    if count == 1:
        return Alike(float(np.nanmin(single)), single, shares)
    with np.errstate(invalid="ignore"):
        alike = float((np.nan_to_num(np.corrcoef(rests[:, usable].T)) ** 2).sum()) / count**2
    upper, lower = spare[usable].mean(axis=0)
    joint = float(f.sf(ratios[usable].mean(), upper / alike, lower / alike))
    return Alike(min(2 * min(joint, float(np.nanmin(single))), 1.0), single, shares)


def _one_way(push: FloatArray, weight: FloatArray, codes: IntArray) -> tuple[float, FloatArray, float, FloatArray]:
    """F, its degrees of freedom, intraclass correlation, and standardised rests, of one equation."""
    known = weight > 0
    rests = np.zeros(len(push))
    groups = np.unique(codes[known], return_inverse=True)[1]
    count, n = int(groups.max(initial=-1)) + 1, int(known.sum())
    if count < _FEWEST or n - count < _FEWEST:
        return np.nan, np.zeros(2), np.nan, rests
    w = weight[known]
    value = push[known] / w
    value = value - np.average(value, weights=w)
    rests[known] = value * np.sqrt(w)
    mass = np.bincount(groups, w)
    between = np.bincount(groups, w * value) ** 2 / mass
    upper = float(between.sum()) / (count - 1)
    lower = max(float((w * value**2).sum() - between.sum()), 1e-300) / (n - count)
    typical = (n - float((np.bincount(groups) ** 2).sum()) / n) / (count - 1)
    share = (upper - lower) / (upper + (typical - 1) * lower)
    return upper / lower, np.array([count - 1.0, n - count]), max(share, 0.0), rests


def _told(evidence: Evidence, rest: Unexplained, named: Sequence[tuple[Grouping, Alike]]) -> Doubt:
    column, shared = named[0]
    effects = [name for name, caused in zip(rest.names, rest.caused, strict=True) if caused]
    order = np.argsort(np.where(np.isnan(shared.single), 2.0, shared.single))
    strong = [k for k in order if shared.single[k] <= LEVELS["dependence"]] or [int(order[0])]
    words = ", ".join(f"{effects[k]} ({shared.share[k]:.0%})" for k in strong)
    who = "Units" if rest.units is not None else "Rows"
    groups = int(column.codes.max()) + 1
    wide = _widening(evidence, column.codes[rest.rows])
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


def _widening(evidence: Evidence, codes: IntArray) -> str:
    """How much wider the interval of the headline total would be by cluster, by one step from the casewise scores."""
    pair, solution, fit = headline(evidence.model), evidence.solution, evidence.fit
    if pair is None or solution is None or len(solution.sample.groups) > 1:
        return ""
    group = solution.sample.groups[0]
    data = getattr(solution.sample, "data", group.data)
    slope = total_slope(fit, pair)
    moved = casewise_scores(solution.layout, solution.found.theta, data, group.rows) @ solution.bread.whole @ slope
    there = codes >= 0
    sums = np.concatenate([np.bincount(codes[there], moved[there]), moved[~there]])
    plain, by = float((moved**2).sum()), float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1)
    ratio = float(np.sqrt(by / plain)) if plain > 0 else 1.0
    if fit.se == "bootstrap" or ratio <= 1.0:
        return ""
    return f"the error of the total {pair[0]} -> {pair[1]} would be {ratio:.1f} times as large"
