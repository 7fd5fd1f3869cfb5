"""Method "sem" for ordinal items: thresholds and polychoric correlations, then weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from roxmodel.errors import DataError, RoxError, SpecError, did_you_mean, listed
from roxmodel.estimate.latent.optimizer import lower_bounds, minimise
from roxmodel.estimate.latent.row_sample import covariates_of, sample_of_frame
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, Sample
from roxmodel.estimate.latent.solve import beside_bound, bread_of, given_by_data, owner_of, refuse_free_lags
from roxmodel.estimate.options import SemOptions
from roxmodel.estimate.ordinal.ordinal_moments import OrdinalMoments, ordinal_moments
from roxmodel.estimate.ordinal.weighted import (
    WeightedCovariances,
    covariance_part,
    first_step_of,
    weighted_indices,
    weighted_vcov,
)
from roxmodel.implied.identification import require_identified
from roxmodel.implied.likelihood import Expansion, Target
from roxmodel.implied.matrices import LOADINGS, Layout, conditioned, implied, lay_out
from roxmodel.implied.starts import start_values
from roxmodel.moments.single import Moments
from roxmodel.spec.causal import acting
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, plan, residual_of
from roxmodel.spec.questionnaire import Binary, Likert
from roxmodel.types import BoolArray, FloatArray, IntArray

__all__ = ["categories_of", "ordinal_items", "refit_categorical", "solve_categorical"]

_MOST_CATEGORIES = 30
_MOST_NAMES = 12  # in a message
_REST: Final[dict[str, Any]] = {"given": "rest", "note": "1 minus what its construct explains"}


def ordinal_items(model: RoxModel, ordered: Sequence[str] | bool | None) -> BoolArray:
    """(p,) which items are ordinal; covariates that the others are conditioned on never are.

    Raises RoxError for an unknown name, for a covariate, or if no item is ordinal.
    """
    names = [item.name for item in model.items]
    given = set(covariates_of(model))
    if isinstance(ordered, str):
        ordered = [ordered]
    if ordered is True or ordered is None or ordered is False:
        scaled = [ordered is True or isinstance(item.scale, Likert | Binary) for item in model.items]
        found = np.array([yes and name not in given for yes, name in zip(scaled, names, strict=True)])
        if not found.any():
            raise RoxError(
                "estimator='DWLS' is for ordinal items, but no item has a scale of ordered answers.",
                hint="Declare it (scale=rox.Likert(1, 5)), or say ordered=True or ordered=[names].",
            )
        return found
    for name in ordered:
        if name not in names:
            raise RoxError(f"ordered= names {name!r}, which is no item.", hint=did_you_mean(str(name), names))
        if name in given:
            raise RoxError(
                f"ordered= names {name!r}, but the other items are conditioned on it (exogenous='fixed'), so that its "
                "answers count as numbers.",
                hint="Leave it out of ordered=, or take it as cut from a normal variable: "
                "model.replace(exogenous='free').",
            )
    return np.array([name in set(ordered) for name in names])


def categories_of(model: RoxModel, sample: Sample, ordinal: BoolArray) -> OrdinalMoments:
    """Statistics of the rows, continuous items in units of the sample's scale; given the covariates, if there are."""
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
                hint=_way_for_many_values(model, name, names),
            )
    covariates = covariates_of(model)
    if not covariates:
        return ordinal_moments(rows, ordinal, names, weights)
    given = [names.index(name) for name in covariates]
    rest = [i for i in range(len(names)) if i not in given]
    own = [names[i] for i in rest]
    return ordinal_moments(rows[:, rest], ordinal[rest], own, weights, covariates=covariates, x=rows[:, given])


def _way_for_many_values(model: RoxModel, name: str, names: Sequence[str]) -> str:
    """How an item with many answers is taken as it is."""
    owner = owner_of(model, name)
    way = f"Leave it out of ordered= (it is then continuous): ordered={_named([n for n in names if n != name])}"
    if owner.observed and not model.causes(owner.name):
        return f"{way}; or condition on it, as on any covariate: model.replace(exogenous='fixed')."
    return f"{way}; or merge categories."


def _target(moments: OrdinalMoments, items: Sequence[str]) -> Target:
    """Means and covariances of all items (ordinal: of the normal variables behind them), covariates among them."""
    known = moments.given
    if known is None:
        return Target(np.where(moments.ordinal, 0.0, moments.mean), moments.covariance)
    order = [(*moments.names, *known.names).index(name) for name in items]
    mean = np.concatenate([np.where(moments.ordinal, 0.0, moments.mean + known.slopes @ known.mean), known.mean])
    covariance = np.block(
        [[moments.covariance + known.explained, known.with_items], [known.with_items.T, known.covariance]]
    )
    return Target(mean[order], covariance[np.ix_(order, order)])


