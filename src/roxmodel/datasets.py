"""Data to try things on: worlds whose truth is known, and matrices that were printed.

`make_world` simulates linked surveys from known effects (simulated, never real). `published` gives moments
from the literature with the estimates that were printed beside them.

Examples
--------
>>> import roxmodel as rox
>>> world = rox.datasets.make_world(20, seed=1)
>>> world.unit.shape, round(world.truth.total("pride", "revenue"), 1)
((20, 3), 8.8)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, PlainSerializer, field_validator, model_validator

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.frozen import Frozen, FrozenMapping, Number
from roxmodel.published import Published, published
from roxmodel.spec.constructs import UNIT, Construct, arrow_text
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.questionnaire import Amount, Item, Likert
from roxmodel.types import FloatArray, read_only

if TYPE_CHECKING:
    from roxmodel.survey.study import Study

__all__ = ["Published", "Truth", "World", "WorldDesign", "make_world", "published"]

# The world's constants, for a scale of 1 to 5; other scales stretch points, so that standardised values stay.
_SURVEY_EDGES = {
    ("influencers", "pride"): 0.50,
    ("influencers", "behaviours"): 0.25,
    ("pride", "behaviours"): 0.40,
    ("behaviours", "value"): 0.50,
    ("value", "loyalty"): 0.60,
}
_MONEY_EDGES = {("value", "revenue"): 20.0, ("loyalty", "revenue"): 40.0}  # kEUR per point
_REVENUE_MEAN, _REVENUE_NOISE = 600.0, 30.0  # kEUR a wave; sd of what nothing here explains
_AFFLUENCE_MEAN, _AFFLUENCE_SD = 25.0, 3.0  # purchasing power, kEUR per head
_LARGEST = 1e6  # size of an effect that is asked for; beyond, squares lose their digits
_MEAN = 0.625  # of the scale's length: 3.5 on 1 to 5
_ITEM_SD = 0.225  # of the scale's length: 0.9 points on 1 to 5
_ITEM_SHIFTS = (0.0, -0.025, 0.025, -0.05)  # of the scale's length: later items are a little easier or harder
_WITHIN_SHARE = 0.6  # of a person's deviation that the items of one construct share
_PARTS = ("unit", "order", "employee", "customer", "absent")  # each with random numbers of its own
# How constructs correlate within people. Unlike between units, pride has no effect on behaviours given
# influencers (.15 = .3 * .5), and value and loyalty share a respondent's mood.
_WITHIN = {
    "employee": np.array([[1.0, 0.3, 0.5], [0.3, 1.0, 0.15], [0.5, 0.15, 1.0]]),
    "customer": np.array([[1.0, 0.8], [0.8, 1.0]]),
}

Effects = Annotated[
    Mapping[str, Number], AfterValidator(FrozenMapping[str, float]), PlainSerializer(dict, return_type=dict[str, float])
]


class WorldDesign(Frozen):
    """How large, how noisy and how confounded a simulated world is.

    Parameters
    ----------
    employees, customers
        Fewest and most respondents of a unit (>= 1), drawn evenly; one number = the same everywhere.
    scale
        ``"likert"``: answers are rounded to whole points and cut off at the ends. ``"continuous"``: not.
    points
        Length of the scale, 1 to `points` (3 to 11); it sets the size of a point for continuous answers too.
    icc
        Share of the variance of a marker item that lies between units, ICC(1), above 0 and below 1.
    item_residual
        Share of a marker's between-unit variance that is its own and not the construct's, 0 to 0.9.
    confounding
        Strength of the observed common cause `affluence`, 0 to 0.7: by so many of their between-unit standard
        deviations influencers and value rise per standard deviation of affluence, and revenue by so many of
        its unexplained standard deviations. 0: affluence does nothing, and its edges to the two are left out.
    missing
        Share of survey answers missing completely at random, 0 to 0.9.
    without_customers
        Share of units without a customer survey, 0 to 0.9.
    loadings
        Between-unit loading of the first, second, third and fourth item of every construct; the first is 1.
    effects
        True values of edges that are to be other than the world's own: ``{"pride -> behaviours": 0.2}``, in the raw
        units of `Truth.edges` (points, kEUR, kEUR per head), whatever `points` is. Survey constructs keep their
        standard deviation, revenue keeps its unexplained one.

    Raises
    ------
    SpecError
        For a value out of its range, an unknown name, or effects that would explain more of a construct than there is.

    Examples
    --------
    >>> WorldDesign(employees=20, missing=0.1).employees
    (20, 20)
    """

    employees: tuple[int, int] = (8, 40)
    customers: tuple[int, int] = (8, 40)
    scale: Literal["continuous", "likert"] = "likert"
    points: int = Field(default=5, ge=3, le=11)
    icc: float = Field(default=0.15, gt=0, lt=1)
    item_residual: float = Field(default=0.05, ge=0, le=0.9)
    confounding: float = Field(default=0.3, ge=0, le=0.7)
    missing: float = Field(default=0.0, ge=0, le=0.9)
    without_customers: float = Field(default=0.0, ge=0, le=0.9)
    loadings: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    effects: Effects = Field(default_factory=lambda: FrozenMapping[str, float]({}))

    @field_validator("employees", "customers", mode="before")
    @classmethod
    def _one_number(cls, given: Any) -> Any:
        return (given, given) if isinstance(given, int) else given

    @field_validator("employees", "customers")
    @classmethod
    def _low_high(cls, given: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= given[0] <= given[1]:
            raise SpecError(f"The respondents of a unit were {given}.", allowed="1 <= low <= high")
        return given

    @field_validator("loadings")
    @classmethod
    def _marked(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if len(given) != 4 or given[0] != 1.0 or not all(0 < loading <= 3 for loading in given):
            allowed = "four: 1 for the first item (the marker), above 0 and up to 3 for the others"
            raise SpecError(f"The loadings were {given}.", allowed=allowed)
        return given

    @model_validator(mode="after")
    def _possible(self) -> WorldDesign:
        if self.effects:
            model = _model(self)
            known = [arrow_text(edge.cause, edge.effect) for edge in model.edges]
            for edge, value in self.effects.items():
                if edge not in known:
                    raise SpecError(f"effects= names {edge!r}, no edge of this world.", hint=did_you_mean(edge, known))
                if abs(value) > _LARGEST:
                    raise SpecError(f"effects= gives {edge!r} the value {value:g}.", allowed=f"up to ±{_LARGEST:,.0f}")
            _truth(self, model)
        return self

    @property
    def length(self) -> float:
        """Points from the scale's low to its high end."""
        return float(self.points - 1)

    @property
    def item_variance(self) -> float:
        """Variance of a marker before rounding, between and within units together, in points squared."""
        return (_ITEM_SD * self.length) ** 2


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The effects a world was made with; k constructs in the order of `names`.

    All of it holds for the *latent* answers, before rounding: survey constructs count points of their marker,
    revenue kEUR a wave, affluence kEUR per head.

    Parameters
    ----------
    names
        The k constructs.
    arrows
        (cause, effect) of every edge of the model, in its order.
    coefficients
        (k, k) direct effects between units, row = effect, column = cause, raw units.
    disturbances
        (k,) variance between units that the causes do not explain.
    means
        (k,) means; of a survey construct that of its marker.
    covariance
        (k, k) covariance of the constructs between units.
    loadings
        (p, k) frame: what one unit of a construct (column) moves an item (row) by, between units.
    item_means
        (p,) series: mean of every item.
    within
        Source to the covariance (p, p) of its items within units, in points squared.

    Examples
    --------
    >>> truth = make_world(20, seed=1).truth
    >>> round(truth.total("pride", "revenue"), 6)  # .4 * .5 * (20 + .6 * 40)
    8.8
    """

    names: tuple[str, ...]
    arrows: tuple[tuple[str, str], ...]
    coefficients: FloatArray
    disturbances: FloatArray
    means: FloatArray
    covariance: FloatArray
    loadings: pd.DataFrame
    item_means: pd.Series[float]
    within: Mapping[str, pd.DataFrame]

    @property
    def edges(self) -> pd.DataFrame:
        """Every edge: cause, effect, value (raw units), standardized (between-unit standard deviations)."""
        rows = [(self._position(cause), self._position(effect)) for cause, effect in self.arrows]
        causes, effects = (np.array(side) for side in zip(*rows, strict=True))
        value = self.coefficients[effects, causes]
        frame = pd.DataFrame(list(self.arrows), columns=["cause", "effect"])
        return frame.assign(value=value, standardized=value * self.sd[causes] / self.sd[effects])

    @property
    def sd(self) -> FloatArray:
        """(k,) standard deviations between units."""
        return np.sqrt(np.diagonal(self.covariance))

    def total(self, cause: str, effect: str) -> float:
        """Total effect between units, (I − B)⁻¹ − I, in units of the effect per unit of the cause.

        Raises
        ------
        SpecError
            For an unknown construct, with the likely one.
        """
        size = len(self.names)
        totals = np.linalg.solve(np.eye(size) - self.coefficients, np.eye(size)) - np.eye(size)
        return float(totals[self._position(effect), self._position(cause)])

    def _position(self, name: str) -> int:
        if name not in self.names:
            raise SpecError(f"The world has no construct {name!r}.", hint=did_you_mean(name, self.names))
        return self.names.index(name)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Simulated linked surveys and the truth they were drawn from.

    Parameters
    ----------
    employee
        One row a respondent: `branch`, inf1-3, pri1-4, beh1-3.
    customer
        One row a respondent: `branch`, val1-4, loy1-3.
    unit
        One row a unit: `branch`, revenue (kEUR a wave), affluence (kEUR per head).
    model
        A correct model of the world.
    truth
        The effects it was made with.
    design, seed
        What it was made from; the same two give the same world.
    by
        The key that links the frames.
    """

    employee: pd.DataFrame
    customer: pd.DataFrame
    unit: pd.DataFrame
    model: RoxModel
    truth: Truth
    design: WorldDesign
    seed: int
    by: str = "branch"

    def study(self, **options: Any) -> Study:
        """Link the frames: ``rox.Study(model, employee=, customer=, unit=, by="branch", **options)``.

        Examples
        --------
        >>> make_world(30, seed=1, without_customers=0.2).study().model.name
        'branches'
        """
        from roxmodel.survey.study import Study

        frames = {"employee": self.employee, "customer": self.customer, "unit": self.unit, "by": self.by}
        return Study(self.model, **{**frames, **options})


