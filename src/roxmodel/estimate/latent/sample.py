"""What is estimated from, and what was found: from rows moments of each group, from units means and their noise."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import EstimationError, listed
from roxmodel.estimate.latent.casewise import Cases
from roxmodel.estimate.latent.within import Within, within_of
from roxmodel.implied.identification import together_of
from roxmodel.implied.likelihood import NormalCells, Seen, Target
from roxmodel.implied.matrices import Layout
from roxmodel.implied.starts import moments_between
from roxmodel.moments.cells import Cells
from roxmodel.moments.condense import kish
from roxmodel.moments.linked import LinkedMoments, SourceMoments, UnitMeans
from roxmodel.records import WithinEdge
from roxmodel.result.draws import Draws
from roxmodel.spec.causal import acting
from roxmodel.spec.graph import RoxModel
from roxmodel.spec.parameters import ParameterTable
from roxmodel.survey.composites import MIN_GROUP
from roxmodel.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from roxmodel.estimate.latent.optimizer import Minimum
    from roxmodel.estimate.latent.solve import Bread

__all__ = [
    "GroupSample", "LatentSolution", "LinkedSample", "Sample", "Source", "linked_sample", "noise_of", "reweighted",
]  # fmt: skip

_FAR = 1e4  # of a mean from 0, in standard deviations between units
_SAME = 1e-10  # smallest eigenvalue of correlations of unit means that distinct items may have


@dataclass(frozen=True, slots=True)
class GroupSample:
    """One group of respondents, or all units, in units of `Sample.scale`."""

    name: str  # empty for one group
    n: float  # rows, or the sum of their frequencies; units
    target: Target  # moments, divisor n; with missing answers those of the available ones; between units to start from
    patterns: NormalCells | None = None  # moments by pattern of missingness; None for complete data
    rows: FloatArray | None = None  # (m, p) answers, NaN = missing; None where only moments are known
    weights: FloatArray | None = None  # (m,) summing to n (frequencies) or to their share of n (sampling weights)
    sampling: bool = False  # whether the weights are sampling weights
    clusters: IntArray | None = None  # (m,) 0…C-1 of the rows, or of the units
    places: IntArray | None = None  # (m,) of the rows in the frame, of the units in the study
    met: FloatArray | None = None  # (p, p) how often a pair of items was seen, where neither n nor patterns say it

    @property
    def data(self) -> Seen:
        """What the likelihood sees: the moments of complete data, or those of each pattern."""
        return self.target if self.patterns is None else self.patterns

    @property
    def cases(self) -> Cases:
        """Whose scores a sandwich sums."""
        return Cases(self.rows, self.weights, self.sampling, self.clusters)

    @property
    def people(self) -> float:
        """People behind the group; with sampling weights no more than twice Kish's number (see `people_behind`)."""
        if self.weights is None or not self.sampling:
            return self.n
        return min(float(np.count_nonzero(self.weights)), 2.0 * kish(self.weights))

    @property
    def together(self) -> FloatArray:
        """(p, p) rows (or frequencies), or units, that hold both items of a pair, on the diagonal each item."""
        if self.met is not None:
            return self.met
        if self.patterns is None:
            return np.full(self.target.covariance.shape, self.n)
        count = self.n * self.patterns.weight
        code = self.patterns.code
        if self.sampling and code is not None:
            count = np.bincount(code[code >= 0], minlength=len(self.patterns.seen)).astype(np.float64)
        return together_of(self.patterns.seen, count)

    @property
    def apart(self) -> BoolArray:
        """(p, p) pairs of items that no row holds both of."""
        return np.asarray(self.together <= 0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is estimated from: all groups of rows."""

    items: tuple[str, ...]  # (p,) observed variables
    scale: FloatArray  # (p,) standard deviations that everything is expressed in
    groups: tuple[GroupSample, ...]
    mean: FloatArray | None  # (p,) over all groups, in points; None where a printed matrix had none, and of units
    low: FloatArray | None  # (p,) mean of the five smallest answers (no respondent's own); None without ten
    high: FloatArray | None
    dropped: int  # rows left out because an answer was missing (listwise) or all were (fiml, units)
    notes: tuple[str, ...]  # what a reader must know of how the data were read

    @property
    def n(self) -> float:
        """Rows over all groups."""
        return float(sum(group.n for group in self.groups))

    @property
    def complete(self) -> bool:
        """Whether no answer is missing."""
        return all(group.patterns is None for group in self.groups)

    @property
    def together(self) -> list[FloatArray]:
        """(p, p) of each group: how often a pair of items was seen."""
        return [group.together for group in self.groups]


@dataclass(frozen=True, slots=True)
class Source:
    """One survey, laid out over the units of the sample."""

    name: str
    at: IntArray  # (q,) places of its items among those of the model
    rows: IntArray  # (J,) place of each unit in the source's own moments, -1 where it has none
    moments: SourceMoments  # items in the order of the model
    cells: Cells | None  # by unit and pattern of missing answers, where answers are missing and rows were at hand
    groups: IntArray  # (q,) construct of each item
    within: Within


@dataclass(frozen=True, slots=True)
class LinkedSample(Sample):
    """The same of units that contribute: their means, and how uncertain each of them is."""

    means: UnitMeans  # in the items' points
    sources: tuple[Source, ...]
    data: NormalCells  # means and noise in units of the scale
    by: str = "unit"  # of the study, as is the next
    min_group: int = MIN_GROUP

    @property
    def units(self) -> tuple[Hashable, ...]:
        """(J,) keys."""
        return self.means.units

    @property
    def raw(self) -> FloatArray:
        """(J, p) means in the items' points, NaN where there are none."""
        return self.means.values

    @property
    def n(self) -> int:
        """Units that contribute."""
        return len(self.units)

    def noise_with(self, sources: Sequence[Source]) -> FloatArray:
        """(J, p, p) noise of the means that other covariances within units imply, in units of the scale."""
        return np.asarray(noise_of(self.means, sources) / np.outer(self.scale, self.scale))


@dataclass(frozen=True, slots=True)
class LatentSolution:
    """What was found: the optimum; later also its errors and its tests."""

    model: RoxModel
    sample: Sample
    table: ParameterTable
    layouts: tuple[Layout, ...]  # where the parameters of each group stand
    given: Mapping[str, float]  # values of the rows that the data give, by id
    found: Minimum
    bread: Bread  # the inverse information, and how well the data determine the parameters
    doubts: tuple[Doubt, ...] = ()  # what hangs on a few people or units only
    vcov: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))  # zero rows for parameters at their bound
    df: FloatArray | None = None  # (n_free,) of the t distribution; None = normal
    indices: Mapping[str, float] = field(default_factory=dict)
    moments: tuple[Target, ...] = ()  # saturated means and covariances of each group, in units of the scale
    resampling: Draws | None = None
    within: tuple[WithinEdge, ...] = ()  # edges among the answers of one unit
    notes: tuple[str, ...] = ()  # what the tests and the level within units have to say

    @property
    def layout(self) -> Layout:
        """Where the parameters stand, of the first group."""
        return self.layouts[0]


