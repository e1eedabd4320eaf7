"""Puts what was measured into a page, between marks; the text around them is written by hand."""

import re
from pathlib import Path

from benchmarks.programs import ROOT

PAGE = ROOT / "docs/performance.md"
PICTURES = ROOT / "docs/pictures"
BLOCKS = ("machine", "speed", "again", "faults", "deaths", "growth", "pictures", "flight")


def block_pattern(name: str) -> re.Pattern[str]:
    """Matches a block with its two marks."""
    return re.compile(rf"(<!-- bench:begin {name} -->\n).*?(<!-- bench:end -->)", re.DOTALL)


def with_block(text: str, name: str, lines: str) -> str:
    """The page's text with what stands in one block replaced. Raises `ValueError` if there is no such block."""
    text, found = block_pattern(name).subn(lambda marks: f"{marks[1]}{lines}\n{marks[2]}", text)
    if found != 1:
        raise ValueError(f"{found} blocks are called {name!r}")
    return text


def write_block(page: Path, name: str, lines: str) -> None:
    """Replace one block of a page."""
    page.write_text(with_block(page.read_text(encoding="utf-8"), name, lines), encoding="utf-8")
