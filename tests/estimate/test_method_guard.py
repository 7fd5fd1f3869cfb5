"""Respondents parted for causes and effects; a factor of the answers of one survey."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.moments.condense import Design
from roxmodel.survey.reading import _dealt

pytestmark = pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")

MODEL = rox.RoxModel(
    name="chain",
    constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2", "p3"]),
        rox.Construct(name="beh", factor="behaviours", source="employee", items=["b1", "b2", "b3"]),
        rox.Construct(name="value", factor="value_drivers", source="customer", items=["v1", "v2", "v3"]),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
    ],
    edges=["pride -> beh", "beh -> value", "value -> revenue"],
)


def frames(seed: int, units: int = 100, people: int = 12, mood: float = 0.5, tendency: float = 0.0, pull: float = 0.6):
    """`mood`: what one person's answers share (sd); `tendency`: what all employees of a unit share."""
    rng = np.random.default_rng(seed)
    pride = 0.35 * rng.standard_normal(units)
    beh = pull * pride + 0.25 * rng.standard_normal(units)
    value = 0.9 * beh + 0.15 * rng.standard_normal(units)
    unit, common = np.repeat(np.arange(units), people), tendency * rng.standard_normal(units)
    found = {"unit": pd.DataFrame({"store": np.arange(units), "revenue": 60 * value + 8 * rng.standard_normal(units)})}
    for source, own in {"employee": {"p": pride, "b": beh}, "customer": {"v": value}}.items():
        person = mood * rng.standard_normal(len(unit)) + (common[unit] if source == "employee" else 0.0)
        columns = {
            f"{letter}{k}": level[unit] + person + 0.6 * rng.standard_normal(len(unit))
            for letter, level in own.items()
            for k in (1, 2, 3)
        }
        found[source] = pd.DataFrame({"store": unit, **columns})
    return found


def study(seed: int, **world: float) -> rox.Study:
    return rox.Study(MODEL, **frames(seed, **world), by="store")


def edge(fit: rox.Fit, cause: str = "pride") -> float:
    table = fit.edges()
    return float(table.loc[table["cause"] == cause, "estimate"].iloc[0])


def test_people_are_dealt_out_evenly_and_teams_stay_together() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(-1, 20, 400)
    dealt = _dealt(Design(codes, list(range(20))), 3, rng)
    assert (dealt[codes < 0] == -1).all()
    for unit in range(20):
        counts = np.bincount(dealt[codes == unit], minlength=3)
        assert counts.max() - counts.min() <= 1
    team = codes * 10 + rng.integers(0, 5, 400)
    dealt = _dealt(Design(codes, list(range(20)), team=np.where(codes < 0, 0, team)), 2, rng)
    for own in np.unique(team[codes >= 0]):
        assert len(set(dealt[(team == own) & (codes >= 0)])) == 1


@pytest.mark.slow
def test_a_split_takes_out_of_regressions_what_single_persons_share() -> None:
    """Persons share so much that unit means seem to go together: 0 is the truth."""
    plain, split = [], []
    for seed in range(12):
        data = study(seed, mood=2.0, pull=0.0, people=8)
        plain.append(edge(rox.fit(MODEL, data, method="path")))
        split.append(edge(rox.fit(MODEL, data, method="path", method_guard="split", seed=1)))
    assert np.mean(plain) > 0.5
    assert abs(np.mean(split)) < 4 * np.std(split) / np.sqrt(len(split)) + 0.02


@pytest.mark.slow
def test_equal_seeds_part_people_equally_and_it_is_said() -> None:
    data = study(1)
    one, other, third = (rox.fit(MODEL, data, method="path", method_guard="split", seed=s) for s in (3, 3, 4))
    assert one.edges().equals(other.edges())
    assert edge(one) != edge(third)
    assert any("seed=3" in note and "20 times" in note for note in one.notes)
    assert edge(one, "beh") == pytest.approx(
        edge(rox.fit(MODEL, data, method="path"), "beh")
    )  # no end in the same survey


