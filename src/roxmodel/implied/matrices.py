"""Parameters to moments: where each stands in the matrices, θ to Σ(θ) and μ(θ), and what derivatives are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "DISTURBANCES", "EDGES", "ITEM_MEANS", "LATENT_MEANS", "LOADINGS", "RESIDUALS", "Conditioned", "Implied", "Layout",
    "bank_of", "conditioned", "filled", "implied", "lay_out", "mean_weight", "moment_jacobian", "one_blas_thread",
    "place_of", "saturated", "second_order",
]  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Implied:
    """Model-implied moments and what they were made of; leading axes are draws."""

    sigma: FloatArray  # (…, p, p), in units of `Layout.scale`
    mu: FloatArray  # (…, p)
    reach: FloatArray  # A = Λ T, (…, p, k), in units of the scale
    spread: FloatArray  # C = A Ψ Tᵀ, (…, p, k)
    total: FloatArray  # T = (I - B)⁻¹, (…, k, k), in the constructs' own units
    latent: FloatArray  # Φ = T Ψ Tᵀ, (…, k, k)
    levels: FloatArray  # T α, (…, k)


def filled(layout: Layout, theta: FloatArray, which: int) -> FloatArray:
    """One of the six matrices (`roxmodel.implied.matrices.LOADINGS` …) at theta; leading axes of theta are draws."""
    base = layout.base[which]
    own = base.shape[-1:] if which >= ITEM_MEANS else base.shape[-2:]  # a base may have draws of its own in front
    found = np.empty((*theta.shape[:-1], *own))
    found[...] = base
    rows, columns, places = layout.entries[which]
    if not len(rows):
        return found
    values = theta[..., places]
    if which >= ITEM_MEANS:
        found[..., rows] = values
        return found
    found[..., rows, columns] = values
    if which in {DISTURBANCES, RESIDUALS}:
        found[..., columns, rows] = values
    return found


def implied(layout: Layout, theta: FloatArray) -> Implied:
    """Model-implied moments at theta, (…, n_free)."""
    lam, beta, psi, residuals = (filled(layout, theta, i) for i in (LOADINGS, EDGES, DISTURBANCES, RESIDUALS))
    nu, alpha = filled(layout, theta, ITEM_MEANS), filled(layout, theta, LATENT_MEANS)
    k, scale = beta.shape[-1], layout.scale
    total = np.broadcast_to(np.eye(k), beta.shape)
    if (beta != 0).any():
        total = np.asarray(np.linalg.inv(np.eye(k) - beta), dtype=np.float64)
    reach = (lam @ total) / scale[:, None]
    latent = total @ psi @ total.swapaxes(-1, -2)
    spread = reach @ psi @ total.swapaxes(-1, -2)
    sigma = reach @ psi @ reach.swapaxes(-1, -2) + residuals / np.outer(scale, scale)
    mu = nu / scale + (reach @ alpha[..., None])[..., 0]
    return Implied(sigma, mu, reach, spread, total, latent, (total @ alpha[..., None])[..., 0])


def bank_of(layout: Layout, at: Implied) -> FloatArray:
    """Columns that every derivative is made of: [I | A | C], (…, p, p + 2k)."""
    unit = np.broadcast_to(np.diag(1.0 / layout.scale), (*at.reach.shape[:-2], len(layout.items), len(layout.items)))
    return np.concatenate([unit, at.reach, at.spread], axis=-1)


def mean_weight(layout: Layout, at: Implied) -> FloatArray:
    """(…, r) m of dμ = m·d: the level of the cause for loadings and edges, 1 for intercepts."""
    found = np.zeros((*at.levels.shape[:-1], len(layout.row)))
    if layout.means:
        through = (layout.matrix == LOADINGS) | (layout.matrix == EDGES)
        found[..., through] = at.levels[..., layout.column[through]]
        found[..., layout.matrix >= ITEM_MEANS] = 1.0
    return found


def moment_jacobian(layout: Layout, at: Implied) -> tuple[FloatArray, FloatArray]:
    """Derivatives of Σ, (p, p, r), and of μ, (p, r), by every free row, at one point (no leading axes)."""
    bank = bank_of(layout, at)
    u, v = bank[:, layout.u], bank[:, layout.v] * layout.share
    by_sigma = u[:, None, :] * v[None, :, :]
    return by_sigma + by_sigma.swapaxes(0, 1), bank[:, layout.d] * mean_weight(layout, at)


def second_order(layout: Layout, at: Implied, pull: FloatArray, push: FloatArray) -> FloatArray:
    """(r, r) ½ tr(G ∂²Σ) - ∂²μᵀ w for every pair of free rows, at one point.

    `pull` and `push` are G and w, the gradients by Σ and by μ, seen through the bank: (p + 2k, p + 2k), (p + 2k,).
    """
    if not layout.constructs or not len(layout.row):
        return np.zeros((len(layout.row),) * 2)
    edge, psi = layout.matrix == EDGES, layout.matrix == DISTURBANCES
    through = (layout.matrix == LOADINGS) | edge
    cause = np.where(through | psi, layout.column, 0)
    effect = np.where(edge | psi | (layout.matrix == LATENT_MEANS), layout.row, 0)
    onto = at.total[cause][:, effect]  # T[cause of the one, effect of the other]
    both, sidewise = at.latent[cause][:, cause], at.total[cause][:, cause]
    uu, uv = pull[layout.u][:, layout.u], pull[layout.u][:, layout.v]
    # Rows r (down) hold u and v; column q (across) moves them: A_e by T[c_q, e] bank[u_q], C_c by Φ[c_q, c] bank[u_q]
    # + T[c, e_q] bank[v_q], and by a disturbance (a, b): T[c, b] bank[u_q] + T[c, a] bank[v_q].
    found = np.outer(edge | psi, through) * onto.T * uv.T
    found += np.outer(psi, through) * sidewise.T * uu
    found += np.outer(through, through) * both * uu
    found += np.outer(through, edge) * onto * uv
    found += np.outer(through, psi * layout.share) * (sidewise * uu + onto * uv)
    found *= layout.share[:, None]
    return found - _bent_means(layout, at, push, onto) if layout.means else found


def _bent_means(layout: Layout, at: Implied, push: FloatArray, onto: FloatArray) -> FloatArray:
    """(r, r) ∂²μᵀ w: A_e moves with loadings and edges, the levels T α with edges and latent means."""
    edge, alpha = layout.matrix == EDGES, layout.matrix == LATENT_MEANS
    through = (layout.matrix == LOADINGS) | edge
    level = np.where(through, at.levels[np.where(through, layout.column, 0)], 0.0)
    down = np.where(through, push[layout.d], 0.0)
    moved = np.where(edge, level, 0.0) + alpha
    return np.outer(moved, np.where(through, push[layout.u], 0.0)) * onto.T + np.outer(down, moved) * onto


@dataclass(frozen=True, slots=True)
class Conditioned:
    """Moments of the other variables given some of them: slopes and residual covariances, with their derivatives.

    With C = Σ[·, x] and S = Σ[x, x], which the parameters do not move, the slopes are Π = C S⁻¹ and what is left is
    Σ - C S⁻¹ Cᵀ (Anderson 2003, An introduction to multivariate statistical analysis, ch. 2).

    >>> at = conditioned(np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1]))
    >>> at.slopes[:, 0].tolist(), float(at.sigma[0, 0])
    ([0.5, 1.0], 1.75)
    """

    given: IntArray  # (q,) places of the variables that are given
    inverse: FloatArray  # (q, q) S⁻¹
    slopes: FloatArray  # (p, q) Π; the rows of the given variables are those of the identity
    sigma: FloatArray  # (p, p) residual covariances; 0 for the given variables

    def jacobian(self, by_sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Derivatives of the residual covariances, (p, p, r), and of the slopes, (p, q, r), from those of Σ."""
        own = by_sigma[:, self.given]
        moved = np.einsum("ikr,jk->ijr", own, self.slopes)
        return by_sigma - moved - moved.swapaxes(0, 1), np.einsum("ilr,lk->ikr", own, self.inverse)

    def pull(self, on_sigma: FloatArray, on_slopes: FloatArray) -> FloatArray:
        """(p, p) gradient by the entries of Σ, from those by residual covariances and slopes (entry by entry)."""
        found = on_sigma.copy()
        found[:, self.given] += on_slopes @ self.inverse - (on_sigma + on_sigma.T) @ self.slopes
        return found

    def bend(self, on_sigma: FloatArray, by_sigma: FloatArray) -> FloatArray:
        """(r, r) second derivatives that residual covariances have beside those of Σ, weighted by their gradient."""
        own = by_sigma[:, self.given]
        pulled = np.einsum("ij,ikr->jkr", on_sigma + on_sigma.T, own)
        return -np.asarray(np.einsum("jkr,kl,jls->rs", pulled, self.inverse, own, optimize=True))


def conditioned(sigma: FloatArray, given: IntArray) -> Conditioned:
    """Condition covariances, (…, p, p), on variables at some places, (q,); leading axes are draws."""
    own = sigma[..., given]
    inverse = np.linalg.inv(own[..., given, :])
    slopes = own @ inverse
    left = sigma - slopes @ own.swapaxes(-1, -2)
    left[..., given, :] = left[..., given] = 0.0
    return Conditioned(given, np.asarray(inverse), np.asarray(slopes), left)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold the linear algebra library to one thread.

    Its threads wait for each other in busy loops: on matrices of 30 rows, beside other work, a factorisation that
    takes a tenth of a millisecond alone takes sixteen.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
