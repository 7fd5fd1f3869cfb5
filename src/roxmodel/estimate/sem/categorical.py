"""Method "sem" for ordinal items: thresholds and polychoric correlations, then weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import DataError, RoxError, SpecError, did_you_mean
from roxmodel.estimate.sem.first_step import first_step_of
from roxmodel.estimate.sem.inference import Bread, beside_bound, bread_of
from roxmodel.estimate.sem.optimizer import Minimum, minimise
from roxmodel.estimate.sem.options import Options
from roxmodel.estimate.sem.ordinal import OrdinalMoments, ordinal_moments
from roxmodel.estimate.sem.planning import lower_bounds, owner_of, refuse_free_lags
from roxmodel.estimate.sem.sample import GroupSample, Sample, sample_of_frame
from roxmodel.estimate.sem.weighted import WeightedCovariances, covariance_part, weighted_indices, weighted_vcov
from roxmodel.implied.identification import require_identified
from roxmodel.implied.layout import Layout, lay_out, residual_of
from roxmodel.implied.matrices import implied
from roxmodel.implied.normal import Expansion, Target
from roxmodel.implied.starts import start_values
from roxmodel.moments.single import Moments
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, plan
from roxmodel.spec.questionnaire import Binary, Likert
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["CategoricalSolution", "categories_of", "ordinal_items", "refit_categorical", "solve_categorical"]

_MOST_CATEGORIES = 30
_LEFT = "1 minus what its construct explains"


@dataclass(frozen=True, slots=True)
class CategoricalSolution:
    """What weighted least squares found; fields as in `roxmodel.estimate.sem.solve.LatentSolution`."""

    table: ParameterTable
    layout: Layout
    sample: Sample
    given: dict[str, float]
    found: Minimum
    vcov: FloatArray
    bread: Bread
    indices: dict[str, float]
    moments: Target


def ordinal_items(model: RoxModel, ordered: Sequence[str] | bool | None) -> BoolArray:
    """(p,) which items are ordinal.

    Raises
    ------
    RoxError
        For an unknown name, or if no item is ordinal.
    """
    names = [item.name for item in model.items]
    if isinstance(ordered, str):
        ordered = [ordered]
    if ordered is True:
        return np.ones(len(names), dtype=bool)
    if ordered is None or ordered is False:
        found = np.array([isinstance(item.scale, Likert | Binary) for item in model.items])
        if not found.any():
            raise RoxError(
                "estimator='DWLS' is for ordinal items, but no item has a scale of ordered answers.",
                hint="Declare it (scale=rox.Likert(1, 5)), or say ordered=True or ordered=[names].",
            )
        return found
    for name in ordered:
        if name not in names:
            raise RoxError(f"ordered= names {name!r}, which is no item.", hint=did_you_mean(str(name), names))
    return np.array([name in set(ordered) for name in names])


def categories_of(model: RoxModel, sample: Sample, ordinal: BoolArray) -> OrdinalMoments:
    """Statistics of the rows, continuous items in units of the sample's scale."""
    group = sample.groups[0]
    rows = group.rows
    if rows is None:
        raise ValueError("ordinal items need rows")  # callers refuse moments before
    weights = group.weights
    names = [item.name for item in model.items]
    for name, column, own in zip(names, rows.T, ordinal, strict=True):
        count = len(np.unique(column)) if own else 0
        if count > _MOST_CATEGORIES:
            raise DataError(
                f"{name!r} was to be ordinal, but it has {count} different answers.",
                allowed=f"at most {_MOST_CATEGORIES}",
                hint="Leave it out of ordered= (it is then continuous), or merge categories.",
            )
    return ordinal_moments(rows, ordinal, names, weights)


