"""Answers against their items: what is missing, outside the scale, constant or infinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.errors import DataError
from roxmodel.spec.questionnaire import Item
from roxmodel.survey.frames import Frame, number_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answers", "read_answers"]


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one item.

    Attributes
    ----------
    item
        The question.
    values
        (n,) real numbers as answered (not reversed), NaN where missing.
    coerced
        How many answers outside the scale were turned into missing ones.
    """

    item: Item
    values: NDArray[Any]
    coerced: int = 0


def read_answers(source: str, frame: Frame, item: Item, *, coerce: bool, means: bool = False) -> Answers:
    """Read and check the answers to one item.

    Parameters
    ----------
    source, frame, item
        Whose answers to which question.
    coerce
        Whether answers outside the scale become missing (and are counted) instead of raising.
    means
        Whether the numbers are unit means, so that fractions are right on a scale of whole points.

    Raises
    ------
    DataError
        If the column is text, infinite, all missing, constant, or has answers outside its scale; names item,
        value and count.
    """
    codes = item.scale.codes if item.scale is not None else {}
    values = number_column(source, frame, item.name, codes)
    low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    if np.isnan(low):
        raise DataError(
            f"Item {item.name!r} of the {source} frame has no answer: all {len(values)} are missing.",
            hint="Leave the item out, or check how the column was read.",
        )
    if np.isinf(low) or np.isinf(high):
        count = int(np.isinf(values).sum())
        raise DataError(
            f"Item {item.name!r} of the {source} frame has {count} infinite value(s).",
            hint="Replace them by a number or by a missing value.",
        )
    answers = _checked(source, item, values, (low, high), coerce=coerce, means=means)
    low, high = float(np.fmin.reduce(answers.values)), float(np.fmax.reduce(answers.values))
    if low == high and len(values) > 1:
        answered = int((~np.isnan(answers.values)).sum())
        raise DataError(
            f"Item {item.name!r} of the {source} frame is constant: all {answered} answers are {low:g}.",
            hint="An item that never varies tells nothing; leave it out.",
        )
    return answers


def _checked(
    source: str, item: Item, values: NDArray[Any], span: tuple[float, float], *, coerce: bool, means: bool
) -> Answers:
    if item.scale is None:
        return Answers(item, values)
    low, high = item.ends
    outside = np.zeros(len(values), dtype=bool)
    if (low is not None and span[0] < low) or (high is not None and span[1] > high):
        outside |= (values < (low if low is not None else -np.inf)) | (values > (high if high is not None else np.inf))
    if item.scale.integer and not means and values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            outside |= (values != np.floor(values)) & ~np.isnan(values)
    count = int(outside.sum())
    if count == 0:
        return Answers(item, values)
    if not coerce:
        example = values[outside][0]
        raise DataError(
            f"Item {item.name!r} of the {source} frame has {count} answer(s) outside its scale {item.scale}, "
            f"for example {example:g}.",
            hint="Correct the data or the scale, or say coerce=True to count them as missing.",
        )
    kept = np.where(outside, np.nan, values.astype(np.float64))
    if np.isnan(kept).all():
        raise DataError(f"Item {item.name!r} of the {source} frame has no answer inside its scale {item.scale}.")
    return Answers(item, kept, count)
