"""The engine scores what it is given by the rule it states, and refuses the rest in one sentence."""

import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.document import content_hash

EXACT = 1e-12  # algebra in double precision
FIVE = rox.Likert(1, 5)
SURVEYS = ("influencers", "pride", "behaviours", "value", "loyalty")


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(units=60, seed=3, employees=(5, 12), customers=(5, 12))


@pytest.fixture(scope="module")
def turned(world):
    """The world's model with one reversed item: pri2, answered the other way round."""
    pride = world.model.find("pride")
    items = [item.replace(reverse=item.name == "pri2") for item in pride.items]
    constructs = [c.replace(items=items) if c.name == "pride" else c for c in world.model.constructs]
    return world.model.replace(constructs=constructs)


@pytest.fixture(scope="module")
def employees(world):
    return world.employee.assign(pri2=6 - world.employee["pri2"])


@pytest.fixture(scope="module")
def fit(world, turned, employees):
    study = rox.Study(turned, employee=employees, customer=world.customer, unit=world.unit, by="branch")
    return rox.fit(turned, study, method="path")


@pytest.fixture(scope="module")
def path(fit, tmp_path_factory):
    return fit.save(tmp_path_factory.mktemp("saved") / "branches.rox.json")


@pytest.fixture(scope="module")
def engine(path):
    return rox.ScoringEngine.load(path)


def within_covariance(frame: pd.DataFrame, items: list[str]) -> np.ndarray:
    """Pooled covariance of items within branches, divisor n - branches."""
    deviations = frame[items] - frame.groupby("branch")[items].transform("mean")
    return (deviations.T @ deviations).to_numpy() / (len(frame) - frame["branch"].nunique())


# --- one respondent


def test_a_score_is_the_mean_of_the_answered_items_reversed_ones_turned(engine):
    score = engine.score({"pri1": 5, "pri2": 2, "pri3": 3, "pri4": None})["pride"]
    assert score.score == pytest.approx((5 + (6 - 2) + 3) / 3, abs=EXACT)
    assert score.answered == 3


def test_its_standard_error_is_that_of_a_mean_of_parallel_items(engine, world):
    frame = world.employee  # pri2 as it was before it was turned: the covariance the document speaks of
    covariance = within_covariance(frame, ["pri1", "pri2", "pri3", "pri4"])
    v = np.trace(covariance) / 4
    c = (covariance.sum() - np.trace(covariance)) / 12
    for answers, m in (
        ({"pri1": 3}, 1),
        ({"pri1": 3, "pri3": 4}, 2),
        (dict.fromkeys(("pri1", "pri2", "pri3", "pri4"), 3), 4),
    ):
        assert engine.score(answers)["pride"].se == pytest.approx(math.sqrt((v - c) / m), rel=1e-9)


def test_with_all_items_it_is_sd_times_root_of_one_minus_alpha(engine, world):
    covariance = within_covariance(world.employee, ["pri1", "pri2", "pri3", "pri4"])
    alpha = 4 / 3 * (1 - np.trace(covariance) / covariance.sum())
    sd = math.sqrt(covariance.sum() / 16)
    score = engine.score(dict.fromkeys(("pri1", "pri2", "pri3", "pri4"), 3))["pride"]
    assert score.se == pytest.approx(sd * math.sqrt(1 - alpha), rel=1e-9)


def test_what_nobody_answered_is_nan(engine):
    scores = engine.score({"pri1": 3})
    assert math.isnan(scores["value"].score)
    assert math.isnan(scores["value"].se)
    assert scores["value"].answered == 0


def test_a_single_item_has_no_standard_error(engine):
    revenue = engine.score({"revenue": 512.5})["revenue"]
    assert revenue.score == 512.5
    assert math.isnan(revenue.se)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_missing_is_missing_however_it_is_written(engine, missing):
    assert engine.score({"pri1": missing, "pri3": 4})["pride"].score == 4
    assert engine.score({"pri1": missing, "pri3": 4})["pride"].answered == 1


@pytest.mark.parametrize("answer", [4, 4.0, np.int8(4), np.float32(4), Decimal(4)])
def test_numbers_of_any_kind_are_numbers(engine, answer):
    assert engine.score({"pri1": answer})["pride"].score == 4


