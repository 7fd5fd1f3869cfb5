"""The fitted graph as matrices: coefficients, total effects, implied covariances.

Coefficients have the shape ``(draws, k, k)`` with ``[d, effect, cause]``; a point estimate is one draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.records import LINEAR
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["System", "implied_covariance", "no_equilibrium", "root_of", "stability_index", "system_of", "total_effects"]


@dataclass(frozen=True, slots=True)
class System:
    """Structural equations ``y = intercept + B y + Σ_l B_l y(t - l) + disturbance``, one for each draw."""

    names: tuple[str, ...]  # (k,)
    order: tuple[int, ...]  # (k,) places, causes before effects; those of one loop stand together
    coefficients: FloatArray  # (draws, k, k) within the wave, ``[d, effect, cause]``
    intercepts: FloatArray | None  # (draws, k); None without means, or where units are marker-item points
    families: tuple[str, ...]  # (k,) of the equations
    lags: tuple[int, ...] = ()  # waves after which lagged edges act, ascending
    # (draws, lags, k, k) ``[d, lag, effect, cause]``; what is given is the same in every draw
    lagged: FloatArray = field(default_factory=lambda: np.zeros((1, 0, 0, 0)))
    carries: BoolArray | None = None  # (k, k) edges along which a change runs; None = all of them
    loops: tuple[tuple[int, ...], ...] = ()  # places of the constructs that cause each other, loop by loop

    @property
    def linear(self) -> bool:
        """Whether every equation is linear."""
        return all(family == LINEAR for family in self.families)

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """The order in which changes are known: one construct at a time, a loop all at once."""
        member = {place: loop for loop in self.loops for place in loop}
        return tuple(dict.fromkeys(member.get(place, (place,)) for place in self.order))

    def only(self, draws: slice | BoolArray | IntArray) -> System:
        """Some of the draws: a slice, their places, or a mark for each."""
        intercepts = None if self.intercepts is None else self.intercepts[draws]
        lagged = self.lagged[draws] if self.lags else self.lagged
        return replace(self, coefficients=self.coefficients[draws], intercepts=intercepts, lagged=lagged)


def system_of(
    model: RoxModel, table: ParameterTable, theta: FloatArray, families: tuple[str, ...], marker: bool = False
) -> System:
    """Put parameters, theta (draws, n_free), into matrices.

    With `marker` a latent construct counts in points of its first item, whatever unit the table gives it: each
    coefficient is multiplied by that item's loading on the effect and divided by that on the cause. (Fixed lagged
    edges, which act in the simulation only, are in these points already; estimated ones are not.)
    """
    place = {name: i for i, name in enumerate(model.names)}
    draws, k = len(theta), len(place)
    coefficients = np.zeros((draws, k, k))
    intercepts = np.zeros((draws, k))
    later = [row for row in table.of("edge") if row.lag]
    lags = tuple(sorted({row.lag for row in later}))
    lagged = np.zeros((draws if any(row.free for row in later) else 1, len(lags), k, k))
    scale = _marker_loadings(model, table, theta) if marker and table.of("loading") else None
    for row in table:
        if row.kind == "edge":
            values = theta[:, row.free - 1] if row.free else row.value or 0.0
            to, from_ = place[row.right], place[row.left]
            if row.lag:
                unit = 1.0 if scale is None or not row.free else scale[:, to] / scale[:, from_]
                lagged[:, lags.index(row.lag), to, from_] = values * unit
            else:
                coefficients[:, to, from_] = values
        elif row.kind == "intercept" and row.left in place and row.free:
            intercepts[:, place[row.left]] = theta[:, row.free - 1]
    means = any(row.kind == "intercept" for row in table)
    if scale is not None:
        coefficients *= scale[:, :, None] / scale[:, None, :]
    return System(
        names=model.names,
        order=tuple(place[name] for name in model.order()),
        coefficients=coefficients,
        intercepts=intercepts if means and scale is None else None,
        families=families,
        lags=lags,
        lagged=np.array(np.broadcast_to(lagged, (draws, *lagged.shape[1:]))),  # open to writing, as a copy of it is
        loops=tuple(tuple(place[name] for name in loop) for loop in model.loops()),
    )


def _marker_loadings(model: RoxModel, table: ParameterTable, theta: FloatArray) -> FloatArray:
    """(draws, k) loading of each construct's first item."""
    first = {(c.name, c.item_names[0]): i for i, c in enumerate(model.constructs)}
    found = np.ones((len(theta), len(first)))
    for row in table:
        if row.kind == "loading" and (row.left, row.right) in first:
            found[:, first[row.left, row.right]] = theta[:, row.free - 1] if row.free else row.value
    for (name, item), i in first.items():
        if (found[:, i] == 0).any():
            raise EstimationError(
                f"{item!r}, the first item of {name!r}, does not load on it, so that its points measure nothing.",
                hint="Put another item first: changes are counted in points of the first.",
            )
    return found


