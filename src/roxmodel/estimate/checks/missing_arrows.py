"""Arrows that the graph does not have and the data ask for.

A chi-square spreads over all degrees of freedom what one missing arrow adds to one of them; a test of that arrow alone
sees it with far fewer units. A rejection alone is no misfit of weight: it also takes a change that matters. Saris,
Satorra & van der Veld (2009), doi 10.1080/10705510903203433.
"""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.asked_for import Demand, chance, demands
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.numerals import plain
from roxmodel.result.fit import Fit
from roxmodel.spec.causal import within_wave
from roxmodel.spec.parameters import Parameter

__all__ = ["missing_arrows"]

_MATTERS = 0.1  # standardised change from which an arrow matters whatever it does to the others


def missing_arrows(evidence: Evidence) -> Iterator[Doubt]:
    """Pairs of constructs without an arrow that the data join, and causes that share more with their effect."""
    if evidence.tested is not None and evidence.fit.model.edges:
        yield from (_told(evidence.fit, one) for one in demands(evidence.fit, evidence.tested) if one.structural)


def _told(fit: Fit, asked: Demand) -> Doubt:
    """One arrow that is asked for: doubtful where it matters, else a note."""
    row, tested = asked.row, chance(asked.p, asked.count)
    where = f" in {row.group}" if row.group else ""
    if row.kind == "edge":
        what = (
            f"The data ask for an arrow that the graph does not have, {row.left} -> {row.right}{where}: about "
            f"{plain(asked.change, 2)} {row.right} for one point of {row.left} ({tested})."
        )
    else:
        what = (
            f"{row.left} and {row.right}{where} have more in common than the arrows let expect, {row.left} <-> "
            f"{row.right}: a correlation of about {asked.standardized:.2f} ({tested})."
        )
    verdict: DoubtVerdict = "doubtful" if abs(asked.standardized) > _MATTERS or asked.moves.most > 1 else "note"
    remedy = (
        "Draw what is missing if it can be true (the arrow, something between the two, or a cause of both), fit again "
        "and compare the totals; while it is missing, totals along it are not known."
        if verdict == "doubtful"
        else "It is too small to move an effect by more than its error: no change is needed."
    )
    return Doubt(
        "missing_arrow", verdict, f"{what}{asked.moves.told}", (row.left, row.right), remedy, _concerned(fit, row)
    )


def _concerned(fit: Fit, row: Parameter) -> tuple[str, ...]:
    """Edges on the way from the one to the other, and into the effect: what the missing arrow makes wrong."""
    graph = within_wave(fit.model.edges, fit.model.names)
    after, before = ({row.left} | nx.descendants(graph, row.left)), ({row.right} | nx.ancestors(graph, row.right))
    ends = {row.right} if row.kind == "edge" else {row.left, row.right}
    pairs = [(edge.cause, edge.effect) for edge in fit.model.edges if not edge.lag]
    found = [(a, b) for a, b in pairs if b in ends or (a in after and b in before)]
    return tuple(f"{a} -> {b}" for a, b in found)
