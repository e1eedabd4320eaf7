"""What all kinds of tables have in common."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

Cells = tuple[Any, ...]
"""One row as it stands in the file: text in a CSV file, native values elsewhere."""

CHUNK_ROWS = 1000
"""Rows a chunk. No result depends on it; larger chunks are not faster and hold more memory."""

CHUNK_BYTES = 1 << 20
"""A chunk of long rows ends here, or after one row: sixty rows of 5 MB are never in memory at once."""


KINDS = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON Lines", "sqlite": "SQLite", "xlsx": "Excel"}
"""The kinds of tables, as they are said."""

FILES = {"csv": "CSV files", "sqlite": "SQLite databases", "xlsx": "Excel workbooks"}
"""What options are for."""


class Table(Protocol):
    """A file (or folder of files) that can be read as often as need be. Made by `open_table`."""

    @property
    def path(self) -> Path: ...

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in file order. For JSON Lines: those met so far, or those handed to `open_table`."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Words that stand for no value in columns of numbers and booleans, beside the usual ones. CSV only."""

    @property
    def bad_rows(self) -> int:
        """Rows that the last pass left out (`skip_bad_rows`)."""

    def chunks(self, columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """Read from the start: lists of rows, each with one cell for each of the table's columns.

        `columns`: those whose cells are asked for (None: all). Parquet leaves the others unread, and they are None.

        Raises `InputError` where the file is not what it seemed to be.
        """
