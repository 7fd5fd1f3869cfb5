"""Where units stand: one of them, and what may be shown of it; how constructs vary together between all of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import expit, ndtr

from roxmodel.errors import SimulationError, listed
from roxmodel.implied.layout import DISTURBANCES, EDGES, ITEM_MEANS, LATENT_MEANS, LOADINGS
from roxmodel.implied.matrices import filled, implied, moment_jacobian
from roxmodel.moments.checks import unit_hint
from roxmodel.records import LINEAR
from roxmodel.result.derived import disturbances
from roxmodel.result.fit import Fit
from roxmodel.result.latent import latent_groups
from roxmodel.result.levels import UnitLevels
from roxmodel.result.response import LevelDoubt
from roxmodel.result.system import System, root_of, total_effects
from roxmodel.types import BoolArray, FloatArray, read_only

__all__ = [
    "Basis",
    "JointLevels",
    "OneUnit",
    "basis_notes",
    "beyond_curves",
    "conditioned",
    "doubt_of",
    "joint_of",
    "mixture_quantiles",
    "one_unit",
    "with_curved",
]


Basis: TypeAlias = Literal["observed", "predicted", "unknown", "hidden"]


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class OneUnit:
    """What is known of one unit."""

    key: Hashable  # its key in the study; of a fit of rows the number of the row, from 0
    levels: FloatArray  # (k,) level of each construct, NaN where it is unknown or hidden
    # (k,) ``observed`` (a figure taken as known), ``predicted`` (a latent level, from all that is known of the unit),
    # ``unknown`` (nobody answered), ``hidden`` (too few people answered for it to be shown)
    basis: tuple[Basis, ...]
    # (k, k) lower root of the covariance of what is not known of the levels; None where they are taken as known
    root: FloatArray | None

    @property
    def stands(self) -> FloatArray:
        """(k,) booleans: whether there is a level to go by."""
        return np.asarray(~np.isnan(self.levels))

    def drawn(self, draws: int, seed: int | None) -> FloatArray:
        """(draws, k) levels; those that are not known are drawn, with the prediction as their mean over the draws.

        NaN where there is no level.
        """
        mean = np.where(self.stands, self.levels, 0.0)
        roots = None if self.root is None else self.root[None]
        found = UnitLevels(mean[None], roots, int(seed or 0)).drawn(0, draws, tuple(range(len(mean))))
        every = np.broadcast_to(found.reshape(-1, len(mean)), (draws, len(mean)))
        exact = np.array([basis != "predicted" for basis in self.basis])
        centred = np.where(exact, mean, every - every.mean(axis=0) + mean)
        return np.where(self.stands, centred, np.nan)


def one_unit(fit: Fit, unit: Hashable) -> OneUnit:
    """Find one unit in a fit.

    `unit`: its key in the study; in a fit of rows by method "path" the number of the row, from 0.

    Examples
    --------
    >>> from roxmodel.datasets import make_world
    >>> from roxmodel.estimate.fit import fit
    >>> world = make_world(30, seed=1)
    >>> found = one_unit(fit(world.model, world.study(), method="path"), world.unit["branch"][0])
    >>> found.basis[0], found.root is None
    ('observed', True)
    """
    people = fit.population
    if people.levels is None:
        _refuse_no_units(fit)
    place = _row(unit, people.n) if people.units is None else _place(unit, people.units)
    if fit.predicted is None:
        levels = np.array(np.asarray(people.levels)[place])
        hidden = np.zeros(len(levels), dtype=bool) if people.hidden is None else people.hidden[place]
        basis: list[Basis] = [
            "hidden" if out else "unknown" if np.isnan(level) else "observed"
            for level, out in zip(levels, hidden, strict=True)
        ]
        return OneUnit(place if people.units is None else people.units[place], levels, tuple(basis), None)
    return _predicted(fit, place)


def _predicted(fit: Fit, place: int) -> OneUnit:
    """As `Fit.unit_scores` shows it: no answer of fewer people than the study lets show is in any figure."""
    found, roots = fit.predicted, fit.population.roots
    if found is None or roots is None:
        raise ValueError("no predictions")  # the caller has looked
    hidden = found.hidden[place]
    levels = np.where(hidden, np.nan, found.values[place])
    errors = np.where(hidden, 0.0, found.errors[place])
    basis: list[Basis] = [
        "hidden" if np.isnan(level) else "predicted" if error > 0 else "observed"
        for level, error in zip(levels, errors, strict=True)
    ]
    return OneUnit(found.units[place], levels, tuple(basis), np.where(hidden[:, None], 0.0, roots[place]))


def _refuse_no_units(fit: Fit) -> None:
    if fit.traits.levels == "none":
        raise SimulationError(
            "This fit keeps no rows (method 'sem' works on their moments), so it knows no single one.",
            hint="Use method='path' for rows, or a rox.Study for units.",
        )
    if fit.level == "between":
        raise SimulationError(
            "This fit was loaded from a document, which holds no unit.", hint="Fit the study again, then ask."
        )
    raise SimulationError(
        "This fit comes from a printed matrix or a document, which holds no single row.", hint="Fit the rows."
    )


def _row(unit: object, n: int) -> int:
    if isinstance(unit, bool) or not isinstance(unit, int | np.integer) or not 0 <= unit < n:
        raise SimulationError(
            f"unit= was {unit!r}, but this is a fit of rows, which have no names.",
            allowed=f"the number of a row, 0 to {n - 1}",
        )
    return int(unit)


def _place(unit: object, known: Sequence[Hashable]) -> int:
    if isinstance(unit, Hashable):
        for place, key in enumerate(known):
            if key == unit and isinstance(key, bool) == isinstance(unit, bool):
                return place
    raise SimulationError(f"unit= names {unit!r}, which is not in the study.", hint=unit_hint(unit, known))


def basis_notes(fit: Fit, unit: OneUnit) -> list[str]:
    """How far the unit's levels are known, in sentences."""
    names = {kind: _named(fit, unit, kind) for kind in ("predicted", "unknown", "hidden")}
    whom = "unit" if fit.level == "between" else "row"
    notes = []
    if names["predicted"]:
        notes.append(
            f"Not observed but predicted from all that is known of the unit, with an error: levels of "
            f"{listed(names['predicted'])}."
        )
    if names["unknown"]:
        notes.append(f"The {whom} has no score of {listed(names['unknown'])}: that level is unknown.")
    if names["hidden"]:
        without = " The others are predicted without those answers." if fit.predicted is not None else ""
        notes.append(
            f"Hidden, because fewer than {fit.population.min_group} people answered, or because the unit would give "
            f"such a one away: the level of {listed(names['hidden'])}.{without}"
        )
    if fit.traits.levels == "observed" and fit.level == "between":
        notes.append("Unit means are taken as exact, which understates effects (see the fit's small print).")
    return notes


