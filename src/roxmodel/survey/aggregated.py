"""Frames that are aggregated already: one row a unit, unit means with counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import DataError, SpecError, did_you_mean, listed
from roxmodel.moments import SourceMoments
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.answers import read_answers
from roxmodel.survey.frames import Frame, number_column, require_columns
from roxmodel.survey.keys import Keys
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Aggregated", "read_aggregated"]


@dataclass(frozen=True, slots=True)
class Aggregated:
    """Unit means with counts, as published surveys print them.

    Parameters
    ----------
    frame
        One row a unit; the items' columns hold unit means.
    n
        Column with the number of respondents, or item -> column where it differs by item. (With one number for
        each item, those who answered both of two items are taken to be as many as answered the rarer one.)
    variance
        Item -> column with the variance of the answers within the unit (divisor n - 1), if printed.
    covariance
        (p, p) pooled within-unit covariance of the items, as a frame named by item or an array in the order of
        the model's items of this source, if known.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"school": ["A", "B"], "q1": [7.1, 6.4], "N": [40, 25]})
    >>> Aggregated(frame, n="N").n
    'N'
    """

    frame: object
    n: str | Mapping[str, str]
    variance: Mapping[str, str] | None = None
    covariance: ArrayLike | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.n, str | Mapping):
            raise SpecError(
                f"rox.Aggregated: n= was {self.n!r}.", allowed="the name of a column, or item -> column"
            )


def read_aggregated(
    source: str, given: Aggregated, frame: Frame, keys: Keys, items: Sequence[Item], coerce: bool
) -> tuple[SourceMoments, dict[str, int]]:
    """Turn unit means with counts into moments.

    Returns
    -------
    SourceMoments
        As from rows; the within-unit scatter is NaN where nothing was printed about it.
    dict
        Item to the number of means outside the scale that were taken as missing (with `coerce`).

    Raises
    ------
    DataError
        For a missing column, a count that is missing, negative or 0 beside a mean, or a negative variance.
    """
    answers = [read_answers(source, frame, item, coerce=coerce, means=True) for item in items]
    place = _row_of_unit(keys)
    means = np.column_stack([a.values.astype(np.float64) for a in answers])[place]
    counts = _counts(source, given.n, frame, items, place)
    _refuse_contradiction(source, items, means, counts)
    counts = np.where(np.isnan(means), 0.0, counts)
    pairs = np.minimum(counts[:, :, None], counts[:, None, :])
    both = pairs > 0
    moments = SourceMoments(
        source=source,
        items=tuple(item.name for item in items),
        units=keys.units,
        respondents=counts.max(axis=1),
        n=pairs,
        weight=pairs,
        weight2=pairs,
        pair_mean=np.where(both, means[:, :, None], np.nan),
        scatter=_scatter(source, given, frame, items, pairs, place),
    )
    return moments, {a.item.name: a.coerced for a in answers if a.coerced}


def _row_of_unit(keys: Keys) -> IntArray:
    """Row of each unit (every unit has exactly one)."""
    rows = np.flatnonzero(keys.codes >= 0)
    return rows[np.argsort(keys.codes[rows], kind="stable")].astype(np.int64)


def _counts(
    source: str, n: str | Mapping[str, str], frame: Frame, items: Sequence[Item], place: IntArray
) -> FloatArray:
    names = [item.name for item in items]
    columns = dict.fromkeys(names, n) if isinstance(n, str) else dict(n)
    missing = [name for name in names if name not in columns]
    if missing:
        raise SpecError(
            f"rox.Aggregated of {source}: n= names no count for {listed(missing)}.",
            hint="Give one column for all items, or a column for each item.",
        )
    require_columns(source, frame, dict.fromkeys(columns[name] for name in names))
    read = [number_column(source, frame, columns[name], {}).astype(np.float64)[place] for name in names]
    for name, count in zip(names, read, strict=True):
        wrong = count[(count < 0) | np.isinf(count)]
        if len(wrong):
            raise DataError(f"Column {columns[name]!r} of the {source} frame has the count {wrong[0]:g}.")
    return np.column_stack(read)


def _refuse_contradiction(source: str, items: Sequence[Item], means: FloatArray, counts: FloatArray) -> None:
    """A mean without people behind it."""
    empty = ~np.isnan(means) & ~(counts > 0)
    if empty.any():
        item = items[int(np.argwhere(empty)[0][1])].name
        raise DataError(
            f"{int(empty.sum())} mean(s) of the {source} frame stand beside a count of 0 or none, for example of "
            f"item {item!r}.",
            hint="A mean needs the number of people behind it; set the mean to missing where nobody answered.",
        )


def _scatter(
    source: str,
    given: Aggregated,
    frame: Frame,
    items: Sequence[Item],
    pairs: FloatArray,
    place: IntArray,
) -> FloatArray:
    """Within-unit scatter from what was printed: variances by unit, or one pooled covariance."""
    names = [item.name for item in items]
    freedom = np.maximum(pairs - 1.0, 0.0)
    scatter = np.full(pairs.shape, np.nan)
    if given.covariance is not None:
        scatter = freedom * _pooled(source, given.covariance, names)
    for item, column in (given.variance or {}).items():
        if item not in names:
            raise SpecError(f"rox.Aggregated of {source}: variance= names {item!r}.", hint=did_you_mean(item, names))
        require_columns(source, frame, [column])
        variance = number_column(source, frame, column, {}).astype(np.float64)[place]
        if (variance < 0).any():
            raise DataError(f"Column {column!r} of the {source} frame has a negative variance.")
        at = names.index(item)
        scatter[:, at, at] = freedom[:, at, at] * variance
    return scatter


def _pooled(source: str, covariance: ArrayLike, names: Sequence[str]) -> FloatArray:
    columns = getattr(covariance, "columns", None)
    if columns is not None:
        missing = [name for name in names if name not in list(columns)]
        if missing:
            raise SpecError(
                f"rox.Aggregated of {source}: covariance= lacks {missing[0]!r}.",
                hint=did_you_mean(missing[0], [str(c) for c in columns]),
            )
        covariance = covariance.loc[list(names), list(names)]  # type: ignore[union-attr]
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.shape != (len(names), len(names)):
        raise SpecError(
            f"rox.Aggregated of {source}: covariance= has shape {matrix.shape}.",
            allowed=f"({len(names)}, {len(names)}), one row and column for each item",
        )
    if not np.allclose(matrix, matrix.T, equal_nan=True):
        raise DataError(f"rox.Aggregated of {source}: covariance= is not symmetric.")
    return matrix
