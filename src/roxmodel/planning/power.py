"""What a number of units can carry, before anything is fitted: expected errors, and the smallest effects found.

An edge b with the standard error s is found with 80 % power at 5 % (two-sided) where b / s = t.975 + t.80. A total
effect of several edges is found where its 95 % interval by draws excludes 0, as in a linked fit: in 80 of 100 studies,
drawn about the true edges, 97.5 % of the draws about what that study estimates have the true sign (with loops, as for
one edge). Since errors depend on the effect, the model is moved until both sides agree; the constructs keep their
variances between units meanwhile. Values to plan with come from the study's own moments between units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import networkx as nx
import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import RoxError
from roxmodel.implied import identification
from roxmodel.implied.likelihood import NormalCells, Target, expand
from roxmodel.implied.matrices import DISTURBANCES, EDGES, Layout, filled, implied, lay_out
from roxmodel.implied.starts import between_table, given_values, moments_between, start_values
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitMeans, without_say
from roxmodel.spec.causal import within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.survey.linkage import equation_units
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "Planned", "PlanningMeans", "Smallest", "StudyPlan", "edges_between", "plan_study", "planning_means",
    "smallest_edge", "smallest_total", "units_needed", "with_noise",
]  # fmt: skip


ALPHA, POWER = 0.05, 0.80
_LEFT = 0.01  # least share of a construct's variance that its causes leave
_FLAT = 1e-10  # smallest eigenvalue of the scaled information that still tells something
_MOST_UNITS = 10_000_000
_SCAN = 10
_STUDIES, _DRAWS = 256, 512  # imagined, and of each


@dataclass(frozen=True, slots=True)
class Planned:
    """A model at values to plan with, and how uncertain the means of its units are."""

    model: RoxModel  # the model between units
    table: ParameterTable
    layout: Layout
    theta: FloatArray  # (n_free,) values to plan with; intercepts 0
    data: NormalCells  # which means there are, and their noise, in the layout's scale; a row may be several units
    units: Mapping[str, int]  # units with something of an effect and of all of its causes, by effect

    @property
    def n(self) -> float:
        """Units."""
        return self.data.size


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest effect that is found with 80 % power, in standard deviations between units."""

    value: float = float("nan")  # NaN if none is
    se: float = float("nan")  # expected standard error of an effect of that size
    df: float = float("nan")  # degrees of freedom of its t test


@dataclass(frozen=True, slots=True)
class _Standard:
    """Structure in standard deviations between units: edges, what they leave, and these standard deviations."""

    beta: FloatArray
    psi: FloatArray
    sd: FloatArray


def _standard(planned: Planned) -> _Standard:
    try:
        sd = np.sqrt(np.maximum(np.diag(implied(planned.layout, planned.theta).latent), 0.0))
    except np.linalg.LinAlgError:  # a loop with a gain of 1
        sd = np.zeros(len(planned.model.names))
    edges, psi = (filled(planned.layout, planned.theta, which) for which in (EDGES, DISTURBANCES))
    if not (sd > 0).all():
        sd = np.full(len(sd), np.nan)  # nothing can be standardised: no size will be possible
    return _Standard(edges * sd[None, :] / sd[:, None], psi / np.outer(sd, sd), sd)


def _moved(planned: Planned, standard: _Standard, beta: FloatArray) -> FloatArray | None:
    """(n_free,) values with these standardised edges, variances of the constructs kept; None where that cannot be."""
    k = len(beta)
    if not np.isfinite(beta).all() or np.abs(np.linalg.eigvals(beta)).max(initial=0.0) >= 1:
        return None
    total = np.linalg.inv(np.eye(k) - beta)
    apart = standard.psi - np.diag(np.diag(standard.psi))
    try:
        left = np.linalg.solve(total**2, 1.0 - np.diag(total @ apart @ total.T))
    except np.linalg.LinAlgError:
        return None
    if left.min() < _LEFT:
        return None
    found, sd, place = planned.theta.copy(), standard.sd, planned.model.names.index
    own = {f"variance:{name}" for name in planned.model.names}
    for row in planned.table:
        if row.free and row.kind == "edge" and not row.lag:
            cause, effect = place(row.left), place(row.right)
            found[row.free - 1] = beta[effect, cause] * sd[effect] / sd[cause]
        elif row.free and row.id in own:
            found[row.free - 1] = left[place(row.left)] * sd[place(row.left)] ** 2
    return found


