"""Scores of latent constructs for people: regression and Bartlett, with standard errors, missing answers allowed.

A latent fit in matrices again, group by group: layouts, implied moments, sample moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean, listed
from roxmodel.implied.likelihood import Target
from roxmodel.implied.matrices import LOADINGS, Implied, Layout, filled, implied, lay_out
from roxmodel.spec.parameters import Parameter
from roxmodel.spec.questionnaire import Item
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted
    from roxmodel.survey.frames import Frame

__all__ = [
    "LatentGroup", "ScoreMethod", "covariates_in", "factor_scores", "given_by_data", "group_rows", "latent_groups",
    "only_group", "require_continuous", "require_people",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LatentGroup:
    """One group of a latent fit, at its estimate; matrices and moments are in units of `Layout.scale`."""

    name: str  # empty for one group
    n: float
    share: float  # of all rows
    layout: Layout
    loadings: FloatArray  # Λ, (p, k)
    at: Implied
    sample: Target  # with missing answers the maximum-likelihood moments
    means: bool  # whether the sample has means

    @property
    def sigma(self) -> FloatArray:
        """(p, p) implied covariances of the items, in their units."""
        return np.asarray(self.at.sigma * np.outer(self.layout.scale, self.layout.scale))

    @property
    def covariance(self) -> FloatArray:
        """(p, p) sample covariances of the items, in their units."""
        return np.asarray(self.sample.covariance * np.outer(self.layout.scale, self.layout.scale))


def group_rows(fit: Fitted, name: str) -> list[Parameter]:
    """Rows of the parameter table that belong to one group; definitions belong to none."""
    return [row for row in fit.table if row.group == name and row.kind != "defined"]


def latent_groups(fit: Fitted, extra: Sequence[Parameter] = (), theta: FloatArray | None = None) -> list[LatentGroup]:
    """Lay a latent fit out in matrices, or say that it has none.

    Places in theta of `extra` rows follow those of the fit; `theta` is with them.
    """
    if not fit.groups:
        raise EstimationError(
            f"This is a fit by method {fit.method!r}, which has no latent constructs.", hint="Fit with method='sem'."
        )
    items = tuple(item.name for item in fit.model.items)
    given = {row.id: float(v) for row, v in zip(fit.table, fit.estimates.value, strict=True) if not row.free}
    n_free = fit.table.n_free + len({row.free for row in extra})
    whole = sum(group.n for group in fit.groups)
    # standard deviations within groups, so that variances of very unequal size cost no digit
    scale = np.asarray(np.sqrt(sum(np.diag(group.covariance) * (group.n / whole) for group in fit.groups)))
    values = fit.theta if theta is None else theta
    found = []
    for group in fit.groups:
        rows = [*group_rows(fit, group.name), *(row for row in extra if row.group == group.name)]
        layout = lay_out(rows, (items, fit.model.names), given, scale, n_free)
        mean = np.zeros(len(items)) if group.mean is None else group.mean / scale
        sample = Target(mean, group.covariance / np.outer(scale, scale))
        loadings, at = filled(layout, values, LOADINGS) / scale[:, None], implied(layout, values)
        known = group.mean is not None
        found.append(LatentGroup(group.name, group.n, group.n / whole, layout, loadings, at, sample, known))
    return found


def given_by_data(fit: Fitted) -> tuple[list[Parameter], FloatArray]:
    """Moments of exogenous constructs that the data give, as if they were free, and their values.

    They are estimated by the sample's whatever the model says, so that residuals and score tests must count them in.
    Their places in theta follow those of the fit.
    """
    found = [
        (row, float(value)) for row, value in zip(fit.table, fit.estimates.value, strict=True) if row.given == "moment"
    ]
    start = fit.table.n_free + 1
    rows = [replace(row, free=start + i) for i, (row, _) in enumerate(found)]
    return rows, np.array([value for _, value in found])


def covariates_in(fit: Fitted) -> IntArray:
    """Places of the items that the ordinal items of a fit are conditioned on; none in a fit without thresholds."""
    if not fit.table.of("threshold"):
        return np.zeros(0, dtype=np.int64)
    items = [item.name for item in fit.model.items]
    names = [row.left for row in fit.table.of("variance") if row.given == "moment"]
    return np.array([items.index(fit.model.find(name).item_names[0]) for name in names], dtype=np.int64)


def require_continuous(fit: Fitted) -> None:
    """Refuse a fit of ordinal items, whose answers are not on the scale of its covariances."""
    if fit.traits.ordinal:
        raise EstimationError(
            f"This needs continuous items, but the fit is of ordinal ones (estimator={fit.estimator!r}).",
            hint="Fit with estimator='ML' or 'MLR'.",
        )


def require_people(fit: Fitted, what: str, instead: str) -> None:
    """Refuse a fit between units, whose rows are no people, saying what to use instead."""
    if fit.traits.levels == "predicted":
        raise EstimationError(f"{what} of a fit by method {fit.method!r}, which speaks of units.", hint=instead)


def only_group(fit: Fitted, name: str | None) -> str:
    """Name of the group that was meant; refused if there is none of that name, or several and none was named."""
    known = [group.name for group in fit.groups]
    if name is None and len(known) == 1:
        return known[0]
    if name is None or name not in known:
        if known in ([], [""]):
            raise RoxError(f"This fit has no groups, so there is no group {name!r}.", hint="Fit with group=.")
        if name is None:
            raise RoxError(f"This fit has {len(known)} groups.", hint=f"Name one of {listed(known)}.")
        raise RoxError(f"There is no group {name!r}.", hint=did_you_mean(str(name), known))
    return name


ScoreMethod: TypeAlias = Literal["regression", "bartlett"]
_SOURCE = "scored"
_AT_ONCE = 1 << 10  # patterns whose weights are found at once
_FLAT = 1e-9  # share of the largest eigenvalue below which answers say nothing of a direction


@dataclass(frozen=True, slots=True)
class _Weights:
    """How each pattern of answers becomes scores: level + (answers - mean) @ weights, (P, p, k), with se, (P, k).

    Items not answered have the weight 0; se is NaN where the answers do not tell a construct.
    """

    weights: FloatArray
    se: FloatArray


def factor_scores(fit: Fitted, data: object, method: ScoreMethod, group: str | None) -> pd.DataFrame:
    """See `Fit.factor_scores`."""
    import pandas as pd

    if method not in get_args(ScoreMethod):
        raise RoxError(f"method= was {method!r}.", hint=did_you_mean(str(method), get_args(ScoreMethod)))
    parts = latent_groups(fit)
    require_people(
        fit, "There are no factor scores of people", "Use fit.unit_scores(), or fit.save and the ScoringEngine."
    )
    require_continuous(fit)
    if not all(part.means for part in parts):
        raise EstimationError(
            "This fit comes from a printed matrix without means, so nobody's answers can be scored.",
            hint="Give the matrix its means.",
        )
    frame, index = _opened(fit, data, group)
    answers = _answers(fit, frame, strict=not isinstance(data, Mapping))
    codes = _codes(fit, frame, group)
    k = len(fit.model.names)
    scores, errors = np.full((len(answers), k), np.nan), np.full((len(answers), k), np.nan)
    for place, part in enumerate(parts):
        rows = np.flatnonzero(codes == place)
        scores[rows], errors[rows] = _scored(fit, part, answers[rows], method)
    columns = dict(zip(fit.model.names, scores.T, strict=True))
    columns |= {f"{name}_se": se for name, se in zip(fit.model.names, errors.T, strict=True)}
    return pd.DataFrame(columns, index=index)


def _opened(fit: Fitted, data: object, group: str | None) -> tuple[Frame, pd.Index[int] | None]:
    """The frame, and the index its scores shall have."""
    import pandas as pd

    from roxmodel.survey.frames import open_frame, require_columns

    wanted = [item.name for item in fit.model.items] + ([group] if group is not None else [])
    native = data
    if isinstance(data, Mapping):
        native = {key: value if np.ndim(value) else [value] for key, value in data.items()}
        if not set(wanted) & set(native):
            raise DataError(
                f"The mapping holds no item of the model, but {listed(native)}.", hint=f"Items: {listed(wanted)}."
            )
    frame = open_frame(_SOURCE, native, wanted)
    if group is not None:
        require_columns(_SOURCE, frame, [group])
    return frame, data.index if isinstance(data, pd.DataFrame) else None


def _answers(fit: Fitted, frame: Frame, *, strict: bool) -> FloatArray:
    """(n, p) answers, reversed items turned, NaN = missing; a mapping may leave items out."""
    from roxmodel.survey.frames import require_columns

    if strict:
        require_columns(_SOURCE, frame, [item.name for item in fit.model.items])
    found = np.full((len(frame), len(fit.model.items)), np.nan)
    for place, item in enumerate(fit.model.items):
        if item.name in frame.columns:
            sign, offset = item.reading
            found[:, place] = offset + sign * _checked(frame, item)
    return found


def _checked(frame: Frame, item: Item) -> FloatArray:
    """The answers to one item; unlike for a fit they may all be missing or the same."""
    from roxmodel.survey.frames import number_column

    codes = item.scale.codes if item.scale is not None else {}
    raw = np.nan if frame[item.name].is_null().all() else number_column(_SOURCE, frame, item.name, codes)
    values = np.broadcast_to(np.asarray(raw, dtype=np.float64), (len(frame),))
    wrong = np.isinf(values)
    for end, side in zip(item.ends, (-1.0, 1.0), strict=True):
        if end is not None:
            wrong = wrong | (side * values > side * end)
    if wrong.any():
        raise DataError(
            f"Item {item.name!r} has {int(wrong.sum())} answer(s) outside its scale, for example {values[wrong][0]:g}.",
            allowed="finite numbers" if item.scale is None else str(item.scale),
            hint="Correct them, or make them missing.",
        )
    return values


def _codes(fit: Fitted, frame: Frame, group: str | None) -> IntArray:
    """(n,) place of each row's group among those of the fit."""
    known = [one.name for one in fit.groups]
    if known == [""]:
        if group is not None:
            raise RoxError(f"group={group!r}, but this fit has no groups.", hint="Leave group= out.")
        return np.zeros(len(frame), dtype=np.int64)
    if group is None:
        raise RoxError(
            f"This fit has the groups {listed(known)}.", hint="Say which column tells them apart: group='region'."
        )
    from roxmodel.survey.frames import distinct

    codes, values = distinct(frame, group)
    places = {name: place for place, name in enumerate(known)}
    unknown = [value for value in values if str(value) not in places]
    if unknown or (codes < 0).any():
        what = f"{unknown[0]!r}" if unknown else "an empty entry"
        raise DataError(f"Column {group!r} holds {what}, which is no group of this fit.", allowed=listed(known))
    return np.array([places[str(value)] for value in values], dtype=np.int64)[codes]


