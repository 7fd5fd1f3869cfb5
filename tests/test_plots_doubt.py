"""Doubt in pictures: words on top that hide nothing, marked arrows, the same in DOT and Mermaid."""

from dataclasses import replace

import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt, doubt_words
from roxmodel.plots.diagram import Arrow, Diagram, Node, arrow_label, to_dot, to_mermaid
from roxmodel.plots.draw import draw_diagram, keys
from roxmodel.plots.page import DOUBT, figure_bytes, warned

COLLINEAR = Doubt(
    "collinear", "doubtful", "pride and influencers tell the same & <cost> $5.", ("pride", "influencers"), "Merge.",
    edges=("pride -> behaviours", "influencers -> behaviours"),
)  # fmt: skip
VALUE = {"revenue": 100.0}
ACT = rox.Intervention(name="coaching", shift={"pride": 0.3}, cost=10.0)


@pytest.fixture(scope="module")
def clean():
    world = rox.datasets.make_world(40, seed=11)
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture(scope="module")
def doubted(clean):
    return replace(clean, findings=(*clean.findings, COLLINEAR))


def pictures(fit):
    run = rox.simulate(fit, [ACT], horizon=3, draws=60, seed=1, value=VALUE, doubtful=True)
    plan = rox.optimize(fit, [ACT], budget=100.0, horizon=3, draws=60, seed=1, value=VALUE, doubtful=True)
    yield "fit", fit.plot()
    for kind in ("effects", "rox", "tornado"):
        yield f"run {kind}", run.plot(kind)
    for kind in ("plan", "frontier", "chance"):
        yield f"plan {kind}", plan.plot(kind)
    yield "map", rox.where_to_act(fit, "revenue", draws=60, seed=1, doubtful=True).plot()


def red(figure):
    return [text for ax in figure.axes if ax.get_gid() == "doubt" for text in ax.texts]


def test_every_picture_of_a_doubtful_fit_begins_with_it(doubted):
    for name, figure in pictures(doubted):
        words = red(figure)
        assert " ".join(text.get_text() for text in words).startswith("DOUBTFUL: collinear. pride and influencers"), (
            name
        )
        figure.canvas.draw()
        page = figure.bbox
        others = [text for ax in figure.axes if ax.get_gid() != "doubt" for text in ax.texts if text.get_text().strip()]
        top = max(text.get_window_extent().y1 for text in others)
        for text in words:
            box = text.get_window_extent()
            assert page.x0 <= box.x0 < box.x1 <= page.x1, name
            assert top <= box.y0 < box.y1 <= page.y1, name
            assert text.get_color() == DOUBT


def test_no_picture_of_a_clean_fit_does(clean):
    for name, figure in pictures(clean):
        assert not red(figure), name


def test_words_on_top_move_the_rest_and_change_nothing_of_it(clean):
    before, after = clean.plot(), warned(clean.plot(), "DOUBTFUL: collinear.")
    assert warned(before, " ") is before
    (wide, high), (width, height) = before.get_size_inches(), after.get_size_inches()
    assert (wide, height > high) == (width, True)
    for one, other in zip(before.axes, after.axes, strict=False):
        a, b = one.get_position(), other.get_position()
        assert a.height * high == pytest.approx(b.height * height)
        assert a.y0 * high == pytest.approx(b.y0 * height)
    assert figure_bytes(after) == figure_bytes(warned(clean.plot(), "DOUBTFUL: collinear."))


def test_doubtful_arrows_are_marked(doubted, clean):
    for text, mark in ((doubted.to_dot(), "? "), (doubted.to_mermaid(), "#63; ")):
        assert text.count(mark) == 2
        assert "DOUBTFUL" in text
    assert "DOUBTFUL" not in clean.to_dot() + clean.to_mermaid()
    assert "#38;" in doubted.to_mermaid().splitlines()[1]  # & and < are no syntax there
    assert doubted.to_dot().count('color="#A1122F", fontcolor="#A1122F"') == 2


def test_a_question_mark_stands_on_the_arrow_and_in_the_key():
    nodes = (Node("a", "pride", "employee", 1), Node("b", "outcomes", "unit", 1))
    arrow = Arrow("a", "b", 0.5, 0.1, 0.9, doubtful=True)
    assert arrow_label(arrow) == "? 0.50 [0.10, 0.90]"
    assert arrow_label(Arrow("a", "b", doubtful=True)) == "?"
    diagram = Diagram(nodes, (arrow,), warning="DOUBTFUL: x.")
    assert any(key.words.startswith("?: in doubt") for key in keys(diagram))
    assert not any("doubt" in key.words for key in keys(replace(diagram, arrows=(Arrow("a", "b", 0.5),))))
    assert red(draw_diagram(diagram))
    assert "digraph" in to_dot(diagram)
    assert "flowchart" in to_mermaid(diagram)


def test_the_words_name_every_check_once_and_the_gravest_finding():
    books = Doubt("books", "unusable", "Row 3 is a sum.", (), "Out.")
    assert doubt_words([books, COLLINEAR, replace(COLLINEAR, finding="x")]) == (
        "UNUSABLE: books. DOUBTFUL: collinear. Row 3 is a sum."
    )
    assert doubt_words([]) == ""


def test_the_table_of_edges_names_the_checks(doubted, clean):
    table = doubted.edges()
    assert table.columns[-1] == "doubt"
    marked = table[table["doubt"] == "collinear"]
    assert {f"{a} -> {b}" for a, b in zip(marked["cause"], marked["effect"], strict=True)} == set(COLLINEAR.edges)
    assert (clean.edges()["doubt"] == "").all()


def test_no_interval_is_read_off_an_unusable_edge(clean):
    told = clean.summary()
    assert "edges have an interval that excludes 0" in told
    lost = replace(clean, findings=(Doubt("books", "unusable", "A row is a sum.", ("Total",), "Out."),))
    assert "excludes 0" not in lost.summary()
    assert "all of them are unusable (books" in lost.summary()
    one = Doubt("size", "unusable", "Too large.", (), "Look.", edges=("pride -> behaviours",))
    part = replace(clean, findings=(one,)).summary()
    assert part.startswith("UNUSABLE (size)")
    assert "Unusable (size; see above), so that no interval is read: pride -> behaviours." in part
    assert "of 9 estimated edges" in part