@pytest.mark.parametrize("answer", [0, 6, -1.0, 1e9, float("inf"), 10**400])
def test_an_answer_outside_its_scale_is_refused(engine, answer):
    with pytest.raises(rox.DataError, match="answer to 'pri1' is .* outside its scale. Allowed: 1 to 5"):
        engine.score({"pri1": answer})


@pytest.mark.parametrize("answer", ["4", "very", 4 + 0j, [4], {"a": 1}, np.array([4])])
def test_what_is_no_number_is_refused(engine, answer):
    with pytest.raises(rox.DataError, match="'pri1' is .* which is no number"):
        engine.score({"pri1": answer})


def test_unknown_answers_are_ignored_but_not_all_of_them(engine):
    assert engine.score({"pri1": 4, "age": "old", 3: 4})["pride"].score == 4
    with pytest.raises(rox.DataError, match="None of the answers 'prl1' .* Did you mean 'pri1'"):
        engine.score({"prl1": 4})
    with pytest.raises(rox.DataError, match="no answer to score. Items: 'inf1'"):
        engine.score({})


@pytest.mark.parametrize("answers", [None, 3, "pri1", [("pri1", 4)], np.zeros((2, 3))])
def test_odd_input_is_refused_in_words(engine, answers):
    for ask in (engine.score, engine.score_batch):
        with pytest.raises(rox.DataError, match="type"):
            ask(answers)


def test_a_row_of_a_frame_is_a_respondent(engine, employees):
    row = employees.drop(columns="branch").iloc[0]
    assert engine.score(row) == engine.score(row.to_dict()) or any(
        math.isnan(s.score) for s in engine.score(row).values()
    )
    assert engine.score(row)["pride"].score == engine.score(row.to_dict())["pride"].score


# --- many at once


def frames(columns):
    """The same columns as every kind of table."""
    return {
        "mapping": columns,
        "arrays": {name: np.array(values, dtype=float) for name, values in columns.items()},
        "pandas": pd.DataFrame(columns),
        "nullable": pd.DataFrame({name: pd.array(values, dtype="Int64") for name, values in columns.items()}),
        "polars": pl.DataFrame(columns),
        "pyarrow": pa.table(columns),
    }


COLUMNS = {"pri1": [5, 2, None, 1], "pri2": [2, None, None, 5], "pri3": [3, 3, None, 1], "val1": [4, None, 1, 5]}


@pytest.mark.parametrize("kind", frames(COLUMNS))
def test_a_batch_is_its_rows_one_by_one(engine, kind):
    batch = engine.score_batch(frames(COLUMNS)[kind])
    for row in range(4):
        alone = engine.score({name: values[row] for name, values in COLUMNS.items()})
        for name, score in alone.items():
            np.testing.assert_allclose(batch[name][row], score.score, rtol=0, atol=EXACT)
            np.testing.assert_allclose(batch[f"{name}_se"][row], score.se, rtol=1e-12)


def test_a_batch_is_aligned_with_its_rows_whatever_the_index(engine, employees):
    mixed = employees.sample(frac=1, random_state=1)
    ordered = engine.score_batch(employees)["pride"]
    np.testing.assert_array_equal(engine.score_batch(mixed)["pride"], ordered[mixed.index])


def test_unit_means_of_scores_are_the_composites_of_the_fit(engine, fit, employees):
    scores = pd.Series(engine.score_batch(employees)["pride"]).groupby(employees["branch"]).mean()
    place = fit.model.names.index("pride")
    np.testing.assert_allclose(scores, fit.population.levels[:, place], rtol=1e-12)  # complete answers


def test_no_rows_score_to_no_rows(engine):
    assert engine.score_batch({"pri1": []})["pride"].shape == (0,)


