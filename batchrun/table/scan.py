"""The first pass over a table: all that must be known before any row runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batchrun.errors import InputError

from .column_types import ColumnTypes
from .csv_table import CsvTable
from .files import digest_of, unchanged
from .fingerprint import identities
from .options import ReadOptions, check_columns
from .table import Cells, Table

OnIdentities = Callable[[list[bytes], list[bytes] | None], None]


@dataclass(frozen=True)
class Scan:
    """What the first pass found.

    `types`: per column `int`, `float`, `bool` or `text`, or `native` where the format has its own.
    `digest`: see `digest_of`. `bad_rows`: rows left out by `skip_bad_rows`, not counted in `rows`.
    """

    rows: int
    columns: tuple[str, ...]
    types: tuple[str, ...]
    digest: str
    bad_rows: int


def scan(table: Table, options: ReadOptions, on_identities: OnIdentities) -> Scan:
    """Read the whole table, handing each chunk's fingerprints (and keys, with `--key`) to `on_identities`.

    Raises `InputError` for whatever is wrong with any row, for a cell that does not fit its `--dtype`, and
    if the file changes meanwhile.
    """
    with unchanged(table.path):
        chunks = table.chunks()
        typing = _Typing(table, options) if isinstance(table, CsvTable) else None
        rows = 0
        for chunk in _identified(table, chunks, options, on_identities):
            if typing is not None:
                typing.feed(chunk, rows)
            rows += len(chunk)
        check_columns(table.columns, options)
        digest = digest_of(table.path)
    types = typing.settled() if typing is not None else ("native",) * len(table.columns)
    return Scan(rows, table.columns, types, digest, table.bad_rows)


def _identified(
    table: Table, chunks: Iterator[list[Cells]], options: ReadOptions, on_identities: OnIdentities
) -> Iterator[list[Cells]]:
    columns, identify = table.columns, identities(table.columns, options)
    for chunk in chunks:
        if table.columns != columns:  # JSON Lines: this chunk brought new ones
            columns, identify = table.columns, identities(table.columns, options)
        on_identities(*identify(chunk))
        yield chunk


class _Typing:
    """The types of a CSV table's columns, and the error for a cell that does not fit."""

    def __init__(self, table: CsvTable, options: ReadOptions) -> None:
        self._table, self._dtypes = table, options.dtypes
        self._types = ColumnTypes(table.columns, options.dtypes)

    def feed(self, chunk: list[Cells], rows_before: int) -> None:
        misfit = self._types.feed(chunk)
        if misfit is not None:
            row, place = misfit
            raise self._no_fit(rows_before + row, self._table.columns[place], chunk[row][place])

    def settled(self) -> tuple[str, ...]:
        return self._types.settled()

    def _no_fit(self, row: int, column: str, cell: str) -> InputError:
        dtype = self._dtypes[column]
        return InputError(
            f"{self._table.path}, line {self._table.line_of(row)}: {cell[:80]!r} in column {column!r} is no {dtype}",
            f"Correct the cell, or read the column as text with --dtype {column}=str.",
        )
