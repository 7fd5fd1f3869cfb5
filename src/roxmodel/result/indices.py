"""How well the graph reproduces the covariances: chi-square and the indices built on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["INDEX_NAMES", "Discrepancy", "fit_indices"]

INDEX_NAMES: Final = (
    "chisq", "df", "pvalue", "chisq_scaled", "pvalue_scaled", "scaling_factor", "cfi", "tli", "rmsea",
    "rmsea_ci_lower", "rmsea_ci_upper", "srmr", "loglik", "aic", "bic", "n", "n_units",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Sample against model.

    Attributes
    ----------
    sample, implied
        (p, p) covariances with divisor n.
    n
        Rows.
    free
        Free parameters, means included.
    means
        Number of mean parameters among them (as many as the data have means: saturated).
    given
        Places of exogenous variables that are given, not modelled.
    """

    sample: FloatArray
    implied: FloatArray
    n: int
    free: int
    means: int
    given: tuple[int, ...] = ()


def fit_indices(found: Discrepancy) -> dict[str, float]:
    """Fit indices of normal-theory maximum likelihood, as lavaan defines them.

    chisq = n·F_ML; baseline: uncorrelated variables (those given keep their covariances); CFI, TLI and RMSEA with
    its 90 % interval from the noncentral chi-square; SRMR over variances and covariances; loglik of the variables
    that are modelled.

    References
    ----------
    Hu & Bentler (1999), doi 10.1080/10705519909540118; Steiger (1990), doi 10.1207/s15327906mbr2502_4.
    """
    from scipy.stats import chi2

    found, logsd = _standardised(found)
    p, given = len(found.sample), len(found.given)
    moments = (p * (p + 1) - given * (given + 1)) // 2
    df = moments - (found.free - found.means)
    chisq = max(found.n * _discrepancy(found.sample, found.implied), 0.0)
    null = np.diag(np.diag(found.sample)).copy()
    null[np.ix_(found.given, found.given)] = found.sample[np.ix_(found.given, found.given)]
    base, base_df = found.n * _discrepancy(found.sample, null), (p * (p - 1) - given * (given - 1)) // 2
    lower, upper = _rmsea_interval(chisq, df, found.n)
    modelled = [i for i in range(p) if i not in found.given]
    loglik = _loglik(found) - found.n * float(logsd[modelled].sum())
    return {
        "chisq": chisq,
        "df": float(df),
        "pvalue": float(chi2.sf(chisq, df)) if df > 0 else float("nan"),
        "cfi": _cfi(chisq, df, base, base_df),
        "tli": _tli(chisq, df, base, base_df),
        "rmsea": float(np.sqrt(max(chisq - df, 0.0) / (df * found.n))) if df > 0 else 0.0,
        "rmsea_ci_lower": lower,
        "rmsea_ci_upper": upper,
        "srmr": _srmr(found.sample, found.implied),
        "loglik": loglik,
        "aic": -2 * loglik + 2 * found.free,
        "bic": -2 * loglik + float(np.log(found.n)) * found.free,
        "n": float(found.n),
    }


def _standardised(found: Discrepancy) -> tuple[Discrepancy, FloatArray]:
    """The same in correlations, so that units of measurement cost no digits, and the logs of the sample's sd."""
    sd = np.sqrt(np.diag(found.sample))
    outer = np.outer(sd, sd)
    return replace(found, sample=found.sample / outer, implied=found.implied / outer), np.log(sd)


def _discrepancy(sample: FloatArray, implied: FloatArray) -> float:
    _, log_implied = np.linalg.slogdet(implied)
    _, log_sample = np.linalg.slogdet(sample)
    return float(log_implied - log_sample + np.trace(np.linalg.solve(implied, sample)) - len(sample))


def _loglik(found: Discrepancy) -> float:
    joint = _normal_loglik(found.sample, found.implied, found.n)
    at = np.ix_(found.given, found.given)
    return joint - (_normal_loglik(found.sample[at], found.implied[at], found.n) if found.given else 0.0)


def _normal_loglik(sample: FloatArray, implied: FloatArray, n: int) -> float:
    _, logdet = np.linalg.slogdet(implied)
    p = len(sample)
    return float(-n / 2 * (p * np.log(2 * np.pi) + logdet + np.trace(np.linalg.solve(implied, sample))))


def _cfi(chisq: float, df: int, base: float, base_df: int) -> float:
    worst = max(chisq - df, base - base_df, 0.0)
    return 1.0 if worst == 0 else 1 - max(chisq - df, 0.0) / worst


def _tli(chisq: float, df: int, base: float, base_df: int) -> float:
    if df == 0 or base_df == 0 or base / base_df == 1:
        return 1.0
    ratio = base / base_df
    return (ratio - chisq / df) / (ratio - 1)


def _rmsea_interval(chisq: float, df: int, n: int) -> tuple[float, float]:
    from scipy.optimize import brentq
    from scipy.stats import chi2, ncx2

    if df <= 0:
        return 0.0, 0.0

    def noncentrality(level: float) -> float:
        if chi2.cdf(chisq, df) <= level:
            return 0.0
        top = max(chisq, 1.0) * 4 + 100
        return float(brentq(lambda nc: ncx2.cdf(chisq, df, nc) - level, 1e-10, top))

    return tuple(float(np.sqrt(noncentrality(level) / (df * n))) for level in (0.95, 0.05))  # type: ignore[return-value]


def _srmr(sample: FloatArray, implied: FloatArray) -> float:
    sd = np.sqrt(np.diag(sample))
    residual = (sample - implied) / np.outer(sd, sd)
    return float(np.sqrt((residual[np.tril_indices(len(sd))] ** 2).mean()))
