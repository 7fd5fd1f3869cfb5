"""A latent fit survives its document bit for bit (groups, scaling, errors); nobody's answer leaves with it."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.document import SCHEMA_VERSION, content_hash
from roxmodel.errors import DocumentError

# the rows of the reference cases miss their model by design, and a fit says so
pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

N = 300


def construct(name, factor, count, **options):
    items = [rox.Item(name=f"{name}{i}") for i in range(1, count + 1)]
    return rox.Construct(name=name, factor=factor, source="customer", items=items, **options)


def model(**options):
    """Loops, labels, a definition, residual covariances, a stated reliability, lagged and fixed edges."""
    edges = [
        rox.Edge(cause="x", effect="pride", label="p"),
        rox.Edge(cause="pride", effect="value", label="q"),
        rox.Edge(cause="value", effect="loyal", label="p"),
        rox.Edge(cause="x", effect="loyal", fixed=0.1),
        rox.Edge(cause="loyal", effect="pride", lag=1, fixed=0.2),
        "pride2 <-> value2",
    ]
    constructs = [
        construct("x", "context", 1, reliability=0.8),
        construct("pride", "pride", 3),
        construct("value", "value_drivers", 3, residuals="equal"),
        construct("loyal", "outcomes", 2),
    ]
    return rox.RoxModel(
        name="läden", constructs=constructs, edges=edges, definitions={"pq": "p * q", "twice": "2 * pq"}, **options
    )


def answers(seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    pride = 0.5 * x + rng.normal(0, 0.8, N)
    value = 0.6 * pride + rng.normal(0, 0.8, N)
    loyal = 0.5 * value + 0.1 * x + rng.normal(0, 0.8, N)
    table = pd.DataFrame({"x1": x + rng.normal(0, 0.4, N)})
    for name, latent, count in (("pride", pride, 3), ("value", value, 3), ("loyal", loyal, 2)):
        for i in range(1, count + 1):
            table[f"{name}{i}"] = 4 + (1.2 - 0.2 * i) * latent + rng.normal(0, 0.6, N)
    return table.assign(site=np.where(np.arange(N) % 3, "north", "south"))


TABLE = answers()
ITEMS = [name for name in TABLE if name != "site"]


def holed():
    return TABLE.mask(np.random.default_rng(2).random(TABLE.shape) < 0.1).assign(site=TABLE["site"])


def looped():
    constructs = [
        construct("x", "context", 1),
        construct("z", "context", 1),
        construct("pride", "pride", 3),
        construct("value", "value_drivers", 3),
    ]
    edges = ["x -> pride", "z -> value", "pride -> value -> pride"]
    z = np.random.default_rng(4).normal(size=N)
    table = TABLE.assign(z1=z, **{f"value{i}": TABLE[f"value{i}"] + 0.5 * z for i in (1, 2, 3)})
    return rox.fit(rox.RoxModel(name="loop", constructs=constructs, edges=edges, feedback=True), table)


def fits():
    yield "plain", rox.fit(model(), TABLE)
    yield "means", rox.fit(model(), TABLE, means=True)
    yield "standardized", rox.fit(model(), TABLE, scaling="standardized", estimator="MLR")
    yield "fiml", rox.fit(model(), holed(), missing="fiml")
    yield "bootstrap", rox.fit(model(), TABLE, bootstrap=20, seed=1, progress=False)
    moments = rox.Moments.from_covariance(ITEMS, TABLE[ITEMS].cov(), n=N)
    yield "matrix", rox.fit(model(exogenous="fixed"), moments, method="sem")
    grouped = rox.fit(model(), TABLE, group="site")
    yield "groups", grouped
    yield "one group", grouped.group(grouped.groups[0].name)
    yield "equal groups", rox.fit(model(), TABLE, group="site", invariance="scalar", equal=("edges", "residuals"))
    yield "loop", looped()
    lonely = rox.RoxModel(name="one", constructs=[construct("pride", "pride", 3)])
    yield "measurement only", rox.fit(lonely, TABLE)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", rox.RoxWarning)  # the loop misses what its table holds, which is said
    FITS = dict(fits())


@pytest.fixture(params=FITS)
def pair(request, tmp_path):
    fit = FITS[request.param]
    return fit, rox.load(fit.save(tmp_path / "fit.rox.json")), request.param


def test_everything_is_the_same_bit_for_bit(pair):
    fit, loaded, _ = pair
    assert loaded.table == fit.table
    np.testing.assert_array_equal(loaded.theta, fit.theta)
    np.testing.assert_array_equal(loaded.vcov, fit.vcov)
    np.testing.assert_array_equal(loaded.draws(50, seed=7), fit.draws(50, seed=7))
    pd.testing.assert_frame_equal(loaded.edges(), fit.edges(), check_exact=True)
    pd.testing.assert_frame_equal(loaded.parameters(), fit.parameters(), check_exact=True)
    checks = fit.checks()  # a document holds the three verdicts and every doubt
    kept = checks["check"].isin(fit.verdicts) | checks["verdict"].isin(["doubtful", "unusable"])
    pd.testing.assert_frame_equal(loaded.checks(), checks[kept].reset_index(drop=True), check_exact=True)
    pd.testing.assert_series_equal(loaded.indices(), fit.indices(), check_exact=True)
    assert loaded.summary() == fit.summary()
    assert loaded._repr_html_() == fit._repr_html_()
    assert (loaded.scaling, loaded.estimator, loaded.errors) == (fit.scaling, fit.estimator, fit.errors)
    for one, other in zip(loaded.groups, fit.groups, strict=True):
        assert (one.name, one.n) == (other.name, other.n)
        np.testing.assert_array_equal(one.covariance, other.covariance)
        assert (one.mean is None) == (other.mean is None)
        if one.mean is not None:
            np.testing.assert_array_equal(one.mean, other.mean)
    for one, other in zip(loaded.measures, fit.measures, strict=True):
        np.testing.assert_array_equal(one.errors, other.errors)
    for what in ("low", "high", "mean", "covariance"):
        np.testing.assert_array_equal(getattr(loaded.population, what), getattr(fit.population, what))


def test_effects_are_the_same(pair):
    fit, loaded, name = pair
    if name in {"measurement only", "groups", "equal groups"}:
        return
    for interval in (None, "draws"):
        pd.testing.assert_frame_equal(
            *(f.effects("x", "value", interval=interval) for f in (loaded, fit)), check_exact=True
        )


def test_a_document_is_a_fixed_point(pair, tmp_path):
    fit, loaded, _ = pair
    first, second = fit.save(tmp_path / "a.json").read_text(), loaded.save(tmp_path / "b.json").read_text()
    assert first == second


def test_a_loaded_fit_simulates_the_same(pair):
    fit, loaded, name = pair
    if name in {"groups", "equal groups"}:
        return
    action = rox.Intervention(name="x", shift={"pride": 0.3})
    one, two = (rox.simulate(f, [action], horizon=2, draws=30, seed=2) for f in (fit, loaded))
    np.testing.assert_array_equal(two.changes, one.changes)


# --- privacy


@pytest.mark.slow
def test_no_answer_leaves(tmp_path):
    """Neither anybody's answer, the largest and the smallest included, nor a name of a cluster."""
    canary = 31.415926535897
    table = TABLE.assign(team=[f"hush-{i % 60}" for i in range(N)])
    table.loc[3, "pride1"], table.loc[4, "x1"], table.loc[5, "loyal1"] = canary, -canary, 2 * canary
    options = (
        {},
        {"missing": "fiml"},
        {"bootstrap": 10, "seed": 1, "progress": False},
        {"estimator": "MLR", "cluster": "team"},
        {"group": "site"},
    )
    for place, asked in enumerate(options):
        text = rox.fit(model(), table, **asked).save(tmp_path / f"{place}.json").read_text()
        assert "hush" not in text
        numbers = {float(number) for number in re.findall(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?", text)}
        assert not numbers & set(table[ITEMS].to_numpy().ravel().tolist())
        assert str(canary)[:8] not in text


def test_ends_are_means_of_five_answers():
    population = FITS["plain"].population
    column = np.sort(TABLE["pride1"])
    assert population.low[1] == pytest.approx(column[:5].mean())
    assert population.high[1] == pytest.approx(column[-5:].mean())


# --- older documents, and documents that are not as they should be


def rewritten(path, change):
    envelope = json.loads(path.read_text())
    change(envelope)
    envelope["checksum"] = content_hash(envelope["content"])
    path.write_text(json.dumps(envelope))
    return path


def test_a_document_of_version_1_is_read(tmp_path):
    """Version 1 held path fits only, and none of the fields that latent constructs brought."""
    fit = rox.fit(
        rox.RoxModel(
            name="old",
            constructs=[construct("x", "context", 1), construct("pride", "pride", 3)],
            edges=["x -> pride", rox.Edge(cause="pride", effect="x", lag=1, fixed=0.1)],
        ),
        TABLE,
        method="path",
    )

    def older(envelope):
        envelope["schema_version"] = 1
        content = envelope["content"]
        for name in ("groups", "scaling", "estimator"):
            del content[name]
        for record in content["parameters"]:
            for name in ("value", "start", "lower", "note"):
                del record[name]
        for record in content["measures"]:
            del record["errors"]

    path = rewritten(fit.save(tmp_path / "old.json"), older)
    loaded = rox.load(path)
    pd.testing.assert_frame_equal(loaded.parameters(), fit.parameters(), check_exact=True)
    pd.testing.assert_frame_equal(loaded.edges(), fit.edges(), check_exact=True)
    assert rox.ScoringEngine.load(path).what_if({"x": 1.0})["x"] == 1.0
    assert json.loads(loaded.save(tmp_path / "new.json").read_text())["schema_version"] == SCHEMA_VERSION == 3


def first(content, kind):
    return next(row for row in content["parameters"] if row["kind"] == kind)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: first(c, "loading").update(right="pride9"), "not those of its model"),
        (lambda c: first(c, "edge").update(left="value"), "not those of its model"),
        (lambda c: first(c, "edge").update(free=99), "not those of its model"),
        (lambda c: first(c, "variance").update(kind="mystery"), "not those of its model"),
        (lambda c: c["parameters"].pop(2), "not those of its model"),
        (lambda c: c.update(method="path"), "not those of its model"),
        (lambda c: c.update(scaling="metric"), "scaling is 'metric'"),
        (lambda c: c["vcov"].pop(), "arrays do not fit together"),
        (lambda c: c["groups"][0]["covariance"].pop(), "arrays do not fit together"),
        (lambda c: c["measures"][1]["errors"].pop(), "arrays do not fit together"),
        (lambda c: c["groups"][0].update(rows=[1]), r"field 'groups\.0\.rows'"),
    ],
)
def test_contradictions_are_refused_even_with_a_right_checksum(tmp_path, spoil, message):
    path = rewritten(FITS["plain"].save(tmp_path / "fit.json"), lambda envelope: spoil(envelope["content"]))
    with pytest.raises(DocumentError, match=message):
        rox.load(path)


