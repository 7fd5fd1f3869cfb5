"""What method "linked" estimates from: means of the units, and how uncertain each of them is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import DataError, EstimationError, listed
from roxmodel.estimate.latent.unit_within import Within, within_of
from roxmodel.implied.likelihood import NormalCells
from roxmodel.moments.cells import Cells
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.source import SourceMoments
from roxmodel.moments.unit_means import mean_noise
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["LinkedSample", "Source", "linked_sample", "noise_of", "reweighted", "with_noise"]

_FAR = 1e4  # of a mean from 0, in standard deviations between units
_SAME = 1e-10  # smallest eigenvalue of correlations of unit means that distinct items may have
_FLOOR = 0.05  # between-unit variance taken at the start, as a share of that of the means


@dataclass(frozen=True, slots=True)
class Source:
    """One survey, laid out over the units of the sample.

    Attributes
    ----------
    name
        Of the source.
    at
        (q,) places of its items among those of the model.
    rows
        (J,) place of each unit in the source's own moments, -1 where it has none.
    moments
        By unit; items in the order of the model.
    cells
        By unit and pattern of missing answers, where answers are missing and rows were at hand.
    groups
        (q,) construct of each item.
    within
        Covariance of answers within units, and how it was found.
    """

    name: str
    at: IntArray
    rows: IntArray
    moments: SourceMoments
    cells: Cells | None
    groups: IntArray
    within: Within


@dataclass(frozen=True, slots=True)
class LinkedSample:
    """All units that contribute.

    Attributes
    ----------
    items
        (p,) observed variables.
    units
        (J,) keys.
    scale
        (p,) rough between-unit standard deviations that everything is expressed in.
    sources
        The surveys.
    data
        Means and noise in units of the scale.
    raw
        (J, p) means in the items' points, NaN where there are none.
    people
        (J, p) respondents behind each mean; 0 for figures of the unit.
    notes
        What a reader must know of how the data were read.
    """

    items: tuple[str, ...]
    units: tuple[Hashable, ...]
    scale: FloatArray
    sources: tuple[Source, ...]
    data: NormalCells
    raw: FloatArray
    people: FloatArray
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Units that contribute."""
        return len(self.units)


def linked_sample(model: RoxModel, moments: LinkedMoments, cells: Mapping[str, Cells]) -> LinkedSample:
    """Lay the moments of all sources out over the units.

    Raises
    ------
    DataError, EstimationError
        For items that the moments do not hold, within-unit variances that nobody knows, too few units.
    """
    items = tuple(item.name for item in model.items)
    every, raw = _means(items, moments)
    seen = ~np.isnan(raw)
    kept = np.flatnonzero(seen.any(axis=1))
    units, raw, seen = tuple(every[k] for k in kept), raw[kept], seen[kept]
    _require_units(items, seen, raw)
    _require_digits(model, items, raw)
    found, people = [], np.zeros(raw.shape)
    for name in model.respondent_sources:
        names = [item.name for c in model.constructs if c.source == name for item in c.items]
        own = moments.source(name).select(names)
        groups = [k for k, c in enumerate(model.constructs) if c.source == name for _ in c.items]
        source = _source(name, own, cells.get(name), (items, units), np.array(groups, dtype=np.int64))
        people[:, source.at] = np.where(source.rows[:, None] >= 0, own.counts[source.rows], 0.0)
        found.append(source)
    _require_distinct(items, raw, tuple(found))
    noise = noise_of(tuple(found), raw.shape)
    spread = _spread(raw, noise)
    data = NormalCells(
        seen, np.where(seen, raw, 0.0) / spread, np.ones(len(units)), noise=noise / np.outer(spread, spread)
    )
    notes = _population_notes(tuple(found))
    empty = len(every) - len(units)
    if empty:
        notes.append(f"{empty} unit(s) hold no answer and no figure of this model and are left out.")
    return LinkedSample(items, units, spread, tuple(found), data, raw, people, tuple(notes))


def _means(items: tuple[str, ...], moments: LinkedMoments) -> tuple[tuple[Hashable, ...], FloatArray]:
    names, values = moments.item_means()
    missing = [item for item in items if item not in names]
    if missing:
        raise DataError(
            f"The moments hold nothing of {listed(missing)}.",
            hint="Give moments of every source that the model asks, with its items, and the units' figures.",
        )
    return moments.units, values[:, [names.index(item) for item in items]]


def _require_units(items: tuple[str, ...], seen: BoolArray, raw: FloatArray) -> None:
    """Refuse items that do not vary over units."""
    for k, item in enumerate(items):
        own = raw[seen[:, k], k]
        if len(own) < 2 or np.ptp(own) <= 1e-12 * np.abs(own).max():
            what = f"is known in {len(own)} unit(s)" if len(own) < 2 else "has the same mean in all units"
            raise EstimationError(
                f"Item {item!r} {what}, so nothing between units can be told from it.",
                hint="Leave it out, or link more units.",
            )


