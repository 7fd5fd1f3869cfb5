"""The examples run without a warning and say what the pages quote."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCHOOLS = ROOT.parent / "shared" / "data" / "nyc_schools_2011"
PAGE = ROOT / "docs" / "examples" / "nyc-schools.md"


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
        "10 edges, method 'path', 120 units",
        "Level: between units",
        "Small print",
        "Truth of this simulated world: 8.8",
        "What if: coaching, 8 waves",
        "coaching brings",
        "npv = benefit - cost; rox = npv / cost",
    ):
        assert sentence in printed


@pytest.fixture(scope="module")
def schools() -> str:
    if not SCHOOLS.is_dir():
        pytest.skip(f"the school data are not beside the checkout ({SCHOOLS.relative_to(ROOT.parent)})")
    return answer("nyc_schools.py", str(SCHOOLS))


def test_schools_keep_little_of_the_naive_effect(schools):
    found = re.search(r"Without context, .* goes with \+([\d.]+) points.*With prior .* it is \+([\d.]+)", schools, re.S)
    assert found is not None
    naive, held = (float(number) for number in found.groups())
    assert 0 < held < 0.25 * naive
    assert "does not survive" in schools
    assert "5. What these data cannot say" in schools


def test_the_page_quotes_what_the_schools_example_prints(schools):
    printed = {line.rstrip() for line in schools.splitlines()}
    shown = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown
    for line in "".join(shown).splitlines():
        assert line.rstrip() in printed


def test_schools_need_a_path():
    script = str(ROOT / "examples" / "nyc_schools.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "PATH" in done.stderr.upper()
