"""CSV, tokenised by the standard `csv` module: it never pads, shifts or retypes, and counts lines.

A line of our own follows the file's last one. If it does not come out as a record of its own, the last
record has swallowed it: a quote was left open. That costs nothing per row. (NUL cannot occur in the file.)
"""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from batchrun.errors import InputError

from .files import changed
from .header import column_names
from .table import CHUNK_ROWS, Cells
from .text import TextFile

if TYPE_CHECKING:
    from _csv import Reader

_LARGEST_CELL = 64 << 20
"""Characters. An open quote takes the rest of the file for one cell: stop before it takes the memory."""

_NUL = "\0"
_SHOWN = 3
_LINE_END = re.compile("\r\n|\r|\n")


class CsvTable:
    """A CSV file; `sep_said` tells whether the user chose the separator."""

    kind = "csv"

    def __init__(self, text: TextFile, sep: str, *, sep_said: bool, skip_bad_rows: bool) -> None:
        self.path: Path = text.path
        self.bad_rows = 0
        self.chunk_rows = CHUNK_ROWS
        self._text, self._sep, self._skip_bad_rows = text, sep, skip_bad_rows
        with self._reader() as reader:
            self._header = self._read_header(reader)
        self.columns = column_names(self.path, self._header, None if sep_said else sep)

    def chunks(self) -> Iterator[list[Cells]]:
        """See `Table`. Blank lines are no rows, as in pandas."""
        self.bad_rows = 0
        with self._reader() as reader:
            if self._read_header(reader) != self._header:
                raise changed(self.path)
            while rows := list(islice(reader, self.chunk_rows)):
                if self._is_end(rows[-1], reader):
                    rows.pop()
                if rows := self._rectangular(rows):
                    yield list(map(tuple, rows))

    def line_of(self, row: int) -> int:
        """The line on which a row starts (rows counted from 0, those left out not counted)."""
        with self._reader() as reader:
            whole = (line for line, cells in self._numbered(reader) if len(cells) == len(self._header))
            return next(islice(whole, row, None), 0)

    @contextmanager
    def _reader(self) -> Iterator["Reader"]:
        with self._text.lines() as lines:
            csv.field_size_limit(_LARGEST_CELL)
            reader = csv.reader(chain(lines, [f"{_NUL}{self._sep}{_NUL}"]), delimiter=self._sep)
            try:
                yield reader
            except csv.Error as error:
                raise self._no_csv(reader, error) from None

    def _read_header(self, reader: "Reader") -> list[str]:
        for record in reader:
            if self._is_end(record, reader):
                break
            if not _is_blank(record):
                return record
        raise InputError(
            f"{self.path} has no header: all its lines are blank",
            "The first line must hold the columns' names.",
        )

    def _rectangular(self, rows: list[list[str]]) -> list[list[str]]:
        width = len(self._header)
        if width > 1 and set(map(len, rows)) == {width}:
            return rows
        rows = [row for row in rows if not _is_blank(row)]
        whole = [row for row in rows if len(row) == width]
        if len(whole) < len(rows) and not self._skip_bad_rows:
            raise self._ragged()
        self.bad_rows += len(rows) - len(whole)
        return whole

    def _numbered(self, reader: "Reader") -> Iterator[tuple[int, list[str]]]:
        """Data rows with the line on which each starts."""
        self._read_header(reader)
        line = reader.line_num
        for record in reader:
            if self._is_end(record, reader):
                return
            if not _is_blank(record):
                yield line + 1, record
            line = reader.line_num

    def _is_end(self, record: list[str], reader: "Reader") -> bool:
        if record == [_NUL, _NUL]:
            return True
        if record and record[-1].endswith(_NUL):
            raise self._open_quote(record[-1], reader.line_num)
        return False

    def _open_quote(self, cell: str, last_line: int) -> InputError:
        text = cell[: -len(f"{_NUL}{self._sep}{_NUL}")]
        ends = _LINE_END.findall(text)
        within = len(ends) - text.endswith(("\r", "\n"))
        return InputError(
            f"{self.path}, line {last_line - 1 - within}: a quote opens here and is never closed",
            'Close it, or write a quote that belongs to the text as "" within a quoted cell.',
        )

    def _ragged(self) -> InputError:
        width = len(self._header)
        with self._reader() as reader:
            total, found = _count_bad(self._numbered(reader), width)
        shown = ", ".join(f"line {line} has {cells}" for line, cells in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        return InputError(
            f"{self.path}: {len(found):,} of {total:,} rows do not have the header's {width:,} cells: {shown}{more}",
            "Quote cells that hold the separator, or leave such rows out with --bad-rows skip.",
        )

    def _no_csv(self, reader: "Reader", error: csv.Error) -> InputError:
        if "field larger" in str(error):
            return InputError(
                f"{self.path}, line {reader.line_num}: a cell is larger than {_LARGEST_CELL >> 20} MiB",
                "Probably a quote was left open some lines above: close it.",
            )
        return InputError(f"{self.path}, line {reader.line_num}: {error}", "Export the table as CSV again.")


def _is_blank(record: list[str]) -> bool:
    """Nothing, or one cell of only spaces and tabs. (A line that holds just `""` is an empty cell, no blank.)

    The `csv` module does not tell whether a cell was quoted, so `" "` alone on its line is blank too.
    """
    return not record or (len(record) == 1 and record[0] != "" and not record[0].strip(" \t"))


def _count_bad(rows: Iterable[tuple[int, list[str]]], width: int) -> tuple[int, list[tuple[int, int]]]:
    total, found = 0, []
    for total, (line, cells) in enumerate(rows, 1):  # noqa: B007 (the last number is the count)
        if len(cells) != width:
            found.append((line, len(cells)))
    return total, found
