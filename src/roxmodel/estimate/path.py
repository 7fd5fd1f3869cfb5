"""Method "path": composites, one regression for each effect. The transparent baseline.

With rows: least squares with HC3 (or clustered, or classical) errors, generalised linear models where the
outcome's scale asks for one (`roxmodel.estimate.rows`). From moments: the same coefficients in closed form, with
classical errors (`roxmodel.estimate.closed_form`). This module holds what both share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.records import Equation
from roxmodel.spec.causal import loop_within
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray

__all__ = ["Solution", "Spot", "check_recursive", "correlated_pairs", "normal_theory", "spots_of"]


@dataclass(frozen=True, slots=True)
class Spot:
    """One equation's places: in the constructs and in theta.

    Attributes
    ----------
    effect
        Place of the effect.
    causes
        Places of the causes whose edges are free.
    fixed
        (place, value) of the causes whose edges are fixed.
    theta
        Places in theta of the intercept (if there are means) and of the free edges.
    """

    effect: int
    causes: tuple[int, ...]
    fixed: tuple[tuple[int, float], ...]
    theta: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Estimates and their covariance.

    Attributes
    ----------
    theta
        (n_free,).
    given
        Values of the rows that the data give, by id.
    vcov
        (n_free, n_free).
    df
        (n_free,) degrees of freedom of t tests, infinite for the normal.
    partial_r2
        (n_free,) share of what the other causes leave that this edge explains, 0-1; NaN where it does not apply.
    equations
        One for each effect.
    warnings
        What a reader must know (inseparable causes, n that differs).
    """

    theta: FloatArray
    given: dict[str, float]
    vcov: FloatArray
    df: FloatArray
    partial_r2: FloatArray
    equations: tuple[Equation, ...]
    warnings: tuple[str, ...]


def check_recursive(model: RoxModel, table: ParameterTable) -> None:
    """Refuse what single regressions cannot estimate: feedback, confounded edges, equal labels, free lags.

    Raises
    ------
    EstimationError
        Naming the edge and the way out.
    """
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


def correlated_pairs(model: RoxModel, table: ParameterTable) -> tuple[tuple[str, str], ...]:
    """Pairs of effects whose disturbances the model lets covary."""
    return tuple(
        (row.left, row.right)
        for row in table.of("covariance")
        if (row.free or row.value) and model.causes(row.left) and model.causes(row.right)
    )


def normal_theory(
    rows: tuple[Parameter, ...], places: dict[str, int], psi: FloatArray, shared: FloatArray
) -> FloatArray:
    """Covariance of means, variances and covariances of exogenous constructs and disturbances.

    cov(m_a, m_b) = ψ_ab s, cov(ψ_ab, ψ_cd) = (ψ_ac ψ_bd + ψ_ad ψ_bc) s, cov(m, ψ) = 0.

    Parameters
    ----------
    rows
        (r) rows of the table: intercepts, variances, covariances.
    places
        Construct -> its place.
    psi
        (k, k) covariance of exogenous deviations and disturbances.
    shared
        (r, r) s: 1 / n for complete data, in general rows shared by two parameters over the product of their n.

    References
    ----------
    Anderson (2003), An introduction to multivariate statistical analysis, ch. 3.
    """
    a = np.array([places[row.left] for row in rows], dtype=np.int64)
    b = np.array([places[row.right] for row in rows], dtype=np.int64)
    second = np.array([row.kind != "intercept" for row in rows], dtype=bool)
    means = psi[np.ix_(a, a)]
    products = psi[np.ix_(a, a)] * psi[np.ix_(b, b)] + psi[np.ix_(a, b)] * psi[np.ix_(b, a)]
    both = np.outer(second, second)
    found = np.where(both, products, np.where(np.outer(~second, ~second), means, 0.0))
    return np.asarray(found * shared)
