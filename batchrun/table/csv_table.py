"""CSV: it is never padded, shifted or retyped, and what is not a table is named with its line.

Blocks of whole lines are cut into cells by `tokens`. Whatever is wrong is looked for again, record by record,
so that only errors pay for counting lines.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from batchrun.errors import InputError

from .changes import changed
from .decoding import TextFile
from .escapes import misplaced_quotes
from .header import column_names
from .interface import CHUNK_ROWS, Cells
from .pages import PAGE_BYTES, Blocks, Known, Page, Walk
from .ragged import Place, census, ragged
from .tokens import NUL, Column, columns, reader_of, records
from .top import Layout, Numbered, is_bare

if TYPE_CHECKING:
    from _csv import Reader

_LINE_END = re.compile("\r\n|\r|\n")


class Piece(NamedTuple):
    """Some rows by columns. `text`: what they were read from, if a page can be made of it. `bad_rows`: left out.

    `empty_rows`: see `Page`.
    """

    cells: list[Column]
    text: str | None
    bad_rows: int = 0
    empty_rows: int = 0

    @property
    def rows(self) -> int:
        return len(self.cells[0])


@dataclass(slots=True)
class _Ending:
    """Rows of separators only at the end of what has been read: they are none if the file ends there.

    `rows`: those of the right width. `bad`: others.
    """

    rows: int = 0
    bad: int = 0

    def take(self, text: str, row: str) -> None:
        lines = Counter(filter(None, _LINE_END.split(text)))
        self.rows += lines[row]
        self.bad += lines.total() - lines[row]


class InPieces:
    """A CSV table that is read in `pieces`; see `CsvTable`."""

    kind = "csv"

    def pieces(self, known: Known) -> Iterator[Page | Piece]:
        """See `CsvTable`."""
        raise NotImplementedError

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`. Blank lines are not rows, as in pandas."""
        for cells in self.column_chunks():
            yield list(zip(*cells, strict=True))

    def column_chunks(self) -> Iterator[list[Column]]:
        """The same chunks by columns, one for each of `columns`. None is without a row."""
        for piece in self.pieces({}):
            if isinstance(piece, Piece):  # nothing is known
                yield piece.cells