def _scored(fit: Fitted, part: LatentGroup, answers: FloatArray, method: ScoreMethod) -> tuple[FloatArray, FloatArray]:
    """Scores and standard errors, (n, k) each; people of one pattern of missing answers have the same weights."""
    levels, mean = _levels(fit, part)
    known = ~np.isnan(answers)
    deviations = np.where(known, answers / part.layout.scale - mean, 0.0)
    scores, errors = (np.empty((len(answers), len(levels))) for _ in range(2))
    patterns, people = _patterns(known)
    weigh = {"regression": _regression, "bartlett": _bartlett}[method]
    for start in range(0, len(patterns), _AT_ONCE):
        how = weigh(part, patterns[start : start + _AT_ONCE])
        for rows, weights, se in zip(people[start : start + _AT_ONCE], how.weights, how.se, strict=True):
            scores[rows] = levels + deviations[rows] @ weights
            errors[rows] = se
    return np.where(np.isnan(errors), np.nan, scores), errors


def _levels(fit: Fitted, part: LatentGroup) -> tuple[FloatArray, FloatArray]:
    """(k,) levels of the constructs and (p,) means of the items, in units of the scale.

    Where no means are modelled they are the sample's: a one-item construct stands at its item's mean, and a latent
    one where its causes put it.
    """
    if part.layout.means:
        return part.at.levels, part.at.mu
    k = len(fit.model.names)
    equations, known = np.linalg.inv(part.at.total), np.zeros(k)
    for place, construct in enumerate(fit.model.constructs):
        if len(construct.items) == 1:
            at = part.layout.items.index(construct.item_names[0])
            equations[place] = np.eye(k)[place]
            known[place] = part.sample.mean[at] / part.loadings[at, place]
    return np.linalg.solve(equations, known), part.sample.mean


