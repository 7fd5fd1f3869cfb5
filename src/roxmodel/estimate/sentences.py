"""Sentences of the small print that every method shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.implied.identification import FEWEST
from roxmodel.result.draws import Draws
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable, units_kept
from roxmodel.types import BoolArray, FloatArray, IntArray, Scaling

__all__ = [
    "BESIDE",
    "assumed_notes",
    "bootstrap_words",
    "causal_notes",
    "cluster_notes",
    "hidden_notes",
    "never_met_notes",
    "replicate_notes",
    "sign_notes",
    "unit_notes",
]

BESIDE = " The errors of all else do not take them as known to be 0: they are widened by what hangs on it."
_ROUGH = 30  # clusters from which errors are good
_CAUSAL = (
    "Causal reading assumes that the arrows point the right way and that no unmeasured cause acts on both ends "
    "of an edge, beyond the context constructs in the graph; robustness_value says how strong one would have to be."
)


def causal_notes(model: RoxModel) -> list[str]:
    """What a causal reading assumes, if there are edges."""
    return [_CAUSAL] if model.edges else []


def bootstrap_words(draws: Draws, whom: str) -> str:
    """How errors from replicates were computed."""
    failed = f", {draws.failed} failed and left out" if draws.failed else ""
    return f"bootstrap by {whom}, {len(draws.values)} replicates{failed}, percentile intervals"


def cluster_notes(clusters: IntArray | None) -> list[str]:
    """On how few clusters (codes from 0) the errors rest."""
    count = 0 if clusters is None else int(clusters.max()) + 1
    if not 0 < count < _ROUGH:
        return []
    return [f"Only {count} clusters: errors that rest on so few are rough, and as a rule too small."]


def hidden_notes(names: Sequence[str], hidden: BoolArray, min_group: int) -> list[str]:
    """Of how many units something is hidden, and what that means for answers about units; `hidden` is (units, k)."""
    count = int(hidden.any(axis=1).sum())
    if not count:
        return []
    where = ", ".join(f"{name} {n}" for name, n in zip(names, hidden.sum(axis=0), strict=True) if n)
    note = (
        f"Hidden in {count} of {len(hidden)} units ({where}): fewer than {min_group} people answered there, or the "
        "unit would give such a one away. The estimates use these answers, but no level of such a unit is shown, and "
        "nothing that is asked about units knows it: it is taken to stand at the mean of the others (min_group=)."
    )
    return [note]


def assumed_notes(table: ParameterTable) -> list[str]:
    """Edges whose value the model states."""
    rows = [row for row in table.of("edge") if not row.free and row.value is not None]
    found = dict.fromkeys(f"{row.left} -> {row.right} = {row.value:g}" for row in rows)
    return [f"Assumed, not estimated: {', '.join(found)}."] if found else []


def never_met_notes(items: Sequence[str], together: Sequence[FloatArray], who: str) -> list[str]:
    """Pairs of items that were never seen together, though others join them: what that means for the numbers.

    `together` is (p, p) of each group: how often a pair was seen; `who` never saw both, with a verb ("units know").
    """
    pairs = np.argwhere(np.tril(np.logical_or.reduce([own < FEWEST for own in together])))
    if not len(pairs):
        return []
    named = [f"{items[b]} and {items[a]}" for a, b in pairs]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    pair = "pair" if len(named) == 1 else "pairs"
    note = (
        f"No two {who} both items of {len(named)} {pair} ({', '.join(named[:3])}{more}): what joins them is the "
        "model's word, by the items seen with both. Tests and indices are of what was seen."
    )
    return [note]


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


def replicate_notes(found: Draws | None) -> list[str]:
    """Replicates of a latent fit that failed, or stopped at a bound."""
    if found is None or not (found.failed or found.bounded):
        return []
    whole = len(found.values) + found.failed
    left = f"Of {whole} bootstrap replicates {found.failed} did not converge and are left out"
    return [f"{left}; {found.bounded} stopped at a bound (a variance of 0) and are kept."]


def unit_notes(model: RoxModel, table: ParameterTable, scaling: Scaling) -> list[str]:
    """Constructs that a scaling leaves in another unit, and stated variances that equal loadings set free."""
    notes = []
    kept = units_kept(model) if scaling == "standardized" else {}
    if kept:
        why = ", ".join(f"{name} ({reason})" for name, reason in kept.items())
        notes.append(
            f"scaling='standardized' gives no variance of 1 to {why}: these keep the unit that the model says."
        )
    stated = {pair.left: pair.fixed for pair in model.covariances if pair.left == pair.right and pair.fixed is not None}
    freed = dict.fromkeys(row.left for row in table.of("variance") if row.free and row.left in stated)
    if freed:
        words = ", ".join(f"{name} ({stated[name]:g})" for name in freed)
        notes.append(
            f"With equal loadings the variance that gives a construct its unit is fixed in the first group only, and "
            f"free in the others: {words}. Fixed in every group (as lavaan keeps it) it would be held equal as well."
        )
    return notes
