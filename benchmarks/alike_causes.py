"""Two causes that correlate .97 in 2,474 hospitals: which error of their edges is right, and what a leaking item does.

    python benchmarks/alike_causes.py [--worlds 200] [--bootstraps 10]

Each world is 2,474 rows (means of hospitals), three items a construct, true edges .5 (staff) and .3 (info). Kinds:
``sizes``: hospitals of unequal size, so that errors of measurement differ; ``tails``: levels with heavy tails (a t
distribution with 5 degrees of freedom over all constructs); ``leak``: one item of info also follows what is particular
to the rating. Printed: mean of the estimates of staff -> rating, their standard deviation over worlds (± one
Monte-Carlo standard error), and the mean standard error by the information, by the sandwich and by 200 bootstrap
replicates of the first worlds.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd

import roxmodel as rox

KINDS = ("", "sizes", "tails", "sizes tails", "leak tails", "leak sizes tails")
PLAN = (("staff", "value_drivers"), ("info", "value_drivers"), ("rating", "outcomes"))
MODEL = rox.RoxModel(
    name="hospitals",
    edges=["staff + info -> rating"],
    constructs=[
        rox.Construct(name=name, factor=factor, source="customer", items=[name[0] + k for k in "123"])
        for name, factor in PLAN
    ],
)


def world(seed: int, kind: str, n: int = 2474, r: float = 0.97) -> pd.DataFrame:
    """Means of the items, hospital by hospital."""
    g = np.random.default_rng(seed)
    z = g.normal(size=(n, 3))
    staff, info, own = z[:, 0], r * z[:, 0] + np.sqrt(1 - r * r) * z[:, 1], z[:, 2]
    error = 0.4 * (np.exp(-0.5) / np.sqrt(np.exp(g.normal(0, 1, n))) if "sizes" in kind else np.ones(n))
    if "tails" in kind:
        stretch = np.sqrt(3 / g.chisquare(5, n))
        staff, info, own = staff * stretch, info * stretch, own * stretch
    rating = 0.5 * staff + 0.3 * info + 0.5 * own
    leak = 0.4 * own if "leak" in kind else 0.0
    parts = {"s": (staff,) * 3, "i": (info, info, info + leak), "r": (rating,) * 3}
    return pd.DataFrame(
        {
            f"{name}{k + 1}": level + error * g.normal(size=n)
            for name, own in parts.items()
            for k, level in enumerate(own)
        }
    )


def staff_edge(frame: pd.DataFrame, **options: object) -> pd.Series:
    """The edge staff -> rating."""
    return rox.fit(MODEL, frame, **options).edges().set_index("cause").loc["staff"]


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--bootstraps", type=int, default=10)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", rox.RoxWarning)
    for kind in KINDS:
        frames = [world(seed, kind) for seed in range(asked.worlds)]
        plain = pd.DataFrame([staff_edge(frame) for frame in frames])
        robust = np.mean([staff_edge(frame, se="robust")["se"] for frame in frames])
        options = {"se": "bootstrap", "bootstrap": 200}
        drawn = [staff_edge(f, seed=seed, **options)["se"] for seed, f in enumerate(frames[: asked.bootstraps])]
        mean, sd = plain["estimate"].mean(), plain["estimate"].std()
        errors = f"information {plain['se'].mean():.3f}  sandwich {robust:.3f}  bootstrap {np.mean(drawn):.3f}"
        spread = f"sd {sd:.3f} ± {sd / np.sqrt(2 * len(plain)):.3f}"
        print(f"{kind or 'normal':16s} mean {mean:6.3f}  {spread}  {errors}", flush=True)


if __name__ == "__main__":
    main()
