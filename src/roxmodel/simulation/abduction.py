"""One unit: where it stands, what may be shown of it, and what a yes/no or a count of it would have been.

What a unit's chance would have been is not what its outcome would have been: a certified branch is certified, and more
of what certifies cannot certify it again. The outcome is read as the quantile of one number u of the unit's own,
uniform between 0 and 1: ``y = F⁻¹(u; predictor)``. What was observed bounds u, ``F(y - 1) < u ≤ F(y)``, and the same u
under the predictor it would have had gives what y would have been (abduction, action, prediction: Pearl 2009, ch. 7,
doi 10.1017/CBO9780511803161). That one u serves both, so that a cause that raises the expected outcome lowers it in no
unit (monotonicity), is assumed; without it only bounds are known (Tian & Pearl 2000, doi 10.1023/A:1018912507879).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import betainc, expit, gammainc, gammaincc

from roxmodel.errors import SimulationError, listed
from roxmodel.moments.condense import unit_hint
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import UnitLevels
from roxmodel.result.system import System
from roxmodel.types import BoolArray, FloatArray, read_only

__all__ = [
    "Abduced", "Basis", "OneUnit", "Outcome", "abduced", "basis_notes", "expected_outcome", "one_unit",
    "realised_outcome",
]  # fmt: skip


Basis: TypeAlias = Literal["observed", "predicted", "unknown", "hidden"]


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class OneUnit:
    """What is known of one unit."""

    key: Hashable  # its key in the study; of a fit of rows the number of the row, from 0
    levels: FloatArray  # (k,) level of each construct, NaN where it is unknown or hidden
    # (k,) ``observed`` (a figure taken as known), ``predicted`` (a latent level, from all that is known of the unit),
    # ``unknown`` (nobody answered), ``hidden`` (too few people answered for it to be shown)
    basis: tuple[Basis, ...]
    # (k, k) lower root of the covariance of what is not known of the levels; None where they are taken as known
    root: FloatArray | None

    @property
    def stands(self) -> FloatArray:
        """(k,) booleans: whether there is a level to go by."""
        return np.asarray(~np.isnan(self.levels))

    def drawn(self, draws: int, seed: int | None) -> FloatArray:
        """(draws, k) levels, NaN where there is none; those not known are drawn, with the prediction as their mean."""
        mean = np.where(self.stands, self.levels, 0.0)
        roots = None if self.root is None else self.root[None]
        found = UnitLevels(mean[None], roots, int(seed or 0)).drawn(0, draws, tuple(range(len(mean))))
        every = np.broadcast_to(found.reshape(-1, len(mean)), (draws, len(mean)))
        exact = np.array([basis != "predicted" for basis in self.basis])
        centred = np.where(exact, mean, every - every.mean(axis=0) + mean)
        return np.where(self.stands, centred, np.nan)


def one_unit(fit: Fit, unit: Hashable) -> OneUnit:
    """Find one unit in a fit: by its key in the study; of rows (method "path") by the row's number, from 0."""
    people = fit.population
    if people.levels is None:
        _refuse_no_units(fit)
    place = _row(unit, people.n) if people.units is None else _place(unit, people.units)
    if fit.predicted is None:
        levels = np.array(np.asarray(people.levels)[place])
        hidden = np.zeros(len(levels), dtype=bool) if people.hidden is None else people.hidden[place]
        basis: list[Basis] = [
            "hidden" if out else "unknown" if np.isnan(level) else "observed"
            for level, out in zip(levels, hidden, strict=True)
        ]
        return OneUnit(place if people.units is None else people.units[place], levels, tuple(basis), None)
    return _predicted(fit, place)


