"""The demonstration: a contact centre with 120 teams, simulated with known truth, from surveys to money."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from roxmodel.datasets import World, make_world
from roxmodel.estimate.fit import fit
from roxmodel.result.fit import Fit
from roxmodel.simulation.intervention import Intervention
from roxmodel.simulation.run import Run, simulate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Demo", "beside_truth", "make_demo", "write_pictures"]

TEAMS = 120
SEED = 2004  # a typical world: its total effects, by both methods, lie in the middle half of 40 seeds
HORIZON = 8


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demonstration shows; `practice` are the regressions of unit means that it stands beside."""

    world: World
    linkage: pd.DataFrame
    fit: Fit
    practice: Fit
    run: Run


def make_demo() -> Demo:
    """Simulate the contact centre, link its surveys, estimate the graph and ask what two interventions would do."""
    world = _teams(make_world(TEAMS, seed=SEED))
    study = world.study()
    found = fit(world.model, study)
    coaching = Intervention(name="team coaching", shift={"pride": 0.3}, cost=1_000_000.0, ramp=1, fade=0.05)
    tools = Intervention(name="better tools", shift={"influencers": 0.3}, cost=1_500_000.0, start=2)
    run = simulate(
        found,
        [coaching, tools],
        horizon=HORIZON,
        draws=2_000,
        seed=1,
        value={"revenue": 1_000.0},
        discount=0.02,
    )
    return Demo(world, study.linkage(), found, fit(world.model, study, method="path"), run)


def _teams(world: World) -> World:
    """The same world, in which a unit is a team of a contact centre."""
    frames = {
        name: getattr(world, name).rename(columns={world.by: "team"}) for name in ("employee", "customer", "unit")
    }
    for frame in frames.values():
        frame["team"] = frame["team"].str.replace("B", "T")
    return replace(world, by="team", model=world.model.replace(name="contact centre"), **frames)


def beside_truth(demo: Demo) -> pd.DataFrame:
    """The edge table with the value that the simulation put in."""
    table = demo.fit.edges()[["cause", "effect", "estimate", "ci_low", "ci_high", "p"]]
    truth = demo.world.truth.edges[["cause", "effect", "value"]].rename(columns={"value": "truth"})
    return table.merge(truth, on=["cause", "effect"], how="left")


def write_pictures(demo: Demo, folder: Path) -> list[Path]:
    """Draw the path diagram as SVG and PNG; returns the files."""
    from roxmodel.plots.figure import save_figure

    figure = demo.fit.plot()
    return [save_figure(figure, folder / f"roxmodel_demo.{suffix}") for suffix in ("svg", "png")]
