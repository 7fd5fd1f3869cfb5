"""Where the iteration begins: loadings by instruments, edges by regression; a model between units and its moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.errors import EstimationError
from roxmodel.implied.identification import FEWEST, completed
from roxmodel.implied.likelihood import NormalCells, Target
from roxmodel.implied.matrices import Layout, implied, moment_jacobian
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, plan, residual_of
from roxmodel.types import FloatArray, Scaling

__all__ = ["at_means", "between_table", "condensed", "given_values", "moments_between", "start_values"]

Known = dict[tuple[str, str, str], float]
_LEAST, _MOST = 0.1, 0.9  # share of an item's variance that is its residual
_LEFT, _SMALLEST = 0.05, 1e-9  # share of a construct's variance that its causes leave at least: latent, observed
_EIGEN = 0.02  # smallest eigenvalue of a correlation that is taken as it is
_FLOOR = 0.01  # share of what is seen that is taken to lie between units at least, at the start


def start_values(
    model: RoxModel, table: ParameterTable, groups: Sequence[tuple[str, Target]], scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Starting values of all free parameters, and the size that each may be expected to have, (n_free,) both.

    A construct's loadings come from the correlations of its items (one factor, in closed form), its covariances with
    others from the correlations of the items of both, edges from regressions on these. An equation of observed
    variables only starts at least squares, which is its optimum in a recursive model. Starting values that the model
    states go before. Spearman (1904), doi 10.2307/1412107 (triads); Hägglund (1982), doi 10.1007/BF02296276
    (instruments).
    """
    total, times, sizes = (np.zeros(table.n_free) for _ in range(3))
    for group, target in groups:
        rows = [row for row in table if row.group in {group, ""}]
        known = _guess(model, rows, target, scale)
        for row in rows:
            if not row.free:
                continue
            value = row.start if row.start is not None else known.get((row.kind, row.left, row.right))
            if value is None:
                value = _plain(row.kind, row.left, known, residual_of(row, model.names))
            total[row.free - 1] += value
            sizes[row.free - 1] += _size(row.kind, row.left, row.right, known, residual_of(row, model.names))
            times[row.free - 1] += 1
    count = np.maximum(times, 1)
    return total / count, sizes / count


def _size(kind: str, left: str, right: str, known: Known, residual: bool) -> float:
    """Magnitude of a parameter in standardised terms, brought to its units."""
    if kind == "loading":
        return known["item", right, right] / known["unit", left, left]
    if kind == "edge":
        return known["unit", right, right] / known["unit", left, left]
    own = "item" if residual or (kind == "intercept" and ("unit", left, left) not in known) else "unit"
    if kind in {"variance", "covariance"}:
        return known[own, left, left] * known[own, right, right]
    return known[own, left, left]


def _plain(kind: str, left: str, known: Known, residual: bool) -> float:
    if kind != "variance":
        return 0.0
    return known["residual", left, left] if residual else known["disturbance", left, left]


def _guess(model: RoxModel, rows: Sequence[Parameter], target: Target, scale: FloatArray) -> Known:
    spread = np.sqrt(np.diag(target.covariance))
    correlation = target.covariance / np.outer(spread, spread)
    at = {item.name: i for i, item in enumerate(model.items)}
    sd, known = spread * scale, {}
    weights = np.zeros((len(model.names), len(at)))
    standard: dict[tuple[str, str], float] = {}
    for place, construct in enumerate(model.constructs):
        own = [at[name] for name in construct.item_names]
        shares = _one_factor(correlation[np.ix_(own, own)], construct.reliability)
        weights[place, own] = shares / float(shares @ shares)
        for item, i, share in zip(construct.item_names, own, shares, strict=True):
            standard[construct.name, item] = float(share * sd[i])
            known["item", item, item] = float(sd[i])
            known["residual", item, item] = float(np.clip(1 - share**2, _LEAST, _MOST)) * sd[i] ** 2
            known["intercept", item, item] = float(target.mean[i] * scale[i])
        if len(own) == 1:
            known["intercept", construct.name, construct.name] = float(target.mean[own[0]] * scale[own[0]])
    latent = _latent_correlation(weights, correlation, _exact(model))
    slopes = _regressions(model, latent, weights @ correlation @ weights.T)
    unit = {name: _unit(name, rows, standard, slopes[name][1]) for name in model.names}
    for (name, item), value in standard.items():
        known["loading", name, item] = value / unit[name]
    for name in model.names:
        known["unit", name, name] = abs(unit[name])
    return known | _structure(model, latent, slopes, {name: abs(own) for name, own in unit.items()})


def _unit(name: str, rows: Sequence[Parameter], standard: dict[tuple[str, str], float], left: float) -> float:
    """Standard deviation that a construct has by a loading that is fixed, else by its variance; with a sign."""
    for row in rows:
        if row.kind == "loading" and row.left == name and not row.free and row.value and standard[name, row.right]:
            return standard[name, row.right] / row.value
    for row in rows:
        if row.id.removesuffix(f"@{row.group}") == f"variance:{name}" and not row.free and row.value:
            return float(np.sqrt(abs(row.value) / left))
    return float(np.sqrt(1.0 / left))


