"""What is asked of a fit: draws, waves, prices and units, checked once, for one answer or for many."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.doubts import Doubt, warn_doubts
from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.result.fit import Fit
from roxmodel.result.levels import doubt_of
from roxmodel.result.response import LevelDoubt
from roxmodel.result.system import System
from roxmodel.simulation.actions import Action, ends_of, is_figure
from roxmodel.simulation.dynamics import Course, Ground, course_of, ground_of, require_equilibrium
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Finance, Money, Terms, money_of_flows, require_rate
from roxmodel.simulation.money.values import Priced, resolve
from roxmodel.spec.graph import RoxModel
from roxmodel.types import BoolArray, FloatArray

__all__ = [
    "LONGEST",
    "MOST_BYTES",
    "OverDraws",
    "Question",
    "Request",
    "check_fit",
    "finance_of",
    "fit_notes",
    "inherited",
    "is_number",
    "listed_interventions",
    "question_of",
    "refuse_doubtful",
    "require_draws_of_one_wave",
    "require_horizon",
    "require_memory",
    "require_whole",
    "require_yes_no",
    "unknown_note",
    "used_edges",
]  # fmt: skip


LONGEST = 10_000  # waves that can be looked ahead
MOST_BYTES = 4 * 2**30  # of the numbers of one answer: more is refused before it is tried
_APART = 0.25  # of an answer, by which its mean over the draws differs from that at the estimate before it is said
_NOTHING = 1e-12
_MOST_UNITS = 1_000_000_000
_DRAWS = "a whole number, at least 1, better 2,000"
_LARGEST_LOG = 50.0  # of a level that can be a logarithm of money: exp(50) is more than there is


@dataclass(frozen=True, slots=True)
class OverDraws:
    """An answer over the draws (first axis of what it is made of) beside the answer at the estimate."""

    mean: FloatArray
    low: FloatArray  # low, high: 95 % of the draws
    high: FloatArray
    median: FloatArray
    estimate: FloatArray
    error: FloatArray  # Monte-Carlo error of the mean

    @classmethod
    def of(cls, draws: FloatArray, estimate: FloatArray) -> OverDraws:
        """Of draws, and the answer at the estimate."""
        low, median, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
        error = draws.std(axis=0) / np.sqrt(len(draws))
        return cls(draws.mean(axis=0), low, high, median, estimate, error)

    @property
    def apart(self) -> BoolArray:
        """Whether the mean differs from the estimate by more than a quarter and more than its Monte-Carlo error."""
        far = np.abs(self.mean - self.estimate)
        size = np.maximum(np.abs(self.mean), np.abs(self.estimate))
        return np.asarray((far > _APART * size) & (far > 3.0 * self.error) & (size > _NOTHING))

    @property
    def turned(self) -> BoolArray:
        """Whether the mean has another sign than the estimate."""
        return np.asarray(self.mean * self.estimate < 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for, beside the interventions."""

    horizon: int  # horizon, draws, seed: number of waves, draws of the parameters, seed
    draws: int
    seed: int | None
    finance: Finance | None  # prices, rate and timing; None = no money
    n_units: int | None = None  # units the money is counted over; None = those of the study
    unconverged: bool = False  # whether a fit that did not converge is used all the same
    discount: float = 0.0  # rate per wave; that of `finance` where there is one
    doubtful: bool = False  # whether a fit with doubts is used without another word of warning


