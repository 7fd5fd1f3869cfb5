"""Forecast: what to expect when nothing is done, from what is seen."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roxmodel.doubts import Doubt, doubt_tail
from roxmodel.errors import RoxWarning, SimulationError, did_you_mean, listed
from roxmodel.frozen import FrozenMapping
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.levels import JointLevels, beyond_curves, joint_of
from roxmodel.result.system import System, total_effects
from roxmodel.simulation import question as asking
from roxmodel.simulation.abduction import OneUnit, basis_notes, one_unit
from roxmodel.simulation.actions import ends_of, ends_where
from roxmodel.simulation.dynamics import assumed_notes, settled_within
from roxmodel.simulation.run_story import beyond_notes, forecast_story
from roxmodel.story import Spoken, Story
from roxmodel.types import BoolArray, FloatArray, read_only

if TYPE_CHECKING:
    import pandas as pd

from scipy.special import expit, ndtr

__all__ = ["Forecast", "conditioned", "forecast", "mixture_quantiles", "with_curved"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)  # of a normal variable
_FLAT = 1e-10  # share of a variance below which nothing is left of it
_HALVINGS = 60

_COLUMNS = ["construct", "wave", "mean", "ci_low", "ci_high", "pi_low", "pi_high", "estimate"]


class _Figures(NamedTuple):
    """(k,) means, (2, k) their intervals, (2, k) where one unit lies."""

    mean: FloatArray
    ci: FloatArray
    pi: FloatArray


@read_only
@dataclass(frozen=True, eq=False, repr=False)
class Forecast(Spoken):
    """What to expect without any action.

    `given`: construct -> level it is seen at. `unit`: key of the one unit that is forecast; None = any. `horizon`:
    waves; all are alike. `means`, `spreads`: (draws, k) mean of each construct, and standard deviation of one unit
    around it; NaN where not known; of a unit of a linked fit there is one draw, the estimate. `setting`: (k,) mean of
    each construct had the given ones been *set* in all units: doing, not seeing; None where nothing is given, a unit is
    named, or an equation is curved. `notes`: what was assumed or extrapolated. `doubts`: those of the fit.
    `estimate`: (k,) means at the estimate of the parameters.

    Examples
    --------
    >>> from roxmodel.datasets import make_world
    >>> from roxmodel.estimate.methods import fit
    >>> world = make_world(60, seed=1)
    >>> forecast(fit(world.model, world.study(), method="path"), {"pride": 3.8}, horizon=4, seed=1)
    <Forecast of a unit seen with pride at 3.8, 4 waves, 2000 draws>
    """

    fit: Fit
    given: Mapping[str, float]
    unit: Hashable | None
    horizon: int
    means: FloatArray
    spreads: FloatArray
    setting: FloatArray | None
    notes: tuple[str, ...]
    doubts: tuple[Doubt, ...] = ()
    estimate: FloatArray | None = None

    def table(self) -> pd.DataFrame:
        """What to expect, construct by construct.

        Returns
        -------
        DataFrame
            construct, wave (1…horizon, all alike), mean, ci_low, ci_high (95 % interval of the mean: uncertainty of
            the parameters), pi_low, pi_high (95 %: where the level of one unit lies, parameters and spread together;
            cut at the ends of a scale), estimate (the mean at the estimate of the parameters; mean is that over the
            draws). NaN where something is not known: `summary` says what and why.
        """
        import pandas as pd

        mean, ci, pi = self._figures()
        at = np.full_like(mean, np.nan) if self.estimate is None else self.estimate
        rows = [
            (name, wave, mean[place], *ci[:, place], *pi[:, place], at[place])
            for place, name in enumerate(self.fit.model.names)
            for wave in range(1, self.horizon + 1)
        ]
        return pd.DataFrame(rows, columns=_COLUMNS)

    def _figures(self) -> _Figures:
        mean = np.where((self.means == self.means[0]).all(axis=0), self.means[0], self.means.mean(axis=0))
        ci = np.quantile(self.means, [0.025, 0.975], axis=0)
        lost = np.isnan(self.means).any(axis=0) | np.isnan(self.spreads).any(axis=0)
        pi = mixture_quantiles(np.where(lost, 0.0, self.means), np.where(lost, 0.0, self.spreads), (0.025, 0.975))
        pi = np.where(lost, np.nan, pi)
        if self.unit is not None and self.fit.predicted is not None:
            ci = np.where((self.spreads > 0).any(axis=0), np.nan, ci)
        ends = ends_where(self.fit, lambda place, _: self.fit.families[place] == LINEAR)
        return _Figures(mean, ci, np.clip(pi, *ends))

    def _story(self) -> Story:
        return forecast_story(self, *self._figures())

    def __repr__(self) -> str:
        waves = f"{self.horizon} wave{'' if self.horizon == 1 else 's'}"
        draws = f"{len(self.means)} draw{'' if len(self.means) == 1 else 's'}"
        return f"<Forecast of {self.whom}, {waves}, {draws}{doubt_tail(self.doubts, 'forecast')}>"

    @property
    def whom(self) -> str:
        """Of whom it is, in words."""
        kind = "unit" if self.fit.level == "between" else "row"
        seen = " and ".join(f"{name} at {level:g}" for name, level in self.given.items())
        who = f"any {kind}" if self.unit is None else f"{kind} {self.unit!r}"
        return f"{f'a {kind}' if self.unit is None else who} seen with {seen}" if seen else who


def forecast(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    given: Mapping[str, float] | None = None,
    *,
    unit: Hashable | None = None,
    horizon: int = 1,
    draws: int = 2_000,
    seed: int | None = None,
    unconverged: bool = False,
    doubtful: bool = False,
) -> Forecast:
    """Say what to expect of every construct when nothing is done: seeing, not doing.

    With `given`, some constructs are *seen* at a level, and the others are expected where units like that stand: the
    conditional mean under the joint distribution that the model implies. It contains what goes with the given
    constructs by common causes. `simulate(fit, [Intervention(set=...)])` answers what would follow if they were *set*
    there, which cuts those common causes; the two agree where nothing confounds. With `unit`, the levels of one unit,
    from all that is known of it. (What would have been in a unit had it been otherwise is `counterfactual`.)

    With one wave of data, what differs between units is taken as lasting, so that every wave is expected to be like
    the first; a fixed lagged edge carries the change that an action brings, and there is none.

    Parameters
    ----------
    fit
        The fitted graph.
    given
        Construct -> level it is seen at, in its own units (of a latent construct its level itself, without the noise
        of few answers).
    unit
        Key of a unit in the study; in a fit of rows by method "path" the number of the row, from 0. With `given`,
        what is seen beside what is known already.
    horizon
        Waves.
    draws
        Draws of the parameters.
    seed
        Equal seeds give equal answers, bit for bit.
    unconverged
        Whether a fit that did not converge is used all the same.
    doubtful
        Whether you know that the fit is doubtful: without it a RoxWarning says so. The answer carries the doubts either
        way.

    Returns
    -------
    Forecast

    Raises
    ------
    SimulationError
        For an unknown construct or unit, a level outside its scale, a fit without means, a construct of the unit that
        is known to stand elsewhere, or one on or after a curved equation in `given`.

    Warns
    -----
    RoxWarning
        If a given level lies beyond what was observed, if a feedback loop has no equilibrium in some draws, or if the
        fit is doubtful or unusable (`doubtful`): all of it is used, because levels go together.

    References
    ----------
    Pearl (2009), Causality, section 1.3, doi 10.1017/CBO9780511803161, on seeing and doing.

    Examples
    --------
    Where two regions differ in pride and in sales, pride foretells sales without moving them:

    >>> from roxmodel.estimate.methods import fit
    >>> from roxmodel.moments.single import Moments
    >>> from roxmodel.simulation.intervention import Intervention
    >>> from roxmodel.simulation.run import simulate
    >>> from roxmodel.spec.constructs import Construct
    >>> from roxmodel.spec.graph import RoxModel
    >>> factors = {"region": "context", "pride": "pride", "sales": "outcomes"}
    >>> constructs = [Construct(name=n, factor=f, source="unit", items=[n]) for n, f in factors.items()]
    >>> model = RoxModel(name="m", constructs=constructs, edges=["region -> pride", "region + pride -> sales"])
    >>> printed = [[1, 0.5, 0.5], [0.5, 1, 0.25], [0.5, 0.25, 1]]
    >>> found = fit(model, Moments.from_correlation(list(factors), printed, mean=[0, 0, 0], n=10_000), method="path")
    >>> seen = forecast(found, {"pride": 1.0}, seed=1).table().set_index("construct")["mean"]
    >>> done = simulate(found, [Intervention(name="do", set={"pride": 1.0})], horizon=1, seed=1).effects()
    >>> round(float(seen["sales"]), 2), abs(round(float(done["mean"].iloc[2]), 2))
    (0.25, 0.0)
    """
    asking.check_fit(fit, unconverged, doubtful)
    asking.require_horizon(horizon)
    asking.require_draws_of_one_wave(fit, draws)
    if fit.population.mean is None:
        raise SimulationError(
            "This fit has no means (it comes from a printed matrix, or from ordinal items), so no level is expected.",
            hint="Give the matrix its means.",
        )
    beyond = beyond_curves(fit)
    seen = _seen(fit, given, beyond)
    known = None if unit is None else one_unit(fit, unit)
    doubts = asking.inherited(fit, asking.used_edges(fit.model, fit.model.names), (unconverged, doubtful))
    settled, theta = settled_within(fit, draws, seed)
    far = (*beyond_notes(fit, seen, "is seen at {:g}"), *settled.lost)
    for note in far:
        warnings.warn(note, RoxWarning, stacklevel=2)
    start = joint_of(fit, theta, seed) if known is None or fit.predicted is None else _unit_joint(known)
    whole = _all_seen(fit, known, seen)
    means, spreads = _outcome(settled.system, start, whole, beyond, known)
    at = fit.theta[None, :]
    alike = start if isinstance(known, OneUnit) and fit.predicted is not None else joint_of(fit, at, seed)
    estimate = _outcome(fit.system(at, marker=True), alike, whole, beyond, known)[0][0]
    return Forecast(
        fit=fit,
        given=FrozenMapping({fit.model.names[place]: level for place, level in seen.items()}),
        unit=None if known is None else known.key,
        horizon=int(horizon),
        means=means,
        spreads=spreads,
        setting=_set(settled.system, start, seen) if known is None and seen and not beyond.any() else None,
        notes=(*far, *assumed_notes(fit), *_notes(fit, known, start, beyond, means)),
        doubts=doubts,
        estimate=estimate,
    )


def _seen(fit: Fit, given: object, beyond: BoolArray) -> dict[int, float]:
    """Place -> level."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SimulationError(f"given= was {given!r}.", allowed="a mapping, for example given={'pride': 4.0}")
    found = {}
    for name, level in given.items():
        if name not in fit.model.names:
            owner = next((c.name for c in fit.model.constructs if name in c.item_names), None)
            hint = f"It is an item of {owner!r}." if owner else did_you_mean(str(name), fit.model.names)
            raise SimulationError(f"given= names {name!r}, which is no construct.", hint=hint)
        if not asking.is_number(level) or not np.isfinite(level):
            raise SimulationError(f"given= sees {name!r} at {level!r}.", allowed="a finite number")
        ends = ends_of(fit, fit.model.find(name))
        if ends.cut(level) != level:
            raise SimulationError(f"given= sees {name!r} at {level:g}, outside its scale.", allowed=str(ends))
        place = fit.model.names.index(name)
        if beyond[place]:
            raise SimulationError(
                f"given= sees {name!r}, which stands on or after a curved equation (yes/no, counts): what that tells "
                "of its causes is not computed.",
                hint="Give constructs before it.",
            )
        found[place] = float(level)
    return found


