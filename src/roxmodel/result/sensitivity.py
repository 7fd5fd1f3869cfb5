"""What would overturn an edge: how strong an unmeasured cause would have to be."""

from __future__ import annotations

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["robustness_value"]


def robustness_value(statistic: FloatArray, df: FloatArray) -> FloatArray:
    """Share of residual variance that an unmeasured cause must explain, in the cause and in the effect, to bring
    the edge to zero.

    With f = |t| / √df, RV = (√(f⁴ + 4f²) - f²) / 2.

    Parameters
    ----------
    statistic
        t values of a linear regression, any shape.
    df
        Residual degrees of freedom; NaN or infinite gives NaN.

    Returns
    -------
    ndarray
        0-1, of the same shape.

    References
    ----------
    Cinelli & Hazlett (2020), doi 10.1111/rssb.12348.

    Examples
    --------
    >>> float(robustness_value(np.array([4.18]), np.array([783.0])).round(3)[0])
    0.139
    """
    known = np.isfinite(df) & (df > 0) & np.isfinite(statistic)
    f2 = np.where(known, statistic, 0.0) ** 2 / np.where(known, df, 1.0)
    return np.where(known, 0.5 * (np.sqrt(f2**2 + 4 * f2) - f2), np.nan)
