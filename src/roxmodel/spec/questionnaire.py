"""Items and their scales: which questions were asked, and what an answer may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from roxmodel.errors import SpecError, did_you_mean
from roxmodel.frozen import Frozen, Number

__all__ = ["NPS", "Amount", "Binary", "Count", "Item", "Likert", "Percent", "Scale"]


class Likert(Frozen):
    """A rating from `low` to `high`, in whole points unless `whole=False`.

    Parameters
    ----------
    low, high
        The scale's ends, ``low < high``.
    labels
        Text answers in order from low to high, one for each point. With labels, text in the data is mapped;
        a text that is not among them is an error.
    whole
        Whether only whole points are answers (default). ``False`` for sliders and half points.

    Raises
    ------
    SpecError
        If ``low >= high``, or labels do not match the number of points.

    Examples
    --------
    >>> Likert(1, 5).ends
    (1.0, 5.0)
    >>> Likert(1, 3, labels=["no", "partly", "yes"]).codes["partly"]
    2.0
    """

    kind: Literal["likert"] = "likert"
    low: Number
    high: Number
    labels: tuple[str, ...] | None = None
    whole: bool = True

    def __init__(
        self, low: float | None = None, high: float | None = None, labels: Sequence[str] | None = None, **rest: Any
    ) -> None:
        ends = {name: end for name, end in (("low", low), ("high", high)) if end is not None}
        super().__init__(**ends, labels=labels, **rest)

    @model_validator(mode="after")
    def _check(self) -> Likert:
        if not self.low < self.high:
            raise SpecError(f"{self} has no width.", allowed="low < high")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise SpecError(
                f"{self} counts whole points but its ends are not whole.", hint="Say whole=False for a slider."
            )
        if self.labels is not None:
            self._check_labels(self.labels)
        return self

    def _check_labels(self, labels: tuple[str, ...]) -> None:
        points = self.high - self.low + 1
        if len(labels) != points:
            raise SpecError(
                f"{self} has {points:g} points but {len(labels)} labels were given.",
                hint="Give one label for each point, from low to high.",
            )
        if len(set(labels)) != len(labels):
            raise SpecError(f"{self} has a label twice: {list(labels)}.")

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest possible answer."""
        return self.low, self.high

    @property
    def integer(self) -> bool:
        """Whether only whole numbers are answers."""
        return self.whole

    @property
    def codes(self) -> dict[str, float]:
        """Text answer to number; empty without labels."""
        return {label: self.low + step for step, label in enumerate(self.labels or ())}

    def __str__(self) -> str:
        return f"Likert({self.low:g}, {self.high:g})"


class _Plain(Frozen):
    """A scale without text answers of its own."""

    integer: ClassVar[bool] = False
    codes: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def __str__(self) -> str:
        return f"{type(self).__name__}()"


class NPS(_Plain):
    """The question "how likely are you to recommend us", whole points 0 to 10.

    Examples
    --------
    >>> NPS().ends
    (0.0, 10.0)
    """

    kind: Literal["nps"] = "nps"
    ends: ClassVar[tuple[float, float]] = (0.0, 10.0)
    integer: ClassVar[bool] = True


class Percent(_Plain):
    """A share between 0 and 100.

    Examples
    --------
    >>> Percent().ends
    (0.0, 100.0)
    """

    kind: Literal["percent"] = "percent"
    ends: ClassVar[tuple[float, float]] = (0.0, 100.0)


class Binary(Frozen):
    """No or yes, 0 or 1 (booleans are read as 0 and 1).

    Parameters
    ----------
    labels
        The two text answers, no first: ``labels=["no", "yes"]``.

    Raises
    ------
    SpecError
        If there are not two different labels.

    Examples
    --------
    >>> Binary(labels=["no", "yes"]).codes["yes"]
    1.0
    """

    kind: Literal["binary"] = "binary"
    labels: tuple[str, ...] | None = None
    ends: ClassVar[tuple[float, float]] = (0.0, 1.0)
    integer: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check(self) -> Binary:
        if self.labels is not None and len(set(self.labels)) != 2:
            raise SpecError(f"{self} has the labels {list(self.labels)}.", allowed="two different ones, no first")
        return self

    @property
    def codes(self) -> dict[str, float]:
        """Text answer to number; empty without labels."""
        return {label: float(place) for place, label in enumerate(self.labels or ())}

    def __str__(self) -> str:
        return "Binary()"


class Count(_Plain):
    """How often: whole numbers from 0 on, without an upper end.

    Examples
    --------
    >>> Count().ends
    (0.0, None)
    """

    kind: Literal["count"] = "count"
    ends: ClassVar[tuple[float, None]] = (0.0, None)
    integer: ClassVar[bool] = True