def _named(fit: Fit, unit: OneUnit, kind: str) -> list[str]:
    return [name for name, basis in zip(fit.model.names, unit.basis, strict=True) if basis == kind]


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)  # of a normal variable
_FLAT = 1e-10  # share of a variance below which nothing is left of it
_HALVINGS = 60
_SELDOM = 0.5  # share of units in which a level is not known, below which it counts as known
_MEANS = 5  # spawn key of draws of means


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


def joint_of(fit: Fit, theta: FloatArray, seed: int | None) -> JointLevels:
    """The distribution between units that the model implies; curved equations are left out of it.

    Means of a bootstrap are those of its replicates. Where parameters are drawn from a normal distribution, means
    follow linearly (delta method): an intercept and the edges it belongs to are drawn together, and their products
    would spread means far more than means vary.

    `theta`: (draws, n_free). `seed`: of the means, where the fit does not model them: these vary as means of so many
    rows do.
    """
    return _latent(fit, theta, seed) if fit.table.of("loading") else _composite(fit, theta)


def doubt_of(fit: Fit, theta: FloatArray, seed: int | None) -> LevelDoubt | None:
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


def beyond_curves(fit: Fit) -> BoolArray:
    """(k,) constructs on or after a curved equation."""
    found = np.array([family != LINEAR for family in fit.families])
    system = fit.system()
    for place in system.order:
        found[place] |= bool((system.coefficients[0, place, found] != 0).any())
    return found


def _latent(fit: Fit, theta: FloatArray, seed: int | None) -> JointLevels:
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


def _composite(fit: Fit, theta: FloatArray) -> JointLevels:
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


def _starts(fit: Fit, theta: FloatArray) -> FloatArray:
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