def solve_categorical(model: RoxModel, data: object, options: SemOptions) -> LatentSolution:
    """Estimate a model with ordinal items."""
    _refuse(model, data, options)
    ordinal = ordinal_items(model, options.ordered)
    sample = _unscaled(sample_of_frame(model, data, options), ordinal)
    _refuse_two_values(model, sample, ordinal)
    moments = categories_of(model, sample, ordinal)
    table = _table(model, options, ordinal, moments)
    refuse_free_lags(table)
    target = _target(moments, sample.items)
    given = _fixed(model, table, target, sample, {})
    layout = _layout(model, table, given, sample)
    start = start_values(model, table, [("", target)], sample.scale)
    part = covariance_part(layout, moments)
    first = first_step_of(model, table, moments)
    items, covariates = part.slopes  # Σ is known where the statistics are, and beside the covariates
    picked = np.append(part.rows, items), np.append(part.columns, part.given[covariates])
    require_identified(model, table, (layout,), start, picked)
    found = minimise(_Bordered(part, first.theta), start[0], lower_bounds(table))
    found = replace(found, theta=first.solved(layout, found.theta, moments.statistics))
    given = _fixed(model, table, target, sample, _explained(layout, found.theta, part.given))
    robust = options.se != "standard"
    vcov = weighted_vcov(part, found.theta, first, moments, robust)
    bread = bread_of(found, False)
    vcov = beside_bound(vcov, bread)
    indices = weighted_indices(part, found.theta, moments, table.n_free)
    layout = _layout(model, table, given, sample)
    sample = _without_means(model, sample, target, ordinal)
    return LatentSolution(
        model, sample, table, (layout,), given, found, bread, vcov=vcov, indices=indices, moments=(target,)
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


def refit_categorical(solution: LatentSolution, weights: FloatArray, ordinal: BoolArray) -> FloatArray:
    """Estimate all parameters again with other counts of the rows."""
    group = replace(solution.sample.groups[0], weights=weights)
    kept = weights > 0
    group = replace(group, rows=None if group.rows is None else group.rows[kept], weights=weights[kept])
    sample = replace(solution.sample, groups=(group,))
    moments = categories_of(solution.model, sample, ordinal)
    if sum(map(len, moments.thresholds)) < len(solution.table.of("threshold")):
        return np.full(solution.table.n_free, np.nan)  # a category that nobody of the replicate chose
    layout = solution.layout
    if moments.given is not None:  # the replicate's own covariates
        given = _fixed(solution.model, solution.table, _target(moments, sample.items), sample, {})
        layout = _layout(solution.model, solution.table, given, sample)
    part = covariance_part(layout, moments)
    first = first_step_of(solution.model, solution.table, moments)
    found = minimise(_Bordered(part, first.theta), solution.found.theta, lower_bounds(solution.table))
    theta = first.solved(layout, found.theta, moments.statistics)
    return theta if found.converged else np.full(len(theta), np.nan)


def _refuse(model: RoxModel, data: object, options: SemOptions) -> None:
    if isinstance(data, Moments):
        raise RoxError(
            "estimator='DWLS' needs the rows: a printed matrix holds no thresholds.",
            hint=f"Use estimator='ML'{_without_ordered(options)}.",
        )
    asked = {"group": options.group, "cluster": options.cluster, "weight": options.weight}
    for name, value in asked.items():
        if value is not None:
            raise RoxError(
                f"{name}={value!r} is not available with estimator='DWLS'.",
                hint=f"Leave {name}= out, or treat the answers as numbers: estimator='MLR'{_without_ordered(options)}.",
            )
    if options.means:
        raise RoxError(
            "means=True has no place with estimator='DWLS': ordinal items have thresholds instead.",
            hint="Leave means= out.",
        )
    _refuse_stated(model)


def _without_ordered(options: SemOptions) -> str:
    """What the likelihood needs besides: it knows no ordered=."""
    return "" if options.ordered is None else " without ordered="


def _refuse_stated(model: RoxModel) -> None:
    """Moments of the covariates among themselves are the data's: what is conditioned on has no parameters."""
    covariates = {model.find(name).name for name in model.exogenous_names}
    given = {row.left for row in plan(model, "reflective", means=False).of("variance") if row.given == "moment"}
    for pair in model.covariances:
        if pair.left != pair.right and {pair.left, pair.right} <= given & covariates:
            raise SpecError(
                f"The covariance of {pair.left!r} and {pair.right!r} is stated, but both are given by the data "
                "(exogenous='fixed'), and with estimator='DWLS' the ordinal items are conditioned on them.",
                hint=f"Leave {pair.left} <-> {pair.right} out: it is then that of the data.",
            )


def _refuse_two_values(model: RoxModel, sample: Sample, ordinal: BoolArray) -> None:
    """A continuous item with two values: of these the mean says what the variance is."""
    rows = sample.groups[0].rows
    covariates = set(covariates_of(model))
    for i, name in enumerate(sample.items):
        if rows is None or ordinal[i] or name in covariates:
            continue
        values = np.unique(rows[:, i] * sample.scale[i])
        if len(values) == 2:
            raise DataError(
                f"Item {name!r} has two values only ({values[0]:.6g} and {values[1]:.6g}), so that it can not be taken "
                "as continuous.",
                hint=_way_for_two_values(model, name),
            )


def _way_for_two_values(model: RoxModel, name: str) -> str:
    owner = owner_of(model, name)
    if owner.observed and not model.causes(owner.name):
        return (
            "Condition on it, as on any covariate: model.replace(exogenous='fixed'). Or take it as cut from a normal "
            f"variable: ordered=[..., {name!r}] or scale=rox.Binary()."
        )
    if owner.observed and any(edge.cause == owner.name for edge in model.edges):
        return "It stands amid the graph: use estimator='MLR' without ordered=, which takes answers as numbers."
    return f"Take it as cut from a normal variable: ordered=[..., {name!r}], or scale=rox.Binary()."


def _unscaled(sample: Sample, ordinal: BoolArray) -> Sample:
    """Ordinal items have no unit: their rows hold the answers themselves."""
    group = sample.groups[0]
    if group.rows is None:
        return sample
    rows = group.rows * np.where(ordinal, sample.scale, 1.0)
    rows[:, ordinal] = np.round(rows[:, ordinal], 9)
    scale = np.where(ordinal, 1.0, sample.scale)
    return replace(sample, scale=scale, groups=(replace(group, rows=rows),))


def _without_means(model: RoxModel, sample: Sample, target: Target, ordinal: BoolArray) -> Sample:
    notes = [
        "Ordinal items: constructs are measured in standard deviations of the normal variable behind their first item."
    ]
    covariates = covariates_of(model)
    are = {name for name, own in zip(sample.items, ordinal, strict=True) if own}
    causes = [c.name for c in model.constructs if len(c.items) == 1 and c.item_names[0] in are]
    causes = [name for name in causes if name in model.exogenous_names and any(e.cause == name for e in model.edges)]
    if causes:
        notes.append(
            f"Taken as cut from a normal variable (exogenous='free'): {listed(causes)}; their edges are per standard "
            "deviation of that variable, not from one answer to the next. exogenous='fixed' conditions on the answers "
            "as they are."
        )
    if covariates:
        notes.append(
            f"Conditional on {listed(covariates)}: taken as they are (0/1 too), with nothing assumed of how they are "
            "distributed; the normal variables behind ordinal items have the variance 1 around what these foretell."
        )
    groups: tuple[GroupSample, ...] = (replace(sample.groups[0], target=target),)
    return replace(sample, mean=None, low=None, high=None, groups=groups, notes=(*sample.notes, *notes))


def _table(model: RoxModel, options: SemOptions, ordinal: BoolArray, moments: OrdinalMoments) -> ParameterTable:
    """Plan thresholds in place of the means of ordinal items, and no residual variances of theirs."""
    names = [item.name for item in model.items]
    are = {name for name, yes in zip(names, ordinal, strict=True) if yes}
    alone = {c.name: c.item_names[0] for c in model.constructs if len(c.items) == 1 and c.item_names[0] in are}
    _refuse_single(model, alone, moments)
    rows: list[Parameter] = []
    for row in plan(model, "reflective", True, scaling=options.scaling):
        if row.kind == "intercept" and (row.left in are or row.left in alone):
            continue
        if row.kind == "defined":
            continue
        if row.kind == "variance" and residual_of(row, model.names) and row.left in are and row.left not in alone:
            rows.append(replace(row, free=0, value=None, lower=None, **_REST))
        elif row.kind == "variance" and row.left in alone and not residual_of(row, model.names):
            how = {"value": None, **_REST} if row.left in model.endogenous else {"value": 1.0, "note": "", "given": ""}
            rows.append(replace(row, free=0, lower=None, **how))
        else:
            rows.append(row)
    for name, thresholds in zip(moments.names, moments.thresholds, strict=True):
        for place in range(len(thresholds)):
            rows.append(Parameter(f"threshold:{name}|t{place + 1}", "threshold", name, f"t{place + 1}", free=-1))
    rows += list(plan(model, "reflective", True).of("defined"))
    return _renumbered(rows)


def _refuse_single(model: RoxModel, alone: dict[str, str], moments: OrdinalMoments) -> None:
    causes = acting(model)
    for name, item in alone.items():
        if model.causes(name) and name in causes:
            raise SpecError(
                f"{name!r} is measured by one ordinal item ({item!r}) and stands amid the graph.",
                hint=f"Measure it by two items or more, or {_as_numbers(item, moments)}.",
            )
        if moments.given is not None and not model.causes(name):
            raise SpecError(
                f"The variance of {name!r} is stated, but it is one ordinal item ({item!r}), beside "
                f"{listed(moments.given.names)}, on which the ordinal items are conditioned.",
                hint=f"State no variance of {name!r}: it is then conditioned on too.",
            )
        if model.find(name).reliability not in {None, 1.0}:
            raise SpecError(f"reliability= of {name!r} has no meaning for one ordinal item.", hint="Leave it out.")


def _as_numbers(item: str, moments: OrdinalMoments) -> str:
    """How one item is taken as a number, the others as they are."""
    others = [name for name, ordinal in zip(moments.names, moments.ordinal, strict=True) if ordinal and name != item]
    if len(moments.thresholds[moments.names.index(item)]) == 1 or not others:
        return "use estimator='MLR' without ordered=, which takes answers as numbers"
    return f"take its answers as numbers: ordered={_named(others)}"


def _named(names: Sequence[str]) -> str:
    """A list to copy, where it is not too long."""
    return repr(list(names)) if len(names) <= _MOST_NAMES else f"[{listed(names, _MOST_NAMES)}]"


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


def _fixed(
    model: RoxModel, table: ParameterTable, target: Target, sample: Sample, explained: dict[str, float]
) -> dict[str, float]:
    """Values that are neither free nor the model's own.

    Variances are what a construct, or its causes, leave of 1; of a continuous item a share of its variance. Moments of
    covariates among themselves are the data's.
    """
    found: dict[str, float] = {}
    known = replace(sample, groups=(replace(sample.groups[0], target=target),))
    at = {name: i for i, name in enumerate(sample.items)}
    for row in table:
        if row.free or row.value is not None or row.kind not in {"variance", "covariance", "intercept"}:
            continue
        if row.given == "rest":
            found[row.id] = 1.0 - explained.get(row.left, 0.0)
        elif row.given == "share":
            reliability = owner_of(model, row.left).reliability
            i = at[row.left]
            share = 1.0 - (1.0 if reliability is None else reliability)
            found[row.id] = share * target.covariance[i, i] * sample.scale[i] ** 2
    given = ParameterTable(tuple(row for row in table if row.given == "moment"))
    return found | {name: float(value) for name, value in given_by_data(model, given, known).items()}


def _explained(layout: Layout, theta: FloatArray, given: IntArray) -> dict[str, float]:
    """Variance that the model explains of each ordinal item while all of 1 stands for what is left.

    Of what covariates leave, if there are any: they are no part of the 1.
    """
    at = implied(layout, theta)
    sigma, latent = at.sigma, at.latent
    if len(given):
        owners = np.array([layout.base[LOADINGS][i].nonzero()[0][0] for i in given])
        sigma, latent = conditioned(sigma, given).sigma, conditioned(latent, owners).sigma
    items = np.diag(sigma) * layout.scale**2 - 1.0
    found = dict(zip(layout.constructs, (np.diag(latent) - 1.0).tolist(), strict=True))
    return found | dict(zip(layout.items, items.tolist(), strict=True))


def _layout(model: RoxModel, table: ParameterTable, given: dict[str, float], sample: Sample) -> Layout:
    names = (tuple(item.name for item in model.items), model.names)
    return lay_out([row for row in table if row.kind != "threshold"], names, given, sample.scale, table.n_free)
