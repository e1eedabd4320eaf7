"""A workbook, read by openpyxl, but without what that keeps in memory: all texts, which a workbook holds once each and
before its sheets, and a remnant of every row.
"""

from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import repeat
from tempfile import TemporaryFile
from typing import IO, Any
from xml.etree.ElementTree import iterparse

from openpyxl.cell.text import Text
from openpyxl.reader.excel import ExcelReader
from openpyxl.worksheet._reader import ROW_TAG, WorkSheetParser
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from .interface import Cells

_TEXT, _ROWS = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("si", "sheetData"))


@contextmanager
def opened_workbook(file: IO[bytes]) -> Iterator[Any]:
    """The workbook in this file, as `openpyxl.load_workbook` returns it for reading only. Raises what that raises."""
    with TemporaryFile() as kept:
        reader = _Reader(file, kept)
        reader.read()
        with closing(reader.wb) as book:
            yield book


def rows_of_sheet(sheet: Any, first: int) -> Iterator[Cells]:
    """The sheet's rows, from the one with the number `first` on, as their values; those it leaves out are empty."""
    book, number = sheet.parent, first
    with sheet._get_source() as source:
        parser = _Parser(
            source, sheet._shared_strings, data_only=True, epoch=book.epoch,
            date_formats=book._date_formats, timedelta_formats=book._timedelta_formats,
        )  # fmt: skip
        for found, cells in parser.parse():
            if found >= number:
                yield from repeat((), found - number)
                yield sheet._get_row(cells, values_only=True)
                number = found + 1


class _Parser(WorkSheetParser):  # type: ignore[misc]
    """Openpyxl's own, but for what remains of each row."""

    def parse(self) -> Iterator[tuple[int, list[Any]]]:
        rows = None
        for step, node in iterparse(self.source, ("start", "end")):
            if step == "start":
                rows = node if node.tag == _ROWS else rows
            elif node.tag == ROW_TAG and rows is not None:
                yield self.parse_row(node)
                rows.clear()
                self.row_dimensions.clear()


class _Reader(ExcelReader):  # type: ignore[misc]
    """Openpyxl's own, but for where the texts go: into the file `kept`."""

    def __init__(self, file: IO[bytes], kept: IO[bytes]) -> None:
        super().__init__(file, read_only=True, data_only=True, keep_links=False)
        self._kept = kept

    def read_strings(self) -> None:
        part = self.package.find(SHARED_STRINGS)
        if part is not None:
            with self.archive.open(part.PartName[1:]) as source:
                self.shared_strings = _Texts(source, self._kept)


class _Texts:
    """The texts by their numbers, from 0."""

    def __init__(self, source: IO[bytes], kept: IO[bytes]) -> None:
        self._kept = kept
        self._ends = array("q", [0])
        for text in _texts_in(source):
            self._ends.append(self._ends[-1] + kept.write(text.encode("utf-8", "surrogatepass")))

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        self._kept.seek(start)
        return self._kept.read(end - start).decode("utf-8", "surrogatepass")


def _texts_in(source: IO[bytes]) -> Iterator[str]:
    steps = iterparse(source, ("start", "end"))
    _, table = next(steps)
    for step, node in steps:
        if step == "end" and node.tag == _TEXT:
            yield Text.from_tree(node).content.replace("x005F_", "")
            table.clear()
