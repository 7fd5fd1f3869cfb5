"""A forecast in plain words, for a terminal and for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from roxmodel.simulation.actions import unit_of
from roxmodel.simulation.words import money_text
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.simulation.forecast import Forecast

__all__ = ["forecast_html", "forecast_summary"]

_SHARE = 0.1  # of a standard deviation, by which seeing and doing differ before it is said
_SHOWN = 3


def forecast_summary(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> str:
    """See `Forecast.summary`."""
    lines = [_title(found), "", _shown(found, mean, ci, pi).to_string(index=False), ""]
    told = _seeing(found, mean)
    return "\n".join([*lines, *([*told, ""] if told else []), "Small print", *(f"- {n}" for n in _small_print(found))])


def forecast_html(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> str:
    """See `Forecast._repr_html_`."""
    told = "".join(f"<p>{escape(line)}</p>" for line in _seeing(found, mean))
    notes = "".join(f"<li>{escape(note)}</li>" for note in _small_print(found))
    return (
        f"<h4>{escape(_title(found))}</h4>{_shown(found, mean, ci, pi).to_html(index=False, border=0)}{told}"
        f"<details><summary>Small print</summary><ul>{notes}</ul></details>"
    )


def _title(found: Forecast) -> str:
    waves = "wave 1" if found.horizon == 1 else f"waves 1 to {found.horizon}, all alike"
    return f"Forecast: what to expect of {found.whom} when nothing is done, {waves}"


def _shown(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> pd.DataFrame:
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


def _small_print(found: Forecast) -> list[str]:
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
