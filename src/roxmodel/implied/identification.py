"""Whether the model can be estimated at all, before any data: no parameters may be traded against each other."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from roxmodel.errors import EstimationError, listed
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import implied, moment_jacobian
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import FloatArray, IntArray

__all__ = ["flat_direction", "involved", "name_parameters", "require_identified", "somewhere"]

_RANK = 1e-13  # smallest eigenvalue of the scaled cross-products of the Jacobian that still counts
_TRIES = 3
_PART = 0.1  # share of the largest entry from which a parameter takes part in a direction


def require_identified(
    model: RoxModel,
    table: ParameterTable,
    layouts: Sequence[Layout],
    start: tuple[FloatArray, FloatArray],
    picked: tuple[IntArray, IntArray] | None = None,
) -> None:
    """Refuse a model whose parameters the moments cannot determine, at points chosen at random around the start.

    Parameters
    ----------
    model, table, layouts
        What is estimated.
    start
        Starting values and sizes of the parameters.
    picked
        Rows and columns of the covariances that are known, where not all are (ordinal items); thresholds and means
        are then free for each item.

    Raises
    ------
    EstimationError
        Naming the parameters that can be traded, their constructs, and the remedy.

    References
    ----------
    Wald (1950), in Statistical inference in dynamic economic models, 238-244 (local rank); Bekker, Merckens &
    Wansbeek (1994), Identification, equivalent models, and computer algebra.
    """
    if not table.n_free:
        return
    rng = np.random.default_rng(20_061)
    flat = np.zeros(0)
    for _ in range(_TRIES):
        found = flat_direction(table, layouts, (somewhere(start, rng), start[1]), None if picked is None else [picked])
        if found is None:
            return
        flat = found[0]
    rows = involved(table, flat)
    constructs = _constructs_of(model, rows)
    raise EstimationError(
        f"The model is not identified: {_traded(rows)} (construct {listed(constructs)}).",
        hint=_remedy(model, table, rows, constructs),
    )


def _traded(rows: Sequence[Parameter]) -> str:
    if len(rows) == 1:
        return f"{name_parameters(rows)} can take any value without any change in the implied moments"
    return f"{name_parameters(rows)} can be traded against each other without any change in the implied moments"


def somewhere(start: tuple[FloatArray, FloatArray], rng: np.random.Generator) -> FloatArray:
    """A generic point near the start: no parameter is 0 for its size, no two are equal by chance."""
    values, sizes = start
    point = values * rng.uniform(0.7, 1.3, len(values))
    small = np.abs(point) < 0.02 * sizes
    return np.asarray(np.where(small, sizes * rng.uniform(0.05, 0.2, len(values)), point))


def flat_direction(
    table: ParameterTable,
    layouts: Sequence[Layout],
    where: tuple[FloatArray, FloatArray],
    picked: Sequence[tuple[IntArray, IntArray]] | None,
) -> tuple[FloatArray, FloatArray] | None:
    """(n_free,) a direction that changes no moment, by parameters of unit length, and in their own units; or None.

    `where` is a point, and the size that each parameter may have: units of measurement must not decide. `picked` are
    rows and columns of the covariances that are known, for each layout; None = all.
    """
    point, sizes = where
    products = np.zeros((len(point),) * 2)
    for place, layout in enumerate(layouts):
        by_sigma, by_mu = moment_jacobian(layout, implied(layout, point))
        at = np.tril_indices(len(by_mu)) if picked is None else picked[place]
        rows = np.vstack([by_sigma[at], by_mu]) @ layout.link * sizes
        products += rows.T @ rows
    for row in table.of("threshold"):
        products[row.free - 1, row.free - 1] = 1.0
    scale = np.sqrt(np.diag(products))
    silent = np.flatnonzero(~(scale > 1e-12))
    if len(silent):
        found = np.zeros(len(point))
        found[silent[0]] = 1.0
        return found, found * sizes
    scaled = products / np.outer(scale, scale)
    try:
        if np.diag(np.linalg.cholesky(scaled)).min() ** 2 > 1e-9:  # clearly of full rank: no eigenvalues needed
            return None
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    if not values[0] < _RANK * values[-1] * len(point):
        return None
    return vectors[:, 0], vectors[:, 0] / scale * sizes


def involved(table: ParameterTable, flat: FloatArray) -> list[Parameter]:
    """The parameters that a direction moves."""
    part = np.abs(flat) > _PART * np.abs(flat).max()
    seen: set[int] = set()
    rows = []
    for row in table:
        if row.free and part[row.free - 1] and row.free not in seen:
            seen.add(row.free)
            rows.append(row)
    return rows


def name_parameters(rows: Sequence[Parameter], most: int = 6) -> str:
    """Parameters in words."""
    words = {"loading": "=~", "edge": "->", "covariance": "<->"}
    names = [
        (f"{row.left} {words[row.kind]} {row.right}" if row.kind in words else f"the {row.kind} of {row.left}")
        + (f" ({row.group})" if row.group else "")
        for row in rows
    ]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _constructs_of(model: RoxModel, rows: Sequence[Parameter]) -> list[str]:
    owner = {item: c.name for c in model.constructs for item in c.item_names}
    found: dict[str, None] = {}
    for row in rows:
        for name in (row.left, row.right):
            found[name if name in model.names else owner.get(name, name)] = None
    return list(found)


def _remedy(model: RoxModel, table: ParameterTable, rows: Sequence[Parameter], constructs: Sequence[str]) -> str:
    loose = [name for name in constructs if _without_unit(table, name)]
    if loose:
        first = model.find(loose[0]).items[0].name
        return (
            f"Nothing gives {loose[0]!r} a unit, since the loading of its first item is estimated: make {first!r} the "
            f"marker (rox.Item(name={first!r}, ..., free=False), in lavaan text no NA), or fix the variance of "
            f"{loose[0]!r} (rox.Covariance(left={loose[0]!r}, right={loose[0]!r}, fixed=1))."
        )
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((edge.cause, edge.effect) for edge in model.edges if edge.lag == 0)
    loops = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    for loop in loops:
        if loop & set(constructs):
            apart = any(len({pair.left, pair.right} & loop) == 2 for pair in model.covariances)
            return (
                f"{listed(sorted(loop))} cause each other: give each an instrument of its own, a cause that acts on "
                f"it and not on the other{', and leave out the <-> between them' if apart else ''}."
            )
    few = [name for name in constructs if name in model.names and 1 < len(model.find(name).items) < 3]
    if few:
        linked = [name for name in few if name in graph]
        if linked != few:
            lonely = next(name for name in few if name not in graph)
            return (
                f"{lonely!r} has {len(model.find(lonely).items)} items and no edge: give it a third item, "
                "rox.Construct(..., residuals='equal') with equal loadings, or an edge."
            )
    single = [name for name in constructs if name in model.names and len(model.find(name).items) == 1]
    if single and any(row.kind == "variance" for row in rows):
        item = model.find(single[0]).items[0].name
        return (
            f"{single[0]!r} has one item: fix its residual variance (rox.Covariance(left={item!r}, right={item!r}, "
            "fixed=...)), or leave it out and state its reliability=."
        )
    joined = [f"{row.left} <-> {row.right}" for row in rows if row.kind == "covariance" and _stated(model, row)]
    if joined:
        return (
            f"Fix one of them or leave it out ({', '.join(joined)}), and another until all can be told, or add items."
        )
    return "Fix one of them (rox.Edge(fixed=...), rox.Item(loading=...)), label two of them equal, or add items."


def _without_unit(table: ParameterTable, name: str) -> bool:
    """Whether all loadings and the variance of a construct are free."""
    loadings = [row for row in table.of("loading") if row.left == name]
    variance = [row for row in table.of("variance") if row.left == name]
    return bool(loadings) and all(row.free for row in (*loadings, *variance))


def _stated(model: RoxModel, row: Parameter) -> bool:
    return any({pair.left, pair.right} == {row.left, row.right} for pair in model.covariances)
