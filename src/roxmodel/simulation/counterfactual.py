"""Counterfactual: what would have been in one unit, had something in it been otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roxmodel.doubts import Doubt, doubt_tail
from roxmodel.errors import RoxWarning, SimulationError, listed
from roxmodel.frozen import FrozenMapping
from roxmodel.records import LINEAR
from roxmodel.result.fit import Fit
from roxmodel.result.response import Caps, travel
from roxmodel.result.system import System
from roxmodel.simulation import question as asking
from roxmodel.simulation.abduction import Abduced, OneUnit, abduced, one_unit
from roxmodel.simulation.actions import Action, ends_of, ends_where, read_actions
from roxmodel.simulation.dynamics import assumed_notes, push_of, settled_within
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.question import OverDraws
from roxmodel.simulation.run_story import beyond_notes, counterfactual_story
from roxmodel.story import Spoken, Story
from roxmodel.types import FloatArray, read_only

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Counterfactual", "counterfactual"]

_NAME = "counterfactual"
_LEVELS = 64  # draws of latent levels with which the answer at the estimate is found


@read_only
@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual(Spoken):
    """What would have been in one unit.

    `unit`, `known`: the unit's key (of a fit of rows its number, from 0), and what is known of its levels. `do`,
    `shift`: construct -> level it would have been set to; construct or item -> points it would have been moved by.
    `changes`: (draws, k) change of each construct against what it was, NaN where it is not known. `levels`: (k,)
    counterfactual levels, NaN where they are not known or not unique. `capped`: (k,) share of draws in which the end of
    a scale cut the change. `notes`: what was assumed, cut or extrapolated. `doubts`: those of the fit that
    touch an edge between what is otherwise and what moves. `estimate`: (k,) changes at the estimate of the parameters.

    Examples
    --------
    >>> from roxmodel.datasets import make_world
    >>> from roxmodel.estimate.methods import fit
    >>> world = make_world(60, seed=1)
    >>> found = counterfactual(fit(world.model, world.study(), method="path"), "B007", do={"pride": 4.0}, seed=1)
    >>> found
    <Counterfactual of unit 'B007', had pride been 4, 2000 draws>
    """

    fit: Fit
    unit: Hashable
    known: OneUnit
    do: Mapping[str, float]
    shift: Mapping[str, float]
    changes: FloatArray
    levels: FloatArray
    capped: FloatArray
    notes: tuple[str, ...]
    doubts: tuple[Doubt, ...] = ()
    estimate: FloatArray | None = None

    def table(self) -> pd.DataFrame:
        """Every construct of the unit: what it was, and what it would have been.

        Returns
        -------
        DataFrame
            construct, observed (predicted where `basis` says so), counterfactual, change (mean over the draws), ci_low,
            ci_high (95 % of the draws, of the change), capped (share of draws cut by the end of a scale, 0-1), basis
            (``observed``, ``predicted``, ``unknown``, ``hidden``), estimate (the change at the estimate of the
            parameters). NaN where something is not known, and for the
            counterfactual of a yes/no or a count that moves, which is not unique.
        """
        import pandas as pd

        low, high = np.quantile(self.changes, [0.025, 0.975], axis=0)
        columns = {
            "construct": list(self.fit.model.names),
            "observed": self.known.levels,
            "counterfactual": self.levels,
            "change": self.changes.mean(axis=0),
            "ci_low": low,
            "ci_high": high,
            "capped": self.capped,
            "basis": list(self.known.basis),
            "estimate": np.full(len(self.capped), np.nan) if self.estimate is None else self.estimate,
        }
        return pd.DataFrame(columns)

    def spreads(self) -> Iterator[tuple[str, OverDraws]]:
        """Changes by construct, over the draws beside those at the estimate."""
        if self.estimate is not None:
            for place, name in enumerate(self.fit.model.names):
                yield name, OverDraws.of(self.changes[:, place], np.asarray(self.estimate[place]))

    @property
    def whom(self) -> str:
        """Of whom it is, in words."""
        return f"{'unit' if self.fit.level == 'between' else 'row'} {self.unit!r}"

    @property
    def condition(self) -> str:
        """What would have been otherwise, in words."""
        acts = [(name, f"{to:g}") for name, to in self.do.items()]
        acts += [(name, f"{abs(by):g} {'higher' if by >= 0 else 'lower'}") for name, by in self.shift.items()]
        (first, how), *rest = acts
        return " and ".join([f"had {first} been {how}", *(f"{name} {way}" for name, way in rest)])

    def _story(self) -> Story:
        return counterfactual_story(self)

    def __repr__(self) -> str:
        doubts = doubt_tail(self.doubts, "counterfactual")
        return f"<Counterfactual of {self.whom}, {self.condition}, {len(self.changes)} draws{doubts}>"


def counterfactual(  # noqa: PLR0913 - the contract of DESIGN.md
    fit: Fit,
    unit: Hashable,
    *,
    do: Mapping[str, float] | None = None,
    shift: Mapping[str, float] | None = None,
    draws: int = 2_000,
    seed: int | None = None,
    unconverged: bool = False,
    doubtful: bool = False,
) -> Counterfactual:
    """Ask what would have been in one unit, had something in it been otherwise.

    Abduction: what is particular to the unit, its disturbances, is read off its levels. Action: a construct is set
    (its causes are cut) or moved. Prediction: the graph is followed with the same disturbances. In a linear graph that
    is ``y_cf = y + (I - B)⁻¹ · change``, in each draw of the parameters; around a feedback loop the change is that of
    the equilibrium. Lagged edges do not act: this is one wave. Of a yes/no or a count the change is what is expected
    given what it was (`roxmodel.simulation.abduction`): what is certified is not certified again.

    Beside it stand `simulate` (what an action would bring in all units) and `forecast` (what to expect without one).

    Parameters
    ----------
    fit
        The fitted graph.
    unit
        Key of the unit in the study; in a fit of rows by method "path" the number of the row, from 0.
    do
        Construct -> level it would have been set to, in its own units. ``do={x: what x was}`` changes nothing.
    shift
        Construct (or item, see `Intervention`) -> points it would have been moved by.
    draws
        Draws of the parameters, and, where a level of the unit is latent, of that level from what is known of the unit.
    seed
        Equal seeds give equal answers, bit for bit.
    unconverged
        Whether a fit that did not converge is used all the same.
    doubtful
        Whether you know that the fit is doubtful where it is used here: without it a RoxWarning says so. The answer
        carries the doubts either way.

    Returns
    -------
    Counterfactual

    Raises
    ------
    SimulationError
        For an unknown unit or construct, a fit without units (a document, a matrix, method "sem"), a level outside its
        scale, a construct that is both set and moved, the setting of a construct whose level in the unit is not known.

    Warns
    -----
    RoxWarning
        If a construct is brought beyond what was observed, if a feedback loop has no equilibrium in some draws, or if
        the fit is doubtful or unusable on an edge between what is otherwise and what moves (`doubtful`).

    References
    ----------
    Pearl (2009), Causality, ch. 7, doi 10.1017/CBO9780511803161; Tian & Pearl (2000), doi 10.1023/A:1018912507879, on
    what a yes or a no tells without monotonicity.

    Examples
    --------
    >>> from roxmodel.datasets import make_world
    >>> from roxmodel.estimate.methods import fit
    >>> world = make_world(60, seed=1)
    >>> found = fit(world.model, world.study(), method="path")
    >>> answer = counterfactual(found, "B007", do={"pride": 4.0}, seed=1).table().set_index("construct")
    >>> answer.loc["pride", "counterfactual"].item(), answer.loc["influencers", "change"].item()
    (4.0, 0.0)
    """
    asking.check_fit(fit, unconverged, doubtful)
    asking.require_draws_of_one_wave(fit, draws)
    known = one_unit(fit, unit)
    asked, moved = _amounts("do", do), _amounts("shift", shift)
    action, assumed = _action(fit, known, asked, moved)
    used = asking.used_edges(fit.model, (fit.model.names[place] for place in action.acted))
    doubts = asking.inherited(fit, used, (unconverged, doubtful))
    settled, _ = settled_within(fit, draws, seed)
    brought = dict(action.level) | {place: known.levels[place] + by for place, by in action.shift.items()}
    system, far = settled.system, (*beyond_notes(fit, brought, "is brought to {:.3g}"), *settled.lost)
    for note in far:
        warnings.warn(note, RoxWarning, stacklevel=2)
    levels = known.drawn(draws, seed)[: len(system.coefficients)]
    changes, cut, answered = _moved(fit, known, action, system, levels, seed)
    again = np.zeros(1 if known.root is None else min(draws, _LEVELS), dtype=np.int64)
    at = fit.system(marker=True).only(again)
    estimate = _moved(fit, known, action, at, known.drawn(len(again), seed), seed).changes.mean(axis=0)
    after = fit.unknown_after([fit.model.names[place] for place in action.acted])
    unknown = (asking.unknown_note(fit),) if after else ()
    for name in after:
        changes[:, fit.model.names.index(name)] = estimate[fit.model.names.index(name)] = np.nan
    capped = np.where(np.isnan(changes).any(axis=0), np.nan, cut)
    reached = _reached(known, action, changes, answered)
    changes.setflags(write=False)
    notes = _notes(fit, known, action, changes, capped, answered)
    return Counterfactual(
        fit=fit,
        unit=known.key,
        known=known,
        do=FrozenMapping(asked),
        shift=FrozenMapping(moved),
        changes=changes,
        levels=reached,
        capped=capped,
        notes=(*assumed, *far, *assumed_notes(fit), *settled.loops, *unknown, *notes),
        doubts=doubts,
        estimate=estimate,
    )


class _Moved(NamedTuple):
    """(draws, k) changes of one unit, (k,) share of draws that an end of a scale cut, what is known of its outcomes."""

    changes: FloatArray
    capped: FloatArray
    answered: Abduced


def _moved(fit: Fit, known: OneUnit, action: Action, system: System, levels: FloatArray, seed: int | None) -> _Moved:
    answered = abduced(fit, known, system, levels, seed)
    found = travel(system, push_of([action], 0), _caps(fit, known, levels), answered=answered)
    count = len(system.coefficients)  # means, where outcomes had to be drawn
    changes = np.column_stack([np.broadcast_to(change.mean(axis=1), count) for change in found.changes])
    return _Moved(changes, np.asarray(found.capped), answered)


def _amounts(which: str, given: object) -> dict[str, float]:
    """Construct -> number, as the argument says it."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise SimulationError(f"{which}= was {given!r}.", allowed=f"a mapping, for example {which}={{'pride': 4.0}}")
    for name, amount in given.items():
        if not asking.is_number(amount) or not np.isfinite(amount):
            raise SimulationError(f"{which}= takes {name!r} to {amount!r}.", allowed="a finite number")
    return {str(name): float(amount) for name, amount in given.items()}


