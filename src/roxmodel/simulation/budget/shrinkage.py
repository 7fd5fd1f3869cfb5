"""Edges shrunk jointly before a budget is spent, so that the plan that looks best is not the luckiest.

Whoever picks the best of many noisy values picks their luck with them (the optimiser's curse: Smith & Winkler 2006, doi
10.1287/mnsc.1050.0451). A posterior mean given all the data has no such bias, if its prior is right (Senn 2008, doi
10.1002/sim.3377). The prior here says what edges of such graphs are like before one has seen them: standardised, they
lie around a value that all share, around one that those into one construct share, and each by itself; how widely, the
data say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roxmodel.result.fit import Fit
from roxmodel.result.records import LINEAR
from roxmodel.result.system import System
from roxmodel.simulation.stability import spectral_radius
from roxmodel.types import FloatArray, IntArray

__all__ = ["Posterior", "Shrunken", "posterior_of", "shrunken_edges"]

_SHARED = 0.2  # sd of what all standardised edges share
_INTO_ONE = 0.2  # sd of what those into one construct share
_OWN = 0.25  # scale of the half-normal prior of the sd of what is an edge's own
_GRID = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0])  # of that sd
_STREAM = 6


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of some numbers after the data, given how they scatter before.

    Attributes
    ----------
    mean
        (m,) posterior mean.
    draws
        (draws, m), tied draw by draw to the sampling draws they were made from.
    spread
        Posterior mean of the sd of what is each number's own.
    """

    mean: FloatArray
    draws: FloatArray
    spread: float


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Structural equations with their edges shrunk.

    Attributes
    ----------
    system
        (draws, …) drawn from the posterior.
    centre
        The same at the posterior mean of the edges, one draw.
    edges
        (cause, effect, estimate, se, shrunken, shrunken_se) of each edge, in units of the effect per unit of the cause.
    spread
        Posterior mean of the standard deviation of what is each edge's own, standardised.
    """

    system: System
    centre: System
    edges: tuple[tuple[str, str, float, float, float, float], ...]
    spread: float


def shrunken_edges(fit: Fit, system: System, seed: int | None) -> Shrunken:
    """Posterior of the edges of a fit, and structural equations drawn from it.

    Standardised edges b have the prior ``N(0, 0.2² 1 1ᵀ + 0.2² E + τ² I)``: E is 1 for two edges into the same
    construct, τ half-normal with scale 0.25, integrated out over a grid. The likelihood of the estimates is normal with
    the covariance of the draws, so that edges share what they share. Fixed edges, and those of curved equations, stay.

    Parameters
    ----------
    system
        (draws, …) in points of the first items.
    seed
        Of what the posterior adds to the draws.
    """
    at = fit.system(marker=True)
    to, from_ = _estimated(fit, system)
    if len(to) == 0:
        return Shrunken(system, at, (), 0.0)
    sd = _deviations(fit)
    unit = sd[from_] / sd[to]
    estimate, draws = at.coefficients[0, to, from_] * unit, system.coefficients[:, to, from_] * unit
    same = (to[:, None] == to[None, :]).astype(float)
    found = posterior_of(estimate, draws, _SHARED**2 + _INTO_ONE**2 * same, seed)
    coefficients = np.array(system.coefficients)
    coefficients[:, to, from_] = found.draws / unit
    after = replace(system, coefficients=coefficients)
    wild = ~(spectral_radius(after) < 1) if system.loops or system.lagged else np.zeros(len(coefficients), dtype=bool)
    coefficients[wild] = system.coefficients[wild]
    centre = np.array(at.coefficients)
    centre[0, to, from_] = found.mean / unit
    rows = tuple(
        (
            system.names[cause],
            system.names[effect],
            float(estimate[i] / unit[i]),
            float(draws[:, i].std() / unit[i]),
            float(found.mean[i] / unit[i]),
            float(found.draws[:, i].std() / unit[i]),
        )
        for i, (effect, cause) in enumerate(zip(to, from_, strict=True))
    )
    return Shrunken(after, replace(at, coefficients=centre), rows, found.spread)


def posterior_of(estimate: FloatArray, draws: FloatArray, shared: FloatArray, seed: int | None) -> Posterior:
    """Posterior of numbers with the prior ``N(0, shared + τ² I)``, τ half-normal and integrated out.

    Given τ the posterior mean is ``K b``, with ``K = Q (V + Q)⁻¹``, Q the prior's covariance and V that of the draws;
    draw d becomes ``K b + K (d - b) + (I - K) u``, u ~ N(0, Q), whose covariance is the posterior's.

    Parameters
    ----------
    estimate
        (m,) b.
    draws
        (draws, m) of the sampling distribution of the estimates.
    shared
        (m, m) covariance of what they share before the data, positive semi-definite.
    seed
        Of u and of the draws of τ.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> b = np.array([0.1, 0.5])
    >>> found = posterior_of(b, b + rng.normal(0, 0.2, (4000, 2)), np.full((2, 2), 0.04), seed=1)
    >>> found.mean.round(1).tolist()  # drawn together, and towards 0
    [0.1, 0.3]
    """
    count, m = draws.shape
    sampling = np.atleast_2d(np.cov(draws.T)) if count > 1 else np.zeros((m, m))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    chance, noise = rng.random(count), rng.standard_normal((count, m))
    gains, roots, weight = [], [], np.empty(len(_GRID))
    for i, (own, width) in enumerate(zip(_GRID, np.gradient(_GRID), strict=True)):
        prior = shared + own**2 * np.eye(m)
        total = sampling + prior
        inverse = np.linalg.inv(total)
        weight[i] = np.log(width) - 0.5 * (own / _OWN) ** 2
        weight[i] -= 0.5 * np.linalg.slogdet(total)[1] + 0.5 * estimate @ inverse @ estimate
        gains.append(prior @ inverse)
        roots.append(np.linalg.cholesky(prior))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    which: IntArray = np.minimum(np.searchsorted(np.cumsum(weight), chance), len(_GRID) - 1)
    made = np.empty((count, m))
    for i in np.unique(which):
        own_draws = which == i
        rest = np.eye(m) - gains[i]
        made[own_draws] = draws[own_draws] @ gains[i].T + noise[own_draws] @ (rest @ roots[i]).T
    mean = sum((w * (gain @ estimate) for w, gain in zip(weight, gains, strict=True)), np.zeros(m))
    return Posterior(mean, made, float(weight @ _GRID))


def _estimated(fit: Fit, system: System) -> tuple[IntArray, IntArray]:
    """Places (effect, cause) of the edges that were estimated and vary, in linear equations."""
    place = {name: i for i, name in enumerate(system.names)}
    pairs = [(place[row.right], place[row.left]) for row in fit.table.of("edge") if row.free and not row.lag]
    pairs = [pair for pair in pairs if system.families[pair[0]] == LINEAR]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    varies = system.coefficients[:, found[:, 0], found[:, 1]].std(axis=0) > 0 if len(found) else np.zeros(0, dtype=bool)
    return found[varies, 0], found[varies, 1]


def _deviations(fit: Fit) -> FloatArray:
    """(k,) standard deviations of the constructs; 1 where one does not vary."""
    sd = np.sqrt(np.diag(fit.population.covariance))
    return np.where(np.isfinite(sd) & (sd > 0), sd, 1.0)
