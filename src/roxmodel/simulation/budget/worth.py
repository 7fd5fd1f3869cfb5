"""What each candidate is worth by itself, draw by draw, and what a plan may promise.

Before choosing, edges are shrunk jointly, so that the plan that looks best is not the luckiest; the plan is then
simulated as a whole with them.

Whoever picks the best of many noisy values picks their luck with them (the optimiser's curse: Smith & Winkler 2006, doi
10.1287/mnsc.1050.0451). A posterior mean given all the data has no such bias, if its prior is right (Senn 2008, doi
10.1002/sim.3377). The prior here says what edges of such graphs are like before one has seen them: standardised, those
into the last outcomes (where the money is) lie around one value, all others around another, neither far from 0; how
widely they scatter around it, the data say.

Edges from context constructs are left as estimated: they are controls, and a control that is shrunk leaves its part to
the drivers it is there to clear (Hahn, Carvalho, Puelz & He 2018, doi 10.1214/16-BA1044).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import UnitLevels, complete_levels
from roxmodel.result.system import System, total_effects
from roxmodel.simulation.actions import Action, read_actions
from roxmodel.simulation.dynamics import Ground, course_of, spectral_radius
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import discount_factors, money_of_flows
from roxmodel.simulation.money.values import Priced
from roxmodel.simulation.question import Question
from roxmodel.types import FloatArray, IntArray

__all__ = [
    "Option", "Posterior", "Promised", "Shrunken", "Worth", "options_of", "plain_npv", "posterior_of", "promise_of",
    "promised_worth", "shrunken_edges", "wave_weights", "worth_of",
]  # fmt: skip


_LEVEL_DRAWS = 64  # draws of the levels with which it is measured what the ends of scales take away
_MOST_LEVELS = 1 << 25  # levels that are kept; of many units fewer draws tell as much


@dataclass(frozen=True, slots=True)
class Option:
    """One way to do an action: at one dose, from one wave on."""

    candidate: int  # place of the action among the candidates
    intervention: Intervention  # as it would be done
    action: Action  # in the fit's own places


@dataclass(frozen=True, slots=True)
class Worth:
    """What options are worth, each by itself."""

    benefit: FloatArray  # (draws, n) discounted benefit
    at: FloatArray  # (n,) the same at the estimate, with expected prices
    cost: FloatArray  # (n,) discounted cost
    spending: FloatArray  # (n, waves) money of each wave, not discounted
    # for each option, (waves,) for each priced outcome: share of the linear change that the ends of scales leave; None
    # where every draw was simulated
    kept: tuple[tuple[FloatArray, ...] | None, ...]


def options_of(question: Question, candidates: Sequence[Intervention]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """Every dose and first wave of every candidate, and what was assumed on the way."""
    made = [
        (place, one.replace(dose=dose, start=start, doses=None, starts=None))
        for place, one in enumerate(candidates)
        for dose in dict.fromkeys(one.doses or (one.dose,))
        for start in dict.fromkeys(one.starts or (one.start,))
    ]
    ways = [way for _, way in made]
    actions, notes = read_actions(question.fit, ways, question.horizon, question.units, question.asked.seed)
    return tuple(Option(p, way, a) for (p, way), a in zip(made, actions, strict=True)), notes


def worth_of(question: Question, options: Sequence[Option], known: Worth | None = None, whole: bool = False) -> Worth:
    """Value every option by itself; `known`: as valued with other draws, where what ends of scales leave is taken from.

    In a linear graph the benefit is a total effect times a push, exactly. What the ends of scales take away is measured
    at the estimate, over draws of the levels, and taken off in every draw by the same share. With curved equations,
    with logarithms, and where an action both sets a construct and moves a cause of it, every draw is simulated; with
    `whole` it always is, as where draws lie too far from the estimate to share what ends of scales take away.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = _valued(question, options, known, whole)
    for option, column in zip(options, found.benefit.T, strict=True):
        if not np.isfinite(column).all():
            raise SimulationError(
                f"The money of {option.intervention.name!r} is beyond any number.",
                hint="A price, a shift or a discount is far too large.",
            )
    return found


