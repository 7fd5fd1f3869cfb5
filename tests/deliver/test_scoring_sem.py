"""Scores of latent constructs: Bartlett's formula by matrices; what-ifs in points of the first item; loops."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.document import FitContent, content_hash

EXACT = 1e-9  # algebra in double precision
N = 400


def construct(name, factor, items, **options):
    return rox.Construct(name=name, factor=factor, source="customer", items=items, **options)


def table(seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 1, N)
    pride = 0.5 * x + rng.normal(0, 0.8, N)
    value = 0.6 * pride + rng.normal(0, 0.8, N)
    found = pd.DataFrame({"x": x, "w": 2 + 0.5 * x + rng.normal(0, 0.5, N)})
    for i, loading in enumerate((0.8, 1.1, 0.6), 1):
        found[f"pri{i}"] = np.clip(np.round(4 + loading * pride + rng.normal(0, 0.6, N)), 1, 7)
        found[f"val{i}"] = 10 + loading * value + rng.normal(0, 0.6, N)
    found["pri2"] = 8 - found["pri2"]
    return found


CONSTRUCTS = [
    construct("x", "context", ["x"]),
    construct("climate", "influencers", ["w"], reliability=0.7),
    construct(
        "pride",
        "pride",
        [rox.Item(name="pri1"), rox.Item(name="pri2", reverse=True), rox.Item(name="pri3")],
        scale=rox.Likert(1, 7),
    ),
    construct("value", "value_drivers", ["val1", "val2", "val3"]),
]
MODEL = rox.RoxModel(name="shop", constructs=CONSTRUCTS, edges=["x + climate -> pride", "pride -> value"])


@pytest.fixture(scope="module", params=["marker", "standardized"])
def fit(request):
    return rox.fit(MODEL, table(), scaling=request.param)


@pytest.fixture(scope="module")
def path(fit, tmp_path_factory):
    return fit.save(tmp_path_factory.mktemp("sem") / "fit.json")


@pytest.fixture(scope="module")
def engine(path):
    return rox.ScoringEngine.load(path)


def content_of(path):
    return json.loads(path.read_text())["content"]


def measurement(fit, name):
    """Loadings and residual variances of a construct's own items, in the units of its first item."""
    rows = fit.parameters().set_index("id")["estimate"]
    items = fit.model.find(name).item_names
    loadings = np.array([rows[f"loading:{name}=~{item}"] for item in items])
    residuals = np.array([rows[f"variance:{item}"] for item in items])
    return loadings / loadings[0], residuals


def by_matrices(fit, name, answers, mean):
    """η̂ = (Λ'Θ⁻¹Λ)⁻¹ Λ'Θ⁻¹ (y - ȳ) in points of the first item; answers and means turned."""
    there = ~np.isnan(answers)
    loadings, residuals = measurement(fit, name)
    weights = loadings[there] / residuals[there]
    precision = weights @ loadings[there]
    return mean[0] + weights @ (answers - mean)[there] / precision, 1 / math.sqrt(precision)


@pytest.mark.parametrize("missing", [(), (0,), (1, 2), (0, 1)])
def test_a_score_is_bartletts(engine, fit, missing):
    for name, items in (("pride", ["pri1", "pri2", "pri3"]), ("value", ["val1", "val2", "val3"])):
        data = table()[items].to_numpy()
        if name == "pride":
            data[:, 1] = 8 - data[:, 1]
        row = data[7].copy()
        row[list(missing)] = np.nan
        score, se = by_matrices(fit, name, row, data.mean(axis=0))
        asked = dict(zip(items, table()[items].iloc[7], strict=True))
        asked = {item: None if place in missing else value for place, (item, value) in enumerate(asked.items())}
        found = engine.score(asked)[name]
        assert found.score == pytest.approx(score, rel=EXACT)
        assert found.se == pytest.approx(se, rel=EXACT)
        assert found.answered == 3 - len(missing)


