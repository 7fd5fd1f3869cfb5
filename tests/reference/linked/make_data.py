"""Make the answers that method "linked" is compared on; run once, the files are committed.

``python tests/reference/linked/make_data.py`` writes to ``data/``:

- ``stacked.csv.gz``, ``stacked_holes.csv.gz``: simulated branches, employees and customers in rows of one table, the
  items of the other survey empty. The second with a tenth of the answers missing completely at random, a tenth of the
  branches without customers, and a figure of the branch that four do not have.
- ``twolevel_holes.csv.gz``: which answers of lavaan's data set Demo.twolevel are taken away (row and item from 0), here
  completely at random; ``twolevel_mar.csv.gz``: the more often the higher the same person's y1 and y4, which stay.
  Holes only: other people's rows stay where they are, and the second needs them (its folder is the argument).
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import roxmodel as rox

HERE = Path(__file__).parent / "data"
UNITS, ICC, OWN = 60, 0.25, 0.2  # much between units, so that no variance ends at 0
ANSWERS = (12, 22)
UNKNOWN = 4  # branches whose figure nobody knows
ITEMS = [f"y{k}" for k in range(1, 7)]
ROWS = 2_500  # of Demo.twolevel


def stacked(seed: int, items: list[str], holes: float = 0.0, figure: bool = False) -> pd.DataFrame:
    """Employees and customers of 60 branches under each other, rounded to three digits."""
    world = rox.datasets.make_world(
        UNITS, seed=seed, scale="continuous", icc=ICC, item_residual=OWN, employees=ANSWERS, customers=ANSWERS,
        missing=holes, without_customers=holes,
    )  # fmt: skip
    surveys = []
    for name, frame in {"employee": world.employee, "customer": world.customer}.items():
        own = [item for item in items if item in frame]
        answered = frame[frame[own].notna().any(axis=1)]
        surveys.append(answered[["branch", *own]].assign(source=name))
    table = pd.concat(surveys, ignore_index=True).sort_values(["branch", "source"], kind="stable", ignore_index=True)
    if figure:
        revenue = (
            world.unit.set_index("branch")["revenue"].sort_index() / 50
        )  # near an answer's size, for lavaan's sake
        revenue.iloc[np.random.default_rng(seed).choice(UNITS, UNKNOWN, replace=False)] = np.nan
        table["revenue"] = table["branch"].map(revenue)
    return table[["branch", "source", *items, *(["revenue"] if figure else [])]].round(3)


def holes_at_random(seed: int) -> pd.DataFrame:
    """Fifteen of a hundred answers."""
    row, item = np.nonzero(np.random.default_rng(seed).random((ROWS, len(ITEMS))) < 0.15)
    return pd.DataFrame({"row": row, "item": item})


def holes_by_answers(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """About fifteen of a hundred, all where y1 (of y2, y3) or y4 (of y5, y6) is high."""
    rng = np.random.default_rng(seed)
    gone = np.zeros((len(rows), len(ITEMS)), dtype=bool)
    for seen, others in ((0, (1, 2)), (3, (4, 5))):
        own = rows[ITEMS[seen]]
        chance = 0.45 / (1 + np.exp(-2 * (own - own.mean()) / own.std()))
        for item in others:
            gone[:, item] = rng.random(len(rows)) < chance
    row, item = np.nonzero(gone)
    return pd.DataFrame({"row": row, "item": item})


def write(name: str, table: pd.DataFrame) -> None:
    """As gzipped csv that is the same whenever it is written."""
    text = table.to_csv(index=False, lineterminator="\n").encode()
    (HERE / f"{name}.csv.gz").write_bytes(gzip.compress(text, mtime=0))


def main() -> None:
    """Write all that can be written."""
    HERE.mkdir(exist_ok=True)
    write("stacked", stacked(7, ["pri1", "pri2", "pri3", "val1", "val2", "val3", "loy1", "loy2", "loy3"]))
    names = ["inf1", "inf2", "inf3", "beh1", "beh2", "beh3", "val1", "val2", "val3"]
    write("stacked_holes", stacked(3, names, holes=0.1, figure=True))
    write("twolevel_holes", holes_at_random(20_240_612))
    if len(sys.argv) > 1:
        rows = pd.read_csv(Path(sys.argv[1]) / "lavaan__Demo.twolevel.csv")
        write("twolevel_mar", holes_by_answers(rows, 20_240_613))


if __name__ == "__main__":
    main()
