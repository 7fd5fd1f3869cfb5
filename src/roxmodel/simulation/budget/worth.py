"""What each candidate is worth by itself, draw by draw: the ground on which a budget is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.result.levels import UnitLevels, complete_levels
from roxmodel.result.system import total_effects
from roxmodel.simulation.actions import Action, read_actions
from roxmodel.simulation.dynamics import Ground, course_of
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import money_of_flows
from roxmodel.simulation.money.prices import Priced
from roxmodel.simulation.money.returns import discount_factors
from roxmodel.simulation.question import Question
from roxmodel.types import FloatArray

__all__ = ["Option", "Worth", "options_of", "wave_weights", "worth_of"]

_LEVEL_DRAWS = 64  # draws of the levels with which it is measured what the ends of scales take away
_MOST_LEVELS = 1 << 25  # levels that are kept; of many units fewer draws tell as much


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do an action: at one dose, from one wave on.

    Attributes
    ----------
    candidate
        Place of the action among the candidates.
    intervention
        As it would be done.
    action
        In the fit's own places.
    """

    candidate: int
    intervention: Intervention
    action: Action


@dataclass(frozen=True, slots=True)
class Worth:
    """What options are worth, each by itself.

    Attributes
    ----------
    benefit
        (draws, n) discounted benefit.
    at
        (n,) the same at the estimate, with expected prices.
    cost
        (n,) discounted cost.
    spending
        (n, waves) money of each wave, not discounted.
    kept
        For each option, (waves,) for each priced outcome: share of the linear change that the ends of scales leave;
        None where every draw was simulated.
    """

    benefit: FloatArray
    at: FloatArray
    cost: FloatArray
    spending: FloatArray
    kept: tuple[tuple[FloatArray, ...] | None, ...]


