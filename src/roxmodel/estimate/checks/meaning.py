"""What the estimates themselves say: whether a figure means anything.

Verdicts: how grave a failed one is, and for which edges. Information: a cause that does not differ between units moves
nothing that is seen. Few units: what errors rest on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.sample import LinkedSample
from roxmodel.moments.condense import kish
from roxmodel.moments.linked import LinkedMoments
from roxmodel.numerals import p_text
from roxmodel.records import Fault, Verdict
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.definitions import in_order, names_in
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.survey.linkage import agreement
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.estimate.latent.sample import GroupSample, LatentSolution

__all__ = ["few_units", "no_information", "verdict_rows", "without_numbers"]

_GRAVITY: tuple[DoubtVerdict, ...] = ("unusable", "doubtful", "note", "ok")
_REMEDY = "Do not read these figures off this fit before that is mended."


def verdict_rows(evidence: Evidence) -> Iterator[Doubt]:
    """One row a verdict; what was held at 0 though the data pull it below 0 beyond chance is doubtful."""
    fit = evidence.fit
    for name, verdict in fit.verdicts.items():
        below = _below_zero(evidence.solution) if name == "admissible" and evidence.solution is not None else []
        yield _row(name, verdict, evidence, below)


def _row(name: str, verdict: Verdict, evidence: Evidence, below: list[tuple[Parameter, float]]) -> Doubt:
    model, table = evidence.model, {row.id: row for row in evidence.fit.table}
    told = [(_grade(name, fault, _edges(fault, model, table)), fault) for fault in verdict.faults]
    grave: DoubtVerdict = min((grade for grade, _ in told), key=_GRAVITY.index, default="ok")
    if below and grave in {"ok", "note"}:
        return _pulled(model, below)
    reason = f"{verdict.reason[:1].upper()}{verdict.reason[1:]}."
    if grave == "ok":
        return Doubt(name, "ok", reason, (), "")
    gravest = [fault for grade, fault in told if grade == grave]
    edges = tuple(dict.fromkeys(edge for fault in gravest for edge in _edges(fault, model, table)))
    culprits = tuple(dict.fromkeys(one for fault in gravest for one in _names(fault, model, table)))
    if grave == "note":
        remedy = "It happens by chance too; look again with more units, rows or items."
        return Doubt(name, "note", reason, culprits, remedy, edges)
    return Doubt(name, grave, f"Not {name}: {verdict.reason}.", culprits, _REMEDY, edges)


def _grade(name: str, fault: Fault, edges: tuple[str, ...]) -> DoubtVerdict:
    """A variance at 0 happens by chance; what is impossible takes the meaning from the edges that it concerns."""
    if name != "admissible":
        return "unusable"
    if fault.code == "bound":
        return "note"
    if edges:
        return "unusable"
    return "note" if fault.code == "inseparable" else "doubtful"


def _names(fault: Fault, model: RoxModel, table: dict[str, Parameter]) -> tuple[str, ...]:
    """Constructs and items that a fault concerns."""
    found = list(fault.names)
    for row in (table[name] for name in fault.rows):
        if row.kind == "loading":
            found.append(row.right)
        elif row.kind != "defined":
            found += [row.left, row.right] if row.kind in {"edge", "covariance"} else [row.left]
    known = {*model.names, *(item.name for item in model.items)}
    return tuple(name for name in dict.fromkeys(found) if name in known)


def _edges(fault: Fault, model: RoxModel, table: dict[str, Parameter]) -> tuple[str, ...]:
    """Edges whose figures a fault takes the meaning from."""
    if fault.edges:
        return fault.edges
    rows = [table[name] for name in fault.rows]
    own = [f"{row.left} -> {row.right}" for row in rows if row.kind == "edge"]
    if own:
        return tuple(dict.fromkeys(own))
    names = _owners(model, _names(fault, model, table))
    if fault.code == "inseparable":  # what coincides can be told apart where it causes different things
        return tuple(
            f"{name} -> {effect}"
            for effect in model.endogenous
            for name in names
            if name in model.causes(effect) and len(set(names) & set(model.causes(effect))) > 1
        )
    if fault.code == "loop":
        return tuple(f"{e.cause} -> {e.effect}" for e in model.edges if {e.cause, e.effect} <= set(names))
    return _edges_at(model, names) if fault.rows or fault.names else _edges_at(model, model.names)


def _owners(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Constructs among the names, and those whose items are."""
    return tuple(c.name for c in model.constructs if c.name in names or set(c.item_names) & set(names))


