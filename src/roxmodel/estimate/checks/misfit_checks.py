"""How well the graph reproduces the covariances: arrows that it lacks, items that measure more than they should, all.

A chi-square spreads over all degrees of freedom what one missing arrow adds to one of them; a test of that arrow alone
sees it with far fewer units. A rejection alone is no misfit of weight: it also takes a change that matters. Saris,
Satorra & van der Veld (2009), doi 10.1080/10705510903203433.
"""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import numpy as np
from scipy.special import chdtrc

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.candidates import Demand, chance, demands
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.numerals import plain
from roxmodel.result.fit import Fit
from roxmodel.result.indices import index_words
from roxmodel.spec.causal import within_wave
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter

__all__ = ["misfits", "missing_arrows", "swain_factor"]

_MATTERS = 0.2  # standardised loading, or correlation of what is left, from which it matters if any edge feels it
_MANY, _CHANCE = 250, 0.05  # rows below which chance alone breaks the rules of thumb, where this is the p of chi-square
_CLOSE = 0.05  # RMSEA up to which a fit is called close
_GROSS = 0.15  # RMSEA above which it is no comfort that notes name most of a misfit
_ARROW_MATTERS = 0.1  # standardised change from which an arrow matters whatever it does to the others


def missing_arrows(evidence: Evidence) -> Iterator[Doubt]:
    """Pairs of constructs without an arrow that the data join, and causes that share more with their effect."""
    if evidence.tested is not None and evidence.fit.model.edges:
        yield from (_arrow_told(evidence.fit, one) for one in demands(evidence.fit, evidence.tested) if one.structural)


def _arrow_told(fit: Fit, asked: Demand) -> Doubt:
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
            f"{row.right}{_correlation('a correlation', asked)} ({tested})."
        )
    verdict: DoubtVerdict = "doubtful" if abs(asked.standardized) > _ARROW_MATTERS or asked.moves.most > 1 else "note"
    remedy = (
        "Draw what is missing if it can be true (the arrow, something between the two, or a cause of both), fit again "
        "and compare the totals; while it is missing, totals along it are not known."
        if verdict == "doubtful"
        else "It is too small to move an effect by more than its error: no change is needed."
    )
    return Doubt(
        "missing_arrow", verdict, f"{what}{asked.moves.told}", (row.left, row.right), remedy, _concerned(fit, row)
    )


def _correlation(what: str, asked: Demand) -> str:
    """About how large it would be; nothing where the step to it ends beyond what a correlation can be."""
    return f": {what} of about {asked.standardized:.2f}" if abs(asked.standardized) < 1 else ""


def _concerned(fit: Fit, row: Parameter) -> tuple[str, ...]:
    """Edges on the way from the one to the other, and into the effect: what the missing arrow makes wrong."""
    graph = within_wave(fit.model.edges, fit.model.names)
    after, before = ({row.left} | nx.descendants(graph, row.left)), ({row.right} | nx.ancestors(graph, row.right))
    ends = {row.right} if row.kind == "edge" else {row.left, row.right}
    pairs = [(edge.cause, edge.effect) for edge in fit.model.edges if not edge.lag]
    found = [(a, b) for a, b in pairs if b in ends or (a in after and b in before)]
    return tuple(f"{a} -> {b}" for a, b in found)


# --- items, and all together


def misfits(evidence: Evidence) -> Iterator[Doubt]:
    """Items and pairs of items that the data ask more of, the chi-square of all, and the indices in words."""
    found = demands(evidence.fit, evidence.tested) if evidence.tested is not None else []
    told = [_told(evidence.model, one) for one in found if not one.structural]
    yield from told
    yield from _overall(evidence, found, any(one.serious for one in told) or any(one.structural for one in found))


