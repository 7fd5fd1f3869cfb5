"""How often `rox.invariance` raises an alarm, where groups answer alike and where they do not.

    python benchmarks/invariance_alarms.py [repetitions] [rows a group ...]

Each world has two groups of one size that differ in the means and variances of their constructs, as groups do. Alike:
loadings and intercepts are equal. Otherwise one loading of six is .3 lower, or one intercept .4 higher, in the second
group. Printed for each step: the share of worlds whose verdict is not "holds" (with its Monte-Carlo error), by the
rule in force and by the fall of indices alone (Chen 2007, doi 10.1080/10705510701301834).
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import pandas as pd

import roxmodel as rox
from roxmodel.estimate.invariance import verdict_of

MODELS = {
    "two factors": ("pride =~ p1 + p2 + p3\nvalue =~ v1 + v2 + v3\nvalue ~ pride", 0.7),
    "one factor, weak items": ("pride =~ p1 + p2 + p3 + v1 + v2 + v3", 1.2),
}
LOADINGS = np.array([1.0, 0.9, 0.8, 1.1, 1.0, 0.7])
NAMES = ["p1", "p2", "p3", "v1", "v2", "v3"]
WORLDS = {"alike": (0.0, 0.0), "a loading .3 lower": (-0.3, 0.0), "an intercept .4 higher": (0.0, 0.4)}


def answers(rng: np.random.Generator, n: int, kind: str, world: str) -> pd.DataFrame:
    """(2n) rows of one world."""
    noise = MODELS[kind][1]
    loading, intercept = WORLDS[world]
    parts = []
    for second in (0, 1):
        pride = rng.normal(0.3 * second, 1.0 + 0.2 * second, n)
        value = 0.5 * pride + rng.normal(size=n) if kind == "two factors" else pride
        slopes = LOADINGS + second * loading * np.array([0, 1, 0, 0, 0, 0])
        rows = np.column_stack([pride] * 3 + [value] * 3) * slopes + noise * rng.normal(size=(n, 6)) + 4
        rows[:, 5] += second * intercept
        parts.append(pd.DataFrame(rows, columns=NAMES).assign(group=second))
    return pd.concat(parts, ignore_index=True)


def alarms(kind: str, world: str, n: int, repetitions: int) -> pd.DataFrame:
    """Each level of each repetition: differences of indices, p of the test, verdicts."""
    model = rox.RoxModel.from_lavaan(MODELS[kind][0])
    found = []
    for repetition in range(repetitions):
        rng = np.random.default_rng([n, repetition, *map(ord, kind + world)])
        try:
            table = rox.invariance(model, answers(rng, n, kind, world), group="group").table()
        except rox.RoxError:
            continue
        for row in table.iloc[1:].to_dict("records"):
            alone = verdict_of({**row, "pvalue": np.nan}, 2 * n)
            keys = ("level", "cfi_diff", "rmsea_diff", "srmr_diff", "pvalue", "verdict")
            found.append({key: row[key] for key in keys} | {"alone": alone, "repetition": repetition})
    return pd.DataFrame(found).assign(kind=kind, world=world, n=n)


def main() -> None:
    """Print the table."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    sizes = [int(size) for size in sys.argv[2:]] or [80, 150, 300]
    print(f"{'model':24}{'world':24}{'rows':>6}  {'level':8}{'rule':>14}{'indices alone':>16}{'p < .05':>10}")
    for kind in MODELS:
        for world in WORLDS:
            for n in sizes:
                rows = alarms(kind, world, n, repetitions)
                for level, own in rows.groupby("level", sort=False):
                    shares = defaultdict(float)
                    for name in ("verdict", "alone"):
                        shares[name] = float((own[name] != "holds").mean())
                    error = np.sqrt(shares["verdict"] * (1 - shares["verdict"]) / len(own))
                    test = float((own["pvalue"] < 0.05).mean())
                    print(
                        f"{kind:24}{world:24}{n:6}  {level:8}{shares['verdict']:8.3f} ±{error:.3f}"
                        f"{shares['alone']:16.3f}{test:10.3f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
