"""Teams inside units: what people of one team have in common, and what that makes of the sampling error of unit means.

Sums by unit only: no team's answers are kept. Σ_team and Σ_person come from the cross-products between and within teams
by the method of moments, unbiased whatever the sizes of the teams (Searle, Casella & McCulloch 1992, Variance
components, ch. 5, doi 10.1002/9780470316856).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roxmodel.moments.condense import Design, condense, diagonal, five, ratio
from roxmodel.types import FloatArray, IntArray

__all__ = ["TeamSums", "team_sums"]

_AT_ONCE = 20_000  # teams condensed at once
_LEAST = 0.02  # of the sampling error that independent people would make, what is left of it at least
_SINGULAR = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class TeamSums:
    """What the teams of each of G units say together; arrays as small as they broadcast to (G, p, p).

    A team lies whole in one part of what is merged: one that is cut in two counts as two.

    >>> design = Design(np.array([0, 0, 0, 0]), ["north"], team=np.array([0, 0, 1, 1]))
    >>> sums = team_sums([np.array([1.0, 3, 4, 6])], design, ["p1"])
    >>> sums.count.tolist(), sums.scatter.ravel().tolist(), sums.cross.ravel().tolist()
    ([2.0], [4.0], [8.0])
    """

    count: FloatArray  # (G,) teams with an answer
    scatter: FloatArray  # weighted cross-products about the teams' own means, summed over teams
    spare: FloatArray  # what makes them unbiased: people less teams, or its like with weights
    both: FloatArray  # sum over teams of (Σ w)² of those who answered a and b
    cross: FloatArray  # sum over teams of (Σ w of those who answered a) (Σ w of those who answered b)

    def take(self, order: Sequence[int] | IntArray) -> TeamSums:
        """The units in another order, or some of them."""
        return TeamSums(*(array[order] for array in self.arrays))

    def select(self, keep: Sequence[int]) -> TeamSums:
        """Some items; `count` stays that of the whole questionnaire."""
        some = [a if a.shape[1] == 1 else a[:, keep][:, :, keep] for a in self.arrays[1:]]
        return TeamSums(self.count, *some)

    def turned(self, sign: FloatArray) -> TeamSums:
        """Of items multiplied by `sign`, (p,)."""
        return TeamSums(self.count, self.scatter * np.outer(sign, sign), *self.arrays[2:])

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """All of them, in order."""
        return self.count, self.scatter, self.spare, self.both, self.cross

    @classmethod
    def merged(cls, groups: int, parts: Sequence[tuple[IntArray, TeamSums]]) -> TeamSums:
        """Add up what parts say; the first of each is where its units stand among the `groups` of the whole."""
        found = []
        for arrays in zip(*(part.arrays for _, part in parts), strict=True):
            shape = np.broadcast_shapes(*(array.shape[1:] for array in arrays))
            total = np.zeros((groups, *shape))
            for (at, _), array in zip(parts, arrays, strict=True):
                total[at] += array
            found.append(total)
        return cls(*found)

    def share(self, weight: FloatArray) -> FloatArray:
        """(G, p, p) by how much Σ_team counts in the sampling covariance of a unit's means: Σ_t W_ta W_tb / (W_a W_b).

        `weight`: (G, p, p) sums of weights of those who answered both of a pair.
        """
        own = diagonal(weight)
        return ratio(np.broadcast_to(self.cross, weight.shape), own[:, :, None] * own[:, None, :], 0.0)

    def between(
        self, total: tuple[FloatArray, FloatArray, FloatArray], times: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Σ_team, (p, p), NaN where it is not known; and what pooling over units misses of it.

        `total`: (G, p, p) scatter about unit means, what makes it unbiased, sums of weights; `times`: (G,) how often a
        unit counts. The pooled covariance within units is on average Σ_person + c Σ_team; the second is 1 - c, so that
        pooled + (1 - c) Σ_team is the covariance of answers within units.
        """
        scatter, spare, weight = total
        grown = np.ones(len(scatter)) if times is None else times

        def over(array: FloatArray) -> FloatArray:
            return np.asarray(np.tensordot(grown, np.broadcast_to(array, scatter.shape), 1))

        room = over(np.maximum(weight - ratio(np.broadcast_to(self.both, weight.shape), weight, 0.0), 0.0))
        inside, whole = over(self.spare), over(spare)
        person = ratio(over(self.scatter), inside, np.nan)
        found = ratio(over(scatter - self.scatter) - (whole - inside) * person, room, np.nan)
        found = (found + found.T) / 2
        alone = (inside <= 0) & (whole > 0)  # nobody shares a team: nothing that a team could have in common counts
        return np.where(alone, 0.0, found), 1.0 - ratio(room, whole, 0.0)

    def bounded(self, team: FloatArray, answers: FloatArray, weights: tuple[FloatArray, FloatArray]) -> FloatArray:
        """Σ_team such that no combination of unit means has a sampling variance below 0.

        It need not be positive semi-definite itself: by chance people of one team differ more than people of different
        ones, and to cut that off would add noise that is not there. `answers`: (p, p) Σ_person + Σ_team; `weights`:
        sums of the people's weights and of their squares.
        """
        weight, squares = (diagonal(array) for array in weights)
        size = ratio(diagonal(np.broadcast_to(self.cross, weights[0].shape)), squares, 1.0)
        largest = float(size[weight > 0].max(initial=1.0))
        person = answers - team
        sd = np.sqrt(np.maximum(np.diag(person), 0.0))
        safe = np.where(sd > 0, sd, 1.0)
        unit = np.outer(safe, safe)
        values, vectors = np.linalg.eigh(person / unit)
        root = vectors * np.sqrt(np.maximum(values, _SINGULAR))
        inverse = np.linalg.inv(root)
        values, vectors = np.linalg.eigh(inverse @ (team / unit) @ inverse.T)
        floor = -(1.0 - _LEAST) / largest
        if values[0] >= floor:
            return team
        out = root @ vectors
        return np.asarray((out * np.maximum(values, floor)) @ out.T * unit)


