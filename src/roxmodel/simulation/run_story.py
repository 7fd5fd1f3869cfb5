"""What a run, a counterfactual and a forecast say, and what a reader must know beside their numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.doubts import doubt_lines
from roxmodel.numerals import chance_text, money_text, signed_text, span_text
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.result.response import travel
from roxmodel.simulation.abduction import basis_notes
from roxmodel.simulation.actions import Action, ends_of, is_figure, unit_of
from roxmodel.simulation.dynamics import Course, push_of
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.money.values import price_text
from roxmodel.simulation.overturned import overturned_line
from roxmodel.simulation.question import OverDraws, Question
from roxmodel.story import Story, StoryPart, StoryTable
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from roxmodel.simulation.counterfactual import Counterfactual
    from roxmodel.simulation.forecast import Forecast
    from roxmodel.simulation.run import Run

__all__ = [
    "beyond_notes", "causal_if", "causal_note", "counterfactual_story", "course_notes", "forecast_story", "level_of",
    "money_notes", "overturned_sentence", "rox_sentences", "run_story", "skew_lines",
]  # fmt: skip

_SHARE = 0.1  # of a standard deviation, by which seeing and doing differ before it is said
_SHOWN = 3
_SKEWED = 6


def level_of(fit: Fit) -> str:
    """At which level a fit speaks, in words."""
    return "between units" if fit.level == "between" else "single level"


def causal_if(*more: str) -> str:
    """Under which conditions a causal reading holds."""
    *first, last = ["the arrows are right", "nothing unmeasured acts on both ends of an edge", *more]
    return f"{', '.join(first)}{',' if more else ''} and {last}"


def causal_note(fit: Fit, *more: str) -> str:
    """The causal reading of an answer, by level and method, with its conditions."""
    return f"Causal, {level_of(fit)}, method {fit.method!r}: holds if {causal_if(*more)}."


def _of_draws(fit: Fit, draws: int, also: str = "") -> str:
    return f"95 % of {draws} draws of the parameters{also}; errors {fit.errors}."


def run_story(run: Run) -> Story:
    """See `Run.story`."""
    title = f"What if: {', '.join(one.name for one in run.interventions)}, {run.horizon} waves"
    money: list[StoryPart] = [*rox_sentences(run), overturned_sentence(run), _rox_shown(run)] if run.money else []
    warnings = (*doubt_lines(run.doubts), *skew_lines(_spreads(run)))
    return Story("run", title, title, warnings, body=(_effects_shown(run), *money), notes=tuple(_run_notes(run)))


def overturned_sentence(run: Run) -> str:
    """What would overturn the money; it stands beside every `rox_sentences`."""
    return overturned_line(run.overturned, "the benefit" if len(run.actions) == 1 else "the benefit of all together")


def _run_notes(run: Run) -> list[str]:
    fit, question = run.fit, run.question
    whom = "units" if fit.level == "between" else "rows"
    intervals = (
        f"Intervals: {_of_draws(fit, len(run.changes))} Intervals and chances count sampling error only: a wrong arrow "
        "or an unmeasured cause is not in them. (They are percentiles, skewed where effects multiply; "
        "fit.effects(..., interval='draws') shows the same kind.)"
    )
    average = f"Changes are means over all {whom}, those an action does not cover included."
    own = [causal_note(fit), average, intervals]
    if run.money:
        own.append(f"{formula_of(question.terms)} {run.n_units} units, discount {run.discount:g} per wave.")
        prices = ", ".join(f"{name} {price_text(price)}" for name, price in run.value.items())
        label = f" in {question.terms.currency}" if question.terms.currency else ""
        own.append(f"Money{label} per raw unit of an outcome, per unit and wave (as given): {prices}.")
    if fit.traits.levels == "observed" and fit.level == "between":
        own.append("Effects rest on unit means taken as exact, which understates them (see the fit's small print).")
    return [*own, *run.notes]


def _peaks(run: Run) -> dict[int, int]:
    """Place of each construct that moves, or may have moved, and the wave (from 0) in which it does most."""
    size = np.where(np.isnan(run.spread.mean), np.inf, np.abs(run.spread.mean))
    moved = np.flatnonzero(size.max(axis=0) > 1e-12)
    return {int(place): int(size[:, place].argmax()) for place in moved}


def _spreads(run: Run) -> Iterator[tuple[str, OverDraws]]:
    """Changes at their largest, then net values, over the draws and at the estimate."""
    for place, wave in _peaks(run).items():
        name, found = run.fit.model.names[place], run.spread
        yield name, OverDraws(*(getattr(found, field.name)[wave, place] for field in fields(OverDraws)))
    for money, found in zip(run.money, run.npv_spreads, strict=True):
        if money.name != "total" or len(run.interventions) > 1:
            yield f"net value of {'all together' if money.name == 'total' else money.name}", found


def skew_lines(found: Iterable[tuple[str, OverDraws]]) -> list[str]:
    """What is said first where the mean over the draws is not the answer at the estimate."""
    told = [
        f"{name}: mean {signed_text(float(one.mean))}, median {signed_text(float(one.median))}, at the estimate "
        f"{signed_text(float(one.estimate))}"
        for name, one in found
        if one.apart
    ]
    more = f"; and {len(told) - _SKEWED} more" if len(told) > _SKEWED else ""
    skewed = "SKEWED: the mean over the draws is not the answer at the estimate, and neither is to be relied on alone. "
    return [f"{skewed}{'; '.join(told[:_SKEWED])}{more}."] if told else []


def _effects_shown(run: Run) -> StoryTable:
    """Change at its largest, constructs that move only."""
    table, waves = run.effects(), run.horizon
    peak = table.iloc[[place * waves + wave for place, wave in _peaks(run).items()]]
    rows = tuple(
        (
            name,
            unit_of(run.fit.model.find(name), run.fit),
            _change_text(mean, low, at),
            "" if np.isnan(low) else f"{signed_text(low)} to {signed_text(high)}",
            wave,
        )
        for name, wave, mean, low, high, at in peak.itertuples(index=False, name=None)
    )
    return StoryTable(("construct", "unit", "largest change", "95 % interval", "in wave"), rows)


def _change_text(mean: float, low: float, estimate: float) -> str:
    if np.isnan(low):
        return "not known"
    return f"no mean (at the estimate {signed_text(estimate)})" if np.isnan(mean) else signed_text(mean)


def rox_sentences(run: Run) -> list[str]:
    """The ROX statement, one sentence for each row."""
    table = run.rox().assign(prob_loss=run.risk()["prob_loss"])
    if len(run.interventions) == 1:
        table = table.iloc[:1]
    return [_sentence(row, run.horizon) for row in table.to_dict("records")]


def _sentence(row: Mapping[Hashable, Any], horizon: int) -> str:
    name = "All together" if row["intervention"] == "total" else row["intervention"]
    if np.isnan(row["npv"]):
        return f"What {name} brings is not known: the data say nothing of an edge on the way to the money."
    benefit, cost, npv, low, high = (money_text(row[c]) for c in ("benefit", "cost", "npv", "npv_low", "npv_high"))
    back, earned = row["payback"], f"{name} brings {benefit}"
    when = f"paid back in wave {back:.0f}" if np.isfinite(back) else f"not paid back within {horizon} waves"
    chance = f"chance of a loss {chance_text(row['prob_loss'])}"
    if not row["cost"]:
        return f"{earned} at no cost: net {npv} (95 %: {low} to {high}), nothing to pay back; {chance}."
    return f"{earned} for {cost} spent: net {npv} (95 %: {low} to {high}), ROX {row['rox']:+.2f}, {when}; {chance}."


def _rox_shown(run: Run) -> StoryTable:
    table = run.rox()
    if len(run.interventions) == 1:
        table = table.iloc[:1]
    shown = table[["intervention"]].copy()
    for column in ("benefit", "cost", "npv", "npv_low", "npv_high"):
        shown[column] = ["not known" if np.isnan(value) else money_text(value) for value in table[column]]
    shown["rox"] = [f"{value:+.2f}" if np.isfinite(value) else "" for value in table["rox"]]
    back = [f"wave {value:.0f}" if np.isfinite(value) else "not yet" for value in table["payback"]]
    shown["payback"] = np.where(table["npv"].isna(), "", back)
    shown["P(npv > 0)"] = ["" if np.isnan(value) else f"{value:.2f}" for value in table["prob_positive"]]
    return StoryTable.of(shown)


def counterfactual_story(found: Counterfactual) -> Story:
    """See `Counterfactual.story`."""
    title = f"Counterfactual: {found.whom}, {found.condition}"
    warnings, notes = (*doubt_lines(found.doubts), *skew_lines(found.spreads())), tuple(_otherwise_notes(found))
    return Story("counterfactual", title, title, warnings, body=(_otherwise(found),), notes=notes)


def _otherwise(found: Counterfactual) -> StoryTable:
    """Constructs that were acted on or move; what is not known may have moved."""
    model, still = found.fit.model, np.all(np.abs(found.changes) <= 0, axis=0).tolist()
    rows = tuple(
        (
            row["construct"],
            unit_of(model.find(row["construct"]), found.fit),
            _stood(row["observed"], row["basis"]),
            _stood(row["counterfactual"]),
            "not known" if np.isnan(row["change"]) else signed_text(row["change"]),
            span_text(row["ci_low"], row["ci_high"], signed=True),
        )
        for row, at_rest in zip(found.table().to_dict("records"), still, strict=True)
        if row["construct"] in found.do or not at_rest
    )
    return StoryTable(("construct", "unit", "was", "would have been", "change", "95 % interval"), rows)


def _stood(value: float, basis: str = "observed") -> str:
    if np.isnan(value):
        return basis if basis in {"unknown", "hidden"} else "not known"
    return f"{'about ' if basis == 'predicted' else ''}{money_text(value)}"


def _otherwise_notes(found: Counterfactual) -> list[str]:
    fit = found.fit
    whom = "unit" if fit.level == "between" else "row"
    latent = " and of the levels that are predicted" if "predicted" in found.known.basis else ""
    verb = (
        f"Abduction, action, prediction (Pearl 2009, ch. 7): what is particular to the {whom}, its own deviations from "
        "what its causes let expect, stays; only what was acted on, and what follows from it, is otherwise. The causes "
        "of a construct that is set are cut."
    )
    alike = f"a construct moves in this {whom} by as much as in the others (the edges are averages over all)"
    intervals = (
        f"Intervals: {_of_draws(fit, len(found.changes), latent)} Sampling error only: a wrong arrow or an unmeasured "
        "cause is not in them."
    )
    return [verb, causal_note(fit, alike), intervals, *basis_notes(fit, found.known), *found.notes]


def forecast_story(found: Forecast, mean: FloatArray, ci: FloatArray, pi: FloatArray) -> Story:
    """See `Forecast.story`: (k,) means, (2, k) their intervals, (2, k) where one unit lies."""
    waves = "wave 1" if found.horizon == 1 else f"waves 1 to {found.horizon}, all alike"
    title = f"Forecast: what to expect of {found.whom} when nothing is done, {waves}"
    model, whom = found.fit.model, "unit" if found.fit.level == "between" else "row"
    rows = tuple(
        (
            construct.name,
            unit_of(construct, found.fit),
            "not known" if np.isnan(mean[place]) else money_text(mean[place]),
            span_text(*ci[:, place]),
            span_text(*pi[:, place]),
        )
        for place, construct in enumerate(model.constructs)
    )
    table = StoryTable(("construct", "unit", "mean", "95 % interval", f"one {whom} lies"), rows)
    body: tuple[StoryPart, ...] = (table, *_seeing(found, mean))
    warnings, notes = tuple(doubt_lines(found.doubts)), tuple(_forecast_notes(found, whom))
    return Story("forecast", title, title, warnings, body=body, notes=notes)


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


def _forecast_notes(found: Forecast, whom: str) -> list[str]:
    fit = found.fit
    verb = (
        f"No action: what {whom}s like that are expected to show, {level_of(fit)}, method {fit.method!r}. What an "
        "action would bring is rox.simulate(fit, [rox.Intervention(...)]); what would have been in one unit is "
        "rox.counterfactual."
    )
    time = (
        f"With one wave of data, what differs between {whom}s is taken as lasting and levels are expected to stay: "
        "waves are alike. How far levels move by themselves from wave to wave one wave cannot tell, and no interval "
        "holds it."
    )
    joint = (
        f"Constructs are taken to be jointly normal between {whom}s, with the means and covariances that the model "
        "implies: where the graph is wrong, so are they."
    )
    of_mean = f"Intervals of the mean: {_of_draws(fit, len(found.means))} "
    one = f"Where one {whom} lies: 95 %, "
    intervals = (
        f"{one}from what is known of it, cut at the ends of scales."
        if len(found.means) == 1
        else f"{of_mean}{one}parameters and spread between {whom}s together, cut at the ends of scales."
    )
    return [verb, time, intervals, joint, *found.notes]


def money_notes(question: Question) -> Iterator[str]:
    """Prices that count the same money twice, a rate that was probably meant in percent."""
    names, model = question.fit.model.names, question.fit.model
    prices, discount = [names[one.place] for one in question.priced], question.terms.discount
    edges = [(edge.cause, edge.effect) for edge in model.edges]
    for a in prices:
        for b in prices:
            if a != b and b in _reached(a, edges):
                way = f"{a} -> {b}" if (a, b) in edges else f"{a} -> ... -> {b}"
                yield (
                    f"{a!r} and {b!r} are both priced, and {way}: what {a!r} is worth through {b!r} is counted "
                    "there already, so price only the rest."
                )
    if prices and discount >= 1:
        yield f"discount={discount:g} is {discount:.0%} a wave; for {discount:g} % write {discount / 100:g}."


def _reached(cause: str, edges: Sequence[tuple[str, str]]) -> set[str]:
    """Constructs that a construct acts on, at once or by others, in the wave or later."""
    found: set[str] = set()
    ahead = {cause}
    while ahead:
        ahead = {effect for one, effect in edges if one in ahead} - found
        found |= ahead
    return found


def beyond_notes(fit: Fit, levels: Mapping[int, float], how: str) -> Iterator[str]:
    """Constructs of one unit (place: level) that are taken beyond what was observed in any."""
    low, high = fit.population.low, fit.population.high
    if low is None or high is None:
        return
    for place, level in levels.items():
        if level < low[place] or level > high[place]:
            yield (
                f"{fit.model.names[place]!r} {how.format(level)}, beyond what was observed ({low[place]:.3g} to "
                f"{high[place]:.3g}): the answer is an extrapolation."
            )


def course_notes(question: Question, actions: Sequence[Action], course: Course, no_levels: bool) -> Iterator[str]:
    """What a run met on its way: ends of scales, units whose level is not known, money of others, logarithms."""
    yield from _caps(question.fit, course, no_levels)
    yield from _figures(question, actions)
    yield from _coverage(question)
    for one, moved in zip(question.priced, course.readings, strict=True):
        if not one.log:
            continue
        amount = np.exp(np.minimum(complete_levels(question.fit, int(question.asked.seed or 0))[:, one.place], 700.0))
        weighted = float((amount * (1.0 if one.weights is None else one.weights)).mean())
        linear = float(course.changes[:, :, one.place].mean()) * weighted  # the linear reading, as a check
        yield (
            f"{one.name!r} is read as a logarithm, unit by unit: the amount changes by {moved.mean():.4g} a unit and "
            f"wave on average; mean amount times mean change of the logarithm would be {linear:.4g}."
        )


def _caps(fit: Fit, course: Course, no_levels: bool) -> Iterator[str]:
    """Where the end of a scale cut a change, and how levels were found."""
    people, model = fit.population, fit.model
    bounded = any(None not in ends_of(fit, c) and not is_figure(c) for c in model.constructs)
    if no_levels and bounded and people.mean is None:
        yield "No means in this fit: ends of scales and what was observed could not be checked."
        return
    for name, share in zip(model.names, course.capped, strict=True):
        if share > 0:
            yield f"{name!r}: the end of the scale cut the change in {share:.1%} of units and waves."
    if not bounded:
        return
    if people.levels is None:
        why = "a latent level is not observed" if fit.table.of("loading") else "no unit is in a document"
        whom = "rows" if fit.level == "single" else "units"
        yield f"Levels of the {whom} are drawn from their mean and covariance ({why})."
    elif np.isnan(people.levels).any():
        holes = int(np.isnan(people.levels).any(axis=1).sum())
        out = "" if people.hidden is None else " that may be shown"
        yield f"{holes} unit(s) lack some score{out}; they are taken to stand at the mean."
    if people.roots is not None:
        yield "Levels of the units are drawn from what is known of each, anew in every draw."


def _figures(question: Question, actions: Sequence[Action]) -> Iterator[str]:
    """Yes/nos, counts and shares on a straight line whose expected value leaves the scale in some units."""
    fit, at = question.fit, question.at()
    ground = at.ground(actions)
    if ground.levels is None or not ground.figures:
        return
    wave = int(np.argmax(np.sum([action.share for action in actions], axis=0)))
    caps = ground.caps(0, 1, tuple(range(len(fit.model.names))))
    found = travel(at.system, push_of(actions, wave), caps)
    apart = ground.levels.mean - ground.levels.mean.mean(axis=0)
    for place in sorted(ground.figures):
        weights, change = at.system.coefficients[0, place], found.changes[place][0]
        if fit.families[place] != LINEAR or not weights.any() or not change.any():
            continue
        expected = ground.levels.mean[:, place].mean() + apart @ weights
        low, high = ground.low[place], ground.high[place]
        before, after = (int(((e < low) | (e > high)).sum()) for e in (expected, expected + change))
        if after > before:
            yield (
                f"{fit.model.names[place]!r} is an outcome on a straight line, whose expected value moves and is held "
                f"in its mean only: in {after:,} of {len(expected):,} units it lies beyond the ends of the scale then "
                f"({before:,} before). Read the mean, not such units."
            )


def _coverage(question: Question) -> Iterator[str]:
    """What the money is counted over, where that is not what was measured."""
    fit, units, prices = question.fit, question.units, [one.place for one in question.priced]
    if prices and fit.level == "single":
        yield (
            f"The fit compares rows with one another (single level), and the money takes {units} units to move as rows "
            "do: right if each row was a unit. If rows are persons, effects are between persons, and those between "
            "units may differ: fit a rox.Study."
        )
        return
    levels, hidden = fit.population.levels, fit.population.hidden
    if levels is None or units is None or fit.level != "between":
        return
    for place in prices:
        measured = int((~np.isnan(levels[:, place])).sum())
        if measured < min(units, len(levels)):
            out = hidden is not None and hidden[:, place].any()
            how = "has a level that may be shown" if out else "was measured"
            yield (
                f"{fit.model.names[place]!r} {how} in {measured} of {len(levels)} units; the money counts "
                f"{units} (n_units= says otherwise)."
            )
