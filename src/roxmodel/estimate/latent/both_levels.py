"""People of one unit: edges among their answers, and both levels at once by the likelihood of all answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.estimate.latent.joint_likelihood import CompleteObjective, JointObjective, JointPart, is_complete
from roxmodel.estimate.latent.optimizer import Minimum, lower_bounds, minimise
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, LinkedSample, Sample, Source
from roxmodel.estimate.latent.solve import Bread, beside_bound, bread_of, solve
from roxmodel.estimate.latent.within import Within, holed
from roxmodel.implied.identification import NeverMetError
from roxmodel.implied.likelihood import Expansion, NormalCells, Target
from roxmodel.implied.matrices import Layout, implied, saturated
from roxmodel.moments.cells import Cells
from roxmodel.records import WithinEdge
from roxmodel.result.draws import wald
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import plan
from roxmodel.types import FloatArray, Scaling

__all__ = [
    "BothLevels", "cells_of", "estimate_jointly", "within_levels", "within_model",
]  # fmt: skip

_ROUNDS = 4
_SINGULAR = 1e-9  # smallest eigenvalue of correlations within units that answers may have
_MOST_ITEMS = 40  # up to which the Hessian of complete answers is found in closed form
_FIRST_STEPS, _STEPS = 200, 40  # with a rough Hessian, with one by differences


def _within_part(model: RoxModel, source: str) -> RoxModel:
    """Constructs of one source with the edges and covariances among them.

    What the model says of loadings, residuals and reliability is said of units, and does not hold of single answers.
    """
    constructs = [
        c.replace(
            items=[item.replace(loading=None, start=None) for item in c.items],
            residuals="equal" if len(c.items) == 2 else None,
            reliability=None,
        )
        for c in model.constructs
        if c.source == source
    ]
    names = {c.name for c in constructs} | {item for c in constructs for item in c.item_names}
    return RoxModel(
        name=f"{model.name}: {source}",
        constructs=tuple(constructs),
        edges=tuple(
            edge.replace(fixed=None, label=None, start=None)
            for edge in model.edges
            if edge.lag == 0 and {edge.cause, edge.effect} <= names
        ),
        covariances=tuple(
            pair.replace(fixed=None, label=None, start=None)
            for pair in model.covariances
            if {pair.left, pair.right} <= names and pair.left != pair.right
        ),
        feedback=model.feedback,
        terminal_covariances=model.terminal_covariances,
    )


def within_model(model: RoxModel, source: Source, scaling: Scaling) -> LatentSolution:
    """Fit the part of a model that one survey holds to the covariance within units; errors by normal theory.

    Raises RoxError if it is not identified, or its covariance is singular.
    """
    part = _within_part(model, source.name)
    scale = np.sqrt(np.diag(source.within.covariance))
    items = tuple(item.name for item in part.items)
    at = [source.moments.items.index(item) for item in items]
    covariance = source.within.covariance[np.ix_(at, at)] / np.outer(scale[at], scale[at])
    if np.linalg.eigvalsh(covariance)[0] < 1e-8:
        raise RoxError(f"Answers of {source.name} determine each other within units.")
    target, met = Target(np.zeros(len(items)), covariance), source.moments.n.sum(axis=0)[np.ix_(at, at)]
    group = GroupSample("", max(_df(source), 1.0), target, _as_seen(source, at, covariance), met=met)
    sample = Sample(items, scale[at], (group,), None, None, None, 0, ())
    known = solve(part, sample, plan(part, "reflective", means=False, scaling=scaling), observed=False)
    if source.within.apart is not None and source.cells is None:
        raise RoxError(f"Some items of {source.name} never met, and who answered which is not at hand.")
    if not known.found.converged:
        raise RoxError(f"No optimum was found for {source.name}.")
    return replace(known, vcov=beside_bound(known.bread.whole, known.bread) / sample.n)


def _df(source: Source) -> float:
    """Respondents less units: of each item on average, or of all where a set of items counts by its people."""
    if source.within.apart is None:
        return source.within.df
    respondents = source.moments.respondents
    return float(respondents.sum() - (respondents > 0).sum())


def _as_seen(source: Source, at: Sequence[int], covariance: FloatArray) -> NormalCells | None:
    """Where some items never met: the covariance within units as the sets of items that people answered show it.

    A set of items counts by the people who answered it: each set's part of the covariance is what its likelihood would
    see, so that what was filled in for items that never met has no say.
    """
    cells = source.cells
    if source.within.apart is None or cells is None:
        return None
    sizes = np.bincount(cells.pattern, weights=cells.n, minlength=len(cells.seen))
    seen = cells.seen[:, list(at)]
    both = seen[:, :, None] & seen[:, None, :]
    return NormalCells(seen, np.zeros(seen.shape), sizes / sizes.sum(), np.where(both, covariance, 0.0))


def _edges_of(part: LatentSolution, source: Source) -> list[WithinEdge]:
    """The edges of one survey within units, with normal-theory errors."""
    latent = implied(part.layout, part.found.theta).latent
    sd = dict(zip(part.layout.constructs, np.sqrt(np.maximum(np.diag(latent), 0.0)), strict=True))
    respondents = source.moments.respondents
    people, units = int(respondents.sum()), int((respondents > 0).sum())
    found = []
    for row in part.table.of("edge"):
        if not row.free:
            continue
        at = row.free - 1
        value, se = part.found.theta[at], float(np.sqrt(max(part.vcov[at, at], 0.0)))
        low, high, p = wald(np.array([value]), np.array([se]), np.array([np.inf]))
        standardized = value * sd[row.left] / sd[row.right] if sd[row.right] > 0 else np.nan
        found.append(
            WithinEdge(
                row.left, row.right, source.name, float(value), se if se > 0 else np.nan, float(p[0]), float(low[0]),
                float(high[0]), float(standardized), people, units,
            )
        )  # fmt: skip
    return found


def within_levels(
    model: RoxModel, sample: LinkedSample, joint: BothLevels | None, scaling: Scaling
) -> tuple[tuple[WithinEdge, ...], list[str]]:
    """Edges among answers of people of one unit, survey by survey, and why some are missing."""
    if joint is None or not joint.within:
        edges, words = _pooled_edges(model, sample, scaling)
        return edges, [*(() if joint is None else joint.notes), *words]
    models = {part.model.constructs[0].source: part for part in joint.within}
    own = [_edges_of(models[source.name], source) for source in sample.sources if source.name in models]
    return tuple(edge for edges in own for edge in edges), list(joint.notes)


def _pooled_edges(model: RoxModel, sample: LinkedSample, scaling: Scaling) -> tuple[tuple[WithinEdge, ...], list[str]]:
    found: list[WithinEdge] = []
    notes: list[str] = []
    for source in sample.sources:
        names = {c.name for c in model.constructs if c.source == source.name}
        if not any(edge.lag == 0 and {edge.cause, edge.effect} <= names for edge in model.edges):
            continue
        if source.within.assumed:
            notes.append(f"No edges within units for {source.name}: how answers correlate there is not known.")
            continue
        try:
            found += _edges_of(within_model(model, source, scaling), source)
        except RoxError as error:
            notes.append(f"No edges within units for {source.name}: {str(error).splitlines()[0]}")
    return tuple(found), notes


def cells_of(source: Source) -> Cells:
    """Answers by unit and pattern; where nobody skipped an item, one cell a unit.

    Raises EstimationError if answers are missing and their rows are not at hand, or only means were printed.
    """
    if source.cells is not None:
        return source.cells
    own = source.moments
    counts = own.counts
    incomplete = holed(own)
    weighted = own.weight is not own.n and bool((own.weight != own.n).any())
    if incomplete or weighted or np.isnan(own.scatter).any() or source.within.assumed:
        why = "carries sampling weights" if weighted else "has holes whose rows are not at hand, or printed means only"
        raise EstimationError(
            f"The likelihood of all respondents needs their answers, but the {source.name} survey {why}.",
            hint="Use within='pooled'.",
        )
    unit = np.flatnonzero(counts[:, 0] > 0)
    several = np.flatnonzero(counts[unit, 0] > 1)
    return Cells(
        items=own.items,
        units=own.units,
        seen=np.ones((1, len(own.items)), dtype=bool),
        unit=unit,
        pattern=np.zeros(len(unit), dtype=np.int64),
        n=counts[unit, 0],
        mean=own.mean[unit],
        several=several,
        scatter=np.ascontiguousarray(own.scatter[unit[several]]),
    )


@dataclass(frozen=True, slots=True)
class BothLevels:
    """The optimum over all answers."""

    solution: LatentSolution  # the part between units; its bread is that of the whole, its own parameters only
    sample: LinkedSample  # with the covariances within units that go with it
    within: tuple[LatentSolution, ...]  # models within units with their estimates; empty for "saturated"
    value: float  # half the deviance of all answers per unit, without log 2π
    n_free: int  # parameters of both levels
    answers: float  # answers and figures that the likelihood is of
    notes: tuple[str, ...] = ()  # surveys whose items are too far apart for a model within units


def estimate_jointly(
    model: RoxModel, sample: LinkedSample, known: LatentSolution, modelled: bool, scaling: Scaling
) -> BothLevels:
    """Maximise the likelihood of all answers, from the estimate with the pooled covariance within units.

    Raises EstimationError if the answers are not at hand, or the model within units cannot be estimated.
    """
    parts, starts, lowers, models = [], [known.found.theta], [lower_bounds(known.table)], []
    notes: list[str] = []
    first = known.table.n_free
    for source in sample.sources:
        if source.moments.eligible is not None:
            raise EstimationError(
                "eligible= (finite units) belongs to within='pooled': the likelihood of all respondents takes them as "
                "a sample of very many.",
                hint="Use within='pooled', or leave eligible= out of the study.",
            )
        if source.moments.teams is not None:
            raise EstimationError(
                "team= (people who answer alike) belongs to within='pooled': the likelihood of all respondents takes "
                "people of a unit as independent.",
                hint="Use within='pooled', or leave team= out of the study.",
            )
        cells = cells_of(source)
        _require_regular(source)
        layout, theta, lower, own = _within_start(model, source, modelled, scaling)
        if modelled and own is None:
            notes.append(f"{source.name}: any covariance of answers within units was allowed, no model of it (below).")
        there = source.rows >= 0
        answered = np.zeros(len(cells.units), dtype=bool)
        answered[cells.unit] = True
        there = there & answered[source.rows]
        parts.append(JointPart(source, cells, layout, first, there, source.rows[there]))
        starts.append(theta)
        lowers.append(lower)
        models.append(own)
        first += layout.n_free
    objective = JointObjective(known.layout, sample, parts, sample.data.weight, first)
    lower, start = np.concatenate(lowers), np.concatenate(starts)
    if is_complete(parts) and len(sample.items) <= _MOST_ITEMS:
        found = minimise(CompleteObjective(known.layout, sample, parts, first), start, lower)
        found = replace(found, expansion=replace(found.expansion, value=objective.value(found.theta)))
        bread = bread_of(found, observed=True)
    else:
        found = _minimised(objective, start, lower)
        bread = bread_of(_expected(found, known), observed=True)
    return replace(_joint(known, sample, (objective, found, bread), models), notes=tuple(notes))


def _require_regular(source: Source) -> None:
    """Refuse answers that determine each other within units: their likelihood grows for ever."""
    sd = np.sqrt(np.diag(source.within.covariance))
    names = [item for item, own in zip(source.moments.items, sd, strict=True) if not own > 0]
    if not names:
        values, vectors = np.linalg.eigh(source.within.covariance / np.outer(sd, sd))
        if values[0] > _SINGULAR:
            return
        share = np.abs(vectors[:, 0])
        names = [item for item, own in zip(source.moments.items, share, strict=True) if own > 0.1 * share.max()]
    raise EstimationError(
        f"Within units the answers to {listed(names)} ({source.name}) determine each other or do not vary, so the "
        "likelihood of all answers has no maximum.",
        hint="Leave one of them out, or use within='pooled'.",
    )


def _within_start(
    model: RoxModel, source: Source, modelled: bool, scaling: Scaling
) -> tuple[Layout, FloatArray, FloatArray, LatentSolution | None]:
    try:
        own = within_model(model, source, scaling) if modelled else None
    except NeverMetError:
        own = None  # the covariances that were seen are told all the same
    except RoxError as error:
        raise EstimationError(
            f"The model within units of the {source.name} survey cannot be estimated. {str(error).splitlines()[0]}",
            hint="Use within='pooled' or 'saturated'.",
        ) from None
    if own is not None:
        return own.layout, own.found.theta, lower_bounds(own.table), own
    scale = np.sqrt(np.diag(source.within.covariance))
    target = source.within.covariance / np.outer(scale, scale)
    known, apart = (np.zeros(len(scale)), target), source.within.apart
    layout, theta = saturated(source.moments.items, scale, known, means=False, apart=apart)
    return layout, theta, np.full(layout.n_free, -np.inf), None


def _expected(found: Minimum, known: LatentSolution) -> Minimum:
    """With the expected information between units by the pooled estimate, for what is held at its bound there."""
    k, near = known.table.n_free, found.expansion
    information = near.information.copy()
    information[:k, :k] = known.found.expansion.information
    information[:k, k:] = information[k:, :k] = 0.0
    return replace(found, expansion=replace(near, information=information))


def _minimised(objective: JointObjective, start: FloatArray, lower: FloatArray) -> Minimum:
    """Newton's method with a Hessian by differences, found anew until it no longer matters."""
    size = np.where(start != 0, np.abs(start), 0.1)
    theta, found = start, None
    for count in range(_ROUNDS):
        rough = objective.guess(theta) if count == 0 else None
        if rough is not None and np.isfinite(rough).all():
            objective.hessian = rough
        else:
            objective.hessian = objective.differentiate(theta, size)
        own = np.abs(np.diag(objective.hessian))
        size = 1.0 / np.sqrt(np.where(own > 0, own, 1.0))
        found = minimise(objective, theta, lower, _STEPS if count else _FIRST_STEPS)
        moved = np.abs(found.theta - theta) / size
        theta = found.theta
        if count and found.converged and moved.max() * np.sqrt(objective.sample.n) < 1e-3:
            break
    if found is None:
        raise EstimationError("No step was made.")
    return found