class CsvTable(InPieces):
    """A CSV file."""

    def __init__(self, text: TextFile, layout: Layout, *, skip_bad_rows: bool) -> None:
        self.path: Path = text.path
        self.bad_rows = self.empty_rows = 0
        self.missing: tuple[str, ...] = ()
        self.block_bytes = PAGE_BYTES
        self._text, self._layout, self._skip_bad_rows = text, layout, skip_bad_rows
        self._dialect, self._sep = layout.dialect, layout.dialect.sep
        self._top, self._header = self._read_top()
        if layout.header:
            self.columns = column_names(self.path, self._header[1], None if layout.sep_said else self._sep)
        else:
            self.columns = tuple(f"column{place}" for place in range(1, len(self._header[1]) + 1))

    def line_chunks(self, sep: str) -> Iterator[list[str] | list[Cells]]:
        """The same chunks as `chunks`; as lines, where these are what any writer makes of the cells with `sep`."""
        return self.lines_of_pieces(self.pieces({}), sep)

    def lines_of_pieces(self, pieces: Iterable[Page | Piece], sep: str) -> Iterator[list[str] | list[Cells]]:
        """See `line_chunks`; of pieces of any file that is like this one."""
        plain = sep == self._sep and not self._dialect.escape and len(self.columns) > 1
        for piece in pieces:
            if isinstance(piece, Piece):
                lines = _lines_of(piece.text) if plain and piece.text else []
                yield lines if len(lines) == piece.rows else list(zip(*piece.cells, strict=True))

    def pieces(self, known: Known) -> Iterator[Page | Piece]:
        """All rows in order: known pages that are met again, and what is read between them.

        Rows of separators only are none where nothing but such rows is below them.
        """
        self.bad_rows = self.empty_rows = 0
        ending = _Ending()
        with self._text.blocks(self.block_bytes, known) as blocks:
            text = self._below_top(blocks)
            while True:
                if text:
                    yield from self._piece(text, blocks, ending)
                    text = ""
                elif page := blocks.page():
                    yield from self._amid(ending)
                    self.bad_rows += page.bad_rows
                    self.empty_rows += page.empty_rows
                    yield page
                elif not (text := blocks.text()):
                    return

    def _below_top(self, blocks: Blocks) -> str:
        """The text below the header. What stands above is never a known page: there are no rows like it."""
        text = _at_least(len(self._top), blocks)
        if not text.startswith(self._top):
            raise changed(self.path)
        return text[len(self._top) :]

    def _piece(self, text: str, blocks: Blocks, ending: _Ending) -> Iterator[Piece]:
        width, found = len(self.columns), None
        cells = columns(text, self._sep, width)
        if cells is None:
            found, text = self._records(text, blocks)
        if (end := _end_of_rows(text, self._sep)) < len(text) and width > 1:
            text, below = text[:end], text[end:]
            cells = columns(text, self._sep, width)
            found = None if cells else self._cut(text)
        else:
            below = ""
        if text:
            yield from self._amid(ending)
            before = self.bad_rows
            if cells is None:
                cells = list(zip(*self._rectangular(found or []), strict=True))
            if cells:
                empty_rows = _empty_rows(cells)
                self.empty_rows += empty_rows
                yield Piece(cells, text if isinstance(blocks, Walk) else None, self.bad_rows - before, empty_rows)
        ending.take(below, self._sep * (width - 1))

    def _amid(self, ending: _Ending) -> Iterator[Piece]:
        """Rows of separators that were held back, now that others come below them."""
        if ending.bad and not self._skip_bad_rows:
            raise self.ragged()
        self.bad_rows += ending.bad
        self.empty_rows += ending.rows
        for first in range(0, ending.rows, CHUNK_ROWS):
            yield Piece([("",) * min(CHUNK_ROWS, ending.rows - first)] * len(self.columns), None)
        ending.rows = ending.bad = 0

    def _records(self, text: str, blocks: Blocks) -> tuple[list[list[str]], str]:
        """The records of a block, with the blocks after it while a quote is open; and all their text."""
        while (found := self._cut(text)) is None:
            more = _at_least(len(text), blocks)
            if not more:
                self._complain()
            text += more
        return found, text

    def _cut(self, text: str) -> list[list[str]] | None:
        """See `records`. Text after a closing quote belongs to the cell, unless it holds a quote, or looks escaped."""
        try:
            try:
                return records(text, self._dialect)
            except csv.Error:
                lines = io.StringIO(text, newline="")
                if any(misplaced_quotes(lines, self._dialect)):
                    raise self._misplaced() from None
                return records(text, self._dialect, strict=False)
        except csv.Error:
            self._complain()

    def _complain(self) -> NoReturn:
        """Read record by record, which raises for what is wrong."""
        with self._reader() as reader:
            for _ in self._numbered(reader):
                pass
        raise changed(self.path)

    def is_like(self, other: "CsvTable") -> bool:
        """Whether the same bytes are the same rows in both."""
        return (self.columns, self._dialect) == (other.columns, other._dialect)

    def where(self, row: int) -> str:
        """The file and the line on which a row starts (rows counted from 0, those left out not counted)."""
        return f"{self.path}, line {self.lines_of([row])[row]}"

    def lines_of(self, rows: Collection[int]) -> dict[int, int]:
        """The lines on which some rows start, found in one pass."""
        with self._reader() as reader:
            whole = (line for line, cells in self._numbered(reader) if len(cells) == len(self.columns))
            numbered = enumerate(islice(whole, max(rows, default=-1) + 1))
            return dict.fromkeys(rows, 0) | {row: line for row, line in numbered if row in rows}

    @contextmanager
    def _reader(self, seen: list[str] | None = None) -> Iterator["Reader"]:
        """A reader of the lines below those that are passed over. `seen` receives all lines as they are read."""
        with self._text.lines() as lines:
            told = lines if seen is None else _recorded(lines, seen)
            rest = iter(told)
            for _ in islice(rest, self._layout.above):
                pass
            reader = reader_of(rest, self._dialect)
            try:
                yield reader
            except csv.Error as error:
                raise self._no_csv(reader, error) from None

    def _read_top(self) -> tuple[str, Numbered]:
        """All text above the rows, and the header with its line, or the first row if there is none."""
        seen: list[str] = []
        with self._reader(seen) as reader:
            header = self._read_header(reader)
        if not self._layout.header:
            return "".join(seen[: self._layout.above]), header
        return "".join(seen), header

    def _read_header(self, reader: "Reader") -> Numbered:
        line = reader.line_num
        for record in reader:
            if self._is_end(record, reader):
                break
            if not _is_blank(record) and not (self._layout.header and is_bare(record)):
                return self._layout.above + line + 1, record
            line = reader.line_num
        if self._layout.above:
            raise InputError(
                f"{self.path} has nothing below the skipped lines ({self._layout.above:,})",
                "Give a smaller --skip-lines.",
            )
        raise InputError(
            f"{self.path} has no header: all its lines are blank",
            "The first line must hold the columns' names.",
        )

    def _rectangular(self, rows: list[list[str]]) -> list[list[str]]:
        width = len(self.columns)
        if width > 1 and set(map(len, rows)) == {width}:
            return rows
        rows = [row for row in rows if not _is_blank(row)]
        whole = [row for row in rows if len(row) == width]
        if len(whole) < len(rows) and not self._skip_bad_rows:
            raise self.ragged()
        self.bad_rows += len(rows) - len(whole)
        return whole

    def _numbered(self, reader: "Reader") -> Iterator[Numbered]:
        """Data rows with the line on which each starts."""
        if self._layout.header:
            self._read_header(reader)
        line = reader.line_num
        for record in reader:
            if self._is_end(record, reader):
                return
            if not _is_blank(record):
                yield self._layout.above + line + 1, record
            line = reader.line_num

    def _is_end(self, record: list[str], reader: "Reader") -> bool:
        if record == [NUL, NUL]:
            return True
        if record and record[-1].endswith(NUL):
            raise self._open_quote(record[-1], self._layout.above + reader.line_num)
        return False

    def _open_quote(self, cell: str, last_line: int) -> InputError:
        text = cell[: -len(f"{NUL}{self._sep}{NUL}")]
        ends = _LINE_END.findall(text)
        within = len(ends) - text.endswith(("\r", "\n"))
        where = f"{self.path}, line {last_line - 1 - within}: a quote opens here and is never closed"
        if '\\"' in text and not self._dialect.escape:
            return InputError(where, "If a backslash escapes quotes, read them with --escape '\\'; otherwise close it.")
        return InputError(
            where,
            'Close it, or write a quote that belongs to the text as "" within a quoted cell.',
        )

    def _misplaced(self) -> InputError:
        """The error for a quote that has ended a cell too early."""
        with self._text.lines() as lines:
            for _ in islice(rest := iter(lines), self._layout.above):
                pass
            number, escaped = next(misplaced_quotes(rest, self._dialect), (0, False))
        line = self._layout.above + number
        if escape := self._dialect.escape:
            return InputError(
                f"{self.path}, line {line}: text follows a closing quote although --escape {escape} is given",
                "Drop --escape if quotes are doubled; otherwise correct the cell.",
            )
        if not escaped:
            return InputError(
                f"{self.path}, line {line}: a quote within a quoted cell is not doubled",
                'Write it as "" there, or export the table again with such quotes doubled.',
            )
        return InputError(
            f"{self.path}, line {line}: a quote within a cell is escaped by a backslash",
            "Read the table with --escape '\\', or export it with such quotes doubled.",
        )

    def ragged(self) -> InputError:
        """The error for rows that do not have the header's number of cells."""
        with self._reader() as reader:
            found = census(self._numbered(reader), len(self.columns))
        ends = len(_LINE_END.findall(self._top))
        return ragged(Place(self.path, self._text.encoding, self._layout, self._header, ends), found)

    def _no_csv(self, reader: "Reader", error: csv.Error) -> InputError:
        where = f"{self.path}, line {self._layout.above + reader.line_num}"
        if "field larger" in str(error):
            return InputError(
                f"{where}: a cell is larger than {csv.field_size_limit() >> 20} MiB",
                "Probably a quote was left open some lines above: close it.",
            )
        return InputError(f"{where}: {error}", "Export the table as CSV again.")


