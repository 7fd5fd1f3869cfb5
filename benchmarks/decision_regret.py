"""What a decision is worth that rests on an estimate: share of the oracle's net value, and promise against truth.

    python benchmarks/decision_regret.py --out FOLDER [--cells thin drawn] [--worlds 250] [--processes 1] [--report]

Every world has known effects. Forty candidate actions are drawn (construct, points, cost; the cost knows nothing of
what the action is truly worth), and a budget. Four decision makers spend it:

- ``correlation``: drivers ranked by the size of the correlation of unit means with revenue; the cheapest points of the
  best driver first, then of the next; what does not pay by the simple regression of unit means is left out.
- ``path``: regressions of unit means (method "path"), the best plan at its expected values.
- ``plain``: the linked fit, the best plan at its expected values (``shrink=False``).
- ``linked``: the linked fit with `rox.optimize` as it comes.

``captured`` is the true net value of what was bought over that of the plan an oracle buys who knows the true effects,
both summed over the worlds; ``promise`` is promised over true net value, less 1. ± is one Monte-Carlo standard error,
for differences of paired worlds. One line a world in FOLDER/<cell>.jsonl: run again and it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes are what works side by side

import numpy as np  # noqa: E402 - after the threads are set

import roxmodel as rox  # noqa: E402

FORM = 1  # of the records; lines of another form are not read
DRIVERS = ("influencers", "pride", "behaviours", "value", "loyalty")
TRUE_EDGES = {
    "influencers -> pride": 0.5,
    "influencers -> behaviours": 0.25,
    "pride -> behaviours": 0.4,
    "behaviours -> value": 0.5,
    "value -> loyalty": 0.6,
    "value -> revenue": 20.0,
    "loyalty -> revenue": 40.0,
}
METHODS = ("correlation", "path", "plain", "linked")
CANDIDATES, DRAWS = 40, 2_000
TYPICAL = 25.0  # kEUR a point, unit and wave: what a point costs in the middle


@dataclass(frozen=True, slots=True)
class Cell:
    """Conditions; `number` enters the seeds. `effects`: those of the world, drawn anew in each, or many of them nil."""

    name: str
    number: int
    units: int = 150
    effects: str = "world"
    tight: bool = True
    design: Mapping[str, Any] = field(default_factory=dict)


_THIN = {"employees": (4, 12), "customers": (8, 40)}
_FULL = {"employees": (8, 40), "customers": (8, 40)}
CELLS = {
    cell.name: cell
    for cell in (
        Cell("thin", 11, design=_THIN),
        Cell("rich", 12, design=_FULL),
        Cell("loose", 13, design=_THIN, tight=False),
        Cell("drawn", 14, design=_THIN, effects="drawn"),
        Cell("sparse", 15, design=_THIN, effects="sparse"),
        Cell("confounded", 16, design=_THIN | {"confounding": 0.6}, effects="drawn"),
        Cell("small", 17, units=50, design=_FULL),
    )
}


def effects_of(cell: Cell, seed: int) -> dict[str, float]:
    """True edges: 0 to 2 times those of the world, or nil, itself or turned round (then 0.5 to 1.5 times)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    while True:
        if cell.effects == "drawn":
            found = {edge: float(value * rng.uniform(0, 2)) for edge, value in TRUE_EDGES.items()}
        else:
            turns = rng.choice([0.0, 0.0, 1.0, 1.0, -0.5], len(TRUE_EDGES)) * rng.uniform(0.5, 1.5, len(TRUE_EDGES))
            found = {edge: float(v * turn) for (edge, v), turn in zip(TRUE_EDGES.items(), turns, strict=True)}
        try:
            truth = rox.datasets.make_world(2, seed=0, scale="continuous", effects=found, **cell.design).truth
        except rox.RoxError:
            continue
        left = (truth.disturbances / np.diagonal(truth.covariance))[: len(DRIVERS)]
        if left.min() > 0.2:  # a fifth of every construct stays unexplained
            return found


