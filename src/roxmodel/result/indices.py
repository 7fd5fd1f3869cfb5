"""How well the graph reproduces the covariances: chi-square and the indices built on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from roxmodel.types import FloatArray

__all__ = [
    "INDEX_NAMES", "ROBUST_NAMES", "Correction", "Discrepancy", "Tested", "comparative", "fit_indices", "index_words",
    "noncentrality", "rmsea_of", "tested_indices",
]  # fmt: skip

INDEX_NAMES: Final = (
    "chisq", "df", "pvalue", "chisq_scaled", "pvalue_scaled", "scaling_factor", "cfi", "tli", "rmsea",
    "rmsea_ci_lower", "rmsea_ci_upper", "srmr", "loglik", "aic", "bic", "n", "n_units",
)  # fmt: skip

_ROUNDING = 1e-3  # chi-square of a model without degrees of freedom that is none: no table shows as little

ROBUST_NAMES: Final = (
    "df_scaled", "cfi_scaled", "tli_scaled", "rmsea_scaled", "rmsea_ci_lower_scaled", "rmsea_ci_upper_scaled",
    "cfi_robust", "tli_robust", "rmsea_robust", "rmsea_ci_lower_robust", "rmsea_ci_upper_robust",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Correction:
    """Statistics of model and baseline, with c: a statistic's expectation is c · df where the model holds."""

    chisq: float
    base: float
    factor: float
    base_factor: float


@dataclass(frozen=True, slots=True)
class Tested:
    """The tests of a fit, of the model and of the baseline."""

    chisq: float
    df: float
    base: float
    base_df: float
    n: float  # rows that RMSEA divides by
    groups: int = 1
    scaled: Correction | None = None  # factors of the scaled test (statistic / c)
    # scaled-and-shifted statistics of model and baseline, which go before `scaled`
    shifted: tuple[float, float] | None = None
    # what CFI, TLI and RMSEA corrected for nonnormality (or missing answers) are computed from
    robust: Correction | None = None


def tested_indices(test: Tested) -> dict[str, float]:
    """Indices that rest on tests, plain, scaled and robust, as lavaan defines them.

    Brosseau-Liard & Savalei (2014), doi 10.1080/00273171.2014.933697; Brosseau-Liard, Savalei & Li (2012),
    doi 10.1080/00273171.2012.715252.
    """
    found = _named("", test.chisq, test.df, test.base, test.base_df, (test.n, test.groups))
    if test.shifted is not None and test.scaled is not None:
        chisq, base = test.shifted
        found |= _named("_scaled", chisq, test.df, base, test.base_df, (test.n, test.groups))
        found |= {"scaling_factor": test.scaled.factor}
    elif test.scaled is not None:
        own = test.scaled
        found |= _named(
            "_scaled", own.chisq / own.factor, test.df, own.base / own.base_factor, test.base_df, (test.n, test.groups)
        )
        names = ("rmsea_scaled", "rmsea_ci_lower_scaled", "rmsea_ci_upper_scaled")
        at = rmsea_of(own.chisq, own.factor * test.df, test.n, test.groups)
        found |= dict(zip(names, at, strict=True)) | {"scaling_factor": own.factor}
    return found | (_robust(test, test.robust) if test.robust is not None else {})


def _named(
    suffix: str, chisq: float, df: float, base: float, base_df: float, whom: tuple[float, int]
) -> dict[str, float]:
    from scipy.special import chdtrc

    cfi, tli = comparative(chisq, df, base, base_df)
    point, low, high = rmsea_of(chisq, df, *whom)
    return {
        f"chisq{suffix}": chisq,
        f"df{suffix}": float(df),
        f"pvalue{suffix}": float(chdtrc(df, chisq)) if df > 0 else float("nan"),
        f"cfi{suffix}": cfi,
        f"tli{suffix}": tli,
        f"rmsea{suffix}": point,
        f"rmsea_ci_lower{suffix}": low,
        f"rmsea_ci_upper{suffix}": high,
    }


