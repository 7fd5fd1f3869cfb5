"""What was asked of method "linked", as one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from roxmodel.types import Scaling, StandardErrors

__all__ = ["LinkedOptions", "WithinLevel"]

WithinLevel: TypeAlias = Literal["pooled", "saturated", "model"]


@dataclass(frozen=True, slots=True)
class LinkedOptions:
    """Options of method "linked"; `roxmodel.fit` says what each is."""

    se: StandardErrors = "standard"
    replicates: int = 0
    within: WithinLevel = "pooled"
    cluster: str | None = None
    observed: bool = True
    scaling: Scaling = "marker"
    seed: int | None = None
    progress: bool | None = None
