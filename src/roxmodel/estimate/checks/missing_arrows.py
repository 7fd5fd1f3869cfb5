"""Arrows that the graph does not have and the data ask for: one test of one degree for each pair of constructs.

A chi-square spreads over all degrees of freedom what one missing arrow adds to one of them; a test of that arrow alone
sees it with far fewer units. The tests are score tests by the likelihood of the fit, referred to F with what is left
of the units of the effect's equation, adjusted by Holm's method over all pairs. Once the arrow that is asked for most
is in the model (by a step of the likelihood, no refit), the others are tested again, so that its echoes are not
reported.

Saris, Satorra & van der Veld (2009), doi 10.1080/10705510903203433, for why a rejection alone is no misfit of weight:
it also takes a change that matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from scipy.special import stdtr

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.candidates import CandidateTests
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.implied.score_tests import Freed
from roxmodel.numerals import p_text, plain
from roxmodel.result.fit import Fit
from roxmodel.result.groups import holm
from roxmodel.result.system import total_effects
from roxmodel.spec.causal import headline, within_wave
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

__all__ = ["Family", "Moves", "few_units_p", "missing_arrows"]

CHECK = "missing_arrow"
_MOST = 4  # arrows that are named
_MATTERS = 0.1  # standardised change from which an arrow matters whatever it does to the others
_ALIKE = 1e-6  # of two statistics that are the same test


@dataclass(frozen=True, slots=True)
class Family:
    """What is tested together: places among the candidates, and what is left of the units for each."""

    places: Sequence[int]
    left: FloatArray

    def strongest(self, found: CandidateTests, level: float) -> tuple[int, float] | None:
        """The candidate that is asked for most, and its adjusted p; None if none is at this level."""
        statistic = found.statistic[list(self.places)]
        adjusted = holm(few_units_p(statistic, found.n, np.minimum(self.left, found.n - 1.0)))
        if not len(adjusted) or np.isnan(adjusted).all() or not np.nanmin(adjusted) < level:
            return None
        least = float(np.nanmin(adjusted))  # several may be equal
        asking = np.where(adjusted <= least, statistic, -np.inf)
        return self.places[int(np.nanargmax(asking))], least


def few_units_p(statistic: FloatArray, n: float, left: FloatArray) -> FloatArray:
    """P of a score statistic on n units, `left` of them after the parameters of the equation.

    Of a regression statistic / n is the partial R², whose F has `left` degrees of freedom: the chi-square of many units
    is exact for it. NaN stays.

    >>> few_units_p(np.array([9.0]), 50, np.array([46.0])).round(4).tolist()
    [0.0026]
    """
    share = np.minimum(statistic / n, 1 - 1e-9)
    return np.asarray(2.0 * stdtr(left, -np.sqrt(share / (1 - share) * left)), dtype=np.float64)


def missing_arrows(evidence: Evidence) -> Iterator[Doubt]:
    """Pairs of constructs without an arrow that the data join, and causes that share more with their effect."""
    found, fit = evidence.tested, evidence.fit
    if found is None or not fit.model.edges:
        return
    family = _family(fit, found)
    for _ in range(_MOST):
        best = family.strongest(found, LEVELS[CHECK])
        if best is None:
            return
        yield _told(fit, found, best, len(family.places))
        found = found.given(best[0])


def _family(fit: Fit, found: CandidateTests) -> Family:
    """One candidate for each pair, and for a cause and its effect the covariance of what others leave, where told."""
    graph = within_wave(fit.model.edges, fit.model.names)
    wanted = _Wanted(graph, {name: nx.ancestors(graph, name) for name in graph}, _joined(fit))
    places: list[int] = []
    for group in fit.groups:
        own = [(i, one.row) for i, one in enumerate(found.candidates) if one.row.group == group.name and not one.value]
        known: list[float] = []
        for i, row in sorted(own, key=lambda pair: pair[1].kind != "edge"):
            statistic = float(found.asked.statistic[i])
            if np.isnan(statistic) or not wanted.has(row):
                continue
            if row.kind == "edge" or not any(abs(statistic - one) <= _ALIKE * (1 + one) for one in known):
                known.append(statistic)  # a covariance may be the same test as an arrow
                places.append(i)
    units = {equation.effect: equation.n for equation in fit.equations}
    ends = [found.candidates[i].row.right for i in places]
    left = [units.get(name, fit.population.n) - len(fit.model.causes(name)) - 2.0 for name in ends]
    return Family(places, np.maximum(np.array(left), 1.0))


def _joined(fit: Fit) -> frozenset[frozenset[str]]:
    """Pairs of constructs that an arrow of the graph, or a covariance, joins."""
    kinds = {"edge", "covariance"}
    rows = (row for row in fit.table if row.kind in kinds and not row.lag and (row.free or row.value))
    return frozenset(frozenset((row.left, row.right)) for row in rows)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which candidate stands for a pair."""

    graph: nx.DiGraph[str]
    above: Mapping[str, set[str]]
    joined: frozenset[frozenset[str]]

    def has(self, row: Parameter) -> bool:
        """An arrow in causal order, from what has no cause where there is no order, else the covariance."""
        left, right = row.left, row.right
        if not {left, right} <= set(self.above):
            return False
        if frozenset((left, right)) in self.joined:
            return row.kind == "covariance" and (left in self.above[right]) != (right in self.above[left])
        ordered = left in self.above[right] or right in self.above[left]
        alone = [name for name in (left, right) if not self.above[name]]
        if row.kind == "edge":
            return left in self.above[right] or (not ordered and alone == [left])
        return not ordered and len(alone) != 1


