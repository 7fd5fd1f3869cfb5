"""What one more parameter would bring, from the derivatives at the optimum of the model without it: no refit.

Rao's score test (lavaan's modification index) in the form that also holds off the exact optimum, C(α): the candidate's
slope less what the parameters of the model account for. Rao (1948), doi 10.1017/S0305004100023987; Neyman (1959), in
Probability and statistics: the Harald Cramér volume, 213-234; Sörbom (1989), doi 10.1007/BF02294623.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.types import BoolArray, FloatArray

__all__ = ["Freed", "score_tests"]

_TOLD = 1e-3  # smallest pivot of the information, its diagonal 1, that has digits enough
_NOTHING_NEW = 1e-7  # share of its information that a candidate must bring beyond the parameters of the model


@dataclass(frozen=True, slots=True)
class Freed:
    """What c candidates would bring to a model of m parameters; NaN where they cannot be told from these."""

    statistic: FloatArray  # (c,) by which -2 loglik would fall
    change: FloatArray  # (c,) of the candidate from where it stands
    lean: FloatArray  # (c, m) how the other parameters move for each unit of that change
    slope: FloatArray  # (c,) of half the deviance per case, what the parameters of the model account for taken off
    left: FloatArray  # (c, c) information per case, the same taken off
    n: float

    def given(self, place: int) -> Freed:
        """The same tests once one candidate is in the model: its own statistic is NaN then."""
        own = self.left[:, place] / self.left[place, place]
        slope, left = self.slope - own * self.slope[place], self.left - np.outer(own, self.left[place])
        lean = self.lean - own[:, None] * self.lean[place]
        return _asked(slope, left, np.diag(self.left), lean, self.n)

    @property
    def moved(self) -> FloatArray:
        """(c, m) how the other parameters would move, to first order."""
        return self.lean * self.change[:, None]


def score_tests(gradient: FloatArray, information: FloatArray, moving: BoolArray, n: float) -> Freed:
    """Test each candidate by itself.

    `gradient` (m + c,) and expected `information` (m + c, m + c) of half the deviance per case, those of the candidates
    last; `moving` (m,) are the parameters that are not held at a bound; n cases. With V = I₁₁ - I₁₂ I₂₂⁻¹ I₂₁ and
    s = g₁ - I₁₂ I₂₂⁻¹ g₂ the statistic is n s² / V, the change -s / V.
    """
    m = len(moving)
    places = np.flatnonzero(moving)
    block, cross = information[np.ix_(places, places)], information[places, m:]
    unit = np.sqrt(np.diag(block))
    unit = np.where(unit > 0, unit, 1.0)
    solved = _solved(block / np.outer(unit, unit), cross / unit[:, None]) / unit[:, None]
    lean = np.zeros((information.shape[0] - m, m))
    lean[:, places] = -solved.T
    slope = gradient[m:] - gradient[places] @ solved
    left = information[m:, m:] - cross.T @ solved
    return _asked(slope, left, np.diag(information)[m:], lean, n)


def _solved(block: FloatArray, cross: FloatArray) -> FloatArray:
    """block⁻¹ cross, of least length where parameters of the model cannot be told apart."""
    try:
        if np.diag(np.linalg.cholesky(block)).min() > _TOLD:
            return np.asarray(np.linalg.solve(block, cross), dtype=np.float64)
    except np.linalg.LinAlgError:
        pass
    return np.asarray(np.linalg.lstsq(block, cross, rcond=None)[0], dtype=np.float64)


def _asked(slope: FloatArray, left: FloatArray, alone: FloatArray, lean: FloatArray, n: float) -> Freed:
    """Statistics and changes; NaN where next to nothing is left of the information that was there, `alone`."""
    rest = np.diag(left)
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = rest > _NOTHING_NEW * alone
        change = np.where(usable, -slope / rest, np.nan)
        statistic = np.where(usable, n * slope**2 / rest, np.nan)
    return Freed(statistic, change, lean, slope, left, n)
