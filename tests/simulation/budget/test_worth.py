"""What options are worth by themselves: the short way against every draw simulated."""

import numpy as np
import pytest

import roxmodel as rox
from roxmodel.simulation.budget.worth import options_of, worth_of
from roxmodel.simulation.question import Request, question_of

EXACT = {"rtol": 1e-9, "atol": 1e-6}  # algebra, in money of millions
FINANCE = rox.Finance(
    value={"revenue": rox.NormalValue(1_000.0, 100.0), "loyalty": rox.LifetimeValue(500.0, 0.6, beyond=True)},
    discount=0.03,
)


@pytest.fixture(scope="module")
def world():
    return rox.datasets.make_world(60, seed=5, employees=(5, 15), scale="continuous")


@pytest.fixture(scope="module")
def fit(world):
    return rox.fit(world.model, world.study())


@pytest.fixture(scope="module")
def capped():
    world = rox.datasets.make_world(60, seed=5, employees=(5, 15))
    return rox.fit(world.model, world.study())


def asked(fit, candidates, finance=FINANCE, draws=300, **more):
    given = Request(6, draws, 1, finance, **more)
    question = question_of(fit, candidates, given)
    return question, options_of(question, candidates)[0]


def simulated(fit, option, finance=FINANCE, draws=300, **more):
    run = rox.simulate(fit, [option.intervention], horizon=6, draws=draws, seed=1, finance=finance, **more)
    return run.money[-1]


CANDIDATES = [
    rox.Intervention(name="shift", shift={"pride": 0.2}, cost=10_000.0, doses=(0.5, 1.0), starts=(1, 3), half_dose=0.4),
    rox.Intervention(name="two", shift={"pride": 0.1, "value": -0.05}, ramp=2, fade=0.2, running=500.0),
    rox.Intervention(name="some", shift={"influencers": 0.2}, units=rox.Lowest(on="behaviours"), cost_per_unit=10.0),
    rox.Intervention(name="set", set={"behaviours": 4.0}, hold=1, fade=0.5),
    rox.Intervention(name="scale", scale={"value": 1.05}, units=["B001", "B007"]),
    rox.Intervention(name="outcome", shift={"revenue": 1.0}),
    rox.Intervention(name="nothing downstream", shift={"affluence": 0.0}),
]


def test_every_dose_and_start_is_an_option(fit):
    _, options = asked(fit, CANDIDATES[:2])
    ways = [(o.intervention.dose, o.intervention.start) for o in options if o.candidate == 0]
    assert ways == [(0.5, 1), (0.5, 3), (1.0, 1), (1.0, 3)]
    assert [o.candidate for o in options] == [0, 0, 0, 0, 1]


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_without_ends_of_scales_the_short_way_is_the_simulation(fit):
    question, options = asked(fit, CANDIDATES)
    worth = worth_of(question, options)
    for place, option in enumerate(options):
        money = simulated(fit, option)
        assert worth.cost[place] == pytest.approx(money.cost)
        np.testing.assert_allclose(worth.spending[place], money.spending)
        if option.intervention.set or option.intervention.scale:  # levels are drawn there, expected here
            error = 4 * np.std(money.benefit - worth.benefit[:, place]) / np.sqrt(300) + 1e-6
            assert abs((money.benefit - worth.benefit[:, place]).mean()) < error + 1e-3 * np.abs(money.benefit).mean()
        else:
            np.testing.assert_allclose(worth.benefit[:, place], money.benefit, **EXACT)


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_with_prices_by_unit_it_is_the_simulation(fit):
    prices = rox.UnitValue({unit: 100.0 + 10 * i for i, unit in enumerate(fit.population.units)})
    finance = rox.Finance(value={"revenue": prices, "loyalty": 3.0})
    question, options = asked(fit, CANDIDATES[:3], finance)
    worth = worth_of(question, options)
    for place, option in enumerate(options):
        np.testing.assert_allclose(worth.benefit[:, place], simulated(fit, option, finance).benefit, **EXACT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_ends_of_scales_take_off_what_the_simulation_takes_off(capped):
    far = [rox.Intervention(name="far", shift={"pride": 1.4, "value": 0.8}, ramp=1), *CANDIDATES[:3]]
    question, options = asked(capped, far, draws=1_000)
    worth = worth_of(question, options)
    free = rox.simulate(capped, far[:1], horizon=6, draws=10, seed=1)
    assert any("cut the change" in note for note in free.notes)
    for place, option in enumerate(options):
        exact = simulated(capped, option, draws=1_000).benefit
        assert worth.benefit[:, place].mean() == pytest.approx(exact.mean(), rel=0.01)
        assert worth.benefit[:, place].std() == pytest.approx(exact.std(), rel=0.03)


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_lags_and_loops_are_in_it(world):
    edges = [*world.model.edges, rox.Edge(cause="loyalty", effect="pride", lag=1, fixed=0.3)]
    model = world.model.replace(edges=edges)
    frames = {"employee": world.employee, "customer": world.customer, "unit": world.unit}
    fit = rox.fit(model, rox.Study(model, **frames, by="branch"))
    question, options = asked(fit, CANDIDATES[:2])
    worth = worth_of(question, options)
    for place, option in enumerate(options):
        np.testing.assert_allclose(worth.benefit[:, place], simulated(fit, option).benefit, **EXACT)


def test_curved_equations_are_simulated():
    rng = np.random.default_rng(3)
    pride = rng.normal(3.5, 0.4, 80)
    frame = {"u": range(80), "pride": pride, "sold": rng.poisson(np.exp(0.5 + 0.4 * (pride - 3.5)))}
    model = rox.RoxModel(
        name="counts",
        constructs=[
            rox.Construct(name="pride", factor="pride", source="unit", items=["pride"]),
            rox.Construct(
                name="sold", factor="outcomes", source="unit", items=[rox.Item(name="sold", scale=rox.Count())]
            ),
        ],
        edges=["pride -> sold"],
    )
    fit = rox.fit(model, rox.Study(model, unit=frame, by="u"), method="path")
    finance = rox.Finance(value={"sold": 10.0})
    candidates = [rox.Intervention(name="a", shift={"pride": 0.3}), rox.Intervention(name="b", shift={"pride": 0.1})]
    question, options = asked(fit, candidates, finance)
    worth = worth_of(question, options)
    for place, option in enumerate(options):
        np.testing.assert_allclose(worth.benefit[:, place], simulated(fit, option, finance).benefit, **EXACT)
