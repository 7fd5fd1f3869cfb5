"""What one outcome tells: against brute-force enumeration of the unit's own number u."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import roxmodel as rox
from roxmodel.simulation.abduction import Outcome, expected_outcome, realised_outcome

FINE = (np.arange(1_000_000) + 0.5) / 1_000_000  # of u
DISPERSION = 0.7


def distribution(family, mean):
    if family == "poisson":
        return stats.poisson(mean)
    size = 1 / DISPERSION
    return stats.nbinom(size, size / (size + mean)) if family == "negative binomial" else stats.bernoulli(mean)


def predictor(family, mean):
    return np.array([{"linear": mean, "logit": np.log(mean / max(1 - mean, 1e-300))}.get(family, np.log(mean))])


CASES = [
    *((family, p, q) for family in ("logit", "linear") for p, q in ((0.3, 0.5), (0.8, 0.2))),
    *((family, p, q) for family in ("poisson", "negative binomial") for p, q in ((1.3, 2.2), (5.0, 3.0), (0.2, 4.0))),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "mean", "then"), CASES)
def test_expected_outcomes_are_those_of_enumeration(family, mean, then):
    y, after = distribution(family, mean).ppf(FINE), distribution(family, then).ppf(FINE)
    rng = np.random.default_rng(1)
    whole = 0.0
    for seen in np.unique(y):
        own = y == seen
        outcome = Outcome(family, float(seen), DISPERSION)
        found = expected_outcome(outcome, predictor(family, mean), predictor(family, then))[0]
        whole += own.mean() * found
        if own.sum() > 20_000:
            assert found == pytest.approx(after[own].mean(), abs=2e-3)  # the grid of u has 20,000 points there
            drawn = realised_outcome(outcome, predictor(family, mean), predictor(family, then), rng.random(20_000))
            assert drawn.mean() == pytest.approx(found, abs=5 * after[own].std() / np.sqrt(20_000) + 2e-3)
    assert whole == pytest.approx(then, rel=1e-3)  # what is expected given y is, on average, what is expected


@pytest.mark.parametrize("family", ["logit", "linear", "poisson", "negative binomial"])
def test_nothing_else_nothing_changed(family):
    at = predictor(family, 0.4)
    assert expected_outcome(Outcome(family, 1.0, DISPERSION), at, at)[0] == 1.0


def test_counts_far_out_stay_numbers():
    poisson = Outcome("poisson", 50.0)
    found = expected_outcome(poisson, np.log([0.01, 1e6]), np.log([0.02, 1.5e6]))
    assert np.isfinite(found).all()
    many = expected_outcome(Outcome("poisson", 0.0), np.log([0.01]), np.log([1e5]))[0]
    assert 99_900 < many < 100_000  # u may be anything but the last hundredth: below the mean, by less than an sd


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("method", ["path", "linked"])
def test_a_certified_branch_is_not_certified_again(method):
    """Beside the direct effect nothing is left to gain: 5 * 0.3, not 5 * 0.3 + 20 * (rise of the chance)."""
    rng = np.random.default_rng(8)
    n = 600
    pride = rng.normal(3.5, 0.5, n)
    cert = (rng.random(n) < 1 / (1 + np.exp(7 - 2 * pride))).astype(float)
    books = pd.DataFrame(
        {"b": range(n), "pride": pride, "cert": cert, "rev": 100 + 20 * cert + 5 * pride + rng.normal(0, 2, n)}
    )
    scales = {"cert": rox.Binary()}
    model = rox.RoxModel(
        name="m",
        edges=["pride -> cert", "cert + pride -> rev"],
        constructs=[
            rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=scales.get(name))])
            for name, factor in (("pride", "pride"), ("cert", "outcomes"), ("rev", "outcomes"))
        ],
    )
    fit = rox.fit(model, rox.Study(model, unit=books, by="b"), method=method)
    own = fit.population.levels  # figures as they were written, not 1 - 1e-15: a rule or an abduction asks for a yes
    np.testing.assert_array_equal(own, books[["pride", "cert", "rev"]].to_numpy())
    direct = fit.effects("pride", "rev").iloc[0]["estimate"] * 0.3
    yes, no = (int(np.flatnonzero(cert == kind)[0]) for kind in (1.0, 0.0))
    gain = {
        unit: rox.counterfactual(fit, unit, shift={"pride": 0.3}, seed=1)
        .table()
        .set_index("construct")
        .loc["rev", "change"]
        for unit in (yes, no)
    }
    assert gain[yes] == pytest.approx(direct, rel=0.05)
    assert gain[no] > direct + 1.0
    sample = rng.choice(n, 80, replace=False)
    mean = np.mean(
        [rox.counterfactual(fit, int(u), shift={"pride": 0.3}, draws=50, seed=1).changes[:, 1].mean() for u in sample]
    )
    run = rox.simulate(fit, [rox.Intervention(name="x", shift={"pride": 0.3})], horizon=1, draws=50, seed=1)
    each = run.changes[:, 0, 1].mean()
    assert mean == pytest.approx(each, abs=0.06)  # 80 units, each 0 or about a quarter: 5 errors of .012


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
@pytest.mark.parametrize("method", ["path", "linked"])
def test_what_acts_on_a_yes_no_stays_a_probability_whatever_its_equation(method, tmp_path):
    """A curve keeps what causes bring in range; a push on the outcome itself brought a probability of 1.5."""
    rng = np.random.default_rng(2)
    pride = rng.normal(3.5, 0.5, 200)
    cert = (rng.random(200) < 1 / (1 + np.exp(7 - 2 * pride))).astype(float)
    constructs = [
        rox.Construct(name=name, factor=factor, source="unit", items=[rox.Item(name=name, scale=scale)])
        for name, factor, scale in (("pride", "pride", None), ("cert", "outcomes", rox.Binary()))
    ]
    model = rox.RoxModel(name="m", edges=["pride -> cert"], constructs=constructs)
    fit = rox.fit(
        model,
        rox.Study(model, unit=pd.DataFrame({"b": range(200), "pride": pride, "cert": cert}), by="b"),
        method=method,
    )
    engine = rox.ScoringEngine.load(fit.save(tmp_path / "fit.json"))
    yes = np.flatnonzero(cert).tolist()
    for deed, right in (
        ({"shift": {"cert": 1.0}}, 1 - cert.mean()),
        ({"shift": {"cert": -1.0}}, -cert.mean()),
        ({"shift": {"cert": 0.1}}, 0.1),
        ({"scale": {"cert": 5.0}}, 1 - cert.mean()),
        ({"shift": {"cert": 0.5}, "units": yes}, 0.0),
    ):
        run = rox.simulate(fit, rox.Intervention(name="x", **deed), horizon=1, draws=20, seed=1)
        np.testing.assert_allclose(run.changes[:, 0, 1], right, atol=1e-9)
        if set(deed) == {"shift"}:
            assert engine.what_if(deed["shift"])["cert"] == pytest.approx(right, abs=1e-9)
