"""What the data ask of every parameter that is not free: score tests by the likelihood that the fit maximised."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roxmodel.estimate.checks.evidence import Estimated
from roxmodel.estimate.latent.sample import LatentSolution, LinkedSample
from roxmodel.implied.likelihood import case_scores
from roxmodel.implied.matrices import one_blas_thread
from roxmodel.implied.score_tests import Freed
from roxmodel.result.fit import Fit
from roxmodel.result.latent import given_by_data
from roxmodel.result.misfit import (
    Basis,
    Candidate,
    candidates_of,
    extended,
    is_structural,
    score_rows,
    tested,
)
from roxmodel.types import FloatArray

__all__ = ["CandidateTests", "asked_of", "with_score_tests"]

_MOST_ITEMS = 40  # with more, only arrows and covariances of constructs: items have p² / 2 candidates


@dataclass(frozen=True, slots=True)
class CandidateTests:
    """Candidates, what each would bring, and what its change is multiplied by to be standardised.

    Where cases are not independent or are weighted, `scores` are those of each candidate, (c, C), summed by cluster
    (or of each case), what the parameters of the model account for taken off: a test is then whether their mean is 0.
    """

    candidates: tuple[Candidate, ...]
    asked: Freed
    units: FloatArray  # (c,)
    scores: FloatArray | None = None

    @property
    def n(self) -> float:
        """What is independent: cases, or clusters of them."""
        return self.asked.n if self.scores is None else float(self.scores.shape[1])

    @property
    def statistic(self) -> FloatArray:
        """(c,) statistic of each test, by the spread of the scores where these are needed."""
        if self.scores is None:
            return self.asked.statistic
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.scores.sum(axis=1) ** 2 / (self.scores**2).sum(axis=1)
        return np.asarray(np.where(np.isnan(self.asked.statistic), np.nan, found))

    def given(self, place: int) -> CandidateTests:
        """The same once one candidate is in the model."""
        scores = self.scores
        if scores is not None:
            scores = scores - np.outer(self.asked.left[:, place] / self.asked.left[place, place], scores[place])
        return replace(self, asked=self.asked.given(place), scores=scores)


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
            found = CandidateTests(tuple(candidates), *tested(fit, candidates, _basis(solution)))
            return replace(found, scores=_scores(fit, solution, found))
    except np.linalg.LinAlgError:
        return None


def _basis(solution: LatentSolution) -> Basis:
    sample = solution.sample
    if isinstance(sample, LinkedSample):
        return Basis(sample.scale, (sample.data.merged(),))
    return Basis(sample.scale, tuple(group.data for group in sample.groups))


def _scores(fit: Fit, solution: LatentSolution, found: CandidateTests) -> FloatArray | None:
    """Where units or rows are clustered or weighted: scores of the candidates summed by cluster."""
    sample = solution.sample
    group = sample.groups[0]
    if len(sample.groups) > 1 or (group.clusters is None and not group.sampling):
        return None
    theta = np.concatenate([fit.theta, given_by_data(fit)[1], [one.value for one in found.candidates]])
    layout = extended(fit, found.candidates, sample.scale)[0].layout
    linked = isinstance(sample, LinkedSample)
    data = sample.data if isinstance(sample, LinkedSample) else group.data
    m = found.asked.lean.shape[1]
    count = len(sample.data.mean) if isinstance(sample, LinkedSample) else len(np.asarray(group.rows))
    clusters = np.arange(count) if group.clusters is None else group.clusters
    sums = np.zeros((int(clusters.max()) + 1, len(found.candidates)))
    for span, rows in case_scores(layout, theta, data, None if linked else group.rows):
        own = layout.link.T @ rows
        left = (own[m:] + found.asked.lean @ own[:m]).T
        np.add.at(sums, clusters[span], left if group.weights is None else left * group.weights[span, None])
    return sums[np.bincount(clusters, minlength=len(sums)) > 0].T


def with_score_tests(fit: Fit, found: CandidateTests | None) -> Fit:
    """The fit with what was found, where its own moments could not tell it later: units, answers with holes."""
    if found is None or not (fit.traits.levels == "predicted" or fit.missing != "listwise"):
        return fit
    return replace(fit, score_tests=tuple(score_rows(found.candidates, found.asked, found.units)))
