"""What a reader must know beside the numbers: money counted twice, units without the outcome, ends of scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.result.response import travel
from roxmodel.simulation.actions import Action, ends_of, is_figure
from roxmodel.simulation.dynamics import Course, push_of
from roxmodel.simulation.question import Question

__all__ = ["cap_notes", "coverage_notes", "figure_notes", "fit_notes", "linear_notes", "money_notes"]


def money_notes(fit: Fit, question: Question) -> tuple[str, ...]:
    """Prices that count the same money twice, a rate that was probably meant in percent, a fit to be wary of."""
    notes = []
    names = fit.model.names
    prices, discount = [one.place for one in question.priced], question.terms.discount
    edges = [(edge.cause, edge.effect) for edge in fit.model.edges]
    for cause in prices:
        for effect in prices:
            a, b = names[cause], names[effect]
            if a != b and b in _reached(a, edges):
                way = f"{a} -> {b}" if (a, b) in edges else f"{a} -> ... -> {b}"
                notes.append(
                    f"{a!r} and {b!r} are both priced, and {way}: what {a!r} is worth through {b!r} is counted "
                    "there already, so price only the rest."
                )
    if prices and discount >= 1:
        notes.append(f"discount={discount:g} is {discount:.0%} a wave; for {discount:g} % write {discount / 100:g}.")
    return tuple(notes)


def _reached(cause: str, edges: Sequence[tuple[str, str]]) -> set[str]:
    """Constructs that a construct acts on, at once or by others, in the wave or later."""
    found: set[str] = set()
    ahead = {cause}
    while ahead:
        ahead = {effect for one, effect in edges if one in ahead} - found
        found |= ahead
    return found


def fit_notes(fit: Fit) -> tuple[str, ...]:
    """A fit to be wary of."""
    notes = []
    if not fit.converged:
        why = fit.verdicts["converged"].reason
        notes.append(f"This fit did not converge ({why}): its numbers mean nothing certain.")
    if not fit.admissible:
        why = fit.verdicts["admissible"].reason
        notes.append(f"This fit is not admissible ({why}): look at it before using what follows from it.")
    return tuple(notes)


def linear_notes(question: Question, course: Course) -> tuple[str, ...]:
    """Of outcomes that are logarithms: what the linear reading would have given, as a check."""
    notes = []
    for one, moved in zip(question.priced, course.readings, strict=True):
        if not one.log:
            continue
        amount = np.exp(np.minimum(complete_levels(question.fit, int(question.asked.seed or 0))[:, one.place], 700.0))
        weighted = float((amount * (1.0 if one.weights is None else one.weights)).mean())
        linear = float(course.changes[:, :, one.place].mean()) * weighted
        notes.append(
            f"{one.name!r} is read as a logarithm, unit by unit: the amount changes by {moved.mean():.4g} a unit and "
            f"wave on average; mean amount times mean change of the logarithm would be {linear:.4g}."
        )
    return tuple(notes)


def coverage_notes(fit: Fit, question: Question) -> tuple[str, ...]:
    """What the money is counted over, where that is not what was measured."""
    prices, units = [one.place for one in question.priced], question.units
    if prices and fit.level == "single":
        note = (
            f"The fit compares rows with one another (single level), and the money takes {units} units to move as rows "
            "do: right if each row was a unit. If rows are persons, effects are between persons, and those between "
            "units may differ: fit a rox.Study."
        )
        return (note,)
    levels = fit.population.levels
    if levels is None or units is None or fit.level != "between":
        return ()
    notes = []
    for place in prices:
        measured = int((~np.isnan(levels[:, place])).sum())
        if measured < min(units, len(levels)):
            out = fit.population.hidden is not None and fit.population.hidden[:, place].any()
            how = "has a level that may be shown" if out else "was measured"
            notes.append(
                f"{fit.model.names[place]!r} {how} in {measured} of {len(levels)} units; the money counts "
                f"{units} (n_units= says otherwise)."
            )
    return tuple(notes)


def figure_notes(question: Question, actions: Sequence[Action]) -> tuple[str, ...]:
    """Yes/nos, counts and shares on a straight line whose expected value leaves the scale in some units."""
    fit, at = question.fit, question.at()
    ground = at.ground(actions)
    if ground.levels is None or not ground.figures:
        return ()
    wave = int(np.argmax(np.sum([action.share for action in actions], axis=0)))
    caps = ground.caps(0, 1, tuple(range(len(fit.model.names))))
    found = travel(at.system, push_of(actions, wave), caps)
    apart = ground.levels.mean - ground.levels.mean.mean(axis=0)
    notes = []
    for place in sorted(ground.figures):
        weights, change = at.system.coefficients[0, place], found.changes[place][0]
        if fit.families[place] != LINEAR or not weights.any() or not change.any():
            continue
        expected = ground.levels.mean[:, place].mean() + apart @ weights
        low, high = ground.low[place], ground.high[place]
        before, after = (int(((e < low) | (e > high)).sum()) for e in (expected, expected + change))
        if after > before:
            notes.append(
                f"{fit.model.names[place]!r} is an outcome on a straight line, whose expected value moves and is held "
                f"in its mean only: in {after:,} of {len(expected):,} units it lies beyond the ends of the scale then "
                f"({before:,} before). Read the mean, not such units."
            )
    return tuple(notes)


def cap_notes(fit: Fit, course: Course, no_levels: bool) -> list[str]:
    """Where the end of a scale cut a change, and how levels were found."""
    bounded = [c.name for c in fit.model.constructs if None not in ends_of(fit, c) and not is_figure(c)]
    if no_levels and bounded and fit.population.mean is None:
        return ["No means in this fit: ends of scales and what was observed could not be checked."]
    notes = [
        f"{name!r}: the end of the scale cut the change in {share:.1%} of units and waves."
        for name, share in zip(fit.model.names, course.capped, strict=True)
        if share > 0
    ]
    people = fit.population
    if people.levels is None and bounded:
        why = "a latent level is not observed" if fit.table.of("loading") else "no unit is in a document"
        whom = "rows" if fit.level == "single" else "units"
        notes.append(f"Levels of the {whom} are drawn from their mean and covariance ({why}).")
    elif people.levels is not None and bounded and np.isnan(people.levels).any():
        holes = int(np.isnan(people.levels).any(axis=1).sum())
        out = "" if people.hidden is None else " that may be shown"
        notes.append(f"{holes} unit(s) lack some score{out}; they are taken to stand at the mean.")
    if people.roots is not None and bounded:
        notes.append("Levels of the units are drawn from what is known of each, anew in every draw.")
    return notes