def options_of(question: Question, candidates: Sequence[Intervention]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """Every dose and first wave of every candidate, and what was assumed on the way.

    Raises
    ------
    SimulationError
        As `read_actions`.
    """
    made = [
        (place, one.replace(dose=dose, start=start, doses=None, starts=None))
        for place, one in enumerate(candidates)
        for dose in dict.fromkeys(one.doses or (one.dose,))
        for start in dict.fromkeys(one.starts or (one.start,))
    ]
    ways = [way for _, way in made]
    actions, notes = read_actions(question.fit, ways, question.horizon, question.units, question.asked.seed)
    return tuple(Option(p, way, a) for (p, way), a in zip(made, actions, strict=True)), notes


def worth_of(question: Question, options: Sequence[Option], known: Worth | None = None) -> Worth:
    """Value every option by itself.

    In a linear graph the benefit is a total effect times a push, exactly. What the ends of scales take away from it is
    measured at the estimate, over draws of the levels, and taken off in every draw by the same share. With curved
    equations, with logarithms, and where one action both sets a construct and moves a cause of it, every draw is
    simulated.

    Parameters
    ----------
    known
        The same options, valued with other draws: what ends of scales leave is taken from there.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = _valued(question, options, known)
    for option, column in zip(options, found.benefit.T, strict=True):
        if not np.isfinite(column).all():
            raise SimulationError(
                f"The money of {option.intervention.name!r} is beyond any number.",
                hint="A price, a shift or a discount is far too large.",
            )
    return found


def _valued(question: Question, options: Sequence[Option], known: Worth | None) -> Worth:
    drawn, fixed = _Side.of(question), _Side.of(question.at())
    draws, n = len(question.system.coefficients), len(options)
    benefit, at = np.empty((draws, n)), np.empty(n)
    left: list[tuple[FloatArray, ...] | None] = [None] * n
    for i, option in enumerate(options):
        if drawn.closed(option.action):
            before = None if known is None else known.kept[i]
            kept = left[i] = fixed.kept(option.action) if before is None else before
            benefit[:, i] = drawn.benefit(option.action, kept)
            at[i] = float(fixed.benefit(option.action, kept)[0])
        else:
            benefit[:, i], at[i] = drawn.simulated(option.action), float(fixed.simulated(option.action)[0])
    spending = np.array([option.action.spent for option in options]).reshape(n, question.horizon)
    factors = discount_factors(question.horizon, question.terms.discount, question.terms.timing)
    return Worth(benefit, at, spending @ factors, spending, tuple(left))


def _acted(action: Action) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*action.shift, *action.level, *action.growth)))


@dataclass(frozen=True, slots=True)
class _Side:
    """One set of draws with what is needed again and again.

    Attributes
    ----------
    weights
        (waves,) for each priced outcome: what one raw unit in each wave is worth today, by the price.
    levels
        (units, k) expected levels; None where there are none.
    totals
        (draws, k, k) total effects within a wave.
    ground
        Ends of scales, and levels drawn once.
    seen
        With lagged edges: the response to the push that was asked for last.
    """

    question: Question
    weights: tuple[FloatArray, ...]
    levels: FloatArray | None
    totals: FloatArray
    ground: Ground
    seen: dict[tuple[int, bytes], FloatArray]

    @classmethod
    def of(cls, question: Question) -> _Side:
        people = question.fit.population
        levels = None if people.mean is None else complete_levels(question.fit, int(question.asked.seed or 0))
        weights = tuple(wave_weights(question, one) for one in question.priced)
        totals = total_effects(question.system.coefficients)
        ground = question.ground(())
        if isinstance(ground.levels, UnitLevels):
            bounded = np.flatnonzero(np.isfinite(ground.low) | np.isfinite(ground.high))
            ground = replace(ground, levels=ground.levels.kept(_level_draws(ground), tuple(bounded.tolist())))
        return cls(question, weights, levels, totals, ground, {})

    def closed(self, action: Action) -> bool:
        """Whether the benefit is total effects times pushes, but for the ends of scales."""
        if not self.question.system.linear or any(one.log for one in self.question.priced):
            return False
        reach = np.abs(self.totals).max(axis=0) > 0
        acted = _acted(action)
        return not any(reach[place, other] for place in action.level for other in acted if other != place)

    def benefit(self, action: Action, kept: Sequence[FloatArray]) -> FloatArray:
        """Discounted benefit (draws,) of what is done.

        Parameters
        ----------
        kept
            (waves,) for each priced outcome: share that the ends of scales leave.
        """
        units = float(self.question.units or 0)
        whole = np.zeros(len(self.totals))
        for place in _acted(action):
            for one, weight, left in zip(self.question.priced, self.weights, kept, strict=True):
                push = self.push(action, place, one) * units
                whole = whole + one.price * push * self.moved(place, one.place, action.share, weight * left)
        return whole

    def push(self, action: Action, place: int, one: Priced) -> float:
        """Mean over the units of the points by which an action pushes a construct, weighted by what a unit counts."""
        counts = action.covers * (1.0 if one.weights is None else one.weights)
        points: FloatArray | float = action.shift.get(place, 0.0)
        if self.levels is not None and place in action.level:
            points = points + action.level[place] - self.levels[:, place]
        if self.levels is not None and place in action.growth:
            points = points + action.growth[place] * self.levels[:, place]
        return float(np.mean(counts * points))

    def moved(self, place: int, effect: int, share: FloatArray, weight: FloatArray) -> FloatArray:
        """(draws,) change of one construct per point of push on another in every unit, its waves weighted."""
        if not self.question.system.lagged:
            return self.totals[:, effect, place] * float(share @ weight)
        key = (place, share.tobytes())
        if key not in self.seen:
            push = Action("", {place: 1.0}, {}, {}, share, np.ones(1), {}, 1)
            free = Ground(None, self.ground.low, self.ground.high)
            course = course_of(self.question.system, [push], free, self.question.horizon)
            self.seen.clear()  # one push at a time: many would fill the memory
            self.seen[key] = course.changes
        return np.asarray(self.seen[key][:, :, effect] @ weight)

    def kept(self, action: Action) -> tuple[FloatArray, ...]:
        """(waves,) for each priced outcome: share of the linear change that the ends of scales leave, at the estimate.

        The question of this side is that at the estimate.
        """
        question, ones = self.question, np.ones(self.question.horizon)
        bounded = np.isfinite(self.ground.low) | np.isfinite(self.ground.high)
        if self.ground.levels is None or not bounded.any():
            return tuple(ones for _ in question.priced)
        lagged = bool(question.system.lagged)
        steps, of = (
            (action.share, np.arange(question.horizon)) if lagged else np.unique(action.share, return_inverse=True)
        )
        coefficients = np.repeat(question.system.coefficients, _level_draws(self.ground), axis=0)
        system = replace(question.system, coefficients=coefficients, intercepts=None)
        course = course_of(system, [action.alone(steps)], self.ground, len(steps), question.readings)
        if not course.capped.any() and not action.level and not action.growth:
            return tuple(ones for _ in question.priced)
        found = []
        for one, reading in zip(question.priced, course.readings, strict=True):
            waves = np.eye(question.horizon)
            linear = np.array(
                [
                    sum(
                        self.push(action, p, one) * float(self.moved(p, one.place, action.share, wave)[0])
                        for p in _acted(action)
                    )
                    for wave in waves
                ]
            )
            real = reading.mean(axis=0)[of]
            found.append(np.where(np.abs(linear) > 0, real / np.where(linear == 0, 1.0, linear), 1.0))
        return tuple(found)

    def simulated(self, action: Action) -> FloatArray:
        """(draws,) discounted benefit, every draw simulated."""
        course = self.question.course([action], self.question.ground([action]))
        return np.asarray(self.question.money(action.name, course, [action]).benefit)


def _level_draws(ground: Ground) -> int:
    """How many draws of the levels are kept."""
    size = 1 if ground.levels is None else ground.levels.mean.size
    return int(np.clip(_MOST_LEVELS // size, 1, _LEVEL_DRAWS))


def wave_weights(question: Question, one: Priced) -> FloatArray:
    """(waves,) money of today that one raw unit of an outcome in each wave brings, at a price of 1."""
    single = replace(one, price=np.ones(1))
    each = money_of_flows("", [np.eye(question.horizon)], np.zeros(question.horizon), [single], question.terms)
    return np.asarray(each.benefit)
