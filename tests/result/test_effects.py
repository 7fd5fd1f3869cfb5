"""Every serial path, its sum, its intervals; curved graphs against averages computed unit by unit."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import RoxError

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # algebra in double precision
GRADIENT = {"rtol": 1e-6, "atol": 1e-12}  # central differences of a smooth function
MONTE_CARLO = 4.0  # standard errors: one false alarm in about 16,000 comparisons, and seeds are fixed

NAMES = "abcde"
EDGES = [("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d"), ("a", "e"), ("d", "e"), ("c", "e")]


def construct(name, scale=None):
    return rox.Construct(name=name, factor="outcomes", source="unit", items=[rox.Item(name=name, scale=scale)])


def model(edges=tuple(EDGES), scales=None, extra=()):
    constructs = [construct(name, (scales or {}).get(name)) for name in NAMES]
    arrows = [edge if isinstance(edge, rox.Edge) else f"{edge[0]} -> {edge[1]}" for edge in edges]
    return rox.RoxModel(name="m", constructs=constructs, edges=[*arrows, *extra])


def frame(n=150, seed=0, curved=()):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(index=range(n))
    for name in NAMES:
        causes = [cause for cause, effect in EDGES if effect == name]
        table[name] = 3 + sum(0.3 * (-1) ** i * (table[c] - 3) for i, c in enumerate(causes)) + rng.normal(size=n)
        if name in curved:
            predictor = table[name] - 3 if curved[name] == "logit" else 0.3 * table[name]
            table[name] = (
                rng.random(n) < 1 / (1 + np.exp(-predictor))
                if curved[name] == "logit"
                else rng.poisson(np.exp(predictor))
            )
            table[name] = table[name].astype(float)
    return table


@pytest.fixture(scope="module")
def fit():
    return rox.fit(model(), frame(), method="path")


def value(fit, cause, effect):
    table = fit.edges()
    return float(table[(table["cause"] == cause) & (table["effect"] == effect)]["estimate"].iloc[0])


@pytest.mark.parametrize(("cause", "effect"), [("a", "e"), ("b", "e"), ("a", "d"), ("c", "e"), ("d", "e")])
def test_every_serial_path_has_a_row_and_rows_add_up(fit, cause, effect):
    table = fit.effects(cause, effect)
    paths = list(nx.all_simple_paths(nx.DiGraph(EDGES), cause, effect))
    single = table[table["path"] != "all"].set_index("path")
    assert set(single.index) == {" -> ".join(path) for path in paths}
    for path in paths:
        row = single.loc[" -> ".join(path)]
        assert row["kind"] == ("direct" if len(path) == 2 else "indirect")
        assert row["estimate"] == pytest.approx(np.prod([value(fit, *step) for step in pairwise(path)]), rel=1e-12)
    together = table[table["path"] == "all"].set_index("kind")["estimate"]
    indirect = single[single["kind"] == "indirect"]["estimate"].sum()
    assert list(table["kind"])[-2:] == ["indirect", "total"]
    assert together["indirect"] == pytest.approx(indirect, abs=1e-14)
    assert together["total"] == pytest.approx(single["estimate"].sum(), rel=1e-12)
    sd = np.sqrt(np.diag(fit.population.covariance))
    scale = sd[NAMES.index(cause)] / sd[NAMES.index(effect)]
    np.testing.assert_allclose(table["standardized"], table["estimate"] * scale, **EXACT)


def paths_at(fit, theta, cause, effect):
    system = fit.system(theta[None, :])
    place = {name: i for i, name in enumerate(NAMES)}
    paths = sorted(nx.all_simple_paths(nx.DiGraph(EDGES), cause, effect), key=lambda p: (len(p), p))
    single = [np.prod([system.coefficients[0, place[b], place[a]] for a, b in pairwise(p)]) for p in paths]
    indirect = sum(v for v, p in zip(single, paths, strict=True) if len(p) > 2)
    return np.array([*single, indirect, sum(single)])


@pytest.mark.parametrize("se", ["robust", "standard"])
@pytest.mark.parametrize(("cause", "effect"), [("a", "e"), ("b", "e")])
def test_delta_errors_are_those_of_numeric_gradients(se, cause, effect):
    fit = rox.fit(model(), frame(), method="path", se=se)
    step = 1e-5
    gradient = np.stack(
        [
            (
                paths_at(fit, fit.theta + step * unit, cause, effect)
                - paths_at(fit, fit.theta - step * unit, cause, effect)
            )
            / (2 * step)
            for unit in np.eye(len(fit.theta))
        ],
        axis=1,
    )
    expected = np.sqrt(np.einsum("ij,jk,ik->i", gradient, fit.vcov, gradient))
    np.testing.assert_allclose(fit.effects(cause, effect)["se"], expected, **GRADIENT)


def test_delta_and_draws_agree_where_effects_are_nearly_normal():
    fit = rox.fit(model(), frame(n=3000), method="path")
    delta, drawn = fit.effects("a", "e"), fit.effects("a", "e", interval="draws")
    pd.testing.assert_series_equal(delta["estimate"], drawn["estimate"])
    # 10,000 draws: a spread is known to 1/sqrt(20,000); products are a little skewed.
    np.testing.assert_allclose(drawn["se"] / delta["se"], 1.0, atol=MONTE_CARLO / np.sqrt(2 * 10_000) + 0.05)
    total = [table[table["kind"] == "total"].iloc[0] for table in (delta, drawn)]
    ends = [(row["ci_low"], row["ci_high"]) for row in total]
    np.testing.assert_allclose(ends[1], ends[0], atol=0.1 * total[0]["se"])


def test_an_interval_from_draws_is_theirs(fit):
    draws = fit.answer_draws(10_000, seed=0)
    totals = np.stack([paths_at(fit, theta, "a", "d") for theta in draws[:500]])
    table = fit.effects("a", "d", interval="draws")
    pd.testing.assert_frame_equal(table, fit.effects("a", "d", interval="draws"), check_exact=True)
    system = fit.system(draws)
    total = np.linalg.inv(np.eye(5) - system.coefficients)[:, 3, 0]
    np.testing.assert_allclose(total[:500], totals[:, -1], **EXACT)
    row = table.iloc[-1]
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], np.quantile(total, [0.025, 0.975]), **EXACT)
    assert row["se"] == pytest.approx(total.std(ddof=1))
    assert row["p"] == pytest.approx(2 * (min((total <= 0).sum(), (total >= 0).sum()) + 1) / 10_001)


@pytest.mark.parametrize("se", ["robust", "standard"])
def test_a_direct_effect_is_the_edge(se):
    fit = rox.fit(model(), frame(), method="path", se=se)
    numbers = ["estimate", "se", "ci_low", "ci_high", "p", "standardized"]
    for row in fit.edges().itertuples():
        direct = fit.effects(row.cause, row.effect).query("kind == 'direct'")
        shown = direct[numbers].to_numpy(float)[0]
        np.testing.assert_allclose(shown, [getattr(row, name) for name in numbers], **EXACT)


def test_the_weakest_equation_gives_the_degrees_of_freedom():
    table = frame()
    table.loc[15:, "d"] = np.nan
    fit = rox.fit(model(), table, method="path")
    from scipy.stats import t

    row = fit.effects("b", "e").query("path == 'b -> d -> e'").iloc[0]
    df = min(equation.df for equation in fit.equations if equation.effect in {"d", "e"})
    assert df < 15
    assert row["ci_high"] - row["estimate"] == pytest.approx(t.ppf(0.975, df) * row["se"])


def test_fixed_edges_take_part_without_error():
    edges = [rox.Edge(cause="a", effect="b", fixed=0.5), rox.Edge(cause="b", effect="c", fixed=-2.0), ("c", "d")]
    fit = rox.fit(model(edges), frame(), method="path")
    sure = fit.effects("a", "c")
    assert sure["estimate"].tolist() == [-1.0, -1.0, -1.0]
    assert sure[["se", "ci_low", "ci_high", "p"]].isna().all().all()
    mixed, edge = fit.effects("a", "d").iloc[-1], fit.effects("c", "d").iloc[0]
    np.testing.assert_allclose(mixed[["estimate", "se"]].to_numpy(float), [-edge["estimate"], edge["se"]], **EXACT)
    assert mixed["p"] == pytest.approx(edge["p"])


def test_lagged_edges_take_no_part():
    lagged = rox.Edge(cause="a", effect="e", lag=1, fixed=5.0)
    fit = rox.fit(model([("a", "b"), lagged]), frame(), method="path")
    assert fit.effects("a", "e")["estimate"].tolist() == [0.0, 0.0]
    assert fit.effects("a", "e")["path"].tolist() == ["all", "all"]


def test_no_path_is_no_effect(fit):
    table = fit.effects("e", "a")
    assert table[["kind", "estimate"]].to_numpy().tolist() == [["indirect", 0.0], ["total", 0.0]]
    assert table["se"].isna().all()


def test_a_large_graph_is_walked_only_between_the_two():
    """Forty constructs in dense layers beside one short path: walking all of it would take for ever."""
    names = [f"n{i}" for i in range(36)]
    dense = [f"n{i} -> n{j}" for i in range(36) for j in range(i + 1, 36)]
    m = rox.RoxModel(
        name="m", constructs=[construct(n) for n in ("x", "y", *names)], edges=["x -> y", "x -> n0", *dense]
    )
    rng = np.random.default_rng(1)
    fit = rox.fit(m, pd.DataFrame(rng.normal(size=(200, 38)), columns=list(m.names)), method="path")
    assert fit.effects("x", "y")["path"].tolist() == ["x -> y", "all", "all"]
    with pytest.raises(RoxError, match="More than 2000 paths lead from 'x' to 'n35'"):
        fit.effects("x", "n35")


@pytest.mark.parametrize(
    ("ends", "interval", "message"),
    [
        (("A", "e"), None, "no construct 'A'"),
        (("a", "eh"), None, r"no construct 'eh'"),
        (("a", "a"), None, "effect of 'a' on itself"),
        (("a", "e"), "bayes", r"interval= was 'bayes'\. Allowed: 'delta', 'draws' or 'bca'"),
    ],
)
def test_what_cannot_be_asked_is_named(fit, ends, interval, message):
    with pytest.raises(RoxError, match=message):
        fit.effects(*ends, interval)


# --- curved graphs: the average over the units of the change that one more point brings


def response(kind, predictor):
    if kind == "logit":
        return 1 / (1 + np.exp(-predictor))
    return np.exp(predictor) if kind == "poisson" else predictor


def change_by_hand(coefficients, intercepts, families, levels, keep=None):
    """One unit at a time, one construct at a time."""
    changes = np.zeros(levels.shape)
    for unit, level in enumerate(levels):
        for place, family in enumerate(families):
            if place == 0:
                changes[unit, place] = 1.0
                continue
            carried = sum(
                coefficients[place, cause] * changes[unit, cause]
                for cause in range(place)
                if keep is None or (cause, place) in keep
            )
            if family == "linear":
                changes[unit, place] = carried
            else:
                base = intercepts[place] + coefficients[place] @ level
                changes[unit, place] = response(family, base + carried) - response(family, base)
    return changes.mean(axis=0)


@pytest.mark.parametrize("curved", [{"e": "logit"}, {"e": "poisson"}, {"c": "logit"}, {"b": "poisson", "e": "logit"}])
def test_curved_effects_are_average_changes_over_the_units(curved):
    scales = {name: rox.Binary() if kind == "logit" else rox.Count() for name, kind in curved.items()}
    table = frame(curved=curved)
    fit = rox.fit(model(scales=scales), table, method="path")
    assert [fit.families[NAMES.index(name)] for name in curved] == list(curved.values())
    system = fit.system()
    by_hand = (system.coefficients[0], system.intercepts[0], fit.families, table.to_numpy())
    shown = fit.effects("a", "e").set_index("path")
    total = change_by_hand(*by_hand)[4]
    assert shown[shown["kind"] == "total"]["estimate"].iloc[0] == pytest.approx(total, rel=1e-9)
    for path in ("a -> e", "a -> c -> e", "a -> b -> d -> e"):
        steps = {(NAMES.index(x), NAMES.index(y)) for x, y in pairwise(path.split(" -> "))}
        assert shown.loc[path, "estimate"] == pytest.approx(change_by_hand(*by_hand, steps)[4], rel=1e-9)
    not_direct = {(NAMES.index(x), NAMES.index(y)) for x, y in EDGES} - {(0, 4)}
    indirect = shown[shown["kind"] == "indirect"].loc["all", "estimate"]
    assert indirect == pytest.approx(change_by_hand(*by_hand, not_direct)[4], rel=1e-9)
    assert shown["standardized"].isna().all()


def test_curved_intervals_come_from_draws():
    table = frame(curved={"e": "logit"})
    fit = rox.fit(model(scales={"e": rox.Binary()}), table, method="path")
    draws = fit.answer_draws(2_000, seed=0)  # 150 units: the largest number of draws
    totals = []
    for theta in draws[:60]:
        system = fit.system(theta[None, :])
        totals.append(change_by_hand(system.coefficients[0], system.intercepts[0], fit.families, table.to_numpy())[4])
    row = fit.effects("a", "e").iloc[-1]
    spread = np.std(totals, ddof=1)
    assert row["se"] == pytest.approx(spread, rel=MONTE_CARLO / np.sqrt(2 * 60))
    assert row["ci_low"] < row["estimate"] < row["ci_high"]


def test_only_curved_equations_on_the_way_matter():
    """Upstream of a yes/no outcome everything is as in a linear graph, delta intervals included."""
    table = frame(curved={"e": "logit"})
    curved, linear = (
        rox.fit(model(scales={"e": rox.Binary()}), table, method="path"),
        rox.fit(model(), table, method="path"),
    )
    for cause, effect in (("a", "d"), ("a", "c"), ("b", "d")):
        pd.testing.assert_frame_equal(curved.effects(cause, effect), linear.effects(cause, effect), check_exact=True)
    with pytest.raises(RoxError, match="equation of 'e' is curved, so interval='delta'"):
        curved.effects("a", "e", interval="delta")


def test_a_cause_that_is_itself_curved_is_pushed_on_its_own_scale():
    curved = {"b": "logit"}
    fit = rox.fit(model(scales={"b": rox.Binary()}), frame(curved=curved), method="path")
    table = fit.effects("b", "d")
    assert table.iloc[0]["estimate"] == pytest.approx(value(fit, "b", "d"))
    assert table.iloc[0]["se"] == pytest.approx(fit.edges().set_index(["cause", "effect"]).loc[("b", "d"), "se"])
