"""Whether a question can be asked of a fit: names, scales, units, contradictions, support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.result.fit import Fit
from roxmodel.simulation.intervention import Intervention, shares
from roxmodel.types import FloatArray

__all__ = ["Action", "check_question", "check_value", "read_actions", "support_notes"]


@dataclass(frozen=True, slots=True)
class Action:
    """An intervention in the fit's own places.

    Attributes
    ----------
    name
        Of the intervention.
    shift
        Construct's place -> points.
    level
        Construct's place -> level it is set to.
    share
        (horizon,) share in force in each wave.
    covers
        (units,) 0/1, or (1,) one where all are covered.
    cost, start
        One-off cost and the wave it is spent in.
    """

    name: str
    shift: Mapping[int, float]
    level: Mapping[int, float]
    share: FloatArray
    covers: FloatArray
    cost: float
    start: int


def check_question(fit: Fit, interventions: Sequence[Intervention], horizon: int, draws: int, discount: float) -> None:
    """Refuse what cannot be simulated.

    Raises
    ------
    SimulationError
        In one sentence, naming the culprit.
    """
    if not fit.converged:
        raise SimulationError(
            f"This fit did not converge ({fit.verdicts['converged'].reason}), so nothing is simulated from it.",
            hint="Mend the fit first.",
        )
    if not interventions:
        raise SimulationError("No intervention was given.", hint="Give [rox.Intervention(...)].")
    for given in interventions:
        if not isinstance(given, Intervention):
            raise SimulationError(f"interventions= holds a {type(given).__name__}.", allowed="rox.Intervention")
    names = [i.name for i in interventions]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SimulationError(f"Two interventions are named {listed(twice)}.", hint="Give each its own name.")
    if "total" in names:
        raise SimulationError("An intervention is named 'total', which is the name of the sum.", hint="Rename it.")
    if not isinstance(horizon, int | np.integer) or horizon < 1:
        raise SimulationError(f"horizon= was {horizon!r}.", allowed="a whole number of waves, at least 1")
    if not isinstance(draws, int | np.integer) or draws < 1:
        raise SimulationError(f"draws= was {draws!r}.", allowed="a whole number, at least 1, better 2,000")
    if not np.isfinite(discount) or discount <= -1:
        raise SimulationError(f"discount= was {discount!r}.", allowed="a rate per wave above -1, for example 0.02")
    for intervention in interventions:
        if intervention.start > horizon:
            raise SimulationError(
                f"Intervention {intervention.name!r} starts in wave {intervention.start}, after the horizon of {horizon}.",
                hint="Let it start earlier, or look further.",
            )


def check_value(fit: Fit, value: Mapping[str, float] | None) -> dict[int, float]:
    """Money per raw unit of each outcome, by place.

    Raises
    ------
    SimulationError
        For an unknown construct, one that is no outcome, or an amount that is not finite.
    """
    found: dict[int, float] = {}
    for name, amount in (value or {}).items():
        if name not in fit.model.names:
            raise SimulationError(f"value= names {name!r}.", hint=did_you_mean(name, fit.model.names))
        if fit.model.find(name).factor != "outcomes":
            outcomes = [c.name for c in fit.model.constructs if c.factor == "outcomes"]
            raise SimulationError(
                f"value= prices {name!r}, which is no outcome but {fit.model.find(name).factor!r}.",
                allowed=listed(outcomes),
                hint="Money is counted once, at the outcomes.",
            )
        if not np.isfinite(amount):
            raise SimulationError(f"value= prices {name!r} at {amount}.", allowed="a finite amount")
        found[fit.model.names.index(name)] = float(amount)
    return found


def read_actions(
    fit: Fit, interventions: Sequence[Intervention], horizon: int
) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """Interventions in the fit's own places, and what was assumed on the way.

    Raises
    ------
    SimulationError
        For an unknown construct or unit, a move beyond the scale, or two actions that set the same construct.
    """
    notes: list[str] = []
    actions = []
    for intervention in interventions:
        shift: dict[int, float] = {}
        for name, amount in (intervention.shift or {}).items():
            place, points, note = _shift(fit, intervention.name, name, amount)
            shift[place] = shift.get(place, 0.0) + points
            notes += note
        level = {_set(fit, intervention.name, name, to): to for name, to in (intervention.set or {}).items()}
        actions.append(
            Action(
                name=intervention.name,
                shift=shift,
                level=level,
                share=shares(intervention, horizon),
                covers=_covers(fit, intervention),
                cost=intervention.cost,
                start=intervention.start,
            )
        )
    _refuse_contradiction(fit, actions)
    return tuple(actions), tuple(dict.fromkeys(notes))


def _shift(fit: Fit, who: str, name: str, amount: float) -> tuple[int, float, list[str]]:
    names, items = fit.model.names, {i: c for c in fit.model.constructs for i in c.item_names}
    note: list[str] = []
    if name in names:
        construct, points = fit.model.find(name), amount
    elif name in items:
        construct = items[name]
        points = amount / len(construct.items)
        note = [
            f"{who}: item {name!r} is treated as a lever: {amount:g} points of it are {points:g} of the item mean of "
            f"{construct.name!r} (assumed, not estimated)."
        ]
    else:
        raise SimulationError(
            f"Intervention {who!r} shifts {name!r}, which is no construct.", hint=did_you_mean(name, [*names, *items])
        )
    low, high = construct.ends
    if low is not None and high is not None and abs(points) > high - low:
        raise SimulationError(
            f"Intervention {who!r} shifts {name!r} by {amount:g} points, more than its whole scale "
            f"({low:g} to {high:g}).",
            allowed=f"at most {high - low:g} points up or down",
        )
    return names.index(construct.name), points, note


def _set(fit: Fit, who: str, name: str, level: float) -> int:
    if name not in fit.model.names:
        raise SimulationError(
            f"Intervention {who!r} sets {name!r}, which is no construct.", hint=did_you_mean(name, fit.model.names)
        )
    if fit.population.mean is None:
        raise SimulationError(
            f"Intervention {who!r} sets a level, but this fit has no means (it comes from a printed matrix).",
            hint="Use shift=, or give the matrix its means.",
        )
    low, high = fit.model.find(name).ends
    if (low is not None and level < low) or (high is not None and level > high):
        raise SimulationError(
            f"Intervention {who!r} sets {name!r} to {level:g}, outside its scale.",
            allowed=f"{'-inf' if low is None else f'{low:g}'} to {'inf' if high is None else f'{high:g}'}",
        )
    return fit.model.names.index(name)


def _covers(fit: Fit, intervention: Intervention) -> FloatArray:
    if intervention.units is None:
        return np.ones(1)
    known = fit.population.units
    if known is None:
        raise SimulationError(
            f"Intervention {intervention.name!r} names units, but this fit knows none by name.",
            hint="Names are kept only in the fit of a Study, not in a document or a matrix; leave units= out.",
        )
    unknown = [unit for unit in intervention.units if unit not in known]
    if unknown:
        raise SimulationError(
            f"Intervention {intervention.name!r} names the unit {unknown[0]!r}, which is not in the study.",
            hint=did_you_mean(str(unknown[0]), [str(unit) for unit in known]),
        )
    covered = set(intervention.units)
    return np.array([float(unit in covered) for unit in known])


def _refuse_contradiction(fit: Fit, actions: Sequence[Action]) -> None:
    for i, one in enumerate(actions):
        for other in actions[i + 1 :]:
            both = [place for place in one.level if place in other.level]
            meet = (one.share * other.share > 0).any() and (one.covers * other.covers > 0).any()
            if both and meet:
                raise SimulationError(
                    f"Interventions {one.name!r} and {other.name!r} both set {fit.model.names[both[0]]!r} in the same "
                    "units and waves.",
                    hint="Keep one, or let them act in different units or waves.",
                )


def support_notes(fit: Fit, actions: Sequence[Action]) -> tuple[str, ...]:
    """Where an action leaves what was observed: more than a quarter of the units, or their mean."""
    people = fit.population
    if people.levels is None or people.low is None or people.high is None:
        return ()
    notes = []
    for action in actions:
        shifted = {place: people.levels[:, place] + points for place, points in action.shift.items()}
        reached = shifted | {place: np.full(len(people.levels), level) for place, level in action.level.items()}
        for place, after in reached.items():
            levels = after[~np.isnan(people.levels[:, place])]
            beyond = float(((levels > people.high[place]) | (levels < people.low[place])).mean())
            outside = not people.low[place] <= levels.mean() <= people.high[place]
            if beyond > 0.25 or outside:
                notes.append(
                    f"{action.name} moves {fit.model.names[place]!r} beyond what was observed "
                    f"({people.low[place]:.3g} to {people.high[place]:.3g}) in {beyond:.0%} of the units: the answer "
                    "is an extrapolation."
                )
    return tuple(notes)

