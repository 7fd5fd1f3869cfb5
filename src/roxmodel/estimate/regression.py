"""One equation at a time: least squares or a generalised linear model, by statsmodels, with its influence.

The influence of a row on the coefficients is kept, so that the errors of all equations together are one sandwich:
its diagonal blocks are statsmodels' own covariances.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.types import FloatArray, IntArray

__all__ = ["Regression", "Task", "check_task", "regress", "variance_inflation"]

_INSEPARABLE = 1e-8


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
        (n,) cluster of each row, or None.
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

    @property
    def design(self) -> FloatArray:
        """(n, 1 + p) intercept and causes."""
        return np.column_stack([np.ones(len(self.y)), self.x])


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
    residuals
        (n,) on the response scale.
    df
        Degrees of freedom of t tests, infinite for the normal.
    family, dispersion
        As estimated (a Poisson that is overdispersed becomes a negative binomial).
    """

    coefficients: FloatArray
    covariance: FloatArray
    influence: FloatArray | None
    residuals: FloatArray
    df: float
    family: str
    dispersion: float


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
        If there are too few rows, a constant cause or effect, inseparable causes, or no residual.
    """
    n, p = task.x.shape
    if n <= p + 2:
        raise EstimationError(
            f"The equation of {task.effect!r} has {p} cause(s), an intercept and a residual variance, but only "
            f"{n} {rows} with complete data.",
            hint=f"Collect more {rows}, or give {task.effect!r} fewer causes.",
        )
    for name, column in zip((task.effect, *task.causes), (task.y, *task.x.T), strict=True):
        if np.ptp(column) == 0 and (name != task.effect or task.family == "linear"):
            raise EstimationError(
                f"{name!r} is constant ({column[0]:g}) in the {n} complete {rows} of the equation of {task.effect!r}.",
                hint="Leave it out of this equation.",
            )
    inflation = variance_inflation(task.x)
    if p and not (1 / inflation > _INSEPARABLE).all():
        names = [name for name, vif in zip(task.causes, inflation, strict=True) if not 1 / vif > _INSEPARABLE]
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
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    found = np.empty(p)
    for place in range(p):
        others = np.delete(z, place, axis=1)
        fitted = others @ np.linalg.lstsq(others, z[:, place], rcond=None)[0]
        rest = float(((z[:, place] - fitted) ** 2).sum()) / n
        found[place] = 1 / rest if rest > 1e-14 else np.inf
    return found


def regress(task: Task) -> Regression:
    """Estimate one equation.

    Raises
    ------
    EstimationError
        If one row alone determines a coefficient, causes separate the outcomes perfectly, or the iterations do
        not converge.
    """
    return _linear(task) if task.family == "linear" else _curved(task)


def _linear(task: Task) -> Regression:
    """Ordinary least squares; HC3 (MacKinnon & White 1985, doi 10.1016/0304-4076(85)90158-7) if robust."""
    from statsmodels.regression.linear_model import OLS

    design = task.design
    n, k = design.shape
    found: Any = OLS(task.y, design).fit()
    residuals = np.asarray(found.resid)
    if float(residuals @ residuals) <= 1e-20 * float(((task.y - task.y.mean()) ** 2).sum()):
        raise EstimationError(
            f"{task.effect!r} is fully determined by its causes {listed(task.causes)}: nothing is left to explain.",
            hint="Leave out the cause that is computed from it.",
        )
    influence, df = _pulls(task, design, residuals, np.asarray(found.normalized_cov_params))
    return Regression(
        coefficients=np.asarray(found.params),
        covariance=np.asarray(found.cov_params()),
        influence=influence,
        residuals=residuals,
        df=df,
        family="linear",
        dispersion=float("nan"),
    )


def _pulls(
    task: Task, design: FloatArray, residuals: FloatArray, inverse: FloatArray
) -> tuple[FloatArray | None, float]:
    """Influence of each row on the coefficients, and the degrees of freedom that go with it."""
    n, k = design.shape
    pull = design @ inverse * residuals[:, None]
    if task.clusters is not None:
        groups = int(task.clusters.max()) + 1
        return pull * np.sqrt(groups / (groups - 1) * (n - 1) / (n - k)), float(groups - 1)
    if not task.robust:
        return None, float(n - k)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    if (leverage > 1 - 1e-9).any():
        raise EstimationError(
            f"One row alone determines a coefficient of the equation of {task.effect!r} (leverage 1), so robust "
            "errors are not defined.",
            hint="Use se='standard', or leave out the cause that only one row has.",
        )
    return pull / (1 - leverage)[:, None], float(n - k)


def _curved(task: Task) -> Regression:
    """Logit, Poisson, negative binomial (NB2), by maximum likelihood; sandwich errors with n / (n - k)."""
    from statsmodels.tools.sm_exceptions import PerfectSeparationError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, family, dispersion = _generalised(task)
        except (PerfectSeparationError, np.linalg.LinAlgError):
            found = None
    converged = found is not None and bool(found.converged) and np.isfinite(found.params).all()
    if not converged or np.abs(np.asarray(found.params)[1:] * task.x.std(axis=0)).max(initial=0.0) > 25:
        raise EstimationError(
            f"The {task.family} equation of {task.effect!r} has no finite estimate: its causes separate the outcomes "
            "(almost) perfectly.",
            hint="Merge rare outcomes, use fewer causes, or collect more units.",
        )
    n, k = task.design.shape
    influence = None
    if task.clusters is not None or task.robust:
        hessian = np.asarray(found.model.hessian(found.params))
        influence = np.asarray(found.model.score_obs(found.params)) @ np.linalg.inv(-hessian)
        groups = n if task.clusters is None else int(task.clusters.max()) + 1
        factor = n / (n - k) if task.clusters is None else groups / (groups - 1) * (n - 1) / (n - k)
        influence = influence * np.sqrt(factor)
    return Regression(
        coefficients=np.asarray(found.params),
        covariance=np.asarray(found.cov_params()),
        influence=influence,
        residuals=task.y - np.asarray(found.mu),
        df=float("inf"),
        family=family,
        dispersion=dispersion,
    )


def _generalised(task: Task) -> tuple[Any, str, float]:
    from statsmodels.genmod.families import Binomial, Poisson
    from statsmodels.genmod.generalized_linear_model import GLM

    family = Binomial() if task.family == "logit" else Poisson()
    found: Any = GLM(task.y, task.design, family=family, offset=task.offset).fit()
    if task.family != "poisson" or not _overdispersed(task.y, np.asarray(found.mu)):
        return found, task.family, float("nan")
    return _negative_binomial(task)


def _negative_binomial(task: Task) -> tuple[Any, str, float]:
    from statsmodels.discrete.discrete_model import NegativeBinomial as Joint
    from statsmodels.genmod.families import NegativeBinomial
    from statsmodels.genmod.generalized_linear_model import GLM

    joint: Any = Joint(task.y, task.design, offset=task.offset).fit(disp=0, maxiter=200)
    alpha = float(joint.params[-1])
    if not np.isfinite(alpha) or alpha <= 0:
        raise np.linalg.LinAlgError
    found: Any = GLM(task.y, task.design, family=NegativeBinomial(alpha=alpha), offset=task.offset).fit()
    return found, "negative binomial", alpha


def _overdispersed(y: FloatArray, mu: FloatArray) -> bool:
    """Test of overdispersion, Cameron & Trivedi (1990), doi 10.1016/0304-4076(90)90014-K; one-sided at 5 %."""
    z = ((y - mu) ** 2 - y) / mu
    slope = float((z * mu).sum() / (mu**2).sum())
    se = float(np.sqrt(((z - slope * mu) ** 2 * mu**2).sum()) / (mu**2).sum())
    return se > 0 and slope / se > 1.645
