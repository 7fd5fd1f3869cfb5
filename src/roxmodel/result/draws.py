"""Draws of the free parameters (replicates of a bootstrap, of a normal or t distribution), and intervals from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtr, stdtrit

from roxmodel.types import FloatArray, IntArray, read_only

__all__ = [
    "Draws", "Resampled", "Spread", "bca_interval", "delta_se", "normal_draws", "replicate_block", "replicate_weights",
    "slopes_of", "spread_of", "t_draws", "wald",
]  # fmt: skip


_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wald(value: FloatArray, se: FloatArray, df: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ends of the 95 % interval and two-sided p of estimates with standard errors; NaN where these are 0 or unknown.

    `df` are those of the t distribution: infinite = normal, NaN gives NaN.

    >>> low, high, p = wald(np.array([2.0]), np.array([1.0]), np.array([np.inf]))
    >>> low.round(3).tolist(), high.round(3).tolist(), p.round(4).tolist()
    ([0.04], [3.96], [0.0455])
    """
    normal = np.isinf(df)
    finite = np.where(normal, 1.0, df)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.where(se > 0, se, np.nan)
        size = np.abs(value) / known
        width = np.where(normal, _Z, stdtrit(finite, 0.975)) * known
        p = 2 * np.where(normal, ndtr(-size), stdtr(finite, -size))
    return value - width, value + width, p


def slopes_of(function: Callable[[FloatArray], FloatArray], theta: FloatArray, vcov: FloatArray) -> FloatArray:
    """(m, n_free) derivatives of `function`, (draws, n_free) to (draws, m), at theta.

    By central differences, in steps in proportion to the standard errors.
    """
    step = 1e-4 * np.sqrt(np.maximum(np.diag(vcov), 0.0))
    step = np.where(step > 0, step, 1e-6 * np.maximum(np.abs(theta), 1.0))
    values, k = function(np.vstack([theta + np.diag(step), theta - np.diag(step)])), len(theta)
    with np.errstate(invalid="ignore"):  # beyond all numbers beside a variance of 0
        return np.asarray((values[:k] - values[k:]).T / (2 * step))


def delta_se(slopes: FloatArray, vcov: FloatArray, least: float = 0.0) -> FloatArray:
    """(m,) standard errors by the delta method, from (m, n_free) derivatives (Sobel 1982, doi 10.2307/270723).

    NaN where a variance is not above `least`: there nothing was estimated, or only rounding is left.
    """
    with np.errstate(invalid="ignore"):
        variance = np.array([slope @ vcov @ slope for slope in slopes])
    return np.sqrt(np.where(variance > least, variance, np.nan))


class Spread(NamedTuple):
    """What draws say of each quantity: standard deviation, ends of the 95 % percentile interval, two-sided p."""

    se: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray


def spread_of(draws: FloatArray) -> Spread:
    """Summarise draws (R, m), column by column; one that never varies, or holds NaN, has NaN everywhere.

    p is twice the smaller share of draws on either side of 0, with the estimate counted among them, so that it is
    below 0.05 where the interval excludes 0 and never 0. Efron & Tibshirani (1993), An introduction to the bootstrap,
    ch. 13; Davison & Hinkley (1997), Bootstrap methods and their application, ch. 4.

    >>> spread_of(np.arange(1.0, 100.0)[:, None]).p.tolist()
    [0.02]
    """
    count, m = draws.shape
    nothing = np.full(m, np.nan)
    if count < 2 or m == 0:
        return Spread(nothing, nothing.copy(), nothing.copy(), nothing.copy())
    varies = np.ptp(draws, axis=0) > 0
    low, high = (np.where(varies, end, np.nan) for end in np.quantile(draws, [0.025, 0.975], axis=0))
    tail = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p = np.where(varies, np.minimum(2 * (tail + 1) / (count + 1), 1.0), np.nan)
    with np.errstate(invalid="ignore"):
        se = np.where(varies, draws.std(axis=0, ddof=1), np.nan)
    return Spread(se, low, high, p)


