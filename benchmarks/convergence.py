"""Does every fit arrive? Thousands of worlds, each kind of likelihood, and what the optimiser says at its end.

    python benchmarks/convergence.py [--worlds 5000] [--families observed latent ...] [--seconds 600]

One line a family: worlds fitted, fits that did not converge, fits with a variance at its bound, bounds that the
likelihood does not push against (a negative gradient: the fit stopped where it could go on), optima beaten by the same
minimisation begun away from its bounds (by more than 1e-7 of F), and, where the model is recursive and saturated,
fits that are not least squares (1e-5). A family stops after its seconds, and says how many worlds it had. Seeds are
0, 1, 2, …: a world that fails can be drawn again by its number.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - after the threads are set
import pandas as pd  # noqa: E402

import roxmodel as rox  # noqa: E402
from roxmodel.errors import RoxError  # noqa: E402
from roxmodel.estimate.latent.both_levels import estimate_jointly  # noqa: E402
from roxmodel.estimate.latent.door import solve_rows  # noqa: E402
from roxmodel.estimate.latent.optimizer import Minimum, lower_bounds, minimise  # noqa: E402
from roxmodel.estimate.latent.sample import GroupSample, Sample, linked_sample  # noqa: E402
from roxmodel.estimate.latent.solve import (  # noqa: E402  # noqa: E402
    given_by_data,
    layouts_of,
    objective_of,
    optimum_of,
    solve_between,
    table_of,
)
from roxmodel.estimate.options import SemOptions  # noqa: E402
from roxmodel.implied.likelihood import Target, cells_of_rows, objective_of_units  # noqa: E402  # noqa: E402
from roxmodel.implied.starts import start_values  # noqa: E402
from roxmodel.spec.parameters import ParameterTable  # noqa: E402

BEATEN = 1e-7  # of half the discrepancy per observation
SQUARES = 1e-5
OBSERVED = "c1 ~ a1 + b1\nb1 ~ a1"
CHAIN = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nB ~ A\nC ~ A + B"
SHORT = "A =~ a1 + a2\nB =~ b1 + b2\nC =~ c1 + c2\nB ~ A\nC ~ A + B"
ITEMS = [f"{c}{k}" for c in "abc" for k in (1, 2, 3)]


@dataclass
class Tally:
    """What was seen of one family."""

    name: str
    worlds: int = 0
    refused: int = 0
    lost: list[int] = field(default_factory=list)
    bound: int = 0
    unpushed: list[int] = field(default_factory=list)
    beaten: list[int] = field(default_factory=list)
    squares: list[int] | None = None

    def line(self, seconds: float) -> str:
        """One row of the table."""
        squares = "-" if self.squares is None else str(len(self.squares))
        failed = sorted({*self.lost, *self.unpushed, *self.beaten, *(self.squares or [])})[:8]
        return (
            f"{self.name:22s} {self.worlds:7d} {self.refused:7d} {len(self.lost):8d} {self.bound:7d} "
            f"{len(self.unpushed):9d} {len(self.beaten):7d} {squares:>8s} {seconds:7.0f}"
            + (f"  seeds {', '.join(map(str, failed))}" if failed else "")
        )


Family: TypeAlias = Callable[[Tally, int], None]


def answers(seed: int, n: int, level: float, holes: float = 0.0) -> np.ndarray:
    """Three constructs in a chain with three items each, means of `level` to twice `level`."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    c = 0.3 * a + 0.4 * b + rng.normal(size=n)
    rows = np.repeat(np.column_stack([a, b, c]), 3, axis=1) * rng.uniform(0.7, 1.3, 9) + 0.7 * rng.normal(size=(n, 9))
    rows += level * rng.uniform(1, 2, 9)
    return np.where(rng.random((n, 9)) < holes, np.nan, rows) if holes else rows


def squares(rows: np.ndarray) -> np.ndarray:
    """Least squares of b1 on a1 and of c1 on a1, b1."""
    a, b, c = rows[:, 0], rows[:, 3], rows[:, 6]
    one = np.ones(len(rows))
    first = np.linalg.lstsq(np.column_stack([one, a]), b, rcond=None)[0][1:]
    return np.concatenate([first, np.linalg.lstsq(np.column_stack([one, a, b]), c, rcond=None)[0][1:]])


def group_of(name: str, rows: np.ndarray, scale: np.ndarray) -> GroupSample:
    """What method "sem" makes of the rows of one group."""
    rows = rows / scale
    mean = np.nanmean(rows, axis=0)
    missing = bool(np.isnan(rows).any())
    filled = np.where(np.isnan(rows), mean, rows) - mean
    patterns = cells_of_rows(rows) if missing else None
    target = Target(mean, filled.T @ filled / len(rows))
    return GroupSample(name, float(len(rows)), target, patterns)


def judged(tally: Tally, seed: int, found: Minimum, objective: object, table: ParameterTable) -> None:
    """Write down what one optimum shows."""
    if not found.converged:
        tally.lost.append(seed)
        return
    if not found.bound.any():
        return
    tally.bound += 1
    if (found.expansion.gradient[found.bound] < -1e-9).any():
        tally.unpushed.append(seed)
    lifted = found.theta.copy()
    sizes = np.median(np.abs(found.theta[np.isfinite(lower_bounds(table)) & ~found.bound])) if table.n_free else 1.0
    lifted[found.bound] = 0.3 * sizes
    again = minimise(objective, lifted, lower_bounds(table))  # type: ignore[arg-type]
    if again.converged and again.expansion.value < found.expansion.value - BEATEN:
        tally.beaten.append(seed)