def _covariance(planned: Planned, theta: FloatArray) -> FloatArray | None:
    """(n_free, n_free) expected covariance of the estimates from one unit; None where the information has no rank."""
    information = expand(planned.layout, theta, planned.data).information
    size = np.sqrt(np.diag(information)) if np.isfinite(information).all() else np.zeros(1)
    if not (size > 0).all():
        return None
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if values[0] < _FLAT * values[-1]:
        return None
    return np.asarray((vectors / values) @ vectors.T / np.outer(size, size))


def _needed(df: float) -> float:
    """How many standard errors a single edge must be away from 0."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - ALPHA / 2) + stdtrit(df, POWER))


def _freedom(planned: Planned, effect: str, growth: float) -> float:
    return planned.units[effect] * growth - len(planned.model.causes(effect)) - 1


def _widened(planned: Planned, covariance: FloatArray, growth: float) -> FloatArray:
    """(n_free, n_free) covariance of the edges' estimates with `growth` times the units, widened for few units."""
    factor = np.zeros(len(covariance))
    for row in planned.table.of("edge"):
        if row.free and not row.lag:
            n = planned.units[row.right] * growth
            factor[row.free - 1] = np.sqrt(n / max(_freedom(planned, row.right, growth), 1.0))
    return np.asarray(covariance * np.outer(factor, factor) / (planned.n * growth))


@dataclass(frozen=True, slots=True)
class _Found:
    """An effect and its error, standardised, and by how many errors it exceeds what 80 % power needs."""

    value: float
    se: float
    margin: float


def smallest_edge(planned: Planned, row: Parameter) -> Smallest:
    """Move one edge, others as they are, until it is just found (Satorra & Saris 1985, doi 10.1007/BF02294150)."""
    standard = _standard(planned)
    place = planned.model.names.index
    cause, effect = place(row.left), place(row.right)
    df = _freedom(planned, row.right, 1.0)
    if df < 1:
        return Smallest()
    sign = -1.0 if standard.beta[effect, cause] < 0 else 1.0

    def move(size: float) -> FloatArray:
        beta, raw = standard.beta.copy(), sign * size * standard.sd[effect] / standard.sd[cause]
        for same in (other for other in planned.table.of("edge") if other.free == row.free and not other.lag):
            at, to = place(same.left), place(same.right)
            beta[to, at] = raw * standard.sd[at] / standard.sd[to]
        return beta

    def measure(theta: FloatArray, covariance: FloatArray) -> _Found:
        at, unit = row.free - 1, standard.sd[cause] / standard.sd[effect]
        error = float(np.sqrt(_widened(planned, covariance, 1.0)[at, at]))
        value = abs(float(theta[at]))
        return _Found(value * unit, error * unit, value / error - _needed(df))

    return _search(planned, standard, move, measure, df)


Move = Callable[[float], FloatArray]
Measure = Callable[[FloatArray, FloatArray], _Found]


def _search(planned: Planned, standard: _Standard, move: Move, measure: Measure, df: float) -> Smallest:
    """The size that is just found with 80 % power; nothing if no possible size is."""
    from scipy.optimize import brentq

    def at(size: float) -> _Found | None:
        theta = _moved(planned, standard, move(size))
        covariance = None if theta is None else _covariance(planned, theta)
        return None if theta is None or covariance is None else measure(theta, covariance)

    def beyond(size: float) -> float:
        found = at(size) if size > 0 else None
        return -1.0 if found is None else found.margin

    # Near the largest possible size causes may be hard to tell apart, so that only sizes in the middle are found.
    low = 0.0
    for high in _largest(planned, standard, move) * np.arange(1, _SCAN + 1) / _SCAN:
        if beyond(high) > 0:
            found = at(float(brentq(beyond, low, high, xtol=1e-4, rtol=1e-4)))
            return Smallest() if found is None else Smallest(found.value, found.se, df)
        low = high
    return Smallest()


def _largest(planned: Planned, standard: _Standard, move: Move) -> float:
    """The largest size that leaves every construct some variance of its own; 0 if there is none."""
    low, high = 0.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _moved(planned, standard, move(middle)) is None else (middle, high)
    return low