@dataclass(frozen=True, slots=True)
class Question:
    """A question that can be answered."""

    fit: Fit  # fit, asked: what was asked of which fit
    asked: Request
    units: int | None  # units the money is counted over; None where there are none
    system: System  # structural equations, draw by draw
    priced: tuple[Priced, ...]  # prices of the outcomes, draw by draw
    loops: tuple[str, ...]  # loops, lost: what was found of feedback loops; draws that had to be left out
    lost: tuple[str, ...]
    centre: System | None = None  # the equations that stand for the estimate where it is not the fit's own; one draw
    # of where the population stands on its rating scales, draw by draw; None = taken as known
    doubt: LevelDoubt | None = None

    @property
    def horizon(self) -> int:
        """Number of waves."""
        return self.asked.horizon

    @property
    def terms(self) -> Terms:
        """Rate, timing, currency."""
        finance = self.asked.finance
        return Terms(0.0, "end", "") if finance is None else Terms(finance.discount, finance.timing, finance.currency)

    def ground(self, actions: Sequence[Action]) -> Ground:
        """Where the units stand."""
        return ground_of(self.fit, actions, self.asked.seed, self.priced, self.doubt)

    def course(self, actions: Sequence[Action], ground: Ground) -> Course:
        """What the actions do, together; NaN after an edge of which the data say nothing."""
        found = course_of(self.system, actions, ground, self.horizon, self.priced)
        names = self.fit.model.names
        unknown = self.fit.unknown_after({names[place] for action in actions for place in action.acted})
        if not unknown:
            return found
        changes, places = np.array(found.changes), [names.index(name) for name in unknown]
        changes[:, :, places] = np.nan
        readings = tuple(
            np.full_like(reading, np.nan) if one.place in places else reading
            for one, reading in zip(self.priced, found.readings, strict=True)
        )
        return replace(found, changes=changes, readings=readings)

    def money(self, name: str, course: Course, actions: Sequence[Action]) -> Money:
        """What that is worth, and what it costs."""
        moved = [array * float(self.units or 0) for array in course.readings]
        spent: FloatArray = np.asarray(sum((action.spent for action in actions), np.zeros(self.horizon)))
        paid = [action.start for action in actions if action.spent.any()] or [min(a.start for a in actions)]
        return money_of_flows(name, moved, spent, self.priced, self.terms, max(paid))

    def at(self, theta: FloatArray | None = None) -> Question:
        """The same at given parameters (rows, n_free), or at the estimate, with every uncertain price at its mean."""
        finance, people = self.asked.finance, self.fit.population
        places = {one.name: one.place for one in self.priced}
        priced = () if finance is None else resolve(finance.expected(), places, people.units, 1, 0)
        own = self.centre if theta is None and self.centre is not None else self.fit.system(theta, marker=True)
        return replace(self, system=own, priced=priced, doubt=None)

    def thinned(self, draws: int) -> Question:
        """The same with fewer draws, the first ones."""
        priced = tuple(replace(one, price=one.price[:draws]) for one in self.priced)  # (1,) stays (1,)
        doubt = None if self.doubt is None else self.doubt.slice(0, draws)
        return replace(self, system=self.system.only(slice(0, draws)), priced=priced, doubt=doubt)


def question_of(fit: Fit, interventions: Sequence[Intervention], asked: Request) -> Question:
    """Check what was asked, draw the parameters, resolve the prices."""
    finance = asked.finance
    _check(fit, interventions, asked)
    places = {} if finance is None else _outcomes(fit, finance)
    units = _units(fit, asked.n_units, bool(places), interventions)
    _require_memory(fit, asked, len(interventions), len(places))
    theta = fit.answer_draws(asked.draws, asked.seed)
    settled = require_equilibrium(fit, fit.system(theta, marker=True))
    system, priced = settled.system, tuple[Priced, ...]()
    if finance is not None:
        priced = resolve(finance, places, fit.population.units, len(system.coefficients), asked.seed)
        _check_prices(fit, priced, units)
    doubt = _doubt(fit, settled.of(theta), asked.seed)
    return Question(fit, asked, units, system, priced, settled.loops, settled.lost, None, doubt)


