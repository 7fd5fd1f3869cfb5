"""How far regressions of unit means fall short of the truth: Monte-Carlo over simulated worlds, with its error.

    python benchmarks/understatement.py [--worlds 200] [--units 150]

For every edge and for the total effect of pride on revenue: mean and median of estimate / truth, the Monte-Carlo
standard error of the mean, and the share of 95 % intervals that hold the truth. Seeded; the worlds have continuous
answers, so that the truth is exact.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import roxmodel as rox


def one_world(units: int, seed: int, answers: tuple[int, int]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ratios to the truth and whether the interval holds it: every edge, then the total effect."""
    world = rox.datasets.make_world(units, seed=seed, scale="continuous", employees=answers, customers=answers)
    fit = rox.fit(world.model, world.study(), method="path")
    edges = fit.edges().merge(world.truth.edges, on=["cause", "effect"])
    total, truth = fit.effects("pride", "revenue").iloc[-1], world.truth.total("pride", "revenue")
    names = [f"{c} -> {e}" for c, e in zip(edges["cause"], edges["effect"], strict=True)]
    held = (edges["ci_low"] <= edges["value"]) & (edges["value"] <= edges["ci_high"])
    ratio = (edges["estimate"] / edges["value"]).to_numpy()
    inside = total["ci_low"] <= truth <= total["ci_high"]
    return [*names, "total pride -> revenue"], np.append(ratio, total["estimate"] / truth), np.append(held, inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--units", type=int, default=150)
    parser.add_argument("--answers", type=int, nargs=2, default=(8, 40))
    given = parser.parse_args()
    rows = [one_world(given.units, 10_000 + w, tuple(given.answers)) for w in range(given.worlds)]
    ratios, held = np.array([r[1] for r in rows]), np.array([r[2] for r in rows], dtype=float)
    low, high = given.answers
    print(f"{given.worlds} worlds, {given.units} units, {low}-{high} answers a source and unit, method 'path'")
    print(f"{'effect':26s} {'mean':>6s} {'± MC':>6s} {'median':>7s} {'coverage':>9s}")
    for place, name in enumerate(rows[0][0]):
        own = ratios[:, place]
        error = own.std(ddof=1) / math.sqrt(given.worlds)
        print(f"{name:26s} {own.mean():6.2f} {error:6.2f} {np.median(own):7.2f} {held[:, place].mean():9.1%}")


if __name__ == "__main__":
    main()
