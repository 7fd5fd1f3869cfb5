"""An arrow that is missing is named, and one that is not there is not; score tests against brute force and refits."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.errors import EstimationError
from roxmodel.estimate.checks.candidates import asked_of, few_units_p
from roxmodel.estimate.latent.door import fit_linked
from roxmodel.estimate.options import LinkedOptions
from roxmodel.implied.matrices import implied, lay_out

CHAIN = ("pride -> beh", "beh -> value", "value -> revenue")
ARROW = "pride -> revenue"


def construct(name, factor, source):
    items = [name] if source == "unit" else [f"{name}{i}" for i in (1, 2, 3)]
    return rox.Construct(name=name, factor=factor, source=source, items=items)


def chain(*more, edges=CHAIN):
    constructs = [
        construct("pride", "pride", "employee"), construct("beh", "behaviours", "employee"),
        construct("value", "value_drivers", "customer"), construct("revenue", "outcomes", "unit"),
    ]  # fmt: skip
    return rox.RoxModel(name="chain", edges=[*edges, *more], constructs=constructs)


def frames(seed=0, units=80, people=12, arrow=0.0, shared=0.0):
    rng = np.random.default_rng(seed)
    z, j = rng.standard_normal, np.repeat(np.arange(units), people)
    pride = 0.35 * z(units)
    moved = z(units)
    beh = 0.5 * pride + 0.25 * moved
    value = 0.6 * beh + 0.25 * z(units)
    revenue = 500 + 25 * value + arrow * pride + 20 * (shared * moved + np.sqrt(1 - shared**2) * z(units))

    def survey(**levels):
        one = 0.5 * z(len(j))
        own = {f"{name}{i}": 4 + v[j] + 0.08 * z(units)[j] + one + 0.7 * z(len(j))
               for name, v in levels.items() for i in (1, 2, 3)}  # fmt: skip
        return pd.DataFrame({"branch": j, **own})

    return survey(pride=pride, beh=beh), survey(value=value), pd.DataFrame({"branch": range(units), "revenue": revenue})


def study(model, data, **options):
    return rox.Study(model, employee=data[0], customer=data[1], unit=data[2], by="branch", **options)


def quietly(*given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return rox.fit(*given, **options)


@pytest.fixture(scope="module")
def data():
    return frames(seed=3, arrow=30.0)


@pytest.fixture(scope="module")
def short(data):
    """The fit without the arrow."""
    return quietly(chain(), study(chain(), data))


@pytest.fixture(scope="module")
def full(data):
    return rox.fit(chain(ARROW), study(chain(ARROW), data))


def row_of(table, kind, left, right):
    own = table[(table["kind"] == kind) & (table["left"] == left) & (table["right"] == right)]
    return own.iloc[0]


def test_the_missing_arrow_is_named_and_comes_first(short, full):
    (doubt,) = (one for one in short.doubts if one.check == "missing_arrow")
    assert doubt.verdict == "doubtful"
    assert doubt.culprits == ("pride", "revenue")
    assert set(doubt.edges) == {"pride -> beh", "beh -> value", "value -> revenue"}
    before, after = (fit.effects("pride", "revenue").iloc[-1]["estimate"] for fit in (short, full))
    assert f"{before:.1f} as drawn" in doubt.finding
    told = float(doubt.finding.split("would be about ")[1].split()[0].rstrip("."))
    assert told == pytest.approx(after, rel=0.1)  # one step, no refit
    first = short.modification_indices().iloc[0]
    assert (first["kind"], first["left"], first["right"]) == ("edge", "pride", "revenue")
    assert not [one for one in full.findings if one.check == "missing_arrow" and one.verdict != "ok"]


def test_a_score_test_foretells_the_refit(short, full):
    asked = row_of(short.modification_indices(), "edge", "pride", "revenue")
    fall = 2 * (full.indices()["loglik"] - short.indices()["loglik"])
    assert asked["mi"] == pytest.approx(fall, rel=0.25)
    edges = full.edges().set_index(["cause", "effect"])
    assert asked["epc"] == pytest.approx(edges.loc[("pride", "revenue"), "estimate"], rel=0.25)
    assert asked["epc_standardized"] == pytest.approx(edges.loc[("pride", "revenue"), "standardized"], rel=0.25)


def test_the_tests_of_units_by_brute_force(data):
    """Σ_j log N(m_j; μ, Σ + N_j) differentiated numerically, its expected information from numerical ∂Σ and ∂μ."""
    model = chain()
    found = fit_linked(model, study(model, data), LinkedOptions())
    asked, solution = asked_of(found), found.solution
    names = [("edge", "pride", "revenue"), ("covariance", "beh1", "value2"), ("loading", "beh", "pride2")]
    for kind, left, right in names:
        place, one = next(
            (i, c)
            for i, c in enumerate(asked.candidates)
            if (c.row.kind, c.row.left, c.row.right) == (kind, left, right)
        )
        m = solution.table.n_free
        rows = [*solution.table, replace(one.row, free=m + 1, value=None)]
        at = (solution.layout.items, solution.layout.constructs)
        layout = lay_out(rows, at, solution.given, solution.layout.scale, m + 1)
        theta = np.append(solution.found.theta, 0.0)
        gradient, information = by_hand(layout, theta, solution.sample.data)
        moving = np.append(~solution.found.bound, True)
        inverse = np.linalg.inv(information[np.ix_(moving, moving)])
        n = solution.sample.n
        assert asked.asked.statistic[place] == pytest.approx(n * gradient[m] ** 2 * inverse[-1, -1], rel=2e-3)
        assert asked.asked.change[place] == pytest.approx(-gradient[m] * inverse[-1, -1], rel=2e-3)
        move = -gradient[m] * inverse[:-1, -1]
        np.testing.assert_allclose(
            asked.asked.moved[place][:m][moving[:m]], move, rtol=1e-2, atol=1e-2 * abs(move).max()
        )


def by_hand(layout, theta, data):
    step = 1e-5 * np.maximum(np.abs(theta), 0.01)

    def moments(values):
        at = implied(layout, values)
        return at.sigma, at.mu

    def deviance(values):
        sigma, mu = moments(values)
        total = 0.0
        for mean, noise in zip(data.mean, data.noise, strict=True):
            whole = sigma + noise
            total += np.linalg.slogdet(whole)[1] + (mean - mu) @ np.linalg.solve(whole, mean - mu)
        return total / (2 * len(data.mean))

    gradient, slopes = np.zeros(len(theta)), []
    for i, size in enumerate(step):
        up, down = theta.copy(), theta.copy()
        up[i] += size
        down[i] -= size
        (s1, m1), (s0, m0) = moments(up), moments(down)
        slopes.append(((s1 - s0) / (2 * size), (m1 - m0) / (2 * size)))
        if i == len(theta) - 1:
            gradient[i] = (deviance(up) - deviance(down)) / (2 * size)
    by_sigma, by_mu = (np.stack(part) for part in zip(*slopes, strict=True))
    information = np.zeros((len(theta),) * 2)
    for noise in data.noise:
        inverse = np.linalg.inv(moments(theta)[0] + noise)
        turned = inverse @ by_sigma
        information += np.einsum("aij,bji->ab", turned, turned) / 2 + by_mu @ inverse @ by_mu.T
    return gradient, information / len(data.noise)


def test_a_document_holds_none(short, tmp_path):
    again = rox.load(short.save(tmp_path / "fit.json"))
    assert len(short.modification_indices(least=3.84))
    with pytest.raises(EstimationError, match="found with the fit and not saved"):
        again.modification_indices()


def test_given_one_arrow_the_others_are_tested_anew(data):
    """Of the pair that is in the model by one step nothing is left; what was its echo hardly asks any more."""
    model = chain()
    asked = asked_of(fit_linked(model, study(model, data), LinkedOptions()))
    places = {(c.row.kind, c.row.left, c.row.right): i for i, c in enumerate(asked.candidates)}
    arrow, echo = places["edge", "pride", "revenue"], places["edge", "beh", "revenue"]
    before, after = asked.asked, asked.asked.given(arrow)
    assert np.isnan(after.statistic[arrow])
    assert before.statistic[echo] > 3.84
    assert after.statistic[echo] < before.statistic[echo] / 2


def test_of_a_regression_the_small_sample_p_is_exact():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30))
    y = y + 0.3 * x
    x, y = x - x.mean(), y - y.mean()
    r2 = (x @ y) ** 2 / ((x @ x) * (y @ y))
    from scipy.stats import pearsonr

    assert few_units_p(np.array([30 * r2]), 30, np.array([28.0]))[0] == pytest.approx(pearsonr(x, y).pvalue, rel=1e-9)
    assert np.isnan(few_units_p(np.array([np.nan]), 30, np.array([28.0]))).all()


def test_regressions_of_composites_miss_it_too():
    """In a chain noisy means let a cause shine through another: with the noise taken off no arrow is asked for."""
    missed = frames(seed=3, units=250, arrow=30.0)
    wrong = quietly(chain(), study(chain(), missed), method="path")
    (doubt,) = (one for one in wrong.doubts if one.check == "missing_arrow")
    assert doubt.culprits == ("pride", "revenue")
    clean = frames(seed=11, units=400, people=6)
    right = quietly(chain(), study(chain(), clean), method="path")
    assert not [one for one in right.findings if one.check == "missing_arrow" and one.verdict != "ok"]


def test_scores_of_people_have_a_note_only():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    y = x + rng.normal(size=500)
    table = pd.DataFrame({"x": x, "y": y, "z": y + 0.5 * x + rng.normal(size=500)})
    constructs = [rox.Construct(name=n, factor="context", source="employee", items=[n]) for n in "xyz"]
    fit = rox.fit(rox.RoxModel(name="m", constructs=constructs, edges=["x -> y", "y -> z"]), table, method="path")
    (note,) = (one for one in fit.findings if one.check == "missing_arrow")
    assert (note.verdict, note.culprits) == ("note", ("x", "z"))
    assert "method='sem'" in note.remedy


def test_a_cause_of_both_is_tested_beside_the_arrow():
    hidden = frames(seed=1, units=120, shared=0.6)  # of behaviours and revenue: an arrow between them sees half of it
    found = quietly(chain(), study(chain(), hidden)).doubts
    assert [(one.check, one.culprits) for one in found] == [("missing_arrow", ("beh", "revenue"))]
    assert "beh <-> revenue" in found[0].finding