@pytest.mark.slow
def test_a_split_of_latent_constructs() -> None:
    data = study(2)
    plain, split = rox.fit(MODEL, data), rox.fit(MODEL, data, method_guard="split", seed=1)
    assert edge(split) == pytest.approx(edge(plain), abs=2 * float(plain.edges()["se"][0]))
    assert float(split.edges()["se"][0]) >= float(plain.edges()["se"][0])
    assert any("pride | beh" in note for note in split.notes)
    assert [one.check for one in split.findings] == [one.check for one in plain.findings]
    assert rox.simulate(split, [rox.Intervention(name="a", shift={"pride": 0.1})], draws=50, seed=1) is not None


@pytest.mark.slow
def test_a_factor_takes_out_what_all_people_of_a_unit_share() -> None:
    """Behaviours hang little on pride, so that the tendency shows in what it does to customers."""
    data = study(3, units=400, people=30, tendency=0.4, pull=0.2)
    plain, guarded = rox.fit(MODEL, data), rox.fit(MODEL, data, method_guard="factor")
    assert edge(plain) > 0.5
    assert edge(guarded) == pytest.approx(0.2, abs=3 * float(guarded.edges()["se"][0]))
    assert edge(guarded, "beh") == pytest.approx(0.9, abs=3 * float(guarded.edges()["se"][1]))
    (note,) = [note for note in guarded.notes if note.startswith("method_guard='factor'")]
    assert "employee" in note
    (row,) = [one for one in guarded.findings if one.check == "method"]
    assert row.verdict == "note"
    assert "factor" in row.finding


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method_guard": "halves"}, "split"),
        ({"method_guard": "factor", "method": "path"}, "path"),
        ({"method_guard": "split", "bootstrap": 10}, "bootstrap"),
        ({"method_guard": "split", "within": "saturated"}, "within"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(rox.RoxError, match=words):
        rox.fit(MODEL, study(1), **given)


def test_without_rows_nobody_can_be_parted() -> None:
    data = study(1)
    for other in (pickle.loads(pickle.dumps(data)), rox.Study.of(data.moments, MODEL, by="store")):
        with pytest.raises(rox.RoxError, match="rows"):
            rox.fit(MODEL, other, method_guard="split")
    with pytest.raises(rox.RoxError, match="parts the respondents"):
        rox.fit(MODEL, data.moments, method_guard="split")
    assert rox.fit(MODEL, data.moments, method_guard="factor").converged


@pytest.mark.parametrize("option", ["eligible", "frequency"])
def test_rows_that_stand_for_more_than_one_person_cannot_be_parted(option: str) -> None:
    parts = frames(1)
    parts["employee"]["times"], parts["unit"]["staff"] = 1, 40
    given = {"eligible": {"employee": "staff"}} if option == "eligible" else {"frequency": {"employee": "times"}}
    with pytest.raises(rox.RoxError, match=option):
        rox.fit(MODEL, rox.Study(MODEL, **parts, by="store", **given), method_guard="split")


def test_nothing_to_guard_is_said() -> None:
    own = rox.RoxModel(name="m", constructs=MODEL.constructs, edges=["pride -> value", "beh -> value"])
    for guard in ("split", "factor"):
        fit = rox.fit(own, study(1), method_guard=guard)
        assert any("no arrow joins" in note for note in fit.notes)
        assert edge(fit) == edge(rox.fit(own, study(1)))


@pytest.mark.slow
def test_teams_weights_and_clusters_go_with_a_split() -> None:
    parts = frames(4)
    staff = parts["employee"]
    staff["squad"] = staff.index // 3
    staff["w"] = 1.0 + (staff.index % 2)
    parts["unit"]["region"] = parts["unit"]["store"] % 12
    data = rox.Study(MODEL, **parts, by="store", team={"employee": "squad"}, weight={"employee": "w"})
    for method in ("linked", "path"):
        fit = rox.fit(MODEL, data, method=method, method_guard="split", cluster="region", seed=1)
        assert np.isfinite(fit.edges()["se"]).all()
