"""JSON Lines, and JSON: one object a row, with all that is known of it. Results stand as they were stored, unparsed."""

from collections.abc import Iterator
from typing import IO, Any

from batchrun.outcome.export.joined import Outcome
from batchrun.outcome.export.json_value import json_of
from batchrun.outcome.export.view import Results
from batchrun.table.convert import converter


def write(results: Results, sink: IO[bytes]) -> int:
    """Write JSON Lines; returns the number of rows."""
    return _write(results, sink, b"")


def write_array(results: Results, sink: IO[bytes]) -> int:
    """Write one JSON array, an element a line; returns the number of rows."""
    sink.write(b"[")
    rows = _write(results, sink, b",")
    sink.write(b"\n]\n" if rows else b"]\n")
    return rows


def _write(results: Results, sink: IO[bytes], between: bytes) -> int:
    rows = 0
    for lines in object_pages(results):
        if between:
            sink.write((between if rows else b"") + b"\n" + (between + b"\n").join(lines))
        else:
            sink.write(b"\n".join([*lines, b""]))
        rows += len(lines)
    return rows


def object_pages(results: Results) -> Iterator[list[bytes]]:
    """An object for each row, some rows at a time."""
    typed = converter(results.table.columns, results.types, results.table.missing)
    for chunk, page in results.pages():
        yield list(map(_object, typed(chunk), page))


def _object(cells: dict[str, Any], outcome: Outcome) -> bytes:
    row, status, body, how, _, error, note = outcome
    return b'{"row":%d,"status":"%b",%b"result":%b,"how":%b,"error":%b%b}' % (
        row,
        status.encode(),
        b'"input":%b,' % json_of(cells) if cells else b"",
        body or b"null",
        b"null" if how is None else b'"%b"' % how.encode(),
        b"null" if error is None else json_of(error),
        b"" if note is None else b',"note":%b' % json_of(note),
    )
