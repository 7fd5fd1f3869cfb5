"""Where the iteration begins: near, in the right units, at a matrix that is positive definite."""

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.latent.solve import layouts_of, table_of
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.likelihood import Target, half_deviance
from roxmodel.implied.matrices import implied, lay_out
from roxmodel.implied.starts import at_means, start_values
from roxmodel.spec.parameters import plan

EXACT = 1e-9  # closed forms in double precision

CHAIN = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nc =~ c1 + c2 + c3\nb ~ a\nc ~ a + b"


def truth(text, values, scaling="marker"):
    """Moments that a model implies at known values."""
    model = rox.RoxModel.from_lavaan(text)
    table = plan(model, "reflective", False, scaling=scaling)
    items = tuple(item.name for item in model.items)
    layout = lay_out(list(table), (items, model.names), {}, np.ones(len(items)), table.n_free)
    theta = np.array([values(row) for row in table if row.free])
    return model, table, theta, implied(layout, theta).sigma


def started(model, table, sigma):
    scale = np.sqrt(np.diag(sigma))
    target = Target(np.zeros(len(scale)), sigma / np.outer(scale, scale))
    return start_values(model, table, [("", target)], scale)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_factor_is_found_in_closed_form(sign):
    numbers = {"a2": 0.7, "a3": 1.3 * sign, "a4": 0.5, "a1": 0.4, "a": 1.0}
    model, table, theta, sigma = truth(
        "a =~ a1 + a2 + a3 + a4", lambda row: numbers[row.right] if row.kind == "loading" else 0.6
    )
    found, _ = started(model, table, sigma)
    np.testing.assert_allclose(found, theta, rtol=EXACT)


@pytest.mark.parametrize("scaling", ["marker", "standardized"])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_starts_are_near_whatever_the_units(scaling, unit):
    value = {"loading": 0.8, "edge": 0.4, "variance": 0.7, "covariance": 0.1}
    model, table, theta, sigma = truth(CHAIN, lambda row: value[row.kind], scaling)
    units = np.array([unit, 1, 1 / unit, 1, unit, 1, 1 / unit, 1, unit])
    factor = dict(zip((item.name for item in model.items), units, strict=True))
    first = {c.name: factor[c.item_names[0]] if scaling == "marker" else 1.0 for c in model.constructs}
    scale = {"loading": lambda r: factor[r.right] / first[r.left], "edge": lambda r: first[r.right] / first[r.left]}
    of_row = [
        scale[row.kind](row)
        if row.kind in scale
        else (factor.get(row.left) or first[row.left]) * (factor.get(row.right) or first[row.right])
        for row in table
        if row.free
    ]
    found, size = started(model, table, sigma * np.outer(units, units))
    np.testing.assert_allclose(found, theta * of_row, rtol=0.35)
    assert (size / of_row > 0.3).all()
    assert (size / of_row < 3).all()


def test_stated_starts_go_before():
    model = rox.RoxModel.from_lavaan("a =~ a1 + start(0.33)*a2 + a3\nb =~ b1 + b2 + b3\nb ~ start(-0.4)*a")
    table = plan(model, "reflective", False)
    found, _ = started(model, table, 0.5 * np.eye(6) + 0.5)
    by_id = {row.id: found[row.free - 1] for row in table if row.free}
    assert by_id["loading:a=~a2"] == 0.33
    assert by_id["edge:a->b"] == -0.4


@pytest.mark.parametrize("seed", range(8))
def test_pure_noise_still_has_a_start(seed):
    rng = np.random.default_rng(seed)
    names = [f"{c}{k}" for c in "abc" for k in (1, 2, 3)]
    model = rox.RoxModel.from_lavaan(CHAIN)
    options = SemOptions(scaling=("marker", "standardized")[seed % 2])
    table = table_of(model, options, [""])
    sigma = np.cov(rng.normal(size=(15, 9)), rowvar=False)
    found, size = started(model, table, sigma)
    assert np.isfinite(found).all()
    assert (size > 0).all()
    scale = np.sqrt(np.diag(sigma))
    layout = layouts_of(model, table, [""], {}, scale)[0]
    target = Target(np.zeros(9), sigma / np.outer(scale, scale))
    assert layout.items == tuple(names)
    assert np.isfinite(half_deviance(layout, found, target))


def test_groups_that_share_a_parameter_start_at_their_mean():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(80, 1)) + 0.5 * rng.normal(size=(80, 3)), columns=["a1", "a2", "a3"])
    model = rox.RoxModel.from_lavaan("a =~ a1 + a2 + a3")
    groups = [("n", frame.iloc[:40]), ("s", frame.iloc[40:])]
    targets = [(name, Target(rows.mean().to_numpy(), rows.cov().to_numpy())) for name, rows in groups]
    apart = table_of(model, SemOptions(group="g"), ["n", "s"])
    shared = table_of(model, SemOptions(group="g", equal=("loadings",)), ["n", "s"])
    one, _ = start_values(model, apart, targets, np.ones(3))
    two, _ = start_values(model, shared, targets, np.ones(3))
    at = {row.id: one[row.free - 1] for row in apart if row.free}
    joint = next(two[row.free - 1] for row in shared if row.id == "loading:a=~a2@n")
    assert joint == pytest.approx((at["loading:a=~a2@n"] + at["loading:a=~a2@s"]) / 2)


def test_observed_equations_start_at_least_squares_and_their_common_rest():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    model = rox.RoxModel.from_lavaan("c ~ a + b\nd ~ a + b\nc ~~ d")
    table = plan(model, "reflective", False)
    names = [item.name for item in model.items]
    at = [names.index(name) for name in "abcd"]
    sigma = np.empty((4, 4))
    sigma[np.ix_(at, at)] = np.cov(rows, rowvar=False)
    found, _ = started(model, table, sigma)
    design = rows[:, :2] - rows[:, :2].mean(axis=0)
    effects = rows[:, 2:] - rows[:, 2:].mean(axis=0)
    slopes = np.linalg.lstsq(design, effects, rcond=None)[0]
    rest = np.cov(effects - design @ slopes, rowvar=False)
    by = {(row.kind, row.left, row.right): found[row.free - 1] for row in table if row.free}
    for j, effect in enumerate("cd"):
        assert by["variance", effect, effect] == pytest.approx(rest[j, j])
        for i, cause in enumerate("ab"):
            assert by["edge", cause, effect] == pytest.approx(slopes[i, j])
    assert by.get(("covariance", "c", "d"), by.get(("covariance", "d", "c"))) == pytest.approx(rest[0, 1])


def test_intercepts_start_where_the_means_are():
    rng = np.random.default_rng(3)
    level = rng.normal(size=200)
    frame = pd.DataFrame({f"{c}{k}": level + rng.normal(size=200) for c in "abc" for k in (1, 2, 3)}) + 40
    model = rox.RoxModel.from_lavaan(CHAIN)
    table = table_of(model, SemOptions(means=True), [""])
    sd, mean = frame.std(ddof=0).to_numpy(), frame.mean().to_numpy()
    target = Target(mean / sd, frame.corr().to_numpy())
    layouts = layouts_of(model, table, [""], {}, sd)
    theta, _ = start_values(model, table, [("", target)], sd)
    found = at_means(layouts, table, theta, [target.mean])
    np.testing.assert_allclose(implied(layouts[0], found).mu, target.mean, rtol=EXACT)
    others = [row.free - 1 for row in table if row.free and row.kind != "intercept"]
    np.testing.assert_array_equal(found[others], theta[others])