def _action(
    fit: Fit, known: OneUnit, do: Mapping[str, float], shift: Mapping[str, float]
) -> tuple[Action, tuple[str, ...]]:
    """What is done, in the fit's own places, and what was assumed on the way."""
    if not do and not shift:
        raise SimulationError("Nothing is otherwise: neither do= nor shift= was given.", hint="Say do={'pride': 4.0}.")
    both = [name for name in do if name in shift]
    if both:
        raise SimulationError(f"{both[0]!r} is in do= and in shift=.", hint="Set it or move it.")
    read, notes = read_actions(fit, [Intervention(name=_NAME, set=do or None, shift=shift or None)], 1)
    action = read[0]
    for place in action.level:
        name = fit.model.names[place]
        if place in action.shift:
            raise SimulationError(f"{name!r} is in do=, and one of its items in shift=.", hint="Set it or move it.")
        if not known.stands[place]:
            why = "too few people answered for it to be shown" if known.basis[place] == "hidden" else "nobody answered"
            raise SimulationError(
                f"The level of {name!r} in {known.key!r} is not known ({why}), so what setting it would have changed "
                "is not either.",
                hint=f"Use shift={{{name!r}: ...}}.",
            )
    return action, notes


def _caps(fit: Fit, known: OneUnit, levels: FloatArray) -> Caps:
    """Ends of the scales, for constructs with a linear equation (or none) whose level is known.

    In a linear graph a level that is not known does not matter; a curved equation leaves what it is needed for unknown.
    """
    low, high = ends_where(fit, lambda place, _: fit.families[place] == LINEAR and bool(known.stands[place]))
    if all(family == LINEAR for family in fit.families):
        levels = np.where(known.stands, levels, 0.0)
    return Caps(levels[:, None, :], low, high)


