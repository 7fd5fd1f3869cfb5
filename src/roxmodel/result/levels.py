"""Levels of the units: what is known of them, and draws of what is not.

Predicted levels of the units as a table, small groups left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.result.fitted import Fitted
from roxmodel.result.system import root_of
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KeptLevels",
    "UnitLevels",
    "complete_levels",
    "lower_roots",
    "unit_levels",
    "unit_score_table",
]


@dataclass(frozen=True, slots=True)
class UnitLevels:
    """Levels of the units, in points of each construct."""

    mean: FloatArray  # (units, k) what is expected of each unit
    roots: FloatArray | None  # (units, k, k) `lower_roots` of the covariance of what is not known; None = known
    entropy: int  # seed of the draws

    def drawn(self, start: int, stop: int, places: tuple[int, ...]) -> FloatArray:
        """(draws, units, k) levels of some draws, of `places`; (units, k) where nothing is uncertain.

        Others stand at what is expected. Each draw has random numbers of its own, so that parts do not matter.
        """
        if self.roots is None or not places:
            return self.mean
        units, k = self.mean.shape
        last = max(places) + 1
        noise = np.empty((last, stop - start, units))
        for draw in range(start, stop):
            rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(4, draw)))
            noise[:, draw - start] = rng.standard_normal((k, units))[:last]
        found = np.empty((k, stop - start, units))
        found[:] = self.mean.T[:, None, :]
        for place in places:
            for source in range(place + 1):
                weight = self.roots[:, place, source]
                if weight.any():
                    found[place] += weight * noise[source]
        return np.moveaxis(found, 0, -1)

    def kept(self, draws: int, places: tuple[int, ...]) -> KeptLevels:
        """The first draws, made once for many questions."""
        return KeptLevels(self.mean, self.drawn(0, draws, places))

    def of(self, unit: int) -> UnitLevels:
        """One unit alone."""
        roots = None if self.roots is None else self.roots[unit : unit + 1]
        return UnitLevels(self.mean[unit : unit + 1], roots, self.entropy)


@dataclass(frozen=True, slots=True)
class KeptLevels:
    """Levels that were drawn already: (draws, units, k), or (units, k) where nothing is uncertain."""

    mean: FloatArray
    levels: FloatArray

    def drawn(self, start: int, stop: int, places: tuple[int, ...]) -> FloatArray:  # noqa: ARG002 - as UnitLevels
        """Some of the draws (of whatever places were drawn)."""
        return self.levels if self.levels.ndim == 2 else self.levels[start:stop]


def lower_roots(covariance: FloatArray) -> FloatArray:
    """Lower triangular R with R Rᵀ = covariance (n, k, k), for many small matrices that may be singular.

    >>> root = lower_roots(np.array([[[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]))
    >>> root[0].tolist()
    [[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    size = covariance.shape[-1]
    roots = np.zeros_like(covariance)
    for i in range(size):
        left = covariance[:, i:, i] - np.einsum("nab,nb->na", roots[:, i:, :i], roots[:, i, :i])
        sure = left[:, 0] <= 1e-10 * covariance[:, i, i]
        pivot = np.sqrt(np.where(sure, 1.0, left[:, 0]))
        roots[:, i:, i] = np.where(sure[:, None], 0.0, left / pivot[:, None])
    return roots


def unit_levels(fit: Fitted, seed: int | None = None) -> UnitLevels:
    """Levels of the units of a fit, with what is not known of them; a fit without means is refused.

    By method "linked" a latent level is the prediction with its error (parameters taken as known); by the others a
    score, taken as known. See `complete_levels` for units and fits without scores.
    """
    entropy = int(seed or 0)
    return UnitLevels(complete_levels(fit, entropy), fit.population.roots, entropy)


def complete_levels(fit: Fitted, seed: int = 0, units: int = 1_000) -> FloatArray:
    """(units, k) level of each construct in each unit, holes filled; a fit without means is refused.

    A unit that a source did not reach, or whose level may not be shown, stands at the mean of the others. Without rows
    (a printed matrix, a loaded document), as many levels as the data had units (`units` at most) are drawn from mean
    and covariance, so that their mean is the mean.
    """
    people = fit.population
    if people.levels is not None:
        mean = np.zeros(len(people.names)) if people.mean is None else people.mean
        return np.where(np.isnan(people.levels), mean, people.levels)
    if people.mean is None:
        raise EstimationError(
            "This fit has no means (it comes from a printed matrix), so levels, caps and 'set' are not available.",
            hint="Give the matrix its means.",
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    size = min(people.n_units or people.n, units)
    deviations = rng.standard_normal((size, len(people.names))) @ root_of(people.covariance).T
    return np.asarray(people.mean + deviations - deviations.mean(axis=0))


def unit_score_table(fit: Fitted) -> pd.DataFrame:
    """See `Fit.unit_scores`."""
    import pandas as pd

    found = fit.predicted
    if found is None:
        if fit.traits.levels == "predicted":
            raise EstimationError("A document holds no unit, so a loaded fit has no unit scores.", hint="Fit again.")
        raise EstimationError(
            f"Unit scores are predictions of method 'linked'; this fit is by method {fit.method!r}.",
            hint="Use rox.fit(model, study, method='linked'), or study.scores() for the plain means.",
        )
    hidden, names = found.hidden, np.array(fit.model.names)
    table = pd.DataFrame({found.by: list(found.units)})
    for k, name in enumerate(names):
        table[name] = np.where(hidden[:, k], np.nan, found.values[:, k])
    for k, name in enumerate(names):
        table[f"{name}_se"] = np.where(hidden[:, k], np.nan, found.errors[:, k])
    table["predicted"] = [", ".join(names[~row]) for row in found.known]
    return table.assign(hidden=[", ".join(names[row]) for row in hidden])
