"""A study laid out to be planned with: unit means, their sampling error, and the model at values to plan with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import RoxError
from roxmodel.implied.identification import (
    UNITS,
    NeverMetError,
    completed,
    require_identified,
    require_seen,
    together_of,
)
from roxmodel.implied.layout import lay_out
from roxmodel.implied.likelihood import NoisyMeans, Target
from roxmodel.implied.power import Planned
from roxmodel.implied.starts import between_table, given_values, moments_between, start_values
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.noise import mean_noise, without_say
from roxmodel.moments.source import SourceMoments
from roxmodel.spec.graph import RoxModel
from roxmodel.types import FloatArray

__all__ = ["Plan", "UnitMeans", "plan_study", "unit_means", "with_noise"]

_ASSUMED = 0.5  # correlation of two answers of one person, where it is not known
_FLOOR = 0.05  # between-unit variance taken at least, as a share of that of the means
_NEUTRAL = 0.3  # correlation of items where the data give none, to see whether parameters can be told apart
_CUTS = {1: 16, 2: 4, 3: 3}  # classes of noise a source, by number of sources; else 2


@dataclass(frozen=True, slots=True)
class UnitMeans:
    """Means of all units that know something of the model.

    Attributes
    ----------
    items
        (p,) items and figures.
    raw
        (J, p) means in points, NaN where there are none.
    noise
        (J, p, p) covariance of their sampling errors; 0 where it is not known.
    unknown
        Source to why the spread within units, and with it the sampling error, is not known.
    notes
        What was assumed.
    """

    items: tuple[str, ...]
    raw: FloatArray
    noise: FloatArray
    unknown: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be planned.

    Attributes
    ----------
    planned
        None where nothing can be; `why` says why.
    why
        What is wrong with the data; empty if nothing is.
    refusal
        Why the model is not identified; empty if it is.
    units
        Units with something of an effect and of all of its causes, by effect.
    apart
        Whether it is what was seen that does not identify the model, which other data would.
    hardly
        What hangs on a few units only.
    """

    planned: Planned | None
    why: str
    refusal: str
    units: Mapping[str, int]
    apart: bool = False
    hardly: tuple[Doubt, ...] = ()


def unit_means(model: RoxModel, moments: LinkedMoments, times: Mapping[str, float] | None = None) -> UnitMeans:
    """Lay the means of all sources out over the units.

    Parameters
    ----------
    model, moments
        What is asked, and what was answered.
    times
        Source to how many times its respondents there were (as many as could answer at most); 1 if left out.
    """
    items = tuple(item.name for item in model.items)
    names, values = moments.item_means()
    raw = values[:, [names.index(item) for item in items]]
    kept = np.flatnonzero(~np.isnan(raw).all(axis=1))
    place = {unit: row for row, unit in enumerate(moments.units[k] for k in kept)}
    noise = np.zeros((len(kept), len(items), len(items)))
    unknown: dict[str, str] = {}
    notes: list[str] = []
    for source in model.respondent_sources:
        asked = [item.name for c in model.constructs if c.source == source for item in c.items]
        own = moments.source(source).select(asked)
        within, words = _within(own)
        if within is None:
            unknown[source] = words
            continue
        notes += [words] if words else []
        there = [k for k, unit in enumerate(own.units) if unit in place]
        at = [items.index(item) for item in asked]
        error = mean_noise(own, within, (times or {}).get(source, 1.0))[there]
        noise[np.ix_([place[own.units[k]] for k in there], at, at)] = error
    return UnitMeans(items, raw[kept], noise, unknown, tuple(notes))


def _within(own: SourceMoments) -> tuple[FloatArray | None, str]:
    """Covariance within units, positive semi-definite, and what was assumed; None and why it is not known."""
    found = own.within_covariance
    variance = np.diag(found)
    if np.isnan(variance).any():
        given = np.isnan(own.scatter).any()
        item = own.items[int(np.flatnonzero(np.isnan(variance))[0])]
        lacking = "was not given (rox.Aggregated(variance=...))" if given else "needs units with two answers"
        return None, f"{own.source}: the variance of answers to {item!r} within units {lacking}"
    sd = np.sqrt(np.maximum(variance, 0.0))
    missing, notes = np.isnan(found), ""
    if missing.any() and (sd > 0).all():
        found = completed(np.where(missing, 0.0, found), ~missing)
        missing &= ~without_say(own)
    if missing.any():
        found = np.where(missing, _ASSUMED * np.outer(sd, sd), found)
        notes = f"{own.source}: answers of one person are taken to correlate {_ASSUMED} where that is not known"
    safe = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(found / np.outer(safe, safe))
    if values[0] < 0:
        found = (vectors * np.maximum(values, 0.0)) @ vectors.T * np.outer(safe, safe)
    return np.asarray(found), notes


