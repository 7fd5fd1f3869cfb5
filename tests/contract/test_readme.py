"""README and pages tell the truth: their code runs, without a warning, and prints what they show."""

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_printed() -> ModuleType:
    """Import ``.ci/printed.py``, which CI and people run as a script."""
    spec = importlib.util.spec_from_file_location("printed", ROOT / ".ci" / "printed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["printed"] = module
    spec.loader.exec_module(module)
    return module


PRINTED = load_printed()
PAGES = {str(page.relative_to(ROOT)): page for page in PRINTED.documents()}
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [block.body for block in PRINTED.blocks(README) if block.kind == "bash"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_page_shows_what_its_code_prints(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = PRINTED.difference(PAGES[name])
    assert not found, f"{name} shows other answers; see them with: python .ci/printed.py {name}\n{found}"


def test_the_readme_and_the_tutorial_have_code():
    assert {"README.md", "docs/tutorials/branches.md"} <= set(PAGES)


def test_the_readme_has_two_commands_of_one_line_each():
    assert [command.count("\n") for command in COMMANDS] == [1, 1]
    demo, tests = (shlex.split(command) for command in COMMANDS)
    assert demo[-2:] == [".venv/bin/roxmodel", "demo"]
    assert tests[-5:] == [".venv/bin/pytest", "-n", "auto", "-m", "slow or not slow"]
    for words in (demo, tests):
        assert words[:4] == ["python3", "-m", "venv", ".venv"]


def test_the_readme_names_the_extras_there_are():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = README.split("## Extras")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(project["optional-dependencies"])
    used = {extra for command in COMMANDS for extra in re.findall(r"\[([\w,]+)\]", command)}
    for extras in used:
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_every_relative_link_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_a_wrong_answer_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", encoding="utf-8")
    assert "-3" in PRINTED.difference(page)
    assert "+2" in PRINTED.difference(page)
    page.write_text("```python\nprint(1 + 1)\n```\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no text block shows it"):
        PRINTED.difference(page)
