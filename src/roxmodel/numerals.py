"""How a number is written beside an arrow or a bar, and in a table that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["finite", "for_reading", "plain", "tick_text", "with_interval", "written"]


_MILLION: Final = 1e6


_BILLION: Final = 1e9


def finite(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to draw (neither None, nor NaN, nor infinite).

    Examples
    --------
    >>> finite(0.4), finite(None), finite(float("nan"))
    (True, False, False)
    """
    return value is not None and math.isfinite(value)


def written(values: Sequence[float]) -> list[str]:
    """Write numbers that stand together with the same number of decimals.

    Parameters
    ----------
    values
        Finite numbers of one unit; the largest decides on the decimals.

    Returns
    -------
    list of str
        Thousands separated by a comma, a true minus sign, ``M`` for millions, ``bn`` for billions.

    Examples
    --------
    >>> written([0.42, 0.31, 0.534])
    ['0.42', '0.31', '0.53']
    >>> written([-1234.5, 2.0])
    ['−1,234', '2']
    >>> written([2_500_000.0])
    ['2.50M']
    >>> written([0.00042])
    ['0.00042']
    """
    largest = max((abs(value) for value in values), default=0.0)
    divisor, unit = 1.0, ""
    if largest >= _BILLION:
        divisor, unit = _BILLION, "bn"
    elif largest >= _MILLION:
        divisor, unit = _MILLION, "M"
    decimals = _decimals(largest / divisor)
    return [_one(value / divisor, decimals) + unit for value in values]


def with_interval(estimate: float, low: float | None, high: float | None) -> str:
    """Write an estimate and, when both ends are known, its interval.

    Examples
    --------
    >>> with_interval(0.42, 0.31, 0.53)
    '0.42 [0.31, 0.53]'
    >>> with_interval(-0.1, None, None)
    '−0.10'
    """
    if not (finite(low) and finite(high)):
        return written([estimate])[0]
    middle, lower, upper = written([estimate, low, high])
    return f"{middle} [{lower}, {upper}]"


def tick_text(value: float) -> str:
    """Write the number at a tick of an axis, as short as it can be said.

    Examples
    --------
    >>> tick_text(-0.2), tick_text(150_000.0), tick_text(2_500_000.0), tick_text(0.30000000000000004)
    ('−0.2', '150,000', '2.5M', '0.3')
    """
    size = abs(value)
    divisor, unit = (_BILLION, "bn") if size >= _BILLION else (_MILLION, "M") if size >= _MILLION else (1.0, "")
    short = f"{value / divisor:.10g}" if size < 1000 or unit else f"{value:,.0f}"
    return short.replace("-", "−") + unit


def plain(value: float, figures: int = 3) -> str:
    """Write a number alone: so many figures, no powers of ten, never 0 for what is not 0; whole numbers whole.

    Examples
    --------
    >>> plain(0.00432, 2), plain(1702.0), plain(-12.345), plain(2.5e6 + 0.25), plain(float("nan"))
    ('0.0043', '1,702', '-12.3', '2,500,000', '')
    """
    if math.isnan(value):
        return ""
    size = abs(value)
    if size < 1e15 and value == round(value):
        return f"{value:,.0f}"
    if not 1e-9 < size < 1e15:
        return f"{value:.{figures}g}"
    return f"{value:,.{max(figures - 1 - math.floor(math.log10(size)), 0)}f}"


def for_reading(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table whose floating numbers are texts as `plain` writes them."""
    texts = {name: [plain(float(value)) for value in table[name]] for name in table if table[name].dtype.kind == "f"}
    return table.assign(**{str(name): told for name, told in texts.items()})


def _decimals(largest: float) -> int:
    if largest >= 100:
        return 0
    if largest >= 10:
        return 1
    if largest >= 0.01 or largest == 0.0:
        return 2
    return min(1 - math.floor(math.log10(largest)), 12)


def _one(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "−")
