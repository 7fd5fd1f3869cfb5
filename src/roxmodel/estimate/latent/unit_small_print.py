"""The small print of a linked fit: its level, what was assumed, and how far the answer moves if that is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.estimate.latent.sample import LinkedSample, noise_of
from roxmodel.estimate.latent.solve import Estimate, estimate
from roxmodel.estimate.sentences import (
    BESIDE,
    assumed_notes,
    causal_notes,
    never_met_notes,
    replicate_notes,
    sign_notes,
    unit_notes,
)
from roxmodel.implied.identification import together_of
from roxmodel.result.system import system_of, total_effects
from roxmodel.spec.causal import headline
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Binary, Count

if TYPE_CHECKING:
    from roxmodel.estimate.latent.latent_fit import LinkedSolution
    from roxmodel.estimate.latent.unit_options import LinkedOptions

__all__ = ["linked_errors", "linked_notes"]
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
    notes += _weighted(sample)
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


def _weighted(sample: LinkedSample) -> list[str]:
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