def _check_prices(fit: Fit, priced: Sequence[Priced], units: int | None) -> None:
    """Prices by unit are of the study's units, and a logarithm is of an amount."""
    for one in priced:
        if one.weights is not None and units != len(one.weights):
            raise SimulationError(
                f"value= prices {one.name!r} unit by unit, and n_units={units} counts other units than the study's "
                f"{len(one.weights)}.",
                hint="Leave n_units= out, or give one price for all.",
            )
        if one.log and fit.population.mean is not None and abs(fit.population.mean[one.place]) > _LARGEST_LOG:
            raise SimulationError(
                f"value= reads {one.name!r} as a logarithm, but it is near {fit.population.mean[one.place]:.4g}.",
                hint="Price the outcome itself, or fit its logarithm.",
            )
        if one.log and fit.population.mean is None:
            raise SimulationError(
                f"value= reads {one.name!r} as a logarithm, but this fit has no means, so no amount to start from.",
                hint="Give the matrix its means, or price the outcome itself.",
            )


def _require_memory(fit: Fit, asked: Request, interventions: int, priced: int) -> None:
    """Refuse more than memory holds: parameters, equations, changes of every wave, money of every action."""
    k, waves = len(fit.model.names), asked.horizon
    cells = 3 * fit.table.n_free + 4 * k * k + waves * (2 * k + 2 * priced + (3 if priced else 0) * (interventions + 1))
    what = f"{waves:,} waves of {k} constructs" + (f" and the money of {interventions} actions" if priced else "")
    require_memory(asked.draws, cells, what)


def _doubt(fit: Fit, theta: FloatArray, seed: int | None) -> LevelDoubt | None:
    """Of the levels; None where no rating could be moved beyond its end."""
    rated = [c for c in fit.model.constructs if not ends_of(fit, c).endless and not is_figure(c)]
    return doubt_of(fit, theta, seed) if rated else None


def listed_interventions(which: str, given: object) -> list[Intervention]:
    """A list of what was given; one alone is a list of one."""
    if isinstance(given, Intervention):
        return [given]
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise SimulationError(f"{which}= was {given!r}.", allowed="a list of rox.Intervention")
    return list(given)


def finance_of(value: Mapping[str, object] | None, discount: float, finance: Finance | None) -> Finance | None:
    """Prices and rate from the short arguments or from the record, never from both."""
    if finance is not None:
        if not isinstance(finance, Finance):
            raise SimulationError(f"finance= was a {type(finance).__name__}.", allowed="a rox.Finance")
        if value is not None or discount != 0.0:
            raise SimulationError(
                "finance= and value= or discount= were both given.", hint="Say it once: rox.Finance(value=, discount=)."
            )
        return finance
    if value is not None and not isinstance(value, Mapping):
        raise SimulationError(
            f"value= was {value!r}.", allowed="a mapping outcome -> money per raw unit, unit and wave"
        )
    require_rate(discount)
    return Finance(value=dict(value), discount=discount) if value else None


def _outcomes(fit: Fit, finance: Finance) -> dict[str, int]:
    """Place of each priced construct."""
    found = {}
    for name in finance.value:
        if name not in fit.model.names:
            raise SimulationError(f"value= names {name!r}.", hint=did_you_mean(str(name), fit.model.names))
        if fit.model.find(name).factor != "outcomes":
            outcomes = [c.name for c in fit.model.constructs if c.factor == "outcomes"]
            raise SimulationError(
                f"value= prices {name!r}, which is no outcome but {fit.model.find(name).factor!r}.",
                allowed=listed(outcomes) if outcomes else "nothing: this model has no outcomes",
                hint="Money is counted once, at the outcomes.",
            )
        found[name] = fit.model.names.index(name)
    return found


def _units(fit: Fit, n_units: int | None, money: bool, given: Sequence[Intervention]) -> int | None:
    whole = isinstance(n_units, int | np.integer) and not isinstance(n_units, bool)
    if n_units is not None and not (whole and 1 <= n_units <= _MOST_UNITS):
        raise SimulationError(f"n_units= was {n_units!r}.", allowed="a whole number of at least 1, up to a billion")
    some = [i.name for i in given if isinstance(i.units, tuple)]
    if n_units is not None and some:
        raise SimulationError(
            f"n_units={n_units} and units= of {listed(some)} contradict each other: one says how many units there are, "
            "the other which of the study's.",
            hint="Leave n_units= out; the money is then counted over the study's units.",
        )
    units = int(n_units) if n_units is not None else fit.population.n_units
    if units is None and money:
        raise SimulationError(
            "value= is money per unit (branch), but this fit has no units.", hint="Say how many: n_units=120."
        )
    return units


