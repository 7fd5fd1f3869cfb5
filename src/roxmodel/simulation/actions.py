"""Interventions in the fit's own places: what they move, between which ends, and what is spent; contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from roxmodel.errors import SimulationError, did_you_mean
from roxmodel.moments.condense import unit_hint
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.simulation.intervention import Intervention, covered_by, response_to, shares, spending
from roxmodel.spec.constructs import UNIT, Construct
from roxmodel.spec.questionnaire import Item
from roxmodel.types import FIGURES, BoolArray, FloatArray

__all__ = [
    "Action", "Clash", "Ends", "contradictions", "ends_of", "ends_where", "is_figure", "lever_of", "read_actions",
    "support_notes", "unit_of",
]  # fmt: skip


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

    @property
    def acted(self) -> tuple[int, ...]:
        """Places of the constructs that it acts on."""
        return tuple(dict.fromkeys((*self.shift, *self.level, *self.growth)))


class Ends(NamedTuple):
    """Ends of a scale; None where there is none."""

    low: float | None
    high: float | None

    @property
    def bounds(self) -> tuple[float, float]:
        """The same as numbers, infinite where there is none."""
        return -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high

    @property
    def endless(self) -> bool:
        """Whether nothing bounds it."""
        return self.low is None and self.high is None

    def cut(self, level: float) -> float:
        """The level, or the end that it lies beyond."""
        low, high = self.bounds
        return min(max(level, low), high)

    def __str__(self) -> str:
        low, high = self.bounds
        return f"{low:g} to {high:g}"


class Clash(NamedTuple):
    """Two actions that cannot both be done."""

    first: int
    second: int
    why: str


class _Move(NamedTuple):
    """What an action does to one construct."""

    place: int
    by: float  # points, or share of the level
    notes: tuple[str, ...] = ()


def read_actions(
    fit: Fit, interventions: Sequence[Intervention], horizon: int, n_units: int | None = None, seed: int | None = None
) -> tuple[tuple[Action, ...], tuple[str, ...]]:
    """Interventions in the fit's own places, and what was assumed on the way.

    `n_units`: units that costs per unit are counted over where an action covers all, or a share by a rule, whose levels
    may have to be drawn (`seed`).
    """
    notes: list[str] = []
    actions = []
    for one in interventions:
        effect = response_to(one.dose, one.half_dose)
        shift: dict[int, float] = {}
        growth: dict[int, float] = {}
        for name, amount in (one.shift or {}).items():
            move = _shift(fit, one.name, name, amount * effect)
            shift[move.place] = shift.get(move.place, 0.0) + move.by
            notes += move.notes
        for name, factor in (one.scale or {}).items():
            move = _scale(fit, one.name, name, (factor - 1.0) * effect)
            growth[move.place] = (1.0 + growth.get(move.place, 0.0)) * (1.0 + move.by) - 1.0
        level = {_set(fit, one.name, name, to): to for name, to in (one.set or {}).items()}
        covers, told = _covers(fit, one, seed)
        notes += told
        if one.hold is not None and not one.fade and one.is_kept_up:
            notes.append(
                f"{one.name}: it is paid for up to wave {one.start + one.ramp + one.hold} and its effect stays for "
                "good (fade=0): say fade= if it does not."
            )
        spent = spending(one, horizon, _covered(fit, one, covers, n_units))
        actions.append(Action(one.name, shift, level, growth, shares(one, horizon), covers, spent, one.start))
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


def _meant(fit: Fit, deed: str, name: str) -> tuple[Construct, Item | None]:
    """The construct of a name, with the item where it is one's."""
    for construct in fit.model.constructs:
        if construct.name == name:
            return construct, None
    items = {item.name: (construct, item) for construct in fit.model.constructs for item in construct.items}
    if name not in items:
        hint = did_you_mean(name, [*fit.model.names, *items])
        raise SimulationError(f"{deed} {name!r}, which is no construct.", hint=hint)
    return items[name]


def _require_means(fit: Fit, deed: str) -> None:
    if fit.population.mean is None:
        raise SimulationError(
            f"{deed}, but this fit has no means (it comes from a printed matrix, or from ordinal items).",
            hint="Use shift=, or give the matrix its means.",
        )


