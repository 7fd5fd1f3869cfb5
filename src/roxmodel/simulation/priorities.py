"""Where to act: how much everything matters against how well it scores, and what a unit of money brings there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from roxmodel.doubts import Doubt, doubt_lines, doubt_tail, doubt_words
from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.frozen import FrozenMapping
from roxmodel.numerals import money_text
from roxmodel.plots.page import warned
from roxmodel.plots.priority_map import MapPoint, draw_map
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.result.system import total_effects
from roxmodel.simulation import question as asking
from roxmodel.simulation.actions import Ends, ends_of, unit_of
from roxmodel.simulation.budget.worth import deviations, options_of, worth_of
from roxmodel.simulation.intervention import Above, Below, Highest, Intervention, Lowest
from roxmodel.simulation.money.finance import Finance
from roxmodel.simulation.overturned import overturned_points, points_line
from roxmodel.simulation.question import OverDraws, Question, Request
from roxmodel.simulation.run_story import causal_if, level_of, skew_lines
from roxmodel.spec.constructs import Construct
from roxmodel.story import Spoken, Story, StoryPart, StoryTable
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Priorities", "where_to_act"]

_STEP = 0.1  # of a standard deviation: the push whose worth is divided by its size
_ALL = "all units"


@dataclass(frozen=True, eq=False, repr=False)
class Priorities(Spoken):
    """Where to act, made by `where_to_act`: total effects of a `fit` on an `outcome`.

    `rows`: one record for each line of `table`. `currency`: label of the money, "" where nothing was priced. `notes`:
    what was assumed. `wanted`: 1 where more of the outcome is better, -1 where less is. `doubts`: those of the fit that
    touch an edge on the way to the outcome, or to what is priced. `overturned`: construct -> how much one unmeasured
    cause must explain to bring the money of a point to 0 (see `roxmodel.Fit.sensitivity`); empty without prices.
    `spreads`: total effects by construct, over the draws beside those at the estimate.
    """

    fit: Fit
    outcome: str
    rows: tuple[Mapping[str, object], ...]
    currency: str
    notes: tuple[str, ...]
    wanted: float = 1.0
    doubts: tuple[Doubt, ...] = ()
    overturned: Mapping[str, float] = field(default_factory=lambda: FrozenMapping({}))
    spreads: tuple[tuple[str, OverDraws], ...] = ()

    def table(self) -> pd.DataFrame:
        """Constructs, items and groups of units.

        Returns
        -------
        DataFrame
            kind (``construct``, ``item``), name, group (of units), n_units (None where not known), importance (total
            effect on the outcome within the wave, in its units per point, at the estimate as in `Fit.effects`; NaN
            where the data say nothing of an edge on the way), ci_low, ci_high (95 % of the draws),
            performance (mean score, 0-100 at the better end; of a reversed item as it was answered; NaN without a
            bounded scale or without means), headroom (points to the better end of the scale; of a reversed item to the
            upper one), better (``more`` or ``less``: the end at which the outcome is better), mean (of the importance
            over the draws), and with prices: marginal (discounted money of one point towards the better end in these
            units, kept up to the horizon; mean over the draws), marginal_low, marginal_high, cost_per_point,
            return_per_money (marginal over cost; NaN without a cost), return_low, return_high.
        """
        import pandas as pd

        return pd.DataFrame([dict(row) for row in self.rows])

    def _story(self) -> Story:
        table = self.table()
        first = [*_sentences(self, table), *([points_line(self.overturned)] if self.overturned else [])]
        body: list[StoryPart] = [*first, StoryTable.of(table)]
        warnings = (*doubt_lines(self.doubts), *skew_lines(self.spreads))
        return Story("priorities", "Where to act", "", warnings, (), tuple(body), self.notes)

    def __repr__(self) -> str:
        return f"<Priorities for {self.outcome!r}, {len(self.rows)} rows{doubt_tail(self.doubts, 'priorities')}>"

    def plot(self) -> Figure:
        """Importance-performance map: total effect against mean score, for what has a bounded scale.

        Raises
        ------
        SimulationError
            If nothing has a score between 0 and 100.

        References
        ----------
        Martilla & James (1977), doi 10.1177/002224297704100112; with total effects, Ringle & Sarstedt (2016), doi
        10.1108/IMDS-10-2015-0449 (of items: times their weights in the score).
        """
        table = self.table()
        shown = table[(table["group"] == _ALL) & table["performance"].notna() & table["importance"].notna()]
        if shown.empty:
            raise SimulationError(
                "Nothing here has a mean score between 0 and 100, so there is no map.",
                hint="Give items a bounded scale, for example rox.Likert(1, 5).",
            )
        turned = {i.name for c in self.fit.model.constructs for i in c.items if i.reading[0] < 0}
        points = [_point(row, self.wanted, str(row["name"]) in turned) for row in shown.to_dict("records")]
        unit = unit_of(self.fit.model.find(self.outcome), self.fit)
        y = f"total effect on {self.outcome} ({unit} per point)"
        if self.wanted < 0 or (shown["better"] == "less").any():
            y = f"{'less' if self.wanted < 0 else 'more'} {self.outcome} ({unit} per point to the better end)"
        caption = "Dots: at the estimate; bars: 95 % of the draws. Items count as levers of their construct (assumed)."
        title = f"What moves {self.outcome}, and how well it scores"
        return warned(draw_map(points, title, y_label=y, caption=caption), doubt_words(self.doubts))


def where_to_act(  # noqa: PLR0913 - the contract: the arguments of `simulate`
    fit: Fit,
    outcome: str | None = None,
    *,
    value: Mapping[str, object] | None = None,
    cost: Mapping[str, float] | None = None,
    groups: Mapping[str, object] | None = None,
    horizon: int = 8,
    draws: int = 2_000,
    seed: int | None = None,
    discount: float = 0.0,
    n_units: int | None = None,
    finance: Finance | None = None,
    unconverged: bool = False,
    better: Literal["more", "less"] | None = None,
    doubtful: bool = False,
) -> Priorities:
    """Lay how much every construct and item matters beside how well it scores, and price a point of it.

    Parameters
    ----------
    fit
        The fitted graph, linear.
    outcome
        The construct whose total effects are shown; None = the first priced outcome, else the last outcome.
    value, horizon, draws, seed, discount, n_units, finance, unconverged, doubtful
        As in `simulate`: with prices a point more, in every unit and wave, is turned into money.
    cost
        Construct -> money that one point of it, towards its better end, costs in one unit, once.
    groups
        Label -> keys of units, or a rule (`Lowest`, …): the same for groups of units, whose distance from the end of a
        scale differs.
    better
        Whether more or less of the outcome is better; None = as its price says (a price below 0: less), else more.
        Of a construct whose effect on the outcome is to the worse (waiting time, complaints; its 95 % interval lies on
        that side of 0) less is better: performance, headroom and the money of a point count towards that end.

    Returns
    -------
    Priorities

    Raises
    ------
    SimulationError
        If the question cannot be asked of this fit.

    Warns
    -----
    RoxWarning
        If the fit is doubtful or unusable on an edge that leads to the outcome or to what is priced (`doubtful`).

    Examples
    --------
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> found = rox.fit(world.model, world.study(), method="path")
    >>> table = where_to_act(found, "revenue", seed=1).table()
    >>> table.loc[table["kind"] == "construct", "name"].tolist()
    ['loyalty', 'value', 'behaviours', 'pride', 'influencers']
    """
    money = asking.finance_of(value, discount, finance)
    probes = [Intervention(name="probe", shift={fit.model.names[0] if isinstance(fit, Fit) else "": 1e-6})]
    asked = Request(horizon, draws, seed, money, n_units, unconverged, discount, doubtful)
    question = asking.question_of(fit, probes, asked)
    if not question.system.linear:
        raise SimulationError(
            "An equation of this fit is curved, so an effect per point depends on where one stands.",
            hint="Simulate the shifts you have in mind.",
        )
    target = _target(fit, outcome, money)
    wanted = _wanted(question, target, better)
    costs = _costs(fit, cost)
    every = _groups(groups)
    named = [label for label, rule in every.items() if isinstance(rule, tuple)]
    if n_units is not None and named:
        raise SimulationError(
            f"n_units={n_units} and the units of the groups {listed(named)} contradict each other: one says how many "
            "units there are, the other which of the study's.",
            hint="Leave n_units= out.",
        )
    effects = _effects_on(question, target)
    rows = _rows(question, wanted, costs, every, effects)
    order = sorted(rows, key=lambda row: (row["group"] != _ALL, -np.nan_to_num(abs(float(str(row["importance"]))))))
    notes = (*_notes(question, target, bool(costs)), *_turned_notes(rows, target, wanted))
    ends = {target, *(one.name for one in question.priced)}
    levers = [c.name for c in fit.model.constructs if c.factor != "context"]
    doubts = asking.inherited(fit, asking.used_edges(fit.model, levers, ends), (unconverged, doubtful))
    spreads = tuple((name, OverDraws.of(effect.draws, np.asarray(effect.at))) for name, effect in effects.items())
    shown = [str(row["name"]) for row in order if row["kind"] == "construct" and row["group"] == _ALL]
    lost = FrozenMapping(overturned_points(question, shown) if question.priced else {})
    return Priorities(fit, target, tuple(order), question.terms.currency, notes, wanted, doubts, lost, spreads)


class _Group(NamedTuple):
    """Units that are looked at together, (units,) or (1,) 0/1."""

    label: str
    covers: FloatArray


class _Effect(NamedTuple):
    """A total effect in every draw, and at the estimate."""

    draws: FloatArray
    at: float

    def times(self, factor: float) -> _Effect:
        """So many times as large."""
        return _Effect(self.draws * factor, self.at * factor)


class _Score(NamedTuple):
    """A level between the ends of its scale."""

    level: float
    ends: Ends

    def towards(self, end: float) -> _Score:
        """Counted so that the upper end is the better one."""
        if end > 0:
            return self
        low, high = self.ends
        return _Score(-self.level, Ends(None if high is None else -high, None if low is None else -low))

    @property
    def performance(self) -> float:
        """0 at the lower end to 100 at the upper one."""
        low, high = self.ends
        return 100.0 * (self.level - low) / (high - low) if low is not None and high is not None else np.nan

    @property
    def headroom(self) -> float:
        """Points to the upper end."""
        return max(self.ends.high - self.level, 0.0) if self.ends.high is not None else np.nan


def _wanted(question: Question, target: str, better: object) -> float:
    """1 where more of the outcome is better, -1 where less is."""
    if better not in {None, "more", "less"}:
        raise SimulationError(f"better= was {better!r}.", allowed="'more', 'less', or None: as the price says")
    if better is not None:
        return 1.0 if better == "more" else -1.0
    priced = next((one for one in question.priced if one.name == target), None)
    each = 1.0 if priced is None or priced.weights is None else float(priced.weights.mean())
    return -1.0 if priced is not None and priced.price.mean() * each < 0 else 1.0


def _target(fit: Fit, outcome: str | None, money: Finance | None) -> str:
    if outcome is None:
        priced = next(iter(money.value), None) if money is not None else None
        outcomes = [c.name for c in fit.model.constructs if c.factor == "outcomes"]
        outcome = priced or (outcomes[-1] if outcomes else fit.model.order()[-1])
    if outcome not in fit.model.names:
        raise SimulationError(f"outcome= was {outcome!r}.", hint=did_you_mean(str(outcome), fit.model.names))
    return outcome


def _costs(fit: Fit, cost: Mapping[str, float] | None) -> dict[str, float]:
    if cost is None:
        return {}
    if not isinstance(cost, Mapping):
        raise SimulationError(f"cost= was {cost!r}.", allowed="a mapping construct -> money per point and unit")
    for name, amount in cost.items():
        if name not in fit.model.names:
            raise SimulationError(f"cost= names {name!r}.", hint=did_you_mean(str(name), fit.model.names))
        if not asking.is_number(amount) or not np.isfinite(amount) or amount <= 0:
            raise SimulationError(f"cost= of {name!r} was {amount!r}.", allowed="an amount above 0 per point and unit")
    return {name: float(amount) for name, amount in cost.items()}


_Rule = tuple[Hashable, ...] | Lowest | Highest | Below | Above | None


def _groups(groups: Mapping[str, object] | None) -> dict[str, _Rule]:
    found: dict[str, _Rule] = {_ALL: None}
    if groups is None:
        return found
    if not isinstance(groups, Mapping):
        raise SimulationError(f"groups= was {groups!r}.", allowed="a mapping label -> units, or a rule")
    for label, units in groups.items():
        if label == _ALL:
            raise SimulationError(f"A group is named {label!r}, which is the name of all of them.", hint="Rename it.")
        if isinstance(units, Lowest | Highest | Below | Above):
            found[str(label)] = units
        elif isinstance(units, Iterable) and not isinstance(units, str):
            found[str(label)] = tuple(units)
        else:
            raise SimulationError(f"The group {label!r} was {units!r}.", allowed="keys of units, or a rule")
    return found


def _point(row: Mapping[Hashable, Any], wanted: float, turned: bool) -> MapPoint:
    """A dot of the map: what a point towards the better end brings the outcome, and how near that end it stands."""
    less = row["better"] == "less"
    sign = wanted * (-1.0 if less else 1.0)
    low, high = sorted((sign * float(row["ci_low"]), sign * float(row["ci_high"])))
    item = row["kind"] == "item"
    performance = float(row["performance"])
    performance = 100.0 - performance if item and turned and less else performance
    name = f"{row['name']} (less is better)" if less else str(row["name"])
    return MapPoint(name, performance, sign * float(row["importance"]), low, high, item=item)


def _turned_notes(rows: Sequence[Mapping[str, object]], target: str, wanted: float) -> tuple[str, ...]:
    """Which ends are the better ones, where it is not the upper one."""
    less = [str(row["name"]) for row in rows if row["better"] == "less" and row["kind"] == "construct"]
    notes = [f"Less of {target!r} is taken to be better (better= says otherwise)."] if wanted < 0 else []
    if less:
        notes.append(
            f"Less is better of {listed(dict.fromkeys(less))}: performance, headroom and money count towards the lower "
            "end, importance is per point more."
        )
    return tuple(notes)


def _effects_on(question: Question, outcome: str) -> dict[str, _Effect]:
    """Total effects of everything that can be acted on, by construct; NaN where the data say nothing on the way."""
    fit, names = question.fit, question.fit.model.names
    drawn = total_effects(question.system.coefficients)[:, names.index(outcome), :]
    at = total_effects(question.at().system.coefficients)[0, names.index(outcome), :]
    able = [c.name for c in fit.model.constructs if c.factor != "context" and c.name != outcome]
    every = {name: _Effect(drawn[:, names.index(name)], float(at[names.index(name)])) for name in able}
    found = {name: effect for name, effect in every.items() if np.abs(effect.draws).max() > 0}
    if not found:
        raise SimulationError(f"Nothing in this graph acts on {outcome!r}.", hint="Name another outcome=.")
    return {n: e.times(np.nan) if outcome in fit.unknown_after([n]) else e for n, e in found.items()}


def _rows(
    question: Question,
    wanted: float,
    costs: Mapping[str, float],
    groups: Mapping[str, _Rule],
    effects: Mapping[str, _Effect],
) -> list[dict[str, object]]:
    fit = question.fit
    able, covers = [fit.model.find(name) for name in effects], _covers(question, groups)
    turned = {name: bool(np.quantile(wanted * effect.draws, 0.975) < 0) for name, effect in effects.items()}
    ends = {name: -1.0 if less else 1.0 for name, less in turned.items()}
    money = _marginal(question, able, groups, ends) if question.priced else {}
    rows = []
    for construct in able:
        effect = effects[construct.name]
        for group in covers:
            row = _row(question, construct, effect, group, ends[construct.name])
            if question.priced:
                units = _count(question, group.covers)
                row |= _priced(money[construct.name, group.label], costs.get(construct.name), units)
            rows.append(row)
        ordinal = any(row.left in construct.item_names for row in fit.table.of("threshold"))  # no score to add up to
        if len(construct.items) > 1 and not ordinal:
            end = ends[construct.name]
            rows += [_item_row(question, construct, i, effect, end) for i in range(len(construct.items))]
    return rows


def _covers(question: Question, groups: Mapping[str, _Rule]) -> list[_Group]:
    name = question.fit.model.names[0]
    asked = [Intervention(name=group, shift={name: 1e-6}, units=rule) for group, rule in groups.items()]
    return [_Group(option.intervention.name, option.action.covers) for option in options_of(question, asked)[0]]


def _count(question: Question, covers: FloatArray) -> float:
    return float(covers.mean() * (question.units or 0))


def _marginal(
    question: Question, able: Sequence[Construct], groups: Mapping[str, _Rule], ends: Mapping[str, float]
) -> dict[tuple[str, str], FloatArray]:
    """(draws,) money per point for each construct and group: a small push to its better end, divided by its size."""
    names, sd = question.fit.model.names, deviations(question.fit)
    probes, keys, steps = [], [], []
    for construct in able:
        step = _STEP * float(sd[names.index(construct.name)])
        for group, rule in groups.items():
            keys.append((construct.name, group))
            steps.append(step)
            name = f"{construct.name}, {group}"
            probes.append(Intervention(name=name, shift={construct.name: ends[construct.name] * step}, units=rule))
    options = options_of(question, probes)[0]
    if question.doubt is None:
        benefit = worth_of(question, options).benefit
    else:  # rating scales: where they end is uncertain with the levels, so that every draw is simulated
        ground = question.ground([option.action for option in options])
        courses = (question.course([option.action], ground) for option in options)
        every = [question.money("", c, [o.action]).benefit for c, o in zip(courses, options, strict=True)]
        benefit = np.stack(every, axis=1)
    lost = {c.name for c in able if question.fit.unknown_after([c.name]) & {one.name for one in question.priced}}
    return {key: benefit[:, i] / (np.nan if key[0] in lost else steps[i]) for i, key in enumerate(keys)}


def _row(question: Question, construct: Construct, effect: _Effect, group: _Group, end: float) -> dict[str, object]:
    fit, level = question.fit, np.nan
    if fit.population.mean is not None:
        place = fit.model.names.index(construct.name)
        level = float(fit.population.mean[place])
        if group.label != _ALL:
            every = complete_levels(fit, int(question.asked.seed or 0))[:, place]
            level = float(every[np.broadcast_to(group.covers > 0, len(every))].mean())
    score = _Score(level, ends_of(fit, construct)).towards(end)
    row = _line(question, "construct", construct.name, group, effect, score)
    return row | {"better": "less" if end < 0 else "more", "mean": float(effect.draws.mean())}


def _item_row(question: Question, construct: Construct, place: int, effect: _Effect, end: float) -> dict[str, object]:
    """An item as a lever of its construct: what one point more of it adds to the construct's score."""
    fit, item = question.fit, construct.items[place]
    measure = next(one for one in fit.measures if one.name == construct.name)
    share = float(measure.weights[place] * measure.signs[place])
    level = np.nan
    if fit.groups and fit.groups[0].mean is not None:
        names = [one.name for one in fit.model.items]
        sign, offset = item.reading
        level = offset + sign * float(fit.groups[0].mean[names.index(item.name)])  # as it was answered
    better = end * (1.0 if share >= 0 else -1.0)
    score = _Score(level, Ends(*item.ends))
    score = score if item.reading[0] < 0 else score.towards(better)
    own = effect.times(share)
    row = _line(question, "item", item.name, _Group(_ALL, np.ones(1)), own, score)
    return row | {"better": "less" if better < 0 else "more", "mean": float(own.draws.mean())}


