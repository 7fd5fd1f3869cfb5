"""Levels of the units: what is known of them, draws of what is not; how they vary together, and as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.implied.matrices import (
    DISTURBANCES,
    EDGES,
    ITEM_MEANS,
    LATENT_MEANS,
    LOADINGS,
    filled,
    implied,
    moment_jacobian,
)
from roxmodel.records import LINEAR
from roxmodel.result.derived import disturbances
from roxmodel.result.fitted import Fitted
from roxmodel.result.latent import latent_groups
from roxmodel.result.response import LevelDoubt
from roxmodel.result.system import root_of, total_effects
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "JointLevels", "KeptLevels", "UnitLevels", "beyond_curves", "complete_levels", "doubt_of", "joint_of",
    "unit_levels", "unit_score_table",
]  # fmt: skip

_SELDOM = 0.5  # share of units in which a level is not known, below which it counts as known
_MEANS = 5  # spawn key of draws of means


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

    @property
    def uncertain(self) -> bool:
        """Whether draws differ."""
        return self.roots is not None

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

    @property
    def uncertain(self) -> bool:
        """Whether draws differ."""
        return self.levels.ndim == 3

    def drawn(self, start: int, stop: int, places: tuple[int, ...]) -> FloatArray:  # noqa: ARG002 - as UnitLevels
        """Some of the draws (of whatever places were drawn)."""
        return self.levels if self.levels.ndim == 2 else self.levels[start:stop]


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


@dataclass(frozen=True, slots=True, eq=False)
class JointLevels:
    """Means and covariances of the constructs between units (rows), in points, one for each draw."""

    mean: FloatArray  # mean, covariance: (draws, k) and (draws, k, k)
    covariance: FloatArray
    repaired: float = 0.0  # share of draws in which a variance came out below 0 and was set to 0

    @property
    def spread(self) -> FloatArray:
        """(draws, k) standard deviations."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0))


def joint_of(fit: Fitted, theta: FloatArray, seed: int | None) -> JointLevels:
    """The distribution between units that the model implies; curved equations are left out of it.

    Means of a bootstrap are those of its replicates. Where parameters are drawn from a normal distribution, means
    follow linearly (delta method): an intercept and the edges it belongs to are drawn together, and their products
    would spread means far more than means vary.

    `theta`: (draws, n_free). `seed`: of the means, where the fit does not model them: these vary as means of so many
    rows do.
    """
    return _latent(fit, theta, seed) if fit.table.of("loading") else _composite(fit, theta)


def doubt_of(fit: Fitted, theta: FloatArray, seed: int | None) -> LevelDoubt | None:
    """How uncertain the levels of the population are as a whole, draw by draw: its means and its spreads.

    They come from the same draws as the effects, so that what errs together errs together. Levels that are known are
    left as they are: scores of units or rows by method "path", a unit's own figures, and what lies on or after a curved
    equation.

    `theta`: (draws, n_free). `seed`: as in `joint_of`. Returns None where there are no means, or levels are known.
    """
    people = fit.population
    if people.mean is None or (people.levels is not None and people.roots is None):
        return None
    drawn, at = joint_of(fit, theta, seed), joint_of(fit, fit.theta[None, :], seed)
    spread = np.where(at.spread > 0, at.spread, 1.0)
    known = beyond_curves(fit)
    if people.roots is not None:
        known = known | (np.mean((people.roots != 0).any(axis=2), axis=0) < _SELDOM)
    return LevelDoubt(
        centre=np.asarray(people.mean),
        drift=np.where(known, 0.0, drawn.mean - at.mean),
        stretch=np.where(known | (at.spread <= 0), 1.0, drawn.spread / spread),
    )


def beyond_curves(fit: Fitted) -> BoolArray:
    """(k,) constructs on or after a curved equation."""
    found = np.array([family != LINEAR for family in fit.families])
    system = fit.system()
    for place in system.order:
        found[place] |= bool((system.coefficients[0, place, found] != 0).any())
    return found


