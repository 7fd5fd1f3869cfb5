"""The small print of a fit: how errors were computed, what was assumed, whether it can be believed."""

from __future__ import annotations

import numpy as np

from roxmodel.estimate.defined import unknown_definitions
from roxmodel.estimate.path import Solution
from roxmodel.estimate.scores import Scores
from roxmodel.estimate.sentences import assumed_notes, causal_notes, sign_notes
from roxmodel.records import LINEAR, Fault, Resampling, Verdict
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray, StandardErrors

__all__ = ["error_words", "notes_of", "verdicts_of"]


def error_words(se: StandardErrors, scores: Scores, solution: Solution, resampling: Resampling | None) -> str:
    """How standard errors and intervals were computed."""
    if resampling is not None:
        whom = scores.cluster_name or ("unit" if scores.level == "between" else "row")
        failed = f", {resampling.failed} failed and left out" if resampling.failed else ""
        return f"bootstrap by {whom}, {len(resampling.replicates)} replicates{failed}, percentile intervals"
    if scores.clusters is not None:
        return f"clustered by {scores.cluster_name} ({int(scores.clusters.max()) + 1} clusters)"
    if se == "standard":
        return "classical"
    curved = any(equation.family != LINEAR for equation in solution.equations)
    return "heteroscedasticity-consistent (HC3" + ("; sandwich for curved equations)" if curved else ")")


def notes_of(
    model: RoxModel, table: ParameterTable, scores: Scores, solution: Solution, resampling: Resampling | None
) -> tuple[str, ...]:
    """What a reader must know, in sentences."""
    notes = causal_notes(model)
    notes += [*scores.notes, *solution.warnings]
    notes += assumed_notes(table)
    curved = [f"{e.effect} ({e.family})" for e in solution.equations if e.family != LINEAR]
    if curved:
        notes.append(
            f"Curved equations: {', '.join(curved)}. Their edges are on the scale of the predictor; effects() gives "
            "average changes on the response scale."
        )
    notes += sign_notes(model, table, solution.theta)
    notes += _thin_notes(scores, resampling)
    unknown = unknown_definitions(model, table)
    if unknown:
        notes.append(
            f"Not computed: {', '.join(unknown)}. They use the label of a loading, and composites have no loadings."
        )
    return tuple(notes)


def _thin_notes(scores: Scores, resampling: Resampling | None) -> list[str]:
    notes = []
    clusters = 0 if scores.clusters is None else int(scores.clusters.max()) + 1
    if 0 < clusters < 30:
        notes.append(f"Only {clusters} clusters: errors that rest on so few are rough, and as a rule too small.")
    if scores.level == "between" and scores.n < 30:
        notes.append(f"Only {scores.n} units: intervals are wide and rest on few units.")
    if resampling is not None and resampling.failed:
        notes.append(f"{resampling.failed} bootstrap replicates could not be estimated and are left out.")
    return notes


def verdicts_of(table: ParameterTable, solution: Solution, psi: FloatArray) -> dict[str, Verdict]:
    """Converged, identified, admissible, each with its reason.

    Parameters
    ----------
    table, solution
        What was estimated.
    psi
        (k, k) covariance of exogenous constructs and disturbances.
    """
    return {
        "converged": Verdict(True, "least squares has a closed form, and every iteration ended"),
        "identified": Verdict(True, "the graph has no loop, and no declared common cause confounds an edge"),
        "admissible": _admissible(table, solution, psi),
    }


def _admissible(table: ParameterTable, solution: Solution, psi: FloatArray) -> Verdict:
    negative = [row for row in table.of("variance") if row.free and solution.theta[row.free - 1] <= 0]
    if negative:
        words = f"the residual variance of {negative[0].left!r} is not positive"
        return Verdict.of([Fault("variance", words, tuple(row.id for row in negative))], "")
    spread = np.sqrt(np.maximum(np.diag(psi), 0.0))
    spread = np.where(spread > 0, spread, 1.0)
    if np.linalg.eigvalsh(psi / np.outer(spread, spread))[0] < -1e-10:
        words = "the covariances of disturbances and of constructs without causes contradict each other"
        return Verdict.of([Fault("contradiction", words)], "")
    return Verdict(True, "every residual variance is positive")
