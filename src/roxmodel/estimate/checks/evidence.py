"""What a fit is judged by, and how much each check may cry wolf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel

if TYPE_CHECKING:
    from roxmodel.estimate.checks.candidates import CandidateTests
    from roxmodel.estimate.latent.sample import LatentSolution

__all__ = ["LEVELS", "Estimated", "Evidence"]

LEVELS: Final[Mapping[str, float]] = {
    "missing_arrow": 0.010,
    "misfit": 0.006,
    "dependence": 0.010,
    "books": 0.002,
    "leverage": 0.002,
    "units": 0.002,
    "response": 0.002,
    "sampling": 0.002,
    "teams": 0.002,
    "method": 0.004,
    "collinear": 0.002,
    "sign": 0.002,
    "reversed": 0.001,
    "admissible": 0.001,
    "size": 0.001,
}
"""Probability that each check doubts a fit whose model made the data; all together under 5 % (Bonferroni over the
checks, Holm within each)."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a method found: the fit, and the solution it was made of; None for regressions of composites."""

    fit: Fit
    solution: LatentSolution | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fit with what it was made of."""

    model: RoxModel
    data: object  # Study, LinkedMoments, Moments or a frame
    fit: Fit
    solution: LatentSolution | None
    columns: Mapping[str, str | None]  # of the frame by option: group, cluster, weight, frequency
    tested: CandidateTests | None = None  # what the data ask of what is not free; None where nothing can be tested