def test_a_batch_leaves_its_input_alone(engine):
    given = {"pri1": np.array([1.0, np.nan])}
    given["pri1"].flags.writeable = False
    engine.score_batch(given)
    frame = pd.DataFrame(COLUMNS)
    before = frame.copy()
    engine.score_batch(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"pri1": [1, 6]}, "'pri1' is 6, outside its scale"),
        ({"pri1": [1, np.inf]}, "'pri1' is inf, outside its scale"),
        ({"pri1": ["1", "2"]}, "'pri1' holds '1', which is no number"),
        ({"pri1": [1, "two"]}, "'pri1' holds .* which is no number"),
        ({"pri1": [1], "pri2": [1, 2]}, r"different lengths: \[1, 2\]"),
        ({"pri1": [[1, 2], [3, 4]]}, "not one value for each row"),
        ({"pri1": [[1], [3, 4]]}, "not one value for each row"),
        ({"pri1": 3}, "not one value for each row"),
        ({"prl1": [3]}, "Did you mean 'pri1'"),
    ],
)
def test_a_batch_refuses_what_it_cannot_score(engine, columns, words):
    with pytest.raises(rox.DataError, match=words):
        engine.score_batch(columns)


def test_dates_and_lazy_frames_are_refused(engine):
    with pytest.raises(rox.DataError, match="no number"):
        engine.score_batch(pd.DataFrame({"pri1": pd.to_datetime(["2020-01-01"])}))
    with pytest.raises(rox.DataError, match="lazy"):
        engine.score_batch(pl.DataFrame(COLUMNS).lazy())


answer = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=2))


@settings(max_examples=150, deadline=None)
@given(answers=st.dictionaries(st.sampled_from(["pri1", "pri2", "revenue", "x", ""]), answer, max_size=4))
def test_no_input_breaks_it(engine, answers):
    try:
        scores = engine.score(answers)
    except rox.RoxError:
        return
    assert set(scores) == set(engine.constructs)
    assert all(1 <= scores[name].score <= 5 or math.isnan(scores[name].score) for name in SURVEYS)


# --- what if


def test_what_if_is_the_total_effect_times_the_shift(engine, fit):
    for cause in ("influencers", "pride", "affluence"):
        change = engine.what_if({cause: 0.4})
        assert change[cause] == 0.4
        for effect in fit.model.names:
            if effect != cause:
                total = fit.effects(cause, effect)["estimate"].iloc[-1]
                assert change[effect] == pytest.approx(0.4 * total, rel=1e-9, abs=EXACT)


def test_shifts_add_up_and_nothing_does_nothing(engine):
    one, other = engine.what_if({"pride": 0.2}), engine.what_if({"value": -0.1})
    both = engine.what_if({"pride": 0.2, "value": -0.1})
    for name in engine.constructs:
        assert both[name] == pytest.approx(one[name] + other[name], abs=EXACT)
    assert set(engine.what_if({}).values()) == {0.0}


@pytest.mark.parametrize(
    "shift", [{"pride": "0.4"}, {"pride": np.nan}, {"pride": np.inf}, {"pride": None}, {"prid": 1}, {3: 1}]
)
def test_a_shift_that_cannot_be_is_refused(engine, shift):
    with pytest.raises(rox.SimulationError, match="pride"):
        engine.what_if(shift)


def test_a_shift_must_be_a_mapping(engine):
    with pytest.raises(rox.SimulationError, match="mapping"):
        engine.what_if(None)


def test_what_if_bends_where_an_equation_is_curved(tmp_path):
    rng = np.random.default_rng(5)
    pride = rng.normal(0, 1, 400)
    frame = pd.DataFrame({"pride": pride, "stays": rng.random(400) < 1 / (1 + np.exp(-1 - pride))})
    model = rox.RoxModel(
        name="curved",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=["pride"]),
            rox.Construct(
                name="stays", factor="outcomes", source="employee", items=[rox.Item(name="stays", scale=rox.Binary())]
            ),
        ],
        edges=["pride -> stays"],
    )
    fit = rox.fit(model, frame, method="path")
    engine = rox.ScoringEngine.load(fit.save(tmp_path / "curved.json"))
    table = fit.parameters().set_index("id")["estimate"]
    slope, middle = table["edge:pride->stays"], table["intercept:stays"]
    nodes = pride.mean() + pride.std() * np.linspace(-9, 9, 20_001)  # a normal population, by a fine sum

    def share(moved):
        chance = 1 / (1 + np.exp(-middle - slope * (nodes + moved)))
        weight = np.exp(-((nodes - pride.mean()) ** 2) / (2 * pride.var()))
        return (chance * weight).sum() / weight.sum()

    assert engine.what_if({"pride": 1.0})["stays"] == pytest.approx(share(1.0) - share(0.0), rel=1e-9)
    assert -1 < engine.what_if({"pride": -1e6})["stays"] < 0 < engine.what_if({"pride": 1e6})["stays"] < 1


