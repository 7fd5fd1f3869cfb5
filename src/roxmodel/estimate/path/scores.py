"""What method "path" regresses on what: composites or their covariance; places of the equations; what it refuses."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean, listed
from roxmodel.estimate.path.regression import Task
from roxmodel.estimate.sentences import hidden_notes
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.records import LINEAR
from roxmodel.result.system import root_of
from roxmodel.spec.causal import loop_within
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.spec.questionnaire import Binary, Count
from roxmodel.survey.answers import read_answers
from roxmodel.survey.composites import hidden_scores, item_mean, partial_words, shift_words, unit_composites
from roxmodel.survey.frames import open_frame, raw_column, refuse_matrix, require_columns
from roxmodel.survey.keys import refuse_rounded
from roxmodel.survey.linkage import agreement
from roxmodel.survey.study import Study, check_same_items
from roxmodel.types import BoolArray, FloatArray, IntArray, Level

__all__ = ["Scores", "Spot", "check_recursive", "scores_of", "scores_of_frame", "spots_of"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the constructs: with rows, or their covariance alone."""

    names: tuple[str, ...]  # (k,) constructs
    level: Level  # between units, or single
    n: int
    families: tuple[str, ...]  # (k,) that the outcome's scale asks for
    within: Mapping[str, FloatArray]
    """Construct -> (p, p) covariance of single answers to its items (reversed ones turned) within a unit; between rows
    where rows are respondents. NaN where unknown."""
    values: FloatArray | None = None  # (n, k), NaN where missing; None where only a covariance is known
    covariance: FloatArray | None = None  # (k, k), divisor n, and
    mean: FloatArray | None = None  # (k,), where only these are known (the mean perhaps not)
    units: tuple[Hashable, ...] | None = None  # keys of the rows where rows are units
    clusters: IntArray | None = None  # (n,) 0…G-1
    cluster_name: str | None = None
    notes: tuple[str, ...] = ()
    hidden: BoolArray | None = None  # (n, k) what enters the regressions but nothing that is said of single units
    min_group: int = 0  # smallest number of people behind a score that may be shown

    def rows(self) -> tuple[FloatArray, FloatArray | None]:
        """(n, k) rows and, where they stand for a printed matrix, their constant: their sums are those of n people."""
        if self.values is not None:
            return self.values, None
        root = np.sqrt(float(self.n))
        mean = np.zeros(len(self.names)) if self.mean is None else self.mean
        one = np.zeros(len(mean) + 1)
        one[0] = root
        return root * np.vstack([mean, root_of(np.asarray(self.covariance)).T]), one


def scores_of(model: RoxModel, data: object, cluster: str | None) -> Scores:
    """Scores of a study's units, of the rows of a frame, or of a printed matrix."""
    if isinstance(data, Study):
        return _scores_of_study(model, data, cluster)
    if isinstance(data, Moments):
        if cluster is not None:
            raise RoxError(f"cluster={cluster!r}: a printed matrix has no rows to cluster.", hint="Leave cluster= out.")
        return _scores_of_moments(model, data)
    if isinstance(data, LinkedMoments):
        raise RoxError("Linked moments belong to method='linked'.", hint="Give a Study, or use method='linked'.")
    return scores_of_frame(model, data, cluster)


def _scores_of_study(model: RoxModel, study: Study, cluster: str | None) -> Scores:
    """Composites of the units of a study."""
    check_same_items(model, study.model)
    composites = unit_composites(model, study.moments)
    some: BoolArray = np.asarray(~np.isnan(composites.values).all(axis=1))
    values = composites.values[some]
    hidden = hidden_scores(model, study.moments, study.min_group)[some]
    _refuse_constant(model, values, "units")
    clusters = None
    if cluster is not None:
        column = study.unit_column(cluster)
        clusters = _codes([value for value, kept in zip(column, some, strict=True) if kept], cluster)
    partial = [
        f"{count} unit score(s) of {name!r} rest on some of its items only (the others nobody answered there)"
        f"{'; ' if shift_words(shift) else ''}{shift_words(shift)}."
        for name, count, shift in zip(composites.names, composites.partial, composites.shift, strict=True)
        if count
    ]
    return Scores(
        names=model.names,
        level="between",
        values=values,
        n=len(values),
        units=tuple(unit for unit, kept in zip(composites.units, some, strict=True) if kept),
        clusters=clusters,
        cluster_name=cluster,
        families=tuple(_family(model, name, unit_level=True) for name in model.names),
        within={c.name: _within(study, c) for c in model.constructs},
        notes=(*_noise_note(model, study), *partial, *hidden_notes(model.names, hidden, study.min_group)),
        hidden=hidden,
        min_group=study.min_group,
    )


