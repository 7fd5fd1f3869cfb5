"""What the checks of a fit find: false alarms in clean worlds, and each violation beside the best test of it.

    python benchmarks/doubts.py [--worlds 200] [--units 50 150] [--only WORD ...] [--out FOLDER] [--quick] [--speed]

Every world of `doubtful_worlds.py` is fitted as a user would fit it, and what `fit.doubts` and `fit.checks()` say is
laid beside the truth. A violation counts as found where a doubtful or unusable row names its culprit, as noted where a
note of the check whose place it is does. The best test: where one more arrow makes the graph right, the likelihood
ratio of that arrow in the same world (referred to F, exact for regressions); else the natural test, or none; it stands
at the level that all of its check has (`LEVELS`), and at a tenth of it, which is what an arrow among ten has by Holm.
"Said": in how many worlds the study warned, the fit warned, a row of `fit.doubts` named it, and (first worlds only)
`simulate` passed it on. Prints markdown; ± is one Monte-Carlo standard error. With --out records are kept, and worlds
that are there are not drawn again. --speed: the time of the checks as a share of the fit without them, in the same
process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402 - after the threads are set
import pandas as pd  # noqa: E402
from doubtful_worlds import CLEAN, VIOLATIONS, Case, Shape, World, chain  # noqa: E402
from scipy import stats  # noqa: E402

import roxmodel as rox  # noqa: E402
import roxmodel.estimate.methods as door  # noqa: E402
from roxmodel.doubts import Doubt  # noqa: E402
from roxmodel.estimate.checks.evidence import LEVELS  # noqa: E402

SEED = 20_261_130
SPOKEN = 5  # first worlds of a cell in which simulate is asked, too
UNMEASURED = "unmeasured cause: one"  # of the line that stands beside money
MONEY: dict[str, Any] = {"horizon": 4, "draws": 200, "seed": 1}


def heard(act: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The answer or the refusal, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            got = act()
        except rox.RoxError as error:
            got = error
    return got, [str(one.message) for one in caught if issubclass(one.category, rox.RoxWarning)]


def drawn(case: Case, units: int, k: int) -> World:
    rng = np.random.default_rng(np.random.SeedSequence([SEED, zlib.crc32(case.label.encode()), units, k]))
    return case.draw(rng, units, case.strength)


def names_it(text: str, world: World) -> bool:
    return any(all(name in text for name in names) for names in world.culprits)


def whole(doubt: Doubt) -> str:
    return " ".join((doubt.finding, *doubt.culprits, *doubt.edges))


def examined(case: Case, units: int, k: int) -> dict[str, Any]:
    """What is said of one world."""
    world = drawn(case, units, k)
    found: dict[str, Any] = {"k": k, "truth": world.truth}
    data, at_study = heard(world.data)
    fit, at_fit = (data, []) if isinstance(data, rox.RoxError) else heard(lambda: rox.fit(world.model, data))
    if isinstance(fit, rox.RoxError):
        hit = ["refused"] if names_it(str(fit), world) else []
        return found | {"refused": str(fit), "said": ["refused"], "hit": hit}
    rows = [one for one in fit.findings if one.verdict != "ok"]
    found["chisq"], found["units"] = float(fit.indices().get("chisq", np.nan)), fit.population.n_units
    found["total"] = float(fit.effects(*world.head).iloc[-1]["estimate"])
    found["doubts"] = [f"{one.check}: {one.finding}"[:300] for one in fit.doubts]
    found["hit"] = [one.check for one in fit.doubts if names_it(whole(one), world)]
    found["noted"] = [one.check for one in rows if not one.serious and names_it(whole(one), world)]
    found["notes"] = [one.check for one in rows if not one.serious]
    said = {"study": at_study, "fit": at_fit, "checks": [whole(one) for one in rows]}
    said["doubts"] = [whole(one) for one in fit.doubts]
    if k < SPOKEN:
        cause, effect = world.head
        act = rox.Intervention(name="action", shift={cause: 0.2}, cost=1e4)
        run, at_run = heard(lambda: rox.simulate(fit, [act], value={effect: 1000.0}, n_units=units, **MONEY))
        said["run"] = [*at_run, *(whole(one) for one in getattr(run, "doubts", ()))]
        said["run"] += [str(run)] if isinstance(run, rox.RoxError) else []
        said["run"] += [line for line in str(getattr(run, "summary", str)()).splitlines() if UNMEASURED in line]
    found["said"] = [place for place, texts in said.items() if any(names_it(text, world) for text in texts)]
    return found


def right_chisq(world: World) -> float:
    """Chi-square of the graph with the arrow that makes it right; NaN where none does."""
    if world.right is None:
        return float("nan")
    fit, _ = heard(lambda: rox.fit(world.right, rox.Study(world.right, **world.frames, by="branch")))
    return float("nan") if isinstance(fit, rox.RoxError) or not fit.converged else float(fit.indices()["chisq"])


def best_of(case: Case, units: int, k: int) -> dict[str, Any]:
    """What the best test needs beside the fit."""
    world = drawn(case, units, k)
    return {"k": k, "p": world.pvalue, "chisq": right_chisq(world), "causes": world.causes}


def best_pvalue(own: dict[str, Any], best: dict[str, Any]) -> float:
    """P-value of the best test: of the arrow by its likelihood ratio, where there is one."""
    if np.isnan(best["chisq"]):
        return float(best["p"])
    df = own["units"] - best["causes"] - 1
    return float(stats.f.sf(df * np.expm1(max(own["chisq"] - best["chisq"], 0.0) / own["units"]), 1, df))


def records(path: Path | None, worlds: int, make: Callable[[int], Any]) -> list[Any]:
    """One record a world; those that are in the file are not made again."""
    kept = {}
    if path is not None and path.exists():
        kept = {own["k"]: own for own in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    for k in range(worlds):
        if k not in kept:
            kept[k] = make(k)
            if path is not None:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(kept[k]) + "\n")
    return [kept[k] for k in range(worlds)]


def share(held: Sequence[bool] | np.ndarray) -> str:
    """Per cent and its Monte-Carlo error."""
    own = np.asarray(held, dtype=float)
    mean = own.mean()
    return f"{100 * mean:.1f} ± {100 * np.sqrt(mean * (1 - mean) / len(own)):.1f}"


def middle(values: Sequence[float]) -> str:
    """Median and the Monte-Carlo error that it has by its quartiles."""
    own = np.asarray(values, dtype=float)
    low, mid, high = np.nanpercentile(own, [25, 50, 75])
    return f"{mid:.3g} ± {(high - low) / 1.349 * np.sqrt(np.pi / 2 / len(own)):.2g}"


def counted(kinds: Iterator[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(kinds).most_common(6)) or "none"


def clean_row(case: Case, units: int, found: Sequence[dict[str, Any]]) -> list[str]:
    alarms = [bool(own.get("doubts") or "refused" in own) for own in found]
    which = counted(name for own in found for name in {text.split(":")[0] for text in own.get("doubts", ["refused"])})
    notes = counted(name for own in found for name in set(own.get("notes", ())))
    totals = [own["total"] for own in found if "total" in own]
    truth = f"{found[0]['truth']:.3g}"
    return [case.label, str(units), str(len(found)), share(alarms), which, truth, middle(totals), notes]


def violation_row(case: Case, units: int, found: list[dict[str, Any]], best: list[dict[str, Any]]) -> list[str]:
    totals = [own["total"] for own in found if "total" in own] or [np.nan]
    level = max([LEVELS[name] for name in case.checks if name in LEVELS], default=0.01)
    tested = np.array([best_pvalue(own, other) for own, other in zip(found, best, strict=True) if "chisq" in own])
    tested = tested[np.isfinite(tested)]
    power = [share(tested < cut) if len(tested) else "" for cut in (level, level / 10)]
    places = Counter(place for own in found for place in own["said"])
    early = sum(own["k"] < SPOKEN for own in found)
    said = ", ".join(
        f"{name} {100 * places[name] / (early if name == 'run' else len(found)):.0f} %"
        for name in ("refused", "study", "fit", "doubts", "run") if places[name]
    )  # fmt: skip
    return [
        case.label, str(units), str(len(found)), f"{found[0]['truth']:.3g}", middle(totals),
        share([bool(own["hit"]) for own in found]), counted(name for own in found for name in set(own["hit"])),
        *power, share([bool(own.get("doubts") or "refused" in own) for own in found]),
        share([bool(set(own.get("noted", ())) & set(case.checks)) for own in found]), said or "nowhere",
    ]  # fmt: skip


CLEAN_HEAD = ("clean world", "units", "worlds", "doubted %", "by (worlds)", "truth", "median total", "notes (worlds)")
HEAD = (
    "violation", "units", "worlds", "truth", "median total", "found %", "by (worlds)", "best test %", "at a tenth %",
    "any doubt %", "noted %", "said",
)  # fmt: skip


def table(head: Sequence[str]) -> None:
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))


def report(cases: Sequence[Case], given: argparse.Namespace, row: Callable[..., list[str]], best: bool) -> None:
    for case in cases:
        for units in given.units:
            stem = f"{case.label}-{units}".replace(" ", "_").replace(",", "").replace("%", "pc")
            path = given.out / f"{stem}.fit.jsonl" if given.out else None
            found = records(path, given.worlds, lambda k, c=case, u=units: examined(c, u, k))
            more: tuple[Any, ...] = ()
            if best:
                path = given.out / f"{stem}.best.jsonl" if given.out else None
                more = (records(path, given.worlds, lambda k, c=case, u=units: best_of(c, u, k)),)
            print("| " + " | ".join(row(case, units, found, *more)) + " |", flush=True)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median processor seconds of a fit without its checks, and of the checks."""
    spent: list[float] = []
    plain = door._with_doubts

    def judged(*given: Any) -> Any:
        start = time.process_time()
        try:
            return plain(*given)
        finally:
            spent.append(time.process_time() - start)

    door._with_doubts = judged  # type: ignore[attr-defined]
    try:
        wholes = []
        for _ in range(repeats):
            start = time.process_time()
            heard(work)
            wholes.append(time.process_time() - start)
    finally:
        door._with_doubts = plain  # type: ignore[attr-defined]
    checks = statistics.median(spent[1:])
    return statistics.median(wholes[1:]) - checks, checks


