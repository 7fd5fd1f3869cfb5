"""How many files a capability runs through: counted, so that it may fall, and not rise without a line in the changelog.

    python tests/contract/test_journeys.py [name]      prints the counts, or the files and functions of one journey

A file counts where one of its functions ran; importing does not count.
"""

import functools
import importlib
import os
import pkgutil
import sys
import tempfile
import threading
import warnings
from collections import defaultdict
from pathlib import Path

import pytest

import roxmodel as rox

pytestmark = pytest.mark.slow

HOUSE = str(Path(rox.__file__).parent) + os.sep
ACTIONS = [
    rox.Intervention(name="coaching", shift={"pride": 0.2}, cost=1e3),
    rox.Intervention(name="rules", shift={"behaviours": 0.1}, cost=2e3, start=2),
]
ASKED = {"horizon": 3, "value": {"revenue": 90.0}, "draws": 50, "seed": 1}
CHAIN = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nB ~ A"


@functools.cache
def world():
    return rox.datasets.make_world(units=40, seed=11)


@functools.cache
def study():
    return world().study()


@functools.cache
def fitted(method):
    return rox.fit(world().model, study(), method=method)


@functools.cache
def document():
    return Path(tempfile.mkdtemp()) / "fit.json"


def answers():
    names = dict(zip(list(world().employee)[1:7], ["a1", "a2", "a3", "b1", "b2", "b3"], strict=True))
    return world().employee.rename(columns=names)


# Most files that each may run through.
JOURNEYS = {
    "study": (16, lambda: world().study()),
    "check": (17, lambda: study().check()),
    "path fit": (41, lambda: rox.fit(world().model, study(), method="path")),
    "sem fit": (56, lambda: rox.fit(rox.RoxModel.from_lavaan(CHAIN), answers(), method="sem")),
    "linked fit": (59, lambda: rox.fit(world().model, study(), method="linked")),
    "summary": (10, lambda: fitted("linked").summary()),
    "simulate": (22, lambda: rox.simulate(fitted("linked"), ACTIONS, **ASKED)),
    "optimize": (24, lambda: rox.optimize(fitted("linked"), ACTIONS, budget=3e3, **ASKED)),
    "counterfactual": (22, lambda: rox.counterfactual(fitted("path"), study().units[3], do={"pride": 3.0}, draws=50)),
    "a picture": (12, lambda: fitted("linked").plot()),
    "a chart": (27, lambda: rox.simulate(fitted("linked"), ACTIONS, **ASKED).plot()),
    "save and load": (13, lambda: rox.load(fitted("linked").save(document()))),
    "score": (12, lambda: rox.ScoringEngine.load(fitted("linked").save(document())).score({"pri1": 3})),
}


def ran(ask):
    """Functions that ran, by file."""
    seen = defaultdict(set)

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(HOUSE) and code.co_name != "<module>":
            seen[code.co_filename[len(HOUSE) :]].add(code.co_qualname)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        ask()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return dict(seen)


@functools.cache
def journey(name):
    """Files and functions of one capability, everything it stands on being there already."""
    for module in pkgutil.walk_packages(rox.__path__, "roxmodel."):
        importlib.import_module(module.name)
    ask = JOURNEYS[name][1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        ask()
        return ran(ask)


@pytest.mark.parametrize("name", JOURNEYS)
def test_a_capability_runs_through_few_files(name):
    files = journey(name)
    assert 0 < len(files) <= JOURNEYS[name][0], f"{name}: {len(files)} files\n" + "\n".join(sorted(files))


def report(names):
    for name in names or JOURNEYS:
        files = journey(name)
        sys.stdout.write(f"{name:16}{len(files):4} files {sum(map(len, files.values())):5} functions\n")
        for file in sorted(files) if names else ():
            sys.stdout.write(f"    {file:36} {', '.join(sorted(files[file]))}\n")


if __name__ == "__main__":
    report(sys.argv[1:])
