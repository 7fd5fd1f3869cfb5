"""How long one survey takes to become moments, beside pandas' mean by unit of the same frame.

Run with ``python benchmarks/moments.py [rows] [items] [units]``. Times are the best of three; extra memory is the
peak that numpy asked for beyond the user's frame, as a share of the frame.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd

from roxmodel.moments.condense import Design
from roxmodel.moments.linked import SourceMoments


def best_of_three(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_share(work: Callable[[], object], table: int) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / table


def survey(rows: int, items: int, units: int, missing: float, ordered: bool) -> pd.DataFrame:
    """Return a frame whose columns are stretches of memory of their own, as after reading a file."""
    rng = np.random.default_rng(0)
    columns = {}
    for k in range(items):
        columns[f"item{k}"] = rng.normal(4.0, 1.0, rows)
        columns[f"item{k}"][rng.random(rows) < missing] = np.nan
    unit = rng.integers(0, units, rows)
    return pd.DataFrame(columns).assign(unit=np.sort(unit) if ordered else unit)


def interleaved(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the same frame with its columns interleaved in memory, as pandas' own operations often leave them."""
    items = frame.drop(columns="unit")
    table = pd.DataFrame(np.ascontiguousarray(items.to_numpy()), columns=items.columns, copy=False)
    return table.assign(unit=frame["unit"])


def row(frame: pd.DataFrame, units: int) -> str:
    names = [name for name in frame.columns if name != "unit"]
    columns = [frame[name].to_numpy() for name in names]
    design = Design(frame["unit"].to_numpy(), range(units))
    mean = best_of_three(lambda: frame.groupby("unit").agg("mean"))
    ours = best_of_three(lambda: SourceMoments.from_columns("employee", names, columns, design))
    peak = peak_share(
        lambda: SourceMoments.from_columns("employee", names, columns, design), 8 * len(frame) * len(names)
    )
    return f"{mean:16.3f}{ours:11.3f}{ours / mean:7.1f}{peak:13.2f}x"


def main(rows: int = 1_000_000, items: int = 20, units: int = 5_000) -> None:
    print(f"{rows:,} rows x {items} items in {units:,} units")
    print(f"order   missing  columns      {'groupby mean s':>16}{'moments s':>11}{'ratio':>7}{'extra memory':>14}")
    for ordered in (False, True):
        for missing in (0.0, 0.1):
            frame = survey(rows, items, units, missing, ordered)
            head = f"{'sorted' if ordered else 'random'}  {missing:7.0%}"
            print(f"{head}  {'apart':13}{row(frame, units)}")
            print(f"{head}  {'interleaved':13}{row(interleaved(frame), units)}", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
