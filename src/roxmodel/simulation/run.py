"""Simulate: what interventions do to every construct over time, in points and in money."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import RoxWarning, SimulationError, listed
from roxmodel.frozen import FrozenMapping
from roxmodel.result.fit import Fit
from roxmodel.simulation.actions import Action, contradictions, read_actions, support_notes
from roxmodel.simulation.answer import Answer
from roxmodel.simulation.check import check_question, check_value
from roxmodel.simulation.dynamics import course_of, ground_of
from roxmodel.simulation.finance import Money, money_of
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.pictures import effects_figure, rox_figure
from roxmodel.simulation.small_print import cap_notes, coverage_notes, money_notes
from roxmodel.simulation.stability import assumed_notes, require_equilibrium
from roxmodel.simulation.words import run_html, run_summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Run", "simulate"]


@dataclass(frozen=True, eq=False, repr=False)
class Run(Answer):
    """The answer to a what-if question.

    Attributes
    ----------
    fit, interventions
        The question.
    horizon, discount, n_units
        Waves, rate per wave, number of units the money is summed over (None where there are none).
    changes
        (draws, waves, k) mean change over the units against no action, all interventions together.
    money
        One for each intervention by itself, then the total of all together; empty without `value`.
    value
        Money per raw unit of each outcome, per unit (branch), per wave.
    notes
        What was assumed, cut or extrapolated.
    """

    def summary(self) -> str:
        """The answer in plain words."""
        return run_summary(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return run_html(self)

    def plot(self, kind: str = "effects") -> Figure:
        """Draw the answer.

        Parameters
        ----------
        kind
            ``"effects"``: change of every construct that moves, over the waves, with its 95 % band. ``"rox"``:
            benefit, cost and what is left.

        Raises
        ------
        SimulationError
            For another kind.
        """
        if kind == "effects":
            return effects_figure(self)
        if kind == "rox":
            return rox_figure(self)
        raise SimulationError(f"plot({kind!r}) was asked for.", allowed="'effects' or 'rox'")


def simulate(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    interventions: Sequence[Intervention] | Intervention,
    *,
    horizon: int = 8,
    draws: int = 2_000,
    seed: int | None = None,
    value: Mapping[str, float] | None = None,
    discount: float = 0.0,
    n_units: int | None = None,
) -> Run:
    """Ask the fitted graph what interventions would do.

    Parameters
    ----------
    fit
        The fitted graph.
    interventions
        What is done; shifts of several interventions on one construct add up.
    horizon
        Number of waves; wave 0 is the baseline and is not reported.
    draws
        Draws of the parameters (their uncertainty is the uncertainty of the answer).
    seed
        Equal seeds give equal answers, bit for bit.
    value
        Outcome -> money per raw unit of it, per unit (branch), per wave.
    discount
        Rate per wave; flows of wave t are divided by ``(1 + discount)^t``.
    n_units
        Number of units that the money is summed over; None = the study's.

    Returns
    -------
    Run

    Raises
    ------
    SimulationError
        For unknown constructs or units, moves beyond a scale, a horizon of 0, money without units, a fit of several
        groups, a feedback loop without equilibrium.

    Warns
    -----
    RoxWarning
        If an action moves units beyond what was observed, two priced outcomes act on one another, the discount is
        100 % a wave or more, or a feedback loop has no equilibrium in some draws.

    Examples
    --------
    >>> from roxmodel.moments.single import Moments
    >>> from roxmodel.estimate.fit import fit
    >>> from roxmodel.spec.five_factor import five_factor
    >>> moments = Moments.from_correlation(["pride", "sales"], [[1, 0.4], [0.4, 1]], n=100)
    >>> found = fit(five_factor({"pride": ["pride"], "outcomes": ["sales"]}), moments, method="path")
    >>> run = simulate(found, [Intervention(name="coaching", shift={"pride": 1.0})], horizon=1, seed=1)
    >>> run.effects()["construct"].tolist()
    ['pride', 'outcomes']
    """
    given = _listed(interventions)
    check_question(fit, given, horizon, draws, discount)
    prices = check_value(fit, value)
    units = _units(fit, n_units, bool(prices), given)
    actions, assumed = read_actions(fit, given, horizon, units, seed)
    _refuse_contradiction(actions, contradictions(fit, actions))
    system, loops, lost = require_equilibrium(fit, fit.system(fit.draws(draws, seed), marker=True))
    heed = (*support_notes(fit, actions), *money_notes(fit, prices, discount), *lost)
    for note in heed:
        warnings.warn(note, RoxWarning, stacklevel=2)
    ground = ground_of(fit, actions, seed)
    together = course_of(system, actions, ground, horizon)
    money: list[Money] = []
    if prices:
        terms = (float(units or 0), discount)
        alone = [together if len(actions) == 1 else course_of(system, [a], ground, horizon) for a in actions]
        for action, course in zip(actions, alone, strict=True):
            money.append(money_of(action.name, course.changes, _costs([action]), prices, terms))
        money.append(money_of("total", together.changes, _costs(actions), prices, terms))
    return Run(
        fit=fit,
        interventions=tuple(given),
        horizon=horizon,
        discount=discount,
        n_units=units,
        changes=together.changes,
        money=tuple(money),
        value=FrozenMapping(dict(value or {})),
        notes=(
            *assumed,
            *assumed_notes(fit),
            *loops,
            *heed,
            *cap_notes(fit, together, ground.levels is None),
            *coverage_notes(fit, prices, units),
        ),
    )


def _listed(given: object) -> list[Intervention]:
    """A list of what was given; one alone is a list of one."""
    if isinstance(given, Intervention):
        return [given]
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise SimulationError(f"interventions= was {given!r}.", allowed="a list of rox.Intervention")
    return list(given)


def _costs(actions: Sequence[Action]) -> dict[int, float]:
    costs: dict[int, float] = {}
    for action in actions:
        costs[action.start] = costs.get(action.start, 0.0)
        for wave, money in enumerate(action.spent, start=1):
            if money:
                costs[wave] = costs.get(wave, 0.0) + float(money)
    return costs


def _refuse_contradiction(actions: Sequence[Action], found: Sequence[tuple[int, int, str]]) -> None:
    for one, other, why in found:
        raise SimulationError(
            f"Interventions {actions[one].name!r} and {actions[other].name!r} {why}.",
            hint="Keep one, or let them act in different units or waves.",
        )


def _units(fit: Fit, n_units: int | None, money: bool, given: Sequence[Intervention]) -> int | None:
    if n_units is not None and (isinstance(n_units, bool) or not isinstance(n_units, int | np.integer) or n_units < 1):
        raise SimulationError(f"n_units= was {n_units!r}.", allowed="a whole number of at least 1")
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