def _within(study: Study, construct: Construct) -> FloatArray:
    p = len(construct.items)
    if construct.source == UNIT:
        return np.full((p, p), np.nan)
    return study.moments.source(construct.source).select(construct.item_names).within_covariance


def _refuse_constant(model: RoxModel, values: FloatArray, rows: str) -> None:
    """Refuse a score that never varies, up to rounding: it causes nothing and nothing explains it."""
    for construct, column in zip(model.constructs, values.T, strict=True):
        known = column[~np.isnan(column)]
        if len(known) == 0:
            raise DataError(f"No {rows} have a score of {construct.name!r}.", hint="Leave the construct out.")
        if np.ptp(known) <= 1e-13 * np.abs(known).max():
            raise EstimationError(
                f"The score of {construct.name!r} is constant: it is {known[0]:g} in all {len(known)} {rows} that "
                "have it.",
                hint="Leave the construct out, or check whether an item that is reversed was declared so.",
            )


def _noise_note(model: RoxModel, study: Study) -> tuple[str, ...]:
    """Regressions of unit means ignore that the means are noisy: say so, with the reliabilities."""
    if all(construct.source == UNIT for construct in model.constructs):
        return ()
    known = []
    for construct in model.constructs:
        if construct.source != UNIT:
            icc2 = agreement(study.moments.source(construct.source), construct).icc2
            if not np.isnan(icc2):
                known.append((icc2, construct.name))
    shown = ", ".join(f"{name} {icc2:.2f}" for icc2, name in sorted(known))
    tail = f" Reliability of the unit means, ICC(2): {shown}." if shown else ""
    sources = {construct.name: construct.source for construct in model.constructs}
    same = any(sources[edge.cause] == sources[edge.effect] != UNIT for edge in model.edges)
    alike = " (where one survey rates both ends, what its raters share can also overstate them)" if same else ""
    if any(source.teams is not None for source in study.moments.sources):
        tail += " Teams (team=) count in these reliabilities; the effects do not know them."
    note = (
        "Unit means are taken as if measured without sampling error, so effects of survey constructs are as a rule "
        f"understated{alike}, the more the fewer answers a unit has, and the intervals do not count it.{tail}"
    )
    return (note,)


def scores_of_frame(model: RoxModel, native: object, cluster: str | None) -> Scores:
    """Composites of the rows of one frame that holds all items (the single-level case)."""
    refuse_matrix(native)
    wanted = [*(item.name for item in model.items), *([cluster] if cluster is not None else [])]
    frame = open_frame("data", native, wanted)
    require_columns("data", frame, [item.name for item in model.items])
    answers = {}  # (n, p) by construct, reversed ones turned
    for construct in model.constructs:
        turned = [read_answers("data", frame, item, coerce=False).turned for item in construct.items]
        answers[construct.name] = np.column_stack(turned).astype(np.float64)
    scored = {name: item_mean(own) for name, own in answers.items()}
    values = np.column_stack([score for score, _ in scored.values()])
    _refuse_constant(model, values, "rows")
    clusters = None
    if cluster is not None:
        require_columns("data", frame, [cluster])
        clusters = _codes(raw_column(frame, cluster).tolist(), cluster)
    partial = [
        f"{count} score(s) of {name!r} rest on some of its items only"
        f"{'; ' if partial_words(answers[name]) else ''}{partial_words(answers[name])}."
        for name, (_, count) in scored.items()
        if count
    ]
    return Scores(
        names=model.names,
        level="single",
        values=values,
        n=len(frame),
        clusters=clusters,
        cluster_name=cluster,
        families=tuple(_family(model, name, unit_level=False) for name in model.names),
        within={name: _covariance_of_complete(own) for name, own in answers.items()},
        notes=tuple(partial),
    )


