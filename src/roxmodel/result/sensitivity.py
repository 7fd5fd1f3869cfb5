"""What one unmeasured cause would have to explain to bring an effect to 0: each edge on the way, and the total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from roxmodel.doubts import Doubt, doubt_words
from roxmodel.errors import EstimationError, RoxError, did_you_mean, listed
from roxmodel.numerals import chance_text, plain
from roxmodel.plots.contours import Contours, draw_contours
from roxmodel.plots.page import warned
from roxmodel.result.confounding import (
    Route,
    bisected,
    ends_of,
    implied_of_constructs,
    route_of,
    shares_like,
    why_untold,
)
from roxmodel.result.draws import delta_se, slopes_of, wald
from roxmodel.result.fitted import Fitted
from roxmodel.result.tables import effect_table, paths_between, robustness_value
from roxmodel.spec.causal import within_wave
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from roxmodel.spec.parameters import Parameter

__all__ = ["FRAGILE", "Sensitivity", "sensitivity_table"]

FRAGILE = 0.1  # share of what is left, below which an effect is called fragile
_CELLS = 81  # of a picture, along and up
_COLUMNS = [
    "cause", "effect", "kind", "estimate", "robustness_value", "benchmark", "times_benchmark", "adjusted_estimate",
    "adjusted_ci_low", "adjusted_ci_high", "bound", "verdict",
]  # fmt: skip


class Sensitivity(pd.DataFrame):
    """The table of `Fit.sensitivity`: a data frame whose `plot` draws contours; parts of it are plain data frames."""

    _metadata = ["_picture"]  # noqa: RUF012 - as pandas asks for it

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def copy(self, deep: bool = True) -> Sensitivity:  # type: ignore[misc]
        """Copy it, the picture included."""
        return _with_picture(super().copy(deep), self.__dict__.get("_picture"))

    def plot(self) -> Figure:  # type: ignore[override]
        """Draw the total effect that is left, by how much an unmeasured cause explains.

        Along the page of the first construct, upwards of every later one on the paths; signs are the most
        unfavourable ones. The thick line is 0; where both shares are equal on it stands the robustness value. A
        benchmark is a dot.

        Raises
        ------
        RoxError
            If the total has no robustness value.
        """
        picture = self.__dict__.get("_picture")
        if picture is None:
            raise RoxError("There are no contours to draw: the total has no robustness value (its verdict says why).")
        return warned(draw_contours(picture.contours()), doubt_words(picture.doubts))


def _with_picture(table: pd.DataFrame, picture: _Picture | None) -> Sensitivity:
    found = Sensitivity(table)
    object.__setattr__(found, "_picture", picture)
    return found


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the contours are drawn from."""

    title: str
    caption: str
    route: Route
    value: float  # robustness value of the total
    benchmark: tuple[str, FloatArray] | None
    doubts: tuple[Doubt, ...] = ()  # of the edges on the way

    def contours(self) -> Contours:
        """Totals left over a grid that holds the robustness value and the benchmark."""
        shares = np.zeros(1) if self.benchmark is None else self.benchmark[1]
        dot = None if self.benchmark is None or np.isnan(shares).any() else (shares[0], shares[1:].max())
        end = min(1.25 * max(self.value, 0.08, *((0.0,) if dot is None else dot)), 0.99)
        grid, count = end * np.linspace(0.0, 1.0, _CELLS) ** 2, len(self.route.touched)
        few = np.linspace(0.2, 1.0, 4) * end
        signs = np.unique([self.route.worst(_two(x, y, count))[0] for x in few for y in few], axis=0)
        every = np.array([_two(x, y, count) for y in grid for x in grid])
        side = np.sign(self.route.naive)
        left = [side * self.route.total(every, one[None, :]) for one in signs]
        worst = side * np.where(np.isnan(left), -np.inf, left).min(axis=0).reshape(_CELLS, _CELLS)
        name = "" if self.benchmark is None else self.benchmark[0]
        first, *later = self.route.names
        words, tie = (self.title, self.caption), None if dot is None else (name, float(dot[0]), float(dot[1]))
        return Contours(*words, grid, worst, self.value, first, tuple(later), tie)


