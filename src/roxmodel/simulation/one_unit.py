"""One unit of a study: where it stands, how well that is known, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from roxmodel.errors import SimulationError, did_you_mean, listed
from roxmodel.result.fit import Fit
from roxmodel.result.levels import UnitLevels
from roxmodel.types import FloatArray, read_only

__all__ = ["Basis", "OneUnit", "basis_notes", "one_unit"]

Basis: TypeAlias = Literal["observed", "predicted", "unknown", "hidden"]


@read_only
@dataclass(frozen=True, slots=True, eq=False)
class OneUnit:
    """What is known of one unit.

    Attributes
    ----------
    key
        Its key in the study; of a fit of rows the number of the row, from 0.
    levels
        (k,) level of each construct, NaN where it is unknown or hidden.
    basis
        (k,) ``observed`` (a figure taken as known), ``predicted`` (a latent level, from all that is known of the
        unit), ``unknown`` (nobody answered), ``hidden`` (too few people answered for it to be shown).
    root
        (k, k) lower root of the covariance of what is not known of the levels; None where they are taken as known.
    """

    key: Hashable
    levels: FloatArray
    basis: tuple[Basis, ...]
    root: FloatArray | None

    @property
    def stands(self) -> FloatArray:
        """(k,) booleans: whether there is a level to go by."""
        return np.asarray(~np.isnan(self.levels))

    def drawn(self, draws: int, seed: int | None) -> FloatArray:
        """(draws, k) levels; those that are not known are drawn, with the prediction as their mean over the draws.

        NaN where there is no level.
        """
        mean = np.where(self.stands, self.levels, 0.0)
        roots = None if self.root is None else self.root[None]
        found = UnitLevels(mean[None], roots, int(seed or 0)).drawn(0, draws, tuple(range(len(mean))))
        every = np.broadcast_to(found.reshape(-1, len(mean)), (draws, len(mean)))
        exact = np.array([basis != "predicted" for basis in self.basis])
        centred = np.where(exact, mean, every - every.mean(axis=0) + mean)
        return np.where(self.stands, centred, np.nan)


def one_unit(fit: Fit, unit: Hashable) -> OneUnit:
    """Find one unit in a fit.

    Parameters
    ----------
    unit
        Its key in the study; in a fit of rows by method "path" the number of the row, from 0.

    Raises
    ------
    SimulationError
        If the fit holds no units, or none of that name.

    Examples
    --------
    >>> from roxmodel.datasets import make_world
    >>> from roxmodel.estimate.fit import fit
    >>> world = make_world(30, seed=1)
    >>> found = one_unit(fit(world.model, world.study(), method="path"), world.unit["branch"][0])
    >>> found.basis[0], found.root is None
    ('observed', True)
    """
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
    twin = next((key for key in known if str(key) == str(unit)), None)
    raise SimulationError(
        f"unit= names {unit!r}, which is not in the study.",
        hint=f"The study's keys are of type {type(twin).__name__!r}: write {twin!r}."
        if twin is not None
        else did_you_mean(str(unit), [str(key) for key in known]),
    )


def basis_notes(fit: Fit, unit: OneUnit) -> list[str]:
    """How far the unit's levels are known, in sentences."""
    names = {kind: _named(fit, unit, kind) for kind in ("predicted", "unknown", "hidden")}
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


def _named(fit: Fit, unit: OneUnit, kind: str) -> list[str]:
    return [name for name, basis in zip(fit.model.names, unit.basis, strict=True) if basis == kind]
