"""The net: what fits, runs and plans answer, frozen before the house was rebuilt.

Every case is fitted (or asked) anew and held against `net/<case>.json.gz`: tables, verdicts, words, HTML, the saved
document. Estimates of closed forms agree to 1e-12, their other numbers (draws, tails of distributions) to 1e-9. What an
optimiser finds agrees to 1e-7 of its standard error in the parameter table and to 1e-5 in each other number: another
order of the same sums ends another step beside the same optimum. Texts are the same letter by letter, except the
digits of what an optimiser found (one unit of the last printed place) and how many steps it took.

    python tests/contract/test_net.py --write [case ...]      freezes anew: only with the reason in the commit message
"""

import functools
import gzip
import json
import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox

HERE = Path(__file__).parent / "net"
FEW = {"draws": 60, "seed": 3}
VALUE = {"revenue": 90.0}
CHAIN = """
A =~ a1 + a2 + a3
B =~ b1 + b2 + b3
C =~ c1 + c2 + c3
B ~ p*A
C ~ q*B + A
through := p*q
"""
ACTIONS = [
    rox.Intervention(name="coaching", shift={"pride": 0.2}, cost=1e3, units=rox.Lowest(on="pride"), ramp=1),
    rox.Intervention(name="rules", set={"behaviours": 4.0}, cost=2e3, start=2),
    rox.Intervention(name="tools", shift={"influencers": 0.1}, cost_per_unit=50.0, requires=["coaching"]),
]


@functools.cache
def world(units=40):
    return rox.datasets.make_world(units=units, seed=11)


@functools.cache
def study(units=40):
    return world(units).study()


@functools.cache
def holed_study():
    made = world()
    rng = np.random.default_rng(5)
    frames = {}
    for name in ("employee", "customer"):
        frame = getattr(made, name)
        holed = frame.mask(rng.random(frame.shape) < 0.06)
        holed[made.by] = frame[made.by]
        frames[name] = holed
    return made.study(**frames)


@functools.cache
def answers():
    """Three constructs with three items each, two groups, thirty clusters, skewed errors."""
    rng = np.random.default_rng(17)
    n = 420
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n) * 0.8
    c = 0.4 * b + 0.2 * a + rng.normal(size=n) * 0.7
    items = {
        f"{name}{k}": 3 + (1 - 0.1 * k) * x + 0.6 * (rng.gamma(2, 1, n) - 2) / np.sqrt(2)
        for name, x in (("a", a), ("b", b), ("c", c))
        for k in (1, 2, 3)
    }
    return pd.DataFrame(items).assign(group=rng.choice(["north", "south"], n), team=rng.integers(0, 30, n))


@functools.cache
def chain():
    return rox.RoxModel.from_lavaan(CHAIN)


def items_only():
    return answers().drop(columns=["group", "team"])


def holed():
    return items_only().mask(np.random.default_rng(2).random((len(answers()), 9)) < 0.1)


def steps():
    return items_only().apply(lambda column: pd.cut(column, [-99, 2, 3, 4, 99], labels=False) + 1)


def matrix():
    return rox.Moments.from_rows(items_only().to_numpy(), list(items_only()))


FITS = {
    "path rows": lambda: rox.fit(world().model, study(), method="path"),
    "path moments": lambda: rox.fit(rox.RoxModel.from_lavaan("b1 ~ a1\nc1 ~ b1 + a1"), matrix(), method="path"),
    "path bootstrap": lambda: rox.fit(world().model, study(), method="path", bootstrap=30, seed=4),
    "sem ML": lambda: rox.fit(chain(), items_only()),
    "sem matrix": lambda: rox.fit(chain(), matrix(), scaling="standardized"),
    "sem MLR": lambda: rox.fit(chain(), items_only(), estimator="MLR", means=True),
    "sem MLM": lambda: rox.fit(chain(), items_only(), estimator="MLM"),
    "sem FIML": lambda: rox.fit(chain(), holed(), missing="fiml"),
    "sem DWLS": lambda: rox.fit(chain(), steps(), estimator="DWLS", ordered=True),
    "sem groups": lambda: rox.fit(chain(), answers(), group="group", invariance="metric"),
    "sem bootstrap": lambda: rox.fit(chain(), items_only(), bootstrap=30, seed=4),
    "sem cluster": lambda: rox.fit(chain(), answers(), cluster="team"),
    "linked pooled": lambda: rox.fit(world().model, study()),
    "linked holes": lambda: rox.fit(world().model, holed_study()),
    "linked saturated": lambda: rox.fit(world().model, study(), within="saturated"),
    "linked model": lambda: rox.fit(world().model, study(), within="model"),
    "linked cluster": lambda: rox.fit(world().model, clustered(), cluster="region"),
    "linked bootstrap": lambda: rox.fit(world().model, study(), bootstrap=12, seed=4),
    "linked few units": lambda: rox.fit(world(24).model, study(24)),
}
CLOSED = {"path rows", "path moments", "path bootstrap"}


