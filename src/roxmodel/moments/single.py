"""Moments of one level: people in rows, or a printed matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from roxmodel.errors import DataError, listed
from roxmodel.moments.condense import (
    BATCH,
    PRINTED,
    blank,
    chan,
    condense_block,
    count,
    distinct,
    frequencies,
    frozen,
    index,
    numbers,
    put,
    require_positive_definite,
    scaled,
    square,
)
from roxmodel.types import FloatArray, read_only

__all__ = ["Moments"]


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Counts, means and covariances of single-level rows or of a printed matrix.

    Parameters
    ----------
    names
        The p variables, in the order of the matrices.
    n
        Number of complete rows (of persons, where rows have frequencies); at least 2.
    mean
        (p,) means in the variables' units, or None where a publication printed none.
    covariance
        (p, p) covariances with divisor n - 1.
    n_dropped
        Rows left out because an answer was missing.

    References
    ----------
    Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115 (merging without cancellation).

    Examples
    --------
    >>> monday = Moments.from_rows([[1, 2], [3, 5], [5, 5]], ["pride", "value"])
    >>> week = monday + Moments.from_rows([[2, 2], [4, 6]], ["pride", "value"])
    >>> week.n, week.mean.tolist(), week.covariance.diagonal().tolist()
    (5, [3.0, 4.0], [2.5, 3.5])
    """

    names: tuple[str, ...]
    n: int
    mean: FloatArray | None
    covariance: FloatArray
    n_dropped: int = 0

    def __post_init__(self) -> None:
        names = distinct(self.names, "variable")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "n", count(self.n))
        object.__setattr__(self, "covariance", frozen(self.covariance, (len(names),) * 2, "covariance"))
        if self.mean is not None:
            object.__setattr__(self, "mean", frozen(self.mean, (len(names),), "mean"))

    @classmethod
    def from_rows(cls, rows: ArrayLike, names: Sequence[str], frequency: ArrayLike | None = None) -> Moments:
        """Condense rows; a row with a missing answer is dropped and counted.

        Parameters
        ----------
        rows
            (n, p) numbers, NaN = missing: an array, nested lists, or a frame whose columns are in that order.
        names
            The p variables.
        frequency
            (n,) whole numbers: how many identical persons a row stands for.

        Raises
        ------
        DataError
            An infinite value, text, a constant variable, fewer than two complete rows.
        """
        table = numbers(rows, names)
        f = np.ones(len(table)) if frequency is None else frequencies(frequency, len(table))
        blocks = (slice(start, start + BATCH) for start in range(0, len(table), BATCH))
        return _pooled(((table[block], f[block]) for block in blocks), names)

    @classmethod
    def from_chunks(cls, chunks: Iterable[ArrayLike], names: Sequence[str]) -> Moments:
        """Condense a stream of blocks, each (n_k, p) with n_k >= 1, as `from_rows` condenses one.

        Raises
        ------
        DataError
            As `from_rows`; constant variables and too few rows are judged at the end of the stream.
        """
        blocks = (numbers(chunk, names) for chunk in chunks)
        return _pooled(((block, np.ones(len(block))) for block in blocks), names)

    @classmethod
    def from_correlation(
        cls,
        names: Sequence[str],
        correlation: ArrayLike | Sequence[Sequence[float]],
        sd: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        n: int | None = None,
    ) -> Moments:
        """Read a published correlation matrix.

        Parameters
        ----------
        names
            The p variables.
        correlation
            (p, p), or as printed: the lower triangle with its diagonal, p rows of lengths 1 ... p.
        sd
            (p,) standard deviations (divisor n - 1) in the variables' units; 1 for all if left out.
        mean
            (p,) means; without them moments cannot be merged.
        n
            Number of persons.

        Raises
        ------
        DataError
            Whatever cannot be a correlation matrix of n persons, naming the variables and the value.
        """
        r = square(correlation, names, "correlation")
        spread = np.ones(len(names)) if sd is None else frozen(sd, (len(names),), "sd")
        for name, own, s in zip(names, r.diagonal(), spread, strict=True):
            if abs(own - 1.0) > PRINTED:
                problem = f"The correlation of {name!r} with itself is {own:g}, not 1."
                raise DataError(problem, hint="Covariances are read by from_covariance.")
            if s <= 0:
                raise DataError(f"The standard deviation of {name!r} is {s:g}; it must be above 0.")
        return cls.from_covariance(names, r * np.outer(spread, spread), mean, n)

    @classmethod
    def from_covariance(
        cls,
        names: Sequence[str],
        covariance: ArrayLike | Sequence[Sequence[float]],
        mean: ArrayLike | None = None,
        n: int | None = None,
    ) -> Moments:
        """Read a published covariance matrix (divisor n - 1), whole or its lower triangle.

        Raises
        ------
        DataError
            Whatever cannot be a covariance matrix of n persons, naming the variables and the value.
        """
        s = square(covariance, names, "covariance")
        for name, variance in zip(names, s.diagonal(), strict=True):
            if variance <= 0:
                raise DataError(f"The variance of {name!r} is {variance:g}; it must be above 0.")
        require_positive_definite(scaled(s), names)
        return cls(tuple(names), count(n), None if mean is None else np.asarray(mean), s)

    @property
    def p(self) -> int:
        """Number of variables."""
        return len(self.names)

    @property
    def sd(self) -> FloatArray:
        """(p,) standard deviations in the variables' units."""
        return np.sqrt(self.covariance.diagonal())

    @property
    def correlation(self) -> FloatArray:
        """(p, p) correlations."""
        return scaled(self.covariance)

    def select(self, names: Sequence[str]) -> Moments:
        """Keep some variables, in the order asked for; an unknown name is a DataError."""
        keep = index(names, self.names, "variable")
        mean = None if self.mean is None else self.mean[keep]
        return replace(self, names=tuple(names), mean=mean, covariance=self.covariance[np.ix_(keep, keep)])

    def combine(self, weights: ArrayLike, names: Sequence[str]) -> Moments:
        """Moments of m linear composites: `weights` (m, p) times the variables, called `names`."""
        w = frozen(weights, (len(names), self.p), "weights")
        mean = None if self.mean is None else w @ self.mean
        return replace(self, names=tuple(names), mean=mean, covariance=w @ self.covariance @ w.T)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of rows together, exactly.

        Raises
        ------
        DataError
            Other names, another order of names, or a printed matrix without means.
        """
        if self.names != other.names:
            a, b = listed(self.names), listed(other.names)
            problem = f"Moments of {a} cannot be merged with moments of {b}."
            raise DataError(problem, hint="Bring both to the same names in the same order with select.")
        if self.mean is None or other.mean is None:
            problem = "Moments without means cannot be merged: how far the groups lie apart is unknown."
            raise DataError(problem, hint="Give mean= when reading a printed matrix.")
        given = ((self.n, self.mean, self.covariance), (other.n, other.mean, other.covariance))
        parts = ([np.full((1, 1, 1), n), m[None, :, None], (n - 1) * s[None]] for n, m, s in given)
        n, mean, scatter = chan(*parts)
        dropped = self.n_dropped + other.n_dropped
        return Moments(self.names, int(n.item()), mean[0, :, 0], scatter[0] / (n[0] - 1), dropped)

    def __add__(self, other: object) -> Moments:
        return self.merge(other) if isinstance(other, Moments) else NotImplemented


def _pooled(blocks: Iterable[tuple[FloatArray, FloatArray]], names: Sequence[str]) -> Moments:
    """Moments of the complete rows among blocks of rows (m, p) and their frequencies (m,)."""
    p, seen = len(distinct(names, "variable")), 0.0
    total, missing, low, high = blank(1, p, 1), np.zeros(p), np.full(p, np.inf), np.full(p, -np.inf)
    for rows, f in blocks:
        holes = np.isnan(rows)
        missing, seen = missing + f @ holes, seen + float(f.sum())
        use = ~holes.any(axis=1) & (f > 0)
        if use.any():
            z = np.vstack([rows[use].T, f[use]])
            low, high = np.minimum(low, z[:-1].min(axis=1)), np.maximum(high, z[:-1].max(axis=1))
            pairs, _ = condense_block(z, np.array([z.shape[1]]), names)
            put(total, np.zeros(1, np.int64), pairs, fresh=False)
    n, worst = int(total[0].item()), int(missing.argmax())
    if n < 2:
        problem = f"Only {n} of {seen:g} rows are complete; at least 2 are needed."
        most = f"{names[worst]!r} is missing most often ({missing[worst]:g} times)."
        raise DataError(problem, hint=most if missing[worst] else None)
    for k in np.flatnonzero(low == high)[:1]:
        problem = f"{names[k]!r} is constant ({low[k]:g} in all {n} complete rows)."
        raise DataError(problem, hint="Leave it out.")
    return Moments(tuple(names), n, total[1][0, :, 0], total[2][0] / (n - 1.0), int(seen) - n)