def _patterns(known: BoolArray) -> tuple[BoolArray, list[IntArray]]:
    """(P, p) distinct patterns of answers, and the rows of each."""
    if not len(known):
        return known, []
    packed = np.packbits(known, axis=1)
    keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=len(first)))
    return known[first], np.split(order, ends[:-1])


def _weighted(part: LatentGroup, there: BoolArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(P, p, k) columns of the items answered, 0 for the others, and Σ⁻¹ times them."""
    both = there[:, :, None] & there[:, None, :]
    masked = np.where(both, part.at.sigma, np.eye(there.shape[1]))
    kept = np.where(there[:, :, None], columns, 0.0)
    return kept, np.linalg.solve(masked, kept)


def _regression(part: LatentGroup, there: BoolArray) -> _Weights:
    """E[η | answers]: Φ Λ' Σ⁻¹, se √diag(Φ - Φ Λ' Σ⁻¹ Λ Φ)."""
    spread, weights = _weighted(part, there, part.at.spread)
    return _Weights(weights, _root(np.diag(part.at.latent) - (spread * weights).sum(axis=1), part))


def _bartlett(part: LatentGroup, there: BoolArray) -> _Weights:
    """(Λ'Σ⁻¹Λ)⁻¹ Λ'Σ⁻¹, se √diag((Λ'Σ⁻¹Λ)⁻¹ - Φ): with Σ⁻¹ it is the same as with Θ⁻¹, and Θ may be singular."""
    lam, inner = _weighted(part, there, part.loadings)
    precision = lam.swapaxes(1, 2) @ inner
    unit = np.sqrt(np.maximum(np.diagonal(precision, axis1=1, axis2=2), 0.0))
    unit = np.where(unit > 0, unit, 1.0)
    units = unit[:, :, None] * unit[:, None, :]
    values, vectors = np.linalg.eigh(precision / units)
    known = values > _FLAT * np.maximum(values[:, -1:], _FLAT)
    shares = np.where(known, 1.0 / np.where(known, values, 1.0), 0.0)
    inverse = (vectors * shares[:, None, :]) @ vectors.swapaxes(1, 2) / units
    told = (np.where(known[:, None, :], 0.0, np.abs(vectors)) < 1e-6).all(axis=2)
    se = _root(np.diagonal(inverse, axis1=1, axis2=2) - np.diag(part.at.latent), part)
    return _Weights(inner @ inverse, np.where(told, se, np.nan))


def _root(variances: FloatArray, part: LatentGroup) -> FloatArray:
    """Square roots; what rounding leaves of a variance of 0 is 0."""
    small = 1e-12 * np.abs(np.diag(part.at.latent))
    return np.asarray(np.sqrt(np.where(variances > small, variances, 0.0)))
