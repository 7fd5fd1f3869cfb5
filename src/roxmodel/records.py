"""The parts of a fit: estimates by row, equations, the population they speak of, verdicts.

They are the parts of a saved fit too (`roxmodel.document`): what stands here without `_UNSAVED` is written and read by
pydantic, arrays as lists. No record checks what our own code gives it; what comes from a document is checked whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from pydantic import Field, GetPydanticSchema
from pydantic_core import PydanticCustomError, core_schema

from roxmodel.doubts import Doubt
from roxmodel.types import BoolArray, FloatArray, read_only

__all__ = [
    "LINEAR", "Equation", "Estimates", "Fault", "FaultCode", "GroupMoments", "Matrix", "Measure", "Population",
    "ScoreTest", "Traits", "UnitScores", "Verdict", "Whole", "WithinEdge", "traits_of", "verdict_findings",
]  # fmt: skip

LINEAR = "linear"

_MOST: Final = 2**53  # the last whole number up to which every language counts
Whole = Annotated[int, Field(ge=0, le=_MOST)]
Size = Annotated[float, Field(ge=0, le=_MOST)]


def _array(ndim: int, plain: Any, check: Any) -> Any:
    """Nested lists as an array; rows of unequal length stay rows, for the document to say which sizes do not fit."""
    if isinstance(plain, np.ndarray):
        return plain
    rows = check(plain)
    try:
        found = np.array(rows, dtype=np.float64)
        found = found if len(rows) else found.reshape((0,) * ndim)
    except ValueError:
        found = np.empty(len(rows), dtype=object)
        found[:] = rows
    found.setflags(write=False)
    return found


def _saved_as(plain: Any, ndim: int) -> GetPydanticSchema:
    """An array that stands in a document as nested lists."""
    writer = core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
    return GetPydanticSchema(
        lambda _, schema: core_schema.no_info_wrap_validator_function(
            partial(_array, ndim), schema.generate_schema(plain), serialization=writer
        )
    )


def _refuse(_: object) -> Any:
    raise PydanticCustomError("extra_forbidden", "Extra inputs are not permitted")


Vector = Annotated[FloatArray, _saved_as(tuple[float, ...], 1)]
Matrix = Annotated[FloatArray, _saved_as(tuple[tuple[float, ...], ...], 2)]
_CODES: Final = GetPydanticSchema(lambda _, schema: schema.generate_schema(tuple[dict[str, float], ...]))
_UNSAVED: Final = (
    Field(exclude=True),
    GetPydanticSchema(lambda _, __: core_schema.no_info_plain_validator_function(_refuse)),
)

FaultCode: TypeAlias = Literal[
    "steps", "marker", "flat", "bound", "impossible", "inseparable", "loop", "ridge", "variance", "contradiction"
]
"""No optimum in all steps; a first item that is no unit; parameters that cannot be told apart; a variance at its bound;
covariances impossible together; constructs that coincide; a loop without equilibrium; a flat optimum; a residual
variance below 0; covariances that contradict each other."""


@read_only
@dataclass(frozen=True, slots=True)
class Estimates:
    """What was estimated, one value for each row of the parameter table (NaN where it does not apply)."""

    value: FloatArray
    se: FloatArray
    statistic: FloatArray  # estimate / se
    p: FloatArray  # two-sided
    low: FloatArray  # ends of the 95 % interval
    high: FloatArray
    standardized: FloatArray  # by model-implied standard deviations
    df: FloatArray  # of the t distribution; infinite for the normal
    # of an edge of a linear equation: share of what the other causes leave that its cause explains
    partial_r2: FloatArray


@dataclass(frozen=True, slots=True)
class Equation:
    """How one effect was estimated."""

    effect: str  # the construct
    family: str  # linear, logit, poisson or negative binomial
    n: Whole  # rows (units or respondents) with the effect and all its causes
    df: float  # of its t tests (infinite for the normal)
    dispersion: float  # alpha of the negative binomial (variance = mean + alpha · mean²), else NaN


@read_only
@dataclass(frozen=True, slots=True)
class Measure:
    """How answers become the score of one construct: ``score = Σ weight · (offset + sign · answer)``."""

    name: str
    factor: str
    source: str
    items: tuple[str, ...]
    weights: Vector  # (p,)
    signs: Vector
    offsets: Vector
    lows: tuple[float | None, ...]  # ends of the items' scales, None where there is none
    highs: tuple[float | None, ...]
    codes: Annotated[tuple[Mapping[str, float], ...], _CODES]  # text answer -> number
    # (p, p) covariance of single answers within a unit (NaN where unknown)
    within: Annotated[Matrix, Field(alias="within_covariance")]
    errors: Vector | None = None  # (p,) in units of the score: of a latent construct θ / λ²; None for item means


@read_only
@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The units (or respondents) a fit speaks of."""

    names: tuple[str, ...]  # (k,)
    n: Whole  # units or respondents in the data
    n_units: Whole | None
    units: Annotated[tuple[Hashable, ...] | None, *_UNSAVED] = None  # keys
    levels: Annotated[FloatArray | None, *_UNSAVED] = None  # (n, k), NaN where not measured or hidden
    mean: Vector | None  # (k,) scores; None where a printed matrix had none
    covariance: Matrix
    low: Vector | None  # levels seen; loaded: means of the five outermost units (None with fewer than ten)
    high: Vector | None
    roots: Annotated[FloatArray | None, *_UNSAVED] = None  # (n, k, k) `lower_roots` of what is not known; None = known
    hidden: Annotated[BoolArray | None, *_UNSAVED] = None  # (n, k) too few answered: levels, mean, ends are without
    min_group: Annotated[int, *_UNSAVED] = 0  # people that a shown level rests on


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that makes a verdict fail: its code, words for a reader, what it concerns: parameters by id, names."""

    code: FaultCode
    words: str
    rows: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # constructs and items, where no parameter of its own says which
    edges: tuple[str, ...] = ()  # ``a -> b``, where names would name too many
    remedy: str = ""  # what to do, as it ends the sentence

    @property
    def told(self) -> str:
        """The words, and what to do."""
        return f"{self.words}; {self.remedy}" if self.remedy else self.words


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict and its reason; `faults` say the same to code, and are not written to a document."""

    ok: bool
    reason: str
    faults: Annotated[tuple[Fault, ...], *_UNSAVED] = field(default=(), compare=False)

    @classmethod
    def of(cls, faults: Sequence[Fault], otherwise: str) -> Verdict:
        """Failed for the faults; without any it holds, for the reason given."""
        if not faults:
            return cls(True, otherwise)
        return cls(False, "; ".join(fault.told for fault in faults), tuple(faults))


