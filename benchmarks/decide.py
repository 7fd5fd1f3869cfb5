"""How long decisions take: a simulation with caps, a choice among 200 actions, a frontier of 20 budgets.

    python benchmarks/decide.py

Each is timed three times in this process and every time is printed; peak memory is that of the whole process.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable

import numpy as np

import roxmodel as rox

TYPICAL = {"influencers": 4.0, "pride": 5.0, "behaviours": 10.0, "value": 40.0, "loyalty": 40.0}  # kEUR a point


def timed(name: str, work: Callable[[], object]) -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{name:62s} {', '.join(f'{t:.2f}' for t in times)} s   peak {peak:.2f} GB", flush=True)


def widened(world: rox.datasets.World) -> rox.RoxModel:
    """The world's model with an eighth construct: calls, a second outcome on a scale."""
    calls = rox.Construct(name="calls", factor="outcomes", source="customer", items=["loy3"], scale=rox.Likert(1, 5))
    known = [c.replace(items=c.items[:2]) if c.name == "loyalty" else c for c in world.model.constructs]
    edges = [*world.model.edges, rox.Edge(cause="value", effect="calls")]
    return world.model.replace(constructs=(*known, calls), edges=tuple(edges))


def candidates(count: int, rng: np.random.Generator) -> list[rox.Intervention]:
    names = list(TYPICAL)
    found = []
    for i in range(count):
        name, points = names[rng.integers(len(names))], float(rng.uniform(0.01, 0.1))
        cost = points * TYPICAL[name] * 1_000 * 150 * 8 * rng.lognormal(-0.2, 0.6)
        found.append(
            rox.Intervention(name=f"{name} {i}", shift={name: points}, ramp=int(rng.integers(3)), cost=float(cost))
        )
    return found


def main() -> None:
    warnings.simplefilter("ignore", rox.RoxWarning)  # the pushes are meant to reach the ends of scales
    money = {"value": {"revenue": 1_000.0}, "discount": 0.02}
    large = rox.datasets.make_world(1_000, seed=1)
    model = widened(large)
    study = rox.Study(model, employee=large.employee, customer=large.customer, unit=large.unit, by="branch")
    fit = rox.fit(model, study)
    far = rox.Intervention(
        name="far", shift={"influencers": 0.6, "pride": 0.6, "value": 0.6}, cost=1.0, ramp=2, fade=0.1
    )
    asked = {"horizon": 12, "draws": 2_000, "seed": 1, **money}
    timed(
        f"simulate, 2,000 draws x 1,000 units x 12 waves x {len(model.names)}, caps",
        lambda: rox.simulate(fit, [far], **asked),
    )
    one_step = far.replace(ramp=0, fade=0.0)
    timed("the same, one step (waves alike)", lambda: rox.simulate(fit, [one_step], **asked))

    small = rox.datasets.make_world(150, seed=7, employees=(4, 12))
    fit_small = rox.fit(small.model, small.study())
    given = candidates(200, np.random.default_rng(1))
    budget = sum(one.cost for one in given) / 6
    asked = {"budget": budget, "horizon": 12, "draws": 5_000, "seed": 1, "doubtful": True, **money}
    timed("optimize, 200 actions x 5,000 draws, ends of scales shared", lambda: rox.optimize(fit_small, given, **asked))
    timed("the same for the worst tenth (cvar)", lambda: rox.optimize(fit_small, given, objective="cvar", **asked))
    plan = rox.optimize(fit_small, given, **asked)
    timed("its frontier of 20 budgets", plan.frontier)
    free = rox.datasets.make_world(150, seed=7, employees=(4, 12), scale="continuous")
    fit_free = rox.fit(free.model, free.study())
    timed("optimize, without ends of scales", lambda: rox.optimize(fit_free, given, **asked))
    print(f"numpy {np.__version__}, roxmodel {rox.__version__}.")


if __name__ == "__main__":
    main()
