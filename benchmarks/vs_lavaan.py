"""Method "sem" beside lavaan (and semopy): seconds, memory, and whether the numbers are the same.

    python benchmarks/vs_lavaan.py [case ...] [--long] [--semopy] [--draws 10000]

Cases: chain, ecsi, wlsmv, growth10 to growth80 and, with ``--long`` (some minutes, 8 GB for lavaan), rows and fiml.
Every fit runs in a process of its own, ours and theirs, on the same simulated, seeded rows; ecsi needs ``../shared``.
Without Rscript and lavaan only our own figures are printed. ``--semopy`` installs semopy into a throw-away environment
for the growth with items. Times are medians of warm fits; lavaan's is that of ``sem()`` alone (standard errors and
test, without the indices of ``fitMeasures``), ours that of ``rox.fit`` (standard errors, test and all indices).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

import roxmodel as rox

HERE = Path(__file__).resolve().parent
MOBI = HERE.parents[1] / "shared" / "data" / "ecsi_mobile" / "mobi.csv"
HEAD = "| case | lavaan | roxmodel | ratio | asked | largest difference of an estimate (standard errors) |"
REFITS = 200  # draws that are fitted again
R_DRAWS = {"chain": 200, "ecsi": 40}  # of lavaan's bootstrap

Floats = NDArray[np.float64]

CHAIN = {"inf": {}, "pri": {"inf": 0.6}, "beh": {"pri": 0.5, "inf": 0.3}, "val": {"beh": 0.5, "pri": 0.2},
         "loy": {"val": 0.5, "beh": 0.2}}  # fmt: skip
ECSI = """
IMAG =~ IMAG1 + IMAG2 + IMAG3 + IMAG4 + IMAG5
CUEX =~ CUEX1 + CUEX2 + CUEX3
PERQ =~ PERQ1 + PERQ2 + PERQ3 + PERQ4 + PERQ5 + PERQ6 + PERQ7
PERV =~ PERV1 + PERV2
CUSA =~ CUSA1 + CUSA2 + CUSA3
CUSL =~ CUSL1 + CUSL2 + CUSL3
CUEX ~ IMAG
PERQ ~ CUEX
PERV ~ CUEX + PERQ
CUSA ~ IMAG + CUEX + PERQ + PERV
CUSCO ~ CUSA
CUSL ~ IMAG + CUSA + CUSCO
"""


# --- models and rows


def chain_text() -> str:
    """Five constructs of four items in a chain with three skip edges."""
    measured = [f"{name} =~ " + " + ".join(f"{name}{k}" for k in range(1, 5)) for name in CHAIN]
    return "\n".join(measured + [f"{effect} ~ " + " + ".join(causes) for effect, causes in CHAIN.items() if causes])


def chain_rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scores: dict[str, Floats] = {}
    rows = np.empty((n, 20), order="F")
    for place, (name, causes) in enumerate(CHAIN.items()):
        own = rng.standard_normal(n) * (0.8 if causes else 1.0)
        scores[name] = own + sum((b * scores[cause] for cause, b in causes.items()), np.zeros(n))
        for k, loading in enumerate((1.0, 0.9, 0.8, 0.7)):
            rows[:, 4 * place + k] = loading * scores[name] + 0.6 * rng.standard_normal(n)
    return pd.DataFrame(rows, columns=[f"{name}{k}" for name in CHAIN for k in range(1, 5)], copy=False)


def holed_rows() -> pd.DataFrame:
    """20 % missing, completely at random."""
    rows = chain_rows(5_000, 3)
    return rows.mask(np.random.default_rng(4).random(rows.shape) < 0.2)


def factor_text(items: int, each: int = 5) -> str:
    """Correlated factors of five items."""
    parts = [[f"x{k}" for k in range(start, start + each)] for start in range(0, items, each)]
    return "\n".join(f"f{place} =~ " + " + ".join(part) for place, part in enumerate(parts))


def factor_rows(items: int, n: int, each: int = 5, loading: float = 0.8) -> pd.DataFrame:
    rng = np.random.default_rng(items)
    factors = items // each
    scores = rng.standard_normal((n, factors)) @ np.linalg.cholesky(0.5 * np.eye(factors) + 0.5).T
    noise = np.sqrt(1 - loading**2) * rng.standard_normal((n, items))
    return pd.DataFrame(loading * np.repeat(scores, each, axis=1) + noise, columns=[f"x{k}" for k in range(items)])


def ordinal_rows() -> pd.DataFrame:
    """24 items of six factors, answers 1 to 10."""
    rows = factor_rows(24, 1_000, each=4)
    cuts = np.array([-1.9, -1.5, -1.1, -0.7, -0.3, 0.1, 0.5, 0.9, 1.4])
    return pd.DataFrame(1.0 + np.searchsorted(cuts, rows.to_numpy()), columns=rows.columns)


@dataclass(frozen=True, slots=True)
class Case:
    """A model on rows, and what of it is measured.

    `ours` and `theirs` are options of ``rox.fit`` and ``sem()``; `repeats` the fits timed here and there; `extra`:
    ``"bootstrap"``, ``"refits"``, ``"passes"``.
    """

    title: str
    asked: str
    model: str
    rows: Callable[[], pd.DataFrame]
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    repeats: tuple[int, int] = (1, 1)
    extra: tuple[str, ...] = ()


def growth_case(items: int, repeats: int) -> Case:
    asked = "≥ 10 ×" if items == 80 else ""
    title = f"ML, {items} items of {items // 5} correlated factors, n = 1,000"
    return Case(title, asked, factor_text(items), lambda: factor_rows(items, 1_000), repeats=(20, repeats))


CASES = {
    "chain": Case(
        "ML, chain of 5 constructs, 20 items, n = 300", "≥ 10 ×", chain_text(), lambda: chain_rows(300, 1),
        repeats=(50, 20), extra=("bootstrap", "refits"),
    ),
    "ecsi": Case("ML, ECSI on mobi, 24 items, n = 250", "", ECSI, lambda: pd.read_csv(MOBI).astype(float),
                 repeats=(5, 5), extra=("bootstrap",)),
    "wlsmv": Case(
        "WLSMV, 24 ten-point items of 6 factors, n = 1,000", "≥ 50 ×", factor_text(24, 4), ordinal_rows,
        {"estimator": "DWLS", "ordered": True}, {"estimator": "WLSMV", "ordered": True}, (5, 1),
    ),
    "growth10": growth_case(10, 20),
    "growth20": growth_case(20, 20),
    "growth40": growth_case(40, 10),
    "growth80": growth_case(80, 5),
    "rows": Case(
        "MLR, chain, 1,000,000 × 20", "≥ 20 ×", chain_text(), lambda: chain_rows(1_000_000, 2),
        {"estimator": "MLR"}, {"estimator": "MLR"}, (3, 1), ("passes",),
    ),
    "fiml": Case(
        "FIML, chain, 5,000 × 20, 20 % missing", "≥ 50 ×", chain_text(), holed_rows, {"missing": "fiml"},
        {"missing": "fiml"}, (3, 1),
    ),
}  # fmt: skip
LONG = ("rows", "fiml")


# --- our side, in a process of its own


def memory(what: str) -> float:
    """Megabytes: ``"VmRSS"`` now, ``"VmHWM"`` at most (Linux; NaN elsewhere)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    found = [line for line in status.read_text().splitlines() if line.startswith(what)]
    return float(found[0].split()[1]) / 1024


