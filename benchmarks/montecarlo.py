"""Bias, coverage and false alarms of method "sem" in simulated worlds whose truth is known, with Monte-Carlo errors.

    python benchmarks/montecarlo.py [--replications 1000] [--missing-replications 500] [--n 100 300 1000]

A chain of three constructs with four items each; the model that is fitted is the true one, and its direct edge from the
first construct to the last is truly 0. Answers are continuous (normal), continuous with heavy tails (multivariate t, 8
degrees of freedom), or in 5 points (shares 5, 15, 20, 30, 30 %, so skewed); complete, or with 20 % missing at random in
all items but the first, more of them where the first item is high. Every world is drawn from its own seed, so results
do not depend on the number of processes. Prints a markdown table; ± is one Monte-Carlo standard error.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes are what works side by side

import numpy as np  # noqa: E402 - after the threads are set
import pandas as pd  # noqa: E402

import roxmodel as rox  # noqa: E402

SEED = 20_240_611
CONSTRUCTS = ("influencers", "pride", "behaviours")
EDGES = {("influencers", "pride"): 0.5, ("pride", "behaviours"): 0.5, ("influencers", "behaviours"): 0.0}
TOTAL = 0.25
LOADINGS = (0.80, 0.75, 0.70, 0.65)  # standardised; constructs and answers have variance 1, so edges need no unit
CUTS = (-1.6449, -0.8416, -0.2533, 0.5244)
TAILS = 8
ITEMS = [f"{name[:3]}{k}" for name in CONSTRUCTS for k in range(1, 5)]
MODEL = "\n".join(
    [f"{name} =~ " + " + ".join(f"{name[:3]}{k}" for k in range(1, 5)) for name in CONSTRUCTS]
    + ["pride ~ influencers", "behaviours ~ influencers + pride"]
)
ESTIMATORS: dict[tuple[str, float], tuple[Literal["ML", "MLR", "DWLS"], ...]] = {
    ("continuous", 0.0): ("ML", "MLR"),
    ("heavy tails", 0.0): ("ML", "MLR"),
    ("5 points", 0.0): ("ML", "MLR", "DWLS"),
    ("continuous", 0.2): ("ML", "MLR"),
    ("heavy tails", 0.2): ("ML", "MLR"),
    ("5 points", 0.2): ("ML", "MLR"),
}
HEAD = (
    "answers", "missing", "n", "estimator", "fits", "edges: bias %", "total effect: bias %", "loadings: bias %",
    "edges: coverage %", "total effect: coverage %", "false alarms: edge %", "false alarms: model %",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of conditions; `number` enters the seeds."""

    number: int
    answers: str
    missing: float
    n: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one fit said: relative biases, whether intervals held the truth, whether tests cried wolf.

    `usable` is False where there was no estimate or standard error; the other fields are then meaningless.
    """

    usable: bool
    admissible: bool = False
    edges: float = np.nan
    total: float = np.nan
    loadings: float = np.nan
    edges_held: float = np.nan
    total_held: float = np.nan
    edge_alarm: float = np.nan
    model_alarm: float = np.nan


def world(cell: Cell, replication: int) -> pd.DataFrame:
    """Answers of n people, (n, 12)."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, cell.number, replication]))
    n = cell.n
    influencers = rng.standard_normal(n)
    pride = 0.5 * influencers + np.sqrt(0.75) * rng.standard_normal(n)
    behaviours = 0.5 * pride + np.sqrt(0.75) * rng.standard_normal(n)
    loadings = np.array(LOADINGS)
    answers = np.hstack(
        [np.outer(eta, loadings) + np.sqrt(1 - loadings**2) * rng.standard_normal((n, 4))
         for eta in (influencers, pride, behaviours)]
    )  # fmt: skip
    if cell.answers == "heavy tails":
        answers *= np.sqrt((TAILS - 2) / rng.chisquare(TAILS, (n, 1)))
    if cell.answers == "5 points":
        answers = 1.0 + np.searchsorted(CUTS, answers)
    if cell.missing:
        first = (answers[:, :1] - answers[:, :1].mean()) / answers[:, :1].std()
        chance = np.minimum(cell.missing * 2.0 / (1.0 + np.exp(-0.9 * first)), 1.0)
        holes = rng.random(answers.shape) < chance
        holes[:, 0] = False
        answers[holes] = np.nan
    return pd.DataFrame(answers, columns=ITEMS)


