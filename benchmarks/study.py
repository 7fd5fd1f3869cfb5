"""How long it takes to read one survey into a study, beside pandas' mean by unit of the same frame.

Run with ``python benchmarks/study.py [rows] [items] [units]``. The two are timed by turns, so that a busy machine
slows both; times are the best of `TURNS`. Extra memory is the peak that numpy and pandas asked for beyond the user's
frame, as a share of the frame (text counted by its characters).
"""

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd

import roxmodel as rox

TURNS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def survey(rows: int, items: int, units: int, missing: float, key: str) -> pd.DataFrame:
    """Answers 1 to 7 as float64, respondents in random order."""
    rng = np.random.default_rng(1)
    answers = np.asfortranarray(rng.integers(1, 8, (rows, items)), dtype=np.float64)
    answers[rng.random(answers.shape) < missing] = np.nan
    frame = pd.DataFrame(answers, columns=[f"q{k}" for k in range(items)])
    codes = rng.integers(0, units, rows)
    frame.insert(0, "unit", codes if key == "int" else np.array([f"U{u:06d}" for u in range(units)])[codes])
    return frame


def model(items: int) -> rox.RoxModel:
    """Four items a construct, each with a scale, so that every answer is checked."""
    names = [f"q{k}" for k in range(items)]
    constructs = [
        rox.Construct(name=f"c{k}", factor="context", source="employee", items=names[k : k + 4], scale=rox.Likert(1, 7))
        for k in range(0, items, 4)
    ]
    return rox.RoxModel(name="benchmark", constructs=constructs, edges=[])


def main(rows: int = 1_000_000, items: int = 20, units: int = 5_000) -> None:
    asked = model(items)
    print(f"{rows:,} respondents, {items} items, {units:,} units")
    print("missing  key     groupby.mean       Study   ratio    extra memory / frame")
    for missing in (0.0, 0.1):
        for key in ("int", "text"):
            frame = survey(rows, items, units, missing, key)
            names = list(frame.columns[1:])

            def means(frame: pd.DataFrame = frame, names: list[str] = names) -> object:
                return frame.groupby("unit")[names].mean()

            def study(frame: pd.DataFrame = frame) -> object:
                return rox.Study(asked, employee=frame, by="unit")

            base, ours = map(min, zip(*((seconds(means), seconds(study)) for _ in range(TURNS)), strict=True))
            share = peak(study) / int(frame.memory_usage(deep=True).sum())
            print(f"{missing:7.0%}  {key:5} {base:11.3f} s {ours:9.3f} s  {ours / base:6.2f}  {share:14.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
