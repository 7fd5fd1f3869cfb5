"""A plan as a story: what it does, promises, leaves, and what holds it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import doubt_lines
from roxmodel.numerals import chance_text, money_text
from roxmodel.simulation.money.finance import formula_of
from roxmodel.simulation.overturned import overturned_line
from roxmodel.simulation.run_story import causal_note
from roxmodel.story import Story, StoryPart, StoryTable

if TYPE_CHECKING:
    from roxmodel.simulation.budget.plan import Plan

__all__ = ["plan_story"]

_AIMS = {
    "mean": "the largest expected net value",
    "cvar": "the largest mean of the worst {level:.0%} of the draws",
    "probability": "the largest chance of a net value above 0",
}


def plan_story(plan: Plan) -> Story:
    """See `Plan.story`."""
    warnings = (*doubt_lines(plan.doubts), *_moved(plan))
    body: tuple[StoryPart, ...] = (*_sentences(plan), _table(plan))
    return Story("plan", "Plan", "", warnings, body=body, notes=tuple(_notes(plan)))


def _moved(plan: Plan) -> Iterator[str]:
    """What shrinking moved by more than its error: the promise, and edges on which it rests."""
    if any(one.verdict == "unusable" for one in plan.doubts):
        yield "Nothing was shrunk: where a fit is unusable a prior would only look sure, so values are the fit's own."
    found = plan.worth.shrunken
    if found is None:
        return
    far = [edge for edge in found.edges if abs(edge.shrunken - edge.estimate) > edge.se]
    mean, plain, error = float(plan.draws.mean()), float(plan.plain.mean()), float(plan.plain.std())
    if abs(mean - plain) > error > 0:
        yield (
            f"Shrinking moved the promise by more than its error: {money_text(mean)} is promised, {money_text(plain)} "
            "is what rox.simulate gives."
        )
    if far:
        far.sort(key=lambda edge: -abs(edge.shrunken - edge.estimate) / edge.se)
        said = ", ".join(
            f"{e.cause} -> {e.effect} {e.estimate:.3g} (se {e.se:.2g}) to {e.shrunken:.3g}" for e in far[:3]
        )
        more = f" and {len(far) - 3} more" if len(far) > 3 else ""
        yield f"Shrinking moved edges by more than their error: {said}{more} (plan.shrinkage())."


def _sentences(plan: Plan) -> list[str]:
    money = plan.question.terms.currency
    unit = f" {money}" if money else ""
    count, every = len(plan.choice.options), len(plan.candidates)
    mean, low, high = plan.promised[["mean", "low", "high"]]
    limit = plan.problem.budget
    of = f" of {money_text(limit)}" if np.isfinite(limit) else ""
    if count == 0:
        first = f"Nothing of {every} actions is worth doing under these conditions: nothing{of} is spent."
        return [first, *_held_back(plan)]
    names = ", ".join(_way(plan, place) for place in plan.choice.options)
    chance = chance_text(float((plan.draws < 0).mean()))
    span = f"95 %: {money_text(low)} to {money_text(high)}"
    return [
        f"{count} of {every} actions for {money_text(plan.spent)}{of}{unit}: {names}.",
        f"Promised net value: {money_text(mean)}{unit} ({span}), chance of a loss {chance}.",
        overturned_line(plan.overturned, "the benefit"),
        *_held_back(plan),
    ]


def _way(plan: Plan, place: int) -> str:
    """An action, with its dose and first wave where there was a choice."""
    option = plan.options[place]
    candidate, way = plan.candidates[option.candidate], option.intervention
    said = [f"dose {way.dose:g}"] if candidate.doses else []
    said += [f"from wave {way.start}"] if candidate.starts else []
    return f"{way.name} ({', '.join(said)})" if said else way.name


def _held_back(plan: Plan) -> list[str]:
    """What binds, and why money is left."""
    lines = [f"Binding: {line}" for line in plan.binding()]
    left = plan.problem.budget - plan.spent
    if np.isfinite(left) and left > 0.005 * plan.problem.budget:
        reasons = sorted({line for line in plan.left_out() if line})[:3]
        why = "; ".join(reasons) or "every candidate is in the plan"
        lines.append(f"{money_text(left)} stay unspent: {why}.")
    return lines


def _table(plan: Plan) -> StoryTable:
    table = plan.table()
    shown = table[["intervention", "chosen", "cost", "npv", "npv_low", "npv_high", "npv_plain", "stability"]].copy()
    for column in ("cost", "npv", "npv_low", "npv_high", "npv_plain"):
        shown[column] = [money_text(value) for value in table[column]]
    shown["chosen"] = np.where(table["chosen"], "yes", "")
    shown["stability"] = [f"{value:.0%}" for value in table["stability"]]
    return StoryTable.of(shown.assign(why=table["why"]))


def _notes(plan: Plan) -> list[str]:
    objective, level = plan.aim
    proof = (
        "proven best where benefits of actions add up"
        if plan.choice.proven
        else "the best that was found, not proven to be the best"
    )
    money = (
        f"{formula_of(plan.question.terms)} {plan.question.units} units, discount "
        f"{plan.question.terms.discount:g} per wave. Budgets and costs in the table are not discounted."
    )
    columns = (
        "npv of an action is that by itself; stability is the share of draws in which it would be chosen if that draw "
        "were the truth."
    )
    causal = f"{causal_note(plan.question.fit)} Costs, shifts and prices are taken as given."
    return [
        f"Chosen for {_AIMS[objective].format(level=level)} ({proof}).",
        causal,
        _shrunken_note(plan),
        money,
        columns,
        *plan.notes,
    ]


def _shrunken_note(plan: Plan) -> str:
    found = plan.worth.shrunken
    if found is None:
        return (
            "Values are plain expected values (nothing was shrunk). Choosing the largest of noisy values picks their "
            "luck as well: expect less than is promised."
        )
    moved = sorted(found.edges, key=lambda edge: -abs(edge[4] - edge[2]) / max(edge[3], 1e-300))[:3]
    said = ", ".join(f"{cause} -> {effect} {at:.3g} to {to:.3g}" for cause, effect, at, _, to, _ in moved)
    return (
        "Edges were shrunk jointly before choosing, because the best of many noisy values are partly luck "
        f"(plan.shrinkage(); furthest for their errors: {said})."
    )