DrawsKind: TypeAlias = Literal["bootstrap", "normal", "t"]
_BLOCK = 128  # replicates drawn from one generator
_CELLS = 1 << 21  # draws of one generator at most
_STRETCH = 2  # spawn key of what makes draws of a t distribution of normal ones
_RAREST = 1e-3  # chance of the longest stretch


@read_only
@dataclass(frozen=True, slots=True)
class Resampled:
    """How the replicates of a bootstrap were drawn, so that anyone can refit one of them."""

    entropy: int  # seed
    codes: FloatArray  # (n,) cluster of each row; each row its own where none was asked for
    numbers: IntArray  # (R,) which replicate each of the draws is
    places: IntArray | None = None  # where the rows used stand among all of the frame; None: all were used
    rows: int = 0  # how many rows the frame has

    def weights(self, place: int) -> FloatArray:
        """(n,) how often each row of the frame was drawn for one of the draws."""
        drawn = replicate_weights(self.entropy, int(self.numbers[place]), self.codes)
        if self.places is None:
            return drawn
        every = np.zeros(self.rows)
        every[self.places] = drawn
        return every


@read_only
@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of the free parameters, and what is told of them; no influence is written to a document."""

    kind: DrawsKind  # what they are drawn from
    values: FloatArray  # (R, n_free); of a bootstrap those of the replicates that succeeded
    failed: int = 0  # replicates that failed and are left out
    bounded: int = 0  # kept though a variance stopped at its bound 0 (a Heywood case)
    influence: FloatArray | None = None  # (m, n_free) of resampled rows or clusters, for accelerated intervals
    told: Resampled | None = None  # how they were resampled; None: they were not, or a document no longer tells

    @property
    def covariance(self) -> FloatArray:
        """(n_free, n_free)."""
        return np.atleast_2d(np.cov(self.values, rowvar=False))

    @property
    def spread(self) -> Spread:
        """Standard error, percentiles and p of each parameter."""
        return spread_of(self.values)

    def of(self, keep: Sequence[int]) -> Draws:
        """Of some of the parameters only."""
        influence = None if self.influence is None else self.influence[:, keep]
        return replace(self, values=self.values[:, keep], influence=influence)

    def some(self, count: int, rng: np.random.Generator) -> FloatArray:
        """(count, n_free): the first of the draws, or drawn from them where they are fewer."""
        total = len(self.values)
        return np.asarray(self.values[np.arange(count) if count <= total else rng.integers(0, total, count)])


def normal_draws(theta: FloatArray, root: FloatArray, order: IntArray, n: int, rng: np.random.Generator) -> Draws:
    """Normal around an estimate, R Rᵀ the covariance; `order` says which random number moves which parameter."""
    chance = rng.standard_normal((n, len(root)))[:, order]
    return Draws("normal", theta + chance @ root.T)


def t_draws(normal: FloatArray, theta: FloatArray, df: FloatArray, seed: int | None) -> Draws:
    """Normal draws, each parameter's distance from its estimate stretched by ``sqrt(df / c)``, c of a chi-square.

    One random number stretches all parameters of a draw, so that what belongs together stays together, and each
    parameter has the interval of its own degrees of freedom (a multivariate t distribution where they are all alike).
    Stretches of less than one draw in a thousand are cut, so that means exist. Kotz & Nadarajah (2004), Multivariate t
    distributions and their applications, doi 10.1017/CBO9780511550683.
    """
    found = np.array(normal)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STRETCH,)))
    chance = np.maximum(rng.random(len(found)), _RAREST)
    for own in np.unique(df[np.isfinite(df)]):
        at = df == own
        stretch = np.sqrt(own / chdtri(own, 1.0 - chance))[:, None]
        found[:, at] = theta[at] + (found[:, at] - theta[at]) * stretch
    return Draws("t", found)


def replicate_weights(entropy: int, replicate: int, codes: FloatArray) -> FloatArray:
    """(n,) how often each row is drawn in one replicate of the bootstrap (Efron 1979, doi 10.1214/aos/1176344552).

    Replicates are independent and do not depend on how many there are; `codes` are the rows' clusters, 0…G-1, drawn
    with replacement.

    >>> int(replicate_weights(7, 0, np.arange(10.0)).sum())
    10
    """
    return np.asarray(replicate_block(entropy, replicate, replicate + 1, codes)[0], dtype=np.float64)


def replicate_block(entropy: int, start: int, stop: int, codes: FloatArray) -> FloatArray:
    """Counts of the replicates start…stop-1, (stop - start, n); see `replicate_weights`.

    Replicates are drawn in blocks, one generator a block, because making a generator costs more than drawing.
    """
    places = np.asarray(codes, dtype=np.int64)
    clusters = int(places.max()) + 1
    size = int(np.clip(_CELLS // clusters, 1, _BLOCK))
    first, last = start // size, (stop - 1) // size
    counts = np.concatenate([_drawn(entropy, block, clusters, size) for block in range(first, last + 1)])
    own = counts[start - first * size : stop - first * size]
    if clusters == len(places) and (places == np.arange(clusters)).all():
        return np.asarray(own, dtype=np.float64)
    return np.asarray(own[:, places], dtype=np.float64)


def _drawn(entropy: int, block: int, clusters: int, size: int) -> IntArray:
    rng = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(block,)))
    picked = rng.integers(0, clusters, (size, clusters), dtype=np.int32)
    picked += np.arange(size, dtype=np.int32)[:, None] * np.int32(clusters)
    return np.bincount(picked.ravel(), minlength=size * clusters).reshape(size, clusters).astype(np.int64)


def _acceleration(influence: FloatArray) -> FloatArray:
    """(m,) how fast the standard error changes with the quantity, a = Σ l³ / (6 (Σ l²)^1.5); 0 where nothing varies."""
    centred = influence - influence.mean(axis=0)
    square = (centred**2).sum(axis=0)
    safe = np.where(square > 0, square, 1.0)
    return np.asarray(np.where(square > 0, (centred**3).sum(axis=0) / (6 * safe**1.5), 0.0))


def bca_interval(draws: FloatArray, estimate: FloatArray, influence: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends of the bias-corrected, accelerated 95 % interval, (m,) each; NaN where the replicates do not vary.

    `draws` are (R, m) replicates, `influence` is (n, m) that of each resampled row (or cluster) on the quantities.
    Efron (1987), doi 10.1080/01621459.1987.10478410; the infinitesimal jackknife in place of the jackknife: Efron &
    Tibshirani (1993), An introduction to the bootstrap, ch. 22.

    >>> draws = np.arange(1.0, 1000.0)[:, None]
    >>> low, high = bca_interval(draws, np.array([500.0]), np.zeros((9, 1)))
    >>> bool(abs(low[0] - 25.5) < 1), bool(abs(high[0] - 974.5) < 1)
    (True, True)
    """
    (count, m), speed = draws.shape, _acceleration(influence)
    varies = np.ptp(draws, axis=0) > 0
    below = (draws < estimate).mean(axis=0) + 0.5 * (draws == estimate).mean(axis=0)
    bias = ndtri(np.clip(below, 0.5 / count, 1 - 0.5 / count))
    ends = np.full((2, m), np.nan)
    for side, z in enumerate((ndtri(0.025), ndtri(0.975))):
        moved = bias + (bias + z) / (1 - speed * (bias + z))
        level = np.clip(ndtr(moved), 0.0, 1.0)
        for column in np.flatnonzero(varies):
            ends[side, column] = np.quantile(draws[:, column], level[column])
    return ends[0], ends[1]
