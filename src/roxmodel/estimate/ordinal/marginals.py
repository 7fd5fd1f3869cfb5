"""Each item alone: codes and thresholds of ordinal items, mean and spread of continuous ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from roxmodel.errors import DataError, listed
from roxmodel.estimate.ordinal.polyserial import moment_influence
from roxmodel.types import FloatArray, IntArray

__all__ = ["Continuous", "Ordinal", "continuous_item", "ordinal_item"]


@dataclass(frozen=True, slots=True)
class Ordinal:
    """An ordinal item.

    Attributes
    ----------
    codes
        (n,) answers, 0 to K-1.
    thresholds
        (K-1,) ascending, of a standard normal variable.
    influence
        (K-1, K) of an answer (column) on each threshold: (1{answer ≤ t} - share)/density.

    Examples
    --------
    >>> import numpy as np
    >>> ordinal_item("a", np.array([1.0, 1.0, 2.0, 2.0]), np.ones(4)).influence.round(4).tolist()
    [[1.2533, -1.2533]]
    """

    codes: IntArray
    thresholds: FloatArray
    influence: FloatArray


@dataclass(frozen=True, slots=True)
class Continuous:
    """A continuous item.

    Attributes
    ----------
    standard
        (n,) values with mean 0 and variance 1 (divisor n).
    mean, sd
        In the item's own units.
    influence
        (2, 3) on mean and variance in standard units by 1, u, u².

    Examples
    --------
    >>> import numpy as np
    >>> continuous_item("c", np.array([1.0, 2.0, 6.0, 7.0]), np.ones(4)).mean
    4.0
    """

    standard: FloatArray
    mean: float
    sd: float
    influence: FloatArray


def ordinal_item(
    name: str, values: FloatArray, weight: FloatArray, categories: Sequence[float] | None = None
) -> Ordinal:
    """Code the answers and cut the standard normal variable at their cumulative shares.

    Parameters
    ----------
    name
        The item, for messages.
    values
        (n,) answers.
    weight
        (n,) how many people each row stands for.
    categories
        The categories that exist; None = those that occur.

    Returns
    -------
    Ordinal

    Raises
    ------
    DataError
        If there is one category only, a declared category is empty or a value is not among them.

    Examples
    --------
    >>> import numpy as np
    >>> ordinal_item("a", np.array([1.0, 2.0, 5.0]), np.array([16.0, 68.0, 16.0])).thresholds.round(3)
    array([-0.994,  0.994])
    """
    known = np.unique(values if categories is None else np.asarray(categories, dtype=np.float64))
    codes = np.minimum(np.searchsorted(known, values), len(known) - 1)
    strange = known[codes] != values
    if strange.any():
        raise DataError(
            f"Ordinal item {name!r} has the value {values[strange][0]:g}, which is no category of it.",
            allowed=listed(known.tolist(), limit=12),
        )
    counts = np.bincount(codes, weights=weight, minlength=len(known))
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f"Ordinal item {name!r} has one category only ({values[0]:g} in all {weight.sum():g} answers).",
            hint="Leave the item out: it cannot go together with anything.",
        )
    if not counts.all():
        empty = known[counts == 0.0][0]
        raise DataError(
            f"Nobody chose category {empty:g} of ordinal item {name!r}.",
            hint="Merge it with its neighbour: an empty category has no threshold.",
        )
    share = counts.cumsum()[:-1] / counts.sum()
    thresholds = ndtri(share)
    below = np.arange(len(known)) <= np.arange(len(share))[:, None]
    density = np.exp(-0.5 * thresholds * thresholds) / np.sqrt(2.0 * np.pi)
    return Ordinal(codes, thresholds, (below - share[:, None]) / density[:, None])


def continuous_item(name: str, values: FloatArray, weight: FloatArray) -> Continuous:
    """Standardise the values.

    Parameters
    ----------
    name
        The item, for messages.
    values
        (n,) numbers.
    weight
        (n,) how many people each row stands for.

    Returns
    -------
    Continuous

    Raises
    ------
    DataError
        If fewer than three different values occur.

    Examples
    --------
    >>> import numpy as np
    >>> round(continuous_item("c", np.array([1.0, 2.0, 6.0]), np.array([2.0, 1.0, 1.0])).sd, 4)
    2.0616
    """
    total = weight.sum()
    mean = float(weight @ values / total)
    centred = values - mean
    sd = float(np.sqrt(weight @ (centred * centred) / total))
    if sd <= 1e-12 * max(abs(mean), 1e-300):
        raise DataError(
            f"Item {name!r} is constant ({values[0]:g} in all {total:g} answers).",
            hint="Leave the item out: it cannot go together with anything.",
        )
    standard = centred / sd
    try:
        influence = moment_influence(standard, weight)
    except np.linalg.LinAlgError:
        raise DataError(
            f"Item {name!r} has two values only ({values.min():g} and {values.max():g}).",
            hint="Declare it ordinal: of two values the mean says what the variance is.",
        ) from None
    return Continuous(standard, mean, sd, influence)