def _unit_joint(known: OneUnit) -> JointLevels:
    """What is known of a unit's latent levels, the parameters taken as known."""
    root = np.zeros((len(known.levels),) * 2) if known.root is None else known.root
    return JointLevels(np.where(known.stands, known.levels, 0.0)[None], (root @ root.T)[None])


def _all_seen(fit: Fit, known: OneUnit | None, seen: Mapping[int, float]) -> dict[int, float]:
    """What is given, and what of a unit is known beside it."""
    if known is None:
        return dict(seen)
    found = {
        place: float(level)
        for place, (level, basis) in enumerate(zip(known.levels, known.basis, strict=True))
        if basis == "observed"
    }
    for place, level in seen.items():
        name = fit.model.names[place]
        if known.basis[place] == "hidden":
            raise SimulationError(
                f"given= sees {name!r} of {known.key!r}, where too few people answered for its level to be shown.",
                hint="Leave it out.",
            )
        if place in found and found[place] != level:
            raise SimulationError(
                f"given= sees {name!r} of {known.key!r} at {level:g}, but it is known to stand at {found[place]:.6g}.",
                hint=f"What would be if it were otherwise is counterfactual(fit, {known.key!r}, "
                f"do={{{name!r}: {level:g}}}).",
            )
    return found | dict(seen)


