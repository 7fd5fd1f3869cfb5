"""Whether the data say anything of an edge: a cause that does not differ between units moves nothing that is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.moments.linked import LinkedMoments
from roxmodel.numerals import p_text
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.definitions import in_order, names_in
from roxmodel.survey.linkage import agreement
from roxmodel.survey.study import Study

if TYPE_CHECKING:
    from roxmodel.estimate.latent.sample import LatentSolution

__all__ = ["no_information", "without_numbers"]

_WEAK = 0.05  # p of "its units (or items) are alike" above which the 95 % interval of an edge out of it has no end
_COUNTED = ("se", "statistic", "p", "low", "high", "standardized", "partial_r2")
_MORE = "Ask more people or items, or leave the construct out; until then no effect and no money can be read off it."


def no_information(evidence: Evidence) -> Iterator[Doubt]:
    """Edges whose error the data do not tell at all, and causes that cannot be told from mere noise."""
    model, lost = evidence.model, _lost(evidence)
    if lost:
        yield _nothing(lost)
    causes = {edge.cause for edge in model.edges if edge.fixed is None and (edge.cause, edge.effect) not in lost}
    for construct in model.constructs:
        if construct.name in causes:
            yield from _weak(evidence, construct, lost)


def _lost(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Free edges that lie in a direction of no curvature, so that no error exists."""
    solution = evidence.solution
    if solution is None or not solution.vcov.size:
        return ()
    unknown = (np.diag(solution.vcov) <= 0) & ~solution.found.bound
    rows = [row for row in solution.table.of("edge") if row.free and unknown[row.free - 1]]
    return tuple(dict.fromkeys((row.left, row.right) for row in rows))


def _nothing(lost: Sequence[tuple[str, str]]) -> Doubt:
    edges = tuple(f"{cause} -> {effect}" for cause, effect in lost)
    finding = (
        f"The data say nothing of {', '.join(edges)}: other values fit as well, so there is no error and no interval."
    )
    return Doubt("no_information", "unusable", finding, tuple(dict.fromkeys(cause for cause, _ in lost)), _MORE, edges)


def _weak(evidence: Evidence, construct: Construct, lost: Sequence[tuple[str, str]]) -> Iterator[Doubt]:
    """A cause whose spread is not told apart from none: an edge is a ratio with that spread below the line.

    Where the denominator's own test does not reject, the interval of such a ratio has no end (Fieller 1954, doi
    10.1111/j.2517-6161.1954.tb00159.x; Staiger & Stock 1997, doi 10.2307/2171753), whatever its standard error says.
    """
    data, name = evidence.data, construct.name
    moments = data.moments if isinstance(data, Study) else data
    if isinstance(moments, LinkedMoments):
        p, what = _alike_between(moments, construct), "units differ in it no more than by who happened to answer"
    else:
        p, what = _unrelated(evidence.solution, construct), "its items have nothing in common"
    if not p > _WEAK:  # NaN: nothing to test
        return
    own = [f"{e.cause} -> {e.effect}" for e in evidence.model.edges if e.cause == name and (name, e.effect) not in lost]
    blur = (
        "is near 0 for that reason alone" if evidence.solution is None else "may lie anywhere, whatever its error says"
    )
    finding = f"{name}: {what} (p = {p_text(p)}), so that an edge out of it {blur}."
    yield Doubt("no_information", "doubtful", finding, (name,), _MORE, tuple(own))


def _alike_between(moments: LinkedMoments, construct: Construct) -> float:
    """Give p of the one-way analysis of variance of the item mean over units; NaN where there is none.

    Where the eligible are known, what varies by who answered is less by the share that did.
    """
    from scipy.special import fdtrc

    if construct.source == UNIT:
        return np.nan
    source = moments.source(construct.source)
    groups = int((source.select(construct.item_names).counts > 0).all(axis=1).sum())
    people = float(source.respondents.sum())
    reliability = agreement(source, construct).icc2
    if np.isnan(reliability) or groups < 2 or people <= groups:
        return np.nan
    left = 1.0
    if source.eligible is not None:
        there = np.isfinite(source.eligible) & (source.respondents > 0)
        if there.any():
            left = float(np.mean(1 - np.minimum(source.respondents[there] / source.eligible[there], 1.0)))
    if left <= 0 or reliability >= 1:
        return 0.0
    return float(fdtrc(groups - 1, people - groups, 1 / (1 - reliability) / left))


def _unrelated(solution: LatentSolution | None, construct: Construct) -> float:
    """Probability of such items of a construct if they were uncorrelated, of rows; the smallest over groups.

    NaN of a single item, whose variance is what is seen. Bartlett (1950), doi 10.1111/j.2044-8317.1950.tb00285.x.
    """
    from scipy.special import chdtrc

    if solution is None or len(construct.items) < 2:
        return np.nan
    at, found = [solution.sample.items.index(name) for name in construct.item_names], np.nan
    for group in solution.sample.groups:
        own = group.target.covariance[np.ix_(at, at)]
        sd = np.sqrt(np.diag(own))
        sign, size = np.linalg.slogdet(own / np.outer(sd, sd)) if (sd > 0).all() else (0.0, 0.0)
        q = len(at)
        if sign > 0:
            found = np.fmin(found, chdtrc(q * (q - 1) / 2, -size * max(group.n - 1 - (2 * q + 5) / 6, 1.0)))
    return float(found)


def without_numbers(fit: Fit) -> Fit:
    """The fit without errors, tests and intervals of edges of which the data say nothing, and of what uses them."""
    lost = set(fit.without_information)
    if not lost:
        return fit
    rows = [row.kind == "edge" and (row.left, row.right) in lost and bool(row.free) for row in fit.table]
    labels = {row.label for row, gone in zip(fit.table, rows, strict=True) if gone and row.label}
    for name in in_order(fit.model.definitions):
        if labels & set(names_in(name, fit.model.definitions[name])):
            labels.add(name)
    gone = np.array(rows) | [row.kind == "defined" and row.left in labels for row in fit.table]
    columns = {name: np.where(gone, np.nan, getattr(fit.estimates, name)) for name in _COUNTED}
    return replace(fit, estimates=replace(fit.estimates, **columns))
