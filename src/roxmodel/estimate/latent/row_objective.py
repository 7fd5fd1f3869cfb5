"""What is minimised: half the discrepancy per observation, over all groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.estimate.latent.patterns import Patterns, expand_patterns, half_deviance
from roxmodel.implied.layout import Layout
from roxmodel.implied.normal import Expansion, Target, expand, half_discrepancy
from roxmodel.types import FloatArray

__all__ = ["Objective", "Part"]


@dataclass(frozen=True, slots=True)
class Part:
    """One group: its layout, its moments, its share of all observations."""

    layout: Layout
    data: Target | Patterns
    share: float


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum over groups that share one theta."""

    parts: Sequence[Part]

    def value(self, theta: FloatArray) -> float:
        """F/2 (complete data) or half of -2 loglik (missing answers), per observation."""
        total = 0.0
        for part in self.parts:
            if isinstance(part.data, Patterns):
                total += part.share * half_deviance(part.layout, theta, part.data)
            else:
                total += part.share * half_discrepancy(part.layout, theta, part.data)
        return total if np.isfinite(total) else float("inf")

    def expand(self, theta: FloatArray) -> Expansion:
        """The value with its gradient, Hessian and expected information."""
        found = [
            expand_patterns(part.layout, theta, part.data)
            if isinstance(part.data, Patterns)
            else expand(part.layout, theta, part.data)
            for part in self.parts
        ]
        shares = [part.share for part in self.parts]
        return Expansion(
            value=float(sum(s * e.value for s, e in zip(shares, found, strict=True))),
            gradient=np.sum([s * e.gradient for s, e in zip(shares, found, strict=True)], axis=0),
            hessian=np.sum([s * e.hessian for s, e in zip(shares, found, strict=True)], axis=0),
            information=np.sum([s * e.information for s, e in zip(shares, found, strict=True)], axis=0),
        )