def judge(fit: rox.Fit, estimator: str) -> Found:
    """Lay one fit beside the truth."""
    edges = fit.edges().set_index(["cause", "effect"])
    truth = np.array([EDGES[pair] for pair in edges.index])
    estimate, low, high, p = (edges[name].to_numpy() for name in ("estimate", "ci_low", "ci_high", "p"))
    total = fit.effects("influencers", "behaviours").iloc[-1]
    table = fit.parameters()
    loadings = table.loc[table["kind"] == "loading", "standardized"].to_numpy()
    pvalue = fit.indices()["pvalue" if estimator == "ML" else "pvalue_scaled"]
    if not (fit.converged and np.isfinite([*low, *high, total["ci_low"], total["ci_high"], pvalue]).all()):
        return Found(usable=False)
    there = truth != 0.0
    return Found(
        usable=True,
        admissible=fit.admissible,
        edges=float(np.mean(estimate[there] / truth[there] - 1.0)),
        total=float(total["estimate"] / TOTAL - 1.0),
        loadings=float(np.mean(loadings / np.tile(LOADINGS, 3) - 1.0)),
        edges_held=float(np.mean((low <= truth) & (truth <= high))),
        total_held=float(total["ci_low"] <= TOTAL <= total["ci_high"]),
        edge_alarm=float(p[~there][0] < 0.05),
        model_alarm=float(pvalue < 0.05),
    )


def replicate(task: tuple[Cell, int]) -> dict[str, Found]:
    """One world, by every estimator."""
    cell, replication = task
    model, rows = rox.RoxModel.from_lavaan(MODEL), world(cell, replication)
    found: dict[str, Found] = {}
    for estimator in ESTIMATORS[cell.answers, cell.missing]:
        options: dict[str, Any] = {"missing": "fiml"} if cell.missing else {}
        if estimator == "DWLS":
            options["ordered"] = True
        try:
            found[estimator] = judge(rox.fit(model, rows, method="sem", estimator=estimator, **options), estimator)
        except rox.RoxError:
            found[estimator] = Found(usable=False)
    return found


def shown(values: Sequence[float]) -> str:
    """Mean in per cent and its Monte-Carlo standard error."""
    own = 100.0 * np.array(values)
    return f"{own.mean():.1f} ± {own.std(ddof=1) / np.sqrt(len(own)):.1f}"


def line(cell: Cell, estimator: str, found: Sequence[Found]) -> str:
    """One row of the table."""
    good = [own for own in found if own.usable]
    lost, odd = len(found) - len(good), sum(not own.admissible for own in good)
    fits = f"{len(found)}" + (f", {lost} failed" if lost else "") + (f", {odd} at a bound" if odd else "")
    names = ("edges", "total", "loadings", "edges_held", "total_held", "edge_alarm", "model_alarm")
    called = estimator + (" (FIML)" if cell.missing else "")
    values = [shown([getattr(own, name) for own in good]) for name in names]
    return "| " + " | ".join([cell.answers, f"{100 * cell.missing:.0f} %", f"{cell.n:,}", called, fits, *values]) + " |"


def cells(sizes: Sequence[int]) -> Iterator[Cell]:
    for number, ((answers, missing), n) in enumerate(itertools.product(ESTIMATORS, (100, 300, 1000))):
        if n in sizes:
            yield Cell(number, answers, missing, n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=1_000, help="of worlds with complete answers")
    parser.add_argument("--missing-replications", type=int, default=500, help="of worlds with missing answers")
    parser.add_argument("--n", type=int, nargs="+", default=(100, 300, 1000), choices=(100, 300, 1000))
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    start = time.perf_counter()
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    with ProcessPoolExecutor(given.processes) as pool:
        for cell in cells(given.n):
            count = given.missing_replications if cell.missing else given.replications
            found = list(pool.map(replicate, [(cell, k) for k in range(count)], chunksize=10))
            for estimator in found[0]:
                print(line(cell, estimator, [own[estimator] for own in found]), flush=True)
    spent = (time.perf_counter() - start) / 60
    print(
        f"\nSeed {SEED}; {spent:.0f} minutes in {given.processes} processes; Python {platform.python_version()}, "
        f"numpy {np.__version__}, roxmodel {rox.__version__}."
    )


if __name__ == "__main__":
    main()
