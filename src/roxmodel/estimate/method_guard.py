"""Cause and effect answered by the same people: respondents parted for causes and effects, or a factor of their own.

``"split"``: within each unit the people of a survey are dealt out at random, so that no arrow joins two constructs that
the same people answered; what single persons share in both then joins no unit means. Estimates are medians over
splits, which one unlucky split does not move (Chernozhukov et al. 2018, doi 10.1111/ectj.12097); their variance is that
of one split less what splits differ by, which an average over many does not keep. ``"factor"``: all items of a survey
move together, by one variance (Podsakoff et al. 2012, doi 10.1146/annurev-psych-120710-100452); it is the model's, as
equal covariances of the items' residuals.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import get_args

import networkx as nx
import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.estimate.checks.evidence import Estimated
from roxmodel.estimate.checks.same_people import lengths, shared_edges, tendency_label
from roxmodel.estimate.latent.door import solve_units
from roxmodel.estimate.latent.latent_fit import fit_of
from roxmodel.estimate.options import LinkedOptions, MethodGuard, PathOptions, SemOptions
from roxmodel.estimate.path.path_fit import fit_with, solve_path
from roxmodel.estimate.path.scores import scores_of
from roxmodel.moments.linked import LinkedMoments, SourceMoments
from roxmodel.numerals import plain
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import Covariance
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.composites import unit_composites
from roxmodel.survey.study import Study
from roxmodel.types import FloatArray

__all__ = ["as_split", "guarded_model", "tendency_notes"]

_SPLITS = 20
_FEWEST = 10  # splits that must have been estimated
_NORMAL = 1.4826  # standard deviation of a normal variable by its median absolute deviation


def guarded_model(model: RoxModel, data: object, options: PathOptions | SemOptions | LinkedOptions) -> RoxModel:
    """The model that is fitted: with ``"factor"`` the items of a survey that holds cause and effect move together."""
    guard: object = options.method_guard
    if guard is None:
        return model
    if guard not in get_args(MethodGuard):
        raise RoxError(f"method_guard= was {guard!r}.", hint=did_you_mean(str(guard), get_args(MethodGuard)))
    if guard == "split":
        _check_split(model, data, options)
        return model
    if isinstance(options, PathOptions):
        raise RoxError(
            "method_guard='factor' is a factor of the items, and method='path' has none.",
            hint="Use method='linked', or method_guard='split'.",
        )
    found = list(model.covariances)
    said = {frozenset((pair.left, pair.right)) for pair in found}
    for source in shared_edges(model):
        found += [one for one in _together(model, source) if frozenset((one.left, one.right)) not in said]
    return model.model_copy(update={"covariances": tuple(found)})


def _together(model: RoxModel, source: str) -> Iterator[Covariance]:
    """Equal covariances of all items of a survey; an item alone in its construct has them as its variance, too."""
    scales = lengths(model, source)
    if len(set(scales.values())) > 1:
        raise RoxError(
            f"method_guard='factor': the items of {source!r} have scales of different lengths, so that a tendency does "
            "not move them by equally many points.",
            hint="Bring them to one scale, or use method_guard='split'.",
        )
    label = tendency_label(source)
    for left, right in combinations(scales, 2):
        yield Covariance(left=left, right=right, label=label)
    for construct in model.constructs:
        if construct.source == source and construct.observed:
            item = construct.item_names[0]
            if item == construct.name:
                problem = f"method_guard='factor': {item!r} is a construct and its only item, told apart by name only."
                raise RoxError(problem, hint="Give the construct another name than its item.")
            yield Covariance(left=item, right=item, label=label)


def tendency_notes(fit: Fit, guard: str | None) -> list[str]:
    """What a factor of the answers is like."""
    if guard != "factor":
        return []
    shared, notes = shared_edges(fit.model), []
    table = fit.parameters()
    for source in shared:
        row = table[(table["kind"] == "covariance") & (table["id"].map(_labels(fit)) == tendency_label(source))].iloc[0]
        size, ends = float(row["estimate"]), f"{plain(float(row['ci_low']), 2)} to {plain(float(row['ci_high']), 2)}"
        notes.append(
            f"method_guard='factor': all items of {source} share a tendency to answer high or low, whatever is asked: "
            f"variance {plain(size, 2)} ({ends}), a standard deviation of {plain(float(np.sqrt(max(size, 0.0))), 2)} "
            "points. What tells it from what constructs have in common are the arrows that the graph does not have: "
            "where one of them is true, it is taken for a tendency."
        )
    return notes or [
        "method_guard='factor': no arrow joins two constructs of one survey, so there is nothing to guard."
    ]


def _labels(fit: Fit) -> Mapping[str, str]:
    return {row.id: row.label for row in fit.table}


# --- parted respondents


def _check_split(model: RoxModel, data: object, options: PathOptions | SemOptions | LinkedOptions) -> None:
    if not isinstance(data, Study) or isinstance(options, SemOptions):
        raise RoxError(
            f"method_guard='split' parts the respondents of units, but the data are a {type(data).__name__}.",
            allowed="a rox.Study made of frames, with method='linked' or 'path'",
        )
    if options.bootstrap or (isinstance(options, LinkedOptions) and options.within != "pooled"):
        raise RoxError(
            "method_guard='split' has errors of its own, over its splits, and the covariance within units pooled.",
            hint="Leave bootstrap=, se='bootstrap' and within= out.",
        )
    for source in shared_edges(model):
        first = next(c.item_names for c in model.constructs if c.source == source)
        data.parted(source, [first], np.random.default_rng(0))  # refused before the work begins


def as_split(found: Fit, whole: Estimated, data: Study, options: PathOptions | LinkedOptions) -> Fit:
    """The fit with medians over splits in the place of what all answers together say; `found` is that, checked."""
    model, shared = found.model, shared_edges(found.model)
    if not shared:
        note = "method_guard='split': no arrow joins two constructs of one survey, so nobody was parted."
        return replace(found, notes=(*found.notes, note))
    parts = {source: _parts(model, source, pairs) for source, pairs in shared.items()}
    if isinstance(options, PathOptions):
        parts = {source: [[c.name for c in model.constructs if c.source == source]] * 2 for source in shared}
    split = _Split(model, data, options, parts)
    thetas, variances = [], []
    for own in np.random.SeedSequence(options.seed).spawn(_SPLITS):
        try:
            theta, vcov = split.estimates(np.random.default_rng(own), found)
        except (EstimationError, np.linalg.LinAlgError):
            continue
        thetas.append(theta)
        variances.append(np.diag(vcov))
    if len(thetas) < _FEWEST:
        raise EstimationError(
            f"method_guard='split': only {len(thetas)} of {_SPLITS} splits could be estimated.",
            hint="There are too few people in a unit to part them; use method_guard='factor', or more answers.",
        )
    theta, vcov = _combined(np.array(thetas), np.array(variances), found.vcov)
    if isinstance(options, PathOptions) or whole.solution is None:
        fit = fit_with(model, data, options, (theta, vcov))  # type: ignore[arg-type]
    else:
        solution = whole.solution
        fit = fit_of(replace(solution, found=replace(solution.found, theta=theta), vcov=vcov), options)
    kept = {name: getattr(found, name) for name in ("findings", "score_tests", "index_values")}
    return replace(fit, notes=(*fit.notes, split.note(len(thetas))), **kept)


def _parts(model: RoxModel, source: str, pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Constructs of a survey, as few sets as can be so that no arrow joins two of one."""
    graph = nx.Graph(pairs)
    graph.add_nodes_from(c.name for c in model.constructs if c.source == source)
    color = nx.greedy_color(graph, strategy="DSATUR")
    return [[name for name in model.names if color.get(name) == k] for k in range(max(color.values()) + 1)]


