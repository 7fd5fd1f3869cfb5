"""Interventions in the fit's own places: what they move, between which ends, and what is spent; contradictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from roxmodel.errors import SimulationError, did_you_mean
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.simulation.intervention import Intervention, covered_by, response_to, shares, spending
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.questionnaire import Item
from roxmodel.types import FIGURES, BoolArray, FloatArray

__all__ = ["Action", "contradictions", "ends_of", "is_figure", "lever_of", "read_actions", "support_notes", "unit_of"]


@dataclass(frozen=True, slots=True)
class Action:
    """An intervention in the fit's own places."""

    name: str  # of the intervention
    shift: Mapping[int, float]  # construct's place -> points
    level: Mapping[int, float]  # construct's place -> level it is set to
    growth: Mapping[int, float]  # construct's place -> share of its level that is added
    share: FloatArray  # (horizon,) share in force in each wave
    covers: FloatArray  # (units,) 0/1, or (1,) one where all are covered
    spending: Mapping[str, FloatArray]  # block -> (horizon,) money of each wave, not discounted
    start: int  # first wave

    @property
    def spent(self) -> FloatArray:
        """(horizon,) money of each wave, all blocks."""
        return np.asarray(sum(self.spending.values(), np.zeros(len(self.share))))

    def alone(self, share: FloatArray) -> Action:
        """The same with other shares in force."""
        return Action(self.name, self.shift, self.level, self.growth, share, self.covers, self.spending, self.start)


def read_actions(
    fit: Fit, interventions: Sequence[Intervention], horizon: int, n_units: int | None = None, seed: int | None = None
) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """Interventions in the fit's own places, and what was assumed on the way.

    `n_units`: units that costs per unit are counted over where an action covers all of them, or a share by a rule.
    `seed`: of levels that have to be drawn for a rule.
    """
    notes: list[str] = []
    actions = []
    for intervention in interventions:
        effect = response_to(intervention.dose, intervention.half_dose)
        shift: dict[int, float] = {}
        growth: dict[int, float] = {}
        for name, amount in (intervention.shift or {}).items():
            place, points, note = _shift(fit, intervention.name, name, amount * effect)
            shift[place] = shift.get(place, 0.0) + points
            notes += note
        for name, factor in (intervention.scale or {}).items():
            place, more, note = _scale(fit, intervention.name, name, (factor - 1.0) * effect)
            growth[place] = (1.0 + growth.get(place, 0.0)) * (1.0 + more) - 1.0
            notes += note
        level = {_set(fit, intervention.name, name, to): to for name, to in (intervention.set or {}).items()}
        covers, note = _covers(fit, intervention, seed)
        notes += note
        if intervention.hold is not None and not intervention.fade and intervention.is_kept_up:
            last = intervention.start + intervention.ramp + intervention.hold
            notes.append(
                f"{intervention.name}: it is paid for up to wave {last} and its effect stays for good (fade=0): say "
                "fade= if it does not."
            )
        actions.append(
            Action(
                name=intervention.name,
                shift=shift,
                level=level,
                growth=growth,
                share=shares(intervention, horizon),
                covers=covers,
                spending=spending(intervention, horizon, _covered(fit, intervention, covers, n_units)),
                start=intervention.start,
            )
        )
    return tuple(actions), tuple(dict.fromkeys(notes))


def _covered(fit: Fit, intervention: Intervention, covers: FloatArray, n_units: int | None) -> float:
    """Number of units an action covers, for costs per unit."""
    if not intervention.cost_per_unit and not intervention.running_per_unit:
        return 0.0
    if intervention.units is not None and fit.population.units is not None and n_units in {None, len(covers)}:
        return float(covers.sum())
    if n_units is None:
        raise SimulationError(
            f"Intervention {intervention.name!r} has a cost per unit, but this fit has no units.",
            hint="Say how many: n_units=120.",
        )
    return float(covers.mean() * n_units)


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
    points = amount * lever_of(fit, construct, item)
    turned = " (reversed)" if item.reading[0] < 0 else ""
    what = f"points of {construct.item_names[0]!r} for" if fit.table.of("loading") else "of the item mean of"
    note = (
        f"{who}: item {name!r}{turned} is treated as a lever: {amount:g} points of it are {points:g} {what} "
        f"{construct.name!r} (assumed, not estimated)."
    )
    return fit.model.names.index(construct.name), points, [note]


