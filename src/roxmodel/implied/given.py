"""Moments of the other variables given some of them: slopes and residual covariances, with their derivatives.

With C = Σ[·, x] and S = Σ[x, x], which the parameters do not move, the slopes are Π = C S⁻¹ and what is left is
Σ - C S⁻¹ Cᵀ (Anderson 2003, An introduction to multivariate statistical analysis, ch. 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.types import FloatArray, IntArray

__all__ = ["Conditioned", "conditioned"]


@dataclass(frozen=True, slots=True)
class Conditioned:
    """Moments given variables.

    Attributes
    ----------
    given
        (q,) places of the variables that are given.
    inverse
        (q, q) S⁻¹.
    slopes
        (p, q) Π; the rows of the given variables are those of the identity.
    sigma
        (p, p) residual covariances; 0 for the given variables.

    Examples
    --------
    >>> import numpy as np
    >>> at = conditioned(np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1]))
    >>> at.slopes[:, 0].tolist(), float(at.sigma[0, 0])
    ([0.5, 1.0], 1.75)
    """

    given: IntArray
    inverse: FloatArray
    slopes: FloatArray
    sigma: FloatArray

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
    """Condition on variables.

    Parameters
    ----------
    sigma
        (…, p, p) covariances of all variables; leading axes are draws.
    given
        (q,) places of those that are given.
    """
    own = sigma[..., given]
    inverse = np.linalg.inv(own[..., given, :])
    slopes = own @ inverse
    left = sigma - slopes @ own.swapaxes(-1, -2)
    left[..., given, :] = left[..., given] = 0.0
    return Conditioned(given, np.asarray(inverse), np.asarray(slopes), left)
