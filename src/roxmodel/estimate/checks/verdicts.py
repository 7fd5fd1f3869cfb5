"""Converged, identified, admissible: how grave a failed one is, and for which constructs and edges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample
from roxmodel.records import Fault, Verdict
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.types import FloatArray

__all__ = ["edges_at", "owners", "verdict_rows"]

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
    grave = min((grade for grade, _ in told), key=_GRAVITY.index, default="ok")
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
    names = owners(model, _names(fault, model, table))
    if fault.code == "inseparable":  # what coincides can be told apart where it causes different things
        return tuple(
            f"{name} -> {effect}"
            for effect in model.endogenous
            for name in names
            if name in model.causes(effect) and len(set(names) & set(model.causes(effect))) > 1
        )
    if fault.code == "loop":
        return tuple(f"{e.cause} -> {e.effect}" for e in model.edges if {e.cause, e.effect} <= set(names))
    return edges_at(model, names) if fault.rows or fault.names else edges_at(model, model.names)


def owners(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
    """Constructs among the names, and those whose items are."""
    return tuple(c.name for c in model.constructs if c.name in names or set(c.item_names) & set(names))


def edges_at(model: RoxModel, names: tuple[str, ...]) -> tuple[str, ...]:
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
    return Doubt("admissible", "doubtful", finding, names, remedy, edges_at(model, owners(model, names)))
