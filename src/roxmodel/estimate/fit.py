"""The one door: model and data in, fit out."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.estimate.bootstrap import resample
from roxmodel.estimate.closed_form import solve_moments
from roxmodel.estimate.path import Solution, check_recursive
from roxmodel.estimate.rows import solve_rows
from roxmodel.estimate.scores import Scores, scores_of_frame, scores_of_moments, scores_of_study
from roxmodel.estimate.tabulate import tabulate
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.fit import Fit
from roxmodel.result.records import Resampling
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, plan
from roxmodel.survey.study import Study
from roxmodel.types import Method, StandardErrors

__all__ = ["fit"]

_METHODS = ("path", "sem", "linked")


@dataclass(frozen=True, slots=True)
class _Errors:
    """How uncertainty is to be found."""

    se: StandardErrors
    replicates: int
    seed: int | None
    progress: bool | None


def fit(  # noqa: PLR0913 - the contract of DESIGN.md
    model: RoxModel,
    data: object,
    *,
    method: Method | None = None,
    estimator: Literal["ML", "MLR", "DWLS"] = "ML",
    missing: Literal["listwise", "fiml"] = "listwise",
    se: StandardErrors | None = None,
    bootstrap: int = 0,
    group: str | None = None,
    cluster: str | None = None,
    within: Literal["pooled", "saturated", "model"] = "pooled",
    seed: int | None = None,
    progress: bool | None = None,
) -> Fit:
    """Estimate the edges of a model.

    Parameters
    ----------
    model
        What causes what.
    data
        A `Study` (units linked), a frame with all items of a person in one row, or `Moments` (a printed matrix).
    method
        ``"path"``: composites, one regression for each effect. ``"sem"`` and ``"linked"`` are not in this version
        and are refused. None = the best method that stands for these data: ``"path"``.
    estimator, group, within
        Of the methods ``"sem"`` and ``"linked"``; refused by ``"path"`` unless left at their defaults.
    missing
        ``"listwise"``: each equation uses the rows that are complete for it (n is shown). ``"fiml"`` is refused by
        ``"path"``.
    se
        ``"standard"`` (classical), ``"robust"`` (HC3; sandwich for curved equations), ``"bootstrap"`` (by unit, row
        or cluster; percentile intervals). None = robust with rows, standard from moments.
    bootstrap
        Number of replicates; 0 = none unless ``se="bootstrap"``, which then takes 2,000.
    cluster
        Column whose values group rows (of the frame, or of the study's unit frame): errors are clustered, whatever
        `se` says, and the bootstrap draws clusters.
    seed
        Of the bootstrap; equal seeds give equal replicates.
    progress
        Progress bar on long work: True, False, None = where someone watches.

    Returns
    -------
    Fit

    Raises
    ------
    EstimationError
        If there are fewer rows than parameters, causes that cannot be told apart, a loop or a confounded edge.
    RoxError
        For an option that the method does not have.

    Examples
    --------
    >>> from roxmodel.spec.five_factor import five_factor
    >>> moments = Moments.from_correlation(["pride", "loyalty"], [[1, 0.4], [0.4, 1]], n=100)
    >>> model = five_factor({"pride": ["pride"], "outcomes": ["loyalty"]})
    >>> found = fit(model, moments, method="path").edges()
    >>> round(float(found["estimate"][0]), 3), round(float(found["se"][0]), 3)
    (0.4, 0.093)
    """
    if not isinstance(model, RoxModel):
        raise RoxError(f"model= was a {type(model).__name__}.", allowed="rox.RoxModel", hint="Say fit(model, data).")
    _check_method(method)
    _refuse_foreign({"estimator": (estimator, "ML"), "missing": (missing, "listwise"), "group": (group, None)})
    _refuse_foreign({"within": (within, "pooled")})
    errors = _errors(data, se, bootstrap, seed, progress)
    scores = _scores(model, data, cluster)
    table = plan(model, "composite", means=scores.values is not None or scores.mean is not None)
    check_recursive(model, table)
    solution, resampling = _solve(model, table, scores, errors)
    return tabulate(model, table, scores, solution, (errors.se, resampling))


def _check_method(method: str | None) -> None:
    if method is None or method == "path":
        return
    if method in _METHODS:
        raise EstimationError(
            f"method={method!r} is not in this version.", hint="Use method='path', the regression of composites."
        )
    raise RoxError(f"method= was {method!r}.", hint=did_you_mean(str(method), _METHODS))


def _refuse_foreign(options: Mapping[str, tuple[object, object]]) -> None:
    for name, (given, default) in options.items():
        if given != default:
            raise RoxError(
                f"{name}={given!r} is not an option of method='path'.",
                hint=f"Leave {name}= out; it belongs to the methods 'sem' and 'linked'.",
            )


def _errors(
    data: object, se: StandardErrors | None, bootstrap: int, seed: int | None, progress: bool | None
) -> _Errors:
    if se not in {None, "standard", "robust", "bootstrap"}:
        raise RoxError(f"se= was {se!r}.", allowed="'standard', 'robust' or 'bootstrap'")
    replicates = _whole("bootstrap", bootstrap, "a whole number of replicates, 0 for none")
    start = None if seed is None else _whole("seed", seed, "None or a whole number of at least 0")
    if isinstance(data, Moments) and (se in {"robust", "bootstrap"} or replicates):
        raise RoxError("A printed matrix has no rows, so only classical errors exist.", hint="Leave se= out.")
    if replicates and se not in {None, "bootstrap"}:
        raise RoxError(f"bootstrap={replicates} and se={se!r} contradict each other.", hint="Say se='bootstrap'.")
    if replicates == 1:
        raise RoxError("bootstrap=1 gives no standard error.", allowed="at least 2 replicates, better 2,000")
    if se == "bootstrap" or replicates:
        return _Errors("bootstrap", replicates or 2_000, start, progress)
    return _Errors(se or ("standard" if isinstance(data, Moments) else "robust"), 0, start, progress)


def _whole(name: str, given: object, allowed: str) -> int:
    try:
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0 or isinstance(given, bool):
        raise RoxError(f"{name}= was {given!r}.", allowed=allowed)
    return value


def _scores(model: RoxModel, data: object, cluster: str | None) -> Scores:
    if isinstance(data, Study):
        return scores_of_study(model, data, cluster)
    if isinstance(data, Moments):
        if cluster is not None:
            raise RoxError(f"cluster={cluster!r}: a printed matrix has no rows to cluster.", hint="Leave cluster= out.")
        return scores_of_moments(model, data)
    if isinstance(data, LinkedMoments):
        raise RoxError("Linked moments belong to method='linked', which is not in this version.", hint="Give a Study.")
    return scores_of_frame(model, data, cluster)


def _solve(
    model: RoxModel, table: ParameterTable, scores: Scores, errors: _Errors
) -> tuple[Solution, Resampling | None]:
    if scores.values is None:
        return solve_moments(model, table, scores), None
    solution = solve_rows(model, table, scores, robust=errors.se == "robust")
    if not errors.replicates:
        return solution, None
    return solution, resample(model, table, scores, errors.replicates, errors.seed, errors.progress)