def _shift(fit: Fit, who: str, name: str, amount: float) -> _Move:
    construct, item = _meant(fit, f"Intervention {who!r} shifts", name)
    place = fit.model.names.index(construct.name)
    low, high = ends_of(fit, construct) if item is None else item.ends
    if low is not None and high is not None and abs(amount) > high - low:
        raise SimulationError(
            f"Intervention {who!r} shifts {name!r} by {amount:g} points, more than its whole scale "
            f"({low:g} to {high:g}).",
            allowed=f"at most {high - low:g} points up or down",
        )
    if item is None:
        return _Move(place, amount)
    points = amount * lever_of(fit, construct, item)
    turned = " (reversed)" if item.reading[0] < 0 else ""
    what = f"points of {construct.item_names[0]!r} for" if fit.table.of("loading") else "of the item mean of"
    note = (
        f"{who}: item {name!r}{turned} is treated as a lever: {amount:g} points of it are {points:g} {what} "
        f"{construct.name!r} (assumed, not estimated)."
    )
    return _Move(place, points, (note,))


def _scale(fit: Fit, who: str, name: str, more: float) -> _Move:
    """A factor counts from the level, so there has to be one, with a zero of its own."""
    deed = f"Intervention {who!r} scales"
    _require_means(fit, f"{deed} {name!r}")
    construct, item = _meant(fit, deed, name)
    if item is not None:
        raise SimulationError(
            f"{deed} the item {name!r}; a factor is read on the construct's level only.",
            hint=f"Scale {construct.name!r}, or shift the item.",
        )
    return _Move(fit.model.names.index(name), more)


