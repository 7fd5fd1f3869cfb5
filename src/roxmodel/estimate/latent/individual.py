"""The level of individuals, beside: edges among the answers of people of one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.estimate.latent.inference import beside_bound, bread_of
from roxmodel.estimate.latent.optimizer import feasible, reached
from roxmodel.estimate.latent.unit_sample import LinkedSample, Source
from roxmodel.implied.identification import PEOPLE, require_identified, require_seen
from roxmodel.implied.layout import Layout, lay_out
from roxmodel.implied.likelihood import NormalCells, Objective, Part, Seen, Target
from roxmodel.implied.matrices import implied
from roxmodel.implied.starts import start_values
from roxmodel.result.intervals import wald
from roxmodel.result.records import WithinEdge
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, plan
from roxmodel.types import FloatArray, Scaling

__all__ = ["WithinModel", "edges_of", "within_edges", "within_model", "within_part"]


@dataclass(frozen=True, slots=True)
class WithinModel:
    """The part of a model that one survey holds, laid out for answers within units.

    Attributes
    ----------
    model, table, layout
        Constructs and edges of one source.
    theta, vcov
        Estimates from the covariance within units, and their normal-theory covariance.
    """

    model: RoxModel
    table: ParameterTable
    layout: Layout
    theta: FloatArray
    vcov: FloatArray


def within_part(model: RoxModel, source: str) -> RoxModel:
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


def within_model(model: RoxModel, source: Source, scaling: Scaling) -> WithinModel:
    """Fit the part of a model that one survey holds to the covariance within units.

    Raises
    ------
    RoxError
        If it is not identified, or its covariance is singular.
    """
    part = within_part(model, source.name)
    table = plan(part, "reflective", means=False, scaling=scaling)
    scale = np.sqrt(np.diag(source.within.covariance))
    items = tuple(item.name for item in part.items)
    at = [source.moments.items.index(item) for item in items]
    covariance = source.within.covariance[np.ix_(at, at)] / np.outer(scale[at], scale[at])
    if np.linalg.eigvalsh(covariance)[0] < 1e-8:
        raise RoxError(f"Answers of {source.name} determine each other within units.")
    target = Target(np.zeros(len(items)), covariance)
    layout = lay_out(list(table), (items, part.names), {}, scale[at], table.n_free)
    values = start_values(part, table, [("", target)], scale[at])
    require_identified(part, table, (layout,), values)
    require_seen(table, (layout,), values, [_met(source)[np.ix_(at, at)]], PEOPLE)
    objective = Objective([Part(layout, _as_seen(source, at, target), 1.0)])
    found = reached(objective, feasible(objective, values[0], table), table)
    if not found.converged:
        raise RoxError(f"No optimum was found for {source.name}.")
    bread = bread_of(found, observed=False)
    vcov = beside_bound(bread.whole, bread) / max(_df(source), 1.0)
    return WithinModel(part, table, layout, found.theta, vcov)


def _met(source: Source) -> FloatArray:
    """(q, q) people who answered both items of a pair."""
    own = source.moments
    return np.asarray(np.broadcast_to(own.n, (len(own.units), *[len(own.items)] * 2)).sum(axis=0))


def _df(source: Source) -> float:
    """Respondents less units: of each item on average, or of all where a set of items counts by its people."""
    if source.within.apart is None:
        return source.within.df
    respondents = source.moments.respondents
    return float(respondents.sum() - (respondents > 0).sum())


def _as_seen(source: Source, at: Sequence[int], target: Target) -> Seen:
    """The covariance within units; where some items never met, as the sets of items that people answered show it.

    A set of items counts by the people who answered it: each set's part of the covariance is what its likelihood would
    see, so that what was filled in for items that never met has no say.
    """
    cells = source.cells
    if source.within.apart is None:
        return target
    if cells is None:
        raise RoxError(f"Some items of {source.name} never met, and who answered which is not at hand.")
    sizes = np.bincount(cells.pattern, weights=cells.n, minlength=len(cells.seen))
    seen = cells.seen[:, list(at)]
    both = seen[:, :, None] & seen[:, None, :]
    covariance = np.where(both, target.covariance, 0.0)
    return NormalCells(seen, np.zeros(seen.shape), sizes / sizes.sum(), covariance)


def edges_of(part: WithinModel, source: Source) -> list[WithinEdge]:
    """The edges of one survey within units, with normal-theory errors."""
    latent = implied(part.layout, part.theta).latent
    sd = dict(zip(part.layout.constructs, np.sqrt(np.maximum(np.diag(latent), 0.0)), strict=True))
    respondents = source.moments.respondents
    found = []
    for row in part.table.of("edge"):
        if not row.free:
            continue
        value, se = part.theta[row.free - 1], float(np.sqrt(max(part.vcov[row.free - 1, row.free - 1], 0.0)))
        low, high, p = wald(np.array([value]), np.array([se]), np.array([np.inf]))
        standardized = value * sd[row.left] / sd[row.right] if sd[row.right] > 0 else np.nan
        found.append(
            WithinEdge(
                row.left,
                row.right,
                source.name,
                float(value),
                se if se > 0 else np.nan,
                float(p[0]),
                float(low[0]),
                float(high[0]),
                float(standardized),
                int(respondents.sum()),
                int((respondents > 0).sum()),
            )
        )
    return found


def within_edges(model: RoxModel, sample: LinkedSample, scaling: Scaling) -> tuple[tuple[WithinEdge, ...], list[str]]:
    """Edges among answers of people of one unit, survey by survey, and why some are missing."""
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
            found += edges_of(within_model(model, source, scaling), source)
        except RoxError as error:
            notes.append(f"No edges within units for {source.name}: {str(error).splitlines()[0]}")
    return tuple(found), notes
