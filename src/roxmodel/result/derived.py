"""What follows from parameters: standardised values (by model-implied deviations), definitions, with their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from roxmodel.implied.matrices import DISTURBANCES, LOADINGS, RESIDUALS, Layout, conditioned, filled, implied, place_of
from roxmodel.records import LINEAR, Measure
from roxmodel.result.draws import Draws, delta_se, slopes_of, spread_of, wald
from roxmodel.result.latent import covariates_in, latent_groups
from roxmodel.result.system import implied_covariance, system_of
from roxmodel.spec.constructs import Construct
from roxmodel.spec.definitions import evaluate, in_order, names_in
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, residual_of
from roxmodel.types import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = [
    "Known", "Spreads", "bartlett_measure", "construct_sd", "define", "disturbances", "measure_of",
    "standardized_draws", "standardized_table", "standardized_values", "summary_of", "told", "unknown_definitions",
]  # fmt: skip


def measure_of(construct: Construct, within: FloatArray, weights: FloatArray | None = None) -> Measure:
    """How answers become the score of one construct: their (weighted) mean; `within` is their covariance in a unit."""
    q = len(construct.items)
    signs, offsets = (np.array([item.reading[place] for item in construct.items]) for place in (0, 1))
    return Measure(
        name=construct.name,
        factor=construct.factor,
        source=construct.source,
        items=construct.item_names,
        weights=np.full(q, 1.0 / q) if weights is None else weights,
        signs=signs,
        offsets=offsets,
        lows=tuple(item.ends[0] for item in construct.items),
        highs=tuple(item.ends[1] for item in construct.items),
        codes=tuple({} if item.scale is None else dict(item.scale.codes) for item in construct.items),
        within=within,
    )


def bartlett_measure(
    construct: Construct, own: tuple[FloatArray, FloatArray, FloatArray], least: float, within: FloatArray | None = None
) -> Measure:
    """Bartlett's score from a construct's own items: their loadings λ, variances θ and means, (q,) each.

    ``score = Σ w (mean of the first item + λ₁ (answer - mean of the item) / λ)``, in points of the first item, w
    proportional to λ² / θ; where an error is `least` or less the item says it all. Bartlett (1937), doi
    10.1111/j.2044-8295.1937.tb00863.x.
    """
    lam, unique, mean = own
    usable = np.abs(lam) > 1e-8 * np.abs(lam).max()
    ratio = np.where(usable, (lam[0] if usable[0] else 1.0) / np.where(usable, lam, 1.0), 0.0)
    errors = np.where(usable, unique * ratio**2, np.inf)
    exact = errors <= least
    precision = exact.astype(float) if exact.any() else 1.0 / errors
    nothing = np.full((len(lam), len(lam)), np.nan)
    plain = measure_of(construct, nothing if within is None else within, precision / precision.sum())
    offsets = mean[0] + ratio * (plain.offsets - mean)
    return replace(plain, signs=plain.signs * ratio, offsets=offsets, errors=errors)


def disturbances(model: RoxModel, table: ParameterTable, theta: FloatArray, sample: FloatArray) -> FloatArray:
    """Ψ, (draws, k, k), of exogenous constructs and disturbances; `sample` (k, k) where the data give it."""
    place = {name: i for i, name in enumerate(model.names)}
    psi = np.zeros((len(theta), len(place), len(place)))
    for row in table:
        if row.kind in {"variance", "covariance"} and row.left in place and row.right in place:
            if residual_of(row, place):
                continue  # of an item that bears its construct's name
            a, b = place[row.left], place[row.right]
            given = sample[a, b] if row.value is None else row.value
            psi[:, a, b] = psi[:, b, a] = theta[:, row.free - 1] if row.free else given
    return psi


def construct_sd(
    model: RoxModel, table: ParameterTable, theta: FloatArray, families: tuple[str, ...], sample: FloatArray
) -> FloatArray:
    """(k,) model-implied standard deviations of the constructs; NaN at and after a curved equation."""
    system = system_of(model, table, theta[None, :], families)
    psi = disturbances(model, table, theta[None, :], sample)
    variance = np.diag(implied_covariance(system.coefficients, psi)[0])
    sd = np.where(variance > 0, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    curved = np.array([family != LINEAR for family in families])
    for place in system.order:
        if (system.coefficients[0, place, curved] != 0).any():
            curved[place] = True
    return np.asarray(np.where(curved, np.nan, sd))


@dataclass(frozen=True, slots=True)
class Spreads:
    """What the values of one group are standardised by; numbers, or arrays with one number a draw.

    `item` and `construct` are standard deviations by name, `own` the variances as they stand in the model, by whether
    they are an item's residual and whose they are.
    """

    item: Mapping[str, Any]
    construct: Mapping[str, Any]
    own: Mapping[tuple[bool, str], Any]

    @classmethod
    def of(cls, layout: Layout, sd: tuple[FloatArray, FloatArray], own: tuple[FloatArray, FloatArray]) -> Spreads:
        """From arrays over items and over constructs, their last axis."""
        names = (layout.items, layout.constructs)
        item, construct = (dict(zip(n, np.moveaxis(a, -1, 0), strict=True)) for n, a in zip(names, sd, strict=True))
        variances = [dict(zip(n, np.moveaxis(a, -1, 0), strict=True)) for n, a in zip(names, own, strict=True)]
        both = zip((True, False), variances, strict=True)
        return cls(item, construct, {(residual, name): v for residual, part in both for name, v in part.items()})

    def standardized(self, row: Parameter, value: Any) -> Any:
        """The value where everything has the variance 1; of a covariance where the variances beside it are 1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if row.kind == "loading":
                return value * self.construct[row.left] / self.item[row.right]
            if row.kind == "edge":
                return value * self.construct[row.left] / self.construct[row.right]
            residual = residual_of(row, self.construct)
            sd = (self.item if residual else self.construct)[row.left]
            if row.kind == "intercept":
                return value / sd
            if row.kind == "variance":
                return value / sd**2
            return value / np.sqrt(self.own[residual, row.left] * self.own[residual, row.right])


