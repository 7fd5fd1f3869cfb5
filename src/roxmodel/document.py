"""The versioned JSON contract: what a saved model or fit says, and how it is read and written.

A document is an envelope (format, kind, schema version, checksum) around a content. It is not the object:
other programs may read it without this library. Numbers that JSON cannot hold stand as ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``. This module is a leaf: it imports no room of ours but the errors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roxmodel.errors import DocumentError
from roxmodel.saving import AnyPath, as_path, write_whole

__all__ = [
    "SCHEMA_VERSION",
    "CheckRecord",
    "EquationRecord",
    "FitContent",
    "GroupRecord",
    "MeasureRecord",
    "ParameterRecord",
    "PopulationRecord",
    "WithinRecord",
    "content_hash",
    "load_document",
    "named_file",
    "read_document",
    "read_fit",
    "read_text",
    "write_document",
    "write_text",
]

FORMAT: Final = "roxmodel"
SCHEMA_VERSION: Final = 3  # 2: latent constructs (fixed values, errors of measures, groups); 3: edges within units


_MOST: Final = 2**53  # the last whole number up to which every language counts
Whole = Annotated[int, Field(ge=0, le=_MOST)]
Size = Annotated[float, Field(ge=0, le=_MOST)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParameterRecord(_Record):
    """One row of the parameter table; `free` is 0 for a fixed parameter, else its place in theta (from 1).

    From `value` on: what the plan of the row says (fixed value, starting value, lower bound, why).
    """

    id: str
    kind: str
    left: str
    right: str
    group: str
    free: Whole
    lag: Whole
    label: str
    estimate: float
    se: float
    statistic: float
    p: float
    ci_low: float
    ci_high: float
    standardized: float
    df: float
    partial_r2: float = float("nan")
    value: float | None = None
    start: float | None = None
    lower: float | None = None
    note: str = ""


class EquationRecord(_Record):
    """How one effect was estimated: family (``linear``, ``logit``, ``poisson``, ``negative binomial``), n."""

    effect: str
    family: str
    n: Whole
    df: float
    dispersion: float


class MeasureRecord(_Record):
    """How answers become the score of one construct: ``score = sum(weight * (offset + sign * answer))``.

    `errors` are the error variances of the items as measures of a latent construct, in units of the score; None for
    item means.
    """

    name: str
    factor: str
    source: str
    items: tuple[str, ...]
    weights: tuple[float, ...]
    signs: tuple[float, ...]
    offsets: tuple[float, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]
    codes: tuple[dict[str, float], ...]
    within_covariance: tuple[tuple[float, ...], ...]
    errors: tuple[float, ...] | None = None


class PopulationRecord(_Record):
    """The units a fit speaks of, as moments: no unit, no respondent is in a document."""

    names: tuple[str, ...]
    n: Whole
    n_units: Whole | None
    mean: tuple[float, ...] | None
    covariance: tuple[tuple[float, ...], ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None


class GroupRecord(_Record):
    """Moments of the items in one group that a latent model was fitted to; `n` rows, name empty for one group."""

    name: str
    n: Size
    mean: tuple[float, ...] | None
    covariance: tuple[tuple[float, ...], ...]


class CheckRecord(_Record):
    """One verdict and its reason."""

    ok: bool
    reason: str


class WithinRecord(_Record):
    """An edge among the answers of people of one unit (method "linked")."""

    cause: str
    effect: str
    source: str
    estimate: float
    se: float
    p: float
    low: float
    high: float
    standardized: float
    n: Whole
    n_units: Whole


class FitContent(_Record):
    """Everything a fit says, enough to simulate and to score without the data."""

    model: dict[str, Any]
    model_hash: str
    method: str
    level: str
    errors: str
    parameters: tuple[ParameterRecord, ...]
    vcov: tuple[tuple[float, ...], ...]
    equations: tuple[EquationRecord, ...]
    measures: tuple[MeasureRecord, ...]
    population: PopulationRecord
    replicates: tuple[tuple[float, ...], ...] | None
    indices: dict[str, float]
    converged: CheckRecord
    identified: CheckRecord
    admissible: CheckRecord
    notes: tuple[str, ...]
    groups: tuple[GroupRecord, ...] = ()
    scaling: str = "marker"
    estimator: str = ""
    missing: str = ""
    within_edges: tuple[WithinRecord, ...] = ()


def content_hash(content: object) -> str:
    """SHA-256 of the content in canonical JSON (sorted keys, no blanks).

    Examples
    --------
    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(_canonical(content).encode(errors="surrogatepass")).hexdigest()


