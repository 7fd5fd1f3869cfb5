"""The small print of a fit with latent variables: how errors were computed, what was assumed, whether to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from roxmodel.errors import RoxError, listed
from roxmodel.estimate.latent.optimizer import Minimum
from roxmodel.estimate.latent.row_sample import covariates_of
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample, Sample
from roxmodel.estimate.latent.solve import solved_again
from roxmodel.estimate.options import LinkedOptions, SemOptions
from roxmodel.estimate.sentences import (
    BESIDE,
    assumed_notes,
    bootstrap_words,
    causal_notes,
    cluster_notes,
    hidden_notes,
    never_met_notes,
    replicate_notes,
    sign_notes,
    unit_notes,
)
from roxmodel.implied.identification import name_parameters
from roxmodel.implied.matrices import DISTURBANCES, EDGES, RESIDUALS, Implied, Layout, filled
from roxmodel.moments.condense import kish, kish_of
from roxmodel.records import Fault, UnitScores, Verdict
from roxmodel.result.system import stability_index, system_of, total_effects
from roxmodel.spec.causal import headline
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.spec.questionnaire import Binary, Count
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.types import FloatArray

__all__ = ["error_words", "notes_of", "observed", "verdicts_of", "weighted"]

_RIDGE = 1e5  # condition of the information from which estimates move far for little
_ALIKE = 0.95  # correlation of two constructs from which they can hardly be told apart
_SAME = 0.995  # from which they cannot
_HARDLY = 0.4  # mean correlation between units with the other items, below which the first is no marker
_FEW, _ROUGH = 5, 30  # clusters from which a t interval means something; from which it is good
_UNEQUAL = 0.6  # share of the rows that Kish's effective n is, below which sandwich intervals cover too little
_LARGE = 1_000  # rows from which they cover about what they should even so
_INFLATED = 20.0  # variance inflation from which a cause is nearly determined by the others
_CORNERS = ((0.0, 0.0), (0.9, 0.0), (0.9, 0.9))  # correlations of one person's answers in a construct, and across
_MANY_ANSWERED = 0.2  # mean share of the eligible who answered from which both extremes are told
_WEIGHTED = "robust, of diagonally weighted least squares"
_ROBUST = {
    "MLM": "robust (Satorra-Bentler), expected information", "DWLS": _WEIGHTED, "WLSMV": _WEIGHTED,
}  # fmt: skip
_LEVEL = (
    "The edges are effects between units, not between people: they say how units that differ in the cause differ in "
    "the effect."
)
_PEOPLE = " Different people answered the surveys; only their unit links them."


def observed(options: SemOptions, sample: Sample) -> bool:
    """Whether errors from rows rest on the observed information."""
    if options.information is not None:
        return options.information == "observed"
    if options.estimator == "MLM":
        return False
    return options.estimator == "MLR" or options.se == "robust" or not sample.complete or weighted(options)


def weighted(options: SemOptions) -> bool:
    """Sampling weights and clusters need a sandwich, whatever was asked for."""
    return options.weight is not None or options.cluster is not None


def error_words(solution: LatentSolution, options: SemOptions | LinkedOptions) -> str:
    """How standard errors and intervals were computed."""
    found = solution.resampling
    if found is not None:
        whom = options.cluster or ("unit" if isinstance(options, LinkedOptions) else "row")
        return bootstrap_words(found, whom)
    if isinstance(options, LinkedOptions):
        return _unit_errors(options)
    if options.cluster is not None:
        return f"sandwich, clustered by {options.cluster}, t intervals (clusters - 1)"
    if options.estimator in _ROBUST:
        return _ROBUST[options.estimator]
    information = f"{'observed' if observed(options, solution.sample) else 'expected'} information"
    if options.estimator == "MLR" or options.se == "robust" or options.weight is not None:
        how = f"sandwich (Huber-White), {information}"
        return how if options.weight is None else f"{how}, t intervals (Kish's effective n - 1)"
    return f"normal theory, {information}"


def _unit_errors(options: LinkedOptions) -> str:
    if options.cluster is not None:
        how = f"sandwich, clustered by {options.cluster}"
    elif options.se == "robust":
        how = "sandwich by unit"
    else:
        how = f"normal theory, {'observed' if options.observed else 'expected'} information"
    df = "clusters - 1" if options.cluster is not None else "units - causes - 1"
    return f"{how}, widened for few units, t intervals ({df}); effects along several edges by draws"


def notes_of(
    solution: LatentSolution, options: SemOptions | LinkedOptions, predicted: UnitScores | None
) -> tuple[str, ...]:
    """What a reader must know, in sentences: of the data, of what was estimated, of how it came out."""
    model, sample, table = solution.model, solution.sample, solution.table
    if isinstance(options, SemOptions):
        data, estimated = _of_rows(solution), []
        if held := _at_bound(solution):
            estimated = [f"Held at the bound 0, without a standard error: {name_parameters(held)}." + BESIDE]
        how, told = [*_scales(model, options), *_few_rows(solution)], _thin(solution, options)
    elif isinstance(sample, LinkedSample) and predicted is not None:
        data, estimated = _of_units(solution, sample), _paired(model)
        how, told = _few_units(solution, sample), hidden_notes(model.names, predicted.hidden, predicted.min_group)
    else:
        raise TypeError("options of units, but a sample of rows")
    negative = "The observed information is not positive definite; errors rest on the expected one."
    loop = "Effects through the loop are those of the equilibrium that it settles in."
    return (
        *data,
        *assumed_notes(table),
        *unit_notes(model, table, options.scaling),
        *estimated,
        *([negative] if solution.bread.negative else ()),
        *sign_notes(model, table, solution.found.theta),
        *how,
        *([loop] if model.feedback else ()),
        *replicate_notes(solution.resampling),
        *told,
    )


def _of_rows(solution: LatentSolution) -> list[str]:
    sample = solution.sample
    notes = [*causal_notes(solution.model), *sample.notes]
    if sample.complete:
        return notes
    notes.append(
        "Missing answers: full information maximum likelihood, which assumes that what is missing depends on "
        "what was observed only (missing at random)."
    )
    apart = never_met_notes(sample.items, sample.together, "people answered")
    notes += apart
    if "chisq" not in solution.indices:
        notes.append(
            "No chi-square: some items were seen together by so few that moments without structure have no "
            "estimate. Residuals are those of the available pairs."
        )
    elif solution.indices["df"] > 0 and "cfi_robust" not in solution.indices:
        why = "where items never met" if apart else "beyond 50 items"
        notes.append(f"CFI, TLI and RMSEA corrected for missing answers are left out {why}.")
    return notes


def _at_bound(solution: LatentSolution) -> list[Parameter]:
    return [row for row in solution.table if row.free and solution.found.bound[row.free - 1]]


def _few_rows(solution: LatentSolution) -> list[str]:
    n, free = solution.sample.n, solution.table.n_free
    if n >= 5 * free:
        return []
    note = f"Few rows: {n:g} for {free} free parameters; errors and tests are those of large samples and as a rule "
    return [note + "too optimistic here."]


def _thin(solution: LatentSolution, options: SemOptions) -> list[str]:
    notes = []
    few = [group.name for group in solution.sample.groups if group.name and group.people < MIN_GROUP]
    if few:
        notes.append(
            f"Fewer than {MIN_GROUP} people in {listed(few)}: what is said of so few tells their answers; do not show "
            "it, and fit.save() refuses it."
        )
    notes += _clustered(solution) if options.cluster is not None else []
    notes += _sampled(solution) if options.weight is not None else []
    return notes


def _clustered(solution: LatentSolution) -> list[str]:
    """How few clusters the errors rest on: those of the group that has fewest."""
    few = min(len(np.unique(g.clusters)) for g in solution.sample.groups if g.clusters is not None)
    if few < _FEW:
        return [f"Only {few} clusters: intervals by t({few - 1}) stand on next to nothing; take them as unknown."]
    if few < _ROUGH:
        return [f"Only {few} clusters: intervals by t({few - 1}); errors that rest on so few are rough."]
    return []


def _sampled(solution: LatentSolution) -> list[str]:
    """By how many rows the weights leave as much as without them."""
    own = [(kish(g.weights), len(g.weights)) for g in solution.sample.groups if g.sampling and g.weights is not None]
    size, rows = min(own)
    note = f"Sampling weights: {rows} rows say as much as {size:.0f} of equal weight (Kish's effective n)"
    if size < _ROUGH or (size < _UNEQUAL * rows and rows < _LARGE):
        return [f"{note}; 95 % intervals under weights so unequal covered 82-91 % in simulations of 100 to 500 rows."]
    return [f"{note}."]


def _scales(model: RoxModel, options: SemOptions) -> list[str]:
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


def _of_units(solution: LatentSolution, sample: LinkedSample) -> list[str]:
    model = solution.model
    notes = [_LEVEL + (_PEOPLE if len(sample.sources) > 1 else ""), *causal_notes(model)]
    notes += never_met_notes(sample.items, sample.together, "units know")
    notes += [note for source in sample.sources for note in source.within.notes]
    notes += sample.notes
    notes += _weighted_answers(sample)
    notes += _extremes(solution, sample)
    notes += _incomplete(model, sample)
    notes += solution.notes
    return notes


def _paired(model: RoxModel) -> list[str]:
    equal = [c.name for c in model.constructs if len(c.items) == 2 and c.residuals is None]
    if not equal:
        return []
    return [f"Two items only, so their residual variances between units are held equal: {', '.join(equal)}."]


def _few_units(solution: LatentSolution, sample: LinkedSample) -> list[str]:
    notes, model, clusters = [], solution.model, sample.groups[0].clusters
    coarse = [item.name for item in model.items if isinstance(item.scale, Binary | Count)]
    if coarse:
        notes.append(f"Yes/no answers and counts are taken as numbers with linear equations: {', '.join(coarse)}.")
    if solution.bread.held.any():
        notes.append("Some variances between units are held at the bound 0." + BESIDE)
    if sample.n < 50:
        notes.append(f"Only {sample.n} units: intervals are wide, and rest on few units.")
    notes += cluster_notes(clusters)
    if model.exogenous == "fixed":
        notes.append("exogenous='fixed': moments of causes without causes were estimated too; the edges are the same.")
    return notes


def _weighted_answers(sample: LinkedSample) -> list[str]:
    """How many answers of equal weight the weighted ones are worth, survey by survey."""
    words = []
    for source in sample.sources:
        own = source.moments
        weight, squares, n = (np.diagonal(a, axis1=1, axis2=2) for a in (own.weight, own.weight2, own.n))
        if own.weight is own.n or np.array_equal(weight, n):
            continue
        sizes = n.sum(axis=0)
        worth = kish_of(weight, squares).sum(axis=0)
        words.append(f"{source.name}: {sizes.max():.0f} answers say as much as {worth.max():.0f} of equal weight")
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


def _extremes(solution: LatentSolution, sample: LinkedSample) -> list[str]:
    """The headline effect if all who could answer did, and if correlations within units were 0 or 1."""
    pair = headline(solution.model)
    if pair is None or not sample.sources or solution.model.loops():
        return []
    notes = []
    whole, unknown = f"Total effect {pair[0]} -> {pair[1]}", _unknown_share(sample)
    own = _total(solution, solution.found, pair)
    if unknown is not None:
        still = _again(solution, np.zeros_like(sample.data.noise), pair)
        notes.append(
            f"{whole}: {own} with {unknown}; {still} if everybody who could answer did, so that unit means had no "
            "sampling error."
        )
    if any(source.within.assumed for source in sample.sources):
        words = [_again(solution, _noise_at(sample, corner), pair) for corner in _CORNERS]
        notes.append(
            f"{whole}: {own} with the correlations within units that were assumed; {words[0]} if all were 0, "
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


def _noise_at(sample: LinkedSample, corner: tuple[float, float]) -> FloatArray:
    """(J, p, p) noise if correlations that were assumed were others, in units of the scale."""
    sources = [
        replace(s, within=replace(s.within, covariance=s.within.with_correlations(*corner, s.groups)))
        if s.within.assumed
        else s
        for s in sample.sources
    ]
    return sample.noise_with(sources)


def _again(solution: LatentSolution, noise: FloatArray, pair: tuple[str, str]) -> str:
    """The total effect with another noise of the unit means, in words."""
    sample = solution.sample
    if not isinstance(sample, LinkedSample):
        raise TypeError("only unit means have noise")
    try:
        found = solved_again(solution, replace(sample.data, noise=noise))
    except (RoxError, np.linalg.LinAlgError):
        return "no estimate"
    return _total(solution, found, pair) if found.converged else "no estimate"


def _total(solution: LatentSolution, found: Minimum, pair: tuple[str, str]) -> str:
    names = solution.model.names
    system = system_of(solution.model, solution.table, found.theta[None], ("linear",) * len(names), marker=True)
    return f"{float(total_effects(system.coefficients)[0, names.index(pair[1]), names.index(pair[0])]):.3g}"


def verdicts_of(solution: LatentSolution, at: Mapping[str, Implied]) -> dict[str, Verdict]:
    """Converged, identified, admissible, each with its reason and the next step."""
    faults, sample = list(_faults(solution, at)), solution.sample
    admissible = _admissible(solution, at, faults)
    converged = _converged(solution)
    if isinstance(sample, LinkedSample):
        admissible = _between(solution, admissible, faults)
        converged = _marker_named(solution.model, sample, converged)
    return {"converged": converged, "identified": _identified(solution), "admissible": admissible}


def _converged(solution: LatentSolution) -> Verdict:
    found = solution.found
    if found.converged:
        return Verdict(True, f"the gradient vanishes after {found.steps} step{'' if found.steps == 1 else 's'}")
    words = f"no optimum was found in {found.steps} steps"
    way = "simplify the model, give start= values, or look for constructs that cannot be told apart"
    return Verdict.of([Fault("steps", words, remedy=way)], "")


def _identified(solution: LatentSolution) -> Verdict:
    flat = solution.bread.flat
    if flat is None:
        return Verdict(True, f"the information has full rank (condition {solution.bread.condition:.3g})")
    part = np.abs(flat) > 0.1 * np.abs(flat).max()
    rows = [row for row in solution.table if row.free and part[row.free - 1]]
    words, way = f"these data cannot tell apart {name_parameters(rows)}", "fix one of them or merge their constructs"
    return Verdict.of([Fault("flat", words, tuple(row.id for row in rows), remedy=way)], "")


def _faults(solution: LatentSolution, at: Mapping[str, Implied]) -> Iterator[Fault]:
    """What makes the estimate impossible, or not to be trusted."""
    model, theta, held = solution.model, solution.found.theta, _at_bound(solution)
    if held:
        words = (
            f"{name_parameters(held)} stopped at its bound 0 (a Heywood case): the items or causes explain more than "
            "there is"
        )
        way = "check for too few items, too small a sample, or a wrong model"
        yield Fault("bound", words, tuple(row.id for row in held), remedy=way)
    for group, layout in zip(solution.sample.groups, solution.layouts, strict=True):
        where = _in_group(group.name)
        for which, what in ((DISTURBANCES, "constructs (of what causes leave)"), (RESIDUALS, "item residuals")):
            yield from _impossible(filled(layout, theta, which), (layout, which), what + where)
        yield from _inseparable(model, at[group.name], where, _SAME)
        largest = float(stability_index(filled(layout, theta, EDGES)[None])[0]) if model.loops() else 0.0
        if largest >= 1:
            words = (
                f"the feedback loop{where} has no equilibrium (largest eigenvalue {largest:.3g} in modulus, not below "
                "1): a push around it grows for ever"
            )
            members = tuple(dict.fromkeys(name for loop in model.loops() for name in loop))
            yield Fault("loop", words, names=members, remedy="an edge of it is wrong, or an instrument is weak")
    if solution.bread.condition > _RIDGE:
        yield _ridge(model, solution, at)


def _in_group(name: str) -> str:
    return f" in group {name!r}" if name else ""


def _admissible(solution: LatentSolution, at: Mapping[str, Implied], faults: list[Fault]) -> Verdict:
    heed = ["every variance is positive and no two constructs coincide"]
    if not faults:
        for group in solution.sample.groups:
            found = _inseparable(solution.model, at[group.name], _in_group(group.name), _ALIKE)
            heed += [fault.told for fault in found]
    return Verdict.of(faults, "; ".join(heed))


def _between(solution: LatentSolution, found: Verdict, faults: list[Fault]) -> Verdict:
    """An item residual of 0 between units is no fault: its means differ by the construct and by chance only."""
    model, held = solution.model, _at_bound(solution)
    items = [row for row in held if residual_of(row, model.names)]
    if not items:
        return found
    at_zero = {row.left for row in items}
    whose = ", ".join(construct.name for construct in model.constructs if at_zero & set(construct.item_names))
    words = (
        f"between units nothing is left of {len(items)} item residual(s) of {whose} that sampling error does not "
        "explain: held at 0"
    )
    others = [fault for fault in faults if fault.code != "bound"]
    structural = [row for row in held if row not in items]
    if structural:
        own = f"{name_parameters(structural)} stopped at its bound 0: there is no such variance between units"
        others.insert(0, Fault("bound", own, tuple(row.id for row in structural)))
    told = Verdict.of(others, "every variance is possible")
    return replace(told, reason=f"{told.reason}; {words}")


def _marker_named(model: RoxModel, sample: LinkedSample, found: Verdict) -> Verdict:
    """Name first items that share next to nothing with the others: they cannot be the unit of their construct."""
    if found.ok:
        return found
    start = sample.groups[0].target.covariance
    sd = np.sqrt(np.diag(start))
    shared = np.abs(start / np.outer(sd, sd))
    weak = []
    for construct in model.constructs:
        own = [sample.items.index(item) for item in construct.item_names]
        others = own[1:]
        if len(own) > 2 and shared[own[0], others].mean() < _HARDLY < shared[np.ix_(others, others)].mean():
            weak.append(construct)
    if not weak:
        return found
    firsts = ", ".join(f"{c.item_names[0]} of {c.name}" for c in weak)
    words = (
        f"{firsts}: the first item is the unit of its construct but shares hardly anything with the others "
        f"between units; put another item first ({found.reason})"
    )
    return Verdict.of([Fault("marker", words, names=tuple(c.name for c in weak))], "")


def _ridge(model: RoxModel, solution: LatentSolution, at: Mapping[str, Implied]) -> Fault:
    """Along which constructs the optimum is flat, and what to do."""
    condition = f"condition number {solution.bread.condition:.2g}"
    text = f"the optimum lies on a ridge ({condition}): edges can move far for little"
    alike = {k: v for group in solution.sample.groups for k, v in _tangled(model, at[group.name]).items()}
    if not alike:
        return Fault("ridge", text, remedy="fix or leave out an edge, or add items")
    edges = tuple(f"{cause} -> {effect}" for effect, (causes, _) in alike.items() for cause in causes)
    names = tuple(dict.fromkeys(cause for causes, _ in alike.values() for cause in causes))
    words = f"{text}. {'; '.join(words for _, words in alike.values())}"
    way = "merge these constructs, leave out edges, or measure what differs"
    return Fault("ridge", words, names=names, edges=edges, remedy=way)


def _tangled(model: RoxModel, at: Implied) -> dict[str, tuple[list[str], str]]:
    """Effects whose causes are nearly determined by each other (variance inflation): which, in words."""
    place, found = {name: i for i, name in enumerate(model.names)}, {}
    for effect in model.endogenous:
        causes = [name for name in model.causes(effect) if at.latent[place[name], place[name]] > 0]
        own = at.latent[np.ix_([place[c] for c in causes], [place[c] for c in causes])]
        spread = np.sqrt(np.diag(own))
        correlation = own / np.outer(spread, spread)
        inflation = np.diag(np.linalg.pinv(correlation, hermitian=True))
        worst = [name for name, value in zip(causes, inflation, strict=True) if value > _INFLATED]
        if len(worst) > 1:
            words = (
                f"{', '.join(worst)} can not be told apart as causes of {effect} (variance inflation up to "
                f"{inflation.max():.0f})"
            )
            found[effect] = (worst, words)
    return found


def _impossible(matrix: FloatArray, where: tuple[Layout, int], what: str) -> list[Fault]:
    """Covariances that no answers can have together, with the largest correlation among them."""
    if _lowest(matrix) >= -1e-8:
        return []
    layout, which = where
    names = layout.constructs if which == DISTURBANCES else layout.items
    spread = np.sqrt(np.where(np.diag(matrix) > 0, np.diag(matrix), np.inf))
    correlation = np.abs(np.tril(matrix / np.outer(spread, spread), -1))
    a, b = np.unravel_index(int(correlation.argmax()), correlation.shape)
    largest = f"{names[b]} and {names[a]}, {correlation[a, b]:.2f}"
    words = f"the correlations of the {what} are impossible together (largest: {largest})"
    way = "merge the two, free fewer covariances, or get more rows"
    return [Fault("impossible", words, names=(names[b], names[a]), remedy=way)]


def _lowest(matrix: FloatArray) -> float:
    """Smallest eigenvalue of a covariance matrix as correlations; rows without variance are left out."""
    spread = np.diag(matrix)
    kept = spread > 0
    if not kept.any():
        return 0.0
    own = matrix[np.ix_(kept, kept)] / np.sqrt(np.outer(spread[kept], spread[kept]))
    return float(np.linalg.eigvalsh(own)[0])


def _inseparable(model: RoxModel, at: Implied, where: str, limit: float) -> list[Fault]:
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.diag(at.latent))
        correlation = at.latent / np.outer(spread, spread)
    several = [len(construct.items) > 1 for construct in model.constructs]
    pairs = [
        (abs(correlation[a, b]), f"{model.names[b]} and {model.names[a]} ({correlation[a, b]:+.2f})", (b, a))
        for a in range(len(several))
        for b in range(a)
        if (several[a] or several[b]) and abs(correlation[a, b]) > limit
    ]
    if not pairs:
        return []
    shown = sorted(pairs, reverse=True)[:4]
    how = "not" if limit > _ALIKE else "hardly"
    words = f"constructs that can {how} be told apart{where}: {', '.join(text for _, text, _ in shown)}"
    names = tuple(dict.fromkeys(model.names[k] for _, _, pair in shown for k in pair))
    return [Fault("inseparable", words, names=names, remedy="merge them, or measure what differs")]
