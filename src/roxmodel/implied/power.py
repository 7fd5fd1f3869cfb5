"""What a number of units can carry, before anything is fitted: expected errors, and the smallest effects found.

An effect b with the standard error s is found with 80 % power at 5 % (two-sided) where b = (t.975 + t.80) s. Since s
depends on b, the model is moved until both agree; the constructs keep their variances between units meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np

from roxmodel.implied.layout import DISTURBANCES, EDGES, Layout
from roxmodel.implied.matrices import filled, implied
from roxmodel.implied.noisy import NoisyMeans, expand_noisy
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray

__all__ = ["Planned", "Smallest", "edges_between", "smallest_edge", "smallest_total", "units_needed"]

ALPHA, POWER = 0.05, 0.80
_LEFT = 0.01  # least share of a construct's variance that its causes leave
_FLAT = 1e-10  # smallest eigenvalue of the scaled information that still tells something
_MOST_UNITS = 10_000_000


@dataclass(frozen=True, slots=True)
class Planned:
    """A model at values to plan with, and how uncertain the means of its units are.

    Attributes
    ----------
    model, table, layout
        The model between units.
    theta
        (n_free,) values to plan with; intercepts 0.
    data
        Which means there are and their noise, in units of the layout's scale; a row may stand for several units.
    units
        Units with something of an effect and of all of its causes, by effect.
    """

    model: RoxModel
    table: ParameterTable
    layout: Layout
    theta: FloatArray
    data: NoisyMeans
    units: Mapping[str, int]

    @property
    def n(self) -> float:
        """Units."""
        return self.data.size


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest effect that is found with 80 % power, in standard deviations between units.

    Attributes
    ----------
    value
        NaN if none is.
    se
        Expected standard error of an effect of that size.
    df
        Degrees of freedom of its t test.
    """

    value: float = float("nan")
    se: float = float("nan")
    df: float = float("nan")


@dataclass(frozen=True, slots=True)
class _Standard:
    """Structure in standard deviations between units: edges, what they leave, and these standard deviations."""

    beta: FloatArray
    psi: FloatArray
    sd: FloatArray


Move = Callable[[float], FloatArray]


def _standard(planned: Planned) -> _Standard:
    at = implied(planned.layout, planned.theta)
    sd = np.sqrt(np.diag(at.latent))
    edges, psi = (filled(planned.layout, planned.theta, which) for which in (EDGES, DISTURBANCES))
    return _Standard(edges * sd[None, :] / sd[:, None], psi / np.outer(sd, sd), sd)


def _moved(planned: Planned, standard: _Standard, beta: FloatArray) -> FloatArray | None:
    """(n_free,) values with these standardised edges, variances of the constructs kept; None where that cannot be."""
    k = len(beta)
    if np.abs(np.linalg.eigvals(beta)).max(initial=0.0) >= 1:
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
    for row in planned.table:
        if row.free and row.kind == "edge" and not row.lag:
            cause, effect = place(row.left), place(row.right)
            found[row.free - 1] = beta[effect, cause] * sd[effect] / sd[cause]
        elif row.free and row.kind == "variance" and row.id == f"variance:{row.left}" and row.left in planned.model.names:
            found[row.free - 1] = left[place(row.left)] * sd[place(row.left)] ** 2
    return found


def _covariance(planned: Planned, theta: FloatArray) -> FloatArray | None:
    """(n_free, n_free) expected covariance of the estimates from one unit; None where the information has no rank."""
    information = expand_noisy(planned.layout, theta, planned.data).information
    size = np.sqrt(np.diag(information)) if np.isfinite(information).all() else np.zeros(1)
    if not (size > 0).all():
        return None
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    if values[0] < _FLAT * values[-1]:
        return None
    return np.asarray((vectors / values) @ vectors.T / np.outer(size, size))


def _freedom(planned: Planned, effect: str, growth: float) -> float:
    return planned.units[effect] * growth - len(planned.model.causes(effect)) - 1


def _error(planned: Planned, covariance: FloatArray, slope: Mapping[str, tuple[int, float]], growth: float) -> float:
    """Standard error of Σ slope · edge with `growth` times the units, widened for few units; slope by row id."""
    gradient = np.zeros(len(covariance))
    for row in planned.table.of("edge"):
        if row.id in slope:
            at, value = slope[row.id]
            n = planned.units[row.right] * growth
            gradient[at] += value * np.sqrt(n / max(_freedom(planned, row.right, growth), 1.0))
    return float(np.sqrt(gradient @ covariance @ gradient / (planned.n * growth)))