def _two(first: float, later: float, count: int) -> FloatArray:
    return np.array([first, *[later] * (count - 1)])


class _Row(NamedTuple):
    """What is told of one effect, for one of its bounds."""

    ends: tuple[str, str]
    kind: str
    estimate: float
    value: float  # robustness value
    bound: str
    strength: float = np.nan  # largest share that the benchmark explains
    adjusted: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    reason: str = ""  # why there is no value


def sensitivity_table(fit: Fitted, cause: str, effect: str, benchmark: str | None = None) -> Sensitivity:
    """See `Fit.sensitivity`."""
    fit.require_one_group("effects")
    paths = paths_between(fit.model, cause, effect)
    if not paths:
        raise RoxError(f"No path leads from {cause!r} to {effect!r}, so that there is no effect to overturn.")
    if fit.model.loops():
        around = listed(fit.model.loops()[0])
        raise EstimationError(f"The edges of a feedback loop ({around}) are no regressions, so that no share is known.")
    if benchmark is not None:
        _check_benchmark(fit, paths, benchmark)
    on_way = {step for path in paths for step in pairwise(path)}
    rows = [
        row
        for parameter, place in ((p, i) for i, p in enumerate(fit.table))
        if parameter.kind == "edge" and not parameter.lag and (parameter.left, parameter.right) in on_way
        for row in _edge_rows(fit, parameter, place, benchmark)
    ]
    totals, picture = _total_rows(fit, paths, benchmark)
    told = [_told(row, benchmark) for row in (*rows, *totals)]
    return _with_picture(pd.DataFrame(told, columns=_COLUMNS), picture)


def _check_benchmark(fit: Fitted, paths: Sequence[tuple[str, ...]], benchmark: str) -> None:
    names = fit.model.names
    if benchmark not in names:
        raise RoxError(f"benchmark= names {benchmark!r}, which is no construct.", hint=did_you_mean(benchmark, names))
    cause, effect, way = paths[0][0], paths[0][-1], {name for path in paths for name in path}
    later = nx.descendants(within_wave(fit.model.edges, names), cause)
    if benchmark in way or benchmark in later:
        where = f"lies on a path from {cause!r} to {effect!r}" if benchmark in way else f"is an effect of {cause!r}"
        free = [c.name for c in fit.model.constructs if c.name not in way | later]
        raise RoxError(
            f"benchmark={benchmark!r} {where}, so that it is no common cause that could have been overlooked.",
            allowed=listed(free) if free else None,
        )


def _edge_rows(fit: Fitted, row: Parameter, place: int, benchmark: str | None) -> tuple[_Row, _Row]:
    """An edge: what brings its estimate to 0, and what brings the nearer end of its interval there.

    The interval moves with the estimate where cause and effect are explained alike; its nearer end is at 0 where f is
    smaller by the share of the estimate that the end is (Cinelli & Hazlett 2020, section 4.2).
    """
    estimates, ends = fit.estimates, (row.left, row.right)
    value, low, high, share = (
        float(a[place]) for a in (estimates.value, estimates.low, estimates.high, estimates.partial_r2)
    )
    blind = (row.left, row.right) in fit.without_information
    reason = "not known: the data say nothing of it" if blind else _why_not(row, value, share)
    near = 0.0 if reason or value == 0 else max((low if value > 0 else high) / value, 0.0)
    f2 = np.nan if reason else share / (1.0 - share) * near**2
    both = robustness_value(np.array([np.nan if reason else share, f2 / (1.0 + f2)])).tolist()
    like: tuple[float, tuple[float, float, float]] = (np.nan, (np.nan, np.nan, np.nan))
    if benchmark is not None and not reason:
        like = _edge_like(fit, ends, (value, low, high), benchmark)
    first, second = (
        _Row(ends, "edge", value, one, bound, *like, reason)
        for one, bound in zip(both, ("estimate", "interval"), strict=True)
    )
    return first, second


