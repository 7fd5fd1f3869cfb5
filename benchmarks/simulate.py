"""How long a simulation takes: draws x units x waves, with caps at the ends of scales and with fading.

Run with ``python benchmarks/simulate.py [draws] [units] [waves]``. The world has 7 constructs, 5 of them on a scale of
1 to 5. Best of three.
"""

import sys
import time
import warnings

import roxmodel as rox


def best_of_three(fit: rox.Fit, action: rox.Intervention, draws: int, waves: int) -> tuple[float, int]:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run = rox.simulate(fit, [action], horizon=waves, draws=draws, seed=1, value={"revenue": 1_000.0}, discount=0.02)
        times.append(time.perf_counter() - start)
    return min(times), sum("end of the scale" in note for note in run.notes)


def main() -> None:
    draws, units, waves = (int(word) for word in sys.argv[1:4]) if len(sys.argv) > 3 else (2_000, 1_000, 8)
    rounded = rox.datasets.make_world(units=units, seed=1)
    free = rox.datasets.make_world(units=units, seed=1, scale="continuous")
    held, unbounded = (rox.fit(world.model, world.study(), method="path") for world in (rounded, free))
    moves = {"influencers": 1.0, "pride": 1.0, "value": 1.0}  # far enough that some branches reach the end of a scale
    actions = {
        "one step": rox.Intervention(name="one step", shift=moves, cost=1.0),
        "ramp and fading": rox.Intervention(name="fading", shift=moves, cost=1.0, ramp=2, fade=0.1),
    }
    warnings.simplefilter("ignore", rox.RoxWarning)  # it is meant to leave what was observed
    print(f"{draws:,} draws x {units:,} units x {waves} waves, {len(held.model.names)} constructs")
    for name, action in actions.items():
        for kind, fit in (("no caps", unbounded), ("caps", held)):
            taken, capped = best_of_three(fit, action, draws, waves)
            print(f"{kind:8} {name:16}{taken:7.2f} s   {capped} constructs cut at an end")


if __name__ == "__main__":
    main()
