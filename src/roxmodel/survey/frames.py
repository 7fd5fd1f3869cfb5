"""Frames at the door: any frame narwhals knows, never written into; columns out as numpy, NaN for missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from roxmodel.errors import DataError, did_you_mean, listed
from roxmodel.survey.misread import text_advice
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LARGEST", "Frame", "collected", "count_column", "distinct", "float_column", "holds_text", "number_column",
    "open_frame", "raw_column", "raw_dtype", "refuse_matrix", "require_columns",
]  # fmt: skip


Frame = nw.DataFrame[Any]


def open_frame(source: str, native: object, wanted: Collection[str] | None = None) -> Frame:
    """Open a user's frame: pandas, polars, pyarrow, whatever narwhals reads, or a mapping column -> values.

    `wanted`: columns that will be asked for: a lazy frame collects no others, and others may occur twice; None: any.
    What is no frame, has no rows, two header rows or two columns of one name is a DataError.

    >>> open_frame("employee", {"store": ["a", "b"], "p1": [3, 4]}).columns
    ['store', 'p1']
    """
    table = _table(source, native) if isinstance(native, Mapping) else native
    try:
        opened: Any = nw.from_native(table)
    except DuplicateError:
        opened = nw.from_native(_without_twins(source, table, wanted))
    except TypeError:
        whose = source if source == "data" else f"{source} data"
        raise DataError(
            f"The {whose} are of type {type(native).__name__!r}, which is no frame.",
            allowed="a pandas, polars or pyarrow frame, or a mapping of columns",
        ) from None
    frame: Frame = _collected(source, opened, wanted) if isinstance(opened, nw.LazyFrame) else opened
    if any(isinstance(column, tuple) for column in frame.columns):
        raise DataError(
            f"The {source} frame has several header rows (MultiIndex columns), such as {frame.columns[0]!r}.",
            hint="Give every column one name: frame.columns = ['_'.join(c) for c in frame.columns].",
        )
    if len(frame) == 0:
        hint = "Check how it was read or filtered."
        raise DataError(f"The {source} frame is empty: it has no rows.", hint=hint)
    return frame


def collected(native: object, wanted: Collection[str]) -> object:
    """Compute a lazy frame once, for whoever reads it later; all other data as they are."""
    try:
        lazy = isinstance(nw.from_native(native, pass_through=True), nw.LazyFrame)
    except DuplicateError:  # of an eager frame, for its reader to name
        lazy = False
    return open_frame("data", native, wanted).to_native() if lazy else native


def refuse_matrix(native: object) -> None:
    """Refuse a correlation matrix in a frame: it is not the rows of so many people."""
    rows = getattr(native, "index", None)
    columns = None if rows is None or callable(rows) else getattr(native, "columns", None)
    if rows is None or columns is None:
        return
    if len(columns) > 1 and list(rows) == list(columns):
        raise DataError(
            f"The frame is a matrix: its {len(columns)} rows have the names of its columns.",
            hint="Fit rox.Moments.from_correlation(names, matrix, sd=sd, n=n) or from_covariance instead.",
        )


def require_columns(source: str, frame: Frame, names: Iterable[str]) -> None:
    """Refuse a frame that lacks a column, with the likely one."""
    columns: list[object] = list(frame.columns)
    missing = [name for name in names if name not in columns]
    if missing:
        more = f" (and {listed(missing[1:])})" if len(missing) > 1 else ""
        problem = f"The {source} frame has no column {missing[0]!r}{more}."
        raise DataError(problem, hint=_hint(missing[0], frame, columns))


def raw_column(frame: Frame, name: str) -> NDArray[Any]:
    """One column as numpy, whatever it holds (a view where the frame allows it)."""
    values: NDArray[Any] = np.asarray(_series(frame, name).to_numpy())
    return values


def _plain_numbers(frame: Frame, name: str) -> NDArray[Any] | None:
    """A pandas column of numpy's own numbers, or None; any other look at a column costs a tenth of a millisecond."""
    column: Any = getattr(frame.to_native(), "get", lambda _: None)(name)
    kind: object = getattr(column, "dtype", None)
    plain = isinstance(kind, np.dtype) and kind.kind in "fiu" and hasattr(column, "to_numpy")
    return column.to_numpy() if plain else None


def raw_dtype(frame: Frame, name: str) -> str:
    """Type of a column, by its name in narwhals."""
    return str(frame[name].dtype)


def holds_text(frame: Frame, name: str) -> bool:
    """Whether a column holds text, or categories of whatever."""
    dtype = _series(frame, name).dtype
    return any(dtype == kind for kind in (nw.String, nw.Categorical, nw.Enum))


