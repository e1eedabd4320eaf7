"""A sheet of an Excel workbook, read from top to bottom."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from batchrun.core.installing import how_to_install
from batchrun.core.suggest import listing, suggest
from batchrun.errors import BatchrunError, InputError, UsageError

from .header import check_distinct
from .interface import CHUNK_BYTES, CHUNK_ROWS, Cells

_LOOKED_AT = 50


class _Top(NamedTuple):
    """A sheet's name, the number of its first row with cells, and the columns' names in it."""

    sheet: str
    row: int
    columns: tuple[str, ...]


class WorkbookTable:
    """A sheet of a workbook. Cells are as the workbook has them: int, float, bool, text, times, or None; of a formula,
    what it was when the workbook was last calculated; `#N/A` and its like are text.

    Rows without a cell are none below the last one that has any, and rows elsewhere.
    """

    kind = "xlsx"
    missing: tuple[str, ...] = ()
    bad_rows = 0

    def __init__(self, path: Path, sheet: str | None, skip_lines: int | None) -> None:
        self.path = path
        self.chunk_rows = CHUNK_ROWS
        stat = path.stat()
        top = _top_of(path, (stat.st_size, stat.st_mtime_ns, stat.st_ino), sheet, skip_lines)
        self.sheet, self._first, self.columns = top.sheet, top.row + 1, top.columns

    def chunks(self, _columns: Collection[str] | None = None) -> Iterator[list[Cells]]:
        """See `Table`."""
        width, found, size, empty = len(self.columns), list[Cells](), 0, 0
        nothing = (None,) * width
        with _opened(self.path) as book:
            for number, row in enumerate(_rows(book[self.sheet], self._first), self._first):
                if row.count(None) == len(row):
                    empty += 1
                    continue
                while empty:
                    found += [nothing] * min(empty, self.chunk_rows)
                    empty -= min(empty, self.chunk_rows)
                    if len(found) >= self.chunk_rows:
                        yield found
                        found, size = [], 0
                found.append(row if len(row) == width else self._fitted(row, number))
                size += sum(len(cell) for cell in row if type(cell) is str)
                if len(found) >= self.chunk_rows or size >= CHUNK_BYTES:
                    yield found
                    found, size = [], 0
        if found:
            yield found

    def _fitted(self, row: Cells, number: int) -> Cells:
        width = len(self.columns)
        if beyond := next((cell for cell in row[width:] if cell is not None), None):
            raise InputError(
                f"{self.path}, sheet {self.sheet!r}, row {number:,}: {str(beyond)[:80]!r} is beyond the last "
                f"named column, {self.columns[-1]!r}",
                "Give its column a name in the header, or delete the cell.",
            )
        return (*row[:width], *(None,) * (width - len(row)))


@lru_cache(maxsize=8)  # all texts of a workbook are read before its first cell
def _top_of(path: Path, _stamp: tuple[int, ...], sheet: str | None, skip_lines: int | None) -> _Top:
    with _opened(path) as book:
        name = _named(path, {each.title: each.sheet_state for each in book.worksheets}, sheet)
        above = skip_lines or 0
        rows = islice(enumerate(_rows(book[name], above + 1), above + 1), _LOOKED_AT)
        filled = [(number, row) for number, row in rows if any(cell is not None for cell in row)]
    if not filled:
        raise InputError(f"{path}, sheet {name!r}: it is empty", "Choose another sheet with --sheet.")
    number, header = filled[0]
    wide = next((other for other, row in filled[1:] if _count(row) > 1), None)
    if wide and _count(header) == 1 and skip_lines is None:
        raise InputError(
            f"{path}, sheet {name!r}, row {number}: {_first(header)!r} seems to be above the header, which may be row "
            f"{wide}",
            f"Read it with --skip-lines {wide - 1}; if row {number} names the columns, insist with --skip-lines "
            f"{number - 1}.",
        )
    last = max(place for place, cell in enumerate(header) if cell is not None)
    columns = tuple(f"Unnamed: {place}" if cell is None else str(cell) for place, cell in enumerate(header[: last + 1]))
    check_distinct(path, columns)
    return _Top(name, number, columns)


def _named(path: Path, sheets: dict[str, str], name: str | None) -> str:
    """The sheet that is meant: of several the only one that is not hidden."""
    if name is not None:
        if name not in sheets:
            raise InputError(f"--sheet {name}: {path} has no such sheet", suggest(name, list(sheets), "Its sheets are"))
        return name
    shown = [each for each, state in sheets.items() if state == "visible"] or list(sheets)
    if len(shown) == 1:
        return shown[0]
    raise InputError(
        f"{path} is a workbook of {len(shown)} sheets: {listing(shown)}",
        f"Choose one with --sheet, such as --sheet {shown[0]!r}.",
    )


def _rows(sheet: Any, first: int) -> Iterator[Cells]:
    from .workbook_stream import rows_of_sheet  # openpyxl only where it is used

    return rows_of_sheet(sheet, first)


def _count(row: Sequence[Any]) -> int:
    return sum(cell is not None for cell in row)


def _first(row: Sequence[Any]) -> str:
    return next(str(cell)[:80] for cell in row if cell is not None)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The workbook. Raises `UsageError` without openpyxl, and `InputError` for whatever is wrong with the file."""
    try:
        from .workbook_stream import opened_workbook
    except ImportError as error:
        raise UsageError(
            f"{path} is an Excel workbook, and reading one needs the package openpyxl",
            f"{how_to_install('openpyxl')}, or save the sheet as CSV",
        ) from error
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # of what is no cell: validations, pictures
            with opened_workbook(file) as book:
                yield book
    except BatchrunError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a workbook: {str(error).strip() or type(error).__name__}",
            "Save it again as .xlsx (Excel Workbook), or as CSV.",
        ) from error
