"""The frame that method "sem" is given, as arrays: answers, weights, groups, clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roxmodel.errors import DataError
from roxmodel.estimate.latent.row_options import Options
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.answers import read_answers
from roxmodel.survey.frames import (
    LARGEST,
    Frame,
    number_column,
    open_frame,
    raw_column,
    raw_dtype,
    refuse_matrix,
    require_columns,
)
from roxmodel.survey.keys import refuse_rounded
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["Columns", "columns_of", "rows_kept"]

_MOST_PERSONS = 1e9  # that one row may stand for: a test over 1e15 and more has no digits left

_SHORT = 100_000  # rows up to which a frame may be copied whole


@dataclass(frozen=True, slots=True)
class Columns:
    """The frame as arrays.

    Attributes
    ----------
    values
        (n, p) answers, reversed items turned, one item's answers side by side in memory.
    holes
        (p,) which items have missing answers.
    weights
        (n,) sampling weights or frequencies, or None.
    groups
        (n,) codes 0…G-1, and the labels in order of appearance.
    clusters
        (n,) codes, or None.
    """

    values: FloatArray
    holes: BoolArray
    weights: FloatArray | None
    groups: tuple[IntArray | None, tuple[str, ...]]
    clusters: IntArray | None


def columns_of(model: RoxModel, native: object, options: Options) -> Columns:
    """Read the frame."""
    refuse_matrix(native)
    others = [c for c in (options.group, options.cluster, options.weight, options.frequency) if c is not None]
    names = [item.name for item in model.items]
    for name in others:
        if name in names:
            raise DataError(
                f"The column {name!r} is an item of the model and was to group or weigh the rows too.",
                hint="Leave it out of the model, or name another column.",
            )
    frame = open_frame("data", native, [*names, *others])
    require_columns("data", frame, names)
    require_columns("data", frame, others)
    values, holes = np.empty((len(names), len(frame))).T, np.zeros(len(names), dtype=bool)
    plain = _plain_columns(model, native, len(frame))
    if plain is not None:
        values[:] = plain
        holes[:] = np.isnan(plain).any(axis=0)
    for place, item in enumerate(model.items) if plain is None else ():
        sign, offset = item.reading
        answers = read_answers("data", frame, item, coerce=False).values
        values[:, place] = answers if (sign, offset) == (1.0, 0.0) else offset + sign * answers
        holes[place] = np.isnan(values[:, place]).any()
    weights = _weights(frame, options)
    codes, labels = _labelled(frame, options.group, "group") if options.group is not None else (None, ("",))
    clusters = None if options.cluster is None else _labelled(frame, options.cluster, "cluster")[0]
    return Columns(values, holes, weights, (codes, labels), clusters)


def _plain_columns(model: RoxModel, native: object, rows: int) -> FloatArray | None:
    """All items of a short pandas frame of floats at once, if nothing needs a look at each answer; else None.

    A look at each column costs a tenth of a millisecond, which is most of the time of a small fit. Whatever might have
    to be refused, turned or checked against a scale goes the way of every other frame.
    """
    import pandas as pd

    names = [item.name for item in model.items]
    if rows > _SHORT or not isinstance(native, pd.DataFrame) or not native.columns.is_unique:
        return None
    if any(item.scale is not None or item.reading != (1.0, 0.0) for item in model.items):
        return None
    own = native if list(native.columns) == names else native[names]
    if any(dtype != np.float64 for dtype in own.dtypes):
        return None
    found = own.to_numpy(dtype=np.float64)
    there = ~np.isnan(found)
    if not there.any(axis=0).all() or not (np.abs(found[there]) < LARGEST).all():
        return None
    spread = np.nanmax(found, axis=0) - np.nanmin(found, axis=0)
    return found if (spread >= 1 / LARGEST).all() else None


def _weights(frame: Frame, options: Options) -> FloatArray | None:
    name, option = (options.weight, "weight") if options.weight is not None else (options.frequency, "frequency")
    if name is None:
        return None
    weights = np.asarray(number_column("data", frame, name, {}), dtype=np.float64)
    most = LARGEST if option == "weight" else _MOST_PERSONS
    bad = ~((weights >= 0) & (weights <= most))
    if option == "frequency":
        bad |= weights != np.round(weights)
    if bad.any():
        kind = "whole numbers" if option == "frequency" else "numbers"
        raise DataError(
            f"{option}= column {name!r} holds {weights[bad][0]:g} in {int(bad.sum())} row(s).",
            allowed=f"{kind} from 0 to {most:g}",
        )
    if not weights.any():
        raise DataError(f"{option}= column {name!r} is 0 in every row.", hint="Leave it out.")
    return weights


def _labelled(frame: Frame, column: str, option: str) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0…G-1 in order of appearance, and the labels."""
    import pandas as pd

    values = raw_column(frame, column).tolist()
    given = np.empty(len(values), dtype=object)
    given[:] = values
    try:
        codes, found = pd.factorize(given)
    except (TypeError, ValueError):
        raise DataError(
            f"{option}= column {column!r} holds nested values.", hint="Make it text or a whole number."
        ) from None
    refuse_rounded(f"{option}= column {column!r}", found, raw_dtype(frame, column))
    blank = np.array([isinstance(label, str) and not label.strip() for label in found] + [True])
    missing = int(blank[codes].sum())
    if missing:
        raise DataError(f"{option}= column {column!r} is empty in {missing} row(s).", hint="Fill it or drop the rows.")
    if len(found) < 2:
        raise DataError(f"{option}= column {column!r} holds one {option} only.", allowed="at least 2")
    labels = tuple(str(label) for label in found)
    if option == "group" and len(set(labels)) < len(labels):
        twin = next(label for label in labels if labels.count(label) > 1)
        raise DataError(
            f"{option}= column {column!r} holds different values that are written alike: {twin!r}.",
            hint="Make them all text, or all numbers.",
        )
    return np.asarray(codes, dtype=np.int64), labels


def rows_kept(found: Columns, options: Options, names: tuple[str, ...], given: tuple[int, ...] = ()) -> IntArray | None:
    """Places of the rows that count; None = all of them. What the data give must be there, even with "fiml"."""
    some = found.weights is not None and not found.weights.all()
    if not found.holes.any() and not some:
        return None if len(found.values) > 1 else _refused(found, np.ones(1, dtype=bool), names)
    use = np.ones(len(found.values), dtype=bool) if found.weights is None else found.weights > 0
    there = ~np.isnan(found.values)
    if options.missing == "fiml":
        use &= there.any(axis=1) & there[:, list(given)].all(axis=1)
    else:
        use &= there.all(axis=1)
    return np.flatnonzero(use) if use.sum() > 1 else _refused(found, use, names)


def _refused(found: Columns, use: BoolArray, names: tuple[str, ...]) -> IntArray:
    missing = np.isnan(found.values).sum(axis=0)
    worst = int(missing.argmax())
    hint = f"{names[worst]!r} is missing most often ({missing[worst]} times); missing='fiml' uses all answers."
    raise DataError(
        f"Only {int(use.sum())} of {len(use)} rows are complete.", hint=hint if missing.any() else "Give more rows."
    )