def sem(text: str, n: int, level: float, holes: float = 0.0, **asked: Any) -> Family:
    """A family of method "sem": its starts and its optimiser, without the reading of frames and the tests of fit."""
    model, options = rox.RoxModel.from_lavaan(text), SemOptions(**asked)
    names = ["north", "south"] if options.group else [""]
    table = table_of(model, options, names)
    at = [ITEMS.index(item.name) for item in model.items]
    saturated = text == OBSERVED and not holes and not options.group

    def run(tally: Tally, seed: int) -> None:
        every = answers(seed, n, level, holes)
        rows, scale = every[:, at], np.nanstd(every[:, at], axis=0)
        split = [np.arange(n) % 3 > 0, np.arange(n) % 3 == 0] if options.group else [np.ones(n, dtype=bool)]
        groups = tuple(group_of(name, rows[own], scale) for name, own in zip(names, split, strict=True))
        sample = Sample(tuple(item.name for item in model.items), scale, groups, None, None, None, 0, ())
        layouts = layouts_of(model, table, names, given_by_data(model, table, sample), scale)
        start = start_values(model, table, [(group.name, group.target) for group in groups], scale)[0]
        objective = objective_of(layouts, sample)
        found = optimum_of(layouts, table, sample, start)
        judged(tally, seed, found, objective, table)
        if saturated:
            tally.squares = tally.squares or []
            edges = {(row.right, row.left): found.theta[row.free - 1] for row in table.of("edge")}
            mine = np.array([edges["b1", "a1"], edges["c1", "a1"], edges["c1", "b1"]])
            if not np.allclose(mine, squares(every), atol=SQUARES):
                tally.squares.append(seed)

    return run


def bootstrap(text: str, n: int, level: float, **asked: Any) -> Family:
    """Replicates of the bootstrap: every world counts with its 100 replicates."""
    model = rox.RoxModel.from_lavaan(text)

    def run(tally: Tally, seed: int) -> None:
        frame = pd.DataFrame(answers(seed, n, level), columns=ITEMS)
        found = solve_rows(model, frame, SemOptions(bootstrap=100, seed=seed, progress=False, **asked)).resampling
        if found is None:
            raise ValueError("no replicates")
        tally.worlds += 99
        tally.lost += [seed] * found.failed
        tally.bound += found.bounded

    return run


def linked(units: int, within: str = "pooled") -> Family:
    """A family of method "linked"."""

    def run(tally: Tally, seed: int) -> None:
        world = rox.datasets.make_world(units, seed=seed, scale="continuous", employees=(4, 12), customers=(4, 12))
        study = world.study()
        sample = linked_sample(world.model, study.moments, cells_of(study, world.model) if within != "pooled" else {})
        known = solve_between(world.model, sample)
        if within == "pooled":
            judged(tally, seed, known.found, objective_of_units(known.layout, sample.data), known.table)
            return
        joint = estimate_jointly(world.model, sample, known, within == "model", "marker")
        if not joint.solution.found.converged:
            tally.lost.append(seed)
        tally.bound += bool(joint.solution.found.bound.any())
        if (joint.solution.found.expansion.gradient[joint.solution.found.bound] < -1e-9).any():
            tally.unpushed.append(seed)

    return run


def cells_of(study: rox.Study, model: rox.RoxModel) -> dict[str, object]:
    """Answers by pattern, as the door of the method gives them."""
    found = {}
    for name in model.respondent_sources:
        items = [item.name for c in model.constructs if c.source == name for item in c.items]
        own = study.cells(name, items)
        if own is not None:
            found[name] = own
    return found


FAMILIES: dict[str, Family] = {
    "observed": sem(OBSERVED, 240, 0.0, means=True),
    "observed, far means": sem(OBSERVED, 160, 5.0, means=True),
    "observed, moments": sem(OBSERVED, 160, 5.0),
    "observed, fiml": sem(OBSERVED, 160, 5.0, 0.15, missing="fiml"),
    "latent": sem(CHAIN, 160, 5.0, means=True),
    "latent, small": sem(CHAIN, 60, 0.0),
    "latent, two items": sem(SHORT, 100, 0.0),
    "latent, two, fiml": sem(SHORT, 100, 5.0, 0.15, missing="fiml"),
    "latent, fiml": sem(CHAIN, 160, 5.0, 0.15, missing="fiml"),
    "groups, observed": sem(OBSERVED, 160, 5.0, group="g", equal=("edges", "intercepts")),
    "groups, metric": sem(CHAIN, 160, 5.0, group="g", equal=("loadings",)),
    "groups, scalar": sem(CHAIN, 160, 5.0, group="g", equal=("loadings", "intercepts")),
    "bootstrap, observed": bootstrap(OBSERVED, 160, 5.0, means=True),
    "bootstrap, latent": bootstrap(CHAIN, 100, 5.0, means=True),
    "bootstrap, two items": bootstrap(SHORT, 100, 0.0),
    "linked": linked(50),
    "linked, few units": linked(25),
    "two-level, saturated": linked(40, "saturated"),
    "two-level, model": linked(40, "model"),
}


def family(name: str, worlds: int, seconds: float) -> str:
    """Fit the worlds of one family."""
    tally, began = Tally(name), time.perf_counter()
    for seed in range(worlds):
        if time.perf_counter() - began > seconds or tally.worlds >= worlds:
            break
        tally.worlds += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                FAMILIES[name](tally, seed)
        except RoxError:
            tally.refused += 1
    return tally.line(time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=np.inf, help="most for one family")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    asked = parser.parse_args()
    print(
        f"{'family':22s} {'worlds':>7s} {'refused':>7s} {'no optim':>8s} {'bound':>7s} {'unpushed':>9s} "
        f"{'beaten':>7s} {'not LS':>8s} {'seconds':>7s}"
    )
    for name in asked.families:
        print(family(name, asked.worlds, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