def _outcome(
    system: System, start: JointLevels, whole: Mapping[int, float], beyond: BoolArray, known: OneUnit | None
) -> tuple[FloatArray, FloatArray]:
    """(draws, k) means and spreads; of curved equations the mean only."""
    seen = np.full(len(beyond), np.nan)
    seen[list(whole)] = list(whole.values())
    places = [place for place in whole if not beyond[place]]
    left = conditioned(start, places, seen[places])
    means = with_curved(system, left, beyond, seen) if beyond.any() else np.array(left.mean)
    spreads = np.where(beyond, np.where(np.isnan(seen), np.nan, 0.0), left.spread)
    if known is not None:
        hidden = np.array([basis == "hidden" for basis in known.basis])
        means, spreads = np.where(hidden, np.nan, means), np.where(hidden, np.nan, spreads)
    for array in (means, spreads):
        array.setflags(write=False)
    return means, spreads


def _set(system: System, start: JointLevels, seen: Mapping[int, float]) -> FloatArray:
    """(k,) mean over the draws had the given constructs been set: their causes are cut."""
    places = list(seen)
    cut = np.array(system.coefficients)
    cut[:, places] = 0.0
    push = np.array([seen[place] for place in places]) - start.mean[:, places]
    moved = (total_effects(cut)[:, :, places] @ push[:, :, None])[:, :, 0]
    return np.asarray((start.mean + moved).mean(axis=0))