def edges_between(model: RoxModel, cause: str, effect: str) -> tuple[tuple[str, str], ...]:
    """Edges on any way from cause to effect within the wave."""
    graph = within_wave(model.edges, model.names)
    edges = [(edge.cause, edge.effect) for edge in model.edges if edge.lag == 0]
    after: set[str] = nx.descendants(graph, cause)
    before: set[str] = nx.ancestors(graph, effect)
    met = (after | {cause}) & (before | {effect})
    return tuple((a, b) for a, b in edges if a in met and b in met)


@dataclass(frozen=True, slots=True)
class _Way:
    """All ways from cause to effect, every construct on them as strongly moved by what is before it on the way."""

    planned: Planned
    standard: _Standard
    ends: tuple[int, int]
    edges: tuple[tuple[str, str], ...]

    def move(self, strength: float) -> FloatArray:
        """Standardised edges: those on the way share the strength among the causes of one effect."""
        beta, place = self.standard.beta.copy(), self.planned.model.names.index
        expected = {(e.cause, e.effect): e.expected for e in self.planned.model.edges if not e.lag}
        free = {(row.left, row.right) for row in self.planned.table.of("edge") if row.free and not row.lag}
        for cause, effect in self.edges:
            beside = sum(other == effect for _, other in self.edges)
            sign = -1.0 if expected[cause, effect] == "negative" else 1.0
            if (cause, effect) in free:
                beta[place(effect), place(cause)] = sign * strength / beside
        return beta

    def measure(self, growth: float) -> Measure:
        """Total effect with `growth` times the units."""
        df = self.df(growth)
        return lambda theta, covariance: self._measured(theta, _widened(self.planned, covariance, growth), df)

    def size(self, theta: FloatArray) -> float:
        """Total effect at one theta, standardised."""
        (a, b), edges = self.ends, filled(self.planned.layout, theta, EDGES)
        total = np.linalg.inv(np.eye(len(edges)) - edges)
        return abs(float(total[b, a])) * float(self.standard.sd[a] / self.standard.sd[b])

    def _measured(self, theta: FloatArray, covariance: FloatArray, df: float) -> _Found:
        free = [row for row in self.planned.table.of("edge") if row.free and (row.left, row.right) in self.edges]
        numbers = np.unique([row.free - 1 for row in free if not row.lag])
        own, at = covariance[np.ix_(numbers, numbers)], theta[numbers]
        size = np.sqrt(np.diag(own))
        values, vectors = np.linalg.eigh(own / np.outer(size, size))
        root = (size[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))).T
        steps = 1e-4 * size
        ends = self._totals(theta, numbers, at + np.vstack([np.diag(steps), -np.diag(steps), 0.0 * at]))
        slope = (ends[: len(at)] - ends[len(at) : -1]) / (2 * steps)
        value, error = float(ends[-1]), float(np.sqrt(slope @ own @ slope))
        unit = float(self.standard.sd[self.ends[0]] / self.standard.sd[self.ends[1]])
        found = abs(value) * unit, error * unit
        if not error > 0:
            return _Found(*found, -1.0)
        if len(self.edges) == 1 or self.planned.model.loops():  # draws of a loop may have no equilibrium
            return _Found(*found, abs(value) / error - _needed(df))
        studies = at + _scores(_STUDIES, len(at)) @ root
        drawn = studies[:, None, :] + (_scores(_DRAWS, len(at)) @ root)[None, :, :]
        totals = self._totals(theta, numbers, drawn) * (np.sign(value) / error)
        return _Found(*found, float(np.quantile(np.quantile(totals, ALPHA / 2, axis=1), 1 - POWER)))

    def _totals(self, theta: FloatArray, numbers: IntArray, drawn: FloatArray) -> FloatArray:
        """Total effects, (...), where the parameters `numbers` are as `drawn`, (..., len(numbers))."""
        model, place = self.planned.model, self.planned.model.names.index
        met = [name for name in model.order() if any(name in edge for edge in self.edges)]
        edges = filled(self.planned.layout, theta, EDGES)
        number = {(row.left, row.right): row.free - 1 for row in self.planned.table.of("edge") if not row.lag}
        slopes = {
            (cause, effect): drawn[..., int(np.searchsorted(numbers, number[cause, effect]))]
            if number[cause, effect] >= 0
            else edges[place(effect), place(cause)]
            for cause, effect in self.edges
        }
        if model.loops():
            matrix = np.zeros((*drawn.shape[:-1], len(met), len(met)))
            for (cause, effect), value in slopes.items():
                matrix[..., met.index(effect), met.index(cause)] = value
            total = np.linalg.inv(np.eye(len(met)) - matrix)
            return np.asarray(total[..., met.index(model.names[self.ends[1]]), met.index(model.names[self.ends[0]])])
        moved: dict[str, FloatArray] = {model.names[self.ends[0]]: np.ones(drawn.shape[:-1])}
        for name in met[1:]:
            moved[name] = np.sum(
                [moved[cause] * slope for (cause, effect), slope in slopes.items() if effect == name], axis=0
            )
        return moved[model.names[self.ends[1]]]

    def df(self, growth: float) -> float:
        """That of the weakest equation on the way."""
        return min((_freedom(self.planned, effect, growth) for _, effect in self.edges), default=0.0)


