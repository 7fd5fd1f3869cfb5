"""Method "path" from mean and covariance alone: the same coefficients as from rows, with classical errors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.path import Solution, Spot, correlated_pairs, normal_theory, spots_of
from roxmodel.estimate.scores import Scores
from roxmodel.records import LINEAR, Equation
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["solve_moments"]

_INSEPARABLE = 1e-8  # smallest eigenvalue of the causes' correlations


@dataclass(slots=True)
class _Work:
    """Collects theta and the blocks of its covariance; `lead` maps second moments to coefficients."""

    scores: Scores
    covariance: FloatArray
    theta: FloatArray
    df: FloatArray
    partial_r2: FloatArray
    vcov: FloatArray
    remainder: FloatArray
    leads: dict[str, tuple[list[int], list[int], FloatArray, float]] = field(default_factory=dict)
    equations: list[Equation] = field(default_factory=list)


def solve_moments(model: RoxModel, table: ParameterTable, scores: Scores) -> Solution:
    """Estimate every equation from mean and covariance, in closed form, with classical errors.

    Coefficients S_xx⁻¹ s_xy; their covariance s² S_xx⁻¹ / n with s² = n σ² / (n - p - 1), σ² the residual variance
    with divisor n; variances and covariances by normal theory.

    Raises
    ------
    EstimationError
        If n is too small, causes are inseparable, or nothing is left to explain.
    """
    covariance = np.asarray(scores.covariance)
    k, n_free = len(covariance), table.n_free
    work = _Work(
        scores=scores,
        covariance=covariance,
        theta=np.zeros(n_free),
        df=np.full(n_free, np.inf),
        partial_r2=np.full(n_free, np.nan),
        vcov=np.zeros((n_free, n_free)),
        remainder=np.eye(k),
    )
    for spot in spots_of(model, table):
        _equation(work, spot)
    disturbance = work.remainder @ covariance @ work.remainder.T
    given = _second_moments(model, table, work, disturbance)
    _correlated_equations(model, table, work, disturbance)
    return Solution(work.theta, given, work.vcov, work.df, work.partial_r2, tuple(work.equations), ())


def _equation(work: _Work, spot: Spot) -> None:
    causes, n = list(spot.causes), work.scores.n
    _check(work, spot)
    weights = np.zeros(len(work.scores.names))
    weights[spot.effect] = 1.0
    for cause, value in spot.fixed:
        weights[cause] -= value
    inverse = _inverse(work.covariance[np.ix_(causes, causes)])
    joint = work.covariance[causes] @ weights
    slopes = inverse @ joint
    own = float(weights @ work.covariance @ weights)
    residual = own - float(slopes @ joint)
    if residual <= 1e-13 * max(own, float(work.covariance[spot.effect, spot.effect])):
        raise EstimationError(
            f"{work.scores.names[spot.effect]!r} is fully determined by its causes: nothing is left to explain.",
            hint="Leave out the cause that is computed from it.",
        )
    weights[causes] -= slopes
    work.remainder[spot.effect] = weights
    df = float(n - len(causes) - 1)
    _fill(work, spot, (slopes, inverse, weights), (residual, df))
    work.equations.append(Equation(work.scores.names[spot.effect], LINEAR, n, df))


def _check(work: _Work, spot: Spot) -> None:
    causes, n = list(spot.causes), work.scores.n
    names, effect = [work.scores.names[c] for c in causes], work.scores.names[spot.effect]
    if n <= len(causes) + 2:
        raise EstimationError(
            f"The equation of {effect!r} has {len(causes)} cause(s), an intercept and a residual variance, "
            f"but n = {n}.",
            hint=f"Give {effect!r} fewer causes.",
        )
    if not causes:
        return
    inner = work.covariance[np.ix_(causes, causes)]
    scale = np.sqrt(np.diag(inner))
    if np.linalg.eigvalsh(inner / np.outer(scale, scale))[0] < _INSEPARABLE:
        raise EstimationError(f"The causes {listed(names)} of {effect!r} cannot be told apart.", hint="Leave one out.")


def _inverse(inner: FloatArray) -> FloatArray:
    """Inverse of a covariance, computed from correlations, so that units of measurement cost no digits."""
    scale = np.sqrt(np.diag(inner))
    outer = np.outer(scale, scale)
    return np.asarray(np.linalg.inv(inner / outer) / outer)


def _fill(
    work: _Work, spot: Spot, found: tuple[FloatArray, FloatArray, FloatArray], spare: tuple[float, float]
) -> None:
    """Write coefficients and their covariance; with means, the intercept first."""
    (slopes, inverse, weights), (residual, df) = found, spare
    causes, at = list(spot.causes), list(spot.theta)
    explained = slopes**2 / np.diag(inverse)
    partial = explained / (explained + residual)
    if len(at) > len(causes):
        mean = np.asarray(work.scores.mean)
        cross = -inverse @ mean[causes]
        corner = 1.0 - float(mean[causes] @ cross)
        inverse = np.asarray(np.block([[np.array([[corner]]), cross[None, :]], [cross[:, None], inverse]]))
        slopes = np.concatenate([[float(weights @ mean)], slopes])
        partial = np.concatenate([[np.nan], partial])
    work.theta[at], work.df[at], work.partial_r2[at] = slopes, df, partial
    work.vcov[np.ix_(at, at)] = residual / df * inverse
    work.leads[work.scores.names[spot.effect]] = (at, causes, inverse, df)


def _second_moments(model: RoxModel, table: ParameterTable, work: _Work, disturbance: FloatArray) -> dict[str, float]:
    """Fill exogenous means and (co)variances and disturbance (co)variances; return what the data give."""
    place = {name: i for i, name in enumerate(model.names)}
    given: dict[str, float] = {}
    free = []
    for row in table:
        if row.left not in place or row.right not in place:
            continue
        if row.kind == "intercept" and not model.causes(row.left) and work.scores.mean is not None:
            value = float(work.scores.mean[place[row.left]])
        elif row.kind in {"variance", "covariance"}:
            value = float(disturbance[place[row.left], place[row.right]])
        else:
            continue
        if row.free:
            work.theta[row.free - 1] = value
            free.append(row)
        else:
            given[row.id] = value
    at = [row.free - 1 for row in free]
    if at:
        shared = np.full((len(at), len(at)), 1.0 / work.scores.n)
        work.vcov[np.ix_(at, at)] = normal_theory(tuple(free), place, disturbance, shared)
    return given


def _correlated_equations(model: RoxModel, table: ParameterTable, work: _Work, disturbance: FloatArray) -> None:
    """Covariance of two equations whose disturbances may covary (Zellner 1962, doi 10.2307/2281644)."""
    place = {name: i for i, name in enumerate(model.names)}
    for left, right in correlated_pairs(model, table):
        (at, causes, own, spare), (to, others, other, left_over) = work.leads[left], work.leads[right]
        inner = work.covariance[np.ix_(causes, others)]
        if len(at) > len(causes):
            mean = np.asarray(work.scores.mean)
            a, b = np.concatenate([[1.0], mean[causes]]), np.concatenate([[1.0], mean[others]])
            inner = np.outer(a, b) + np.block(
                [[np.zeros((1, 1)), np.zeros((1, len(others)))], [np.zeros((len(causes), 1)), inner]]
            )
        shared = disturbance[place[left], place[right]] / float(np.sqrt(spare * left_over))
        cross = shared * (own @ inner @ other)
        work.vcov[np.ix_(at, to)], work.vcov[np.ix_(to, at)] = cross, cross.T
