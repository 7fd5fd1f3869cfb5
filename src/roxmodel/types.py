"""Array aliases, option Literals and constrained numbers shared by every room."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIGURES",
    "BoolArray",
    "Factor",
    "FloatArray",
    "IntArray",
    "Interval",
    "Level",
    "Method",
    "Residuals",
    "Scaling",
    "StandardErrors",
]

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
