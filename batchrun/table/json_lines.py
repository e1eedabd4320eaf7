"""JSON Lines: one object a line. Read by the standard `json`, which keeps large integers exact."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from batchrun.core.suggest import listing
from batchrun.errors import InputError

from .changes import changed
from .decoding import TextFile
from .header import check_distinct
from .interface import CHUNK_BYTES, CHUNK_ROWS, Cells
from .members import FILE_COLUMN, file_cell

_DEEPEST = 200


class JsonLinesTable:
    """A JSON Lines file, or several one after the other; a key that an object lacks is None.

    Without `columns` they are collected while chunks are read, in order of first appearance, and a chunk has
    a cell for each column met so far. With `columns`, from an earlier scan, a new key means that the file
    has changed.
    """

    kind = "jsonl"
    missing: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        opened: Callable[[Path], TextFile],
        columns: tuple[str, ...] | None,
        *,
        skip_bad_rows: bool,
        file_column: bool = False,
    ) -> None:
        self.path = path
        self.columns = columns or ()
        self.bad_rows = 0
        self.chunk_rows = CHUNK_ROWS
        self._files, self._opened, self._file_column = files, opened, file_column
        self._known, self._skip_bad_rows = columns is not None, skip_bad_rows

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        self.bad_rows = 0
        for file in self._files:
            with self._opened(file).lines(newline="\n") as lines:
                yield from self._chunks_of(file, lines)

    def _chunks_of(self, file: Path, lines: Iterable[str]) -> Iterator[list[Cells]]:
        found: list[dict[str, Any]] = []
        size, first = 0, True
        for record, length in self._records(file, lines):
            if first:
                self._check_related(file, record)
                first = False
            found.append(record)
            size += length
            if len(found) == self.chunk_rows or size >= CHUNK_BYTES:
                yield self._cells(file, found)
                found, size = [], 0
        if found:
            yield self._cells(file, found)

    def _check_related(self, file: Path, record: dict[str, Any]) -> None:
        """Raise `InputError` for a file that begins with an object that shares no key with all files before it."""
        if self.columns and record and not record.keys() & set(self.columns):
            raise InputError(
                f"{file} does not have the columns of {self._files[0].name}: it has {listing(tuple(record))}",
                "All files of a table must have the same columns. Process the files one by one, or name those that "
                "belong together with a quoted pattern.",
            )

    def _cells(self, file: Path, found: list[dict[str, Any]]) -> list[Cells]:
        if self._file_column:
            name = file_cell(self.path, file)
            for record in found:
                if FILE_COLUMN in record:
                    check_distinct(file, (*record, FILE_COLUMN))
                record[FILE_COLUMN] = name
        self._meet(found)
        columns = self.columns
        return [tuple(map(record.get, columns)) for record in found]

    def _records(self, file: Path, lines: Iterable[str]) -> Iterator[tuple[dict[str, Any], int]]:
        """Each object with the length of its line."""
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                record = _object(line)
            except ValueError as error:
                if not self._skip_bad_rows:
                    raise _no_object(file, number, error) from None
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


def _no_object(file: Path, number: int, error: ValueError) -> InputError:
    return InputError(
        f"{file}, line {number}: not a JSON object ({error})",
        "Each line must hold one whole object (jq -c writes such files); leave other lines out with --bad-rows skip.",
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
