"""How strong one unmeasured cause must be to bring an answer in money to 0: one line of every such answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from roxmodel.numerals import chance_text
from roxmodel.result.confounding import Route, Wanted, bisected, ends_of, route_of, why_untold
from roxmodel.result.levels import complete_levels, joint_of
from roxmodel.simulation.actions import Action
from roxmodel.simulation.budget.worth import wave_weights
from roxmodel.simulation.money.values import Priced
from roxmodel.simulation.question import Question
from roxmodel.spec.causal import within_wave
from roxmodel.types import FloatArray

__all__ = ["Overturned", "overturned_by", "overturned_line", "overturned_points", "points_line"]

_LARGEST = 700.0  # exponent that a number can hold


@dataclass(frozen=True, slots=True)
class Overturned:
    """Equal shares of what is left of every construct on the way, 0-1, that one unmeasured cause must explain.

    `benefit`: to bring the mean benefit to 0; `interval`: the nearer end of its 95 % interval, 0 if 0 is within; `npv`:
    the mean net value, NaN where nothing is spent or it is no gain. `reason`: why nothing is known, else empty.

    Examples
    --------
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> found = rox.fit(world.model, world.study(), method="path")
    >>> coaching = rox.Intervention(name="coaching", shift={"pride": 0.3}, cost=50_000.0)
    >>> run = rox.simulate(found, coaching, seed=1, value={"revenue": 1_000.0})
    >>> round(run.overturned.benefit, 2), round(run.overturned.npv, 2)
    (0.15, 0.13)
    """

    benefit: float = np.nan
    interval: float = np.nan
    npv: float = np.nan
    reason: str = ""


def overturned_by(question: Question, actions: Sequence[Action], benefit: FloatArray, cost: float) -> Overturned:
    """Of the benefit (draws,) of actions together, and of what is left of it after their cost, both discounted.

    In a linear graph the benefit is a sum of total effects times pushes and prices. With an unmeasured cause of a given
    strength that sum changes, at the estimate and in every draw, and the benefit in proportion (what ends of scales cut
    off included).
    """
    fit, seed = question.fit, question.asked.seed
    at, reason = _route(question, actions, fit.theta[None, :])
    mean = float(benefit.mean())
    if at is None or not np.isfinite(mean) or mean == 0 or at.naive == 0:
        return Overturned(reason=reason or ("nothing is brought" if mean == 0 else "the benefit is not known"))
    value = at.overturning()
    drawn, _ = _route(question, actions, fit.answer_draws(question.asked.draws, seed))
    low = np.nan if drawn is None else _interval(at, drawn, benefit, value)
    net = at.overturning(at.naive * cost / mean) if mean > cost > 0 else np.nan
    return Overturned(value, low, net)


def overturned_points(question: Question, names: Sequence[str]) -> dict[str, float]:
    """Of each construct, the share that brings the money of a point of it to 0; NaN where it is not known."""
    ones, found = np.ones(question.horizon), {}
    for name in names:
        place = question.fit.model.names.index(name)
        probe = Action("", {place: 1.0}, {}, {}, ones, np.ones(1), {}, 1)
        at, _ = _route(question, [probe], question.fit.theta[None, :])
        found[name] = np.nan if at is None else at.overturning()
    return found


def _route(question: Question, actions: Sequence[Action], theta: FloatArray) -> tuple[Route | None, str]:
    """What the actions bring, in points of the first items, or why it is not known."""
    fit = question.fit
    touched = _touched(question, actions)
    if len(touched) < 2:
        return None, "no edge leads from what is acted on to what is priced"
    asked = [one for priced in question.priced for one in _asked(question, actions, priced, touched)]
    causes = {name: fit.model.causes(name) for name in touched}
    covariance = joint_of(fit, theta, question.asked.seed).covariance
    found = route_of(causes, touched, fit.model.names, covariance, asked)
    reason = "edges reach over waves" if question.system.lags else ""
    if len(theta) == 1:
        reason = reason or why_untold(fit, found, marker=True)
    return (None if reason else found), reason


def _touched(question: Question, actions: Sequence[Action]) -> tuple[str, ...]:
    """Constructs on the paths from what is acted on to what is priced, causes before effects."""
    fit = question.fit
    graph, names = within_wave(fit.model.edges, fit.model.names), fit.model.names
    ahead = {
        name for one in actions for place in one.acted for name in {names[place], *nx.descendants(graph, names[place])}
    }
    back = {name for one in question.priced for name in {one.name, *nx.ancestors(graph, one.name)}}
    return tuple(name for name in fit.model.order() if name in ahead & back)


def _asked(question: Question, actions: Sequence[Action], priced: Priced, touched: Sequence[str]) -> list[Wanted]:
    """What one outcome brings: pushes, in points a wave and weighted by what a unit counts, times its price."""
    fit = question.fit
    if priced.name not in touched:
        return []
    levels = None if fit.population.mean is None else complete_levels(fit, int(question.asked.seed or 0))
    weight, push = wave_weights(question, priced), np.zeros(len(touched))
    counts = 1.0 if priced.weights is None else priced.weights
    if priced.log and levels is not None:
        counts = counts * np.exp(np.minimum(levels[:, priced.place], _LARGEST))
    for one in actions:
        for place in one.acted:
            name = fit.model.names[place]
            points: FloatArray | float = one.shift.get(place, 0.0)
            if levels is not None and place in one.level:
                points = points + one.level[place] - levels[:, place]
            if levels is not None and place in one.growth:
                points = points + one.growth[place] * levels[:, place]
            if name in touched:
                push[touched.index(name)] += float(np.mean(one.covers * counts * points)) * float(one.share @ weight)
    return [Wanted(push, touched.index(priced.name), float(priced.price.mean()))]


def _interval(at: Route, drawn: Route, benefit: FloatArray, most: float) -> float:
    """Equal share that brings the nearer end of the interval of the benefit to 0."""
    mean, count, none = float(benefit.mean()), len(at.touched), np.zeros((1, len(at.touched)))
    per, before = mean / at.naive, drawn.total(none, none + 1.0)
    if len(before) != len(benefit):
        return np.nan

    def clear(share: float) -> bool:
        shares = np.full(count, share)
        moved = benefit + per * (drawn.total(shares[None, :], at.worst(shares)) - before)
        low, high = ends_of(moved, np.sign(mean))
        return low > 0 if mean > 0 else high < 0

    return bisected(clear, most)


def overturned_line(found: Overturned, whose: str) -> str:
    """One sentence for the first part of an answer in money; `whose`: what is brought to 0."""
    if found.reason:
        return f"How strong an unmeasured cause would overturn {whose} is not known: {found.reason}."
    said = []
    if np.isfinite(found.npv):
        said.append(f"{chance_text(found.npv)}: the net value")
    if found.interval == 0:
        said.append("its interval holds 0 without any")
    elif np.isfinite(found.interval):
        said.append(f"{chance_text(found.interval)}: the nearer end of its interval")
    more = f" ({'; '.join(said)})" if said else ""
    return (
        f"No data rule out an unmeasured cause: one that explains {chance_text(found.benefit)} of what is left of "
        f"every construct on the way brings {whose} to 0{more}."
    )


def points_line(found: Mapping[str, float]) -> str:
    """The same for the money of a point of each construct."""
    told = [f"{name} {chance_text(share)}" for name, share in found.items() if np.isfinite(share)]
    if not told:
        return "How strong an unmeasured cause would overturn the money of a point is not known here."
    return (
        "No data rule out an unmeasured cause: the money of a point is 0 if one explains this much of what is left of "
        f"every construct on the way: {', '.join(told)}."
    )
