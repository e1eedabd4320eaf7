"""CSV and TSV: the input's cells as they were, then one column for each key of the results.

Text stands as it is, null is empty, true and false are words, arrays and objects are JSON text.
"""

import csv
import io
from collections.abc import Sequence
from itertools import compress
from typing import IO, Any

from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results, values

_AS_THEY_ARE = {str, int, float, type(None)}  # as csv writes them
_BOOLEANS = {bool, type(None)}
_WORDS = {True: "true", False: "false", None: None}
_LINE_END = "\r\n"


def write_csv(results: Results, sink: IO[bytes]) -> int:
    """Write CSV; returns the number of rows."""
    return _write(results, sink, ",")


def write_tsv(results: Results, sink: IO[bytes]) -> int:
    """Write CSV with tabs; returns the number of rows."""
    return _write(results, sink, "\t")


def _write(results: Results, sink: IO[bytes], separator: str) -> int:
    columns = results.first_columns() if results.hasty else results.columns()
    names = (*results.table.columns, *columns.names, *columns.told)
    sink.write(_encoded([names], separator))
    rows = 0
    for chunk, page in results.pages():
        found = values(page)
        if results.hasty:
            columns.check(compress(found, page.bodies))
        cells: list[Sequence[Any]] = [*zip(*chunk, strict=True), *columns.cells(found)]
        sink.write(_encoded(list(zip(*map(_plain, cells), *results.told(page), strict=True)), separator))
        rows += len(page)
    return rows


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    found = set(map(type, column))
    if found <= _AS_THEY_ARE:
        return column
    if found <= _BOOLEANS:
        return [_WORDS[cell] for cell in column]
    return [cell if type(cell) in _AS_THEY_ARE else text_of(cell) for cell in column]


def _encoded(records: list[tuple[Any, ...]], separator: str) -> bytes:
    return _text(records, separator).encode("utf-8", "backslashreplace")


def _text(records: list[tuple[Any, ...]], separator: str) -> str:
    """The records as lines that end in a line feed.

    Until Python 3.13, csv quotes a carriage return or line feed only if its own line end has it: so it is given
    both. Where no cell holds a carriage return, as nearly everywhere, all of them can be taken out at one go.
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=_LINE_END).writerows(records)
    if text.getvalue().count("\r") == len(records):
        return text.getvalue().replace("\r", "")
    lines = _Each()
    csv.writer(lines, delimiter=separator, lineterminator=_LINE_END).writerows(records)
    return "".join(lines)


class _Each(list[str]):
    """Takes csv's lines one by one."""

    def write(self, line: str) -> None:
        """What csv calls for each record."""
        self.append(line.removesuffix(_LINE_END) + "\n")
