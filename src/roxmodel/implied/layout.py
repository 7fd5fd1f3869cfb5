"""A parameter table laid out in matrices: where every parameter stands, and what its derivative is made of."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.spec.parameters import Parameter
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "DISTURBANCES",
    "EDGES",
    "ITEM_MEANS",
    "LATENT_MEANS",
    "LOADINGS",
    "RESIDUALS",
    "Layout",
    "lay_out",
    "place_of",
    "residual_of",
    "saturated",
]

LOADINGS, EDGES, DISTURBANCES, RESIDUALS, ITEM_MEANS, LATENT_MEANS = range(6)


@dataclass(frozen=True, slots=True)
class Layout:
    """One group's matrices, and the places of the free parameters in them.

    Σ = Λ T Ψ Tᵀ Λᵀ + Θ and μ = ν + Λ T α with T = (I - B)⁻¹ (Bollen 1989, Structural equations with latent
    variables, ch. 8). With the bank of columns [I | A | C], A = Λ T and C = A Ψ Tᵀ, the derivative of Σ by any row of
    the table is ``s (u vᵀ + v uᵀ)`` and that of μ is ``m·d`` with u, v, d columns of the bank.
    """

    items: tuple[str, ...]  # p observed variables
    constructs: tuple[str, ...]  # k
    base: tuple[FloatArray, ...]  # Λ (p, k), B (k, k), Ψ (k, k), Θ (p, p), ν (p), α (k): fixed values in place
    matrix: IntArray  # (r,) which matrix each free row of the table stands in, and its entry there
    row: IntArray
    column: IntArray
    theta: IntArray  # (r,) its place in theta; several rows may share one
    n_free: int  # length of theta, over all groups
    u: IntArray  # (r,) places in the bank
    v: IntArray
    d: IntArray
    share: FloatArray  # (r,) s: 1, ½ on a diagonal, 0 for means
    scale: FloatArray  # (p,) units of Σ and μ (standard deviations): euros squared beside points cost no digit
    means: bool  # whether μ is modelled; if not, it is the sample's
    entries: tuple[tuple[IntArray, IntArray, IntArray], ...]  # of each matrix: rows, columns, places in theta
    link: FloatArray  # (r, n_free) which element of theta each free row takes


def residual_of(row: Parameter, constructs: Container[str]) -> bool:
    """Whether a variance or covariance is one of item residuals (an item may bear its construct's name)."""
    if row.left not in constructs or row.kind != "variance":
        return row.left not in constructs
    return row.id.removesuffix(f"@{row.group}") != f"variance:{row.left}"


def lay_out(
    rows: Sequence[Parameter],
    names: tuple[tuple[str, ...], tuple[str, ...]],
    given: Mapping[str, float],
    scale: FloatArray,
    n_free: int,
) -> Layout:
    """Lay the rows of one group out in matrices.

    `names` are items and constructs, `given` the values that the data give to rows (by id), `scale` (p,) the units of
    the items, `n_free` the length of theta over all groups.
    """
    items, constructs = names
    item_at = {name: i for i, name in enumerate(items)}
    construct_at = {name: i for i, name in enumerate(constructs)}
    p, k = len(items), len(constructs)
    base = tuple(np.zeros(shape) for shape in ((p, k), (k, k), (k, k), (p, p), (p,), (k,)))
    spots: list[tuple[int, int, int, int]] = []
    means = False
    for row in rows:
        spot = _spot(row, item_at, construct_at)
        if spot is None:
            continue
        means |= spot[0] >= ITEM_MEANS
        if row.free:
            spots.append((*spot, row.free - 1))
        else:
            _put(base, spot, given.get(row.id, 0.0) if row.value is None else row.value)
    return _indexed(names, base, spots, (scale, n_free, means))


def place_of(row: Parameter, items: Sequence[str], constructs: Sequence[str]) -> tuple[int, int, int]:
    """Matrix and entry of a row that stands in one; a definition or a threshold is a ValueError."""
    spot = _spot(row, {n: i for i, n in enumerate(items)}, {n: i for i, n in enumerate(constructs)})
    if spot is None:
        raise ValueError(f"{row.id} stands in no matrix")
    return spot


def _put(base: tuple[FloatArray, ...], spot: tuple[int, int, int], value: float) -> None:
    matrix, row, column = spot
    if matrix >= ITEM_MEANS:
        base[matrix][row] = value
        return
    base[matrix][row, column] = value
    if matrix in {DISTURBANCES, RESIDUALS}:
        base[matrix][column, row] = value


def _spot(row: Parameter, items: Mapping[str, int], constructs: Mapping[str, int]) -> tuple[int, int, int] | None:
    """Matrix and entry of one row; None for definitions, thresholds and lagged edges."""
    if row.kind == "loading":
        return LOADINGS, items[row.right], constructs[row.left]
    if row.kind == "edge":
        return None if row.lag else (EDGES, constructs[row.right], constructs[row.left])
    if row.kind in {"variance", "covariance"}:
        residual = residual_of(row, tuple(constructs))
        at = items if residual else constructs
        return (RESIDUALS if residual else DISTURBANCES), at[row.left], at[row.right]
    if row.kind == "intercept":
        if row.left in constructs:
            return LATENT_MEANS, constructs[row.left], 0
        return ITEM_MEANS, items[row.left], 0
    return None


def _indexed(
    names: tuple[tuple[str, ...], tuple[str, ...]],
    base: tuple[FloatArray, ...],
    spots: Sequence[tuple[int, int, int, int]],
    rest: tuple[FloatArray, int, bool],
) -> Layout:
    """Find each free row's columns in the bank [I | A | C]."""
    p, k = len(names[0]), len(names[1])
    table = np.array(spots, dtype=np.int64).reshape(-1, 4)
    matrix, row, column, theta = (np.ascontiguousarray(part) for part in table.T)
    is_loading, is_edge, is_psi, is_theta, is_nu, is_alpha = (matrix == i for i in range(6))
    zero = np.zeros_like(row)
    through_item = np.where(is_loading | is_theta | is_nu, row, zero)
    u = np.where(is_edge | is_psi, p + row, through_item)
    v = np.where(is_loading | is_edge, p + k + column, np.where(is_psi, p + column, np.where(is_theta, column, zero)))
    d = np.where(is_edge | is_alpha, p + row, through_item)
    share = np.where((is_psi | is_theta) & (row == column), 0.5, 1.0)
    share = np.where(is_nu | is_alpha, 0.0, share)
    scale, n_free, means = rest
    entries = tuple((row[at], column[at], theta[at]) for at in (matrix == i for i in range(6)))
    link = np.zeros((len(theta), n_free))
    link[np.arange(len(theta)), theta] = 1.0
    return Layout(*names, base, matrix, row, column, theta, n_free, u, v, d, share, scale, means, entries, link)


def saturated(
    items: tuple[str, ...],
    scale: FloatArray,
    known: tuple[FloatArray, FloatArray],
    *,
    diagonal: bool = False,
    means: bool = True,
    given: tuple[int, ...] = (),
    apart: BoolArray | None = None,
) -> tuple[Layout, FloatArray]:
    """Lay out the model without structure: every (co)variance free, or (the baseline, `diagonal`) variances only.

    `known` are means (p,) and covariances (p, p) in units of the scale, `given` the variables whose moments among
    themselves the data give, `apart` (p, p) the pairs that were never seen together: their covariances stay as they
    are. The parameters are the means (if modelled) and the lower triangle of Σ, column by column, or its diagonal; with
    the layout come the known moments as parameters, (n_free,).
    """
    p, fixed = len(items), set(given)
    mean, covariance = known[0] * scale, known[1] * np.outer(scale, scale)
    nu, theta = np.zeros(p), np.zeros((p, p))
    spots: list[tuple[int, int, int, int]] = []
    values: list[float] = []
    for i in range(p) if means else ():
        if i in fixed:
            nu[i] = mean[i]
            continue
        spots.append((ITEM_MEANS, i, 0, len(spots)))
        values.append(mean[i])
    for j in range(p):
        for i in range(j, p):
            if (i in fixed and j in fixed) or (apart is not None and apart[i, j] and not diagonal):
                theta[i, j] = theta[j, i] = covariance[i, j]
            elif i == j or not diagonal:
                spots.append((RESIDUALS, i, j, len(spots)))
                values.append(covariance[i, j])
    base = (np.zeros((p, 0)), np.zeros((0, 0)), np.zeros((0, 0)), theta, nu, np.zeros(0))
    return _indexed((items, ()), base, spots, (scale, len(spots), means)), np.array(values)