def _valued(question: Question, options: Sequence[Option], known: Worth | None, whole: bool) -> Worth:
    drawn, fixed = _Side.of(question), _Side.of(question.at())
    draws, n = len(question.system.coefficients), len(options)
    benefit, at = np.empty((draws, n)), np.empty(n)
    left: list[tuple[FloatArray, ...] | None] = [None] * n
    for i, option in enumerate(options):
        if not whole and drawn.closed(option.action):
            before = None if known is None else known.kept[i]
            kept = left[i] = fixed.kept(option.action) if before is None else before
            benefit[:, i] = drawn.benefit(option.action, kept)
            at[i] = float(fixed.benefit(option.action, kept)[0])
        else:
            benefit[:, i], at[i] = drawn.simulated(option.action), float(fixed.simulated(option.action)[0])
    spending = np.array([option.action.spent for option in options]).reshape(n, question.horizon)
    factors = discount_factors(question.horizon, question.terms.discount, question.terms.timing)
    return Worth(benefit, at, spending @ factors, spending, tuple(left))


@dataclass(frozen=True, slots=True)
class _Side:
    """One set of draws with what is needed again and again."""

    question: Question
    # (waves,) for each priced outcome: what one raw unit in each wave is worth today, by the price
    weights: tuple[FloatArray, ...]
    levels: FloatArray | None  # (units, k) expected levels; None where there are none
    totals: FloatArray  # (draws, k, k) total effects within a wave
    ground: Ground  # ends of scales, and levels drawn once
    seen: dict[tuple[int, bytes], FloatArray]  # with lagged edges: the response to the push that was asked for last

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
        acted = action.acted
        return not any(reach[place, other] for place in action.level for other in acted if other != place)

    def benefit(self, action: Action, kept: Sequence[FloatArray]) -> FloatArray:
        """(draws,) discounted benefit; `kept`: for each price (waves,) share that the ends of scales leave."""
        units = float(self.question.units or 0)
        whole = np.zeros(len(self.totals))
        for place in action.acted:
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
        if not self.question.system.lags:
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
        """For each price (waves,) share of the linear change left by ends of scales (this side: at the estimate)."""
        question, ones = self.question, np.ones(self.question.horizon)
        bounded = np.isfinite(self.ground.low) | np.isfinite(self.ground.high)
        if self.ground.levels is None or not bounded.any():
            return tuple(ones for _ in question.priced)
        lagged = bool(question.system.lags)
        steps, of = (
            (action.share, np.arange(question.horizon)) if lagged else np.unique(action.share, return_inverse=True)
        )
        again = np.zeros(_level_draws(self.ground), dtype=np.int64)  # the estimate, once for each draw of the levels
        system = replace(question.system.only(again), intercepts=None)
        course = course_of(system, [replace(action, share=steps)], self.ground, len(steps), question.priced)
        if not course.capped.any() and not action.level and not action.growth:
            return tuple(ones for _ in question.priced)
        found, every = [], np.eye(question.horizon)
        for one, reading in zip(question.priced, course.readings, strict=True):
            pushes = {place: self.push(action, place, one) for place in action.acted}
            waves = [{p: float(self.moved(p, one.place, action.share, wave)[0]) for p in pushes} for wave in every]
            linear = np.array([sum(pushes[p] * moved[p] for p in pushes) for moved in waves])
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


@dataclass(frozen=True, slots=True)
class Promised:
    """Options with what may be promised of each by itself."""

    question: Question  # what was asked, its draws those of the posterior where edges were shrunk
    worth: Worth  # of the options, by these draws
    asked: Question  # the same with the draws of the fit, before anything was shrunk
    shrunken: Shrunken | None  # the edges; None where nothing was shrunk

    @property
    def mean(self) -> FloatArray:
        """(n,) expected npv."""
        return np.asarray(self.worth.benefit.mean(axis=0) - self.worth.cost)

    @property
    def draws(self) -> FloatArray:
        """(draws, n) npv."""
        return self.worth.benefit - self.worth.cost


def promised_worth(question: Question, options: Sequence[Option], shrinking: bool, unusable: bool = False) -> Promised:
    """Value options, after shrinking the edges (see `shrunken_edges`); not where they are unusable.

    A prior puts numbers in the place of those that have no meaning, and looks sure of them.
    """
    plain = worth_of(question, options, whole=unusable)
    if unusable or not shrinking:
        return Promised(question, plain, question, None)
    found = shrunken_edges(question.fit, question.system, question.asked.seed)
    shrunk = replace(question, system=found.system, centre=found.centre)
    return Promised(shrunk, worth_of(shrunk, options, plain), question, found)