def distinct(frame: Frame, name: str) -> tuple[IntArray, list[Any]]:
    """(n,) place of each row's value among the distinct ones, -1 where missing; these as Python objects.

    Nested ones, which cannot be told apart, are a TypeError.

    >>> codes, values = distinct(open_frame("employee", {"store": ["b", None, "a", "b"]}), "store")
    >>> codes.tolist(), values
    ([0, -1, 1, 0], ['b', 'a'])
    """
    import pandas as pd

    native = frame[name].to_native()
    if isinstance(native, pd.Series):
        codes, found = pd.factorize(native)
        return np.asarray(codes, dtype=np.int64), np.asarray(found, dtype=object).tolist()
    series = _series(frame, name)
    there: BoolArray = ~series.is_null().to_numpy().astype(bool)
    if not there.all():  # numpy would turn long whole numbers beside a hole into rounded floats
        series = series.drop_nulls()
    every = np.full(len(frame), -1, dtype=np.int64)
    every[there], values = _distinct_text(series) if holds_text(frame, name) else _distinct(series)
    return every, values


def _series(frame: Frame, name: str) -> nw.Series[Any]:
    """One column in a type that its library can handle."""
    series = frame[name]
    native: Any = series.to_native()
    kind: Any = getattr(native, "type", None)
    if hasattr(kind, "index_type"):
        # pyarrow decodes a dictionary with holes wrongly: ['a', None] would come out as ['a', 'a']
        return nw.from_native(native.cast(kind.value_type), series_only=True)
    if series.dtype in (nw.Int128, nw.UInt128):  # numpy knows no such type: 64 bits where they fit
        return _narrowed(series)
    if str(kind) == "string_view":  # which pyarrow cannot filter
        return nw.from_native(native.cast("large_string"), series_only=True)
    return series


def _narrowed(series: nw.Series[Any]) -> nw.Series[Any]:
    """128-bit whole numbers as 64-bit ones, which numpy knows."""
    ends = [end for end in (series.min(), series.max()) if end is not None]
    if any(not -(2**63) <= int(end) < 2**63 for end in ends):
        worst = max(ends, key=lambda end: abs(int(end)))
        raise DataError(
            f"Column {series.name!r} holds 128-bit whole numbers beyond 64 bits, such as {worst}.",
            hint="Make them text if they are keys, or 64-bit floats if they are amounts.",
        )
    return series.cast(nw.Int64)


def _table(source: str, columns: Mapping[Any, Any]) -> object:
    """Make a frame of a mapping of columns."""
    import pandas as pd

    try:
        return pd.DataFrame(dict(columns))
    except (ValueError, TypeError) as cause:
        sizes = {name: len(values) if hasattr(values, "__len__") else 1 for name, values in columns.items()}
        lengths = ", ".join(f"{name!r}: {size}" for name, size in list(sizes.items())[:8])
        problem = f"The {source} mapping is no table; its columns have the lengths {lengths}."
        raise DataError(problem, allowed="column -> list or array, all of one length") from cause


def _without_twins(source: str, native: Any, wanted: Collection[str] | None) -> object:
    """Leave out columns whose name occurs twice, if nobody wants them."""
    import pandas as pd

    names = list(native.columns if isinstance(native, pd.DataFrame) else native.column_names)
    times = Counter(names)
    twins = {name for name in times if times[name] > 1}
    asked = [name for name in times if name in twins and (wanted is None or name in wanted)]
    if asked:
        problem = f"The {source} frame has {times[asked[0]]} columns of the name {asked[0]!r}."
        raise DataError(problem, hint="Rename or drop all but one.")
    keep = [place for place, name in enumerate(names) if name not in twins]
    kept: object = native.iloc[:, keep] if isinstance(native, pd.DataFrame) else native.select(keep)
    return kept


def _collected(source: str, lazy: nw.LazyFrame[Any], wanted: Collection[str] | None) -> Frame:
    try:
        names = lazy.collect_schema().names()
        keep = names if wanted is None else [name for name in names if name in wanted] or names[:1]
        return lazy.select(keep).collect()
    except Exception as cause:  # the user's own query, in any of many engines
        problem = f"The lazy {source} frame cannot be computed: {type(cause).__name__}: {cause}"
        raise DataError(problem, hint="Collect it to see where its query fails.") from cause


def _distinct_text(series: nw.Series[Any]) -> tuple[IntArray, list[Any]]:
    """Distinct values of text without holes, found by the library whose text it is."""
    text = series.cast(nw.String)
    values = text.unique(maintain_order=True).to_list()
    codes = text.replace_strict(values, list(range(len(values))), return_dtype=nw.Int64)
    return np.asarray(codes.to_numpy(), dtype=np.int64), values


def _distinct(series: nw.Series[Any]) -> tuple[IntArray, list[Any]]:
    import pandas as pd

    column: Any = np.asarray(series.to_numpy())
    if column.dtype.kind in "mM" and "[D]" not in str(column.dtype):
        column = pd.Series(column)  # Timestamps of any resolution are equal; numpy's become whole numbers
    codes, found = pd.factorize(column)
    return np.asarray(codes, dtype=np.int64), np.asarray(found, dtype=object).tolist()


