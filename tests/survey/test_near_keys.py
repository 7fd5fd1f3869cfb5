"""Keys that are one unit written in two ways are said; units that differ are not."""

import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest

import roxmodel as rox
from roxmodel.survey.keys import folded, label_doubts, near_twins

MODEL = rox.five_factor({"pride": ["p1", "p2"], "value_drivers": ["v1", "v2"], "outcomes": ["sales"]})
NAMES = [f"Caf\u00e9 {i:02d}" for i in range(30)]


def world(names=NAMES):
    rng = np.random.default_rng(4)
    level = rng.normal(0, 1, 30)
    unit = np.repeat(np.arange(30), 9)
    shared = level[unit, None] + rng.normal(0, 1, (270, 1))
    staff = pd.DataFrame(shared + rng.normal(0, 1, (270, 2)), columns=["p1", "p2"])
    guests = pd.DataFrame(shared + rng.normal(0, 1, (270, 2)), columns=["v1", "v2"])
    key = np.array(names, dtype=object)[unit]
    books = pd.DataFrame({"store": names, "sales": level})
    return {"employee": staff.assign(store=key), "customer": guests.assign(store=key), "unit": books}


def number(name: object) -> int:
    return int(str(name).split()[-1])


CHANGES = {
    "trailing blank": lambda name: name + " ",
    "inner blanks": lambda name: name.replace(" ", "  "),
    "hard space": lambda name: name.replace(" ", "\u00a0"),
    "case": str.upper,
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "full width": lambda name: name.translate({ord(str(d)): 0xFF10 + d for d in range(10)}),
    "leading zero": lambda name: f"{name.split()[0]} {int(name.split()[1])}",
    "no width": lambda name: name + "\u200b",
    "quotes": lambda name: f"\u201e{name}\u201c",
    "straight quotes": lambda name: f'"{name}"',
    "a spreadsheet's apostrophe": lambda name: f"'{name}",
    "no accents": lambda name: name.replace("\u00e9", "e"),
    "underscore": lambda name: name.replace(" ", "_"),
    "nothing between": lambda name: name.replace(" ", ""),
    "bytes": lambda name: name.encode(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fifth_of_the_names_written_otherwise(change):
    frames = world()

    def change_of(name: str) -> bool:
        return number(name) % 5 == 1 and CHANGES[change](name) != name

    fifth = [CHANGES[change](x) if change_of(x) else x for x in frames["customer"]["store"]]
    frames["customer"] = frames["customer"].assign(store=fifth)
    with pytest.warns(rox.RoxWarning, match="written alike") as caught:
        study = rox.Study(MODEL, **frames, by="store")
    assert len(caught) == 1
    (doubt,) = study.doubts
    assert (doubt.check, doubt.culprits) == ("keys", ("store",))
    assert f"{9 * sum(change_of(x) for x in NAMES)} of the customer frame" in doubt.finding
    obeyed = {source: frame.assign(store=obey(doubt.remedy, frame)) for source, frame in frames.items()}
    study = rox.Study(MODEL, **obeyed, by="store")
    assert (study.doubts, len(study.units), len(study.moments.matched)) == ((), 30, 30)


def obey(remedy: str, frame: pd.DataFrame) -> pd.Series:
    """Run the code that a doubt suggests."""
    code = remedy.partition("such as ")[2].partition("; or, if")[0]
    return eval(code, {"frame": frame})


@pytest.mark.parametrize("kind", ["numbers and text", "7.0", "07 and 7"])
def test_numbers_and_text(kind):
    frames = world([str(i) for i in range(1, 31)])
    forms = {"numbers and text": int, "7.0": lambda x: f"{x}.0", "07 and 7": lambda x: x.zfill(3)}
    mixed = [forms[kind](x) if number(x) % 2 else x for x in frames["employee"]["store"]]
    frames["employee"] = frames["employee"].assign(store=pd.Series(mixed, dtype=object))
    with pytest.warns(rox.RoxWarning, match="written alike"):
        study = rox.Study(MODEL, **frames, by="store")
    obeyed = {source: frame.assign(store=obey(study.doubts[0].remedy, frame)) for source, frame in frames.items()}
    assert len(rox.Study(MODEL, **obeyed, by="store").units) == 30


def test_what_only_reading_again_can_mend():
    frames = world()
    misread = [x.encode().decode("cp1252") if number(x) % 5 else x for x in frames["customer"]["store"]]
    with pytest.warns(rox.RoxWarning, match="encoding='utf-8'"):
        rox.Study(MODEL, **{**frames, "customer": frames["customer"].assign(store=misread)}, by="store")
    frames = world([str(i) for i in range(1, 31)])
    power = [f"{float(x):e}" if int(x) % 5 else x for x in frames["employee"]["store"]]
    with pytest.warns(rox.RoxWarning, match="dtype=str"):
        rox.Study(MODEL, **{**frames, "employee": frames["employee"].assign(store=power)}, by="store")
    assert folded("S\u00c3O 1") == folded("s\u00e3o 1")  # an A with a tilde that is one


def test_units_that_every_frame_knows_are_two():
    names = [f"{letter}{i}" for i in range(15) for letter in "aA"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = rox.Study(MODEL, **world(names), by="store")
    assert (len(study.units), study.doubts) == (30, ())


def test_invisible_twins_are_said_even_if_every_frame_has_both():
    names = [f"s{i}{blank}" for i in range(15) for blank in ("", " ")]
    with pytest.warns(rox.RoxWarning, match="30 units that are 15"):
        rox.Study(MODEL, **world(names), by="store")


def test_clean_names_have_no_twins():
    assert near_twins(NAMES) == []
    assert near_twins([1, 2, 10, 100, 1.5]) == []
    assert near_twins(["1.01", "1.1", "A-1-2", "A12", "A1 12", "A11 2", "10", "1", "-1"]) == []
    assert not near_twins(["A-1", "A1"])[0].invisible  # said only where one of them is missing from a frame
    assert folded(True) is None


def test_labels_of_groups():
    (doubt,) = label_doubts("region", "group", ["North", "north ", "South"])
    assert (doubt.check, doubt.culprits) == ("keys", ("region",))
    assert label_doubts("region", "group", ["North", "South", 1, 2, "A-1", "A1"]) == ()


def test_few_matched_units_are_a_doubt():
    frames = world()
    frames["unit"] = frames["unit"].assign(store=[*NAMES[:10], *(f"x{i}" for i in range(20))])
    with pytest.warns(rox.RoxWarning, match="Only 10 of 50 units"):
        study = rox.Study(MODEL, **frames, by="store")
    assert [doubt.check for doubt in study.doubts] == ["units"]