def forget_peak() -> None:
    """Let the peak count from now on, where the system can."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def measured(work: Callable[[], Any], repeats: int) -> tuple[Any, dict[str, Any]]:
    """Result, median seconds and memory at the peak and beyond what was held before."""
    forget_peak()
    before = memory("VmRSS")
    spent, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        spent.append(time.perf_counter() - start)
    peak = memory("VmHWM")
    return result, {"seconds": median(spent), "peak_mb": peak, "extra_mb": peak - before}


def fit_here(case: Case, folder: Path, draws: int) -> dict[str, Any]:
    """Everything that is measured of one case."""
    model, rows = rox.RoxModel.from_lavaan(case.model), read_rows(folder)
    few = rows.head(500)
    rox.fit(model, few, method="sem", **case.ours)  # warm: imports
    answer: dict[str, Any]
    fit, answer = measured(lambda: rox.fit(model, rows, method="sem", **case.ours), case.repeats[0])
    names, values, errors = named(fit)
    answer |= {"names": names, "estimates": values, "errors": errors, "chisq": fit.indices()["chisq"]}
    answer["words"] = {name: verdict.reason for name, verdict in fit.verdicts.items()}
    if "bootstrap" in case.extra:
        answer["bootstrap"] = bootstrap_here(model, rows, fit, folder, draws if "refits" in case.extra else REFITS)
    if "refits" in case.extra:
        answer["bootstrap"]["refits"] = refit_differences(rows, fit, folder)
    if "passes" in case.extra:
        answer["passes"] = passes_here(model, rows)
    return answer


def bootstrap_here(model: rox.RoxModel, rows: pd.DataFrame, fit: rox.Fit, folder: Path, draws: int) -> dict[str, Any]:
    def work() -> rox.Fit:
        return rox.fit(model, rows, method="sem", se="bootstrap", bootstrap=draws, seed=1, progress=False)

    found, answer = measured(work, 1)
    assert found.resampling is not None
    replicates = found.bootstrap_draws()
    count = min(REFITS, len(replicates))
    np.array([found.bootstrap_weights(k) for k in range(count)]).tofile(folder / "weights.bin")
    np.save(folder / "replicates.npy", replicates[:count])
    far = np.abs(replicates - fit.theta).max(axis=0) / np.sqrt(np.diag(fit.vcov))
    kept = {"draws": draws, "failed": found.resampling.failed, "bounded": found.resampling.bounded}
    return answer | kept | {"farthest": float(far.max())}


def passes_here(model: rox.RoxModel, rows: pd.DataFrame) -> dict[str, float]:
    """Seconds of ML, of numpy's covariance and of our moments, on the same frame by turns."""
    work: dict[str, Callable[[], object]] = {
        "ml": lambda: rox.fit(model, rows, method="sem"),
        "numpy": lambda: np.cov(rows.to_numpy(), rowvar=False),
        "moments": lambda: rox.Moments.from_rows(rows, list(rows.columns)),
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(5):
        for name, one in work.items():
            spent[name].append(measured(one, 1)[1]["seconds"])
    return {name: median(own) for name, own in spent.items()}


def named(fit: rox.Fit) -> tuple[list[str], list[float], list[float]]:
    """Free parameters by lavaan's names."""
    kept = [k for k, row in enumerate(fit.table) if row.free]
    names = [lavaan_name(fit.table.rows[k].kind, fit.table.rows[k].left, fit.table.rows[k].right) for k in kept]
    return names, fit.estimates.value[kept].tolist(), fit.estimates.se[kept].tolist()


def lavaan_name(kind: str, left: str, right: str) -> str:
    if kind in {"variance", "covariance"}:
        return "~~".join(sorted((left, right)))
    if kind == "intercept":
        return f"{left}~1"
    return f"{right}~{left}" if kind == "edge" else left + {"loading": "=~", "threshold": "|"}[kind] + right


# --- the bootstrap's draws, fitted again by another optimiser on a plainly written likelihood


def refit_differences(rows: pd.DataFrame, fit: rox.Fit, folder: Path) -> dict[str, float]:
    """Largest distance of our draws from the refits, in standard errors, and the steepest slope left to these."""
    weights = np.fromfile(folder / "weights.bin").reshape(-1, len(rows))
    ours, errors = np.load(folder / "replicates.npy"), np.sqrt(np.diag(fit.vcov))
    plain = PlainLikelihood(fit, list(rows.columns))
    apart, slopes = [], []
    for own, counts in zip(ours, weights, strict=True):
        covariance = np.cov(rows.to_numpy(), rowvar=False, fweights=counts.astype(int), ddof=0)
        found = minimize(plain, plain.start(covariance), args=(covariance,), jac=True, method="BFGS",
                         options={"gtol": 1e-9, "maxiter": 2_000})  # fmt: skip
        apart.append(np.abs(found.x - own) / errors)
        slopes.append(np.abs(found.jac).max())
    return {"draws": len(ours), "largest": float(np.max(apart)), "slope": float(np.max(slopes))}


class PlainLikelihood:
    """F_ML = log|Σ| + tr(SΣ⁻¹), with Σ = F(I - A)⁻¹P(I - A)⁻ᵀF' over items and constructs (McArdle & McDonald 1984)."""

    def __init__(self, fit: rox.Fit, items: Sequence[str]) -> None:
        constructs = [name for name in fit.model.names if name not in items]
        place = {name: k for k, name in enumerate([*items, *constructs])}
        self.p, self.k = len(items), len(place)
        self.fixed = np.zeros((self.k, self.k))
        self.arrows: list[tuple[int, int, int]] = []  # place in theta, effect, cause
        self.spreads: list[tuple[int, int, int]] = []  # place in theta, the two that vary together
        for row, estimate in zip(fit.table, fit.estimates.value, strict=True):
            left, right = place.get(row.left, -1), place.get(row.right, -1)
            if row.kind in {"loading", "edge"}:
                if row.free:
                    self.arrows.append((row.free - 1, right, left))
                else:
                    self.fixed[right, left] = estimate
            elif row.free:
                self.spreads.append((row.free - 1, left, right))
        self.size = fit.table.n_free

    def start(self, covariance: Floats) -> Floats:
        """Loadings 1, edges 0, half of each item's variance its own."""
        theta = np.zeros(self.size)
        for free, effect, _ in self.arrows:
            theta[free] = float(effect < self.p)
        for free, left, right in self.spreads:
            theta[free] = 0.5 * (covariance[left, left] if left < self.p else 1.0) * (left == right)
        return theta

    def __call__(self, theta: Floats, covariance: Floats) -> tuple[float, Floats]:
        """Value and gradient."""
        A, P = self.fixed.copy(), np.zeros((self.k, self.k))
        for free, effect, cause in self.arrows:
            A[effect, cause] = theta[free]
        for free, left, right in self.spreads:
            P[left, right] = P[right, left] = theta[free]
        whole = np.linalg.inv(np.eye(self.k) - A)
        seen = whole[: self.p]
        implied = seen @ P @ seen.T
        sign, logdet = np.linalg.slogdet(implied)
        if sign <= 0 or np.linalg.eigvalsh(implied)[0] <= 0:
            return np.inf, np.zeros(self.size)
        inverse = np.linalg.inv(implied)
        outer = seen.T @ (inverse - inverse @ covariance @ inverse) @ seen
        by_arrow = 2.0 * outer @ P @ whole.T
        slope = np.zeros(self.size)
        for free, effect, cause in self.arrows:
            slope[free] += by_arrow[effect, cause]
        for free, left, right in self.spreads:
            slope[free] += outer[left, right] * (1.0 if left == right else 2.0)
        return float(logdet + np.sum(inverse * covariance)), slope


# --- their side


def write_rows(rows: pd.DataFrame, folder: Path) -> None:
    """Doubles, column after column."""
    np.ascontiguousarray(rows.to_numpy().T).tofile(folder / "rows.bin")
    (folder / "names.json").write_text(json.dumps(list(rows.columns)))


def read_rows(folder: Path) -> pd.DataFrame:
    names = json.loads((folder / "names.json").read_text())
    return pd.DataFrame(np.fromfile(folder / "rows.bin").reshape(len(names), -1).T, columns=names, copy=False)


def fit_in_r(name: str, folder: Path) -> dict[str, Any] | None:
    """What lavaan says, or None where it is not."""
    if shutil.which("Rscript") is None:
        return None
    case, names = CASES[name], json.loads((folder / "names.json").read_text())
    n = (folder / "rows.bin").stat().st_size // (8 * len(names))
    job: dict[str, Any] = {"file": str(folder / "rows.bin"), "n": n, "names": names, "model": case.model}
    job |= {"options": case.theirs, "repeats": case.repeats[1]}
    if "bootstrap" in case.extra:
        job["bootstrap"] = R_DRAWS[name]
    if "refits" in case.extra:
        job |= {"weights": str(folder / "weights.bin"), "replicates": REFITS}
    (folder / "job.json").write_text(json.dumps(job))
    command = ["Rscript", str(HERE / "vs_lavaan.R"), str(folder / "job.json"), str(folder / "answer.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"lavaan: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    return answer


SEMOPY = """
import json, statistics, sys, time
import numpy as np, pandas as pd, semopy
folder, repeats = sys.argv[1], int(sys.argv[2])
names = json.load(open(folder + "/names.json"))
rows = pd.DataFrame(np.fromfile(folder + "/rows.bin").reshape(len(names), -1).T, columns=names)
text, spent = open(folder + "/model.txt").read(), []
for _ in range(repeats):
    start = time.perf_counter()
    model = semopy.Model(text); model.fit(rows); model.inspect()
    spent.append(time.perf_counter() - start)
print(json.dumps({"seconds": statistics.median(spent)}))
"""


def semopy_python(folder: Path) -> Path | None:
    """Interpreter of a throw-away environment with semopy, None where it cannot be installed."""
    venv.create(folder / "semopy", with_pip=True)
    python = folder / "semopy" / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", "semopy"], capture_output=True, check=False)
    return python if done.returncode == 0 else None


def fit_in_semopy(python: Path, case: Case, folder: Path) -> float | None:
    (folder / "model.txt").write_text(case.model)
    (folder / "timed.py").write_text(SEMOPY)
    command = [str(python), str(folder / "timed.py"), str(folder), "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode else float(json.loads(done.stdout.splitlines()[-1])["seconds"])


# --- the table


def spoken(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds:.3g} s"


def row_of(title: str, theirs: float | None, ours: float, asked: str, apart: str = "") -> str:
    ratio = "" if theirs is None else f"{theirs / ours:.3g} ×"
    return f"| {title} | {'' if theirs is None else spoken(theirs)} | {spoken(ours)} | {ratio} | {asked} | {apart} |"


def distance(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Largest difference of a free parameter, in standard errors of lavaan."""
    found = dict(zip(ours["names"], ours["estimates"], strict=True))
    pairs = zip(map(plain_name, theirs["names"]), theirs["estimates"], theirs["errors"], strict=True)
    return f"{max(abs(found[name] - value) / error for name, value, error in pairs if name in found):.0e}"


def plain_name(name: str) -> str:
    return "~~".join(sorted(name.split("~~")))


def lines_of(name: str, ours: dict[str, Any], theirs: dict[str, Any] | None) -> Iterable[str]:
    """Rows of the table for one case."""
    case = CASES[name]
    base = None if theirs is None else theirs["seconds"]
    yield row_of(case.title, base, ours["seconds"], case.asked, distance(ours, theirs) if theirs else "")
    if "bootstrap" in ours:
        yield from bootstrap_lines(case, ours["bootstrap"], theirs, ours)
    if name == "rows":
        peak = "" if theirs is None else f"{theirs['peak_mb'] / 1000:.2g} GB"
        whole, extra = ours["peak_mb"] / 1000, ours["extra_mb"] / 1000
        here = f"{whole:.2g} GB ({extra:.2g} GB)"
        yield f"| … peak memory of the process (beyond frame and libraries) | {peak} | {here} | | ≤ 1 GB | |"
        own = ours["passes"]
        for other in ("numpy", "moments"):
            what = {"numpy": "`np.cov`", "moments": "`rox.Moments.from_rows`"}[other]
            yield (f"| ML on these rows beside {what}, the pass alone | {spoken(own[other])} (the pass) | "
                   f"{spoken(own['ml'])} | {own['ml'] / own[other]:.2g} × the pass | ≤ 2 × the pass | |")  # fmt: skip


def bootstrap_lines(
    case: Case, own: dict[str, Any], theirs: dict[str, Any] | None, ours: dict[str, Any]
) -> Iterable[str]:
    each = own["seconds"] / own["draws"]
    base = None if theirs is None else theirs["bootstrap"]["seconds"] / theirs["bootstrap"]["draws"]
    asked = "≥ 100 ×" if "refits" in case.extra else "no run-away"
    apart = ""
    if "refits" in own:
        apart = f"{own['refits']['largest']:.0e} from BFGS ({own['refits']['draws']} draws refitted)"
        if theirs is not None:
            gap = np.abs(lavaan_refits(ours, theirs) - np.array(own["kept"])) / np.array(ours["errors"])
            apart += f", {gap.max():.0e} from lavaan"
    note = f"{own['failed']} failed, {own['bounded']} at a bound, farthest {own['farthest']:.2g} standard errors"
    yield row_of(f"… bootstrap, a draw ({own['draws']:,} here: {note})", base, each, asked, apart)
    if "refits" in own:
        yield f"| … memory beyond the fit's, {own['draws']:,} draws | | {own['extra_mb']:.0f} MB | | ≤ 200 MB | |"


def lavaan_refits(ours: dict[str, Any], theirs: dict[str, Any]) -> Floats:
    """(draws, parameters), in our order."""
    places = {plain_name(name): k for k, name in enumerate(theirs["names"])}
    return np.array(theirs["refits"])[:, [places[name] for name in ours["names"]]]


def run_case(name: str, folder: Path, draws: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Both sides on the same rows."""
    write_rows(CASES[name].rows(), folder)
    command = [sys.executable, __file__, name, "--child", str(folder), "--draws", str(draws)]
    subprocess.run(command, check=True)
    ours = json.loads((folder / "ours.json").read_text())
    if "refits" in ours.get("bootstrap", {}):
        ours["bootstrap"]["kept"] = np.load(folder / "replicates.npy").tolist()
    return ours, fit_in_r(name, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    parser.add_argument("--long", action="store_true", help="also rows and fiml")
    parser.add_argument("--semopy", action="store_true", help="install it into a throw-away environment")
    parser.add_argument("--draws", type=int, default=10_000, help="of the chain's bootstrap")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        answer = fit_here(CASES[given.cases[0]], given.child, given.draws)
        (given.child / "ours.json").write_text(json.dumps(answer))
        return
    asked = given.cases or [name for name in CASES if given.long or name not in LONG]
    print(machine() + "\n\n" + HEAD + "\n|" + "---|" * 6, flush=True)
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        python = semopy_python(Path(folder)) if given.semopy else None
        for name in asked:
            if name == "ecsi" and not MOBI.exists():
                notes.append("ecsi was left out: the rows of mobi are not beside the checkout.")
                continue
            ours, theirs = run_case(name, Path(folder), given.draws)
            print("\n".join(lines_of(name, ours, theirs)), flush=True)
            notes += notes_of(name, ours, theirs)
            if python is not None and name.startswith("growth"):
                spent = fit_in_semopy(python, CASES[name], Path(folder))
                notes.append(f"{name}: semopy {'failed' if spent is None else spoken(spent)}.")
    print("\n" + "\n".join(f"- {note}" for note in notes))


def notes_of(name: str, ours: dict[str, Any], theirs: dict[str, Any] | None) -> list[str]:
    """What does not fit into the table."""
    if theirs is None:
        return [f"{name}: no Rscript with lavaan here, so only our own figures. chisq {ours['chisq']:.3f}."]
    found = [f"{name}: chisq {theirs['chisq']:.4f} (lavaan {theirs['version']}), {ours['chisq']:.4f} (roxmodel)."]
    if name == "ecsi":
        found.append(f"ecsi, admissible: {ours['words']['admissible']}.")
    if "refits" in ours.get("bootstrap", {}):
        found.append(f"{name}: steepest slope left by BFGS {ours['bootstrap']['refits']['slope']:.0e}.")
    return found


def machine() -> str:
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "not known"
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas"))
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, load {load} at the start, "
        f"Python {platform.python_version()}, {versions}, roxmodel {rox.__version__}"
    )


if __name__ == "__main__":
    main()
