"""What would overturn an edge: how strong an unmeasured cause would have to be."""

from __future__ import annotations

import numpy as np

from roxmodel.types import FloatArray

__all__ = ["robustness_value"]


def robustness_value(partial_r2: FloatArray) -> FloatArray:
    """How strong an unmeasured cause must be to bring an edge to zero.

    The share of residual variance that it must explain, in the cause and in the effect alike: with f² = R² / (1 - R²),
    RV = (√(f⁴ + 4f²) - f²) / 2. It is about the estimate, so R² is that of least squares whatever the standard
    errors are (robust or clustered t values would mix in how the estimate varies).

    Parameters
    ----------
    partial_r2
        Partial R² of each cause with the effect, 0-1, any shape; NaN gives NaN.

    Returns
    -------
    ndarray
        0-1, of the same shape.

    References
    ----------
    Cinelli & Hazlett (2020), doi 10.1111/rssb.12348.

    Examples
    --------
    >>> t, df = 4.18, 783
    >>> float(robustness_value(np.array([t**2 / (t**2 + df)])).round(3)[0])
    0.139
    """
    known = (partial_r2 >= 0) & (partial_r2 < 1)
    share = np.where(known, partial_r2, 0.0)
    f2 = share / (1.0 - share)
    # f2 -> infinity makes the difference of two large numbers; this form does not cancel.
    value = 2 * f2 / (np.sqrt(f2**2 + 4 * f2) + f2 + np.where(f2 > 0, 0.0, 1.0))
    return np.where(known, value, np.nan)
