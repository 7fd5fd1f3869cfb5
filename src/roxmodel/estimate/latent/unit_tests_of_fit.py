"""The tests of a linked fit: against any covariance between units, with the sampling errors as they are."""

from __future__ import annotations

import numpy as np

from roxmodel.estimate.latent.joint_levels import Joint
from roxmodel.estimate.latent.unit_sample import LinkedSample
from roxmodel.estimate.latent.unit_solve import Estimate
from roxmodel.estimate.latent.unit_unrestricted import Between, any_covariance, no_covariance
from roxmodel.implied.matrices import implied
from roxmodel.implied.normal import Target
from roxmodel.implied.together import together_of
from roxmodel.result.indices import Tested, tested_indices
from roxmodel.types import FloatArray

__all__ = ["linked_indices"]

_MANY = 1_000  # units from which chi-square is taken at its word


def linked_indices(
    sample: LinkedSample, known: Estimate, joint: Joint | None
) -> tuple[dict[str, float], Target | None, list[str]]:
    """Fit indices, the moments between units without structure, and what a reader must know of them.

    Parameters
    ----------
    sample, known
        What was estimated, from what.
    joint
        The likelihood of all answers, where both levels were estimated together.
    """
    n, p, data = float(sample.n), len(sample.items), sample.data
    own = known.found.expansion.value
    n_free = known.table.n_free if joint is None else joint.n_free
    entries = data.seen.sum() if joint is None else joint.answers
    value = n * (own if joint is None else joint.value) + float((np.log(sample.scale) * data.seen).sum())
    loglik = -value - float(np.log(2 * np.pi) * entries) / 2
    found = {"loglik": loglik, "aic": -2 * loglik + 2 * n_free, "bic": -2 * loglik + np.log(n) * n_free}
    found |= {"n": n, "n_units": n}
    if joint is not None:
        note = (
            "No chi-square: with both levels estimated jointly the saturated model of both is out of reach. loglik, "
            "aic and bic are those of all answers and compare fits to the same answers."
        )
        return found, None, [note]
    free = any_covariance(sample.items, data, known.start)
    if free is None or not free.converged:
        why = "more than 45 items" if free is None else "its estimate did not settle"
        return (
            found,
            None if free is None else free.moments,
            [f"No chi-square: the saturated model is out of reach ({why})."],
        )
    base_value, base_done = no_covariance(sample.items, data, free.moments)
    apart = int(np.tril(together_of(data.seen) <= 0).sum())  # covariances of which nothing is seen are no moments
    df = p * (p + 1) // 2 + p - apart - known.table.n_free
    chisq = max(2 * n * (own - free.value), 0.0)
    base = max(2 * n * (base_value - free.value), 0.0) if base_done else float("nan")
    tested = tested_indices(Tested(chisq, df, base, p * (p - 1) // 2 - apart, n, 1, None, None, None))
    notes = []
    if df > 0 and free.edge:
        rejects = "rejects here although it hardly ever does" if tested["pvalue"] < 0.05 else "hardly ever rejects here"
        notes.append(
            f"Chi-square {rejects}, and CFI and RMSEA look better than they are: some combination of "
            "items does not vary between units at all, so the saturated covariance lies at the edge of the possible. "
            "Look at fit.residuals() too."
        )
    elif df > 0 and n < _MANY:
        notes.append(
            "Chi-square rests on many units; with these it rejects right models too often (in simulations of 150 units "
            "in 8 to 19 % instead of 5 %, the more the more reliable the means)."
        )
    return found | tested | {"srmr": _srmr(known, free)}, free.moments, notes


def _srmr(known: Estimate, free: Between) -> float:
    """Root mean square of what the model leaves of the correlations and standardised means between units."""
    at = implied(known.layout, known.found.theta)
    sd = np.sqrt(np.diag(free.moments.covariance))
    left = ((free.moments.covariance - at.sigma) / np.outer(sd, sd))[np.tril_indices(len(sd))]
    left = left[~np.isnan(left)]  # pairs that were seen together
    means: FloatArray = (free.moments.mean - at.mu) / sd
    return float(np.sqrt(((left**2).sum() + (means**2).sum()) / (len(left) + len(sd))))
