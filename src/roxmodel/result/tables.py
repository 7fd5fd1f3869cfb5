"""A fit as tables and as a diagram: edges, parameters, effects.

What would overturn an edge: how strong an unmeasured cause would have to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import EstimationError, RoxError
from roxmodel.plots.diagram import Arrow, Diagram
from roxmodel.records import LINEAR
from roxmodel.result.draws import bca_interval
from roxmodel.result.effects import curved_effects, curved_on, effects_frame, linear_effects, paths_between
from roxmodel.result.fitted import Fitted
from roxmodel.result.groups import group_fields
from roxmodel.result.levels import complete_levels
from roxmodel.spec.causal import model_nodes
from roxmodel.types import FloatArray, Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "edge_table",
    "effect_table",
    "fit_diagram",
    "implied_sd",
    "parameter_frame",
    "robustness_value",
    "within_table",
]


def robustness_value(partial_r2: FloatArray) -> FloatArray:
    """How strong an unmeasured cause must be to bring an edge to zero, 0-1, from its partial R²; NaN gives NaN.

    The share of residual variance that it must explain, in the cause and in the effect alike: with f² = R² / (1 - R²),
    RV = (√(f⁴ + 4f²) - f²) / 2. It is about the estimate, so R² is that of least squares whatever the standard
    errors are (robust or clustered t values would mix in how the estimate varies). Cinelli & Hazlett (2020), doi
    10.1111/rssb.12348.

    >>> t, df = 4.18, 783
    >>> float(robustness_value(np.array([t**2 / (t**2 + df)])).round(3)[0])
    0.139
    """
    known = (partial_r2 >= 0) & (partial_r2 < 1)
    share = np.where(known, partial_r2, 0.0)
    f2 = share / (1.0 - share)
    # f2 -> infinity makes the difference of two large numbers; this form does not cancel.
    value = 2 * f2 / (np.sqrt(f2**2 + 4 * f2) + f2 + np.where(f2 > 0, 0.0, 1.0))
    return np.where(known, value, np.nan)


_NUMBERS = ("estimate", "se", "z", "p", "ci_low", "ci_high", "standardized")


_ARRAYS = ("value", "se", "statistic", "p", "low", "high", "standardized")


def parameter_frame(fit: Fitted, interval: str | None = None) -> pd.DataFrame:
    """See `Fit.parameters`."""
    if interval not in {None, "percentile", "bca"}:
        raise RoxError(f"interval= was {interval!r}.", allowed="None, 'percentile' or 'bca'")
    if interval == "percentile" and fit.resampling is None:
        raise EstimationError("interval='percentile' needs a bootstrap.", hint="Fit with bootstrap=5000, seed=1.")
    import pandas as pd

    first = ("id", "kind", "left", "right", "group", "free")
    columns = {name: [getattr(row, name) for row in fit.table] for name in first}
    columns |= {name: getattr(fit.estimates, array) for name, array in zip(_NUMBERS, _ARRAYS, strict=True)}
    columns |= {name: [getattr(row, name) for row in fit.table] for name in ("label", "note")}
    found = pd.DataFrame(columns)
    if interval == "bca" and fit.resampling is not None:
        low, high = bca_interval(fit.resampling.values, fit.theta, _influence(fit))
        at = [i for i, row in enumerate(fit.table) if row.free]
        places = [row.free - 1 for row in fit.table if row.free]
        found.loc[at, "ci_low"], found.loc[at, "ci_high"] = low[places], high[places]
    elif interval == "bca":
        _influence(fit)
    return found


def edge_table(fit: Fitted) -> pd.DataFrame:
    """See `Fit.edges`."""
    import pandas as pd

    rows = fit.table.of("edge")
    at = [place for place, row in enumerate(fit.table) if row.kind == "edge"]
    equations = {equation.effect: equation for equation in fit.equations}
    known = [None if row.lag else equations.get(row.right) for row in rows]
    sizes = {group.name: round(group.n) for group in fit.groups} if len(fit.groups) > 1 else {}
    n = np.array(
        [sizes.get(row.group, equation.n) if equation else 0 for row, equation in zip(rows, known, strict=True)],
        dtype=np.int64,
    )
    columns: dict[str, object] = {"cause": [row.left for row in rows], "effect": [row.right for row in rows]}
    columns |= {name: getattr(fit.estimates, array)[at] for name, array in zip(_NUMBERS, _ARRAYS, strict=True)}
    columns |= {
        "level": fit.level,
        "n": n,
        "n_units": n if fit.level == "between" else np.nan,
        "method": fit.method,
        "df": fit.estimates.df[at],
        "family": [equation.family if equation else LINEAR for equation in known],
        "robustness_value": robustness_value(fit.estimates.partial_r2[at]),
        "status": [row.note or "estimated" for row in rows],
    }
    if sizes:
        columns["group"] = [row.group for row in rows]
    return pd.DataFrame(columns, index=range(len(rows)))


def within_table(fit: Fitted) -> pd.DataFrame:
    """Edges among the answers of people of one unit, columns as in `Fit.edges`; see there."""
    import pandas as pd

    rows = fit.within_edges
    names = ("cause", "effect", "estimate", "se", "p", "low", "high", "standardized", "n", "n_units", "source")
    found = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names})
    found = found.rename(columns={"low": "ci_low", "high": "ci_high"})
    found["z"] = found["estimate"] / found["se"]
    found = found.assign(level="within", method=fit.method, df=np.inf, family=LINEAR, robustness_value=np.nan)
    found["status"] = "estimated"
    order = ["cause", "effect", *_NUMBERS, "level", "n", "n_units", "method", "df", "family"]
    return found[[*order, "robustness_value", "status", "source"]]


def implied_sd(fit: Fitted) -> FloatArray:
    """(k,) model-implied standard deviations, as `standardized` uses them; NaN downstream of a curved equation."""
    from roxmodel.result.derived import construct_sd

    return construct_sd(fit.model, fit.table, fit.theta, fit.families, fit.population.covariance)


def effect_table(fit: Fitted, cause: str, effect: str, interval: Interval | None) -> pd.DataFrame:
    """See `Fit.effects`."""
    if interval not in {None, "delta", "draws", "bca"}:
        raise RoxError(f"interval= was {interval!r}.", allowed="'delta', 'draws' or 'bca'")
    if len(fit.groups) > 1:
        import pandas as pd

        parts = {group.name: Fitted(**group_fields(fit, group.name)) for group in fit.groups}
        tables = [effect_table(one, cause, effect, interval).assign(group=name) for name, one in parts.items()]
        return pd.concat(tables, ignore_index=True)
    paths, at = paths_between(fit.model, cause, effect), fit.system()
    curved = curved_on(paths, at)
    influence = _influence(fit) if interval == "bca" else None
    if interval in {"delta", "bca"} and curved:
        raise RoxError(
            f"The equation of {curved[0]!r} is curved, so interval={interval!r} does not apply to effects through it.",
            hint="Use interval='draws'.",
        )
    mixed = interval is None and fit.resampling is None and not curved and fit.traits.skewed
    delta = interval == "delta" or (interval is None and fit.resampling is None and not curved and not mixed)
    drawn = fit.system(fit.theta[None, :][:0] if delta else fit.effect_draws(bool(curved)))
    if curved:
        rows = curved_effects(paths, (at, drawn), (cause, effect), complete_levels(fit))
    else:
        rows = linear_effects(paths, fit.table, (at, drawn), (cause, effect), fit.estimates.df)
    sd = dict(zip(fit.model.names, implied_sd(fit), strict=True))
    scale = sd[cause] / sd[effect]
    if mixed:
        return _products_by_draws(effects_frame(rows, fit.vcov, scale), effects_frame(rows, None, scale))
    return effects_frame(rows, fit.vcov if delta else None, scale, influence)


def _products_by_draws(delta: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Direct effects by their standard error, products of several edges by draws: these are skewed with few units."""
    single = len(delta) == 3 and delta["kind"].iloc[0] == "direct"  # nothing but the one edge
    products = np.zeros(len(delta), dtype=bool) if single else (delta["kind"] != "direct").to_numpy()
    for column in ("se", "ci_low", "ci_high", "p"):
        delta[column] = np.where(products, drawn[column], delta[column])
    return delta