def _notes(fit: Fit, known: OneUnit | None, start: JointLevels, beyond: BoolArray, means: FloatArray) -> list[str]:
    names = fit.model.names
    notes = [] if known is None else basis_notes(fit, known)
    if known is not None and fit.predicted is not None:
        notes.append(
            "Levels of a unit of method 'linked' are predicted with the parameters taken as known: there is no "
            "interval of a mean, only where the level lies."
        )
    if start.repaired:
        notes.append(
            f"In {start.repaired:.1%} of the draws a variance came out below 0 and was set to 0: with so few data it "
            "is hardly known."
        )
    if beyond.any():
        curved = [name for name, after in zip(names, beyond, strict=True) if after]
        notes.append(
            f"{listed(curved)}: on or after a curved equation (yes/no, counts). The mean is that of the expected "
            "value; where one unit lies is not computed, and nothing is told back from there."
        )
    lost = [name for name, gone, after in zip(names, np.isnan(means[0]), beyond, strict=True) if gone & after]
    if lost:
        notes.append(f"{listed(lost)}: a cause is itself on or after a curved equation, so no mean is computed.")
    if any(edge.lag for edge in fit.model.edges):
        notes.append(
            "Lagged edges carry what an action changes from wave to wave; nothing is done here, so that they carry "
            "nothing."
        )
    return notes


