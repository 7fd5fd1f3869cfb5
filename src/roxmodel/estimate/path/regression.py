"""One equation at a time: least squares, or a generalised linear model by statsmodels, with its influence.

The influence of a row on the coefficients is kept, so that the errors of all equations together are one sandwich.
Causes are centred and scaled for the computation only, so that euros beside points lose no digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "Computed", "Regression", "Task", "check_task", "computed", "generalised", "least_squares", "normal_theory",
    "regress", "replicated", "solved", "variance_inflation",
]  # fmt: skip

_INSEPARABLE = 1e-8
_INSEPARABLE_SUMS = 1e-9  # smallest eigenvalue of a replicate's scaled normal equations
_ROUNDING = 64 * float(np.finfo(np.float64).eps)  # relative; differences below it are no differences
_EDGE = 1e-5  # fitted probabilities or counts nearer to 0 (or 1) than this are looked at for separation

# Counts are judged by their parameters: beside billions the last digits of a deviance are rounding, and no step leaves
# them within 1e-8.
_SETTLED: Final[dict[str, Any]] = {"tol_criterion": "params", "atol": 1e-9, "rtol": 1e-9}


@dataclass(frozen=True, slots=True)
class Task:
    """What is regressed on what."""

    effect: str
    causes: tuple[str, ...]
    y: FloatArray  # (n,) the effect, less what fixed edges explain (linear equations)
    x: FloatArray  # (n, p)
    offset: FloatArray  # (n,) what fixed edges add to the predictor (curved), or have taken from y
    clusters: IntArray | None  # (n,) 0…G-1
    family: str  # linear, logit, poisson or negative binomial
    robust: bool  # whether errors are heteroscedasticity-consistent (ignored with clusters)
    one: FloatArray | None = None  # (n,) the constant, if not 1: its squares add up to the rows behind a printed matrix

    @property
    def n(self) -> int:
        """How many rows there are, or stand behind a printed matrix."""
        return len(self.y) if self.one is None else round(float(self.one @ self.one))


@dataclass(frozen=True, slots=True)
class Regression:
    """What came out; intercept first."""

    coefficients: FloatArray  # (1 + p,)
    covariance: FloatArray  # (1 + p, 1 + p) classical, used where `influence` is None
    influence: FloatArray | None  # (n, 1 + p): covariance = influenceᵀ influence, summed over clusters; None: classical
    lead: FloatArray | None  # (n, 1 + p): coefficients = leadᵀ y; None: curved
    residuals: FloatArray  # (n,) on the response scale
    partial_r2: FloatArray  # (p,) share of what the other causes leave that each explains, 0-1; curved: NaN
    df: float  # of t tests, infinite for the normal
    family: str = "linear"  # as estimated: a Poisson that is overdispersed becomes a negative binomial
    dispersion: float = float("nan")


@dataclass(frozen=True, slots=True)
class Computed:
    """Causes in computing units, and the way back.

    `design` is (n, 1 + p): the constant, and causes of mean 0 and standard deviation 1; raw coefficients are
    `back` (1 + p, 1 + p) times those of `design`.
    """

    design: FloatArray
    back: FloatArray


def computed(x: FloatArray, one: FloatArray | None = None) -> Computed:
    """Centre and scale causes, (n, p); `one` as in `Task`."""
    if one is None:
        one, centre, scale = np.ones(len(x)), x.mean(axis=0), x.std(axis=0)
    else:
        centre = one @ x / (one @ one)
        scale = np.sqrt(((x - np.outer(one, centre)) ** 2).sum(axis=0) / (one @ one))
    scale = np.where(scale > 0, scale, 1.0)
    back = np.diag(np.concatenate([[1.0], 1.0 / scale]))
    back[0, 1:] = -centre / scale
    return Computed(np.column_stack([one, (x - one[:, None] * centre) / scale]), back)


def solved(inner: FloatArray, outer: FloatArray, least: float = _INSEPARABLE_SUMS) -> FloatArray:
    """Solve normal equations, (R, k, k) and (R, k, m), scaled to a diagonal of 1.

    NaN where their smallest eigenvalue is below `least`: there causes cannot be told apart.
    """
    k = inner.shape[-1]
    scale = np.sqrt(np.einsum("rii->ri", inner))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = inner / (scale[:, :, None] * scale[:, None, :])
    bad = ~np.isfinite(scaled).all(axis=(1, 2))
    scaled[bad] = np.eye(k)
    bad |= np.linalg.eigvalsh(scaled)[:, 0] < least
    scaled[bad] = np.eye(k)
    safe = np.where(scale > 0, scale, 1.0)[:, :, None]
    found = np.linalg.solve(scaled, outer / safe) / safe
    found[bad] = np.nan
    return np.asarray(found)


def check_task(task: Task, rows: str) -> None:
    """Refuse an equation that cannot be estimated, naming why; `rows` is what a row is (``units`` or ``rows``)."""
    p = len(task.causes)
    if task.one is not None:
        _check_matrix(task)
        return
    if task.n <= p + 2:
        raise EstimationError(
            f"The equation of {task.effect!r} has {p} cause(s), an intercept and a residual variance, but only "
            f"{task.n} {rows} with complete data.",
            hint=f"Collect more {rows}, or give {task.effect!r} fewer causes.",
        )
    for name, column in zip((task.effect, *task.causes), (task.y, *task.x.T), strict=True):
        if np.ptp(column) <= _ROUNDING * np.abs(column).max():
            raise EstimationError(
                f"{name!r} is constant ({column[0]:g}) in the {task.n} complete {rows} of the equation of "
                f"{task.effect!r}.",
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


def _check_matrix(task: Task) -> None:
    p = len(task.causes)
    if task.n <= p + 2:
        raise EstimationError(
            f"The equation of {task.effect!r} has {p} cause(s), an intercept and a residual variance, but "
            f"n = {task.n}.",
            hint=f"Give {task.effect!r} fewer causes.",
        )
    z = computed(task.x, task.one).design[:, 1:]
    if p and np.linalg.eigvalsh(z.T @ z / task.n)[0] < _INSEPARABLE:
        raise EstimationError(
            f"The causes {listed(task.causes)} of {task.effect!r} cannot be told apart.", hint="Leave one out."
        )


def variance_inflation(x: FloatArray) -> FloatArray:
    """(p,) variance inflation factors, 1 / (1 - R²) of each cause on the others; infinite if inseparable.

    >>> variance_inflation(np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0], [4.0, 2.0]])).round(2).tolist()
    [5.0, 5.0]
    """
    n, p = x.shape
    if p < 2:
        return np.ones(p)
    z = computed(x).design[:, 1:]
    found = np.empty(p)
    for place in range(p):
        others = np.delete(z, place, axis=1)
        fitted = others @ np.linalg.lstsq(others, z[:, place], rcond=None)[0]
        rest = float(((z[:, place] - fitted) ** 2).sum()) / n
        found[place] = 1 / rest if rest > 1e-14 else np.inf
    return found


def regress(task: Task) -> Regression:
    """Estimate one equation of any family."""
    return least_squares(task) if task.family == "linear" else generalised(task)


def least_squares(task: Task) -> Regression:
    """Ordinary least squares; HC3 (MacKinnon & White 1985, doi 10.1016/0304-4076(85)90158-7) if robust."""
    frame = computed(task.x, task.one)
    design, one = frame.design, frame.design[:, 0]
    middle = float(one @ task.y / (one @ one))
    y = task.y - middle * one
    inner = (design.T @ design)[None]
    found = solved(inner, np.column_stack([design.T @ y, np.eye(design.shape[1])])[None], 0.0)[0]
    slopes, inverse = found[:, 0], found[:, 1:]
    slopes = slopes + solved(inner, (design.T @ (y - design @ slopes))[None, :, None], 0.0)[0, :, 0]  # of rounding
    residuals = y - design @ slopes
    left = float(residuals @ residuals)
    _refuse_determined(task, left)
    influence, df = _pulls(task, design, residuals, inverse)
    coefficients = frame.back @ slopes
    coefficients[0] += middle
    explained = slopes[1:] ** 2 / np.diag(inverse)[1:]
    return Regression(
        coefficients=coefficients,
        covariance=left / (task.n - len(slopes)) * (frame.back @ inverse @ frame.back.T),
        influence=None if influence is None else influence @ frame.back.T,
        lead=design @ inverse @ frame.back.T,
        residuals=residuals,
        partial_r2=explained / (explained + left),
        df=df,
    )


def _refuse_determined(task: Task, left: float) -> None:
    """Refuse an equation without residuals: a standard error of 0 would be rounding, not knowledge."""
    one = np.ones(len(task.y)) if task.one is None else task.one
    total, whole = (float(((y - one * (one @ y / task.n)) ** 2).sum()) for y in (task.y, task.y + task.offset))
    rounding = len(task.y) * (_ROUNDING * float(np.abs(task.y).max())) ** 2
    if left <= (max(1e-20 * total, rounding) if task.one is None else 1e-13 * max(total, whole)):
        of = f" {listed(task.causes)}" if task.one is None else ""
        raise EstimationError(
            f"{task.effect!r} is fully determined by its causes{of}: nothing is left to explain.",
            hint="Leave out the cause that is computed from it.",
        )


def _pulls(
    task: Task, design: FloatArray, residuals: FloatArray, inverse: FloatArray
) -> tuple[FloatArray | None, float]:
    """Influence of each row on the coefficients, and the degrees of freedom that go with it."""
    n, k = task.n, design.shape[1]
    if task.clusters is None and not task.robust:
        return None, float(n - k)
    pull = design @ inverse * residuals[:, None]
    if task.clusters is not None:
        groups = _clusters_of(task)
        return pull * np.sqrt(groups / (groups - 1) * (n - 1) / (n - k)), float(groups - 1)
    leverage = (design @ inverse * design).sum(axis=1)
    if (leverage > 1 - 1e-9).any():
        raise EstimationError(
            f"One row alone determines a coefficient of the equation of {task.effect!r} (leverage 1), so robust "
            "errors are not defined.",
            hint="Use se='standard', or leave out the cause that only one row has.",
        )
    return pull / (1 - leverage)[:, None], float(n - k)


def _clusters_of(task: Task) -> int:
    """Number of clusters, refused where they are no more than the coefficients: the errors would collapse to 0."""
    groups, k = len(np.unique(np.asarray(task.clusters))), task.x.shape[1] + 1
    if groups <= k:
        raise EstimationError(
            f"The equation of {task.effect!r} has {k} coefficients, but its complete rows are in {groups} cluster(s) "
            "only, so that clustered errors are not defined.",
            hint="Leave cluster= out, use fewer causes, or collect more clusters.",
        )
    return groups


# --- curved: logit for yes/no, Poisson or negative binomial for counts


def generalised(task: Task) -> Regression:
    """Logit, Poisson, negative binomial (NB2), by maximum likelihood; sandwich errors with n / (n - k).

    With clusters: the sandwich over clusters, tested by t with G - 1 degrees of freedom.
    """
    # Imported before warnings are silenced: on import statsmodels adds a filter of its own in front.
    import statsmodels.discrete.discrete_model
    import statsmodels.genmod.generalized_linear_model  # noqa: F401

    frame = computed(task.x)
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


def _influence(task: Task, frame: Computed, found: Any) -> FloatArray | None:
    if task.clusters is None and not task.robust:
        return None
    n, k = frame.design.shape
    hessian = np.asarray(found.model.hessian(found.params))
    try:
        inverse = np.linalg.inv(-hessian)
    except np.linalg.LinAlgError:
        raise _not_converged(task) from None
    influence = np.asarray(found.model.score_obs(found.params)) @ inverse
    groups = n if task.clusters is None else _clusters_of(task)
    factor = n / (n - k) if task.clusters is None else groups / (groups - 1) * (n - 1) / (n - k)
    return np.asarray(influence * np.sqrt(factor) @ frame.back.T)


class _Curve(NamedTuple):
    """A fitted model of statsmodels, its family, and the alpha of a negative binomial."""

    found: Any
    family: str
    dispersion: float = float("nan")


def _fitted(task: Task) -> _Curve:
    from statsmodels.genmod.families import Binomial, Poisson
    from statsmodels.genmod.generalized_linear_model import GLM

    design = _design(task)
    family = Binomial() if task.family == "logit" else Poisson()
    settled = {} if task.family == "logit" else _SETTLED
    found: Any = GLM(task.y, design, family=family, offset=task.offset).fit(**settled)
    if task.family == "logit" or not found.converged:
        return _Curve(found, task.family)
    alpha = _overdispersion(task.y, np.asarray(found.mu))
    return _Curve(found, task.family) if alpha is None else _negative_binomial(task, design, alpha)


def _design(task: Task) -> FloatArray:
    return np.column_stack([np.ones(len(task.y)), task.x])


def _negative_binomial(task: Task, design: FloatArray, start: float) -> _Curve:
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
    return _Curve(found, "negative binomial", alpha)


def _overdispersion(y: FloatArray, mu: FloatArray) -> float | None:
    """Alpha of variance = mu + alpha mu², or None where it is not above 0 (one-sided, 5 %).

    Cameron & Trivedi (1990), doi 10.1016/0304-4076(90)90014-K.
    """
    z = ((y - mu) ** 2 - y) / mu
    slope = float((z * mu).sum() / (mu**2).sum())
    se = float(np.sqrt(((z - slope * mu) ** 2 * mu**2).sum()) / (mu**2).sum())
    return slope if se > 0 and slope / se > 1.645 else None


def _check_finite(task: Task, found: Any) -> None:
    """Refuse iterations that ran away: separated outcomes have no finite maximum-likelihood estimate."""
    ended = found is not None and bool(found.converged) and bool(np.isfinite(found.params).all())
    if ended:
        mu = np.asarray(found.mu)  # where one is near its bound, separation must be looked for
        if not ((mu < _EDGE).any() or (task.family == "logit" and (mu > 1 - _EDGE).any())):
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


def _separated(task: Task) -> bool:
    """Whether some combination of the causes separates zeros from the rest, by linear programming.

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


