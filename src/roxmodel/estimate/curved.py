"""Curved equations: logit for yes/no, Poisson or negative binomial for counts, by statsmodels."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Final

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.regression import Frame, Regression, Task, clusters_of, frame_of, least_squares
from roxmodel.types import FloatArray

__all__ = ["generalised", "regress"]

_EDGE = 1e-5  # fitted probabilities or counts nearer to 0 (or 1) than this are looked at for separation

# Counts are judged by their parameters: beside billions the last digits of a deviance are rounding, and no step leaves
# them within 1e-8.
_SETTLED: Final[dict[str, Any]] = {"tol_criterion": "params", "atol": 1e-9, "rtol": 1e-9}


def regress(task: Task) -> Regression:
    """Estimate one equation of any family.

    Raises
    ------
    EstimationError
        If one row alone determines a coefficient, causes separate the outcomes, or the iterations do not converge.
    """
    return least_squares(task) if task.family == "linear" else generalised(task)


def generalised(task: Task) -> Regression:
    """Logit, Poisson, negative binomial (NB2), by maximum likelihood; sandwich errors with n / (n - k).

    With clusters: the sandwich over clusters, tested by t with G - 1 degrees of freedom.

    Raises
    ------
    EstimationError
        If there is no finite estimate.
    """
    # Imported before warnings are silenced: on import statsmodels adds a filter of its own in front.
    import statsmodels.discrete.discrete_model
    import statsmodels.genmod.generalized_linear_model  # noqa: F401

    frame = frame_of(task.x)
    scaled = replace(task, x=frame.design[:, 1:])
    with warnings.catch_warnings():  # statsmodels computes lazily, so that every use of `found` may warn
        warnings.simplefilter("ignore")
        try:
            found, family, dispersion = _fitted(scaled)
        except np.linalg.LinAlgError:
            found, family, dispersion = None, task.family, float("nan")
        _check_finite(scaled, found)
        return Regression(
            coefficients=frame.back @ np.asarray(found.params),
            covariance=frame.back @ np.asarray(found.cov_params()) @ frame.back.T,
            influence=_influence(task, frame, found),
            lead=None,
            residuals=task.y - np.asarray(found.mu),
            partial_r2=np.full(task.x.shape[1], np.nan),
            df=float("inf") if task.clusters is None else float(task.clusters.max()),
            family=family,
            dispersion=dispersion,
        )


def _influence(task: Task, frame: Frame, found: Any) -> FloatArray | None:
    if task.clusters is None and not task.robust:
        return None
    n, k = frame.design.shape
    hessian = np.asarray(found.model.hessian(found.params))
    try:
        inverse = np.linalg.inv(-hessian)
    except np.linalg.LinAlgError:
        raise _not_converged(task) from None
    influence = np.asarray(found.model.score_obs(found.params)) @ inverse
    groups = n if task.clusters is None else clusters_of(task)
    factor = n / (n - k) if task.clusters is None else groups / (groups - 1) * (n - 1) / (n - k)
    return np.asarray(influence * np.sqrt(factor) @ frame.back.T)


def _fitted(task: Task) -> tuple[Any, str, float]:
    from statsmodels.genmod.families import Binomial, Poisson
    from statsmodels.genmod.generalized_linear_model import GLM

    design = _design(task)
    family = Binomial() if task.family == "logit" else Poisson()
    settled = {} if task.family == "logit" else _SETTLED
    found: Any = GLM(task.y, design, family=family, offset=task.offset).fit(**settled)
    if task.family == "logit" or not found.converged:
        return found, task.family, float("nan")
    alpha = _overdispersion(task.y, np.asarray(found.mu))
    return (found, task.family, float("nan")) if alpha is None else _negative_binomial(task, design, alpha)


def _design(task: Task) -> FloatArray:
    return np.column_stack([np.ones(len(task.y)), task.x])


def _negative_binomial(task: Task, design: FloatArray, start: float) -> tuple[Any, str, float]:
    """NB2 with alpha by maximum likelihood; where that does not converge, with the moment estimate `start`."""
    from statsmodels.discrete.discrete_model import NegativeBinomial as Joint
    from statsmodels.genmod.families import NegativeBinomial
    from statsmodels.genmod.generalized_linear_model import GLM

    alpha = start
    try:
        joint: Any = Joint(task.y, design, offset=task.offset).fit(disp=0, maxiter=200)
        likely = float(joint.params[-1])
        if joint.mle_retvals["converged"] and np.isfinite(likely) and likely > 0:
            alpha = likely
    except (np.linalg.LinAlgError, ValueError):
        pass
    found: Any = GLM(task.y, design, family=NegativeBinomial(alpha=alpha), offset=task.offset).fit(**_SETTLED)
    return found, "negative binomial", alpha


def _overdispersion(y: FloatArray, mu: FloatArray) -> float | None:
    """Alpha of variance = mu + alpha mu², or None where it is not above 0 (one-sided, 5 %).

    References
    ----------
    Cameron & Trivedi (1990), doi 10.1016/0304-4076(90)90014-K.
    """
    z = ((y - mu) ** 2 - y) / mu
    slope = float((z * mu).sum() / (mu**2).sum())
    se = float(np.sqrt(((z - slope * mu) ** 2 * mu**2).sum()) / (mu**2).sum())
    return slope if se > 0 and slope / se > 1.645 else None


def _check_finite(task: Task, found: Any) -> None:
    """Refuse iterations that ran away: separated outcomes have no finite maximum-likelihood estimate."""
    ended = found is not None and bool(found.converged) and bool(np.isfinite(found.params).all())
    if ended and not _at_edge(task, np.asarray(found.mu)):
        return
    if _separated(task):
        raise EstimationError(
            f"The {task.family} equation of {task.effect!r} has no finite estimate: its causes "
            f"{listed(task.causes)} separate the outcomes perfectly.",
            hint="Merge rare outcomes, use fewer causes, or collect more units.",
        )
    if not ended:
        raise _not_converged(task)


def _not_converged(task: Task) -> EstimationError:
    return EstimationError(
        f"The {task.family} equation of {task.effect!r} did not converge.",
        hint="Use fewer causes, or look for rows that lie far from all others.",
    )


def _at_edge(task: Task, mu: FloatArray) -> bool:
    """Whether some fitted value is so near to its bound that separation must be looked for."""
    return bool((mu < _EDGE).any() or (task.family == "logit" and (mu > 1 - _EDGE).any()))


def _separated(task: Task) -> bool:
    """Whether some combination of the causes separates zeros from the rest, by linear programming.

    References
    ----------
    Albert & Anderson (1984), doi 10.1093/biomet/71.1.1; Konis (2007), Linear programming algorithms for detecting
    separated data; Correia, Guimarães & Zylkin (2019), arXiv 1903.01633, for counts.
    """
    from scipy.optimize import linprog

    design = _design(task)
    if task.family == "logit":
        signed, level = design * np.where(task.y > 0.5, 1.0, -1.0)[:, None], design[:0]
    else:
        signed, level = -design[task.y == 0], design[task.y > 0]
    if len(signed) == 0:
        return False
    answer = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=level if len(level) else None,
        b_eq=np.zeros(len(level)) if len(level) else None,
        bounds=(-1, 1),
    )
    return answer.status == 0 and (answer.fun or 0.0) < -1e-6