def _edges_at(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Edges with an end among these constructs."""
    found = [f"{e.cause} -> {e.effect}" for e in model.edges if e.cause in names or e.effect in names]
    return tuple(dict.fromkeys(found))


def _below_zero(solution: LatentSolution) -> list[tuple[Parameter, float]]:
    """Variances held at 0 that the data pull below it beyond chance, by one score test each, with Holm's correction.

    With score s and inverse information C of all parameters the estimate without the bound lies near C s, its error is
    √(C / n) and z = √(n C) s. Holm (1979), doi 10.2307/4615733. Not for items between units: there z falls below -3 in
    3 to 4 % of clean worlds, because noise is not of one size in all units.
    """
    from scipy.special import ndtr

    held, n, names = solution.bread.held, solution.sample.n, solution.model.names
    units = isinstance(solution.sample, LinkedSample)
    tested = [row for row in solution.table.of("variance") if row.free and not (units and residual_of(row, names))]
    rows = {row.free - 1: row for row in tested if held[row.free - 1]}
    at = np.array(list(rows), dtype=np.int64)
    if not len(at):
        return []
    slope = np.asarray(solution.found.expansion.gradient)[at]
    z: FloatArray = -slope * np.sqrt(n * np.maximum(np.diag(solution.bread.whole)[at], 0.0))
    p, found = ndtr(z), []
    for rank, k in enumerate(np.argsort(p)):
        if p[k] * (len(at) - rank) > LEVELS["admissible"]:
            break
        found.append((rows[int(at[k])], float(z[k])))
    return found


def _pulled(model: RoxModel, below: list[tuple[Parameter, float]]) -> Doubt:
    """An estimate that would be negative beyond chance."""
    names = tuple(dict.fromkeys(row.left for row, _ in below))
    items = [row.left for row, _ in below if residual_of(row, model.names)]
    what = ", ".join(f"{row.left} (z {z:.1f})" for row, z in below)
    finding = f"The data ask for a variance below 0 of {what}, which chance alone does not explain."
    remedy = "The model is wrong there: look for a second construct, an absent arrow" + (
        ", or two items that share more than their construct." if items else "."
    )
    return Doubt("admissible", "doubtful", finding, names, remedy, _edges_at(model, _owners(model, names)))


# --- information

_FEW, _SPARE = 20, 10  # units or clusters, and degrees of freedom of an equation, below which errors are rough
_UNEVEN = 0.6  # share of the rows that Kish's effective n is, below which sandwich intervals cover too little
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


# --- few units


def few_units(evidence: Evidence) -> Iterator[Doubt]:
    """Whether errors rest on few: units, clusters, what weights leave of the rows, rows for the parameters. Notes."""
    fit, solution, more = (
        evidence.fit,
        evidence.solution,
        "Take intervals as rough; link more units or use fewer causes.",
    )
    units = fit.population.n_units
    if units is not None and units < _FEW:
        yield Doubt("few_units", "note", f"Only {units} units: intervals rest on few.", (), more)
    thin = [one for one in fit.equations if units is not None and one.df < _SPARE]
    for one in thin:
        finding = f"The equation of {one.effect} has {one.n} units for {len(fit.model.causes(one.effect))} causes."
        yield Doubt("few_units", "note", finding, (one.effect,), more)
    if solution is None:
        return
    free, n = solution.table.n_free, solution.sample.n
    if n < (2 if units is not None else 5) * free:
        finding = (
            f"{n:.0f} {'units' if units is not None else 'rows'} for {free} free parameters: errors and tests of fit"
        )
        yield Doubt("few_units", "note", finding + " are those of large samples.", (), more)
    for group in solution.sample.groups:
        yield from _few_in(group, f" in {group.name}" if group.name else "")


def _few_in(group: GroupSample, where: str) -> Iterator[Doubt]:
    remedy = "Take intervals as rough; they are too short rather than too long."
    if group.clusters is not None and (clusters := len(np.unique(group.clusters))) < _FEW:
        finding = f"Only {clusters} clusters{where}: errors that rest on so few are rough."
        yield Doubt("few_units", "note", finding, (), remedy)
    if group.sampling and group.weights is not None and kish(group.weights) < _UNEVEN * len(group.weights):
        worth = f"{len(group.weights)} rows{where} say as much as {kish(group.weights):.0f} of equal weight"
        yield Doubt("few_units", "note", f"{worth} (Kish's effective n).", (), remedy)
