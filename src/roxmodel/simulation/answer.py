"""The answer to a what-if question, as a record: changes and money, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.result.fit import Fit
from roxmodel.result.levels import complete_levels
from roxmodel.simulation.actions import Action, contradictions
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.money.finance import Money, flow_table, outcome_table, risk_table, rox_table
from roxmodel.simulation.question import Question
from roxmodel.simulation.stability import long_run
from roxmodel.simulation.tornado import tornado_table
from roxmodel.types import FloatArray, read_only

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer"]


@read_only
@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a what-if question; `Run` is its public face and says what each field is."""

    fit: Fit
    interventions: tuple[Intervention, ...]
    horizon: int
    discount: float
    n_units: int | None
    changes: FloatArray
    money: tuple[Money, ...]
    value: Mapping[str, object]
    notes: tuple[str, ...]
    question: Question
    actions: tuple[Action, ...]

    def effects(self) -> pd.DataFrame:
        """Mean change against no action, over all units.

        Returns
        -------
        DataFrame
            construct, wave (1…horizon), mean, ci_low, ci_high (95 % of the draws), in the construct's units.
        """
        import pandas as pd

        names = self.fit.model.names
        mean = self.changes.mean(axis=0)
        low, high = np.quantile(self.changes, [0.025, 0.975], axis=0)
        rows = [
            (name, wave + 1, mean[wave, place], low[wave, place], high[wave, place])
            for place, name in enumerate(names)
            for wave in range(self.horizon)
        ]
        return pd.DataFrame(rows, columns=["construct", "wave", "mean", "ci_low", "ci_high"])

    def rox(self) -> pd.DataFrame:
        """Return on experience: each intervention by itself, then all together.

        Returns
        -------
        DataFrame
            intervention (input order, then ``total``), benefit, cost, npv, rox (means over draws, discounted),
            payback (first wave, once all is spent, in which the mean flows so far cover the costs; infinite = not
            within the horizon),
            prob_positive (P(npv > 0)), and the ends of the 95 % intervals ``*_low, *_high``. With caps, the rows
            need not add up to the total.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return rox_table(list(self._money()))

    def _money(self) -> tuple[Money, ...]:
        if not self.money:
            raise SimulationError(
                "No value= was given, so there is no money to count.",
                hint="Simulate with value={'outcome': money per raw unit, per unit and wave}.",
            )
        return self.money

    def risk(self, level: float = 0.05) -> pd.DataFrame:
        """What can go wrong, for each intervention by itself and for the total.

        Parameters
        ----------
        level
            Share of the draws that counts as the worst, above 0 and up to 1.

        Returns
        -------
        DataFrame
            intervention, npv, sd, prob_loss (share of draws below 0), var (npv that the worst share lies below), cvar
            (its mean), irr (internal rate of return per wave of the mean flows; NaN where there is none or more than
            one), break_even (share of the benefit that has to come true for an npv of 0), payback.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return risk_table(self._money(), level)

    def flows(self) -> pd.DataFrame:
        """Money wave by wave, not discounted.

        Returns
        -------
        DataFrame
            intervention, wave, benefit, benefit_low, benefit_high (95 % of the draws), cost, net, cumulative,
            discounted_net.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return flow_table(self._money())

    def outcomes(self) -> pd.DataFrame:
        """From which priced outcome the benefit comes: intervention, outcome, benefit, benefit_low, benefit_high.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        return outcome_table(self._money())

    def costs(self) -> pd.DataFrame:
        """What is spent, block by block: intervention, block, wave, amount (not discounted)."""
        import pandas as pd

        rows = [
            (action.name, block, wave, float(amount))
            for action in self.actions
            for block, money in action.spending.items()
            for wave, amount in enumerate(money, start=1)
            if amount
        ]
        return pd.DataFrame(rows, columns=["intervention", "block", "wave", "amount"])

    def equilibrium(self) -> pd.DataFrame:
        """Where every construct settles if all actions are kept at full force for ever.

        Closed form, ``(I - B - Σ B_l)⁻¹`` times the push; fading and the ends of scales are not counted.

        Returns
        -------
        DataFrame
            construct, mean, ci_low, ci_high (95 % of the draws), in the construct's units.

        Raises
        ------
        SimulationError
            If an equation is curved, or actions follow on one another that cannot both be kept up.
        """
        import pandas as pd

        if not self.question.system.linear:
            raise SimulationError(
                "The equilibrium has a closed form in linear graphs only, and an equation of this fit is curved.",
                hint="Look at the last waves of effects() with a long horizon.",
            )
        for_ever = [action.alone(np.ones(1)) for action in self.actions]
        for first, second, why in contradictions(self.fit, for_ever):
            names = f"{self.actions[first].name!r} and {self.actions[second].name!r}"
            raise SimulationError(
                f"Kept up for ever, {names} {why}, so that there is no equilibrium of both.",
                hint="Keep one of the two.",
            )
        levels = None if self.fit.population.mean is None else complete_levels(self.fit, self.question.asked.seed or 0)
        found = long_run(self.question.system, self.actions, levels)
        low, high = np.quantile(found, [0.025, 0.975], axis=0)
        columns = {"construct": self.fit.model.names, "mean": found.mean(axis=0), "ci_low": low, "ci_high": high}
        return pd.DataFrame(columns)

    def tornado(self) -> pd.DataFrame:
        """What the net value of all interventions together depends on most.

        One driver at a time stands at either end of its 95 % interval, everything else at its estimate.

        Returns
        -------
        DataFrame
            driver (an edge, with those held equal to it, or ``price of …`` where that is uncertain), low, high (its
            ends), npv_low, npv_high (npv there; NaN where a feedback loop does not settle), swing (their distance), the
            widest first. Drivers that move nothing are left out.

        Raises
        ------
        SimulationError
            If the simulation was run without `value`.
        """
        self._money()
        return tornado_table(self.question, self.actions)

    def __repr__(self) -> str:
        names = ", ".join(i.name for i in self.interventions)
        return f"<Run of {names} over {self.horizon} waves, {len(self.changes)} draws>"