def _robust(test: Tested, own: Correction) -> dict[str, float]:
    df, base_df = own.factor * test.df, own.base_factor * test.base_df
    cfi = _cfi(own.chisq, df, own.base, base_df)
    usable = test.df > 0 and own.base != base_df
    tli = 1 - (own.chisq - df) * test.base_df / ((own.base - base_df) * test.df) if usable else 1.0
    point = low = high = 0.0
    if test.df > 0 and own.factor > 0:
        size = test.groups / (test.n * test.df)
        point = float(np.sqrt(size * max(own.chisq - df, 0.0)))
        low, high = (
            float(np.sqrt(size * own.factor * noncentrality(own.chisq / own.factor, test.df, level)))
            for level in (0.95, 0.05)
        )
    return {
        "cfi_robust": cfi,
        "tli_robust": tli,
        "rmsea_robust": point,
        "rmsea_ci_lower_robust": low,
        "rmsea_ci_upper_robust": high,
    }


# each index: its name, from where (CFI, TLI) or up to where (RMSEA, SRMR) a fit is called good, and poor beyond
_THUMBS: Final = (("cfi", 0.95, 0.90), ("tli", 0.95, 0.90), ("rmsea", 0.06, 0.10), ("srmr", 0.08, 0.10))
_GOOD: Final = {name: good for name, good, _ in _THUMBS}
_FEW: Final = 250  # rows below which TLI and RMSEA reject right models too often


def index_words(found: Mapping[str, float]) -> tuple[bool, str]:
    """Whether CFI, TLI, RMSEA and SRMR are all good by the usual rules of thumb, and a sentence; empty without them.

    Hu & Bentler (1999), doi 10.1080/10705519909540118; for RMSEA above .10 MacCallum, Browne & Sugawara (1996), doi
    10.1037/1082-989X.1.2.130. Robust indices go before scaled and plain ones.

    >>> index_words({"cfi": 0.79, "tli": 0.75, "rmsea": 0.05, "srmr": 0.07, "n": 300.0})[1]
    'By the usual rules of thumb the fit is poor: CFI .790, TLI .750 (good from .95; Hu & Bentler 1999).'
    """
    suffix = next((end for end in ("_robust", "_scaled") if f"cfi{end}" in found), "")
    values = {name: found.get(f"{name}{suffix}", found.get(name, np.nan)) for name, *_ in _THUMBS}
    if not np.isfinite(list(values.values())).any():
        return True, ""
    high, low = ("cfi", "tli"), ("rmsea", "srmr")
    missed = [n for n, good, _ in _THUMBS if (values[n] < good if n in high else values[n] > good)]
    if not missed:
        return True, (
            "By the usual rules of thumb the fit is good (CFI and TLI at least .95, RMSEA at most .06, SRMR at most "
            ".08; Hu & Bentler 1999)."
        )
    poor = any(values[n] < beyond if n in high else values[n] > beyond for n, _, beyond in _THUMBS)
    parts = []
    if told := [f"{n.upper()} {_short(values[n])}" for n in missed if n in high]:
        parts.append(f"{', '.join(told)} (good from .95; Hu & Bentler 1999)")
    if told := [f"{n.upper()} {_short(values[n])} (good to {_short(_GOOD[n], 2)})" for n in missed if n in low]:
        parts.append(", ".join(told))
    rows = "units" if "n_units" in found else "rows"
    few = (
        f" With {found['n']:.0f} {rows}, fewer than {_FEW}, chance alone does that."
        if found.get("n", _FEW) < _FEW
        else ""
    )
    return False, f"By the usual rules of thumb the fit is {'poor' if poor else 'middling'}: {', '.join(parts)}.{few}"


