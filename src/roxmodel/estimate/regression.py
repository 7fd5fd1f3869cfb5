"""One equation at a time: least squares or a generalised linear model, by statsmodels, with its influence.

The influence of a row on the coefficients is kept, so that the errors of all equations together are one sandwich:
its diagonal blocks are statsmodels' own covariances. Causes are centred and scaled for the computation only, so
that euros beside points lose no digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "Frame",
    "Regression",
    "Task",
    "check_task",
    "clusters_of",
    "frame_of",
    "least_squares",
    "variance_inflation",
]

_INSEPARABLE = 1e-8
_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # relative; differences below it are no differences


@dataclass(frozen=True, slots=True)
class Task:
    """What is regressed on what.

    Attributes
    ----------
    effect, causes
        Names, for messages.
    y
        (n,) the effect, less what fixed edges explain (linear equations).
    x
        (n, p) the causes.
    offset
        (n,) what fixed edges add to the predictor (curved equations).
    clusters
        (n,) cluster of each row, 0…G-1, or None.
    family
        ``linear``, ``logit``, ``poisson`` or ``negative binomial``.
    robust
        Whether errors are heteroscedasticity-consistent (ignored with clusters).
    """

    effect: str
    causes: tuple[str, ...]
    y: FloatArray
    x: FloatArray
    offset: FloatArray
    clusters: IntArray | None
    family: str
    robust: bool


@dataclass(frozen=True, slots=True)
class Regression:
    """What came out.

    Attributes
    ----------
    coefficients
        (1 + p,) intercept first.
    covariance
        (1 + p, 1 + p) classical covariance of them, used where `influence` is None.
    influence
        (n, 1 + p) with covariance = influenceᵀ influence (after summing over clusters), or None (classical).
    lead
        (n, 1 + p) with coefficients = leadᵀ y, or None (curved).
    residuals
        (n,) on the response scale.
    partial_r2
        (p,) share of what the other causes leave that each cause explains, 0-1; NaN for curved equations.
    df
        Degrees of freedom of t tests, infinite for the normal.
    family, dispersion
        As estimated (a Poisson that is overdispersed becomes a negative binomial).
    """

    coefficients: FloatArray
    covariance: FloatArray
    influence: FloatArray | None
    lead: FloatArray | None
    residuals: FloatArray
    partial_r2: FloatArray
    df: float
    family: str = "linear"
    dispersion: float = float("nan")


@dataclass(frozen=True, slots=True)
class Frame:
    """Causes in computing units, and the way back.

    Attributes
    ----------
    design
        (n, 1 + p) intercept and causes of mean 0 and standard deviation 1.
    back
        (1 + p, 1 + p) with raw coefficients = back @ coefficients of `design`.
    """

    design: FloatArray
    back: FloatArray


def frame_of(x: FloatArray) -> Frame:
    """Centre and scale causes, (n, p)."""
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    back = np.diag(np.concatenate([[1.0], 1.0 / scale]))
    back[0, 1:] = -centre / scale
    return Frame(np.column_stack([np.ones(len(x)), (x - centre) / scale]), back)


def check_task(task: Task, rows: str) -> None:
    """Refuse an equation that cannot be estimated, naming why.

    Parameters
    ----------
    task
        The equation.
    rows
        What a row is (``units`` or ``rows``), for messages.

    Raises
    ------
    EstimationError
        If there are too few rows, a constant cause or effect, or inseparable causes.
    """
    n, p = task.x.shape
    if n <= p + 2:
        raise EstimationError(
            f"The equation of {task.effect!r} has {p} cause(s), an intercept and a residual variance, but only "
            f"{n} {rows} with complete data.",
            hint=f"Collect more {rows}, or give {task.effect!r} fewer causes.",
        )
    for name, column in zip((task.effect, *task.causes), (task.y, *task.x.T), strict=True):
        if np.ptp(column) <= _ROUNDING * np.abs(column).max():
            raise EstimationError(
                f"{name!r} is constant ({column[0]:g}) in the {n} complete {rows} of the equation of {task.effect!r}.",
                hint="Leave it out of this equation.",
            )
    inflation = variance_inflation(task.x)
    names = [name for name, vif in zip(task.causes, inflation, strict=True) if not 1 / vif > _INSEPARABLE]
    if names:
        raise EstimationError(
            f"The causes {listed(names)} of {task.effect!r} cannot be told apart: each is a linear combination of "
            "the others.",
            hint="Leave one out, merge them into one construct, or measure them apart.",
        )


def variance_inflation(x: FloatArray) -> FloatArray:
    """(p,) variance inflation factors, 1 / (1 - R²) of each cause on the others; infinite if inseparable.

    Examples
    --------
    >>> variance_inflation(np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0], [4.0, 2.0]])).round(2).tolist()
    [5.0, 5.0]
    """
    n, p = x.shape
    if p < 2:
        return np.ones(p)
    z = frame_of(x).design[:, 1:]
    found = np.empty(p)
    for place in range(p):
        others = np.delete(z, place, axis=1)
        fitted = others @ np.linalg.lstsq(others, z[:, place], rcond=None)[0]
        rest = float(((z[:, place] - fitted) ** 2).sum()) / n
        found[place] = 1 / rest if rest > 1e-14 else np.inf
    return found


def least_squares(task: Task) -> Regression:
    """Ordinary least squares; HC3 (MacKinnon & White 1985, doi 10.1016/0304-4076(85)90158-7) if robust.

    Raises
    ------
    EstimationError
        If nothing is left to explain, or one row alone determines a coefficient (robust errors).
    """
    from statsmodels.regression.linear_model import OLS

    frame, centre = frame_of(task.x), float(task.y.mean())
    found: Any = OLS(task.y - centre, frame.design).fit()
    residuals, inverse = np.asarray(found.resid), np.asarray(found.normalized_cov_params)
    left = float(residuals @ residuals)
    _refuse_determined(task, left)
    influence, df = _pulls(task, frame.design, residuals, inverse)
    coefficients = frame.back @ np.asarray(found.params)
    coefficients[0] += centre
    explained = np.asarray(found.params)[1:] ** 2 / np.diag(inverse)[1:]
    return Regression(
        coefficients=coefficients,
        covariance=frame.back @ np.asarray(found.cov_params()) @ frame.back.T,
        influence=None if influence is None else influence @ frame.back.T,
        lead=frame.design @ inverse @ frame.back.T,
        residuals=residuals,
        partial_r2=explained / (explained + left),
        df=df,
    )


def clusters_of(task: Task) -> int:
    """Number of clusters, refused where they are no more than the coefficients: the errors would collapse to 0."""
    groups, k = len(np.unique(np.asarray(task.clusters))), task.x.shape[1] + 1
    if groups <= k:
        raise EstimationError(
            f"The equation of {task.effect!r} has {k} coefficients, but its complete rows are in {groups} cluster(s) "
            "only, so that clustered errors are not defined.",
            hint="Leave cluster= out, use fewer causes, or collect more clusters.",
        )
    return groups


def _refuse_determined(task: Task, left: float) -> None:
    """Refuse an equation without residuals: a standard error of 0 would be rounding, not knowledge."""
    total = float(((task.y - task.y.mean()) ** 2).sum())
    rounding = len(task.y) * (_ROUNDING * float(np.abs(task.y).max())) ** 2
    if left <= max(1e-20 * total, rounding):
        raise EstimationError(
            f"{task.effect!r} is fully determined by its causes {listed(task.causes)}: nothing is left to explain.",
            hint="Leave out the cause that is computed from it.",
        )


def _pulls(
    task: Task, design: FloatArray, residuals: FloatArray, inverse: FloatArray
) -> tuple[FloatArray | None, float]:
    """Influence of each row on the coefficients, and the degrees of freedom that go with it."""
    n, k = design.shape
    pull = design @ inverse * residuals[:, None]
    if task.clusters is not None:
        groups = clusters_of(task)
        return pull * np.sqrt(groups / (groups - 1) * (n - 1) / (n - k)), float(groups - 1)
    if not task.robust:
        return None, float(n - k)
    leverage = (design @ inverse * design).sum(axis=1)
    if (leverage > 1 - 1e-9).any():
        raise EstimationError(
            f"One row alone determines a coefficient of the equation of {task.effect!r} (leverage 1), so robust "
            "errors are not defined.",
            hint="Use se='standard', or leave out the cause that only one row has.",
        )
    return pull / (1 - leverage)[:, None], float(n - k)
