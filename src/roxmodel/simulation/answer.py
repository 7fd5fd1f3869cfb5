"""The answer to a what-if question, as a record: changes and money, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import SimulationError
from roxmodel.result.fit import Fit
from roxmodel.simulation.finance import Money, rox_table
from roxmodel.simulation.intervention import Intervention
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer"]


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
    value: Mapping[str, float]
    notes: tuple[str, ...]

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
        if not self.money:
            raise SimulationError(
                "No value= was given, so there is no money to count.",
                hint="Simulate with value={'outcome': money per raw unit, per unit and wave}.",
            )
        return rox_table(list(self.money))

    def __repr__(self) -> str:
        names = ", ".join(i.name for i in self.interventions)
        return f"<Run of {names} over {self.horizon} waves, {len(self.changes)} draws>"