def _line(question: Question, kind: str, name: str, group: _Group, effect: _Effect, score: _Score) -> dict[str, object]:
    ends = np.quantile(effect.draws, [0.025, 0.975])
    return {
        "kind": kind,
        "name": name,
        "group": group.label,
        "n_units": round(_count(question, group.covers)) if question.units else None,
        "importance": effect.at,
        "ci_low": float(ends[0]),
        "ci_high": float(ends[1]),
        "performance": score.performance,
        "headroom": score.headroom,
    }


def _priced(marginal: FloatArray, cost: float | None, units: float) -> dict[str, object]:
    low, high = np.quantile(marginal, [0.025, 0.975])
    found = {"marginal": float(marginal.mean()), "marginal_low": float(low), "marginal_high": float(high)}
    each = np.nan if cost is None else cost * units
    ratio = [float(value) / each for value in (found["marginal"], low, high)]
    returns = dict(zip(("return_per_money", "return_low", "return_high"), ratio, strict=True))
    return {**found, "cost_per_point": each, **returns}


def _notes(question: Question, target: str, costs: bool) -> tuple[str, ...]:
    fit = question.fit
    effect = (
        f"Importance: total effect on {target!r} per point, at the estimate, {level_of(fit)}, method {fit.method!r}; "
        f"causal if {causal_if()}. Performance: mean score, 0-100; it is no effect."
    )
    items = (
        "An item's importance is that of its construct times what one point more of the item adds to the construct's "
        "score (its weight there; in an item mean all weigh the same, so that items differ in performance only): the "
        "item as a lever, assumed and not estimated. Context is left out: it cannot be acted on."
    )
    money = (
        f"marginal: discounted money of one point towards the better end, kept up for {question.horizon} waves, in the "
        "units named, with "
        "what ends of scales take away; "
    )
    money += "cost_per_point is the given cost times the units." if costs else "give cost= to see it per money spent."
    lags = f"Importance is that of the wave; edges with a lag count {'in marginal only' if question.priced else 'not'}."
    later = (lags,) if question.system.lags else ()
    hidden = 0 if fit.population.hidden is None else int(fit.population.hidden.any(axis=1).sum())
    out = f"A level is hidden in {hidden} unit(s) (min_group=): performance and headroom take the mean of the others."
    return (
        effect,
        items,
        *later,
        *((out,) if hidden else ()),
        *((money,) if question.priced else ()),
        *((asking.unknown_note(fit),) if fit.without_information else ()),
        *question.loops,
        *question.lost,
    )