def lever_of(fit: Fit, construct: Construct, item: Item) -> float:
    """Points of a construct for one point of one of its items, taken as a lever (assumed); below 0 for a reversed one.

    A shift of one item by d is one of the item mean by d / k; by latent methods of d over the sum of the loadings.
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


def _set(fit: Fit, who: str, name: str, level: float) -> int:
    deed = f"Intervention {who!r} sets"
    if name not in fit.model.names:
        hint = did_you_mean(name, fit.model.names)
        raise SimulationError(f"{deed} {name!r}, which is no construct.", hint=hint)
    _require_means(fit, f"{deed} a level")
    ends = ends_of(fit, fit.model.find(name))
    if ends.cut(level) != level:
        raise SimulationError(f"{deed} {name!r} to {level:g}, outside its scale.", allowed=str(ends))
    return fit.model.names.index(name)


def _covers(fit: Fit, intervention: Intervention, seed: int | None) -> tuple[FloatArray, tuple[str, ...]]:
    """(units,) or (1,) 0/1, and what is to be said of it."""
    who, rule = f"Intervention {intervention.name!r}", intervention.units
    if rule is None:
        return np.ones(1), ()
    known = fit.population.units
    if not isinstance(rule, tuple):
        if rule.on not in fit.model.names:
            hint = did_you_mean(rule.on, fit.model.names)
            raise SimulationError(f"{who} covers units by {rule.on!r}, which is no construct.", hint=hint)
        if fit.population.mean is None:
            raise SimulationError(
                f"{who} covers units by their level, but this fit has no means.", hint="Leave units= out."
            )
        place = fit.model.names.index(rule.on)
        measured = fit.population.levels
        covered = covered_by(rule, (complete_levels(fit, seed or 0) if measured is None else measured)[:, place])
        if not covered.any():
            out = 0 if fit.population.hidden is None else int(fit.population.hidden[:, place].sum())
            hidden = f"The level of {out} unit(s) is hidden (min_group=), and a rule does not cover these."
            raise SimulationError(
                f"{who} covers no unit: none is {rule.kind} on {rule.on!r} as it says ({rule!r}).",
                hint=hidden if out else None,
            )
        whom = "units" if fit.level == "between" else "rows"
        kind = " by what is predicted of them" if fit.population.roots is not None else ""
        kind = " drawn from mean and covariance" if measured is None else kind
        note = f"{intervention.name}: {rule.kind} on {rule.on!r} covers {covered.sum()} of {len(covered)} {whom}{kind}."
        return covered.astype(float), (note,)
    if known is None:
        raise SimulationError(
            f"{who} names units, but this fit knows none by name.",
            hint="Names are kept only in the fit of a Study, not in a document or a matrix; leave units= out.",
        )
    unknown = [unit for unit in rule if unit not in known]
    if unknown:
        hint = unit_hint(unknown[0], known)
        raise SimulationError(f"{who} names the unit {unknown[0]!r}, which is not in the study.", hint=hint)
    named = set(rule)
    return np.array([float(unit in named) for unit in known]), ()


def contradictions(fit: Fit, actions: Sequence[Action]) -> tuple[Clash, ...]:
    """Pairs of actions that cannot both be done."""
    found = []
    for (i, one), (j, other) in combinations(enumerate(actions), 2):
        both = [place for place in one.level if place in other.level]
        mixed = [p for a, b in ((one, other), (other, one)) for p in a.level if p in b.growth]
        if not (both or mixed):
            continue
        if (one.share * other.share > 0).any() and (one.covers * other.covers > 0).any():
            verb = "both set" if both else "set and scale"
            why = f"{verb} {fit.model.names[(both or mixed)[0]]!r} in the same units and waves"
            found.append(Clash(i, j, why))
    return tuple(found)


def support_notes(fit: Fit, actions: Sequence[Action], seed: int | None = None) -> tuple[str, ...]:
    """Where actions, alone or together on a construct, leave what was observed: in a quarter of units, or the mean."""
    people = fit.population
    if people.mean is None or people.low is None or people.high is None:
        return ()
    notes = []
    for move in _reached(fit, actions, seed):
        low, high = people.low[move.place], people.high[move.place]
        here = move.covered & ~np.isnan(move.after)
        first, reached = move.before[here], move.after[here]
        if len(reached) == 0:
            continue
        # Drawn levels may lie outside to begin with; what moves towards the others leaves nothing.
        beyond = float((((reached > high) & (reached > first)) | ((reached < low) & (reached < first))).mean())
        before, after = first.mean(), reached.mean()
        if beyond > 0.25 or after > max(high, before) or after < min(low, before):
            notes.append(
                f"{move.names} moves {fit.model.names[move.place]!r} beyond what was observed ({low:.3g} to "
                f"{high:.3g}) in {beyond:.0%} of the units: the answer is an extrapolation."
            )
    return tuple(notes)


class _Reach(NamedTuple):
    """Who moves which construct, in which units, from and to which levels."""

    names: str
    place: int
    covered: BoolArray
    before: FloatArray
    after: FloatArray


def _reached(fit: Fit, actions: Sequence[Action], seed: int | None) -> Iterator[_Reach]:
    """At full force, without caps: each action by itself, then those that shift one construct together."""
    together: dict[int, list[Action]] = {}
    for action in actions:
        levels = _standing(fit, len(action.covers), seed)
        covered = np.broadcast_to(action.covers > 0, len(levels))
        for place, points in action.shift.items():
            at = levels[:, place]
            yield _Reach(action.name, place, covered, at, at + points * action.share.max())
            together.setdefault(place, []).append(action)
        for place, more in action.growth.items():
            at = levels[:, place]
            yield _Reach(action.name, place, covered, at, at * (1.0 + more * action.share.max()))
        for place, level in action.level.items():
            at = levels[:, place]
            yield _Reach(action.name, place, covered, at, np.where(np.isnan(at), np.nan, level))
    for place, both in together.items():
        if len(both) > 1:
            force = [action.shift[place] * action.share.max() * action.covers for action in both]
            levels = _standing(fit, max(len(action.covers) for action in both), seed)
            total = np.broadcast_to(np.sum(np.broadcast_arrays(*force), axis=0), len(levels))
            names, at = " and ".join(action.name for action in both), levels[:, place]
            yield _Reach(names, place, total != 0, at, at + total)


def _standing(fit: Fit, covers: int, seed: int | None) -> FloatArray:
    """(units, k) levels; without units those drawn for a rule, and where no rule asks for them, the mean alone."""
    if fit.population.levels is not None:
        return fit.population.levels
    return complete_levels(fit, seed or 0) if covers > 1 else np.asarray(fit.population.mean)[None, :]


_UNITS: Final = {"percent": "percentage points", "binary": "probability", "count": "count"}  # others are points


def unit_of(construct: Construct, fit: Fit | None = None) -> str:
    """Name the unit of a construct's score, for tables and axes (in a fit: of ordinal items, what lies behind them)."""
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
    """
    scale = construct.items[0].scale
    if scale is None:
        return False
    return scale.kind in FIGURES or (scale.kind == "nps" and construct.source == UNIT)


def ends_of(fit: Fit, construct: Construct) -> Ends:
    """Ends of a scale: of the first item where a construct is latent, else of the item mean; ordinal ones have none."""
    if _ordinal(fit, construct):
        return Ends(None, None)
    return Ends(*(construct.items[0].ends if fit.table.of("loading") else construct.ends))


def ends_where(fit: Fit, wanted: Callable[[int, Construct], bool]) -> tuple[FloatArray, FloatArray]:
    """(k,) lower and upper ends of all constructs, infinite where there is none or it is not wanted."""
    both = [
        ends_of(fit, construct).bounds if wanted(place, construct) else (-np.inf, np.inf)
        for place, construct in enumerate(fit.model.constructs)
    ]
    return np.array([low for low, _ in both]), np.array([high for _, high in both])


def _ordinal(fit: Fit, construct: Construct) -> bool:
    """Whether the first item has thresholds: then a point is a standard deviation of the normal variable behind it."""
    return any(row.left == construct.items[0].name for row in fit.table.of("threshold"))