def _require_digits(model: RoxModel, items: tuple[str, ...], raw: FloatArray) -> None:
    """Refuse causes whose values lie so far from 0 that hardly any digits are left of their differences."""
    causes = {edge.cause for edge in model.edges if edge.lag == 0}
    mean, sd = np.nanmean(raw, axis=0), np.nanstd(raw, axis=0)
    for construct in model.constructs:
        for item in construct.item_names if construct.name in causes else ():
            k = items.index(item)
            if abs(mean[k]) > _FAR * sd[k]:
                raise EstimationError(
                    f"Item {item!r} lies around {mean[k]:.6g} and varies by {sd[k]:.3g} between units only: too few "
                    "digits are left of its differences.",
                    hint="Subtract a constant, such as its mean or its first year.",
                )


def _require_distinct(items: tuple[str, ...], raw: FloatArray, sources: tuple[Source, ...]) -> None:
    """Refuse items that determine each other in every unit, sampling error and all: one of them says nothing."""
    own = {k for source in sources for k in source.at.tolist()}
    figures = [k for k in range(len(items)) if k not in own]
    parts = [(source.at, source.within.covariance) for source in sources]
    parts.append((np.array(figures, dtype=np.int64), np.zeros((len(figures),) * 2)))
    for at, within in parts:
        rows = raw[:, at][~np.isnan(raw[:, at]).any(axis=1)]
        if len(at) < 2 or len(rows) <= len(at):
            continue
        sd = rows.std(axis=0)
        if not (sd > 0).all():
            continue
        unit = np.outer(sd, sd)
        between = np.cov(rows, rowvar=False, ddof=0) / unit
        values, vectors = np.linalg.eigh(between + within / unit / np.trace(within / unit + np.eye(len(at))))
        if values[0] < _SAME:
            share = np.abs(vectors[:, 0])
            names = [items[k] for k, size in zip(at, share, strict=True) if size > 0.1 * share.max()]
            raise EstimationError(
                f"Items {listed(names)} determine each other exactly in every unit, so one of them says nothing new.",
                hint="Leave one of them out: a copy, or the sum of others.",
            )


def _source(
    name: str,
    own: SourceMoments,
    cells: Cells | None,
    known: tuple[tuple[str, ...], tuple[Hashable, ...]],
    groups: IntArray,
) -> Source:
    items, units = known
    place = {unit: k for k, unit in enumerate(own.units)}
    rows = np.array([place.get(unit, -1) for unit in units], dtype=np.int64)
    at = np.array([items.index(item) for item in own.items], dtype=np.int64)
    return Source(name, at, rows, own, cells, groups, within_of(own, cells, groups=groups))


def noise_of(sources: tuple[Source, ...], shape: tuple[int, int]) -> FloatArray:
    """(J, p, p) covariance of the sampling errors of the unit means, in points squared: see `mean_noise`."""
    found = np.zeros((shape[0], shape[1], shape[1]))
    for source in sources:
        there = np.flatnonzero(source.rows >= 0)
        own = mean_noise(source.moments, source.within.covariance)
        found[np.ix_(there, source.at, source.at)] = own[source.rows[there]]
    return found


def _spread(raw: FloatArray, noise: FloatArray) -> FloatArray:
    """(p,) rough standard deviations between units."""
    variance = np.nanvar(raw, axis=0)
    error = np.where(np.isnan(raw), np.nan, np.diagonal(noise, axis1=1, axis2=2))
    return np.asarray(np.sqrt(np.maximum(variance - np.nanmean(error, axis=0), _FLOOR * variance)))


def _population_notes(sources: tuple[Source, ...]) -> list[str]:
    notes, endless = [], []
    for source in sources:
        eligible = source.moments.eligible
        used = source.rows[source.rows >= 0]
        if eligible is None or not np.isfinite(eligible[used]).any():
            endless.append(source.name)
        elif not np.isfinite(eligible[used]).all():
            unknown = int((~np.isfinite(eligible[used])).sum())
            notes.append(
                f"How many could have answered ({source.name}) is not known in {unknown} unit(s); there, very many."
            )
    if endless:
        notes.append(
            f"Those who answered ({', '.join(endless)}) are taken as a sample of very many who could have: their unit "
            "means carry the full sampling error. If most of a small team answered, say how many there are (eligible=)."
        )
    return notes


def reweighted(sample: LinkedSample, weight: FloatArray) -> NormalCells:
    """Means and noise when units count `weight` times, (J,): the covariance within units is found again too."""
    sources = []
    for source in sample.sources:
        own = np.zeros(len(source.moments.units))
        there = source.rows >= 0
        own[source.rows[there]] = weight[there]
        sources.append(
            replace(source, within=within_of(source.moments, source.cells, own, source.within, source.groups))
        )
    return with_noise(sample, tuple(sources), weight)


def with_noise(sample: LinkedSample, sources: tuple[Source, ...], weight: FloatArray) -> NormalCells:
    """The sample's means with the noise that other covariances within units imply."""
    noise = noise_of(sources, sample.raw.shape) / np.outer(sample.scale, sample.scale)
    return replace(sample.data, noise=noise).weighted(weight)
