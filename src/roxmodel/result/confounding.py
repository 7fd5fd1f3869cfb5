"""One unmeasured cause behind several constructs: what it would leave of the effects, equation by equation.

Let U, of variance 1, act on every construct of a set, and let c be a construct of it, C its causes in the graph, of
which those outside the set are not touched by U. The regression of c on C leaves the variance ψ; U explains the share R
of it. With u the covariances of U with the touched causes, M the inverse of what the untouched causes leave of their
covariance, and v = 1 - u'Mu what the causes leave of U, the regression of c on C and U has

    slopes  b - s √(Rψ/v) M u,        and the covariance of U and c is        b'u + s √(Rψv),

s being the sign with which U acts on c. Causes come before effects, so that one pass tells all. For one edge this is
the bias of Cinelli & Hazlett (2020), doi 10.1111/rssb.12348. Everything counts in standard deviations here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from roxmodel.result.derived import disturbances
from roxmodel.result.fitted import Fitted
from roxmodel.result.levels import beyond_curves
from roxmodel.result.system import implied_covariance
from roxmodel.types import FloatArray

__all__ = [
    "Route",
    "Touched",
    "Wanted",
    "bisected",
    "ends_of",
    "implied_of_constructs",
    "route_of",
    "shares_like",
    "why_untold",
]  # fmt: skip

_ALIKE = 1e-6  # standard deviations by which a slope and a coefficient may differ
_LISTED = 10  # touched constructs up to which every pattern of signs is tried
_POINTS = (33, 1_025, 33, 33)  # of the grids of a search: all patterns, the worst ones finely, then where they cross
_FEW = 32  # patterns that are followed finely
_NOTHING = 1e-9  # share of a variance
_TRIED = 0.05  # share at which their signs are found
_STEPS = 14  # of a bisection
_ROUNDING = 1e-12  # of a share
_TINY = np.finfo(float).tiny


@dataclass(frozen=True, slots=True)
class Touched:
    """One construct that the unmeasured cause acts on; `d` is the number of draws."""

    name: str
    left: FloatArray  # (d,) share of its variance that its causes leave; of a first one: that untouched ones leave
    parents: tuple[int, ...]  # places, among the touched, of its causes
    slopes: FloatArray  # (d, p) of these, in standard deviations
    inverse: FloatArray  # (d, p, p) M


class Wanted(NamedTuple):
    """A change that counts: that of one construct after a push."""

    push: FloatArray  # (touched,) in the constructs' own units
    place: int  # of the construct that changes, among the touched
    worth: float = 1.0  # of a unit of it


@dataclass(frozen=True)
class Route:
    """The touched constructs, causes before effects, and what is asked of them: the sum of some changes."""

    touched: tuple[Touched, ...]
    sd: FloatArray  # (d, touched) their standard deviations
    asked: tuple[Wanted, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the touched constructs."""
        return tuple(one.name for one in self.touched)

    def slopes(self, shares: FloatArray, signs: FloatArray) -> list[FloatArray]:
        """(m, p) slopes of each construct with U held constant; NaN where U cannot explain so much.

        `shares` of what is left, and `signs`: (m, touched), or one row for all draws.
        """
        ties: list[FloatArray] = []
        found: list[FloatArray] = []
        for place, one in enumerate(self.touched):
            own = signs[:, place] * np.sqrt(shares[:, place] * one.left)
            if not one.parents:
                ties.append(own)
                found.append(one.slopes)
                continue
            u = np.stack(np.broadcast_arrays(*(ties[parent] for parent in one.parents)), axis=-1)
            pull = (one.inverse @ u[:, :, None])[:, :, 0]
            free = 1.0 - (u * pull).sum(axis=1)
            open_ = np.sqrt(np.where(free > 0, free, np.nan))
            found.append(one.slopes - (own / open_)[:, None] * pull)
            ties.append((one.slopes * u).sum(axis=1) + own * open_)
        return found

    def reached(self, slopes: Sequence[FloatArray], push: FloatArray) -> list[FloatArray]:
        """Change (m,) of each construct after a push (touched,), in the constructs' own units."""
        found: list[FloatArray] = []
        for place, (one, given) in enumerate(zip(self.touched, slopes, strict=True)):
            own = push[place] / self.sd[:, place]
            found.append(sum((given[:, at] * found[parent] for at, parent in enumerate(one.parents)), own))
        return [change * self.sd[:, place] for place, change in enumerate(found)]

    def total(self, shares: FloatArray, signs: FloatArray) -> FloatArray:
        """(m,) what was asked, with U held constant: `shares` and `signs` as in `slopes`."""
        slopes = self.slopes(shares, signs)
        found = [one.worth * self.reached(slopes, one.push)[one.place] for one in self.asked]
        return np.asarray(sum(found, np.zeros(1)))

    def worst(self, shares: FloatArray) -> FloatArray:
        """(1, touched) the most unfavourable signs, at shares (touched,)."""
        return self._worst_of(self.patterns, shares)

    def _worst_of(self, patterns: FloatArray, shares: FloatArray) -> FloatArray:
        found = np.sign(self.naive) * self.total(shares[None, :], patterns)
        return patterns[[0 if np.isnan(found).all() else int(np.nanargmin(found))]]

    @cached_property
    def patterns(self) -> FloatArray:
        """(m, touched) signs with which one cause can act on the touched constructs; the first is 1: U has no side.

        Every pattern of up to ten constructs; of more the one that lowers most, found one sign at a time.
        """
        count = len(self.touched)
        if count <= _LISTED:
            return np.array([(1.0, *rest) for rest in product((1.0, -1.0), repeat=count - 1)])
        signs, shares = np.ones((1, count)), np.full(count, _TRIED)
        flips = 1.0 - 2.0 * np.eye(count)[1:]
        while True:
            best = self._worst_of(np.vstack([signs, signs * flips]), shares)
            if (best == signs).all():
                return best
            signs = best

    @property
    def naive(self) -> float:
        """What was asked as it stands, of the first draw."""
        none = np.zeros((1, len(self.touched)))
        return float(self.total(none, none)[0])

    def overturning(self, left: float = 0.0) -> float:
        """Equal share of what the causes leave at which so much is left, signs most unfavourable; 0-1.

        `left` has the sign of what was asked, or is 0; it is reached at 0 where it is more. Where a pattern of signs
        comes to an end, because the causes of a construct would leave nothing of U, the slopes there grow beyond any
        bound just before, and with the sign of that construct turned what is asked falls below any.
        """
        side = np.sign(self.naive)
        if side == 0 or side * (self.naive - left) <= 0:
            return 0.0
        patterns, low, high = self.patterns, 0.0, 1.0
        for round_, points in enumerate(_POINTS):
            grid = np.linspace(low, high, points)[1:-1]
            shares = np.repeat(grid, len(patterns))[:, None] * np.ones(len(self.touched))
            found = side * (self.total(shares, np.tile(patterns, (len(grid), 1))) - left)
            found = np.where(np.isnan(found), -np.inf, found).reshape(len(grid), len(patterns))
            crossed = np.flatnonzero((found <= 0).any(axis=1))
            at = int(crossed[0]) if len(crossed) else len(grid)
            low, high = float(np.append(low, grid)[at]), float(np.append(grid, high)[at])
            if round_ == 0:  # a total may pass through 0 and back between two points: the worst patterns from 0 again
                patterns, low = patterns[np.argsort(found[: max(at, 1)].min(axis=0), kind="stable")[:_FEW]], 0.0
        return (low + high) / 2


