"""Simulated worlds keep their word, and printed matrices give the printed estimates."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from roxmodel.datasets import World, WorldDesign, make_world, published
from roxmodel.errors import RoxError
from roxmodel.types import FloatArray

EXACT = 1e-10  # algebra in double precision
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed
FRAMES = ("employee", "customer", "unit")


def by_unit(world: World) -> pd.DataFrame:
    """Means of all items (units, p), in the model's order of items."""
    means = [world.employee.groupby("branch").mean(), world.customer.groupby("branch").mean()]
    table = pd.concat([*means, world.unit.set_index("branch")], axis=1).sort_index()
    return table[[item.name for item in world.model.items]]


def implied_covariance(world: World, answers: int) -> FloatArray:
    """Covariance (p, p) of unit means of `answers` complete answers, in closed form."""
    truth, design = world.truth, world.design
    loadings = truth.loadings.to_numpy()
    sigma = loadings @ truth.covariance @ loadings.T
    position = {item: k for k, item in enumerate(truth.loadings.index)}
    for within in truth.within.values():
        at = [position[item] for item in within.index]
        sigma[np.ix_(at, at)] += within.to_numpy() / answers
        sigma[at, at] += design.item_residual * design.icc * design.item_variance
    return sigma


@pytest.fixture(scope="module")
def large() -> World:
    loadings = (1.0, 0.8, 1.2, 0.9)
    return make_world(4000, seed=11, scale="continuous", employees=100, customers=100, loadings=loadings)


# --- random numbers


def test_the_same_seed_gives_the_same_world_bit_for_bit() -> None:
    one, two = (make_world(30, seed=5, missing=0.1, without_customers=0.2) for _ in range(2))
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


def test_neighbouring_seeds_share_nothing() -> None:
    one, two = make_world(200, seed=5), make_world(200, seed=6)
    left, right = (world.unit.sort_values("branch") for world in (one, two))
    assert not np.isin(left["revenue"], right["revenue"]).any()
    assert abs(np.corrcoef(left["revenue"], right["revenue"])[0, 1]) < MONTE_CARLO / np.sqrt(200)


def test_missing_changes_no_answer_that_is_left() -> None:
    whole, holed = make_world(30, seed=5), make_world(30, seed=5, missing=0.3)
    gone = holed.employee.isna()
    pd.testing.assert_frame_equal(holed.employee, whole.employee.mask(gone), check_exact=True)
    pd.testing.assert_frame_equal(holed.unit, whole.unit, check_exact=True)


