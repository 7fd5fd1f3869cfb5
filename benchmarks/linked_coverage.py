"""Bias, coverage and convergence of method "linked" in simulated worlds whose truth is known, with Monte-Carlo errors.

    python benchmarks/linked_coverage.py --out FOLDER [--cells units50 units150] [--replications 200] [--processes 1]

Every replication of a cell is one world, drawn from a seed of its own (cell number · 1,000,000 + replication), fitted
by method "linked" and beside it by regressions of unit means (method "path") and by a latent model of unit means
(method "sem", which knows nothing of their sampling error). What it says is one line of FOLDER/<cell>.jsonl: run again
and it goes on where it stopped; what is found depends neither on interruptions nor on the number of processes. The
tables are made from these lines alone (`--report` makes them without running anything), so that other rules for
standard errors can be judged without fitting again. ± is one Monte-Carlo standard error; * an aim missed by more than
two of them.

Truth is that of the world. On five points it is what the linked fit itself finds in a very large world, with the
continuous world of the same seed, whose truth is known, as a control variate.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # the processes are what works side by side

import numpy as np  # noqa: E402 - after the threads are set
import pandas as pd  # noqa: E402
from scipy.stats import binom, norm, t  # noqa: E402

import roxmodel as rox  # noqa: E402

FORM = 1  # of the records; lines of another form are not read
ENDS = ("pride", "revenue")
LOW, HIGH = 93.0, 97.0  # aim for the coverage of 95 % intervals
TRUTH_UNITS, TRUTH_SEEDS = 20_000, (1, 2)
DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """Conditions of a row; `number` enters the seeds. `bias` is the aim for the total effect's median, in per cent."""

    name: str
    number: int
    units: int
    replications: int
    design: Mapping[str, Any] = field(default_factory=dict)
    census: bool = False
    bias: float = np.nan
    judged: bool = True

    def seed(self, replication: int) -> int:
        """Of the world of a replication."""
        return self.number * 1_000_000 + replication

    @property
    def options(self) -> dict[str, Any]:
        """Of `make_world`."""
        return {"scale": "continuous", **self.design}


_COARSE = {"scale": "likert", "missing": 0.2, "without_customers": 0.2}
_RICH = {"employees": (60, 120), "customers": (60, 120)}
CELLS = {
    cell.name: cell
    for cell in (
        Cell("units50", 1, 50, 1_000, bias=8.0),
        Cell("units150", 2, 150, 1_000, bias=3.0),
        Cell("units500", 3, 500, 300, bias=3.0),
        Cell("thin150", 4, 150, 300, {"employees": (4, 12), "customers": (4, 12)}, bias=3.0),
        Cell("units30", 5, 30, 300),
        Cell("coarse150", 6, 150, 300, _COARSE, bias=3.0),
        Cell("rich150", 7, 150, 100, _RICH, judged=False),
        Cell("census150", 8, 150, 100, census=True, judged=False),
        Cell("residual150", 9, 150, 100, {"item_residual": 0.3}, judged=False),
    )
}


@dataclass(frozen=True, slots=True)
class Surveys:
    """What is fitted: a model, its study, three frames, and the truth (edges in the model's order, then the total)."""

    model: rox.RoxModel
    study: rox.Study
    unit: pd.DataFrame
    employee: pd.DataFrame
    customer: pd.DataFrame
    truth: np.ndarray

    def means(self) -> pd.DataFrame:
        """One row a unit: its figures and the means of the answers that are there."""
        asked = [frame.groupby("branch").mean() for frame in (self.employee, self.customer)]
        return self.unit.set_index("branch").join(asked).reset_index(drop=True)


def surveys_of(cell: Cell, replication: int) -> Surveys:
    """Draw the world of one replication."""
    world = rox.datasets.make_world(cell.units, seed=cell.seed(replication), **cell.options)
    truth = np.append(world.truth.edges["value"], world.truth.total(*ENDS))
    if not cell.census:
        return Surveys(world.model, world.study(), world.unit, world.employee, world.customer, truth)
    unit, employee, customer = census(world, cell.seed(replication))
    study = world.study(unit=unit, employee=employee, customer=customer, eligible={"employee": "team"})
    return Surveys(world.model, study, unit, employee, customer, truth)