def _latent(fit: Fitted, theta: FloatArray, seed: int | None) -> JointLevels:
    group = latent_groups(fit)[0]
    layout = group.layout
    markers = [layout.items.index(construct.item_names[0]) for construct in fit.model.constructs]
    loadings = filled(layout, theta, LOADINGS)[:, markers]
    unit = np.diagonal(loadings, axis1=1, axis2=2)
    total = total_effects(filled(layout, theta, EDGES))
    psi, share = _possible(filled(layout, theta, DISTURBANCES))
    covariance = total @ psi @ np.swapaxes(total, 1, 2) * (unit[:, :, None] * unit[:, None, :])
    if not layout.means:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_MEANS,)))
        error = root_of(group.covariance[np.ix_(markers, markers)] / group.n)
        noise = rng.standard_normal((len(theta), len(markers))) @ error.T
        return JointLevels(np.asarray(fit.population.mean) + noise - noise.mean(axis=0), covariance, share)
    if fit.resampling is not None:
        levels = (total @ filled(layout, theta, LATENT_MEANS)[:, :, None])[:, :, 0]
        mean = filled(layout, theta, ITEM_MEANS)[:, markers] + (loadings @ levels[:, :, None])[:, :, 0]
        return JointLevels(mean, covariance, share)
    at = implied(layout, fit.theta)
    slopes = moment_jacobian(layout, at)[1][markers] @ layout.link
    scale = layout.scale[markers]
    return JointLevels(scale * (at.mu[markers] + (theta - fit.theta) @ slopes.T), covariance, share)


def _composite(fit: Fitted, theta: FloatArray) -> JointLevels:
    k = len(fit.model.names)
    place = {name: i for i, name in enumerate(fit.model.names)}
    given = np.zeros((k, k))
    for row, value in zip(fit.table, fit.estimates.value, strict=True):
        if row.kind in {"variance", "covariance"}:
            given[place[row.left], place[row.right]] = given[place[row.right], place[row.left]] = value
    psi, share = _possible(disturbances(fit.model, fit.table, theta, given))
    total = total_effects(fit.system(theta).coefficients)
    covariance = total @ psi @ np.swapaxes(total, 1, 2)
    if fit.resampling is not None:
        start = _starts(fit, theta)
        return JointLevels((total @ start[:, :, None])[:, :, 0], covariance, share)
    at = fit.theta[None, :]
    here = total_effects(fit.system(at).coefficients)[0]
    level = here @ _starts(fit, at)[0]
    slopes = np.zeros((k, fit.table.n_free))
    for row in fit.table:
        if row.free and row.kind == "intercept":
            slopes[:, row.free - 1] += here[:, place[row.left]]
        elif row.free and row.kind == "edge":
            slopes[:, row.free - 1] += here[:, place[row.right]] * level[place[row.left]]
    return JointLevels(level + (theta - fit.theta) @ slopes.T, covariance, share)


def _starts(fit: Fitted, theta: FloatArray) -> FloatArray:
    """(draws, k) intercepts of the constructs."""
    found = np.zeros((len(theta), len(fit.model.names)))
    for row, value in zip(fit.table, fit.estimates.value, strict=True):
        if row.kind == "intercept":
            found[:, fit.model.names.index(row.left)] = theta[:, row.free - 1] if row.free else value
    return found


def _possible(psi: FloatArray) -> tuple[FloatArray, float]:
    """The nearest covariances without a negative variance in any direction, and the share of draws that needed it."""
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(psi, axis1=1, axis2=2)), np.finfo(float).tiny))
    units = scale[:, :, None] * scale[:, None, :]
    values, vectors = np.linalg.eigh(psi / units)
    wrong = values[:, 0] < -1e-9
    if not wrong.any():
        return psi, 0.0
    mended = (vectors * np.maximum(values, 0.0)[:, None, :]) @ np.swapaxes(vectors, 1, 2) * units
    return np.where(wrong[:, None, None], mended, psi), float(wrong.mean())