def _why_not(row: Parameter, value: float, share: float) -> str:
    """Why an edge has no robustness value; empty where it has one."""
    if not row.free:
        return f"not known: {row.left} -> {row.right} is given, not estimated"
    if not np.isfinite(value):
        return "not known: there is no estimate"
    if share == 1:
        return f"not known: nothing is left of {row.right} that a cause could explain"
    return "" if np.isfinite(share) else "not known: the equation is no linear regression"


def _edge_like(
    fit: Fitted, ends: tuple[str, str], known: tuple[float, float, float], benchmark: str
) -> tuple[float, tuple[float, float, float]]:
    """Largest share like a benchmark's, and the edge with its interval had a cause like it been left out."""
    causes = {ends[0]: (), ends[1]: fit.model.causes(ends[1])}
    covariance = implied_of_constructs(fit, fit.theta[None, :])
    route = route_of(causes, ends, fit.model.names, covariance)
    shares = shares_like(benchmark, causes, route, fit.model.names, covariance[0])
    if np.isnan(shares).any():
        return 1.0, (np.nan, np.nan, np.nan)
    signs = route.worst(shares)
    moved = known[0] + float(route.total(shares[None, :], signs)[0]) - route.naive
    wide = float(np.sqrt((1.0 - shares[1]) / (1.0 - shares[0])))
    low, high = (moved + wide * (end - known[0]) for end in known[1:])
    return float(shares.max()), (moved, low, high)


@dataclass(frozen=True, slots=True)
class _Total:
    """A total effect: the regressions on its paths at the estimate, and how uncertain they are."""

    fit: Fitted
    causes: dict[str, tuple[str, ...]]
    touched: tuple[str, ...]
    route: Route
    single: bool  # whether nothing but one edge leads from cause to effect

    @classmethod
    def of(cls, fit: Fitted, paths: Sequence[tuple[str, ...]]) -> _Total:
        way = {name for path in paths for name in path}
        touched = tuple(name for name in fit.model.order() if name in way)
        causes = {name: fit.model.causes(name) for name in touched}
        covariance = implied_of_constructs(fit, fit.theta[None, :])
        route = route_of(causes, touched, fit.model.names, covariance)
        return cls(fit, causes, touched, route, len(touched) == 2)

    def at(self, theta: FloatArray) -> Route:
        """The same for draws of the parameters."""
        return route_of(self.causes, self.touched, self.fit.model.names, implied_of_constructs(self.fit, theta))

    def spread(self) -> _Spread:
        """How its interval is found: as in `Fit.effects`."""
        fit = self.fit
        if fit.resampling is not None or (fit.traits.skewed and not self.single):
            return _Spread(self, self.at(fit.effect_draws(False)), np.inf)
        known = [
            df for row, df in zip(fit.table, fit.estimates.df, strict=True)
            if row.kind == "edge" and row.left in self.touched and row.right in self.touched and not np.isnan(df)
        ]  # fmt: skip
        return _Spread(self, None, float(min(known, default=np.inf)))


