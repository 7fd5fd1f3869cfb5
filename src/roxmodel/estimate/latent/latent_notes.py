"""The small print of a latent fit: how errors were computed, what was assumed, whether it can be believed.

The small print of a linked fit: its level, what was assumed, and how far the answer moves if that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import RoxError, listed
from roxmodel.estimate.latent.inference import kish
from roxmodel.estimate.latent.row_sample import covariates_of
from roxmodel.estimate.latent.sample import Estimate, LinkedSample, noise_of
from roxmodel.estimate.latent.solve import estimate
from roxmodel.estimate.sentences import (
    BESIDE,
    assumed_notes,
    causal_notes,
    never_met_notes,
    replicate_notes,
    sign_notes,
    unit_notes,
)
from roxmodel.implied.identification import name_parameters, together_of
from roxmodel.implied.layout import DISTURBANCES, EDGES, RESIDUALS, Layout
from roxmodel.implied.matrices import Implied, filled
from roxmodel.records import Fault, Verdict
from roxmodel.result.system import stability_index, system_of, total_effects
from roxmodel.spec.causal import headline
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Binary, Count
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.estimate.latent.latent_fit import LinkedSolution
    from roxmodel.estimate.latent.row_options import Options
    from roxmodel.estimate.latent.sample import LatentSolution
    from roxmodel.estimate.latent.unit_options import LinkedOptions

__all__ = ["error_words", "linked_errors", "linked_notes", "notes_of", "verdicts_of"]


_RIDGE = 1e5  # condition of the information from which estimates move far for little


_ALIKE = 0.95  # correlation of two constructs from which they can hardly be told apart


_SAME = 0.995  # from which they cannot


_FEW, _ROUGH = 5, 30  # clusters from which a t interval means something; from which it is good


_UNEQUAL = 0.6  # share of the rows that Kish's effective n is, below which sandwich intervals cover too little


_LARGE = 1_000  # rows from which they cover about what they should even so


_INFLATED = 20.0  # variance inflation from which a cause is nearly determined by the others


def error_words(solution: LatentSolution, options: Options) -> str:
    """How standard errors and intervals were computed."""
    found = solution.resampling
    if found is not None:
        whom = options.cluster or "row"
        failed = f", {found.failed} failed and left out" if found.failed else ""
        return f"bootstrap by {whom}, {len(found.replicates)} replicates{failed}, percentile intervals"
    if options.cluster is not None:
        return f"sandwich, clustered by {options.cluster}, t intervals (clusters - 1)"
    if options.estimator == "MLM":
        return "robust (Satorra-Bentler), expected information"
    if options.estimator in {"DWLS", "WLSMV"}:
        return "robust, of diagonally weighted least squares"
    observed = "observed" if _observed(solution, options) else "expected"
    if options.estimator == "MLR" or options.se == "robust" or options.weight is not None:
        how = f"sandwich (Huber-White), {observed} information"
        return how if options.weight is None else f"{how}, t intervals (Kish's effective n - 1)"
    return f"normal theory, {observed} information"


def _observed(solution: LatentSolution, options: Options) -> bool:
    if options.information is not None:
        return options.information == "observed"
    robust = options.estimator == "MLR" or options.se == "robust" or options.weight is not None
    return robust or not solution.sample.complete


def notes_of(model: RoxModel, solution: LatentSolution, options: Options) -> tuple[str, ...]:
    """What a reader must know, in sentences."""
    notes = causal_notes(model)
    notes += solution.sample.notes
    if not solution.sample.complete:
        notes.append(
            "Missing answers: full information maximum likelihood, which assumes that what is missing depends on "
            "what was observed only (missing at random)."
        )
        apart = never_met_notes(
            solution.sample.items, [group.together for group in solution.sample.groups], "people answered"
        )
        notes += apart
        if "chisq" not in solution.indices:
            notes.append(
                "No chi-square: some items were seen together by so few that moments without structure have no "
                "estimate. Residuals are those of the available pairs."
            )
        elif solution.indices["df"] > 0 and "cfi_robust" not in solution.indices:
            why = "where items never met" if apart else "beyond 50 items"
            notes.append(f"CFI, TLI and RMSEA corrected for missing answers are left out {why}.")
    table = solution.table
    notes += assumed_notes(table)
    notes += unit_notes(model, table, options.scaling)
    held = [row for row in table if row.free and solution.found.bound[row.free - 1]]
    if held:
        notes.append(f"Held at the bound 0, without a standard error: {name_parameters(held)}." + BESIDE)
    if solution.bread.negative:
        notes.append("The observed information is not positive definite; errors rest on the expected one.")
    notes += sign_notes(model, table, solution.found.theta)
    notes += _scales(model, options)
    if solution.sample.n < 5 * table.n_free:
        notes.append(
            f"Few rows: {solution.sample.n:g} for {table.n_free} free parameters; errors and tests are those of large "
            "samples and as a rule too optimistic here."
        )
    if model.feedback:
        notes.append("Effects through the loop are those of the equilibrium that it settles in.")
    notes += replicate_notes(solution.resampling)
    few = [group.name for group in solution.sample.groups if group.name and group.people < MIN_GROUP]
    if few:
        notes.append(
            f"Fewer than {MIN_GROUP} people in {listed(few)}: what is said of so few tells their answers; do not show "
            "it, and fit.save() refuses it."
        )
    notes += _clustered(solution) if options.cluster is not None else []
    notes += _weighted(solution) if options.weight is not None else []
    return tuple(notes)


def _clustered(solution: LatentSolution) -> list[str]:
    """How few clusters the errors rest on: those of the group that has fewest."""
    few = min(len(np.unique(g.clusters)) for g in solution.sample.groups if g.clusters is not None)
    if few < _FEW:
        return [f"Only {few} clusters: intervals by t({few - 1}) stand on next to nothing; take them as unknown."]
    if few < _ROUGH:
        return [f"Only {few} clusters: intervals by t({few - 1}); errors that rest on so few are rough."]
    return []


def _weighted(solution: LatentSolution) -> list[str]:
    """By how many rows the weights leave as much as without them."""
    own = [(kish(g.weights), len(g.weights)) for g in solution.sample.groups if g.sampling and g.weights is not None]
    size, rows = min(own)
    note = f"Sampling weights: {rows} rows say as much as {size:.0f} of equal weight (Kish's effective n)"
    if size < _ROUGH or (size < _UNEQUAL * rows and rows < _LARGE):
        return [f"{note}; 95 % intervals under weights so unequal covered 82-91 % in simulations of 100 to 500 rows."]
    return [f"{note}."]


def _scales(model: RoxModel, options: Options) -> list[str]:
    """Answers that are no measurements but are taken as such."""
    if options.estimator in {"DWLS", "WLSMV"}:
        return []
    given = covariates_of(model)  # nothing is assumed of how these are distributed
    found = [i.name for i in model.items if isinstance(i.scale, Binary | Count) and i.name not in given]
    if not found:
        return []
    names = ", ".join(found)
    note = f"Yes/no answers and counts are taken as numbers with linear equations: {names}; estimator='DWLS' (yes/no) "
    return [note + "or method='path' (logit, Poisson) respect their scale."]


def verdicts_of(model: RoxModel, solution: LatentSolution, at: Mapping[str, Implied]) -> dict[str, Verdict]:
    """Converged, identified, admissible, each with its reason and the next step."""
    return {
        "converged": _converged(solution),
        "identified": _identified(solution),
        "admissible": _admissible(model, solution, at),
    }


def _converged(solution: LatentSolution) -> Verdict:
    found = solution.found
    if found.converged:
        return Verdict(True, f"the gradient vanishes after {found.steps} step{'' if found.steps == 1 else 's'}")
    words = (
        f"no optimum was found in {found.steps} steps; simplify the model, give start= values, or look for constructs "
        "that cannot be told apart"
    )
    return Verdict.of([Fault("steps", words)], "")


def _identified(solution: LatentSolution) -> Verdict:
    flat = solution.bread.flat
    if flat is None:
        return Verdict(True, f"the information has full rank (condition {solution.bread.condition:.3g})")
    part = np.abs(flat) > 0.1 * np.abs(flat).max()
    rows = [row for row in solution.table if row.free and part[row.free - 1]]
    words = f"these data cannot tell apart {name_parameters(rows)}; fix one of them or merge their constructs"
    return Verdict.of([Fault("flat", words, tuple(row.id for row in rows))], "")


def _admissible(model: RoxModel, solution: LatentSolution, at: Mapping[str, Implied]) -> Verdict:
    held = [row for row in solution.table if row.free and solution.found.bound[row.free - 1]]
    faults: list[Fault] = []
    if held:
        words = (
            f"{name_parameters(held)} stopped at its bound 0 (a Heywood case): the items or causes explain more than "
            "there is; check for too few items, too small a sample, or a wrong model"
        )
        faults.append(Fault("bound", words, tuple(row.id for row in held)))
    for group, layout in zip(solution.sample.groups, solution.layouts, strict=True):
        where = f" in group {group.name!r}" if group.name else ""
        for which, what in ((DISTURBANCES, "constructs (of what causes leave)"), (RESIDUALS, "item residuals")):
            wrong = _impossible(filled(layout, solution.found.theta, which), (layout, which), what + where)
            faults += (Fault("impossible", words) for words in wrong)
        faults += (Fault("inseparable", words) for words in _inseparable(model, at[group.name], where, _SAME))
        largest = float(stability_index(filled(layout, solution.found.theta, EDGES)[None])[0]) if model.loops() else 0.0
        if largest >= 1:
            words = (
                f"the feedback loop{where} has no equilibrium (largest eigenvalue {largest:.3g} in modulus, not below "
                "1): a push around it grows for ever; an edge of it is wrong, or an instrument is weak"
            )
            faults.append(Fault("loop", words))
    if solution.bread.condition > _RIDGE:
        faults.append(Fault("ridge", _ridge(model, solution, at)))
    heed = (
        []
        if faults
        else [
            text
            for group in solution.sample.groups
            for text in _inseparable(model, at[group.name], f" in group {group.name!r}" if group.name else "", _ALIKE)
        ]
    )
    return Verdict.of(faults, "; ".join(["every variance is positive and no two constructs coincide", *heed]))


def _ridge(model: RoxModel, solution: LatentSolution, at: Mapping[str, Implied]) -> str:
    """Along which constructs the optimum is flat, and what to do."""
    condition = f"condition number {solution.bread.condition:.2g}"
    text = f"the optimum lies on a ridge ({condition}): edges can move far for little"
    alike = [words for group in solution.sample.groups for words in _tangled(model, at[group.name])]
    if not alike:
        return text + "; fix or leave out an edge, or add items"
    return (
        f"{text}. {'; '.join(dict.fromkeys(alike))}; merge these constructs, leave out edges, or measure what differs"
    )


def _tangled(model: RoxModel, at: Implied) -> list[str]:
    """Effects whose causes are nearly determined by each other (variance inflation)."""
    place, found = {name: i for i, name in enumerate(model.names)}, []
    for effect in model.endogenous:
        causes = [name for name in model.causes(effect) if at.latent[place[name], place[name]] > 0]
        own = at.latent[np.ix_([place[c] for c in causes], [place[c] for c in causes])]
        spread = np.sqrt(np.diag(own))
        correlation = own / np.outer(spread, spread)
        inflation = np.diag(np.linalg.pinv(correlation, hermitian=True))
        worst = [name for name, value in zip(causes, inflation, strict=True) if value > _INFLATED]
        if len(worst) > 1:
            found.append(
                f"{', '.join(worst)} can not be told apart as causes of {effect} (variance inflation up to "
                f"{inflation.max():.0f})"
            )
    return found


def _impossible(matrix: FloatArray, where: tuple[Layout, int], what: str) -> list[str]:
    """Covariances that no answers can have together, with the largest correlation among them."""
    if _lowest(matrix) >= -1e-8:
        return []
    layout, which = where
    names = layout.constructs if which == DISTURBANCES else layout.items
    spread = np.sqrt(np.where(np.diag(matrix) > 0, np.diag(matrix), np.inf))
    correlation = np.abs(np.tril(matrix / np.outer(spread, spread), -1))
    a, b = np.unravel_index(int(correlation.argmax()), correlation.shape)
    largest = f"{names[b]} and {names[a]}, {correlation[a, b]:.2f}"
    way = "merge the two, free fewer covariances, or get more rows"
    return [f"the correlations of the {what} are impossible together (largest: {largest}); {way}"]


def _lowest(matrix: FloatArray) -> float:
    """Smallest eigenvalue of a covariance matrix as correlations; rows without variance are left out."""
    spread = np.diag(matrix)
    kept = spread > 0
    if not kept.any():
        return 0.0
    own = matrix[np.ix_(kept, kept)] / np.sqrt(np.outer(spread[kept], spread[kept]))
    return float(np.linalg.eigvalsh(own)[0])


def _inseparable(model: RoxModel, at: Implied, where: str, limit: float) -> list[str]:
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.diag(at.latent))
        correlation = at.latent / np.outer(spread, spread)
    several = [len(construct.items) > 1 for construct in model.constructs]
    pairs = [
        (abs(correlation[a, b]), f"{model.names[b]} and {model.names[a]} ({correlation[a, b]:+.2f})")
        for a in range(len(several))
        for b in range(a)
        if (several[a] or several[b]) and abs(correlation[a, b]) > limit
    ]
    if not pairs:
        return []
    words = [text for _, text in sorted(pairs, reverse=True)[:4]]
    how = "not" if limit > _ALIKE else "hardly"
    return [f"constructs that can {how} be told apart{where}: {', '.join(words)}; merge them, or measure what differs"]


_LEVEL = (
    "The edges are effects between units, not between people: they say how units that differ in the cause differ in "
    "the effect."
)


_PEOPLE = " Different people answered the surveys; only their unit links them."


_CORNERS = ((0.0, 0.0), (0.9, 0.0), (0.9, 0.9))  # correlations of one person's answers in a construct, and across


_MANY_ANSWERED = 0.2  # mean share of the eligible who answered from which both extremes are told


def linked_errors(solution: LinkedSolution, options: LinkedOptions) -> str:
    """How standard errors and intervals were computed."""
    found = solution.resampling
    if found is not None:
        whom = options.cluster or "unit"
        failed = f", {found.failed} failed and left out" if found.failed else ""
        return f"bootstrap by {whom}, {len(found.replicates)} replicates{failed}, percentile intervals"
    if options.cluster is not None:
        how = f"sandwich, clustered by {options.cluster}"
    elif options.se == "robust":
        how = "sandwich by unit"
    else:
        how = f"normal theory, {'observed' if options.observed else 'expected'} information"
    df = "clusters - 1" if options.cluster is not None else "units - causes - 1"
    return f"{how}, widened for few units, t intervals ({df}); effects along several edges by draws"


def linked_notes(model: RoxModel, solution: LinkedSolution, options: LinkedOptions) -> tuple[str, ...]:
    """What a reader must know, in sentences."""
    sample, known = solution.sample, solution.estimate
    notes = [_LEVEL + (_PEOPLE if len(sample.sources) > 1 else ""), *causal_notes(model)]
    notes += never_met_notes(sample.items, [together_of(sample.data.seen)], "units know")
    notes += [note for source in sample.sources for note in source.within.notes]
    notes += sample.notes
    notes += _weighted_answers(sample)
    notes += _extremes(model, sample, known)
    notes += _incomplete(model, sample)
    notes += solution.notes
    table = known.table
    notes += assumed_notes(table)
    notes += unit_notes(model, table, options.scaling)
    equal = [c.name for c in model.constructs if len(c.items) == 2 and c.residuals is None]
    if equal:
        notes.append(f"Two items only, so their residual variances between units are held equal: {', '.join(equal)}.")
    if known.bread.negative:
        notes.append("The observed information is not positive definite; errors rest on the expected one.")
    notes += sign_notes(model, table, known.found.theta)
    coarse = [item.name for item in model.items if isinstance(item.scale, Binary | Count)]
    if coarse:
        notes.append(f"Yes/no answers and counts are taken as numbers with linear equations: {', '.join(coarse)}.")
    if known.bread.held.any():
        notes.append("Some variances between units are held at the bound 0." + BESIDE)
    if sample.n < 50:
        notes.append(f"Only {sample.n} units: intervals are wide, and rest on few units.")
    if solution.clusters and solution.clusters < 30:
        notes.append(
            f"Only {solution.clusters} clusters: errors that rest on so few are rough, and as a rule too small."
        )
    if model.exogenous == "fixed":
        notes.append("exogenous='fixed': moments of causes without causes were estimated too; the edges are the same.")
    if model.feedback:
        notes.append("Effects through the loop are those of the equilibrium that it settles in.")
    notes += replicate_notes(solution.resampling)
    return tuple(notes)


def _weighted_answers(sample: LinkedSample) -> list[str]:
    """How many answers of equal weight the weighted ones are worth, survey by survey."""
    words = []
    for source in sample.sources:
        own = source.moments
        weight, squares, n = (np.diagonal(a, axis1=1, axis2=2) for a in (own.weight, own.weight2, own.n))
        if own.weight is own.n or np.array_equal(weight, n):
            continue
        sizes = n.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            kish = np.where(squares > 0, weight**2 / squares, 0.0).sum(axis=0)
        words.append(f"{source.name}: {sizes.max():.0f} answers say as much as {kish.max():.0f} of equal weight")
    if not words:
        return []
    return [f"Sampling weights, unit by unit (Kish's effective n): {'; '.join(words)}."]


def _incomplete(model: RoxModel, sample: LinkedSample) -> list[str]:
    """Units that a source did not reach."""
    found = []
    for source in model.sources:
        at = [sample.items.index(item.name) for c in model.constructs if c.source == source for item in c.items]
        without = int(np.isnan(sample.raw[:, at]).all(axis=1).sum())
        if without:
            found.append(f"{without} of {sample.n} without {source}")
    if not found:
        return []
    words = ", ".join(found)
    note = f"Units are used with what is there ({words}): what is missing may depend on what was observed only."
    return [f"{note} Units of another kind do not become alike by that."]


def _extremes(model: RoxModel, sample: LinkedSample, known: Estimate) -> list[str]:
    """The headline effect if all who could answer did, and if correlations within units were 0 or 1."""
    pair = headline(model)
    if pair is None or not sample.sources or model.loops():
        return []
    notes = []
    whole, unknown = f"Total effect {pair[0]} -> {pair[1]}", _unknown_share(sample)
    own = _total(model, known, pair)
    if unknown is not None:
        still = _again(model, sample, known, None)
        other = "no estimate" if still is None else f"{_total(model, still, pair):.3g}"
        notes.append(
            f"{whole}: {own:.3g} with {unknown}; {other} if everybody who could answer did, so that unit means had no "
            "sampling error."
        )
    if any(source.within.assumed for source in sample.sources):
        ends = [_again(model, sample, known, corner) for corner in _CORNERS]
        words = [f"{_total(model, end, pair):.3g}" if end is not None else "no estimate" for end in ends]
        notes.append(
            f"{whole}: {own:.3g} with the correlations within units that were assumed; {words[0]} if all were 0, "
            f"{words[1]} if they were 0.9 among items of a construct and 0 across, {words[2]} if all were 0.9."
        )
    return notes


def _unknown_share(sample: LinkedSample) -> str | None:
    """Whether the share of those who answered is not known or high, in words."""
    shares: dict[str, float] = {}
    endless = [source.name for source in sample.sources if source.moments.eligible is None]
    for source in sample.sources:
        own = source.moments
        if own.eligible is not None:
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.where(own.respondents > 0, own.respondents / own.eligible, np.nan)
            shares[source.name] = float(np.nanmean(share)) if np.isfinite(share).any() else 0.0
    words = [f"{100 * share:.0f} % of the eligible answering on average ({name})" for name, share in shares.items()]
    if endless:
        words.append(f"very many who could have answered ({', '.join(endless)})")
    return " and ".join(words) if endless or max(shares.values()) > _MANY_ANSWERED else None


def _again(
    model: RoxModel, sample: LinkedSample, known: Estimate, corner: tuple[float, float] | None
) -> Estimate | None:
    """The estimate with no sampling error, or with another correlation within units; None where there is none."""
    if corner is None:
        noise = np.zeros_like(sample.data.noise)
    else:
        sources = tuple(
            replace(s, within=replace(s.within, covariance=s.within.with_correlations(*corner, s.groups)))
            if s.within.assumed
            else s
            for s in sample.sources
        )
        noise = noise_of(sample.means, sources) / np.outer(sample.scale, sample.scale)
    data = replace(sample.data, noise=noise)
    try:
        found = estimate(model, sample, known=known, data=data)
    except (RoxError, np.linalg.LinAlgError):
        return None
    return found if found.found.converged else None


def _total(model: RoxModel, known: Estimate, pair: tuple[str, str]) -> float:
    families = ("linear",) * len(model.names)
    system = system_of(model, known.table, known.found.theta[None], families, marker=True)
    totals = total_effects(system.coefficients)
    return float(totals[0, model.names.index(pair[1]), model.names.index(pair[0])])
