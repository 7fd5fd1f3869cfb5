"""From a sample to the optimum: which parameters there are, what the data give, starting values, the way there.

Standard errors: inverse information, sandwich, what few units ask for; and whether parameters can be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roxmodel.errors import SpecError
from roxmodel.estimate.latent.casewise import Cases, Scored, adf_products, score_products
from roxmodel.estimate.latent.optimizer import Minimum, feasible, lower_bounds, minimise, reached
from roxmodel.estimate.latent.sample import GroupSample, LatentSolution, LinkedSample, Sample
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.identification import PEOPLE, UNITS, require_identified, require_seen
from roxmodel.implied.likelihood import NormalCells, Objective, Part, objective_of_units
from roxmodel.implied.matrices import ITEM_MEANS, Layout, implied, lay_out, place_of
from roxmodel.implied.starts import at_means, between_table, condensed, moments_between, start_values
from roxmodel.moments.condense import kish
from roxmodel.spec.constructs import Construct
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import Parameter, ParameterTable, gives_unit, plan, residual_of, stated
from roxmodel.survey.linkage import equation_units
from roxmodel.types import BoolArray, FloatArray, IntArray, Scaling

__all__ = [
    "Bread", "beside_bound", "bread_of", "degrees_of_freedom", "given_by_data", "layout_of", "layouts_of",
    "net_of_intercepts", "objective_of", "optimum_of", "owner_of", "refuse_free_lags", "sandwich", "satorra_bentler",
    "small_sample", "solve", "solve_between", "solved_again", "table_of", "unit_cases", "unit_degrees_of_freedom",
    "with_given",
]  # fmt: skip


_FLAT = 1e-9  # smallest eigenvalue of the scaled information that still identifies
_LITTLE = 0.1  # share of the expected information that the observed one of what is held must have
_WHOLE = 0.5  # of what no inverse of an information falls short of, but for rounding
_PART = 0.1  # of the largest, from which a parameter belongs to a direction that the data do not determine
_UNKNOWN = 3.0  # times that the part of a variance counts which comes from a parameter at its bound


@dataclass(frozen=True, slots=True)
class Bread:
    """Inverse information of what is free to move."""

    inverse: FloatArray  # (n_free, n_free) per observation; zero rows for parameters at their bound
    information: FloatArray  # (n_free, n_free) that was inverted
    condition: float  # of the scaled information (by the 1-norm; by eigenvalues where it is nearly singular)
    flat: FloatArray | None  # (n_free,) shares in what the data do not determine, 0-1; None if they determine all
    whole: FloatArray  # (n_free, n_free) with those at their bound: what errors are made of; `inverse` if none is held
    held: BoolArray  # (n_free,) parameters at their bound
    negative: bool = False  # whether the observed information has a negative direction: the expected one took its place


def bread_of(found: Minimum, observed: bool) -> Bread:
    """Invert the information at the optimum.

    A variance that stopped at its bound is not known to be 0. What hangs on it (the loadings and variances of its
    construct) would seem far better known than it is if it were taken out: errors come from the information of all
    parameters, which is what they are where the truth lies inside, and no smaller than they should be where it lies on
    the bound (Andrews 1999, doi 10.1111/1468-0262.00082; Self & Liang 1987, doi 10.1080/01621459.1987.10478472). Efron
    & Hinkley (1978), doi 10.1093/biomet/65.3.457.
    """
    moving, held = ~found.bound, found.bound
    chosen = found.expansion.hessian if observed else found.expansion.information
    expected = found.expansion.information
    plain, negative = _inverted(chosen, expected, moving), False
    if observed and plain[2] is None and plain[3] <= 0:
        plain, chosen, negative = _inverted(expected, expected, moving), expected, True
    inverse, lost = _without_rounding(plain[0], chosen, moving)
    if plain[2] is not None:  # what lies in a flat direction has no error, not one of what little is left beside it
        lost |= plain[2] > _PART * plain[2].max()
        inverse = np.where(lost[:, None] | lost, 0.0, inverse)
    whole = _whole(chosen, expected, inverse, held) if held.any() else inverse
    whole[lost] = whole[:, lost] = 0.0
    flat = lost / np.sqrt(lost.sum()) if plain[2] is None and lost.any() else plain[2]
    return Bread(inverse, chosen, plain[1], flat, whole, held, negative)


def _without_rounding(inverse: FloatArray, information: FloatArray, moving: BoolArray) -> tuple[FloatArray, BoolArray]:
    """The inverse without parameters of which only rounding is left, and which they are.

    Of a positive definite matrix A no diagonal entry of the inverse is below 1 / A_ii: where one is, no digit of it is
    right, and an error that seems tiny is not known.
    """
    lost = moving & ~(np.diag(inverse) * np.diag(information) > _WHOLE)
    if not lost.any():
        return inverse, lost
    kept = inverse.copy()
    kept[lost] = kept[:, lost] = 0.0
    return kept, lost


def _whole(chosen: FloatArray, expected: FloatArray, inverse: FloatArray, held: BoolArray) -> FloatArray:
    """Inverse of the information of all parameters, from that of those which move, `inverse`.

    Off the optimum (a bound is pushed against) the observed information of what is held need not be positive, or is so
    by next to nothing: where it has not a tenth of the expected one in some direction, the expected one counts. A
    direction that the data do not determine gets an error so large that it says nothing, not one of 0.
    """
    moving = ~held
    slope = -inverse[np.ix_(moving, moving)] @ chosen[np.ix_(moving, held)]  # dθ / dθ_b along the optimum
    left = chosen[np.ix_(held, held)] + chosen[np.ix_(held, moving)] @ slope
    if chosen is not expected:
        size = np.sqrt(np.where(np.diag(expected) > 0, np.diag(expected), 1.0))
        unitless = expected / np.outer(size, size)  # the units of items must not decide what is rounding
        across = unitless[np.ix_(moving, held)]
        told = np.linalg.lstsq(unitless[np.ix_(moving, moving)], across, rcond=None)[0]
        usual = (unitless[np.ix_(held, held)] - across.T @ told) * np.outer(size[held], size[held])
        unit = np.sqrt(np.maximum(np.diag(usual), 1e-200))
        if np.linalg.eigvalsh((left - _LITTLE * usual) / np.outer(unit, unit))[0] < 0:
            left = usual
    own = np.diag(expected)[held]
    scale = np.sqrt(np.where(own > 0, own, 1e-200))
    values, vectors = np.linalg.eigh(left / np.outer(scale, scale))
    unknown = (vectors / np.maximum(values, _FLAT * max(float(values[-1]), _FLAT))) @ vectors.T / np.outer(scale, scale)
    found = inverse.copy()
    found[np.ix_(held, held)] = unknown
    found[np.ix_(moving, held)] = slope @ unknown
    found[np.ix_(held, moving)] = unknown @ slope.T
    found[np.ix_(moving, moving)] += slope @ unknown @ slope.T
    return found


def _inverted(
    matrix: FloatArray, reference: FloatArray, moving: BoolArray
) -> tuple[FloatArray, float, FloatArray | None, float]:
    count = len(matrix)
    inverse = np.zeros((count, count))
    if not moving.any():
        return inverse, 1.0, None, 1.0
    at = np.ix_(moving, moving)
    own = np.diag(reference)[moving]
    scale = np.sqrt(np.where(own > 0, own, max(float(own.max()), 1e-200)))  # 0 or less: only rounding is left of it
    outer = np.outer(scale, scale)
    scaled = matrix[at] / outer
    try:
        if np.diag(np.linalg.cholesky(scaled)).min() ** 2 > 1e-6:  # clearly positive definite: no eigenvalues needed
            own = np.linalg.inv(scaled)
            inverse[at] = (own + own.T) / 2 / outer
            return inverse, float(np.linalg.norm(scaled, 1) * np.linalg.norm(own, 1)), None, 1.0
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    top, low = float(values[-1]), float(values[0])
    flat = None
    if abs(low) < _FLAT * top:
        flat = np.zeros(count)
        flat[moving] = np.sqrt((vectors[:, np.abs(values) < _FLAT * top] ** 2).sum(axis=1))
    usable = np.where(np.abs(values) < _FLAT * top, np.inf, values)
    inverse[at] = (vectors / usable) @ vectors.T / outer
    return inverse, top / max(abs(low), 1e-300), flat, low


def net_of_intercepts(bread: Bread, table: ParameterTable) -> Bread:
    """Judge the condition without the intercepts.

    An intercept and the edges into its construct lie on a ridge where the causes' means are far from 0: by where the
    scale has its zero, and by nothing that the data do not know. What the other parameters say of each other is in
    their part of the inverse.
    """
    kept = ~bread.held
    kept[[row.free - 1 for row in table.of("intercept") if row.free]] = False
    own = np.diag(bread.inverse)
    kept &= own > 0
    if bread.flat is not None or not kept.any():
        return bread
    sd = np.sqrt(own[kept])
    correlation = bread.inverse[np.ix_(kept, kept)] / np.outer(sd, sd)
    return replace(bread, condition=float(np.linalg.cond(correlation)))


def beside_bound(vcov: FloatArray, bread: Bread) -> FloatArray:
    """Widen errors by what is not known of a variance at its bound; what is held there does not move.

    With D = dθ / dθ_b along the optimum, V of all parameters holds D V_bb Dᵀ for not knowing the held ones. That is
    the error over all samples. A sample that ends at the bound though the truth lies t standard errors inside is off by
    t times that part, always to the same side, so here it counts three times. Given the bound, 95 % intervals then
    covered each parameter in 88-100 % of samples (120 to 300 people, the truth 1.4 to 2.5 standard errors inside); by V
    alone in as few as 60 %, and with the variance taken as known in as few as 0 %. `vcov` is V, by `Bread.whole`.
    """
    held = bread.held
    if not held.any():
        return vcov
    inner = np.linalg.pinv(bread.whole[np.ix_(held, held)], hermitian=True)
    slope = bread.whole[:, held] @ inner
    found = vcov + (_UNKNOWN - 1) * slope @ vcov[np.ix_(held, held)] @ slope.T
    found[held] = found[:, held] = 0.0
    return np.asarray(found)


def sandwich(parts: Sequence[Scored], found: Minimum, inverse: FloatArray, n: float) -> FloatArray:
    """(n_free, n_free) covariance of the estimates from scores by case, or by cluster of cases.

    Parts are groups (or all units), each with its cases; `inverse` is the inverse information per case, of all
    parameters. The middle is taken around the mean of what is held at its bound: all other scores add up to 0. Huber
    (1967), Proc. 5th Berkeley Symposium 1, 221-233; White (1982), doi 10.2307/1912526.
    """
    products = [score_products(layout, found.theta, data, cases) for layout, data, cases in parts]
    middle = np.sum(products, axis=0) / n
    if found.bound.any():
        mean = np.where(found.bound, found.expansion.gradient, 0.0)
        sets = sum(len(np.unique(cases.clusters)) for _, _, cases in parts if cases.clusters is not None)
        middle -= np.outer(mean, mean) * (n / max(sets - 1, 1) if sets else 1.0)
    return np.asarray(inverse @ middle @ inverse / n)


def unit_cases(weight: FloatArray, clusters: IntArray | None) -> Cases:
    """Units as cases; with g units or clusters of them the middle of a sandwich is multiplied by g / (g - 1)."""
    return Cases(None, weight, True, np.arange(len(weight)) if clusters is None else clusters)


def degrees_of_freedom(table: ParameterTable, sample: Sample) -> FloatArray | None:
    """(n_free,) degrees of freedom of the t distribution; None = normal, without clusters and sampling weights.

    Clusters less 1 (Cameron & Miller 2015, doi 10.3368/jhr.50.2.317), Kish's effective number of rows less 1, the
    smaller of the two: of a parameter's group, and of all groups for what they share.
    """
    rough = {group.name: _independent(group) for group in sample.groups}
    if not any(np.isfinite(list(rough.values()))):
        return None
    found = np.zeros(table.n_free)
    for row in table:
        if row.free:
            found[row.free - 1] += rough.get(row.group, max(rough.values()))
    codes = [group.clusters for group in sample.groups if group.clusters is not None]
    if codes:  # a cluster may have people in several groups
        found = np.minimum(found, len(np.unique(np.concatenate(codes))))
    return np.maximum(found - 1.0, 1.0)


def _independent(group: GroupSample) -> float:
    """Clusters, or rows by their weights, that say something of their own; infinite where errors are plain."""
    found = np.inf
    if group.clusters is not None:
        found = float(len(np.unique(group.clusters)))
    if group.sampling and group.weights is not None:
        found = min(found, kish(group.weights))
    return found


def satorra_bentler(
    layouts: Sequence[Layout], sample: Sample, theta: FloatArray, given: tuple[int, ...] = ()
) -> tuple[FloatArray, float]:
    """Distribution-free middle, (n_free, n_free), and tr(A Γ) over all groups."""
    found, trace = np.zeros((len(theta),) * 2), 0.0
    for layout, group in zip(layouts, sample.groups, strict=True):
        products, own = adf_products(layout, theta, group.target, group.cases, given)
        found += products * group.n / sample.n
        trace += own
    return found, trace


def unit_degrees_of_freedom(
    model: RoxModel, table: ParameterTable, sample: LinkedSample, clusters: IntArray | None = None
) -> FloatArray:
    """(n_free,) degrees of freedom of the t distribution.

    Of an edge: units of its equation less its causes less 1, as in a regression; of anything else units less 1. With
    clusters of units: clusters less 1 at most.
    """
    units = equation_units(model, sample.means)
    found = np.full(table.n_free, max(float(sample.n - 1), 1.0))
    for row in table.of("edge"):
        if row.free:
            left = float(units[row.right] - len(model.causes(row.right)) - 1)
            found[row.free - 1] = min(found[row.free - 1], max(left, 1.0))
    if clusters is not None:
        found = np.minimum(found, max(float(clusters.max()), 1.0))
    return found


def small_sample(model: RoxModel, table: ParameterTable, sample: LinkedSample, vcov: FloatArray) -> FloatArray:
    """Widen the errors of edges by √(n / (n - causes - 1)).

    Maximum likelihood divides what an equation leaves unexplained by n; as in a regression it should be divided by
    what is left of n after the equation's parameters. The rule was chosen by simulation (`benchmarks/
    linked_coverage.py`).
    """
    units, factor = equation_units(model, sample.means), np.ones(table.n_free)
    for row in table.of("edge"):
        if row.free:
            n = units[row.right]
            left = n - len(model.causes(row.right)) - 1
            factor[row.free - 1] = np.sqrt(n / max(left, 1))
    return np.asarray(vcov * np.outer(factor, factor))


_LEAST = 0.05  # share of a variance that is left at least, where an iteration starts from another estimate
_ROUGH = 10  # steps with one mean noise for all units, before the first with each unit's own


def table_of(model: RoxModel, options: SemOptions, groups: Sequence[str]) -> ParameterTable:
    """Plan the parameters of all groups.

    Equal labels are equal parameters, over groups too. With equal intercepts the latent means are free in every
    group but the first; with equal loadings the variances that are fixed only to give their constructs a unit are
    (`roxmodel.spec.parameters.gives_unit`): by the scaling, or by the model (lavaan's ``f =~ NA*x1``, ``f ~~ 1*f``,
    which ``sem()`` keeps fixed in every group, so that its metric step asks for equal variances too).
    """
    means = options.means or options.missing == "fiml" or len(groups) > 1
    table = plan(model, "reflective", means, scaling=options.scaling)
    if len(groups) == 1:
        return table
    rows: list[Parameter] = []
    numbers: dict[object, int] = {}
    later = [_relative(model, table, row) for row in table] if "loadings" in options.equal else table.rows
    for place, group in enumerate(groups):
        for row in later if place else table:
            if row.kind == "defined":
                continue
            rows.append(_in_group(model, row, (group, place), options.equal, numbers))
    rows += list(table.of("defined"))
    _refuse_equal_ids(rows)
    return ParameterTable(tuple(rows))


def _refuse_equal_ids(rows: Sequence[Parameter]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise SpecError(f"Two parameters would be called {row.id!r}.", hint=f"Rename the group {row.group!r}.")
        seen.add(row.id)


def _relative(model: RoxModel, table: ParameterTable, row: Parameter) -> Parameter:
    """The row as it stands in the groups after the first, where loadings are equal: a unit is told by the first."""
    if not gives_unit(model, table, row):
        return row
    return replace(row, free=-1, value=None, lower=0.0, label="", note="relative to the first group")


def _in_group(
    model: RoxModel, row: Parameter, group: tuple[str, int], equal: Sequence[str], numbers: dict[object, int]
) -> Parameter:
    name, place = group
    own = replace(row, id=f"{row.id}@{name}", group=name)
    latent_mean = row.kind == "intercept" and row.left in model.names and row.value is not None
    if latent_mean and place and "intercepts" in equal:
        own = replace(own, free=1, value=None, note="difference to the first group")
        key: object = own.id
    elif row.free < 0:
        key = own.id
    elif not row.free:
        return own
    elif _labelled(model, row) or _shared(model, row, equal):
        key = (row.free,)
    else:
        key = (row.free, name)
    return replace(own, free=numbers.setdefault(key, len(numbers) + 1))


def _labelled(model: RoxModel, row: Parameter) -> bool:
    """Whether the model labels it; residuals that are equal within a construct are another's in each group."""
    return bool(row.label) and not (row.kind == "variance" and stated(model, row.left, row.left) is None)


def _shared(model: RoxModel, row: Parameter, equal: Sequence[str]) -> bool:
    if row.kind == "loading":
        return "loadings" in equal
    if row.kind == "edge":
        return "edges" in equal
    if row.kind == "intercept":
        return "intercepts" in equal and row.left not in model.names
    return row.kind == "variance" and "residuals" in equal and residual_of(row, model.names)


def given_by_data(model: RoxModel, table: ParameterTable, sample: Sample) -> dict[str, FloatArray]:
    """Values of the rows that are neither free nor fixed by the model: the data's, or a share of an item's variance.

    Where the sample's moments have draws in front, so have the values.
    """
    items = {name: i for i, name in enumerate(sample.items)}
    found: dict[str, FloatArray] = {}
    for row in table:
        if row.free or row.value is not None or row.kind == "defined":
            continue
        place = max((i for i, group in enumerate(sample.groups) if group.name == row.group), default=0)
        group = sample.groups[place]
        if row.kind == "variance" and residual_of(row, model.names):
            reliability = owner_of(model, row.left).reliability
            share = 1.0 - (1.0 if reliability is None else reliability)
            at = items[row.left]
            found[row.id] = share * group.target.covariance[..., at, at] * sample.scale[at] ** 2
        elif row.kind in {"variance", "covariance"}:
            a, b = (items[model.find(name).item_names[0]] for name in (row.left, row.right))
            found[row.id] = group.target.covariance[..., a, b] * sample.scale[a] * sample.scale[b]
        elif row.kind == "intercept":
            at = items[model.find(row.left).item_names[0]]
            found[row.id] = group.target.mean[..., at] * sample.scale[at]
    return found


def owner_of(model: RoxModel, item: str) -> Construct:
    """The construct that an item measures."""
    return next(construct for construct in model.constructs if item in construct.item_names)


def layouts_of(
    model: RoxModel, table: ParameterTable, groups: Sequence[str], given: Mapping[str, float], scale: FloatArray
) -> tuple[Layout, ...]:
    """One layout a group."""
    items = tuple(item.name for item in model.items)
    return tuple(
        lay_out([row for row in table if row.group == group], (items, model.names), given, scale, table.n_free)
        for group in groups
    )


def with_given(layout: Layout, rows: Sequence[Parameter], given: Mapping[str, FloatArray]) -> Layout:
    """The layout with given values that differ by draw, (draws,) each."""
    base = list(layout.base)
    for row in rows:
        if row.id not in given or row.free or row.value is not None:
            continue
        values = np.atleast_1d(given[row.id])
        which, i, j = place_of(row, layout.items, layout.constructs)
        own = np.array(
            np.broadcast_to(base[which], (len(values), *layout.base[which].shape[-(1 + (which < ITEM_MEANS)) :]))
        )
        if which >= ITEM_MEANS:
            own[:, i] = values
        else:
            own[:, i, j] = own[:, j, i] = values
        base[which] = own
    return replace(layout, base=tuple(base))


def refuse_free_lags(table: ParameterTable) -> None:
    """A free lagged edge needs waves."""
    for row in table.of("edge"):
        if row.lag and row.free:
            raise SpecError(
                f"The lagged edge {row.left} -> {row.right} is free, but one wave cannot estimate a lag.",
                hint="Fix its value (rox.Edge(..., lag=1, fixed=0.1)): it then acts in the simulation only.",
            )


def solve(model: RoxModel, sample: Sample, table: ParameterTable, observed: bool) -> LatentSolution:
    """Maximum likelihood, and its inverse information: the observed one, or the expected.

    Raises EstimationError or SpecError for a model that is not identified, or starting values that contradict each
    other.
    """
    refuse_free_lags(table)
    names = [group.name for group in sample.groups]
    given = {name: float(value) for name, value in given_by_data(model, table, sample).items()}
    layouts = layouts_of(model, table, names, given, sample.scale)
    start = start_values(model, table, [(group.name, group.target) for group in sample.groups], sample.scale)
    require_identified(model, table, layouts, start)
    asked = UNITS if isinstance(sample, LinkedSample) else PEOPLE
    hardly = require_seen(table, layouts, start, sample.together, asked)
    found = optimum_of(layouts, table, sample, start[0])
    # the condition is judged without intercepts, which depend on where the items have their zero
    bread = net_of_intercepts(bread_of(found, observed), table)
    return LatentSolution(model, sample, table, layouts, given, found, bread, hardly)


def solve_between(
    model: RoxModel, sample: LinkedSample, scaling: Scaling = "marker", observed: bool = True
) -> LatentSolution:
    """The same of units, whose constructs without causes covary freely (see `between_table`)."""
    return solve(model, sample, between_table(model, scaling), observed)


def objective_of(layouts: Sequence[Layout], sample: Sample) -> Objective:
    """What is minimised."""
    if isinstance(sample, LinkedSample):
        return objective_of_units(layouts[0], sample.data)
    return Objective(
        [Part(layout, group.data, group.n / sample.n) for layout, group in zip(layouts, sample.groups, strict=True)]
    )


def optimum_of(layouts: Sequence[Layout], table: ParameterTable, sample: Sample, start: FloatArray) -> Minimum:
    """The optimum, from starting values: first made feasible, and moved to the means."""
    objective, means = objective_of(layouts, sample), [group.target.mean for group in sample.groups]

    def level(theta: FloatArray) -> FloatArray:
        return at_means(layouts, table, theta, means)

    if not isinstance(sample, LinkedSample):
        return reached(objective, level(feasible(objective, start, table)), table, level)
    rough = objective_of_units(layouts[0], condensed(sample.data))
    first = minimise(rough, level(feasible(rough, start, table)), lower_bounds(table), _ROUGH)
    return reached(objective, feasible(objective, first.theta, table), table, level)


def solved_again(known: LatentSolution, data: NormalCells) -> Minimum:
    """The optimum with other noise of the unit means, from an estimate of the same parameters."""
    rough = objective_of_units(known.layout, condensed(data))
    inside = _inside(known, known.found.theta)
    first = minimise(rough, feasible(rough, inside, known.table), lower_bounds(known.table), _ROUGH)
    objective = objective_of_units(known.layout, data)
    near = first.theta if np.isfinite(objective.value(first.theta)) else inside
    return reached(objective, feasible(objective, near, known.table), known.table)


def _inside(known: LatentSolution, theta: FloatArray) -> FloatArray:
    """Variances at or near 0 moved away from it, so that noise may shrink."""
    found, layout = theta.copy(), known.layout
    latent = np.diag(implied(layout, theta).latent)
    items = dict(zip(layout.items, (layout.scale**2).tolist(), strict=True))
    constructs = dict(zip(layout.constructs, latent.tolist(), strict=True))
    for row in known.table.of("variance"):
        if row.free:
            whole = (items if residual_of(row, layout.constructs) else constructs)[row.left]
            found[row.free - 1] = max(found[row.free - 1], _LEAST * whole)
    return found


def layout_of(known: LatentSolution, data: NormalCells) -> Layout:
    """The layout with the values that other unit means give (residuals of a stated reliability)."""
    if not known.given:
        return known.layout
    sample = known.sample
    groups = (replace(sample.groups[0], target=moments_between(data)),)
    given = given_by_data(known.model, known.table, replace(sample, groups=groups))
    return layouts_of(known.model, known.table, [""], {k: float(v) for k, v in given.items()}, sample.scale)[0]
