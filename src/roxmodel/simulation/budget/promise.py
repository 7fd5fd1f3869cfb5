"""What a plan may promise: edges shrunk jointly before choosing, and the plan simulated as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.simulation.budget.shrinkage import Shrunken, shrunken_edges
from roxmodel.simulation.budget.worth import Option, Worth, worth_of
from roxmodel.simulation.question import Question
from roxmodel.types import FloatArray

__all__ = ["Promised", "promise_of", "promised_worth"]


@dataclass(frozen=True, slots=True)
class Promised:
    """Options with what may be promised of each by itself.

    Attributes
    ----------
    question
        What was asked, its draws those of the posterior where edges were shrunk.
    worth
        Of the options, by these draws.
    plain
        (n,) expected npv without shrinking.
    shrunken
        The edges; None where nothing was shrunk.
    """

    question: Question
    worth: Worth
    plain: FloatArray
    shrunken: Shrunken | None

    @property
    def mean(self) -> FloatArray:
        """(n,) expected npv."""
        return np.asarray(self.worth.benefit.mean(axis=0) - self.worth.cost)

    @property
    def draws(self) -> FloatArray:
        """(draws, n) npv."""
        return self.worth.benefit - self.worth.cost


def promised_worth(question: Question, options: Sequence[Option], shrinking: bool) -> Promised:
    """Value options, after shrinking the edges (see `shrunken_edges`)."""
    plain = worth_of(question, options)
    npv = plain.benefit.mean(axis=0) - plain.cost
    if not shrinking:
        return Promised(question, plain, npv, None)
    found = shrunken_edges(question.fit, question.system, question.asked.seed)
    shrunk = replace(question, system=found.system, centre=found.centre)
    return Promised(shrunk, worth_of(shrunk, options, plain), npv, found)


def promise_of(
    options: Sequence[Option], worth: Promised, chosen: Sequence[int], thin: int | None = None
) -> FloatArray:
    """(draws,) npv of several options together, simulated as a whole.

    Parameters
    ----------
    chosen
        Places of the options.
    thin
        How many of the draws; None = all.
    """
    asked = worth.question if thin is None else worth.question.thinned(thin)
    places = list(chosen)
    if not places:
        return np.zeros(len(asked.system.coefficients))
    actions = [options[place].action for place in places]
    benefit = asked.money("plan", asked.course(actions, asked.ground(actions)), actions).benefit
    return np.asarray(benefit - worth.worth.cost[places].sum())
