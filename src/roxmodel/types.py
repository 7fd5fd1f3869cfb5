"""Array aliases, arrays that stay as they are, and option literals, shared by every room."""

from __future__ import annotations

from dataclasses import fields
from functools import wraps
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIGURES", "BoolArray", "Factor", "FloatArray", "IntArray", "Interval", "Level", "Method", "Residuals", "Scaling",
    "StandardErrors", "read_only",
]  # fmt: skip

T = TypeVar("T")

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Factor: TypeAlias = Literal["pride", "influencers", "behaviours", "value_drivers", "outcomes", "context"]
Method: TypeAlias = Literal["linked", "sem", "path"]
StandardErrors: TypeAlias = Literal["standard", "robust", "bootstrap"]
Residuals: TypeAlias = Literal["free", "equal", "zero"]
Interval: TypeAlias = Literal["delta", "draws", "bca"]
Level: TypeAlias = Literal["between", "within", "single"]
Scaling: TypeAlias = Literal["marker", "standardized"]

FIGURES: Final = frozenset({"binary", "count", "percent"})
"""Kinds of scales of what is one outcome of a unit or a person, not a position on a rating."""


def read_only(record: type[T]) -> type[T]:
    """Close the arrays of a frozen dataclass to writing: when it is made, and when a copy or a pickle of it arrives.

    numpy forgets that an array was read-only as soon as it is copied or pickled. A view that is closed leaves the
    array it looks at open; arrays inside of tuples and mappings are not looked for.

    >>> import copy
    >>> from dataclasses import dataclass
    >>> @read_only
    ... @dataclass(frozen=True)
    ... class Means:
    ...     values: FloatArray
    >>> copy.deepcopy(Means(np.zeros(2))).values.flags.writeable
    False
    """
    made: Any = record.__init__
    restored: Any = getattr(record, "__setstate__", None)

    @wraps(made)
    def init(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        _close(self)

    def setstate(self: Any, state: Any) -> None:
        if restored is None:
            vars(self).update(state)
        else:
            restored(self, state)
        _close(self)

    for name, method in (("__init__", init), ("__setstate__", setstate)):
        setattr(record, name, method)
    return record


def _close(record: Any) -> None:
    names = {*(field.name for field in fields(record)), *getattr(record, "__dict__", {})}
    for name in names:
        value = getattr(record, name, None)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
