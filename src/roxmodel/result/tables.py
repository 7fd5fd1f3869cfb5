"""A fit as tables and as a diagram: edges and what would overturn one, parameters, effects along every serial path.

Linear graphs: products of coefficients and (I - B)⁻¹, intervals by the delta method or from draws. With a curved
equation (yes/no, counts): the average change of the effect, over the units, for one more point of the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from roxmodel.doubts import doubt_words
from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.plots.diagram import Arrow, Diagram
from roxmodel.records import LINEAR
from roxmodel.result.derived import construct_sd
from roxmodel.result.draws import bca_interval, delta_se, spread_of, wald
from roxmodel.result.fitted import Fitted
from roxmodel.result.groups import group_fields
from roxmodel.result.levels import complete_levels
from roxmodel.result.response import Caps, Push, travel
from roxmodel.result.system import System, total_effects
from roxmodel.spec.causal import model_nodes, within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray, Interval

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EffectRow", "curved_effects", "curved_on", "edge_table", "effect_table", "effects_frame", "fit_diagram",
    "linear_effects", "parameter_frame", "paths_between", "robustness_value", "within_table",
]  # fmt: skip


COLUMNS = ["kind", "path", "estimate", "se", "ci_low", "ci_high", "p", "standardized"]
_MOST_PATHS = 2_000
_CELLS = 1 << 20  # draws times units of one array


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One effect: its kind, its path, and its value at the estimate and in every draw.

    `gradient` is the derivative by theta, (n_free,); None where there is none. `df` is that of the weakest equation
    on the way.
    """

    kind: str
    path: str
    estimate: float
    draws: FloatArray
    gradient: FloatArray | None
    df: float


def paths_between(model: RoxModel, cause: str, effect: str) -> list[tuple[str, ...]]:
    """Every serial path from cause to effect within the wave, shortest first; unknown or equal names are refused."""
    for name in (cause, effect):
        if name not in model.names:
            raise RoxError(f"There is no construct {name!r}.", hint=did_you_mean(name, model.names))
    if cause == effect:
        raise RoxError(f"The effect of {cause!r} on itself was asked for.", hint="Name two constructs.")
    graph = within_wave(model.edges, model.names)
    # Only what lies between the two: a walk into the rest of a large graph would take for ever.
    graph = graph.subgraph({cause, *nx.descendants(graph, cause)} & {effect, *nx.ancestors(graph, effect)})
    if cause not in graph or effect not in graph:
        return []
    found: list[tuple[str, ...]] = []
    for path in nx.all_simple_paths(graph, cause, effect):
        found.append(tuple(path))
        if len(found) > _MOST_PATHS:
            raise RoxError(
                f"More than {_MOST_PATHS} paths lead from {cause!r} to {effect!r}.",
                hint="Ask for the effects of a construct nearer to the outcome.",
            )
    return sorted(found, key=lambda path: (len(path), path))


def curved_on(paths: Sequence[tuple[str, ...]], system: System) -> list[str]:
    """Constructs on the paths, the cause left out, whose equation is curved."""
    family = dict(zip(system.names, system.families, strict=True))
    met = dict.fromkeys(name for path in paths for name in path[1:])
    return [name for name in met if family[name] != LINEAR]


def linear_effects(
    paths: Sequence[tuple[str, ...]],
    table: ParameterTable,
    systems: tuple[System, System],
    ends: tuple[str, str],
    df: FloatArray,
) -> list[EffectRow]:
    """Effects where every equation on the way is linear; `systems` at the estimate (one draw) and at the draws.

    Around a feedback loop there are endlessly many ways: then the direct effect and the total one, at equilibrium.
    """
    edges = {(row.left, row.right): row for row in table if row.kind == "edge" and not row.lag}
    freedom = {row.id: float(value) for row, value in zip(table, df, strict=True)}
    rows = [_path_row(path, edges, systems, table.n_free, freedom) for path in paths]
    indirect = [row for row in rows if row.kind == "indirect"]
    none = EffectRow("indirect", "all", 0.0, np.zeros(len(systems[1].coefficients)), np.zeros(table.n_free), np.inf)
    total = _total_row(systems, ends, edges, table.n_free, min((r.df for r in rows), default=np.inf))
    met = {systems[0].names.index(name) for path in paths for name in path}
    if any(met & set(loop) for loop in systems[0].loops):
        return [*(row for row in rows if row.kind == "direct"), total]
    return [*rows, _sum_row(indirect) if indirect else none, total]


def _path_row(
    path: tuple[str, ...],
    edges: dict[tuple[str, str], Parameter],
    systems: tuple[System, System],
    n_free: int,
    freedom: dict[str, float],
) -> EffectRow:
    steps = list(pairwise(path))
    place = {name: i for i, name in enumerate(systems[0].names)}
    at, drawn = ([s.coefficients[:, place[b], place[a]] for a, b in steps] for s in systems)
    gradient = np.zeros(n_free)
    for i, step in enumerate(steps):
        if edges[step].free:
            others = [float(c[0]) for j, c in enumerate(at) if j != i]
            gradient[edges[step].free - 1] += float(np.prod(others))
    known = [freedom[edges[step].id] for step in steps]
    kind, df = "direct" if len(steps) == 1 else "indirect", min((d for d in known if not np.isnan(d)), default=np.inf)
    estimate, draws = float(np.prod([c[0] for c in at])), np.asarray(np.prod(drawn, axis=0))
    return EffectRow(kind, " -> ".join(path), estimate, draws, gradient, df)


def _sum_row(rows: Sequence[EffectRow]) -> EffectRow:
    draws, df = np.sum([row.draws for row in rows], axis=0), min(row.df for row in rows)
    gradient = np.sum([row.gradient for row in rows if row.gradient is not None], axis=0)
    return EffectRow("indirect", "all", sum(row.estimate for row in rows), draws, gradient, df)


