"""CSV and TSV: the input's cells as they were, then one column for each key of the results.

Text stands as it is, null is empty, true and false are words, arrays and objects are JSON text.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import IO, Any

from batchrun.outcome.export.json_value import text_of
from batchrun.outcome.export.view import Results, values
from batchrun.table.csv_files import CsvFiles
from batchrun.table.csv_table import CsvTable

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
    rows, table = 0, results.table
    chunks: Iterable[list[Any]] = (
        table.line_chunks(separator) if isinstance(table, CsvTable | CsvFiles) else table.chunks()
    )
    for chunk, page in results.beside(chunks):
        found = values(page)
        if results.hasty:
            columns.check(compress(found, page.bodies))
        more = [*map(_plain, columns.cells(found)), *results.told(page)]
        if type(chunk[0]) is str:
            sink.write(_glued(chunk, more, separator).encode("utf-8", "backslashreplace"))
        else:
            own = map(_plain, zip(*chunk, strict=True))
            sink.write(_encoded(list(zip(*own, *more, strict=True)), separator))
        rows += len(page)
    return rows


def _glued(lines: Sequence[str], more: Sequence[Sequence[Any]], separator: str) -> str:
    """Lines of the table as they stand, with further cells behind each. What might need quotes goes through `csv`."""
    texts = [_texts(column, separator) for column in more]
    if None not in texts:
        return "\n".join([*map(separator.join, zip(lines, *texts, strict=True)), ""])
    tails = _Each()
    csv.writer(tails, delimiter=separator, lineterminator=_LINE_END).writerows(zip(*more, strict=True))
    return "".join(map(separator.join, zip(lines, tails, strict=True)))


def _texts(column: Sequence[Any], separator: str) -> Sequence[str] | None:
    """The cells as text; None if one of them might need quotes."""
    found = set(map(type, column))
    if found == {type(None)}:
        return [""] * len(column)
    if found == {str}:
        texts = column
    elif type(None) in found:
        texts = ["" if cell is None else str(cell) for cell in column]
    else:
        return list(map(str, column))  # numbers
    joined = "\0".join(texts)
    return None if any(character in joined for character in ('"', separator, "\n", "\r")) else texts


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