def standardized_values(model: RoxModel, table: ParameterTable, values: FloatArray, sd: FloatArray) -> FloatArray:
    """(rows,) standardised value of every row by `sd` (k,) of the constructs; NaN of definitions, lagged edges."""
    own = {(False, row.left): v for row, v in zip(table, values, strict=True) if row.kind == "variance"}
    spreads = Spreads({}, dict(zip(model.names, sd, strict=True)), own)
    known = [row.left in spreads.construct and row.right in spreads.construct and not row.lag for row in table]
    pairs = zip(table, values, known, strict=True)
    return np.array([spreads.standardized(row, value) if yes else np.nan for row, value, yes in pairs])


_SKIPPED = ("defined", "threshold")
_NAMES = ("id", "kind", "left", "right", "group")


def standardized_table(fit: Fitted) -> pd.DataFrame:
    """See `Fit.standardized`."""
    import pandas as pd

    rows = [row for row in fit.table if row.kind not in _SKIPPED and not row.lag]
    estimate = standardized_draws(fit, fit.theta[None, :])[0]
    if fit.resampling is not None:
        se, low, high, p = spread_of(standardized_draws(fit, fit.resampling.values))
    else:
        se = delta_se(slopes_of(lambda theta: standardized_draws(fit, theta), fit.theta, fit.vcov), fit.vcov, 1e-20)
        places = [i for i, row in enumerate(fit.table) if row.kind not in _SKIPPED and not row.lag]
        df = fit.estimates.df[places]
        low, high, p = wald(estimate, se, np.where(np.isnan(df), np.inf, df))
    lost = [row.kind == "edge" and (row.left, row.right) in fit.without_information for row in rows]
    estimate, se, low, high, p = (np.where(lost, np.nan, column) for column in (estimate, se, low, high, p))
    columns: dict[str, object] = {name: [getattr(row, name) for row in rows] for name in _NAMES}
    with np.errstate(invalid="ignore", divide="ignore"):
        columns |= {"estimate": estimate, "se": se, "z": estimate / se, "p": p, "ci_low": low, "ci_high": high}
    return pd.DataFrame(columns)