# --- replicates of the bootstrap, and what classical errors rest on


def replicated(task: Task, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(R, 1 + p) coefficients and (R, n) residuals of the equation when its rows count `weights` (R, n) times.

    Least squares for all replicates at once; a curved equation one by one, each row as often as it was drawn. NaN where
    a replicate cannot be estimated.
    """
    if task.family == "linear":
        frame, middle = computed(task.x), float(task.y.mean())
        n, k = frame.design.shape
        products = (frame.design[:, :, None] * frame.design[:, None, :]).reshape(n, k * k)
        inner = (weights @ products).reshape(-1, k, k)
        outer = weights @ (frame.design * (task.y - middle)[:, None])
        slopes = solved(inner, outer[:, :, None])[:, :, 0]
        coefficients = slopes @ frame.back.T
        coefficients[:, 0] += middle
        return coefficients, (task.y - middle) - slopes @ frame.design.T
    coefficients, residuals = np.full((len(weights), len(task.causes) + 1), np.nan), np.full(weights.shape, np.nan)
    for place, weight in enumerate(weights):
        drawn = np.repeat(np.arange(len(weight)), weight.astype(np.int64))
        own = replace(task, y=task.y[drawn], x=task.x[drawn], offset=task.offset[drawn])
        try:
            check_task(own, "rows")
            found = generalised(own)
        except EstimationError:
            continue
        coefficients[place] = found.coefficients
        residuals[place] = 0.0
        residuals[place, drawn] = found.residuals
    return coefficients, residuals


def normal_theory(
    rows: Sequence[Parameter], places: Mapping[str, int], psi: FloatArray, shared: FloatArray
) -> FloatArray:
    """(r, r) covariance of means, variances and covariances of exogenous constructs and disturbances.

    cov(m_a, m_b) = ψ_ab s, cov(ψ_ab, ψ_cd) = (ψ_ac ψ_bd + ψ_ad ψ_bc) s, cov(m, ψ) = 0 (Anderson 2003, An introduction
    to multivariate statistical analysis, ch. 3); s `shared` (r, r): rows shared by two parameters over the product of
    their n, 1 / n for complete data.
    """
    a = np.array([places[row.left] for row in rows], dtype=np.int64)
    b = np.array([places[row.right] for row in rows], dtype=np.int64)
    second = np.array([row.kind != "intercept" for row in rows], dtype=bool)
    means = psi[np.ix_(a, a)]
    products = psi[np.ix_(a, a)] * psi[np.ix_(b, b)] + psi[np.ix_(a, b)] * psi[np.ix_(b, a)]
    both = np.outer(second, second)
    return np.where(both, products, np.where(np.outer(~second, ~second), means, 0.0)) * shared
