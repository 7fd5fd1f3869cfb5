"""All checks of a fit, in the order in which they are read; a check that finds nothing says ``ok``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from roxmodel.doubts import Doubt
from roxmodel.estimate.checks.dependence import dependence_findings
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.estimate.checks.meaning import no_information, verdict_rows
from roxmodel.estimate.checks.misfit_checks import misfits, missing_arrows
from roxmodel.estimate.checks.same_people import same_people
from roxmodel.estimate.checks.turned_arrows import turned_arrows

__all__ = ["judged"]

Check: TypeAlias = Callable[[Evidence], Iterable[Doubt]]

# Each yields what it found; what it looked at and found in order need not be said: a row ``ok`` stands for it.
_CHECKS: Final[Sequence[Check]] = (
    verdict_rows,
    no_information,
    misfits,
    missing_arrows,
    turned_arrows,
    dependence_findings,
    same_people,
)

_ORDER: Final = (
    "converged", "identified", "admissible", "no_information", "collinear", "sign", "size", "misfit", "missing_arrow",
    "reversed", "scale", "keys", "books", "leverage", "units", "dependence", "teams", "method", "duplicates",
    "response", "few_units", "sampling",
)  # fmt: skip


def judged(evidence: Evidence, known: Iterable[Doubt]) -> tuple[Doubt, ...]:
    """All that was found, `known` beforehand included, in order; a row ``ok`` for each check that found nothing."""
    found = [*known, *(one for check in _CHECKS for one in check(evidence))]
    names = [*_ORDER, *(name for name in dict.fromkeys(one.check for one in found) if name not in _ORDER)]
    rows: list[Doubt] = []
    for name in names:
        own = [one for one in found if one.check == name]
        rows += own or [Doubt(name, "ok", "Nothing was found.", (), "")]
    return tuple(rows)
