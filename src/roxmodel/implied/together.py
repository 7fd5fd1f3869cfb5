"""Items that never met: which pairs were seen together, what that identifies, and a covariance made whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from roxmodel.doubts import Doubt
from roxmodel.errors import EstimationError
from roxmodel.implied.identification import flat_direction, involved, name_parameters, somewhere
from roxmodel.implied.layout import Layout
from roxmodel.implied.matrices import implied, moment_jacobian
from roxmodel.spec.parameters import ParameterTable
from roxmodel.types import BoolArray, FloatArray

__all__ = ["FEWEST", "PEOPLE", "UNITS", "Asked", "NeverMetError", "completed", "require_seen", "thin", "together_of"]

FEWEST = 2  # times that two items must be seen together: one pair of numbers tells no covariance
_THIN = 10  # times below which a covariance is hardly known
_SHARE = 0.25  # the same as a share of the rarer item, so that small studies whose items all met are not called thin
_TRIES = 3
_PART = 0.1  # share of the largest change from which a pair takes part
_SWEEPS, _SETTLED = 200, 1e-9
_GROWTH = 40  # steps towards the known correlations
_LEAST = 1e-8  # smallest pivot of a correlation matrix that is taken as positive definite


@dataclass(frozen=True, slots=True)
class Asked:
    """What sees items together, in words: how two are seen, who sees them, and what to do if none does."""

    met: str
    whom: str
    remedy: str


PEOPLE: Final = Asked("answered by the same person", "people", "Ask both of the same people")
UNITS: Final = Asked(
    "known in the same unit",
    "units",
    "Link more units (study.unmatched() lists what is missing), ask both in the same ones",
)


class NeverMetError(EstimationError):
    """Items that were never seen together would have to tell something that no others tell."""


def together_of(seen: BoolArray, count: FloatArray | None = None) -> FloatArray:
    """(p, p) how many cases saw each pair of items, on the diagonal each item.

    Parameters
    ----------
    seen
        (J, p) which items a case (a person, a unit, a pattern of missing answers) has.
    count
        (J,) cases of each row; None = one.

    Examples
    --------
    >>> together_of(np.array([[True, True, False], [True, False, True]])).tolist()
    [[2.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    own = seen.astype(np.float64)
    return np.asarray((own if count is None else own * count[:, None]).T @ own)


def thin(together: FloatArray) -> BoolArray:
    """(p, p) pairs seen together so rarely, though their items were seen often, that their covariance is hardly known.

    Examples
    --------
    >>> thin(np.array([[90.0, 80.0, 3.0], [80.0, 85.0, 5.0], [3.0, 5.0, 40.0]]))[2].tolist()
    [True, True, False]
    """
    least = np.minimum.outer(np.diag(together), np.diag(together))
    return np.asarray((together < _THIN) & (together < _SHARE * least))


def completed(covariance: FloatArray, known: BoolArray) -> FloatArray:
    """Fill what is not known of a covariance so that its determinant is largest: no partial correlation is added.

    Where nothing positive definite has the known correlations, they are drawn towards 0 as far as it needs.

    Parameters
    ----------
    covariance
        (p, p), anything where it is not known.
    known
        (p, p), True on the diagonal. What does not vary covaries with nothing.

    References
    ----------
    Dempster (1972), doi 10.2307/2528966; Grone, Johnson, Sá & Wolkowicz (1984), doi 10.1016/0024-3795(84)90207-6.

    Examples
    --------
    >>> known = np.array([[True, True, True], [True, True, False], [True, False, True]])
    >>> whole = completed(np.array([[4.0, 2.0, 1.0], [2.0, 4.0, 0.0], [1.0, 0.0, 1.0]]), known)
    >>> float(whole[1, 2].round(6))  # what the first item explains: 2 * 1 / 4
    0.5
    """
    if known.all():
        return covariance
    varies = np.diag(covariance) > 0
    sd = np.sqrt(np.where(varies, np.diag(covariance), 1.0))
    unit, known = np.outer(sd, sd), (known & np.outer(varies, varies)) | np.eye(len(sd), dtype=bool)
    aim = np.where(known, covariance / unit, 0.0)
    np.fill_diagonal(aim, 1.0)
    found, share, step = np.eye(len(sd)), 0.0, 1.0
    for _ in range(_GROWTH):
        ahead = min(1.0, share + step)
        trial = np.where(known, aim * ahead, found * (ahead / share if share else 1.0))
        np.fill_diagonal(trial, 1.0)
        if _regular(trial):
            found, share = _spread(trial, known), ahead
            if share == 1.0:
                break
        else:
            step /= 2
    return np.asarray(found * unit * np.outer(varies, varies))


def _regular(correlation: FloatArray) -> bool:
    try:
        root = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(root).min() ** 2 > _LEAST)


def _spread(correlation: FloatArray, known: BoolArray) -> FloatArray:
    """Largest determinant, row by row: what is not known of a row follows from what is, by regression."""
    found = correlation.copy()
    rows = np.flatnonzero(~known.all(axis=1))
    for _ in range(_SWEEPS):
        moved = 0.0
        for row in rows:
            there, away = np.flatnonzero(known[row]), np.flatnonzero(~known[row])
            there = there[there != row]
            value = found[np.ix_(away, there)] @ np.linalg.solve(found[np.ix_(there, there)], found[there, row])
            moved = max(moved, float(np.abs(value - found[row, away]).max()))
            found[row, away] = found[away, row] = value
        if moved < _SETTLED:
            break
    return found


def require_seen(
    table: ParameterTable,
    layouts: Sequence[Layout],
    start: tuple[FloatArray, FloatArray],
    together: Sequence[FloatArray],
    asked: Asked,
) -> tuple[Doubt, ...]:
    """Refuse a model that pairs of items which were never seen together would have to determine.

    Items that never met are no harm where others join them: the likelihood of what was seen has an information of full
    rank as soon as the moments seen together have a Jacobian of full rank (they are all its cases see of Σ).

    Parameters
    ----------
    table, layouts, start
        What is estimated, and the starting values with the size of each parameter.
    together
        (p, p) for each layout: see `together_of`.
    asked
        What cases are, in words.

    Returns
    -------
    tuple of Doubt
        What hangs on a few cases only; empty as a rule.

    Raises
    ------
    NeverMetError
        Naming the items that never met, what they leave untold, and the remedy.
    """
    short = [own < FEWEST for own in together]
    if any(own.any() for own in short):
        found = _untold(table, layouts, start, short)
        if found is not None:
            raise _never_met(table, layouts, (found, short), (together, asked))
    few = [thin(own) for own in together]
    if not any((own & ~lost).any() for own, lost in zip(few, short, strict=True)):
        return ()
    found = _untold(table, layouts, start, few)
    if found is None:
        return ()
    pairs, count = _pairs(layouts, found, (few, together))
    finding = (
        f"Hardly identified: {_traded(table, found[1])} hang{_s(table, found[1])} on how {_words(pairs)} go together, "
        f"which {count:.0f} {asked.whom} tell: errors and tests mean little here."
    )
    culprits = tuple(dict.fromkeys(item for pair in pairs for item in pair))
    return (Doubt("identified", "doubtful", finding, culprits, f"{asked.remedy}."),)


Flat = tuple[FloatArray, FloatArray]  # starting values and sizes
Found = tuple[FloatArray, FloatArray, FloatArray]  # a point, a direction there, the same in the parameters' own units


def _untold(table: ParameterTable, layouts: Sequence[Layout], start: Flat, lost: Sequence[BoolArray]) -> Found | None:
    """A point, and a direction there that changes nothing that was seen; None if there is none."""
    picked = []
    for own in lost:
        row, column = np.nonzero(np.tril(~own))
        picked.append((row.astype(np.int64), column.astype(np.int64)))
    rng = np.random.default_rng(20_061)
    found: Found | None = None
    for _ in range(_TRIES):
        point = somewhere(start, rng)
        flat = flat_direction(table, layouts, (point, start[1]), picked)
        if flat is None:
            return None
        found = point, *flat
    return found


def _pairs(
    layouts: Sequence[Layout], found: Found, where: tuple[Sequence[BoolArray], Sequence[FloatArray]]
) -> tuple[list[tuple[str, ...]], float]:
    """The pairs that the direction moves, and how often the most frequent of them was seen."""
    point, _, flat = found
    named: dict[tuple[str, ...], float] = {}
    for layout, lost, together in zip(layouts, *where, strict=True):
        by_sigma, _ = moment_jacobian(layout, implied(layout, point))
        moved = np.tril(np.abs(by_sigma @ layout.link @ flat)) * lost
        for a, b in np.argwhere(moved > _PART * max(float(moved.max()), 1e-300)):
            pair = tuple(dict.fromkeys((layout.items[b], layout.items[a])))
            named[pair] = max(named.get(pair, 0.0), float(together[a, b]))
    return list(named), max(named.values(), default=0.0)


def _words(pairs: Sequence[tuple[str, ...]]) -> str:
    more = len(pairs) - 1
    likewise = f" ({more} more pair{'s' if more > 1 else ''} likewise)" if more > 0 else ""
    return (" and ".join(map(repr, pairs[0])) if pairs else "some items") + likewise


def _traded(table: ParameterTable, flat: FloatArray) -> str:
    return name_parameters(involved(table, flat), most=3)


def _s(table: ParameterTable, flat: FloatArray) -> str:
    return "s" if len(involved(table, flat)) == 1 else ""


def _never_met(
    table: ParameterTable,
    layouts: Sequence[Layout],
    lost: tuple[Found, Sequence[BoolArray]],
    data: tuple[Sequence[FloatArray], Asked],
) -> NeverMetError:
    found, short = lost
    together, asked = data
    pairs, count = _pairs(layouts, found, (short, together))
    met = f"were never {asked.met}" if count == 0 else f"were {asked.met} only once"
    return NeverMetError(
        f"{_words(pairs)} {met}, and no other items join them, so {_traded(table, found[1])} cannot be told.",
        hint=f"{asked.remedy}, or a third item of their construct beside each; or leave one of them out.",
    )
