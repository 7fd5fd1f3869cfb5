"""Scores of latent constructs for people: regression and Bartlett, with standard errors, missing answers allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from roxmodel.errors import DataError, EstimationError, RoxError, did_you_mean, listed
from roxmodel.result.latent import LatentGroup, latent_groups
from roxmodel.spec.questionnaire import Item
from roxmodel.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.result.fitted import Fitted
    from roxmodel.survey.frames import Frame

__all__ = ["ScoreMethod", "factor_scores"]

ScoreMethod: TypeAlias = Literal["regression", "bartlett"]

_SOURCE = "data"
_FLAT = 1e-9  # share of the largest eigenvalue below which answers say nothing of a direction


@dataclass(frozen=True, slots=True)
class _Weights:
    """How one pattern of answers becomes scores: level + (answers - mean) @ weights, with se; (k,) and (a, k)."""

    weights: FloatArray
    se: FloatArray


def factor_scores(fit: Fitted, data: object, method: ScoreMethod, group: str | None) -> pd.DataFrame:
    """See `Fit.factor_scores`."""
    import pandas as pd

    if method not in get_args(ScoreMethod):
        raise RoxError(f"method= was {method!r}.", hint=did_you_mean(str(method), get_args(ScoreMethod)))
    parts = latent_groups(fit)
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
    from roxmodel.survey.numbers import number_column

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
    """Scores and standard errors, (n, k) each, pattern by pattern."""
    layout = part.layout
    levels, mean = _levels(fit, part)
    deviations = answers / layout.scale - mean
    scores, errors = (np.empty((len(answers), len(levels))) for _ in range(2))
    for rows, there in _patterns(answers):
        how = _regression(part, there) if method == "regression" else _bartlett(part, there)
        found = levels + deviations[np.ix_(rows, there)] @ how.weights
        scores[rows] = np.where(np.isnan(how.se), np.nan, found)
        errors[rows] = how.se
    return scores, errors


def _levels(fit: Fitted, part: LatentGroup) -> tuple[FloatArray, FloatArray]:
    """(k,) levels of the constructs and (p,) means of the items, in units of the scale.

    Where no means are modelled they are the sample's, and a one-item construct stands at its item's mean.
    """
    if part.layout.means:
        return part.at.levels, part.at.mu
    levels = np.zeros(len(fit.model.names))
    for place, construct in enumerate(fit.model.constructs):
        if len(construct.items) == 1:
            at = part.layout.items.index(construct.item_names[0])
            loading = next((r.value for r in fit.table.of("loading") if r.left == construct.name), None)
            levels[place] = part.sample.mean[at] * part.layout.scale[at] / (loading or 1.0)
    return levels, part.sample.mean


def _patterns(answers: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of each pattern of missing answers, and the places of the items answered."""
    there = ~np.isnan(answers)
    if not len(there):
        return
    packed = np.packbits(there, axis=1)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=len(first)))
    for one, rows in zip(first, np.split(order, ends[:-1]), strict=True):
        yield rows, np.flatnonzero(there[one])


def _regression(part: LatentGroup, there: IntArray) -> _Weights:
    """E[η | answers]: Φ Λ' Σ⁻¹, se √diag(Φ - Φ Λ' Σ⁻¹ Λ Φ)."""
    spread = part.at.spread[there]
    weights = np.linalg.solve(part.at.sigma[np.ix_(there, there)], spread)
    return _Weights(weights, _root(np.diag(part.at.latent) - (spread * weights).sum(axis=0), part))


def _bartlett(part: LatentGroup, there: IntArray) -> _Weights:
    """(Λ'Σ⁻¹Λ)⁻¹ Λ'Σ⁻¹, se √diag((Λ'Σ⁻¹Λ)⁻¹ - Φ): with Σ⁻¹ it is the same as with Θ⁻¹, and Θ may be singular."""
    lam = np.linalg.solve(part.at.total.T, part.at.reach[there].T).T
    inner = np.linalg.solve(part.at.sigma[np.ix_(there, there)], lam)
    precision = lam.T @ inner
    unit = np.sqrt(np.maximum(np.diag(precision), 0.0))
    unit = np.where(unit > 0, unit, 1.0)
    values, vectors = np.linalg.eigh(precision / np.outer(unit, unit))
    known = values > _FLAT * max(values[-1], _FLAT)
    inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T / np.outer(unit, unit)
    told = (np.abs(vectors[:, ~known]) < 1e-6).all(axis=1)
    weights, se = inner @ inverse, _root(np.diag(inverse) - np.diag(part.at.latent), part)
    return _Weights(np.where(told, weights, np.nan), np.where(told, se, np.nan))


def _root(variances: FloatArray, part: LatentGroup) -> FloatArray:
    """Square roots; what rounding leaves of a variance of 0 is 0."""
    small = 1e-12 * np.abs(np.diag(part.at.latent))
    return np.asarray(np.sqrt(np.where(variances > small, variances, 0.0)))
