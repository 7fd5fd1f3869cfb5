"""Make the rows and moments that the SEM engine is compared on; run once, the files are committed.

``python tests/reference/sem/make_data.py [folder of the public rows]`` writes ``data/*.csv`` (simulated, seeded) and,
where the folder with the rows of lavaan's two textbook data sets is given, ``data/*_moments.json`` (moments only:
other people's rows stay where they are).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent / "data"
SEED = 20_240_607
CONSTRUCTS = ("inf", "pri", "beh", "val", "loy")
ITEMS = [f"{construct}{k}" for construct in CONSTRUCTS for k in (1, 2, 3, 4)]
LOADINGS = np.array([1.0, 0.9, 0.8, 1.1])
HOLES = 0.2
CUTS = (-1.2, -0.5, 0.3, 1.1)

TEXTBOOK = {
    "holzinger_swineford": (
        "lavaan__HolzingerSwineford1939.csv",
        [f"x{k}" for k in range(1, 10)],
        "school",
        (
            "Holzinger, K. J. & Swineford, F. (1939), nine of the tests of 301 children of two schools; "
            "moments of the data set HolzingerSwineford1939 of the R package lavaan."
        ),
    ),
    "political_democracy": (
        "lavaan__PoliticalDemocracy.csv",
        [f"y{k}" for k in range(1, 9)] + ["x1", "x2", "x3"],
        None,
        (
            "Bollen, K. A. (1989), Structural Equations with Latent Variables: 75 developing countries; "
            "moments of the data set PoliticalDemocracy of the R package lavaan."
        ),
    ),
}


def skewed(rng: np.random.Generator, n: int, df: float) -> np.ndarray:
    """Chi-square disturbances, standardised."""
    draws: np.ndarray = (rng.chisquare(df, n) - df) / np.sqrt(2.0 * df)
    return draws


def chain(rng: np.random.Generator, n: int = 300) -> pd.DataFrame:
    """Five constructs in a chain with three skip edges, two regions, thirty branches, skewed disturbances."""
    region = np.where(np.arange(n) % 5 < 3, "north", "south")
    south = (region == "south").astype(float)
    branch = rng.integers(0, 30, n)  # unequal sizes
    shared = rng.normal(0.0, 0.35, (30, 3))[branch]
    tenure = rng.gamma(3.0, 1.5, n)
    size = 0.3 * tenure + rng.normal(0.0, 1.0, n)
    inf = 0.15 * (tenure - 4.5) + 0.2 * size + 0.85 * rng.normal(0.0, 1.0, n) + shared[:, 0] + 0.2 * south
    pri = 0.55 * inf + 0.7 * skewed(rng, n, 4.0) + shared[:, 1]
    beh = 0.3 * inf + (0.45 - 0.15 * south) * pri + 0.6 * rng.normal(0.0, 1.0, n)
    val = 0.25 * pri + 0.5 * beh + 0.6 * skewed(rng, n, 3.0) + shared[:, 2]
    loy = 0.2 * beh + 0.6 * val + 0.6 * rng.standard_t(6, n)
    constructs = np.column_stack([inf, pri, beh, val, loy])
    noise = np.where(rng.random((n, 20)) < 0.9, 0.6, 1.2) * rng.normal(0.0, 1.0, (n, 20))
    noise[:, [5, 13, 17]] += 0.35 * rng.normal(0.0, 1.0, (n, 1))  # pri2, val2, loy2 share what the model denies
    wide = np.sqrt(8.0 / rng.chisquare(10.0, (n, 1)))  # heavy tails of the person, over all answers
    means = 4.0 + 0.1 * np.arange(20)
    items = means + wide * (np.kron(constructs, LOADINGS) + noise)
    items[:, 6] += 0.35 * south  # pri3 has another intercept in the south: scalar invariance fails a little
    table = pd.DataFrame(np.round(items, 6), columns=ITEMS)
    return table.assign(
        tenure=np.round(tenure, 6),
        size=np.round(size, 6),
        region=region,
        branch=[f"b{k:02d}" for k in branch],
        w=np.round(np.exp(rng.normal(0.0, 0.45, n) + 0.1 * inf), 6),
        freq=1 + rng.binomial(3, 0.3, n),
    )


def with_holes(rng: np.random.Generator, rows: pd.DataFrame) -> pd.DataFrame:
    """Every item but inf1 has holes, more of them where inf1 is high: missing at random."""
    driver = (rows["inf1"] - rows["inf1"].mean()) / rows["inf1"].std()
    chance = HOLES * 2.0 / (1.0 + np.exp(-0.9 * driver.to_numpy()))
    holed = rows.copy()
    for item in ITEMS[1:]:
        holed.loc[rng.random(len(rows)) < chance, item] = np.nan
    return holed


def in_three_versions(rows: pd.DataFrame, where: np.ndarray) -> pd.DataFrame:
    """Everybody is asked the first item of each construct and one more: the others never meet (matrix sampling)."""
    split = rows.copy()
    for place, item in enumerate(ITEMS):
        number = place % 4
        if number:
            split.loc[where & (np.arange(len(rows)) % 3 != number - 1), item] = np.nan
    return split


def in_five_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Cut every item at the same standardised places: answers 1 to 5."""
    answers = rows.copy()
    for item in ITEMS:
        z = (rows[item] - rows[item].mean()) / rows[item].std()
        answers[item] = 1 + np.searchsorted(CUTS, z.to_numpy())
    return answers


