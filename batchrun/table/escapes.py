"""Quotes within quoted cells that stand behind a backslash, as Spark and MySQL write them, and are not doubled.

Within quotes the escape before a quote, an escape, the separator or a line break stands for that character; before
anything else it is itself, as it always is outside quotes: MySQL's `\\N` stays `\\N`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are told apart. `escape`: what stands before a quote within quotes; None if it is doubled."""

    sep: str
    escape: str | None = None


def unescaped(lines: Iterable[str], dialect: Dialect) -> Iterator[str]:
    """The lines with such quotes doubled, so that the `csv` module reads them."""
    escape, sep = re.escape(dialect.escape or ""), re.escape(dialect.sep)
    one = re.compile(rf'{escape}(["{escape}{sep}\r\n])')
    for _, line, cells in _quoted(lines, dialect):
        parts: list[str] = []
        at = 0
        for cell in cells:
            parts += line[at : cell.start(1)], one.sub(lambda found: '""' if found[1] == '"' else found[1], cell[1])
            at = cell.end(1)
        yield "".join((*parts, line[at:])) if cells else line


def misplaced_quotes(lines: Iterable[str], dialect: Dialect) -> Iterator[tuple[int, bool]]:
    """Lines (from 1) where a quote has closed a cell too early, and whether a backslash stands before that quote.

    A backslash tells, an escape that was said, or another quote in the text that follows (`"say "hi" there"`). Other
    text after a closing quote (`"a"b`) belongs to the cell.
    """
    ends = re.compile(rf"[ \t]*(?:[{re.escape(dialect.sep)}\r\n]|\Z)")
    quoted = re.compile(rf'[^{re.escape(dialect.sep)}\r\n]*"')
    for number, line, cells in _quoted(lines, dialect):
        for cell in cells:
            if cell[2] and not ends.match(line, cell.end()):
                escaped = cell[1].endswith("\\")
                if escaped or dialect.escape or quoted.match(line, cell.end()):
                    yield number, escaped


def _quoted(lines: Iterable[str], dialect: Dialect) -> Iterator[tuple[int, str, list[re.Match[str]]]]:
    """Each line with its number and the quoted cells in it, or as much of them as it holds: what stands within the
    quotes is group 1, and group 2 the closing quote, if it is in this line.
    """
    sep, escape = re.escape(dialect.sep), re.escape(dialect.escape or "")
    within = rf'((?:[^"{escape}]++|""|{escape}.|{escape}\Z)*+)("|\Z)' if escape else r'((?:[^"]++|"")*+)("|\Z)'
    begun, rest = re.compile(rf'(?<![^{sep}\r\n])"{within}', re.DOTALL), re.compile(within, re.DOTALL)
    is_open = False
    for number, line in enumerate(lines, 1):
        first = [found] if is_open and (found := rest.match(line)) else []
        at = first[0].end() if first else 0
        cells = [*first, *begun.finditer(line, at)] if '"' in line else first
        is_open = bool(cells) and not cells[-1][2]
        yield number, line, cells
