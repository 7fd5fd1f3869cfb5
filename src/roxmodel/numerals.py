"""How a number is written: beside an arrow or a bar, in a table that people read, in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "amount_text", "chance_text", "estimate_text", "exact_text", "finite", "for_reading", "includes_zero", "money_text",
    "p_text", "plain", "signed_text", "span_text", "tick_text", "with_interval", "written",
]  # fmt: skip

_MILLION: Final = 1e6
_BILLION: Final = 1e9


def finite(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to draw (neither None, nor NaN, nor infinite)."""
    return value is not None and math.isfinite(value)


def includes_zero(low: float | None, high: float | None) -> bool:
    """Whether an interval is known and 0 lies in it."""
    return finite(low) and finite(high) and low <= 0.0 <= high


def _large(size: float) -> tuple[float, str]:
    """What large numbers are divided by, and the sign for it."""
    return (_BILLION, "bn") if size >= _BILLION else (_MILLION, "M") if size >= _MILLION else (1.0, "")


def written(values: Sequence[float]) -> list[str]:
    """Numbers of one unit that stand together: equal decimals, by the largest; a true minus; ``M``, ``bn``."""
    largest = max((abs(value) for value in values), default=0.0)
    divisor, unit = _large(largest)
    decimals = _decimals(largest / divisor)
    texts = (f"{value / divisor:,.{decimals}f}" for value in values)
    signed = (text.lstrip("-") if float(text.replace(",", "")) == 0.0 else text for text in texts)
    return [text.replace("-", "−") + unit for text in signed]


def _decimals(largest: float) -> int:
    if largest >= 100:
        return 0
    if largest >= 10:
        return 1
    if largest >= 0.01 or largest == 0.0:
        return 2
    return min(1 - math.floor(math.log10(largest)), 12)


def with_interval(estimate: float, low: float | None, high: float | None) -> str:
    """An estimate and, where both ends are known, its interval: ``0.42 [0.31, 0.53]``."""
    if not (finite(low) and finite(high)):
        return written([estimate])[0]
    middle, lower, upper = written([estimate, low, high])
    return f"{middle} [{lower}, {upper}]"


def tick_text(value: float) -> str:
    """The number at a tick of an axis, as short as it can be said."""
    size = abs(value)
    divisor, unit = _large(size)
    short = f"{value / divisor:.10g}" if size < 1000 or unit else f"{value:,.0f}"
    return short.replace("-", "−") + unit


def plain(value: float, figures: int = 3) -> str:
    """A number alone: so many figures, no powers of ten, never 0 for what is not 0; whole numbers whole; NaN empty."""
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
    """An amount a reader can take in: three figures and thousands separators."""
    if amount == 0 or not math.isfinite(amount):
        return f"{amount:g}"
    digits = 2 - math.floor(math.log10(abs(amount)))
    return f"{round(amount, digits):,.{max(digits, 0)}f}"


def signed_text(change: float, text: Callable[[float], str] = money_text) -> str:
    """A change as `money_text`, or another function, writes it, with its sign."""
    return f"{'+' if change > 0 else ''}{text(change)}"


def span_text(low: float, high: float, signed: bool = False) -> str:
    """An interval as `money_text`; empty where it has no width or is not known."""
    text = signed_text if signed else money_text
    return f"{text(low)} to {text(high)}" if low < high else ""


def amount_text(amount: float) -> str:
    """Money to the cent, where there are cents, with thousands separators."""
    if amount == 0 or not math.isfinite(amount) or not 1 <= abs(amount) < 1e15:
        return f"{amount + 0.0:.4g}"
    return f"{amount:,.2f}".removesuffix(".00")


def exact_text(amount: float) -> str:
    """A number as it was given, with thousands separators."""
    return f"{amount:,.12g}"


def estimate_text(value: float) -> str:
    """An estimate in a table: three decimals, fewer of large ones, powers of ten at both ends; NaN empty."""
    if math.isnan(value):
        return ""
    size = abs(value)
    if 0 < size < 0.001 or size >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1_000 else f"{value:.1f}" if size >= 100 else f"{value:.3f}"


def p_text(value: float) -> str:
    """A p value to three decimals, ``<.001`` below; NaN empty."""
    return "" if math.isnan(value) else "<.001" if value < 0.001 else f"{value:.3f}"


def chance_text(share: float) -> str:
    """A chance in whole percent, ``below 1%`` where that would be 0."""
    return "below 1%" if share < 0.005 else f"{share:.0%}"
