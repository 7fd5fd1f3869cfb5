"""Method "linked": seconds and memory, and how they grow with units and with respondents.

    python benchmarks/linked_speed.py [case ...]

Cases: units50, units150, units1000, units10000, units100000 (17 items and two figures of 7 constructs, 8 to 12 answers
a source and unit); respondents (150 units with 10, 100 and 1,000 answers each: the moments exist already); holes (20 %
of the answers missing); bootstrap (1,000 draws by unit, 150 units, 1 and 2 workers, whose draws are compared); lavaan
(its two-level fit of its own demonstration data, 2,500 people in 200 clusters, beside ours; needs Rscript, lavaan and
``../shared``). The time is that of ``rox.fit(model, study)``: estimates, standard errors, chi-square, indices, unit
scores and the small print. Medians of warm fits.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

import roxmodel as rox

SHARED = Path(__file__).resolve().parents[2] / "shared" / "reference" / "data" / "lavaan__Demo.twolevel.csv"
UNITS = {"units50": 50, "units150": 150, "units1000": 1_000, "units10000": 10_000, "units100000": 100_000}
R_SCRIPT = """
suppressMessages(library(lavaan))
data <- read.csv(commandArgs(TRUE)[1])
text <- "level: 1\\nfw1 =~ y1+y2+y3\\nfw2 =~ y4+y5+y6\\nfw2 ~ fw1
level: 2\\nfb1 =~ y1+y2+y3\\nfb2 =~ y4+y5+y6\\nfb2 ~ fb1 + w1 + w2\\nfb1 ~ w1"
seconds <- numeric(3)
for (i in 1:3) seconds[i] <- system.time(fit <- sem(text, data, cluster = "cluster"))["elapsed"]
pe <- parameterEstimates(fit)
cat(median(seconds), pe$est[pe$lhs == "fb2" & pe$op == "~" & pe$rhs == "fb1"])
"""


def main() -> None:
    """Run the cases asked for, all of them if none was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*")
    asked = parser.parse_args().cases or [*UNITS, "respondents", "holes", "bootstrap", "lavaan"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, numpy {np.__version__}\n")
    for case in asked:
        if case in UNITS:
            grown(UNITS[case])
        else:
            {"respondents": respondents, "holes": holes, "bootstrap": bootstrap, "lavaan": beside_lavaan}[case]()


def timed(what: Callable[[], object], times: int) -> float:
    """Median seconds after one warm-up, if there is more than one."""
    found = []
    for _ in range(times + (times > 1)):
        start = time.perf_counter()
        what()
        found.append(time.perf_counter() - start)
    return median(found[-times:])


def grown(units: int) -> None:
    """One fit of so many units."""
    world = rox.datasets.make_world(units, seed=1, employees=(8, 12), customers=(8, 12), scale="continuous")
    study = world.study()
    seconds = timed(lambda: rox.fit(world.model, study), 5 if units < 5_000 else 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{units:,} units: {seconds:.3g} s, {1e3 * seconds / units:.2f} ms a unit (peak of the process {peak:.2f} GB)"
    )


def respondents() -> None:
    """150 units, more and more respondents."""
    for answers in (10, 100, 1_000):
        world = rox.datasets.make_world(150, seed=1, employees=answers, customers=answers, scale="continuous")
        study = world.study()
        seconds = timed(lambda world=world, study=study: rox.fit(world.model, study), 5)
        print(f"150 units with {answers:,} answers a source: {seconds:.3g} s")


def holes() -> None:
    """150 units, 20 % of the answers missing."""
    world = rox.datasets.make_world(150, seed=1, scale="continuous", missing=0.2)
    study = world.study()
    print(f"150 units, 20 % missing: {timed(lambda: rox.fit(world.model, study), 3):.3g} s")


def bootstrap() -> None:
    """1,000 draws by unit, by one worker and by two."""
    world = rox.datasets.make_world(150, seed=1, scale="continuous")
    study, found = world.study(), []
    cores = os.cpu_count
    for workers in (2, 1):
        os.cpu_count = lambda workers=workers: workers  # type: ignore[assignment]
        start = time.perf_counter()
        fit = rox.fit(world.model, study, bootstrap=1_000, seed=1, progress=False)
        seconds = time.perf_counter() - start
        found.append(fit.bootstrap_draws())
        failed = fit.resampling.failed if fit.resampling is not None else 0
        print(f"1,000 bootstrap draws, {workers} worker(s): {seconds:.3g} s, {failed} failed")
    os.cpu_count = cores
    print(f"the same draws: {np.array_equal(*found)}")


def beside_lavaan() -> None:
    """The same two-level model of one source here and in lavaan."""
    if not SHARED.exists():
        print("lavaan: the demonstration data are not here (../shared).")
        return
    table = pd.read_csv(SHARED)
    model = rox.RoxModel(
        name="demo",
        constructs=[
            rox.Construct(name="f1", factor="influencers", source="employee", items=["y1", "y2", "y3"]),
            rox.Construct(name="f2", factor="pride", source="employee", items=["y4", "y5", "y6"]),
            rox.Construct(name="w1", factor="context", source="unit", items=["w1"]),
            rox.Construct(name="w2", factor="context", source="unit", items=["w2"]),
        ],
        edges=["w1 -> f1", "f1 + w1 + w2 -> f2"],
    )
    books = table.groupby("cluster")[["w1", "w2"]].first().reset_index()
    study = rox.Study(model, employee=table, unit=books, by="cluster")
    for within in ("pooled", "saturated", "model"):
        seconds = timed(lambda within=within: rox.fit(model, study, within=within), 3)
        edge = rox.fit(model, study, within=within).edges().set_index(["cause", "effect"]).loc[("f1", "f2"), "estimate"]
        print(f"two levels, one source, within={within!r}: {seconds:.3g} s, f1 -> f2 = {edge:.6f}")
    if shutil.which("Rscript") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.R"
        script.write_text(R_SCRIPT)
        out = subprocess.run(["Rscript", str(script), str(SHARED)], capture_output=True, text=True, check=True)
    seconds, edge = map(float, out.stdout.split())
    print(f"lavaan, the same model (both levels): {seconds:.3g} s, fb1 -> fb2 = {edge:.6f}")


if __name__ == "__main__":
    main()