@dataclass(frozen=True, slots=True)
class _Spread:
    """Intervals of a total while a cause is held constant: by draws, or by the delta method where there are none."""

    total: _Total
    drawn: Route | None
    df: float

    def ends(self, shares: FloatArray) -> tuple[float, float, float]:
        """Value and interval at (touched,) shares, signs most unfavourable."""
        route, signs = self.total.route, self.total.route.worst(shares)
        value = float(route.total(shares[None, :], signs)[0])
        if np.isnan(value):
            return np.nan, np.nan, np.nan
        if self.drawn is not None:
            return value, *ends_of(self.drawn.total(shares[None, :], signs), np.sign(route.naive))
        fit = self.total.fit
        slopes = slopes_of(
            lambda theta: self.total.at(theta).total(shares[None, :], signs)[:, None], fit.theta, fit.vcov
        )
        low, high, _ = wald(np.array([value]), delta_se(slopes, fit.vcov), np.array([self.df]))
        return value, float(low[0]), float(high[0])

    def overturning(self, most: float) -> float:
        """Equal share that brings the nearer end of the interval to 0; `most` brings the estimate there."""
        positive, count = self.total.route.naive > 0, len(self.total.touched)

        def clear(share: float) -> bool:
            _, low, high = self.ends(np.full(count, share))
            return low > 0 if positive else high < 0

        return bisected(clear, most)


def _total_rows(
    fit: Fitted, paths: Sequence[tuple[str, ...]], benchmark: str | None
) -> tuple[list[_Row], _Picture | None]:
    ends, both = (paths[0][0], paths[0][-1]), ("estimate", "interval")
    total = _Total.of(fit, paths)
    reason = why_untold(fit, total.route)
    if reason:
        estimate = float(effect_table(fit, *ends, None)["estimate"].iloc[-1])
        return [_Row(ends, "total", estimate, np.nan, bound, reason=f"not known: {reason}") for bound in both], None
    value, spread = total.route.overturning(), total.spread()
    like, shares = (np.nan, (np.nan, np.nan, np.nan)), None
    if benchmark is not None:
        covariance = implied_of_constructs(fit, fit.theta[None, :])[0]
        shares = shares_like(benchmark, total.causes, total.route, fit.model.names, covariance)
        known = not np.isnan(shares).any()
        like = (float(shares.max()), spread.ends(shares)) if known else (1.0, (np.nan, np.nan, np.nan))
    values = zip((value, spread.overturning(value)), both, strict=True)
    rows = [_Row(ends, "total", total.route.naive, one, bound, *like) for one, bound in values]
    like_one = None if shares is None else (str(benchmark), shares)
    doubts = fit.doubts_on({f"{a} -> {b}" for path in paths for a, b in pairwise(path)})
    return rows, _Picture(*_words(fit, ends), total.route, value, like_one, doubts)


def _words(fit: Fitted, ends: tuple[str, str]) -> tuple[str, str]:
    """Title and caption of the picture."""
    title = f"{ends[0]} -> {ends[1]}: the total effect that an unmeasured cause would leave"
    caption = (
        "One unmeasured cause acts on every construct on the paths, signs most unfavourable; shares are of what the "
        "measured causes leave. On the thick line nothing is left of the effect, beyond it the sign turns. "
        f"Method {fit.method}, level {fit.level}. No data show whether there is such a cause."
    )
    return title, caption


def _told(row: _Row, benchmark: str | None) -> tuple[Any, ...]:
    with np.errstate(divide="ignore", invalid="ignore"):
        times = float(np.divide(row.value, row.strength))
    told = (*row.ends, row.kind, row.estimate, row.value, benchmark, times, *row.adjusted, row.bound)
    return (*told, row.reason or _verdict(row, benchmark, times))


def _verdict(row: _Row, benchmark: str | None, times: float) -> str:
    """One sentence: fragile below a tenth of what is left, or below the strength of the benchmark."""
    what = "the estimate" if row.bound == "estimate" else "the nearer end of its interval"
    if row.bound == "interval" and row.value == 0:
        return "fragile: its interval holds 0 already"
    where = "cause and effect" if row.kind == "edge" else "every construct on its paths"
    share = f"a cause that explains {chance_text(row.value)} of what is left of {where} brings {what} to 0"
    if benchmark is not None and np.isfinite(times):
        share += f", {plain(times, 2)} times as much as {benchmark} does where it explains most"
    weak = row.value < FRAGILE or (benchmark is not None and times < 1)
    return f"fragile: {share}" if weak else share
