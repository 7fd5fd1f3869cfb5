"""All checks of a fit, in the order in which they are read; a check that finds nothing says ``ok``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.estimate.checks.causes import told_apart
from roxmodel.estimate.checks.composite_arrows import composite_arrows
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.estimate.checks.meaning import few_units, no_information, verdict_rows
from roxmodel.estimate.checks.misfit_checks import misfits, missing_arrows
from roxmodel.estimate.checks.same_people import same_people
from roxmodel.estimate.checks.turned_arrows import turned_arrows
from roxmodel.estimate.checks.unit_rows import unit_findings

__all__ = ["judged"]

Check: TypeAlias = Callable[[Evidence], Iterable[Doubt]]

# Each yields what it found; what it looked at and found in order need not be said: a row ``ok`` stands for it.
_CHECKS: Final[Sequence[Check]] = (
    verdict_rows,
    no_information,
    told_apart,
    few_units,
    misfits,
    missing_arrows,
    composite_arrows,
    turned_arrows,
    unit_findings,
    same_people,
)

_ORDER: Final = (
    "converged", "identified", "admissible", "no_information", "collinear", "sign", "size", "misfit", "missing_arrow",
    "reversed", "scale", "keys", "books", "leverage", "units", "dependence", "teams", "method", "duplicates",
    "response", "few_units", "sampling",
)  # fmt: skip


# What a row ``ok`` says that was looked for.
_SOUGHT: Final = {
    "no_information": "causes that do not differ between the cases beyond chance",
    "collinear": "causes that cannot be told apart",
    "sign": "edges that run against the plain association of their ends",
    "size": "standardised edges beyond 1",
    "misfit": "items that have more in common than their constructs",
    "missing_arrow": "absent arrows that the data ask for",
    "reversed": "items worded the other way round, arrows that fit better turned",
    "scale": "codes such as 99, crowded ends of scales",
    "keys": "units written in two ways",
    "books": "rows of the books that are no units",
    "leverage": "units far out, or on which the answer hangs",
    "units": "units that are a selection",
    "dependence": "columns whose units share what is unexplained",
    "teams": "columns whose people share what is unexplained",
    "method": "answers that share a mood",
    "duplicates": "rows read twice",
    "response": "response that goes with outcomes",
    "few_units": "too few units for large-sample errors",
    "sampling": "spread within units that goes with size, uneven weights",
}


def judged(evidence: Evidence, known: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """All that was found, `known` beforehand included, in order; a row ``ok`` for each check that found nothing."""
    with (
        np.errstate(all="ignore"),
        warnings.catch_warnings(),
    ):  # what is NaN or infinite is not told from, nor warned of
        warnings.simplefilter("ignore", RuntimeWarning)
        found = [*known, *(one for check in _CHECKS for one in _said(check, evidence))]
    names = [*_ORDER, *(name for name in dict.fromkeys(one.check for one in found) if name not in _ORDER)]
    rows: list[Doubt] = []
    for name in names:
        own = [one for one in found if one.check == name]
        if not own and name in _SOUGHT:  # a verdict is said by its own row only
            own = [Doubt(name, "ok", f"Looked for {_SOUGHT[name]}: nothing was found.", (), "")]
        rows += own
    return tuple(rows)


def _said(check: Check, evidence: Evidence) -> list[Doubt]:
    """What a check found; one that stumbles over odd numbers or columns says so, and the fit is not lost."""
    try:
        return list(check(evidence))
    except Exception as error:  # a fit is worth more than any remark about it
        name = check.__name__
        finding = f"The check {name!r} could not be made of these data ({type(error).__name__}: {error})."
        return [Doubt(name, "note", finding, (), "Look at what it would have looked at yourself, and tell us.")]
