"""Standard errors: inverse information, sandwich, what few units ask for; and whether parameters can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.latent.casewise import Cases, Scored, adf_products, score_products
from roxmodel.estimate.latent.optimizer import Minimum
from roxmodel.estimate.latent.sample import GroupSample, LinkedSample, Sample
from roxmodel.implied.matrices import Layout
from roxmodel.moments.condense import kish
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.survey.linkage import equation_units
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "Bread",
    "beside_bound",
    "bread_of",
    "degrees_of_freedom",
    "net_of_intercepts",
    "sandwich",
    "satorra_bentler",
    "small_sample",
    "unit_cases",
    "unit_degrees_of_freedom",
]

_FLAT = 1e-9  # smallest eigenvalue of the scaled information that still identifies
_LITTLE = 0.1  # share of the expected information that the observed one of what is held must have
_WHOLE = 0.5  # of what no inverse of an information falls short of, but for rounding
_UNKNOWN = 3.0  # times that the part of a variance counts which comes from a parameter at its bound


@dataclass(frozen=True, slots=True)
class Bread:
    """Inverse information of what is free to move."""

    inverse: FloatArray  # (n_free, n_free) per observation; zero rows for parameters at their bound
    information: FloatArray  # (n_free, n_free) that was inverted
    condition: float  # of the scaled information (by the 1-norm; by eigenvalues where it is nearly singular)
    flat: FloatArray | None  # (n_free,) direction that the data do not determine, of unit length; None if there is none
    whole: FloatArray  # (n_free, n_free) with those at their bound: what errors are made of; `inverse` if none is held
    held: BoolArray  # (n_free,) parameters at their bound
    negative: bool = False  # whether the observed information has a negative direction: the expected one took its place


def bread_of(found: Minimum, observed: bool) -> Bread:
    """Invert the information at the optimum.

    A variance that stopped at its bound is not known to be 0. What hangs on it (the loadings and variances of its
    construct) would seem far better known than it is if it were taken out: errors come from the information of all
    parameters, which is what they are where the truth lies inside, and no smaller than they should be where it lies on
    the bound (Andrews 1999, doi 10.1111/1468-0262.00082; Self & Liang 1987, doi 10.1080/01621459.1987.10478472). Efron
    & Hinkley (1978), doi 10.1093/biomet/65.3.457.
    """
    moving, held = ~found.bound, found.bound
    chosen = found.expansion.hessian if observed else found.expansion.information
    expected = found.expansion.information
    plain, negative = _inverted(chosen, expected, moving), False
    if observed and plain[2] is None and plain[3] <= 0:
        plain, chosen, negative = _inverted(expected, expected, moving), expected, True
    inverse, lost = _without_rounding(plain[0], chosen, moving)
    whole = _whole(chosen, expected, inverse, held) if held.any() else inverse
    whole[lost] = whole[:, lost] = 0.0
    flat = lost / np.sqrt(lost.sum()) if plain[2] is None and lost.any() else plain[2]
    return Bread(inverse, chosen, plain[1], flat, whole, held, negative)


def _without_rounding(inverse: FloatArray, information: FloatArray, moving: BoolArray) -> tuple[FloatArray, BoolArray]:
    """The inverse without parameters of which only rounding is left, and which they are.

    Of a positive definite matrix A no diagonal entry of the inverse is below 1 / A_ii: where one is, no digit of it is
    right, and an error that seems tiny is not known.
    """
    lost = moving & ~(np.diag(inverse) * np.diag(information) > _WHOLE)
    if not lost.any():
        return inverse, lost
    kept = inverse.copy()
    kept[lost] = kept[:, lost] = 0.0
    return kept, lost


def _whole(chosen: FloatArray, expected: FloatArray, inverse: FloatArray, held: BoolArray) -> FloatArray:
    """Inverse of the information of all parameters, from that of those which move, `inverse`.

    Off the optimum (a bound is pushed against) the observed information of what is held need not be positive, or is so
    by next to nothing: where it has not a tenth of the expected one in some direction, the expected one counts. A
    direction that the data do not determine gets an error so large that it says nothing, not one of 0.
    """
    moving = ~held
    slope = -inverse[np.ix_(moving, moving)] @ chosen[np.ix_(moving, held)]  # dθ / dθ_b along the optimum
    left = chosen[np.ix_(held, held)] + chosen[np.ix_(held, moving)] @ slope
    if chosen is not expected:
        size = np.sqrt(np.where(np.diag(expected) > 0, np.diag(expected), 1.0))
        unitless = expected / np.outer(size, size)  # the units of items must not decide what is rounding
        across = unitless[np.ix_(moving, held)]
        told = np.linalg.lstsq(unitless[np.ix_(moving, moving)], across, rcond=None)[0]
        usual = (unitless[np.ix_(held, held)] - across.T @ told) * np.outer(size[held], size[held])
        unit = np.sqrt(np.maximum(np.diag(usual), 1e-200))
        if np.linalg.eigvalsh((left - _LITTLE * usual) / np.outer(unit, unit))[0] < 0:
            left = usual
    own = np.diag(expected)[held]
    scale = np.sqrt(np.where(own > 0, own, 1e-200))
    values, vectors = np.linalg.eigh(left / np.outer(scale, scale))
    unknown = (vectors / np.maximum(values, _FLAT * max(float(values[-1]), _FLAT))) @ vectors.T / np.outer(scale, scale)
    found = inverse.copy()
    found[np.ix_(held, held)] = unknown
    found[np.ix_(moving, held)] = slope @ unknown
    found[np.ix_(held, moving)] = unknown @ slope.T
    found[np.ix_(moving, moving)] += slope @ unknown @ slope.T
    return found


def _inverted(
    matrix: FloatArray, reference: FloatArray, moving: BoolArray
) -> tuple[FloatArray, float, FloatArray | None, float]:
    count = len(matrix)
    inverse = np.zeros((count, count))
    if not moving.any():
        return inverse, 1.0, None, 1.0
    at = np.ix_(moving, moving)
    own = np.diag(reference)[moving]
    scale = np.sqrt(np.where(own > 0, own, max(float(own.max()), 1e-200)))  # 0 or less: only rounding is left of it
    outer = np.outer(scale, scale)
    scaled = matrix[at] / outer
    try:
        if np.diag(np.linalg.cholesky(scaled)).min() ** 2 > 1e-6:  # clearly positive definite: no eigenvalues needed
            own = np.linalg.inv(scaled)
            inverse[at] = (own + own.T) / 2 / outer
            return inverse, float(np.linalg.norm(scaled, 1) * np.linalg.norm(own, 1)), None, 1.0
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    top, low = float(values[-1]), float(values[0])
    flat = None
    if abs(low) < _FLAT * top:
        flat = np.zeros(count)
        flat[moving] = vectors[:, 0]
    usable = np.where(np.abs(values) < _FLAT * top, np.inf, values)
    inverse[at] = (vectors / usable) @ vectors.T / outer
    return inverse, top / max(abs(low), 1e-300), flat, low


def net_of_intercepts(bread: Bread, table: ParameterTable) -> Bread:
    """Judge the condition without the intercepts.

    An intercept and the edges into its construct lie on a ridge where the causes' means are far from 0: by where the
    scale has its zero, and by nothing that the data do not know. What the other parameters say of each other is in
    their part of the inverse.
    """
    kept = ~bread.held
    kept[[row.free - 1 for row in table.of("intercept") if row.free]] = False
    own = np.diag(bread.inverse)
    kept &= own > 0
    if bread.flat is not None or not kept.any():
        return bread
    sd = np.sqrt(own[kept])
    correlation = bread.inverse[np.ix_(kept, kept)] / np.outer(sd, sd)
    return replace(bread, condition=float(np.linalg.cond(correlation)))


def beside_bound(vcov: FloatArray, bread: Bread) -> FloatArray:
    """Widen errors by what is not known of a variance at its bound; what is held there does not move.

    With D = dθ / dθ_b along the optimum, V of all parameters holds D V_bb Dᵀ for not knowing the held ones. That is
    the error over all samples. A sample that ends at the bound though the truth lies t standard errors inside is off by
    t times that part, always to the same side, so here it counts three times. Given the bound, 95 % intervals then
    covered each parameter in 88-100 % of samples (120 to 300 people, the truth 1.4 to 2.5 standard errors inside); by V
    alone in as few as 60 %, and with the variance taken as known in as few as 0 %. `vcov` is V, by `Bread.whole`.
    """
    held = bread.held
    if not held.any():
        return vcov
    inner = np.linalg.pinv(bread.whole[np.ix_(held, held)], hermitian=True)
    slope = bread.whole[:, held] @ inner
    found = vcov + (_UNKNOWN - 1) * slope @ vcov[np.ix_(held, held)] @ slope.T
    found[held] = found[:, held] = 0.0
    return np.asarray(found)


def sandwich(parts: Sequence[Scored], found: Minimum, inverse: FloatArray, n: float) -> FloatArray:
    """(n_free, n_free) covariance of the estimates from scores by case, or by cluster of cases.

    Parts are groups (or all units), each with its cases; `inverse` is the inverse information per case, of all
    parameters. The middle is taken around the mean of what is held at its bound: all other scores add up to 0. Huber
    (1967), Proc. 5th Berkeley Symposium 1, 221-233; White (1982), doi 10.2307/1912526.
    """
    products = [score_products(layout, found.theta, data, cases) for layout, data, cases in parts]
    middle = np.sum(products, axis=0) / n
    if found.bound.any():
        mean = np.where(found.bound, found.expansion.gradient, 0.0)
        sets = sum(len(np.unique(cases.clusters)) for _, _, cases in parts if cases.clusters is not None)
        middle -= np.outer(mean, mean) * (n / max(sets - 1, 1) if sets else 1.0)
    return np.asarray(inverse @ middle @ inverse / n)


def unit_cases(weight: FloatArray, clusters: IntArray | None) -> Cases:
    """Units as cases; with g units or clusters of them the middle of a sandwich is multiplied by g / (g - 1)."""
    return Cases(None, weight, True, np.arange(len(weight)) if clusters is None else clusters)


def degrees_of_freedom(table: ParameterTable, sample: Sample) -> FloatArray | None:
    """(n_free,) degrees of freedom of the t distribution; None = normal, without clusters and sampling weights.

    Clusters less 1 (Cameron & Miller 2015, doi 10.3368/jhr.50.2.317), Kish's effective number of rows less 1, the
    smaller of the two: of a parameter's group, and of all groups for what they share.
    """
    rough = {group.name: _independent(group) for group in sample.groups}
    if not any(np.isfinite(list(rough.values()))):
        return None
    found = np.zeros(table.n_free)
    for row in table:
        if row.free:
            found[row.free - 1] += rough.get(row.group, max(rough.values()))
    codes = [group.clusters for group in sample.groups if group.clusters is not None]
    if codes:  # a cluster may have people in several groups
        found = np.minimum(found, len(np.unique(np.concatenate(codes))))
    return np.maximum(found - 1.0, 1.0)


def _independent(group: GroupSample) -> float:
    """Clusters, or rows by their weights, that say something of their own; infinite where errors are plain."""
    found = np.inf
    if group.clusters is not None:
        found = float(len(np.unique(group.clusters)))
    if group.sampling and group.weights is not None:
        found = min(found, kish(group.weights))
    return found


def satorra_bentler(
    layouts: Sequence[Layout], sample: Sample, theta: FloatArray, given: tuple[int, ...] = ()
) -> tuple[FloatArray, float]:
    """Distribution-free middle, (n_free, n_free), and tr(A Γ) over all groups."""
    found, trace = np.zeros((len(theta),) * 2), 0.0
    for layout, group in zip(layouts, sample.groups, strict=True):
        products, own = adf_products(layout, theta, group.target, group.cases, given)
        found += products * group.n / sample.n
        trace += own
    return found, trace


def unit_degrees_of_freedom(
    model: RoxModel, table: ParameterTable, sample: LinkedSample, clusters: IntArray | None = None
) -> FloatArray:
    """(n_free,) degrees of freedom of the t distribution.

    Of an edge: units of its equation less its causes less 1, as in a regression; of anything else units less 1. With
    clusters of units: clusters less 1 at most.
    """
    units = equation_units(model, sample.means)
    found = np.full(table.n_free, max(float(sample.n - 1), 1.0))
    for row in table.of("edge"):
        if row.free:
            left = float(units[row.right] - len(model.causes(row.right)) - 1)
            found[row.free - 1] = min(found[row.free - 1], max(left, 1.0))
    if clusters is not None:
        found = np.minimum(found, max(float(clusters.max()), 1.0))
    return found


def small_sample(model: RoxModel, table: ParameterTable, sample: LinkedSample, vcov: FloatArray) -> FloatArray:
    """Widen the errors of edges by √(n / (n - causes - 1)).

    Maximum likelihood divides what an equation leaves unexplained by n; as in a regression it should be divided by
    what is left of n after the equation's parameters. The rule was chosen by simulation (`benchmarks/
    linked_coverage.py`).
    """
    units, factor = equation_units(model, sample.means), np.ones(table.n_free)
    for row in table.of("edge"):
        if row.free:
            n = units[row.right]
            left = n - len(model.causes(row.right)) - 1
            factor[row.free - 1] = np.sqrt(n / max(left, 1))
    return np.asarray(vcov * np.outer(factor, factor))
