"""Whatever a document says, with a right checksum: it is taken, or refused in one sentence, without the memory."""

import copy
import json
import random
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.document import content_hash

pytestmark = pytest.mark.slow

TRIALS = 150
MEMORY = 60 * 2**20  # bytes above what stands


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


VALUES = [
    *(3_000_000, 10**9, 10**18, 2**63, 10**400, -1, 0, 2.5, 3.0, 1e308, -1e308, 1e-320, True, None),
    *("NaN", "Infinity", "-Infinity", "", "p", "a" * 20_000, "\x00", "\ud800", "9**9**9**9**9", "pride -> revenue"),
    *("(" * 3_000, "+".join(["p"] * 3_000), "-" * 5_000 + "p", "p+" * 3_000 + "p -> " + "a+" * 3_000 + "a"),
    *([], {}, [1] * 5_000, [[1.0] * 200] * 200, nested(200), nested(450), {"a": {"b": 1}}),
    {"kind": "likert", "low": 1, "high": 10**9},
]  # fmt: skip


def fits():
    world = rox.datasets.make_world(units=30, seed=1)
    yield "path", rox.fit(world.model, world.study(), method="path", bootstrap=20, seed=1)
    yield "linked", rox.fit(world.model, world.study())
    rng = np.random.default_rng(0)
    x = rng.normal(size=240)
    frame = pd.DataFrame({f"{name}{k}": x + rng.normal(size=240) for name in "ab" for k in range(3)})
    model = rox.RoxModel.from_lavaan("A =~ a0 + l*a1 + a2\nB =~ b0 + b1 + b2\nB ~ p*A\nq := p^2 + exp(l)")
    yield "sem", rox.fit(model, frame, means=True)
    yield "groups", rox.fit(model, frame.assign(g=rng.choice(["u", "v"], 240)), group="g")


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Name -> (readers, document)."""
    folder = tmp_path_factory.mktemp("documents")
    found, kept = {}, dict(fits())
    for name, fit in kept.items():
        found[name] = ((rox.load, rox.ScoringEngine.load), json.loads(fit.save(folder / "fit.json").read_text("utf-8")))
    acts = [
        rox.Intervention(name="a", shift={"pride": 0.1}, cost=1.0, units=rox.Lowest(on="pride")),
        rox.Intervention(name="b", set={"pride": 4.0}, cost=2.0),
    ]
    value = {"revenue": rox.NormalValue(1e3, 10)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        plan = rox.optimize(kept["path"], acts, budget=5, draws=50, seed=1, value=value)
    text = plan.save(folder / "plan.json").read_text("utf-8")
    found["plan"] = ((lambda path: rox.load_plan(path, kept["path"]),), json.loads(text))
    model = kept["sem"].model
    found["model"] = ((lambda path: rox.RoxModel.from_json(path.read_bytes()),), json.loads(model.to_json()))
    return found


def spots(node, at=()):
    """Every place of a document, by its keys."""
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from spots(part, (*at, key))


def spoilt(document, rng):
    """A document with one or two places changed and a right checksum; None where JSON cannot say it."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 2])):
        kinds = {}
        for spot in spots(changed["content"]):
            kinds.setdefault(tuple(key for key in spot if isinstance(key, str)), []).append(spot)
        *way, last = rng.choice(kinds[rng.choice(list(kinds))])
        node = changed["content"]
        for step in way:
            node = node[step]
        how = rng.random()
        if how < 0.8:
            node[last] = copy.deepcopy(rng.choice(VALUES))
        elif how < 0.9:
            del node[last]
        else:
            node[last] = [node[last]] * 40
    try:
        return changed | {"checksum": content_hash(changed["content"])}
    except RecursionError:
        return None


@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_document_ends_in_one_sentence(documents, tmp_path, seed):
    rng = random.Random(seed)
    path = tmp_path / "spoilt.json"
    refused = 0
    for _ in range(TRIALS):
        readers, document = documents[rng.choice(list(documents))]
        changed = spoilt(document, rng)
        if changed is None:
            continue
        path.write_text(json.dumps(changed), encoding="utf-8")
        for read in readers:
            tracemalloc.start()
            said = ""
            try:
                read(path)
            except rox.RoxError as error:
                said = str(error)
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            refused += bool(said)
            assert len(said) < 7_000
            assert peak < MEMORY + 20 * path.stat().st_size
    assert refused > TRIALS / 4


@pytest.mark.parametrize("number", [3_000_000, 10**9, 10**15, 2**53, 2**63, 10**300, -1, 2])
def test_a_number_of_parameters_that_stands_alone_is_refused(documents, tmp_path, number):
    for name in ("path", "linked", "sem", "groups"):
        readers, document = documents[name]
        changed = copy.deepcopy(document)
        [row for row in changed["content"]["parameters"] if row["free"]][-1]["free"] = number
        changed["checksum"] = content_hash(changed["content"])
        (tmp_path / "fit.json").write_text(json.dumps(changed), encoding="utf-8")
        for read in readers:
            tracemalloc.start()
            try:
                with pytest.raises(rox.DocumentError):
                    read(tmp_path / "fit.json")
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak < MEMORY


def test_a_model_whose_causes_multiply_is_refused(documents, tmp_path):
    """A few hundred kB of constructs without a cause would be plans of millions of covariances."""
    _, document = documents["path"]
    changed = copy.deepcopy(document)
    content = changed["content"]
    item = {"scale": None, "source": "unit", "factor": "context"}
    content["model"]["constructs"] += [item | {"name": f"c{k}", "items": [{"name": f"c{k}"}]} for k in range(2_000)]
    changed["checksum"] = content_hash(content)
    (tmp_path / "fit.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(rox.DocumentError, match="more covariances than the document has parameters"):
        rox.load(tmp_path / "fit.json")
