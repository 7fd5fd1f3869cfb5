"""Do the items of a construct hang together: alpha, omega, composite reliability, AVE, HTMT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.moments import LinkedMoments, SourceMoments
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["quality_table", "total_covariance"]


def total_covariance(moments: SourceMoments) -> FloatArray:
    """Covariance of single answers over all respondents, (p, p): within units plus between unit means.

    Pairs of items use the respondents who answered both (divisor n - 1).
    """
    n = moments.n
    pairs = n.sum(axis=0)
    mean = np.where(n > 0, moments.pair_mean, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        grand = (n * mean).sum(axis=0) / pairs
        between = (n * (mean - grand) * (mean.transpose(0, 2, 1) - grand.T)).sum(axis=0)
        within = np.where(n > 0, moments.scatter, 0.0).sum(axis=0)
        return np.asarray((within + between) / (pairs - 1))


def quality_table(model: RoxModel, moments: LinkedMoments) -> pd.DataFrame:
    """One row a construct; see `Study.quality`."""
    import pandas as pd

    rows = []
    for construct in model.constructs:
        if construct.source == UNIT:
            rows.append(_row(construct, None, "one figure a unit: no items to compare"))
            continue
        source = moments.source(construct.source)
        covariance = total_covariance(source)
        others = [c for c in model.constructs if c.source == construct.source and c is not construct]
        rows.append(_measured_row(construct, source.items, covariance, others))
    return pd.DataFrame(rows)


def _row(construct: Construct, numbers: dict[str, object] | None, note: str) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(("alpha", "omega", "composite_reliability", "ave", "htmt"), np.nan)
    shown = {**empty, **(numbers or {})}
    head = {"construct": construct.name, "source": construct.source, "items": len(construct.items)}
    with_ = str(shown.pop("htmt_with", ""))
    return {**head, **shown, "htmt_with": with_, "note": note}


def _measured_row(
    construct: Construct, items: tuple[str, ...], covariance: FloatArray, others: list[Construct]
) -> dict[str, object]:
    at = [items.index(item) for item in construct.item_names]
    own = covariance[np.ix_(at, at)]
    if np.isnan(own).any():
        return _row(construct, None, "the variances of single answers were not given")
    if len(at) == 1:
        return _row(construct, None, "one item: its reliability cannot be seen in these data")
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    htmt, with_ = _htmt(at, others, items, correlation)
    loadings = _one_factor(correlation[np.ix_(at, at)])
    numbers: dict[str, object] = {"alpha": _alpha(own), "htmt": htmt, "htmt_with": with_}
    note = ""
    if loadings is None:
        note = "omega and AVE need three items or more" if len(at) < 3 else "no admissible one-factor solution"
    else:
        numbers |= _from_loadings(loadings, np.sqrt(np.diag(own)))
    negative = [construct.item_names[i] for i in np.flatnonzero((own.sum(axis=1) - np.diag(own)) < 0)]
    if negative:
        note = f"item {negative[0]!r} runs against the others: should it be reverse=True?"
    return _row(construct, numbers, note)


def _alpha(covariance: FloatArray) -> float:
    """Cronbach (1951), doi 10.1007/BF02310555."""
    k = len(covariance)
    return float(k / (k - 1) * (1 - np.trace(covariance) / covariance.sum()))


def _one_factor(correlation: FloatArray) -> FloatArray | None:
    """Loadings of one common factor by maximum likelihood (statsmodels); None if not admissible."""
    if len(correlation) < 3:
        return None
    import warnings

    from statsmodels.multivariate.factor import Factor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Factor(corr=correlation, n_factor=1, method="ml").fit()
        except (ValueError, np.linalg.LinAlgError):
            return None
    loadings: FloatArray = np.asarray(found.loadings, dtype=np.float64)[:, 0]
    loadings = loadings * np.sign(loadings.sum())
    if not np.isfinite(loadings).all() or np.abs(loadings).max() >= 1:
        return None
    return loadings


def _from_loadings(loadings: FloatArray, sd: FloatArray) -> dict[str, object]:
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


def _htmt(
    at: list[int], others: list[Construct], items: tuple[str, ...], correlation: FloatArray
) -> tuple[float, str]:
    """Largest heterotrait-monotrait ratio with another construct of the same source.

    Henseler, Ringle & Sarstedt (2015), doi 10.1007/s11747-014-0403-8.
    """
    found: list[tuple[float, str]] = []
    for other in others:
        to = [items.index(item) for item in other.item_names]
        if len(to) < 2:
            continue
        hetero = np.abs(correlation[np.ix_(at, to)]).mean()
        found.append((float(hetero / np.sqrt(_mono(correlation, at) * _mono(correlation, to))), other.name))
    return max(found, default=(float("nan"), ""))


def _mono(correlation: FloatArray, at: list[int]) -> float:
    block = np.abs(correlation[np.ix_(at, at)])
    return float(block[np.triu_indices(len(at), 1)].mean())