def write_document(kind: str, content: Mapping[str, Any]) -> str:
    """Wrap a content in its envelope and write it as JSON text.

    Parameters
    ----------
    kind
        ``"model"`` or ``"fit"``.
    content
        Plain JSON values; NaN and infinities are allowed.

    Returns
    -------
    str
        JSON, indented, ending in a new line.
    """
    plain = _plain(content)
    try:
        checksum = content_hash(plain)
    except (TypeError, RecursionError) as error:
        raise DocumentError(f"A {kind} document cannot hold this: {error}.") from None
    envelope = {
        "format": FORMAT,
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "checksum": checksum,
        "content": plain,
    }
    return json.dumps(envelope, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_document(text: str | bytes, kind: str) -> dict[str, Any]:
    """Open an envelope: check format, kind, version and checksum, and return the content.

    Raises
    ------
    DocumentError
        If the text is no JSON (for example truncated), is no document of this library, is of another kind,
        was written by a newer schema, or was altered since it was written.
    """
    envelope = _parsed(text)
    if not isinstance(envelope, dict) or envelope.get("format") != FORMAT:
        raise DocumentError("This JSON is not a roxmodel document.", hint="Write one with fit.save or model.to_json.")
    version = envelope.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DocumentError(f"The document has schema_version {version!r}.", allowed=f"1 to {SCHEMA_VERSION}")
    if version > SCHEMA_VERSION:
        raise DocumentError(
            f"The document has schema version {version}; this roxmodel reads up to {SCHEMA_VERSION}.",
            hint="Upgrade roxmodel: pip install --upgrade roxmodel.",
        )
    if envelope.get("kind") != kind:
        raise DocumentError(f"The document holds a {envelope.get('kind')!r}, but a {kind!r} was asked for.")
    content = envelope.get("content")
    if not isinstance(content, dict):
        raise DocumentError("The document has no content.", hint="Save it again.")
    if envelope.get("checksum") != _hash_as_read(content):
        raise DocumentError(
            "The document was altered since it was written: its checksum does not match its content.",
            hint="Save it again from the fit; do not edit it by hand.",
        )
    return content


def _hash_as_read(content: dict[str, Any]) -> str:
    try:
        text = _canonical(content)
    except RecursionError:
        raise DocumentError("This is not a document of ours: it is nested too deeply.") from None
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DocumentError(f"This is not a document of ours: it holds half a character ({half!a}).") from None


def _parsed(text: str | bytes) -> object:
    """Parse strict JSON: every number is finite, and NaN stands as text."""
    if not isinstance(text, str | bytes):
        raise DocumentError(f"A document is text, but this is {type(text).__name__}.", hint="Read the file first.")
    decoded = ""
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(decoded.removeprefix("\ufeff"), parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        where = f"it cannot be read from character {error.pos + 1} of {len(text)}" if text else "it is empty"
        raise DocumentError(
            f"This is not a complete JSON document: {where}.",
            hint="Save or copy all of it again." if "{" in decoded else "Give a document's text, not its path.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"This is not a document of ours: {_reason(error)}.") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as a dict; a key that stands twice means one thing here and another in the next program."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"it holds {twice!r} twice in one object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds a bare {name}, which JSON does not have")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        wide = error.object.startswith((b"\xff\xfe", b"\xfe\xff"))
        return "it is not UTF-8 text" + (" but UTF-16: save it as UTF-8" if wide else "")
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def load_document(path: AnyPath) -> FitContent:
    """Read the document of a fit from a file; a message names the file.

    Raises
    ------
    DocumentError
        As `read_text` and `read_fit`.
    """
    text = read_text(path)
    with named_file(path):
        return read_fit(text)


@contextmanager
def named_file(path: AnyPath) -> Iterator[None]:
    """Let a message about a document name its file."""
    try:
        yield
    except DocumentError as error:
        raise DocumentError(f"{str(path)!r}: {error.problem}", allowed=error.allowed, hint=error.hint) from None


def read_fit(text: str) -> FitContent:
    """Read the document of a fit.

    Raises
    ------
    DocumentError
        As `read_document`, and if a field is missing, unknown or of the wrong type (named).
    """
    plain = read_document(text, "fit")
    try:
        content = FitContent.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"The document's field {where!r} is not as the schema has it: {first['msg']}.") from None
    _check_sizes(content)
    return content


def _check_sizes(content: FitContent) -> None:
    """Refuse numbers of parameters and arrays of other sizes than what stands in the document."""
    numbers = sorted({record.free for record in content.parameters if record.free})
    for place, number in enumerate(numbers, start=1):  # no size is taken from a number that stands alone
        if number != place:
            raise DocumentError(
                f"The document's parameters are not those of its model: there is a number {number} but no {place}.",
                hint="Save the fit again.",
            )
    for what, got, wanted in _shapes(content):
        if got != wanted:
            raise DocumentError(f"The document's arrays do not fit together: {what} is {got}, not {wanted}.")


def _shapes(content: FitContent) -> Iterator[tuple[str, str, str]]:
    """What each array is and what the names and parameters beside it say that it must be."""

    def table(what: str, rows: tuple[tuple[float, ...], ...], width: int, length: int | None = None) -> Any:
        wide = sorted({len(row) for row in rows} - {width})
        got = f"{len(rows)} x {wide[0] if wide else width}"
        return what, got, f"{len(rows) if length is None else length} x {width}"

    def row(what: str, values: Sized | None, length: int) -> Any:
        return what, f"of length {length if values is None else len(values)}", f"of length {length}"

    free = max((record.free for record in content.parameters), default=0)
    yield table("vcov", content.vcov, free, free)
    yield table("replicates", content.replicates or (), free)
    people = content.population
    k = len(people.names)
    yield table("population.covariance", people.covariance, k, k)
    for name in ("mean", "low", "high"):
        yield row(f"population.{name}", getattr(people, name), k)
    for measure in content.measures:
        p = len(measure.items)
        yield table(f"within_covariance of {measure.name!r}", measure.within_covariance, p, p)
        for name in ("weights", "signs", "offsets", "lows", "highs", "codes", "errors"):
            yield row(f"{name} of {measure.name!r}", getattr(measure, name), p)
    for group in content.groups:
        p = len(group.covariance)
        yield table(f"covariance of group {group.name!r}", group.covariance, p, p)
        yield row(f"mean of group {group.name!r}", group.mean, p)


def read_text(path: AnyPath) -> str:
    """Read a text file, or say in one sentence why not."""
    source = as_path(path)
    try:
        return source.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _reason(error)
        raise DocumentError(f"{str(path)!r} cannot be read: {reason}.") from None


def write_text(path: AnyPath, text: str) -> Path:
    """Write a text file whole or not at all; see `roxmodel.saving.write_whole`."""
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentError(f"{str(path)!r} cannot be written: it holds characters that UTF-8 cannot write.") from None
    return write_whole(path, content)


def _canonical(content: object) -> str:
    return json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    """Replace what JSON cannot hold: NaN, infinities, tuples, and numpy's numbers and arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
