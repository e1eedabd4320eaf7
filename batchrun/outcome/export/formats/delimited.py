"""CSV and TSV: the input's cells as they were, then one column for each key of the results.

Text stands as it is, null is empty, true and false are words, arrays and objects are JSON text. What might need quotes
goes through Python's `csv`. Nearly all cells need none: so it is asked for cells, not for rows, which takes a third.
"""

import csv
from collections.abc import Iterable, Sequence
from typing import IO, Any

from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results
from batchrun.table.csv_files import CsvFiles
from batchrun.table.csv_table import CsvTable

_LINE_END = "\r\n"
_WORDS = {True: "true", False: "false", None: ""}


def write_csv(results: Results, sink: IO[bytes]) -> int:
    """Write CSV; returns the number of rows."""
    return _write(results, sink, ",")


def write_tsv(results: Results, sink: IO[bytes]) -> int:
    """Write CSV with tabs; returns the number of rows."""
    return _write(results, sink, "\t")


def _write(results: Results, sink: IO[bytes], separator: str) -> int:
    columns = results.first_columns() if results.hasty else results.columns()
    names = (*results.table.columns, *columns.names, *columns.told)
    sink.write(_encoded([_texts([name], separator) for name in names], separator))
    rows, table = 0, results.table
    chunks: Iterable[list[Any]] = (
        table.line_chunks(separator) if isinstance(table, CsvTable | CsvFiles) else table.chunks()
    )
    for chunk, page in results.beside(chunks):
        more = (*results.cells(page, columns), *results.told(page))
        # Lines of a CSV table that hold no quotes are written as they stand.
        own = [chunk] if type(chunk[0]) is str else [_texts(column, separator) for column in zip(*chunk, strict=True)]
        sink.write(_encoded([*own, *(_texts(column, separator) for column in more)], separator))
        rows += len(page)
    return rows


def _encoded(columns: list[Sequence[str]], separator: str) -> bytes:
    """Lines of cells that need no quotes any more."""
    end, rows = "\n", len(columns[0])
    while len(columns) > 1 and columns[-1].count(columns[-1][0]) == rows:  # what is told is nearly always the same
        end = f"{separator}{columns.pop()[0]}{end}"
    return end.join([*map(separator.join, zip(*columns, strict=True)), ""]).encode("utf-8", "backslashreplace")


def _texts(column: Sequence[Any], separator: str) -> Sequence[str]:
    """Cells as they are written."""
    if isinstance(column[0], str | None) and column.count(column[0]) == len(column):  # one stands for all
        return [*_quoted([column[0] or ""], separator)] * len(column)
    kinds = set(map(type, column))
    if kinds <= {int, float}:
        return list(map(str, column))
    if kinds <= {bool, type(None)}:
        return [_WORDS[cell] for cell in column]
    return _quoted(column if kinds == {str} else list(map(_text, column)), separator)


def _text(cell: Any) -> str:
    if type(cell) is str:
        return cell
    return str(cell) if type(cell) in (int, float) else text_of(cell)


def _quoted(texts: Sequence[str], separator: str) -> Sequence[str]:
    special = ('"', separator, "\n", "\r")
    together = "\0".join(texts)
    if not any(character in together for character in special):
        return texts
    # Until Python 3.13, csv quotes a carriage return or a line feed only if its own line end has it.
    quote = csv.writer(_Line(), delimiter=separator, lineterminator=_LINE_END).writerow
    return [quote((text,)).removesuffix(_LINE_END) if text else "" for text in texts]


class _Line:
    """Lets `writerow` return the line."""

    def write(self, line: str) -> str:
        """What csv calls for each record."""
        return line
