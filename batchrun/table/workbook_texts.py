"""The texts of a workbook's cells, which it holds once each, before its sheets: in a file of ours, not in memory."""

from array import array
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryFile
from typing import IO, Any
from xml.etree.ElementTree import iterparse

from openpyxl.cell.text import Text
from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

_TEXT = f"{{{SHEET_MAIN_NS}}}si"


@contextmanager
def opened_workbook(file: IO[bytes]) -> Iterator[Any]:
    """The workbook in this file, as `openpyxl.load_workbook` returns it for reading only. Raises what that raises."""
    with TemporaryFile() as kept:
        reader = _Reader(file, kept)
        reader.read()
        with closing(reader.wb) as book:
            yield book


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