def linked_sample(model: RoxModel, moments: LinkedMoments, cells: Mapping[str, Cells]) -> LinkedSample:
    """Lay the moments of all sources out over the units.

    Raises DataError or EstimationError for items that the moments do not hold, within-unit variances that nobody knows,
    too few units.
    """
    means = UnitMeans.of(moments, tuple(item.name for item in model.items))
    items, raw = means.items, means.values
    seen = ~np.isnan(raw)
    _require_units(items, seen, raw)
    _require_digits(model, items, raw)
    found = []
    for own in means.sources:
        name = own.moments.source
        groups = np.array([k for k, c in enumerate(model.constructs) if c.source == name for _ in c.items], np.int64)
        within = within_of(own.moments, cells.get(name), groups=groups)
        found.append(Source(name, own.at, own.rows, own.moments, cells.get(name), groups, within))
    _require_distinct(items, raw, tuple(found))
    noise = noise_of(means, found)
    spread = means.spread(noise)
    scaled = noise / np.outer(spread, spread)
    data = NormalCells(seen, np.where(seen, raw, 0.0) / spread, np.ones(len(raw)), noise=scaled)
    notes = [*_population_notes(tuple(found)), *_team_notes(tuple(found))]
    place = {unit: k for k, unit in enumerate(moments.units)}
    places = np.array([place[unit] for unit in means.units], dtype=np.int64)
    empty = len(moments.units) - len(raw)
    if empty:
        notes.append(f"{empty} unit(s) hold no answer and no figure of this model and are left out.")
    group = GroupSample("", float(len(raw)), moments_between(data), places=places, met=together_of(seen))
    return LinkedSample(items, spread, (group,), None, None, None, empty, tuple(notes), means, tuple(found), data)