def _scale(fit: Fit, who: str, name: str, more: float) -> tuple[int, float, list[str]]:
    """A factor counts from the level, so there has to be one, with a zero of its own."""
    if fit.population.mean is None:
        raise SimulationError(
            f"Intervention {who!r} scales {name!r}, but this fit has no means (it comes from a printed matrix, or from "
            "ordinal items).",
            hint="Use shift=, or give the matrix its means.",
        )
    if name in fit.model.names:
        return fit.model.names.index(name), more, []
    items = {item.name: construct for construct in fit.model.constructs for item in construct.items}
    if name not in items:
        raise SimulationError(
            f"Intervention {who!r} scales {name!r}, which is no construct.",
            hint=did_you_mean(name, [*fit.model.names, *items]),
        )
    raise SimulationError(
        f"Intervention {who!r} scales the item {name!r}; a factor is read on the construct's level only.",
        hint=f"Scale {items[name].name!r}, or shift the item.",
    )


def lever_of(fit: Fit, construct: Construct, item: Item) -> float:
    """Points of a construct for one point of one of its items, if the item is treated as a lever (assumed).

    A shift of one item by d is one of the item mean by d / k; by latent methods of d over the sum of the loadings.
    Negative for a reversed item.
    """
    return item.reading[0] / _items_that_move(fit, construct)


def _items_that_move(fit: Fit, construct: Construct) -> float:
    """Points that all items together move with one point of the construct: their number, or the sum of loadings."""
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


def _covers(fit: Fit, intervention: Intervention, seed: int | None) -> tuple[FloatArray, list[str]]:
    who, rule = f"Intervention {intervention.name!r}", intervention.units
    if rule is None:
        return np.ones(1), []
    known = fit.population.units
    if not isinstance(rule, tuple):
        if rule.on not in fit.model.names:
            raise SimulationError(
                f"{who} covers units by {rule.on!r}, which is no construct.",
                hint=did_you_mean(rule.on, fit.model.names),
            )
        if fit.population.mean is None:
            raise SimulationError(
                f"{who} covers units by their level, but this fit has no means.", hint="Leave units= out."
            )
        place = fit.model.names.index(rule.on)
        measured = fit.population.levels
        covered = covered_by(rule, (complete_levels(fit, seed or 0) if measured is None else measured)[:, place])
        if not covered.any():
            out = 0 if fit.population.hidden is None else int(fit.population.hidden[:, place].sum())
            raise SimulationError(
                f"{who} covers no unit: none is {rule.kind} on {rule.on!r} as it says ({rule!r}).",
                hint=f"The level of {out} unit(s) is hidden (min_group=), and a rule does not cover these."
                if out
                else None,
            )
        whom = "units" if fit.level == "between" else "rows"
        kind = " by what is predicted of them" if fit.population.roots is not None else ""
        kind = " drawn from mean and covariance" if measured is None else kind
        note = f"{intervention.name}: {rule.kind} on {rule.on!r} covers {covered.sum()} of {len(covered)} {whom}{kind}."
        return covered.astype(float), [note]
    if known is None:
        raise SimulationError(
            f"{who} names units, but this fit knows none by name.",
            hint="Names are kept only in the fit of a Study, not in a document or a matrix; leave units= out.",
        )
    unknown = [unit for unit in rule if unit not in known]
    if unknown:
        raise SimulationError(
            f"{who} names the unit {unknown[0]!r}, which is not in the study.", hint=_unit_hint(unknown[0], known)
        )
    named = set(rule)
    return np.array([float(unit in named) for unit in known]), []


def _unit_hint(unknown: object, known: Sequence[object]) -> str:
    twin = next((unit for unit in known if str(unit) == str(unknown)), None)
    if twin is not None:
        return f"The study's keys are of type {type(twin).__name__!r}: write {twin!r}."
    return did_you_mean(str(unknown), [str(unit) for unit in known])


def contradictions(fit: Fit, actions: Sequence[Action]) -> tuple[tuple[int, int, str], ...]:
    """Pairs of actions that cannot both be done, with the reason."""
    found = []
    for i, one in enumerate(actions):
        for j in range(i + 1, len(actions)):
            other = actions[j]
            both = [place for place in one.level if place in other.level]
            mixed = [p for a, b in ((one, other), (other, one)) for p in a.level if p in b.growth]
            if not (both or mixed):
                continue
            if (one.share * other.share > 0).any() and (one.covers * other.covers > 0).any():
                verb = "both set" if both else "set and scale"
                why = f"{verb} {fit.model.names[(both or mixed)[0]]!r} in the same units and waves"
                found.append((i, j, why))
    return tuple(found)