def make_world(units: int = 120, *, seed: int, design: WorldDesign | None = None, **options: Any) -> World:
    """Simulate branches whose employees and customers answer surveys, with known effects.

    **Simulated, not real.** Unit *j* has true levels of the constructs (a linear structural model with
    normal disturbances, see `Truth`); respondent *i* answers its level plus the item's own unit effect
    plus a personal deviation. Deviations of one person correlate over items and constructs, but otherwise
    than the units do, so that an analysis of persons answers another question. Sources share nothing but
    the unit.

    Rounded answers (``scale="likert"``) know the truth only nearly: the scale ends where some would go
    on, so that on five points the mean answer moves by about 0.96 per latent point. ICCs come out a
    little lower, effects from survey to survey hardly change, effects on money grow by about 4 %. Use
    ``scale="continuous"`` where truth must be exact.

    Parameters
    ----------
    units
        Number of branches, at least 2.
    seed
        A whole number >= 0; the same seed gives the same world, bit for bit. Every part has its own stream:
        changing `missing`, for example, changes no answer that is left.
    design
        How large, noisy and confounded it is; None = the defaults of `WorldDesign`.
    **options
        Fields of `WorldDesign`, instead of `design` or to change it.

    Returns
    -------
    World

    Raises
    ------
    SpecError
        For a value out of its range or an unknown option, with the likely one.

    Examples
    --------
    >>> world = make_world(60, seed=1, employees=(5, 10))
    >>> world.truth.edges.head(3)
             cause      effect  value  standardized
    0  influencers       pride   0.50          0.50
    1  influencers  behaviours   0.25          0.25
    2        pride  behaviours   0.40          0.40
    >>> world.employee.shape[1], world.unit.columns.tolist()
    (11, ['branch', 'revenue', 'affluence'])
    """
    count, number = _whole(units, "units", 2), _whole(seed, "seed", 0)
    if design is not None and not isinstance(design, WorldDesign):
        raise SpecError(f"design= was {design!r}.", allowed="a WorldDesign, or its fields as options")
    plan = WorldDesign(**options) if design is None else design.replace(**options)
    model = _model(plan)
    truth = _truth(plan, model)
    parts = dict(zip(_PARTS, np.random.SeedSequence(number).spawn(len(_PARTS)), strict=True))
    keys = pd.Series([f"B{j + 1:0{max(3, len(str(count)))}d}" for j in range(count)])
    levels = _levels(truth, count, np.random.default_rng(parts["unit"]))
    books = pd.DataFrame(levels[:, -2:], columns=["revenue", "affluence"])
    books.insert(0, "branch", keys)
    customer = _survey(plan, truth, "customer", levels, keys, parts["customer"])
    order = np.random.default_rng(parts["absent"]).permutation(count)
    silent = order[: round(plan.without_customers * count)]
    return World(
        employee=_survey(plan, truth, "employee", levels, keys, parts["employee"]),
        customer=customer[~customer["branch"].isin(keys.iloc[silent])].reset_index(drop=True),
        unit=_shuffled(books, np.random.default_rng(parts["order"])),
        model=model,
        truth=truth,
        design=plan,
        seed=number,
    )


