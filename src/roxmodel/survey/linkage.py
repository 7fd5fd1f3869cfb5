"""Who met whom, whether unit means may be used, and whether the items of a construct hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import listed
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitMeans, mean_noise
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.suspect import direction_of, effective_answers
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Agreement", "agreement", "equation_units", "linkage_table", "quality_table", "unmatched_table"]


COLUMNS = (
    "construct", "source", "items", "respondents", "units", "matched", "lost", "answers_min",
    "answers_median", "answers_max", "missing", "icc1", "icc2", "rwg", "note", "response",
)  # fmt: skip
_ROUNDING = 1e-12  # variance of the item mean, as a share of the items' own, that is nothing but rounding


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether the people of a unit agree, and whether units differ."""

    icc1: float  # ICC(1): share of the variance of one answer that lies between units (one-way ANOVA; can be negative)
    icc2: float  # ICC(2): reliability of the unit means at the sizes at hand (below 0 if units differ less than chance)
    rwg: float  # against a uniform null, mean over units with two answers to every item; NaN without ends of the scale
    note: str  # why a number is missing, and which units are left out


def agreement(moments: SourceMoments, construct: Construct) -> Agreement:
    """ICC(1), ICC(2) and rwg(j) of a construct's item mean.

    ICC(1) = (MSB - MSW) / (MSB + (k0 - 1) MSW) and ICC(2) = (MSB - MSW) / MSB with the one-way ANOVA's mean squares and
    k0 = (N - Σn²/N) / (G - 1), the unit size where all are equal (Bliese 2000, in Klein & Kozlowski (eds.), Multilevel
    theory, research, and methods, 349-381). Where answers are missing or weighted, n is the number of complete answers
    that would make the unit mean as precise as it is. Units that left an item out altogether do not enter: their item
    mean means something else. rwg(j) = J(1 - s²/σ²) / (J(1 - s²/σ²) + s²/σ²) with J items, s²/σ² the mean over items of
    the within-unit variance divided by that of a uniform answer on the scale; below 0 it counts as 0 (James, Demaree &
    Wolf 1984, doi 10.1037/0021-9010.69.1.85).
    """
    own = moments.select(construct.item_names)
    rwg, rwg_note = _rwg(own, construct)
    whole = np.asarray((own.counts > 0).all(axis=1))
    within = own.within_covariance
    if whole.sum() < 2:
        why = "fewer than two units answered every item: nothing to compare between units"
        return Agreement(np.nan, np.nan, rwg, _joined(why, rwg_note))
    if np.isnan(within).any():
        return Agreement(np.nan, np.nan, rwg, _joined(_why_unknown(own), rwg_note))
    answers = _answers(own, whole, within)
    rounding = _ROUNDING * float(np.diagonal(within).mean())
    icc1, icc2, why = _icc(own.mean[whole].mean(axis=1), answers, float(within.mean()), rounding)
    left_out = int((own.counts > 0).any(axis=1).sum() - whole.sum())
    skipped = f"{left_out} unit(s) that left an item out do not enter the ICCs" if left_out else ""
    return Agreement(icc1, icc2, rwg, _joined(why, skipped, rwg_note))


def _joined(*notes: str) -> str:
    """Join what there is to say."""
    return "; ".join(note for note in notes if note)


def _answers(own: SourceMoments, whole: BoolArray, within: FloatArray) -> FloatArray:
    """Complete answers that would make the mean of the item means as precise as it is, for the units `whole`, (G,).

    `within`: (p, p) covariance of answers. People of one team who answer alike say less than so many others.
    """
    weight, weight2 = own.weight[whole], own.weight2[whole]
    each = np.diagonal(weight, axis1=1, axis2=2)
    share = weight2 / (each[:, :, None] * each[:, None, :])
    noise = (share * within).mean(axis=(1, 2))
    if own.teams is not None:
        noise = mean_noise(replace(own, eligible=None), within)[whole].mean(axis=(1, 2))
    if within.mean() > 0 and (noise > 0).all():
        return np.asarray(within.mean() / noise)
    return np.asarray(1.0 / np.diagonal(share, axis1=1, axis2=2).mean(axis=1))  # all agree: nothing is noise


def _icc(means: FloatArray, n: FloatArray, msw: float, rounding: float) -> tuple[float, float, str]:
    """ICC(1), ICC(2) and why one is missing; mean squares up to `rounding` are 0."""
    total, groups = float(n.sum()), len(n)
    grand = float((n * means).sum() / total)
    msb = float((n * (means - grand) ** 2).sum() / (groups - 1))
    k0 = (total - float((n**2).sum()) / total) / (groups - 1)
    msb, msw = (0.0 if abs(square) <= rounding else square for square in (msb, msw))
    if msw < 0:
        return np.nan, np.nan, "too few people answered the same items: the variance within units is not known"
    if msb + (k0 - 1) * msw <= 0:
        return np.nan, np.nan, "the item mean does not vary"
    icc1 = (msb - msw) / (msb + (k0 - 1) * msw)
    if msb == 0:
        return icc1, np.nan, "units do not differ at all: ICC(2) is not defined"
    return icc1, (msb - msw) / msb, ""


