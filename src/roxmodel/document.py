"""The versioned JSON contract: what a saved model or fit says, and how it is read and written.

A document is an envelope (format, kind, schema version, checksum) around a content. It is not the object:
other programs may read it without this library. Numbers that JSON cannot hold stand as ``"NaN"``,
``"Infinity"`` and ``"-Infinity"``. This module is a leaf: it imports no room of ours but the errors.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic_core import ErrorDetails

from roxmodel.doubts import Doubt
from roxmodel.errors import DocumentError
from roxmodel.records import Equation, GroupMoments, Matrix, Measure, Population, Verdict, Whole, WithinEdge
from roxmodel.saving import AnyPath, as_path, write_whole

__all__ = [
    "SCHEMA_VERSION", "DoubtRecord", "EngineInfo", "FitContent", "ParameterRecord", "content_hash", "errors_field",
    "load_document", "named_file", "read_document", "read_fit", "read_text", "write_document", "write_text",
]  # fmt: skip

FORMAT: Final = "roxmodel"
_JOINED: Final = ": "
_NAMES: Final = {  # of records, as messages about spoilt documents have always had them
    "Equation": "EquationRecord",
    "GroupMoments": "GroupRecord",
    "Measure": "MeasureRecord",
    "Population": "PopulationRecord",
    "Verdict": "CheckRecord",
    "WithinEdge": "WithinRecord",
}
SCHEMA_VERSION: Final = 3  # 2: latent constructs (fixed values, errors of measures, groups); 3: edges within units


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


class DoubtRecord(_Record):
    """A doubt as it is saved: without names of units, `edges` (``a -> b``) in their place."""

    check: str
    verdict: Literal["doubtful", "unusable"]
    finding: str
    culprits: tuple[str, ...] = ()
    remedy: str = ""
    edges: tuple[str, ...] = ()

    @classmethod
    def of(cls, doubt: Doubt) -> Self:
        """What a document may hold of a doubt."""
        said: dict[str, Any] = {"check": doubt.check, "verdict": doubt.verdict, "edges": doubt.edges}
        if doubt.anonymous:
            remedy = "The fit itself names them (fit.doubts); a document names no unit."
            return cls(**said, finding=doubt.anonymous, remedy=remedy)
        return cls(**said, finding=doubt.finding, culprits=doubt.culprits, remedy=doubt.remedy)

    @property
    def doubt(self) -> Doubt:
        """The doubt as answers carry it."""
        return Doubt(self.check, self.verdict, self.finding, self.culprits, self.remedy, self.edges)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine stands on, from its document.

    >>> EngineInfo("branches", "path", 40, 40, "", "", 3, "34e3", ()).doubts
    ()
    """

    name: str  # name, method: of the model, and how it was estimated
    method: str
    n: int  # units or respondents in the data
    n_units: int | None  # None where there were none
    created: str  # created, version: when and by which version it was written; empty where it does not say
    version: str
    schema_version: int  # that the content follows
    hash: str  # SHA-256 of the content, the document's checksum
    doubts: tuple[Doubt, ...]  # without names of units; empty = none was seen, or it is older than the checks


