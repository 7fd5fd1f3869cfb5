"""The one door: model and data in, fit out."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from roxmodel.doubts import new_doubts, warn_doubts
from roxmodel.errors import RoxError, did_you_mean
from roxmodel.estimate.bootstrap import resample
from roxmodel.estimate.closed_form import solve_moments
from roxmodel.estimate.latent.door import Asked, fit_linked, fit_sem
from roxmodel.estimate.latent.row_options import Estimator, Information, Invariance
from roxmodel.estimate.latent.unit_options import LinkedOptions, WithinLevel
from roxmodel.estimate.path import Solution, check_recursive
from roxmodel.estimate.rows import solve_rows
from roxmodel.estimate.scores import Scores, scores_of_frame, scores_of_moments, scores_of_study
from roxmodel.estimate.tabulate import tabulate
from roxmodel.estimate.trust import collected, with_doubts
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.records import Resampling
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, plan
from roxmodel.survey.study import Study
from roxmodel.types import Method, Scaling, StandardErrors

__all__ = ["fit"]

_METHODS = ("path", "sem", "linked")
_MOST_REPLICATES = 1_000_000


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
    estimator: Estimator = "ML",
    missing: Literal["listwise", "fiml"] = "listwise",
    se: StandardErrors | None = None,
    bootstrap: int = 0,
    group: str | None = None,
    cluster: str | None = None,
    within: WithinLevel = "pooled",
    seed: int | None = None,
    progress: bool | None = None,
    weight: str | None = None,
    frequency: str | None = None,
    invariance: Invariance = "configural",
    equal: Sequence[str] = (),
    scaling: Scaling = "marker",
    information: Information | None = None,
    ordered: Sequence[str] | bool | None = None,
    means: bool = False,
) -> Fit:
    """Estimate the edges of a model.

    Parameters
    ----------
    model
        What causes what.
    data
        A `Study` (units linked), a frame with all items of a person in one row, or `Moments` (a printed matrix).
    method
        ``"linked"``: surveys of different people joined by their unit, latent constructs between units, the
        sampling error of the unit means in the likelihood. ``"sem"``: latent constructs, all answers of a person in
        one row. ``"path"``: composites, one regression for each effect. None = ``"linked"`` for a `Study` or
        `LinkedMoments`, ``"sem"`` for a frame or a matrix.
    estimator
        Of ``"sem"``: ``"ML"`` (maximum likelihood), ``"MLR"`` (the same estimates, sandwich errors, Yuan-Bentler
        scaled test), ``"MLM"`` (robust errors and test of Satorra & Bentler), ``"DWLS"`` (ordinal items: thresholds,
        polychoric correlations, robust errors, scaled-and-shifted test; also called ``"WLSMV"``).
    missing
        ``"listwise"``: rows that miss an answer are left out (``"path"``: equation by equation; n is shown).
        ``"fiml"``: all answers are used, missing at random (``"sem"`` only).
    se
        ``"standard"``, ``"robust"`` (``"path"``: HC3; ``"sem"``: Huber-White; ``"linked"``: sandwich by unit) or
        ``"bootstrap"`` (by row, unit or cluster; percentile intervals). None = robust with rows, standard from moments
        in ``"path"``; what the estimator stands for in ``"sem"`` and ``"linked"``.
    bootstrap
        Number of replicates; 0 = none unless ``se="bootstrap"``, which then takes 2,000.
    group
        Column whose values are groups, each with parameters of its own (``"sem"`` only).
    cluster
        Column whose values group rows (of the frame, or of the study's unit frame): errors are clustered, whatever
        `se` says, with t intervals (clusters - 1), and the bootstrap draws clusters.
    within
        Of the method ``"linked"``, where the covariance of answers within units comes from: ``"pooled"`` over units
        beforehand; ``"saturated"``: estimated with everything else by the likelihood of all answers (missing at
        random); ``"model"``: the same, with the graph's constructs and edges of each survey within units too.
    seed
        Of the bootstrap; equal seeds give equal replicates.
    progress
        Progress bar on long work: True, False, None = where someone watches.
    weight, frequency
        Columns (``"sem"`` only): sampling weights, whose scale does not matter and which ask for robust errors; or
        counts of identical rows.
    invariance
        With `group`: ``"configural"`` (nothing is equal over groups), ``"metric"`` (loadings are), ``"scalar"``
        (intercepts too; latent means are then free in all groups but the first). With equal loadings a variance that
        only gives a construct its unit is fixed in the first group and free in the others.
    equal
        What else is equal over groups: ``"loadings"``, ``"intercepts"``, ``"residuals"``, ``"edges"``.
    scaling
        (``"sem"``, ``"linked"``) Unit of a latent construct: ``"marker"`` (its first item's) or ``"standardized"``
        (variance 1, of what causes leave; a construct whose loading or variance the model fixes keeps that unit, said
        in the notes).
    information
        (``"sem"``, ``"linked"``) ``"expected"`` or ``"observed"``; None = expected for complete data and normal theory
        of ``"sem"``, else observed.
    ordered
        With ``"DWLS"``: names of the ordinal items, True for all; None = those whose scale is `Likert` or `Binary`.
        Covariates that the model gives (``exogenous="fixed"``) are none of them: the ordinal items are conditioned on
        these, whose answers count as numbers.
    means
        Whether item means are parameters where nothing asks for it (groups and missing answers do).

    Returns
    -------
    Fit

    Raises
    ------
    EstimationError
        If there are fewer rows than parameters, causes that cannot be told apart, a model that is not identified; with
        ``"path"`` also for a loop or a confounded edge.
    RoxError
        For an option that the method does not have.

    Warns
    -----
    RoxWarning
        Once, if something in frames or moments given to `fit` itself may not be what it seems (a `Study` has warned
        already); all of it stands in ``fit.doubts``.

    Examples
    --------
    >>> from roxmodel.spec.graph import five_factor
    >>> moments = Moments.from_correlation(["pride", "loyalty"], [[1, 0.4], [0.4, 1]], n=100)
    >>> model = five_factor({"pride": ["pride"], "outcomes": ["loyalty"]})
    >>> found = fit(model, moments, method="path").edges()
    >>> round(float(found["estimate"][0]), 3), round(float(found["se"][0]), 3)
    (0.4, 0.093)
    """
    if not isinstance(model, RoxModel):
        raise RoxError(f"model= was a {type(model).__name__}.", allowed="rox.RoxModel", hint="Say fit(model, data).")
    chosen = _method(method, data)
    equal = _kinds(equal)
    foreign: dict[str, tuple[object, object]] = {"within": (within, "pooled")}
    own: dict[str, tuple[object, object]] = {
        "estimator": (estimator, "ML"), "missing": (missing, "listwise"), "group": (group, None),
        "weight": (weight, None), "frequency": (frequency, None), "invariance": (invariance, "configural"),
        "equal": (tuple(equal), ()), "scaling": (scaling, "marker"), "information": (information, None),
        "ordered": (ordered, None), "means": (means, False),
    }  # fmt: skip
    columns = {"group": group, "cluster": cluster, "weight": weight, "frequency": frequency}
    if chosen == "linked":
        options = _linked_options(own, (se, bootstrap, cluster, within, seed, progress))
        return _said(with_doubts(model, data, fit_linked(model, data, options), columns), data)
    _refuse_foreign(chosen, foreign if chosen == "sem" else foreign | own)
    errors = _errors(data, se, bootstrap, seed, progress)
    if chosen == "sem":
        asked = Asked(
            estimator, missing, se, errors.replicates, group, invariance, tuple(equal), cluster, weight, frequency,
            information, scaling, ordered, means, errors.seed, progress,
        )  # fmt: skip
        data = collected(model, data, columns)
        return _said(with_doubts(model, data, fit_sem(model, data, asked), columns), data)
    data = collected(model, data, columns)
    scores = _scores(model, data, cluster)
    table = plan(model, "composite", means=scores.values is not None or scores.mean is not None)
    check_recursive(model, table)
    solution, resampling = _solve(model, table, scores, errors)
    found = tabulate(model, table, scores, solution, (errors.se, resampling))
    return _said(with_doubts(model, data, found, columns, scores.within), data)


def _said(found: Fit, data: object) -> Fit:
    """Warn of doubts that no study has warned of yet; called by `fit` itself, so that the warning is at its caller."""
    known = data.doubts if isinstance(data, Study) else ()
    warn_doubts("fit", new_doubts(found.doubts, known), stacklevel=3)
    return found


def _linked_options(
    own: Mapping[str, tuple[object, object]],
    rest: tuple[StandardErrors | None, int, str | None, WithinLevel, int | None, bool | None],
) -> LinkedOptions:
    se, bootstrap, cluster, within, seed, progress = rest
    estimator, information = own["estimator"][0], own["information"][0]
    if estimator not in ("ML", "MLR"):
        raise RoxError(
            f"estimator={estimator!r} is not an option of method='linked'.", allowed="'ML' or 'MLR' (sandwich by unit)"
        )
    if own["missing"][0] not in ("listwise", "fiml"):
        raise RoxError(
            f"missing={own['missing'][0]!r} is not an option of method='linked'.", hint="Leave missing= out."
        )
    if own["missing"][0] == "fiml":
        raise RoxError(
            "missing='fiml' is an option of method='sem'; method='linked' uses all answers anyway.",
            hint="Say within='saturated' for the likelihood of all answers, which assumes missing at random.",
        )
    if information not in (None, "expected", "observed"):
        raise RoxError(f"information= was {information!r}.", allowed="'expected', 'observed' or None")
    shared = {"estimator", "missing", "information", "scaling"}
    for name in ("weight", "frequency"):
        if own[name][0] is not None:
            raise RoxError(f"{name}= belongs to the Study, which counts the answers.", hint=f"rox.Study(..., {name}=).")
    _refuse_foreign("linked", {name: pair for name, pair in own.items() if name not in shared})
    scaling = own["scaling"][0]
    if scaling not in get_args(Scaling):
        raise RoxError(f"scaling= was {scaling!r}.", hint=did_you_mean(str(scaling), get_args(Scaling)))
    if estimator == "MLR" and se == "standard":
        raise RoxError("estimator='MLR' and se='standard' contradict each other.", hint="Leave one of them out.")
    if se is None and not bootstrap:
        se = "robust" if estimator == "MLR" else "standard"
    errors = _errors(None, se, bootstrap, seed, progress)
    return LinkedOptions(
        errors.se, errors.replicates, within, cluster, information != "expected", cast(Scaling, scaling), errors.seed,
        progress,
    )  # fmt: skip


def _method(method: str | None, data: object) -> Method:
    if method is None:
        return "linked" if isinstance(data, Study | LinkedMoments) else "sem"
    if method not in _METHODS:
        raise RoxError(f"method= was {method!r}.", hint=did_you_mean(str(method), _METHODS))
    if method == "sem" and isinstance(data, Study | LinkedMoments):
        raise RoxError(
            "method='sem' needs all items of a person in one row, but a Study holds different people.",
            hint="Give one frame, or use method='linked' or 'path'.",
        )
    return cast(Method, method)


def _refuse_foreign(method: str, options: Mapping[str, tuple[object, object]]) -> None:
    for name, (given, default) in options.items():
        if given != default:
            both = "'sem' or 'linked'" if name in {"scaling", "information"} and method == "path" else "'sem'"
            belongs = "'linked'" if name == "within" else both
            raise RoxError(
                f"{name}={given!r} is not an option of method={method!r}.",
                hint=f"Leave {name}= out; it belongs to method {belongs}.",
            )


def _kinds(equal: object) -> tuple[str, ...]:
    """Kinds of parameters from one name, a sequence of names, or nothing."""
    if equal is None or isinstance(equal, str):
        return () if not equal else (equal,)
    if not isinstance(equal, Iterable):
        raise RoxError(f"equal= was {equal!r}.", allowed="names such as 'loadings', 'edges'")
    return tuple(equal)


def _errors(
    data: object, se: StandardErrors | None, bootstrap: int, seed: int | None, progress: bool | None
) -> _Errors:
    if se not in (None, "standard", "robust", "bootstrap"):
        raise RoxError(f"se= was {se!r}.", allowed="'standard', 'robust' or 'bootstrap'")
    replicates = _whole("bootstrap", bootstrap, "a whole number of replicates, 0 for none")
    start = None if seed is None else _whole("seed", seed, "None or a whole number of at least 0")
    if isinstance(data, Moments) and (se in {"robust", "bootstrap"} or replicates):
        raise RoxError("A printed matrix has no rows, so only classical errors exist.", hint="Leave se= out.")
    if replicates and se not in {None, "bootstrap"}:
        raise RoxError(f"bootstrap={replicates} and se={se!r} contradict each other.", hint="Say se='bootstrap'.")
    if replicates > _MOST_REPLICATES:
        raise RoxError(
            f"bootstrap={replicates:,} replicates are more than any error needs.",
            allowed=f"at most {_MOST_REPLICATES:,}, better 2,000",
        )
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
        raise RoxError("Linked moments belong to method='linked'.", hint="Give a Study, or use method='linked'.")
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
