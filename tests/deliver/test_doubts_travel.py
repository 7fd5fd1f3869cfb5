"""Doubts in documents: saved without names of units, read back, shown by the engine, kept by plans."""

import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

import roxmodel as rox
from roxmodel.doubts import Doubt
from roxmodel.errors import DocumentError, RoxWarning

COLLINEAR = Doubt("collinear", "doubtful", "Two tell the same.", ("pride", "influencers"), "Merge them.")
TOTAL = Doubt(
    "books", "unusable", "Row 'Total' is a sum.", ("Total",), "Take 'Total' out.", anonymous="One row is a sum."
)
NOTE = Doubt("few_units", "note", "Only 15 units.", (), "Get more.")


@pytest.fixture(scope="module")
def clean():
    world = rox.datasets.make_world(40, seed=11)
    return rox.fit(world.model, world.study(), method="path")


@pytest.fixture
def doubted(clean):
    return replace(clean, findings=(*clean.findings, COLLINEAR, TOTAL, NOTE))


def test_a_document_of_a_clean_fit_has_no_such_field(clean, tmp_path):
    noted = replace(clean, findings=(*clean.findings, NOTE))
    texts = [fit.save(tmp_path / f"{k}.json").read_text() for k, fit in enumerate((clean, noted))]
    assert texts[0] == texts[1]
    assert "doubts" not in json.loads(texts[0])["content"]
    assert rox.load(tmp_path / "0.json").doubts == ()


def test_doubts_come_back_without_names_of_units(doubted, tmp_path):
    path = doubted.save(tmp_path / "fit.json")
    assert "Total" not in path.read_text()
    again = rox.load(path)
    books, collinear = again.doubts
    assert (books.check, books.verdict, books.finding, books.culprits) == ("books", "unusable", "One row is a sum.", ())
    assert (collinear.finding, collinear.culprits) == (COLLINEAR.finding, COLLINEAR.culprits)
    for edges in (["pride -> behaviours"], ["value -> loyalty"]):
        assert [d.check for d in again.doubts_on(edges)] == [d.check for d in doubted.doubts_on(edges)]
    assert "collinear" in again.checks()["check"].tolist()
    assert again.save(tmp_path / "again.json").read_text() == path.read_text()
    with pytest.warns(RoxWarning, match="One row is a sum"):
        rox.simulate(again, [rox.Intervention(name="a", shift={"pride": 0.1})], draws=20)


def test_a_doubt_that_names_a_unit_is_saved_without_it_whatever_it_says(clean, tmp_path):
    far = Doubt("leverage", "doubtful", "Unit 'B007' is far out.", ("B007",), "Look at 'B007'.")
    text = replace(clean, findings=(*clean.findings, far)).save(tmp_path / "fit.json").read_text()
    assert "B007" not in text
    assert [one.finding for one in rox.load(tmp_path / "fit.json").doubts] == ["This check doubts single units."]


def test_the_engine_tells_once_and_shows_them(doubted, clean, tmp_path):
    path = doubted.save(tmp_path / "fit.json")
    with pytest.warns(RoxWarning, match=r"engine\.info\.doubts") as caught:
        engine = rox.ScoringEngine.load(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine.what_if({"pride": 0.1})["pride"] == 0.1
        engine.score({"pri1": 3})
        travelled = pickle.loads(pickle.dumps(engine))
        quiet = rox.ScoringEngine.load(clean.save(tmp_path / "clean.json"))
    assert (
        [one.check for one in engine.info.doubts]
        == ["books", "collinear"]
        == [one.check for one in travelled.info.doubts]
    )
    info, document = quiet.info, json.loads((tmp_path / "clean.json").read_text())
    assert info.doubts == ()
    assert (info.name, info.method, info.n, info.n_units) == ("branches", "path", 40, 40)
    assert info.hash == document["checksum"]
    assert info.schema_version == document["schema_version"]


@pytest.mark.parametrize("spoilt", [{"verdict": "fine"}, {"finding": 3}, {"more": 1}, {"culprits": "pride"}])
def test_spoilt_doubts_are_refused(doubted, tmp_path, spoilt):
    from roxmodel.document import write_document

    content = json.loads(doubted.save(tmp_path / "fit.json").read_text())["content"]
    content["doubts"][0] |= spoilt
    path = tmp_path / "spoilt.json"
    path.write_text(write_document("fit", content))
    for read in (rox.load, rox.ScoringEngine.load):
        with pytest.raises(DocumentError, match="doubts"):
            read(path)


def test_a_plan_keeps_its_doubts(doubted, clean, tmp_path):
    act = rox.Intervention(name="a", shift={"pride": 0.1}, cost=1.0)
    ask = {"budget": 10.0, "draws": 50, "seed": 1, "value": {"revenue": 100.0}}
    plan = rox.optimize(doubted, [act], **ask, doubtful=True)
    path = plan.save(tmp_path / "plan.json")
    assert "Total" not in Path(path).read_text()
    assert [one.check for one in rox.load_plan(path, doubted).doubts] == ["books", "collinear"]
    quiet = rox.optimize(clean, [act], **ask).save(tmp_path / "quiet.json")
    assert "doubts" not in json.loads(quiet.read_text())["content"]
    assert set(json.loads(quiet.read_text())["content"]["promised"]) == {"mean", "low", "high"}
    assert rox.load_plan(quiet, clean).doubts == ()


def test_what_is_not_admissible_by_an_older_document_is_a_note(clean, tmp_path):
    verdict = replace(clean.verdicts["admissible"], ok=False, reason="a variance at 0")
    fit = replace(clean, verdicts={**clean.verdicts, "admissible": verdict})  # no doubt is said
    again = rox.load(fit.save(tmp_path / "fit.json"))
    assert not again.admissible
    assert again.doubts == ()
    assert again.checks().set_index("check").loc["admissible", "verdict"] == "note"
