"""CSV: it is never padded, shifted or retyped, and what is no table is named with its line.

Blocks of whole lines are cut into cells by `tokens`. Whatever is wrong is looked for again, record by record,
so that only errors pay for counting lines.
"""

import csv
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from batchrun.errors import InputError

from .files import changed
from .header import column_names
from .pages import PAGE_BYTES, Blocks, Page, Walk
from .table import Cells
from .text import TextFile
from .tokens import NUL, Column, columns, reader_of, records

if TYPE_CHECKING:
    from _csv import Reader

_SHOWN = 3
_LINE_END = re.compile("\r\n|\r|\n")


class Piece(NamedTuple):
    """Some rows by columns. `text`: what they were read from, if a page can be made of it. `bad_rows`: left out."""

    cells: list[Column]
    text: str | None
    bad_rows: int


class CsvTable:
    """A CSV file; `sep_said` tells whether the user chose the separator."""

    kind = "csv"

    def __init__(self, text: TextFile, sep: str, *, sep_said: bool, skip_bad_rows: bool) -> None:
        self.path: Path = text.path
        self.bad_rows = 0
        self.missing: tuple[str, ...] = ()
        self.block_bytes = PAGE_BYTES
        self._text, self._sep, self._skip_bad_rows = text, sep, skip_bad_rows
        with self._reader() as reader:
            self._header = self._read_header(reader)
        self.columns = column_names(self.path, self._header, None if sep_said else sep)

    def chunks(self) -> Iterator[list[Cells]]:
        """See `Table`. Blank lines are no rows, as in pandas."""
        for cells in self.column_chunks():
            yield list(zip(*cells, strict=True))

    def column_chunks(self) -> Iterator[list[Column]]:
        """The same chunks by columns, one for each of `columns`. None is without a row."""
        for piece in self.pieces(()):
            if isinstance(piece, Piece):  # nothing is known
                yield piece.cells

    def pieces(self, known: Iterable[Page]) -> Iterator[Page | Piece]:
        """All rows in order: known pages that are met again, and what is read between them."""
        self.bad_rows = 0
        with self._text.blocks(self.block_bytes, known) as blocks:
            yield from self._first(blocks)
            while True:
                if page := blocks.page():
                    self.bad_rows += page.bad_rows
                    yield page
                elif text := blocks.text():
                    yield from self._piece(text, blocks)
                else:
                    return

    def _first(self, blocks: Blocks) -> Iterator[Piece]:
        """What stands in the block with the header, which is never a known page: there are no rows like it."""
        while text := blocks.text():
            found, _ = self._records(text, blocks)
            place = next((place for place, record in enumerate(found) if not _is_blank(record)), None)
            if place is not None:
                if found[place] != self._header:
                    break
                if rows := self._rectangular(found[place + 1 :]):
                    yield Piece(list(zip(*rows, strict=True)), None, 0)
                return
        raise changed(self.path)

    def _piece(self, text: str, blocks: Blocks) -> Iterator[Piece]:
        before = self.bad_rows
        cells = columns(text, self._sep, len(self._header))
        if cells is None:
            found, text = self._records(text, blocks)
            cells = list(zip(*self._rectangular(found), strict=True))
        if cells:
            yield Piece(cells, text if isinstance(blocks, Walk) else None, self.bad_rows - before)

    def _records(self, text: str, blocks: Blocks) -> tuple[list[list[str]], str]:
        """The records of a block, with the blocks after it while a quote is open; and all their text."""
        try:
            while (found := records(text, self._sep)) is None:
                more = _at_least(len(text), blocks)
                if not more:
                    self._complain()
                text += more
        except csv.Error:
            self._complain()
        return found, text

    def _complain(self) -> NoReturn:
        """Read record by record, which raises for what is wrong."""
        with self._reader() as reader:
            for _ in self._numbered(reader):
                pass
        raise changed(self.path)

    def line_of(self, row: int) -> int:
        """The line on which a row starts (rows counted from 0, those left out not counted)."""
        return self.lines_of([row])[row]

    def lines_of(self, rows: Collection[int]) -> dict[int, int]:
        """The lines on which some rows start, found in one pass."""
        with self._reader() as reader:
            whole = (line for line, cells in self._numbered(reader) if len(cells) == len(self._header))
            numbered = enumerate(islice(whole, max(rows, default=-1) + 1))
            return dict.fromkeys(rows, 0) | {row: line for row, line in numbered if row in rows}

    @contextmanager
    def _reader(self) -> Iterator["Reader"]:
        with self._text.lines() as lines:
            reader = reader_of(lines, self._sep)
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
        if record == [NUL, NUL]:
            return True
        if record and record[-1].endswith(NUL):
            raise self._open_quote(record[-1], reader.line_num)
        return False

    def _open_quote(self, cell: str, last_line: int) -> InputError:
        text = cell[: -len(f"{NUL}{self._sep}{NUL}")]
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
                f"{self.path}, line {reader.line_num}: a cell is larger than {csv.field_size_limit() >> 20} MiB",
                "Probably a quote was left open some lines above: close it.",
            )
        return InputError(f"{self.path}, line {reader.line_num}: {error}", "Export the table as CSV again.")


def _is_blank(record: list[str]) -> bool:
    """Nothing, or one cell of only spaces and tabs. (A line that holds just `""` is an empty cell, no blank.)

    The `csv` module does not tell whether a cell was quoted, so `" "` alone on its line is blank too.
    """
    return not record or (len(record) == 1 and record[0] != "" and not record[0].strip(" \t"))


def _at_least(size: int, blocks: Blocks) -> str:
    """The next blocks, of `size` characters in all if there are so many."""
    found: list[str] = []
    while size > 0 and (text := blocks.text()):
        found.append(text)
        size -= len(text)
    return "".join(found)


def _count_bad(rows: Iterable[tuple[int, list[str]]], width: int) -> tuple[int, list[tuple[int, int]]]:
    total, found = 0, []
    for total, (line, cells) in enumerate(rows, 1):  # noqa: B007 (the last number is the count)
        if len(cells) != width:
            found.append((line, len(cells)))
    return total, found
