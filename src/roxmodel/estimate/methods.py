"""The one door: model and data in, fit out; and the table of methods.

What makes a fit doubtful: the study's doubts, and those of frames, matrices and moments given to the fit itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from roxmodel.doubts import Doubt, new_doubts, warn_doubts
from roxmodel.errors import RoxError, did_you_mean, listed
from roxmodel.estimate.checks.battery import judged
from roxmodel.estimate.checks.candidates import asked_of, with_score_tests
from roxmodel.estimate.checks.evidence import Estimated, Evidence
from roxmodel.estimate.checks.meaning import without_numbers
from roxmodel.estimate.latent.door import fit_linked, fit_sem
from roxmodel.estimate.method_guard import as_split, guarded_model, tendency_notes
from roxmodel.estimate.options import (
    Estimator,
    HeldEqual,
    Information,
    LinkedOptions,
    MethodGuard,
    PathOptions,
    SemOptions,
    WithinLevel,
    keywords_of,
    kinds_of,
)
from roxmodel.estimate.path.path_fit import fit_path
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.frames import collected
from roxmodel.survey.reading import frame_doubts
from roxmodel.survey.study import Study
from roxmodel.survey.suspect import reversed_by_covariance, reversed_in_moments
from roxmodel.types import FloatArray, Method, Scaling, StandardErrors

__all__ = ["METHODS", "Estimation", "fit"]


@dataclass(frozen=True, slots=True)
class Estimation:
    """A method of estimation: its options, its door, whether it reads one frame, and what it is for."""

    options: type[PathOptions | SemOptions | LinkedOptions]
    door: Callable[[RoxModel, Any, Any], Estimated]
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
    invariance: HeldEqual = "configural",
    equal: Sequence[str] = (),
    scaling: Scaling = "marker",
    information: Information | None = None,
    ordered: Sequence[str] | bool | None = None,
    means: bool = False,
    method_guard: MethodGuard | None = None,
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
    method_guard
        Where the same people answered cause and effect. ``"split"`` (a `Study` made of frames, ``"linked"`` or
        ``"path"``): within each unit people are dealt out at random to as many parts as the arrows of a survey ask for
        (two, where none joins three constructs in a ring), causes and effects come from different people, and estimates
        are medians over 20 such splits (`seed`), with errors of such medians: what single persons share joins no arrow
        (doi 10.1037/0021-9010.87.2.355). ``"factor"`` (``"linked"``, ``"sem"``): all items of a survey that holds cause
        and effect move together by one more variance, a tendency to answer high or low; the graph's absent arrows tell
        it from what constructs share (doi 10.1146/annurev-psych-120710-100452). None: neither.

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
    if not isinstance(model, RoxModel):
        raise RoxError(f"model= was a {type(model).__name__}.", allowed="rox.RoxModel", hint="Say fit(model, data).")
    chosen = _method(method, data)
    given["equal"] = kinds_of(equal)
    way = METHODS[chosen]
    options = way.options.of(_own(chosen, given), data)
    columns = {name: given[name] for name in ("group", "cluster", "weight", "frequency")}
    if way.frames:
        named = [column for column in columns.values() if isinstance(column, str)]
        data = collected(data, [*(item.name for item in model.items), *named])
    fitted = guarded_model(model, data, options)
    estimated = way.door(fitted, data, options)
    found = _with_doubts(fitted, data, estimated, columns)
    if method_guard == "split" and isinstance(data, Study) and not isinstance(options, SemOptions):
        found = as_split(found, estimated, data, options)
    notes = tendency_notes(found, method_guard)
    found = replace(found, notes=(*found.notes, *notes)) if notes else found
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


def _with_doubts(model: RoxModel, data: object, estimated: Estimated, columns: Mapping[str, str | None]) -> Fit:
    """The fit with what every check found (the study's doubts included), and with what its loadings say of the items.

    `columns` are those of the frame by option: group, cluster, weight, frequency.
    """
    asked = asked_of(estimated)
    fit = with_score_tests(estimated.fit, asked)
    known = (*fit.findings, *_left_behind(data, fit), *_doubts(model, data, fit, columns))
    evidence = Evidence(model, data, fit, estimated.solution, columns, asked)
    found = without_numbers(replace(fit, findings=judged(evidence, known)))
    notes = [*_assumed_counts(data), *_direction_notes(found)]
    return replace(found, notes=(*fit.notes, *notes)) if notes else found


def _left_behind(data: object, fit: Fit) -> tuple[Doubt, ...]:
    """Rows that a pickled study no longer has, where the method would use them."""
    if fit.method != "linked" or not isinstance(data, Study) or not data.left_behind:
        return ()
    finding = (
        f"This study came out of a pickle, which holds no rows: how answers of {listed(data.left_behind)} covary "
        "within units rests on sums by unit, so that the fit differs from that of the study as it was read."
    )
    return (Doubt("rows", "doubtful", finding, data.left_behind, "Build the Study from its frames again."),)


def _doubts(model: RoxModel, data: object, fit: Fit, columns: Mapping[str, str | None]) -> tuple[Doubt, ...]:
    if isinstance(data, Study):
        if model == data.model:
            return (*data.doubts, *data.remarks)
        kept = tuple(doubt for doubt in (*data.doubts, *data.remarks) if doubt.check != "reversed")
        return (*kept, *reversed_in_moments(model, data.moments))
    if isinstance(data, LinkedMoments):
        return reversed_in_moments(model, data)
    turned = reversed_by_covariance(model, _parts(model, fit, columns))
    if isinstance(data, Moments):
        return turned
    found = (*frame_doubts(model, data, columns), *turned)
    return new_doubts(found, ())


def _parts(
    model: RoxModel, fit: Fit, columns: Mapping[str, str | None]
) -> Iterator[tuple[Construct, FloatArray, float]]:
    """Construct, covariance of its items (as they are read), rows that tell as much if they were independent."""
    n = float(fit.population.n)
    if columns.get("cluster") is not None or columns.get("weight") is not None:
        n /= 2.0  # people of a cluster resemble each other, weights differ: a cautious guess
    names = [item.name for item in model.items]
    pooled, within = None, {measure.name: measure.within for measure in fit.measures}
    if fit.groups:
        share = np.array([group.n for group in fit.groups])
        pooled = np.tensordot(share / share.sum(), np.stack([g.covariance for g in fit.groups]), axes=1)
    for construct in model.constructs:
        if len(construct.items) < 2:
            continue
        if fit.method == "path":
            yield construct, within[construct.name], n
        elif pooled is not None:
            at = [names.index(name) for name in construct.item_names]
            yield construct, pooled[np.ix_(at, at)], n


def _assumed_counts(data: object) -> list[str]:
    if not isinstance(data, Study) or not data.assumed_counts:
        return []
    words = ", ".join(f"{n} ({source})" for source, n in data.assumed_counts.items())
    note = (
        f"People behind each published mean were not counted but assumed: {words} in every unit; method 'linked' takes "
        "the sampling error of the means from that, so fit again with half and twice as many to see what hangs on it."
    )
    return [note]


def _direction_notes(fit: Fit) -> list[str]:
    """Constructs whose loadings differ in sign, if no doubt has said which items are reversed."""
    if fit.method == "path":
        return []
    said = {name for doubt in fit.doubts if doubt.check == "reversed" for name in doubt.culprits}
    notes = []
    for construct in fit.model.constructs:
        if said & set(construct.item_names):
            continue
        for group in dict.fromkeys(row.group for row in fit.table):
            notes += _mixed(fit, construct, group)
    return notes


def _mixed(fit: Fit, construct: Construct, group: str) -> list[str]:
    rows = [
        (row, float(fit.estimates.value[place]))
        for place, row in enumerate(fit.table)
        if row.kind == "loading" and row.left == construct.name and row.group == group
    ]
    negative = [row for row, value in rows if value < 0 and row.free and not row.label]
    if not negative or all(value <= 0 for _, value in rows):
        return []
    where = f" in group {group!r}" if group else ""
    shown = ", ".join(f"{row.right} {value:.3g}" for row, value in rows[:8])
    note = (
        f"Loadings on {construct.name}{where} differ in sign ({shown}): its items do not all go one way, and the "
        "answers do not tell clearly which, if any, was worded the other way round."
    )
    return [note]
