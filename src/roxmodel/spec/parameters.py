"""The parameter table: one row a parameter, planned here, filled by a fit, exported by id."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.spec.causal import CausalModel, terminal
from roxmodel.spec.constructs import Construct, Covariance, Edge
from roxmodel.types import Scaling

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "GIVEN", "Given", "Kind", "Parameter", "ParameterTable", "covariates", "gives_unit", "plan", "residual_of",
    "stated", "units_kept",
]  # fmt: skip

_MOST = 50_000  # covariances of a model; the covariance matrix of its estimates would take 20 GB

Kind: TypeAlias = Literal["loading", "edge", "variance", "covariance", "intercept", "threshold", "defined"]
Given: TypeAlias = Literal["", "moment", "share", "rest"]

GIVEN: Final[dict[str, Any]] = {"given": "moment", "note": "given by the data"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table; `id` is a stable name, for example ``"edge:pride->behaviours"``.

    `given` says how the data give the value of a fixed row: ``moment``, the sample's own; ``share``, 1 - reliability
    of the item's variance; ``rest``, 1 minus what its construct or its causes explain; empty = they do not.
    """

    id: str
    kind: Kind
    left: str  # construct of a loading, cause of an edge; of a variance the same as right
    right: str  # item of a loading, effect of an edge
    group: str = ""  # empty for one group
    free: int = 0  # 0 = fixed; k = the k-th element of theta, counted from 1; equal numbers are an equality constraint
    value: float | None = None  # None if free, or if the data give it
    start: float | None = None  # asked for
    label: str = ""  # equal labels are equal parameters
    lag: int = 0  # waves between cause and effect
    lower: float | None = None  # bound of a free parameter
    note: str = ""  # why it is as it is, when that is not obvious; words for a reader, never asked by code
    given: Given = ""


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """The rows in a fixed order, with theta numbered 1…`n_free`."""

    rows: tuple[Parameter, ...]

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_free(self) -> int:
        """Length of theta."""
        return max((row.free for row in self.rows), default=0)

    def of(self, kind: Kind) -> tuple[Parameter, ...]:
        """Rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def row(self, parameter_id: str) -> Parameter:
        """One row by id."""
        for row in self.rows:
            if row.id == parameter_id:
                return row
        raise SpecError(
            f"There is no parameter {parameter_id!r}.", hint=did_you_mean(parameter_id, [r.id for r in self.rows])
        )

    def frame(self) -> pd.DataFrame:
        """Rows as a DataFrame: id, kind, left, right, group, free, value, start, label, lag, lower, note."""
        import pandas as pd

        columns = [name for name in Parameter.__dataclass_fields__ if name != "given"]
        return pd.DataFrame([[getattr(row, c) for c in columns] for row in self.rows], columns=columns)


def plan(
    model: CausalModel,
    measurement: Literal["reflective", "composite"] = "reflective",
    means: bool = True,
    scaling: Scaling = "marker",
) -> ParameterTable:
    """Plan the parameters of a model: loadings, edges, variances, covariances, intercepts, definitions, in this order.

    ``"reflective"``: constructs are latent, items have loadings and residuals; ``"composite"``: constructs are item
    means, only the structural part has parameters. The scaling is the unit of a latent construct: ``"marker"``, its
    first item's (loading 1), or ``"standardized"``: the first loading is free, under its label if it has one, and the
    variance (of what its causes leave) is 1. A fixed loading or variance gives the unit anyway (`units_kept`).

    >>> from roxmodel.spec.graph import five_factor
    >>> table = plan(five_factor({"pride": ["p1", "p2"], "outcomes": ["revenue"]}), means=False)
    >>> [row.id for row in table if row.kind == "edge"], table.n_free
    (['edge:pride->outcomes'], 6)
    """
    rows: list[Parameter] = []
    if measurement == "reflective":
        rows += [row for construct in model.constructs for row in _loadings(model, construct, scaling)]
    rows += map(_edge, model.edges)
    if measurement == "reflective":
        rows += [row for construct in model.constructs for row in _item_variances(model, construct)]
    unit = scaling if measurement == "reflective" else "marker"
    given = covariates(model)
    rows += [_construct_variance(model, name, unit, given) for name in model.names]
    rows += _covariances(model, measurement, given)
    if means:
        rows += _intercepts(model, measurement, given)
    rows += [
        Parameter(f"defined:{name}", "defined", name, text, note=f"{name} := {text}")
        for name, text in model.definitions.items()
    ]
    _refuse_equal_ids(rows)
    return ParameterTable(tuple(_numbered(rows)))


def _refuse_equal_ids(rows: list[Parameter]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise SpecError(
                f"Two parameters would be called {row.id!r}.", hint=f"Rename {row.left!r} or {row.right!r}."
            )
        seen.add(row.id)


def _numbered(rows: list[Parameter]) -> Iterator[Parameter]:
    """Count the free rows; rows of one label share a number, or the value if one of them is fixed."""
    fixed = _values_of_labels(rows)
    numbers: dict[str, int] = {}
    count = 0
    for row in rows:
        if row.free == 0:
            yield row
        elif row.label in fixed:
            yield replace(row, free=0, value=fixed[row.label], lower=None, note="fixed by its label")
        elif row.label and row.label in numbers:
            yield replace(row, free=numbers[row.label])
        else:
            count += 1
            if row.label:
                numbers[row.label] = count
            yield replace(row, free=count)


def _values_of_labels(rows: list[Parameter]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        if row.free == 0 and row.label and row.value is not None:
            other = found.setdefault(row.label, row.value)
            if other != row.value:
                raise SpecError(
                    f"The label {row.label!r} stands at parameters fixed to {other:g} and to {row.value:g}"
                    + (" (the loading of a first item is 1)." if row.kind == "loading" else "."),
                    hint="Equal labels are equal parameters: rename one.",
                )
    return found


def units_kept(model: CausalModel) -> dict[str, str]:
    """Latent constructs to which ``scaling="standardized"`` gives no variance of 1: name -> what gives their unit.

    >>> from roxmodel.spec.questionnaire import Item
    >>> items = [Item(name="p1", loading=2.0), "p2", "p3"]
    >>> units_kept(CausalModel(name="m", constructs=[Construct(name="p", factor="pride", source="s", items=items)]))
    {'p': 'the loading of p1 is fixed to 2'}
    """
    found = {}
    for construct in model.constructs:
        name, value = construct.name, _fixed_variance(model, construct.name)
        fixed = [item for item in construct.items if isinstance(item.loading, float)]
        if len(construct.items) == 1:
            if construct.item_names[0] != name or not construct.observed:
                found[name] = f"{construct.item_names[0]} is its only item"
        elif fixed:
            found[name] = f"the loading of {fixed[0].name} is fixed to {fixed[0].loading:g}"
        elif value is not None and value != 1:
            found[name] = f"its variance is fixed to {value:g}"
    return found


def _fixed_variance(model: CausalModel, name: str) -> float | None:
    found = stated(model, name, name)
    return None if found is None else found.fixed


def gives_unit(model: CausalModel, table: ParameterTable, row: Parameter) -> bool:
    """Whether a row is the fixed variance of a construct whose loadings are all free, so that it alone gives a unit."""
    if row.kind != "variance" or row.free or not row.value or row.left not in model.names:
        return False
    own = [one for one in table.of("loading") if one.left == row.left and one.group == row.group]
    return len(own) > 1 and all(one.free for one in own)


def _standardized(model: CausalModel, construct: Construct, scaling: Scaling) -> bool:
    """Whether its variance gives a construct the unit: it has several items, none fixed, and causes leave some."""
    fixed = any(isinstance(item.loading, float) for item in construct.items)
    some = _fixed_variance(model, construct.name) != 0
    return scaling == "standardized" and len(construct.items) > 1 and some and not fixed


def _loadings(model: CausalModel, construct: Construct, scaling: Scaling) -> Iterator[Parameter]:
    standardized = _standardized(model, construct, scaling)
    for position, item in enumerate(construct.items):
        row = Parameter(f"loading:{construct.name}=~{item.name}", "loading", construct.name, item.name)
        label = item.loading if isinstance(item.loading, str) else ""
        if isinstance(item.loading, float):
            yield replace(row, value=item.loading)
        elif position == 0 and item.marks and not standardized:
            yield replace(row, value=1.0, label=label, note="marker")
        else:
            yield replace(row, free=1, start=item.start, label=label)


def _edge(edge: Edge) -> Parameter:
    suffix = f"@lag{edge.lag}" if edge.lag else ""
    row = Parameter(f"edge:{edge.cause}->{edge.effect}{suffix}", "edge", edge.cause, edge.effect, lag=edge.lag)
    row = replace(row, label=edge.label or "")
    if edge.fixed is None:
        return replace(row, free=1, start=edge.start)
    later = f", acts {edge.lag} wave(s) later, in the simulation only" if edge.lag else ""
    return replace(row, value=edge.fixed, note=f"assumed{later}")


def stated(model: CausalModel, left: str, right: str) -> Covariance | None:
    """The (co)variance as the model states it, None where it says nothing."""
    for pair in model.covariances:
        if {pair.left, pair.right} == {left, right}:
            return pair
    return None


def _second_moment(model: CausalModel, left: str, right: str, default: Parameter) -> Parameter:
    """Make a (co)variance row: as the model states it, else the default."""
    found = stated(model, left, right)
    if found is None:
        return default
    label = found.label or ""
    if found.fixed is not None:
        return replace(default, free=0, value=found.fixed, label=label, note="fixed", given="", lower=None)
    lower = 0.0 if default.kind == "variance" else None
    return replace(default, free=1, value=None, start=found.start, label=label, lower=lower, note="", given="")


def _item_variances(model: CausalModel, construct: Construct) -> Iterator[Parameter]:
    for item in construct.items:
        row = Parameter(f"variance:{item.name}", "variance", item.name, item.name, free=1, lower=0.0)
        if len(construct.items) == 1:
            row = replace(row, id=f"{row.id}|{construct.name}", free=0, lower=None)
            if construct.observed:
                row = replace(row, value=0.0, note="measured without error")
            else:
                row = replace(row, note=f"(1 - {construct.reliability:g}) of the item's variance", given="share")
        elif construct.residuals == "zero":
            row = replace(row, free=0, value=0.0, lower=None, note="residuals='zero'")
        elif construct.residuals == "equal":
            row = replace(row, label=f"residual({construct.name})", note="residuals='equal'")
        # a one-item construct may bear its item's name: then a stated variance is the construct's
        yield row if item.name == construct.name else _second_moment(model, item.name, item.name, row)


def _construct_variance(model: CausalModel, name: str, scaling: Scaling, given: Set[str]) -> Parameter:
    row = Parameter(f"variance:{name}", "variance", name, name, free=1, lower=0.0)
    if _standardized(model, model.find(name), scaling):
        row = replace(row, free=0, value=1.0, lower=None, note="standardized")
        own = stated(model, name, name)
        if own is not None and own.fixed is None:
            return replace(row, label=own.label or "")
    if name in given:
        row = replace(row, free=0, lower=None, **GIVEN)
    return _second_moment(model, name, name, row)


def covariates(model: CausalModel) -> frozenset[str]:
    """Constructs whose moments the data give: fixed, exogenous, observed, no variance of them stated."""
    if model.exogenous == "free":
        return frozenset()
    found = (construct for construct in model.constructs if construct.observed and not model.causes(construct.name))
    return frozenset(one.name for one in found if not any(stated(model, n, n) for n in (one.name, one.item_names[0])))


def _covariances(model: CausalModel, measurement: str, given: Set[str]) -> list[Parameter]:
    """Exogenous pairs, terminal pairs if asked for, and what the model states, each pair once."""
    rows: dict[frozenset[str], Parameter] = {}
    for left, right in _pairs(model.exogenous_names, "constructs without a cause"):
        row = _covariance_row(left, right)
        rows[frozenset((left, right))] = replace(row, free=0, **GIVEN) if {left, right} <= given else row
    if model.terminal_covariances:
        for left, right in _pairs(terminal(model), "constructs that cause nothing"):
            rows[frozenset((left, right))] = _covariance_row(left, right)
    names = set(model.names)
    for pair in model.covariances:
        structural = {pair.left, pair.right} <= names
        if pair.left != pair.right and (structural or measurement == "reflective"):
            rows.setdefault(frozenset((pair.left, pair.right)), _covariance_row(pair.left, pair.right))
    return [_second_moment(model, row.left, row.right, row) for row in rows.values()]


def _pairs(names: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    count = comb(len(names), 2)
    if count > _MOST:
        raise SpecError(
            f"The model has {len(names):,} {what}, which makes {count:,} covariances.",
            allowed=f"up to {_MOST:,}",
            hint="Say what causes them, or split the model.",
        )
    return combinations(names, 2)


def _covariance_row(left: str, right: str) -> Parameter:
    return Parameter(f"covariance:{left}~~{right}", "covariance", left, right, free=1)


def _intercepts(model: CausalModel, measurement: str, given: Set[str]) -> list[Parameter]:
    """Item intercepts are free and latent means 0; an observed construct carries its own intercept."""
    rows: list[Parameter] = []
    for construct in model.constructs:
        own = measurement == "composite" or len(construct.items) == 1
        if not own:
            rows += [Parameter(f"intercept:{i}", "intercept", i, i, free=1) for i in construct.item_names]
        row = Parameter(f"intercept:{construct.name}", "intercept", construct.name, construct.name)
        if own and construct.name in given:
            rows.append(replace(row, **GIVEN))
        else:
            rows.append(replace(row, free=1) if own else replace(row, value=0.0, note="latent mean"))
    return rows


def residual_of(row: Parameter, constructs: Container[str]) -> bool:
    """Whether a variance or covariance is one of item residuals (an item may bear its construct's name)."""
    if row.left not in constructs or row.kind != "variance":
        return row.left not in constructs
    return row.id.removesuffix(f"@{row.group}") != f"variance:{row.left}"
