"""Whether a question can be asked of a fit: names, scales, units, contradictions, support."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.result.fit import Fit
from roxmodel.result.system import System, stability_index
from roxmodel.simulation.intervention import Intervention, shares
from roxmodel.simulation.units import ends_of
from roxmodel.spec.constructs import Construct
from roxmodel.types import BoolArray, FloatArray

__all__ = [
    "Action",
    "check_question",
    "check_value",
    "read_actions",
    "require_equilibrium",
    "support_notes",
]

_STEADY = 0.5  # share of draws with an equilibrium below which nothing is simulated


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
    if not isinstance(fit, Fit):
        raise SimulationError(
            f"fit= was a {type(fit).__name__}.", allowed="a rox.Fit", hint="Say simulate(fit, [...])."
        )
    if not fit.converged:
        raise SimulationError(
            f"This fit did not converge ({fit.verdicts['converged'].reason}), so nothing is simulated from it.",
            hint="Mend the fit first.",
        )
    if len(fit.groups) > 1:
        raise SimulationError(
            f"This fit has {len(fit.groups)} groups, each with its own effects: {listed(g.name for g in fit.groups)}.",
            hint=f"Say which: simulate(fit.group({fit.groups[0].name!r}), [...]).",
        )
    _check_names(interventions)
    _require_whole("horizon", horizon, "a whole number of waves, at least 1")
    _require_whole("draws", draws, "a whole number, at least 1, better 2,000")
    if not _is_number(discount) or not np.isfinite(discount) or discount <= -1:
        raise SimulationError(f"discount= was {discount!r}.", allowed="a rate per wave above -1, for example 0.02")
    if -horizon * np.log1p(discount) > 200:
        raise SimulationError(
            f"discount={discount:g} over {horizon} waves makes later money worth more than any number.",
            allowed="a rate nearer to 0, or fewer waves",
        )
    for intervention in interventions:
        if intervention.start > horizon:
            raise SimulationError(
                f"Intervention {intervention.name!r} starts in wave {intervention.start}, after the horizon of "
                f"{horizon}.",
                hint="Let it start earlier, or look further.",
            )


def require_equilibrium(fit: Fit, system: System) -> tuple[System, tuple[str, ...]]:
    """The draws in which every feedback loop settles, and how many did not.

    Raises
    ------
    SimulationError
        If a push around a loop grows for ever at the estimate, or in most draws (Bentler & Freeman 1983,
        doi 10.1007/BF02294026).
    """
    loops = fit.model.loops()
    if not loops:
        return system, ()
    names = " and ".join(f"of {listed(loop)}" for loop in loops)
    at = float(stability_index(fit.system().coefficients)[0])
    if not at < 1:
        raise SimulationError(
            f"The feedback loop {names} has no equilibrium: a push around it grows for ever (largest eigenvalue "
            f"{at:.3g} in modulus).",
            allowed="below 1",
            hint="An edge of it is probably wrong, or an instrument is weak.",
        )
    steady = stability_index(system.coefficients) < 1
    share = float(steady.mean())
    if share < _STEADY:
        raise SimulationError(
            f"The feedback loop {names} has an equilibrium in {share:.0%} of the draws only: the data cannot tell "
            "whether a push around it settles.",
            hint="More data, or stronger instruments.",
        )
    if share == 1:
        return system, ()
    count = int((~steady).sum())
    note = (
        f"In {count} of {len(steady)} draws the feedback loop {names} has no equilibrium; they are left out, so that "
        "intervals are those of a loop that settles."
    )
    return system.only(steady), (note,)


def _check_names(interventions: Sequence[Intervention]) -> None:
    if not interventions:
        raise SimulationError("No intervention was given.", hint="Give [rox.Intervention(...)].")
    for given in interventions:
        if not isinstance(given, Intervention):
            raise SimulationError(
                f"interventions= holds a {type(given).__name__}.", allowed="a list of rox.Intervention"
            )
    names = [i.name for i in interventions]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SimulationError(f"Two interventions are named {listed(twice)}.", hint="Give each its own name.")
    if "total" in names:
        raise SimulationError("An intervention is named 'total', which is the name of the sum.", hint="Rename it.")


def _require_whole(name: str, given: object, allowed: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise SimulationError(f"{name}= was {given!r}.", allowed=allowed)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float | np.number) and not isinstance(given, bool)


def check_value(fit: Fit, value: Mapping[str, float] | None) -> dict[int, float]:
    """Money per raw unit of each outcome, by place.

    Raises
    ------
    SimulationError
        For an unknown construct, one that is no outcome, or an amount that is not finite.
    """
    found: dict[int, float] = {}
    if value is not None and not isinstance(value, Mapping):
        raise SimulationError(
            f"value= was {value!r}.", allowed="a mapping outcome -> money per raw unit, unit and wave"
        )
    for name, amount in (value or {}).items():
        if name not in fit.model.names:
            raise SimulationError(f"value= names {name!r}.", hint=did_you_mean(str(name), fit.model.names))
        if fit.model.find(name).factor != "outcomes":
            outcomes = [c.name for c in fit.model.constructs if c.factor == "outcomes"]
            raise SimulationError(
                f"value= prices {name!r}, which is no outcome but {fit.model.find(name).factor!r}.",
                allowed=listed(outcomes),
                hint="Money is counted once, at the outcomes.",
            )
        if not _is_number(amount) or not np.isfinite(amount):
            raise SimulationError(f"value= prices {name!r} at {amount!r}.", allowed="a finite amount")
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
    if name in fit.model.names:
        construct = fit.model.find(name)
        _refuse_beyond(who, name, amount, ends_of(fit, construct))
        return fit.model.names.index(name), amount, []
    items = {item.name: (item, construct) for construct in fit.model.constructs for item in construct.items}
    if name not in items:
        raise SimulationError(
            f"Intervention {who!r} shifts {name!r}, which is no construct.",
            hint=did_you_mean(name, [*fit.model.names, *items]),
        )
    item, construct = items[name]
    _refuse_beyond(who, name, amount, item.ends)
    points = item.reading[0] * amount / _items_that_move(fit, construct)
    turned = " (reversed)" if item.reading[0] < 0 else ""
    what = f"points of {construct.item_names[0]!r} for" if fit.table.of("loading") else "of the item mean of"
    note = (
        f"{who}: item {name!r}{turned} is treated as a lever: {amount:g} points of it are {points:g} {what} "
        f"{construct.name!r} (assumed, not estimated)."
    )
    return fit.model.names.index(construct.name), points, [note]


def _items_that_move(fit: Fit, construct: Construct) -> float:
    """Points that all items together move with one point of the construct: their number, or the sum of loadings.

    Raises
    ------
    SimulationError
        If the loadings cancel.
    """
    loadings = {
        row.right: float(fit.theta[row.free - 1]) if row.free else float(row.value or 0.0)
        for row in fit.table.of("loading")
        if row.left == construct.name
    }
    if not loadings:
        return float(len(construct.items))
    total = sum(loadings.values()) / loadings[construct.item_names[0]]
    if not total > 0:
        raise SimulationError(
            f"The loadings of {construct.name!r} cancel, so that moving one of its items says nothing of it.",
            hint="Shift the construct, or turn items with rox.Item(reverse=True).",
        )
    return total


def _refuse_beyond(who: str, name: str, amount: float, ends: tuple[float | None, float | None]) -> None:
    low, high = ends
    if low is not None and high is not None and abs(amount) > high - low:
        raise SimulationError(
            f"Intervention {who!r} shifts {name!r} by {amount:g} points, more than its whole scale "
            f"({low:g} to {high:g}).",
            allowed=f"at most {high - low:g} points up or down",
        )


def _set(fit: Fit, who: str, name: str, level: float) -> int:
    if name not in fit.model.names:
        raise SimulationError(
            f"Intervention {who!r} sets {name!r}, which is no construct.", hint=did_you_mean(name, fit.model.names)
        )
    if fit.population.mean is None:
        raise SimulationError(
            f"Intervention {who!r} sets a level, but this fit has no means (it comes from a printed matrix, or "
            "from ordinal items).",
            hint="Use shift=, or give the matrix its means.",
        )
    low, high = ends_of(fit, fit.model.find(name))
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
            hint=_unit_hint(unknown[0], known),
        )
    covered = set(intervention.units)
    return np.array([float(unit in covered) for unit in known])


def _unit_hint(unknown: object, known: Sequence[object]) -> str:
    twin = next((unit for unit in known if str(unit) == str(unknown)), None)
    if twin is not None:
        return f"The study's keys are of type {type(twin).__name__!r}: write {twin!r}."
    return did_you_mean(str(unknown), [str(unit) for unit in known])


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
    """Where actions leave what was observed: more than a quarter of the units they cover, or their mean.

    Shifts of one construct by several actions are looked at together as well.
    """
    people = fit.population
    if people.mean is None or people.low is None or people.high is None:
        return ()
    notes = []
    for names, place, covered, after in _reached(fit, actions):
        low, high = people.low[place], people.high[place]
        reached = after[covered & ~np.isnan(after)]
        if len(reached) == 0:
            continue
        beyond = float(((reached > high) | (reached < low)).mean())
        if beyond > 0.25 or not low <= reached.mean() <= high:
            notes.append(
                f"{names} moves {fit.model.names[place]!r} beyond what was observed ({low:.3g} to {high:.3g}) in "
                f"{beyond:.0%} of the units: the answer is an extrapolation."
            )
    return tuple(notes)


def _reached(fit: Fit, actions: Sequence[Action]) -> Iterator[tuple[str, int, BoolArray, FloatArray]]:
    """Who moves which construct, in which units, to which levels at full force (without caps)."""
    levels = fit.population.levels if fit.population.levels is not None else np.asarray(fit.population.mean)[None, :]
    together: dict[int, list[Action]] = {}
    for action in actions:
        covered = np.broadcast_to(action.covers > 0, len(levels))
        for place, points in action.shift.items():
            yield action.name, place, covered, levels[:, place] + points * action.share.max()
            together.setdefault(place, []).append(action)
        for place, level in action.level.items():
            yield action.name, place, covered, np.where(np.isnan(levels[:, place]), np.nan, level)
    for place, both in together.items():
        if len(both) > 1:
            force = [action.shift[place] * action.share.max() * action.covers for action in both]
            total = np.broadcast_to(np.sum(np.broadcast_arrays(*force), axis=0), len(levels))
            yield " and ".join(action.name for action in both), place, total != 0, levels[:, place] + total