def test_units_without_customers_change_nothing_else() -> None:
    whole, cut = make_world(30, seed=5), make_world(30, seed=5, without_customers=0.5)
    pd.testing.assert_frame_equal(cut.employee, whole.employee, check_exact=True)
    left = whole.customer[whole.customer["branch"].isin(cut.customer["branch"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(cut.customer, left, check_exact=True)


def test_confounding_changes_no_other_shock() -> None:
    free, confounded = make_world(30, seed=5, confounding=0.0), make_world(30, seed=5, confounding=0.5)
    pd.testing.assert_series_equal(free.unit["affluence"], confounded.unit["affluence"], check_exact=True)


# --- what was asked for is there


def test_frames_answer_the_model() -> None:
    world = make_world(40, seed=2)
    for source in FRAMES:
        items = [i for c in world.model.constructs if c.source == source for i in c.item_names]
        assert list(getattr(world, source).columns) == ["branch", *items]
    assert world.unit["branch"].is_unique
    assert len(world.unit) == 40
    assert not world.unit["branch"].is_monotonic_increasing
    assert set(world.employee["branch"]) == set(world.customer["branch"]) == set(world.unit["branch"])


def test_answers_per_unit_fill_the_range() -> None:
    world = make_world(500, seed=2, employees=(3, 6), customers=7)
    assert set(world.employee.groupby("branch").size()) == {3, 4, 5, 6}
    assert set(world.customer.groupby("branch").size()) == {7}


@pytest.mark.parametrize("points", [3, 5, 7])
def test_rounded_answers_are_points_of_the_scale(points: int) -> None:
    world = make_world(60, seed=2, points=points)
    assert set(np.unique(world.employee.drop(columns="branch"))) == set(range(1, points + 1))
    assert world.model.find("pride").items[0].ends == (1, points)
    continuous = make_world(60, seed=2, points=points, scale="continuous")
    assert continuous.model.find("pride").items[0].scale is None


def test_missing_is_the_share_asked_for() -> None:
    answers = make_world(200, seed=2, missing=0.2).customer.drop(columns="branch").to_numpy()
    error = np.sqrt(0.2 * 0.8 / answers.size)
    assert np.isnan(answers).mean() == pytest.approx(0.2, abs=MONTE_CARLO * error)


def test_without_customers_is_the_number_of_units_asked_for() -> None:
    world = make_world(50, seed=2, without_customers=0.3)
    assert world.customer["branch"].nunique() == 35
    assert world.employee["branch"].nunique() == len(world.unit) == 50


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_the_model_is_correct(strength: float) -> None:
    world = make_world(20, seed=2, confounding=strength)
    arrows = {(edge.cause, edge.effect) for edge in world.model.edges}
    rows, columns = np.nonzero(world.truth.coefficients)
    acting = {(world.truth.names[c], world.truth.names[r]) for r, c in zip(rows, columns, strict=True)}
    assert acting <= arrows
    assert (("affluence", "value") in arrows) == (strength > 0)
    assert arrows - acting == (set() if strength else {("affluence", "revenue")})


def test_design_and_options_say_the_same() -> None:
    one = make_world(20, seed=2, design=WorldDesign(icc=0.3), missing=0.1)
    two = make_world(20, seed=2, icc=0.3, missing=0.1)
    assert one.design == two.design
    pd.testing.assert_frame_equal(one.employee, two.employee, check_exact=True)


# --- the truth


def test_total_is_the_sum_over_paths() -> None:
    truth = make_world(20, seed=2).truth
    value = {(e.cause, e.effect): e.value for e in truth.edges.itertuples()}
    graph = nx.DiGraph(list(value))
    for cause in truth.names:
        for effect in truth.names:
            paths = nx.all_simple_edge_paths(graph, cause, effect) if cause != effect else ()
            summed = sum(float(np.prod([value[edge] for edge in path])) for path in paths)
            assert truth.total(cause, effect) == pytest.approx(summed, abs=EXACT)


def test_truth_standardises_by_the_standard_deviations_between_units() -> None:
    truth = make_world(20, seed=2).truth
    sd = dict(zip(truth.names, truth.sd, strict=True))
    expected = [e.value * sd[e.cause] / sd[e.effect] for e in truth.edges.itertuples()]
    assert truth.edges["standardized"].to_numpy() == pytest.approx(np.array(expected), abs=EXACT)


def test_truth_covariance_is_that_of_the_graph() -> None:
    truth = make_world(20, seed=2).truth
    total = np.linalg.inv(np.eye(len(truth.names)) - truth.coefficients)
    assert truth.covariance == pytest.approx(total @ np.diag(truth.disturbances) @ total.T, abs=EXACT)


@pytest.mark.parametrize("options", [{"confounding": 0.7}, {"icc": 0.001}, {"icc": 0.99, "points": 11}])
def test_every_design_has_a_proper_population(options: dict[str, float]) -> None:
    truth = make_world(20, seed=2, **options).truth
    assert (truth.disturbances > 0).all()
    assert all(np.linalg.eigvalsh(within)[0] > 0 for within in truth.within.values())


def test_icc_of_the_marker_is_the_one_asked_for() -> None:
    world = make_world(20, seed=2, icc=0.2)
    between = implied_covariance(world, 10**9)[0, 0]
    within = world.truth.within["employee"].loc["inf1", "inf1"]
    assert between / (between + within) == pytest.approx(0.2, abs=1e-8)


def test_standardised_truth_does_not_depend_on_the_points() -> None:
    five, seven = (make_world(20, seed=2, points=points).truth.edges["standardized"] for points in (5, 7))
    assert five.to_numpy() == pytest.approx(seven.to_numpy(), abs=EXACT)


def test_effects_are_those_asked_for_and_no_others() -> None:
    asked = {"pride -> behaviours": 0.2, "value -> revenue": -5.0, "affluence -> value": 0.0}
    plain, own = make_world(20, seed=2).truth, make_world(20, seed=2, effects=asked).truth
    value = {f"{e.cause} -> {e.effect}": e.value for e in own.edges.itertuples()}
    before = {f"{e.cause} -> {e.effect}": e.value for e in plain.edges.itertuples()}
    assert value == before | asked
    survey = slice(0, len(own.names) - 2)
    np.testing.assert_allclose(own.sd[survey], plain.sd[survey], rtol=EXACT)  # what is explained varies, not the whole
    assert own.disturbances[-2:] == pytest.approx(plain.disturbances[-2:], rel=EXACT)
    total = np.linalg.inv(np.eye(len(own.names)) - own.coefficients)
    assert own.covariance == pytest.approx(total @ np.diag(own.disturbances) @ total.T, abs=EXACT)


def test_effects_do_not_stretch_with_the_scale() -> None:
    truth = make_world(20, seed=2, points=11, effects={"value -> revenue": 7.0}).truth
    assert truth.coefficients[truth.names.index("revenue"), truth.names.index("value")] == 7.0


def test_effects_that_change_nothing_give_the_same_world_bit_for_bit() -> None:
    plain = make_world(30, seed=5)
    for effects in ({}, {"pride -> behaviours": 0.4, "loyalty -> revenue": 40.0}):
        same = make_world(30, seed=5, effects=effects)
        for name in FRAMES:
            pd.testing.assert_frame_equal(getattr(same, name), getattr(plain, name), check_exact=True)


def test_effects_change_nothing_before_them() -> None:
    plain, own = make_world(30, seed=5), make_world(30, seed=5, effects={"behaviours -> value": 0.1})
    pd.testing.assert_frame_equal(own.employee, plain.employee, check_exact=True)
    assert not own.customer["val1"].equals(plain.customer["val1"])


def test_a_design_with_effects_is_a_record_like_any_other() -> None:
    design = WorldDesign(effects={"pride -> behaviours": 0.2})
    assert WorldDesign.model_validate_json(design.model_dump_json()) == design
    assert hash(design) == hash(WorldDesign(effects={"pride -> behaviours": 0.2}))
    assert design != WorldDesign()
    with pytest.raises(TypeError):
        design.effects["pride -> behaviours"] = 0.3  # type: ignore[index]


def test_truth_cannot_be_changed() -> None:
    truth = make_world(20, seed=2).truth
    with pytest.raises(ValueError, match="read-only"):
        truth.coefficients[0, 0] = 1.0


# --- the data follow the truth


@pytest.mark.slow
def test_unit_means_covary_as_the_truth_says(large: World) -> None:
    observed = by_unit(large)
    expected, n = implied_covariance(large, 100), len(observed)
    variance = np.diagonal(expected)
    error = np.sqrt((expected**2 + np.outer(variance, variance)) / (n - 1))  # of a normal covariance
    assert np.abs((observed.cov().to_numpy() - expected) / error).max() < MONTE_CARLO
    assert np.abs((observed.mean() - large.truth.item_means) / np.sqrt(variance / n)).max() < MONTE_CARLO


def test_people_covary_as_the_truth_says(large: World) -> None:
    for source, within in large.truth.within.items():
        frame = getattr(large, source)
        units, n = frame["branch"].nunique(), len(frame)
        answers = frame.drop(columns="branch")
        deviations = (answers - answers.groupby(frame["branch"]).transform("mean")).to_numpy()
        observed, expected = deviations.T @ deviations / (n - units), within.to_numpy()
        variance = np.diagonal(expected)
        error = np.sqrt((expected**2 + np.outer(variance, variance)) / (n - units))
        assert np.abs((observed - expected) / error).max() < MONTE_CARLO


@pytest.mark.slow
def test_regression_of_unit_means_recovers_the_truth() -> None:
    world = make_world(4000, seed=12, scale="continuous", employees=200, customers=200, item_residual=0.0)
    names, means = world.truth.names, by_unit(world)
    weights = np.array([means.columns.isin(c.item_names) / len(c.items) for c in world.model.constructs])
    columns = weights @ means.to_numpy().T
    noise = implied_covariance(world, 200) - implied_covariance(world, 10**12)  # from who happened to answer
    clean = np.cov(columns) - weights @ noise @ weights.T
    for effect in world.model.endogenous:
        causes = world.model.causes(effect)
        at, to = [names.index(cause) for cause in causes], names.index(effect)
        inverse = np.linalg.inv(clean[np.ix_(at, at)])
        slopes = inverse @ clean[at, to]
        left = columns[to] - slopes @ columns[at]
        error = np.sqrt(np.diagonal(inverse) * left.var() / len(left))
        assert np.abs((slopes - world.truth.coefficients[to, at]) / error).max() < MONTE_CARLO


def test_rounding_costs_what_the_docstring_says() -> None:
    exact, rounded = (
        make_world(2000, seed=13, scale=scale, employees=1, customers=100).customer
        for scale in ("continuous", "likert")
    )
    true, seen = (frame.groupby("branch")["val1"].mean() for frame in (exact, rounded))
    slope = np.polyfit(true, seen, 1)[0]
    assert slope == pytest.approx(0.96, abs=0.01)


# --- what cannot be asked for


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"custmers": (5, 9)}, "Did you mean 'customers'"),
        ({"missing": 1.5}, "missing"),
        ({"missing": float("nan")}, "missing"),
        ({"without_customers": 1.0}, "without_customers"),
        ({"icc": 0.0}, "icc"),
        ({"confounding": 0.9}, "confounding"),
        ({"points": 2}, "points"),
        ({"scale": "likret"}, "likret"),
        ({"employees": (9, 5)}, r"\(9, 5\)"),
        ({"customers": 0}, r"\(0, 0\)"),
        ({"loadings": (0.9, 1.0, 1.0, 1.0)}, "marker"),
        ({"loadings": (1.0, 1.0)}, "loadings"),
        ({"effects": {"prid -> behaviours": 0.2}}, "Did you mean 'pride -> behaviours'"),
        ({"effects": {"pride->behaviours": 0.2}}, "Did you mean 'pride -> behaviours'"),
        ({"effects": {"affluence -> value": 0.1}, "confounding": 0.0}, "no edge of this world"),
        ({"effects": {"pride -> behaviours": 0.95}}, "'behaviours' would explain 120% of its variance"),
        ({"effects": {"behaviours -> value": -1.0}}, "'value' would explain"),
        ({"effects": {"value -> revenue": 1e9}}, r"value 1e\+09"),
        ({"effects": {"value -> revenue": float("nan")}}, "finite number"),
        ({"effects": {"value -> revenue": "much"}}, "a number was expected"),
        ({"effects": 0.2}, "effects"),
        ({"units": 1}, "units= was 1"),
        ({"units": 2.5}, "units= was 2.5"),
        ({"seed": -1}, "seed= was -1"),
        ({"seed": None}, "seed= was None"),
        ({"design": {"icc": 0.1}}, "WorldDesign"),
    ],
)
def test_what_is_out_of_range_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(RoxError, match=message):
        make_world(**{"units": 20, "seed": 1, **options})


