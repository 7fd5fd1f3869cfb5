"""Direct, indirect and total effects: every serial path, with intervals.

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

from roxmodel.errors import RoxError, did_you_mean
from roxmodel.records import LINEAR
from roxmodel.result.draws import bca_interval, delta_se, spread_of, wald
from roxmodel.result.response import Caps, Push, travel
from roxmodel.result.system import System, total_effects
from roxmodel.spec.causal import within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EffectRow", "curved_effects", "curved_on", "effects_frame", "linear_effects", "paths_between"]

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
    return EffectRow(
        kind="direct" if len(steps) == 1 else "indirect",
        path=" -> ".join(path),
        estimate=float(np.prod([c[0] for c in at])),
        draws=np.asarray(np.prod(drawn, axis=0)),
        gradient=gradient,
        df=min((d for d in known if not np.isnan(d)), default=np.inf),
    )


def _sum_row(rows: Sequence[EffectRow]) -> EffectRow:
    return EffectRow(
        kind="indirect",
        path="all",
        estimate=sum(row.estimate for row in rows),
        draws=np.sum([row.draws for row in rows], axis=0),
        gradient=np.sum([row.gradient for row in rows if row.gradient is not None], axis=0),
        df=min(row.df for row in rows),
    )


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
        spread = spread_of(np.stack([row.draws for row in rows], axis=1))
        se, low, high, p = spread.se, spread.low, spread.high, spread.p
        if influence is not None:
            draws = np.stack([row.draws for row in rows], axis=1)
            slopes = np.stack([np.zeros(influence.shape[1]) if r.gradient is None else r.gradient for r in rows])
            low, high = bca_interval(draws, estimate, influence @ slopes.T)
    else:
        none = np.zeros(len(vcov))
        se = delta_se(np.stack([none if row.gradient is None else row.gradient for row in rows]), vcov)
        low, high, p = wald(estimate, se, np.array([row.df for row in rows]))
    kinds, paths = [row.kind for row in rows], [row.path for row in rows]
    columns = (kinds, paths, estimate, se, low, high, p, estimate * scale)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
