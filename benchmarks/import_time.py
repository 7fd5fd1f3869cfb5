"""What ``import roxmodel`` costs beside ``import numpy``, whole processes, by turns.

Run with ``python benchmarks/import_time.py [turns]``. Both are timed from the start of the interpreter to its end,
by turns, so that a busy machine slows both. The median of the turns counts.
"""

import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "roxmodel": "import roxmodel",
    "the scoring engine": "import roxmodel.deliver.scoring",
    "the whole library": "import roxmodel as rox; [getattr(rox, name) for name in rox.__all__]",
}


def seconds(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for statement in STATEMENTS.values():
        seconds(statement)  # once for the disk
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(turns):
        for name, statement in STATEMENTS.items():
            taken[name].append(seconds(statement))
    median = {name: statistics.median(values) for name, values in taken.items()}
    print(f"median of {turns} turns; ratio to `import numpy`")
    for name, value in median.items():
        print(f"{name:20}{value * 1000:8.0f} ms{value / median['numpy']:8.2f}")


if __name__ == "__main__":
    main()