def _check(fit: Fit, interventions: Sequence[Intervention], asked: Request) -> None:
    """Refuse what cannot be simulated."""
    check_fit(fit, asked.unconverged, asked.doubtful)
    _check_interventions(interventions)
    require_horizon(asked.horizon)
    require_whole("draws", asked.draws, _DRAWS)
    discount = asked.discount if asked.finance is None else asked.finance.discount
    require_rate(discount)
    if -asked.horizon * np.log1p(discount) > 200:
        raise SimulationError(
            f"discount={discount:g} over {asked.horizon} waves makes later money worth more than any number.",
            allowed="a rate nearer to 0, or fewer waves",
        )
    for intervention in interventions:
        late = [wave for wave in (intervention.start, *(intervention.starts or ())) if wave > asked.horizon]
        if late:
            raise SimulationError(
                f"Intervention {intervention.name!r} starts in wave {late[0]}, after the horizon of {asked.horizon}.",
                hint="Let it start earlier, or look further.",
            )


def require_horizon(horizon: object) -> None:
    """Refuse what is no number of waves that can be looked ahead."""
    require_whole("horizon", horizon, "a whole number of waves, at least 1")
    if int(horizon) > LONGEST:  # type: ignore[call-overload]
        raise SimulationError(f"horizon= was {horizon} waves.", allowed=f"at most {LONGEST:,}")


def require_draws_of_one_wave(fit: Fit, draws: int) -> None:
    """Refuse draws that are none, or too many for the equations of one wave."""
    require_whole("draws", draws, _DRAWS)
    k = len(fit.model.names)
    require_memory(draws, 3 * fit.table.n_free + 12 * k * k, f"{k} constructs")


def check_fit(fit: Fit, unconverged: bool = False, doubtful: bool = False) -> None:
    """Refuse a fit from which nothing follows."""
    require_yes_no("unconverged", unconverged)
    require_yes_no("doubtful", doubtful)
    if not isinstance(fit, Fit):
        raise SimulationError(
            f"fit= was a {type(fit).__name__}.", allowed="a rox.Fit", hint="Say simulate(fit, [...])."
        )
    if not fit.converged and not unconverged:
        raise SimulationError(
            f"This fit did not converge ({fit.verdicts['converged'].reason}), so nothing is simulated from it.",
            hint="Mend the fit first (unconverged=True uses it all the same).",
        )
    if len(fit.groups) > 1:
        raise SimulationError(
            f"This fit has {len(fit.groups)} groups, each with its own effects: {listed(g.name for g in fit.groups)}.",
            hint=f"Say which: simulate(fit.group({fit.groups[0].name!r}), [...]).",
        )


def used_edges(model: RoxModel, levers: Iterable[str], answered: Iterable[str] | None = None) -> frozenset[str]:
    """Edges (``a -> b``) on the ways from what is acted on to what is answered; None = all that it reaches."""
    steps = [(edge.cause, edge.effect) for edge in model.edges]
    ahead = _all_reached(levers, steps)
    behind = None if answered is None else _all_reached(answered, [(b, a) for a, b in steps])
    return frozenset(f"{a} -> {b}" for a, b in steps if a in ahead and (behind is None or b in behind))


def _all_reached(starts: Iterable[str], steps: Sequence[tuple[str, str]]) -> set[str]:
    """The starts and all that steps lead to from there."""
    found: set[str] = set()
    ahead = set(starts)
    while ahead:
        found |= ahead
        ahead = {b for a, b in steps if a in ahead} - found
    return found


def unknown_note(fit: Fit) -> str:
    """Why a change, and money, is not known."""
    edges = listed((f"{cause} -> {effect}" for cause, effect in fit.without_information), 4)
    return f"The data say nothing of {edges}: changes that come over it, and their money, are not known (NaN)."