class FitContent(_Record):
    """Everything a fit says, enough to simulate and to score without the data."""

    model: dict[str, Any]
    model_hash: str
    method: str
    level: str
    errors: str
    parameters: tuple[ParameterRecord, ...]
    vcov: Matrix
    equations: tuple[Equation, ...]
    measures: tuple[Measure, ...]
    population: Population
    replicates: Matrix | None
    indices: dict[str, float]
    converged: Verdict
    identified: Verdict
    admissible: Verdict
    notes: tuple[str, ...]
    groups: tuple[GroupMoments, ...] = ()
    scaling: str = "marker"
    estimator: str = ""
    missing: str = ""
    within_edges: tuple[WithinEdge, ...] = ()
    doubts: tuple[DoubtRecord, ...] = ()

    @model_serializer(mode="wrap")
    def _without_empty(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A fit without doubts has no such field, as before there was one."""
        found: dict[str, Any] = whole(self)
        return found if self.doubts else {name: value for name, value in found.items() if name != "doubts"}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__(memo)._closed()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._closed()

    def _closed(self) -> Self:
        """Arrays closed again: numpy forgets it when they are copied or unpickled."""
        for array in (self.vcov, self.replicates):
            if array is not None:
                array.setflags(write=False)
        return self

    @property
    def known_doubts(self) -> tuple[Doubt, ...]:
        """The doubts as answers carry them."""
        return tuple(record.doubt for record in self.doubts)

    @property
    def info(self) -> EngineInfo:
        """What stands on this document is told by this."""
        people, name = self.population, str(self.model.get("name", ""))
        own = (SCHEMA_VERSION, content_hash(self.model_dump(mode="python")), self.known_doubts)
        return EngineInfo(name, self.method, people.n, people.n_units, "", "", *own)

    @property
    def said_errors(self) -> tuple[str, str]:
        """Kind of standard errors, and how they were computed: one field since schema 1, joined by `errors_field`."""
        kind, _, how = self.errors.partition(_JOINED)
        return kind, how

    def model_dump(self, **how: Any) -> dict[str, Any]:
        """Plain values, by the names they have in a document."""
        return super().model_dump(**{"by_alias": True, **how})


def errors_field(kind: str, how: str) -> str:
    """Kind of standard errors, and how they were computed, as the field `FitContent.errors` holds them."""
    return f"{kind}{_JOINED}{how}"


def content_hash(content: object) -> str:
    """SHA-256 of the content in canonical JSON (sorted keys, no blanks).

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(_compact(_plain(content)).encode(errors="surrogatepass")).hexdigest()


def write_document(kind: str, content: Mapping[str, Any]) -> str:
    """Wrap a content in its envelope, as indented JSON; NaN and infinities are allowed."""
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

    A text that is no JSON (for example truncated), no document of this library, of another kind, of a newer schema, or
    altered since it was written, is refused.
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
        try:
            text = _compact(content)  # what JSON held is plain
        except ValueError:  # but for numbers beyond what a float holds
            text = _compact(_plain(content))
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
    """Read the document of a fit from a file; a message names the file."""
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
    """Read the document of a fit; a field that is missing, unknown or of the wrong type is named."""
    plain = read_document(text, "fit")
    try:
        content = FitContent.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"The document's field {where!r} is not as the schema has it: {_told(first)}.") from None
    _check_sizes(content)
    return content


def _told(error: ErrorDetails) -> str:
    """What pydantic found, in the words that it has for a model."""
    if error["type"] == "unexpected_keyword_argument":
        return "Extra inputs are not permitted"
    if error["type"] == "dataclass_type":
        return f"Input should be a valid dictionary or instance of {_NAMES[error['ctx']['class_name']]}"
    return error["msg"]


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

    def table(what: str, rows: Collection[Sized], width: int, length: int | None = None) -> Any:
        wide = sorted({len(row) for row in rows} - {width})
        got = f"{len(rows)} x {wide[0] if wide else width}"
        return what, got, f"{len(rows) if length is None else length} x {width}"

    def row(what: str, values: Sized | None, length: int) -> Any:
        return what, f"of length {length if values is None else len(values)}", f"of length {length}"

    free = max((record.free for record in content.parameters), default=0)
    yield table("vcov", content.vcov, free, free)
    yield table("replicates", () if content.replicates is None else content.replicates, free)
    people = content.population
    k = len(people.names)
    yield table("population.covariance", people.covariance, k, k)
    for name in ("mean", "low", "high"):
        yield row(f"population.{name}", getattr(people, name), k)
    for measure in content.measures:
        p = len(measure.items)
        yield table(f"within_covariance of {measure.name!r}", measure.within, p, p)
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


def _compact(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