def _predicted(fit: Fit, place: int) -> OneUnit:
    """As `Fit.unit_scores` shows it: no answer of fewer people than the study lets show is in any figure."""
    found, roots = fit.predicted, fit.population.roots
    if found is None or roots is None:
        raise ValueError("no predictions")  # the caller has looked
    hidden = found.hidden[place]
    levels = np.where(hidden, np.nan, found.values[place])
    errors = np.where(hidden, 0.0, found.errors[place])
    basis: list[Basis] = [
        "hidden" if np.isnan(level) else "predicted" if error > 0 else "observed"
        for level, error in zip(levels, errors, strict=True)
    ]
    return OneUnit(found.units[place], levels, tuple(basis), np.where(hidden[:, None], 0.0, roots[place]))


def _refuse_no_units(fit: Fit) -> None:
    if fit.traits.levels == "none":
        raise SimulationError(
            "This fit keeps no rows (method 'sem' works on their moments), so it knows no single one.",
            hint="Use method='path' for rows, or a rox.Study for units.",
        )
    if fit.level == "between":
        raise SimulationError(
            "This fit was loaded from a document, which holds no unit.", hint="Fit the study again, then ask."
        )
    raise SimulationError(
        "This fit comes from a printed matrix or a document, which holds no single row.", hint="Fit the rows."
    )


def _row(unit: object, n: int) -> int:
    if isinstance(unit, bool) or not isinstance(unit, int | np.integer) or not 0 <= unit < n:
        raise SimulationError(
            f"unit= was {unit!r}, but this is a fit of rows, which have no names.",
            allowed=f"the number of a row, 0 to {n - 1}",
        )
    return int(unit)


def _place(unit: object, known: Sequence[Hashable]) -> int:
    if isinstance(unit, Hashable):
        for place, key in enumerate(known):
            if key == unit and isinstance(key, bool) == isinstance(unit, bool):
                return place
    raise SimulationError(f"unit= names {unit!r}, which is not in the study.", hint=unit_hint(unit, known))


def basis_notes(fit: Fit, unit: OneUnit) -> list[str]:
    """How far the unit's levels are known, in sentences."""
    names: dict[str, list[str]] = {kind: [] for kind in ("observed", "predicted", "unknown", "hidden")}
    for name, basis in zip(fit.model.names, unit.basis, strict=True):
        names[basis].append(name)
    whom = "unit" if fit.level == "between" else "row"
    notes = []
    if names["predicted"]:
        notes.append(
            f"Not observed but predicted from all that is known of the unit, with an error: levels of "
            f"{listed(names['predicted'])}."
        )
    if names["unknown"]:
        notes.append(f"The {whom} has no score of {listed(names['unknown'])}: that level is unknown.")
    if names["hidden"]:
        without = " The others are predicted without those answers." if fit.predicted is not None else ""
        notes.append(
            f"Hidden, because fewer than {fit.population.min_group} people answered, or because the unit would give "
            f"such a one away: the level of {listed(names['hidden'])}.{without}"
        )
    if fit.traits.levels == "observed" and fit.level == "between":
        notes.append("Unit means are taken as exact, which understates effects (see the fit's small print).")
    return notes


_LARGEST = 1e15  # of a count that is told from the next
_STEPS = 1_000  # counts summed one by one; where more are between, some at a time
_REPLICATES = 200  # outcomes drawn where a curved equation follows on another


