"""A run in plain words, for a terminal and for a notebook."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from roxmodel.simulation.actions import unit_of
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.money.values import price_text

if TYPE_CHECKING:
    from roxmodel.simulation.run import Run

__all__ = ["money_text", "rox_sentences", "run_html", "run_summary"]


def run_summary(run: Run) -> str:
    """See `Run.summary`."""
    lines = [f"What if: {', '.join(i.name for i in run.interventions)}, {run.horizon} waves", ""]
    lines += [_shown_effects(run).to_string(index=False), ""]
    if run.money:
        lines += [*rox_sentences(run), "", _shown_rox(run).to_string(index=False), ""]
    lines += ["Small print", *(f"- {note}" for note in _notes(run))]
    return "\n".join(lines)


def _notes(run: Run) -> list[str]:
    level = "between units" if run.fit.level == "between" else "single level"
    causal = (
        f"Causal, {level}, method {run.fit.method!r}: holds if the arrows are right and nothing unmeasured acts on "
        "both ends of an edge."
    )
    intervals = (
        f"Intervals: 95 % of {len(run.changes)} draws of the parameters; errors {run.fit.errors}. Intervals and "
        "chances count sampling error only: a wrong arrow or an unmeasured cause is not in them. (They are "
        "percentiles, skewed where effects multiply; fit.effects(..., interval='draws') shows the same kind.)"
    )
    whom = "units" if run.fit.level == "between" else "rows"
    average = f"Changes are means over all {whom}, those an action does not cover included."
    own = [causal, average, intervals]
    if run.money:
        own.append(f"{formula_of(run.question.terms)} {run.n_units} units, discount {run.discount:g} per wave.")
        prices = ", ".join(f"{name} {price_text(price)}" for name, price in run.value.items())
        label = f" in {run.question.terms.currency}" if run.question.terms.currency else ""
        own.append(f"Money{label} per raw unit of an outcome, per unit and wave (as given): {prices}.")
    if run.fit.method == "path" and run.fit.level == "between":
        own.append("Effects rest on unit means taken as exact, which understates them (see the fit's small print).")
    return [*own, *run.notes]


def _shown_effects(run: Run) -> pd.DataFrame:
    """Change in the last wave and at its largest, constructs that move only."""
    table = run.effects()
    moved = table.groupby("construct", sort=False)["mean"].transform(lambda m: m.abs().max()) > 1e-12
    table = table[moved]
    places = table.groupby("construct", sort=False)["mean"].apply(lambda m: m.abs().idxmax())
    peak = table.loc[places].reset_index(drop=True)
    return pd.DataFrame(
        {
            "construct": peak["construct"],
            "unit": [unit_of(run.fit.model.find(name), run.fit) for name in peak["construct"]],
            "largest change": [_change(value) for value in peak["mean"]],
            "95 % interval": [
                f"{_change(low)} to {_change(high)}" for low, high in zip(peak["ci_low"], peak["ci_high"], strict=True)
            ],
            "in wave": peak["wave"],
        }
    )


def _change(value: float) -> str:
    """A change with its sign: three figures, no powers of ten."""
    return f"{'+' if value > 0 else ''}{money_text(value)}"


def rox_sentences(run: Run) -> list[str]:
    """The ROX statement, one sentence for each row."""
    table = run.rox().assign(prob_loss=run.risk()["prob_loss"])
    if len(run.interventions) == 1:
        table = table.iloc[:1]
    return [_sentence(row, run.horizon) for row in table.to_dict("records")]


def _sentence(row: Mapping[Hashable, Any], horizon: int) -> str:
    name = "All together" if row["intervention"] == "total" else str(row["intervention"])
    npv, cost = float(row["npv"]), float(row["cost"])
    span = f"{money_text(float(row['npv_low']))} to {money_text(float(row['npv_high']))}"
    earned = (
        f"brings {money_text(float(row['benefit']))} for {money_text(cost)} spent"
        if cost
        else (f"brings {money_text(float(row['benefit']))} at no cost")
    )
    back = float(row["payback"])
    when = f"paid back in wave {back:.0f}" if np.isfinite(back) else f"not paid back within {horizon} waves"
    ratio = f", ROX {float(row['rox']):+.2f}" if cost else ""
    loss = float(row["prob_loss"])
    chance = "below 1%" if loss < 0.005 else f"{loss:.0%}"
    return (
        f"{name} {earned}: net {money_text(npv)} (95 %: {span}){ratio}, {when if cost else 'nothing to pay back'}; "
        f"chance of a loss {chance}."
    )


def money_text(amount: float) -> str:
    """An amount a reader can take in: three figures and thousands separators.

    Examples
    --------
    >>> money_text(1234567.0), money_text(-12.34)
    ('1,230,000', '-12.3')
    """
    if amount == 0 or not np.isfinite(amount):
        return f"{amount:g}"
    digits = 2 - int(np.floor(np.log10(abs(amount))))
    rounded = round(amount, digits)
    return f"{rounded:,.{max(digits, 0)}f}"


def _shown_rox(run: Run) -> pd.DataFrame:
    table = run.rox()
    if len(run.interventions) == 1:
        table = table.iloc[:1]
    shown = pd.DataFrame({"intervention": table["intervention"]})
    for column in ("benefit", "cost", "npv", "npv_low", "npv_high"):
        shown[column] = [money_text(value) for value in table[column]]
    shown["rox"] = [f"{value:+.2f}" if np.isfinite(value) else "" for value in table["rox"]]
    shown["payback"] = [f"wave {value:.0f}" if np.isfinite(value) else "not yet" for value in table["payback"]]
    shown["P(npv > 0)"] = [f"{value:.2f}" for value in table["prob_positive"]]
    return shown


def run_html(run: Run) -> str:
    """See `Run._repr_html_`."""
    names = ", ".join(escape(i.name) for i in run.interventions)
    money = ""
    if run.money:
        sentences = "".join(f"<p>{escape(line)}</p>" for line in rox_sentences(run))
        money = sentences + str(_shown_rox(run).to_html(index=False, border=0))
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(run))
    return (
        f"<h4>What if: {names}, {run.horizon} waves</h4>"
        f"{_shown_effects(run).to_html(index=False, border=0)}{money}"
        f"<details><summary>Small print</summary><ul>{notes}</ul></details>"
    )