def _why_unknown(own: SourceMoments) -> str:
    """Why the covariance within units is not known."""
    spare = np.maximum(own.n - 1, 0).sum(axis=0)
    if (np.diagonal(spare) == 0).any():
        return "one answer a unit: the variance within units is not known"
    if (spare == 0).any():
        return "no two people of a unit answered the same items: the covariance within units is not known"
    return "variances or covariances within units were not given"


def _rwg(moments: SourceMoments, construct: Construct) -> tuple[float, str]:
    nulls = [_null_variance(item) for item in construct.items]
    if np.isnan(nulls).any():
        return np.nan, "rwg needs a scale with two ends"
    variance = moments.item_variance / np.array(nulls)
    known = ~np.isnan(variance).any(axis=1)
    if not known.any():
        return np.nan, "rwg needs two answers of a unit to every item"
    share = variance[known].mean(axis=1)
    agreed = len(nulls) * np.clip(1 - share, 0, None)
    return float((agreed / (agreed + share)).mean()), ""


def _null_variance(item: Item) -> float:
    """Variance of an answer drawn uniformly from the scale; NaN without two ends."""
    low, high = item.ends
    if low is None or high is None or item.scale is None:
        return np.nan
    points = high - low + 1
    return float((points**2 - 1) / 12) if item.scale.integer else float((high - low) ** 2 / 12)


def linkage_table(
    model: RoxModel,
    moments: LinkedMoments,
    without_unit: Mapping[str, int],
    coerced: Mapping[str, int],
    assumed: Mapping[str, int],
) -> pd.DataFrame:
    """One row a construct; see `Study.linkage`."""
    import pandas as pd

    everyone, matched = len(moments.units), len(moments.matched)
    rows = []
    for construct in model.constructs:
        row = _linkage_row(construct, moments)
        notes = [str(row["note"]), *_losses(construct, without_unit, coerced)]
        if construct.source in assumed:
            notes.append(f"{assumed[construct.source]} people in every unit were assumed (n=)")
        rows.append({**row, "matched": matched, "lost": everyone - row["units"], "note": _joined(*notes)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _linkage_row(construct: Construct, moments: LinkedMoments) -> dict[str, Any]:
    head = {"construct": construct.name, "source": construct.source, "items": len(construct.items)}
    if construct.source == UNIT:
        names, means = moments.item_means()
        own = means[:, [names.index(item) for item in construct.item_names]]
        there = int((~np.isnan(own)).any(axis=1).sum())
        ones = dict.fromkeys(("answers_min", "answers_median", "answers_max"), 1.0)
        unknown = dict.fromkeys(("icc1", "icc2", "rwg", "response"), np.nan)
        missing, note = float(np.isnan(own).mean()), "the unit's own figure"
        return {**head, "respondents": there, "units": there, **ones, "missing": missing, **unknown, "note": note}
    source = moments.source(construct.source)
    counts = source.select(construct.item_names).counts
    answering = counts.max(axis=1)[counts.max(axis=1) > 0]
    people = float(source.respondents.sum())
    return {
        **head,
        "respondents": int(people),
        "units": len(answering),
        "answers_min": float(answering.min()),
        "answers_median": float(np.median(answering)),
        "answers_max": float(answering.max()),
        "missing": 1 - float(counts.sum()) / (people * len(construct.items)),
        **asdict(agreement(source, construct)),
        "response": _response(source),
    }


def _response(source: SourceMoments) -> float:
    """Share of the eligible people who answered, over the units whose number is known; NaN if none is."""
    if source.eligible is None:
        return np.nan
    known = ~np.isnan(source.eligible)
    asked = float(source.eligible[known].sum())
    return float(source.respondents[known].sum()) / asked if asked > 0 else np.nan


def _losses(construct: Construct, without_unit: Mapping[str, int], coerced: Mapping[str, int]) -> list[str]:
    notes = []
    if without_unit.get(construct.source, 0):
        notes.append(f"{without_unit[construct.source]} rows name no unit and are left out")
    outside = sum(coerced.get(item, 0) for item in construct.item_names)
    if outside:
        notes.append(f"{outside} answers outside the scale count as missing")
    return notes


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


def equation_units(model: RoxModel, means: UnitMeans) -> dict[str, int]:
    """Units with something of an effect and of all of its causes, by effect."""
    seen = ~np.isnan(means.values)
    own = {c.name: seen[:, [means.items.index(item) for item in c.item_names]].any(axis=1) for c in model.constructs}
    return {
        name: int(np.logical_and.reduce([own[name], *(own[cause] for cause in model.causes(name))]).sum())
        for name in model.names
    }


QUALITY_COLUMNS = (
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
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS))


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

    Minimised over the unique variances ψ, for which the loading is known: with the largest eigenvalue e and its vector
    v of ψ^-½ R ψ^-½ it is √(e - 1) ψ^½ v. Jöreskog (1967), doi:10.1007/BF02289658. Lawley & Maxwell (1971), Factor
    analysis as a statistical method.
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