def _sentences(found: Priorities, table: pd.DataFrame) -> list[str]:
    known = table[table["importance"].notna()]
    constructs = known[(known["kind"] == "construct") & (known["group"] == _ALL)].to_dict("records")
    if not constructs:
        return [f"The data say nothing of what moves {found.outcome!r}."]
    first, unit = constructs[0], unit_of(found.fit.model.find(found.outcome), found.fit)
    span = f"95 %: {first['ci_low']:.3g} to {first['ci_high']:.3g}"
    most = f"moves {found.outcome!r} most: {first['importance']:+.3g} {unit} ({span})."
    lines = [f"One point more of {first['name']!r} {most}"]
    scored = [row for row in constructs if np.isfinite(row["performance"])]
    if len(scored) > 1:
        signs = [found.wanted * (-1.0 if row["better"] == "less" else 1.0) for row in scored]
        gains = [sign * float(row["importance"]) for sign, row in zip(signs, scored, strict=True)]
        means = [float(np.mean(gains)), float(np.mean([row["performance"] for row in scored]))]
        both = zip(scored, gains, strict=True)
        urgent = [row["name"] for row, gain in both if gain > means[0] and row["performance"] < means[1]]
        if urgent:
            lines.append(f"Matters more than most and scores lower than most: {listed(urgent)}.")
    priced = [row for row in table.to_dict("records") if np.isfinite(row.get("return_per_money", np.nan))]
    if priced:
        best = max(priced, key=lambda row: float(row["return_per_money"]))
        mean, low, high = (money_text(float(best[c])) for c in ("return_per_money", "return_low", "return_high"))
        where = f"{best['name']!r} ({best['group']})"
        lines.append(f"Money brings most at {where}: {mean} for each unit of money (95 %: {low} to {high}).")
    return lines
