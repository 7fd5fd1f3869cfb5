"""Two checkouts beside each other: processor time of the same cases, in alternating processes.

    python benchmarks/side_by_side.py BEFORE/src NOW/src [--cases chain check] [--rounds 3]

Each process times one case of one checkout: the best of several runs, after one that warms up, on one thread. Printed:
the best of all rounds for both, and before / now (above 1: faster now).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ASKED = {"value": {"revenue": 90.0}, "horizon": 6, "draws": 1000, "seed": 1}
CHAINS = {
    "chain": {},
    "chain MLR": {"estimator": "MLR"},
    "chain FIML": {"missing": "fiml"},
    "chain DWLS": {"estimator": "DWLS", "ordered": True},
    "chain bootstrap": {"bootstrap": 200, "seed": 1},
}
UNITS = {
    "path": (150, {"method": "path"}),
    "linked 150": (150, {}),
    "linked 1000": (1000, {}),
    "linked saturated": (150, {"within": "saturated"}),
}
OTHERS = ("study", "check", "modification", "simulate", "optimize", "load", "score 300")


def chain(case: str):
    """Five constructs with three items each, 300 rows."""
    import roxmodel as rox

    rng = np.random.default_rng(1)
    level, columns = rng.normal(size=300), {}
    for name in "abcde":
        level = 0.5 * level + rng.normal(size=300)
        columns |= {f"{name}{k}": level + rng.normal(size=300) for k in range(3)}
    text = "\n".join(f"{name.upper()} =~ {name}0 + {name}1 + {name}2" for name in "abcde")
    frame = pd.DataFrame(columns)
    if case == "chain DWLS":
        frame = frame.apply(lambda column: pd.cut(column, [-99, -1, 0, 1, 99], labels=False))
    if case == "chain FIML":
        frame = frame.mask(rng.random(frame.shape) < 0.08)
    return rox.RoxModel.from_lavaan(text + "\nB ~ A\nC ~ B\nD ~ C\nE ~ D"), frame


def work(case: str) -> Callable[[], object]:
    """What is timed."""
    import roxmodel as rox

    if case in CHAINS:
        model, frame = chain(case)
        return lambda: rox.fit(model, frame, **CHAINS[case])
    if case == "modification":
        return rox.fit(*chain("chain")).modification_indices
    units, options = UNITS.get(case, (150, {}))
    world = rox.datasets.make_world(units=units, seed=3)
    study = world.study()
    if case in UNITS:
        return lambda: rox.fit(world.model, study, **options)
    return {"study": world.study, "check": study.check}.get(case) or decision(case, rox.fit(world.model, study))


def decision(case: str, fit) -> Callable[[], object]:
    """What is asked of a fit."""
    import roxmodel as rox

    causes = ["pride", "influencers", "behaviours"] * 3
    actions = [
        rox.Intervention(name=f"a{k}", shift={cause: 0.1 + 0.02 * k}, cost=1e3 * (1 + k))
        for k, cause in enumerate(causes)
    ]
    path = fit.save(Path(tempfile.mkdtemp()) / "fit.json")
    engine = rox.ScoringEngine.load(path)
    answers = dict.fromkeys(engine.items, 3)
    return {
        "simulate": lambda: rox.simulate(fit, actions[:3], **ASKED).rox(),
        "optimize": lambda: rox.optimize(fit, actions, budget=1e4, **ASKED),
        "load": lambda: rox.ScoringEngine.load(path),
        "score 300": lambda: [engine.score(answers) for _ in range(300)],
    }[case]


def timed(case: str) -> float:
    """Seconds of the processor, the best of the runs that fit into three seconds."""
    warnings.simplefilter("ignore")
    ask = work(case)
    ask()
    runs, began = [], time.process_time()
    while len(runs) < 3 or (time.process_time() - began < 3 and len(runs) < 50):
        start = time.process_time()
        ask()
        runs.append(time.process_time() - start)
    return min(runs)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("sources", nargs="*", help="BEFORE/src NOW/src")
    reader.add_argument("--cases", nargs="*", default=[*CHAINS, *UNITS, *OTHERS])
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--one", help="time this case of the roxmodel that is importable, and print it")
    asked = reader.parse_args()
    if asked.one:
        print(timed(asked.one))
        return
    for case in asked.cases:
        best = [np.inf, np.inf]
        for _ in range(asked.rounds):
            for side, source in enumerate(asked.sources):
                env = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
                command = [sys.executable, __file__, "--one", case]
                done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
                best[side] = min(best[side], float(done.stdout))
        before, now = best
        print(
            f"{case:18} before {before * 1e3:9.2f} ms   now {now * 1e3:9.2f} ms   before / now {before / now:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