def standardized_draws(fit: Fitted, theta: FloatArray) -> FloatArray:
    """(draws, rows) standardised values of every row but definitions and thresholds, of a latent fit."""
    groups = {group.name: group.layout for group in latent_groups(fit)}
    columns: dict[str, FloatArray] = {}
    for name, layout in groups.items():
        rows = [r for r in fit.table if r.group == name and r.kind not in _SKIPPED and not r.lag]
        columns |= dict(zip([row.id for row in rows], _of_group(fit, layout, rows, theta), strict=True))
    kept = [row.id for row in fit.table if row.kind not in _SKIPPED and not row.lag]
    return np.stack([columns[name] for name in kept], axis=1)


def _of_group(fit: Fitted, layout: Layout, rows: list[Parameter], theta: FloatArray) -> list[FloatArray]:
    matrices = [filled(layout, theta, which) for which in range(6)]
    items, constructs = (np.sqrt(np.maximum(own, 0.0)) for own in _variances(fit, layout, theta, matrices))
    residual, disturbance = (np.diagonal(matrices[which], axis1=1, axis2=2) for which in (RESIDUALS, DISTURBANCES))
    spreads, found = Spreads.of(layout, (items, constructs), (residual, disturbance)), []
    for row in rows:
        which, i, j = place_of(row, layout.items, layout.constructs)
        value = matrices[which][:, i] if row.kind == "intercept" else matrices[which][:, i, j]
        found.append(spreads.standardized(row, value))
    return found


