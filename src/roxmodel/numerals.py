"""How a number is written: beside an arrow or a bar, in a table that people read, in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "amount_text",
    "chance_text",
    "estimate_text",
    "exact_text",
    "finite",
    "for_reading",
    "money_text",
    "p_text",
    "plain",
    "signed_text",
    "span_text",
    "tick_text",
    "with_interval",
    "written",
]

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


def money_text(amount: float) -> str:
    """An amount a reader can take in: three figures and thousands separators.

    Examples
    --------
    >>> money_text(1234567.0), money_text(-12.34)
    ('1,230,000', '-12.3')
    """
    if amount == 0 or not math.isfinite(amount):
        return f"{amount:g}"
    digits = 2 - math.floor(math.log10(abs(amount)))
    return f"{round(amount, digits):,.{max(digits, 0)}f}"


def signed_text(change: float) -> str:
    """A change with its sign: three figures, no powers of ten.

    Examples
    --------
    >>> signed_text(0.2), signed_text(-1234.0)
    ('+0.200', '-1,230')
    """
    return f"{'+' if change > 0 else ''}{money_text(change)}"


def span_text(low: float, high: float, signed: bool = False) -> str:
    """An interval; empty where it has no width or is not known.

    Examples
    --------
    >>> span_text(1.0, 2.5), span_text(1.0, 1.0), span_text(-0.1, 0.2, signed=True)
    ('1.00 to 2.50', '', '-0.100 to +0.200')
    """
    text = signed_text if signed else money_text
    return f"{text(low)} to {text(high)}" if low < high else ""


def amount_text(amount: float) -> str:
    """Money with thousands separators, and with cents where there are any.

    Examples
    --------
    >>> amount_text(120_000.0), amount_text(-1_200.5), amount_text(0.0025), amount_text(3.5e18)
    ('120,000', '-1,200.50', '0.0025', '3.5e+18')
    """
    if amount == 0 or not math.isfinite(amount) or not 1 <= abs(amount) < 1e15:
        return f"{amount + 0.0:.4g}"
    return f"{amount:,.2f}".removesuffix(".00")


def exact_text(amount: float) -> str:
    """A number as it was given.

    Examples
    --------
    >>> exact_text(1_250_000.0), exact_text(0.125)
    ('1,250,000', '0.125')
    """
    return f"{amount:,.12g}"


def estimate_text(value: float) -> str:
    """An estimate in a table: three decimals, fewer of large ones, powers of ten at both ends.

    Examples
    --------
    >>> estimate_text(0.42), estimate_text(250.0), estimate_text(12_345.6), estimate_text(4e-5)
    ('0.420', '250.0', '12,346', '4e-05')
    """
    if math.isnan(value):
        return ""
    size = abs(value)
    if 0 < size < 0.001 or size >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1_000 else f"{value:.1f}" if size >= 100 else f"{value:.3f}"


def p_text(value: float) -> str:
    """A p value.

    Examples
    --------
    >>> p_text(0.0421), p_text(1e-9), p_text(float("nan"))
    ('0.042', '<.001', '')
    """
    if math.isnan(value):
        return ""
    return "<.001" if value < 0.001 else f"{value:.3f}"


def chance_text(share: float) -> str:
    """A chance in whole percent.

    Examples
    --------
    >>> chance_text(0.123), chance_text(0.001)
    ('12%', 'below 1%')
    """
    return "below 1%" if share < 0.005 else f"{share:.0%}"


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