def team_sums(columns: Sequence[NDArray[Any]], design: Design, items: Sequence[str]) -> TeamSums:
    """Condense the answers by team and unit, and add them up by unit; nothing of a team is kept."""
    code, unit_of = _places(design)
    groups, p = len(design.units), len(columns)
    order = np.argsort(code, kind="stable")
    edges = np.searchsorted(code[order], np.arange(0, len(unit_of) + _AT_ONCE, _AT_ONCE))
    found = []
    for block, (start, stop) in enumerate(pairwise(edges.tolist())):
        rows, first = order[start:stop], block * _AT_ONCE
        teams = unit_of[first : first + _AT_ONCE]
        own = Design(
            code[rows] - first, range(len(teams)),
            weight=None if design.weight is None else design.weight[rows],
            frequency=None if design.frequency is None else design.frequency[rows],
        )  # fmt: skip
        pairs, people = condense([column[rows] for column in columns], own, items)
        units, begin = np.unique(teams, return_index=True)
        found.append((units, _added(five(pairs), people, begin)))
    if not found:
        empty = np.zeros((groups, 1, 1))
        return TeamSums(np.zeros(groups), np.zeros((groups, p, p)), empty, empty, empty)
    return TeamSums.merged(groups, found)


def _added(pairs: Sequence[FloatArray], people: FloatArray, begin: IntArray) -> TeamSums:
    """Sums over the teams of one unit, which lie side by side from `begin` on."""
    n, weight, squares, _, scatter = pairs
    own = diagonal(weight) if weight.shape[1] > 1 else weight[:, :, 0]
    cross = own[:, :, None] * own[:, None, :]
    spare = np.where(n >= 2, np.maximum(weight - ratio(squares, weight, 0.0), 0.0), 0.0)
    known = np.where(n >= 2, scatter, 0.0)
    sums = (np.add.reduceat(array, begin, axis=0) for array in (known, spare, weight**2, cross))
    return TeamSums(np.add.reduceat((people > 0).astype(np.float64), begin), *sums)


def _places(design: Design) -> tuple[IntArray, IntArray]:
    """(n,) team of each row, those of one unit side by side, -1 where it names no unit; (T,) the unit of each team."""
    unit, named = design.used_codes(), np.asarray(design.team)
    team = np.where(named >= 0, named, named.max(initial=-1) + 1 + np.arange(len(named)))  # the others stand alone
    there = np.flatnonzero(unit >= 0)
    width = int(team.max(initial=0)) + 1
    distinct, place = np.unique(unit[there] * width + team[there], return_inverse=True)
    code = np.full(len(unit), -1, dtype=np.int64)
    code[there] = place
    return code, np.asarray(distinct // width, dtype=np.int64)