def _whole(value: object, what: str, least: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise SpecError(f"{what}= was {value!r}.", allowed=f"a whole number from {least} on")
    return number


def _model(design: WorldDesign) -> RoxModel:
    scale = Likert(1, design.points) if design.scale == "likert" else None

    def asked(name: str, factor: str, source: str, stem: str, items: int) -> Construct:
        columns = [f"{stem}{k}" for k in range(1, items + 1)]
        return Construct(name=name, factor=factor, source=source, items=columns, scale=scale)

    def booked(name: str, factor: str, unit: str) -> Construct:
        return Construct(name=name, factor=factor, source=UNIT, items=[Item(name=name, scale=Amount(unit))])

    edges = ["influencers -> pride", "influencers + pride -> behaviours", "behaviours -> value"]
    edges += ["value -> loyalty", "value + loyalty + affluence -> revenue"]
    edges += ["affluence -> influencers", "affluence -> value"] if design.confounding > 0 else []
    return RoxModel(
        name="branches",
        constructs=(
            asked("influencers", "influencers", "employee", "inf", 3),
            asked("pride", "pride", "employee", "pri", 4),
            asked("behaviours", "behaviours", "employee", "beh", 3),
            asked("value", "value_drivers", "customer", "val", 4),
            asked("loyalty", "outcomes", "customer", "loy", 3),
            booked("revenue", "outcomes", "kEUR"),
            booked("affluence", "context", "kEUR per head"),
        ),
        edges=tuple(edges),
    )


def _truth(design: WorldDesign, model: RoxModel) -> Truth:
    names = model.names
    coefficients = _coefficients(design, names)
    wanted = np.full(len(names), _construct_sd(design) ** 2)
    wanted[names.index("affluence")] = _AFFLUENCE_SD**2
    covariance, disturbances = np.zeros_like(coefficients), np.zeros(len(names))
    for k in (names.index(name) for name in model.order()):  # causes first; what they leave is disturbance
        row = coefficients[k] @ covariance
        explained = row @ coefficients[k]
        disturbances[k] = _REVENUE_NOISE**2 if names[k] == "revenue" else wanted[k] - explained
        if disturbances[k] <= 0:
            raise SpecError(
                f"With effects={dict(design.effects)} the causes of {names[k]!r} would explain "
                f"{explained / wanted[k]:.0%} of its variance.",
                allowed="below 100 %",
                hint="Make its effects smaller.",
            )
        covariance[k] = covariance[:, k] = row
        covariance[k, k] = explained + disturbances[k]
    means = np.full(len(names), 1 + _MEAN * design.length)
    means[names.index("revenue")], means[names.index("affluence")] = _REVENUE_MEAN, _AFFLUENCE_MEAN
    for array in (coefficients, disturbances, means, covariance):
        array.flags.writeable = False
    loadings, item_means = _measurement(design, model, means)
    within = FrozenMapping({source: _within(design, model, source) for source in _WITHIN})
    arrows = tuple((edge.cause, edge.effect) for edge in model.edges)
    return Truth(names, arrows, coefficients, disturbances, means, covariance, loadings, item_means, within)


def _construct_sd(design: WorldDesign) -> float:
    """Return the standard deviation of every survey construct between units, in points."""
    return float(np.sqrt(design.item_variance * design.icc * (1 - design.item_residual)))


def _coefficients(design: WorldDesign, names: tuple[str, ...]) -> FloatArray:
    strength = design.confounding / _AFFLUENCE_SD
    effects = _SURVEY_EDGES | {pair: 4 / design.length * money for pair, money in _MONEY_EDGES.items()}
    effects |= {("affluence", name): strength * _construct_sd(design) for name in ("influencers", "value")}
    effects["affluence", "revenue"] = strength * _REVENUE_NOISE
    effects |= {pair: design.effects[text] for pair in effects if (text := arrow_text(*pair)) in design.effects}
    coefficients = np.zeros((len(names), len(names)))
    for (cause, effect), size in effects.items():
        coefficients[names.index(effect), names.index(cause)] = size
    return coefficients


def _measurement(design: WorldDesign, model: RoxModel, means: FloatArray) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Build loadings (p, k) and means (p,) of the items; the unit's figures are items of themselves."""
    items = [item.name for item in model.items]
    loadings = pd.DataFrame(0.0, index=items, columns=list(model.names))
    item_means = pd.Series(0.0, index=items)
    for construct, mean in zip(model.constructs, means, strict=True):
        for position, item in enumerate(construct.item_names):
            loadings.loc[item, construct.name] = design.loadings[position]
            item_means[item] = mean + _ITEM_SHIFTS[position] * design.length
    return loadings, item_means


def _within(design: WorldDesign, model: RoxModel, source: str) -> pd.DataFrame:
    """Covariance (p, p) of a source's items within units: what a construct's items share, and their own."""
    constructs = [c for c in model.constructs if c.source == source]
    items = [item for c in constructs for item in c.item_names]
    of = np.repeat(np.arange(len(constructs)), [len(c.items) for c in constructs])
    shared = _WITHIN_SHARE * _WITHIN[source][np.ix_(of, of)]
    covariance = (1 - design.icc) * design.item_variance * (shared + (1 - _WITHIN_SHARE) * np.eye(len(items)))
    return pd.DataFrame(covariance, index=items, columns=items)


def _levels(truth: Truth, units: int, rng: np.random.Generator) -> FloatArray:
    """Draw the true levels (units, k) of the constructs."""
    shocks = rng.standard_normal((units, len(truth.names))) * np.sqrt(truth.disturbances)
    effects = np.linalg.solve(np.eye(len(truth.names)) - truth.coefficients, shocks.T).T
    return np.asarray(truth.means + effects, dtype=np.float64)


def _survey(
    design: WorldDesign,
    truth: Truth,
    source: str,
    levels: FloatArray,
    keys: pd.Series[str],
    seed: np.random.SeedSequence,
) -> pd.DataFrame:
    """Draw the answers of one source, one row a respondent, in random order."""
    own, counted, answered, missed, ordered = (np.random.default_rng(part) for part in seed.spawn(5))
    low, high = design.employees if source == "employee" else design.customers
    unit = np.repeat(np.arange(len(keys)), counted.integers(low, high, size=len(keys), endpoint=True))
    within = truth.within[source]
    deviation = (levels - truth.means) @ truth.loadings.loc[within.index].to_numpy().T
    residual = np.sqrt(design.item_residual * design.icc * design.item_variance)
    at_unit = truth.item_means[within.index].to_numpy() + deviation
    at_unit += residual * own.standard_normal(at_unit.shape)
    answers = answered.standard_normal((len(unit), len(within))) @ np.linalg.cholesky(within).T
    answers += at_unit[unit]
    if design.scale == "likert":
        answers = np.clip(np.rint(answers), 1, design.points)
    answers[missed.random(answers.shape) < design.missing] = np.nan
    frame = pd.DataFrame(answers, columns=within.columns)
    frame.insert(0, "branch", keys.iloc[unit].reset_index(drop=True))
    return _shuffled(frame, ordered)


def _shuffled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.iloc[rng.permutation(len(frame))].reset_index(drop=True)
