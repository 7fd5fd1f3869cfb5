"""What method "sem" estimates from: moments of each group, and the rows where errors or replicates need them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from roxmodel.errors import DataError, EstimationError, did_you_mean, listed
from roxmodel.estimate.latent.sample import GroupSample, Sample
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.identification import FEWEST, completed, together_of
from roxmodel.implied.likelihood import Target, cells_of_rows
from roxmodel.moments.single import Moments
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import plan
from roxmodel.survey.answers import Columns, columns_of
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = [
    "covariates_of", "sample_of_frame", "sample_of_moments",
]  # fmt: skip

_BLOCK = 1 << 15  # rows handled at once
_FEWEST = 5  # respondents in any number that a fit keeps


def sample_of_moments(model: RoxModel, moments: Moments) -> Sample:
    """Read a printed matrix."""
    names = tuple(item.name for item in model.items)
    for name in names:
        if name not in moments.names:
            raise DataError(f"The moments hold no variable {name!r}.", hint=did_you_mean(name, moments.names))
    own = moments.select(names)
    own = Moments.from_covariance(names, own.covariance, own.mean, own.n)  # whoever made them may not have checked
    signs = np.array([item.reading[0] for item in model.items])
    offsets = np.array([item.reading[1] for item in model.items])
    covariance = own.covariance * np.outer(signs, signs) * (own.n - 1) / own.n
    scale = np.sqrt(np.diag(covariance))
    mean = None if own.mean is None else offsets + signs * own.mean
    target = Target(np.zeros(len(names)) if mean is None else mean / scale, covariance / np.outer(scale, scale))
    group = GroupSample("", float(own.n), target)
    _refuse_thin(names, float(own.n), "")
    note = "From moments: no rows, so errors rest on normal answers."
    return Sample(names, scale, (group,), mean, None, None, moments.n_dropped, (note,))


def sample_of_frame(model: RoxModel, native: object, options: SemOptions) -> Sample:
    """Read a frame that holds all items of a person in one row.

    Raises DataError or EstimationError for a column that is missing or cannot be used, constant within a group,
    collinear, or too few rows.
    """
    names = tuple(item.name for item in model.items)
    asked = {name: getattr(options, name) for name in ("group", "cluster", "weight", "frequency")}
    found = columns_of(model, native, **asked)
    given = covariates_of(model)
    kept = _rows_kept(found, options, names, tuple(names.index(name) for name in given))
    every = len(found.values)
    if kept is not None:
        found = _picked(found, kept)
    places = np.arange(every) if kept is None else kept
    markers = [names.index(construct.item_names[0]) for construct in model.constructs]
    low, high = _outermost(found.values, markers)
    raw = [_raw_group(found, group, places, (options, names)) for group in range(len(found.groups[1]))]
    scale, mean = _scale(raw)
    groups = tuple(_scaled(group, scale, (options, names)) for group in raw)
    dropped = every - len(places)
    notes = (f"{dropped} of {every} rows {_why(options, given)}.",) if dropped else ()
    return Sample(names, scale, groups, mean, low, high, dropped, notes)


def covariates_of(model: RoxModel) -> tuple[str, ...]:
    """Items whose moments among themselves the data give: exogenous, observed, fixed."""
    if model.exogenous == "free" or not any(model.find(name).observed for name in model.exogenous_names):
        return ()
    rows = plan(model, "reflective", False).of("variance")
    constructs = dict.fromkeys(row.left for row in rows if row.given == "moment" and row.left in model.names)
    return tuple(model.find(name).item_names[0] for name in constructs)


def _why(options: SemOptions, given: tuple[str, ...]) -> str:
    if options.missing != "fiml":
        return "miss an answer and are left out (listwise)"
    if not given:
        return "hold no answer at all and are left out"
    return (
        f"hold no answer at all, or miss an exogenous variable that the data give ({', '.join(given)}), and are left "
        "out; exogenous='free' would keep them"
    )


def _picked(found: Columns, kept: IntArray) -> Columns:
    codes, labels = found.groups
    return Columns(
        values=np.asfortranarray(found.values[kept]),
        holes=found.holes,
        weights=None if found.weights is None else found.weights[kept],
        groups=(None if codes is None else codes[kept], labels),
        clusters=None if found.clusters is None else found.clusters[kept],
    )


def _outermost(values: FloatArray, columns: list[int]) -> tuple[FloatArray | None, FloatArray | None]:
    """Ends of what was answered: a fit and its document hold no respondent's own answer."""
    ends = np.full((2, values.shape[1]), np.nan)
    for place in columns:
        column = values[:, place]
        known = column[~np.isnan(column)]
        if len(known) < 2 * _FEWEST:
            return None, None
        parted = np.partition(known, (_FEWEST - 1, -_FEWEST))
        ends[:, place] = parted[:_FEWEST].mean(), parted[-_FEWEST:].mean()
    return ends[0], ends[1]


