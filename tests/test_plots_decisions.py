"""The pictures of decisions: no two words touch, nothing leaves the page, every number is where it belongs."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from roxmodel.errors import RoxError
from roxmodel.plots.charts import Bar, FanSeries, draw_fan, draw_waterfall
from roxmodel.plots.decisions import FrontierPoint, PlanRow, Swing, draw_chance, draw_frontier, draw_plan, draw_tornado
from roxmodel.plots.page import Scale, limits, save_figure
from roxmodel.plots.priority_map import MapPoint, beside, draw_map

LONG = "a touchpoint with a name of 40 signs, ok"
PIXEL = 0.5  # raster fonts round to whole pixels
EXACT = 1e-9


def texts(figure: Any) -> list[tuple[str, Any]]:
    """Every text with its extent in pixels; the pages write all of them on one sheet."""
    figure.draw_without_rendering()
    assert not any(ax.axison for ax in figure.axes)
    found = [text for ax in figure.axes for text in ax.texts] + figure.texts
    assert not any(text.get_parse_math() for text in found)
    return [(text.get_text(), text.get_window_extent()) for text in found if text.get_text().strip()]


def words(figure: Any) -> list[str]:
    return [text for text, _ in texts(figure)]


def touching(figure: Any) -> list[tuple[str, str]]:
    pairs = []
    for (one, a), (other, b) in combinations(texts(figure), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        if across > PIXEL and down > PIXEL:
            pairs.append((one, other))
    return pairs


def outside(figure: Any) -> list[str]:
    width, height = figure.bbox.width, figure.bbox.height
    return [text for text, box in texts(figure) if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


def cloud(count: int, seed: int = 3, spread: float = 9.0) -> list[MapPoint]:
    rng = np.random.default_rng(seed)
    points = []
    for number in range(count):
        score, effect = float(np.clip(rng.normal(68, spread), 0, 100)), float(rng.normal(0.35, 0.2))
        name = f"{LONG} {number}" if number % 3 == 0 else f"point {number}"
        points.append(MapPoint(name, score, effect, effect - 0.15, effect + 0.15, number > 7))
    return points


def seven() -> list[MapPoint]:
    names = ("influence", "pride", "initiative", "listening", "speed", "value", "trust")
    scores, effects = (58, 64, 71, 52, 77, 69, 81), (0.18, 0.31, 0.42, 0.55, 0.12, 0.62, 0.35)
    return [MapPoint(n, s, e, e - 0.15, e + 0.15) for n, s, e in zip(names, scores, effects, strict=True)]


def frontier(scale: float = 1.0) -> list[FrontierPoint]:
    points = []
    for k, budget in enumerate((1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)):
        value = 8.0 * (1 - math.exp(-budget / 3)) - 0.5 * budget
        spent = min(0.995 * budget, 8.0)
        points.append(
            FrontierPoint(
                budget * scale, value * scale, (value - 2) * scale, (value + 2) * scale, spent * scale, k == 3
            )
        )
    return points


def drivers() -> list[Swing]:
    return [
        Swing("discount per wave", 1.4e6, 1.1e6, "1 %", "4 %"),
        Swing("value of a point of loyalty", 0.4e6, 2.1e6, 8.0, 16.0),
        Swing(LONG, 0.8e6, 1.1e6, "none", "a dose beyond what was ever seen before"),
    ]


def actions(waves: int = 8) -> list[PlanRow]:
    share = np.clip(np.arange(1, waves + 1) / 3, 0, 1)
    return [
        PlanRow("coaching of team leaders", share, 120_000.0, 480_000.0, 210_000.0, 760_000.0, "40 branches, dose 0.5"),
        PlanRow(LONG, np.roll(share, 2) * (np.arange(waves) > 1), 90_000.0, -30_000.0, -90_000.0, 30_000.0),
    ]


def powers() -> list[FrontierPoint]:
    return [FrontierPoint(10.0**k, 3 * 10.0**k, -(10.0**k), 7 * 10.0**k, 0.5 * 10.0**k, k == 12) for k in range(13)]


def plan_of_powers() -> list[PlanRow]:
    return [PlanRow(LONG, np.ones(60), 10.0**k, (-10.0) ** k, -(10.0**k), 3 * 10.0**k, LONG) for k in range(13)]


SPENDING = [150e3, 110e3, 60e3, 30e3, 30e3, 30e3, 20e3, 10e3]
rng = np.random.default_rng(8)
NORMAL, HEAVY = rng.normal(8e5, 5e5, 2000), rng.standard_cauchy(4000) * 1e3

CASES: dict[str, Callable[[], Any]] = {
    "map": lambda: draw_map(seven(), "Where to act", "score", "effect", "95 % intervals. " * 20),
    "map of one point": lambda: draw_map([MapPoint(LONG, 100.0, 1e12, -1e11, 3e12)]),
    "map of two": lambda: draw_map([MapPoint("a", 0.0, -1e9), MapPoint("b", 100.0, 1.0)]),
    "map of 25": lambda: draw_map(cloud(25), "t"),
    "map of 25 crowded": lambda: draw_map(cloud(25, 5, 1.5), "t"),
    "map of 25 identical": lambda: draw_map([MapPoint(f"{LONG} {k}", 50.0, 0.4, 0.3, 0.5) for k in range(25)]),
    "map of few identical": lambda: draw_map([*seven(), MapPoint("twin", 64.0, 0.31), MapPoint("triplet", 64.0, 0.31)]),
    "map with narrow corner": lambda: draw_map(
        [MapPoint("low", 0.0, 0.5), *(MapPoint(f"p{k}", 1.0 + k / 9, 0.1) for k in range(9)), MapPoint("x", 40.0, 0.2)]
    ),
    "map of items": lambda: draw_map([MapPoint(p.name, p.performance, p.importance, item=True) for p in seven()]),
    "frontier": lambda: draw_frontier(frontier(1e5), "What a budget buys", "95 % of 2,000 draws.", "EUR"),
    "frontier of small change": lambda: draw_frontier(frontier(1.0), unit="EUR"),
    "frontier of trillions": lambda: draw_frontier(frontier(1e11), "t", "c", "USD"),
    "frontier of powers": lambda: draw_frontier(powers(), "t", "c", "USD"),
    "frontier of one": lambda: draw_frontier([FrontierPoint(5e5, -1.2e5, -4e5, 3e4, 5e5, True)]),
    "frontier of zeros": lambda: draw_frontier([FrontierPoint(0.0, 0.0)] * 3),
    "frontier of losses": lambda: draw_frontier([FrontierPoint(b, -b, chosen=b == 1) for b in (1.0, 2.0, 3.0)]),
    "frontier of 40": lambda: draw_frontier([FrontierPoint(k, k / 9, k / 20, k / 5) for k in range(40)]),
    "tornado": lambda: draw_tornado(drivers(), 1.25e6, "What drives the answer", "EUR", "5 % and 95 % points."),
    "tornado of trillions": lambda: draw_tornado(
        [Swing("y" * 40, -3e12, 1e12, 1e12, 1.0), Swing("x", -1e12, -1e12, 5.0, 5.0)], -1e12, "t", "USD"
    ),
    "tornado of nothing": lambda: draw_tornado([Swing("one", 0.0, 0.0, 1.0, 2.0)], 0.0),
    "tornado of 30": lambda: draw_tornado([Swing(f"d{k}", 1 - k / 30, 1 + k / 25, k, k + 1) for k in range(30)], 1.0),
    "plan": lambda: draw_plan(actions(), SPENDING, 160e3, Bar("net", 8e5, 4e5, 1.2e6), "The plan", "EUR", "c " * 200),
    "plan of one wave": lambda: draw_plan([PlanRow("x", [1.0], 1.0)], [1.0]),
    "plan of 60 waves": lambda: draw_plan(
        plan_of_powers(), np.full(60, 1e12), np.arange(60.0) * 3e10, None, "t", "EUR"
    ),
    "plan of zeros": lambda: draw_plan([PlanRow("x", [0.0, 0.0], 0.0, 0.0, 0.0, 0.0)], [0.0, 0.0], [np.inf, np.nan]),
    "chance": lambda: draw_chance(
        {"ours": NORMAL, "yours": NORMAL - 5e5}, "How likely is a loss?", "EUR", "2,000 draws."
    ),
    "chance with heavy tails": lambda: draw_chance({LONG * 4: HEAVY, "zeros": np.zeros(3), "loss": -np.abs(HEAVY)}),
    "chance of one draw": lambda: draw_chance({"x": [1e12]}, unit="a currency with a name of forty signs. " * 4),
}


def rising(count: int, waves: int = 6, unit: str = "points") -> list[FanSeries]:
    mean = np.linspace(0.1, 1.7, waves)
    return [FanSeries(f"{LONG} {k}", np.arange(1, waves + 1), mean, mean - k, mean + 1, unit) for k in range(count)]


CHARTS: dict[str, Callable[[], Any]] = {
    **{f"fan of {k}": lambda k=k: draw_fan(rising(k), "What if", "Mean change.") for k in (1, 2, 3, 4, 5, 7, 10)},
    "fan of one wave": lambda: draw_fan(rising(2, 1)),
    "fan of 60 waves in trillions": lambda: draw_fan(
        [FanSeries("x", np.arange(1, 61), *np.full((3, 60), 1e12), "a currency with a name of forty signs. " * 4)] * 4
    ),
    "waterfall": lambda: draw_waterfall(
        [Bar(LONG, 3e6, -1e6, 7e6), Bar("cost", -1e6), Bar("net", 2e6, -2e6, 6e6)], "t", "EUR, discounted", "c " * 200
    ),
    "waterfall of trillions": lambda: draw_waterfall(
        [*(Bar(f"{LONG} {k}", 1e12, -1e14, 1e14) for k in range(8)), Bar("net", 8e12, -3e14, 3e14)], "", LONG * 4
    ),
    "waterfall of nothing": lambda: draw_waterfall([Bar("a", 0.0), Bar("net", 0.0)]),
    "waterfall of losses": lambda: draw_waterfall([Bar("a", -3.0, -4.0, -2.0), Bar("net", -3.0, -4.0, -2.0)], "t", "x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARTS)
def test_charts_keep_their_words_apart_and_on_the_page(name: str):
    drawn = CHARTS[name]()
    assert touching(drawn) == []
    assert outside(drawn) == []


@pytest.fixture(scope="module", params=CASES)
def figure(request: Any) -> Any:
    return CASES[request.param]()


class TestEveryPicture:
    @pytest.mark.slow
    def test_no_two_words_touch(self, figure: Any):
        assert touching(figure) == []

    def test_no_word_leaves_the_page(self, figure: Any):
        assert outside(figure) == []

    def test_it_is_no_wider_than_a_page_needs(self, figure: Any):
        width, height = figure.get_size_inches()
        assert 8.0 <= width <= 11.0
        assert height <= 16.0

    def test_notebooks_get_a_png_and_pyplot_nothing(self, figure: Any):
        assert figure._repr_png_().startswith(b"\x89PNG")
        pyplot = sys.modules.get("matplotlib.pyplot")
        assert pyplot is None or pyplot.get_fignums() == []

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["map", "frontier", "tornado", "plan", "chance"])
    def test_same_numbers_same_bytes(self, name: str, tmp_path: Any):
        one = save_figure(CASES[name](), tmp_path / "one.svg")
        other = save_figure(CASES[name](), tmp_path / "other.svg")
        assert one.read_bytes() == other.read_bytes()

    def test_dollars_and_underscores_are_written_as_they_are(self):
        odd = "cost_$x$ of <b>&amp;"
        for drawn in (
            draw_map([MapPoint(odd, 50.0, 0.4)], odd, odd, odd, odd),
            draw_frontier([FrontierPoint(1.0, 2.0)], odd, odd, odd),
            draw_tornado([Swing(odd, 1.0, 2.0, odd, odd)], 1.5, odd, odd, odd),
            draw_plan([PlanRow(odd, [1.0], 1.0, note=odd)], [1.0], title=odd, unit=odd, caption=odd),
            draw_chance({odd: [1.0, 2.0]}, odd, odd, odd),
        ):
            assert odd in words(drawn)
            assert touching(drawn) == []


class TestMap:
    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("spread", [1.0, 9.0])
    def test_crowds_of_25_keep_every_name_off_dots_and_names(self, seed: int, spread: float):
        points = cloud(25, seed, spread)
        drawn = draw_map(points)
        assert touching(drawn) == []
        assert outside(drawn) == []
        assert "left out" not in " ".join(words(drawn))
        assert "".join("".join(words(drawn)).split()).count("signs,ok") == sum(LONG in point.name for point in points)
        ax, written = drawn.axes[1], texts(drawn)
        for point in points:
            at = ax.transData.transform((point.performance, point.importance))
            for text, box in written:
                hidden = box.x0 + PIXEL < at[0] < box.x1 - PIXEL and box.y0 + PIXEL < at[1] < box.y1 - PIXEL
                assert not hidden, (point.name, text)

    def test_dots_and_intervals_stand_at_their_numbers(self):
        ax = draw_map(seven()).axes[1]
        dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"}
        assert dots == {(point.performance, point.importance) for point in seven()}
        bars = [tuple(line.get_ydata()) for line in ax.lines if line.get_alpha() is not None]
        assert bars == [(point.low, point.high) for point in seven()]

    def test_lines_stand_at_the_means_of_the_constructs(self):
        items = [MapPoint("item", 10.0, 0.1, item=True)]
        ax = draw_map([*seven(), *items]).axes[1]
        dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
        upright, along = dashed
        assert upright.get_xdata()[0] == pytest.approx(np.mean([point.performance for point in seven()]), abs=EXACT)
        assert along.get_ydata()[0] == pytest.approx(np.mean([point.importance for point in seven()]), abs=EXACT)

    def test_names_in_the_corner_to_act_are_bold_and_only_they(self):
        drawn = draw_map(seven())
        names = {point.name for point in seven()}
        bold = {t.get_text() for t in drawn.axes[0].texts if t.get_text() in names and t.get_fontweight() == "bold"}
        assert bold == {"listening"}

    def test_an_empty_corner_says_so(self):
        points = [MapPoint("a", 40.0, 0.1), MapPoint("b", 60.0, 0.5)]
        assert "matters most, scores low: nothing here" in words(draw_map(points))

    @pytest.mark.parametrize(
        "points", [[MapPoint("a", 40.0, 0.1)], [MapPoint("a", 40.0, 0.1), MapPoint("b", 40.0, 0.1)]]
    )
    def test_without_a_difference_there_is_no_corner(self, points: list[MapPoint]):
        assert not any("first" in text or "mean " in text for text in words(draw_map(points, x_label="score")))

    def test_dots_that_coincide_share_a_list(self):
        assert {"· a", "· b"} <= set(words(draw_map([MapPoint("a", 40.0, 0.1), MapPoint("b", 40.0, 0.1)])))

    def test_signs_are_explained_where_they_occur(self):
        plain = " ".join(words(draw_map([MapPoint("a", 40.0, 0.5, 0.4, 0.6), MapPoint("b", 60.0, 0.1)])))
        assert not any(word in plain for word in ("Hollow", "Small", "arrow"))
        wild = [*seven(), MapPoint("wild", 60.0, 0.1, -90.0, 90.0), MapPoint("item", 60.0, 0.2, item=True)]
        said = " ".join(words(draw_map(wild)))
        assert all(word in said for word in ("Hollow", "Small", "arrow"))
        assert np.ptp(draw_map(wild).axes[1].get_ylim()) < 10.0


class TestFrontier:
    def test_steps_band_and_dots(self):
        """A plan's value is there from what it spends on, up to the next plan: nothing is bought in part."""
        points = frontier()
        ax = draw_frontier(points[::-1]).axes[1]
        line = next(line for line in ax.lines if len(line.get_xdata()) == len(points) + 1)
        assert line.get_drawstyle() == "steps-post"
        spent = [point.spent if point.spent is not None else np.nan for point in points]
        assert line.get_xdata().tolist() == [*spent, points[-1].budget]
        assert line.get_ydata().tolist() == [*(point.value for point in points), points[-1].value]
        band = ax.collections[0].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(min(point.low for point in points if point.low is not None), abs=EXACT)

    def test_unused_budgets_are_hollow_and_said(self):
        drawn = draw_frontier(frontier())
        dots = [line for line in drawn.axes[1].lines if line.get_marker() == "o" and line.get_markersize() < 10]
        assert [dot.get_markerfacecolor() == "#FFFFFF" for dot in dots] == [False] * 6 + [True]
        assert any("Hollow" in text for text in words(drawn))
        assert not any("Hollow" in text for text in words(draw_frontier(frontier()[:5])))

    def test_the_chosen_budget_is_ringed_and_told(self):
        drawn = draw_frontier(frontier(1e5))
        rings = [line for line in drawn.axes[1].lines if line.get_markersize() > 10]
        assert [line.get_xdata()[0] for line in rings] == [4e5]
        assert any(text.startswith("chosen: budget 400,000, spends 398,000, promises ") for text in words(drawn))

    def test_break_even_is_always_in_the_picture(self):
        for points in (frontier(), [FrontierPoint(1.0, 1e12)], [FrontierPoint(1.0, -5.0)]):
            low, high = draw_frontier(points).axes[1].get_ylim()
            assert low < 0.0 < high

    def test_many_powers_get_a_logarithmic_scale_that_says_so(self):
        drawn = draw_frontier(powers())
        assert drawn.axes[1].get_xscale() == "log"
        assert any("logarithmic" in text for text in words(drawn))
        assert draw_frontier(frontier()).axes[1].get_xscale() == "linear"


