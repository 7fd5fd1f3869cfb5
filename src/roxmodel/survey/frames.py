"""Frames at the door: any eager or lazy frame narwhals knows, columns out as numpy, never written into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from roxmodel.errors import DataError, did_you_mean, listed
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Frame", "number_column", "open_frame", "raw_column", "require_columns"]

Frame = nw.DataFrame[Any]


def open_frame(source: str, native: object) -> Frame:
    """Open a user's frame.

    Parameters
    ----------
    source
        Who it is from, for messages.
    native
        A pandas, polars or pyarrow frame, anything else narwhals reads (lazy frames are collected), or a mapping
        column -> values.

    Raises
    ------
    DataError
        If it is no frame, or has no rows.
    """
    if isinstance(native, Mapping):
        import pandas as pd

        native = pd.DataFrame(dict(native))
    try:
        opened: Any = nw.from_native(native)
    except TypeError:
        raise DataError(
            f"The {source} data are of type {type(native).__name__!r}, which is no frame.",
            allowed="a pandas, polars or pyarrow frame, or a mapping of columns",
        ) from None
    frame: Frame = opened.collect() if isinstance(opened, nw.LazyFrame) else opened
    if len(frame) == 0:
        raise DataError(f"The {source} frame is empty: it has no rows.", hint="Check how it was read or filtered.")
    return frame


def require_columns(source: str, frame: Frame, names: Iterable[str]) -> None:
    """Refuse a frame that lacks a column, with the likely one.

    Raises
    ------
    DataError
        Naming the first missing column, and the others.
    """
    columns = list(frame.columns)
    missing = [name for name in names if name not in columns]
    if not missing:
        return
    more = f" (and {listed(missing[1:])})" if len(missing) > 1 else ""
    raise DataError(
        f"The {source} frame has no column {missing[0]!r}{more}.",
        hint=did_you_mean(missing[0], [str(column) for column in columns]),
    )


def raw_column(frame: Frame, name: str) -> NDArray[Any]:
    """One column as numpy, whatever it holds (a view where the frame allows it)."""
    values: NDArray[Any] = np.asarray(frame[name].to_numpy())
    return values


def number_column(source: str, frame: Frame, name: str, codes: Mapping[str, float]) -> NDArray[Any]:
    """One column as real numbers with NaN for missing.

    Integers without holes stay integers, so that nothing is copied.

    Parameters
    ----------
    source, frame, name
        Whose column.
    codes
        Text answer to number; empty where text is no answer.

    Raises
    ------
    DataError
        If the column holds text (or dates) that no label explains; names the column, the text and how often.
    """
    values = raw_column(frame, name)
    if values.dtype.kind in "fiu":
        return values
    if values.dtype.kind == "b":
        return values.astype(np.float64)
    if values.dtype.kind not in "OUST":
        raise DataError(f"Column {name!r} of the {source} frame holds {values.dtype}, not numbers.")
    return _from_objects(source, name, values, codes)


def _from_objects(source: str, name: str, values: NDArray[Any], codes: Mapping[str, float]) -> FloatArray:
    import pandas as pd

    places, unique = pd.factorize(values)
    numbers = np.full(len(unique) + 1, np.nan)
    unread: list[int] = []
    for place, value in enumerate(unique):
        if isinstance(value, str) and value in codes:
            numbers[place] = codes[value]
        elif isinstance(value, bool | np.bool_ | int | float | np.number) or _is_decimal(value):
            numbers[place] = float(value)
        else:
            unread.append(place)
    if unread:
        raise _text_error(source, name, [(unique[u], int((places == u).sum())) for u in unread], codes)
    return numbers[places]


def _is_decimal(value: object) -> bool:
    from decimal import Decimal

    return isinstance(value, Decimal)


def _text_error(
    source: str, name: str, found: list[tuple[object, int]], codes: Mapping[str, float]
) -> DataError:
    shown = ", ".join(f"{value!r} ({count}×)" for value, count in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    if codes:
        return DataError(
            f"Item {name!r} of the {source} frame has answers that no label explains: {shown}{more}.",
            allowed=listed(codes),
            hint="Correct the labels of the scale, or the answers.",
        )
    return DataError(
        f"Column {name!r} of the {source} frame holds text where numbers belong: {shown}{more}.",
        hint="Convert it, or declare the labels: rox.Item(name=..., scale=rox.Likert(1, 5, labels=[...])).",
    )
