"""What a study can carry, as a story: what to do next, what was found, what was assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.errors import RoxError
from roxmodel.numerals import plain
from roxmodel.story import Story, StoryPoints, StoryTable

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.planning.study_check import ConstructCheck, MoreData, StudyCheck

__all__ = ["check_advice", "check_glance", "check_story"]


_GOOD = 0.7  # reliability from which unit means are usually taken to be reliable (Bliese 2000)
_SIZES = (0.2, 0.1, 0.05)  # total effects whose number of units is told: the first that is not found yet
_ALIKE = 0.05  # relative difference between two ways to collect that is none
_POWER = "with 80 % power at 5 %, two-sided"
_LEVEL = "Level: between units. Effects are in standard deviations between units, sampling error taken out."
_HOW = (
    "Planned with the study's own counts, spread within units and moments between units. Every construct on the way of "
    "the total effect is taken to depend to the same strength on what is before it there; if one link is much weaker "
    "than the others, only larger total effects are found. Found means that the 95 % interval of rox.fit(model, study) "
    "excludes 0. With few units these numbers are themselves uncertain, as the moments are."
)


def check_advice(check: StudyCheck) -> tuple[str, ...]:
    """See `StudyCheck.advice`."""
    return (*_obstacles(check), *_reliability(check), *_headline(check), *_next(check))


def _obstacles(check: StudyCheck) -> Iterator[str]:
    if not check.identified:
        whose = "rox.fit(model, study) will refuse:" if check.apart else "No data could carry this model."
        yield f"{whose} {check.reason}"
    yield from (f"{doubt.finding} {doubt.remedy}" for doubt in check.hardly)
    if check.obstacle:
        yield f"rox.fit(model, study) will refuse: {check.obstacle}."
    if check.n_units <= check.parameters:
        yield (
            f"The model has {check.parameters} loadings and edges between units, but there are {check.n_units} units: "
            "use fewer items or constructs, fix loadings (rox.Item(loading=1.0)), or link more units."
        )
    short = dict.fromkeys(row.effect for row in check.edge_rows if row.fault == "few_units")
    if short:
        yield f"Too few units for the causes of {', '.join(short)}: link more units, or use fewer causes."


def _reliability(check: StudyCheck) -> Iterator[str]:
    for row in check.construct_rows:
        if row.reliability == 0:
            yield f"{row.note[0].upper()}{row.note[1:]}. Ask more people per unit, or leave it out."
    weak = [row for row in check.construct_rows if 0 < row.reliability < _GOOD]
    if weak:
        shown = ", ".join(f"{row.construct} {row.reliability:.2f} ({_answers_for(row)})" for row in weak)
        yield (
            f"Unit means that are to a good part sampling error, by reliability: {shown}. rox.fit(model, study) counts "
            "that error; regressions of unit means on unit means would understate their effects."
        )


def _answers_for(row: ConstructCheck) -> str:
    """How many answers a unit would make the means reliable (Spearman 1910, Brown 1910)."""
    needed = row.answers * _GOOD / (1 - _GOOD) * (1 - row.reliability) / row.reliability
    return f"{_GOOD:.2f} from about {np.ceil(needed):.0f} answers a unit, now {row.answers:.0f}"


def _headline(check: StudyCheck) -> Iterator[str]:
    total = check.total
    if total is None:
        yield "Nothing acts on anything in this model, so there is no effect to find."
        return
    name = f"total effect of {total.cause} on {total.effect}"
    if not np.isnan(total.detectable):
        ends = [check.model.find(end).item_names[0] for end in (total.effect, total.cause)]
        yield (
            f"The smallest {name} that {check.n_units} units find {_POWER}, is {plain(total.detectable, 2)} standard "
            f"deviations between units per standard deviation ({total.detectable_raw:.3g} of {ends[0]} per point of "
            f"{ends[1]})."
        )
    elif check.planned is not None:
        yield f"The {name} is out of reach: {total.note}."
    wide = [row for row in check.edge_rows if not np.isnan(row.detectable)]
    if wide:
        most = max(wide, key=lambda row: row.detectable)
        pair = f"{most.cause} -> {most.effect}"
        yield f"Hardest edge that can be found: {pair}, from {plain(most.detectable, 2)} on ({most.units} units)."
    never = [f"{row.cause} -> {row.effect}" for row in check.edge_rows if row.fault == "no_size"]
    if never:
        yield f"Not found {_POWER}, however strong: {', '.join(never)}."


def _next(check: StudyCheck) -> Iterator[str]:
    """Which data to collect: more units, or more answers of whom."""
    now = next((row for row in check.more if row.what == "now"), None)
    if now is None or check.total is None:
        return
    units = next(row for row in check.more if row.what == "units" and row.times == 2)
    sources = [row for row in check.more if row.what not in {"now", "units"}]
    helps = [row for row in (units, *sources) if not np.isnan(row.detectable)]
    found = sorted(helps, key=lambda row: row.detectable)
    if found:
        shown = ", ".join(f"{_twice(row)} to {plain(row.detectable, 2)}" for row in found)
        start = "out of reach" if np.isnan(now.detectable) else plain(now.detectable, 2)
        whole = "would bring the smallest total effect that is found"
        yield f"What to collect next: {shown} {whole}, now {start}. {_verdict(units, found)}"
    else:
        yield "What to collect next: neither twice the units nor twice the answers is enough; many more units are."
    size = next((size for size in _SIZES if not size > now.detectable), 0.0)
    try:
        needed = check.units_for(size) if size else 0
    except RoxError:
        return
    if needed > check.n_units:
        yield f"A total effect of {size:g} would ask for about {needed:,} units with as many answers a unit as now."


def _twice(row: MoreData) -> str:
    if row.what == "units":
        return f"twice the units ({row.units:.0f})"
    return f"twice the {row.what} answers (about {row.answers:.0f} a unit)"


def _verdict(units: MoreData, found: list[MoreData]) -> str:
    """What buys most; `found` are those that help, the best first."""
    best, second = found[0], next((row for row in found if row is not units), None)
    limit = best.detectable * (1 + _ALIKE)
    if best is not units:
        close = units.detectable < limit  # NaN is not
        return "Both buy about as much." if close else f"More {best.what} answers buy more than more units."
    if second is None:
        return "More units."
    close = second.detectable < limit
    also = f"More units and more {second.what} answers buy about as much."
    return also if close else "More units buy more than more answers."


def check_story(check: StudyCheck) -> Story:
    """See `StudyCheck.story`."""
    edges = (
        [StoryTable.of(_noted(check.edges), f"Smallest standardised edges found {_POWER}")] if check.edge_rows else []
    )
    title = f"{check.model.name}: {check.n_units} units, before any fit"
    return Story(
        kind="check",
        title=title,
        headline=title,
        basis=(f"Identified: {'yes' if check.identified else f'NO. {check.reason}'}",),
        body=(StoryTable.of(_noted(check.constructs)), *edges, StoryPoints(check.advice)),
        notes=(_LEVEL, _HOW, *check.notes),
    )


def check_glance(check: StudyCheck) -> Story:
    """What a notebook shows of a check: what to do next, then every table as it is."""
    tables = (check.constructs, *([check.edges] if check.edge_rows else []), *([check.collect] if check.more else []))
    return Story("check", "", repr(check), body=(StoryPoints(check.advice), *map(StoryTable.of, tables)))


def _noted(table: pd.DataFrame) -> pd.DataFrame:
    return table if table["note"].str.len().any() else table.drop(columns="note")