class TestTornado:
    def test_widest_on_top(self):
        ordered = [text for text in words(draw_tornado(drivers(), 1.25e6)) if text in {d.name for d in drivers()}]
        assert ordered == ["value of a point of loyalty", "discount per wave"]

    def test_bars_run_from_the_plan_to_both_ends(self):
        ax = draw_tornado(drivers()[:1], 1.25e6).axes[1]
        ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
        assert ends == pytest.approx([1.1e6, 1.4e6], abs=1e-3)
        assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()

    def test_the_drivers_values_stand_at_their_own_end(self):
        found = dict(texts(draw_tornado(drivers()[:1], 1.25e6)))
        assert found["4 %"].x1 < found["plan: 1.25M"].x0 + found["plan: 1.25M"].width / 2 < found["1 %"].x0

    def test_break_even_only_where_it_is_near(self):
        assert "break-even" not in words(draw_tornado([Swing("a", 90.0, 110.0, 1.0, 2.0)], 100.0))
        assert "break-even" in words(draw_tornado([Swing("a", -90.0, 110.0, 1.0, 2.0)], 100.0))


class TestPlan:
    def test_an_action_is_dark_where_its_effect_is_full(self):
        ax = draw_plan([PlanRow("a", [0.0, 0.25, 1.0, 0.5], 1.0, 2.0)], [1.0, 0.0, 0.0, 0.0]).axes[1]
        cells = [bar for bar in ax.patches if bar.get_width() == 1.0]
        assert [bar.get_x() for bar in cells] == [1.5, 2.5, 3.5]
        light = [sum(bar.get_facecolor()[:3]) for bar in cells]
        assert light[1] < light[2] < light[0]
        rim = ax.patches[-1]
        assert (rim.get_x(), rim.get_width()) == (1.5, 3.0)

    def test_every_row_tells_cost_and_net(self):
        found = words(CASES["plan"]())
        for number in (
            "120,000",
            "480,000 [210,000, 760,000]",
            "−30,000 [−90,000, 30,000]",
            "210,000",
            "all 2 actions",
        ):
            assert number in found
        assert "0.80M [0.40M, 1.20M]" in found
        assert "line: budget 160,000" in found

    def test_spending_beyond_the_budget_has_its_own_colour(self):
        rows = [PlanRow("a", [1.0, 1.0], 200.0)]
        ax = draw_plan(rows, [150.0, 50.0], [100.0, 100.0]).axes[2]
        heights = [(bar.get_height(), bar.get_facecolor()) for bar in ax.patches]
        assert [height for height, _ in heights] == [100.0, 50.0, 50.0, 0.0]
        assert heights[0][1] != heights[2][1]

    def test_spending_is_written_out_if_it_fits(self):
        found = words(draw_plan([PlanRow("a", [1.0] * 4, 10.0)], [4.0, 3.0, 2.0, 1.0]))
        assert {"4.00", "3.00", "2.00"} <= set(found)

    @pytest.mark.slow
    def test_waves_are_numbered_as_far_as_they_fit(self):
        found = words(CASES["plan of 60 waves"]())
        assert {"10", "20", "60"} <= set(found)
        assert "11" not in found