def _variances(
    fit: Fitted, layout: Layout, theta: FloatArray, matrices: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """(draws, p) and (draws, k) variances of items and constructs.

    What is left of an ordinal item is 1 minus what is explained (given covariates: of what these leave), so that it
    moves with the parameters, here and in the matrices.
    """
    at = implied(layout, theta)
    sigma, latent = at.sigma * np.outer(layout.scale, layout.scale), at.latent.copy()
    ordinal = {row.left for row in fit.table.of("threshold")}
    given = covariates_in(fit)
    owners = np.array([layout.base[LOADINGS][i].nonzero()[0][0] for i in given], dtype=np.int64)
    for whole, which, places in ((sigma, RESIDUALS, given), (latent, DISTURBANCES, owners)):
        own = [place for place, left in enumerate(_left(fit, layout, which, ordinal)) if left]
        if not own:
            continue
        parts = conditioned(whole, places).sigma if len(places) else whole
        rest = 1.0 - (parts[:, own, own] - matrices[which][:, own, own])
        whole[:, own, own] += rest - matrices[which][:, own, own]
        matrices[which][:, own, own] = rest
        if which == DISTURBANCES:  # the one item of such a construct varies as it does
            for place in own:
                i = layout.items.index(fit.model.constructs[place].item_names[0])
                sigma[:, i, i] = latent[:, place, place]
    return np.diagonal(sigma, axis1=1, axis2=2), np.diagonal(latent, axis1=1, axis2=2)


def _left(fit: Fitted, layout: Layout, which: int, ordinal: set[str]) -> list[bool]:
    """Which items (or constructs of one item) have what is left of 1 for their residual."""
    alone = {c.name: c.item_names[0] in ordinal for c in fit.model.constructs if len(c.items) == 1}
    if which == DISTURBANCES:
        return [alone.get(name, False) and name in fit.model.endogenous for name in layout.constructs]
    single = {c.item_names[0] for c in fit.model.constructs if len(c.items) == 1}
    return [name in ordinal and name not in single for name in layout.items]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the free parameters, (n_free,) each: their values, covariance, degrees of freedom, draws."""

    theta: FloatArray
    vcov: FloatArray
    df: FloatArray
    draws: Draws | None


def told(
    model: RoxModel, table: ParameterTable, known: Known, given: Mapping[str, float], lost: BoolArray | None = None
) -> dict[str, FloatArray]:
    """Value, error, interval and test of every row of the table, definitions among them, by their name in `Estimates`.

    `given`: id -> value of what the data give; `lost`: (n_free,) parameters that have no error.
    """
    free = np.array([row.free for row in table])
    at, places = free > 0, free[free > 0] - 1
    stated = [given.get(row.id, np.nan) if row.value is None else row.value for row in table]
    value, df, se = np.array(stated, dtype=np.float64), *(np.full(len(table), np.nan) for _ in range(2))
    own = np.sqrt(np.maximum(np.diag(known.vcov), 0.0))
    value[at], df[at] = known.theta[places], known.df[places]
    se[at] = own[places] if lost is None else np.where(lost, np.nan, own)[places]
    low, high, p = wald(value, se, df)
    if known.draws is not None:
        for column, found in zip((se, low, high, p), known.draws.spread, strict=True):
            column[at] = found[places]
    rows, defined = define(model, table, known)
    value[rows], se[rows], low[rows], high[rows], p[rows], df[rows] = defined
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(se > 0, value / se, np.nan)
    return {"value": value, "se": se, "statistic": statistic, "p": p, "low": low, "high": high, "df": df}


def unknown_definitions(model: RoxModel, table: ParameterTable) -> tuple[str, ...]:
    """Definitions that use the label of a parameter that this method does not have (a loading)."""
    if not table.of("defined"):
        return ()
    known = {row.label for row in table if row.label}
    unknown: list[str] = []
    for name in in_order(model.definitions):
        if set(names_in(name, model.definitions[name])) <= known:
            known.add(name)
        else:
            unknown.append(name)
    return tuple(name for name in model.definitions if name in unknown)


def define(model: RoxModel, table: ParameterTable, known: Known) -> tuple[list[int], FloatArray]:
    """Places in the table of the defined parameters, and (6, rows) of value, se, low, high, p, df.

    By the delta method, with the degrees of freedom of the weakest parameter in it; percentiles of draws go before.
    """
    rows = {row.left: i for i, row in enumerate(table) if row.kind == "defined"}
    unknown = unknown_definitions(model, table)
    texts = {name: text for name, text in model.definitions.items() if name not in unknown} if rows else {}
    if not texts:
        return [], np.empty((6, 0))
    fixed = {row.label: row.value or 0.0 for row in table if row.label and not row.free}
    free = {row.label: row.free - 1 for row in table if row.label and row.free}

    def at(theta: FloatArray) -> FloatArray:
        labels = {label: theta[:, place] for label, place in free.items()}
        found = evaluate(texts, labels | {k: np.full(len(theta), v) for k, v in fixed.items()})
        return np.stack([found[name] for name in texts], axis=1)

    value, slopes = at(known.theta[None, :])[0], slopes_of(at, known.theta, known.vcov)
    df = np.array([known.df[slope != 0].min(initial=np.inf) for slope in slopes])
    if known.draws is None:
        se = delta_se(slopes, known.vcov)
        low, high, p = wald(value, se, df)
        df = np.where(np.isnan(se), np.nan, df)
    else:
        se, low, high, p = spread_of(at(known.draws.values))
    return [rows[name] for name in texts], np.stack([value, se, low, high, p, df])


def summary_of(levels: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, lowest and highest level of each construct over the units where there is one; NaN where there is none.

    `levels` (units, k) is NaN where a level is not known or not to be known.
    """
    none = np.isnan(levels).all(axis=0)
    known = np.where(none, 0.0, levels)
    found = (np.nanmean(known, axis=0), np.nanmin(known, axis=0), np.nanmax(known, axis=0))
    mean, low, high = (np.where(none, np.nan, column) for column in found)
    return mean, low, high