def _joint(
    known: LatentSolution,
    sample: LinkedSample,
    solved: tuple[JointObjective, Minimum, Bread],
    models: Sequence[LatentSolution | None],
) -> BothLevels:
    objective, found, bread = solved
    k, theta = known.table.n_free, found.theta
    at = found.expansion
    between = Expansion(at.value, at.gradient[:k], at.hessian[:k, :k], at.information[:k, :k])
    minimum = replace(found, theta=theta[:k], expansion=between, bound=found.bound[:k])
    flat = None if bread.flat is None else bread.flat[:k]
    own = replace(
        bread, inverse=bread.inverse[:k, :k], information=bread.information[:k, :k], flat=flat,
        whole=bread.whole[:k, :k], held=bread.held[:k],
    )  # fmt: skip
    sources, within = [], []
    for part, model in zip(objective.parts, models, strict=True):
        covariance = part.covariance(theta)
        old = part.source.within
        sources.append(
            replace(part.source, within=Within(covariance, old.df, None, _said(old.notes, part.source.name), old.apart))
        )
        if model is not None:
            places = slice(part.first, part.first + part.layout.n_free)
            vcov = beside_bound(bread.whole, bread)[places, places] / sample.n
            within.append(replace(model, found=replace(model.found, theta=part.own(theta)), vcov=vcov))
    again = replace(sample, sources=tuple(sources), data=objective.means(theta)[0])
    answers = sum(float(part.cells.n @ part.cells.seen[part.cells.pattern].sum(axis=1)) for part in objective.parts)
    figures = sample.data.seen.copy()
    for part in objective.parts:
        figures[:, part.source.at] = False
    return BothLevels(
        replace(known, sample=again, found=minimum, bread=own), again, tuple(within), at.value, objective.n_free,
        answers + float(figures.sum()),
    )  # fmt: skip


def _said(notes: tuple[str, ...], name: str) -> tuple[str, ...]:
    if not notes:
        return ()
    return (f"{name}: answers are missing; the likelihood of all answers assumes that they are missing at random.",)