class TestChance:
    @pytest.mark.parametrize(
        ("draws", "says"),
        [
            ([1.0, 2.0], "No draw ends in a loss."),
            ([0.0, 0.0], "No draw ends in a loss."),
            ([-1.0, -2.0], "Every draw ends in a loss."),
            ([-1.0] * 7 + [1.0] * 93, "A loss in 7 of 100 draws."),
            ([-1.0] + [1.0] * 999, "A loss in fewer than 1 of 100 draws."),
            ([1.0] + [-1.0] * 999, "A loss in more than 99 of 100 draws."),
        ],
    )
    def test_the_chance_of_a_loss_in_words(self, draws: list[float], says: str):
        assert says in words(draw_chance({"plan": draws}))

    def test_colours_change_at_break_even(self):
        ax = draw_chance({"plan": NORMAL}).axes[1]
        losses = {bar.get_facecolor() for bar in ax.patches if bar.get_x() + bar.get_width() <= 1e-6}
        gains = {bar.get_facecolor() for bar in ax.patches if bar.get_x() >= -1e-6}
        assert (len(losses), len(gains)) == (1, 1)
        assert losses != gains

    def test_bars_hold_the_draws(self):
        ax = draw_chance({"plan": NORMAL}).axes[1]
        heights = np.array([bar.get_height() for bar in ax.patches])
        edges = [bar.get_x() for bar in ax.patches] + [ax.patches[-1].get_x() + ax.patches[-1].get_width()]
        counts, _ = np.histogram(NORMAL, edges)
        assert heights.tolist() == pytest.approx((counts / counts.max()).tolist(), abs=EXACT)

    def test_all_plans_share_a_scale(self):
        first, second = draw_chance({"a": NORMAL, "b": HEAVY}).axes[1:]
        assert first.get_xlim() == second.get_xlim()

    @pytest.mark.slow
    def test_draws_beyond_the_scale_are_counted(self):
        drawn = draw_chance({"plan": HEAVY})
        low, high = drawn.axes[1].get_xlim()
        share = 100 * np.mean(np.abs(HEAVY - (low + high) / 2) > (high - low) / 2)
        assert any(f"{share:.1f} % of the draws lie beyond" in text for text in words(drawn))


