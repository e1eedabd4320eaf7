"""CSV and TSV: the input's cells as they were, then one column for each key of the results.

Text stands as it is, null is empty, true and false are words, arrays and objects are JSON text. Cells are quoted where
Python's `csv` would quote them too. It is not asked: a column at a time takes a third of what a row at a time does.
"""

import re
from collections.abc import Iterable, Sequence
from typing import IO, Any

from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results
from batchrun.table.csv_files import CsvFiles
from batchrun.table.csv_table import CsvTable

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
    together = "\0".join(texts)
    if not any(character in together for character in ('"', separator, "\n", "\r")):
        return texts
    special = re.compile(f'["\r\n{separator}]').search
    return ['"{}"'.format(text.replace('"', '""')) if special(text) else text for text in texts]
