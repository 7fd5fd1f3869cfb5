"""The entry of the command line; the commands stand in `roxmodel.deliver.commands`."""

from __future__ import annotations

import sys

from roxmodel.errors import RoxError

__all__ = ["main"]


def main() -> None:
    """Run the command line; a wrong input ends in one sentence and exit code 1."""
    try:
        from roxmodel.deliver.commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.exit('The command line needs typer and rich, which are not installed: pip install "roxmodel[cli]".')
    try:
        app()
    except RoxError as error:
        sys.exit(f"roxmodel: {error}")