def _told(model: RoxModel, asked: Demand) -> Doubt:
    """One loading or covariance of items: doubtful where it moves an effect by more than its error, else a note."""
    row, tested = asked.row, chance(asked.p, asked.count)
    where = f" in {row.group}" if row.group else ""
    if row.kind == "loading":
        what = (
            f"Item {row.right!r}{where} measures {_owner(model, row.right).name} but also follows {row.left}: a "
            f"standardised loading of about {asked.standardized:.2f} ({tested})."
        )
        culprits = (row.right, row.left)
        remedy = f"Leave {row.right!r} out or move it, fit again and see whether the edges stay."
    else:
        what = (
            f"Items {row.left!r} and {row.right!r}{where} have more in common than their constructs"
            f"{_correlation('a correlation of what is left', asked)} ({tested})."
        )
        culprits = (row.left, row.right)
        remedy = f"Look at how the two are worded; leave one out or allow '{row.left} <-> {row.right}', and fit again."
    matters = asked.moves.most > 1 or (abs(asked.standardized) > _MATTERS and asked.moves.edges)
    verdict: DoubtVerdict = "doubtful" if matters else "note"
    if asked.moves.most <= 1:
        what += " No effect moves by more than its error."
    return Doubt("misfit", verdict, f"{what}{asked.moves.told}", culprits, remedy, asked.moves.edges)


def _owner(model: RoxModel, item: str) -> Construct:
    return next(construct for construct in model.constructs if item in construct.item_names)


def swain_factor(p: int, df: float, n: float) -> float:
    """What a chi-square of p variables on few rows is multiplied by, so that a right model is not rejected too often.

    Swain (1975), Analysis of parametric structures for variance matrices, University of Adelaide; Deng, Yang &
    Marcoulides (2018), doi 10.3389/fpsyg.2018.00580.

    >>> round(swain_factor(17, 112, 50), 3)
    0.86
    """
    q = (np.sqrt(1 + 4 * p * (p + 1) - 8 * df) - 1) / 2
    return float(1 - (p * (2 * p**2 + 3 * p - 1) - q * (2 * q**2 + 3 * q - 1)) / (12 * df * (n - 1)))


def _overall(evidence: Evidence, named: list[Demand], known: bool) -> Iterator[Doubt]:
    """All degrees of freedom together, less what has been named; a note where a cause is known; the rules of thumb."""
    found, fit = evidence.fit.index_values, evidence.fit
    scaled = "_scaled" if "chisq_scaled" in found else ""
    chisq, df = found.get(f"chisq{scaled}", np.nan), found.get(f"df{scaled}", found.get("df", np.nan))
    if not (np.isfinite(chisq) and df > 0 and fit.traits.latent):  # noisy composites miss any graph
        return
    n, p, rmsea = found.get("n", np.nan), len(fit.model.items), found.get(f"rmsea{scaled}", np.nan)
    groups = max(len(fit.groups), 1)
    size = np.clip(swain_factor(p, df / groups, n / groups), 0.1, 1.0)
    less = sum(-n * np.log1p(-min(one.statistic / n, 0.999)) for one in named)  # as likelihood ratios
    gross = rmsea > _GROSS and not known and float(chdtrc(df, chisq * size)) < LEVELS["misfit"] / 2
    if gross:  # single steps do not tell what such a misfit does to an effect, and do not add up
        named, less = [], 0.0
    tested = float(chdtrc(max(df - len(named), 1), max(chisq * size - less, 0.0)))
    known = known or less > chisq / 2
    if tested < LEVELS["misfit"] / 2 and rmsea > _CLOSE:
        more = ", by more than what is named" if named else ""
        finding = (
            f"The graph does not reproduce the covariances{more}: chi-square {chisq:.0f} on {df:.0f} degrees of "
            f"freedom ({chance(tested, 1)}, corrected for few rows), RMSEA {rmsea:.3f}."
        )
        remedy = (
            "Mend what is named first; chi-square may be well after that."
            if known
            else "Look at fit.modification_indices() and fit.residuals() for where, and think again about the graph."
        )
        yield Doubt("misfit", "note" if known else "doubtful", finding, (), remedy)
    good, words = index_words(found)
    if words:
        good = good or (n < _MANY and tested > _CHANCE)
        remedy = "" if good else "Rules of thumb, no test: look at fit.residuals() and fit.modification_indices()."
        yield Doubt("misfit", "ok" if good else "note", words, (), remedy)
