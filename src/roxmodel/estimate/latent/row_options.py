"""What was asked of method "sem", as one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from roxmodel.types import Scaling, StandardErrors

__all__ = ["Estimator", "Information", "Invariance", "Options"]

Estimator: TypeAlias = Literal["ML", "MLR", "MLM", "DWLS", "WLSMV"]
Invariance: TypeAlias = Literal["configural", "metric", "scalar"]
Information: TypeAlias = Literal["expected", "observed"]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of method "sem"; `roxmodel.fit` says what each is.

    Attributes
    ----------
    replicates
        Bootstrap replicates, 0 for none.
    equal
        Kinds of parameters held equal over groups: ``loadings``, ``intercepts``, ``residuals``, ``edges``.
    ordered
        Names of ordinal items, True for all of them, None for those whose scale says so.
    """

    estimator: Estimator = "ML"
    missing: Literal["listwise", "fiml"] = "listwise"
    se: StandardErrors = "standard"
    replicates: int = 0
    group: str | None = None
    equal: tuple[str, ...] = ()
    cluster: str | None = None
    weight: str | None = None
    frequency: str | None = None
    information: Information | None = None
    scaling: Scaling = "marker"
    ordered: Sequence[str] | bool | None = None
    means: bool = False
    seed: int | None = None
    progress: bool | None = None
