"""The top of a CSV file: a line that names the separator, a title, comments, or rows without a header."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from batchrun.errors import InputError

from .escapes import Dialect
from .header import SEPARATORS, looks_separated
from .options import ReadOptions, escape_of, separator
from .remedies import without_space_before_quotes
from .tokens import NUL, reader_of

_LOOKED_AT = 50
_SEP_LINE = re.compile(r'\ufeff?("?)sep=([^"\r\n])\1(?:\2|,)*[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_SPACE_BEFORE_QUOTE = re.compile(r'[ \t]+".*"[ \t]*', re.DOTALL)
_TITLE = re.compile(r"#|.*\s")

Numbered = tuple[int, list[str]]
"""A record, and the line on which it starts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of a CSV file are. `above`: lines before the header, or before the first row if there is none.

    `sep_said`: whether the user, not the file or its name, says what separates.
    """

    dialect: Dialect
    above: int = 0
    header: bool = True
    sep_said: bool = False


def layout_of(head: str, options: ReadOptions, default_sep: str) -> Layout:
    """How to read a file that begins like this. A line like `sep=;`, which Excel heeds, is none of the table's."""
    skipped = options.skip_lines or 0
    lines = list(islice(io.StringIO(head, newline=""), skipped + 1))
    said = _SEP_LINE.match(lines[0]) if lines else None
    if not said and skipped and len(lines) > skipped and (said := _SEP_LINE.match(lines[skipped])):
        skipped += 1
    sep = separator(options, said[2] if said else default_sep)
    above = max(skipped, 1 if said else 0)
    dialect = Dialect(sep, escape_of(options, sep))
    return Layout(dialect, above, header=not options.no_header, sep_said=options.sep is not None)


def check_top(path: Path, head: str, layout: Layout, encoding: str, *, whole: bool) -> None:
    """Raise `InputError` if the first line hardly names columns. `whole`: `head` is the whole file."""
    found = _records(head, layout, whole=whole)
    if not found:
        return
    if spaced := _spaced(found, head, layout.dialect.sep):
        raise InputError(
            f"{path}, line {spaced[0]}: a space comes before the quote of {spaced[1]!r}, "
            "which makes the quote part of the cell",
            f"Remove such spaces: {without_space_before_quotes(path, layout.dialect.sep, encoding)}",
        )
    if not layout.header:
        return
    line, header = found[0]
    if all(map(_NUMBER.fullmatch, header)):
        shown = f"{', '.join(header[:5])}{', …' if len(header) > 5 else ''}"
        raise InputError(
            f"{path}, line {line}: the header is nothing but numbers ({shown})",
            "If that line is a row, read the table with --no-header, which calls the columns column1, column2, …; "
            f"if it names the columns, insist with --skip-lines {line - 1}.",
        )
    if title := _below_title(found) or _wider_below(found, layout.dialect.sep):
        raise above_header(path, found[0], title)
    if not layout.sep_said and (below := _separated_below(found, layout.dialect.sep)):
        raise above_header(path, found[0], below[0], f" --sep {below[1]}")


def above_header(path: Path, first: Numbered, header: Numbered, also: str = "") -> InputError:
    """The error for a first line that is a title or a comment, and the likely header below it."""
    return InputError(
        f"{path}, {title_said(first, header)}",
        f"Read it with --skip-lines {header[0] - 1}{also}; if line {header[0]} is a row, add --no-header; "
        f"if line {first[0]} names the columns, insist with --skip-lines {first[0] - 1}.",
    )


def title_said(first: Numbered, header: Numbered) -> str:
    """What is odd about such a line."""
    names = ", ".join(header[1])[:80]
    shown = repr(first[1][0][:80])
    return f"line {first[0]}: {shown} seems to be above the header, which may be line {header[0]} ({names})"


def is_bare(record: Sequence[str]) -> bool:
    """A row of separators only."""
    return len(record) > 1 and not any(record)


def _records(head: str, layout: Layout, *, whole: bool) -> list[Numbered]:
    """The first records with something in them. The last one of a head that is not whole may be cut off."""
    lines = io.StringIO(head.removeprefix("\ufeff"), newline="")
    for _ in islice(lines, layout.above):
        pass
    found: list[Numbered] = []
    reader = reader_of(lines, layout.dialect)
    before = 0
    try:
        for record in islice(reader, _LOOKED_AT):
            if NUL in "".join(record):
                break
            found.append((layout.above + before + 1, record))
            before = reader.line_num
    except csv.Error:  # said, with its line, when the table is read
        return []
    if not whole and len(found) < _LOOKED_AT:
        found = found[:-1]
    return [(line, record) for line, record in found if "".join(record).strip()]


def _spaced(found: Sequence[Numbered], head: str, sep: str) -> tuple[int, str] | None:
    """A cell of a column whose every cell has a space before its quote, and its line."""
    if not re.search(rf'(?:^|[{re.escape(sep)}\r\n])[ \t]+"[^"{re.escape(sep)}\r\n]', head):
        return None  # where quotes come first, spaces within them are meant
    for place in range(len(found[0][1])):
        cells = [(line, record[place]) for line, record in found[1:] if len(record) > place and record[place]]
        if cells and all(_SPACE_BEFORE_QUOTE.fullmatch(cell) for _, cell in cells):
            return cells[0]
    return None


def _below_title(found: Sequence[Numbered]) -> Numbered | None:
    """The first record that fills as many cells as any, if the first one fills nothing but the first of several."""
    first = found[0][1]
    if len(first) < 2 or not first[0] or any(first[1:]):
        return None
    most = max(_filled(record) for _, record in found)
    place = next(place for place, (_, record) in enumerate(found) if _filled(record) == most)
    if most < 2:  # each row ends with a separator
        return None
    before = found[place - 1]
    if place > 1 and not before[1][0] and _filled(before[1]) == most - 1:  # names, but none for the index
        return before
    has_numbers = any(map(_NUMBER.fullmatch, found[place][1]))
    return None if len(first) == 2 and has_numbers else found[place]  # a column without a name


def _wider_below(found: Sequence[Numbered], sep: str) -> Numbered | None:
    """The first of the records that all have the same number of cells, if the first of all has just one.

    Where all are separated alike by something else, those below have decimal commas: `id;price` above `1;2,50`.
    """
    for other in SEPARATORS:
        counts = {sep.join(record).count(other) for _, record in found}
        if other != sep and len(counts) == 1 and counts != {0}:
            return None
    wide = [numbered for numbered in found[1:] if len(numbered[1]) > 1]
    widths = {len(record) for _, record in wide}
    return wide[0] if len(found[0][1]) == len(widths) == 1 and len(wide) > max(1, len(found) // 2) else None


def _filled(record: Sequence[str]) -> int:
    return sum(map(bool, record))


def _separated_below(found: Sequence[Numbered], sep: str) -> tuple[Numbered, str] | None:
    """The line below a title of one cell that all lines below seem to be separated by, and by what."""
    (line, first), *below = found
    if len(first) > 1 or looks_separated(first[0], sep) or len(below) < 2:
        return None
    if below[0][0] == line + 1 and not _TITLE.match(first[0]):  # neither a blank line below nor words
        return None
    for other, said in SEPARATORS.items():
        counts = {record[0].count(other) for _, record in below if len(record) == 1}
        if other != sep and len(counts) == 1 and counts != {0} and all(len(record) == 1 for _, record in below):
            return below[0], said
    return None