# --- the document


def test_an_engine_from_a_loaded_fit_scores_the_same_bits(engine, path, tmp_path):
    again = rox.ScoringEngine.load(rox.load(path).save(tmp_path / "again.json"))
    answers = {"pri1": 5, "pri2": 2, "val1": 3}
    assert again.score(answers)["pride"] == engine.score(answers)["pride"]
    assert again.what_if({"pride": 0.3}) == engine.what_if({"pride": 0.3})


def test_an_engine_never_changes(engine):
    with pytest.raises(AttributeError, match="does not change"):
        engine.constructs = ()
    assert "ScoringEngine" in repr(engine)
    assert engine.items[:2] == ("inf1", "inf2")


def written(path, tmp_path, change, seal=True):
    """The document with one change, its checksum mended."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    if seal:
        document["checksum"] = content_hash(document["content"])
    target = tmp_path / "changed.json"
    target.write_text(json.dumps(document), encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("change", "seal", "words"),
    [
        (lambda d: d.update(schema_version=99), True, "schema version 99"),
        (lambda d: d.update(kind="model"), True, "holds a 'model'"),
        (lambda d: d.update(format="other"), True, "not a roxmodel document"),
        (lambda d: d["content"].pop("measures"), True, "'measures'"),
        (lambda d: d["content"]["population"].update(n=1), False, "altered"),
        (lambda d: d["content"]["population"]["names"].reverse(), True, "do not match"),
        (
            lambda d: d["content"]["measures"][0]["weights"].pop(),
            True,
            "weights of 'influencers' is of length 2",
        ),
        (lambda d: d["content"]["parameters"][0].update(left="nobody"), True, "do not match"),
    ],
)
def test_a_document_that_is_not_whole_is_refused(path, tmp_path, change, seal, words):
    with pytest.raises(rox.DocumentError, match=words):
        rox.ScoringEngine.load(written(path, tmp_path, change, seal))


def test_a_loop_in_a_document_is_refused(path, tmp_path):
    def loop(document):
        edge = next(p for p in document["content"]["parameters"] if p["id"] == "edge:behaviours->value")
        edge.update(left="revenue")

    with pytest.raises(rox.DocumentError, match="loop"):
        rox.ScoringEngine.load(written(path, tmp_path, loop))


def test_a_truncated_or_missing_file_is_refused(path, tmp_path):
    short = tmp_path / "short.json"
    short.write_text(path.read_text(encoding="utf-8")[:500], encoding="utf-8")
    with pytest.raises(rox.DocumentError, match="not a complete JSON document"):
        rox.ScoringEngine.load(short)
    with pytest.raises(rox.DocumentError, match="cannot be read"):
        rox.ScoringEngine.load(tmp_path / "nowhere.json")


def test_answers_in_words_are_scored_by_their_labels(tmp_path):
    words = ["never", "rarely", "sometimes", "often", "always"]
    rng = np.random.default_rng(1)
    answers = {f"p{i}": [words[k] for k in rng.integers(0, 5, 60)] for i in (1, 2)}
    frame = pd.DataFrame({**answers, "sales": rng.normal(size=60)})
    scale = rox.Likert(1, 5, labels=words)
    model = rox.RoxModel(
        name="words",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2"], scale=scale),
            rox.Construct(name="sales", factor="outcomes", source="employee", items=["sales"]),
        ],
        edges=["pride -> sales"],
    )
    engine = rox.ScoringEngine.load(rox.fit(model, frame, method="path").save(tmp_path / "fit.json"))
    assert engine.score({"p1": "often", "p2": 2})["pride"].score == 3.0
    numbers = frame[["p1", "p2"]].map(words.index) + 1
    np.testing.assert_array_equal(engine.score_batch(frame)["pride"], numbers.mean(axis=1))
    with pytest.raises(rox.RoxError, match="'seldom', which is neither a number nor a label"):
        engine.score({"p1": "seldom"})
    with pytest.raises(rox.RoxError, match="more than its whole scale"):
        engine.what_if({"pride": 40.0})
