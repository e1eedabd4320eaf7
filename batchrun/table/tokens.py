"""From the text of whole lines to cells: by the standard `csv` module, or by one split where no cell is quoted.

A line of our own follows the text's last one. If it does not come out as a record of its own, the last record
has swallowed it: a quote was left open. That costs nothing per row. (NUL cannot occur in the text.)
"""

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from .escapes import Dialect, unescaped

if TYPE_CHECKING:
    from _csv import Reader

LARGEST_CELL = 64 << 20
"""Characters. An open quote takes the rest of the file for one cell: stop before it takes the memory."""

NUL = "\0"

Column = Sequence[str]


def reader_of(lines: Iterable[str], dialect: Dialect, *, strict: bool = False) -> "Reader":
    """A csv reader over `lines` and the line of our own. If `strict`, text after a closing quote is an error."""
    csv.field_size_limit(LARGEST_CELL)
    if dialect.escape:
        lines = unescaped(lines, dialect)
    return csv.reader(chain(lines, [f"{NUL}{dialect.sep}{NUL}"]), delimiter=dialect.sep, strict=strict)


def records(text: str, dialect: Dialect, *, strict: bool = True) -> list[list[str]] | None:
    """All records, blank ones included; None if a quote is open at the end. Raises `csv.Error`; see `reader_of`."""
    try:
        found = list(reader_of(io.StringIO(text, newline=""), dialect, strict=strict))
    except csv.Error as error:
        if "unexpected end of data" in str(error):  # so says a strict one of an open quote
            return None
        raise
    return found[:-1] if found[-1] == [NUL, NUL] else None


def columns(text: str, sep: str, width: int) -> list[Column] | None:
    """The cells by columns, if no cell is quoted and each line has `width` > 1 cells; else None.

    All of it is cut at one go, with each line end as a cell of its own: if those stand in every `width` + 1st
    place, no line has a cell too many or too few.
    """
    if width < 2 or '"' in text or len(text) > LARGEST_CELL:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    text = text.removesuffix("\n")
    cells = text.replace("\n", f"{sep}\n{sep}").split(sep)
    ends = cells[width :: width + 1]
    if not ends.count("\n") == len(ends) == text.count("\n") or len(cells) != len(ends) * (width + 1) + width:
        return None
    return [cells[place :: width + 1] for place in range(width)]
