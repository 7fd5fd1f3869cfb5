"""What method "sem" estimates from: moments of each group, and the rows where errors or replicates need them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import DataError, EstimationError, did_you_mean
from roxmodel.estimate.sem.options import Options
from roxmodel.estimate.sem.patterns import Patterns, patterns_of
from roxmodel.implied.normal import Target
from roxmodel.moments.checks import require_positive_definite
from roxmodel.moments.single import Moments
from roxmodel.spec.graph import RoxModel
from roxmodel.survey.answers import read_answers
from roxmodel.survey.frames import Frame, open_frame, raw_column, require_columns
from roxmodel.types import FloatArray, IntArray

__all__ = ["GroupSample", "Sample", "sample_of_frame", "sample_of_moments"]

_BLOCK = 1 << 15  # rows handled at once
_FEWEST = 5  # respondents in any number that a fit keeps


@dataclass(frozen=True, slots=True)
class GroupSample:
    """One group of respondents, in units of `Sample.scale`.

    Attributes
    ----------
    name
        Of the group, empty for one group.
    n
        Rows, or the sum of their frequencies.
    target
        (p) means and (p, p) covariances, divisor n; with missing answers those of the available answers.
    patterns
        Moments by pattern of missingness; None for complete data.
    rows
        (m, p) answers, NaN = missing; None where only moments are known.
    weights
        (m,) how much each row counts, summing to n (frequencies) or to their share of n (sampling weights).
    sampling
        Whether the weights are sampling weights.
    clusters
        (m,) 0…C-1, or None.
    places
        (m,) the rows' places in the frame.
    """

    name: str
    n: float
    target: Target
    patterns: Patterns | None
    rows: FloatArray | None
    weights: FloatArray | None
    sampling: bool
    clusters: IntArray | None
    places: IntArray | None


@dataclass(frozen=True, slots=True)
class Sample:
    """All groups.

    Attributes
    ----------
    items
        (p,) observed variables.
    scale
        (p,) standard deviations that everything is expressed in.
    groups
        One or more.
    mean
        (p,) means over all groups in the items' units, None where a printed matrix had none.
    low, high
        (p,) means of the five smallest and of the five largest answers (no respondent's own), None without ten.
    dropped
        Rows left out because an answer was missing (listwise) or all were (fiml).
    notes
        What a reader must know of how the data were read.
    """

    items: tuple[str, ...]
    scale: FloatArray
    groups: tuple[GroupSample, ...]
    mean: FloatArray | None
    low: FloatArray | None
    high: FloatArray | None
    dropped: int
    notes: tuple[str, ...]

    @property
    def n(self) -> float:
        """Rows over all groups."""
        return float(sum(group.n for group in self.groups))

    @property
    def complete(self) -> bool:
        """Whether no answer is missing."""
        return all(group.patterns is None for group in self.groups)


def sample_of_moments(model: RoxModel, moments: Moments) -> Sample:
    """Read a printed matrix."""
    names = tuple(item.name for item in model.items)
    for name in names:
        if name not in moments.names:
            raise DataError(f"The moments hold no variable {name!r}.", hint=did_you_mean(name, moments.names))
    own = moments.select(names)
    signs = np.array([item.reading[0] for item in model.items])
    offsets = np.array([item.reading[1] for item in model.items])
    covariance = own.covariance * np.outer(signs, signs) * (own.n - 1) / own.n
    scale = np.sqrt(np.diag(covariance))
    mean = None if own.mean is None else offsets + signs * own.mean
    target = Target(np.zeros(len(names)) if mean is None else mean / scale, covariance / np.outer(scale, scale))
    group = GroupSample("", float(own.n), target, None, None, None, False, None, None)
    _refuse_thin(names, float(own.n), "")
    note = "From moments: no rows, so errors rest on normal answers."
    return Sample(names, scale, (group,), mean, None, None, own.n_dropped, (note,))


@dataclass(frozen=True, slots=True)
class _Columns:
    """The frame as arrays: answers (n, p) turned, weights, groups and clusters by row."""

    values: FloatArray
    weights: FloatArray | None
    groups: tuple[IntArray, tuple[str, ...]]
    clusters: IntArray | None


def sample_of_frame(model: RoxModel, native: object, options: Options) -> Sample:
    """Read a frame that holds all items of a person in one row.

    Raises
    ------
    DataError, EstimationError
        For a column that is missing or cannot be used, constant within a group, collinear, or too few rows.
    """
    names = tuple(item.name for item in model.items)
    found = _columns(model, native, options)
    kept = _kept(found, options, names)
    whole = len(kept) == len(found.values)
    values = found.values if whole else found.values[kept]
    scale, mean = _scale(values, None if found.weights is None else found.weights[kept], names)
    low, high = _outermost(values)
    values /= scale
    codes, labels = found.groups
    dropped = len(found.values) - len(kept)
    picked = replace(
        found,
        values=values,
        weights=None if found.weights is None else found.weights[kept],
        groups=(codes[kept], labels),
        clusters=None if found.clusters is None else found.clusters[kept],
    )
    groups = tuple(_group(picked, place, kept, options, names) for place in range(len(labels)))
    notes = (f"{dropped} of {len(kept) + dropped} rows miss an answer and are left out (listwise).",) if dropped else ()
    if options.missing == "fiml" and dropped:
        notes = (f"{dropped} of {len(kept) + dropped} rows hold no answer at all and are left out.",)
    return Sample(names, scale, groups, mean, low, high, dropped, notes)


def _outermost(values: FloatArray) -> tuple[FloatArray | None, FloatArray | None]:
    """Ends of what was answered: a fit and its document hold no respondent's own answer."""
    ends = np.empty((2, values.shape[1]))
    for place, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if len(known) < 2 * _FEWEST:
            return None, None
        parted = np.partition(known, (_FEWEST - 1, -_FEWEST))
        ends[:, place] = parted[:_FEWEST].mean(), parted[-_FEWEST:].mean()
    return ends[0], ends[1]


def _columns(model: RoxModel, native: object, options: Options) -> _Columns:
    others = [c for c in (options.group, options.cluster, options.weight, options.frequency) if c is not None]
    names = [item.name for item in model.items]
    frame = open_frame("data", native, [*names, *others])
    require_columns("data", frame, names)
    require_columns("data", frame, others)
    values = np.empty((len(frame), len(names)))
    for place, item in enumerate(model.items):
        sign, offset = item.reading
        answers = read_answers("data", frame, item, coerce=False).values
        values[:, place] = answers if (sign, offset) == (1.0, 0.0) else offset + sign * answers
    weights = _weights(frame, options)
    codes, labels = _labelled(frame, options.group, "group") if options.group is not None else (None, ("",))
    clusters = None if options.cluster is None else _labelled(frame, options.cluster, "cluster")[0]
    where = np.zeros(len(frame), dtype=np.int64) if codes is None else codes
    return _Columns(values, weights, (where, labels), clusters)


def _weights(frame: Frame, options: Options) -> FloatArray | None:
    name, option = (options.weight, "weight") if options.weight is not None else (options.frequency, "frequency")
    if name is None:
        return None
    try:
        weights = np.asarray(raw_column(frame, name), dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{option}= column {name!r} holds no numbers.", allowed="numbers of at least 0") from None
    bad = ~np.isfinite(weights) | (weights < 0)
    if option == "frequency":
        bad |= weights != np.round(weights)
    if bad.any():
        kind = "whole numbers" if option == "frequency" else "numbers"
        raise DataError(
            f"{option}= column {name!r} holds {weights[bad][0]:g} in {int(bad.sum())} row(s).",
            allowed=f"{kind} of at least 0",
        )
    if not weights.any():
        raise DataError(f"{option}= column {name!r} is 0 in every row.", hint="Leave it out.")
    return weights


def _labelled(frame: Frame, column: str, option: str) -> tuple[IntArray, tuple[str, ...]]:
    """Codes 0…G-1 in order of appearance, and the labels."""
    import pandas as pd

    codes, found = pd.factorize(np.asarray(raw_column(frame, column).tolist(), dtype=object))
    missing = int((codes < 0).sum())
    if missing:
        raise DataError(f"{option}= column {column!r} is empty in {missing} row(s).", hint="Fill it or drop the rows.")
    if len(found) < 2:
        raise DataError(f"{option}= column {column!r} holds one {option} only.", allowed="at least 2")
    return np.asarray(codes, dtype=np.int64), tuple(str(label) for label in found)


def _kept(found: _Columns, options: Options, names: tuple[str, ...]) -> IntArray:
    """Places of the rows that count."""
    use = np.ones(len(found.values), dtype=bool) if found.weights is None else found.weights > 0
    missing = np.zeros(len(names))
    for low in range(0, len(use), _BLOCK):
        holes = np.isnan(found.values[low : low + _BLOCK])
        missing += holes.sum(axis=0)
        use[low : low + _BLOCK] &= ~(holes.all(axis=1) if options.missing == "fiml" else holes.any(axis=1))
    kept = np.flatnonzero(use)
    if len(kept) < 2:
        worst = int(missing.argmax())
        raise DataError(
            f"Only {len(kept)} of {len(use)} rows are complete.",
            hint=f"{names[worst]!r} is missing most often ({missing[worst]:g} times); missing='fiml' uses all answers.",
        )
    return kept


def _scale(
    values: FloatArray, weights: FloatArray | None, names: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """Standard deviations and means of the answers that are there."""
    count, total, square = (np.zeros(values.shape[1]) for _ in range(3))
    shift = np.nanmean(values[: min(len(values), 1000)], axis=0)
    shift = np.where(np.isnan(shift), 0.0, shift)
    for low in range(0, len(values), _BLOCK):
        block = values[low : low + _BLOCK] - shift
        there = ~np.isnan(block)
        own = np.ones(len(block)) if weights is None else weights[low : low + _BLOCK]
        block = np.where(there, block, 0.0)
        count += own @ there
        total += own @ block
        square += own @ (block * block)
    mean = total / count
    variance = square / count - mean * mean
    for name, spread, middle in zip(names, variance, mean + shift, strict=True):
        if not spread > 1e-20 * (middle * middle + 1e-300):
            raise DataError(f"{name!r} is constant ({middle:g}) in the rows used.", hint="Leave it out.")
    return np.sqrt(variance), mean + shift


def _group(
    found: _Columns, place: int, kept: IntArray, options: Options, names: tuple[str, ...]
) -> GroupSample:
    codes, labels = found.groups
    one = len(labels) == 1
    at = slice(None) if one else np.flatnonzero(codes == place)
    rows, where = found.values[at], kept[at]
    weights, sampling = None, options.weight is not None
    n = float(len(rows))
    if found.weights is not None:
        weights = found.weights[at].astype(np.float64)
        if sampling:
            weights = weights * (len(found.weights) / found.weights.sum())
        n = float(weights.sum())
    label = labels[place]
    _refuse_thin(names, n, label)
    patterns = patterns_of(rows, weights) if np.isnan(rows).any() else None
    target = _available(rows, weights) if patterns is not None else _complete(rows, weights)
    _refuse_degenerate(target, names, label)
    clusters = None if found.clusters is None else found.clusters[at]
    return GroupSample(label, n, target, patterns, rows, weights, sampling, clusters, where)


def _complete(rows: FloatArray, weights: FloatArray | None) -> Target:
    """Means and covariances, divisor n, block by block around a provisional mean."""
    p, shift = rows.shape[1], rows[: min(len(rows), 1000)].mean(axis=0)
    total, products, count = np.zeros(p), np.zeros((p, p)), 0.0
    for low in range(0, len(rows), _BLOCK):
        block = rows[low : low + _BLOCK] - shift
        if weights is None:
            count += len(block)
            total += block.sum(axis=0)
            products += block.T @ block
        else:
            own = weights[low : low + _BLOCK]
            count += float(own.sum())
            total += own @ block
            products += (block * own[:, None]).T @ block
    middle = total / count
    return Target(middle + shift, products / count - np.outer(middle, middle))


def _available(rows: FloatArray, weights: FloatArray | None) -> Target:
    """Means and variances of the available answers, covariances of the available pairs: only to start from."""
    own = np.ones(len(rows)) if weights is None else weights
    there = ~np.isnan(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (own @ np.where(there, rows, 0.0)) / (own @ there)
        centred = np.where(there, rows - mean, 0.0)
        pairs = (centred * own[:, None]).T @ centred / ((there * own[:, None]).T @ there)
    spread = np.sqrt(np.diag(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(pairs / np.outer(spread, spread))
    np.fill_diagonal(correlation, 1.0)
    lowest = float(np.linalg.eigvalsh(correlation)[0])
    if lowest < 0.01:  # pairs of different rows need not fit together: draw towards no correlation
        share = (0.01 - lowest) / (1.0 - lowest)
        correlation = (1 - share) * correlation + share * np.eye(len(spread))
    return Target(mean, correlation * np.outer(spread, spread))


def _refuse_thin(names: tuple[str, ...], n: float, label: str) -> None:
    if n <= len(names):
        where = f" in group {label!r}" if label else ""
        raise EstimationError(
            f"There are {n:g} rows{where} for {len(names)} items: their covariance matrix is singular.",
            allowed="more rows than items, better 10 rows for each parameter",
            hint="Use fewer items or groups, or method='path'.",
        )


def _refuse_degenerate(target: Target, names: tuple[str, ...], label: str) -> None:
    where = f" in group {label!r}" if label else ""
    spread = np.diag(target.covariance)
    for name, variance in zip(names, spread, strict=True):
        if not variance > 1e-20:
            raise DataError(f"{name!r} is constant{where}.", hint="Leave the item out, or that group.")
    scale = np.sqrt(spread)
    correlation = target.covariance / np.outer(scale, scale)
    twins = np.argwhere(np.abs(np.tril(correlation, -1)) > 1 - 1e-10)
    if len(twins):
        a, b = (names[i] for i in twins[0])
        raise EstimationError(
            f"The items {b!r} and {a!r} are the same up to scale{where}: their correlation is "
            f"{correlation[twins[0][0], twins[0][1]]:+.6f}.",
            hint="Leave one of them out.",
        )
    try:
        require_positive_definite(correlation, names)
    except DataError as error:
        raise EstimationError(f"{error.problem}{where}", hint=error.hint) from None

