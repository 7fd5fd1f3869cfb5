"""Immutable, validated records: the shape of everything that comes from outside."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from roxmodel.errors import RoxError, SpecError, did_you_mean

__all__ = ["Frozen", "sentence"]


def sentence(error: ValidationError, owner: type[BaseModel]) -> RoxError:
    """Turn a pydantic error into one clear sentence, the first culprit named.

    Parameters
    ----------
    error
        What pydantic raised.
    owner
        The class that was being built; its fields are offered when a field name is misspelt.

    Returns
    -------
    RoxError
        The error raised inside a validator if there was one, otherwise a `SpecError`.
    """
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, RoxError):
        return cause
    where = ".".join(str(part) for part in first["loc"]) or owner.__name__
    if first["type"] == "extra_forbidden":
        hint = did_you_mean(str(first["loc"][-1]), [*owner.model_fields])
        return SpecError(f"{owner.__name__} has no argument {where!r}.", hint=hint)
    if first["type"] == "missing":
        return SpecError(f"{owner.__name__} needs {where!r}, which was not given.")
    if isinstance(cause, ValueError):
        return SpecError(f"{owner.__name__}: {cause}")
    return SpecError(f"{owner.__name__}: {where!r} was {first['input']!r}: {first['msg']}.")


class Frozen(BaseModel):
    """A record that is checked when made and never changes; change is a copy with change.

    Examples
    --------
    >>> class Point(Frozen):
    ...     x: float
    >>> Point(x=1.0).replace(x=2.0).x
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings", val_json_bytes="utf8")

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise sentence(error, type(self)) from None

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like a new one.

        Raises
        ------
        RoxError
            As the constructor does.
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})
