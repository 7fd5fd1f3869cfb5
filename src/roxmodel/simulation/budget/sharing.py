"""What actions bring together where the ends of scales make them share it: value and slope at the estimate.

A unit that is at the end of its scale gains nothing from one action more. Where effects are positive, the benefit of a
plan is a concave function of what is taken into it, so that its slopes bound it from above: that makes the choice among
many plans possible without simulating each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roxmodel.result.response import Caps, Push, travel
from roxmodel.simulation.actions import Action
from roxmodel.simulation.budget.worth import wave_weights
from roxmodel.simulation.dynamics import push_of
from roxmodel.simulation.question import Question
from roxmodel.types import FloatArray

__all__ = ["Together", "together_at_estimate"]

_LEVEL_DRAWS = 32
_STEP = 1e-4  # of a standard deviation: the push by which slopes are measured


@dataclass(frozen=True, slots=True)
class Together:
    """Options at the estimate, unit by unit.

    Attributes
    ----------
    question
        At the estimate, with expected prices.
    actions
        Of the options.
    caps
        Levels, (draws, units, k), and ends.
    weights
        (waves,) for each priced outcome: money of one raw unit of it in all units, in each wave.
    """

    question: Question
    actions: tuple[Action, ...]
    caps: Caps
    weights: tuple[FloatArray, ...]

    def benefit(self, places: Sequence[int]) -> float:
        """Discounted benefit of some options together."""
        taken = [self.actions[place] for place in places]
        if not taken:
            return 0.0
        return sum(
            float(self._money(self._changes(push_of(taken, waves[0])), waves).mean()) for waves in self._alike(taken)
        )

    def slopes(self, places: Sequence[int]) -> tuple[float, FloatArray]:
        """Benefit of some options together, and (n,) what more of each option would add, per whole of it."""
        taken = [self.actions[place] for place in places]
        acted = sorted({place for action in self.actions for place in _acted(action)})
        found, value = np.zeros(len(self.actions)), 0.0
        for waves in self._alike(self.actions):
            push = push_of(taken, waves[0])
            changes = self._changes(push)
            money = self._money(changes, waves)
            value += float(money.mean())
            for place in acted:
                step = _STEP * self._deviation(place)
                more = {**push.shift, place: push.shift.get(place, np.zeros(1)) + step}
                pushed = self._changes(Push(more, push.level, push.share, push.growth))
                slope = (self._money(pushed, waves) - money).mean(axis=0) / step
                for i, action in enumerate(self.actions):
                    if place in _acted(action):
                        found[i] += float(np.mean(slope * self._points(action, place, waves[0], changes[place])))
        return value, found

    @property
    def concave(self) -> bool:
        """Whether slopes bound the value of every plan: only shifts and factors upwards, only positive effects."""
        up = all(
            not action.level and min((0.0, *action.shift.values(), *action.growth.values())) >= 0
            for action in self.actions
        )
        paid = all((weight >= 0).all() for weight in self.weights)
        return up and paid and bool((self.question.system.coefficients >= 0).all())

    def _alike(self, actions: Sequence[Action]) -> list[list[int]]:
        """Waves in which the same shares are in force."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for wave in range(self.question.horizon):
            groups.setdefault(tuple(float(action.share[wave]) for action in actions), []).append(wave)
        return list(groups.values())

    def _changes(self, push: Push) -> tuple[FloatArray, ...]:
        return travel(self.question.system, push, self.caps).changes

    def _money(self, changes: tuple[FloatArray, ...], waves: Sequence[int]) -> FloatArray:
        """(draws, units) money of all units, if each changed as this one does, in some waves."""
        total: FloatArray = np.zeros((1, 1))
        for one, weight in zip(self.question.priced, self.weights, strict=True):
            each = 1.0 if one.weights is None else one.weights
            total = total + changes[one.place] * each * float(weight[list(waves)].sum())
        return total

    def _points(self, action: Action, place: int, wave: int, change: FloatArray) -> FloatArray:
        """(units,) points by which an action pushes a construct in a wave."""
        levels = np.zeros((1, 1)) if self.caps.levels is None else np.atleast_2d(self.caps.levels[..., place])
        level = levels.mean(axis=0)
        points: FloatArray | float = action.shift.get(place, 0.0)
        if place in action.growth:
            points = points + action.growth[place] * level
        if place in action.level:
            points = points + action.level[place] - level - change.mean(axis=0)
        return np.asarray(action.share[wave] * action.covers * points)

    def _deviation(self, place: int) -> float:
        sd = float(np.sqrt(self.question.fit.population.covariance[place, place]))
        return sd if np.isfinite(sd) and sd > 0 else 1.0


def _acted(action: Action) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*action.shift, *action.level, *action.growth)))


def together_at_estimate(question: Question, actions: Sequence[Action]) -> Together | None:
    """Options at the estimate; None where waves hang together (lagged edges) or equations are curved."""
    if not question.system.linear or question.system.lagged or any(one.log for one in question.priced):
        return None
    at = question.at()
    ground = at.ground(actions)
    bounded = np.flatnonzero(np.isfinite(ground.low) | np.isfinite(ground.high))
    used = {place for action in actions for place in (*action.level, *action.growth)}
    caps = ground.caps(0, _LEVEL_DRAWS, tuple(sorted({*bounded.tolist(), *used})))
    units = float(question.units or 0)
    weights = tuple(float(one.price[0]) * units * wave_weights(at, one) for one in at.priced)
    return Together(at, tuple(actions), caps, weights)