def proposals(cell: Cell, seed: int) -> tuple[list[rox.Intervention], float]:
    """Candidates in kEUR a wave, and the budget: a third to a half of what they cost, or a quarter of that."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    drivers = rng.integers(0, len(DRIVERS), CANDIDATES)
    points = rng.uniform(0.1, 0.5, CANDIDATES)
    cost = cell.units * points * TYPICAL * np.exp(0.7 * rng.standard_normal(CANDIDATES))
    budget = rng.uniform(1 / 3, 1 / 2) * cost.sum() * (0.27 if cell.tight else 1.0)
    return [
        rox.Intervention(name=f"{i} {DRIVERS[d]}", shift={DRIVERS[d]: float(s)}, cost=float(c))
        for i, (d, s, c) in enumerate(zip(drivers, points, cost, strict=True))
    ], float(budget)


def by_correlation(world: rox.datasets.World, given: list[rox.Intervention], budget: float) -> tuple[list[str], float]:
    """Best driver first, its cheapest points first, as long as they pay by the simple regression and money is left."""
    means = world.employee.groupby("branch").mean().join(world.customer.groupby("branch").mean())
    means = means.join(world.unit.set_index("branch"))
    score = {c.name: means[list(c.item_names)].mean(axis=1) for c in world.model.constructs}
    revenue, units = score["revenue"], len(world.unit)
    slope = {d: revenue.cov(score[d]) / score[d].var() for d in DRIVERS}
    strength = {d: abs(revenue.corr(score[d])) for d in DRIVERS}
    left, bought, promised = budget, [], 0.0

    def key(one: rox.Intervention) -> tuple[float, float]:
        ((driver, points),) = one.shift.items()
        return -strength[driver], one.cost / points

    for one in sorted(given, key=key):
        ((driver, points),) = one.shift.items()
        net = slope[driver] * points * units - one.cost
        if net > 0 and one.cost <= left:
            bought.append(one.name)
            left -= one.cost
            promised += net
    return bought, promised


def one_world(task: tuple[str, int]) -> dict[str, Any]:
    """One record: for each decision maker what was promised, what it is truly worth, what was spent."""
    cell, number = CELLS[task[0]], task[1]
    seed = cell.number * 1_000_000 + number
    options = dict(cell.design)
    if cell.effects != "world":
        options["effects"] = effects_of(cell, seed)
    world = rox.datasets.make_world(cell.units, seed=seed, scale="continuous", **options)
    given, budget = proposals(cell, seed)
    true = {
        one.name: world.truth.total(next(iter(one.shift)), "revenue") * next(iter(one.shift.values())) * cell.units
        - one.cost
        for one in given
    }
    asked = {"budget": budget, "horizon": 1, "draws": DRAWS, "seed": seed, "value": {"revenue": 1.0}, "doubtful": True}
    study = world.study()
    linked, path = rox.fit(world.model, study), rox.fit(world.model, study, method="path")
    plans = {
        "path": rox.optimize(path, given, shrink=False, **asked),
        "plain": rox.optimize(linked, given, shrink=False, **asked),
        "linked": rox.optimize(linked, given, **asked),
    }
    bought = {name: (plan.chosen, float(plan.promised["mean"])) for name, plan in plans.items()}
    bought["correlation"] = by_correlation(world, given, budget)
    oracle = _oracle(given, true, budget)
    costs = {one.name: one.cost for one in given}
    return {
        "form": FORM,
        "world": number,
        "oracle": sum(true[name] for name in oracle),
        **{
            method: [promised, sum(true[n] for n in names), sum(costs[n] for n in names)]
            for method, (names, promised) in bought.items()
        },
    }


def _oracle(given: list[rox.Intervention], true: Mapping[str, float], budget: float) -> list[str]:
    """The best plan at the true values, by an integer program of its own."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    names = [one.name for one in given if true[one.name] > 0]
    if not names:
        return []
    costs = {one.name: one.cost for one in given}
    found = milp(
        -np.array([true[name] for name in names]),
        constraints=LinearConstraint(np.array([[costs[name] for name in names]]), -np.inf, budget),
        bounds=Bounds(0, 1),
        integrality=np.ones(len(names)),
        options={"mip_rel_gap": 1e-6},
    )
    return [name for name, taken in zip(names, found.x, strict=True) if taken > 0.5]


def run(cell: Cell, worlds: int, out: Path, processes: int) -> None:
    """Do the worlds of a cell that are not there yet."""
    file = out / f"{cell.name}.jsonl"
    done = {record["world"] for record in read(file)}
    tasks = [(cell.name, number) for number in range(worlds) if number not in done]
    started = time.perf_counter()
    cut = file.exists() and not file.read_bytes().endswith(b"\n")
    with ProcessPoolExecutor(processes) as pool, file.open("a", encoding="utf-8") as stream:
        stream.write("\n" if cut else "")
        for record in pool.map(one_world, tasks):
            stream.write(json.dumps(record) + "\n")
            stream.flush()
    if tasks:
        print(f"{cell.name}: {len(tasks)} worlds in {time.perf_counter() - started:.0f} s", flush=True)


def read(file: Path) -> list[dict[str, Any]]:
    """The records of a cell."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # cut off by an interruption
            continue
    return [record for record in found if record["form"] == FORM]


def report(cell: Cell, records: list[dict[str, Any]]) -> None:
    """The table of a cell."""
    oracle = np.array([record["oracle"] for record in records])
    got = {method: np.array([record[method] for record in records]) for method in METHODS}
    count = len(records)
    kind = "tight" if cell.tight else "loose"
    print(
        f"\n{cell.name}: {count} worlds, {cell.units} units, effects {cell.effects}, {kind} budget, {dict(cell.design)}"
    )
    print(f"{'':12s} {'captured':>16s} {'linked is better by':>20s} {'promise':>16s}")
    best = got["linked"][:, 1]
    for method in METHODS:
        promised, true = got[method][:, 0], got[method][:, 1]
        share = true.sum() / oracle.sum()
        error = (true - share * oracle).std(ddof=1) / oracle.mean() / np.sqrt(count)
        gain = (best - true) / oracle.mean()
        more = promised.sum() / true.sum() - 1
        doubt = (promised - (1 + more) * true).std(ddof=1) / true.mean() / np.sqrt(count)
        print(
            f"{method:12s} {share:8.1%} ± {error:5.1%} {gain.mean():12.1%} ± {gain.std(ddof=1) / np.sqrt(count):5.1%} "
            f"{more:+8.1%} ± {doubt:5.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--worlds", type=int, default=250)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="tables only, nothing is run")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for cell in (CELLS[name] for name in given.cells):
        if not given.report:
            run(cell, given.worlds, given.out, given.processes)
        records = read(given.out / f"{cell.name}.jsonl")[: given.worlds]
        if len(records) > 1:
            report(cell, records)
    print(f"\nnumpy {np.__version__}, roxmodel {rox.__version__}.")


if __name__ == "__main__":
    main()