def _total_row(
    systems: tuple[System, System],
    ends: tuple[str, str],
    edges: dict[tuple[str, str], Parameter],
    n_free: int,
    df: float,
) -> EffectRow:
    """dT[b, a] / dB[i, j] = T[b, i] · T[j, a] with T = (I - B)⁻¹."""
    place = {name: i for i, name in enumerate(systems[0].names)}
    a, b = place[ends[0]], place[ends[1]]
    total = total_effects(systems[0].coefficients)[0]
    gradient = np.zeros(n_free)
    for (cause, effect), row in edges.items():
        if row.free:
            gradient[row.free - 1] += total[b, place[effect]] * total[place[cause], a]
    drawn = total_effects(systems[1].coefficients)[:, b, a] if len(systems[1].coefficients) else np.zeros(0)
    return EffectRow("total", "all", float(total[b, a]), drawn, gradient, df)


def curved_effects(
    paths: Sequence[tuple[str, ...]], systems: tuple[System, System], ends: tuple[str, str], levels: FloatArray
) -> list[EffectRow]:
    """Average change of the effect for one more point of the cause over `levels` (units, k), an equation being curved.

    A path's row lets the change run along this path only; because the equations are curved, the rows of the paths
    need not add up to the total.
    """
    cause, effect = (systems[0].names.index(name) for name in ends)
    k = len(systems[0].names)
    free = Caps(levels, np.full(k, -np.inf), np.full(k, np.inf))
    size = max(1, _CELLS // len(levels))

    def change(system: System) -> FloatArray:
        push = Push({cause: np.ones(1)}, {}, {})
        parts = [system.only(slice(start, start + size)) for start in range(0, len(system.coefficients), size)]
        means = [travel(part, push, free).changes[effect].mean(axis=1) for part in parts]
        return np.concatenate(means) if means else np.zeros(0)

    def row(kind: str, path: str, keep: Sequence[tuple[str, ...]] | None) -> EffectRow:
        at, drawn = (change(s if keep is None else _only(s, keep)) for s in systems)
        return EffectRow(kind, path, float(at[0]), drawn, None, np.inf)

    rows = [row("direct" if len(p) == 2 else "indirect", " -> ".join(p), [p]) for p in paths]
    indirect = [p for p in paths if len(p) > 2]
    return [*rows, row("indirect", "all", indirect), row("total", "all", None)]


def _only(system: System, paths: Sequence[tuple[str, ...]]) -> System:
    """The same system, in which change runs along these paths only."""
    place = {name: i for i, name in enumerate(system.names)}
    carries = np.zeros(system.coefficients.shape[1:], dtype=bool)
    for path in paths:
        for a, b in pairwise(path):
            carries[place[b], place[a]] = True
    return replace(system, carries=carries)


def effects_frame(
    rows: Sequence[EffectRow], vcov: FloatArray | None, scale: float, influence: FloatArray | None = None
) -> pd.DataFrame:
    """Put effects into a table; standardised by `scale`, the standard deviation of the cause over that of the effect.

    Without `vcov`, for the delta method, errors and percentiles are those of the draws; with `influence` (m, n_free) of
    resampled rows the intervals are accelerated.
    """
    import pandas as pd

    estimate = np.array([row.estimate for row in rows])
    if vcov is None:
        draws = np.stack([row.draws for row in rows], axis=1)
        se, low, high, p = spread_of(draws)
        if influence is not None:
            slopes = np.stack([np.zeros(influence.shape[1]) if r.gradient is None else r.gradient for r in rows])
            low, high = bca_interval(draws, estimate, influence @ slopes.T)
    else:
        none = np.zeros(len(vcov))
        se = delta_se(np.stack([none if row.gradient is None else row.gradient for row in rows]), vcov)
        low, high, p = wald(estimate, se, np.array([row.df for row in rows]))
    kinds, paths = [row.kind for row in rows], [row.path for row in rows]
    columns = (kinds, paths, estimate, se, low, high, p, estimate * scale)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


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
    columns["doubt"] = [", ".join(fit.checks_on(row.left, row.right)) for row in rows]
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
    spreads = construct_sd(fit.model, fit.table, fit.theta, fit.families, fit.population.covariance)
    sd = dict(zip(fit.model.names, spreads, strict=True))
    scale = sd[cause] / sd[effect]
    if mixed:
        found = _products_by_draws(effects_frame(rows, fit.vcov, scale), effects_frame(rows, None, scale))
    else:
        found = effects_frame(rows, fit.vcov if delta else None, scale, influence)
    return _known_only(fit, (cause, effect), found)


def _known_only(fit: Fitted, ends: tuple[str, str], found: pd.DataFrame) -> pd.DataFrame:
    """The table without errors and intervals of what runs along an edge of which the data say nothing."""
    lost = {f"{a} -> {b}" for a, b in fit.without_information}
    if not lost or ends[1] not in fit.unknown_after([ends[0]]):
        return found
    steps = [[" -> ".join(pair) for pair in pairwise(path.split(" -> "))] for path in found["path"]]
    gone = [path == "all" or bool(lost & set(own)) for path, own in zip(found["path"], steps, strict=True)]
    found.loc[gone, ["se", "ci_low", "ci_high", "p", "standardized"]] = np.nan
    return found


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
            doubtful=bool(fit.checks_on(row.left, row.right)),
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
    arrows, warning = (*edges, *pairs), doubt_words(fit.doubts)
    return Diagram(model_nodes(fit.model), arrows, title=fit.model.name, caption=caption, warning=warning)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
