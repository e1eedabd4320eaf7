"""The first pass over a table: all that must be known before any row runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchrun.errors import InputError

from .changes import digest_of, unchanged
from .column_types import ColumnTypes, OddCells, Said
from .csv_files import CsvFiles, CsvRows
from .csv_table import CsvTable, Piece
from .doubts import Doubt, dtype_option, missing_option
from .fingerprint import Cut, cell_digests, cell_digests_by_column, identities, identities_by_column
from .header import column_places
from .interface import Table
from .options import ReadOptions, check_columns, needed, present
from .pages import Memo, Page, by_start, page_of
from .parquet import ParquetTable

OnIdentities = Callable[[list[bytes], list[bytes] | None], None]
OnCells = Callable[[list[bytes], Sequence[str], list[bytes]], None]
"""Is told a chunk's fingerprints, the columns, and for each of them the digests of its cells (see `cell_digests`)."""


@dataclass(frozen=True)
class Scan:
    """What the first pass found.

    `types`: per column `int`, `float`, `bool` or `text`, or `native` where the format has its own.
    `digest`: see `digest_of`. `bad_rows`: rows left out by `skip_bad_rows`, not counted in `rows`. `empty_rows`: those
    of a CSV file that are separators only, with others below them. `doubts`: what the user should know of the types.
    """

    rows: int
    columns: tuple[str, ...]
    types: tuple[str, ...]
    digest: str
    bad_rows: int
    doubts: tuple[Doubt, ...] = ()
    empty_rows: int = 0


def scan(
    table: Table,
    options: ReadOptions,
    on_identities: OnIdentities,
    memo: Memo | None = None,
    on_cells: OnCells | None = None,
) -> Scan:
    """Read the whole table, handing each chunk's fingerprints (and keys, with `--key`) to `on_identities`.

    After that, `on_cells` is told of the same chunk's cells.

    With a `memo`, what an earlier pass has found in the same bytes is taken from there. Raises `InputError`
    for whatever is wrong with any row, for a cell that does not fit its `--dtype`, and if the file changes
    meanwhile.
    """
    with unchanged(table.path):
        if isinstance(table, CsvTable | CsvFiles):
            rows, types, doubts = _read_text(table, options, on_identities, memo, on_cells)
        else:
            rows, types = _read_native(table, options, on_identities, on_cells)
            doubts = table.doubts if isinstance(table, ParquetTable) else ()
        check_columns(table.columns, options)
        digest = digest_of(table.path)
    empty_rows = table.empty_rows if isinstance(table, CsvTable | CsvFiles) else 0
    return Scan(rows, table.columns, types, digest, table.bad_rows, doubts, empty_rows)


def _read_text(
    table: CsvRows, options: ReadOptions, on_identities: OnIdentities, memo: Memo | None, on_cells: OnCells | None
) -> tuple[int, tuple[str, ...], tuple[Doubt, ...]]:
    types = ColumnTypes(table.columns, options.forced_types, options.missing)
    identify, rows = identities_by_column(table.columns, options), 0
    for piece in table.pieces(by_start(memo.known if memo else ())):
        if isinstance(piece, Page):
            types.take(Said(piece.kinds, piece.odd), piece.rows)
            rows += piece.rows
            if memo:
                memo.again(piece)
            continue
        if misfit := types.misfit(piece.cells):
            raise _no_fit(table, options, piece.cells, rows, *misfit)
        fingerprints, keys = identify(piece.cells)
        on_identities(fingerprints, keys)
        if on_cells:
            chosen = present(table.columns, options.identity)
            cells = [piece.cells[place] for place in column_places(table.columns, chosen)]
            on_cells(fingerprints, chosen, cell_digests_by_column(cells))
        said = types.look(piece.cells)
        types.take(said, piece.rows)
        rows += piece.rows
        if memo and piece.text and (page := _page_of(piece, said)):
            memo.note(page)
    if table.bad_rows and not rows:
        raise table.ragged()
    return rows, types.settled(), _with_lines(table, list(types.doubts()))


def _with_lines(table: CsvRows, odd: list[OddCells]) -> tuple[Doubt, ...]:
    lines = table.lines_of({row for cells in odd for row in cells.rows}) if odd else {}
    return tuple(
        Doubt(table.columns[cells.place], tuple(lines[row] for row in cells.rows), cells.cells, cells.dtype)
        for cells in odd
    )


def _page_of(piece: Piece, said: Said) -> Page | None:
    return page_of(piece.text or "", piece.rows, piece.bad_rows, said, piece.empty_rows)


def _read_native(
    table: Table, options: ReadOptions, on_identities: OnIdentities, on_cells: OnCells | None
) -> tuple[int, tuple[str, ...]]:
    chunks = table.chunks(needed(options))
    columns, identify, rows = table.columns, identities(table.columns, options), 0
    for chunk in chunks:
        if table.columns != columns:  # JSON Lines: this chunk brought new ones
            columns, identify = table.columns, identities(table.columns, options)
        fingerprints, keys = identify(chunk)
        on_identities(fingerprints, keys)
        if on_cells:
            chosen = present(columns, options.identity)
            cells = dict(zip(columns, cell_digests(columns, chunk, options.form), strict=True))
            on_cells(fingerprints, chosen, [cells[name] for name in chosen])
        rows += len(chunk)
    if table.bad_rows and not rows:
        raise InputError(
            f"{table.path}: none of its {table.bad_rows:,} lines is a JSON object, so no row would remain",
            "Give a file with one object a line (jq -c writes such files).",
        )
    return rows, ("native",) * len(table.columns)


def _no_fit(table: CsvRows, options: ReadOptions, cells: Cut, before: int, row: int, place: int) -> InputError:
    column, cell = table.columns[place], cells[place][row][:80]
    dtype = options.dtypes[column]
    return InputError(
        f"{table.where(before + row)}: {cell!r} in column {column!r} is not a valid {dtype}",
        f"Correct the cell, treat it as missing with {missing_option(cell)}, or read the column as text with "
        f"{dtype_option(column, 'str')}.",
    )