def _needed(df: float) -> float:
    """How many standard errors an effect must be away from 0."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - ALPHA / 2) + stdtrit(df, POWER))


def smallest_edge(planned: Planned, row: Parameter) -> Smallest:
    """Move one edge, all others as they are, until it is just found.

    Parameters
    ----------
    planned
        The model and its units.
    row
        A free edge of its table.

    References
    ----------
    Satorra & Saris (1985), doi 10.1007/BF02294150 (power from the expected information).
    """
    standard = _standard(planned)
    place = planned.model.names.index
    cause, effect = place(row.left), place(row.right)
    df = _freedom(planned, row.right, 1.0)
    if df < 1:
        return Smallest()
    sign = -1.0 if standard.beta[effect, cause] < 0 else 1.0

    def move(size: float) -> FloatArray:
        beta = standard.beta.copy()
        beta[effect, cause] = sign * size
        return beta

    def measure(theta: FloatArray, covariance: FloatArray) -> tuple[float, float]:
        error = _error(planned, covariance, {row.id: (row.free - 1, 1.0)}, 1.0)
        unit = standard.sd[cause] / standard.sd[effect]
        return abs(theta[row.free - 1]) * unit, error * unit

    return _search(planned, standard, move, measure, df)


def _search(
    planned: Planned,
    standard: _Standard,
    move: Move,
    measure: Callable[[FloatArray, FloatArray], tuple[float, float]],
    df: float,
) -> Smallest:
    """The size at which value / error is what 80 % power needs; nothing if no possible size is."""
    from scipy.optimize import brentq

    needed = _needed(df)

    def at(size: float) -> tuple[float, float] | None:
        theta = _moved(planned, standard, move(size))
        covariance = None if theta is None else _covariance(planned, theta)
        return None if theta is None or covariance is None else measure(theta, covariance)

    def short(size: float) -> float:
        found = at(size) if size > 0 else None
        return -needed if found is None else found[0] / found[1] - needed

    most = _largest(planned, standard, move)
    if most <= 0 or short(most) <= 0:
        return Smallest()
    found = at(float(brentq(short, 0.0, most, xtol=1e-6, rtol=1e-6)))
    return Smallest() if found is None else Smallest(*found, df)


def _largest(planned: Planned, standard: _Standard, move: Move) -> float:
    """The largest size that leaves every construct some variance of its own; 0 if there is none."""
    low, high = 0.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _moved(planned, standard, move(middle)) is None else (middle, high)
    return low


def edges_between(model: RoxModel, cause: str, effect: str) -> tuple[tuple[str, str], ...]:
    """Edges on any way from cause to effect within the wave."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(model.names)
    edges = [(edge.cause, edge.effect) for edge in model.edges if edge.lag == 0]
    graph.add_edges_from(edges)
    met = ({cause} | nx.descendants(graph, cause)) & ({effect} | nx.ancestors(graph, effect))
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

    def measure(self, growth: float) -> Callable[[FloatArray, FloatArray], tuple[float, float]]:
        """Standardised total effect and its error with `growth` times the units."""

        def found(theta: FloatArray, covariance: FloatArray) -> tuple[float, float]:
            (a, b), place = self.ends, self.planned.model.names.index
            edges = filled(self.planned.layout, theta, EDGES)
            total = np.linalg.inv(np.eye(len(edges)) - edges)
            slope = {
                row.id: (row.free - 1, float(total[b, place(row.right)] * total[place(row.left), a]))
                for row in self.planned.table.of("edge")
                if row.free and not row.lag
            }
            unit = self.standard.sd[a] / self.standard.sd[b]
            return abs(float(total[b, a])) * unit, _error(self.planned, covariance, slope, growth) * unit

        return found

    def df(self, growth: float) -> float:
        """That of the weakest equation on the way."""
        return min((_freedom(self.planned, effect, growth) for _, effect in self.edges), default=0.0)


def _way(planned: Planned, cause: str, effect: str) -> _Way:
    place = planned.model.names.index
    edges = edges_between(planned.model, cause, effect)
    return _Way(planned, _standard(planned), (place(cause), place(effect)), edges)


def smallest_total(planned: Planned, cause: str, effect: str, growth: float = 1.0) -> Smallest:
    """Strengthen all edges on the way alike until the total effect is just found.

    Estimated edges are not planned with, since power at the estimate only says the p value again (Hoenig & Heisey
    2001, doi 10.1198/000313001300339897): every construct on the way depends on what is before it there to the same
    strength, divided equally among several causes; edges beside the way are as planned. The error is that of
    the delta method (Sobel 1982, doi 10.2307/270723).

    Parameters
    ----------
    planned
        The model and its units.
    cause, effect
        Ends of the effect.
    growth
        As if there were so many times the units, like those there are.
    """
    way = _way(planned, cause, effect)
    df = way.df(growth)
    if df < 1:
        return Smallest()
    return _search(planned, way.standard, way.move, way.measure(growth), df)


def units_needed(planned: Planned, cause: str, effect: str, size: float) -> int | None:
    """Smallest number of units, like those there are, that find a total effect of that size; None if none do.

    Parameters
    ----------
    planned, cause, effect
        As for `smallest_total`.
    size
        Total effect in standard deviations between units, above 0.
    """
    from scipy.optimize import brentq

    way = _way(planned, cause, effect)
    plain = way.measure(1.0)
    nothing = np.zeros((planned.table.n_free,) * 2)

    def beyond(strength: float) -> float:
        theta = _moved(planned, way.standard, way.move(strength))
        return -size if theta is None else plain(theta, nothing)[0] - size

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
        return df >= 1 and size >= _needed(df) * way.measure(growth)(theta, covariance)[1]

    low, high = 2, 4
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST_UNITS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
