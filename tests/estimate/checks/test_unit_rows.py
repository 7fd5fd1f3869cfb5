"""Units far out or of leverage, who is missing, who answered and how answers spread: named, and nothing else."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.datasets import make_world
from roxmodel.doubts import Doubt
from roxmodel.estimate.checks.disturbances import moved_totals, totals_at, unexplained
from roxmodel.estimate.checks.evidence import Evidence
from roxmodel.estimate.latent.door import fit_linked
from roxmodel.estimate.options import LinkedOptions

MINE = {"books", "leverage", "units", "response", "sampling"}
UNITS = 60
RNG = np.random.default_rng(11)
PRIDE = 0.35 * RNG.standard_normal(UNITS)
REV = 500 + 100 * PRIDE + 9 * RNG.standard_normal(UNITS)
KEYS = np.array([f"b{k:02d}" for k in range(UNITS)])
COUNT = RNG.integers(8, 40, UNITS)
MODEL = rox.RoxModel(
    name="m",
    edges=["pride -> rev"],
    constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2"]),
        rox.Construct(name="rev", factor="outcomes", source="unit", items=["rev"]),
    ],
)


def staff(spread: np.ndarray | float = 1.0, count: np.ndarray = COUNT) -> pd.DataFrame:
    rng, of = np.random.default_rng(3), np.repeat(np.arange(UNITS), count)
    noise = np.broadcast_to(spread, UNITS)[of]
    own = 0.5 * rng.standard_normal(len(of))
    items = {item: 4 + PRIDE[of] + noise * (own + 0.6 * rng.standard_normal(len(of))) for item in ("p1", "p2")}
    return pd.DataFrame({"branch": KEYS[of], **items})


def books(rev: np.ndarray = REV, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"branch": KEYS, "rev": rev, **more})


def fitted(people: pd.DataFrame, unit: pd.DataFrame, method: str = "linked", **options: object) -> rox.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        return rox.fit(MODEL, rox.Study(MODEL, employee=people, unit=unit, by="branch", **options), method=method)


def found(*data: pd.DataFrame, **options: object) -> dict[str, Doubt]:
    return {one.check: one for one in fitted(*data, **options).findings if one.check in MINE and one.verdict != "ok"}


@pytest.mark.parametrize("method", ["linked", "path"])
def test_units_like_each_other_are_not_doubted(method):
    assert not found(staff(), books(), method=method)


@pytest.mark.parametrize("method", ["linked", "path"])
def test_a_unit_far_from_its_equation_is_named(method):
    rev = REV.copy()
    rev[17] += 130 if PRIDE[17] < 0 else -130  # many standard deviations, and a figure not far from the others
    doubt = found(staff(), books(rev), method=method)["leverage"]
    assert doubt.verdict == "doubtful"
    assert {"b17", "rev"} <= set(doubt.culprits)
    assert "b17" not in doubt.anonymous


def test_a_row_of_one_frame_is_told_by_its_number():
    frame = pd.DataFrame({"p1": PRIDE, "p2": PRIDE + 0.1 * RNG.standard_normal(UNITS), "rev": REV})
    frame.loc[17, "rev"] += 90
    with pytest.warns(rox.RoxWarning, match="row 17"):
        rox.fit(MODEL, frame, method="path")


def test_a_row_of_the_books_comes_with_the_total_without_it():
    world = make_world(60, seed=2)
    row = pd.DataFrame({"branch": ["Total"], "revenue": [world.unit["revenue"].sum()], "affluence": [25.0]})
    with pytest.warns(rox.RoxWarning, match="Total"):
        study = world.study(unit=pd.concat([world.unit, row]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rox.RoxWarning)
        fit = rox.fit(world.model, study)
    plain = rox.fit(world.model, world.study()).effects("pride", "revenue")["estimate"].iloc[-1]
    (note,) = [one for one in fit.findings if one.check == "books" and one.verdict == "note"]
    assert f"would be {plain:.2g} instead of" in note.finding
    assert "Total" not in note.anonymous


def test_a_unit_without_a_survey_is_noted():
    rows = pd.concat([books(), pd.DataFrame({"branch": ["new"], "rev": [float(np.median(REV))]})])
    note = found(staff(), rows)["books"]
    assert (note.verdict, note.culprits) == ("note", ("new",))


@pytest.mark.parametrize(("method", "verdict"), [("linked", "note"), ("path", "doubtful")])
def test_units_that_are_missing_by_their_outcome_are_said(method, verdict):
    gone = KEYS[np.argsort(REV)[:14]]
    people = staff()
    said = found(people[~people["branch"].isin(gone)], books(), method=method)
    assert said["units"].verdict == verdict
    assert said["units"].culprits == ("employee", "rev")


def test_units_that_are_missing_by_chance_are_not():
    gone, people = KEYS[::5], staff()
    assert "units" not in found(people[~people["branch"].isin(gone)], books(), method="path")


def test_size_behind_cause_and_outcome_is_said():
    count = np.round(20 * np.exp(1.2 * PRIDE + 0.04 * (REV - 500 - 100 * PRIDE))).astype(int) + 4
    (doubt,) = [one for one in fitted(staff(count=count), books()).doubts if one.check == "response"]
    assert doubt.culprits == ("employee", "rev")
    assert "pride" in doubt.finding


def test_a_response_rate_that_goes_with_the_outcome_is_said():
    rate = 1 / (1 + np.exp(-0.15 * (REV - 500 - 100 * PRIDE)))
    fit = fitted(staff(), books(asked=np.ceil(COUNT / rate)), eligible={"employee": "asked"})
    assert ("employee", "rev") in [one.culprits for one in fit.doubts if one.check == "response"]


def test_spread_that_goes_with_size_is_said():
    doubt = found(staff(spread=0.5 + COUNT / 30), books())["sampling"]
    assert (doubt.verdict, doubt.culprits) == ("doubtful", ("employee",))
    low, high = (float(word) for word in re.findall(r"(\d\.\d+) times", doubt.finding))
    spread = 0.5 + COUNT / 30
    few, most = (np.sqrt(np.mean(spread[own] ** 2)) for own in (COUNT <= 18, COUNT >= 28))
    assert low / high == pytest.approx(few / most, abs=0.1)  # and not a trend drawn on to where nothing is left


def test_three_units_of_another_size_are_no_trend():
    fewer = np.where(np.isin(np.arange(UNITS), [3, 20, 41]), 19, 20)
    spread = np.where(fewer < 20, 0.75, 1.0)  # by chance alike
    assert "sampling" not in found(staff(spread=spread, count=fewer), books())


def test_moments_alone_are_looked_at_too():
    rows = pd.concat([books(), pd.DataFrame({"branch": ["Total"], "rev": [REV.sum()]})])
    with pytest.warns(rox.RoxWarning, match="Total"):
        study = rox.Study(MODEL, employee=staff(), unit=rows, by="branch")
    with pytest.warns(rox.RoxWarning, match="Total"):
        fit = rox.fit(MODEL, study.moments)
    assert "books" in {one.check for one in fit.doubts}


@pytest.mark.parametrize("method", ["linked", "path"])
def test_what_a_unit_moves_is_what_leaving_it_out_moves(method):
    """Brute force: the model refitted without each of some units."""
    fit = fitted(staff(), books(), method=method)
    study = rox.Study(MODEL, employee=staff(), unit=books(), by="branch")
    solution = fit_linked(MODEL, study, LinkedOptions()).solution if method == "linked" else None
    evidence = Evidence(MODEL, study, fit, solution, {})
    rest = unexplained(evidence)
    moved, now = moved_totals(evidence, rest), float(totals_at(fit, fit.theta[None])[0])
    for place in np.argsort(-np.abs(moved))[:3]:
        key = rest.units[place]
        people, unit = staff(), books()
        again = fitted(people[people["branch"] != key], unit[unit["branch"] != key], method=method)
        left = float(again.effects("pride", "rev")["estimate"].iloc[-1])
        assert now - left == pytest.approx(moved[place], rel=0.35)


@pytest.mark.parametrize("way", ["pickle", "study of moments", "moments"])
def test_what_has_no_columns_does_not_say_that_they_are_in_order(way):
    world = rox.datasets.make_world(30, seed=1)
    study = world.study()
    data = {
        "pickle": lambda: pickle.loads(pickle.dumps(study)),
        "study of moments": lambda: rox.Study.of(study.moments, world.model, by="branch"),
        "moments": lambda: study.moments,
    }[way]()
    assert [row.verdict for row in _dependence(rox.fit(world.model, data))] == ["note"]
    assert [row.verdict for row in _dependence(rox.fit(world.model, study))] == ["ok"]


def _dependence(fit):
    return [row for row in fit.findings if row.check == "dependence"]


def test_rows_with_weights_are_not_said_to_have_been_looked_at():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 2)), columns=["x", "y"])
    frame = frame.assign(w=rng.uniform(1, 2, 80), place=np.arange(80) % 8)
    ends = [rox.Construct(name=name, factor="pride", source="people", items=[name]) for name in "xy"]
    model = rox.RoxModel(name="m", edges=["x -> y"], constructs=ends)
    weighed, plain = rox.fit(model, frame, method="sem", weight="w"), rox.fit(model, frame, method="sem")
    assert "weights" in _dependence(weighed)[0].finding
    assert _dependence(plain)[0].verdict == "ok"
