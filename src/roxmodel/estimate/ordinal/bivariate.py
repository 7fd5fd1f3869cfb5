"""The standard bivariate normal: at points, between bounds, and the correlations that make tables most likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

from roxmodel.estimate.ordinal.marginals import FAR, TINY, bound_pulls, share_between
from roxmodel.types import BoolArray, FloatArray

__all__ = [
    "Bounds", "Cut", "PairPulls", "Pulls", "SteppedRoot", "bivariate_cdf", "bivariate_density", "bivariate_slope",
    "cell_influence", "perfectly_associated", "polychoric", "rectangle_derivatives", "rectangle_pulls",
    "without_empty_cell",
]  # fmt: skip


Pulls: TypeAlias = tuple[FloatArray, FloatArray]


class Bounds(NamedTuple):
    """(n,) each: bounds of two normal variables, left and right of the one, low and high of the other."""

    left: FloatArray
    right: FloatArray
    low: FloatArray
    high: FloatArray


class PairPulls(NamedTuple):
    """Score of a correlation row by row, and derivatives of the log likelihood by what moves either item."""

    score: FloatArray
    first: Pulls
    second: Pulls


_FAR, _EDGE = 40.0, 13.0  # stand for infinity: Φ(-40) is 0 in double precision, Φ(-13) is 6e-39
_STEEP = 0.925  # above this |ρ| the integral over the angle needs too many nodes
_GENTLE = 0.75  # below this |ρ| twelve nodes are enough
_TWO_PI = 2.0 * np.pi
_RARE = 1e-9  # below this a probability is integrated, because differences of Φ₂ keep 1e-16 only
_CLOSE, _MOST_STEPS = 1e-7, 100  # steps are quadratic: after one of 1e-7 the error is about 1e-14
_MOST_CELLS = 1 << 15  # of the tables worked on together, so that they stay in the processor's cache
_SQUARE = 4  # cells of a two-by-two table


def bivariate_cdf(a: FloatArray, b: FloatArray, rho: FloatArray) -> FloatArray:
    """P(X ≤ a, Y ≤ b) of two standard normal variables with correlation rho.

    For |ρ| ≤ 0.925 Plackett's identity dΦ₂/dρ = φ₂ is integrated over the angle arcsin ρ by Gauss–Legendre quadrature;
    above, the integral runs from ±1 towards ρ and its singular part is taken out and integrated in closed form (Drezner
    & Wesolowsky 1990; Genz 2004). The absolute error is below 1e-14.

    `a`, `b` and `rho` broadcast; limits may be infinite. One ρ for a grid of limits (axes of length 1) saves most of
    the sines. Genz (2004), Statistics and Computing 14, 251-260, doi 10.1023/B:STCO.0000035304.20635.31. Drezner &
    Wesolowsky (1990), J. Stat. Comput. Simul. 35, 101-107, doi 10.1080/00949659008811236.

    >>> bivariate_cdf(np.array([0.0, np.inf]), np.array([0.0, 0.0]), np.array([0.5, 0.5])).round(12)
    array([0.33333333, 0.5       ])
    """
    h, k = np.clip(a, -_FAR, _FAR), np.clip(b, -_FAR, _FAR)
    rho = np.asarray(rho, dtype=np.float64)
    steep = np.abs(rho) > _STEEP
    total = _over_angle(h, k, np.where(steep, 0.0, rho))
    if steep.any():
        at = np.broadcast_to(steep, total.shape)
        parts = [np.broadcast_to(one, total.shape)[at] for one in (h, k, rho)]
        total[at] = _from_the_end(parts[0], parts[1], parts[2])
    return np.asarray(np.clip(total, 0.0, 1.0))


def _panels(panels: int, count: int) -> tuple[FloatArray, FloatArray]:
    """Gauss–Legendre nodes and weights on (0, 1), in panels of one width."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    inside = (np.arange(panels)[:, None] + 0.5 * (1.0 + nodes)) / panels
    return inside.ravel(), np.tile(0.5 * weights / panels, panels)


_TWELVE, _TWENTY, _FINE = _panels(1, 12), _panels(1, 20), _panels(40, 16)


