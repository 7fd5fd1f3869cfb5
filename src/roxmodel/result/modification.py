"""Modification indices: what the fit would gain by one more parameter, and what that parameter would be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from roxmodel.errors import EstimationError, RoxError
from roxmodel.implied.likelihood import expand
from roxmodel.result.latent import given_by_data, latent_groups, require_continuous, require_people, units_of_epc
from roxmodel.spec.causal import within_wave
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted

__all__ = ["modification_indices"]

_AT_ONCE = 300  # candidates expanded at once: the information has (free + candidates)² entries
_NOTHING_NEW = 1e-7  # share of its information that a candidate must bring beyond the parameters of the model
_KINDS = {"loading", "edge", "covariance", "intercept", "variance"}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One parameter that could be freed: its row, where it stands now, and why it is not free."""

    row: Parameter
    value: float
    status: str


def modification_indices(fit: Fitted, least: float) -> pd.DataFrame:
    """See `Fit.modification_indices`."""
    import pandas as pd
    from scipy.stats import chi2

    _refuse(fit, least)
    candidates = list(_candidates(fit))
    blocks = [candidates[i : i + _AT_ONCE] for i in range(0, len(candidates), _AT_ONCE)]
    found = [_tested(fit, block) for block in blocks]
    mi, epc, standardized = (np.concatenate([part[i] for part in found] or [np.zeros(0)]) for i in range(3))
    columns: dict[str, object] = {
        name: [getattr(one.row, name) for one in candidates] for name in ("kind", "left", "right", "group")
    }
    columns |= {"mi": mi, "p": chi2.sf(mi, 1), "epc": epc, "epc_standardized": standardized}
    columns |= {"status": [one.status for one in candidates]}
    table = pd.DataFrame(columns)
    table = table[table["mi"].notna() & (table["mi"] >= least)]
    # Equal indices keep the model's order: what differs in the last digits is rounding, which machines do differently.
    told = table["mi"].map(lambda value: float(f"{value:.9g}"))
    return table.loc[told.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _refuse(fit: Fitted, least: float) -> None:
    if not least >= 0:
        raise RoxError(f"least= was {least!r}.", allowed="a number of at least 0")
    latent_groups(fit)
    require_people(fit, "There are no modification indices", "Compare fits with and without a parameter: rox.compare.")
    require_continuous(fit)
    if fit.missing != "listwise":
        raise EstimationError(
            "Modification indices need complete answers, but this fit used answers with holes (or does not say).",
            hint=(
                "Compare fits with and without a parameter: rox.compare."
                if any(np.isnan(group.covariance).any() for group in fit.groups)  # no row holds all items
                else "Fit again with missing='listwise'."
            ),
        )


# --- candidates


def _candidates(fit: Fitted) -> Iterator[_Candidate]:
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
                yield _Candidate(row, value, "equal")
            elif not row.free and row.value is not None and row.kind in {"loading", "edge", "covariance"}:
                yield _Candidate(row, value, "fixed")
        there = {_key(row) for row, _ in own if not row.lag}
        for row in _absent(fit.model, group.name):
            if _key(row) not in there:
                yield _Candidate(row, 0.0, "absent")


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
    for cause, effect in permutations(model.names, 2):
        if model.feedback or not _loops(model, cause, effect):
            yield Parameter(f"edge:{cause}->{effect}", "edge", cause, effect, group)


def _loops(model: RoxModel, cause: str, effect: str) -> bool:
    """Whether an edge would close a loop."""
    return bool(nx.has_path(within_wave(model.edges, model.names), effect, cause))


# --- the score test


def _tested(fit: Fitted, candidates: Sequence[_Candidate]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """MI, expected change and standardised expected change of each candidate; NaN where it cannot be told apart.

    MI = n g² / V with V = I₁₁ - I₁₂ I₂₂⁻¹ I₂₁ (expected information by observation), change = -g / V.
    """
    given, known = given_by_data(fit)
    m, own = fit.table.n_free + len(given), len(candidates)
    rows = [replace(one.row, free=m + i + 1, value=None) for i, one in enumerate(candidates)]
    theta = np.concatenate([fit.theta, known, [one.value for one in candidates]])
    gradient, information = np.zeros(m + own), np.zeros((m + own, m + own))
    units = np.ones(own)
    groups = latent_groups(fit, [*given, *rows], theta)
    for group in groups:
        at = expand(group.layout, theta, group.sample)
        gradient += group.share * at.gradient
        information += group.share * at.information
        for place, row in enumerate(rows):
            if row.group == group.name:
                units[place] = units_of_epc(group, row, theta)
    n = sum(group.n for group in groups)
    slope, alone = gradient[m:], np.diag(information)[m:]
    rest = alone - _explained(fit, information, m)
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = rest > _NOTHING_NEW * alone
        change = np.where(usable, -slope / rest, np.nan)
        mi = np.where(usable, n * slope**2 / rest, np.nan)
    return mi, change, change * units


def _explained(fit: Fitted, information: FloatArray, m: int) -> FloatArray:
    """I₁₂ I₂₂⁻¹ I₂₁, its diagonal; parameters at their bound count as fixed."""
    moving = np.flatnonzero(np.append(np.diag(fit.vcov) > 0, np.ones(m - fit.table.n_free, dtype=bool)))
    block, cross = information[np.ix_(moving, moving)], information[moving, m:]
    unit = np.sqrt(np.diag(block))
    cross = cross / unit[:, None]
    solved = np.linalg.lstsq(block / np.outer(unit, unit), cross, rcond=None)[0]
    return np.asarray((cross * solved).sum(axis=0))
