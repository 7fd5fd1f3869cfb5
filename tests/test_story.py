"""The story of every answer: one record, from which text, HTML and plain values are written."""

import json
import warnings

import pytest

import roxmodel as rox
from roxmodel.story import Story, StoryPoints, StoryTable

FEW = {"draws": 40, "seed": 1}
ACTION = rox.Intervention(name="a <b>", shift={"pride": 0.2}, cost=1e3)


def answers():
    world = rox.datasets.make_world(units=30, seed=1)
    study = world.study()
    fit = rox.fit(world.model, study, method="path")
    yield study
    yield study.check()
    yield fit
    yield rox.simulate(fit, ACTION, horizon=2, value={"revenue": 1e3}, **FEW)
    yield rox.counterfactual(fit, study.units[3], do={"pride": 3.0}, **FEW)
    yield rox.forecast(fit, {"pride": 3.0}, **FEW)
    yield rox.where_to_act(fit, "revenue", **FEW)
    yield rox.optimize(fit, ACTION, budget=5e3, horizon=2, value={"revenue": 1e3}, **FEW)


@pytest.fixture(scope="module")
def stories():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return {answer.story().kind: answer for answer in answers()}


KINDS = ("study", "check", "fit", "run", "counterfactual", "forecast", "priorities", "plan")


def test_every_answer_has_one(stories):
    assert tuple(stories) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_notebook_are_written_from_it(stories, kind):
    answer, story = stories[kind], stories[kind].story()
    if kind == "study":
        assert story.to_text().splitlines()[0] == repr(answer)
    else:
        assert story.to_text() == answer.summary()
        assert story.notes
    if kind != "check":  # a notebook shows a glance of it
        assert story.to_html() == answer._repr_html_()
    if kind not in {"study", "check"}:
        assert str(answer) == answer.summary()


@pytest.mark.parametrize("kind", KINDS)
def test_its_plain_values_are_all_of_it(stories, kind):
    story = stories[kind].story()
    plain = json.loads(json.dumps(story.to_dict()))
    assert plain["kind"] == kind
    assert [part["kind"] for part in plain["body"]].count("table") == len(story.tables)
    text = "\n".join(
        [*(part.get("text", "") for part in plain["body"]), *(x for p in plain["body"] for x in p.get("lines", []))]
    )
    assert all(line in text for line in story.sentences)
    for part in plain["body"]:
        if part["kind"] == "table":
            assert all(len(row) == len(part["columns"]) for row in part["rows"])


def test_every_text_is_escaped():
    table = StoryTable(("a<",), (("<td>",),), caption="<c>")
    told = Story("fit", "<t>", "", ("<w>",), ("<b>",), ("<s>", table, StoryPoints(("<p>",))), ("<n>",)).to_html()
    assert all(f"&lt;{letter}&gt;" in told for letter in ("t", "w", "b", "s", "c", "p", "n", "td"))
    assert "a&lt;" in told


def test_a_glance_shows_its_headline_and_no_small_print():
    story = Story("study", "", "<Study of 3 units>")
    assert story.to_html() == "<p>&lt;Study of 3 units&gt;</p>"
    assert story.to_text() == "<Study of 3 units>"


def test_lines_of_one_paragraph_stand_apart_in_text_only():
    story = Story("fit", "t", "h", basis=("one.\ntwo.",))
    assert story.to_text() == "h\none.\ntwo."
    assert story.to_html() == "<h4>t</h4><p>one. two.</p>"
