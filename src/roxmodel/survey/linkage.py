"""Who met whom: respondents, units, answers per unit, and whether unit means may be used at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.moments import LinkedMoments, SourceMoments
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.composites import item_mean
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Agreement", "agreement", "linkage_table", "unmatched_table"]

COLUMNS = (
    "construct", "source", "items", "respondents", "units", "matched", "lost", "answers_min", "answers_median",
    "answers_max", "missing", "icc1", "icc2", "rwg", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the people of a unit agree, and whether units differ.

    Attributes
    ----------
    icc1
        ICC(1): share of the variance of one answer that lies between units (one-way ANOVA; can be negative).
    icc2
        ICC(2): reliability of the unit means at the sizes at hand.
    rwg
        rwg(j) against a uniform null, mean over units with at least two answers; NaN without a scale with ends.
    note
        Why a number is missing.
    """

    icc1: float
    icc2: float
    rwg: float
    note: str


def agreement(moments: SourceMoments, construct: Construct) -> Agreement:
    """ICC(1), ICC(2) and rwg(j) of a construct's item mean.

    ICC(1) = (MSB - MSW) / (MSB + (k0 - 1) MSW) and ICC(2) = (MSB - MSW) / MSB with the one-way ANOVA's mean
    squares and k0 = (N - Σn²/N) / (G - 1), which is the unit size where all are equal. rwg(j) =
    J(1 - s²/σ²) / (J(1 - s²/σ²) + s²/σ²) with J items, s² the mean within-unit item variance and σ² the variance
    of a uniform answer on the scale; below 0 it counts as 0.

    Parameters
    ----------
    moments
        Of the construct's source.
    construct
        Which items.

    References
    ----------
    Bliese (2000), in Klein & Kozlowski (eds.), Multilevel theory, research, and methods, 349-381.
    James, Demaree & Wolf (1984), doi 10.1037/0021-9010.69.1.85.
    """
    own = moments.select(construct.item_names)
    rwg, rwg_note = _rwg(own, construct)
    means, _ = item_mean(own.mean)
    n = own.counts.mean(axis=1)
    there = ~np.isnan(means) & (n > 0)
    within = own.within_covariance
    if there.sum() < 2:
        return Agreement(np.nan, np.nan, rwg, "one unit: nothing between units")
    if np.isnan(within).any():
        why = "one answer a unit: within-unit variance not known" if own.within_df.max() == 0 else (
            "within-unit variances were not given"
        )
        return Agreement(np.nan, np.nan, rwg, _joined(why, rwg_note))
    icc1, icc2 = _icc(means[there], n[there], float(within.mean()))
    return Agreement(icc1, icc2, rwg, rwg_note)


def _icc(means: FloatArray, n: FloatArray, msw: float) -> tuple[float, float]:
    total, groups = float(n.sum()), len(n)
    grand = float((n * means).sum() / total)
    msb = float((n * (means - grand) ** 2).sum() / (groups - 1))
    k0 = (total - float((n**2).sum()) / total) / (groups - 1)
    if msb == 0:
        return 0.0, 0.0
    return (msb - msw) / (msb + (k0 - 1) * msw), (msb - msw) / msb


def _rwg(moments: SourceMoments, construct: Construct) -> tuple[float, str]:
    nulls = [_null_variance(item.scale) for item in construct.items]
    if any(null is None for null in nulls):
        return np.nan, "rwg needs a scale with two ends"
    variance = moments.item_variance / np.array([float(null or 1.0) for null in nulls])
    known = ~np.isnan(variance).any(axis=1)
    if not known.any():
        return np.nan, ""
    share = variance[known].mean(axis=1)
    agreed = len(nulls) * np.clip(1 - share, 0, None)
    return float((agreed / (agreed + share)).mean()), ""


def _null_variance(scale: object) -> float | None:
    """Variance of an answer drawn uniformly from the scale."""
    low, high = getattr(scale, "ends", (None, None))
    if low is None or high is None:
        return None
    points = high - low + 1
    integer = bool(getattr(scale, "integer", False))
    return float((points**2 - 1) / 12) if integer else float((high - low) ** 2 / 12)


def linkage_table(
    model: RoxModel, moments: LinkedMoments, without_unit: Mapping[str, int], coerced: Mapping[str, int]
) -> pd.DataFrame:
    """One row a construct; see `Study.linkage`."""
    import pandas as pd

    everyone = set(moments.units)
    matched = len(moments.matched)
    rows = []
    for construct in model.constructs:
        if construct.source == UNIT:
            row = _unit_row(construct, moments, len(everyone))
        else:
            row = _source_row(construct, moments.source(construct.source), len(everyone))
        notes = [str(row["note"]), *_losses(construct, without_unit, coerced)]
        rows.append({**row, "matched": matched, "note": _joined(*notes)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _source_row(construct: Construct, source: SourceMoments, everyone: int) -> dict[str, object]:
    own = source.select(construct.item_names)
    counts = own.counts.max(axis=1)
    answering = counts[counts > 0]
    asked = float(source.respondents.sum()) * len(construct.items)
    agreed = agreement(source, construct)
    return {
        "construct": construct.name,
        "source": construct.source,
        "items": len(construct.items),
        "respondents": int(source.respondents.sum()),
        "units": len(answering),
        "lost": everyone - len(answering),
        "answers_min": float(answering.min()),
        "answers_median": float(np.median(answering)),
        "answers_max": float(answering.max()),
        "missing": 1 - float(own.counts.sum()) / asked,
        "icc1": agreed.icc1,
        "icc2": agreed.icc2,
        "rwg": agreed.rwg,
        "note": agreed.note,
    }


def _unit_row(construct: Construct, moments: LinkedMoments, everyone: int) -> dict[str, object]:
    names, means = moments.item_means()
    own = means[:, [names.index(item) for item in construct.item_names]]
    there = int((~np.isnan(own)).any(axis=1).sum())
    return {
        "construct": construct.name,
        "source": construct.source,
        "items": len(construct.items),
        "respondents": there,
        "units": there,
        "lost": everyone - there,
        "answers_min": 1.0,
        "answers_median": 1.0,
        "answers_max": 1.0,
        "missing": float(np.isnan(own).mean()),
        "icc1": np.nan,
        "icc2": np.nan,
        "rwg": np.nan,
        "note": "the unit's own figure",
    }


def _losses(construct: Construct, without_unit: Mapping[str, int], coerced: Mapping[str, int]) -> list[str]:
    notes = []
    if without_unit.get(construct.source, 0):
        notes.append(f"{without_unit[construct.source]} rows name no unit and are left out")
    outside = sum(coerced.get(item, 0) for item in construct.item_names)
    if outside:
        notes.append(f"{outside} answers outside the scale count as missing")
    return notes


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def unmatched_table(by: str, moments: LinkedMoments, sources: Sequence[str]) -> pd.DataFrame:
    """Units that some source lacks; see `Study.unmatched`."""
    import pandas as pd

    present: dict[str, set[object]] = {}
    for source in sources:
        if source == UNIT:
            present[source] = set(moments.figures.units) if moments.figures is not None else set()
        else:
            own = moments.source(source)
            present[source] = {u for u, n in zip(own.units, own.respondents, strict=True) if n > 0}
    rows = [
        (unit, ", ".join(source for source in sources if unit not in present[source]))
        for unit in moments.units
        if any(unit not in present[source] for source in sources)
    ]
    return pd.DataFrame(rows, columns=[by, "missing_from"])
