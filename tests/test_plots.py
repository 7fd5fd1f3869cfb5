"""The pictures: nothing overlaps, nothing is lost, names may hold anything, errors say what to do."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roxmodel.errors import RoxError
from roxmodel.numerals import includes_zero, plain, written
from roxmodel.plots.charts import Bar, FanSeries, draw_fan, draw_waterfall
from roxmodel.plots.diagram import (
    Arrow,
    Diagram,
    Node,
    arrow_label,
    relative_strengths,
    to_dot,
    to_mermaid,
)
from roxmodel.plots.draw import draw_diagram, keys, pens
from roxmodel.plots.geometry import Box, rough_measure, sampled, separated, shortened, wrapped
from roxmodel.plots.page import font_measure, save_figure
from roxmodel.plots.places import arrange, column_order
from roxmodel.plots.scene import layout

FACTORS = ("pride", "influencers", "behaviours", "value_drivers", "outcomes")


def seven() -> Diagram:
    nodes = (
        Node("influencers", "influencers", "employee", 3),
        Node("pride", "pride", "employee", 4),
        Node("behaviours", "behaviours", "employee", 3),
        Node("value", "value_drivers", "customer", 4),
        Node("loyalty", "outcomes", "customer", 3),
        Node("revenue", "outcomes", "unit", 1),
        Node("affluence", "context", "unit", 1),
    )
    arrows = (
        Arrow("influencers", "pride", 0.62, 0.48, 0.77, 0.66),
        Arrow("influencers", "behaviours", 0.21, 0.05, 0.37, 0.24),
        Arrow("pride", "behaviours", 0.42, 0.31, 0.53, 0.45),
        Arrow("behaviours", "value", 0.58, 0.40, 0.76, 0.52),
        Arrow("value", "loyalty", 0.83, 0.70, 0.96, 0.81),
        Arrow("value", "revenue", -1.24, -3.90, 1.42, -0.07),
        Arrow("loyalty", "revenue", 5.31, 2.95, 7.67, 0.38),
        Arrow("affluence", "revenue", -3.10, -4.90, -1.30, -0.33),
    )
    return Diagram(nodes, arrows, "branches", "Effects between units, 150 branches.")


def dense() -> Diagram:
    """Three constructs per factor, names of thirty characters, 25 arrows of every reach."""
    names = [[f"{factor[:9]} no. {k} with a long name".ljust(30, "x") for k in range(3)] for factor in FACTORS]
    nodes = tuple(Node(n, f, "customer", 3) for f, row in zip(FACTORS, names, strict=True) for n in row)
    pairs = [(names[c][i], names[c + 1][(i + s) % 3]) for c in range(4) for i in range(3) for s in range(2)]
    pairs = pairs[:17]
    pairs += [(names[0][0], names[2][1]), (names[0][1], names[3][2]), (names[1][2], names[4][0])]
    pairs += [(names[0][2], names[4][2]), (names[2][0], names[4][1]), (names[1][1], names[3][0])]
    pairs += [(names[4][0], names[4][2]), (names[3][0], names[3][1])]
    rng = np.random.default_rng(4)
    arrows = []
    for (cause, effect), value in zip(pairs, rng.uniform(-0.4, 0.9, len(pairs)), strict=True):
        arrows.append(Arrow(cause, effect, value, value - 0.2, value + 0.2, value))
    return Diagram(nodes, tuple(arrows), "dense")


def two() -> Diagram:
    nodes = (Node("pride", "pride", "employee", 4), Node("revenue", "outcomes", "unit", 1))
    return Diagram(nodes, (Arrow("pride", "revenue", 1234.5, 210.2, 2258.8),))


def lonely() -> Diagram:
    names = ("region", "size", "affluence", "competition", "age", "season")
    nodes = tuple(Node(name, "context", "unit", 1) for name in names)
    return Diagram((*nodes, Node("pride", "pride", "employee", 4)), ())


def odd() -> Diagram:
    names = ('say "yes"', "Größe → Qualität", "a -> b", "50% of $x and $y", "<b>&amp;|pipe|", "C:\\n\\path")
    factors = (*FACTORS, "context")
    nodes = tuple(Node(n, f, "employee", 2) for n, f in zip(names, factors, strict=True))
    arrows = tuple(Arrow(a, b, 0.3) for a, b in pairwise(names[:5]))
    return Diagram(nodes, (*arrows, Arrow(names[5], names[2], -0.2)), 'title "$x$"', "caption with $ and $")


def feedback() -> Diagram:
    """Every route there is: back, along a column, round a corner, from the row, within the row."""
    plain = seven()
    more = tuple(Node(name, "context", "unit", 1) for name in ("region", "size", "tourism"))
    arrows = (
        Arrow("revenue", "influencers", 0.05, lag=1, assumed=True),
        Arrow("revenue", "revenue", 0.7, lag=1, assumed=True),
        Arrow("revenue", "revenue", 0.1, lag=2, assumed=True),
        Arrow("behaviours", "pride", 0.15, 0.10, 0.20),
        Arrow("loyalty", "revenue", 0.1, kind="covariance"),
        Arrow("size", "loyalty", 0.1, -0.1, 0.3),
        Arrow("size", "pride", 0.2),
        Arrow("region", "size", 0.3, kind="covariance"),
        Arrow("affluence", "size"),
        Arrow("region", "region", 0.5, lag=1),
    )
    return Diagram(plain.nodes + more, plain.arrows + arrows)


def factorless() -> Diagram:
    nodes = tuple(Node(name, "context", "people", 4) for name in ("ind60", "dem60", "dem65", "alone"))
    arrows = (Arrow("ind60", "dem60", 1.48), Arrow("ind60", "dem65", 0.57), Arrow("dem60", "dem65", 0.84))
    return Diagram(nodes, arrows)


CASES = [seven, dense, two, lonely, odd, feedback, factorless]


def words(figure: Any) -> list[str]:
    """What is written on a page, in the order written."""
    return [text.get_text() for text in figure.axes[0].texts]


def overlapping(boxes: list[Box]) -> list[tuple[Box, Box]]:
    """Pairs of boxes that share an area (touching is none)."""

    def overlap(one: Box, other: Box) -> bool:
        across = one.left < other.right and other.left < one.right
        return across and one.top < other.bottom and other.top < one.bottom

    return [(one, other) for one, other in combinations(boxes, 2) if overlap(one, other)]


class TestLayout:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("measure", [rough_measure, font_measure()])
    def test_nothing_overlaps(self, case: Callable[[], Diagram], measure: Callable[[str, float, bool], float]):
        scene = layout(case(), measure)
        labels = [label.box for label in scene.labels if label]
        assert overlapping([*scene.boxes, *labels, *(heading.box for heading in scene.headings)]) == []

    @pytest.mark.parametrize("case", CASES)
    def test_everything_is_on_the_page(self, case: Callable[[], Diagram]):
        scene = layout(case())
        labels = [label.box for label in scene.labels if label]
        for box in (*scene.boxes, *labels, *(heading.box for heading in scene.headings)):
            assert box.left >= 0
            assert box.top >= 0
            assert box.right <= scene.width
            assert box.bottom <= scene.height

    @pytest.mark.parametrize("case", CASES)
    def test_arrows_run_from_box_to_box_and_through_none(self, case: Callable[[], Diagram]):
        diagram = case()
        scene = layout(diagram)
        box_of = dict(zip([node.name for node in diagram.nodes], scene.boxes, strict=True))
        for arrow, curve in zip(diagram.arrows, scene.curves, strict=True):
            for point, name in ((curve[0], arrow.cause), (curve[-1], arrow.effect)):
                box = box_of[name]
                outside = max(box.left - point[0], point[0] - box.right, box.top - point[1], point[1] - box.bottom)
                assert outside == pytest.approx(0.0, abs=1e-9)
            x, y = sampled(curve, 400).T
            for box in scene.boxes:
                inside = (x > box.left + 1e-6) & (x < box.right - 1e-6)
                inside &= (y > box.top + 1e-6) & (y < box.bottom - 1e-6)
                assert not inside.any(), (arrow, box)

    @pytest.mark.slow
    @pytest.mark.parametrize("case", CASES)
    def test_same_diagram_same_scene(self, case: Callable[[], Diagram]):
        one, other = layout(case()), layout(case())
        assert (one.boxes, one.labels) == (other.boxes, other.labels)

    def test_labels_stand_at_their_own_arrow(self):
        scene = layout(dense())
        for curve, label in zip(scene.curves, scene.labels, strict=True):
            assert label is not None
            x, y = sampled(curve, 400).T
            away = np.hypot(
                np.maximum(np.abs(x - label.box.x) - label.box.width / 2, 0),
                np.maximum(np.abs(y - label.box.y) - label.box.height / 2, 0),
            )
            assert away.min() < 0.1

    def test_columns_follow_the_arrows(self):
        assert column_order(seven()) == ("influencers", "pride", "behaviours", "value_drivers", "outcomes")
        assert column_order(Diagram(seven().nodes, ())) == FACTORS

    def test_a_lagged_arrow_back_does_not_turn_the_columns(self):
        plain = seven()
        back = tuple(Arrow("revenue", "influencers", lag=1) for _ in range(9))
        assert column_order(Diagram(plain.nodes, plain.arrows + back)) == column_order(plain)

    def test_without_factors_columns_are_depth(self):
        layers = arrange(factorless())
        assert [column[0] for column in layers.columns if len(column) == 1] == [0, 2]
        assert layers.row == (3,)

    def test_a_loop_without_factors_is_laid_out(self):
        nodes = tuple(Node(name, "context", "unit", 1) for name in "abc")
        scene = layout(Diagram(nodes, (Arrow("a", "b"), Arrow("b", "c"), Arrow("c", "a"))))
        assert overlapping(list(scene.boxes)) == []

    def test_separated_keeps_order_distance_and_weighted_mean(self):
        positions = separated([3.0, 0.0, 10.0], [1.0, 2.0], [1.0, 3.0, 1.0])
        assert positions.tolist() == pytest.approx([0.0, 1.0, 10.0])

    def test_wrapping_breaks_long_words_and_ends_with_an_ellipsis(self):
        assert wrapped("abcdefghij", 0.4, 2, lambda line: len(line) / 10) == ("abcd", "efg…")


class TestDrawing:
    @pytest.mark.slow
    @pytest.mark.parametrize("case", CASES)
    def test_rendered_labels_stay_in_their_boxes(self, case: Callable[[], Diagram]):
        diagram = case()
        figure = draw_diagram(diagram)
        ax = figure.axes[0]
        renderer = figure.canvas.get_renderer()
        back = ax.transData.inverted()
        scene = layout(diagram, font_measure())
        drawn = {text.get_gid(): text.get_window_extent(renderer) for text in ax.texts if text.get_gid()}
        expected = {n: label for n, label in enumerate(scene.labels) if label}
        assert len(drawn) == sum(len(label.lines) for label in expected.values())
        for number, label in expected.items():
            for line in range(len(label.lines)):
                (left, low), (right, high) = back.transform(drawn[f"label-{number}-{line}"].get_points())
                assert label.box.left - 0.02 <= left < right <= label.box.right + 0.02
                assert label.box.top - 0.03 <= high < low <= label.box.bottom + 0.03

    @pytest.mark.parametrize("case", CASES)
    def test_no_text_leaves_the_figure_or_its_box(self, case: Callable[[], Diagram]):
        figure = draw_diagram(case())
        figure.draw_without_rendering()
        ax = figure.axes[0]
        for text in ax.texts:
            extent = text.get_window_extent()
            assert extent.x0 >= 0
            assert extent.y0 >= 0
            assert extent.x1 <= figure.bbox.width
            assert extent.y1 <= figure.bbox.height

    @pytest.mark.slow
    @pytest.mark.parametrize("case", CASES)
    def test_every_node_and_arrow_is_drawn_once(self, case: Callable[[], Diagram]):
        diagram = case()
        ids = [patch.get_gid() for patch in draw_diagram(diagram).axes[0].patches if patch.get_gid()]
        expected = [f"node-{n}" for n in range(len(diagram.nodes))]
        expected += [f"arrow-{n}" for n in range(len(diagram.arrows))]
        assert sorted(ids) == sorted(expected)

    def test_dollars_and_title_are_drawn_as_written(self):
        words = " ".join(text.get_text() for text in draw_diagram(odd()).axes[0].texts)
        assert 'title "$x$"' in words
        assert "caption with $ and $" in words

    def test_into_given_axes(self):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4))
        left, right = figure.subplots(1, 2)
        assert draw_diagram(seven(), ax=left) is figure
        alone = draw_diagram(seven()).axes[0]
        assert len(left.texts) == len(alone.texts)
        assert left.texts[0].get_fontsize() < alone.texts[0].get_fontsize()
        assert not right.texts

    def test_into_a_subfigure(self):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 6))
        assert draw_diagram(two(), ax=figure.subfigures(1, 2)[0].add_subplot()) is figure

    def test_notebooks_get_a_png_and_pyplot_nothing(self):
        assert draw_diagram(two())._repr_png_().startswith(b"\x89PNG")
        pyplot = sys.modules.get("matplotlib.pyplot")
        assert pyplot is None or pyplot.get_fignums() == []

    def test_pens_say_strength_sign_doubt_and_kind(self):
        edges = pens(seven())
        assert edges[0].width > edges[1].width
        assert edges[0].colour == edges[1].colour != edges[7].colour
        assert edges[5].colour not in {edges[0].colour, edges[7].colour}
        nodes = two().nodes
        assumed, bare, shared = pens(
            Diagram(
                nodes,
                (
                    Arrow("pride", "revenue", 0.3, assumed=True),
                    Arrow("pride", "revenue"),
                    Arrow("pride", "revenue", kind="covariance"),
                ),
            )
        )
        assert assumed.dashes
        assert bare.width < assumed.width
        assert (shared.heads, bare.heads) == (2, 1)

    def test_the_legend_explains_what_occurs(self):
        words = " ".join(key.words for key in keys(feedback()))
        for part in (
            "width",
            "positive",
            "negative",
            "includes 0",
            "assumed",
            "no estimate",
            "covariance",
            "95%",
        ):
            assert part in words
        assert keys(lonely()) == ()

    def test_missing_numbers_are_no_numbers(self):
        arrow = Arrow("a", "b", float("nan"), float("nan"), float("nan"), float("nan"))
        assert arrow_label(arrow) == ""
        assert not includes_zero(arrow.low, arrow.high)
        assert relative_strengths((arrow,)) == (None,)


class TestText:
    def test_dot_quotes_every_name(self):
        dot = to_dot(odd())
        assert r'[label="say \"yes\"\nemployee' in dot
        assert r"C:\\n\\path" in dot
        assert "&amp;amp;" in dot
        assert "n2 -> n3" in dot

    def test_mermaid_encodes_every_special_sign(self):
        mermaid = to_mermaid(odd())
        labels = [line for line in mermaid.splitlines() if "employee" in line]
        assert len(labels) == 6
        for line in labels:
            inner = line.split('["')[1].removesuffix('"]').replace("<br/>", "")
            assert not set(inner) & set("\"<>|`$\\&'-")
        assert "a #45;#62; b" in mermaid

    def test_kinds_of_arrows(self):
        nodes = two().nodes
        arrows = (
            Arrow("pride", "revenue", 0.5, assumed=True, lag=1),
            Arrow("pride", "revenue", kind="covariance"),
        )
        dot, mermaid = to_dot(Diagram(nodes, arrows, 'a "title"')), to_mermaid(Diagram(nodes, arrows))
        assert 'n0 -> n1 [label="0.50, lag 1", style=dashed];' in dot
        assert "n0 -> n1 [dir=both, style=dotted, constraint=false];" in dot
        assert r'label="a \"title\"";' in dot
        assert 'n0 -.->|"0.50, lag 1"| n1' in mermaid
        assert "n0 <-.-> n1" in mermaid

    def test_a_new_line_in_a_name_stays_inside_its_quotes(self):
        diagram = Diagram((Node("a\nb", "pride", "employee", 0),), ())
        assert r'"a\nb\nemployee"' in to_dot(diagram)
        assert '["a b<br/>employee"]' in to_mermaid(diagram)


class TestCharts:
    def test_fan_has_a_panel_per_series(self):
        series = [FanSeries(f"c{n}", [1, 2, 3], [0, 1, 2], [-1, 0, 1], [1, 2, 3]) for n in range(7)]
        figure = draw_fan(series, "title", "caption")
        figure.draw_without_rendering()
        names = [series.name for series in series]
        assert [word for word in words(figure) if word in names] == names
        assert len(figure.axes) == 1 + len(series)

    def test_units_stand_above_their_panels_and_waves_below_the_lowest(self):
        units = ["points", "EUR", "minutes a call", "points"]
        series = [FanSeries(f"c{n}", [1, 2, 3], [0, 1, 2], [-1, 0, 1], [1, 2, 3], unit) for n, unit in enumerate(units)]
        written = words(draw_fan([*series, *series[:2]]))
        assert [word for word in written if word in units] == [*units, *units[:2]]
        assert written.count("wave") == 3

    def test_fan_of_one_wave(self):
        draw_fan([FanSeries("once", [1], [0.1], [0.0], [0.2])]).draw_without_rendering()

    def test_series_are_read_only_copies(self):
        mean = np.array([0.1, 0.2])
        series = FanSeries("a", [1, 2], mean, mean, mean)
        mean[0] = 9.0
        assert series.mean[0] == 0.1
        with pytest.raises(ValueError, match="read-only"):
            series.mean[0] = 1.0

    def test_waterfall_bars_stand_on_each_other(self):
        steps = [Bar("benefit", 400.0, 300.0, 500.0), Bar("cost", -120.0), Bar("net", 280.0)]
        figure = draw_waterfall(steps, "t", "EUR", "c")
        figure.draw_without_rendering()
        bars = figure.axes[1].patches
        assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, 400), (400, -120), (0, 280)]

    def test_numbers_that_stand_together_share_their_decimals(self):
        assert written([12.3, -0.04]) == ["12.3", "0.0"]
        assert written([3e9, 1.0]) == ["3.00bn", "0.00bn"]
        assert written([0.0]) == ["0.00"]


class TestSaving:
    @pytest.mark.slow
    @pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
    def test_same_figure_same_bytes(self, tmp_path: Path, suffix: str):
        one = save_figure(draw_diagram(seven()), tmp_path / f"one{suffix}")
        other = save_figure(draw_diagram(seven()), str(tmp_path / f"other{suffix}"))
        assert one.read_bytes() == other.read_bytes()

    def test_unknown_suffix(self, tmp_path: Path):
        with pytest.raises(RoxError, match=r"'plot\.gif'.*Allowed: '\.svg', '\.pdf', '\.png'"):
            save_figure(draw_diagram(two()), tmp_path / "plot.gif")

    def test_missing_folder(self, tmp_path: Path):
        with pytest.raises(RoxError, match="no folder"):
            save_figure(draw_diagram(two()), tmp_path / "nowhere" / "plot.svg")

    def test_a_folder_is_no_file(self, tmp_path: Path):
        (tmp_path / "plot.svg").mkdir()
        with pytest.raises(RoxError, match=r"plot\.svg' cannot be written: it is a directory"):
            save_figure(draw_diagram(two()), tmp_path / "plot.svg")

    def test_an_interrupt_leaves_the_old_picture_and_nothing_else(self, tmp_path: Path, monkeypatch):
        path = save_figure(draw_diagram(two()), tmp_path / "plot.svg")
        before = path.read_bytes()

        def interrupt(handle: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_figure(draw_diagram(seven()), path)
        assert path.read_bytes() == before
        assert [one.name for one in tmp_path.iterdir()] == ["plot.svg"]


class TestErrors:
    def test_matplotlib_is_imported_only_to_draw(self):
        code = "import sys, roxmodel.plots.draw, roxmodel.plots.charts; sys.exit('matplotlib' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        for draw in (
            lambda: draw_diagram(two()),
            lambda: draw_fan([FanSeries("a", [1], [0], [0], [0])]),
            lambda: draw_waterfall([Bar("a", 1.0), Bar("net", 1.0)]),
        ):
            with pytest.raises(RoxError, match=r'matplotlib.*pip install "roxmodel\[plot\]"'):
                draw()

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: Node("a", "prid", "employee", 1), "Did you mean 'pride'"),
            (lambda: Arrow("a", "b", kind="both"), "'both'.*Allowed: 'edge', 'covariance'"),
            (lambda: Arrow("a", "b", lag=-1), "lag -1"),
            (lambda: Arrow("a", "b", 0.1, 0.3, 0.2), "swapped"),
            (lambda: Diagram((), ()), "at least one node"),
            (lambda: Diagram(two().nodes * 2, ()), "'pride', 'revenue'"),
            (lambda: Diagram(two().nodes, (Arrow("prid", "revenue"),)), "Did you mean 'pride'"),
            (lambda: FanSeries("a", [1, 2], [1], [1], [1]), "Series 'a'"),
            (lambda: draw_fan([]), "no series"),
            (lambda: draw_waterfall([Bar("a", 1.0)]), "at least one change"),
            (lambda: draw_waterfall([Bar("a", math.nan), Bar("net", 1.0)]), "'a' has no value"),
            (lambda: draw_waterfall([Bar("a", 5.0), Bar("cost", 2.0), Bar("net", 3.0)]), "add up to 7.0"),
        ],
    )
    def test_messages_name_the_culprit(self, make: Callable[[], object], says: str):
        with pytest.raises(RoxError, match=says):
            make()


class TestNamesStayDifferent:
    """Different names never get one label, whatever they share."""

    @pytest.mark.parametrize(
        "names",
        [
            [f"Coaching programme for team leads in all northern branches - phase {k}" for k in ("1", "2", "1 and 2")],
            [f"{k} of the complaints handled by the staff of the branches in the north" for k in ("Speed", "Tone")],
            [
                f"satisfaction with the {k} of handling complaints at the branch counter today"
                for k in ("speed", "tone")
            ],
            [f"x{'y' * 60}{k}{'z' * 60}" for k in "abc"],
            ["A" * 80, "a" * 80],
            ["same for all", "same for all"],
        ],
    )
    def test_shortened(self, names: list[str]):
        short = shortened(names, 1.2, 3, lambda line: rough_measure(line, 9.5, False))
        assert len(set(short)) == len(set(names))
        assert all(len(wrapped(text, 1.2, 9, lambda line: rough_measure(line, 9.5, False))) <= 3 for text in short)

    def test_short_names_are_left_alone(self):
        assert shortened(["pride", "value drivers"], 3.0, 1, lambda line: rough_measure(line, 9.5, False)) == [
            "pride",
            "value drivers",
        ]

    @pytest.mark.parametrize("draw", ["waterfall", "fan", "diagram"])
    def test_in_pictures(self, draw: str):
        names = [f"Coaching programme for team leads in all of the northern branches - phase {k}" for k in (1, 2, 3)]
        if draw == "diagram":
            scene = layout(Diagram(tuple(Node(name, "pride", "employee", 1) for name in names), ()))
            seen = ["".join(text.name) for text in scene.texts]
        elif draw == "fan":
            written = words(draw_fan([FanSeries(name, [1, 2], [0, 1], [0, 1], [0, 1]) for name in names]))
            seen = [word for word in written if "phase" in word]
        else:
            written = words(draw_waterfall([*(Bar(name, 1.0) for name in names), Bar("net", 3.0)]))
            seen = [word for word in written if "phase" in word]
        assert len(seen) == 3
        assert len(set(seen)) == len(seen)


class TestWaterfall:
    def test_a_whisker_reads_its_own_interval_on_the_axis(self):
        steps = [Bar("a", 300.0, -100.0, 700.0), Bar("b", 200.0, -50.0, 450.0), Bar("net", 500.0, 100.0, 900.0)]
        figure = draw_waterfall(steps)
        ax = figure.axes[1]
        upright = [np.sort(line.get_ydata()) for line in ax.lines if np.ptp(line.get_xdata()) == 0.0]
        assert [ends.tolist() for ends in upright] == [[100.0, 900.0]]
        assert {"[−100, 700]", "[−50, 450]", "[100, 900]"} <= set(words(figure))


def test_numbers_for_reading_are_never_zero_for_what_is_not():
    assert [plain(value) for value in (0.0, 0.0004321, 12.0, 1234.56, -0.5)] == [
        "0",
        "0.000432",
        "12",
        "1,235",
        "-0.500",
    ]
