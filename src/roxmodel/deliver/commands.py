"""The commands: ``roxmodel version``, and ``roxmodel demo``, a contact centre whose truth is known."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import roxmodel
from roxmodel.doubts import Doubt, doubt_lines
from roxmodel.errors import RoxError
from roxmodel.numerals import money_text, signed_text
from roxmodel.plots.page import save_figure
from roxmodel.simulation.run_story import overturned_sentence, rox_sentences

if TYPE_CHECKING:
    import pandas as pd

    from roxmodel.datasets import World
    from roxmodel.result.fit import Fit
    from roxmodel.simulation.run import Run

__all__ = ["app"]

_TEAMS = 120
_SEED = 2004  # a typical world: its total effects, by both methods, lie in the middle half of 40 seeds
_HORIZON = 8

app = typer.Typer(help="Return on experience, measured.", no_args_is_help=True, add_completion=False)


@app.command("version")
def show_version() -> None:
    """Print the version, and those of what it stands on."""
    typer.echo(f"roxmodel {roxmodel.__version__} on Python {platform.python_version()}")
    for name in ("numpy", "scipy", "pandas", "narwhals", "pydantic", "networkx", "statsmodels", "matplotlib"):
        try:
            typer.echo(f"  {name} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"  {name} not installed")


@app.command("demo")
def show_demo(out: Annotated[Path, typer.Option(help="Folder the path diagram is written to.")] = Path()) -> None:
    """Show the whole job on a simulated contact centre with 120 teams, whose truth is known."""
    if not out.is_dir():
        raise RoxError(f"The folder {str(out)!r} does not exist.", hint="Make it first, or leave --out away.")
    if not os.access(out, os.W_OK):
        raise RoxError(f"Nothing may be written into the folder {str(out)!r}.", hint="Choose another with --out.")
    console = Console(highlight=False)
    demo = _make_demo()
    _show_linkage(console, demo)
    _show_edges(console, demo)
    _show_answer(console, demo)
    figure = demo.fit.plot()
    files = " and ".join(str(save_figure(figure, out / f"roxmodel_demo.{suffix}")) for suffix in ("svg", "png"))
    console.print(f"Path diagram: {files}", soft_wrap=True)


def _show_linkage(console: Console, demo: _Demo) -> None:
    console.print("[bold]1. Two surveys and the books, linked by team[/bold] (simulated, so that the truth is known)")
    table = _table("construct", "asked of", "answers", "teams", "a team", "ICC(1)", "ICC(2)", "rwg")
    for row in demo.linkage.to_dict("records"):
        many = row["source"] != "unit"
        span = f"{row['answers_min']:.0f}-{row['answers_max']:.0f}" if many else ""
        agreed = [f"{row[name]:.2f}" if many else "" for name in ("icc1", "icc2", "rwg")]
        table.add_row(row["construct"], row["source"], f"{row['respondents']}", f"{row['units']}", span, *agreed)
    console.print(table)
    matched, lost = demo.linkage["matched"][0], demo.linkage["lost"].max()
    console.print(f"{matched} teams are in all sources, {lost} lack one. ICC(2): reliability of a team's mean.\n")


def _show_edges(console: Console, demo: _Demo) -> None:
    console.print("[bold]2. What drives what[/bold] (between teams, 95 % intervals, beside the truth)")
    _show_doubts(console, demo.fit.doubts)
    table = _table("cause", "effect", "estimate", "95 % interval", "truth")
    known = demo.world.truth.edges[["cause", "effect", "value"]].rename(columns={"value": "truth"})
    edges = demo.fit.edges().merge(known, on=["cause", "effect"], how="left")
    for row in edges.to_dict("records"):
        interval = f"{_figure(row['ci_low'])} to {_figure(row['ci_high'])}"
        table.add_row(row["cause"], row["effect"], _figure(row["estimate"]), interval, _figure(row["truth"]))
    console.print(table)
    inside = int(edges["truth"].between(edges["ci_low"], edges["ci_high"]).sum())
    console.print(f"{inside} of {len(edges)} intervals hold the truth.")
    total = demo.fit.effects("pride", "revenue").iloc[-1]
    truth = demo.world.truth.total("pride", "revenue")
    practice = float(demo.practice.effects("pride", "revenue")["estimate"].iloc[-1])
    console.print(
        f"One point of pride brings {total['estimate']:.1f} kEUR revenue a team and wave "
        f"({total['ci_low']:.1f} to {total['ci_high']:.1f}; truth {truth:.1f})."
    )
    console.print(
        f"Regressions of team means, today's practice, would have said {practice:.1f}: the mean of a few answers is "
        "noisy, and noise shrinks effects. The fit above has that noise in its likelihood (method 'linked').\n"
    )


def _show_answer(console: Console, demo: _Demo) -> None:
    run = demo.run
    _show_doubts(console, run.doubts)
    console.print(f"[bold]3. What if[/bold] ({run.horizon} waves, {len(run.changes):,} draws)")
    for action in run.interventions:
        moves = ", ".join(f"{name} {points:+g}" for name, points in (action.shift or {}).items())
        when = f"from wave {action.start}" + (f", full after {action.ramp} more" if action.ramp else "")
        fade = f", fading by {action.fade:.0%} a wave" if action.fade else ""
        console.print(f"- {action.name}: {moves} points, {when}{fade}, {money_text(action.cost)} EUR")
    effects = run.effects()
    last = effects[effects["wave"] == run.horizon].set_index("construct")
    for name in ("behaviours", "value", "revenue"):
        row = last.loc[name].to_dict()
        unit = " kEUR a team" if name == "revenue" else " points"
        mean, low, high = (signed_text(float(row[column]), _figure) for column in ("mean", "ci_low", "ci_high"))
        console.print(f"  {name} in wave {run.horizon}: {mean}{unit} (95 %: {low} to {high})")
    console.print()
    console.print("[bold]4. Return on experience[/bold] (EUR, discounted by 2 % a wave)")
    for line in rox_sentences(run):
        console.print(f"- {line}")
    console.print(overturned_sentence(run))
    console.print("rox = npv / cost (0 = break-even); PwC publishes no formula, this is roxmodel's definition.\n")


def _show_doubts(console: Console, doubts: Sequence[Doubt]) -> None:
    """Before any number; nothing where there is none."""
    for line in doubt_lines(doubts):
        console.print(line, style="bold red", markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right", no_wrap=True)
    return table


def _figure(value: Any) -> str:
    number = float(value)
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}" if abs(number) >= 0.1 else f"{number:.3f}"


@dataclass(frozen=True, slots=True)
class _Demo:
    """What the demonstration shows; `practice` are the regressions of unit means that it stands beside."""

    world: World
    linkage: pd.DataFrame
    fit: Fit
    practice: Fit
    run: Run


def _make_demo() -> _Demo:
    """Simulate the contact centre, link its surveys, estimate the graph and ask what two interventions would do."""
    world = _teams(roxmodel.datasets.make_world(_TEAMS, seed=_SEED))
    study = world.study()
    found = roxmodel.fit(world.model, study)
    coaching = roxmodel.Intervention(name="team coaching", shift={"pride": 0.3}, cost=1_000_000.0, ramp=1, fade=0.05)
    tools = roxmodel.Intervention(name="better tools", shift={"influencers": 0.3}, cost=1_500_000.0, start=2)
    run = roxmodel.simulate(
        found, [coaching, tools], horizon=_HORIZON, draws=2_000, seed=1, value={"revenue": 1_000.0}, discount=0.02
    )
    return _Demo(world, study.linkage(), found, roxmodel.fit(world.model, study, method="path"), run)


def _teams(world: World) -> World:
    """The same world, in which a unit is a team of a contact centre."""
    frames = {
        name: getattr(world, name).rename(columns={world.by: "team"}) for name in ("employee", "customer", "unit")
    }
    for frame in frames.values():
        frame["team"] = frame["team"].str.replace("B", "T")
    return replace(world, by="team", model=world.model.replace(name="contact centre"), **frames)