def ends_of(draws: FloatArray, side: float) -> tuple[float, float]:
    """95 % of draws; one in which no cause can explain so much (NaN) counts as far beyond 0, seen from `side`."""
    beyond = -side * 2.0 * np.nanmax(np.abs(draws), initial=0.0)
    low, high = np.quantile(np.where(np.isnan(draws), beyond, draws), [0.025, 0.975])
    return float(low), float(high)


def bisected(clear: Callable[[float], bool], most: float) -> float:
    """The largest share, up to `most`, at which an interval is clear of 0; 0 where it is not at 0."""
    low, high = 0.0, most
    if not clear(0.0):
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if clear(middle) else (low, middle)
    return low


def implied_of_constructs(fit: Fitted, theta: FloatArray) -> FloatArray:
    """(draws, k, k) covariance of the constructs that the equations imply, in the fit's own units."""
    k, place = len(fit.model.names), {name: i for i, name in enumerate(fit.model.names)}
    given = np.zeros((k, k))
    for row, value in zip(fit.table, fit.estimates.value, strict=True):
        if row.kind in {"variance", "covariance"} and row.left in place and row.right in place:
            given[place[row.left], place[row.right]] = given[place[row.right], place[row.left]] = value
    psi = disturbances(fit.model, fit.table, theta, given)
    return implied_covariance(fit.system(theta).coefficients, psi)


def route_of(
    causes: Mapping[str, Sequence[str]],
    touched: Sequence[str],
    names: Sequence[str],
    covariance: FloatArray,
    asked: Sequence[Wanted] = (),
) -> Route:
    """The regressions of the touched constructs (causes before effects), from (d, k, k) covariances of all.

    `causes` of each touched construct are those of its equation. A touched construct without touched causes is taken
    after the untouched causes of the others: these are what the equations hold constant. If nothing is asked, it is the
    total effect of the first touched construct on the last.
    """
    place = {name: i for i, name in enumerate(names)}
    sd = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), _TINY))
    correlation = covariance / (sd[:, :, None] * sd[:, None, :])
    inside = {name: [c for c in causes[name] if c in touched] for name in touched}
    held = {c for name in touched if inside[name] for c in causes[name] if c not in touched}
    found = []
    for name in touched:
        own = [*inside[name], *(c for c in causes[name] if c not in touched)] if inside[name] else sorted(held)
        found.append(_regressed(correlation, place[name], [place[c] for c in own], len(inside[name])))
    rows = [
        Touched(name, left, tuple(touched.index(c) for c in inside[name]), slopes, inverse)
        for name, (left, slopes, inverse) in zip(touched, found, strict=True)
    ]
    total = Wanted(np.eye(len(rows))[0], len(rows) - 1)
    return Route(tuple(rows), sd[:, [place[name] for name in touched]], tuple(asked) or (total,))