def test_a_handful_of_people_is_not_saved(tmp_path):
    """The mean of a group of four is in its document: refused, and nothing is written; min_group= is the user's."""
    rng = np.random.default_rng(1)
    shift = np.array(["day"] * 100 + ["night"] * 4)
    people = pd.DataFrame({"a": rng.normal(5, 1, 104), "shift": shift, "w": np.where(np.arange(104) == 103, 50.0, 1.0)})
    people["b"] = people["a"] + rng.normal(0, 1, 104)
    spec = rox.five_factor({"pride": ["a"], "outcomes": ["b"]})
    fit, path = rox.fit(spec, people, group="shift"), tmp_path / "few.json"
    assert any(note.startswith("Fewer than 5 people in 'night'") for note in fit.notes)
    path.write_text("what stood there", encoding="utf-8")
    for small in (fit, fit.group("night")):
        with pytest.raises(DocumentError, match=r"rests on 4 people .* Allowed: at least min_group=5"):
            small.save(path)
    assert path.read_text(encoding="utf-8") == "what stood there"
    assert fit.group("day").save(tmp_path / "day.json").exists()
    loaded = rox.load(fit.save(tmp_path / "mine.json", min_group=4))
    with pytest.raises(DocumentError, match="The group 'night' rests on 4 people"):
        loaded.save(tmp_path / "again.json")
    six = people.assign(shift=["day"] * 98 + ["night"] * 6)
    assert rox.fit(spec, six, group="shift").save(tmp_path / "six.json").exists()
    with pytest.raises(DocumentError, match="The group 'night' rests on 2"):  # one person has nearly all the weight
        rox.fit(spec, six, group="shift", weight="w").save(tmp_path / "heavy.json")
    with pytest.raises(DocumentError, match="This fit rests on 4 people"):
        rox.fit(spec, people[:4], method="path").save(tmp_path / "rows.json")
    for wrong in (0, 1.5, True, "5"):
        with pytest.raises(DocumentError, match="min_group= was"):
            fit.save(tmp_path / "wrong.json", min_group=wrong)
    assert not (tmp_path / "wrong.json").exists()