@lru_cache(maxsize=32)
def _scores(draws: int, count: int) -> FloatArray:
    """(draws, count) normal scores, evenly spread (Owen 1998, doi 10.1006/jcom.1998.0487); draws a power of 2."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    even = qmc.Sobol(count, seed=np.random.default_rng([20_061, draws])).random(draws)
    return np.asarray(ndtri(np.clip(even, 1e-9, 1 - 1e-9)))


def _way(planned: Planned, cause: str, effect: str) -> _Way:
    place = planned.model.names.index
    edges = edges_between(planned.model, cause, effect)
    return _Way(planned, _standard(planned), (place(cause), place(effect)), edges)


def smallest_total(planned: Planned, cause: str, effect: str, growth: float = 1.0) -> Smallest:
    """Strengthen all edges on the way alike until the total effect is just found; `growth`: so many times the units.

    Estimated edges are not planned with, since power at the estimate only says the p value again (Hoenig & Heisey 2001,
    doi 10.1198/000313001300339897): every construct on the way depends on what is before it there to the same strength,
    divided equally among several causes; edges beside the way are as planned. The interval is that by draws of the
    edges (MacKinnon, Lockwood & Williams 2004, doi 10.1207/s15327906mbr3901_4), the error that of the delta method.
    """
    way = _way(planned, cause, effect)
    df = way.df(growth)
    if df < 1:
        return Smallest()
    return _search(planned, way.standard, way.move, way.measure(growth), df)


def units_needed(planned: Planned, cause: str, effect: str, size: float) -> int | None:
    """Fewest units, like those there are, that find a total effect of `size` (sd between units); None if none do."""
    from scipy.optimize import brentq

    way = _way(planned, cause, effect)

    def beyond(strength: float) -> float:
        theta = _moved(planned, way.standard, way.move(strength))
        return -size if theta is None else way.size(theta) - size

    most = _largest(planned, way.standard, way.move)
    if most <= 0 or beyond(most) < 0:
        return None
    theta = _moved(planned, way.standard, way.move(float(brentq(beyond, 0.0, most))))
    covariance = None if theta is None else _covariance(planned, theta)
    if theta is None or covariance is None:
        return None

    def enough(units: int) -> bool:
        growth = units / planned.n
        df = way.df(growth)
        return df >= 1 and way.measure(growth)(theta, covariance).margin >= 0

    low, high = 2, 4
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST_UNITS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


_ASSUMED = 0.5  # correlation of two answers of one person, where it is not known
_NEUTRAL = 0.3  # correlation of items where the data give none, to see whether parameters can be told apart
_CUTS = {1: 16, 2: 4, 3: 3}  # classes of noise a source, by number of sources; else 2


@dataclass(frozen=True, slots=True)
class PlanningMeans:
    """Means of the units, and what is known of their sampling error."""

    means: UnitMeans  # of all units that know something of the model
    within: Mapping[str, FloatArray]  # source -> covariance of answers within units, where it is known or was assumed
    unknown: Mapping[str, str]  # source -> why it is not known, and with it the sampling error, which then counts as 0
    notes: tuple[str, ...]  # what was assumed

    def noise(self, times: Mapping[str, float] | None = None) -> FloatArray:
        """(J, p, p), as if so many times the people of a source had answered (as many as could at most)."""
        return self.means.noise(self.within, times)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What can be planned."""

    planned: Planned | None  # None where nothing can be; `why` says why
    why: str  # what is wrong with the data; empty if nothing is
    refusal: str  # why the model is not identified; empty if it is
    units: Mapping[str, int]  # units with something of an effect and of all of its causes, by effect
    apart: bool = False  # whether it is what was seen that does not identify the model, which other data would
    hardly: tuple[Doubt, ...] = ()  # what hangs on a few units only


