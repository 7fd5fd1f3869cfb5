"""Where a push around feedback loops settles: exactly where nothing is bounded, by active sets where scales end.

For one draw and one unit a loop of m constructs is ``x = clip(A x + r, down, up)``: A is what the constructs pass on
to each other (less the share in which a level is set), r what comes from outside. Without ends ``x = (I - A)⁻¹ r``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Loop", "settled"]

_STEPS = 50  # active sets tried; each settles some more of the bounds, a handful is usual
_SMALL_STEPS, _PART = 2_000, 0.2  # then the loop is followed in small steps
_TOLERANCE = 1e-9  # of the size of the change


@dataclass(frozen=True, slots=True)
class Loop:
    """What acts on the constructs of one loop, m of them; units is 1 where all units are alike.

    Attributes
    ----------
    inner
        (draws, m, m) coefficients among them, ``[d, effect, cause]``.
    kept
        (units, m) share of its causes that still acts on each construct (0 where its level is set), 0-1.
    given
        (draws, units, m) change from outside: what other causes bring (the share that acts), shifts, settings.
    down, up
        (units, m) or (draws, units, m) largest changes that the ends of the scales allow, at most 0 and at least 0;
        None without ends.
    """

    inner: FloatArray
    kept: FloatArray
    given: FloatArray
    down: FloatArray | None = None
    up: FloatArray | None = None


def settled(loop: Loop) -> tuple[FloatArray, BoolArray]:
    """(draws, units, m) change of each construct in equilibrium, and where an end of a scale holds it.

    Raises
    ------
    EstimationError
        If a loop has a gain of exactly 1, or the ends of the scales let it not settle.

    References
    ----------
    Bollen (1987), doi 10.2307/271028, on effects in nonrecursive models.
    """
    free = _unbounded(loop)
    if loop.down is None or loop.up is None or _within(free, loop.down, loop.up):
        return free, np.zeros(free.shape, dtype=bool)
    shape = (len(free), loop.down.shape[-2], free.shape[2])
    given, down, up = (np.broadcast_to(part, shape) for part in (loop.given, loop.down, loop.up))
    found, held = np.array(np.broadcast_to(free, shape)), np.zeros(shape, dtype=bool)
    beyond = ((found < down) | (found > up)).any(axis=2)
    draw, unit = np.nonzero(beyond)
    inner = np.broadcast_to(loop.kept, shape[1:])[unit][:, :, None] * loop.inner[draw]
    ends = (down[beyond], up[beyond])
    found[beyond], held[beyond] = _bounded(inner, given[beyond], found[beyond], ends)
    return found, held


def _within(change: FloatArray, down: FloatArray, up: FloatArray) -> bool:
    """Whether no unit meets an end in any draw."""
    return bool(
        (change.max(axis=(0, 1)) <= up.reshape(-1, up.shape[-1]).min(axis=0)).all()
        and (change.min(axis=(0, 1)) >= down.reshape(-1, down.shape[-1]).max(axis=0)).all()
    )


def _unbounded(loop: Loop) -> FloatArray:
    """One inverse for each draw and each way in which units are set."""
    units = max(len(loop.kept), loop.given.shape[1])
    ways, of = np.unique(loop.kept, axis=0, return_inverse=True)
    of = np.broadcast_to(of.reshape(-1), units)
    given = np.broadcast_to(loop.given, (loop.given.shape[0], units, loop.given.shape[2]))
    found = np.empty(given.shape)
    for place, kept in enumerate(ways):
        effects = _solved(np.eye(len(kept)) - kept[:, None] * loop.inner, np.eye(len(kept)))
        found[:, of == place] = given[:, of == place] @ np.swapaxes(effects, -1, -2)
    return found


def _bounded(
    inner: FloatArray, given: FloatArray, change: FloatArray, ends: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, BoolArray]:
    """Newton's method on the piecewise linear equation: hold what is beyond its end, solve the rest, look again.

    Parameters
    ----------
    inner, given, change, ends
        (cells, m, m) A; (cells, m) r, first guess, and ends, for each draw and unit where an end is met.
    """
    found, held = change.copy(), np.zeros(change.shape, dtype=bool)
    open_, m = np.arange(len(change)), change.shape[1]
    for step in range(_STEPS + _SMALL_STEPS):
        asked = (inner[open_] @ found[open_, :, None])[:, :, 0] + given[open_]
        target = np.clip(asked, ends[0][open_], ends[1][open_])
        held[open_] = asked != target
        far = np.abs(target - found[open_]).max(axis=1) > _TOLERANCE * (1.0 + np.abs(target).max(axis=1))
        found[open_[~far]] = target[~far]
        open_ = open_[far]
        if len(open_) == 0:
            return found, held
        if step >= _STEPS:
            found[open_] += _PART * (target[far] - found[open_])
            continue
        loose = ~held[open_]
        right = np.where(loose, given[open_], target[far])
        found[open_] = _solved(np.eye(m) - loose[:, :, None] * inner[open_], right[:, :, None])[:, :, 0]
    raise EstimationError(
        "Between the ends of the scales a feedback loop finds no place to settle.", hint="Damp the loop, or push less."
    )


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        raise EstimationError(
            "A feedback loop has a gain of exactly 1: there is no equilibrium.", hint="Break or damp the loop."
        ) from None
