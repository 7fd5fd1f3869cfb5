"""The one door: model and data in, fit out; and the table of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from roxmodel.doubts import new_doubts, warn_doubts
from roxmodel.errors import RoxError, did_you_mean
from roxmodel.estimate.latent.door import fit_linked, fit_sem
from roxmodel.estimate.options import (
    Estimator,
    Information,
    InvarianceLevels,
    LinkedOptions,
    PathOptions,
    SemOptions,
    WithinLevel,
    keywords_of,
    kinds_of,
)
from roxmodel.estimate.path.path_fit import fit_path
from roxmodel.estimate.trust import collected, with_doubts
from roxmodel.moments.linked import LinkedMoments
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.study import Study
from roxmodel.types import Method, Scaling, StandardErrors

__all__ = ["METHODS", "Estimation", "fit"]


@dataclass(frozen=True, slots=True)
class Estimation:
    """A method of estimation: its options, its door, whether it reads one frame, and what it is for."""

    options: type[PathOptions | SemOptions | LinkedOptions]
    door: Callable[[RoxModel, Any, Any], Fit]
    frames: bool
    what: str


METHODS: Final[Mapping[Method, Estimation]] = {
    "path": Estimation(PathOptions, fit_path, True, "composites, one regression for each effect"),
    "sem": Estimation(SemOptions, fit_sem, True, "latent constructs, all answers of a person in one row"),
    "linked": Estimation(
        LinkedOptions, fit_linked, False, "latent constructs between units, surveys of different people joined by unit"
    ),
}


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
    invariance: InvarianceLevels = "configural",
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
    given = {name: value for name, value in locals().items() if name not in {"model", "data", "method"}}
    given["equal"] = kinds_of(equal)
    if not isinstance(model, RoxModel):
        raise RoxError(f"model= was a {type(model).__name__}.", allowed="rox.RoxModel", hint="Say fit(model, data).")
    chosen = _method(method, data)
    way = METHODS[chosen]
    options = way.options.of(_own(chosen, given), data)
    columns = {name: given[name] for name in ("group", "cluster", "weight", "frequency")}
    if way.frames:
        data = collected(model, data, columns)
    found = with_doubts(model, data, way.door(model, data, options), columns)
    known = data.doubts if isinstance(data, Study) else ()
    warn_doubts("fit", new_doubts(found.doubts, known), stacklevel=2)
    return found


def _method(method: str | None, data: object) -> Method:
    if method is None:
        return "linked" if isinstance(data, Study | LinkedMoments) else "sem"
    if method not in tuple(METHODS):
        raise RoxError(f"method= was {method!r}.", hint=did_you_mean(str(method), tuple(METHODS)))
    if method == "sem" and isinstance(data, Study | LinkedMoments):
        raise RoxError(
            "method='sem' needs all items of a person in one row, but a Study holds different people.",
            hint="Give one frame, or use method='linked' or 'path'.",
        )
    return method


def _own(method: Method, given: Mapping[str, object]) -> dict[str, object]:
    """The keywords that the method understands; the others must have been left out."""
    known = keywords_of(METHODS[method].options)
    for name, value in given.items():
        owners = {own: keywords_of(way.options, lent=False) for own, way in METHODS.items()}
        owners = {own: keywords for own, keywords in owners.items() if name in keywords}
        if name not in known and value != next(iter(owners.values()))[name]:
            raise RoxError(
                f"{name}={value!r} is not an option of method={method!r}.",
                hint=f"Leave {name}= out; it belongs to method {' or '.join(map(repr, owners))}.",
            )
    return {name: given[name] for name in known}
