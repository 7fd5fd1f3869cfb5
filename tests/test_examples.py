"""The examples run without a warning and say what the pages quote."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PAGES = ROOT / "docs" / "examples"


def answer(script: str, *arguments: str) -> str:
    """What an example prints, run as a user would, warnings being errors."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / script), *arguments]
    env = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_quickstart_goes_from_surveys_to_money():
    printed = answer("quickstart.py")
    for sentence in (
        "10 edges, method 'linked' (ML), 120 units",
        "Level: between units",
        "Small print",
        "Truth of this simulated world: 8.8",
        "What if: coaching, 8 waves",
        "coaching brings",
        "npv = benefit - cost; rox = npv / cost",
    ):
        assert sentence in printed


def answer_of_data(script: str, folder: str) -> str:
    """What an example prints of data that are not part of the repository."""
    if not (DATA / folder).is_dir():
        pytest.skip(f"the data are not beside the checkout ({(DATA / folder).relative_to(ROOT.parent)})")
    return answer(script, str(DATA / folder))


@pytest.fixture(scope="module")
def schools() -> str:
    return answer_of_data("nyc_schools.py", "nyc_schools_2011")


@pytest.fixture(scope="module")
def army() -> str:
    return answer_of_data("army_units.py", "army_units")


def test_schools_keep_little_of_the_naive_effect(schools):
    found = re.search(r"Without context, .* goes with \+([\d.]+) points.*With prior .* it is \+([\d.]+)", schools, re.S)
    assert found is not None
    naive, held = (float(number) for number in found.groups())
    assert 0 < held < 0.25 * naive
    assert "6. What these data cannot say" in schools


def test_counts_of_answers_give_the_published_means(schools):
    assert "published means (one decimal) are at most 0.05 apart" in schools


def test_schools_path_understates_what_linked_finds(schools):
    found = re.search(r"leaders -> \.\.\. -> parents +([\d.]+) +([\d.]+) +([\d.]+)", schools)
    assert found is not None
    path, asked, general = (float(number) for number in found.groups())
    assert path < min(asked, general)
    assert abs(asked - general) < 0.1 * asked


def test_five_people_a_company_are_enough_for_linked_only(army):
    rows = re.findall(r"^leadership -> cohesion +([\d.-]+) +([\d.-]+) +\S+ +\S+ +([\d.-]+) +\S+ +\S+$", army, re.M)
    assert len(rows) == 2
    every, path, linked = (float(number) for number in rows[1])  # different people rate cause and effect
    assert path < 0.6 * every
    assert abs(linked - every) < 0.1  # three times its Monte-Carlo error, 0.23 / sqrt(50)


@pytest.mark.parametrize(("example", "name"), [("schools", "nyc-schools.md"), ("army", "army-units.md")])
def test_the_page_quotes_what_the_example_prints(example, name, request):
    printed = {line.rstrip() for line in request.getfixturevalue(example).splitlines()}
    page = (PAGES / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    before = ["", *(kind for kind, _ in blocks)]  # what follows Python is its own answer, held by .ci/printed.py
    shown = [text for (kind, text), last in zip(blocks, before, strict=False) if kind == "text" and last != "python"]
    assert shown
    for line in "".join(shown).splitlines():
        assert line.rstrip() in printed


@pytest.mark.parametrize("script", ["nyc_schools.py", "army_units.py"])
def test_examples_on_data_need_a_path(script):
    command = [sys.executable, str(ROOT / "examples" / script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "PATH" in done.stderr.upper()


def test_the_benchmark_of_doubts_runs():
    script = str(ROOT / "benchmarks" / "doubts.py")
    for option, word in (("--quick", "| arrow left out, 30 | 40 | 2 |"), ("--speed", "| linked, 5 constructs | 50 |")):
        arguments = [sys.executable, script, "--quick", *([option] if option != "--quick" else [])]
        done = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        assert word in done.stdout
