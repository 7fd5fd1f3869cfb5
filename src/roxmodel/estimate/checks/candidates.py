"""What the data ask of every parameter that is not free: score tests by the likelihood that the fit maximised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.checks.evidence import Estimated
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.implied.score_tests import Freed
from roxmodel.result.fit import Fit
from roxmodel.result.misfit import Basis, Candidate, candidates_of, is_structural, score_rows, tested
from roxmodel.types import FloatArray

__all__ = ["CandidateTests", "asked_of", "with_score_tests"]

_MOST_ITEMS = 40  # with more, only arrows and covariances of constructs: items have p² / 2 candidates


@dataclass(frozen=True, slots=True)
class CandidateTests:
    """Candidates, what each would bring, and what its change is multiplied by to be standardised."""

    candidates: tuple[Candidate, ...]
    asked: Freed
    units: FloatArray  # (c,)


def asked_of(estimated: Estimated) -> CandidateTests | None:
    """Test every candidate; None for regressions, ordinal items and an optimum that was not reached."""
    fit, solution = estimated.fit, estimated.solution
    if solution is None or fit.traits.ordinal or not (fit.converged and fit.identified):
        return None
    candidates = list(candidates_of(fit))
    if len(solution.sample.items) > _MOST_ITEMS:
        candidates = [one for one in candidates if is_structural(one.row, fit.model.names)]
    if not candidates:
        return None
    try:
        with one_blas_thread():
            asked, units = tested(fit, candidates, _seen(solution))
    except np.linalg.LinAlgError:
        return None
    return CandidateTests(tuple(candidates), asked, units)


def _seen(solution: LatentSolution) -> Basis:
    sample = solution.sample
    if isinstance(sample, LinkedSample):
        return Basis(sample.scale, (sample.data.merged(),))
    return Basis(sample.scale, tuple(group.data for group in sample.groups))


def with_score_tests(fit: Fit, found: CandidateTests | None) -> Fit:
    """The fit with what was found, where its own moments could not tell it later: units, answers with holes."""
    if found is None or not (fit.traits.levels == "predicted" or fit.missing != "listwise"):
        return fit
    return replace(fit, score_tests=tuple(score_rows(found.candidates, found.asked, found.units)))
