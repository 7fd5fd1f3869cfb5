"""Whether a question can be asked of a fit: the fit itself, names, times, rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roxmodel.errors import SimulationError, listed
from roxmodel.result.fit import Fit
from roxmodel.simulation.intervention import Intervention

LONGEST = 10_000
"""Most waves that can be looked ahead."""

MOST_BYTES = 4 * 2**30
"""Most memory that the numbers of one answer may take: more is refused before it is tried."""

__all__ = [
    "LONGEST",
    "MOST_BYTES",
    "check_fit",
    "check_interventions",
    "check_question",
    "is_number",
    "require_memory",
    "require_whole",
    "require_yes_no",
]


def check_question(
    fit: Fit,
    interventions: Sequence[Intervention],
    horizon: int,
    draws: int,
    discount: float,
    unconverged: bool = False,
) -> None:
    """Refuse what cannot be simulated.

    Raises
    ------
    SimulationError
        In one sentence, naming the culprit.
    """
    require_yes_no("unconverged", unconverged)
    check_fit(fit, unconverged)
    check_interventions(interventions)
    require_whole("horizon", horizon, "a whole number of waves, at least 1")
    if horizon > LONGEST:
        raise SimulationError(f"horizon= was {horizon} waves.", allowed=f"at most {LONGEST:,}")
    require_whole("draws", draws, "a whole number, at least 1, better 2,000")
    if not is_number(discount) or not np.isfinite(discount) or discount <= -1:
        raise SimulationError(f"discount= was {discount!r}.", allowed="a rate per wave above -1, for example 0.02")
    if -horizon * np.log1p(discount) > 200:
        raise SimulationError(
            f"discount={discount:g} over {horizon} waves makes later money worth more than any number.",
            allowed="a rate nearer to 0, or fewer waves",
        )
    for intervention in interventions:
        late = [wave for wave in (intervention.start, *(intervention.starts or ())) if wave > horizon]
        if late:
            raise SimulationError(
                f"Intervention {intervention.name!r} starts in wave {late[0]}, after the horizon of {horizon}.",
                hint="Let it start earlier, or look further.",
            )


def check_fit(fit: Fit, unconverged: bool = False) -> None:
    """Refuse a fit from which nothing follows.

    Parameters
    ----------
    unconverged
        Whether a fit that did not converge is used all the same.

    Raises
    ------
    SimulationError
        If it is no fit, did not converge, or has several groups.
    """
    if not isinstance(fit, Fit):
        raise SimulationError(
            f"fit= was a {type(fit).__name__}.", allowed="a rox.Fit", hint="Say simulate(fit, [...])."
        )
    if not fit.converged and not unconverged:
        raise SimulationError(
            f"This fit did not converge ({fit.verdicts['converged'].reason}), so nothing is simulated from it.",
            hint="Mend the fit first (unconverged=True uses it all the same).",
        )
    if len(fit.groups) > 1:
        raise SimulationError(
            f"This fit has {len(fit.groups)} groups, each with its own effects: {listed(g.name for g in fit.groups)}.",
            hint=f"Say which: simulate(fit.group({fit.groups[0].name!r}), [...]).",
        )


def check_interventions(interventions: Sequence[Intervention]) -> None:
    """Refuse what is no list of interventions with names of their own.

    Raises
    ------
    SimulationError
        For nothing at all, other things, or a name given twice.
    """
    if not interventions:
        raise SimulationError("No intervention was given.", hint="Give [rox.Intervention(...)].")
    for given in interventions:
        if not isinstance(given, Intervention):
            raise SimulationError(
                f"interventions= holds a {type(given).__name__}.", allowed="a list of rox.Intervention"
            )
    names = [i.name for i in interventions]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SimulationError(f"Two interventions are named {listed(twice)}.", hint="Give each its own name.")
    if "total" in names:
        raise SimulationError("An intervention is named 'total', which is the name of the sum.", hint="Rename it.")


def require_whole(name: str, given: object, allowed: str) -> None:
    """Refuse what is not a whole number of at least 1.

    Raises
    ------
    SimulationError
        Naming the argument.
    """
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise SimulationError(f"{name}= was {given!r}.", allowed=allowed)


def require_yes_no(name: str, given: object) -> None:
    """Refuse what is not True or False.

    Raises
    ------
    SimulationError
        Naming the argument.
    """
    if not isinstance(given, bool | np.bool_):
        raise SimulationError(f"{name}= was {given!r}.", allowed="True or False")


def is_number(given: object) -> bool:
    """Whether something is a number that a computer can hold, and no truth value."""
    if isinstance(given, bool) or not isinstance(given, int | float | np.number):
        return False
    try:
        float(given)
    except (OverflowError, TypeError):
        return False
    return True


def require_memory(draws: int, cells: int, what: str) -> None:
    """Refuse draws that no memory holds.

    Parameters
    ----------
    draws, cells
        How many draws, and how many numbers each of them takes.
    what
        Of what, in words.

    Raises
    ------
    SimulationError
        With the number of draws that fits.
    """
    if 8 * cells * draws <= MOST_BYTES:
        return
    fits = MOST_BYTES // (8 * cells)
    size = f"{8 * cells * draws / 2**30:,.1f} GiB"
    if fits < 1:
        raise SimulationError(
            f"One draw of {what} takes {8 * cells / 2**30:,.1f} GiB of memory.",
            allowed=f"{MOST_BYTES / 2**30:.3g} GiB",
            hint="Ask for fewer waves.",
        )
    raise SimulationError(
        f"draws={draws:,} of {what} take {size} of memory.",
        allowed=f"at most {fits:,} draws",
        hint="2,000 draws tell nearly all that more would.",
    )
