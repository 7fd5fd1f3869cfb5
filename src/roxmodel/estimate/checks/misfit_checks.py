"""How well the graph reproduces the covariances: items that do not measure what they should, chi-square, indices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import chdtrc

from roxmodel.doubts import Doubt, DoubtVerdict
from roxmodel.estimate.checks.asked_for import Demand, chance, demands
from roxmodel.estimate.checks.evidence import LEVELS, Evidence
from roxmodel.result.indices import index_words
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel

__all__ = ["misfits", "swain_factor"]

_MATTERS = 0.2  # standardised loading, or correlation of what is left, from which it matters if any edge feels it
_CLOSE = 0.05  # RMSEA up to which a fit is called close


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
            f"Items {row.left!r} and {row.right!r}{where} have more in common than their constructs: a correlation of "
            f"what is left of about {asked.standardized:.2f} ({tested})."
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
        remedy = "" if good else "Rules of thumb, no test: look at fit.residuals() and fit.modification_indices()."
        yield Doubt("misfit", "ok" if good else "note", words, (), remedy)
