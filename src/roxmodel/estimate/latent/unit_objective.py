"""What is minimised: half the deviance of the unit means."""

from __future__ import annotations

from dataclasses import dataclass

from roxmodel.implied.layout import Layout
from roxmodel.implied.noisy import NoisyMeans, expand_noisy, half_deviance_noisy
from roxmodel.implied.normal import Expansion
from roxmodel.types import FloatArray

__all__ = ["NoisyObjective"]


@dataclass(frozen=True, slots=True)
class NoisyObjective:
    """Half the deviance per unit."""

    layout: Layout
    data: NoisyMeans

    def value(self, theta: FloatArray) -> float:
        """At theta; infinite where it is not defined."""
        return half_deviance_noisy(self.layout, theta, self.data)

    def expand(self, theta: FloatArray) -> Expansion:
        """With its derivatives."""
        return expand_noisy(self.layout, theta, self.data)