def _influence(fit: Fitted) -> FloatArray:
    """(m, n_free) influence of the resampled rows, for accelerated intervals."""
    if fit.resampling is None:
        raise EstimationError("interval='bca' needs a bootstrap.", hint="Fit with bootstrap=5000, seed=1.")
    if fit.resampling.influence is None:
        raise EstimationError(
            "This fit does not hold the influence of its rows, which interval='bca' needs: it was loaded, weighted, "
            "very large, or is not by maximum likelihood.",
            hint="Use interval='draws' (percentiles).",
        )
    return fit.resampling.influence


def fit_diagram(fit: Fitted) -> Diagram:
    """What the path diagram of a fit of one group shows."""
    fit.require_one_group("estimates")
    names = set(fit.model.names)
    rows = [(row, i) for i, row in enumerate(fit.table.rows)]
    estimates = fit.estimates
    edges = [
        Arrow(
            cause=row.left,
            effect=row.right,
            estimate=float(estimates.value[i]),
            low=_known(estimates.low[i]),
            high=_known(estimates.high[i]),
            standardized=_known(estimates.standardized[i]),
            lag=row.lag,
            assumed=not row.free,
        )
        for row, i in rows
        if row.kind == "edge"
    ]
    stated = {frozenset((c.left, c.right)) for c in fit.model.covariances}
    pairs = [
        Arrow(cause=row.left, effect=row.right, estimate=_known(estimates.standardized[i]), kind="covariance")
        for row, i in rows
        if row.kind == "covariance" and {row.left, row.right} <= names and frozenset((row.left, row.right)) in stated
    ]
    units = fit.population.n_units
    whom = f"{units} units" if units is not None else f"n = {fit.population.n}"
    failed = "".join(f" NOT {name}: see fit.checks()." for name, verdict in fit.verdicts.items() if not verdict.ok)
    caption = f"Method {fit.method}, level {fit.level}, {whom}.{failed}"
    return Diagram(nodes=model_nodes(fit.model), arrows=(*edges, *pairs), title=fit.model.name, caption=caption)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
