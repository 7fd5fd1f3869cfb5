"""A counterfactual in plain words, for a terminal and for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from roxmodel.simulation.actions import unit_of
from roxmodel.simulation.standing import basis_notes
from roxmodel.simulation.words import money_text

if TYPE_CHECKING:
    from roxmodel.simulation.counterfactual import Counterfactual

__all__ = ["counterfactual_html", "counterfactual_summary"]


def counterfactual_summary(found: Counterfactual) -> str:
    """See `Counterfactual.summary`."""
    lines = [_title(found), "", _shown(found).to_string(index=False), "", "Small print"]
    return "\n".join([*lines, *(f"- {note}" for note in _small_print(found))])


def counterfactual_html(found: Counterfactual) -> str:
    """See `Counterfactual._repr_html_`."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in _small_print(found))
    return (
        f"<h4>{escape(_title(found))}</h4>{_shown(found).to_html(index=False, border=0)}"
        f"<details><summary>Small print</summary><ul>{notes}</ul></details>"
    )


def _title(found: Counterfactual) -> str:
    return f"Counterfactual: {found.whom}, {found.condition}"


def _shown(found: Counterfactual) -> pd.DataFrame:
    """Constructs that were acted on or move, for reading."""
    table, model = found.table(), found.fit.model
    moved = np.asarray(~(np.abs(found.changes) <= 0).all(axis=0))  # what is not known may have moved
    table = table[[name in found.do or bool(there) for name, there in zip(model.names, moved, strict=True)]]
    spans = zip(table["ci_low"], table["ci_high"], strict=True)
    return table[["construct"]].assign(
        unit=[unit_of(model.find(name), found.fit) for name in table["construct"]],
        was=[_level(value, basis) for value, basis in zip(table["observed"], table["basis"], strict=True)],
        **{
            "would have been": [_level(value) for value in table["counterfactual"]],
            "change": [_change(value) for value in table["change"]],
            "95 % interval": [f"{_change(low)} to {_change(high)}" if low < high else "" for low, high in spans],
        },
    )


def _small_print(found: Counterfactual) -> list[str]:
    fit = found.fit
    whom = "unit" if fit.level == "between" else "row"
    level = "between units" if fit.level == "between" else "single level"
    latent = " and of the levels that are predicted" if "predicted" in found.known.basis else ""
    verb = (
        f"Abduction, action, prediction (Pearl 2009, ch. 7): what is particular to the {whom}, its own deviations from "
        "what its causes let expect, stays; only what was acted on, and what follows from it, is otherwise. The causes "
        "of a construct that is set are cut."
    )
    causal = (
        f"Causal, {level}, method {fit.method!r}: holds if the arrows are right, nothing unmeasured acts on both ends "
        f"of an edge, and a construct moves in this {whom} by as much as in the others (the edges are averages over "
        "all)."
    )
    intervals = (
        f"Intervals: 95 % of {len(found.changes)} draws of the parameters{latent}; errors {fit.errors}. Sampling error "
        "only: a wrong arrow or an unmeasured cause is not in them."
    )
    return [verb, causal, intervals, *basis_notes(fit, found.known), *found.notes]


def _level(value: float, basis: str = "observed") -> str:
    if np.isnan(value):
        return basis if basis in {"unknown", "hidden"} else "not known"
    return f"{'about ' if basis == 'predicted' else ''}{money_text(value)}"


def _change(value: float) -> str:
    if np.isnan(value):
        return "not known"
    return f"{'+' if value > 0 else ''}{money_text(value)}"
