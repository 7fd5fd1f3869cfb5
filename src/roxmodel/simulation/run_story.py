"""A run in plain words, for a terminal and for a notebook.

A counterfactual in plain words, for a terminal and for a notebook.

A forecast in plain words, for a terminal and for a notebook.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from roxmodel.simulation.actions import unit_of
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.money.values import price_text
from roxmodel.simulation.standing import basis_notes
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.simulation.counterfactual import Counterfactual
    from roxmodel.simulation.forecast import Forecast
    from roxmodel.simulation.run import Run

__all__ = [
    "counterfactual_html",
    "counterfactual_summary",
    "forecast_html",
    "forecast_summary",
    "money_text",
    "rox_sentences",
    "run_html",
    "run_summary",
]


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
    if run.fit.traits.levels == "observed" and run.fit.level == "between":
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
            "change": [_change_of_counterfactual(value) for value in table["change"]],
            "95 % interval": [
                f"{_change_of_counterfactual(low)} to {_change_of_counterfactual(high)}" if low < high else ""
                for low, high in spans
            ],
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


def _change_of_counterfactual(value: float) -> str:
    if np.isnan(value):
        return "not known"
    return f"{'+' if value > 0 else ''}{money_text(value)}"


_SHARE = 0.1  # of a standard deviation, by which seeing and doing differ before it is said
_SHOWN = 3


def forecast_summary(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> str:
    """See `Forecast.summary`."""
    lines = [_title_of_forecast(found), "", _shown_of_forecast(found, mean, ci, pi).to_string(index=False), ""]
    told = _seeing(found, mean)
    return "\n".join(
        [*lines, *([*told, ""] if told else []), "Small print", *(f"- {n}" for n in _small_print_of_forecast(found))]
    )


def forecast_html(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> str:
    """See `Forecast._repr_html_`."""
    told = "".join(f"<p>{escape(line)}</p>" for line in _seeing(found, mean))
    notes = "".join(f"<li>{escape(note)}</li>" for note in _small_print_of_forecast(found))
    return (
        f"<h4>{escape(_title_of_forecast(found))}</h4>"
        f"{_shown_of_forecast(found, mean, ci, pi).to_html(index=False, border=0)}{told}"
        f"<details><summary>Small print</summary><ul>{notes}</ul></details>"
    )


def _title_of_forecast(found: Forecast) -> str:
    waves = "wave 1" if found.horizon == 1 else f"waves 1 to {found.horizon}, all alike"
    return f"Forecast: what to expect of {found.whom} when nothing is done, {waves}"


def _shown_of_forecast(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> pd.DataFrame:
    model = found.fit.model
    one = "one unit lies" if found.fit.level == "between" else "one row lies"
    return pd.DataFrame(
        {
            "construct": list(model.names),
            "unit": [unit_of(construct, found.fit) for construct in model.constructs],
            "mean": ["not known" if np.isnan(value) else money_text(value) for value in mean],
            "95 % interval": [_span(*ends) for ends in ci.T],
            one: [_span(*ends) for ends in pi.T],
        }
    )


def _span(low: float, high: float) -> str:
    return f"{money_text(low)} to {money_text(high)}" if low < high else ""


def _seeing(found: Forecast, mean: FloatArray) -> list[str]:
    """How far seeing differs from doing, for the constructs in which it does most."""
    if found.setting is None:
        return []
    acts = " and ".join(f"{name} at {level:g}" for name, level in found.given.items())
    sd = np.sqrt(np.diag(found.fit.population.covariance))
    apart = np.abs(mean - found.setting) / np.where(sd > 0, sd, 1.0)
    places = [place for place in np.argsort(-apart, kind="stable")[:_SHOWN] if apart[place] > _SHARE]
    if not places:
        return [f"Seeing {acts} and setting it come to the same here: next to nothing confounds it."]
    shown = "; ".join(
        f"{found.fit.model.names[place]} {money_text(mean[place])} seen, {money_text(found.setting[place])} set"
        for place in places
    )
    told = (
        f"Seeing is not doing. Were {acts} not seen but set everywhere, the mean would be another: {shown}. The "
        "difference goes with what is seen without coming from it (its causes, and common causes)."
    )
    return [told]


def _small_print_of_forecast(found: Forecast) -> list[str]:
    fit = found.fit
    between = fit.level == "between"
    whom = "units" if between else "rows"
    level = "between units" if between else "single level"
    verb = (
        f"No action: what {whom} like that are expected to show, {level}, method {fit.method!r}. What an action would "
        "bring is rox.simulate(fit, [rox.Intervention(...)]); what would have been in one unit is rox.counterfactual."
    )
    time = (
        f"With one wave of data, what differs between {whom} is taken as lasting and levels are expected to stay: "
        "waves are alike. How far levels move by themselves from wave to wave one wave cannot tell, and no interval "
        "holds it."
    )
    joint = (
        f"Constructs are taken to be jointly normal between {whom}, with the means and covariances that the model "
        "implies: where the graph is wrong, so are they."
    )
    return [verb, time, _intervals(found, whom), joint, *found.notes]


def _intervals(found: Forecast, whom: str) -> str:
    lies = f"Where one {whom[:-1]} lies: 95 %, "
    if len(found.means) == 1:
        return f"{lies}from what is known of it, cut at the ends of scales."
    return (
        f"Intervals of the mean: 95 % of {len(found.means)} draws of the parameters; errors {found.fit.errors}. {lies}"
        f"parameters and spread between {whom} together, cut at the ends of scales."
    )
