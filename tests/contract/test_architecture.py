"""The architecture page and the tree agree."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "roxmodel"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = {str(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
NAMED = {name for name in re.findall(r"`([\w./]+\.py)`", PAGE) if not name.startswith(("tests/", "."))}


def test_every_module_is_named():
    assert not MODULES - NAMED, f"docs/architecture.md does not name {sorted(MODULES - NAMED)}"


def test_every_module_it_names_exists():
    assert not NAMED - MODULES, f"docs/architecture.md names {sorted(NAMED - MODULES)}, which do not exist"


def test_every_room_has_its_section():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(re.findall(r"^### (\w+):", PAGE, re.MULTILINE))


def test_every_file_of_the_project_it_names_exists():
    for name in re.findall(r"`((?:tests|docs|\.ci)/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_it_draws_the_layers_of_the_import_contract():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = tools["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    wanted = [name.removeprefix("roxmodel.").replace(".", "/") for layer in layers for name in layer.split(" | ")]
    drawing = re.sub(r"\(.*?\)", "", PAGE.split("## Imports run one way")[1].split("```")[1].removeprefix("text"))
    assert re.findall(r"[\w/]+", drawing) == wanted
