"""Do the items of a construct hang together: alpha, omega, composite reliability, AVE, HTMT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import listed
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.source import SourceMoments
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.wording import direction_of, effective_answers
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["quality_table"]

COLUMNS = (
    "construct", "source", "items", "alpha", "omega", "composite_reliability", "ave", "htmt", "htmt_with", "note",
)  # fmt: skip

_SINGULAR = 1e-8  # smallest eigenvalue of a correlation matrix that one factor may be fitted to
_NOTHING = 1e-6  # a mean correlation below is rounding: nothing to compare with
_HEYWOOD = 0.005  # smallest unique variance taken for a solution; below, the item is the factor


def quality_table(model: RoxModel, moments: LinkedMoments) -> pd.DataFrame:
    """One row a construct; see `Study.quality`."""
    import pandas as pd

    covariances = {source.source: (source, source.total_covariance) for source in moments.sources}
    rows = []
    for construct in model.constructs:
        if construct.source == UNIT:
            rows.append(_row(construct, {}, "one figure a unit: no items to compare"))
            continue
        source, covariance = covariances[construct.source]
        others = [c for c in model.constructs if c.source == construct.source and c is not construct]
        rows.append(_measured_row(construct, source, covariance, others))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(construct: Construct, numbers: Mapping[str, float | str], note: str) -> dict[str, object]:
    head = {"construct": construct.name, "source": construct.source, "items": len(construct.items)}
    empty = dict.fromkeys(("alpha", "omega", "composite_reliability", "ave", "htmt"), np.nan)
    return {**head, **empty, "htmt_with": "", **numbers, "note": note}


def _measured_row(
    construct: Construct, source: SourceMoments, covariance: FloatArray, others: list[Construct]
) -> dict[str, object]:
    at = [source.items.index(item) for item in construct.item_names]
    own = covariance[np.ix_(at, at)]
    if len(at) == 1:
        return _row(construct, {}, "one item: its reliability cannot be seen in these data")
    if np.isnan(own).any():
        never = (source.select(construct.item_names).n.sum(axis=0) < 2).any()
        why = (
            "some items were never answered by the same two people"
            if never
            else ("the variances and covariances of single answers were not given")
        )
        return _row(construct, {}, why)
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    htmt, htmt_with = _htmt(at, others, source.items, correlation)
    numbers: dict[str, float | str] = {"alpha": _alpha(own), "htmt": htmt, "htmt_with": htmt_with}
    loadings = _one_factor(correlation[np.ix_(at, at)])
    note = ""
    if loadings is None:
        three = "omega and AVE need three items or more"
        note = three if len(at) < 3 else "omega and AVE: one common factor does not explain the items"
    else:
        numbers |= _from_loadings(loadings, sd[at])
    return _row(construct, numbers, _against(construct, own, source) or note)


def _against(construct: Construct, covariance: FloatArray, source: SourceMoments) -> str:
    """All items that run against the others: beyond chance, as the doubts say, or only in these answers."""
    people = effective_answers(source.select(construct.item_names), covariance)
    found, chance = direction_of(covariance, people, len(covariance)), ""
    if not found.against:
        found, chance = direction_of(covariance), ", though not beyond chance"
    if not found.against:
        return ""
    names = [construct.item_names[place] for place in found.against]
    if found.tie:
        return f"items {listed(names)} run against each other{chance}: should some be reverse=True?"
    one = len(names) == 1
    return (
        f"item{'' if one else 's'} {listed(names)} run{'s' if one else ''} against the others{chance}: should "
        f"{'it' if one else 'they'} be reverse=True?"
    )


def _alpha(covariance: FloatArray) -> float:
    """Cronbach (1951), doi 10.1007/BF02310555; NaN if the sum of the items does not vary."""
    k, total, own = len(covariance), float(covariance.sum()), float(np.trace(covariance))
    return k / (k - 1) * (1 - own / total) if total > _NOTHING * own else np.nan


def _one_factor(correlation: FloatArray) -> FloatArray | None:
    """Loadings (p,) of one common factor by maximum likelihood; None where there is no admissible solution.

    Minimised over the unique variances ψ, for which the loading is known: with the largest eigenvalue e and
    its vector v of ψ^-½ R ψ^-½ it is √(e - 1) ψ^½ v.

    References
    ----------
    Jöreskog (1967), doi:10.1007/BF02289658. Lawley & Maxwell (1971), Factor analysis as a statistical method.
    """
    p = len(correlation)
    if p < 3 or np.linalg.eigvalsh(correlation)[0] < _SINGULAR:
        return None
    from scipy.optimize import minimize

    start = np.clip(0.5 / np.diagonal(np.linalg.inv(correlation)), 2 * _HEYWOOD, 0.95)
    bounds = [(_HEYWOOD, 1.0)] * p
    found = minimize(
        _discrepancy, start, args=(correlation,), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )  # fmt: skip
    if not np.isfinite(found.fun) or (found.x <= _HEYWOOD).any():
        return None
    _, loadings = _best(np.asarray(found.x, dtype=np.float64), correlation)
    return loadings * (np.sign(loadings.sum()) or 1.0)


def _discrepancy(psi: FloatArray, correlation: FloatArray) -> tuple[float, FloatArray]:
    """Likelihood discrepancy of the best loadings for these unique variances, and its slope (p,)."""
    values, loadings = _best(psi, correlation)
    slope = (loadings**2 + psi - np.diagonal(correlation)) / psi**2
    return float((values[:-1] - np.log(values[:-1]) - 1.0).sum()), slope


def _best(psi: FloatArray, correlation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (p,) of ψ^-½ R ψ^-½, rising, and the best loadings (p,)."""
    root = np.sqrt(psi)
    values, vectors = np.linalg.eigh(correlation / np.outer(root, root))
    return values, root * vectors[:, -1] * np.sqrt(max(values[-1] - 1.0, 0.0))


def _from_loadings(loadings: FloatArray, sd: FloatArray) -> dict[str, float]:
    """Omega of the item sum, composite reliability of the standardised sum, average variance extracted.

    McDonald (1999), Test theory; Fornell & Larcker (1981), doi 10.1177/002224378101800104.
    """
    common, unique = (loadings * sd).sum() ** 2, ((1 - loadings**2) * sd**2).sum()
    standard = loadings.sum() ** 2
    return {
        "omega": float(common / (common + unique)),
        "composite_reliability": float(standard / (standard + (1 - loadings**2).sum())),
        "ave": float((loadings**2).mean()),
    }


def _htmt(at: list[int], others: list[Construct], items: tuple[str, ...], correlation: FloatArray) -> tuple[float, str]:
    """Largest heterotrait-monotrait ratio with another construct of the same source.

    Henseler, Ringle & Sarstedt (2015), doi 10.1007/s11747-014-0403-8, with absolute correlations.
    """
    found: list[tuple[float, str]] = []
    for other in others:
        to = [items.index(item) for item in other.item_names]
        if len(to) > 1:
            one, two = _mono(correlation, at), _mono(correlation, to)
            hetero = float(np.abs(correlation[np.ix_(at, to)]).mean())
            if np.isfinite([one, two, hetero]).all() and min(one, two) > _NOTHING:
                found.append((hetero / float(np.sqrt(one * two)), other.name))
    return max(found, default=(np.nan, ""))


def _mono(correlation: FloatArray, at: list[int]) -> float:
    block = np.abs(correlation[np.ix_(at, at)])
    return float(block[np.triu_indices(len(at), 1)].mean())