def solve_categorical(model: RoxModel, data: object, options: Options) -> CategoricalSolution:
    """Estimate a model with ordinal items."""
    _refuse(model, data, options)
    ordinal = ordinal_items(model, options.ordered)
    sample = _unscaled(sample_of_frame(model, data, options), ordinal)
    moments = categories_of(model, sample, ordinal)
    table = _table(model, options, ordinal, moments)
    refuse_free_lags(table)
    target = Target(np.where(ordinal, 0.0, moments.mean), moments.covariance)
    given = _fixed_residuals(model, table, target, sample, {})
    layout = _layout(model, table, given, sample)
    start = start_values(model, table, [("", target)], sample.scale)
    part = covariance_part(layout, moments)
    first = first_step_of(model, table, moments)
    require_identified(model, table, (layout,), start, (part.rows, part.columns))
    found = minimise(_Bordered(part, first.theta), start[0], lower_bounds(table))
    found = replace(found, theta=first.solved(layout, found.theta, moments.statistics))
    given = _fixed_residuals(model, table, target, sample, _explained(layout, found.theta))
    robust = options.se != "standard"
    vcov = weighted_vcov(part, found.theta, first, moments, robust)
    bread = bread_of(found, False)
    vcov = beside_bound(vcov, bread)
    indices = weighted_indices(part, found.theta, moments, table.n_free)
    layout = _layout(model, table, given, sample)
    return CategoricalSolution(
        table, layout, _without_means(sample, target), given, found, vcov, bread, indices, target
    )


@dataclass(frozen=True, slots=True)
class _Bordered:
    """The covariance part beside thresholds and means, which are what the sample says."""

    part: WeightedCovariances
    first: IntArray

    def value(self, theta: FloatArray) -> float:
        """½ Σ w (s - σ)²."""
        return self.part.value(theta)

    def expand(self, theta: FloatArray) -> Expansion:
        """The value with its derivatives."""
        at = self.part.expand(theta)
        hessian, information = at.hessian.copy(), at.information.copy()
        hessian[self.first, self.first] = information[self.first, self.first] = 1.0
        return replace(at, hessian=hessian, information=information)


def refit_categorical(
    model: RoxModel, solution: CategoricalSolution, weights: FloatArray, ordinal: BoolArray
) -> FloatArray:
    """Estimate all parameters again with other counts of the rows."""
    group = replace(solution.sample.groups[0], weights=weights)
    kept = weights > 0
    group = replace(group, rows=None if group.rows is None else group.rows[kept], weights=weights[kept])
    sample = replace(solution.sample, groups=(group,))
    moments = categories_of(model, sample, ordinal)
    if sum(map(len, moments.thresholds)) < len(solution.table.of("threshold")):
        return np.full(solution.table.n_free, np.nan)  # a category that nobody of the replicate chose
    part = covariance_part(solution.layout, moments)
    first = first_step_of(model, solution.table, moments)
    found = minimise(_Bordered(part, first.theta), solution.found.theta, lower_bounds(solution.table))
    theta = first.solved(solution.layout, found.theta, moments.statistics)
    return theta if found.converged else np.full(len(theta), np.nan)


def _refuse(model: RoxModel, data: object, options: Options) -> None:
    if isinstance(data, Moments):
        raise RoxError("estimator='DWLS' needs the rows: a printed matrix holds no thresholds.", hint="Use 'ML'.")
    asked = {"group": options.group, "cluster": options.cluster, "weight": options.weight}
    for name, value in asked.items():
        if value is not None:
            raise RoxError(
                f"{name}={value!r} is not available with estimator='DWLS'.",
                hint=f"Leave {name}= out, or use estimator='MLR' and treat the answers as numbers.",
            )
    if options.means:
        raise RoxError("means=True has no place with estimator='DWLS': ordinal items have thresholds instead.")
    if any(row.note == "given by the data" for row in plan(model, "reflective", means=False)):
        raise SpecError(
            "Exogenous variables that the data give (exogenous='fixed') are not available with estimator='DWLS'.",
            hint="Use model.replace(exogenous='free').",
        )


def _unscaled(sample: Sample, ordinal: BoolArray) -> Sample:
    """Ordinal items have no unit: their rows hold the answers themselves."""
    group = sample.groups[0]
    if group.rows is None:
        return sample
    rows = group.rows * np.where(ordinal, sample.scale, 1.0)
    rows[:, ordinal] = np.round(rows[:, ordinal], 9)
    scale = np.where(ordinal, 1.0, sample.scale)
    return replace(sample, scale=scale, groups=(replace(group, rows=rows),))


def _without_means(sample: Sample, target: Target) -> Sample:
    note = (
        "Ordinal items: constructs are measured in standard deviations of the normal variable behind their first item."
    )
    groups: tuple[GroupSample, ...] = (replace(sample.groups[0], target=target),)
    return replace(sample, mean=None, low=None, high=None, groups=groups, notes=(*sample.notes, note))