def stability_index(coefficients: FloatArray) -> FloatArray:
    """Largest modulus of the eigenvalues of B, (draws,): below 1 a push around the loops dies out, from 1 on it grows.

    It is 0 without a loop, and infinite where a coefficient is not finite. Bentler & Freeman (1983), doi
    10.1007/BF02294026.

    >>> stability_index(np.array([[[0.0, 0.9], [0.4, 0.0]]])).round(6)
    array([0.6])
    """
    finite = np.isfinite(coefficients).all(axis=(1, 2))
    found = np.full(len(coefficients), np.inf)
    found[finite] = np.abs(np.linalg.eigvals(coefficients[finite])).max(axis=-1, initial=0.0)
    return found


def total_effects(coefficients: FloatArray) -> FloatArray:
    """Total effects within the wave, (I - B)⁻¹, (draws, k, k), with ones on the diagonal of a graph without loops.

    With loops they are those of the equilibrium, which there is where `stability_index` is below 1; a gain of exactly 1
    is refused. Bollen (1987), doi 10.2307/271028.

    >>> chain = np.array([[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.4, 0.0]]])
    >>> total_effects(chain)[0, 2, 0]
    np.float64(0.2)
    """
    identity = np.eye(coefficients.shape[-1])
    try:
        found = np.asarray(np.linalg.inv(identity - coefficients))
    except np.linalg.LinAlgError:
        raise no_equilibrium() from None
    return np.where(_reaches(coefficients), found, 0.0)  # where no path leads, exactly nothing


def no_equilibrium() -> EstimationError:
    """What a loop whose gain is exactly 1 is refused with."""
    return EstimationError(
        "A feedback loop has a gain of exactly 1: there is no equilibrium.", hint="Break or damp the loop."
    )


def _reaches(coefficients: FloatArray) -> BoolArray:
    """(k, k) whether a directed path leads to a row from a column, in any draw; from each to itself."""
    size = coefficients.shape[-1]
    reach = np.any(coefficients.reshape(-1, size, size) != 0, axis=0) | np.eye(size, dtype=bool)
    for middle in range(size):
        reach |= reach[:, middle : middle + 1] & reach[middle]
    return np.asarray(reach)


def implied_covariance(coefficients: FloatArray, disturbances: FloatArray) -> FloatArray:
    """Model-implied covariance of the constructs, (I - B)⁻¹ Ψ (I - B)⁻ᵀ, (draws, k, k)."""
    total = total_effects(coefficients)
    return np.asarray(total @ disturbances @ np.swapaxes(total, -1, -2))


def root_of(covariance: FloatArray) -> FloatArray:
    """A root R of a positive semi-definite matrix, R Rᵀ = covariance, (n, n).

    The symmetric root of the correlations, which is unique: eigenvectors have no sign of their own, so that a root made
    of them alone would give other draws on another machine. Of correlations, as beside a variance of euros squared
    (1e12) the eigenvectors of the covariance itself would carry no digit of a variance of points (0.1).

    >>> covariance = np.array([[1e12, 1e5], [1e5, 0.04]])
    >>> root = root_of(covariance)
    >>> np.allclose(root @ root.T, covariance, rtol=1e-12, atol=0)
    True
    """
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2 / np.outer(safe, safe))
    return np.asarray(scale[:, None] * (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T)
