"""Edges shrunk jointly before a budget is spent, so that the plan that looks best is not the luckiest.

Whoever picks the best of many noisy values picks their luck with them (the optimiser's curse: Smith & Winkler 2006, doi
10.1287/mnsc.1050.0451). A posterior mean given all the data has no such bias, if its prior is right (Senn 2008, doi
10.1002/sim.3377). The prior here says what edges of such graphs are like before one has seen them: standardised, those
into the last outcomes (where the money is) lie around one value, all others around another, neither far from 0; how
widely they scatter around it, the data say.

Edges from context constructs are left as estimated: they are controls, and a control that is shrunk leaves its part to
the drivers it is there to clear (Hahn, Carvalho, Puelz & He 2018, doi 10.1214/16-BA1044).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.system import System
from roxmodel.simulation.stability import spectral_radius
from roxmodel.types import FloatArray, IntArray

__all__ = ["Posterior", "Shrunken", "posterior_of", "shrunken_edges"]

_SHARED = 0.25  # sd of what the standardised edges of one kind share
_OWN = 0.25  # scale of the half-normal prior of the sd of what is an edge's own
_FREE = 10.0  # sd of a standardised edge of which nothing is known before
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

    Standardised edges b have the prior ``N(0, 0.25² E + τ² I)``: E is 1 for two edges of one kind (into the last
    outcomes, or not), τ half-normal with scale 0.25, integrated out over a grid. The likelihood of the estimates is
    normal with the covariance of the draws, so that edges share what they share. Edges from context constructs have a
    flat prior. Fixed edges, and those of curved equations, stay.

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
    found = posterior_of(estimate, draws, _prior(fit, to, from_), seed)
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


def _prior(fit: Fit, to: IntArray, from_: IntArray) -> FloatArray:
    """(m, m) covariance of what standardised edges share; controls share nothing, and may be anything."""
    last = np.isin(to, _last_outcomes(fit))
    driver = np.array([fit.model.constructs[place].factor != "context" for place in from_])
    same = (last[:, None] == last[None, :]) & driver[:, None] & driver[None, :]
    return np.asarray(_SHARED**2 * same + _FREE**2 * np.diag(~driver))


def _last_outcomes(fit: Fit) -> list[int]:
    """Places of the outcomes that act on no other outcome; all of them where each does."""
    names, outcomes = fit.model.names, [c.name for c in fit.model.constructs if c.factor == "outcomes"]
    acting = {edge.cause for edge in fit.model.edges if edge.effect in outcomes and not edge.lag}
    last = [name for name in outcomes if name not in acting]
    return [names.index(name) for name in last or outcomes]


def posterior_of(estimate: FloatArray, draws: FloatArray, shared: FloatArray, seed: int | None) -> Posterior:
    """Posterior of numbers with the prior ``N(0, shared + τ² I)``, τ half-normal and integrated out.

    Given τ the posterior mean is ``b - R b``, with ``R = V (V + Q)⁻¹``, Q the prior's covariance and V that of the
    draws. A draw that lies e off the mean of the draws becomes ``b - R b + e - R (e - u)``, u ~ N(0, Q), whose
    covariance is the posterior's: what the data fix exactly (V = 0 in some direction) stays exactly.

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
    errors = draws - draws.mean(axis=0)
    sampling = errors.T @ errors / max(count - 1, 1)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    chance, noise = rng.random(count), rng.standard_normal((count, m))
    rests, roots, weight = [], [], np.empty(len(_GRID))
    for i, (own, width) in enumerate(zip(_GRID, np.gradient(_GRID), strict=True)):
        prior = shared + own**2 * np.eye(m)
        inverse, log_size = _inverse(sampling + prior)
        weight[i] = np.log(width) - 0.5 * (own / _OWN) ** 2 - 0.5 * log_size - 0.5 * estimate @ inverse @ estimate
        rests.append(sampling @ inverse)
        roots.append(np.linalg.cholesky(prior))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    which: IntArray = np.minimum(np.searchsorted(np.cumsum(weight), chance), len(_GRID) - 1)
    made = np.empty((count, m))
    for i in np.unique(which):
        at = which == i
        made[at] = estimate + errors[at] - (estimate + errors[at] - noise[at] @ roots[i].T) @ rests[i].T
    mean = estimate - sum((w * (rest @ estimate) for w, rest in zip(weight, rests, strict=True)), np.zeros(m))
    return Posterior(mean, made + (mean - made.mean(axis=0)), float(weight @ _GRID))


def _inverse(matrix: FloatArray) -> tuple[FloatArray, float]:
    """Inverse and logarithm of the determinant of a positive definite matrix, whatever the sizes on its diagonal."""
    scale = np.sqrt(np.diag(matrix))
    plain = matrix / np.outer(scale, scale)
    return np.linalg.inv(plain) / np.outer(scale, scale), float(np.linalg.slogdet(plain)[1] + 2 * np.log(scale).sum())


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
