"""The five factors of return on experience, and the context they stand in.

The five factors and their main order are PwC's (2019): pride, influencers, behaviours, value drivers,
outcomes. `context` is ours: causes that are neither (region, size, affluence), so that they can be adjusted
for.
"""

from __future__ import annotations

from typing import Final, get_args

from roxmodel.types import Factor

__all__ = ["FACTORS", "MAIN_ORDER", "TITLES"]

FACTORS: Final[tuple[Factor, ...]] = get_args(Factor)
MAIN_ORDER: Final[tuple[Factor, ...]] = ("pride", "influencers", "behaviours", "value_drivers", "outcomes")
TITLES: Final[dict[Factor, str]] = {
    "pride": "Pride",
    "influencers": "Influencers",
    "behaviours": "Behaviours",
    "value_drivers": "Value drivers",
    "outcomes": "Outcomes",
    "context": "Context",
}