def _covariance_of_complete(answers: FloatArray) -> FloatArray:
    """(p, p) covariance of the items over the rows that answered all of them, divisor n - 1."""
    complete = answers[~np.isnan(answers).any(axis=1)]
    p = answers.shape[1]
    return np.full((p, p), np.nan) if len(complete) < 2 else np.cov(complete, rowvar=False).reshape(p, p)


def _scores_of_moments(model: RoxModel, moments: Moments) -> Scores:
    """Covariance of the composites from a covariance of the items."""
    for item in model.items:
        if item.name not in moments.names:
            raise DataError(f"The moments hold no variable {item.name!r}.", hint=did_you_mean(item.name, moments.names))
    weights = np.zeros((len(model.names), len(moments.names)))
    offsets = np.zeros(len(model.names))
    within = {}
    for row, construct in enumerate(model.constructs):
        signs = np.array([item.reading[0] for item in construct.items])
        at = [moments.names.index(item.name) for item in construct.items]
        weights[row, at] = signs / len(at)
        offsets[row] = sum(item.reading[1] for item in construct.items) / len(at)
        within[construct.name] = moments.covariance[np.ix_(at, at)] * np.outer(signs, signs)
    scored = moments.combine(weights, model.names)
    _refuse_flat(model, scored.covariance, within)
    return Scores(
        names=model.names,
        level="single",
        covariance=scored.covariance * (moments.n - 1) / moments.n,
        mean=None if scored.mean is None else scored.mean + offsets,
        n=moments.n,
        families=tuple(LINEAR for _ in model.names),
        within=within,
        notes=("From moments: no rows, so errors are classical and every equation is linear.",),
    )


def _refuse_flat(model: RoxModel, covariance: FloatArray, within: Mapping[str, FloatArray]) -> None:
    for construct, variance in zip(model.constructs, np.diag(covariance), strict=True):
        if variance <= 1e-13 * float(np.diag(within[construct.name]).max()):
            raise EstimationError(
                f"The score of {construct.name!r} is constant: its items cancel each other out.",
                hint="Check whether an item that is reversed was declared so.",
            )


def _family(model: RoxModel, name: str, unit_level: bool) -> str:
    """Logit for yes/no, Poisson for counts, where one row holds one such answer."""
    construct = model.find(name)
    if not model.causes(name) or len(construct.items) > 1 or (unit_level and construct.source != UNIT):
        return LINEAR
    scale = construct.items[0].scale
    return "logit" if isinstance(scale, Binary) else "poisson" if isinstance(scale, Count) else LINEAR


def _codes(values: list[Hashable], column: str) -> IntArray:
    import pandas as pd

    codes, found = pd.factorize(np.asarray(values, dtype=object))
    refuse_rounded(f"cluster= column {column!r}", found)
    missing = int((codes < 0).sum())
    if missing:
        raise DataError(f"cluster= column {column!r} is empty in {missing} row(s).", hint="Fill it or drop the rows.")
    if len(found) < 2:
        raise DataError(f"cluster= column {column!r} has one cluster only.", allowed="at least 2, better 30")
    return np.asarray(codes, dtype=np.int64)


# --- where each equation stands, and what single regressions cannot estimate