def _table(model: RoxModel, options: Options, ordinal: BoolArray, moments: OrdinalMoments) -> ParameterTable:
    """Plan thresholds in place of the means of ordinal items, and no residual variances of theirs."""
    names = [item.name for item in model.items]
    are = {name for name, yes in zip(names, ordinal, strict=True) if yes}
    alone = {c.name: c.item_names[0] for c in model.constructs if len(c.items) == 1 and c.item_names[0] in are}
    _refuse_single(model, alone)
    rows: list[Parameter] = []
    for row in plan(model, "reflective", True, scaling=options.scaling):
        if row.kind == "intercept" and (row.left in are or row.left in alone):
            continue
        if row.kind == "defined":
            continue
        if row.kind == "variance" and residual_of(row, model.names) and row.left in are and row.left not in alone:
            rows.append(replace(row, free=0, value=None, lower=None, note=_LEFT))
        elif row.kind == "variance" and row.left in alone and not residual_of(row, model.names):
            value, note = (None, _LEFT) if row.left in model.endogenous else (1.0, "")
            rows.append(replace(row, free=0, value=value, lower=None, note=note))
        else:
            rows.append(row)
    for name, thresholds in zip(names, moments.thresholds, strict=True):
        for place in range(len(thresholds)):
            rows.append(Parameter(f"threshold:{name}|t{place + 1}", "threshold", name, f"t{place + 1}", free=-1))
    rows += list(plan(model, "reflective", True).of("defined"))
    return _renumbered(rows)


def _refuse_single(model: RoxModel, alone: dict[str, str]) -> None:
    acting = {edge.cause for edge in model.edges if not edge.lag}
    for name, item in alone.items():
        if model.causes(name) and name in acting:
            raise SpecError(
                f"{name!r} is measured by one ordinal item ({item!r}) and stands amid the graph.",
                hint="Measure it by two items or more, or leave the item out of ordered=.",
            )
        if model.find(name).reliability not in {None, 1.0}:
            raise SpecError(f"reliability= of {name!r} has no meaning for one ordinal item.", hint="Leave it out.")


def _renumbered(rows: Sequence[Parameter]) -> ParameterTable:
    numbers: dict[int, int] = {}
    found, count = [], 0
    for row in rows:
        if row.free > 0 and row.free in numbers:
            found.append(replace(row, free=numbers[row.free]))
        elif row.free:
            count += 1
            if row.free > 0:
                numbers[row.free] = count
            found.append(replace(row, free=count))
        else:
            found.append(row)
    return ParameterTable(tuple(found))


def _fixed_residuals(
    model: RoxModel, table: ParameterTable, target: Target, sample: Sample, explained: dict[str, float]
) -> dict[str, float]:
    """Variances that are what a construct, or its causes, leave of 1; of a continuous item a share of its variance."""
    found: dict[str, float] = {}
    at = {name: i for i, name in enumerate(sample.items)}
    for row in table:
        if row.free or row.value is not None or row.kind != "variance":
            continue
        if row.note == _LEFT:
            found[row.id] = 1.0 - explained.get(row.left, 0.0)
        else:
            reliability = owner_of(model, row.left).reliability
            i = at[row.left]
            share = 1.0 - (1.0 if reliability is None else reliability)
            found[row.id] = share * target.covariance[i, i] * sample.scale[i] ** 2
    return found


def _explained(layout: Layout, theta: FloatArray) -> dict[str, float]:
    """Variance that the model explains of each ordinal item while all of 1 stands for what is left."""
    at = implied(layout, theta)
    items = np.diag(at.sigma) * layout.scale**2 - 1.0
    found = dict(zip(layout.constructs, (np.diag(at.latent) - 1.0).tolist(), strict=True))
    return found | dict(zip(layout.items, items.tolist(), strict=True))


def _layout(model: RoxModel, table: ParameterTable, given: dict[str, float], sample: Sample) -> Layout:
    names = (tuple(item.name for item in model.items), model.names)
    return lay_out([row for row in table if row.kind != "threshold"], names, given, sample.scale, table.n_free)
