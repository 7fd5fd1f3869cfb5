"""Print the lower bound of every dependency as a constraint for pip: ``numpy>=1.26`` becomes ``numpy==1.26``."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print one line for each dependency of the library and of its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(one for extra in ("plot", "cli", "test") for one in extras[extra])]
    for requirement in wanted:
        name, _, version = requirement.partition(">=")
        if version:
            print(f"{name.partition('[')[0]}=={version}")


if __name__ == "__main__":
    main()
