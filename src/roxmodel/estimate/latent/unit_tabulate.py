"""From a linked solution to a fit: the rows of the table, the units, the small print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.latent.row_options import Options
from roxmodel.estimate.latent.row_sample import GroupSample, Sample
from roxmodel.estimate.latent.row_solve import LatentSolution
from roxmodel.estimate.latent.row_tabulate import fit_of
from roxmodel.estimate.latent.unit_levels import predicted_levels
from roxmodel.estimate.latent.unit_options import LinkedOptions
from roxmodel.estimate.latent.unit_sample import LinkedSample
from roxmodel.estimate.latent.unit_small_print import linked_errors, linked_notes
from roxmodel.estimate.latent.unit_solve import Estimate
from roxmodel.estimate.sentences import hidden_notes
from roxmodel.implied.identification import name_parameters
from roxmodel.implied.layout import LOADINGS, RESIDUALS, residual_of
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import filled, implied
from roxmodel.result.fit import Fit
from roxmodel.result.levels import lower_roots, summary_of
from roxmodel.result.records import (
    LINEAR,
    Equation,
    GroupMoments,
    Measure,
    Population,
    Resampling,
    UnitScores,
    Verdict,
    WithinEdge,
)
from roxmodel.spec.graph import RoxModel
from roxmodel.types import FloatArray

__all__ = ["LinkedSolution", "linked_fit"]

_HARDLY = 0.4  # mean correlation between units with the other items, below which the first is no marker


@dataclass(frozen=True, slots=True)
class LinkedSolution:
    """What method "linked" found.

    Attributes
    ----------
    sample, estimate
        From what, and the optimum.
    vcov, df
        (n_free, n_free) covariance of the estimates, (n_free,) degrees of freedom.
    indices, moments
        Fit indices; means and covariances between units without structure, None where they were out of reach.
    resampling
        Replicates of the bootstrap, or None.
    within
        Edges among the answers of one unit.
    equation_units
        Units of each equation, by effect.
    by, min_group
        Of the study.
    notes
        What the tests and the level within have to say.
    clusters
        Clusters of units that errors rest on, 0 for none.
    """

    sample: LinkedSample
    estimate: Estimate
    vcov: FloatArray
    df: FloatArray
    indices: dict[str, float]
    moments: Target | None
    resampling: Resampling | None
    within: tuple[WithinEdge, ...]
    equation_units: Mapping[str, int]
    by: str
    min_group: int
    notes: tuple[str, ...]
    clusters: int = 0


def linked_fit(model: RoxModel, solution: LinkedSolution, options: LinkedOptions) -> Fit:
    """Make the fit."""
    sample, known = solution.sample, solution.estimate
    at = implied(known.layout, known.found.theta)
    between = Target(at.mu, at.sigma) if solution.moments is None else solution.moments
    group = GroupSample("", float(sample.n), between, None, None, None, False, None, None)
    plain = LatentSolution(
        table=known.table,
        layouts=(known.layout,),
        sample=Sample(sample.items, sample.scale, (group,), at.mu * sample.scale, None, None, 0, ()),
        given=known.given,
        found=known.found,
        vcov=solution.vcov,
        bread=known.bread,
        indices=solution.indices,
        moments=(between,),
        resampling=solution.resampling,
        df=solution.df,
        doubts=known.doubts,
    )
    fit = fit_of(model, plain, Options(se=options.se, scaling=options.scaling))
    markers = _markers(model, solution)
    at_estimate = (known.layout, known.found.theta)
    _, doubts, shown = predicted_levels(model, sample, at_estimate, markers, solution.min_group)
    predicted = replace(shown, by=solution.by)
    nothing = np.full(len(fit.table), np.nan)
    blank = dict.fromkeys(("se", "statistic", "p", "low", "high"), nothing)
    return replace(
        fit,
        estimates=fit.estimates if known.found.converged else replace(fit.estimates, **blank),
        method="linked",
        level="between",
        errors=linked_errors(solution, options),
        equations=_equations(model, solution),
        measures=tuple(_measure(model, measure, solution) for measure in fit.measures),
        population=_population(fit.population, solution, predicted, doubts),
        verdicts=_verdicts(model, fit.verdicts, solution),
        notes=(
            *linked_notes(model, solution, options),
            *hidden_notes(model.names, shown.hidden, solution.min_group),
        ),
        groups=(_moments(sample, between),),
        estimator="ML",
        missing="",
        within_edges=solution.within,
        predicted=predicted,
    )


def _verdicts(model: RoxModel, found: Mapping[str, Verdict], solution: LinkedSolution) -> dict[str, Verdict]:
    """An item residual of 0 between units is no fault: its means differ by the construct and by chance only."""
    found = _marker_named(model, found, solution)
    table, bound = solution.estimate.table, solution.estimate.found.bound
    held = [row for row in table if row.free and bound[row.free - 1]]
    items = [row for row in held if residual_of(row, model.names)]
    if not items or found["admissible"].ok:
        return dict(found)
    at_zero = {row.left for row in items}
    whose = ", ".join(construct.name for construct in model.constructs if at_zero & set(construct.item_names))
    words = (
        f"between units nothing is left of {len(items)} item residual(s) of {whose} that sampling error does not "
        "explain: held at 0"
    )
    others = [part for part in found["admissible"].reason.split("; ") if "stopped at its bound 0" not in part]
    others = [part for part in others if not part.startswith("check for too few items")]
    structural = [row for row in held if row not in items]
    if structural:
        others.insert(
            0, f"{name_parameters(structural)} stopped at its bound 0: there is no such variance between units"
        )
    if others:
        return {**found, "admissible": Verdict(False, "; ".join([*others, words]))}
    return {**found, "admissible": Verdict(True, f"every variance is possible; {words}")}


def _marker_named(model: RoxModel, found: Mapping[str, Verdict], solution: LinkedSolution) -> dict[str, Verdict]:
    """Name first items that share next to nothing with the others: they cannot be the unit of their construct."""
    if found["converged"].ok:
        return dict(found)
    sample = solution.sample
    sd = np.sqrt(np.diag(solution.estimate.start.covariance))
    shared = np.abs(solution.estimate.start.covariance / np.outer(sd, sd))
    weak = []
    for construct in model.constructs:
        own = [sample.items.index(item) for item in construct.item_names]
        others = own[1:]
        if len(own) > 2 and shared[own[0], others].mean() < _HARDLY < shared[np.ix_(others, others)].mean():
            weak.append(f"{construct.item_names[0]} of {construct.name}")
    if not weak:
        return dict(found)
    words = (
        f"{', '.join(weak)}: the first item is the unit of its construct but shares hardly anything with the others "
    )
    return {
        **found,
        "converged": Verdict(False, f"{words}between units; put another item first ({found['converged'].reason})"),
    }


def _frozen(values: FloatArray) -> FloatArray:
    values = np.array(values, dtype=np.float64)
    values.setflags(write=False)
    return values


def _markers(model: RoxModel, solution: LinkedSolution) -> FloatArray:
    """(k,) loading of each construct's first item."""
    known = solution.estimate
    loadings = filled(known.layout, known.found.theta, LOADINGS)
    rows = [solution.sample.items.index(construct.item_names[0]) for construct in model.constructs]
    return np.asarray(loadings[rows, np.arange(len(rows))])