def clustered():
    made = world()
    regions = [f"r{k % 8}" for k in range(len(made.unit))]
    return made.study(unit=made.unit.assign(region=regions))


@functools.cache
def fitted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return FITS[name]()


def table(frame):
    """A table as plain data: columns, index, cells."""
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    index = [list(key) if isinstance(key, tuple) else key for key in frame.index]
    return {"columns": [str(name) for name in frame.columns], "index": index, "rows": frame.to_numpy().tolist()}


def words(thing):
    return {name: getattr(thing, name)() for name in ("summary", "__str__", "_repr_html_") if hasattr(thing, name)}


def refused(ask):
    """What a question answers, or the sentence of its refusal."""
    try:
        found = ask()
    except rox.RoxError as error:
        return str(error)
    return table(found) if isinstance(found, pd.DataFrame | pd.Series) else found


def of_fit(name):
    fit = fitted(name)
    first, last = fit.model.names[0], fit.model.names[-1]
    with tempfile.TemporaryDirectory() as folder:
        document = json.loads(fit.save(Path(folder) / "fit.json").read_text())
        again = rox.load(Path(folder) / "fit.json")
        document.pop("checksum", None)
        back = {"parameters": table(again.parameters()), "summary": again.summary()}
    asked = {
        "edges": fit.edges, "effects": lambda: fit.effects(first, last), "standardized": fit.standardized,
        "r2": fit.r2, "indices": fit.indices, "checks": lambda: verdict_rows(fit), "residuals": fit.residuals,
        "modification": fit.modification_indices, "scores": fit.unit_scores, "families": lambda: fit.families,
        "dot": fit.to_dot, "mermaid": fit.to_mermaid,
        "answer draws": lambda: fit.answer_draws(20, seed=1).tolist(),
    }  # fmt: skip
    if fit.resampling is not None:
        asked.pop("standardized")  # spreads of replicates that are 1 by definition are rounding, and differ by machine
    return {
        "parameters": table(fit.parameters()),
        **{key: refused(ask) for key, ask in asked.items()},
        "verdicts": {key: [value.ok, value.reason] for key, value in fit.verdicts.items()},
        "doubts": [str(doubt) for doubt in fit.doubts],
        "vcov": np.asarray(fit.vcov).tolist(),
        **words(fit),
        "document": document,
        "loaded": back,
    }


def verdict_rows(fit):
    """The three verdicts as the table of checks says them; what else it holds has tests of its own."""
    return fit.checks()[["check", "ok", "reason"]].iloc[:3]


def of_study():
    one = study()
    return {**words(one), "linkage": table(one.linkage()), "quality": table(one.quality())}


def of_check():
    found = study().check()
    parts = {key: table(getattr(found, key)) for key in ("edges", "parameters", "constructs")
             if isinstance(getattr(found, key), pd.DataFrame)}  # fmt: skip
    return {**words(found), **parts}


def of_run(name):
    run = rox.simulate(fitted(name), ACTIONS[:2], horizon=4, value=VALUE, discount=0.05, **FEW)
    return {
        **words(run),
        **{key: refused(getattr(run, key)) for key in ("effects", "outcomes", "rox", "risk", "flows", "costs")},
        **{key: refused(getattr(run, key)) for key in ("equilibrium", "tornado")},
        "changes": refused(lambda: tabled(run.changes)),
    }  # fmt: skip


def of_plan(name):
    plan = rox.optimize(fitted(name), ACTIONS, budget=4e3, horizon=4, value=VALUE, **FEW)
    with tempfile.TemporaryDirectory() as folder:
        saved = json.loads(plan.save(Path(folder) / "plan.json").read_text())
        saved.pop("checksum", None)
    asked = ("table", "promised", "frontier", "binding", "left_out", "stability", "shrinkage")
    return {
        **words(plan),
        **{key: refused(lambda key=key: tabled(getattr(plan, key))) for key in asked},
        "saved": saved,
    }


def tabled(thing):
    found = thing() if callable(thing) else thing
    return found if isinstance(found, pd.DataFrame | pd.Series | np.ndarray) else str(found)


def of_counterfactual():
    found = rox.counterfactual(fitted("path rows"), study().units[3], do={"pride": 3.0}, **FEW)
    return {**words(found), "table": table(found.table())}


def of_forecast():
    found = rox.forecast(fitted("linked pooled"), given={"pride": 4.0}, **FEW)
    return {**words(found), "table": table(found.table())}


def of_priorities():
    found = rox.where_to_act(fitted("linked pooled"), "revenue", **FEW)
    return {**words(found), "table": table(found.table())}


def of_engine():
    with tempfile.TemporaryDirectory() as folder:
        engine = rox.ScoringEngine.load(fitted("linked pooled").save(Path(folder) / "fit.json"))
    answer = {item: 2 + place % 3 for place, item in enumerate(engine.items)}
    return {"score": engine.score(answer), "what if": engine.what_if({"pride": 0.2}), "items": list(engine.items)}