class Amount(Frozen):
    """An amount of money or of anything else that has a unit and no ends.

    Parameters
    ----------
    unit
        Names the axis where the item is drawn, for example ``"EUR"`` or ``"minutes"``.

    Examples
    --------
    >>> Amount(unit="EUR").unit
    'EUR'
    """

    kind: Literal["amount"] = "amount"
    unit: str = "EUR"
    ends: ClassVar[tuple[None, None]] = (None, None)
    integer: ClassVar[bool] = False
    codes: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def __init__(self, unit: str = "EUR", **rest: Any) -> None:
        super().__init__(unit=unit, **rest)

    def __str__(self) -> str:
        return f"Amount({self.unit!r})"


_SCALES = {scale.__name__.lower(): scale for scale in (Likert, NPS, Percent, Binary, Count, Amount)}
_SCALE_EXAMPLES = "rox.Likert(1, 5), rox.NPS(), rox.Percent(), rox.Binary(), rox.Count() or rox.Amount('EUR')"


def _known_scale(scale: object) -> object:
    """Refuse in words what is no scale; a mapping comes from a document and is read by its kind."""
    if isinstance(scale, Mapping):
        kind = scale.get("kind")
        if not isinstance(kind, str) or kind not in _SCALES:
            raise ValueError(f"no scale is of the kind {kind!r}. {did_you_mean(str(kind), _SCALES)}")
    elif isinstance(scale, type) and issubclass(scale, tuple(_SCALES.values())):
        raise ValueError(f"write rox.{scale.__name__}() with brackets")
    elif not isinstance(scale, tuple(_SCALES.values())):
        raise ValueError(f"a scale was expected: {_SCALE_EXAMPLES}")
    return scale


Scale: TypeAlias = Annotated[
    Annotated[Likert | NPS | Percent | Binary | Count | Amount, Field(discriminator="kind")],
    BeforeValidator(_known_scale),
]


def _number_or_label(loading: object) -> object:
    if isinstance(loading, bool | np.bool_) or not isinstance(loading, Real | str | None):
        raise ValueError("a number or a label was expected")
    if isinstance(loading, str) and not loading.strip():
        raise ValueError("a label was expected")
    try:
        finite = isinstance(loading, str | None) or math.isfinite(loading)
    except OverflowError:  # a whole number beyond what a float holds
        finite = False
    if not finite:
        raise ValueError("a finite number was expected")
    return loading


Loading: TypeAlias = Annotated[float | str | None, BeforeValidator(_number_or_label)]


class Item(Frozen):
    """One question, or one figure of the unit's books.

    Parameters
    ----------
    name
        The column in the data.
    scale
        What an answer may be: `Likert`, `NPS`, `Percent`, `Binary`, `Count`, `Amount`. None means continuous
        and unbounded: no range check, no cap in the simulation.
    reverse
        Whether a high answer means little of the construct. The answer x is read as ``low + high - x`` on a
        scale with two ends and as ``-x`` without.
    text
        The wording, for reports.
    touchpoint, channel
        Where in the customer's journey the question was asked.
    loading
        A number fixes the loading, a text labels it (equal labels are equal parameters), None leaves it free
        (the first item of a construct is its marker with loading 1).
    start
        Starting value of a free loading.
    free
        Of the first item of a construct: True estimates its loading without a label (lavaan's ``NA*``), so that
        something else must give the construct its unit, as a variance fixed to 1 does. False makes it the marker
        although it bears a label (lavaan's ``a*`` there): 1, or estimated where ``scaling="standardized"``. None
        is what `loading` says: a number is fixed, a label is estimated, neither is the marker.

    Raises
    ------
    SpecError
        If the name is empty, or `free` contradicts a fixed `loading`.

    Examples
    --------
    >>> Item(name="pri1", scale=Likert(1, 7)).scale.ends
    (1.0, 7.0)
    >>> Item(name="pri1", free=True).marks
    False
    """

    name: str
    scale: Scale | None = None
    reverse: bool = False
    text: str = ""
    touchpoint: str | None = None
    channel: str | None = None
    loading: Loading = None
    start: Number | None = None
    free: bool | None = None

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not name.strip():
            raise SpecError(f"An item needs a name; got {name!r}.", hint="Use the column name in the data.")
        return name

    @model_validator(mode="after")
    def _free_or_fixed(self) -> Item:
        if self.free is not None and isinstance(self.loading, float):
            raise SpecError(
                f"Item {self.name!r} has free={self.free} and its loading fixed to {self.loading:g}.",
                hint="Leave out one of them.",
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave `free` out where it says nothing: the document is then that of a version that did not know it."""
        written: dict[str, Any] = write(self)
        if written.get("free", 0) is None:
            del written["free"]
        return written

    @property
    def marks(self) -> bool:
        """Whether the item, standing first, gives its construct the unit: loading 1 unless the scaling is another."""
        return self.free is False or (self.free is None and self.loading is None)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Lowest and highest possible answer, None where there is no end."""
        return self.scale.ends if self.scale is not None else (None, None)

    @property
    def reading(self) -> tuple[float, float]:
        """(sign, offset) with which an answer x is read: ``offset + sign * x``."""
        low, high = self.ends
        if not self.reverse:
            return 1.0, 0.0
        return -1.0, (low + high if low is not None and high is not None else 0.0)