def _equations(model: RoxModel, solution: LinkedSolution) -> tuple[Equation, ...]:
    found = []
    for name in model.endogenous:
        n = solution.equation_units[name]
        found.append(Equation(name, LINEAR, n, float(max(n - len(model.causes(name)) - 1, 1))))
    return tuple(found)


def _moments(sample: LinkedSample, between: Target) -> GroupMoments:
    unit = np.outer(sample.scale, sample.scale)
    return GroupMoments("", float(sample.n), _frozen(between.mean * sample.scale), _frozen(between.covariance * unit))


def _population(people: Population, solution: LinkedSolution, scores: UnitScores, doubts: FloatArray) -> Population:
    """The units; their levels are predictions in points of each construct's first item, with their errors."""
    levels, own = scores.values, np.asarray(people.mean)
    mean, low, high = summary_of(levels)
    return replace(
        people,
        n=solution.sample.n,
        n_units=solution.sample.n,
        units=solution.sample.units,
        levels=_frozen(levels),
        mean=_frozen(np.where(scores.hidden.any(axis=0) & ~np.isnan(mean), mean, own)),
        low=_frozen(low),
        high=_frozen(high),
        roots=_frozen(lower_roots(doubts)),
        hidden=scores.hidden if scores.hidden.any() else None,
        min_group=solution.min_group,
    )


def _measure(model: RoxModel, measure: Measure, solution: LinkedSolution) -> Measure:
    """A respondent's score: items count by what they share with the construct against what is their own.

    The error of an item is its own variance between units and what one answer does not share with the construct's other
    answers of the same person.
    """
    construct, known, sample = model.find(measure.name), solution.estimate, solution.sample
    source = next((s for s in sample.sources if s.name == construct.source), None)
    if source is None:
        return measure
    own = [sample.items.index(item) for item in construct.item_names]
    rows = [source.moments.items.index(item) for item in construct.item_names]
    within = source.within.covariance[np.ix_(rows, rows)]
    if len(own) == 1:
        return replace(measure, within=_frozen(within), errors=_frozen(np.array([np.nan])))
    lam = filled(known.layout, known.found.theta, LOADINGS)[own, model.names.index(construct.name)]
    theta = np.diag(filled(known.layout, known.found.theta, RESIDUALS))[own]
    both = ~np.eye(len(own), dtype=bool)  # pairs that somebody answered
    if source.within.apart is not None and not source.within.apart[np.ix_(rows, rows)][both].all():
        both &= ~source.within.apart[np.ix_(rows, rows)]
    shared = float(within[both].mean())
    unique = theta + np.maximum(np.diag(within) - shared, 0.05 * np.diag(within))
    usable = np.abs(lam) > 1e-8 * np.abs(lam).max()
    ratio = np.where(usable, (lam[0] if usable[0] else 1.0) / np.where(usable, lam, 1.0), 0.0)
    errors = np.where(usable, unique * ratio**2, np.inf)
    exact = errors <= 0  # an item without anything of its own says it all
    safe = np.where(exact, 1.0, errors)
    precision = exact.astype(float) if exact.any() else np.where(np.isfinite(errors), 1.0 / safe, 0.0)
    return replace(
        measure, weights=_frozen(precision / precision.sum()), errors=_frozen(errors), within=_frozen(within)
    )