def _over_angle(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    """Φ(h)Φ(k) plus the integral of the density over the angle from 0 to arcsin ρ."""
    angle = np.arcsin(rho)
    widest = float(np.max(np.abs(rho), initial=0.0))
    nodes, weights = _TWELVE if widest <= _GENTLE else _TWENTY
    product, squares = h * k, 0.5 * (h * h + k * k)
    total = np.zeros(np.broadcast_shapes(product.shape, rho.shape))
    term = np.empty_like(total)
    for node, weight in zip(nodes, weights, strict=True):
        sine = np.sin(angle * node)
        np.multiply(product, sine, out=term)
        term -= squares
        term /= 1.0 - sine * sine
        np.exp(term, out=term)
        term *= weight
        total += term
    total *= angle / _TWO_PI
    total += ndtr(h) * ndtr(k)
    return total


def _from_the_end(h: FloatArray, k: FloatArray, rho: FloatArray) -> FloatArray:
    """Φ₂ at ρ = ±1 minus the integral over x = √(1-ρ²) back to ρ; one-dimensional arrays.

    With s the sign of ρ and k replaced by s·k the integrand is exp(-(h-k)²/2x²)·f(x²), where
    f(u) = exp(-hk/(1+√(1-u)))/√(1-u). Three terms of the series of f are integrated exactly against the singular
    factor, the small rest by quadrature.
    """
    sign = np.where(rho < 0.0, -1.0, 1.0)
    end = np.where(sign > 0.0, ndtr(np.minimum(h, k)), np.maximum(ndtr(h) - ndtr(-k), 0.0))
    width = np.maximum(np.sqrt((1.0 - rho) * (1.0 + rho)), 1e-100)
    product, gap = sign * h * k, (h - sign * k) ** 2
    first, second = (4.0 - product) / 8.0, (4.0 - product) * (12.0 - product) / 128.0
    total = _series_integral(width, gap, product, first, second)
    for node, weight in zip(*_TWENTY, strict=True):
        square = (width * node) ** 2
        root = np.sqrt(1.0 - square)
        singular = -0.5 * (gap / square + product)
        exact = np.exp(singular + 0.5 * product - product / (1.0 + root)) / root
        series = np.exp(singular) * (1.0 + square * (first + square * second))
        total += width * weight * (exact - series)
    return np.asarray(end - sign * total / _TWO_PI)


def _series_integral(
    width: FloatArray, gap: FloatArray, product: FloatArray, first: FloatArray, second: FloatArray
) -> FloatArray:
    """exp(-hk/2) ∫ (1 + first·x² + second·x⁴) exp(-gap/2x²) dx from 0 to `width`, term by term by parts."""
    ratio = np.sqrt(gap) / width
    edge = np.exp(-0.5 * (ratio * ratio + product))
    none = width * edge - np.sqrt(0.5 * np.pi * gap) * edge * erfcx(ratio / np.sqrt(2.0))
    square = (width**3 * edge - gap * none) / 3.0
    fourth = (width**5 * edge - gap * square) / 5.0
    return np.asarray(none + first * square + second * fourth)


def bivariate_density(a: FloatArray, b: FloatArray, rho: FloatArray) -> FloatArray:
    """Density of two standard normal variables with correlation rho: also dΦ₂/dρ (Plackett 1954).

    `a`, `b` and `rho` broadcast; 0 where a limit is infinite; -1 < ρ < 1. Plackett (1954), Biometrika 41, 351-360,
    doi 10.1093/biomet/41.3-4.351.

    >>> bivariate_density(np.array([0.0, np.inf]), np.array([0.0, 0.0]), np.array([0.6, 0.6])).round(6)
    array([0.198944, 0.      ])
    """
    h, k = np.clip(a, -_FAR, _FAR), np.clip(b, -_FAR, _FAR)
    rest = (1.0 - rho) * (1.0 + rho)
    exponent = (rho * h * k - 0.5 * (h * h + k * k)) / rest
    return np.asarray(np.exp(exponent) / (_TWO_PI * np.sqrt(rest)))


def bivariate_slope(a: FloatArray, b: FloatArray, rho: FloatArray) -> FloatArray:
    """Derivative of the density by the correlation, dφ₂/dρ = d²Φ₂/dρ², relative to the density.

    Multiply by the density. Infinite points are taken as ±40, where the density is 0.

    >>> bivariate_slope(np.array([1.0]), np.array([1.0]), np.array([0.0]))
    array([1.])
    """
    h, k = np.clip(a, -_FAR, _FAR), np.clip(b, -_FAR, _FAR)
    rest = (1.0 - rho) * (1.0 + rho)
    return np.asarray((rho + (h - rho * k) * (k - rho * h) / rest) / rest)


# --- tables of two ordinal items (Olsson 1979)


@dataclass(frozen=True, slots=True)
class SteppedRoot:
    """Newton's method on many correlations at once, each kept inside the interval where its score changes sign.

    >>> root = SteppedRoot.start(np.array([0.2]))
    >>> while root.active.any():
    ...     root = root.stepped(np.exp(-root.rho) - 0.5, -np.exp(-root.rho))
    >>> root.rho.round(12)
    array([0.69314718])
    """

    rho: FloatArray  # (pairs,) between -1 and 1
    low: FloatArray  # where the score was last seen positive
    high: FloatArray  # and negative
    active: BoolArray  # which are still moving

    @classmethod
    def start(cls, rho: FloatArray) -> SteppedRoot:
        """Begin at `rho`, pulled away from ±1."""
        ones = np.ones_like(rho)
        return cls(np.clip(rho, -0.95, 0.95), -ones, ones, np.ones(rho.shape, dtype=np.bool_))

    def stepped(self, score: FloatArray, slope: FloatArray) -> SteppedRoot:
        """Move the active pairs by their score and its derivative, both (active pairs,)."""
        at = np.flatnonzero(self.active)
        here = self.rho[at]
        low = np.where(score > 0.0, here, self.low[at])
        high = np.where(score < 0.0, here, self.high[at])
        step = np.divide(-score, slope, out=np.full_like(score, np.inf), where=slope < 0.0)
        step = np.where(score == 0.0, 0.0, step)
        inside = (here + step > low) & (here + step < high) | (step == 0.0)
        after = np.where(inside, here + step, 0.5 * (low + high))
        moving = (np.abs(after - here) > _CLOSE) & (high - low > _CLOSE)
        pairs = ((self.rho, after), (self.low, low), (self.high, high), (self.active, moving))
        return SteppedRoot(*(_put(old, at, new) for old, new in pairs))


def without_empty_cell(tables: FloatArray, square: BoolArray) -> FloatArray:
    """Two-by-two tables with one empty cell get half a person there, their margins kept.

    `tables` are (pairs, K, K) counts, padded with zeros; `square` (pairs,) says where both items have two categories.

    >>> without_empty_cell(np.array([[[0.0, 7.0], [8.0, 9.0]]]), np.array([True]))[0].tolist()
    [[0.5, 6.5], [7.5, 9.5]]
    """
    corner = tables[:, :2, :2]
    empty = corner == 0.0
    lone = square & (empty.reshape(len(tables), _SQUARE).sum(axis=1) == 1)
    on_diagonal = empty[:, 0, 0] | empty[:, 1, 1]
    sign = np.where(lone, np.where(on_diagonal, 0.5, -0.5), 0.0)
    changed = tables.copy()
    changed[:, :2, :2] += sign[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return changed


def perfectly_associated(tables: FloatArray) -> BoolArray:
    """Where each table is the one that its margins have at a correlation of 1 or -1.

    Then the likelihood grows up to ±1 and there is no estimate inside.

    >>> perfectly_associated(np.array([[[5.0, 0.0], [0.0, 4.0]], [[5.0, 1.0], [1.0, 4.0]]]))
    array([ True, False])
    """
    found = np.zeros(len(tables), dtype=np.bool_)
    for turned in (tables, tables[:, :, ::-1]):
        rows, columns = turned.sum(axis=2).cumsum(axis=1), turned.sum(axis=1).cumsum(axis=1)
        corner = np.pad(np.minimum(rows[:, :, None], columns[:, None, :]), ((0, 0), (1, 0), (1, 0)))
        extreme = np.diff(np.diff(corner, axis=1), axis=2)
        found |= np.abs(extreme - turned).max(axis=(1, 2)) <= 1e-9 * rows[:, -1]
    return found


def polychoric(tables: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Correlations that make the tables most likely, the thresholds held at those of the margins.

    The score is the sum over cells of n·(∂π/∂ρ)/π, where ∂π/∂ρ is the density differenced over the cell's corners, so
    that each step needs the probability function on the grid of inner thresholds only.

    `tables` are (pairs, K, K) counts; items with fewer categories than K have empty last rows or columns. `rows` and
    `columns` are (pairs, K-1) thresholds, ascending, padded with inf. NaN where no maximum inside (-1, 1) was found.
    Olsson (1979), Psychometrika 44, 443-460, doi 10.1007/BF02296207.

    >>> half = np.zeros((1, 1))  # both items are cut at the median: ρ = sin(π/2 · (share of agreement - disagreement))
    >>> polychoric(np.array([[[40.0, 10.0], [10.0, 40.0]]]), half, half).round(9)
    array([0.80901699])
    """
    size = max(1, _MOST_CELLS // (tables.shape[1] * tables.shape[2]))
    found = np.empty(len(tables))
    for first in range(0, len(tables), size):
        part = slice(first, first + size)
        found[part] = _maximise(tables[part], rows[part], columns[part])
    return found


def _maximise(tables: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    root = SteppedRoot.start(_first_guess(tables, rows, columns))
    for _ in range(_MOST_STEPS):
        at = np.flatnonzero(root.active)
        if not len(at):
            break
        n, a, b, rho = tables[at], rows[at], columns[at], root.rho[at]
        probability = _cell_probability(n, a, b, rho)
        a, b, rho = a[:, :, None], b[:, None, :], rho[:, None, None]
        density = bivariate_density(a, b, rho)
        gradient = _cells(density) / probability
        curvature = _cells(density * bivariate_slope(a, b, rho)) / probability
        score = (n * gradient).sum(axis=(1, 2))
        root = root.stepped(score, (n * (curvature - gradient * gradient)).sum(axis=(1, 2)))
    return np.where(root.active, np.nan, root.rho)


def _first_guess(tables: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """(pairs,) mean product of normal scores (mean of the normal variable in its category) over that at ρ = 1."""
    scores = []
    for thresholds in (rows, columns):
        density = np.pad(np.exp(-0.5 * thresholds * thresholds) / np.sqrt(2.0 * np.pi), ((0, 0), (1, 1)))
        share = np.diff(ndtr(thresholds), axis=1, prepend=0.0, append=1.0)
        normal = -np.diff(density, axis=1)
        mean = np.divide(normal, share, out=np.zeros_like(share), where=share > 0.0)
        scores.append(mean / (normal * mean).sum(axis=1, keepdims=True))
    product = np.matmul(scores[0][:, None, :], np.matmul(tables, scores[1][:, :, None]))[:, 0, 0]
    return np.asarray(product / tables.sum(axis=(1, 2)))


def cell_influence(tables: FloatArray, rows: FloatArray, columns: FloatArray, rho: FloatArray) -> FloatArray:
    """How much a person in each cell moves the correlation, the thresholds' own movement included.

    The estimating equations are those of the two steps: first the thresholds of each item, then ρ. With s the scores,
    A11, A21 and A22 their mean products (Muthén 1984), a person's influence is A22⁻¹(s_ρ - A21 A11⁻¹ s_thresholds). It
    depends on the two answers only, so that a table holds it for all persons.

    All (pairs, K, K) as in `polychoric`, of √n(ρ̂ - ρ); 0 where nobody is. Muthén (1984), Psychometrika 49, 115-132,
    doi 10.1007/BF02294210.

    >>> half = np.zeros((1, 1))
    >>> cell_influence(np.array([[[40.0, 10.0], [10.0, 40.0]]]), half, half, np.array([0.809017]))[0].round(3)
    array([[ 0.369, -1.477],
           [-1.477,  0.369]])
    """
    size = max(1, _MOST_CELLS // (tables.shape[1] * tables.shape[2]))
    parts = [slice(first, first + size) for first in range(0, len(tables), size)]
    found = [_influence(tables[at], rows[at], columns[at], rho[at]) for at in parts]
    return np.concatenate(found) if found else np.zeros_like(tables)


def _influence(tables: FloatArray, rows: FloatArray, columns: FloatArray, rho: FloatArray) -> FloatArray:
    share = tables / tables.sum(axis=(1, 2), keepdims=True)
    probability = _cell_probability(tables, rows, columns, rho)
    score = _cells(bivariate_density(rows[:, :, None], columns[:, None, :], rho[:, None, None])) / probability
    pull = share * score / probability
    moved = _threshold_part(pull, rows, columns, rho)[:, :, None]
    moved = moved + _threshold_part(pull.swapaxes(1, 2), columns, rows, rho)[:, None, :]
    information = (share * score * score).sum(axis=(1, 2))
    return np.asarray(np.where(tables > 0.0, score - moved, 0.0) / information[:, None, None])


def _threshold_part(pull: FloatArray, own: FloatArray, other: FloatArray, rho: FloatArray) -> FloatArray:
    """(pairs, K) A21 times the influence on the thresholds of the item in the rows, for each of its answers.

    The influence on threshold t of somebody with answer y is (1{y ≤ t} - Φ(τ))/φ(τ); the φ cancels against that in A21.
    """
    rest = np.sqrt(1.0 - rho * rho)[:, None, None]
    bounds = (other[:, None, :] - rho[:, None, None] * np.minimum(own, _FAR)[:, :, None]) / rest
    given = np.diff(ndtr(bounds), axis=2, prepend=0.0, append=1.0)
    slope = (given * -np.diff(pull, axis=1)).sum(axis=2) * np.isfinite(own)
    beyond = np.pad(slope[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))
    return np.asarray(beyond - (slope * ndtr(own)).sum(axis=1, keepdims=True))


def _cells(inner: FloatArray) -> FloatArray:
    """(pairs, K, K) differences over the corners of cells of a function that is 0 at the outer edges."""
    return np.diff(np.diff(np.pad(inner, ((0, 0), (1, 1), (1, 1))), axis=1), axis=2)


def _cell_probability(tables: FloatArray, rows: FloatArray, columns: FloatArray, rho: FloatArray) -> FloatArray:
    """(pairs, K, K) probabilities of the cells where somebody is; 1 elsewhere."""
    pairs, above = rows.shape
    grid = np.zeros((pairs, above + 2, above + 2))
    grid[:, 1:-1, 1:-1] = bivariate_cdf(rows[:, :, None], columns[:, None, :], rho[:, None, None])
    grid[:, 1:-1, -1], grid[:, -1, 1:-1], grid[:, -1, -1] = ndtr(rows), ndtr(columns), 1.0
    found = np.where(tables > 0.0, np.diff(np.diff(grid, axis=1), axis=2), 1.0)
    rare = np.nonzero(found < _RARE)
    if len(rare[0]):
        pair, row, column = rare
        a, b = (np.pad(one, ((0, 0), (1, 1)), constant_values=(-_FAR, _FAR)) for one in (rows, columns))
        limits = Bounds(a[pair, row], a[pair, row + 1], b[pair, column], b[pair, column + 1])
        found[rare] = np.maximum(_rare_probability(limits, rho[pair]), TINY)
    return found


def _rare_probability(limits: Bounds, rho: FloatArray) -> FloatArray:
    """(cells,) probabilities of rectangles so improbable that a difference of Φ₂ is only rounding.

    Φ of the one given the other is integrated over the other by Gauss–Legendre quadrature in panels. All terms are
    positive, so that the relative error stays small.
    """
    left, right, low, high = (np.clip(one, -_EDGE, _EDGE)[:, None] for one in limits)
    nodes, weights = _FINE
    x = left + (right - left) * nodes
    root, shift = np.sqrt(1.0 - rho * rho)[:, None], rho[:, None] * x
    given = share_between((low - shift) / root, (high - shift) / root)
    density = np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    return np.asarray((density * given) @ weights * (right - left)[:, 0])


def _put(array: NDArray[Any], at: NDArray[np.intp], new: NDArray[Any]) -> NDArray[Any]:
    changed = array.copy()
    changed[at] = new
    return changed


# --- one pair of answers, each between bounds of its own


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the bounds of an answer lie given u, a standardised continuous item; all (n,) but rho."""

    u: FloatArray
    rho: float
    lower_tau: FloatArray  # the bounds of the normal variable behind the answer; ±FAR where there is none
    upper_tau: FloatArray
    lower: FloatArray  # the same given u, in conditional standard units
    upper: FloatArray
    lower_ratio: FloatArray  # normal densities there over the probability of the answer
    upper_ratio: FloatArray

    @classmethod
    def of(cls, u: FloatArray, lower_tau: FloatArray, upper_tau: FloatArray, rho: float) -> Cut:
        """Lay the bounds out given u."""
        rest = float(np.sqrt(1.0 - rho * rho))
        shift = rho * u
        lower, upper = (lower_tau - shift) / rest, (upper_tau - shift) / rest
        up, down = bound_pulls(lower, upper)
        return cls(u, rho, lower_tau, upper_tau, lower, upper, -down, up)

    def derivatives(self) -> Pulls:
        """∂P/∂ρ and ∂²P/∂ρ² over P, the probability of the answer given u."""
        rho, rest = self.rho, 1.0 - self.rho * self.rho
        first, second = np.zeros_like(self.u), np.zeros_like(self.u)
        ends = (
            (self.upper_tau, self.upper, self.upper_ratio, 1.0),
            (self.lower_tau, self.lower, self.lower_ratio, -1.0),
        )
        for tau, at, ratio, sign in ends:
            speed = (tau * rho - self.u) * rest**-1.5
            first += sign * ratio * speed
            second += sign * ratio * (tau * rest**-1.5 + speed * (3.0 * rho / rest - at * speed))
        return first, second

    def score(self) -> FloatArray:
        """Derivative of the log likelihood of each answer by ρ."""
        upper, lower = self.upper_tau * self.rho - self.u, self.lower_tau * self.rho - self.u
        power = (1.0 - self.rho * self.rho) ** -1.5
        return np.asarray((self.upper_ratio * upper - self.lower_ratio * lower) * power)


def _corners(limits: Bounds) -> list[tuple[FloatArray, FloatArray, float]]:
    left, right, low, high = limits
    return [(right, high, 1.0), (left, high, -1.0), (right, low, -1.0), (left, low, 1.0)]


def _rectangle(limits: Bounds, rho: float) -> FloatArray:
    """Probability of each rectangle (left, right, low, high)."""
    found = np.zeros_like(limits.left)
    for x, y, sign in _corners(limits):
        inside = np.maximum(np.abs(x), np.abs(y)) < FAR
        corner = ndtr(np.minimum(x, y))  # right wherever one of them is infinite
        corner[inside] = bivariate_cdf(x[inside], y[inside], np.array([rho]))
        found += sign * corner
    rare = np.flatnonzero(found < _RARE)
    if len(rare):
        found[rare] = _rare_probability(Bounds(*(one[rare] for one in limits)), np.full(len(rare), rho))
    return np.maximum(found, TINY)


def rectangle_derivatives(limits: Bounds, rho: float) -> Pulls:
    """∂P/∂ρ and ∂²P/∂ρ² over P."""
    probability, at = _rectangle(limits, rho), np.array([rho])
    first, second = np.zeros_like(probability), np.zeros_like(probability)
    for x, y, sign in _corners(limits):
        density = sign * bivariate_density(x, y, at)
        first += density
        second += density * bivariate_slope(x, y, at)
    return first / probability, second / probability


def rectangle_pulls(limits: Bounds, rho: float) -> PairPulls:
    """Score of the correlation, and derivatives of the log likelihood by either one's upper and lower bound."""
    left, right, low, high = limits
    probability, at = _rectangle(limits, rho), np.array([rho])
    score = np.zeros_like(probability)
    for x, y, sign in _corners(limits):
        score += sign * bivariate_density(x, y, at)

    def ends(lower: FloatArray, upper: FloatArray, under: FloatArray, over: FloatArray) -> Pulls:
        return (_edge(upper, under, over, rho) / probability, -_edge(lower, under, over, rho) / probability)

    return PairPulls(score / probability, ends(left, right, low, high), ends(low, high, left, right))


def _edge(at: FloatArray, under: FloatArray, over: FloatArray, rho: float) -> FloatArray:
    """Density of the one at a bound times the probability of the other's interval given it."""
    rest = float(np.sqrt(1.0 - rho * rho))
    inside = share_between((under - rho * at) / rest, (over - rho * at) / rest)
    return np.asarray(np.exp(-0.5 * at * at) / np.sqrt(2.0 * np.pi) * inside)
