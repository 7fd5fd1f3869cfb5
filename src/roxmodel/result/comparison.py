"""Nested fits compared: the chi-square difference test, plain or scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError, RoxError, listed
from roxmodel.result.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare"]

_SAME = 1e-3  # difference of sample moments, in standard deviations, up to which they are of the same rows
_ALIKE = 1e-2  # the same between units, where the saturated covariance is itself an optimum at the edge


@dataclass(frozen=True, slots=True)
class _Difference:
    """One fit against the next larger one."""

    chisq: float
    df: float
    pvalue: float
    scaling: float
    note: str


def compare(*fits: Fit, **named: Fit) -> pd.DataFrame:
    """Compare nested fits of method "sem" or "linked": whether the more restricted ones fit worse than chance explains.

    Whether the models are nested is for the user to know: every model must be the one before it with some
    parameters fixed, held equal or left out.

    Parameters
    ----------
    *fits
        Two or more fits of the same rows, in any order.
    **named
        Likewise, with the names that they shall have in the table.

    Returns
    -------
    DataFrame
        One row a fit, the least restricted first: fit (its name), df, chisq, aic, bic, then, against the row
        before: chisq_diff, df_diff, pvalue, scaling_diff (scaling factor of the difference; NaN where there is
        none), note. With ``estimator="MLR"`` or ``"MLM"`` the difference is scaled (Satorra & Bentler 2001), while
        chisq is the unscaled one.

    Raises
    ------
    RoxError
        If there are fewer than two fits, or they are not of the same rows, items, groups, estimator or method.

    References
    ----------
    Satorra & Bentler (2001), doi 10.1007/BF02296192.

    Examples
    --------
    >>> import roxmodel as rox
    >>> moments = rox.Moments.from_correlation(["a", "b", "c"], [[1, 0.5, 0.4], [0.5, 1, 0.5], [0.4, 0.5, 1]], n=200)
    >>> skip, chain = (rox.RoxModel.from_lavaan(f"b ~ a; c ~ b{more}") for more in (" + a", ""))
    >>> table = rox.compare(*(rox.fit(model, moments, method="sem") for model in (skip, chain)))
    >>> table[["df", "chisq_diff", "df_diff", "pvalue"]].iloc[1].round(4).tolist()
    [1.0, 8.1644, 1.0, 0.0043]
    """
    names = [fit.model.name if isinstance(fit, Fit) else repr(fit) for fit in fits]
    numbered = [f"{name} [{i + 1}]" if names.count(name) > 1 else name for i, name in enumerate(names)]
    every = [*zip(numbered, fits, strict=True), *named.items()]
    _refuse(every)
    every.sort(key=lambda pair: pair[1].index_values["df"])
    differences = [_difference(small, large) for (_, large), (_, small) in pairwise(every)]
    return _frame(every, differences)


def _frame(every: Sequence[tuple[str, Fit]], differences: Sequence[_Difference]) -> pd.DataFrame:
    import pandas as pd

    first = _Difference(np.nan, np.nan, np.nan, np.nan, "")
    rows = [
        (
            name,
            int(fit.index_values["df"]),
            *(float(fit.index_values[index]) for index in ("chisq", "aic", "bic")),
            *(one.chisq, one.df, one.pvalue, one.scaling, one.note),
        )
        for (name, fit), one in zip(every, (first, *differences), strict=True)
    ]
    return pd.DataFrame(
        rows, columns=["fit", "df", "chisq", "aic", "bic", "chisq_diff", "df_diff", "pvalue", "scaling_diff", "note"]
    )


def _difference(small: Fit, large: Fit) -> _Difference:
    """The restricted fit against the larger one."""
    from scipy.stats import chi2

    low, high = small.index_values, large.index_values
    df = low["df"] - high["df"]
    plain = low["chisq"] - high["chisq"]
    if df == 0:
        return _Difference(plain, 0.0, np.nan, np.nan, "Both have the same df: there is nothing to test.")
    if plain < -1e-6:
        note = "The more restricted model fits better: the two are not nested, or one did not reach its optimum."
        return _Difference(plain, df, np.nan, np.nan, note)
    if not (_scaled(small) or _scaled(large)):
        return _Difference(plain, df, float(chi2.sf(plain, df)), np.nan, "")
    factor = (_weight(small) - _weight(large)) / df
    if not factor > 0:
        note = f"The scaling factor of the difference is {factor:.3g}, not above 0: there is no scaled test."
        return _Difference(np.nan, df, np.nan, factor, note)
    scaled = plain / factor
    return _Difference(scaled, df, float(chi2.sf(scaled, df)), factor, "")


def _scaled(fit: Fit) -> bool:
    return bool(np.isfinite(fit.index_values.get("scaling_factor", np.nan)))


def _weight(fit: Fit) -> float:
    """Df times scaling factor: the expectation of the unscaled statistic; 0 of a saturated model."""
    df = fit.index_values["df"]
    return 0.0 if df == 0 else df * fit.index_values["scaling_factor"]


def _refuse(every: Sequence[tuple[str, Fit]]) -> None:
    if len(every) < 2:
        raise RoxError(f"{len(every)} fit(s) were given to compare.", allowed="two or more")
    for name, fit in every:
        if not isinstance(fit, Fit):
            raise RoxError(f"{name!r} is a {type(fit).__name__}, not a fit.", hint="Say rox.compare(one, other).")
        if not fit.traits.latent or np.isnan(fit.index_values.get("chisq", np.nan)):
            raise EstimationError(
                f"{fit.model.name!r} (method {fit.method!r}) has no chi-square of its own to compare.",
                hint="Compare fits by method='sem', of all groups together, or by method='linked', within='pooled'.",
            )
        if fit.traits.ordinal:
            raise EstimationError(
                f"{name!r} is a fit by {fit.estimator!r}, whose chi-squares have no such difference.",
                hint="Compare fits by estimator='MLR'.",
            )
    first = every[0][1]
    for name, fit in every[1:]:
        _refuse_other_rows(first, fit, name)


def _refuse_other_rows(first: Fit, fit: Fit, name: str) -> None:
    def differ(what: str, one: object, other: object) -> RoxError:
        return RoxError(
            f"The fits differ in {what}: {one} and {other} ({name!r}).", hint="Compare fits of the same rows and items."
        )

    items, others = ({item.name: i for i, item in enumerate(f.model.items)} for f in (first, fit))
    if set(items) != set(others):
        raise differ("items", listed(sorted(set(items) - set(others))), listed(sorted(set(others) - set(items))))
    if first.method != fit.method:
        raise differ("method", repr(first.method), repr(fit.method))
    if first.traits.levels == "predicted":
        if first.population.units != fit.population.units:
            raise differ("units", f"{first.population.n} units", f"{fit.population.n} units, or other ones")
        _refuse_other_data(first, fit, [others[item] for item in items], (differ, _ALIKE))
        return
    if first.estimator != fit.estimator:
        raise differ("estimator", repr(first.estimator), repr(fit.estimator))
    if {g.name for g in first.groups} != {g.name for g in fit.groups}:
        raise differ("groups", listed(g.name for g in first.groups), listed(g.name for g in fit.groups))
    if first.errors != fit.errors and _scaled(first) != _scaled(fit):
        raise differ("errors", repr(first.errors), repr(fit.errors))
    if first.population.n != fit.population.n:
        raise differ("rows", f"n = {first.population.n}", f"n = {fit.population.n}")
    if bool(first.table.of("intercept")) != bool(fit.table.of("intercept")):
        raise RoxError(
            "One of the fits models means and the other does not, so their AIC do not compare.",
            hint="Say means=True in all of them.",
        )
    _refuse_other_data(first, fit, [others[item] for item in items], (differ, _SAME))


def _refuse_other_data(
    first: Fit, fit: Fit, order: Sequence[int], rule: tuple[Callable[[str, object, object], RoxError], float]
) -> None:
    """Refuse fits whose saturated covariances are not the same."""
    differ, most = rule
    own = {group.name: group.covariance for group in fit.groups}
    for group in first.groups:
        sd = np.sqrt(np.diag(group.covariance))
        gap = np.abs(group.covariance - own[group.name][np.ix_(order, order)]) / np.outer(sd, sd)
        if gap.max() > most:
            raise differ("data", "their covariances", f"by up to {gap.max():.3g} of a variance")