def why_untold(fit: Fitted, route: Route, marker: bool = False) -> str:
    """Why nothing is known of a route; empty where its equations are linear regressions, all of them estimated.

    `marker`: whether its standard deviations are in points of the first items.
    """
    names, curved = fit.model.names, beyond_curves(fit)
    for name in dict.fromkeys(n for one in route.names for n in (one, *fit.model.causes(one))):
        if curved[names.index(name)]:
            return f"{name} is on or after an equation that is no linear regression"
    if fit.model.loops():
        return f"{fit.model.loops()[0][0]} is part of a feedback loop"
    gone = [one.name for one in route.touched if not one.left[0] > _NOTHING]
    if gone:
        return f"nothing is left of {gone[0]} that a cause could explain"
    return next(_unknown_edges(fit, route, marker), "")


def _unknown_edges(fit: Fitted, route: Route, marker: bool) -> Iterator[str]:
    """Edges on the way that are not estimated, or by no regression."""
    names = fit.model.names
    on_way = {(route.names[parent], one.name) for one in route.touched for parent in one.parents}
    for cause, effect in fit.without_information:
        if (cause, effect) in on_way:
            yield f"the data say nothing of {cause} -> {effect}"
    for row in fit.table.of("edge"):
        if (row.left, row.right) in on_way and (row.lag or not row.free):
            yield f"{row.left} -> {row.right} is {'lagged' if row.lag else 'given, not estimated'}"
    system, sd = fit.system(marker=marker).coefficients[0], route.sd[0]
    for place, one in enumerate(route.touched):
        for parent, slope in zip(one.parents, one.slopes[0].tolist(), strict=True):
            own = system[names.index(one.name), names.index(route.names[parent])]
            if abs(own * sd[parent] / sd[place] - slope) > _ALIKE:
                yield f"{route.names[parent]} -> {one.name} is no regression (a covariance was declared beside it)"


def _regressed(
    correlation: FloatArray, at: int, own: list[int], first: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Share left, slopes of the first causes, their block of the inverse."""
    cross = correlation[:, own, at]
    inverse = _inverted(correlation[:, own][:, :, own])
    slopes = (inverse @ cross[:, :, None])[:, :, 0]
    left = np.maximum(1.0 - (slopes * cross).sum(axis=1), 0.0)
    return left, slopes[:, :first], inverse[:, :first, :first]


def shares_like(
    benchmark: str, causes: Mapping[str, Sequence[str]], route: Route, names: Sequence[str], covariance: FloatArray
) -> FloatArray:
    """(touched,) shares of what is left that a cause like an observed one would explain, from (k, k) covariances.

    As strong as the benchmark, that is: explaining as much as this does of what the other causes leave. With f² of the
    benchmark and a construct, and r the f² of the benchmark and the touched causes of that construct, all given its
    other causes, the share is f² (1 + r) / (1 - r), as the two are tied by the causes they share: bound of Cinelli &
    Hazlett (2020), section 4.4, doi 10.1111/rssb.12348, for k = 1. NaN where no such cause can be.
    """
    place = {name: i for i, name in enumerate(names)}
    held = {c for one in route.touched if one.parents for c in causes[one.name]} - {*route.names, benchmark}
    found = []
    for one in route.touched:
        inside = [route.touched[parent].name for parent in one.parents]
        others = [c for c in causes[one.name] if c not in {*inside, benchmark}] if inside else sorted(held)
        at, own, rest = place[benchmark], [place[c] for c in inside], [place[c] for c in others]
        f2, r = _f2(covariance, place[one.name], [at], [*own, *rest]), _f2(covariance, at, own, rest)
        found.append(f2 * (1 + r) / (1 - r) if r < 1 else np.nan)
    shares = np.array(found)
    return np.where(shares < 1, np.where(shares > _ROUNDING, shares, 0.0), np.nan)


def _left(covariance: FloatArray, at: int, given: list[int]) -> float:
    cross = covariance[given, at]
    inverse = _inverted(covariance[np.ix_(given, given)][None])[0]
    return float(covariance[at, at] - cross @ inverse @ cross)


def _f2(covariance: FloatArray, at: int, causes: list[int], given: list[int]) -> float:
    """What causes add to what the given explain, over what is left then."""
    left = _left(covariance, at, [*given, *causes])
    return max(_left(covariance, at, given) / left - 1.0, 0.0) if left > 0 else np.inf


def _inverted(matrices: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.inv(matrices))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(matrices, hermitian=True))
