"""CSV and TSV: the input's cells as they were, then one column for each key of the results.

Text stands as it is, null is empty, true and false are words, arrays and objects are JSON text.
"""

import csv
from collections.abc import Sequence
from typing import IO, Any

from batchrun.export.json_value import text_of
from batchrun.export.view import Results, messages, statuses, values

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
    columns = results.columns()
    lines = _Lines(sink, separator)
    lines.put([(*results.table.columns, *columns.names, columns.status, columns.error)])
    rows = 0
    for chunk, page in results.pages():
        cells: list[Sequence[Any]] = [*zip(*chunk, strict=True), *columns.cells(values(page))]
        lines.put(zip(*map(_plain, cells), statuses(page), messages(page), strict=True))
        rows += len(page)
    return rows


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    found = set(map(type, column))
    if found <= _AS_THEY_ARE:
        return column
    if found <= _BOOLEANS:
        return [_WORDS[cell] for cell in column]
    return [cell if type(cell) in _AS_THEY_ARE else text_of(cell) for cell in column]


class _Lines:
    """Records on their way to the file.

    Until Python 3.13, csv quotes a carriage return or line feed only if its own line end has it: so it is
    given both, and what is written ends in a line feed.
    """

    def __init__(self, sink: IO[bytes], separator: str) -> None:
        self._sink = sink
        self._lines: list[str] = []
        self._csv = csv.writer(self, delimiter=separator, lineterminator=_LINE_END)

    def write(self, line: str) -> None:
        """What csv calls for each record."""
        self._lines.append(line[: -len(_LINE_END)])

    def put(self, records: Any) -> None:
        """Write records."""
        self._csv.writerows(records)
        self._lines.append("")
        self._sink.write("\n".join(self._lines).encode("utf-8", "backslashreplace"))
        self._lines.clear()
