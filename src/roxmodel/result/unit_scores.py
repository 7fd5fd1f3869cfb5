"""Predicted levels of the units as a table, small groups left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = ["unit_score_table"]


def unit_score_table(fit: Fitted) -> pd.DataFrame:
    """See `Fit.unit_scores`."""
    import pandas as pd

    found = fit.predicted
    if found is None:
        if fit.traits.levels == "predicted":
            raise EstimationError("A document holds no unit, so a loaded fit has no unit scores.", hint="Fit again.")
        raise EstimationError(
            f"Unit scores are predictions of method 'linked'; this fit is by method {fit.method!r}.",
            hint="Use rox.fit(model, study, method='linked'), or study.scores() for the plain means.",
        )
    hidden, names = found.hidden, np.array(fit.model.names)
    table = pd.DataFrame({found.by: list(found.units)})
    for k, name in enumerate(names):
        table[name] = np.where(hidden[:, k], np.nan, found.values[:, k])
    for k, name in enumerate(names):
        table[f"{name}_se"] = np.where(hidden[:, k], np.nan, found.errors[:, k])
    table["predicted"] = [", ".join(names[~row]) for row in found.known]
    return table.assign(hidden=[", ".join(names[row]) for row in hidden])
