"""JSON Lines: one object a line. Read by the standard `json`, which keeps large integers exact."""

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from batchrun.errors import InputError

from .decoding import TextFile
from .files import changed
from .interface import CHUNK_BYTES, CHUNK_ROWS, Cells

_DEEPEST = 200


class JsonLinesTable:
    """A JSON Lines file; a key that an object lacks is None.

    Without `columns` they are collected while chunks are read, in order of first appearance, and a chunk has
    a cell for each column met so far. With `columns`, from an earlier scan, a new key means that the file
    has changed.
    """

    kind = "jsonl"
    missing: tuple[str, ...] = ()

    def __init__(self, text: TextFile, columns: tuple[str, ...] | None, *, skip_bad_rows: bool) -> None:
        self.path: Path = text.path
        self.columns = columns or ()
        self.bad_rows = 0
        self.chunk_rows = CHUNK_ROWS
        self._text, self._known, self._skip_bad_rows = text, columns is not None, skip_bad_rows

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        self.bad_rows = 0
        found: list[dict[str, Any]] = []
        size = 0
        with self._text.lines(newline="\n") as lines:
            for record, length in self._records(lines):
                found.append(record)
                size += length
                if len(found) == self.chunk_rows or size >= CHUNK_BYTES:
                    yield self._cells(found)
                    found, size = [], 0
            if found:
                yield self._cells(found)

    def _cells(self, found: list[dict[str, Any]]) -> list[Cells]:
        self._meet(found)
        columns = self.columns
        return [tuple(map(record.get, columns)) for record in found]

    def _records(self, lines: Iterable[str]) -> Iterator[tuple[dict[str, Any], int]]:
        """Each object with the length of its line."""
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                record = _object(line)
            except ValueError as error:
                if not self._skip_bad_rows:
                    raise self._no_object(number, error) from None
                self.bad_rows += 1
            else:
                yield record, len(line)

    def _meet(self, records: Iterable[dict[str, Any]]) -> None:
        columns = dict.fromkeys(self.columns)
        for record in records:
            if not record.keys() <= columns.keys():
                columns |= dict.fromkeys(record)
        if self._known and len(columns) > len(self.columns):
            raise changed(self.path)
        self.columns = tuple(columns)

    def _no_object(self, number: int, error: ValueError) -> InputError:
        return InputError(
            f"{self.path}, line {number}: not a JSON object ({error})",
            "Each line must hold one whole object (jq -c writes such files); "
            "leave other lines out with --bad-rows skip.",
        )


def _object(line: str) -> dict[str, Any]:
    """The object on a line. Raises `ValueError` with the reason if there is none."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"found {_NAMES.get(type(value), 'a number')}")
    # Counting brackets first spares nearly all lines the walk.
    if line.count("[") + line.count("{") > _DEEPEST and _is_deep(value):
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _members(outer)]
    return bool(level)


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_NAMES = {list: "an array", str: "text", bool: "true or false", type(None): "null"}
