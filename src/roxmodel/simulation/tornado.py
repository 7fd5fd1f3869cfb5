"""What an answer in money depends on most: one driver at a time at the ends of its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from roxmodel.result.levels import UnitLevels
from roxmodel.simulation.actions import Action
from roxmodel.simulation.question import Question
from roxmodel.simulation.stability import settles
from roxmodel.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["base_npv", "tornado_table"]

_ENDS = (0.025, 0.975)


def tornado_table(question: Question, actions: Sequence[Action]) -> pd.DataFrame:
    """See `Answer.tornado`."""
    import pandas as pd

    names, ends, thetas = _drivers(question)
    npv = _settling(question, thetas, actions)
    base = float(npv[0])
    rows = [(name, *ends[i], float(npv[1 + 2 * i]), float(npv[2 + 2 * i])) for i, name in enumerate(names)]
    rows += _prices(question, actions)
    table = pd.DataFrame(rows, columns=["driver", "low", "high", "npv_low", "npv_high"])
    table["swing"] = (table["npv_high"] - table["npv_low"]).abs()
    table = table[~(table["swing"] <= 1e-9 * max(1.0, abs(base)))]
    return table.sort_values("swing", ascending=False, kind="stable").reset_index(drop=True)


def base_npv(question: Question, actions: Sequence[Action]) -> float:
    """Net value at the estimate: where the bars of the tornado start."""
    return float(_npv(question.at(), actions)[0])


def _drivers(question: Question) -> tuple[list[str], list[tuple[float, float]], FloatArray]:
    """Edges, their ends, and parameters with one edge at a time at an end, the estimate first."""
    fit = question.fit
    names: dict[int, list[str]] = {}  # of edges held equal, which move together
    ends: dict[int, tuple[float, float]] = {}
    thetas = [np.array(fit.theta)]
    for row, low, high in zip(fit.table, fit.estimates.low, fit.estimates.high, strict=True):
        if row.kind != "edge" or not row.free or not np.isfinite([low, high]).all():
            continue
        names.setdefault(row.free, []).append(f"{row.left} -> {row.right}")
        if row.free in ends:
            continue
        ends[row.free] = (float(low), float(high))
        for value in ends[row.free]:
            moved = np.array(fit.theta)
            moved[row.free - 1] = value
            thetas.append(moved)
    return [" = ".join(equal) for equal in names.values()], [*ends.values()], np.array(thetas)


def _settling(question: Question, thetas: FloatArray, actions: Sequence[Action]) -> FloatArray:
    """(rows,) npv for each row of parameters; NaN where a feedback loop does not settle."""
    calm = np.ones(len(thetas), dtype=bool)
    if question.loops:
        calm = settles(question.fit, question.at(thetas).system)
    found = np.full(len(thetas), np.nan)
    found[calm] = _npv(question.at(thetas[calm]), actions)
    return found


def _npv(asked: Question, actions: Sequence[Action]) -> FloatArray:
    """(rows,) npv for each row of parameters, levels as expected."""
    ground = asked.ground(actions)
    if ground.levels is not None:
        ground = replace(ground, levels=UnitLevels(ground.levels.mean, None, 0))
    return np.asarray(asked.money("total", asked.course(actions, ground), actions).npv)


def _prices(question: Question, actions: Sequence[Action]) -> list[tuple[str, float, float, float, float]]:
    """Uncertain prices at their ends."""
    asked, found = question.at(), []
    for i, one in enumerate(question.priced):
        if len(one.price) == 1:
            continue
        ends = np.quantile(one.price, _ENDS)
        npv = []
        for end in ends:
            priced = (*asked.priced[:i], replace(asked.priced[i], price=np.array([end])), *asked.priced[i + 1 :])
            npv.append(float(_npv(replace(asked, priced=priced), actions)[0]))
        found.append((f"price of {one.name}", float(ends[0]), float(ends[1]), npv[0], npv[1]))
    return found
