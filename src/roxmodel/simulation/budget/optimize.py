"""Spend a budget: which actions, how much of each, from when on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from roxmodel.errors import RoxWarning, SimulationError, did_you_mean, listed
from roxmodel.result.fit import Fit
from roxmodel.simulation import question as asking
from roxmodel.simulation.actions import contradictions
from roxmodel.simulation.budget.choice import Aim, search_of
from roxmodel.simulation.budget.plan import Plan
from roxmodel.simulation.budget.problem import Least, Problem
from roxmodel.simulation.budget.worth import Option, Promised, options_of, promise_of, promised_worth
from roxmodel.simulation.dynamics import assumed_notes
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Finance
from roxmodel.types import FloatArray

__all__ = ["Objective", "optimize"]

Objective = Literal["mean", "cvar", "probability"]


def optimize(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    candidates: Sequence[Intervention],
    *,
    budget: float | Sequence[float] | Mapping[int, float],
    horizon: int = 8,
    draws: int = 2_000,
    seed: int | None = None,
    value: Mapping[str, object] | None = None,
    discount: float = 0.0,
    objective: Objective = "mean",
    shrink: bool = True,
    n_units: int | None = None,
    finance: Finance | None = None,
    wave_budget: Sequence[float] | Mapping[int, float] | None = None,
    least: Mapping[str, float] | None = None,
    own: Sequence[str] | None = None,
    level: float = 0.1,
    unconverged: bool = False,
    doubtful: bool = False,
) -> Plan:
    """Choose actions, doses and first waves so that a budget brings most.

    Exact (integer programming) for benefits that add up; where the ends of scales make actions share their effect, the
    plan found is simulated as a whole, and improved by exchanges where that pays.

    **Values are shrunk before choosing** (``shrink=True``). Whoever picks the best of many noisy estimates picks their
    luck as well, and is promised too much. So what a push of each construct is worth is taken jointly, with its errors,
    to a posterior mean; the plan is chosen on it and promised by it. See the page "Spending a budget".

    Parameters
    ----------
    fit
        The fitted graph.
    candidates
        Actions to choose from; ``doses`` and ``starts`` say how they can be done, ``requires``, ``excludes`` and
        ``must`` what goes together.
    budget
        Money to spend, not discounted: one amount for all waves together; or an amount for each wave (a list of
        `horizon` numbers, or a mapping wave -> amount; other waves are free).
    horizon, draws, seed, value, discount, n_units, finance, unconverged
        As in `simulate`; equal fit, seed and draws give the same draws of the parameters.
    objective
        ``"mean"``: the largest expected net value. ``"cvar"``: the largest mean of the worst `level` share of the
        draws. ``"probability"``: the largest chance of a net value above 0.
    shrink
        False: plain expected values, which oversell.
    wave_budget
        Most money in single waves, beside a `budget` for all of them.
    least
        Least money, not discounted, to be spent on an action, on a construct (actions that act on it) or on a factor.
    own
        Names of the actions of a plan of yours: if it can be done, the answer is never below it.
    level
        Share of the worst draws that ``"cvar"`` looks at, above 0 and up to 1.
    doubtful
        Whether to plan with a fit that is doubtful or unusable on an edge that the candidates use, which is refused
        otherwise. The plan then carries the doubts (``plan.doubts``, first in its summary, pictures and file).

    Returns
    -------
    Plan

    Raises
    ------
    SimulationError
        If the question cannot be asked, if the fit is doubtful where the candidates need it (the check and its
        culprits are named), or if no plan keeps all conditions (those that conflict are named).

    Examples
    --------
    >>> import roxmodel as rox
    >>> world = rox.datasets.make_world(60, seed=1)
    >>> found = rox.fit(world.model, world.study(), method="path")
    >>> plan = optimize(
    ...     found,
    ...     [
    ...         rox.Intervention(name="coaching", shift={"pride": 0.3}, cost=200_000.0),
    ...         rox.Intervention(name="posters", shift={"influencers": 0.01}, cost=900_000.0),
    ...     ],
    ...     budget=1_000_000, seed=1, value={"revenue": 1_000.0},
    ... )
    >>> plan.chosen
    ['coaching']
    """
    given = _candidates(candidates)
    money = asking.finance_of(value, discount, finance)
    if money is None:
        raise SimulationError(
            "A budget is spent for money, and no value= was given.",
            hint="Give value={'outcome': money per raw unit, per unit and wave}.",
        )
    asking.require_yes_no("shrink", shrink)
    if not isinstance(objective, str) or objective not in {"mean", "cvar", "probability"}:
        allowed = "'mean', 'cvar' or 'probability'"
        raise SimulationError(f"objective= was {objective!r}.", allowed=allowed)
    if not asking.is_number(level) or not 0 < level <= 1:
        raise SimulationError(f"level= was {level!r}.", allowed="a share above 0 and up to 1, for example 0.1")
    asked = asking.Request(horizon, draws, seed, money, n_units, unconverged, doubtful=doubtful)
    question = asking.question_of(fit, given, asked)
    options, notes = options_of(question, given)
    levers = {fit.model.names[place] for option in options for place in option.action.acted}
    used = asking.used_edges(fit.model, levers, [one.name for one in question.priced])
    doubts = asking.refuse_doubtful(fit, used, asked)
    unusable = any(one.verdict == "unusable" for one in doubts)
    worth = promised_worth(question, options, shrink, unusable)
    limits = _limits(budget, wave_budget, horizon)._replace(least=_least(fit, given, options, least))
    problem = _problem(question, given, options, worth, limits)
    for note in question.lost:
        warnings.warn(note, RoxWarning, stacklevel=2)
    search = search_of(options, worth, problem, Aim(objective, float(level)))
    names, (choice, found) = _own(given, own), search.best(problem)
    said = [*asking.fit_notes(fit), *notes, *_free(given), *assumed_notes(fit), *question.loops, *question.lost, found]
    if names is not None:
        choice, kept = search.no_worse(problem, choice, names)
        said.append(kept)
    npv = promise_of(options, worth, choice.options.tolist())
    npv.setflags(write=False)
    return Plan(search, tuple(given), problem, choice, npv, names, tuple(note for note in said if note), doubts)


def _candidates(given: object) -> list[Intervention]:
    """A list of interventions whose mutual references are known."""
    found = asking.listed_interventions("candidates", given)
    names = [getattr(one, "name", "") for one in found]
    for one in found:
        for verb in ("requires", "excludes"):
            unknown = next((other for other in getattr(one, verb, ()) if other not in names), None)
            if unknown is not None:
                raise SimulationError(
                    f"Intervention {one.name!r} {verb} {unknown!r}, which is no candidate.",
                    hint=did_you_mean(unknown, names),
                )
    return found


def _free(given: Sequence[Intervention]) -> tuple[str, ...]:
    """Actions without any cost: perhaps it was forgotten."""
    free = [one.name for one in given if not (one.cost or one.cost_per_unit or one.is_kept_up)]
    if not free:
        return ()
    return (f"No cost was given for {listed(free)}: done whenever it brings anything.",)


class _Limits(NamedTuple):
    """Money over all waves, and of each wave, infinite where there is no limit; minimum spends."""

    budget: float
    waves: FloatArray
    least: tuple[Least, ...] = ()


def _limits(budget: object, wave_budget: object, horizon: int) -> _Limits:
    if isinstance(budget, np.ndarray) and budget.ndim == 0:
        budget = budget.item()
    if asking.is_number(budget):
        return _Limits(_amount("budget", budget), _by_wave("wave_budget", wave_budget, horizon))
    if wave_budget is not None:
        raise SimulationError(
            "budget= and wave_budget= both give amounts by wave.", hint="Make budget= one amount for all waves."
        )
    if budget is None:
        raise SimulationError("budget= was None.", allowed="an amount, or an amount for each wave")
    return _Limits(np.inf, _by_wave("budget", budget, horizon))


def _amount(name: str, given: object) -> float:
    if not asking.is_number(given) or np.isnan(float(given)) or float(given) < 0:  # type: ignore[arg-type]
        raise SimulationError(f"{name} was {given!r}.", allowed="an amount of money, 0 or more")
    return float(given)  # type: ignore[arg-type]


def _by_wave(name: str, given: object, horizon: int) -> FloatArray:
    found = np.full(horizon, np.inf)
    if given is None:
        return found
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise SimulationError(
            f"{name}= was {given!r}.", allowed="an amount, a list with one for each wave, or a mapping wave -> amount"
        )
    amounts = given if isinstance(given, Mapping) else dict(enumerate(given, start=1))
    if not isinstance(given, Mapping) and len(amounts) != horizon:
        raise SimulationError(f"{name}= has {len(amounts)} amounts for {horizon} waves.", allowed="one a wave")
    for wave, amount in amounts.items():
        if isinstance(wave, bool) or not isinstance(wave, int | np.integer) or not 1 <= wave <= horizon:
            raise SimulationError(f"{name}= names the wave {wave!r}.", allowed=f"1 to {horizon}")
        found[wave - 1] = _amount(f"{name}= of wave {wave}", amount)
    return found


def _least(
    fit: Fit, given: Sequence[Intervention], options: Sequence[Option], least: Mapping[str, float] | None
) -> tuple[Least, ...]:
    """Minimum spends, on an action, on what acts on a construct, or on a factor."""
    if least is None:
        return ()
    if not isinstance(least, Mapping):
        raise SimulationError(f"least= was {least!r}.", allowed="a mapping action, construct or factor -> amount")
    names = [one.name for one in given]
    factors = {construct.factor for construct in fit.model.constructs}
    found = []
    for name, amount in least.items():
        if name in names:
            counted = [option.candidate == names.index(name) for option in options]
        elif name in fit.model.names or name in factors:
            counted = [_touches(fit, option, name) for option in options]
        else:
            raise SimulationError(
                f"least= names {name!r}, which is no action, no construct and no factor.",
                hint=did_you_mean(str(name), [*names, *fit.model.names, *sorted(factors)]),
            )
        found.append(Least(name, np.array(counted, dtype=bool), _amount(f"least= of {name!r}", amount)))
    return tuple(found)


def _touches(fit: Fit, option: Option, name: str) -> bool:
    constructs = [fit.model.constructs[place] for place in option.action.acted]
    return any(name in {construct.name, construct.factor} for construct in constructs)


def _problem(
    question: asking.Question,
    given: Sequence[Intervention],
    options: Sequence[Option],
    worth: Promised,
    limits: _Limits,
) -> Problem:
    names = [one.name for one in given]
    clashes = [
        (i, j)
        for i, j, _ in contradictions(question.fit, [option.action for option in options])
        if options[i].candidate != options[j].candidate
    ]
    return Problem(
        names=tuple(names),
        action=np.array([option.candidate for option in options], dtype=np.int64),
        start=np.array([option.action.start for option in options], dtype=np.int64),
        mean=worth.mean,
        draws=worth.draws,
        cost=worth.worth.spending,
        wave_budget=limits.waves,
        budget=limits.budget,
        requires=tuple((i, names.index(other)) for i, one in enumerate(given) for other in one.requires),
        excludes=tuple((i, names.index(other)) for i, one in enumerate(given) for other in one.excludes),
        musts=tuple(i for i, one in enumerate(given) if one.must),
        clashes=tuple(clashes),
        least=limits.least,
    )


def _own(given: Sequence[Intervention], own: Sequence[str] | None) -> tuple[str, ...] | None:
    if own is None:
        return None
    if isinstance(own, str | Mapping) or not isinstance(own, Iterable):
        raise SimulationError(f"own= was {own!r}.", allowed="a list of names of candidates")
    own, names = list(own), [one.name for one in given]
    for name in own:
        if name not in names:
            raise SimulationError(f"own= names {name!r}, which is no candidate.", hint=did_you_mean(str(name), names))
    return tuple(dict.fromkeys(own))
