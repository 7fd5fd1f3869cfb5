"""What an import costs: nothing before it is needed, and little for the scoring engine."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "pandas", "scipy", "statsmodels", "networkx", "narwhals", "matplotlib", "pydantic", "typer", "rich")


def loaded_after(code: str) -> set[str]:
    """Top-level packages in memory after running code in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_library_imports_nothing_else():
    assert not loaded_after("import roxmodel") & set(HEAVY)


def test_a_misspelt_name_imports_nothing_else():
    code = "import roxmodel\ntry:\n    roxmodel.Studdy\nexcept AttributeError:\n    pass"
    assert not loaded_after(code) & set(HEAVY)


def test_the_scoring_engine_needs_numpy_and_pydantic_only():
    loaded = loaded_after("import roxmodel.deliver.scoring")
    assert {"numpy", "pydantic"} <= loaded
    assert loaded & set(HEAVY) == {"numpy", "pydantic"}


def test_using_the_scoring_engine_imports_nothing_more(tmp_path):
    import roxmodel as rox

    world = rox.datasets.make_world(units=20, seed=1)
    path = rox.fit(world.model, world.study(), method="path").save(tmp_path / "fit.json")
    code = (
        f"import roxmodel\nengine = roxmodel.ScoringEngine.load({str(path)!r})\n"
        "engine.score({'pri1': 3})\nengine.score_batch({'pri1': [3, None]})\nengine.what_if({'pride': 0.1})"
    )
    assert loaded_after(code) & set(HEAVY) == {"numpy", "pydantic"}


def test_stating_a_model_needs_no_frame_and_no_statistics():
    code = (
        "import roxmodel as rox\n"
        "rox.five_factor({'pride': ['p'], 'outcomes': ['o']}).to_json()\n"
        "rox.Intervention(name='a', shift={'pride': 1})"
    )
    assert not loaded_after(code) & {"pandas", "scipy", "statsmodels", "narwhals", "matplotlib"}


def test_a_fit_needs_no_drawing():
    code = (
        "import roxmodel as rox\n"
        "world = rox.datasets.make_world(units=20, seed=1)\n"
        "rox.fit(world.model, world.study(), method='path').summary()"
    )
    assert not loaded_after(code) & {"matplotlib", "typer", "rich"}


def test_the_import_contracts_hold():
    if find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed (extra: lint); .ci/run runs it")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