def census(world: rox.datasets.World, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Draw finite teams of 4 to 12, half of which answer in full and half by 60 to 95 %; customers are very many.

    The level of a team that acts on customers and money is the mean of those who are in it: personal deviations add up
    to 0 over the team. The effects are the world's.
    """
    truth, design = world.truth, world.design
    people, guests, books = (np.random.default_rng(s) for s in np.random.SeedSequence([seed, 1]).spawn(3))
    units, names = len(world.unit), list(truth.names)
    shocks = books.standard_normal((units, len(names))) * np.sqrt(truth.disturbances)
    deviation = np.linalg.solve(np.eye(len(names)) - truth.coefficients, shocks.T).T
    keys = np.array([f"B{j + 1:03d}" for j in range(units)])
    residual = np.sqrt(design.item_residual * design.icc * design.item_variance)

    def survey(rng: np.random.Generator, source: str, sizes: np.ndarray, share: np.ndarray | None) -> pd.DataFrame:
        within = truth.within[source]
        level = truth.item_means[within.index].to_numpy() + deviation @ truth.loadings.loc[within.index].to_numpy().T
        level, rows = level + residual * rng.standard_normal(level.shape), np.repeat(np.arange(units), sizes)
        own = pd.DataFrame(rng.standard_normal((len(rows), len(within))) @ np.linalg.cholesky(within).T)
        kept = np.ones(len(rows), dtype=bool)
        if share is not None:
            own = own - own.groupby(rows).transform("mean")
            place = pd.Series(rng.random(len(rows))).groupby(rows).rank().to_numpy()
            kept = place <= np.maximum(np.rint(share * sizes), 2)[rows]
        frame = pd.DataFrame((own.to_numpy() + level[rows])[kept], columns=within.columns)
        frame.insert(0, "branch", keys[rows][kept])
        return frame

    sizes = people.integers(4, 12, size=units, endpoint=True)
    share = np.where(people.random(units) < 0.5, 1.0, people.uniform(0.6, 0.95, units))
    employee = survey(people, "employee", sizes, share)
    customer = survey(guests, "customer", guests.integers(8, 40, size=units, endpoint=True), None)
    figures = {name: truth.means[names.index(name)] + deviation[:, names.index(name)] for name in names[-2:]}
    return pd.DataFrame({"branch": keys, **figures, "team": sizes}), employee, customer


def without_scales(model: rox.RoxModel) -> rox.RoxModel:
    """The same model for means, which are no whole points."""
    constructs = tuple(
        c.replace(scale=None, items=tuple(item.replace(scale=None) for item in c.items)) for c in model.constructs
    )
    return model.replace(constructs=constructs)


def replicate(task: tuple[str, int]) -> dict[str, Any]:
    """One world, by every method; an error is a finding too."""
    cell, replication = CELLS[task[0]], task[1]
    drawn = surveys_of(cell, replication)
    options: dict[str, Any] = {"missing": "fiml"} if drawn.means().isna().any(axis=None) else {}
    found: dict[str, Any] = {"cell": cell.name, "replication": replication, "seed": cell.seed(replication)}
    found |= {"form": FORM, "version": rox.__version__, "truth": drawn.truth.tolist()}
    found |= tried("linked", lambda: linked(drawn))
    found |= tried("path", lambda: beside(rox.fit(drawn.model, drawn.study, method="path")))
    flat, means = without_scales(drawn.model), drawn.means().drop(columns="team", errors="ignore")
    found |= tried("sem", lambda: beside(rox.fit(flat, means, **options)))
    if cell.census:
        plain = rox.Study(drawn.model, employee=drawn.employee, customer=drawn.customer, unit=drawn.unit, by="branch")
        found |= tried("endless", lambda: beside(rox.fit(drawn.model, plain)))
    return found


def tried(name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {name: run()}
    except Exception as error:  # whatever happens is recorded and reported
        return {name: {"error": f"{type(error).__name__}: {error}"}}


def beside(fit: rox.Fit) -> dict[str, Any]:
    """Estimates and intervals: the edges in the model's order, then the total effect."""
    columns = ["estimate", "se", "ci_low", "ci_high"]
    both = pd.concat([fit.edges()[columns], fit.effects(*ENDS).iloc[-1:][columns]])
    return {"converged": bool(fit.converged), **{name: both[name].astype(float).tolist() for name in columns}}


def linked(drawn: Surveys) -> dict[str, Any]:
    start, at_work = time.perf_counter(), time.process_time()
    fit = rox.fit(drawn.model, drawn.study, method="linked")
    seconds, cpu = time.perf_counter() - start, time.process_time() - at_work
    edges, table, indices = fit.edges(), fit.parameters(), fit.indices()
    causes = edges["effect"].map(edges["effect"].value_counts())
    free = table.loc[table["kind"] == "edge", "free"].to_numpy() - 1
    loadings = table[(table["kind"] == "loading") & (table["free"] > 0)].groupby("left").size()
    variances = (table["kind"] == "variance") & (table["free"] > 0)
    own = {
        "seconds": round(seconds, 3), "cpu": round(cpu, 3),
        "identified": bool(fit.identified), "admissible": bool(fit.admissible),
        "reasons": {name: verdict.reason for name, verdict in fit.verdicts.items() if not verdict.ok},
        "bounds": table.loc[variances & (table["estimate"] <= 0), "id"].tolist(),
        "names": [f"{c} -> {e}" for c, e in zip(edges["cause"], edges["effect"], strict=True)],
        "df": edges["df"].tolist(), "n": edges["n_units"].tolist(), "causes": causes.tolist(),
        "loadings": edges["effect"].map(loadings).fillna(0).astype(int).tolist(),
        "loadings_causes": edges["effect"].map(_of_causes(drawn.model, loadings)).astype(int).tolist(),
        "chisq": [float(indices[name]) for name in ("chisq", "df", "pvalue")],
    }  # fmt: skip
    n, k = np.array(own["n"], dtype=float), causes.to_numpy()
    factor = default_factor(n, k)
    own["vcov_raw"] = (fit.vcov[np.ix_(free, free)] / np.outer(factor, factor))[np.tril_indices(len(free))].tolist()
    own["se_raw"] = (edges["se"].to_numpy() / factor).tolist()
    own["delta"] = fit.effects(*ENDS, interval="delta").iloc[-1][["ci_low", "ci_high"]].astype(float).tolist()
    return beside(fit) | own


def _of_causes(model: rox.RoxModel, loadings: pd.Series) -> dict[str, int]:
    """Free loadings of the causes of every effect."""
    return {name: int(sum(loadings.get(cause, 0) for cause in model.causes(name))) for name in model.names}


def default_factor(n: np.ndarray, causes: np.ndarray) -> np.ndarray:
    """What the library widens the error of an edge by (`small_sample` of the linked estimator)."""
    return np.sqrt(n / np.maximum(n - causes - 1, 1))


def read_records(file: Path, replications: int | None = None) -> dict[int, dict[str, Any]]:
    """What is known already; a line that was cut off by an interruption is not."""
    found: dict[int, dict[str, Any]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            own = json.loads(line)
        except json.JSONDecodeError:
            continue
        if own["form"] == FORM and (replications is None or own["replication"] < replications):
            found.setdefault(own["replication"], own)
    return dict(sorted(found.items()))


def run(cell: Cell, replications: int, out: Path, processes: int) -> None:
    """Do what is not done yet."""
    file = out / f"{cell.name}.jsonl"
    known = read_records(file)
    left = [(cell.name, k) for k in range(replications) if k not in known]
    cut = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as lines, ProcessPoolExecutor(processes) as pool:
        lines.write("\n" if cut else "")
        for own in pool.map(replicate, left):
            lines.write(json.dumps(own) + "\n")
            lines.flush()


def coarse_truth(cell: Cell, out: Path, units: int) -> np.ndarray:
    """Edges and total on whole points: the fit of a very large world, mean over two, kept in a file.

    The continuous world of the same seed has the same people; what the linked fit misses there of the known truth is
    taken off.
    """
    file = out / f"truth_{cell.name}_{units}.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for seed in TRUTH_SEEDS:
        if str(seed) in known:
            continue
        pair = []
        for scale in ("likert", "continuous"):
            world = rox.datasets.make_world(units, seed=seed, **{**cell.options, "scale": scale})
            pair.append(beside(rox.fit(world.model, world.study(), method="linked"))["estimate"])
        exact = np.append(world.truth.edges["value"], world.truth.total(*ENDS)).tolist()
        known[str(seed)] = {"plain": pair[0], "controlled": (np.array(pair[0]) - pair[1] + exact).tolist()}
        file.write_text(json.dumps(known), encoding="utf-8")
    print(f"Truth on five points, from worlds of {units:,} units (edges in the model's order, then the total):\n")
    for seed in TRUTH_SEEDS:
        for kind in ("plain", "controlled"):
            print(f"- seed {seed}, {kind}: " + ", ".join(f"{value:.4g}" for value in known[str(seed)][kind]))
    print()
    return np.mean([known[str(seed)]["controlled"] for seed in TRUTH_SEEDS], axis=0)


@dataclass(frozen=True, slots=True)
class Found:
    """Records of one method as arrays: R worlds that have a fit, E effects (edges, then the total)."""

    estimate: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    truth: np.ndarray
    records: tuple[dict[str, Any], ...]

    def gathered(self, name: str) -> np.ndarray:
        """One number or list of each record."""
        return np.array([own[name] for own in self.records], dtype=float)


def gather(records: Iterable[dict[str, Any]], method: str, truth: np.ndarray | None) -> Found:
    rows = [own for own in records if own.get(method, {}).get("converged")]
    columns = [np.array([own[method][c] for own in rows], dtype=float) for c in ("estimate", "se", "ci_low", "ci_high")]
    truths = np.array([own["truth"] for own in rows]) if truth is None else np.tile(truth, (len(rows), 1))
    return Found(*columns, truths, tuple(own[method] for own in rows))


@dataclass(frozen=True, slots=True)
class Share:
    """A share in per cent with its Monte-Carlo error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.error:.1f}"


def share(held: np.ndarray) -> Share:
    """Share of worlds; the error by Agresti and Coull's two more of either, so that it is not 0 at the ends."""
    n, p = len(held), (held.sum() + 2) / (len(held) + 4)
    return Share(100 * float(held.mean()), 100 * float(np.sqrt(p * (1 - p) / (n + 4))))


def median_bias(estimate: np.ndarray, truth: np.ndarray) -> Share:
    """Median of estimate / truth - 1 in per cent; the error from the order statistics around it."""
    ratio = np.sort(estimate / truth - 1)
    n = len(ratio)
    low = int(max(binom.ppf(0.025, n, 0.5), 1)) - 1
    wide = (ratio[n - 1 - low] - ratio[low]) / (2 * 1.959964)
    return Share(100 * float(np.median(ratio)), 100 * float(wide))


def holds(found: Found) -> np.ndarray:
    """(R, E); NaN where there is no interval."""
    inside = (found.low <= found.truth) & (found.truth <= found.high)
    return np.where(np.isfinite(found.low) & np.isfinite(found.high), inside, np.nan)


def covered(found: Found, place: int) -> Share:
    return share((own := holds(found)[:, place])[~np.isnan(own)])


def misses(found: Found, place: int) -> str:
    """Intervals wholly below and wholly above the truth, per cent of worlds."""
    below, above = found.high[:, place] < found.truth[:, place], found.low[:, place] > found.truth[:, place]
    return f"{100 * below.mean():.1f} / {100 * above.mean():.1f}"


def marked(cell: Cell, value: Share, low: float, high: float) -> str:
    out = value.value + 2 * value.error < low or value.value - 2 * value.error > high
    return f"{value}{'*' if out and cell.judged else ''}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row) + " |")
    print()


def total_row(cell: Cell, records: Sequence[dict[str, Any]], truth: np.ndarray | None) -> list[str]:
    """One cell: how fits went, and the total effect by every method."""
    tries = len(records)
    good = gather(records, "linked", truth)
    admissible = np.array([own["admissible"] for own in good.records])
    explained = np.array([own["admissible"] or bool(own["reasons"]["admissible"]) for own in good.records])
    pvalue = good.gathered("chisq")[:, 2]
    timed = [own["cpu"] for own in good.records if "cpu" in own]
    row = [
        cell.name, str(tries), marked(cell, share(np.arange(tries) < len(good.records)), 99.5, 100.0),
        f"{100 * admissible.mean():.0f} ({100 * explained.mean():.0f})", f"{np.median(timed):.2f}" if timed else "",
        marked(cell, median_bias(good.estimate[:, -1], good.truth[:, -1]), -cell.bias, cell.bias),
        marked(cell, covered(good, -1), LOW, HIGH), misses(good, -1),
    ]  # fmt: skip
    for method in ("path", "sem"):
        other = gather(records, method, truth)
        few = f" (of {len(other.records)})" if len(other.records) < tries else ""
        row += [f"{median_bias(other.estimate[:, -1], other.truth[:, -1])}{few}", str(covered(other, -1))]
    tested = pvalue[np.isfinite(pvalue)]
    return [*row, f"{share(tested < 0.05)} (of {len(tested)})" if len(tested) else "none"]


def edge_rows(cell: Cell, records: Sequence[dict[str, Any]], truth: np.ndarray | None) -> Iterable[list[str]]:
    good, path, sem = (gather(records, method, truth) for method in ("linked", "path", "sem"))
    raw = good.gathered("se_raw")
    for place, name in enumerate([*good.records[0]["names"], "total pride -> revenue"]):
        values, errors = good.estimate[:, place], good.se[:, place]
        sd = float(np.subtract(*np.nanpercentile(values, [75, 25])) / 1.349)
        lost = int(np.isnan(holds(good)[:, place]).sum())
        yield [
            name, str(median_bias(values, good.truth[:, place])),
            marked(cell, covered(good, place), LOW, HIGH) + (f" ({lost} without)" if lost else ""),
            misses(good, place), f"{np.nanmedian(errors) / sd:.2f}",
            f"{np.nanmedian(raw[:, place]) / sd:.2f}" if place < raw.shape[1] else "",
            str(median_bias(path.estimate[:, place], path.truth[:, place])), str(covered(path, place)),
            str(median_bias(sem.estimate[:, place], sem.truth[:, place])), str(covered(sem, place)),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """How far an interval of an edge reaches: t(n - `freedom`) times the raw error times √(n / (n - `lost`))."""

    name: str
    lost: Callable[[Found], np.ndarray | float]
    freedom: Callable[[Found], np.ndarray | float] | None

    def factor(self, found: Found) -> np.ndarray:
        """(R, E - 1) what the raw errors of the edges are multiplied by."""
        n = found.gathered("n")
        return np.sqrt(n / np.maximum(n - self.lost(found), 1))

    def quantile(self, found: Found) -> np.ndarray:
        """(R, E - 1) 97.5 % points."""
        n = found.gathered("n")
        if self.freedom is None:
            return np.full_like(n, norm.ppf(0.975))
        return np.asarray(t.ppf(0.975, np.maximum(n - self.freedom(found), 1)))


def _regression(found: Found) -> np.ndarray:
    return found.gathered("causes") + 1


def _effect(found: Found) -> np.ndarray:
    return _regression(found) + found.gathered("loadings")


def _both(found: Found) -> np.ndarray:
    return _effect(found) + found.gathered("loadings_causes")


def _whole(found: Found) -> float:
    """Free edges and loadings of the model."""
    own = found.records[0]
    per = dict(zip((name.split(" -> ")[1] for name in own["names"]), own["loadings"], strict=True))
    return float(len(own["names"]) + sum(per.values()))


RULES = (
    Rule("normal, raw", lambda _: 0.0, None),
    Rule("t(n-k-1), raw", lambda _: 0.0, _regression),
    Rule("normal, √(n/(n-k-1))", _regression, None),
    Rule("**t(n-k-1), √(n/(n-k-1))** (the library's)", _regression, _regression),
    Rule("normal, √(n/(n-k-1-m))", _effect, None),
    Rule("t(n-k-1), √(n/(n-k-1-m))", _effect, _regression),
    Rule("t(n-k-1), √(n/(n-k-1-M))", _both, _regression),
    Rule("t(n-q), √(n/(n-q))", _whole, _whole),
)
RULES_SAY = (
    "k causes of the equation, m free loadings of its effect, M of effect and causes together, q free edges and "
    "loadings of the whole model. Width: median length of an edge's interval against the library's rule."
)


def covariances(found: Found) -> np.ndarray:
    """(R, E, E) covariance of the edges before any factor."""
    size = len(found.records[0]["names"])
    low, full = np.tril_indices(size), np.zeros((len(found.records), size, size))
    full[:, low[0], low[1]] = found.gathered("vcov_raw")
    full[:, low[1], low[0]] = found.gathered("vcov_raw")
    return full


def total_of(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Total effect of pride on revenue, (...), and its derivative by the edges, (..., E)."""
    at = [names.index(f"{a} -> {b}") for a, b in (("pride", "behaviours"), ("behaviours", "value"))]
    at += [names.index(f"{a} -> {b}") for a, b in (("value", "revenue"), ("value", "loyalty"), ("loyalty", "revenue"))]
    a, b, c, d, e = (values[..., place] for place in at)
    slopes = np.zeros_like(values)
    for place, own in zip(at, (b * (c + d * e), a * (c + d * e), a * b, a * b * e, a * b * d), strict=True):
        slopes[..., place] = own
    return a * b * (c + d * e), slopes


def rule_rows(found: Found) -> Iterable[list[str]]:
    """Coverage of edges and of the total effect by every rule."""
    names = found.records[0]["names"]
    values, raw, truth = found.estimate[:, :-1], found.gathered("se_raw"), found.truth
    base = RULES[3].factor(found) * RULES[3].quantile(found)
    total, slopes = total_of(values, names)
    on_the_way = np.flatnonzero(np.abs(slopes[0]) > 0)
    for rule in RULES:
        factor, quantile = rule.factor(found), rule.quantile(found)
        held = np.abs(values - truth[:, :-1]) <= raw * factor * quantile  # no interval: not held
        each = held.mean(axis=0)
        mean = Share(100 * float(held.mean()), 100 * float(held.mean(axis=1).std(ddof=1) / np.sqrt(len(held))))
        least, most = int(each.argmin()), int(each.argmax())
        pull = slopes * factor
        se = np.sqrt(np.einsum("ri,rij,rj->r", pull, covariances(found), pull))
        reach = se * quantile[:, on_the_way].max(axis=1)
        low, high = total - reach, total + reach
        yield [
            rule.name, str(mean),
            f"{share(held[:, least])} ({names[least]})", f"{share(held[:, most])} ({names[most]})",
            f"{np.median(factor * quantile / base):.3f}",
            str(share((low <= truth[:, -1]) & (truth[:, -1] <= high))),
            f"{100 * (high < truth[:, -1]).mean():.1f} / {100 * (low > truth[:, -1]).mean():.1f}",
        ]  # fmt: skip


def interval_rows(found: Found) -> Iterable[list[str]]:
    """Coverage of the total effect by kinds of intervals with the library's standard errors of edges."""
    names, truth = found.records[0]["names"], found.truth[:, -1]
    kinds = {"draws (the library's)": (found.low[:, -1], found.high[:, -1])}
    ends = np.array([own["delta"] for own in found.records]).reshape(-1, 2)
    kinds["delta, t"] = (ends[:, 0], ends[:, 1])
    factor = RULES[3].factor(found)
    covariance = covariances(found) * factor[:, :, None] * factor[:, None, :]
    least = found.gathered("df").min(axis=1)
    values = found.estimate[:, :-1]
    drawn = [_drawn_total(values[r], covariance[r], names, (r, float(least[r]))) for r in range(len(truth))]
    normal, heavy = (np.array([own[kind] for own in drawn]) for kind in (0, 1))
    kinds |= {"draws, normal": tuple(normal.T), "draws, t": tuple(heavy.T)}
    rows = [(name, np.arange(len(truth)), low, high) for name, (low, high) in kinds.items()]
    for name, at, low, high in rows:
        own, width = truth[at], found.high[at, -1] - found.low[at, -1]
        yield [
            name, str(len(at)), str(share((low <= own) & (own <= high))),
            f"{100 * (high < own).mean():.1f} / {100 * (low > own).mean():.1f}",
            f"{np.median((high - low) / width):.3f}", f"{100 * (low > 0).mean():.1f}",
        ]  # fmt: skip


def _drawn_total(
    values: np.ndarray, covariance: np.ndarray, names: Sequence[str], place: tuple[int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals from normal draws of the edges, and from multivariate t ones."""
    rng = np.random.default_rng(np.random.SeedSequence([9, place[0]]))
    own, vectors = np.linalg.eigh(covariance)
    change = rng.standard_normal((DRAWS, len(values))) @ (vectors * np.sqrt(np.maximum(own, 0))).T
    wide = np.sqrt(place[1] / rng.chisquare(place[1], (DRAWS, 1)))
    ends = [np.percentile(total_of(values + step, names)[0], [2.5, 97.5]) for step in (change, change * wide)]
    return ends[0], ends[1]


def failures(cell: Cell, records: Iterable[dict[str, Any]]) -> None:
    """Name every world that has no fit, so that it can be drawn again."""
    for own in records:
        for method in ("linked", "path", "sem", "endless"):
            if method not in own or own[method].get("converged"):
                continue
            why = own[method].get("error") or own[method].get("reasons", {}).get("converged", "did not converge")
            print(f"- {cell.name}, make_world({cell.units}, seed={own['seed']}, ...), {method}: {why.splitlines()[0]}")


def report(chosen: Sequence[tuple[Cell, list[dict[str, Any]], np.ndarray | None]]) -> None:
    print("Total effect pride -> revenue, and how fits went\n")
    head = ["cell", "worlds", "converged %", "admissible % (or said why)", "CPU seconds", "bias %", "coverage %",
            "interval below / above %", "path: bias %", "coverage %", "sem of means: bias %", "coverage %",
            "chi-square rejects %"]  # fmt: skip
    table(head, (total_row(*own) for own in chosen))
    for cell, records, truth in chosen:
        good = gather(records, "linked", truth)
        print(f"{cell.name}: {len(records)} worlds, {cell.units} units, {cell.options}\n")
        head = ["effect", "bias %", "coverage %", "interval below / above %", "se / sd", "raw se / sd", "path: bias %",
                "coverage %", "sem of means: bias %", "coverage %"]  # fmt: skip
        table(head, edge_rows(cell, records, truth))
        print(f"{cell.name}: small-sample rules. {RULES_SAY}\n")
        head = ["rule", "edges: mean coverage %", "least (edge)", "most (edge)", "width", "total: coverage %",
                "interval below / above %"]  # fmt: skip
        table(head, rule_rows(good))
        print(f"{cell.name}: kinds of intervals of the total effect\n")
        head = ["interval", "worlds", "coverage %", "below / above %", "width", "above 0 %"]
        table(head, interval_rows(good))
        bounds = pd.Series([name for own in good.records for name in own["bounds"]], dtype=object).value_counts()
        print(f"{cell.name}: at the bound 0, worlds: " + (", ".join(f"{k} {v}" for k, v in bounds.items()) or "none"))
        failures(cell, records)
        if cell.census:
            endless = gather(records, "endless", truth)
            bias, held = median_bias(endless.estimate[:, -1], endless.truth[:, -1]), covered(endless, -1)
            print(f"{cell.name}: without eligible=, the total effect's bias is {bias} %, its coverage {held} %")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--replications", type=int, help="of every cell; default: each cell's own number")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="only make the tables of what is there")
    parser.add_argument("--truth-units", type=int, default=TRUTH_UNITS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chosen = []
    for cell in (CELLS[name] for name in given.cells):
        count = given.replications or cell.replications
        if not given.report:
            run(cell, count, given.out, given.processes)
        records = list(read_records(given.out / f"{cell.name}.jsonl", count).values())
        if records:
            rounded = cell.options["scale"] == "likert"
            chosen.append((cell, records, coarse_truth(cell, given.out, given.truth_units) if rounded else None))
    report(chosen)
    print(f"numpy {np.__version__}, roxmodel {rox.__version__}.")


if __name__ == "__main__":
    main()