def support_notes(fit: Fit, actions: Sequence[Action], seed: int | None = None) -> tuple[str, ...]:
    """Where actions leave what was observed: more than a quarter of the units they cover, or their mean.

    Shifts of one construct by several actions are looked at together as well.

    `seed`: of levels that were drawn for a rule, as in `read_actions`.
    """
    people = fit.population
    if people.mean is None or people.low is None or people.high is None:
        return ()
    notes = []
    for names, place, covered, before, after in _reached(fit, actions, seed):
        low, high = people.low[place], people.high[place]
        here = covered & ~np.isnan(after)
        first, reached = before[here], after[here]
        if len(reached) == 0:
            continue
        # Drawn levels may lie outside to begin with; what moves towards the others leaves nothing.
        beyond = float((((reached > high) & (reached > first)) | ((reached < low) & (reached < first))).mean())
        if beyond > 0.25 or _leaves(first.mean(), reached.mean(), low, high):
            notes.append(
                f"{names} moves {fit.model.names[place]!r} beyond what was observed ({low:.3g} to {high:.3g}) in "
                f"{beyond:.0%} of the units: the answer is an extrapolation."
            )
    return tuple(notes)


def _leaves(before: float, after: float, low: float, high: float) -> bool:
    return after > max(high, before) or after < min(low, before)


def _reached(
    fit: Fit, actions: Sequence[Action], seed: int | None
) -> Iterator[tuple[str, int, BoolArray, FloatArray, FloatArray]]:
    """Who moves which construct, in which units, from and to which levels at full force (without caps)."""
    together: dict[int, list[Action]] = {}
    for action in actions:
        levels = _standing(fit, len(action.covers), seed)
        covered = np.broadcast_to(action.covers > 0, len(levels))
        for place, points in action.shift.items():
            yield action.name, place, covered, levels[:, place], levels[:, place] + points * action.share.max()
            together.setdefault(place, []).append(action)
        for place, more in action.growth.items():
            grown = levels[:, place] * (1.0 + more * action.share.max())
            yield action.name, place, covered, levels[:, place], grown
        for place, level in action.level.items():
            yield action.name, place, covered, levels[:, place], np.where(np.isnan(levels[:, place]), np.nan, level)
    for place, both in together.items():
        if len(both) > 1:
            force = [action.shift[place] * action.share.max() * action.covers for action in both]
            levels = _standing(fit, max(len(action.covers) for action in both), seed)
            total = np.broadcast_to(np.sum(np.broadcast_arrays(*force), axis=0), len(levels))
            names, at = " and ".join(action.name for action in both), levels[:, place]
            yield names, place, total != 0, at, at + total


def _standing(fit: Fit, covers: int, seed: int | None) -> FloatArray:
    """(units, k) levels; without units those drawn for a rule, and where no rule asks for them, the mean alone."""
    if fit.population.levels is not None:
        return fit.population.levels
    return complete_levels(fit, seed or 0) if covers > 1 else np.asarray(fit.population.mean)[None, :]


_UNITS: Final = {
    "likert": "points",
    "nps": "points",
    "percent": "percentage points",
    "binary": "probability",
    "count": "count",
}


def unit_of(construct: Construct, fit: Fit | None = None) -> str:
    """Name the unit of a construct's score, for tables and axes (in a fit: of ordinal items, what lies behind them).

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Item, Percent
    >>> unit_of(Construct(name="churn", factor="outcomes", source="unit", items=[Item(name="churn", scale=Percent())]))
    'percentage points'
    """
    if fit is not None and _ordinal(fit, construct):
        return "standard deviations"
    scale = construct.items[0].scale
    if scale is None:
        return "points" if construct.source != "unit" else "own units"
    return str(getattr(scale, "unit", None) or _UNITS.get(scale.kind, "points"))


def is_figure(construct: Construct) -> bool:
    """Whether a level is one outcome (a yes/no, a count, a share; an NPS answer of the unit's own), not a position.

    A rating is a position on its scale, and nobody is moved beyond its end. A yes/no is one outcome of what was likely:
    a straight line through outcomes is the change of what is expected, with what the ends take away counted in (Stein
    1981, doi 10.1214/aos/1176345632), and to cut it at each outcome once more would count the ends twice.

    Examples
    --------
    >>> from roxmodel.spec.questionnaire import Binary, Item, Likert
    >>> scales = {"certified": Binary(), "pride": Likert(1, 5)}
    >>> [
    ...     is_figure(Construct(name=name, factor="outcomes", source="unit", items=[Item(name=name, scale=scale)]))
    ...     for name, scale in scales.items()
    ... ]
    [True, False]
    """
    scale = construct.items[0].scale
    if scale is None:
        return False
    return scale.kind in FIGURES or (scale.kind == "nps" and construct.source == UNIT)


def ends_of(fit: Fit, construct: Construct) -> tuple[float | None, float | None]:
    """Ends of a construct's scale: those of its first item where it is latent, of the item mean where it is one.

    What lies behind an ordinal item has no ends.
    """
    if _ordinal(fit, construct):
        return None, None
    return construct.items[0].ends if fit.table.of("loading") else construct.ends


def _ordinal(fit: Fit, construct: Construct) -> bool:
    """Whether the first item has thresholds: then a point is a standard deviation of the normal variable behind it."""
    return any(row.left == construct.items[0].name for row in fit.table.of("threshold"))