def _is_blank(record: list[str]) -> bool:
    """Nothing, or one cell of only spaces and tabs. (A line that holds just `""` is an empty cell, no blank.)

    The `csv` module does not tell whether a cell was quoted, so `" "` alone on its line is blank too.
    """
    return not record or (len(record) == 1 and record[0] != "" and not record[0].strip(" \t"))


def _lines_of(text: str) -> list[str]:
    """The lines of a text without quotes and carriage returns; of others none."""
    return [] if '"' in text or "\r" in text else text.removesuffix("\n").split("\n")


def _at_least(size: int, blocks: Blocks) -> str:
    """The next blocks, of `size` characters in all if there are so many."""
    found: list[str] = []
    while size > 0 and (text := blocks.text()):
        found.append(text)
        size -= len(text)
    return "".join(found)


def _recorded(lines: Iterable[str], seen: list[str]) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line


def _end_of_rows(text: str, sep: str) -> int:
    """Where the last row with anything but separators ends, if there are such rows below it; else the text's end."""
    filled = len(text.rstrip(f"{sep}\r\n"))
    line = _LINE_END.search(text, filled) if filled else None
    end = line.end() if line else 0 if not filled else len(text)
    return end if sep in text[end:] else len(text)


def _empty_rows(cells: list[Column]) -> int:
    """How many rows are separators only; asked of all of them only if there may be some."""
    if len(cells) < 2 or "" not in cells[0] or "" not in cells[-1]:
        return 0
    return sum(not any(row) for row in zip(*cells, strict=True))