def _one_factor(correlation: FloatArray, reliability: float | None) -> FloatArray:
    """Standardised loadings from the correlations of one construct's items."""
    p = len(correlation)
    if p == 1:
        return np.array([np.sqrt(1.0 if reliability is None else reliability)])
    off = np.abs(correlation - np.diag(np.diag(correlation)))
    if p == 2:
        size = np.full(2, np.sqrt(np.clip(off[0, 1], _LEAST, _MOST)))
        return np.asarray(size * np.array([1.0, 1.0 if correlation[0, 1] >= 0 else -1.0]))
    total = off.sum(axis=0)
    square = (total**2 - (off**2).sum(axis=0)) / np.maximum(off.sum() - 2 * total, 1e-3)
    size = np.sqrt(np.clip(square, _LEAST, _MOST))
    signs = np.where(np.linalg.eigh(correlation)[1][:, -1] >= 0, 1.0, -1.0)
    return np.asarray(size * signs * signs[0])


def _exact(model: RoxModel) -> list[bool]:
    """Which constructs are observed without error: what is known of them needs no caution."""
    return [construct.observed for construct in model.constructs]


def _latent_correlation(weights: FloatArray, correlation: FloatArray, exact: Sequence[bool]) -> FloatArray:
    latent = weights @ correlation @ weights.T
    if all(exact):
        return np.asarray(latent)
    np.fill_diagonal(latent, 1.0)
    latent = np.clip(latent, -0.95, 0.95)
    np.fill_diagonal(latent, 1.0)
    lowest = float(np.linalg.eigvalsh(latent)[0])
    if lowest < 0.05:
        share = (0.05 - lowest) / (1.0 - lowest)
        latent = (1 - share) * latent + share * np.eye(len(latent))
    return np.asarray(latent)


def _regressions(model: RoxModel, latent: FloatArray, plain: FloatArray) -> dict[str, tuple[dict[str, float], float]]:
    """Standardised edges into each construct, and the share of its variance that they leave.

    `latent` are correlations held apart from 1; `plain` those that were seen, which equations of observed variables
    take.
    """
    found = {}
    place, exact = {name: i for i, name in enumerate(model.names)}, _exact(model)
    for name in model.names:
        causes, at, left = list(model.causes(name)), place[name], 1.0
        slopes: FloatArray = np.zeros(0)
        if causes:
            own = [place[cause] for cause in causes]
            seen = exact[at] and all(exact[i] for i in own)
            known, least = (plain, _SMALLEST) if seen else (latent, _LEFT)
            slopes = np.asarray(np.linalg.solve(known[np.ix_(own, own)], known[own, at]), dtype=np.float64)
            left = float(np.clip(1 - slopes @ known[own, at], least, 1.0))
        found[name] = (dict(zip(causes, slopes.tolist(), strict=True)), left)
    return found


def _structure(
    model: RoxModel, latent: FloatArray, slopes: dict[str, tuple[dict[str, float], float]], unit: dict[str, float]
) -> Known:
    """Edges by regression, and what they leave."""
    known: Known = {}
    place = {name: i for i, name in enumerate(model.names)}
    for name, (causes, left) in slopes.items():
        for cause, value in causes.items():
            known["edge", cause, name] = value * unit[name] / unit[cause]
        known["disturbance", name, name] = left * unit[name] ** 2
    for a in model.exogenous_names:
        for b in model.exogenous_names:
            if a != b:
                known["covariance", a, b] = float(latent[place[a], place[b]]) * unit[a] * unit[b]
    if all(_exact(model)):
        known |= _residual_covariances(model, latent, slopes, unit)
    return known


def _residual_covariances(
    model: RoxModel, latent: FloatArray, slopes: dict[str, tuple[dict[str, float], float]], unit: dict[str, float]
) -> Known:
    """What the regressions of two observed variables leave in common."""
    place = {name: i for i, name in enumerate(model.names)}
    rest = np.eye(len(place))
    for name, (causes, _) in slopes.items():
        for cause, value in causes.items():
            rest[place[name], place[cause]] -= value
    left = rest @ latent @ rest.T
    return {
        ("covariance", a, b): float(left[place[a], place[b]]) * unit[a] * unit[b]
        for a in model.endogenous
        for b in model.endogenous
        if a != b
    }


