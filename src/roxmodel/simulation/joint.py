"""How constructs vary together between units, in each draw of the parameters: what seeing one tells of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from roxmodel.implied.layout import DISTURBANCES, EDGES, ITEM_MEANS, LATENT_MEANS, LOADINGS
from roxmodel.implied.matrices import filled, implied, moment_jacobian
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.latent import latent_groups
from roxmodel.result.response import Doubt
from roxmodel.result.standardize import disturbances
from roxmodel.result.system import System, root_of, total_effects
from roxmodel.types import BoolArray, FloatArray

__all__ = ["Joint", "beyond_curves", "conditioned", "doubt_of", "joint_of", "mixture_quantiles", "with_curved"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)  # of a normal variable
_FLAT = 1e-10  # share of a variance below which nothing is left of it
_HALVINGS = 60
_SELDOM = 0.5  # share of units in which a level is not known, below which it counts as known
_MEANS = 5  # spawn key of draws of means


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Means and covariances of the constructs between units (rows), in points, one for each draw.

    Attributes
    ----------
    mean, covariance
        (draws, k) and (draws, k, k).
    repaired
        Share of draws in which a variance came out below 0 and was set to 0.
    """

    mean: FloatArray
    covariance: FloatArray
    repaired: float = 0.0

    @property
    def spread(self) -> FloatArray:
        """(draws, k) standard deviations."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0))


def joint_of(fit: Fit, theta: FloatArray, seed: int | None) -> Joint:
    """The distribution between units that the model implies; curved equations are left out of it.

    Means of a bootstrap are those of its replicates. Where parameters are drawn from a normal distribution, means
    follow linearly (delta method): an intercept and the edges it belongs to are drawn together, and their products
    would spread means far more than means vary.

    Parameters
    ----------
    theta
        (draws, n_free).
    seed
        Of the means, where the fit does not model them: these vary as means of so many rows do.
    """
    return _latent(fit, theta, seed) if fit.table.of("loading") else _composite(fit, theta)


def doubt_of(fit: Fit, theta: FloatArray, seed: int | None) -> Doubt | None:
    """How uncertain the levels of the population are as a whole, draw by draw: its means and its spreads.

    They come from the same draws as the effects, so that what errs together errs together. Levels that are known are
    left as they are: scores of units or rows by method "path", a unit's own figures, and what lies on or after a curved
    equation.

    Parameters
    ----------
    theta
        (draws, n_free).
    seed
        As in `joint_of`.

    Returns
    -------
    Doubt
        None where there are no means, or levels are known.
    """
    people = fit.population
    if people.mean is None or (people.levels is not None and people.roots is None):
        return None
    drawn, at = joint_of(fit, theta, seed), joint_of(fit, fit.theta[None, :], seed)
    spread = np.where(at.spread > 0, at.spread, 1.0)
    known = beyond_curves(fit)
    if people.roots is not None:
        known = known | (np.mean((people.roots != 0).any(axis=2), axis=0) < _SELDOM)
    return Doubt(
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


def _latent(fit: Fit, theta: FloatArray, seed: int | None) -> Joint:
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
        return Joint(np.asarray(fit.population.mean) + noise - noise.mean(axis=0), covariance, share)
    if fit.resampling is not None:
        levels = (total @ filled(layout, theta, LATENT_MEANS)[:, :, None])[:, :, 0]
        mean = filled(layout, theta, ITEM_MEANS)[:, markers] + (loadings @ levels[:, :, None])[:, :, 0]
        return Joint(mean, covariance, share)
    at = implied(layout, fit.theta)
    slopes = moment_jacobian(layout, at)[1][markers] @ layout.link
    scale = layout.scale[markers]
    return Joint(scale * (at.mu[markers] + (theta - fit.theta) @ slopes.T), covariance, share)


def _composite(fit: Fit, theta: FloatArray) -> Joint:
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
        return Joint((total @ start[:, :, None])[:, :, 0], covariance, share)
    at = fit.theta[None, :]
    here = total_effects(fit.system(at).coefficients)[0]
    level = here @ _starts(fit, at)[0]
    slopes = np.zeros((k, fit.table.n_free))
    for row in fit.table:
        if row.free and row.kind == "intercept":
            slopes[:, row.free - 1] += here[:, place[row.left]]
        elif row.free and row.kind == "edge":
            slopes[:, row.free - 1] += here[:, place[row.right]] * level[place[row.left]]
    return Joint(level + (theta - fit.theta) @ slopes.T, covariance, share)


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


def conditioned(joint: Joint, places: list[int], levels: FloatArray) -> Joint:
    """What is left to expect once some constructs are seen at given levels (normal distribution).

    m + C_s C_ss⁻¹ (level - m_s), with covariance C - C_s C_ss⁻¹ C_s'. A direction that does not vary tells nothing.

    References
    ----------
    Anderson (2003), An introduction to multivariate statistical analysis, section 2.5.

    Examples
    --------
    >>> both = Joint(np.zeros((1, 2)), np.array([[[1.0, 0.5], [0.5, 1.0]]]))
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
    return Joint(mean, left, joint.repaired)


def with_curved(system: System, joint: Joint, beyond: BoolArray, known: FloatArray) -> FloatArray:
    """(draws, k) means, those on and beyond curved equations filled in.

    The mean of a curved outcome is that of its response over the normal distribution of its predictor; a linear
    equation hands on the means of its causes. NaN where a curved equation has a cause that is itself beyond one and
    not known.

    Parameters
    ----------
    beyond
        (k,) constructs on or after a curved equation.
    known
        (k,) levels that are seen, NaN for the others.
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

    Parameters
    ----------
    mean, spread
        (draws, k); a spread of 0 is a point.

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
