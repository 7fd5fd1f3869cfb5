"""What a reader must know beside the numbers: money counted twice, units without the outcome, ends of scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from roxmodel.result.fit import Fit
from roxmodel.simulation.dynamics import Course
from roxmodel.simulation.units import ends_of

__all__ = ["cap_notes", "coverage_notes", "money_notes"]


def money_notes(fit: Fit, prices: Mapping[int, float], discount: float) -> tuple[str, ...]:
    """Prices that count the same money twice, and a rate that was probably meant in percent."""
    notes = []
    names = fit.model.names
    reach = fit.system().coefficients[0] != 0
    for cause in prices:
        for effect in prices:
            if reach[effect, cause]:
                a, b = names[cause], names[effect]
                notes.append(
                    f"{a!r} and {b!r} are both priced, and {a} -> {b}: what {a!r} is worth through {b!r} is counted "
                    "there already, so price only the rest."
                )
    if prices and discount >= 1:
        notes.append(f"discount={discount:g} is {discount:.0%} a wave; for {discount:g} % write {discount / 100:g}.")
    return tuple(notes)


def coverage_notes(fit: Fit, prices: Mapping[int, float], units: int | None) -> tuple[str, ...]:
    """What the money is counted over, where that is not what was measured."""
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
            notes.append(
                f"{fit.model.names[place]!r} was measured in {measured} of {len(levels)} units; the money counts "
                f"{units} (n_units= says otherwise)."
            )
    return tuple(notes)


def cap_notes(fit: Fit, course: Course, no_levels: bool) -> list[str]:
    """Where the end of a scale cut a change, and how levels were found."""
    bounded = [c.name for c in fit.model.constructs if None not in ends_of(fit, c)]
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
        notes.append(f"{holes} unit(s) lack some score; they are taken to stand at the mean.")
    return notes
