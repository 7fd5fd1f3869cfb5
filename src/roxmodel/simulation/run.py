"""Simulate: what interventions do to every construct over time, in points and in money."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roxmodel.errors import RoxWarning, SimulationError
from roxmodel.frozen import FrozenMapping
from roxmodel.result.fit import Fit
from roxmodel.simulation.actions import Action, contradictions, read_actions, support_notes
from roxmodel.simulation.answer import Answer
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Money
from roxmodel.simulation.money.prices import Finance
from roxmodel.simulation.pictures import effects_figure, rox_figure, tornado_figure
from roxmodel.simulation.question import Asked, finance_of, question_of
from roxmodel.simulation.small_print import (
    cap_notes,
    coverage_notes,
    figure_notes,
    fit_notes,
    linear_notes,
    money_notes,
)
from roxmodel.simulation.stability import assumed_notes
from roxmodel.simulation.words import run_html, run_summary
from roxmodel.types import read_only

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Run", "simulate"]


@read_only
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
    question, actions
        The question as it was read: draws, prices, units; interventions in the fit's own places.
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
            benefit, cost and what is left. ``"tornado"``: what the net value depends on most (see `tornado`).

        Raises
        ------
        SimulationError
            For another kind.
        """
        if kind == "effects":
            return effects_figure(self)
        if kind == "rox":
            return rox_figure(self)
        if kind == "tornado":
            return tornado_figure(self)
        raise SimulationError(f"plot({kind!r}) was asked for.", allowed="'effects', 'rox' or 'tornado'")


def simulate(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    interventions: Sequence[Intervention] | Intervention,
    *,
    horizon: int = 8,
    draws: int = 2_000,
    seed: int | None = None,
    value: Mapping[str, object] | None = None,
    discount: float = 0.0,
    n_units: int | None = None,
    finance: Finance | None = None,
    unconverged: bool = False,
) -> Run:
    """Ask the fitted graph what interventions would do in the population of units.

    What would have been in one unit is `counterfactual`; what to expect if nothing is done is `forecast`.

    Parameters
    ----------
    fit
        The fitted graph.
    interventions
        What is done; how several of them combine on one construct is said in `Intervention`.
    horizon
        Number of waves; wave 0 is the baseline and is not reported.
    draws
        Draws of the parameters (their uncertainty is the uncertainty of the answer).
    seed
        Equal seeds give equal answers.
    value
        Outcome -> money per raw unit of it, per unit (branch), per wave: a number, or a price as in `Finance`. Only
        outcomes can be priced, so that money is counted once.
    discount
        Rate per wave, above -1: flows of wave t, costs too, are divided by (1 + discount)^t.
    n_units
        Number of units the money is summed over; needed with `value` where the fit has none.
    finance
        `value` and `discount` in one record, with the timing of flows and a currency, instead of the two.
    unconverged
        Whether to simulate from a fit that did not converge all the same.

    Returns
    -------
    Run
        Holds (draws, waves, k) mean changes and (draws, waves) money; single units are not kept.

    Raises
    ------
    SimulationError
        If the question cannot be asked of this fit, in one sentence that names the culprit.

    Notes
    -----
    Edges act within the wave; fixed lagged edges bring the change of earlier waves, and feedback loops, within or over
    waves, have to settle. A construct on a bounded scale is held inside it, unit by unit; by method "linked" the level
    of a unit is drawn from what is known of it, anew in every draw. Outcomes with a curved equation change on the
    response scale (probability, count).

    Examples
    --------
    >>> from roxmodel.estimate.fit import fit
    >>> from roxmodel.moments.single import Moments
    >>> from roxmodel.spec.graph import five_factor
    >>> moments = Moments.from_correlation(["pride", "sales"], [[1, 0.4], [0.4, 1]], n=100)
    >>> found = fit(five_factor({"pride": ["pride"], "outcomes": ["sales"]}), moments, method="path")
    >>> run = simulate(found, [Intervention(name="coaching", shift={"pride": 1.0})], horizon=1, seed=1)
    >>> run.effects()["construct"].tolist()
    ['pride', 'outcomes']
    """
    given = listed_interventions(interventions)
    money = finance_of(value, discount, finance)
    question = question_of(fit, given, Asked(horizon, draws, seed, money, n_units, unconverged, discount))
    actions, assumed = read_actions(fit, given, horizon, question.units, seed)
    _refuse_together(given, actions, contradictions(fit, actions))
    heed = (*support_notes(fit, actions, seed), *money_notes(fit, question), *question.lost)
    for note in heed:
        warnings.warn(note, RoxWarning, stacklevel=2)
    ground = question.ground(actions)
    together = question.course(actions, ground)
    rows: list[Money] = []
    if question.priced:
        for action in actions:
            course = together if len(actions) == 1 else question.course([action], ground)
            rows.append(question.money(action.name, course, [action]))
        rows.append(question.money("total", together, actions))
    return Run(
        fit=fit,
        interventions=tuple(given),
        horizon=horizon,
        discount=discount if money is None else money.discount,
        n_units=question.units,
        changes=together.changes,
        money=tuple(rows),
        value=FrozenMapping({} if money is None else dict(money.value)),
        notes=(
            *fit_notes(fit),
            *assumed,
            *assumed_notes(fit),
            *question.loops,
            *heed,
            *cap_notes(fit, together, ground.levels is None),
            *figure_notes(question, actions),
            *coverage_notes(fit, question),
            *linear_notes(question, together),
        ),
        question=question,
        actions=actions,
    )


def listed_interventions(given: object) -> list[Intervention]:
    """A list of what was given; one alone is a list of one.

    Raises
    ------
    SimulationError
        If it is no list.
    """
    if isinstance(given, Intervention):
        return [given]
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise SimulationError(f"interventions= was {given!r}.", allowed="a list of rox.Intervention")
    return list(given)


def _refuse_together(
    given: Sequence[Intervention], actions: Sequence[Action], found: Sequence[tuple[int, int, str]]
) -> None:
    """Refuse actions that contradict or exclude each other, and one without what it needs."""
    for first, second, why in found:
        raise SimulationError(
            f"Interventions {actions[first].name!r} and {actions[second].name!r} {why}.",
            hint="Keep one, or let them act in different units or waves.",
        )
    starts = {one.name: one.start for one in given}
    for one in given:
        for other in one.excludes:
            if other in starts:
                raise SimulationError(f"Intervention {one.name!r} excludes {other!r}.", hint="Keep one of the two.")
        for other in one.requires:
            if other not in starts:
                raise SimulationError(f"Intervention {one.name!r} requires {other!r}.", hint=f"Add {other!r}.")
            if starts[other] > one.start:
                raise SimulationError(
                    f"Intervention {one.name!r} starts in wave {one.start} and requires {other!r}, which starts in "
                    f"wave {starts[other]}.",
                    hint="What is required has to start no later.",
                )
