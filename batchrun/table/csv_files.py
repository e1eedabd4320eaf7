"""Several CSV files of the same columns as one table, one after the other."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from batchrun.errors import InputError

from .csv_table import CsvTable, InPieces, Piece
from .header import check_distinct, column_places
from .interface import Cells
from .members import FILE_COLUMN, file_cell
from .pages import Known, Page


class CsvFiles(InPieces):
    """CSV files as one table. Their columns may stand in another order than in the first one.

    `opened` opens one of them; each is opened when it is read. With `file_column` each row says which file it is from.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        opened: Callable[[Path], CsvTable],
        missing: tuple[str, ...],
        *,
        file_column: bool,
    ) -> None:
        self.path, self.missing = path, missing
        self.bad_rows = self.empty_rows = 0
        self._files, self._opened, self._file_column = files, opened, file_column
        self._first = opened(files[0])
        self._starts: list[int] = []  # the number of rows before each file that the last pass has come to
        self.columns = (*self._first.columns, *([FILE_COLUMN] * file_column))
        check_distinct(files[0], self.columns)

    def line_chunks(self, sep: str) -> Iterator[list[str] | list[Cells]]:
        """See `CsvTable`."""
        return self._first.lines_of_pieces(self.pieces({}), sep)

    def pieces(self, known: Known) -> Iterator[Page | Piece]:
        """See `CsvTable`. Only of files that are like the first one is a page worth anything in another."""
        self.bad_rows = self.empty_rows = rows = 0
        self._starts = []
        for file in self._files:
            table = self._table(file)
            self._starts.append(rows)
            alike = table.is_like(self._first) and not self._file_column
            for piece in table.pieces(known if alike else {}):
                rows += piece.rows
                yield piece if alike or isinstance(piece, Page) else self._as_first(piece, table, file)
            self.bad_rows += table.bad_rows
            self.empty_rows += table.empty_rows

    def lines_of(self, rows: Collection[int]) -> dict[int, str]:
        """The file and line on which some rows of the last pass start."""
        found = dict[int, str]()
        for number, before in enumerate(self._starts):
            after = self._starts[number + 1] if number + 1 < len(self._starts) else max(rows, default=0) + 1
            if within := [row - before for row in rows if before <= row < after]:
                lines = self._table(self._files[number]).lines_of(within)
                found |= {before + row: f"{self._files[number].name}, {line}" for row, line in lines.items()}
        return found

    def where(self, row: int) -> str:
        """See `CsvTable`."""
        number = bisect_right(self._starts, row) - 1
        return self._table(self._files[number]).where(row - self._starts[number])

    def ragged(self) -> InputError:
        """See `CsvTable`: where no file has a row that can be kept, what is wrong is told of the first."""
        return self._first.ragged()

    def _table(self, file: Path) -> CsvTable:
        if file == self._files[0]:
            return self._first
        table = self._opened(file)
        here, first = set(table.columns), set(self._first.columns)
        if here != first:
            told = (("has", here - first, table), ("lacks", first - here, self._first))
            said = [f"{what} {_names(names, whose)}" for what, names, whose in told if names]
            raise InputError(
                f"{file} does not have the columns of {self._files[0].name}: it {'; it '.join(said)}",
                "All files of a table must have the same columns. Process the files one by one, or name those that "
                "belong together with a quoted pattern.",
            )
        return table

    def _as_first(self, piece: Piece, table: CsvTable, file: Path) -> Piece:
        """With the columns in the first file's order, and no text of which a page could be made."""
        cells = [piece.cells[place] for place in column_places(table.columns, self._first.columns)]
        if self._file_column:
            cells.append((file_cell(self.path, file),) * piece.rows)
        return Piece(cells, None, piece.bad_rows, piece.empty_rows)


def _names(names: Collection[str], table: CsvTable) -> str:
    ordered = [name for name in table.columns if name in names]
    more = f" and {len(ordered) - 3:,} more" if len(ordered) > 3 else ""
    return ", ".join(map(repr, ordered[:3])) + more


CsvRows = CsvTable | CsvFiles
