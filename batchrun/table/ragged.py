"""Rows that do not have the header's number of cells: which they are, and what is probably really wrong."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from batchrun.errors import InputError

from .escapes import Dialect
from .remedies import with_first_name, with_longer_header, without_space_before_quotes
from .top import Numbered, above_header, is_bare, title_said

_SHOWN = 3
_KEPT = 20
_SPACED = re.compile(r'[ \t]+"[^"]')


@dataclass(slots=True)
class Census:
    """What is known of all rows. `widths`: of those with more or fewer cells than the header's `width`."""

    width: int
    rows: int = 0
    bad: int = 0
    first: list[Numbered] = field(default_factory=list)
    widths: Counter[int] = field(default_factory=Counter)
    one_too_many: int = 0

    def take(self, line: int, record: list[str]) -> None:
        """The next row."""
        self.rows += 1
        if len(record) == self.width:
            return
        self.bad += 1
        self.widths[len(record)] += 1
        self.one_too_many += len(record) == self.width + 1 and not record[-1]
        if len(self.first) < _KEPT:
            self.first.append((line, record))

    def with_more(self, more: "Census") -> "Census":
        """This and what was counted after it."""
        return Census(
            self.width,
            self.rows + more.rows,
            self.bad + more.bad,
            [*self.first, *more.first][:_KEPT],
            self.widths + more.widths,
            self.one_too_many + more.one_too_many,
        )


def census(rows: Iterable[Numbered], width: int) -> Census:
    """Count the rows of a table whose header has `width` cells. Rows of separators only that end it are none."""
    found, ending = Census(width), Census(width)
    for line, record in rows:
        if width > 1 and is_bare(record):
            ending.take(line, record)
            continue
        if ending.rows:
            found, ending = found.with_more(ending), Census(width)
        found.take(line, record)
    return found if found.bad else found.with_more(ending)


def ragged(path: Path, header: Numbered, ends: int, found: Census, dialect: Dialect, encoding: str) -> InputError:
    """The error, with the likeliest cause. `header`: its first line and cells; `ends`: its last line."""
    width, whole = found.width, found.bad == found.rows
    if not found.bad:
        return InputError(f"{path} changed while it was being read", "Give the same command again.")
    shown = ", ".join(f"line {line} has {len(record)}" for line, record in found.first[:_SHOWN])
    more = ", …" if found.bad > _SHOWN else ""
    which = f"all {found.rows:,}" if whole else f"{found.bad:,} of {found.rows:,}"
    cells = f"{width:,} cells" if width > 1 else "one cell"
    said = f"{path}: {which} rows do not have the header's {cells}: {shown}{more}"
    kept = [(line, cell) for line, record in found.first for cell in record]
    if spaced := next((one for one in kept if _SPACED.match(one[1])), None):
        return InputError(
            f"{said}. A space stands before a quote in line {spaced[0]}, which is then a part of the cell",
            f"Remove such spaces: {without_space_before_quotes(path, dialect.sep, encoding)}",
        )
    if not dialect.escape and any(_broken_off(record) for _, record in found.first):
        return InputError(
            f"{said}. In line {found.first[0][0]} a quote seems to be escaped by a backslash",
            "Read such quotes with --escape '\\'.",
        )
    if found.one_too_many == found.bad and whole:
        return InputError(
            f"{said}. Each row ends with a separator, but the header does not",
            f"End the header with one, too: {with_longer_header(path, ends, dialect.sep, encoding)}",
        )
    usual = found.widths.most_common(1)[0][0]
    if usual == width + 1 and width > 1 and whole:
        return InputError(
            f"{said}. The header has one name too few; R leaves out that of the row names, which come first",
            f"Name the first column: {with_first_name(path, header[0], 'row', dialect.sep, encoding)}",
        )
    below = next((row for row in found.first if len(row[1]) == usual), None)
    if below and usual > width and (whole or width == 1) and found.widths[usual] > found.rows // 2:
        odd = title_said(header, below)
        return InputError(f"{said}. {odd[0].upper()}{odd[1:]}", above_header(path, header, below).hint)
    leave = "" if whole else ", or leave such rows out with --bad-rows skip"
    line, record = found.first[0]
    return InputError(
        f"{said}. Line {line}: {dialect.sep.join(record)[:80]!r}",
        f"Quote cells that hold the separator{leave}.",
    )


def _broken_off(record: list[str]) -> bool:
    """Has a cell ended at a quote that was meant to be in it?"""
    return any(one.endswith("\\") and other.rstrip().endswith('"') for one, other in pairwise(record))
