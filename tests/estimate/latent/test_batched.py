"""All draws at once end where each ends by itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.latent.optimizer import lower_bounds, minimise, settle
from roxmodel.estimate.latent.row_sample import sample_of_frame
from roxmodel.estimate.latent.solve import layouts_of, table_of
from roxmodel.estimate.options import SemOptions
from roxmodel.implied.likelihood import Objective, Part, Target
from roxmodel.implied.matrices import DISTURBANCES
from roxmodel.implied.starts import start_values

CLOSE = 1e-3  # of a standard error
TEXT = "a =~ a1 + a2 + a3\nb =~ b1 + b2 + b3\nb ~ a"


def answers(n=200, seed=1):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = 0.5 * a + rng.normal(size=n)
    rows = np.column_stack([a, a, a, b, b, b]) + 0.6 * rng.normal(size=(n, 6)) + 2
    return pd.DataFrame(rows, columns=["a1", "a2", "a3", "b1", "b2", "b3"]).assign(g=np.arange(n) % 2)


def prepared(text=TEXT, draws=9, **options):
    model, asked = rox.RoxModel.from_lavaan(text), SemOptions(bootstrap=2, **options)
    sample = sample_of_frame(model, answers(), asked)
    names = [group.name for group in sample.groups]
    table = table_of(model, asked, names)
    layouts = layouts_of(model, table, names, {}, sample.scale)
    start, _ = start_values(model, table, [(g.name, g.target) for g in sample.groups], sample.scale)
    shares = np.array([group.n / sample.n for group in sample.groups])
    parts = [Part(layout, g.target, s) for layout, g, s in zip(layouts, sample.groups, shares, strict=True)]
    found = minimise(Objective(parts), start, lower_bounds(table))
    rng = np.random.default_rng(2)
    targets = []
    for group in sample.groups:
        picked = rng.integers(0, len(group.rows), (draws, len(group.rows)))
        rows = group.rows[picked]
        covariance = np.stack([np.cov(own, rowvar=False, bias=True) for own in rows])
        targets.append(Target(rows.mean(axis=1), covariance))
    inverse = np.linalg.inv(found.expansion.information)
    return layouts, targets, np.tile(shares, (draws, 1)), found, inverse, sample.n, lower_bounds(table)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TEXT, {}),
        (TEXT, {"scaling": "standardized"}),
        (TEXT, {"means": True}),
        (TEXT + "\na1 ~~ b1", {}),
        (TEXT, {"group": "g"}),
        (TEXT, {"group": "g", "equal": ("loadings", "intercepts")}),
    ],
)
def test_together_as_alone(text, options):
    layouts, targets, shares, found, inverse, n, lower = prepared(text, **options)
    theta, settled = settle(layouts, targets, shares, found.theta, inverse, n)
    assert settled.all()
    se = np.sqrt(np.diag(inverse) / n)
    for draw in range(len(shares)):
        parts = [
            Part(layout, Target(t.mean[draw], t.covariance[draw]), share)
            for layout, t, share in zip(layouts, targets, shares[draw], strict=True)
        ]
        alone = minimise(Objective(parts), found.theta, lower)
        assert (np.abs(theta[draw] - alone.theta) / se).max() < CLOSE


def test_draws_do_not_see_each_other():
    layouts, targets, shares, found, inverse, n, _ = prepared()
    together, _ = settle(layouts, targets, shares, found.theta, inverse, n)
    alone = [Target(t.mean[3:4], t.covariance[3:4]) for t in targets]
    one, settled = settle(layouts, alone, shares[3:4], found.theta, inverse, n)
    assert settled.all()
    np.testing.assert_allclose(one[0], together[3], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, 1e300])
def test_a_draw_that_cannot_be_computed_is_told_and_harms_no_other(bad):
    layouts, targets, shares, found, inverse, n, _ = prepared()
    expected, _ = settle(layouts, targets, shares, found.theta, inverse, n)
    covariance = targets[0].covariance.copy()
    covariance[4] = bad
    with np.errstate(all="ignore"):
        theta, settled = settle(layouts, [replace(targets[0], covariance=covariance)], shares, found.theta, inverse, n)
    assert not settled[4]
    others = np.arange(len(shares)) != 4
    assert settled[others].all()
    np.testing.assert_allclose(theta[others], expected[others], rtol=1e-9)


def test_a_group_that_no_row_was_drawn_of_is_told():
    layouts, targets, shares, found, inverse, n, _ = prepared(group="g")
    shares = shares.copy()
    shares[2] = [1.0, 0.0]
    _, settled = settle(layouts, targets, shares, found.theta, inverse, n)
    assert not settled[2]
    assert settled.sum() == len(shares) - 1


def test_nothing_settles_where_sigma_is_not_positive_definite():
    layouts, targets, shares, found, inverse, n, _ = prepared()
    start = found.theta.copy()
    start[layouts[0].theta[layouts[0].matrix == DISTURBANCES]] = -50.0
    with np.errstate(all="ignore"):
        theta, settled = settle(layouts, targets, shares, start, inverse, n)
    good = settled
    np.testing.assert_allclose(
        theta[good], settle(layouts, targets, shares, found.theta, inverse, n)[0][good], atol=1e-3
    )