def loop(rng: np.random.Generator, n: int = 500) -> pd.DataFrame:
    """Two outcomes that act on each other, each with two instruments; also as three items each."""
    x = rng.multivariate_normal(np.zeros(4), 0.7 * np.eye(4) + 0.3, n)
    disturbance = rng.multivariate_normal(np.zeros(2), [[1.0, 0.3], [0.3, 1.0]], n)
    push = np.column_stack([0.6 * x[:, 0] + 0.4 * x[:, 1], 0.5 * x[:, 2] + 0.5 * x[:, 3]]) + disturbance
    back = np.linalg.inv(np.eye(2) - np.array([[0.0, 0.3], [0.4, 0.0]]))
    y = push @ back.T
    columns = {f"x{k + 1}": x[:, k] for k in range(4)} | {"y1": y[:, 0], "y2": y[:, 1]}
    for name, outcome in (("a", y[:, 0]), ("b", y[:, 1])):
        for k, loading in enumerate((1.0, 0.8, 1.2)):
            columns[f"{name}{k + 1}"] = 2.0 + loading * outcome + 0.7 * rng.normal(0.0, 1.0, n)
    return pd.DataFrame(columns).round(6)


ANSWERS = {  # item: construct it measures, loading, cuts of the normal variable behind it
    "e1": ("eng", 1.0, (-0.4,)),
    "e2": ("eng", 0.9, (-1.1, 0.1, 1.2)),
    "e3": ("eng", 0.8, (-1.8, -1.2, -0.5, 0.2, 0.9, 1.6)),
    "e4": ("eng", 1.1, (-1.3, -0.4, 0.6, 1.5)),
    "l1": ("loy", 1.0, (-0.9, 0.0, 0.8)),
    "l2": ("loy", 0.9, (0.6,)),
    "l3": ("loy", 1.2, (-1.6, -0.9, -0.3, 0.4, 1.0, 1.9)),
}


def with_covariates(rng: np.random.Generator, n: int = 500) -> pd.DataFrame:
    """Two constructs of ordinal items and three outcomes, caused by binary covariates of 35 and 12 %, and by age."""
    female, south = (rng.random(n) < share for share in (0.35, 0.12))
    age = np.round(rng.gamma(9.0, 4.5, n), 1)
    eng = 0.5 * female + 0.02 * (age - 40.0) + rng.normal(0.0, 0.8, n)
    loy = 0.5 * eng - 0.4 * female + 0.3 * south + rng.normal(0.0, 0.7, n)
    constructs = {"eng": eng, "loy": loy}
    columns = {}
    for item, (construct, loading, cuts) in ANSWERS.items():
        columns[item] = 1 + np.searchsorted(cuts, loading * constructs[construct] + rng.normal(0.0, 0.7, n))
    columns["buy"] = 1 + np.searchsorted((-0.8, 0.2, 1.1), 0.4 * eng + 0.3 * female + rng.normal(0.0, 0.9, n))
    columns["stay"] = 1 * (0.5 * eng - 0.6 * south + rng.normal(0.0, 0.9, n) > -0.5)
    columns["c1"] = np.round(5.0 + 2.0 * loy + rng.normal(0.0, 1.2, n), 4)
    columns["spend"] = np.round(10.0 + 1.2 * loy + 0.05 * age - 0.8 * south + rng.normal(0.0, 1.0, n), 4)
    return pd.DataFrame(columns).assign(female=1 * female, south=1 * south, age=age)


def moments(rows: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Count, means and covariances (divisor n - 1)."""
    table = rows[names]
    return {
        "n": len(table),
        "mean": table.mean().round(12).tolist(),
        "covariance": table.cov().round(12).to_numpy().tolist(),
    }


def textbook(folder: Path) -> None:
    for name, (file, names, group, source) in TEXTBOOK.items():
        rows = pd.read_csv(folder / file)
        content: dict[str, Any] = {"source": source, "names": names, "all": moments(rows, names)}
        if group is not None:
            parts = rows.groupby(group, sort=False)
            content["group"] = group
            content["groups"] = {str(label): moments(part, names) for label, part in parts}
        text = json.dumps(content, indent=1).replace("\n    ", " ").replace("\n   ]", " ]")
        (HERE / f"{name}_moments.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    HERE.mkdir(exist_ok=True)
    rows_rng, holes_rng, loop_rng, given_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(SEED).spawn(4))
    rows = chain(rows_rng)
    tables = {
        "chain": rows,
        "chain_missing": with_holes(holes_rng, rows),
        "chain_split": in_three_versions(rows, np.ones(len(rows), dtype=bool)),
        "chain_split_north": in_three_versions(rows, (rows["region"] == "north").to_numpy()),
        "chain_ordinal": in_five_points(rows),
        "nonrecursive": loop(loop_rng),
        "ordinal_covariates": with_covariates(given_rng),
    }
    for name, table in tables.items():
        table.to_csv(HERE / f"{name}.csv", index=False)
    if len(sys.argv) > 1:
        textbook(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
