"""Whether the model can be estimated at all: parameters traded against each other, and items that never met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import networkx as nx
import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import EstimationError, listed
from roxmodel.implied.matrices import Layout, implied, moment_jacobian
from roxmodel.spec.causal import within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "FEWEST", "PEOPLE", "UNITS", "Asked", "NeverMetError", "completed", "name_parameters", "require_identified",
    "require_seen", "thin", "together_of",
]  # fmt: skip

_RANK = 1e-13  # smallest eigenvalue of the scaled cross-products of the Jacobian that still counts
_TRIES = 3
_PART = 0.1  # share of the largest entry (or change) from which a parameter (or pair) takes part in a direction
FEWEST = 2  # times that two items must be seen together: one pair of numbers tells no covariance
_THIN = 10  # times below which a covariance is hardly known
_SHARE = 0.25  # the same as a share of the rarer item, so that small studies whose items all met are not called thin
_SWEEPS, _SETTLED = 200, 1e-9
_GROWTH = 40  # steps towards the known correlations
_LEAST = 1e-8  # smallest pivot of a correlation matrix that is taken as positive definite

Start = tuple[FloatArray, FloatArray]  # starting values and the size of each parameter
Picked = tuple[IntArray, IntArray]  # rows and columns of the covariances that are known
Flat = tuple[FloatArray, FloatArray, FloatArray]  # a point, a direction there, the same in the parameters' own units


def require_identified(
    model: RoxModel, table: ParameterTable, layouts: Sequence[Layout], start: Start, picked: Picked | None = None
) -> None:
    """Refuse a model whose parameters the moments cannot determine, at points chosen at random around the start.

    `picked` are the covariances that are known, where not all are (ordinal items); thresholds and means are then free
    for each item. Raises EstimationError naming the parameters that can be traded, their constructs, and the remedy.
    Wald (1950), in Statistical inference in dynamic economic models, 238-244 (local rank); Bekker, Merckens & Wansbeek
    (1994), Identification, equivalent models, and computer algebra.
    """
    found = _untold(table, layouts, start, None if picked is None else [picked]) if table.n_free else None
    if found is None:
        return
    rows = _involved(table, found[1])
    traded = "take any value" if len(rows) == 1 else "be traded against each other"
    constructs = _constructs_of(model, rows)
    raise EstimationError(
        f"The model is not identified: {name_parameters(rows)} can {traded} without any change in the implied moments "
        f"(construct {listed(constructs)}).",
        hint=_remedy(model, table, rows, constructs),
    )


def _untold(
    table: ParameterTable, layouts: Sequence[Layout], start: Start, picked: Sequence[Picked] | None
) -> Flat | None:
    """A point near the start, and a direction there that changes nothing that is known; None if there is none."""
    rng, found = np.random.default_rng(20_061), None
    for _ in range(_TRIES):
        point = _somewhere(start, rng)
        flat = _flat_direction(table, layouts, (point, start[1]), picked)
        if flat is None:
            return None
        found = point, *flat
    return found


def _somewhere(start: Start, rng: np.random.Generator) -> FloatArray:
    """A generic point near the start: no parameter is 0 for its size, no two are equal by chance."""
    values, sizes = start
    point = values * rng.uniform(0.7, 1.3, len(values))
    small = np.abs(point) < 0.02 * sizes
    return np.asarray(np.where(small, sizes * rng.uniform(0.05, 0.2, len(values)), point))


def _flat_direction(
    table: ParameterTable, layouts: Sequence[Layout], where: Start, picked: Sequence[Picked] | None
) -> tuple[FloatArray, FloatArray] | None:
    """(n_free,) a direction that changes no moment, by parameters of unit length, and in their own units; or None.

    `where` is a point, and the size that each parameter may have: units of measurement must not decide. `picked` are
    the covariances that are known, for each layout; None = all.
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


