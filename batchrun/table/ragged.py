"""Rows that do not have the header's number of cells: which they are, and what is probably really wrong."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from batchrun.errors import InputError

from .changes import changed
from .remedies import with_double_quotes, with_first_name, with_longer_header, without_space_before_quotes
from .top import Layout, Numbered, above_header, is_bare, title_said

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows are. `header`: its first line and cells, or those of the first row; `ends`: its last line."""

    path: Path
    encoding: str
    layout: Layout
    header: Numbered
    ends: int


def ragged(place: Place, found: Census) -> InputError:
    """The error, with the likeliest cause."""
    if not found.bad:
        return changed(place.path)
    shown = ", ".join(f"line {line} has {len(record)}" for line, record in found.first[:_SHOWN])
    more = ", …" if found.bad > _SHOWN else ""
    which = f"all {found.rows:,}" if found.bad == found.rows else f"{found.bad:,} of {found.rows:,}"
    cells = f"{found.width:,} cells" if found.width > 1 else "one cell"
    whose = "header" if place.layout.header else "first row"
    said = f"{place.path}: {which} rows do not have the {whose}'s {cells}: {shown}{more}"
    what, hint = next(_causes(place, found))
    return InputError(f"{said}. {what}", hint)


def _causes(place: Place, found: Census) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do; the likeliest cause first, and at last what is always true."""
    path, sep, encoding = place.path, place.layout.dialect.sep, place.encoding
    whole = found.bad == found.rows
    line, record = found.first[0]
    spaced = (line for line, record in found.first if any(map(_SPACED.match, record)))
    if at := next(spaced, 0):
        command = without_space_before_quotes(path, sep, encoding)
        yield (
            f"In line {at} a space comes before a quote, which makes the quote part of the cell",
            f"Remove such spaces: {command}",
        )
    if not place.layout.dialect.escape and any(_broken_off(record) for _, record in found.first):
        yield f"In line {line} a quote seems to be escaped by a backslash", "Read such quotes with --escape '\\'."
    if any(_in_single_quotes(record) for _, record in found.first):
        command = with_double_quotes(path, sep, encoding)
        yield (
            f"In line {line} cells seem to be quoted with ', which is not a quote here",
            f'Quote them with ": {command}',
        )
    if place.layout.header:
        yield from _about_header(place, found, whole=whole)
    leave = "" if whole else ", or skip such rows with --bad-rows skip"
    yield f"Line {line}: {sep.join(record)[:80]!r}", f"Quote cells that hold the separator{leave}."


def _about_header(place: Place, found: Census, *, whole: bool) -> Iterator[tuple[str, str]]:
    """The same, where it is the header that differs from nearly all rows."""
    path, sep, encoding, header = place.path, place.layout.dialect.sep, place.encoding, place.header
    if whole and found.one_too_many == found.bad:
        yield (
            "Each row ends with a separator, but the header does not",
            f"End the header with one too: {with_longer_header(path, place.ends, sep, encoding)}",
        )
    usual = found.widths.most_common(1)[0][0]
    first_cells = [record[0] for _, record in found.first]
    if whole and found.width > 1 and usual == found.width + 1 and len(set(first_cells)) == len(first_cells) > 1:
        yield (
            "The header is one name short: R omits the name of its first column, the row names",
            f"Name the first column: {with_first_name(path, header[0], 'row', sep, encoding)}",
        )
    below = next((row for row in found.first if len(row[1]) == usual), None)
    if below and usual > found.width and (whole or found.width == 1) and found.widths[usual] > max(1, found.rows // 2):
        odd = title_said(header, below)
        yield f"{odd[0].upper()}{odd[1:]}", above_header(path, header, below).hint


def _in_single_quotes(record: list[str]) -> bool:
    """Has a separator within single quotes cut a cell?"""
    return any(one.lstrip().startswith("'") and other.rstrip().endswith("'") for one, other in pairwise(record))


def _broken_off(record: list[str]) -> bool:
    """Has a cell ended at a quote that was meant to be in it?"""
    return any(one.endswith("\\") and other.rstrip().endswith('"') for one, other in pairwise(record))
