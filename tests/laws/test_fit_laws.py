"""Laws of a fit: what does not matter does not matter, and numbers that must agree agree."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import roxmodel as rox
from roxmodel.errors import RoxError

pytestmark = pytest.mark.slow

EXACT = {"rtol": 1e-7, "atol": 1e-10}  # algebra in double precision, over units of measurement from 1e-6 to 1e6
BITS = {"rtol": 0, "atol": 0}
laws = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NUMBERS = ["estimate", "se", "z", "p", "ci_low", "ci_high", "standardized"]


@st.composite
def graphs(draw, least=2, most=6):
    """A graph without loops whose names say nothing about its order."""
    size = draw(st.integers(least, most))
    names = draw(st.permutations([f"c{i}" for i in range(size)]))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1, max_size=8))
    return tuple(draw(st.permutations(names))), tuple(f"{a} -> {b}" for a, b in edges)


@st.composite
def worlds(draw):
    names, edges = draw(graphs())
    n, seed = draw(st.integers(25, 60)), draw(st.integers(0, 10_000))
    holes = draw(st.sampled_from([0.0, 0.0, 0.1]))
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, len(names))) @ (np.eye(len(names)) + 0.3 * rng.normal(size=(len(names),) * 2))
    table = pd.DataFrame(values, columns=list(names)).mask(rng.random(values.shape) < holes)
    return names, edges, table.assign(u=[f"u{i}" for i in range(n)])


def model(names, edges):
    constructs = [rox.Construct(name=n, factor="outcomes", source="unit", items=[n]) for n in names]
    return rox.RoxModel(name="m", constructs=constructs, edges=list(edges))


def fitted(names, edges, table, **options):
    m = model(names, edges)
    try:
        return rox.fit(m, rox.Study(m, unit=table, by="u"), **{"method": "path"} | options)
    except RoxError:
        assume(False)


def numbers(fit):
    return fit.edges()[NUMBERS].to_numpy(float)


@laws
@given(worlds(), st.randoms(use_true_random=False))
def test_row_order_and_unit_names_do_not_matter(world, random):
    names, edges, table = world
    order = list(range(len(table)))
    random.shuffle(order)
    other = table.iloc[order].assign(u=[f"x{i}" for i in range(len(table))])
    np.testing.assert_allclose(numbers(fitted(names, edges, other)), numbers(fitted(*world)), **EXACT)


@laws
@given(worlds(), st.data())
def test_order_of_constructs_and_edges_does_not_matter(world, data):
    names, edges, table = world
    one = fitted(*world)
    two = fitted(data.draw(st.permutations(names)), data.draw(st.permutations(edges)), table)
    a, b = (fit.edges().set_index(["cause", "effect"])[NUMBERS].astype(float) for fit in (one, two))
    np.testing.assert_allclose(a.loc[b.index], b, **EXACT)


@laws
@given(worlds(), st.data())
def test_units_of_measurement_change_units_only(world, data):
    names, edges, table = world
    factor = {name: data.draw(st.sampled_from([1e-6, 0.1, 1.0, 7.0, 1e6])) for name in names}
    shift = {name: data.draw(st.sampled_from([0.0, -3.0, 100.0])) for name in names}
    other = table.assign(**{name: (table[name] + shift[name]) * factor[name] for name in names})
    one, two = fitted(*world).edges(), fitted(names, edges, other).edges()
    scale = np.array([factor[e] / factor[c] for c, e in zip(one["cause"], one["effect"], strict=True)])
    for column in ("estimate", "se", "ci_low", "ci_high"):
        np.testing.assert_allclose(two[column] / scale, one[column], rtol=1e-6, atol=1e-9)
    for column in ("z", "p", "standardized", "robustness_value"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-5, atol=1e-9)


@laws
@given(worlds())
def test_each_unit_twice_changes_no_estimate(world):
    names, edges, table = world
    twice = pd.concat([table, table.assign(u=[f"v{i}" for i in range(len(table))])])
    one, two = fitted(*world), fitted(names, edges, twice)
    np.testing.assert_allclose(two.edges()["estimate"], one.edges()["estimate"], **EXACT)
    np.testing.assert_allclose(two.edges()["standardized"], one.edges()["standardized"], **EXACT)


@laws
@given(worlds())
def test_rows_and_their_moments_agree(world):
    names, edges, table = world
    assume(not table.isna().any().any())
    one = fitted(*world, se="standard")
    try:
        two = rox.fit(
            model(names, edges), rox.Moments.from_rows(table[list(names)].to_numpy(), list(names)), method="path"
        )
    except RoxError:
        assume(False)
    a, b = (fit.parameters()[NUMBERS].to_numpy(float) for fit in (one, two))
    np.testing.assert_allclose(b, a, **EXACT)
    np.testing.assert_allclose(two.indices()["chisq"], one.indices()["chisq"], rtol=1e-6, atol=1e-6)


@laws
@given(worlds(), st.sampled_from([None, "draws"]))
def test_paths_add_up_and_direct_effects_are_edges(world, interval):
    fit = fitted(*world)
    for edge in fit.edges().itertuples():
        table = fit.effects(edge.cause, edge.effect, interval)
        single = table[table["path"] != "all"]
        assert table["estimate"].iloc[-1] == pytest.approx(single["estimate"].sum(), rel=1e-9, abs=1e-12)
        direct = table[table["kind"] == "direct"].iloc[0]
        assert direct["estimate"] == edge.estimate
        if interval is None:
            shown = direct[["se", "ci_low", "ci_high", "p"]].to_numpy(float)
            np.testing.assert_allclose(shown, [edge.se, edge.ci_low, edge.ci_high, edge.p], **EXACT)


@laws
@given(worlds())
def test_the_covariance_of_all_parameters_is_positive_semi_definite(world):
    for options in ({}, {"se": "standard"}):
        fit = fitted(*world, **options)
        spread = np.sqrt(np.diag(fit.vcov))
        assert (spread > 0).all()
        assert np.linalg.eigvalsh(fit.vcov / np.outer(spread, spread))[0] > -1e-8


@laws
@given(worlds())
def test_verdicts_and_small_print_are_always_there(world):
    fit = fitted(*world)
    assert fit.converged
    assert fit.identified
    assert fit.summary().count("\n") > 5
    assert fit.edges()["robustness_value"].between(0, 1).all()


@settings(laws, max_examples=12)
@given(worlds(), st.integers(0, 1000))
def test_a_document_brings_back_every_bit(world, seed):
    from roxmodel.document import read_fit, write_document
    from roxmodel.result.persistence import fit_content, fitted_from_content
    from roxmodel.result.tables import parameter_frame

    fit = fitted(*world, bootstrap=5, seed=seed, progress=False)
    loaded = fitted_from_content(read_fit(write_document("fit", fit_content(fit).model_dump(mode="python"))))
    pd.testing.assert_frame_equal(parameter_frame(loaded), fit.parameters(), check_exact=True)
    np.testing.assert_allclose(loaded.draws(9, seed=seed), fit.draws(9, seed=seed), **BITS)
    np.testing.assert_allclose(loaded.vcov, fit.vcov, **BITS)


@pytest.mark.filterwarnings("ignore:.*this fit doubtful")  # rows drawn twice repeat
@settings(laws, max_examples=12)
@given(worlds(), st.integers(0, 1000))
def test_a_replicate_is_the_fit_of_the_rows_it_drew(world, seed):
    names, edges, table = world
    assume(not table.isna().any().any())
    fit = fitted(*world, bootstrap=4, seed=seed, progress=False)
    rows = fit.population.units
    for place in range(len(fit.bootstrap_draws())):
        counts = fit.bootstrap_weights(place).astype(int)
        drawn = table.set_index("u").loc[np.repeat(rows, counts)].reset_index(drop=True)
        try:
            again = rox.fit(model(names, edges), drawn, method="path", se="standard")
        except RoxError:
            continue
        np.testing.assert_allclose(fit.bootstrap_draws()[place], again.theta, rtol=1e-6, atol=1e-9)


def test_draws_do_not_hang_on_the_order_in_which_a_model_is_written():
    """One question has one interval, whoever wrote the arrows down."""
    world = rox.datasets.make_world(60, seed=3)
    turned = world.model.replace(edges=world.model.edges[::-1], constructs=world.model.constructs[::-1])
    one, two = (rox.fit(m, world.study(), method="path") for m in (world.model, turned))
    for draws in ("draws", "answer_draws"):
        left, right = (getattr(fit, draws)(50, seed=1) for fit in (one, two))
        place = {row.id: row.free - 1 for row in two.table if row.free}
        same = [(row.free - 1, place[row.id]) for row in one.table if row.free and row.id in place]
        assert len(same) >= len(world.model.edges)
        for here, there in same:
            np.testing.assert_allclose(left[:, here], right[:, there], rtol=1e-6, atol=1e-9)