def _hint(name: str, frame: Frame, columns: Sequence[object]) -> str:
    if name in getattr(getattr(frame.to_native(), "index", None), "names", ()):
        return f"{name!r} is the index of the frame: use frame.reset_index()."
    for column in columns:
        if str(column) == name:
            kind = type(column).__name__
            return f"It has {column!r} ({kind}); column names must be text: frame.columns.astype(str)."
    return did_you_mean(name, [str(column) for column in columns])


_LOOKED_AT = 500  # distinct texts that say what a column holds
LARGEST = 1e50  # whose fourth power, and the sum of many such, is still a number; its inverse likewise


def number_column(source: str, frame: Frame, name: str, codes: Mapping[str, float]) -> NDArray[Any]:
    """One column as real numbers of its own type (nothing is copied) with NaN for missing.

    `codes`: text answer -> number. Text (or dates, lists ...) that no label explains is a DataError: what, how often.
    """
    plain = _plain_numbers(frame, name)
    if plain is not None:
        return plain
    if holds_text(frame, name):
        return _translated(source, name, distinct(frame, name), codes)
    values = raw_column(frame, name)
    if values.ndim != 1:
        raise DataError(f"Column {name!r} of the {source} frame holds nested values, not numbers.")
    if values.dtype.kind in "fiu":
        return values
    if values.dtype.kind == "b":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        raise DataError(f"Column {name!r} of the {source} frame holds {values.dtype}, not numbers.")
    import pandas as pd

    try:
        places, unique = pd.factorize(values)
    except TypeError:
        problem = f"Column {name!r} of the {source} frame holds nested values, not numbers."
        raise DataError(problem, hint="Give each answer a column of its own.") from None
    return _translated(source, name, (places, list(unique)), codes)


def float_column(source: str, frame: Frame, name: str) -> FloatArray:
    """One column as (n,) floats, NaN for missing; refused where it is not there."""
    require_columns(source, frame, [name])
    return number_column(source, frame, name, {}).astype(np.float64)


def count_column(source: str, frame: Frame, name: str) -> FloatArray:
    """One column as (n,) floats that are whole, 0 or above, or NaN for missing."""
    counts = float_column(source, frame, name)
    wrong = counts[(counts < 0) | (counts > LARGEST) | (counts != np.floor(counts)) & ~np.isnan(counts)]
    if len(wrong):
        problem = f"Column {name!r} of the {source} frame has the count {wrong[0]:g}."
        raise DataError(problem, allowed="whole numbers, 0 or above")
    return counts


def _translated(source: str, name: str, found: tuple[IntArray, list[Any]], codes: Mapping[str, float]) -> FloatArray:
    """Numbers of distinct values, laid out as they occur."""
    places, values = found
    numbers = np.full(len(values) + 1, np.nan)  # the last is for the missing, whose place is -1
    unread: list[int] = []
    for place, value in enumerate(values):
        number = codes.get(value) if isinstance(value, str) else _number(value)
        if number is None:
            unread.append(place)
        else:
            numbers[place] = number
    if unread:
        times = np.bincount(places[places >= 0], minlength=len(values))
        found_texts = [(values[u], int(times[u])) for u in unread]
        texts = [u for u in unread if isinstance(values[u], str)]
        first = [int(np.argmax(places == u)) for u in texts[:_LOOKED_AT]]
        known = len(values) - len(unread)
        looked = [values[u] for u in texts[:_LOOKED_AT]]
        advice = text_advice(name, looked, first, known, bool(codes)) if texts else None
        raise _text_error(source, name, found_texts, codes, advice)
    laid: FloatArray = numbers[places]
    return laid


def _number(value: object) -> float | None:
    if not isinstance(value, Real | Decimal | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _text_error(
    source: str, name: str, found: list[tuple[object, int]], codes: Mapping[str, float], advice: tuple[str, str] | None
) -> DataError:
    shown = ", ".join(f"{value!r} ({times}×)" for value, times in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    if advice is not None:
        what, hint = advice
        return DataError(f"Column {name!r} of the {source} frame holds {what}: {shown}{more}.", hint=hint)
    if codes:
        return DataError(
            f"Item {name!r} of the {source} frame has answers that no label explains: {shown}{more}.",
            allowed=listed(codes),
            hint="Correct the labels of the scale, or the answers.",
        )
    kind = "text" if isinstance(found[0][0], str) else type(found[0][0]).__name__
    return DataError(
        f"Column {name!r} of the {source} frame holds {kind} where numbers belong: {shown}{more}.",
        hint="Convert it to numbers; or, if these are answers in words, give the item's scale its labels, such as "
        "rox.Likert(1, 5, labels=[...]) or rox.Binary(labels=['no', 'yes']).",
    )