def _raw_group(found: Columns, place: int, places: IntArray, asked: tuple[SemOptions, tuple[str, ...]]) -> GroupSample:
    """One group in the items' own units."""
    options, names = asked
    codes, labels = found.groups
    at = slice(None) if codes is None else np.flatnonzero(codes == place)
    rows = found.values[at]
    weights, n = None, float(len(rows))
    if found.weights is not None:
        weights = found.weights[at].astype(np.float64)
        if options.weight is not None:
            weights = weights * (len(found.weights) / found.weights.sum())
        n = float(weights.sum())
    _refuse_thin(names, n, labels[place])
    holes = bool(found.holes.any()) and bool(np.isnan(rows).any())
    target = _available(rows, weights, names, labels[place]) if holes else _complete(rows, weights)
    clusters = None if found.clusters is None else found.clusters[at]
    if clusters is not None and len(np.unique(clusters)) < 2:
        whose = f"Group {labels[place]!r} has" if labels[place] else "The rows that are left have"
        raise EstimationError(
            f"{whose} one cluster only ({options.cluster!r}): nothing says how much clusters differ.",
            allowed="at least 2, better 30",
            hint="Leave cluster= out, or group the rows by another column.",
        )
    sampling = options.weight is not None
    return GroupSample(labels[place], n, target, None, rows, weights, sampling, clusters, places[at])


def _scale(groups: list[GroupSample]) -> tuple[FloatArray, FloatArray]:
    """Standard deviations and means over all groups."""
    share = np.array([group.n for group in groups]) / sum(group.n for group in groups)
    mean = share @ np.stack([group.target.mean for group in groups])
    spread = np.stack([np.diag(g.target.covariance) + (g.target.mean - mean) ** 2 for g in groups])
    variance = share @ spread
    return np.sqrt(np.where(variance > 0, variance, 1.0)), np.asarray(mean)


def _scaled(group: GroupSample, scale: FloatArray, asked: tuple[SemOptions, tuple[str, ...]]) -> GroupSample:
    """The group in units of the scale, with its patterns of missingness; without its rows where nothing needs them."""
    options, names = asked
    target = Target(group.target.mean / scale, group.target.covariance / np.outer(scale, scale))
    _refuse_degenerate(target, names, group.name)
    rows = group.rows
    if rows is None or not _needs_rows(options):
        return replace(group, target=target, rows=None)
    rows /= scale
    patterns = cells_of_rows(rows, group.weights) if np.isnan(rows[0]).any() or np.isnan(rows).any() else None
    return replace(group, target=target, rows=rows, patterns=patterns)


def _needs_rows(options: SemOptions) -> bool:
    """Whether errors, tests or replicates go back to the rows."""
    plain = options.estimator == "ML" and options.se == "standard" and options.missing == "listwise"
    sandwich = options.weight is not None or options.cluster is not None
    return not plain or sandwich or options.bootstrap > 0


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


