"""The site's menu and its pages are the same pages, and every picture is there: what the site's builder lets pass."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_every_page_is_in_the_menu_once_and_every_entry_is_a_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu = re.findall(r"^\s+- [^:\n]+: (\S+\.md)$", text.partition("\nnav:\n")[2], re.MULTILINE)
    assert sorted(menu) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_is_there(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    pictures = [*re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text), *re.findall(r'<img[^>]+src="([^"]+)"', text)]
    missing = [name for name in pictures if "://" not in name and not (DOCS / page).parent.joinpath(name).is_file()]
    assert not missing
