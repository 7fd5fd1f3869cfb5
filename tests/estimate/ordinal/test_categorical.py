"""Weighted least squares on ordinal items: derivatives, refits, what is laid down by the way items are measured."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import roxmodel as rox
from roxmodel.errors import DataError, RoxError, SpecError
from roxmodel.estimate.options import SemOptions
from roxmodel.estimate.ordinal.categorical import categories_of, ordinal_items, refit_categorical, solve_categorical
from roxmodel.estimate.ordinal.weighted import covariance_part, first_step_of

NUMERIC = 2e-6  # central differences, steps of 1e-5
TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a\na1 ~~ b1"
NAMES = ["a1", "a2", "a3", "b1", "b2", "b3"]
MODEL = rox.RoxModel.from_lavaan(TEXT)


def answers(n=300, seed=1, continuous=()):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) * [1, 0.9, 0.8, 1, 1.1, 0.7] + 0.8 * rng.normal(size=(n, 6))
    frame = pd.DataFrame(rows, columns=NAMES)
    cuts = {"a1": [0], "a2": [-1, 0.3], "a3": [-1, 0, 1], "b1": [0.2], "b2": [-1, -0.2, 1, 1.6], "b3": [-1, 1]}
    for name in NAMES:
        frame[name] = frame[name] * 50 if name in continuous else np.digitize(frame[name], cuts[name]) * 1.0
    return frame


def solved(frame, model=MODEL, ordered=True, **options):
    return solve_categorical(model, frame, SemOptions(estimator="DWLS", se="robust", ordered=ordered, **options))


def numeric(function, theta, step=1e-5):
    moves = step * np.eye(len(theta))
    return np.stack([(function(theta + m) - function(theta - m)) / (2 * step) for m in moves], axis=-1)


@pytest.mark.parametrize("continuous", [(), ("a2", "b3")])
@pytest.mark.parametrize("scaling", ["marker", "standardized"])
def test_derivatives(continuous, scaling):
    frame = answers(continuous=continuous)
    ordered = [name for name in NAMES if name not in continuous]
    found = solved(frame, ordered=ordered, scaling=scaling)
    sample_moments = categories_of(MODEL, found.sample, ordinal_items(MODEL, ordered))
    part = covariance_part(found.layout, sample_moments)
    theta = found.found.theta * np.random.default_rng(2).uniform(0.9, 1.1, len(found.found.theta))
    at = part.expand(theta)
    assert at.value == part.value(theta) > 0
    size = np.maximum(np.abs(theta), 1e-3)
    gradient = numeric(lambda t: part.value(t * size), theta / size)
    hessian = numeric(lambda t: part.expand(t * size).gradient * size, theta / size)
    largest = np.abs(at.hessian * np.outer(size, size)).max()
    np.testing.assert_allclose(at.gradient * size, gradient, rtol=1e-5, atol=NUMERIC * largest)
    np.testing.assert_allclose(at.hessian * np.outer(size, size), hessian, rtol=1e-5, atol=NUMERIC * largest)
    jacobian = part.jacobian(theta)
    np.testing.assert_allclose(at.information, jacobian.T @ (part.weights[:, None] * jacobian), rtol=1e-9)


def test_the_optimum_is_scipys():
    frame = answers()
    found = solved(frame)
    part = covariance_part(found.layout, categories_of(MODEL, found.sample, ordinal_items(MODEL, True)))
    moving = np.flatnonzero(np.abs(part.jacobian(found.found.theta)).sum(axis=0) > 0)

    def value(some):
        theta = found.found.theta.copy()
        theta[moving] = some
        return part.value(theta)

    theirs = minimize(value, found.found.theta[moving] * 0.9, method="BFGS", options={"gtol": 1e-8})
    assert part.value(found.found.theta) <= theirs.fun + 1e-9
    np.testing.assert_allclose(found.found.theta[moving], theirs.x, atol=1e-3)


def test_a_refit_with_the_same_counts_is_the_estimate():
    frame = answers()
    found = solved(frame)
    again = refit_categorical(found, np.ones(len(frame)), ordinal_items(MODEL, True))
    np.testing.assert_allclose(again, found.found.theta, atol=1e-7)


def test_a_refit_that_lost_a_category_is_told():
    frame = answers()
    frame.loc[0, "a1"] = 2.0
    found = solved(frame)
    weights = np.ones(len(frame))
    weights[0] = 0.0
    assert np.isnan(refit_categorical(found, weights, ordinal_items(MODEL, True))).all()


def test_residuals_are_what_constructs_leave_of_one():
    fit = rox.fit(MODEL, answers(), method="sem", estimator="DWLS", ordered=True)
    table = fit.parameters().set_index("id")
    for item in NAMES:
        loading = table.loc[f"loading:{item[0]}=~{item}", "estimate"]
        own = table.loc[f"variance:{item}", "estimate"]
        variance = table.loc["variance:a", "estimate"]
        if item[0] == "b":
            variance = table.loc["edge:a->b", "estimate"] ** 2 * variance + table.loc["variance:b", "estimate"]
        assert own == pytest.approx(1 - loading**2 * variance, abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*this fit doubtful")  # -7 looks like a code
def test_coding_of_the_answers_does_not_matter():
    frame = answers()
    coded = frame.replace({0.0: -7.0, 1.0: 2.0, 2.0: 3.5, 3.0: 10.0, 4.0: 11.0})
    one, two = (
        rox.fit(MODEL, f, method="sem", estimator="DWLS", ordered=True).parameters()["estimate"] for f in (frame, coded)
    )
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


def test_units_of_continuous_items_do_not_matter():
    ordered = ["a1", "a3", "b1", "b2", "b3"]
    frame = answers(continuous=("a2",))
    one, two = (
        rox.fit(MODEL, f, method="sem", estimator="DWLS", ordered=ordered).indices()["chisq"]
        for f in (frame, frame.assign(a2=frame["a2"] * 1e6 + 3))
    )
    assert one == pytest.approx(two, rel=1e-6)


def test_which_items_are_ordinal():
    constructs = [
        rox.Construct(name="a", factor="pride", source="employee", items=NAMES[:3], scale=rox.Likert(1, 5)),
        rox.Construct(name="b", factor="outcomes", source="employee", items=NAMES[3:], scale=rox.Amount()),
    ]
    model = rox.RoxModel(name="m", constructs=constructs, edges=["a -> b"])
    np.testing.assert_array_equal(ordinal_items(model, None), [True] * 3 + [False] * 3)
    assert ordinal_items(model, True).all()
    assert ordinal_items(model, "b1").sum() == 1
    np.testing.assert_array_equal(ordinal_items(model, ["a1", "b1"]), [True, False, False, True, False, False])
    with pytest.raises(RoxError, match="'a4', which is no item"):
        ordinal_items(model, ["a4"])
    with pytest.raises(RoxError, match="which is no item"):
        ordinal_items(model, [4])
    with pytest.raises(RoxError, match="no item has a scale of ordered answers"):
        ordinal_items(MODEL, None)


def test_a_single_ordinal_item_amid_the_graph_is_refused():
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3\nb1 ~ a\nb2 ~ b1").replace(exogenous="free")
    with pytest.raises(SpecError, match="stands amid the graph"):
        solved(answers(), model)


# --- given covariates

BESIDE = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\na ~ x + z\nb ~ a + x"
GIVEN = rox.RoxModel.from_lavaan(BESIDE)


def beside(n=400, seed=3, continuous=(), share=0.3):
    """Answers to two constructs that a 0/1 covariate x and a continuous one z cause."""
    rng = np.random.default_rng(seed)
    x, z = 1.0 * (rng.random(n) < share), rng.normal(30.0, 8.0, n)
    a = 0.5 * x + 0.03 * (z - 30) + rng.normal(size=n)
    b = 0.5 * a - 0.4 * x + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) * [1, 0.9, 0.8, 1, 1.1, 0.7] + 0.8 * rng.normal(size=(n, 6))
    cuts = [[0], [-1, 0.3], [-1, 0, 1], [0.2], [-1, -0.2, 1, 1.6], [-1, 1]]
    columns = [
        50 * own if name in continuous else np.digitize(own, at) * 1.0
        for name, own, at in zip(NAMES, rows.T, cuts, strict=True)
    ]
    return pd.DataFrame(np.column_stack(columns), columns=NAMES).assign(x=x, z=z)


def constructs(**covariates):
    found = [
        rox.Construct(name=name, factor=factor, source="employee", items=NAMES[at : at + 3], scale=rox.Likert(0, 4))
        for name, factor, at in (("a", "pride", 0), ("b", "outcomes", 3))
    ]
    extra = {name: {} if own is None else {"scale": own} for name, own in covariates.items()}
    return [
        *found,
        *(rox.Construct(name=n, factor="context", source="employee", items=[n], **e) for n, e in extra.items()),
    ]


@pytest.mark.parametrize("continuous", [(), ("a2", "b3")])
def test_derivatives_given_covariates(continuous):
    frame = beside(continuous=continuous)
    ordered = [name for name in NAMES if name not in continuous]
    found = solved(frame, GIVEN, ordered=ordered)
    moments = categories_of(GIVEN, found.sample, ordinal_items(GIVEN, ordered))
    part = covariance_part(found.layout, moments)
    theta = found.found.theta * np.random.default_rng(2).uniform(0.9, 1.1, len(found.found.theta))
    size, at = np.maximum(np.abs(theta), 1e-3), part.expand(theta)
    gradient = numeric(lambda t: part.value(t * size), theta / size)
    hessian = numeric(lambda t: part.expand(t * size).gradient * size, theta / size)
    largest = np.abs(at.hessian * np.outer(size, size)).max()
    np.testing.assert_allclose(at.gradient * size, gradient, rtol=1e-5, atol=NUMERIC * largest)
    np.testing.assert_allclose(at.hessian * np.outer(size, size), hessian, rtol=1e-5, atol=NUMERIC * largest)
    first = first_step_of(GIVEN, found.table, moments)
    again = first.solved(found.layout, theta, moments.statistics)
    np.testing.assert_allclose(
        numeric(lambda t: first.solved(found.layout, t * size, moments.statistics), theta / size)[first.theta],
        np.linalg.solve(
            first.jacobian(found.layout, again)[:, first.theta], -first.jacobian(found.layout, again) * size
        )
        * ~np.isin(np.arange(len(theta)), first.theta),
        atol=1e-4 * np.abs(theta).max(),
    )


@pytest.mark.slow
def test_what_is_given_may_be_a_number_or_a_yes_no():
    """A scale or none, named ordered or not: the answers of a covariate that is given count as they are."""
    frame = beside()
    edges = ["a -> b", "x -> a", "x -> b", "z -> a"]
    tables = []
    for scale in (None, rox.Binary(), rox.Likert(0, 1)):
        model = rox.RoxModel(name="m", constructs=constructs(x=scale, z=None), edges=edges, exogenous="fixed")
        for ordered in (None, True, NAMES):
            tables.append(rox.fit(model, frame, estimator="DWLS", ordered=ordered).parameters()["estimate"])
    text = rox.fit(GIVEN, frame, estimator="DWLS", ordered=True).parameters().set_index("id")["estimate"]
    for table in tables:
        np.testing.assert_array_equal(table, tables[0])
    ids = rox.fit(model, frame, estimator="DWLS").parameters()["id"]
    np.testing.assert_allclose(tables[0], text[ids], atol=1e-8)


def test_an_exogenous_construct_covaries_with_what_is_given():
    """A covariance with the covariates is a regression on them in other words: same fit, same edges and errors."""
    frame = beside()
    free = rox.RoxModel(
        name="m", constructs=constructs(x=None, z=None), edges=["a -> b", "x -> b", "z -> b"], exogenous="fixed"
    )
    full = rox.RoxModel.from_lavaan(BESIDE.replace("b ~ a + x", "b ~ a + x + z"))
    one, two = rox.fit(free, frame, estimator="DWLS"), rox.fit(full, frame, estimator="DWLS", ordered=True)
    for name in ("chisq", "df", "chisq_scaled", "srmr"):
        assert one.indices()[name] == pytest.approx(two.indices()[name], abs=1e-6)
    mine, theirs = (f.edges().set_index(["cause", "effect"]) for f in (one, two))
    np.testing.assert_allclose(mine[["estimate", "se"]], theirs.loc[mine.index, ["estimate", "se"]], atol=1e-6)
    np.testing.assert_allclose(one.population.covariance, two.population.covariance, rtol=1e-5, atol=1e-6)
    table, other = one.parameters().set_index("id"), two.parameters().set_index("id")
    spread = np.cov(frame[["x", "z"]].T)
    slopes = other.loc[["edge:x->a", "edge:z->a"], "estimate"]
    np.testing.assert_allclose(
        table.loc[["covariance:a~~x", "covariance:a~~z"], "estimate"], spread @ slopes, atol=1e-6
    )


def test_coding_and_units_of_covariates_do_not_matter():
    frame = beside()
    fit, coded = (
        rox.fit(GIVEN, f, estimator="DWLS", ordered=True)
        for f in (frame, frame.assign(x=2 - 2 * frame["x"], z=frame["z"] * 1e5))
    )
    one, two = fit.edges().set_index(["cause", "effect"]), coded.edges().set_index(["cause", "effect"])
    assert two.loc[("x", "a"), "estimate"] == pytest.approx(-one.loc[("x", "a"), "estimate"] / 2, rel=1e-6)
    assert two.loc[("z", "a"), "se"] == pytest.approx(one.loc[("z", "a"), "se"] / 1e5, rel=1e-6)
    assert fit.indices()["chisq"] == pytest.approx(coded.indices()["chisq"], rel=1e-6)
    np.testing.assert_allclose(one["standardized"].abs(), two["standardized"].abs(), rtol=1e-6)


def test_variances_around_what_covariates_foretell_are_one():
    """The whole variance of the variable behind an item is 1 and what the covariates bring."""
    fit = rox.fit(GIVEN, beside(), estimator="DWLS", ordered=True)
    table = fit.parameters().set_index("id")
    behind = fit.population.covariance[0, 0] + table.loc["variance:a1", "estimate"]
    own = fit.population.covariance[2:, 2:]
    slopes = table.loc[["edge:x->a", "edge:z->a"], "estimate"].to_numpy()
    assert behind == pytest.approx(1 + slopes @ own @ slopes, abs=1e-8)
    assert table.loc["loading:a=~a1", "standardized"] == pytest.approx(
        np.sqrt(fit.population.covariance[0, 0] / behind), abs=1e-8
    )


@pytest.mark.slow
def test_the_truth_is_found_where_covariates_are_uneven():
    fit = rox.fit(GIVEN, beside(n=20_000, share=0.06), estimator="DWLS", ordered=True)
    found = fit.edges().set_index(["cause", "effect"])
    # in units of the variable behind a1 (b1): divided by the residual standard deviation √(1 + .64) of its answers
    spread = {"a": np.sqrt(1.64), "b": np.sqrt(0.25 + 1.64)}
    truth = {("x", "a"): 0.5, ("z", "a"): 0.03, ("a", "b"): 0.5 * spread["a"], ("x", "b"): -0.4}
    for (cause, effect), value in truth.items():
        row = found.loc[(cause, effect)]
        assert abs(row["estimate"] - value / spread[effect]) < 4 * row["se"]


def test_a_replicate_with_the_same_counts_is_the_estimate_given_covariates():
    frame = beside()
    found = solved(frame, GIVEN)
    ordinal = ordinal_items(GIVEN, True)
    again = refit_categorical(found, np.ones(len(frame)), ordinal)
    np.testing.assert_allclose(again, found.found.theta, atol=1e-7)
    counts = np.random.default_rng(1).multinomial(len(frame), np.full(len(frame), 1 / len(frame))).astype(float)
    drawn = frame.loc[frame.index.repeat(counts.astype(int))].reset_index(drop=True)
    replicate = refit_categorical(found, counts, ordinal)
    np.testing.assert_allclose(replicate, solved(drawn, GIVEN).found.theta, rtol=1e-5, atol=1e-6)


def test_the_small_print_says_what_is_conditioned_on():
    frame = beside()
    fit = rox.fit(GIVEN, frame, estimator="DWLS", ordered=True)
    assert any(note.startswith("Conditional on 'x', 'z'") for note in fit.notes)
    free = rox.RoxModel(name="m", constructs=constructs(x=rox.Binary()), edges=["a -> b", "x -> b"])
    note = next(note for note in rox.fit(free, frame, estimator="DWLS").notes if "exogenous='fixed'" in note)
    assert "'x'" in note
    assert not any("Conditional" in note for note in rox.fit(free, frame, estimator="DWLS").notes)


def test_a_covariate_can_be_set_and_shifted():
    frame = beside()
    fit = rox.fit(GIVEN, frame, estimator="DWLS", ordered=True)
    total = float(fit.effects("x", "b").query("kind == 'total'")["estimate"].iloc[0])
    for action, points in ({"set": {"x": 1.0}}, 1 - frame["x"].mean()), ({"shift": {"x": -0.1}}, -0.1):
        run = rox.simulate(fit, [rox.Intervention(name="i", cost=1.0, **action)], horizon=1, draws=4000, seed=1)
        found = run.effects().set_index("construct")
        assert found.loc["x", "mean"] == pytest.approx(points, abs=1e-9)
        assert found.loc["b", "mean"] == pytest.approx(points * total, abs=0.01)


def test_levels_given_covariates_are_those_at_their_means():
    fit = rox.fit(GIVEN, beside(), estimator="DWLS", ordered=True)
    edges = fit.edges().set_index(["cause", "effect"])["estimate"]
    mean = dict(zip(fit.population.names, fit.population.mean, strict=True))
    assert mean["a"] == pytest.approx(edges["x", "a"] * mean["x"] + edges["z", "a"] * mean["z"], abs=1e-9)
    assert mean["b"] == pytest.approx(edges["a", "b"] * mean["a"] + edges["x", "b"] * mean["x"], abs=1e-9)


# --- advice, obeyed


def test_a_yes_no_covariate_is_told_what_works():
    frame, cause = beside(), ["a -> b", "x -> a"]
    model = rox.RoxModel(name="m", constructs=constructs(x=None), edges=cause)
    with pytest.raises(
        DataError, match=r"'x' has two values only \(0 and 1\).*exogenous='fixed'.*ordered=\[..., 'x'\]"
    ):
        rox.fit(model, frame, estimator="DWLS")
    assert rox.fit(model.replace(exogenous="fixed"), frame, estimator="DWLS").converged
    assert rox.fit(model, frame, estimator="DWLS", ordered=[*NAMES, "x"]).converged


def test_a_given_covariate_is_not_ordered():
    frame = beside()
    with pytest.raises(RoxError, match=r"names 'x', but .* conditioned on it.*exogenous='free'"):
        rox.fit(GIVEN, frame, estimator="DWLS", ordered=[*NAMES, "x"])
    assert rox.fit(GIVEN, frame, estimator="DWLS", ordered=NAMES).converged
    assert rox.fit(GIVEN.replace(exogenous="free"), frame, estimator="DWLS", ordered=[*NAMES, "x"]).converged


def test_a_covariate_with_many_answers_is_told_what_works():
    frame = beside()
    free = GIVEN.replace(exogenous="free")
    with pytest.raises(DataError, match=r"'z' was to be ordinal.*ordered=\['a1', .*'x'\].*exogenous='fixed'"):
        rox.fit(free, frame, estimator="DWLS", ordered=True)
    assert rox.fit(free, frame, estimator="DWLS", ordered=[*NAMES, "x"]).converged
    assert rox.fit(free.replace(exogenous="fixed"), frame, estimator="DWLS", ordered=True).converged


def test_a_yes_no_that_is_given_needs_no_other_scale():
    """Nothing is assumed of how it is distributed, by ML either: no note that its scale is not respected."""
    frame = beside()
    model = rox.RoxModel(name="m", constructs=constructs(x=rox.Binary()), edges=["a -> b", "x -> a"])
    said = [
        any("are taken as numbers with linear equations" in note for note in rox.fit(m, frame).notes)
        for m in (model, model.replace(exogenous="fixed"))
    ]
    assert said == [True, False]


def test_moments_of_what_is_given_are_not_stated():
    frame, edges = beside(), ["a -> b", "x -> a", "z -> a"]
    given = constructs(x=None, z=None)
    model = rox.RoxModel(name="m", constructs=given, edges=[*edges, "x <-> z"], exogenous="fixed")
    with pytest.raises(SpecError, match="Leave x <-> z out"):
        rox.fit(model, frame, estimator="DWLS")
    assert rox.fit(model.replace(covariances=[]), frame, estimator="DWLS").converged
    text = "a =~ a1 + a2 + a3\na ~ x + b1"
    with pytest.raises(SpecError, match="State no variance of 'b1'"):
        solved(frame, rox.RoxModel.from_lavaan(f"{text}\nb1 ~~ b1"))
    assert solved(frame, rox.RoxModel.from_lavaan(text)).found.converged


@pytest.mark.parametrize("mediator", ["b1", "b2"])
@pytest.mark.parametrize("ordered", [None, True, NAMES])
def test_one_ordinal_item_amid_the_graph_is_told_what_works(mediator, ordered):
    """Two categories: as a number it has no variance of its own; five: it can be one of the numbers."""
    items = [rox.Construct(name="m", factor="outcomes", source="employee", items=[mediator], scale=rox.Likert(0, 4))]
    last = [rox.Construct(name="c", factor="outcomes", source="employee", items=["b3"], scale=rox.Likert(0, 4))]
    model = rox.RoxModel(
        name="m",
        constructs=[*constructs(x=None)[::2], *items, *last],
        edges=["a -> m", "m -> c", "x -> a"],
        exogenous="fixed",
    )
    ordered = [mediator, "a1", "a2", "a3", "b3"] if isinstance(ordered, list) else ordered
    frame = beside()
    with pytest.raises(SpecError, match="stands amid the graph") as caught:
        rox.fit(model, frame, estimator="DWLS", ordered=ordered)
    if mediator == "b1":
        assert "estimator='MLR' without ordered=" in str(caught.value)
        assert rox.fit(model, frame, estimator="MLR").converged
    else:
        assert "ordered=['a1', 'a2', 'a3', 'b3']" in str(caught.value)
        assert rox.fit(model, frame, estimator="DWLS", ordered=["a1", "a2", "a3", "b3"]).converged


@pytest.mark.parametrize("option", [{"group": "g"}, {"cluster": "g"}, {"weight": "w"}, {"missing": "fiml"}])
@pytest.mark.parametrize("ordered", [None, NAMES])
def test_what_is_not_to_be_had_names_what_is(option, ordered):
    frame = beside().assign(g=np.arange(400) % 40 // 20, w=1.5)
    model = rox.RoxModel(name="m", constructs=constructs(x=None), edges=["a -> b", "x -> a"], exogenous="fixed")
    with pytest.raises(RoxError, match="estimator='MLR'") as caught:
        rox.fit(model, frame, estimator="DWLS", ordered=ordered, **option)
    assert ("without ordered=" in str(caught.value)) == (ordered is not None)
    assert rox.fit(model, frame, estimator="MLR", **option).converged


# --- standardised


def test_errors_of_standardised_values_are_lavaans():
    """What is left of an ordinal item moves with its loading; reference in tests/reference/sem/lavaan."""
    folder = Path(__file__).parents[2] / "reference" / "sem"
    for name in ("chain_wlsmv", "given_direct", "given_path"):
        case = json.loads((folder / "lavaan" / f"{name}.json").read_text(encoding="utf-8"))
        frame = pd.read_csv(folder / "data" / f"{case['data'].removeprefix('data:')}.csv")
        fit = rox.fit(
            rox.RoxModel.from_lavaan(case["model"]), frame, estimator="DWLS", ordered=case["options"]["ordered"]
        )
        mine = {(r.kind, r.left, r.right): r for r in fit.standardized().itertuples() if "|" not in r.id}
        checked = 0
        for row in pd.DataFrame(case["standardized"]).itertuples():
            kinds = {"=~": "loading", "~": "edge", "~~": "variance" if row.lhs == row.rhs else "covariance"}
            ends = (row.rhs, row.lhs) if row.op == "~" else (row.lhs, row.rhs)
            own = mine.get((kinds.get(row.op, ""), *ends))
            if own is not None and row.se and row.se > 1e-6:
                assert own.se == pytest.approx(row.se, rel=1e-4)
                checked += 1
        assert checked > 15