def plan_study(model: RoxModel, means: UnitMeans) -> Plan:
    """Starting values from the study's own moments between units, and whether the parameters can be told apart."""
    why, units = _lacking(means), _equation_units(model, means)
    variance = np.ones(len(means.items)) if why else np.nanvar(means.raw, axis=0)
    error = np.where(np.isnan(means.raw), np.nan, np.diagonal(means.noise, axis1=1, axis2=2))
    scale = variance if why else np.maximum(variance - np.nanmean(error, axis=0), _FLOOR * variance)
    scale = np.sqrt(scale)
    seen = ~np.isnan(means.raw)
    data = NoisyMeans(
        seen, np.where(seen, means.raw, 0.0) / scale, means.noise / np.outer(scale, scale), np.ones(len(seen))
    )
    neutral = Target(np.zeros(len(scale)), np.eye(len(scale)) * (1 - _NEUTRAL) + _NEUTRAL)
    try:
        start = neutral if why else moments_between(data)
        table = between_table(model, "marker")
        given = given_values(model, table, start, scale)
        layout = lay_out(list(table), (means.items, model.names), given, scale, table.n_free)
        values, sizes = start_values(model, table, [("", start)], scale)
        require_identified(model, table, (layout,), (values, sizes))
        together = [together_of(seen)]
        hardly = () if why else require_seen(table, (layout,), (values, sizes), together, UNITS)
    except RoxError as error_found:
        return Plan(None, why, str(error_found), units, isinstance(error_found, NeverMetError))
    except np.linalg.LinAlgError:
        return Plan(None, why or "the moments between units are singular", "", units)
    why = why or "; ".join(means.unknown.values())
    if why:
        return Plan(None, why, "", units, hardly=hardly)
    for row in table.of("intercept"):
        if row.free:
            values[row.free - 1] = 0.0
    planned = Planned(model, table, layout, values, data, units)
    return Plan(with_noise(planned, means), "", "", units, hardly=hardly)


def _lacking(means: UnitMeans) -> str:
    """Items that do not vary between units."""
    seen = ~np.isnan(means.raw)
    for k, item in enumerate(means.items):
        own = means.raw[seen[:, k], k]
        if len(own) < 2:
            return f"{item!r} is known in {len(own)} unit(s)"
        if np.ptp(own) <= 1e-13 * np.abs(own).max():
            return f"{item!r} has the same mean in all units"
    return ""


def _equation_units(model: RoxModel, means: UnitMeans) -> dict[str, int]:
    """Units with something of an effect and of all its causes."""
    seen = ~np.isnan(means.raw)
    own = {c.name: seen[:, [means.items.index(item) for item in c.item_names]].any(axis=1) for c in model.constructs}
    return {
        name: int(np.logical_and.reduce([own[name], *(own[cause] for cause in model.causes(name))]).sum())
        for name in model.names
    }


def with_noise(planned: Planned, means: UnitMeans) -> Planned:
    """The same model with other sampling errors; units whose means are about as uncertain are taken together."""
    seen = ~np.isnan(means.raw)
    noise = means.noise / np.outer(planned.layout.scale, planned.layout.scale)
    sources = planned.model.respondent_sources
    classes = _CUTS.get(len(sources), 2)
    keys = [seen.astype(np.int64)]
    for source in sources:
        at = [means.items.index(item) for c in planned.model.constructs if c.source == source for item in c.item_names]
        size = np.diagonal(noise, axis1=1, axis2=2)[:, at].mean(axis=1)
        cuts = np.quantile(size, np.arange(1, classes) / classes)
        keys.append(np.searchsorted(cuts, size)[:, None])
    kinds, kind = np.unique(np.hstack(keys), axis=0, return_inverse=True)
    weight = np.bincount(kind.ravel(), minlength=len(kinds)).astype(np.float64)
    total = np.zeros((len(kinds), *noise.shape[1:]))
    np.add.at(total, kind.ravel(), noise)
    shown = kinds[:, : seen.shape[1]].astype(bool)
    data = NoisyMeans(shown, np.zeros(shown.shape), total / weight[:, None, None], weight)
    return replace(planned, data=data)