def test_single_items_say_how_sure_they_are(engine):
    scores = engine.score({"x": 2.5, "w": 3.0})
    assert (scores["x"].score, scores["x"].se) == (2.5, 0.0)
    assert scores["climate"].score == 3.0
    assert scores["climate"].se == pytest.approx(math.sqrt(0.3 * table()["w"].var(ddof=0)), rel=EXACT)
    assert math.isnan(scores["pride"].score)
    assert math.isnan(scores["pride"].se)


def test_a_batch_is_row_by_row(engine):
    given = table().head(60).mask(np.random.default_rng(2).random((60, 8)) < 0.4)
    batch = engine.score_batch(given)
    for i, row in enumerate(given.to_dict("records")):
        for name, score in engine.score(row).items():
            for one, other in ((batch[name][i], score.score), (batch[f"{name}_se"][i], score.se)):
                np.testing.assert_allclose(one, other, rtol=1e-12)


def test_an_exact_item_decides_and_the_others_step_in(path):
    """A residual variance of 0 (a Heywood case held at its bound)."""
    content = content_of(path)
    measure = content["measures"][2]
    errors = [0.0, *measure["errors"][1:]]
    measure.update(errors=errors, weights=[1.0, 0.0, 0.0])
    again = rox.ScoringEngine(FitContent.model_validate(content))
    exact = again.score({"pri1": 5, "pri2": 1, "pri3": 1})["pride"]
    assert (exact.score, exact.se) == (pytest.approx(5, rel=EXACT), 0.0)
    rest = again.score({"pri2": 1, "pri3": 4})["pride"]
    weights = 1 / np.array(errors[1:])
    turned = [measure["offsets"][i] + measure["signs"][i] * answer for i, answer in ((1, 1), (2, 4))]
    assert rest.score == pytest.approx(weights @ turned / weights.sum(), rel=EXACT)
    assert rest.se == pytest.approx(1 / math.sqrt(weights.sum()), rel=EXACT)
    batch = again.score_batch({"pri1": [5, np.nan], "pri2": [1, 1], "pri3": [1, 4]})
    np.testing.assert_allclose(batch["pride"], [exact.score, rest.score])
    np.testing.assert_allclose(batch["pride_se"], [0.0, rest.se])


def test_an_item_that_tells_nothing_scores_nothing(path):
    content = content_of(path)
    measure = content["measures"][2]
    measure.update(errors=[measure["errors"][0], measure["errors"][1], "Infinity"], weights=[0.5, 0.5, 0.0])
    again = rox.ScoringEngine(FitContent.model_validate(content))
    score = again.score({"pri3": 4})["pride"]
    assert math.isnan(score.score)
    assert math.isnan(score.se)
    assert np.isnan(again.score_batch({"pri3": [4.0]})["pride"]).all()


# --- what if


def test_what_if_counts_in_points_of_the_first_item(tmp_path):
    fits = [rox.fit(MODEL, table(), scaling=scaling) for scaling in ("marker", "standardized")]
    assert not np.allclose(fits[0].edges()["estimate"], fits[1].edges()["estimate"], rtol=0.01)
    answers = []
    for place, fit in enumerate(fits):
        engine = rox.ScoringEngine.load(fit.save(tmp_path / f"{place}.json"))
        answers.append(engine.what_if({"pride": 0.5, "climate": -0.2}))
    total = np.linalg.inv(np.eye(4) - fits[0].system().coefficients[0])
    expected = total @ [0, -0.2, 0.5, 0]
    for found in answers:
        np.testing.assert_allclose(list(found.values()), expected, rtol=1e-5, atol=1e-9)


def test_a_shift_is_at_most_the_first_items_scale(engine):
    assert engine.what_if({"pride": 6.0})["pride"] == 6.0
    with pytest.raises(rox.SimulationError, match="more than its whole scale"):
        engine.what_if({"pride": 6.1})
    assert engine.what_if({"value": 100.0})["value"] == 100.0