def conditioned(joint: JointLevels, places: list[int], levels: FloatArray) -> JointLevels:
    """What is left to expect once some constructs are seen at given levels (normal distribution).

    m + C_s C_ss⁻¹ (level - m_s), with covariance C - C_s C_ss⁻¹ C_s'. A direction that does not vary tells nothing.
    Anderson (2003), An introduction to multivariate statistical analysis, section 2.5.
    """
    if not places:
        return joint
    scale = np.where(joint.spread > 0, joint.spread, 1.0)[:, places]
    seen = joint.covariance[:, places][:, :, places] / (scale[:, :, None] * scale[:, None, :])
    inverse = np.linalg.pinv(seen, rcond=_FLAT, hermitian=True) / (scale[:, :, None] * scale[:, None, :])
    slopes = joint.covariance[:, :, places] @ inverse
    mean = joint.mean + (slopes @ (levels - joint.mean[:, places])[:, :, None])[:, :, 0]
    left = joint.covariance - slopes @ joint.covariance[:, places]
    flat = np.diagonal(left, axis1=1, axis2=2) <= _FLAT * np.diagonal(joint.covariance, axis1=1, axis2=2)
    left = np.where(flat[:, :, None] | flat[:, None, :], 0.0, left)
    mean[:, places], left[:, places], left[:, :, places] = levels, 0.0, 0.0
    return JointLevels(mean, left, joint.repaired)


def with_curved(system: System, joint: JointLevels, beyond: BoolArray, known: FloatArray) -> FloatArray:
    """(draws, k) means, those `beyond` (k,), on or after a curved equation, filled in; `known`: (k,) seen, else NaN.

    The mean of a curved outcome is that of its response over the normal distribution of its predictor; a linear
    equation hands on the means of its causes. NaN where a curved equation has a cause that is itself beyond one and not
    known.
    """
    mean = np.array(joint.mean)
    intercepts = np.zeros_like(mean) if system.intercepts is None else system.intercepts
    for place in (place for place in system.order if beyond[place]):
        if not np.isnan(known[place]):
            mean[:, place] = known[place]
            continue
        weights = system.coefficients[:, place]
        causes = np.flatnonzero((weights != 0).any(axis=0))
        predictor = intercepts[:, place] + (weights[:, causes] * mean[:, causes]).sum(axis=1)
        if system.families[place] == LINEAR:
            mean[:, place] = predictor
            continue
        normal = [cause for cause in causes if not beyond[cause]]
        if any(beyond[cause] and np.isnan(known[cause]) for cause in causes):
            mean[:, place] = np.nan
            continue
        own = weights[:, normal]
        spread = np.sqrt(np.maximum(np.einsum("di,dij,dj->d", own, joint.covariance[:, normal][:, :, normal], own), 0))
        mean[:, place] = _expected(system.families[place], predictor, spread)
    return mean


def _expected(family: str, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Mean response over a normal predictor."""
    if family == "logit":
        at = expit(mean[:, None] + spread[:, None] * _NODES)
        return np.asarray(at @ _WEIGHTS / _WEIGHTS.sum())
    return np.asarray(np.exp(np.minimum(mean + spread**2 / 2, 700.0)))


def mixture_quantiles(mean: FloatArray, spread: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """(shares, k) quantiles of an equal mixture of normals, (draws, k), by bisection; a spread of 0 is a point."""
    wide = np.where(spread > 0, spread, 1.0)
    ends = (mean - 12 * spread).min(axis=0), (mean + 12 * spread).max(axis=0)
    found = []
    for share in shares:
        low, high = ends
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = np.where(spread > 0, ndtr((middle - mean) / wide), (mean <= middle).astype(float)).mean(axis=0)
            low, high = np.where(below < share, middle, low), np.where(below < share, high, middle)
        found.append(np.where((spread > 0).any(axis=0), high, np.quantile(mean, share, axis=0)))
    return np.stack(found)
