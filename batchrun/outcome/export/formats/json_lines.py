"""JSON Lines: one object a row, with all that is known of it. Results stand as they were stored, unparsed."""

from typing import IO, Any

from batchrun.outcome.export.joined import Outcome
from batchrun.outcome.export.json_value import json_of
from batchrun.outcome.export.view import Results
from batchrun.table.convert import converter


def write(results: Results, sink: IO[bytes]) -> int:
    """Write JSON Lines; returns the number of rows."""
    typed = converter(results.table.columns, results.types, results.table.missing)
    rows = 0
    for chunk, page in results.pages():
        sink.write(b"".join(map(_line, typed(chunk), page)))
        rows += len(page)
    return rows


def _line(cells: dict[str, Any], outcome: Outcome) -> bytes:
    row, status, body, how, _, error, note = outcome
    return b'{"row":%d,"status":"%b","input":%b,"result":%b,"how":%b,"error":%b%b}\n' % (
        row,
        status.encode(),
        json_of(cells),
        body or b"null",
        b"null" if how is None else b'"%b"' % how.encode(),
        b"null" if error is None else json_of(error),
        b"" if note is None else b',"note":%b' % json_of(note),
    )