def _involved(table: ParameterTable, flat: FloatArray) -> list[Parameter]:
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
    graph = within_wave(model.edges)
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


# --- items that never met


@dataclass(frozen=True, slots=True)
class Asked:
    """What sees items together, in words: how two are seen, who sees them, and what to do if none does."""

    met: str
    whom: str
    remedy: str


PEOPLE: Final = Asked("answered by the same person", "people", "Ask both of the same people")
UNITS: Final = Asked(
    "known in the same unit",
    "units",
    "Link more units (study.unmatched() lists what is missing), ask both in the same ones",
)


class NeverMetError(EstimationError):
    """Items that were never seen together would have to tell something that no others tell."""


def together_of(seen: BoolArray, count: FloatArray | None = None) -> FloatArray:
    """(p, p) how many cases saw each pair of items, on the diagonal each item, from (J, p) and how often, (J,).

    >>> together_of(np.array([[True, True, False], [True, False, True]])).tolist()
    [[2.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    own = seen.astype(np.float64)
    return np.asarray((own if count is None else own * count[:, None]).T @ own)


def thin(together: FloatArray) -> BoolArray:
    """(p, p) pairs seen together so rarely, though their items were seen often, that their covariance is hardly known.

    >>> thin(np.array([[90.0, 80.0, 3.0], [80.0, 85.0, 5.0], [3.0, 5.0, 40.0]]))[2].tolist()
    [True, True, False]
    """
    least = np.minimum.outer(np.diag(together), np.diag(together))
    return np.asarray((together < _THIN) & (together < _SHARE * least))


def completed(covariance: FloatArray, known: BoolArray) -> FloatArray:
    """Fill what is not known of a covariance so that its determinant is largest: no partial correlation is added.

    Where nothing positive definite has the known correlations, they are drawn towards 0 as far as it needs. `known` is
    (p, p), True on the diagonal; what does not vary covaries with nothing. Dempster (1972), doi 10.2307/2528966; Grone,
    Johnson, Sá & Wolkowicz (1984), doi 10.1016/0024-3795(84)90207-6.

    >>> known = np.array([[True, True, True], [True, True, False], [True, False, True]])
    >>> whole = completed(np.array([[4.0, 2.0, 1.0], [2.0, 4.0, 0.0], [1.0, 0.0, 1.0]]), known)
    >>> float(whole[1, 2].round(6))  # what the first item explains: 2 * 1 / 4
    0.5
    """
    if known.all():
        return covariance
    varies = np.diag(covariance) > 0
    sd = np.sqrt(np.where(varies, np.diag(covariance), 1.0))
    unit, known = np.outer(sd, sd), (known & np.outer(varies, varies)) | np.eye(len(sd), dtype=bool)
    aim = np.where(known, covariance / unit, 0.0)
    np.fill_diagonal(aim, 1.0)
    found, share, step = np.eye(len(sd)), 0.0, 1.0
    for _ in range(_GROWTH):
        ahead = min(1.0, share + step)
        trial = np.where(known, aim * ahead, found * (ahead / share if share else 1.0))
        np.fill_diagonal(trial, 1.0)
        if _regular(trial):
            found, share = _spread(trial, known), ahead
            if share == 1.0:
                break
        else:
            step /= 2
    return np.asarray(found * unit * np.outer(varies, varies))


def _regular(correlation: FloatArray) -> bool:
    try:
        root = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(root).min() ** 2 > _LEAST)


def _spread(correlation: FloatArray, known: BoolArray) -> FloatArray:
    """Largest determinant, row by row: what is not known of a row follows from what is, by regression."""
    found = correlation.copy()
    rows = np.flatnonzero(~known.all(axis=1))
    for _ in range(_SWEEPS):
        moved = 0.0
        for row in rows:
            there, away = np.flatnonzero(known[row]), np.flatnonzero(~known[row])
            there = there[there != row]
            value = found[np.ix_(away, there)] @ np.linalg.solve(found[np.ix_(there, there)], found[there, row])
            moved = max(moved, float(np.abs(value - found[row, away]).max()))
            found[row, away] = found[away, row] = value
        if moved < _SETTLED:
            break
    return found


def require_seen(
    table: ParameterTable, layouts: Sequence[Layout], start: Start, together: Sequence[FloatArray], asked: Asked
) -> tuple[Doubt, ...]:
    """Refuse a model that pairs of items which were never seen together would have to determine.

    Items that never met are no harm where others join them: the likelihood of what was seen has an information of full
    rank as soon as the moments seen together have a Jacobian of full rank (they are all its cases see of Σ). `together`
    is (p, p) for each layout (see `together_of`). What hangs on a few cases only is doubtful. Raises NeverMetError
    naming the items that never met, what they leave untold, and the remedy.
    """
    short = [own < FEWEST for own in together]
    if any(own.any() for own in short):
        found = _untold(table, layouts, start, _without(short))
        if found is not None:
            raise _never_met(table, layouts, (found, short), (together, asked))
    few = [thin(own) for own in together]
    if not any((own & ~lost).any() for own, lost in zip(few, short, strict=True)):
        return ()
    found = _untold(table, layouts, start, _without(few))
    if found is None:
        return ()
    pairs, count = _pairs(layouts, found, (few, together))
    rows = _involved(table, found[1])
    finding = (
        f"Hardly identified: {name_parameters(rows, 3)} hang{'s' if len(rows) == 1 else ''} on how {_words(pairs)} "
        f"go together, which {count:.0f} {asked.whom} tell: errors and tests mean little here."
    )
    culprits = tuple(dict.fromkeys(item for pair in pairs for item in pair))
    return (Doubt("identified", "doubtful", finding, culprits, f"{asked.remedy}."),)


def _without(lost: Sequence[BoolArray]) -> list[Picked]:
    places = (np.nonzero(np.tril(~own)) for own in lost)
    return [(row.astype(np.int64), column.astype(np.int64)) for row, column in places]


def _pairs(
    layouts: Sequence[Layout], found: Flat, where: tuple[Sequence[BoolArray], Sequence[FloatArray]]
) -> tuple[list[tuple[str, ...]], float]:
    """The pairs that the direction moves, and how often the most frequent of them was seen."""
    point, _, flat = found
    named: dict[tuple[str, ...], float] = {}
    for layout, lost, together in zip(layouts, *where, strict=True):
        by_sigma, _ = moment_jacobian(layout, implied(layout, point))
        moved = np.tril(np.abs(by_sigma @ layout.link @ flat)) * lost
        for a, b in np.argwhere(moved > _PART * max(float(moved.max()), 1e-300)):
            pair = tuple(dict.fromkeys((layout.items[b], layout.items[a])))
            named[pair] = max(named.get(pair, 0.0), float(together[a, b]))
    return list(named), max(named.values(), default=0.0)


def _words(pairs: Sequence[tuple[str, ...]]) -> str:
    more = len(pairs) - 1
    likewise = f" ({more} more pair{'s' if more > 1 else ''} likewise)" if more > 0 else ""
    return (" and ".join(map(repr, pairs[0])) if pairs else "some items") + likewise


def _never_met(
    table: ParameterTable,
    layouts: Sequence[Layout],
    lost: tuple[Flat, Sequence[BoolArray]],
    data: tuple[Sequence[FloatArray], Asked],
) -> NeverMetError:
    found, (together, asked) = lost[0], data
    pairs, count = _pairs(layouts, found, (lost[1], together))
    met, untold = f"were never {asked.met}" if count == 0 else f"were {asked.met} only once", _involved(table, found[1])
    return NeverMetError(
        f"{_words(pairs)} {met}, and no other items join them, so {name_parameters(untold, 3)} cannot be told.",
        hint=f"{asked.remedy}, or a third item of their construct beside each; or leave one of them out.",
    )
