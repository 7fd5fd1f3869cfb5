"""What the model leaves: residuals, explained variance, and what the fit would gain by one more parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import networkx as nx
import numpy as np

from roxmodel.errors import EstimationError, RoxError, did_you_mean
from roxmodel.implied.likelihood import NormalCells, Target, scored
from roxmodel.implied.matrices import DISTURBANCES, RESIDUALS, filled, moment_jacobian
from roxmodel.implied.score_tests import Freed, score_tests
from roxmodel.records import ScoreTest
from roxmodel.result.derived import Spreads
from roxmodel.result.groups import holm
from roxmodel.result.latent import (
    LatentGroup,
    given_by_data,
    latent_groups,
    only_group,
    require_continuous,
    require_people,
)
from roxmodel.spec.causal import within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, residual_of
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = [
    "Basis", "Candidate", "ResidualKind", "candidates_of", "explained", "extended", "is_structural",
    "modification_indices", "residual_frame", "score_rows", "tested",
]  # fmt: skip
ResidualKind: TypeAlias = Literal["raw", "correlation", "standardized"]
_ROUNDING = 1e-10


def residual_frame(fit: Fitted, kind: ResidualKind, group: str | None) -> pd.DataFrame:
    """See `Fit.residuals`."""
    import pandas as pd

    if kind not in get_args(ResidualKind):
        raise RoxError(f"kind= was {kind!r}.", hint=did_you_mean(str(kind), get_args(ResidualKind)))
    given, known = given_by_data(fit)
    parts = latent_groups(fit, given, np.concatenate([fit.theta, known]))
    if kind == "standardized":
        require_people(fit, "There are no standardised residuals", "Ask for kind='correlation'.")
        require_continuous(fit)
    if kind == "standardized" and (fit.missing != "listwise" or len(parts) > 1):
        raise EstimationError(
            "Standardised residuals need one group and complete answers.", hint="Ask for kind='correlation'."
        )
    if group is not None:
        wanted = only_group(fit, group)
        parts = [part for part in parts if part.name == wanted]
    names = [item.name for item in fit.model.items]
    frames = {part.name: pd.DataFrame(_residuals(part, kind), index=names, columns=names) for part in parts}
    return next(iter(frames.values())) if len(frames) == 1 else pd.concat(frames, names=["group", "item"])


def _residuals(part: LatentGroup, kind: ResidualKind) -> FloatArray:
    sample, sigma = part.sample.covariance, part.at.sigma
    if kind == "raw":
        return part.covariance - part.sigma
    if kind == "correlation":
        return _correlation(sample) - _correlation(sigma)
    left, variance = sample - sigma, _residual_variance(part)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > _ROUNDING, left / np.sqrt(variance / part.n), np.nan)


def _correlation(covariance: FloatArray) -> FloatArray:
    scale = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(scale, scale))


def _residual_variance(part: LatentGroup) -> FloatArray:
    """(p, p) n times the sampling variance of each residual, with normal answers: of (I - Δ E⁻¹ Δᵀ A) vec S.

    Δ, A and E (derivatives, weight, expected information of one observation) stand at the model, the covariance of S
    at the sample.
    """
    sigma, sample = part.at.sigma, part.sample.covariance
    by_sigma, by_mu = moment_jacobian(part.layout, part.at)
    delta, means = by_sigma @ part.layout.link, by_mu @ part.layout.link
    inverse = np.linalg.inv(sigma)
    weighted = np.einsum("ab,bcr,cd->adr", inverse, delta, inverse, optimize=True) / 2
    with_score = 2 * np.einsum("ab,bcr,cd->adr", sample, weighted, sample, optimize=True)
    pushed = inverse @ means
    expected = np.einsum("abr,abs->rs", delta, weighted) + means.T @ pushed
    spread = np.einsum("abr,abs->rs", weighted, with_score) + pushed.T @ sample @ pushed
    moved = delta @ np.linalg.pinv(expected, hermitian=True)
    whole = np.outer(np.diag(sample), np.diag(sample)) + sample**2
    taken = 2 * (with_score * moved).sum(axis=2) - np.einsum("abr,rs,abs->ab", moved, spread, moved, optimize=True)
    return np.asarray(np.where(whole - taken > _ROUNDING * whole, whole - taken, 0.0))


def explained(fit: Fitted) -> pd.DataFrame:
    """See `Fit.r2`."""
    import pandas as pd

    rows: list[tuple[str, str, float, str]] = []
    for part in latent_groups(fit):
        left = np.diag(filled(part.layout, fit.theta, RESIDUALS))
        sigma = np.diag(part.sigma)
        for construct in fit.model.constructs:
            for item in () if construct.observed else construct.item_names:
                at = part.layout.items.index(item)
                rows.append(("item", item, float(1.0 - left[at] / sigma[at]), part.name))
        psi, latent = np.diag(filled(part.layout, fit.theta, DISTURBANCES)), np.diag(part.at.latent)
        for name in fit.model.endogenous:
            at = fit.model.names.index(name)
            rows.append(("construct", name, float(1.0 - psi[at] / latent[at]), part.name))
    table = pd.DataFrame(rows, columns=["kind", "name", "r2", "group"])
    return table if len(fit.groups) > 1 else table.drop(columns="group")


_AT_ONCE = 300  # candidates expanded at once: the information has (free + candidates)² entries
_KINDS = {"loading", "edge", "covariance", "intercept", "variance"}
_FIRST = {"edge": 0, "covariance": 1}  # of candidates that bring the same, what can be drawn as an arrow


@dataclass(frozen=True, slots=True)
class Candidate:
    """One parameter that could be freed: its row, where it stands now, and why it is not free."""

    row: Parameter
    value: float
    status: str


def is_structural(row: Parameter, constructs: Sequence[str]) -> bool:
    """Whether it is an edge, or a covariance of constructs rather than of items."""
    return row.kind == "edge" or (row.kind == "covariance" and not residual_of(row, constructs))


@dataclass(frozen=True, slots=True)
class Basis:
    """What a likelihood saw of each group, in units of `scale`."""

    scale: FloatArray  # (p,)
    parts: tuple[Target | NormalCells, ...]


def modification_indices(fit: Fitted, least: float) -> pd.DataFrame:
    """See `Fit.modification_indices`."""
    import pandas as pd
    from scipy.stats import chi2

    if not least >= 0:
        raise RoxError(f"least= was {least!r}.", allowed="a number of at least 0")
    rows = fit.score_tests or _from_moments(fit)
    names = ("kind", "left", "right", "group", "mi", "epc", "epc_standardized", "status")
    columns: dict[str, object] = {name: [getattr(one, name) for one in rows] for name in names}
    table = pd.DataFrame(columns)
    table = table[table["mi"].notna()]
    table.insert(5, "p", chi2.sf(table["mi"].astype(float), 1))
    table["p_holm"] = np.nan
    for kind in dict.fromkeys(table["kind"]):
        own = table["kind"] == kind
        table.loc[own, "p_holm"] = holm(table.loc[own, "p"].to_numpy())
    table = table[table["mi"] >= least]
    # Equal indices keep the model's order, arrows first: what differs in the last digits is rounding, which machines do
    # differently.
    told = table["mi"].map(lambda value: -float(f"{value:.9g}"))
    order = pd.DataFrame({"mi": told, "kind": table["kind"].map(lambda kind: _FIRST.get(kind, 2))})
    return table.loc[order.sort_values(["mi", "kind"], kind="stable").index].reset_index(drop=True)


def _from_moments(fit: Fitted) -> tuple[ScoreTest, ...]:
    """Tested anew, of complete data, whose moments the fit holds."""
    latent_groups(fit)
    require_continuous(fit)
    again = "Fit again and ask that fit; or compare fits with and without a parameter: rox.compare."
    if fit.traits.levels == "predicted":
        raise EstimationError(
            "Modification indices of units are found with the fit and not saved: this one was loaded, or not settled.",
            hint=again,
        )
    if fit.missing != "listwise":
        raise EstimationError(
            "Modification indices of answers with holes are found with the fit and not saved: this one was loaded, is "
            "one group of a fit, was not settled, or does not say whether answers were complete.",
            hint=again,
        )
    candidates = list(candidates_of(fit))
    found: list[ScoreTest] = []
    for start in range(0, len(candidates), _AT_ONCE):
        block = candidates[start : start + _AT_ONCE]
        found += score_rows(block, *tested(fit, block, None))
    return tuple(found)


def score_rows(candidates: Sequence[Candidate], asked: Freed, units: FloatArray) -> list[ScoreTest]:
    """What was found as the rows that a fit keeps."""
    columns = (asked.statistic, asked.change, asked.change * units)
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    return [
        ScoreTest(one.row.kind, one.row.left, one.row.right, one.row.group, one.status, *values)
        for one, values in zip(candidates, numbers, strict=True)
    ]


def candidates_of(fit: Fitted) -> Iterator[Candidate]:
    """Loadings, edges and covariances that are fixed or absent; parameters held equal, each set free by itself."""
    values = [float(value) for value in fit.estimates.value]
    taken: dict[int, int] = {}
    for row in fit.table:
        taken[row.free] = taken.get(row.free, 0) + 1
    for group in fit.groups:
        own = [(row, v) for row, v in zip(fit.table, values, strict=True) if row.group == group.name]
        for row, value in own:
            if row.kind not in _KINDS or row.lag:
                continue
            if row.free and taken[row.free] > 1:
                yield Candidate(row, value, "equal")
            elif not row.free and row.value is not None and row.kind in {"loading", "edge", "covariance"}:
                yield Candidate(row, value, "fixed")
        there = {_key(row) for row, _ in own if not row.lag}
        for row in _absent(fit.model, group.name):
            if _key(row) not in there:
                yield Candidate(row, 0.0, "absent")


def _key(row: Parameter) -> tuple[object, ...]:
    return (row.kind, frozenset((row.left, row.right))) if row.kind == "covariance" else (row.kind, row.left, row.right)


def _absent(model: RoxModel, group: str) -> Iterator[Parameter]:
    """Everything of one group that a model of these constructs could have."""
    latent = [construct for construct in model.constructs if len(construct.items) > 1]
    items = [name for construct in latent for name in construct.item_names]
    for construct in latent:
        for item in items:
            yield Parameter(f"loading:{construct.name}=~{item}", "loading", construct.name, item, group)
    for left, right in combinations(items, 2):
        yield Parameter(f"covariance:{left}~~{right}|", "covariance", left, right, group)
    for left, right in combinations(model.names, 2):
        yield Parameter(f"covariance:{left}~~{right}", "covariance", left, right, group)
    graph = within_wave(model.edges, model.names)
    for cause, effect in permutations(model.names, 2):
        if model.feedback or not nx.has_path(graph, effect, cause):  # it would close a loop
            yield Parameter(f"edge:{cause}->{effect}", "edge", cause, effect, group)


def tested(fit: Fitted, candidates: Sequence[Candidate], seen: Basis | None) -> tuple[Freed, FloatArray]:
    """What each candidate would bring, and (c,) what its change is multiplied by to be standardised.

    `seen` is what the likelihood saw; None: the moments that the fit holds. The parameters of `Freed` are those of the
    fit, then the moments that the data give, which count as estimated.
    """
    given, known = given_by_data(fit)
    count = len(candidates)
    m = fit.table.n_free + len(given)
    theta = np.concatenate([fit.theta, known, [one.value for one in candidates]])
    gradient, information = np.zeros(m + count), np.zeros((m + count, m + count))
    units = np.ones(count)
    groups = extended(fit, candidates, None if seen is None else seen.scale)
    for number, group in enumerate(groups):
        own = scored(group.layout, theta, group.sample if seen is None else seen.parts[number])
        gradient += group.share * own[0]
        information += group.share * own[1]
        spreads = _spreads(group, theta)
        for place, row in enumerate(one.row for one in candidates):
            if row.group == group.name:
                if row.kind == "variance":  # so that a change becomes a share of itself
                    units[place] = 1.0 / spreads.own[residual_of(row, spreads.construct), row.left]
                else:
                    units[place] = spreads.standardized(row, 1.0)
    moving = np.append(np.diag(fit.vcov) > 0, np.ones(len(given), dtype=bool))  # those at their bound count as fixed
    return score_tests(gradient, information, moving, sum(group.n for group in groups)), units


def extended(fit: Fitted, candidates: Sequence[Candidate], scale: FloatArray | None) -> list[LatentGroup]:
    """The groups with the candidates as free parameters, after those of the fit and the moments that the data give.

    Layouts in units of `scale`; None: of the moments that the fit holds, as is all else.
    """
    given, known = given_by_data(fit)
    start = fit.table.n_free + len(given) + 1
    rows = [replace(one.row, free=start + i, value=None) for i, one in enumerate(candidates)]
    theta = np.concatenate([fit.theta, known, [one.value for one in candidates]])
    groups = latent_groups(fit, [*given, *rows], theta)
    return groups if scale is None else [replace(one, layout=replace(one.layout, scale=scale)) for one in groups]


def _spreads(group: LatentGroup, theta: FloatArray) -> Spreads:
    """Expected changes of covariances are in units of the (residual) variances beside them."""
    matrices = [filled(group.layout, theta, which) for which in (RESIDUALS, DISTURBANCES)]
    variances = (group.sigma, group.at.latent, *matrices)
    own = [np.where(np.diag(part) > 0, np.diag(part), np.nan) for part in variances]
    return Spreads.of(group.layout, (np.sqrt(own[0]), np.sqrt(own[1])), (own[2], own[3]))