def looped(gain=0.3):
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, N))
    coefficients = np.array([[0, gain], [0.4, 0]])
    effects = np.linalg.inv(np.eye(2) - coefficients)
    a, b = effects @ np.stack([0.7 * x + 0.3 * rng.normal(size=N), 0.7 * z + 0.3 * rng.normal(size=N)])
    frame = pd.DataFrame({"x": x, "z": z})
    for i in (1, 2):
        frame[f"a{i}"], frame[f"b{i}"] = (s + rng.normal(0, 0.3, N) for s in (a, b))
    constructs = [
        construct("x", "context", ["x"]),
        construct("z", "context", ["z"]),
        construct("a", "pride", ["a1", "a2"]),
        construct("b", "value_drivers", ["b1", "b2"]),
    ]
    edges = ["x -> a", "z -> b", "a -> b -> a"]
    return rox.fit(rox.RoxModel(name="loop", constructs=constructs, edges=edges, feedback=True), frame)


def test_a_loop_is_answered_at_equilibrium(tmp_path):
    fit = looped()
    engine = rox.ScoringEngine.load(fit.save(tmp_path / "loop.json"))
    coefficients, change = fit.system().coefficients[0], np.zeros(4)
    for _ in range(500):
        change = coefficients @ change + np.array([1.0, 0.0, 0.5, 0.0])
    np.testing.assert_allclose(list(engine.what_if({"x": 1.0, "a": 0.5}).values()), change, rtol=1e-9)
    assert engine.what_if({"a": 0.5})["a"] > 0.5


def test_a_loop_that_never_settles_is_refused(tmp_path):
    path = looped().save(tmp_path / "loop.json")
    document = json.loads(path.read_text())
    for row in document["content"]["parameters"]:
        if row["id"] in {"edge:a->b", "edge:b->a"}:
            row["estimate"] = 1.5
    document["checksum"] = content_hash(document["content"])
    path.write_text(json.dumps(document))
    with pytest.raises(rox.SimulationError, match=r"no equilibrium.*1\.5 in modulus.*below 1"):
        rox.ScoringEngine.load(path).what_if({"a": 0.1})


def test_ordinal_items_are_not_added_up(tmp_path):
    frame = table().assign(**{f"val{i}": np.digitize(table()[f"val{i}"], [9, 10, 11]) for i in (1, 2, 3)})
    scale = rox.Likert(0, 3)
    constructs = [construct("pride", "pride", [f"pri{i}" for i in (1, 2, 3)], scale=rox.Likert(1, 7))]
    constructs.append(construct("value", "value_drivers", [f"val{i}" for i in (1, 2, 3)], scale=scale))
    model = rox.RoxModel(name="ordinal", constructs=constructs, edges=["pride -> value"])
    fit = rox.fit(model, frame.assign(pri2=8 - frame["pri2"]), estimator="DWLS")
    engine = rox.ScoringEngine.load(fit.save(tmp_path / "ordinal.json"))
    pd.testing.assert_frame_equal(rox.load(tmp_path / "ordinal.json").parameters(), fit.parameters(), check_exact=True)
    for ask in (engine.score, engine.score_batch):
        with pytest.raises(rox.DataError, match="'val1' was fitted as ordinal"):
            ask({"val1": [2] if ask == engine.score_batch else 2})
    total = fit.system().coefficients[0, 1, 0]
    assert engine.what_if({"pride": 0.5})["value"] == pytest.approx(0.5 * total, rel=EXACT)
    run = rox.simulate(fit, [rox.Intervention(name="x", shift={"pride": 0.5})], horizon=1, draws=50, seed=1)
    assert "standard deviations" in run.summary()
    with pytest.raises(rox.SimulationError, match="ordinal items"):
        rox.simulate(fit, [rox.Intervention(name="x", set={"pride": 4.0})], horizon=1)


def test_a_fit_of_groups_is_scored_group_by_group(tmp_path):
    frame = table().assign(site=np.where(np.arange(N) % 2, "north", "south"))
    fit = rox.fit(MODEL, frame, group="site")
    path = fit.save(tmp_path / "groups.json")
    with pytest.raises(rox.DocumentError, match=r"2 groups.*fit\.group\('"):
        rox.ScoringEngine.load(path)
    name = fit.groups[0].name
    engine = rox.ScoringEngine.load(fit.group(name).save(tmp_path / "one.json"))
    assert 1 < engine.score({"pri1": 4})["pride"].score < 7