def at_means(
    layouts: Sequence[Layout], table: ParameterTable, theta: FloatArray, means: Sequence[FloatArray]
) -> FloatArray:
    """Move the free intercepts so that the implied means come as near to the data's as they can.

    Causes may have means far from 0: an intercept is not the mean of its item then. `means` are (p,) of each group, in
    units of its layout's scale. An intercept whose start the model states stays there.
    """
    rows = [row for row in table.of("intercept") if row.free and row.start is None]
    places = sorted({row.free - 1 for row in rows})
    if not places:
        return theta
    slopes, rests = [], []
    for layout, mean in zip(layouts, means, strict=True):
        at = implied(layout, theta)
        slopes.append((moment_jacobian(layout, at)[1] @ layout.link)[:, places])
        rests.append(mean - at.mu)
    slope, found = np.vstack(slopes), theta.copy()
    size = np.sqrt((slope**2).sum(axis=0))
    size[size == 0] = 1.0
    found[places] += np.linalg.lstsq(slope / size, np.concatenate(rests), rcond=None)[0] / size
    return found


# --- between units


def between_table(model: RoxModel, scaling: Scaling) -> ParameterTable:
    """Plan the parameters: as for method "sem", with equal residuals where a construct has two items.

    Exogenous constructs covary freely whatever the model says of them: the edges are the same, and a mean of
    respondents is not known exactly. Raises EstimationError for a construct of two items that nothing is connected
    with.
    """
    connected = {name for edge in model.edges if edge.lag == 0 for name in (edge.cause, edge.effect)}
    connected |= {name for pair in model.covariances for name in (pair.left, pair.right)}
    constructs = []
    for construct in model.constructs:
        few = len(construct.items) == 2 and construct.residuals is None
        told = isinstance(construct.items[-1].loading, float)
        if few and not told and construct.name not in connected and len(model.constructs) > 1:
            raise EstimationError(
                f"{construct.name!r} has two items and is connected to nothing, so its loading cannot be told.",
                hint=f"Give it a third item or an edge, or fix the loading of {construct.items[1].name!r}: "
                f"rox.Item(name={construct.items[1].name!r}, loading=1.0).",
            )
        constructs.append(construct.replace(residuals="equal") if few else construct)
    return plan(model.replace(constructs=tuple(constructs), exogenous="free"), "reflective", True, scaling=scaling)


def given_values(model: RoxModel, table: ParameterTable, start: Target, scale: FloatArray) -> dict[str, float]:
    """Residual variances that a stated reliability implies, net of the sampling error of the unit means."""
    items = {item.name: i for i, item in enumerate(model.items)}
    found: dict[str, float] = {}
    for row in table:
        if row.free or row.value is not None or row.kind != "variance" or not residual_of(row, model.names):
            continue
        owner = next(construct for construct in model.constructs if row.left in construct.item_names)
        at = items[row.left]
        found[row.id] = (1.0 - (1.0 if owner.reliability is None else owner.reliability)) * float(
            start.covariance[at, at] * scale[at] ** 2
        )
    return found


def condensed(data: NormalCells) -> NormalCells:
    """All units as one, with the mean of their noise: what the iteration of the whole is started with."""
    weight = data.weight[:, None] * data.seen
    count = weight.sum(axis=0)
    mean = (weight * data.mean).sum(axis=0) / count
    rest = np.where(data.seen, data.mean - mean, 0.0)
    counts = weight.T @ data.seen
    pairs = np.maximum(counts, 1.0)
    both = data.seen[:, :, None] & data.seen[:, None, :]
    noise = np.tensordot(data.weight, np.where(both, 0.0 if data.noise is None else data.noise, 0.0), 1) / pairs
    scatter = completed((weight * rest).T @ rest / pairs, counts >= FEWEST)  # what never met follows from what did
    values, vectors = np.linalg.eigh(scatter / np.sqrt(np.outer(np.diag(scatter), np.diag(scatter))))
    if values[0] < _EIGEN:  # pairs of items that rest on different units
        sd = np.sqrt(np.diag(scatter))
        scatter = ((vectors * np.maximum(values, _EIGEN)) @ vectors.T) * np.outer(sd, sd)
    p = len(mean)
    return NormalCells(np.ones((1, p), dtype=bool), mean[None], np.ones(1), scatter[None], noise=noise[None])


def moments_between(data: NormalCells, floor: float = _FLOOR) -> Target:
    """Covariance between units as if all had the same noise: exact maximum likelihood there.

    With S the covariance of the means and N their noise, S^½ U max(1 - κ, 0) Uᵀ S^½, κ and U the eigenvalues and
    vectors of S^-½ N S^-½ (Anderson, Anderson & Olkin 1986, doi 10.1214/aos/1176349932); `floor` takes the place of 0,
    so that the iteration starts inside.
    """
    one = condensed(data)
    if one.scatter is None or one.noise is None:
        raise ValueError("condensed means have a scatter and a noise")
    values, vectors = np.linalg.eigh(one.scatter[0])
    root = (vectors * np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T
    back = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))) @ vectors.T
    share, turned = np.linalg.eigh(back @ one.noise[0] @ back)
    inner = root @ turned
    return Target(one.mean[0], np.asarray((inner * np.maximum(1.0 - share, floor)) @ inner.T))
