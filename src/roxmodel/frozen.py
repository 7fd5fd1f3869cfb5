"""Immutable, validated records: the shape of everything that comes from outside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from reprlib import Repr
from typing import Annotated, Any, NoReturn, Self, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from roxmodel.errors import RoxError, SpecError, did_you_mean

__all__ = ["Frozen", "FrozenMapping", "Label", "Number", "Whole", "sentence"]

K = TypeVar("K")
V = TypeVar("V")

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def _numeric(value: object) -> object:
    """Refuse what Python would quietly take for a number: booleans and text."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise ValueError("a number was expected")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a finite number was expected")
    return value + 0.0  # -0.0 becomes 0.0: equal records have equal documents


def _filled(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError("a text without blanks at its ends was expected")
    return text


# Numbers and labels as a specification takes them.
Number = Annotated[float, BeforeValidator(_numeric), AfterValidator(_finite)]
Whole = Annotated[int, BeforeValidator(_numeric)]
Label = Annotated[str, AfterValidator(_filled)]


def sentence(error: ValidationError, owner: type[BaseModel], given: Mapping[str, object] | None = None) -> RoxError:
    """Turn a pydantic error of a class being built into one clear sentence, the first culprit named.

    Its fields are offered when a field name is misspelt; the first short texts among the arguments `given` say which
    record is meant. An error of our own raised inside a validator is returned as it is.
    """
    every = error.errors()  # a misspelt argument explains the one that is missing
    first = next((one for one in every if one["type"] == "extra_forbidden"), every[0])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RoxError):
        return cause
    who = _who(owner, given or {})
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(str(first["loc"][-1]), [*owner.model_fields])
        return SpecError(f"{who} has no argument {where!r}.", hint=hint)
    if first["type"] == "missing":
        return SpecError(f"{who} needs {where!r}, which was not given.")
    if not where:
        return SpecError(f"{who}: {_why(first)}")
    return SpecError(f"{who}: {where!r} was {_SHORT.repr(first['input'])}: {_why(first)}")


def _why(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    why = error["msg"]
    if isinstance(context.get("error"), ValueError):
        why = str(context["error"])
    elif error["type"] == "model_type":
        why = f"a rox.{context['class_name']} was expected"
    return why if why.endswith((".", "?")) else f"{why}."


def _who(owner: type[BaseModel], given: Mapping[str, object]) -> str:
    texts = [
        f"{name}={value!r}"
        for name, value in given.items()
        if name in owner.model_fields and isinstance(value, str) and len(value) <= 80
    ]
    return f"{owner.__name__}({', '.join(texts[:2])})" if texts else owner.__name__


class Frozen(BaseModel):
    """A record that is checked when made and never changes; change is a copy with change.

    >>> class Point(Frozen):
    ...     x: float
    >>> Point(x=1.0).replace(x=2.0).x
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", val_json_bytes="utf8")

    def __init__(self, /, *unnamed: Any, **data: Any) -> None:
        if unnamed:
            who, names = type(self).__name__, [*type(self).model_fields][: len(unnamed)]
            raise SpecError(
                f"{who} was given {unnamed[0]!r} without saying what it is.",
                hint=f"Name the arguments: {who}({', '.join(f'{name}=...' for name in names)}).",
            )
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise sentence(error, type(self), data) from None
        except UnicodeEncodeError as error:
            raise SpecError(f"{type(self).__name__}: {error.object[:80]!r} holds half a character.") from None

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one.

        Raises
        ------
        RoxError
            As the constructor does.
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._refuse_change(name)

    def __delattr__(self, name: str) -> None:
        self._refuse_change(name)

    def _refuse_change(self, name: str) -> NoReturn:
        who = type(self).__name__
        raise SpecError(
            f"A {who} never changes: {name!r} cannot be set or deleted.",
            hint=f"Make a changed copy: .replace({name}=...).",
        )


class FrozenMapping(Mapping[K, V]):
    """A mapping that never changes and can be hashed, copied and pickled.

    >>> frozen = FrozenMapping({"a": 1})
    >>> frozen["a"], frozen == {"a": 1}
    (1, True)
    """

    __slots__ = ("_inner",)

    def __init__(self, given: Mapping[K, V]) -> None:
        self._inner = dict(given)

    def __getitem__(self, key: K) -> V:
        return self._inner[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __hash__(self) -> int:
        return hash(frozenset(self._inner.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._inner!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (FrozenMapping, (self._inner,))