class TestPage:
    def test_ticks_are_round_and_have_room(self):
        scale = Scale(0.0, 1.0, 0.0, 4.0)
        assert scale.ticks(lambda _: 0.5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], abs=EXACT)
        assert len(scale.ticks(lambda _: 2.5)) <= 2

    def test_limits_leave_room_for_numbers_to_differ(self):
        low, high = limits([1e12, 1e12])
        assert high - low >= 0.02e12
        assert limits([0.0]) == pytest.approx((-0.56, 0.56), abs=EXACT)

    def test_a_name_without_room_is_left_out(self):
        dot, none = np.array([[1.0, 1.0]]), np.empty((0, 4))
        placed = beside(dot, np.array([0.05]), np.array([[3.0, 0.2]]), np.array([0.0, 0.0, 2.0, 2.0]), none)
        assert np.isnan(placed).all()

    @pytest.mark.slow
    def test_crowds_beyond_all_room_say_how_many_names_are_missing(self):
        crowd = [MapPoint(LONG, 50.0 + k % 20, 0.3 + k / 1000) for k in range(150)]
        drawn = draw_map(crowd)
        assert touching(drawn) == []
        assert any("of 150 names are left out" in text for text in words(drawn))


class TestErrors:
    def test_matplotlib_is_imported_only_to_draw(self):
        code = "import sys, roxmodel.plots.decisions; sys.exit('matplotlib' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("name", ["map", "frontier", "tornado", "plan", "chance"])
    def test_without_matplotlib(self, name: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(RoxError, match=r'matplotlib.*pip install "roxmodel\[plot\]"'):
            CASES[name]()

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: draw_map([]), "no points"),
            (lambda: draw_map([MapPoint("a", 140.0, 0.1)]), "'a' has performance 140. Allowed: 0 to 100"),
            (lambda: draw_map([MapPoint("a", 40.0, math.nan)]), "'a' has importance nan"),
            (lambda: draw_frontier([]), "no points"),
            (lambda: draw_frontier([FrontierPoint(math.inf, 1.0)]), "budget inf"),
            (lambda: draw_frontier([FrontierPoint(1.0, 1.0, chosen=True)] * 2), "2 points are chosen"),
            (lambda: draw_tornado([], 1.0), "no bars"),
            (lambda: draw_tornado([Swing("a", 1.0, math.nan, 1.0, 2.0)], 1.0), "'a' has high nan"),
            (lambda: draw_tornado([Swing("a", 1.0, 2.0, 1.0, 2.0)], math.nan), "base nan"),
            (lambda: draw_plan([], [1.0]), "no rows"),
            (lambda: draw_plan([PlanRow("a", [1.0], 1.0)], []), "spending has shape"),
            (lambda: draw_plan([PlanRow("a", [1.0], 1.0)], [math.nan]), "Wave 1 has spending nan"),
            (lambda: draw_plan([PlanRow("a", [1.0, 1.0], 1.0)], [1.0]), "'a' has shares of shape"),
            (lambda: draw_plan([PlanRow("a", [1.5], 1.0)], [1.0]), "'a' has shares.*Allowed: 0 to 1"),
            (lambda: draw_plan([PlanRow("a", [1.0], math.nan)], [1.0]), "'a' has cost nan"),
            (lambda: draw_plan([PlanRow("a", [1.0], 1.0)], [1.0], [1.0, 2.0]), "budget has shape"),
            (lambda: draw_chance({}), "no plans"),
            (lambda: draw_chance({"a": []}), "'a' has no draws"),
            (lambda: draw_chance({"a": [1.0, math.nan]}), "1 of 2 draws of 'a'"),
        ],
    )
    def test_messages_name_the_culprit(self, make: Callable[[], object], says: str):
        with pytest.raises(RoxError, match=says):
            make()