def _available(rows: FloatArray, weights: FloatArray | None, names: tuple[str, ...], label: str) -> Target:
    """Means and variances of the available answers, covariances of the available pairs: only to start from.

    Pairs of items that nobody answered both of follow from what joins them.
    """
    own = np.ones(len(rows)) if weights is None else weights
    there = ~np.isnan(rows)
    together = (there * own[:, None]).T @ there
    for item in np.flatnonzero(np.diag(together) <= 0):
        where = f" in group {label!r}" if label else ""
        raise DataError(f"Nobody answered {names[item]!r}{where}.", hint="Leave the item out, or that group.")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (own @ np.where(there, rows, 0.0)) / (own @ there)
        centred = np.where(there, rows - mean, 0.0)
        pairs = (centred * own[:, None]).T @ centred / together
    spread = np.sqrt(np.diag(pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(pairs / np.outer(spread, spread))
    np.fill_diagonal(correlation, 1.0)
    correlation = completed(correlation, together_of(there) >= FEWEST)  # pairs of items that never met
    lowest = float(np.linalg.eigvalsh(correlation)[0])
    if lowest < 0.01:  # pairs of different rows need not fit together: draw towards no correlation
        share = (0.01 - lowest) / (1.0 - lowest)
        correlation = (1 - share) * correlation + share * np.eye(len(spread))
    return Target(mean, correlation * np.outer(spread, spread))


def _refuse_thin(names: tuple[str, ...], n: float, label: str) -> None:
    if n <= len(names):
        whose = f"Group {label!r} has only" if label else "The data have only"
        raise EstimationError(
            f"{whose} {n:g} row{'' if n == 1 else 's'} for {len(names)} items: their covariance matrix is singular.",
            allowed="more rows than items, better 10 rows for each parameter",
            hint="Use fewer items or groups, or method='path'.",
        )


def _refuse_degenerate(target: Target, names: tuple[str, ...], label: str) -> None:
    where = f" in group {label!r}" if label else ""
    spread = np.diag(target.covariance)
    for name, variance, middle in zip(names, spread, target.mean, strict=True):
        if not variance > 1e-20 * max(1.0, middle * middle):
            problem = f"{name!r} is constant{where}, or varies by less than a ten-billionth of its mean."
            raise DataError(problem, hint=f"Leave the item out{', or that group' if label else ''}.")
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
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < 1e-10:
        part = np.abs(vectors[:, 0]) > 0.1
        raise EstimationError(
            f"The items {listed([name for name, own in zip(names, part, strict=True) if own])} determine each other "
            f"exactly{where}: one of them is a sum of the others.",
            hint="Leave one of them out.",
        )


def _rows_kept(
    found: Columns, options: SemOptions, names: tuple[str, ...], given: tuple[int, ...] = ()
) -> IntArray | None:
    """Places of the rows that count; None = all of them. What the data give must be there, even with "fiml"."""
    some = found.weights is not None and not found.weights.all()
    if not found.holes.any() and not some:
        return None if len(found.values) > 1 else _refused(found, np.ones(1, dtype=bool), names)
    use = np.ones(len(found.values), dtype=bool) if found.weights is None else found.weights > 0
    there = ~np.isnan(found.values)
    if options.missing == "fiml":
        use &= there.any(axis=1) & there[:, list(given)].all(axis=1)
    else:
        use &= there.all(axis=1)
    return np.flatnonzero(use) if use.sum() > 1 else _refused(found, use, names)


def _refused(found: Columns, use: BoolArray, names: tuple[str, ...]) -> IntArray:
    missing = np.isnan(found.values).sum(axis=0)
    worst = int(missing.argmax())
    hint = f"{names[worst]!r} is missing most often ({missing[worst]} times); missing='fiml' uses all answers."
    raise DataError(
        f"Only {int(use.sum())} of {len(use)} rows are complete.", hint=hint if missing.any() else "Give more rows."
    )