def speed(sizes: Sequence[int], repeats: int) -> None:
    """Time the checks beside the fit they judge."""
    table(("fit", "units", "fit without checks, s", "checks, s", "share"))
    for units in sizes:
        world = rox.datasets.make_world(units, seed=1)
        small = chain(Shape(), np.random.default_rng(units), units)[0]
        big, short = (heard(own)[0] for own in (world.study, small.data))
        rows = pd.DataFrame(np.random.default_rng(1).standard_normal((units, 9)), columns=[f"x{k}" for k in range(9)])
        rows += np.repeat(np.random.default_rng(2).standard_normal((units, 3)).cumsum(axis=1), 3, axis=1)
        latent = rox.RoxModel.from_lavaan("a =~ x0 + x1 + x2; b =~ x3 + x4 + x5; c =~ x6 + x7 + x8; b ~ a; c ~ b")
        kinds: dict[str, Callable[[], Any]] = {
            "linked, 7 constructs": lambda w=world, s=big: rox.fit(w.model, s),
            "linked, 5 constructs": lambda w=small, s=short: rox.fit(w.model, s),
            "path, 7 constructs": lambda w=world, s=big: rox.fit(w.model, s, method="path"),
            "sem, 3 constructs": lambda m=latent, r=rows: rox.fit(m, r, method="sem"),
        }
        for name, work in kinds.items():
            fit, checks = timed(work, repeats)
            print(f"| {name} | {units:,} | {fit:.3f} | {checks:.3f} | {checks / fit:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--units", type=int, nargs="+", default=[50, 150])
    parser.add_argument("--only", nargs="+", default=[], help="words that the names of cases hold")
    parser.add_argument("--out", type=Path, help="folder of records; none: nothing is kept")
    parser.add_argument("--quick", action="store_true", help="two worlds of 40 units each, one case of each kind")
    parser.add_argument("--speed", action="store_true", help="only time the checks")
    parser.add_argument("--unbest", action="store_true", help="leave the best tests out")
    given = parser.parse_args()
    if given.speed:
        speed((50,) if given.quick else (50, 120, 500, 1000), 3 if given.quick else 9)
        return
    clean, violations = CLEAN, VIOLATIONS
    if given.quick:
        given.worlds, given.units, clean = 2, [40], CLEAN[:1]
        violations = [case for case in VIOLATIONS if case.name in {"arrow left out", "regions", "total row"}]
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    chosen = [
        [case for case in cases if not given.only or any(word in case.label for word in given.only)]
        for cases in (clean, violations)
    ]
    if chosen[0]:
        table(CLEAN_HEAD)
        report(chosen[0], given, clean_row, best=False)
    if chosen[1]:
        table(HEAD)
        report(chosen[1], given, violation_row, best=not given.unbest)
    print(f"\nSeed {SEED}; Python {sys.version.split()[0]}, numpy {np.__version__}, roxmodel {rox.__version__}.")


if __name__ == "__main__":
    main()
