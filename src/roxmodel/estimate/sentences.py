"""Sentences of the small print that every method shares."""

from __future__ import annotations

from roxmodel.result.records import Resampling
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import FloatArray

__all__ = ["assumed_notes", "causal_notes", "replicate_notes", "sign_notes"]

_CAUSAL = (
    "Causal reading assumes that the arrows point the right way and that no unmeasured cause acts on both ends "
    "of an edge, beyond the context constructs in the graph; robustness_value says how strong one would have to be."
)


def causal_notes(model: RoxModel) -> list[str]:
    """What a causal reading assumes, if there are edges."""
    return [_CAUSAL] if model.edges else []


def assumed_notes(table: ParameterTable) -> list[str]:
    """Edges whose value the model states."""
    rows = [row for row in table.of("edge") if not row.free and row.value is not None]
    found = dict.fromkeys(f"{row.left} -> {row.right} = {row.value:g}" for row in rows)
    return [f"Assumed, not estimated: {', '.join(found)}."] if found else []


def sign_notes(model: RoxModel, table: ParameterTable, theta: FloatArray) -> list[str]:
    """Edges of another sign than expected."""
    notes = []
    expected = {(edge.cause, edge.effect): edge.expected for edge in model.edges if edge.expected and not edge.lag}
    for row in table.of("edge"):
        sign = expected.get((row.left, row.right))
        if sign is None or not row.free or row.lag:
            continue
        value = theta[row.free - 1]
        if (value > 0) != (sign == "positive"):
            edge = f"{row.left} -> {row.right}"
            notes.append(f"{edge} was expected {sign} but is {value:.3g}: check the items' direction.")
    return notes


def replicate_notes(found: Resampling | None) -> list[str]:
    """Replicates of a latent fit that failed, or stopped at a bound."""
    if found is None or not (found.failed or found.bounded):
        return []
    whole = len(found.replicates) + found.failed
    left = f"Of {whole} bootstrap replicates {found.failed} did not converge and are left out"
    return [f"{left}; {found.bounded} stopped at a bound (a variance of 0) and are kept."]