CASES = {
    **{name: functools.partial(of_fit, name) for name in FITS},
    "study": of_study,
    "check": of_check,
    "run path": functools.partial(of_run, "path rows"),
    "run linked": functools.partial(of_run, "linked pooled"),
    "run bootstrap": functools.partial(of_run, "path bootstrap"),
    "plan path": functools.partial(of_plan, "path rows"),
    "plan linked": functools.partial(of_plan, "linked pooled"),
    "counterfactual": of_counterfactual,
    "forecast": of_forecast,
    "priorities": of_priorities,
    "engine": of_engine,
}
QUICK = ("path rows", "sem ML", "sem groups", "linked pooled", "run linked", "plan path", "check")


def plain(thing):
    """Only what JSON holds, numbers as they are."""
    if isinstance(thing, dict):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if isinstance(thing, np.generic | np.ndarray):
        return plain(thing.tolist())
    if thing is None or thing is pd.NA or isinstance(thing, str | bool | int | float):
        return None if thing is pd.NA else thing
    return str(thing)


NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?%?")
STEPS = re.compile(r"after [\d,]+ steps?")


def differences(got, wanted, exact, where=""):
    """Where two answers are not the same, as sentences."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        if list(got) != list(wanted):
            yield f"{where}: keys {[*got]} instead of {[*wanted]}"
            return
        for key, value in wanted.items():
            yield from differences(got[key], value, exact, f"{where}/{key}")
    elif isinstance(wanted, list) and isinstance(got, list):
        if len(got) != len(wanted):
            yield f"{where}: {len(got)} instead of {len(wanted)}"
            return
        for place, value in enumerate(wanted):
            yield from differences(got[place], value, exact, f"{where}[{place}]")
    elif isinstance(wanted, str) and isinstance(got, str):
        yield from texts(got, wanted, exact, where)
    elif isinstance(wanted, float) and isinstance(got, int | float) and not isinstance(got, bool):
        relative, absolute = (1e-9, 1e-11) if exact else (1e-5, 1e-7)
        if not np.isclose(got, wanted, relative, absolute, equal_nan=True):
            yield f"{where}: {got!r} instead of {wanted!r}"
    elif type(got) is not type(wanted) or got != wanted:
        yield f"{where}: {got!r} instead of {wanted!r}"


def texts(got, wanted, exact, where):
    got, wanted = STEPS.sub("after some steps", got), STEPS.sub("after some steps", wanted)
    if got == wanted:
        return
    mine, theirs = NUMBER.findall(got), NUMBER.findall(wanted)
    if exact or NUMBER.sub("#", got) != NUMBER.sub("#", wanted):
        same = (a == b for a, b in zip(got, wanted, strict=False))
        place = [*same, False].index(False)
        start = max(place - 60, 0)
        yield f"{where}: ...{got[start : place + 80]!r} instead of ...{wanted[start : place + 80]!r}"
        return
    for a, b in zip(mine, theirs, strict=True):
        x, y = (float(text.replace(",", "").replace("−", "-").rstrip("%")) for text in (a, b))
        unit = 10.0 ** -len(b.partition(".")[2].partition("e")[0].rstrip("%"))
        if abs(x - y) > 1.01 * unit and not np.isclose(x, y, rtol=1e-4):
            yield f"{where}: {a} instead of {b} in a text"


def estimates_off(got, wanted, exact):
    """Estimates: of closed forms to 1e-12, of an optimiser to 1e-7 of their standard errors."""
    columns = wanted["columns"]
    value, error = columns.index("estimate"), columns.index("se")
    for mine, theirs in zip(got["rows"], wanted["rows"], strict=True):
        if mine[value] is None or theirs[value] is None:
            continue
        a, b, se = float(mine[value]), float(theirs[value]), float(theirs[error] or 0)
        if abs(a - b) > (1e-12 * (1 + abs(b)) if exact else 1e-7 * (se if se > 0 else 1 + abs(b))):
            yield f"{theirs[:3]}: {a!r} instead of {b!r}, se {se:.3g}"


def frozen(name):
    with gzip.open(HERE / f"{name.replace(' ', '_')}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


@functools.cache
def found(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return json.loads(json.dumps(plain(CASES[name]())))


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_frozen_one(name):
    exact = name in CLOSED
    off = list(differences(found(name), frozen(name), exact))
    if name in FITS and not off:
        off = list(estimates_off(found(name)["parameters"], frozen(name)["parameters"], exact))
    assert not off, f"{len(off)} differences:\n" + "\n".join(off[:12])


def write(names):
    HERE.mkdir(exist_ok=True)
    for name in names or CASES:
        text = json.dumps(found(name), indent=0, ensure_ascii=False).encode()
        (HERE / f"{name.replace(' ', '_')}.json.gz").write_bytes(gzip.compress(text, mtime=0))
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    write([name for name in sys.argv[1:] if name != "--write"])