def verdict_findings(verdicts: Mapping[str, Verdict]) -> tuple[Doubt, ...]:
    """The verdicts as rows of the table of checks, before anything else is known of them."""
    return tuple(_verdict_finding(name, verdict) for name, verdict in verdicts.items())


def _verdict_finding(name: str, verdict: Verdict) -> Doubt:
    reason = f"{verdict.reason[:1].upper()}{verdict.reason[1:]}."
    if verdict.ok:
        return Doubt(name, "ok", reason, (), "")
    culprits = tuple(dict.fromkeys(row for fault in verdict.faults for row in fault.rows))
    remedy = "Mend it before anything is read off this fit (see the reason)."
    return Doubt(name, "unusable", f"Not {name}: {verdict.reason}.", culprits, remedy)


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """What the data ask of one parameter that is not free; kept with a fit in memory, in no document."""

    kind: str
    left: str
    right: str
    group: str
    status: str  # absent, fixed, equal
    mi: float  # by which -2 loglik would fall; NaN where it cannot be told from the parameters of the model
    epc: float  # by which the parameter would change
    epc_standardized: float


@dataclass(frozen=True, slots=True)
class Traits:
    """What a fit is like, so that nobody has to ask which method made it."""

    latent: bool  # items measure constructs, and the fit keeps the moments of the items
    levels: Literal["observed", "predicted", "none"]  # of the single unit: taken as exact, with an error, not known
    skewed: bool = False  # products of edges have skewed distributions, as with few units
    ordinal: bool = False  # covariances are those of normal variables behind ordinal items


_TRAITS: Final[Mapping[str, Traits]] = {
    "path": Traits(latent=False, levels="observed"),
    "sem": Traits(latent=True, levels="none"),
    "linked": Traits(latent=True, levels="predicted", skewed=True),
}
_ORDINAL: Final = frozenset({"DWLS", "WLSMV"})


def traits_of(method: str, estimator: str = "") -> Traits:
    """What fits by a method, and by one of its estimators, are like."""
    return replace(_TRAITS[method], ordinal=estimator in _ORDINAL)


@read_only
@dataclass(frozen=True, slots=True)
class GroupMoments:
    """Moments of the items in one group, that a latent model was fitted to."""

    name: str  # empty for one group
    n: Size  # rows
    mean: Vector | None  # (p,); None where a printed matrix had none
    covariance: Matrix  # (p, p), divisor n; with missing answers the maximum-likelihood ones
    people: Annotated[float | None, *_UNSAVED] = None  # where sampling weights make them other than n


@dataclass(frozen=True, slots=True)
class WithinEdge:
    """An edge among the answers of people of one unit: never the effect between units. Normal theory."""

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


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class UnitScores:
    """Predicted levels of the units of a linked fit; kept in memory, never written to a document."""

    units: tuple[Hashable, ...]  # (J,) keys
    values: FloatArray  # (J, k) in points of each construct's first item
    errors: FloatArray  # (J, k) standard errors, parameters taken as known
    fewest: FloatArray  # (J, k) fewest respondents behind an answered item; infinite for figures of the unit
    known: BoolArray  # (J, k) whether the prediction rests on something of the construct itself
    hidden: BoolArray  # (J, k) not to be shown (NaN); no other of the unit rests on the answers behind it
    by: str = "unit"  # name of the key
    min_group: int = 5  # respondents that a shown score rests on at least
