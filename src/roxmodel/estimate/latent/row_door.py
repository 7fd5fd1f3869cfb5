"""Method "sem": solved, tabulated."""

from __future__ import annotations

from roxmodel.estimate.latent.row_solve import solve_sem
from roxmodel.estimate.latent.row_tabulate import fit_of
from roxmodel.estimate.options import SemOptions
from roxmodel.result.fit import Fit
from roxmodel.spec.graph import RoxModel

__all__ = ["fit_sem"]


def fit_sem(model: RoxModel, data: object, options: SemOptions) -> Fit:
    """Estimate, and make the fit."""
    return fit_of(model, solve_sem(model, data, options), options)