class Tails(NamedTuple):
    """P(outcome ≤ count) and P(outcome > count), each to its own last digit."""

    upto: FloatArray
    beyond: FloatArray


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome that was seen, and how such outcomes come about."""

    # ``linear`` (a yes/no whose chance is a straight line), ``logit``, ``poisson`` or ``negative binomial``
    family: str
    seen: float  # what it was
    dispersion: float = float("nan")  # alpha of the negative binomial

    @property
    def yes_no(self) -> bool:
        """Whether it is a yes/no."""
        return self.family in {LINEAR, "logit"}

    def expected(self, predictor: FloatArray) -> FloatArray:
        """Chance of a yes, or expected count."""
        if self.family == LINEAR:
            return np.clip(predictor, 0.0, 1.0)
        if self.family == "logit":
            return np.asarray(expit(predictor))
        return np.asarray(np.exp(np.minimum(predictor, np.log(_LARGEST))))

    def tails(self, count: FloatArray, mean: FloatArray) -> Tails:
        """How likely it is up to a count, and beyond it."""
        at = np.maximum(count, 0.0) + 1.0
        if self.family == "poisson":
            low, high = np.asarray(gammaincc(at, mean)), np.asarray(gammainc(at, mean))
        else:
            size = 1.0 / self.dispersion
            share, rest = size / (size + mean), mean / (size + mean)
            low, high = np.asarray(betainc(size, at, share)), np.asarray(betainc(at, size, rest))
        none = count < 0
        return Tails(np.where(none, 0.0, low), np.where(none, 1.0, high))


def expected_outcome(outcome: Outcome, before: FloatArray, after: FloatArray) -> FloatArray:
    """What is expected of an outcome under another predictor, given what it was.

    Of a yes/no with chance p and then q: ``min(1, q / p)`` if it was a yes, ``max(0, (q - p) / (1 - p))`` if it was a
    no. Of a count the sum over c of ``P(F'(c) < u | F(y - 1) < u ≤ F(y))``. Averaged over the outcomes a unit may have
    had, both are the expected outcome under the other predictor.
    """
    p, q = outcome.expected(before), outcome.expected(after)
    if outcome.yes_no:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.minimum(q / p, 1.0) if outcome.seen else np.maximum((q - p) / (1.0 - p), 0.0)
        return np.where(p == q, outcome.seen, np.where(np.isfinite(found) | np.isnan(p + q), found, outcome.seen))
    p, q = np.broadcast_arrays(p, q)
    seen = _bounds(outcome, p)
    first, last = (_outcome_at(outcome, seen, q, np.asarray(place)) for place in (0.0, 1.0))
    step = max(1.0, np.ceil(np.nanmax(last - first, initial=0.0) / _STEPS))  # 1 unless counts are in the thousands
    found, count = first.copy(), first.copy()
    while (count < last).any():
        open_ = count < last
        at = outcome.tails(count[open_] + (step - 1.0) / 2.0, q[open_])
        some = _Bounds(*(Tails(tails.upto[open_], tails.beyond[open_]) for tails in seen))
        found[open_] += step * _above(some, at)
        count += step
    return np.where(np.isnan(p + q), np.nan, np.where(p == q, outcome.seen, found))


def realised_outcome(outcome: Outcome, before: FloatArray, after: FloatArray, place: FloatArray) -> FloatArray:
    """What an outcome would have been under another predictor, a `place` (0-1) of the way through what u may be."""
    p, q = outcome.expected(before), outcome.expected(after)
    if not outcome.yes_no:
        found = _outcome_at(outcome, _bounds(outcome, p), q, place)
        return np.where(np.isnan(p + q), np.nan, np.where(p == q, outcome.seen, found))
    chance = expected_outcome(outcome, before, after)
    return np.where(np.isnan(chance), np.nan, (place < chance).astype(float))


class _Bounds(NamedTuple):
    """F(y - 1) and F(y), with their complements: between what u lies."""

    low: Tails
    high: Tails


def _bounds(outcome: Outcome, mean: FloatArray) -> _Bounds:
    return _Bounds(*(outcome.tails(np.asarray(outcome.seen - less), mean) for less in (1.0, 0.0)))


def _above(seen: _Bounds, at: Tails) -> FloatArray:
    """P(u > F'(c)), given what was seen; by the tail that keeps its digits."""
    low, high = seen
    with np.errstate(invalid="ignore", divide="ignore"):
        upto = (high.upto - at.upto) / (high.upto - low.upto)
        found = np.where(low.upto < 0.5, upto, (at.beyond - high.beyond) / (low.beyond - high.beyond))
    return np.clip(np.where(np.isfinite(found), found, 0.0), 0.0, 1.0)


def _outcome_at(outcome: Outcome, seen: _Bounds, then: FloatArray, place: FloatArray) -> FloatArray:
    """The least count c with ``P(u > F'(c)) ≤ 1 - place``, by bisection."""
    low = np.full(np.broadcast_shapes(seen.low.upto.shape, then.shape, place.shape), -1.0)
    high = np.full(low.shape, 1.0)

    def reached(count: FloatArray) -> BoolArray:
        left = _above(seen, outcome.tails(count, then))
        return np.asarray(np.where(place > 0, left <= 1.0 - place, left < 1.0))

    for _ in range(60):
        short = ~reached(high)
        if not short.any() or high.max() > _LARGEST:
            break
        low, high = np.where(short, high, low), np.where(short, 2.0 * high + 1.0, high)
    while (high - low > 1.0).any():
        middle = np.floor((low + high) / 2.0)
        there = reached(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return high


@dataclass(frozen=True, slots=True)
class Abduced:
    """The figures of one unit whose outcome is known (`roxmodel.result.response.Answered`)."""

    outcomes: dict[int, Outcome]  # construct's place -> what was seen of it
    before: dict[int, FloatArray]  # construct's place -> (draws, 1) its predictor as it was
    # construct's place -> (draws, m) places of u, for those a curved equation follows on; the others are expected
    places: dict[int, FloatArray]

    def change(self, place: int, change: FloatArray) -> FloatArray | None:
        """See `Answered`."""
        if place not in self.outcomes:
            return None
        outcome, before = self.outcomes[place], self.before[place]
        if place in self.places:
            found = realised_outcome(outcome, before, before + change, self.places[place])
        else:
            found = expected_outcome(outcome, before, before + change)
        straight = np.isnan(found) & (outcome.family == LINEAR)  # where it stood is not known: as without seeing it
        return np.where(change == 0, 0.0, np.where(straight, change, found - outcome.seen))


def abduced(fit: Fit, known: OneUnit, system: System, levels: FloatArray, seed: int | None) -> Abduced:
    """What is known of a unit's yes/nos and counts; `levels`: (draws, k), NaN where there is none."""
    outcomes = _outcomes(fit, known)
    mean = np.zeros(len(fit.model.names)) if fit.population.mean is None else fit.population.mean
    before = {}
    for place, outcome in outcomes.items():
        weights = system.coefficients[:, place]
        apart = levels - mean if outcome.family == LINEAR else levels
        start = mean[place] if system.intercepts is None or outcome.family == LINEAR else system.intercepts[:, place]
        pushed = np.where(weights != 0, weights * apart, 0.0).sum(axis=1)
        before[place] = (start + pushed)[:, None]
    handed = _followed(system, sorted(outcomes))
    places = {}
    for place in handed:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7, place)))
        steps = rng.permuted(np.tile(np.arange(_REPLICATES), (len(levels), 1)), axis=1)
        places[place] = (steps + rng.random(steps.shape)) / _REPLICATES
    return Abduced(outcomes, before, places)


def _outcomes(fit: Fit, known: OneUnit) -> dict[int, Outcome]:
    """Curved outcomes that were seen; a yes/no with a straight equation that was seen as such."""
    dispersion = {equation.effect: equation.dispersion for equation in fit.equations}
    found = {}
    for place, (construct, family) in enumerate(zip(fit.model.constructs, fit.families, strict=True)):
        seen = float(known.levels[place])
        if known.basis[place] != "observed" or np.isnan(seen) or construct.name not in fit.model.endogenous:
            continue
        scale = construct.items[0].scale
        yes_no = scale is not None and scale.kind == "binary" and len(construct.items) == 1 and seen in {0.0, 1.0}
        if family != LINEAR or yes_no:
            found[place] = Outcome(family, seen, dispersion.get(construct.name, float("nan")))
    return found


def _followed(system: System, places: Sequence[int]) -> list[int]:
    """Places of outcomes that another of them follows on, at once or by others."""
    reach = np.eye(len(system.names), dtype=bool)
    for place in system.order:
        reach[place] |= reach[(system.coefficients[:, place] != 0).any(axis=0)].any(axis=0)
    return [one for one in places if any(other != one and reach[other, one] for other in places)]