# --- words


def _told(fit: Fit, found: CandidateTests, best: tuple[int, float], count: int) -> Doubt:
    """One arrow that is asked for: doubtful where it matters, else a note."""
    (place, p), asked = best, found.asked
    row = found.candidates[place].row
    change, size = float(asked.change[place]), abs(float(asked.change[place] * found.units[place]))
    at = Moves.of(fit, asked, place, row)
    matters = size > _MATTERS or at.most > 1
    where = f" in {row.group}" if row.group else ""
    tested = f"p {_p(p)} after {count} such test{'s' if count > 1 else ''}"
    if row.kind == "edge":
        what = (
            f"The data ask for an arrow that the graph does not have, {row.left} -> {row.right}{where}: about "
            f"{plain(change, 2)} {row.right} for one point of {row.left} ({tested})."
        )
    else:
        what = (
            f"{row.left} and {row.right}{where} have more in common than the arrows let expect, {row.left} <-> "
            f"{row.right}: a correlation of about {change * float(found.units[place]):.2f} ({tested})."
        )
    remedy = (
        "Draw what is missing if it can be true (the arrow, something between the two, or a cause of both), fit again "
        "and compare the totals; while it is missing, totals along it are not known."
    )
    verdict: DoubtVerdict = "doubtful" if matters else "note"
    if not matters:
        remedy = "It is too small to move an effect by more than its error: no change is needed."
    return Doubt(CHECK, verdict, f"{what}{at.told}", (row.left, row.right), remedy, edges=_concerned(fit, row))


def _p(value: float) -> str:
    text = p_text(value)
    return text.replace("<", "below ") if text.startswith("<") else f"= {text}"


def _concerned(fit: Fit, row: Parameter) -> tuple[str, ...]:
    """Edges on the way from the one to the other, and into the effect: what the missing arrow makes wrong."""
    graph = within_wave(fit.model.edges, fit.model.names)
    after, before = ({row.left} | nx.descendants(graph, row.left)), ({row.right} | nx.ancestors(graph, row.right))
    ends = {row.right} if row.kind == "edge" else {row.left, row.right}
    pairs = [(edge.cause, edge.effect) for edge in fit.model.edges if not edge.lag]
    found = [(a, b) for a, b in pairs if b in ends or (a in after and b in before)]
    return tuple(f"{a} -> {b}" for a, b in found)


@dataclass(frozen=True, slots=True)
class Moves:
    """What one more parameter would do to the numbers of a fit."""

    most: float  # largest move of an edge or of the headline total, in its standard errors
    told: str  # a sentence about totals, with a blank in front; empty where none moves by an error

    @classmethod
    def of(cls, fit: Fit, asked: Freed, place: int, row: Parameter) -> Moves:
        """By one step of the likelihood."""
        moved = asked.moved[place][: fit.table.n_free]
        se = np.sqrt(np.diag(fit.vcov))
        edges = [one.free - 1 for one in fit.table.of("edge") if one.free and se[one.free - 1] > 0]
        most = float(np.max(np.abs(moved[edges] / se[edges]), initial=0.0))
        if len(fit.groups) > 1 or not fit.system().linear:
            return cls(most, "")
        names = fit.model.names
        both = fit.system(np.stack([fit.theta, fit.theta + moved])).coefficients.copy()
        if row.kind == "edge":
            both[1, names.index(row.right), names.index(row.left)] += asked.change[place]
        totals = total_effects(both)
        words: list[str] = []
        first, own = headline(fit.model), (row.left, row.right) if row.kind == "edge" else None
        for pair in dict.fromkeys(pair for pair in (first, own) if pair is not None):
            i, j = names.index(pair[1]), names.index(pair[0])
            before, after, error = float(totals[0, i, j]), float(totals[1, i, j]), _total_se(fit, totals[0], (i, j))
            beyond = abs(after - before) / error if error > 0 else np.inf * abs(after - before)
            most = max(most, beyond) if pair == first else most
            if beyond > 1 and not words:
                words.append(
                    f" The total {pair[0]} -> {pair[1]}, {plain(before)} as drawn, would be about {plain(after)}."
                )
        return cls(most, "".join(words))


def _total_se(fit: Fit, total: FloatArray, at: tuple[int, int]) -> float:
    """Standard error of one total effect, by the delta method."""
    names, slopes = fit.model.names, np.zeros(fit.table.n_free)
    for row in fit.table.of("edge"):
        if row.free and not row.lag:
            slopes[row.free - 1] += total[at[0], names.index(row.right)] * total[names.index(row.left), at[1]]
    return float(np.sqrt(max(float(slopes @ fit.vcov @ slopes), 0.0)))