def _require_units(items: tuple[str, ...], seen: BoolArray, raw: FloatArray) -> None:
    """Refuse items that do not vary over units."""
    for k, item in enumerate(items):
        own = raw[seen[:, k], k]
        if len(own) < 2 or np.ptp(own) <= 1e-12 * np.abs(own).max():
            what = f"is known in {len(own)} unit(s)" if len(own) < 2 else "has the same mean in all units"
            raise EstimationError(
                f"Item {item!r} {what}, so nothing between units can be told from it.",
                hint="Leave it out, or link more units.",
            )


def _require_digits(model: RoxModel, items: tuple[str, ...], raw: FloatArray) -> None:
    """Refuse causes whose values lie so far from 0 that hardly any digits are left of their differences."""
    causes = acting(model)
    mean, sd = np.nanmean(raw, axis=0), np.nanstd(raw, axis=0)
    for construct in model.constructs:
        for item in construct.item_names if construct.name in causes else ():
            k = items.index(item)
            if abs(mean[k]) > _FAR * sd[k]:
                raise EstimationError(
                    f"Item {item!r} lies around {mean[k]:.6g} and varies by {sd[k]:.3g} between units only: too few "
                    "digits are left of its differences.",
                    hint="Subtract a constant, such as its mean or its first year.",
                )


def _require_distinct(items: tuple[str, ...], raw: FloatArray, sources: tuple[Source, ...]) -> None:
    """Refuse items that determine each other in every unit, sampling error and all: one of them says nothing."""
    own = {k for source in sources for k in source.at.tolist()}
    figures = [k for k in range(len(items)) if k not in own]
    parts = [(source.at, source.within.covariance) for source in sources]
    parts.append((np.array(figures, dtype=np.int64), np.zeros((len(figures),) * 2)))
    for at, within in parts:
        rows = raw[:, at][~np.isnan(raw[:, at]).any(axis=1)]
        if len(at) < 2 or len(rows) <= len(at):
            continue
        sd = rows.std(axis=0)
        if not (sd > 0).all():
            continue
        unit = np.outer(sd, sd)
        between = np.cov(rows, rowvar=False, ddof=0) / unit
        values, vectors = np.linalg.eigh(between + within / unit / np.trace(within / unit + np.eye(len(at))))
        if values[0] < _SAME:
            share = np.abs(vectors[:, 0])
            names = [items[k] for k, size in zip(at, share, strict=True) if size > 0.1 * share.max()]
            raise EstimationError(
                f"Items {listed(names)} determine each other exactly in every unit, so one of them says nothing new.",
                hint="Leave one of them out: a copy, or the sum of others.",
            )


def noise_of(means: UnitMeans, sources: Sequence[Source]) -> FloatArray:
    """(J, p, p) covariance of the sampling errors of the unit means, in points squared."""
    teams = {source.name: source.within.team for source in sources if source.within.team is not None}
    return means.noise({source.name: source.within.covariance for source in sources}, teams=teams)


def _population_notes(sources: tuple[Source, ...]) -> list[str]:
    notes, endless = [], []
    for source in sources:
        eligible = source.moments.eligible
        used = source.rows[source.rows >= 0]
        if eligible is None or not np.isfinite(eligible[used]).any():
            endless.append(source.name)
        elif not np.isfinite(eligible[used]).all():
            unknown = int((~np.isfinite(eligible[used])).sum())
            notes.append(
                f"How many could have answered ({source.name}) is not known in {unknown} unit(s); there, very many."
            )
    if endless:
        notes.append(
            f"Those who answered ({', '.join(endless)}) are taken as a sample of very many who could have: their unit "
            "means carry the full sampling error. If most of a small team answered, say how many there are (eligible=)."
        )
    return notes


def _team_notes(sources: tuple[Source, ...]) -> list[str]:
    notes = []
    for source in sources:
        if source.within.team is not None and source.moments.teams is not None:
            share = float(np.trace(source.within.team) / np.trace(source.within.covariance))
            notes.append(
                f"People of one team answer alike ({source.name}, {source.moments.teams.count.sum():.0f} teams): "
                f"{100 * share:.0f} % of the variance of answers within units is between teams, and the sampling error "
                "of unit means comes from teams, drawn from very many there could be."
            )
    return notes


def reweighted(sample: LinkedSample, weight: FloatArray) -> NormalCells:
    """Means and noise when units count `weight` times, (J,): the covariance within units is found again too."""
    sources = []
    for source in sample.sources:
        own = np.zeros(len(source.moments.units))
        there = source.rows >= 0
        own[source.rows[there]] = weight[there]
        sources.append(
            replace(source, within=within_of(source.moments, source.cells, own, source.within, source.groups))
        )
    return replace(sample.data, noise=sample.noise_with(sources)).weighted(weight)