def conditioned(joint: JointLevels, places: list[int], levels: FloatArray) -> JointLevels:
    """What is left to expect once some constructs are seen at given levels (normal distribution).

    m + C_s C_ss⁻¹ (level - m_s), with covariance C - C_s C_ss⁻¹ C_s'. A direction that does not vary tells nothing.

    Anderson (2003), An introduction to multivariate statistical analysis, section 2.5.

    Examples
    --------
    >>> both = JointLevels(np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    >>> left = conditioned(both, [0], np.array([2.0]))
    >>> left.mean.tolist(), left.covariance[0, 1, 1].item()
    ([[2.0, 1.0]], 0.75)
    """
    if not places:
        return joint
    scale = np.where(joint.spread > 0, joint.spread, 1.0)[:, places]
    seen = joint.covariance[:, places][:, :, places] / (scale[:, :, None] * scale[:, None, :])
    inverse = np.linalg.pinv(seen, rcond=_FLAT, hermitian=True) / (scale[:, :, None] * scale[:, None, :])
    slopes = joint.covariance[:, :, places] @ inverse
    mean = joint.mean + (slopes @ (levels - joint.mean[:, places])[:, :, None])[:, :, 0]
    left = joint.covariance - slopes @ joint.covariance[:, places]
    flat = np.diagonal(left, axis1=1, axis2=2) <= _FLAT * np.diagonal(joint.covariance, axis1=1, axis2=2)
    left = np.where(flat[:, :, None] | flat[:, None, :], 0.0, left)
    mean[:, places], left[:, places], left[:, :, places] = levels, 0.0, 0.0
    return JointLevels(mean, left, joint.repaired)


def with_curved(system: System, joint: JointLevels, beyond: BoolArray, known: FloatArray) -> FloatArray:
    """(draws, k) means, those on and beyond curved equations filled in.

    The mean of a curved outcome is that of its response over the normal distribution of its predictor; a linear
    equation hands on the means of its causes. NaN where a curved equation has a cause that is itself beyond one and
    not known.

    `beyond`: (k,) constructs on or after a curved equation. `known`: (k,) levels that are seen, NaN for the others.
    """
    mean = np.array(joint.mean)
    intercepts = np.zeros_like(mean) if system.intercepts is None else system.intercepts
    for place in (place for place in system.order if beyond[place]):
        if not np.isnan(known[place]):
            mean[:, place] = known[place]
            continue
        weights = system.coefficients[:, place]
        causes = np.flatnonzero((weights != 0).any(axis=0))
        predictor = intercepts[:, place] + (weights[:, causes] * mean[:, causes]).sum(axis=1)
        if system.families[place] == LINEAR:
            mean[:, place] = predictor
            continue
        normal = [cause for cause in causes if not beyond[cause]]
        if any(beyond[cause] and np.isnan(known[cause]) for cause in causes):
            mean[:, place] = np.nan
            continue
        own = weights[:, normal]
        spread = np.sqrt(np.maximum(np.einsum("di,dij,dj->d", own, joint.covariance[:, normal][:, :, normal], own), 0))
        mean[:, place] = _expected(system.families[place], predictor, spread)
    return mean


def _expected(family: str, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Mean response over a normal predictor."""
    if family == "logit":
        at = expit(mean[:, None] + spread[:, None] * _NODES)
        return np.asarray(at @ _WEIGHTS / _WEIGHTS.sum())
    return np.asarray(np.exp(np.minimum(mean + spread**2 / 2, 700.0)))


def mixture_quantiles(mean: FloatArray, spread: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """(shares, k) quantiles of an equal mixture of normal distributions, by bisection.

    `mean`, `spread`: (draws, k); a spread of 0 is a point.

    Examples
    --------
    >>> mixture_quantiles(np.zeros((1, 1)), np.ones((1, 1)), (0.975,)).round(3).tolist()
    [[1.96]]
    """
    wide = np.where(spread > 0, spread, 1.0)
    ends = (mean - 12 * spread).min(axis=0), (mean + 12 * spread).max(axis=0)
    found = []
    for share in shares:
        low, high = ends
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = np.where(spread > 0, ndtr((middle - mean) / wide), (mean <= middle).astype(float)).mean(axis=0)
            low, high = np.where(below < share, middle, low), np.where(below < share, high, middle)
        found.append(np.where((spread > 0).any(axis=0), high, np.quantile(mean, share, axis=0)))
    return np.stack(found)