@dataclass(frozen=True, slots=True)
class Spot:
    """One equation's places: in the constructs and in theta."""

    effect: int
    causes: tuple[int, ...]  # whose edges are free
    fixed: tuple[tuple[int, float], ...]  # place and value of those whose edges are fixed
    theta: tuple[int, ...]  # of the intercept (if there are means) and of the free edges

    def complete(self, values: FloatArray) -> BoolArray:
        """(n,) rows with the effect and all its causes, those of fixed edges included."""
        used = [self.effect, *self.causes, *(cause for cause, _ in self.fixed)]
        return np.asarray(~np.isnan(values[:, used]).any(axis=1))

    def stated(self, values: FloatArray) -> FloatArray:
        """(n,) what the fixed edges bring."""
        found = np.zeros(len(values))
        for cause, value in self.fixed:
            found += value * values[:, cause]
        return found

    def task(self, scores: Scores, own: FloatArray) -> Task:
        """The regression, `own` (n, k) being the complete rows."""
        family, outcome, stated = scores.families[self.effect], own[:, self.effect], self.stated(own)
        return Task(
            effect=scores.names[self.effect],
            causes=tuple(scores.names[c] for c in self.causes),
            y=outcome - stated if family == LINEAR else outcome,
            x=own[:, list(self.causes)],
            offset=stated,
            clusters=None,
            family=family,
            robust=False,
        )


def spots_of(model: RoxModel, table: ParameterTable) -> tuple[Spot, ...]:
    """Where each equation stands."""
    place = {name: i for i, name in enumerate(model.names)}
    intercepts = {row.left: row.free - 1 for row in table.of("intercept") if row.free}
    spots = []
    for effect in model.endogenous:
        edges = [row for row in table.of("edge") if row.right == effect and not row.lag]
        own = [row for row in edges if row.free]
        head = (intercepts[effect],) if effect in intercepts else ()
        spots.append(
            Spot(
                effect=place[effect],
                causes=tuple(place[row.left] for row in own),
                fixed=tuple((place[row.left], float(row.value or 0.0)) for row in edges if not row.free),
                theta=(*head, *(row.free - 1 for row in own)),
            )
        )
    return tuple(spots)


def check_recursive(model: RoxModel, table: ParameterTable) -> None:
    """Refuse what single regressions cannot estimate: feedback, confounded edges, equal labels, free lags."""
    free_lagged = [f"{row.left} -> {row.right}" for row in table.of("edge") if row.lag and row.free]
    if free_lagged:
        raise EstimationError(
            f"The lagged edge {listed(free_lagged)} is free, but one wave cannot estimate a lag.",
            hint="Fix its value (rox.Edge(..., lag=1, fixed=0.1)): it then acts in the simulation only.",
        )
    _refuse_loop(model)
    _refuse_confounded(model, table)
    numbers = [row.free for row in table if row.free]
    shared = {row.label for row in table if row.free and numbers.count(row.free) > 1}
    if shared:
        raise EstimationError(
            f"The label {listed(sorted(shared))} stands on several parameters, but method='path' estimates each "
            "equation by itself and cannot hold them equal.",
            hint="Use different labels.",
        )


def _refuse_loop(model: RoxModel) -> None:
    around = loop_within(model.edges)
    if around is None:
        return
    raise EstimationError(
        f"The edges {around} are a feedback loop: regressions of one on the other are biased.",
        hint="method='path' needs a graph without loops; give one edge of the loop a lag and a fixed value.",
    )


def _refuse_confounded(model: RoxModel, table: ParameterTable) -> None:
    """Refuse a cause that carries what an unmeasured common cause adds to the effect; a fixed edge is not estimated."""
    free = {(row.left, row.right) for row in table.of("edge") if row.free and not row.lag}
    ancestors = {name: {name} for name in model.names}
    for name in model.order():
        for cause in model.causes(name):
            ancestors[name] |= ancestors[cause]
    for pair in model.covariances:
        for effect, other in ((pair.left, pair.right), (pair.right, pair.left)):
            if effect not in ancestors or effect == other or pair.fixed == 0:
                continue
            hit = [c for c in model.causes(effect) if (c, effect) in free and other in ancestors[c]]
            if hit:
                raise EstimationError(
                    f"The unmeasured common cause {pair} confounds the edge {hit[0]} -> {effect}: a regression of "
                    f"{effect!r} on {hit[0]!r} would be biased.",
                    hint="Measure the common cause and add it as a context construct.",
                )