def inherited(fit: Fit, used: Collection[str], known: tuple[bool, bool], what: str = "answer") -> tuple[Doubt, ...]:
    """The fit's doubts that touch the `used` edges, with one warning to the caller's caller of those not known to him.

    `known`: what was said of ``unconverged=`` and of ``doubtful=``.
    """
    found = fit.doubts_on(used)
    unconverged, doubtful = known
    if not doubtful:
        warn_doubts(what, [one for one in found if not (unconverged and one.check == "converged")], stacklevel=3)
    return found


def refuse_doubtful(fit: Fit, used: Collection[str], asked: Request) -> tuple[Doubt, ...]:
    """The fit's doubts that touch the `used` edges; money is spent on them on an explicit word only."""
    found = fit.doubts_on(used)
    grave = [one for one in found if not (asked.unconverged and one.check == "converged")]
    lost = [f"{cause} -> {effect}" for cause, effect in fit.without_information if f"{cause} -> {effect}" in used]
    if lost and asked.doubtful:
        raise SimulationError(
            f"The data say nothing of {listed(lost, 4)}, over which the actions would bring their money: what they are "
            "worth is not known, so that no budget can be spent on it.",
            hint="Leave these actions out, or measure what the edge joins better.",
        )
    if grave and not asked.doubtful:
        on = listed(sorted(edge for edge in used if fit.doubts_on([edge])), 6)
        others = [f"{one.check} ({', '.join(one.culprits[:4])})" if one.culprits else one.check for one in grave[1:9]]
        more = f" And {len(grave) - 1} more: {', '.join(others)}." if others else ""
        raise SimulationError(
            f"No budget is spent on this fit, which is {grave[0].verdict} where the actions need it ({on}): "
            f"{grave[0].check}: {grave[0].finding}{more}",
            hint=f"{grave[0].remedy} All of it is in fit.doubts; doubtful=True plans all the same.",
        )
    return found


def _check_interventions(interventions: Sequence[Intervention]) -> None:
    """Refuse what is no list of interventions with names of their own."""
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


def require_whole(name: str, given: object, allowed: str) -> None:
    """Refuse what is not a whole number of at least 1."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise SimulationError(f"{name}= was {given!r}.", allowed=allowed)


def require_yes_no(name: str, given: object) -> None:
    """Refuse what is not True or False."""
    if not isinstance(given, bool | np.bool_):
        raise SimulationError(f"{name}= was {given!r}.", allowed="True or False")


def is_number(given: object) -> bool:
    """Whether something is a number that a computer can hold, and no truth value."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.number):
        return False
    try:
        float(given)
    except (OverflowError, TypeError):
        return False
    return True


def require_memory(draws: int, cells: int, what: str) -> None:
    """Refuse draws that no memory holds; `cells`: numbers that each of them takes."""
    if 8 * cells * draws <= MOST_BYTES:
        return
    fits = MOST_BYTES // (8 * cells)
    size = f"{8 * cells * draws / 2**30:,.1f} GiB"
    if fits < 1:
        raise SimulationError(
            f"One draw of {what} takes {8 * cells / 2**30:,.1f} GiB of memory.",
            allowed=f"{MOST_BYTES / 2**30:.3g} GiB",
            hint="Ask for fewer waves.",
        )
    raise SimulationError(
        f"draws={draws:,} of {what} take {size} of memory.",
        allowed=f"at most {fits:,} draws",
        hint="2,000 draws tell nearly all that more would.",
    )


def fit_notes(fit: Fit) -> Iterator[str]:
    """A fit to be wary of, where no doubt says it (a document of earlier days, or a note)."""
    said = {doubt.check for doubt in fit.doubts}
    if not fit.converged and "converged" not in said:
        why = fit.verdicts["converged"].reason
        yield f"This fit did not converge ({why}): its numbers mean nothing certain."
    if not fit.admissible and "admissible" not in said:
        why = fit.verdicts["admissible"].reason
        yield f"This fit is not admissible ({why}): look at it before using what follows from it."