def plain_npv(options: Sequence[Option], worth: Promised, places: Sequence[int]) -> FloatArray:
    """(places,) expected npv of options, each by itself, as `simulate` finds it: draw by draw, nothing shrunk."""
    asked, actions = worth.asked, [options[place].action for place in places]
    ground = asked.ground(actions)
    draws = len(asked.system.coefficients)
    if isinstance(ground.levels, UnitLevels) and draws * ground.levels.mean.size <= _MOST_LEVELS:
        every = tuple(range(ground.levels.mean.shape[1]))
        ground = replace(ground, levels=ground.levels.kept(draws, every))  # drawn once for all of them
    courses = (asked.course([action], ground) for action in actions)
    found = (asked.money(action.name, course, [action]).npv for action, course in zip(actions, courses, strict=True))
    return np.array([float(npv.mean()) for npv in found])


def promise_of(
    options: Sequence[Option], worth: Promised, chosen: Sequence[int], thin: int | None = None
) -> FloatArray:
    """(draws,) npv of several options together, simulated as a whole; `thin`: with that many of the draws."""
    asked = worth.question if thin is None else worth.question.thinned(thin)
    places = list(chosen)
    if not places:
        return np.zeros(len(asked.system.coefficients))
    actions = [options[place].action for place in places]
    benefit = asked.money("plan", asked.course(actions, asked.ground(actions)), actions).benefit
    return np.asarray(benefit - worth.worth.cost[places].sum())


