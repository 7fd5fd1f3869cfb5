"""What can be asked of each method: one frozen record a method, checked where it is made of the keywords of `fit`.

An option stands under its name as a keyword of `roxmodel.fit`, which says what it is.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from roxmodel.errors import RoxError, did_you_mean
from roxmodel.moments.single import Moments
from roxmodel.types import Scaling, StandardErrors

__all__ = [
    "EQUAL_KINDS",
    "HELD_EQUAL",
    "Estimator",
    "HeldEqual",
    "Information",
    "LinkedOptions",
    "MethodGuard",
    "PathOptions",
    "SemOptions",
    "WithinLevel",
    "keywords_of",
    "kinds_of",
]

Estimator: TypeAlias = Literal["ML", "MLR", "MLM", "DWLS", "WLSMV"]
Missing: TypeAlias = Literal["listwise", "fiml"]
HeldEqual: TypeAlias = Literal["configural", "metric", "scalar"]
Information: TypeAlias = Literal["expected", "observed"]
WithinLevel: TypeAlias = Literal["pooled", "saturated", "model"]
MethodGuard: TypeAlias = Literal["split", "factor"]
EQUAL_KINDS: Final = ("loadings", "intercepts", "residuals", "edges")
HELD_EQUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
}


_MOST_REPLICATES: Final = 1_000_000
_USUAL_REPLICATES: Final = 2_000
_LENT: Final = {"lent": True}  # understood, but an option of another method


@dataclass(frozen=True, slots=True)
class PathOptions:
    """Options of method "path"."""

    se: StandardErrors = "robust"
    bootstrap: int = 0
    cluster: str | None = None
    seed: int | None = None
    progress: bool | None = None
    method_guard: MethodGuard | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], data: object) -> PathOptions:
        """From the keywords, which say how errors are found."""
        errors = _errors(given, data)
        usual = "bootstrap" if errors["bootstrap"] else "standard" if isinstance(data, Moments) else "robust"
        return cls(**{**given, **errors, "se": given["se"] or usual})


@dataclass(frozen=True, slots=True)
class SemOptions:
    """Options of method "sem"; `equal` holds what `invariance` asks for too."""

    estimator: Estimator = "ML"
    missing: Missing = "listwise"
    se: StandardErrors = "standard"
    bootstrap: int = 0
    group: str | None = None
    cluster: str | None = None
    seed: int | None = None
    progress: bool | None = None
    weight: str | None = None
    frequency: str | None = None
    invariance: HeldEqual = "configural"
    equal: tuple[str, ...] = ()
    scaling: Scaling = "marker"
    information: Information | None = None
    ordered: Sequence[str] | bool | None = None
    means: bool = False
    method_guard: MethodGuard | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], data: object) -> SemOptions:
        """From the keywords, which must not contradict each other."""
        asked = cls(**{**given, **_errors(given, data)})
        _one_of("estimator", asked.estimator, get_args(Estimator))
        _one_of("missing", asked.missing, get_args(Missing))
        _one_of("invariance", asked.invariance, get_args(HeldEqual))
        _one_of("scaling", asked.scaling, get_args(Scaling))
        if asked.information is not None:
            _one_of("information", asked.information, get_args(Information))
        for kind in asked.equal:
            _one_of("equal", kind, EQUAL_KINDS)
        equal = tuple(dict.fromkeys((*HELD_EQUAL[asked.invariance], *asked.equal)))
        _check_columns(asked, equal)
        _check_estimator(asked)
        usual: StandardErrors = "standard" if asked.estimator == "ML" else "robust"
        return replace(asked, se=given["se"] or usual, equal=equal)


@dataclass(frozen=True, slots=True)
class LinkedOptions:
    """Options of method "linked"."""

    estimator: Literal["ML", "MLR"] = field(default="ML", metadata=_LENT)
    missing: Literal["listwise"] = field(default="listwise", metadata=_LENT)
    se: StandardErrors = "standard"
    bootstrap: int = 0
    cluster: str | None = None
    within: WithinLevel = "pooled"
    seed: int | None = None
    progress: bool | None = None
    weight: None = field(default=None, metadata=_LENT)
    frequency: None = field(default=None, metadata=_LENT)
    scaling: Scaling = "marker"
    information: Information | None = None
    method_guard: MethodGuard | None = None

    @property
    def observed(self) -> bool:
        """Whether errors rest on the observed information."""
        return self.information != "expected"

    @classmethod
    def of(cls, given: Mapping[str, Any], _data: object) -> LinkedOptions:
        """From the keywords, which must not contradict each other."""
        asked = cls(**given)
        _check_linked(asked)
        _one_of("scaling", asked.scaling, get_args(Scaling))
        robust = asked.estimator == "MLR"
        if robust and asked.se == "standard":
            raise RoxError("estimator='MLR' and se='standard' contradict each other.", hint="Leave one of them out.")
        errors = _errors(given, None)
        usual: StandardErrors = "bootstrap" if errors["bootstrap"] else "robust" if robust else "standard"
        return replace(asked, **errors, se=given["se"] or usual)


AnyOptions: TypeAlias = PathOptions | SemOptions | LinkedOptions


def keywords_of(options: type[AnyOptions], *, lent: bool = True) -> dict[str, object]:
    """Keywords that a method understands, with what leaves them out; with or without those of other methods."""
    return {one.name: one.default for one in fields(options) if lent or not one.metadata}


def _errors(given: Mapping[str, Any], data: object) -> dict[str, Any]:
    """Number of replicates and seed, checked against each other and against `se`."""
    se, asked = given["se"], given["bootstrap"]
    if se not in (None, *get_args(StandardErrors)):
        raise RoxError(f"se= was {se!r}.", allowed="'standard', 'robust' or 'bootstrap'")
    replicates = _whole("bootstrap", asked, "a whole number of replicates, 0 for none")
    seed = None
    if given["seed"] is not None:
        seed = _whole("seed", given["seed"], "None or a whole number of at least 0")
    if isinstance(data, Moments) and (se in {"robust", "bootstrap"} or replicates):
        raise RoxError("A printed matrix has no rows, so only classical errors exist.", hint="Leave se= out.")
    if replicates and se not in {None, "bootstrap"}:
        raise RoxError(f"bootstrap={asked} and se={se!r} contradict each other.", hint="Say se='bootstrap'.")
    if replicates > _MOST_REPLICATES:
        raise RoxError(
            f"bootstrap={replicates:,} replicates are more than any error needs.",
            allowed=f"at most {_MOST_REPLICATES:,}, better 2,000",
        )
    if replicates == 1:
        raise RoxError("bootstrap=1 gives no standard error.", allowed="at least 2 replicates, better 2,000")
    return {"bootstrap": replicates or (_USUAL_REPLICATES if se == "bootstrap" else 0), "seed": seed}


def _whole(name: str, given: object, allowed: str) -> int:
    try:
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0 or isinstance(given, bool):
        raise RoxError(f"{name}= was {given!r}.", allowed=allowed)
    return value


def kinds_of(equal: object) -> tuple[str, ...]:
    """Kinds of parameters from one name, a sequence of names, or nothing."""
    if equal is None or isinstance(equal, str):
        return () if not equal else (equal,)
    if not isinstance(equal, Iterable):
        raise RoxError(f"equal= was {equal!r}.", allowed="names such as 'loadings', 'edges'")
    return tuple(equal)


def _one_of(name: str, given: object, allowed: Sequence[str]) -> None:
    if given not in allowed:
        raise RoxError(f"{name}= was {given!r}.", hint=did_you_mean(str(given), allowed))


def _check_columns(asked: SemOptions, equal: Sequence[str]) -> None:
    for name in ("group", "cluster", "weight", "frequency"):
        given: object = getattr(asked, name)
        if not (given is None or isinstance(given, str)):
            raise RoxError(f"{name}= was {given!r}.", allowed="the name of a column, or None")
    if not (asked.ordered is None or isinstance(asked.ordered, bool | Iterable)):
        raise RoxError(f"ordered= was {asked.ordered!r}.", allowed="names of items, True for all, or None")
    if equal and asked.group is None:
        raise RoxError(f"{', '.join(equal)} were to be equal over groups, but there is no group.", hint="Say group=.")
    if asked.weight is not None and asked.frequency is not None:
        raise RoxError(
            f"weight={asked.weight!r} and frequency={asked.frequency!r} were both given.", hint="Give one of them."
        )


def _check_estimator(asked: SemOptions) -> None:
    ordinal = asked.estimator in {"DWLS", "WLSMV"}
    if asked.missing == "fiml" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"missing='fiml' and estimator={asked.estimator!r} contradict each other: it needs complete answers.",
            hint="Use estimator='MLR' with missing='fiml'"
            + (" and without ordered=" if asked.ordered is not None else "")
            + ", or missing='listwise'.",
        )
    if asked.ordered is not None and not ordinal:
        raise RoxError(
            f"ordered={asked.ordered!r} is an option of estimator='DWLS', but estimator={asked.estimator!r} was asked "
            "for.",
            hint="Say estimator='DWLS', or leave ordered= out.",
        )
    if asked.estimator == "MLM" and (asked.weight is not None or asked.cluster is not None):
        raise RoxError("estimator='MLM' knows no weights and no clusters.", hint="Use estimator='MLR'.")
    if asked.information == "observed" and (ordinal or asked.estimator == "MLM"):
        raise RoxError(
            f"estimator={asked.estimator!r} rests on the expected information.", hint="Leave information= out."
        )


def _check_linked(asked: LinkedOptions) -> None:
    """What it understands of other methods' options, and what belongs elsewhere."""
    if asked.estimator not in ("ML", "MLR"):
        raise RoxError(
            f"estimator={asked.estimator!r} is not an option of method='linked'.",
            allowed="'ML' or 'MLR' (sandwich by unit)",
        )
    if asked.missing not in get_args(Missing):
        raise RoxError(f"missing={asked.missing!r} is not an option of method='linked'.", hint="Leave missing= out.")
    if asked.missing != "listwise":
        raise RoxError(
            "missing='fiml' is an option of method='sem'; method='linked' uses all answers anyway.",
            hint="Say within='saturated' for the likelihood of all answers, which assumes missing at random.",
        )
    if asked.information not in (None, *get_args(Information)):
        raise RoxError(f"information= was {asked.information!r}.", allowed="'expected', 'observed' or None")
    for name in ("weight", "frequency"):
        if getattr(asked, name) is not None:
            raise RoxError(f"{name}= belongs to the Study, which counts the answers.", hint=f"rox.Study(..., {name}=).")
