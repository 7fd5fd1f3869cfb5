"""What makes a fit doubtful: the study's doubts, and those of frames, matrices and moments given to the fit itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from roxmodel.doubts import Doubt, new_doubts
from roxmodel.errors import listed
from roxmodel.moments.linked import LinkedMoments
from roxmodel.moments.single import Moments
from roxmodel.result.fit import Fit
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.frames import Frame, distinct, number_column, open_frame
from roxmodel.survey.keys import label_doubts
from roxmodel.survey.misread import Asked, code_doubts
from roxmodel.survey.study import Study
from roxmodel.survey.suspect import duplicate_doubts, reversed_by_covariance, reversed_in_moments
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["collected", "with_doubts"]

_REMEDY = "Set {codes} to missing in the frame, such as frame[{name}].mask(frame[{name}].isin([{codes}]))."


def collected(model: RoxModel, data: object, columns: Mapping[str, str | None]) -> object:
    """Compute a lazy frame once, so that it is not computed again for the doubts; all other data as they are."""
    try:
        lazy = isinstance(nw.from_native(data, pass_through=True), nw.LazyFrame)
    except DuplicateError:  # of an eager frame, for its reader to name
        lazy = False
    if not lazy:
        return data
    named = [column for column in columns.values() if isinstance(column, str)]
    return open_frame("data", data, [*(item.name for item in model.items), *named]).to_native()


def with_doubts(
    model: RoxModel,
    data: object,
    fit: Fit,
    columns: Mapping[str, str | None],
) -> Fit:
    """The fit with its doubts, and with what its loadings say of the items' direction in the small print.

    Parameters
    ----------
    model, data
        What was asked.
    fit
        What was found.
    columns
        Option -> column of the frame: group, cluster, weight, frequency.
    """
    doubts = (*fit.doubts, *_left_behind(data, fit), *_doubts(model, data, fit, columns))
    found = replace(fit, doubts=doubts)
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


def _doubts(
    model: RoxModel,
    data: object,
    fit: Fit,
    columns: Mapping[str, str | None],
) -> tuple[Doubt, ...]:
    if isinstance(data, Study):
        if model == data.model:
            return data.doubts
        kept = tuple(doubt for doubt in data.doubts if doubt.check != "reversed")
        return (*kept, *reversed_in_moments(model, data.moments))
    if isinstance(data, LinkedMoments):
        return reversed_in_moments(model, data)
    turned = reversed_by_covariance(model, _parts(model, fit, columns))
    if isinstance(data, Moments):
        return turned
    found = (*_frame_doubts(model, data, columns), *turned)
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


def _frame_doubts(model: RoxModel, native: object, columns: Mapping[str, str | None]) -> tuple[Doubt, ...]:
    """Codes, repeated rows and labels of the one frame that holds all items."""
    names = [item.name for item in model.items]
    labels = [(option, columns[option]) for option in ("group", "cluster") if columns.get(option) is not None]
    frame = open_frame("data", native, [*names, *(str(column) for _, column in labels)])
    answers = [_answers(frame, item.name, item.scale.codes if item.scale is not None else {}) for item in model.items]
    constructs = [construct.name for construct in model.constructs for _ in construct.items]
    asked = [Asked(item, own, name) for item, own, name in zip(model.items, answers, constructs, strict=True)]
    found = list(code_doubts("data", asked, "answers", _REMEDY))
    if columns.get("frequency") is None:
        found += duplicate_doubts("data", answers, None)
    for option, column in labels:
        found += label_doubts(str(column), option, distinct(frame, str(column))[1])
    return tuple(found)


def _answers(frame: Frame, name: str, codes: Mapping[str, float]) -> NDArray[Any]:
    return number_column("data", frame, name, codes)


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