_SHARED = 0.25  # sd of what the standardised edges of one kind share
_OWN = 0.25  # scale of the half-normal prior of the sd of what is an edge's own
_FREE = 10.0  # sd of a standardised edge of which nothing is known before
_GRID = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0])  # of that sd
_STREAM = 6


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is known of some numbers after the data, given how they scatter before."""

    mean: FloatArray  # (m,) posterior mean
    draws: FloatArray  # (draws, m), tied draw by draw to the sampling draws they were made from
    spread: float  # posterior mean of the sd of what is each number's own


class ShrunkenEdge(NamedTuple):
    """An edge before and after, in units of the effect per unit of the cause."""

    cause: str
    effect: str
    estimate: float
    se: float
    shrunken: float
    shrunken_se: float


@dataclass(frozen=True, slots=True)
class Shrunken:
    """Structural equations with their edges shrunk."""

    system: System  # (draws, …) drawn from the posterior
    centre: System  # the same at the posterior mean of the edges, one draw
    edges: tuple[ShrunkenEdge, ...]
    spread: float  # posterior mean of the standard deviation of what is each edge's own, standardised


def shrunken_edges(fit: Fit, system: System, seed: int | None) -> Shrunken:
    """Posterior of the edges of a fit, and structural equations drawn from it.

    Standardised edges b have the prior ``N(0, 0.25² E + τ² I)``: E is 1 for two edges of one kind (into the last
    outcomes, or not), τ half-normal with scale 0.25, integrated out over a grid. The likelihood of the estimates is
    normal with the covariance of the draws, so that edges share what they share. Edges from context constructs have a
    flat prior; fixed ones and those of curved equations stay. `system`: (draws, …) in points of the first items.
    """
    at = fit.system(marker=True)
    to, from_ = _estimated(fit, system)
    if len(to) == 0:
        return Shrunken(system, at, (), 0.0)
    sd = deviations(fit)
    unit = sd[from_] / sd[to]
    estimate, draws = at.coefficients[0, to, from_] * unit, system.coefficients[:, to, from_] * unit
    found = posterior_of(estimate, draws, _prior(fit, to, from_), seed)
    coefficients = np.array(system.coefficients)
    coefficients[:, to, from_] = found.draws / unit
    after = replace(system, coefficients=coefficients)
    wild = ~(spectral_radius(after) < 1) if system.loops or system.lags else np.zeros(len(coefficients), dtype=bool)
    coefficients[wild] = system.coefficients[wild]
    centre = np.array(at.coefficients)
    centre[0, to, from_] = found.mean / unit
    rows = tuple(
        ShrunkenEdge(
            system.names[cause],
            system.names[effect],
            float(estimate[i] / unit[i]),
            float(draws[:, i].std() / unit[i]),
            float(found.mean[i] / unit[i]),
            float(found.draws[:, i].std() / unit[i]),
        )
        for i, (effect, cause) in enumerate(zip(to, from_, strict=True))
    )
    return Shrunken(after, replace(at, coefficients=centre), rows, found.spread)


def _prior(fit: Fit, to: IntArray, from_: IntArray) -> FloatArray:
    """(m, m) covariance of what standardised edges share; controls share nothing, and may be anything."""
    last = np.isin(to, _last_outcomes(fit))
    driver = np.array([fit.model.constructs[place].factor != "context" for place in from_])
    same = (last[:, None] == last[None, :]) & driver[:, None] & driver[None, :]
    return np.asarray(_SHARED**2 * same + _FREE**2 * np.diag(~driver))


def _last_outcomes(fit: Fit) -> list[int]:
    """Places of the outcomes that act on no other outcome; all of them where each does."""
    names, outcomes = fit.model.names, [c.name for c in fit.model.constructs if c.factor == "outcomes"]
    acting = {edge.cause for edge in fit.model.edges if edge.effect in outcomes and not edge.lag}
    last = [name for name in outcomes if name not in acting]
    return [names.index(name) for name in last or outcomes]


def posterior_of(estimate: FloatArray, draws: FloatArray, shared: FloatArray, seed: int | None) -> Posterior:
    """Posterior of numbers with the prior ``N(0, shared + τ² I)``, τ half-normal and integrated out.

    Given τ the posterior mean is ``b - R b``, with ``R = V (V + Q)⁻¹``, Q the prior's covariance and V that of the
    draws. A draw that lies e off the mean of the draws becomes ``b - R b + e - R (e - u)``, u ~ N(0, Q), whose
    covariance is the posterior's: what the data fix exactly (V = 0 in some direction) stays exactly. `estimate`: (m,)
    b. `draws`: (draws, m) of its sampling distribution. `shared`: (m, m), positive semi-definite. `seed`: of u and τ.
    """
    count, m = draws.shape
    errors = draws - draws.mean(axis=0)
    sampling = errors.T @ errors / max(count - 1, 1)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    chance, noise = rng.random(count), rng.standard_normal((count, m))
    rests, roots, weight = [], [], np.empty(len(_GRID))
    for i, (own, width) in enumerate(zip(_GRID, np.gradient(_GRID), strict=True)):
        prior = shared + own**2 * np.eye(m)
        inverse, log_size = _inverse(sampling + prior)
        weight[i] = np.log(width) - 0.5 * (own / _OWN) ** 2 - 0.5 * log_size - 0.5 * estimate @ inverse @ estimate
        rests.append(sampling @ inverse)
        roots.append(np.linalg.cholesky(prior))
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    which: IntArray = np.minimum(np.searchsorted(np.cumsum(weight), chance), len(_GRID) - 1)
    made = np.empty((count, m))
    for i in np.unique(which):
        at = which == i
        made[at] = estimate + errors[at] - (estimate + errors[at] - noise[at] @ roots[i].T) @ rests[i].T
    mean = estimate - sum((w * (rest @ estimate) for w, rest in zip(weight, rests, strict=True)), np.zeros(m))
    return Posterior(mean, made + (mean - made.mean(axis=0)), float(weight @ _GRID))


def _inverse(matrix: FloatArray) -> tuple[FloatArray, float]:
    """Inverse and logarithm of the determinant of a positive definite matrix, whatever the sizes on its diagonal."""
    scale = np.sqrt(np.diag(matrix))
    plain = matrix / np.outer(scale, scale)
    return np.linalg.inv(plain) / np.outer(scale, scale), float(np.linalg.slogdet(plain)[1] + 2 * np.log(scale).sum())


def _estimated(fit: Fit, system: System) -> tuple[IntArray, IntArray]:
    """Places (effect, cause) of the edges that were estimated and vary, in linear equations."""
    place = {name: i for i, name in enumerate(system.names)}
    pairs = [(place[row.right], place[row.left]) for row in fit.table.of("edge") if row.free and not row.lag]
    pairs = [pair for pair in pairs if system.families[pair[0]] == LINEAR]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    varies = system.coefficients[:, found[:, 0], found[:, 1]].std(axis=0) > 0 if len(found) else np.zeros(0, dtype=bool)
    return found[varies, 0], found[varies, 1]


def deviations(fit: Fit) -> FloatArray:
    """(k,) standard deviations of the constructs; 1 where one does not vary."""
    sd = np.sqrt(np.diag(fit.population.covariance))
    return np.where(np.isfinite(sd) & (sd > 0), sd, 1.0)
