"""The scoring engine: scores and what-ifs inside other programs, from the model document alone.

Its imports are numpy, pydantic and `roxmodel.document`; no frame library, no estimator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np

from roxmodel.document import EngineInfo, FitContent, load_document
from roxmodel.doubts import warn_doubts
from roxmodel.errors import DataError, DocumentError, SimulationError, did_you_mean, listed
from roxmodel.records import Measure
from roxmodel.saving import AnyPath
from roxmodel.types import FIGURES, FloatArray

__all__ = ["Score", "ScoringEngine"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)  # of a normal variable
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_MISSING = {"NAType", "NaTType"}  # pandas' own, told by name so that pandas need not be there


@dataclass(frozen=True, slots=True)
class Score:
    """Score of one construct.

    Attributes
    ----------
    score
        Mean of the answered items (reversed ones turned), on the items' scale; of a latent construct Bartlett's score
        in points of its first item. NaN where none was answered.
    se
        Standard error of measurement of one respondent; NaN where a single item or the document cannot tell.
    answered
        How many of the construct's items were answered.
    """

    score: float
    se: float
    answered: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """One item as answers meet it; `weight` counts it in the score.

    `precision` is what it tells where items that tell all were not answered: 1 / error, 0 where that is 0, infinite or
    unknown. `error` is None for item means.
    """

    name: str
    sign: float
    offset: float
    low: float | None
    high: float | None
    codes: Mapping[str, float]
    weight: float
    precision: float
    error: float | None


@dataclass(frozen=True, slots=True)
class _Scored:
    """The items of one construct; `unique` is the variance of a single answer around an item mean, NaN if unknown."""

    name: str
    items: tuple[_Answer, ...]
    unique: float

    @classmethod
    def of(cls, measure: Measure) -> _Scored:
        """Numbers of Python instead of arrays, so that one respondent is scored in microseconds."""
        errors = [None] * len(measure.items) if measure.errors is None else measure.errors.tolist()
        columns = (measure.signs.tolist(), measure.offsets.tolist(), measure.lows, measure.highs, measure.codes)
        told = [1 / error if error is not None and error > 0 else 0.0 for error in errors]
        rows = zip(measure.items, *columns, measure.weights.tolist(), told, errors, strict=True)
        return cls(measure.name, tuple(_Answer(*row) for row in rows), _unique(measure))


def _unique(measure: Measure) -> float:
    if measure.errors is not None or len(measure.items) < 2:
        return math.nan
    k, within = len(measure.within), measure.within
    variance = float(np.trace(within)) / k
    return variance - float(within.sum() - np.trace(within)) / (k * (k - 1))


class ScoringEngine:
    """Scores respondents or units, and answers what-ifs, from a saved fit.

    The standard error is that of the mean of parallel items: ``sqrt((v - c) / m)`` with v the mean within-unit item
    variance, c the mean covariance of two items and m the number of answered items, which is
    ``sd · sqrt(1 - alpha)`` when all are answered (Cronbach 1951, doi 10.1007/BF02310555).

    A latent construct has Bartlett's score from its own items: each says where the construct stands, in points of the
    first item, with an error of variance e, and counts by 1 / e. The standard error ``1 / sqrt(Σ 1 / e)`` over the
    answered items is exact where residuals do not covary (Bartlett 1937, doi 10.1111/j.2044-8295.1937.tb00863.x).

    Examples
    --------
    >>> engine = ScoringEngine.load("branches.rox.json")  # doctest: +SKIP
    >>> engine.score({"pri1": 6, "pri2": 5})["pride"].score  # doctest: +SKIP
    5.5
    """

    __slots__ = ("_content", "_figures", "_items", "_order", "_ordinal", "_scales", "constructs")

    constructs: tuple[str, ...]
    _content: FitContent
    _figures: Mapping[int, tuple[float, float]]
    _items: Mapping[str, _Answer]
    _order: tuple[int, ...]
    _ordinal: frozenset[str]
    _scales: tuple[_Scored, ...]

    def __init__(self, content: FitContent) -> None:
        names = tuple(measure.name for measure in content.measures)
        _check_whole(content, names)
        scales = tuple(_Scored.of(measure) for measure in content.measures)
        items = {item.name: item for scale in scales for item in scale.items}
        ordinal = frozenset(row.left for row in content.parameters if row.kind == "threshold")
        values = (content, MappingProxyType(items), ordinal, _order(content, names), names, _figures(content), scales)
        places = ("_content", "_items", "_ordinal", "_order", "constructs", "_figures", "_scales")
        for name, value in zip(places, values, strict=True):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A ScoringEngine does not change; load another instead of setting {name!r}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A ScoringEngine does not change; {name!r} cannot be deleted.")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the document's content."""
        return type(self), (self._content,)

    @classmethod
    def load(cls, path: AnyPath) -> ScoringEngine:
        """Read the document that `Fit.save` wrote.

        Raises
        ------
        DocumentError
            If it cannot be read, is truncated, altered, of another kind or of a newer schema.

        Warns
        -----
        RoxWarning
            Once, if the fit was doubtful or unusable; ``info.doubts`` says why. Scores and what-ifs do not repeat it.
        """
        found = cls(load_document(path))
        warn_doubts("engine", found._content.known_doubts, stacklevel=2, where="engine.info.doubts")
        return found

    @property
    def info(self) -> EngineInfo:
        """What the engine stands on: model, method, size of the data, doubts."""
        return self._content.info

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the answers that are scored."""
        return tuple(self._items)

    def score(self, answers: Mapping[str, float | str | None]) -> dict[str, Score]:
        """Score one respondent or unit.

        Parameters
        ----------
        answers
            Item -> answer as given, a number or one of the scale's labels (reversed items are turned here); None,
            NaN or NA = not answered. Other keys are ignored.

        Returns
        -------
        dict
            Construct -> `Score`.

        Raises
        ------
        DataError
            If an answer is no number or outside its scale, no key is an item, or an item was fitted as ordinal.
        """
        given = _mapping(answers, "answers", DataError)
        self._check_known(given)
        return {scale.name: _score(scale, given) for scale in self._scales}

    def score_batch(self, answers: Any) -> dict[str, FloatArray]:
        """Score many at once, row-aligned with the input.

        Parameters
        ----------
        answers
            A frame (collected, if it is lazy), or a mapping item -> (n,) array; NaN or null = not answered.

        Returns
        -------
        dict
            Construct -> (n,) scores and ``construct + "_se"`` -> (n,) standard errors.

        Raises
        ------
        DataError
            If a column is no number, columns differ in length, or an answer is outside its scale.
        """
        names = [str(column) for column in _column_names(answers)]
        self._check_known(names)
        read = {name: _column(answers, name, item.codes) for name, item in self._items.items() if name in names}
        lengths = {len(values) for values in read.values()}
        if len(lengths) > 1:
            raise DataError(f"The columns have different lengths: {sorted(lengths)}.")
        n = lengths.pop()
        found: dict[str, FloatArray] = {}
        for scale in self._scales:
            found[scale.name], found[f"{scale.name}_se"] = _score_columns(scale, read, n)
        return found

    def what_if(self, shift: Mapping[str, float]) -> dict[str, float]:
        """Expected change of every construct, at the estimate, within the wave; around feedback loops, once settled.

        It is the mean over units (rows) alike to those of the fit, as `simulate` has it: of an outcome with a curved
        equation the mean over a normal distribution of its predictor, and a yes/no, a count or a share is held in its
        mean. Ends of rating scales, which hold single units, are not counted: `simulate` counts them.

        Parameters
        ----------
        shift
            Construct -> points added (of a latent construct: points of its first item).

        Returns
        -------
        dict
            Construct -> change, in the same units.

        Raises
        ------
        SimulationError
            For an unknown construct, a shift that is not finite, or a feedback loop that never settles.
        """
        moves = {name: self._points(name, given) for name, given in _mapping(shift, "shift", SimulationError).items()}
        coefficients, intercepts, families = _matrices(self._content, self.constructs)
        mean = self._content.population.mean
        if not self._order:
            pushed = np.array([moves.get(name, 0.0) for name in self.constructs])
            return dict(zip(self.constructs, _settled(coefficients, pushed).tolist(), strict=True))
        change = np.zeros(len(self.constructs))
        for place in self._order:
            weights = coefficients[place]
            moved = float(weights @ change)
            if families[place] != "linear" and moved != 0 and mean is not None:
                spread = math.sqrt(max(float(weights @ self._content.population.covariance @ weights), 0.0))
                base = float(intercepts[place] + weights @ mean) + spread * _NODES
                moved = float((_response(families[place], base + moved) - _response(families[place], base)) @ _WEIGHTS)
            push = moves.get(self.constructs[place], 0.0)
            change[place] = moved + push
            # A curve keeps what causes bring in range; what acts on the outcome itself it does not.
            if (families[place] == "linear" or push != 0) and mean is not None and place in self._figures:
                low, high = self._figures[place]
                change[place] = min(max(change[place], min(low - mean[place], 0.0)), max(high - mean[place], 0.0))
        return dict(zip(self.constructs, change.tolist(), strict=True))

    def _points(self, name: object, given: object) -> float:
        if name not in self.constructs:
            raise SimulationError(f"There is no construct {name!r}.", hint=did_you_mean(str(name), self.constructs))
        points = _real(given) if _is_number(given) else None
        if points is None or not math.isfinite(points):
            raise SimulationError(f"{name!r} is shifted by {given!r}.", allowed="a finite number")
        measure = self._content.measures[self.constructs.index(str(name))]
        ends = list(zip(measure.lows, measure.highs, strict=True))[: None if measure.errors is None else 1]
        lengths = [high - low for low, high in ends if low is not None and high is not None]
        bounded = len(lengths) == len(ends) and measure.items[0] not in self._ordinal
        if bounded and abs(points) > sum(lengths) / len(lengths):
            raise SimulationError(
                f"{name!r} is shifted by {points:g} points, more than its whole scale.",
                allowed=f"at most {sum(lengths) / len(lengths):g} points up or down",
            )
        return points

    def _check_known(self, names: Iterable[object]) -> None:
        given = list(names)
        if not given:
            raise DataError("There is no answer to score.", hint=f"Items: {listed(self._items)}.")
        if not any(name in self._items for name in given):
            raise DataError(
                f"None of the answers {listed(given, 4)} is an item of this document.",
                hint=did_you_mean(str(given[0]), self._items),
            )
        ordinal = [name for name in given if name in self._ordinal]
        if ordinal:
            raise DataError(
                f"{listed(ordinal, 4)} was fitted as ordinal (thresholds), so that its answers add up to no score.",
                hint="Leave it out, or save a fit with estimator='MLR'.",
            )

    def __repr__(self) -> str:
        return f"<ScoringEngine: {len(self._items)} items of {', '.join(self.constructs)}>"


def _check_whole(content: FitContent, names: tuple[str, ...]) -> None:
    """Refuse a document whose parts contradict each other."""
    edges = {name for row in content.parameters if row.kind == "edge" for name in (row.left, row.right)}
    lengths = (
        len(part) == len(measure.items)
        for m in content.measures
        for measure, parts in ((m, (m.weights, m.signs, m.offsets, m.lows, m.highs, m.codes)),)
        for part in (parts if m.errors is None else (*parts, m.errors))
    )
    if len(content.groups) > 1:
        raise DocumentError(
            f"The document holds a fit of {len(content.groups)} groups, each with its own effects.",
            hint=f"Save one of them: fit.group({content.groups[0].name!r}).save(...).",
        )
    if names != content.population.names or not edges <= set(names) or not all(lengths):
        raise DocumentError("The document's constructs and its measures do not match.", hint="Save the fit again.")


def _mapping(given: object, what: str, error: type[DataError | SimulationError]) -> Mapping[Any, Any]:
    """A mapping, or anything with keys, such as one row of a frame."""
    if isinstance(given, Mapping):
        return given
    if hasattr(given, "keys") and hasattr(given, "__getitem__"):
        return {key: given[key] for key in given.keys()}  # noqa: SIM118 - a pandas row iterates over its values
    raise error(f"{what} is of type {type(given).__name__!r}.", allowed="a mapping from name to number")


def _is_number(given: object) -> bool:
    return isinstance(given, Real | Decimal | np.bool_)


def _real(given: Any) -> float | None:
    """A number as float; None where nothing was answered; infinite where float cannot hold it."""
    if given is None or type(given).__name__ in _MISSING:
        return None
    try:
        value = float(given)
    except OverflowError:
        return math.inf
    return None if math.isnan(value) else value


def _score(scale: _Scored, answers: Mapping[str, object]) -> Score:
    there, turned = [], []
    for item in scale.items:
        value = _number(item, answers.get(item.name))
        if value is not None:
            there.append(item)
            turned.append(item.offset + item.sign * value)
    for weights in ([item.weight for item in there], [item.precision for item in there]):
        weight = sum(weights)
        if weight:
            total = sum(weight * value for weight, value in zip(weights, turned, strict=True))
            return Score(total / weight, _error(scale, there), len(there))
    return Score(float("nan"), float("nan"), len(there))


def _number(item: _Answer, given: object) -> float | None:
    given = item.codes.get(given, given) if isinstance(given, str) else given
    if not (given is None or type(given).__name__ in _MISSING or _is_number(given)):
        raise _unread(item.name, given, item.codes)
    value = _real(given)
    if value is None:
        return None
    if (
        math.isinf(value)
        or (item.low is not None and value < item.low)
        or (item.high is not None and value > item.high)
    ):
        raise _outside(item, value)
    return value


def _unread(item: str, given: object, codes: Mapping[str, float], where: str = "The answer to") -> DataError:
    what = "neither a number nor a label of its scale" if codes else "no number"
    verb = "is" if where.startswith("The") else "holds"
    return DataError(f"{where} {item!r} {verb} {given!r}, which is {what}.", allowed=listed(codes) if codes else None)


def _outside(item: _Answer, value: float) -> DataError:
    low, high = item.low, item.high
    ends = f"{'-inf' if low is None else f'{low:g}'} to {'inf' if high is None else f'{high:g}'}"
    ends = "a finite number" if low is None and high is None else ends
    return DataError(f"The answer to {item.name!r} is {value:g}, outside its scale.", allowed=ends)


def _error(scale: _Scored, there: list[_Answer]) -> float:
    """Standard error of the score from the answered items; NaN where the document cannot tell."""
    errors = [item.error for item in there if item.error is not None]
    if errors:
        told = sum(1 / error if error > 0 else math.inf for error in errors)
        return 1 / math.sqrt(told) if told > 0 else float("nan")
    return math.sqrt(scale.unique / len(there)) if there and scale.unique >= 0 else float("nan")


def _column_names(answers: Any) -> Iterable[Any]:
    """Names of a pyarrow table, of any other frame, or the keys of a mapping."""
    if isinstance(answers, Mapping):
        return list(answers)
    if hasattr(answers, "collect"):
        raise DataError("This frame is lazy: it holds no answers yet.", hint="Give frame.collect().")
    for attribute in ("column_names", "columns"):
        if hasattr(answers, attribute):
            return list(getattr(answers, attribute))
    raise DataError(
        f"The answers are of type {type(answers).__name__!r}.", allowed="a frame, or a mapping from item to array"
    )


def _column(answers: Any, name: str, codes: Mapping[str, float]) -> FloatArray:
    try:
        values = np.asarray(answers[name])
    except ValueError:  # rows of different length
        values = np.empty((0, 0))
    if values.ndim != 1:
        raise DataError(f"Column {name!r} is not one value for each row.", allowed="a one-dimensional column")
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    plain = list(values) if values.dtype.kind in "mM" else values.tolist()  # tolist makes integers of dates
    numbers = [codes.get(value, value) if isinstance(value, str) else value for value in plain]
    for value in numbers:
        if not (value is None or type(value).__name__ in _MISSING or _is_number(value)):
            raise _unread(name, value, codes, "Column")
    read = [math.nan if (value := _real(given)) is None else value for given in numbers]
    return np.array(read, dtype=np.float64)


def _score_columns(scale: _Scored, read: Mapping[str, FloatArray], n: int) -> tuple[FloatArray, FloatArray]:
    total, weight, count, told = np.zeros((2, n)), np.zeros((2, n)), np.zeros(n, dtype=np.int64), np.zeros(n)
    for item in scale.items:
        if item.name not in read:
            continue
        values = read[item.name]
        there = ~np.isnan(values)
        wrong = there & (np.isinf(values) | (values < _or(item.low, -np.inf)) | (values > _or(item.high, np.inf)))
        if wrong.any():
            raise _outside(item, float(values[wrong][0]))
        turned = item.offset + item.sign * np.where(there, values, 0.0)
        weights = np.array([[item.weight], [item.precision]])
        total += weights * turned * there
        weight += weights * there
        count += there
        if item.error is not None:
            told[there] += 1 / item.error if item.error > 0 else math.inf
    score = np.divide(total, weight, out=np.full((2, n), np.nan), where=weight > 0)
    if all(item.error is None for item in scale.items):
        one = math.sqrt(scale.unique) if scale.unique >= 0 else math.nan
        se = np.where(count > 0, one / np.sqrt(np.maximum(count, 1)), np.nan)
    else:
        se = np.where(told > 0, 1 / np.sqrt(np.where(told > 0, told, 1.0)), np.nan)
    return np.where(weight[0] > 0, score[0], score[1]), se


def _or(end: float | None, otherwise: float) -> float:
    return otherwise if end is None else end


def _matrices(content: FitContent, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray, list[str]]:
    """Coefficients (k, k) [effect, cause] in points of items, intercepts (k,), families (k)."""
    place = {name: i for i, name in enumerate(names)}
    coefficients, intercepts = np.zeros((len(names), len(names))), np.zeros(len(names))
    first = {(measure.name, measure.items[0]) for measure in content.measures}
    unit = np.ones(len(names))
    for row in content.parameters:
        if row.kind == "edge" and row.lag == 0:
            coefficients[place[row.right], place[row.left]] = row.estimate
        elif row.kind == "intercept" and row.left in place:
            intercepts[place[row.left]] = row.estimate
        elif row.kind == "loading" and (row.left, row.right) in first:
            unit[place[row.left]] = row.estimate
    if (unit == 0).any():
        name = names[int(np.argmin(np.abs(unit)))]
        raise SimulationError(f"The first item of {name!r} does not load on it, so that its points measure nothing.")
    coefficients *= unit[:, None] / unit[None, :]
    known = {equation.effect: equation.family for equation in content.equations}
    return coefficients, intercepts, [known.get(name, "linear") for name in names]


def _settled(coefficients: FloatArray, pushed: FloatArray) -> FloatArray:
    """(k,) changes once feedback loops have settled, (I - B)⁻¹ of the push (Bollen 1987, doi 10.2307/271028).

    They settle where every eigenvalue of B is below 1 in modulus (Bentler & Freeman 1983, doi 10.1007/BF02294026).
    """
    largest = float(np.abs(np.linalg.eigvals(coefficients)).max())
    if not largest < 1:
        raise SimulationError(
            f"A feedback loop has no equilibrium: a push around it grows for ever (largest eigenvalue {largest:.3g} in "
            "modulus).",
            allowed="below 1",
        )
    return np.asarray(np.linalg.solve(np.eye(len(pushed)) - coefficients, pushed))


def _order(content: FitContent, names: tuple[str, ...]) -> tuple[int, ...]:
    """Places of the constructs, causes before effects; empty where feedback was declared and there is a loop."""
    causes: dict[int, set[int]] = {i: set() for i in range(len(names))}
    for row in content.parameters:
        if row.kind == "edge" and row.lag == 0:
            causes[names.index(row.right)].add(names.index(row.left))
    order: list[int] = []
    while causes:
        ready = [i for i, open_ in causes.items() if not open_ - set(order)]
        if not ready:
            linear = all(equation.family == "linear" for equation in content.equations)
            if content.model.get("feedback") is True and linear:
                return ()
            raise DocumentError("The document's edges run in a loop that its model does not declare.")
        order += ready
        for i in ready:
            del causes[i]
    return tuple(order)


def _response(family: str, predictor: FloatArray) -> FloatArray:
    if family == "logit":
        return 1 / (1 + np.exp(-np.clip(predictor, -700.0, 700.0)))
    return np.asarray(np.exp(np.minimum(predictor, 700.0)))


def _figures(content: FitContent) -> dict[int, tuple[float, float]]:
    """Place of each yes/no, count or share (an NPS answer of the unit's own) -> ends that its mean stays within."""
    constructs = content.model.get("constructs")
    known = {str(one.get("name")): one for one in map(_fields, constructs if isinstance(constructs, list) else [])}
    found = {}
    for place, measure in enumerate(content.measures):
        own = known.get(measure.name, {})
        items = own.get("items")
        first = _fields(items[0]) if isinstance(items, list) and items else {}
        kind = str(_fields(first.get("scale") or own.get("scale")).get("kind"))
        if kind in FIGURES or (kind == "nps" and measure.source == "unit"):
            ends = list(zip(measure.lows, measure.highs, strict=True))[: None if measure.errors is None else 1]
            low, high = zip(*((_or(low, -math.inf), _or(high, math.inf)) for low, high in ends), strict=True)
            found[place] = (sum(low) / len(low), sum(high) / len(high))
    return found


def _fields(given: object) -> Mapping[str, object]:
    """What a part of the model in a document says; nothing where it is no record at all."""
    return given if isinstance(given, dict) else {}