def _short(value: float, digits: int = 3) -> str:
    """A share without its 0, as indices are written."""
    return f"{value:.{digits}f}".removeprefix("0")


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Sample against model."""

    sample: FloatArray  # (p, p), divisor n
    implied: FloatArray  # (p, p)
    n: int
    free: int  # free parameters, means included
    means: int  # mean parameters among them (as many as the data have means: saturated)
    given: tuple[int, ...] = ()  # places of exogenous variables that are given, not modelled


def fit_indices(found: Discrepancy) -> dict[str, float]:
    """Fit indices of normal-theory maximum likelihood, as lavaan defines them.

    chisq = n·F_ML; baseline: uncorrelated variables (those given keep their covariances); CFI, TLI and RMSEA with
    its 90 % interval from the noncentral chi-square; SRMR over variances and covariances; loglik of the variables
    that are modelled. Hu & Bentler (1999), doi 10.1080/10705519909540118; Steiger (1990), doi
    10.1207/s15327906mbr2502_4.
    """
    from scipy.stats import chi2

    sd = np.sqrt(np.diag(found.sample))
    outer = np.outer(sd, sd)
    found = replace(found, sample=found.sample / outer, implied=found.implied / outer)  # units cost no digits
    p, given = len(found.sample), len(found.given)
    moments = (p * (p + 1) - given * (given + 1)) // 2
    df = moments - (found.free - found.means)
    chisq = max(found.n * _discrepancy(found.sample, found.implied), 0.0)
    null = np.diag(np.diag(found.sample)).copy()
    null[np.ix_(found.given, found.given)] = found.sample[np.ix_(found.given, found.given)]
    base, base_df = found.n * _discrepancy(found.sample, null), (p * (p - 1) - given * (given - 1)) // 2
    cfi, tli = comparative(chisq, df, base, base_df)
    rmsea, lower, upper = rmsea_of(chisq, df, found.n)
    modelled = [i for i in range(p) if i not in found.given]
    loglik = _loglik(found) - found.n * float(np.log(sd)[modelled].sum())
    return {
        "chisq": chisq,
        "df": float(df),
        "pvalue": float(chi2.sf(chisq, df)) if df > 0 else float("nan"),
        "cfi": cfi,
        "tli": tli,
        "rmsea": rmsea,
        "rmsea_ci_lower": lower,
        "rmsea_ci_upper": upper,
        "srmr": _srmr(found.sample, found.implied),
        "loglik": loglik,
        "aic": -2 * loglik + 2 * found.free,
        "bic": -2 * loglik + float(np.log(found.n)) * found.free,
        "n": float(found.n),
    }


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


def comparative(chisq: float, df: float, base: float, base_df: float) -> tuple[float, float]:
    """CFI and TLI: the misfit left, of the misfit of uncorrelated variables.

    Bentler (1990), doi 10.1037/0033-2909.107.2.238; Tucker & Lewis (1973), doi 10.1007/BF02291170.
    """
    cfi = _cfi(chisq, df, base, base_df)
    if np.isnan(base):
        return cfi, float("nan")
    if df == 0 or base_df in {0, base}:
        return cfi, 1.0
    return cfi, 1 - (chisq - df) * base_df / ((base - base_df) * df)


def _cfi(chisq: float, df: float, base: float, base_df: float) -> float:
    """1 - max(chisq - df, 0) / max(chisq - df, base - base_df, 0), where 0 / 0 is 0: nothing is missed, CFI 1.

    A model with as many parameters as moments misses nothing but by rounding (or by a variance held at 0).
    """
    if np.isnan(chisq) or np.isnan(base):
        return float("nan")
    missed = max(chisq - df, 0.0)
    if missed == 0 or (df == 0 and missed < _ROUNDING):
        return 1.0
    return 1 - missed / max(missed, base - base_df)


def rmsea_of(chisq: float, df: float, n: float, groups: int = 1) -> tuple[float, float, float]:
    """RMSEA and its 90 % interval from the noncentral chi-square: Steiger (1990), doi 10.1207/s15327906mbr2502_4."""
    if df <= 0:
        return 0.0, 0.0, 0.0
    lower, upper = (np.sqrt(groups * noncentrality(chisq, df, level) / (df * n)) for level in (0.95, 0.05))
    return float(np.sqrt(groups * max(chisq - df, 0.0) / (df * n))), float(lower), float(upper)


def noncentrality(chisq: float, df: float, level: float) -> float:
    """Noncentrality at which a chi-square below `chisq` has the probability `level`; 0 if there is none."""
    from scipy.optimize import brentq
    from scipy.special import chdtr, chndtr

    if not np.isfinite(chisq) or chdtr(df, chisq) <= level:
        return 0.0
    top = max(chisq, 1.0) * 4 + 100
    if not chndtr(chisq, df, top) < level:  # out of reach of the noncentral distribution
        return float("nan")
    return float(brentq(lambda nc: chndtr(chisq, df, nc) - level, 1e-10, top))


def _srmr(sample: FloatArray, implied: FloatArray) -> float:
    sd = np.sqrt(np.diag(sample))
    residual = (sample - implied) / np.outer(sd, sd)
    return float(np.sqrt((residual[np.tril_indices(len(sd))] ** 2).mean()))
