"""Frames that are aggregated already: one row a unit, unit means with counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import DataError, SpecError, did_you_mean, listed
from roxmodel.moments.linked import SourceMoments
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.answers import Answers, read_answers
from roxmodel.survey.frames import LARGEST, Frame, count_column, float_column
from roxmodel.survey.keys import Keys
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Aggregated", "read_aggregated"]

_ROAD = (
    "Say n='column' or n={item: column}. Where counts were not published, n=20 assumes 20 people in every unit and "
    "says so, or make the items figures of the unit (source='unit') and use method='path' "
    "(how-to 'Link your surveys': Means without counts)."
)
_NEGATIVE = -1e-8  # smallest eigenvalue that a printed covariance may have by rounding, times its largest


@dataclass(frozen=True, slots=True, eq=False)
class Aggregated:
    """Unit means with counts, as published surveys print them.

    Parameters
    ----------
    frame
        One row a unit; the items' columns hold unit means.
    n
        How many people a mean rests on: column with the number of respondents, or item -> column where it differs
        by item. (With one number for each item, those who answered both of two items are taken to be as many as
        answered the rarer one, and the unit's respondents as many as answered the most frequent one.) Or one whole
        number, where counts were not published: so many people in every unit are assumed, and `Study.linkage` and
        every fit say so.
    variance
        Item -> column with the variance of the answers within the unit (divisor n - 1), if printed.
    covariance
        (p, p) pooled within-unit covariance of the items, in points squared: a frame named by item, or an array
        in the order of the model's items of this source. Variances by unit replace its diagonal.

    Raises
    ------
    SpecError
        If `n` is neither a column nor item -> column nor a whole number, or `variance` is not item -> column.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"school": ["A", "B"], "q1": [7.1, 6.4], "N": [40, 25]})
    >>> Aggregated(frame, n="N").n
    'N'
    """

    frame: object
    n: str | Mapping[str, str] | int | None = None
    variance: Mapping[str, str] | None = None
    covariance: ArrayLike | None = None

    def __post_init__(self) -> None:
        given: tuple[object, object] = self.n, self.variance
        if self.n is None:
            raise SpecError(
                "rox.Aggregated needs to know how many people each mean rests on: n= is missing.", hint=_ROAD
            )
        if isinstance(self.n, np.integer):
            object.__setattr__(self, "n", int(self.n))
            given = self.n, self.variance
        whole = isinstance(given[0], int) and not isinstance(given[0], bool) and given[0] >= 1
        if not isinstance(given[0], str | Mapping) and not whole:
            allowed = "the name of a column, item -> column, or a whole number of people that is assumed"
            raise SpecError(f"rox.Aggregated: n= was {self.n!r}.", allowed=allowed)
        if not isinstance(given[1], Mapping | None):
            problem = f"rox.Aggregated: variance= was {self.variance!r}."
            raise SpecError(problem, allowed="item -> column with the variance within units")

    @property
    def assumed(self) -> int | None:
        """People in every unit that `n` assumes; None where counts were published."""
        return self.n if isinstance(self.n, int) else None

    @property
    def columns(self) -> Collection[str]:
        """Columns it names, beside those of the items."""
        counts = [self.n] if isinstance(self.n, str) else list(self.n.values()) if isinstance(self.n, Mapping) else []
        return [*counts, *(self.variance or {}).values()]


def read_aggregated(
    source: str, given: Aggregated, frame: Frame, keys: Keys, items: Sequence[Item], coerce: bool
) -> tuple[SourceMoments, list[Answers]]:
    """Unit means with counts as moments (scatter NaN where none was printed), and the items' means as read.

    Counts, variances and covariances that cannot be so are a DataError.
    """
    answers = [read_answers(source, frame, item, coerce=coerce, means=True, used=keys.used) for item in items]
    place = keys.row
    means = np.column_stack([a.values[place].astype(np.float64) for a in answers])
    counts = _counts(source, given.n, frame, items, place)
    _refuse_unbacked(source, items, means, counts)
    counts = np.where(np.isnan(means), 0.0, counts)
    pairs = np.minimum(counts[:, :, None], counts[:, None, :])
    moments = SourceMoments(
        source=source,
        items=tuple(item.name for item in items),
        units=keys.units,
        respondents=counts.max(axis=1),
        n=pairs,
        weight=pairs,
        weight2=pairs,
        pair_mean=np.where(pairs > 0, means[:, :, None], np.nan),
        scatter=_scatter(source, given, frame, items, pairs, place),
    )
    return moments, answers


def _counts(
    source: str, n: str | Mapping[str, str] | int | None, frame: Frame, items: Sequence[Item], place: IntArray
) -> FloatArray:
    names = [item.name for item in items]
    if isinstance(n, int):
        return np.full((len(place), len(names)), float(n))
    columns = dict.fromkeys(names, n) if isinstance(n, str) else dict(n or {})
    missing = [name for name in names if name not in columns]
    if missing:
        raise SpecError(
            f"rox.Aggregated of {source}: n= names no count for {listed(missing)}.",
            hint="Give one column for all items, or a column for each item.",
        )
    return np.column_stack([count_column(source, frame, columns[name])[place] for name in names])


def _refuse_unbacked(source: str, items: Sequence[Item], means: FloatArray, counts: FloatArray) -> None:
    """Refuse a mean without people behind it."""
    empty = ~np.isnan(means) & ~(counts > 0)
    if empty.any():
        item = items[int(np.argwhere(empty)[0][1])].name
        raise DataError(
            f"{int(empty.sum())} mean(s) of the {source} frame stand beside a count of 0 or none, for example "
            f"of item {item!r}.",
            hint="Give the number of people behind it, or set the mean to missing where nobody answered.",
        )


def _scatter(
    source: str, given: Aggregated, frame: Frame, items: Sequence[Item], pairs: FloatArray, place: IntArray
) -> FloatArray:
    """Within-unit scatter from what was printed: variances by unit, or one pooled covariance."""
    names = [item.name for item in items]
    freedom = np.maximum(pairs - 1.0, 0.0)
    scatter = np.full(pairs.shape, np.nan)
    if given.covariance is not None:
        scatter = freedom * _pooled(source, given.covariance, names)
    for item, column in (given.variance or {}).items():
        if item not in names:
            problem = f"rox.Aggregated of {source}: variance= names {item!r}."
            raise SpecError(problem, hint=did_you_mean(item, names))
        at = names.index(item)
        scatter[:, at, at] = freedom[:, at, at] * _variance(source, frame, column)[place]
    scatter[pairs <= 1] = 0.0  # one answer differs from no other
    return scatter


def _variance(source: str, frame: Frame, column: str) -> FloatArray:
    variance = float_column(source, frame, column)
    wrong = variance[(variance < 0) | (variance > LARGEST)]
    if len(wrong):
        raise DataError(f"Column {column!r} of the {source} frame has the variance {wrong[0]:g}.")
    return variance


def _pooled(source: str, covariance: ArrayLike, names: Sequence[str]) -> FloatArray:
    head = f"rox.Aggregated of {source}: covariance="
    try:
        matrix = np.array(covariance, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{head} is no matrix of numbers.", allowed="a square array or frame") from None
    if hasattr(covariance, "columns"):
        matrix = matrix[np.ix_(*_places(head, covariance, matrix.shape, names))]
    if matrix.shape != (len(names), len(names)):
        allowed = f"({len(names)}, {len(names)}), one row and column for each item"
        raise SpecError(f"{head} has shape {matrix.shape}.", allowed=allowed)
    _refuse_no_covariance(head, matrix, names)
    return matrix


def _places(head: str, covariance: Any, shape: tuple[int, ...], names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows and columns of the items in a frame; rows without names are in the order of the columns."""
    columns = [str(label) for label in covariance.columns]
    for name in names:
        if name not in columns:
            raise SpecError(f"{head} lacks {name!r}.", hint=did_you_mean(name, columns))
    rows = [str(label) for label in getattr(covariance, "index", range(shape[0]))]
    if rows == [str(k) for k in range(len(columns))]:
        rows = columns
    if sorted(rows) != sorted(columns):
        raise DataError(f"{head} has the rows {listed(rows)}, but the columns {listed(columns)}.")
    return [rows.index(name) for name in names], [columns.index(name) for name in names]


def _refuse_no_covariance(head: str, matrix: FloatArray, names: Sequence[str]) -> None:
    """Refuse a matrix no answers can have; a missing entry is allowed."""
    if (np.abs(matrix) > LARGEST).any() or not np.allclose(matrix, matrix.T, equal_nan=True):
        raise DataError(f"{head} is not symmetric, or not finite.")
    for name, variance in zip(names, np.diagonal(matrix), strict=True):
        if variance < 0:
            raise DataError(f"{head} has the variance {variance:g} for {name!r}.")
    if not np.isnan(matrix).any():
        values = np.linalg.eigvalsh(matrix)
        if values[0] < _NEGATIVE * values[-1]:
            problem = f"{head} is not positive semi-definite (smallest eigenvalue {values[0]:.3g})."
            raise DataError(problem, hint="Check its entries for typing errors.")
