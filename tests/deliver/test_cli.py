"""The command line: four sections, two pictures, one sentence where something is wrong."""

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import roxmodel
from roxmodel.deliver import cli


def run(monkeypatch, capsys, *words: str) -> tuple[object, str, str]:
    """Exit code (or message) and what was printed."""
    monkeypatch.setattr(sys, "argv", ["roxmodel", *words])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo as a user runs it: its folder and its output."""
    folder = tmp_path_factory.mktemp("demo")
    code = "from roxmodel.deliver.cli import main; main()"
    command = [sys.executable, "-W", "error", "-c", code, "demo", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return folder, " ".join(done.stdout.split())


def test_the_demo_prints_its_four_sections(demo):
    _, printed = demo
    sections = [
        "1. Two surveys and the books, linked by team",
        "2. What drives what",
        "3. What if",
        "4. Return on experience",
    ]
    places = [printed.index(section) for section in sections]
    assert places == sorted(places)


def test_the_demo_says_truth_uncertainty_and_limits(demo):
    _, printed = demo
    for words in (
        "simulated",
        "intervals hold the truth",
        "truth 8.8",
        "noise shrinks effects",
        "chance of a loss",
        "No data rule out an unmeasured cause",
        "PwC publishes no formula",
    ):
        assert words in printed


def test_the_demo_draws_the_path_diagram(demo):
    folder, printed = demo
    assert "Path diagram:" in printed
    assert ElementTree.parse(folder / "roxmodel_demo.svg").getroot().tag.endswith("svg")
    assert (folder / "roxmodel_demo.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in folder.iterdir()} == {"roxmodel_demo.svg", "roxmodel_demo.png"}


@pytest.mark.slow
def test_a_folder_that_is_not_there_ends_in_one_sentence_and_exit_code_1(tmp_path):
    command = [sys.executable, "-c", "from roxmodel.deliver.cli import main; main()", "demo", "--out"]
    done = subprocess.run([*command, str(tmp_path / "nowhere")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("roxmodel: The folder ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_folder_that_takes_nothing_is_refused_before_the_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and path.exists())
    message, printed, _ = run(monkeypatch, capsys, "demo", "--out", str(tmp_path))
    assert message.startswith("roxmodel: Nothing may be written into the folder ")
    assert printed == ""


def test_version_names_the_library_and_what_it_stands_on(monkeypatch, capsys):
    code, printed, _ = run(monkeypatch, capsys, "version")
    assert code == 0
    assert printed.startswith(f"roxmodel {roxmodel.__version__} on Python ")
    for name in ("numpy", "pandas", "statsmodels"):
        assert name in printed


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    from roxmodel.deliver import commands

    def missing(name: str) -> str:
        raise commands.PackageNotFoundError(name)

    monkeypatch.setattr(commands, "version", missing)
    code, printed, _ = run(monkeypatch, capsys, "version")
    assert code == 0
    assert "matplotlib not installed" in printed


def test_without_a_command_it_helps(monkeypatch, capsys):
    _, printed, error = run(monkeypatch, capsys, "--help")
    assert "demo" in printed + error
    code, _, error = run(monkeypatch, capsys, "nonsense")
    assert code == 2
    assert "nonsense" in error


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_without_typer_it_says_what_to_install(monkeypatch, capsys, name):
    monkeypatch.delitem(sys.modules, "roxmodel.deliver.commands", raising=False)
    for module in [key for key in sys.modules if key.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    message, _, _ = run(monkeypatch, capsys, "version")
    assert message == 'The command line needs typer and rich, which are not installed: pip install "roxmodel[cli]".'


def test_another_missing_module_is_not_blamed_on_typer(monkeypatch):
    monkeypatch.delitem(sys.modules, "roxmodel.deliver.commands", raising=False)
    monkeypatch.setitem(sys.modules, "roxmodel.simulation.run_story", None)
    monkeypatch.setattr(sys, "argv", ["roxmodel", "version"])
    with pytest.raises(ModuleNotFoundError, match=r"roxmodel\.simulation\.run_story"):
        cli.main()


def test_doubts_are_printed_before_any_number(capsys):
    from rich.console import Console

    from roxmodel.deliver.commands import _show_doubts
    from roxmodel.doubts import Doubt

    console = Console(highlight=False, width=200)
    _show_doubts(console, [])
    assert capsys.readouterr().out == ""
    _show_doubts(console, [Doubt("books", "doubtful", "'Total' is a sum [of all].", ("Total",), "Take it out.")])
    assert capsys.readouterr().out.strip() == "DOUBTFUL (books): 'Total' is a sum [of all]. Take it out."