@dataclass(frozen=True, slots=True)
class _Split:
    """How respondents are parted: by source, the constructs that each part answers for."""

    model: RoxModel
    data: Study
    options: PathOptions | LinkedOptions
    parts: Mapping[str, list[list[str]]]

    def estimates(self, rng: np.random.Generator, found: Fit) -> tuple[FloatArray, FloatArray]:
        """Estimates and their covariance, of one split."""
        dealt = {
            source: self.data.parted(source, [self._items(names) for names in sets], rng)
            for source, sets in self.parts.items()
        }
        if isinstance(self.options, PathOptions):
            return self._regressions(dealt, found)
        sources = [one for own in self.data.moments.sources for one in dealt.get(own.source, [own])]
        moments = LinkedMoments(tuple(sources), self.data.moments.figures)
        solution = solve_units(self._apart(), moments, self.data, self.options)
        if not solution.found.converged:
            raise EstimationError("The split has no optimum.")
        return solution.found.theta, solution.vcov

    def _items(self, names: Sequence[str]) -> list[str]:
        return [item for name in names for item in self.model.find(name).item_names]

    def _apart(self) -> RoxModel:
        """The model as if each part were a survey of its own."""
        part = {n: f"{s} (part {k + 1})" for s, sets in self.parts.items() for k, own in enumerate(sets) for n in own}
        constructs = (c.model_copy(update={"source": part.get(c.name, c.source)}) for c in self.model.constructs)
        return self.model.model_copy(update={"constructs": tuple(constructs)})

    def _regressions(self, dealt: Mapping[str, list[SourceMoments]], found: Fit) -> tuple[FloatArray, FloatArray]:
        """Equation by equation: causes of the effect's own survey by one half, the effect by the other."""
        model, place = self.model, {name: k for k, name in enumerate(self.model.names)}
        scores = scores_of(model, self.data, self.options.cluster)
        causes, effects = (self._composites(dealt, half, scores.units or ()) for half in (0, 1))
        theta, variance = found.theta.copy(), np.diag(found.vcov).copy()
        for effect in model.endogenous:
            source = model.find(effect).source
            own = [place[name] for name in model.causes(effect) if model.find(name).source == source]
            if source not in dealt or not own:
                continue
            values = np.array(scores.values)
            values[:, own], values[:, place[effect]] = causes[:, own], effects[:, place[effect]]
            solved = solve_path(model, found.table, replace(scores, values=values), self.options.se == "robust")
            rows = [row for row in found.table if row.free and effect in (row.right, row.left)]
            at = [row.free - 1 for row in rows if row.right == effect and (row.kind == "edge" or row.left == effect)]
            theta[at], variance[at] = solved.theta[at], np.diag(solved.vcov)[at]
        before = np.diag(found.vcov)
        factor = np.sqrt(np.divide(variance, before, out=np.ones_like(before), where=before > 0))
        return theta, found.vcov * np.outer(factor, factor)

    def _composites(self, dealt: Mapping[str, list[SourceMoments]], half: int, units: Sequence[Hashable]) -> FloatArray:
        """(n, k) composites of the units by one half of the people, NaN where nobody of it answered."""
        sources = [
            replace(dealt[own.source][half], source=own.source) if own.source in dealt else own
            for own in self.data.moments.sources
        ]
        found = unit_composites(self.model, LinkedMoments(tuple(sources), self.data.moments.figures))
        at = {unit: k for k, unit in enumerate(found.units)}
        values = np.vstack([found.values, np.full(found.values.shape[1], np.nan)])
        return np.asarray(values[[at.get(unit, -1) for unit in units]])

    def note(self, splits: int) -> str:
        """What was done."""
        seed = self.options.seed
        drawn = "seed=None, so that another run parts them otherwise" if seed is None else f"seed={seed}"
        told = "; ".join(
            f"{source}: {' | '.join(', '.join(names) for names in sets)}" for source, sets in self.parts.items()
        )
        how = f"no arrow joins two constructs that the same people answered ({told})"
        if isinstance(self.options, PathOptions):
            how = f"one half answers for causes, the other for effects of their own survey ({', '.join(self.parts)})"
            how += "; means of halves are noisier, so that these effects are understated the more"
        return (
            f"method_guard='split': people of a unit were dealt out at random {splits} times ({drawn}): {how}. "
            "Estimates are medians over these splits, errors those of such medians; checks and fit indices are of all "
            "answers together. What single persons share no longer joins cause and effect; a tendency that all people "
            "of a unit share still does (method_guard='factor')."
        )


def _combined(thetas: FloatArray, variances: FloatArray, whole: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Medians over splits and their covariance: less than that of one split, no error below that of all answers.

    Correlations are those of the estimates from all answers together.
    """
    theta, own = np.median(thetas, axis=0), np.median(variances, axis=0)
    between = (np.median(np.abs(thetas - theta), axis=0) * _NORMAL) ** 2
    least = np.diag(whole)
    variance = np.maximum(own - (1 - np.pi / 2 / len(thetas)) * between, least)
    factor = np.sqrt(np.divide(variance, least, out=np.ones_like(own), where=least > 0))
    return theta, np.asarray(whole * np.outer(factor, factor))