def planning_means(model: RoxModel, moments: LinkedMoments) -> PlanningMeans:
    """Means of the units, and how people of one unit differ, as far as that is known."""
    means = UnitMeans.of(moments, tuple(item.name for item in model.items))
    found = {source.moments.source: _within(source.moments) for source in means.sources}
    return PlanningMeans(
        means,
        within={name: own for name, (own, _) in found.items() if own is not None},
        unknown={name: words for name, (own, words) in found.items() if own is None},
        notes=tuple(words for own, words in found.values() if own is not None and words),
    )


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
        found = identification.completed(np.where(missing, 0.0, found), ~missing)
        missing &= ~without_say(own)
    if missing.any():
        found = np.where(missing, _ASSUMED * np.outer(sd, sd), found)
        notes = f"{own.source}: answers of one person are taken to correlate {_ASSUMED} where that is not known"
    safe = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(found / np.outer(safe, safe))
    if values[0] < 0:
        found = (vectors * np.maximum(values, 0.0)) @ vectors.T * np.outer(safe, safe)
    return np.asarray(found), notes


def plan_study(model: RoxModel, known: PlanningMeans) -> StudyPlan:
    """Starting values from the study's own moments between units, and whether the parameters can be told apart."""
    means, noise = known.means, known.noise()
    why, units = _lacking(means), equation_units(model, means)
    scale = np.ones(len(means.items)) if why else means.spread(noise)
    seen = ~np.isnan(means.values)
    data = NormalCells(
        seen, np.where(seen, means.values, 0.0) / scale, np.ones(len(seen)), noise=noise / np.outer(scale, scale)
    )
    neutral = Target(np.zeros(len(scale)), np.eye(len(scale)) * (1 - _NEUTRAL) + _NEUTRAL)
    try:
        start = neutral if why else moments_between(data)
        table = between_table(model, "marker")
        given = given_values(model, table, start, scale)
        layout = lay_out(list(table), (means.items, model.names), given, scale, table.n_free)
        values, sizes = start_values(model, table, [("", start)], scale)
        identification.require_identified(model, table, (layout,), (values, sizes))
        together = [identification.together_of(seen)]
        hardly = (
            ()
            if why
            else identification.require_seen(table, (layout,), (values, sizes), together, identification.UNITS)
        )
    except RoxError as error_found:
        return StudyPlan(None, why, str(error_found), units, isinstance(error_found, identification.NeverMetError))
    except np.linalg.LinAlgError:
        return StudyPlan(None, why or "the moments between units are singular", "", units)
    why = why or "; ".join(known.unknown.values())
    if why:
        return StudyPlan(None, why, "", units, hardly=hardly)
    for row in table.of("intercept"):
        if row.free:
            values[row.free - 1] = 0.0
    planned = Planned(model, table, layout, values, data, units)
    return StudyPlan(with_noise(planned, means, noise), "", "", units, hardly=hardly)


def _lacking(means: UnitMeans) -> str:
    """Items that do not vary between units."""
    seen = ~np.isnan(means.values)
    for k, item in enumerate(means.items):
        own = means.values[seen[:, k], k]
        if len(own) < 2:
            return f"{item!r} is known in {len(own)} unit(s)"
        if np.ptp(own) <= 1e-13 * np.abs(own).max():
            return f"{item!r} has the same mean in all units"
    return ""


def with_noise(planned: Planned, means: UnitMeans, noise: FloatArray) -> Planned:
    """The same model with other sampling errors; units whose means are about as uncertain are taken together."""
    seen = ~np.isnan(means.values)
    noise = noise / np.outer(planned.layout.scale, planned.layout.scale)
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
    data = NormalCells(shown, np.zeros(shown.shape), weight, noise=total / weight[:, None, None])
    return replace(planned, data=data)
