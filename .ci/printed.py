"""Run the Python blocks of README.md and docs/, and hold what they print against the text shown below them.

    python .ci/printed.py [FILE ...]            check; exit code 1 and a diff where they differ
    python .ci/printed.py --write [FILE ...]    write the answers anew

The blocks of one page share their names and run from top to bottom, in an empty folder. A block that prints
something is followed by a block marked ``text`` with exactly that; a block that prints nothing is not.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: what it is marked with, its text, and where the text starts and ends."""

    kind: str
    body: str
    start: int
    end: int


def documents() -> list[Path]:
    """README.md and every page of docs/ with a Python block."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if any(b.kind == "python" for b in blocks(page.read_text(encoding="utf-8")))]


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page."""
    return [Block(m["kind"], m["body"], m.start("body"), m.end("body")) for m in FENCE.finditer(text)]


def executed(page: Path) -> str:
    """Run a page and return it with the answers that were printed just now; what it says of warnings ends with it."""
    with warnings.catch_warnings():
        return _executed(page)


def _executed(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    found, names, answers = blocks(text), {"__name__": "__main__"}, []
    for place, block in enumerate(found):
        if block.kind != "python":
            continue
        line = text.count("\n", 0, block.start)
        printed = _run(block.body, names, f"{page.name}", line)
        if not printed:
            continue
        shown = found[place + 1] if place + 1 < len(found) else None
        if shown is None or shown.kind != "text":
            raise SystemExit(f"{page.name}, line {line + 1}: this block prints, but no text block shows it:\n{printed}")
        answers.append((shown, printed))
    for shown, printed in reversed(answers):
        text = text[: shown.start] + printed + text[shown.end :]
    return text


def _run(code: str, names: dict[str, object], page: str, line: int) -> str:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        exec(compile("\n" * line + code, page, "exec"), names)
    lines = [part.rstrip() for part in stream.getvalue().strip("\n").splitlines()]
    return "\n".join(lines) + "\n" if lines else ""


def keep_pictures(page: Path) -> None:
    """Copy the pictures that a page drew, and shows, to the assets."""
    text = page.read_text(encoding="utf-8")
    for picture in Path().glob("*.svg"):
        if f"assets/{picture.name}" in text:
            shutil.copy(picture, ROOT / "docs" / "assets" / picture.name)


def difference(page: Path) -> str:
    """Say how a page differs from what it prints now; empty where it does not."""
    before, after = page.read_text(encoding="utf-8"), executed(page)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "shown", "printed now", lineterm="", n=2)
    return "\n".join(lines)


def main() -> None:
    """Check the pages, or write their answers anew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the answers anew")
    parser.add_argument("pages", nargs="*", type=Path, help="pages; all if none is given")
    given = parser.parse_args()
    pages = [page.resolve() for page in given.pages] or documents()
    warnings.simplefilter("error")
    wrong = 0
    for page in pages:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            if given.write:
                page.write_text(executed(page), encoding="utf-8")
                keep_pictures(page)
                continue
            found = difference(page)
        print(f"{page.relative_to(ROOT)}: {'differs' if found else 'as printed'}")
        if found:
            print(found)
        wrong += bool(found)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    main()
