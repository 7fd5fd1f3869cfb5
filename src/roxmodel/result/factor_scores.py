"""Scores of latent constructs for people: regression and Bartlett, with standard errors, missing answers allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean, listed
from roxmodel.result.latent import LatentGroup, latent_groups, require_continuous, require_people
from roxmodel.spec.questionnaire import Item
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted
    from roxmodel.survey.frames import Frame

__all__ = ["ScoreMethod", "factor_scores"]

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
    raw = number_column(_SOURCE, frame, item.name, codes) if not _empty(frame, item.name) else np.nan
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


def _empty(frame: Frame, name: str) -> bool:
    return bool(frame[name].is_null().all())


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
    weigh = _regression if method == "regression" else _bartlett
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
