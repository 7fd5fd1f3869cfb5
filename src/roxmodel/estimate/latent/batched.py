"""Many optima at once: quasi-Newton steps of all draws together, from a common start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from roxmodel.implied.diagonal import is_diagonal, slope_diagonal
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import implied
from roxmodel.implied.normal import Target, slope
from roxmodel.types import BoolArray, FloatArray

__all__ = ["settle"]

_MOST_STEPS = 40
_MEMORY = 12  # steps that the approximation of the Hessian remembers
_DONE = 1e-7  # squared length of the last step, in standard errors: what it leaves is a small part of it
_LONGEST = 2.0  # of a step, in standard errors of one observation


def settle(
    layouts: Sequence[Layout],
    targets: Sequence[Target],
    shares: FloatArray,
    start: FloatArray,
    inverse: FloatArray,
    n: float,
) -> tuple[FloatArray, BoolArray]:
    """Minimise F for many sets of moments.

    Limited-memory BFGS whose first inverse Hessian is that of the common start (Liu & Nocedal 1989,
    doi 10.1007/BF01589116). It knows no bounds and no line search: a draw that does not settle is reported.

    Parameters
    ----------
    layouts, targets
        One for each group; moments have draws in front.
    shares
        (draws, groups) of the observations.
    start
        (n_free,).
    inverse
        (n_free, n_free) inverse Hessian at the start.
    n
        Observations, which say how small a step must be to matter no more.

    Returns
    -------
    theta
        (draws, n_free).
    settled
        (draws,) whether the gradient vanishes at a Σ that is positive definite.
    """
    draws = len(shares)
    theta = np.repeat(start[None, :], draws, axis=0)
    done = np.zeros(draws, dtype=bool)
    active = np.flatnonzero(np.isfinite(shares).all(axis=1) & (shares > 0).all(axis=1))
    parts = _Parts(layouts, targets, shares).pick(active)
    here, gradient = theta[active], parts.slope(theta[active])
    steps: list[FloatArray] = []
    turns: list[FloatArray] = []
    for _ in range(_MOST_STEPS):
        if not len(active):
            break
        step = -_turned(gradient, inverse, steps, turns)
        size = -np.einsum("rq,rq->r", step, gradient)
        finite = np.isfinite(size)
        far = finite & (size > _LONGEST**2)
        step[far] *= (_LONGEST / np.sqrt(size[far]))[:, None]
        here = here + np.where(finite[:, None], step, 0.0)
        ended = finite & (np.abs(size) * n < _DONE)
        if ended.any() or not finite.all():
            theta[active[ended]] = here[ended]
            done[active[ended]] = True
            going = finite & ~ended
            active, here, gradient, step = active[going], here[going], gradient[going], step[going]
            steps, turns = [s[going] for s in steps], [t[going] for t in turns]
            parts = parts.pick(np.flatnonzero(going))
            if not len(active):
                break
        following = parts.slope(here)
        steps, turns = [*steps, step][-_MEMORY:], [*turns, following - gradient][-_MEMORY:]
        gradient = following
    return theta, done & _positive(layouts, theta)


def _turned(gradient: FloatArray, inverse: FloatArray, steps: list[FloatArray], turns: list[FloatArray]) -> FloatArray:
    """Inverse Hessian times gradient, by the two loops of limited-memory BFGS."""
    found = gradient.copy()
    weights = []
    for step, turn in zip(reversed(steps), reversed(turns), strict=True):
        curve = np.einsum("rq,rq->r", step, turn)
        inverse_curve = np.where(curve > 0, 1.0 / np.where(curve > 0, curve, 1.0), 0.0)
        share = inverse_curve * np.einsum("rq,rq->r", step, found)
        found -= share[:, None] * turn
        weights.append((share, inverse_curve))
    found = found @ inverse
    for (share, inverse_curve), step, turn in zip(reversed(weights), steps, turns, strict=True):
        back = inverse_curve * np.einsum("rq,rq->r", turn, found)
        found += (share - back)[:, None] * step
    return found


class _Parts:
    """The groups of all draws that are still on their way."""

    def __init__(self, layouts: Sequence[Layout], targets: Sequence[Target], shares: FloatArray) -> None:
        self.layouts, self.targets, self.shares = tuple(layouts), tuple(targets), shares
        self.diagonal = all(is_diagonal(layout) for layout in layouts)

    def pick(self, places: np.ndarray) -> _Parts:
        if len(places) == len(self.shares):
            return self
        targets = [Target(t.mean[places], t.covariance[places]) for t in self.targets]
        return _Parts([_picked(layout, places) for layout in self.layouts], targets, self.shares[places])

    def slope(self, theta: FloatArray) -> FloatArray:
        """(draws, n_free) gradient; NaN where it cannot be computed."""
        try:
            return self._slope(theta)
        except np.linalg.LinAlgError:
            return np.concatenate([self._alone(theta, draw) for draw in range(len(theta))])

    def _alone(self, theta: FloatArray, draw: int) -> FloatArray:
        try:
            return self.pick(np.array([draw]))._slope(theta[draw : draw + 1])
        except np.linalg.LinAlgError:
            return np.full((1, theta.shape[1]), np.nan)

    def _slope(self, theta: FloatArray) -> FloatArray:
        found = np.zeros_like(theta)
        for place, (layout, target) in enumerate(zip(self.layouts, self.targets, strict=True)):
            own = slope_diagonal(layout, theta, target.covariance) if self.diagonal else slope(layout, theta, target)
            found += self.shares[:, place, None] * own
        return found


def _picked(layout: Layout, places: np.ndarray) -> Layout:
    nominal = (2, 2, 2, 2, 1, 1)
    if all(base.ndim == n for base, n in zip(layout.base, nominal, strict=True)):
        return layout
    base = tuple(own[places] if own.ndim > n else own for own, n in zip(layout.base, nominal, strict=True))
    return replace(layout, base=base)


def _positive(layouts: Sequence[Layout], theta: FloatArray) -> BoolArray:
    """(draws,) whether Σ is positive definite in every group."""
    found = np.ones(len(theta), dtype=bool)
    for layout in layouts:
        sigma = implied(layout, theta).sigma
        try:
            np.linalg.cholesky(sigma)
        except np.linalg.LinAlgError:
            finite = np.isfinite(sigma).all(axis=(1, 2))
            found &= finite
            found[finite] &= np.linalg.eigvalsh(sigma[finite])[:, 0] > 0
    return found