def _reached(known: OneUnit, action: Action, changes: FloatArray, answered: Abduced) -> FloatArray:
    """(k,) counterfactual levels; a yes/no or a count that moves has no unique one."""
    found = known.levels + changes.mean(axis=0)
    moved = (changes != 0).any(axis=0)
    found[[place for place in answered.outcomes if moved[place]]] = np.nan
    for place, to in action.level.items():
        found[place] = to
    return np.asarray(found)


def _notes(
    fit: Fit, known: OneUnit, action: Action, changes: FloatArray, capped: FloatArray, answered: Abduced
) -> list[str]:
    names, moved = fit.model.names, (changes != 0).any(axis=0)
    notes = [
        f"{name!r}: the end of the scale cut the change{f' in {share:.1%} of the draws' if share < 1 else ''}."
        for name, share in zip(names, capped, strict=True)
        if share > 0
    ]
    asked = [names[place] for place in answered.outcomes if place not in action.level]
    outcomes = [name for name in asked if any(moved[names.index(cause)] for cause in fit.model.causes(name))]
    if outcomes:
        notes.append(
            f"{listed(outcomes)}: a yes/no or a count of one unit. The change is what is expected given what it was: "
            "what is particular to the unit is one number, the same in both worlds, so that what raises the chance of "
            "a yes turns no yes into a no (monotone: assumed, not seen). What it would have been is not unique, so "
            "none is given."
        )
    lost = [name for name, gone in zip(names, np.isnan(changes[0]), strict=True) if gone]
    if lost:
        holes = [name for name, there in zip(names, known.stands, strict=True) if not there]
        notes.append(
            f"The change of {listed(lost)} is not known: on a curved equation it depends on the level of "
            f"{listed(holes)}, which is not."
        )
    blind = [
        construct.name
        for place, construct in enumerate(fit.model.constructs)
        if moved[place] and not known.stands[place] and not ends_of(fit, construct).endless
    ]
    if blind:
        notes.append(f"The level of {listed(blind)} is not known, so that the ends of its scale held nothing back.")
    if any(edge.lag for edge in fit.model.edges):
        notes.append("Lagged edges do not act: a counterfactual is of one wave.")
    return notes
