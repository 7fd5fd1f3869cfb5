"""Teams of a study: said, searched for, refused."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.estimate.checks.evidence import LEVELS
from roxmodel.survey.team_columns import TEAM_LEVEL

MODEL = rox.RoxModel(
    name="teams",
    constructs=[
        rox.Construct(name="pride", factor="pride", source="employee", items=["p1", "p2", "p3"]),
        rox.Construct(name="revenue", factor="outcomes", source="unit", items=["revenue"]),
    ],
    edges=["pride -> revenue"],
)


def frames(seed: int = 1, alike: float = 1.0, units: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Units with four teams of five; `alike`: standard deviation between teams, people differ by 1."""
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(units) * 1.0
    team = np.repeat(np.arange(units * 4), 5)
    unit = team // 4
    common = rng.standard_normal(units * 4)[team] * alike
    items = {f"p{k}": level[unit] + common + rng.standard_normal(len(team)) for k in (1, 2, 3)}
    columns = {
        "store": unit,
        **items,
        "squad": [f"s{t}" for t in team],
        "shift": np.array(["early", "late", "night", "day"])[team % 4],
        "sex": rng.choice(["f", "m"], len(team)),
        "person": np.arange(len(team)),
        "age": rng.integers(18, 65, len(team)),
        "other": np.clip(np.round(3 + items["p1"]), 1, 5).astype(int),
    }
    books = pd.DataFrame({"store": np.arange(units), "revenue": level + rng.standard_normal(units)})
    return pd.DataFrame(columns).sample(frac=1, random_state=seed), books


def test_the_level_is_that_of_the_battery() -> None:
    assert LEVELS["teams"] == TEAM_LEVEL


def test_a_column_of_teams_is_found_named_and_offered() -> None:
    staff, books = frames()
    with pytest.warns(rox.RoxWarning, match="team="):
        study = rox.Study(MODEL, employee=staff, unit=books, by="store")
    (doubt,) = study.doubts
    assert (doubt.check, doubt.verdict, doubt.culprits[0]) == ("teams", "doubtful", "squad")
    assert set(doubt.culprits) == {"squad", "shift"}  # the same people under names of their own, and of each store
    with warnings.catch_warnings():
        warnings.simplefilter("error", rox.RoxWarning)
        said = rox.Study(MODEL, employee=staff, unit=books, by="store", team={"employee": "squad"})
    assert said.doubts == ()
    plain, true = (rox.fit(MODEL, one).edges() for one in (study, said))
    assert true["estimate"][0] > plain["estimate"][0]
    row = rox.fit(MODEL, study).checks().set_index("check").loc["teams"]
    assert row["verdict"] == "doubtful"
    assert "squad" in row["culprits"]


def test_teams_of_people_who_do_not_answer_alike_are_no_doubt() -> None:
    found = 0
    for seed in range(60):
        staff, books = frames(seed, alike=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = rox.Study(MODEL, employee=staff, unit=books, by="store")
        found += any(doubt.check == "teams" for doubt in study.doubts)
    assert found <= 2


def test_a_trait_of_persons_is_no_team() -> None:
    staff, books = frames(3, alike=0.0)
    staff["p1"] += 0.8 * (staff["sex"] == "f")
    staff["p2"] += 0.8 * (staff["sex"] == "f")
    study = rox.Study(MODEL, employee=staff, unit=books, by="store")
    assert study.doubts == ()
    assert [one.verdict for one in study.remarks] == ["ok"]


def test_teams_are_known_by_their_unit_and_a_name() -> None:
    """Names that come again in every unit are other teams there; who has none stands alone."""
    staff, books = frames(4)
    one, other = (rox.Study(MODEL, employee=staff, unit=books, by="store", team=c) for c in ("squad", "shift"))
    left, right = (rox.fit(MODEL, study).edges()["estimate"][0] for study in (one, other))
    assert left == pytest.approx(right, rel=1e-9)
    staff.loc[staff["shift"] == "day", "shift"] = None
    some = rox.Study(MODEL, employee=staff, unit=books, by="store", team="shift")
    teams = some.moments.source("employee").teams
    assert teams is not None
    assert set(teams.count) == {8.0}


@pytest.mark.parametrize(
    ("column", "words"), [("person", "no two people"), ("store2", "one team"), ("squat", "none of the frames")]
)
def test_a_column_that_names_no_teams_is_refused(column: str, words: str) -> None:
    staff, books = frames()
    staff["store2"] = staff["store"]
    with pytest.raises(rox.RoxError, match=words):
        rox.Study(MODEL, employee=staff, unit=books, by="store", team=column)


def test_published_means_know_no_teams() -> None:
    staff, books = frames()
    means = staff.groupby("store")[["p1", "p2", "p3"]].mean().reset_index().assign(n=20)
    for team in ("squad", {"employee": "squad"}):
        with pytest.raises(rox.RoxError, match="team="):
            rox.Study(MODEL, employee=rox.Aggregated(means, n="n"), unit=books, by="store", team=team)


@pytest.mark.filterwarnings("ignore::roxmodel.errors.RoxWarning")
def test_one_name_stands_for_every_frame_that_has_it() -> None:
    world = rox.datasets.make_world(30, seed=1, employees=12)
    people = world.employee.sort_values("branch").assign(squad=np.arange(360) // 4)
    study = world.study(employee=people, team="squad")
    assert study.moments.source("employee").teams is not None
    assert study.moments.source("customer").teams is None


@pytest.mark.parametrize("within", ["saturated", "model"])
def test_the_likelihood_of_all_answers_refuses_teams(within: str) -> None:
    staff, books = frames()
    study = rox.Study(MODEL, employee=staff, unit=books, by="store", team="squad")
    with pytest.raises(rox.RoxError, match="team="):
        rox.fit(MODEL, study, within=within)


def test_teams_count_in_reliability_planning_and_notes() -> None:
    staff, books = frames()
    with pytest.warns(rox.RoxWarning):
        plain = rox.Study(MODEL, employee=staff, unit=books, by="store")
    said = rox.Study(MODEL, employee=staff, unit=books, by="store", team="squad")
    assert said.linkage()["icc2"][0] < plain.linkage()["icc2"][0] - 0.1
    assert said.check().total.detectable > plain.check().total.detectable
    assert any("People of one team" in note for note in rox.fit(MODEL, said).notes)
    assert any("team=" in note for note in rox.fit(MODEL, said, method="path").notes)


def test_answers_that_are_missing_keep_their_teams() -> None:
    staff, books = frames(5)
    rng = np.random.default_rng(1)
    for item in ("p1", "p2", "p3"):
        staff.loc[rng.random(len(staff)) < 0.1, item] = np.nan
    said = rox.Study(MODEL, employee=staff, unit=books, by="store", team="squad")
    found = rox.fit(MODEL, said)
    whole = rox.fit(MODEL, rox.Study(MODEL, employee=frames(5)[0], unit=books, by="store", team="squad"))
    assert found.edges()["estimate"][0] == pytest.approx(whole.edges()["estimate"][0], rel=0.15)
    again = rox.fit(MODEL, said, bootstrap=5, seed=1)
    assert np.isfinite(again.bootstrap_draws()).all()