def test_an_unknown_construct_is_named() -> None:
    with pytest.raises(RoxError, match="Did you mean 'pride'"):
        make_world(20, seed=1).truth.total("prid", "revenue")


# --- printed matrices


def least_squares(covariance: FloatArray, causes: list[int], effect: int) -> FloatArray:
    return np.linalg.solve(covariance[np.ix_(causes, causes)], covariance[causes, effect])


@pytest.mark.parametrize(("name", "digits"), [("smith_sivo_2012", 5e-4), ("bank_satisfaction", 1e-10)])
def test_least_squares_on_the_printed_matrix_gives_the_printed_estimates(name: str, digits: float) -> None:
    paper = published()[name]
    position = paper.moments.names.index
    for effect, rows in paper.estimates.groupby("effect"):
        causes = [position(cause) for cause in rows["cause"]]
        slopes = least_squares(paper.moments.covariance, causes, position(str(effect)))
        assert slopes == pytest.approx(rows["estimate"].to_numpy(), abs=digits * 1.01)


def test_the_printed_chisq_is_n_times_the_discrepancy() -> None:
    paper = published()["smith_sivo_2012"]
    names, n = paper.moments.names, paper.moments.n
    sample = paper.moments.covariance * (n - 1) / n
    B, psi = np.zeros(sample.shape), np.diagonal(sample).copy()
    for effect in paper.model.endogenous:
        at, to = [names.index(cause) for cause in paper.model.causes(effect)], names.index(effect)
        B[to, at] = least_squares(sample, at, to)
        psi[to] -= B[to, at] @ sample[at, to]
        assert psi[to] == pytest.approx(paper.further["residual_variance"][effect], abs=5.1e-4)
    total = np.linalg.inv(np.eye(len(names)) - B)
    sigma = total @ np.diag(psi) @ total.T
    ratio = np.linalg.solve(sigma, sample)
    chisq = n * (np.trace(ratio) - np.linalg.slogdet(ratio)[1] - len(names))
    assert chisq == pytest.approx(paper.fit["chisq"], abs=5.1e-4)


def test_published_records_are_whole_and_fresh() -> None:
    for name, paper in published().items():
        assert paper.name == name
        assert paper.source
        assert paper.note
        assert set(paper.moments.names) == set(paper.model.names)
        assert [(e.cause, e.effect) for e in paper.model.edges] == list(
            paper.estimates[["cause", "effect"]].itertuples(index=False, name=None)
        )
        paper.estimates.loc[0, "estimate"] = 99.0
        assert published()[name].estimates.loc[0, "estimate"] != 99.0
    assert published()["bank_satisfaction"].moments.mean is not None
    assert published()["smith_sivo_2012"].moments.mean is None
